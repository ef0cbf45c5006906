//! Is a unit up, and does it stay up? systemd's own words (systemctl(1), `show`), and what
//! follows from them for a unit that was told to start or to read its configuration again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::ActError;
use super::unit::{check_name, is_booted, is_booting, systemctl};
use super::unit_log::with_last_lines;

/// A service that can't live with its new configuration may end only a second or so after it
/// was told, when it has read the rest or its workers have failed. Longer than systemd waits
/// by default before it starts a service again (100 ms, systemd.service(5), `RestartSec=`),
/// and short enough to be waited for at the end of each change.
const STAYS_UP: Duration = Duration::from_secs(2);
/// systemd has finished its jobs when the watch begins; what is still on its way is started
/// by something else, and most services take a few seconds for that.
const WATCH_LIMIT: Duration = Duration::from_secs(30);
/// A change waits so long for a unit that systemd starts again.
const RESTART_LIMIT: Duration = Duration::from_secs(90);
/// One `systemctl show` for all units together takes 5 ms.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What systemd says about one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    active_state: String,
    sub_state: String,
    /// Why it ended, of a service: `success`, `exit-code`, `start-limit-hit`, …
    result: String,
    /// How often systemd has started it again by itself.
    restarts: u32,
    /// It is expected to come to its end (`Type=oneshot`).
    is_oneshot: bool,
    /// A socket, a timer or a bus name starts it when it is needed, so it may rest meanwhile.
    is_on_demand: bool,
    /// Made for one run of something, by `systemd-run` as a rule: no file says what it is, and it
    /// is gone with its end.
    is_transient: bool,
    /// It was to be started, and a condition of its own speaks against that (systemd.unit(5),
    /// `ConditionPathExists=` and others).
    is_skipped: bool,
    main_process: Option<u32>,
    /// systemd is about to start or stop it.
    has_job: bool,
    /// After which time systemd starts it again when it ended (`RestartSec=`).
    restart_after: Option<Duration>,
}

/// How a unit is that was up, or was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    /// On its way up.
    Starting,
    /// At its end, as it should be.
    Rests,
    Down(String),
}

impl Seen {
    /// Running, or on its way; not one that ended and waits to be started again.
    pub fn is_up(&self) -> bool {
        match self.active_state.as_str() {
            "active" | "reloading" | "refreshing" => true,
            "activating" => !self.sub_state.starts_with("auto-restart"),
            _ => false,
        }
    }

    /// Does it come to its end by itself?
    pub const fn is_oneshot(&self) -> bool {
        self.is_oneshot
    }

    /// Does a socket, a timer or a bus name start it when it is needed?
    pub const fn is_on_demand(&self) -> bool {
        self.is_on_demand
    }

    /// Was it made for one run of something, so that its end is no failure, and nothing can start
    /// it again?
    pub const fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// Of a service that runs (systemd.service(5), `MainPID`).
    pub const fn main_process(&self) -> Option<u32> {
        self.main_process
    }

    /// Did something that ran before end, other than by resting until it is needed?
    pub fn has_ended(&self) -> bool {
        let rests = self.active_state == "inactive" && (self.is_oneshot || self.is_on_demand);
        !self.is_up() && !rests
    }

    pub fn has_failed(&self) -> bool {
        self.active_state == "failed"
    }

    /// One that ended once may have been ended by another that was restarted: for how long does
    /// systemd still have it wait, or has just had it? None where it does not start it again, has
    /// done so more than once, or does so after longer than a change can wait.
    pub fn restarts_once(&self, now: &Self) -> Option<Duration> {
        let waits = now.sub_state.starts_with("auto-restart");
        // It counts already when its time is over and the job is made that starts it.
        let begun = now.restarts == self.restarts + 1 && !now.has_failed();
        let ended_once = match waits {
            true => now.restarts == self.restarts || now.has_job && begun,
            false => begun,
        };
        now.restart_after
            .filter(|after| ended_once && *after <= RESTART_LIMIT)
    }

    /// systemd has forgotten by now what a transient unit was.
    const fn may_rest(&self, now: &Self) -> bool {
        now.is_oneshot || now.is_on_demand || self.is_transient
    }

    /// `self` was seen before, `now` is how it is now.
    pub fn health(&self, now: &Self) -> Health {
        let reason = match now.result.as_str() {
            "" | "success" => String::new(),
            result => format!(" ({result})"),
        };
        if now.restarts > self.restarts {
            return Health::Down("it ended, and systemd started it again".to_owned());
        }
        match now.active_state.as_str() {
            "active" | "reloading" | "refreshing" => Health::Up,
            "activating" if now.is_up() => Health::Starting,
            "activating" => Health::Down(format!("it ended{reason}, and is started again")),
            // What follows is another state, and soon.
            "deactivating" => Health::Starting,
            "inactive" if self.may_rest(now) && reason.is_empty() => Health::Rests,
            "inactive" if now.is_skipped => Health::Down(
                "systemd does not start it, since a condition of its unit is not met here \
                 (systemctl status says which)"
                    .to_owned(),
            ),
            "inactive" => Health::Down(format!("it has stopped{reason}")),
            "failed" => Health::Down(format!("it has failed{reason}")),
            other => Health::Down(format!("it is {other}{reason}")),
        }
    }
}

