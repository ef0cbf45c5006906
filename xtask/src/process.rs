//! Running other programs with their output shown.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, Result};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
}

/// Where builds go; fuzz builds and other leftovers get folders of their own in it.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs us, in the repository's root.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program in the repository's root.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Runs a command that must end with 0.
pub fn run(command: &mut Command) -> Result {
    let name = line(command);
    let status = command
        .status()
        .map_err(Failure::of(format!("start `{name}`")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure(format!("`{name}`: {status}")))
    }
}

/// Runs a command that must end with 0, and returns what it says.
pub fn output(command: &mut Command) -> Result<String> {
    let name = line(command);
    let said = command
        .output()
        .map_err(Failure::of(format!("start `{name}`")))?;
    if said.status.success() {
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    } else {
        let errors = String::from_utf8_lossy(&said.stderr);
        Err(Failure(format!(
            "`{name}`: {}: {}",
            said.status,
            errors.trim()
        )))
    }
}

/// Whether a command can be run and ends with 0, quietly.
pub fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|said| said.status.success())
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The program under test, built where it is not current: with all tests, since by itself it and
/// its dependencies would be built a second time, with other features.
pub fn steadfast() -> Result<Command> {
    run(cargo().args([
        "build",
        "--quiet",
        "--workspace",
        "--bins",
        "--tests",
        "--locked",
    ]))?;
    Ok(command(target().join("debug/steadfast")))
}
