//! Processes that run what an undo takes away. Those that no unit of the change holds stand in the
//! way of it, and what is still at work when it is done is named. It never ends one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::count::first_of;
use model::{ActionId, HostPath};

use super::Obstacle;
use crate::act::{ActError, Context, place, unit};
use crate::image::Node;
use crate::journal::{ActionRecord, Imaged, Kept, Role};
use crate::packages::users::{self, Process, Processes, Unseen};
use crate::processes::has_ended;

/// What stands behind the name of a program that is not there any more (proc_pid_exe(5)).
const DELETED: &[u8] = b" (deleted)";
/// An interpreter's own words, and the script that it runs, come first.
const WORDS_BYTES: u64 = 64 << 10;
/// Processes that are named.
const NAMED: usize = 8;

/// A process, as it is named.
#[derive(Clone, Debug)]
struct Who {
    id: u32,
    name: String,
    unit: Option<String>,
}

impl Who {
    fn of(process: &Process) -> Self {
        Self {
            id: process.id,
            name: process.name.clone(),
            unit: process.unit.clone(),
        }
    }

    fn of_unseen(process: &Unseen) -> Option<Self> {
        Some(Self {
            id: process.id?,
            name: process.name.clone(),
            unit: process.unit.clone(),
        })
    }
}

/// Processes that are still at work, in words for people.
pub(super) struct StillRuns {
    pub(super) who: String,
    pub(super) how: String,
}

/// Why something may not go: processes run it, and would go on without it. `rest`: units that go back
/// to rest. One that can't be looked at is told by its own words; where these say nothing it stands in
/// nobody's way, and is named when the undo is done ([`still`]).
///
/// # Errors
/// When systemd can't be asked which units stop.
pub(super) fn in_the_way(
    context: &Context<'_>,
    goes: &[&Imaged],
    rest: &BTreeSet<&str>,
) -> Result<Vec<Obstacle>, ActError> {
    if !context.root.is_live() {
        return Ok(Vec::new());
    }
    let files: BTreeSet<HostPath> = goes.iter().map(|image| image.path.clone()).collect();
    let units = unit::of_files(&files)?.into_iter().map(|unit| unit.name);
    let rest = rest.iter().map(|name| (*name).to_owned());
    let stops: BTreeSet<String> = units.chain(rest).collect();
    let programs = programs(goes.iter().copied());
    // What runs this undo is not asked to end before it.
    let above = ancestors();
    let Processes { seen, unseen } = users::processes();
    let all = seen.iter().map(Who::of);
    let all = all.chain(unseen.iter().filter_map(Who::of_unseen));
    let mut found: BTreeMap<(Option<String>, HostPath), Vec<Who>> = BTreeMap::new();
    for process in all {
        let is_stopped = process
            .unit
            .as_ref()
            .is_some_and(|unit| stops.contains(unit));
        if is_stopped || above.contains(&process.id) {
            continue;
        }
        if let Ok(Some(path)) = program(process.id, &programs) {
            let of = (process.unit.clone(), path);
            found.entry(of).or_default().push(process);
        }
    }
    let obstacles = found.into_iter().map(|((unit, path), processes)| Obstacle {
        what: named(&processes),
        why: match unit.filter(|unit| unit.ends_with(".service") && !unit.starts_with("user@")) {
            Some(unit) => format!(
                "`{path}` goes, and it runs that: first `systemctl stop {unit}`, which is no unit \
                 of the change's"
            ),
            None => format!("`{path}` goes, and it runs that: end it first"),
        },
        difference: None,
    });
    Ok(obstacles.collect())
}

/// What goes on after an undo.
#[derive(Default)]
pub(super) struct Still {
    /// What runs, or has mapped, what was taken away from under it, or what the change had put in the
    /// place of what is back.
    pub(super) running: Vec<StillRuns>,
    /// What can't be looked at, and may.
    pub(super) unseen: Option<StillRuns>,
}

