//! Bundles' manifests: who has to sign, when they hold, and that nothing can be changed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use model::Digest;
use proptest::prelude::*;
use trust::bundle::{Entry, Manifest};
use trust::{Envelope, Keys, KeysError, Moment, Rejected, SecretKey, Signed, Verified, sign};

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + day * 86_400).expect("in range")
}

fn entry(name: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        sha256: Digest::of(name.as_bytes()),
        size_bytes: 100,
    }
}

/// Of day 10, good until day 40.
fn manifest() -> Manifest {
    Manifest {
        made: at(10),
        expires: at(40),
        by: "steadfast 0.1.0 on web-03".to_owned(),
        feeds: vec![entry("debian"), entry("kev")],
    }
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_random(&[number; 32])
}

fn keys(numbers: &[u8], threshold: usize) -> Keys {
    let public = numbers.iter().map(|&number| secret(number).public());
    Keys::new(public, threshold).expect("good keys")
}

fn verify(
    text: &str,
    keys: &Keys,
    day: i64,
    seen: &[(&str, i64)],
) -> Result<Verified<Manifest>, Rejected> {
    let seen: BTreeMap<_, _> = seen
        .iter()
        .map(|&(name, day)| (name.to_owned(), at(day)))
        .collect();
    let moment = Moment {
        now: at(day),
        seen: &seen,
    };
    Signed::<Manifest>::read(text.as_bytes())
        .expect("an envelope")
        .verify(keys, &moment)
}

#[test]
fn a_threshold_counts_different_trusted_keys() {
    /// Who signed, who is trusted, how many must be; how many are, or none.
    type Case = (&'static [u8], &'static [u8], usize, Option<usize>);
    let cases: [Case; 10] = [
        (&[1], &[1], 1, Some(1)),
        (&[1], &[2], 1, None),
        (&[], &[1], 1, None),
        (&[1], &[1, 2], 2, None),
        (&[1, 2], &[1, 2], 2, Some(2)),
        (&[1, 1], &[1, 2], 2, None),
        (&[1, 3], &[1, 2], 2, None),
        (&[3, 2, 1], &[1, 2, 4], 2, Some(2)),
        (&[1, 2, 3], &[1, 2, 3], 2, Some(3)),
        (&[3, 4, 5, 1], &[1], 1, Some(1)),
    ];
    for (signers, trusted, threshold, expected) in cases {
        let signers: Vec<_> = signers.iter().map(|&number| secret(number)).collect();
        let text = sign(&manifest(), &signers);
        let verified = verify(&text, &keys(trusted, threshold), 12, &[]);
        let counted = verified.as_ref().ok().map(|verified| verified.by().len());
        assert_eq!(counted, expected, "{signers:?} {trusted:?}: {verified:?}");
        if let Ok(verified) = verified {
            assert_eq!(verified.get(), &manifest());
        }
    }
}

#[test]
fn a_threshold_must_be_one_that_can_be_reached() {
    let public = |numbers: &[u8]| -> Vec<_> {
        let numbers = numbers.iter();
        numbers.map(|&number| secret(number).public()).collect()
    };
    let refused = |numbers: &[u8], threshold| Keys::new(public(numbers), threshold).err();
    assert_eq!(refused(&[], 1), Some(KeysError::None));
    let unreachable = |threshold, keys| Some(KeysError::Threshold { threshold, keys });
    assert_eq!(refused(&[1], 0), unreachable(0, 1));
    // One key given twice is one key.
    assert_eq!(refused(&[1, 1], 2), unreachable(2, 1));
    let many: Vec<u8> = (0..17).collect();
    assert_eq!(refused(&many, 1), Some(KeysError::TooMany));
}

/// The hint is neither needed nor believed.
#[test]
fn the_name_of_a_key_decides_nothing() {
    let text = sign(&manifest(), &[secret(1)]);
    let mut envelope = Envelope::read(text.as_bytes()).expect("our own");
    for hint in [None, Some("x"), Some(&secret(2).public().id().to_string())] {
        envelope.signatures[0].keyid = hint.map(str::to_owned);
        let text = envelope.write();
        assert!(verify(&text, &keys(&[1], 1), 12, &[]).is_ok(), "{hint:?}");
        assert!(verify(&text, &keys(&[2], 1), 12, &[]).is_err(), "{hint:?}");
    }
}

#[test]
fn a_statement_of_another_kind_is_refused_though_its_signature_is_good() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Other(Manifest);
    impl trust::Statement for Other {
        const TYPE: &'static str = "application/vnd.steadfast.feeds.v2+json";
        fn check(&self, _: &Moment<'_>) -> Result<(), Rejected> {
            Ok(())
        }
    }
    let text = sign(&Other(manifest()), &[secret(1)]);
    let rejected = verify(&text, &keys(&[1], 1), 12, &[]).expect_err("of another type");
    assert!(matches!(rejected, Rejected::OtherType { .. }), "{rejected}");
    // The type is signed: it can't be put right afterwards.
    let mut envelope = Envelope::read(text.as_bytes()).expect("our own");
    envelope.payload_type = "application/vnd.steadfast.feeds.v1+json".to_owned();
    let rejected = verify(&envelope.write(), &keys(&[1], 1), 12, &[]);
    assert!(matches!(rejected, Err(Rejected::TooFewKeys { .. })));
}

