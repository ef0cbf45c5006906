//! `sshd`: an option of the SSH server, judged by its effective value (`sshd -T`) and by
//! every `Match` block that sets it otherwise, each with the line that it comes from.

pub mod against;
pub mod config;
pub mod effective;
pub mod words;

use model::expectation::{OneOf, Scalar};
use model::plan::Risk;
use model::{
    Effect, Expectation, HostPath, Mode, Probe, ResourceKey, SourceLine, UnitOp, printable,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};
use config::{Config, Line};
use effective::{CommandLine, Effective, Refusal};

/// An option of sshd_config(5).
///
/// The effective value counts, and so does every `Match` block that sets the option: a block
/// that weakens it is reported with its line. Exactly one of `value`, `allow` and `forbid`
/// says what is wanted.
///
/// The fix edits the line that wins where people wrote it. Where that is the distribution's
/// `/etc/ssh/sshd_config`, or no line at all, the fix is a line in
/// `/etc/ssh/sshd_config.d/00-steadfast.conf`, provided that this directory is read first.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sshd {
    /// The option's name, in any letter case: `PermitRootLogin`.
    pub option: String,
    /// What its value should be. Time spans compare in seconds (`2m` is 120), a bound on
    /// `MaxStartups` with its last number (`set: 60` writes `10:30:60`), and words in any
    /// letter case.
    #[serde(default)]
    pub value: Option<Expectation>,
    /// For a list such as `Ciphers`: the only names that may be in it, `*` and `?` as
    /// wildcards. The fix keeps the others of the effective list, in their order.
    #[serde(default)]
    pub allow: Option<Vec<String>>,
    /// For a list such as `Ciphers`: names that may not be in it, `*` and `?` as wildcards.
    #[serde(default)]
    pub forbid: Option<Vec<String>>,
    /// True where it may be anything as long as `AuthenticationMethods` wants a key of everyone: of
    /// `PasswordAuthentication` and its like, which then open nothing by themselves.
    #[serde(default)]
    pub unless_key_wanted: bool,
}

impl Kind for Sshd {
    const NAME: &'static str = "sshd";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        let name = words::option_name(&self.option);
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: words::spelling(&name).map_or(name, str::to_owned),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let (_, mut probes) = config::read(seen);
        probes.push(effective::probe(Vec::new()));
        probes.extend(effective::command_line_probes(seen));
        // Our drop-in, which a fix may have to add to, is not always included.
        probes.push(Probe::file(HostPath::literal(config::OURS)));
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let question = Question {
            want: self,
            value: self.value.as_ref().map(in_sshds_words),
            option: words::option_name(&self.option),
            config: config::read(seen).0,
            seen,
        };
        question.judge()
    }

    fn risk(&self) -> Risk {
        Risk::Connectivity
    }

    fn check(&self) -> Result<(), String> {
        let option = words::option_name(&self.option);
        if words::spelling(&option).is_none() {
            return Err(format!(
                "`{}` is not an option of sshd_config(5)",
                printable(self.option.as_bytes())
            ));
        }
        match (&self.value, &self.allow, &self.forbid) {
            (Some(value), None, None) => check_value(&option, &in_sshds_words(value)),
            (None, Some(list), None) | (None, None, Some(list)) => {
                if list.is_empty() {
                    return Err("an empty list says nothing".to_owned());
                }
                if !words::is_comma_list(&option) && !words::adds_up(&option) {
                    return Err(format!("`{}` is not a list: use `value`", self.option));
                }
                list.iter().try_for_each(|word| {
                    let clean =
                        !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && b != b',');
                    clean
                        .then_some(())
                        .ok_or_else(|| format!("`{}` is not one name", printable(word.as_bytes())))
                })
            }
            _ => Err("say exactly one of `value`, `allow` and `forbid`".to_owned()),
        }
    }
}

/// A name that two files list is one.
fn without_repeats<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut once: Vec<&str> = Vec::new();
    for word in words {
        if !once.contains(&word) {
            once.push(word);
        }
    }
    once.join(" ")
}

