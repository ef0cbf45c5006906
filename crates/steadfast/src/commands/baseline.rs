//! `steadfast baseline`: the sets of rules that there are.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use content::Rule;
use model::count::plural;
use model::{BaselineName, Severity};
use serde_json::{Value, json};

use super::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::survey::repository;

/// Look at baselines
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the baselines, built-in and of the policy
    List(List),
    /// Show one baseline with its rules
    Show(Show),
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub struct Show {
    #[arg(value_name = "NAME")]
    baseline: String,
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(args),
        Command::Show(args) => show(args),
    }
}

type ByBaseline<'a> = BTreeMap<&'a BaselineName, Vec<&'a Rule>>;

fn by_baseline(repository: &content::Repository) -> ByBaseline<'_> {
    let mut baselines = ByBaseline::new();
    for rule in repository.rules() {
        baselines.entry(&rule.baseline).or_default().push(rule);
    }
    baselines
}

fn list(args: &List) -> Result<Exit, Failure> {
    let repository = repository(args.policy.as_deref())?;
    let mut out = BufWriter::new(output::stdout());
    let baselines = by_baseline(&repository);
    match args.format {
        Format::Json => write_json(
            &mut out,
            &json!({
                "format": 1,
                "baselines": baselines.iter().map(|(name, rules)| summary(name, rules)).collect::<Vec<_>>(),
            }),
        )?,
        Format::Human => {
            for (name, rules) in baselines {
                let strict = rules.iter().filter(|rule| rule.profile.is_some()).count();
                writeln!(
                    out,
                    "{name:12}  {:3} rules, {strict} of them in stricter profiles",
                    rules.len()
                )?;
            }
        }
    }
    out.flush()?;
    Ok(Exit::AsWanted)
}

fn show(args: &Show) -> Result<Exit, Failure> {
    let repository = repository(args.policy.as_deref())?;
    let baselines = by_baseline(&repository);
    let Some((name, rules)) = baselines
        .iter()
        .find(|(name, _)| name.as_str() == args.baseline)
    else {
        let known = baselines.keys().map(|name| name.as_str());
        let help = crate::suggest::nearest(&args.baseline, known).map_or_else(
            || "steadfast baseline list shows them all".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        let typed = model::printable(args.baseline.as_bytes());
        let message = format!("there is no baseline `{typed}`");
        return Err(Failure::new(Exit::BadInput, message, help));
    };
    let mut out = BufWriter::new(output::stdout());
    match args.format {
        Format::Json => {
            let mut value = summary(name, rules);
            value["rules"] = rules.iter().map(|rule| json!(rule.id)).collect();
            write_json(&mut out, &json!({"format": 1, "baseline": value}))?;
        }
        Format::Human => {
            writeln!(out, "{name}: {}", plural(rules.len(), "rule"))?;
            for severity in Severity::ALL {
                let mut of: Vec<_> = rules
                    .iter()
                    .filter(|rule| rule.severity == severity)
                    .collect();
                of.sort_by_key(|rule| &rule.id);
                for rule in of {
                    writeln!(out, "  {severity:8}  {}  {}", rule.id, rule.title)?;
                }
            }
        }
    }
    out.flush()?;
    Ok(Exit::AsWanted)
}

fn summary(name: &BaselineName, rules: &[&Rule]) -> Value {
    let of = |severity| {
        rules
            .iter()
            .filter(|rule| rule.severity == severity)
            .count()
    };
    json!({
        "name": name,
        "rules": rules.len(),
        "by_severity": Severity::ALL.map(|severity| json!({"severity": severity, "rules": of(severity)})),
        "in_profiles": rules.iter().filter(|rule| rule.profile.is_some()).count(),
    })
}

fn write_json(out: &mut dyn Write, value: &Value) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
