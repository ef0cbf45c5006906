//! From what is pending to a plan: fetched, rehearsed on a copy, and held against the feeds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use ::plan::data::{Data, DataState};
use ::plan::patch::{Patching, User};
use host::act::health::look;
use host::act::unit::is_booted;
use host::act::{LastLink, Root};
use host::packages::old_files::OldFiles;
use host::packages::remembered::{Asked, recall, remember};
use host::packages::users::{Unseen, own_unit, processes};
use host::packages::{
    Broken, Caches, Check, FetchError, Fetched, Held, Pending, UpgradeError, UpgradeRehearsed,
    again, announced, broken, check_room, fetch, previous, rehearse_upgrade,
};
use host::rehearse::Place;
use host::state::trust_as_roots;
use host::{LocalHost, State};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::count::{first_of, plural};
use model::effect::{USUAL_LIMIT_SECONDS, bare_name};
use model::patching::{DebconfAnswer, PatchPolicy};
use model::plan::{LeftAlone, Patches, Selection};
use model::{Digest, HostPath, PackageUpgrade, Plan};
use rustix::fs::FileType;

use super::choosing::{Chosen, Known, chosen, is_only_security};
use super::due::{self, Waivers, held_back, new_version, within};
use super::refused;
use super::well::services_unknown;
use super::when::Times;
use crate::assessing::{NewVersion, Outlook, Terms};
use crate::context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::packages_stage::premises;
use crate::show::apt_lists::AptLists;
use crate::show::diff::{self, Difference, LineKind};
use crate::show::history::state_text;
use crate::show::patch::{Foretold, ours};
use crate::survey;

/// Programs that say whether their configuration and their libraries still fit, where they are
/// installed.
const CHECKS: [&[&str]; 6] = [
    &["/usr/sbin/sshd", "-t"],
    &["/usr/sbin/nginx", "-t"],
    &["/usr/sbin/visudo", "-c"],
    &["/usr/bin/systemctl", "--version"],
    &["/usr/bin/apt-get", "--version"],
    &["/usr/bin/psql", "--version"],
];

/// A plan, and what is not in it since it is not of this host alone.
pub(super) struct Made {
    pub(super) plan: Plan,
    pub(super) foretold: Foretold,
    /// What is asked on the host before it and after it.
    pub(super) checks: Vec<Check>,
}

/// Asked when it is known what is taken, and before anything is fetched or rehearsed: what would stop
/// it in the end stops it here. It is told of the data that is touched.
pub(super) type Ready<'a> = &'a dyn Fn(&[Data]) -> Result<(), Failure>;