/// A YAML reader may take `yes` and `no` for booleans; sshd has no others.
fn in_sshds_words(value: &Expectation) -> Expectation {
    let word = |scalar: &Scalar| match scalar {
        Scalar::Bool(true) => Scalar::from("yes"),
        Scalar::Bool(false) => Scalar::from("no"),
        other => other.clone(),
    };
    match value.clone() {
        Expectation::Exactly(value) => Expectation::Exactly(word(&value)),
        Expectation::OneOf(one) => Expectation::OneOf(OneOf {
            one_of: one.one_of.iter().map(word).collect(),
            set: word(&one.set),
        }),
        bound => bound,
    }
}

fn check_value(option: &str, value: &Expectation) -> Result<(), String> {
    let mut scalars = vec![value.set()];
    if let Expectation::OneOf(one) = value {
        scalars.extend(one.one_of.iter().map(Scalar::to_string));
    }
    for text in &scalars {
        if matches!(text.as_str(), "true" | "false") {
            return Err(format!("sshd says `yes` and `no`, not `{text}`"));
        }
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("a value is empty or holds a control character".to_owned());
        }
    }
    let set = words::to_write(option, value.set());
    let args: Vec<String> = set.split_whitespace().map(str::to_owned).collect();
    match words::canonical(option, &args) {
        Some(canonical) if holds(option, value, &canonical) => Ok(()),
        Some(_) => Err("`set` does not satisfy the expectation itself".to_owned()),
        None => Err("write the whole list: `+`, `-` and `^` depend on the default".to_owned()),
    }
}

/// Both sides in the comparable form.
fn holds(option: &str, value: &Expectation, canonical: &str) -> bool {
    let same = |wanted: &Scalar| {
        let args: Vec<String> = wanted
            .to_string()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        words::canonical(option, &args).is_some_and(|wanted| wanted == canonical)
    };
    match value {
        Expectation::Exactly(wanted) => same(wanted),
        Expectation::OneOf(one) => one.one_of.iter().any(same),
        bound => bound.holds(words::number(option, canonical)),
    }
}

/// One judgement in the making.
struct Question<'a> {
    want: &'a Sshd,
    value: Option<Expectation>,
    option: String,
    config: Config,
    seen: &'a Answers,
}

/// What is in effect for connections that no particular `Match` covers.
struct Current {
    /// In the comparable form.
    value: String,
    /// The line that it comes from; none for a built-in default.
    line: Option<Line>,
    note: Option<String>,
}

/// A value that is not as wanted.
struct Bad {
    observed: String,
    /// What to write instead; none when no value is left.
    set: Option<String>,
}

