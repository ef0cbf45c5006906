//! What people read on a terminal.

use plan::Report;
use steadfast::report::{NextStep, View, human};
use steadfast::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::samples;

fn rendered(report: &Report, view: &View, style: &Style) -> String {
    let mut out = Vec::new();
    human::write(&mut out, report, view, style).expect("a vector takes any bytes");
    String::from_utf8(out).expect("the report is UTF-8")
}

fn view() -> View {
    View {
        next: vec![
            NextStep::new(
                "steadfast plan --rule ssh-empty-password",
                "1 line in 1 file",
            ),
            NextStep::new("steadfast audit --format html --output report.html", ""),
        ],
        ..View::default()
    }
}

#[test]
fn reports_read_as_intended() {
    for (name, report) in samples::all() {
        insta::assert_snapshot!(name, rendered(&report, &view(), &Style::plain(80, true)));
    }
}

#[test]
fn every_severity_can_be_asked_for() {
    let view = View {
        least: Some(model::Severity::Low),
        ..View::default()
    };
    insta::assert_snapshot!(rendered(
        &samples::ordinary(),
        &view,
        &Style::plain(80, true)
    ));
}

#[test]
fn a_narrow_ascii_terminal_is_served() {
    insta::assert_snapshot!(rendered(
        &samples::ordinary(),
        &view(),
        &Style::plain(48, false)
    ));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for (name, report) in samples::all() {
        for width in [40, 60, 80, 100] {
            let text = rendered(&report, &view(), &Style::plain(width, true));
            // What is to be copied is never broken.
            let (shown, _) = text.split_once("\n\nnext ").unwrap_or((&text, ""));
            for line in shown.lines() {
                assert!(
                    line.width() <= width,
                    "{name} at {width}: {} cells: {line}",
                    line.width()
                );
            }
        }
    }
}

#[test]
fn nothing_hostile_reaches_the_terminal() {
    for unicode in [true, false] {
        let text = rendered(&samples::hostile(), &view(), &Style::plain(80, unicode));
        for character in text.chars().filter(|c| *c != '\n') {
            assert!(
                !model::escape::is_hidden(character),
                "U+{:04x} in:\n{text}",
                u32::from(character)
            );
            assert!(unicode || character.is_ascii());
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let plain = Style::plain(80, true);
    let coloured = Style {
        colour: true,
        ..plain.clone()
    };
    for (name, report) in samples::all() {
        let text = rendered(&report, &view(), &coloured);
        assert!(text.contains("\x1b["), "{name} has no colour at all");
        let mut bare = String::new();
        for (at, part) in text.split("\x1b[").enumerate() {
            let part = if at == 0 {
                part
            } else {
                part.split_once('m')
                    .expect("every sequence of ours ends in m")
                    .1
            };
            bare.push_str(part);
        }
        assert_eq!(bare, rendered(&report, &view(), &plain), "{name}");
    }
}
