//! Carrying out plans: what is done, what is refused, and what is taken back.

use host::{Applied, ApplyError, CrashPoints, Event, Verdict};
use model::{ChangeState, Premise, Probe};

use crate::bench::{Bench, every_file_effect, is_root, make_dir, put, remove, set_mode, skip};

#[test]
fn every_effect_on_a_path_is_carried_out_and_recorded() {
    let bench = Bench::new();
    let applied = bench
        .apply(&bench.plan(every_file_effect()))
        .expect("applied");
    assert_eq!(applied, Applied::Committed(model::ChangeId(1)));
    assert_eq!(
        bench.read("/etc/app.conf"),
        "one = 1\ntwo = 22\nthree = 3\n"
    );
    assert_eq!(bench.read("/etc/new.d/20-b.conf"), "b\n");
    assert_eq!(bench.read("/etc/link"), "a\n");
    assert!(!bench.path("/etc/gone.conf").exists());
    assert!(!bench.path("/etc/old").exists());
    assert!(
        bench.snapshot()["/etc/open.conf"].contains("mode 100600"),
        "the mode is set"
    );
    let leftovers: Vec<String> = bench
        .snapshot()
        .into_keys()
        .filter(|path| path.contains(".steadfast-"))
        .collect();
    assert!(leftovers.is_empty(), "temporary names stay: {leftovers:?}");

    let record = bench.open().change(model::ChangeId(1)).expect("a record");
    assert_eq!(record.header.change.state, ChangeState::Committed);
    assert_eq!(record.actions.len(), 8);
    assert!(record.images.iter().all(|image| image.after.is_some()));
}

#[test]
fn an_existing_file_keeps_its_mode_and_attributes() {
    let bench = Bench::new();
    let path = bench.path("/etc/app.conf");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(&path, mode).expect("a mode");
    let flags = rustix::fs::XattrFlags::empty();
    let kept = rustix::fs::setxattr(&path, "user.note", b"mine", flags).is_ok();
    bench
        .apply(&bench.plan([put("/etc/app.conf", "new\n")]))
        .expect("applied");
    let now = &bench.snapshot()["/etc/app.conf"];
    assert!(now.contains("mode 100640"), "{now}");
    assert!(!kept || now.contains("[109, 105, 110, 101]"), "{now}");
}

#[test]
fn a_failed_set_is_taken_back_and_the_others_stand() {
    let bench = Bench::new();
    let before = bench.snapshot();
    // A directory that is not empty can't be removed.
    let plan = bench.plan_in_sets([
        (0, put("/etc/app.conf", "stands\n")),
        (1, put("/var/lib/new", "goes\n")),
        (1, remove("/etc/app.d")),
    ]);
    let applied = bench.apply(&plan).expect("carried out");
    assert!(
        matches!(applied, Applied::PartlyTakenBack { .. }),
        "{applied:?}"
    );
    let after = bench.snapshot();
    assert_eq!(bench.read("/etc/app.conf"), "stands\n");
    for path in ["/var/lib", "/etc/app.d", "/etc/app.d/10-a.conf"] {
        assert_eq!(before[path], after[path], "{path}");
    }
    assert!(!after.contains_key("/var/lib/new"));
}

#[test]
fn all_or_nothing_takes_back_everything() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let mut plan = bench.plan_in_sets([
        (0, put("/etc/app.conf", "goes too\n")),
        (1, remove("/etc/app.d")),
    ]);
    plan.selection.all_or_nothing = true;
    let applied = bench.apply(&plan).expect("carried out");
    assert!(
        matches!(applied, Applied::TakenBack { verified: true, .. }),
        "{applied:?}"
    );
    assert_eq!(before, bench.snapshot());
}

#[test]
fn a_goal_that_is_not_reached_is_taken_back() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let plan = bench.plan(every_file_effect());
    let (applied, events) = bench.apply_with(&plan, CrashPoints::none(), &|_| Verdict {
        failed: vec![("rule-0".to_owned(), "is two, wanted 22".to_owned())],
        ..Verdict::default()
    });
    let applied = applied.expect("carried out");
    assert!(
        matches!(applied, Applied::TakenBack { verified: true, .. }),
        "{applied:?}"
    );
    assert_eq!(before, bench.snapshot());
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::NotReached { .. }))
    );
    let record = bench.open().change(model::ChangeId(1)).expect("a record");
    assert_eq!(record.header.change.state, ChangeState::RolledBack);
}

