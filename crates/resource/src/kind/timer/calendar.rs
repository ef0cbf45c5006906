//! How often an expression of `OnCalendar=` is met (systemd.time(7), "Calendar events"), without
//! a clock: days are counted over years that have every kind of month, and an expression that
//! names its years has to go on for as long as they do.
//!
//! What systemd refuses is refused: a line that it does not understand is ignored, and a timer
//! that has no other is not loaded.

/// From 2026-01-01, a Thursday, over a whole cycle of weekdays and leap years. A year that an
/// expression begins with lies before it where it is in force today.
const FIRST_YEAR: u32 = 2026;
const FIRST_WEEKDAY: usize = 3;
const YEARS: u32 = 32;

/// What systemd makes of an expression.
#[derive(Debug, PartialEq, Eq)]
pub enum Met {
    /// Is it met on each of the days from [`FIRST_YEAR`] on?
    Days(Vec<bool>),
    /// It does not understand it.
    Refused,
    /// Only its table of time zones would tell.
    Untold,
}

pub fn days(expression: &str) -> Met {
    let expression = expression.trim();
    if let Some(met) = within(expression) {
        return Met::Days(met);
    }
    // A time zone moves it by less than a day. UTC is known in any letter case.
    let Some((rest, zone)) = expression.rsplit_once(' ') else {
        return Met::Refused;
    };
    match within(rest) {
        Some(met) if zone.eq_ignore_ascii_case("utc") || is_zone(zone) => Met::Days(met),
        // What is an expression itself is no zone.
        Some(_) if is_word(zone) && within(zone).is_none() => Met::Untold,
        _ => Met::Refused,
    }
}