/// Finds out what is pending, fetches it, rehearses it, and plans it. Installs nothing.
pub(super) fn make(
    selection: Selection,
    host: &LocalHost,
    state: &State,
    ready: Ready<'_>,
) -> Result<Made, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(
            Exit::BadInput,
            "a patch is rehearsed on a copy of the whole host, which only root can make",
            "run with sudo",
        ));
    }
    let because = |error| Failure::because(Exit::Unchecked, error);
    refuse_unfinished(state)?;
    let repository = survey::repository(selection.policy.as_ref().map(Path::new))?;
    let policy = repository.patches();
    // Answers reach scripts that run as root.
    if !policy.checks.is_empty() || !policy.answers.is_empty() {
        trust(selection.policy.as_deref())?;
    }
    let patches = selection.patches.unwrap_or_default();
    let repairs = patches == Patches::Repair;
    if !repairs {
        host::packages::check().map_err(|error| {
            let help = match host::packages::at_work() {
                // Not broken, but in the middle of something.
                Some(holder) => format!("nothing was changed; {holder} is at work: wait for it"),
                None => "nothing was changed; look at the repair: steadfast patch plan --repair"
                    .to_owned(),
            };
            Failure::with_help(Exit::Findings, error, help)
        })?;
    }
    crate::say(format_args!("asking the package manager"));
    let broken = match repairs {
        true => broken().map_err(because)?,
        false => Broken::default(),
    };
    let unfinished: Vec<String> = broken.packages.keys().cloned().collect();
    let components = host
        .distribution_packages()
        .map_err(|reason| Failure::new(Exit::Unchecked, reason, "nothing was changed"))?;
    let caches = Caches::below(state.directory());
    let known = match repairs {
        true => Known {
            all: again(
                &caches,
                &broken,
                &to_previous(&caches, &selection, &broken)?,
            )
            .map_err(because)?,
            held: Held::default(),
            left_out: Vec::new(),
            excluded: BTreeSet::new(),
        },
        false => Known::ask(state, &caches, &selection, &components)?,
    };
    let premises = premises(host);
    let terms = Terms::by(repository.vulnerabilities(), Timestamp::now());
    let hostname = host.identity().hostname;
    let waivers = Waivers {
        all: repository.vulnerability_waivers(),
        hostname: &hostname,
    };
    // What is repaired closes nothing.
    let outlook = match repairs {
        true => None,
        false => Some(Outlook::of(state.directory(), host, &components, &terms).map_err(refused)?),
    };
    let announced = || {
        let all = known.all.clone();
        crate::say(format_args!(
            "fetching {}, to read what their changelogs name",
            plural(all.len(), "package")
        ));
        announced(state, all).map_err(|error| error.to_string())
    };
    let Chosen {
        wanted,
        mut not_closed,
        unknown: mut unknown_named,
    } = match repairs {
        true => Chosen {
            wanted: known.all.clone(),
            ..Chosen::default()
        },
        false => chosen(
            &caches,
            &selection,
            &known,
            outlook.as_ref(),
            waivers,
            &components,
            &announced,
        )?,
    };
    let mut unsigned: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pending in &wanted {
        if let Some(source) = &pending.unsigned {
            let names = unsigned.entry(source.clone()).or_default();
            names.push(pending.name.clone());
        }
    }
    if !wanted.is_empty() || !unfinished.is_empty() {
        ready(&data_of(&wanted, policy))?;
    }
    let lists = match repairs {
        true => None,
        false => Some(AptLists::of_host(&caches, Timestamp::now())),
    };
    let mut unknown: Vec<String> = lists.iter().filter_map(AptLists::unknown_text).collect();
    unknown.append(&mut unknown_named);
    if is_only_security(patches) {
        unknown.extend(AptLists::without_security(&caches));
    }
    if let (Patches::Due { within_days, .. }, Some(outlook)) = (patches, &outlook) {
        // As `patch status` reckons: closed is what nothing runs any more.
        match outlook.still_open(Some(state), &OldFiles::now()) {
            Ok(open) => {
                unknown.extend(open.unknown());
                not_closed.extend(waivers.due(open.findings, within(within_days)));
            }
            Err(why) => unknown.push(why),
        }
    }
    if !wanted.is_empty() {
        crate::say(format_args!("fetching {}", plural(wanted.len(), "package")));
    }
    let fetched = fetch(state, wanted, repairs).map_err(not_fetched)?;
    let versions: Vec<NewVersion> = fetched.packages.iter().map(new_version).collect();
    let checks = checks(policy);
    let answers = answers_of(policy, &fetched.packages);
    let begins = match Times::of(&selection)? {
        Some(times) => Some(times.begins(host)?),
        None => None,
    };
    let mut took = None;
    let mut rehearsed_at = None;
    let seen = match fetched.packages.is_empty() && unfinished.is_empty() {
        true => UpgradeRehearsed::default(),
        false => {
            let limit = selection.limit_seconds.unwrap_or(USUAL_LIMIT_SECONDS);
            let limit = Duration::from_secs(limit);
            let data: Vec<HostPath> = policy
                .data
                .iter()
                .flat_map(|backup| backup.paths.iter().cloned())
                .collect();
            let asked = Asked::of(
                &fetched.packages,
                &unfinished,
                &answers,
                &checks,
                &data,
                limit,
            );
            if let Some(known) = recall(state, &asked, Timestamp::now()) {
                crate::say(format_args!(
                    "it was rehearsed at {:.0}, and nothing that it rests on has changed since",
                    known.at
                ));
                check_room(&known.rehearsed.room)
                    .map_err(|error| Failure::with_help(Exit::Findings, error, NOT_REHEARSED))?;
                took = Some(known.took);
                rehearsed_at = Some(known.at);
                known.rehearsed
            } else {
                let begun = Instant::now();
                let seen = rehearsed(state, &selection, &fetched, &asked, &checks, limit)?;
                took = Some(begun.elapsed());
                let now = Timestamp::now();
                remember(state, &asked, now, begun.elapsed(), &seen);
                seen
            }
        }
    };
    let effects = match &outlook {
        Some(outlook) if !versions.is_empty() => Some(outlook.with(&versions).map_err(refused)?),
        _ => None,
    };
    let held = held_back(&caches, &known.held, outlook.as_ref(), &versions, waivers)?;
    let mut left_alone: Vec<LeftAlone> = held.iter().map(due::left_alone).collect();
    left_alone.extend(known.left_out);
    let packages = fetched.packages;
    left_alone.extend(
        seen.conflicts
            .iter()
            .map(|(path, maintainers)| conflict(path, maintainers)),
    );
    let data = ::plan::data::data(&packages, &policy.data, &proven, Timestamp::now());
    left_alone.extend(data.iter().filter_map(at_risk));
    let looked = processes();
    if !packages.is_empty() || !unfinished.is_empty() {
        unknown.extend(not_looked_at(&looked.unseen));
    }
    let users: Vec<User> = looked
        .seen
        .into_iter()
        .map(|process| User {
            unit: process.unit,
            name: process.name,
            maps: process.maps.into_iter().chain(process.deleted).collect(),
        })
        .collect();
    let foretold = Foretold {
        effects,
        room: seen.room,
        conflicts: seen.conflicts,
        leaves_sessions: ::plan::patch::leaves_sessions(&users, &seen.writes),
        data,
        not_closed,
        lists,
        unknown,
        held,
        is_unbounded: took.is_some() && !seen.is_bounded,
        took,
        rehearsed_at,
        questions: seen.questions,
        unsigned,
        changes: seen.changes,
        begins,
    };
    let plan = ::plan::patch::plan(Patching {
        host: host.identity(),
        selection,
        packages,
        unfinished,
        answers,
        writes: seen.writes,
        not_restarted: not_restarted(&users)?,
        users,
        premises,
        left_alone,
    });
    Ok(Made {
        plan,
        foretold,
        checks,
    })
}

