//! Bytes that can be read in pieces: a file of the host, a member of an archive, or a slice.
//! Parsers ask for what they need, so that of a program of a hundred megabytes a few pages are
//! read.

use std::os::fd::OwnedFd;

use model::value::Reason;

/// No parser asks for more than this in one piece; a size in a file is a claim.
pub const LONGEST_PIECE_BYTES: u64 = 256 << 20;

/// Something that can be read at any place.
pub trait Source {
    fn len(&self) -> u64;

    /// Exactly `size` bytes from `offset`; less is an error.
    fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Reason>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, at most `limit_bytes`.
    fn whole(&self, limit_bytes: u64) -> Result<Vec<u8>, Reason> {
        if self.len() > limit_bytes {
            return Err(Reason::TooLarge {
                size_bytes: self.len(),
                limit_bytes,
            });
        }
        self.read(0, self.len())
    }

    /// The beginning of it, at most `limit_bytes`.
    fn beginning(&self, limit_bytes: u64) -> Result<Vec<u8>, Reason> {
        self.read(0, self.len().min(limit_bytes))
    }
}

/// Letters of what is wrong with a file: parsers repeat what they don't understand, which may have
/// as many bytes as the file.
const MOST_SHOWN: usize = 500;

/// What a file that claims more than it has is called.
pub fn malformed(why: impl Into<String>) -> Reason {
    let mut why = why.into();
    if why.len() > MOST_SHOWN {
        why = shortened(&why, MOST_SHOWN);
    }
    Reason::Malformed { why }
}

/// The beginning of a text, when it has more letters than these.
pub fn shortened(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn checked(offset: u64, size: u64, length: u64) -> Result<(), Reason> {
    if size > LONGEST_PIECE_BYTES {
        return Err(Reason::TooLarge {
            size_bytes: size,
            limit_bytes: LONGEST_PIECE_BYTES,
        });
    }
    match offset.checked_add(size) {
        Some(end) if end <= length => Ok(()),
        _ => Err(malformed("it ends before what it announces")),
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Reason> {
        checked(offset, size, Source::len(self))?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Ok(self[from..from + size].to_vec())
    }
}

/// A regular file that is open.
pub struct OpenFile {
    pub file: OwnedFd,
    pub size_bytes: u64,
}

impl Source for OpenFile {
    fn len(&self) -> u64 {
        self.size_bytes
    }

    fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Reason> {
        checked(offset, size, self.size_bytes)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        let mut filled = 0;
        while filled < bytes.len() {
            match rustix::io::pread(&self.file, &mut bytes[filled..], offset + filled as u64) {
                // It has become shorter since it was looked at.
                Ok(0) => return Err(malformed("it ends before what it announces")),
                Ok(read) => filled += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    return Err(Reason::Failed {
                        why: std::io::Error::from(errno).to_string(),
                    });
                }
            }
        }
        Ok(bytes)
    }
}

/// A part of something else.
pub struct Window<'a> {
    pub of: &'a dyn Source,
    pub offset: u64,
    pub size_bytes: u64,
}

impl Source for Window<'_> {
    fn len(&self) -> u64 {
        self.size_bytes
    }

    fn read(&self, offset: u64, size: u64) -> Result<Vec<u8>, Reason> {
        checked(offset, size, self.size_bytes)?;
        let start = self.offset.checked_add(offset);
        let start = start.ok_or_else(|| malformed("it ends before what it announces"))?;
        self.of.read(start, size)
    }
}
