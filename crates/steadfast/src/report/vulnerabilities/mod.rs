//! Shows known vulnerabilities in the formats of other tools. The same assessment at the same
//! time gives the same bytes; none of them decides anything.

pub mod cyclonedx;
pub mod sarif;

use std::collections::BTreeMap;

use advisory::assess::Finding;
use advisory::matching::Subject;
use advisory::rank::{Clock, Ranking};
use model::Severity;
use model::component::Component;

use crate::failure::Failure;
use crate::show::still_open::why_open;
use crate::show::vulns::{Shown, Targets};

/// What is reported, and what it was found in.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    pub shown: &'a Shown<'a>,
    pub components: &'a [Component],
}

/// Summary and details of a record, by its id; empty where the feeds have none.
pub type Text<'a> = dyn Fn(&str) -> Result<(String, String), Failure> + 'a;

/// The components of a subject; where it is not installed any more and still runs, those that took
/// its place.
fn of_subject<'a, T>(all: &'a BTreeMap<Subject, Vec<T>>, subject: &Subject) -> &'a [T] {
    let same = |one: &&Subject| one.ecosystem == subject.ecosystem && one.name == subject.name;
    let found = all.get(subject).or_else(|| {
        let newer = all.keys().find(same)?;
        all.get(newer)
    });
    found.map_or(&[], Vec::as_slice)
}

/// Where people read on.
fn page(name: &str) -> String {
    match name.starts_with("CVE-") {
        true => format!("https://www.cve.org/CVERecord?id={name}"),
        false => format!("https://osv.dev/vulnerability/{name}"),
    }
}

/// A score for those who sort by one: the vector's, or where there is none the lowest of its
/// severity's band (CVSS 3.1, 5: "Qualitative Severity Rating Scale").
fn score(ranking: &Ranking) -> f64 {
    ranking.score.unwrap_or(match ranking.severity {
        Severity::Critical => 9.0,
        Severity::High => 7.0,
        Severity::Medium => 4.0,
        Severity::Low => 0.1,
    })
}

/// What to do, and by when, in a sentence. The version is the one that closes all that can be
/// closed of the package, as people are shown it.
fn advice(finding: &Finding, targets: &Targets<'_>) -> String {
    let (what, by) = match (why_open(finding), &finding.fixed) {
        (Some(open), _) => {
            let (first, rest) = open.split_at(1);
            (first.to_ascii_uppercase() + rest, "; due")
        }
        (None, Some(fixed)) => {
            let name = &finding.package.name;
            let target = targets.get(&finding.package);
            let what = match target.filter(|target| *target != fixed) {
                Some(target) => {
                    format!("Upgrade {name} to {target} or later (this is fixed in {fixed})")
                }
                None => format!("Upgrade {name} to {fixed} or later"),
            };
            (what, ", by")
        }
        (None, None) => ("There is no fixed version yet".to_owned(), ", by"),
    };
    match finding.ranking.due() {
        Some(due) => {
            let whose = match due.clock {
                Clock::Bod2604 | Clock::PciDss => due.clock.as_str().to_owned(),
                Clock::Team => "the team's own time".to_owned(),
            };
            format!("{what}{by} {} ({whose}).", due.date)
        }
        None => format!("{what}."),
    }
}
