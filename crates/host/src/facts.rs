//! Facts: what a host is. Everything here works for an ordinary user, without systemd, on
//! a release that we have never seen, and on a broken tree: what can't be read is unknown.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::facts::{AccountFact, Fact, Facts, GroupFact, Init, PackageFact, Release};
use model::plan::HostIdentity;
use model::value::Reason;
use model::{Digest, HostPath};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::local::Inner;
use crate::parse::netlink::parse_addresses;
use crate::parse::os_release::parse_os_release;
use crate::probe::{accounts, mounts, units};
use crate::tree::Trouble;

/// Every file read here is a few lines long.
const SMALL: u64 = 64 << 10;

/// A host with more interfaces than this has them from containers.
const MOST_DATAGRAMS: usize = 1024;

pub(crate) fn facts(host: &Arc<Inner>) -> Facts {
    let HostIdentity { hostname, machine } = identity(host);
    let container = container(host);
    let live = host.tree.is_live();
    Facts {
        hostname,
        machine,
        release: release_fact(host),
        kernel: if live {
            Fact::Known(
                rustix::system::uname()
                    .release()
                    .to_string_lossy()
                    .into_owned(),
            )
        } else {
            Fact::Unknown(Reason::Offline)
        },
        architecture: host
            .packages()
            .ok()
            .and_then(|packages| packages.native.clone())
            .unwrap_or_else(own_architecture),
        init: init(host),
        // A tree is the image of what will boot a kernel of its own.
        owns_kernel: !live || container == Fact::Known(None),
        container,
        is_root: host.tree.is_root(),
        offline: !live,
        packages: fact(packages(host)),
        units: fact(unit_states(host)),
        accounts: fact(account_facts(host)),
        groups: fact(group_facts(host)),
        interfaces: fact(interfaces(host)),
        mounts: fact(mounts::mounted(host)),
    }
}

pub(crate) fn identity(host: &Arc<Inner>) -> HostIdentity {
    let first_line = |path: &'static str| {
        let bytes = host.read(path, SMALL).ok()?;
        let line = bytes.split(|byte| *byte == b'\n').next()?.trim_ascii();
        (!line.is_empty()).then(|| line.to_vec())
    };
    let hostname = if host.tree.is_live() {
        Some(rustix::system::uname().nodename().to_bytes().to_vec())
    } else {
        first_line("/etc/hostname")
    };
    HostIdentity {
        hostname: hostname.map_or_else(|| "unknown".to_owned(), |name| model::printable(&name)),
        // "This ID uniquely identifies the host. It should be considered confidential"
        // (machine-id(5)): only its digest leaves this function. `uninitialized` is no id.
        machine: first_line("/etc/machine-id")
            .filter(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit))
            .map(|id| Digest::of(&id)),
    }
}

fn fact<T>(result: Result<T, Trouble>) -> Fact<T> {
    match result {
        Ok(value) => Fact::Known(value),
        Err(Trouble::Unknown(reason)) => Fact::Unknown(reason),
        Err(Trouble::Absent) => Fact::Unknown(Reason::Unavailable {
            what: "not on this host".to_owned(),
        }),
    }
}

pub(crate) fn release_fact(host: &Arc<Inner>) -> Fact<Release> {
    fact(release(host))
}

/// "/etc/os-release takes precedence over /usr/lib/os-release" (os-release(5)).
fn release(host: &Arc<Inner>) -> Result<Release, Trouble> {
    let bytes = match host.read("/etc/os-release", SMALL) {
        Err(Trouble::Absent) => host.read("/usr/lib/os-release", SMALL),
        other => other,
    };
    let bytes = bytes.map_err(|trouble| accounts::missing(trouble, "/etc/os-release"))?;
    parse_os_release(&bytes).ok_or_else(|| {
        Trouble::Unknown(Reason::Malformed {
            why: "`/etc/os-release` does not say which release this is (no `ID`)".to_owned(),
        })
    })
}

/// dpkg's name for what this program was built for.
fn own_architecture() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "arm" => "armhf",
        "powerpc64" => "ppc64el",
        other => other,
    }
    .to_owned()
}

fn init(host: &Arc<Inner>) -> Init {
    let systemd = if host.tree.is_live() {
        units::has_manager(host)
    } else {
        ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"]
            .into_iter()
            .any(|path| host.tree.exists(&HostPath::literal(path)))
    };
    if systemd { Init::Systemd } else { Init::Other }
}

