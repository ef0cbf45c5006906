//! Where the stores of images lie: where each tool puts its own, and where its configuration says.
//!
//! Both are looked at, since what lies in a store is there, whether a configuration leads to it
//! or did so once. A configuration that can't be read or understood is said: then images may lie
//! where nobody looks. A file of an ordinary user may name any place, and root must not be led:
//! the place has to belong to that user, be reached by no link of theirs, and lie where the search
//! for components goes as well.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::HostPath;
use model::value::{FileType, Reason};

use super::{containerd, docker, podman};
use crate::components::source::{malformed, shortened};
use crate::local::Inner;
use crate::parse::account::Passwd;
use crate::probe::accounts;
use crate::tree::Trouble;
use crate::walk::starts::Mounts;

/// Configurations are written by people, and have a few hundred lines at most.
const CONFIGURATION_LIMIT_BYTES: u64 = 1 << 20;
/// Files that a configuration of containerd names, and those that they name.
const MOST_IMPORTS: usize = 64;
/// Configurations, and stores that they name, of one user: a person has two or three.
const MOST_OF_USER: usize = 100;

/// Of a template of a place, and of what it expands to (limits.h, PATH_MAX).
const LONGEST_PLACE_BYTES: usize = 4096;
/// Letters of a place that is none.
const MOST_SHOWN: usize = 120;

/// The tools, by how they keep images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    Podman,
    Docker,
    Containerd,
}

/// A store that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Store {
    pub tool: Tool,
    /// Without links on the way.
    pub path: HostPath,
    /// The ordinary user whose it is.
    pub user: Option<u32>,
}

/// What the stores are, and what can't be told of them.
pub(crate) struct Stores {
    /// Each once.
    pub stores: BTreeSet<Store>,
    pub unread: Vec<Unread>,
    /// The ordinary user whose files are looked at, or for whom.
    user: Option<u32>,
    mounts: Mounts,
}

/// What can't be told of a place.
pub(crate) struct Unread {
    pub path: HostPath,
    pub why: Reason,
    /// The ordinary user whose files cause it, or who has a store there.
    pub user: Option<u32>,
}

/// A place that somebody named.
struct Named<'a> {
    tool: Tool,
    path: &'a str,
    /// The file that says so; none for a tool's own place.
    by: Option<&'a HostPath>,
    /// An ordinary user, for whom or by whom it was named.
    user: Option<&'a Passwd>,
}

impl<'a> Named<'a> {
    const fn of_root(tool: Tool, path: &'a str, by: Option<&'a HostPath>) -> Self {
        Self {
            tool,
            path,
            by,
            user: None,
        }
    }
}

/// Finds the stores of this host and of its users.
pub(crate) fn find(host: &Arc<Inner>) -> Stores {
    let mut stores = Stores::new(host);
    let for_users = stores.of_root(host);
    // Last, so that no user takes the place of what is root's.
    stores.of_users(host, &for_users);
    stores
}

/// The directories of root's stores with the files of layers, for a walk that is about the host's
/// own files. Nobody but root can have something left out by it.
pub(crate) fn layers_of_root(host: &Arc<Inner>) -> Vec<HostPath> {
    let mut stores = Stores::new(host);
    stores.of_root(host);
    let mut layers = stores.layers(host);
    let is_roots = |path: &HostPath| host.tree.meta(path).is_ok_and(|node| node.uid == 0);
    layers.retain(|path| !host.tree.is_root() || is_roots(path));
    layers
}

impl Stores {
    fn new(host: &Arc<Inner>) -> Self {
        Self {
            stores: BTreeSet::new(),
            unread: Vec::new(),
            user: None,
            mounts: Mounts::of(&host.tree),
        }
    }

    /// Takes the stores of root. Returned is where configurations put those of users.
    fn of_root(&mut self, host: &Arc<Inner>) -> Vec<(HostPath, String)> {
        self.add(host, &Named::of_root(Tool::Podman, podman::STORE, None));
        self.add(host, &Named::of_root(Tool::Docker, docker::STORE, None));
        self.add(
            host,
            &Named::of_root(Tool::Containerd, containerd::STORE, None),
        );
        let mut for_users = Vec::new();
        for (by, configuration) in self.of_containers(host) {
            for path in configuration.stores() {
                self.add(host, &Named::of_root(Tool::Podman, path, Some(&by)));
            }
            for_users.extend(configuration.rootless.map(|template| (by, template)));
        }
        self.of_docker(host);
        self.of_containerd(host);
        for_users
    }

    /// Is this a store that is looked into, or of which is said why not?
    pub(crate) fn knows(&self, path: &HostPath) -> bool {
        self.stores.iter().any(|store| store.path == *path)
            || self.unread.iter().any(|unread| unread.path == *path)
    }

