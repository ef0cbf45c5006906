//! `Gemfile.lock`:
//!
//! ```text
//! GEM
//!   remote: https://rubygems.org/
//!   specs:
//!     rack (2.2.3)
//!       other (>= 1)
//!
//! DEPENDENCIES
//!   rack (~> 2.2)!
//! ```

use model::dependency::{Locked, LockedFrom};
use model::value::Reason;

use super::{Packages, Places};

pub(super) fn read(lock: &str) -> Result<Vec<Locked>, Reason> {
    let mut packages = Packages::default();
    let mut places: Places<'_> = Places::new();
    let mut wants: Vec<(usize, &str)> = Vec::new();
    let mut asked: Vec<&str> = Vec::new();
    let mut section = "";
    let mut current = None;
    for (number, line) in (1u32..).zip(lock.lines()) {
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let word = body.split(' ').next().unwrap_or_default();
        match (section, indent) {
            _ if body.is_empty() => {}
            (_, 0) => section = body.trim_end(),
            ("DEPENDENCIES", 2) => asked.push(word.trim_end_matches('!')),
            ("GEM" | "GIT" | "PATH" | "PLUGIN SOURCE", 4) => {
                let from = match section {
                    "GEM" => LockedFrom::Registry,
                    _ => LockedFrom::Elsewhere,
                };
                current = match version(body) {
                    Some(version) => packages.add(from, word, version, Some(number))?,
                    None => None,
                };
                if let Some(at) = current {
                    places.entry(word).or_default().push(at);
                }
            }
            ("GEM" | "GIT" | "PATH" | "PLUGIN SOURCE", 6) => {
                wants.extend(current.map(|who| (who, word)));
            }
            _ => {}
        }
    }
    for (who, name) in wants {
        // A gem stands once for each platform.
        for what in places.get(name).into_iter().flatten() {
            packages.need(who, *what)?;
        }
    }
    if !asked.is_empty() {
        let project = packages.project()?;
        for name in asked {
            for what in places.get(name).into_iter().flatten() {
                packages.need(project, *what)?;
            }
        }
    }
    Ok(packages.done())
}

/// `nokogiri (1.16.0-x86_64-linux)`: a platform may follow.
fn version(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once(" (")?;
    let (version, _) = rest.split_once(')')?;
    Some(version.split('-').next().unwrap_or(version))
}
