//! What runs when an undo begins: a program that goes, what a service writes when it is told to end,
//! and what people write while an undo lies interrupted.

use lab::{Exec, Release};

use crate::booted::{AS_BEFORE, Host, LIMIT, PROGRAM};
use crate::lab_patch::MAKE;
use crate::packages::host_that_can_install;

/// A package with a program of its own, a service that runs it, and places of several kinds.
const SERVER: &str = r#"
d=/root/build/server; mkdir -p $d/usr/bin $d/usr/lib/systemd/system $d/usr/lib/server-site $d/usr/share/zz $d/var/lib/server $d/var/www/server $d/etc/server
cp /usr/bin/sleep $d/usr/bin/served
echo 'data = /var/lib/server' > $d/etc/server/server.conf
echo hello > $d/var/www/server/index.html
for i in $(seq 4000); do echo $i > $d/usr/share/zz/$i; done
printf '[Service]\nExecStart=/usr/bin/served infinity\nExecStop=/bin/sh -c "test ! -e /run/slow || sleep 5"\nExecStopPost=/bin/sh -c "test ! -e /run/memory || cp /run/memory /var/lib/server/dump"\n' > $d/usr/lib/systemd/system/served.service
make server 1.0 'if test -d /run/systemd/system; then systemctl daemon-reload; systemctl start served; fi'
index
"#;

fn host() -> Option<Host> {
    let host = Host::installed()?;
    host.shell(&format!("{MAKE}{SERVER}"));
    host.role("server", "  - package: {name: server}\n");
    Some(host)
}

