//! nsswitch.conf(5): where accounts come from besides their files.

/// The sources that are named for `database` (`passwd`, `group`), besides the files
/// themselves, in order. `compat` counts as files: its `+` lines are shown as malformed.
pub fn other_sources(bytes: &[u8], database: &str) -> Vec<String> {
    let mut sources = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.split('#').next().unwrap_or_default();
        let Some((name, services)) = line.split_once(':') else {
            continue;
        };
        if name.trim() != database {
            continue;
        }
        // `[NOTFOUND=return]` says what to do, not where to look.
        let mut in_brackets = false;
        for word in services.split_whitespace() {
            let action = in_brackets || word.starts_with('[');
            in_brackets = action && !word.ends_with(']');
            if !action && word != "files" && word != "compat" {
                sources.push(word.to_owned());
            }
        }
    }
    sources
}
