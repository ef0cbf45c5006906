//! What says too little to be looked up is found another way, or said to be unknown, in every
//! form: never "0 findings".

use serde_json::{Value, json};

use crate::vulns::Bench;

/// A record of one package, affected below `fixed`.
fn record(id: &str, ecosystem: &str, name: &str, fixed: &str, more: &str) -> String {
    let fixed = match fixed {
        "" => String::new(),
        fixed => format!(r#",{{"fixed":"{fixed}"}}"#),
    };
    let kind = if ecosystem == "Go" {
        "SEMVER"
    } else {
        "ECOSYSTEM"
    };
    format!(
        r#"{{"schema_version":"1.6.0","id":"{id}","modified":"2026-01-01T00:00:00Z",
        "published":"2026-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"{ecosystem}",
        "name":"{name}"}},"ranges":[{{"type":"{kind}","events":[{{"introduced":"0"}}{fixed}]}}]{more}}}]}}"#
    )
}

fn feeds(bench: &Bench) {
    let imports = r#","ecosystem_specific":{"imports":[{"path":"golang.org/x/crypto/openpgp"}]}"#;
    bench.feeds(&[
        record("CVE-2026-1000", "Debian:12", "glibc", "9", ""),
        record(
            "CVE-2022-22965",
            "Maven",
            "org.springframework:spring-beans",
            "5.3.18",
            "",
        ),
        record("GO-2026-5932", "Go", "golang.org/x/crypto", "", imports),
        record("CVE-2026-1001", "PyPI", "django", "3.2.15", ""),
    ]);
}

/// The findings and the reasons why something is unknown, and the exit code, of a document.
fn of_document(bench: &Bench, purls: &[&str]) -> (Vec<String>, Vec<String>, Option<i32>) {
    let components = purls
        .iter()
        .map(|purl| json!({"type": "library", "name": "x", "purl": purl}));
    let document = json!({"bomFormat": "CycloneDX", "specVersion": "1.6",
        "components": components.collect::<Vec<_>>()});
    let path = bench.file("one.json", &document.to_string());
    let path = path.display().to_string();
    let args = ["vulns", "--sbom", &path, "--max-age", "60000"];
    let output = bench.run(&[&args[..], &["--format", "json"]].concat());
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let texts = |list: &str, key: &str| -> Vec<String> {
        let all = value[list].as_array().expect("a list").iter();
        all.map(|one| one[key].as_str().expect("text").to_owned())
            .collect()
    };
    let mut unknown = texts("unknown", "why");
    unknown.extend(texts("undetermined", "why"));
    // What is unknown stands in each form, and the exit code is the same in each.
    for format in ["human", "sarif", "cyclonedx-vex"] {
        let told = bench.run(&[&args[..], &["--format", format]].concat());
        assert_eq!(told.status.code(), output.status.code(), "{format}");
        let text = String::from_utf8(told.stdout).expect("text");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !unknown.is_empty() {
            assert!(!text.contains("0 findings"), "{format}: {text}");
        }
        let is_named = |why: &String| match format {
            // Of the vulnerabilities themselves people see the number.
            "human" => text.contains(why) || text.contains("can't say whether they are here"),
            _ => text.contains(&serde_json::to_string(why).expect("text").replace('"', "")),
        };
        assert!(unknown.iter().all(is_named), "{format}: {unknown:?} {text}");
    }
    (texts("findings", "name"), unknown, output.status.code())
}

#[test]
fn a_document_that_says_too_little_is_not_called_clean() {
    let bench = Bench::new("little");
    feeds(&bench);
    // (package URLs, findings, what a reason begins with, exit code)
    let cases: [(&[&str], &[&str], &str, i32); 6] = [
        (
            &["pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?distro=debian-12"],
            &[],
            "nothing says what these packages were built from",
            3,
        ),
        (
            &["pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?distro=debian-12&upstream=glibc"],
            &["CVE-2026-1000"],
            "",
            1,
        ),
        (
            &["pkg:deb/debian/glibc@2.36?distro=debian-12"],
            &["CVE-2026-1000"],
            "",
            1,
        ),
        (
            &["pkg:maven/spring-beans@5.3.17"],
            &[],
            "its group is not known",
            3,
        ),
        (
            &["pkg:maven/app@1.0"],
            &[],
            "these Java archives do not say their group",
            3,
        ),
        (
            &["pkg:maven/org.springframework/spring-beans@5.3.17"],
            &["CVE-2022-22965"],
            "",
            1,
        ),
    ];
    for (purls, findings, why, code) in cases {
        let (found, unknown, exit) = of_document(&bench, purls);
        assert_eq!(found, findings, "{purls:?}");
        assert_eq!(exit, Some(code), "{purls:?}");
        match why {
            "" => assert_eq!(unknown, [""; 0], "{purls:?}"),
            why => assert!(unknown[0].starts_with(why), "{purls:?}: {unknown:?}"),
        }
    }
}

#[test]
fn a_copy_of_a_go_module_has_what_was_copied_of_it() {
    let bench = Bench::new("copied");
    feeds(&bench);
    let modules = |packages: &str| {
        let text = format!("# golang.org/x/crypto v0.54.0\n## explicit\n{packages}");
        bench.file("root/srv/app/vendor/modules.txt", &text);
    };
    modules("golang.org/x/crypto/ssh\n");
    let (code, text) = bench.vulns(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("0 findings in 0 packages;"), "{text}");
    modules("golang.org/x/crypto/openpgp\ngolang.org/x/crypto/ssh\n");
    let (code, text) = bench.vulns(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("only in golang.org/x/crypto/openpgp;"),
        "{text}"
    );
    // Its own documents say it on.
    for (format, file) in [("cyclonedx", "one.json"), ("spdx", "two.json")] {
        modules("golang.org/x/crypto/ssh\n");
        let (root, document) = (bench.path("root"), bench.path(file));
        let args = [
            "inventory",
            "--root",
            &root,
            "--format",
            format,
            "--output",
            &document,
        ];
        assert_eq!(bench.run(&args).status.code(), Some(0));
        let vulns = ["vulns", "--sbom", &document, "--max-age", "60000"];
        let output = bench.run(&vulns);
        assert_eq!(output.status.code(), Some(0), "{format}: {output:?}");
    }
}