    /// The directories with the files of layers. They are looked at as images, and are no files of
    /// the host.
    pub(crate) fn layers(&self, host: &Arc<Inner>) -> Vec<HostPath> {
        let mut layers = Vec::new();
        for store in &self.stores {
            let mut own = match store.tool {
                Tool::Podman => podman::layers(&store.path),
                Tool::Docker => docker::layers(&store.path),
                Tool::Containerd => containerd::layers(host, &store.path),
            };
            if let Some(uid) = store.user {
                // What is not theirs is not theirs to hide.
                own.retain(|path| {
                    let is_theirs = || host.tree.meta(path).is_ok_and(|node| node.uid == uid);
                    self.elsewhere(path).is_none() && is_theirs()
                });
            }
            layers.append(&mut own);
        }
        layers
    }

    /// Why this is not looked into, when it lies on a file system that is not.
    pub(crate) fn elsewhere(&self, path: &HostPath) -> Option<Reason> {
        let fs_type = self.mounts.not_walked(path)?;
        let what = format!("images on {fs_type}, which are not looked into");
        Some(Reason::Unavailable { what })
    }

    fn say(&mut self, path: &HostPath, why: Reason) {
        self.unread.push(Unread {
            path: path.clone(),
            why,
            user: self.user,
        });
    }

    /// Takes a place that is there and may be looked at.
    fn add(&mut self, host: &Arc<Inner>, named: &Named<'_>) {
        let path = match place(named) {
            Ok(path) => path,
            Err(why) => {
                let by = named.by.cloned();
                return self.say(&by.unwrap_or_else(|| HostPath::literal("/")), why);
            }
        };
        let by_hand = named.by.is_some();
        let elsewhere = |stores: &mut Self, path: &HostPath| {
            let why = stores.elsewhere(path);
            let is_elsewhere = why.is_some();
            // The homes of a whole company may lie on a server, which the search leaves out too.
            if let Some(why) = why.filter(|_| by_hand || named.user.is_none()) {
                stores.say(path, why);
            }
            is_elsewhere
        };
        if elsewhere(self, &path) {
            return;
        }
        let wanted = path.clone();
        let (real, node) = match host.look(&path, move |host| host.tree.directory(&wanted)) {
            Ok(found) => found,
            Err(Trouble::Absent) => return,
            // The walk has said that this home can't be entered.
            Err(Trouble::Unknown(Reason::NeedsRoot)) if named.user.is_some() => return,
            Err(Trouble::Unknown(why)) => return self.say(&path, why),
        };
        if real != path && elsewhere(self, &real) {
            return;
        }
        let user = named.user.map(|user| user.uid).filter(|uid| *uid != 0);
        if user.is_some_and(|uid| uid != node.uid) && by_hand {
            let why = format!(
                "is named as a store of images by `{}`, and does not belong to that user: not \
                 looked into",
                named.by.map(ToString::to_string).unwrap_or_default()
            );
            return self.say(&path, Reason::Failed { why });
        }
        self.stores.insert(Store {
            tool: named.tool,
            path: real,
            user,
        });
    }

    /// A configuration; none when it is not there.
    fn configuration<T>(
        &mut self,
        host: &Arc<Inner>,
        path: &HostPath,
        parse: impl Fn(&[u8]) -> Result<T, Reason>,
    ) -> Option<T> {
        let bytes = match host.read_path(path, CONFIGURATION_LIMIT_BYTES) {
            Ok(bytes) => bytes,
            Err(Trouble::Absent) => return None,
            Err(Trouble::Unknown(why)) => {
                self.say(path, unknown(&why));
                return None;
            }
        };
        match parse(&bytes) {
            Ok(configuration) => Some(configuration),
            Err(why) => {
                self.say(path, unknown(&why));
                None
            }
        }
    }

    /// The configurations of podman, buildah and CRI-O that an administrator or a package wrote.
    ///
    /// "`/usr/share/containers/<name>.conf`, `…/<name>.conf.d/`, `…/<name>.rootful.conf.d/`,
    /// `…/<name>.rootless.conf.d/`", and the same below `/etc` (containers-config(5)).
    fn of_containers(&mut self, host: &Arc<Inner>) -> Vec<(HostPath, podman::Configuration)> {
        let mut all = Vec::new();
        for directory in ["/usr/share/containers", "/etc/containers"] {
            let directory = HostPath::literal(directory);
            let mut files = self.drop_ins(host, &directory, "storage.conf.d");
            files.extend(self.drop_ins(host, &directory, "storage.rootful.conf.d"));
            files.extend(directory.join("storage.conf"));
            for file in files {
                let found = self.configuration(host, &file, podman::parse_configuration);
                all.extend(found.map(|found| (file, found)));
            }
            for file in self.drop_ins(host, &directory, "storage.rootless.conf.d") {
                let found = self.configuration(host, &file, podman::parse_configuration);
                all.extend(found.map(|found| (file, found.for_users())));
            }
        }
        all
    }

