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

/// Which place in the order of versions is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The version itself.
    At,
    /// Behind it, and before every other version that anybody names: what the next release is,
    /// whatever it will be called.
    JustAbove,
}

/// A range, evaluated point by point in the order of their versions.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'v> {
    version: &'v str,
    place: Place,
    order: Order,
    affected: bool,
    has_limit: bool,
    is_below: bool,
    /// A comparison was needed that can't be made.
    is_unknown: bool,
}

impl<'v> Evaluation<'v> {
    pub const fn of(version: &'v str, place: Place, order: Order) -> Self {
        Self {
            version,
            place,
            order,
            affected: false,
            has_limit: false,
            is_below: false,
            is_unknown: false,
        }
    }

    pub fn pass(&mut self, point: Point<'_>) {
        let mut against = |other: &str| {
            let order = self.order.compare(self.version, other);
            self.is_unknown |= order.is_none();
            match (order, self.place) {
                (Some(Ordering::Equal), Place::JustAbove) => Ordering::Greater,
                (order, _) => order.unwrap_or(Ordering::Less),
            }
        };
        match point {
            // "`0` … represents a version that sorts before any other version."
            Point::Introduced("0") => self.affected = true,
            Point::Introduced(start) => self.affected |= against(start).is_ge(),
            Point::Fixed(fixed) => self.affected &= against(fixed).is_lt(),
            Point::LastAffected(last) => self.affected &= against(last).is_le(),
            Point::Limit(limit) => {
                self.is_below |= against(limit).is_lt();
                self.has_limit = true;
            }
        }
    }

    /// None when it can't be told.
    pub const fn end(self) -> Option<bool> {
        if self.is_unknown {
            return None;
        }
        // "BeforeLimits": below one of them, where there are any.
        Some(self.affected && (!self.has_limit || self.is_below))
    }
}

/// The points stand in the order of their versions. None when it can't be told.
pub fn is_affected<'a>(
    points: impl Iterator<Item = Point<'a>>,
    version: &str,
    order: Order,
) -> Option<bool> {
    let mut evaluation = Evaluation::of(version, Place::At, order);
    points.for_each(|point| evaluation.pass(point));
    evaluation.end()
}
