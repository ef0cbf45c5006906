//! Maintenance windows: when a change may begin on a host. Times are in UTC, as all dates of a policy
//! are, unless the window names a time zone.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use model::Digest;

/// `Sat 02:00-05:00`, `Mon-Fri 22:00-02:00`, `Sat,Sun 01:00-06:00 Europe/Berlin`; `daily`, or no
/// days: each day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// On which it begins, from Monday, 0.
    days: BTreeSet<i8>,
    from: Time,
    /// Before `from`, or the same, on the day after.
    to: Time,
    zone: TimeZone,
    /// The zone's name as it was written.
    named: String,
}

/// The time zone of a name of the IANA's database, `Europe/Berlin`: whoever parses a window says where
/// that is.
pub type Zones<'a> = &'a dyn Fn(&str) -> Option<TimeZone>;

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
        let today = self.zone.to_datetime(now).date();
        let mut days = (-1..=DAYS_AHEAD).filter_map(|day| today.checked_add(day.days()).ok());
        days.find_map(|date| {
            if !self.days.contains(&date.weekday().to_monday_zero_offset()) {
                return None;
            }
            // A window is as long as the clocks of its zone make it: when they go forward in it, it
            // is an hour shorter, and a time that there is not that night is the one an hour later.
            let at = |date: Date, time| {
                let at = self.zone.to_ambiguous_timestamp(date.to_datetime(time));
                at.compatible().ok()
            };
            let last = match self.to > self.from {
                true => date,
                false => date.checked_add(1.days()).ok()?,
            };
            let (opens, closes) = (at(date, self.from)?, at(last, self.to)?);
            let spare = closes.duration_since(opens) - needs;
            if spare.is_negative() {
                return None;
            }
            let slot = Slot {
                opens,
                first: opens + spread(host, spare / 2),
                last: opens + spare,
                closes,
            };
            (now <= slot.last).then_some(slot)
        })
    }

    /// As long as it is where no clocks are changed in it.
    fn length(&self) -> SignedDuration {
        let length = self.to.duration_since(self.from);
        match length.is_negative() {
            true => length + SignedDuration::from_hours(24),
            false => length,
        }
    }

    /// # Errors
    /// When it is not written as one, or names a time zone that is not known.
    pub fn parse(text: &str, zones: Zones<'_>) -> Result<Self, BadWindow> {
        let bad = |why| BadWindow {
            text: model::printable(text.as_bytes()),
            why,
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let is_times = |word: &&str| word.contains(':');
        let place = words.iter().position(is_times);
        let place = place.ok_or_else(|| bad("write it as `Sat 02:00-05:00`"))?;
        let (from, to) = words[place]
            .split_once('-')
            .ok_or_else(|| bad("write it as `Sat 02:00-05:00`"))?;
        let time = |text: &str| {
            Time::strptime("%H:%M", text).map_err(|_| bad("times are written as 02:00"))
        };
        // The end of a day is the beginning of the next one.
        let to = if to == "24:00" { "00:00" } else { to };
        let (from, to) = (time(from)?, time(to)?);
        if from == to {
            return Err(bad("it begins and ends at the same time"));
        }
        let (named, zone) = match &words[place + 1..] {
            [] | ["UTC"] => ("UTC".to_owned(), TimeZone::UTC),
            [name] => {
                let zone = zones(name);
                let unknown = "this host knows no time zone of that name: write Europe/Berlin";
                ((*name).to_owned(), zone.ok_or_else(|| bad(unknown))?)
            }
            _ => return Err(bad("after the times comes a time zone, and nothing else")),
        };
        let mut chosen = BTreeSet::new();
        let written = words[..place].join(" ");
        let written = match written.to_ascii_lowercase().as_str() {
            "daily" => "",
            _ => &written,
        };
        for part in written
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let day = |name: &str| {
                DAYS.iter()
                    .position(|day| name.trim().to_ascii_lowercase().starts_with(day))
                    .ok_or_else(|| bad("days are Mon, Tue, Wed, Thu, Fri, Sat and Sun, or daily"))
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
            to,
            zone,
            named,
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

/// In UTC; a time zone is not known here.
impl FromStr for Window {
    type Err = BadWindow;

    fn from_str(text: &str) -> Result<Self, BadWindow> {
        Self::parse(text, &|_| None)
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
        let minutes = self.length().as_mins();
        write!(
            f,
            "{} {} for {}:{:02} h, {}",
            days.join(","),
            self.from.strftime("%H:%M"),
            minutes / 60,
            minutes % 60,
            self.named
        )
    }
}
