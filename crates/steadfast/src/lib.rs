//! The `steadfast` program: one file per command, rendering, and exit codes.
//!
//! Only this room prints: data to standard output, words for people to standard error.
//! It decides nothing about a host and touches none: `plan` and `host` do.

pub mod assessing;
pub mod cli;
pub mod commands;
pub mod context;
pub mod duration;
pub mod exit;
pub mod failure;
pub mod input;
pub mod layout;
pub mod left_out;
pub mod named_change;
pub mod output;
pub mod packages_stage;
pub mod params;
pub mod progress;
pub mod prove;
pub mod reference;
pub mod report;
pub mod show;
pub mod still_open;
pub mod style;
pub mod suggest;
pub mod survey;
pub mod typed;

use std::fmt;
use std::io::{IsTerminal, Write};

use layout::{Paper, Text};
use style::Style;

/// A line for people, on standard error. Nobody reads it when that is closed. Where it goes to a
/// terminal, it is broken between words; what is written to a file is one line for each thing said.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let mut err = std::io::stderr().lock();
    let text = line.to_string();
    let _ = match err.is_terminal() && !text.contains('\n') {
        true => wrapped(&mut err, &text, &Style::for_stderr()),
        false => writeln!(err, "{text}"),
    };
}

/// A sentence over as many lines as it takes. The command at its end stays in one piece.
fn wrapped(out: &mut dyn Write, text: &str, style: &Style) -> std::io::Result<()> {
    Paper::new(out, style).line(&Text::new().sentence(text))
}

#[cfg(test)]
mod tests {
    use super::{Style, wrapped};

    #[test]
    fn a_long_line_is_broken_between_words_and_its_command_is_not() {
        let mut out = Vec::new();
        let text = "change c-4 could not be taken back: what it touched was changed by someone \
                    else since, in 3 places that are named above; next: sudo steadfast recover c-4 \
                    --state /srv/a/long/place/for/what/steadfast/keeps/of/this/host";
        wrapped(&mut out, text, &Style::plain(60, true)).expect("a vector takes any bytes");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "change c-4 could not be taken back: what it touched was\n\
             changed by someone else since, in 3 places that are named\n\
             above; next:\n\
             sudo steadfast recover c-4 --state /srv/a/long/place/for/what/steadfast/keeps/of/this/host\n"
        );
    }
}
