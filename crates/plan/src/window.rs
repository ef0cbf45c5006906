//! Maintenance windows: when a change may begin on a host. Times are in UTC, as all dates of a
//! policy are.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Time, Weekday};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan};
use model::Digest;

/// `Sat 02:00-05:00`, `Mon-Fri 22:00-02:00`, `Sat,Sun 01:00-06:00`; without days, each day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// On which it begins, from Monday, 0.
    days: BTreeSet<i8>,
    from: Time,
    length: SignedDuration,
}

/// When a host may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Now,
    /// Not before this moment, which is in the window that is open now.
    Later(Timestamp),
    /// The window is closed, or what is left of it is too short; the next moment is this.
    Closed(Timestamp),
    /// What is to be done takes longer than any window.
    Never,
}

/// A window that is not written as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a window: {why}")]
pub struct BadWindow {
    text: String,
    why: &'static str,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Days that are looked at for the next window: a week, and the one that began the day before.
const DAYS_AHEAD: i64 = 8;

/// A host's place in one of the times at which a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub opens: Timestamp,
    /// When this host begins, first and last.
    pub first: Timestamp,
    pub last: Timestamp,
    pub closes: Timestamp,
}

impl Window {
    /// When `host` may begin what `needs` so long, asked at `now`.
    pub fn start(&self, now: Timestamp, host: &Digest, needs: SignedDuration) -> Start {
        match self.slot(now, host, needs) {
            None => Start::Never,
            Some(slot) if now >= slot.first => Start::Now,
            Some(slot) if now >= slot.opens => Start::Later(slot.first),
            Some(slot) => Start::Closed(slot.first),
        }
    }

    /// The first in which `host` may still begin what `needs` so long; none where that takes
    /// longer than any window. Hosts begin spread over the first half of what can be spared, each
    /// always at the same place, so that a fleet does not begin at once.
    pub fn slot(&self, now: Timestamp, host: &Digest, needs: SignedDuration) -> Option<Slot> {
        let spare = self.length - needs;
        if spare.is_negative() {
            return None;
        }
        let offset = spread(host, spare / 2);
        let today = Offset::UTC.to_datetime(now).date();
        let mut days = (-1..=DAYS_AHEAD).filter_map(|day| today.checked_add(day.days()).ok());
        days.find_map(|date| {
            if !self.days.contains(&date.weekday().to_monday_zero_offset()) {
                return None;
            }
            let opens = Offset::UTC.to_timestamp(date.to_datetime(self.from)).ok()?;
            let slot = Slot {
                opens,
                first: opens + offset,
                last: opens + spare,
                closes: opens + self.length,
            };
            (now <= slot.last).then_some(slot)
        })
    }
}

/// A place within `length` that belongs to the host.
fn spread(host: &Digest, length: SignedDuration) -> SignedDuration {
    let seconds = u64::try_from(length.as_secs()).unwrap_or(0) + 1;
    let number = host
        .as_bytes()
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    SignedDuration::from_secs(i64::try_from(number % seconds).unwrap_or(0))
}

impl FromStr for Window {
    type Err = BadWindow;

    fn from_str(text: &str) -> Result<Self, BadWindow> {
        let bad = |why| BadWindow {
            text: model::printable(text.as_bytes()),
            why,
        };
        let (days, times) = match text.trim().rsplit_once(char::is_whitespace) {
            Some((days, times)) => (days.trim(), times),
            None => ("", text.trim()),
        };
        let (from, to) = times
            .split_once('-')
            .ok_or_else(|| bad("write it as `Sat 02:00-05:00`"))?;
        let time = |text: &str| {
            Time::strptime("%H:%M", text).map_err(|_| bad("times are written as 02:00"))
        };
        let (from, to) = (time(from)?, time(to)?);
        let mut length = to.duration_since(from);
        if length.is_negative() {
            // Over midnight.
            length += SignedDuration::from_hours(24);
        }
        if length.is_zero() {
            return Err(bad("it begins and ends at the same time"));
        }
        let mut chosen = BTreeSet::new();
        for part in days
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let day = |name: &str| {
                DAYS.iter()
                    .position(|day| name.trim().to_ascii_lowercase().starts_with(day))
                    .ok_or_else(|| bad("days are Mon, Tue, Wed, Thu, Fri, Sat and Sun"))
            };
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (day(first)?, day(last)?),
                None => (day(part)?, day(part)?),
            };
            let count = (last + DAYS.len() - first) % DAYS.len();
            chosen.extend((0..=count).map(|step| (first + step) % DAYS.len()));
        }
        if chosen.is_empty() {
            chosen.extend(0..DAYS.len());
        }
        Ok(Self {
            days: chosen
                .into_iter()
                .filter_map(|day| i8::try_from(day).ok())
                .collect(),
            from,
            length,
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<String> = self
            .days
            .iter()
            .filter_map(|day| Weekday::from_monday_zero_offset(*day).ok())
            .map(|day| format!("{day:?}").chars().take(3).collect())
            .collect();
        let minutes = self.length.as_mins();
        write!(
            f,
            "{} {} for {}:{:02} h, UTC",
            days.join(","),
            self.from.strftime("%H:%M"),
            minutes / 60,
            minutes % 60
        )
    }
}
