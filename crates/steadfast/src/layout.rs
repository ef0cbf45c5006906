//! Lays text out in columns on a terminal: words wrap at the reader's width, by the
//! cells they fill, under a hanging indent. What comes from a host is made harmless
//! here, so that no caller can forget it.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::style::{Role, Sign, Style};

/// A value that an audit found and that is longer than this many characters is cut on a terminal; its
/// full form is in the JSON report.
const LONGEST_VALUE: usize = 200;
/// What is said is never cut: an instruction or a cause without its end is none. This is a bound for
/// what runs away, beyond the longest path and the longest text of a program that is kept.
const LONGEST_TEXT: usize = 20_000;

/// Where the body of a row begins, after its label.
pub const LABEL: usize = 10;

/// A run of text in several roles. Spaces are where it may break.
#[derive(Clone, Debug, Default)]
pub struct Text(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Word(Role, String),
    /// A word that is never broken, also where it is longer than a line: a path that is broken
    /// can't be copied.
    Whole(Role, String),
    /// This many spaces, or a line break.
    Gap(usize),
}

impl Text {
    pub fn new() -> Self {
        Self::default()
    }

    /// Text that may break at its spaces. What is hidden in it is escaped.
    #[must_use]
    pub fn say(self, role: Role, text: &str) -> Self {
        self.words(role, &bounded(text))
    }

    /// A value of the host, in a report whose JSON form has all of it.
    #[must_use]
    pub fn value(self, text: &str) -> Self {
        let text = model::printable(text.as_bytes());
        match text.char_indices().nth(LONGEST_VALUE) {
            None => self.words(Role::Plain, &text),
            Some((at, _)) => {
                let more = text.chars().count() - LONGEST_VALUE;
                let head = format!("{}... ({more} more characters: --format json)", &text[..at]);
                self.words(Role::Plain, &head)
            }
        }
    }

    /// Our own sentence, as long as it is. A command that ends it stays in one piece: a part of it
    /// is another command.
    #[must_use]
    pub fn sentence(self, text: &str) -> Self {
        let text = bounded(text);
        let command = [": sudo steadfast ", ": steadfast "]
            .iter()
            .find_map(|start| text.rfind(start));
        match command {
            Some(at) => {
                let (before, command) = text.split_at(at + 1);
                self.words(Role::Plain, before)
                    .gap(1)
                    .piece(command.trim_start())
            }
            None => self.words(Role::Plain, &text),
        }
    }

    fn piece(mut self, text: &str) -> Self {
        self.0.push(Piece::Whole(Role::Plain, text.to_owned()));
        self
    }

    fn words(mut self, role: Role, text: &str) -> Self {
        let mut gap = 0;
        for (at, word) in text.split(' ').enumerate() {
            if at > 0 {
                gap += 1;
            }
            if !word.is_empty() {
                if gap > 0 {
                    self.0.push(Piece::Gap(gap));
                    gap = 0;
                }
                self.0.push(Piece::Word(role, word.to_owned()));
            }
        }
        if gap > 0 {
            self.0.push(Piece::Gap(gap));
        }
        self
    }

    #[must_use]
    pub fn plain(self, text: &str) -> Self {
        self.say(Role::Plain, text)
    }

    /// Text that stays on one line where that is possible at all.
    #[must_use]
    pub fn solid(mut self, role: Role, text: &str) -> Self {
        let text = bounded(text);
        if !text.is_empty() {
            self.0.push(Piece::Word(role, text));
        }
        self
    }

    /// Text that stays in one piece, however long it is: a path.
    #[must_use]
    pub fn whole(mut self, role: Role, text: &str) -> Self {
        let text = bounded(text);
        if !text.is_empty() {
            self.0.push(Piece::Whole(role, text));
        }
        self
    }

    #[must_use]
    pub fn gap(mut self, spaces: usize) -> Self {
        self.0.push(Piece::Gap(spaces));
        self
    }

    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cells it fills on one line.
    pub fn width(&self) -> usize {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Word(_, word) | Piece::Whole(_, word) => word.width(),
                Piece::Gap(spaces) => *spaces,
            })
            .sum()
    }
}

