//! `steadfast audit`: what is true on this host, read-only.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{Fact, Outcome, Severity};
use plan::report::{BaselineSummary, HostSummary, REPORT_FORMAT, RoleSummary};
use plan::{Counts, Report, Score};
use resource::wanted::{WantedBaseline, WantedRole};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::{self, NextStep, View};
use crate::show;
use crate::style::Style;
use crate::survey::{Selectors, Survey};

/// Audit a host against the baselines that fit it; reads only
///
/// Changes nothing and sends nothing. Works without configuration, as an ordinary user
/// (what needs root is said once), and on a mounted tree with --root.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  steadfast audit\n  \
    steadfast audit --severity medium\n  \
    steadfast audit --format html --output report.html")]
pub struct Args {
    #[command(flatten)]
    selectors: Selectors,
    /// Audit the tree in this directory instead of the running host; none of its programs is run
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the report to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 1 only for findings of at least this severity
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    fail_on: Severity,
    /// Show findings of at least this severity in full
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, at a terminal
    #[default]
    Human,
    /// For programs: stable and documented
    Json,
    /// One self-contained page
    Html,
    /// SARIF 2.1.0, for viewers of findings: rules and wants of roles
    Sarif,
}

pub fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let started = Instant::now();
    let progress = Progress::on_stderr();
    let survey = Survey::take(args.root.as_deref(), &args.selectors, &progress)?;
    let mut report = assemble(&survey, args.root.as_ref(), started);
    // A change is of the running host, and not of a tree.
    if args.root.is_none() {
        match context.unended() {
            Ok(unended) => report.unended = unended,
            // An ordinary user can't read it, and is told so of much else.
            Err(_) if !survey.facts.is_root => {}
            Err(failure) => {
                let why =
                    format!("whether a change waits to be confirmed, or needs a person: {failure}");
                crate::say(format_args!("unknown {why}"));
                report.unended_unknown = Some(why);
            }
        }
    }
    write(args, &report)?;
    Ok(exit(&report, args.fail_on))
}

fn assemble(survey: &Survey, root: Option<&PathBuf>, started: Instant) -> Report {
    let generated = Timestamp::now();
    let today = TimeZone::UTC.to_datetime(generated).date();
    let findings = plan::audit::findings(
        &survey.wanted,
        &survey.answers,
        &survey.facts.hostname,
        today,
    );
    Report {
        format: REPORT_FORMAT,
        steadfast: env!("CARGO_PKG_VERSION").to_owned(),
        generated,
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        host: host_summary(survey, root),
        baselines: baseline_summaries(survey),
        roles: role_summaries(survey),
        score: Score::of(&findings),
        counts: Counts::of(&findings),
        expired_waivers: plan::audit::expired_waivers(&survey.wanted.waivers, today),
        unended: Vec::new(),
        unended_unknown: None,
        other_roots: survey.answers.other_roots(),
        findings,
    }
}

fn host_summary(survey: &Survey, root: Option<&PathBuf>) -> HostSummary {
    let facts = &survey.facts;
    let release = match &facts.release {
        Fact::Known(release) => release.pretty.clone(),
        Fact::Unknown(reason) => format!("unknown release ({reason})"),
    };
    let kernel = match &facts.kernel {
        Fact::Known(kernel) => kernel.clone(),
        Fact::Unknown(reason) => format!("unknown ({reason})"),
    };
    HostSummary {
        hostname: facts.hostname.clone(),
        release,
        kernel,
        as_root: facts.is_root,
        root: root.map(|root| root.display().to_string()),
        found: found(survey),
    }
}

/// Programs that people run hosts for, and look for first in a report.
const PROGRAMS: [&str; 10] = [
    "openssh-server",
    "nginx",
    "apache2",
    "postgresql-15",
    "postgresql-17",
    "mariadb-server",
    "redis-server",
    "docker.io",
    "podman",
    "auditd",
];

