//! What is believed, and on whose word: signed statements become verified ones, by keys, a
//! threshold of them, an expiry, and the newest that was believed before.
//!
//! Nothing here reads a file, a clock or a random source: bytes, the time and random bytes are
//! handed in. [`Verified`] has one way to come about, which is [`Signed::verify`].

pub mod bundle;
mod envelope;
mod key;
mod pem;
mod signed;

pub use envelope::{Envelope, EnvelopeError, MOST_SIGNATURES, pae};
pub use key::{KeyError, KeyId, PublicKey, SecretKey};
pub use signed::{
    CosignError, Keys, KeysError, Moment, Rejected, Signed, Statement, Verified, sign,
};
