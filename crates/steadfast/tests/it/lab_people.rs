//! What people write into directories that packages brought is theirs, whenever they do: a change that
//! goes by itself leaves it, an undo asks about it. What the packages' own services write goes with
//! them.

use crate::booted::{Host, LIMIT, wait};
use crate::lab_patch::MAKE;

/// A package with a configuration file, a page, and a service that writes at its start and later, as a
/// user of its own and as root.
fn make(host: &Host, name: &str) {
    make_with(host, name, "MORE=''");
}

fn make_with(host: &Host, name: &str, more: &str) {
    let files = r#"
d=/root/build/NAME; mkdir -p $d/etc/web/sites $d/usr/share/web $d/var/www/html $d/var/lib/web $d/var/log/web \
  $d/lib/systemd/system $d/usr/lib/web $d/DEBIAN
echo 'port 80' > $d/etc/web/web.conf; echo site > $d/etc/web/sites/default.conf
echo page > $d/var/www/html/index.html; echo x > $d/usr/share/web/x
printf '/etc/web/web.conf\n/etc/web/sites/default.conf\n' > $d/DEBIAN/conffiles
cat > $d/usr/lib/web/web <<'END'
#!/bin/bash
exec 3>>/var/log/web/error.log 4>>/var/lib/web/journal
echo started >&3
setpriv --reuid=_web --clear-groups bash -c 'echo first > /var/lib/web/first; until test -e /run/late; do sleep 0.2; done; echo late > /var/lib/web/late; until exec 5</var/lib/web/film; do sleep 0.2; done 2>/dev/null; exec sleep 1000'
END
chmod 755 $d/usr/lib/web/web
printf '[Service]\nExecStart=/usr/lib/web/web\n' > $d/lib/systemd/system/web.service
make NAME 1 'getent passwd _web >/dev/null || useradd --system _web; chown _web /var/lib/web
if test -e /run/systemd/private; then systemctl daemon-reload; systemctl start web; while ! test -e /var/lib/web/first; do sleep 0.1; done; fi' "$MORE"
"#;
    let files = files.replace("NAME", name);
    host.shell(&format!("{MAKE}{more}\n{files}index\n"));
}

/// It waits to be confirmed.
const WAITS: &str = "  - package: {name: web}\n  - sshd: {option: MaxAuthTries, value: 3}\n";

/// What a person does by hand, in the places of the package.
const BY_HAND: &str = "echo k > /etc/web/key; mkdir -p /etc/web/ssl; echo k > /etc/web/ssl/k; \
    echo x > /root/t; mv /root/t /etc/web/sites/moved.conf; echo '# mine' >> /etc/web/web.conf; \
    mkdir -p /var/www/html/shop /usr/share/web/theirs; echo data > /var/www/html/shop/data; \
    echo x > /usr/share/web/theirs/x; echo dump > /var/lib/web/dump; \
    echo mine > /usr/share/web/x; mkdir /var/lib/web/uploads; echo up > /var/lib/web/uploads/a; \
    chown -R www-data: /var/lib/web/uploads; echo notes > /var/log/web/incident.txt; \
    echo film > /run/film; chown 1000:1000 /run/film; mv /run/film /var/lib/web/film; \
    echo notes > /var/log/web/incident.log; echo c > /var/log/web/catalogue.csv; \
    echo r > /var/log/web/report; chown www-data: /var/log/web/report";
/// And it is there.
const STAYS: &str = "cd /; test -s etc/web/key -a -s etc/web/ssl/k -a -s etc/web/sites/moved.conf \
    -a -s var/www/html/shop/data -a -s usr/share/web/theirs/x -a -s var/lib/web/dump && \
    grep -q mine etc/web/web.conf && grep -q mine usr/share/web/x && \
    test -s var/lib/web/uploads/a -a -s var/log/web/incident.txt -a -s var/lib/web/film && \
    test -s var/log/web/incident.log -a -s var/log/web/catalogue.csv -a -s var/log/web/report";
const NAMED: [&str; 12] = [
    "/var/log/web/incident.log",
    "/var/log/web/catalogue.csv",
    "/var/log/web/report",
    "/usr/share/web/x",
    "/var/lib/web/uploads",
    "/var/log/web/incident.txt",
    "/etc/web/key",
    "/etc/web/ssl",
    "/etc/web/web.conf",
    "/usr/share/web/theirs",
    "/var/lib/web/dump",
    // The service reads it.
    "/var/lib/web/film",
];