fn found(survey: &Survey) -> Vec<String> {
    let Some(packages) = survey.facts.packages.known() else {
        return Vec::new();
    };
    PROGRAMS
        .iter()
        .filter_map(|name| {
            let package = packages.get(*name)?;
            // The upstream part of the version says enough on one line.
            let version = package
                .version
                .rsplit_once(':')
                .map_or(&*package.version, |v| v.1);
            let version = version.rsplit_once('-').map_or(version, |v| v.0);
            Some(format!("{name} {version}"))
        })
        .collect()
}

fn baseline_summaries(survey: &Survey) -> Vec<BaselineSummary> {
    let summary = |baseline: &WantedBaseline| BaselineSummary {
        name: baseline.name.to_string(),
        rules: baseline.rules,
        proven: baseline.proven,
    };
    survey.wanted.baselines.iter().map(summary).collect()
}

fn role_summaries(survey: &Survey) -> Vec<RoleSummary> {
    let summary = |role: &WantedRole| RoleSummary {
        name: role.name.to_string(),
        wants: role.want.len(),
    };
    survey.wanted.roles.iter().map(summary).collect()
}

fn write(args: &Args, report: &Report) -> Result<(), Failure> {
    let render = |out: &mut dyn Write, style: &Style| render(out, args, report, style);
    report::deliver(args.output.as_deref(), "report", &render)
}

fn render(out: &mut dyn Write, args: &Args, report: &Report, style: &Style) -> std::io::Result<()> {
    match args.format {
        Format::Json => report::json::write(out, report),
        Format::Sarif => report::json::write_value(out, &report::sarif::document(report)),
        Format::Html => out.write_all(report::html::render(report).as_bytes()),
        Format::Human => {
            let view = View {
                least: args.severity,
                next: next_steps(args, report),
                command: command(args),
            };
            report::human::write(out, report, &view, style)
        }
    }
}

/// The command that gave this report.
fn command(args: &Args) -> String {
    let mut text = show::plan::command("steadfast audit", &args.selectors.selection(false));
    if let Some(root) = &args.root {
        text.push_str(&format!(
            " --root {}",
            show::plan::quoted(&root.to_string_lossy())
        ));
    }
    text
}

/// What to type next: the worst finding that has a fix, and the page for others.
fn next_steps(args: &Args, report: &Report) -> Vec<NextStep> {
    let mut steps = Vec::new();
    let worst = report
        .failing(Severity::Low)
        .find(|finding| finding.fixable);
    if let (Some(finding), None) = (worst, &args.root) {
        let mut selection = args.selectors.selection(false);
        // A want of a role has no plan of its own: its role has.
        match finding.rule.id.role() {
            None => selection.rules = vec![finding.rule.id.to_string()],
            Some(role) => {
                // One that another includes is asked for by that, and parameters may be of any.
                let has_params = !(selection.params.is_empty()
                    && selection.params_from.is_empty()
                    && selection.param_files.is_empty());
                if selection.roles.iter().any(|asked| asked == role) && !has_params {
                    selection.roles = vec![role.to_owned()];
                }
                selection.rules.clear();
                selection.baselines.clear();
            }
        }
        steps.push(NextStep::new(
            show::plan::command("steadfast plan", &selection),
            "shows the fix, changes nothing",
        ));
    }
    if !report.findings.is_empty() {
        let page = format!("{} --format html --output report.html", command(args));
        steps.push(NextStep::new(page, ""));
    }
    steps
}

fn exit(report: &Report, fail_on: Severity) -> Exit {
    let failed = report.failing(fail_on).next().is_some();
    let unchecked = report.findings.iter().any(|finding| {
        matches!(finding.outcome, Outcome::Unknown | Outcome::Error)
            && finding.rule.severity >= fail_on
    });
    let exit = if failed {
        Exit::Findings
    } else {
        Exit::AsWanted
    };
    let unchecked = unchecked || report.unended_unknown.is_some();
    exit.or(if unchecked || report.counts.nothing_judged() {
        Exit::Unchecked
    } else {
        Exit::AsWanted
    })
}
