//! Ed25519 keys (RFC 8032), in the forms that openssl and others write: PKCS#8 for the secret
//! one, SubjectPublicKeyInfo for the public one (RFC 8410), both as PEM.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use model::Digest;
use model::digest::NotADigest;
use serde::{Deserialize, Serialize};

use crate::pem;

const PUBLIC_LABEL: &str = "PUBLIC KEY";
const SECRET_LABEL: &str = "PRIVATE KEY";

/// What stands before the 32 bytes of a public key. RFC 8410, section 4: the algorithm is
/// 1.3.101.112 and its parameters "MUST be absent", so there is one encoding only.
const PUBLIC_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// The same for a secret key. RFC 8410, section 7: version 0, the algorithm, and the 32 bytes as
/// an octet string within an octet string.
const SECRET_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A key can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no Ed25519 key that can be used: it {0}")]
pub struct KeyError(String);

/// A public key's name: the SHA-256 of its SubjectPublicKeyInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub Digest);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        text.parse().map(Self)
    }
}

/// A key that verifies.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl PublicKey {
    /// # Errors
    /// When it is no public key of Ed25519, or one that anybody can sign for.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = pem::read(text, PUBLIC_LABEL).map_err(KeyError)?;
        let bytes = der
            .strip_prefix(&PUBLIC_PREFIX)
            .and_then(|bytes| <&[u8; 32]>::try_from(bytes).ok())
            .ok_or_else(|| KeyError("is of another kind".to_owned()))?;
        let key = VerifyingKey::from_bytes(bytes)
            .map_err(|_| KeyError("is not a point of the curve".to_owned()))?;
        // A point of small order "verifies" any message with a signature made up.
        if key.is_weak() {
            return Err(KeyError("is a point of small order".to_owned()));
        }
        Ok(Self(key))
    }

    fn der(&self) -> Vec<u8> {
        [&PUBLIC_PREFIX[..], self.0.as_bytes()].concat()
    }

    pub fn to_pem(&self) -> String {
        pem::write(PUBLIC_LABEL, &self.der())
    }

    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(&self.der()))
    }

    /// RFC 8032, section 5.1.7, in its strict reading: one encoding of a signature only, and no
    /// points of small order.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

/// A key that signs. It is overwritten when it goes, and never shown.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().id())
    }
}

impl SecretKey {
    /// A new key of 32 random bytes, which the caller got from the kernel.
    pub fn from_random(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// # Errors
    /// When it is no secret key of Ed25519.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = pem::read(text, SECRET_LABEL).map_err(KeyError)?;
        der.strip_prefix(&SECRET_PREFIX)
            .and_then(|bytes| <&[u8; 32]>::try_from(bytes).ok())
            .map(Self::from_random)
            .ok_or_else(|| KeyError("is of another kind".to_owned()))
    }

    pub fn to_pem(&self) -> String {
        pem::write(
            SECRET_LABEL,
            &[&SECRET_PREFIX[..], self.0.as_bytes()].concat(),
        )
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}
