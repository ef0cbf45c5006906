//! `steadfast vulns`: the known vulnerabilities of what is installed, and how soon each should
//! be gone.

mod matter;
mod names;

use std::collections::BTreeMap;
use std::io::Write;
use std::mem;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;

use advisory::assess::{Assessment, Unknown};
use advisory::rank::{Decision, HumanImpact};
use advisory::waive::waive;
use clap::ValueEnum;
use content::Repository;
use host::feeds::FeedError;
use host::packages::old_files::OldFiles;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{Component, PublicClock, Severity, VulnerabilityPolicy};

use self::matter::Matter;
use super::feed::refused;
use crate::assessing::{self, Advisories, Terms};
use crate::context::Context;
use crate::duration::Days;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::{self, vulnerabilities};
use crate::show::vulns::{Shown, View};
use crate::still_open::{self, still_open};
use crate::style::Style;
use crate::{show, survey};

/// Show the known vulnerabilities of what is installed, the most urgent first
///
/// Packages of the distribution and components that came another way (Python, Node, Java, Ruby,
/// Go, Rust, also in local container images) are held against the feeds that were imported: by
/// source package and release first, so that what the distribution declared fixed is fixed. Each
/// finding is ranked by CISA's BOD 26-04 and SSVC's deployer table; an input that is unknown is
/// said to be, and makes nothing immediate. A feed that is missing or stale makes the answer unknown
/// (exit code 3), never clean. Waivers and clocks of the policy hold here as well.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  steadfast vulns\n  steadfast vulns CVE-2024-6387\n  \
    steadfast vulns --fail-on out-of-cycle --days critical=7 --days high=30\n  \
    steadfast vulns --sbom app.cdx.json --format sarif --output app.sarif"
)]
pub struct Args {
    /// Show these in full, with every input of their ranking
    #[arg(value_name = "CVE")]
    names: Vec<String>,
    /// Look at the tree in this directory instead of the running host
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Look at what this document names instead: CycloneDX or SPDX 2, as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["root", "os_only"])]
    sbom: Option<PathBuf>,
    /// Only packages of the distribution: file systems and images are not searched
    #[arg(long)]
    os_only: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 1 only for findings of at least this priority: immediate, out-of-cycle,
    /// scheduled or defer
    #[arg(long, value_name = "PRIORITY", default_value = "defer", value_parser = parse_decision)]
    fail_on: Decision,
    /// Show every package and every vulnerability
    #[arg(long)]
    verbose: bool,
    /// Waivers, clocks and days [default: /etc/steadfast/policy, when there]
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// A feed is stale when it is older than so many days [default: 7, or as the policy says]
    #[arg(long, value_name = "DAYS")]
    max_age: Option<Days>,
    /// Only this public clock runs: bod-26-04, pci-dss or none (repeatable) [default: both, or
    /// as the policy says]
    #[arg(long, value_name = "CLOCK", value_parser = parse_clock)]
    clock: Vec<Running>,
    /// The team's own time for a severity, in days from the fix (repeatable)
    #[arg(long, value_name = "SEVERITY=DAYS", value_parser = parse_days)]
    days: Vec<(Severity, u16)>,
    /// What a compromise would do to people and to the mission: low, medium, high or very-high;
    /// unsaid counts as high where a finding is exploited or gives full control, else as medium
    #[arg(long, value_name = "IMPACT", value_parser = parse_impact)]
    human_impact: Option<HumanImpact>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, at a terminal
    #[default]
    Human,
    /// For programs: stable and documented
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// CycloneDX 1.6 with its vulnerabilities, as JSON
    CyclonedxVex,
}

/// A public clock, or none of them.
type Running = Option<PublicClock>;

fn parse_decision(text: &str) -> Result<Decision, String> {
    let mut all = Decision::ALL.into_iter();
    all.find(|decision| decision.as_str() == text)
        .ok_or_else(|| format!("`{text}` is not immediate, out-of-cycle, scheduled or defer"))
}

fn parse_clock(text: &str) -> Result<Running, String> {
    let mut all = PublicClock::ALL.into_iter();
    match all.find(|clock| clock.as_str() == text) {
        Some(clock) => Ok(Some(clock)),
        None if text == "none" => Ok(None),
        None => Err(format!("`{text}` is not bod-26-04, pci-dss or none")),
    }
}

