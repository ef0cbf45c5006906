//! The steps of a proof, in order. Each one asks the program inside the host, and
//! believes only its machine-readable answers and the host's own files.

use std::path::Path;

use lab::{Output, Snapshot};
use model::Outcome;

use super::guest::Guest;
use super::{Case, Equipment, Verdict, arrange};

/// Not below `/run` or `/tmp`, which a booted host mounts anew over what was copied in.
const KIT: &str = "/opt/steadfast-proof";
const PROGRAM: &str = "/opt/steadfast-proof/steadfast";
const CARRIED: &str = "/opt/steadfast-proof/carried";
const POLICY: &str = "/opt/steadfast-proof/policy";
const STATE: &str = "/var/lib/steadfast";

pub(super) struct Failed {
    pub step: &'static str,
    pub why: String,
}

/// What the comparison leaves out beyond [`lab::NOISE`]: our own journal, and the copies
/// of itself that the account tools keep of the time before the last change.
const OWN_TRACES: [&str; 3] = [KIT, STATE, "/etc/.pwd.lock"];

pub(super) fn run(
    guest: &mut dyn Guest,
    case: &Case,
    equipment: &Equipment,
) -> Result<Verdict, Failed> {
    let fail = |step| move |why: String| Failed { step, why };
    equip(guest, equipment).map_err(fail("equip the host"))?;
    arrange(guest, &case.test.given).map_err(fail("set up the bad case"))?;

    let bad = audit(guest, case, equipment).map_err(fail("audit the bad case"))?;
    expect(&bad, case.test.expect).map_err(fail("the bad case fails"))?;
    if !bad.fixable {
        return Ok(Verdict::AuditOnly);
    }
    let before = snapshot(guest).map_err(fail("look at every file"))?;

    apply(guest, case, equipment).map_err(fail("apply the fix"))?;
    let good = audit(guest, case, equipment).map_err(fail("audit the fixed host"))?;
    expect(&good, Outcome::Pass).map_err(fail("the fix makes it pass"))?;

    let fixed = snapshot(guest).map_err(fail("look at every file"))?;
    second_apply(guest, case, equipment).map_err(fail("a second apply changes nothing"))?;
    let again = snapshot(guest).map_err(fail("look at every file"))?;
    same(&fixed, &again, case).map_err(fail("a second apply changes nothing"))?;

    undo(guest).map_err(fail("undo"))?;
    let after = snapshot(guest).map_err(fail("look at every file"))?;
    same(&before, &after, case).map_err(fail("undo brings the bad case back byte for byte"))?;
    let undone = audit(guest, case, equipment).map_err(fail("audit the undone host"))?;
    expect(&undone, case.test.expect).map_err(fail("undo brings the bad case back"))?;
    Ok(Verdict::Proven)
}

fn equip(guest: &dyn Guest, equipment: &Equipment) -> Result<(), String> {
    let said = |error: lab::Error| error.to_string();
    let mkdir = ["/usr/bin/mkdir", "-p", KIT].map(str::to_owned);
    // A machine that is shared by many cases has it already.
    let there = ["/usr/bin/test", "-x", PROGRAM].map(str::to_owned);
    if guest.run(&there).map_err(said)?.success() {
        return Ok(());
    }
    guest.run(&mkdir).map_err(said)?;
    guest
        .copy_in(&equipment.program, Path::new(CARRIED))
        .map_err(said)?;
    // The copy that is run is written by the guest itself: a file that this process wrote may
    // still be open for writing in a child that another thread is about to start, and then
    // can't be run (ETXTBSY, execve(2)).
    let copy = ["/usr/bin/cp", CARRIED, PROGRAM].map(str::to_owned);
    if !guest.run(&copy).map_err(said)?.success() {
        return Err(format!("`{}` failed", copy.join(" ")));
    }
    if let Some(policy) = &equipment.policy {
        guest.copy_in(policy, Path::new(POLICY)).map_err(said)?;
    }
    // The first change of a host would put these in place, and undoing a fix leaves them.
    succeeded(&steadfast(guest, &["recover", "--install"])?)
}

fn steadfast(guest: &dyn Guest, words: &[&str]) -> Result<Output, String> {
    let argv: Vec<String> = std::iter::once(PROGRAM)
        .chain(words.iter().copied())
        .map(str::to_owned)
        .collect();
    guest.run(&argv).map_err(|error| error.to_string())
}

