//! What is wrong with a policy, and where: a message, the place in the file, and a hint.
//! An error carries the text that it is about, so that the edge can show the line.
//! No message shows a value that came out of a template.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};
use model::{HostPath, SourceLine};

use crate::excerpt::Excerpt;

/// A file of a policy, with its text.
pub struct SourceText {
    /// As a person would name it: the directory as given, and the path below it.
    name: String,
    /// The path below the policy's root: `roles/web.yaml`.
    path_below: String,
    /// The absolute form, for `declared_at` in reports.
    path: HostPath,
    text: String,
    /// Where each line begins, in bytes: a report names the line of every resource.
    line_starts: Vec<usize>,
    /// The text as it may be shown.
    shown: NamedSource<String>,
    /// Why it is no text that a template could be: said only where something asks for it.
    odd: Option<String>,
}

impl SourceText {
    pub(crate) fn new(name: String, path_below: String, path: HostPath, text: String) -> Arc<Self> {
        let shown = NamedSource::new(printable(&name), harmless(&text));
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        Arc::new(Self {
            name,
            path_below,
            path,
            text,
            line_starts,
            shown,
            odd: None,
        })
    }

    /// A file beside a role that nothing can be read from, and why.
    pub(crate) fn odd(name: String, path_below: String, path: HostPath, why: String) -> Arc<Self> {
        let shown = NamedSource::new(printable(&name), String::new());
        Arc::new(Self {
            name,
            path_below,
            path,
            text: String::new(),
            line_starts: vec![0],
            shown,
            odd: Some(why),
        })
    }

    /// Why nothing can be read from it, if that is so.
    pub(crate) fn why_odd(&self) -> Option<&str> {
        self.odd.as_deref()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path_below(&self) -> &str {
        &self.path_below
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Line and column, both from 1, of a byte offset.
    pub(crate) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        // The first line begins at 0, so there is one at or before every offset.
        let line = self
            .line_starts
            .partition_point(|start| *start <= before.len());
        let start = self.line_starts[line - 1];
        (line, before[start..].chars().count() + 1)
    }
}

impl PartialEq for SourceText {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.name == other.name && self.text == other.text
    }
}

impl Eq for SourceText {}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A place in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(crate) source: Arc<SourceText>,
    /// Bytes of the text.
    pub(crate) span: Range<usize>,
}

impl Place {
    pub(crate) fn new(source: &Arc<SourceText>, span: Range<usize>) -> Self {
        Self {
            source: Arc::clone(source),
            span,
        }
    }

    /// Its first line says where; the rest of a block only pushes the message off the screen.
    pub(crate) fn first_line(&self) -> Range<usize> {
        let text = self.source.text.get(self.span.clone()).unwrap_or("");
        let first_line = text.lines().next().unwrap_or("").trim_end().len();
        self.span.start..self.span.start + first_line
    }

    /// From 1.
    pub fn line(&self) -> usize {
        self.source.line_and_column(self.span.start).0
    }

    /// In characters, from 1.
    pub fn column(&self) -> usize {
        self.source.line_and_column(self.span.start).1
    }

    /// The file as a person would name it.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The place as findings and waivers keep it.
    pub fn source_line(&self) -> SourceLine {
        // A policy file has at most a million bytes, so at most as many lines.
        let line = u32::try_from(self.line()).unwrap_or(u32::MAX);
        SourceLine::new(self.source.path.clone(), line)
    }
}

/// `roles/web.yaml:7`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", printable(self.file()), self.line())
    }
}

pub(crate) fn printable(text: &str) -> String {
    model::printable(text.as_bytes())
}

/// One thing that is wrong with a policy.
#[derive(Debug, PartialEq, Eq)]
pub struct ContentError {
    message: String,
    place: Option<Place>,
    help: Option<String>,
    /// What is shown instead of the file where its lines are too long to be shown.
    excerpt: Option<Box<Excerpt>>,
}

/// A message quotes what was written, which may be a million characters.
const LONGEST_MESSAGE: usize = 1000;

impl ContentError {
    pub(crate) fn new(message: impl Into<String>, place: Place) -> Self {
        let mut message: String = message.into();
        if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self {
            message,
            excerpt: Excerpt::of(&place).map(Box::new),
            place: Some(place),
            help: None,
        }
    }

