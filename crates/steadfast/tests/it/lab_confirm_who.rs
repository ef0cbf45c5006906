//! Who confirms a change, and when: judged by what waits at that moment, and by who may really
//! administer the host.

use std::time::Duration;

use crate::booted::{Host, PROGRAM, wait};
use crate::lab_confirm::{people, sign_in};

const A_WHILE: Duration = Duration::from_secs(60);

/// A host with people, of whom `ana` may do anything without a password.
fn host() -> Option<Host> {
    let host = Host::installed()?;
    people(&host);
    host.shell(
        "echo 'ana ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ana; chmod 440 /etc/sudoers.d/ana",
    );
    host.role("cuts", "  - sshd: {option: X11Forwarding, value: \"no\"}\n  - sshd: {option: AllowUsers, value: ana bob cleo root}\n");
    Some(host)
}

/// Runs a line of shell as ana, in one login; gives what it said.
fn as_ana(host: &Host, line: &str) -> String {
    host.write("/home/ana/line", line);
    host.shell(
        "chmod 644 /home/ana/line; ssh -i /root/keys/id -o BatchMode=yes \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null ana@127.0.0.1 \
         'sh /home/ana/line' 2>&1",
    )
}

/// A confirmation that waits for the apply is judged by what it waited for.
#[test]
fn the_login_that_is_making_the_change_proves_nothing() {
    let Some(host) = host() else { return };
    host.role(
        "slow",
        "  - sshd: {option: AllowUsers, value: ana root}\n  - command: {name: slow, check: [/usr/bin/test, -e, /etc/slow], \
         fix: [/bin/sh, -c, \"touch /run/at-work; sleep 4; touch /etc/slow\"], undo: [/usr/bin/rm, -f, /etc/slow]}\n",
    );
    let said = as_ana(
        &host,
        &format!(
            "sudo {PROGRAM} apply --role slow --yes --detach --confirm-within 60s &\n\
             while [ ! -e /run/at-work ]; do sleep 0.1; done\n\
             sudo {PROGRAM} confirm c-2; echo rc $?\nwait\n"
        ),
    );
    assert!(said.contains("the login that made it"), "{said}");
    assert!(said.contains("rc 1"), "{said}");
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["awaiting_confirmation"]);
}

/// One rule for another account or for one command makes no administrator, and a group of one's own
/// does. Who was seen and does not count is named with the reason.
#[test]
fn who_confirms_is_who_may_do_anything_as_root() {
    let Some(host) = host() else { return };
    host.shell(
        "echo 'bob ALL=(www-data) NOPASSWD: /usr/bin/id' > /etc/sudoers.d/bob \
         && groupadd operators && echo '%operators ALL=(ALL:ALL) ALL' > /etc/sudoers.d/operators",
    );
    let apply = ["apply", "--role", "cuts", "--yes", "--confirm-within"];
    let running = host.start(&[&apply[..], &["25s"]].concat());
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    assert!(sign_in(&host, "bob"), "bob can sign in");
    let why = "bob signed in, which keeps nothing: sudoers lets it run nothing, or not everything, as root";
    wait(running).expect(4, &["nobody confirmed it in time", why]);
    host.steadfast(&["show", "last"]).expect(0, &[why]);

    host.shell("usermod -aG operators bob");
    let running = host.start(&[&apply[..], &["60s"]].concat());
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    assert!(sign_in(&host, "bob"), "bob can sign in");
    wait(running).expect(0, &["kept", "bob", "127.0.0.1"]);
}

/// How sudo asks is not shown by who signs in with a key.
#[test]
fn a_change_of_sudo_is_confirmed_through_sudo() {
    let Some(host) = host() else { return };
    let includes = ["auth", "account", "session-noninteractive"];
    let stack = includes
        .map(|name| format!("@include common-{name}\\n"))
        .concat();
    host.role(
        "sudo",
        &format!("  - file: {{path: /etc/pam.d/sudo, content: \"{stack}\"}}\n"),
    );
    let apply = [
        "apply",
        "--role",
        "sudo",
        "--yes",
        "--confirm-within",
        "60s",
    ];
    let running = host.start(&apply);
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    assert!(sign_in(&host, "ana"), "ana can sign in");
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["awaiting_confirmation"]);
    let said = as_ana(&host, &format!("sudo {PROGRAM} confirm; echo rc $?\n"));
    assert!(
        said.contains("rc 0") && !said.contains("without a proof"),
        "{said}"
    );
    wait(running).expect(
        0,
        &[
            "this changes who becomes root",
            "sudo steadfast confirm",
            "kept",
        ],
    );
}

/// A sign-in shows that somebody gets in, and not that anybody becomes root.
#[test]
fn what_takes_the_way_to_root_is_kept_by_no_sign_in() {
    let Some(host) = host() else { return };
    host.shell(
        "install -d -m 700 /root/.ssh && install -m 600 /root/keys/id.pub /root/.ssh/authorized_keys \
         && usermod -aG sudo bob && echo bob:secret | chpasswd \
         && echo '@include site-auth' >> /etc/pam.d/sudo && : > /etc/pam.d/site-auth \
         && mkdir -p /usr/local/etc/sudoers.d && chmod 755 /usr/local/etc/sudoers.d \
         && echo '@includedir /usr/local/etc/sudoers.d' >> /etc/sudoers && visudo -cq",
    );
    for (name, role) in [
        ("locked", "user: {name: bob, locked: true}"),
        (
            "pam",
            "file: {path: /etc/pam.d/site-auth, content: \"account required pam_deny.so\\n\"}",
        ),
        (
            "names",
            "file: {path: /etc/nsswitch.conf, content: \"passwd: files\\ngroup: files\\nsudoers: sss\\n\"}",
        ),
        (
            "rules",
            "file: {path: /usr/local/etc/sudoers.d/zz, content: \"Defaults:bob requiretty\\n\", mode: \"0440\"}",
        ),
    ] {
        host.role(name, &format!("  - {role}\n"));
        let apply = ["apply", "--role", name, "--yes", "--confirm-within", "20s"];
        let running = host.start(&apply);
        host.wait_for_state("awaiting_confirmation", A_WHILE);
        for who in ["ana", "root"] {
            assert!(sign_in(&host, who), "{who} can sign in: {name}");
        }
        let of =
            |who| format!("{who} signed in, which keeps nothing: this changes who becomes root");
        wait(running).expect(4, &["nobody confirmed it in time", &of("ana"), &of("root")]);
    }

    // Where there is nobody but root, root's sign-in shows all that there is.
    host.shell("rm /etc/sudoers.d/ana && sed -i '/^%sudo/d' /etc/sudoers && visudo -cq");
    let apply = [
        "apply",
        "--role",
        "rules",
        "--yes",
        "--confirm-within",
        "60s",
    ];
    let running = host.start(&apply);
    host.wait_for_state("awaiting_confirmation", A_WHILE);
    assert!(sign_in(&host, "root"), "root can sign in");
    wait(running).expect(0, &["kept", "root"]);
}

/// What is left of the watch over a change stands in nobody's way.
#[test]
fn an_undo_follows_a_confirmation_at_once() {
    let Some(host) = host() else { return };
    let before = host.snapshot();
    for _ in 0..2 {
        host.steadfast(&["apply", "--role", "cuts", "--yes", "--detach"])
            .expect(0, &[]);
        host.steadfast(&["confirm", "--unproven"]).expect(0, &[]);
        host.steadfast(&["undo", "last", "--yes", "--detach"])
            .expect(0, &["put into effect again"]);
        host.steadfast(&["confirm", "--unproven"]).expect(0, &[]);
        host.expect_same(&before);
    }
}
