//! Accounts and groups that a change made, by passwd(5) and group(5).

use std::collections::{BTreeMap, BTreeSet};

use super::entries::Three;

/// Name and number of the accounts, or of the groups, of a file.
fn numbers(file: &[u8]) -> BTreeMap<String, u32> {
    let lines = file.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let name = str::from_utf8(fields.next()?).ok()?;
            let number = str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
            (!name.is_empty()).then(|| (name.to_owned(), number))
        })
        .collect()
}

/// Those that were not there before, that the change left, and that are there now with the same
/// number.
pub fn made(file: Three<'_>) -> BTreeMap<String, u32> {
    let (before, left, now) = (numbers(file.before), numbers(file.left), numbers(file.now));
    left.into_iter()
        .filter(|(name, number)| !before.contains_key(name) && now.get(name) == Some(number))
        .collect()
}

/// Those that were not there before, that the change left, and that are there now with another
/// number: somebody has made them anew.
pub fn renumbered(file: Three<'_>) -> Vec<String> {
    let (before, left, now) = (numbers(file.before), numbers(file.left), numbers(file.now));
    left.into_iter()
        .filter(|(name, number)| {
            !before.contains_key(name) && now.get(name).is_some_and(|other| other != number)
        })
        .map(|(name, _)| name)
        .collect()
}

/// The shell of each account, by its name.
pub fn shells(passwd: &[u8]) -> BTreeMap<String, String> {
    let lines = passwd.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let name = str::from_utf8(fields.next()?).ok()?;
            let shell = str::from_utf8(fields.nth(5)?).ok()?;
            Some((name.to_owned(), shell.trim().to_owned()))
        })
        .collect()
}

/// The accounts whose main group has this number.
pub fn in_main_group(passwd: &[u8], gid: u32) -> Vec<String> {
    let gid = gid.to_string();
    let lines = passwd.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let name = str::from_utf8(fields.next()?).ok()?;
            (fields.nth(2)? == gid.as_bytes()).then(|| name.to_owned())
        })
        .collect()
}

/// The home of each account, by its name.
pub fn homes(passwd: &[u8]) -> BTreeMap<String, String> {
    let lines = passwd.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let name = str::from_utf8(fields.next()?).ok()?;
            let home = str::from_utf8(fields.nth(4)?).ok()?;
            Some((name.to_owned(), home.to_owned()))
        })
        .collect()
}

/// The first entry of this name.
pub fn named<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut lines = file.split(|byte| *byte == b'\n');
    lines.find(|line| {
        let rest = line.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b":"))
    })
}

/// The groups of group(5) or gshadow(5) that name this account in their last field.
pub fn members(file: &[u8], account: &str) -> BTreeSet<String> {
    let lines = file.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let (name, list) = (
                line.split(|byte| *byte == b':').next()?,
                line.rsplit(|byte| *byte == b':').next()?,
            );
            let mut names = list.split(|byte| *byte == b',');
            let name = str::from_utf8(name).ok()?;
            names
                .any(|one| one == account.as_bytes())
                .then(|| name.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_wherever_it_is_named() {
        let group = b"root:x:0:\nsudo:x:27:ana,neu\nneu:x:1001:\nneuer:x:1002:neuer,x\n";
        assert_eq!(members(group, "neu"), BTreeSet::from(["sudo".to_owned()]));
        let passwd = b"neuer:x:2:2::/home/neuer:/bin/sh\nneu:x:1:1:a,b:/home/neu:/bin/sh\n";
        assert_eq!(
            named(passwd, "neu"),
            Some(&b"neu:x:1:1:a,b:/home/neu:/bin/sh"[..])
        );
        assert_eq!(homes(passwd)["neu"], "/home/neu");
        assert_eq!(shells(passwd)["neuer"], "/bin/sh");
    }
}
