//! How Linux-PAM goes through a stack (`_pam_dispatch_aux` in pam_dispatch.c): which module is called
//! after which answer, and what comes of it.

use super::pam_stack::Entry;

/// What a module answers, as a control in brackets names it (pam.conf(5)): `success`, `auth_err`.
pub type Answer = &'static str;

pub const SUCCESS: Answer = "success";
/// "ignore this module" (`PAM_IGNORE`): the words let it be as if it were not there.
pub const IGNORE: Answer = "ignore";

/// Calls of one facility, in their order.
pub struct Calls<'a> {
    entries: &'a [&'a Entry],
    nodes: Vec<Node>,
}

/// A call, or a substack, which counts as one for jumps.
enum Node {
    Call(usize),
    Substack(Vec<Node>),
}

impl<'a> Calls<'a> {
    pub fn new(entries: &'a [&'a Entry]) -> Self {
        Self {
            entries,
            nodes: tree(entries, 0..entries.len(), 0),
        }
    }

    /// Is the caller told of success, where each call answers as `answer` says of its place? Or at
    /// which control can't be told.
    pub fn go(&self, answer: &mut dyn FnMut(usize) -> Answer) -> Result<bool, String> {
        let mut run = Run {
            entries: self.entries,
            answer,
            impression: Impression::Undefined,
            status_is_success: true,
        };
        run.all(&self.nodes)?;
        Ok(run.impression == Impression::Positive && run.status_is_success)
    }
}

/// The calls, those of a substack together. `depth`: of how many substacks they are all part.
fn tree(entries: &[&Entry], range: std::ops::Range<usize>, depth: usize) -> Vec<Node> {
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
        nodes.push(Node::Substack(tree(entries, at..end, depth + 1)));
        at = end;
    }
    nodes
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
    answer: &'a mut dyn FnMut(usize) -> Answer,
    impression: Impression,
    /// Of the calls that count, has none failed?
    status_is_success: bool,
}

impl Run<'_> {
    fn all(&mut self, nodes: &[Node]) -> Result<(), String> {
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            at += 1;
            let call = match node {
                Node::Substack(inner) => {
                    // What ends a substack ends nothing else.
                    self.all(inner)?;
                    continue;
                }
                Node::Call(call) => *call,
            };
            let answer = (self.answer)(call);
            let entry = self.entries[call];
            let action = action(&entry.call.control, answer)
                .ok_or_else(|| format!("{}: this control is not understood", entry.at))?;
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
                        if answer == SUCCESS {
                            self.impression = Impression::Positive;
                        }
                        self.status_is_success = answer == SUCCESS;
                    }
                    if matches!(action, Action::Done) && self.impression == Impression::Positive {
                        return Ok(());
                    }
                }
                Action::Bad | Action::Die => {
                    self.impression = Impression::Negative;
                    self.status_is_success = false;
                    if matches!(action, Action::Die) {
                        return Ok(());
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
        Ok(())
    }
}

/// pam.d(5): the words, and what they stand for; none for what is not understood.
fn action(control: &str, answer: Answer) -> Option<Action> {
    let control = control.to_ascii_lowercase();
    let is_success = answer == SUCCESS;
    Some(match (control.as_str(), is_success) {
        ("required" | "requisite" | "optional", true) => Action::Ok,
        ("sufficient", true) => Action::Done,
        ("required" | "requisite", false) if answer == IGNORE => Action::Ignore,
        ("required", false) => Action::Bad,
        ("requisite", false) => Action::Die,
        ("sufficient" | "optional", false) => Action::Ignore,
        _ => {
            let inner = control.strip_prefix('[')?.strip_suffix(']')?;
            let words: Vec<(&str, &str)> = inner
                .split_whitespace()
                .map(|word| word.split_once('='))
                .collect::<Option<_>>()?;
            let of = |code: &str| words.iter().rev().find(|(name, _)| *name == code);
            // What a control in brackets does not name is bad (`_pam_parse_control`).
            let action = of(answer).or_else(|| of("default"));
            match action.map_or("bad", |(_, action)| action) {
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
