//! Which findings somebody answers for until a date. A waived finding is still there, and is
//! shown as waived; one whose waiver has expired counts again.

use jiff::civil::Date;
use model::VulnerabilityWaiver;
use serde::Serialize;

use crate::assess::Finding;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waived {
    #[serde(flatten)]
    pub finding: Finding,
    pub waiver: VulnerabilityWaiver,
}

/// A waiver that is past its last day, and how many findings it would cover.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expired {
    pub waiver: VulnerabilityWaiver,
    pub findings: usize,
}

/// What waivers make of findings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Those that count, in their order.
    pub findings: Vec<Finding>,
    pub waived: Vec<Waived>,
    pub expired: Vec<Expired>,
    /// Waivers for this host that hold and cover nothing: what they were for is gone, or they
    /// are misspelt.
    pub idle: Vec<VulnerabilityWaiver>,
}

/// `today` is the date in UTC. Of several waivers of one finding the longest holds.
pub fn waive(
    findings: Vec<Finding>,
    waivers: &[VulnerabilityWaiver],
    hostname: &str,
    today: Date,
) -> Outcome {
    let of_host = waivers.iter().filter(|one| one.covers_host(hostname));
    let (expired, holding): (Vec<_>, Vec<_>) = of_host.partition(|one| one.is_expired(today));
    let mut outcome = Outcome {
        expired: expired
            .into_iter()
            .map(|waiver| Expired {
                waiver: waiver.clone(),
                findings: findings
                    .iter()
                    .filter(|found| covers(waiver, found))
                    .count(),
            })
            .collect(),
        idle: holding
            .iter()
            .filter(|waiver| !findings.iter().any(|found| covers(waiver, found)))
            .map(|waiver| (*waiver).clone())
            .collect(),
        ..Outcome::default()
    };
    if holding.is_empty() {
        outcome.findings = findings;
        return outcome;
    }
    for finding in findings {
        let covering = holding.iter().filter(|waiver| covers(waiver, &finding));
        match covering.max_by_key(|waiver| waiver.expires) {
            Some(waiver) => outcome.waived.push(Waived {
                waiver: (*waiver).clone(),
                finding,
            }),
            None => outcome.findings.push(finding),
        }
    }
    outcome
}

fn covers(waiver: &VulnerabilityWaiver, finding: &Finding) -> bool {
    let packages = finding.components.iter().map(String::as_str);
    finding.is_called(&waiver.vulnerability)
        && waiver.covers_package(packages.chain([finding.package.name.as_str()]))
}
