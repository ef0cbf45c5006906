//! What becomes of each path of a change that is undone: everything is decided before anything is
//! touched. Shared databases go by entry, data as a whole; what others made or need stays, or stands in
//! the way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use model::count::plural;
use model::patching::DATA_TOPS;
use model::{ActionId, Effect, HostPath};

mod people;

use super::accounts::Stay;
use super::path::{
    Stop, Verdict, decide_path, decide_upgraded, difference, directory_time, invert_attributes,
    without_our_lines,
};
use super::upgraded::{self, Packages};
use super::{Choice, Obstacle, UndoError, standing};
use crate::act::upgrade::{beside_of, besides};
use crate::act::{ActError, Context, LastLink, Root, package, runtime, unit};
use crate::apply::upgrades;
use crate::checked;
use crate::image::{FileTime, Node};
use crate::journal::{ActionRecord, Imaged, Kept, Role, UndoTo};
use crate::mounted::Mounted;
use crate::records::accounts::taken;
use crate::records::entries::Three;
use crate::records::{Shared, is_by_entry, is_lock, shared};
use crate::services::Services;
use crate::state::{ChangeRecord, digest_of};
use crate::take_back::{goes_to_rest, is_peoples};

/// Of so many conflicts the contents are shown.
const DIFFERENCES_SHOWN: usize = 20;

/// Of package managers and of systemd: not data, but notes on what is installed.
const NOTES: [&str; 6] = [
    "/var/lib/apt",
    "/var/lib/dpkg",
    "/var/lib/pam",
    "/var/lib/python",
    "/var/lib/systemd",
    "/var/lib/ucf",
];

/// Is it where programs keep data?
pub(super) fn is_of_data(path: &HostPath) -> bool {
    let within = |tops: &[&'static str]| {
        tops.iter()
            .any(|top| path.is_within(&HostPath::literal(top)))
    };
    within(&DATA_TOPS) && !within(&NOTES)
}

/// The files that will not be byte for byte as before, and what else stays.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Hold what others changed since, without our lines.
    pub(super) merged: Vec<HostPath>,
    /// Left as others have made them since.
    pub(super) theirs: Vec<HostPath>,
    /// Where accounts that stay are written down, and their homes.
    pub(super) held: BTreeSet<HostPath>,
    /// Packages and accounts that stay, and why.
    pub(super) stays: Vec<String>,
    /// Written since by services of packages that go by themselves, and gone with them.
    pub(super) went: Vec<HostPath>,
}

/// Decides for every path what it becomes, and notes it in the record.
pub(super) fn decide(
    context: &Context<'_>,
    record: &mut ChangeRecord,
    choice: &Choice,
) -> Result<Decided, UndoError> {
    let id = record.header.change.id;
    let is_whole = record.header.leaves.is_empty();
    if choice.keep_theirs {
        // In effect as others have set them, and to be undone another time.
        let values = changed_values(record, &standing(record));
        let values = values.into_iter().map(|(action, _)| action);
        record.header.leaves.extend(values);
    }
    let standing = standing(record);
    let upgrades: BTreeSet<ActionId> = upgrades(&record.plan)
        .intersection(&standing)
        .copied()
        .collect();
    let packages = match upgrades.is_empty() {
        true => None,
        false => Packages::of(context, record, &upgrades)?,
    };
    let mut deciding = Deciding {
        context,
        choice,
        upgrades: &upgrades,
        packages: packages.as_ref(),
        services: services_of(context, record, &upgrades, choice),
        decided: Decided::default(),
        obstacles: Vec::new(),
        logs: BTreeSet::new(),
        ways: BTreeMap::new(),
    };
    // While the rest of the change is carried out, its images are as they were noted.
    if !choice.by_itself || is_whole {
        deciding.add_what_goes_along(record)?;
    }
    deciding.look_at_paths(record, &standing)?;
    deciding.settle_people(record, &standing)?;
    deciding.settle_data(record)?;
    deciding.settle_rest(record)?;
    deciding.settle_shared(record)?;
    deciding.settle_running(record)?;
    let Deciding {
        mut decided,
        mut obstacles,
        logs,
        ways,
        ..
    } = deciding;
    if !decided.theirs.is_empty() {
        decided.stays.extend(leave_commands(record, &standing));
    }
    decided.theirs.extend(logs);
    let is_merged = |way: &Way| matches!(way.verdict, Verdict::Become(Node::File { .. }));
    let merged = ways.iter().filter(|(_, way)| is_merged(way));
    decided.merged = merged.map(|(path, _)| path.clone()).collect();
    for image in &mut record.images {
        let Some(way) = ways.get(&image.path) else {
            continue;
        };
        image.undo = match &way.verdict {
            // What it rests on is looked at again before it is written over.
            Verdict::Exact
                if is_by_entry(&image.path)
                    || way.is_packaged && is_peoples(&image.path)
                    || choice.by_itself && matches!(image.before, Node::Directory { .. }) =>
            {
                Some(UndoTo {
                    from: way.current.clone(),
                    to: image.before.clone(),
                })
            }
            Verdict::Exact | Verdict::Blocked(_) => None,
            Verdict::Leave | Verdict::Stay => Some(UndoTo {
                from: way.current.clone(),
                to: way.current.clone(),
            }),
            Verdict::Become(to) => Some(UndoTo {
                from: way.current.clone(),
                to: to.clone(),
            }),
        };
    }
    let values = changed_values(record, &standing).into_iter();
    obstacles.extend(values.map(|(_, obstacle)| obstacle));
    obstacles.extend(made_in_places(context, record, &standing)?);
    let missing = missing_images(context, record, &standing)?;
    if !missing.is_empty() {
        return Err(UndoError::NoImage { id, paths: missing });
    }
    if !obstacles.is_empty() {
        // Thousands may be in the way, and a few of them are read by somebody.
        for obstacle in obstacles.iter_mut().skip(DIFFERENCES_SHOWN) {
            obstacle.difference = None;
        }
        return Err(UndoError::Conflict(obstacles));
    }
    Ok(decided)
}

