//! SARIF 2.1.0 (OASIS): a rule for each vulnerability, a result for each package that has it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;

use advisory::assess::{Finding, Undetermined, Warning};
use advisory::kernel::Dormant;
use advisory::matching::Subject;
use advisory::rank::Decision;
use model::component::{Component, Evidence};
use model::{Digest, VulnerabilityWaiver};
use serde_json::{Map, Value, json};

use super::{Reported, Text, advice, of_subject, page, score};
use crate::failure::Failure;
use crate::report::inventory::purl;
use crate::report::sarif::{SCHEMA, root, seconds, suppressed, uri};
use crate::show::vulns::{Targets, only_in, sleeps, targets, unknown_text};

/// A component that lies in a thousand places is one result; so many of them are named.
const MOST_LOCATIONS: usize = 16;

/// The whole log.
pub fn document(reported: &Reported<'_>, text: &Text<'_>) -> Result<Value, Failure> {
    let shown = reported.shown;
    let mut log = Log {
        subjects: Subject::all(reported.components),
        targets: targets(&shown.assessment.findings),
        rules: Vec::new(),
        places: BTreeMap::new(),
        text,
    };
    let mut results = Vec::new();
    for finding in &shown.assessment.findings {
        results.push(log.result(finding, None)?);
    }
    for waived in &shown.waived {
        results.push(log.result(&waived.finding, Some(&waived.waiver))?);
    }
    for one in &shown.assessment.undetermined {
        results.push(log.open(one)?);
    }
    for dormant in &shown.assessment.dormant {
        for name in &dormant.names {
            results.push(log.dormant(dormant, name)?);
        }
    }
    for warning in &shown.assessment.warnings {
        results.push(log.warning(warning)?);
    }
    // "Runtime conditions that the tool encountered" (3.58): what it could not tell.
    let notifications = shown.assessment.unknown.iter().map(|unknown| {
        json!({
            "level": "warning",
            "message": {"text": unknown_text(unknown)},
            "descriptor": {"id": "unknown"},
        })
    });
    let root = root(shown.root.as_deref());
    Ok(json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "Steadfast",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": log.rules,
                "notifications": [{
                    "id": "unknown",
                    "shortDescription": {"text": "Something could not be told"},
                }],
            }},
            "invocations": [{
                "executionSuccessful": true,
                "endTimeUtc": seconds(shown.generated),
                "toolExecutionNotifications": notifications.collect::<Vec<_>>(),
            }],
            "automationDetails": {"id": "steadfast/vulns/"},
            "originalUriBaseIds": {"ROOT": {"uri": root}},
            "columnKind": "utf16CodeUnits",
            "results": results,
            "properties": {"hostname": shown.hostname, "release": shown.release},
        }],
    }))
}

struct Log<'a> {
    subjects: BTreeMap<Subject, Vec<&'a Component>>,
    targets: Targets<'a>,
    rules: Vec<Value>,
    /// Where in `rules` each vulnerability stands.
    places: BTreeMap<String, usize>,
    text: &'a Text<'a>,
}

impl<'a> Log<'a> {
    /// The rule of a vulnerability, made when it is first met.
    fn rule(&mut self, name: &str, advisory: &str) -> Result<usize, Failure> {
        if let Some(at) = self.places.get(name) {
            return Ok(*at);
        }
        let (summary, details) = (self.text)(advisory)?;
        let first = details.lines().find(|line| !line.trim().is_empty());
        let short = match summary.is_empty() {
            true => first.unwrap_or(name).to_owned(),
            false => summary,
        };
        let details = if details.is_empty() {
            short.clone()
        } else {
            details
        };
        self.places.insert(name.to_owned(), self.rules.len());
        self.rules.push(json!({
            "id": name,
            "name": "KnownVulnerability",
            "shortDescription": {"text": short},
            "fullDescription": {"text": details},
            "helpUri": page(name),
            "help": {"text": format!("{name}: {details}\n\n{}", page(name))},
            "properties": {"precision": "very-high", "tags": ["security", "vulnerability"]},
        }));
        Ok(self.rules.len() - 1)
    }

    fn result(
        &mut self,
        finding: &Finding,
        waiver: Option<&VulnerabilityWaiver>,
    ) -> Result<Value, Failure> {
        let at = self.rule(&finding.name, &finding.advisory)?;
        let ranking = &finding.ranking;
        // A rule has one score, and packages may rank it differently: the worst stands.
        let properties = &mut self.rules[at]["properties"];
        let known = properties["security-severity"].as_str();
        let known = known.and_then(|known| known.parse().ok()).unwrap_or(0.0);
        properties["security-severity"] = json!(format!("{:.1}", score(ranking).max(known)));
        let level = match ranking.priority {
            Decision::Immediate | Decision::OutOfCycle => "error",
            Decision::Scheduled => "warning",
            Decision::Defer => "note",
        };
        let package = &finding.package;
        let mut message = format!(
            "{} {} has {}. Priority: {}. {}",
            package.name,
            package.version,
            finding.name,
            ranking.priority.as_str(),
            advice(finding, &self.targets),
        );
        let mut properties = json!({
            "package": package,
            "priority": ranking.priority,
            "timeline": ranking.timeline,
            "severity": ranking.severity,
            "inputs": ranking.inputs,
            "due": ranking.due,
        });
        if let Some(fixed) = &finding.fixed {
            properties["fixed"] = json!(fixed);
        }
        if !finding.about.is_empty() {
            properties["about"] = json!(finding.about);
        }
        if let Some(only) = only_in(finding) {
            message = format!("{message} It is {only}.");
            properties["packages"] = json!(finding.packages);
        }
        if !finding.kept_open.is_empty() {
            properties["kept_open"] = json!(finding.kept_open);
        }
        if !finding.images.is_empty() {
            properties["images"] = json!(finding.images);
        }
        let mut result = json!({
            "ruleId": finding.name,
            "ruleIndex": at,
            "kind": "fail",
            "level": level,
            "message": {"text": message},
            "locations": self.locations(&finding.evidence, &self.components(package)),
            // The same finding has the same, whatever version is installed meanwhile.
            "partialFingerprints": {"steadfast/v1": fingerprint(&finding.name, package)},
            "properties": properties,
        });
        // "If a result has been reviewed, and none suppresses it, an empty array" (3.27.23).
        result["suppressions"] = match waiver {
            None => json!([]),
            Some(waiver) => json!([suppression(waiver)]),
        };
        Ok(result)
    }

