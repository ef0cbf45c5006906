//! Puts a module into a stack of Debian's `/etc/pam.d/common-*`: a function of the file's
//! text, so that several modules can be put into one file, in any order.
//!
//! Numbers in brackets are jumps over the entries that follow (pam.d(5)), so each entry that
//! is put in makes the jumps over its place longer by one.

use super::pam::PamModule;
use super::pam_stack::{Call, Line, What, lines, misled};

/// The text with the module called; unchanged where it is called already. None when the stack
/// is not of the form that Debian makes.
pub fn turn_on(text: &str, module: PamModule, extra: &str) -> Option<String> {
    let mut stack = Stack::of(text)?;
    let facility = stack.calls.first()?.1.facility.clone();
    match (module, facility.as_str()) {
        (PamModule::Faillock, "auth") => {
            let has = |stack: &Stack, arg: &str| {
                stack.find(|call| call.module == module.file() && call.argument(arg).is_some())
            };
            if has(&stack, "preauth").is_none() {
                stack.put_first("auth\trequired\t\t\tpam_faillock.so preauth");
            }
            if has(&stack, "authfail").is_none() {
                let unix = stack.find(|call| call.module == "pam_unix.so")?;
                let deny = stack.find(|call| call.module == "pam_deny.so")?;
                if deny < unix {
                    return None;
                }
                stack.put_keeping_jumps(deny, "auth\t[default=die]\t\t\tpam_faillock.so authfail");
            }
            // pam-auth-update(8) writes the jumps of its own modules anew, over `pam_deny.so` and
            // to what follows. So they stay as it writes them, and what stands there now, in the
            // place of `pam_deny.so`, leads a success on.
            if stack.refuses_success() {
                let deny = stack.find(|call| call.module == "pam_deny.so")?;
                stack.put_keeping_jumps(deny, "auth\t[success=1 default=ignore]\tpam_permit.so");
            }
            if stack.refuses_success() {
                return None;
            }
        }
        (PamModule::Faillock, "account") => {
            stack.find(|call| call.module == "pam_unix.so")?;
            if stack.find(|call| call.module == module.file()).is_none() {
                stack.put_first("account\trequired\t\t\tpam_faillock.so");
            }
        }
        (PamModule::Pwquality | PamModule::Pwhistory, "password") => {
            if stack.find(|call| call.module == module.file()).is_none() {
                stack.put_password_check(module, extra)?;
            }
        }
        // The module has no part in this stack.
        _ => return None,
    }
    Some(stack.text())
}

/// How the first of the blocks begins that pam-auth-update(8) writes.
const HEADER: &str = "# here are the per-package modules";

/// A word of a line that pam-auth-update(8) would write anew.
pub struct Anew {
    pub line: u32,
    /// The whole line as it is.
    pub old: String,
    pub from: usize,
    pub to: usize,
    pub instead: String,
}

/// The jumps that pam-auth-update(8) would write anew as they are not now: of its own modules to
/// what follows `pam_deny.so`, lines by hand between them not counted. None where the file is not
/// of the form that it makes. `saved`: its own record of the modules, `/var/lib/pam/auth`.
pub fn jumps_made_anew(text: &str, saved: Option<&str>) -> Option<Vec<Anew>> {
    let stack = Stack::of(text)?;
    let managed = stack.managed(saved)?;
    let mut anew = Vec::new();
    for (place, at) in managed.iter().enumerate() {
        let (number, call) = &stack.calls[*at];
        let over = managed.len() - place;
        let Some(jump) = call.success_jump().filter(|jump| *jump != over) else {
            continue;
        };
        let line = &stack.lines[*number];
        let word = format!("success={jump}");
        let from = line.find(&word)?;
        anew.push(Anew {
            line: u32::try_from(number + 1).ok()?,
            old: line.clone(),
            from,
            to: from + word.len(),
            instead: format!("success={over}"),
        });
    }
    Some(anew)
}

/// Modules that ask for the new password.
const ASKING: [&str; 5] = [
    "pam_cracklib.so",
    "pam_passwdqc.so",
    "pam_pwhistory.so",
    "pam_pwquality.so",
    "pam_unix.so",
];

/// A file with one stack in it, under change.
struct Stack {
    lines: Vec<String>,
    /// The entries: which line, and the call.
    calls: Vec<(usize, Call)>,
}

impl Stack {
    /// One facility, one physical line for each entry, nothing included.
    fn of(text: &str) -> Option<Self> {
        let mut calls: Vec<(usize, Call)> = Vec::new();
        for line in lines(text) {
            match line.what {
                What::Nothing => {}
                What::Module(call) => {
                    line.physical?;
                    let at = usize::try_from(line.number).ok()?.checked_sub(1)?;
                    if calls
                        .first()
                        .is_some_and(|(_, first)| first.facility != call.facility)
                    {
                        return None;
                    }
                    calls.push((at, call));
                }
                What::Include(..) | What::Substack(..) | What::NotUnderstood => return None,
            }
        }
        (!calls.is_empty()).then(|| Self {
            lines: text.split('\n').map(str::to_owned).collect(),
            calls,
        })
    }

