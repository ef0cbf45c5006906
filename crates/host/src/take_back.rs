//! Taking actions back: the same for a change set that failed, for an interrupted change, for
//! one that nobody confirmed, and for an undo. Every step can be done twice.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::{Action, ActionId, ChangeId, Digest, Effect, HostPath, Outside, Plan};
use rustix::fs::Statx;

use crate::act::health::{self, Watched};
use crate::act::held::LEFT_AT_WORK;
use crate::act::{self, Context, account, bulk, file, unit, upgrade};
use crate::checked;
use crate::event::Event;
use crate::image::Node;
use crate::journal::{ActionRecord, ActionState, Batch, Imaged, Journal, Kept, Role};
use crate::mounted::Mounted;
use crate::records::shared;
use crate::state::StateError;

/// Every path, value, unit and package of a taking back was looked at when it was over, and is
/// as it was. Nothing makes one but [`Outcome::proof`], and nothing is called as it was without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsBefore {
    seen: usize,
}

impl AsBefore {
    /// So many paths and values were looked at.
    pub const fn seen(&self) -> usize {
        self.seen
    }
}

/// How a taking back went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What could not be put back, and why.
    pub stuck: Vec<String>,
    /// What was told to go back, and can't be looked at, and whether a process that can't be runs on with
    /// what was taken away.
    pub unseen: Vec<String>,
    /// Processes that run on with what was taken away, or with what was there until then.
    pub running: Vec<String>,
    /// Paths of the change that were looked at, are not as they were before it, and were not to go
    /// back now: what others wrote stays in them.
    pub differing: Vec<HostPath>,
    /// Files that were seen to be as they were, and that units wrote anew when they started, or others
    /// when the accounts were let go.
    pub anew: Vec<HostPath>,
    /// Values, units and packages that were looked at, and are as they were.
    pub values: usize,
    /// Something of it only for want of room.
    pub is_full: bool,
    /// Paths that were checked, and how many are as they were.
    pub paths: usize,
    pub same: usize,
}

impl Outcome {
    /// Was everything seen to be as it was, and did nothing change but what goes back?
    pub fn proof(&self, outside: &Outside) -> Option<AsBefore> {
        let all = outside.is_empty()
            && self.stuck.is_empty()
            && self.unseen.is_empty()
            && self.running.is_empty()
            && self.differing.is_empty()
            && self.anew.is_empty();
        (all && self.same == self.paths).then_some(AsBefore {
            seen: self.paths + self.values,
        })
    }

    /// What is not as it was, or can't be looked at, though nothing failed.
    pub fn reservations(&self) -> Vec<String> {
        let anew = self.anew.iter();
        let anew = anew.map(|path| format!("`{path}` was written anew when a service started"));
        let differing = self.differing.iter();
        let differing = differing.map(|path| format!("`{path}` is not as it was"));
        let unseen = self.unseen.iter().chain(&self.running).cloned();
        anew.chain(differing).chain(unseen).collect()
    }

    /// Tells whoever watches how it went.
    pub fn tell(&self, id: ChangeId, sink: &mut dyn FnMut(Event)) {
        for why in &self.stuck {
            sink(Event::Stuck {
                id,
                why: why.clone(),
            });
        }
        sink(Event::TakenBack {
            id,
            same: self.same,
            of: self.paths,
            is_in_doubt: !self.reservations().is_empty(),
        });
    }

    /// Halfway for want of room is no end: the change stays as it is recorded, and recovery
    /// goes on as soon as there is room.
    pub fn refuse_halfway(&self, id: ChangeId) -> Result<(), StateError> {
        if !self.is_full {
            return Ok(());
        }
        let why = self.stuck.join("; ");
        Err(StateError::NoRoom { id, why })
    }
}

