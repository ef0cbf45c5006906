//! Accounts and groups that a change made, by passwd(5) and group(5).

use std::collections::{BTreeMap, BTreeSet};

use super::entries::Three;

/// Name and number of the accounts, or of the groups, of a file.
pub(crate) fn numbers(file: &[u8]) -> BTreeMap<String, u32> {
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

/// What the change took out, and what others have made of its name or of its number since, by the
/// name. None of it can come back beside that.
pub fn taken(file: Three<'_>) -> BTreeMap<String, String> {
    let (before, left, now) = (numbers(file.before), numbers(file.left), numbers(file.now));
    let mut taken = BTreeMap::new();
    for (name, number) in &before {
        if left.contains_key(name) {
            continue;
        }
        if now.contains_key(name) {
            if named(file.now, name) != named(file.before, name) {
                taken.insert(name.clone(), "it was made anew since".to_owned());
            }
            continue;
        }
        // Two of one number that there were before are as they were.
        let mut others = now.iter();
        let other = others.find(|(other, its)| *its == number && before.get(*other) != Some(its));
        if let Some((other, _)) = other {
            let other = model::printable(other.as_bytes());
            taken.insert(
                name.clone(),
                format!("its number {number} is {other}'s by now"),
            );
        }
    }
    taken
}

/// Whose main group nobody has: that of Debian, and of the kernel for whom it does not know.
const NOBODYS_GROUP: &[u8] = b"65534";

/// Takes from the entries of `merged`, which becomes passwd(5), the main groups that the change gave and
/// that were there before it (`groups`): an account that was there gets its own again, one that is
/// new nobody's. Gives the file and whose they were.
pub fn without_main_groups(
    passwd: Three<'_>,
    groups: &BTreeSet<u32>,
    merged: &[u8],
) -> (Vec<u8>, BTreeSet<String>) {
    const GROUP: usize = 3;
    let (before, left) = (by_name(passwd.before), by_name(passwd.left));
    let main = |of: &BTreeMap<String, Vec<Vec<&[u8]>>>, name: &str| -> Option<Vec<u8>> {
        let entry = of.get(name)?.first()?;
        entry.get(GROUP).map(|number| number.to_vec())
    };
    let mut taken = BTreeSet::new();
    let mut lines = Vec::new();
    for line in merged.split(|byte| *byte == b'\n') {
        let mut fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let name = model::printable(fields[0]);
        let (was, given) = (main(&before, &name), main(&left, &name));
        let number = |text: &[u8]| str::from_utf8(text).ok()?.parse().ok();
        let is_given = fields.get(GROUP).is_some_and(|now| {
            given.as_deref() == Some(now)
                && was.as_deref() != Some(now)
                && number(now).is_some_and(|number: u32| groups.contains(&number))
        });
        if is_given {
            fields[GROUP] = was.as_deref().unwrap_or(NOBODYS_GROUP);
            lines.push(fields.join(&b':'));
            taken.insert(name);
        } else {
            lines.push(line.to_vec());
        }
    }
    (lines.join(&b'\n'), taken)
}

/// What a change did to a file of accounts: the accounts or groups that are otherwise in it, and those
/// of which only the list of members is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub wholly: BTreeSet<String>,
    pub members: BTreeSet<String>,
    /// The accounts that became members, or are none any more.
    pub joined: BTreeSet<String>,
}

/// `from`: the field that the list of members is, and those behind it; none where there is no such list.
pub fn touched(before: &[u8], left: &[u8], from: Option<usize>) -> Touched {
    let (before, left) = (by_name(before), by_name(left));
    let mut touched = Touched::default();
    let names: BTreeSet<&String> = before.keys().chain(left.keys()).collect();
    for name in names {
        let (Some(one), Some(other)) = (before.get(name), left.get(name)) else {
            touched.wholly.insert(name.clone());
            continue;
        };
        if one == other {
            continue;
        }
        let split = |fields: &Vec<&[u8]>| -> (Vec<Vec<u8>>, BTreeSet<String>) {
            let from = from.unwrap_or(usize::MAX).min(fields.len());
            let own = fields[..from].iter().map(|field| field.to_vec()).collect();
            let lists = fields[from..].iter();
            let names = lists.flat_map(|list| list.split(|byte| *byte == b','));
            let names = names.filter(|name| !name.is_empty());
            (own, names.map(model::printable).collect())
        };
        let one = one.iter().map(split);
        let other = other.iter().map(split);
        let (one, other): (Vec<_>, Vec<_>) = (one.collect(), other.collect());
        let own = |of: &[(Vec<Vec<u8>>, BTreeSet<String>)]| -> Vec<Vec<Vec<u8>>> {
            of.iter().map(|(own, _)| own.clone()).collect()
        };
        if own(&one) != own(&other) {
            touched.wholly.insert(name.clone());
        }
        let lists = |of: &[(Vec<Vec<u8>>, BTreeSet<String>)]| -> BTreeSet<String> {
            of.iter().flat_map(|(_, names)| names.clone()).collect()
        };
        let (one, other) = (lists(&one), lists(&other));
        let mut joined = one.symmetric_difference(&other).cloned().peekable();
        if joined.peek().is_some() {
            touched.members.insert(name.clone());
            touched.joined.extend(joined);
        }
    }
    touched
}

