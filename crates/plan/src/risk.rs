//! What an effect could do to people by the very thing that it touches, whatever a rule says
//! of itself: the one table of what carries sign-ins and connections. Decides only; what is
//! of risk `connectivity` is confirmed or taken back.
//!
//! A risk is told from what is there now and what will be there, so that what takes nothing
//! away (a new key in `authorized_keys`, a mode that root's programs do not mind) stays a
//! small thing.

mod accounts;
mod files;
mod limits;

use model::{Blob, Effect, HostPath, PackageOp, PackageUpgrade, Risk, UnitOp};
use resource::kind::apt_sources::other_keys;
use resource::kind::ways_to_root::WaysToRoot;
use resource::notify::{carries_connections, lets_people_in};
use resource::{Answers, Seen};

/// The risk of an effect, and why: a part of a sentence that names the thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    pub risk: Risk,
    pub why: String,
}

impl Touched {
    fn cuts_off(why: impl Into<String>) -> Option<Self> {
        Some(Self {
            risk: Risk::Connectivity,
            why: why.into(),
        })
    }

    fn takes_rights(why: impl Into<String>) -> Option<Self> {
        Some(Self {
            risk: Risk::Access,
            why: why.into(),
        })
    }

    fn disturbs(why: impl Into<String>) -> Option<Self> {
        Some(Self {
            risk: Risk::Service,
            why: why.into(),
        })
    }
}

/// What `effect` could do to people, as far as the thing that it touches tells. None: nothing
/// beyond what its rule declares.
pub fn of(effect: &Effect, seen: &Answers) -> Option<Touched> {
    of_one(effect, seen, &WaysToRoot::read(seen).0)
}

/// The same for one of many, of which `ways` was read once.
pub(crate) fn of_one(effect: &Effect, seen: &Answers, ways: &WaysToRoot) -> Option<Touched> {
    match effect {
        Effect::PutFile { path, content, .. } => {
            files::of(effect, seen, ways).or_else(|| apt_source(path, content, seen))
        }
        Effect::MakeDir { .. }
        | Effect::Remove { .. }
        | Effect::Link { .. }
        | Effect::SetMeta { .. } => files::of(effect, seen, ways),
        Effect::Account(op) => accounts::of(op, seen),
        Effect::Unit { name, op } => unit(name, *op),
        Effect::Package { name, op } => package(name, op, seen),
        Effect::Sysctl { key, value } => sysctl(key, value),
        // What a command does, only its author knows; the rest reaches nobody's connection.
        Effect::Remount { .. }
        | Effect::Module { .. }
        // Judged as a whole: see `of_upgrade`.
        | Effect::Upgrade { .. }
        | Effect::LoadAuditRules
        | Effect::Run { .. } => None,
    }
}

/// apt refuses all of its sources where two name one with different keys.
fn apt_source(path: &HostPath, content: &Blob, seen: &Answers) -> Option<Touched> {
    let others = other_keys(path, content.as_text()?, seen);
    let places: Vec<String> = others.iter().map(ToString::to_string).collect();
    (!places.is_empty()).then_some(())?;
    Touched::disturbs(format!(
        "{} has the same source with another key, and apt refuses both, unless it goes with this plan",
        places.join(", ")
    ))
}

/// Targets that end what runs (systemd.special(7)): people's connections first.
const ENDS: [&str; 9] = [
    "rescue.target",
    "emergency.target",
    "poweroff.target",
    "halt.target",
    "reboot.target",
    "kexec.target",
    "soft-reboot.target",
    "shutdown.target",
    "exit.target",
];

fn unit(name: &str, op: UnitOp) -> Option<Touched> {
    if ENDS.contains(&name) && matches!(op, UnitOp::Start | UnitOp::Restart) {
        return Touched::cuts_off(format!("{name} ends what runs on this host"));
    }
    if holds_sessions(name) && matches!(op, UnitOp::Stop | UnitOp::Restart) {
        return Touched::cuts_off(format!("people's sessions, or sshd, run in {name}"));
    }
    if !carries_connections(name) {
        return None;
    }
    match op {
        UnitOp::Stop | UnitOp::Disable | UnitOp::Mask => {
            Touched::cuts_off(format!("people reach this host through {name}"))
        }
        UnitOp::Reload | UnitOp::Restart => Touched::cuts_off(format!(
            "{name} reads its configuration anew, and people reach this host through it"
        )),
        // Another way in takes none away. A firewall or a network that starts may.
        UnitOp::Start | UnitOp::Enable if !lets_people_in(name) => {
            Touched::cuts_off(format!("{name} decides what reaches this host"))
        }
        UnitOp::Start | UnitOp::Enable | UnitOp::Unmask | UnitOp::DaemonReload => None,
    }
}

