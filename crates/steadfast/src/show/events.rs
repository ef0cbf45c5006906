//! Shows what happens while a plan is carried out, or a change is taken back: a line
//! for each thing that was done, with its time, and at the end what is true now.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use host::Event;
use model::count::{first_of, plural};
use model::one_line;
use model::{Action, ActionId, ChangeId, Effect, HostPath, Outside, Plan, UnitOp};

use super::effect::{Seen, describe, is_secret};
use crate::layout::{Paper, Text};
use crate::style::{Role, Sign, Style};
use crate::typed::with_state;

/// Times end here, where the terminal is that wide.
const TIME_COLUMN: usize = 58;
/// Paths that are named as they are put back: nobody reads the thousands of an upgrade.
const PATHS: usize = 40;
/// So few of what packages bring are named one by one too.
const PARTS: usize = 5;
/// Directories that are named of where the parts of packages lie.
const FOLDERS: usize = 3;
/// Paths that are named of those that changed meanwhile.
const OUTSIDE: usize = 20;
/// Lines shown of what a program said.
const SAID_LINES: usize = 20;

/// Writes events as they come.
pub struct Lines<'a> {
    out: &'a mut dyn Write,
    style: &'a Style,
    /// For the actions' words; none when a change is taken back without its plan.
    plan: Option<&'a Plan>,
    /// May a line be written over? Only on a terminal.
    live: bool,
    /// The present line is one that will be written over.
    ticking: bool,
    /// The change, from when it is in the journal on.
    id: Option<ChangeId>,
    /// Somebody asked for it to be taken back: what the end says of it is said by the command.
    asked: bool,
    /// Some of the change was taken back, or could not be.
    taken_back: bool,
    stuck: bool,
    /// Something was named that is not known to be as it was.
    not_as_before: bool,
    /// Paths that were put back, since the last end, but for parts of packages.
    put_back: usize,
    /// Parts of packages that were put back, since the last end.
    parts: Vec<HostPath>,
    /// All of them: where a set's taking back did not work out, the whole change goes back, and
    /// what was said is not said again.
    told: BTreeSet<HostPath>,
    /// Why something could not be put back, as it was said already.
    said_stuck: BTreeSet<String>,
    /// What was said of failures, longest last.
    said: Vec<String>,
}

impl<'a> Lines<'a> {
    pub fn new(
        out: &'a mut dyn Write,
        plan: Option<&'a Plan>,
        style: &'a Style,
        live: bool,
    ) -> Self {
        Self {
            out,
            style,
            plan,
            live,
            ticking: false,
            id: None,
            asked: false,
            taken_back: false,
            stuck: false,
            not_as_before: false,
            put_back: 0,
            parts: Vec::new(),
            told: BTreeSet::new(),
            said_stuck: BTreeSet::new(),
            said: Vec::new(),
        }
    }

