//! Programs that are asked something, read-only. Each runs by absolute path, with an
//! argument list, a clean environment, no input, a time limit and bounded output, without
//! network, with the least capabilities, and on a read-only view of the file system:
//! asking as root has side effects otherwise (`nginx -T` changes the owners of directories,
//! `sshd -T` wants a directory to exist). Programs of a tree that is looked at from outside
//! are never run.

pub mod run;
pub mod sandbox;
mod sockets;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::value::{FileType, Output, Reason};
use model::{HostPath, Tool, Value, printable};

use crate::act::names::Account;
use crate::local::Inner;
use crate::tree::Trouble;
use rustix::process::{Gid, Uid};
use rustix::thread::CapabilitySet;
use sandbox::Sandbox;

/// A program that says what its configuration is does so in milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

/// A check of a policy may ask for more time, but not for so much that an audit never ends.
const MOST_COMMAND_MS: u32 = 300_000;

/// `/usr/sbin/sshd` where each release has it: other places are other builds, which the
/// host's service does not run.
pub fn programs() -> BTreeMap<Tool, PathBuf> {
    BTreeMap::from([
        (Tool::SshdEffective, PathBuf::from("/usr/sbin/sshd")),
        (Tool::NginxDump, PathBuf::from("/usr/sbin/nginx")),
        (Tool::Getent, PathBuf::from("/usr/bin/getent")),
    ])
}

/// What a known program is asked with.
///
/// # Errors
/// When that could make it do something else.
pub(crate) fn arguments(tool: Tool, args: &[String]) -> Result<Vec<String>, String> {
    let (own, is_fine): (&[&str], bool) = match tool {
        Tool::SshdEffective => (&["-T"], is_connection(args)),
        Tool::NginxDump => (&["-T", "-q"], args.is_empty()),
        Tool::Getent => (&[], is_question(args)),
    };
    if !is_fine {
        return Err(format!(
            "not to be asked with `{}`",
            printable(args.join(" ").as_bytes())
        ));
    }
    let own = own.iter().map(|&word| word.to_owned());
    Ok(own.chain(args.iter().cloned()).collect())
}

/// Asks a known program.
pub(crate) fn ask(host: &Arc<Inner>, tool: Tool, args: &[String]) -> Result<Value, Trouble> {
    host.refuse_offline()?;
    let program = &host.programs[&tool];
    let all = arguments(tool, args).map_err(|why| Reason::Failed { why })?;
    let mut sandbox = Sandbox::default();
    match tool {
        Tool::SshdEffective => {
            // Reading host keys is root's.
            needs_root(host)?;
            sandbox.keep = CapabilitySet::DAC_READ_SEARCH;
            // sshd refuses to say anything without its directory, which exists only while
            // the service runs.
            if !host.tree.exists(&HostPath::literal("/run/sshd")) {
                sandbox.scratch.push(c"/run");
                sandbox.make_directory = Some(c"/run/sshd");
            }
        }
        Tool::NginxDump => {
            needs_root(host)?;
            // It opens its logs for writing and gives its directories to its user, even to
            // only show its configuration: it gets throwaway ones.
            sandbox.keep = CapabilitySet::DAC_READ_SEARCH
                | CapabilitySet::DAC_OVERRIDE
                | CapabilitySet::CHOWN
                | CapabilitySet::FOWNER;
            sandbox.scratch.extend([c"/run", c"/var/log", c"/var/lib"]);
        }
        Tool::Getent => {
            // It only reads, and connects to sockets: an ordinary user may run it as it is.
            sandbox.optional = !host.tree.is_root();
        }
    }
    let all: Vec<OsString> = all.iter().map(OsString::from).collect();
    trusted(host, program)?;
    run::run(program, &all, sandbox, LIMIT).map(Value::Output)
}

