//! Parsers of host files that `host` itself must understand: pure functions on bytes,
//! which accept anything and say what they could not read. Parsers of configuration
//! that is judged live beside their kind, in `resource`.

pub mod account;
pub mod acl;
pub mod apk;
pub mod apt_lists;
pub mod dpkg;
pub mod modprobe;
pub mod mount;
pub mod netlink;
pub mod nsswitch;
pub mod os_release;
pub mod unit_file;
pub mod wtmp;
