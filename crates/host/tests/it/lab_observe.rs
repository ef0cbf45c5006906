//! Real booted hosts of each release, asked from inside: this test binary is copied into a
//! host and runs there, beside the real systemd, sshd and dpkg.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use host::{Host, LocalHost};
use lab::{Container, Exec, Image, NOISE, Release, Requirements, diff};
use model::facts::{Fact, Init};
use model::probe::WalkTests;
use model::value::{Output, Reason, UnitSeen};
use model::{Answer, Probe, Tool, Value, WalkTest};

use crate::observe_support::{as_nobody, file, path, reason, skip};

/// Runs one of the tests below in a fresh host of each release.
fn inside(test: &str, prepare: &str) {
    let switch = std::env::var_os("STEADFAST_LAB");
    if let Err(why) = lab::wanted(switch.as_deref(), Requirements::Containers) {
        return skip(&why);
    }
    let cache = std::env::var_os("STEADFAST_LAB_CACHE")
        .map_or_else(|| lab::DEFAULT_CACHE.into(), PathBuf::from);
    for release in Release::ALL {
        let image = Image::build(release, &cache, &mut |_| {}).expect("an image");
        let host = Container::start(&image).expect("a host that boots");
        let own = std::env::current_exe().expect("this test");
        host.copy_in(own, "/opt/it").expect("this test, in there");
        host.shell(prepare).expect("prepared");
        let before = host.snapshot().expect("a snapshot");
        let exec = Exec::new(["/opt/it", "--exact", "--ignored", "--nocapture"])
            .arg(format!("lab_observe::{test}"))
            .limit(Duration::from_secs(300));
        let output = host.exec(&exec).expect("it runs");
        assert!(
            output.success() && output.text().contains("1 passed"),
            "on {release}: {}{}",
            output.text(),
            output.errors()
        );
        let changed = diff(&before, &host.snapshot().expect("a snapshot"), NOISE);
        assert!(changed.is_empty(), "on {release}: {changed:?}");
    }
}

#[test]
fn a_whole_host_is_known_and_nothing_changes() {
    // apt, which the test asks as a witness, writes its cache the first time.
    inside("inside_whole", "apt-mark showauto > /dev/null");
}

#[test]
fn a_host_whose_services_are_off_is_known_too() {
    inside(
        "inside_off",
        "systemctl disable --now ssh.service ssh.socket; systemctl mask --now cron; rm -rf /run/sshd",
    );
}

#[test]
fn a_bus_that_hangs_costs_its_own_answers() {
    inside("inside_hung_bus", "kill -STOP $(pidof dbus-daemon)");
}

fn here() -> LocalHost {
    LocalHost::running().expect("this host")
}

fn unit(host: &LocalHost, name: &str) -> Answer {
    host.probe(&Probe::Unit {
        name: name.to_owned(),
    })
    .answer
}

fn known_unit(host: &LocalHost, name: &str) -> UnitSeen {
    match unit(host, name) {
        Answer::Known(Value::Unit(seen)) => seen,
        other => panic!("{name}: {other:?}"),
    }
}

fn sshd(host: &LocalHost, args: &[&str]) -> Output {
    let probe = Probe::Tool {
        tool: Tool::SshdEffective,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
    };
    match host.probe(&probe).answer {
        Answer::Known(Value::Output(output)) => output,
        other => panic!("{other:?}"),
    }
}

