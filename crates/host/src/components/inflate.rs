//! DEFLATE (RFC 1951) and zlib (RFC 1950), never to more than a limit.

use miniz_oxide::inflate::{
    DecompressError, TINFLStatus, decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit,
};
use model::count::size;
use model::value::Reason;

use super::source::malformed;

/// Deflated bytes of a zip archive or a gzip member.
pub fn raw(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Reason> {
    decompress_to_vec_with_limit(bytes, limit_bytes)
        .map_err(|error| reason(bytes, limit_bytes, &error))
}

pub fn zlib(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Reason> {
    decompress_to_vec_zlib_with_limit(bytes, limit_bytes)
        .map_err(|error| reason(bytes, limit_bytes, &error))
}

fn reason(bytes: &[u8], limit_bytes: usize, error: &DecompressError) -> Reason {
    match error.status {
        TINFLStatus::HasMoreOutput => Reason::Failed {
            why: format!(
                "{} unpack to more than the limit of {}",
                size(bytes.len()),
                size(limit_bytes)
            ),
        },
        _ => malformed("packed bytes that can't be unpacked"),
    }
}
