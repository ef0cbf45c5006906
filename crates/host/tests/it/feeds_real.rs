//! Real advisory data, where this machine has it: `shared/data` beside the project, or below the
//! folder that `STEADFAST_SHARED` names. Without it these tests say that they were skipped.

use std::path::{Path, PathBuf};

use advisory::rank::{
    Automatable, Exploitation, HumanImpact, Impact, SystemExposure, bod_26_04, ssvc_deployer,
};
use advisory::read::{epss, kev};

use crate::feeds::Bench;

/// A file of it; none, and said, where there is none.
fn path(file: &str) -> Option<PathBuf> {
    let named = std::env::var_os("STEADFAST_SHARED").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = named.unwrap_or(beside).join("data").join(file);
    if path.exists() {
        return Some(path);
    }
    crate::bench::skip(&format!("there is no {}", path.display()));
    None
}

fn read(file: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(path(file)?).expect("a file that can be read"))
}

#[test]
fn real_records_are_imported() {
    // (file, advisories, withdrawn)
    for (file, advisories, withdrawn) in [
        ("crates-osv-2026-08-21.tar.zst", 1193, 13),
        ("go-osv-2026-08-21.tar.zst", 4274, 17),
        ("pypi-osv-2024-10-10.tar.zst", 2651, 10),
        ("kev-2025-08-25.json.gz", 0, 0),
    ] {
        let Some(path) = path(file) else {
            continue;
        };
        let bench = Bench::new();
        let counts = bench.import(&path).expect("a real feed").feed.counts;
        let seen = (counts.advisories, counts.withdrawn, counts.malformed);
        assert_eq!(seen, (advisories, withdrawn, 0), "{file}");
    }
}

/// The rows of a published table, without its header and its row numbers.
fn rows(file: &str) -> Option<Vec<Vec<String>>> {
    let text = String::from_utf8(read(file)?).expect("a table is text");
    let row = |line: &str| {
        line.split(',')
            .skip(1)
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    Some(text.lines().skip(1).map(row).collect())
}

#[test]
fn bod_26_04_is_as_published() {
    let Some(rows) = rows("cisa-bod-26-04.csv") else {
        return;
    };
    assert_eq!(rows.len(), 16);
    for row in rows {
        let yes = |at: usize| row[at] == "yes";
        let automatable = if yes(2) {
            Automatable::Yes
        } else {
            Automatable::No
        };
        let impact = if row[3] == "total" {
            Impact::Total
        } else {
            Impact::Partial
        };
        let timeline = bod_26_04(yes(0), yes(1), automatable, impact);
        assert_eq!(timeline.as_str(), row[4], "{row:?}");
    }
}

#[test]
fn ssvc_deployer_is_as_published() {
    let Some(rows) = rows("ssvc-deployer-1.0.0.csv") else {
        return;
    };
    assert_eq!(rows.len(), 72);
    for row in rows {
        let exploitation = match &*row[0] {
            "none" => Exploitation::None,
            "public poc" => Exploitation::PublicPoc,
            _ => Exploitation::Active,
        };
        let exposure = match &*row[1] {
            "small" => SystemExposure::Small,
            "controlled" => SystemExposure::Controlled,
            _ => SystemExposure::Open,
        };
        let automatable = if row[2] == "yes" {
            Automatable::Yes
        } else {
            Automatable::No
        };
        let human = match &*row[3] {
            "low" => HumanImpact::Low,
            "medium" => HumanImpact::Medium,
            "high" => HumanImpact::High,
            _ => HumanImpact::VeryHigh,
        };
        let decision = ssvc_deployer(exploitation, exposure, automatable, human);
        assert_eq!(decision.as_str(), row[4], "{row:?}");
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
