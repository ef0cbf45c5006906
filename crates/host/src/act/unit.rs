//! systemd units: what is enabled is a set of links below `/etc/systemd/system`, imaged like
//! any other path, and what runs is asked of systemd.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use model::{Effect, HostPath, UnitOp};

use super::ActError;
use super::health;
use super::place::{LastLink, Root};
use super::program::Program;
use super::unit_log::explained;

const ADMIN_UNITS: &str = "/etc/systemd/system";

/// Where unit files lie, from the one that wins (systemd.unit(5)).
const UNIT_DIRECTORIES: [&str; 5] = [
    ADMIN_UNITS,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// A unit file is a page or two.
const UNIT_LIMIT_BYTES: u64 = 1 << 20;
/// `Also=` leads from unit to unit; real chains have two or three.
const MOST_RELATED: usize = 64;
/// Stopping a service takes up to 90 s by default (`DefaultTimeoutStopSec=`).
const JOB_LIMIT: Duration = Duration::from_secs(120);

/// Does systemd run this host? (sd_booted(3))
pub fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Is systemd still on its way up (systemctl(1), `is-system-running`)?
pub fn is_booting() -> Result<bool, ActError> {
    // It ends with 1 for each state but `running`.
    let ended = systemctl()?
        .args(["is-system-running"])
        .answer_with(&[0, 1])?;
    Ok(matches!(ended.stdout.trim(), "initializing" | "starting"))
}

/// Asks systemd to restart the machine, in order. It begins at once, and this ends before it.
pub fn restart_machine() -> Result<(), ActError> {
    systemctl()?.args(["reboot"]).succeed().map(drop)
}

pub(super) fn systemctl() -> Result<Program, ActError> {
    // Units with an init script would otherwise be enabled there as well, outside of the
    // before-images.
    Ok(Program::find(&["/usr/bin/systemctl", "/bin/systemctl"])?
        .args(["--no-ask-password", "--no-pager"])
        .env("SYSTEMCTL_SKIP_SYSV", "1")
        .limit(JOB_LIMIT))
}

/// Does this op start or stop something?
pub const fn changes_activity(op: UnitOp) -> bool {
    matches!(op, UnitOp::Start | UnitOp::Stop)
}

/// Changes a unit.
pub fn act(name: &str, op: UnitOp) -> Result<(), ActError> {
    check_name(name)?;
    let verb = match op {
        UnitOp::Enable => "enable",
        UnitOp::Disable => "disable",
        UnitOp::Mask => "mask",
        UnitOp::Unmask => "unmask",
        UnitOp::Start => "start",
        UnitOp::Stop => "stop",
        // Does nothing to a unit that is not running.
        UnitOp::Reload => "try-reload-or-restart",
        UnitOp::Restart => "try-restart",
        UnitOp::DaemonReload => return daemon_reload(),
    };
    let changes_links = matches!(
        op,
        UnitOp::Enable | UnitOp::Disable | UnitOp::Mask | UnitOp::Unmask
    );
    let starts = matches!(op, UnitOp::Start | UnitOp::Stop | UnitOp::Restart);
    if is_booted() && may_be_refused(name, op)? {
        forget_failure(name)?;
    }
    let program = match (is_booted(), changes_links) {
        // While the host boots, recovery runs before most units: waiting for one of them
        // would be waiting for ourselves.
        (true, _) if starts && is_booting()? => systemctl()?.args([verb, "--no-block", "--", name]),
        (true, _) => systemctl()?.args([verb, "--", name]),
        (false, true) => systemctl()?.args(["--root=/", verb, "--", name]),
        // What is not running needs no reload: it reads its configuration when it starts.
        (false, false) if matches!(op, UnitOp::Reload | UnitOp::Restart) => {
            return Err(ActError::Unsupported(format!(
                "systemd does not run this host: `{name}` can't be told to read its configuration again"
            )));
        }
        (false, false) => {
            return Err(ActError::Unsupported(format!(
                "systemd does not run this host: `{name}` can't be started or stopped"
            )));
        }
    };
    let ended = program.succeed().map(drop);
    match is_booted() && !changes_links {
        true => ended.map_err(|error| explained(error, name)),
        false => ended,
    }
}

/// Is it below a directory of units, where systemd does not notice each new file by itself?
pub fn is_read_by_systemd(path: &HostPath) -> bool {
    UNIT_DIRECTORIES
        .iter()
        .any(|directory| path.is_within(&HostPath::literal(directory)))
}

/// Could systemd refuse the op because the unit was started often lately? A restart would then
/// have stopped what ran. A unit that failed, and is not to be started, stays failed.
fn may_be_refused(name: &str, op: UnitOp) -> Result<bool, ActError> {
    match op {
        UnitOp::Start => Ok(true),
        UnitOp::Restart | UnitOp::Reload => is_active(name),
        _ => Ok(false),
    }
}

/// The unit that the op makes systemd start, or tell to read its configuration again, and
/// that must be up afterwards.
pub fn told(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::Unit {
            name,
            op: UnitOp::Start | UnitOp::Reload | UnitOp::Restart,
        } => Some(name),
        _ => None,
    }
}

