//! Confirm or revert: a change that could cut people off stays only when somebody confirms
//! it. Shown on booted hosts, by killing, restarting and signing in.

use std::time::Duration;

use lab::Exec;

use crate::booted::{Host, PROGRAM, wait};

const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-legacy.conf";
/// Long enough for a host to do something, short enough to wait for.
const A_WHILE: Duration = Duration::from_secs(60);

/// A host on which root may sign in with a password, which a rule of risk `connectivity` ends.
fn host() -> Option<Host> {
    let host = Host::installed()?;
    host.shell(&format!("echo 'PermitRootLogin yes' > {DROP_IN}"));
    Some(host)
}

fn apply<'a>(within: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["apply", "--baseline", "openssh", "--rule", "ssh-root-login"];
    let mut words = words.to_vec();
    words.extend(["--yes", "--confirm-within", within]);
    words.extend(more);
    words
}

#[track_caller]
fn is_in_effect(host: &Host) {
    let said = host.shell("sshd -T -C user=root,host=h,addr=10.0.0.1 | grep -i permitrootlogin");
    assert_eq!(said, "permitrootlogin no\n");
}

/// People with keys: `ana` administers the host, `bob` does not.
pub fn people(host: &Host) {
    host.shell(
        "useradd -m -s /bin/sh -G sudo ana && useradd -m -s /bin/sh bob && useradd -m -s /bin/sh cleo \
         && mkdir -p /root/keys && ssh-keygen -q -t ed25519 -N '' -f /root/keys/id \
         && for who in ana bob; do install -d -m 700 -o $who -g $who /home/$who/.ssh \
         && install -m 600 -o $who -g $who /root/keys/id.pub /home/$who/.ssh/authorized_keys; done",
    );
}

/// Signs in over the network as `who`, for as long as a busy journald takes to look up the
/// session's program: what is gone by then, it can't name.
pub fn sign_in(host: &Host, who: &str) -> bool {
    let options = "-i /root/keys/id -o BatchMode=yes -o StrictHostKeyChecking=no \
                   -o UserKnownHostsFile=/dev/null";
    let line = format!("ssh {options} {who}@127.0.0.1 sleep 3");
    let output = host.container.exec(&Exec::shell(&line));
    output.expect("ssh ends").success()
}

#[test]
fn nobody_confirms_so_it_is_taken_back() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    let said = host.steadfast(&apply("5s", &[]));
    said.expect(4, &["nobody confirmed it in time"]);
    host.expect_same(&before);
    let config = host.shell("sshd -T | grep -i permitrootlogin");
    assert_eq!(config, "permitrootlogin yes\n");
    // The guard has nothing left to do.
    let timers = host.shell("systemctl list-timers --all --plain --no-legend 'steadfast-*'");
    assert_eq!(timers, "");
}

#[test]
fn the_waiting_process_is_killed_and_the_timer_takes_it_back() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    let running = host.start(&apply("20s", &[]));
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    is_in_effect(&host);
    running.kill().expect("it can be killed");
    assert_eq!(wait(running).code, None, "it was killed");
    host.wait_for_state("rolled_back", A_WHILE);
    host.expect_same(&before);
    let history = host.steadfast(&["history"]).expect(0, &[]);
    assert!(!history.out.contains("awaiting"), "{history}");
}

#[test]
fn a_restart_before_anyone_confirmed_takes_it_back_at_boot() {
    let Some(mut host) = host() else { return };
    let before = host.snapshot();
    host.steadfast(&apply("10m", &["--detach"]))
        .expect(0, &["steadfast confirm"]);
    is_in_effect(&host);
    host.container.reboot().expect("it boots again");
    let unit = host.shell("systemctl show -p Result --value steadfast-recover.service");
    assert_eq!(unit.trim(), "success");
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["rolled_back", "restarted"]);
    host.expect_same(&before);
}

#[test]
fn only_a_new_sign_in_of_an_administrator_confirms_it() {
    let Some(host) = host() else { return };
    people(&host);
    assert!(sign_in(&host, "ana"), "ana can sign in before the change");
    let running = host.start(&apply("100s", &[]));
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    // A sign-in from before the change, one that fails, and one of somebody else.
    assert!(!sign_in(&host, "cleo"), "cleo has no key here");
    assert!(sign_in(&host, "bob"), "bob can sign in");
    std::thread::sleep(Duration::from_secs(4));
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["awaiting_confirmation"]);
    assert!(sign_in(&host, "ana"), "ana can sign in after the change");
    wait(running).expect(0, &["kept", "ana", "127.0.0.1"]);
    is_in_effect(&host);
    host.steadfast(&["show", "last"])
        .expect(0, &["confirmed by ana"]);
}

