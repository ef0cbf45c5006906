//! Waivers: a rule that some hosts need not meet, until a date.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{RuleId, SourceLine};

/// All fields are mandatory: a waiver without an owner or an end is a hole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    pub rule: RuleId,
    /// Host name patterns; `*` stands for any run of characters, `?` for one.
    pub hosts: Vec<String>,
    pub reason: String,
    pub owner: String,
    /// Never the owner.
    pub approver: String,
    /// The last day, in UTC, on which it holds.
    #[schemars(with = "String", extend("format" = "date"))]
    pub expires: Date,
    /// Where it is written, in the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_at: Option<SourceLine>,
}

impl Waiver {
    pub fn covers_host(&self, hostname: &str) -> bool {
        self.hosts.iter().any(|pattern| matches(pattern, hostname))
    }

    /// `today` in UTC; the day of expiry itself is still covered.
    pub fn is_expired(&self, today: Date) -> bool {
        today > self.expires
    }
}

/// Does `pattern`, with `*` and `?`, match the whole of `name`, ignoring letter case
/// (RFC 4343: host names are case-insensitive)?
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().map(|c| c.to_ascii_lowercase()).collect();
    let name: Vec<char> = name.chars().map(|c| c.to_ascii_lowercase()).collect();
    // Greedy matching with one point of return: linear in practice, never exponential.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, n));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
