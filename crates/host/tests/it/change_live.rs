//! What only a real, booted host can show: units, validators, sshd, packages, accounts,
//! kernel parameters, the recovery units and the guard's timer. This test program is copied
//! into lab hosts and runs its other half there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use host::{
    Applied, ApplyOptions, Create, Event, Guard, Installed, LocalHost, Recovery, State, Verdict,
};
use model::plan::{PLAN_FORMAT, Selection, Validator};
use model::{
    AccountOp, Action, ActionId, ChangeId, ChangeState, Effect, Inverse, PackageOp, Plan, Risk,
    UnitOp,
};

use crate::bench::{Snapshot, assert_same, options, put, snapshot};
use crate::scenes::{COPY, RELEASES, SCENE, on_fresh_hosts};

pub const STATE: &str = "/var/lib/steadfast";

/// On the machine that has the lab.
#[test]
fn lab_on_real_hosts() {
    let scenes = SCENES.map(|(scene, _)| scene);
    on_fresh_hosts("change_live::inside", &RELEASES, scenes);
}

const SCENES: [(&str, fn()); 9] = [
    ("units", units),
    ("sshd", sshd),
    ("validators", validators),
    ("packages", packages),
    ("accounts", accounts),
    ("kernel", kernel),
    ("recovery units", recovery_units),
    ("guard", guard),
    ("sign-in", sign_in),
];

/// In a lab host: one scene.
#[test]
#[ignore = "played in a lab host by the test above"]
fn inside() {
    let Ok(wanted) = std::env::var(SCENE) else {
        return;
    };
    if wanted == "recover" {
        return recover_as_the_guard();
    }
    let (_, play) = SCENES
        .into_iter()
        .find(|(scene, _)| *scene == wanted)
        .expect("a scene");
    play();
    println!("scene played");
}

pub fn host() -> LocalHost {
    LocalHost::running().expect("this host")
}

pub fn state() -> State {
    State::open(Path::new(STATE), Create::Yes).expect("the state directory")
}

pub fn plan(effects: impl IntoIterator<Item = Effect>) -> Plan {
    let actions = effects
        .into_iter()
        .zip(0..)
        .map(|(effect, number)| Action {
            id: ActionId(number),
            serves: vec!["a test".to_owned()],
            inverse: match effect.is_activation() {
                true => Inverse::Repeat,
                false => Inverse::Restore,
            },
            effect,
            rests_on: Vec::new(),
            after: (0..number).map(ActionId).collect(),
            change_set: 0,
            risk: Risk::None,
            risk_why: None,
            validate: None,
            sensitive: false,
            decided_on_host: false,
            along: model::plan::Along::default(),
            edit: None,
        })
        .collect();
    Plan {
        format: PLAN_FORMAT,
        host: host().identity(),
        selection: Selection::default(),
        actions,
        left_alone: Vec::new(),
        premises: Vec::new(),
    }
}

pub fn apply_with(plan: &Plan, options: &ApplyOptions<'_>, sink: &mut dyn FnMut(Event)) -> Applied {
    host::apply(
        &host(),
        &state(),
        plan,
        options,
        &|_| Verdict::default(),
        sink,
    )
    .expect("carried out")
}

pub fn apply(plan: &Plan) -> Applied {
    apply_with(plan, &options(), &mut |_| {})
}

pub fn commit(plan: &Plan) -> ChangeId {
    match apply(plan) {
        Applied::Committed(id) => id,
        other => panic!("not committed: {other:?}"),
    }
}

pub fn undo(id: ChangeId) {
    // That of a change that could cut people off waits until somebody confirms it.
    let undone = host::undo(&host(), &state(), id, &options(), &mut |event| {
        if let Event::AwaitingConfirmation { id, .. } = event {
            let now = jiff::Timestamp::now();
            host::confirm(&host(), &state(), id, "a test", now).expect("confirmed");
        }
    });
    assert!(
        matches!(&undone, Ok(host::Undone::Done { merged, .. }) if merged.is_empty()),
        "{undone:?}"
    );
}