/// The entries of each name, in their fields.
fn by_name(file: &[u8]) -> BTreeMap<String, Vec<Vec<&[u8]>>> {
    let mut found: BTreeMap<String, Vec<Vec<&[u8]>>> = BTreeMap::new();
    for line in file.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        if let Some(name) = fields.first().filter(|name| !name.is_empty()) {
            let name = model::printable(name);
            found.entry(name).or_default().push(fields);
        }
    }
    found
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

/// The file of groups without these accounts in the lists of members, which begin at this field.
pub fn without_members(file: &[u8], from: usize, names: &BTreeSet<String>) -> Vec<u8> {
    let is_kept = |name: &&[u8]| !str::from_utf8(name).is_ok_and(|name| names.contains(name));
    let list = |field: &[u8]| {
        let all = field.split(|byte| *byte == b',');
        all.filter(is_kept).collect::<Vec<_>>().join(&b',')
    };
    let lines = file.split(|byte| *byte == b'\n').map(|line| {
        let fields = line.split(|byte| *byte == b':').enumerate();
        let fields = fields.map(|(at, field)| match at >= from {
            true => list(field),
            false => field.to_vec(),
        });
        fields.collect::<Vec<_>>().join(&b':')
    });
    lines.collect::<Vec<_>>().join(&b'\n')
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

    #[test]
    fn what_others_have_by_now_does_not_come_back() {
        let before = b"root:x:0:\nops:x:2000:eve\ntwin:x:0:\n";
        for (left, now, expected) in [
            // Nobody has it.
            ("root:x:0:\n", "root:x:0:\n", ""),
            (
                "root:x:0:\ntwin:x:0:\n",
                "root:x:0:\ntwin:x:0:\nnew:x:2001:\n",
                "",
            ),
            // Put in again as it was.
            ("root:x:0:\n", "root:x:0:\nops:x:2000:eve\n", ""),
            (
                "root:x:0:\n",
                "root:x:0:\nnew:x:2000:\n",
                "ops: its number 2000 is new's by now",
            ),
            (
                "root:x:0:\n",
                "root:x:0:\nops:x:2001:\n",
                "ops: it was made anew since",
            ),
            (
                "root:x:0:\n",
                "root:x:0:\nops:x:2000:\n",
                "ops: it was made anew since",
            ),
        ] {
            let three = Three {
                before,
                left: left.as_bytes(),
                now: now.as_bytes(),
            };
            let said: Vec<String> = taken(three)
                .iter()
                .map(|(name, why)| format!("{name}: {why}"))
                .collect();
            assert_eq!(said.join(", "), expected, "{left} {now}");
        }
    }

    #[test]
    fn what_a_change_did_is_told_by_entry_and_member() {
        let set = |names: &[&str]| -> BTreeSet<String> {
            names.iter().map(ToString::to_string).collect()
        };
        let before = "sudo:x:27:ana\nops:x:50:\n";
        for (left, wholly, members, joined) in [
            (before, &[][..], &[][..], &[][..]),
            ("sudo:x:27:ana,li\nops:x:50:\n", &[], &["sudo"], &["li"]),
            ("sudo:x:27:ana\nops:x:51:\n", &["ops"], &[], &[]),
            ("sudo:x:27:ana\n", &["ops"], &[], &[]),
            (
                "sudo:x:27:\nops:x:50:\nneu:x:9:li\n",
                &["neu"],
                &["sudo"],
                &["ana"],
            ),
        ] {
            let found = touched(before.as_bytes(), left.as_bytes(), Some(3));
            let wanted = Touched {
                wholly: set(wholly),
                members: set(members),
                joined: set(joined),
            };
            assert_eq!(found, wanted, "{left}");
        }
    }
}
