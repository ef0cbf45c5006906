//! The kinds, one file each.

pub mod sysctl;
