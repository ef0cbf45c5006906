//! A change that brought packages or accounts and is taken back by itself, since something failed,
//! nobody confirmed it or it was interrupted: what others did meanwhile to the databases that all
//! share, and to settings, is not the change's, and stays, as in an undo that somebody asked for.

use std::collections::BTreeSet;

use model::{ActionId, Effect, HostPath};

use super::upgraded::reads;
use super::{Choice, Decided, UndoError, decide, put_as_decided};
use crate::act::held::LEFT_AT_WORK;
use crate::act::{ActError, Context, account};
use crate::apply::{image_key, upgrades};
use crate::event::Event;
use crate::image::Node;
use crate::journal::{ActionRecord, Batch, Imaged};
use crate::records::is_by_entry;
use crate::records::of_people::People;
use crate::state::{ChangeRecord, State, StateError};
use crate::take_back::{Outcome, take_back};

/// What a taking back that nobody asked for came to.
pub(crate) struct Apart {
    pub(crate) outcome: Outcome,
    /// What is not as it was before the change, since it is others', and what may have been.
    pub(crate) left: Vec<String>,
    /// What services of its packages wrote since, and that went with them.
    pub(crate) went: Vec<HostPath>,
}

/// Takes these actions back, but for what others made meanwhile, where packages or accounts are among
/// them.
/// `at_once`: by the process that carried them out, and not by one that found them interrupted.
pub(crate) fn take_back_apart(
    context: &Context<'_>,
    state: &State,
    record: &mut ChangeRecord,
    chosen: &BTreeSet<ActionId>,
    at_once: bool,
    sink: &mut dyn FnMut(Event),
) -> Result<Apart, StateError> {
    let apart = apart(context, state, record, chosen, at_once, sink)?;
    for why in apart.outcome.unseen.iter().chain(&apart.outcome.running) {
        sink(Event::NotAsBefore { why: why.clone() });
    }
    Ok(apart)
}

fn apart(
    context: &Context<'_>,
    state: &State,
    record: &mut ChangeRecord,
    chosen: &BTreeSet<ActionId>,
    at_once: bool,
    sink: &mut dyn FnMut(Event),
) -> Result<Apart, StateError> {
    let mut shares = upgrades(&record.plan);
    let of_accounts = |image: &&Imaged| account::is_of_accounts(&image.path);
    let of_accounts = record.images.iter().filter(of_accounts);
    shares.extend(of_accounts.flat_map(|image| image.actions.iter().copied()));
    let began = |one: &ActionRecord| {
        shares.contains(&one.id) && chosen.contains(&one.id) && one.state.was_begun()
    };
    if !context.root.is_live() || !record.actions.iter().any(began) {
        return Ok(Apart {
            outcome: whole(context, state, record, chosen, sink),
            left: Vec::new(),
            went: Vec::new(),
        });
    }
    let mut left = Vec::new();
    // What is added to the images before it turns out that nothing can be decided is not written.
    let mut known = None;
    let found = match look(context, record) {
        Ok(cut_short) => {
            if cut_short && others_may_have_written(record, at_once) {
                left.push(
                    "packages and accounts of the system went back as a whole: what others did to \
                     them since the upgrade was cut off can't be told from what it did"
                        .to_owned(),
                );
            }
            known = Some((record.images.clone(), record.header.images));
            decided(context, record, chosen)
        }
        Err(error) => Err(error),
    };
    let (decided, values) = match found {
        Ok(found) => found,
        // It goes back all the same: it may be what cuts everybody off.
        Err(error) => {
            let why = format!(
                "what others did meanwhile could not be told apart, and went with it: {}",
                words(&error)
            );
            sink(Event::NotAsBefore { why: why.clone() });
            if let Some((images, digest)) = known {
                record.images = images;
                record.header.images = digest;
            }
            for image in &mut record.images {
                image.undo = None;
            }
            context.let_go();
            return Ok(Apart {
                outcome: whole(context, state, record, chosen, sink),
                left: vec![why],
                went: Vec::new(),
            });
        }
    };
    let Decided {
        merged,
        theirs,
        stays,
        held: _,
        went,
    } = decided;
    for image in &mut record.images {
        // A script that was left at work may write it yet: it is put back when its turn comes.
        if image
            .undo
            .as_ref()
            .is_some_and(|undo| undo.from == undo.to && undo.to == image.before)
        {
            image.undo = None;
        }
    }
    let paths = |all: &[HostPath], what: &str| -> Vec<String> {
        all.iter().map(|path| format!("{path}: {what}")).collect()
    };
    left.extend(paths(&theirs, "left as others made it meanwhile"));
    left.extend(paths(&merged, "holds what others wrote meanwhile"));
    left.extend(stays);
    let actions = record.plan.actions.iter();
    let of_values = actions.filter(|action| values.contains(&action.id));
    let of_values = of_values.filter_map(|action| match &action.effect {
        Effect::Sysctl { key, .. } => Some(format!(
            "kernel parameter {key}: left as others set it meanwhile"
        )),
        Effect::Remount { path, .. } => {
            Some(format!("mount {path}: left as others mounted it meanwhile"))
        }
        _ => None,
    });
    left.extend(of_values);
    let chosen: BTreeSet<ActionId> = chosen.difference(&values).copied().collect();
    let mut batch = Batch::default();
    for image in &record.images {
        batch = batch.put(record.header.change.id, image_key(image), image);
    }
    // It knows of the images that were added, for whoever reads it after a crash.
    batch = batch.put(record.header.change.id, "", &record.header);
    state.journal().write(batch)?;
    state.images().keep_fresh();
    for why in &left {
        sink(Event::NotAsBefore { why: why.clone() });
    }
    if !went.is_empty() {
        sink(Event::WentAlong {
            paths: went.clone(),
        });
    }
    let outcome = put_as_decided(context, state, record, &chosen, sink);
    Ok(Apart {
        outcome,
        left,
        went,
    })
}

