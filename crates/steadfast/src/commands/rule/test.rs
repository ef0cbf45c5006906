//! `steadfast rule test`: proves rules on real hosts.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;

use content::{Repository, Rule, TestHost};
use lab::{Container, Disk, Image, Machine, Release, Requirements};
use serde_json::json;

use crate::commands::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::prove::{Case, Equipment, Proof, Verdict, prove};
use crate::survey::repository;

/// Prove rules on real throwaway hosts: the bad case fails, the fix makes it pass, a second
/// apply changes nothing, undo brings the bad case back byte for byte
///
/// Needs root, debootstrap and systemd-nspawn; rules about the kernel also qemu. Nothing is
/// done to this machine but to keep Debian trees in --cache.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo steadfast rule test ssh-root-login\n  \
    sudo steadfast rule test --policy ./policy --release trixie"
)]
pub struct Args {
    /// The rules to prove [default: all of the policy, or all built-in ones]
    #[arg(value_name = "ID")]
    rules: Vec<String>,
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Only on this release [default: each release that the rule claims] (repeatable)
    #[arg(long, value_name = "CODENAME")]
    release: Vec<Release>,
    /// Only what containers can show, or only what needs an emulated machine
    #[arg(long, value_enum)]
    on: Option<On>,
    /// How many containers at once
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    jobs: u16,
    /// Where the trees that hosts start from are kept
    #[arg(long, value_name = "DIR", default_value = lab::DEFAULT_CACHE)]
    cache: PathBuf,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum On {
    Container,
    Machine,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let repository = repository(args.policy.as_deref())?;
    let cases = cases(args, &repository)?;
    if cases.is_empty() {
        crate::say(format_args!("no test fits: nothing was proven"));
        return Ok(Exit::Unchecked);
    }
    let needs_machine = cases.iter().any(|case| case.test.on == TestHost::Machine);
    let needs = if needs_machine {
        Requirements::Machines
    } else {
        Requirements::Containers
    };
    needs.check().map_err(|missing| {
        Failure::new(
            Exit::Unchecked,
            format_args!("can't boot throwaway hosts here: {missing}"),
            "run as root on Debian, with these packages installed",
        )
    })?;
    let equipment = Equipment {
        program: std::env::current_exe()?,
        policy: args.policy.clone(),
    };
    let (on_machines, in_containers): (Vec<Case>, Vec<Case>) = cases
        .into_iter()
        .partition(|case| case.test.on == TestHost::Machine);
    let mut proofs = containers(args, in_containers, &equipment)?;
    proofs.extend(machines(args, on_machines, &equipment)?);
    report(args, &proofs)
}

/// Each test of each rule on each release that it claims.
fn cases(args: &Args, repository: &Repository) -> Result<Vec<Case>, Failure> {
    let mut rules: Vec<&Rule> = Vec::new();
    if args.rules.is_empty() {
        // Of a user's policy, its own rules; the built-in ones have been proven.
        let builtin = match &args.policy {
            Some(_) => Some(Repository::builtin()?),
            None => None,
        };
        let builtin = builtin.as_ref();
        rules.extend(
            repository
                .rules()
                .filter(|rule| builtin.is_none_or(|builtin| builtin.rule(&rule.id).is_none())),
        );
    }
    for id in &args.rules {
        rules.push(super::find(repository, id)?);
    }
    let mut cases = Vec::new();
    for rule in rules {
        for test in &rule.tests {
            let on = match test.on {
                TestHost::Container => On::Container,
                TestHost::Machine => On::Machine,
            };
            if args.on.is_some_and(|wanted| wanted != on) {
                continue;
            }
            for release in releases(args, rule, &test.releases) {
                cases.push(Case {
                    rule: rule.id.clone(),
                    digest: rule.digest,
                    baseline: rule.baseline.to_string(),
                    packages: rule.kinds().contains(&"package"),
                    profile: rule.profile.clone(),
                    test: test.clone(),
                    release,
                });
            }
        }
    }
    Ok(cases)
}

fn releases(args: &Args, rule: &Rule, of_test: &content::Releases) -> Vec<Release> {
    let claimed = |releases: &content::Releases, release: Release| {
        releases
            .get("debian")
            .is_some_and(|versions| versions.contains(&release.version().to_string()))
    };
    Release::ALL
        .into_iter()
        .filter(|release| claimed(&rule.releases, *release))
        .filter(|release| of_test.is_empty() || claimed(of_test, *release))
        .filter(|release| args.release.is_empty() || args.release.contains(release))
        .collect()
}

/// A fresh host for each case, a few at once.
fn containers(args: &Args, cases: Vec<Case>, equipment: &Equipment) -> Result<Vec<Proof>, Failure> {
    if cases.is_empty() {
        return Ok(Vec::new());
    }
    let images = images(&cases, |release, say| {
        Image::build(release, &args.cache, say)
    })?;
    let queue = Mutex::new(VecDeque::from(cases));
    let proofs = Mutex::new(Vec::new());
    let next = || queue.lock().ok().and_then(|mut queue| queue.pop_front());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs)
            .map(|_| {
                scope.spawn(|| -> Result<(), Failure> {
                    while let Some(case) = next() {
                        let image = &images
                            .iter()
                            .find(|(release, _)| *release == case.release)
                            .expect("an image was built for the release of every case")
                            .1;
                        let mut host = Container::start(image).map_err(cannot)?;
                        let proof = prove(&mut host, &case, equipment);
                        tell(&proof);
                        if let Ok(mut proofs) = proofs.lock() {
                            proofs.push(proof);
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    Ok(proofs.into_inner().unwrap_or_default())
}

/// One boot for all cases of a release: an emulated machine is dear. Each case is taken
/// back by its own undo, and what it was given stays, which the next ones don't mind.
fn machines(args: &Args, cases: Vec<Case>, equipment: &Equipment) -> Result<Vec<Proof>, Failure> {
    let mut proofs = Vec::new();
    if cases.is_empty() {
        return Ok(proofs);
    }
    let images = images(&cases, |release, say| {
        Disk::build(release, &args.cache, say)
    })?;
    for (release, image) in images {
        let mut host = Machine::start(&image).map_err(cannot)?;
        for case in cases.iter().filter(|case| case.release == release) {
            let proof = prove(&mut host, case, equipment);
            tell(&proof);
            proofs.push(proof);
        }
    }
    Ok(proofs)
}

fn images<I>(
    cases: &[Case],
    build: impl Fn(Release, &mut dyn FnMut(&str)) -> lab::Result<I>,
) -> Result<Vec<(Release, I)>, Failure> {
    let progress = Progress::on_stderr();
    let images = Release::ALL
        .into_iter()
        .filter(|release| cases.iter().any(|case| case.release == *release))
        .map(|release| {
            build(release, &mut |what| progress.say(what))
                .map(|image| (release, image))
                .map_err(cannot)
        })
        .collect();
    progress.clear();
    images
}

/// One line as soon as it is known.
fn tell(proof: &Proof) {
    let (word, why) = match &proof.verdict {
        Verdict::Proven => ("proven", String::new()),
        Verdict::AuditOnly => ("seen", ": the rule has no fix".to_owned()),
        Verdict::Failed { step, why } => (
            "FAILED",
            format!(": {step}: {}", model::printable(why.as_bytes())),
        ),
    };
    crate::say(format_args!(
        "{word:7} {} on {} ({}): {}{why}",
        proof.rule, proof.release, proof.on, proof.test
    ));
}

fn report(args: &Args, proofs: &[Proof]) -> Result<Exit, Failure> {
    let failed = proofs
        .iter()
        .filter(|proof| matches!(proof.verdict, Verdict::Failed { .. }))
        .count();
    match args.format {
        Format::Json => crate::report::json::write_value(
            &mut output::stdout(),
            &json!({"format": 1, "steadfast": env!("CARGO_PKG_VERSION"), "proofs": proofs}),
        )?,
        Format::Human => crate::say(format_args!(
            "{} of {} proven",
            proofs.len() - failed,
            proofs.len()
        )),
    }
    Ok(if failed == 0 {
        Exit::AsWanted
    } else {
        Exit::Findings
    })
}

fn cannot(error: lab::Error) -> Failure {
    Failure::because(Exit::Unchecked, error)
}
