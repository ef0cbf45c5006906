//! `service`: whether a systemd unit starts at boot, runs now, and may be started at all.

use model::plan::Risk;
use model::value::{Reason, UnitSeen};
use model::{Effect, Probe, ResourceKey, SourceLine, UnitOp, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::notify::{carries_connections, check_unit, unit_name};
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

/// A systemd unit. What is not said is left as it is.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit's name; `.service` may be left out. Sockets and timers are units too:
    /// `ssh.socket`.
    pub name: String,
    /// Does it start at boot?
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Does it run now?
    #[serde(default)]
    pub running: Option<bool>,
    /// Is it kept from being started by anything at all?
    #[serde(default)]
    pub masked: Option<bool>,
}

impl Kind for Service {
    const NAME: &'static str = "service";
    const PHASE: Phase = Phase::Service;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: unit_name(&self.name),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        vec![Probe::Unit {
            name: unit_name(&self.name),
        }]
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        match seen.unit(&unit_name(&self.name)) {
            Seen::Known(unit) if unit.load_state != "not-found" => self.compare(unit),
            Seen::Known(_) | Seen::Absent => self.missing(),
            Seen::Unknown(reason) => reason.into(),
            Seen::NotAsked => Judgement::not_asked(),
        }
    }

    fn risk(&self) -> Risk {
        if carries_connections(&self.name) {
            Risk::Connectivity
        } else {
            Risk::Service
        }
    }

    fn check(&self) -> Result<(), String> {
        check_unit(&self.name)?;
        if self.enabled.is_none() && self.running.is_none() && self.masked.is_none() {
            return Err("say what is wanted: enabled, running or masked".to_owned());
        }
        if self.masked == Some(true) && (self.enabled == Some(true) || self.running == Some(true)) {
            return Err("a masked unit can't be enabled or running".to_owned());
        }
        Ok(())
    }
}

/// The words of one judgement, as they are gathered.
#[derive(Default)]
struct Parts {
    observed: Vec<String>,
    wanted: Vec<&'static str>,
    by_hand: Option<String>,
}

impl Parts {
    fn differs(&mut self, observed: impl Into<String>, wanted: &'static str) {
        self.observed.push(observed.into());
        self.wanted.push(wanted);
    }
}

impl Service {
    /// A unit that is not there neither starts nor runs.
    fn missing(&self) -> Judgement {
        let mut parts = Parts::default();
        if self.enabled == Some(true) {
            parts.wanted.push("enabled");
        }
        if self.running == Some(true) {
            parts.wanted.push("running");
        }
        if parts.wanted.is_empty() {
            return Judgement::compliant("not installed");
        }
        // A package earlier in the same plan may bring it, so this is tried.
        parts.observed.push("not installed".to_owned());
        let ops = Self::ops(&parts);
        self.drift(parts, ops, Vec::new())
    }

