//! `cargo xtask test`: everything that must hold before a change is done, in phases. A new phase
//! is a line in [`PHASES`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lab::{Disk, Image, Release, Requirements};

use crate::process::{cargo, command, run as must, works};
use crate::{Failure, Result, failures, fuzz, prove, unknown_argument};

pub const USAGE: &str =
    "test [--exhaustive] [--today] [PHASE]...   run all phases, or only those named";

/// How long each fuzz target gets where everything is tried; a campaign is `cargo xtask fuzz
/// --seconds`.
const FUZZ_SECONDS: u32 = 20;

/// What the person asked for.
struct Ask {
    /// Every crash point and every rule's proof, and not a sample; fuzzing that is led by
    /// coverage.
    exhaustive: bool,
    /// Also what depends on the updates that the distributions have published by today: it is
    /// asked for by name, since nothing that they publish may break a test run.
    today: bool,
}

/// How a phase ended, where it did not fail.
enum Outcome {
    Passed,
    /// It could not run here, for this reason, so nothing is proven.
    NotRun(String),
}

/// One part of the run.
struct Phase {
    name: &'static str,
    run: fn(&Ask) -> Result<Outcome>,
}

/// In this order: what the others need, then the quick ones, then the dear ones.
const PHASES: &[Phase] = &[
    Phase {
        name: "install",
        run: install,
    },
    Phase {
        name: "format",
        run: format,
    },
    Phase {
        name: "clippy",
        run: clippy,
    },
    Phase {
        name: "unit",
        run: unit,
    },
    Phase {
        name: "docs",
        run: docs_current,
    },
    Phase {
        name: "licences",
        run: licences,
    },
    Phase {
        name: "images",
        run: images,
    },
    Phase {
        name: "hosts",
        run: hosts,
    },
    Phase {
        name: "proofs",
        run: proofs,
    },
    Phase {
        name: "browser",
        run: browser,
    },
    Phase {
        name: "formats",
        run: formats,
    },
    Phase {
        name: "fuzz",
        run: fuzz_briefly,
    },
];

pub fn run(args: &[String]) -> Result<ExitCode> {
    let mut ask = Ask {
        exhaustive: false,
        today: false,
    };
    let mut named = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--exhaustive" => ask.exhaustive = true,
            "--today" => ask.today = true,
            name if PHASES.iter().any(|phase| phase.name == name) => named.push(name),
            other => return Err(unknown_argument(USAGE, other)),
        }
    }
    let begun = Instant::now();
    let chosen = PHASES
        .iter()
        .filter(|phase| named.is_empty() || named.contains(&phase.name));
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for phase in chosen {
        println!("\n== {}", phase.name);
        PROFILES.into_iter().for_each(failures::forget);
        let begun = Instant::now();
        let ended = (phase.run)(&ask);
        if let Err(Failure(why)) = &ended {
            eprintln!("{}: {why}", phase.name);
            failed.extend(PROFILES.into_iter().flat_map(failures::of));
        }
        rows.push((phase.name, ended, begun.elapsed()));
    }
    let code = summary(&rows, begun.elapsed());
    // Last, where somebody looks first.
    for line in failures::summary(&failed) {
        println!("{line}");
    }
    Ok(code)
}

/// Of nextest (.config/nextest.toml).
const PROFILES: [&str; 2] = ["default", "lab"];

/// Prints the table, and gives the exit code: 1 when a phase failed, 3 when one could not run.
fn summary(rows: &[(&str, Result<Outcome>, Duration)], total: Duration) -> ExitCode {
    println!();
    for (name, ended, took) in rows {
        let said = match ended {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::NotRun(why)) => format!("not run: {why}"),
            Err(_) => "FAILED".to_owned(),
        };
        println!("{name:<12} {:>7.1} s   {said}", took.as_secs_f64());
    }
    let failed = rows.iter().any(|(_, ended, _)| ended.is_err());
    let incomplete = rows
        .iter()
        .any(|(_, ended, _)| matches!(ended, Ok(Outcome::NotRun(_))));
    let (verdict, code) = match (failed, incomplete) {
        (true, _) => ("FAILED", ExitCode::FAILURE),
        (false, true) => ("INCOMPLETE", ExitCode::from(3)),
        (false, false) => ("passed", ExitCode::SUCCESS),
    };
    println!("{:<12} {:>7.1} s   {verdict}", "all", total.as_secs_f64());
    code
}

