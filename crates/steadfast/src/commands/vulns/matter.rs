//! What is looked at: the running host, a tree, or what a document names.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;

use advisory::assess::Unknown;
use advisory::kernel::Kernel;
use advisory::rank::{Exposure, Unseen};
use host::LocalHost;
use host::components::{components, own_packages, sbom};
use host::packages::reach::{Running, unseen};
use model::component::{Component, Unread};
use model::value::OtherRoot;
use model::{Fact, HostPath};

use super::Args;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::progress::Progress;

pub(super) struct Matter {
    pub(super) components: Vec<Component>,
    unread: Vec<Unread>,
    /// Root file systems of others, which were left out.
    pub(super) other_roots: Vec<OtherRoot>,
    /// Empty for a document.
    pub(super) hostname: String,
    pub(super) release: String,
    /// What runs below it.
    pub(super) kernel: Kernel,
    kind: Kind,
    /// Kept, since all that was read of it is given back with it.
    _host: Option<LocalHost>,
}

enum Kind {
    /// Asked only where there is a finding.
    Host(LazyLock<Running>),
    Tree,
    Document,
}

impl Matter {
    pub(super) fn look(args: &Args, progress: &Progress) -> Result<Self, Failure> {
        if let Some(path) = &args.sbom {
            return Self::read(path);
        }
        let host = match &args.root {
            Some(root) => LocalHost::offline(root),
            None => LocalHost::running(),
        }
        .map_err(|error| Failure::because(Exit::BadInput, error))?;
        let inventory = match args.os_only {
            true => own_packages(&host),
            false => components(&host, &|entries| {
                progress.say(format!("walking local file systems: {entries} files"));
            }),
        };
        Ok(Self {
            components: inventory.components,
            unread: inventory.unread,
            other_roots: inventory.other_roots,
            hostname: host.identity().hostname,
            release: match host.release() {
                Fact::Known(release) => release.pretty,
                Fact::Unknown(reason) => format!("unknown release ({reason})"),
            },
            kernel: match args.root {
                None => host::packages::kernel(&host),
                Some(_) => Kernel::Unknown,
            },
            kind: match args.root {
                None => Kind::Host(LazyLock::new(Running::now)),
                Some(_) => Kind::Tree,
            },
            _host: Some(host),
        })
    }

    /// Reads a document, at most as much as one may have.
    fn read(path: &Path) -> Result<Self, Failure> {
        let refused = |why: String| {
            Failure::new(
                Exit::BadInput,
                format_args!("can't read `{}`: {why}", path.display()),
                "name a document of CycloneDX or SPDX 2, as JSON",
            )
        };
        let io = |error: std::io::Error| refused(error.to_string());
        let absolute = path.canonicalize().map_err(io)?;
        let own = HostPath::from_bytes(absolute.as_os_str().as_bytes());
        let own = own.map_err(|error| refused(error.to_string()))?;
        let document = input::open(&absolute).map_err(io)?;
        let inventory = sbom::read(document, &own).map_err(|reason| refused(reason.to_string()))?;
        Ok(Self {
            components: inventory.components,
            unread: inventory.unread,
            other_roots: inventory.other_roots,
            hostname: String::new(),
            release: model::printable(path.as_os_str().as_bytes()),
            kernel: Kernel::Unknown,
            kind: Kind::Document,
            _host: None,
        })
    }

    /// How far a component can be reached, by what runs now.
    pub(super) fn exposure(&self, component: &Component) -> Exposure {
        match &self.kind {
            Kind::Host(running) => running.of(component),
            // What will run from it, nobody knows. What no process could show on a host, it can't
            // show here either.
            Kind::Tree => unseen(component).unwrap_or(Exposure::Unknown(Unseen::Tree)),
            Kind::Document => Exposure::Unknown(Unseen::Document),
        }
    }

    /// The processes that could not be looked at, where a host was asked.
    pub(super) fn unseen(&self) -> Vec<String> {
        match &self.kind {
            Kind::Host(running) => running.unseen().to_vec(),
            Kind::Tree | Kind::Document => Vec::new(),
        }
    }

    /// The distribution whose packages these are: the host's own, not an image's.
    pub(super) fn distribution(&self) -> Option<String> {
        let mut own = self.components.iter().filter(|one| one.image.is_none());
        let package = own.find(|one| one.ecosystem.is_distribution())?;
        Some(package.ecosystem.to_string())
    }

    /// Is it the host that this program runs on, with what runs there?
    pub(super) const fn is_running(&self) -> bool {
        matches!(self.kind, Kind::Host(_))
    }

    /// What was not read, once for each cause.
    pub(super) fn unknown(&self) -> Vec<Unknown> {
        let mut by_reason: BTreeMap<String, Vec<&HostPath>> = BTreeMap::new();
        for unread in &self.unread {
            let places = by_reason.entry(unread.why.to_string()).or_default();
            places.push(&unread.path);
        }
        let unread = by_reason.into_iter().map(|(why, places)| {
            let first = model::printable(places[0].as_bytes());
            match places.len() - 1 {
                0 => format!("what is in {first}: {why}"),
                more => format!("what is in {first} and {more} more: {why}"),
            }
        });
        unread.map(Unknown::of_all).collect()
    }
}
