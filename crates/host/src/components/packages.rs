//! Packages of the distribution, from dpkg's own database. Other package managers are said not
//! to be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::HostPath;
use model::component::{Component, Ecosystem, Evidence, EvidenceKind, SourcePackage};
use model::facts::Release;
use model::value::Reason;

use super::{Collected, origin};
use crate::facts;
use crate::local::Inner;
use crate::parse::dpkg::PackageRecord;
use crate::probe::packages::STATUS;
use crate::tree::Trouble;

/// Databases of package managers that are not read yet, and whose they are.
const OTHERS: [(&str, &str); 9] = [
    ("/etc/apk/world", "apk"),
    ("/lib/apk/db/installed", "apk"),
    ("/usr/lib/sysimage/rpm", "rpm"),
    ("/var/lib/rpm", "rpm"),
    ("/var/lib/flatpak/app", "Flatpak"),
    ("/var/lib/pacman/local", "pacman"),
    ("/var/lib/snapd/snaps", "snapd"),
    ("/nix/var/nix/db", "Nix"),
    ("/gnu/store", "Guix"),
];

/// Takes the packages. Returned are those that somebody else than the distribution published,
/// by name.
pub fn read(host: &Arc<Inner>, collected: &mut Collected) -> BTreeSet<String> {
    let mut has_other = false;
    for (path, manager) in OTHERS {
        let path = HostPath::literal(path);
        if host.tree.exists(&path) {
            has_other = true;
            let what = format!("packages of {manager} are not read yet");
            collected.unread(path, Reason::Unavailable { what });
        }
    }
    let status = HostPath::literal(STATUS);
    let packages = match host.packages() {
        Ok(packages) => packages,
        Err(Trouble::Unknown(why)) => {
            if !has_other {
                collected.unread(status, why);
            }
            return BTreeSet::new();
        }
        Err(Trouble::Absent) => return BTreeSet::new(),
    };
    let present: Vec<&PackageRecord> = packages.present().collect();
    let origins = origin::origins(host, &present);
    let release = facts::release_fact(host);
    let ecosystem = ecosystem(release.known());
    let mut foreign = BTreeSet::new();
    for (package, origin) in present.into_iter().zip(origins) {
        if let (Some(origin), Some(release)) = (&origin, release.known())
            && !is_of(origin, release)
        {
            foreign.insert(package.name.clone());
        }
        collected.add(
            component(package, ecosystem.clone(), origin),
            Evidence {
                path: status.clone(),
                how: EvidenceKind::Database,
                member: None,
            },
        );
    }
    foreign
}

/// Is this the distribution itself? Debian's own archives are called `Debian`,
/// `Debian-Security` and `Debian Backports`.
fn is_of(origin: &str, release: &Release) -> bool {
    let beginning = origin.get(..release.id.len());
    beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(&release.id))
}

/// Whose versions this host's packages have.
pub fn ecosystem(release: Option<&Release>) -> Ecosystem {
    match release {
        Some(release) if release.id != "debian" => Ecosystem::OtherDpkg {
            id: release.id.clone(),
            release: release.version.clone(),
        },
        Some(release) => Ecosystem::Debian {
            release: release.version.clone(),
        },
        None => Ecosystem::Debian { release: None },
    }
}

pub fn component(
    package: &PackageRecord,
    ecosystem: Ecosystem,
    origin: Option<String>,
) -> Component {
    Component {
        ecosystem,
        name: package.name.clone(),
        version: package.version.clone(),
        source: Some(SourcePackage {
            name: package.source.clone(),
            version: package.source_version.clone(),
        }),
        architecture: Some(package.architecture.clone()),
        origin,
        evidence: Vec::new(),
        image: None,
    }
}
