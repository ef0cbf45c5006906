//! Has a person who may administer this host signed in over SSH since? Only a new
//! authentication counts: a monitoring probe that connects and leaves proves nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use model::{Probe, printable};
use resource::Answers;
use resource::kind::{administrators, sudoers};

use crate::act::program::Program;
use crate::journal::Header;
use crate::{Host, LocalHost};

const ASK_LIMIT: Duration = Duration::from_secs(5);

/// The programs that log a sign-in, where each release has them.
const SSHD: [&str; 2] = ["/usr/sbin/sshd", "/usr/lib/openssh/sshd-session"];

/// One successful authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    pub account: String,
    pub from: String,
}

/// Reads sshd's message: `Accepted publickey for ana from 10.0.4.7 port 51234 ssh2: …`.
pub fn parse_accepted(message: &str) -> Option<SignIn> {
    let rest = message.strip_prefix("Accepted ")?;
    let (method, rest) = rest.split_once(" for ")?;
    if method.is_empty() || method.contains(' ') {
        return None;
    }
    // An account's name has no blank; whatever follows is sshd's own.
    let mut words = rest.split(' ');
    let account = words.next()?.to_owned();
    if words.next()? != "from" {
        return None;
    }
    let from = words.next()?.to_owned();
    if words.next()? != "port" {
        return None;
    }
    words.next()?.parse::<u16>().ok()?;
    (!account.is_empty() && !from.is_empty()).then_some(SignIn { account, from })
}

/// One that was logged, and by which process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub sign_in: SignIn,
    /// The process of the connection.
    pub pid: u32,
}

/// Since when the connection of a sign-in lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    After,
    /// It was let in by what was there before the change.
    Before,
    /// Nobody knows which connections there were.
    Unknown,
}

/// Judges by the connection's process: sshd makes one for each, which keeps the configuration
/// that was there at that moment. One whose number is among those that there were when the change
/// took effect was let in by what was there before, and a number that came again is on the safe
/// side.
pub fn began(pid: u32, connections: Option<&BTreeSet<u32>>) -> Began {
    match connections {
        Some(connections) if connections.contains(&pid) => Began::Before,
        Some(_) => Began::After,
        None => Began::Unknown,
    }
}

/// What the log says of the time since a change took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Since {
    /// Who keeps it, as a text for the record.
    pub confirmed_by: Option<String>,
    /// Who else signed in, and why that keeps nothing.
    pub passed_over: Vec<String>,
}

/// Who signed in since the change took effect.
pub(super) fn since(header: &Header) -> Since {
    let mut since = Since::default();
    let (Some(activated), Some(wait)) = (header.activated, &header.wait) else {
        return since;
    };
    let accepted = from_journal(activated).unwrap_or_default();
    if accepted.is_empty() {
        return since;
    }
    let administrators = Administrators::now();
    for accepted in accepted {
        let SignIn { account, from } = &accepted.sign_in;
        let who = printable(account.as_bytes());
        let from = printable(from.as_bytes());
        let counts = match &administrators {
            Some(known) => administrators::counts(account, &known.0).and_then(|()| {
                match wait.way_to_root && !(header.root_alone && known.is_root(account)) {
                    true => Err(
                        "this changes who becomes root, which a sign-in does not show: \
                                 `sudo steadfast confirm` from there does"
                            .to_owned(),
                    ),
                    false => Ok(()),
                }
            }),
            None => Err("who administers this host can't be told".to_owned()),
        };
        let why = match (began(accepted.pid, wait.connections.as_ref()), counts) {
            (Began::After, Ok(())) => {
                since.confirmed_by = Some(format!("{who}, who signed in from {from}"));
                return since;
            }
            (Began::After, Err(why)) => format!("{who} signed in, which keeps nothing: {why}"),
            (Began::Before, _) => {
                format!("{who} signed in, over a connection that began before the change")
            }
            (Began::Unknown, _) => {
                format!("{who} signed in; when that connection began is unknown")
            }
        };
        if !since.passed_over.contains(&why) {
            since.passed_over.push(why);
        }
    }
    since
}

/// Messages that sshd itself wrote. None where there is no journald; log files are no
/// substitute, since anyone may have a line written there in sshd's name (logger(1)).
fn from_journal(activated: Timestamp) -> Option<Vec<Accepted>> {
    let seconds = activated.as_second();
    let ended = Program::find(&["/usr/bin/journalctl", "/bin/journalctl"])
        .ok()?
        .args([
            "--quiet".to_owned(),
            "--no-pager".to_owned(),
            "--output=json".to_owned(),
            "--output-fields=MESSAGE,_UID,_EXE,_PID".to_owned(),
            // The newest first, so that a flood of other messages hides none.
            "--reverse".to_owned(),
            "--lines=100".to_owned(),
            "--grep=^Accepted ".to_owned(),
            "--case-sensitive=true".to_owned(),
            format!("--since=@{seconds}"),
            "_UID=0".to_owned(),
            "_COMM=sshd".to_owned(),
            "+".to_owned(),
            "_UID=0".to_owned(),
            "_COMM=sshd-session".to_owned(),
        ])
        .limit(ASK_LIMIT)
        .run()
        .ok()?;
    ended
        .succeeded()
        .then(|| parse_journal(&ended.stdout, activated))
}

/// The sign-ins in what `journalctl --output=json` says, after `activated`. `_UID` and
/// `_EXE` are set by journald and can't be forged by whoever logs
/// (systemd.journal-fields(7)); `_COMM` and the identifier can: a link named `sshd` to a
/// set-user-id program is enough for the first, logger(1) for the second. A session that ended
/// before journald looked has no `_EXE`, and confirms nothing.
pub fn parse_journal(entries: &str, activated: Timestamp) -> Vec<Accepted> {
    let activated_us = activated.as_microsecond();
    let sign_ins = entries.lines().filter_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| entry.get(name)?.as_str();
        if field("_UID")? != "0" || !SSHD.contains(&field("_EXE")?) {
            return None;
        }
        // `--since` knows whole seconds only.
        let at: i64 = field("__REALTIME_TIMESTAMP")?.parse().ok()?;
        if at <= activated_us {
            return None;
        }
        Some(Accepted {
            sign_in: parse_accepted(field("MESSAGE")?)?,
            pid: field("_PID")?.parse().ok()?,
        })
    });
    sign_ins.collect()
}

/// What sudoers(5) and the account files say now.
struct Administrators(Answers);

impl Administrators {
    /// Each file that one includes is a round more.
    const ROUNDS: usize = 16;

    fn now() -> Option<Self> {
        let host = LocalHost::running().ok()?;
        let mut answers = Answers::default();
        let name = Probe::Sysctl {
            key: sudoers::HOSTNAME.to_owned(),
        };
        for probe in [Probe::Accounts, name] {
            let observed = host.probe(&probe);
            answers.insert(probe, observed);
        }
        for _ in 0..Self::ROUNDS {
            let probes = sudoers::read(&answers).1.into_iter();
            let open: BTreeSet<Probe> = probes.filter(|probe| !answers.contains(probe)).collect();
            if open.is_empty() {
                return Some(Self(answers));
            }
            for probe in open {
                let observed = host.probe(&probe);
                answers.insert(probe, observed);
            }
        }
        None
    }

    fn is_root(&self, account: &str) -> bool {
        let accounts = self.0.accounts().known();
        let mut accounts = accounts.iter().flat_map(|seen| &seen.accounts);
        accounts.any(|seen| seen.name == account && seen.uid == 0)
    }
}
