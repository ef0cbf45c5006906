//! Logins of wtmp(5): records of 384 bytes, as glibc has them on x86-64 (`bits/utmp.h`).

/// A login, from `USER_PROCESS` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub user: Vec<u8>,
    /// Seconds since 1970.
    pub at_s: i64,
}

const RECORD_BYTES: usize = 384;
const USER_PROCESS: u16 = 7;

/// The logins, oldest first. A last record that is cut off is left out.
pub fn logins(bytes: &[u8]) -> impl Iterator<Item = Login> {
    let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
    records.iter().filter_map(|record| {
        let kind = u16::from_le_bytes([record[0], record[1]]);
        let name = &record[44..76];
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len());
        let at = u32::from_le_bytes([record[340], record[341], record[342], record[343]]);
        (kind == USER_PROCESS).then(|| Login {
            user: name[..end].to_vec(),
            at_s: i64::from(at),
        })
    })
}
