//! `cargo xtask fuzz`: runs the fuzz targets on the stable toolchain, led by coverage. A target is
//! a module of `crates/fuzz` and a file in `fuzz/src/bin/`; its seeds lie in `fuzz/seeds/NAME/`.
//!
//! libFuzzer needs coverage counters, which rustc's own LLVM passes give; the address sanitizer,
//! which would need a nightly compiler, is left out, since no target has unsafe code.

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::process::{cargo, command, root, run as must, target};
use crate::{Failure, Result, unknown_argument};

pub const USAGE: &str = "fuzz [--seconds N] [TARGET]...   run fuzz targets, N seconds each (60)";

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Coverage as cargo-fuzz asks for it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// One input may take this long: a parser that needs more on a few kilobytes hangs on a real file.
const INPUT_SECONDS: u32 = 10;
const MEMORY_MIB: u32 = 2048;

pub fn run(args: &[String]) -> Result<ExitCode> {
    let mut seconds = 60;
    let mut named = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let value = args.next().map(String::as_str).unwrap_or_default();
            seconds = value.parse().map_err(|_| unknown_argument(USAGE, value))?;
        } else if arg.starts_with('-') {
            return Err(unknown_argument(USAGE, arg));
        } else {
            named.push(arg.clone());
        }
    }
    let known = targets()?;
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        return Err(Failure(format!(
            "no target `{unknown}`; there are: {}",
            known.join(", ")
        )));
    }
    let chosen = if named.is_empty() { &known } else { &named };
    fuzz(chosen, seconds, Seed::Fresh)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs every target for some seconds, with the same seed each time: a test run is about the
/// change that is tested, and a campaign is what looks for new faults.
pub fn all(seconds: u32) -> Result {
    fuzz(&targets()?, seconds, Seed::Fixed)
}

/// Where the fuzzer's random numbers begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seed {
    Fixed,
    Fresh,
}

/// The names of the files in `fuzz/src/bin`.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/src/bin");
    let entries = fs::read_dir(&folder).map_err(Failure::of("list the fuzz targets"))?;
    let files = entries.flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let mut names: Vec<_> = files
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn fuzz(names: &[String], seconds: u32, seed: Seed) -> Result {
    let place = target().join("fuzz");
    let mut build = cargo();
    build.args(["build", "--manifest-path", "fuzz/Cargo.toml"]);
    // Naming the target keeps the counters out of build scripts, which have no fuzzer to call.
    build
        .args(["--target", TRIPLE, "--target-dir"])
        .arg(&place)
        .env("RUSTFLAGS", FLAGS);
    must(&mut build)?;
    // A fuzzer is one process, and there are two processors at least.
    let next = AtomicUsize::new(0);
    let work = || -> Result {
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            fuzz_one(name, &place, seconds, seed)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let beside = scope.spawn(work);
        let done = work();
        done.and(beside.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn fuzz_one(name: &str, place: &Path, seconds: u32, seed: Seed) -> Result {
    let (corpus, crashes) = (
        place.join("corpus").join(name),
        place.join("crashes").join(name),
    );
    for folder in [&corpus, &crashes] {
        fs::create_dir_all(folder).map_err(Failure::of("create a folder for the fuzzer"))?;
    }
    let mut fuzzer = command(place.join(TRIPLE).join("debug").join(name));
    fuzzer.arg(&corpus);
    let seeds = root().join("fuzz/seeds").join(name);
    if seeds.is_dir() {
        fuzzer.arg(seeds);
    }
    if seed == Seed::Fixed {
        fuzzer.arg("-seed=1");
    }
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS}"));
    fuzzer
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .args(["-verbosity=0", "-print_final_stats=1"]);
    fuzzer.arg(format!("-artifact_prefix={}/", crashes.display()));
    let said = fuzzer
        .output()
        .map_err(Failure::of(format!("start {name}")))?;
    let report = String::from_utf8_lossy(&said.stderr);
    if !said.status.success() {
        eprintln!("{report}");
        return Err(Failure(format!(
            "{name} failed; {} holds the input",
            crashes.display()
        )));
    }
    let stat = "stat::number_of_executed_units:";
    let count = report
        .lines()
        .find_map(|line| line.strip_prefix(stat))
        .unwrap_or("0");
    println!("{name}: {} inputs", count.trim());
    Ok(())
}
