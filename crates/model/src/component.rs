//! What is installed on a host: packages of its distribution, and components that came to it
//! another way. Advisories are about these.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::HostPath;
use crate::value::{OtherRoot, Reason};

/// Whose names and version order a component has (the ecosystems of the OSV schema 1.6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ecosystem {
    /// `release` is os-release's `VERSION_ID`: `12`; none on testing and unstable.
    Debian {
        release: Option<String>,
    },
    /// Another distribution that has dpkg (`ubuntu`), whose versions are not Debian's. `id` and
    /// `release` are os-release's.
    OtherDpkg {
        id: String,
        release: Option<String>,
    },
    /// A distribution that has apk: `alpine`, `wolfi`. `id` and `release` are os-release's.
    Apk {
        id: String,
        release: Option<String>,
    },
    CratesIo,
    Go,
    Npm,
    PyPi,
    Maven,
    RubyGems,
}

impl Ecosystem {
    /// The type of its package URLs (purl-spec, PURL-TYPES).
    pub const fn purl_type(&self) -> &'static str {
        match self {
            Self::Debian { .. } | Self::OtherDpkg { .. } => "deb",
            Self::Apk { .. } => "apk",
            Self::CratesIo => "cargo",
            Self::Go => "golang",
            Self::Npm => "npm",
            Self::PyPi => "pypi",
            Self::Maven => "maven",
            Self::RubyGems => "gem",
        }
    }

    /// Are these the packages of a distribution, and not what came another way?
    pub const fn is_distribution(&self) -> bool {
        matches!(
            self,
            Self::Debian { .. } | Self::OtherDpkg { .. } | Self::Apk { .. }
        )
    }
}

/// As OSV records name it: `Debian:12`, `Alpine:v3.20`, `crates.io`.
impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian {
                release: Some(release),
            } => write!(f, "Debian:{release}"),
            Self::Debian { release: None } => f.write_str("Debian"),
            Self::OtherDpkg {
                id,
                release: Some(release),
            } => write!(f, "{id}:{release}"),
            Self::OtherDpkg { id, release: None } => f.write_str(id),
            Self::Apk { id, release } => match (id.as_str(), release) {
                // `3.20.3` is a state of 3.20, whose advisories are those of all its states.
                ("alpine", Some(release)) => {
                    let mut parts = release.splitn(3, '.');
                    let (major, minor) = (parts.next(), parts.next());
                    match minor {
                        Some(minor) => write!(f, "Alpine:v{}.{minor}", major.unwrap_or_default()),
                        None => write!(f, "Alpine:v{release}"),
                    }
                }
                ("alpine", None) => f.write_str("Alpine"),
                // These are never released: there is one state, today's.
                ("wolfi", _) => f.write_str("Wolfi"),
                ("chainguard", _) => f.write_str("Chainguard"),
                (id, Some(release)) => write!(f, "{id}:{release}"),
                (id, None) => f.write_str(id),
            },
            Self::CratesIo => f.write_str("crates.io"),
            Self::Go => f.write_str("Go"),
            Self::Npm => f.write_str("npm"),
            Self::PyPi => f.write_str("PyPI"),
            Self::Maven => f.write_str("Maven"),
            Self::RubyGems => f.write_str("RubyGems"),
        }
    }
}

/// One installed thing of one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    pub ecosystem: Ecosystem,
    /// As the ecosystem writes it: a binary package, `group:artifact`, `@scope/name`.
    pub name: String,
    pub version: String,
    /// What it was built from, which Debian's advisories are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePackage>,
    /// As dpkg names it; for packages of a distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Who published it, where that is known: `Debian`, `Debian-Security`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The files that prove it; never empty. All components of one document share the document.
    #[serde(serialize_with = "listed", deserialize_with = "from_list")]
    pub evidence: Arc<[Evidence]>,
    /// The container image that holds it; none for the host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Of a Go module, which of its packages are used; of a Java archive that does not say its
    /// group, which packages its classes are in. Empty where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Of a Go module, the one in whose place it was built in (`replace` of `go.mod`): a fork, whose
    /// own path and version advisories are held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
}

fn listed<S: Serializer>(evidence: &Arc<[Evidence]>, to: S) -> Result<S::Ok, S::Error> {
    evidence.serialize(to)
}

fn from_list<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[Evidence]>, D::Error> {
    Vec::deserialize(from).map(Into::into)
}

impl Component {
    /// Is it a package of the host's own distribution, and not of an image's?
    pub const fn is_own_package(&self) -> bool {
        self.architecture.is_some() && self.image.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourcePackage {
    pub name: String,
    pub version: String,
}

/// A file that says that a component is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    pub path: HostPath,
    pub how: EvidenceKind,
    /// The way inside an archive: `BOOT-INF/lib/log4j-core-2.14.1.jar!/META-INF/MANIFEST.MF`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// How a file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// A package manager's own database.
    Database,
    /// Metadata that was installed beside it.
    Metadata,
    /// Data that the build put into a program.
    Embedded,
    /// A lockfile: it is meant to be there.
    Lockfile,
}

/// All that was found, and what could not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Sorted; each once.
    pub components: Vec<Component>,
    pub unread: Vec<Unread>,
    /// Root file systems of others below this one, which were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_roots: Vec<OtherRoot>,
}

/// Something that may hold components and could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    pub path: HostPath,
    pub why: Reason,
}
