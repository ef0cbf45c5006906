//! What packages and their services made on the host and not on the copy: caches, keys, data of a first
//! start. It goes back with the packages. What people put beside it is theirs, and stays so.

use std::collections::{BTreeMap, BTreeSet};

use model::{ActionId, HostPath};

use super::actions::upgrades;
use super::images::image_key;
use super::mine::Places;
use super::work::Work;
use crate::act::{LastLink, file, unit};
use crate::image::Node;
use crate::journal::{Batch, Imaged, Role};
use crate::outside;
use crate::services::Services;
use crate::state::digest_of;
use crate::take_back::is_peoples;

/// A service that makes more files at its start than this keeps data there.
const MOST_ADOPTED: usize = 1000;

/// What counts as made by the packages. In places of people nothing does, and after a wait, in which
/// anybody may have written, nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adopted {
    /// All that is there: their scripts have just ended.
    OfPackages,
    /// What their services can be shown to have written.
    OfServices,
}

impl Work<'_> {
    /// What lies by now in the directories that packages of this change brought, and is theirs, is the
    /// change's own.
    pub(super) fn adopt(&mut self, whose: Adopted) {
        let upgrades = upgrades(self.plan);
        if upgrades.is_empty() {
            return;
        }
        let (images, digest) = (self.images.clone(), self.header.images);
        if !self.find_adopted(&upgrades, whose) {
            return;
        }
        let change = self.id();
        let mut batch = Batch::default();
        for image in &self.images {
            batch = batch.put(change, image_key(image), image);
        }
        batch = batch.put(change, "", &self.header);
        // What is not in the journal is not known to be ours.
        if self.state.journal().write(batch).is_err() {
            self.images = images;
            self.header.images = digest;
        }
        self.places = Places::of(&self.images);
    }

    /// Adds what it finds to the images. True where it found anything.
    fn find_adopted(&mut self, upgrades: &BTreeSet<ActionId>, whose: Adopted) -> bool {
        let images = self.images.iter();
        let theirs = images.filter(|image| !image.actions.is_disjoint(upgrades));
        let services = Services::of(&self.context, &theirs.collect::<Vec<_>>());
        let is_theirs = |path: &HostPath| {
            !is_peoples(path)
                && match whose {
                    Adopted::OfPackages => true,
                    Adopted::OfServices => services.is_its(path),
                }
        };
        let mut open: Vec<(HostPath, BTreeSet<ActionId>)> = self
            .images
            .iter()
            .filter(|image| image.role == Role::Touched && image.before == Node::Absent)
            .filter(|image| !image.actions.is_disjoint(upgrades))
            .map(|image| (image.path.clone(), image.actions.clone()))
            .collect();
        let mut known: BTreeSet<HostPath> = self
            .images
            .iter()
            .filter(|image| image.role == Role::Touched)
            .map(|image| image.path.clone())
            .collect();
        let mut adopted = 0;
        let mut made = self.made_by_units(&known, upgrades);
        made.extend(self.logs_of(&services, &known, upgrades));
        made.dedup_by(|one, other| one.0 == other.0);
        for (path, actions) in made {
            adopted += 1;
            self.images.retain(|image| image.path != path);
            let mut image = Imaged::new(path.clone(), Role::Touched, Node::Absent);
            image.actions.clone_from(&actions);
            self.images.push(image);
            known.insert(path.clone());
            open.push((path, actions));
        }
        while let Some((directory, actions)) = open.pop() {
            // A link leads to what is not the change's, and what is mounted there is somebody's.
            let there = directory.as_path().symlink_metadata();
            let place = self.target.root.find(&directory, LastLink::Itself);
            if !self.target.root.is_live()
                || !there.is_ok_and(|there| there.is_dir())
                || place.is_ok_and(|place| place.is_mount_root())
            {
                continue;
            }
            let names = self.target.root.list(&directory).ok().flatten();
            for name in names.unwrap_or_default() {
                let Ok(path) = directory.join(&name) else {
                    continue;
                };
                if adopted >= MOST_ADOPTED || known.contains(&path) || !is_theirs(&path) {
                    continue;
                }
                known.insert(path.clone());
                adopted += 1;
                self.images.retain(|image| image.path != path);
                let mut image = Imaged::new(path.clone(), Role::Touched, Node::Absent);
                image.actions.clone_from(&actions);
                image.sensitive = model::plan::may_hold_secrets(&path);
                self.images.push(image);
                open.push((path, actions.clone()));
            }
        }
        if adopted > 0 {
            self.images.sort_by(|a, b| a.path.cmp(&b.path));
            self.header.images = Some(digest_of(&self.images));
        }
        adopted > 0
    }

    /// Logs, and directories of them, that services of the packages have begun.
    fn logs_of(
        &self,
        services: &Services,
        known: &BTreeSet<HostPath>,
        upgrades: &BTreeSet<ActionId>,
    ) -> Vec<(HostPath, BTreeSet<ActionId>)> {
        let Some(since) = outside::since(&self.records).filter(|_| self.target.root.is_live())
        else {
            return Vec::new();
        };
        let logs = HostPath::literal("/var/log");
        let names = self.target.root.list(&logs).ok().flatten();
        let paths = names.unwrap_or_default().into_iter();
        let paths = paths.filter_map(|name| logs.join(&name).ok());
        let begun = paths.filter(|path| {
            !known.contains(path) && file::is_made_since(path, since) && services.is_its(path)
        });
        begun.map(|path| (path, upgrades.clone())).collect()
    }

    /// What systemd made for the units of new packages when it started them: directories of services,
    /// and the stamps of timers (systemd.timer(5), `Persistent=`).
    fn made_by_units(
        &self,
        known: &BTreeSet<HostPath>,
        upgrades: &BTreeSet<ActionId>,
    ) -> Vec<(HostPath, BTreeSet<ActionId>)> {
        if !self.target.root.is_live() {
            return Vec::new();
        }
        let files = self
            .images
            .iter()
            .filter(|image| image.before == Node::Absent && !image.actions.is_disjoint(upgrades))
            .map(|image| image.path.clone())
            .collect();
        // What systemd does not tell now is told by the sweep of what changed outside the set.
        let units = unit::of_files(&files).unwrap_or_default();
        let Some(since) = outside::since(&self.records) else {
            return Vec::new();
        };
        let stamps = HostPath::literal("/var/lib/systemd/timers");
        units
            .into_iter()
            .flat_map(|unit| {
                let is_timer = unit.name.ends_with(".timer");
                let stamp = is_timer.then(|| stamps.join(format!("stamp-{}", unit.name)));
                unit.directories
                    .into_iter()
                    .chain(stamp.and_then(Result::ok))
            })
            .filter(|path| !known.contains(path) && !is_peoples(path))
            .filter(|path| file::is_made_since(path, since))
            .map(|path| (path, upgrades.clone()))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect()
    }
}
