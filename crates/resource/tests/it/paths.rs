//! `file`, `directory`, `link` and `template`.

use model::value::{AclEntry, AclWho, Reason};
use model::{HostPath, Probe};
use resource::{Edit, Judgement, Resource};

use crate::support::{Host, check, fix, judge, observe, refused, resource, words};

fn host() -> Host {
    Host::new()
        .file("/etc/motd", "hello\n")
        .file_as("/etc/key", "secret\n", 0o666, "ana", "staff")
        .dir_as("/srv/data", 0o777, "root", "root")
        .file("/srv/full/file", "")
        .link("/etc/latest", "motd")
        .link("/etc/dangling", "nowhere")
}

#[test]
fn files() {
    let declared = "drift: content differs, wanted the declared content @ /etc/motd";
    for (yaml, expected) in [
        (
            r#"{path: /etc/motd, content: "hello\n"}"#,
            "ok: as declared, mode 0644, root:root @ /etc/motd",
        ),
        (
            r#"{path: /etc/motd, content: "bye\n", notify: nginx}"#,
            declared,
        ),
        (r#"{path: /etc/motd, content: "hello"}"#, declared),
        (
            r#"{path: /etc/motd, content: "hello\n", mode: "0640"}"#,
            "drift: mode 0644, wanted mode 0640 @ /etc/motd",
        ),
        (
            r#"{path: /etc/motd, content: "x\n", mode: "0600", group: adm}"#,
            "drift: content differs, mode 0644, group root, wanted the declared content, mode 0600, group adm @ /etc/motd",
        ),
        (
            r#"{path: /etc/new, content: "x\n", mode: "0600"}"#,
            "drift: absent, wanted the declared content",
        ),
        (
            r#"{path: /etc/new, content: "x\n", mode: {at_most: "0600"}}"#,
            "drift: absent, wanted the declared content",
        ),
        (
            r#"{path: /etc/new, mode: "0600"}"#,
            "n/a: there is no /etc/new",
        ),
        (
            r#"{path: /etc/key, mode: {at_most: "0640"}}"#,
            "drift: mode 0666, wanted mode at most 0640 @ /etc/key",
        ),
        (
            r#"{path: /etc/motd, mode: {at_most: "0664"}}"#,
            "ok: mode 0644, root:root @ /etc/motd",
        ),
        (
            r#"{path: /etc/key, owner: {one_of: [root, ana], set: root}}"#,
            "ok: mode 0666, ana:staff @ /etc/key",
        ),
        (
            r#"{path: /etc/key, owner: root, group: {one_of: [root, adm], set: root}}"#,
            "drift: owner ana, group staff, wanted owner root, group one of root, adm @ /etc/key",
        ),
        (
            r#"{path: /etc/motd, absent: true}"#,
            "drift: present, wanted absent @ /etc/motd",
        ),
        (
            r#"{path: /etc/latest, absent: true}"#,
            "drift: a link to motd, wanted absent @ /etc/latest",
        ),
        (r#"{path: /etc/new, absent: true}"#, "ok: absent"),
        // What is not a file is never replaced.
        (
            r#"{path: /srv, absent: true}"#,
            "drift: a directory, wanted absent @ /srv (by hand: move away a directory that stands at /srv)",
        ),
        (
            r#"{path: /srv, content: x}"#,
            "drift: a directory, wanted a file @ /srv (by hand: move away a directory that stands at /srv)",
        ),
        (
            r#"{path: /srv, mode: "0600"}"#,
            "drift: a directory, wanted a file @ /srv (by hand: move away a directory that stands at /srv)",
        ),
        (
            r#"{path: /etc/latest, content: "hello\n"}"#,
            "drift: a link to motd, wanted a file @ /etc/latest (by hand: remove the link at /etc/latest, or declare what it points to)",
        ),
        (
            r#"{path: /etc/dangling, content: "hello\n"}"#,
            "drift: a link to nowhere, wanted a file @ /etc/dangling (by hand: remove the link at /etc/dangling, or declare what it points to)",
        ),
        (
            r#"{path: /etc/latest, mode: "0644"}"#,
            "ok: mode 0644, root:root",
        ),
        (
            r#"{path: /etc/latest, mode: "0600"}"#,
            "drift: mode 0644, wanted mode 0600 @ /etc/latest (by hand: /etc/latest is a link to motd: declare that file, or change it yourself)",
        ),
        (
            r#"{path: /etc/dangling, mode: "0600"}"#,
            "n/a: there is no /etc/dangling",
        ),
    ] {
        check(&format!("file: {yaml}"), &host(), expected);
    }
}

#[test]
fn a_new_file_is_made_as_declared() {
    let (_, after) = fix(
        r#"file: {path: /etc/new, content: "x\n", mode: {at_most: "0640"}, group: adm}"#,
        &host(),
    );
    let node = &after.nodes[&HostPath::literal("/etc/new")];
    assert_eq!(
        (node.mode, &*node.owner, &*node.group),
        (0o640, "root", "adm")
    );
}

#[test]
fn a_bound_clears_bits_and_adds_none() {
    let (_, after) = fix(
        r#"file: {path: /etc/key, mode: {at_most: "0640"}}"#,
        &host(),
    );
    assert_eq!(after.nodes[&HostPath::literal("/etc/key")].mode, 0o640);
    let host = Host::new().file_as("/etc/key", "", 0o602, "root", "root");
    let (_, after) = fix(r#"file: {path: /etc/key, mode: {at_most: "0640"}}"#, &host);
    assert_eq!(after.nodes[&HostPath::literal("/etc/key")].mode, 0o600);
}

#[test]
fn what_cannot_be_read_is_unknown_and_a_larger_file_is_different() {
    let yaml = "file: {path: /etc/motd, content: x}";
    let denied = host().cannot_tell(
        Probe::file(HostPath::literal("/etc/motd")),
        Reason::NeedsRoot,
    );
    check(yaml, &denied, "unknown: needs root: run with sudo");
    let large = Host::new().file("/etc/motd", &"x".repeat(1 << 21));
    check(
        yaml,
        &large,
        "drift: content differs, wanted the declared content @ /etc/motd",
    );
}

#[test]
fn permissions_of_a_secret_are_judged_without_its_content() {
    let shadow = resource(r#"file: {path: /etc/shadow, mode: {at_most: "0640"}}"#);
    let host = Host::new().file_as("/etc/shadow", "root:hash:", 0o644, "root", "shadow");
    let asked = observe(&shadow, &host);
    assert!(
        asked
            .iter()
            .all(|(probe, _)| matches!(probe, Probe::Meta { .. })),
        "{asked:?}"
    );
}

#[test]
fn one_question_is_enough_for_a_file_that_is_as_wanted() {
    let motd = resource(r#"file: {path: /etc/motd, content: "hello\n", mode: "0644"}"#);
    assert_eq!(observe(&motd, &host()).len(), 1);
}

#[test]
fn directories() {
    for (yaml, expected) in [
        (
            r#"{path: /srv/data, mode: "0777"}"#,
            "ok: mode 0777, root:root @ /srv/data",
        ),
        (
            r#"{path: /srv/data, mode: {at_most: "0755"}}"#,
            "drift: mode 0777, wanted mode at most 0755 @ /srv/data",
        ),
        (
            r#"{path: /srv/new, mode: "0750", owner: ana}"#,
            "drift: absent, wanted a directory",
        ),
        (r#"{path: /srv/new}"#, "drift: absent, wanted a directory"),
        (
            r#"{path: /srv/new, mode: {at_most: "0755"}}"#,
            "n/a: there is no /srv/new",
        ),
        (r#"{path: /srv/new, absent: true}"#, "ok: absent"),
        (
            r#"{path: /srv/data, absent: true}"#,
            "drift: an empty directory, wanted absent @ /srv/data",
        ),
        (
            r#"{path: /srv/full, absent: true}"#,
            "drift: a directory that holds 1 more, wanted absent @ /srv/full (by hand: empty /srv/full: only an empty directory is removed)",
        ),
        (
            r#"{path: /etc/motd}"#,
            "drift: a file, wanted a directory @ /etc/motd (by hand: move away a file that stands at /etc/motd)",
        ),
        (
            r#"{path: /etc/latest}"#,
            "drift: a link to motd, wanted a directory @ /etc/latest (by hand: declare the directory that /etc/latest points to, or remove the link)",
        ),
    ] {
        check(&format!("directory: {yaml}"), &host(), expected);
    }
}

#[test]
fn links() {
    for (yaml, expected) in [
        (
            "{path: /etc/latest, target: motd}",
            "ok: a link to motd @ /etc/latest",
        ),
        (
            "{path: /etc/latest, target: /etc/motd}",
            "drift: a link to motd, wanted a link to /etc/motd @ /etc/latest",
        ),
        (
            "{path: /etc/new, target: motd}",
            "drift: absent, wanted a link to motd",
        ),
        (
            "{path: /etc/motd, target: x}",
            "drift: a file, wanted a link to x @ /etc/motd (by hand: move away a file that stands at /etc/motd)",
        ),
        (
            "{path: /etc/latest, absent: true}",
            "drift: a link to motd, wanted absent @ /etc/latest",
        ),
        ("{path: /etc/new, absent: true}", "ok: absent"),
        (
            "{path: /etc/motd, absent: true}",
            "drift: a file, wanted absent @ /etc/motd (by hand: move away a file that stands at /etc/motd)",
        ),
    ] {
        check(&format!("link: {yaml}"), &host(), expected);
    }
}

#[test]
fn a_template_is_judged_by_what_it_came_to() {
    let mut declared = resource(
        "template: {path: /etc/motd, source: motd.j2, mode: '0644', notify: [nginx, ssh.socket]}",
    );
    assert_eq!(
        words(&declared.judge(&observe(&declared, &host()))),
        "error: `motd.j2` was not rendered"
    );
    let Resource::Template(template) = &mut declared else {
        unreachable!("it was declared as a template");
    };
    template.rendered = Some("hi\n".to_owned());
    let judgement = declared.judge(&observe(&declared, &host()));
    let Judgement::Drift(drifts) = judgement else {
        panic!("{judgement:?}");
    };
    assert_eq!(drifts[0].activate.len(), 2, "{drifts:?}");
    assert!(
        matches!(drifts[0].edits[..], [Edit::Content { .. }]),
        "{drifts:?}"
    );
}

#[test]
fn mistakes_are_refused() {
    for (yaml, why) in [
        (
            "file: {path: /a}",
            "say what is wanted: content, mode, owner, group or absent",
        ),
        (
            "file: {path: /a, absent: true, content: x}",
            "a file that is to be absent has no content, mode or owner",
        ),
        (
            "file: {path: /a, content: x, notify: 'a b'}",
            "`a b` is not the name of a unit",
        ),
        (
            "directory: {path: /a, absent: true, mode: '0755'}",
            "a directory that is to be absent has no mode or owner",
        ),
        (
            "directory: {path: /, mode: '0755'}",
            "the root directory is always there",
        ),
        (
            "link: {path: /a, target: ''}",
            "a link's target is a path of 1 to 4095 bytes",
        ),
    ] {
        refused(yaml, why);
    }
    for yaml in [
        "file: {path: /a, mode: 644}",
        "file: {path: /a, mode: '0648'}",
        "file: {path: /a, mode: {at_least: '0640'}}",
        "file: {path: /a, owner: {one_of: [a], set: b}}",
        "file: {path: a, mode: '0644'}",
        "file: {path: /a, contnet: x}",
    ] {
        assert!(serde_saphyr::from_str::<Resource>(yaml).is_err(), "{yaml}");
    }
    assert!(matches!(
        judge("file: {path: /etc/motd, mode: '644'}", &host()),
        Judgement::Compliant { .. }
    ));
}

/// acl(5): an entry for a named user or group counts within the mask, whatever the mode says of
/// everyone else.
#[test]
fn an_acl_that_gives_more_than_the_mode_is_taken_away() {
    let user = |id, name: &str| AclWho::User {
        id,
        name: Some(name.to_owned()),
    };
    let group = AclWho::Group {
        id: 50,
        name: Some("staff".to_owned()),
    };
    let yaml = r#"file: {path: /etc/key, mode: {at_most: "0640"}}"#;
    let with = |mode, who, bits, owning| {
        let mut host = Host::new().file_as("/etc/key", "x", mode, "root", "root");
        let entry = |who, bits| AclEntry { who, bits };
        let acl = vec![entry(who, bits), entry(AclWho::OwningGroup, owning)];
        host.acls.insert(HostPath::literal("/etc/key"), acl);
        host
    };
    for (host, observed, mode) in [
        (
            with(0o640, user(1000, "bob"), 0o4, 0o4),
            "bob may read",
            0o640,
        ),
        // The group itself could not read: it can't afterwards either.
        (
            with(0o640, user(1000, "bob"), 0o6, 0),
            "bob may read",
            0o600,
        ),
        (
            with(0o660, group, 0o6, 0o4),
            "mode 0660, group staff may read and write",
            0o640,
        ),
    ] {
        let expected = match observed.split_once(", ") {
            None => "mode at most 0640, and no more by an ACL",
            Some(_) => "mode at most 0640, mode at most 0640, and no more by an ACL",
        };
        let said = format!("drift: {observed} (by its ACL), wanted {expected} @ /etc/key");
        let after = check(yaml, &host, &said);
        assert_eq!(after.nodes[&HostPath::literal("/etc/key")].mode, mode);
        assert!(after.acls.is_empty());
    }
    // What everyone may do, the owner's own entry, and what the mask keeps back, is no more.
    for (yaml, host) in [
        (yaml, with(0o640, user(0, "root"), 0o7, 0o4)),
        (yaml, with(0o640, user(1000, "bob"), 0o2, 0o4)),
        (
            r#"file: {path: /etc/key, mode: {at_most: "0644"}}"#,
            with(0o640, user(1000, "bob"), 0o4, 0o4),
        ),
        (
            "file: {path: /etc/key, owner: root}",
            with(0o640, user(1000, "bob"), 0o4, 0o4),
        ),
    ] {
        assert!(words(&judge(yaml, &host)).starts_with("ok"), "{yaml}");
    }
    let mut host = Host::new().dir_as("/srv/data", 0o750, "root", "root");
    let acl = vec![AclEntry {
        who: user(1000, "bob"),
        bits: 0o5,
    }];
    host.acls.insert(HostPath::literal("/srv/data"), acl);
    let after = check(
        r#"directory: {path: /srv/data, mode: {at_most: "0750"}}"#,
        &host,
        "drift: bob may read and run or enter (by its ACL), wanted mode at most 0750, and no more by an ACL @ /srv/data",
    );
    assert!(after.acls.is_empty());

    // By its default ACL, which all that is made in it gets.
    host.acls.clear();
    let entry = |who, bits| AclEntry { who, bits };
    let acl = vec![
        entry(user(1000, "bob"), 0o6),
        entry(AclWho::OwningGroup, 0o7),
    ];
    host.default_acls
        .insert(HostPath::literal("/srv/data"), acl);
    let after = check(
        r#"directory: {path: /srv/data, mode: "0750"}"#,
        &host,
        "drift: bob may read and write what is made in it (by its default ACL), wanted mode 0750, and no more by an ACL @ /srv/data",
    );
    assert!(after.default_acls.is_empty());
    let open = words(&judge(
        r#"directory: {path: /srv/data, mode: "0757"}"#,
        &host,
    ));
    assert!(!open.contains("ACL"), "{open}");
}

/// A mask that hides an ACL now shows it by the mode that is wanted.
#[test]
fn an_acl_that_its_mask_hides_is_taken_away_with_a_wider_mode() {
    let user = |id, name: &str| AclWho::User {
        id,
        name: Some(name.to_owned()),
    };
    let mut host = Host::new().file_as("/etc/key", "", 0o600, "root", "root");
    let entry = |who, bits| AclEntry { who, bits };
    let acl = vec![
        entry(user(1000, "bob"), 0o6),
        entry(AclWho::OwningGroup, 0o4),
    ];
    host.acls.insert(HostPath::literal("/etc/key"), acl);
    let after = check(
        r#"file: {path: /etc/key, mode: "0640"}"#,
        &host,
        "drift: mode 0600, bob may read (by its ACL), wanted mode 0640, mode 0640, and no more by an ACL @ /etc/key",
    );
    assert!(after.acls.is_empty());
    let kept = words(&judge(r#"file: {path: /etc/key, mode: "0600"}"#, &host));
    assert!(kept.starts_with("ok"), "{kept}");
}