/// Starts a unit that is not up, also one that failed: systemd forgets that, and how often it
/// was started lately, or it would refuse where that was too often (systemctl(1),
/// `reset-failed`).
pub fn bring_up(name: &str) -> Result<(), ActError> {
    check_name(name)?;
    forget_failure(name)?;
    // One that waits to be started again is only started at once when it is restarted.
    act_now(name, "restart")
}

/// The services, sockets, timers and paths that run, but for those of somebody's session and those
/// that were made for a moment.
pub fn running() -> Result<Vec<String>, ActError> {
    let listed = systemctl()?
        .args([
            "list-units",
            "--type=service,socket,timer,path",
            "--state=active,reloading",
            "--no-legend",
            "--plain",
        ])
        .answer()?;
    let names = listed.stdout.lines();
    let names = names.filter_map(|line| line.split_whitespace().next());
    Ok(names
        .filter(|name| check_name(name).is_ok())
        .filter(|name| {
            !["user@", "user-runtime-dir@", "run-"]
                .iter()
                .any(|of| name.starts_with(of))
        })
        .map(str::to_owned)
        .collect())
}

/// Directories of unit files and of scripts of System V that systemd makes units of.
fn is_of_a_unit(path: &HostPath) -> bool {
    let mut tops = UNIT_DIRECTORIES.iter().chain(&["/etc/init.d"]);
    path.parent()
        .is_some_and(|parent| tops.any(|top| parent.as_bytes() == top.as_bytes()))
}

/// A unit that comes from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfFile {
    pub name: String,
    pub is_at_rest: bool,
    /// systemd reads no file of it any more; it may run all the same, and can be stopped.
    pub is_masked: bool,
    /// Sockets, timers and paths that start it.
    pub triggers: Vec<String>,
    /// Where systemd makes directories for it when it starts (systemd.exec(5), `StateDirectory=`).
    pub directories: Vec<HostPath>,
    /// As whom it runs, where that is said (systemd.exec(5), `User=`).
    pub user: Option<String>,
}

