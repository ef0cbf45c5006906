//! Programs that are asked: on a view that they can't change, and only for so long.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::{Host, LocalHost};
use model::value::{Output, Reason};
use model::{Answer, Probe, Tool, Value};

use crate::observe_support::{Tree, as_nobody, is_root, path, reason, skip};

fn shell(script: &str, timeout_ms: u32) -> Probe {
    Probe::Command {
        argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
        timeout_ms,
        user: None,
        sockets: false,
    }
}

fn ask(probe: &Probe) -> Answer {
    LocalHost::running()
        .expect("this machine")
        .probe(probe)
        .answer
}

/// What a script printed; none where this machine allows no private view.
fn run(script: &str) -> Option<Output> {
    match ask(&shell(script, 20_000)) {
        Answer::Known(Value::Output(output)) => Some(output),
        Answer::Unknown(Reason::Unavailable { what }) => {
            skip(&what);
            None
        }
        other => panic!("{script}: {other:?}"),
    }
}

/// Somewhere on this machine, with what tests put there.
fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), mode).expect("a mode");
    let file = folder.path().join("written");
    (folder, file)
}

#[test]
fn nothing_can_be_written() {
    let check = || {
        let (_folder, file) = scratch();
        let Some(output) = run(&format!("echo x > {}; echo done", file.display())) else {
            return;
        };
        assert!(
            output.stderr.contains("Read-only file system"),
            "{output:?}"
        );
        assert_eq!(output.stdout, "done\n");
        assert!(!file.exists());
    };
    check();
    as_nobody(check);
}

#[test]
fn there_is_no_network_and_no_environment() {
    let Some(output) = run("cat /proc/net/dev | tail -n +3 | cut -d: -f1; env | sort; cat") else {
        return;
    };
    let lines: Vec<&str> = output.stdout.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "lo",
            "LC_ALL=C.UTF-8",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "PWD=/"
        ]
    );
}

#[test]
fn capabilities_are_few_and_devices_fewer() {
    if !is_root() {
        return skip("needs root");
    }
    let Some(output) = run(
        "grep -E 'Cap(Prm|Bnd)|NoNewPrivs' /proc/self/status; : > /dev/null && echo null; \
        for d in /dev/vda /dev/sda /dev/kmsg /dev/mem; do head -c1 $d 2>/dev/null | wc -c; done; kill -0 1 && echo can",
    ) else {
        return;
    };
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    // CAP_DAC_READ_SEARCH is bit 2.
    let few = "0000000000000004";
    assert_eq!(
        &words[..7],
        ["CapPrm:", few, "CapBnd:", few, "NoNewPrivs:", "1", "null"]
    );
    assert_eq!(&words[7..11], ["0", "0", "0", "0"]);
}

