//! The files of apt: its settings (apt.conf(5)) and its sources (sources.list(5)), read
//! with the place of everything, so that an edit leaves the rest as it is.

pub mod conf;
pub mod pins;
pub mod sources;

/// Does apt read a file of this name in one of its `.d` directories? Names of other
/// characters are skipped (sources.list(5), apt.conf(5)).
pub fn is_plain_name(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| *byte != b'.')
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// The words that apt takes for yes and for no (apt.conf(5), "boolean").
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "with" | "on" | "enable" | "1" => Some(true),
        "no" | "false" | "without" | "off" | "disable" | "0" => Some(false),
        _ => None,
    }
}