    /// "The specified rule was evaluated, and the tool concluded that there was insufficient
    /// information to decide whether a problem exists" (3.27.9).
    fn open(&mut self, one: &Undetermined) -> Result<Value, Failure> {
        let at = self.rule(&one.name, &one.name)?;
        let package = &one.package;
        let components = self.components(package);
        let evidence = evidence_of(&components);
        let message = format!("{} {}: {}", package.name, package.version, one.why);
        Ok(json!({
            "ruleId": one.name,
            "ruleIndex": at,
            "kind": "open",
            "level": "none",
            "message": {"text": message},
            "locations": self.locations(&evidence, &components),
            "partialFingerprints": {"steadfast/v1": fingerprint(&one.name, package)},
        }))
    }

    /// "A purely informational result that does not indicate the presence of a problem" (3.27.9):
    /// of a kernel that is installed and does not run. It is suppressed as well, for readers who
    /// look at nothing else.
    fn dormant(&mut self, dormant: &Dormant, name: &str) -> Result<Value, Failure> {
        let at = self.rule(name, name)?;
        let package = &dormant.package;
        let mut components = self.components(package);
        // What is no part of the kernel may be of the same source.
        components.retain(|component| dormant.components.contains(&component.name));
        let evidence = evidence_of(&components);
        let sleeps = sleeps(dormant);
        let message = match dormant.has_no_code {
            true => format!(
                "{} {} is built from what has {name}, and has none of it: {sleeps}.",
                package.name, package.version
            ),
            false => format!(
                "{} {} has {name}, and is dormant: {sleeps}. Whoever boots it has this.",
                package.name, package.version
            ),
        };
        Ok(json!({
            "ruleId": name,
            "ruleIndex": at,
            "kind": "informational",
            "level": "none",
            "message": {"text": message},
            "locations": self.locations(&evidence, &components),
            // Another than that of a finding: the kernel that runs may have this as well.
            "partialFingerprints": {
                "steadfast/v1": fingerprint(&format!("{name} dormant {}", package.version), package),
            },
            "suppressions": [{
                "kind": "external",
                "status": "accepted",
                "justification": format!("dormant: {sleeps}"),
            }],
            "properties": {"package": package, "dormant": {"runs": dormant.runs}},
        }))
    }

    /// What a database knows of a package, and what is no vulnerability in it.
    fn warning(&mut self, warning: &Warning) -> Result<Value, Failure> {
        let at = self.rule(&warning.name, &warning.name)?;
        let package = &warning.package;
        let message = format!(
            "{} {}: {}. This is no vulnerability.",
            package.name, package.version, warning.informs
        );
        Ok(json!({
            "ruleId": warning.name,
            "ruleIndex": at,
            "kind": "informational",
            "level": "none",
            "message": {"text": message},
            "locations": self.locations(&warning.evidence, &self.components(package)),
            "partialFingerprints": {"steadfast/v1": fingerprint(&warning.name, package)},
            "properties": {"package": package, "informs": warning.informs},
        }))
    }

    fn components(&self, package: &Subject) -> Vec<&'a Component> {
        of_subject(&self.subjects, package).to_vec()
    }

    fn locations(&self, evidence: &[Evidence], components: &[&Component]) -> Value {
        let logical: Vec<Value> = components
            .iter()
            .map(|component| logical(component))
            .collect();
        let locations = evidence.iter().take(MOST_LOCATIONS).map(|evidence| {
            let path = evidence.path.as_path().as_os_str().as_bytes();
            let relative = path.strip_prefix(b"/").unwrap_or(path);
            let mut location = json!({
                "physicalLocation": {
                    "artifactLocation": {"uri": uri(relative), "uriBaseId": "ROOT"},
                },
                "logicalLocations": logical,
            });
            if let Some(member) = &evidence.member {
                location["message"] = json!({"text": format!("in it, {member}")});
            }
            location
        });
        locations.collect()
    }
}

fn evidence_of(components: &[&Component]) -> Vec<Evidence> {
    let evidence = components.iter().flat_map(|one| one.evidence.iter());
    evidence
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn logical(component: &Component) -> Value {
    let mut place = Map::new();
    place.insert("name".to_owned(), json!(component.name));
    place.insert("kind".to_owned(), json!("package"));
    if let Some(purl) = purl::of(component) {
        place.insert("fullyQualifiedName".to_owned(), json!(purl));
    }
    Value::Object(place)
}

fn fingerprint(name: &str, package: &Subject) -> String {
    Digest::of_json(&(name, &package.ecosystem, &package.name)).to_string()
}

fn suppression(waiver: &VulnerabilityWaiver) -> Value {
    suppressed(
        &waiver.reason,
        &waiver.owner,
        &waiver.approver,
        waiver.expires,
    )
}
