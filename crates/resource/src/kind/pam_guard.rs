//! Whether a stack of `auth` holds guesses off: it is gone through as Linux-PAM does
//! (`_pam_dispatch_aux` in pam_dispatch.c), with a locked account and a right password, and with
//! an account that is not locked and a wrong one.

use std::collections::BTreeSet;

use super::pam_stack::{Call, Entry};

/// What pam_faillock(8) makes of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// No module of it asks for a password.
    NoPassword,
    Holds,
    /// It does not, and how.
    Fails(&'static str),
    /// It depends on what can't be told: on which module.
    Untold(String),
}

const FAILLOCK: &str = "pam_faillock.so";

/// Modules that check a password.
const PASSWORD: [&str; 12] = [
    "pam_krb5.so",
    "pam_ldap.so",
    "pam_mysql.so",
    "pam_oath.so",
    "pam_pwdfile.so",
    "pam_radius.so",
    "pam_radius_auth.so",
    "pam_sss.so",
    "pam_systemd_home.so",
    "pam_unix.so",
    "pam_userdb.so",
    "pam_winbind.so",
];

/// Modules that say yes to whom they let go on at all.
const PASSING: [&str; 16] = [
    "pam_cap.so",
    "pam_ecryptfs.so",
    "pam_env.so",
    "pam_faildelay.so",
    "pam_gnome_keyring.so",
    "pam_group.so",
    "pam_keyinit.so",
    "pam_kwallet5.so",
    "pam_mount.so",
    "pam_nologin.so",
    "pam_permit.so",
    "pam_securetty.so",
    "pam_shells.so",
    "pam_time.so",
    "pam_umask.so",
    "pam_warn.so",
];

/// Modules that say no here: `pam_rootok.so` is about who is root already.
const FAILING: [&str; 2] = ["pam_deny.so", "pam_rootok.so"];

/// Of modules that may say either, this many are tried in all ways.
const MOST_OPEN: usize = 6;
/// Longer stacks are not gone through.
const MOST_CALLS: usize = 128;

/// Looks at the calls of `auth`.
pub fn guard(entries: &[&Entry]) -> Guard {
    if !entries.iter().any(|entry| is_password(&entry.call)) {
        return Guard::NoPassword;
    }
    let open: Vec<usize> = (0..entries.len())
        .filter(|at| is_open(&entries[*at].call))
        .collect();
    if open.len() > MOST_OPEN || entries.len() > MOST_CALLS {
        return Guard::Untold("there are too many modules".to_owned());
    }
    let nodes = tree(entries, 0);
    let mut verdicts = Vec::new();
    for ways in 0..1_usize << open.len() {
        let says_yes = |at: usize| {
            let place = open.iter().position(|open| *open == at);
            place.is_some_and(|place| ways >> place & 1 == 1)
        };
        verdicts.push(verdict(entries, &nodes, &says_yes));
    }
    let first = verdicts[0].clone();
    if verdicts.iter().all(|verdict| *verdict == first) {
        return first;
    }
    if verdicts.iter().all(|verdict| *verdict != Guard::Holds) {
        return first;
    }
    let names: Vec<&str> = open.iter().map(|at| &*entries[*at].call.module).collect();
    Guard::Untold(format!("it depends on what {} says", names.join(", ")))
}

fn verdict(entries: &[&Entry], nodes: &[Node], says_yes: &dyn Fn(usize) -> bool) -> Guard {
    let modules = entries.iter().map(|entry| &entry.call);
    let passwords: BTreeSet<&str> = modules
        .filter(|call| is_password(call))
        .map(|call| &*call.module)
        .collect();
    let mut wrong = Run::new(entries, None, false, says_yes);
    wrong.all(nodes);
    if let Some(why) = wrong.untold {
        return Guard::Untold(why);
    }
    // Where no password was looked at, nobody guesses one: a key, a finger, an account that is
    // turned away before.
    if wrong.has_looked && wrong.is_accepted() {
        return Guard::Fails("a wrong password is accepted");
    }
    if wrong.has_looked && !wrong.has_counted {
        return Guard::Fails("wrong passwords are not counted");
    }
    for right in passwords {
        let mut locked = Run::new(entries, Some(right), true, says_yes);
        locked.all(nodes);
        if let Some(why) = locked.untold {
            return Guard::Untold(why);
        }
        if locked.was_right && locked.is_accepted() {
            return Guard::Fails("a right password opens a locked account");
        }
    }
    Guard::Holds
}

/// Is whom this module knows let in, where no account is locked and nothing else is against it?
pub fn accepts(entries: &[&Entry], module: &str) -> bool {
    let says_yes = |_| true;
    let mut run = Run::new(entries, Some(module), false, &says_yes);
    run.all(&tree(entries, 0));
    run.is_accepted()
}

fn is_password(call: &Call) -> bool {
    PASSWORD.contains(&&*call.module)
}

fn is_open(call: &Call) -> bool {
    let known = [FAILLOCK];
    !is_password(call)
        && !known.contains(&&*call.module)
        && !PASSING.contains(&&*call.module)
        && !FAILING.contains(&&*call.module)
}

/// A call, or a substack, which counts as one for jumps.
enum Node {
    Call(usize),
    Substack(Vec<Node>),
}

