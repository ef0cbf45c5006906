//! Decisions, as pure functions: what a host's state means (`audit`), and what would
//! be done about it (`converge`). No clock, no randomness, no I/O: those arrive as
//! arguments, so the same input gives the same answer, byte for byte.

pub mod audit;
pub mod compare;
pub mod converge;
pub mod data;
pub mod outlook;
pub mod own;
pub mod patch;
pub mod report;
pub mod retention;
pub mod risk;
pub mod stages;
pub mod window;

pub use report::{Counts, Report, Score};