#[test]
fn what_people_wrote_while_a_change_waited_stays() {
    for is_detached in [false, true] {
        let Some(host) = Host::installed() else {
            return;
        };
        make(&host, "web");
        host.role("web", WAITS);
        let mut apply = vec!["apply", "--role", "web", "--yes", "--confirm-within", "30s"];
        let running = match is_detached {
            true => {
                apply.push("--detach");
                host.steadfast(&apply).expect(0, &[]);
                None
            }
            false => Some(host.start(&apply)),
        };
        host.wait_for_state("awaiting_confirmation", LIMIT);
        host.shell(&format!(
            "touch /run/late; until test -e /var/lib/web/late; do sleep 0.2; done; {BY_HAND}; \
             until ls -l /proc/[0-9]*/fd | grep -q /var/lib/web/film; do sleep 0.2; done"
        ));
        let said = match running {
            Some(running) => wait(running).expect(4, &["may not be as before"]).err,
            None => {
                host.wait_for_state("rolled_back", LIMIT);
                host.steadfast(&["show", "last"]).expect(0, &[]).out
            }
        };
        assert!(!said.contains("and as before"), "{said}");
        for name in NAMED {
            assert!(said.contains(name), "{name} is not named: {said}");
        }
        assert!(said.contains("/var/www"), "{said}");
        host.shell(STAYS);
        // What the service had written by the end of the install is gone; what it wrote later stays
        // with the directory, and is named.
        assert!(said.contains("/var/lib/web/late"), "{said}");
        host.shell(
            "! test -e /var/lib/web/first && ! test -e /var/lib/web/journal && \
             ! test -e /usr/lib/web && ! dpkg -s web",
        );
    }
}

/// Logs are not taken unasked, and not kept unsaid; who asks for it gets the host as it was.
#[test]
fn what_was_logged_stays_until_it_is_asked_for() {
    let Some(host) = Host::installed() else {
        return;
    };
    make(&host, "web");
    host.role("web", "  - package: {name: web}\n");
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", "web", "--yes"])
        .expect(0, &[]);
    host.shell("grep -q started /var/log/web/error.log");
    let said = host.steadfast(&["undo", "last", "--yes"]).expect(1, &[]);
    let told = format!("{}{}", said.out, said.err);
    assert!(told.contains("/var/log/web"), "{said}");
    assert!(told.contains("--accept-data-loss"), "{said}");
    assert!(!told.contains("as it was before it"), "{said}");
    host.shell("grep -q started /var/log/web/error.log && ! dpkg -s web && ! pidof web");
    host.steadfast(&["undo", "last", "--yes", "--accept-data-loss"])
        .expect(0, &["as it was before it"]);
    host.shell("! test -e /var/log/web && ! getent passwd _web");
    crate::lab_patch::expect_same(&host, &before);
}

/// Nobody was there: it goes to the byte, and is proven.
#[test]
fn alone_a_change_that_waited_goes_exactly() {
    let Some(host) = Host::installed() else {
        return;
    };
    make(&host, "web");
    host.role("web", WAITS);
    let before = host.snapshot();
    let apply = ["apply", "--role", "web", "--yes", "--confirm-within", "10s"];
    host.shell("touch /run/late");
    host.steadfast(&apply).expect(4, &["and as before"]);
    crate::lab_patch::expect_same(&host, &before);
}

/// What was written as the service's account goes with it, and is named; a table of cron of that account,
/// which nobody but the account tells from a stranger's, stays with it.
#[test]
fn what_was_written_as_the_services_account_is_named() {
    let Some(host) = Host::installed() else {
        return;
    };
    make(&host, "web");
    host.role("web", WAITS);
    let apply = ["apply", "--role", "web", "--yes", "--detach"];
    host.steadfast(&apply).expect(0, &[]);
    let as_service = "echo import > /var/lib/web/import.sh; chown _web: /var/lib/web/import.sh";
    host.shell(as_service);
    host.steadfast(&["undo", "--yes"]).expect(
        0,
        &[
            "went with its packages",
            "/var/lib/web/import.sh",
            "and as before",
        ],
    );
    host.steadfast(&["show", "last"])
        .expect(0, &["/var/lib/web/import.sh"]);
    host.shell("! test -e /var/lib/web && ! getent passwd _web");

    host.steadfast(&apply).expect(0, &[]);
    host.shell(
        "mkdir -p /var/spool/cron/crontabs; echo '* * * * * true' > /var/spool/cron/crontabs/_web; \
         chown _web: /var/spool/cron/crontabs/_web",
    );
    let said = host
        .steadfast(&["undo", "--yes"])
        .expect(1, &["account _web: `/var/spool/cron/crontabs/_web` is its"]);
    assert!(!format!("{said}").contains("as it was before"), "{said}");
    host.shell("getent passwd _web");
}