/// `Europe/Berlin`, `Etc/GMT+1`, and some of the few that have one word.
fn is_zone(word: &str) -> bool {
    const OF_ONE_WORD: [&str; 12] = [
        "CET",
        "EET",
        "EST",
        "GMT",
        "HST",
        "Japan",
        "MET",
        "MST",
        "Singapore",
        "UCT",
        "WET",
        "Zulu",
    ];
    const AREAS: [&str; 11] = [
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Etc",
        "Europe",
        "Indian",
        "Pacific",
    ];
    match word.split_once('/') {
        Some((area, place)) => AREAS.contains(&area) && !place.is_empty(),
        None => OF_ONE_WORD.contains(&word),
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// An expression without a time zone.
fn within(expression: &str) -> Option<Vec<bool>> {
    let short = match expression.to_ascii_lowercase().as_str() {
        "minutely" | "hourly" | "daily" => Some("*-*-*"),
        "weekly" => Some("Mon *-*-*"),
        "monthly" => Some("*-*-01"),
        "quarterly" => Some("*-01,04,07,10-01"),
        "semiannually" | "semi-annually" | "biannually" | "bi-annually" => Some("*-01,07-01"),
        "yearly" | "annually" | "anually" => Some("*-01-01"),
        _ => None,
    };
    let expression = short.unwrap_or(expression);
    // One moment.
    if let Some(seconds) = expression.strip_prefix('@') {
        seconds.parse::<u64>().ok()?;
        return Some(vec![false; calendar().count()]);
    }
    let mut words = expression
        .split(' ')
        .filter(|word| !word.is_empty())
        .peekable();
    words.peek()?;
    let weekdays = match words.next_if(|word| is_word(word)) {
        Some(word) => named(word)?,
        None => [true; 7],
    };
    let date = match words.next_if(|word| !word.contains(':')) {
        Some(word) => Date::read(word)?,
        None => Date::any(),
    };
    if let Some(word) = words.next() {
        let parts: Vec<&str> = word.split(':').collect();
        // Each of them has a value where none is out of its range.
        match parts[..] {
            [hour, minute] => is_time(hour, minute).then_some(())?,
            [hour, minute, second] => {
                (is_time(hour, minute) && is_second(second)).then_some(())?;
            }
            _ => return None,
        }
    }
    if words.next().is_some() {
        return None;
    }
    let met = |day: Day| date.has(day) && weekdays[day.weekday];
    Some(calendar().map(met).collect())
}

fn is_time(hour: &str, minute: &str) -> bool {
    Set::read(hour, 0, 23).is_some() && Set::read(minute, 0, 59).is_some()
}

/// Seconds may have a fraction.
fn is_second(text: &str) -> bool {
    let whole = |value: &str| match value.split_once('.') {
        Some((whole, fraction)) => {
            let is_number = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| whole.to_owned())
        }
        None => Some(value.to_owned()),
    };
    let values = text.split(',').map(|one| {
        let (values, step) = match one.split_once('/') {
            Some((values, step)) => (values, format!("/{}", whole(step)?)),
            None => (one, String::new()),
        };
        Some(match values.split_once("..") {
            Some((from, to)) => format!("{}..{}{step}", whole(from)?, whole(to)?),
            None => format!("{}{step}", whole(values)?),
        })
    });
    let values: Option<Vec<String>> = values.collect();
    values.is_some_and(|values| Set::read(&values.join(","), 0, 59).is_some())
}

/// The longest time between two of these days, in days; none where there are no two, or where it
/// comes to an end.
pub fn longest_gap(days: &[bool]) -> Option<u32> {
    let met: Vec<usize> = (0..days.len()).filter(|at| days[*at]).collect();
    let longest = met.windows(2).map(|two| two[1] - two[0]).max()?;
    let before = *met.first()?;
    let after = days.len() - met.last()?;
    let is_endless = before <= longest && after <= longest;
    is_endless.then(|| u32::try_from(longest).ok()).flatten()
}

#[derive(Clone, Copy)]
struct Day {
    year: u32,
    month: u32,
    day: u32,
    of_month: u32,
    /// 0 is Monday.
    weekday: usize,
}

fn calendar() -> impl Iterator<Item = Day> {
    let months = (FIRST_YEAR..FIRST_YEAR + YEARS).flat_map(|year| {
        (1..=12).map(move |month| {
            let of_month = match month {
                2 if year.is_multiple_of(4) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, of_month)
        })
    });
    let days = months.flat_map(|(year, month, of_month)| {
        (1..=of_month).map(move |day| (year, month, day, of_month))
    });
    days.zip((0..7).cycle().skip(FIRST_WEEKDAY))
        .map(|((year, month, day, of_month), weekday)| Day {
            year,
            month,
            day,
            of_month,
            weekday,
        })
}

/// `year-month-day`, `month-day`; the last of its marks is `~` where days are counted from the
/// month's end.
struct Date {
    year: Set,
    month: Set,
    day: Set,
    from_end: bool,
}

impl Date {
    const fn any() -> Self {
        Self {
            year: Set(None),
            month: Set(None),
            day: Set(None),
            from_end: false,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (rest, day, from_end) = match text.rsplit_once('~') {
            Some((rest, day)) => (rest, day, true),
            None => text
                .rsplit_once('-')
                .map(|(rest, day)| (rest, day, false))?,
        };
        let (year, month) = rest.split_once('-').unwrap_or(("*", rest));
        // "Forbid dates more than 28 days from the end of the month" (calendarspec.c).
        let day = match from_end {
            true => Set::from_end(day, 28)?,
            false => Set::read(day, 1, 31)?,
        };
        Some(Self {
            year: Set::years(year)?,
            month: Set::read(month, 1, 12)?,
            day,
            from_end,
        })
    }

    fn has(&self, day: Day) -> bool {
        let is_day = match self.from_end {
            true => self.day.has_from_end(day.of_month - day.day + 1),
            false => self.day.has(day.day),
        };
        self.year.has(day.year) && self.month.has(day.month) && is_day
    }
}

/// A value of a list: from, to (none: to the end), and by which step.
#[derive(Clone, Copy)]
struct Range {
    from: u32,
    to: Option<u32>,
    step: Option<u32>,
}

/// `*` (none), or values, ranges `4..8` and repetitions `2/3`, separated by commas.
struct Set(Option<Vec<Range>>);

impl Set {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self(None));
        }
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<u32>().ok()).flatten()
        };
        let ranges = text.split(',').map(|one| {
            let (values, step) = match one.split_once('/') {
                Some((values, step)) => (values, Some(number(step).filter(|step| *step > 0)?)),
                None => (one, None),
            };
            let (from, to) = match values.split_once("..") {
                Some((from, to)) => (number(from)?, Some(number(to)?)),
                None => (number(values)?, None),
            };
            // One value.
            let to = to.filter(|to| *to != from || step.is_some());
            let step = step.or_else(|| to.map(|_| 1));
            Some(Range { from, to, step })
        });
        ranges.collect::<Option<_>>().map(|all| Self(Some(all)))
    }

    /// `chain_valid` of systemd: each value in its range, and room for one repetition at least.
    fn checked(self, least: u32, most: u32, from_end: bool) -> Option<Self> {
        let is_within = |value: u32| (least..=most).contains(&value);
        let is_valid = |range: &Range| {
            let step = range.step.unwrap_or(0);
            let has_room = match (range.to, range.step) {
                (_, None) => true,
                (Some(to), _) => is_within(to) && range.from + step <= to,
                (None, _) if from_end => range.from >= least + step,
                (None, _) => range.from + step <= most,
            };
            is_within(range.from) && step <= most - least && has_room
        };
        let all_valid = self.0.iter().flatten().all(is_valid);
        all_valid.then_some(self)
    }

    fn read(text: &str, least: u32, most: u32) -> Option<Self> {
        Self::parse(text)?.checked(least, most, false)
    }

    fn from_end(text: &str, most: u32) -> Option<Self> {
        Self::parse(text)?.checked(1, most, true)
    }

    /// Two digits are of this century, or of the last one.
    fn years(text: &str) -> Option<Self> {
        let whole = |year: u32| match year {
            0..70 => year + 2000,
            70..100 => year + 1900,
            _ => year,
        };
        let mut years = Self::parse(text)?;
        for range in years.0.iter_mut().flatten() {
            range.from = whole(range.from);
            range.to = range.to.map(whole);
        }
        years.checked(1970, 2199, false)
    }

    fn has(&self, value: u32) -> bool {
        let Some(ranges) = &self.0 else {
            return true;
        };
        ranges.iter().any(|range| match range.step {
            None => value == range.from,
            Some(step) => {
                range.from <= value
                    && range.to.is_none_or(|to| value <= to)
                    && (value - range.from).is_multiple_of(step)
            }
        })
    }

    /// The same of a day counted from the month's end: a repetition goes on to the last day, and a
    /// range begins with the day that is farther from it.
    fn has_from_end(&self, counted: u32) -> bool {
        let Some(ranges) = &self.0 else {
            return true;
        };
        ranges.iter().any(|range| match (range.step, range.to) {
            (None, _) => counted == range.from,
            (Some(step), None) => {
                counted <= range.from && (range.from - counted).is_multiple_of(step)
            }
            (Some(step), Some(to)) => {
                range.from <= counted && counted <= to && (to - counted).is_multiple_of(step)
            }
        })
    }
}

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// `Mon,Thu`, `Mon..Fri`, `Mon-Fri`, by three letters or in full. A week ends with Sunday.
fn named(text: &str) -> Option<[bool; 7]> {
    const FULL: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let of = |name: &str| {
        let name = name.to_ascii_lowercase();
        (0..7).find(|at| name == WEEKDAYS[*at] || name == FULL[*at])
    };
    let mut days = [false; 7];
    for one in text.strip_suffix(',').unwrap_or(text).split(',') {
        let range = one.split_once("..").or_else(|| one.split_once('-'));
        let (from, to) = range.unwrap_or((one, one));
        let (from, to) = (of(from)?, of(to)?);
        if from > to {
            return None;
        }
        days[from..=to].fill(true);
    }
    Some(days)
}

