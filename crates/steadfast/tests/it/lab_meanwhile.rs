//! What others did while a change was at work, or waited, stays when the change is taken back by
//! itself: other packages, accounts, memberships, edits. As an undo that somebody asked for has it.

use lab::{Difference, Release};

use crate::booted::{Host, differences, listed, wait};
use crate::lab_patch::MAKE;
use crate::packages::host_that_can_install;

fn host() -> Option<Host> {
    host_that_can_install(Release::Bookworm, &["redis-server", "hello"])
}

/// A role that fails, without any crash.
#[test]
fn what_others_did_while_a_role_failed_stays() {
    let Some(host) = host() else { return };
    host.role(
        "fails",
        "  - package: {name: redis-server}\n  \
         - command: {name: slow, check: [/usr/bin/test, -e, /etc/slow], \
         fix: [/bin/sh, -c, 'touch /root/begun; for i in $(seq 900); do test -e /root/go && exit 1; sleep 0.1; done'], \
         undo: [/usr/bin/true], timeout_s: 120}\n",
    );
    host.shell("useradd -m eve");
    let apply = ["apply", "--role", "fails", "--all-or-nothing", "--yes"];
    let running = host.start(&apply);
    host.wait_for("test -e /root/begun", crate::booted::LIMIT);
    host.shell(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y install hello; useradd -m zed; usermod -aG sudo eve; \
         echo '# mine' >> /etc/redis/redis.conf; touch /root/go",
    );
    let said = wait(running).expect(4, &["may not be as before", "/etc/redis/redis.conf"]);
    assert!(!said.err.contains("and as before"), "{said}");
    host.shell("hello && dpkg --verify hello && dpkg -s hello && id zed && test -d /home/zed");
    assert!(host.shell("id -nG eve").contains("sudo"));
    host.shell("tail -1 /etc/redis/redis.conf | grep -q mine");
    // What is the change's own is gone, but for the account whose file was edited.
    host.shell("! dpkg -s redis-server && ! test -e /usr/bin/redis-server");
    assert_eq!(host.shell("dpkg --audit"), "");
}

/// Nobody else was there: it goes back to the byte, and is proven. What a command did that failed is
/// not known, and only that.
#[test]
fn alone_a_role_that_failed_goes_back_exactly() {
    let Some(host) = host() else { return };
    host.write(
        "/etc/systemd/system/fails.service",
        "[Service]\nType=oneshot\nExecStart=/bin/false\n",
    );
    host.shell("systemctl daemon-reload");
    let cases = [
        (
            "command",
            "command: {name: no, check: [/usr/bin/test, -e, /etc/slow], \
             fix: [/bin/sh, -c, 'sleep 2; exit 1'], undo: [/bin/true]}",
            &[
                "`/bin/true` was not run: its command failed",
                "taken back, but for what is named above",
            ][..],
        ),
        (
            "service",
            "service: {name: fails, running: true}",
            &["and as before"],
        ),
    ];
    for (role, failing, _) in cases {
        let want = format!("  - package: {{name: redis-server}}\n  - {failing}\n");
        host.role(role, &want);
    }
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    let before = host.snapshot();
    for (role, failing, told) in cases {
        let apply = ["apply", "--role", role, "--all-or-nothing", "--yes"];
        let said = host.steadfast(&apply).expect(4, told);
        assert!(!said.err.contains("meanwhile"), "{failing}: {said}");
        host.shell("systemctl reset-failed fails 2>/dev/null || true");
        crate::lab_patch::expect_same(&host, &before);
    }
}

