//! Real advisory data, where this machine has it: `shared/data` beside the project, or below the
//! folder that `STEADFAST_SHARED` names. Without it this says that it was skipped.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::vulns::Bench;

/// Files of it; none, and said, where there are none.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn feeds() -> Option<Vec<PathBuf>> {
    let named = std::env::var_os("STEADFAST_SHARED").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = named.unwrap_or(beside).join("data");
    let files = [
        "crates-osv-2026-08-21.tar.zst",
        "go-osv-2026-08-21.tar.zst",
        "pypi-osv-2024-10-10.tar.zst",
        "kev-2025-08-25.json.gz",
    ];
    let files = files.map(|file| folder.join(file));
    if let Some(absent) = files.iter().find(|file| !file.exists()) {
        eprintln!("skipped: there is no {}", absent.display());
        return None;
    }
    Some(files.to_vec())
}

#[test]
fn components_of_a_document_are_held_against_real_records() {
    let Some(files) = feeds() else {
        return;
    };
    let bench = Bench::new("real");
    for file in files {
        let output = bench.run(&["feed", "import", &file.display().to_string()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    // (package URL, a vulnerability of it, whether it is one)
    let cases = [
        ("pkg:pypi/requests@2.19.0", "CVE-2018-18074", true),
        ("pkg:pypi/requests@2.20.0", "CVE-2018-18074", false),
        ("pkg:pypi/PyYAML@5.3", "CVE-2020-1747", true),
        ("pkg:golang/golang.org/x/text@0.3.6", "CVE-2021-38561", true),
        (
            "pkg:golang/golang.org/x/text@0.3.7",
            "CVE-2021-38561",
            false,
        ),
        ("pkg:cargo/time@0.1.43", "CVE-2020-26235", true),
        ("pkg:cargo/time@0.2.23", "CVE-2020-26235", false),
    ];
    for (purl, name, is_here) in cases {
        let component = json!({"type": "library", "name": "x", "purl": purl});
        let document = json!({"bomFormat": "CycloneDX", "specVersion": "1.6",
            "components": [component]});
        let path = bench.file("one.json", &document.to_string());
        let path = path.display().to_string();
        let output = bench.run(&["vulns", "--sbom", &path, "--format", "json"]);
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let findings = value["findings"].as_array().expect("a list");
        let found = findings.iter().any(|finding| finding["name"] == name);
        assert_eq!(found, is_here, "{purl}: {findings:?}");
        let code = if findings.is_empty() { 3 } else { 1 };
        // The data is old, so that what is not found is unknown.
        assert_eq!(output.status.code(), Some(code), "{purl}");
    }
}