/// Of so many places it is said why they are in the way.
const SAID: usize = 5;

fn words(error: &UndoError) -> String {
    let UndoError::Conflict(obstacles) = error else {
        return error.to_string();
    };
    let said = obstacles.iter().take(SAID);
    let said: Vec<String> = said.map(super::Obstacle::words).collect();
    match obstacles.len().saturating_sub(SAID) {
        0 => said.join("; "),
        more => format!("{}; and {more} more", said.join("; ")),
    }
}

/// As if nobody else had been there.
fn whole(
    context: &Context<'_>,
    state: &State,
    record: &mut ChangeRecord,
    chosen: &BTreeSet<ActionId>,
    sink: &mut dyn FnMut(Event),
) -> Outcome {
    take_back(
        context,
        (state.journal(), record.header.change.id),
        &record.plan,
        &mut record.actions,
        &record.images,
        &|id| chosen.contains(&id),
        sink,
    )
}

/// Nobody else changes packages and accounts from here on. What the change left where it was not
/// looked at, since it did not come so far, is what is there. Was one of its upgrades cut short, or one of
/// its actions on accounts?
fn look(context: &Context<'_>, record: &mut ChangeRecord) -> Result<bool, UndoError> {
    let upgrades = upgrades(&record.plan);
    if !upgrades.is_empty() {
        context.hold_dpkg(LEFT_AT_WORK)?;
    }
    let of_accounts = |image: &Imaged| account::is_of_accounts(&image.path);
    if record.images.iter().any(of_accounts) {
        context.hold_accounts()?;
    }
    let open = record.actions.iter().filter(|one| one.state.is_cut_short());
    let open: BTreeSet<ActionId> = open.map(|one| one.id).collect();
    let mut unseen = Vec::new();
    for image in &mut record.images {
        // What an earlier action left there, one that was cut off has changed since.
        if image.after.is_none() || !image.actions.is_disjoint(&open) {
            let images = is_by_entry(&image.path).then_some(context.images);
            image.after = Some(image.now(context.root, images)?);
            unseen.push(image.path.clone());
        }
    }
    let cut_short: BTreeSet<ActionId> = record
        .actions
        .iter()
        .filter(|one| upgrades.contains(&one.id) && one.state.is_cut_short())
        .map(|one| one.id)
        .collect();
    // What no other step has written.
    let begun = record.actions.iter().filter(|one| one.state.was_begun());
    let begun: BTreeSet<ActionId> = begun.map(|one| one.id).collect();
    let is_its = |image: &&Imaged| {
        let mut of = image.actions.intersection(&begun).peekable();
        of.peek().is_some() && of.all(|id| cut_short.contains(id))
    };
    let all = record.images.iter().filter(is_its);
    let all: BTreeSet<HostPath> = all.map(|image| image.path.clone()).collect();
    unseen.retain(|path| all.contains(path));
    leave_people_out(context, record, &unseen)?;
    let is_open =
        |image: &Imaged| account::is_of_accounts(&image.path) && !image.actions.is_disjoint(&open);
    Ok(!cut_short.is_empty() || record.images.iter().any(is_open))
}

