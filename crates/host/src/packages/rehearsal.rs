//! An upgrade on a copy of this host: what it writes, what it takes of each disk, and whether
//! programs still accept the host after it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::HostPath;
use model::count::size;
use model::patching::{DATA_PLACES, DebconfAnswer};
use model::value::Output;
use serde::Serialize;

use super::changes::{Changes, read_changes};
use super::fetch::Fetched;
use super::said;
use crate::act::ActError;
use crate::act::package::{APT_VARIABLES, automatic};
use crate::act::program::{Program, end_of};
use crate::act::upgrade::{CONFIGURE, Work, archives_below, names_of};
use crate::rehearse::writes::READABLE_BYTES;
use crate::rehearse::{Look, Place, RehearseError, Rehearsed, Step, Untold, rehearse};
use crate::state::State;

/// A check that takes longer than this tells nothing.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// A program that must accept the upgraded host, and is asked on the copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Check {
    /// The first is a program's absolute path.
    pub argv: Vec<String>,
    pub limit: Duration,
}

impl Check {
    /// One of a program that is expected to answer at once.
    pub fn of(argv: &[&str]) -> Self {
        Self {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            limit: CHECK_LIMIT,
        }
    }

    /// As one line.
    pub fn shown(&self) -> String {
        model::printable(self.argv.join(" ").as_bytes())
    }

    /// Asks it on the host. Why not, where it does not pass.
    ///
    /// # Errors
    /// With what it said.
    pub fn ask(&self) -> Result<(), String> {
        let (program, args) = self.argv.split_first().ok_or("it names no program")?;
        let ended = Program::find(&[program.as_str()])
            .and_then(|program| program.args(args).limit(self.limit).run())
            .map_err(|error| error.to_string())?;
        match ended.succeeded() {
            true => Ok(()),
            false => Err(end_of(&ended.stdout, &ended.stderr)),
        }
    }
}

/// What a rehearsal of an upgrade told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeRehearsed {
    /// Every path that the upgrade writes.
    pub writes: BTreeSet<HostPath>,
    /// Where the copy's layers were.
    pub place: Place,
    /// Did a control group bound the number and the memory of its processes?
    pub is_bounded: bool,
    /// What it takes of each file system.
    pub room: Vec<Room>,
    /// Checks that passed before the upgrade and do not after it, with what they said.
    pub broken: BTreeMap<Check, String>,
    /// Configuration files that the administrator changed and that stay as they are, with the
    /// maintainer's new version, which is put beside each.
    pub conflicts: BTreeMap<HostPath, Vec<u8>>,
    /// Questions that packages asked of whoever installs them, and that nobody has answered: each with
    /// how urgent its package calls it (debconf-devel(7)).
    pub questions: Vec<String>,
    /// What the changelogs of the new versions say, by the names of the packages.
    pub changes: BTreeMap<String, Changes>,
}

/// What an upgrade takes of a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Where it is mounted.
    pub at: PathBuf,
    /// What the upgrade writes there.
    pub written_bytes: u64,
    pub free_bytes: u64,
}

/// Of a package of Debian's own making, below its folder in `/usr/share/doc` (Debian policy, 12.7).
const CHANGELOG: &str = "/changelog.Debian.gz";
/// What was answered before (debconf.conf(5)).
const DEBCONF: &str = "/var/cache/debconf/config.dat";
/// Where dpkg puts the maintainer's version of a configuration file that was changed here.
const BESIDE: &str = ".dpkg-dist";

/// Why an upgrade is not fit for the host.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error(transparent)]
    Act(#[from] ActError),
    #[error(transparent)]
    Rehearse(#[from] RehearseError),
    /// A file system would be full before the end.
    #[error(
        "no room below `{}`: the upgrade writes {} there, and {} are free",
        at.display(),
        size(*needed_bytes),
        size(*free_bytes)
    )]
    NoRoom {
        at: PathBuf,
        needed_bytes: u64,
        free_bytes: u64,
    },
    /// It fails on a copy of this host, and would fail on the host.
    #[error("the upgrade fails on a copy of this host: {why}")]
    Fails {
        why: String,
        /// Those at which it failed, where dpkg names them, without their architectures.
        packages: Vec<String>,
    },
}

