//! What the environment says about the terminal.

use steadfast::style::{Sign, Style};

#[track_caller]
fn check(terminal: bool, columns: Option<usize>, environment: &[(&str, &str)], wanted: Style) {
    let got = Style::from_environment(terminal, columns, |name| {
        environment
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    });
    assert_eq!(got, wanted, "{terminal} {columns:?} {environment:?}");
}

const fn style(colour: bool, width: usize, unicode: bool) -> Style {
    Style {
        colour,
        width,
        unicode,
    }
}

#[test]
fn follows_the_environment() {
    let utf8 = ("LANG", "en_GB.UTF-8");
    check(true, Some(90), &[utf8], style(true, 90, true));
    check(false, None, &[utf8], style(false, 80, true));
    check(
        true,
        Some(90),
        &[utf8, ("NO_COLOR", "1")],
        style(false, 90, true),
    );
    // no-color.org: an empty value counts as not set.
    check(
        true,
        Some(90),
        &[utf8, ("NO_COLOR", "")],
        style(true, 90, true),
    );
    check(
        true,
        Some(90),
        &[utf8, ("TERM", "dumb")],
        style(false, 90, true),
    );
    check(
        true,
        Some(90),
        &[utf8, ("LC_ALL", "C")],
        style(true, 90, false),
    );
    check(
        true,
        Some(90),
        &[("LC_CTYPE", "C.utf8")],
        style(true, 90, true),
    );
    check(true, Some(90), &[], style(true, 90, false));
    check(true, Some(300), &[utf8], style(true, 100, true));
    check(true, Some(12), &[utf8], style(true, 40, true));
    check(true, Some(0), &[utf8], style(true, 80, true));
}

#[test]
fn signs_have_ascii_forms() {
    for sign in [
        Sign::Done,
        Sign::Failed,
        Sign::Waiting,
        Sign::To,
        Sign::Bar,
        Sign::More,
    ] {
        assert!(Style::plain(80, false).sign(sign).is_ascii());
        assert!(!Style::plain(80, true).sign(sign).is_ascii());
    }
}
