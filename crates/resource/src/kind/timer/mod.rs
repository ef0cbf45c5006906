//! `timer`: a timer of systemd that starts its service again and again, by what its files and
//! those of the service say.

mod calendar;

use model::plan::Risk;
use model::value::{Reason, UnitSeen};
use model::{Effect, Probe, ResourceKey, SourceLine, UnitOp, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use self::calendar::Met;
use crate::notify::check_unit;
use crate::started;
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

/// A timer that is on, that elapses again and again, and whose service does what it is for. All
/// drop-ins count. Whether it is on is judged as `service` does it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// The timer's name: `apt-daily.timer`.
    pub name: String,
    /// How many days may pass between two times, by the calendar: with 1, one on each day.
    pub every_days: u32,
    /// The beginning of a command that its service has to run, the program by its path. Where
    /// nothing is said, any will do.
    #[serde(default)]
    pub command: Option<String>,
    /// The account that its service has to run as: `root`. Where nothing is said, any will do.
    #[serde(default)]
    pub user: Option<String>,
}

/// Times that are counted from a start, and from the last time (systemd.timer(5)).
const ONCE: [&str; 3] = ["OnActiveSec", "OnBootSec", "OnStartupSec"];
const AGAIN: [&str; 2] = ["OnUnitActiveSec", "OnUnitInactiveSec"];
const CALENDAR: &str = "OnCalendar";
const SECONDS_A_DAY: f64 = 86_400.0;

