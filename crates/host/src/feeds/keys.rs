//! Key files: who is trusted to sign bundles, and the key that signs them.

use model::count::size;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use trust::{Keys, PublicKey, SecretKey};

use super::records::bounded;
use super::{FeedError, fail};
use crate::state;

/// A key of this kind takes 120 bytes; some tools write comments before it.
const LIMIT_BYTES: u64 = 16 << 10;
/// Beside the keys: how many of them have to sign.
const THRESHOLD: &str = "threshold";

/// What is taken in.
#[derive(Clone, Debug)]
pub struct Accept {
    /// Who is believed; none where no key is trusted.
    pub keys: Option<Keys>,
    /// Also what nobody signed.
    pub unsigned: bool,
}

/// On a host where nobody spoke of keys: what is handed in is taken, and no bundle is believed.
impl Default for Accept {
    fn default() -> Self {
        Self {
            keys: None,
            unsigned: true,
        }
    }
}

fn refused(path: &Path, why: impl Into<String>) -> FeedError {
    FeedError::Key {
        path: path.to_owned(),
        why: why.into(),
    }
}

fn content(file: File, path: &Path) -> Result<Vec<u8>, FeedError> {
    if !file.metadata().map_err(fail("look at", path))?.is_file() {
        return Err(refused(path, "is not a file"));
    }
    bounded(file, LIMIT_BYTES)
        .map_err(fail("read", path))?
        .ok_or_else(|| refused(path, format!("is larger than {}", size(LIMIT_BYTES))))
}

/// Opens without waiting for whoever may write into a pipe.
fn open(path: &Path, flags: i32) -> Result<File, FeedError> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | flags)
        .open(path)
        .map_err(fail("open", path))
}

/// The public keys that a person named.
///
/// # Errors
/// When one of them is none, or fewer different ones are there than have to sign.
pub fn named_keys(paths: &[PathBuf], threshold: usize) -> Result<Keys, FeedError> {
    let keys = paths.iter().map(|path| {
        let text = content(open(path, 0)?, path)?;
        PublicKey::from_pem(&text).map_err(|error| refused(path, error.to_string()))
    });
    let keys: Vec<PublicKey> = keys.collect::<Result<_, _>>()?;
    Ok(Keys::new(keys, threshold)?)
}

/// The public keys in a folder, each in a file that ends in `.pem`. How many have to sign, its
/// file `threshold` says, or else one. Where there is such a folder only what is signed is taken,
/// also when no key is left in it: who takes the last one away does not mean to believe everybody.
///
/// # Errors
/// When somebody else could have written one of them, or one can't be read: a key that is left
/// out silently would be one signature fewer.
pub fn folder_keys(folder: &Path, threshold: Option<usize>) -> Result<Accept, FeedError> {
    let folder = std::path::absolute(folder).map_err(fail("find", folder))?;
    let real = match folder.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Accept::default()),
        Err(error) => return Err(fail("open", &folder)(error)),
    };
    if real != folder {
        return Err(refused(&folder, "is reached over a link"));
    }
    for path in folder.ancestors() {
        let metadata = path.symlink_metadata().map_err(fail("look at", path))?;
        if !metadata.is_dir() {
            return Err(refused(path, "is not a directory"));
        }
        only_ours(&metadata, path, path != folder)?;
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(fail("list", &folder))? {
        names.push(entry.map_err(fail("list", &folder))?.path());
    }
    names.sort();
    let read = |path: &Path| {
        let file = open(path, libc::O_NOFOLLOW)?;
        only_ours(
            &file.metadata().map_err(fail("look at", path))?,
            path,
            false,
        )?;
        content(file, path)
    };
    let mut keys = Vec::new();
    for path in names {
        if path.extension().is_some_and(|ending| ending == "pem") {
            let text = read(&path)?;
            let key = PublicKey::from_pem(&text);
            keys.push(key.map_err(|error| refused(&path, error.to_string()))?);
        }
    }
    let asked = folder.join(THRESHOLD);
    let threshold = match threshold {
        Some(threshold) => threshold,
        None if asked.symlink_metadata().is_ok() => str::from_utf8(&read(&asked)?)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| refused(&asked, "is not a number of keys"))?,
        None => 1,
    };
    Ok(Accept {
        keys: match keys.is_empty() {
            true => None,
            false => Some(Keys::new(keys, threshold)?),
        },
        unsigned: false,
    })
}

/// Belongs to root or to us, and nobody else may write it.
fn only_ours(
    metadata: &std::fs::Metadata,
    path: &Path,
    is_ancestor: bool,
) -> Result<(), FeedError> {
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != us {
        return Err(refused(
            path,
            format!("belongs to user id {}", metadata.uid()),
        ));
    }
    let mode = metadata.mode();
    // An ordinary user's folder may lie in a sticky one such as `/tmp`, as their state may.
    let sticky = us != 0 && is_ancestor && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !sticky {
        return Err(refused(
            path,
            format!(
                "may be written by others than its owner (mode {:04o})",
                mode & 0o7777
            ),
        ));
    }
    Ok(())
}

/// The key that signs, which nobody else may read.
///
/// # Errors
/// When it is none, or is open to others.
pub fn secret_key(path: &Path) -> Result<SecretKey, FeedError> {
    let file = open(path, 0)?;
    let metadata = file.metadata().map_err(fail("look at", path))?;
    // Whose it is does not matter: a person's key is used over sudo.
    if metadata.mode() & 0o077 != 0 {
        return Err(refused(
            path,
            format!("is open to others (mode {:04o})", metadata.mode() & 0o7777),
        ));
    }
    let text = content(file, path)?;
    SecretKey::from_pem(&text).map_err(|error| refused(path, error.to_string()))
}

/// Makes a key: the secret half in `path`, the public half beside it, with `.pub` before its
/// ending. Neither replaces anything.
///
/// # Errors
/// When one of the files is there, or can't be written.
pub fn generate(path: &Path) -> Result<(PublicKey, PathBuf), FeedError> {
    let ending = path.extension().unwrap_or_default();
    if ending != "pem" {
        return Err(refused(path, "must end in .pem"));
    }
    let public_path = path.with_extension("pub.pem");
    let mut random = [0; 32];
    state::random(&mut random).map_err(fail("make a key for", path))?;
    let secret = SecretKey::from_random(&random);
    let create = |path: &Path, mode: u32, text: String| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .map_err(fail("create", path))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(fail("write", path))
    };
    create(path, 0o600, secret.to_pem())?;
    create(&public_path, 0o644, secret.public().to_pem()).inspect_err(|_| {
        // A key whose other half is not there would be taken for one that is in use.
        let _ = std::fs::remove_file(path);
    })?;
    Ok((secret.public(), public_path))
}
