//! A booted host whose disk is full: its state directory, `/etc` and everything else are on
//! one file system without a free byte, and services run from it.

use host::{Applied, Create, State, Undone, Verdict};
use lab::{Container, Options};
use model::{Effect, UnitOp};

use crate::bench::{assert_same, options, put};
use crate::change_full::fill;
use crate::change_live::{STATE, commit, etc, host, plan, run, state, unit};
use crate::scenes::{self, RELEASES, SCENE};

/// The host's own files are below; what changes has to fit.
const DISK_BYTES: u64 = 48 << 20;

#[test]
fn a_host_without_a_free_byte() {
    let start = |image: &lab::Image| {
        let disk = Options {
            disk_bytes: DISK_BYTES,
            // A copy of it would not fit.
            binds: vec![(
                std::env::current_exe().expect("this program"),
                scenes::COPY.into(),
            )],
            ..Options::default()
        };
        Container::start_with(image, disk).expect("a host boots")
    };
    scenes::on_hosts("lab_full::inside", &RELEASES, ["full"], &start);
}

/// In a lab host.
#[test]
#[ignore = "played in a lab host by the test above"]
fn inside() {
    if std::env::var(SCENE).is_err() {
        return;
    }
    full();
    println!("scene played");
}

fn told() -> Vec<Effect> {
    vec![
        put("/etc/ssh/sshd_config.d/10-test.conf", "MaxAuthTries 3\n"),
        unit("ssh.service", UnitOp::Reload),
    ]
}

fn ssh() -> String {
    run(&["/usr/bin/systemctl", "is-active", "ssh.service"])
}

fn full() {
    let disk = std::path::Path::new("/");
    let before = etc();
    let id = commit(&plan(told()));
    let planned = etc();
    fill(disk);

    // Another change is refused as a whole.
    let applied = host::apply(
        &host(),
        &state(),
        &plan([put("/etc/more.conf", "more\n")]),
        &options(),
        &|_| Verdict::default(),
        &mut |_| {},
    );
    // The reserve of the change before is still there, so this one may be begun; then its
    // first write fails, and it is taken back.
    match &applied {
        Err(error) => assert!(error.is_full(), "{error}"),
        Ok(Applied::TakenBack { verified: true, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_same(&planned, &etc(), "refused or taken back");

    let undone = host::undo(&host(), &state(), id, &options(), &mut |_| {});
    assert!(
        matches!(&undone, Ok(Undone::Done { merged, .. }) if merged.is_empty()),
        "{undone:?}"
    );
    assert_same(&before, &etc(), "undone");
    assert_eq!(ssh(), "active");

    // It fills up between the actions and the verdict.
    std::fs::remove_file("/filler").expect("removed");
    let applied = host::apply(
        &host(),
        &state(),
        &plan(told()),
        &options(),
        &|_| {
            fill(disk);
            Verdict {
                failed: vec![("a test".to_owned(), "so it goes back".to_owned())],
                ..Verdict::default()
            }
        },
        &mut |_| {},
    );
    assert!(
        matches!(&applied, Ok(Applied::TakenBack { verified: true, .. })),
        "{applied:?}"
    );
    assert_same(&before, &etc(), "taken back");
    assert_eq!(ssh(), "active");
    let state = State::open(std::path::Path::new(STATE), Create::No).expect("it opens");
    assert!(state.pending().expect("a list").is_empty());
}
