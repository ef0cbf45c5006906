//! Keys: the published ones, their form as text, and what is refused.

use proptest::prelude::*;
use trust::{PublicKey, SecretKey};

/// RFC 8410, section 10.1 and 10.3.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";
const SECRET: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";

#[test]
fn the_published_keys() {
    let secret = SecretKey::from_pem(SECRET.as_bytes()).expect("published");
    let public = PublicKey::from_pem(PUBLIC.as_bytes()).expect("published");
    assert_eq!(secret.public(), public);
    assert_eq!(secret.to_pem(), SECRET);
    assert_eq!(public.to_pem(), PUBLIC);
    // Nothing of it shows where it is printed by mistake.
    assert_eq!(
        format!("{secret:?}"),
        format!("SecretKey(of {})", public.id())
    );
}

#[test]
fn what_is_no_key_of_this_kind_is_refused() {
    let der = |hex: &str| {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect();
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(bytes);
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    };
    let of_x25519 = der(&format!("302a300506032b656e032100{}", "42".repeat(32)));
    let with_more = der(&format!("302a300506032b6570032100{}", "42".repeat(33)));
    // The neutral element: it would verify signatures that nobody made.
    let weak = der(&format!("302a300506032b657003210001{}", "00".repeat(31)));
    let off_curve = der(&format!("302a300506032b657003210002{}", "00".repeat(31)));
    let cases: [(&str, String, &str); 10] = [
        ("nothing", String::new(), "has no line"),
        ("a secret key", SECRET.to_owned(), "holds a `PRIVATE KEY`"),
        ("two keys", format!("{PUBLIC}{PUBLIC}"), "more than one"),
        ("another kind", of_x25519, "of another kind"),
        ("more behind it", with_more, "of another kind"),
        ("a weak point", weak, "small order"),
        ("no point", off_curve, "not a point"),
        (
            "no end",
            PUBLIC.replace("-----END", "-----"),
            "has no line `-----END",
        ),
        ("damaged", PUBLIC.replace("MCow", "MC!w"), "is damaged"),
        ("huge", "x".repeat(20 << 10), "is larger than"),
    ];
    for (what, text, expected) in cases {
        let error = PublicKey::from_pem(text.as_bytes()).expect_err(what);
        assert!(error.to_string().contains(expected), "{what}: {error}");
    }
    let error = SecretKey::from_pem(PUBLIC.as_bytes()).expect_err("a public key");
    assert!(error.to_string().contains("holds a `PUBLIC KEY`"));
}

/// Comments before a block and Windows' line ends are what tools and mail make.
#[test]
fn what_stands_around_a_block_is_passed_by() {
    let text = format!(
        "made on Monday\r\n{}\r\nbye\n",
        PUBLIC.replace('\n', "\r\n")
    );
    assert!(PublicKey::from_pem(text.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_are_a_key(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = PublicKey::from_pem(&bytes);
        let text = format!("-----BEGIN PRIVATE KEY-----\n{}", String::from_utf8_lossy(&bytes));
        prop_assert!(SecretKey::from_pem(text.as_bytes()).is_err());
    }

    #[test]
    fn keys_are_read_as_they_were_written(bytes in any::<[u8; 32]>()) {
        let secret = SecretKey::from_random(&bytes);
        let again = SecretKey::from_pem(secret.to_pem().as_bytes()).expect("our own");
        prop_assert_eq!(again.to_pem(), secret.to_pem());
        let public = PublicKey::from_pem(secret.public().to_pem().as_bytes());
        prop_assert_eq!(public, Ok(secret.public()));
    }
}
