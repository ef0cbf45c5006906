//! Key files: made once, read by openssl, and trusted only where nobody else could have put them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use host::feeds::{FeedError, folder_keys, generate, named_keys, secret_key};

use crate::feeds::Bench;

fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o777
}

#[test]
fn a_key_is_made_once_and_for_its_owner_only() {
    let bench = Bench::new();
    let path = bench.path("ana.pem");
    let (public, public_path) = generate(&path).expect("a new key");
    assert_eq!((mode(&path), mode(&public_path)), (0o600, 0o644));
    assert_eq!(public_path, bench.path("ana.pub.pem"));
    assert_eq!(secret_key(&path).expect("ours").public(), public);
    named_keys(std::slice::from_ref(&public_path), 1).expect("ours");
    let before = fs::read(&path).expect("ours");
    assert!(generate(&path).is_err(), "neither half is overwritten");
    fs::remove_file(&path).expect("ours");
    assert!(generate(&path).is_err(), "nor is the public one");
    assert!(!path.exists(), "and no half is left without the other");
    fs::write(&path, before).expect("ours");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("ours");
    let error = secret_key(&path).expect_err("open to a group").to_string();
    assert!(error.contains("is open to others"), "{error}");
    // A link that leads to nothing is not followed.
    symlink(bench.path("victim"), bench.path("bob.pem")).expect("a link");
    assert!(generate(&bench.path("bob.pem")).is_err());
    assert!(!bench.path("victim").exists());
    let error = generate(&bench.path("ana.key")).expect_err("another ending");
    assert!(error.to_string().contains("must end in .pem"), "{error}");
}

#[test]
fn a_folder_of_keys_is_trusted_when_only_its_owner_can_write_it() {
    let bench = Bench::new();
    let folder = bench.path("keys");
    let keys = |threshold| folder_keys(&folder, threshold);
    let accept = keys(None).expect("nobody speaks of keys");
    assert!(accept.keys.is_none() && accept.unsigned);
    fs::create_dir(&folder).expect("ours");
    let accept = keys(None).expect("nobody is believed");
    assert!(accept.keys.is_none() && !accept.unsigned);
    for name in ["a", "b"] {
        let path = bench.path(&format!("{name}.pem"));
        let (_, public) = generate(&path).expect("a new key");
        fs::copy(public, folder.join(format!("{name}.pem"))).expect("ours");
    }
    bench.file("keys/README", b"not a key");
    let accept = keys(None).expect("two");
    assert!(accept.keys.is_some() && !accept.unsigned);
    let refused = |threshold, expected: &str| {
        let error = folder_keys(&folder, threshold).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused(Some(3), "threshold of 3");
    bench.file("keys/threshold", b"3\n");
    refused(None, "threshold of 3");
    bench.file("keys/threshold", b"two");
    refused(None, "is not a number");
    bench.file("keys/threshold", b"2\n");
    keys(None).expect("two of two");
    // One that can't be read is not one fewer.
    bench.file("keys/c.pem", b"?");
    refused(None, "is no Ed25519 key");
    fs::remove_file(folder.join("c.pem")).expect("ours");
    symlink("a.pem", folder.join("c.pem")).expect("a link");
    assert!(keys(None).is_err(), "a link");
    fs::remove_file(folder.join("c.pem")).expect("ours");
    for (path, mode) in [(folder.join("a.pem"), 0o666), (folder.clone(), 0o777)] {
        let before = fs::metadata(&path).expect("ours").permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("ours");
        refused(None, "may be written by others");
        fs::set_permissions(&path, before).expect("ours");
    }
    symlink(&folder, bench.path("link")).expect("a link");
    let error = folder_keys(&bench.path("link"), None).expect_err("a link");
    assert!(error.to_string().contains("over a link"), "{error}");
    keys(None).expect("as before");
    let error = named_keys(&[Path::new("/dev/zero").to_owned()], 1);
    assert!(matches!(error, Err(FeedError::Key { .. })), "{error:?}");
}

#[test]
fn openssl_makes_reads_and_verifies_them() {
    if Command::new("openssl").arg("version").output().is_err() {
        return crate::bench::skip("there is no openssl");
    }
    let bench = Bench::new();
    let run = |args: &[&str]| {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(args).current_dir(bench.path("")).output();
        let output = output.expect("it was there");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // Theirs.
    run(&["genpkey", "-algorithm", "ed25519", "-out", "their.pem"]);
    run(&["pkey", "-in", "their.pem", "-pubout", "-out", "their.pub"]);
    let theirs = secret_key(&bench.path("their.pem")).expect("openssl's own");
    let text = fs::read_to_string(bench.path("their.pub")).expect("made");
    assert_eq!(theirs.public().to_pem(), text);
    // Ours.
    let (public, _) = generate(&bench.path("our.pem")).expect("a new key");
    assert_eq!(run(&["pkey", "-in", "our.pem", "-pubout"]), public.to_pem());
    // What we sign, they verify.
    let manifest = trust::bundle::Manifest {
        made: jiff::Timestamp::UNIX_EPOCH,
        expires: jiff::Timestamp::UNIX_EPOCH,
        by: "a test".to_owned(),
        feeds: Vec::new(),
    };
    let ours = secret_key(&bench.path("our.pem")).expect("ours");
    let envelope = trust::sign(&manifest, &[ours]);
    let envelope = trust::Envelope::read(envelope.as_bytes()).expect("ours");
    bench.file("message", &envelope.message());
    bench.file("sig", &envelope.signatures[0].sig);
    let said = run(&[
        "pkeyutl", "-verify", "-rawin", "-inkey", "our.pem", "-sigfile", "sig", "-in", "message",
    ]);
    assert!(said.contains("Verified Successfully"), "{said}");
}
