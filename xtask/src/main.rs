//! The project's own chores: `cargo xtask COMMAND`. One file per command; a new one is a module
//! and a line in [`COMMANDS`].
//!
//! It may print, read the environment and (as root) install Debian packages; nothing that ships
//! depends on it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "chores talk to people"
)]

mod bench;
mod dist;
mod docs;
mod failures;
mod fuzz;
mod process;
mod proofs;
mod prove;
mod rules;
mod rules_page;
mod test;

use std::process::ExitCode;

/// A chore that could not be done, in words.
struct Failure(String);

type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// For `map_err`: says what was tried.
    fn of<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("could not {what}: {error}"))
    }
}

/// A chore.
struct Command {
    name: &'static str,
    usage: &'static str,
    run: fn(&[String]) -> Result<ExitCode>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        usage: test::USAGE,
        run: test::run,
    },
    Command {
        name: "docs",
        usage: docs::USAGE,
        run: docs::run,
    },
    Command {
        name: "prove",
        usage: prove::USAGE,
        run: prove::run,
    },
    Command {
        name: "bench",
        usage: bench::USAGE,
        run: bench::run,
    },
    Command {
        name: "dist",
        usage: dist::USAGE,
        run: dist::run,
    },
    Command {
        name: "fuzz",
        usage: fuzz::USAGE,
        run: fuzz::run,
    },
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let args: Vec<_> = args.collect();
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("usage: cargo xtask COMMAND\n");
        for command in COMMANDS {
            eprintln!("  {}", command.usage);
        }
        // Asking for help is no mistake.
        return if ["help", "--help"].contains(&name.as_str()) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match (command.run)(&args) {
        Ok(code) => code,
        Err(Failure(why)) => {
            eprintln!("cargo xtask {name}: {why}");
            ExitCode::FAILURE
        }
    }
}

/// For arguments that a command does not know.
fn unknown_argument(usage: &str, argument: &str) -> Failure {
    Failure(format!("`{argument}` is not understood\n  {usage}"))
}
