//! Answers to the single questions, one file per subject. Each reads, and none decides
//! whether what it read is good.

pub(crate) mod accounts;
pub(crate) mod activity;
pub(crate) mod audit;
pub(crate) mod bus;
pub(crate) mod files;
pub(crate) mod kernel;
pub(crate) mod mounts;
pub(crate) mod packages;
pub(crate) mod unit_files;
pub(crate) mod units;
pub(crate) mod writers;
