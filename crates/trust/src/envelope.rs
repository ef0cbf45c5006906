//! DSSE envelopes (secure-systems-lab/dsse, protocol and envelope 1.0.0): a payload with its
//! type, and signatures over both.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

/// A manifest of 64 feeds has 20 KiB.
const LIMIT_BYTES: usize = 1 << 20;
/// Each costs a verification for each key that is trusted.
pub const MOST_SIGNATURES: usize = 16;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// An envelope can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the signed part is larger than {LIMIT_BYTES} bytes")]
    TooLarge,
    #[error("the signed part is no DSSE envelope: {0}")]
    Malformed(String),
    #[error("the signed part has more than {MOST_SIGNATURES} signatures")]
    TooManySignatures,
}

/// What was read, and nothing of it believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub payload_type: String,
    pub payload: Vec<u8>,
    pub signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// "Optional, unauthenticated hint": it decides nothing here, and is not even looked at when
    /// signatures are verified.
    pub keyid: Option<String>,
    pub sig: Vec<u8>,
}

/// Envelope 1.0.0: "Unrecognized fields MUST be ignored", so nothing is denied here.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    payload_type: String,
    payload: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
struct WrittenSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

impl Envelope {
    /// # Errors
    /// When it is not one, or breaks a bound.
    pub fn read(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > LIMIT_BYTES {
            return Err(EnvelopeError::TooLarge);
        }
        let written: Written = serde_json::from_slice(bytes)
            .map_err(|error| EnvelopeError::Malformed(error.to_string()))?;
        if written.signatures.len() > MOST_SIGNATURES {
            return Err(EnvelopeError::TooManySignatures);
        }
        let signatures = written.signatures.into_iter().map(|signature| {
            Ok(Signature {
                keyid: signature.keyid,
                sig: decode(&signature.sig)?,
            })
        });
        Ok(Self {
            payload_type: written.payload_type,
            payload: decode(&written.payload)?,
            signatures: signatures.collect::<Result<_, _>>()?,
        })
    }

    pub fn write(&self) -> String {
        let written = Written {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: self
                .signatures
                .iter()
                .map(|signature| WrittenSignature {
                    keyid: signature.keyid.clone(),
                    sig: STANDARD.encode(&signature.sig),
                })
                .collect(),
        };
        serde_json::to_string(&written).expect("strings only")
    }

    /// What the signatures are over.
    pub fn message(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }
}

/// "Either standard or URL-safe base64 encodings are allowed. Signers may use either, and
/// verifiers MUST accept either."
fn decode(text: &str) -> Result<Vec<u8>, EnvelopeError> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map_err(|error| EnvelopeError::Malformed(format!("base64: {error}")))
}

/// "PAE(type, body) = "DSSEv1" + SP + LEN(type) + SP + type + SP + LEN(body) + SP + body"
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        body.len()
    )
    .into_bytes();
    message.extend_from_slice(body);
    message
}
