//! What packages brought, as it is on this host: what their scripts make anew each time differs from
//! the copy on which the plan was made. The plan is decided again over it, and what is carried out
//! from here on is in the journal before anything of it is touched.

use model::{Action, ActionId, Effect};

use super::work::Work;
use crate::Host;
use crate::act::ActError;
use crate::checked;
use crate::event::Event;
use crate::journal::{ActionState, Batch};
use crate::state::StateError;

impl Work<'_> {
    /// After the packages, before anything that was decided over what they bring.
    pub(super) fn settle(&mut self, stage: &Action) -> Result<(), StateError> {
        let Some(decide) = self.options.decide_again else {
            return Ok(());
        };
        let host = match self.target.again() {
            Ok(host) => host,
            Err(error) => return self.fail(stage, &error),
        };
        let now = ::plan::stages::made_anew(self.plan, stage.id, |probe| host.probe(probe));
        if now.is_empty() {
            return Ok(());
        }
        let differs = |why: String| ActError::program("act on what the plan showed", why);
        let again = match decide(&now) {
            Ok(again) => again,
            Err(why) => return self.fail(stage, &differs(why)),
        };
        let settled = match ::plan::stages::settle(self.plan, &again, stage.id, &now) {
            Ok(settled) => settled,
            Err(error) => {
                let actions = self.plan.actions.iter();
                let action = actions.into_iter().find(|one| one.id == error.action);
                return self.fail(action.unwrap_or(stage), &differs(error.to_string()));
            }
        };
        let batch = Batch::default().put(self.id(), "", &settled);
        self.state.journal().write(batch)?;
        let paths = now.len();
        // There is one such action in a plan: its packages come all at once.
        self.plan = self.settled.get_or_init(|| settled);
        (self.sink)(Event::Settled { paths });
        self.options.crash.here("settled");
        Ok(())
    }

    /// A command that is decided here: does its check, which could not be asked before, say that
    /// nothing is to be done?
    pub(super) fn is_as_wanted(&self, action: &Action) -> bool {
        // What can't be asked even now is tried, and looked at afterwards.
        action.decided_on_host
            && matches!(action.effect, Effect::Run { .. })
            && checked::is_as_wanted(&self.target.root, self.plan, action) == Some(true)
    }

    /// Nothing is done, and nothing of it is taken back.
    pub(super) fn pass_over(
        &mut self,
        action: &Action,
        finished: Option<ActionId>,
    ) -> Result<(), StateError> {
        if let Some(finished) = finished {
            self.set_state(finished, ActionState::Done)?;
        }
        let why = "it is as wanted already".to_owned();
        let skipped = ActionState::Skipped { why: why.clone() };
        self.set_state(action.id, skipped)?;
        (self.sink)(Event::Skipped {
            action: action.id,
            why,
        });
        Ok(())
    }
}