/// The calls, those of a substack together. `depth`: of how many substacks they are all part.
fn tree(entries: &[&Entry], depth: usize) -> Vec<Node> {
    fn build(entries: &[&Entry], range: std::ops::Range<usize>, depth: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let Some(id) = entries[at].inside.get(depth) else {
                nodes.push(Node::Call(at));
                at += 1;
                continue;
            };
            let end = (at..range.end)
                .find(|next| entries[*next].inside.get(depth) != Some(id))
                .unwrap_or(range.end);
            nodes.push(Node::Substack(build(entries, at..end, depth + 1)));
            at = end;
        }
        nodes
    }
    build(entries, 0..entries.len(), depth)
}

/// What a module answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Success,
    AuthError,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Impression {
    Undefined,
    Positive,
    Negative,
}

enum Action {
    Ignore,
    Ok,
    Done,
    Bad,
    Die,
    Reset,
    Jump(usize),
}

struct Run<'a> {
    entries: &'a [&'a Entry],
    /// To which module the password is right.
    right: Option<&'a str>,
    locked: bool,
    says_yes: &'a dyn Fn(usize) -> bool,
    impression: Impression,
    /// Of the calls that count, has none failed?
    status_is_success: bool,
    has_counted: bool,
    has_looked: bool,
    was_right: bool,
    untold: Option<String>,
}

impl<'a> Run<'a> {
    fn new(
        entries: &'a [&'a Entry],
        right: Option<&'a str>,
        locked: bool,
        says_yes: &'a dyn Fn(usize) -> bool,
    ) -> Self {
        Self {
            entries,
            right,
            locked,
            says_yes,
            impression: Impression::Undefined,
            status_is_success: true,
            has_counted: false,
            has_looked: false,
            was_right: false,
            untold: None,
        }
    }

    fn is_accepted(&self) -> bool {
        self.impression == Impression::Positive && self.status_is_success
    }

    fn all(&mut self, nodes: &[Node]) {
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            at += 1;
            let call = match node {
                Node::Substack(inner) => {
                    // What ends a substack ends nothing else.
                    self.all(inner);
                    continue;
                }
                Node::Call(call) => *call,
            };
            let answer = self.answer(call);
            let Some(action) = action(&self.entries[call].call.control, answer) else {
                let at = &self.entries[call].at;
                self.untold
                    .get_or_insert_with(|| format!("{at}: this control is not understood"));
                return;
            };
            match action {
                Action::Ignore => {}
                Action::Reset => {
                    self.impression = Impression::Undefined;
                    self.status_is_success = true;
                }
                Action::Ok | Action::Done => {
                    let counts = self.impression == Impression::Undefined
                        || self.impression == Impression::Positive && self.status_is_success;
                    if counts {
                        if answer == Answer::Success {
                            self.impression = Impression::Positive;
                        }
                        self.status_is_success = answer == Answer::Success;
                    }
                    if matches!(action, Action::Done) && self.impression == Impression::Positive {
                        return;
                    }
                }
                Action::Bad | Action::Die => {
                    self.impression = Impression::Negative;
                    self.status_is_success = false;
                    if matches!(action, Action::Die) {
                        return;
                    }
                }
                Action::Jump(over) => {
                    at += over;
                    if at > nodes.len() {
                        self.impression = Impression::Negative;
                        self.status_is_success = false;
                    }
                }
            }
        }
    }

    fn answer(&mut self, at: usize) -> Answer {
        let call = &self.entries[at].call;
        let is_yes = match call.module.as_str() {
            FAILLOCK if call.argument("authfail").is_some() => {
                self.has_counted = true;
                false
            }
            // `preauth` and `authsucc` both look whether the account is locked.
            FAILLOCK => !self.locked,
            name if PASSWORD.contains(&name) => {
                self.has_looked = true;
                let is_right = self.right == Some(name);
                self.was_right |= is_right;
                is_right
            }
            name if PASSING.contains(&name) => true,
            name if FAILING.contains(&name) => false,
            _ => (self.says_yes)(at),
        };
        match is_yes {
            true => Answer::Success,
            false => Answer::AuthError,
        }
    }
}

/// pam.d(5): the words, and what they stand for; none for what is not understood.
fn action(control: &str, answer: Answer) -> Option<Action> {
    let control = control.to_ascii_lowercase();
    let is_success = answer == Answer::Success;
    Some(match (control.as_str(), is_success) {
        ("required" | "requisite" | "optional", true) => Action::Ok,
        ("sufficient", true) => Action::Done,
        ("required", false) => Action::Bad,
        ("requisite", false) => Action::Die,
        ("sufficient" | "optional", false) => Action::Ignore,
        _ => {
            let inner = control.strip_prefix('[')?.strip_suffix(']')?;
            let code = match answer {
                Answer::Success => "success",
                Answer::AuthError => "auth_err",
            };
            let words: Vec<(&str, &str)> = inner
                .split_whitespace()
                .map(|word| word.split_once('='))
                .collect::<Option<_>>()?;
            let of = |code: &str| words.iter().rev().find(|(name, _)| *name == code);
            let (_, action) = of(code).or_else(|| of("default"))?;
            match *action {
                "ignore" => Action::Ignore,
                "ok" => Action::Ok,
                "done" => Action::Done,
                "bad" => Action::Bad,
                "die" => Action::Die,
                "reset" => Action::Reset,
                number => Action::Jump(number.parse().ok()?),
            }
        }
    })
}
