//! A host is held to its role: each drift by hand is a finding of its own, with evidence, a waiver
//! and an exit code; and what could not be judged is never a pass.

use serde_json::Value;

use crate::booted::{Host, POLICY};

/// One want of each kind that people drift from by hand, as `--format json` calls it.
const WANTS: [(&str, &str, &str); 10] = [
    (
        "file:/etc/shop.conf",
        "file: {path: /etc/shop.conf, content: \"port = 80\\n\"}",
        "echo port = 81 > /etc/shop.conf",
    ),
    (
        "directory:/etc/shop",
        "directory: {path: /etc/shop, mode: \"0750\"}",
        "chmod 0777 /etc/shop",
    ),
    (
        "service:cron.service",
        "service: {name: cron, enabled: true, running: true}",
        "systemctl -q disable --now cron",
    ),
    (
        "package:iputils-ping",
        "package: {name: iputils-ping}",
        "dpkg -r iputils-ping",
    ),
    (
        "user:ana",
        "user: {name: ana, shell: /bin/sh}",
        "chsh -s /bin/bash ana",
    ),
    (
        "group:operators",
        "group: {name: operators, members: [ana]}",
        "gpasswd -d ana operators",
    ),
    (
        "link:/etc/shop.d",
        "link: {path: /etc/shop.d, target: shop}",
        "ln -sfn /tmp /etc/shop.d",
    ),
    (
        "sysctl:net.ipv4.conf.all.log_martians",
        "sysctl: {key: net.ipv4.conf.all.log_martians, value: 1}",
        "sysctl -q net.ipv4.conf.all.log_martians=0",
    ),
    (
        "key_value:/etc/login.defs LOGIN_RETRIES",
        "key_value: {path: /etc/login.defs, syntax: space, key: LOGIN_RETRIES, value: 3}",
        "sed -i 's/^LOGIN_RETRIES.*/LOGIN_RETRIES 99/' /etc/login.defs",
    ),
    (
        "sudo_rule:shop",
        "sudo_rule: {name: shop, user: ana, run_as: root, commands: [/usr/bin/true]}",
        "echo 'ana ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers.d/shop",
    ),
];

/// The role with its wants in this order; the one for sudo weighs more than the others.
fn role(host: &Host, order: impl Iterator<Item = usize>) {
    let wants: String = order
        .map(|at| {
            let (key, want, _) = WANTS[at];
            let severity = match key {
                "sudo_rule:shop" => "    severity: critical\n",
                _ => "",
            };
            format!("  - {want}\n{severity}")
        })
        .collect();
    host.role("shop", &wants);
}

struct Found {
    id: String,
    outcome: String,
    severity: String,
    has_evidence: bool,
}

fn audit(host: &Host, code: i32) -> Vec<Found> {
    let said = host.steadfast(&["audit", "--role", "shop", "--format", "json"]);
    let said = said.expect(code, &[]);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    let mut found: Vec<Found> = report["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|finding| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let drift = &finding["drifts"][0];
            Found {
                id: text(&finding["rule"]["id"]),
                outcome: text(&finding["outcome"]),
                severity: text(&finding["rule"]["severity"]),
                has_evidence: drift["observed"].is_string() && drift["wanted"].is_string(),
            }
        })
        .collect();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

#[test]
fn each_drift_by_hand_is_a_finding() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("useradd -m -s /bin/sh ana");
    role(&host, 0..WANTS.len());
    host.steadfast_confirmed(
        &["apply", "--role", "shop", "--yes", "--detach"],
        crate::booted::APPLY_KEPT,
    )
    .expect(0, &[]);
    let as_wanted = audit(&host, 0);
    assert!(as_wanted.iter().all(|one| one.outcome == "pass"));
    for (_, _, drift) in WANTS {
        host.shell(drift);
    }
    let drifted = audit(&host, 1);
    let mut ids: Vec<String> = WANTS
        .iter()
        .map(|(key, ..)| format!("shop/{key}"))
        .collect();
    ids.sort();
    let found: Vec<&str> = drifted.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(found, ids);
    for one in &drifted {
        assert_eq!(one.outcome, "fail", "{}", one.id);
        assert!(one.has_evidence, "{}", one.id);
        let weighs_more = one.id == "shop/sudo_rule:shop";
        let severity = if weighs_more { "critical" } else { "medium" };
        assert_eq!(one.severity, severity, "{}", one.id);
    }
    // Named by an id, so that order means nothing.
    role(&host, (0..WANTS.len()).rev());
    let again: Vec<String> = audit(&host, 1).into_iter().map(|one| one.id).collect();
    assert_eq!(again, ids);
    host.steadfast(&["audit", "--role", "shop", "--fail-on", "high"])
        .expect(1, &["shop/sudo_rule:shop"]);

    // A waiver names one, and the others count.
    let waivers: String = ids
        .iter()
        .map(|id| {
            format!(
                "- rule: \"{id}\"\n  hosts: [\"*\"]\n  reason: it is replaced\n  owner: ana\n  \
                 approver: li\n  expires: 2099-01-31\n"
            )
        })
        .collect();
    let (first, rest) = waivers.split_at(waivers[1..].find("- rule").map_or(0, |at| at + 1));
    host.write(&format!("{POLICY}/waivers.yaml"), first);
    let waived = audit(&host, 1);
    let count =
        |found: &[Found], outcome: &str| found.iter().filter(|one| one.outcome == outcome).count();
    assert_eq!((count(&waived, "waived"), count(&waived, "fail")), (1, 9));
    host.write(&format!("{POLICY}/waivers.yaml"), format!("{first}{rest}"));
    assert_eq!(count(&audit(&host, 0), "waived"), WANTS.len());
}