/// Which container this is, by the marks that container managers leave, and by the kernel:
/// the first PID namespace of a machine has a fixed number.
pub(crate) fn container(host: &Arc<Inner>) -> Fact<Option<String>> {
    if !host.tree.is_live() {
        return Fact::Unknown(Reason::Offline);
    }
    let named = |bytes: &[u8]| {
        let name = model::printable(bytes.trim_ascii());
        Fact::Known(Some(if name.is_empty() {
            "container".to_owned()
        } else {
            name
        }))
    };
    // systemd writes the name that its container manager gave it.
    if let Ok(bytes) = host.read("/run/systemd/container", SMALL) {
        return named(&bytes);
    }
    let environment = host.read("/proc/1/environ", 1 << 20);
    if let Ok(bytes) = &environment
        && let Some(name) = bytes
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(b"container="))
    {
        return named(name);
    }
    // PROC_PID_INIT_INO and PROC_USER_INIT_INO (linux/proc_ns.h).
    let first = |name: &str, number: &str| {
        let path = HostPath::from_bytes(format!("/proc/self/ns/{name}").as_bytes()).ok()?;
        let target = host.tree.meta(&path).ok()?.target?;
        Some(target.as_bytes() == format!("{name}:[{number}]").as_bytes())
    };
    let first_namespaces = match (first("pid", "4026531836"), first("user", "4026531837")) {
        (Some(pid), Some(user)) => Some(pid && user),
        _ => None,
    };
    // These files stay behind when an image that was made in a container boots as a machine:
    // they count unless the kernel and the root's own disk say otherwise.
    let exists = |path: &'static str| host.tree.exists(&HostPath::literal(path));
    let mark = if exists("/.dockerenv") {
        Some("docker")
    } else if exists("/run/.containerenv") {
        Some("podman")
    } else {
        None
    };
    match (first_namespaces, mark) {
        (Some(true), None) => Fact::Known(None),
        (Some(true), Some(_)) if root_is_a_disk(host) => Fact::Known(None),
        (_, Some(mark)) => named(mark.as_bytes()),
        (Some(false), None) => named(b""),
        (None, None) => Fact::Unknown(Reason::Unavailable {
            what: "/proc does not tell whether this is a container".to_owned(),
        }),
    }
}

fn root_is_a_disk(host: &Arc<Inner>) -> bool {
    mounts::mounted(host)
        .unwrap_or_default()
        .iter()
        .rfind(|mount| mount.path.as_bytes() == b"/")
        .is_some_and(|mount| mount.source.starts_with("/dev/"))
}

fn packages(host: &Arc<Inner>) -> Result<BTreeMap<String, PackageFact>, Trouble> {
    Ok(host
        .packages()?
        .installed()
        .map(|record| {
            (
                record.name.clone(),
                PackageFact {
                    version: record.version.clone(),
                    source: record.source.clone(),
                },
            )
        })
        .collect())
}

fn unit_states(host: &Arc<Inner>) -> Result<BTreeMap<String, String>, Trouble> {
    let units = host.unit_files();
    match &units.trouble {
        Some(trouble) => Err(trouble.clone()),
        None => Ok(units.states()),
    }
}

fn account_facts(host: &Arc<Inner>) -> Result<BTreeMap<String, AccountFact>, Trouble> {
    let passwd =
        accounts::passwd(host).map_err(|trouble| accounts::missing(trouble, "/etc/passwd"))?;
    let mut facts = BTreeMap::new();
    for line in passwd.entries {
        let account = line.entry;
        // Of two lines for one name, the first is the one that counts.
        facts.entry(account.name).or_insert(AccountFact {
            uid: account.uid,
            gid: account.gid,
            home: account.home,
            shell: account.shell,
        });
    }
    Ok(facts)
}

fn group_facts(host: &Arc<Inner>) -> Result<BTreeMap<String, GroupFact>, Trouble> {
    let groups =
        accounts::group(host).map_err(|trouble| accounts::missing(trouble, "/etc/group"))?;
    let mut facts = BTreeMap::new();
    for line in groups.entries {
        let group = line.entry;
        facts.entry(group.name).or_insert(GroupFact {
            gid: group.gid,
            members: group.members,
        });
    }
    Ok(facts)
}

fn interfaces(host: &Arc<Inner>) -> Result<BTreeMap<String, Vec<String>>, Trouble> {
    host.refuse_offline()?;
    let directory = HostPath::literal("/sys/class/net");
    let mut by_index = BTreeMap::new();
    let mut interfaces = BTreeMap::new();
    for (name, _) in host.tree.list(&directory)? {
        let text = model::printable(&name);
        let index = directory
            .join(&name)
            .and_then(|path| path.join("ifindex"))
            .ok()
            .and_then(|path| host.read_path(&path, SMALL).ok())
            .and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse::<u32>().ok());
        // `bonding_masters` is a file among the interfaces.
        let Some(index) = index else { continue };
        by_index.insert(index, text.clone());
        interfaces.insert(text, Vec::new());
    }
    let failed = |errno: rustix::io::Errno| {
        Trouble::Unknown(Reason::Failed {
            why: format!(
                "cannot ask the kernel for addresses: {}",
                std::io::Error::from(errno)
            ),
        })
    };
    for address in addresses().map_err(failed)? {
        if let Some(name) = by_index.get(&address.interface) {
            interfaces
                .entry(name.clone())
                .or_default()
                .push(address.text);
        }
    }
    interfaces
        .values_mut()
        .for_each(|addresses| addresses.sort());
    Ok(interfaces)
}

/// Asks the kernel for all addresses (rtnetlink(7)).
fn addresses() -> rustix::io::Result<Vec<crate::parse::netlink::Address>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0, the default.
        None,
    )?;
    // struct nlmsghdr: length, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sequence, port; then
    // struct ifaddrmsg with AF_UNSPEC and zeros.
    let mut request = Vec::with_capacity(24);
    request.extend_from_slice(&24u32.to_ne_bytes());
    request.extend_from_slice(&22u16.to_ne_bytes());
    request.extend_from_slice(&0x301u16.to_ne_bytes());
    request.resize(24, 0);
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &request, SendFlags::empty(), &kernel)?;
    let mut addresses = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    for _ in 0..MOST_DATAGRAMS {
        // The whole dump is there when the request returns: nothing to wait for.
        let (read, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
        let dump = parse_addresses(&buffer[..read]);
        addresses.extend(dump.addresses);
        if dump.ended {
            break;
        }
    }
    Ok(addresses)
}
