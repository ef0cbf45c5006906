//! The one test binary of the command line's rendering.

mod exit;
mod report_human;
mod report_json;
mod samples;
mod style;
