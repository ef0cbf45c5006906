//! What is refused, and that a refusal touches nothing: other plans, other hosts, other
//! people's changes, journals that this host did not write.

use std::time::Duration;

use crate::booted::{Host, LIMIT, PROGRAM, STATE, wait};

const MOTD: &str = "  - file: {path: /etc/motd, content: \"one\\ntwo\\nthree\\n\"}\n";

#[test]
fn input_that_is_wrong_is_refused() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role("motd", MOTD);
    let before = host.snapshot();
    let cases: [(&[&str], i32, &[&str]); 8] = [
        (&["apply"], 2, &["never everything"]),
        (&["apply", "--role", "motd"], 2, &["no terminal", "--yes"]),
        (
            &["plan", "--rule", "ssh-root-logn"],
            2,
            &["ssh-root-logn", "ssh-root-login"],
        ),
        (&["plan", "--role", "modt"], 2, &["modt", "motd"]),
        (&["plan", "--baseline", "debain"], 2, &["debain", "debian"]),
        (
            &["apply", "/etc/passwd", "--yes"],
            2,
            &["can't read the plan"],
        ),
        (&["undo", "c-99", "--yes"], 2, &["c-99"]),
        (&["adit"], 2, &["audit"]),
    ];
    for (words, code, said) in cases {
        host.steadfast(words).expect(code, said);
    }
    host.expect_same(&before);
}

#[test]
fn a_saved_plan_is_carried_out_only_as_it_was_reviewed() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role("motd", MOTD);
    let plan = ["plan", "--role", "motd", "--output", "/root/plan.json"];
    host.steadfast(&plan).expect(1, &[]);
    let apply = ["apply", "/root/plan.json", "--yes"];
    let before = host.snapshot();

    // Another content, with the plan's form kept.
    host.shell("cp /root/plan.json /root/good.json && sed -i 's/three/thre3/' /root/plan.json");
    let said = host.steadfast(&apply);
    assert!(matches!(said.code, Some(1 | 2)), "{said}");
    // One more blank: the same plan in other bytes.
    host.shell("sed 's/^{/{ /' /root/good.json > /root/plan.json");
    host.steadfast(&apply).expect(2, &["altered"]);
    host.shell("head -c 200 /root/good.json > /root/plan.json");
    host.steadfast(&apply).expect(2, &[]);
    host.shell("cp /root/good.json /root/plan.json && rm /root/good.json");
    host.shell("touch -r /etc /root");
    let untouched = |host: &Host| {
        let found = crate::booted::differences(&before, &host.snapshot());
        let found: Vec<_> = found
            .into_iter()
            .filter(|found| !found.path.starts_with("/root"))
            .collect();
        assert!(found.is_empty(), "{found:?}");
    };
    untouched(&host);

    // The host changed since.
    host.shell("cp -p /etc/motd /root/motd && echo 'somebody else' > /etc/motd");
    host.steadfast(&apply)
        .expect(1, &["somebody else", "nothing was changed"]);
    assert_eq!(host.shell("cat /etc/motd"), "somebody else\n");
    host.shell("cat /root/motd > /etc/motd && touch -r /root/motd /etc/motd");

    // Another host.
    let Some(other) = Host::installed() else {
        return;
    };
    other.role("motd", MOTD);
    let text = host.container.read_file("/root/plan.json");
    other.write("/root/plan.json", text.expect("the plan is there"));
    other.shell("hostname other && echo other > /etc/hostname");
    let elsewhere = other.snapshot();
    other.steadfast(&apply).expect(1, &["made for"]);
    other.expect_same(&elsewhere);

    // Nothing of this was in the way of the plan itself.
    host.steadfast(&apply)
        .expect(0, &["still what this host needs"]);
    assert_eq!(host.shell("cat /etc/motd"), "one\ntwo\nthree\n");
    host.steadfast(&apply).expect(1, &[]);
    host.steadfast(&["apply", "--role", "motd", "--yes"])
        .expect(0, &["nothing to do"]);
}

