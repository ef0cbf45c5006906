//! Hosts on which files are anything but what they should be, and programs never answer: the
//! audit ends in time, says what it could not check and why, and goes on with the rest.

use std::time::{Duration, Instant};

use lab::Exec;
use model::{Finding, Outcome};
use plan::Report;
use rustix::process::{Signal, kill_process};

use crate::booted::{Host, PROGRAM};

/// A program that hangs is given up after five seconds, and a few may; in a debug build on a
/// busy machine, with room. What hangs for good is found by this as well.
const BOUND: Duration = Duration::from_secs(90);

/// More rules than this are still judged: the others go on.
const STILL_JUDGED: usize = 60;

/// One thing that is wrong with a host.
struct Broken {
    what: &'static str,
    /// Lines of shell that break it, and that mend it.
    how: &'static str,
    mend: &'static str,
    /// A rule that it keeps from being checked, and words of the reason.
    unknown: &'static [(&'static str, &'static str)],
}

/// Audits the whole host, within the bound, and without a raw character that a terminal or a
/// log could obey.
#[track_caller]
fn audit(host: &Host, what: &str) -> Report {
    let began = Instant::now();
    let exec = Exec::new([PROGRAM, "audit", "--format", "json"]).limit(BOUND);
    let output = host.container.exec(&exec);
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        matches!(output.code(), Some(0 | 1 | 3)),
        "{what}: {output:?}"
    );
    harmless(what, &output.text());
    harmless(what, &output.errors());
    say(&format!("{what}: {:?}", began.elapsed()));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{what}: {error}: {output:?}"))
}

#[expect(clippy::print_stdout, reason = "how long each took")]
fn say(text: &str) {
    println!("{text}");
}

#[track_caller]
fn harmless(what: &str, text: &str) {
    let raw = |c: &char| *c != '\n' && model::escape::is_hidden(*c);
    let found = text.chars().find(raw);
    assert!(found.is_none(), "{what}: a raw {found:?} in: {text}");
}

#[track_caller]
fn finding<'a>(report: &'a Report, rule: &str, what: &str) -> &'a Finding {
    let mut findings = report.findings.iter();
    findings
        .find(|finding| finding.rule.id.as_str() == rule)
        .unwrap_or_else(|| panic!("{what}: no finding of {rule}"))
}

#[track_caller]
fn check(host: &Host, broken: &Broken) {
    let what = broken.what;
    host.shell(broken.how);
    let report = audit(host, what);
    for (rule, why) in broken.unknown {
        let finding = finding(&report, rule, what);
        let reason = finding.reason.as_deref().unwrap_or_default();
        assert!(
            matches!(finding.outcome, Outcome::Unknown | Outcome::Error) && reason.contains(why),
            "{what}: {rule} is {:?}: {reason}",
            finding.outcome
        );
    }
    let judged = report
        .findings
        .iter()
        .filter(|finding| matches!(finding.outcome, Outcome::Pass | Outcome::Fail))
        .count();
    assert!(
        judged > STILL_JUDGED,
        "{what}: only {judged} rules are judged"
    );
    host.shell(broken.mend);
}

const fn broken(
    what: &'static str,
    how: &'static str,
    mend: &'static str,
    unknown: &'static [(&'static str, &'static str)],
) -> Broken {
    Broken {
        what,
        how,
        mend,
        unknown,
    }
}

const LOGIN_DEFS: &str = "rm -rf /etc/login.defs && cp -p /root/login.defs /etc/";

