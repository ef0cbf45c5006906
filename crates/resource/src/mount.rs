//! Mount options: which of several counts, and edits of `/etc/fstab` (fstab(5)) and of
//! mount units that add options and leave the rest as it is.

use model::printable;

use crate::Syntax;
use crate::edit::EditError;
use crate::syntax;

/// Is `wanted` in effect? Of options that say opposite things, the last counts (mount(8)).
pub fn in_effect<'a>(options: impl IntoIterator<Item = &'a str>, wanted: &str) -> bool {
    let about_it = |option: &&str| *option == wanted || contradicts(option, wanted);
    options.into_iter().filter(about_it).last() == Some(wanted)
}

/// With those that others imply, "unless overridden by subsequent options" (mount(8), `user`).
pub fn implied(options: &[String]) -> Vec<String> {
    let all = options.iter().flat_map(|option| {
        let more: &[&str] = match option.as_str() {
            "user" | "users" => &["noexec", "nosuid", "nodev"],
            "owner" | "group" => &["nosuid", "nodev"],
            _ => &[],
        };
        let more = more.iter().map(|option| (*option).to_owned());
        std::iter::once(option.clone()).chain(more)
    });
    all.collect()
}

/// `options` with `wanted` in effect: those that say the opposite are dropped.
pub fn with(options: &[String], wanted: &[String]) -> Vec<String> {
    let mut out = options.to_vec();
    for one in wanted {
        if !in_effect(out.iter().map(String::as_str), one) {
            out.retain(|option| option != one && !contradicts(option, one));
            out.push(one.clone());
        }
    }
    out
}

/// `noexec` and `exec`, `ro` and `rw`, `size=1G` and `size=2G`.
fn contradicts(option: &str, wanted: &str) -> bool {
    match (option.split_once('='), wanted.split_once('=')) {
        (Some((a, x)), Some((b, y))) => a == b && x != y,
        (None, None) => {
            matches!((option, wanted), ("ro", "rw") | ("rw", "ro"))
                || option.strip_prefix("no") == Some(wanted)
                || wanted.strip_prefix("no") == Some(option)
        }
        _ => false,
    }
}

/// The text of `/etc/fstab` in which the last line of `path` has the options. Without such a
/// line, `new_line` is added at the end.
pub(crate) fn set_fstab(
    text: &str,
    path: &str,
    options: &[String],
    new_line: Option<&str>,
) -> Result<String, EditError> {
    let mut out: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let found = out.iter().rposition(|line| field(line, 1) == Some(path));
    let Some(at) = found else {
        let new_line = new_line.ok_or_else(|| EditError::NoSuchLine {
            what: format!("a line for {}", printable(path.as_bytes())),
        })?;
        let mut text = text.to_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let line = format!("{new_line}\n");
        // The new line takes its own options, and those of whoever else asks.
        return set_fstab(&(text + &line), path, options, None);
    };
    let line = &out[at];
    let have: Vec<String> = field(line, 3)
        .ok_or_else(|| EditError::NoSuchLine {
            what: format!("a line with options for {}", printable(path.as_bytes())),
        })?
        .split(',')
        .map(str::to_owned)
        .collect();
    let new = with(&have, options).join(",");
    let (start, end) = field_span(line, 3).unwrap_or((line.len(), line.len()));
    out[at] = format!("{}{new}{}", &line[..start], &line[end..]);
    Ok(out.concat())
}

/// The text of a drop-in of a mount unit, whose `Options=` are these on top of what it has
/// already, or of `base` where it has none. Percent signs are doubled (systemd.unit(5)).
pub(crate) fn set_unit(text: &str, base: &str, options: &[String]) -> Result<String, EditError> {
    let found = Syntax::SYSTEMD.effective(text, "Mount", "Options");
    let have = found.map_or_else(|| base.to_owned(), |found| found.value);
    let have: Vec<String> = have
        .split(',')
        .filter(|option| !option.is_empty())
        .map(str::to_owned)
        .collect();
    let wanted: Vec<String> = options
        .iter()
        .map(|option| option.replace('%', "%%"))
        .collect();
    let new = with(&have, &wanted).join(",");
    syntax::set(text, Syntax::SYSTEMD, "Mount", "Options", &new).map_err(|_| {
        EditError::NotReadBack {
            key: "Options".to_owned(),
        }
    })
}

/// The field at `index` of a line of fstab(5); none in a comment.
pub(crate) fn field(line: &str, index: usize) -> Option<&str> {
    field_span(line, index).map(|(start, end)| &line[start..end])
}

fn field_span(line: &str, index: usize) -> Option<(usize, usize)> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    let word = line.split_whitespace().nth(index)?;
    // `word` is a part of `line`, so its place is the distance between the two.
    let start = word.as_ptr().addr() - line.as_ptr().addr();
    Some((start, start + word.len()))
}

/// The name of the unit that mounts `path` (systemd-escape(1), `--path`).
pub fn unit_of(path: &model::HostPath) -> String {
    let bytes = path.as_bytes();
    if bytes == b"/" {
        return "-.mount".to_owned();
    }
    let mut name = String::new();
    for (at, byte) in bytes[1..].iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str("\\x2e"),
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(byte) => {
                name.push(char::from(*byte));
            }
            byte => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name + ".mount"
}
