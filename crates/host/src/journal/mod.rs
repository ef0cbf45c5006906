//! The journal: what was planned, what was there before, what was done and how it ended.
//! Every record is authenticated with this host's key and bound to this machine, so that
//! recovery acts on nothing that this host did not write. The only room of this crate that
//! speaks SQL.

pub mod record;

use std::cell::Cell;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use model::{ChangeId, Digest};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

pub use record::{
    ActionRecord, ActionState, GivenUp, GuardedUndo, Header, Imaged, Kept, Role, UndoTo, Wait,
};

/// Separates these authentication codes from any other use of the key.
const DOMAIN: &[u8] = b"steadfast journal record v1";

/// The journal can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {what} the journal: {source}")]
    Sql {
        what: &'static str,
        source: rusqlite::Error,
    },
    /// The record was written by someone else, or elsewhere, or was altered.
    #[error("the journal's record `{kind}` of change {change} was not written by this host")]
    Foreign { kind: &'static str, change: u64 },
    #[error("the journal's record `{kind}` of change {change} can't be read: {why}")]
    Malformed {
        kind: &'static str,
        change: u64,
        why: String,
    },
    /// Kept for the day on which the form changes.
    #[error("the journal was written by a newer steadfast (its form is {0})")]
    Newer(i64),
}

impl JournalError {
    /// Was there no room left?
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Sql { source, .. } if source.sqlite_error_code()
            == Some(rusqlite::ErrorCode::DiskFull))
    }
}

fn sql(what: &'static str) -> impl Fn(rusqlite::Error) -> JournalError {
    move |source| JournalError::Sql { what, source }
}

/// The kinds of records, each with one type.
pub trait Record: Serialize + DeserializeOwned {
    const KIND: &'static str;
}

/// Since 2 the plan of a change may have stages, and is written again when its packages are there.
const FORMAT: i64 = 2;
/// Its tables and codes are the same: it is read as it is, and raised by the first record that is
/// written.
const OLDEST_FORMAT: i64 = 1;

