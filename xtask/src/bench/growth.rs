//! What is large: a role set of 100,000 files, and inventories of a million components.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use super::yardstick::beside;
use super::{Ground, Row, TURNS, Taken, alone, fresh, text, write};
use crate::{Failure, Result};

const FILES: usize = 100_000;
/// A policy's file has at most a mebibyte.
const FILES_OF_A_ROLE: usize = 5_000;
const COMPONENTS: usize = 1_000_000;

pub(super) fn growth(ground: &Ground) -> Result<Vec<Row>> {
    let mut rows = vec![role_set(ground)?];
    rows.extend(inventories(ground)?);
    Ok(rows)
}

fn row(ground: &Ground, work: &'static str, taken: Taken) -> Result<Row> {
    let (peer, ratio) = beside(ground, taken)?;
    Ok(Row {
        work,
        ours: taken.to_string(),
        peer,
        ratio,
        bound: "under 10 s CPU, and 500 MB",
        holds: taken.cpu_s < 10.0 && taken.peak_mb < 500.0,
    })
}

/// None of the files is there.
fn role_set(ground: &Ground) -> Result<Row> {
    let folder = fresh(ground, "role-set")?;
    fs::create_dir_all(folder.join("roles")).map_err(Failure::of("make a folder"))?;
    let mut argv = vec![text(&ground.program)?.to_owned(), "plan".to_owned()];
    argv.extend(["--policy".to_owned(), text(&folder)?.to_owned()]);
    for first in (0..FILES).step_by(FILES_OF_A_ROLE) {
        let name = format!("r{first:05}");
        let mut role = format!("role: {name}\nwant:\n");
        for number in first..first + FILES_OF_A_ROLE {
            let directory = number % 100;
            let _ = writeln!(
                role,
                "  - file: {{path: /srv/bench/d{directory:02}/file-{number:06}.conf, \
                 content: \"key = value {number}\", mode: \"0640\"}}"
            );
        }
        write(&folder.join(format!("roles/{name}.yaml")), &role)?;
        argv.extend(["--role".to_owned(), name]);
    }
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let planned = Command::new(argv[0]).args(&argv[1..]).output();
    let planned = planned.map_err(Failure::of("plan the role set"))?;
    if planned.status.code() != Some(1) {
        let why = String::from_utf8_lossy(&planned.stderr).into_owned();
        return Err(Failure(format!("the role set is not planned: {why}")));
    }
    let taken = alone(&argv, TURNS)?;
    row(
        ground,
        "a role set of 100,000 files that are not there, planned",
        taken,
    )
}

fn inventories(ground: &Ground) -> Result<Vec<Row>> {
    let folder = fresh(ground, "million")?;
    let mut rows = Vec::new();
    for (work, name, list) in [
        (
            "`vulns --sbom` of a million components, CycloneDX",
            "cyclonedx.json",
            cyclonedx as fn(&mut dyn std::io::Write) -> std::io::Result<()>,
        ),
        ("the same, SPDX", "spdx.json", spdx),
    ] {
        let document = folder.join(name);
        let file = File::create(&document).map_err(Failure::of("make a document"))?;
        let mut file = BufWriter::new(file);
        let written = list(&mut file).and_then(|()| file.flush());
        written.map_err(Failure::of("write a document"))?;
        let taken = looked_up(ground, &folder, &document)?;
        rows.push(row(ground, work, taken)?);
        fs::remove_file(&document).map_err(Failure::of("remove a document"))?;
    }
    Ok(rows)
}

/// With the feeds that lie beside the repository, where they do.
fn looked_up(ground: &Ground, folder: &Path, document: &Path) -> Result<Taken> {
    let (program, state) = (text(&ground.program)?, folder.join("state"));
    let state = text(&state)?;
    super::patches::import_all(program, state)?;
    let argv = [
        program,
        "vulns",
        "--state",
        state,
        "--max-age",
        "9999",
        "--sbom",
        text(document)?,
    ];
    let said = Command::new(argv[0]).args(&argv[1..]).output();
    let said = said.map_err(Failure::of("look a document up"))?;
    // 1: findings; 3: what no feed speaks of.
    if !matches!(said.status.code(), Some(0 | 1 | 3)) {
        let why = String::from_utf8_lossy(&said.stderr).into_owned();
        return Err(Failure(format!("the document is refused: {why}")));
    }
    alone(&argv, TURNS)
}

const TYPES: [&str; 3] = ["npm", "pypi", "cargo"];

fn cyclonedx(out: &mut dyn std::io::Write) -> std::io::Result<()> {
    writeln!(
        out,
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":["#
    )?;
    for number in 0..COMPONENTS {
        let (comma, kind) = (if number > 0 { "," } else { "" }, TYPES[number % 3]);
        let version = number % 50;
        writeln!(
            out,
            r#"{comma}{{"type":"library","name":"p{number:07}","version":"1.{version}","purl":"pkg:{kind}/p{number:07}@1.{version}"}}"#
        )?;
    }
    writeln!(out, "]}}")
}

fn spdx(out: &mut dyn std::io::Write) -> std::io::Result<()> {
    writeln!(out, r#"{{"spdxVersion":"SPDX-2.3","packages":["#)?;
    for number in 0..COMPONENTS {
        let (comma, kind) = (if number > 0 { "," } else { "" }, TYPES[number % 3]);
        let version = number % 50;
        writeln!(
            out,
            r#"{comma}{{"SPDXID":"SPDXRef-{number}","name":"p{number:07}","externalRefs":[{{"referenceType":"purl","referenceLocator":"pkg:{kind}/p{number:07}@1.{version}"}}]}}"#
        )?;
    }
    writeln!(out, "]}}")
}
