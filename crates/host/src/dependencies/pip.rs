//! Requirements: pinned lines are rewritten here, and pip is asked whether the new pins exist and
//! hold together, from wheels only, since building a package is running it.
//!
//! pip is given the pins and nothing else of the file: an option, an address or a folder in it
//! could have pip ask, or read, elsewhere.

use std::ffi::OsString;

use model::dependency::Lockfile;

use super::workshop::{Tool, Workshop, said};
use super::{Changed, Files, Folder, NotAsked, Upgraded, Wanted};
use crate::components::lock::{self, Pin, pins, requirements_with};

const PIP: Tool = Tool {
    name: "pip",
    program: "python3",
    // Without modules of the folder that it is started in.
    first: &["-I", "-m", "pip"],
    // Version managers put wrappers in its place, which write to their own folders.
    which: Some(&["-I", "-c", "import sys; print(sys.executable)"]),
    settings: &[".config/pip/pip.conf", ".pip/pip.conf"],
    variables: &[
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "PIP_CONFIG_FILE",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_INDEX_URL",
        "PIP_NO_INDEX",
        "PIP_PROXY",
        "PIP_TRUSTED_HOST",
        "REQUESTS_CA_BUNDLE",
    ],
    folders: &[("PYENV_ROOT", ".pyenv")],
};

/// The kernel takes some hundred kilobytes of arguments at least.
const MOST_PINS: usize = 1_000;

pub(super) fn upgrade(
    folder: &Folder,
    lockfile: &Lockfile,
    wanted: &[Wanted],
    interrupted: fn() -> bool,
) -> Result<Upgraded, NotAsked> {
    let of = |why: &dyn std::fmt::Display| NotAsked(format!("`{}`: {why}", lockfile.path));
    let content = folder
        .content(&lockfile.path, lock::LIMIT_BYTES)
        .map_err(|why| of(&why))?;
    let content = content.ok_or_else(|| of(&"it is gone"))?;
    let text = str::from_utf8(&content).map_err(|error| of(&error))?;
    let (all, others) = pins(text).map_err(|why| of(&why))?;
    let mut upgraded = Upgraded::default();
    let mut changes: Vec<(&Pin, &Wanted)> = Vec::new();
    for one in wanted {
        let refused = if one.to.above {
            Some("the advisory names no fixed version, and a pin needs one")
        } else if all.iter().any(|pin| is_of(pin, one) && pin.has_hashes) {
            Some(
                "its line names the digests of the files that may be installed, of every platform, \
                 which pip tells for this one only: pip-compile or uv writes them anew",
            )
        } else if !one.to.compatible {
            Some("only a new major version closes it: that is for a person to take")
        } else {
            None
        };
        match refused {
            Some(why) => upgraded.refused.push((one.clone(), why.to_owned())),
            None => changes.extend(
                all.iter()
                    .filter(|pin| is_of(pin, one))
                    .map(|pin| (pin, one)),
            ),
        }
    }
    if changes.is_empty() {
        return Ok(upgraded);
    }
    if all.len() > MOST_PINS {
        return Err(of(&format_args!("more than {MOST_PINS} pinned lines")));
    }
    let workshop = Workshop::make(&PIP, folder, &Files::new(), interrupted)?;
    let asked: Vec<&Pin> = all.iter().collect();
    let kept = match check(&workshop, &asked, &changes) {
        Ok(()) => changes,
        Err(_) => {
            let mut only_new = Vec::new();
            let asked = installable(&workshop, &asked, &changes, &mut only_new, &mut upgraded);
            changes.retain(|(pin, _)| asked.contains(pin));
            // What can only be installed as it should become does so in every question.
            changes.sort_by_key(|(pin, _)| !only_new.contains(pin));
            one_by_one(&workshop, &asked, &changes, only_new.len(), &mut upgraded)
        }
    };
    if !kept.is_empty() {
        let new: Vec<(&Pin, &str)> = kept
            .iter()
            .map(|(pin, one)| (*pin, &*one.to.version))
            .collect();
        upgraded.changed.push(Changed {
            path: lockfile.path.clone(),
            new: requirements_with(text, &new).into_bytes(),
            old: content.clone(),
        });
        if others > 0 {
            upgraded.notes.push(format!(
                "pip was asked about the pinned lines only: {others} others of `{}` stay as they \
                 are",
                lockfile.path
            ));
        }
    }
    upgraded.notes.extend(workshop.notes.iter().cloned());
    Ok(upgraded)
}

