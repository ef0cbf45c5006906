//! A throwaway host, container or machine alike, as far as a proof needs it.

use std::path::Path;
use std::time::Duration;

use lab::{Container, Exec, Machine, Output, Snapshot};
use model::Mode;
use resource::Resource;
use resource::metadata::NameWanted;

pub type GuestError = lab::Error;

/// No step of a proof takes longer on an emulated machine, which is some thirty times
/// slower than a container.
const STEP_LIMIT: Duration = Duration::from_secs(180);

/// What `{at_most: …}` is cut down from.
const ALL_BITS: Mode = Mode::new(0o7777);

pub trait Guest {
    fn run(&self, argv: &[String]) -> Result<Output, GuestError>;
    fn write(&self, path: &Path, content: &[u8]) -> Result<(), GuestError>;
    fn copy_in(&self, from: &Path, to: &Path) -> Result<(), GuestError>;
    /// Every file of the host, for comparing.
    fn snapshot(&self) -> Result<Snapshot, GuestError>;
}

impl Guest for Container {
    fn run(&self, argv: &[String]) -> Result<Output, GuestError> {
        self.exec(&Exec::new(argv).limit(STEP_LIMIT))
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), GuestError> {
        self.write_file(path, content)
    }

    fn copy_in(&self, from: &Path, to: &Path) -> Result<(), GuestError> {
        Container::copy_in(self, from, to)
    }

    fn snapshot(&self) -> Result<Snapshot, GuestError> {
        Container::snapshot(self)
    }
}

/// Where a change of ours can show on an emulated machine, which hashes slowly: everything
/// that people and packages configure, and nothing that packages only install.
const WATCHED: [&str; 5] = ["/etc", "/boot", "/home", "/root", "/usr/local"];

impl Guest for Machine {
    fn run(&self, argv: &[String]) -> Result<Output, GuestError> {
        self.exec(&Exec::new(argv).limit(STEP_LIMIT))
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), GuestError> {
        self.write_file(&path.to_string_lossy(), content)
    }

    fn copy_in(&self, from: &Path, to: &Path) -> Result<(), GuestError> {
        Machine::copy_in(self, from, &to.to_string_lossy())
    }

    fn snapshot(&self) -> Result<Snapshot, GuestError> {
        Machine::snapshot(self, &WATCHED)
    }
}

/// Puts a file, directory or link of a `given:` list in place with plain tools.
pub(super) fn put(guest: &dyn Guest, resource: &Resource) -> Result<(), String> {
    let run = |argv: &[&str]| -> Result<(), String> {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let output = guest.run(&argv).map_err(|error| error.to_string())?;
        if output.success() {
            Ok(())
        } else {
            Err(format!("`{}`: {}", argv.join(" "), output.errors().trim()))
        }
    };
    let parent_of = |path: &model::HostPath| {
        path.parent()
            .map_or_else(|| "/".to_owned(), |parent| parent.to_string())
    };
    match resource {
        Resource::File(file) => {
            let path = file.path.to_string();
            if file.absent {
                return run(&["/usr/bin/rm", "-f", &path]);
            }
            if let Some(content) = &file.content {
                run(&["/usr/bin/mkdir", "-p", &parent_of(&file.path)])?;
                guest
                    .write(file.path.as_path(), content.as_bytes())
                    .map_err(|error| error.to_string())?;
            }
            meta(
                &run,
                &path,
                file.mode.map(|mode| mode.set(ALL_BITS)),
                file.owner.as_ref(),
                file.group.as_ref(),
            )
        }
        Resource::Directory(directory) => {
            let path = directory.path.to_string();
            if directory.absent {
                return run(&["/usr/bin/rm", "-rf", &path]);
            }
            run(&["/usr/bin/mkdir", "-p", &path])?;
            meta(
                &run,
                &path,
                directory.mode.map(|mode| mode.set(ALL_BITS)),
                directory.owner.as_ref(),
                directory.group.as_ref(),
            )
        }
        Resource::Link(link) => match &link.target {
            Some(target) => run(&["/usr/bin/ln", "-sfn", target, &link.path.to_string()]),
            None => run(&["/usr/bin/rm", "-f", &link.path.to_string()]),
        },
        other => Err(format!(
            "`given` puts files, directories and links in place, or runs commands; not `{}`",
            other.key()
        )),
    }
}

fn meta(
    run: &dyn Fn(&[&str]) -> Result<(), String>,
    path: &str,
    mode: Option<Mode>,
    owner: Option<&NameWanted>,
    group: Option<&NameWanted>,
) -> Result<(), String> {
    if let Some(owner) = owner {
        run(&["/usr/bin/chown", owner.set(), path])?;
    }
    if let Some(group) = group {
        run(&["/usr/bin/chgrp", group.set(), path])?;
    }
    if let Some(mode) = mode {
        run(&["/usr/bin/chmod", &mode.to_string(), path])?;
    }
    Ok(())
}
