//! Is a version within a range? (OSV schema 1.6, "Evaluation")

use std::cmp::Ordering;

use crate::record::Event;
use crate::version::Order;

/// [`Event`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point<'a> {
    Introduced(&'a str),
    Fixed(&'a str),
    LastAffected(&'a str),
    Limit(&'a str),
}

impl<'a> From<&'a Event> for Point<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Introduced(version) => Self::Introduced(version),
            Event::Fixed(version) => Self::Fixed(version),
            Event::LastAffected(version) => Self::LastAffected(version),
            Event::Limit(version) => Self::Limit(version),
        }
    }
}

/// The points stand in the order of their versions. None when a comparison was needed that
/// can't be made.
pub fn is_affected<'a>(
    points: impl Iterator<Item = Point<'a>>,
    version: &str,
    order: Order,
) -> Option<bool> {
    let mut affected = false;
    let (mut has_limit, mut is_below) = (false, false);
    for point in points {
        match point {
            // "`0` … represents a version that sorts before any other version."
            Point::Introduced("0") => affected = true,
            Point::Introduced(start) if order.compare(version, start)?.is_ge() => affected = true,
            Point::Fixed(fixed) if order.compare(version, fixed)?.is_ge() => affected = false,
            Point::LastAffected(last) if order.compare(version, last)?.is_gt() => affected = false,
            Point::Limit(limit) => {
                has_limit = true;
                is_below |= order.compare(version, limit)? == Ordering::Less;
            }
            _ => {}
        }
    }
    // "BeforeLimits": below one of them, where there are any.
    Some(affected && (!has_limit || is_below))
}
