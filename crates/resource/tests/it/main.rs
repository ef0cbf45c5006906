//! Tests of the kinds and of the parsers of host files.

mod sshd;
mod sshd_answers;
mod sudo;
mod support;
mod syntax;
mod sysctl;
