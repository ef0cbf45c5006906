//! Packages of the distribution, from the own databases of dpkg and apk. Other package managers are
//! said not to be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::HostPath;
use model::component::{Component, Ecosystem, Evidence, EvidenceKind, SourcePackage};
use model::count::plural;
use model::facts::Release;
use model::value::Reason;

use super::{Collected, origin};
use crate::facts;
use crate::local::Inner;
use crate::parse::apk::{self, each_installed};
use crate::parse::dpkg::PackageRecord;
use crate::probe::packages::STATUS;
use crate::tree::Trouble;
use crate::walk::ownership;

/// Databases of package managers that are not read yet, and whose they are.
const OTHERS: [(&str, &str); 7] = [
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
    let mut has_other = read_apk(host, collected);
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
            match why {
                _ if has_other => {}
                Reason::Unavailable { .. } => {
                    let what = "there is no database of packages here, neither dpkg's nor apk's";
                    let what = what.to_owned();
                    collected.unread(status, Reason::Unavailable { what });
                }
                why => collected.unread(status, why),
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

/// apk's database, where it is and where version 3 puts it.
pub const APK: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
/// What an administrator wanted of apk; without a database, that is all there is.
const APK_WORLD: &str = "/etc/apk/world";
/// A host with ten thousand packages and all their files has as much.
const APK_LIMIT_BYTES: u64 = 256 << 20;

/// Takes the packages of apk. Returned is whether this host has it.
fn read_apk(host: &Arc<Inner>, collected: &mut Collected) -> bool {
    let databases = apk_databases(host);
    let release = facts::release_fact(host);
    for (path, bytes) in &databases {
        let evidence = Evidence {
            path: path.clone(),
            how: EvidenceKind::Database,
            member: None,
        };
        match bytes {
            Ok(bytes) => add_apk(bytes, release.known(), None, &evidence, collected),
            Err(why) => collected.unread(path.clone(), why.clone()),
        }
    }
    let world = HostPath::literal(APK_WORLD);
    if databases.is_empty() && host.tree.exists(&world) {
        let what = "apk's database of packages is not there".to_owned();
        collected.unread(world, Reason::Unavailable { what });
        return true;
    }
    !databases.is_empty()
}

/// The databases that are there. Where `/lib` is `/usr/lib`, both are one.
fn apk_databases(host: &Arc<Inner>) -> Vec<(HostPath, Result<Vec<u8>, Reason>)> {
    for path in APK.map(HostPath::literal) {
        match host.read_path(&path, APK_LIMIT_BYTES) {
            Ok(bytes) => return vec![(path, Ok(bytes))],
            Err(Trouble::Absent) => {}
            Err(Trouble::Unknown(why)) => return vec![(path, Err(why))],
        }
    }
    Vec::new()
}

/// Takes the packages of a database of apk, which is the host's or an image's.
pub fn add_apk(
    bytes: &[u8],
    release: Option<&Release>,
    image: Option<&str>,
    evidence: &Evidence,
    collected: &mut Collected,
) {
    let ecosystem = Ecosystem::Apk {
        id: release.map_or_else(|| "alpine".to_owned(), |release| release.id.clone()),
        release: release.and_then(|release| release.version.clone()),
    };
    let mut has_package = false;
    let malformed = each_installed(bytes, |package| {
        has_package = true;
        let component = Component {
            ecosystem: ecosystem.clone(),
            source: Some(SourcePackage {
                name: package.origin,
                // All packages of one origin have its version.
                version: package.version.clone(),
            }),
            name: package.name,
            version: package.version,
            architecture: Some(package.architecture).filter(|name| !name.is_empty()),
            origin: None,
            evidence: Arc::default(),
            image: image.map(str::to_owned),
            packages: Vec::new(),
            instead_of: None,
        };
        collected.add(component, evidence.clone());
    });
    if malformed > 0 || !has_package {
        let why = match malformed {
            0 => "apk's database names no package".to_owned(),
            number => {
                let entries = plural(number, "entry");
                format!("{entries} of apk's database without a name or a version")
            }
        };
        collected.unread(evidence.path.clone(), Reason::Malformed { why });
    }
}

/// Those of these paths that a package of apk brought.
pub fn owned_by_apk(host: &Arc<Inner>, paths: &BTreeSet<&[u8]>) -> BTreeSet<Vec<u8>> {
    let mut owned = BTreeSet::new();
    let databases = apk_databases(host);
    if databases.is_empty() {
        return owned;
    }
    let names = ownership::names(host, paths);
    for (_, bytes) in databases {
        apk::files(&bytes.unwrap_or_default(), &mut |path| {
            if let Some(path) = names.get(path) {
                owned.insert(path.to_vec());
            }
        });
    }
    owned
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
        evidence: Arc::default(),
        image: None,
        packages: Vec::new(),
        instead_of: None,
    }
}