/// The ways back of commands that this undo would run.
fn commands<'a>(
    record: &'a mut ChangeRecord,
    standing: &BTreeSet<ActionId>,
) -> impl Iterator<Item = (&'a mut Kept, Effect)> {
    record
        .actions
        .iter_mut()
        .filter(|action| standing.contains(&action.id))
        .filter_map(|action| match &action.kept {
            Kept::Effect(back) => {
                let back = (**back).clone();
                Some((&mut action.kept, back))
            }
            _ => None,
        })
}

/// Where others' work is left as it is, no command is run that may delete it: `dropdb` would, in a
/// directory of data that stays.
fn leave_commands(record: &mut ChangeRecord, standing: &BTreeSet<ActionId>) -> Vec<String> {
    let left = commands(record, standing).map(|(kept, back)| {
        let why = "it may undo what is left as it is; run it by hand where it does not";
        let said = checked::not_run(&back, why);
        *kept = Kept::Unseen { said: said.clone() };
        said
    });
    left.collect()
}

/// Did somebody make a new configuration file before dpkg did, which was cut off? It keeps its own
/// beside the path until then.
fn is_in_its_place(current: &Node, image: &Imaged) -> bool {
    *current != Node::Absent
        && is_peoples(&image.path)
        && besides(&image.path).any(|path| path.as_path().symlink_metadata().is_ok())
}

/// The services of packages that go by themselves; none where somebody asked.
fn services_of(
    context: &Context<'_>,
    record: &ChangeRecord,
    upgrades: &BTreeSet<ActionId>,
    choice: &Choice,
) -> Option<Services> {
    if !choice.by_itself || upgrades.is_empty() {
        return None;
    }
    let images = record.images.iter();
    let theirs = images.filter(|image| !image.actions.is_disjoint(upgrades));
    Some(Services::of(context, &theirs.collect::<Vec<_>>()))
}

/// One path on its way.
struct Way {
    current: Node,
    verdict: Verdict,
    /// Of packages alone.
    is_packaged: bool,
}

struct Deciding<'a> {
    context: &'a Context<'a>,
    choice: &'a Choice,
    upgrades: &'a BTreeSet<ActionId>,
    packages: Option<&'a Packages>,
    /// Whose data goes with packages that go by themselves.
    services: Option<Services>,
    decided: Decided,
    obstacles: Vec<Obstacle>,
    /// Directories in which was logged, and that stay.
    logs: BTreeSet<HostPath>,
    ways: BTreeMap<HostPath, Way>,
}