    pub fn show(&mut self, event: &Event) -> io::Result<()> {
        if let Event::Waiting { left } = event {
            return self.tick(*left);
        }
        if std::mem::take(&mut self.ticking) {
            // Back to the line's beginning, and erase it (ECMA-48, 8.3.15 and 8.3.41).
            write!(self.out, "\r\x1b[K")?;
        }
        match event {
            Event::Waiting { .. } => Ok(()),
            Event::Recorded { id } => {
                self.id = Some(*id);
                Ok(())
            }
            Event::Imaged { paths, took } => {
                let files = if *paths == 1 { "file" } else { "files" };
                self.done(&format!("before-image of {paths} {files}"), *took)
            }
            Event::Settled { paths } => {
                let files = if *paths == 1 {
                    "file was"
                } else {
                    "files were"
                };
                let text =
                    format!("{paths} {files} made anew here: the same lines change as shown");
                self.line(
                    self.style.sign(Sign::Done),
                    Role::Good,
                    &Text::new().plain(&text),
                )
            }
            Event::Accepted { validator, took } => {
                let text = format!("{} accepts the new configuration", validator.command());
                self.done(&text, *took)
            }
            Event::Refused { validator, said } => {
                let text = format!("{} refuses the new configuration", validator.command());
                self.failed(&text, said)
            }
            Event::NotValidated { validator, why } => {
                let text = format!("{} could not be asked: {why}", validator.command());
                self.line("!", Role::Wary, &Text::new().plain(&text))
            }
            Event::Done { action, took } => self.done(&self.action(*action), *took),
            Event::Failed { action, why } => self.failed(&self.action(*action), why),
            Event::Skipped { action, why } => {
                let text = format!("not begun: {} ({why})", self.action(*action));
                self.line("-", Role::Dim, &Text::new().say(Role::Dim, &text))
            }
            Event::Activated { action, took } => self.done(&self.activated(*action), *took),
            Event::StayedUp { units, took } => self.done(&stayed_up(units), *took),
            Event::Verified { took } => self.done("looked again: it is as planned", *took),
            // Of several change sets, perhaps; once is enough.
            Event::NotReached { why, .. } if self.said.contains(&one_line(why)) => Ok(()),
            Event::NotReached { what, why } => {
                self.failed(&format!("looked again: {what} is not as planned"), why)
            }
            Event::AwaitingConfirmation { id, deadline } => {
                let until = deadline.strftime("%H:%M:%S UTC");
                let text = format!(
                    "kept only if someone signs in anew before {until}, or with: {}",
                    with_state(&format!("steadfast confirm {id}"))
                );
                self.line(
                    self.style.sign(Sign::Waiting),
                    Role::Wary,
                    &Text::new().plain(&text),
                )
            }
            Event::SignInPassedOver { why, .. } => {
                let text = Text::new().plain(&format!("not enough: {why}"));
                self.line(self.style.sign(Sign::Waiting), Role::Wary, &text)
            }
            Event::Confirmed { by, .. } => {
                let text = Text::new().plain(&format!("kept: {by}"));
                self.line(self.style.sign(Sign::Done), Role::Good, &text)
            }
            // Asked for, so nothing failed.
            Event::TakingBack { why, .. } if why == "undo" => {
                self.asked = true;
                self.line(
                    self.style.sign(Sign::Waiting),
                    Role::Plain,
                    &Text::new().plain("taking it back"),
                )
            }
            Event::TakingBack { why, .. } => {
                self.stuck = false;
                let why = if self.is_said(why) { "" } else { why };
                self.failed("taking it back", why)
            }
            Event::PutBack { path } if !self.told.insert(path.clone()) => Ok(()),
            Event::PutBack { path } if is_part_of_package(path) => {
                self.parts.push(path.clone());
                Ok(())
            }
            Event::PutBack { .. } if self.put_back >= PATHS => {
                self.put_back += 1;
                Ok(())
            }
            Event::PutBack { path } => {
                self.put_back += 1;
                self.was_put_back(&path.to_string())
            }
            Event::TakenBack {
                id,
                same,
                of,
                is_in_doubt,
            } => {
                self.more_put_back(*id)?;
                self.taken_back(*id, *same, *of, *is_in_doubt)
            }
            Event::Outside { found } => {
                let text = outside(found);
                self.line("!", Role::Wary, &Text::new().plain(&text))?;
                let mut paper = Paper::new(&mut *self.out, self.style);
                for path in found.paths.iter().take(OUTSIDE) {
                    paper.indented(5, &Text::new().plain(&path.to_string()))?;
                }
                let more = found.paths.len().saturating_sub(OUTSIDE);
                if more > 0 {
                    let all = self.id.map_or_else(String::new, |id| {
                        format!(": {}", with_state(&format!("steadfast show {id}")))
                    });
                    let text = format!("and {more} more{all}");
                    paper.indented(5, &Text::new().plain(&text))?;
                }
                Ok(())
            }
            Event::Stuck { why, .. } if self.said_stuck.contains(why) => {
                self.stuck = true;
                Ok(())
            }
            Event::Stuck { why, .. } => {
                self.stuck = true;
                self.said_stuck.insert(why.clone());
                self.failed("could not be put back", why)
            }
            Event::NotAsBefore { why } => {
                self.not_as_before = true;
                self.failed("may not be as before", why)
            }
            Event::WentAlong { paths } => {
                let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
                let text = format!(
                    "went with its packages, written since by their services: {}",
                    first_of(&names, MOST_WENT)
                );
                self.end(Role::Dim, &text)
            }
            Event::Committed { id, no_way_back } => {
                let without = match self.taken_back {
                    true => ", without what was taken back",
                    false => "",
                };
                let text = format!(
                    "change {id} is in effect{without}. {}",
                    way_back(*id, no_way_back)
                );
                self.end(Role::Strong, &text)
            }
        }
    }