    /// The files `*.conf` of a directory.
    fn drop_ins(&mut self, host: &Arc<Inner>, above: &HostPath, name: &str) -> Vec<HostPath> {
        let Ok(directory) = above.join(name) else {
            return Vec::new();
        };
        let wanted = directory.clone();
        let names = match host.look(&directory, move |host| host.tree.list(&wanted)) {
            Ok(names) => names,
            Err(Trouble::Absent) => return Vec::new(),
            Err(Trouble::Unknown(why)) => {
                self.say(&directory, unknown(&why));
                return Vec::new();
            }
        };
        let names = names.iter().filter(|(name, file_type)| {
            name.ends_with(b".conf") && *file_type != FileType::Directory
        });
        names
            .filter_map(|(name, _)| directory.join(name).ok())
            .collect()
    }

    /// The stores that users have without root.
    fn of_users(&mut self, host: &Arc<Inner>, for_users: &[(HostPath, String)]) {
        let passwd = HostPath::literal("/etc/passwd");
        let accounts = match accounts::passwd(host) {
            Ok(parsed) => {
                let lines = parsed.malformed.len();
                if lines > 0 {
                    let why = malformed(format!("lines that name no account: {lines}"));
                    self.say(&passwd, unknown(&why));
                }
                parsed.entries
            }
            Err(Trouble::Absent) => return,
            Err(Trouble::Unknown(why)) => {
                return self.say(&passwd, unknown(&why));
            }
        };
        let mut seen = BTreeSet::new();
        for line in accounts {
            let user = &line.entry;
            // Nobody lives in `/`, which accounts without a home may have.
            let Ok(home) = HostPath::from_bytes(user.home.as_bytes()) else {
                continue;
            };
            if home.as_bytes() == b"/" || !seen.insert((home.clone(), user.uid)) {
                continue;
            }
            self.user = Some(user.uid).filter(|uid| *uid != 0);
            let own = format!("{}{}", user.home, podman::USERS_STORE);
            self.named_for(host, user, &own, None);
            for (by, template) in for_users {
                self.named_for(host, user, template, Some(by));
            }
            if self.mounts.not_walked(&home).is_some() {
                continue;
            }
            let Ok(directory) = home.join(".config/containers") else {
                continue;
            };
            // One look for the many homes that have none.
            if !super::exists(host, &directory) {
                continue;
            }
            let mut files: Vec<HostPath> = directory.join("storage.conf").into_iter().collect();
            files.extend(self.drop_ins(host, &directory, "storage.conf.d"));
            self.of_user(host, user, &files);
        }
        self.user = None;
    }

    /// What a user's own configurations name.
    fn of_user(&mut self, host: &Arc<Inner>, user: &Passwd, files: &[HostPath]) {
        let mut left = MOST_OF_USER;
        for file in files {
            let found = self.configuration(host, file, podman::parse_configuration);
            let found = found
                .map(podman::Configuration::for_users)
                .unwrap_or_default();
            for path in found.stores().chain(found.rootless.as_deref()) {
                if left > 0 {
                    self.named_for(host, user, path, Some(file));
                }
                left = left.saturating_sub(1);
            }
            // A file costs as much as a place.
            left = left.saturating_sub(1);
            if left == 0 {
                let why = format!(
                    "a user's configurations name more than {MOST_OF_USER} stores and files"
                );
                return self.say(file, unknown(&Reason::Failed { why }));
            }
        }
    }

    fn named_for(&mut self, host: &Arc<Inner>, user: &Passwd, path: &str, by: Option<&HostPath>) {
        let (tool, user) = (Tool::Podman, Some(user));
        self.add(
            host,
            &Named {
                tool,
                path,
                by,
                user,
            },
        );
    }

    fn of_docker(&mut self, host: &Arc<Inner>) {
        let by = HostPath::literal("/etc/docker/daemon.json");
        let found = self.configuration(host, &by, docker::parse_configuration);
        if let Some(path) = found.flatten() {
            self.add(host, &Named::of_root(Tool::Docker, &path, Some(&by)));
        }
        let stores = self.stores.iter().filter(|it| it.tool == Tool::Docker);
        let stores: Vec<HostPath> = stores.map(|store| store.path.clone()).collect();
        for store in stores {
            let inner = docker::inner(host, &store);
            self.stores
                .extend(inner.into_iter().map(|(tool, path)| Store {
                    tool,
                    path,
                    user: None,
                }));
        }
    }

