//! The lines around a mistake, where the file's own are too long to be shown: a policy may be
//! one line of a megabyte, which no terminal shows, and which the renderer can't underline.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::error::{Place, harmless, printable};

/// Lines up to this many characters are shown as they are.
const LONGEST_LINE: usize = 400;
/// Of a longer one, this much is shown before and from the mistake on.
const BEFORE: usize = 60;
const FROM: usize = 160;
const CUT: &str = "…";

/// The file with its long lines cut, so that lines keep their numbers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    name: String,
    text: String,
    /// What is underlined, in `text`.
    pub(crate) span: Range<usize>,
    /// The column in the file, from 0.
    column: usize,
}

impl Excerpt {
    /// None where the file can be shown as it is.
    pub(crate) fn of(place: &Place) -> Option<Self> {
        let whole = place.source.text();
        let (line, column) = place.source.line_and_column(place.span.start);
        let near = line.saturating_sub(2)..=line;
        let is_long = |line: &str| line.len() > LONGEST_LINE;
        if !near
            .clone()
            .any(|at| whole.lines().nth(at).is_some_and(is_long))
        {
            return None;
        }
        let mut text = String::new();
        let mut span = 0..0;
        let mut start = 0;
        for (number, content) in (1..).zip(whole.split_inclusive('\n')) {
            let bare = content.trim_end_matches(['\n', '\r']);
            if number == line {
                let marked = place.first_line();
                let (from, to) = (marked.start - start, marked.end - start);
                let shown = cut(bare, from);
                span.start = text.len() + from.saturating_sub(shown.start);
                if shown.start > 0 {
                    text.push_str(CUT);
                    span.start += CUT.len();
                }
                span.end = span.start + to.clamp(from, shown.end.max(from)) - from;
                text.push_str(&bare[shown.clone()]);
                if shown.end < bare.len() {
                    text.push_str(CUT);
                }
            } else {
                let shown = cut(bare, 0);
                text.push_str(&bare[shown.clone()]);
                if shown.end < bare.len() {
                    text.push_str(CUT);
                }
            }
            text.push('\n');
            start += content.len();
        }
        Some(Self {
            name: printable(place.source.name()),
            text: harmless(&text),
            span,
            column: column - 1,
        })
    }
}

/// The part of a line around the byte `at` that is shown.
fn cut(line: &str, at: usize) -> Range<usize> {
    if line.len() <= LONGEST_LINE {
        return 0..line.len();
    }
    let boundary = |mut at: usize| {
        at = at.min(line.len());
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    boundary(at.saturating_sub(BEFORE))..boundary(at + FROM)
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let read = self.text.read_span(span, lines_before, lines_after)?;
        // The heading asks without context: it names the column in the file, not in the cut.
        let column = match (lines_before, lines_after) {
            (0, 0) => self.column,
            _ => read.column(),
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            read.data(),
            *read.span(),
            read.line(),
            column,
            read.line_count(),
        )))
    }
}