impl Deciding<'_> {
    /// What goes along with packages and is in no write set: files that only their newer versions
    /// have, and directories of logs in which nothing was logged.
    fn add_what_goes_along(&self, record: &mut ChangeRecord) -> Result<(), UndoError> {
        let Some(packages) = self.packages else {
            return Ok(());
        };
        let mut added = Vec::new();
        for path in packages.only_newer.iter().chain(&packages.logs) {
            let (_, now) = Node::capture(self.context.root, path, LastLink::Itself, None)?;
            let goes = match &now {
                Node::Absent => false,
                // What lies in it is seen when it is looked at.
                Node::Directory { .. } if packages.logs.contains(path) => true,
                Node::File { .. } => {
                    packages.only_newer.contains(path)
                        && packages.is_packaged(self.context, path)?
                }
                Node::Directory { .. } | Node::Link { .. } => packages.only_newer.contains(path),
                _ => false,
            };
            if goes {
                let mut image = Imaged::new(path.clone(), Role::Touched, Node::Absent);
                image.after = Some(now);
                image.actions.clone_from(self.upgrades);
                added.push(image);
            }
        }
        added.retain(|image| !has(record, &image.path));
        if !added.is_empty() {
            record.images.extend(added);
            record.images.sort_by(|a, b| a.path.cmp(&b.path));
            record.header.images = Some(digest_of(&record.images));
        }
        Ok(())
    }

    /// What is there at each path now, and what that means.
    fn look_at_paths(
        &mut self,
        record: &mut ChangeRecord,
        standing: &BTreeSet<ActionId>,
    ) -> Result<(), UndoError> {
        let leaves = record.header.leaves.clone();
        let made: BTreeSet<HostPath> = record
            .images
            .iter()
            .filter(|image| image.role == Role::Touched && image.before == Node::Absent)
            .map(|image| image.path.clone())
            .collect();
        let mounted = Mounted::now(self.context.root)?;
        let cut_short = record.actions.iter();
        let cut_short = cut_short.filter(|one| one.state.is_cut_short());
        let cut_short: BTreeSet<ActionId> = cut_short.map(|one| one.id).collect();
        for image in &mut record.images {
            if image.actions.is_disjoint(standing) {
                continue;
            }
            image.all = false;
            let look =
                |images| Node::capture(self.context.root, &image.path, LastLink::Itself, images);
            let (_, mut current) = look(None)?;
            let after = image.after.clone().unwrap_or_else(|| image.before.clone());
            // What an undo before this one has decided, and carried out.
            let earlier = image.undo.take().map(|undo| undo.to);
            // What was cut off, an action or a taking back by itself, has written into a directory.
            let is_written = self.choice.by_itself
                && (earlier.as_ref() == Some(&image.before)
                    || !image.actions.is_disjoint(&cut_short));
            if image.role == Role::Parent {
                let is_left = !image.actions.is_disjoint(&leaves);
                // An undo that did not work out has put the time back already.
                let is_ours = [&after, &image.before]
                    .iter()
                    .any(|ours| directory_time(ours) == directory_time(&current));
                if is_left || !(is_ours || is_written) {
                    image.undo = Some(UndoTo {
                        from: current.clone(),
                        to: current,
                    });
                } else if self.choice.by_itself {
                    image.undo = Some(UndoTo {
                        from: current,
                        to: image.before.clone(),
                    });
                }
                continue;
            }
            let is_packaged = !image.actions.is_disjoint(self.upgrades);
            let is_shared = is_packaged && shared(&image.path).is_some();
            let is_known = current.same_as(&after) || current.same_as(&image.before);
            // What is too large to be kept is not merged either.
            if (is_shared || !is_known) && !current.is_unread() {
                // It will be merged, or shown.
                (_, current) = look(Some(self.context.images))?;
            }
            let verdict = match is_packaged {
                // It may be gone by now with another change that made it.
                _ if is_lock(&image.path) && !is_known => Ok(Verdict::Leave),
                _ if earlier
                    .as_ref()
                    .is_some_and(|to| *to == current && *to != image.before) =>
                {
                    Ok(Verdict::Become(current.clone()))
                }
                _ if is_written && matches!(image.before, Node::Directory { .. }) && is_known => {
                    Ok(Verdict::Exact)
                }
                // By entry, when it is known whose each is.
                false if people::is_by_entry(image, &after, &current) => Ok(Verdict::Leave),
                false => {
                    decide_path(self.context.images, image, &after, &current).or_else(|stop| {
                        match self.choice.by_itself {
                            true => without_our_lines(self.context.images, image, &after, &current)
                                .unwrap_or(Err(stop)),
                            false => Err(stop),
                        }
                    })
                }
                true => self.look_at_packaged(image, &after, &current, &made),
            };
            let elsewhere = mounted
                .as_ref()
                .and_then(|mounted| mounted.elsewhere(image));
            let verdict = match verdict {
                _ if elsewhere.is_some() => Verdict::Blocked(Obstacle {
                    what: image.path.to_string(),
                    why: elsewhere.unwrap_or_default(),
                    difference: None,
                }),
                Ok(verdict) => verdict,
                Err(Stop::Obstacle(obstacle)) => Verdict::Blocked(obstacle),
                Err(Stop::Failed(error)) => return Err(error.into()),
            };
            self.ways.insert(
                image.path.clone(),
                Way {
                    current,
                    verdict,
                    is_packaged,
                },
            );
        }
        Ok(())
    }

    fn look_at_packaged(
        &self,
        image: &Imaged,
        after: &Node,
        current: &Node,
        made: &BTreeSet<HostPath>,
    ) -> Result<Verdict, Stop> {
        if self.choice.by_itself && image.before == Node::Absent && is_in_its_place(current, image)
        {
            return Err(Stop::Obstacle(Obstacle {
                what: image.path.to_string(),
                why: "somebody made it before dpkg came to it".to_owned(),
                difference: None,
            }));
        }
        if let Some(packages) = self.packages {
            // By now it is another package's, as well.
            let is_of_others =
                image.before == Node::Absent && packages.of_others.contains(&image.path);
            let stays = packages.stays(&image.path, &|path| made.contains(path));
            if is_of_others || stays.is_some() {
                return Ok(Verdict::Stay);
            }
            if let Some(verdict) = upgraded::by_kind(packages, image, after, current) {
                return Ok(verdict);
            }
            if is_by_entry(&image.path) {
                // Decided by entry, when it is known what else goes.
                return Ok(Verdict::Leave);
            }
            if packages.keeps_any() && packages.is_collected(image) {
                return Ok(Verdict::Stay);
            }
            let is_changed = !current.same_as(after) && !current.same_as(&image.before);
            if is_changed
                && image.before == Node::Absent
                && packages
                    .is_packaged(self.context, &image.path)
                    .map_err(Stop::Failed)?
            {
                return Ok(Verdict::Exact);
            }
        }
        Ok(decide_upgraded(self.context.images, image, after, current)?)
    }

    /// Places of data: as they are now they stay or go as a whole.
    fn settle_data(&mut self, record: &mut ChangeRecord) -> Result<(), ActError> {
        let places = self.places_of_data(record);
        let standing = standing(record);
        let run: Vec<String> = commands(record, &standing)
            .map(|(_, back)| checked::way_back(&back))
            .collect();
        let run = match run.is_empty() {
            true => String::new(),
            false => format!(", and {} is run then", run.join(", ")),
        };
        for place in places {
            let blocked: Vec<HostPath> = self
                .ways
                .iter()
                .filter(|(path, way)| {
                    path.is_within(&place) && matches!(way.verdict, Verdict::Blocked(_))
                })
                .map(|(path, _)| path.clone())
                .collect();
            let strange = self.strangers(record, &place)?;
            // What services write there at their stop is accepted too.
            let is_as_left = blocked.is_empty() && strange.is_empty();
            if is_as_left && !self.choice.accept_data_loss {
                continue;
            }
            let others = self.packages.and_then(|packages| {
                let mut within = packages.of_others.iter();
                within.find(|path| path.is_within(&place) && may_be_there(path))
            });
            if is_as_left && others.is_some() {
                continue;
            }
            if let (true, Some(path)) = (self.choice.accept_data_loss, others) {
                self.obstacles.push(Obstacle {
                    what: place.to_string(),
                    why: format!("`{path}` is of a package that stays, and lies in it"),
                    difference: None,
                });
                continue;
            }
            let mounted = Mounted::now(self.context.root)?;
            let mounted = mounted.as_ref().and_then(|mounted| mounted.below(&place));
            if let (true, Some(point)) = (self.choice.accept_data_loss, mounted) {
                self.obstacles.push(Obstacle {
                    what: place.to_string(),
                    why: format!(
                        "something is mounted at `{point}`: umount(8) it first, if it may go"
                    ),
                    difference: None,
                });
                continue;
            }
            // Each is told apart by who wrote it.
            if self.choice.by_itself {
                continue;
            }
            if self.choice.accept_data_loss {
                for path in blocked {
                    if let Some(way) = self.ways.get_mut(&path) {
                        way.verdict = Verdict::Exact;
                    }
                }
                for image in &mut record.images {
                    image.all |= image.path.is_within(&place) && image.role == Role::Touched;
                }
                continue;
            }
            if self.choice.keep_theirs {
                for (path, way) in &mut self.ways {
                    if path.is_within(&place) {
                        way.verdict = Verdict::Leave;
                    }
                }
                self.keep_configuration(record, &place)?;
                self.decided.theirs.push(place);
                continue;
            }
            let first = blocked.iter().chain(&strange).min();
            let first = first.map_or_else(String::new, |path| format!("; `{path}` is one of them"));
            self.obstacles.push(Obstacle {
                what: place.to_string(),
                why: format!(
                    "data lies there that was written since: {}{first}; --keep-theirs leaves all of \
                     the directory, --accept-data-loss deletes it{run}",
                    plural(blocked.len() + strange.len(), "path")
                ),
                difference: None,
            });
            for path in blocked {
                // Said above, once.
                if let Some(way) = self.ways.get_mut(&path) {
                    way.verdict = Verdict::Exact;
                }
            }
            for (path, way) in &mut self.ways {
                if path.is_within(&place) && matches!(way.current, Node::Directory { .. }) {
                    way.verdict = Verdict::Leave;
                }
            }
        }
        Ok(())
    }

    /// What packages made below `/etc` for data that stays, it stays with it: a database is of no use
    /// without the files that say how it is run.
    fn keep_configuration(
        &mut self,
        record: &ChangeRecord,
        place: &HostPath,
    ) -> Result<(), ActError> {
        let Some(packages) = self.packages else {
            return Ok(());
        };
        let etc = HostPath::literal("/etc");
        let mut tops: Vec<HostPath> = Vec::new();
        // A directory comes before what lies in it.
        for image in &record.images {
            let path = &image.path;
            let is_made = self.ways.get(path).is_some_and(|way| {
                way.is_packaged
                    && image.before == Node::Absent
                    && matches!(way.current, Node::Directory { .. })
                    && !matches!(way.verdict, Verdict::Stay)
            });
            if is_made
                && path.is_within(&etc)
                && packages.belong_together(place, path)
                && !tops.iter().any(|top| path.is_within(top))
            {
                tops.push(path.clone());
            }
        }
        let is_kept = |path: &HostPath| tops.iter().any(|top| path.is_within(top));
        let mut theirs: Vec<HostPath> = Vec::new();
        for image in &record.images {
            if is_kept(&image.path) {
                theirs.extend(self.strangers_in(&image.path)?);
            }
        }
        for (path, way) in &mut self.ways {
            if is_kept(path) {
                if matches!(way.verdict, Verdict::Blocked(_)) {
                    theirs.push(path.clone());
                }
                way.verdict = Verdict::Leave;
            }
        }
        self.decided.theirs.extend(theirs);
        let told = tops
            .iter()
            .map(|top| format!("{top}: it belongs to the data in {place}"));
        self.decided.stays.extend(told);
        Ok(())
    }

    /// The topmost directories in which programs keep data, and that packages of the change made. What
    /// is made of one since is one thing: a database of which half is taken away is none.
    fn places_of_data(&self, record: &ChangeRecord) -> Vec<HostPath> {
        let mut places: Vec<HostPath> = Vec::new();
        // A directory comes before what lies in it.
        for image in &record.images {
            let Some(way) = self.ways.get(&image.path) else {
                continue;
            };
            if way.is_packaged
                && image.before == Node::Absent
                && matches!(way.current, Node::Directory { .. })
                && !matches!(way.verdict, Verdict::Stay)
                && is_of_data(&image.path)
                && !places.iter().any(|place| image.path.is_within(place))
            {
                places.push(image.path.clone());
            }
        }
        places
    }

    /// What lies in directories that the change made, below this one, and is none of the change's.
    fn strangers(
        &self,
        record: &ChangeRecord,
        place: &HostPath,
    ) -> Result<Vec<HostPath>, ActError> {
        let mut found = Vec::new();
        for image in &record.images {
            let is_made = image.role == Role::Touched && image.before == Node::Absent;
            if is_made && image.path.is_within(place) {
                found.extend(self.strangers_in(&image.path)?);
            }
        }
        Ok(found)
    }

    fn strangers_in(&self, directory: &HostPath) -> Result<Vec<HostPath>, ActError> {
        let mut found = self.unknown_in(directory)?;
        found.retain(|path| !self.is_of_services(path));
        Ok(found)
    }

    /// What lies in a directory that stays or goes with all of it, whoever wrote it.
    ///
    /// # Errors
    /// When it can't be listed: it may hold anything.
    fn unknown_in(&self, directory: &HostPath) -> Result<Vec<HostPath>, ActError> {
        let is_directory = |way: &Way| matches!(way.current, Node::Directory { .. });
        if !self.ways.get(directory).is_some_and(is_directory) {
            return Ok(Vec::new());
        }
        let mut found = entries_of(self.context.root, directory)?;
        found.retain(|path| {
            !self.ways.contains_key(path) && !self.is_of_others(path) && !self.is_of_dpkg(path)
        });
        Ok(found)
    }

    /// What dpkg had not finished beside a path of the change is swept away before anything else.
    fn is_of_dpkg(&self, path: &HostPath) -> bool {
        beside_of(path).is_some_and(|path| self.ways.contains_key(&path))
    }

    /// What services of the packages wrote goes with these by itself.
    fn is_of_services(&self, path: &HostPath) -> bool {
        let services = self.services.as_ref();
        services.is_some_and(|services| services.wrote(path))
    }

    /// Is there anything of a package in it that stays?
    fn holds_of_others(&self, directory: &HostPath) -> Result<bool, ActError> {
        let entries = entries_of(self.context.root, directory)?;
        Ok(entries.iter().any(|path| self.is_of_others(path)))
    }

    /// Is it a place of logs, that goes with packages?
    fn is_of_logs(&self, path: &HostPath) -> bool {
        let is_packaged = self.ways.get(path).is_some_and(|way| way.is_packaged);
        is_packaged && path.is_within(&HostPath::literal("/var/log"))
    }

    fn is_of_others(&self, path: &HostPath) -> bool {
        self.packages
            .is_some_and(|packages| packages.of_others.contains(path))
    }

    /// What packages made goes by itself as their services have it by now.
    fn goes_with_services(&self, image: &Imaged) -> bool {
        let is_packaged = |way: &Way| way.is_packaged;
        let left = image.after.as_ref().unwrap_or(&image.before);
        self.choice.by_itself
            && image.before == Node::Absent
            && self.ways.get(&image.path).is_some_and(is_packaged)
            && self
                .services
                .as_ref()
                .is_some_and(|services| services.has_changed(&image.path, left))
    }

    /// What still stands in the way, and the directories in which something stays: from the leaves
    /// up.
    fn settle_rest(&mut self, record: &mut ChangeRecord) -> Result<(), UndoError> {
        let mut holds: BTreeSet<HostPath> = BTreeSet::new();
        if self.choice.accept_data_loss {
            for image in &mut record.images {
                image.all |= self.is_of_logs(&image.path) && image.before == Node::Absent;
            }
        }
        for image in record.images.iter().rev() {
            let Some(way) = self.ways.get(&image.path) else {
                continue;
            };
            let mut verdict = way.verdict.clone();
            if matches!(verdict, Verdict::Blocked(_)) && self.goes_with_services(image) {
                verdict = Verdict::Exact;
            }
            if matches!(verdict, Verdict::Blocked(_))
                && image.before == Node::Absent
                && self.is_of_logs(&image.path)
                && !self.choice.by_itself
            {
                // Nobody is held up for the sake of a log, and nobody loses it unasked.
                verdict = match image.all {
                    true => Verdict::Exact,
                    false => {
                        self.logs.insert(image.path.clone());
                        Verdict::Leave
                    }
                };
            }
            if let Verdict::Blocked(obstacle) = verdict {
                let is_half = self
                    .packages
                    .is_some_and(|packages| packages.is_half(image));
                let may_stay = !way.is_packaged
                    || image.before == Node::Absent
                    || self.packages.is_some() && !is_half;
                verdict = match self.choice.keep_theirs && may_stay {
                    true => {
                        self.decided.theirs.push(image.path.clone());
                        Verdict::Leave
                    }
                    false if self.choice.by_itself && is_half => {
                        let why = "what others wrote there meanwhile went with it";
                        self.decided.stays.push(format!("{}: {why}", image.path));
                        Verdict::Exact
                    }
                    false => {
                        self.obstacles.push(obstacle);
                        Verdict::Exact
                    }
                };
            }
            let goes = image.before == Node::Absent && matches!(verdict, Verdict::Exact);
            let is_directory = matches!(way.current, Node::Directory { .. });
            if goes && is_directory && !image.all {
                let strangers = self.strangers_in(&image.path)?;
                let holds_of_others = self.holds_of_others(&image.path)?;
                match strangers.first() {
                    // Nobody is held up for their sake, and nobody loses them unasked.
                    Some(_) if self.is_of_logs(&image.path) && !self.choice.by_itself => {
                        self.logs.insert(image.path.clone());
                        verdict = Verdict::Leave;
                    }
                    Some(_) if self.choice.keep_theirs => {
                        // What services wrote beside it stays with the directory.
                        self.decided.theirs.extend(self.unknown_in(&image.path)?);
                        verdict = Verdict::Leave;
                    }
                    Some(strange) => self.obstacles.push(Obstacle {
                        what: image.path.to_string(),
                        why: format!(
                            "we made this directory, and someone has put `{}` into it since",
                            model::printable(strange.file_name())
                        ),
                        difference: None,
                    }),
                    None if holds.contains(&image.path) || holds_of_others => {
                        self.decided.theirs.extend(self.unknown_in(&image.path)?);
                        verdict = Verdict::Leave;
                    }
                    None if is_peoples(&image.path) || is_made_again(&image.path) => {}
                    None => self.decided.went.extend(self.unknown_in(&image.path)?),
                }
            }
            let is_there = !matches!(way.current, Node::Absent);
            let stays = match &verdict {
                Verdict::Exact => image.before != Node::Absent,
                Verdict::Become(to) => *to != Node::Absent,
                Verdict::Leave | Verdict::Stay => is_there,
                Verdict::Blocked(_) => true,
            };
            if stays && let Some(parent) = image.path.parent() {
                holds.insert(parent);
            }
            if let Some(way) = self.ways.get_mut(&image.path) {
                way.verdict = verdict;
            }
        }
        self.decided.theirs.sort();
        self.obstacles.sort_by(|a, b| a.what.cmp(&b.what));
        Ok(())
    }

    /// Databases that many share: by entry. Accounts whose files or processes are left stay.
    fn settle_shared(&mut self, record: &mut ChangeRecord) -> Result<(), UndoError> {
        let Some(packages) = self.packages else {
            return Ok(());
        };
        for pair in &packages.outlook.clashes {
            if self.choice.by_itself {
                let why = "packages can't be on a host like that: apt-get --fix-broken install";
                self.decided.stays.push(format!("{pair}: {why}"));
                continue;
            }
            self.obstacles.push(Obstacle {
                what: pair.clone(),
                why: "packages can't be on a host like that, and would be".to_owned(),
                difference: None,
            });
        }
        let (goes, gone) = self.what_goes(record);
        let images = record.images.iter();
        let whole: Vec<&HostPath> = images
            .filter(|image| image.all)
            .map(|image| &image.path)
            .collect();
        // Where a change goes by itself, what lies in a directory that goes is what its services wrote.
        let is_services = |path: &HostPath| {
            let mut above = path.parent();
            let mut tops = std::iter::from_fn(|| {
                let top = above.take()?;
                above = top.parent();
                Some(top)
            });
            self.choice.by_itself && (tops.any(|top| gone.contains(&top)) || is_made_again(path))
        };
        let is_in_whole =
            |path: &HostPath| is_services(path) || whole.iter().any(|top| path.is_within(top));
        let stay = packages.accounts(
            self.context,
            &record.images,
            &|path: &HostPath| goes.contains(path) || of_the_moment(path) || is_in_whole(path),
            &gone,
        )?;
        self.decided.stays.extend(packages.told());
        let mut stay = stay;
        self.refuse_taken(record, &mut stay)?;
        let told = |what: &str, of: &BTreeMap<String, String>| -> Vec<String> {
            of.iter()
                .map(|(name, why)| format!("{what} {name}: {why}"))
                .collect()
        };
        self.decided.stays.extend(told("account", &stay.users));
        self.decided.stays.extend(told("group", &stay.groups));
        self.refuse_lock_outs(record, &goes, &stay)?;
        let mut links = Vec::new();
        let mut verdicts = Vec::new();
        let mut kept = Vec::new();
        for image in &record.images {
            let Some(Shared::Entries(form)) = shared(&image.path) else {
                continue;
            };
            let Some(way) = self.ways.get(&image.path) else {
                continue;
            };
            if !way.is_packaged {
                continue;
            }
            let after = image.after.as_ref().unwrap_or(&image.before);
            let merged = packages.entries(
                self.context,
                image,
                form,
                &stay,
                &way.current,
                self.choice.keep_theirs,
            );
            let merged = match merged {
                Ok(Some((merged, theirs))) => {
                    kept.push((image, theirs));
                    merged
                }
                Ok(None) => {
                    match decide_upgraded(self.context.images, image, after, &way.current) {
                        Ok(verdict) => verdicts.push((image.path.clone(), verdict)),
                        Err(obstacle) => self.obstacles.push(obstacle),
                    }
                    continue;
                }
                Err(why) => {
                    self.obstacles.push(Obstacle {
                        what: image.path.to_string(),
                        why,
                        difference: difference(self.context.images, image, after, &way.current),
                    });
                    continue;
                }
            };
            let verdict = self.entries_become(image, after, &way.current, &merged)?;
            if upgraded::is_alternatives(&image.path) && !matches!(verdict, Verdict::Exact) {
                let now = upgraded::reads(self.context.images, &way.current).unwrap_or_default();
                links.extend(upgraded::links(self.context, &image.path, &merged, &now));
            }
            verdicts.push((image.path.clone(), verdict));
        }
        for (image, theirs) in kept {
            self.keep_entries(image, theirs);
        }
        for (path, verdict) in verdicts {
            if let Some(way) = self.ways.get_mut(&path) {
                way.verdict = verdict;
            }
        }
        // The copy of a database that nobody else has written goes back with it.
        for image in &record.images {
            let database = (shared(&image.path) == Some(Shared::Backup))
                .then(|| upgraded::database_of(&image.path))
                .flatten();
            let is_exact = |path: HostPath| {
                self.ways
                    .get(&path)
                    .is_some_and(|way| matches!(way.verdict, Verdict::Exact))
            };
            if database.is_some_and(is_exact)
                && let Some(way) = self.ways.get_mut(&image.path)
            {
                way.verdict = Verdict::Exact;
            }
        }
        self.settle_links(record, links)
    }

    /// Accounts and groups that packages took out, and whose name or number is another's by now.
    fn refuse_taken(&mut self, record: &ChangeRecord, stay: &mut Stay) -> Result<(), UndoError> {
        for (what, file) in [("account", "/etc/passwd"), ("group", "/etc/group")] {
            let packaged = record.images.iter().filter(|image| {
                let way = self.ways.get(&image.path);
                way.is_some_and(|way| way.is_packaged)
            });
            let texts = upgraded::contents(self.context, packaged, file)?;
            for (name, why) in taken(Three::of(&texts)) {
                if self.choice.keep_theirs {
                    match what {
                        "account" => stay.users.insert(name, why),
                        _ => stay.groups.insert(name, why),
                    };
                    continue;
                }
                self.obstacles.push(Obstacle {
                    what: format!("{what} {name}"),
                    why,
                    difference: None,
                });
            }
        }
        Ok(())
    }

    /// Processes that run what goes, and that no unit of the change holds. A service that writes its
    /// data when it ends could not be started again if that stands in the way, where it is masked.
    fn settle_running(&mut self, record: &ChangeRecord) -> Result<(), UndoError> {
        if self.packages.is_none() || self.choice.by_itself || self.choice.keep_theirs {
            return Ok(());
        }
        let (_, gone) = self.what_goes(record);
        let goes = record.images.iter();
        let goes: Vec<&Imaged> = goes.filter(|image| gone.contains(&image.path)).collect();
        let rest = goes_to_rest(record.actions.iter());
        let found = super::running::in_the_way(self.context, &goes, &rest)?;
        self.obstacles.extend(found);
        let is_kept = |place: &HostPath| {
            let mut images = record.images.iter();
            images.any(|image| !image.all && image.path == *place && gone.contains(place))
        };
        if self.context.root.is_live() && self.places_of_data(record).iter().any(is_kept) {
            let masked = unit::of_files(&gone)?.into_iter();
            let masked = masked.filter(|unit| unit.is_masked && !unit.is_at_rest);
            self.obstacles.extend(masked.map(|unit| Obstacle {
                what: unit.name.clone(),
                why: format!(
                    "it is masked and runs, and what it writes when it ends may be data: \
                     `systemctl stop {}` first, or accept that (--accept-data-loss)",
                    unit.name
                ),
                difference: None,
            }));
        }
        Ok(())
    }

    /// The paths that go or go back, and those of them of which nothing is left.
    fn what_goes(&self, record: &ChangeRecord) -> (BTreeSet<HostPath>, BTreeSet<HostPath>) {
        let mut goes = BTreeSet::new();
        for image in &record.images {
            let Some(way) = self.ways.get(&image.path) else {
                continue;
            };
            let is_gone = match &way.verdict {
                Verdict::Exact => image.before == Node::Absent,
                Verdict::Become(to) => *to == Node::Absent,
                _ => false,
            };
            // An owner that it gets back is none of the change's.
            let is_back = matches!(way.verdict, Verdict::Exact) && image.before != Node::Absent;
            if is_gone || is_back {
                goes.insert(image.path.clone());
            }
        }
        let gone = record
            .images
            .iter()
            .filter(|image| image.before == Node::Absent && goes.contains(&image.path))
            .map(|image| image.path.clone())
            .collect();
        (goes, gone)
    }

    fn entries_become(
        &self,
        image: &Imaged,
        after: &Node,
        current: &Node,
        merged: &[u8],
    ) -> Result<Verdict, UndoError> {
        let before = upgraded::reads(self.context.images, &image.before);
        if before.as_deref() == Some(merged) {
            let is_ours = current.same_as(after) || current.same_as(&image.before);
            if is_ours || current.attributes() == after.attributes() {
                return Ok(Verdict::Exact);
            }
        }
        if merged.is_empty() && image.before == Node::Absent {
            return Ok(Verdict::Exact);
        }
        let Node::File {
            attributes: now, ..
        } = current
        else {
            // What is not there has no entries of others.
            return Ok(Verdict::Leave);
        };
        let attributes = match (image.before.attributes(), after.attributes()) {
            (Some(before), Some(left)) => {
                invert_attributes(before, left, now).unwrap_or_else(|| now.clone())
            }
            _ => now.clone(),
        };
        let images = self.context.images;
        Ok(super::path::becomes(
            images,
            &image.path,
            current,
            merged,
            attributes,
        )?)
    }

    /// The links of alternatives follow what their databases become.
    fn settle_links(
        &mut self,
        record: &mut ChangeRecord,
        links: Vec<(HostPath, Option<Vec<u8>>)>,
    ) -> Result<(), UndoError> {
        let mut added = Vec::new();
        for (path, leads) in links {
            let (_, current) = Node::capture(self.context.root, &path, LastLink::Itself, None)?;
            // update-alternatives(1) leaves a link that people made to something else.
            if let Node::Link { target, .. } = &current
                && !upgraded::is_between(&path)
                && !target.as_bytes().starts_with(upgraded::BETWEEN)
            {
                continue;
            }
            let becomes = match (&current, leads) {
                (Node::Absent | Node::Link { .. }, None) => Node::Absent,
                (Node::Link { target, .. }, Some(leads)) if target.as_bytes() == leads => {
                    current.clone()
                }
                (
                    Node::Link {
                        uid, gid, modified, ..
                    },
                    Some(leads),
                ) => Node::Link {
                    target: leads.into(),
                    uid: *uid,
                    gid: *gid,
                    modified: *modified,
                },
                (Node::Absent, Some(leads)) => Node::Link {
                    target: leads.into(),
                    uid: 0,
                    gid: 0,
                    modified: FileTime::now(),
                },
                // update-alternatives(1) leaves what is no link, too.
                _ => continue,
            };
            let verdict = match becomes == current {
                true => Verdict::Leave,
                false => Verdict::Become(becomes),
            };
            match self.ways.get_mut(&path) {
                Some(way) => {
                    self.obstacles.retain(|one| one.what != path.to_string());
                    self.decided.theirs.retain(|one| *one != path);
                    let before = record.images.iter().find(|image| image.path == path);
                    let is_before =
                        |node: &Node| before.is_some_and(|image| image.before.same_as(node));
                    way.verdict = match &verdict {
                        Verdict::Become(node) if is_before(node) => Verdict::Exact,
                        _ => verdict,
                    };
                }
                None if matches!(verdict, Verdict::Become(_)) && !has(record, &path) => {
                    let mut image = Imaged::new(path.clone(), Role::Touched, current.clone());
                    image.after = Some(current.clone());
                    image.actions.clone_from(self.upgrades);
                    added.push(image);
                    self.ways.insert(
                        path,
                        Way {
                            current,
                            verdict,
                            is_packaged: true,
                        },
                    );
                }
                None => {}
            }
        }
        if !added.is_empty() {
            record.images.extend(added);
            record.images.sort_by(|a, b| a.path.cmp(&b.path));
            record.header.images = Some(digest_of(&record.images));
        }
        Ok(())
    }
}

