//! The rooms of the `steadfast` binary that others can enter: rendering and exit
//! codes. They write to what they are handed; only the commands print.

pub mod exit;
pub mod layout;
pub mod report;
pub mod show;
pub mod style;
