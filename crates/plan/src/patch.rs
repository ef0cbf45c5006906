//! A patch as a plan: one upgrade of packages that was rehearsed, and the services that run what
//! it replaces, told at its end.

use std::collections::{BTreeMap, BTreeSet};

use model::effect::USUAL_LIMIT_SECONDS;
use model::patching::DebconfAnswer;
use model::plan::{HostIdentity, LeftAlone, PLAN_FORMAT, Selection};
use model::{
    Action, ActionId, Effect, HostPath, Inverse, PackageUpgrade, Plan, Premise, Risk, UnitOp,
};

use crate::converge::validator_of_unit;
use crate::risk;

/// A running process that uses files of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// systemd's unit that it belongs to; none where it belongs to nobody's.
    pub unit: Option<String>,
    /// What it is called (proc_pid_comm(5)).
    pub name: String,
    /// What it has mapped.
    pub maps: BTreeSet<HostPath>,
}

/// What a patch is planned from.
pub struct Patching {
    pub host: HostIdentity,
    /// What was asked for.
    pub selection: Selection,
    pub packages: Vec<PackageUpgrade>,
    /// What dpkg left unfinished, where that is repaired.
    pub unfinished: Vec<String>,
    /// Answers to what these packages ask.
    pub answers: Vec<DebconfAnswer>,
    /// What the rehearsal wrote.
    pub writes: BTreeSet<HostPath>,
    pub users: Vec<User>,
    /// Units that are not restarted, and why: the one that Steadfast itself runs in, and those
    /// that come to their end by themselves.
    pub not_restarted: BTreeMap<String, String>,
    /// The package manager's database, as it was when all this was found out.
    pub premises: Vec<Premise>,
    /// Pending upgrades that are not taken, and why.
    pub left_alone: Vec<LeftAlone>,
}

/// Units that can't be restarted under everybody's feet: what they run goes on with the old
/// files until the machine starts anew.
const LEFT_FOR_A_REBOOT: [(&str, &str); 11] = [
    ("gdm.service", "people's screens hang on it"),
    ("gdm3.service", "people's screens hang on it"),
    ("lightdm.service", "people's screens hang on it"),
    ("sddm.service", "people's screens hang on it"),
    ("dbus.service", "every service talks through it"),
    ("dbus-broker.service", "every service talks through it"),
    ("systemd-logind.service", "sessions hang on it"),
    ("init.scope", "it is systemd itself"),
    ("systemd-networkd.service", "the network hangs on it"),
    ("NetworkManager.service", "the network hangs on it"),
    ("systemd-udevd.service", "devices hang on it"),
];

/// What the upgrade serves, in plans and reports.
pub const SERVES: &str = "patches";

/// What is new with `/boot/vmlinuz-*`, among what goes on as it is.
const KERNEL: &str = "the kernel";
/// How a plan says that only a reboot brings something to the new files.
const UNTIL_A_REBOOT: &str = "goes on with what it has mapped, until a reboot";

/// What runs on with the old files until a reboot, when this plan is carried out: units, and the
/// kernel.
pub fn waits_for_a_reboot(plan: &Plan) -> Vec<&str> {
    let left = plan.left_alone.iter();
    left.filter(|left| left.why.starts_with(UNTIL_A_REBOOT))
        .map(|left| left.what.as_str())
        .collect()
}

/// The plan; without actions where nothing is pending.
pub fn plan(patching: Patching) -> Plan {
    let Patching {
        host,
        selection,
        packages,
        unfinished,
        answers,
        writes,
        users,
        not_restarted,
        premises,
        mut left_alone,
    } = patching;
    let mut actions = Vec::new();
    if !packages.is_empty() || !unfinished.is_empty() {
        let (restarts, mut stay) = served(&users, &writes, &not_restarted);
        let kernel = |path: &&HostPath| path.as_bytes().starts_with(b"/boot/vmlinuz");
        if let Some(path) = writes.iter().find(kernel) {
            stay.insert(KERNEL.to_owned(), format!("{path} is new"));
        }
        let risk = risk::of_upgrade(&packages);
        actions.push(Action {
            risk: risk.as_ref().map_or(Risk::Service, |touched| touched.risk),
            risk_why: Some(risk.map_or_else(
                || "the packages' own scripts may restart what is theirs".to_owned(),
                |touched| touched.why,
            )),
            rests_on: (0..).take(premises.len()).collect(),
            ..action(
                0,
                Effect::Upgrade {
                    packages,
                    writes: writes.into_iter().collect(),
                    unfinished,
                    answers,
                    removals: Vec::new(),
                    named: Vec::new(),
                    limit_seconds: selection.limit_seconds.unwrap_or(USUAL_LIMIT_SECONDS),
                },
                Inverse::Restore,
            )
        });
        for unit in restarts {
            let place = u32::try_from(actions.len()).unwrap_or(u32::MAX);
            actions.push(Action {
                after: vec![ActionId(0)],
                ..restart_of(unit, place)
            });
        }
        left_alone.extend(left_running(stay));
    }
    Plan {
        format: PLAN_FORMAT,
        host,
        selection: Selection {
            all_or_nothing: true,
            ..selection
        },
        actions,
        left_alone,
        premises,
    }
}