/// Processes that are named.
const NAMED: usize = 8;

/// Who can't be looked at may run what is replaced, and is restarted for it by nobody.
fn not_looked_at(processes: &[Unseen]) -> Option<String> {
    let names: Vec<String> = processes.iter().map(Unseen::to_string).collect();
    (!names.is_empty()).then(|| {
        format!(
            "whether these are to be restarted, since they can't be looked at: {}",
            first_of(&names, NAMED)
        )
    })
}

/// What was interrupted stands in the way of every plan: what is here now, dpkg's database and its
/// files, is not what will be when it is ended.
fn refuse_unfinished(state: &State) -> Result<(), Failure> {
    let pending = state.pending().map_err(context::refused)?;
    let mut stopped = pending.iter().map(|pending| &pending.change);
    let Some(change) = stopped.rfind(|one| !one.state.is_awaiting()) else {
        return Ok(());
    };
    let summary = model::printable(change.summary.as_bytes());
    let how = state_text(change.state);
    Err(match host::lock::is_at_work() {
        true => Failure::new(
            Exit::Findings,
            format_args!("change {} is at work now ({how}): {summary}", change.id),
            "nothing was changed; wait until it is done",
        ),
        false => Failure::new(
            Exit::Findings,
            format_args!(
                "change {} was interrupted while it was {how}: {summary}",
                change.id
            ),
            "nothing was changed; end it first: steadfast recover",
        ),
    })
}

/// A policy's checks run as root, so nobody else may have written them.
pub(crate) fn trust(policy: Option<&str>) -> Result<(), Failure> {
    let directory = survey::policy_directory(policy.map(Path::new));
    let file = directory.map(|directory| directory.join("patches.yaml"));
    match file.as_deref().map(trust_as_roots) {
        None | Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(Failure::with_help(
            Exit::BadInput,
            error,
            "nothing was changed; checks of a policy run as root: make it root's alone",
        )),
    }
}

/// The policy's answers to what these packages ask.
pub(crate) fn answers_of(policy: &PatchPolicy, packages: &[PackageUpgrade]) -> Vec<DebconfAnswer> {
    let is_of_it = |answer: &&DebconfAnswer| {
        let mut packages = packages.iter();
        packages.any(|package| package.bare_name() == answer.package)
    };
    policy.answers.iter().filter(is_of_it).cloned().collect()
}

/// Those that fit the host, and the policy's own.
fn checks(policy: &PatchPolicy) -> Vec<Check> {
    let own = policy.checks.iter().map(|check| Check {
        argv: check.argv.clone(),
        limit: Duration::from_secs(check.limit_seconds),
    });
    CHECKS
        .iter()
        .filter(|argv| Path::new(argv[0]).is_file())
        .map(|argv| Check::of(argv))
        .chain(own)
        .collect()
}