/// An upgrade that nobody confirms, through which people may get in.
#[test]
fn what_others_did_while_an_upgrade_waited_stays() {
    let Some(host) = Host::installed() else {
        return;
    };
    let made = |version: &str| {
        format!(
            "{MAKE}d=/root/build/wireguard-tools; mkdir -p $d/etc $d/DEBIAN; echo {version} > $d/etc/demo.conf\n\
             printf '/etc/demo.conf\\n' > $d/DEBIAN/conffiles\n\
             make wireguard-tools {version} ''\nmkdir -p /root/build/other; make other 1 ''\nindex\n"
        )
    };
    host.shell(&made("1"));
    host.shell("apt-get -qq -y install wireguard-tools >/dev/null; useradd -m eve");
    host.shell(&made("2"));
    let apply = [
        "patch",
        "apply",
        "--yes",
        "--detach",
        "--confirm-within",
        "20s",
    ];
    host.steadfast(&apply).expect(0, &[]);
    host.shell(
        "apt-get -qq -y install other >/dev/null; useradd -m zed; usermod -aG sudo eve; echo '# mine' >> /etc/demo.conf",
    );
    host.wait_for_state("rolled_back", crate::booted::LIMIT);
    let show = host.steadfast(&["show", "last"]).expect(0, &[]);
    assert!(show.out.contains("/etc/demo.conf"), "{show}");
    assert_eq!(
        host.shell("dpkg-query -W -f '${Package} ${Version}\\n' other wireguard-tools"),
        "other 1\nwireguard-tools 1\n"
    );
    assert!(host.shell("id zed; id -nG eve").contains("sudo"));
    host.shell("tail -1 /etc/demo.conf | grep -q mine");
}

/// All that works dies at once, as in a power cut, when dpkg has put a package's files in place and is
/// busy with the next: its database as a whole knows of neither.
#[test]
fn what_dpkg_had_not_written_down_goes_as_well() {
    let Some(host) = Host::installed() else {
        return;
    };
    let made = |names: [&str; 2], version: &str, file: &str| {
        let made = names.map(|name| {
            format!(
                "d=/root/build/{name}; mkdir -p $d/usr/share/{name} $d/DEBIAN; \
                 echo {file} > $d/usr/share/{name}/{file}; \
                 printf '#!/bin/sh\\nsleep 3\\n' > $d/DEBIAN/preinst; chmod 755 $d/DEBIAN/preinst\n\
                 make {name} {version} ''\n"
            )
        });
        made.concat()
    };
    let old = made(["first", "second"], "1", "old");
    host.shell(&format!("{MAKE}{old}index\n"));
    host.shell("apt-get -qq -y install first second >/dev/null");
    let new = made(["first", "second"], "2", "new");
    let fresh = made(["third", "fourth"], "1", "new");
    host.shell(&format!("{MAKE}{new}{fresh}index\n"));
    host.role(
        "fresh",
        "  - package: {name: third}\n  - package: {name: fourth}\n",
    );
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    let before = host.snapshot();
    for apply in ["patch apply", "apply --role fresh"] {
        host.shell(&format!(
            "/opt/steadfast {apply} --yes > /run/said 2>&1 & \
             for i in $(seq 2400); do \
               grep -qs '/new$' /var/lib/dpkg/info/*.list && pgrep -f '^/bin/sh [/]var/lib/dpkg/tmp.ci' && break; \
               sleep 0.05; \
             done; \
             for one in steadfast apt-get dpkg; do pkill -9 -x $one; done; pkill -9 -f '[/]var/lib/dpkg/tmp.ci'; \
             ls /usr/share/*/new /var/lib/dpkg/updates/0*"
        ));
        host.steadfast(&["recover"]).expect(4, &[]);
        crate::lab_patch::expect_same(&host, &before);
    }
}