/// A phase that needs the lab, where there is none.
fn without_lab() -> Option<Outcome> {
    let missing = Requirements::Machines.check().err()?;
    Some(Outcome::NotRun(format!("{missing}; run as root on Debian")))
}

/// What cargo and Debian still lack.
fn install(_: &Ask) -> Result<Outcome> {
    for (probe, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !works(cargo().args([probe, "--version"])) {
            must(command("rustup").args(["component", "add", component]))?;
        }
    }
    // SQLite is C, and the fuzzer's runtime C++; the tools below are built with them too.
    let compilers = ["gcc", "g++", "make"];
    let lacking = compilers
        .iter()
        .any(|tool| !works(command(tool).arg("--version")));
    let is_root = is_root();
    if lacking && is_root {
        must(command("apt-get").args(["--yes", "update"]))?;
        let install = ["--yes", "install", "--no-install-recommends"];
        must(
            command("apt-get")
                .args(install)
                .args(compilers)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )?;
    }
    if !works(cargo().args(["nextest", "--version"])) {
        must(cargo().args(["install", "cargo-nextest", "--locked"]))?;
    }
    if is_root {
        let progress = &mut |said: &str| println!("{said}");
        lab::install_requirements(Requirements::Machines, progress)
            .map_err(Failure::of("install what the lab needs"))?;
    } else if let Some(without) = without_lab() {
        return Ok(without);
    }
    Ok(Outcome::Passed)
}

fn format(_: &Ask) -> Result<Outcome> {
    must(cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::Passed)
}

fn clippy(_: &Ask) -> Result<Outcome> {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    must(cargo().args(args))?;
    Ok(Outcome::Passed)
}

/// Unit, property and snapshot tests, and the architecture's invariants: without root, without
/// network.
fn unit(_: &Ask) -> Result<Outcome> {
    must(
        cargo()
            .args(["nextest", "run", "--workspace", "--locked"])
            .env_remove("STEADFAST_LAB"),
    )?;
    Ok(Outcome::Passed)
}

/// The generated pages are current, and each rule's proofs are of the rule as it stands.
fn docs_current(_: &Ask) -> Result<Outcome> {
    must(cargo().args(["xtask", "docs", "--check"]))?;
    Ok(Outcome::Passed)
}

/// Licences and bans, where cargo-deny is installed: building it would cost more than all the rest.
fn licences(_: &Ask) -> Result<Outcome> {
    if works(cargo().args(["deny", "--version"])) {
        must(cargo().args(["deny", "--offline", "check", "licenses", "bans", "sources"]))?;
    } else {
        println!(
            "cargo-deny is not installed, which is not asked of a machine that runs the tests"
        );
    }
    Ok(Outcome::Passed)
}

/// The lab's images, built once.
fn images(_: &Ask) -> Result<Outcome> {
    if let Some(without) = without_lab() {
        return Ok(without);
    }
    for release in Release::ALL {
        let progress = &mut |said: &str| println!("{said}");
        let built = Image::build(release, &cache(), progress)
            .and_then(|_| Disk::build(release, &cache(), progress));
        built.map_err(Failure::of(format!("build the {release} images")))?;
    }
    Ok(Outcome::Passed)
}

fn cache() -> PathBuf {
    let named: Option<OsString> = std::env::var_os("STEADFAST_LAB_CACHE");
    named.map_or_else(|| lab::DEFAULT_CACHE.into(), PathBuf::from)
}

/// The tests on real hosts: modules named `lab_*`.
fn hosts(ask: &Ask) -> Result<Outcome> {
    if let Some(without) = without_lab() {
        return Ok(without);
    }
    let mut tests = cargo();
    tests.args([
        "nextest",
        "run",
        "--workspace",
        "--locked",
        "--profile",
        "lab",
    ]);
    tests.env("STEADFAST_LAB", "1");
    if ask.exhaustive {
        tests.env("STEADFAST_EXHAUSTIVE", "1");
    }
    if ask.today {
        tests.env("STEADFAST_TODAY", "1");
    }
    must(&mut tests)?;
    Ok(Outcome::Passed)
}

/// Rules proven anew: a sample of them, or all.
fn proofs(ask: &Ask) -> Result<Outcome> {
    if let Some(without) = without_lab() {
        return Ok(without);
    }
    prove::sample(ask.exhaustive)?;
    Ok(Outcome::Passed)
}

