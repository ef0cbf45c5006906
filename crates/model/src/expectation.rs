//! An expectation: an exact value, or a bound together with the value to set
//! when the bound fails, so that a host that is stricter than asked passes.

use std::cmp::Ordering;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A plain value as a policy writes it. Programs read text, so `4` and `"4"` are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    Bool(bool),
    Int(i64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// What a value should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Expectation {
    AtMost(AtMost),
    AtLeast(AtLeast),
    Between(Between),
    OneOf(OneOf),
    Exactly(Scalar),
}

/// Passes when the value is a number of at most this; `set` is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtMost {
    pub at_most: i64,
    pub set: Scalar,
}

/// Passes when the value is a number of at least this; `set` is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtLeast {
    pub at_least: i64,
    pub set: Scalar,
}

/// Passes when the value is a number within both bounds; `set` is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Between {
    pub from: i64,
    pub to: i64,
    pub set: Scalar,
}

/// Passes when the value is one of these; `set` is written otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneOf {
    pub one_of: Vec<Scalar>,
    pub set: Scalar,
}

impl Expectation {
    pub fn exactly(text: impl Into<String>) -> Self {
        Self::Exactly(Scalar::Text(text.into()))
    }

    pub fn at_least(at_least: i64, set: i64) -> Self {
        let set = Scalar::from(set.to_string().as_str());
        Self::AtLeast(AtLeast { at_least, set })
    }

    pub fn at_most(at_most: i64, set: i64) -> Self {
        let set = Scalar::from(set.to_string().as_str());
        Self::AtMost(AtMost { at_most, set })
    }

    /// Does `seen` satisfy this, letter case included?
    pub fn holds(&self, seen: &str) -> bool {
        self.holds_by(seen, |a, b| a == b)
    }

    /// The same, for programs that read their words in any letter case.
    pub fn holds_ignoring_case(&self, seen: &str) -> bool {
        self.holds_by(seen, str::eq_ignore_ascii_case)
    }

    fn holds_by(&self, seen: &str, same: impl Fn(&str, &str) -> bool) -> bool {
        let at_most = |most: i64| compared(seen, most).is_some_and(Ordering::is_le);
        let at_least = |least: i64| compared(seen, least).is_some_and(Ordering::is_ge);
        match self {
            Self::Exactly(value) => same(seen, &value.to_string()),
            Self::OneOf(one) => one.one_of.iter().any(|v| same(seen, &v.to_string())),
            Self::AtMost(bound) => at_most(bound.at_most),
            Self::AtLeast(bound) => at_least(bound.at_least),
            Self::Between(bound) => at_least(bound.from) && at_most(bound.to),
        }
    }

    /// The value to write when the expectation does not hold.
    pub fn set(&self) -> String {
        match self {
            Self::Exactly(value) => value.to_string(),
            Self::AtMost(AtMost { set, .. })
            | Self::AtLeast(AtLeast { set, .. })
            | Self::Between(Between { set, .. })
            | Self::OneOf(OneOf { set, .. }) => set.to_string(),
        }
    }

    /// Would writing [`Self::set`] satisfy the expectation? A policy where it would not is refused.
    pub fn is_consistent(&self) -> bool {
        self.holds(&self.set())
    }
}

/// How a number, whole or with a fraction (`2.5`, `+.5`), stands to a whole one; none when the text
/// is no number.
fn compared(text: &str, other: i64) -> Option<Ordering> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.cmp(&other));
    }
    let is_negative = text.starts_with('-');
    let (whole, fraction) = text.trim_start_matches(['+', '-']).split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let is_whole = fraction.bytes().all(|byte| byte == b'0');
    Some(match (is_negative, is_whole) {
        (false, true) => whole.cmp(&other),
        (true, true) => (-whole).cmp(&other),
        // Between `whole` and the next one away from zero.
        (false, false) => whole.cmp(&other).then(Ordering::Greater),
        (true, false) => (-whole).cmp(&other).then(Ordering::Less),
    })
}

/// As a report words it: `no`, `at most 4`, `one of no, prohibit-password`.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(value) => write!(f, "{value}"),
            Self::AtMost(bound) => write!(f, "at most {}", bound.at_most),
            Self::AtLeast(bound) => write!(f, "at least {}", bound.at_least),
            Self::Between(bound) => write!(f, "{} to {}", bound.from, bound.to),
            Self::OneOf(one) => {
                f.write_str("one of ")?;
                for (i, value) in one.one_of.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{value}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AtLeast, AtMost, Between, Expectation, Scalar};

    #[test]
    fn numbers_may_have_a_fraction() {
        let most = |at_most: i64| {
            let set = Scalar::Int(at_most);
            Expectation::AtMost(AtMost { at_most, set })
        };
        let least = |at_least: i64| {
            let set = Scalar::Int(at_least);
            Expectation::AtLeast(AtLeast { at_least, set })
        };
        let between = |from: i64, to: i64| {
            let set = Scalar::Int(from);
            Expectation::Between(Between { from, to, set })
        };
        let cases = [
            (between(0, 15), "2.5", true),
            (between(0, 15), "+2.5", true),
            (between(0, 15), ".5", true),
            (between(0, 15), "15.0", true),
            (between(0, 15), "15.1", false),
            (between(0, 15), "-0.5", false),
            (most(2), "2.5", false),
            (most(3), "2.5", true),
            (least(3), "2.5", false),
            (least(-1), "-0.5", true),
            (least(-1), "-1.5", false),
            (most(5), "", false),
            (most(5), ".", false),
            (most(5), "1.x", false),
            (most(5), "five", false),
        ];
        for (expectation, seen, wanted) in cases {
            assert_eq!(expectation.holds(seen), wanted, "{expectation} {seen}");
        }
    }
}
