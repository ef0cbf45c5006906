//! Files: which of them sign-ins, rights and the network hang on, and which changes of them
//! take nothing away from anybody.

use std::collections::BTreeSet;

use model::{Effect, HostPath, Mode};
use resource::kind::sudoers;
use resource::kind::ways_to_root::{Way, WaysToRoot};
use resource::notify::carries_connections;
use resource::{Answers, Seen};

use super::{Touched, holds_sessions, limits};

/// How a file decides who gets in, which decides what is harmless to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Programs of root read it.
    Root,
    /// The same, and they refuse it when anybody else may read it.
    Secret,
    /// Everybody's programs read it.
    Everybody,
    /// Everybody starts it.
    Program,
    /// One account's keys: read with its rights, and refused when others may write them.
    Keys,
    /// sudo's rules: what adds a right or a harmless setting takes nothing away.
    Sudoers,
    /// It keeps people out by being there.
    Barrier,
    /// Names are looked up with it.
    Names,
    /// How much each session may have: some limits end all of them.
    Limits,
    /// The next boot goes by it: nobody notices before.
    Boot,
}

/// The path or what lies below it, what hangs on it, and how. The first that fits counts.
const TABLE: [(&str, Option<Hold>, &str); 64] = [
    // The client's side of SSH lets nobody in.
    ("/etc/ssh/ssh_config", None, ""),
    ("/etc/ssh/ssh_config.d", None, ""),
    ("/etc/ssh/ssh_known_hosts", None, ""),
    ("/etc/ssh", Some(Hold::Root), "sshd reads it"),
    (
        "/etc/default/ssh",
        Some(Hold::Root),
        "sshd is started with it",
    ),
    ("/etc/dropbear", Some(Hold::Root), "dropbear reads it"),
    (
        "/etc/pam.d",
        Some(Hold::Root),
        "every sign-in passes through it",
    ),
    (
        "/etc/pam.conf",
        Some(Hold::Root),
        "every sign-in passes through it",
    ),
    (
        "/etc/security/access.conf",
        Some(Hold::Root),
        "it says who may sign in",
    ),
    (
        "/etc/security/access.d",
        Some(Hold::Root),
        "it says who may sign in",
    ),
    (
        "/etc/security/time.conf",
        Some(Hold::Root),
        "it says when one may sign in",
    ),
    (
        "/etc/security/limits.conf",
        Some(Hold::Limits),
        "it says how many sessions and processes people may have",
    ),
    (
        "/etc/security/limits.d",
        Some(Hold::Limits),
        "it says how many sessions and processes people may have",
    ),
    (
        "/etc/systemd/system.conf",
        Some(Hold::Root),
        "each service runs by it, sshd too",
    ),
    (
        "/etc/systemd/system.conf.d",
        Some(Hold::Root),
        "each service runs by it, sshd too",
    ),
    (
        "/etc/nologin",
        Some(Hold::Barrier),
        "while it is there, only root signs in",
    ),
    (
        "/run/nologin",
        Some(Hold::Barrier),
        "while it is there, only root signs in",
    ),
    (
        "/etc/security/pam_env.conf",
        Some(Hold::Root),
        "each session begins with it",
    ),
    (
        "/etc/environment",
        Some(Hold::Everybody),
        "each session begins with it",
    ),
    (
        "/etc/profile",
        Some(Hold::Everybody),
        "each session begins with it",
    ),
    (
        "/etc/profile.d",
        Some(Hold::Everybody),
        "each session begins with it",
    ),
    (
        "/etc/bash.bashrc",
        Some(Hold::Everybody),
        "each session begins with it",
    ),
    (
        "/etc/ld.so.preload",
        Some(Hold::Everybody),
        "every program is started with it",
    ),
    (
        "/etc/ld.so.conf",
        Some(Hold::Everybody),
        "every program finds its libraries by it",
    ),
    (
        "/etc/ld.so.conf.d",
        Some(Hold::Everybody),
        "every program finds its libraries by it",
    ),
    (
        "/etc/shells",
        Some(Hold::Everybody),
        "only whose shell it names may sign in",
    ),
    ("/usr/bin/bash", Some(Hold::Program), "it is people's shell"),
    ("/bin/bash", Some(Hold::Program), "it is people's shell"),
    (
        "/usr/bin/dash",
        Some(Hold::Program),
        "programs and people start it as their shell",
    ),
    (
        "/usr/bin/sh",
        Some(Hold::Program),
        "programs and people start it as their shell",
    ),
    (
        "/usr/lib/openssh",
        Some(Hold::Program),
        "sshd starts it for each sign-in",
    ),
    (
        "/usr/bin/login",
        Some(Hold::Program),
        "people sign in through it",
    ),
    (
        "/etc/hosts.allow",
        Some(Hold::Root),
        "it says from where one may connect",
    ),
    (
        "/etc/hosts.deny",
        Some(Hold::Root),
        "it says from where one may connect",
    ),
    (
        "/etc/passwd",
        Some(Hold::Everybody),
        "it holds the accounts",
    ),
    ("/etc/group", Some(Hold::Everybody), "it holds the groups"),
    ("/etc/shadow", Some(Hold::Root), "it holds the passwords"),
    (
        "/etc/gshadow",
        Some(Hold::Root),
        "it holds the groups' passwords",
    ),
    (
        "/etc/nsswitch.conf",
        Some(Hold::Everybody),
        "it says where accounts are looked up",
    ),
    (
        "/etc/sssd",
        Some(Hold::Root),
        "a directory's accounts are known through it",
    ),
    (
        "/etc/krb5.conf",
        Some(Hold::Everybody),
        "sign-ins of a directory's accounts need it",
    ),
    (
        "/etc/krb5.keytab",
        Some(Hold::Root),
        "sign-ins of a directory's accounts need it",
    ),
    (
        "/etc/sudoers",
        Some(Hold::Sudoers),
        "administrators become root by its rules",
    ),
    (
        "/etc/sudoers.d",
        Some(Hold::Sudoers),
        "administrators become root by its rules",
    ),
    (
        "/etc/sudo.conf",
        Some(Hold::Root),
        "administrators become root through sudo",
    ),
    (
        "/usr/bin/sudo",
        Some(Hold::Root),
        "administrators become root through it",
    ),
    (
        "/usr/sbin/sshd",
        Some(Hold::Root),
        "people sign in through it",
    ),
    (
        "/etc/nftables.conf",
        Some(Hold::Root),
        "the firewall is loaded from it",
    ),
    (
        "/etc/nftables.d",
        Some(Hold::Root),
        "the firewall is loaded from it",
    ),
    (
        "/etc/iptables",
        Some(Hold::Root),
        "the firewall is loaded from it",
    ),
    (
        "/etc/ufw",
        Some(Hold::Root),
        "the firewall is loaded from it",
    ),
    (
        "/etc/default/ufw",
        Some(Hold::Root),
        "the firewall is loaded from it",
    ),
    (
        "/etc/firewalld",
        Some(Hold::Root),
        "the firewall is loaded from it",
    ),
    (
        "/etc/network",
        Some(Hold::Root),
        "the network is brought up from it",
    ),
    (
        "/etc/netplan",
        Some(Hold::Root),
        "the network is brought up from it",
    ),
    (
        "/etc/systemd/network",
        Some(Hold::Root),
        "the network is brought up from it",
    ),
    (
        "/etc/systemd/networkd.conf",
        Some(Hold::Root),
        "the network is brought up from it",
    ),
    (
        "/etc/systemd/networkd.conf.d",
        Some(Hold::Root),
        "the network is brought up from it",
    ),
    (
        "/etc/NetworkManager",
        Some(Hold::Root),
        "the network is brought up from it",
    ),
    (
        "/etc/wireguard",
        Some(Hold::Root),
        "a tunnel is brought up from it",
    ),
    (
        "/etc/dhcp",
        Some(Hold::Root),
        "this host asks for its address with it",
    ),
    (
        "/etc/dhcpcd.conf",
        Some(Hold::Root),
        "this host asks for its address with it",
    ),
    // Names that do not resolve slow people down, and break programs; who connects to this
    // host's address still gets in, and sshd looks no names up (`UseDNS no`).
    (
        "/etc/resolv.conf",
        Some(Hold::Names),
        "names are looked up with it",
    ),
    (
        "/etc/fstab",
        Some(Hold::Boot),
        "the next boot mounts by it, and stops for a person where it can't",
    ),
];

