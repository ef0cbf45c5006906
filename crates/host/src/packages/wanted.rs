//! What a policy wants of packages, and what apt-get says that it takes: all of it together.

use std::collections::BTreeMap;

use model::{PackageOp, PackageRemoval};

use super::apt_caches::Caches;
use super::offers::offers;
use super::pending::{Pending, UNLOCKED};
use super::unsigned::{is_of, unsigned};
use crate::act::ActError;
use crate::act::package::{apt, parse_simulation, word};
use crate::act::upgrade::NO_CACHES;

/// What a policy wants of each package.
pub type Wants = BTreeMap<String, PackageOp>;

/// What it takes to have all that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Together {
    /// What is installed, and upgraded: those that are wanted, and what they need.
    pub pending: Vec<Pending>,
    pub removals: Vec<PackageRemoval>,
}

impl Together {
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.removals.is_empty()
    }
}

/// Asks apt-get, which changes nothing.
///
/// # Errors
/// Where something of it can't be had, with apt's reason, and where it would remove more than is
/// wanted.
pub fn together(wants: &Wants) -> Result<Together, ActError> {
    let words = wants
        .iter()
        .map(|(name, op)| word(name, op))
        .collect::<Result<Vec<_>, _>>()?;
    let ended = apt()?
        .args(NO_CACHES)
        .args([UNLOCKED, "--simulate", "install"])
        .args(words)
        .answer()?;
    let mut together = read(&ended.stdout, wants)?;
    say_unsigned(&mut together.pending)?;
    Ok(together)
}

/// Whether anything proves whose they are. Where every source is signed, nothing more is asked.
fn say_unsigned(pending: &mut [Pending]) -> Result<(), ActError> {
    let exempt = unsigned();
    if exempt.is_empty() || pending.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = pending.iter().map(|one| one.name.clone()).collect();
    let offers = offers(&Caches::none(), &names)?;
    for one in pending {
        let offered = offers.get(&one.name).and_then(|all| all.version(&one.to));
        let mut sources = offered.into_iter().flat_map(|version| &version.sources);
        one.unsigned = sources.find_map(|source| is_of(&exempt, source)).cloned();
    }
    Ok(())
}

/// Each by itself: those that can't be had, and why.
pub fn refused(wants: &Wants) -> BTreeMap<String, String> {
    let alone = |(name, op): (&String, &PackageOp)| {
        let one = Wants::from([(name.clone(), op.clone())]);
        let why = together(&one).err()?;
        Some((name.clone(), why.to_string()))
    };
    wants.iter().filter_map(alone).collect()
}

/// Reads apt-get's simulation of all that is wanted.
///
/// # Errors
/// When it is not understood, and when it would remove what nobody wants removed.
pub fn read(simulation: &str, wants: &Wants) -> Result<Together, ActError> {
    let mut together = Together::default();
    let mut beyond = Vec::new();
    for step in parse_simulation(simulation)? {
        match (step.removes, step.new) {
            (true, _) => {
                let is_wanted = matches!(wants.get(&step.name), Some(PackageOp::Remove));
                if !is_wanted {
                    beyond.push(step.name.clone());
                }
                together.removals.push(PackageRemoval {
                    name: step.name,
                    version: step.old.unwrap_or_default(),
                });
            }
            (false, Some(new)) => together.pending.push(Pending {
                name: step.name,
                architecture: new.architecture,
                from: step.old,
                to: new.version,
                origins: new.origins,
                security: None,
                unsigned: None,
            }),
            (false, None) => {}
        }
    }
    together.removals.sort();
    match beyond.is_empty() {
        true => Ok(together),
        false => Err(ActError::program(
            "change the packages",
            format!(
                "that would also remove {}; where that is meant, want it: `package: {{name: {}, \
                 absent: true}}`",
                beyond.join(", "),
                beyond[0]
            ),
        )),
    }
}
