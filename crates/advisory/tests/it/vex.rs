//! Odd statements of VEX, by their specifications: what is not understood clears nothing, and takes
//! nothing from what is.

use advisory::read::{Refusal, Statements, csaf, openvex};
use advisory::record::VexStatus::{self, Affected, Fixed, NotAffected, UnderInvestigation};

use crate::support::time;

/// As `status NAME VERSION`.
fn told(read: &Result<Statements, Refusal>) -> Vec<String> {
    let read = &read.as_ref().expect("a document").read;
    let status = |status: VexStatus| match status {
        NotAffected => "not",
        Affected => "affected",
        Fixed => "fixed",
        UnderInvestigation => "looked at",
    };
    let line = |one: &advisory::record::Statement| {
        let line = format!(
            "{} {} {}",
            status(one.status),
            one.product.name,
            one.product.version
        );
        line.trim_end().to_owned()
    };
    read.iter().map(line).collect()
}

fn check(read: &Result<Statements, Refusal>, wanted: &[&str], refused: &[&str], case: &str) {
    assert_eq!(told(read), wanted, "{case}");
    let why = &read.as_ref().expect("a document").refused;
    assert_eq!(why.len(), refused.len(), "{case}: {why:?}");
    for (Refusal(why), wanted) in why.iter().zip(refused) {
        assert!(why.contains(wanted), "{case}: {why}");
    }
}

/// A document of one statement.
fn openvex_of(statement: &str) -> Result<Statements, Refusal> {
    let text = format!(
        r#"{{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "a", "author": "b",
        "timestamp": "2026-01-01T00:00:00Z", "last_updated": "2026-06-01T00:00:00Z", "version": 1,
        "statements": [{{"vulnerability": {{"name": "CVE-2026-0001"}}, {statement}}}]}}"#
    );
    openvex::read(text.as_bytes())
}