/// Where systemd reads units.
const UNITS: [&str; 8] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// By these people become root.
const PROGRAMS_OF_ROOT: [&[u8]; 4] = [b"/usr/bin/sudo", b"/bin/sudo", b"/usr/bin/su", b"/bin/su"];

/// Directories that everybody's way leads through.
const WAYS: [&str; 9] = [
    "/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/bin", "/lib", "/home", "/var",
];

pub(super) fn of(effect: &Effect, seen: &Answers, ways: &WaysToRoot) -> Option<Touched> {
    let path = effect.path()?;
    if let Effect::SetMeta { .. } = effect
        && WAYS.iter().any(|way| path.as_bytes() == way.as_bytes())
    {
        return match has_bits(effect, 0o005) {
            true => None,
            false => Touched::cuts_off(format!("everybody's way leads through {path}")),
        };
    }
    if let Some(unit) = unit_of(path) {
        return Touched::cuts_off(format!("{path} says how {unit} runs"));
    }
    let (hold, why) = match held(path) {
        Some(found) => found?,
        None if is_keys(path) => (Hold::Keys, "people sign in with the keys in it"),
        // What sudoers and the stacks of PAM include on this host, wherever it lies.
        None => match ways.of(path)? {
            Way::Rules => (Hold::Sudoers, "administrators become root by its rules"),
            Way::Pam => (Hold::Root, "administrators become root by it"),
            Way::Program => (Hold::Root, "administrators become root through it"),
        },
    };
    let why = format!("{path}: {why}");
    match (hold, is_harmless(hold, effect, path, seen)) {
        (_, true) if hold != Hold::Sudoers => None,
        (Hold::Sudoers, true) => Touched::takes_rights(why),
        (Hold::Names | Hold::Boot, _) => Touched::disturbs(why),
        _ => Touched::cuts_off(why),
    }
}