#[test]
fn files_that_are_not_what_they_should_be() {
    let Some(host) = Host::fresh() else { return };
    host.shell("cp -p /etc/login.defs /etc/passwd /etc/shadow /var/lib/dpkg/status /root/");
    let whole = audit(&host, "as it should be");
    assert_eq!(whole.counts.unknown + whole.counts.error, 0, "{whole:?}");
    let cases = [
        broken(
            "a FIFO",
            "rm /etc/login.defs && mkfifo /etc/login.defs",
            LOGIN_DEFS,
            &[(
                "authentication-hash-method",
                "`/etc/login.defs` is not a regular file",
            )],
        ),
        broken(
            "a socket",
            "rm /etc/login.defs && perl -MSocket -e \
             'socket(S,PF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un(\"/etc/login.defs\"))' \
             && test -S /etc/login.defs",
            LOGIN_DEFS,
            &[(
                "authentication-hash-method",
                "`/etc/login.defs` is not a regular file",
            )],
        ),
        broken(
            "a device that never ends",
            "rm /etc/login.defs && mknod /etc/login.defs c 1 5",
            LOGIN_DEFS,
            &[(
                "authentication-hash-method",
                "`/etc/login.defs` is not a regular file",
            )],
        ),
        broken(
            "a directory",
            "rm /etc/login.defs && mkdir /etc/login.defs",
            LOGIN_DEFS,
            &[(
                "authentication-hash-method",
                "`/etc/login.defs` is a directory",
            )],
        ),
        broken(
            "a loop of links",
            "rm /etc/login.defs && ln -s login.defs /etc/login.defs",
            LOGIN_DEFS,
            &[(
                "authentication-hash-method",
                "`/etc/login.defs`: the links on this path form a loop",
            )],
        ),
        broken(
            "100 MB",
            "yes '# words' | head -c 100000000 > /etc/login.defs",
            LOGIN_DEFS,
            &[(
                "authentication-hash-method",
                "`/etc/login.defs`: 100.0 MB is over the limit",
            )],
        ),
        broken(
            "bytes that mean nothing",
            "head -c 100000 /dev/urandom > /etc/login.defs",
            LOGIN_DEFS,
            &[],
        ),
        broken("gone", "rm /etc/login.defs", LOGIN_DEFS, &[]),
        broken(
            "a FIFO among drop-ins",
            "mkfifo /etc/sysctl.d/00-fifo.conf /etc/ssh/sshd_config.d/00-fifo.conf /etc/modprobe.d/00-fifo.conf",
            "rm /etc/*/00-fifo.conf /etc/ssh/*/00-fifo.conf",
            &[
                (
                    "network-forwarding",
                    "`/etc/sysctl.d/00-fifo.conf` is not a regular file",
                ),
                // It is sshd that reads this one, and waits.
                ("ssh-root-login", "`sshd -T`: no answer within 5000 ms"),
            ],
        ),
        broken(
            "a loop and 100 MB among drop-ins",
            "ln -s 00-x.conf /etc/sysctl.d/00-x.conf; yes 'a.b = 1' | head -c 100000000 > /etc/sysctl.d/01-x.conf",
            "rm /etc/sysctl.d/0?-x.conf",
            &[("network-forwarding", "`/etc/sysctl.d/00-x.conf`: the links")],
        ),
        broken(
            "an sshd_config of bytes that mean nothing",
            "head -c 5000 /dev/urandom > /etc/ssh/sshd_config.d/00-x.conf",
            "rm /etc/ssh/sshd_config.d/00-x.conf",
            // sshd words it in several ways.
            &[("ssh-root-login", "sshd_config.d/00-x.conf")],
        ),
        broken(
            "a sudoers that can't be read",
            "printf 'deploy ALL\\n\\0\\377 = = =\\n' > /etc/sudoers.d/x",
            "rm /etc/sudoers.d/x",
            &[("sudo-everyone", "/etc/sudoers.d/x:1")],
        ),
        broken(
            "100 MB of sudoers",
            "yes '# many words' | head -c 100000000 > /etc/sudoers.d/x",
            "rm /etc/sudoers.d/x",
            &[("sudo-everyone", "`/etc/sudoers.d/x`: 100.0 MB")],
        ),
        broken(
            "accounts that can't be read",
            "printf 'x\\n::::::::\\n\\033[31mred:x:many:0::/:/bin/sh\\n\\0\\377:x:1:1:a:b:c\\n' >> /etc/passwd",
            "cp -p /root/passwd /etc/",
            &[],
        ),
        broken(
            "passwords behind a loop",
            "ln -sf shadow /etc/shadow",
            "rm /etc/shadow; cp -p /root/shadow /etc/",
            &[
                ("accounts-empty-password", "`/etc/shadow`: the links"),
                ("permissions-hashes", "`/etc/shadow`: the links"),
            ],
        ),
        broken(
            "mounts and PAM that are no files",
            "mv /etc/fstab /root/; mkfifo /etc/fstab; mv /etc/pam.d/common-password /root/; mkdir /etc/pam.d/common-password",
            "rm /etc/fstab; rmdir /etc/pam.d/common-password; mv /root/fstab /etc/; mv /root/common-password /etc/pam.d/",
            &[
                ("mounts-tmp", "`/etc/fstab` is not a regular file"),
                (
                    "authentication-password-quality",
                    "`/etc/pam.d/common-password` is a directory",
                ),
            ],
        ),
    ];
    for case in &cases {
        check(&host, case);
    }
    // Nearly everything asks which packages there are, and must not take none for an answer.
    for (what, how, why) in [
        (
            "no package",
            "head -c 100000 /dev/urandom > /var/lib/dpkg/status",
            "holds no package",
        ),
        (
            "100 MB of packages",
            "head -c 100000000 /dev/zero > /var/lib/dpkg/status",
            "100.0 MB",
        ),
    ] {
        host.shell(how);
        let report = audit(&host, what);
        let finding = finding(&report, "cron-directories", what);
        let reason = finding.reason.as_deref().unwrap_or_default();
        assert_eq!(finding.outcome, Outcome::Unknown, "{what}");
        assert!(
            reason.contains("`/var/lib/dpkg/status`") && reason.contains(why),
            "{what}: {reason}"
        );
        assert!(report.counts.pass > 30, "{what}: {:?}", report.counts);
    }
}

