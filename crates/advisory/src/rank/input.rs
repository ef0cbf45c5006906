//! The inputs of the decision tables, each with its source and its reason.

use std::borrow::Cow;
use std::str::FromStr;

use cvss::Cvss;
use jiff::civil::Date;
use model::{HumanImpact, Severity};
use serde::Serialize;

use super::likelihood::ChosenBy;
use super::{Automatable, Exploitation, Impact, SystemExposure};
use crate::record::{Epss, Exploited};

/// At this probability of being exploited within 30 days, code that does it is out there: the
/// threshold that FIRST's own examples use for "likely".
const EPSS_POC: f32 = 0.1;
/// And at this one, it is tried everywhere, by itself.
const EPSS_AUTOMATED: f32 = 0.5;

/// What a feed answers when asked about one vulnerability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lookup<T> {
    Known(T),
    /// The feed is there, and doesn't name it.
    NotListed,
    /// The feed ends on this day, and did not name it until then.
    NotListedUntil(Date),
    /// There is no such feed, or it ends before the vulnerability was published.
    Missing,
}

/// How far somebody could reach the component on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exposure {
    /// Mapped by a process that listens on an address that others reach.
    Outside,
    /// Mapped by a process that listens on the loopback only.
    Loopback,
    /// Mapped by a process that doesn't listen.
    Runs,
    /// Interpreters run that may have loaded it, and none of them listens for others.
    AtMostLocal,
    /// Nothing that runs has it mapped.
    Installed,
    /// Only a lockfile names it: it is meant to be installed somewhere.
    Declared,
    Unknown(Unseen),
}

/// Why nobody can tell how far a component is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// Some processes can't be looked at.
    Processes,
    /// The list of its files can't be read.
    Files,
    /// An interpreter that listens for others runs, and what it has loaded can't be seen.
    Interpreted,
    /// It is in a container image.
    Image,
    /// It is named by a document.
    Document,
    /// It is in a tree that nothing was started from yet.
    Tree,
}

impl Unseen {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processes => "some processes can't be looked at",
            Self::Files => "the list of its files can't be read",
            Self::Interpreted => {
                "an interpreter that listens on an outside address may have loaded it"
            }
            Self::Image => "what runs of container images is not looked at",
            Self::Document => "a document does not say what runs",
            Self::Tree => "a tree does not say what will run from it",
        }
    }
}

/// What is known about one finding.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub kev: Lookup<Exploited>,
    pub epss: Lookup<Epss>,
    /// A CVSS vector.
    pub cvss: Option<&'a str>,
    /// The distribution's own word.
    pub urgency: Option<&'a str>,
    pub exposure: Exposure,
    pub human_impact: Option<HumanImpact>,
    pub has_fix: bool,
    pub fix_published: Option<Date>,
    pub published: Option<Date>,
    /// Who has published an advisory of their own about it.
    pub chosen_by: ChosenBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    Exploitation,
    Exposure,
    Automatable,
    TechnicalImpact,
    HumanImpact,
    Severity,
}

impl Name {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exploitation => "exploitation",
            Self::Exposure => "exposure",
            Self::Automatable => "automatable",
            Self::TechnicalImpact => "impact",
            Self::HumanImpact => "human impact",
            Self::Severity => "severity",
        }
    }
}

/// Is it known, or what was taken in its place?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    Known,
    /// It is not, and the worse branch was taken.
    WorseBranch,
    /// It is not, and what is usual was taken: the worst is true of few, and would be said of all.
    Usual,
}

/// One input, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Input {
    pub name: Name,
    pub value: &'static str,
    pub known: Known,
    /// Where it comes from: `CISA KEV`.
    pub source: &'static str,
    pub reason: Cow<'static, str>,
}

pub(super) struct Inputs {
    /// With what is taken for the unknown.
    pub taken: Values,
    /// With the least in place of the unknown: what is decided by what is known.
    pub sure: Values,
    pub severity: Severity,
    pub score: Option<f64>,
    pub shown: Vec<Input>,
}

/// What the tables ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    pub exploitation: Exploitation,
    /// Of the vulnerability: one that takes a local account is not reached through the network.
    pub exposure: SystemExposure,
    /// Of the host.
    pub is_exposed: bool,
    pub automatable: Automatable,
    pub impact: Impact,
    pub human_impact: HumanImpact,
}

