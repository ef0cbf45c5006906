//! passwd(5), shadow(5) and group(5). Password hashes are classified here and go no
//! further: nothing that this file returns holds one.

use model::value::{Ageing, PasswordSeen};

/// One line that was understood, with its number from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<T> {
    pub line: u32,
    pub entry: T,
}

/// What a file held: entries, and the numbers of the lines that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    pub entries: Vec<Line<T>>,
    pub malformed: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwd {
    pub name: String,
    /// `x` means that shadow(5) has it.
    pub password: PasswordField,
    pub uid: u32,
    pub gid: u32,
    pub comment: String,
    pub home: String,
    pub shell: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordField {
    InShadow,
    Here(PasswordSeen),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    pub name: String,
    pub password: PasswordSeen,
    pub ageing: Ageing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub gid: u32,
    pub members: Vec<String>,
}

/// passwd(5): `name:password:UID:GID:GECOS:directory:shell`.
pub fn parse_passwd(bytes: &[u8]) -> Parsed<Passwd> {
    parse_lines(bytes, |fields| {
        let [name, password, uid, gid, comment, home, shell] = fields.try_into().ok()?;
        Some(Passwd {
            name: name_of(name)?,
            password: match password {
                b"x" => PasswordField::InShadow,
                other => PasswordField::Here(classify(other)),
            },
            uid: number(uid)?,
            gid: number(gid)?,
            comment: text(comment),
            home: text(home),
            shell: text(shell),
        })
    })
}

/// shadow(5): nine fields, of which the last is reserved. glibc also takes five ("the old
/// form" in its sgetspent_r.c).
pub fn parse_shadow(bytes: &[u8]) -> Parsed<Shadow> {
    parse_lines(bytes, |mut fields| {
        if fields.len() == 5 {
            fields.resize(9, b"");
        }
        let [name, password, last, min, max, warn, inactive, expires, _] =
            fields.try_into().ok()?;
        Some(Shadow {
            name: name_of(name)?,
            password: classify(password),
            ageing: Ageing {
                last_change: days(last)?,
                min_days: days(min)?,
                max_days: days(max)?,
                warn_days: days(warn)?,
                inactive_days: days(inactive)?,
                expires: days(expires)?,
            },
        })
    })
}

/// group(5): `name:password:GID:members`.
pub fn parse_group(bytes: &[u8]) -> Parsed<Group> {
    parse_lines(bytes, |fields| {
        let [name, _, gid, members] = fields.try_into().ok()?;
        Some(Group {
            name: name_of(name)?,
            gid: number(gid)?,
            members: members
                .split(|byte| *byte == b',')
                .map(|member| text(member.trim_ascii()))
                .filter(|member| !member.is_empty())
                .collect(),
        })
    })
}

/// gshadow(5): `name:password:administrators:members`; only whether its lines can be read.
pub fn malformed_gshadow(bytes: &[u8]) -> Vec<u32> {
    parse_lines(bytes, |fields| {
        let [name, _, _, _]: [&[u8]; 4] = fields.try_into().ok()?;
        name_of(name)
    })
    .malformed
}

/// What can be said of a password field (crypt(5)) without its hash.
pub fn classify(field: &[u8]) -> PasswordSeen {
    // usermod(8) locks by putting `!` before the hash; some tools put two, or `*LK*`.
    let hash = field.trim_ascii();
    let behind = hash
        .iter()
        .position(|byte| *byte != b'!')
        .map_or(&[][..], |at| &hash[at..]);
    match (hash, scheme(behind)) {
        (b"", _) => PasswordSeen::Empty,
        (_, None) => PasswordSeen::None,
        (_, Some(scheme)) if behind.len() == hash.len() => PasswordSeen::Set { scheme },
        (_, Some(scheme)) => PasswordSeen::Locked { scheme },
    }
}

/// The prefix of crypt(5) that names how a password was hashed; none for what can't be
/// the hash of any password.
fn scheme(hash: &[u8]) -> Option<String> {
    if let Some(rest) = hash.strip_prefix(b"$") {
        let end = rest.iter().position(|byte| *byte == b'$')?;
        let name = &rest[..end];
        // SunMD5 has its rounds in the prefix: `$md5,rounds=5000$`.
        let (name, rounds) = match name.iter().position(|byte| *byte == b',') {
            Some(comma) => name.split_at(comma),
            None => (name, &b""[..]),
        };
        if !matches!(
            rounds,
            b"" | [b',', b'r', b'o', b'u', b'n', b'd', b's', b'=', ..]
        ) {
            return None;
        }
        let plausible = (1..=16).contains(&name.len())
            && name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        return plausible.then(|| text(name));
    }
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    match hash {
        // BSDi's extended DES: `_` and 19 characters.
        [b'_', rest @ ..] if rest.len() == 19 && rest.iter().all(base64) => Some("bsdi".to_owned()),
        // Traditional DES has 13 characters of this alphabet; `bigcrypt` has more.
        rest if rest.len() >= 13 && rest.iter().all(base64) => Some("des".to_owned()),
        _ => None,
    }
}

fn parse_lines<T>(bytes: &[u8], parse: impl Fn(Vec<&[u8]>) -> Option<T>) -> Parsed<T> {
    let mut parsed = Parsed {
        entries: Vec::new(),
        malformed: Vec::new(),
    };
    for (line, text) in (1u32..).zip(bytes.split(|byte| *byte == b'\n')) {
        // A final newline, and empty lines, which glibc skips.
        if text.trim_ascii().is_empty() {
            continue;
        }
        // "Skip leading blanks" (glibc's files-XXX.c): the name begins after them.
        let text = text.trim_ascii_start();
        // Comments are no part of these formats, but glibc skips them too.
        if text.starts_with(b"#") {
            continue;
        }
        // More fields than any of these files has need no more splitting.
        let fields: Vec<&[u8]> = text.splitn(12, |byte| *byte == b':').collect();
        match parse(fields) {
            Some(entry) => parsed.entries.push(Line { line, entry }),
            None => parsed.malformed.push(line),
        }
    }
    parsed
}

/// A name that is not empty and not an NIS marker (`+`, `-` of nsswitch's `compat`).
fn name_of(bytes: &[u8]) -> Option<String> {
    let plausible = !bytes.is_empty() && !bytes.starts_with(b"+") && !bytes.starts_with(b"-");
    plausible.then(|| text(bytes))
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| str::from_utf8(bytes).ok()?.parse().ok())?
}

/// A count of days or nothing; anything else makes the line unreadable.
fn days(bytes: &[u8]) -> Option<Option<i64>> {
    if bytes.is_empty() {
        return Some(None);
    }
    str::from_utf8(bytes).ok()?.parse().ok().map(Some)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
