//! Where steadfast is not root on a host that systemd runs: as an ordinary user, on a tree of
//! another host, without systemd. It does what can be done there, says once what can't, and
//! refuses what would not be safe.

use lab::{Exec, Image, Options, Release};
use model::Outcome;
use plan::Report;

use crate::booted::{Host, LIMIT, PROGRAM, Said, cache, lab_is_wanted};

/// How often a reason stands in what a person reads.
fn times(said: &Said, word: &str) -> usize {
    format!("{}{}", said.out, said.err).matches(word).count()
}

fn report(said: &Said) -> Report {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn an_ordinary_user_is_told_once_what_needs_root() {
    let Some(host) = Host::fresh() else { return };
    host.shell("useradd -m ana && echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/10-x.conf");
    let before = host.snapshot();
    let as_ana = |words: &str| {
        let exec = Exec::new(["su", "ana", "-c", &format!("{PROGRAM} {words}")]);
        host.run_as(exec.limit(LIMIT))
    };
    let said = as_ana("audit").expect(1, &["not as root", "Score"]);
    assert_eq!(times(&said, "run with sudo"), 1, "{said}");

    let said = as_ana("audit --format json");
    let found = report(&said);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(!found.host.as_root);
    let unknown = found
        .findings
        .iter()
        .filter(|found| found.outcome == Outcome::Unknown);
    for finding in unknown.clone() {
        let reason = finding.reason.as_deref().unwrap_or_default();
        assert!(
            reason.contains("root") || reason.contains("could not be read"),
            "{}: {reason}",
            finding.rule.id
        );
    }
    assert!(unknown.count() > 10, "{:?}", found.counts);
    assert!(found.counts.pass > 40, "{:?}", found.counts);

    // Only what fails counts, where a user says so; what is unknown has a code of its own.
    as_ana("audit --baseline openssh --rule ssh-ciphers").expect(3, &["run with sudo"]);

    // Nothing is changed with the rights of a user, and nothing is left behind.
    as_ana("apply --baseline debian --yes").expect(1, &["nothing was changed", "run with sudo"]);
    host.shell("rm -rf /home/ana/.local");
    host.shell("touch -r /home /home/ana");
    let mut left = crate::booted::differences(&before, &host.snapshot());
    left.retain(|left| !left.path.starts_with("/home/ana"));
    assert!(left.is_empty(), "{}", crate::booted::listed(&left));
}

/// A tree of an image: none of its programs runs, and none of its links leads out of it.
#[test]
fn a_tree_is_audited_without_its_programs() {
    if !lab_is_wanted(lab::Requirements::Containers) {
        return;
    }
    let image = Image::build(Release::Bookworm, &cache(), &mut |_| {}).expect("an image");
    let Some(host) = Host::with(Options {
        binds: vec![(image.tree(), "/srv/tree".into())],
        ..Options::default()
    }) else {
        return;
    };
    host.shell(
        "mkdir -p /tmp/upper /tmp/work /mnt/tree && mount -t overlay overlay \
         -o lowerdir=/srv/tree,upperdir=/tmp/upper,workdir=/tmp/work /mnt/tree",
    );
    // Every program of the tree that might be asked leaves a trace.
    host.shell(
        "for program in sbin/sshd bin/systemctl sbin/sysctl bin/getent bin/dpkg-query bin/findmnt sbin/auditctl; do \
         printf '#!/bin/sh\\ntouch /ran /mnt/tree/ran\\n' > /mnt/tree/usr/$program; \
         chmod 755 /mnt/tree/usr/$program; done",
    );
    host.shell("echo other > /mnt/tree/etc/hostname; ln -sf /etc/passwd /mnt/tree/etc/shadow-; \
                echo 'eve::0:0::/:/bin/sh' >> /mnt/tree/etc/passwd; echo 'PermitRootLogin yes' > /mnt/tree/etc/ssh/sshd_config.d/x.conf");
    let listing = "cd /mnt/tree && find . -printf '%p %m %u %T@\\n' | sort | sha256sum";
    let before = host.shell(listing);
    let said = host.steadfast(&["audit", "--root", "/mnt/tree", "--format", "json"]);
    let found = report(&said);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert_eq!(found.host.hostname, "other");
    assert_eq!(found.host.root.as_deref(), Some("/mnt/tree"));
    let of = |rule: &str| {
        let mut findings = found.findings.iter();
        let found = findings.find(|finding| finding.rule.id.as_str() == rule);
        found.unwrap_or_else(|| panic!("no finding of {rule}"))
    };
    assert_eq!(of("accounts-second-root").outcome, Outcome::Fail);
    // What its files decide is known; what only sshd could say is not.
    assert_eq!(of("ssh-root-login").outcome, Outcome::Fail);
    let reason = of("ssh-ciphers").reason.as_deref();
    assert!(
        reason.is_some_and(|reason| reason.contains("offline")),
        "{reason:?}"
    );
    assert!(found.counts.pass > 30, "{:?}", found.counts);
    let said = host.steadfast(&["audit", "--root", "/mnt/tree"]);
    assert_eq!(times(&said, "rules: offline"), 1, "{said}");
    assert_eq!(host.shell(listing), before, "nothing in the tree changed");
    host.shell("test ! -e /ran && test ! -e /mnt/tree/ran");
    host.steadfast(&["audit", "--root", "/nowhere"])
        .expect(2, &["/nowhere"]);
}

/// Another init than systemd: what `sd_booted(3)` looks for is not there, and neither is a bus.
#[test]
fn without_systemd_what_could_cut_people_off_is_refused() {
    let Some(host) = Host::fresh() else { return };
    host.shell(
        "echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/10-x.conf; chmod 0666 /etc/crontab",
    );
    let elsewhere = |words: &str| {
        let line = format!(
            "mount -t tmpfs tmpfs /run && mkdir /run/sshd && mount -t proc proc /proc && exec {PROGRAM} {words}"
        );
        let exec = Exec::new([
            "unshare", "--mount", "--pid", "--fork", "/bin/sh", "-c", &line,
        ]);
        host.run_as(exec.limit(LIMIT))
    };
    let said = elsewhere("audit --format json");
    let found = report(&said);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(found.counts.pass > 60, "{:?}", found.counts);
    // Where the journal will be is in a directory whose time is not the change's.
    host.shell("mkdir -m 700 /var/lib/steadfast");
    let before = host.snapshot();

    elsewhere("apply --rule ssh-root-login --yes").expect(
        1,
        &["systemd does not run this host", "nothing was changed"],
    );
    host.expect_same(&before);

    elsewhere("apply --rule cron-files --yes").expect(0, &["is in effect"]);
    assert_eq!(host.shell("stat -c %a /etc/crontab"), "664\n");
    elsewhere("undo last --yes").expect(0, &["as it was before it"]);
    host.expect_same(&before);
}
