//! The built-in rules, as `steadfast rule list --format json` tells of them.

use std::collections::BTreeMap;

use lab::Release;
use serde::Deserialize;

use crate::process::{output, steadfast};
use crate::{Failure, Result};

#[derive(Deserialize)]
struct List {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
pub struct Rule {
    pub id: String,
    pub baseline: String,
    pub area: String,
    pub title: String,
    pub severity: String,
    pub profile: Option<String>,
    pub kinds: Vec<String>,
    /// Versions by distribution.
    pub releases: Releases,
    pub tests: Vec<Test>,
    pub digest: String,
}

pub type Releases = BTreeMap<String, Vec<String>>;

#[derive(Deserialize)]
pub struct Test {
    pub name: String,
    /// `container` or `machine`.
    pub on: String,
    /// Empty for all of the rule's.
    pub releases: Releases,
}

impl Rule {
    /// The releases on which a test has to be proven.
    pub fn claims(&self, test: &Test) -> Vec<Release> {
        let has = |releases: &Releases, release: Release| {
            releases
                .get("debian")
                .is_some_and(|versions| versions.contains(&release.version().to_string()))
        };
        Release::ALL
            .into_iter()
            .filter(|release| has(&self.releases, *release))
            .filter(|release| test.releases.is_empty() || has(&test.releases, *release))
            .collect()
    }
}

/// Sorted by baseline, area and id.
pub fn list() -> Result<Vec<Rule>> {
    let said = output(steadfast()?.args(["rule", "list", "--format", "json"]))?;
    let list: List = serde_json::from_str(&said).map_err(Failure::of("read the list of rules"))?;
    Ok(list.rules)
}
