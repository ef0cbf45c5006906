//! Makes bytes from a host harmless to look at. File names and values may hold
//! terminal escapes; nothing that comes from a host reaches a screen without
//! passing here.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

/// The text with control characters, bidirectional overrides and bytes that are
/// not UTF-8 written as `\n`, `\t`, `\xNN` or `\u{N}`.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if is_hidden(c) => {
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// What was said over several lines, as a cause that is kept and shown on one.
pub fn one_line(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

/// Writes a value as indented JSON with a final line feed, and without a raw character that a
/// terminal could obey. Large ones are never in memory as text.
///
/// # Errors
/// When it can't be written.
pub fn write_json(to: &mut dyn io::Write, value: &impl Serialize) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(64 << 10, HarmlessJson::new(to));
    serde_json::to_writer_pretty(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes JSON text, indented as `serde_json` does it, in which such characters are written as
/// `\uNNNN`: the same value to a reader of JSON, harmless to a screen. Outside of strings
/// there are none but line feeds, and inside of strings no line feed stands as it is.
struct HarmlessJson<W> {
    to: W,
    /// The beginning of a character whose end is not written yet.
    torn: Vec<u8>,
}

impl<W: io::Write> HarmlessJson<W> {
    const fn new(to: W) -> Self {
        Self {
            to,
            torn: Vec::new(),
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let mut written = 0;
        for (at, character) in text.char_indices() {
            if character == '\n' || !is_hidden(character) {
                continue;
            }
            self.to.write_all(&text.as_bytes()[written..at])?;
            // RFC 8259, 7: a character beyond U+FFFF is a surrogate pair.
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(self.to, "\\u{unit:04x}")?;
            }
            written = at + character.len_utf8();
        }
        self.to.write_all(&text.as_bytes()[written..])
    }
}

impl<W: io::Write> io::Write for HarmlessJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let whole = match self.torn.is_empty() {
            true => Cow::Borrowed(bytes),
            false => Cow::Owned([&std::mem::take(&mut self.torn)[..], bytes].concat()),
        };
        let text = match str::from_utf8(&whole) {
            Ok(text) => text,
            // It goes on in what is written next.
            Err(error) if error.error_len().is_none() => {
                let (text, torn) = whole.split_at(error.valid_up_to());
                self.torn = torn.to_vec();
                str::from_utf8(text).map_err(io::Error::other)?
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        self.text(text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Characters that move the cursor, change colours, or reorder or hide text.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