#[test]
fn a_program_that_hangs_is_ended_with_its_children() {
    let (_folder, file) = scratch();
    let marker = format!("31{}", std::process::id());
    let begin = Instant::now();
    let why = reason(ask(&shell(
        &format!("sleep {marker} & sleep {marker}; : {}", file.display()),
        300,
    )));
    if let Reason::Unavailable { what } = why {
        return skip(&what);
    }
    assert_eq!(why, Reason::TimedOut { after_ms: 300 });
    assert!(begin.elapsed() < Duration::from_secs(5));
    let left = |_: &()| {
        std::fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
            .filter(|line| line.starts_with(format!("sleep\0{marker}").as_bytes()))
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while left(&()) > 0 {
        assert!(Instant::now() < deadline, "its children still run");
        std::thread::yield_now();
    }
}

#[test]
fn a_child_that_stays_does_not_hold_up_the_answer() {
    let begin = Instant::now();
    let Some(output) = run("sleep 19 & echo answer") else {
        return;
    };
    assert_eq!(output.stdout, "answer\n");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn output_is_bounded() {
    let why = reason(ask(&shell(
        "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
        20_000,
    )));
    match why {
        Reason::TooLarge { limit_bytes, .. } => assert_eq!(limit_bytes, 2 << 20),
        Reason::Unavailable { what } => skip(&what),
        other => panic!("{other:?}"),
    }
}

#[test]
fn how_a_program_ends_is_told() {
    let Some(output) = run("echo out; echo err >&2; exit 7") else {
        return;
    };
    assert_eq!(
        (output.status, &*output.stdout, &*output.stderr),
        (Some(7), "out\n", "err\n")
    );
    let why = reason(ask(&shell("kill -9 $$", 5000)));
    assert!(
        matches!(&why, Reason::Failed { why } if why.contains("signal 9")),
        "{why:?}"
    );
    assert_eq!(
        ask(&Probe::Command {
            argv: vec!["/nowhere/program".to_owned()],
            timeout_ms: 1000,
            user: None,
            sockets: false,
        }),
        Answer::Absent
    );
    let relative = Probe::Command {
        argv: vec!["sh".to_owned()],
        timeout_ms: 1000,
        user: None,
        sockets: false,
    };
    assert!(matches!(reason(ask(&relative)), Reason::Malformed { .. }));
}

/// A program of the test's own in the place of a tool.
fn host_with(tool: Tool, folder: &Path, script: &str, mode: u32) -> LocalHost {
    let program = folder.join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a program");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(&program, mode).expect("a mode");
    LocalHost::running()
        .expect("this machine")
        .with_program(tool, &program)
        .expect("not asked yet")
}

fn sshd(args: &[&str]) -> Probe {
    Probe::Tool {
        tool: Tool::SshdEffective,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
    }
}

#[test]
fn a_service_that_hangs_when_asked_costs_its_own_answer() {
    if !is_root() {
        return skip("needs root");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host_with(Tool::SshdEffective, folder.path(), "sleep 61", 0o755);
    let (hangs, file) = std::thread::scope(|scope| {
        let hangs = scope.spawn(|| host.probe(&sshd(&[])).answer);
        let file = host.probe(&Probe::file(path("/etc/passwd"))).answer;
        (hangs.join().expect("no panic"), file)
    });
    match reason(hangs) {
        Reason::TimedOut { after_ms } => assert_eq!(after_ms, 5000),
        Reason::Unavailable { what } => skip(&what),
        other => panic!("{other:?}"),
    }
    assert!(matches!(file, Answer::Known(_)));
}

#[test]
fn sshd_has_its_directory_without_making_one_here() {
    if !is_root() {
        return skip("needs root");
    }
    if Path::new("/run/sshd").exists() {
        return skip("this machine has /run/sshd");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host_with(
        Tool::SshdEffective,
        folder.path(),
        "stat -c '%a %u %F' /run/sshd; echo \"$*\"; ls -d /run/systemd /run/lock 2>/dev/null | wc -l",
        0o755,
    );
    let args = ["-C", "user=ana,host=h,addr=10.0.0.1"];
    let answer = host.probe(&sshd(&args)).answer;
    let Answer::Known(Value::Output(output)) = answer else {
        return skip(&reason(answer).to_string());
    };
    assert!(
        output
            .stdout
            .starts_with("755 0 directory\n-T -C user=ana,host=h,addr=10.0.0.1\n"),
        "{output:?}"
    );
    assert!(!Path::new("/run/sshd").exists());
    // What was there before is still seen.
    let there = ["/run/systemd", "/run/lock"]
        .iter()
        .filter(|path| Path::new(path).exists())
        .count();
    assert!(
        output.stdout.ends_with(&format!("\n{there}\n")),
        "{output:?}"
    );
}

#[test]
fn only_known_arguments_reach_a_tool() {
    let host = LocalHost::running().expect("this machine");
    let refused = |tool, args: &[&str]| {
        let probe = Probe::Tool {
            tool,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
        let why = reason(host.probe(&probe).answer);
        assert!(
            matches!(&why, Reason::Failed { why } if why.contains("not to be asked with")),
            "{args:?}: {why:?}"
        );
    };
    for args in [
        &["-f", "/tmp/x"][..],
        &["-C"],
        &["-C", "-x=y"],
        &["-C", "user=a\nb"],
        &["-oA=b", "c=d"],
    ] {
        refused(Tool::SshdEffective, args);
    }
    for args in [
        &[][..],
        &["hosts", "a"],
        &["passwd", "-s"],
        &["-s", "passwd"],
    ] {
        refused(Tool::Getent, args);
    }
    refused(Tool::NginxDump, &["-c", "/tmp/x"]);
}

#[test]
fn root_runs_no_program_that_others_may_write() {
    if !is_root() {
        return skip("needs root");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for mode in [0o777, 0o775] {
        let host = host_with(Tool::SshdEffective, folder.path(), "echo ran", mode);
        let why = reason(host.probe(&sshd(&[])).answer);
        assert!(
            matches!(&why, Reason::Failed { why } if why.contains("others than root")),
            "{why:?}"
        );
    }
}

#[test]
fn an_ordinary_user_may_not_ask_sshd() {
    as_nobody(|| {
        let host = LocalHost::running().expect("this machine");
        assert_eq!(reason(host.probe(&sshd(&[])).answer), Reason::NeedsRoot);
        assert_eq!(
            reason(host.probe(&Probe::AuditRules).answer),
            Reason::NeedsRoot
        );
    });
}

#[test]
fn programs_of_a_tree_are_never_run() {
    let tree = Tree::new();
    tree.file("/usr/sbin/sshd", b"#!/bin/sh\n: > ran\n");
    tree.mode("/usr/sbin/sshd", 0o755);
    let probes = [
        sshd(&[]),
        shell(": > ran", 1000),
        Probe::AuditRules,
        Probe::Mounts,
        Probe::Sysctl {
            key: "kernel.hostname".to_owned(),
        },
        Probe::Tool {
            tool: Tool::Getent,
            args: vec!["passwd".to_owned(), "root".to_owned()],
        },
    ];
    for probe in probes {
        assert_eq!(reason(tree.ask(&probe)), Reason::Offline, "{probe:?}");
    }
}

#[test]
fn parameters_of_the_kernel_are_found_by_either_name() {
    let ask = |key: &str| {
        ask(&Probe::Sysctl {
            key: key.to_owned(),
        })
    };
    let hostname = ask("kernel.hostname");
    assert!(matches!(hostname, Answer::Known(Value::Sysctl(_))));
    assert_eq!(hostname, ask("kernel/hostname"));
    assert_eq!(ask("kernel.no_such_thing"), Answer::Absent);
    for bad in ["kernel", "kernel/../../etc/passwd", "../etc.passwd"] {
        assert!(
            matches!(ask(bad), Answer::Unknown(_) | Answer::Absent),
            "{bad}"
        );
    }
}

/// A golden image is judged by its files: which modules its kernels have, and what is forbidden.
#[test]
fn modules_of_a_tree_are_those_of_its_kernels() {
    let tree = Tree::new();
    for (kernel, module) in [
        ("6.1.0-1-amd64", "usb-storage"),
        ("6.1.0-2-amd64", "cramfs"),
    ] {
        let list = format!("kernel/x/{module}.ko: kernel/x/other.ko\n");
        tree.file(
            &format!("/lib/modules/{kernel}/modules.dep"),
            list.as_bytes(),
        );
    }
    tree.file("/etc/modprobe.d/a.conf", b"install cramfs /bin/false\n");
    let answer = tree.host().probe(&Probe::Modules).answer;
    let Answer::Known(Value::Modules(seen)) = answer else {
        panic!("{answer:?}");
    };
    assert!(seen.of_tree && seen.loaded.is_empty(), "{seen:?}");
    let available = seen.available.expect("a list");
    assert_eq!(available, ["cramfs", "usb_storage"]);
    assert_eq!(seen.directives.len(), 1);
}
