//! A copy of the host on which all steps went well, as it is shown to whoever plans by it: its
//! files, and the programs that came to it, which say what they will take their configuration for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::plan::Validator;
use model::value::{Output, Reason};
use model::{Action, Answer, HostPath, Observed, Plan, Tool, Value};

use super::{Step, Streams};
use crate::apply::is_staged;
use crate::tool;
use crate::validate::{self, Laid};

/// A program that says what its configuration is does so in milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// The copy, while it is there.
pub struct Shown<'a> {
    /// Its root, in the mount namespace of the thread that is shown it.
    pub root: &'a Path,
    /// What the steps wrote.
    pub writes: &'a BTreeSet<HostPath>,
    pub(super) hidden: &'a [PathBuf],
    pub(super) run: &'a (dyn Fn(&Step, Streams) -> Result<Output, String> + Sync),
}

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("root", &self.root).finish()
    }
}

/// What a program of the copy refuses of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub validator: Validator,
    pub said: String,
    /// The rules and roles whose files it is about.
    pub serves: BTreeSet<String>,
}

impl Shown<'_> {
    /// Asks the programs that check a configuration about what follows the packages of `plan`, with
    /// its files put on the copy: nothing else may be asked there afterwards.
    pub fn refused(&self, plan: &Plan) -> Vec<Refused> {
        let staged: Vec<&Action> = plan
            .actions
            .iter()
            .filter(|action| is_staged(plan, action))
            .collect();
        let validators: BTreeSet<Validator> =
            staged.iter().filter_map(|action| action.validate).collect();
        if validators.is_empty() {
            return Vec::new();
        }
        let mut laid = Laid::default();
        laid.extend(&plan.actions.iter().collect::<Vec<_>>());
        let refused = validate::copy::refused(self.root, self.hidden, &validators, &laid);
        let about = |validator: Validator, said: &str| match validate::named(said, &staged) {
            Some(action) => action.serves.iter().cloned().collect(),
            None => staged
                .iter()
                .filter(|action| action.validate == Some(validator))
                .flat_map(|action| action.serves.iter().cloned())
                .collect(),
        };
        refused
            .into_iter()
            .map(|(validator, said)| Refused {
                validator,
                serves: about(validator, &said),
                said: model::one_line(&said),
            })
            .collect()
    }

    /// Asks a program of the copy, where the steps ran, with no more rights than they had.
    pub fn ask(&self, tool: Tool, args: &[String]) -> Observed {
        let failed = |why: String| Observed::unknown(Reason::Failed { why });
        let all = match tool::arguments(tool, args) {
            Ok(all) => all,
            Err(why) => return failed(why),
        };
        if tool == Tool::SshdEffective {
            // On a host it is there while the service runs. On the copy `/run` is its own.
            let _ = std::fs::create_dir(self.root.join("run/sshd"));
        }
        let step = Step {
            program: tool::programs()[&tool].clone(),
            args: all,
            limit: LIMIT,
            others_rest_on_it: false,
        };
        match (self.run)(&step, Streams::Apart) {
            Ok(output) => Observed::new(Answer::Known(Value::Output(output))),
            Err(why) => failed(why),
        }
    }
}