#[test]
fn a_sign_in_confirms_it_although_nobody_waits() {
    let Some(host) = host() else { return };
    people(&host);
    host.steadfast(&apply("15s", &["--detach"])).expect(0, &[]);
    assert!(sign_in(&host, "ana"), "ana can sign in after the change");
    host.wait_for_state("committed", A_WHILE);
    host.wait_for(
        &format!("! {PROGRAM} history --format json | grep -q awaiting"),
        A_WHILE,
    );
    is_in_effect(&host);
}

#[test]
fn the_command_confirms_it_in_time_and_not_later() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    host.steadfast(&apply("5s", &["--detach"])).expect(0, &[]);
    host.wait_for_state("rolled_back", A_WHILE);
    host.steadfast(&["confirm", "c-2"])
        .expect(2, &["taken back already", "nothing to confirm"]);
    host.expect_same(&before);

    let running = host.start(&apply("90s", &[]));
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    host.steadfast(&["confirm", "last"])
        .expect(0, &["in effect"]);
    wait(running).expect(0, &["confirmed by root"]);
    is_in_effect(&host);
    host.steadfast(&["undo", "last", "--yes", "--detach"])
        .expect(0, &["put into effect again"]);
    host.steadfast(&["confirm", "last"])
        .expect(0, &["as it was before it"]);
    host.expect_same(&before);
}

#[test]
fn whoever_waits_can_change_their_mind() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    let running = host.start(&apply("90s", &[]));
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    // As Ctrl-C does.
    host.shell("kill -INT $(pidof steadfast)");
    wait(running).expect(4, &["interrupted"]);
    host.expect_same(&before);
}

/// What waits holds up only what touches its places or could cut people off, and says how it ends.
#[test]
fn what_waits_is_named_with_what_ends_it() {
    let Some(host) = host() else { return };
    host.role(
        "apart",
        "  - file: {path: /opt/apart.conf, content: \"x\\n\"}\n",
    );
    host.steadfast(&["apply", "--role", "apart", "--yes"])
        .expect(0, &["c-2"]);
    host.steadfast(&apply("10m", &["--detach"])).expect(0, &[]);
    let ends = [
        "change c-3 waits to be confirmed, and comes first",
        "steadfast confirm c-3 keeps it",
        "without that it is taken back at",
    ];
    host.steadfast(&["uninstall", "--yes"]).expect(5, &ends);
    host.steadfast(&apply("10m", &["--detach", "--rule", "ssh-max-tries"]))
        .expect(5, &ends);
    host.steadfast(&["undo", "c-2", "--yes"]).expect(0, &[]);
    host.shell("test ! -e /opt/apart.conf");
    host.steadfast(&["confirm"]).expect(0, &["in effect"]);
    is_in_effect(&host);
}

/// What waits is taken back at once, whichever way it is named, and whoever waits for it is told.
#[test]
fn an_undo_takes_back_what_waits() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    for (number, named) in [None, Some("last"), Some("c-4")].into_iter().enumerate() {
        host.steadfast(&apply("10m", &["--detach"])).expect(0, &[]);
        is_in_effect(&host);
        let undo: Vec<&str> = ["undo", "--yes"].into_iter().chain(named).collect();
        host.steadfast(&[&undo[..], &["--only", DROP_IN]].concat())
            .expect(2, &["goes back as a whole", "nothing was touched"]);
        host.steadfast(&undo)
            .expect(0, &["taken back: the host is as it was before it"]);
        host.expect_same(&before);
        let timers = host.shell("systemctl list-timers --all --plain --no-legend 'steadfast-*'");
        assert_eq!(timers, "", "{number}");
    }
    let running = host.start(&apply("10m", &[]));
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    host.steadfast(&["undo", "--yes"])
        .expect(0, &["taken back"]);
    wait(running).expect(4, &["asked for by root while it waited"]);
    host.expect_same(&before);
    host.steadfast(&["show", "last"])
        .expect(0, &["asked for by root while it waited"]);
}

/// A confirmed change that ends root's sign-in, and the host as it left it.
fn changed() -> Option<(Host, lab::Snapshot)> {
    let host = host()?;
    host.steadfast(&apply("10m", &["--detach"])).expect(0, &[]);
    host.steadfast(&["confirm", "last"])
        .expect(0, &["in effect"]);
    let after = host.snapshot();
    Some((host, after))
}

#[test]
fn nobody_confirms_the_undo_so_the_change_is_in_effect_again() {
    let Some((host, after)) = changed() else {
        return;
    };
    let said = host.steadfast(&["undo", "last", "--yes", "--confirm-within", "5s"]);
    said.expect(4, &["the undo was taken back", "nobody confirmed it"]);
    is_in_effect(&host);
    host.expect_same(&after);
    host.steadfast(&["show", "last"])
        .expect(0, &["in effect", "its undo was taken back"]);
}

