//! Files of assignments, in a handful of named syntaxes: `key = value`, `KEY value`,
//! shell variables, and INI sections. One reader, which knows where in the text each
//! value stands, and one writer, which changes that value and nothing else.
//!
//! It knows no program: what a key means, and which files are read, is the business of
//! the kind that asks.

mod scan;
mod write;

use model::printable;

pub use scan::{Assignment, scan};
pub use write::{NotReadBack, set, set_list};

/// How a file of assignments is written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax {
    pub separator: Separator,
    /// The characters that begin a comment, at the start of a line.
    pub comments: &'static str,
    /// Does a comment character end a value as well?
    pub inline_comments: bool,
    /// Is a key without a value a flag that is on? Its value reads as empty.
    pub flags: bool,
    /// Do `[section]` lines divide the file?
    pub sections: bool,
    /// What joins a line with the next one.
    pub continued: Continued,
    /// Are keys, sections and values the same in any letter case?
    pub case: Case,
    /// Which of several assignments of one key counts.
    pub wins: Wins,
}

/// What stands between a key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    Equals,
    Space,
    Colon,
    /// White space, an equals sign, or both.
    EqualsOrSpace,
    /// `=` without white space, and the quoting of sh(1).
    Shell,
}

/// How a value goes on in the next line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Continued {
    /// Each line stands for itself.
    #[default]
    Never,
    /// After a backslash at its end, as systemd and Samba read it.
    Backslash,
    /// Where the next line is indented further, as Python's configparser reads it.
    Indented,
}

/// Whether letter case matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    #[default]
    Sensitive,
    Insensitive,
}

/// Which of several assignments of one key counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wins {
    First,
    #[default]
    Last,
}

impl Syntax {
    /// `key = value`, with `#` and `;` comments: auditd.conf(5), sysctl.d(5).
    pub const EQUALS: Self = Self {
        separator: Separator::Equals,
        comments: "#;",
        inline_comments: false,
        flags: false,
        sections: false,
        continued: Continued::Never,
        case: Case::Sensitive,
        wins: Wins::Last,
    };

    /// `KEY value`, with `#` comments: login.defs(5).
    pub const SPACE: Self = Self {
        separator: Separator::Space,
        comments: "#",
        ..Self::EQUALS
    };

    /// `key: value`, with `#` comments.
    pub const COLON: Self = Self {
        separator: Separator::Colon,
        comments: "#",
        ..Self::EQUALS
    };

    /// `KEY="value"`, as sh(1) reads it: the files of `/etc/default`.
    pub const SHELL: Self = Self {
        separator: Separator::Shell,
        comments: "#",
        ..Self::EQUALS
    };

    /// `key = value` or a bare `flag`, where `#` ends a line: faillock.conf(5),
    /// pwquality.conf(5), pwhistory.conf(5).
    pub const PAM_CONF: Self = Self {
        separator: Separator::EqualsOrSpace,
        comments: "#",
        inline_comments: true,
        flags: true,
        ..Self::EQUALS
    };

    /// login.defs(5) as pam_modutil_search_key of Linux-PAM reads it, which is not as shadow does:
    /// the first line counts, names are the same in any letter case, `=` may stand between, `#`
    /// ends a line, and quotes mean nothing.
    pub const SEARCH_KEY: Self = Self {
        case: Case::Insensitive,
        wins: Wins::First,
        ..Self::PAM_CONF
    };

    /// `key = value` below `[section]` lines.
    pub const INI: Self = Self {
        sections: true,
        ..Self::EQUALS
    };

    /// systemd.syntax(7): INI, where a backslash continues a line.
    pub const SYSTEMD: Self = Self {
        continued: Continued::Backslash,
        ..Self::INI
    };

    pub const fn with_continued(self, continued: Continued) -> Self {
        Self { continued, ..self }
    }

    pub const fn with_case(self, case: Case) -> Self {
        Self { case, ..self }
    }

    pub const fn with_wins(self, wins: Wins) -> Self {
        Self { wins, ..self }
    }

    /// Are these two the same key, section or word here?
    pub fn same(&self, a: &str, b: &str) -> bool {
        match self.case {
            Case::Sensitive => a == b,
            Case::Insensitive => a.eq_ignore_ascii_case(b),
        }
    }

    /// Does `seen` satisfy `expected`, with letter case as it counts here?
    pub fn holds(&self, expected: &model::Expectation, seen: &str) -> bool {
        match self.case {
            Case::Sensitive => expected.holds(seen),
            Case::Insensitive => expected.holds_ignoring_case(seen),
        }
    }

    /// The assignment that counts for `key`, in `section` (empty: before the first one).
    pub fn effective<'t>(&self, text: &'t str, section: &str, key: &str) -> Option<Assignment<'t>> {
        let mut all = scan(text, *self)
            .assignments
            .into_iter()
            .filter(|one| self.same(one.section, section) && self.same(one.key, key));
        match self.wins {
            Wins::First => all.next(),
            Wins::Last => all.next_back(),
        }
    }

    /// Refuses what can't be written so that it reads back the same; the text says which part.
    pub fn check(&self, section: &str, key: &str, value: &str) -> Result<(), String> {
        let is_line = !value.contains(['\n', '\r', '\0']);
        if is_line && set("", *self, section, key, value).is_ok() {
            return Ok(());
        }
        let place = if section.is_empty() {
            printable(key.as_bytes())
        } else {
            format!(
                "[{}] {}",
                printable(section.as_bytes()),
                printable(key.as_bytes())
            )
        };
        Err(format!(
            "`{place}` with the value `{}` can't be written in this syntax",
            printable(value.as_bytes())
        ))
    }
}