/// What the table says of a path: none where it is not in it, an inner none where it is said
/// to be harmless.
fn held(path: &HostPath) -> Option<Option<(Hold, &'static str)>> {
    let key = path.as_bytes().strip_prefix(b"/etc/ssh/ssh_host_");
    if key.is_some_and(|rest| !rest.ends_with(b".pub")) {
        return Some(Some((Hold::Secret, "sshd proves with it who this host is")));
    }
    TABLE
        .iter()
        .find(|(top, ..)| path.is_within(&HostPath::literal(top)))
        .map(|(_, hold, why)| hold.map(|hold| (hold, *why)))
}

/// `authorized_keys`, its directory, and the home around it: sshd's `StrictModes` looks at
/// all three.
fn is_keys(path: &HostPath) -> bool {
    let name = path.file_name();
    let is_home = path.as_bytes() == b"/root"
        || path
            .parent()
            .is_some_and(|above| above.as_bytes() == b"/home");
    is_home || name == b".ssh" || name == b"authorized_keys" || name == b"authorized_keys2"
}

/// The unit that carries people's connections and that a file of systemd's is about: a unit
/// file, a drop-in, or a link that starts or masks it.
fn unit_of(path: &HostPath) -> Option<String> {
    let is_below = UNITS
        .iter()
        .any(|top| path.is_within(&HostPath::literal(top)));
    if !is_below {
        return None;
    }
    path.components().find_map(|component| {
        let name = str::from_utf8(component).ok()?;
        let name = name.strip_suffix(".d").unwrap_or(name);
        // systemd.unit(5): a drop-in for all units of a type, then for those with a prefix.
        if TYPES.contains(&name) && component.ends_with(b".d") {
            return Some(format!("each {name}"));
        }
        let carries = name.contains('.') && (carries_connections(name) || holds_sessions(name));
        carries.then(|| name.to_owned())
    })
}

/// Types of units of which sign-ins need some.
const TYPES: [&str; 4] = ["service", "slice", "scope", "socket"];

/// Does this change take nothing away from those who get in by this file?
fn is_harmless(hold: Hold, effect: &Effect, path: &HostPath, seen: &Answers) -> bool {
    match effect {
        // An empty directory says nothing.
        Effect::MakeDir { .. } => hold != Hold::Barrier,
        Effect::Remove { .. } => {
            hold == Hold::Barrier
                || hold == Hold::Limits && {
                    let before = content(path, seen);
                    before.is_some_and(|before| limits::are_harmless(&before, ""))
                }
                || hold == Hold::Sudoers && {
                    let before = content(path, seen);
                    before.is_some_and(|before| gives_nothing(path, &before))
                }
        }
        Effect::SetMeta { .. } => meta_is_harmless(hold, effect, path),
        Effect::PutFile { content: after, .. } => {
            let after = String::from_utf8_lossy(after.as_bytes());
            let before = match seen.file(path) {
                // Nobody reads limits but to add to them.
                Seen::NotAsked if hold == Hold::Limits => Some(String::new()),
                _ => content(path, seen),
            };
            let Some(before) = before else {
                return false;
            };
            meta_is_harmless(hold, effect, path)
                && match hold {
                    Hold::Keys => statements(&before).is_subset(&statements(&after)),
                    Hold::Sudoers => only_adds(path, &before, &after),
                    Hold::Limits => limits::are_harmless(&before, &after),
                    _ => false,
                }
        }
        _ => false,
    }
}

