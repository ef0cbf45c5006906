//! What people and programs made in the places of packages that are about to go: dpkg's purge would
//! take it away with them, and it is nobody's but theirs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::HostPath;
use model::effect::bare_name;
use model::patching::DATA_TOPS;

use super::program::Program;
use super::{ActError, Context};
use crate::records::INFO;

/// Configuration lies here, and data below the others.
fn tops() -> impl Iterator<Item = &'static str> {
    ["/etc"].into_iter().chain(DATA_TOPS)
}

/// Is this below one of them?
fn is_below_a_top(path: &str) -> bool {
    let rest = |top: &str| path.strip_prefix(top)?.strip_prefix('/');
    tops().any(|top| rest(top).is_some_and(|rest| !rest.is_empty()))
}

/// Thousands of files say what a hundred say.
const MOST_FOUND: usize = 100;
/// A tree that is deeper is no package's.
const MOST_DEPTH: usize = 24;

/// What packages list, as dpkg's database has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// By the packages that go.
    pub mine: BTreeSet<PathBuf>,
    /// By all others.
    pub others: BTreeSet<PathBuf>,
}

impl Listed {
    /// The directories that are theirs alone: which they list and nobody else does, and those that
    /// are called as they are.
    pub fn own_directories(
        &self,
        names: &[String],
        is_directory: impl Fn(&Path) -> bool,
    ) -> BTreeSet<PathBuf> {
        let called = names.iter().flat_map(|name| {
            let name = bare_name(name);
            // A home of that name is somebody's of that name.
            let tops = tops().filter(|top| *top != "/home");
            tops.map(move |top| Path::new(top).join(name))
        });
        let is_below = |path: &PathBuf| is_below_a_top(&path.to_string_lossy());
        self.mine
            .iter()
            .cloned()
            .chain(called)
            .filter(is_below)
            .filter(|path| !self.others.contains(path) && is_directory(path))
            .collect()
    }
}

/// Files that somebody made in the places of these packages, and configuration files of theirs that
/// somebody changed. Empty: a purge takes nothing that is not theirs.
///
/// # Errors
/// When dpkg can't be asked: what is not known is not taken away.
pub fn made(context: &Context<'_>, names: &[String]) -> Result<BTreeSet<PathBuf>, ActError> {
    let mut made = BTreeSet::new();
    if names.is_empty() {
        return Ok(made);
    }
    let listed = listed(context, names)?;
    for directory in listed.own_directories(names, |path| {
        path.symlink_metadata().is_ok_and(|there| there.is_dir())
    }) {
        walk(&directory, &listed, MOST_DEPTH, &mut made)?;
    }
    let verified = Program::find(&["/usr/bin/dpkg"])?
        .args(["--verify", "--"])
        .args(names.iter().cloned())
        // It ends with 1 where it does not know a package, and with 2 where it can't look.
        .answer_with(&[0, 1])?;
    made.extend(changed(&verified.stdout));
    Ok(made)
}

/// The configuration files of `dpkg --verify` whose content is not the package's:
/// `??5?????? c /etc/nginx/nginx.conf`.
pub fn changed(said: &str) -> Vec<PathBuf> {
    let lines = said.lines();
    lines
        .filter_map(|line| {
            let (flags, path) = line.split_once(" c ")?;
            (flags.as_bytes().get(2) == Some(&b'5')).then(|| PathBuf::from(path.trim()))
        })
        .collect()
}

fn listed(context: &Context<'_>, names: &[String]) -> Result<Listed, ActError> {
    const LIST_BYTES: u64 = 16 << 20;
    let bare: BTreeSet<&str> = names.iter().map(|name| bare_name(name)).collect();
    let mut listed = Listed::default();
    let directory = HostPath::literal(INFO);
    for name in context.root.list(&directory)?.unwrap_or_default() {
        let Some(package) = str::from_utf8(&name)
            .ok()
            .and_then(|name| name.strip_suffix(".list"))
        else {
            continue;
        };
        let path = directory
            .join(&name)
            .map_err(|error| ActError::program("read what packages list", error))?;
        let bytes = context.root.read(&path, LIST_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all = match bare.contains(bare_name(package)) {
            true => &mut listed.mine,
            false => &mut listed.others,
        };
        let places = text.lines().filter(|path| is_below_a_top(path));
        all.extend(places.map(PathBuf::from));
    }
    Ok(listed)
}

fn walk(
    directory: &Path,
    listed: &Listed,
    depth: usize,
    made: &mut BTreeSet<PathBuf>,
) -> Result<(), ActError> {
    let fail = |error: std::io::Error| {
        ActError::program(format!("look into `{}`", directory.display()), error)
    };
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        if made.len() >= MOST_FOUND {
            return Ok(());
        }
        let is_directory = entry.file_type().map_err(fail)?.is_dir();
        if is_directory && depth > 0 && !listed.others.contains(&path) {
            walk(&path, listed, depth - 1, made)?;
        } else if !listed.mine.contains(&path) && !listed.others.contains(&path) {
            made.insert(path);
        }
    }
    Ok(())
}

/// Some of them, for a person.
pub fn named(made: &BTreeSet<PathBuf>) -> String {
    let names: Vec<String> = made
        .iter()
        .map(|path| model::printable(path.as_os_str().as_encoded_bytes()))
        .collect();
    model::count::first_of(&names, 5)
}
