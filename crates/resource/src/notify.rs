//! `notify:` — the services that have to notice a change, and the names of units.

use model::{Effect, UnitOp};
use schemars::JsonSchema;
use serde::Deserialize;

/// One unit, or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Notify {
    One(String),
    Several(Vec<String>),
}

impl Notify {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.names().iter().try_for_each(|name| check_unit(name))
    }
}

/// Each unit is reloaded, or restarted where it can't reload, once, after all edits.
pub(crate) fn reloads(notify: Option<&Notify>) -> Vec<Effect> {
    let names = notify.map(Notify::names).unwrap_or_default();
    names
        .iter()
        .map(|name| Effect::Unit {
            name: unit_name(name),
            op: UnitOp::Reload,
        })
        .collect()
}

/// The suffixes of systemd.unit(5).
const SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];

/// `ssh` and `ssh.service` are the same unit.
pub fn unit_name(name: &str) -> String {
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// Units through which people sign in.
const WAYS_IN: [&str; 3] = ["ssh", "sshd", "dropbear"];

/// Units that bring up the network or decide what passes through it; a name that ends in `@`
/// stands for all its instances.
const NETWORK: [&str; 22] = [
    "networking",
    "ifup@",
    "systemd-networkd",
    "NetworkManager",
    "connman",
    "dhcpcd",
    "dhcpcd@",
    "wpa_supplicant",
    "wpa_supplicant@",
    "nftables",
    "iptables",
    "ip6tables",
    "netfilter-persistent",
    "ufw",
    "firewalld",
    "wg-quick@",
    "openvpn",
    "openvpn@",
    "openvpn-client@",
    "openvpn-server@",
    "strongswan",
    "tailscaled",
];

fn stem(name: &str) -> String {
    let name = unit_name(name);
    let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
    match stem.split_once('@') {
        Some((template, _)) => format!("{template}@"),
        None => stem.to_owned(),
    }
}

/// Does the unit let people sign in?
pub fn lets_people_in(name: &str) -> bool {
    let stem = stem(name);
    // `ssh@` is what `ssh.socket` starts for each connection.
    WAYS_IN.contains(&stem.trim_end_matches('@'))
}

/// Does the unit carry people's connections to the host?
pub fn carries_connections(name: &str) -> bool {
    lets_people_in(name) || NETWORK.contains(&&*stem(name))
}

/// systemd.unit(5): "ASCII letters, digits, ":", "-", "_", ".", and "\\"", and `@` for
/// instances; at most 255 characters.
pub(crate) fn check_unit(name: &str) -> Result<(), String> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    if !name.is_empty() && name.len() <= 255 && name.bytes().all(valid) && !name.starts_with('.') {
        Ok(())
    } else {
        Err(format!(
            "`{}` is not the name of a unit",
            model::printable(name.as_bytes())
        ))
    }
}