#[test]
fn what_others_changed_since_is_kept() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("printf 'a = 1\\nb = 2\\nc = 3\\nd = 4\\ne = 5\\n' > /etc/lines.conf");
    host.role(
        "lines",
        "  - key_value: {path: /etc/lines.conf, syntax: equals, key: b, value: \"20\"}\n",
    );
    let apply = ["apply", "--role", "lines", "--yes"];
    host.steadfast(&apply).expect(0, &[]);
    host.shell("sed -i 's/^e = .*/e = ours/' /etc/lines.conf");
    host.steadfast(&["undo", "last", "--yes"])
        .expect(0, &["not byte-identical", "/etc/lines.conf"]);
    let text = host.shell("cat /etc/lines.conf");
    assert_eq!(text, "a = 1\nb = 2\nc = 3\nd = 4\ne = ours\n");

    host.steadfast(&apply).expect(0, &[]);
    host.shell("sed -i 's/^b.*/b = theirs/' /etc/lines.conf");
    let before = host.snapshot();
    host.steadfast(&["undo", "last", "--yes"])
        .expect(5, &["theirs", "/etc/lines.conf", "nothing was touched"]);
    host.expect_same(&before);
}

#[test]
fn an_undo_out_of_order_is_refused() {
    let Some(host) = Host::installed() else {
        return;
    };
    let before = host.snapshot();
    for (number, content) in [("first", "1"), ("second", "2")] {
        let want = format!("  - file: {{path: /etc/motd, content: \"{content}\\n\"}}\n");
        host.role(number, &want);
    }
    let with_roles = host.snapshot();
    host.steadfast(&["apply", "--role", "first", "--yes"])
        .expect(0, &["c-2"]);
    host.steadfast(&["apply", "--role", "second", "--yes"])
        .expect(0, &["c-3"]);
    host.steadfast(&["undo", "c-2", "--yes"])
        .expect(2, &["undo c-3 first", "/etc/motd"]);
    assert_eq!(host.shell("cat /etc/motd"), "2\n");
    host.steadfast(&["undo", "3", "--yes"]).expect(0, &[]);
    // Said twice it takes back one change, and names the one before it.
    host.steadfast(&["undo", "last", "--yes"]).expect(
        2,
        &[
            "the last change, c-3, is undone already",
            "steadfast undo c-2",
        ],
    );
    assert_eq!(host.shell("cat /etc/motd"), "1\n");
    host.steadfast(&["undo", "c-2", "--yes"]).expect(0, &[]);
    // The unit that recovers at boot is no last change, and stays.
    host.steadfast(&["undo", "last", "--yes"]).expect(
        2,
        &["is undone already", "no change before it is in effect"],
    );
    host.steadfast(&["show", "last"])
        .expect(0, &["c-3", "undone"]);
    host.expect_same(&with_roles);
    host.shell("rm -r /etc/steadfast");
    let left = crate::booted::differences(&before, &host.snapshot());
    assert!(
        left.iter().all(lab::Difference::is_only_mtime),
        "{}",
        crate::booted::listed(&left)
    );
}