/// The units that come from these files: those that instances of a template are, and those that
/// systemd made of a script, too.
pub fn of_files(files: &BTreeSet<HostPath>) -> Result<Vec<OfFile>, ActError> {
    // `/lib` is a link to `/usr/lib` now, and systemd names either.
    let merged = |text: &str| match text.strip_prefix("/lib/") {
        Some(rest) => format!("/usr/lib/{rest}"),
        None => text.to_owned(),
    };
    let files: BTreeSet<String> = files
        .iter()
        .filter(|path| is_of_a_unit(path))
        .filter_map(|path| str::from_utf8(path.as_bytes()).ok().map(merged))
        .collect();
    // Of a masked one no file is told.
    let is_called = |name: &str| {
        let template = template_of(name);
        let names = [
            Some(name),
            template.as_deref(),
            name.strip_suffix(".service"),
        ];
        files.iter().any(|file| {
            let last = file.rsplit('/').next();
            let is_script = file.starts_with("/etc/init.d/");
            names.contains(&last) && (is_script || last.is_some_and(|last| last.contains('.')))
        })
    };
    if files.is_empty() || !is_booted() {
        return Ok(Vec::new());
    }
    let listed = systemctl()?
        .args([
            "list-units",
            "--type=service,socket,timer,path,mount,target",
            "--all",
            "--no-legend",
            "--plain",
        ])
        .answer()?;
    // `●` stands before a unit that failed where a terminal could show it.
    let names: Vec<&str> = listed
        .stdout
        .lines()
        .filter_map(|line| {
            line.trim_start_matches(['●', '*', ' '])
                .split_whitespace()
                .next()
        })
        .filter(|name| check_name(name).is_ok())
        .collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let properties = "--property=Id,ActiveState,FragmentPath,SourcePath,TriggeredBy,\
                      StateDirectory,CacheDirectory,LogsDirectory,ConfigurationDirectory,DynamicUser,LoadState,User";
    let shown = systemctl()?
        .args(["show", properties, "--"].into_iter().chain(names))
        .answer()?;
    let units = shown.stdout.split("\n\n").filter_map(|unit| {
        let value = |name: &str| {
            let mut lines = unit.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        let mut paths = ["FragmentPath", "SourcePath"].into_iter().filter_map(value);
        let is_masked = value("LoadState") == Some("masked");
        if !(paths.any(|path| files.contains(&merged(path)))
            || is_masked && value("Id").is_some_and(is_called))
        {
            return None;
        }
        let words = |name: &str| value(name).unwrap_or_default().split_whitespace();
        let directories = [
            ("StateDirectory", "/var/lib"),
            ("CacheDirectory", "/var/cache"),
            ("LogsDirectory", "/var/log"),
            ("ConfigurationDirectory", "/etc"),
        ];
        // For one with a user of its own they lie below `private`, and links lead there.
        let is_dynamic = value("DynamicUser") == Some("yes");
        let directories = directories.iter().flat_map(|(name, top)| {
            words(name).flat_map(move |below| {
                let private = is_dynamic.then(|| HostPath::literal(top).join("private"));
                let tops = [Some(Ok(HostPath::literal(top))), private];
                tops.into_iter()
                    .filter_map(move |top| top?.ok()?.join(below).ok())
            })
        });
        let user = value("User").filter(|user| !user.is_empty());
        Some(OfFile {
            name: value("Id")?.to_owned(),
            is_at_rest: value("ActiveState").is_none_or(|state| state == "inactive"),
            is_masked,
            triggers: words("TriggeredBy").map(str::to_owned).collect(),
            directories: directories.collect(),
            user: user.map(str::to_owned),
        })
    });
    Ok(units.collect())
}

/// Stops these together, so that none starts another again, and has systemd forget how they ended.
pub fn stop_all(names: &BTreeSet<String>) -> Result<(), ActError> {
    for name in names {
        check_name(name)?;
    }
    if names.is_empty() {
        return Ok(());
    }
    let booting = is_booting()?.then_some("--no-block");
    let words = ["stop"].into_iter().chain(booting).chain(["--"]);
    systemctl()?
        .args(words.chain(names.iter().map(String::as_str)))
        .succeed()?;
    systemctl()?
        .args(
            ["reset-failed", "--"]
                .into_iter()
                .chain(names.iter().map(String::as_str)),
        )
        .run()?;
    Ok(())
}

/// Brings what names units into the order in which systemd would start these together: each behind
/// those that it comes `After=` (systemd.unit(5)). What names none, and what has no order, keeps
/// its place.
pub fn sort_as_started<T>(
    items: &mut [T],
    name: impl Fn(&T) -> Option<&str>,
) -> Result<(), ActError> {
    let names: BTreeSet<String> = items.iter().filter_map(&name).map(str::to_owned).collect();
    if names.len() < 2 || !is_booted() {
        return Ok(());
    }
    let mut after: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for unit in &names {
        check_name(unit)?;
        let shown = systemctl()?
            .args(["show", "--property=After", "--value", "--", unit])
            .answer()?;
        let all = shown.stdout.split_whitespace();
        let among = all.filter(|one| names.contains(*one) && one != unit);
        after.insert(unit.clone(), among.map(str::to_owned).collect());
    }
    let ranks = start_ranks(&after);
    // The places that units take stay theirs, and what stands between stays between.
    let places: Vec<usize> = (0..items.len())
        .filter(|at| items.get(*at).is_some_and(|item| name(item).is_some()))
        .collect();
    for end in (1..places.len()).rev() {
        for at in 0..end {
            let (left, right) = (places[at], places[at + 1]);
            let rank = |at: usize| name(&items[at]).and_then(|unit| ranks.get(unit)).copied();
            if rank(left) > rank(right) {
                items.swap(left, right);
            }
        }
    }
    Ok(())
}

/// How many units at most must be started before each of them, one behind the other. Units in a
/// circle have no order, as for systemd.
pub fn start_ranks(after: &BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, usize> {
    let mut ranks: BTreeMap<String, usize> = after.keys().map(|unit| (unit.clone(), 0)).collect();
    for _ in 0..after.len() {
        let mut is_settled = true;
        for (unit, before) in after {
            let least = before.iter().filter_map(|one| ranks.get(one)).max();
            let least = least.map_or(0, |rank| rank + 1).min(after.len());
            if ranks.get(unit).is_some_and(|rank| *rank < least) {
                ranks.insert(unit.clone(), least);
                is_settled = false;
            }
        }
        if is_settled {
            break;
        }
    }
    ranks
}

/// Makes systemd forget that the unit failed, and how often it was started.
pub fn forget_failure(name: &str) -> Result<(), ActError> {
    check_name(name)?;
    // A unit that is not loaded has nothing to forget, and this says so with an error.
    systemctl()?.args(["reset-failed", "--", name]).run()?;
    Ok(())
}

fn act_now(name: &str, verb: &str) -> Result<(), ActError> {
    let no_block = is_booting()?.then_some("--no-block");
    systemctl()?
        .args([verb].into_iter().chain(no_block).chain(["--", name]))
        .succeed()
        .map(drop)
}

/// Makes systemd read its unit files again; nothing where it does not run.
pub fn daemon_reload() -> Result<(), ActError> {
    if !is_booted() {
        return Ok(());
    }
    systemctl()?.args(["daemon-reload"]).succeed().map(drop)
}

/// Is the unit running, or on its way?
pub fn is_active(name: &str) -> Result<bool, ActError> {
    check_name(name)?;
    if !is_booted() {
        return Err(ActError::Unsupported(format!(
            "systemd does not run this host: `{name}` can't be started or stopped"
        )));
    }
    Ok(health::look_at(name)?.is_up())
}

/// Those of these units that were started after that moment.
pub fn started_since(names: &BTreeSet<String>, since: Timestamp) -> Result<Vec<String>, ActError> {
    let mut found = Vec::new();
    for name in names {
        check_name(name)?;
        let shown = systemctl()?
            .args([
                "show",
                "--timestamp=unix",
                "--property=ActiveEnterTimestamp",
                "--value",
                "--",
                name,
            ])
            .answer()?;
        let began = shown.stdout.trim().strip_prefix('@');
        let began = began.and_then(|seconds| seconds.parse::<i64>().ok());
        if began.is_some_and(|began| began >= since.as_second()) {
            found.push(name.clone());
        }
    }
    Ok(found)
}

/// Those of these units that run, and that nothing but a start brings up: what a socket, a timer or a bus
/// name starts when it is needed comes and goes by itself.
pub fn up<'a>(names: impl Iterator<Item = &'a String>) -> Result<BTreeSet<String>, ActError> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let seen = health::look(&names)?;
    let both = names.into_iter().zip(seen);
    let up = both.filter(|(_, seen)| seen.is_up() && !seen.is_oneshot() && !seen.is_on_demand());
    Ok(up.map(|(name, _)| name.to_owned()).collect())
}