/// A rule of sudo and a key that the change gave go with it, also where others have added lines.
#[test]
fn no_right_stays_for_the_sake_of_anothers_line() {
    let Some(host) = Host::installed() else {
        return;
    };
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKyEblIvgf1qDUNXk7HnWbFzh3r6mXhv0oKVvIqJ8u9X";
    let role = format!(
        "  - user: {{name: ida, group: sudo}}\n  \
         - file: {{path: /etc/sudoers.d/ida, mode: \"0440\", content: \"ida ALL=(ALL) NOPASSWD: ALL\\n\"}}\n  \
         - authorized_key: {{user: root, key: \"{KEY} ida\"}}\n  \
         - sshd: {{option: MaxAuthTries, value: 3}}\n"
    );
    host.role("ida", &role);
    host.steadfast(&["apply", "--role", "ida", "--yes", "--detach"])
        .expect(0, &[]);
    host.shell(&format!(
        "echo '# by carl' >> /etc/sudoers.d/ida; echo '{KEY} carl' | sed 's/KyEb/KyEc/' >> /root/.ssh/authorized_keys; \
         touch /var/tmp/i; chown ida /var/tmp/i"
    ));
    let said = host.steadfast(&["undo", "--yes"]).expect(
        1,
        &[
            "/etc/sudoers.d/ida",
            "/root/.ssh/authorized_keys",
            "account ida",
        ],
    );
    assert!(!format!("{said}").contains("as it was before"), "{said}");
    host.shell(
        "! sudo -n -l -U ida | grep -q NOPASSWD; test \"$(cat /etc/sudoers.d/ida)\" = '# by carl'",
    );
    assert_eq!(
        host.shell("cut -d' ' -f3 /root/.ssh/authorized_keys; id -nG ida"),
        "carl\nnogroup\n"
    );
}

#[test]
fn what_people_wrote_while_a_change_was_at_work_is_asked_about() {
    let Some(host) = Host::installed() else {
        return;
    };
    make(&host, "web");
    host.role(
        "web",
        "  - package: {name: web}\n  \
         - command: {name: slow, check: [/usr/bin/test, -e, /etc/slow], \
         fix: [/bin/sh, -c, 'touch /root/begun; for i in $(seq 900); do test -e /root/go && touch /etc/slow && exit; sleep 0.1; done'], \
         undo: [/bin/rm, -f, /etc/slow], timeout_s: 120}\n",
    );
    let running = host.start(&["apply", "--role", "web", "--yes"]);
    host.wait_for("test -e /root/begun", LIMIT);
    host.shell(&format!("{BY_HAND}; touch /root/go"));
    wait(running).expect(0, &["is in effect"]);
    let refused = host.steadfast(&["undo", "last", "--yes"]);
    refused.expect(
        5,
        &["nothing was touched", "/etc/web/web.conf", "has put `ssl`"],
    );
    host.shell(&format!("dpkg -s web && {STAYS}"));
    host.steadfast(&["undo", "last", "--yes", "--keep-theirs"])
        .expect(1, &["undone in part"]);
    host.shell(&format!("! dpkg -s web && {STAYS}"));
}

/// Killed in the midst of dpkg, with its files lying about.
#[test]
fn what_people_did_after_dpkg_was_killed_stays() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!(
        "{MAKE}make slow 1 'useradd --system _slow; touch /run/slow; sleep 10'\n"
    ));
    host.shell(&format!("{MAKE}index\n"));
    let made = "MORE='Depends: slow\n'";
    make_with(&host, "web", made);
    host.role("web", "  - package: {name: web}\n");
    host.shell("useradd -m eve");
    host.shell(
        "/opt/steadfast apply --role web --yes > /run/said 2>&1 & \
         for i in $(seq 2400); do \
           test -e /etc/web/web.conf.dpkg-new && getent passwd _slow && break; sleep 0.05; \
         done; sleep 1; \
         for one in steadfast apt-get dpkg; do pkill -9 -x $one; done; pkill -9 -f '[/]var/lib/dpkg/info/slow'; \
         ls /etc/web/web.conf.dpkg-new",
    );
    host.shell(
        "useradd -m ida; usermod -aG sudo ida; usermod -aG sudo eve; echo 'Listen 99' >> /etc/web/web.conf; \
         mkdir -p /var/www/html; echo d > /var/www/html/d",
    );
    let said = host
        .steadfast(&["recover"])
        .expect(4, &["/etc/web/web.conf"]);
    assert!(!format!("{said}").contains("dpkg-new"), "{said}");
    assert!(!format!("{said}").contains("as it was before"), "{said}");
    host.shell(
        "id -nG ida | grep -qw sudo && id -nG eve | grep -qw sudo && grep -q ida /etc/shadow",
    );
    host.shell("! id _slow; ! id _web; test \"$(cat /etc/web/web.conf)\" = 'Listen 99' && test -s /var/www/html/d");
    host.shell("! test -e /etc/web/sites && ! dpkg -s web && ! dpkg -s slow");
}