pub fn run(argv: &[&str]) -> String {
    let output = Command::new(argv[0])
        .args(&argv[1..])
        .output()
        .expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn etc() -> Snapshot {
    let mut snapshot = snapshot(Path::new("/etc"));
    // systemd and apt write these by themselves.
    snapshot.retain(|path, _| !path.starts_with("/apt/") && path != "/resolv.conf");
    snapshot
}

pub fn unit(name: &str, op: UnitOp) -> Effect {
    Effect::Unit {
        name: name.to_owned(),
        op,
    }
}

fn units() {
    std::fs::write(
        "/etc/systemd/system/demo.service",
        "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\nAlias=other-demo.service\nRequiredBy=demo.target\n",
    )
    .expect("a unit");
    run(&["/usr/bin/systemctl", "daemon-reload"]);
    let before = etc();
    let id = commit(&plan([
        unit("demo.service", UnitOp::Enable),
        unit("demo.service", UnitOp::Start),
    ]));
    let asked = |verb| run(&["/usr/bin/systemctl", verb, "demo.service"]);
    assert_eq!(
        (asked("is-enabled"), asked("is-active")),
        ("enabled".into(), "active".into())
    );
    undo(id);
    assert_eq!(asked("is-active"), "inactive");
    assert_same(&before, &etc(), "/etc");

    let id = commit(&plan(
        [put(
            "/etc/systemd/system/demo.service.d/50-x.conf",
            "[Service]\nNice=5\n",
        )]
        .into_iter()
        .flat_map(|effect| {
            let directory = crate::bench::make_dir("/etc/systemd/system/demo.service.d");
            [
                directory,
                effect,
                unit("demo.service", UnitOp::DaemonReload),
            ]
        }),
    ));
    assert_eq!(
        run(&["/usr/bin/systemctl", "show", "-P", "Nice", "demo.service"]),
        "5"
    );
    undo(id);
    assert_eq!(
        run(&["/usr/bin/systemctl", "show", "-P", "Nice", "demo.service"]),
        "0"
    );
    assert_same(&before, &etc(), "/etc");

    std::fs::rename(
        "/etc/systemd/system/demo.service",
        "/usr/lib/systemd/system/demo.service",
    )
    .expect("moved");
    run(&["/usr/bin/systemctl", "daemon-reload"]);
    run(&["/usr/bin/systemctl", "enable", "--now", "demo.service"]);
    let before = etc();
    let id = commit(&plan([
        unit("demo.service", UnitOp::Stop),
        unit("demo.service", UnitOp::Disable),
        unit("demo.service", UnitOp::Mask),
    ]));
    assert_eq!(
        (asked("is-enabled"), asked("is-active")),
        ("masked".into(), "inactive".into())
    );
    undo(id);
    assert_eq!(
        (asked("is-enabled"), asked("is-active")),
        ("enabled".into(), "active".into())
    );
    assert_same(&before, &etc(), "/etc");
    // A unit that can't start costs its set.
    let applied = apply(&plan([
        put("/etc/demo.conf", "x\n"),
        unit("no-such.service", UnitOp::Start),
    ]));
    assert!(
        matches!(applied, Applied::TakenBack { verified: true, .. }),
        "{applied:?}"
    );
    assert_same(&before, &etc(), "/etc");
}

fn sshd_plan(content: &str) -> Plan {
    let mut plan = plan([
        put("/etc/ssh/sshd_config.d/10-test.conf", content),
        unit("ssh.service", UnitOp::Reload),
    ]);
    plan.actions[0].validate = Some(Validator::Sshd);
    plan
}

fn sshd() {
    let before = etc();
    let mut said = String::new();
    let mut placed = false;
    let applied = apply_with(
        &sshd_plan("PermitRootLogin perhaps\n"),
        &options(),
        &mut |event| {
            if let Event::Refused { said: message, .. } = event {
                said = message;
                placed = Path::new("/etc/ssh/sshd_config.d/10-test.conf").exists();
            }
        },
    );
    assert!(
        matches!(applied, Applied::TakenBack { verified: true, .. }),
        "{applied:?}"
    );
    assert!(said.contains("10-test.conf"), "names the file: {said}");
    assert!(!placed, "nothing was put in place");
    assert_same(&before, &etc(), "/etc");

    let effective = || run(&["/usr/sbin/sshd", "-T"]);
    assert!(!effective().contains("maxauthtries 3\n"));
    let id = commit(&sshd_plan("MaxAuthTries 3\n"));
    assert!(effective().contains("maxauthtries 3\n"));
    assert_eq!(
        run(&["/usr/bin/systemctl", "is-active", "ssh.service"]),
        "active"
    );
    undo(id);
    assert!(!effective().contains("maxauthtries 3\n"));
    assert_same(&before, &etc(), "/etc");
}

fn validators() {
    let before = etc();
    let cases = [
        (
            Validator::Sudoers,
            "/etc/sudoers.d/test",
            "ana ALL=(ALL) ALL\n",
            true,
        ),
        (
            Validator::Sudoers,
            "/etc/sudoers.d/test",
            "ana ALL=(ALL ALL\n",
            false,
        ),
        (
            Validator::SystemdUnit,
            "/etc/systemd/system/test.service",
            "[Service]\nExecStart=/bin/true\n",
            true,
        ),
        (
            Validator::SystemdUnit,
            "/etc/systemd/system/test.service",
            "[Service]\nExecStart=/no/such/program\n",
            false,
        ),
        (
            Validator::AptSources,
            "/etc/apt/sources.list.d/test.sources",
            "Types: deb\nURIs: https://example.org/debian\nSuites: x\nComponents: main\n",
            true,
        ),
        (
            Validator::AptSources,
            "/etc/apt/sources.list.d/test.list",
            "deb what is this\n",
            false,
        ),
    ];
    for (validator, path, content, accepted) in cases {
        let mut plan = plan([put(path, content)]);
        plan.actions[0].validate = Some(validator);
        let mut asked = true;
        let applied = apply_with(&plan, &options(), &mut |event| {
            asked &= !matches!(event, Event::NotValidated { .. });
        });
        match applied {
            Applied::Committed(id) if accepted || !asked => undo(id),
            Applied::TakenBack { verified: true, .. } if !accepted => {}
            other => panic!("{validator:?} {content:?}: {other:?}"),
        }
        assert_same(&before, &etc(), "/etc");
    }
}

/// A small package in a folder that apt takes for a repository.
fn build_package(version: &str, setting: &str) -> String {
    let tree = format!("/root/build-{version}");
    let write = |path: &str, text: &str| {
        let path = format!("{tree}/{path}");
        std::fs::create_dir_all(Path::new(&path).parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write(
        "DEBIAN/control",
        &format!(
            "Package: demo\nVersion: {version}\nArchitecture: all\nMaintainer: a test <a@example.org>\nDescription: a test\n"
        ),
    );
    write("DEBIAN/conffiles", "/etc/demo.conf\n");
    write("etc/demo.conf", setting);
    write("usr/share/demo/version", version);
    std::fs::create_dir_all("/root/repository").expect("made");
    let file = format!("demo_{version}_all.deb");
    let path = format!("/root/repository/{file}");
    run(&[
        "/usr/bin/dpkg-deb",
        "--build",
        "--root-owner-group",
        &tree,
        &path,
    ]);
    let digest = run(&["/usr/bin/sha256sum", &path]);
    let size = std::fs::metadata(&path).expect("built").len();
    format!(
        "Package: demo\nVersion: {version}\nArchitecture: all\nMaintainer: a test <a@example.org>\nFilename: ./{file}\nSize: {size}\nSHA256: {}\nDescription: a test\n\n",
        digest.split(' ').next().expect("a digest")
    )
}

/// dpkg makes its own files, and so gives `/etc` a new time.
fn etc_of_packages() -> Snapshot {
    let mut snapshot = etc();
    snapshot.remove("/");
    snapshot
}

fn packages() {
    let index = build_package("1.0", "from = 1.0\n") + &build_package("2.0", "from = 2.0\n");
    std::fs::write("/root/repository/Packages", index).expect("written");
    run(&["/bin/chmod", "755", "/root"]);
    run(&[
        "/bin/sh",
        "-c",
        "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*",
    ]);
    std::fs::write(
        "/etc/apt/sources.list",
        "deb [trusted=yes] file:/root/repository ./\n",
    )
    .expect("written");
    run(&["/usr/bin/apt-get", "-q", "update"]);
    let package = |op| Effect::Package {
        name: "demo".to_owned(),
        op,
    };
    let install = |version: &str| {
        package(PackageOp::Install {
            version: Some(version.to_owned()),
        })
    };
    let status = || {
        let status = run(&[
            "/usr/bin/dpkg-query",
            "-W",
            "-f=${Status} ${Version}",
            "demo",
        ]);
        let marked = run(&["/usr/bin/apt-mark", "showauto", "demo"]);
        format!("{status} {marked}")
    };
    let before = (etc_of_packages(), status());
    let first = commit(&plan([install("1.0")]));
    assert_eq!(status(), "install ok installed 1.0 ");
    undo(first);
    assert_same(&before.0, &etc_of_packages(), "/etc");
    assert_eq!(before.1, status());

    commit(&plan([install("1.0")]));
    run(&["/usr/bin/apt-mark", "auto", "demo"]);
    std::fs::write("/etc/demo.conf", "mine\n").expect("written");
    let before = (etc_of_packages(), status());
    for change in [install("2.0"), package(PackageOp::Remove)] {
        let id = commit(&plan([change]));
        assert_ne!(before.1, status());
        undo(id);
        assert_same(&before.0, &etc_of_packages(), "/etc");
        assert_eq!(before.1, status());
        assert_eq!(
            std::fs::read_to_string("/usr/share/demo/version").expect("there"),
            "1.0"
        );
    }
    // The old version is gone from the archive: refused before anything is touched.
    std::fs::remove_file("/root/repository/demo_1.0_all.deb").expect("removed");
    run(&["/usr/bin/apt-get", "clean"]);
    let refused = host::apply(
        &host(),
        &state(),
        &plan([install("2.0")]),
        &options(),
        &|_| Verdict::default(),
        &mut |_| {},
    );
    assert!(refused.is_err(), "{refused:?}");
    assert_same(&before.0, &etc_of_packages(), "/etc");
    assert_eq!(before.1, status());
}

fn accounts() {
    let before = (etc(), snapshot(Path::new("/home")));
    let id = commit(&plan([
        Effect::Account(AccountOp::CreateUser {
            name: "ana".to_owned(),
            uid: None,
            group: None,
            comment: "Ana".to_owned(),
            home: "/home/ana".parse().expect("a path"),
            create_home: true,
            shell: "/bin/bash".to_owned(),
            system: false,
        }),
        Effect::Account(AccountOp::AddMember {
            group: "sudo".to_owned(),
            user: "ana".to_owned(),
        }),
        Effect::MakeDir {
            path: "/home/ana/.ssh".parse().expect("a path"),
            mode: model::Mode::new(0o700),
            owner: None,
            group: None,
            as_user: Some("ana".to_owned()),
        },
    ]));
    assert_eq!(run(&["/usr/bin/id", "-un", "ana"]), "ana");
    assert!(run(&["/usr/bin/id", "-Gn", "ana"]).contains("sudo"));
    assert_eq!(run(&["/usr/sbin/pwck", "-rq"]), "");
    assert_eq!(run(&["/usr/sbin/grpck", "-r"]), "");
    let made = &snapshot(Path::new("/home"))["/ana/.ssh"];
    let uid = run(&["/usr/bin/id", "-u", "ana"]);
    assert!(made.contains(&format!("uid {uid}")), "{made}");
    undo(id);
    assert_same(&before.0, &etc(), "/etc");
    assert_same(&before.1, &snapshot(Path::new("/home")), "/home");
}

fn kernel() {
    let read =
        || std::fs::read_to_string("/proc/sys/net/ipv4/conf/all/log_martians").expect("a value");
    std::fs::write("/proc/sys/net/ipv4/conf/all/log_martians", "0\n").expect("set");
    let before = read();
    let id = commit(&plan([Effect::Sysctl {
        key: "net.ipv4.conf.all.log_martians".to_owned(),
        value: "1".to_owned(),
    }]));
    assert_eq!(read(), "1\n");
    undo(id);
    assert_eq!(read(), before);

    let mounted = || run(&["/bin/findmnt", "-no", "VFS-OPTIONS", "/dev/shm"]);
    run(&["/bin/mount", "-o", "remount,bind,exec", "/dev/shm"]);
    let before = mounted();
    let id = commit(&plan([Effect::Remount {
        path: "/dev/shm".parse().expect("a path"),
        options: before
            .split(',')
            .chain(["noexec"])
            .map(str::to_owned)
            .collect(),
    }]));
    assert!(mounted().contains("noexec"), "{}", mounted());
    undo(id);
    assert_eq!(mounted(), before);
}

fn recovery_units() {
    let before = etc();
    let program = std::env::current_exe().expect("this program");
    let install =
        || host::install(&host(), &state(), &program, &options(), &mut |_| {}).expect("installed");
    assert!(matches!(install(), Installed::Now(Applied::Committed(_))));
    assert_eq!(install(), Installed::AlreadyThere);
    let enabled = run(&[
        "/usr/bin/systemctl",
        "is-enabled",
        "steadfast-recover.service",
    ]);
    assert_eq!(enabled, "enabled");
    let verified = Command::new("/usr/bin/systemd-analyze")
        .args(["verify", "steadfast-recover.service"])
        .output();
    if let Ok(verified) = verified {
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(!said.contains("steadfast"), "{said}");
    }
    let gone = host::uninstall(&host(), &state(), &options(), &mut |_| {}).expect("uninstalled");
    assert_eq!(gone.stays, [Path::new(STATE)]);
    let mut after = etc();
    // The time of the directories that held them is that of the removal.
    let mut before = before;
    for directory in ["/systemd/system", "/systemd/system/sysinit.target.wants"] {
        after.remove(directory);
        before.remove(directory);
    }
    assert_same(&before, &after, "/etc");
}

/// What stands for `steadfast recover` where this test program is not `steadfast`.
fn guard_program() -> std::path::PathBuf {
    let path = Path::new("/root/guard");
    std::fs::write(
        path,
        format!("#!/bin/sh\n{SCENE}=recover exec {COPY} --exact change_live::inside --ignored\n"),
    )
    .expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).expect("a mode");
    path.to_owned()
}

fn recover_as_the_guard() {
    let recovered = host::recover(
        &host(),
        &state(),
        jiff::Timestamp::now(),
        Duration::from_secs(30),
        &host::CrashPoints::none(),
        &mut |_| {},
    )
    .expect("recovery runs");
    std::fs::write("/root/recovered", format!("{recovered:?}")).expect("written");
}

/// The process that waits for the confirmation dies; systemd's timer takes the change back.
fn guard() {
    let installed = host::install(&host(), &state(), &guard_program(), &options(), &mut |_| {});
    assert!(installed.is_ok(), "{installed:?}");
    let guard = Guard::of(&state());
    assert!(matches!(guard, Guard::Systemd { .. }), "{guard:?}");
    let before = etc();
    let mut plan = sshd_plan("MaxAuthTries 2\n");
    plan.actions[0].risk = Risk::Connectivity;
    let options = ApplyOptions {
        guard,
        confirm_within: Duration::from_secs(3),
        ..options()
    };
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        apply_with(&plan, &options, &mut |event| {
            assert!(!matches!(event, Event::Waiting { .. }), "the process dies");
        })
    }));
    assert!(died.is_err());
    assert!(before != etc(), "it is in effect");
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let last = state()
            .history()
            .expect("a history")
            .pop()
            .expect("a change");
        if last.state == ChangeState::RolledBack {
            break;
        }
        assert!(Instant::now() < until, "nobody took it back: {last:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_same(&before, &etc(), "/etc");
    let timers = run(&[
        "/usr/bin/systemctl",
        "list-units",
        "--all",
        "--plain",
        "steadfast-revert*.timer",
    ]);
    assert!(!timers.contains(".timer"), "timers stay: {timers}");
}

