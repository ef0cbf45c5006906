//! Files of assignments: nothing that is in one may stop the reader, and what the writer sets is
//! what the reader then sees.

use resource::syntax::{Assignment, Syntax, scan, set};

const SYNTAXES: [Syntax; 7] = [
    Syntax::EQUALS,
    Syntax::SPACE,
    Syntax::COLON,
    Syntax::SHELL,
    Syntax::PAM_CONF,
    Syntax::INI,
    Syntax::SYSTEMD,
];

pub fn run(text: &str) {
    for syntax in SYNTAXES {
        let found = scan(text, syntax);
        assert!(found.assignments.len() <= text.lines().count());
        let Ok(written) = set(text, syntax, "", "key", "value") else {
            continue;
        };
        let found = scan(&written, syntax);
        let is_ours = |a: &&Assignment<'_>| a.section.is_empty() && a.key == "key";
        assert!(
            found
                .assignments
                .iter()
                .filter(is_ours)
                .any(|a| a.value == "value"),
            "{written:?}"
        );
    }
}
