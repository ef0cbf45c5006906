//! `/proc/self/mountinfo` (proc(5)) and `/etc/fstab` (fstab(5)).

use model::HostPath;
use model::value::{FstabLine, Mount};

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountLine {
    /// A unique number, which `statx` gives too.
    pub id: u64,
    /// `major:minor` of the files on it.
    pub device: (u32, u32),
    /// Which directory of its file system is mounted.
    pub root: Vec<u8>,
    pub mount: Mount,
}

/// Lines that can't be read are left out: the kernel writes this file, and a form that is
/// newer than we know is still right about the other lines.
pub fn parse_mountinfo(bytes: &[u8]) -> Vec<MountLine> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(mountinfo_line)
        .collect()
}

/// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
fn mountinfo_line(line: &[u8]) -> Option<MountLine> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = ascii(fields.next()?)?.parse().ok()?;
    let _parent = fields.next()?;
    let (major, minor) = ascii(fields.next()?)?.split_once(':')?;
    let root = unescape(fields.next()?);
    let path = unescape(fields.next()?);
    let own = lossy(fields.next()?);
    // Optional fields end with a single hyphen.
    fields.by_ref().find(|field| *field == b"-")?;
    let fs_type = lossy(fields.next()?);
    let source = String::from_utf8_lossy(&unescape(fields.next()?)).into_owned();
    let superblock = fields.next().map(lossy).unwrap_or_default();
    Some(MountLine {
        id,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root,
        mount: Mount {
            // A mount that is outside this process's root has a path that is no absolute one.
            path: HostPath::from_bytes(&path).ok()?,
            fs_type,
            source,
            options: options(&own, &superblock),
        },
    })
}

/// The mount's own options, then those of its superblock that add something. Read-only on
/// either side is read-only.
fn options(own: &str, superblock: &str) -> Vec<String> {
    let mut options: Vec<String> = own.split(',').map(str::to_owned).collect();
    let superblock: Vec<&str> = superblock.split(',').collect();
    if superblock.contains(&"ro") {
        options
            .iter_mut()
            .filter(|option| *option == "rw")
            .for_each(|option| *option = "ro".to_owned());
    }
    for option in superblock {
        if option != "rw" && !option.is_empty() && !options.iter().any(|taken| taken == option) {
            options.push(option.to_owned());
        }
    }
    options
}

/// The lines of fstab(5) that are no comments. A line with fewer than four fields has
/// defaults: mount(8) takes `defaults` for missing options.
pub fn parse_fstab(bytes: &[u8]) -> Vec<FstabLine> {
    (1u32..)
        .zip(bytes.split(|byte| *byte == b'\n'))
        .filter_map(|(line, text)| {
            let mut fields = text
                .split(|byte| byte.is_ascii_whitespace())
                .filter(|field| !field.is_empty());
            let source = fields.next().filter(|field| !field.starts_with(b"#"))?;
            let path = fields.next()?;
            let fs_type = fields.next()?;
            let options = fields.next().unwrap_or(b"defaults");
            let plain = |field| String::from_utf8_lossy(&unescape(field)).into_owned();
            Some(FstabLine {
                line,
                source: plain(source),
                path: plain(path),
                fs_type: plain(fs_type),
                options: plain(options).split(',').map(str::to_owned).collect(),
            })
        })
        .collect()
}

/// "Unusual characters are escaped as `\040`": three octal digits (getmntent(3)).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

fn ascii(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