/// Do people's sessions, or the services that let them in, run in this unit, or in all of a name
/// that begins so (`user-.slice`)? Its limits are theirs, and they end with it
/// (systemd.special(7), user@.service(5)).
fn holds_sessions(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else {
        return false;
    };
    match kind {
        "slice" => {
            matches!(stem, "-" | "system" | "user")
                || ["user-", "system-ssh"]
                    .iter()
                    .any(|top| stem.starts_with(top))
        }
        "scope" => stem == "init" || stem.starts_with("session-"),
        "service" => stem.starts_with("user@"),
        _ => false,
    }
}

/// Packages without which people do not get in, or not to the right to administer.
const CARRIERS: [(&str, &str); 20] = [
    ("openssh-server", "people sign in through it"),
    ("dropbear", "people sign in through it"),
    ("sudo", "administrators become root through it"),
    ("libpam-modules", "every sign-in passes through it"),
    ("libpam-runtime", "every sign-in passes through it"),
    (
        "libpam-sss",
        "sign-ins of a directory's accounts pass through it",
    ),
    ("libnss-sss", "a directory's accounts are known through it"),
    ("sssd", "a directory's accounts are known through it"),
    ("ifupdown", "it brings the network up"),
    ("ifupdown2", "it brings the network up"),
    ("network-manager", "it brings the network up"),
    ("netplan.io", "it brings the network up"),
    ("connman", "it brings the network up"),
    ("isc-dhcp-client", "it asks for this host's address"),
    ("dhcpcd", "it asks for this host's address"),
    ("dhcpcd-base", "it asks for this host's address"),
    ("wpasupplicant", "it joins the wireless network"),
    ("wireguard-tools", "it brings a tunnel up"),
    ("openvpn", "it brings a tunnel up"),
    ("iproute2", "the network is configured with it"),
];

/// Packages that take over the network, or what reaches this host, as soon as they are
/// installed: Debian starts services at once.
const TAKERS: [(&str, &str); 4] = [
    ("firewalld", "its firewall starts with the installation"),
    ("network-manager", "it takes over the network"),
    ("ifupdown2", "it takes over the network"),
    ("connman", "it takes over the network"),
];

fn package(name: &str, op: &PackageOp, seen: &Answers) -> Option<Touched> {
    let stem = name.split(':').next().unwrap_or(name);
    let among = |list: &[(&str, &str)]| {
        let found = list.iter().find(|(package, _)| *package == stem);
        found.map(|(package, why)| format!("{package}: {why}"))
    };
    match op {
        PackageOp::Remove => among(&CARRIERS).and_then(Touched::cuts_off),
        PackageOp::Install { .. } => {
            let is_there = match seen.package(name) {
                Seen::Known(package) => package.installed,
                _ => false,
            };
            if is_there {
                // Its service restarts with another version; connections that stand stay.
                return among(&CARRIERS).and_then(Touched::disturbs);
            }
            among(&TAKERS).and_then(Touched::cuts_off)
        }
    }
}

/// What an upgrade of packages could do: people may be cut off when what they get in through, or
/// what brings the network up, comes back in another version and does not work.
pub fn of_upgrade(packages: &[PackageUpgrade]) -> Option<Touched> {
    packages.iter().find_map(|package| {
        let (name, why) = CARRIERS.iter().find(|(name, _)| *name == package.name)?;
        Touched::cuts_off(format!("{name}: {why}"))
    })
}

/// What a restart of a unit onto new files, with the configuration that it had, means for people.
/// It is said and not guarded (decision 30).
pub(crate) fn of_restart(name: &str) -> Option<String> {
    if lets_people_in(name) {
        return Some(format!(
            "people reach this host through {name}: who is signed in stays, and all is taken back \
             where it does not come up again"
        ));
    }
    carries_connections(name).then(|| {
        format!(
            "people may reach this host through {name}: what goes through it breaks off until it is \
             up again"
        )
    })
}

/// ip-sysctl.rst of the kernel: of all parameters, this one takes addresses away at once.
fn sysctl(key: &str, value: &str) -> Option<Touched> {
    let is_switch = key.starts_with("net.ipv6.conf.") && key.ends_with(".disable_ipv6");
    if is_switch && value.trim() != "0" {
        return Touched::cuts_off(format!("{key} takes this host's IPv6 addresses away"));
    }
    None
}
