//! The lines that differ between two contents of a file: what a person is shown of an edit, whatever
//! else the file holds.

use model::plan::LineEdit;
use similar::{ChangeTag, TextDiff};

/// What goes and what comes; none where either is not text.
pub(super) fn between(before: &[u8], after: &[u8]) -> Option<LineEdit> {
    let (before, after) = (str::from_utf8(before).ok()?, str::from_utf8(after).ok()?);
    let before: Vec<&str> = before.split_inclusive('\n').collect();
    let after: Vec<&str> = after.split_inclusive('\n').collect();
    // Without a time limit: the same contents always give the same lines. Edits are small, and so
    // is the work.
    let diff = TextDiff::from_slices(&before, &after);
    let of = |tag: ChangeTag| {
        let changes = diff.iter_all_changes();
        let lines = changes.filter(|change| change.tag() == tag);
        lines.map(|change| change.value().to_owned()).collect()
    };
    Some(LineEdit {
        gone: of(ChangeTag::Delete),
        new: of(ChangeTag::Insert),
    })
}