/// The units of these files that run by themselves, and are none of `ran`.
pub fn up_beside(files: &BTreeSet<HostPath>, ran: &[String]) -> Result<BTreeSet<String>, ActError> {
    let units = of_files(files)?.into_iter();
    let others = units.filter(|unit| !unit.is_at_rest && !ran.contains(&unit.name));
    let others: Vec<String> = others.map(|unit| unit.name).collect();
    up(others.iter())
}

/// Has systemd no unit of this name (any more)?
pub fn is_gone(name: &str) -> Result<bool, ActError> {
    check_name(name)?;
    let shown = systemctl()?
        .args(["show", "--property=LoadState", "--value", "--", name])
        .answer()?;
    Ok(shown.stdout.trim() == "not-found")
}

/// The units that start this one when something happens (systemd.unit(5), `TriggeredBy=`)
/// and that do not run.
pub fn quiet_triggers(name: &str) -> Result<Vec<String>, ActError> {
    check_name(name)?;
    let shown = systemctl()?
        .args(["show", "--property=TriggeredBy", "--value", "--", name])
        .answer()?;
    let mut quiet = Vec::new();
    for trigger in shown.stdout.split_whitespace().take(MOST_RELATED) {
        if !is_active(trigger)? {
            quiet.push(trigger.to_owned());
        }
    }
    Ok(quiet)
}