/// What is there only as long as the machine runs, or the service.
fn of_the_moment(path: &HostPath) -> bool {
    ["/run", "/dev"]
        .iter()
        .any(|top| path.is_within(&HostPath::literal(top)))
}

/// Is it made again by whoever needs it?
fn is_made_again(path: &HostPath) -> bool {
    of_the_moment(path) || path.is_within(&HostPath::literal("/var/cache"))
}

/// What lies in a directory; nothing where it is not there.
///
/// # Errors
/// When it can't be listed: it may hold anything.
fn entries_of(root: &Root, directory: &HostPath) -> Result<Vec<HostPath>, ActError> {
    let names = root.list(directory)?.unwrap_or_default();
    let paths = names.iter().filter_map(|name| directory.join(name).ok());
    Ok(paths.collect())
}

/// Is something there, or can't that be told?
fn may_be_there(path: &HostPath) -> bool {
    let there = path.as_path().symlink_metadata();
    !there
        .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

fn has(record: &ChangeRecord, path: &HostPath) -> bool {
    let mut images = record.images.iter();
    images.any(|image| image.role == Role::Touched && image.path == *path)
}

/// The paths whose content is to be put back, and is not in the store as it was stored.
pub(crate) fn missing_images(
    context: &Context<'_>,
    record: &ChangeRecord,
    which: &BTreeSet<ActionId>,
) -> Result<Vec<HostPath>, ActError> {
    let mut missing = Vec::new();
    for image in &record.images {
        if image.role != Role::Touched || image.actions.is_disjoint(which) {
            continue;
        }
        let to = image.undo.as_ref().map_or(&image.before, |undo| &undo.to);
        let Some(content) = to.content() else {
            continue;
        };
        let (_, current) = Node::capture(context.root, &image.path, LastLink::Itself, None)?;
        // What is there already needs no image.
        if current.content() != Some(content) && context.images.open(&content).is_err() {
            missing.push(image.path.clone());
        }
    }
    Ok(missing)
}

/// What others made since in the places of packages whose writes nobody noted: it would go with them.
fn made_in_places(
    context: &Context<'_>,
    record: &ChangeRecord,
    standing: &BTreeSet<ActionId>,
) -> Result<Vec<Obstacle>, ActError> {
    let mut obstacles = Vec::new();
    for action in &record.actions {
        if let (true, Kept::Packages(before)) = (standing.contains(&action.id), &action.kept) {
            let made = package::made_since(context, before)?;
            obstacles.extend(made.iter().map(|path| Obstacle {
                what: path.display().to_string(),
                why: package::MADE_SINCE.to_owned(),
                difference: None,
            }));
        }
    }
    Ok(obstacles)
}

/// Running values that are neither what we set nor what was there before, and those that can't be read.
fn changed_values(
    record: &ChangeRecord,
    standing: &BTreeSet<ActionId>,
) -> Vec<(ActionId, Obstacle)> {
    let actions = record.plan.actions.iter();
    let standing = actions.filter(|action| standing.contains(&action.id));
    standing
        .filter_map(|action| {
            let kept = &ActionRecord::of(&record.actions, action.id)?.kept;
            let (what, why) = changed_value(&action.effect, kept)?;
            let obstacle = Obstacle {
                what,
                why,
                difference: None,
            };
            Some((action.id, obstacle))
        })
        .collect()
}

/// What it is of, and what it is now.
fn changed_value(effect: &Effect, kept: &Kept) -> Option<(String, String)> {
    match (effect, kept) {
        (Effect::Sysctl { key, value }, Kept::Sysctl { before, .. }) => {
            let why = match runtime::sysctl(key) {
                Ok(now)
                    if [value, before]
                        .iter()
                        .any(|one| runtime::same_value(&now, one)) =>
                {
                    return None;
                }
                Ok(now) => format!("it is `{now}` now, we had set it to `{value}`"),
                Err(error) => format!("what it is now can't be told: {error}"),
            };
            Some((format!("kernel parameter {key}"), why))
        }
        (
            Effect::Remount { path, .. },
            Kept::Mount {
                before,
                after: Some(after),
                ..
            },
        ) => {
            let why = match runtime::mount_options(path) {
                Ok(now) if now == *before || now == *after => return None,
                Ok(now) => format!(
                    "its options are {} now, we had left it with {}",
                    now.join(","),
                    after.join(",")
                ),
                Err(error) => format!("what its options are now can't be told: {error}"),
            };
            Some((format!("mount {path}"), why))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_can_not_be_listed_is_not_an_empty_one() {
        let name = format!("steadfast-test-listed-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(folder.join("place/held")).expect("a folder");
        std::os::unix::fs::symlink("loop", folder.join("loop")).expect("a link");
        let root = Root::tree(&folder).expect("a root");
        let entries = |path: &'static str| entries_of(&root, &HostPath::literal(path));
        let (there, absent, unlisted) = (entries("/place"), entries("/absent"), entries("/loop"));
        std::fs::remove_dir_all(&folder).expect("it is ours");
        let held = [HostPath::literal("/place/held")];
        assert_eq!(there.expect("it can be listed"), held);
        assert_eq!(absent.expect("nothing is there"), []);
        assert!(unlisted.is_err(), "{unlisted:?}");
    }
}
