//! `command`.

use model::Inverse;
use model::value::Reason;
use resource::{Edit, Judgement};

use crate::support::{Host, check, judge, refused};

#[test]
fn commands() {
    let host = Host::new()
        .command(&["/bin/ok"], 0)
        .command(&["/bin/no", "-x"], 3);
    for (yaml, expected) in [
        ("{name: a, check: [/bin/ok]}", "ok: exit status 0"),
        (
            "{name: a, check: [/bin/no, -x], fix: [/bin/fix], undo: [/bin/undo]}",
            "drift: exit status 3, wanted exit status 0",
        ),
        (
            "{name: a, check: [/bin/no, -x]}",
            "drift: exit status 3, wanted exit status 0 (by hand: the policy gives a check and no fix)",
        ),
        (
            "{name: a, check: [/bin/never]}",
            "unknown: not part of this case",
        ),
    ] {
        check(&format!("command: {yaml}"), &host, expected);
    }
    let probe = model::Probe::Command {
        argv: vec!["/bin/no".to_owned()],
        timeout_ms: 2000,
        user: None,
        sockets: false,
    };
    let slow = Host::new().cannot_tell(probe, Reason::TimedOut { after_ms: 2000 });
    check(
        "command: {name: a, check: [/bin/no], timeout_s: 2}",
        &slow,
        "unknown: `/bin/no`: no answer within 2000 ms",
    );
}

#[test]
fn the_way_back_is_as_declared() {
    let host = Host::new().command(&["/bin/no"], 1);
    for (undo, is_irreversible) in [("undo: [/bin/undo]", false), ("irreversible: true", true)] {
        let yaml = format!("command: {{name: a, check: [/bin/no], fix: [/bin/fix], {undo}}}");
        let judgement = judge(&yaml, &host);
        let Judgement::Drift(drifts) = &judgement else {
            panic!("{judgement:?}");
        };
        let [
            Edit::Act {
                inverse: Some(inverse),
                ..
            },
        ] = &drifts[0].edits[..]
        else {
            panic!("{drifts:?}");
        };
        assert_eq!(
            matches!(inverse, Inverse::Irreversible { .. }),
            is_irreversible
        );
    }
}

#[test]
fn mistakes_are_refused() {
    for (yaml, why) in [
        (
            "{name: a, check: []}",
            "`check` begins with the absolute path of a program",
        ),
        (
            "{name: a, check: [ls]}",
            "`check` begins with the absolute path of a program",
        ),
        (
            "{name: a, check: [/a], fix: [/b]}",
            "say how a `fix` is taken back: `undo`, or `irreversible: true`",
        ),
        (
            "{name: a, check: [/a], fix: [/b], undo: [/c], irreversible: true}",
            "a `fix` has an `undo` or is `irreversible`, not both",
        ),
        (
            "{name: a, check: [/a], undo: [/c]}",
            "there is nothing to undo without a `fix`",
        ),
        (
            "{name: a, check: [/a], fix: [/b], undo: [c]}",
            "`undo` begins with the absolute path of a program",
        ),
        (
            "{name: a, check: [/a], timeout_s: 0}",
            "`timeout_s` is 1 to 600 seconds",
        ),
        ("{name: '', check: [/a]}", "a command has a name"),
    ] {
        refused(&format!("command: {yaml}"), why);
    }
}

/// Case F9 of 2026-11-30: no word of why a check failed, and checks that change their account never
/// work.
#[test]
fn a_check_that_fails_says_why() {
    let probe = |user: Option<&str>| model::Probe::Command {
        argv: vec!["/bin/no".to_owned()],
        timeout_ms: 10_000,
        user: user.map(str::to_owned),
        sockets: false,
    };
    let output = |stderr: &str| {
        model::Observed::new(model::Answer::Known(model::Value::Output(
            model::value::Output {
                status: Some(2),
                stdout: String::new(),
                stderr: stderr.to_owned(),
            },
        )))
    };
    let mut answers = resource::Answers::default();
    answers.insert(
        probe(Some("postgres")),
        output("one\ntwo\n\nthree\npassword=hunter2\n"),
    );
    let said = |yaml: &str, answers: &resource::Answers| {
        let resource = crate::support::resource(yaml);
        let Judgement::Drift(drifts) = resource.judge(answers) else {
            panic!("a drift");
        };
        drifts[0].observed.clone()
    };
    assert_eq!(
        said(
            "command: {name: a, check: [/bin/no], user: postgres}",
            &answers
        ),
        "exit status 2: two; three; password=(not shown)"
    );
    for (path, program) in [("/usr/sbin/runuser", "runuser"), ("/bin/su", "su")] {
        refused(
            &format!("command: {{name: a, check: [{path}, -u, postgres, /bin/true]}}"),
            &format!(
                "`{program}` can't change the account in a check, which has no right to: say `user: NAME`"
            ),
        );
    }
}
