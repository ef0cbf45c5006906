//! The JSON form: the same report, and harmless to look at.

use plan::Report;
use steadfast::report::json;

use crate::samples;

fn rendered(report: &Report) -> String {
    let mut out = Vec::new();
    json::write(&mut out, report).expect("a vector takes any bytes");
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn reads_back_as_the_same_report() {
    for report in [
        samples::ordinary(),
        samples::as_user(),
        samples::hostile(),
        samples::enormous(),
    ] {
        let read: Report =
            serde_json::from_str(&rendered(&report)).expect("our own JSON reads back");
        assert_eq!(read, report);
    }
}

#[test]
fn holds_no_character_that_a_terminal_obeys() {
    let mut report = samples::hostile();
    // Beyond the basic plane: written as a surrogate pair.
    report.host.kernel = "tag \u{e0041} \u{1f980}".to_owned();
    let text = rendered(&report);
    assert!(text.contains("tag \\udb40\\udc41 \u{1f980}"), "{text}");
    assert!(
        text.chars()
            .all(|c| c == '\n' || !model::escape::is_hidden(c)),
        "{text}"
    );
    assert_eq!(
        serde_json::from_str::<Report>(&text).expect("it reads back"),
        report
    );
}