fn is_of(pin: &Pin, wanted: &Wanted) -> bool {
    pin.name == wanted.name && pin.version == wanted.version
}

/// The pins that pip can install as they are, or as they should become. One that it can't, as one
/// without a wheel for this Python, would have every question about the others fail with it. In
/// `only_new` are those that it can install as they should become, and not as they are.
fn installable<'a>(
    workshop: &Workshop,
    pins: &[&'a Pin],
    changes: &[(&'a Pin, &'a Wanted)],
    only_new: &mut Vec<&'a Pin>,
    upgraded: &mut Upgraded,
) -> Vec<&'a Pin> {
    if check(workshop, pins, &[]).is_ok() {
        return pins.to_vec();
    }
    if let [pin] = pins {
        let change = changes.iter().find(|(changed, _)| changed == pin);
        let change = change.map_or(&[][..], std::slice::from_ref);
        // It may be what the upgrade mends.
        match check(workshop, pins, change) {
            Ok(()) if !change.is_empty() => {
                only_new.push(pin);
                return pins.to_vec();
            }
            Ok(()) => {}
            Err(why) => {
                upgraded.notes.push(format!(
                    "pip can't install {}=={}, which is left out of its question: {why}",
                    pin.name, pin.version
                ));
                if let [(_, wanted)] = change {
                    upgraded.refused.push(((*wanted).clone(), why));
                }
            }
        }
        return Vec::new();
    }
    let (first, second) = pins.split_at(pins.len() / 2);
    let mut good = installable(workshop, first, changes, only_new, upgraded);
    good.extend(installable(workshop, second, changes, only_new, upgraded));
    good
}

/// Each that goes together with those before it, of which the first `at_once` are asked about together.
fn one_by_one<'a>(
    workshop: &Workshop,
    all: &[&Pin],
    changes: &[(&'a Pin, &'a Wanted)],
    at_once: usize,
    upgraded: &mut Upgraded,
) -> Vec<(&'a Pin, &'a Wanted)> {
    let (first, rest) = changes.split_at(at_once);
    let mut kept = first.to_vec();
    for change in rest {
        kept.push(*change);
        if let Err(why) = check(workshop, all, &kept) {
            kept.pop();
            upgraded.refused.push((change.1.clone(), why));
        }
    }
    kept
}

/// Asks pip whether all pins, with these changes, can be installed together.
fn check(workshop: &Workshop, all: &[&Pin], changes: &[(&Pin, &Wanted)]) -> Result<(), String> {
    let mut args: Vec<OsString> = [
        "install",
        "--dry-run",
        "--ignore-installed",
        "--only-binary",
        ":all:",
        "--retries",
        "1",
        "--no-input",
        "--quiet",
        "--no-color",
        "--disable-pip-version-check",
        "--",
    ]
    .map(OsString::from)
    .to_vec();
    for pin in all {
        let change = changes.iter().find(|(changed, _)| changed == pin);
        let version = change.map_or(&*pin.version, |(_, wanted)| &*wanted.to.version);
        let Pin {
            name,
            extras,
            marker,
            ..
        } = pin;
        args.push(format!("{name}{extras}=={version} {marker}").into());
    }
    let output = workshop.run(&args)?;
    match output.status {
        Some(0) => Ok(()),
        _ => Err(said(&output)),
    }
}
