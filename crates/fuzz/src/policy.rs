//! Policy files: nothing that is in one may stop the reader, and every error has a place that
//! can be shown.

use content::{PolicyFiles, Repository};
use miette::Diagnostic as _;

pub fn run(text: &[u8]) {
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
            Err(errors) => {
                assert!(!errors.plain().is_empty());
                errors.iter().for_each(shown);
            }
        }
    }
}

/// What a terminal gets fits it, whatever the file is like: the renderer can't underline what
/// is further to the right than 65,535 columns.
fn shown(error: &content::ContentError) {
    let (Some(source), Some(labels)) = (error.source_code(), error.labels()) else {
        return;
    };
    for label in labels {
        let lines = source
            .read_span(label.inner(), 1, 1)
            .expect("the place is in the text");
        let text = String::from_utf8_lossy(lines.data());
        assert!(text.lines().all(|line| line.len() < 2000), "{text}");
    }
}