/// What is there now; empty where nothing is, none where that is not known.
fn content(path: &HostPath, seen: &Answers) -> Option<String> {
    match seen.file(path) {
        Seen::Known(file) => Some(String::from_utf8_lossy(file.content.as_bytes()).into_owned()),
        Seen::Absent => Some(String::new()),
        Seen::Unknown(_) | Seen::NotAsked => None,
    }
}

/// Lines of authorized_keys that say something (sshd(8)).
fn statements(text: &str) -> BTreeSet<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// Options of sudo that can keep a person from using a right that stands (sudoers(5)).
const DANGEROUS: [&str; 10] = [
    "requiretty",
    "targetpw",
    "rootpw",
    "runaspw",
    "runas_default",
    "fqdn",
    "noexec",
    "passwd_tries",
    "use_loginclass",
    "ignore_local_sudoers",
];

/// Nothing that stood in sudoers goes, and what comes takes no right away: the last match
/// wins there, so only a `!` or a setting could.
fn only_adds(path: &HostPath, before: &str, after: &str) -> bool {
    let before = sudoers::statements(path, before);
    let after = sudoers::statements(path, after);
    let mut added = after.iter();
    // In their order, since the last match wins.
    let all_stand = before
        .iter()
        .filter(|statement| !is_setting(statement))
        .all(|old| added.any(|new| new == old));
    all_stand
        && after
            .iter()
            .filter(|statement| !before.contains(statement))
            .all(|statement| is_mild(statement))
}

fn gives_nothing(path: &HostPath, text: &str) -> bool {
    sudoers::statements(path, text)
        .iter()
        .all(|statement| is_setting(statement))
}

fn is_setting(statement: &str) -> bool {
    statement.starts_with("Defaults")
}

fn is_mild(statement: &str) -> bool {
    match is_setting(statement) {
        true => !DANGEROUS.iter().any(|option| statement.contains(option)),
        // What is no rule may be a mistake that sudo refuses the whole file for, or leads elsewhere; and
        // who has no password is shut out where a rule asks for it again.
        false => {
            let asks = statement.replace("NOPASSWD", "").contains("PASSWD");
            let is_rule = statement.contains('=') && !statement.contains("_Alias");
            is_rule && !asks && !statement.contains('!')
        }
    }
}

/// Does the effect leave these bits, where it says anything of the mode?
fn has_bits(effect: &Effect, bits: u32) -> bool {
    meta(effect).is_some_and(|(mode, _)| mode.is_none_or(|mode| mode.bits() & bits == bits))
}

/// The mode and the owner that an effect sets.
fn meta(effect: &Effect) -> Option<(Option<Mode>, Option<&str>)> {
    match effect {
        Effect::SetMeta { mode, owner, .. } | Effect::PutFile { mode, owner, .. } => {
            Some((*mode, owner.as_deref()))
        }
        _ => None,
    }
}

fn meta_is_harmless(hold: Hold, effect: &Effect, path: &HostPath) -> bool {
    let Some((mode, owner)) = meta(effect) else {
        return false;
    };
    let opens = |bits: u32| mode.is_some_and(|mode| mode.bits() & bits != 0);
    let is_roots = owner.is_none_or(|owner| owner == "root");
    match hold {
        // A program that gives rights needs its set-id bit.
        Hold::Root if PROGRAMS_OF_ROOT.contains(&path.as_bytes()) => {
            is_roots && !opens(0o022) && has_bits(effect, 0o4111)
        }
        Hold::Root | Hold::Sudoers | Hold::Limits => is_roots && !opens(0o022),
        Hold::Secret => is_roots && !opens(0o077),
        Hold::Everybody => is_roots && !opens(0o022) && has_bits(effect, 0o444),
        Hold::Program => is_roots && !opens(0o022) && has_bits(effect, 0o555),
        Hold::Names => has_bits(effect, 0o444),
        Hold::Boot => true,
        Hold::Barrier => true,
        Hold::Keys => {
            let account =
                match path.as_bytes() == b"/root" || path.as_bytes().starts_with(b"/root/") {
                    true => Some(&b"root"[..]),
                    // `/home/NAME/...`
                    false => path.components().nth(1),
                };
            let is_own = owner.is_none_or(|owner| Some(owner.as_bytes()) == account);
            is_own && !opens(0o022) && has_bits(effect, 0o400)
        }
    }
}