fn parse_impact(text: &str) -> Result<HumanImpact, String> {
    let mut all = HumanImpact::ALL.into_iter();
    all.find(|impact| impact.as_str().replace(' ', "-") == text)
        .ok_or_else(|| format!("`{text}` is not low, medium, high or very-high"))
}

fn parse_days(text: &str) -> Result<(Severity, u16), String> {
    let wrong = || format!("`{text}` is not of the form critical=7");
    let (severity, days) = text.split_once('=').ok_or_else(wrong)?;
    let severity = Severity::from_str(severity).map_err(|_| wrong())?;
    Ok((severity, days.parse::<Days>().map_err(|_| wrong())?.0))
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    let policy = policy(args)?;
    names::check(&args.names, context.directory())?;
    let progress = Progress::on_stderr();
    // Neither waits for the other: the feeds are read while the host is.
    let (advisories, matter) = thread::scope(|scope| {
        // Thousands of small things are made by the first thread: what others allocate takes the
        // kernel's help more often.
        let reading = scope.spawn(|| Advisories::open(context.directory()));
        let matter = Matter::look(args, &progress);
        (reading.join(), matter)
    });
    progress.clear();
    let matter = matter?;
    let advisories = advisories.unwrap_or_else(|panic| resume_unwind(panic));
    let advisories = advisories.map_err(refused)?;
    let terms = terms(args, policy.vulnerabilities(), now);
    let components = &matter.components;
    let mut assessment = advisories
        .assess(
            components,
            &|component| matter.exposure(component),
            &matter.kernel,
            &terms,
        )
        .map_err(refused)?;
    assessment.unknown.splice(..0, matter.unknown());
    let mut doubtful = BTreeMap::new();
    if matter.is_running() {
        let assess = |components: &[Component]| {
            let exposure = |component: &Component| matter.exposure(component);
            advisories.assess(components, &exposure, &matter.kernel, &terms)
        };
        doubtful = add_still_open(&mut assessment, context, components, &assess);
    }
    let counts_on_them = show::vulns::needs_processes(&assessment.findings);
    let findings = mem::take(&mut assessment.findings);
    let today = TimeZone::UTC.to_datetime(now).date();
    let waived = waive(
        findings,
        policy.vulnerability_waivers(),
        &matter.hostname,
        today,
    );
    assessment.findings = waived.findings;
    let mut shown = Shown {
        format: 1,
        generated: now,
        hostname: matter.hostname.clone(),
        distribution: matter.distribution(),
        release: matter.release.clone(),
        root: args.root.as_ref().map(|root| root.display().to_string()),
        sbom: args.sbom.as_ref().map(|path| path.display().to_string()),
        words: names::words(&args.names, &advisories, components)?,
        assessment,
        other_roots: matter.other_roots.clone(),
        unseen_processes: match counts_on_them {
            true => matter.unseen(),
            false => Vec::new(),
        },
        waived: waived.waived,
        expired_waivers: waived.expired,
        idle_waivers: waived.idle,
    };
    if !args.names.is_empty() {
        names::keep_open(&mut shown, components, &doubtful);
        names::narrow(&mut shown);
    }
    let view = View {
        verbose: args.verbose,
        today,
        flags: flags(args),
    };
    write(args, &shown, &view, components, &advisories)?;
    if advisories.held().is_empty() {
        context.mention_roots("feeds", "vulns");
    }
    let exit = exit(&shown.assessment, args.fail_on).or(names::exit(&shown));
    // The process ends here: giving all that back, one string after the other, took 7 % of the whole.
    mem::forget((shown, matter));
    Ok(exit)
}

