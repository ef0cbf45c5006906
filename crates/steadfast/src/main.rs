//! The entry: reads the command line, runs the command, and turns its end into an exit code.

use std::process::ExitCode;

use clap::Parser;
use steadfast::cli::Cli;

fn main() -> ExitCode {
    steadfast::commands::run(&Cli::parse()).into()
}