/// Looks at every process.
pub(super) fn still(
    is_live: bool,
    images: &[Imaged],
    records: &[ActionRecord],
    chosen: &BTreeSet<ActionId>,
) -> Still {
    let brought = records
        .iter()
        .filter(|record| chosen.contains(&record.id) && record.state.was_begun());
    let since: BTreeMap<ActionId, Timestamp> = brought
        .filter_map(|record| match record.kept {
            Kept::Upgrade { since, .. } => Some((record.id, since)),
            _ => None,
        })
        .collect();
    let Some(began) = since.values().min().filter(|_| is_live) else {
        return Still::default();
    };
    let mine = images.iter().filter(|image| {
        image.role == Role::Touched && image.actions.iter().any(|id| since.contains_key(id))
    });
    let (gone, back): (Vec<&Imaged>, Vec<&Imaged>) =
        mine.partition(|image| image.before == Node::Absent);
    let programs = programs(gone.iter().copied());
    let paths = |of: &[&Imaged]| of.iter().map(|image| image.path.clone()).collect();
    let (gone, back): (BTreeSet<HostPath>, BTreeSet<HostPath>) = (paths(&gone), paths(&back));
    if gone.is_empty() && back.is_empty() {
        return Still::default();
    }
    let Processes { seen, unseen } = users::processes();
    let mut unseen: Vec<String> = unseen.iter().map(Unseen::to_string).collect();
    let mut found: BTreeMap<(Option<String>, HostPath, bool), Vec<Who>> = BTreeMap::new();
    for process in &seen {
        let first = |of: &BTreeSet<HostPath>| process.deleted.intersection(of).next().cloned();
        // Our own units come to their end with the undo.
        let is_service = process.unit.as_ref().is_some_and(|unit| {
            unit.ends_with(".service")
                && !["user@", "steadfast-"]
                    .iter()
                    .any(|of| unit.starts_with(of))
        });
        // What ran before the change had the old file all the time.
        let is_newer = process
            .started
            .is_some_and(|started| started.as_second() > began.as_second());
        let (runs, is_seen) = match program(process.id, &programs) {
            Ok(runs) => (runs, true),
            Err(_) => (None, false),
        };
        // A session ends by itself.
        let of_back = || first(&back).filter(|_| is_service && is_newer);
        let runs = runs.or_else(|| first(&gone)).map(|path| (path, true));
        let Some(of) = runs.or_else(|| of_back().map(|path| (path, false))) else {
            if !is_seen {
                let (id, name) = (Some(process.id), process.name.clone());
                let unit = process.unit.clone();
                unseen.push(Unseen { id, name, unit }.to_string());
            }
            continue;
        };
        let of = (process.unit.clone(), of.0, of.1);
        found.entry(of).or_default().push(Who::of(process));
    }
    let running = found.into_iter().map(|((unit, path, is_gone), processes)| {
        let who = named(&processes);
        let unit = unit.unwrap_or_default();
        let how = match is_gone {
            true => format!("runs on with `{path}`, which is gone"),
            false => {
                format!("runs on with `{path}` as the change had it: systemctl restart {unit}")
            }
        };
        StillRuns { who, how }
    });
    Still {
        running: running.collect(),
        unseen: not_looked_at(&unseen),
    }
}

/// Processes that can't be looked at; none where there are none.
fn not_looked_at(names: &[String]) -> Option<StillRuns> {
    (!names.is_empty()).then(|| StillRuns {
        who: format!("what can't be looked at ({})", first_of(names, NAMED)),
        how: "may run on with what was taken away".to_owned(),
    })
}

/// `process 812 (nginx)`, and how many more.
fn named(processes: &[Who]) -> String {
    let Some(first) = processes.first() else {
        return String::new();
    };
    let of = first.unit.iter().map(|unit| format!(" of {unit}"));
    let of: String = of.collect();
    match processes.len() - 1 {
        0 => format!("process {} ({}){of}", first.id, first.name),
        more => format!("process {} ({}){of} and {more} more", first.id, first.name),
    }
}

/// The files among these that can be run.
fn programs<'a>(images: impl Iterator<Item = &'a Imaged>) -> BTreeSet<HostPath> {
    let is_program = |image: &&Imaged| {
        let left = image.after.as_ref().and_then(Node::attributes);
        left.is_some_and(|left| left.mode.bits() & 0o111 != 0)
            && !matches!(image.after, Some(Node::Directory { .. }))
    };
    let images = images.filter(is_program);
    images.map(|image| image.path.clone()).collect()
}

