//! The mask of new files that people's sessions really have: what `UMASK` of login.defs(5) is to
//! them, and what overrules it (pam_umask(8)).

use model::value::Reason;
use model::{HostPath, Mode, Probe, SourceLine, printable};

use super::pam_session::{self, Session};
use crate::{Answers, ContentEdit, Drift, Edit, NewFile, Seen};

const MODULE: &str = "pam_umask.so";
const COMMON: &str = "/etc/pam.d/common-session";
const PROFILE: &str = "/etc/profile";
const PROFILES: &str = "/etc/profile.d";
const BASHRC: &str = "/etc/bash.bashrc";

pub fn probes(seen: &Answers) -> Vec<Probe> {
    let (_, _, mut probes) = pam_session::sessions(seen);
    probes.push(Probe::Accounts);
    probes.push(Probe::Dir {
        path: HostPath::literal(PROFILES),
    });
    probes.extend(profiles(seen).into_iter().flatten().map(Probe::file));
    probes
}

/// The files that shells read as somebody signs in.
fn profiles(seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    let mut files = vec![HostPath::literal(PROFILE), HostPath::literal(BASHRC)];
    let directory = HostPath::literal(PROFILES);
    files.extend(seen.files_in(&directory, |name| name.ends_with(b".sh"))?);
    Ok(files)
}

/// What gives sessions another mask than `UMASK` does, where that one lets more through.
pub fn overruled(wanted: Mode, seen: &Answers) -> (Vec<Drift>, Option<Reason>) {
    let (sessions, mut untold, _) = pam_session::sessions(seen);
    // Without PAM's services nobody has a session by it.
    if sessions.is_empty() {
        return (Vec::new(), untold);
    }
    let mut drifts = Vec::new();
    let mut appended = false;
    for session in &sessions {
        match session.calls(MODULE).last() {
            None => {
                let drift = without(session, wanted);
                // One line in the file that they share does for all.
                if drift.edits.is_empty() || !appended {
                    appended |= !drift.edits.is_empty();
                    drifts.push(drift);
                }
            }
            Some(entry) => {
                let Some(mask) = entry.call.argument("umask") else {
                    continue;
                };
                if !takes_away(mask, wanted) {
                    let drift = Drift {
                        observed: format!("umask={}", printable(mask.as_bytes())),
                        wanted: said(wanted),
                        at: vec![entry.at.clone()],
                        note: Some(format!("{MODULE} is told so, and asks no file")),
                        by_hand: Some(format!("take `umask=` away from {MODULE} there")),
                        ..Drift::default()
                    };
                    if !drifts.contains(&drift) {
                        drifts.push(drift);
                    }
                }
            }
        }
    }
    match seen.accounts() {
        Seen::Known(accounts) => {
            let passwd = HostPath::literal("/etc/passwd");
            for account in &accounts.accounts {
                let mask = account
                    .comment
                    .split(',')
                    .find_map(|part| part.trim().strip_prefix("umask="));
                if let Some(mask) = mask.filter(|mask| !takes_away(mask, wanted)) {
                    drifts.push(Drift {
                        observed: format!(
                            "umask={} in the comment of `{}`",
                            printable(mask.as_bytes()),
                            printable(account.name.as_bytes())
                        ),
                        wanted: said(wanted),
                        at: vec![SourceLine::new(passwd.clone(), account.line)],
                        by_hand: Some("take it away with `usermod --comment`".to_owned()),
                        ..Drift::default()
                    });
                }
            }
        }
        Seen::Unknown(reason) => {
            untold.get_or_insert(reason);
        }
        Seen::Absent | Seen::NotAsked => {}
    }
    let profiles = profiles(seen).unwrap_or_else(|reason| {
        untold.get_or_insert(reason);
        Vec::new()
    });
    for path in profiles {
        match seen.file(&path) {
            Seen::Known(file) => {
                let text = String::from_utf8_lossy(file.content.as_bytes());
                for (number, mask) in masks(&text) {
                    let at = SourceLine::new(path.clone(), number);
                    match octal(mask) {
                        Some(bits) if bits & wanted.bits() == wanted.bits() => {}
                        Some(_) => drifts.push(Drift {
                            observed: format!("umask {mask} for shells"),
                            wanted: said(wanted),
                            at: vec![at],
                            by_hand: Some("take it away, or make it stricter, there".to_owned()),
                            ..Drift::default()
                        }),
                        None => {
                            let why = format!("{at}: this umask is not a number");
                            untold.get_or_insert(Reason::Malformed { why });
                        }
                    }
                }
            }
            Seen::Unknown(reason) => {
                untold.get_or_insert(reason);
            }
            Seen::Absent | Seen::NotAsked => {}
        }
    }
    (drifts, untold)
}

fn said(wanted: Mode) -> String {
    format!("at least {:03o} taken away", wanted.bits())
}

/// A service that does not call the module: `UMASK` is nothing to it.
fn without(session: &Session, wanted: Mode) -> Drift {
    let edits = match session.includes_common() {
        Some(_) => vec![Edit::Content {
            path: HostPath::literal(COMMON),
            // After the block that pam-auth-update(8) writes anew.
            change: ContentEdit::Append(format!("session optional\t\t\t{MODULE}")),
            new_file: Some(NewFile::default()),
            as_user: None,
        }],
        None => Vec::new(),
    };
    Drift {
        observed: format!("{MODULE} is not called by {}", session.name()),
        wanted: said(wanted),
        at: session
            .includes_common()
            .map(|at| SourceLine::file(at.path.clone()))
            .or_else(|| session.path().map(SourceLine::file))
            .into_iter()
            .collect(),
        note: Some("so UMASK is not set in sessions".to_owned()),
        by_hand: edits
            .is_empty()
            .then(|| format!("add `session optional {MODULE}` there")),
        edits,
        ..Drift::default()
    }
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok()
}

fn takes_away(text: &str, wanted: Mode) -> bool {
    octal(text).is_some_and(|bits| bits & wanted.bits() == wanted.bits())
}

/// The masks that a shell's file sets, each with its line: `umask` where a command begins.
fn masks(text: &str) -> Vec<(u32, &str)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.starts_with('#') {
            continue;
        }
        for command in line.split([';', '&', '|', '{', '(', ')']) {
            let mut words = command
                .split_whitespace()
                .skip_while(|word| ["then", "else", "do", "!", "builtin"].contains(word));
            if words.next() != Some("umask") {
                continue;
            }
            let mask = words.find(|word| !matches!(*word, "-S" | "-p"));
            if let Some(mask) = mask.filter(|mask| !mask.starts_with(['#', '>'])) {
                found.push((number, mask));
            }
        }
    }
    found
}