#[test]
fn a_state_directory_that_others_could_have_written_is_refused() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role("motd", MOTD);
    host.shell("useradd bob && mkdir -p /srv/open/state /srv/bobs && chmod 0777 /srv/open && chown bob /srv/bobs");
    host.shell("ln -s /srv/bobs /srv/link");
    let before = host.snapshot();
    for state in [
        "/srv/open/state",
        "/srv/open/new",
        "/srv/bobs",
        "/srv/link/in",
        "/tmp/in",
    ] {
        let words = ["--state", state, "apply", "--role", "motd", "--yes"];
        let named = format!("refused to use the state directory `{state}`: ");
        host.steadfast(&words).expect(5, &[named.trim_end()]);
    }
    let found = crate::booted::differences(&before, &host.snapshot());
    let found: Vec<_> = found
        .into_iter()
        .filter(|found| !found.path.starts_with("/srv"))
        .collect();
    assert!(found.is_empty(), "{found:?}");

    // Its own files, opened to others.
    host.shell(&format!("chmod 0666 {STATE}/journal.db"));
    host.steadfast(&["apply", "--role", "motd", "--yes"])
        .expect(5, &["open to others"]);
    host.shell(&format!(
        "chmod 0600 {STATE}/journal.db && chmod 0644 {STATE}/key"
    ));
    host.steadfast(&["recover"]).expect(5, &["open to others"]);
}

#[test]
fn a_journal_of_another_host_is_refused() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role("motd", MOTD);
    host.steadfast(&["apply", "--role", "motd", "--yes"])
        .expect(0, &[]);
    // The whole directory, as a cloned disk has it, on a host with an identity of its own.
    host.shell("echo 0123456789abcdef0123456789abcdef > /etc/machine-id");
    let before = host.snapshot();
    for words in [
        &["undo", "last", "--yes"][..],
        &["recover"],
        &["apply", "--role", "motd", "--yes"],
    ] {
        host.steadfast(words).expect(5, &["journal"]);
    }
    host.expect_same(&before);
}

/// Two changes at once never interleave, whatever journals they write.
#[test]
fn a_second_apply_waits_or_is_refused() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "slow",
        "  - command: {name: slow, check: [/usr/bin/test, -e, /etc/slow], \
         fix: [/bin/sh, -c, 'echo begin >> /root/order; sleep 14; touch /etc/slow; echo end >> /root/order'], \
         undo: [/bin/rm, -f, /etc/slow], timeout_s: 60}\n",
    );
    host.role(
        "quick",
        "  - command: {name: quick, check: [/usr/bin/test, -e, /etc/quick], \
         fix: [/bin/sh, -c, 'echo quick >> /root/order; touch /etc/quick'], \
         undo: [/bin/rm, -f, /etc/quick]}\n",
    );
    let slow = host.start(&["apply", "--role", "slow", "--yes"]);
    host.wait_for("test -e /root/order", LIMIT);
    let quick = [
        "--state",
        "/var/lib/other",
        "apply",
        "--role",
        "quick",
        "--yes",
    ];
    let quick = host.steadfast(&quick);
    wait(slow).expect(0, &[]);
    let order = host.shell("cat /root/order");
    match quick.code {
        Some(0) => assert_eq!(order, "begin\nend\nquick\n", "{quick}"),
        _ => {
            quick.expect(1, &["another change is at work"]);
            assert_eq!(order, "begin\nend\n");
        }
    }
}

/// While one waits to be confirmed, its way back must find what it left: what has nothing to do
/// with it goes on, and what is near it, or could cut people off, waits.
#[test]
fn a_change_that_waits_keeps_others_away() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell("echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/10-legacy.conf");
    host.role("motd", MOTD);
    let before = host.snapshot();
    let ssh = [
        "apply",
        "--baseline",
        "openssh",
        "--rule",
        "ssh-root-login",
        "--yes",
    ];
    let waiting = [&ssh[..], &["--confirm-within", "25s", "--detach"]].concat();
    host.steadfast(&waiting).expect(0, &[]);
    let near = [
        "apply",
        "--baseline",
        "openssh",
        "--rule",
        "ssh-max-tries",
        "--yes",
    ];
    host.steadfast(&near)
        .expect(5, &["c-2", "steadfast confirm"]);
    let other = [
        "--state",
        "/var/lib/other",
        "apply",
        "--role",
        "motd",
        "--yes",
    ];
    host.steadfast(&other).expect(1, &[STATE]);
    host.steadfast(&["apply", "--role", "motd", "--yes"])
        .expect(0, &["is in effect"]);
    // What is far from it is undone meanwhile.
    host.steadfast(&["undo", "c-3", "--yes"])
        .expect(0, &["c-3 undone"]);
    host.wait_for(
        &format!("! {PROGRAM} history --format json | grep -q awaiting"),
        Duration::from_secs(90),
    );
    let found = crate::booted::differences(&before, &host.snapshot());
    let found: Vec<_> = found
        .into_iter()
        .filter(|found| !found.path.starts_with("/var/lib"))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    // Once it is final, there is nothing in the way.
    host.steadfast(&other).expect(0, &[]);
}