    /// About something that was asked for, not about something that is written.
    pub(crate) fn without_place(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            help: None,
            excerpt: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// A hint where there is none yet.
    pub(crate) fn or_help(self, help: impl Into<String>) -> Self {
        match self.help {
            Some(_) => self,
            None => self.help(help),
        }
    }

    /// Lower case, without the place and without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ContentError {}

impl Diagnostic for ContentError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        if let Some(excerpt) = &self.excerpt {
            return Some(excerpt.as_ref());
        }
        self.place
            .as_ref()
            .map(|place| &place.source.shown as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref()?;
        let span: SourceSpan = match &self.excerpt {
            Some(excerpt) => excerpt.span.clone().into(),
            None => place.first_line().into(),
        };
        Some(Box::new(std::iter::once(
            LabeledSpan::new_primary_with_span(None, span),
        )))
    }
}

/// The text with whatever could move a cursor or reorder a line made visible, byte for
/// byte as long as it was, so that spans still fit.
pub(crate) fn harmless(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let shown = matches!(character, '\n' | '\t' | '\r')
            || !model::printable(character.to_string().as_bytes()).starts_with("\\u{");
        if shown {
            out.push(character);
        } else {
            out.extend(std::iter::repeat_n('?', character.len_utf8()));
        }
    }
    out
}

/// All that is wrong with a policy, as far as it could be told; never empty.
#[derive(Debug, PartialEq, Eq)]
pub struct ContentErrors(Vec<ContentError>);

impl ContentErrors {
    pub fn iter(&self) -> impl Iterator<Item = &ContentError> {
        self.0.iter()
    }

    /// A line for each, as a compiler prints them: `roles/web.yaml:7:29: message (hint)`.
    pub fn plain(&self) -> String {
        let line = |error: &ContentError| {
            let place = error
                .place()
                .map(|place| format!("{place}:{}: ", place.column()));
            let hint = error.hint().map(|hint| format!(" ({hint})"));
            format!(
                "{}{error}{}",
                place.unwrap_or_default(),
                hint.unwrap_or_default()
            )
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn only(&self) -> Option<&ContentError> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl IntoIterator for ContentErrors {
    type Item = ContentError;
    type IntoIter = std::vec::IntoIter<ContentError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<ContentError> for ContentErrors {
    fn from(error: ContentError) -> Self {
        Self(vec![error])
    }
}

/// The one error's message, or how many there are.
impl fmt::Display for ContentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            several => write!(f, "{} mistakes in the policy", several.len()),
        }
    }
}

impl std::error::Error for ContentErrors {}

/// One error is shown as itself, several one below the other.
impl Diagnostic for ContentErrors {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only()?.help()
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.only()?.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.only()?.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.only().is_some() {
            return None;
        }
        let errors = self.0.iter().map(|error| error as &dyn Diagnostic);
        Some(Box::new(errors))
    }
}

/// Collects what is wrong, so that one run names all of it.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<ContentError>);

/// More than this many errors are one mistake repeated, or not a policy at all.
const MOST_ERRORS: usize = 20;

impl Problems {
    pub(crate) fn push(&mut self, error: ContentError) {
        if self.0.len() < MOST_ERRORS && !self.0.contains(&error) {
            self.0.push(error);
        }
    }

    pub(crate) fn append(&mut self, more: Self) {
        more.0.into_iter().for_each(|error| self.push(error));
    }

    /// The value, or none with its error kept.
    pub(crate) fn keep<T>(&mut self, result: Result<T, ContentError>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_result<T>(self, value: T) -> Result<T, ContentErrors> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ContentErrors(self.0))
        }
    }
}

/// The known name that was probably meant.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // No name of ours is that long, and comparing costs the product of the lengths.
    if typed.len() > 200 {
        return None;
    }
    // Farther than a third of the name is another word, not a slip.
    let limit = (typed.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// `did you mean` for the nearest of the known names, when one is near; else the names,
/// when they are few.
pub(crate) fn suggestion<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(typed, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if (1..=12).contains(&known.len()) => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("known here: {}", names.join(", ")))
        }
        None => None,
    }
}
