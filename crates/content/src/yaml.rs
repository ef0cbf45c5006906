//! A file's YAML as a tree in which every node knows its place, and nothing more: what a
//! node means is decided by who reads it.
//!
//! Only the part of YAML that people write by hand is taken: one document, no anchors and
//! aliases (so no text can grow beyond its own size), no tags, no directives. A key stands
//! once in its mapping.

use std::ops::Range;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::error::{ContentError, Place, Problems, SourceText};

/// Deeper than any policy that a person can read.
const DEEPEST: usize = 32;

/// More keys than this in one mapping are not written by people.
const MOST_KEYS: usize = 1000;

/// Nor more items than this in one list.
const MOST_ITEMS: usize = 10_000;

/// A place's worth of YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Bytes of the source text.
    pub(crate) span: Range<usize>,
    pub(crate) tree: Tree,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    Null,
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// In single or double quotes: always text.
    Quoted,
    /// A block that keeps its lines (`|`).
    Literal,
    /// A block that folds them (`>`).
    Folded,
    /// What a template gave.
    Rendered,
}

impl Node {
    /// What is meant, without places, comments and white space: the same text for the same
    /// meaning, however it is laid out.
    pub(crate) fn meaning(&self) -> String {
        let mut text = String::new();
        self.write_meaning(&mut text);
        text
    }

    fn write_meaning(&self, text: &mut String) {
        match &self.tree {
            Tree::Null => text.push('~'),
            // `1` is a number where `"1"` is a text, so the style is part of the meaning.
            Tree::Scalar { text: value, style } => text.push_str(&format!("{style:?} {value:?}")),
            Tree::List(items) => {
                text.push('[');
                for item in items {
                    item.write_meaning(text);
                    text.push(',');
                }
                text.push(']');
            }
            Tree::Map(entries) => {
                text.push('{');
                for entry in entries {
                    text.push_str(&format!("{:?}: ", entry.key));
                    entry.value.write_meaning(text);
                    text.push(',');
                }
                text.push('}');
            }
        }
    }

    /// As a message calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.tree {
            Tree::Null => "nothing",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a mapping",
            Tree::Scalar { text, style } => match style {
                Style::Plain | Style::Rendered if is_bool(text) => "true or false",
                Style::Plain | Style::Rendered if as_int(text).is_some() => "a whole number",
                _ => "text",
            },
        }
    }

    /// Did any of this come out of a template?
    pub(crate) fn is_rendered(&self) -> bool {
        match &self.tree {
            Tree::Null => false,
            Tree::Scalar { style, .. } => *style == Style::Rendered,
            Tree::List(items) => items.iter().any(Self::is_rendered),
            Tree::Map(entries) => entries.iter().any(|entry| entry.value.is_rendered()),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.tree {
            Tree::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }

    /// Where `range` of a scalar's text stands in the source, as exactly as its style allows.
    pub(crate) fn locate(&self, source: &str, range: Option<Range<usize>>) -> Range<usize> {
        let Tree::Scalar { text, style } = &self.tree else {
            return self.span.clone();
        };
        let Some(range) = range else {
            return self.span.clone();
        };
        let raw = source.get(self.span.clone()).unwrap_or_default();
        match style {
            Style::Plain if raw.starts_with(text.as_str()) => offset(self.span.start, &range),
            Style::Quoted
                if raw
                    .get(1..)
                    .is_some_and(|raw| raw.starts_with(text.as_str())) =>
            {
                offset(self.span.start + 1, &range)
            }
            Style::Literal => locate_in_block(raw, text, &range)
                .map_or(self.span.clone(), |range| offset(self.span.start, &range)),
            _ => self.span.clone(),
        }
    }
}

fn offset(by: usize, range: &Range<usize>) -> Range<usize> {
    by + range.start..by + range.end
}

/// In a literal block, each line of the text is a line of the source, indented.
fn locate_in_block(raw: &str, text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let before = text.get(..range.start)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(line_start..)?.lines().next()?;
    // The header, where the span has it, is a line more.
    let header = usize::from(raw.starts_with('|'));
    let wanted = before.matches('\n').count() + header;
    let mut raw_start = 0;
    for (number, raw_line) in raw.split_inclusive('\n').enumerate() {
        if number == wanted {
            let column = raw_line.find(line)?;
            let start = raw_start + column + (range.start - line_start);
            let end = (start + range.len()).min(raw_start + raw_line.trim_end().len());
            return Some(start..end.max(start));
        }
        raw_start += raw_line.len();
    }
    None
}

/// The booleans of YAML's core schema (YAML 1.2.2, 10.3.2), in lower case only: `yes`, `no`,
/// `on` and `off` are text.
pub(crate) fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "false")
}

/// A whole number as people write it. `0644` and `+4` are text: what the digits mean is up
/// to the field.
pub(crate) fn as_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits == "0"
        || (!digits.starts_with('0')
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}

/// Reads a file's one document. An empty file is [`Tree::Null`].
pub(crate) fn parse(source: &Arc<SourceText>, problems: &mut Problems) -> Option<Node> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut reader = Reader {
        source,
        parser: Parser::new_from_str_with_options(source.text(), options),
        problems,
    };
    match reader.document() {
        Ok(node) => Some(node),
        Err(error) => {
            problems.push(error);
            None
        }
    }
}

struct Reader<'a> {
    source: &'a Arc<SourceText>,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    problems: &'a mut Problems,
}