impl Question<'_> {
    fn judge(&self) -> Judgement {
        let command_line = match effective::command_line(self.seen) {
            Ok(found) => found,
            Err(reason) => return reason.into(),
        };
        if let Some((file, at)) = &command_line.other_file {
            let file = printable(file.as_bytes());
            let what = format!("sshd runs with another file, {file} ({at})");
            return model::value::Reason::Unavailable { what }.into();
        }
        let forced = command_line
            .options
            .iter()
            .find(|forced| forced.name == self.option);
        let current = match forced {
            Some(forced) => Ok(Current {
                value: self
                    .canonical(&forced.value)
                    .unwrap_or_else(|| forced.value.clone()),
                line: None,
                note: Some("set on sshd's command line, which wins over its files".to_owned()),
            }),
            None => self.current(),
        };
        let current = match current {
            Ok(current) => current,
            Err(judgement) => return judgement,
        };
        if let Some((observed, line)) = self.made_moot(&command_line) {
            return match self.config.hidden() {
                Some(reason) => reason.clone().into(),
                None => Judgement::Compliant {
                    observed,
                    at: line.into_iter().map(|line| line.at).collect(),
                },
            };
        }
        let mut drifts = Vec::new();
        if let Some(bad) = self.bad(&current.value) {
            drifts.push(match forced {
                Some(forced) => Drift {
                    observed: bad.observed,
                    wanted: self.wanted(),
                    at: vec![forced.at.clone()],
                    note: current.note.clone(),
                    by_hand: Some(format!(
                        "take `{}` out of {}",
                        self.spelling(),
                        printable(forced.stands_in.as_bytes())
                    )),
                    ..Drift::default()
                },
                None => self.drift(&current, bad),
            });
        }
        drifts.extend(self.conditional_drifts(current.line.as_ref()));
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        if let Some(reason) = self.config.hidden() {
            return reason.clone().into();
        }
        Judgement::Compliant {
            observed: shown(&current.value),
            at: current.line.into_iter().map(|line| line.at).collect(),
        }
    }

    fn canonical(&self, value: &str) -> Option<String> {
        let args: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
        words::canonical(&self.option, &args)
    }

    /// What another option makes of this one, where nothing depends on it any more, and the line
    /// of that other option.
    fn made_moot(&self, command_line: &CommandLine) -> Option<(String, Option<Line>)> {
        // "Disables all forwarding features, including X11, ssh-agent(1), TCP and StreamLocal. This
        // option overrides all other forwarding-related options" (sshd_config(5)).
        const FORWARDING: [&str; 4] = [
            "allowagentforwarding",
            "allowstreamlocalforwarding",
            "allowtcpforwarding",
            "x11forwarding",
        ];
        let wants_none = self
            .value
            .as_ref()
            .is_some_and(|value| holds(&self.option, value, "no"));
        if wants_none && FORWARDING.contains(&self.option.as_str()) {
            let line =
                self.everywhere("disableforwarding", command_line, |value| value == "yes")?;
            return Some(("no, by DisableForwarding".to_owned(), line));
        }
        if self.want.unless_key_wanted {
            // "Each list is a comma-separated list of methods [...] at least one list" (the same).
            let wants_key = |value: &str| {
                let mut lists = value.split_whitespace().peekable();
                lists.peek().is_some()
                    && lists.all(|list| list.split(',').any(|method| method == "publickey"))
            };
            let line = self.everywhere("authenticationmethods", command_line, wants_key)?;
            return Some((
                "a key is wanted first, by AuthenticationMethods".to_owned(),
                line,
            ));
        }
        None
    }

    /// The line of another option, where that one is so for every connection.
    fn everywhere(
        &self,
        option: &str,
        command_line: &CommandLine,
        is_so: impl Fn(&str) -> bool,
    ) -> Option<Option<Line>> {
        if command_line
            .options
            .iter()
            .any(|forced| forced.name == option)
        {
            return None;
        }
        let other = Question {
            want: self.want,
            value: None,
            option: option.to_owned(),
            config: self.config.clone(),
            seen: self.seen,
        };
        let current = other.current().ok()?;
        let mut blocks = other
            .config
            .lines_of(option)
            .filter(|line| line.condition.is_some());
        let holds = is_so(&current.value)
            && blocks.all(|line| line.canonical().is_some_and(|value| is_so(&value)));
        holds.then_some(current.line)
    }

    /// From sshd itself, or else from its files, where those alone can tell.
    fn current(&self) -> Result<Current, Judgement> {
        // Only root's connections ask for this one.
        if self.option == "permitrootlogin"
            && let Some(line) = self.line_for_root()
            && let Some(value) = line.canonical()
        {
            return Ok(Current {
                value,
                line: Some(line.clone()),
                note: Some("in a block about root, which wins over what stands before".to_owned()),
            });
        }
        match effective::ask(self.seen, &[]) {
            Ok(effective) => self.in_effect(&effective),
            Err(Refusal::Refused(why)) => Err(Judgement::Error(why)),
            Err(Refusal::Unknown(reason)) => self.by_files().ok_or(Judgement::Unknown(reason)),
        }
    }

    fn in_effect(&self, effective: &Effective) -> Result<Current, Judgement> {
        let value = if words::adds_up(&self.option) {
            let words = effective.words(&self.option);
            without_repeats(words.iter().map(String::as_str))
        } else if let Some(value) = effective.value(&self.option) {
            self.canonical(value).unwrap_or_else(|| value.to_owned())
        } else if effective::is_never_printed(&self.option) {
            let line = self.config.winner(&self.option);
            return Ok(Current {
                value: line.and_then(Line::canonical).unwrap_or_default(),
                line: line.cloned(),
                note: None,
            });
        } else {
            return Err(Judgement::NotApplicable(format!(
                "this version of sshd has no option `{}`",
                self.spelling()
            )));
        };
        // The line that should win. Where sshd says otherwise, a line that says what sshd says.
        let first = self.config.winner(&self.option);
        let agrees = |line: &&Line| line.canonical().is_none_or(|said| said == value);
        let line = match first {
            Some(line) if words::adds_up(&self.option) || agrees(&line) => Some(line),
            other => self
                .config
                .lines_of(&self.option)
                .filter(|line| line.is_unconditional())
                .filter(agrees)
                .last()
                .or(other),
        };
        Ok(Current {
            note: self.note(line),
            line: line.cloned(),
            value,
        })
    }

    /// Sound where a line sets the option, and no file could hold another one that wins. A
    /// default is not known: distributions change them.
    fn by_files(&self) -> Option<Current> {
        if self.config.hidden().is_some() {
            return None;
        }
        let line = self.config.winner(&self.option)?;
        let all = || {
            self.config
                .lines_of(&self.option)
                .filter(|line| line.is_unconditional())
        };
        let value = if words::adds_up(&self.option) {
            let words: Vec<&str> = all()
                .flat_map(|line| &line.args)
                .map(String::as_str)
                .collect();
            without_repeats(words)
        } else {
            if words::last_may_win(&self.option) && all().count() > 1 {
                return None;
            }
            line.canonical()?
        };
        Some(Current {
            note: self.note(Some(line)),
            line: Some(line.clone()),
            value,
        })
    }

    /// Which other lines say otherwise, and why they lose.
    fn note(&self, winner: Option<&Line>) -> Option<String> {
        let Some(winner) = winner else {
            return Some("no line sets it: the default of this sshd".to_owned());
        };
        if words::adds_up(&self.option) {
            return None;
        }
        let others: Vec<String> = self
            .config
            .lines_of(&self.option)
            .filter(|line| line.at != winner.at && line.is_unconditional())
            .filter(|line| line.args != winner.args)
            .map(|line| format!("{} says {}", line.at, shown(&line.args.join(" "))))
            .collect();
        if others.is_empty() {
            return None;
        }
        let why = if winner.condition.is_some() {
            "stands in `Match all` and wins"
        } else if words::last_may_win(&self.option) {
            "wins in this version"
        } else {
            "is read first and wins"
        };
        Some(format!("{}; {} {why}", others.join(", "), winner.at))
    }

    /// The elements of a list value.
    fn elements<'v>(&self, value: &'v str) -> Vec<&'v str> {
        let comma = words::is_comma_list(&self.option);
        value
            .split(|c: char| if comma { c == ',' } else { c.is_whitespace() })
            .filter(|word| !word.is_empty())
            .collect()
    }

    fn accepts(&self, element: &str) -> bool {
        let any = |list: &[String], test: fn(&[u8], &[u8]) -> bool| {
            list.iter()
                .any(|pattern| test(pattern.as_bytes(), element.as_bytes()))
        };
        // Names that are themselves patterns (sshd_config(5), AcceptEnv) let in all that they match.
        let refuses: fn(&[u8], &[u8]) -> bool = match self.option.as_str() {
            "acceptenv" => words::overlap,
            _ => words::matches,
        };
        let allow = self.want.allow.as_deref();
        let forbid = self.want.forbid.as_deref();
        allow.is_none_or(|list| any(list, words::matches))
            && !forbid.is_some_and(|list| any(list, refuses))
    }

    fn bad(&self, value: &str) -> Option<Bad> {
        if let Some(expectation) = &self.value {
            return (!holds(&self.option, expectation, value)).then(|| Bad {
                observed: shown(value),
                set: Some(words::to_write(&self.option, expectation.set())),
            });
        }
        let (kept, refused): (Vec<&str>, Vec<&str>) = self
            .elements(value)
            .into_iter()
            .partition(|element| self.accepts(element));
        if refused.is_empty() {
            return None;
        }
        let separator = if words::is_comma_list(&self.option) {
            ","
        } else {
            " "
        };
        Some(Bad {
            observed: format!("{} in the list", shown(&refused.join(", "))),
            set: (!kept.is_empty()).then(|| kept.join(separator)),
        })
    }

    fn wanted(&self) -> String {
        match (&self.value, &self.want.allow, &self.want.forbid) {
            (Some(value), ..) => value.to_string(),
            (_, Some(allow), _) => format!("only {}", allow.join(", ")),
            (_, _, Some(forbid)) => format!("none of {}", forbid.join(", ")),
            _ => String::new(),
        }
    }

    fn spelling(&self) -> &str {
        words::spelling(&self.option).unwrap_or(&self.want.option)
    }

    fn drift(&self, current: &Current, bad: Bad) -> Drift {
        let edits = self.edits(current, bad.set.as_deref());
        Drift {
            observed: bad.observed,
            wanted: self.wanted(),
            at: current.line.iter().map(|line| line.at.clone()).collect(),
            note: current.note.clone(),
            by_hand: edits.is_empty().then(|| {
                format!(
                    "choose a value for `{}`: nothing of the list is left",
                    self.spelling()
                )
            }),
            edits,
            activate: reload(),
        }
    }

    /// Lines in `Match` blocks that set the option to what is not wanted.
    fn conditional_drifts(&self, winner: Option<&Line>) -> Vec<Drift> {
        self.config
            .lines_of(&self.option)
            .filter(|line| line.condition.is_some())
            .filter(|line| winner.is_none_or(|winner| winner.at != line.at))
            .filter(|line| self.has_effect(line))
            .filter_map(|line| {
                let value = match line.canonical() {
                    Some(value) => value,
                    // What is added to the default counts; what is taken away does no harm.
                    None => match line.args.join(" ").split_at(1) {
                        ("-", _) => return None,
                        (_, added) => added.to_owned(),
                    },
                };
                let bad = self.bad(&value)?;
                let condition = shown(line.condition.as_deref().unwrap_or_default());
                Some(Drift {
                    observed: bad.observed,
                    wanted: self.wanted(),
                    at: vec![line.at.clone()],
                    note: Some(format!("for connections that match `{condition}`")),
                    edits: vec![replace(line, bad.set.as_deref())],
                    by_hand: None,
                    activate: reload(),
                })
            })
            .collect()
    }

    /// The first line of a block that is about every connection of root.
    fn line_for_root(&self) -> Option<&Line> {
        self.config.lines_of(&self.option).find(|line| {
            let condition = line.condition.as_deref();
            condition.is_some_and(words::is_all_of_root)
        })
    }

    /// Can the option get its value from this line of a `Match` block?
    fn has_effect(&self, line: &Line) -> bool {
        // Among blocks that match, the first value is taken (sshd_config(5), Match): none after
        // one that matches everyone.
        let is_decided = !words::adds_up(&self.option)
            && !words::last_may_win(&self.option)
            && self
                .config
                .lines_of(&self.option)
                .take_while(|other| other.at != line.at)
                .any(|other| {
                    let condition = other.condition.as_deref();
                    let is_roots = || condition.is_some_and(words::is_all_of_root);
                    condition.is_some() && other.is_unconditional()
                        || self.option == "permitrootlogin" && is_roots()
                });
        let is_about_others = self.option == "permitrootlogin"
            && line
                .condition
                .as_deref()
                .is_some_and(words::leaves_out_root);
        !is_decided && !is_about_others
    }

    fn edits(&self, current: &Current, set: Option<&str>) -> Vec<Edit> {
        let lines: Vec<&Line> = self
            .config
            .lines_of(&self.option)
            .filter(|line| line.is_unconditional())
            .collect();
        if words::adds_up(&self.option) && !lines.is_empty() {
            return self.edits_of_all(&lines, set);
        }
        let Some(set) = set else {
            return Vec::new();
        };
        let Some(winner) = &current.line else {
            return self.new_line(set);
        };
        if words::last_may_win(&self.option) {
            let failing = lines.into_iter().filter(|line| {
                line.canonical()
                    .is_none_or(|value| self.bad(&value).is_some())
            });
            return failing.map(|line| replace(line, Some(set))).collect();
        }
        let in_main = winner.at.path == HostPath::literal(config::MAIN);
        let ours_is_first = match (self.config.drop_in_before, self.config.place(winner)) {
            (Some(ours), Some(winner)) => ours <= winner,
            _ => false,
        };
        // Nor is a file changed that sshd includes from elsewhere: others may read it too.
        let is_sshds_own = winner.at.path.is_within(&HostPath::literal("/etc/ssh"));
        if (in_main || !is_sshds_own) && winner.condition.is_none() && ours_is_first {
            return self.new_line(set);
        }
        vec![replace(winner, Some(set))]
    }

    /// Options that add up: every line that has a part in the value.
    fn edits_of_all(&self, lines: &[&Line], set: Option<&str>) -> Vec<Edit> {
        if self.want.value.is_some() {
            let first = lines.iter().take(1).map(|line| replace(line, set));
            let others = lines.iter().skip(1).map(|line| replace(line, None));
            return first.chain(others).collect();
        }
        lines
            .iter()
            .filter_map(|line| {
                let (kept, refused): (Vec<&str>, Vec<&str>) = line
                    .args
                    .iter()
                    .map(String::as_str)
                    .partition(|element| self.accepts(element));
                let kept = (!kept.is_empty()).then(|| kept.join(" "));
                (!refused.is_empty()).then(|| replace(line, kept.as_deref()))
            })
            .collect()
    }

    /// A line of our own: in our drop-in where that is read, else in the main file, before
    /// its first `Match`.
    fn new_line(&self, set: &str) -> Vec<Edit> {
        let line = format!("{} {set}", self.spelling());
        let mut edits = Vec::new();
        let path = if self.config.drop_in_before.is_some() {
            let directory = HostPath::literal(config::DROP_INS);
            if matches!(self.seen.dir(&directory), Seen::Absent) {
                edits.push(Edit::act(Effect::MakeDir {
                    path: directory,
                    mode: Mode::new(0o755),
                    owner: None,
                    group: None,
                    as_user: None,
                }));
            }
            HostPath::literal(config::OURS)
        } else {
            HostPath::literal(config::MAIN)
        };
        let change = match Config::first_match(self.seen, &path) {
            Some((number, before)) => ContentEdit::InsertBefore {
                line: number,
                before,
                new: vec![line],
            },
            None => ContentEdit::Append(line),
        };
        edits.push(Edit::Content {
            path,
            change,
            new_file: Some(NewFile::default()),
            as_user: None,
        });
        edits
    }
}

/// The line with another value, or without the line when there is none.
fn replace(line: &Line, set: Option<&str>) -> Edit {
    let SourceLine { path, line: number } = line.at.clone();
    Edit::Content {
        path,
        change: ContentEdit::ReplaceLine {
            line: number.unwrap_or(1),
            old: line.text.clone(),
            new: set.map(|set| line.with_value(set)).into_iter().collect(),
        },
        new_file: None,
        as_user: None,
    }
}

fn reload() -> Vec<Effect> {
    vec![Effect::Unit {
        name: "ssh.service".to_owned(),
        op: UnitOp::Reload,
    }]
}

fn shown(value: &str) -> String {
    match value {
        "" => "not set".to_owned(),
        value => printable(value.as_bytes()),
    }
}
