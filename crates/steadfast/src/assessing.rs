//! What the feeds say of what is installed on a host, now or after an upgrade. Shared by the
//! commands that show vulnerabilities and by those that patch them; it prints nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use advisory::assess::{Assessment, Finding, Question, Source, assess};
use advisory::kernel::Kernel;
use advisory::matching::{SIGNED_KERNELS, speaking};
use advisory::rank::{Clocks, Exposure, HumanImpact};
use host::feeds::{FeedError, Feeds, Held};
use host::packages::old_files::OldFiles;
use host::packages::reach::Running;
use host::{Create, LocalHost, State};
use jiff::{SignedDuration, Timestamp};
use model::component::SourcePackage;
use model::effect::bare_name;
use model::{Component, PublicClock, VulnerabilityPolicy};

use crate::still_open::{self, StillOpen, still_open};

/// Debian publishes advisories nearly every day, and CISA adds to its catalogue every week.
pub const USUAL_AGE_DAYS: u16 = 7;

pub fn days(days: u16) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

/// The feeds of a state folder.
#[derive(Debug)]
pub struct Advisories {
    held: Vec<Held>,
}

impl Advisories {
    /// Reads the heads of their indexes; none where nothing was imported.
    ///
    /// # Errors
    /// When the folder can't be trusted, or an index is damaged.
    pub fn open(state: &Path) -> Result<Self, FeedError> {
        let Some(feeds) = Feeds::open(state, Create::No)? else {
            return Ok(Self { held: Vec::new() });
        };
        let names = feeds.names()?;
        let held = names.iter().map(|name| feeds.read(name));
        Ok(Self {
            held: held.collect::<Result<_, _>>()?,
        })
    }

    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// # Errors
    /// When an index is damaged.
    pub fn sources(&self) -> Result<Vec<Source<'_>>, FeedError> {
        let sources = self.held.iter().map(|held| {
            Ok(Source {
                feed: &held.feed,
                index: held.index()?,
            })
        });
        sources.collect()
    }

    /// Holds components against them.
    ///
    /// # Errors
    /// When an index is damaged.
    pub fn assess(
        &self,
        components: &[Component],
        exposure: &(dyn Fn(&Component) -> Exposure + Sync),
        kernel: &Kernel,
        terms: &Terms,
    ) -> Result<Assessment, FeedError> {
        let question = Question {
            components,
            exposure,
            kernel,
            human_impact: terms.human_impact,
            clocks: &terms.clocks,
            now: terms.now,
            fresh: terms.fresh,
        };
        assess(&self.sources()?, &question).map_err(damaged)
    }
}

/// An index that was fine when it was opened.
pub fn damaged(source: advisory::IndexError) -> FeedError {
    FeedError::Index {
        name: "that was just read".to_owned(),
        source,
    }
}

/// By what findings are ranked and dated.
#[derive(Clone, Debug)]
pub struct Terms {
    pub clocks: Clocks,
    pub human_impact: Option<HumanImpact>,
    /// A feed that is older than this is stale.
    pub fresh: SignedDuration,
    pub now: Timestamp,
}

impl Terms {
    /// What holds where nobody said anything else.
    pub fn usual(now: Timestamp) -> Self {
        Self::by(&VulnerabilityPolicy::default(), now)
    }

    /// As a policy says.
    pub fn by(policy: &VulnerabilityPolicy, now: Timestamp) -> Self {
        let runs = |clock| {
            let clocks = policy.clocks.as_ref();
            clocks.is_none_or(|clocks| clocks.contains(&clock))
        };
        Self {
            clocks: Clocks {
                bod_26_04: runs(PublicClock::Bod2604),
                pci_dss: runs(PublicClock::PciDss),
                team: policy.days.clone(),
            },
            human_impact: policy.human_impact,
            fresh: days(policy.max_age_days.unwrap_or(USUAL_AGE_DAYS)),
            now,
        }
    }
}

