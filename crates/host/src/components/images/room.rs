//! How much of the stores of images is looked at: of root's, of those of each user, and of those of
//! all users together, who may have made any number of stores of any size.

use model::HostPath;
use model::value::Reason;

use crate::components::Collected;
use model::count::{number, plural, size};

/// Some of what there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    images: usize,
    /// Layers of all images, one that several share for each.
    places: usize,
    /// Layers, each once.
    layers: usize,
    /// What is read of databases.
    database_bytes: u64,
    /// Looking at what is seen of images, in parts of which a processor does one to four in a
    /// nanosecond: 200 images of 30 layers, each with 20,000 files that may speak and 400 packages,
    /// need some 25 thousand million.
    work: u64,
}

/// A registry's mirror has ten thousand images.
const OF_ROOT: Limits = Limits {
    images: 20_000,
    places: 400_000,
    layers: 4096,
    database_bytes: 1 << 30,
    work: 50_000_000_000,
};
/// A developer has a few hundred.
const OF_USER: Limits = Limits {
    images: 4000,
    places: 80_000,
    layers: 4096,
    database_bytes: 128 << 20,
    work: 25_000_000_000,
};
const OF_USERS: Limits = Limits {
    images: 20_000,
    places: 400_000,
    layers: 16_384,
    database_bytes: 1 << 30,
    work: 50_000_000_000,
};

/// What is left for the stores of one owner.
pub struct Room {
    left: Limits,
    /// What all ordinary users had before.
    before: Option<Limits>,
    images_left_out: usize,
    records_left_out: usize,
    databases_left_out: usize,
}

impl Room {
    pub fn of_root() -> Self {
        Self::new(OF_ROOT, None)
    }

    /// `users` is what all of them have left.
    pub fn of_user(users: &Limits) -> Self {
        let left = Limits {
            images: OF_USER.images.min(users.images),
            places: OF_USER.places.min(users.places),
            layers: OF_USER.layers.min(users.layers),
            database_bytes: OF_USER.database_bytes.min(users.database_bytes),
            work: OF_USER.work.min(users.work),
        };
        Self::new(left, Some(*users))
    }

    fn new(left: Limits, before: Option<Limits>) -> Self {
        Self {
            left,
            before,
            images_left_out: 0,
            records_left_out: 0,
            databases_left_out: 0,
        }
    }

    /// What all users together may have.
    pub const fn of_users() -> Limits {
        OF_USERS
    }

    /// Takes what this user had from what all of them have.
    pub fn end(&self, users: &mut Limits) {
        let Some(before) = &self.before else { return };
        let first = Self::of_user(before).left;
        users.images -= first.images - self.left.images;
        users.places -= first.places - self.left.places;
        users.layers -= first.layers - self.left.layers;
        users.database_bytes -= first.database_bytes - self.left.database_bytes;
        users.work -= first.work - self.left.work;
    }

    /// May one more image, of so many layers, be looked at?
    pub fn image(&mut self, layers: usize) -> bool {
        if self.left.images == 0 || self.left.places < layers {
            self.images_left_out += 1;
            return false;
        }
        self.left.images -= 1;
        self.left.places -= layers;
        true
    }

    /// May one more layer be looked into?
    pub fn layer(&mut self) -> bool {
        let is_left = self.left.layers > 0;
        self.left.layers -= usize::from(is_left);
        is_left
    }

    /// How many layers there may be, for people.
    pub fn layers(&self) -> String {
        match self.before {
            None => format!("{} of root's stores", plural(OF_ROOT.layers, "layer")),
            Some(_) => format!(
                "{} of one user's stores, {} of all users'",
                plural(OF_USER.layers, "layer"),
                number(OF_USERS.layers)
            ),
        }
    }

    /// How much may still be read of databases.
    pub const fn database_bytes(&self) -> u64 {
        self.left.database_bytes
    }

    /// May so much of a database be read?
    pub fn database(&mut self, size_bytes: u64) -> bool {
        match self.left.database_bytes.checked_sub(size_bytes) {
            Some(left) => {
                self.left.database_bytes = left;
                true
            }
            None => {
                self.databases_left_out += 1;
                false
            }
        }
    }

    /// May so much be done? When not, nothing more is.
    pub fn work(&mut self, work: u64) -> bool {
        let left = self.left.work.checked_sub(work);
        self.left.work = left.unwrap_or(0);
        left.is_some()
    }

    /// How much may still be done.
    pub const fn work_left(&self) -> u64 {
        self.left.work
    }

    /// A database had more entries than are taken.
    pub fn leave_out(&mut self, records: usize) {
        self.records_left_out += records;
    }

    /// What was left out, for people.
    pub fn left_out(&self) -> Vec<String> {
        let mut said = Vec::new();
        if self.images_left_out > 0 {
            let limits = |of: &Limits| {
                format!(
                    "{} and {}",
                    plural(of.images, "image"),
                    plural(of.places, "layer")
                )
            };
            said.push(self.with_limits(&plural(self.images_left_out, "image"), &limits));
        }
        if self.databases_left_out > 0 {
            let limits = |of: &Limits| format!("{} of databases", size(of.database_bytes));
            let what = plural(self.databases_left_out, "database");
            said.push(self.with_limits(&format!("{what} of images"), &limits));
        }
        if self.records_left_out > 0 {
            let what = plural(self.records_left_out, "part");
            said.push(format!(
                "left out: {what} of databases of images, which have more than are read"
            ));
        }
        said
    }

    fn with_limits(&self, what: &str, limits: &dyn Fn(&Limits) -> String) -> String {
        match self.before {
            None => format!(
                "left out: {what}; the limits of root's stores are {}",
                limits(&OF_ROOT)
            ),
            Some(_) => format!(
                "left out: {what}; the limits of one user's stores are {}, and those of all \
                 users' {}",
                limits(&OF_USER),
                limits(&OF_USERS)
            ),
        }
    }

    /// Says what was left out of the stores of which this is one.
    pub(crate) fn say(&self, store: &HostPath, collected: &mut Collected) {
        for why in self.left_out() {
            collected.say(store.clone(), Reason::Failed { why });
        }
    }
}
