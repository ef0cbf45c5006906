//! Signed bundles: whatever bytes come, and whatever is changed in a good bundle, what is believed
//! is what was signed. The first byte chooses: bytes as they are, an envelope or a key by itself,
//! or edits of the good bundle, each a place (two bytes) and a value.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use jiff::Timestamp;
use trust::bundle::Manifest;
use trust::{Envelope, Keys, Moment, PublicKey, SecretKey, Signed};

/// By the key of 32 ones, as `steadfast feed export` wrote it.
const GOOD: &[u8] = include_bytes!("../../../fuzz/seeds/bundles/good");

/// When that was.
const MADE: i64 = 1795536590;

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let key = SecretKey::from_random(&[1; 32]);
    Keys::new([key.public()], 1).expect("one key")
});
static SIGNED: LazyLock<Manifest> =
    LazyLock::new(|| believed(GOOD).expect("the good bundle is good"));

fn believed(bytes: &[u8]) -> Option<Manifest> {
    let seen = BTreeMap::new();
    // A day after the good bundle was made.
    let now = Timestamp::from_second(MADE + 86_400).expect("in range");
    let moment = Moment { now, seen: &seen };
    let verified = host::feeds::check(bytes, Path::new("fuzz"), &KEYS, &moment);
    Some(verified.ok()?.get().clone())
}

pub fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let found = match choice % 4 {
        0 => believed(bytes),
        1 => {
            if let Ok(envelope) = Envelope::read(bytes) {
                let again = Envelope::read(envelope.write().as_bytes());
                assert_eq!(again.as_ref(), Ok(&envelope));
            }
            let seen = BTreeMap::new();
            let moment = Moment {
                now: Timestamp::UNIX_EPOCH,
                seen: &seen,
            };
            Signed::<Manifest>::read(bytes)
                .ok()
                .and_then(|signed| Some(signed.verify(&KEYS, &moment).ok()?.get().clone()))
        }
        2 => {
            let _ = SecretKey::from_pem(bytes);
            if let Ok(key) = PublicKey::from_pem(bytes) {
                assert_eq!(PublicKey::from_pem(key.to_pem().as_bytes()), Ok(key));
            }
            None
        }
        _ => {
            let mut edited = GOOD.to_vec();
            for edit in bytes.chunks_exact(3) {
                let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % edited.len();
                edited[place] = edit[2];
            }
            believed(&edited)
        }
    };
    assert!(found.is_none_or(|found| found == *SIGNED));
}
