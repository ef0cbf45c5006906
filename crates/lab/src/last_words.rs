//! What a person needs to see at once when a test on a host fails: the failure, the last command and how it ended, and what the host
//! itself says. It is told when the host goes, so that it stands last, in at most twenty lines.

use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::time::Duration;

use crate::command::tail;
use crate::{Exec, Output, Result};

/// Before what is told; whoever sums a test run up looks for it.
pub const MARK: &str = "-- at once:";

/// Lines of each part, the failure's first: they say what was looked for and what was there. Together with the mark, the command and the
/// units they are twenty.
const LINES_OF_FAILURE: usize = 11;
const LINES_SAID: usize = 4;
const LINES_OF_JOURNAL: usize = 2;
/// Of a longer failure so many come from its beginning; its end is what the program said last.
const LINES_OF_BEGINNING: usize = 3;
/// So much of a line is read at once.
const LETTERS: usize = 200;
/// A host that does not answer is not waited for.
const LIMIT: Duration = Duration::from_secs(5);

static TELL: OnceLock<fn(&str)> = OnceLock::new();

thread_local! {
    static FAILURE: RefCell<Option<String>> = const { RefCell::new(None) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Nothing that is asked for this is itself noted.
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
}

/// From now on, a host that goes while a test fails is asked for its last words, which `tell` prints.
pub fn tell_failures(tell: fn(&str)) {
    if TELL.set(tell).is_err() {
        return;
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        FAILURE.set(Some(failure(info)));
        usual(info);
    }));
}

fn failure(info: &PanicHookInfo<'_>) -> String {
    let said = info.payload_as_str().unwrap_or("it panicked");
    match info.location() {
        Some(place) => format!("{}:{}: {said}", place.file(), place.line()),
        None => said.to_owned(),
    }
}

/// A command on a host has ended.
pub(crate) fn note(line: &str, output: &Output) {
    if TELL.get().is_none() || IS_TOLD.get() {
        return;
    }
    let said = match output.stderr.is_empty() {
        true => &output.stdout,
        false => &output.stderr,
    };
    let said = last_lines(&tail(said), LINES_SAID);
    LAST.set(Some(format!("`{}`: {}\n{said}", cut(line), output.status)));
}

/// A host goes while a test fails.
pub(crate) fn tell(host: &dyn Fn(&Exec) -> Result<Output>) {
    let Some(tell) = TELL.get() else {
        return;
    };
    IS_TOLD.set(true);
    let ask = |argv: &[&str]| -> String {
        let said = host(&Exec::new(argv).limit(LIMIT)).and_then(Output::ok);
        said.unwrap_or_else(|error| format!("the host does not answer: {error}"))
    };
    let failed = ask(&[
        "systemctl",
        "list-units",
        "--failed",
        "--plain",
        "--no-legend",
    ]);
    let failed: Vec<&str> = failed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let lines = LINES_OF_JOURNAL.to_string();
    let journal = [
        "journalctl",
        "--boot",
        "--no-pager",
        "--quiet",
        "--output=short",
    ];
    let journal = ask(&[&journal[..], &["--priority=warning", "--lines", &lines]].concat());
    IS_TOLD.set(false);
    let failure = FAILURE.take();
    let command = LAST.take();
    let command = command.map(|said| unless_said(failure.as_deref().unwrap_or_default(), said));
    let parts = [
        ("failed", failure.as_deref().map(both_ends)),
        ("command", command),
        (
            "units",
            (!failed.is_empty()).then(|| cut(&format!("failed: {}", failed.join(" ")))),
        ),
        ("journal", Some(last_lines(&journal, LINES_OF_JOURNAL))),
    ];
    let mut text = MARK.to_owned();
    for (name, part) in parts {
        for (place, line) in part.iter().flat_map(|part| part.lines()).enumerate() {
            let name = if place == 0 { name } else { "" };
            text += &format!("\n{name:<8} {line}");
        }
    }
    tell(&text);
}

/// The command alone, where the failure itself holds what it said.
fn unless_said(failure: &str, said: String) -> String {
    let mut lines = said.lines();
    let command = lines.next().unwrap_or_default().to_owned();
    match lines.all(|line| failure.contains(line.trim_end_matches(" ..."))) {
        true => command,
        false => said,
    }
}

/// The whole failure, or its beginning and its end.
fn both_ends(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let mut shown: Vec<String> = lines.iter().map(|line| cut(line)).collect();
    if let Some(more) = lines
        .len()
        .checked_sub(LINES_OF_FAILURE)
        .filter(|more| *more > 0)
    {
        // The line that says so takes the place of one.
        let end = LINES_OF_BEGINNING + more + 1;
        shown.splice(
            LINES_OF_BEGINNING..end,
            [format!("... {} lines ...", more + 1)],
        );
    }
    shown.join("\n")
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(count)..];
    last.iter()
        .map(|line| cut(line))
        .collect::<Vec<_>>()
        .join("\n")
}

fn cut(line: &str) -> String {
    let line = line.replace('\n', "; ");
    match line.char_indices().nth(LETTERS) {
        Some((at, _)) => format!("{} ...", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES_OF_FAILURE, both_ends, unless_said};

    #[test]
    fn a_failure_is_whole_or_has_both_ends() {
        assert_eq!(both_ends("a\n\nb"), "a\nb");
        let long: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
        let shown = both_ends(&long.join("\n"));
        assert_eq!(shown.lines().count(), LINES_OF_FAILURE);
        assert_eq!(
            shown,
            "1\n2\n3\n... 10 lines ...\n14\n15\n16\n17\n18\n19\n20"
        );
    }

    #[test]
    fn what_a_command_said_is_shown_once() {
        let said = "`x`: exit status: 0\nb\nc".to_owned();
        assert_eq!(
            unless_said("no d in: a\nb\nc", said.clone()),
            "`x`: exit status: 0"
        );
        assert_eq!(unless_said("left 1, right 2", said.clone()), said);
    }
}
