//! Units that were told something, on booted hosts: they stay up, or the change goes back and
//! they are as they were, whatever became of them meanwhile, and wherever it was cut off.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Applied, ApplyOptions, CrashPoints, Event, Recovery};
use lab::Release;
use model::{ChangeState, Effect, Plan, UnitOp};

use crate::bench::{killing, options, put};
use crate::change_live::{apply, apply_with, commit, host, plan, run, state, undo, unit};
use crate::scenes::{RELEASES, SCENE, on_fresh_hosts};

#[test]
fn every_scene() {
    let scenes = SCENES.iter().map(|(scene, _)| *scene);
    let scenes = scenes.filter(|scene| !scene.starts_with("kills"));
    on_fresh_hosts("lab_units::inside", &RELEASES, scenes);
}

#[test]
fn killed_in_an_apply_that_would_stand() {
    on_fresh_hosts("lab_units::inside", kill_releases(), ["kills, stands"]);
}

#[test]
fn killed_in_an_apply_whose_unit_fails() {
    on_fresh_hosts("lab_units::inside", kill_releases(), ["kills, fails"]);
}

#[test]
fn killed_in_an_undo() {
    on_fresh_hosts("lab_units::inside", kill_releases(), ["kills, undo"]);
}

/// A sweep waits for units a hundred times, and one release is enough for every run.
fn kill_releases() -> &'static [Release] {
    match std::env::var_os("STEADFAST_EXHAUSTIVE").is_some() {
        true => &RELEASES,
        false => &RELEASES[..1],
    }
}

const SCENES: [(&str, fn()); 10] = [
    ("gone a second later", gone_a_second_later),
    ("started too often", started_too_often),
    ("started often by others", started_often_by_others),
    ("not running before", not_running_before),
    ("many at once", many_at_once),
    ("undo", undo_brings_up),
    ("undo, told and started", undo_lets_rest),
    ("kills, stands", kills_stands),
    ("kills, fails", kills_fails),
    ("kills, undo", kills_undo),
];

/// In a lab host: one scene, or a process that is killed.
#[test]
#[ignore = "played in a lab host by the test above"]
fn inside() {
    let Ok(wanted) = std::env::var(SCENE) else {
        return;
    };
    if let Some(role) = wanted.strip_prefix("victim ") {
        return victim(role);
    }
    let (_, play) = SCENES
        .into_iter()
        .find(|(scene, _)| *scene == wanted)
        .expect("a scene");
    play();
    println!("scene played");
}

/// A service that reads `/etc/NAME.conf` when it starts and when it is told. `late` makes it
/// end a good second after that, `now` at once.
fn make_service(name: &str, more: &str) {
    let program = format!("/usr/local/bin/{name}");
    let script = format!(
        "#!/bin/sh\n\
         load() {{\n\
         if grep -q now /etc/{name}.conf; then exit 3; fi\n\
         if grep -q late /etc/{name}.conf; then (sleep 1.2; kill -KILL $$) & fi\n\
         }}\n\
         trap load HUP\n\
         load\n\
         systemd-notify --ready\n\
         while :; do sleep 1000 & wait $!; done\n"
    );
    std::fs::write(&program, script).expect("a program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let text = format!(
        "[Service]\nType=notify\nNotifyAccess=all\nExecStart={program}\n\
         ExecReload=/bin/kill -HUP $MAINPID\n{more}"
    );
    std::fs::write(format!("/etc/systemd/system/{name}.service"), text).expect("a unit");
    std::fs::write(conf(name), "fine\n").expect("a configuration");
    run(&["/usr/bin/systemctl", "daemon-reload"]);
}

fn start(name: &str) {
    run(&["/usr/bin/systemctl", "start", &format!("{name}.service")]);
    assert_eq!(activity(name), "active");
}

fn conf(name: &str) -> String {
    format!("/etc/{name}.conf")
}

fn activity(name: &str) -> String {
    run(&[
        "/usr/bin/systemctl",
        "is-active",
        &format!("{name}.service"),
    ])
}

