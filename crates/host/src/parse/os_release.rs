//! os-release(5).

use model::facts::Release;

/// The release that the file names; none when it has no `ID`.
pub fn parse_os_release(bytes: &[u8]) -> Option<Release> {
    let text = String::from_utf8_lossy(bytes);
    let value = |wanted: &str| {
        text.lines()
            .filter_map(|line| line.trim().split_once('='))
            .filter(|(key, _)| *key == wanted)
            .map(|(_, value)| unquote(value.trim()))
            // The last assignment wins, as in the shell.
            .next_back()
            .filter(|value| !value.is_empty())
    };
    let id = value("ID")?.to_lowercase();
    Some(Release {
        like: value("ID_LIKE")
            .map(|like| like.split_whitespace().map(str::to_lowercase).collect())
            .unwrap_or_default(),
        version: value("VERSION_ID"),
        codename: value("VERSION_CODENAME"),
        pretty: value("PRETTY_NAME")
            .or_else(|| value("NAME"))
            .unwrap_or_else(|| id.clone()),
        id,
    })
}

/// "Variable assignment values must be enclosed in double or single quotes if they include
/// spaces, semicolons or other special characters", with the shell's escapes.
fn unquote(value: &str) -> String {
    let (quote, inner) = match value.as_bytes() {
        [b'"', .., b'"'] if value.len() >= 2 => ('"', &value[1..value.len() - 1]),
        [b'\'', .., b'\''] if value.len() >= 2 => ('\'', &value[1..value.len() - 1]),
        _ => (' ', value),
    };
    if quote == '\'' || !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}
