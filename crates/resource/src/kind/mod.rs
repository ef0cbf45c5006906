//! The kinds, one file each.

pub mod apt_setting;
pub mod apt_source;
pub mod apt_sources;
pub mod audit_rule;
pub mod files_where;
pub mod sshd;
pub mod sudo_defaults;
pub mod sudo_limit;
pub mod sudo_rule;
pub mod sudoers;
pub mod sysctl;