/// Whoever owns a directory on the way can turn a path to wherever they like.
#[test]
fn a_link_that_somebody_planted_leads_root_nowhere() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(
        "useradd -m -s /bin/sh ana && useradd -m bob && mkdir -p /srv/ana/real && chown -R ana /srv/ana \
         && install -d -m 1777 /srv/open && install -d -m 0755 /srv/roots && touch /etc/victim",
    );
    host.shell(
        "su ana -c 'ln -s /etc /srv/ana/dir; ln -s /etc/victim /srv/ana/file; ln /srv/ana/real /srv/ana/hard 2>/dev/null; \
         ln -s /etc /srv/open/dir; ln -s /etc/victim /srv/open/file; ln -s /etc /home/ana/.ssh'; ln -s ../../etc /srv/roots/dir",
    );
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ana";
    // What is there can't be looked at by that way, and what is not can't be made.
    const UNSEEN: i32 = 3;
    const CANT_BE_DONE: i32 = 1;
    let wants = [
        (
            "file: {path: /srv/ana/dir/victim, content: \"x\\n\"}".to_owned(),
            UNSEEN,
            "dir",
        ),
        (
            "file: {path: /srv/ana/dir/new, content: \"x\\n\"}".to_owned(),
            CANT_BE_DONE,
            "dir",
        ),
        (
            "directory: {path: /srv/ana/dir/new}".to_owned(),
            CANT_BE_DONE,
            "dir",
        ),
        (
            "file: {path: /srv/open/dir/victim, content: \"x\\n\"}".to_owned(),
            UNSEEN,
            "dir",
        ),
        (
            "key_value: {path: /srv/open/file, syntax: equals, key: a, value: \"1\"}".to_owned(),
            UNSEEN,
            "file",
        ),
        (
            "key_value: {path: /srv/ana/file, syntax: equals, key: a, value: \"1\"}".to_owned(),
            UNSEEN,
            "file",
        ),
        (
            "file: {path: /srv/ana/file, mode: \"0666\"}".to_owned(),
            UNSEEN,
            "file",
        ),
        (
            format!("authorized_key: {{user: ana, key: {key}}}"),
            CANT_BE_DONE,
            ".ssh",
        ),
    ];
    for (number, (want, ..)) in wants.iter().enumerate() {
        host.role(&format!("link{number}"), &format!("  - {want}\n"));
    }
    let before = host.snapshot();
    for (number, (want, code, link)) in wants.iter().enumerate() {
        let role = format!("link{number}");
        let told = format!(
            "`{link}` on the way is a link that someone else than root could have put there"
        );
        let said = host
            .steadfast(&["apply", "--role", &role, "--yes", "--detach"])
            .expect(*code, &[&told]);
        let found = crate::booted::differences(&before, &host.snapshot());
        assert!(
            found.is_empty(),
            "{want}: {said}\n{}",
            crate::booted::listed(&found)
        );
    }
    // A link that only root could have put there is the way that root meant.
    host.role(
        "roots",
        "  - file: {path: /srv/roots/dir/victim, content: \"x\\n\"}\n",
    );
    host.steadfast(&["apply", "--role", "roots", "--yes"])
        .expect(0, &[]);
    assert_eq!(host.shell("cat /etc/victim"), "x\n");
}

