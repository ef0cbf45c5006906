//! Lines of files that look as if they held a secret: their value is never shown, whatever the
//! file's mode. It errs to the side of hiding; where a path may hold secrets as a whole,
//! nothing of it comes here.

use std::borrow::Cow;

/// What stands for a value.
const HIDDEN: &str = "(not shown)";

/// How the names of settings end that hold a secret, in lower case.
const NAMES: [&str; 25] = [
    "password",
    "secret",
    "secret_key",
    "secretkey",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "passphrase",
    "private_key",
    "privatekey",
    "credential",
    "credentials",
    "authorization",
    "passcode",
    "psk",
    "presharedkey",
    "preshared_key",
    "pre_shared_key",
    "authkey",
    "auth_key",
    "encryption_key",
    "signing_key",
    "cookie",
];
/// The same, but only before `=`: nsswitch.conf has a database `passwd:`, sudoers `NOPASSWD:`.
const NAMES_BEFORE_EQUALS: [&str; 6] = ["passwd", "pass", "pwd", "bindpw", "rootpw", "userpw"];
/// Names that a space alone parts from their value: of redis.conf(5), keepalived.conf(5),
/// slapd.conf(5), nslcd.conf(5), snmpd.conf(5), wpa_supplicant's part of interfaces(5), and the keys of BIND.
const NAMES_BEFORE_SPACE: [&str; 9] = [
    "auth_pass",
    "bindpw",
    "masterauth",
    "requirepass",
    "rocommunity",
    "rootpw",
    "rwcommunity",
    "secret",
    "wpa-psk",
];
/// Values that say whether, not what.
const PLAIN: [&str; 10] = [
    "yes", "no", "true", "false", "on", "off", "none", "null", "\"\"", "''",
];
/// Shorter runs of base64 are words.
const SHORTEST_KEY_LINE: usize = 32;

/// Does a private key begin or end here (RFC 7468)?
pub fn is_key_border(line: &str) -> bool {
    line.contains("PRIVATE KEY-----")
}

/// The line as it may be shown. `has_key`: the file holds a private key, so that lines of base64
/// are hidden.
pub fn hidden(line: &str, has_key: bool) -> Cow<'_, str> {
    if has_key && is_base64(line.trim()) {
        return Cow::Borrowed(HIDDEN);
    }
    let line = match value(line) {
        Some(at) => Cow::Owned(format!("{}{HIDDEN}", &line[..at])),
        None => Cow::Borrowed(line),
    };
    match in_url(&line) {
        Some((from, to)) => Cow::Owned(format!("{}{HIDDEN}{}", &line[..from], &line[to..])),
        None => line,
    }
}

fn is_base64(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.len() >= SHORTEST_KEY_LINE && text.bytes().all(known)
}

/// Where the value of a secret begins.
fn value(line: &str) -> Option<usize> {
    let after = line
        .char_indices()
        .filter(|(_, c)| matches!(c, '=' | ':'))
        .find_map(|(at, separator)| {
            let before = line[..at].trim_end().trim_end_matches(['"', '\'']);
            let name = before
                .rsplit(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
                .next()?
                .to_ascii_lowercase();
            let ends = |names: &[&str]| names.iter().any(|end| name.ends_with(end));
            (ends(&NAMES) || (separator == '=' && ends(&NAMES_BEFORE_EQUALS))).then_some(at + 1)
        })
        .or_else(|| {
            let body = line.trim_start();
            let (name, _) = body.split_once([' ', '\t'])?;
            NAMES_BEFORE_SPACE
                .contains(&name)
                .then(|| line.len() - body.len() + name.len())
        })?;
    let value = line[after..].trim();
    let plain = value.trim_end_matches([',', ';']);
    let says_nothing = value.is_empty() || PLAIN.contains(&plain.to_ascii_lowercase().as_str());
    // The white space before the value stays.
    let gap = line[after..].len() - line[after..].trim_start().len();
    (!says_nothing).then_some(after + gap)
}

/// The password of `scheme://user:password@host` (RFC 3986, 3.2.1).
fn in_url(line: &str) -> Option<(usize, usize)> {
    let authority = line.find("://")? + 3;
    let rest = &line[authority..];
    let end = rest
        .find(|c: char| c == '/' || c == '"' || c.is_whitespace())
        .unwrap_or(rest.len());
    let at = rest[..end].rfind('@')?;
    let colon = rest[..at].find(':')?;
    Some((authority + colon + 1, authority + at))
}
