//! Makes bytes from a host harmless to look at. File names and values may hold
//! terminal escapes; nothing that comes from a host reaches a screen without
//! passing here.

use std::fmt::Write as _;

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

/// JSON text, indented as `serde_json` does it, in which such characters are written as
/// `\uNNNN`: the same value to a reader of JSON, harmless to a screen. Outside of strings
/// there are none but line feeds, and inside of strings no line feed stands as it is.
pub fn harmless_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_hidden(character) {
            out.push(character);
            continue;
        }
        // RFC 8259, 7: a character beyond U+FFFF is a surrogate pair.
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

/// Characters that move the cursor, change colours, or reorder or hide text.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
