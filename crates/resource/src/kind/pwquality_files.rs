//! pwquality.conf(5) as libpwquality reads it: the files of its directory in the order of their
//! bytes, then the file itself, and nothing more after the first line that it does not take.
//! pam_pwquality(8) logs that, and goes on with what was read so far.

use model::{HostPath, SourceLine};

/// A line with its newline has to fit into this buffer of libpwquality, with a zero byte after it.
const BUFFER: usize = 1024;

/// Numbers, by name.
const NUMBERS: [&str; 16] = [
    "dcredit",
    "dictcheck",
    "difok",
    "enforcing",
    "gecoscheck",
    "lcredit",
    "maxclassrepeat",
    "maxrepeat",
    "maxsequence",
    "minclass",
    "minlen",
    "ocredit",
    "retry",
    "ucredit",
    "usercheck",
    "usersubstr",
];
/// Texts and flags: whatever their value is, it is taken.
const OTHERS: [&str; 4] = [
    "badwords",
    "dictpath",
    "enforce_for_root",
    "local_users_only",
];

/// Where an option is set.
#[derive(Debug, PartialEq, Eq)]
pub struct Set {
    pub at: SourceLine,
    pub text: String,
    pub value: String,
}

/// What the files say of an option, and the line at which they are not read any further.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub set: Option<Set>,
    pub stopped: Option<SourceLine>,
}

/// Files in the order in which they are read.
pub fn look(files: &[(HostPath, String)], option: &str) -> Found {
    let mut found = Found::default();
    for (path, text) in files {
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let at = || SourceLine::new(path.clone(), number);
            match read(line) {
                Line::Nothing => {}
                Line::NotTaken => {
                    found.stopped = Some(at());
                    return found;
                }
                Line::Set { name, value } if name.eq_ignore_ascii_case(option) => {
                    found.set = Some(Set {
                        at: at(),
                        text: line.trim_end_matches(['\n', '\r']).to_owned(),
                        value: value.to_owned(),
                    });
                }
                Line::Set { .. } => {}
            }
        }
    }
    found
}

enum Line<'t> {
    Nothing,
    Set { name: &'t str, value: &'t str },
    NotTaken,
}

fn read(line: &str) -> Line<'_> {
    // What is cut off by the buffer's end has no newline at its end.
    let most = BUFFER - 1;
    if line.len() > most || (line.len() == most && !line.ends_with('\n')) {
        return Line::NotTaken;
    }
    let is_space = |c: char| c.is_ascii_whitespace() || c == '\x0b';
    let text = line.split('#').next().unwrap_or_default();
    let text = text.trim_matches(is_space);
    if text.is_empty() {
        return Line::Nothing;
    }
    let end = text
        .find(|c: char| is_space(c) || c == '=')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start_matches(is_space);
    let value = rest
        .strip_prefix('=')
        .unwrap_or(rest)
        .trim_start_matches(is_space);
    let is_one_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let is_taken = match is_one_of(&NUMBERS) {
        true => value.parse::<i32>().is_ok(),
        false => is_one_of(&OTHERS),
    };
    match is_taken {
        true => Line::Set { name, value },
        false => Line::NotTaken,
    }
}
