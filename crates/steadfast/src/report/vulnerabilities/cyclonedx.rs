//! CycloneDX 1.6 with vulnerabilities (ECMA-424, 8.2.14): what is here, what is not affected and
//! by whose word, and what is still open. The components that they are about stand beside them.

use std::collections::{BTreeMap, BTreeSet};

use advisory::assess::{Dismissed, Finding, Undetermined};
use advisory::kernel::Dormant;
use advisory::matching::Subject;
use model::component::Component;
use model::{Severity, VulnerabilityWaiver};
use serde_json::{Map, Value, json};

use super::{Reported, Text, advice, of_subject, page};
use crate::failure::Failure;
use crate::report::inventory::{cyclonedx, uuid};
use crate::show::still_open::why_open;
use crate::show::vulns::{Targets, only_in, sleeps, targets, unknown_text};

/// The whole document.
pub fn document(reported: &Reported<'_>, text: &Text<'_>) -> Result<Value, Failure> {
    let shown = reported.shown;
    let mut places: BTreeMap<Subject, Vec<usize>> = BTreeMap::new();
    for (at, component) in reported.components.iter().enumerate() {
        places.entry(Subject::of(component)).or_default().push(at);
    }
    let mut bill = Bill {
        places,
        targets: targets(&shown.assessment.findings),
        used: BTreeSet::new(),
        vulnerabilities: Vec::new(),
    };
    for finding in &shown.assessment.findings {
        bill.finding(finding, None, text)?;
    }
    for waived in &shown.waived {
        bill.finding(&waived.finding, Some(&waived.waiver), text)?;
    }
    for one in &shown.assessment.undetermined {
        bill.undetermined(one);
    }
    for one in &shown.assessment.not_affected {
        bill.dismissed(one);
    }
    for one in &shown.assessment.dormant {
        bill.dormant(one, reported.components);
    }
    let used = bill.used.iter();
    let components: Vec<Value> = used
        .map(|at| cyclonedx::component(*at, &reported.components[*at]))
        .collect();
    let subject = match &shown.sbom {
        Some(document) => json!({"bom-ref": "subject", "type": "application", "name": document}),
        None => json!({"bom-ref": "subject", "type": "device", "name": shown.hostname}),
    };
    let mut metadata = json!({
        "timestamp": shown.generated.to_string(),
        "tools": {"components": [cyclonedx::tool()]},
        "component": subject,
    });
    // Said, so that nobody takes silence for an answer.
    let unknown = &shown.assessment.unknown;
    if !unknown.is_empty() {
        let said = unknown
            .iter()
            .map(|unknown| property("steadfast:unknown", &unknown_text(unknown)));
        metadata["properties"] = said.collect();
    }
    let content = (&components, &bill.vulnerabilities, &metadata);
    let serial = format!("urn:uuid:{}", uuid(&content));
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial,
        "version": 1,
        "metadata": metadata,
        "components": components,
        "vulnerabilities": bill.vulnerabilities,
    }))
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

struct Bill<'a> {
    /// The components of each subject.
    places: BTreeMap<Subject, Vec<usize>>,
    targets: Targets<'a>,
    /// Those that a vulnerability is about.
    used: BTreeSet<usize>,
    vulnerabilities: Vec<Value>,
}

