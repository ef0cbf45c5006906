//! `steadfast patch dependencies`: what the lockfiles of a source folder name, held against the
//! feeds; the smallest upgrade for each; and, where it is asked for, those upgrades as a patch
//! file that the ecosystem's own tool computed on a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use advisory::assess::{Assessment, Finding, Unknown};
use advisory::kernel::Kernel;
use advisory::matching::Subject;
use advisory::rank::{Exposure, Unseen};
use advisory::remedy::remedy;
use host::dependencies::{Changed, Folder, Wanted, reread};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::Component;
use model::count::plural;
use model::dependency::{Brought, LockedFrom, Lockfile};

use crate::assessing::{Advisories, Terms, damaged};
use crate::assessing::{USUAL_AGE_DAYS, days};
use crate::commands::Format;
use crate::commands::feed::refused;
use crate::context::{self, Context};
use crate::duration::Days;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::show::dependencies::{Advice, Looked, Made, Outcome, Shown, patch_text};
use crate::show::vulns::View;
use crate::style::Style;
use crate::{report, show};

/// Show the smallest upgrades that close what is known of a folder's dependencies
///
/// Reads the lockfiles and manifests in a folder, and below it: Cargo.lock, package-lock.json,
/// yarn.lock, pnpm-lock.yaml, poetry.lock, uv.lock, Pipfile.lock, requirements*.txt with the files
/// that they take in, requirements/*.txt, Gemfile.lock and go.mod. The folder is never changed. With --output, cargo, npm and pip are asked for the
/// upgrades on a copy of manifests and lockfiles, without running any code of the project, and
/// what they change is written as a patch for `git apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast patch dependencies .\n  \
    steadfast patch dependencies ~/shop --output shop.patch\n  git -C ~/shop apply ~/shop.patch\n\n\
    Exits with 1 when there are findings, and with 3 when something could not be checked.")]
pub struct Args {
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write the upgrades that a tool could make to this file; asks the tools' registries
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A feed is stale when it is older than so many days
    #[arg(long, value_name = "DAYS", default_value_t = Days(USUAL_AGE_DAYS))]
    max_age: Days,
    /// Show every package and every vulnerability
    #[arg(long)]
    verbose: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let folder = Folder::read(&args.folder).map_err(|error| {
        Failure::new(
            Exit::BadInput,
            format_args!("can't read the folder `{}`: {error}", args.folder.display()),
            "name a folder with lockfiles in it, or above them",
        )
    })?;
    let advisories = Advisories::open(context.directory()).map_err(refused)?;
    let terms = Terms {
        fresh: days(args.max_age.0),
        ..Terms::usual(Timestamp::now())
    };
    let mut assessment = assess(&advisories, &folder.components(), &terms)?;
    for (path, why) in &folder.unread {
        let why = format!("{path}: {why}");
        assessment.unknown.push(Unknown::of_all(why));
    }
    assessment.unknown.extend(not_looked_up(&folder));
    let mut advice = advise(&folder, &advisories, &assessment)?;
    let mut patch = None;
    if let Some(path) = &args.output {
        let mut made = make(&folder, &advisories, &terms, &assessment, &mut advice)?;
        let text = patch_text(&made.changed);
        if !text.is_empty() {
            let write = |out: &mut dyn Write, _: &Style| out.write_all(text.as_bytes());
            report::deliver(Some(path), "patch", &write)?;
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            made.file = Some(model::printable(path.as_os_str().as_encoded_bytes()));
        }
        patch = Some(made);
    }
    let exit = exit(&assessment);
    let shown = Shown {
        format: 1,
        generated: terms.now,
        folder: model::printable(folder.path().as_os_str().as_encoded_bytes()),
        lockfiles: folder.lockfiles.iter().map(Looked::of).collect(),
        advice,
        patch,
        assessment,
    };
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => report::json::write_value(&mut out, &shown)?,
        Format::Human => {
            let view = View {
                verbose: args.verbose,
                today: TimeZone::UTC.to_datetime(shown.generated).date(),
                flags: String::new(),
            };
            show::dependencies::write(&mut out, &shown, &view, &Style::for_stdout())?;
        }
    }
    out.flush()?;
    Ok(exit)
}

/// How a folder's software can be reached is decided where it runs: unknown, which takes the
/// worse branch and says so. A lockfile is a document that names components.
fn assess(
    advisories: &Advisories,
    components: &[Component],
    terms: &Terms,
) -> Result<Assessment, Failure> {
    advisories
        .assess(
            components,
            &|_| Exposure::Unknown(Unseen::Document),
            &Kernel::Unknown,
            terms,
        )
        .map_err(refused)
}