/// What the feeds of a state folder say of the running host's packages, as they are and as they
/// would be. Feeds and processes are looked at once, however often it is asked.
pub struct Outlook<'a> {
    advisories: Advisories,
    /// Asked only where there is a finding.
    running: LazyLock<Running>,
    kernel: Kernel,
    components: &'a [Component],
    terms: &'a Terms,
    now: Assessment,
}

impl<'a> Outlook<'a> {
    /// # Errors
    /// When the feeds can't be read; so with the others.
    pub fn of(
        state: &Path,
        host: &LocalHost,
        components: &'a [Component],
        terms: &'a Terms,
    ) -> Result<Self, FeedError> {
        let advisories = Advisories::open(state)?;
        let running: LazyLock<Running> = LazyLock::new(Running::now);
        let kernel = host::packages::kernel(host);
        let exposure = |component: &Component| running.of(component);
        let now = advisories.assess(components, &exposure, &kernel, terms)?;
        Ok(Self {
            advisories,
            running,
            kernel,
            components,
            terms,
            now,
        })
    }

    pub const fn now(&self) -> &Assessment {
        &self.now
    }

    pub const fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// What is open beside the findings of now: what upgrades left running, or did not finish.
    ///
    /// # Errors
    /// In words.
    pub fn still_open(&self, state: Option<&State>, old: &OldFiles) -> Result<StillOpen, String> {
        let exposure = |component: &Component| self.running.of(component);
        still_open(&still_open::Question {
            state,
            old,
            components: self.components,
            now: &self.now,
            assess: &|components| {
                self.advisories
                    .assess(components, &exposure, &self.kernel, self.terms)
            },
        })
    }

    /// Does any feed have an advisory of this name, or one that calls itself so?
    pub fn speaks_of(&self, name: &str) -> Result<bool, FeedError> {
        for source in self.advisories.sources()? {
            if !speaking(&source.index, name).map_err(damaged)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What becomes of the findings when packages get these versions.
    pub fn with(&self, versions: &[NewVersion]) -> Result<Effects, FeedError> {
        let exposure = |component: &Component| self.running.of(component);
        let (installed, unclear) = with_versions(self.components, versions);
        let advisories = &self.advisories;
        let after = advisories.assess(&installed, &exposure, &self.kernel, self.terms)?;
        Ok(effects(self.now.clone(), after, unclear))
    }
}

/// A package of the distribution as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    pub name: String,
    /// dpkg's: `amd64`, `all`.
    pub architecture: String,
    /// None for one that is removed.
    pub version: Option<String>,
    /// What it is built from, where that is known (deb-control(5), `Source`). Otherwise it is
    /// worked out from the installed version, where that can be done.
    pub source: Option<SourcePackage>,
}

/// What an upgrade, or its undo, does to the findings.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects {
    /// Found now, and not afterwards.
    pub closed: Vec<Finding>,
    /// Found afterwards as well.
    pub remaining: Vec<Finding>,
    /// Not found now, and afterwards: what a downgrade brings back, or a new package brings.
    pub brought: Vec<Finding>,
    /// Packages of which nobody can say what they are built from afterwards: whether their
    /// findings are closed is unknown, and they count as remaining.
    pub unclear: Vec<String>,
    /// As it is now.
    pub now: Assessment,
}

impl Effects {
    /// What goes with the upgrade and the boot of the kernel that it brings.
    pub fn closed_or_booted(&self) -> impl Iterator<Item = &Finding> {
        self.closed.iter().chain(self.until_boot())
    }

    /// Of the kernel that runs: closed when the machine starts anew.
    pub fn until_boot(&self) -> impl Iterator<Item = &Finding> {
        let remaining = self.remaining.iter();
        remaining.filter(|finding| finding.until_boot_of.is_some())
    }
}

