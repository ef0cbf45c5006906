//! The decision tables against their published rows, the inputs, and the clocks.

use std::collections::BTreeMap;

use advisory::rank::{
    Automatable, ChosenBy, Clock, Clocks, Decision, Exploitation, Exposure, Facts, HumanImpact,
    Impact, Known, Lookup, Name, Ranking, SystemExposure, Timeline, Unseen, bod_26_04, rank,
    ssvc_deployer,
};
use advisory::record::{Epss, Exploited};
use jiff::civil::date;
use model::Severity;

const EASY: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
const LOCAL: &str = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:N/A:N";

/// Known in all, and harmless.
fn facts<'a>() -> Facts<'a> {
    Facts {
        kev: Lookup::NotListed,
        epss: Lookup::Known(Epss {
            score: 0.001,
            percentile: 0.1,
        }),
        cvss: Some(LOCAL),
        urgency: None,
        exposure: Exposure::Installed,
        human_impact: Some(HumanImpact::Low),
        has_fix: true,
        fix_published: Some(date(2026, 1, 31)),
        published: Some(date(2026, 1, 1)),
        chosen_by: ChosenBy::Nobody,
    }
}

fn exploited() -> Lookup<Exploited> {
    Lookup::Known(Exploited {
        added: date(2026, 2, 1),
        due: None,
        ransomware: false,
    })
}

fn epss<'a>(score: f32) -> Facts<'a> {
    Facts {
        epss: Lookup::Known(Epss {
            score,
            percentile: 0.99,
        }),
        ..facts()
    }
}

fn input(ranking: &Ranking, name: Name) -> (&'static str, Known) {
    let input = ranking.inputs.iter().find(|input| input.name == name);
    let input = input.expect("every input is shown");
    assert!(
        !input.reason.is_empty() && !input.source.is_empty(),
        "{input:?}"
    );
    (input.value, input.known)
}

#[test]
fn every_input_has_its_source_and_what_is_unknown_is_said() {
    let base = facts();
    let (known, worse, usual) = (Known::Known, Known::WorseBranch, Known::Usual);
    let v4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
    let v4_by_hand = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N/AU:N";
    let missing = Facts {
        kev: Lookup::Missing,
        epss: Lookup::Missing,
        cvss: None,
        exposure: Exposure::Unknown(Unseen::Processes),
        human_impact: None,
        ..base
    };
    let with = |cvss| Facts {
        cvss: Some(cvss),
        ..base
    };
    let at = |exposure| Facts { exposure, ..base };
    let urgency = |urgency| Facts {
        cvss: None,
        urgency: Some(urgency),
        ..base
    };
    let unscored = Facts {
        epss: Lookup::NotListed,
        ..base
    };
    let listed = Facts {
        kev: exploited(),
        ..base
    };
    let until = Facts {
        kev: Lookup::NotListedUntil(date(2026, 1, 15)),
        ..base
    };
    let until_unscored = Facts {
        epss: Lookup::Missing,
        ..until
    };
    let total_local = "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H";
    let unsaid = |cvss| Facts {
        human_impact: None,
        ..with(cvss)
    };
    let reached = |cvss, exposure| Facts {
        exposure,
        ..with(cvss)
    };
    let stated = Facts {
        human_impact: Some(HumanImpact::VeryHigh),
        ..urgency("unimportant")
    };
    let cases = [
        (base, Name::Exploitation, ("none", known)),
        (listed, Name::Exploitation, ("active", known)),
        (missing, Name::Exploitation, ("public poc", worse)),
        (until, Name::Exploitation, ("none", known)),
        (until_unscored, Name::Exploitation, ("none", usual)),
        (unscored, Name::Exploitation, ("none", usual)),
        (epss(0.2), Name::Exploitation, ("public poc", known)),
        (at(Exposure::Outside), Name::Exposure, ("small", known)),
        (at(Exposure::Loopback), Name::Exposure, ("small", known)),
        (at(Exposure::Runs), Name::Exposure, ("small", known)),
        (at(Exposure::Installed), Name::Exposure, ("small", known)),
        (at(Exposure::Declared), Name::Exposure, ("small", known)),
        (at(Exposure::AtMostLocal), Name::Exposure, ("small", known)),
        (
            reached(EASY, Exposure::Unknown(Unseen::Interpreted)),
            Name::Exposure,
            ("open", worse),
        ),
        (missing, Name::Exposure, ("open", worse)),
        (base, Name::Automatable, ("no", known)),
        (with(EASY), Name::Automatable, ("yes", known)),
        (with(v4), Name::Automatable, ("yes", known)),
        (with(v4_by_hand), Name::Automatable, ("no", known)),
        (
            with("AV:N/AC:L/Au:N/C:P/I:P/A:P"),
            Name::Automatable,
            ("yes", known),
        ),
        (epss(0.7), Name::Automatable, ("yes", known)),
        (missing, Name::Automatable, ("yes", worse)),
        (with("no vector"), Name::Automatable, ("yes", worse)),
        (base, Name::TechnicalImpact, ("partial", known)),
        (with(EASY), Name::TechnicalImpact, ("total", known)),
        (with(v4), Name::TechnicalImpact, ("total", known)),
        (
            with("AV:N/AC:L/Au:N/C:C/I:C/A:C"),
            Name::TechnicalImpact,
            ("total", known),
        ),
        (missing, Name::TechnicalImpact, ("total", worse)),
        (base, Name::HumanImpact, ("low", known)),
        (missing, Name::HumanImpact, ("medium", usual)),
        (unsaid(EASY), Name::HumanImpact, ("high", usual)),
        (unsaid(LOCAL), Name::HumanImpact, ("medium", usual)),
        // The distribution knows its package better than anybody knows the impact of all.
        (stated, Name::HumanImpact, ("low", known)),
        // Who is not on the host can't use it, however far the host is reached.
        (
            reached(total_local, Exposure::Outside),
            Name::Exposure,
            ("small", known),
        ),
        (
            reached(total_local, Exposure::Unknown(Unseen::Tree)),
            Name::Exposure,
            ("small", known),
        ),
        (
            reached(EASY, Exposure::Outside),
            Name::Exposure,
            ("open", known),
        ),
        (with(EASY), Name::Severity, ("critical", known)),
        (base, Name::Severity, ("medium", known)),
        (urgency("unimportant"), Name::Severity, ("low", known)),
        (urgency("end-of-life"), Name::Severity, ("medium", usual)),
        (missing, Name::Severity, ("medium", usual)),
    ];
    for (facts, name, expected) in cases {
        let ranking = rank(&facts, &Clocks::default());
        assert_eq!(input(&ranking, name), expected, "{name:?} of {facts:?}");
    }
}

