//! When a host may begin, by the clock and by its own place in the window.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::Digest;
use plan::window::{Start, Window};
use proptest::prelude::*;

const NEEDS: SignedDuration = SignedDuration::from_mins(30);

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn window(text: &str) -> Window {
    text.parse().expect("a window")
}

#[test]
fn a_window_opens_and_closes() {
    // 2026-11-28 is a Saturday.
    let saturday = window("Sat 02:00-05:00");
    let host = Digest::of(b"a host");
    let Start::Closed(first) = saturday.start(at("2026-11-24T12:00:00Z"), &host, NEEDS) else {
        panic!("open on a Tuesday");
    };
    let (begin, half) = (at("2026-11-28T02:00:00Z"), SignedDuration::from_mins(75));
    assert!(first >= begin && first <= begin + half, "{first}");
    assert_eq!(saturday.start(first, &host, NEEDS), Start::Now);
    if first > begin {
        assert_eq!(saturday.start(begin, &host, NEEDS), Start::Later(first));
    }
    assert_eq!(
        saturday.start(at("2026-11-28T04:30:00Z"), &host, NEEDS),
        Start::Now
    );
    // What can't end in time does not begin.
    let late = saturday.start(at("2026-11-28T04:30:01Z"), &host, NEEDS);
    assert_eq!(
        late,
        Start::Closed(first + SignedDuration::from_hours(7 * 24))
    );
    let long = SignedDuration::from_hours(4);
    assert_eq!(saturday.start(first, &host, long), Start::Never);
}

/// The first that can be had counts, and a time zone at the end is that of all.
#[test]
fn several_windows_are_one() {
    let host = Digest::of(b"a host");
    let both = window("Mon-Fri 22:00-02:00,Sat 01:00-03:00");
    assert_eq!(
        both.to_string(),
        "Mon,Tue,Wed,Thu,Fri 22:00 for 4:00 h, UTC; Sat 01:00 for 2:00 h, UTC"
    );
    assert_eq!(both, window("Mon-Fri 22:00-02:00; Sat 01:00-03:00 UTC"));
    // The night of a Friday ends at two, and what Saturday has is open still.
    assert_eq!(
        both.start(at("2026-11-28T02:30:00Z"), &host, NEEDS),
        Start::Now
    );
    assert_eq!(
        both.start(at("2026-11-28T01:15:00Z"), &host, NEEDS),
        Start::Now
    );
    let Start::Closed(first) = both.start(at("2026-11-28T12:00:00Z"), &host, NEEDS) else {
        panic!("open on a Saturday's noon");
    };
    assert!(first >= at("2026-11-30T22:00:00Z"), "{first}");
    // What only one of them has room for goes there.
    let long = SignedDuration::from_hours(3);
    let slot = both
        .slot(at("2026-11-28T00:30:00Z"), &host, long)
        .expect("a night");
    assert_eq!(slot.opens, at("2026-11-30T22:00:00Z"));
    assert_eq!(
        window("Sat,Sun 01:00-06:00, Mon 02:00-24:00").to_string(),
        "Sat,Sun 01:00 for 5:00 h, UTC; Mon 02:00 for 22:00 h, UTC"
    );
    for bad in [
        "Sat 01:00-02:00,",
        "Sat 01:00-02:00,Sun",
        &"Sat 01:00-02:00,".repeat(40),
    ] {
        assert!(bad.parse::<Window>().is_err(), "{bad}");
    }
}

#[test]
fn days_and_nights_as_people_write_them() {
    let host = Digest::of(b"a host");
    let nights = window("Mon-Fri 22:00-02:00");
    // The night of a Friday reaches into Saturday.
    assert_eq!(
        nights.start(at("2026-11-28T01:29:00Z"), &host, NEEDS),
        Start::Now
    );
    assert!(matches!(
        nights.start(at("2026-11-28T22:30:00Z"), &host, NEEDS),
        Start::Closed(_)
    ));
    // The end of a day, as many write it.
    assert_eq!(
        window("Sat 22:00-24:00").to_string(),
        window("Sat 22:00-00:00").to_string()
    );
    // A whole day, and every one.
    let always = window("daily 00:00-24:00");
    assert!(always.to_string().ends_with("00:00 for 24:00 h, UTC"));
    for now in ["2026-11-28T00:30:00Z", "2026-11-28T12:00:00Z"] {
        assert_ne!(always.start(at(now), &host, NEEDS), Start::Never);
    }
    assert!("Sat 02:00-02:00".parse::<Window>().is_err());
    assert_eq!(
        window("sat, SUN 01:00-06:00").to_string(),
        "Sat,Sun 01:00 for 5:00 h, UTC"
    );
    assert_eq!(
        window("Sat-Mon 01:00-06:30").to_string(),
        "Mon,Sat,Sun 01:00 for 5:30 h, UTC"
    );
    assert!(
        window("02:00-05:00")
            .to_string()
            .starts_with("Mon,Tue,Wed,Thu,Fri,Sat,Sun")
    );
    for bad in [
        "",
        "Sat",
        "Sat 2-5",
        "Sat 25:00-26:00",
        "Xyz 02:00-03:00",
        "Sat 02:00-02:00",
        "Sat 02:00-05:00 Europe/Berlin",
        "Sat 02:00-05:00 UTC please",
        "daily,Mon 02:00-05:00",
    ] {
        assert!(bad.parse::<Window>().is_err(), "{bad}");
    }
}