/// Accounts, a value and a way in, without any package: what nobody touched goes, and what is
/// somebody's by now stays whole.
#[test]
fn accounts_that_nobody_confirmed_go_but_for_whose_are_somebodys() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "people",
        "  - group: {name: crew}\n  \
         - user: {name: nina, groups: [sudo, crew]}\n  \
         - user: {name: olga, groups: [sudo]}\n  \
         - user: {name: ida, group: sudo}\n  \
         - sysctl: {key: net.ipv4.conf.all.rp_filter, value: '1'}\n  \
         - sysctl: {key: net.ipv4.ip_default_ttl, value: '63'}\n  \
         - sshd: {option: LoginGraceTime, value: '45'}\n",
    );
    host.shell("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.ip_default_ttl=64");
    let words = "apply --role people --yes --detach --confirm-within 20s";
    let words: Vec<&str> = words.split(' ').collect();
    host.steadfast(&words).expect(0, &[]);
    host.shell(
        "useradd -m zed; gpasswd -a zed sudo; touch /srv/its /srv/hers; chown olga /srv/its; \
         chown ida /srv/hers; sysctl -qw net.ipv4.conf.all.rp_filter=2",
    );
    host.wait_for_state("rolled_back", crate::booted::LIMIT);
    let show = host.steadfast(&["show", "last"]).expect(0, &[]);
    for named in ["account olga", "net.ipv4.conf.all.rp_filter"] {
        assert!(show.out.contains(named), "{show}");
    }
    host.shell(
        "! getent passwd nina; ! getent shadow nina; ! getent group crew; ! test -e /home/nina; \
         id zed; id olga; getent shadow olga; test -d /home/olga; ! sshd -T | grep -qi 'logingracetime 45'",
    );
    assert_eq!(
        host.shell("id -nG zed; id -nG olga; id -nG ida"),
        "zed sudo\nolga\nnogroup\n"
    );
    let values = "sysctl -n net.ipv4.conf.all.rp_filter net.ipv4.ip_default_ttl";
    assert_eq!(host.shell(values), "2\n64\n");
}

/// One account is somebody's by now, and the other goes whole; the first by another undo.
#[test]
fn an_account_that_is_kept_is_kept_whole_and_goes_later() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "people",
        "  - user: {name: kim, groups: [sudo]}\n  - user: {name: pat}\n",
    );
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", "people", "--yes", "--detach"])
        .expect(0, &[]);
    host.steadfast(&["confirm", "last", "--unproven"]);
    host.shell("touch /srv/its; chown kim /srv/its");
    let said = host.steadfast(&["undo", "last", "--yes", "--detach", "--keep-theirs"]);
    host.steadfast(&["confirm", "last", "--unproven"]);
    assert!(said.err.contains("account kim"), "{said}");
    host.shell(
        "! getent passwd pat; ! getent shadow pat; ! getent group pat; ! test -e /home/pat; \
         getent shadow kim; getent group kim; test -d /home/kim",
    );
    assert_eq!(host.shell("id -nG kim"), "kim sudo\n");
    let history = host.steadfast(&["history"]).expect(0, &[]);
    assert!(history.out.contains("in part"), "{history}");
    host.shell("rm /srv/its");
    host.steadfast(&["undo", "last", "--yes", "--detach"])
        .expect(0, &[]);
    host.steadfast(&["confirm", "last", "--unproven"]);
    // What was written twice has another time.
    let mut found = differences(&before, &host.snapshot());
    found.retain(|found| !Difference::is_only_mtime(found));
    assert!(found.is_empty(), "{}", listed(&found));
}

/// Somebody has come to rest on what the change brought: that stays, and takes nothing of what
/// others did with it.
#[test]
fn a_shell_that_somebody_took_meanwhile_stays_alone() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!(
        "{MAKE}d=/root/build/mysh; mkdir -p $d/usr/bin; cp /bin/dash $d/usr/bin/mysh\n\
         make mysh 1 'add-shell /usr/bin/mysh'\nmkdir -p /root/build/other; make other 1 ''\nindex\nuseradd -m bob"
    ));
    host.role(
        "shell",
        "  - package: {name: mysh}\n  \
         - sshd: {option: LoginGraceTime, value: '45'}\n",
    );
    let words = "apply --role shell --yes --detach --confirm-within 20s";
    let words: Vec<&str> = words.split(' ').collect();
    host.steadfast(&words).expect(0, &[]);
    host.shell(
        "useradd -m frida; usermod -aG sudo frida; apt-get -qq -y install other >/dev/null; \
         usermod -s /usr/bin/mysh bob",
    );
    host.wait_for_state("rolled_back", crate::booted::LIMIT);
    let show = host.steadfast(&["show", "last"]).expect(0, &[]);
    assert!(
        show.out.contains("the login shell of account bob"),
        "{show}"
    );
    host.shell(
        "! dpkg -s mysh; ! test -e /usr/share/doc/mysh; dpkg -s other; \
         test -x /usr/bin/mysh; su bob -c true",
    );
    assert_eq!(host.shell("id -nG frida"), "frida sudo\n");
}
