//! Services of packages that go are stopped before anything of them goes, and then it is looked what
//! was written since the undo was decided. What a service writes where data is kept, when it is told
//! to end, is data; what people wrote is theirs. Either gives the undo up: the services run again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use jiff::{SignedDuration, Timestamp};
use model::count::plural;
use model::{ActionId, Effect, HostPath, PackageUpgrade};
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags};

use super::decide::is_of_data;
use super::{Obstacle, as_decided, standing_or_undone};
use crate::act::file::{born_or_changed, changed};
use crate::act::{ActError, Context, LastLink, health, unit};
use crate::image::Node;
use crate::journal::{ActionRecord, Batch, Imaged, Kept, Role};
use crate::state::{ChangeRecord, State, StateError};
use crate::take_back::what_stops;

/// A file's time is that of the kernel's last tick, which may be so much older (CONFIG_HZ=100).
const TICK: SignedDuration = SignedDuration::from_millis(10);
/// So deep, and so many: the first that is found stands in the way already.
const MOST_DEPTH: usize = 64;
const MOST_FOUND: usize = 1000;

/// Which units must be up when the undo has told them: those that are up now, and those that
/// ran before the change and have failed since. One that somebody has stopped since stays so.
pub(super) fn note_units(record: &mut ChangeRecord, began: Timestamp) -> Result<(), ActError> {
    for action in &mut record.actions {
        if let Kept::Told { name, up, boot } = &mut action.kept {
            let now = health::look_at(name)?;
            *up = now.is_up() || *up && now.has_failed();
            *boot = crate::apply::boot_id();
        }
        if let Kept::Upgrade {
            ran,
            undone_since,
            stopped,
            boot,
            ended,
            ..
        } = &mut action.kept
        {
            *undone_since = Some(began);
            *stopped = None;
            *boot = crate::apply::boot_id();
            let names: Vec<&str> = ran.iter().map(String::as_str).collect();
            let seen = health::look(&names)?;
            let mut runs = Vec::new();
            for (name, now) in ran.iter().zip(seen) {
                // One that somebody has stopped since stays so; one that the change ended, or whose
                // package it removed, was not there to be stopped.
                let is_ours = ended.contains(name) || unit::is_gone(name)?;
                if !now.has_ended() || now.has_failed() || is_ours {
                    runs.push(name.clone());
                }
            }
            *ran = runs;
        }
    }
    Ok(())
}

/// Stops what runs of packages that go, looks, and notes when that was. Gives what stands in the way:
/// nothing was taken away then. `resumed`: the undo was decided by another process, some time ago.
pub(super) fn look(
    context: &Context<'_>,
    state: &State,
    record: &mut ChangeRecord,
    resumed: bool,
) -> Result<Vec<Obstacle>, StateError> {
    let chosen = standing_or_undone(record);
    let is_new = |action: &ActionRecord| {
        let is_new = matches!(action.kept, Kept::Upgrade { stopped: None, .. });
        is_new && chosen.contains(&action.id) && action.state.was_begun()
    };
    if !context.root.is_live() || !record.actions.iter().any(is_new) {
        return Ok(Vec::new());
    }
    let from = Timestamp::now();
    let found = stop(record, &chosen).and_then(|()| {
        let until = Timestamp::now();
        let found = Looking::of(context, record, &chosen, (from, until), resumed)?;
        Ok((until, found))
    });
    let (until, found) = match found {
        Ok((until, found)) => (until, found),
        Err(error) => {
            return Ok(vec![Obstacle {
                what: "services of the packages".to_owned(),
                why: error.to_string(),
                difference: None,
            }]);
        }
    };
    if !found.is_empty() {
        return Ok(found);
    }
    context.crash.here("services stopped");
    let id = record.header.change.id;
    record.header.given_up = None;
    let mut batch = Batch::default();
    for action in &mut record.actions {
        if is_new(action)
            && let Kept::Upgrade { stopped, .. } = &mut action.kept
        {
            *stopped = Some(until);
        }
        batch = batch.put(id, ActionRecord::key(action.id), action);
    }
    batch = batch.put(id, "", &record.header);
    state.journal().write(batch)?;
    Ok(Vec::new())
}

