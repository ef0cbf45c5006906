//! The hash of new passwords that the stacks of PAM really make: an option of pam_unix(8) counts
//! before `ENCRYPT_METHOD` of login.defs(5), of which pam_unix takes the first line that it finds.

use model::value::Reason;
use model::{Expectation, Probe, SourceLine, printable};

use super::pam::with_argument;
use super::pam_stack::{self, Entry};
use crate::{Answers, Drift};

const MODULE: &str = "pam_unix.so";
/// What passwd(1), chpasswd(8) and sign-ins with a password that ended share.
const COMMON: &str = "common-password";

/// The options, and the word of login.defs(5) for the same.
const METHODS: [(&str, &str); 7] = [
    ("bigcrypt", "DES"),
    ("blowfish", "BCRYPT"),
    ("gost_yescrypt", "GOST_YESCRYPT"),
    ("md5", "MD5"),
    ("sha256", "SHA256"),
    ("sha512", "SHA512"),
    ("yescrypt", "YESCRYPT"),
];

fn stacks(seen: &Answers) -> (Vec<Entry>, Option<Reason>, Vec<Probe>) {
    let (mut services, mut hidden, mut probes) = pam_stack::services(seen);
    services.push(COMMON.to_owned());
    let mut calls: Vec<Entry> = Vec::new();
    for service in services {
        let (stack, more) = pam_stack::read(seen, &service);
        probes.extend(more);
        match stack.hidden {
            // Without a file that it includes, nobody gets in by it.
            Some(Reason::Unavailable { .. }) => {}
            Some(reason) => {
                hidden.get_or_insert(reason);
            }
            None => {
                let is_meant = |entry: &Entry| {
                    entry.call.facility == "password" && entry.call.module == MODULE
                };
                for entry in stack.entries.into_iter().filter(is_meant) {
                    if !calls.iter().any(|known| known.at == entry.at) {
                        calls.push(entry);
                    }
                }
            }
        }
    }
    (calls, hidden, probes)
}

pub fn probes(seen: &Answers) -> Vec<Probe> {
    stacks(seen).2
}

/// What pam_unix makes where neither an option nor login.defs says anything that it knows.
const UNKNOWN: &str = "DES";

/// The hash that a value of `ENCRYPT_METHOD` is to pam_unix: it looks whether the value begins
/// with one of its options, in any letter case, and knows no other word for them.
pub fn named_by(value: &str) -> &'static str {
    let begins = |option: &str| {
        let start = value.as_bytes().get(..option.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(option.as_bytes()))
    };
    let known = METHODS.iter().find(|(option, _)| begins(option));
    known.map_or(UNKNOWN, |(_, name)| name)
}

/// An option of a call; each takes the place of the one before it.
fn option_of(entry: &Entry) -> Option<(&'static str, &'static str)> {
    entry.call.args.iter().rev().find_map(|argument| {
        let known = METHODS
            .iter()
            .find(|(option, _)| argument.starts_with(option));
        known.copied()
    })
}

/// What the calls make of new passwords.
pub struct Hashes {
    /// Those that make another hash than is wanted by an option of their own.
    pub drifts: Vec<Drift>,
    /// Where every call has an option of its own, nothing asks login.defs: what they are.
    pub without_file: Option<(String, Vec<SourceLine>)>,
    /// Why some calls may not be known.
    pub untold: Option<Reason>,
}

pub fn hashes(wanted: &Expectation, seen: &Answers) -> Hashes {
    let (calls, untold, _) = stacks(seen);
    let drifts = calls.iter().filter_map(|entry| {
        let (option, _) = option_of(entry).filter(|(_, name)| !wanted.holds_ignoring_case(name))?;
        let set = wanted.set();
        let instead = METHODS
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(&set));
        let edit = instead.and_then(|(instead, _)| with_argument(entry, option, instead));
        Some(Drift {
            observed: format!("{option} for {MODULE}"),
            wanted: wanted.to_string(),
            at: vec![entry.at.clone()],
            note: Some("it counts before ENCRYPT_METHOD of login.defs".to_owned()),
            by_hand: edit.is_none().then(|| {
                let set = printable(set.to_lowercase().as_bytes());
                format!("set `{set}` instead of `{option}` there")
            }),
            edits: edit.into_iter().collect(),
            ..Drift::default()
        })
    });
    let drifts = drifts.collect();
    let options: Option<Vec<&str>> = calls
        .iter()
        .map(|entry| option_of(entry).map(|(option, _)| option))
        .collect();
    let without_file = options.filter(|all| !all.is_empty()).map(|mut all| {
        all.sort_unstable();
        all.dedup();
        let at = calls.iter().map(|entry| entry.at.clone()).collect();
        (format!("{} for {MODULE}", all.join(" and ")), at)
    });
    Hashes {
        drifts,
        without_file,
        untold,
    }
}