impl Kind for Timer {
    const NAME: &'static str = "timer";
    const PHASE: Phase = Phase::Service;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.name.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::Unit {
            name: self.name.clone(),
        }];
        if let Seen::Known(timer) = seen.unit(&self.name) {
            probes.extend(timer.files.iter().cloned().map(Probe::file));
        }
        probes.extend(started::probes(&self.service(), seen));
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        match seen.unit(&self.name) {
            Seen::Known(timer) if timer.load_state == "not-found" => self.missing(),
            // What its package will bring is known when it is there.
            Seen::Known(timer) if timer.is_to_come => self.missing(),
            Seen::Known(timer) => self
                .look(timer, seen)
                .unwrap_or_else(|reason| reason.into()),
            Seen::Absent => self.missing(),
            Seen::Unknown(reason) => reason.into(),
            Seen::NotAsked => Judgement::not_asked(),
        }
    }

    fn risk(&self) -> Risk {
        Risk::Service
    }

    fn check(&self) -> Result<(), String> {
        check_unit(&self.name)?;
        if !self.name.ends_with(".timer") {
            return Err(format!("`{}` is no timer: NAME.timer", self.name));
        }
        match self.every_days {
            0 => Err("`every_days` is at least 1".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Timer {
    fn service(&self) -> String {
        let stem = self.name.strip_suffix(".timer").unwrap_or(&self.name);
        format!("{stem}.service")
    }

    fn missing(&self) -> Judgement {
        Judgement::NotApplicable(format!("there is no {}", self.name))
    }

    fn wanted(&self) -> String {
        match self.every_days {
            1 => format!("{} starts each day", self.service()),
            days => format!("{} starts at least every {days} days", self.service()),
        }
    }

    fn drift(&self, observed: String, at: Vec<SourceLine>, by_hand: Option<String>) -> Drift {
        Drift {
            observed,
            wanted: self.wanted(),
            at,
            by_hand,
            ..Drift::default()
        }
    }

    fn look(&self, timer: &UnitSeen, seen: &Answers) -> Result<Judgement, Reason> {
        if let Some(drift) = self.not_loaded(&self.name, timer) {
            return Ok(Judgement::drift(drift));
        }
        let mut drifts: Vec<Drift> = self.is_off(timer).into_iter().collect();
        if timer.load_state != "masked" {
            for path in &timer.files {
                seen.file(path).known_or_absent()?;
            }
            drifts.extend(self.elapses_too_seldom(timer, seen)?);
        }
        drifts.extend(self.does_nothing(timer, seen)?);
        if !drifts.is_empty() {
            return Ok(Judgement::Drift(drifts));
        }
        for unit in [seen.unit(&self.name), seen.unit(&self.service())] {
            if let Seen::Known(unit) = unit {
                depends(unit, seen)?;
            }
        }
        let at = timer.files.first().cloned().map(SourceLine::file);
        Ok(Judgement::Compliant {
            observed: self.wanted(),
            at: at.into_iter().collect(),
        })
    }

    /// systemd refuses a unit whose files it does not take (`bad-setting`, `error`): whatever they
    /// say, it starts nothing.
    fn not_loaded(&self, name: &str, unit: &UnitSeen) -> Option<Drift> {
        let is_refused = matches!(unit.load_state.as_str(), "bad-setting" | "error");
        is_refused.then(|| {
            let observed = format!("systemd refuses {name}: {}", unit.load_state);
            let at = unit.files.last().cloned().map(SourceLine::file);
            let by_hand = format!(
                "mend what `systemctl status {name}` names, then `systemctl daemon-reload` and \
                 `systemctl restart {}`",
                self.name
            );
            self.drift(observed, at.into_iter().collect(), Some(by_hand))
        })
    }

    fn is_off(&self, timer: &UnitSeen) -> Option<Drift> {
        let state = timer.unit_file_state.as_deref().unwrap_or_default();
        if timer.load_state == "masked" || state.starts_with("masked") {
            let by_hand = format!("unmask {}", self.name);
            return Some(self.drift("masked".to_owned(), vec![], Some(by_hand)));
        }
        let is_stopped = matches!(timer.active_state.as_deref(), Some("inactive" | "failed"));
        let mut drift = match (state, is_stopped) {
            ("disabled", _) => self.drift("not enabled".to_owned(), vec![], None),
            (_, true) => self.drift("stopped".to_owned(), vec![], None),
            _ => return None,
        };
        let ops = [
            (state == "disabled").then_some(UnitOp::Enable),
            is_stopped.then_some(UnitOp::Start),
        ];
        drift.edits = ops
            .into_iter()
            .flatten()
            .map(|op| {
                Edit::act(Effect::Unit {
                    name: self.name.clone(),
                    op,
                })
            })
            .collect();
        Some(drift)
    }

    /// By all of its lines together. An empty one takes back those of every kind
    /// (systemd.timer(5)).
    fn elapses_too_seldom(
        &self,
        timer: &UnitSeen,
        seen: &Answers,
    ) -> Result<Option<Drift>, Reason> {
        let keys = [&[CALENDAR][..], &ONCE, &AGAIN].concat();
        let mut kept = Vec::new();
        let mut emptied_at = None;
        for line in started::section(timer, seen, "Timer") {
            if !keys.contains(&&*line.key) {
                continue;
            }
            if line.value.is_empty() {
                kept.clear();
                emptied_at = Some(line.at);
            } else {
                kept.push(line);
            }
        }
        let mut days: Option<Vec<bool>> = None;
        let mut shortest: Option<f64> = None;
        let mut begins = false;
        let mut refused = false;
        for line in &kept {
            let not_understood = || Reason::Malformed {
                why: format!(
                    "{}: `{}` is not understood",
                    line.at,
                    printable(line.value.as_bytes())
                ),
            };
            if line.key == CALENDAR {
                let met = match calendar::days(&line.value) {
                    Met::Days(met) => met,
                    // systemd ignores this line.
                    Met::Refused => {
                        refused = true;
                        continue;
                    }
                    Met::Untold => return Err(not_understood()),
                };
                let all = days.get_or_insert_with(|| vec![false; met.len()]);
                all.iter_mut().zip(met).for_each(|(all, met)| *all |= met);
                continue;
            }
            let is_endless = line.value.trim() == "infinity";
            let span = match is_endless {
                true => f64::INFINITY,
                false => calendar::span(&line.value).ok_or_else(not_understood)?,
            };
            if AGAIN.contains(&&*line.key) {
                shortest = Some(shortest.map_or(span, |shortest| shortest.min(span)));
            } else {
                begins |= span <= self.seconds();
            }
        }
        let gap = days.as_deref().and_then(calendar::longest_gap);
        begins |= gap.is_some();
        let by_calendar = gap.map(f64::from).map(|days| days * SECONDS_A_DAY);
        let again = shortest.filter(|_| begins);
        let longest = match (by_calendar, again) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let at: Vec<SourceLine> = match kept.is_empty() {
            true => emptied_at.into_iter().collect(),
            false => kept.iter().map(|line| line.at.clone()).collect(),
        };
        let said: Vec<String> = kept
            .iter()
            .map(|line| format!("`{}={}`", line.key, printable(line.value.as_bytes())))
            .collect();
        let observed = match longest {
            Some(longest) if longest <= self.seconds() => {
                return self.waits_too_long(timer, seen);
            }
            Some(longest) if longest.is_finite() => format!(
                "{} lets up to {} days pass",
                said.join(" and "),
                (longest / SECONDS_A_DAY).ceil()
            ),
            _ if refused => format!("{}: systemd does not take that", said.join(" and ")),
            _ if said.is_empty() => "no time is set, so the timer starts nothing".to_owned(),
            _ => format!("{} does not come again and again", said.join(" and ")),
        };
        let by_hand = self.change(&at);
        Ok(Some(self.drift(observed, at, Some(by_hand))))
    }

    fn seconds(&self) -> f64 {
        f64::from(self.every_days) * SECONDS_A_DAY
    }

    fn change(&self, at: &[SourceLine]) -> String {
        let place = at.last().map_or_else(String::new, |at| format!(" in {at}"));
        format!(
            "set a time that comes again and again{place}, then `systemctl daemon-reload` and \
             `systemctl restart {}`",
            self.name
        )
    }

    /// A delay by chance counts as well, and so does the window in which systemd gathers timers:
    /// both together put it off.
    fn waits_too_long(&self, timer: &UnitSeen, seen: &Answers) -> Result<Option<Drift>, Reason> {
        let mut delays = Vec::new();
        for key in ["RandomizedDelaySec", "AccuracySec"] {
            if let Some(line) = last(timer, seen, key) {
                let seconds = delay(&line)?;
                delays.extend((seconds > 0.0).then_some((line, seconds)));
            }
        }
        let together: f64 = delays.iter().map(|(_, seconds)| seconds).sum();
        if together <= self.seconds() {
            return Ok(None);
        }
        if let Some(at) = delays.iter().position(|(_, delay)| *delay > self.seconds()) {
            delays = vec![delays.swap_remove(at)];
        }
        let said: Vec<String> = delays
            .iter()
            .map(|(line, _)| format!("`{}={}`", line.key, printable(line.value.as_bytes())))
            .collect();
        let at: Vec<SourceLine> = delays.into_iter().map(|(line, _)| line.at).collect();
        let by_hand = self.change(&at);
        Ok(Some(self.drift(
            format!("{} may put it off for longer", said.join(" and ")),
            at,
            Some(by_hand),
        )))
    }

    /// The timer may start another unit, and the service may do something else.
    fn does_nothing(&self, timer: &UnitSeen, seen: &Answers) -> Result<Option<Drift>, Reason> {
        let service = self.service();
        if let Some(line) = last(timer, seen, "Unit")
            && !line.value.is_empty()
            && line.value != service
        {
            let observed = format!("it starts {} instead", printable(line.value.as_bytes()));
            let by_hand = format!("take `Unit=` away in {}", line.at);
            return Ok(Some(Drift {
                wanted: format!("{} starts {service}", self.name),
                ..self.drift(observed, vec![line.at.clone()], Some(by_hand))
            }));
        }
        let Some(started) = started::read(&service, seen)? else {
            let observed = format!("{service}, which is masked or not there");
            let by_hand = format!("unmask {service}");
            return Ok(Some(self.drift(observed, vec![], Some(by_hand))));
        };
        if let Seen::Known(unit) = seen.unit(&service)
            && let Some(drift) = self.not_loaded(&service, unit)
        {
            return Ok(Some(drift));
        }
        if let Some(drift) = self.stays_active(seen) {
            return Ok(Some(drift));
        }
        self.may_never_end(seen)?;
        if let Some(drift) = self.runs_as_another(seen) {
            return Ok(Some(drift));
        }
        // systemd.service(5): where one of these fails, and has no `-`, the service's own are not run.
        let mut before = started.of("ExecStartPre");
        if let Some(one) = before.find(|one| always_fails(&one.text)) {
            let observed = format!(
                "{service} runs `{}` first, which always fails",
                printable(one.text.as_bytes())
            );
            let by_hand = format!("take `ExecStartPre=` away in {}", one.at);
            return Ok(Some(self.drift(
                observed,
                vec![one.at.clone()],
                Some(by_hand),
            )));
        }
        let Some(command) = &self.command else {
            return Ok(None);
        };
        let wanted: Vec<&str> = command.split_whitespace().collect();
        let mut others = Vec::new();
        for one in started.of("ExecStart") {
            let words = started.words(one)?;
            let words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            if words.starts_with(&wanted) {
                return Ok(None);
            }
            others.push(one);
        }
        let observed = match others.last() {
            Some(other) => format!(
                "{service} runs `{}` instead of `{command}`",
                printable(other.text.as_bytes())
            ),
            None => format!("{service} runs no command"),
        };
        let at: Vec<SourceLine> = others.iter().map(|one| one.at.clone()).collect();
        let by_hand = format!("have {service} run `{command}` again");
        Ok(Some(Drift {
            wanted: format!("{service} runs `{command}`"),
            ..self.drift(observed, at, Some(by_hand))
        }))
    }
}

/// Without `User=`, or with an empty one, a service of the system runs as root (systemd.exec(5)).
const ROOT: [&str; 2] = ["root", "0"];

impl Timer {
    /// systemd.timer(5): a service that is still active is not started again.
    fn stays_active(&self, seen: &Answers) -> Option<Drift> {
        let service = self.service();
        let Seen::Known(unit) = seen.unit(&service) else {
            return None;
        };
        let lines = started::section(unit, seen, "Service");
        let line = lines.iter().rfind(|line| line.key == "RemainAfterExit")?;
        is_true(line).then(|| {
            let observed = format!(
                "{service} has `{}={}`: it is active for ever when it has run once, and the timer \
                 starts it no more",
                line.key,
                printable(line.value.as_bytes())
            );
            let by_hand = format!(
                "take the line away in {}, then `systemctl daemon-reload` and `systemctl stop {service}`",
                line.at
            );
            self.drift(observed, vec![line.at.clone()], Some(by_hand))
        })
    }

    /// systemd.service(5): of all types, `oneshot` alone is never `active` while its command runs.
    /// Whether another one's command ends is known when it has.
    fn may_never_end(&self, seen: &Answers) -> Result<(), Reason> {
        let service = self.service();
        let Seen::Known(unit) = seen.unit(&service) else {
            return Ok(());
        };
        let lines = started::section(unit, seen, "Service");
        let of = |key: &str| lines.iter().rfind(|line| line.key == key);
        let is_oneshot = match of("Type").map(|line| line.value.trim()) {
            Some("") | None => of("ExecStart").is_none_or(|line| line.value.is_empty()),
            Some(named) => named == "oneshot",
        };
        match unit.active_state.as_deref() {
            Some("active" | "reloading") if !is_oneshot => Err(Reason::Unavailable {
                what: format!(
                    "{service} is running, and {} starts it again only when it has ended: \
                     whether it ends by itself is not known",
                    self.name
                ),
            }),
            _ => Ok(()),
        }
    }

    fn runs_as_another(&self, seen: &Answers) -> Option<Drift> {
        let wanted = self.user.as_deref()?;
        let service = self.service();
        let Seen::Known(unit) = seen.unit(&service) else {
            return None;
        };
        let lines = started::section(unit, seen, "Service");
        let last = |key: &str| lines.iter().rfind(|line| line.key == key);
        let user = last("User").filter(|line| !line.value.trim().is_empty());
        let is_dynamic = last("DynamicUser").filter(|line| is_true(line));
        let is_wanted = match user.map(|line| line.value.trim()) {
            None => ROOT.contains(&wanted),
            Some(name) => name == wanted || (ROOT.contains(&name) && ROOT.contains(&wanted)),
        };
        let line = match (is_dynamic, is_wanted) {
            (Some(line), _) => Some(line),
            (None, true) => return None,
            (None, false) => user,
        };
        let observed = match line {
            Some(line) => format!(
                "{service} has `{}={}`",
                line.key,
                printable(line.value.as_bytes())
            ),
            None => format!("{service} runs as root"),
        };
        let at: Vec<SourceLine> = line.map(|line| line.at.clone()).into_iter().collect();
        let by_hand = format!("have {service} run as {wanted}");
        Some(Drift {
            wanted: format!("{service} runs as {wanted}"),
            ..self.drift(observed, at, Some(by_hand))
        })
    }
}

/// A boolean as systemd reads it (systemd.syntax(7)).
/// Is it false(1), whose failure is not let pass by a `-`?
fn always_fails(command: &str) -> bool {
    let word = command.split_whitespace().next().unwrap_or_default();
    let program = word.trim_start_matches(['@', ':', '+', '!']);
    matches!(program, "false" | "/bin/false" | "/usr/bin/false")
}

fn is_true(line: &started::Line) -> bool {
    matches!(
        line.value.trim().to_ascii_lowercase().as_str(),
        "1" | "y" | "yes" | "t" | "true" | "on"
    )
}

/// How long a line puts a timer off, in seconds. An empty one takes back what is above it.
fn delay(line: &started::Line) -> Result<f64, Reason> {
    match line.value.trim() {
        "" => Ok(0.0),
        "infinity" => Ok(f64::INFINITY),
        value => calendar::span(value).ok_or_else(|| Reason::Malformed {
            why: format!("{}: this delay is not understood", line.at),
        }),
    }
}

/// The last assignment of a key of `[Timer]`.
fn last(timer: &UnitSeen, seen: &Answers, key: &str) -> Option<started::Line> {
    let mut lines = started::section(timer, seen, "Timer").into_iter();
    lines.rfind(|line| line.key == key)
}

/// Conditions that hold at one time and not at another (systemd.unit(5)): none of them is judged
/// here. That a host has power is taken for granted.
fn depends(unit: &UnitSeen, seen: &Answers) -> Result<(), Reason> {
    let mut found: Vec<started::Line> = Vec::new();
    for section in ["Unit", "Service"] {
        for line in started::section(unit, seen, section) {
            let is_condition = line.key.starts_with("Condition")
                || line.key.starts_with("Assert")
                || line.key == "ExecCondition";
            if !is_condition || line.key == "ConditionACPower" {
                continue;
            }
            match line.value.is_empty() {
                // An empty one takes back those of every kind.
                true => found.retain(|known| known.key[..6] != line.key[..6]),
                false => found.push(line),
            }
        }
    }
    match found.first() {
        None => Ok(()),
        Some(line) => Err(Reason::Unavailable {
            what: format!(
                "{}: `{}={}` decides whether it starts, and is not judged here",
                line.at,
                line.key,
                printable(line.value.as_bytes())
            ),
        }),
    }
}
