//! `command`: the escape hatch. A command of the policy's author checks, and perhaps
//! another one fixes; how a fix is taken back has to be said, or that it can't be.

use model::plan::Risk;
use model::value::{Output, Reason};
use model::{Answer, Effect, Inverse, Probe, ResourceKey, Value, printable, secrets};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::about;
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase};

/// What no other kind can say. Commands are run without a shell, as they are listed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// A short name for reports.
    pub name: String,
    /// The program, by absolute path, and its arguments. The exit status 0 means that all is
    /// as wanted. It runs at every audit, and must change nothing: on a read-only view of the
    /// host, without network, without sockets, and with no right of root but to read. What needs
    /// another account (`su`, `runuser`, `sudo`) fails there: say `user`.
    pub check: Vec<String>,
    /// The account that the check, the fix and the undo run as, with its groups. Only root can
    /// ask for another one than itself.
    #[serde(default)]
    pub user: Option<String>,
    /// True when the check may connect to sockets of this host, such as those of a database or of
    /// systemd (systemctl). Root's sockets can change anything: with them, that the check changes
    /// nothing is its author's word alone.
    #[serde(default)]
    pub sockets: bool,
    /// What makes the check succeed. Without it, a person has to.
    #[serde(default)]
    pub fix: Option<Vec<String>>,
    /// What takes the fix back.
    #[serde(default)]
    pub undo: Option<Vec<String>>,
    /// True when the fix can't be taken back; the plan says so.
    #[serde(default)]
    pub irreversible: bool,
    /// How long each of them may take, in seconds, at most 600. 10 where nothing is said.
    #[serde(default = "ten")]
    pub timeout_s: u32,
}

fn ten() -> u32 {
    10
}

/// Longer than this, and an audit hangs for everyone who waits for it.
const LONGEST_S: u32 = 600;

impl Kind for Command {
    const NAME: &'static str = "command";
    const PHASE: Phase = Phase::AsListed;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.name.clone(),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        vec![self.probe()]
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let output = match seen.get(&self.probe()).map(|observed| &observed.answer) {
            Some(Answer::Known(Value::Output(output))) => output,
            Some(Answer::Absent) => {
                let program = self.check.first().map(String::as_str).unwrap_or_default();
                return Judgement::Error(format!("there is no {}", printable(program.as_bytes())));
            }
            Some(Answer::Unknown(Reason::ToCome)) if self.fix.is_some() => {
                return Judgement::drift(Drift {
                    observed: Reason::ToCome.to_string(),
                    wanted: "exit status 0".to_owned(),
                    edits: self.edit().into_iter().collect(),
                    ..Drift::default()
                });
            }
            Some(Answer::Unknown(reason)) => return about(&self.probe(), reason).into(),
            Some(Answer::Known(_)) | None => return Judgement::not_asked(),
        };
        let mut observed = match output.status {
            Some(status) => format!("exit status {status}"),
            None => "ended by a signal".to_owned(),
        };
        if output.status == Some(0) {
            return Judgement::compliant(observed);
        }
        let said = last_lines(output);
        if !said.is_empty() {
            observed = format!("{observed}: {said}");
        }
        Judgement::drift(Drift {
            observed,
            wanted: "exit status 0".to_owned(),
            edits: self.edit().into_iter().collect(),
            by_hand: self
                .fix
                .is_none()
                .then(|| "the policy gives a check and no fix".to_owned()),
            ..Drift::default()
        })
    }

    fn risk(&self) -> Risk {
        match self.fix {
            Some(_) => Risk::Service,
            None => Risk::None,
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("a command has a name".to_owned());
        }
        check_argv("check", &self.check)?;
        if let Some(program) = self.check.first().and_then(|path| path.rsplit('/').next())
            && CHANGE_ACCOUNT.contains(&program)
        {
            return Err(format!(
                "`{program}` can't change the account in a check, which has no right to: say `user: NAME`"
            ));
        }
        if self
            .user
            .as_ref()
            .is_some_and(|name| name.trim().is_empty())
        {
            return Err("`user` is the name of an account".to_owned());
        }
        match (&self.fix, &self.undo, self.irreversible) {
            (None, None, false) => {}
            (None, ..) => return Err("there is nothing to undo without a `fix`".to_owned()),
            (Some(fix), Some(undo), false) => {
                check_argv("fix", fix)?;
                check_argv("undo", undo)?;
            }
            (Some(fix), None, true) => check_argv("fix", fix)?,
            (Some(_), None, false) => {
                return Err(
                    "say how a `fix` is taken back: `undo`, or `irreversible: true`".to_owned(),
                );
            }
            (Some(_), Some(_), true) => {
                return Err("a `fix` has an `undo` or is `irreversible`, not both".to_owned());
            }
        }
        if (1..=LONGEST_S).contains(&self.timeout_s) {
            Ok(())
        } else {
            Err(format!("`timeout_s` is 1 to {LONGEST_S} seconds"))
        }
    }
}

/// Programs that run others as somebody else.
const CHANGE_ACCOUNT: [&str; 6] = ["su", "runuser", "sudo", "doas", "pkexec", "setpriv"];

/// Of what a check that fails says.
const LAST_LINES: usize = 3;
const MOST_CHARACTERS: usize = 300;

/// The end of what a check says, where what went wrong stands.
fn last_lines(output: &Output) -> String {
    let text = match output.stderr.trim() {
        "" => output.stdout.trim(),
        text => text,
    };
    let has_key = text.lines().any(secrets::is_key_border);
    let lines: Vec<String> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| printable(secrets::hidden(line.trim(), has_key).as_bytes()))
        .collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("; ");
    match last.char_indices().nth(MOST_CHARACTERS) {
        Some((at, _)) => format!("{}...", &last[..at]),
        None => last,
    }
}

impl Command {
    fn timeout_ms(&self) -> u32 {
        self.timeout_s.min(LONGEST_S) * 1000
    }

    fn probe(&self) -> Probe {
        Probe::Command {
            argv: self.check.clone(),
            timeout_ms: self.timeout_ms(),
            user: self.user.clone(),
            sockets: self.sockets,
        }
    }

    fn edit(&self) -> Option<Edit> {
        let run = |argv: &Vec<String>| Effect::Run {
            argv: argv.clone(),
            timeout_ms: self.timeout_ms(),
            user: self.user.clone(),
        };
        let inverse = match &self.undo {
            Some(undo) => Inverse::Effect(Box::new(run(undo))),
            None => Inverse::Irreversible {
                why: format!("`{}` declares no way back", printable(self.name.as_bytes())),
            },
        };
        self.fix.as_ref().map(|fix| Edit::Act {
            effect: run(fix),
            inverse: Some(inverse),
        })
    }
}

fn check_argv(what: &str, argv: &[String]) -> Result<(), String> {
    match argv.first() {
        Some(program) if program.starts_with('/') && argv.iter().all(|arg| !arg.contains('\0')) => {
            Ok(())
        }
        _ => Err(format!(
            "`{what}` begins with the absolute path of a program"
        )),
    }
}
