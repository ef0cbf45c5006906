//! The snapshot of a machine's files, taken by the machine's own `find`, `sha256sum` and `getfattr`, since its disk can't be looked into from
//! outside while it runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::snapshot::{Entry, Kind, Snapshot};
use crate::{Error, Exec, Machine, Result};

/// Emulated, a whole root file system's digests take minutes.
const LIMIT: Duration = Duration::from_secs(600);
/// Fields of one file in `find`'s report.
const FIELDS: usize = 8;

/// Reads the files at and below `paths`, staying on their file systems.
pub(crate) fn take(machine: &Machine, paths: &[&str]) -> Result<Snapshot> {
    let files = ask(
        machine,
        r#"find "$@" -xdev -printf '%p\0%y\0%m\0%U\0%G\0%T@\0%s\0%l\0'"#,
        paths,
    )?;
    let digests = ask(
        machine,
        r#"find "$@" -xdev -type f -print0 | xargs -0 -r sha256sum -z --"#,
        paths,
    )?;
    let attributes = ask(
        machine,
        r#"find "$@" -xdev -print0 | xargs -0 -r getfattr -h --absolute-names -d -m - -e hex --"#,
        paths,
    )?;
    parse(&files, &digests, &attributes).ok_or_else(|| Error::Failed {
        program: "find, sha256sum, getfattr".to_owned(),
        status: "ended".to_owned(),
        detail: "a report that can't be understood, or a file that changed meanwhile".to_owned(),
    })
}

fn ask(machine: &Machine, line: &str, paths: &[&str]) -> Result<Vec<u8>> {
    let exec = Exec::new(["/bin/sh", "-c", line, "sh"])
        .args(paths)
        .limit(LIMIT);
    let said = machine.exec(&exec)?;
    if said.success() {
        Ok(said.stdout)
    } else {
        said.ok().map(String::into_bytes)
    }
}

fn parse(files: &[u8], digests: &[u8], attributes: &[u8]) -> Option<Snapshot> {
    let digests: BTreeMap<PathBuf, String> = records(digests)
        .map(|line| {
            // `DIGEST  PATH`, or `DIGEST *PATH`.
            let (digest, path) = line.split_at_checked(64)?;
            Some((
                path_of(path.get(2..)?),
                String::from_utf8(digest.to_vec()).ok()?,
            ))
        })
        .collect::<Option<_>>()?;
    let mut attributes = attributes_by_path(attributes)?;
    let fields: Vec<_> = records(files).collect();
    let mut snapshot = Snapshot::default();
    for file in fields.chunks(FIELDS) {
        let [path, class, mode, uid, gid, mtime, size, target] = file else {
            return None;
        };
        let path = path_of(path);
        let kind = match *class {
            b"f" => Kind::File {
                size_bytes: number(size)?,
                sha256: digests.get(&path)?.clone(),
            },
            b"d" => Kind::Directory,
            b"l" => Kind::Link {
                target: path_of(target),
            },
            b"p" => Kind::Fifo,
            b"s" => Kind::Socket,
            // `find` doesn't tell a device's number, and one outside of /dev is nothing that a test makes.
            _ => return None,
        };
        let entry = Entry {
            kind,
            mode: u32::from_str_radix(std::str::from_utf8(mode).ok()?, 8).ok()?,
            uid: number(uid)?,
            gid: number(gid)?,
            mtime_ns: nanoseconds(std::str::from_utf8(mtime).ok()?)?,
            xattrs: attributes.remove(&path).unwrap_or_default(),
        };
        snapshot.entries.insert(path, entry);
    }
    Some(snapshot)
}

/// What stands before each zero byte.
fn records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .strip_suffix(b"\0")
        .into_iter()
        .flat_map(|bytes| bytes.split(|&byte| byte == 0))
}

fn path_of(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// `SECONDS.FRACTION` with nine digits or more.
fn nanoseconds(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let fraction: i64 = fraction.get(..9)?.parse().ok()?;
    Some(seconds * 1_000_000_000 + fraction)
}

/// `getfattr`'s report: `# file: PATH`, then `NAME=0xHEX` lines, then an empty one.
fn attributes_by_path(bytes: &[u8]) -> Option<BTreeMap<PathBuf, BTreeMap<String, String>>> {
    let mut all = BTreeMap::new();
    let mut current: Option<&mut BTreeMap<String, String>> = None;
    for line in bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        if let Some(path) = line.strip_prefix(b"# file: ") {
            current = Some(all.entry(path_of(&unescaped(path)?)).or_default());
        } else {
            let (name, value) = std::str::from_utf8(line).ok()?.split_once("=0x")?;
            current
                .as_deref_mut()?
                .insert(name.to_owned(), value.to_owned());
        }
    }
    Some(all)
}

/// Undoes getfattr's `\OOO` for the bytes that would break its lines.
fn unescaped(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\' {
            let (digits, after) = after.split_at_checked(3)?;
            plain.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?);
            rest = after;
        } else {
            plain.push(first);
            rest = after;
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_become_entries() {
        let digest = "a".repeat(64);
        let files = [
            [
                "/e",
                "d",
                "755",
                "0",
                "0",
                "1700000000.0000000010",
                "4096",
                "",
            ],
            [
                "/e/f\n",
                "f",
                "4755",
                "1",
                "2",
                "1700000000.1234567890",
                "3",
                "",
            ],
            ["/e/l", "l", "777", "0", "0", "1.5000000000", "1", "f"],
        ];
        let files: String = files
            .iter()
            .flatten()
            .flat_map(|field| [*field, "\0"])
            .collect();
        let files = files.as_bytes();
        let digests = format!("{digest}  /e/f\n\0");
        let attributes = b"# file: /e/f\\012\nsecurity.capability=0x0102\n\n";
        let snapshot =
            parse(files, digests.as_bytes(), attributes).expect("the reports are well formed");
        let file = &snapshot.entries[&PathBuf::from("/e/f\n")];
        assert_eq!(
            file.kind,
            Kind::File {
                size_bytes: 3,
                sha256: digest
            }
        );
        assert_eq!((file.mode, file.uid, file.gid), (0o4755, 1, 2));
        assert_eq!(file.mtime_ns, 1_700_000_000_123_456_789);
        assert_eq!(file.xattrs["security.capability"], "0102");
        let link = &snapshot.entries[&PathBuf::from("/e/l")];
        assert_eq!(link.kind, Kind::Link { target: "f".into() });
        assert_eq!(
            parse(files, b"", attributes),
            None,
            "a file without a digest is not skipped"
        );
    }
}