/// A time span in seconds (systemd.time(7), "Parsing time spans"); none where it is not
/// understood or has no end.
pub fn span(text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let value: f64 = rest[..number].parse().ok()?;
        rest = rest[number..].trim_start();
        let unit = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        seconds += value
            * match &rest[..unit] {
                "us" | "usec" | "µs" | "μs" => 1e-6,
                "ms" | "msec" => 1e-3,
                "" | "s" | "sec" | "second" | "seconds" => 1.0,
                "m" | "min" | "minute" | "minutes" => 60.0,
                "h" | "hr" | "hour" | "hours" => 3600.0,
                "d" | "day" | "days" => 86_400.0,
                "w" | "week" | "weeks" => 604_800.0,
                "M" | "month" | "months" => 2_629_800.0,
                "y" | "year" | "years" => 31_557_600.0,
                _ => return None,
            };
        rest = rest[unit..].trim_start();
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::{Met, days, longest_gap, span};

    fn gap(expression: &str) -> Option<u32> {
        match days(expression) {
            Met::Days(days) => longest_gap(&days),
            other => panic!("{expression}: {other:?}"),
        }
    }

    #[test]
    fn how_often_a_calendar_expression_is_met() {
        let check = |expression: &str, wanted: Option<u32>| {
            assert_eq!(gap(expression), wanted, "{expression}");
        };
        check("*-*-* 6,18:00", Some(1));
        check("daily", Some(1));
        check("daily UTC", Some(1));
        check("weekly Europe/Berlin", Some(7));
        check("weekly utc", Some(7));
        check("*:0/15", Some(1));
        check("*:*:0/5", Some(1));
        check("1:2:3.5", Some(1));
        check("*-*-* 3:00:*", Some(1));
        check("1..3:00", Some(1));
        check("Mon..Fri 22:30 Europe/Berlin", Some(3));
        check("Mon-Fri", Some(3));
        check("Sun..Sun", Some(7));
        check("Mon,", Some(7));
        check("Thu,Fri *-*-1,5 11:12:13", Some(182));
        check("Mon", Some(7));
        check("Mon UTC", Some(7));
        check("sunday *-*-* 04:00:00 UTC", Some(7));
        check("*-*-1/10 05:00", Some(10));
        check("*-*~1", Some(31));
        // The last days of a month: from the seventh but last on.
        check("*-*~7/1", Some(25));
        check("*-*~1..7", Some(25));
        check("*-*~7/3", Some(25));
        check("*-*-2..2", Some(31));
        check("monthly", Some(31));
        check("bi-annually", Some(184));
        check("02-29 12:00", Some(1461));
        // Years.
        check("2020/1-*-*", Some(1));
        check("2020..2099-*-*", Some(1));
        check("20..69-*-*", Some(1));
        check("0/2-*-*", Some(366));
        // Never again, or never at all.
        check("2099-01-01", None);
        check("2024..2030-*-* 06:00", None);
        check("2040/1-*-*", None);
        check("70-*-*", None);
        check("@1395716396", None);
        check("*-02-30", None);
    }

    /// As `systemd-analyze calendar` of systemd 252 and 257 says.
    #[test]
    fn what_systemd_refuses() {
        for wrong in [
            "*-*-*/2",
            "*:*/30",
            "Fri..Mon",
            "sun..sat",
            "*-*-0/2",
            "*-*~1/3",
            "*-*-1..40",
            "*-*-* 25:00",
            "*-*-* 24:00",
            "*-*-* 3:00:60",
            "*-*-* 3:00:0/60",
            "*-*-* 3:0/61",
            "*-2/11-1",
            "*-*-31/1",
            "*-*-1,15,",
            "*-*-1 ,2",
            "*-*-*T3:00",
            "*-*-* 03",
            "*/1-*-*",
            "1969-*-*",
            "@x",
            "UTC",
            "*",
            "5",
            "01..31",
            "Mon..",
            "Mon.Fri",
            "Mon..Wed..Fri",
            "Mon 5",
            "Mon daily",
            "daily Mon",
            "12",
            "*-*-*x 1:00",
            "Mon..x",
            "1:2:3:4",
            "soonish daily",
            "",
        ] {
            assert_eq!(days(wrong), Met::Refused, "{wrong}");
        }
        // Only the table of zones would tell.
        assert_eq!(days("*-*-* 3:00 Mars"), Met::Untold);
        assert_eq!(days("daily Mars"), Met::Untold);
    }

    #[test]
    fn spans_have_many_units() {
        let check = |text: &str, wanted: Option<u32>| {
            assert_eq!(span(text), wanted.map(f64::from), "{text}");
        };
        check("1h 30min", Some(5400));
        check("12h", Some(43_200));
        check("300", Some(300));
        check("1 week", Some(604_800));
        check("infinity", None);
        check("", None);
    }
}