/// What runs, and is stopped for these actions.
pub(super) fn units(record: &ChangeRecord) -> Result<BTreeSet<String>, ActError> {
    let mut running = BTreeSet::new();
    for name in all_units(record, &standing_or_undone(record))? {
        if unit::is_active(&name)? {
            running.insert(name);
        }
    }
    Ok(running)
}

fn all_units(
    record: &ChangeRecord,
    chosen: &BTreeSet<ActionId>,
) -> Result<BTreeSet<String>, ActError> {
    let images = as_decided(record);
    let mut units = BTreeSet::new();
    if !unit::is_booted() {
        return Ok(units);
    }
    for action in record.actions.iter().filter(|one| chosen.contains(&one.id)) {
        if matches!(action.kept, Kept::Upgrade { .. }) {
            let mine = images
                .iter()
                .filter(|image| image.actions.contains(&action.id));
            units.extend(what_stops(action, &mine.collect::<Vec<_>>())?);
        }
    }
    Ok(units)
}

fn stop(record: &ChangeRecord, chosen: &BTreeSet<ActionId>) -> Result<(), ActError> {
    unit::stop_all(&all_units(record, chosen)?)
}

/// The change is what it was before the undo, and what was stopped for it runs again. What does not
/// is among what is told.
pub(super) fn give_up(
    context: &Context<'_>,
    state: &State,
    record: &mut ChangeRecord,
    told: &mut Vec<Obstacle>,
) -> Result<(), StateError> {
    context.let_go();
    let Some(was) = record.header.given_up.take() else {
        return Ok(());
    };
    let mut names: Vec<&String> = was.units.iter().collect();
    let mut started = unit::sort_as_started(&mut names, |name| Some(name.as_str()));
    for name in names {
        started = started.and(unit::bring_up(name));
    }
    if let Err(error) = started {
        told.push(Obstacle {
            what: "services of the packages".to_owned(),
            why: format!("not all of them run again: {error}"),
            difference: None,
        });
    }
    context.crash.here("services started again");
    for image in &mut record.images {
        image.undo = None;
        image.all = false;
    }
    record.actions = was.actions;
    // Of what goes along with the packages there may be more images by now.
    let images = record.header.images;
    record.header = *was.header;
    record.header.images = images;
    let id = record.header.change.id;
    let mut batch = Batch::default().put(id, "", &record.header);
    for image in &record.images {
        batch = batch.put(id, crate::apply::image_key(image), image);
    }
    for action in &record.actions {
        batch = batch.put(id, ActionRecord::key(action.id), action);
    }
    state.journal().write(batch)?;
    state.reserve_again();
    Ok(())
}

/// When something was written, judged by the undo.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// It was there when the undo was decided.
    Before,
    /// By nobody who is known: the undo had not seen it.
    Unseen,
    /// While services were told to end.
    Stopping,
}

struct Looking<'a> {
    context: &'a Context<'a>,
    decided: Timestamp,
    from: Timestamp,
    until: Timestamp,
    resumed: bool,
    /// The change's own.
    mine: BTreeSet<&'a HostPath>,
    /// By place of data, what was written into it.
    data: BTreeMap<HostPath, Vec<HostPath>>,
    /// What people put or changed elsewhere.
    others: Vec<Obstacle>,
    /// What of it writes down at once what it is told.
    known: Known,
    /// Directories, and whether such a store lies there.
    stores: BTreeMap<HostPath, bool>,
}

/// Packages of the change of which it is known that what they are told is on the disk before they say so:
/// the form of a file alone says nothing of when its program writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// What lies in each directory of a store: of PostgreSQL with its write-ahead log, of InnoDB with its
    /// redo log.
    marks: Vec<&'static str>,
    /// Each statement of its database is a transaction (sqlite3(1)).
    is_sqlite: bool,
}

impl Known {
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut known = Self::default();
        for name in names {
            let version = name.strip_prefix("postgresql-").unwrap_or_default();
            if version.starts_with(|c: char| c.is_ascii_digit()) {
                known.marks.push("PG_VERSION");
            }
            if name.starts_with("mariadb-server") || name.starts_with("mysql-server") {
                known.marks.push("ibdata1");
            }
            known.is_sqlite |= name == "fail2ban";
        }
        known
    }
}

