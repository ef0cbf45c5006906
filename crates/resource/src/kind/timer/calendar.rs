//! How often an expression of `OnCalendar=` is met (systemd.time(7), "Calendar events"), without
//! a clock: days are counted over years that have every kind of month, and an expression that
//! names its years is met for a while at most.

/// From 2024-01-01, a Monday, over two leap years.
const FIRST_YEAR: u32 = 2024;
const YEARS: u32 = 8;

/// Is it met on each of the days from [`FIRST_YEAR`] on? None where it is not understood.
pub fn days(expression: &str) -> Option<Vec<bool>> {
    let expression = match expression.trim().to_ascii_lowercase().as_str() {
        "minutely" | "hourly" | "daily" => "*-*-*".to_owned(),
        "weekly" => "mon *-*-*".to_owned(),
        "monthly" => "*-*-01".to_owned(),
        "quarterly" => "*-01,04,07,10-01".to_owned(),
        "semiannually" | "semi-annually" => "*-01,07-01".to_owned(),
        "yearly" | "annually" | "anually" => "*-01-01".to_owned(),
        other => other.to_owned(),
    };
    // One moment.
    if let Some(seconds) = expression.strip_prefix('@') {
        seconds.parse::<f64>().ok()?;
        return Some(vec![false; calendar().count()]);
    }
    if expression.is_empty() {
        return None;
    }
    let mut words = expression.split_whitespace().peekable();
    let mut weekdays = [true; 7];
    let is_of_letters = |word: &str| word.starts_with(|c: char| c.is_ascii_alphabetic());
    if let Some(word) = words.next_if(|word| is_of_letters(word)) {
        match named(word) {
            Some(named) => weekdays = named,
            // A time zone alone: every midnight there.
            None if words.peek().is_none() && !word.contains(['.', ',']) => {}
            None => return None,
        }
    }
    let mut date = Date::any();
    if let Some(word) = words.next_if(|word| !word.contains(':') && !is_of_letters(word)) {
        date = Date::read(word)?;
    }
    let mut times = true;
    if let Some(word) = words.next_if(|word| word.contains(':')) {
        let mut most = [24, 60, 60].into_iter();
        for part in word.split(':') {
            let most = most.next()?;
            // Seconds may have a fraction.
            let part = part.split('.').next().filter(|part| !part.is_empty())?;
            let set = Set::read(part)?;
            times &= (0..most).any(|value| set.has(value));
        }
    }
    // A time zone moves it by less than a day.
    words.next_if(|word| is_of_letters(word));
    if words.next().is_some() {
        return None;
    }
    let met = |day: Day| times && date.has(day) && weekdays[day.weekday as usize];
    Some(calendar().map(met).collect())
}

/// The longest time between two of these days, in days; none where there are no two.
pub fn longest_gap(days: &[bool]) -> Option<u32> {
    let met: Vec<usize> = (0..days.len()).filter(|at| days[*at]).collect();
    let gaps = met.windows(2).map(|two| two[1] - two[0]);
    gaps.max().and_then(|gap| u32::try_from(gap).ok())
}

#[derive(Clone, Copy)]
struct Day {
    month: u32,
    day: u32,
    of_month: u32,
    /// 0 is Monday.
    weekday: u32,
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
            (month, of_month)
        })
    });
    let days =
        months.flat_map(|(month, of_month)| (1..=of_month).map(move |day| (month, day, of_month)));
    days.zip((0..7).cycle())
        .map(|((month, day, of_month), weekday)| Day {
            month,
            day,
            of_month,
            weekday,
        })
}

/// `year-month-day`, `month-day`; the last of its marks is `~` where days are counted from the
/// month's end.
struct Date {
    /// Is it of all years?
    always: bool,
    month: Set,
    day: Set,
    from_end: bool,
}

impl Date {
    fn any() -> Self {
        Self {
            always: true,
            month: Set::any(),
            day: Set::any(),
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
        // What is wrong in a year that is named is not asked.
        Set::read(year)?;
        Some(Self {
            always: matches!(year, "*" | "*/1"),
            month: Set::read(month)?,
            day: Set::read(day)?,
            from_end,
        })
    }

    fn has(&self, day: Day) -> bool {
        let counted = match self.from_end {
            true => day.of_month - day.day + 1,
            false => day.day,
        };
        self.always && self.month.has(day.month) && self.day.has(counted)
    }
}

/// A value of a list: from, to, and by which step.
struct Range {
    from: u32,
    to: u32,
    step: u32,
}

/// `*`, or values, ranges `4..8` and repetitions `2/3`, separated by commas.
struct Set(Vec<Range>);

impl Set {
    fn any() -> Self {
        Self(vec![Range {
            from: 0,
            to: u32::MAX,
            step: 1,
        }])
    }

    fn read(text: &str) -> Option<Self> {
        let ranges = text.split(',').map(|one| {
            let (values, step) = match one.split_once('/') {
                Some((values, step)) => (values, Some(step.parse().ok().filter(|step| *step > 0)?)),
                None => (one, None),
            };
            let (from, to) = match values.split_once("..") {
                _ if values == "*" => (0, u32::MAX),
                Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
                None => {
                    let from = values.parse().ok()?;
                    // A repetition has no end.
                    (from, if step.is_some() { u32::MAX } else { from })
                }
            };
            let step = step.unwrap_or(1);
            Some(Range { from, to, step })
        });
        ranges.collect::<Option<_>>().map(Self)
    }

    fn has(&self, value: u32) -> bool {
        self.0.iter().any(|range| {
            range.from <= value
                && value <= range.to
                && (value - range.from).is_multiple_of(range.step)
        })
    }
}

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// `Mon,Thu`, `Mon..Fri`, by three letters or in full.
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
    let of = |name: &str| (0..7).find(|at| name == WEEKDAYS[*at] || name == FULL[*at]);
    let mut days = [false; 7];
    for one in text.trim_end_matches(',').split(',') {
        let (from, to) = one.split_once("..").unwrap_or((one, one));
        let (from, to) = (of(from)?, of(to)?);
        let mut at = from;
        days[at] = true;
        while at != to {
            at = (at + 1) % 7;
            days[at] = true;
        }
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
    use super::{days, longest_gap, span};

    #[test]
    fn how_often_a_calendar_expression_is_met() {
        let check = |expression: &str, wanted: Option<u32>| {
            let days = days(expression).expect(expression);
            assert_eq!(longest_gap(&days), wanted, "{expression}");
        };
        check("*-*-* 6,18:00", Some(1));
        check("daily", Some(1));
        check("*:0/15", Some(1));
        check("Mon..Fri 22:30 Europe/Berlin", Some(3));
        check("Thu,Fri *-*-1,5 11:12:13", Some(182));
        check("Mon", Some(7));
        check("sunday *-*-* 04:00:00 UTC", Some(7));
        check("*-*-1/10 05:00", Some(10));
        check("*-*~1", Some(31));
        check("monthly", Some(31));
        check("02-29 12:00", Some(1461));
        check("UTC", Some(1));
        // Never again, or never at all.
        check("2099-01-01", None);
        check("2024..2030-*-* 06:00", None);
        check("@1395716396", None);
        check("*-02-30", None);
        check("*-*-* 25:00", None);
        for wrong in [
            "soonish daily",
            "12",
            "*-*-*x 1:00",
            "Mon..x",
            "1:2:3:4",
            "",
        ] {
            assert!(days(wrong).is_none(), "{wrong}");
        }
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
