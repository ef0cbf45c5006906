//! From signed to verified: the only door.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::{Envelope, EnvelopeError, MOST_SIGNATURES, Signature};
use crate::key::{KeyId, PublicKey, SecretKey};

/// More keys than people who sign one thing.
const MOST_KEYS: usize = 16;

/// Something that is signed.
pub trait Statement: Serialize + DeserializeOwned {
    /// The payload's type, with its version. It is signed as well, so that a statement of one
    /// kind is never taken for one of another.
    const TYPE: &'static str;

    /// Is it sound in itself, and does it hold at this moment?
    ///
    /// # Errors
    /// Why not.
    fn check(&self, moment: &Moment<'_>) -> Result<(), Rejected>;
}

/// What a check needs to know of the world.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub now: Timestamp,
    /// When the newest was made that was believed before, for each thing that is spoken of:
    /// nothing older than that is believed any more.
    pub seen: &'a BTreeMap<String, Timestamp>,
}

/// A signed statement is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("it is a `{found}`, and a `{wanted}` is wanted")]
    OtherType { found: String, wanted: &'static str },
    #[error("{} of its {} signatures are by trusted keys, and {threshold} are wanted", by.len(), signatures)]
    TooFewKeys {
        by: Vec<KeyId>,
        signatures: usize,
        threshold: usize,
    },
    #[error("what was signed can't be read: {0}")]
    Malformed(String),
    #[error("it expired at {at}, and it is {now} now")]
    Expired { at: Timestamp, now: Timestamp },
    #[error(
        "it was made at {made}, which is later than now, {now}: one of the two clocks is wrong"
    )]
    FromTheFuture { made: Timestamp, now: Timestamp },
    #[error("it was made at {made}, and `{name}` was taken from one of {seen} before")]
    Older {
        name: String,
        made: Timestamp,
        seen: Timestamp,
    },
}

/// A statement that was verified gets no further signatures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CosignError {
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error("the key signed it before")]
    Already,
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// Keys can't be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("there is no key")]
    None,
    #[error("there are more than {MOST_KEYS} keys")]
    TooMany,
    #[error("a threshold of {threshold} can't be reached with {keys} different keys")]
    Threshold { threshold: usize, keys: usize },
}

/// The keys that are trusted, and how many of them have to sign.
#[derive(Clone, Debug)]
pub struct Keys {
    keys: BTreeMap<KeyId, PublicKey>,
    threshold: usize,
}

impl Keys {
    /// The same key twice is one key.
    ///
    /// # Errors
    /// When the threshold is none, or can't be reached.
    pub fn new(
        keys: impl IntoIterator<Item = PublicKey>,
        threshold: usize,
    ) -> Result<Self, KeysError> {
        let keys: BTreeMap<_, _> = keys.into_iter().map(|key| (key.id(), key)).collect();
        match keys.len() {
            0 => Err(KeysError::None),
            count if count > MOST_KEYS => Err(KeysError::TooMany),
            count if threshold == 0 || threshold > count => Err(KeysError::Threshold {
                threshold,
                keys: count,
            }),
            _ => Ok(Self { keys, threshold }),
        }
    }
}

/// A statement with signatures that nobody has looked at. What it says can't be got at.
#[derive(Clone, Debug)]
pub struct Signed<T> {
    envelope: Envelope,
    statement: PhantomData<T>,
}

/// A statement that was checked, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    statement: T,
    by: Vec<KeyId>,
}

impl<T> Verified<T> {
    pub fn get(&self) -> &T {
        &self.statement
    }

    /// The trusted keys that signed it, each once.
    pub fn by(&self) -> &[KeyId] {
        &self.by
    }
}

impl<T: Statement> Signed<T> {
    /// # Errors
    /// When it is no envelope, or breaks a bound.
    pub fn read(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Ok(Self {
            envelope: Envelope::read(bytes)?,
            statement: PhantomData,
        })
    }

    /// Adds the signatures of more keys, once it is verified: nobody signs unseen. Gives the
    /// envelope, as it is written, with the signatures of before. A key that signed before does
    /// not do it again.
    ///
    /// # Errors
    /// Why it is not believed; that all of the keys signed it before; or that more signatures
    /// than are read would be in it.
    pub fn cosign(
        self,
        signers: &[SecretKey],
        keys: &Keys,
        moment: &Moment<'_>,
    ) -> Result<(Verified<T>, String), CosignError> {
        let mut envelope = self.envelope.clone();
        let verified = self.verify(keys, moment)?;
        let message = envelope.message();
        let before = envelope.signatures.len();
        for signer in signers {
            let public = signer.public();
            let mut signatures = envelope.signatures.iter();
            if !signatures.any(|signature| public.verifies(&message, &signature.sig)) {
                envelope.signatures.push(signature(signer, &message));
            }
        }
        match envelope.signatures.len() {
            after if after == before => Err(CosignError::Already),
            after if after > MOST_SIGNATURES => Err(EnvelopeError::TooManySignatures.into()),
            _ => Ok((verified, envelope.write())),
        }
    }

    /// The checks, in the order of DSSE's protocol: signatures first, so that what nobody
    /// vouches for is not even parsed.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(self, keys: &Keys, moment: &Moment<'_>) -> Result<Verified<T>, Rejected> {
        let Envelope {
            payload_type,
            payload,
            signatures,
        } = &self.envelope;
        let message = self.envelope.message();
        // "Add the accepted public key to the set ACCEPTED_KEYS … Reject if the cardinality of
        // ACCEPTED_KEYS is less than t": a key that signs twice counts once.
        let by: BTreeSet<KeyId> = keys
            .keys
            .iter()
            .filter(|(_, key)| {
                let mut signatures = signatures.iter();
                signatures.any(|signature| key.verifies(&message, &signature.sig))
            })
            .map(|(id, _)| *id)
            .collect();
        let by: Vec<KeyId> = by.into_iter().collect();
        if by.len() < keys.threshold {
            return Err(Rejected::TooFewKeys {
                by,
                signatures: signatures.len(),
                threshold: keys.threshold,
            });
        }
        // "Reject if PAYLOAD_TYPE is not a supported type."
        if payload_type != T::TYPE {
            return Err(Rejected::OtherType {
                found: payload_type.clone(),
                wanted: T::TYPE,
            });
        }
        // "Parse SERIALIZED_BODY according to PAYLOAD_TYPE. Reject if the parsing fails."
        let statement: T = serde_json::from_slice(payload)
            .map_err(|error| Rejected::Malformed(error.to_string()))?;
        statement.check(moment)?;
        Ok(Verified { statement, by })
    }
}

/// Signs a statement with each key: the envelope, as it is written.
pub fn sign<T: Statement>(statement: &T, keys: &[SecretKey]) -> String {
    let payload = serde_json::to_vec(statement).expect("statements have string keys");
    let mut envelope = Envelope {
        payload_type: T::TYPE.to_owned(),
        payload,
        signatures: Vec::new(),
    };
    let message = envelope.message();
    let signatures = keys.iter().map(|key| signature(key, &message));
    envelope.signatures = signatures.collect();
    envelope.write()
}

fn signature(key: &SecretKey, message: &[u8]) -> Signature {
    Signature {
        keyid: Some(key.public().id().to_string()),
        sig: key.sign(message).to_vec(),
    }
}
