//! Tests of the kinds and of the parsers of host files.

mod support;
mod syntax;
mod sysctl;
