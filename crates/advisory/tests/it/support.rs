//! Indexes, components and questions in few words.

use advisory::assess::{Assessment, Question, Source, assess};
use advisory::kernel::Kernel;
use advisory::rank::{Clocks, Exposure};
use advisory::read::osv;
use advisory::{Builder, Feed, Index};
use jiff::{SignedDuration, Timestamp};
use model::component::{Evidence, EvidenceKind, SourcePackage};
use model::{Component, Ecosystem, HostPath};

pub const NOW: &str = "2026-06-01T12:00:00Z";

pub fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// An index in memory, with what it is of.
pub struct Made {
    pub bytes: Vec<u8>,
    pub feed: Feed,
}

impl Made {
    pub fn index(&self) -> Index<'_> {
        Index::open(&self.bytes[..self.head()]).expect("a good index")
    }

    pub fn head(&self) -> usize {
        advisory::index::head_length(&self.bytes, self.bytes.len() as u64).expect("a length")
    }
}

/// Of OSV records, and of what `more` adds.
pub fn made(records: &[&str], more: impl FnOnce(&mut Builder)) -> Made {
    let mut builder = Builder::default();
    for record in records {
        match osv::read(record.as_bytes()).unwrap_or_else(|error| panic!("{error}: {record}")) {
            osv::Read::Advisory { advisory, .. } => builder.advisory(advisory).expect("it fits"),
            osv::Read::Withdrawn(_) => builder.counts.withdrawn += 1,
        }
    }
    more(&mut builder);
    let (bytes, feed) = builder.finish("test", time(NOW)).expect("it fits");
    Made { bytes, feed }
}

/// A record of one package: `events` as JSON, and further members of the record.
pub fn record(id: &str, ecosystem: &str, name: &str, events: &str, more: &str) -> String {
    let kind = if ecosystem.starts_with("Debian") {
        "ECOSYSTEM"
    } else {
        "SEMVER"
    };
    format!(
        r#"{{"schema_version":"1.6.0","id":"{id}","modified":"2026-06-01T00:00:00Z",{more}
        "affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"{name}"}},
        "ranges":[{{"type":"{kind}","events":[{events}]}}]}}]}}"#
    )
}

/// `openssl` of `libssl3`, in Debian's release.
pub fn package(name: &str, source: &str, version: &str, release: Option<&str>) -> Component {
    Component {
        ecosystem: Ecosystem::Debian {
            release: release.map(str::to_owned),
        },
        name: name.to_owned(),
        version: version.to_owned(),
        source: Some(SourcePackage {
            name: source.to_owned(),
            version: version.to_owned(),
        }),
        architecture: Some("amd64".to_owned()),
        origin: None,
        evidence: [Evidence {
            path: HostPath::literal("/var/lib/dpkg/status"),
            how: EvidenceKind::Database,
            member: None,
        }]
        .into(),
        image: None,
        packages: Vec::new(),
        instead_of: None,
    }
}

pub fn component(ecosystem: Ecosystem, name: &str, version: &str) -> Component {
    Component {
        ecosystem,
        source: None,
        architecture: None,
        ..package(name, name, version, None)
    }
}

pub fn assessed(made: &[&Made], components: &[Component]) -> Assessment {
    assessed_on(made, components, &Kernel::Unknown)
}

pub fn assessed_on(made: &[&Made], components: &[Component], kernel: &Kernel) -> Assessment {
    let sources: Vec<Source<'_>> = made
        .iter()
        .map(|made| Source {
            feed: &made.feed,
            index: made.index(),
        })
        .collect();
    let question = Question {
        components,
        exposure: &|_| Exposure::Installed,
        kernel,
        human_impact: None,
        clocks: &Clocks::default(),
        now: time(NOW),
        fresh: SignedDuration::from_hours(24 * 7),
    };
    assess(&sources, &question).expect("a good index")
}
