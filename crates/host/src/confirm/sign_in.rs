//! Has a person who may administer this host signed in over SSH since? Only a new
//! authentication counts: a monitoring probe that connects and leaves proves nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use model::printable;
use resource::kind::administrators;

use crate::act::place::Root;
use crate::act::program::Program;
use crate::journal::Header;
use model::HostPath;

/// Account files and sudoers are small; what is larger names nobody.
const FILE_LIMIT_BYTES: u64 = 4 << 20;
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
    let Ok(root) = Root::live() else { return since };
    for accepted in from_journal(activated).unwrap_or_default() {
        let SignIn { account, from } = &accepted.sign_in;
        if !may_administer(&root, account) {
            continue;
        }
        let who = printable(account.as_bytes());
        match began(accepted.pid, wait.connections.as_ref()) {
            Began::After => {
                let from = printable(from.as_bytes());
                since.confirmed_by = Some(format!("{who}, who signed in from {from}"));
                return since;
            }
            Began::Before => since.passed_over.push(format!(
                "{who} signed in, over a connection that began before the change"
            )),
            Began::Unknown => since.passed_over.push(format!(
                "{who} signed in; when that connection began is unknown"
            )),
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

/// Root, a member of an administrators' group, or someone whom sudoers names.
fn may_administer(root: &Root, account: &str) -> bool {
    let read = |path: HostPath| {
        let bytes = root.read(&path, FILE_LIMIT_BYTES).ok().flatten();
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let passwd = read(HostPath::literal("/etc/passwd"));
    let entry = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(account));
    let Some(entry) = entry else { return false };
    let mut ids = entry.split(':').skip(2);
    let (uid, gid) = (ids.next(), ids.next());
    if uid == Some("0") {
        return true;
    }
    let group = read(HostPath::literal("/etc/group"));
    let in_admin_group = group.lines().any(|line| {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        let number = fields.nth(1);
        let mut members = fields.next().unwrap_or_default().split(',');
        administrators::GROUPS.contains(&name)
            && (number.is_some() && number == gid || members.any(|member| member == account))
    });
    in_admin_group || sudoers_names(root, account)
}

/// A rule that begins with the account's name (sudoers(5)). Aliases are not followed: who is
/// only named through one confirms with the command.
fn sudoers_names(root: &Root, account: &str) -> bool {
    let mut files = vec![HostPath::literal("/etc/sudoers")];
    if let Ok(entries) = std::fs::read_dir("/etc/sudoers.d") {
        let named = entries.filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let name = name.to_str().filter(|name| !name.contains(['.', '~']))?;
            HostPath::literal("/etc/sudoers.d").join(name).ok()
        });
        files.extend(named.take(1000));
    }
    files.into_iter().any(|path| {
        let bytes = root.read(&path, FILE_LIMIT_BYTES).ok().flatten();
        String::from_utf8_lossy(&bytes.unwrap_or_default())
            .lines()
            .any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(account) && line.contains('=')
            })
    })
}