#[test]
fn programs_that_never_answer() {
    let Some(host) = Host::fresh() else { return };
    host.shell("cp -p /usr/sbin/sshd /root/");
    let script = |text: &str| {
        format!(
            "printf '#!/bin/sh\\n{text}\\n' > /usr/sbin/fake && chmod 755 /usr/sbin/fake && mv /usr/sbin/fake /usr/sbin/sshd"
        )
    };
    let unknown = |why: &'static str| vec![("ssh-root-login", why), ("ssh-ciphers", why)];
    let cases = [
        (
            "sleeps",
            script("sleep 1000"),
            unknown("`sshd -T`: no answer within 5000 ms"),
        ),
        (
            "never stops talking",
            script("exec yes"),
            unknown("`sshd -T`: 2.1 MB is over"),
        ),
        (
            "is killed",
            script("kill -9 $$"),
            unknown("ended by signal 9"),
        ),
    ];
    for (what, how, unknown) in cases {
        host.shell(&how);
        let report = audit(&host, what);
        for (rule, why) in unknown {
            let reason = finding(&report, rule, what).reason.clone();
            assert!(reason.is_some_and(|reason| reason.contains(why)), "{what}");
        }
        assert!(
            report.counts.pass > STILL_JUDGED,
            "{what}: {:?}",
            report.counts
        );
    }
    host.shell("cp -p /root/sshd /usr/sbin/fake && mv /usr/sbin/fake /usr/sbin/sshd");

    // What it says is shown, and does nothing to a terminal.
    host.shell(&script("printf \"\\\\033[31mred\\\\r\\\\n\" >&2; exit 255"));
    let report = audit(&host, "says escapes");
    let found = finding(&report, "ssh-root-login", "says escapes");
    assert_eq!(found.outcome, Outcome::Unknown, "{found:?}");
    let reason = found.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("[31mred"), "{reason}");
    harmless("says escapes", &host.steadfast(&["audit"]).out);
    host.shell("cp -p /root/sshd /usr/sbin/fake && mv /usr/sbin/fake /usr/sbin/sshd");

    // The bus and systemd themselves stop, as in a host that swaps itself to death.
    host.shell("kill -STOP $(pidof dbus-daemon)");
    let report = audit(&host, "the bus hangs");
    assert!(report.counts.unknown > 0, "{:?}", report.counts);
    let why = report
        .findings
        .iter()
        .filter_map(|finding| finding.reason.as_deref());
    let silent = "systemd: no answer within 5000 ms";
    assert!(
        why.clone().any(|why| why == silent),
        "{:?}",
        why.collect::<Vec<_>>()
    );
    host.shell("kill -CONT $(pidof dbus-daemon)");
    let leader = host.container.leader().expect("it runs");
    kill_process(leader, Signal::STOP).expect("stopped");
    let report = audit(&host, "systemd hangs");
    kill_process(leader, Signal::CONT).expect("goes on");
    assert!(report.counts.pass > STILL_JUDGED, "{:?}", report.counts);
}