/// Compares two assessments by vulnerability and package.
pub fn effects(before: Assessment, after: Assessment, unclear: Vec<String>) -> Effects {
    let key = |finding: &Finding| {
        let package = &finding.package;
        let words = [&finding.name, &package.ecosystem, &package.name];
        words.map(String::clone)
    };
    let found_before: BTreeSet<_> = before.findings.iter().map(key).collect();
    let found_after: BTreeSet<_> = after.findings.iter().map(key).collect();
    let now = before.clone();
    let closed = before.findings.into_iter();
    let (remaining, brought) = after
        .findings
        .into_iter()
        .partition(|finding| found_before.contains(&key(finding)));
    Effects {
        closed: closed
            .filter(|finding| !found_after.contains(&key(finding)))
            .collect(),
        remaining,
        brought,
        unclear,
        now,
    }
}

/// The components as they are with these versions, and the packages of which it can't be told
/// what they are built from; those stay as they are.
pub fn with_versions(
    components: &[Component],
    versions: &[NewVersion],
) -> (Vec<Component>, Vec<String>) {
    let mut installed = components.to_vec();
    let mut unclear = Vec::new();
    // The host's own packages by their names; of one name there may be several architectures.
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, component) in components.iter().enumerate() {
        if component.is_own_package() {
            places
                .entry(component.name.clone())
                .or_default()
                .push(place);
        }
    }
    let mut gone = BTreeSet::new();
    for new in versions {
        // `libc6:i386`, where it is not the host's own architecture.
        let name = bare_name(&new.name);
        let named = places.get(name).map_or(&[][..], Vec::as_slice);
        let same = |place: &&usize| components[**place].architecture.as_deref();
        let place = named
            .iter()
            .find(|place| same(place) == Some(&new.architecture))
            // A package may become one for all architectures, or stop being one.
            .or_else(|| named.first().filter(|_| named.len() == 1));
        match (place, &new.version) {
            (Some(place), None) => {
                gone.insert(*place);
            }
            (None, None) => {}
            (Some(place), Some(version)) => {
                let source = new.source.clone();
                match source.or_else(|| source_of(&components[*place], version)) {
                    Some(source) => {
                        let component = &mut installed[*place];
                        component.source = Some(source);
                        component.version.clone_from(version);
                        component.architecture = Some(new.architecture.clone());
                    }
                    None => unclear.push(new.name.clone()),
                }
            }
            (None, Some(version)) => {
                let own = components.iter().find(|one| one.architecture.is_some());
                match (own, &new.source) {
                    (Some(own), Some(source)) => installed.push(Component {
                        ecosystem: own.ecosystem.clone(),
                        name: name.to_owned(),
                        version: version.clone(),
                        source: Some(source.clone()),
                        architecture: Some(new.architecture.clone()),
                        origin: None,
                        evidence: own.evidence.clone(),
                        image: None,
                        packages: Vec::new(),
                        instead_of: None,
                    }),
                    _ => unclear.push(new.name.clone()),
                }
            }
        }
    }
    let kept = installed.into_iter().enumerate();
    let kept = kept.filter(|(place, _)| !gone.contains(place));
    (kept.map(|(_, component)| component).collect(), unclear)
}

/// What a new version of an installed package is built from: told where the installed one has
/// the version of its source. Some packages number themselves (`libgcc-s1`, `gcc`).
fn source_of(installed: &Component, version: &str) -> Option<SourcePackage> {
    let source = installed.source.as_ref()?;
    let has_sources = without_rebuild(&installed.version) == source.version
        // A source may itself be called `1.0+b1`.
        || installed.version == source.version
        // Judged by the package's own version.
        || source.name.starts_with(SIGNED_KERNELS);
    has_sources.then(|| SourcePackage {
        name: source.name.clone(),
        version: without_rebuild(version).to_owned(),
    })
}

/// A rebuild of the same source has `+b1` at its end (Debian Developer's Reference, 5.10.2.1).
pub fn without_rebuild(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, count)) if !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) => {
            source
        }
        _ => version,
    }
}