impl Bill<'_> {
    fn finding(
        &mut self,
        finding: &Finding,
        waiver: Option<&VulnerabilityWaiver>,
        text: &Text<'_>,
    ) -> Result<(), Failure> {
        let ranking = &finding.ranking;
        let (summary, details) = text(&finding.advisory)?;
        let mut item = self.about(&finding.name, &finding.package, "affected");
        let others = [&finding.advisory]
            .into_iter()
            .chain(&finding.also)
            .chain(&finding.aliases)
            .chain(&finding.about)
            .filter(|other| **other != finding.name)
            .collect::<BTreeSet<_>>();
        if !others.is_empty() {
            let references = others.into_iter();
            let references = references.map(|name| json!({"id": name, "source": source(name)}));
            item.insert("references".to_owned(), references.collect());
        }
        item.insert("ratings".to_owned(), json!([rating(finding)]));
        let description = if summary.is_empty() {
            &details
        } else {
            &summary
        };
        if !description.is_empty() {
            item.insert("description".to_owned(), json!(description));
        }
        if !summary.is_empty() && !details.is_empty() {
            item.insert("detail".to_owned(), json!(details));
        }
        item.insert(
            "recommendation".to_owned(),
            json!(advice(finding, &self.targets)),
        );
        if let Some(published) = finding.published {
            let published = format!("{published}T00:00:00Z");
            item.insert("published".to_owned(), json!(published));
        }
        let mut analysis = Map::new();
        let state = match finding.under_investigation {
            true => "in_triage",
            false => "exploitable",
        };
        analysis.insert("state".to_owned(), json!(state));
        let mut detail = format!("priority {}", ranking.priority.as_str());
        let open = why_open(finding);
        if let Some(open) = &open {
            detail.push_str(&format!("; {open}"));
        }
        if let Some(only) = only_in(finding) {
            detail.push_str(&format!("; {only}"));
        }
        match waiver {
            Some(waiver) => {
                let said = format!(
                    "; accepted until {} by {}, \"{}\" (approved by {})",
                    waiver.expires, waiver.owner, waiver.reason, waiver.approver
                );
                detail.push_str(&said);
                analysis.insert("response".to_owned(), json!(["will_not_fix"]));
            }
            // What is installed already needs no update.
            None if finding.fixed.is_some() && open.is_none() => {
                analysis.insert("response".to_owned(), json!(["update"]));
            }
            None => {}
        }
        analysis.insert("detail".to_owned(), json!(detail));
        item.insert("analysis".to_owned(), Value::Object(analysis));
        let inputs = ranking.inputs.iter().map(|input| {
            let name = format!("steadfast:input:{}", input.name.as_str().replace(' ', "-"));
            property(&name, &format!("{} ({})", input.value, input.reason))
        });
        let due = ranking.due.iter().map(|due| {
            let said = format!("{} ({})", due.date, due.clock.as_str());
            property("steadfast:due", &said)
        });
        let priority = property("steadfast:priority", ranking.priority.as_str());
        let properties = [priority].into_iter().chain(due).chain(inputs);
        item.insert("properties".to_owned(), properties.collect());
        self.vulnerabilities.push(Value::Object(item));
        Ok(())
    }

    fn undetermined(&mut self, one: &Undetermined) {
        let mut item = self.about(&one.name, &one.package, "unknown");
        let analysis = json!({"state": "in_triage", "detail": one.why});
        item.insert("analysis".to_owned(), analysis);
        self.vulnerabilities.push(Value::Object(item));
    }

    fn dismissed(&mut self, one: &Dismissed) {
        let mut item = self.about(&one.name, &one.package, "unaffected");
        let words = [one.justification.as_str(), &one.impact, &one.source];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let mut analysis = json!({"state": "not_affected", "detail": words.join("; ")});
        if let Some(justification) = justification(&one.justification) {
            analysis["justification"] = json!(justification);
        }
        item.insert("analysis".to_owned(), analysis);
        self.vulnerabilities.push(Value::Object(item));
    }

    /// A kernel that is installed and does not run: its version is affected, and this host is not
    /// while it runs another one.
    fn dormant(&mut self, dormant: &Dormant, components: &[Component]) {
        let mut places = self.places.get(&dormant.package).cloned();
        let places = places.get_or_insert_default();
        // What is no part of the kernel may be of the same source.
        places.retain(|at| dormant.components.contains(&components[*at].name));
        for name in &dormant.names {
            let mut item = self.about_places(name, &dormant.package, "affected", places);
            let (justification, detail) = match dormant.has_no_code {
                true => ("code_not_present", sleeps(dormant)),
                false => (
                    "requires_environment",
                    format!("dormant: {}; whoever boots it has this", sleeps(dormant)),
                ),
            };
            let analysis = json!({
                "state": "not_affected",
                "justification": justification,
                "detail": detail,
            });
            item.insert("analysis".to_owned(), analysis);
            self.vulnerabilities.push(Value::Object(item));
        }
    }

    /// A vulnerability and what it is about.
    fn about(&mut self, name: &str, package: &Subject, status: &str) -> Map<String, Value> {
        let places = of_subject(&self.places, package).to_vec();
        self.about_places(name, package, status, &places)
    }

    fn about_places(
        &mut self,
        name: &str,
        package: &Subject,
        status: &str,
        places: &[usize],
    ) -> Map<String, Value> {
        self.used.extend(places);
        let affects = places.iter().map(|at| {
            json!({
                "ref": cyclonedx::reference(*at),
                "versions": [{"version": package.version, "status": status}],
            })
        });
        let mut item = Map::new();
        let at = self.vulnerabilities.len() + 1;
        item.insert("bom-ref".to_owned(), json!(format!("vulnerability-{at}")));
        item.insert("id".to_owned(), json!(name));
        item.insert("source".to_owned(), source(name));
        item.insert("affects".to_owned(), affects.collect());
        item
    }
}

fn source(name: &str) -> Value {
    let publisher = match name.split('-').next().unwrap_or_default() {
        "CVE" => "CVE",
        "GHSA" => "GitHub",
        "DSA" | "DLA" | "DEBIAN" => "Debian",
        "RUSTSEC" => "RustSec",
        "GO" => "Go",
        "PYSEC" => "PyPA",
        _ => "OSV",
    };
    json!({"name": publisher, "url": page(name)})
}

fn rating(finding: &Finding) -> Value {
    let ranking = &finding.ranking;
    let severity = match ranking.severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
    };
    let mut rating = json!({"severity": severity});
    if let Some(score) = ranking.score {
        rating["score"] = json!((score * 10.0).round() / 10.0);
    }
    if let Some(vector) = &finding.cvss {
        let method = match vector.split('/').next() {
            Some("CVSS:4.0") => "CVSSv4",
            Some("CVSS:3.1") => "CVSSv31",
            Some("CVSS:3.0") => "CVSSv3",
            _ => "CVSSv2",
        };
        rating["method"] = json!(method);
        rating["vector"] = json!(vector);
    }
    rating
}

/// The justifications of VEX (CISA, "Status Justifications") in CycloneDX's words. The one that
/// has no such word stands in the detail alone.
fn justification(vex: &str) -> Option<&'static str> {
    match vex {
        "component_not_present" | "vulnerable_code_not_present" => Some("code_not_present"),
        "vulnerable_code_not_in_execute_path" => Some("code_not_reachable"),
        "inline_mitigations_already_exist" => Some("protected_by_mitigating_control"),
        _ => None,
    }
}
