//! Inverting our own edit in a file that somebody else changed since: a three-way merge by
//! lines. Pure.

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Our lines were changed by someone else, so nothing can be put back for them. Line
/// numbers count from 1, in the file as we left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} was changed by someone else since")]
pub struct Conflict {
    pub line: usize,
}

/// One difference: which lines of the base become what.
#[derive(Debug, PartialEq, Eq)]
struct Hunk<'a> {
    start: usize,
    end: usize,
    lines: Vec<&'a [u8]>,
}

/// What `theirs` becomes when the way from `base` to `ours` is taken in it.
///
/// To undo an edit: `base` is what we left, `ours` what was there before, `theirs` what is
/// there now. Everything that others changed elsewhere is kept.
pub fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, Conflict> {
    let base = lines(base);
    let (ours, theirs) = (lines(ours), lines(theirs));
    let mut our_hunks = hunks(&base, &ours).into_iter().peekable();
    let mut their_hunks = hunks(&base, &theirs).into_iter().peekable();
    let mut out: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    loop {
        let hunk = match (our_hunks.peek(), their_hunks.peek()) {
            (None, None) => break,
            (Some(_), None) => our_hunks.next(),
            (None, Some(_)) => their_hunks.next(),
            (Some(our), Some(their)) if our == their => {
                // Someone has taken this edit back already.
                their_hunks.next();
                our_hunks.next()
            }
            (Some(our), Some(their)) => {
                if meet(our, their) {
                    return Err(Conflict {
                        line: our.start.max(their.start) + 1,
                    });
                }
                match (our.start, our.end) < (their.start, their.end) {
                    true => our_hunks.next(),
                    false => their_hunks.next(),
                }
            }
        };
        let Some(hunk) = hunk else { break };
        out.extend(base.get(at..hunk.start).unwrap_or_default());
        out.extend(hunk.lines);
        at = hunk.end;
    }
    out.extend(base.get(at..).unwrap_or_default());
    Ok(join(&out))
}

/// Two differences meet when they share a line of the base, or when both insert at one
/// place, where no order of the two is right. An insertion beside a changed line is apart
/// from it.
fn meet(a: &Hunk<'_>, b: &Hunk<'_>) -> bool {
    if a.start == a.end && b.start == b.end {
        return a.start == b.start;
    }
    a.start < b.end && b.start < a.end
}

fn hunks<'a>(base: &[&[u8]], other: &[&'a [u8]]) -> Vec<Hunk<'a>> {
    capture_diff_slices(Algorithm::Myers, base, other)
        .into_iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .map(|op| Hunk {
            start: op.old_range().start,
            end: op.old_range().end,
            lines: other[op.new_range()].to_vec(),
        })
        .collect()
}

/// Lines with their ends.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// A line that had no end because it was the last gets one when another follows it now.
fn join(lines: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(line);
    }
    out
}
