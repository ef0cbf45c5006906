//! The reference pages, written from what the program itself is made of: the command line's
//! grammar, the kinds' schemas, the exit codes. It says nothing that the code does not.

mod commands;
mod exit_codes;
mod kinds;

pub use kinds::EXAMPLES;

/// A page of `docs/reference/`.
pub struct Page {
    pub file: &'static str,
    pub text: String,
}

/// All pages, in the order of their names.
pub fn pages() -> Vec<Page> {
    vec![
        Page {
            file: "commands.md",
            text: commands::page(),
        },
        Page {
            file: "exit-codes.md",
            text: exit_codes::page(),
        },
        Page {
            file: "kinds.md",
            text: kinds::page(),
        },
    ]
}

/// The first line of each page.
const HEADER: &str = "<!-- Written by `cargo xtask docs`; do not edit. -->\n\n";

/// Text for a cell of a table: on one line, and without an end of the cell in it.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}
