//! CISA's catalogue of known exploited vulnerabilities
//! (https://www.cisa.gov/known-exploited-vulnerabilities-catalog, its JSON schema).

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;

use super::{MOST_LISTED, Refusal, time};
use crate::record::{CveId, Exploited};

/// The catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    pub read: Vec<(CveId, Exploited)>,
    pub refused: Vec<Refusal>,
    pub released: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "dateReleased", default)]
    released: Option<String>,
    #[serde(default)]
    count: Option<usize>,
    vulnerabilities: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "cveID")]
    cve: String,
    #[serde(rename = "dateAdded")]
    added: String,
    #[serde(rename = "dueDate", default)]
    due: Option<String>,
    #[serde(rename = "knownRansomwareCampaignUse", default)]
    ransomware: Option<String>,
}

/// # Errors
/// When it is no such catalogue, or not all of one.
pub fn read(bytes: &[u8]) -> Result<Catalog, Refusal> {
    let document: Document = serde_json::from_slice(bytes)?;
    let listed = document.vulnerabilities.len();
    if listed > MOST_LISTED {
        return Err(Refusal(format!(
            "lists more than {MOST_LISTED} vulnerabilities"
        )));
    }
    if let Some(count) = document.count
        && count != listed
    {
        return Err(Refusal(format!(
            "says that it lists {count}, and lists {listed}"
        )));
    }
    let mut catalog = Catalog {
        released: document.released.as_deref().and_then(time),
        ..Catalog::default()
    };
    for (at, entry) in document.vulnerabilities.into_iter().enumerate() {
        match exploited(entry) {
            Ok(entry) => catalog.read.push(entry),
            Err(Refusal(why)) => catalog.refused.push(Refusal(format!("entry {at}: {why}"))),
        }
    }
    Ok(catalog)
}

fn exploited(entry: serde_json::Value) -> Result<(CveId, Exploited), Refusal> {
    let entry: Entry = serde_json::from_value(entry)?;
    let cve: CveId = entry
        .cve
        .parse()
        .map_err(|_| Refusal::new("its `cveID` is no CVE's number"))?;
    let date = |text: &str| text.parse::<Date>().ok();
    let added = date(&entry.added).ok_or_else(|| Refusal(format!("{cve}: no date of adding")))?;
    let exploited = Exploited {
        added,
        due: entry.due.as_deref().and_then(date),
        ransomware: entry.ransomware.as_deref() == Some("Known"),
    };
    Ok((cve, exploited))
}