/// What a path or a value holds is shown, and never obeyed, wherever it is shown.
#[test]
fn names_that_a_terminal_would_obey_are_shown_harmless() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.role(
        "names",
        "  - file: {path: \"/etc/\\e[31mred\\u202Ex\", content: \"\\e]0;title\\a\\n\"}\n  \
         - link: {path: \"/etc/\\e[2Jlink\", target: \"\\e[1m\"}\n",
    );
    let before = host.snapshot();
    let harmless = |words: &[&str], code: i32| {
        let said = host.steadfast(words);
        assert_eq!(said.code, Some(code), "{words:?}: {said}");
        let raw = |c: &char| *c != '\n' && model::escape::is_hidden(*c);
        for text in [&said.out, &said.err] {
            assert_eq!(text.chars().find(raw), None, "{words:?}: {text}");
        }
        said
    };
    harmless(&["plan", "--role", "names"], 1).expect(1, &["[31mred"]);
    harmless(&["plan", "--role", "names", "--format", "json"], 1);
    harmless(
        &["plan", "--role", "names", "--output", "/root/plan.json"],
        1,
    );
    // What was saved is read back as the same plan.
    harmless(&["apply", "/root/plan.json", "--yes"], 0).expect(0, &["[31mred"]);
    for words in [
        &["history"][..],
        &["show", "last"],
        &["show", "last", "--format", "json"],
    ] {
        harmless(words, 0);
    }
    host.shell("echo other > \"$(ls -d /etc/*red*)\"");
    harmless(&["undo", "last", "--yes"], 5);
    host.shell("printf '\\033]0;title\\a\\n' > \"$(ls -d /etc/*red*)\"; rm /root/plan.json; touch -r /etc /root");
    harmless(&["undo", "last", "--yes"], 0);
    let found = crate::booted::differences(&before, &host.snapshot());
    assert!(
        found.iter().all(lab::Difference::is_only_mtime),
        "{}",
        crate::booted::listed(&found)
    );
}

/// An account's thousand files cost neither the fix of root's one file, nor that of a thousand of
/// them; and one that appears meanwhile costs nothing.
#[test]
fn thousands_of_files_are_fixed_a_thousand_at_a_time() {
    let Some(host) = Host::fresh() else { return };
    host.shell(
        "useradd ana; mkdir -p /srv/ana; chown ana /srv/ana; touch /srv/zz.conf; chmod 666 /srv/zz.conf; \
         su ana -c 'cd /srv/ana; umask 0; touch $(seq -w 1 1500)'",
    );
    let apply = [
        "apply",
        "--rule",
        "permissions-world-writable-files",
        "--yes",
    ];
    host.steadfast(&apply)
        .expect(1, &["as wanted in part", "apply again"]);
    let left = "find /srv -type f -perm -002 | wc -l; stat -c %a /srv/zz.conf";
    assert_eq!(host.shell(left), "501\n664\n");
    host.steadfast(&apply).expect(0, &["is in effect"]);
    assert_eq!(host.shell(left), "0\n664\n");
    for change in ["last", "c-2"] {
        host.steadfast(&["undo", change, "--yes"])
            .expect(0, &["as it was before it"]);
    }
    assert_eq!(host.shell(left), "1501\n666\n");
}