    fn was_put_back(&mut self, what: &str) -> io::Result<()> {
        let text = Text::new().plain(&format!("put back {what}"));
        self.line(self.style.sign(Sign::Done), Role::Good, &text)
    }

    /// What was put back beyond what was named: the parts of packages by where they lie, and how many
    /// others.
    fn more_put_back(&mut self, id: ChangeId) -> io::Result<()> {
        let parts = std::mem::take(&mut self.parts);
        let more = std::mem::take(&mut self.put_back).saturating_sub(PATHS);
        if parts.len() <= PARTS {
            for path in &parts {
                self.was_put_back(&path.to_string())?;
            }
        } else {
            let what = format!("{} in {}", plural(parts.len(), "file"), folders(&parts));
            self.was_put_back(&what)?;
        }
        if more > 0 {
            let each = with_state(&format!("steadfast show {id} --format json"));
            self.was_put_back(&format!("{} (each: {each})", plural(more, "more file")))?;
        }
        Ok(())
    }

    /// One change set or all of them: what was taken back, and what of it was checked.
    fn taken_back(
        &mut self,
        id: ChangeId,
        same: usize,
        of: usize,
        is_in_doubt: bool,
    ) -> io::Result<()> {
        self.taken_back = true;
        let files = if of == 1 { "file" } else { "files" };
        if same == of && !self.stuck {
            let text = match of {
                0 => "taken back; it had touched no file".to_owned(),
                _ if std::mem::take(&mut self.not_as_before) => {
                    format!(
                        "taken back, but for what is named above: {same} of {of} {files} checked"
                    )
                }
                _ if is_in_doubt => format!("taken back: {same} of {of} {files} checked"),
                _ => format!("taken back: {same} of {of} {files} checked, and as before"),
            };
            let sign = self.style.sign(Sign::Done);
            return self.line(sign, Role::Good, &Text::new().plain(&text));
        }
        // Others may have written the rest meanwhile, and then nobody is needed.
        if self.asked && !self.stuck {
            let text = format!(
                "{same} of {of} {files} checked, and as before; the others are named below"
            );
            return self.line("!", Role::Wary, &Text::new().plain(&text));
        }
        let text = format!("taken back in part: {same} of {of} {files} are as before");
        self.failed(&text, "")?;
        let text = format!(
            "change {id} needs a person: neither as before nor as planned. {}",
            with_state(&format!("steadfast show {id}"))
        );
        self.end(Role::Critical, &text)
    }

    /// The time left, on a line that is written over.
    fn tick(&mut self, left: Duration) -> io::Result<()> {
        if !self.live {
            return Ok(());
        }
        self.ticking = true;
        let seconds = left.as_secs();
        let sign = self.style.sign(Sign::Waiting);
        let text = format!(
            " {sign} {}:{:02} left (Ctrl-C takes it back)",
            seconds / 60,
            seconds % 60
        );
        write!(self.out, "\r\x1b[K{}", self.style.paint(Role::Wary, &text))?;
        self.out.flush()
    }