/// A check that the user's own policy declares.
pub(crate) fn command(
    host: &Arc<Inner>,
    argv: &[String],
    timeout_ms: u32,
    user: Option<&str>,
    sockets: bool,
) -> Result<Value, Trouble> {
    host.refuse_offline()?;
    let Some((program, args)) = argv.split_first() else {
        return Err(Reason::Malformed {
            why: "a command without a program".to_owned(),
        }
        .into());
    };
    let program = Path::new(program);
    trusted(host, program)?;
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let mut sandbox = Sandbox {
        keep: CapabilitySet::DAC_READ_SEARCH,
        no_sockets: !sockets,
        ..Sandbox::default()
    };
    let account = user.map(|name| account(host, name)).transpose()?;
    let mut variables = Vec::new();
    if let Some(account) = &account {
        sandbox.account = Some((Uid::from_raw(account.uid), Gid::from_raw(account.gid)));
        sandbox.groups = account.groups.iter().copied().map(Gid::from_raw).collect();
        variables = account.variables().to_vec();
    }
    let limit = Duration::from_millis(u64::from(timeout_ms.clamp(1, MOST_COMMAND_MS)));
    let prepared = sandbox.prepare();
    run::run_within(program, &args, &variables, move || prepared.enter(), limit).map(Value::Output)
}

/// The account that a check runs as.
fn account(host: &Arc<Inner>, name: &str) -> Result<Account, Trouble> {
    let account = Account::find(name).map_err(|error| Reason::Failed {
        why: error.to_string(),
    })?;
    let own = rustix::process::geteuid().as_raw();
    match host.tree.is_root() || account.uid == own {
        true => Ok(account),
        false => Err(Reason::NeedsRoot.into()),
    }
}

/// `auditctl -l`.
pub(crate) fn audit_rules(host: &Arc<Inner>) -> Result<Output, Trouble> {
    audit(host, "-l")
}

/// `auditctl -s`.
pub(crate) fn audit_status(host: &Arc<Inner>) -> Result<Output, Trouble> {
    audit(host, "-s")
}

fn audit(host: &Arc<Inner>, question: &str) -> Result<Output, Trouble> {
    needs_root(host)?;
    trusted(host, &host.audit_program).map_err(|trouble| match trouble {
        Trouble::Absent => Reason::Unavailable {
            what: "auditctl is not installed, so the kernel's audit rules can't be listed"
                .to_owned(),
        }
        .into(),
        other => other,
    })?;
    let sandbox = Sandbox {
        // "Requires CAP_AUDIT_CONTROL" even to list (kernel/audit.c, `audit_netlink_ok`).
        keep: CapabilitySet::AUDIT_CONTROL,
        ..Sandbox::default()
    };
    run::run(&host.audit_program, &[question.into()], sandbox, LIMIT)
}

fn needs_root(host: &Inner) -> Result<(), Trouble> {
    if host.tree.is_root() {
        Ok(())
    } else {
        Err(Reason::NeedsRoot.into())
    }
}

/// `DATABASE NAME…` (getent(1)).
fn is_question(args: &[String]) -> bool {
    let known = ["passwd", "group", "initgroups", "shadow"];
    match args {
        [database, names @ ..] => {
            known.contains(&database.as_str()) && names.iter().all(|name| !name.starts_with('-'))
        }
        [] => false,
    }
}

/// `-C key=value,…` pairs only (sshd(8)): any other argument could make sshd do something.
fn is_connection(args: &[String]) -> bool {
    args.chunks(2).all(|pair| match pair {
        [flag, value] => {
            flag == "-C"
                && value.contains('=')
                && !value.starts_with('-')
                && !value.chars().any(char::is_control)
        }
        _ => false,
    })
}

/// Root runs a program only when nobody else could have written it.
fn trusted(host: &Arc<Inner>, program: &Path) -> Result<(), Trouble> {
    use std::os::unix::ffi::OsStrExt;
    let path = HostPath::from_bytes(program.as_os_str().as_bytes()).map_err(|error| {
        Trouble::Unknown(Reason::Malformed {
            why: error.to_string(),
        })
    })?;
    let wanted = path.clone();
    let node = host.look(&path, move |host| Ok(host.tree.open_file(&wanted)?.node))?;
    let others_write = node.mode.bits() & 0o022 != 0;
    if host.tree.is_root() && (node.uid != 0 || others_write) {
        return Err(Reason::Failed {
            why: format!("`{path}` is not run as root: others than root may write it"),
        }
        .into());
    }
    debug_assert_eq!(node.file_type, FileType::Regular);
    Ok(())
}
