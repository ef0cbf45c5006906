//! Maintenance windows: when a change may begin on a host. Times are in UTC, as all dates of a policy
//! are, unless the window names a time zone.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use model::Digest;

/// `Sat 02:00-05:00`, `Mon-Fri 22:00-02:00`, `Sat,Sun 01:00-06:00 Europe/Berlin`; `daily`, or no
/// days: each day. Several, after commas: `Mon-Fri 22:00-02:00, Sat 01:00-03:00 Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window(Vec<Opening>);

/// One of the times at which a window is open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Opening {
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

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// More than a week has nights is no window, but a text that runs away.
const LARGEST: usize = 32;
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
        let slots = self.0.iter().filter_map(|one| one.slot(now, host, needs));
        slots.min_by_key(|slot| (slot.first.max(now), std::cmp::Reverse(slot.closes)))
    }

    /// # Errors
    /// When it is not written as one, or names a time zone that is not known.
    pub fn parse(text: &str, zones: Zones<'_>) -> Result<Self, BadWindow> {
        let mut parts: Vec<String> = Vec::new();
        for piece in text.split([',', ';']) {
            match parts.last_mut() {
                // Days before the times that they belong to.
                Some(open) if !open.contains(':') => *open = format!("{open},{piece}"),
                _ => parts.push(piece.to_owned()),
            }
        }
        let bad = |why| BadWindow {
            text: model::printable(text.as_bytes()),
            why,
        };
        if parts.len() > LARGEST {
            return Err(bad("these are more than 32"));
        }
        // A time zone at the end is that of all that name none.
        let last = parts.last().and_then(|part| zone_name(part));
        let zone = last.map(str::to_owned);
        let parts = parts.iter().map(|part| match (zone_name(part), &zone) {
            (None, Some(zone)) => format!("{part} {zone}"),
            _ => part.clone(),
        });
        let openings = parts.map(|part| Opening::parse(&part, zones).map_err(bad));
        openings.collect::<Result<_, _>>().map(Self)
    }
}

/// What stands after the times.
fn zone_name(text: &str) -> Option<&str> {
    let mut words = text.split_whitespace();
    words.find(|word| word.contains(':'))?;
    words.next()
}

impl Opening {
    /// The first of its own.
    fn slot(&self, now: Timestamp, host: &Digest, needs: SignedDuration) -> Option<Slot> {
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
        match length.is_positive() {
            true => length,
            false => length + SignedDuration::from_hours(24),
        }
    }

    /// The error is why it is none.
    fn parse(text: &str, zones: Zones<'_>) -> Result<Self, &'static str> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let is_times = |word: &&str| word.contains(':');
        let place = words.iter().position(is_times);
        let place = place.ok_or("write it as `Sat 02:00-05:00`")?;
        let (from, to) = words[place]
            .split_once('-')
            .ok_or("write it as `Sat 02:00-05:00`")?;
        let time =
            |text: &str| Time::strptime("%H:%M", text).map_err(|_| "times are written as 02:00");
        // The end of a day is the beginning of the next one.
        let is_day = (from, to) == ("00:00", "24:00");
        let to = if to == "24:00" { "00:00" } else { to };
        let (from, to) = (time(from)?, time(to)?);
        if from == to && !is_day {
            return Err("it begins and ends at the same time");
        }
        let (named, zone) = match &words[place + 1..] {
            [] | ["UTC"] => ("UTC".to_owned(), TimeZone::UTC),
            [name] => {
                let zone = zones(name);
                let unknown = "this host knows no time zone of that name: write Europe/Berlin";
                ((*name).to_owned(), zone.ok_or(unknown)?)
            }
            _ => return Err("after the times comes a time zone, and nothing else"),
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
                    .position(|day| starts_with(name.trim(), day))
                    .ok_or("days are Mon, Tue, Wed, Thu, Fri, Sat and Sun, or daily")
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

/// Whatever the case of its letters: `sat`, `SATURDAY`.
fn starts_with(name: &str, day: &str) -> bool {
    name.get(..day.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(day))
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
        for (at, opening) in self.0.iter().enumerate() {
            let gap = if at > 0 { "; " } else { "" };
            write!(f, "{gap}{opening}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.days.iter();
        let days: Vec<&str> = days
            .filter_map(|day| DAYS.get(usize::try_from(*day).ok()?).copied())
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
