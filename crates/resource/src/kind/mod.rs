//! The kinds, one file each.

pub mod sshd;
pub mod sudo_defaults;
pub mod sudo_limit;
pub mod sudo_rule;
pub mod sudoers;
pub mod sysctl;
