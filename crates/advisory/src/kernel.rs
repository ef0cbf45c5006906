//! Kernels lie beside each other, and one of them runs. Only that one can be attacked: an older
//! one that stays installed to fall back on is not what a finding is about, and the one that runs
//! is, also when its package was upgraded under its name, or is removed, until the next boot.

use std::cmp::Ordering;

use model::Component;
use model::component::{Evidence, EvidenceKind, SourcePackage};
use model::{Ecosystem, HostPath};
use serde::Serialize;

use crate::version::Order;

/// The kernel under what is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    Booted {
        /// As uname(2) tells it: `6.1.0-28-amd64`.
        release: String,
        /// The version of the package that it was built as, where it says so, as Debian's does: a
        /// new build may keep the name of the old.
        build: Option<String>,
    },
    /// In a container: what runs is none of its packages, and none of these will run.
    Anothers,
    /// Nothing runs, or it can't be told what.
    Unknown,
}

/// Installed kernels of one source that do not run, and what the feeds say of them. No finding of
/// the host: but whoever boots one of them has these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dormant {
    pub package: crate::Subject,
    /// The installed packages: the images and what belongs to them alone.
    pub components: Vec<String>,
    /// The vulnerabilities.
    pub names: Vec<String>,
    /// The version that runs instead; none in a container.
    pub runs: Option<String>,
}

/// Which of the installed kernels runs.
#[derive(Clone, Debug)]
pub struct Kernels<'a> {
    kernel: &'a Kernel,
    /// The version of the one that runs, where it is one of a distribution.
    booted: Option<&'a str>,
    /// The newest image.
    newest: Option<&'a Component>,
    components: &'a [Component],
}

/// Where the running kernel says what it is (proc_version(5)).
const PROOF: &str = "/proc/version";

impl<'a> Kernels<'a> {
    pub fn of(kernel: &'a Kernel, components: &'a [Component]) -> Self {
        let booted = match kernel {
            Kernel::Anothers | Kernel::Unknown => None,
            Kernel::Booted {
                build: Some(build), ..
            } => Some(build.as_str()),
            Kernel::Booted {
                release,
                build: None,
            } => images(components)
                .find(|(_, of)| of == release)
                .map(|(image, _)| image.version.as_str()),
        };
        let newest = images(components).map(|(image, _)| image);
        Self {
            kernel,
            booted,
            newest: newest.reduce(|newest, image| {
                match compare(&image.version, &newest.version) == Some(Ordering::Greater) {
                    true => image,
                    false => newest,
                }
            }),
            components,
        }
    }

    /// The version of the one that runs, where it is one of a distribution.
    pub const fn booted(&self) -> Option<&'a str> {
        self.booted
    }

    /// The newest image that is installed.
    pub const fn newest(&self) -> Option<&'a Component> {
        self.newest
    }

    /// The newest installed image, where an older one runs.
    pub fn waiting(&self) -> Option<&'a Component> {
        let booted = self.booted?;
        self.newest
            .filter(|newest| compare(booted, &newest.version) == Some(Ordering::Less))
    }

    /// Is it a kernel, or a part of one, that is older than the one that runs? In a container,
    /// each is.
    pub fn is_dormant(&self, component: &Component) -> bool {
        let Some(release) = release_of(component) else {
            return false;
        };
        match (self.kernel, self.booted) {
            (Kernel::Anothers, _) => true,
            (Kernel::Booted { release: runs, .. }, Some(booted)) => {
                // What is there under the name of the one that runs is what was put over it.
                release != runs && compare(&component.version, booted) == Some(Ordering::Less)
            }
            (Kernel::Booted { .. } | Kernel::Unknown, _) => false,
        }
    }

    /// The one that runs, where its package is removed, or is another version by now.
    pub fn missing(&self) -> Option<Component> {
        let Kernel::Booted {
            release,
            build: Some(build),
        } = self.kernel
        else {
            return None;
        };
        let own = self.components.iter().find(|one| is_package(one))?;
        let is_there =
            images(self.components).any(|(image, of)| of == release && image.version == *build);
        let is_debians = matches!(own.ecosystem, Ecosystem::Debian { .. });
        (is_debians && !is_there).then(|| Component {
            name: format!("linux-image-{release}"),
            version: build.clone(),
            source: Some(SourcePackage {
                name: "linux".to_owned(),
                version: build.clone(),
            }),
            origin: None,
            evidence: vec![Evidence {
                path: HostPath::literal(PROOF),
                how: EvidenceKind::Metadata,
                member: None,
            }],
            ..own.clone()
        })
    }
}

/// dpkg's order, which Ubuntu's kernels have as well.
fn compare(a: &str, b: &str) -> Option<Ordering> {
    Order::Debian.compare(a, b)
}

fn is_package(component: &Component) -> bool {
    component.architecture.is_some() && component.image.is_none()
}

/// The images, each with the kernel that is in it, as uname(2) would tell it.
fn images(components: &[Component]) -> impl Iterator<Item = (&Component, &str)> {
    components.iter().filter_map(|component| {
        let name = &component.name;
        // Symbols for debuggers run nowhere.
        let is_image = name.starts_with("linux-image-") && !name.ends_with("-dbg");
        let release = release_of(component).filter(|_| is_image)?;
        Some((component, release))
    })
}

/// `6.1.0-28-amd64` of a package that belongs to this one kernel.
pub fn release_of(component: &Component) -> Option<&str> {
    named_release(&component.name).filter(|_| is_package(component))
}

/// Does a package of this name belong to one kernel alone: its image, its modules, or what modules
/// for it are built with? `linux-image-amd64` only names the newest.
pub(crate) fn is_part(name: &str) -> bool {
    named_release(name).is_some()
}

fn named_release(name: &str) -> Option<&str> {
    const BEGIN: [&str; 5] = [
        "linux-image-unsigned-",
        "linux-image-",
        "linux-modules-extra-",
        "linux-modules-",
        "linux-headers-",
    ];
    let rest = BEGIN.iter().find_map(|begin| name.strip_prefix(begin))?;
    let release = ["-unsigned", "-dbg"]
        .iter()
        .find_map(|end| rest.strip_suffix(end))
        .unwrap_or(rest);
    let is_numbered = release.starts_with(|first: char| first.is_ascii_digit());
    is_numbered.then_some(release)
}
