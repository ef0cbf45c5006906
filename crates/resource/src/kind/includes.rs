//! Files that include others by a pattern in the last part of a path, as ldconfig(8) and
//! rsyslogd(8) read them: all lines in reading order, each with its place.

use model::value::Reason;
use model::{HostPath, Probe, SourceLine};

use super::files_where::glob_matches;
use crate::{Answers, Seen};

/// Deeper than any configuration; beyond it, what follows is reported as not read.
const DEEPEST: usize = 16;
const MOST_FILES: usize = 512;

/// What a line asks to be read in its place.
pub enum Include<'a> {
    /// A path, whose last part may be a pattern of glob(7).
    Pattern(&'a str),
    /// It includes something, and what is not understood.
    NotUnderstood,
}

/// A main file and all that it includes, as far as the answers tell.
#[derive(Debug, Default)]
pub struct Included {
    /// Lines that include nothing, without their ends.
    pub lines: Vec<(SourceLine, String)>,
    /// The files that are there.
    pub files: Vec<HostPath>,
    /// The directories whose names decide what is read.
    pub directories: Vec<HostPath>,
    /// Why lines may be missing, where some may.
    pub hidden: Option<Reason>,
    /// All that is needed to read it.
    pub probes: Vec<Probe>,
}

/// Reads `main`; `include` says of a line whether it includes something. `continued`: a backslash at
/// the end of a line joins the next one.
pub fn read(
    seen: &Answers,
    main: &HostPath,
    include: fn(&str) -> Option<Include<'_>>,
    continued: bool,
) -> Included {
    let mut reader = Reader {
        seen,
        include,
        continued,
        found: Included::default(),
    };
    reader.file(main, 0);
    reader.found
}

struct Reader<'a> {
    seen: &'a Answers,
    include: fn(&str) -> Option<Include<'_>>,
    continued: bool,
    found: Included,
}

impl Reader<'_> {
    fn hide(&mut self, reason: Reason) {
        self.found.hidden.get_or_insert(reason);
    }

    fn file(&mut self, path: &HostPath, depth: usize) {
        if depth > DEEPEST || self.found.files.len() == MOST_FILES {
            let why = format!("{path}: too many included files");
            return self.hide(Reason::Malformed { why });
        }
        self.found.probes.push(Probe::file(path.clone()));
        let content = match self.seen.file(path) {
            Seen::Known(file) => &file.content,
            Seen::Absent => return,
            Seen::Unknown(reason) => {
                // Who may change it is known all the same.
                self.found.files.push(path.clone());
                return self.hide(reason);
            }
            Seen::NotAsked => return self.hide(not_read(path)),
        };
        self.found.files.push(path.clone());
        let text = String::from_utf8_lossy(content.as_bytes());
        let mut lines = (1..).zip(text.lines());
        while let Some((number, first)) = lines.next() {
            let mut line = first.to_owned();
            while self.continued && line.ends_with('\\') && !line.trim_start().starts_with('#') {
                line.pop();
                match lines.next() {
                    Some((_, more)) => line.push_str(more),
                    None => break,
                }
            }
            let at = || SourceLine::new(path.clone(), number);
            match (self.include)(&line) {
                None => self.found.lines.push((at(), line)),
                Some(Include::Pattern(pattern)) => self.pattern(path, pattern, depth),
                Some(Include::NotUnderstood) => {
                    let why = format!("{}: this include is not understood", at());
                    self.hide(Reason::Malformed { why });
                }
            }
        }
    }

    fn pattern(&mut self, from: &HostPath, pattern: &str, depth: usize) {
        // A directory means all that is in it.
        let whole = match pattern.ends_with('/') {
            true => format!("{pattern}*"),
            false => pattern.to_owned(),
        };
        let absolute = match (whole.starts_with('/'), from.parent()) {
            (false, Some(parent)) => format!("{parent}/{whole}"),
            _ => whole,
        };
        let not_understood = || Reason::Malformed {
            why: format!(
                "{from}: include of `{}` is not understood",
                model::printable(pattern.as_bytes())
            ),
        };
        let Ok(path) = HostPath::from_bytes(absolute.as_bytes()) else {
            return self.hide(not_understood());
        };
        let is_pattern = |bytes: &[u8]| bytes.iter().any(|byte| b"*?[{\\".contains(byte));
        if !is_pattern(path.as_bytes()) {
            return self.file(&path, depth + 1);
        }
        let Some(directory) = path.parent() else {
            return;
        };
        let name = path.file_name();
        if is_pattern(directory.as_bytes()) || name.iter().any(|byte| b"[{\\".contains(byte)) {
            return self.hide(not_understood());
        }
        self.found.probes.push(Probe::Dir {
            path: directory.clone(),
        });
        match self.seen.dir(&directory) {
            Seen::Known(entries) => {
                self.found.directories.push(directory.clone());
                let names = entries.iter().map(|entry| entry.name.as_bytes());
                let mut names: Vec<&[u8]> = names
                    .filter(|entry| !entry.starts_with(b".") && glob_matches(name, entry))
                    .collect();
                names.sort_unstable();
                for name in names {
                    if let Ok(path) = directory.join(name) {
                        self.file(&path, depth + 1);
                    }
                }
            }
            Seen::Absent => {}
            Seen::Unknown(reason) => self.hide(reason),
            Seen::NotAsked => self.hide(not_read(&directory)),
        }
    }
}

fn not_read(path: &HostPath) -> Reason {
    Reason::Failed {
        why: format!("{path} was not read"),
    }
}