/// Central Europe, by the rule of POSIX.
fn berlin(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").ok();
    zone.filter(|_| name == "Europe/Berlin")
}

#[test]
fn a_window_may_have_several_days_and_a_time_zone() {
    let host = Digest::of(b"a host");
    let parse = |text: &str| Window::parse(text, &berlin).expect("a window");
    let opens = |text: &str, now: &str| {
        let slot = parse(text)
            .slot(at(now), &host, NEEDS)
            .expect("there is time");
        (slot.opens.to_string(), slot.closes.to_string())
    };
    let span = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    // 2026-11-30 is a Monday, in winter: an hour ahead of UTC.
    let days = "Mon,Tue 01:00-04:00 Europe/Berlin";
    let tuesday = span("2026-12-01T00:00:00Z", "2026-12-01T03:00:00Z");
    assert_eq!(opens(days, "2026-11-30T12:00:00Z"), tuesday);
    let monday = span("2026-12-07T00:00:00Z", "2026-12-07T03:00:00Z");
    assert_eq!(opens(days, "2026-12-02T00:00:00Z"), monday);
    assert_eq!(
        parse(days).to_string(),
        "Mon,Tue 01:00 for 3:00 h, Europe/Berlin"
    );
    // Monday in Berlin, and still Sunday in UTC.
    let early = span("2026-11-29T23:30:00Z", "2026-11-30T01:00:00Z");
    assert_eq!(
        opens("Mon 00:30-02:00 Europe/Berlin", "2026-11-29T12:00:00Z"),
        early
    );
    let daily = span("2026-07-01T23:00:00Z", "2026-07-02T02:00:00Z");
    assert_eq!(
        opens("daily 01:00-04:00 Europe/Berlin", "2026-07-01T12:00:00Z"),
        daily
    );
    assert_eq!(parse("daily 01:00-04:00"), parse("01:00-04:00 UTC"));
    // The night in which the clocks go forward, and the one in which they go back.
    let sunday = "Sun 01:00-04:00 Europe/Berlin";
    let short = span("2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z");
    assert_eq!(opens(sunday, "2026-03-28T00:00:00Z"), short);
    let long = span("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z");
    assert_eq!(opens(sunday, "2026-10-24T00:00:00Z"), long);
    // What fits into no hour less begins a week later.
    let needs = SignedDuration::from_mins(150);
    let slot = parse(sunday).slot(at("2026-03-28T00:00:00Z"), &host, needs);
    assert_eq!(
        slot.map(|slot| slot.opens),
        Some(at("2026-04-04T23:00:00Z"))
    );
}

proptest! {
    /// Each host's moment lies in the window with room for what it needs, and is the same
    /// whenever one asks before it.
    #[test]
    fn each_host_has_its_own_moment(name in ".{1,20}", hours in 0_i64..160) {
        let window = window("Sat 02:00-05:00");
        let host = Digest::of(name.as_bytes());
        let begin = at("2026-11-28T02:00:00Z");
        let Start::Closed(first) = window.start(begin - SignedDuration::from_hours(hours + 1), &host, NEEDS) else {
            return Err(TestCaseError::fail("open too early"));
        };
        prop_assert!(first >= begin && first + NEEDS <= begin + SignedDuration::from_hours(3));
        prop_assert_eq!(window.start(first, &host, NEEDS), Start::Now);
    }
}

/// What a plan shows of a window is what apply goes by.
#[test]
fn a_slot_is_where_a_host_may_begin() {
    let saturday = window("Sat 02:00-05:00");
    let host = Digest::of(b"a host");
    let tuesday = at("2026-11-24T12:00:00Z");
    let slot = saturday.slot(tuesday, &host, NEEDS).expect("there is time");
    assert_eq!(slot.opens, at("2026-11-28T02:00:00Z"));
    assert_eq!(slot.last, at("2026-11-28T04:30:00Z"));
    assert_eq!(slot.closes, at("2026-11-28T05:00:00Z"));
    assert_eq!(
        saturday.start(tuesday, &host, NEEDS),
        Start::Closed(slot.first)
    );
    for now in [slot.first, slot.last] {
        assert_eq!(saturday.slot(now, &host, NEEDS), Some(slot));
        assert_eq!(saturday.start(now, &host, NEEDS), Start::Now);
    }
    let long = SignedDuration::from_hours(4);
    assert_eq!(saturday.slot(tuesday, &host, long), None);
}
