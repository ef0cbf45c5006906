//! Tests of the host: what is observed, and what is changed, on real trees and programs.

mod bench;
mod change_apply;
mod change_confirm;
mod change_crash;
mod change_expire;
mod change_full;
mod change_hostile;
mod change_live;
mod change_parts;
mod change_state;
mod change_undo;
mod change_undo_confirm;
mod lab_observe;
mod lab_validators;
mod observe_accounts;
mod observe_facts;
mod observe_files;
mod observe_hang;
mod observe_packages;
mod observe_parsers;
mod observe_programs;
mod observe_rounds;
mod observe_support;
mod observe_units;
mod observe_walk;