#[test]
fn the_strictest_clock_governs() {
    let team = Clocks {
        team: BTreeMap::from([(Severity::Critical, 10), (Severity::Medium, 90)]),
        ..Clocks::default()
    };
    let urgent = Facts {
        kev: exploited(),
        cvss: Some(EASY),
        ..facts()
    };
    let worst = Facts {
        exposure: Exposure::Outside,
        ..urgent
    };
    let undated = Facts {
        fix_published: None,
        ..urgent
    };
    let dateless = Facts {
        published: None,
        ..undated
    };
    let unfixed = Facts {
        has_fix: false,
        ..urgent
    };
    // (facts, clocks, due dates with their clocks)
    let cases = [
        // One month from 31 January is the last day of February.
        (
            urgent,
            Clocks::default(),
            vec![
                (date(2026, 2, 3), Clock::Bod2604),
                (date(2026, 2, 28), Clock::PciDss),
            ],
        ),
        (
            worst,
            team.clone(),
            vec![
                (date(2026, 2, 3), Clock::Bod2604),
                (date(2026, 2, 10), Clock::Team),
                (date(2026, 2, 28), Clock::PciDss),
            ],
        ),
        // "Fix on system upgrade": only the team's own clock runs.
        (facts(), Clocks::default(), vec![]),
        (facts(), team.clone(), vec![(date(2026, 5, 1), Clock::Team)]),
        // From the publication, which is never later than the fix.
        (
            undated,
            Clocks::default(),
            vec![
                (date(2026, 1, 4), Clock::Bod2604),
                (date(2026, 2, 1), Clock::PciDss),
            ],
        ),
        (dateless, team.clone(), vec![]),
        (unfixed, team, vec![]),
    ];
    for (facts, clocks, expected) in cases {
        let ranking = rank(&facts, &clocks);
        let seen: Vec<_> = ranking
            .due
            .iter()
            .map(|due| (due.date, due.clock))
            .collect();
        assert_eq!(seen, expected, "{facts:?}");
    }
    let ranking = rank(&urgent, &Clocks::default());
    assert!(!ranking.is_overdue(date(2026, 2, 3)));
    assert!(ranking.is_overdue(date(2026, 2, 4)));
    assert_eq!(ranking.timeline, Timeline::Days3Forensic);
}