/// A value and what is said of it.
struct Because<T> {
    value: T,
    known: Known,
    source: &'static str,
    reason: Cow<'static, str>,
}

fn known<T>(value: T, source: &'static str, reason: impl Into<Cow<'static, str>>) -> Because<T> {
    Because {
        value,
        known: Known::Known,
        source,
        reason: reason.into(),
    }
}

fn worse<T>(value: T, source: &'static str, reason: impl Into<Cow<'static, str>>) -> Because<T> {
    Because {
        known: Known::WorseBranch,
        ..known(value, source, reason)
    }
}

fn usual<T>(value: T, source: &'static str, reason: impl Into<Cow<'static, str>>) -> Because<T> {
    Because {
        known: Known::Usual,
        ..known(value, source, reason)
    }
}

impl<T: Copy> Because<T> {
    /// The value where it is known, and otherwise the least.
    fn sure(&self, least: T) -> T {
        match self.known {
            Known::Known => self.value,
            Known::WorseBranch | Known::Usual => least,
        }
    }
}

impl Inputs {
    pub fn of(facts: &Facts<'_>) -> Self {
        let vector = facts.cvss.map(Cvss::from_str);
        let vector = match &vector {
            Some(Ok(vector)) => Ok(vector),
            Some(Err(_)) => Err("its CVSS vector can't be read"),
            None => Err("the feeds have no CVSS vector for it"),
        };
        let exploitation = exploitation(facts);
        let of_host = exposure(facts.exposure);
        let exposure = reached(&of_host, facts, vector);
        let automatable = automatable(facts, vector);
        let impact = impact(facts, vector);
        let human_impact = human_impact(facts, &impact, exploitation.value);
        let score = vector.ok().map(Cvss::score);
        let severity = severity(facts, vector);
        let shown = vec![
            shown(Name::Exploitation, &exploitation, |value| match value {
                Exploitation::None => "none",
                Exploitation::PublicPoc => "public poc",
                Exploitation::Active => "active",
            }),
            shown(Name::Exposure, &exposure, |value| match value {
                SystemExposure::Small => "small",
                SystemExposure::Controlled => "controlled",
                SystemExposure::Open => "open",
            }),
            shown(Name::Automatable, &automatable, |value| match value {
                Automatable::No => "no",
                Automatable::Yes => "yes",
            }),
            shown(Name::TechnicalImpact, &impact, |value| match value {
                Impact::Partial => "partial",
                Impact::Total => "total",
            }),
            shown(Name::HumanImpact, &human_impact, |value| value.as_str()),
            shown(Name::Severity, &severity, |value| value.as_str()),
        ];
        Self {
            taken: Values {
                exploitation: exploitation.value,
                exposure: exposure.value,
                is_exposed: of_host.value == SystemExposure::Open,
                automatable: automatable.value,
                impact: impact.value,
                human_impact: human_impact.value,
            },
            sure: Values {
                exploitation: exploitation.sure(Exploitation::None),
                exposure: exposure.sure(SystemExposure::Small),
                is_exposed: of_host.sure(SystemExposure::Small) == SystemExposure::Open,
                automatable: automatable.sure(Automatable::No),
                impact: impact.sure(Impact::Partial),
                human_impact: human_impact.sure(HumanImpact::Low),
            },
            severity: severity.value,
            score,
            shown,
        }
    }
}

fn shown<T: Copy>(name: Name, because: &Because<T>, text: fn(T) -> &'static str) -> Input {
    Input {
        name,
        value: text(because.value),
        known: because.known,
        source: because.source,
        reason: because.reason.clone(),
    }
}