    /// containerd(8) reads one file, and those that it imports.
    fn of_containerd(&mut self, host: &Arc<Inner>) {
        let mut todo = vec![HostPath::literal("/etc/containerd/config.toml")];
        let mut seen: BTreeSet<HostPath> = BTreeSet::new();
        while let Some(file) = todo.pop() {
            if seen.len() == MOST_IMPORTS {
                let why = format!("imports more than {MOST_IMPORTS} files");
                return self.say(&file, unknown(&Reason::Failed { why }));
            }
            if !seen.insert(file.clone()) {
                continue;
            }
            let found = self.configuration(host, &file, containerd::parse_configuration);
            let Some(found) = found else { continue };
            if let Some(path) = &found.root {
                self.add(host, &Named::of_root(Tool::Containerd, path, Some(&file)));
            }
            for import in &found.imports {
                match self.imported(host, &file, import) {
                    Ok(files) => todo.extend(files),
                    Err(why) => self.say(&file, unknown(&why)),
                }
            }
        }
    }

    /// "imports … may be glob patterns, relative to the file" (containerd-config.toml(5)).
    fn imported(
        &mut self,
        host: &Arc<Inner>,
        file: &HostPath,
        import: &str,
    ) -> Result<Vec<HostPath>, Reason> {
        let directory = file.parent().unwrap_or_else(|| HostPath::literal("/"));
        let path = match import.starts_with('/') {
            true => HostPath::from_bytes(import.as_bytes()),
            false => directory.join(import),
        };
        let path = path.map_err(|_| malformed(format!("imports `{import}`, which is no path")))?;
        let above = path.parent().unwrap_or_else(|| HostPath::literal("/"));
        let pattern = path.file_name();
        let is_pattern = |bytes: &[u8]| bytes.iter().any(|byte| b"*?[\\".contains(byte));
        let Some(star) = pattern.iter().position(|byte| *byte == b'*') else {
            return match is_pattern(path.as_bytes()) {
                true => Err(malformed(format!(
                    "imports `{import}`, a pattern that is not read"
                ))),
                false => Ok(vec![path]),
            };
        };
        let (before, after) = (&pattern[..star], &pattern[star + 1..]);
        if is_pattern(above.as_bytes()) || is_pattern(before) || is_pattern(after) {
            return Err(malformed(format!(
                "imports `{import}`, a pattern that is not read"
            )));
        }
        let wanted = above.clone();
        let names = match host.look(&above, move |host| host.tree.list(&wanted)) {
            Ok(names) => names,
            Err(Trouble::Absent) => return Ok(Vec::new()),
            Err(Trouble::Unknown(why)) => return Err(why),
        };
        let names = names.iter().map(|(name, _)| name);
        Ok(names
            .filter(|name| {
                let is_long = name.len() >= before.len() + after.len();
                is_long && name.starts_with(before) && name.ends_with(after)
            })
            .filter_map(|name| above.join(name).ok())
            .collect())
    }
}

/// Where images lie depends on this file.
fn unknown(why: &Reason) -> Reason {
    match why {
        Reason::NeedsRoot => Reason::NeedsRoot,
        why => Reason::Failed {
            why: format!("where images are kept is unknown: {why}"),
        },
    }
}

/// A place as a path; of a user's, what stands for them is put in.
fn place(named: &Named<'_>) -> Result<HostPath, Reason> {
    let too_long = |text: &str| {
        let shown = shortened(text, MOST_SHOWN);
        let why = format!("`{shown}` has more than {LONGEST_PLACE_BYTES} bytes");
        unknown(&malformed(why))
    };
    if named.path.len() > LONGEST_PLACE_BYTES {
        return Err(too_long(named.path));
    }
    let text = match (named.user, named.by) {
        (Some(user), Some(_)) => expand(named.path, user)?,
        _ => named.path.to_owned(),
    };
    if text.len() > LONGEST_PLACE_BYTES {
        return Err(too_long(&text));
    }
    let path = HostPath::from_bytes(text.as_bytes());
    match path {
        Ok(path) if text.starts_with('/') && path.as_bytes() != b"/" => Ok(path),
        _ => Err(unknown(&malformed(format!(
            "`{}` is no place for a store",
            shortened(&text, MOST_SHOWN)
        )))),
    }
}

/// "rootless_storage_path … supports `$HOME`, `$USER` and `$UID`" (containers-storage.conf(5)).
fn expand(template: &str, user: &Passwd) -> Result<String, Reason> {
    let mut expanded = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, after) = match behind.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap_or((inner, "")),
            None => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = behind.find(|c| !is_name(c)).unwrap_or(behind.len());
                behind.split_at(end)
            }
        };
        match name {
            "HOME" => expanded.push_str(&user.home),
            "USER" => expanded.push_str(&user.name),
            "UID" => expanded.push_str(&user.uid.to_string()),
            _ => {
                return Err(unknown(&malformed(format!(
                    "`{}` has a variable that is set elsewhere",
                    shortened(template, MOST_SHOWN)
                ))));
            }
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}