/// Reads what `systemctl show` prints: a block of `Name=value` lines for each unit, in the
/// order in which they were named, with an empty line between.
pub fn parse_show(text: &str) -> Vec<Seen> {
    let mut all = Vec::new();
    let blocks = text.split("\n\n").map(str::trim);
    for block in blocks.filter(|block| !block.is_empty()) {
        let mut seen = Seen::default();
        let (mut is_met, mut is_asked) = (true, false);
        for (name, value) in block.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim();
            match name {
                "ActiveState" => value.clone_into(&mut seen.active_state),
                "SubState" => value.clone_into(&mut seen.sub_state),
                "Result" => value.clone_into(&mut seen.result),
                "NRestarts" => seen.restarts = value.parse().unwrap_or(0),
                "Type" => seen.is_oneshot = value == "oneshot",
                "Transient" => seen.is_transient = value == "yes",
                "ConditionResult" => is_met = value == "yes",
                // 0 where nothing was asked yet.
                "ConditionTimestampMonotonic" => is_asked = value != "0",
                "MainPID" => seen.main_process = value.parse().ok().filter(|id| *id != 0),
                "Job" => seen.has_job = !matches!(value, "" | "0"),
                "RestartUSec" => seen.restart_after = parse_span(value),
                "TriggeredBy" | "BusName" => seen.is_on_demand |= !value.is_empty(),
                _ => {}
            }
        }
        seen.is_skipped = is_asked && !is_met;
        all.push(seen);
    }
    all
}

/// A time span as systemd prints it (systemd.time(7)): `100ms`, `1min 30s`. None for `infinity`.
fn parse_span(text: &str) -> Option<Duration> {
    let mut all = Duration::ZERO;
    for part in text.split_whitespace() {
        let digits = part.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = part.split_at(digits);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        all += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
    }
    Some(all)
}

/// Asks systemd about these units, all at once.
pub fn look(names: &[&str]) -> Result<Vec<Seen>, ActError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    for name in names {
        check_name(name)?;
    }
    let properties = "--property=ActiveState,SubState,Result,NRestarts,Type,TriggeredBy,BusName,Transient,MainPID,Job,RestartUSec,ConditionResult,ConditionTimestampMonotonic";
    let arguments = ["show", properties, "--"];
    let shown = systemctl()?
        .args(arguments.iter().chain(names).copied())
        .answer()?;
    let seen = parse_show(&shown.stdout);
    match seen.len() == names.len() {
        true => Ok(seen),
        false => Err(ActError::program(
            "ask systemd about units",
            format!("{} were named, and {} told of", names.len(), seen.len()),
        )),
    }
}

/// Asks systemd about one unit.
pub fn look_at(name: &str) -> Result<Seen, ActError> {
    let mut seen = look(&[name])?;
    seen.pop()
        .ok_or_else(|| ActError::program(format!("ask systemd about `{name}`"), "it said nothing"))
}

/// A unit that was told something, as it was right after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub name: String,
    pub seen: Seen,
}

impl Watched {
    /// The fewest restarts of two looks count: systemd counts from 0 again when a unit is
    /// started by hand, and may have counted on before the second.
    pub fn new(name: &str, before: &Seen, after: Seen) -> Self {
        let restarts = before.restarts.min(after.restarts);
        Self {
            name: name.to_owned(),
            seen: Seen { restarts, ..after },
        }
    }

    /// Whatever it did until now is forgotten.
    pub fn now(name: &str) -> Result<Self, ActError> {
        Ok(Self {
            name: name.to_owned(),
            seen: look_at(name)?,
        })
    }
}

/// Watches all these units together until each was up, or at rest as it should be, for a
/// while without a break. Gives those that are not, and why.
pub fn watch(watched: &[Watched]) -> Result<Vec<(String, String)>, ActError> {
    // While the host boots, starting is only asked for, and nothing of it is ready yet.
    if watched.is_empty() || !is_booted() || is_booting()? {
        return Ok(Vec::new());
    }
    let mut left: Vec<(&Watched, Instant)> = Vec::new();
    let mut down: Vec<(String, String)> = Vec::new();
    let mut steady_since = Instant::now();
    // Since when each is waited for: one that systemd starts again begins anew, once.
    left.extend(watched.iter().map(|unit| (unit, steady_since)));
    let mut again: BTreeSet<&str> = BTreeSet::new();
    loop {
        let names: Vec<&str> = left.iter().map(|(unit, _)| unit.name.as_str()).collect();
        let mut still = Vec::with_capacity(left.len());
        for (&(unit, mut since), now) in left.iter().zip(look(&names)?) {
            let once = unit.seen.restarts_once(&now);
            if once.is_some() && again.insert(&unit.name) {
                since = Instant::now();
                steady_since = since;
            }
            let limit = WATCH_LIMIT + once.unwrap_or_default();
            match (unit.seen.health(&now), once) {
                (Health::Up | Health::Rests, _) => still.push((unit, since)),
                (Health::Down(_), Some(_)) if now.is_up() => still.push((unit, since)),
                (Health::Starting, _) | (Health::Down(_), Some(_)) if since.elapsed() < limit => {
                    steady_since = Instant::now();
                    still.push((unit, since));
                }
                (Health::Starting, _) => {
                    let limit = limit.as_secs();
                    down.push((unit.name.clone(), format!("it is not up after {limit} s")));
                }
                (Health::Down(why), _) => down.push((unit.name.clone(), why)),
            }
        }
        left = still;
        if left.is_empty() || steady_since.elapsed() >= STAYS_UP {
            for (name, why) in &mut down {
                *why = with_last_lines(name, why);
            }
            return Ok(down);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