    fn find(&self, wanted: impl Fn(&Call) -> bool) -> Option<usize> {
        self.calls.iter().position(|(_, call)| wanted(call))
    }

    /// Before every entry: outside the block that pam-auth-update manages, where there is one,
    /// so that pam-auth-update keeps the line.
    fn put_first(&mut self, line: &str) {
        let first = self.calls.first().map_or(0, |(at, _)| *at);
        let header = self.lines[..first]
            .iter()
            .position(|line| line.starts_with(HEADER));
        self.insert(header.unwrap_or(first), line);
    }

    /// Before entry `at`; the jumps that led there lead to the new line.
    fn put_keeping_jumps(&mut self, at: usize, line: &str) {
        let number = self.calls[at].0;
        self.insert(number, line);
        if let [
            Line {
                what: What::Module(call),
                ..
            },
        ] = lines(line).as_slice()
        {
            self.calls.insert(at, (number, call.clone()));
        }
    }

    /// What pam-auth-update(8) counts: the calls of its first block, up to `pam_deny.so`.
    fn managed(&self, saved: Option<&str>) -> Option<Vec<usize>> {
        let header = self
            .lines
            .iter()
            .position(|line| line.starts_with(HEADER))?;
        let deny = self.find(|call| call.module == "pam_deny.so")?;
        let is_managed = |call: &Call| match saved {
            Some(saved) => saved.contains(&call.module),
            None => call.module != PamModule::Faillock.file() && call.module != "pam_permit.so",
        };
        let places = (0..deny).filter(|at| {
            let (number, call) = &self.calls[*at];
            *number > header && is_managed(call)
        });
        Some(places.collect())
    }

    fn refuses_success(&self) -> bool {
        let calls: Vec<&Call> = self.calls.iter().map(|(_, call)| call).collect();
        !misled(&calls).is_empty()
    }

    /// Before entry `at`.
    fn put(&mut self, at: usize, line: &str) -> Option<()> {
        for place in 0..at {
            let (number, call) = &self.calls[place];
            let control = longer_jumps(&call.control, at - place - 1)?;
            if control != call.control {
                let text = self.lines[*number].replacen(&call.control, &control, 1);
                self.lines[*number] = text;
            }
        }
        let number = self.calls[at].0;
        self.insert(number, line);
        Some(())
    }

    fn insert(&mut self, number: usize, line: &str) {
        self.lines.insert(number, line.to_owned());
        for (at, _) in &mut self.calls {
            if *at >= number {
                *at += 1;
            }
        }
    }

    /// The quality of a new password is looked at before its history, and both before it is
    /// set. Whoever asks first hands the new password on: the others must not ask again.
    fn put_password_check(&mut self, module: PamModule, extra: &str) -> Option<()> {
        let unix = self.find(|call| call.module == "pam_unix.so")?;
        let before = match module {
            PamModule::Pwquality => self.find(|call| ASKING.contains(&call.module.as_str()))?,
            _ => unix,
        };
        if before > unix {
            return None;
        }
        let is_first = self.calls[..before]
            .iter()
            .all(|(_, call)| !ASKING.contains(&call.module.as_str()));
        let args = match (module, is_first) {
            (PamModule::Pwquality, _) => " retry=3",
            (_, true) => "",
            (_, false) => " use_authtok",
        };
        let line = format!("password\trequisite\t\t\t{}{args}{extra}", module.file());
        self.put(before, &line)?;
        for place in before..=unix {
            let (number, call) = &self.calls[place];
            if ASKING.contains(&call.module.as_str()) && call.argument("use_authtok").is_none() {
                append_argument(&mut self.lines[*number], "use_authtok");
            }
        }
        Some(())
    }

    fn text(self) -> String {
        self.lines.join("\n")
    }
}

/// Before a comment, where there is one.
fn append_argument(line: &mut String, argument: &str) {
    let end = line.find('#').unwrap_or(line.len());
    let bare = line[..end].trim_end().len();
    line.insert_str(bare, &format!(" {argument}"));
}

/// `[success=1 default=ignore]`, where jumps over more than `over` entries become longer by
/// one; none when a word of it is not understood.
fn longer_jumps(control: &str, over: usize) -> Option<String> {
    let Some(inner) = control
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return Some(control.to_owned());
    };
    let words: Vec<String> = inner
        .split_whitespace()
        .map(|word| {
            let (name, action) = word.split_once('=')?;
            match action.parse::<usize>() {
                Ok(jump) if jump > over => Some(format!("{name}={}", jump.checked_add(1)?)),
                _ => Some(word.to_owned()),
            }
        })
        .collect::<Option<_>>()?;
    Some(format!("[{}]", words.join(" ")))
}