fn say(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "runs inside a lab host"]
fn inside_whole() {
    let host = here();
    let begin = Instant::now();
    let facts = host.facts();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(facts.init, Init::Systemd);
    assert_eq!(
        facts.container,
        Fact::Known(Some("systemd-nspawn".to_owned()))
    );
    assert!(!facts.owns_kernel && facts.is_root && !facts.offline);
    assert_eq!(
        facts.release.known().map(|release| &*release.id),
        Some("debian")
    );
    // dpkg says the same.
    let packages = facts.packages.known().expect("known");
    let dpkg: BTreeMap<String, String> = say(
        "dpkg-query",
        &["-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"],
    )
    .lines()
    .filter_map(|line| {
        let mut words = line.split(' ');
        let pair = (words.next()?.to_owned(), words.next()?.to_owned());
        (words.next() == Some("installed")).then_some(pair)
    })
    .collect();
    let ours: BTreeMap<String, String> = packages
        .iter()
        .map(|(name, package)| (name.clone(), package.version.clone()))
        .collect();
    assert_eq!(ours, dpkg);
    for line in say("apt-mark", &["showauto"]).lines() {
        let probe = Probe::Package {
            name: line.to_owned(),
        };
        let Answer::Known(Value::Package(seen)) = host.probe(&probe).answer else {
            panic!("{line} is not known");
        };
        assert_eq!(seen.automatic, Some(true), "{line}");
    }
    // systemctl says the same of every unit file, and of every unit over the bus.
    let units = facts.units.known().expect("known");
    let list = say("systemctl", &["list-unit-files", "--no-legend", "--plain"]);
    let theirs: Vec<(&str, &str)> = list
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    assert!(theirs.len() > 100);
    let differ: Vec<_> = theirs
        .into_iter()
        .map(|(name, state)| (name, state, units.get(name)))
        .filter(|(_, state, ours)| ours.map(String::as_str) != Some(*state))
        .collect();
    assert!(differ.is_empty(), "{differ:?}");
    let ssh = known_unit(&host, "ssh");
    assert_eq!(
        (
            &*ssh.load_state,
            ssh.active_state.as_deref(),
            ssh.unit_file_state.as_deref()
        ),
        ("loaded", Some("active"), Some("enabled"))
    );
    let fragment = say("systemctl", &["show", "-P", "FragmentPath", "ssh"]);
    assert_eq!(ssh.files[0].to_string(), fragment.trim());
    assert_eq!(
        known_unit(&host, "sshd.service").active_state.as_deref(),
        Some("active")
    );
    assert_eq!(unit(&host, "nothing-such.service"), Answer::Absent);
    // An ordinary user may ask the bus too.
    let state = as_nobody(|| known_unit(&here(), "ssh").active_state);
    assert_eq!(state.as_deref(), Some("active"));
    // sshd says what sshd says.
    let ours = sshd(&host, &[]);
    assert_eq!(ours.status, Some(0), "{ours:?}");
    // Without network, the C library gives the two any-addresses in the other order.
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        sorted(&ours.stdout),
        sorted(&say("/usr/sbin/sshd", &["-T"]))
    );
    let for_root = sshd(&host, &["-C", "user=root,host=h,addr=10.0.0.1"]);
    assert_eq!(for_root.status, Some(0), "{for_root:?}");
    // A fresh Debian has nothing foreign.
    let tests: WalkTests = [
        WalkTest::WorldWritableFiles,
        WalkTest::WorldWritableDirectoriesWithoutSticky,
        WalkTest::UnknownPrivilegedPrograms,
        WalkTest::Unowned,
        WalkTest::UnknownCapabilities,
    ]
    .into();
    for (test, observed) in host.walk(&tests, &|_| {}) {
        let Answer::Known(Value::Walk(seen)) = observed.answer else {
            panic!("{test:?}: {:?}", observed.answer);
        };
        assert_eq!(seen.unreadable_total, 0, "{test:?}");
        // What packages give their programs is for `resource` to know.
        let foreign: Vec<_> = seen
            .hits
            .iter()
            .filter(|hit| hit.package.is_none())
            .collect();
        assert!(foreign.is_empty(), "{test:?}: {foreign:?}");
        let by_package = [
            WalkTest::UnknownPrivilegedPrograms,
            WalkTest::UnknownCapabilities,
        ];
        assert!(
            by_package.contains(&test) || seen.total == 0,
            "{test:?}: {seen:?}"
        );
    }
    for probe in [Probe::Mounts, Probe::Accounts, Probe::Modules] {
        assert!(
            matches!(host.probe(&probe).answer, Answer::Known(_)),
            "{probe:?}"
        );
    }
    // A container has no say over audit rules: that is unknown, and not "no rules".
    assert!(matches!(
        host.probe(&Probe::AuditRules).answer,
        Answer::Unknown(_)
    ));
}

#[test]
#[ignore = "runs inside a lab host"]
fn inside_off() {
    let host = here();
    let ssh = known_unit(&host, "ssh.service");
    assert_eq!(
        (ssh.active_state.as_deref(), ssh.unit_file_state.as_deref()),
        (Some("inactive"), Some("disabled"))
    );
    let cron = known_unit(&host, "cron");
    assert_eq!(
        (&*cron.load_state, cron.unit_file_state.as_deref()),
        ("masked", Some("masked"))
    );
    assert_eq!(
        host.facts().units.known().expect("known")["cron.service"],
        "masked"
    );
    // sshd answers although it does not run, and its directory is not made.
    assert!(!Path::new("/run/sshd").exists());
    let said = sshd(&host, &[]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.stdout.contains("port 22\n"));
    assert!(!Path::new("/run/sshd").exists());
}

#[test]
#[ignore = "runs inside a lab host"]
fn inside_hung_bus() {
    let host = here();
    let begin = Instant::now();
    for name in ["ssh", "cron", "dbus"] {
        assert_eq!(
            reason(unit(&host, name)),
            Reason::TimedOut { after_ms: 5000 }
        );
    }
    assert!(begin.elapsed() < Duration::from_secs(8));
    assert!(matches!(
        host.probe(&file("/etc/passwd")).answer,
        Answer::Known(_)
    ));
    assert!(host.facts().units.known().is_some());
    assert!(matches!(
        host.probe(&Probe::Meta { path: path("/") }).answer,
        Answer::Known(_)
    ));
}
