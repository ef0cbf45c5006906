//! `cargo xtask docs`: the pages that are written from the code. With `--check` nothing is
//! written, and a page that is not current, or a proof that is lacking, is a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::process::{root, run as must, steadfast};
use crate::proofs::Proofs;
use crate::{Failure, Result, rules, rules_page, unknown_argument};

pub const USAGE: &str = "docs [--check]                   write the pages made from the code";

/// How many lacking proofs are named; all of them are in the page.
const NAMED: usize = 20;

pub fn run(args: &[String]) -> Result<ExitCode> {
    let check = match args {
        [] => false,
        [only] if only == "--check" => true,
        [other, ..] => return Err(unknown_argument(USAGE, other)),
    };
    let rules = rules::list()?;
    let proofs = Proofs::read()?;
    let mut stale = 0;
    for (path, text) in pages(&rules_page::page(&rules, &proofs))? {
        if fs::read_to_string(&path).is_ok_and(|current| current == text) {
            continue;
        }
        let shown = path.strip_prefix(root()).unwrap_or(&path).display();
        if check {
            eprintln!("{shown} is not current: cargo xtask docs writes it");
            stale += 1;
        } else {
            fs::write(&path, text).map_err(Failure::of(format!("write {shown}")))?;
            println!("{shown}");
        }
    }
    let lacking = proofs.lacking(&rules);
    for line in lacking.iter().take(NAMED) {
        eprintln!("{line}");
    }
    if !lacking.is_empty() {
        eprintln!(
            "{} proofs are lacking: cargo xtask prove, as root, makes them",
            lacking.len()
        );
    }
    Ok(if check && (stale > 0 || !lacking.is_empty()) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Where each page lies, and what it has to say.
fn pages(rules: &str) -> Result<Vec<(PathBuf, String)>> {
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder"))?;
    must(
        steadfast()?
            .args(["reference", "--output"])
            .arg(folder.path()),
    )?;
    let mut pages = vec![(root().join("docs/rules.md"), rules.to_owned())];
    let written = fs::read_dir(folder.path()).map_err(Failure::of("list the pages"))?;
    for entry in written {
        let entry = entry.map_err(Failure::of("list the pages"))?;
        let text = read(&entry.path())?;
        pages.push((root().join("docs/reference").join(entry.file_name()), text));
    }
    pages.sort();
    Ok(pages)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Failure::of(format!("read {}", path.display())))
}
