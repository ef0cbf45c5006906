//! Advisories: what is known to be wrong with which versions of which packages, whether that is
//! true of what a host has, and how soon it should be gone.
//!
//! Bytes in, answers out. This room reads feeds ([`read`]), writes and asks the index that they
//! are kept in ([`index`]), matches components ([`matching`]) and ranks what it finds ([`rank`]).
//! It never touches the file system, the network, the clock or a random source: `host::feeds`
//! brings the bytes, and today's date is an argument.

pub mod assess;
pub mod index;
pub mod kernel;
pub mod matching;
pub mod rank;
pub mod read;
pub mod record;
pub mod remedy;
pub mod version;
pub mod waive;

pub use index::{Builder, Feed, Index, IndexError};
pub use matching::{Judged, Subject, Verdict};
pub use record::{Advisory, CveId};