/// Which of these a process runs: as its program, or as the script that its program runs.
///
/// # Errors
/// When its program can't be looked at, and its own words name none of these.
fn program(id: u32, programs: &BTreeSet<HostPath>) -> io::Result<Option<HostPath>> {
    if programs.is_empty() {
        return Ok(None);
    }
    // Everybody may read them, unlike the link to its program.
    let words = File::open(folder(id).join("cmdline"));
    let words = words.and_then(|words| place::read_bounded(words, WORDS_BYTES));
    let exe = fs::read_link(folder(id).join("exe"));
    match (exe, words) {
        (Ok(exe), Ok(words)) => Ok(runs(Some(exe.as_os_str().as_bytes()), &words, programs)),
        (Err(error), _) | (_, Err(error)) if has_ended(&error) => Ok(None),
        (Ok(exe), Err(error)) => match runs(Some(exe.as_os_str().as_bytes()), b"", programs) {
            None => Err(error),
            found => Ok(found),
        },
        (Err(error), words) => match runs(None, &words.unwrap_or_default(), programs) {
            None => Err(error),
            found => Ok(found),
        },
    }
}

/// The same, of the link to a program (proc_pid_exe(5)) where that can be read, and of the words with
/// which it was started.
fn runs(exe: Option<&[u8]>, words: &[u8], programs: &BTreeSet<HostPath>) -> Option<HostPath> {
    let is_one = |bytes: &[u8]| {
        let path = HostPath::from_bytes(bytes).ok()?;
        programs.contains(&path).then_some(path)
    };
    let program = exe.and_then(|exe| is_one(exe.strip_suffix(DELETED).unwrap_or(exe)));
    program.or_else(|| {
        // `#!/usr/bin/python3 -s` makes it the third word (execve(2)). The first is the program as its
        // starter called it.
        let own = usize::from(exe.is_some());
        let mut words = words.split(|byte| *byte == 0).take(3).skip(own);
        words.find_map(is_one)
    })
}

/// This process, and those that started it.
fn ancestors() -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut next = Some(std::process::id());
    while let Some(id) = next.filter(|id| *id > 1 && found.insert(*id)) {
        next = fs::read(folder(id).join("stat"))
            .ok()
            .and_then(|stat| parent(&stat));
    }
    found
}

/// Field 4 of proc_pid_stat(5). A program's name may hold anything, and ends at the last parenthesis.
fn parent(stat: &[u8]) -> Option<u32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(stat.get(end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn folder(id: u32) -> PathBuf {
    Path::new("/proc").join(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_whatever_the_child_calls_itself() {
        assert_eq!(parent(b"12 (a) b) S 7 12 12 0"), Some(7));
        assert_eq!(parent(b"12 (a"), None);
        assert_eq!(parent(b""), None);
        assert!(ancestors().contains(&std::process::id()));
    }

    #[test]
    fn a_process_runs_its_program() {
        let own = std::env::current_exe().expect("this test's program");
        let own = HostPath::from_bytes(own.as_os_str().as_bytes()).expect("a path");
        let others = BTreeSet::from([HostPath::literal("/usr/bin/other")]);
        let runs = |programs| program(std::process::id(), programs).expect("it is ourselves");
        assert_eq!(runs(&others), None);
        let both = BTreeSet::from([HostPath::literal("/usr/bin/other"), own.clone()]);
        assert_eq!(runs(&both), Some(own));
    }

    #[test]
    fn a_process_is_told_by_its_words_where_its_program_can_not_be_looked_at() {
        let other = HostPath::literal("/usr/bin/other");
        let programs = BTreeSet::from([other.clone()]);
        for (exe, words, is_it) in [
            (Some(&b"/usr/bin/other"[..]), &b"x\0"[..], true),
            (Some(b"/usr/bin/other (deleted)"), b"", true),
            (
                Some(b"/usr/bin/python3.11"),
                b"python3\0-s\0/usr/bin/other\0",
                true,
            ),
            (
                Some(b"/usr/bin/sleep"),
                b"/usr/bin/other\0infinity\0",
                false,
            ),
            (None, b"/usr/bin/other\0infinity\0", true),
            (None, b"python3\0-s\0/usr/bin/other\0", true),
            (None, b"nginx: worker process\0", false),
            (None, b"a\0b\0c\0/usr/bin/other\0", false),
        ] {
            let wanted = is_it.then(|| other.clone());
            assert_eq!(runs(exe, words, &programs), wanted, "{exe:?} {words:?}");
        }
    }

    #[test]
    fn what_can_not_be_looked_at_is_never_nothing() {
        assert!(not_looked_at(&[]).is_none());
        let names: Vec<String> = (1..=10).map(|id| format!("nginx ({id})")).collect();
        let said = not_looked_at(&names).expect("there are some");
        assert!(said.who.contains("nginx (8) and 2 more"), "{}", said.who);
    }
}