#[test]
fn the_undo_is_killed_while_it_waits_and_the_timer_takes_it_back() {
    let Some((host, after)) = changed() else {
        return;
    };
    let running = host.start(&["undo", "last", "--yes", "--confirm-within", "20s"]);
    host.wait_for_state("awaiting_undo_confirmation", A_WHILE);
    let config = host.shell("sshd -T -C user=root,host=h,addr=10.0.0.1 | grep -i permitrootlogin");
    assert_eq!(config, "permitrootlogin yes\n");
    running.kill().expect("it can be killed");
    assert_eq!(wait(running).code, None, "it was killed");
    host.wait_for(
        &format!("{PROGRAM} history --format json | grep -q 'its undo was taken back'"),
        A_WHILE,
    );
    is_in_effect(&host);
    host.expect_same(&after);
}

#[test]
fn a_restart_before_the_undo_was_confirmed_takes_it_back_at_boot() {
    let Some((mut host, after)) = changed() else {
        return;
    };
    host.steadfast(&["undo", "last", "--yes", "--detach"])
        .expect(0, &["steadfast confirm"]);
    host.container.reboot().expect("it boots again");
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["committed", "its undo was taken back", "restarted"]);
    is_in_effect(&host);
    host.expect_same(&after);
}

#[test]
fn a_confirmed_undo_stays() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    host.steadfast(&apply("10m", &["--detach"])).expect(0, &[]);
    host.steadfast(&["confirm", "last"]).expect(0, &[]);
    host.steadfast(&["undo", "last", "--yes", "--detach"])
        .expect(0, &[]);
    host.steadfast(&["confirm", "last"]).expect(0, &["undone"]);
    host.expect_same(&before);
    let timers = host.shell("systemctl list-timers --all --plain --no-legend 'steadfast-*'");
    assert_eq!(timers, "");
}

/// Each state folder has a unit of its own at boot: the one that was used last does not take
/// the place of the one before.
#[test]
fn every_state_folder_that_was_used_is_recovered_at_boot() {
    let Some(mut host) = host() else { return };
    let other = ["--state", "/var/lib/other"];
    let mut install = vec!["recover", "--install"];
    install.extend(other);
    host.steadfast(&install).expect(0, &["installed"]);
    let before = host.snapshot();
    // Waits in the first folder while the second one is used for its unit only.
    host.steadfast(&apply("10m", &["--detach"])).expect(0, &[]);
    is_in_effect(&host);
    host.container.reboot().expect("it boots again");
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["rolled_back", "restarted"]);
    host.expect_same(&before);
    // And the other way round.
    host.steadfast(&apply("10m", &["--detach", "--state", "/var/lib/other"]))
        .expect(0, &[]);
    is_in_effect(&host);
    host.container.reboot().expect("it boots again");
    host.steadfast(&["history", "--format", "json", "--state", "/var/lib/other"])
        .expect(0, &["rolled_back", "restarted"]);
    let failed = host.shell("systemctl list-units --failed --plain --no-legend 'steadfast-*'");
    assert_eq!(failed, "");

    let units = "ls /etc/systemd/system/sysinit.target.wants | grep -c steadfast; true";
    let mut uninstall = vec!["uninstall", "--yes"];
    host.steadfast(&uninstall)
        .expect(0, &["removed", "another state folder's"]);
    assert_eq!(host.shell(units), "1\n");
    uninstall.extend(other);
    host.steadfast(&uninstall).expect(0, &["removed"]);
    assert_eq!(host.shell(units), "0\n");
}

/// Whatever is done to systemd and to the clock: at its end the change is taken back.
#[test]
fn the_guard_outlives_what_is_done_to_the_host() {
    let Some(host) = host() else { return };
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    let before = host.snapshot();
    let trials = [
        "systemctl isolate multi-user.target",
        // To the end, and longer than the window: a count that begins anew with each would never
        // come to its end.
        "systemctl kill --signal=STOP 'steadfast-watch-*.service'; systemd-run -q --unit=reloads \
         /bin/sh -c 'while :; do systemctl daemon-reload; sleep 1; done'",
        // The timers alone are left, and the other way round.
        "systemctl kill --signal=STOP 'steadfast-watch-*.service'",
        "systemctl stop 'steadfast-revert-*.timer'",
    ];
    for trial in trials {
        host.steadfast(&apply("8s", &["--detach"])).expect(0, &[]);
        is_in_effect(&host);
        host.steadfast(&["audit", "--baseline", "openssh", "--rule", "ssh-root-login"])
            .expect(0, &["in effect and not confirmed", "steadfast confirm"]);
        host.shell(trial);
        host.wait_for(
            &format!("! {PROGRAM} history --format json | grep -q awaiting"),
            Duration::from_secs(25),
        );
        host.shell(
            "systemctl stop reloads; systemctl kill --signal=KILL 'steadfast-watch-*'; true",
        );
        host.expect_same(&before);
    }
}

