//! Edits: what a kind wants done, before the planner folds edits of one path into
//! one effect. An edit of a file's content is a pure function of the content, and
//! leaves alone every line that it is not about.

use std::ops::Range;

use model::{Blob, Effect, HostPath, Inverse, Mode};

use crate::kind::pam::PamModule;
use crate::kind::pam_call;
use crate::mount;
use crate::syntax::{self, Syntax};

/// One thing to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Change a file's content. Several of these on one path become one effect.
    Content {
        path: HostPath,
        change: ContentEdit,
        /// How to make the file when there is none. None: the file must be there.
        new_file: Option<NewFile>,
        /// Write with this account's rights, because the path lies in its home.
        as_user: Option<String>,
    },
    /// Change metadata of the path. Folds with content edits of the same path.
    Meta {
        path: HostPath,
        mode: Option<Mode>,
        owner: Option<String>,
        group: Option<String>,
        drop_capabilities: bool,
        /// Also take its ACL away (acl(5)).
        drop_acl: bool,
    },
    /// Anything else, as it is.
    Act {
        effect: Effect,
        /// Where the planner can't work it out from the observation alone.
        inverse: Option<Inverse>,
    },
}

impl Edit {
    pub fn act(effect: Effect) -> Self {
        Self::Act {
            effect,
            inverse: None,
        }
    }
}

/// Metadata of a file that an edit creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    pub mode: Mode,
    pub owner: String,
    pub group: String,
}

impl Default for NewFile {
    fn default() -> Self {
        Self {
            mode: Mode::new(0o644),
            owner: "root".to_owned(),
            group: "root".to_owned(),
        }
    }
}

/// A change of a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentEdit {
    /// The whole file.
    Whole(Blob),
    /// Replace the line that reads `old` (without its newline) and is nearest to line
    /// `line` (from 1) with `new` lines; an empty list removes it.
    ReplaceLine {
        line: u32,
        old: String,
        new: Vec<String>,
    },
    /// Put `instead` in the place of the bytes `from..to` of the line that reads `old`. Where
    /// another edit changed a different piece of that line first, the nearest line that begins
    /// with the same word and holds the same piece is meant. A line of which only white space
    /// is left goes away.
    Piece {
        line: u32,
        old: String,
        from: usize,
        to: usize,
        instead: String,
    },
    /// Put lines before the line that reads `before` and is nearest to `line`.
    InsertBefore {
        line: u32,
        before: String,
        new: Vec<String>,
    },
    /// Put a line at the end, unless one that reads the same is there.
    Append(String),
    /// Give a key its value, as [`syntax::set`] does.
    Assign {
        syntax: Syntax,
        /// Empty: before the first `[section]`, or where there are none.
        section: String,
        key: String,
        value: String,
    },
    /// Make a key that adds up, as systemd's lists do, say this and nothing else: what was
    /// read before is reset first (systemd.unit(5)).
    AssignList {
        section: String,
        key: String,
        value: String,
    },
    /// Call a PAM module in the stack of one file of pam.d(5), as [`pam_call::turn_on`] does;
    /// `extra` follows its arguments.
    PamModule { module: PamModule, extra: String },
    /// Add mount options to the line of a path in fstab(5).
    Fstab {
        path: String,
        options: Vec<String>,
        /// Added when there is no line for the path. None: there must be one.
        new_line: Option<String>,
    },
    /// Add mount options to a drop-in of a mount unit. `base` is what the unit has without it.
    MountUnit { base: String, options: Vec<String> },
}

/// An edit does not fit the content: someone else's edit of the same line went first,
/// or the content is not text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("line {line} no longer reads `{}`", model::printable(.old.as_bytes()))]
    LineGone { line: u32, old: String },
    #[error("`{}` can't be set: it would not read back from this file", model::printable(.key.as_bytes()))]
    NotReadBack { key: String },
    #[error("there is no longer {what}")]
    NoSuchLine { what: String },
    #[error("the file is not UTF-8 text")]
    NotText,
}

