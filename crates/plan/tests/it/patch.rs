//! Patches as plans: which units are restarted since they run what is replaced.

use std::collections::{BTreeMap, BTreeSet};

use model::plan::{HostIdentity, Patches, Selection};
use model::{Digest, Effect, HostPath, PackageUpgrade, Plan, Risk};
use plan::patch::{Patching, User, leaves_sessions, plan, waits_for_a_reboot};

fn user(unit: Option<&str>, maps: &str) -> User {
    User {
        unit: unit.map(str::to_owned),
        name: "a process".to_owned(),
        maps: BTreeSet::from([HostPath::literal("/usr/bin/x"), path(maps)]),
    }
}

fn path(text: &str) -> HostPath {
    HostPath::from_bytes(text.as_bytes()).expect("a path")
}

fn planned(users: Vec<User>, writes: &[&str]) -> Plan {
    let package = PackageUpgrade {
        name: "libc6".to_owned(),
        architecture: "amd64".to_owned(),
        from: Some("1".to_owned()),
        to: "2".to_owned(),
        source: None,
        origins: Vec::new(),
        security: None,
        archive: Digest::of(b""),
    };
    plan(Patching {
        host: HostIdentity {
            hostname: "web-1".to_owned(),
            machine: None,
        },
        selection: Selection {
            patches: Some(Patches::All),
            ..Selection::default()
        },
        packages: vec![package],
        unfinished: Vec::new(),
        answers: Vec::new(),
        writes: writes.iter().map(|text| path(text)).collect(),
        users,
        not_restarted: BTreeMap::from([("ci.service".to_owned(), "it is ours".to_owned())]),
        premises: Vec::new(),
        left_alone: Vec::new(),
    })
}

const LIBC: &str = "/usr/lib/libc.so.6";

fn all_users() -> Vec<User> {
    vec![
        user(Some("nginx.service"), LIBC),
        user(Some("cron.service"), "/usr/lib/other.so"),
        user(Some("ci.service"), LIBC),
        user(Some("dbus.service"), LIBC),
        user(Some("session-12.scope"), LIBC),
        user(Some("user@1000.service"), LIBC),
        user(Some("getty@tty1.service"), LIBC),
        user(None, LIBC),
    ]
}

#[test]
fn units_that_run_it_are_restarted_but_for_those_that_cannot_be() {
    let plan = planned(all_users(), &[LIBC]);
    let restarted: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|action| match &action.effect {
            Effect::Unit { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(restarted, ["nginx.service"]);
    let left: Vec<_> = plan
        .left_alone
        .iter()
        .map(|left| (left.what.as_str(), left.why.contains("it is ours")))
        .collect();
    assert_eq!(left, [("ci.service", true), ("dbus.service", false)]);
    // What is left for another reason needs no reboot.
    assert_eq!(waits_for_a_reboot(&plan), ["dbus.service"]);
    assert!(!plan.left_alone[0].why.contains("reboot"));
}

/// It is a small thing, or no patch could be made by night; whoever reads the plan knows it.
#[test]
fn a_restart_of_the_way_in_is_said() {
    let why = |unit: &str| {
        let plan = planned(vec![user(Some(unit), LIBC)], &[LIBC]);
        let restart = &plan.actions[1];
        assert_eq!(restart.risk, Risk::Service, "{unit}");
        restart.risk_why.clone().unwrap_or_default()
    };
    let of_ssh = why("ssh.service");
    assert!(
        of_ssh.starts_with("people reach this host through ssh.service"),
        "{of_ssh}"
    );
    let of_tunnel = why("openvpn@office.service");
    assert!(of_tunnel.contains("breaks off"), "{of_tunnel}");
    assert_eq!(why("nginx.service"), "");
}

#[test]
fn a_plan_is_the_same_whoever_is_signed_in() {
    let (with, mut without) = (all_users(), all_users());
    without.truncate(4);
    assert_eq!(
        planned(with.clone(), &[LIBC]),
        planned(without.clone(), &[LIBC])
    );
    let writes = BTreeSet::from([path(LIBC)]);
    assert!(leaves_sessions(&with, &writes));
    assert!(!leaves_sessions(&without, &writes));
}

#[test]
fn a_new_kernel_waits_for_a_reboot() {
    let plan = planned(Vec::new(), &["/boot/vmlinuz-6.1.0-26-amd64"]);
    let kernel = &plan.left_alone[0];
    assert_eq!(kernel.what, "the kernel");
    assert!(kernel.why.contains("until a reboot"), "{}", kernel.why);
    assert_eq!(waits_for_a_reboot(&plan), ["the kernel"]);
}

#[test]
fn an_upgrade_that_an_earlier_version_recorded_is_read() {
    let old = r#"{"upgrade": {"packages": [], "writes": ["/usr/bin/x"]}}"#;
    let effect: Effect = serde_json::from_str(old).expect("it is read");
    let Effect::Upgrade {
        limit_seconds,
        unfinished,
        ..
    } = effect
    else {
        panic!("{effect:?}");
    };
    assert_eq!((limit_seconds, unfinished.len()), (3600, 0));
}

/// What others upgraded: what is safe to restart is, and everybody else is named with the reason.
#[test]
fn restarts_alone_name_all_that_stays() {
    let old = "/usr/lib/libssl.so.3";
    let users = [
        user(Some("nginx.service"), old),
        user(Some("dbus.service"), old),
        user(Some("session-4.scope"), old),
        user(Some("job.service"), old),
        user(None, old),
    ];
    let host = HostIdentity {
        hostname: "web-1".to_owned(),
        machine: None,
    };
    let left = BTreeMap::from([("job.service".to_owned(), "it comes to its end".to_owned())]);
    let selection = Selection {
        patches: Some(Patches::Restart),
        ..Selection::default()
    };
    let plan = plan::patch::restart(host, selection, &users, &left);
    let told: Vec<_> = plan.actions.iter().map(|action| &action.effect).collect();
    let nginx = Effect::Unit {
        name: "nginx.service".to_owned(),
        op: model::UnitOp::Restart,
    };
    assert_eq!(told, [&nginx]);
    let stays: Vec<_> = plan
        .left_alone
        .iter()
        .map(|one| one.what.as_str())
        .collect();
    let name = users[4].name.as_str();
    let mut wanted = vec![name, "dbus.service", "job.service", "session-4.scope"];
    wanted.sort_unstable();
    assert_eq!(stays, wanted);
    assert_eq!(waits_for_a_reboot(&plan), ["dbus.service"]);
}
