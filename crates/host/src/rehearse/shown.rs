//! A copy of the host on which all steps went well, as it is shown to whoever plans by it: its
//! files, and the programs that came to it, which say what they will take their configuration for.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use model::value::{Output, Reason};
use model::{Answer, HostPath, Observed, Tool, Value};

use super::{Step, Streams};
use crate::tool;

/// A program that says what its configuration is does so in milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// The copy, while it is there.
pub struct Shown<'a> {
    /// Its root, in the mount namespace of the thread that is shown it.
    pub root: &'a Path,
    /// What the steps wrote.
    pub writes: &'a BTreeSet<HostPath>,
    pub(super) run: &'a (dyn Fn(&Step, Streams) -> Result<Output, String> + Sync),
}

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("root", &self.root).finish()
    }
}

impl Shown<'_> {
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
