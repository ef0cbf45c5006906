//! What a plan leaves to those who answer for it, by which policy a saved plan may be carried out, and
//! what is said where the state folder or the disk is damaged or full.

use crate::booted::Host;

const WAIVERS: &str = "\
- {rule: ssh-root-login, hosts: [\"*\"], reason: break-glass, owner: ana, approver: li, expires: UNTIL}
";

fn waive(host: &Host, until: &str) {
    host.write(
        "/etc/steadfast/policy/waivers.yaml",
        WAIVERS.replace("UNTIL", until),
    );
}

#[test]
fn what_is_waived_is_left_out_and_named() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("mkdir -p /etc/ssh/sshd_config.d; rm -f /etc/ssh/sshd_config.d/*; echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/00-own.conf");
    let named = "ssh-root-login: waived until 2099-01-31 by ana, approved by li: break-glass";
    waive(&host, "2099-01-31");
    let said = host
        .steadfast(&["plan", "--baseline", "openssh"])
        .expect(1, &[named]);
    assert!(!said.out.contains("PermitRootLogin no"), "{said}");
    // Who asks for it by its name has it.
    host.steadfast(&["plan", "--rule", "ssh-root-login"])
        .expect(1, &["PermitRootLogin no"]);
    waive(&host, "2026-01-31");
    host.steadfast(&["plan", "--baseline", "openssh"])
        .expect(1, &["PermitRootLogin no"]);
    // A want of a role, by the name that audit gives it.
    host.role(
        "mine",
        "  - file: {path: /etc/waived.conf, content: \"a\\n\"}\n  - file: {path: /etc/other.conf, content: \"b\\n\"}\n",
    );
    let audit = host.steadfast(&["audit", "--role", "mine", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&audit.out).expect("a report");
    let findings = report["findings"].as_array().expect("findings");
    let ids = findings.iter().filter_map(|one| one["rule"]["id"].as_str());
    let id = ids.into_iter().find(|id| id.contains("waived"));
    let id = id.expect("a finding of the want");
    host.write(
        "/etc/steadfast/policy/waivers.yaml",
        format!(
            "- {{rule: \"{id}\", hosts: [\"*\"], reason: theirs, owner: ana, approver: li, expires: 2099-01-31}}\n"
        ),
    );
    host.steadfast(&["apply", "--role", "mine", "--yes"])
        .expect(0, &["it is as planned"]);
    host.shell("test -e /etc/other.conf && ! test -e /etc/waived.conf");
    host.steadfast(&["plan", "--role", "mine"])
        .expect(0, &["nothing to do", "waived until 2099-01-31 by ana"]);
}

#[test]
fn a_saved_plan_is_carried_out_by_a_policy_of_roots_alone() {
    let Some(host) = Host::installed() else {
        return;
    };
    let role = |text: &str| {
        format!("role: motd\nwant:\n  - file: {{path: /etc/motd, content: \"{text}\\n\"}}\n")
    };
    host.shell("mkdir -p /root/P/roles /tmp/evil/roles");
    host.write("/root/P/roles/motd.yaml", role("hi"));
    host.write("/tmp/evil/roles/motd.yaml", role("evil"));
    host.shell("chown -R nobody /tmp/evil; cp -p /etc/motd /root/motd || true");
    let saved = [
        "plan",
        "--policy",
        "/root/P",
        "--role",
        "motd",
        "--output",
        "/root/p.json",
    ];
    host.steadfast(&saved).expect(1, &[]);
    host.shell(
        "sed -e 's#/root/P#/tmp/evil#g' -e 's#hi\\\\n#evil\\\\n#g' /root/p.json > /root/t.json; grep -q /tmp/evil /root/t.json",
    );
    host.steadfast(&["apply", "/root/t.json", "--yes"])
        .expect(2, &["others than root could have written"]);
    // A file of root's policy that is another's.
    host.shell("chown nobody /root/P/roles/motd.yaml; ! grep -q evil /etc/motd");
    host.steadfast(&["apply", "/root/p.json", "--yes"])
        .expect(2, &["/root/P/roles/motd.yaml", "others than root"]);
    host.shell("chown root /root/P/roles/motd.yaml");
    host.steadfast(&["apply", "/root/p.json", "--yes"])
        .expect(0, &["it is as planned"]);
    assert_eq!(host.shell("cat /etc/motd"), "hi\n");
}

#[test]
fn a_lost_journal_or_key_is_said() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "mine",
        "  - file: {path: /etc/mine.conf, content: \"a\\n\"}\n",
    );
    host.shell("echo b > /etc/mine.conf");
    host.steadfast(&["apply", "--role", "mine", "--yes"])
        .expect(0, &[]);
    let audit = ["audit", "--role", "mine"];
    host.steadfast(&audit).expect(0, &[]);
    host.shell("mkdir /root/kept; mv /var/lib/steadfast/journal.db* /root/kept/");
    let lost = "is missing or empty, and there is what earlier changes left beside it";
    host.steadfast(&["history"]).expect(5, &[lost]);
    host.steadfast(&["patch", "status"]).expect(3, &[lost]);
    host.steadfast(&audit).expect(3, &[lost]);
    let json = host.steadfast(&["audit", "--role", "mine", "--format", "json"]);
    assert!(json.out.contains("unended_unknown"), "{json}");
    // Also where the before-images are gone with it.
    host.shell("mv /var/lib/steadfast/images /root/images");
    host.steadfast(&["history"]).expect(
        5,
        &[lost, "mv /var/lib/steadfast /var/lib/steadfast.damaged"],
    );
    host.shell("mv /root/images /var/lib/steadfast/");
    host.shell("mv /root/kept/* /var/lib/steadfast/; mv /var/lib/steadfast/key /root/kept/");
    host.steadfast(&["history"])
        .expect(5, &["Put the key back from a backup"]);
}

#[test]
fn a_report_that_can_not_be_written_leaves_the_old_one() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(
        "mkdir /srv/small; mount -t tmpfs -o size=16k none /srv/small; echo old > /srv/small/r.html; \
         chmod 644 /srv/small/r.html",
    );
    let audit = ["audit", "--format", "html", "--output", "/srv/small/r.html"];
    host.steadfast(&audit)
        .expect(2, &["can't write the report", "stays as it is"]);
    assert_eq!(
        host.shell("ls -A /srv/small; cat /srv/small/r.html"),
        "r.html\nold\n"
    );
    host.shell("mount -o remount,size=16m /srv/small");
    let said = host.steadfast(&audit);
    assert!(said.err.contains("written to"), "{said}");
    assert_eq!(
        host.shell("ls -A /srv/small; stat -c %a /srv/small/r.html"),
        "r.html\n644\n"
    );
}