#[test]
fn a_state_folder_that_nothing_may_be_run_from_is_refused() {
    let Some(host) = host() else { return };
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.shell(
        "mount --bind /var/lib/steadfast /var/lib/steadfast \
         && mount -o remount,bind,noexec /var/lib/steadfast",
    );
    let before = host.snapshot();
    host.steadfast(&apply("8s", &["--detach"]))
        .expect(1, &["can't run", "noexec"]);
    host.expect_same(&before);
}

/// sshd lets in who began to sign in before the change, for two minutes (LoginGraceTime).
#[test]
fn a_connection_from_before_the_change_confirms_nothing() {
    let Some(host) = host() else { return };
    people(&host);
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.shell(
        "ssh-keygen -q -p -P '' -N slow -f /root/keys/id \
         && printf '#!/bin/sh\\nwhile [ ! -e /root/now ]; do sleep 0.2; done; echo slow\\n' > /root/ask \
         && chmod 755 /root/ask",
    );
    host.shell(
        "SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force setsid ssh -i /root/keys/id \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null ana@127.0.0.1 sleep 4 \
         >/root/slow.log 2>&1 </dev/null & sleep 1",
    );
    let running = host.start(&apply("15s", &[]));
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    host.shell("touch /root/now");
    wait(running).expect(
        4,
        &[
            "over a connection that began before the change",
            "nobody confirmed it in time",
        ],
    );
}

/// The shell that made the change shows nothing about a new one.
#[test]
fn the_login_that_made_the_change_proves_nothing() {
    let Some(host) = host() else { return };
    people(&host);
    host.shell(
        "sed -i 's/^PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config.d/10-legacy.conf",
    );
    host.shell("echo 'ana ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ana");
    host.shell(&format!(
        "ssh -i /root/keys/id -o BatchMode=yes -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null ana@127.0.0.1 'sudo {PROGRAM} apply --baseline openssh \
         --rule ssh-root-login --yes --detach; sudo {PROGRAM} confirm; echo rc $?; \
         sudo {PROGRAM} confirm --unproven; echo rc $?' >/root/said 2>&1"
    ));
    let said = host.shell("cat /root/said");
    for words in ["the login that made it", "rc 1", "without a proof", "rc 0"] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["\"unproven\": true"]);
    host.steadfast(&["undo", "--yes", "--detach"])
        .expect(0, &[]);
    host.steadfast(&["confirm"]).expect(0, &["without a proof"]);
}

/// Whatever people type: that a change waits, and then that its time is over, is the first that they
/// read, and a program finds it in the report.
#[test]
fn each_command_says_what_waits() {
    let Some(host) = host() else { return };
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    let audit = ["audit", "--baseline", "openssh", "--rule", "ssh-root-login"];
    // But for `undo`, which first takes back what is over.
    let commands: [&[&str]; 12] = [
        &audit,
        &["baseline", "list"],
        &["expire"],
        &["feed", "list"],
        &["history"],
        &["inventory"],
        &["patch", "status"],
        &["plan", "--baseline", "openssh"],
        &["rule", "list"],
        &["schema"],
        &["show", "last"],
        &["vulns"],
    ];
    let unended = || {
        let said = host.steadfast(&[&audit[..], &["--format", "json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        report["unended"][0].clone()
    };
    host.steadfast(&apply("60s", &["--detach"])).expect(0, &[]);
    for command in commands {
        let said = host.steadfast(command);
        let waits = "change c-2 is in effect and not confirmed";
        assert!(said.err.starts_with(waits), "{command:?}: {said}");
    }
    let waits = unended();
    assert_eq!(waits["change"], "c-2");
    assert_eq!(waits["kind"], "awaiting_confirmation");
    assert_eq!(waits["overdue"], false);
    host.steadfast(&[&audit[..], &["--format", "html"]].concat())
        .expect(0, &["change c-2 is in effect and not confirmed"]);
    // All that would take it back is gone.
    host.shell(
        "systemctl kill --signal=STOP 'steadfast-watch-*.service'; systemctl stop 'steadfast-*.timer'",
    );
    host.wait_for(
        &format!("{PROGRAM} history 2>&1 | grep -q 'past its deadline'"),
        Duration::from_secs(90),
    );
    for command in commands {
        let said = host.steadfast(command);
        let over = "change c-2 is in effect past its deadline, and nobody confirmed it";
        assert!(said.err.starts_with(over), "{command:?}: {said}");
    }
    assert_eq!(unended()["overdue"], true);
    host.shell("systemctl kill --signal=KILL 'steadfast-watch-*.service'; true");
    host.steadfast(&["recover"]);
    assert!(unended().is_null());
}