fn apply(host: &Host) {
    host.steadfast(&["apply", "--role", "server", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell("pgrep -x served");
}

const UNDO: [&str; 3] = ["undo", "last", "--yes"];

#[test]
fn a_program_that_runs_does_not_go_without_a_word() {
    let Some(host) = host() else { return };
    // A masked unit is stopped as any other.
    apply(&host);
    host.shell("systemctl mask served");
    host.steadfast(&[&UNDO[..], &["--accept-data-loss"]].concat())
        .expect(0, &["undone"]);
    host.shell("! pgrep -x served && ! test -e /usr/bin/served; systemctl unmask served");

    // Somebody's own unit.
    apply(&host);
    host.shell(
        "systemctl stop served; printf '[Service]\\nExecStart=/usr/bin/served infinity\\n' > /etc/systemd/system/web.service; \
         systemctl daemon-reload; systemctl start web",
    );
    host.steadfast(&UNDO).expect(
        5,
        &[
            "web.service",
            "`/usr/bin/served` goes",
            "nothing was touched",
        ],
    );
    host.shell("pgrep -x served && test -e /usr/bin/served && test -e /usr/share/zz/1");
    let kept = host.steadfast(&[&UNDO[..], &["--keep-theirs"]].concat());
    let kept = kept.expect(
        1,
        &[
            "undone",
            "still at work",
            "runs on with `/usr/bin/served`, which is gone",
        ],
    );
    assert!(!kept.err.contains(AS_BEFORE), "{kept}");
    host.shell("systemctl stop web; rm /etc/systemd/system/web.service; systemctl daemon-reload");

    // Started by hand.
    apply(&host);
    host.shell(
        "systemctl stop served; setsid /usr/bin/served infinity >/dev/null 2>&1 </dev/null &",
    );
    host.wait_for("pgrep -x served", LIMIT);
    host.steadfast(&UNDO)
        .expect(5, &["(served)", "end it first", "nothing was touched"]);
    host.shell("kill $(pgrep -x served)");
    host.steadfast(&UNDO).expect(0, &[AS_BEFORE]);
}

#[test]
fn what_a_service_writes_when_it_is_stopped_is_data() {
    let Some(host) = host() else { return };
    apply(&host);
    host.shell("echo precious > /run/memory");
    host.steadfast(&UNDO).expect(
        5,
        &[
            "/var/lib/server",
            "`/var/lib/server/dump` is one of them",
            "--accept-data-loss",
        ],
    );
    // It runs, and the change is in effect as before.
    host.shell("systemctl is-active served && grep -q precious /var/lib/server/dump");
    host.steadfast(&["history"]).expect(0, &["in effect"]);
    host.shell("rm /var/lib/server/dump");
    host.steadfast(&[&UNDO[..], &["--keep-theirs"]].concat())
        .expect(
            1,
            &[
                "undone in part",
                "/etc/server: it belongs to the data in /var/lib/server",
            ],
        );
    // What says how it is kept stays with it.
    host.shell(
        "grep -q precious /var/lib/server/dump && test -e /etc/server/server.conf && ! test -e /usr/bin/served",
    );
    host.shell("rm -r /var/lib/server /etc/server");

    // Whatever it begins with: that says nothing of when its program writes.
    apply(&host);
    host.shell("printf 'SQLite format 3\\0 and orders' > /run/memory");
    host.steadfast(&UNDO)
        .expect(5, &["`/var/lib/server/dump` is one of them"]);
    host.steadfast(&[&UNDO[..], &["--accept-data-loss"]].concat())
        .expect(0, &[AS_BEFORE]);
    host.shell("! test -e /var/lib/server && ! test -e /usr/bin/served && rm /run/memory");
}

/// It runs what the undo takes back, and is nobody's to restart but its own administrator's.
#[test]
fn a_service_that_came_since_is_named() {
    let Some(host) = host() else { return };
    host.shell("apt-get -qq -y install server");
    host.shell(&format!(
        "{MAKE}d=/root/build/server; mkdir -p $d/usr/bin $d/usr/lib/systemd/system; cp /usr/bin/sleep $d/usr/bin/served; echo >> $d/usr/bin/served
         cp /usr/lib/systemd/system/served.service $d/usr/lib/systemd/system/
         make server 1.1 ''\nindex"
    ));
    host.steadfast(&["patch", "apply", "--package", "server", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell(
        "sleep 2; printf '[Service]\nExecStart=/usr/bin/served infinity\n' > /etc/systemd/system/web.service; \
         systemctl daemon-reload; systemctl start web",
    );
    let undone = host.steadfast(&UNDO).expect(
        1,
        &["undone", "still at work", "systemctl restart web.service"],
    );
    assert!(!undone.err.contains(AS_BEFORE), "{undone}");
}

/// Root that may not look at the processes of others, as in many a container.
#[test]
fn what_can_not_be_looked_at_withholds_the_proof() {
    let Some(host) = host() else { return };
    let blind = || {
        let without = ["setpriv", "--bounding-set", "-sys_ptrace", PROGRAM];
        host.run_as(Exec::new([&without[..], &UNDO].concat()).limit(LIMIT))
    };
    apply(&host);
    host.shell(
        "systemctl stop served; \
         systemd-run -q --unit=hand -p User=nobody /usr/bin/served infinity",
    );
    // Its own words say what it runs.
    blind().expect(5, &["`/usr/bin/served` goes", "nothing was touched"]);
    host.shell("systemctl stop hand; systemd-run -q --unit=other -p User=nobody sleep infinity");
    let undone = blind().expect(3, &["undone", "may run on with what was taken away"]);
    assert!(!undone.err.contains(AS_BEFORE), "{undone}");
    host.shell("! test -e /usr/bin/served");
    apply(&host);
    host.steadfast(&UNDO).expect(0, &[AS_BEFORE]);
}

/// What is in the memory of a store alone.
#[test]
fn what_redis_holds_in_memory_is_not_lost() {
    let Some(host) = host_that_can_install(Release::Bookworm, &["redis-server", "hello"]) else {
        return;
    };
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.role("redis", "  - package: {name: redis-server}\n");
    host.steadfast(&["apply", "--role", "redis", "--yes"])
        .expect(0, &["is in effect"]);
    host.wait_for("redis-cli set precious 42 | grep -q OK", LIMIT);
    host.steadfast(&UNDO)
        .expect(5, &["/var/lib/redis", "dump.rdb", "--accept-data-loss"]);
    host.wait_for("redis-cli get precious | grep -q 42", LIMIT);
    // Its log is its data, too.
    host.steadfast(&[&UNDO[..], &["--accept-data-loss"]].concat())
        .expect(0, &[AS_BEFORE]);
    host.shell(
        "! test -e /var/lib/redis && ! test -e /usr/bin/redis-server && ! test -e /var/log/redis \
         && ! getent passwd redis",
    );
}

#[test]
fn what_people_write_while_an_undo_is_interrupted_stays() {
    let Some(host) = host() else { return };
    apply(&host);

    // Before anything went: the undo is given up.
    host.shell("touch /run/slow");
    let running = host.start(&UNDO);
    host.wait_for("systemctl is-active served | grep -q deactivating", LIMIT);
    running.kill().expect("it is killed");
    host.shell("echo precious > /var/www/server/page.html; rm /run/slow");
    host.steadfast(&["recover"]).expect(
        4,
        &["/var/www/server", "page.html", "the undo was taken back"],
    );
    host.shell("grep -q precious /var/www/server/page.html && systemctl is-active served && test -e /usr/bin/served");
    host.steadfast(&["history"]).expect(0, &["in effect"]);
    host.shell("rm /var/www/server/page.html");

    // When files go already: what came since is kept, and named.
    let running = host.start(&UNDO);
    host.shell("while test -e /usr/share/zz/999; do :; done; pkill -KILL -x steadfast");
    drop(running);
    host.shell("test -e /usr/share/zz/1 && echo precious > /usr/lib/server-site/page.html");
    host.steadfast(&["recover"])
        .expect(5, &["/usr/lib/server-site", "page.html"]);
    host.shell("grep -q precious /usr/lib/server-site/page.html && ! test -e /usr/share/zz");
}
