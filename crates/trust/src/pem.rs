//! PEM (RFC 7468): one block, of the label that is wanted, and nothing beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::count::size;

/// A key of this kind takes 120 bytes; some tools write comments before it.
const LIMIT_BYTES: usize = 16 << 10;
/// RFC 7468, section 2: "each line … exactly 64 characters".
const WIDTH: usize = 64;

/// The bytes of the one block of this label.
pub fn read(text: &[u8], label: &str) -> Result<Vec<u8>, String> {
    if text.len() > LIMIT_BYTES {
        return Err(format!("is larger than {}", size(LIMIT_BYTES)));
    }
    let text = str::from_utf8(text).map_err(|_| "is not text".to_owned())?;
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let mut blocks = text.lines().filter(|line| line.starts_with("-----BEGIN "));
    match (blocks.next(), blocks.next()) {
        (None, _) => return Err(format!("has no line `{begin}`")),
        (Some(_), Some(_)) => return Err("holds more than one block".to_owned()),
        (Some(line), None) if line.trim_end() != begin => {
            let found = line.trim_end().trim_matches('-');
            let found = found.strip_prefix("BEGIN ").unwrap_or(found);
            return Err(format!("holds a `{found}`, not a `{label}`"));
        }
        (Some(_), None) => {}
    }
    let mut lines = text
        .lines()
        .map(str::trim_end)
        .skip_while(|line| *line != begin);
    lines.next();
    let mut body = String::new();
    for line in lines {
        if line == end {
            return STANDARD
                .decode(&body)
                .map_err(|error| format!("is damaged: {error}"));
        }
        body.push_str(line);
    }
    Err(format!("has no line `{end}`"))
}

/// One block, as openssl writes it.
pub fn write(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(WIDTH) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
