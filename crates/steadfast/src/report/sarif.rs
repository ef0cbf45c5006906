//! SARIF 2.1.0 (OASIS) of an audit: a rule for each rule, and each want of a role, that was judged;
//! a result for each place that is not as wanted, and for what could not be told. And what every
//! log of ours has.

use std::os::unix::ffi::OsStrExt;

use jiff::civil::Date;
use model::finding::{AppliedWaiver, Drifted};
use model::{Digest, Finding, Outcome, Severity, SourceLine};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use plan::Report;
use serde_json::{Value, json};

pub const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What stands in a path of a URI by itself (RFC 3986, 3.3).
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+')
    .remove(b'@');

/// "dateTime", in UTC and to the second (3.9).
pub fn seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The folder that paths start from, as a URI with a slash at its end (3.14.14).
pub fn root(tree: Option<&str>) -> String {
    let Some(tree) = tree else {
        return "file:///".to_owned();
    };
    let absolute = std::path::absolute(tree).unwrap_or_default();
    let absolute = absolute.to_string_lossy();
    let folder = format!("{}/", absolute.trim_end_matches('/'));
    format!("file://{}", uri(folder.as_bytes()))
}

pub fn uri(path: &[u8]) -> String {
    percent_encode(path, PATH).to_string()
}

/// The whole log.
pub fn document(report: &Report) -> Value {
    let mut rules = Vec::new();
    let mut results = Vec::new();
    for finding in &report.findings {
        let at = rules.len();
        rules.push(rule(finding));
        results.extend(results_of(finding, at));
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "Steadfast",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "invocations": [{
                "executionSuccessful": true,
                "endTimeUtc": seconds(report.generated),
            }],
            "automationDetails": {"id": "steadfast/audit/"},
            "originalUriBaseIds": {"ROOT": {"uri": root(report.host.root.as_deref())}},
            "columnKind": "utf16CodeUnits",
            "results": results,
            "properties": {
                "hostname": report.host.hostname,
                "release": report.host.release,
                "score": report.score,
                "counts": report.counts,
            },
        }],
    })
}

fn rule(finding: &Finding) -> Value {
    let rule = &finding.rule;
    // As viewers sort: from 9.0 critical, 7.0 high, 4.0 medium.
    let score = match rule.severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
    };
    let why = match rule.why.is_empty() {
        true => &rule.title,
        false => &rule.why,
    };
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": why},
        "help": {"text": why},
        "defaultConfiguration": {"level": level(rule.severity)},
        "properties": {
            "area": rule.area,
            "baseline": rule.baseline,
            "severity": rule.severity,
            "security-severity": score,
            "tags": ["security", "configuration"],
        },
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// Of what passes or does not apply there is none: its rule is listed.
fn results_of(finding: &Finding, at: usize) -> Vec<Value> {
    let rule = &finding.rule;
    let base = |message: String, about: &str| {
        json!({
            "ruleId": rule.id,
            "ruleIndex": at,
            "message": {"text": message},
            // The same finding has the same, whatever is observed meanwhile.
            "partialFingerprints": {"steadfast/v1": Digest::of_json(&(&rule.id, about)).to_string()},
        })
    };
    match finding.outcome {
        Outcome::Pass | Outcome::Fixed | Outcome::NotApplicable => Vec::new(),
        // "There was insufficient information to decide whether a problem exists" (3.27.9).
        Outcome::Unknown | Outcome::Error => {
            let reason = finding.reason.as_deref().unwrap_or("could not be told");
            let mut result = base(format!("{}: {reason}", rule.title), "");
            result["kind"] = json!("open");
            result["level"] = json!("none");
            vec![result]
        }
        Outcome::Fail | Outcome::Waived => finding
            .drifts
            .iter()
            .map(|drifted| {
                let mut result = base(message(drifted), &drifted.resource);
                result["kind"] = json!("fail");
                result["level"] = json!(level(rule.severity));
                result["locations"] = locations(drifted);
                result["properties"] = json!({
                    "resource": drifted.resource,
                    "observed": drifted.observed,
                    "wanted": drifted.wanted,
                    "fixable": finding.fixable,
                });
                // "If a result has been reviewed, and none suppresses it, an empty array" (3.27.23).
                let waiver = finding.waiver.as_ref().filter(|waiver| !waiver.expired);
                result["suppressions"] = waiver.map(suppression).into_iter().collect();
                result
            })
            .collect(),
    }
}

fn message(drifted: &Drifted) -> String {
    let mut text = format!(
        "{}: {}, wanted {}.",
        drifted.resource, drifted.observed, drifted.wanted
    );
    for more in [&drifted.note, &drifted.by_hand].into_iter().flatten() {
        text.push_str(&format!(" {more}."));
    }
    text
}

fn locations(drifted: &Drifted) -> Value {
    let logical = json!([{"name": drifted.resource, "kind": "resource"}]);
    if drifted.at.is_empty() {
        return json!([{"logicalLocations": logical}]);
    }
    let place = |at: &SourceLine| {
        let path = at.path.as_path().as_os_str().as_bytes();
        let relative = path.strip_prefix(b"/").unwrap_or(path);
        let mut place = json!({
            "artifactLocation": {"uri": uri(relative), "uriBaseId": "ROOT"},
        });
        if let Some(line) = at.line.filter(|line| *line > 0) {
            place["region"] = json!({"startLine": line});
        }
        json!({"physicalLocation": place, "logicalLocations": logical})
    };
    drifted.at.iter().map(place).collect()
}

fn suppression(applied: &AppliedWaiver) -> Value {
    let waiver = &applied.waiver;
    suppressed(
        &waiver.reason,
        &waiver.owner,
        &waiver.approver,
        waiver.expires,
    )
}

/// What somebody has accepted until a day (SARIF 3.35).
pub fn suppressed(reason: &str, owner: &str, approver: &str, expires: Date) -> Value {
    json!({
        // Not in the source: "persisted in an external store" (3.35.2).
        "kind": "external",
        "status": "accepted",
        "justification": reason,
        "properties": {
            "owner": owner,
            "approver": approver,
            "expires": expires,
        },
    })
}