/// What is said, harmless.
fn bounded(text: &str) -> String {
    let mut text = model::printable(text.as_bytes());
    if let Some((at, _)) = text.char_indices().nth(LONGEST_TEXT) {
        let more = text[at..].chars().count();
        text.truncate(at);
        text += &format!("... ({more} more characters)");
    }
    text
}

/// A word as it is written.
struct Word {
    role: Role,
    text: String,
    is_whole: bool,
}

/// What is written on, row by row.
pub struct Paper<'a> {
    out: &'a mut dyn Write,
    style: &'a Style,
}

impl<'a> Paper<'a> {
    pub fn new(out: &'a mut dyn Write, style: &'a Style) -> Self {
        Self { out, style }
    }

    pub fn style(&self) -> &'a Style {
        self.style
    }

    pub fn sign(&self, sign: Sign) -> &'static str {
        self.style.sign(sign)
    }

    pub fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// Text from the left edge.
    pub fn line(&mut self, body: &Text) -> io::Result<()> {
        self.hang(0, 0, body)
    }

    /// A label in the first column, and the body in the second.
    pub fn row(&mut self, role: Role, label: &str, body: &Text) -> io::Result<()> {
        self.label(role, label, LABEL)?;
        self.hang(LABEL, LABEL, body)
    }

    /// A label, and a line to copy: it is never broken nor cut, whatever the width, since a part of
    /// a command is another command. Gives the cells that it fills.
    pub fn command(&mut self, label: &str, command: &str) -> io::Result<usize> {
        self.label(Role::Strong, label, LABEL)?;
        let command = self.shown(&model::printable(command.as_bytes()));
        write!(self.out, "{}", self.style.paint(Role::Command, &command))?;
        Ok(LABEL + command.width())
    }

    /// What is said beside a line that was begun, or below it where it does not fit.
    pub fn beside(&mut self, at: usize, column: usize, note: &str) -> io::Result<()> {
        let note = Text::new().say(Role::Dim, note);
        if note.is_empty() {
            return writeln!(self.out);
        }
        if column > at && column + note.width() <= self.style.width {
            write!(self.out, "{:1$}", "", column - at)?;
            return self.hang(column, column, &note);
        }
        writeln!(self.out)?;
        self.indented(LABEL + 2, &note)
    }

    /// As [`Paper::row`], with further lines of the body indented by `indent`.
    pub fn row_hanging(
        &mut self,
        role: Role,
        label: &str,
        indent: usize,
        body: &Text,
    ) -> io::Result<()> {
        self.label(role, label, LABEL)?;
        self.hang(LABEL, indent, body)
    }

    /// The body, indented by `indent` on every line.
    pub fn indented(&mut self, indent: usize, body: &Text) -> io::Result<()> {
        write!(self.out, "{:indent$}", "")?;
        self.hang(indent, indent, body)
    }

    /// The body, indented by `first` on its first line and by `indent` on the others.
    pub fn indented_hanging(&mut self, first: usize, indent: usize, body: &Text) -> io::Result<()> {
        write!(self.out, "{:first$}", "")?;
        self.hang(first, indent, body)
    }

    /// The body, after a label of `indent` cells that the caller wrote.
    pub fn hanging(&mut self, indent: usize, body: &Text) -> io::Result<()> {
        self.hang(indent, indent, body)
    }

    /// A line that was laid out by the caller, cut at the width. It must be harmless already.
    pub fn cut(&mut self, indent: usize, role: Role, text: &str) -> io::Result<()> {
        let room = self.style.width.saturating_sub(indent).max(1);
        let text = self.shown(text);
        let text = match split_at_width(&text, room) {
            (_, "") => text,
            _ => {
                let more = self.sign(Sign::More);
                let (head, _) = split_at_width(&text, room.saturating_sub(more.width()));
                format!("{head}{more}")
            }
        };
        writeln!(self.out, "{:indent$}{}", "", self.style.paint(role, &text))
    }

    /// Text with its spaces as they are, broken wherever the width ends; `follow` begins the
    /// further lines. It must be harmless already.
    pub fn verbatim(
        &mut self,
        prefix: &str,
        follow: &str,
        role: Role,
        text: &str,
    ) -> io::Result<()> {
        let text = self.shown(text);
        let room = self.style.width.saturating_sub(prefix.width()).max(8);
        let mut rest = text.as_str();
        let mut prefix = prefix;
        loop {
            let (head, tail) = split_at_width(rest, room);
            let head = self.style.paint(role, head);
            writeln!(self.out, "{}{head}", self.style.paint(Role::Dim, prefix))?;
            if tail.is_empty() {
                return Ok(());
            }
            rest = tail;
            prefix = follow;
        }
    }

    fn label(&mut self, role: Role, label: &str, width: usize) -> io::Result<()> {
        let label = self.shown(label);
        let room = width.saturating_sub(label.width());
        write!(self.out, "{}{:room$}", self.style.paint(role, &label), "")
    }

    /// What may be shown: ASCII only, where the terminal can't do more.
    fn shown(&self, text: &str) -> String {
        if self.style.unicode || text.is_ascii() {
            return text.to_owned();
        }
        text.chars()
            .map(|c| {
                if c.is_ascii() {
                    c.to_string()
                } else {
                    c.escape_unicode().to_string()
                }
            })
            .collect()
    }

    /// Writes `body` from column `at` of the present line; further lines begin at `indent`.
    fn hang(&mut self, at: usize, indent: usize, body: &Text) -> io::Result<()> {
        let width = self.style.width;
        let mut column = at;
        let mut gap = 0;
        let mut fresh = true;
        // Words without a gap between them stay together.
        let mut units: Vec<(usize, Vec<Word>)> = Vec::new();
        for piece in &body.0 {
            match piece {
                Piece::Gap(spaces) => gap += spaces,
                Piece::Word(role, word) | Piece::Whole(role, word) => {
                    let is_whole = matches!(piece, Piece::Whole(..));
                    let word = Word {
                        role: *role,
                        text: self.shown(word),
                        is_whole,
                    };
                    match units.last_mut() {
                        Some((_, unit)) if gap == 0 => unit.push(word),
                        _ => units.push((gap, vec![word])),
                    }
                    gap = 0;
                }
            }
        }
        for (gap, unit) in units {
            let cells: usize = unit.iter().map(|word| word.text.width()).sum();
            if !fresh && column + gap + cells > width {
                write!(self.out, "\n{:indent$}", "")?;
                column = indent;
            } else {
                write!(self.out, "{:gap$}", "")?;
                column += gap;
            }
            fresh = false;
            for Word {
                role,
                text,
                is_whole,
            } in unit
            {
                if is_whole {
                    write!(self.out, "{}", self.style.paint(role, &text))?;
                    column += text.width();
                    continue;
                }
                let mut rest = text.as_str();
                while !rest.is_empty() {
                    let room = width.saturating_sub(column).max(1);
                    let (head, tail) = split_at_width(rest, room);
                    write!(self.out, "{}", self.style.paint(role, head))?;
                    column += head.width();
                    rest = tail;
                    if !rest.is_empty() {
                        write!(self.out, "\n{:indent$}", "")?;
                        column = indent;
                    }
                }
            }
        }
        writeln!(self.out)
    }
}

/// The longest beginning of `text` that fits `room` cells, at least one character, and the rest.
fn split_at_width(text: &str, room: usize) -> (&str, &str) {
    if text.width() <= room {
        return (text, "");
    }
    let mut cells = 0;
    for (at, character) in text.char_indices() {
        cells += character.width().unwrap_or(0);
        if cells > room && at > 0 {
            return text.split_at(at);
        }
    }
    (text, "")
}