#[test]
fn odd_statements_of_openvex() {
    let not = r#""status": "not_affected", "justification": "component_not_present""#;
    let a = r#""products": [{"@id": "pkg:npm/a@1"}]"#;
    for (statement, wanted, refused) in [
        (format!("{a}, {not}"), &["not a 1"][..], &[][..]),
        // A justification that is none of the five.
        (
            format!(r#"{a}, "status": "not_affected", "justification": "we_think_so""#),
            &[],
            &["without a justification"],
        ),
        (
            format!(r#"{a}, "status": "not_affected", "justification": """#),
            &[],
            &["without a justification"],
        ),
        (
            format!(r#"{a}, "status": "not_affected", "impact_statement": "no such code""#),
            &["not a 1"],
            &[],
        ),
        (
            format!(
                r#"{a}, "status": "not_affected", "justification": "x", "impact_statement": "y""#
            ),
            &["not a 1"],
            &[],
        ),
        // A status that is none.
        (
            format!(r#"{a}, "status": "Not_Affected""#),
            &[],
            &["unknown variant"],
        ),
        (
            format!(r#"{a}, "status": "safe""#),
            &[],
            &["unknown variant"],
        ),
        (a.to_owned(), &[], &["missing field `status`"]),
        // One product that is none takes nothing from the others.
        (
            format!(
                r#""products": ["pkg:npm/a@1", "cpe:/a:b", 5, {{"@id": "pkg:npm/c@1"}}], {not}"#
            ),
            &["not a 1", "not c 1"],
            &["is no package URL", "names no product"],
        ),
        (
            r#""products": ["pkg:npm/a", "x"], "status": "affected""#.to_owned(),
            &["affected a"],
            &["is no package URL"],
        ),
        (not.to_owned(), &[], &["names no product"]),
        // Narrower than what can be told apart.
        (
            format!(r#""products": ["pkg:golang/example.org/a@v1#pkg/b"], {not}"#),
            &[],
            &["in it alone"],
        ),
        (
            format!(r#""products": ["pkg:pypi/a@1?file_name=a-1.whl"], {not}"#),
            &[],
            &["`file_name` is not told apart"],
        ),
        (
            format!(r#""products": ["pkg:deb/debian/a@1?arch=source&distro=bookworm"], {not}"#),
            &["not a 1"],
            &[],
        ),
        (
            format!(
                r#""products": [{{"@id": "pkg:npm/shop", "subcomponents": [{{"@id": "pkg:npm/a"}}]}}], {not}"#
            ),
            &[],
            &["inside of another product"],
        ),
        // Two package URLs of one product.
        (
            format!(
                r#""products": [{{"@id": "pkg:npm/a@1", "identifiers": {{"purl": "pkg:npm/a@2"}}}}], {not}"#
            ),
            &[],
            &["two package URLs"],
        ),
        (
            format!(
                r#""products": [{{"@id": "https://x.example/a", "identifiers": {{"purl": "pkg:npm/a@2"}}}}], {not}"#
            ),
            &["not a 2"],
            &[],
        ),
        (
            format!(
                r#""products": [{{"@id": "https://x.example/a", "identifiers": {{"cpe23": "cpe:2.3:a:b"}}}}], {not}"#
            ),
            &[],
            &["is no package URL"],
        ),
        // A time that is none: the newest statement decides, and this one's age is not told.
        (
            format!(r#"{a}, {not}, "timestamp": "yesterday""#),
            &[],
            &["timestamp is no time"],
        ),
        (
            format!(r#"{a}, {not}, "timestamp": "2026-02-30T00:00:00Z""#),
            &[],
            &["timestamp is no time"],
        ),
        // An affected one counts without its action.
        (
            format!(r#"{a}, "status": "affected""#),
            &["affected a 1"],
            &[],
        ),
    ] {
        check(&openvex_of(&statement), wanted, refused, &statement);
    }
    // What has no time of its own has the document's first one, not its last change.
    let read = openvex_of(&format!("{a}, {not}")).expect("a document");
    assert_eq!(read.read[0].at, Some(time("2026-01-01T00:00:00Z")));
    assert_eq!(read.newest, Some(time("2026-06-01T00:00:00Z")));
}

/// A document about one vulnerability.
fn csaf_of(tree: &str, vulnerability: &str) -> Result<Statements, Refusal> {
    let text = format!(
        r#"{{"document": {{"category": "csaf_vex", "csaf_version": "2.0", "publisher": {{"name": "b"}},
        "tracking": {{"id": "a", "current_release_date": "2026-01-01T00:00:00Z"}}}},
        "product_tree": {{{tree}}},
        "vulnerabilities": [{{"cve": "CVE-2026-0001", {vulnerability}}}]}}"#
    );
    csaf::read(text.as_bytes())
}

fn named(id: &str, purl: &str) -> String {
    format!(
        r#"{{"product_id": "{id}", "name": "n", "product_identification_helper": {{"purl": "pkg:{purl}"}}}}"#
    )
}

/// A product below a branch of this category.
fn below(category: &str, name: &str, purl: &str) -> String {
    let product = named("P", purl);
    format!(
        r#""branches": [{{"category": "vendor", "name": "v", "branches": [
        {{"category": "{category}", "name": "{name}", "product": {product}}}]}}]"#
    )
}

const NOT: &str = r#""product_status": {"known_not_affected": ["P"]},
    "flags": [{"label": "component_not_present", "product_ids": ["P"]}]"#;

#[test]
fn odd_statuses_of_csaf() {
    let one = format!(r#""full_product_names": [{}]"#, named("P", "npm/a@1"));
    for (vulnerability, wanted, refused) in [
        (NOT, &["not a 1"][..], &[][..]),
        // Justifications that are none, or of another product.
        (
            r#""product_status": {"known_not_affected": ["P"]}"#,
            &[],
            &["without a justification"],
        ),
        (
            r#""product_status": {"known_not_affected": ["P"]}, "flags": [{"label": "fine", "product_ids": ["P"]}]"#,
            &[],
            &["without a justification"],
        ),
        (
            r#""product_status": {"known_not_affected": ["P"]}, "flags": [{"label": "component_not_present", "product_ids": ["Q"]}]"#,
            &[],
            &["without a justification"],
        ),
        (
            r#""product_status": {"known_not_affected": ["P"]}, "threats": [{"category": "exploit_status", "details": "d", "product_ids": ["P"]}]"#,
            &[],
            &["without a justification"],
        ),
        (
            r#""product_status": {"known_not_affected": ["P"]}, "threats": [{"category": "impact", "details": " ", "product_ids": ["P"]}]"#,
            &[],
            &["without a justification"],
        ),
        (
            r#""product_status": {"known_not_affected": ["P"]}, "threats": [{"category": "impact", "details": "d", "product_ids": ["P"]}]"#,
            &["not a 1"],
            &[],
        ),
        // All states in which it is affected, or fixed.
        (
            r#""product_status": {"first_affected": ["P"]}"#,
            &["affected a 1"],
            &[],
        ),
        (
            r#""product_status": {"last_affected": ["P"]}"#,
            &["affected a 1"],
            &[],
        ),
        (
            r#""product_status": {"first_fixed": ["P"]}"#,
            &["fixed a 1"],
            &[],
        ),
        (
            r#""product_status": {"unknown": ["P"]}"#,
            &["looked at a 1"],
            &[],
        ),
        (r#""product_status": {"recommended": ["P"]}"#, &[], &[]),
        // Two that exclude each other (6.1.6): both are there, and the worse one decides.
        (
            r#""product_status": {"known_not_affected": ["P"], "known_affected": ["P"]},
            "flags": [{"label": "component_not_present", "product_ids": ["P"]}]"#,
            &["not a 1", "affected a 1"],
            &[],
        ),
        (
            r#""product_status": {"known_not_affected": ["Q"]}"#,
            &[],
            &["is not defined"],
        ),
        (r#""product_status": {}"#, &[], &[]),
    ] {
        check(
            &csaf_of(&one, vulnerability),
            wanted,
            refused,
            vulnerability,
        );
    }
    // Its other numbers are names of it too.
    let both = csaf_of(
        &one,
        &format!(r#""ids": [{{"system_name": "x", "text": "GHSA-1"}}], {NOT}"#),
    );
    assert_eq!(both.expect("a document").read[0].aliases, ["GHSA-1"]);
    // By its group.
    let tree =
        format!(r#"{one}, "product_groups": [{{"group_id": "G", "product_ids": ["P", "Q"]}}]"#);
    let by_group = NOT
        .replace(r#""product_ids""#, r#""group_ids""#)
        .replace(r#""group_ids": ["P"]"#, r#""group_ids": ["G"]"#);
    check(&csaf_of(&tree, &by_group), &["not a 1"], &[], "a group");
    let text =
        r#"{"document": {"category": "csaf_vex", "csaf_version": "3.0", "tracking": {"id": "a"}}}"#;
    assert!(csaf::read(text.as_bytes()).is_err());
}

#[test]
fn odd_products_of_csaf() {
    let relation = |helper: &str, to: &str| {
        format!(
            r#""full_product_names": [{}, {}, {{"product_id": "OS", "name": "n",
            "product_identification_helper": {{"cpe": "cpe:/o:debian:debian_linux:12"}}}}],
            "relationships": [{{"category": "default_component_of", "product_reference": "A",
            "relates_to_product_reference": "{to}",
            "full_product_name": {{"product_id": "P", "name": "n"{helper}}}}}]"#,
            named("A", "deb/debian/a@1"),
            named("SHOP", "npm/shop@1")
        )
    };
    let purl = r#", "product_identification_helper": {"purl": "pkg:deb/debian/a@2"}"#;
    for (tree, wanted, refused) in [
        (below("product_version", "1", "npm/a@1"), &["not a 1"][..], &[][..]),
        // The branch says the version where the package URL has none.
        (below("product_version", "1", "npm/a"), &["not a 1"], &[]),
        (below("product_name", "a", "npm/a"), &["not a"], &[]),
        // A range is not every version.
        (
            below("product_version_range", "vers:npm/>=2", "npm/a"),
            &[],
            &["`product_version_range` is not told apart"],
        ),
        (
            below("product_version_range", "vers:npm/>=2", "npm/a@2"),
            &["not a 2"],
            &[],
        ),
        (below("architecture", "arm64", "npm/a@1"), &[], &["`architecture`"]),
        (below("patch_level", "3", "npm/a@1"), &[], &["`patch_level`"]),
        (below("service_pack", "3", "npm/a@1"), &[], &["`service_pack`"]),
        (
            below("product_version", "1", "rpm/redhat/a@1?arch=x86_64"),
            &[],
            &["`arch` is not told apart"],
        ),
        (
            below("product_version", "1", "golang/example.org/a@v1#b"),
            &[],
            &["in it alone"],
        ),
        // A part of another product, and of the system whose package it is.
        (relation("", "SHOP"), &[], &["inside of another product"]),
        (relation("", "NOWHERE"), &[], &["inside of another product"]),
        (relation("", "OS"), &["not a 1"], &[]),
        (relation(purl, "SHOP"), &["not a 2"], &[]),
        // One id for two.
        (
            format!(
                r#""full_product_names": [{}, {}]"#,
                named("P", "npm/a@1"),
                named("P", "npm/b@1")
            ),
            &[],
            &["is defined twice"],
        ),
        (
            format!(
                r#""full_product_names": [{}, {}]"#,
                named("P", "npm/a@1"),
                named("P", "npm/a@1")
            ),
            &["not a 1"],
            &[],
        ),
        (
            r#""full_product_names": [{"product_id": "P", "name": "a"}]"#.to_owned(),
            &[],
            &["no package URL"],
        ),
        (
            r#""full_product_names": [{"product_id": "P", "name": "a", "product_identification_helper": {"cpe": "cpe:2.3:a:b:c"}}]"#.to_owned(),
            &[],
            &["no package URL"],
        ),
        // The form of CSAF 2.1.
        (
            r#""full_product_names": [{"product_id": "P", "name": "a", "product_identification_helper": {"purls": ["pkg:npm/a@1"]}}]"#.to_owned(),
            &["not a 1"],
            &[],
        ),
        (
            r#""full_product_names": [{"product_id": "P", "name": "a", "product_identification_helper": {"purls": ["pkg:npm/a@1", "pkg:npm/b@1"]}}]"#.to_owned(),
            &[],
            &["no package URL"],
        ),
        (String::new(), &[], &["is not defined"]),
    ] {
        check(&csaf_of(&tree, NOT), wanted, refused, &tree);
    }
    // That a part is affected may hold elsewhere too.
    let affected = r#""product_status": {"known_affected": ["P"]}"#;
    check(
        &csaf_of(&relation("", "SHOP"), affected),
        &["affected a 1"],
        &[],
        "an affected part",
    );
}
