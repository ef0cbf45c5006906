//! The difference between two contents of a file, by lines, bounded, and with white
//! space made visible where nothing else differs.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use model::secrets;

/// Unchanged lines shown round a change.
const CONTEXT: usize = 2;
/// Files larger than this are compared by size and digest: a person does not read them.
const LARGEST_BYTES: usize = 256 * 1024;
/// A worse but true diff is better than one that is waited for.
const TIME_LIMIT: Duration = Duration::from_millis(300);
const TAB_STOP: usize = 8;

/// What changes in a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Same,
    Lines(Vec<DiffLine>),
    /// Not text, or too large to be read line by line.
    Opaque,
}

/// One line of a diff. The text is harmless to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    pub kind: LineKind,
    /// From 1: in the new file, or for a removed line in the old one. None for a gap.
    pub number: Option<usize>,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    Kept,
    Added,
    Removed,
    /// Unchanged lines were left out here.
    Gap,
    /// Says something about the line above.
    Remark,
}

/// Compares. `old` is none for a file that is not there yet.
pub fn compare(old: Option<&[u8]>, new: &[u8]) -> Difference {
    let old = old.unwrap_or_default();
    if old == new {
        return Difference::Same;
    }
    if old.len().max(new.len()) > LARGEST_BYTES {
        return Difference::Opaque;
    }
    let (Ok(old), Ok(new)) = (str::from_utf8(old), str::from_utf8(new)) else {
        return Difference::Opaque;
    };
    // Split at line feeds only, so that the numbers are those of every other tool.
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let diff = TextDiff::configure()
        .timeout(TIME_LIMIT)
        .diff_slices(&old, &new);
    let mut lines = Vec::new();
    for (at, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if at > 0 {
            lines.push(DiffLine {
                kind: LineKind::Gap,
                number: None,
                text: String::new(),
            });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (kind, index) = match change.tag() {
                ChangeTag::Equal => (LineKind::Kept, change.new_index()),
                ChangeTag::Insert => (LineKind::Added, change.new_index()),
                ChangeTag::Delete => (LineKind::Removed, change.old_index()),
            };
            let raw: &str = change.value();
            lines.push(DiffLine {
                kind,
                number: index.map(|index| index + 1),
                text: raw.strip_suffix('\n').unwrap_or(raw).to_owned(),
            });
            if !raw.ends_with('\n') {
                lines.push(DiffLine {
                    kind: LineKind::Remark,
                    number: None,
                    text: "(no newline at the end of the file)".to_owned(),
                });
            }
        }
    }
    let only_space = differs_in_space_only(&lines);
    let has_key = lines.iter().any(|line| secrets::is_key_border(&line.text))
        || old
            .iter()
            .chain(&new)
            .any(|line| secrets::is_key_border(line));
    for line in &mut lines {
        if line.kind != LineKind::Remark {
            line.text = secrets::hidden(&line.text, has_key).into_owned();
        }
        let exact = only_space && matches!(line.kind, LineKind::Added | LineKind::Removed);
        line.text = shown(&line.text, exact);
    }
    Difference::Lines(lines)
}

/// Is some removed line, white space apart, an added one?
fn differs_in_space_only(lines: &[DiffLine]) -> bool {
    let bare = |line: &DiffLine| line.text.split_whitespace().collect::<String>();
    let of = |kind| lines.iter().filter(move |line| line.kind == kind);
    let removed: std::collections::BTreeSet<String> = of(LineKind::Removed).map(bare).collect();
    of(LineKind::Added).any(|line| removed.contains(&bare(line)))
}

/// The line with tabs as columns or, where white space matters, with tabs and trailing
/// spaces spelled out.
fn shown(line: &str, exact: bool) -> String {
    if exact {
        let body = line.trim_end_matches(' ');
        let spaces = "\\x20".repeat(line.len() - body.len());
        return model::printable(body.as_bytes()) + &spaces;
    }
    let mut out = String::with_capacity(line.len());
    for (at, part) in line.split('\t').enumerate() {
        if at > 0 {
            let column = out.chars().count();
            let spaces = TAB_STOP - column % TAB_STOP;
            out.extend(std::iter::repeat_n(' ', spaces));
        }
        out.push_str(&model::printable(part.as_bytes()));
    }
    out
}
