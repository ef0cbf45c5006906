//! What stays open after a patch that stands: until a restart, or a reboot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use advisory::assess::Finding;
use host::LocalHost;
use host::packages::old_files::OldFiles;
use jiff::Timestamp;
use model::count::plural;
use model::{Effect, Plan};

use super::due::Waivers;
use crate::assessing::{Outlook, Terms};
use crate::context::Context;
use crate::show::still_open::until;
use crate::survey;

/// Findings that are named in one line.
const NAMED: usize = 6;

/// Says it, of the findings of what this plan upgraded. The same as `patch status` and `vulns` say
/// afterwards.
pub(super) fn say(context: &Context, plan: &Plan) {
    let (open, unknown) = match open(context, plan) {
        Ok(open) => open,
        Err(why) => {
            crate::say(format_args!(
                "unknown: which of its findings stay open: {why}"
            ));
            return;
        }
    };
    for why in unknown {
        crate::say(format_args!("unknown: {why}"));
    }
    let mut by_cause: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
    for finding in &open {
        if let Some(until) = until(finding) {
            by_cause.entry(until).or_default().push(finding);
        }
    }
    if by_cause.is_empty() {
        return;
    }
    for (until, findings) in by_cause {
        let named = findings.iter().take(NAMED);
        let mut names: Vec<String> = named
            .map(|finding| format!("{} in {}", finding.name, finding.package.name))
            .collect();
        let more = findings.len().saturating_sub(NAMED);
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        let stay = if findings.len() == 1 { "stays" } else { "stay" };
        crate::say(format_args!(
            "{} {stay} open {until}: {}",
            plural(findings.len(), "finding"),
            names.join(", ")
        ));
    }
    crate::say(format_args!(
        "steadfast patch status says whether they are closed"
    ));
}

/// The findings, and what can't be told.
fn open(context: &Context, plan: &Plan) -> Result<(Vec<Finding>, Vec<String>), String> {
    let upgrades = plan
        .actions
        .iter()
        .filter_map(|action| match &action.effect {
            Effect::Upgrade { packages, .. } => Some(packages),
            _ => None,
        });
    let names: BTreeSet<&str> = upgrades.flatten().map(|one| one.bare_name()).collect();
    // What the first look found is remembered by the host that was looked at.
    let host = LocalHost::running().map_err(|error| error.to_string())?;
    let components = host.distribution_packages();
    let components = components.map_err(|why| why.to_string())?;
    let repository = survey::repository(plan.selection.policy.as_ref().map(Path::new));
    let repository = repository.map_err(|failure| failure.to_string())?;
    let terms = Terms::by(repository.vulnerabilities(), Timestamp::now());
    let outlook = Outlook::of(context.directory(), &host, &components, &terms);
    let outlook = outlook.map_err(|error| error.to_string())?;
    let state = context.existing_journal();
    let state = state.map_err(|failure| failure.to_string())?;
    let open = outlook.still_open(state.as_ref(), &OldFiles::now())?;
    let mut now = outlook.now().clone();
    let unknown = open.unknown();
    now.add(open.findings);
    let hostname = host.identity().hostname;
    let waivers = Waivers {
        all: repository.vulnerability_waivers(),
        hostname: &hostname,
    };
    let is_of_it = |finding: &Finding| {
        let mut components = finding.components.iter();
        finding.until_boot_of.is_some() || components.any(|name| names.contains(name.as_str()))
    };
    let mut findings = waivers.counting(now.findings);
    findings.retain(is_of_it);
    Ok((findings, unknown))
}