/// A user who makes files all the time keeps neither a plan that was saved nor a fresh one from
/// being carried out: what was found since is left for the next run, and named.
#[test]
fn files_that_a_user_keeps_making_refuse_nothing() {
    let Some(host) = Host::fresh() else { return };
    host.shell(
        "useradd ana; mkdir -p /srv/ana /srv/bad; chown ana /srv/ana; \
         touch /srv/bad/saved; chmod 666 /srv/bad/saved",
    );
    let rule = ["--rule", "permissions-world-writable-files"];
    host.steadfast(&["plan", rule[0], rule[1], "--output", "/root/plan.json"])
        .expect(1, &[]);
    host.shell(
        "systemd-run -q --unit=maker -p User=ana -p UMask=0000 /bin/bash -c \
         'while n=$((n+1)); do : > /srv/ana/$n; sleep 0.01; done'; until test -e /srv/ana/5; do sleep 0.1; done",
    );
    let mode = "stat -c %a /srv/bad/*";
    host.steadfast(&["apply", "/root/plan.json", "--yes"])
        .expect(1, &["is still what this host needs", "apply again"]);
    assert_eq!(host.shell(mode), "664\n");
    host.shell("touch /srv/bad/fresh; chmod 666 /srv/bad/fresh");
    host.wait_for("test -e /srv/ana/50", LIMIT);
    let said = host.steadfast(&["apply", rule[0], rule[1], "--yes"]);
    said.expect(1, &["apply again"]);
    assert_eq!(host.shell(mode), "664\n664\n");
    host.shell("systemctl stop maker");
    host.steadfast(&["apply", rule[0], rule[1], "--yes"])
        .expect(0, &["is in effect"]);
    assert_eq!(host.shell("find /srv -type f -perm -002 | wc -l"), "0\n");
}

/// What Steadfast installs for itself by the first apply is no reason to refuse it, whether the
/// plan was saved before or is made now; and what was taken back or failed is what `last` means.
#[test]
fn the_first_apply_does_not_refuse_itself() {
    let Some(host) = Host::fresh() else { return };
    let spoil = "printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/own.service; \
                 id ana || useradd ana; chown ana /etc/systemd/system/own.service";
    let owner = "stat -c %U /etc/systemd/system/own.service";
    let rule = ["--rule", "permissions-units"];
    let apply = ["apply", rule[0], rule[1], "--yes", "--detach"];
    host.shell(spoil);
    host.steadfast(&["plan", rule[0], rule[1], "--output", "/root/plan.json"])
        .expect(1, &["own.service"]);
    host.shell("! test -e /etc/systemd/system/steadfast-recover.service");
    host.steadfast(&["apply", "/root/plan.json", "--yes", "--detach"])
        .expect(0, &["recovery at boot is installed", "change c-2"]);
    assert_eq!(host.shell(owner), "root\n");

    host.steadfast(&["uninstall", "--yes"]).expect(0, &[]);
    host.shell(&format!(
        "{spoil}; ! test -e /etc/systemd/system/steadfast-recover.service"
    ));
    host.steadfast(&apply)
        .expect(0, &["recovery at boot is installed"]);
    assert_eq!(host.shell(owner), "root\n");

    // An apply that takes itself back: the good change before it stays.
    let fails = "  - file: {path: /etc/shop.conf, content: \"x\\n\"}\n  - command: {name: bad, \
                 check: [/usr/bin/test, -e, /nonexistent], fix: [/bin/false], undo: [/bin/true]}\n";
    host.role("fails", fails);
    host.steadfast(&["apply", "--role", "fails", "--all-or-nothing", "--yes"])
        .expect(4, &[]);
    host.steadfast(&["undo", "last", "--yes"]).expect(
        2,
        &[
            "is taken back already",
            "nothing was touched",
            "steadfast undo c-",
        ],
    );
    assert_eq!(host.shell(owner), "root\n");
    host.steadfast(&["confirm", "last"])
        .expect(2, &["taken back already"]);

    // A member that nothing makes is told by the plan, and costs the rest nothing.
    host.role(
        "members",
        "  - group: {name: shop, members: [ana, ghost]}\n",
    );
    let role = ["--role", "members"];
    host.steadfast(&["plan", role[0], role[1]])
        .expect(1, &["there is no account ghost"]);
    host.steadfast(&["apply", role[0], role[1], "--yes"])
        .expect(1, &["is in effect", "there is no account ghost"]);
    assert_eq!(host.shell("getent group shop | cut -d: -f4"), "ana\n");
}