/// Active: in KEV. A proof of concept: a vector that says so, or a score that means it.
fn exploitation(facts: &Facts<'_>) -> Because<Exploitation> {
    match facts.kev {
        Lookup::Known(entry) => {
            let ransomware = if entry.ransomware {
                ", also for ransomware"
            } else {
                ""
            };
            let reason = format!("known to be exploited since {}{ransomware}", entry.added);
            return known(Exploitation::Active, "CISA KEV", reason);
        }
        Lookup::Missing => {
            let reason = "no feed of known exploited vulnerabilities is as new as it";
            return worse(Exploitation::PublicPoc, "CISA KEV", reason);
        }
        Lookup::NotListed | Lookup::NotListedUntil(_) => {}
    }
    let until = match facts.kev {
        Lookup::NotListedUntil(day) => format!("not known to be exploited until {day}"),
        _ => "not known to be exploited".to_owned(),
    };
    match facts.epss {
        Lookup::Known(epss) if epss.score >= EPSS_POC => {
            known(Exploitation::PublicPoc, "EPSS", likely(epss))
        }
        Lookup::Known(epss) => {
            let reason = format!("{until}; {}", likely(epss));
            known(Exploitation::None, "CISA KEV, EPSS", reason)
        }
        // Few vulnerabilities ever get an exploit that is public, and EPSS scores all but the
        // newest.
        Lookup::NotListed | Lookup::NotListedUntil(_) => {
            let reason = format!("{until}; it has no EPSS score");
            usual(Exploitation::None, "CISA KEV", reason)
        }
        Lookup::Missing => {
            let reason = format!("{until}; there is no feed of EPSS scores as new as it");
            usual(Exploitation::None, "CISA KEV", reason)
        }
    }
}

/// How far the vulnerability can be reached on a host that is reached so far: "Local: the
/// vulnerable component is not bound to the network stack and the attacker's path is via read/write/
/// execute capabilities" (CVSS 3.1, 2.1.1). Whoever opens a file that somebody sent is one of those
/// who have them.
fn reached(
    of_host: &Because<SystemExposure>,
    facts: &Facts<'_>,
    vector: Result<&Cvss, &'static str>,
) -> Because<SystemExposure> {
    if vector.is_ok() && is_local(facts) && of_host.value == SystemExposure::Open {
        let reason = format!(
            "its vector takes somebody who is on the host already; for BOD 26-04 the host counts, \
             as open: {}",
            of_host.reason
        );
        return known(SystemExposure::Small, "CVSS", reason);
    }
    Because {
        value: of_host.value,
        known: of_host.known,
        source: of_host.source,
        reason: of_host.reason.clone(),
    }
}

fn is_local(facts: &Facts<'_>) -> bool {
    has(facts.cvss, "AV:L") || has(facts.cvss, "AV:P")
}

/// The distribution's `unimportant` is about this package as it is built: "the package is affected
/// in a way that has no impact on security" (Debian, security tracker, severity levels). Where
/// nobody has said what a compromise would do, exploitation and technical impact are what there is to
/// go by.
fn human_impact(
    facts: &Facts<'_>,
    impact: &Because<Impact>,
    exploitation: Exploitation,
) -> Because<HumanImpact> {
    if is_unimportant(facts) {
        return known(HumanImpact::Low, "the distribution", "`unimportant`");
    }
    let is_bad = impact.sure(Impact::Partial) == Impact::Total;
    let usually = match is_bad || exploitation == Exploitation::Active {
        true => HumanImpact::High,
        false => HumanImpact::Medium,
    };
    match facts.human_impact {
        Some(impact) => known(impact, "given", "as the organisation said"),
        None => usual(
            usually,
            "nobody",
            "nobody has said it: high where it is exploited or the technical impact is known to be \
             total, and otherwise medium",
        ),
    }
}

pub(super) fn is_unimportant(facts: &Facts<'_>) -> bool {
    facts.urgency == Some("unimportant")
}

fn likely(epss: Epss) -> String {
    format!(
        "exploited within 30 days with a probability of {:.3}",
        epss.score
    )
}

/// "Small: local service or program; highly controlled network. Controlled: networked service
/// with some access restrictions or mitigations already in place." (System Exposure 1.0.1)
fn exposure(exposure: Exposure) -> Because<SystemExposure> {
    const HOST: &str = "this host";
    match exposure {
        Exposure::Outside => known(
            SystemExposure::Open,
            HOST,
            "a process that listens on an outside address has it mapped",
        ),
        Exposure::Loopback => known(
            SystemExposure::Small,
            HOST,
            "processes that have it mapped listen on the loopback only",
        ),
        Exposure::Runs => known(
            SystemExposure::Small,
            HOST,
            "processes have it mapped, and none of them listens",
        ),
        Exposure::Installed => known(
            SystemExposure::Small,
            HOST,
            "installed, and nothing that runs has it mapped",
        ),
        Exposure::AtMostLocal => known(
            SystemExposure::Small,
            HOST,
            "interpreters that may have loaded it do not listen on an outside address",
        ),
        Exposure::Declared => known(
            SystemExposure::Small,
            HOST,
            "a lockfile names it, and nothing of it was found installed",
        ),
        // Nobody looked at a host.
        Exposure::Unknown(why @ Unseen::Document) => {
            worse(SystemExposure::Open, "the document", why.as_str())
        }
        Exposure::Unknown(why @ Unseen::Tree) => {
            worse(SystemExposure::Open, "the tree", why.as_str())
        }
        Exposure::Unknown(why) => worse(SystemExposure::Open, HOST, why.as_str()),
    }
}

