//! The bytes of a layer's archive, unpacked as they come: plain, behind gzip (RFC 1952) or behind
//! Zstandard (RFC 8878). Both formats allow several parts that follow each other, and images that
//! are fetched lazily (eStargz, `zstd:chunked`) have thousands.

use std::io;
use std::ops::Range;

use miniz_oxide::inflate::stream::{InflateState, MinReset, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use model::count::size;
use model::value::Reason;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::components::source::{Source, malformed};

/// All of a layer, unpacked.
const UNPACKED_LIMIT_BYTES: u64 = 16 << 30;
/// Layers of files reach a tenth of this. DEFLATE can't do better than 1 to 1032; Zstandard can,
/// but only with a file that says one thing over and over.
const HIGHEST_RATIO: u64 = 400;
/// Small layers may well be repetitive.
const FREE_OF_RATIO_BYTES: u64 = 64 << 20;
const PIECE_BYTES: usize = 1 << 20;
/// The header of a gzip member has a name and a comment in it.
const GZIP_HEADER_LIMIT_BYTES: u64 = 1 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// "CRC32 (CRC-32) … ISIZE (Input SIZE)" (RFC 1952, 2.3). A layer's digest is its registry's and
/// its store's affair.
const GZIP_TRAILER_BYTES: u64 = 8;
/// 3.1.1, and 3.1.2 for frames that are to be skipped: `zstd:chunked` may begin with one.
const ZSTD_MAGIC: u32 = 0xfd2f_b528;
const ZSTD_SKIPPABLE: u32 = 0x184d_2a50;
/// The memory of one frame, 128 MiB, which `zstd -22 --ultra` asks for and nobody's registry
/// does: a frame that wants more is refused, as the `zstd` program does.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Parts of one archive. Each costs time and may hold nothing; one that is fetched lazily has a
/// part for each of its files.
const MOST_PARTS: u32 = 4_000_000;

/// The bytes of an archive, unpacked as they come.
pub struct Stream<'a> {
    source: &'a dyn Source,
    /// How far the source was read.
    at: u64,
    packed: Vec<u8>,
    packed_at: usize,
    packing: Packing,
    parts: u32,
    ended: bool,
    /// Unpacked bytes, of which those that nobody took yet count.
    buffer: Vec<u8>,
    ready: Range<usize>,
    unpacked_bytes: u64,
}

enum Packing {
    Plain,
    Gzip(Box<InflateState>),
    Zstd {
        decoder: Decoder<'static>,
        /// Is it between two frames?
        is_between: bool,
    },
}

/// What one step of unpacking did.
struct Step {
    consumed: usize,
    written: usize,
    /// A part ended; another one may follow.
    ends_part: bool,
}