/// A finding is closed when the new version is installed and nothing runs the old one any more. Gives
/// of which packages it can't be told whether their findings are, and why.
fn add_still_open(
    assessment: &mut Assessment,
    context: &Context,
    components: &[Component],
    assess: &dyn Fn(&[Component]) -> Result<Assessment, FeedError>,
) -> BTreeMap<String, String> {
    let open = context
        .existing_journal()
        .map_err(|failure| format!("what upgrades left running: {failure}"))
        .and_then(|state| {
            still_open(&still_open::Question {
                state: state.as_ref(),
                old: &OldFiles::now(),
                components,
                now: assessment,
                assess,
            })
        });
    let (why, doubtful) = match open {
        Ok(open) => {
            let why = open.unknown();
            assessment.add(open.findings);
            (why, open.doubtful)
        }
        Err(why) => (vec![why], BTreeMap::new()),
    };
    assessment
        .unknown
        .extend(why.into_iter().map(Unknown::of_all));
    doubtful
}

/// The policy that is named, or the default one where there is one; else an empty one.
fn policy(args: &Args) -> Result<Repository, Failure> {
    Ok(match survey::policy_directory(args.policy.as_deref()) {
        Some(directory) => Repository::load(directory)?,
        None => Repository::default(),
    })
}

/// What decides which findings there are, as the next command needs it.
fn flags(args: &Args) -> String {
    let path = |path: &Option<PathBuf>| {
        let path = path.as_ref();
        path.map(|path| path.to_string_lossy().into_owned())
    };
    let clock = |clock: &Running| clock.map_or("none", PublicClock::as_str).to_owned();
    let days = |(severity, days): &(Severity, u16)| format!("{}={days}", severity.as_str());
    let impact = |impact: HumanImpact| impact.as_str().replace(' ', "-");
    let given = [
        ("root", Vec::from_iter(path(&args.root))),
        ("sbom", Vec::from_iter(path(&args.sbom))),
        ("policy", Vec::from_iter(path(&args.policy))),
        (
            "max-age",
            Vec::from_iter(args.max_age.map(|days| days.0.to_string())),
        ),
        ("clock", args.clock.iter().map(clock).collect()),
        ("days", args.days.iter().map(days).collect()),
        (
            "human-impact",
            Vec::from_iter(args.human_impact.map(impact)),
        ),
    ];
    let mut flags = String::new();
    for (name, values) in given {
        for value in values {
            flags += &format!(" --{name} {}", show::plan::quoted(&value));
        }
    }
    if args.os_only {
        flags += " --os-only";
    }
    flags
}

/// What is said on the command line goes before what the policy says.
fn terms(args: &Args, policy: &VulnerabilityPolicy, now: Timestamp) -> Terms {
    let mut said = policy.clone();
    if !args.clock.is_empty() {
        said.clocks = Some(args.clock.iter().flatten().copied().collect());
    }
    said.days.extend(args.days.iter().copied());
    said.human_impact = args.human_impact.or(said.human_impact);
    said.max_age_days = args.max_age.map(|days| days.0).or(said.max_age_days);
    Terms::by(&said, now)
}

fn write(
    args: &Args,
    shown: &Shown<'_>,
    view: &View,
    components: &[Component],
    advisories: &Advisories,
) -> Result<(), Failure> {
    let reported = vulnerabilities::Reported { shown, components };
    let document = match args.format {
        Format::Human | Format::Json => None,
        Format::Sarif => {
            let text = |name: &str| text_of(advisories, name);
            Some(vulnerabilities::sarif::document(&reported, &text)?)
        }
        Format::CyclonedxVex => {
            let text = |name: &str| text_of(advisories, name);
            Some(vulnerabilities::cyclonedx::document(&reported, &text)?)
        }
    };
    let render = |out: &mut dyn Write, style: &Style| match (&document, args.format) {
        (Some(document), _) => report::json::write_value(out, document),
        (None, Format::Human) => show::vulns::write(out, shown, view, style),
        (None, _) => report::json::write_value(out, shown),
    };
    report::deliver(args.output.as_deref(), "list of vulnerabilities", &render)
}

/// Summary and details of a vulnerability, by the first feed that has them.
fn text_of(advisories: &Advisories, name: &str) -> Result<(String, String), Failure> {
    let damaged = |error| refused(assessing::damaged(error));
    for held in advisories.held() {
        let index = held.index().map_err(refused)?;
        if let Some(row) = index.find(name).map_err(damaged)? {
            let place = row.text().map_err(damaged)?;
            return held.text(&place).map_err(refused);
        }
    }
    Ok((String::new(), String::new()))
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
