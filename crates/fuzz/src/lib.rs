//! What is fuzzed: a module for each target, whose `run` takes one input and panics where
//! something does not hold. `fuzz/` gives them inputs that coverage leads to; `tests/it` a few
//! hundred that chance makes of the seeds, in a build that is there anyway.

pub mod apt_conf;
pub mod apt_sources;
pub mod assignments;
pub mod audit_rules;
pub mod bundles;
pub mod changes;
pub mod components;
pub mod feed_index;
pub mod feeds;
pub mod host_files;
pub mod judgements;
pub mod logins;
pub mod mounts;
pub mod packages;
pub mod policy;