/// Starts or stops it. A socket does not start beside its own service (systemd.socket(5)), which then
/// begins anew behind it.
pub fn set_active(name: &str, active: bool) -> Result<(), ActError> {
    match active {
        true if name.ends_with(".socket") => {
            let shown = systemctl()?
                .args(["show", "--property=Triggers", "--value", "--", name])
                .answer()?;
            let mut served = Vec::new();
            for service in shown.stdout.split_whitespace().take(MOST_RELATED) {
                if is_active(service)? {
                    act(service, UnitOp::Stop)?;
                    served.push(service);
                }
            }
            bring_up(name)?;
            served.into_iter().try_for_each(bring_up)
        }
        true => bring_up(name),
        false => act(name, UnitOp::Stop),
    }
}

/// `postgresql@.service` of `postgresql@15-main.service`.
fn template_of(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once('@')?;
    Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1))
}

/// Unit names as systemd allows them (systemd.unit(5)), so that none is taken for an option
/// or a path.
pub fn is_name(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    (1..=255).contains(&name.len())
        && name.bytes().all(valid)
        && !name.starts_with(['.', '-'])
        && name.contains('.')
}

pub(super) fn check_name(name: &str) -> Result<(), ActError> {
    match is_name(name) {
        true => Ok(()),
        false => Err(ActError::program(
            format!("change the unit `{}`", model::printable(name.as_bytes())),
            "not a unit's full name",
        )),
    }
}

/// Every link that enabling, disabling or masking may make or remove.
pub fn touched(root: &Root, name: &str, op: UnitOp) -> Result<Vec<(HostPath, LastLink)>, ActError> {
    check_name(name)?;
    if !matches!(
        op,
        UnitOp::Enable | UnitOp::Disable | UnitOp::Mask | UnitOp::Unmask
    ) {
        return Ok(Vec::new());
    }
    let admin = HostPath::literal(ADMIN_UNITS);
    let join = |base: &HostPath, name: &str| {
        base.join(name)
            .map_err(|error| ActError::refused(base, error.to_string()))
    };
    let mut paths = BTreeSet::new();
    let mut todo = VecDeque::from([name.to_owned()]);
    let mut seen = BTreeSet::new();
    while let Some(unit) = todo.pop_front() {
        if check_name(&unit).is_err() || seen.len() == MOST_RELATED || !seen.insert(unit.clone()) {
            continue;
        }
        paths.insert(join(&admin, &unit)?);
        let install = install_section(root, &unit)?;
        for (target, kind) in install.targets {
            let directory = join(&admin, &format!("{target}.{kind}"))?;
            paths.insert(join(&directory, &unit)?);
            if let Some(instance) = &install.default_instance
                && let Some((stem, suffix)) = unit.split_once("@.")
            {
                paths.insert(join(&directory, &format!("{stem}@{instance}.{suffix}"))?);
            }
            paths.insert(directory);
        }
        for alias in install.aliases {
            paths.insert(join(&admin, &alias)?);
        }
        todo.extend(install.also);
    }
    // Links that are there already, wherever an earlier version of the unit put them.
    for path in existing_links(root, &admin)? {
        let names_one = |name: &[u8]| seen.iter().any(|unit| unit.as_bytes() == name);
        if names_one(path.0.file_name())
            || names_one(path.1.rsplit(|b| *b == b'/').next().unwrap_or_default())
        {
            // systemctl removes a directory with its last link.
            paths.extend(path.0.parent().filter(|directory| *directory != admin));
            paths.insert(path.0);
        }
    }
    Ok(paths
        .into_iter()
        .map(|path| (path, LastLink::Itself))
        .collect())
}

