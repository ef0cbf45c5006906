//! Which change somebody means by `last`, `c-19`, `19` or the beginning of a plan's id. It never
//! guesses: where the newest change is not one that the command can mean, it says which is.

use host::install::OWN;
use model::{Change, ChangeId, ChangeState};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::typed::with_state;

/// What a change is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToWhat {
    Undo,
    Confirm,
    Show,
    /// To be looked at again, or ended.
    SeeTo,
}

/// The change that is `typed`. Where nothing is, it is the one that waits to be confirmed, or else
/// the last one.
///
/// The last one is the newest, whatever became of it: what somebody just did. An older one stands
/// in for it never, since that one may be good.
pub fn named<'a>(
    history: &'a [Change],
    typed: Option<&str>,
    what: ToWhat,
) -> Result<&'a Change, Failure> {
    match typed {
        Some("last") => last(history, what),
        Some(typed) => by_name(history, typed),
        None => match waiting(history).as_slice() {
            [] => last(history, what),
            [one] => Ok(one),
            several => Err(Failure::new(
                Exit::BadInput,
                format_args!(
                    "more than one change waits to be confirmed: {}",
                    names(several)
                ),
                "name the one that you mean",
            )),
        },
    }
}

fn waiting(history: &[Change]) -> Vec<&Change> {
    let waiting = history.iter().filter(|change| change.state.is_awaiting());
    waiting.collect()
}

fn names(changes: &[&Change]) -> String {
    let names: Vec<String> = changes.iter().map(|change| change.id.to_string()).collect();
    names.join(", ")
}

fn last(history: &[Change], what: ToWhat) -> Result<&Change, Failure> {
    // Steadfast's own part, the unit that recovers at boot, is meant by nobody who says `last`.
    let peoples = || history.iter().filter(|change| change.serves != [OWN]);
    let newest = peoples().max_by_key(|change| change.id.0).ok_or_else(|| {
        Failure::new(
            Exit::BadInput,
            "there is no change yet",
            "steadfast uninstall takes away what recovers at boot",
        )
    })?;
    match what {
        ToWhat::Show | ToWhat::SeeTo => Ok(newest),
        ToWhat::Confirm => {
            let waiting = waiting(history);
            if newest.state.is_awaiting() {
                return Ok(newest);
            }
            // What it will come to is not known yet, and it may wait to be confirmed next.
            let at_work = || history.iter().filter(|one| is_at_work(one.state));
            let another = at_work().find(|one| one.id != newest.id);
            match (waiting.is_empty(), another) {
                (false, _) => Err(another_waits(newest, &waiting)),
                (true, Some(another)) if !is_at_work(newest.state) => {
                    Err(another_is_at_work(newest, another))
                }
                (true, _) => Ok(newest),
            }
        }
        ToWhat::Undo => match newest.state {
            ChangeState::Undone | ChangeState::RolledBack | ChangeState::KeptAsItIs => {
                let before = peoples()
                    .filter(|change| !is_past(change) && change.id != newest.id)
                    .max_by_key(|change| change.id.0);
                Err(is_not_to_undo(newest, before))
            }
            _ => Ok(newest),
        },
    }
}

fn is_past(change: &Change) -> bool {
    matches!(
        change.state,
        ChangeState::Undone | ChangeState::RolledBack | ChangeState::KeptAsItIs
    ) || change.expired.is_some()
}

fn is_not_to_undo(newest: &Change, before: Option<&Change>) -> Failure {
    let command = |id: ChangeId| with_state(&format!("steadfast undo {id}"));
    let own = match newest.state {
        ChangeState::KeptAsItIs => format!("what takes it back: {}; ", command(newest.id)),
        _ => String::new(),
    };
    let before = match before {
        Some(before) => format!(
            "the one before it that is {} is {} ({}): {}",
            before.state.words(),
            before.id,
            model::printable(before.summary.as_bytes()),
            command(before.id)
        ),
        None => "no change before it is in effect".to_owned(),
    };
    Failure::new(
        Exit::BadInput,
        format_args!(
            "the last change, {}, is {}",
            newest.id,
            newest.state.words()
        ),
        format!("nothing was touched; {own}{before}"),
    )
}

const fn is_at_work(state: ChangeState) -> bool {
    matches!(
        state,
        ChangeState::Applying
            | ChangeState::Validating
            | ChangeState::Undoing
            | ChangeState::Redoing
            | ChangeState::RollingBack
    )
}

fn another_is_at_work(newest: &Change, another: &Change) -> Failure {
    let history = with_state("steadfast history");
    Failure::new(
        Exit::BadInput,
        format_args!(
            "no change waits to be confirmed yet: {} is {}, and the last change, {}, is {}",
            another.id,
            another.state.words(),
            newest.id,
            newest.state.words()
        ),
        format!(
            "nothing was confirmed; when {} waits, {history} says so",
            another.id
        ),
    )
}

fn another_waits(newest: &Change, waiting: &[&Change]) -> Failure {
    let commands: Vec<String> = waiting
        .iter()
        .map(|change| with_state(&format!("steadfast confirm {}", change.id)))
        .collect();
    Failure::new(
        Exit::BadInput,
        format_args!(
            "the last change, {}, is {}, and another waits to be confirmed: {}",
            newest.id,
            newest.state.words(),
            names(waiting)
        ),
        format!(
            "nothing was confirmed; what keeps it: {}",
            commands.join(" or ")
        ),
    )
}

/// By its id, or by the id of its plan, in full or shortened.
fn by_name<'a>(history: &'a [Change], typed: &str) -> Result<&'a Change, Failure> {
    let shown = model::printable(typed.as_bytes());
    if let Ok(id) = typed.parse::<ChangeId>()
        && let Some(change) = history.iter().find(|change| change.id == id)
    {
        return Ok(change);
    }
    let mut fitting = history
        .iter()
        .filter(|change| typed.len() >= 4 && change.plan.0.to_string().starts_with(typed));
    match (fitting.next(), fitting.next()) {
        (Some(change), None) => Ok(change),
        (Some(_), Some(_)) => Err(Failure::new(
            Exit::BadInput,
            format_args!("more than one change begins with `{shown}`"),
            "name the change by its number, as in c-19",
        )),
        (None, _) => Err(Failure::new(
            Exit::BadInput,
            format_args!("there is no change `{shown}`"),
            "steadfast history lists them",
        )),
    }
}
