//! Policy files: nothing that is in one may stop the reader, and every error has a place that
//! can be shown.

#![no_main]

use content::{PolicyFiles, Repository};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let role = b"role: other\nwant:\n  - template: {path: /a, source: a.j2}\n";
    for path in [
        "roles/web.yaml",
        "baselines/a.yaml",
        "waivers.yaml",
        "roles/a.j2",
    ] {
        let files = PolicyFiles::from_bytes([(path, text), ("roles/other.yaml", role.as_slice())]);
        match Repository::parse(&[files]) {
            // What only a host shows may be wrong; finding out must not panic either.
            Ok(repository) => drop(repository.lint()),
            Err(errors) => assert!(!errors.plain().is_empty()),
        }
    }
});