#[test]
fn it_holds_from_when_it_was_made_until_it_expires_and_never_goes_back() {
    let text = sign(&manifest(), &[secret(1)]);
    let keys = keys(&[1], 1);
    let outcome = |day, seen: &[(&str, i64)]| match verify(&text, &keys, day, seen) {
        Ok(_) => "believed",
        Err(Rejected::Expired { .. }) => "expired",
        Err(Rejected::FromTheFuture { .. }) => "of the future",
        Err(Rejected::Older { .. }) => "older",
        Err(other) => panic!("{other}"),
    };
    for (day, seen, expected) in [
        (8, &[][..], "of the future"),
        // A clock that is a day slow is common.
        (9, &[], "believed"),
        (39, &[], "believed"),
        (40, &[], "expired"),
        (12, &[("kev", 9)], "believed"),
        // The same once more.
        (12, &[("kev", 10)], "believed"),
        (12, &[("kev", 11)], "older"),
        (12, &[("debian", 9), ("kev", 11)], "older"),
        (12, &[("epss", 11)], "believed"),
    ] {
        assert_eq!(outcome(day, seen), expected, "day {day}, {seen:?}");
    }
}

#[test]
fn a_manifest_that_is_not_sound_is_refused_whoever_signed_it() {
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifest();
        change(&mut manifest);
        let text = sign(&manifest, &[secret(1)]);
        verify(&text, &keys(&[1], 1), 12, &[])
            .expect_err("not sound")
            .to_string()
    };
    type Change = fn(&mut Manifest);
    let cases: [(Change, &str); 9] = [
        (|m| m.by = "x".repeat(300), "more than 256 bytes"),
        (|m| m.feeds.clear(), "holds no feed"),
        (|m| m.feeds.push(entry("kev")), "twice"),
        (|m| m.feeds.push(entry("../kev")), "can't be a feed's name"),
        (
            |m| m.feeds.push(entry("/etc/passwd")),
            "can't be a feed's name",
        ),
        (|m| m.feeds.push(entry("")), "can't be a feed's name"),
        (|m| m.feeds.push(entry("a\n")), "can't be a feed's name"),
        (|m| m.feeds[0].size_bytes = u64::MAX, "is larger than"),
        (
            |m| m.feeds = (0..65).map(|n| entry(&format!("f{n}"))).collect(),
            "more than 64 feeds",
        ),
    ];
    for (change, expected) in cases {
        let why = with(&change);
        assert!(why.contains(expected), "{why}");
    }
}

proptest! {
    /// Whatever one bit of an envelope is turned into: what is believed is what was signed.
    #[test]
    fn a_flipped_bit_changes_nothing_that_is_believed(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = sign(&manifest(), &[secret(1)]).into_bytes();
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let seen = BTreeMap::new();
        let moment = Moment { now: self::at(12), seen: &seen };
        if let Ok(signed) = Signed::<Manifest>::read(&bytes)
            && let Ok(verified) = signed.verify(&keys(&[1], 1), &moment)
        {
            prop_assert_eq!(verified.get(), &manifest());
        }
    }

    /// In the parts that are signed, or are the signature, it is refused.
    #[test]
    fn a_flipped_bit_of_what_is_signed_is_refused(place in any::<prop::sample::Index>(), bit in 0..8_u8, part in 0..3) {
        let mut envelope = Envelope::read(sign(&manifest(), &[secret(1)]).as_bytes()).expect("our own");
        let flip = |bytes: &mut [u8]| {
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
        };
        match part {
            0 => flip(&mut envelope.payload),
            1 => flip(&mut envelope.signatures[0].sig),
            _ => {
                let mut bytes = envelope.payload_type.into_bytes();
                flip(&mut bytes);
                envelope.payload_type = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        prop_assert!(verify(&envelope.write(), &keys(&[1], 1), 12, &[]).is_err());
    }

    /// No signature is taken over from another message.
    #[test]
    fn a_signature_is_of_one_manifest(expires in 11..1000_i64) {
        let mut other = manifest();
        other.expires = at(expires) + SignedDuration::from_secs(1);
        let good = Envelope::read(sign(&manifest(), &[secret(1)]).as_bytes()).expect("our own");
        let mut forged = Envelope::read(sign(&other, &[secret(2)]).as_bytes()).expect("our own");
        forged.signatures.extend(good.signatures);
        prop_assert!(verify(&forged.write(), &keys(&[1], 1), 10, &[]).is_err());
    }
}
