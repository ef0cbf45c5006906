//! `cargo xtask prove`: proves the built-in rules on real hosts, and keeps the result in
//! `baselines/proofs.json`. Also the sample of them that `cargo xtask test` proves.

use std::fs;
use std::panic::resume_unwind;
use std::process::{ExitCode, Stdio};
use std::thread;

use lab::Release;

use crate::process::{run as must, steadfast};
use crate::proofs::Proofs;
use crate::rules::{self, Rule};
use crate::{Failure, Result, unknown_argument};

pub const USAGE: &str =
    "prove [--on container|machine] [--from FILE]... [ID]...   prove rules, keep the result";

pub fn run(args: &[String]) -> Result<ExitCode> {
    let (mut files, mut words) = (Vec::new(), Vec::new());
    let mut on = vec!["container", "machine"];
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--from" => files.push(args.next().ok_or_else(|| unknown_argument(USAGE, arg))?),
            "--on" => match args.next().map(String::as_str) {
                Some(host @ ("container" | "machine")) => on = vec![host],
                _ => return Err(unknown_argument(USAGE, arg)),
            },
            option if option.starts_with('-') => return Err(unknown_argument(USAGE, option)),
            id => words.push(id),
        }
    }
    let rules = rules::list()?;
    let mut proofs = Proofs::read()?;
    let mut runs = Vec::new();
    for file in &files {
        runs.push(fs::read_to_string(file).map_err(Failure::of(format!("read {file}")))?);
    }
    if files.is_empty() {
        for host in on {
            runs.push(test(&["--on", host], &words)?);
        }
    }
    // Nothing was said where no test of the rules needs such a host.
    for run in runs.iter().filter(|run| !run.trim().is_empty()) {
        proofs.merge(run, &rules)?;
    }
    proofs.write()?;
    let lacking = proofs.lacking(&rules);
    println!(
        "{} proofs are lacking; cargo xtask docs writes the page",
        lacking.len()
    );
    Ok(if lacking.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One run of `rule test`, its lines shown, and what it writes. A failed proof is a result
/// like any other here.
fn test(options: &[&str], ids: &[&str]) -> Result<String> {
    let said = steadfast()?
        .args(["rule", "test", "--format", "json"])
        .args(options)
        .args(ids)
        .stderr(Stdio::inherit())
        .output()
        .map_err(Failure::of("start the proofs"))?;
    match said.status.code() {
        Some(0 | 1) => Ok(String::from_utf8_lossy(&said.stdout).into_owned()),
        // "No test fits": the rules that were named need no such host.
        Some(3) if said.stdout.is_empty() && !ids.is_empty() => Ok(String::new()),
        _ => Err(Failure(format!("rule test: {}", said.status))),
    }
}

/// About two minutes of them, at a few seconds for each case in a container.
const IN_CONTAINERS: usize = 16;
/// Each case takes a while on an emulated processor, and the boot a minute.
const ON_MACHINES: usize = 4;

/// Where the drawing begins when nobody says so.
const SEED: u64 = 9;

/// Proves a drawn sample of the rules anew, or all of them. The sample is of what is on
/// record as holding: what was never proven, or failed, is the work of `cargo xtask prove`,
/// and the page says so. What it finds is not kept.
pub fn sample(exhaustive: bool) -> Result {
    if exhaustive {
        return must(steadfast()?.args(["rule", "test"]));
    }
    let seed = match std::env::var("STEADFAST_SEED") {
        Ok(text) => text.parse().map_err(Failure::of("read STEADFAST_SEED"))?,
        // A test run is repeatable; another seed is a campaign, run by hand.
        Err(_) => SEED,
    };
    println!("STEADFAST_SEED={seed} draws the sample; another number draws other rules");
    let rules = rules::list()?;
    let proofs = Proofs::read()?;
    let mut random = Random(seed);
    // One release in containers and the other on a machine: both are seen in each run.
    let mut releases = Release::ALL;
    releases.swap(0, random.below(Release::ALL.len()));
    let mut runs = Vec::new();
    for ((host, count), release) in [("container", IN_CONTAINERS), ("machine", ON_MACHINES)]
        .into_iter()
        .zip(releases)
    {
        let ids = some(&rules, &proofs, host, count, &mut random);
        if ids.is_empty() {
            println!("no proof on a {host} is on record: nothing to repeat");
            continue;
        }
        let mut run = steadfast()?;
        run.args(["rule", "test", "--on", host]).args(&ids);
        run.args(["--release", release.codename()]);
        runs.push(run);
    }
    // Containers wait more than they compute, and an emulated machine is one thread most of the
    // time: they go on side by side.
    thread::scope(|scope| {
        let runs: Vec<_> = runs
            .iter_mut()
            .map(|run| scope.spawn(|| must(run)))
            .collect();
        let ended = runs
            .into_iter()
            .map(|run| run.join().unwrap_or_else(|panic| resume_unwind(panic)));
        // Both to their ends, whatever the first one says.
        let ended: Vec<Result> = ended.collect();
        ended.into_iter().collect()
    })
}

/// The ids of this many rules, or fewer, whose tests on such a host are on record as holding.
fn some<'a>(
    rules: &'a [Rule],
    proofs: &Proofs,
    host: &str,
    count: usize,
    random: &mut Random,
) -> Vec<&'a str> {
    let mut ids: Vec<&str> = rules
        .iter()
        // Only those that are claimed everywhere, so that the release may be drawn as well.
        .filter(|rule| {
            rule.tests
                .iter()
                .any(|test| test.on == host && rule.claims(test).len() == Release::ALL.len())
        })
        .filter(|rule| {
            let mut here = rule.tests.iter().filter(|test| test.on == host);
            here.all(|test| {
                let releases = rule.claims(test);
                let holds = |release| proofs.standing(rule, test, release).holds();
                releases.into_iter().all(holds)
            })
        })
        .map(|rule| rule.id.as_str())
        .collect();
    for place in 0..ids.len().min(count) {
        let other = place + random.below(ids.len() - place);
        ids.swap(place, other);
    }
    ids.truncate(count);
    ids
}

/// SplitMix64 (Steele, Lea and Flood, 2014): a sample needs no better.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        usize::try_from(mixed % end as u64).unwrap_or(0)
    }
}
