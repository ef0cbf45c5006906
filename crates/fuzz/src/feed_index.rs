//! An index of advisories that somebody made on purpose: its checksum is right, and its rows are
//! nonsense. Asking it is an error, or an answer, and never a panic.

use advisory::{CveId, Index};

pub fn run(head: &[u8]) {
    let _ = advisory::index::head_length(head, head.len() as u64);
    let Ok(index) = Index::opened(head) else {
        return;
    };
    let cve = CveId {
        year: 2026,
        number: 1,
    };
    let _ = (index.feed(), index.exploited(cve), index.epss(cve));
    let _ = index.statements("CVE-2026-0001");
    for (row, _) in index
        .naming("CVE-2026-0001")
        .unwrap_or_default()
        .iter()
        .take(10)
    {
        let _ = index.ecosystems(row);
    }
    if let Ok(Some(row)) = index.find("CVE-2026-0001") {
        let _ = (
            row.aliases(),
            row.related(),
            row.published(),
            row.modified(),
        );
        if let Ok(place) = row.text() {
            let _ = place.read(head);
        }
    }
    for (ecosystem, _) in index.coverage().unwrap_or_default() {
        let Ok(entries) = index.entries(ecosystem, "openssl") else {
            continue;
        };
        // A row may claim four thousand million of them.
        for entry in entries.take(100).flatten() {
            let _ = (
                entry.urgency(),
                entry.advisory().map(|row| row.cvss().is_ok()),
            );
            let _ = entry
                .points()
                .map(|points| points.written().take(100).filter(Result::is_ok).count());
        }
    }
}