impl ContentEdit {
    /// The content after this edit. `current` is none for a file that is not there.
    pub fn apply(&self, current: Option<&[u8]>) -> Result<Vec<u8>, EditError> {
        if let Self::Whole(content) = self {
            return Ok(content.as_bytes().to_vec());
        }
        let text = str::from_utf8(current.unwrap_or_default()).map_err(|_| EditError::NotText)?;
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut out = String::with_capacity(text.len() + 80);
        match self {
            Self::Whole(_) => {}
            Self::ReplaceLine { line, old, new } => {
                let at = nearest(&lines, *line, old)?;
                // The last line of a file without a final newline stays without one.
                let ending = line_ending(lines[at]);
                let between = if ending.is_empty() { "\n" } else { ending };
                let mut replacement = new.join(between);
                if !new.is_empty() {
                    replacement.push_str(ending);
                }
                lines[at] = &replacement;
                out.extend(lines);
            }
            Self::Piece {
                line,
                old,
                from,
                to,
                instead,
            } => {
                let (at, range) = nearest_piece(&lines, *line, old, *from..*to)?;
                let mut changed = lines[at].to_owned();
                changed.replace_range(range, instead);
                if changed.trim().is_empty() {
                    changed.clear();
                }
                lines[at] = &changed;
                out.extend(lines);
            }
            Self::InsertBefore { line, before, new } => {
                let at = nearest(&lines, *line, before)?;
                let ending = if lines[at].ends_with("\r\n") {
                    "\r\n"
                } else {
                    "\n"
                };
                let inserted: String = new.iter().map(|new| format!("{new}{ending}")).collect();
                lines.insert(at, &inserted);
                out.extend(lines);
            }
            Self::Append(line) => {
                if lines.iter().any(|seen| bare(seen) == line) {
                    return Ok(text.as_bytes().to_vec());
                }
                out.push_str(text);
                if !text.is_empty() && !text.ends_with('\n') {
                    out.push('\n');
                }
                out.push_str(line);
                out.push('\n');
            }
            Self::Assign {
                syntax,
                section,
                key,
                value,
            } => {
                out = syntax::set(text, *syntax, section, key, value)
                    .map_err(|_| EditError::NotReadBack { key: key.clone() })?;
            }
            Self::AssignList {
                section,
                key,
                value,
            } => {
                out = syntax::set_list(text, section, key, value)
                    .map_err(|_| EditError::NotReadBack { key: key.clone() })?;
            }
            Self::PamModule { module, extra } => {
                out = pam_call::turn_on(text, *module, extra).ok_or_else(|| {
                    EditError::NoSuchLine {
                        what: "a password check where Debian has it".to_owned(),
                    }
                })?;
            }
            Self::Fstab {
                path,
                options,
                new_line,
            } => out = mount::set_fstab(text, path, options, new_line.as_deref())?,
            Self::MountUnit { base, options } => out = mount::set_unit(text, base, options)?,
        }
        Ok(out.into_bytes())
    }
}

impl ContentEdit {
    /// Is it about lines as they were observed? Making such an edit twice says nothing.
    pub const fn is_about_lines(&self) -> bool {
        matches!(
            self,
            Self::ReplaceLine { .. } | Self::Piece { .. } | Self::InsertBefore { .. }
        )
    }

    /// Has the content what this edit asks for? None for an edit that is about lines.
    pub fn holds_in(&self, content: &[u8]) -> Option<bool> {
        if self.is_about_lines() {
            return None;
        }
        Some(
            self.apply(Some(content))
                .is_ok_and(|again| again == content),
        )
    }
}

/// Without its end, as [`str::lines`] takes it: a carriage return belongs to one only before a
/// newline.
fn bare(line: &str) -> &str {
    match line.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => line,
    }
}

fn line_ending(line: &str) -> &str {
    &line[bare(line).len()..]
}

fn nearest(lines: &[&str], line: u32, wanted: &str) -> Result<usize, EditError> {
    let target = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    lines
        .iter()
        .enumerate()
        .filter(|(_, text)| bare(text) == wanted)
        .map(|(at, _)| at)
        .min_by_key(|at| at.abs_diff(target))
        .ok_or_else(|| EditError::LineGone {
            line,
            old: wanted.to_owned(),
        })
}

/// The line and the bytes in it that a [`ContentEdit::Piece`] means.
fn nearest_piece(
    lines: &[&str],
    line: u32,
    old: &str,
    range: Range<usize>,
) -> Result<(usize, Range<usize>), EditError> {
    if let Ok(at) = nearest(lines, line, old) {
        return Ok((at, range));
    }
    let target = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let first_word = |text: &str| text.split_whitespace().next().map(str::to_owned);
    let piece = old.get(range.clone()).filter(|piece| !piece.is_empty());
    let found = piece.and_then(|piece| {
        lines
            .iter()
            .enumerate()
            .filter(|(_, text)| first_word(text) == first_word(old))
            .filter_map(|(at, text)| {
                // Of several, the one nearest to where it stood.
                let places = bare(text).match_indices(piece).map(|(place, _)| place);
                let place = places.min_by_key(|place| place.abs_diff(range.start))?;
                Some((at, place..place + piece.len()))
            })
            .min_by_key(|(at, _)| at.abs_diff(target))
    });
    found.ok_or_else(|| EditError::LineGone {
        line,
        old: old.to_owned(),
    })
}