/// The selectors of this case's rule.
fn selectors<'a>(case: &'a Case, equipment: &Equipment) -> Vec<&'a str> {
    let mut words = vec!["--baseline", &*case.baseline, "--rule", case.rule.as_str()];
    if let Some(profile) = &case.profile {
        words.extend(["--profile", profile]);
    }
    if equipment.policy.is_some() {
        words.extend(["--policy", POLICY]);
    }
    words
}

/// One rule's finding, as far as a proof needs it.
struct Seen {
    outcome: Outcome,
    fixable: bool,
    about: String,
}

fn audit(guest: &dyn Guest, case: &Case, equipment: &Equipment) -> Result<Seen, String> {
    let mut words = vec!["audit", "--format", "json"];
    words.extend(selectors(case, equipment));
    let output = steadfast(guest, &words)?;
    let report: plan::Report = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("no readable report ({error}): {}", output.errors().trim()))?;
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.rule.id == case.rule)
        .ok_or("the report does not have the rule")?;
    let about = finding
        .drifts
        .iter()
        .map(|drift| {
            format!(
                "{} is {}, wanted {}{}",
                drift.resource,
                drift.observed,
                drift.wanted,
                drift
                    .by_hand
                    .as_ref()
                    .map_or_else(String::new, |hand| format!(" (by hand: {hand})"))
            )
        })
        .chain(finding.reason.clone())
        .collect::<Vec<_>>()
        .join("; ");
    Ok(Seen {
        outcome: finding.outcome,
        fixable: finding.fixable,
        about,
    })
}

fn expect(seen: &Seen, wanted: Outcome) -> Result<(), String> {
    if seen.outcome == wanted {
        return Ok(());
    }
    Err(format!(
        "the outcome is {}, not {}: {}",
        seen.outcome.as_str(),
        wanted.as_str(),
        seen.about
    ))
}

fn apply(guest: &dyn Guest, case: &Case, equipment: &Equipment) -> Result<(), String> {
    let mut words = vec!["apply", "--yes", "--detach", "--confirm-within", "10m"];
    words.extend(selectors(case, equipment));
    let output = steadfast(guest, &words)?;
    succeeded(&output)?;
    // A change that could cut people off waits for this; any other says that it is final.
    let output = steadfast(guest, &["confirm", "last"])?;
    succeeded(&output)
}

fn second_apply(guest: &dyn Guest, case: &Case, equipment: &Equipment) -> Result<(), String> {
    let mut words = vec!["apply", "--yes", "--detach"];
    words.extend(selectors(case, equipment));
    let output = steadfast(guest, &words)?;
    succeeded(&output)?;
    if output.errors().contains("nothing to do") {
        Ok(())
    } else {
        Err(output.errors().trim().to_owned())
    }
}

fn undo(guest: &dyn Guest) -> Result<(), String> {
    let words = [
        "undo",
        "last",
        "--yes",
        "--detach",
        "--confirm-within",
        "10m",
    ];
    succeeded(&steadfast(guest, &words)?)?;
    // An undo that could cut people off waits for this; any other says that it is final.
    succeeded(&steadfast(guest, &["confirm", "last"])?)
}

fn succeeded(output: &Output) -> Result<(), String> {
    match output.code() {
        Some(0) => Ok(()),
        code => Err(format!(
            "exit code {}: {}",
            code.map_or_else(|| "none".to_owned(), |code| code.to_string()),
            output.errors().trim()
        )),
    }
}

fn snapshot(guest: &dyn Guest) -> Result<Snapshot, String> {
    guest.snapshot().map_err(|error| error.to_string())
}

/// The package manager's own records. Undo brings back the set of packages, their versions,
/// the automatic marks and the configuration files; these files say the same in other words.
const PACKAGE_RECORDS: [&str; 6] = [
    "/var/cache/apt",
    "/var/cache/debconf",
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/etc/ld.so.cache",
    "/var/cache/ldconfig",
];

fn same(before: &Snapshot, after: &Snapshot, case: &Case) -> Result<(), String> {
    let mut ignore: Vec<&str> = lab::NOISE.iter().copied().chain(OWN_TRACES).collect();
    if case.packages {
        ignore.extend(PACKAGE_RECORDS);
    }
    let mut differences = lab::diff(before, after, &ignore);
    if case.packages {
        // A package that was unpacked again has its files' times, not its directories'.
        differences.retain(|difference| !difference.is_only_mtime());
    }
    if differences.is_empty() {
        return Ok(());
    }
    // The first few tell what went wrong; the rest repeats it.
    let shown: Vec<String> = differences
        .iter()
        .take(5)
        .map(ToString::to_string)
        .collect();
    Err(format!(
        "{} differ: {}",
        differences.len(),
        shown.join("; ")
    ))
}
