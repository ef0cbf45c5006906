//! Which tests failed in a phase, and of each the lines that a person needs to see at once: what
//! nextest's JUnit report holds of it. They stand at the end of a run, within a screen.

use std::fs;
use std::path::PathBuf;

use crate::process::target;

/// The end of a run, as it is read at once.
const LINES: usize = 18;
/// Of one test at least so many.
const LEAST_LINES: usize = 3;
/// So much of a line.
const LETTERS: usize = 200;

/// A test that failed.
pub struct Failed {
    name: String,
    essential: Vec<String>,
}

/// The report of a profile, which goes before a run: an old one says nothing of it.
fn report(profile: &str) -> PathBuf {
    target().join("nextest").join(profile).join("junit.xml")
}

pub fn forget(profile: &str) {
    // What is not there is forgotten already.
    let _ = fs::remove_file(report(profile));
}

/// The tests that failed in the last run of a profile. None are found where none were run.
pub fn of(profile: &str) -> Vec<Failed> {
    fs::read_to_string(report(profile)).map_or_else(|_| Vec::new(), |text| read(&text))
}

fn read(report: &str) -> Vec<Failed> {
    let Ok(document) = roxmltree::Document::parse(report) else {
        return Vec::new();
    };
    let cases = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    cases
        .filter_map(|case| {
            let of = |tag: &str| {
                let mut within = case.children();
                within.find(|node| node.has_tag_name(tag))
            };
            let failure = of("failure").or_else(|| of("error"))?;
            // What a test says of its failure; libtest's own list of it is on the other stream,
            // and counts where there is nothing else.
            let said = ["system-err", "system-out"].into_iter().filter_map(of);
            let mut said = said.filter_map(|node| node.text()).map(essential);
            let essential = said.find(|lines| !lines.is_empty());
            let mut essential = essential.unwrap_or_default();
            if essential.is_empty() {
                // It was stopped, or ended without a word.
                essential.extend(failure.attribute("message").map(str::to_owned));
            }
            Some(Failed {
                name: case.attribute("name").unwrap_or("a test").to_owned(),
                essential,
            })
        })
        .collect()
}

/// From the lab's own summary on, where there is one; else from the panic, without its backtrace.
fn essential(said: &str) -> Vec<String> {
    let lines: Vec<&str> = said.lines().collect();
    let marked = lines.iter().rposition(|line| *line == lab::MARK);
    let first = match marked {
        Some(mark) => mark + 1,
        None => lines
            .iter()
            .position(|line| line.contains("panicked at"))
            .unwrap_or(0),
    };
    let mut in_backtrace = false;
    let wanted = |line: &&&str| {
        // Its lines are indented.
        in_backtrace =
            line.starts_with("stack backtrace:") || in_backtrace && line.starts_with(' ');
        !in_backtrace && !line.trim().is_empty() && !is_noise(line)
    };
    lines[first..]
        .iter()
        .filter(wanted)
        .take(LINES)
        .map(|line| line.chars().take(LETTERS).collect())
        .collect()
}

/// What the test harness prints around every failure.
fn is_noise(line: &str) -> bool {
    let line = line.trim();
    let begins = [
        "note: run with",
        "note: Some details",
        "running ",
        "test result: ",
    ];
    line == "failures:"
        || begins.iter().any(|begin| line.starts_with(begin))
        || line.starts_with("test ") && (line.ends_with("FAILED") || line.ends_with(" seconds"))
}

/// All of them, each with its lines, shortened so that the whole is read at once.
pub fn summary(failed: &[Failed]) -> Vec<String> {
    let each = (LINES / failed.len().max(1)).max(LEAST_LINES);
    let mut lines = Vec::new();
    for test in failed {
        lines.push(format!("FAILED {}", test.name));
        let shown = test.essential.iter().take(each - 1);
        lines.extend(shown.map(|line| format!("  {line}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{LINES, read, summary};

    fn report(cases: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><testsuites><testsuite name=\"it\">{cases}</testsuite></testsuites>"
        )
    }

    fn failing(name: &str, errors: &str) -> String {
        format!(
            "<testcase name=\"{name}\"><failure message=\"m\" type=\"test failure\">f</failure>\
             <system-out>running 1 test\ntest {name} ... FAILED\n\nfailures:\n\nfailures:\n    {name}\n\n\
             test result: FAILED. 0 passed; 1 failed</system-out>\
             <system-err>{errors}</system-err></testcase>"
        )
    }

    #[test]
    fn what_failed_is_said_within_a_screen() {
        let long = "diff\n".repeat(100);
        let plain = "noise\nthread 'a' panicked at src/a.rs:1:2:\nleft &lt; right\n\
             stack backtrace:\n   0: core::panicking::panic_fmt\n             at a.rs:1\n\
             note: Some details are omitted\nc holds the input";
        let on_host = format!(
            "thread 'b' panicked at src/b.rs:1:2:\n{long}{}\nfailed   src/b.rs:1: no\ncommand  `x`: 4",
            lab::MARK
        );
        let passing = "<testcase name=\"passes\"></testcase>";
        let one = read(&report(&[passing, &failing("b", &on_host)].concat()));
        assert_eq!(
            summary(&one),
            ["FAILED b", "  failed   src/b.rs:1: no", "  command  `x`: 4"]
        );
        let both = read(&report(
            &[failing("a", plain), failing("b", &on_host)].concat(),
        ));
        let said = summary(&both);
        assert_eq!(
            said,
            [
                "FAILED a",
                "  thread 'a' panicked at src/a.rs:1:2:",
                "  left < right",
                "  c holds the input",
                "FAILED b",
                "  failed   src/b.rs:1: no",
                "  command  `x`: 4"
            ]
        );
        let whole = format!("thread 'd' panicked at src/d.rs:1:2:\n{long}");
        let said = summary(&read(&report(&failing("d", &whole))));
        assert_eq!(said.len(), LINES, "{said:?}");
        let silent = "<testcase name=\"c\"><failure message=\"timed out\"/></testcase>";
        assert_eq!(summary(&read(&report(silent))), ["FAILED c", "  timed out"]);
        assert!(read("no report").is_empty());
    }
}
