//! Real advisory data, where this machine has it: `shared/data` beside the project, or below the
//! folder that `STEADFAST_SHARED` names. Without it these tests say that they were skipped.

use std::path::{Path, PathBuf};

use advisory::read::{epss, kev};

/// A file of it; none, and said, where there is none.
pub fn read(file: &str) -> Option<Vec<u8>> {
    let named = std::env::var_os("STEADFAST_SHARED").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = named.unwrap_or(beside).join("data").join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(_) => {
            println!("skipped: there is no {}", path.display());
            None
        }
    }
}

#[test]
fn the_real_catalogue_of_known_exploited_vulnerabilities_is_read() {
    let Some(packed) = read("kev-2025-08-25.json.gz") else {
        return;
    };
    let catalog = kev::read(&unpacked(&packed)).expect("it is the real one");
    assert_eq!((catalog.read.len(), catalog.refused.len()), (1404, 0));
    let known: Vec<_> = catalog
        .read
        .iter()
        .filter(|(_, entry)| entry.ransomware)
        .collect();
    assert!(known.len() > 200, "{}", known.len());
}

#[test]
fn real_epss_scores_are_read() {
    let Some(packed) = read("kev-epss-2026-08.csv.gz") else {
        return;
    };
    let scores = epss::read(&*unpacked(&packed)).expect("it is a real one");
    assert_eq!(scores.refused, []);
    assert!(scores.read.len() > 1500, "{}", scores.read.len());
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(packed);
    reader.read_to_end(&mut bytes).expect("it is packed");
    bytes
}
