//! `steadfast rule show`: one rule, with its reasons and its declaration.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use content::{Param, Rule, RuleTest, TestHost};
use model::printable;
use serde_json::{Value, json};

use crate::commands::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::layout::{Paper, Text};
use crate::output;
use crate::report::NextStep;
use crate::report::human::next_steps;
use crate::style::{Role, Style};
use crate::survey::repository;

/// Show one rule: why it matters, its parameters, the releases it is meant for
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  steadfast rule show ssh-root-login")]
pub struct Args {
    #[arg(value_name = "ID")]
    rule: String,
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let repository = repository(args.policy.as_deref())?;
    let rule = super::find(&repository, &args.rule)?;
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &json!({"format": 1, "rule": json(rule)}))
                .map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        Format::Human => human(&mut out, rule)?,
    }
    out.flush()?;
    Ok(Exit::AsWanted)
}

fn human(out: &mut dyn Write, rule: &Rule) -> std::io::Result<()> {
    let style = Style::for_stdout();
    let mut paper = Paper::new(out, &style);
    let heading = Text::new().say(Role::Strong, rule.id.as_str()).gap(3);
    paper.line(&heading.plain(&rule.title))?;
    paper.blank()?;
    paper.line(&Text::new().plain(&rule.why))?;
    paper.blank()?;
    let mut row = |label: &str, text: &str| paper.row(Role::Dim, label, &Text::new().plain(text));
    row("severity", rule.severity.as_str())?;
    row("area", &format!("{} / {}", rule.baseline, rule.area))?;
    row("risk", &rule.risk.to_string())?;
    if let Some(profile) = &rule.profile {
        row("profile", &format!("{profile}: not in the default score"))?;
    }
    for (id, versions) in &rule.releases {
        row("for", &format!("{id} {}", versions.join(", ")))?;
    }
    for (name, param) in &rule.params {
        row("parameter", &parameter(name, param))?;
    }
    for test in &rule.tests {
        row("test", &test.name)?;
    }
    row("declared", &rule.place.source_line().to_string())?;
    let next = format!("steadfast plan --rule {}", rule.id);
    next_steps(&mut paper, &[NextStep::new(next, "")])
}

/// None where there is none, or where it is a secret.
fn default(param: &Param) -> Option<String> {
    let default = param.default.as_ref().filter(|_| !param.secret);
    default.map(ToString::to_string)
}

/// `tries=10  Wrong passwords in a row.`
fn parameter(name: &str, param: &Param) -> String {
    let default = match default(param) {
        Some(value) => printable(value.as_bytes()),
        None if param.secret => "(not shown)".to_owned(),
        None => "(to be given)".to_owned(),
    };
    let description = param.description.as_deref().unwrap_or_default();
    format!("{name}={default}  {description}")
        .trim_end()
        .to_owned()
}

/// A rule as programs read it.
pub(super) fn json(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "baseline": rule.baseline,
        "title": rule.title,
        "severity": rule.severity,
        "why": rule.why,
        "area": rule.area,
        "risk": rule.risk,
        "profile": rule.profile,
        "kinds": rule.kinds(),
        "params": rule.params.iter().map(|(name, param)| json!({
            "name": name,
            "default": default(param),
            "description": param.description,
        })).collect::<Vec<_>>(),
        "releases": rule.releases,
        "tests": rule.tests.iter().map(test).collect::<Vec<_>>(),
        "digest": rule.digest,
        "declared_at": rule.place.source_line(),
    })
}

fn test(test: &RuleTest) -> Value {
    json!({
        "name": test.name,
        "on": match test.on {
            TestHost::Container => "container",
            TestHost::Machine => "machine",
        },
        "expect": test.expect,
        "releases": test.releases,
    })
}
