//! What exists: ids, digests, host paths, probes and their answers, effects,
//! plans, findings, changes and waivers, as typed, serialisable values.
//!
//! Every other room speaks in these types. This one never touches the file
//! system, the network, the clock or a random source, and it decides nothing
//! that needs to know about a particular kind of resource.

pub mod change;
pub mod compared;
pub mod component;
pub mod count;
pub mod dependency;
pub mod digest;
pub mod effect;
pub mod escape;
pub mod expectation;
pub mod facts;
pub mod finding;
pub mod id;
pub mod patching;
pub mod path;
pub mod plan;
pub mod probe;
pub mod restart;
pub mod rule;
pub mod secrets;
pub mod value;
pub mod vulnerability;
pub mod waiver;

pub use change::{Change, ChangeState, Outside};
pub use component::{Component, Ecosystem, Inventory};
pub use digest::Digest;
pub use effect::{
    AccountOp, Blob, Effect, Inverse, Mode, PackageOp, PackageRemoval, PackageUpgrade, UnitOp,
};
pub use escape::{one_line, printable};
pub use expectation::Expectation;
pub use facts::{Fact, Facts};
pub use finding::{Finding, Outcome, SourceLine};
pub use id::{ActionId, BaselineName, ChangeId, PlanId, ResourceKey, RoleName, RuleId};
pub use path::HostPath;
pub use plan::{Action, Plan, Premise, Risk};
pub use probe::{Probe, Tool, WalkTest};
pub use rule::{RuleMeta, Severity};
pub use value::{Answer, Observed, Value};
pub use vulnerability::{HumanImpact, PublicClock, VulnerabilityPolicy, VulnerabilityWaiver};
pub use waiver::Waiver;
