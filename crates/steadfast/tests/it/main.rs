//! The one test binary of the command line's rendering.

mod booted;
mod browser;
mod documents;
mod exit;
mod lab_broken;
mod lab_confirm;
mod lab_elsewhere;
mod lab_kill;
mod lab_machine_power;
mod lab_refuse;
mod lab_validate;
mod lab_whole;
mod many_kinds;
mod picture;
mod reference;
mod report_html;
mod report_human;
mod report_json;
mod samples;
mod show_changes;
mod show_events;
mod show_plan;
mod style;
mod webdriver;