fn read(name: &str) -> String {
    std::fs::read_to_string(conf(name)).expect("a configuration")
}

fn tell(name: &str, content: &str, op: UnitOp) -> Plan {
    plan([
        put(&conf(name), content),
        unit(&format!("{name}.service"), op),
    ])
}

fn assert_taken_back(applied: &Applied, reason: &str) {
    let Applied::TakenBack {
        why,
        verified: true,
        ..
    } = applied
    else {
        panic!("not taken back: {applied:?}");
    };
    assert!(why.join("; ").contains(reason), "{why:?}");
}

/// It accepts the signal, and is gone when one looks only once.
fn gone_a_second_later() {
    make_service("demo", "");
    start("demo");
    for op in [UnitOp::Reload, UnitOp::Restart] {
        let applied = apply(&tell("demo", "late\n", op));
        assert_taken_back(&applied, "cannot keep `demo.service` up");
        assert_eq!(
            (activity("demo"), read("demo")),
            ("active".into(), "fine\n".into())
        );
    }
    // The same for one that the plan itself starts.
    run(&["/usr/bin/systemctl", "stop", "demo.service"]);
    let applied = apply(&tell("demo", "late\n", UnitOp::Start));
    assert_taken_back(&applied, "cannot keep `demo.service` up");
    assert_eq!(
        (activity("demo"), read("demo")),
        ("inactive".into(), "fine\n".into())
    );
}

/// systemd refuses to start it any more when the way back begins.
fn started_too_often() {
    make_service(
        "demo",
        "Restart=always\nRestartSec=50ms\n[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=1h\n",
    );
    start("demo");
    for op in [UnitOp::Reload, UnitOp::Restart] {
        let applied = apply(&tell("demo", "now\n", op));
        assert_taken_back(&applied, "demo.service");
        assert_eq!(
            (activity("demo"), read("demo")),
            ("active".into(), "fine\n".into())
        );
    }
    // One that ends slowly and is started again each time never looks failed.
    let applied = apply(&tell("demo", "late\n", UnitOp::Reload));
    assert_taken_back(&applied, "cannot keep `demo.service` up");
    assert_eq!(activity("demo"), "active");
}

/// It runs, and was started as often as systemd allows: what the plan does now is no crash.
fn started_often_by_others() {
    make_service(
        "demo",
        "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=1h\n",
    );
    for op in [UnitOp::Restart, UnitOp::Start] {
        let before = match op {
            UnitOp::Start => "stop",
            _ => "start",
        };
        run(&["/usr/bin/systemctl", "reset-failed", "demo.service"]);
        for _ in 0..3 {
            run(&["/usr/bin/systemctl", "restart", "demo.service"]);
        }
        run(&["/usr/bin/systemctl", before, "demo.service"]);
        undo(commit(&tell("demo", "fine too\n", op)));
        assert_eq!(read("demo"), "fine\n");
    }
}

/// What did not run, or had failed, is not started.
fn not_running_before() {
    make_service("demo", "");
    let id = commit(&tell("demo", "late\n", UnitOp::Reload));
    assert_eq!(activity("demo"), "inactive");
    undo(id);
    assert_eq!(activity("demo"), "inactive");
    std::fs::write(conf("demo"), "now\n").expect("written");
    run(&["/usr/bin/systemctl", "start", "demo.service"]);
    assert_eq!(activity("demo"), "failed");
    let mut failing = tell("demo", "fine\n", UnitOp::Restart);
    let no_such = unit("no-such.service", UnitOp::Start);
    failing
        .actions
        .extend(plan([no_such]).actions.into_iter().map(|mut action| {
            action.id = model::ActionId(2);
            action
        }));
    let applied = apply(&failing);
    assert_taken_back(&applied, "no-such.service");
    assert_eq!(
        (activity("demo"), read("demo")),
        ("failed".into(), "now\n".into())
    );
}

