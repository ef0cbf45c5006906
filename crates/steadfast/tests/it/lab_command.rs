//! Commands of a policy: their own way back is run where it takes back what they did, and nowhere else.

use crate::booted::Host;

/// `createdb` that fails since the database is there already has made nothing that `dropdb` could take
/// back.
#[test]
fn the_way_back_of_a_command_that_failed_is_not_run() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("mkdir /root/production && echo rows > /root/production/table");
    host.role(
        "shop",
        "  - command: {name: shop, check: [/bin/test, -e, /root/version], \
         fix: [/bin/sh, -c, 'echo it exists already >&2; exit 1'], \
         undo: [/bin/rm, -rf, /root/production]}\n",
    );
    host.steadfast(&["plan", "--role", "shop"])
        .expect(1, &["undo", "will run /bin/rm -rf /root/production"]);
    let said = host
        .steadfast(&["apply", "--role", "shop", "--yes"])
        .expect(
            4,
            &[
                "it exists already",
                "`/bin/rm -rf /root/production` was not run",
            ],
        );
    assert!(!said.err.contains("and as before"), "{said}");
    assert_eq!(host.shell("cat /root/production/table"), "rows\n");

    // The same where something else of the change stays in effect.
    host.role(
        "other",
        "  - file: {path: /etc/other, content: \"stays\\n\"}\n",
    );
    let both = ["apply", "--role", "other", "--role", "shop", "--yes"];
    host.steadfast(&both)
        .expect(4, &["`/bin/rm -rf /root/production` was not run"]);
    host.steadfast(&["show", "last"])
        .expect(0, &["/bin/rm -rf /root/production"]);
    let left = host.shell("cat /etc/other /root/production/table");
    assert_eq!(left, "stays\nrows\n");
}

/// What nobody has looked at is not as before when the rest is, either: neither by another undo nor by
/// another look.
#[test]
fn what_a_command_that_failed_left_is_never_called_as_before() {
    for ends in [vec!["undo", "last", "--yes"], vec!["recover", "c-2"]] {
        let Some(host) = Host::installed() else {
            return;
        };
        host.shell("mkdir -p /srv/q");
        host.role(
            "both",
            "  - file: {path: /srv/q/a, content: \"x\\n\"}\n  \
             - command: {name: c, check: [/bin/test, -e, /nonexistent], \
               fix: [/bin/sh, -c, 'touch /etc/side; chattr +i /srv/q/a; false'], \
               undo: [/bin/rm, -f, /etc/side]}\n",
        );
        let apply = ["apply", "--role", "both", "--all-or-nothing", "--yes"];
        let said = host.steadfast(&apply);
        if said.err.contains("Operation not supported") {
            eprintln!("skipped: the file system knows no immutable files");
            return;
        }
        said.expect(5, &["`/bin/rm -f /etc/side` was not run"]);
        host.shell("chattr -i /srv/q/a");
        if ends[0] == "recover" {
            host.shell("rm /srv/q/a");
        }
        let said = host.steadfast(&ends);
        let told = format!("{}{}", said.out, said.err);
        assert_ne!(said.code, Some(0), "{said}");
        assert!(!told.contains("as it was before"), "{said}");
        assert!(!told.contains("and as before"), "{said}");
        assert!(told.contains("/etc/side"), "{said}");
        host.shell("test -e /etc/side && ! test -e /srv/q/a");
    }
}

/// What it did although it failed is taken back: its check says that it is there.
#[test]
fn what_a_command_did_before_it_failed_is_taken_back() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "half",
        "  - command: {name: half, check: [/bin/test, -e, /root/made], \
         fix: [/bin/sh, -c, 'touch /root/made; exit 1'], undo: [/bin/rm, /root/made]}\n",
    );
    host.steadfast(&["apply", "--role", "half", "--yes"])
        .expect(4, &[]);
    assert_eq!(host.shell("ls /root"), "");

    // It ended well, and did not reach what it is for.
    host.role(
        "vain",
        "  - command: {name: vain, check: [/bin/test, -e, /root/wanted], \
         fix: [/usr/bin/touch, /root/other], undo: [/bin/rm, /root/other]}\n",
    );
    host.steadfast(&["apply", "--role", "vain", "--yes"])
        .expect(4, &[]);
    assert_eq!(host.shell("ls /root"), "");
}

/// A command's way back may delete what others' work is, which stays where that is asked for.
#[test]
fn nothing_is_run_where_others_work_is_left() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "both",
        "  - file: {path: /etc/shop.conf, content: \"size = 1\\n\"}\n  \
         - command: {name: made, check: [/bin/test, -e, /root/made], \
         fix: [/usr/bin/touch, /root/made], undo: [/bin/rm, /root/made]}\n",
    );
    host.steadfast(&["apply", "--role", "both", "--yes"])
        .expect(0, &[]);
    host.shell("echo 'size = 2' > /etc/shop.conf");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(5, &["/etc/shop.conf"]);
    host.steadfast(&["undo", "last", "--yes", "--keep-theirs"])
        .expect(1, &["/etc/shop.conf", "`/bin/rm /root/made` was not run"]);
    assert_eq!(
        host.shell("ls /root; cat /etc/shop.conf"),
        "made\nsize = 2\n"
    );
}