/// Upgrades a copy of this host, and asks the checks there, before and after. What dpkg left
/// `unfinished` is finished first. What it writes below `data` is in no write set.
///
/// # Errors
/// When no copy can be made, and when the upgrade fails on it.
pub fn rehearse_upgrade(
    state: &State,
    fetched: &Fetched,
    unfinished: &[String],
    answers: &[DebconfAnswer],
    checks: &[Check],
    data: &[HostPath],
    limit: Duration,
) -> Result<UpgradeRehearsed, UpgradeError> {
    let work = Work {
        packages: &fetched.packages,
        unfinished,
        answers,
        ..Work::default()
    };
    let unpacked_bytes = fetched.unpacked_bytes;
    rehearse_work(
        state,
        work,
        unpacked_bytes,
        checks,
        data,
        limit,
        &mut |_| (),
    )
}

/// The same of whatever is done with packages. `look` is shown the copy when all of it is done,
/// and only where it went well.
///
/// # Errors
/// When no copy can be made, and when the work fails on it.
pub fn rehearse_work(
    state: &State,
    work: Work<'_>,
    unpacked_bytes: u64,
    checks: &[Check],
    data: &[HostPath],
    limit: Duration,
    look: Look<'_>,
) -> Result<UpgradeRehearsed, UpgradeError> {
    let again = !work.unfinished.is_empty();
    let packages = work.packages;
    let given = work.answers;
    let archives = archives_below(state.images().directory());
    let step = |check: &Check| Step {
        program: PathBuf::from(&check.argv[0]),
        args: check.argv[1..].to_vec(),
        limit: check.limit,
        others_rest_on_it: false,
    };
    let _answers = work.put_answers(&archives)?;
    let mut upgrade = Vec::new();
    if again {
        upgrade.push(Step {
            program: PathBuf::from("/usr/bin/dpkg"),
            args: CONFIGURE.map(str::to_owned).to_vec(),
            limit,
            others_rest_on_it: false,
        });
    }
    for (program, args) in work.programs(&archives, &automatic()?)? {
        upgrade.push(Step {
            program: PathBuf::from(program),
            args,
            limit,
            others_rest_on_it: true,
        });
    }
    upgrade.push(Step {
        program: PathBuf::from("/usr/bin/dpkg"),
        args: vec!["--audit".to_owned()],
        limit: CHECK_LIMIT,
        others_rest_on_it: true,
    });
    // debconf then says what it is asked.
    let own = [("HOME", "/root"), ("DEBCONF_DEBUG", "developer")];
    let variables = [&APT_VARIABLES[..], &own].concat();
    let mine = HostPath::from_bytes(
        state
            .images()
            .directory()
            .parent()
            .unwrap_or(Path::new("/nowhere"))
            .as_os_str()
            .as_encoded_bytes(),
    )
    .map_err(|error| ActError::program("leave the state directory out", error))?;
    let known = DATA_PLACES.iter().map(|place| HostPath::literal(place));
    let data: Vec<HostPath> = known.chain(data.iter().cloned()).collect();
    let folder = state.directory().join("rehearsal");
    // The upgrade unpacks beside the old files; the database and caches come on top.
    let needed_bytes = unpacked_bytes * 2 + (128 << 20);
    let (first, last) = (checks.len(), checks.len() + upgrade.len());
    let ask: Vec<Step> = checks.iter().map(step).collect();
    let steps = [&ask[..], &upgrade, &ask[..]].concat();
    let Rehearsed {
        steps: ended,
        writes,
        contents,
        written_bytes,
        place,
        is_bounded,
    } = rehearse(
        &steps,
        &variables,
        Untold {
            below: &[mine],
            data: &data,
        },
        &[BESIDE, CHANGELOG],
        needed_bytes,
        &folder,
        look,
    )?;
    let why_not = |how: Option<&Result<Output, String>>| match how {
        Some(Ok(output)) if output.status == Some(0) => None,
        Some(Ok(output)) => Some(end_of(&output.stdout, &output.stderr)),
        Some(Err(why)) => Some(why.clone()),
        None => Some("it did not run".to_owned()),
    };
    let fails = |place: usize, otherwise: String| match ended.get(place) {
        Some(Ok(output)) => {
            let failed = said::failed(&output.stdout).into_iter();
            let packages = failed.filter(|one| !one.waits).map(|one| one.package);
            UpgradeError::Fails {
                why: match said::why(&output.stdout) {
                    said if said.is_empty() => otherwise,
                    said => said,
                },
                packages: packages.collect(),
            }
        }
        _ => UpgradeError::Fails {
            why: otherwise,
            packages: Vec::new(),
        },
    };
    // dpkg's configuring may fail for what is installed again after it.
    for place in (if again { first + 1 } else { first })..last {
        if let Some(why) = why_not(ended.get(place)) {
            return Err(fails(place, why));
        }
    }
    if let Some(Ok(audit)) = ended.get(last - 1)
        && !audit.stdout.trim().is_empty()
    {
        let named = names_of(&audit.stdout);
        let unclean = format!("dpkg is not clean after it: {}", named.join(", "));
        // What dpkg could not configure says why; nothing after it may have mended that.
        return Err(match again.then(|| fails(first, unclean.clone())) {
            Some(UpgradeError::Fails { why, packages }) if !packages.is_empty() => {
                UpgradeError::Fails { why, packages }
            }
            _ => UpgradeError::Fails {
                why: unclean,
                packages: named,
            },
        });
    }
    let mut broken = BTreeMap::new();
    for (place, check) in checks.iter().enumerate() {
        let before = why_not(ended.get(place));
        if let (None, Some(why)) = (before, why_not(ended.get(last + place))) {
            broken.insert(check.clone(), why);
        }
    }
    let room = room(&written_bytes);
    check_room(&room)?;
    let said = ended[first..last].iter().flatten();
    let said: Vec<&str> = said.map(|output| output.stdout.as_str()).collect();
    let answered = std::fs::read(DEBCONF).unwrap_or_default();
    let changes = packages.iter().filter_map(|package| {
        let name = package.bare_name();
        let path = format!("/usr/share/doc/{name}/{}", &CHANGELOG[1..]);
        let packed = contents.get(&HostPath::from_bytes(path.as_bytes()).ok()?)?;
        let changes = read_changes(packed, package.from.as_deref());
        Some((name.to_owned(), changes))
    });
    let mut questions = said::questions(&said.concat(), &answered);
    questions.retain(|asked| {
        let name = asked.split(' ').next().unwrap_or_default();
        !given.iter().any(|given| given.question == name)
    });
    Ok(UpgradeRehearsed {
        changes: changes.collect(),
        questions,
        writes,
        room,
        place,
        is_bounded,
        broken,
        conflicts: contents
            .into_iter()
            .filter_map(|(path, content)| {
                let kept = path.as_bytes().strip_suffix(BESIDE.as_bytes())?;
                // Of a part nothing could be said.
                let is_whole = (content.len() as u64) < READABLE_BYTES;
                let content = if is_whole { content } else { Vec::new() };
                Some((HostPath::from_bytes(kept).ok()?, content))
            })
            .collect(),
    })
}