    fn compare(&self, unit: &UnitSeen) -> Judgement {
        let mut parts = Parts::default();
        let mut unknown = None;
        let state = unit.unit_file_state.as_deref();
        let is_masked =
            unit.load_state == "masked" || state.is_some_and(|state| state.starts_with("masked"));
        match (self.masked, is_masked) {
            (Some(true), false) => parts.differs("not masked", "masked"),
            (Some(true), true) if state == Some("masked-runtime") => {
                parts.differs("masked until the next boot", "masked");
            }
            (Some(false), true) => parts.differs("masked", "not masked"),
            _ => {}
        }
        if let Some(wanted) = self.enabled {
            match is_enabled(state, is_masked) {
                Ok(Enabled::Yes) if !wanted => parts.differs("enabled", "not enabled"),
                Ok(Enabled::No(observed)) if wanted => parts.differs(observed, "enabled"),
                Ok(Enabled::Fixed(observed)) if wanted => {
                    parts.by_hand = Some(format!(
                        "a unit that is {observed} can't be enabled: other units start it"
                    ));
                    parts.differs(observed, "enabled");
                }
                Ok(Enabled::Generated) if !wanted => {
                    parts.by_hand = Some(
                        "a generator makes this unit: change what it reads, or mask the unit"
                            .to_owned(),
                    );
                    parts.differs("enabled by a generator", "not enabled");
                }
                Ok(_) => {}
                Err(reason) => unknown = Some(reason),
            }
        }
        let active = unit.active_state.as_deref();
        let is_running = matches!(
            active,
            Some("active" | "reloading" | "activating" | "refreshing")
        );
        match (self.running, active) {
            // Either is asked for, whatever the package does: who asks twice changes nothing.
            (Some(running), _) if unit.is_to_come => {
                let wanted = if running { "running" } else { "stopped" };
                parts.differs("known when its package is there", wanted);
            }
            (Some(_), None) => {
                unknown = Some(Reason::Unavailable {
                    what: "no systemd can be asked here, so nothing says what is running"
                        .to_owned(),
                });
            }
            (Some(true), Some(state)) if !is_running => {
                parts.differs(
                    if state == "failed" {
                        "failed"
                    } else {
                        "stopped"
                    },
                    "running",
                );
            }
            (Some(false), Some(_)) if is_running => parts.differs("running", "stopped"),
            _ => {}
        }
        if is_masked
            && self.masked.is_none()
            && parts
                .wanted
                .iter()
                .any(|w| *w == "enabled" || *w == "running")
        {
            parts.by_hand = Some("somebody masked it: say `masked: false` to undo that".to_owned());
        }
        let at: Vec<SourceLine> = unit
            .files
            .first()
            .map(|file| SourceLine::file(file.clone()))
            .into_iter()
            .collect();
        if parts.observed.is_empty() {
            if let Some(reason) = unknown {
                return reason.into();
            }
            let words = [state, active].into_iter().flatten();
            let observed = words.collect::<Vec<_>>().join(", ");
            return Judgement::Compliant {
                observed: printable(observed.as_bytes()),
                at,
            };
        }
        let ops = Self::ops(&parts);
        self.drift(parts, ops, at)
    }

    /// First what allows it, then what starts it; or what stops it, then what forbids it.
    fn ops(parts: &Parts) -> Vec<UnitOp> {
        [
            ("not masked", UnitOp::Unmask),
            ("enabled", UnitOp::Enable),
            ("running", UnitOp::Start),
            ("stopped", UnitOp::Stop),
            ("not enabled", UnitOp::Disable),
            ("masked", UnitOp::Mask),
        ]
        .into_iter()
        .filter(|(wanted, _)| parts.wanted.contains(wanted))
        .map(|(_, op)| op)
        .collect()
    }

    fn drift(&self, parts: Parts, ops: Vec<UnitOp>, at: Vec<SourceLine>) -> Judgement {
        let name = unit_name(&self.name);
        let edits = match parts.by_hand {
            Some(_) => Vec::new(),
            None => ops
                .into_iter()
                .map(|op| {
                    Edit::act(Effect::Unit {
                        name: name.clone(),
                        op,
                    })
                })
                .collect(),
        };
        let mut observed = parts.observed;
        observed.dedup();
        Judgement::drift(Drift {
            observed: observed.join(", "),
            wanted: parts.wanted.join(", "),
            at,
            edits,
            by_hand: parts.by_hand,
            ..Drift::default()
        })
    }
}

enum Enabled {
    Yes,
    No(String),
    /// Other units start it; that can't be asked for.
    Fixed(String),
    /// It is only a name for others that are enabled or not.
    Indirect,
    /// At every boot anew, by systemd.generator(7).
    Generated,
}

/// The states of `systemctl is-enabled` (systemctl(1), table 1), as they matter at boot.
fn is_enabled(state: Option<&str>, is_masked: bool) -> Result<Enabled, Reason> {
    if is_masked {
        return Ok(Enabled::No("masked".to_owned()));
    }
    match state {
        Some("enabled" | "alias") => Ok(Enabled::Yes),
        Some("indirect") => Ok(Enabled::Indirect),
        Some("generated") => Ok(Enabled::Generated),
        Some("enabled-runtime") => Ok(Enabled::No("enabled until the next boot".to_owned())),
        Some("disabled" | "linked" | "linked-runtime" | "transient") => {
            Ok(Enabled::No("not enabled".to_owned()))
        }
        Some(fixed @ "static") => Ok(Enabled::Fixed(fixed.to_owned())),
        other => Err(Reason::Failed {
            why: format!(
                "whether it starts at boot can't be told: its unit file is {}",
                printable(other.unwrap_or("missing").as_bytes())
            ),
        }),
    }
}