/// Units are watched together, not one after the other.
fn many_at_once() {
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        make_service(name, "");
        start(name);
    }
    let effects = names.iter().flat_map(|name| {
        [
            put(&conf(name), "fine too\n"),
            unit(&format!("{name}.service"), UnitOp::Reload),
        ]
    });
    let mut watched = None;
    apply_with(&plan(effects), &options(), &mut |event| {
        if let Event::StayedUp { units, took } = event {
            assert!(watched.replace((units.len(), took)).is_none(), "told twice");
        }
    });
    let (units, took) = watched.expect("they were watched");
    assert_eq!(units, names.len());
    let limits = Duration::from_secs(2)..Duration::from_secs(8);
    assert!(limits.contains(&took), "{took:?}");
}

/// What failed since the change runs again after its undo; what somebody stopped does not.
fn undo_brings_up() {
    make_service("demo", "");
    start("demo");
    let id = commit(&tell("demo", "fine too\n", UnitOp::Reload));
    run(&[
        "/usr/bin/systemctl",
        "kill",
        "--signal=KILL",
        "demo.service",
    ]);
    wait_for("demo", "failed");
    undo(id);
    assert_eq!(
        (activity("demo"), read("demo")),
        ("active".into(), "fine\n".into())
    );
    let id = commit(&tell("demo", "fine too\n", UnitOp::Reload));
    run(&["/usr/bin/systemctl", "stop", "demo.service"]);
    undo(id);
    assert_eq!(
        (activity("demo"), read("demo")),
        ("inactive".into(), "fine\n".into())
    );
}

/// Case F8: a unit that the change told and started rests again after the undo, as before.
fn undo_lets_rest() {
    make_service("demo", "");
    let effects = [
        put(&conf("demo"), "fine too\n"),
        unit("demo.service", UnitOp::Reload),
        unit("demo.service", UnitOp::Start),
    ];
    let id = commit(&plan(effects));
    assert_eq!(activity("demo"), "active");
    undo(id);
    assert_eq!(
        (activity("demo"), read("demo")),
        ("inactive".into(), "fine\n".into())
    );
}

fn wait_for(name: &str, wanted: &str) {
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while activity(name) != wanted {
        assert!(
            std::time::Instant::now() < until,
            "{name} is never {wanted}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Two services that are told, one that is started, and one that is stopped.
const KILLED: [&str; 4] = ["told", "also", "started", "stopped"];

fn killed_plan(content: &str) -> Plan {
    let of = |name: &str, op| unit(&format!("{name}.service"), op);
    let effects: [Effect; 6] = [
        put(&conf("told"), content),
        put(&conf("also"), "fine too\n"),
        of("started", UnitOp::Start),
        of("stopped", UnitOp::Stop),
        of("also", UnitOp::Restart),
        of("told", UnitOp::Reload),
    ];
    plan(effects)
}

/// The process that is killed at its `nth` point.
fn victim(role: &str) {
    let mut words = role.split(' ');
    let mut next = || words.next().expect("a word");
    let (what, nth) = (next(), next().parse().expect("a number"));
    let options = ApplyOptions {
        crash: killing(nth),
        ..options()
    };
    match what {
        "undo" => {
            let last = state().history().expect("a history").pop();
            let id = last.expect("a change").id;
            host::undo(&host(), &state(), id, &options, &mut |_| {}).expect("undone");
        }
        "stands" => {
            apply_with(&killed_plan("fine too\n"), &options, &mut |_| {});
        }
        "fails" => {
            apply_with(&killed_plan("late\n"), &options, &mut |_| {});
        }
        other => panic!("no role `{other}`"),
    }
}

/// Was it killed? Else it came to its end.
fn kill_at(what: &str, nth: usize) -> bool {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "lab_units::inside", "--ignored", "--nocapture"])
        .env(SCENE, format!("victim {what} {nth}"))
        .output()
        .expect("the victim runs");
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert!(
        output.status.success() || signal == Some(9),
        "{what} at point {nth}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    signal == Some(9)
}

type Units = Vec<(String, String)>;

fn units_and_files() -> Units {
    KILLED
        .map(|name| (activity(name), read(name)))
        .into_iter()
        .collect()
}

/// The points from where the first unit is told on: those before are of files, and swept
/// elsewhere.
fn points(run_with: impl FnOnce(CrashPoints)) -> std::ops::RangeInclusive<usize> {
    let names = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&names);
    run_with(CrashPoints::calling(move |name| {
        noted.lock().expect("nobody panicked").push(name);
    }));
    let names = names.lock().expect("nobody panicked");
    let first = names
        .iter()
        .position(|name| *name == "file renamed")
        .expect("a file is written");
    first + 1..=names.len()
}

/// The units' host, and what is true there before.
fn killed_host() -> Units {
    for name in KILLED {
        make_service(name, "");
    }
    for name in ["told", "also", "stopped"] {
        start(name);
    }
    units_and_files()
}

fn options_with(crash: CrashPoints) -> ApplyOptions<'static> {
    ApplyOptions { crash, ..options() }
}

