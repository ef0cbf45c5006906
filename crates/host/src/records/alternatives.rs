//! One group of update-alternatives(1), as `/var/lib/dpkg/alternatives/NAME` has it: what it can
//! lead to, with the links that go along.

use std::collections::BTreeMap;

use super::entries::{Clash, Three};

/// Larger groups are none.
const MOST_CHOICES: usize = 10_000;

/// A group. Names, links and paths are bytes without a newline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Is the best one taken by itself?
    pub is_automatic: bool,
    /// The name under which people call it: `/usr/bin/editor`.
    pub link: Vec<u8>,
    /// Links that go along, by their names in `/etc/alternatives`.
    pub slaves: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What it can lead to.
    pub choices: BTreeMap<Vec<u8>, Choice>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub priority: Vec<u8>,
    /// Where the links that go along lead to with this choice.
    pub slaves: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Group {
    /// Reads a group; none where it is not written as update-alternatives writes it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let is_automatic = match lines.next()? {
            b"auto" => true,
            b"manual" => false,
            _ => return None,
        };
        let mut group = Self {
            is_automatic,
            link: lines.next()?.to_vec(),
            ..Self::default()
        };
        let mut order = Vec::new();
        loop {
            let name = lines.next()?;
            if name.is_empty() {
                break;
            }
            group.slaves.insert(name.to_vec(), lines.next()?.to_vec());
            order.push(name.to_vec());
        }
        while group.choices.len() <= MOST_CHOICES {
            let path = lines.next()?;
            if path.is_empty() {
                return Some(group);
            }
            let mut choice = Choice {
                priority: lines.next()?.to_vec(),
                slaves: BTreeMap::new(),
            };
            for name in &order {
                let leads_to = lines.next()?;
                if !leads_to.is_empty() {
                    choice.slaves.insert(name.clone(), leads_to.to_vec());
                }
            }
            group.choices.insert(path.to_vec(), choice);
        }
        None
    }

    /// As update-alternatives writes it; nothing where it leads nowhere.
    pub fn write(&self) -> Vec<u8> {
        if self.choices.is_empty() {
            return Vec::new();
        }
        let status: &[u8] = if self.is_automatic {
            b"auto"
        } else {
            b"manual"
        };
        let mut lines: Vec<&[u8]> = vec![status, &self.link];
        for (name, link) in &self.slaves {
            lines.extend([&name[..], link]);
        }
        lines.push(b"");
        for (path, choice) in &self.choices {
            lines.extend([&path[..], &choice.priority]);
            let leads = |name| choice.slaves.get(name).map_or(&b""[..], Vec::as_slice);
            lines.extend(self.slaves.keys().map(leads));
        }
        lines.extend([&b""[..], b""]);
        lines.join(&b'\n')
    }

    /// The one of the highest priority, as update-alternatives chooses; of several the first.
    pub fn best(&self) -> Option<&[u8]> {
        let priority = |choice: &Choice| -> i64 {
            let text = str::from_utf8(&choice.priority).unwrap_or_default();
            text.parse().unwrap_or(i64::MIN)
        };
        let mut best: Option<(&[u8], i64)> = None;
        for (path, choice) in &self.choices {
            let its = priority(choice);
            if best.is_none_or(|(_, most)| its > most) {
                best = Some((path, its));
            }
        }
        best.map(|(path, _)| path)
    }

    /// Where the group leads: where it led, as long as that is a choice, and a person chose it;
    /// else the best.
    pub fn leads_to(&self, led_to: &[u8]) -> Option<&[u8]> {
        match self.choices.get_key_value(led_to) {
            Some((path, _)) if !self.is_automatic => Some(path),
            _ => self.best(),
        }
    }

    /// Every link of the group and where it leads with this choice; none where it is not there.
    /// `name` is the group's own.
    pub fn links(&self, name: &[u8], choice: Option<&[u8]>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let inner = |name: &[u8]| [b"/etc/alternatives/", name].concat();
        let chosen = choice.and_then(|path| self.choices.get(path));
        let mut links = vec![
            (self.link.clone(), choice.map(|_| inner(name))),
            (inner(name), choice.map(<[u8]>::to_vec)),
        ];
        for (slave, link) in &self.slaves {
            let leads = chosen.and_then(|chosen| chosen.slaves.get(slave)).cloned();
            links.push((link.clone(), leads.as_ref().map(|_| inner(slave))));
            links.push((inner(slave), leads));
        }
        links
    }
}

/// The group without the choices that a change made, and with those that others made.
pub(super) fn without(three: Three<'_>, stays: &dyn Fn(&str) -> bool) -> Result<Vec<u8>, Clash> {
    let read = |bytes: &[u8]| match bytes.is_empty() {
        true => Some(Group::default()),
        false => Group::parse(bytes),
    };
    let all = (read(three.before), read(three.left), read(three.now));
    let (Some(before), Some(left), Some(mut now)) = all else {
        return Err(Clash {
            entry: "the whole group".to_owned(),
        });
    };
    let mut slaves: Vec<&Vec<u8>> = Vec::new();
    for path in before.choices.keys().chain(left.choices.keys()) {
        let name = model::printable(path);
        if stays(&name) {
            continue;
        }
        let (old, ours) = (before.choices.get(path), left.choices.get(path));
        if old == ours {
            continue;
        }
        match (old, now.choices.get(path)) {
            (Some(old), theirs) if theirs == ours => {
                now.choices.insert(path.clone(), old.clone());
                slaves.extend(old.slaves.keys());
            }
            (None, Some(_)) => {
                now.choices.remove(path);
            }
            (None, None) => {}
            (Some(old), theirs) if theirs == Some(old) => {}
            (Some(_), _) => return Err(Clash { entry: name }),
        }
    }
    for name in slaves {
        if let Some(link) = before.slaves.get(name) {
            now.slaves
                .entry(name.clone())
                .or_insert_with(|| link.clone());
        }
    }
    // A link of which no choice is left is none (update-alternatives forgets it, too).
    let used = |name: &Vec<u8>| {
        now.choices
            .values()
            .any(|one| one.slaves.contains_key(name))
    };
    let unused: Vec<Vec<u8>> = now
        .slaves
        .keys()
        .filter(|name| !used(name))
        .cloned()
        .collect();
    for name in unused {
        if !before.slaves.contains_key(&name) {
            now.slaves.remove(&name);
        }
    }
    if now.is_automatic == left.is_automatic && before != Group::default() {
        now.is_automatic = before.is_automatic;
    }
    if now.link.is_empty() {
        now.link = before.link;
    }
    Ok(now.write())
}
