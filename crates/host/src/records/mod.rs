//! Databases that many packages and programs share: dpkg's and apt's own, the accounts, debconf,
//! alternatives. One change has some of their entries and others have the rest, so what a change
//! did to them is taken back by entry and never as a whole file. Pure: bytes in, bytes out.

pub mod accounts;
pub mod alternatives;
pub mod entries;
pub(crate) mod of_people;
pub mod packages;
mod relation;

use model::HostPath;

/// How a shared database is written, and so what an entry of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Paragraphs of fields (deb822(5)); these fields together name an entry.
    Stanzas { named_by: &'static [&'static str] },
    /// Lines of fields with colons between (passwd(5)); the first names an entry, and from
    /// `members` on the fields are lists of names.
    Colons { members: usize },
    /// Each line is an entry.
    Lines,
    /// Three lines are an entry, named by the first (dpkg-divert(1)).
    Threes,
    /// One group of update-alternatives(1); the entries are what it can lead to.
    Alternatives,
}

/// No list of a passwd(5) or shadow(5) holds names.
const NO_MEMBERS: usize = usize::MAX;

/// What a path is to many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Its entries are several people's.
    Entries(Form),
    /// A copy that a program keeps of how a database was before it last wrote it.
    Backup,
    /// Made anew by ldconfig(8) from the libraries that are there.
    LinkerCache,
}

/// The lists of files and the scripts of packages, one set of files each.
pub const INFO: &str = "/var/lib/dpkg/info";
pub const STATUS: &str = "/var/lib/dpkg/status";
/// What dpkg writes until it has written its database as a whole again.
pub const UPDATES: &str = "/var/lib/dpkg/updates";
pub const LINKER_CACHE: &str = "/etc/ld.so.cache";
pub const ALTERNATIVES: &str = "/var/lib/dpkg/alternatives";

/// Do many have entries in it?
pub fn is_by_entry(path: &HostPath) -> bool {
    matches!(shared(path), Some(Shared::Entries(_)))
}

/// A file that programs only lock: it records nothing, and is nobody's.
pub fn is_lock(path: &HostPath) -> bool {
    const LOCKS: [&str; 7] = [
        "/etc/.pwd.lock",
        "/var/cache/apt/archives/lock",
        "/var/lib/apt/lists/lock",
        "/var/lib/dpkg/lock",
        "/var/lib/dpkg/lock-frontend",
        "/var/lib/dpkg/triggers/Lock",
        "/var/lib/ucf/lock",
    ];
    LOCKS.iter().any(|lock| path.as_bytes() == lock.as_bytes())
}

/// What this path is, where many have a part in it.
pub fn shared(path: &HostPath) -> Option<Shared> {
    let text = str::from_utf8(path.as_bytes()).ok()?;
    let below = |top: &str| text.strip_prefix(top)?.strip_prefix('/');
    let is_plain = |rest: &&str| !rest.contains('/');
    let form = match text {
        STATUS | "/var/lib/dpkg/available" | "/var/lib/apt/extended_states" => Form::Stanzas {
            named_by: &["Package", "Architecture"],
        },
        "/var/cache/debconf/config.dat"
        | "/var/cache/debconf/templates.dat"
        | "/var/cache/debconf/passwords.dat" => Form::Stanzas {
            named_by: &["Name"],
        },
        "/etc/passwd" | "/etc/shadow" => Form::Colons {
            members: NO_MEMBERS,
        },
        "/etc/group" => Form::Colons { members: 3 },
        "/etc/gshadow" => Form::Colons { members: 2 },
        "/var/lib/dpkg/diversions" => Form::Threes,
        "/etc/subuid"
        | "/etc/subgid"
        | "/etc/shells"
        | "/etc/ca-certificates.conf"
        | "/var/lib/dpkg/statoverride"
        | "/var/lib/dpkg/arch"
        | "/var/lib/ucf/hashfile"
        | "/var/lib/ucf/registry" => Form::Lines,
        LINKER_CACHE => return Some(Shared::LinkerCache),
        _ => {
            let is_backup = [
                "/etc/passwd-",
                "/etc/group-",
                "/etc/shadow-",
                "/etc/gshadow-",
                "/etc/subuid-",
                "/etc/subgid-",
            ]
            .contains(&text)
                || ["/var/lib/dpkg", "/var/cache/debconf"].iter().any(|top| {
                    below(top)
                        .filter(is_plain)
                        .is_some_and(|rest| rest.ends_with("-old"))
                })
                || below("/var/lib/ucf").filter(is_plain).is_some_and(|rest| {
                    ["hashfile.", "registry."]
                        .iter()
                        .any(|name| rest.starts_with(name))
                });
            if is_backup {
                return Some(Shared::Backup);
            }
            if below(ALTERNATIVES).filter(is_plain).is_some() {
                return Some(Shared::Entries(Form::Alternatives));
            }
            let is_trigger = below("/var/lib/dpkg/triggers")
                .filter(is_plain)
                .is_some_and(|name| name != "Lock");
            let is_helper =
                text.starts_with("/var/lib/systemd/deb-systemd-") && text.ends_with(".dsh-also");
            match is_trigger || is_helper {
                true => Form::Lines,
                false => return None,
            }
        }
    };
    Some(Shared::Entries(form))
}
