//! The kinds, one file each.

pub mod accounts_where;
pub mod admin_login;
pub mod apt_setting;
pub mod apt_source;
pub mod apt_sources;
pub mod audit_rule;
pub mod command;
pub mod directory;
pub mod file;
pub mod files_where;
pub mod group;
pub mod ini;
pub mod key_value;
pub mod link;
pub mod mount_point;
pub mod package;
pub mod pam_stack;
pub mod service;
pub mod sshd;
pub mod sudo_defaults;
pub mod sudo_limit;
pub mod sudo_rule;
pub mod sudoers;
pub mod sysctl;
pub mod template;
pub mod user;