/// What can't be looked up: repositories, folders and addresses, of which no feed speaks, and what
/// is not pinned.
fn not_looked_up(folder: &Folder) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    for lockfile in &folder.lockfiles {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for why in lockfile
            .packages
            .iter()
            .filter_map(|one| one.from.unknown())
        {
            *counts.entry(why).or_default() += 1;
        }
        unknown.extend(counts.into_iter().map(|(why, packages)| Unknown {
            why: format!("{}: {why}", lockfile.path),
            packages: Some(packages),
            unspoken: None,
        }));
    }
    unknown
}

/// A package of a lockfile as advisories know it.
fn subject(lockfile: &Lockfile, name: &str, version: &str) -> Subject {
    let ecosystem = lockfile.format.ecosystem().to_string();
    let name = match advisory::version::order_of(&ecosystem) {
        Some(order) => order.normal_name(name),
        None => name.to_owned(),
    };
    Subject {
        ecosystem,
        name,
        version: version.to_owned(),
    }
}

/// For each package with findings, the most urgent first.
fn advise(
    folder: &Folder,
    advisories: &Advisories,
    assessment: &Assessment,
) -> Result<Vec<Advice>, Failure> {
    let mut by_subject: BTreeMap<&Subject, (usize, Vec<&Finding>)> = BTreeMap::new();
    for (rank, finding) in assessment.findings.iter().enumerate() {
        let entry = by_subject.entry(&finding.package);
        entry.or_insert((rank, Vec::new())).1.push(finding);
    }
    let sources = advisories.sources().map_err(refused)?;
    let indexes: Vec<_> = sources.iter().map(|source| source.index).collect();
    let mut all = Vec::new();
    for lockfile in &folder.lockfiles {
        let direct = lockfile.direct();
        let mut seen = BTreeSet::new();
        for (at, package) in lockfile.packages.iter().enumerate() {
            let subject = subject(lockfile, &package.name, &package.version);
            let Some((rank, findings)) = by_subject.get(&subject) else {
                continue;
            };
            // Of one version, npm may install several copies.
            if package.from != LockedFrom::Registry || !seen.insert(subject.clone()) {
                continue;
            }
            let names = |places: &[usize]| {
                let named = places.iter().filter_map(|at| lockfile.packages.get(*at));
                let named: BTreeSet<String> = named
                    .map(|package| format!("{} {}", package.name, package.version))
                    .collect();
                named.into_iter().collect::<Vec<_>>()
            };
            let (is_direct, brought_by) = match lockfile.brought(at, &direct) {
                Brought::Unknown => (None, Vec::new()),
                Brought::Direct { also } => (Some(true), names(&also)),
                Brought::By(by) => (Some(false), names(&by)),
            };
            let remedy =
                remedy(&indexes, &subject, &[]).map_err(|error| refused(damaged(error)))?;
            all.push((
                *rank,
                Advice {
                    lockfile: lockfile.path.clone(),
                    line: package.line,
                    name: package.name.clone(),
                    version: package.version.clone(),
                    ecosystem: subject.ecosystem,
                    development: package.development,
                    direct: is_direct,
                    brought_by,
                    findings: findings.iter().map(|&finding| finding.clone()).collect(),
                    remedy,
                    outcome: None,
                },
            ));
        }
    }
    // The order of their lockfiles among equals.
    all.sort_by_key(|(rank, _)| *rank);
    Ok(all.into_iter().map(|(_, advice)| advice).collect())
}

