//! `limits.conf`: which limits keep people from signing in (limits.conf(5)). One on core files or
//! locked memory ends nobody's session; none at all on processes ends each.

use std::collections::BTreeSet;

/// What a session can't do without, and the least of it that is taken to be enough for one. A
/// limit on the number of sign-ins is always one on sign-ins.
const NEEDED: [(&str, Option<u64>); 11] = [
    ("maxlogins", None),
    ("maxsyslogins", None),
    ("nonewprivs", None),
    // Debian's own: a directory to which the session is shut up, and in which as a rule no shell is.
    ("chroot", None),
    // In minutes: whoever works longer is ended.
    ("cpu", None),
    ("nproc", Some(256)),
    ("nofile", Some(256)),
    // In KiB from here.
    ("as", Some(4 << 20)),
    ("data", Some(1 << 20)),
    ("stack", Some(1 << 10)),
    ("fsize", Some(1 << 20)),
];

/// Does the file, as it becomes, take nothing from those who sign in that it did not take before?
pub(super) fn are_harmless(before: &str, after: &str) -> bool {
    let (before, after) = (limits(before), limits(after));
    let tight = |limits: &BTreeSet<Limit>| -> BTreeSet<Limit> {
        limits
            .iter()
            .filter(|one| one.is_tight())
            .cloned()
            .collect()
    };
    // What frees somebody from a limit that stands here or in another file stays.
    let mut wide = before.iter().filter(|one| !one.is_tight());
    tight(&after).is_subset(&tight(&before)) && wide.all(|one| after.contains(one))
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Limit {
    domain: String,
    kind: String,
    item: String,
    value: String,
}

impl Limit {
    fn is_tight(&self) -> bool {
        let enough = NEEDED.iter().find(|(item, _)| *item == self.item);
        let Some((item, enough)) = enough else {
            return false;
        };
        // limits.conf(5): "-1, unlimited or infinity": no limit. Off is zero for `nonewprivs`.
        match (self.value.parse::<u64>(), enough) {
            (Ok(0), None) if *item == "nonewprivs" => false,
            (Ok(value), Some(enough)) => value < *enough,
            (Ok(_), None) => true,
            (Err(_), _) => !matches!(&*self.value, "-1" | "unlimited" | "infinity"),
        }
    }
}

/// Those of what a session needs. What is not of four words says nothing, or takes every limit
/// from its domain (`@admins -`).
fn limits(text: &str) -> BTreeSet<Limit> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    lines
        .filter_map(|line| {
            let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
            match words.as_slice() {
                [domain, kind, item, value] if NEEDED.iter().any(|(name, _)| name == item) => {
                    Some(Limit {
                        domain: domain.clone(),
                        kind: kind.clone(),
                        item: item.clone(),
                        value: value.clone(),
                    })
                }
                [domain, kind] if kind == "-" => Some(Limit {
                    domain: domain.clone(),
                    kind: kind.clone(),
                    item: String::new(),
                    value: String::new(),
                }),
                _ => None,
            }
        })
        .collect()
}
