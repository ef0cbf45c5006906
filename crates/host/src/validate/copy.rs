//! Asking the programs of a copy of the host, on which packages are installed already, about the
//! files that are to come: what one refuses there is known before anything is installed here. The
//! copy is written to, and shown to nobody afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::HostPath;
use model::plan::Validator;
use rustix::mount::{
    MountPropagationFlags, UnmountFlags, mount_bind_recursive, mount_change, unmount,
};
use rustix::thread::UnshareFlags;

use super::{Laid, Refusal, ended, judge, needs, program, view};
use crate::act::place::Root;
use crate::act::program::Ended;
use crate::parse::mount::parse_mountinfo;
use crate::tool::sandbox::{Sandbox, unshare};

/// The kernel's own, which the copy shares with the host.
const SHARED: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Empty on a copy, whatever the host has there.
const EMPTY: [&str; 2] = ["/run", "/tmp"];
/// A unit that every host has.
const A_UNIT: &str = "/usr/lib/systemd/system/basic.target";

/// What each program refuses, in its own words. Not among it is what can't be asked there, what is
/// refused without the new files as well, and what is said of a place that the copy has not
/// (`hidden`): of that the host alone can be asked.
pub(crate) fn refused(
    copy: &Path,
    hidden: &[PathBuf],
    validators: &BTreeSet<Validator>,
    laid: &Laid,
) -> BTreeMap<Validator, String> {
    // Namespaces belong to threads, and this one's ends with it.
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            enter(copy)?;
            let root = Root::live().map_err(|error| error.to_string())?;
            ask_all(&root, hidden, validators, laid)
        });
        // Whatever stood in the way: the host is asked when it is time.
        asking.join().ok().and_then(Result::ok).unwrap_or_default()
    })
}

/// The copy becomes the root of the calling thread, in a mount namespace of its own.
fn enter(copy: &Path) -> Result<(), String> {
    let refused = |error: rustix::io::Errno| error.to_string();
    unshare(UnshareFlags::NEWNS).map_err(refused)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(refused)?;
    mount_bind_recursive("/proc", copy.join("proc")).map_err(refused)?;
    let copy = CString::new(copy.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    rustix::process::chdir(&*copy).map_err(refused)?;
    rustix::process::pivot_root(".", ".").map_err(refused)?;
    unmount(".", UnmountFlags::DETACH).map_err(refused)?;
    rustix::process::chdir("/").map_err(refused)
}

fn ask_all(
    root: &Root,
    hidden: &[PathBuf],
    validators: &BTreeSet<Validator>,
    laid: &Laid,
) -> Result<BTreeMap<Validator, String>, String> {
    let mut before = BTreeMap::new();
    for validator in validators {
        match ask(root, *validator, &bare(*validator)) {
            Ok(answer) if is_of_use(*validator, answer.as_ref()) => {
                before.insert(*validator, answer);
            }
            _ => {}
        }
    }
    view::write_all(root, laid, &|real| {
        !SHARED.iter().any(|shared| real.starts_with(shared))
    })?;
    let mut all = BTreeMap::new();
    for (validator, before) in before {
        let answer = judge(root, validator, laid, before, &|| {
            ask(root, validator, laid)
        });
        if let Err(Refusal::Said(said)) = answer
            && !is_of_hidden(&said, hidden)
        {
            all.insert(validator, said);
        }
    }
    Ok(all)
}

/// What a program is asked about before anything is laid.
fn bare(validator: Validator) -> Laid {
    let mut laid = Laid::default();
    if validator == Validator::SystemdUnit {
        laid.files
            .insert(HostPath::literal(A_UNIT), Some(Vec::new()));
    }
    laid
}

/// A program that refuses what the packages themselves bring may be wrong about the host: not all of
/// the host is there.
fn is_of_use(validator: Validator, before: Option<&Ended>) -> bool {
    match validator {
        // They end in the same way whatever they find, or are judged by what is new.
        Validator::Fstab | Validator::Logrotate => true,
        _ => before.is_none_or(Ended::succeeded),
    }
}

/// Does it name a path below a place that the copy has not?
fn is_of_hidden(said: &str, hidden: &[PathBuf]) -> bool {
    let named = |place: &str| said.contains(&format!("{place}/"));
    let own = SHARED.into_iter().chain(EMPTY);
    own.into_iter().any(named) || hidden.iter().any(|place| place.to_str().is_none_or(named))
}

fn ask(root: &Root, validator: Validator, laid: &Laid) -> Result<Option<Ended>, Refusal> {
    let Some((program, arguments)) = program(root, validator, laid)? else {
        return Ok(None);
    };
    let needs = needs(validator);
    if let Some(directory) = needs.directory {
        view::make(Path::new(directory)).map_err(|error| Refusal::Failed(error.to_string()))?;
    }
    let scratch = EMPTY.iter().chain(needs.scratch).map(Path::new);
    let sandbox = Sandbox {
        keep: needs.keep,
        writable: writable(scratch)?,
        any_address: needs.any_address,
        network: needs.network,
        ..Sandbox::default()
    };
    ended(&program, &arguments, sandbox).map(Some)
}

/// The mounts below these directories, each of them a mount of its own now. What of the host is shown
/// on the copy as it is stays read-only.
fn writable<'a>(directories: impl Iterator<Item = &'a Path>) -> Result<Vec<PathBuf>, Refusal> {
    let mut tops: Vec<PathBuf> = Vec::new();
    for directory in directories {
        if let Ok(real) = directory.canonicalize()
            && !tops.contains(&real)
        {
            mount_bind_recursive(&real, &real)
                .map_err(|error| Refusal::Failed(error.to_string()))?;
            tops.push(real);
        }
    }
    let mounts = std::fs::read("/proc/thread-self/mountinfo")
        .map_err(|error| Refusal::Failed(error.to_string()))?;
    let lines = parse_mountinfo(&mounts).into_iter();
    let mut all: Vec<PathBuf> = lines
        .filter(|line| !line.mount.options.iter().any(|option| option == "ro"))
        .map(|line| line.mount.path.as_path().to_owned())
        .filter(|path| tops.iter().any(|top| path.starts_with(top)))
        .collect();
    all.sort();
    all.dedup();
    Ok(all)
}
