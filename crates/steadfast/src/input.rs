//! Files that a person names on the command line. A pipe would be waited for without end, a device
//! may have no end, and opening one may do something: only regular files are read, and bounded.

use model::count::size;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file.
///
/// # Errors
/// When it can't be opened, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    // What it is, is asked first: to open a device may rewind a tape.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// All of a regular file.
///
/// # Errors
/// The same, and when it is larger than `limit_bytes`.
pub fn read(path: &Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let bytes = read_start(path, limit_bytes + 1)?;
    match bytes.len() as u64 > limit_bytes {
        true => Err(io::Error::other(format!(
            "it is over {}",
            size(limit_bytes)
        ))),
        false => Ok(bytes),
    }
}

/// The first bytes of a regular file, at most so many.
///
/// # Errors
/// When it can't be read, or is something else.
pub fn read_start(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}
