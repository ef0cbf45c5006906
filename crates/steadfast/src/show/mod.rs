//! Shows a plan, a change, the history of changes, and what happens while one is
//! carried out. Nothing here decides or touches a host: the current content of files
//! is handed in.

pub mod apt_lists;
pub mod change;
pub mod dependencies;
pub mod diff;
pub mod difference;
pub mod effect;
pub mod events;
pub mod feeds;
pub mod history;
pub mod patch;
pub mod patch_status;
pub mod plan;
pub mod still_open;
pub mod vulns;