impl<'a> Stream<'a> {
    pub fn open(source: &'a dyn Source) -> Result<Self, Reason> {
        let first = source.beginning(4)?;
        let mut stream = Self {
            source,
            at: 0,
            packed: Vec::new(),
            packed_at: 0,
            packing: Packing::Plain,
            parts: 0,
            ended: false,
            buffer: Vec::new(),
            ready: 0..0,
            unpacked_bytes: 0,
        };
        if first.starts_with(&GZIP_MAGIC) {
            stream.at = gzip_header(&source.beginning(GZIP_HEADER_LIMIT_BYTES)?)?;
            stream.packing = Packing::Gzip(InflateState::new_boxed(DataFormat::Raw));
        } else if is_zstd(&first) {
            let mut decoder = Decoder::new().map_err(|error| packed(&error))?;
            decoder
                .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))
                .map_err(|error| packed(&error))?;
            stream.packing = Packing::Zstd {
                decoder,
                is_between: true,
            };
        }
        Ok(stream)
    }

    /// The next bytes; fewer at the end.
    pub fn take(&mut self, size: u64) -> Result<Vec<u8>, Reason> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut taken = Vec::new();
        while taken.len() < size && self.fill()? {
            let part = self.ready.len().min(size - taken.len());
            taken.extend_from_slice(&self.buffer[self.ready.clone()][..part]);
            self.ready.start += part;
        }
        Ok(taken)
    }

    pub fn skip(&mut self, size: u64) -> Result<(), Reason> {
        let mut left = size;
        // What is not packed need not be read.
        let ready = self.ready.len() as u64;
        if matches!(self.packing, Packing::Plain) && left > ready {
            self.ready = 0..0;
            self.at = self.at.saturating_add(left - ready);
            return Ok(());
        }
        while left > 0 && self.fill()? {
            let part = (self.ready.len() as u64).min(left);
            self.ready.start += usize::try_from(part).unwrap_or(0);
            left -= part;
        }
        Ok(())
    }

    /// Makes sure that something is ready; false at the end.
    fn fill(&mut self) -> Result<bool, Reason> {
        while self.ready.is_empty() {
            if self.ended {
                return Ok(false);
            }
            if let Packing::Plain = self.packing {
                self.buffer = self.piece()?;
                self.ready = 0..self.buffer.len();
                self.ended = self.buffer.is_empty();
                self.unpacked_bytes += self.buffer.len() as u64;
            } else {
                self.unpack()?;
            }
            if self.unpacked_bytes > UNPACKED_LIMIT_BYTES {
                return Err(Reason::Failed {
                    why: format!("unpacks to more than {}", size(UNPACKED_LIMIT_BYTES)),
                });
            }
        }
        Ok(true)
    }

    /// The next bytes of the source; none at its end.
    fn piece(&mut self) -> Result<Vec<u8>, Reason> {
        let Some(left) = self.source.len().checked_sub(self.at) else {
            // More was passed over than there is.
            return Err(malformed("the archive is cut off"));
        };
        let size = left.min(PIECE_BYTES as u64);
        if size == 0 {
            return Ok(Vec::new());
        }
        let piece = self.source.read(self.at, size)?;
        self.at += size;
        Ok(piece)
    }

    fn unpack(&mut self) -> Result<(), Reason> {
        if self.packed_at == self.packed.len() {
            self.packed = self.piece()?;
            self.packed_at = 0;
        }
        let input = &self.packed[self.packed_at..];
        let is_last = input.is_empty();
        self.buffer.resize(PIECE_BYTES, 0);
        let step = match &mut self.packing {
            Packing::Gzip(state) => step_gzip(state, input, &mut self.buffer)?,
            Packing::Zstd {
                is_between: true, ..
            } if is_last => {
                self.ended = true;
                return Ok(());
            }
            Packing::Zstd {
                decoder,
                is_between,
            } => {
                let step = step_zstd(decoder, input, &mut self.buffer)?;
                *is_between = step.ends_part;
                step
            }
            Packing::Plain => return Ok(()),
        };
        // What was unpacked before may still have to come out.
        if is_last && step.written == 0 {
            return Err(malformed("the packed archive is cut off"));
        }
        self.packed_at += step.consumed;
        self.ready = 0..step.written;
        self.unpacked_bytes += step.written as u64;
        if step.ends_part {
            self.next_part()?;
        }
        let packed = self.at.max(1);
        if self.unpacked_bytes > FREE_OF_RATIO_BYTES && self.unpacked_bytes / HIGHEST_RATIO > packed
        {
            return Err(Reason::Failed {
                why: format!(
                    "{} unpack to over {HIGHEST_RATIO} times as much",
                    size(packed)
                ),
            });
        }
        Ok(())
    }

    fn next_part(&mut self) -> Result<(), Reason> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(Reason::Failed {
                why: format!("packed in more than {MOST_PARTS} parts"),
            });
        }
        // A decoder of Zstandard goes on to the next frame by itself.
        let Packing::Gzip(state) = &mut self.packing else {
            return Ok(());
        };
        // "A gzip file consists of a series of "members"" (RFC 1952, 2.2).
        let unread = (self.packed.len() - self.packed_at) as u64;
        let at = self.at - unread + GZIP_TRAILER_BYTES;
        let left = self.source.len().saturating_sub(at);
        if left < 2 || self.source.read(at, 2)? != GZIP_MAGIC {
            // Zeros may fill it up to a block; nothing else belongs to it.
            self.ended = true;
            return Ok(());
        }
        // Most have ten bytes: of thousands of members, not each is read to the longest.
        let header = match gzip_header(&self.source.read(at, left.min(512))?) {
            Ok(length) => length,
            Err(_) => gzip_header(&self.source.read(at, left.min(GZIP_HEADER_LIMIT_BYTES))?)?,
        };
        let ahead = GZIP_TRAILER_BYTES + header;
        if ahead <= unread {
            self.packed_at += usize::try_from(ahead).unwrap_or(0);
        } else {
            self.packed_at = self.packed.len();
            self.at = at + header;
        }
        state.reset_as(MinReset);
        Ok(())
    }
}

fn step_gzip(state: &mut InflateState, input: &[u8], output: &mut [u8]) -> Result<Step, Reason> {
    let result = inflate(state, input, output, MZFlush::None);
    let ends_part = match result.status {
        Ok(MZStatus::StreamEnd) => true,
        Ok(_) | Err(MZError::Buf) => false,
        Err(_) => return Err(malformed("packed bytes that can't be unpacked")),
    };
    Ok(Step {
        consumed: result.bytes_consumed,
        written: result.bytes_written,
        ends_part,
    })
}

fn step_zstd(
    decoder: &mut Decoder<'static>,
    input: &[u8],
    output: &mut [u8],
) -> Result<Step, Reason> {
    let mut input = InBuffer::around(input);
    let mut output = OutBuffer::around(output);
    let wanted = decoder
        .run(&mut input, &mut output)
        .map_err(|error| packed(&error))?;
    Ok(Step {
        consumed: input.pos(),
        written: output.pos(),
        ends_part: wanted == 0,
    })
}

fn packed(error: &io::Error) -> Reason {
    malformed(format!("packed bytes that can't be unpacked: {error}"))
}

fn is_zstd(first: &[u8]) -> bool {
    let magic = first.try_into().map(u32::from_le_bytes);
    magic.is_ok_and(|magic| magic == ZSTD_MAGIC || magic & !0xf == ZSTD_SKIPPABLE)
}

/// How long a gzip member's header is (RFC 1952, 2.3).
fn gzip_header(bytes: &[u8]) -> Result<u64, Reason> {
    let cut_off = || malformed("a gzip header is cut off");
    if bytes.len() < 10 || bytes[2] != 8 {
        return Err(malformed("not packed by gzip's only method"));
    }
    let flags = bytes[3];
    let mut at = 10;
    if flags & 4 != 0 {
        let size = bytes.get(at..at + 2).ok_or_else(cut_off)?;
        at += 2 + usize::from(u16::from_le_bytes([size[0], size[1]]));
    }
    // A name and a comment, each ended by a zero.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let text = bytes.get(at..).ok_or_else(cut_off)?;
            at += 1 + text
                .iter()
                .position(|byte| *byte == 0)
                .ok_or_else(cut_off)?;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok(at as u64)
}