/// When a restore was proven: by a file that root alone could have written or put there.
fn proven(path: &HostPath) -> Result<Timestamp, String> {
    let place = Root::live()
        .and_then(|root| root.find(path, LastLink::Itself))
        .map_err(|error| match error.is_missing() {
            true => "is not there".to_owned(),
            false => error.to_string(),
        })?;
    let stat = match place.stat() {
        Ok(Some(stat)) => stat,
        Ok(None) => return Err("is not there".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    const OTHERS_WRITE: u32 = 0o022;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("is no file".to_owned());
    }
    if place.shared || stat.st_uid != 0 || stat.st_mode & OTHERS_WRITE != 0 {
        return Err("could have been written by others than root".to_owned());
    }
    Timestamp::new(stat.st_mtime, 0).map_err(|error| format!("has no time: {error}"))
}

/// What is said of data that nothing proves to come back. What is proven is proven anew each time,
/// and no part of a plan.
fn at_risk(data: &Data) -> Option<LeftAlone> {
    let DataState::AtRisk { why } = &data.state else {
        return None;
    };
    Some(LeftAlone {
        what: format!("data of {}", data.package),
        why: format!("is no part of the way back: {why}; apply wants --accept-data-loss"),
        at: Vec::new(),
    })
}

/// The data that an upgrade to these touches.
fn data_of(wanted: &[Pending], policy: &PatchPolicy) -> Vec<Data> {
    let upgrades: Vec<PackageUpgrade> = wanted
        .iter()
        .map(|pending| PackageUpgrade {
            name: pending.name.clone(),
            architecture: pending.architecture.clone(),
            from: pending.from.clone(),
            to: pending.to.clone(),
            source: None,
            origins: Vec::new(),
            security: None,
            // Nothing was fetched yet, and nothing here asks for it.
            archive: Digest::of(b""),
        })
        .collect();
    ::plan::data::data(&upgrades, &policy.data, &proven, Timestamp::now())
}

pub fn not_fetched(error: FetchError) -> Failure {
    let help = match &error {
        FetchError::OtherBytes(_) => {
            "nothing was installed, and what came was removed; a mirror that is just being updated \
             does so for minutes: apt-get update, and try again; one that goes on must not be used"
        }
        FetchError::NotFetched(_) | FetchError::Act(_) => {
            "nothing was installed; is the network there, and are the lists fresh: apt-get update"
        }
    };
    Failure::with_help(Exit::Unchecked, error, help)
}

pub(super) fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}

/// Units that would not survive it, or that need it not.
///
/// # Errors
/// When systemd can't be asked: what can't be told apart is not restarted.
pub(super) fn not_restarted(users: &[User]) -> Result<BTreeMap<String, String>, Failure> {
    let units: BTreeSet<&str> = users
        .iter()
        .filter_map(|user| user.unit.as_deref())
        .collect();
    let units: Vec<&str> = units
        .into_iter()
        .filter(|unit| unit.ends_with(".service"))
        .collect();
    let mut left = BTreeMap::new();
    let seen = match is_booted() {
        true => look(&units).map_err(services_unknown)?,
        false => Vec::new(),
    };
    for (unit, seen) in units.iter().zip(seen) {
        if seen.is_oneshot() {
            let why = "it comes to its end by itself".to_owned();
            left.insert((*unit).to_owned(), why);
        }
    }
    if let Some(own) = own_unit() {
        left.insert(own, "Steadfast itself runs in it".to_owned());
    }
    Ok(left)
}

/// A configuration file that stays as the administrator wrote it.
fn conflict(path: &HostPath, maintainers: &[u8]) -> LeftAlone {
    let read = Root::live()
        .map_err(|error| error.to_string())
        .and_then(|root| ours(&root, path));
    let differs = match read {
        Ok(ours) => {
            let lines = match diff::compare(Some(&ours.bytes), maintainers) {
                Difference::Lines(lines) => lines
                    .iter()
                    .filter(|line| matches!(line.kind, LineKind::Added | LineKind::Removed))
                    .count(),
                Difference::Same | Difference::Opaque => 0,
            };
            format!("which differs in {}", plural(lines, "line"))
        }
        Err(why) => format!("which could not be compared with it ({why})"),
    };
    LeftAlone {
        what: path.to_string(),
        why: format!(
            "was changed on this host and stays as it is; the maintainer's new version, {differs}, \
             is put beside it as .dpkg-dist"
        ),
        at: Vec::new(),
    }
}

const NOT_REHEARSED: &str = "nothing was changed, and nothing is applied that was not rehearsed";