pub struct Journal {
    connection: Connection,
    /// As it is on the disk.
    format: Cell<i64>,
    key: [u8; 32],
    machine: Option<Digest>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    pub(crate) fn open(
        path: &Path,
        key: [u8; 32],
        machine: Option<Digest>,
    ) -> Result<Self, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sql("open"))?;
        // Another process may be in the middle of one short transaction.
        connection
            .busy_timeout(std::time::Duration::from_secs(10))
            .map_err(sql("open"))?;
        // The rollback journal stays, with the room that it has: on a full disk a record can
        // still be written over. Its header is overwritten and synced at the end of each
        // transaction, so a committed record survives a power cut
        // (sqlite.org/pragma.html#pragma_journal_mode, #pragma_synchronous).
        connection
            .execute_batch(
                "PRAGMA journal_mode = PERSIST;
                 PRAGMA journal_size_limit = 262144;
                 PRAGMA synchronous = EXTRA;
                 PRAGMA trusted_schema = OFF;
                 PRAGMA cell_size_check = ON;",
            )
            .map_err(sql("set up"))?;
        let format: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(sql("read"))?;
        match format {
            OLDEST_FORMAT..=FORMAT => {}
            0 => connection
                .execute_batch(
                    "BEGIN IMMEDIATE;
                     CREATE TABLE IF NOT EXISTS record (
                         kind   TEXT    NOT NULL,
                         change INTEGER NOT NULL,
                         key    TEXT    NOT NULL,
                         body   TEXT    NOT NULL,
                         mac    BLOB    NOT NULL,
                         PRIMARY KEY (kind, change, key)
                     ) WITHOUT ROWID;
                     PRAGMA user_version = 2;
                     COMMIT;",
                )
                .map_err(sql("set up"))?,
            newer => return Err(JournalError::Newer(newer)),
        }
        Ok(Self {
            connection,
            format: Cell::new(if format == 0 { FORMAT } else { format }),
            key,
            machine,
        })
    }

    fn mac(&self, kind: &str, change: u64, key: &str, body: &str) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key)
            .expect("HMAC takes a key of any length");
        // Lengths stand before texts, so that no two records have the same bytes.
        let machine = self
            .machine
            .map_or_else(|| "none".to_owned(), |digest| digest.to_string());
        for part in [DOMAIN, machine.as_bytes(), kind.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.update(&change.to_be_bytes());
        for part in [key.as_bytes(), body.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    /// Writes records, all or none, durably.
    pub fn write(&self, batch: Batch) -> Result<(), JournalError> {
        let transaction = self
            .connection
            .unchecked_transaction()
            .map_err(sql("write"))?;
        if self.format.get() < FORMAT {
            transaction
                .pragma_update(None, "user_version", FORMAT)
                .map_err(sql("write"))?;
        }
        {
            let mut statement = transaction
                .prepare_cached(
                    "INSERT INTO record (kind, change, key, body, mac) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (kind, change, key) DO UPDATE SET body = ?4, mac = ?5",
                )
                .map_err(sql("write"))?;
            for (kind, change, key, body) in batch.0 {
                let mac = self.mac(kind, change, &key, &body).finalize().into_bytes();
                statement
                    .execute(params![kind, signed(change), key, body, &mac[..]])
                    .map_err(sql("write"))?;
            }
        }
        transaction.commit().map_err(sql("write"))?;
        self.format.set(FORMAT);
        Ok(())
    }

    pub fn get<T: Record>(&self, change: ChangeId, key: &str) -> Result<Option<T>, JournalError> {
        let row: Option<(String, Vec<u8>)> = self
            .connection
            .query_row(
                "SELECT body, mac FROM record WHERE kind = ?1 AND change = ?2 AND key = ?3",
                params![T::KIND, signed(change.0), key],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(sql("read"))?;
        row.map(|(body, mac)| self.check(change.0, key, &body, &mac))
            .transpose()
    }

    /// All records of one kind and change, ordered by key.
    pub fn list<T: Record>(&self, change: ChangeId) -> Result<Vec<(String, T)>, JournalError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT key, body, mac FROM record WHERE kind = ?1 AND change = ?2 ORDER BY key",
            )
            .map_err(sql("read"))?;
        let rows = statement
            .query_map(params![T::KIND, signed(change.0)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .map_err(sql("read"))?;
        let mut found = Vec::new();
        for row in rows {
            let (key, body, mac): (String, String, Vec<u8>) = row.map_err(sql("read"))?;
            let record = self.check(change.0, &key, &body, &mac)?;
            found.push((key, record));
        }
        Ok(found)
    }

    /// The headers of all changes, the newest last.
    pub fn headers(&self) -> Result<Vec<Header>, JournalError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT change FROM record WHERE kind = ?1 ORDER BY change")
            .map_err(sql("read"))?;
        let numbers = statement
            .query_map(params![Header::KIND], |row| row.get::<_, i64>(0))
            .map_err(sql("read"))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(sql("read"))?;
        let mut headers = Vec::with_capacity(numbers.len());
        for number in numbers {
            let id = ChangeId(number.unsigned_abs());
            let header: Header = self.get(id, "")?.ok_or(JournalError::Foreign {
                kind: Header::KIND,
                change: id.0,
            })?;
            headers.push(header);
        }
        Ok(headers)
    }

    /// Removes every record of a change.
    pub fn forget(&self, change: ChangeId) -> Result<(), JournalError> {
        self.connection
            .execute("DELETE FROM record WHERE change = ?1", [signed(change.0)])
            .map_err(sql("write"))?;
        Ok(())
    }

    fn check<T: Record>(
        &self,
        change: u64,
        key: &str,
        body: &str,
        mac: &[u8],
    ) -> Result<T, JournalError> {
        let kind = T::KIND;
        self.mac(kind, change, key, body)
            .verify_slice(mac)
            .map_err(|_| JournalError::Foreign { kind, change })?;
        serde_json::from_str(body).map_err(|error| JournalError::Malformed {
            kind,
            change,
            why: error.to_string(),
        })
    }
}

/// Change numbers count up from 1 and never come near the limit.
fn signed(change: u64) -> i64 {
    i64::try_from(change).unwrap_or(i64::MAX)
}

/// Records to be written together.
#[derive(Debug, Default)]
pub struct Batch(Vec<(&'static str, u64, String, String)>);

impl Batch {
    pub fn put<T: Record>(mut self, change: ChangeId, key: impl Into<String>, record: &T) -> Self {
        let body = serde_json::to_string(record)
            .expect("records have string keys and no fallible serialisers");
        self.0.push((T::KIND, change.0, key.into(), body));
        self
    }
}