/// What people did to the accounts since is none of what an upgrade left that nobody has looked at.
fn leave_people_out(
    context: &Context<'_>,
    record: &mut ChangeRecord,
    unseen: &[HostPath],
) -> Result<(), UndoError> {
    let both = |path: &'static str| {
        let path = HostPath::literal(path);
        let mut images = record.images.iter();
        let image = images.find(|image| image.path == path);
        let read = |node: &Node| reads(context.images, node).unwrap_or_default();
        let nodes = image.map(|image| (&image.before, image.after.as_ref()));
        let (before, after) = nodes.map_or((None, None), |(before, after)| (Some(before), after));
        [before, after].map(|node| node.map(read).unwrap_or_default())
    };
    let (passwd, group) = (both("/etc/passwd"), both("/etc/group"));
    let people = People::of(
        &passwd.each_ref().map(Vec::as_slice),
        &group.each_ref().map(Vec::as_slice),
    );
    for image in &mut record.images {
        if !account::is_of_accounts(&image.path) || !unseen.contains(&image.path) {
            continue;
        }
        let path = str::from_utf8(image.path.as_bytes()).unwrap_or_default();
        let Some(after @ Node::File { .. }) = &image.after else {
            continue;
        };
        let (Some(before), Some(now)) = (
            reads(context.images, &image.before),
            reads(context.images, after),
        ) else {
            continue;
        };
        let Some(made) = people.as_before(path, &before, &now) else {
            continue;
        };
        if made != now
            && let Node::File { attributes, .. } = after
        {
            let stored = context.images.store_bytes(&made);
            let stored = stored.map_err(|error| {
                ActError::path("store what the upgrade made of", &image.path, error)
            })?;
            image.after = Some(Node::File {
                content: stored,
                size_bytes: made.len() as u64,
                attributes: attributes.clone(),
            });
        }
    }
    Ok(())
}

/// Is any of the databases that all share other than it was? At once after an upgrade that failed,
/// nobody but it can have written the package managers' own.
fn others_may_have_written(record: &ChangeRecord, at_once: bool) -> bool {
    record.images.iter().any(|image| {
        let is_other = |now: &Node| !now.same_as(&image.before);
        is_by_entry(&image.path)
            && (!at_once || account::is_of_accounts(&image.path))
            && image.after.as_ref().is_some_and(is_other)
    })
}

/// What becomes of each path of these actions, as in an undo that leaves the others; and the actions
/// whose values others have set meanwhile.
fn decided(
    context: &Context<'_>,
    record: &mut ChangeRecord,
    chosen: &BTreeSet<ActionId>,
) -> Result<(Decided, BTreeSet<ActionId>), UndoError> {
    let choice = Choice {
        keep_theirs: true,
        by_itself: true,
        ..Choice::default()
    };
    let actions = record.plan.actions.iter().map(|action| action.id);
    let others = actions.filter(|id| !chosen.contains(id)).collect();
    let leaves = std::mem::replace(&mut record.header.leaves, others);
    let decided = decide(context, record, &choice);
    let mut values = std::mem::replace(&mut record.header.leaves, leaves);
    values.retain(|id| chosen.contains(id));
    Ok((decided?, values))
}
