//! Tests of the kinds and of the parsers of host files.

mod apt;
mod audit_rule;
mod files_where;
mod sshd;
mod sshd_answers;
mod sudo;
mod support;
mod syntax;
mod sysctl;