/// What is unknown makes nothing immediate: neither the class nor the time.
#[test]
fn only_what_is_known_is_immediate() {
    let worst = Facts {
        kev: exploited(),
        cvss: Some(EASY),
        exposure: Exposure::Outside,
        human_impact: Some(HumanImpact::High),
        ..facts()
    };
    let unknown = Facts {
        kev: Lookup::Missing,
        epss: Lookup::Missing,
        cvss: None,
        exposure: Exposure::Unknown(Unseen::Tree),
        human_impact: None,
        ..facts()
    };
    use Decision::{Defer, Immediate, OutOfCycle, Scheduled};
    let cases = [
        ("all is known", worst, Immediate, Timeline::Days3Forensic),
        (
            "no human impact",
            Facts {
                human_impact: None,
                ..worst
            },
            OutOfCycle,
            Timeline::Days3Forensic,
        ),
        (
            "no vector",
            Facts {
                cvss: None,
                ..worst
            },
            OutOfCycle,
            Timeline::Days14,
        ),
        (
            "no EPSS",
            Facts {
                epss: Lookup::NotListed,
                ..worst
            },
            Immediate,
            Timeline::Days3Forensic,
        ),
        (
            "a tree",
            Facts {
                exposure: Exposure::Unknown(Unseen::Tree),
                ..worst
            },
            OutOfCycle,
            Timeline::Days3Forensic,
        ),
        ("nothing is known", unknown, Scheduled, Timeline::Days14),
        (
            "unimportant, and exploited elsewhere",
            Facts {
                urgency: Some("unimportant"),
                ..worst
            },
            Scheduled,
            Timeline::Days3Forensic,
        ),
        (
            "unimportant, and local",
            Facts {
                urgency: Some("unimportant"),
                cvss: Some(LOCAL),
                epss: Lookup::NotListed,
                kev: Lookup::NotListedUntil(date(2026, 1, 15)),
                ..unknown
            },
            Defer,
            Timeline::Days60,
        ),
    ];
    for (case, facts, priority, timeline) in cases {
        let ranking = rank(&facts, &Clocks::default());
        assert_eq!(
            (ranking.priority, ranking.timeline),
            (priority, timeline),
            "{case}"
        );
    }
}

/// Whatever gets worse, nothing becomes less urgent.
#[test]
fn the_tables_never_fall() {
    const EXPLOITATION: [Exploitation; 3] = [
        Exploitation::None,
        Exploitation::PublicPoc,
        Exploitation::Active,
    ];
    const EXPOSURE: [SystemExposure; 3] = [
        SystemExposure::Small,
        SystemExposure::Controlled,
        SystemExposure::Open,
    ];
    const HUMAN: [HumanImpact; 4] = [
        HumanImpact::Low,
        HumanImpact::Medium,
        HumanImpact::High,
        HumanImpact::VeryHigh,
    ];
    let decide = |at: [usize; 4]| -> Option<Decision> {
        Some(ssvc_deployer(
            *EXPLOITATION.get(at[0])?,
            *EXPOSURE.get(at[1])?,
            *[Automatable::No, Automatable::Yes].get(at[2])?,
            *HUMAN.get(at[3])?,
        ))
    };
    let timeline = |at: [usize; 4]| -> Option<Timeline> {
        Some(bod_26_04(
            *[false, true].get(at[0])?,
            *[false, true].get(at[1])?,
            *[Automatable::No, Automatable::Yes].get(at[2])?,
            *[Impact::Partial, Impact::Total].get(at[3])?,
        ))
    };
    for place in 0..81 {
        let at = [place / 27, place / 9 % 3, place / 3 % 3, place % 3];
        for input in 0..4 {
            let mut worse = at;
            worse[input] += 1;
            if let (Some(before), Some(after)) = (decide(at), decide(worse)) {
                assert!(after >= before, "{at:?}, {input}");
            }
            if let (Some(before), Some(after)) = (timeline(at), timeline(worse)) {
                assert!(
                    after.days().is_some() || before.days().is_none(),
                    "{at:?}, {input}"
                );
                assert!(
                    after.days().unwrap_or(999) <= before.days().unwrap_or(999),
                    "{at:?}"
                );
            }
        }
    }
}