fn restart_of(unit_name: String, place: u32) -> Action {
    let effect = Effect::Unit {
        name: unit_name.clone(),
        op: UnitOp::Restart,
    };
    Action {
        risk: Risk::Service,
        risk_why: risk::of_restart(&unit_name),
        validate: validator_of_unit(&effect),
        ..action(place, effect, Inverse::Repeat)
    }
}

/// What runs the old files of upgrades that are done, whoever made them, as a plan of restarts. `users`
/// have these files mapped, and nothing else.
pub fn restart(
    host: HostIdentity,
    selection: Selection,
    users: &[User],
    not_restarted: &BTreeMap<String, String>,
) -> Plan {
    let old: BTreeSet<HostPath> = users.iter().flat_map(|user| user.maps.clone()).collect();
    let (restarts, mut stay) = served(users, &old, not_restarted);
    let actions = restarts.into_iter().zip(0..);
    let actions = actions
        .map(|(unit, place)| restart_of(unit, place))
        .collect();
    // Here everybody who stays is named: the command is about nothing else.
    for user in users.iter().filter(|user| !user.maps.is_empty()) {
        match &user.unit {
            None => stay.insert(user.name.clone(), "it is of no service".to_owned()),
            Some(unit) if is_a_session(unit) => {
                stay.insert(unit.clone(), "somebody is signed in".to_owned())
            }
            Some(_) => None,
        };
    }
    Plan {
        format: PLAN_FORMAT,
        host,
        selection: Selection {
            all_or_nothing: true,
            ..selection
        },
        actions,
        left_alone: left_running(stay),
        premises: Vec::new(),
    }
}

/// What goes on as it is, and why.
fn left_running(stay: BTreeMap<String, String>) -> Vec<LeftAlone> {
    let said = |(what, why): (String, String)| LeftAlone {
        why: match what.as_str() == KERNEL || left_for_a_reboot(&what).is_some() {
            true => format!("{UNTIL_A_REBOOT}: {why}"),
            false => format!("goes on with what it has mapped: {why}"),
        },
        what,
        at: Vec::new(),
    };
    stay.into_iter().map(said).collect()
}

fn action(place: u32, effect: Effect, inverse: Inverse) -> Action {
    Action {
        id: ActionId(place),
        serves: vec![SERVES.to_owned()],
        effect,
        inverse,
        rests_on: Vec::new(),
        after: Vec::new(),
        change_set: 0,
        risk: Risk::None,
        risk_why: None,
        validate: None,
        sensitive: false,
        decided_on_host: false,
        along: model::plan::Along::default(),
        edit: None,
    }
}

/// The units that are restarted since they run what is replaced, and those that can't be. People's
/// sessions, and what is no unit's, come and go: they are in no plan.
fn served(
    users: &[User],
    writes: &BTreeSet<HostPath>,
    not_restarted: &BTreeMap<String, String>,
) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let mut restarts = BTreeSet::new();
    let mut stay = BTreeMap::new();
    for user in users.iter().filter(|user| !user.maps.is_disjoint(writes)) {
        let Some(unit) = user.unit.as_ref().filter(|unit| !is_a_session(unit)) else {
            continue;
        };
        let why = not_restarted.get(unit).map(String::as_str);
        match why.or_else(|| left_for_a_reboot(unit)) {
            Some(why) => {
                stay.insert(unit.clone(), why.to_owned());
            }
            None => {
                restarts.insert(unit.clone());
            }
        }
    }
    (restarts, stay)
}

/// Do people's sessions, or processes of no unit, go on with what is replaced?
pub fn leaves_sessions(users: &[User], writes: &BTreeSet<HostPath>) -> bool {
    users
        .iter()
        .filter(|user| user.unit.as_ref().is_none_or(|unit| is_a_session(unit)))
        .any(|user| !user.maps.is_disjoint(writes))
}

/// People's sessions, the managers of their own services, and where somebody may be signed in.
pub fn is_a_session(unit: &str) -> bool {
    const BEGIN: [&str; 5] = [
        "user@",
        "getty@",
        "serial-getty@",
        "console-getty",
        "container-getty@",
    ];
    unit.ends_with(".scope") && unit != "init.scope"
        || BEGIN.iter().any(|begin| unit.starts_with(begin))
}

/// Why a unit is not restarted while the machine runs; none where it may be.
pub fn left_for_a_reboot(unit: &str) -> Option<&'static str> {
    LEFT_FOR_A_REBOOT
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, why)| *why)
}
