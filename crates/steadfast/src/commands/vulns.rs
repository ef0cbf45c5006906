//! `steadfast vulns`: the known vulnerabilities of what is installed, and how soon each should
//! be gone.

use std::io::{BufWriter, Write};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::LazyLock;
use std::thread;

use advisory::assess::{Assessment, Unknown};
use advisory::matching::{self, Subject};
use advisory::rank::{Clocks, Decision, Exposure, HumanImpact};
use host::LocalHost;
use host::packages::reach::Running;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{Component, Fact, Severity};

use super::Format;
use super::feed::{USUAL_AGE_DAYS, days, refused};
use crate::assessing::{self, Advisories, Terms};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::vulns::{Shown, View, Word};
use crate::style::Style;
use crate::{report, show};

/// Show the known vulnerabilities of what is installed, the most urgent first
///
/// Packages are held against the feeds that were imported, by source package and release: what
/// the distribution declared fixed is fixed. Each finding is ranked by CISA's BOD 26-04 and
/// SSVC's deployer table; an input that is unknown takes the worse branch, and says so. A feed
/// that is missing or stale makes the answer unknown (exit code 3), never clean.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  steadfast vulns\n  steadfast vulns CVE-2024-6387\n  \
    steadfast vulns --fail-on out-of-cycle --days critical=7 --days high=30"
)]
pub struct Args {
    /// Show these in full, with every input of their ranking
    #[arg(value_name = "CVE")]
    names: Vec<String>,
    /// Look at the tree in this directory instead of the running host
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Exit with 1 only for findings of at least this priority: immediate, out-of-cycle,
    /// scheduled or defer
    #[arg(long, value_name = "PRIORITY", default_value = "defer", value_parser = parse_decision)]
    fail_on: Decision,
    /// Show every package and every vulnerability
    #[arg(long)]
    verbose: bool,
    /// A feed is stale when it is older than so many days
    #[arg(long, value_name = "DAYS", default_value_t = USUAL_AGE_DAYS)]
    max_age: u16,
    /// The team's own time for a severity, in days from the fix (repeatable)
    #[arg(long, value_name = "SEVERITY=DAYS", value_parser = parse_days)]
    days: Vec<(Severity, u16)>,
    /// What a compromise would do to people and to the mission: low, medium, high or very-high;
    /// unknown counts as very high
    #[arg(long, value_name = "IMPACT", value_parser = parse_impact)]
    human_impact: Option<HumanImpact>,
}

fn parse_decision(text: &str) -> Result<Decision, String> {
    let mut all = Decision::ALL.into_iter();
    all.find(|decision| decision.as_str() == text)
        .ok_or_else(|| format!("`{text}` is not immediate, out-of-cycle, scheduled or defer"))
}

fn parse_impact(text: &str) -> Result<HumanImpact, String> {
    match text {
        "low" => Ok(HumanImpact::Low),
        "medium" => Ok(HumanImpact::Medium),
        "high" => Ok(HumanImpact::High),
        "very-high" => Ok(HumanImpact::VeryHigh),
        _ => Err(format!("`{text}` is not low, medium, high or very-high")),
    }
}

