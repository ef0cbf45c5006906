//! DSSE envelopes: the published vector, both alphabets of base64, and what is refused.

use trust::{Envelope, EnvelopeError, MOST_SIGNATURES, pae};

/// The example of DSSE's protocol 1.0.0, "Test Vectors". Its signature is of ECDSA.
const PUBLISHED: &str = r#"{"payload": "aGVsbG8gd29ybGQ=",
 "payloadType": "http://example.com/HelloWorld",
 "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#;

#[test]
fn the_published_vector() {
    let envelope = Envelope::read(PUBLISHED.as_bytes()).expect("published");
    assert_eq!(envelope.payload_type, "http://example.com/HelloWorld");
    assert_eq!(envelope.payload, b"hello world");
    assert_eq!(envelope.signatures.len(), 1);
    assert_eq!(envelope.signatures[0].sig.len(), 64);
    assert_eq!(envelope.signatures[0].keyid, None);
    assert_eq!(
        envelope.message(),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
    let again = Envelope::read(envelope.write().as_bytes()).expect("our own");
    assert_eq!(again, envelope);
}

/// The lengths are of bytes, so that a space can't be moved from one part to the other.
#[test]
fn what_is_signed_has_one_reading() {
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    assert_eq!(pae("ä", b"\xff \x00"), b"DSSEv1 2 \xc3\xa4 3 \xff \x00");
    assert_ne!(pae("a 1", b"b"), pae("a", b"1 b"));
}

#[test]
fn both_alphabets_with_and_without_padding() {
    for sig in ["-_-_", "+/+/"] {
        for payload in ["aGVsbG8gd29ybGQ=", "aGVsbG8gd29ybGQ"] {
            let text = format!(
                r#"{{"payload":"{payload}","payloadType":"t","other":1,"signatures":[{{"sig":"{sig}"}}]}}"#
            );
            let envelope = Envelope::read(text.as_bytes()).expect(&text);
            assert_eq!(envelope.payload, b"hello world");
            assert_eq!(envelope.signatures[0].sig, [0xfb, 0xff, 0xbf]);
        }
    }
}

#[test]
fn what_is_no_envelope_is_refused() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"payload":"","payloadType":"t"}"#,
        r#"{"payload":"!","payloadType":"t","signatures":[]}"#,
        // Not the encoding of any bytes: the last letter has bits that mean nothing.
        r#"{"payload":"aGVsbG8gd29ybGR=","payloadType":"t","signatures":[]}"#,
        r#"{"payload":"","payload":"YQ==","payloadType":"t","signatures":[]}"#,
        r#"{"payload":"","payloadType":"t","signatures":[{"keyid":"a"}]}"#,
        r#"{"payload":"","payloadType":"t","signatures":[]} {}"#,
    ] {
        let read = Envelope::read(text.as_bytes());
        assert!(
            matches!(read, Err(EnvelopeError::Malformed(_))),
            "{text}: {read:?}"
        );
    }
    let many = vec![r#"{"sig":""}"#; MOST_SIGNATURES + 1].join(",");
    let text = format!(r#"{{"payload":"","payloadType":"t","signatures":[{many}]}}"#);
    let read = Envelope::read(text.as_bytes());
    assert_eq!(read, Err(EnvelopeError::TooManySignatures));
    let read = Envelope::read(&vec![b' '; (1 << 20) + 1]);
    assert_eq!(read, Err(EnvelopeError::TooLarge));
}
