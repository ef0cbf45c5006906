//! Two changes that have nothing of each other, and what others made since: told apart by entry, by
//! name and by value.

use crate::booted::Host;

fn apply(host: &Host, name: &str, yaml: &str) {
    host.role(name, yaml);
    host.steadfast(&["apply", "--role", name, "--yes"])
        .expect(0, &["is in effect"]);
}

/// Both wrote the same files of accounts; each has its own entries in them.
#[test]
fn accounts_of_two_changes_are_undone_in_any_order() {
    let Some(host) = Host::installed() else {
        return;
    };
    let of_accounts = "cat /etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/subuid /etc/subgid";
    let texts = host.shell(of_accounts);
    apply(&host, "alfa", "  - user: {name: alfa, groups: [users]}\n");
    apply(&host, "beta", "  - user: {name: beta, groups: [users]}\n");
    host.steadfast(&["undo", "c-2", "--yes"])
        .expect(0, &["undone"]);
    host.shell("! grep -q alfa /etc/passwd /etc/shadow /etc/group /etc/gshadow && id -nG beta | grep -q users && pwck -qr && grpck -r");
    host.steadfast(&["undo", "c-3", "--yes"])
        .expect(0, &["undone"]);
    assert_eq!(host.shell(of_accounts), texts);
    host.shell("test ! -e /home/alfa && test ! -e /home/beta");

    // The later one has the earlier one's account.
    apply(&host, "gamma", "  - user: {name: gamma}\n");
    apply(
        &host,
        "gamma2",
        "  - user: {name: gamma, groups: [users]}\n",
    );
    host.steadfast(&["undo", "c-4", "--yes"]).expect(
        2,
        &[
            "change c-5 came after c-4",
            "account gamma",
            "undo c-5 first",
        ],
    );
    host.steadfast(&["undo", "c-5", "--yes"])
        .expect(0, &["undone"]);
    host.steadfast(&["undo", "c-4", "--yes"])
        .expect(0, &["undone"]);
    assert_eq!(host.shell(of_accounts), texts);
}

/// One number is one account's.
#[test]
fn who_was_removed_does_not_come_back_beside_another_of_that_number() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("useradd -u 1500 bob9 && groupadd -g 2000 ops && usermod -aG ops bob9");
    apply(
        &host,
        "gone",
        "  - user: {name: bob9, absent: true}\n  - group: {name: ops, absent: true}\n",
    );
    host.shell("useradd -M -N -u 1500 carol9 && groupadd -g 2001 ops");
    let passwd = host.shell("cat /etc/passwd /etc/group");
    host.steadfast(&["undo", "last", "--yes"]).expect(
        5,
        &[
            "account bob9",
            "its number 1500 is carol9's by now",
            "group ops",
            "it was made anew since",
            "nothing was touched",
        ],
    );
    assert_eq!(host.shell("cat /etc/passwd /etc/group"), passwd);
    host.shell("userdel carol9 && groupdel ops");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["undone"]);
    assert_eq!(
        host.shell("id -u bob9; id -nG bob9; getent group ops"),
        "1500\nbob9 ops\nops:x:2000:bob9\n"
    );
}

/// What the message advises works for what has no path.
#[test]
fn a_value_that_others_set_since_is_left() {
    let Some(host) = Host::installed() else {
        return;
    };
    const TTL: &str = "net.ipv4.ip_default_ttl";
    let values =
        "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/net/ipv4/tcp_syncookies; ls /etc/sysctl.d";
    let before = host.shell(values);
    for (how, code) in [
        (&["--keep-theirs"][..], 1),
        // What a person names is as wanted.
        (&["--except", TTL], 0),
        (&["--except", "/proc/sys/net/ipv4/ip_default_ttl"], 0),
    ] {
        apply(
            &host,
            "values",
            "  - sysctl: {key: net.ipv4.ip_default_ttl, value: \"63\"}\n  - sysctl: {key: net.ipv4.tcp_syncookies, value: \"2\"}\n",
        );
        host.shell(&format!("sysctl -qw {TTL}=61"));
        host.steadfast(&["undo", "last", "--yes"])
            .expect(5, &[TTL, "it is `61` now", "nothing was touched"]);
        host.steadfast(&[&["undo", "last", "--yes"], how].concat())
            .expect(code, &["undone in part", "still in effect", TTL]);
        let left = host.shell(values);
        assert!(left.starts_with("61\n"), "{how:?}: {left}");
        host.steadfast(&["history"]).expect(0, &["undone in part"]);
        // Put as the change had it, the rest goes back.
        host.shell(&format!("sysctl -qw {TTL}=63"));
        host.steadfast(&["undo", "last", "--yes"])
            .expect(0, &["undone"]);
        assert_eq!(host.shell(values), before, "{how:?}");
    }
}

/// What was left as others made it is still the change's to take back.
#[test]
fn what_others_made_is_left_and_taken_later() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("echo old > /opt/a; echo old > /opt/b");
    host.role(
        "files",
        "  - file: {path: /opt/a, content: \"new\\n\"}\n  - file: {path: /opt/b, content: \"new\\n\"}\n",
    );
    let before = host.snapshot();
    host.steadfast(&["apply", "--role", "files", "--yes"])
        .expect(0, &["is in effect"]);
    let after = host.shell("cp -a /opt/a /run/a; echo theirs > /opt/a; cat /opt/a /opt/b");
    assert_eq!(after, "theirs\nnew\n");
    host.steadfast(&["undo", "last", "--yes", "--keep-theirs"])
        .expect(1, &["undone in part", "/opt/a"]);
    assert_eq!(host.shell("cat /opt/a /opt/b"), "theirs\nold\n");
    host.steadfast(&["history"]).expect(0, &["undone in part"]);
    host.steadfast(&["show", "last"])
        .expect(0, &["1 place is left as others have made it since"]);
    host.steadfast(&["undo", "last", "--yes"])
        .expect(5, &["/opt/a", "nothing was touched"]);
    host.shell("cat /run/a > /opt/a && touch -r /run/a /opt/a");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["the host is as it was before it"]);
    host.expect_same(&before);
}