impl Room {
    /// As much as is free now. None where the file system can't be asked.
    pub(super) fn now(at: PathBuf, written_bytes: u64) -> Option<Self> {
        let room = rustix::fs::statvfs(&at).ok()?;
        Some(Self {
            at,
            written_bytes,
            free_bytes: room.f_bavail * room.f_frsize,
        })
    }
}

/// By file system; one that can't be asked for its room is left out.
fn room(written_bytes: &BTreeMap<PathBuf, u64>) -> Vec<Room> {
    let mut by_device: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
    for (at, bytes) in written_bytes {
        let device = std::fs::metadata(at).map_or(0, |metadata| metadata.dev());
        by_device.entry(device).or_insert((at.clone(), 0)).1 += bytes;
    }
    let mut all: Vec<Room> = by_device
        .into_values()
        .filter(|(_, written_bytes)| *written_bytes > 0)
        .filter_map(|(at, written_bytes)| Room::now(at, written_bytes))
        .collect();
    all.sort_by(|a, b| a.at.cmp(&b.at));
    all
}

/// Every file system must hold the new files beside the old, and a way back beside both.
pub fn check_room(rooms: &[Room]) -> Result<(), UpgradeError> {
    let full = rooms
        .iter()
        .find(|room| room.written_bytes.saturating_mul(2) > room.free_bytes);
    match full {
        None => Ok(()),
        Some(room) => Err(UpgradeError::NoRoom {
            at: room.at.clone(),
            needed_bytes: room.written_bytes.saturating_mul(2),
            free_bytes: room.free_bytes,
        }),
    }
}
