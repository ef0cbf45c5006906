//! Maven's order, after `org.apache.maven.artifact.versioning.ComparableVersion` ("Version Order
//! Specification" of the POM reference): dots and hyphens separate, as does the change between
//! digits and letters; a hyphen opens a nested list.

use std::cmp::Ordering;

/// "The Maven coordinate's tokens are … `alpha` < `beta` < `milestone` < `rc` = `cr` <
/// `snapshot` < `` = `final` = `ga` = `release` < `sp`", and any other word after these.
const QUALIFIERS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];
const RELEASE: usize = 5;
/// Deeper than any version that somebody means; bounds the recursion.
const DEEPEST: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// Digits without leading zeros.
    Number(String),
    Word(String),
    List(Vec<Item>),
}

impl Item {
    fn is_null(&self) -> bool {
        match self {
            Self::Number(digits) => digits.is_empty(),
            Self::Word(word) => rank(word) == (RELEASE, ""),
            Self::List(items) => items.is_empty(),
        }
    }
}

fn rank(word: &str) -> (usize, &str) {
    match QUALIFIERS.iter().position(|known| *known == word) {
        Some(at) => (at, ""),
        None => (QUALIFIERS.len(), word),
    }
}

fn number(digits: &str) -> Item {
    Item::Number(digits.trim_start_matches('0').to_owned())
}

fn word(text: &str, followed_by_digit: bool) -> Item {
    let text = match (text, followed_by_digit) {
        // "`a`, `b` and `m` are alpha, beta and milestone when a number follows at once."
        ("a", true) => "alpha",
        ("b", true) => "beta",
        ("m", true) => "milestone",
        ("ga" | "final" | "release", _) => "",
        ("cr", _) => "rc",
        (text, _) => text,
    };
    Item::Word(text.to_owned())
}

/// "Empty tokens are replaced with 0, and null values at the end of a list are removed, from
/// the innermost list outwards."
fn normalize(items: &mut Vec<Item>) {
    let mut at = items.len();
    while at > 0 {
        at -= 1;
        if items[at].is_null() {
            items.remove(at);
        } else if !matches!(items[at], Item::List(_)) {
            break;
        }
    }
}

fn parse(text: &str) -> Vec<Item> {
    let text = text.to_ascii_lowercase();
    // The open lists, the innermost last.
    let mut open: Vec<Vec<Item>> = vec![Vec::new()];
    let nest = |open: &mut Vec<Vec<Item>>| {
        if open.len() < DEEPEST {
            open.push(Vec::new());
        }
    };
    let mut token = String::new();
    let mut is_digit = false;
    let push = |open: &mut Vec<Vec<Item>>, token: &mut String, is_digit, by_digit| {
        let item = match (token.is_empty(), is_digit) {
            (true, _) => number(""),
            (false, true) => number(token),
            (false, false) => word(token, by_digit),
        };
        token.clear();
        if let Some(list) = open.last_mut() {
            list.push(item);
        }
    };
    for letter in text.chars() {
        match letter {
            '.' => push(&mut open, &mut token, is_digit, false),
            '-' => {
                push(&mut open, &mut token, is_digit, false);
                nest(&mut open);
            }
            digit if digit.is_ascii_digit() => {
                if !is_digit && !token.is_empty() {
                    // 1.0.0.X1 < 1.0.0-X2: treat `.X` as `-X` for any string qualifier X.
                    if open.last().is_some_and(|list| !list.is_empty()) {
                        nest(&mut open);
                    }
                    push(&mut open, &mut token, false, true);
                    nest(&mut open);
                }
                is_digit = true;
                token.push(digit);
            }
            other => {
                if is_digit && !token.is_empty() {
                    push(&mut open, &mut token, true, false);
                    nest(&mut open);
                }
                is_digit = false;
                token.push(other);
            }
        }
        if matches!(letter, '.' | '-') {
            is_digit = false;
        }
    }
    if !token.is_empty() {
        if !is_digit && open.last().is_some_and(|list| !list.is_empty()) {
            nest(&mut open);
        }
        push(&mut open, &mut token, is_digit, false);
    }
    while let Some(mut list) = open.pop() {
        normalize(&mut list);
        match open.last_mut() {
            Some(outer) => outer.push(Item::List(list)),
            None => return list,
        }
    }
    Vec::new()
}

fn compare_items(left: Option<&Item>, right: Option<&Item>) -> Ordering {
    match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(right)) => compare_items(Some(right), None).reverse(),
        (Some(Item::Number(digits)), None) => match digits.is_empty() {
            true => Ordering::Equal,
            false => Ordering::Greater,
        },
        (Some(Item::Word(word)), None) => rank(word).cmp(&(RELEASE, "")),
        (Some(Item::List(items)), None) => items
            .iter()
            .map(|item| compare_items(Some(item), None))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal),
        (Some(Item::Number(left)), Some(Item::Number(right))) => {
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        }
        // 1.1 > 1-sp, and 1.1 > 1-1.
        (Some(Item::Number(_)), Some(_)) => Ordering::Greater,
        (Some(_), Some(Item::Number(_))) => Ordering::Less,
        (Some(Item::Word(left)), Some(Item::Word(right))) => rank(left).cmp(&rank(right)),
        // 1.any < 1-1.
        (Some(Item::Word(_)), Some(Item::List(_))) => Ordering::Less,
        (Some(Item::List(_)), Some(Item::Word(_))) => Ordering::Greater,
        (Some(Item::List(left)), Some(Item::List(right))) => compare_lists(left, right),
    }
}

fn compare_lists(left: &[Item], right: &[Item]) -> Ordering {
    (0..left.len().max(right.len()))
        .map(|at| compare_items(left.get(at), right.get(at)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Every text is a version here, so this never fails.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    compare_lists(&parse(a), &parse(b))
}