/// Takes back those actions of the change for which `which` holds, the last first.
pub fn take_back(
    context: &Context<'_>,
    journal: (&Journal, ChangeId),
    plan: &Plan,
    records: &mut [ActionRecord],
    images: &[Imaged],
    which: &dyn Fn(ActionId) -> bool,
    sink: &mut dyn FnMut(Event),
) -> Outcome {
    let mut outcome = Outcome::default();
    let chosen: BTreeSet<ActionId> = plan
        .actions
        .iter()
        .map(|action| action.id)
        .filter(|id| which(*id))
        .collect();
    let concerned: Vec<&Imaged> = images
        .iter()
        .filter(|image| !image.actions.is_disjoint(&chosen))
        .collect();
    if let Err(error) = file::sweep(context, concerned.iter().map(|image| &image.path)) {
        outcome.stuck.push(error.to_string());
    }
    if let Err(error) = hold(context, plan, &concerned, &chosen) {
        // Nothing was touched, and the next try finds all as it is.
        outcome.is_full |= error.is_full();
        outcome.stuck.push(error.to_string());
        return outcome;
    }
    let mut touched: BTreeMap<ActionId, Vec<&Imaged>> = BTreeMap::new();
    for image in concerned.iter().filter(|image| image.role == Role::Touched) {
        for action in &image.actions {
            touched.entry(*action).or_default().push(image);
        }
    }
    let mounted = match Mounted::now(context.root) {
        Ok(mounted) => mounted,
        // What lies where is not known, and nothing was touched.
        Err(error) => {
            outcome.stuck.push(error.to_string());
            return outcome;
        }
    };
    if let Some(mounted) = mounted {
        let elsewhere = concerned.iter().filter_map(|image| {
            let why = mounted.elsewhere(image)?;
            Some(format!("`{}` is left as it is: {why}", image.path))
        });
        let elsewhere: Vec<String> = elsewhere.collect();
        if !elsewhere.is_empty() {
            outcome.stuck.extend(elsewhere);
            return outcome;
        }
    }
    let mut done: BTreeSet<&HostPath> = BTreeSet::new();
    for action in in_turn(plan) {
        if !chosen.contains(&action.id) {
            continue;
        }
        let Some(record) = ActionRecord::of_mut(records, action.id) else {
            continue;
        };
        if !record.state.was_begun() {
            continue;
        }
        // A package's own configuration files are put back over what dpkg does with them.
        let packages_first = matches!(record.kept, Kept::Packages(_));
        let mut failed = Vec::new();
        let is_full = &mut outcome.is_full;
        let mut note = |error: &act::ActError| *is_full |= error.is_full();
        if packages_first && let Err(error) = take_kept_back(context, plan, action, record) {
            note(&error);
            failed.push(format!("{}: {error}", action.id));
        }
        let mine = touched.remove(&action.id).unwrap_or_default();
        failed.extend(put_paths_back(
            context, action, record, mine, &mut done, sink, &mut note,
        ));
        if !packages_first
            && !action.effect.is_activation()
            && let Err(error) = take_kept_back(context, plan, action, record)
        {
            note(&error);
            failed.push(format!("{}: {error}", action.id));
        }
        if failed.is_empty() {
            record.state = ActionState::TakenBack;
            let (journal, change) = journal;
            let batch = Batch::default().put(change, ActionRecord::key(record.id), record);
            if let Err(error) = journal.write(batch) {
                outcome.is_full |= error.is_full();
                failed.push(error.to_string());
            }
        }
        outcome.stuck.extend(failed);
        context.crash.here("action taken back");
    }
    for image in &concerned {
        if let Node::Directory { attributes } = &image.before
            && let Err(error) = file::set_directory_time(context, &image.path, attributes.modified)
        {
            outcome.stuck.push(error.to_string());
        }
    }
    context.crash.here("directory times set");
    // What a unit's start writes anew, or whoever waited for the accounts, is told apart from what
    // did not go back.
    let was_back = back_before_others(context, plan, &chosen, &concerned);
    context.let_go_of_accounts();
    if context.root.is_live() {
        let watched = repeat_activations(context, plan, records, &concerned, &chosen, &mut outcome);
        settle_units(context, records, &chosen, &mut outcome);
        stay_up(&watched, &mut outcome);
        context.crash.here("units watched");
    }
    let seen = Seen {
        context,
        images: &concerned,
        was_back: &was_back,
    };
    check(&seen, journal, records, &chosen, &mut outcome);
    context.let_go();
    outcome
}

/// What others write as well is held before it is written, the package manager first: its scripts
/// want the accounts.
fn hold(
    context: &Context<'_>,
    plan: &Plan,
    images: &[&Imaged],
    chosen: &BTreeSet<ActionId>,
) -> Result<(), act::ActError> {
    if !images
        .iter()
        .any(|image| account::is_of_accounts(&image.path))
    {
        return Ok(());
    }
    if !crate::apply::upgrades(plan).is_disjoint(chosen) {
        context.hold_dpkg(LEFT_AT_WORK)?;
    }
    context.hold_accounts()
}

/// The last action first. Modules come when every file is back: while one still forbids a
/// module, or a module that it needs, modprobe(8) does not load it.
fn in_turn(plan: &Plan) -> impl Iterator<Item = &Action> {
    let (modules, others): (Vec<&Action>, Vec<&Action>) = plan
        .actions
        .iter()
        .rev()
        .partition(|action| matches!(action.effect, Effect::Module { .. }));
    others.into_iter().chain(modules)
}

