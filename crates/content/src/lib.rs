//! Policy repositories and templates: what people wrote, read strictly, checked as a whole,
//! and compiled with a host's facts into what is wanted on that host. The built-in
//! baselines are carried here.
//!
//! Only [`PolicyFiles::read`] reads files, inside the policy's root; everything else is a
//! function of its arguments. Nothing here looks at a host or prints.

mod baseline;
mod compile;
mod error;
mod excerpt;
mod explain;
mod files;
mod keys;
mod lint;
mod param;
mod param_file;
mod patches;
mod read;
mod repository;
mod role;
mod sample;
mod schema;
mod template;
mod template_file;
mod typed;
mod vocabulary;
mod vulnerabilities;
mod waivers;
mod want;
mod yaml;

pub use baseline::{Given, Releases, Rule, RuleTest, TestHost};
pub use compile::{Baselines, Request, compile};
pub use error::{ContentError, ContentErrors, Place, SourceText};
pub use files::PolicyFiles;
pub use lint::lint;
pub use param::{Param, ParamType, ParamValue, Params};
pub use param_file::read_param_file;
pub use repository::{Baseline, Repository};
pub use role::Role;
pub use schema::schema;
pub use vocabulary::{FactName, facts_in_templates};

/// The profile of rules that name none.
pub const DEFAULT_PROFILE: &str = "default";
