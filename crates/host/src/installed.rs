//! The packages of a host's distribution as components, from dpkg's own database: what a warm
//! query about advisories needs, without a walk over the file systems.

use std::sync::Arc;

use model::component::{Evidence, EvidenceKind};
use model::facts::Fact;
use model::value::Reason;
use model::{Component, HostPath};

use crate::LocalHost;
use crate::components::packages;
use crate::probe::packages::STATUS;
use crate::tree::Trouble;

impl LocalHost {
    /// Every package of which files are here, in each architecture.
    ///
    /// # Errors
    /// The reason why it can't be told.
    pub fn distribution_packages(&self) -> Result<Vec<Component>, Reason> {
        let release = match self.release() {
            Fact::Known(release) => release,
            Fact::Unknown(reason) => return Err(reason),
        };
        // Derivatives build their own packages, whose versions mean something else.
        if release.id != "debian" {
            return Err(Reason::Unavailable {
                what: format!(
                    "this is `{}`, and only Debian's packages are held against advisories here",
                    release.id
                ),
            });
        }
        let database = self.inner.packages().map_err(|trouble| match trouble {
            Trouble::Unknown(reason) => reason,
            Trouble::Absent => Reason::Unavailable {
                what: format!("there is no `{STATUS}`"),
            },
        })?;
        let evidence: Arc<[Evidence]> = [Evidence {
            path: HostPath::literal(STATUS),
            how: EvidenceKind::Database,
            member: None,
        }]
        .into();
        let ecosystem = packages::ecosystem(Some(&release));
        let component = |record| Component {
            evidence: Arc::clone(&evidence),
            ..packages::component(record, ecosystem.clone(), None)
        };
        Ok(database.present().map(component).collect())
    }
}
