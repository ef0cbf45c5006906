//! What can be declared: one pure file per kind of resource, with its schema, the
//! probes it needs and its judgement, and the parsers of host files beside the
//! kind that needs them.
//!
//! Nothing here touches a host. A kind asks for probes, is handed answers, and says
//! whether the host complies or which edits would make it comply.

pub mod answers;
pub mod apt;
mod assigned;
pub mod audit;
pub mod edit;
pub mod judgement;
pub mod kind;
pub mod metadata;
pub mod mount;
pub mod notify;
pub mod parents;
pub mod registry;
pub mod started;
pub mod syntax;
pub mod wanted;

pub use answers::{Answers, Seen};
pub use edit::{ContentEdit, Edit, EditError, NewFile};
pub use judgement::{Drift, Judgement};
pub use registry::Resource;
pub use syntax::Syntax;
pub use wanted::{Applies, Wanted, WantedBaseline, WantedResource, WantedRole, WantedRule};

use model::plan::Risk;
use model::{Probe, ResourceKey};

/// A kind of resource.
///
/// The deserialised value is what a policy wrote, with templates rendered. Kinds refuse
/// unknown keys (`#[serde(deny_unknown_fields)]`).
pub trait Kind {
    /// As written in a policy: `file`, `sshd`.
    const NAME: &'static str;
    /// Where resources of this kind stand in the natural order.
    const PHASE: Phase;

    /// What this is about. Two different wants for one key contradict each other.
    fn key(&self) -> ResourceKey;

    /// All probes that are needed, as far as `seen` tells. It is asked again with their
    /// answers until it names nothing new; six rounds at most.
    fn probes(&self, seen: &Answers) -> Vec<Probe>;

    /// What it makes where there is nothing yet: directories that are missing above it are made
    /// with it. None: it makes nothing, or sees to its directory itself.
    fn makes(&self) -> Option<&model::HostPath> {
        None
    }

    /// Is its content never shown?
    fn is_secret(&self) -> bool {
        false
    }

    /// Does the host comply? Only called when every probe that was named has an answer.
    fn judge(&self, seen: &Answers) -> Judgement;

    /// The least risk of any fix of this resource.
    fn risk(&self) -> Risk {
        Risk::None
    }

    /// What makes it so, where that is not the thing that is touched: said beside the plan's risk.
    fn risk_why(&self) -> Option<&'static str> {
        None
    }

    /// A value that no host could have, or a contradiction within the declaration, so that
    /// a policy with a mistake is refused at load. The text says what is wrong.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The natural order of a host's parts, from what others stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Source,
    Package,
    Account,
    Directory,
    File,
    Kernel,
    Service,
    /// Keeps its place in the list: after all that stands before it.
    AsListed,
}