/// What was kept for the way back is not needed any more. Directories keep the times that
/// the change gave them.
pub fn tidy(context: &Context<'_>, images: &[Imaged]) -> Result<(), act::ActError> {
    file::sweep(context, images.iter().map(|image| &image.path))?;
    for image in images {
        if let (Role::Parent, Some(Node::Directory { attributes })) = (image.role, &image.after) {
            match file::set_directory_time(context, &image.path, attributes.modified) {
                // Its owner has put a link on the way since: the time is theirs.
                Ok(()) | Err(act::ActError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Puts back what is in no file. An action that was begun, or failed, may have done nothing: what was
/// kept tells.
fn take_kept_back(
    context: &Context<'_>,
    plan: &Plan,
    action: &Action,
    record: &mut ActionRecord,
) -> Result<(), act::ActError> {
    match (&record.kept, &record.state) {
        // It is not known whether a command ran; its way back is only right after it did.
        (Kept::Effect(_) | Kept::Irreversible { .. }, ActionState::TakenBack) => Ok(()),
        (Kept::Again(_), ActionState::TakenBack) => Ok(()),
        // What is in effect is not run once more.
        (Kept::Again(again), state) => {
            match checked::is_as_wanted(context.root, plan, action) {
                Some(true) => record.kept = Kept::Nothing,
                None if *state == ActionState::Begun => {
                    let said = checked::not_run(
                        again,
                        "whether it is in effect can't be told, and it may be",
                    );
                    record.kept = Kept::Unseen { said };
                }
                Some(false) | None => act::take_back(context, &record.kept)?,
            }
            Ok(())
        }
        // `createdb` that failed since the database is there already has made nothing that its
        // `dropdb` could take back.
        (Kept::Effect(back), ActionState::Failed { .. } | ActionState::Begun)
            if checked::is_as_wanted(context.root, plan, action) != Some(true) =>
        {
            let not_run = checked::not_run(
                back,
                "its command failed or was cut off, and what is there may not be its work",
            );
            // For as long as the change is known: nothing that is done later has looked at it.
            record.kept = Kept::Unseen { said: not_run };
            Ok(())
        }
        (kept, _) => act::take_back(context, kept),
    }
}

fn put_paths_back<'a>(
    context: &Context<'_>,
    action: &Action,
    record: &ActionRecord,
    mut mine: Vec<&'a Imaged>,
    done: &mut BTreeSet<&'a HostPath>,
    sink: &mut dyn FnMut(Event),
    note: &mut dyn FnMut(&act::ActError),
) -> Vec<String> {
    let mut stuck = Vec::new();
    mine.retain(|image| !done.contains(&image.path));
    // What was not there goes from the leaves up, what was there comes from the root down.
    mine.sort_by(|a, b| a.path.cmp(&b.path));
    if let Effect::Upgrade { writes, .. } = &action.effect
        && let Err(error) = stop_what_goes(context, record, &mine)
            // Until all is checked: dpkg's database is among what goes back.
            .and_then(|()| context.hold_dpkg(LEFT_AT_WORK))
            .and_then(|()| upgrade::sweep(context, writes, cut_short(record)))
            .and_then(|()| {
                let ways = mine.iter().map(|image| (&image.path, &image.before));
                bulk::begin(context, ways)
            })
    {
        note(&error);
        return vec![error.to_string()];
    }
    // One database or setting that others have written meanwhile, and nothing is touched: half of an
    // undo is none.
    let decided = mine.iter().filter(|image| is_decided(record, image));
    let written: Vec<String> = decided
        .filter_map(|image| foreign(context, action, record, image))
        .collect();
    if !written.is_empty() {
        bulk::give_up(context);
        return written;
    }
    let (gone, kept): (Vec<_>, Vec<_>) = mine
        .into_iter()
        .partition(|image| image.before == Node::Absent);
    let mut reload = false;
    for image in gone.into_iter().rev().chain(kept) {
        done.insert(&image.path);
        if let Some(why) = foreign(context, action, record, image) {
            stuck.push(why);
            continue;
        }
        match is_unseen(context, record, image) {
            Ok(false) => {}
            Ok(true) => {
                stuck.push(format!(
                    "`{}` was changed by someone else meanwhile, and is left as it is",
                    image.path
                ));
                continue;
            }
            Err(error) => {
                stuck.push(error.to_string());
                continue;
            }
        }
        let put_back = clear(context, record, image)
            .and_then(|()| file::put_back(context, &image.path, &image.before));
        match put_back {
            Ok(()) => {
                reload |= unit::is_read_by_systemd(&image.path);
                sink(Event::PutBack {
                    path: image.path.clone(),
                });
            }
            Err(error) => {
                note(&error);
                stuck.push(error.to_string());
            }
        }
        context.crash.here("path put back");
    }
    if let Err(error) = bulk::end(context) {
        note(&error);
        stuck.push(error.to_string());
    }
    if reload
        && context.root.is_live()
        && let Err(error) = unit::daemon_reload()
    {
        stuck.push(error.to_string());
    }
    stuck
}

/// Services that came with packages end before their files go, and with them what would start them
/// again and did not run before.
fn stop_what_goes(
    context: &Context<'_>,
    record: &ActionRecord,
    images: &[&Imaged],
) -> Result<(), act::ActError> {
    if !context.root.is_live() || !unit::is_booted() {
        return Ok(());
    }
    unit::stop_all(&what_stops(record, images)?)
}

/// The units that come from what goes of these, and what would start them again.
///
/// # Errors
/// When systemd can't be asked.
pub(crate) fn what_stops(
    record: &ActionRecord,
    images: &[&Imaged],
) -> Result<BTreeSet<String>, act::ActError> {
    let goes = images.iter().filter(|image| image.before == Node::Absent);
    let files: BTreeSet<HostPath> = goes.map(|image| image.path.clone()).collect();
    let mut stops = BTreeSet::new();
    for unit in unit::of_files(&files)? {
        let ran = |trigger: &String| match &record.kept {
            Kept::Upgrade { ran, .. } => ran.contains(trigger),
            _ => false,
        };
        stops.extend(unit.triggers.into_iter().filter(|trigger| !ran(trigger)));
        if !unit.is_at_rest {
            stops.insert(unit.name);
        }
    }
    Ok(stops)
}

/// There people write, and not services that are stopped.
pub(crate) fn is_peoples(path: &HostPath) -> bool {
    let places = ["/etc", "/home", "/opt", "/srv", "/usr/local", "/var/www"];
    places
        .iter()
        .any(|top| path.is_within(&HostPath::literal(top)))
}

/// What an undo has decided by what lay there.
fn is_decided(record: &ActionRecord, image: &Imaged) -> bool {
    let is_undone = matches!(
        record.kept,
        Kept::Upgrade {
            undone_since: Some(_),
            ..
        }
    );
    image.undo.is_some() && (shared(&image.path).is_some() || is_undone && is_peoples(&image.path))
}

/// Empties a directory that packages brought, and that goes: of all where that was accepted, else
/// of what their services wrote when they were stopped.
fn clear(
    context: &Context<'_>,
    record: &ActionRecord,
    image: &Imaged,
) -> Result<(), act::ActError> {
    let Kept::Upgrade {
        since,
        undone_since,
        stopped,
        ..
    } = &record.kept
    else {
        return Ok(());
    };
    if image.before != Node::Absent {
        return Ok(());
    }
    // An undo that was interrupted, and is completed hours later, takes nothing of these hours.
    let was_seen = |stat: &Statx| stopped.is_none_or(|looked| file::was_there(stat, looked));
    if image.all {
        file::clear_directory(context, &image.path, &was_seen)?;
    } else if !is_peoples(&image.path) {
        let from = undone_since.unwrap_or(*since);
        file::clear_directory(context, &image.path, &|stat| match stopped {
            // What was moved here since is as old as it was.
            Some(looked) => !file::is_changed_since(stat, *looked),
            None => file::is_born_since(stat, from),
        })?;
    }
    if stopped.is_none() || !matches!(image.after, Some(Node::Directory { .. })) {
        return Ok(());
    }
    let left = context.root.list(&image.path)?.unwrap_or_default();
    match left.first() {
        None => Ok(()),
        Some(name) => Err(act::ActError::refused(
            &image.path,
            format!(
                "`{}` is in it, and came when the undo had looked already",
                model::printable(name)
            ),
        )),
    }
}

/// Was a file that goes written when the undo had looked already?
fn is_unseen(
    context: &Context<'_>,
    record: &ActionRecord,
    image: &Imaged,
) -> Result<bool, act::ActError> {
    let looked = match record.kept {
        Kept::Upgrade {
            stopped: Some(looked),
            ..
        } if image.before == Node::Absent => looked,
        _ => return Ok(false),
    };
    if !file::is_written_since(context, &image.path, looked)? {
        return Ok(false);
    }
    let now = image.now(context.root, None)?;
    let known = [
        image.after.as_ref(),
        image.undo.as_ref().map(|undo| &undo.from),
    ];
    Ok(!known.into_iter().flatten().any(|known| now.same_as(known)))
}

/// When an upgrade began that did not come to its end.
fn cut_short(record: &ActionRecord) -> Option<Timestamp> {
    match &record.kept {
        Kept::Upgrade { since, .. } if record.state.is_cut_short() => Some(*since),
        _ => None,
    }
}

/// What is neither what was there nor what we put there belongs to somebody else, and is not written
/// over: other content, or a link, a directory or a device in the place of a file.
fn foreign(
    context: &Context<'_>,
    action: &Action,
    record: &ActionRecord,
    image: &Imaged,
) -> Option<String> {
    // What an unfinished change of accounts wrote is not known beforehand, nor what dpkg does
    // with configuration files.
    let is_file = matches!(action.effect, Effect::PutFile { .. });
    // A database of many is written by others at any time, settings by people, and what they were to
    // become was decided by what was in them.
    let is_upgrade = matches!(action.effect, Effect::Upgrade { .. }) && !is_decided(record, image);
    let open_ended = matches!(record.kept, Kept::Packages(_))
        || is_upgrade
        || matches!(
            record.state,
            ActionState::Begun | ActionState::Failed { .. }
        ) && !is_file;
    if open_ended {
        return None;
    }
    let now = match image.now(context.root, None) {
        Ok(now) => now,
        Err(error) => {
            return Some(format!(
                "what is at `{}` now can't be told, and is left as it is: {error}",
                image.path
            ));
        }
    };
    if is_ours(&action.effect, image, &now) {
        return None;
    }
    let is_other_kind = !matches!(now, Node::File { .. });
    let what = is_other_kind.then(|| format!(" ({} is there)", now.kind()));
    Some(format!(
        "`{}` was changed by someone else meanwhile, and is left as it is{}",
        image.path,
        what.unwrap_or_default()
    ))
}

/// Is this what was there before, or what this action put there?
fn is_ours(effect: &Effect, image: &Imaged, now: &Node) -> bool {
    let mut known = [
        Some(&image.before),
        image.after.as_ref(),
        image.undo.as_ref().map(|undo| &undo.from),
    ]
    .into_iter()
    .flatten();
    // Before the after-images are taken, only of a file it is known what was put there.
    let is_unknown = image.after.is_none() && !matches!(effect, Effect::PutFile { .. });
    match now {
        // Nobody loses anything by what comes there.
        Node::Absent => true,
        // Where only metadata was changed there is no content to judge. A file of others that is too
        // large to be read is told apart by that.
        Node::Unread { .. } => known.any(Node::is_unread),
        Node::File { content, .. } => {
            let put = match effect {
                Effect::PutFile { content, .. } => Some(Digest::of(content.as_bytes())),
                _ => None,
            };
            put.as_ref() == Some(content) || known.any(|node| node.content() == Some(*content))
        }
        Node::Directory { .. } => {
            is_unknown || known.any(|node| matches!(node, Node::Directory { .. }))
        }
        Node::Link { target, .. } => {
            let leads_there =
                |node: &Node| matches!(node, Node::Link { target: to, .. } if to == target);
            is_unknown || known.any(leads_there)
        }
        Node::Other { .. } => is_unknown || known.any(|node| node.same_as(now)),
    }
}

/// Running programs read what is there again, and those that ran before and do not any more
/// are brought up. Gives the units that must stay up now.
fn repeat_activations(
    context: &Context<'_>,
    plan: &Plan,
    records: &[ActionRecord],
    images: &[&Imaged],
    chosen: &BTreeSet<ActionId>,
    outcome: &mut Outcome,
) -> Vec<Watched> {
    let record = |id: ActionId| ActionRecord::of(records, id);
    // What was never begun left nothing to be read.
    let begun = |id: &ActionId| record(*id).is_some_and(|record| record.state.was_begun());
    let mut repeated: Vec<&Effect> = Vec::new();
    let mut watched = Vec::new();
    // A unit that goes back to rest has nothing to read, and is not brought up.
    let resting = goes_to_rest(records.iter().filter(|record| chosen.contains(&record.id)));
    let rests = |effect: &Effect| unit::told(effect).is_some_and(|told| resting.contains(told));
    let mut actions: Vec<&Action> = plan.actions.iter().collect();
    if let Err(error) = unit::sort_as_started(&mut actions, |action| unit::told(&action.effect)) {
        outcome.stuck.push(error.to_string());
    }
    for action in actions {
        let concerned = chosen.contains(&action.id) && begun(&action.id)
            || action
                .after
                .iter()
                .any(|before| chosen.contains(before) && begun(before));
        if !action.effect.is_activation() || !concerned || repeated.contains(&&action.effect) {
            continue;
        }
        repeated.push(&action.effect);
        if rests(&action.effect) {
            continue;
        }
        let kept = record(action.id).map_or(&Kept::Nothing, |record| &record.kept);
        match repeat(context, &action.effect, kept) {
            Ok(unit) => watched.extend(unit),
            Err(error) => outcome.stuck.push(error.to_string()),
        }
        context.crash.here("activation repeated");
    }
    for record in records.iter().filter(|record| chosen.contains(&record.id)) {
        if let Kept::Upgrade {
            ran, boot, since, ..
        } = &record.kept
            && begun(&record.id)
            && *boot == crate::apply::boot_id()
        {
            let files = images
                .iter()
                .filter(|image| image.actions.contains(&record.id));
            let files = files.map(|image| image.path.clone()).collect();
            let anew = || restart_what_was_restarted(&files, *since, &watched);
            let ended = rest_again(record, &files);
            match ended.and_then(|()| Ok((bring_up_what_ran(ran)?, anew()?))) {
                Ok((up, again)) => watched.extend(up.into_iter().chain(again)),
                Err(error) => outcome.stuck.push(error.to_string()),
            }
            context.crash.here("what ran runs again");
        }
    }
    watched
}

/// What rested before an upgrade, and was started by it, rests again. Of one that was cut off it is not
/// noted what it started: all that was since.
fn rest_again(record: &ActionRecord, files: &BTreeSet<HostPath>) -> Result<(), act::ActError> {
    let Kept::Upgrade {
        ran,
        started,
        since,
        ..
    } = &record.kept
    else {
        return Ok(());
    };
    if cut_short(record).is_none() {
        return unit::stop_all(&unit::up(started.iter())?);
    }
    let came = unit::started_since(&unit::up_beside(files, ran)?, *since)?;
    unit::stop_all(&came.into_iter().collect())
}

/// Units of the packages that were started since the upgrade run what it brought: they begin anew with
/// what is back. One that it left alone runs the old all the time.
fn restart_what_was_restarted(
    files: &BTreeSet<HostPath>,
    since: Timestamp,
    done: &[Watched],
) -> Result<Vec<Watched>, act::ActError> {
    let units = unit::of_files(files)?.into_iter();
    let names = units
        .filter(|unit| !unit.is_at_rest && !done.iter().any(|one| one.name == unit.name))
        .map(|unit| unit.name)
        .collect();
    let mut names = unit::started_since(&names, since)?;
    unit::sort_as_started(&mut names, |name| Some(name.as_str()))?;
    let mut watched = Vec::new();
    for name in names {
        unit::bring_up(&name)?;
        watched.push(Watched::now(&name)?);
    }
    Ok(watched)
}

/// What an upgrade ended, and what could not live with it, runs again, in systemd's order.
fn bring_up_what_ran(ran: &[String]) -> Result<Vec<Watched>, act::ActError> {
    let names: Vec<&str> = ran.iter().map(String::as_str).collect();
    let seen = health::look(&names)?;
    let both = names.into_iter().zip(seen);
    let mut down: Vec<&str> = both
        .filter(|(_, seen)| seen.has_ended())
        .map(|(name, _)| name)
        .collect();
    unit::sort_as_started(&mut down, |name| Some(*name))?;
    let mut watched = Vec::new();
    for name in down {
        if unit::is_gone(name)? {
            continue;
        }
        unit::bring_up(name)?;
        watched.push(Watched::now(name)?);
    }
    Ok(watched)
}

/// Tells it again. A unit that ran before is brought up, whatever became of it.
fn repeat(
    context: &Context<'_>,
    effect: &Effect,
    kept: &Kept,
) -> Result<Option<Watched>, act::ActError> {
    let Kept::Told { name, up, boot } = kept else {
        return act::act_again(context, effect).map(|()| None);
    };
    // What came with a package went with it, and has nothing to read again.
    if unit::is_gone(name)? {
        return Ok(None);
    }
    let before = health::look_at(name)?;
    // After a restart of the machine systemd has started what it should.
    let ran = *up && *boot == crate::apply::boot_id();
    if before.is_up() {
        match act::act_again(context, effect) {
            Ok(()) => {}
            Err(error) if !ran => return Err(error),
            // It has ended meanwhile, or refuses to read anew while it runs: a new start
            // reads what is there.
            Err(_) => unit::bring_up(name)?,
        }
    }
    if ran && !health::look_at(name)?.is_up() {
        unit::bring_up(name)?;
    }
    match ran || before.is_up() {
        true => Watched::now(name).map(Some),
        false => Ok(None),
    }
}

/// Watches the units. One that goes down may still die of what it read before it was told
/// anew, so it is brought up once, and that must last.
fn stay_up(watched: &[Watched], outcome: &mut Outcome) {
    let again = health::watch(watched).and_then(|down| {
        let mut up = Vec::new();
        for (name, _) in down {
            unit::bring_up(&name)?;
            up.push(Watched::now(&name)?);
        }
        health::watch(&up)
    });
    match again {
        Ok(down) => outcome.stuck.extend(
            down.into_iter()
                .map(|(name, why)| format!("`{name}` ran before, and does not stay up: {why}")),
        ),
        Err(error) => outcome.stuck.push(error.to_string()),
    }
}

/// A unit that was stopped again before its links went back may have been started once more
/// by what they led to: a socket, through an alias. Now that they are gone, it stays as told.
fn settle_units(
    context: &Context<'_>,
    records: &[ActionRecord],
    chosen: &BTreeSet<ActionId>,
    outcome: &mut Outcome,
) {
    for record in records.iter().filter(|record| chosen.contains(&record.id)) {
        if matches!(record.kept, Kept::Unit { .. })
            && record.state == ActionState::TakenBack
            && act::is_back(&record.kept) == Some(false)
            && let Err(error) = act::take_back(context, &record.kept)
        {
            outcome.stuck.push(error.to_string());
        }
    }
}

/// The files that are as they were before any unit is started again, and before others write
/// accounts. Only what is about to be written so is worth the look.
fn back_before_others<'a>(
    context: &Context<'_>,
    plan: &Plan,
    chosen: &BTreeSet<ActionId>,
    images: &[&'a Imaged],
) -> BTreeSet<&'a HostPath> {
    let starts = plan.actions.iter().any(|action| {
        let is_upgrade = matches!(action.effect, Effect::Upgrade { .. });
        (action.effect.is_activation() || is_upgrade)
            && (chosen.contains(&action.id) || action.after.iter().any(|id| chosen.contains(id)))
    });
    let starts = starts && context.root.is_live();
    let files = images
        .iter()
        .filter(|image| image.role == Role::Touched && matches!(image.before, Node::File { .. }));
    files
        .filter(|image| starts || account::is_of_accounts(&image.path))
        .filter(|image| {
            let now = image.now(context.root, None);
            now.is_ok_and(|now| now.exactly(&image.before))
        })
        .map(|image| &image.path)
        .collect()
}

/// The units that did not run before these actions, and that were started or stopped by them.
pub(crate) fn goes_to_rest<'a>(
    records: impl Iterator<Item = &'a ActionRecord>,
) -> BTreeSet<&'a str> {
    records
        .filter(|record| record.state.was_begun())
        .filter_map(|record| match &record.kept {
            Kept::Unit {
                name,
                active: Some(false),
                ..
            } => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

/// What the last look needs.
struct Seen<'a> {
    context: &'a Context<'a>,
    images: &'a [&'a Imaged],
    /// Files that were as they were before units were started, and others wrote accounts.
    was_back: &'a BTreeSet<&'a HostPath>,
}

/// Looks at everything again: a taking back is believed only when it is seen. An action of which
/// anything is not as it was counts as standing, so that the next undo tries it again.
fn check(
    seen: &Seen<'_>,
    (journal, id): (&Journal, ChangeId),
    records: &mut [ActionRecord],
    chosen: &BTreeSet<ActionId>,
    outcome: &mut Outcome,
) {
    let mut failed: BTreeMap<ActionId, String> = BTreeMap::new();
    let known = !outcome.stuck.is_empty();
    for image in seen.images {
        if image.role != Role::Touched {
            continue;
        }
        outcome.paths += 1;
        let why = match image.now(seen.context.root, None) {
            Ok(node) if node.exactly(&image.before) => {
                outcome.same += 1;
                continue;
            }
            Ok(node) if seen.was_back.contains(&image.path) => {
                match node.same_as(&image.before) {
                    true => outcome.same += 1,
                    false => outcome.anew.push(image.path.clone()),
                }
                continue;
            }
            // Somebody has deleted it, and only its metadata was ever changed.
            Ok(Node::Absent) if image.before.is_unread() => {
                outcome.differing.push(image.path.clone());
                continue;
            }
            Ok(node) => {
                let why = format!("`{}` is {}, and not as it was", image.path, node.kind());
                if !known {
                    outcome.stuck.push(why.clone());
                }
                why
            }
            Err(error) => {
                outcome.stuck.push(error.to_string());
                error.to_string()
            }
        };
        let concerned = image.actions.intersection(chosen);
        failed.extend(concerned.map(|action| (*action, why.clone())));
    }
    // A unit that goes back to rest is looked at as that, and not as one that was told something.
    let resting = goes_to_rest(records.iter().filter(|record| chosen.contains(&record.id)));
    for record in records.iter().filter(|record| chosen.contains(&record.id)) {
        let rests =
            matches!(&record.kept, Kept::Told { name, .. } if resting.contains(name.as_str()));
        if record.state != ActionState::TakenBack || rests {
            continue;
        }
        match act::is_back(&record.kept) {
            Some(true) => outcome.values += usize::from(record.kept != Kept::Nothing),
            Some(false) => {
                let why = format!("{} is not taken back", record.id);
                outcome.stuck.push(why.clone());
                failed.insert(record.id, why);
            }
            None => outcome.unseen.push(called(record)),
        }
    }
    for (action, why) in failed {
        let record = ActionRecord::of_mut(records, action);
        let Some(record) = record.filter(|record| record.state == ActionState::TakenBack) else {
            continue;
        };
        record.state = ActionState::Failed { why };
        let batch = Batch::default().put(id, ActionRecord::key(record.id), record);
        if let Err(error) = journal.write(batch) {
            outcome.is_full |= error.is_full();
            outcome.stuck.push(error.to_string());
        }
    }
}

/// What was told to go back, as people know it: numbers of actions stand nowhere else.
fn called(record: &ActionRecord) -> String {
    match &record.kept {
        Kept::Effect(run) | Kept::Again(run) => format!("{} was run", checked::way_back(run)),
        Kept::Unseen { said } => said.clone(),
        Kept::Told { name, .. } | Kept::Unit { name, .. } => name.clone(),
        Kept::Upgrade { ran, .. } => format!("services of packages: {}", ran.join(", ")),
        _ => format!("{} was told to go back", record.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_put_in_the_place_of_a_file_is_theirs() {
        let attributes = || {
            let json =
                r#"{"mode":"0644","uid":0,"gid":0,"modified":{"seconds":0,"nanoseconds":0}}"#;
            serde_json::from_str(json).expect("attributes")
        };
        let file = |text: &str| Node::File {
            content: Digest::of(text.as_bytes()),
            size_bytes: text.len() as u64,
            attributes: attributes(),
        };
        let directory = || Node::Directory {
            attributes: attributes(),
        };
        let unread = || Node::Unread {
            attributes: attributes(),
        };
        let path = || HostPath::literal("/etc/x");
        let put = Effect::PutFile {
            path: path(),
            content: model::Blob::from("new"),
            mode: None,
            owner: None,
            group: None,
            as_user: None,
            drop_acl: false,
        };
        let remove = Effect::Remove { path: path() };
        let image = |before: Node, after: Option<Node>| {
            let mut image = Imaged::new(path(), Role::Touched, before);
            image.after = after;
            image
        };
        let changed = || image(file("old"), Some(file("new")));
        let cases = [
            ("as before", &put, changed(), file("old"), true),
            ("as put", &put, changed(), file("new"), true),
            (
                "put, not yet looked at",
                &put,
                image(file("old"), None),
                file("new"),
                true,
            ),
            ("gone", &put, changed(), Node::Absent, true),
            ("other content", &put, changed(), file("theirs"), false),
            ("a directory", &put, changed(), directory(), false),
            (
                "a directory, not yet looked at",
                &put,
                image(file("old"), None),
                directory(),
                false,
            ),
            ("too large to be read", &put, changed(), unread(), false),
            (
                "only its mode is changed",
                &put,
                image(unread(), Some(unread())),
                unread(),
                true,
            ),
            (
                "removed",
                &remove,
                image(file("old"), Some(Node::Absent)),
                directory(),
                false,
            ),
            (
                "removed, and back",
                &remove,
                image(file("old"), Some(Node::Absent)),
                file("old"),
                true,
            ),
            (
                "our directory",
                &remove,
                image(directory(), Some(Node::Absent)),
                directory(),
                true,
            ),
        ];
        for (what, effect, image, now, wanted) in cases {
            assert_eq!(is_ours(effect, &image, &now), wanted, "{what}");
        }
    }

    #[test]
    fn nothing_is_proven_where_anything_is_otherwise_or_unseen() {
        let path = || HostPath::literal("/etc/x");
        let whole = || Outcome {
            paths: 2,
            same: 2,
            values: 1,
            ..Outcome::default()
        };
        let nothing = Outside::default();
        assert_eq!(
            whole().proof(&nothing).map(|proof| proof.seen()),
            Some(3),
            "all was looked at"
        );
        let outside = Outside {
            paths: vec![path()],
            total: 1,
            unreadable: 0,
        };
        assert_eq!(whole().proof(&outside), None);
        assert_eq!(whole().proof(&Outside::unseen()), None);
        for (what, outcome) in [
            (
                "stuck",
                Outcome {
                    stuck: vec!["x".to_owned()],
                    ..whole()
                },
            ),
            (
                "unseen",
                Outcome {
                    unseen: vec!["x".to_owned()],
                    ..whole()
                },
            ),
            (
                "running",
                Outcome {
                    running: vec!["x".to_owned()],
                    ..whole()
                },
            ),
            (
                "differing",
                Outcome {
                    differing: vec![path()],
                    ..whole()
                },
            ),
            (
                "anew",
                Outcome {
                    anew: vec![path()],
                    ..whole()
                },
            ),
            ("not the same", Outcome { same: 1, ..whole() }),
        ] {
            assert_eq!(outcome.proof(&nothing), None, "{what}");
            let said = outcome.reservations().len();
            assert_eq!(
                said,
                usize::from(!matches!(what, "stuck" | "not the same")),
                "{what}"
            );
        }
    }
}
