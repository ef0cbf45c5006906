//! Real advisory data, where this machine has it: `shared/data` beside the project, or below the
//! folder that `STEADFAST_SHARED` names. Without it this says that it was skipped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::vulns::Bench;

/// Files of it; none, and said, where there are none.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn feeds(files: &[&str]) -> Option<Vec<PathBuf>> {
    let named = std::env::var_os("STEADFAST_SHARED").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = named.unwrap_or(beside).join("data");
    let files: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).collect();
    if let Some(absent) = files.iter().find(|file| !file.exists()) {
        eprintln!("skipped: there is no {}", absent.display());
        return None;
    }
    Some(files)
}

#[test]
fn components_of_a_document_are_held_against_real_records() {
    let files = [
        "crates-osv-2026-08-21.tar.zst",
        "go-osv-2026-08-21.tar.zst",
        "pypi-osv-2024-10-10.tar.zst",
        "kev-2025-08-25.json.gz",
    ];
    let Some(files) = feeds(&files) else {
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

/// Debian's record of 2025-02-12 of `6.12.9-1~bpo12+1`, by the release that it runs on and by the
/// one that it is of: 376 of the first are none, and 89 of the second were missing.
#[test]
fn a_backported_kernel_is_held_against_the_real_record_of_its_own_release() {
    let Some(files) = feeds(&["debian-osv-2025-02-12.tar.zst"]) else {
        return;
    };
    let bench = Bench::new("backport");
    let output = bench.run(&["feed", "import", &files[0].display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found = |version: &str, release: &str| -> BTreeSet<String> {
        let purl = format!(
            "pkg:deb/debian/linux-image-6.12.9%2Bbpo-amd64@{version}?arch=amd64&distro=debian-{release}&upstream=linux"
        );
        let component = json!({"type": "library", "name": "x", "purl": purl});
        let document = json!({"bomFormat": "CycloneDX", "specVersion": "1.6",
            "components": [component]});
        let path = bench.file("one.json", &document.to_string());
        let path = path.display().to_string();
        let output = bench.run(&["vulns", "--sbom", &path, "--format", "json"]);
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let findings = value["findings"].as_array().expect("a list").iter();
        let names = findings.map(|finding| finding["name"].as_str().expect("a name").to_owned());
        names.collect()
    };
    let backport = found("6.12.9-1~bpo12%2B1", "12");
    let of_its_own = found("6.12.9-1", "13");
    assert_eq!(backport, of_its_own);
    assert!(backport.contains("CVE-2024-57917"));
    // A version of the same number that the next release does not have.
    let by_the_other = found("6.12.9-1~x12%2B1", "12");
    let false_ones = by_the_other.difference(&backport).count();
    let missing = backport.difference(&by_the_other).count();
    assert_eq!((false_ones, missing), (376, 89));
}