/// The versions to which a repair goes back as asked.
fn to_previous(
    caches: &Caches,
    selection: &Selection,
    broken: &Broken,
) -> Result<BTreeMap<String, String>, Failure> {
    let known = previous(caches, &selection.previous)
        .map_err(|error| Failure::because(Exit::Unchecked, error))?;
    let refuse = |name: &str, why: &str| {
        let name = model::printable(name.as_bytes());
        Failure::new(
            Exit::BadInput,
            format_args!("`{name}` can't go back to the version before: {why}"),
            "nothing was changed; dpkg-query -W says what is there, and apt-cache policy what can be had",
        )
    };
    let mut versions = BTreeMap::new();
    for name in &selection.previous {
        let is_it = |one: &&String| bare_name(one) == bare_name(name);
        if !broken.packages.keys().any(|one| is_it(&one)) {
            return Err(refuse(name, "dpkg has finished what is there"));
        }
        match known.get(bare_name(name)) {
            None => return Err(refuse(name, "dpkg's log does not say which that was")),
            Some(previous) if !previous.is_offered => {
                let why = format!("none of apt's archives has {}", previous.version);
                return Err(refuse(name, &why));
            }
            Some(previous) => {
                versions.insert(bare_name(name).to_owned(), previous.version.clone());
            }
        }
    }
    Ok(versions)
}

/// How to go on without what failed.
fn way_around(state: &State, selection: &Selection, packages: &[String]) -> String {
    let nothing = "nothing was changed on this host";
    if selection.patches == Some(Patches::Repair) {
        let worked = previous(&Caches::below(state.directory()), packages).unwrap_or_default();
        let offered = worked.iter().filter(|(_, previous)| previous.is_offered);
        let offered: Vec<_> = offered.collect();
        let said: Vec<String> = worked
            .iter()
            .map(|(name, previous)| match previous.is_offered {
                true => format!("{name} {}", previous.version),
                false => format!(
                    "{name} {} (none of apt's archives has it)",
                    previous.version
                ),
            })
            .collect();
        if said.is_empty() {
            return nothing.to_owned();
        }
        let mut back = selection.clone();
        let names = offered.iter().map(|(name, _)| (*name).clone());
        back.previous
            .extend(names.filter(|name| !selection.previous.contains(name)));
        let said = format!("{nothing}; what was there before: {}", said.join(", "));
        return match back.previous == selection.previous {
            true => said,
            false => {
                let command = crate::show::plan::command("steadfast patch plan", &back);
                format!("{said}; go back to it: {command}")
            }
        };
    }
    // What was asked for by its name is not to be left out of the same.
    let is_known = |name: &&String| {
        let mut known = selection.excluded.iter().chain(&selection.packages);
        !known.any(|one| bare_name(one) == bare_name(name))
    };
    let packages: Vec<String> = packages.iter().filter(is_known).cloned().collect();
    if packages.is_empty() {
        return nothing.to_owned();
    }
    let mut without = selection.clone();
    without.excluded.extend(packages);
    format!(
        "{nothing}; plan it without what failed: {}",
        crate::show::plan::command("steadfast patch plan", &without)
    )
}

fn rehearsed(
    state: &State,
    selection: &Selection,
    fetched: &Fetched,
    asked: &Asked<'_>,
    checks: &[Check],
    limit: Duration,
) -> Result<UpgradeRehearsed, Failure> {
    let Asked {
        unfinished,
        answers,
        data,
        ..
    } = asked;
    crate::say(format_args!("rehearsing it on a copy of this host"));
    let rehearsed = rehearse_upgrade(state, fetched, unfinished, answers, checks, data, limit)
        .map_err(|error| match &error {
            UpgradeError::Fails { packages, .. } => {
                let help = way_around(state, selection, packages);
                Failure::with_help(Exit::TakenBack, error, help)
            }
            UpgradeError::NoRoom { .. } => Failure::with_help(Exit::Findings, error, NOT_REHEARSED),
            UpgradeError::Act(_) | UpgradeError::Rehearse(_) => {
                Failure::with_help(Exit::Unchecked, error, NOT_REHEARSED)
            }
        })?;
    if rehearsed.place == Place::Disk {
        crate::say(format_args!(
            "the copy was made on disk, for want of memory"
        ));
    }
    match rehearsed.broken.first_key_value() {
        None => Ok(rehearsed),
        Some((check, said)) => Err(Failure::new(
            Exit::TakenBack,
            format_args!(
                "after the upgrade, on a copy of this host, `{}` fails: {said}",
                check.shown()
            ),
            "nothing was changed on this host",
        )),
    }
}