/// Directories that are deeper than a path may be long, and names and values that would do
/// something to a terminal.
#[test]
fn hostile_names_are_harmless() {
    let Some(host) = Host::fresh() else { return };
    host.shell(
        "perl -e 'chdir \"/srv\"; \
         for (1..3000) { mkdir \"deepdeepdeep\"; chdir \"deepdeepdeep\" } open F, \">leaf\"; \
         chdir \"/srv\"; for my $n (\"\\e[31mred\", \"a\\r\\nb\", \"\\xff\\xfe\", \"\\e]0;title\\a\", \
         \"\\xe2\\x80\\xae\", \"<script>\") { open F, \">$n\"; chmod 0666, $n; mkdir \"d$n\"; chmod 0777, \"d$n\" }'",
    );
    host.shell(
        "printf 'Banner \"/etc/\\033[31missue\"\\nPermitRootLogin yes\\n' > /etc/ssh/sshd_config.d/00-x.conf; \
         printf 'net.ipv4.ip_forward = \\033[2J1\\n' > /etc/sysctl.d/99-x.conf; \
         printf 'deploy\\033[31m ALL=(ALL) NOPASSWD: ALL\\n' > /etc/sudoers.d/x; \
         printf 'x\\033[5m:x:0:0:\\033[6m:/:/bin/sh\\n' >> /etc/passwd",
    );
    let report = audit(&host, "hostile names");
    let found = finding(&report, "permissions-world-writable-files", "hostile names");
    let places = format!("{:?}", found.drifts);
    for name in ["[31mred", "]0;title", "<script>"] {
        assert!(places.contains(name), "no {name}: {places}");
    }
    let deep = finding(&report, "permissions-unowned-files", "hostile names");
    assert_eq!(
        deep.outcome,
        Outcome::Unknown,
        "what is too deep is not passed over"
    );
    for words in [
        &["audit"][..],
        &["audit", "--severity", "low"],
        &["audit", "--format", "html"],
        &["plan", "--baseline", "debian"],
        &["plan", "--baseline", "debian", "--format", "json"],
    ] {
        let said = host.steadfast(words);
        assert_eq!(said.code, Some(1), "{words:?}: {}", said.err);
        harmless(&words.join(" "), &said.out);
        harmless(&words.join(" "), &said.err);
        if words.contains(&"html") {
            assert!(
                !said.out.contains("/srv/<script>"),
                "mark-up of a host in the page"
            );
        }
    }
}

/// Files come and go while they are looked at.
#[test]
fn what_changes_meanwhile_is_no_fault() {
    let Some(host) = Host::fresh() else { return };
    let churn = "cd /etc; while :; do \
                 echo 'a b' > sudoers.d/churn; rm sudoers.d/churn; \
                 mkdir -p /srv/churn/a/b; touch /srv/churn/a/b/c; chmod 666 /srv/churn/a/b/c; \
                 echo x=1 > sysctl.d/churn.conf; rm -r /srv/churn sysctl.d/churn.conf; \
                 mv login.defs login.moved; mv login.moved login.defs; \
                 mv sysctl.d sysctl.moved; ln -s /nowhere sysctl.d; rm sysctl.d; mv sysctl.moved sysctl.d; \
                 done";
    let churning = host.container.spawn(&Exec::shell(churn).limit(BOUND));
    let churning = churning.expect("a shell starts");
    for _ in 0..3 {
        let report = audit(&host, "files come and go");
        assert!(report.counts.pass > STILL_JUDGED, "{:?}", report.counts);
    }
    churning.kill().expect("it can be killed");
}
