//! Is a version within a range? (OSV schema 1.6, "Evaluation")

use std::cmp::Ordering;

use crate::record::Event;
use crate::version::{Order, Parsed};

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

impl<'a> Point<'a> {
    /// The version that a place is told by; none for the place before every version.
    pub fn parse(self, order: Order) -> Option<Parsed<'a>> {
        match self {
            // "`0` … represents a version that sorts before any other version."
            Self::Introduced("0") => None,
            Self::Introduced(text)
            | Self::Fixed(text)
            | Self::LastAffected(text)
            | Self::Limit(text) => Some(order.parse(text)),
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
#[derive(Clone, Debug)]
pub struct Evaluation<'v> {
    version: &'v Parsed<'v>,
    place: Place,
    affected: bool,
    has_limit: bool,
    is_below: bool,
    /// A comparison was needed that can't be made.
    is_unknown: bool,
}

impl<'v> Evaluation<'v> {
    pub const fn of(version: &'v Parsed<'v>, place: Place) -> Self {
        Self {
            version,
            place,
            affected: false,
            has_limit: false,
            is_below: false,
            is_unknown: false,
        }
    }

    /// `other` is the point's own version.
    pub fn pass(&mut self, point: Point<'_>, other: Option<&Parsed<'_>>) {
        let Some(other) = other else {
            self.affected = true;
            return;
        };
        let order = self.version.compare(other);
        self.is_unknown |= order.is_none();
        let against = match (order, self.place) {
            (Some(Ordering::Equal), Place::JustAbove) => Ordering::Greater,
            (order, _) => order.unwrap_or(Ordering::Less),
        };
        match point {
            Point::Introduced(_) => self.affected |= against.is_ge(),
            Point::Fixed(_) => self.affected &= against.is_lt(),
            Point::LastAffected(_) => self.affected &= against.is_le(),
            Point::Limit(_) => {
                self.is_below |= against.is_lt();
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

/// A range, its versions taken apart: many are asked about one after the other.
pub struct Range<'a>(Vec<(Point<'a>, Option<Parsed<'a>>)>);

impl<'a> Range<'a> {
    /// The points stand in the order of their versions.
    pub fn of(points: impl Iterator<Item = Point<'a>>, order: Order) -> Self {
        Self(points.map(|point| (point, point.parse(order))).collect())
    }

    /// None when it can't be told.
    pub fn is_affected(&self, version: &Parsed<'_>) -> Option<bool> {
        let mut evaluation = Evaluation::of(version, Place::At);
        for (point, parsed) in &self.0 {
            evaluation.pass(*point, parsed.as_ref());
        }
        evaluation.end()
    }
}