#[test]
fn a_changed_premise_is_refused_with_what_changed() {
    let bench = Bench::new();
    let mut plan = bench.plan([put("/etc/app.conf", "new\n")]);
    let probe = Probe::file("/etc/app.conf".parse().expect("a path"));
    let seen = host::Host::probe(&bench.host(), &probe);
    plan.premises.push(Premise {
        probe,
        digest: seen.digest,
        seen: Some(seen),
        after: None,
        form: None,
    });
    std::fs::write(bench.path("/etc/app.conf"), "somebody was here\n").expect("written");
    match bench.apply(&plan) {
        Err(ApplyError::Changed(changed)) => assert_eq!(changed.len(), 1),
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(bench.read("/etc/app.conf"), "somebody was here\n");
    assert!(bench.open().history().expect("a history").is_empty());
}

#[test]
fn a_plan_for_another_host_is_refused() {
    let bench = Bench::new();
    let mut plan = bench.plan([put("/etc/app.conf", "new\n")]);
    plan.host.hostname = "elsewhere".to_owned();
    assert!(matches!(bench.apply(&plan), Err(ApplyError::OtherHost(_))));
}

#[test]
fn what_a_tree_cannot_do_is_refused_before_there_is_a_change() {
    let bench = Bench::new();
    let before = bench.snapshot();
    let mut plan = bench.plan([
        put("/etc/app.conf", "new\n"),
        model::Effect::Sysctl {
            key: "kernel.hostname".to_owned(),
            value: "x".to_owned(),
        },
    ]);
    plan.actions[1].inverse = model::Inverse::Irreversible {
        why: "a test".to_owned(),
    };
    assert!(bench.apply(&plan).is_err());
    assert_eq!(before, bench.snapshot());
}

#[test]
fn a_planted_link_is_refused() {
    if !is_root() {
        return skip("needs root to own directories as two accounts");
    }
    let bench = Bench::new();
    let secret = bench.path("/etc/open.conf");
    let home = bench.path("/home/eve");
    std::fs::create_dir(&home).expect("a home");
    std::os::unix::fs::chown(&home, Some(4242), Some(4242)).expect("given away");
    std::os::unix::fs::symlink("/etc", home.join("conf")).expect("a link");
    std::os::unix::fs::symlink("/etc/open.conf", home.join("file")).expect("a link");
    let before = std::fs::read(&secret).expect("a file");
    for effect in [
        put("/home/eve/conf/open.conf", "planted\n"),
        put("/home/eve/file", "planted\n"),
        make_dir("/home/eve/conf/made"),
        remove("/home/eve/conf/open.conf"),
        set_mode("/home/eve/conf/open.conf", 0o777),
        set_mode("/home/eve/file", 0o777),
    ] {
        let applied = bench.apply(&bench.plan([effect.clone()]));
        assert!(
            matches!(
                applied,
                Err(ApplyError::Act(_)) | Ok(Applied::TakenBack { verified: true, .. })
            ),
            "{effect:?} was not refused: {applied:?}"
        );
        assert_eq!(before, std::fs::read(&secret).expect("a file"));
    }
}

#[test]
fn root_writes_in_a_home_with_its_owners_rights_only() {
    if !is_root() {
        return skip("needs root to own directories as two accounts");
    }
    let bench = Bench::new();
    let home = bench.path("/home/bob");
    std::fs::create_dir(&home).expect("a home");
    std::os::unix::fs::chown(&home, Some(4242), Some(4242)).expect("given away");
    std::fs::write(
        bench.path("/etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nbob:x:4242:4242::/home/bob:/bin/sh\n",
    )
    .expect("written");
    // The path to the tree must be open to bob, as the path to a real home is.
    let open = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bench.root.parent().expect("a parent"), open()).expect("a mode");
    let write = |path: &str| model::Effect::PutFile {
        path: path.parse().expect("a path"),
        content: "key\n".into(),
        mode: None,
        owner: None,
        group: None,
        as_user: Some("bob".to_owned()),
        drop_acl: false,
    };
    let applied = bench
        .apply(&bench.plan([write("/home/bob/keys")]))
        .expect("applied");
    assert!(matches!(applied, Applied::Committed(_)), "{applied:?}");
    let made = &bench.snapshot()["/home/bob/keys"];
    assert!(made.contains("uid 4242"), "{made}");

    // A second name for a file of root's, in a directory of bob's.
    std::fs::hard_link(bench.path("/etc/open.conf"), home.join("hard")).expect("a hard link");
    for effect in [write("/home/bob/hard"), set_mode("/home/bob/hard", 0o777)] {
        let applied = bench.apply(&bench.plan([effect])).expect("carried out");
        assert!(
            matches!(applied, Applied::TakenBack { verified: true, .. }),
            "{applied:?}"
        );
    }
    assert_eq!(bench.read("/etc/open.conf"), "too open\n");
    // A directory that is not bob's.
    let applied = bench
        .apply(&bench.plan([write("/etc/app.d/bob")]))
        .expect("carried out");
    assert!(
        matches!(applied, Applied::TakenBack { verified: true, .. }),
        "{applied:?}"
    );
    assert!(!bench.path("/etc/app.d/bob").exists());
}