    fn find(&self, id: ActionId) -> Option<&'a Action> {
        let at = usize::try_from(id.0).ok()?;
        self.plan?.actions.get(at)
    }

    fn action(&self, id: ActionId) -> String {
        let Some(action) = self.find(id) else {
            return id.to_string();
        };
        match &action.effect {
            Effect::PutFile { path, .. } => path.to_string(),
            effect => {
                let seen = self.plan.map_or(Seen::nothing(), Seen::of);
                describe(effect, &seen, is_secret(action), self.style.sign(Sign::To))
            }
        }
    }

    fn activated(&self, id: ActionId) -> String {
        match self.find(id).map(|action| &action.effect) {
            Some(Effect::Unit {
                name,
                op: UnitOp::Reload,
            }) => {
                format!("{name} reloaded")
            }
            Some(Effect::Unit {
                name,
                op: UnitOp::Restart,
            }) => {
                format!("{name} restarted")
            }
            _ => self.action(id),
        }
    }

    fn done(&mut self, text: &str, took: Duration) -> io::Result<()> {
        let sign = self.style.sign(Sign::Done);
        let time = match took.as_millis() {
            ms if ms < 10_000 => format!("{ms} ms"),
            ms => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        };
        let text = Text::new().plain(text);
        let indent = sign.chars().count() + 2;
        let edge = TIME_COLUMN.min(self.style.width);
        let gap = edge
            .saturating_sub(indent + text.width() + time.len())
            .max(3);
        let text = text.gap(gap).solid(Role::Dim, &time);
        self.line(sign, Role::Good, &text)
    }

    /// Does `why` hold nothing that was not said before?
    fn is_said(&self, why: &str) -> bool {
        let rest = self
            .said
            .iter()
            .rev()
            .fold(one_line(why), |rest, said| rest.replace(said.as_str(), ""));
        !rest.contains(char::is_alphanumeric)
    }

    /// What failed, and below it why, line by line as it was said.
    fn failed(&mut self, text: &str, why: &str) -> io::Result<()> {
        self.said.extend([text, why].map(one_line));
        self.said.retain(|said| !said.is_empty());
        self.said.sort_by_key(String::len);
        let sign = self.style.sign(Sign::Failed);
        self.line(sign, Role::Bad, &Text::new().plain(text))?;
        let lines: Vec<&str> = why.lines().filter(|line| !line.trim().is_empty()).collect();
        let mut paper = Paper::new(&mut *self.out, self.style);
        for line in lines.iter().take(SAID_LINES) {
            paper.indented(5, &Text::new().plain(line.trim_end()))?;
        }
        if lines.len() > SAID_LINES {
            let all = self.id.map_or_else(String::new, |id| {
                format!(": {}", with_state(&format!("steadfast show {id}")))
            });
            let more = plural(lines.len() - SAID_LINES, "more line");
            let more = format!("... {more}{all}");
            paper.indented(5, &Text::new().say(Role::Dim, &more))?;
        }
        self.out.flush()
    }

    fn line(&mut self, sign: &str, role: Role, text: &Text) -> io::Result<()> {
        let indent = sign.chars().count() + 2;
        write!(self.out, " {} ", self.style.paint(role, sign))?;
        Paper::new(&mut *self.out, self.style).hanging(indent, text)?;
        self.out.flush()
    }

    fn end(&mut self, role: Role, text: &str) -> io::Result<()> {
        Paper::new(&mut *self.out, self.style).line(&Text::new().say(role, text))?;
        self.out.flush()
    }
}

/// Of what went along so many paths are named; the history names more.
const MOST_WENT: usize = 8;

/// Is it of what packages bring by the hundred, and nobody but their maintainers writes? Their
/// configuration, data and units of one's own lie elsewhere.
fn is_part_of_package(path: &HostPath) -> bool {
    const PLACES: [&str; 4] = ["/usr/", "/var/lib/dpkg/", "/var/cache/", "/var/lib/apt/"];
    let path = path.as_bytes();
    !path.starts_with(b"/usr/local/")
        && PLACES
            .iter()
            .any(|place| path.starts_with(place.as_bytes()))
}

/// Where these lie, by directories of three names, those with the most first.
fn folders(paths: &[HostPath]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths {
        let text = path.to_string();
        let names: Vec<&str> = text.split('/').collect();
        let depth = names.len().saturating_sub(1).min(4);
        *counts.entry(names[..depth].join("/")).or_default() += 1;
    }
    let mut folders: Vec<(String, usize)> = counts.into_iter().collect();
    folders.sort_by(|(one, fewer), (other, more)| more.cmp(fewer).then_with(|| one.cmp(other)));
    let names: Vec<String> = folders.into_iter().map(|(name, _)| name).collect();
    first_of(&names, FOLDERS)
}

/// How much changed that is no part of the change.
pub fn outside(found: &Outside) -> String {
    let places = match found.total {
        1 => "1 path outside its write set changed".to_owned(),
        total => format!("{total} paths outside its write set changed"),
    };
    let unread = match found.unreadable {
        0 => String::new(),
        1 => "; 1 folder could not be looked at".to_owned(),
        unread => format!("; {unread} folders could not be looked at"),
    };
    format!("{places} meanwhile, by it or by others, and no undo puts them back{unread}")
}

fn stayed_up(units: &[String]) -> String {
    match units {
        [unit] => format!("{unit} stays up"),
        units => format!("{} units stay up", units.len()),
    }
}

/// What takes a change back, or that nothing does.
pub(crate) fn way_back(id: ChangeId, no_way_back: &[String]) -> String {
    match no_way_back {
        [] => format!(
            "{} takes it back.",
            with_state(&format!("steadfast undo {id}"))
        ),
        why => format!("It can't be taken back: {}.", why.join("; ")),
    }
}
