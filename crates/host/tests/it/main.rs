//! Tests of the host: what is observed, and what is changed, on real trees and programs.

mod bench;
mod change_apply;
mod change_crash;
mod change_undo;
