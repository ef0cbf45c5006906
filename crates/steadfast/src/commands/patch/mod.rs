//! `steadfast patch`: pending upgrades of packages, rehearsed, applied and taken back exactly.

mod apply;
mod plan;
mod status;

use ::plan::patch::{Patching, User};
use clap::ValueEnum;
use host::packages::users::processes;
use host::packages::{
    Check, Pending, UpgradeError, UpgradeRehearsed, fetch, pending, rehearse_upgrade,
};
use host::{Host, LocalHost, State};
use model::plan::{LeftAlone, Patches};
use model::{HostPath, PackageUpgrade, Plan, Premise, Probe};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::diff::{self, Difference, LineKind};

/// Upgrade packages: rehearsed on a copy of this host first, and taken back exactly
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Plan(plan::Args),
    Apply(apply::Args),
    Status(status::Args),
}

pub fn run(command: &Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Plan(args) => plan::run(args, context),
        Command::Apply(args) => apply::run(args, context),
        Command::Status(args) => status::run(args),
    }
}

/// Which of the pending upgrades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// All that remove nothing
    #[default]
    All,
    /// What the distribution publishes as security updates, and what that needs
    Security,
}

impl From<Only> for Patches {
    fn from(only: Only) -> Self {
        match only {
            Only::All => Self::All,
            Only::Security => Self::Security,
        }
    }
}

/// What the package manager's answers rest on.
const DATABASE: [&str; 2] = ["/var/lib/dpkg/status", "/var/lib/apt/extended_states"];

/// Programs that say whether their configuration and their libraries still fit, where they are
/// installed.
const CHECKS: [&[&str]; 5] = [
    &["/usr/sbin/sshd", "-t"],
    &["/usr/sbin/nginx", "-t"],
    &["/usr/sbin/visudo", "-c"],
    &["/usr/bin/systemctl", "--version"],
    &["/usr/bin/apt-get", "--version"],
];

/// Finds out what is pending, fetches it, rehearses it, and plans it. Installs nothing.
fn make(patches: Patches, host: &LocalHost, state: &State) -> Result<Plan, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(
            Exit::BadInput,
            "a patch is rehearsed on a copy of the whole host, which only root can make",
            "run with sudo",
        ));
    }
    let because = |error| Failure::because(Exit::Unchecked, error);
    host::packages::check().map_err(|error| {
        Failure::with_help(
            Exit::Findings,
            error,
            "nothing was changed; finish what was begun first: dpkg --configure -a",
        )
    })?;
    crate::say(format_args!("asking the package manager"));
    let (pending, held) = pending(patches).map_err(because)?;
    let premises = premises(host);
    let mut left_alone: Vec<LeftAlone> = held.iter().map(held_back).collect();
    crate::say(format_args!("fetching {} package(s)", pending.len()));
    let (packages, unpacked_bytes) = fetch(state, pending).map_err(|error| {
        let help =
            "nothing was installed; is the network there, and are the lists fresh: apt-get update";
        Failure::with_help(Exit::Unchecked, error, help)
    })?;
    let seen = match packages.is_empty() {
        true => UpgradeRehearsed::default(),
        false => rehearsed(state, &packages, unpacked_bytes)?,
    };
    left_alone.extend(
        seen.conflicts
            .iter()
            .map(|(path, maintainers)| conflict(path, maintainers)),
    );
    let users = processes()
        .into_iter()
        .map(|process| User {
            unit: process.unit,
            name: process.name,
            maps: process.maps.into_iter().chain(process.deleted).collect(),
        })
        .collect();
    Ok(::plan::patch::plan(Patching {
        host: host.identity(),
        patches,
        packages,
        writes: seen.writes,
        users,
        premises,
        left_alone,
    }))
}

fn premises(host: &LocalHost) -> Vec<Premise> {
    DATABASE
        .iter()
        .map(|path| {
            let probe = Probe::FileDigest {
                path: HostPath::literal(path),
            };
            let seen = host.probe(&probe);
            Premise {
                digest: seen.digest,
                seen: Some(seen),
                probe,
            }
        })
        .collect()
}

fn held_back(pending: &Pending) -> LeftAlone {
    let from = pending.from.as_deref().unwrap_or("nothing");
    let what = if pending.is_security() {
        "a security update is"
    } else {
        "a newer version is"
    };
    LeftAlone {
        what: pending.name.clone(),
        why: format!("is held at {from}, and {what} {}", pending.to),
        at: Vec::new(),
    }
}

/// A configuration file that stays as the administrator wrote it.
fn conflict(path: &HostPath, maintainers: &[u8]) -> LeftAlone {
    let ours = std::fs::read(path.as_path()).unwrap_or_default();
    let lines = match diff::compare(Some(&ours), maintainers) {
        Difference::Lines(lines) => lines
            .iter()
            .filter(|line| matches!(line.kind, LineKind::Added | LineKind::Removed))
            .count(),
        Difference::Same | Difference::Opaque => 0,
    };
    LeftAlone {
        what: path.to_string(),
        why: format!(
            "was changed on this host and stays as it is; the maintainer's new version, which \
             differs in {lines} line(s), is put beside it as .dpkg-dist"
        ),
        at: Vec::new(),
    }
}

fn rehearsed(
    state: &State,
    packages: &[PackageUpgrade],
    unpacked_bytes: u64,
) -> Result<UpgradeRehearsed, Failure> {
    crate::say(format_args!("rehearsing it on a copy of this host"));
    let checks: Vec<Check> = CHECKS
        .iter()
        .filter(|argv| std::path::Path::new(argv[0]).is_file())
        .map(|argv| Check {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        })
        .collect();
    let rehearsed =
        rehearse_upgrade(state, packages, unpacked_bytes, &checks).map_err(|error| {
            let help = match &error {
                UpgradeError::Fails(_) => "nothing was changed on this host",
                _ => "nothing was changed, and nothing is applied that was not rehearsed",
            };
            Failure::with_help(Exit::Findings, error, help)
        })?;
    match rehearsed.broken.first_key_value() {
        None => Ok(rehearsed),
        Some((check, said)) => Err(Failure::new(
            Exit::Findings,
            format_args!("after the upgrade, on a copy of this host, `{check}` fails: {said}"),
            "nothing was changed on this host",
        )),
    }
}
