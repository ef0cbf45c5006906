//! Processes that run what an undo takes away. Those that no unit of the change holds stand in the
//! way of it, and what is still at work when it is done is named. It never ends one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::{ActionId, HostPath};

use super::Obstacle;
use crate::act::{ActError, Context, place, unit};
use crate::image::Node;
use crate::journal::{ActionRecord, Imaged, Kept, Role};
use crate::packages::users::{self, Process};

/// What stands behind the name of a program that is not there any more (proc_pid_exe(5)).
const DELETED: &[u8] = b" (deleted)";
/// An interpreter's own words, and the script that it runs, come first.
const WORDS_BYTES: u64 = 64 << 10;

/// Processes that are still at work, in words for people.
pub(super) struct StillRuns {
    pub(super) who: String,
    pub(super) how: String,
}

/// Why something may not go: processes run it, and would go on without it. `rest`: units that go back
/// to rest.
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
    let mut found: BTreeMap<(Option<String>, HostPath), Vec<Process>> = BTreeMap::new();
    for process in users::processes() {
        let is_stopped = process
            .unit
            .as_ref()
            .is_some_and(|unit| stops.contains(unit));
        if is_stopped || above.contains(&process.id) {
            continue;
        }
        if let Some(path) = program(process.id, &programs) {
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

/// What runs, or has mapped, what was taken away from under it, or what the change had put in the
/// place of what is back.
pub(super) fn still(
    is_live: bool,
    images: &[Imaged],
    records: &[ActionRecord],
    chosen: &BTreeSet<ActionId>,
) -> Vec<StillRuns> {
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
        return Vec::new();
    };
    let mine = images.iter().filter(|image| {
        image.role == Role::Touched && image.actions.iter().any(|id| since.contains_key(id))
    });
    let (gone, back): (Vec<&Imaged>, Vec<&Imaged>) =
        mine.partition(|image| image.before == Node::Absent);
    let programs = programs(gone.iter().copied());
    let paths = |of: &[&Imaged]| of.iter().map(|image| image.path.clone()).collect();
    let (gone, back): (BTreeSet<HostPath>, BTreeSet<HostPath>) = (paths(&gone), paths(&back));
    let mut found: BTreeMap<(Option<String>, HostPath, bool), Vec<Process>> = BTreeMap::new();
    for process in users::processes() {
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
        let runs = program(process.id, &programs).or_else(|| first(&gone));
        let of = match runs {
            Some(path) => (path, true),
            // A session ends by itself.
            None if is_service && is_newer => match first(&back) {
                Some(path) => (path, false),
                None => continue,
            },
            None => continue,
        };
        let of = (process.unit.clone(), of.0, of.1);
        found.entry(of).or_default().push(process);
    }
    let told = found.into_iter().map(|((unit, path, is_gone), processes)| {
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
    told.collect()
}

/// `process 812 (nginx)`, and how many more.
fn named(processes: &[Process]) -> String {
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
fn program(id: u32, programs: &BTreeSet<HostPath>) -> Option<HostPath> {
    if programs.is_empty() {
        return None;
    }
    let is_one = |bytes: &[u8]| {
        let path = HostPath::from_bytes(bytes).ok()?;
        programs.contains(&path).then_some(path)
    };
    let exe = fs::read_link(folder(id).join("exe")).ok()?;
    let exe = exe.as_os_str().as_bytes();
    is_one(exe.strip_suffix(DELETED).unwrap_or(exe)).or_else(|| {
        let words = File::open(folder(id).join("cmdline")).ok()?;
        let words = place::read_bounded(words, WORDS_BYTES).ok()?;
        // `#!/usr/bin/python3 -s` makes it the third word (execve(2)).
        let mut words = words.split(|byte| *byte == 0).skip(1).take(2);
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
        assert_eq!(program(std::process::id(), &others), None);
        let both = BTreeSet::from([HostPath::literal("/usr/bin/other"), own.clone()]);
        assert_eq!(program(std::process::id(), &both), Some(own));
    }
}
