//! Findings whose new version is installed, and that something keeps open: in every form the same.

use std::collections::BTreeSet;

use advisory::assess::{Assessment, Finding, KeptOpen, Until};
use advisory::kernel::Kernel;
use advisory::rank::Exposure;
use jiff::Timestamp;
use model::Component;
use steadfast::assessing::{Advisories, Terms};
use steadfast::report::vulnerabilities::{Reported, cyclonedx, sarif};
use steadfast::show::still_open::{by, until, why_open};
use steadfast::show::vulns::{Shown, View, write};
use steadfast::style::Style;

use crate::assessing::package;
use crate::vulns::{Bench, record};

/// What a feed says of these.
pub fn assessed(bench: &Bench, components: &[Component]) -> Assessment {
    let advisories = Advisories::open(bench.path("state").as_ref()).expect("the feeds");
    let terms = Terms::usual("2026-02-01T00:00:00Z".parse().expect("a time"));
    let exposure = |_: &Component| Exposure::Installed;
    let assessed = advisories.assess(components, &exposure, &Kernel::Unknown, &terms);
    assessed.expect("an assessment")
}

pub fn openssl(version: &str) -> Component {
    package("libssl3", version, ("openssl", version))
}

/// A host with the new version, and the finding of the old one that something keeps open.
fn kept(bench: &Bench, kept_open: Vec<KeptOpen>) -> (Component, Assessment) {
    bench.feeds(&[record("CVE-2026-0001", Some("3.0.11-1"), "critical")]);
    let new = openssl("3.0.11-1");
    let mut now = assessed(bench, std::slice::from_ref(&new));
    assert!(now.findings.is_empty(), "{now:?}");
    let mut before = assessed(bench, &[openssl("3.0.10-1")]);
    before.findings[0].kept_open = kept_open;
    now.add(before.findings);
    (new, now)
}

fn runs(who: &str, until: Until) -> KeptOpen {
    KeptOpen::RunsOldFiles {
        who: who.to_owned(),
        until,
    }
}

#[test]
fn it_says_what_ends_it() {
    let bench = Bench::new("until");
    let (_, assessment) = kept(&bench, Vec::new());
    let plain = &assessment.findings[0];
    assert_eq!(until(plain), None);
    let (cron, ssh) = ("cron.service", "ssh.service");
    let cases = [
        (
            vec![runs(cron, Until::Restart)],
            "until cron.service is restarted",
        ),
        (
            vec![runs(cron, Until::Restart), runs(ssh, Until::Restart)],
            "until cron.service and ssh.service are restarted",
        ),
        (
            vec![
                runs(cron, Until::Restart),
                runs("sleeper (process 12)", Until::End),
            ],
            "until cron.service is restarted, and sleeper (process 12) ends",
        ),
        (
            vec![runs("init.scope", Until::Reboot)],
            "until a reboot: init.scope still runs old files",
        ),
        // A restart alone would not do.
        (
            vec![
                runs("dbus.service", Until::Reboot),
                runs("init.scope", Until::Reboot),
                runs(cron, Until::Restart),
                runs("session-1.scope", Until::End),
            ],
            "until a reboot: dbus.service, init.scope, cron.service and 1 more still run old files",
        ),
        (
            vec![KeptOpen::Unfinished {
                change: "c-3".to_owned(),
            }],
            "since change c-3 is not finished",
        ),
    ];
    for (kept_open, wanted) in cases {
        let finding = Finding {
            kept_open,
            ..plain.clone()
        };
        assert_eq!(until(&finding).as_deref(), Some(wanted));
        assert_eq!(by(&finding).len(), finding.kept_open.len());
    }
    let interrupted = Finding {
        kept_open: vec![KeptOpen::Unfinished {
            change: "c-3".to_owned(),
        }],
        ..plain.clone()
    };
    let wanted = "open since change c-3 is not finished; unless it is at work, steadfast recover \
                  ends it";
    assert_eq!(why_open(&interrupted).as_deref(), Some(wanted));
    let booted = Finding {
        until_boot_of: Some("6.1.129-1".to_owned()),
        ..plain.clone()
    };
    let wanted = "until kernel 6.1.129-1 is booted";
    assert_eq!(until(&booted).as_deref(), Some(wanted));
}

#[test]
fn every_form_has_it() {
    let bench = Bench::new("kept-open");
    let (component, assessment) = kept(&bench, vec![runs("cron.service", Until::Restart)]);
    let shown = Shown {
        distribution: Some("Debian:12".to_owned()),
        unseen_processes: Vec::new(),
        format: 1,
        generated: Timestamp::UNIX_EPOCH,
        hostname: "web-1".to_owned(),
        release: "Debian 12".to_owned(),
        root: None,
        sbom: None,
        words: Vec::new(),
        assessment,
        waived: Vec::new(),
        expired_waivers: Vec::new(),
        idle_waivers: Vec::new(),
        other_roots: Vec::new(),
    };
    let view = View {
        verbose: false,
        today: jiff::civil::date(2026, 2, 1),
        flags: String::new(),
    };
    let mut out = Vec::new();
    write(&mut out, &shown, &view, &Style::plain(80, true)).expect("a vector");
    let human = String::from_utf8(out).expect("UTF-8");
    assert!(human.contains("1 finding in 1 package"), "{human}");
    assert!(human.contains("openssl 3.0.10-1 → 3.0.11-1"), "{human}");
    let open = "a newer version is installed: open until cron.service is restarted";
    assert!(human.contains(open), "{human}");

    let json = serde_json::to_value(&shown).expect("JSON");
    assert_eq!(
        json["findings"][0]["kept_open"],
        serde_json::json!([{"why": "runs_old_files", "who": "cron.service", "until": "restart"}])
    );

    let components = [component];
    let reported = Reported {
        shown: &shown,
        components: &components,
    };
    let text = |_: &str| Ok((String::new(), String::new()));
    let open = "newer version is installed: open until cron.service is restarted";
    let log = sarif::document(&reported, &text).ok().expect("a log");
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["kind"], "fail");
    let message = result["message"]["text"].as_str().expect("text");
    assert!(message.contains(open), "{message}");
    assert!(!message.contains("Upgrade"), "{message}");
    assert!(
        message.ends_with("; due 2026-01-04 (BOD 26-04)."),
        "{message}"
    );
    // Named as the package that is there.
    let place = &result["locations"][0]["logicalLocations"][0]["name"];
    assert_eq!(place, "libssl3");

    let bill = cyclonedx::document(&reported, &text).ok().expect("a bill");
    let item = &bill["vulnerabilities"][0];
    assert_eq!(item["analysis"]["state"], "exploitable");
    assert!(item["analysis"]["response"].is_null(), "{item}");
    let detail = item["analysis"]["detail"].as_str().expect("text");
    assert!(detail.contains(open), "{detail}");
    assert_eq!(item["affects"][0]["versions"][0]["version"], "3.0.10-1");
    let known: BTreeSet<&str> = bill["components"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["bom-ref"].as_str())
        .collect();
    let about = item["affects"][0]["ref"].as_str().expect("a reference");
    assert!(known.contains(about), "{bill}");
}