fn parse_days(text: &str) -> Result<(Severity, u16), String> {
    let wrong = || format!("`{text}` is not of the form critical=7");
    let (severity, days) = text.split_once('=').ok_or_else(wrong)?;
    let severity = Severity::from_str(severity).map_err(|_| wrong())?;
    Ok((severity, days.parse().map_err(|_| wrong())?))
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let host = match &args.root {
        Some(root) => LocalHost::offline(root),
        None => LocalHost::running(),
    }
    .map_err(|error| Failure::because(Exit::BadInput, error))?;
    // Neither waits for the other: the feeds are read while the host is.
    let (advisories, packages) = thread::scope(|scope| {
        let looking = scope.spawn(|| host.distribution_packages());
        let advisories = Advisories::open(context.directory());
        (advisories, looking.join())
    });
    let advisories = advisories.map_err(refused)?;
    let (components, unread) = match packages.unwrap_or_else(|panic| resume_unwind(panic)) {
        Ok(components) => (components, None),
        Err(reason) => (Vec::new(), Some(reason.to_string())),
    };
    let now = Timestamp::now();
    let terms = Terms {
        clocks: Clocks {
            team: args.days.iter().copied().collect(),
            ..Clocks::default()
        },
        human_impact: args.human_impact,
        fresh: days(args.max_age),
        now,
    };
    // Asked only where there is a finding.
    let running: LazyLock<Running> = LazyLock::new(Running::now);
    let exposure = |component: &Component| match args.root {
        None => running.of(component),
        // In a tree nothing runs.
        Some(_) => Exposure::Installed,
    };
    let mut assessment = advisories
        .assess(&components, &exposure, &terms)
        .map_err(refused)?;
    if let Some(why) = unread {
        let packages = None;
        assessment.unknown.insert(0, Unknown { why, packages });
    }
    let release = match host.release() {
        Fact::Known(release) => release.pretty,
        Fact::Unknown(reason) => format!("unknown release ({reason})"),
    };
    let words = words(args, &advisories, &components)?;
    let asked: Vec<&str> = args.names.iter().map(String::as_str).collect();
    if !asked.is_empty() {
        narrow(&mut assessment, &asked);
    }
    let shown = Shown {
        format: 1,
        generated: now,
        release,
        root: args.root.as_ref().map(|root| root.display().to_string()),
        words,
        assessment,
    };
    write(args, &shown)?;
    Ok(exit(&shown.assessment, args.fail_on))
}

/// What the feeds say of the vulnerabilities that were asked for, in words and for each package
/// that they could be in.
fn words<'a>(
    args: &Args,
    advisories: &'a Advisories,
    components: &[Component],
) -> Result<Vec<Word<'a>>, Failure> {
    let sources = advisories.sources().map_err(refused)?;
    let damaged = |error| refused(assessing::damaged(error));
    let indexes: Vec<_> = sources.iter().map(|source| source.index).collect();
    let subjects = Subject::all(components);
    let mut words = Vec::new();
    for name in &args.names {
        let mut word = Word::new(name);
        for (held, index) in advisories.held().iter().zip(&indexes) {
            if let Some(row) = index.find(name).map_err(damaged)? {
                let place = row.text().map_err(damaged)?;
                (word.summary, word.details) = held.text(&place).map_err(refused)?;
                word.spoken = true;
                break;
            }
        }
        for (subject, components) in &subjects {
            let judged = matching::judge_one(&indexes, subject, components, name);
            if let Some(judged) = judged.map_err(damaged)? {
                word.spoken = true;
                word.verdicts.push((subject.clone(), judged.verdict));
            }
        }
        words.push(word);
    }
    Ok(words)
}

/// Only what was asked for.
fn narrow(assessment: &mut Assessment, names: &[&str]) {
    let is_asked = |name: &str, also: &[String]| {
        names.contains(&name) || also.iter().any(|other| names.contains(&other.as_str()))
    };
    assessment.findings.retain(|finding| {
        is_asked(&finding.name, &finding.also) || names.contains(&finding.advisory.as_str())
    });
    assessment
        .undetermined
        .retain(|one| is_asked(&one.name, &[]));
    assessment
        .not_affected
        .retain(|one| is_asked(&one.name, &[]));
}

fn write(args: &Args, shown: &Shown<'_>) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match args.format {
        Format::Json => report::json::write_value(&mut out, shown)?,
        Format::Human => {
            let view = View {
                verbose: args.verbose,
                today: TimeZone::UTC.to_datetime(shown.generated).date(),
            };
            show::vulns::write(&mut out, shown, &view, &Style::for_stdout())?;
        }
    }
    out.flush()?;
    Ok(())
}

fn exit(assessment: &Assessment, fail_on: Decision) -> Exit {
    let found = assessment
        .findings
        .iter()
        .any(|finding| finding.ranking.priority >= fail_on);
    let unknown = !assessment.unknown.is_empty() || !assessment.undetermined.is_empty();
    let found = if found {
        Exit::Findings
    } else {
        Exit::AsWanted
    };
    found.or(if unknown {
        Exit::Unchecked
    } else {
        Exit::AsWanted
    })
}
