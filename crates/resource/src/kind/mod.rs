//! The kinds, one file each.

pub mod sshd;
pub mod sysctl;