/// The report in a real browser, which is installed here where it is missing.
fn browser(_: &Ask) -> Result<Outcome> {
    let has_browser = || {
        ["chromium", "chromedriver"]
            .iter()
            .all(|program| works(command(program).arg("--version")))
    };
    if !has_browser() && is_root() {
        must(command("apt-get").args(["--yes", "update"]))?;
        let packages = ["chromium", "chromium-driver", "fonts-dejavu-core"];
        must(
            command("apt-get")
                .args(["--yes", "install", "--no-install-recommends"])
                .args(packages)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )?;
    }
    if !has_browser() {
        let why = "chromium and chromium-driver are not installed; run as root on Debian";
        return Ok(Outcome::NotRun(why.to_owned()));
    }
    let tests = ["--run-ignored", "only", "-E", "test(/^browser::/)"];
    must(
        cargo()
            // One package alone would be built anew, with other features of its dependencies.
            .args(["nextest", "run", "--workspace", "--locked"])
            .args(tests),
    )?;
    Ok(Outcome::Passed)
}

/// What validates documents of CycloneDX, SPDX and SARIF: from Python's registry, and the schema
/// of SARIF from Node's. Versions are fixed, so that a new one is a change of ours.
const VALIDATORS: [&str; 3] = [
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "jsonschema[format-nongpl]==4.26.0",
    "spdx-tools==0.8.5",
];
const SARIF_SCHEMA: &str = "@microsoft/jest-sarif@1.0.0-beta.0";

/// Documents of standards, by validators of others, which are kept among the builds.
fn formats(_: &Ask) -> Result<Outcome> {
    let folder = crate::process::target().join("validators");
    let done = folder.join("installed");
    let wanted = format!("{}\n{SARIF_SCHEMA}\n", VALIDATORS.join("\n"));
    if std::fs::read_to_string(&done).ok().as_deref() != Some(&wanted) {
        let has_installers = || {
            works(command("python3").args(["-Im", "ensurepip", "--version"]))
                && works(command("npm").arg("--version"))
        };
        if !has_installers() && is_root() {
            must(command("apt-get").args(["--yes", "update"]))?;
            must(
                command("apt-get")
                    .args(["--yes", "install", "--no-install-recommends"])
                    .args(["python3-venv", "npm"])
                    .env("DEBIAN_FRONTEND", "noninteractive"),
            )?;
        }
        if !has_installers() {
            let why = "python3-venv and npm are not installed; run as root on Debian";
            return Ok(Outcome::NotRun(why.to_owned()));
        }
        let venv = folder.join("venv");
        let pip = venv.join("bin/python");
        let install = || -> Result {
            must(
                command("python3")
                    .args(["-m", "venv", "--clear"])
                    .arg(&venv),
            )?;
            let quietly = [
                "-Im",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ];
            must(command(&pip).args(quietly).args(VALIDATORS))?;
            let quietly = [
                "install",
                "--no-save",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
            ];
            let without = ["--omit=peer", "--legacy-peer-deps", "--prefix"];
            must(
                command("npm")
                    .args(quietly)
                    .args(without)
                    .arg(&folder)
                    .arg(SARIF_SCHEMA),
            )
        };
        if let Err(Failure(why)) = install() {
            return Ok(Outcome::NotRun(format!(
                "the validators can't be installed: {why}"
            )));
        }
        std::fs::write(&done, wanted).map_err(Failure::of("note what is installed"))?;
    }
    let tests = ["--run-ignored", "only", "-E", "test(/^validated::/)"];
    must(
        cargo()
            .args(["nextest", "run", "--workspace", "--locked"])
            .args(tests)
            .env("STEADFAST_VALIDATORS", &folder),
    )?;
    Ok(Outcome::Passed)
}

fn is_root() -> bool {
    crate::process::output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Each target's smoke test, in the build that is there; led by coverage, which takes a build of
/// its own, where everything is tried.
fn fuzz_briefly(ask: &Ask) -> Result<Outcome> {
    let tests = ["--run-ignored", "only", "-E", "test(/^smoke::/)"];
    must(
        cargo()
            .args(["nextest", "run", "--workspace", "--locked"])
            .args(tests),
    )?;
    if ask.exhaustive {
        fuzz::all(FUZZ_SECONDS)?;
    }
    Ok(Outcome::Passed)
}
