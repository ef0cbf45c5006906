//! What of the databases of accounts is people's. Scripts of packages make accounts of the system, and
//! members of these; whoever works on a host makes accounts of people, and gives them groups. So it is
//! told apart what an upgrade wrote that was cut off before anybody looked at what it left.

use std::collections::{BTreeMap, BTreeSet};

use super::accounts::numbers;

/// The names of people's accounts and groups. Root is a person's account here.
#[derive(Debug, Default)]
pub(crate) struct People {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl People {
    /// By all that passwd(5) and group(5) were and are.
    pub(crate) fn of(passwd: &[&[u8]], group: &[&[u8]]) -> Self {
        let names = |files: &[&[u8]], with: &[u32]| -> BTreeSet<String> {
            let all = files.iter().flat_map(|file| numbers(file));
            all.filter(|(_, number)| is_of_people(*number) || with.contains(number))
                .map(|(name, _)| name)
                .collect()
        };
        Self {
            users: names(passwd, &[0]),
            groups: names(group, &[]),
        }
    }

    /// What is there now at this path, with people's part as it was before.
    pub(crate) fn as_before(&self, path: &str, before: &[u8], now: &[u8]) -> Option<Vec<u8>> {
        let (names, members) = match path {
            "/etc/passwd" | "/etc/shadow" | "/etc/subuid" | "/etc/subgid" => (&self.users, None),
            "/etc/group" => (&self.groups, Some(3)),
            "/etc/gshadow" => (&self.groups, Some(2)),
            _ => return None,
        };
        let is_persons = |line: &[u8]| name(line).is_some_and(|name| names.contains(name));
        let mut old: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
        for line in lines(before) {
            old.entry(name(line).unwrap_or_default())
                .or_default()
                .push(line);
        }
        let mut all = Vec::new();
        let mut done = BTreeSet::new();
        for line in lines(now) {
            let key = name(line).unwrap_or_default();
            let lines = old.get(key).map(Vec::as_slice).unwrap_or_default();
            match (is_persons(line), members) {
                (true, _) if done.insert(key) => {
                    lines.iter().for_each(|line| put(&mut all, line));
                }
                (true, _) => {}
                (false, Some(from)) => {
                    let before = lines.first().copied().unwrap_or_default();
                    put(&mut all, &self.with_members(from, before, line));
                }
                (false, None) => put(&mut all, line),
            }
        }
        // Whom somebody has deleted meanwhile.
        for line in lines(before).filter(|line| is_persons(line)) {
            if !done.contains(name(line).unwrap_or_default()) {
                put(&mut all, line);
            }
        }
        Some(all)
    }

    /// A group's line with the members of now, but of people only those that it had before.
    fn with_members(&self, from: usize, before: &[u8], now: &[u8]) -> Vec<u8> {
        let split = |line| <[u8]>::split(line, |byte| *byte == b':').collect::<Vec<_>>();
        let (before, now) = (split(before), split(now));
        let is_persons =
            |one: &&[u8]| str::from_utf8(one).is_ok_and(|one| self.users.contains(one));
        let fields = now.iter().enumerate().map(|(at, field)| {
            if at < from {
                return field.to_vec();
            }
            let had: Vec<&[u8]> = words(before.get(at).copied().unwrap_or_default()).collect();
            let mut members: Vec<&[u8]> = words(field)
                .filter(|one| !is_persons(one) || had.contains(one))
                .collect();
            let lost = had.into_iter().filter(is_persons);
            let lost: Vec<&[u8]> = lost.filter(|one| !members.contains(one)).collect();
            members.extend(lost);
            members.join(&b',')
        });
        fields.collect::<Vec<_>>().join(&b':')
    }
}

/// Numbers of people's accounts (login.defs(5) of Debian); `nobody` is nobody's.
fn is_of_people(number: u32) -> bool {
    matches!(number, 1000..60_000)
}

fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = file.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty())
}

fn name(line: &[u8]) -> Option<&str> {
    str::from_utf8(line.split(|byte| *byte == b':').next()?).ok()
}

fn words(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = field.split(|byte| *byte == b',');
    words.filter(|word| !word.is_empty())
}

fn put(all: &mut Vec<u8>, line: &[u8]) {
    all.extend(line);
    all.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_makes_no_people() {
        let passwd = [
            "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n",
            "root:x:0:0::/root:/bin/sh\nredis:x:104:110::/:/bin/false\nida:x:1001:1001::/home/ida:/bin/sh\n",
        ];
        let group = [
            "sudo:x:27:bob,root\nadm:x:4:\nbob:x:1000:\n",
            "sudo:x:27:root,ida\nadm:x:4:redis\nssl-cert:x:110:redis,ida\nida:x:1001:\n",
        ];
        let of = |files: [&'static str; 2]| files.map(str::as_bytes);
        let people = People::of(&of(passwd), &of(group));
        for (path, [before, now], wanted) in [
            (
                "/etc/passwd",
                passwd,
                "root:x:0:0::/root:/bin/sh\nredis:x:104:110::/:/bin/false\nbob:x:1000:1000::/home/bob:/bin/sh\n",
            ),
            (
                "/etc/group",
                group,
                "sudo:x:27:root,bob\nadm:x:4:redis\nssl-cert:x:110:redis\nbob:x:1000:\n",
            ),
            (
                "/etc/gshadow",
                ["sudo:*::\n", "sudo:*:ida:ida\nssl-cert:!::redis\n"],
                "sudo:*::\nssl-cert:!::redis\n",
            ),
            (
                "/etc/shadow",
                ["root:old:\n", "root:new:\nredis:!:\nida:x:\n"],
                "root:old:\nredis:!:\n",
            ),
            (
                "/etc/subuid",
                ["bob:1:9\nbob:20:9\n", "bob:1:9\nida:30:9\nredis:50:9\n"],
                "bob:1:9\nbob:20:9\nredis:50:9\n",
            ),
        ] {
            let made = people.as_before(path, before.as_bytes(), now.as_bytes());
            let made = String::from_utf8(made.expect("a database of accounts")).expect("text");
            assert_eq!(made, wanted, "{path}");
        }
        assert_eq!(people.as_before("/etc/shells", b"", b""), None);
    }
}
