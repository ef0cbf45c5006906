//! POSIX ACLs as the kernel hands them out (acl(5)): a version, then entries of eight bytes
//! each, all little-endian (`struct posix_acl_xattr_entry` of `linux/posix_acl_xattr.h`).

/// An entry: `tag` as the header has it, permission bits, and the id where the tag has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEntry {
    pub tag: u16,
    pub bits: u16,
    pub id: u32,
}

pub const USER: u16 = 0x02;
pub const OWNING_GROUP: u16 = 0x04;
pub const GROUP: u16 = 0x08;
pub const MASK: u16 = 0x10;

const VERSION: u32 = 2;

/// The entries; none when these bytes are no ACL of the version that there is.
pub fn parse_acl(bytes: &[u8]) -> Option<Vec<RawEntry>> {
    let (version, entries) = bytes.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let (entries, []) = entries.as_chunks::<8>() else {
        return None;
    };
    let entries = entries
        .iter()
        .map(|&[t0, t1, b0, b1, i0, i1, i2, i3]| RawEntry {
            tag: u16::from_le_bytes([t0, t1]),
            bits: u16::from_le_bytes([b0, b1]),
            id: u32::from_le_bytes([i0, i1, i2, i3]),
        });
    Some(entries.collect())
}

/// The entries that name people, and that of the owning group, count within the mask.
pub fn within_mask(mut entries: Vec<RawEntry>) -> Vec<RawEntry> {
    let mask = entries.iter().find(|entry| entry.tag == MASK);
    if let Some(mask) = mask.map(|entry| entry.bits) {
        for entry in &mut entries {
            if matches!(entry.tag, USER | OWNING_GROUP | GROUP) {
                entry.bits &= mask;
            }
        }
    }
    entries
}