#[test]
fn what_could_not_be_judged_is_no_pass() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role("empty", "  []\n");
    host.role(
        "nothing",
        "  - directory: {path: /srv/none, mode: {at_most: \"0755\"}}\n",
    );
    host.role(
        "unknown",
        "  - command: {name: odd, check: [/nowhere/odd]}\n",
    );
    for role in ["empty", "nothing", "unknown"] {
        for more in [&[][..], &["--fail-on", "critical"][..]] {
            let words = [&["audit", "--role", role][..], more].concat();
            let said = host.steadfast(&words);
            assert!(!matches!(said.code, Some(0) | None), "{role}: {said}");
        }
    }
    // Neither is a rule that does not apply here.
    let said = host.steadfast(&["audit", "--rule", "network-forwarding", "--root", "/mnt"]);
    assert_ne!(said.code, Some(0), "{said}");
}

/// What could not be looked at is unknown, and no command ends as if it were as wanted.
#[test]
fn a_want_that_can_not_be_looked_at_is_no_success() {
    const LINE: &str = "not known to be as wanted, since it could not be looked at: ";
    let Some(host) = Host::fresh() else { return };
    host.shell("rm /etc/login.defs && mkfifo /etc/login.defs");
    let retries =
        "  - key_value: {path: /etc/login.defs, syntax: space, key: LOGIN_RETRIES, value: 3}\n";
    let both = format!("  - file: {{path: /etc/shop.conf, content: \"port = 80\\n\"}}\n{retries}");
    host.role("both", &both);
    let last = |said: &crate::booted::Said, what: &str| {
        let last = said.err.lines().last().unwrap_or_default();
        assert!(last.starts_with(LINE) && last.contains(what), "{said}");
    };
    let role = ["--role", "both"];
    let said = host.steadfast(&["apply", role[0], role[1], "--yes"]);
    last(
        &said.expect(3, &["is in effect"]),
        "role both: key_value /etc/login.defs",
    );
    host.shell("grep -q 80 /etc/shop.conf");
    // By now there is nothing else.
    let said = host.steadfast(&["apply", role[0], role[1], "--yes"]);
    last(
        &said.expect(3, &["nothing is known to be to do"]),
        "key_value /etc/login.defs",
    );
    let said = host.steadfast(&["plan", role[0], role[1]]);
    last(&said.expect(3, &[]), "key_value /etc/login.defs");
    host.steadfast(&["audit", role[0], role[1]]).expect(3, &[]);

    let rule = ["--rule", "authentication-hash-method"];
    let said = host.steadfast(&["plan", rule[0], rule[1]]);
    last(&said.expect(3, &[]), rule[1]);
    let said = host.steadfast(&["apply", rule[0], rule[1], "--yes"]);
    last(&said.expect(3, &[]), rule[1]);
}

/// The mode that is wanted is all that counts: also where a mask hid an ACL until now, and for what is
/// made in a directory.
#[test]
fn acls_that_give_more_than_the_mode_are_taken_away() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(
        "echo a > /etc/acl; setfacl -m u:daemon:rw /etc/acl; chmod 600 /etc/acl; \
         mkdir -m 750 /etc/acls; setfacl -d -m u:daemon:rwx /etc/acls",
    );
    host.role(
        "acl",
        "  - file: {path: /etc/acl, content: \"a\\n\", mode: \"0640\"}\n  - directory: {path: /etc/acls, mode: \"0750\"}\n",
    );
    let before = host.snapshot();
    host.steadfast(&["plan", "--role", "acl"])
        .expect(1, &["without its ACL", "/etc/acls"]);
    let apply = ["apply", "--role", "acl", "--yes"];
    host.steadfast(&apply).expect(0, &["it is as planned"]);
    host.shell("! getfacl -cp /etc/acl /etc/acls | grep -q daemon");
    host.steadfast(&apply).expect(0, &["nothing"]);
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    host.expect_same(&before);
}

/// What an audit says to type next is taken as it stands: a role that another includes is asked for by
/// that, whose parameters it goes with. And a plan shows every right that it gives.
#[test]
fn what_to_type_next_can_be_typed() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "base",
        "  - user: {name: ida, group: shadow}\n  \
         - authorized_key: {user: ida, key: 'ssh-ed25519 \
         AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ida'}\n  \
         - file: {path: /etc/base, content: \"x\\n\"}\n",
    );
    host.write(
        &format!("{POLICY}/roles/web.yaml"),
        "role: web\ninclude: [base]\nparams: {name: {type: string}}\nwant:\n  \
         - file: {path: /etc/web, content: \"{{ name }}\\n\"}\n",
    );
    let flags = format!("--policy {POLICY} --role web --param name=shop");
    let asked = format!("audit {flags}");
    let said = host.steadfast(&asked.split(' ').collect::<Vec<_>>());
    let said = said.expect(1, &["steadfast plan --role web"]);
    let mut lines = said.out.lines();
    let next = lines.find_map(|line| line.split_once("next").map(|(_, next)| next.trim()));
    let next = next.expect("it is said");
    assert!(next.contains("--param name=shop"), "{said}");
    let words: Vec<&str> = next.split_whitespace().skip(1).collect();
    host.steadfast(&words)
        .expect(1, &["create the account ida, main group shadow"]);
    let apply = ["apply", "--role", "base", "--yes", "--detach"];
    host.steadfast(&apply).expect(0, &[]);
    let group = host.shell("stat -c %G /home/ida/.ssh/authorized_keys");
    assert_eq!(group, "shadow\n");
}
