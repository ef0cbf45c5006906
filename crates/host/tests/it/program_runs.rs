//! Running other programs: what they said is there, and what is no answer is not taken for one.

use std::path::Path;
use std::time::{Duration, Instant};

use host::act::package::state_of;
use host::act::program::{Ended, Program};

fn shell(script: &str) -> Program {
    Program::at(Path::new("/bin/sh")).args(["-c", script])
}

#[test]
fn what_a_program_said_is_there_whatever_it_left_behind() {
    let began = Instant::now();
    let ended = shell("echo said; echo boom >&2; sleep 20 & exit 3")
        .run()
        .expect("it runs");
    let wanted = Ended {
        status: Some(3),
        stdout: "said\n".to_owned(),
        stderr: "boom\n".to_owned(),
        is_cut: false,
    };
    assert_eq!(ended, wanted);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "it waited for that"
    );
}

#[test]
fn what_a_program_left_behind_runs_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    let path = pipe.display();
    let script = format!("mkfifo '{path}'; (echo alive > '{path}') & exit 0");
    shell(&script).succeed().expect("it runs");
    let said = std::fs::read_to_string(&pipe).expect("the pipe is written to");
    assert_eq!(said, "alive\n");
}

#[test]
fn half_an_answer_is_none() {
    let much = shell("head -c 20000000 /dev/zero");
    let ended = much.succeed().expect("it did what it was told");
    assert!(ended.is_cut);
    assert_eq!(ended.stdout.len(), 16 << 20);
    let error = much.answer().expect_err("no answer").to_string();
    assert!(error.contains("more than 16.8 MB"), "{error}");
    let just = shell("head -c 16777216 /dev/zero")
        .answer()
        .expect("all of it");
    assert_eq!(just.stdout.len(), 16 << 20);
}

#[test]
fn a_program_that_can_not_say_has_not_said_no() {
    let no = shell("echo no; exit 1").answer_with(&[0, 1]);
    assert_eq!(no.expect("an answer").stdout, "no\n");
    for script in ["echo broken >&2; exit 2", "kill -KILL $$"] {
        shell(script)
            .answer_with(&[0, 1])
            .expect_err("it did not answer");
        shell(script).answer().expect_err("it did not answer");
    }
}

#[test]
fn a_program_that_does_not_end_is_ended() {
    let error = shell("echo begun; exec sleep 100")
        .limit(Duration::from_millis(200))
        .run()
        .expect_err("it does not end");
    assert!(error.to_string().contains("no end within 0.2 s"), "{error}");
}

#[test]
fn a_package_that_dpkg_can_not_tell_of_is_not_unknown_to_it() {
    let ended = |status: Option<i32>, stdout: &str, stderr: &str| Ended {
        status,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        is_cut: false,
    };
    let read = |ended: &Ended| {
        let state = state_of("nano", ended).ok()?;
        Some((state.status, state.version))
    };
    let some = |text: &str| Some(text.to_owned());
    let none = "dpkg-query: no packages found matching nano\n";
    let cases = [
        (
            ended(Some(0), "install ok installed\t7.2-1\n", ""),
            Some((some("install ok installed"), some("7.2-1"))),
        ),
        (
            ended(Some(0), "deinstall ok config-files\t7.2-1\n", ""),
            Some((some("deinstall ok config-files"), None)),
        ),
        (
            ended(Some(0), "unknown ok not-installed\t\n", ""),
            Some((some("unknown ok not-installed"), None)),
        ),
        (ended(Some(1), "", none), Some((None, None))),
        (
            ended(Some(2), "", "dpkg-query: error: parsing file\n"),
            None,
        ),
        (ended(Some(1), "", "dpkg-query: error: something\n"), None),
        (ended(Some(0), "", ""), None),
        (ended(None, "", ""), None),
    ];
    for (ended, wanted) in cases {
        assert_eq!(read(&ended), wanted, "{ended:?}");
    }
}
