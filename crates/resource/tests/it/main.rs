//! Tests of the kinds and of the parsers of host files.

mod accounts;
mod admin_login;
mod apt;
mod assigned;
mod audit_rule;
mod authorized_key;
mod command;
mod files_where;
mod kernel_module;
mod lists;
mod login_setting;
mod mounts;
mod only_root;
mod package;
mod pam;
mod paths;
mod rsyslog;
mod service;
mod sshd;
mod sshd_answers;
mod sudo;
mod support;
mod syntax;
mod sysctl;
mod timer;
mod unit_option;