/// Has the tools make the upgrades, and looks again.
fn make(
    folder: &Folder,
    advisories: &Advisories,
    terms: &Terms,
    before: &Assessment,
    advice: &mut [Advice],
) -> Result<Made, Failure> {
    context::heed_interrupts();
    let mut made = Made::default();
    for lockfile in &folder.lockfiles {
        let mut wanted = Vec::new();
        for one in advice
            .iter_mut()
            .filter(|one| one.lockfile == lockfile.path)
        {
            match &one.remedy.to {
                Some(to) => wanted.push(Wanted {
                    name: one.name.clone(),
                    version: one.version.clone(),
                    to: to.clone(),
                }),
                None => one.outcome = not_made("no version is known that closes it"),
            }
        }
        if wanted.is_empty() {
            continue;
        }
        crate::say(format_args!(
            "asking for {} of {}",
            plural(wanted.len(), "upgrade"),
            lockfile.path
        ));
        let of_file = advice
            .iter_mut()
            .filter(|one| one.lockfile == lockfile.path);
        let upgraded = match folder.upgrade(lockfile, &wanted, context::is_interrupted) {
            Ok(upgraded) => upgraded,
            Err(why) => {
                let open = of_file.filter(|one| one.outcome.is_none());
                open.for_each(|one| one.outcome = not_made(&why.to_string()));
                continue;
            }
        };
        made.notes.extend(upgraded.notes);
        let taken = |file: &Changed| made.changed.iter().any(|known| known.path == file.path);
        if let Some(file) = upgraded.changed.iter().find(|file| taken(file)) {
            let why = format!("`{}` is changed for another lockfile already", file.path);
            of_file.for_each(|one| one.outcome = not_made(&why));
            continue;
        }
        let new = match reread(lockfile, &upgraded.changed) {
            Ok(new) => new,
            Err(why) => {
                let why = format!("what the tool wrote can't be read: {why}");
                of_file.for_each(|one| one.outcome = not_made(&why));
                continue;
            }
        };
        let after = assess(advisories, &folder.components_of(&new), terms)?;
        for one in of_file.filter(|one| one.outcome.is_none()) {
            let refused = upgraded
                .refused
                .iter()
                .find(|(wanted, _)| wanted.name == one.name && wanted.version == one.version);
            one.outcome = Some(outcome(
                one,
                lockfile,
                &new,
                &after,
                refused.map(|(_, why)| &**why),
            ));
        }
        made.brings.extend(brought(lockfile, before, &after));
        made.changed.extend(upgraded.changed);
    }
    Ok(made)
}

fn not_made(why: &str) -> Option<Outcome> {
    let why = why.to_owned();
    Some(Outcome::NotMade { why })
}

/// Is it closed in the new lockfile? An exit code is not asked.
fn outcome(
    advice: &Advice,
    old: &Lockfile,
    new: &Lockfile,
    after: &Assessment,
    refused: Option<&str>,
) -> Outcome {
    let versions = |file: &Lockfile| -> BTreeSet<String> {
        let same =
            |name: &str| subject(file, name, "").name == subject(file, &advice.name, "").name;
        let packages = file.packages.iter().filter(|package| same(&package.name));
        packages.map(|package| package.version.clone()).collect()
    };
    let (before, now) = (versions(old), versions(new));
    let fresh: Vec<String> = now.difference(&before).cloned().collect();
    if now.contains(&advice.version) {
        let why = match refused {
            Some(why) => why.to_owned(),
            None => {
                "the tool left it as it is: another package in the lockfile holds it".to_owned()
            }
        };
        return Outcome::NotMade { why };
    }
    let mut left: BTreeSet<&str> = BTreeSet::new();
    for version in &fresh {
        let subject = subject(new, &advice.name, version);
        let findings = after.findings.iter().filter(|one| one.package == subject);
        left.extend(findings.map(|one| &*one.name));
    }
    left.retain(|name| advice.remedy.closes.iter().any(|closes| closes == name));
    match left.is_empty() {
        true => Outcome::Upgraded { to: fresh },
        false => Outcome::StillOpen {
            to: fresh,
            left: left.into_iter().map(str::to_owned).collect(),
        },
    }
}

/// Findings of the new lockfile that the old one did not have.
fn brought(old: &Lockfile, before: &Assessment, after: &Assessment) -> Vec<Finding> {
    let of_old: BTreeSet<Subject> = old
        .packages
        .iter()
        .map(|package| subject(old, &package.name, &package.version))
        .collect();
    let known: BTreeSet<(&str, &str)> = before
        .findings
        .iter()
        .filter(|finding| of_old.contains(&finding.package))
        .map(|finding| (&*finding.name, &*finding.package.name))
        .collect();
    let is_new = |finding: &&Finding| !known.contains(&(&finding.name, &finding.package.name));
    after.findings.iter().filter(is_new).cloned().collect()
}

fn exit(assessment: &Assessment) -> Exit {
    let found = match assessment.findings.is_empty() {
        true => Exit::AsWanted,
        false => Exit::Findings,
    };
    let unknown = !assessment.unknown.is_empty() || !assessment.undetermined.is_empty();
    found.or(if unknown {
        Exit::Unchecked
    } else {
        Exit::AsWanted
    })
}
