//! `cargo xtask dist`: the static binary that hosts get. It refuses one that is too large, or that
//! still needs the host's libraries (it must work while those are being replaced).

use std::path::PathBuf;
use std::process::ExitCode;

use crate::process::{cargo, run as must, target};
use crate::{Failure, Result, unknown_argument};

pub const USAGE: &str = "dist                            build the static release binary";

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// What the project promises; see docs/benchmarks.md.
pub const LIMIT_BYTES: usize = 25_000_000;

pub fn run(args: &[String]) -> Result<ExitCode> {
    if let Some(other) = args.first() {
        return Err(unknown_argument(USAGE, other));
    }
    let (path, size_bytes) = build()?;
    println!(
        "{}   {:.1} MB, static",
        path.display(),
        megabytes(size_bytes)
    );
    if size_bytes > LIMIT_BYTES {
        return Err(Failure(format!(
            "{} has {size_bytes} bytes, over {LIMIT_BYTES}",
            path.display()
        )));
    }
    Ok(ExitCode::SUCCESS)
}

pub fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// Builds the binary; where it is, and its size in bytes.
pub fn build() -> Result<(PathBuf, usize)> {
    let mut build = cargo();
    build.args([
        "build",
        "--locked",
        "--profile",
        "dist",
        "--package",
        "steadfast",
    ]);
    // Naming the target keeps the flags away from build scripts, which must stay dynamic.
    build
        .args(["--target", TRIPLE])
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    must(&mut build)?;
    let path = target().join(TRIPLE).join("dist/steadfast");
    let shown = path.display();
    let binary = std::fs::read(&path).map_err(Failure::of(format!("read {shown}")))?;
    if needs_interpreter(&binary) != Some(false) {
        return Err(Failure(format!("{shown} is not static")));
    }
    Ok((path, binary.len()))
}

/// Whether a program asks for a dynamic linker: elf(5), a program header of type `PT_INTERP`.
/// Nothing where it's no 64-bit little-endian ELF file.
fn needs_interpreter(binary: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    if !binary.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let bytes = |at: usize, count: usize| binary.get(at..at.checked_add(count)?);
    let half = |at| {
        Some(usize::from(u16::from_le_bytes(
            bytes(at, 2)?.try_into().ok()?,
        )))
    };
    let table = usize::try_from(u64::from_le_bytes(bytes(0x20, 8)?.try_into().ok()?)).ok()?;
    let (size, count) = (half(0x36)?, half(0x38)?);
    let kinds = (0..count).map(|index| {
        let at = table.checked_add(index * size)?;
        Some(u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?))
    });
    Some(kinds.collect::<Option<Vec<_>>>()?.contains(&PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::needs_interpreter;

    #[test]
    fn a_dynamic_program_is_told_from_what_is_none() {
        let this_test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(needs_interpreter(&this_test), Some(true));
        assert_eq!(needs_interpreter(b"#!/bin/sh"), None);
        assert_eq!(needs_interpreter(&this_test[..0x20]), None, "cut short");
    }
}