impl Looking<'_> {
    fn of(
        context: &Context<'_>,
        record: &ChangeRecord,
        chosen: &BTreeSet<ActionId>,
        (from, until): (Timestamp, Timestamp),
        resumed: bool,
    ) -> Result<Vec<Obstacle>, ActError> {
        let mut decided = from;
        let mut upgrades = BTreeSet::new();
        for action in record.actions.iter().filter(|one| chosen.contains(&one.id)) {
            if let Kept::Upgrade { undone_since, .. } = action.kept {
                upgrades.insert(action.id);
                decided = undone_since.map_or(decided, |since| since.min(decided));
            }
        }
        let actions = record.plan.actions.iter();
        let packages = actions
            .filter(|action| upgrades.contains(&action.id))
            .filter_map(|action| match &action.effect {
                Effect::Upgrade { packages, .. } => Some(packages),
                _ => None,
            })
            .flatten()
            .map(PackageUpgrade::bare_name);
        let mine = record
            .images
            .iter()
            .filter(|image| image.role == Role::Touched);
        let mut looking = Looking {
            context,
            decided,
            // Between the two there is no time for anybody but who is at work already.
            from: if resumed { from } else { decided },
            until,
            resumed,
            mine: mine.map(|image| &image.path).collect(),
            data: BTreeMap::new(),
            others: Vec::new(),
            known: Known::of(packages),
            stores: BTreeMap::new(),
        };
        looking.from = looking.from.checked_sub(TICK).unwrap_or(looking.from);
        let mut goes: Vec<Imaged> = as_decided(record);
        goes.retain(|image| {
            image.before == Node::Absent
                && image.role == Role::Touched
                && !image.actions.is_disjoint(&upgrades)
        });
        goes.sort_by(|a, b| a.path.cmp(&b.path));
        let mut places: Vec<HostPath> = Vec::new();
        for image in &goes {
            looking.look_at(image, &mut places)?;
        }
        Ok(looking.told())
    }

    fn look_at(&mut self, image: &Imaged, places: &mut Vec<HostPath>) -> Result<(), ActError> {
        let path = &image.path;
        let Some(stat) = self.stat(path)? else {
            return Ok(());
        };
        let place = places.iter().find(|place| path.is_within(place)).cloned();
        match kind(&stat) {
            FileType::Directory => {
                let place = place.or_else(|| {
                    let is_place = is_of_data(path);
                    is_place.then(|| places.push(path.clone()));
                    is_place.then(|| path.clone())
                });
                self.look_into(path, path, place.as_ref(), image.all, MOST_DEPTH)
            }
            FileType::RegularFile => {
                let when = self.when(changed(&stat));
                // An accepted loss is one of what was there by then.
                if when == When::Before || image.all && !(self.resumed && when == When::Unseen) {
                    return Ok(());
                }
                if place.is_none() && when == When::Stopping {
                    return Ok(());
                }
                let now = image.now(self.context.root, None)?;
                let known = [
                    image.after.as_ref(),
                    image.undo.as_ref().map(|undo| &undo.from),
                ];
                if known.into_iter().flatten().any(|known| now.same_as(known)) {
                    return Ok(());
                }
                match place {
                    Some(place) => self.note(place, path, when)?,
                    None if self.resumed => self.others.push(Obstacle {
                        what: path.to_string(),
                        why: "someone has changed it since the undo was decided".to_owned(),
                        difference: None,
                    }),
                    None => {}
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is in a directory that goes, and none of the change's.
    fn look_into(
        &mut self,
        top: &HostPath,
        directory: &HostPath,
        place: Option<&HostPath>,
        all: bool,
        depth: usize,
    ) -> Result<(), ActError> {
        if all && !self.resumed {
            return Ok(());
        }
        for name in self.context.root.list(directory)?.unwrap_or_default() {
            let Ok(path) = directory.join(&name) else {
                continue;
            };
            let found = self.others.len() + self.data.values().map(Vec::len).sum::<usize>();
            if self.mine.contains(&path) || depth == 0 || found > MOST_FOUND {
                continue;
            }
            let Some(stat) = self.stat(&path)? else {
                continue;
            };
            let is_directory = kind(&stat) == FileType::Directory;
            // What is moved to a place is as old as it is, and was not there before.
            let when = match (all, self.when(born_or_changed(&stat))) {
                (false, When::Before) => When::Unseen,
                (true, _) => self.when(changed(&stat)),
                (false, when) => when,
            };
            let is_theirs = match all {
                true => when == When::Unseen && !is_directory,
                false => when == When::Unseen,
            };
            match place {
                // A directory holds no data of its own.
                Some(_) if is_directory => {}
                Some(place) if is_theirs || when == When::Stopping && !all => {
                    self.note(place.clone(), &path, when)?;
                }
                None if is_theirs => self.others.push(Obstacle {
                    what: top.to_string(),
                    why: format!(
                        "we made this directory, and someone has put `{path}` into it since the \
                         undo was decided"
                    ),
                    difference: None,
                }),
                _ => {}
            }
            if is_directory {
                self.look_into(top, &path, place, all, depth - 1)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, place: HostPath, path: &HostPath, when: When) -> Result<(), ActError> {
        if when == When::Stopping && self.is_told_already(&place, path)? {
            return Ok(());
        }
        self.data.entry(place).or_default().push(path.clone());
        Ok(())
    }

    /// Does this hold nothing that was not on the disk before its service was stopped, and was looked
    /// at then? Stores that keep what they were told in a log before they say so write only their own
    /// notes when they end, and an empty store writes that it is empty.
    fn is_told_already(&mut self, place: &HostPath, path: &HostPath) -> Result<bool, ActError> {
        let mut above = path.parent();
        while let Some(directory) = above.filter(|one| one.is_within(place)) {
            let is_store = match self.stores.get(&directory) {
                Some(known) => *known,
                None => {
                    let mut is_store = false;
                    for name in &self.known.marks {
                        let Ok(path) = directory.join(name) else {
                            continue;
                        };
                        is_store |= self.stat(&path)?.is_some();
                    }
                    self.stores.insert(directory.clone(), is_store);
                    is_store
                }
            };
            if is_store {
                return Ok(true);
            }
            above = directory.parent();
        }
        let stat = self.stat(path)?;
        if !stat.is_some_and(|stat| kind(&stat) == FileType::RegularFile) {
            return Ok(true);
        }
        let beginning = self.beginning(path)?;
        if beginning.is_empty() || is_empty_rdb(&beginning) {
            return Ok(true);
        }
        if !self.known.is_sqlite {
            return Ok(false);
        }
        if is_sqlite(&beginning) {
            return Ok(true);
        }
        // SQLite's journals stand beside it.
        for end in ["-wal", "-shm", "-journal"] {
            if let Some(base) = path.as_bytes().strip_suffix(end.as_bytes())
                && let Ok(base) = HostPath::from_bytes(base)
                && is_sqlite(&self.beginning(&base)?)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn beginning(&self, path: &HostPath) -> Result<Vec<u8>, ActError> {
        let place = match self.context.root.find(path, LastLink::Itself) {
            Ok(place) => place,
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        if let Some(file) = place.open_file()? {
            file.take(BEGINNING_BYTES)
                .read_to_end(&mut bytes)
                .map_err(|error| ActError::path("read", path, error))?;
        }
        Ok(bytes)
    }

    fn when(&self, at: Option<Timestamp>) -> When {
        match at {
            Some(at) if at < self.decided => When::Before,
            Some(at) if at >= self.from && at <= self.until => When::Stopping,
            _ => When::Unseen,
        }
    }

    fn stat(&self, path: &HostPath) -> Result<Option<Statx>, ActError> {
        stat(self.context, path)
    }

    fn told(self) -> Vec<Obstacle> {
        let data = self.data.into_iter().map(|(place, mut paths)| {
            paths.sort();
            let first = paths
                .first()
                .map(|path| format!("; `{path}` is one of them"));
            Obstacle {
                what: place.to_string(),
                why: format!(
                    "data lies there that its services wrote when they were stopped, or somebody \
                     since: {}{}; --keep-theirs leaves all of the directory, --accept-data-loss \
                     deletes it. The services run again",
                    plural(paths.len(), "path"),
                    first.unwrap_or_default()
                ),
                difference: None,
            }
        });
        data.chain(self.others).collect()
    }
}

/// An RDB file without a key has a hundred bytes of notes on the server.
const BEGINNING_BYTES: u64 = 4 << 10;

/// <https://www.sqlite.org/fileformat.html>, 1.3: "Every valid SQLite database file begins with the
/// following 16 bytes".
fn is_sqlite(beginning: &[u8]) -> bool {
    beginning.starts_with(b"SQLite format 3\0")
}

/// The dump of a Redis server (RDB) that holds no key and no function: its magic, notes, the end.
fn is_empty_rdb(file: &[u8]) -> bool {
    const NOTE: u8 = 0xfa;
    const END: u8 = 0xff;
    /// `REDIS0011`.
    const MAGIC_BYTES: usize = 9;
    /// A string: its length in six or fourteen bits, or a number of one, two or four bytes.
    fn string(rest: &[u8]) -> Option<&[u8]> {
        let (first, rest) = rest.split_first()?;
        let length = match (first >> 6, first & 0x3f) {
            (0, length) => usize::from(length),
            (1, high) => {
                let (low, rest) = rest.split_first()?;
                return rest.get(usize::from(high) << 8 | usize::from(*low)..);
            }
            (3, 0) => 1,
            (3, 1) => 2,
            (3, 2) => 4,
            _ => return None,
        };
        rest.get(length..)
    }
    if !(file.starts_with(b"REDIS") || file.starts_with(b"VALKEY")) {
        return false;
    }
    let mut rest = file.get(MAGIC_BYTES..).unwrap_or_default();
    loop {
        match rest.split_first() {
            Some((&NOTE, after)) => match string(after).and_then(string) {
                Some(after) => rest = after,
                None => return false,
            },
            Some((&END, _)) => return true,
            _ => return false,
        }
    }
}

/// None: nothing is there.
fn stat(context: &Context<'_>, path: &HostPath) -> Result<Option<Statx>, ActError> {
    let place = match context.root.find(path, LastLink::Itself) {
        Ok(place) => place,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    };
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let mask = StatxFlags::TYPE | StatxFlags::BTIME | StatxFlags::CTIME;
    match rustix::fs::statx(&place.dir, &*place.name, flags, mask) {
        Ok(stat) => Ok(Some(stat)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(place.fail("look at")(error)),
    }
}

fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(stat.stx_mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_disk_at_once_is_known_by_package() {
        let of = |name: &'static str| Known::of(std::iter::once(name));
        assert_eq!(of("postgresql-15").marks, ["PG_VERSION"]);
        assert_eq!(of("mariadb-server").marks, ["ibdata1"]);
        assert!(of("fail2ban").is_sqlite);
        for other in ["postgresql-common", "redis-server", "memo", "sqlite3"] {
            assert_eq!(of(other), Known::default(), "{other}");
        }
    }

    #[test]
    fn an_empty_store_is_told_from_one_that_holds_something() {
        let notes: &[u8] = b"\xfa\x09redis-ver\x067.0.15\xfa\x0aredis-bits\xc0\x40\xfa\x05ctime\xc2\x01\x02\x03\x04";
        let file = |version: &[u8], rest: &[u8]| [version, notes, rest].concat();
        for (what, bytes, wanted) in [
            ("empty", file(b"REDIS0010", b"\xff12345678"), true),
            (
                "a key",
                file(
                    b"REDIS0010",
                    b"\xfe\x00\xfb\x01\x00\x00\x01a\x01b\xff12345678",
                ),
                false,
            ),
            (
                "a function",
                file(b"REDIS0010", b"\xf5\x01a\xff12345678"),
                false,
            ),
            ("cut off", file(b"REDIS0010", b""), false),
            ("cut off in a note", file(b"REDIS0010", b"\xfa\x40"), false),
            ("another", file(b"DREIS0010", b"\xff"), false),
            ("nothing", Vec::new(), false),
        ] {
            assert_eq!(is_empty_rdb(&bytes), wanted, "{what}");
        }
        assert!(is_sqlite(b"SQLite format 3\0\x10\0"));
        assert!(!is_sqlite(b"SQLite format 3"));
    }
}