/// What `[Install]` says (systemd.unit(5)).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Install {
    pub aliases: Vec<String>,
    pub also: Vec<String>,
    /// Units, and the kind of their directory of links: `wants`, `requires`, `upholds`.
    pub targets: Vec<(String, &'static str)>,
    pub default_instance: Option<String>,
}

impl Install {
    /// Reads the `[Install]` section of a unit file.
    pub fn parse(text: &str) -> Self {
        let mut install = Self::default();
        let mut inside = false;
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().map(str::trim) {
            if line.starts_with('[') {
                inside = line == "[Install]";
            }
            let Some((key, value)) = line.split_once('=').filter(|_| inside) else {
                continue;
            };
            let words = || value.split_whitespace().map(str::to_owned);
            let mut into = |kind| install.targets.extend(words().map(|word| (word, kind)));
            match key.trim() {
                "Alias" => install.aliases.extend(words()),
                "Also" => install.also.extend(words()),
                "WantedBy" => into("wants"),
                "RequiredBy" => into("requires"),
                "UpheldBy" => into("upholds"),
                "DefaultInstance" => install.default_instance = words().next(),
                _ => {}
            }
        }
        install
    }
}

fn install_section(root: &Root, unit: &str) -> Result<Install, ActError> {
    // An instance is enabled by its template's section.
    let template = template_of(unit);
    for name in [Some(unit.to_owned()), template].into_iter().flatten() {
        for directory in UNIT_DIRECTORIES {
            let Ok(path) = HostPath::literal(directory).join(&name) else {
                continue;
            };
            match root.read(&path, UNIT_LIMIT_BYTES) {
                Ok(Some(bytes)) if !bytes.is_empty() => {
                    return Ok(Install::parse(&String::from_utf8_lossy(&bytes)));
                }
                // A mask (a link to `/dev/null`) hides the file that counts when it is gone.
                Ok(_) | Err(ActError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Install::default())
}

/// The links in the directory and in its `.wants`, `.requires` and `.upholds`.
fn existing_links(root: &Root, admin: &HostPath) -> Result<Vec<(HostPath, Vec<u8>)>, ActError> {
    let mut found = Vec::new();
    let mut directories = vec![admin.clone()];
    while let Some(directory) = directories.pop() {
        let Some(names) = root.list(&directory)? else {
            continue;
        };
        for name in names {
            let Ok(path) = directory.join(&name) else {
                continue;
            };
            let place = root.find(&path, LastLink::Itself)?;
            let Some(stat) = place.stat()? else { continue };
            match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
                rustix::fs::FileType::Symlink => {
                    let target = rustix::fs::readlinkat(&place.dir, &*place.name, Vec::new())
                        .map_err(place.fail("read the link"))?;
                    found.push((path, target.into_bytes()));
                }
                rustix::fs::FileType::Directory if directory == *admin => directories.push(path),
                _ => {}
            }
        }
    }
    Ok(found)
}
