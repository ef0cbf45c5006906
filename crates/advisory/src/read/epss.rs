//! EPSS scores (https://www.first.org/epss/data_stats): a csv with `cve`, `epss` and
//! `percentile`, and before them a comment with the date. Columns are found by their names, so
//! that lists which hold more than these are read as well.

use std::io::Read;

use jiff::Timestamp;

use super::{Refusal, time};
use crate::record::{CveId, Epss};

/// There are some 300,000 CVEs; ten times as many is no list of them.
const MOST_SCORES: usize = 3_000_000;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    pub read: Vec<(CveId, Epss)>,
    pub refused: Vec<Refusal>,
    pub scored: Option<Timestamp>,
}

/// # Errors
/// When it is no such list, or ends in the middle.
pub fn read(text: impl Read) -> Result<Scores, Refusal> {
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let mut scores = Scores::default();
    let mut columns = None;
    let mut row = csv::StringRecord::new();
    let broken = |error: csv::Error| Refusal(error.to_string());
    while rows.read_record(&mut row).map_err(broken)? {
        match columns {
            None if row.get(0).is_some_and(|first| first.starts_with('#')) => {
                scores.scored = row.iter().find_map(score_date);
            }
            None => columns = Some(Columns::find(&row)?),
            Some(columns) => match columns.score(&row) {
                Ok(score) => scores.read.push(score),
                Err(Refusal(why)) => {
                    let line = row.position().map_or(0, csv::Position::line);
                    scores.refused.push(Refusal(format!("line {line}: {why}")));
                }
            },
        }
        if scores.read.len() + scores.refused.len() > MOST_SCORES {
            return Err(Refusal(format!("has more than {MOST_SCORES} lines")));
        }
    }
    match columns {
        Some(_) => Ok(scores),
        None => Err(Refusal::new("is empty")),
    }
}

/// `#model_version:v2025.03.14,score_date:2026-08-22T00:00:00+0000`.
fn score_date(field: &str) -> Option<Timestamp> {
    let text = field.trim_start_matches('#').strip_prefix("score_date:")?;
    // ISO 8601's short form of an offset is not RFC 3339's.
    let text = text
        .strip_suffix("+0000")
        .map_or_else(|| text.to_owned(), |local| format!("{local}Z"));
    time(&text)
}

#[derive(Clone, Copy)]
struct Columns {
    cve: usize,
    epss: usize,
    percentile: usize,
}

impl Columns {
    fn find(header: &csv::StringRecord) -> Result<Self, Refusal> {
        let find = |names: &[&str]| {
            let is_one = |field: &str| {
                names
                    .iter()
                    .any(|name| field.trim().eq_ignore_ascii_case(name))
            };
            header
                .iter()
                .position(is_one)
                .ok_or_else(|| Refusal(format!("has no column `{}`", names[0])))
        };
        Ok(Self {
            cve: find(&["cve"])?,
            epss: find(&["epss"])?,
            percentile: find(&["percentile", "epss percentile"])?,
        })
    }

    fn score(self, row: &csv::StringRecord) -> Result<(CveId, Epss), Refusal> {
        let field = |at: usize| row.get(at).unwrap_or_default().trim();
        let cve = field(self.cve)
            .parse()
            .map_err(|_| Refusal::new("no CVE's number"))?;
        let share = |at: usize| {
            let share = field(at).parse::<f32>().ok();
            share
                .filter(|share| (0.0..=1.0).contains(share))
                .ok_or_else(|| Refusal(format!("{cve}: no share between 0 and 1")))
        };
        let epss = Epss {
            score: share(self.epss)?,
            percentile: share(self.percentile)?,
        };
        Ok((cve, epss))
    }
}