/// After the recovery every unit and file is as before or as planned, and the report says
/// which.
fn check_recovered(at: &str, before: &Units, planned: &Units) {
    let recovered = host::recover(
        &host(),
        &state(),
        jiff::Timestamp::now(),
        Duration::from_secs(5),
        &CrashPoints::none(),
        &mut |_| {},
    )
    .expect("recovery runs");
    let last = state().history().expect("a history").pop();
    let last = last.expect("a change");
    let now = units_and_files();
    match last.state {
        ChangeState::Committed => assert_eq!(&now, planned, "{at}: {recovered:?}"),
        ChangeState::RolledBack | ChangeState::Undone => {
            assert_eq!(&now, before, "{at}: {recovered:?}");
        }
        other => panic!("{at}: {other:?}, {recovered:?}"),
    }
    for recovered in &recovered {
        assert!(
            matches!(
                recovered.outcome,
                Recovery::AsBefore { .. } | Recovery::Undone { .. }
            ),
            "{at}: {recovered:?}"
        );
    }
    if last.state == ChangeState::Committed {
        undo(last.id);
        assert_eq!(&units_and_files(), before, "{at}, undone");
    }
}

/// `kill -9` from the first unit on.
fn kills_stands() {
    let before = killed_host();
    let points = points(|crash| {
        let applied = apply_with(
            &killed_plan("fine too\n"),
            &options_with(crash),
            &mut |_| {},
        );
        assert!(matches!(applied, Applied::Committed(_)), "{applied:?}");
    });
    let planned = units_and_files();
    check_recovered("not killed", &before, &planned);
    let mut killed = 0;
    for nth in points {
        if kill_at("stands", nth) {
            killed += 1;
            check_recovered(&format!("apply, point {nth}"), &before, &planned);
        }
    }
    assert!(killed > 10, "only {killed} points were tried");
}

/// The unit may be dying at the kill, may be dead, or be brought up at that moment.
fn kills_fails() {
    let before = killed_host();
    let points = points(|crash| {
        let applied = apply_with(&killed_plan("late\n"), &options_with(crash), &mut |_| {});
        assert_taken_back(&applied, "cannot keep `told.service` up");
    });
    assert_eq!(units_and_files(), before);
    let mut killed = 0;
    for nth in points {
        if kill_at("fails", nth) {
            killed += 1;
            check_recovered(&format!("failing apply, point {nth}"), &before, &before);
        }
    }
    assert!(killed > 20, "only {killed} points were tried");
}

fn kills_undo() {
    let before = killed_host();
    let plan = killed_plan("fine too\n");
    let id = commit(&plan);
    let planned = units_and_files();
    let points = points(|crash| {
        let options = options_with(crash);
        host::undo(&host(), &state(), id, &options, &mut |_| {}).expect("undone");
    });
    assert_eq!(units_and_files(), before);
    let mut killed = 0;
    for nth in points {
        commit(&plan);
        assert_eq!(units_and_files(), planned);
        if kill_at("undo", nth) {
            killed += 1;
            check_recovered(&format!("undo, point {nth}"), &before, &planned);
        }
    }
    assert!(killed > 10, "only {killed} points were tried");
}