/// "Attackers can reliably automate steps 1-4 of the kill chain": over the network, without
/// conditions, rights or a person who helps (Automatable 2.0.0).
fn automatable(facts: &Facts<'_>, vector: Result<&Cvss, &'static str>) -> Because<Automatable> {
    use Automatable::{No, Yes};
    if let Lookup::Known(epss) = facts.epss
        && epss.score >= EPSS_AUTOMATED
    {
        return known(Yes, "EPSS", likely(epss));
    }
    let said = match vector {
        Ok(Cvss::CvssV40(_)) => {
            // "Automatable (AU)" is a metric of its own there.
            let easy = has_all(facts.cvss, &["AV:N", "AC:L", "AT:N", "PR:N", "UI:N"]);
            has(facts.cvss, "AU:Y") || !has(facts.cvss, "AU:N") && easy
        }
        Ok(Cvss::CvssV20(_)) => has_all(facts.cvss, &["AV:N", "AC:L", "Au:N"]),
        Ok(_) => has_all(facts.cvss, &["AV:N", "AC:L", "PR:N", "UI:N"]),
        Err(why) => return worse(Yes, "CVSS", why),
    };
    let value = if said { Yes } else { No };
    known(value, "CVSS", facts.cvss.unwrap_or_default().to_owned())
}

/// "Total: the exploit gives the adversary total control over the behavior of the software, or it
/// gives total disclosure of all information on the system" (Technical Impact 1.0.0).
fn impact(facts: &Facts<'_>, vector: Result<&Cvss, &'static str>) -> Because<Impact> {
    let vector = match vector {
        Ok(vector) => vector,
        Err(why) => return worse(Impact::Total, "CVSS", why),
    };
    let has = |metric: &str| has(facts.cvss, metric);
    let total = match vector {
        Cvss::CvssV40(_) => has("VC:H") && has("VI:H") || has("SC:H") && has("SI:H"),
        Cvss::CvssV20(_) => has("C:C") && has("I:C"),
        _ => has("C:H") && has("I:H"),
    };
    let value = if total {
        Impact::Total
    } else {
        Impact::Partial
    };
    known(value, "CVSS", facts.cvss.unwrap_or_default().to_owned())
}

/// Is the metric among those of the vector?
pub(super) fn has(vector: Option<&str>, metric: &str) -> bool {
    vector.is_some_and(|vector| vector.split('/').any(|said| said == metric))
}

fn has_all(vector: Option<&str>, metrics: &[&str]) -> bool {
    metrics.iter().all(|metric| has(vector, metric))
}

/// By the vector's own scale; without one, by the distribution's word.
fn severity(facts: &Facts<'_>, vector: Result<&Cvss, &'static str>) -> Because<Severity> {
    let why = match vector {
        Ok(vector) => {
            let severity = match vector.severity() {
                cvss::Severity::Critical => Severity::Critical,
                cvss::Severity::High => Severity::High,
                cvss::Severity::Medium => Severity::Medium,
                cvss::Severity::Low | cvss::Severity::None => Severity::Low,
            };
            return known(severity, "CVSS", format!("{:.1}", vector.score()));
        }
        Err(why) => why,
    };
    let said = match facts.urgency {
        Some("high") => Some(Severity::High),
        Some("medium") => Some(Severity::Medium),
        Some("low" | "unimportant") => Some(Severity::Low),
        _ => None,
    };
    match (said, facts.urgency) {
        (Some(severity), Some(urgency)) => {
            known(severity, "the distribution", format!("`{urgency}`"))
        }
        _ => usual(Severity::Medium, "CVSS", why),
    }
}