type Spanned<'a> = (Event<'a>, Range<usize>);

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, ContentError> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(self.error("a second document in one file", span).help(
                        "a policy file holds one document: put the second in a file of its own",
                    ));
                }
                Event::DocumentStart(..) => {
                    let first = self.next()?;
                    if matches!(first.0, Event::DocumentEnd) {
                        continue;
                    }
                    root = Some(self.node(first, 0)?);
                }
                _ => {
                    return Err(self.error("unexpected YAML", span).help(
                        "look at the brackets, the quotes and the indentation from here up",
                    ));
                }
            }
        }
        Ok(root.unwrap_or(Node {
            span: 0..0,
            tree: Tree::Null,
        }))
    }

    fn next(&mut self) -> Result<Spanned<'a>, ContentError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let range = span.byte_range().unwrap_or(0..0);
                Ok((event, range))
            }
            Some(Err(error)) => {
                let at = error
                    .marker()
                    .byte_offset()
                    .unwrap_or(0)
                    .min(self.source.text().len());
                Err(self.not_yaml(&error.info(), at..at))
            }
            None => {
                let end = self.source.text().len();
                Err(self
                    .error("the YAML ends too early", end..end)
                    .help("close what is open: a bracket or a quote"))
            }
        }
    }

    fn node(&mut self, first: Spanned<'a>, depth: usize) -> Result<Node, ContentError> {
        let (event, span) = first;
        if depth > DEEPEST {
            return Err(self.too_deep(span));
        }
        if event.tag().is_some() {
            return Err(self
                .error("a YAML tag", span)
                .help("types come from the fields: write the value without `!`"));
        }
        if event.anchor_id().is_some_and(|id| id != 0) || event.is_alias() {
            return Err(self
                .error("a YAML anchor or alias", span)
                .help("write the value where it is used, or make it a parameter"));
        }
        match event {
            Event::Scalar(text, style, ..) => Ok(scalar(text.into_owned(), style, span)),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                let end = loop {
                    let next = self.next()?;
                    if matches!(next.0, Event::SequenceEnd) {
                        break next.1.end;
                    }
                    if items.len() >= MOST_ITEMS {
                        let message = format!("more than {MOST_ITEMS} items in one list");
                        return Err(self
                            .error(message, next.1)
                            .help("divide it over several files"));
                    }
                    items.push(self.node(next, depth + 1)?);
                };
                Ok(Node {
                    span: self.shrink(span.start..end),
                    tree: Tree::List(items),
                })
            }
            Event::MappingStart(..) => {
                let mut entries: Vec<Entry> = Vec::new();
                let end = loop {
                    let next = self.next()?;
                    if matches!(next.0, Event::MappingEnd) {
                        break next.1.end;
                    }
                    let key_node = self.node(next, depth + 1)?;
                    let key_span = key_node.span.clone();
                    let value = self.next()?;
                    let value = self.node(value, depth + 1)?;
                    let Tree::Scalar { text: key, .. } = key_node.tree else {
                        return Err(self
                            .error("a key that is not text", key_span)
                            .help("a template that stands alone needs quotes: \"{{ name }}\""));
                    };
                    if entries.len() >= MOST_KEYS {
                        let message = format!("more than {MOST_KEYS} keys in one mapping");
                        return Err(self.error(message, key_span));
                    }
                    self.check_new(&entries, &key, &key_span);
                    entries.push(Entry {
                        key,
                        key_span,
                        value,
                    });
                };
                Ok(Node {
                    span: self.shrink(span.start..end),
                    tree: Tree::Map(entries),
                })
            }
            _ => Err(self
                .error("unexpected YAML", span)
                .help("look at the brackets, the quotes and the indentation from here up")),
        }
    }

    fn not_yaml(&self, info: &str, at: Range<usize>) -> ContentError {
        if info.contains("recursion limit") {
            return self.too_deep(at);
        }
        let error = self.error(format!("this is not YAML: {info}"), at);
        if info.contains("tab") {
            error.help("indent with spaces")
        } else {
            error.help("look at the brackets, the quotes and the indentation from here up")
        }
    }

    fn too_deep(&self, span: Range<usize>) -> ContentError {
        self.error(format!("nested deeper than {DEEPEST} levels"), span)
            .help("no key of a policy takes that much: a bracket may be too many")
    }

    fn check_new(&mut self, entries: &[Entry], key: &str, span: &Range<usize>) {
        let Some(first) = entries.iter().find(|entry| entry.key == key) else {
            return;
        };
        let first = Place::new(self.source, first.key_span.clone());
        let error = self
            .error(
                format!("duplicate key `{}`", model::printable(key.as_bytes())),
                span.clone(),
            )
            .help(format!("it stands on line {} already", first.line()));
        self.problems.push(error);
    }

    fn error(&self, message: impl Into<String>, span: Range<usize>) -> ContentError {
        ContentError::new(message, Place::new(self.source, span))
    }

    /// A block's end is where the next thing begins: leave the white space out.
    fn shrink(&self, span: Range<usize>) -> Range<usize> {
        let text = self.source.text().get(span.clone()).unwrap_or_default();
        span.start..span.start + text.trim_end().len()
    }
}

fn scalar(text: String, style: ScalarStyle, span: Range<usize>) -> Node {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    };
    let tree = if style == Style::Plain && matches!(text.as_str(), "" | "~" | "null") {
        Tree::Null
    } else {
        Tree::Scalar { text, style }
    };
    Node { span, tree }
}
