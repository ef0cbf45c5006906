//! Tests of advisories: how versions are ordered, feeds read, kept, matched and ranked.

mod assess;
mod index;
mod kernels;
mod matching;
mod ranking;
mod readers;
mod remedy;
mod support;
mod versions;
mod vex;
