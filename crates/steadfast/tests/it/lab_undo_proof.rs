//! What an undo says of the host is what it has looked at: also of services that rested, of commands, of
//! what happened while it waited, and of files in which others' lines stay.

use crate::booted::{AS_BEFORE, Host};
use crate::lab_patch::MAKE;
use crate::lab_undo_whole::SVC;

const GUARDED: &str = "  - sshd: {option: MaxAuthTries, value: 3}\n";

/// It waits to be confirmed, and is.
fn apply(host: &Host, name: &str, role: &str) {
    host.role(name, role);
    host.steadfast(&["apply", "--role", name, "--yes", "--detach"])
        .expect(0, &[]);
    host.steadfast(&["confirm", "last"])
        .expect(0, &["is confirmed"]);
}

/// A service that rested before an upgrade and was started by it rests again.
#[test]
fn what_an_upgrade_started_rests_again() {
    const VERSIONS: &str = r#"
svc 1
index
apt-get -qq -y install svc
systemctl stop svc
svc 2
index
"#;
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!("{MAKE}{SVC}{VERSIONS}"));
    host.shell("! systemctl is-active svc");
    host.role("newer", "  - package: {name: svc, at_least: \"2\"}\n");
    host.steadfast(&["apply", "--role", "newer", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell("systemctl is-active svc");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &[AS_BEFORE]);
    host.shell("! systemctl is-active svc && dpkg-query -W svc | grep -q 1");
}

/// A command that is in effect, since its way back failed, is not run once more.
#[test]
fn a_command_is_not_run_twice() {
    let Some(host) = Host::installed() else {
        return;
    };
    let command = |undo: &str| {
        format!(
            "{GUARDED}  - command: {{name: made, check: [/bin/test, -e, /root/made], \
             fix: [/bin/sh, -c, 'echo run >> /root/runs; mkdir /root/made'], undo: {undo}}}\n"
        )
    };
    apply(&host, "made", &command("[/bin/false]"));
    host.steadfast(&["undo", "last", "--yes"])
        .expect(4, &["in effect"]);
    assert_eq!(
        host.shell("cat /root/runs; ls -d /root/made"),
        "run\n/root/made\n"
    );
    host.steadfast(&["history", "--format", "json"])
        .expect(0, &["its undo was taken back"]);
    let limits = host.shell("sshd -T | grep -i maxauthtries");
    assert_eq!(limits, "maxauthtries 3\n");
}

/// And one whose way back was run is.
#[test]
fn a_command_that_was_taken_back_is_run_again() {
    let Some(host) = Host::installed() else {
        return;
    };
    apply(
        &host,
        "made",
        &format!(
            "{GUARDED}  - command: {{name: made, check: [/bin/test, -e, /root/made], \
             fix: [/bin/sh, -c, 'echo run >> /root/runs; mkdir /root/made'], \
             undo: [/bin/rmdir, /root/made]}}\n"
        ),
    );
    // Nobody confirms.
    host.steadfast(&["undo", "last", "--yes", "--confirm-within", "5s"])
        .expect(4, &["in effect"]);
    assert_eq!(
        host.shell("cat /root/runs; ls -d /root/made"),
        "run\nrun\n/root/made\n"
    );
}

/// What changed while an undo waited is named by whoever confirms it, and it is not called as before.
#[test]
fn a_confirmation_says_what_it_has_looked_at() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!("{MAKE}make tool 1 ':'\nindex\n"));
    apply(
        &host,
        "tool",
        &format!("{GUARDED}  - package: {{name: tool}}\n"),
    );
    let undo = ["undo", "last", "--yes", "--detach"];
    host.steadfast(&undo).expect(0, &[]);
    host.shell("echo x > /usr/share/beside");
    let said = host
        .steadfast(&["confirm", "last"])
        .expect(0, &["/usr/share/beside"]);
    assert!(!said.err.contains("as it was before it"), "{said}");

    // With nothing beside it.
    host.shell("rm /usr/share/beside");
    apply(
        &host,
        "again",
        &format!("{GUARDED}  - file: {{path: /etc/motd, content: \"x\\n\"}}\n"),
    );
    host.steadfast(&undo).expect(0, &[]);
    host.steadfast(&["confirm", "last"]).expect(0, &[AS_BEFORE]);
}

/// A stack of PAM in which an administrator's line stays is read as it will be.
#[test]
fn a_module_that_a_merged_stack_names_stays() {
    let Some(host) = Host::installed() else {
        return;
    };
    const MODULE: &str = r#"
d=/root/build/pamfoo; s=usr/lib/x86_64-linux-gnu/security; mkdir -p $d/$s
cp /$s/pam_permit.so $d/$s/pam_foo.so
make pamfoo 1 ':'
index
"#;
    host.shell(&format!("{MAKE}{MODULE}"));
    apply(
        &host,
        "pam",
        "  - package: {name: pamfoo}\n  - pam: {module: pwhistory}\n",
    );
    host.shell("grep -q pwhistory /etc/pam.d/common-password");
    host.shell("echo 'password required pam_foo.so' >> /etc/pam.d/common-password");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(5, &["pam_foo.so", "nothing was touched"]);
    host.shell("test -e /usr/lib/x86_64-linux-gnu/security/pam_foo.so && grep -q pwhistory /etc/pam.d/common-password");
}

/// An option that an administrator gave a mount since is not taken away unasked.
#[test]
fn a_mount_that_was_changed_since_stands_in_the_way() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(
        "mkdir /mnt/x && echo 'tmpfs /mnt/x tmpfs rw,relatime 0 0' >> /etc/fstab && mount /mnt/x",
    );
    host.role("x", "  - mount_option: {path: /mnt/x, options: [nosuid]}\n");
    host.steadfast(&["apply", "--role", "x", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell("mount -o remount,nosuid,noexec /mnt/x");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(5, &["mount /mnt/x", "noexec", "nothing was touched"]);
    host.shell("findmnt -no OPTIONS /mnt/x | grep -q noexec");
    host.shell("mount -o remount,nosuid,exec /mnt/x");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &[AS_BEFORE]);
}
