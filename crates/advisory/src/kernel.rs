//! Kernels lie beside each other, and one of them runs. Only that one can be attacked: an older
//! one that stays installed to fall back on is not what a finding is about, and the one that runs
//! is, also when its package was upgraded under its name, or is removed, until the next boot. Where
//! nothing as new as the one that runs is installed, the next boot runs an older one, and that is
//! none to fall back on.

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
    /// The version that runs instead; none in a container, and of what never runs.
    pub runs: Option<String>,
    /// Headers and the like: no code of the kernel is in them, and so none of its vulnerabilities
    /// can be used.
    pub has_no_code: bool,
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
            Kernel::Booted { release, build } => match build {
                Some(build) if debians(components).is_some() => Some(build.as_str()),
                build => images(components)
                    .filter(|(_, of)| of == release)
                    .map(|(image, _)| image.version.as_str())
                    .find(|version| build.as_ref().is_none_or(|build| build == version)),
            },
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

    /// The newest installed image, where it is older than the one that runs: the next boot goes
    /// back to it, as after the undo of a kernel's upgrade.
    pub fn goes_back_to(&self) -> Option<&'a Component> {
        let booted = self.booted?;
        self.newest
            .filter(|newest| compare(booted, &newest.version) == Some(Ordering::Greater))
    }

    /// Are there images, and none of them of the name of the one that runs? Then the modules that
    /// it has not loaded yet are gone.
    pub fn is_removed(&self) -> bool {
        let Kernel::Booted { release, .. } = self.kernel else {
            return false;
        };
        self.newest.is_some() && !images(self.components).any(|(_, of)| of == release)
    }

    /// Is an image installed under the name of the one that runs, and of another build?
    pub fn is_replaced(&self) -> bool {
        let Kernel::Booted {
            release,
            build: Some(build),
        } = self.kernel
        else {
            return false;
        };
        let mut own = images(self.components).filter(|(_, of)| of == release);
        own.clone().next().is_some() && own.all(|(image, _)| image.version != *build)
    }

    /// Is an image of the version that runs installed, or of a newer one? Then the next boot runs
    /// none that is older.
    fn is_kept(&self) -> bool {
        self.newest.is_some() && self.goes_back_to().is_none()
    }

    /// Is it a kernel, or a part of one, that is older than the one that runs, and that the next
    /// boot does not run either? In a container, each is.
    pub fn is_dormant(&self, component: &Component) -> bool {
        let Some(release) = release_of(component) else {
            return false;
        };
        match (self.kernel, self.booted) {
            (Kernel::Anothers, _) => true,
            (Kernel::Booted { release: runs, .. }, Some(booted)) => {
                // What is there under the name of the one that runs is what was put over it.
                release != runs
                    && compare(&component.version, booted) == Some(Ordering::Less)
                    && self.is_kept()
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
        let own = debians(self.components)?;
        let is_there =
            images(self.components).any(|(image, of)| of == release && image.version == *build);
        (!is_there).then(|| Component {
            name: format!("linux-image-{release}"),
            version: build.clone(),
            source: Some(SourcePackage {
                name: "linux".to_owned(),
                version: build.clone(),
            }),
            origin: None,
            evidence: [Evidence {
                path: HostPath::literal(PROOF),
                how: EvidenceKind::Metadata,
                member: None,
            }]
            .into(),
            ..own.clone()
        })
    }
}

impl Kernel {
    /// Does the kernel that runs go, or does another build take its place, where this version of
    /// this package goes?
    pub fn is_of(&self, name: &str, version: &str) -> bool {
        let Self::Booted { release, build } = self else {
            return false;
        };
        image_release(name) == Some(release) && build.as_ref().is_none_or(|build| build == version)
    }
}

/// A package of Debian's own, where this is Debian. What a kernel says that it was built as is a
/// version of these, and of no other distribution's, also where that one says "Debian" too.
fn debians(components: &[Component]) -> Option<&Component> {
    components
        .iter()
        .find(|one| one.is_own_package() && matches!(one.ecosystem, Ecosystem::Debian { .. }))
}

/// dpkg's order, which Ubuntu's kernels have as well.
fn compare(a: &str, b: &str) -> Option<Ordering> {
    Order::Debian.compare(a, b)
}

/// The images, each with the kernel that is in it, as uname(2) would tell it.
fn images(components: &[Component]) -> impl Iterator<Item = (&Component, &str)> + Clone {
    components.iter().filter_map(|component| {
        let release = image_release(&component.name).filter(|_| component.is_own_package())?;
        Some((component, release))
    })
}

/// What uname(2) would tell of the kernel that is in a package of this name.
fn image_release(name: &str) -> Option<&str> {
    // Symbols for debuggers run nowhere.
    let is_image = name.starts_with("linux-image-") && !name.ends_with("-dbg");
    named_release(name).filter(|_| is_image)
}

/// `6.1.0-28-amd64` of a package that belongs to this one kernel.
pub fn release_of(component: &Component) -> Option<&str> {
    named_release(&component.name).filter(|_| component.is_own_package())
}

/// Does a package of this name belong to one kernel alone: its image, its modules, or what modules
/// for it are built with? `linux-image-amd64` only names the newest.
pub(crate) fn is_part(name: &str) -> bool {
    named_release(name).is_some()
}

/// Does this package hold a kernel, whatever it was built from?
pub(crate) fn is_image(component: &Component) -> bool {
    component.is_own_package() && image_release(&component.name).is_some()
}

/// Is a package of this name built from a kernel's source without having any of its code that
/// runs? What names the newest image, and has nothing in it, is one of these, and so are the
/// programs that come with the source.
pub(crate) fn has_no_code(name: &str) -> bool {
    const BEGINNINGS: [&str; 20] = [
        "bpftool",
        "hyperv-daemons",
        "intel-sdsi",
        "libcpupower",
        "liblockdep",
        "lockdep",
        "rtla",
        "usbip",
        "linux-bpf-dev",
        "linux-cpupower",
        "linux-misc-tools",
        "linux-perf",
        "linux-libc-dev",
        "linux-headers-",
        "linux-kbuild-",
        "linux-compiler-",
        "linux-config-",
        "linux-source",
        "linux-doc",
        "linux-support-",
    ];
    let names_newest = name.starts_with("linux-image-") && named_release(name).is_none();
    names_newest || BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

fn named_release(name: &str) -> Option<&str> {
    const PARTS: [&str; 5] = [
        "image-unsigned-",
        "image-",
        "modules-extra-",
        "modules-",
        "headers-",
    ];
    let of_linux = name.strip_prefix("linux-")?;
    let mut parts = PARTS.iter();
    let rest = parts.find_map(|part| of_linux.strip_prefix(part))?;
    let release = ["-unsigned", "-dbg"]
        .iter()
        .find_map(|end| rest.strip_suffix(end))
        .unwrap_or(rest);
    let is_numbered = release.starts_with(|first: char| first.is_ascii_digit());
    is_numbered.then_some(release)
}
