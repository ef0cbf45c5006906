//! The hash of new passwords that the stacks of PAM really make: an option of pam_unix(8) counts
//! before `ENCRYPT_METHOD` of login.defs(5).

use model::value::Reason;
use model::{Expectation, Probe, printable};

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

/// Calls that make another hash than is wanted, and why some may not be known.
pub fn overruled(wanted: &Expectation, seen: &Answers) -> (Vec<Drift>, Option<Reason>) {
    let (calls, hidden, _) = stacks(seen);
    let drifts = calls.iter().filter_map(|entry| {
        // Each takes the place of the one before it.
        let method = entry
            .call
            .args
            .iter()
            .rev()
            .find_map(|argument| METHODS.iter().find(|(option, _)| option == argument));
        let (option, _) = method.filter(|(_, name)| !wanted.holds_ignoring_case(name))?;
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
    (drifts.collect(), hidden)
}
