//! The SARIF form of an audit: what viewers need of each finding.

use jiff::civil::date;
use model::{Outcome, Severity};
use serde_json::{Value, json};
use steadfast::report::sarif;

use crate::samples;

#[test]
fn rules_and_wants_of_roles_are_results_with_their_places() {
    let drifted =
        |resource: &str, at: &[(&str, u32)]| vec![samples::drifted(resource, "1", "0", at)];
    let mut waived = samples::failing(
        "ssh-root-login",
        Severity::High,
        "Root stays out",
        drifted("sshd PermitRootLogin", &[]),
    );
    waived.outcome = Outcome::Waived;
    waived.waiver = Some(model::finding::AppliedWaiver {
        waiver: samples::waiver("ssh-root-login", "rescue", date(2999, 12, 31)),
        expired: false,
        approver_verified: false,
    });
    let mut of_role = samples::failing(
        "shop",
        Severity::Low,
        "file /etc/shop.conf is as wanted",
        drifted("file /etc/shop.conf", &[]),
    );
    let key = model::ResourceKey {
        kind: "file".to_owned(),
        name: "/etc/shop.conf".to_owned(),
    };
    let role = model::RoleName::new("shop").expect("a name");
    of_role.rule.id = model::RuleId::of_want(&role, &key);
    let report = samples::report(vec![
        samples::failing(
            "network-forwarding",
            Severity::Medium,
            "No packets are forwarded",
            drifted(
                "sysctl net.ipv4.ip_forward",
                &[("/etc/sysctl.d/a b.conf", 3)],
            ),
        ),
        of_role,
        waived,
        samples::because(
            samples::finding("a-b", Severity::Low, "B", Outcome::Unknown),
            "needs root",
        ),
        samples::finding("c-d", Severity::Low, "D", Outcome::Pass),
    ]);
    let log = sarif::document(&report);
    let run = &log["runs"][0];
    let results = run["results"].as_array().expect("a list");
    let of = |id: &str| -> &Value {
        let found = results.iter().find(|result| result["ruleId"] == id);
        let found = found.expect("a result");
        // Each leads to its rule.
        let at = found["ruleIndex"].as_u64().expect("a number") as usize;
        assert_eq!(run["tool"]["driver"]["rules"][at]["id"], id);
        found
    };
    assert_eq!(results.len(), 4, "what passes is none");
    let forwards = of("network-forwarding");
    assert_eq!(forwards["level"], "warning");
    assert_eq!(
        forwards["locations"][0]["physicalLocation"],
        json!({
            "artifactLocation": {"uri": "etc/sysctl.d/a%20b.conf", "uriBaseId": "ROOT"},
            "region": {"startLine": 3},
        })
    );
    assert_eq!(forwards["suppressions"], json!([]));
    let shop = of("shop/file:/etc/shop.conf");
    assert_eq!(shop["level"], "note");
    assert_eq!(
        shop["locations"],
        json!([{"logicalLocations": [{"name": "file /etc/shop.conf", "kind": "resource"}]}])
    );
    assert_eq!(
        of("ssh-root-login")["suppressions"][0]["justification"],
        "rescue"
    );
    let open = of("a-b");
    assert_eq!(
        (&open["kind"], &open["level"]),
        (&json!("open"), &json!("none"))
    );
    assert_eq!(open["message"]["text"], "B: needs root");
}