/// A person signs in over SSH with a key, and that keeps the change.
fn sign_in() {
    let installed = host::install(&host(), &state(), &guard_program(), &options(), &mut |_| {});
    assert!(installed.is_ok(), "{installed:?}");
    run(&[
        "/usr/bin/ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-f",
        "/root/id",
    ]);
    std::fs::create_dir_all("/root/.ssh").expect("made");
    std::fs::copy("/root/id.pub", "/root/.ssh/authorized_keys").expect("copied");
    run(&["/bin/chmod", "-R", "go=", "/root/.ssh"]);
    let mut plan = sshd_plan("MaxAuthTries 5\n");
    plan.actions[0].risk = Risk::Connectivity;
    let options = ApplyOptions {
        guard: Guard::of(&state()),
        confirm_within: Duration::from_secs(60),
        ..options()
    };
    let mut signing_in = None;
    let mut by = String::new();
    let applied = apply_with(&plan, &options, &mut |event| match event {
        Event::Waiting { .. } if signing_in.is_none() => {
            let mut ssh = Command::new("/usr/bin/ssh");
            ssh.args([
                "-i",
                "/root/id",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "BatchMode=yes",
            ])
            // As a person's session, it lasts until journald has looked its program up.
            .args(["root@127.0.0.1", "sleep 3"]);
            signing_in = Some(ssh.status());
        }
        Event::Confirmed { by: who, .. } => by = who,
        _ => {}
    });
    assert!(
        matches!(applied, Applied::Committed(_)),
        "{applied:?} {signing_in:?}"
    );
    assert!(by.contains("root"), "{by}");
    let none = host::recover(
        &host(),
        &state(),
        jiff::Timestamp::now(),
        Duration::from_secs(5),
        &host::CrashPoints::none(),
        &mut |_| {},
    );
    assert!(none.is_ok_and(|all| {
        all.iter()
            .all(|one| one.outcome != Recovery::NothingTouched)
    }));
    let id = state()
        .history()
        .expect("a history")
        .pop()
        .expect("a change")
        .id;
    undo(id);
}
