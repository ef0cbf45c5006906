//! Whose is what lies in the directories that packages brought, and that no write set knows of: of
//! their services, or of people? What can't be shown to be a service's is somebody's.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use model::HostPath;

use crate::act::{Context, unit};
use crate::image::Node;
use crate::journal::{Imaged, Role};
use crate::processes::{OfUnits, of_units};
use crate::records::accounts::numbers;
use crate::take_back::is_peoples;

const PASSWD: &str = "/etc/passwd";
/// Of a large host.
const PASSWD_BYTES: u64 = 16 << 20;
/// Where only programs write, and nothing that is not made again.
const PROGRAMS: [&str; 2] = ["/run", "/var/cache"];
/// Deeper than this no service keeps its data.
const MOST_DEPTH: usize = 64;

/// What the services of the packages of a change are known by.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// Accounts of the system that the change made, or as which its units run.
    users: BTreeSet<u32>,
    /// Those of them that the host did not have before. Another, such as `www-data`, people give
    /// their own files to.
    own: BTreeSet<u32>,
    /// Where systemd has its units keep what they write.
    directories: Vec<HostPath>,
    running: OfUnits,
}

impl Services {
    /// The services that come from these paths, which packages brought or changed.
    pub(crate) fn of(context: &Context<'_>, images: &[&Imaged]) -> Self {
        let touched = images.iter().filter(|image| image.role == Role::Touched);
        let files: BTreeSet<HostPath> = touched.map(|image| image.path.clone()).collect();
        // A unit of which systemd does not tell shows nothing to be its own.
        let units = unit::of_files(&files).unwrap_or_default();
        let path = HostPath::literal(PASSWD);
        let now = context.root.read(&path, PASSWD_BYTES).ok().flatten();
        let now = numbers(&now.unwrap_or_default());
        let stored = |node: &Node| context.images.read(&node.content()?, PASSWD_BYTES).ok();
        let passwd = images.iter().find(|image| image.path == path);
        let before = passwd.and_then(|image| stored(&image.before));
        let left = passwd.and_then(|image| image.after.as_ref().and_then(stored));
        let before = before.map(|before| numbers(&before));
        let mut users = BTreeSet::new();
        if let Some(before) = &before {
            let left = left.map(|left| numbers(&left));
            let is_made = |name: &String| {
                !before.contains_key(name)
                    && left.as_ref().is_none_or(|left| left.contains_key(name))
            };
            users.extend(
                now.iter()
                    .filter(|(name, _)| is_made(name))
                    .map(|one| *one.1),
            );
        }
        let named = units.iter().filter_map(|unit| unit.user.as_ref());
        users.extend(named.filter_map(|name| now.get(name).copied()));
        let running = of_units(&units.iter().map(|unit| unit.name.clone()).collect());
        users.extend(&running.users);
        users.retain(|user| is_of_the_system(*user));
        let known: BTreeSet<u32> = before.unwrap_or(now).into_values().collect();
        let directories = units.into_iter().flat_map(|unit| unit.directories);
        Self {
            own: users.difference(&known).copied().collect(),
            users,
            directories: directories.collect(),
            running,
        }
    }

    /// Was this written by one of them? What lies in it may be another's.
    pub(crate) fn is_its(&self, path: &HostPath) -> bool {
        self.is_of(path, owner_of(path))
    }

    /// Was it, with this owner?
    fn is_of(&self, path: &HostPath, owner: Option<u32>) -> bool {
        if is_peoples(path) {
            return false;
        }
        if self.is_place_of_programs(path) || self.running.writes.contains(path.as_path()) {
            return true;
        }
        let Some(owner) = owner else {
            return false;
        };
        // As an account that the host had before people write, too, and as root they do everything.
        let is_kept_for = |directory: &HostPath| path.is_within(directory);
        self.own.contains(&owner)
            || self.users.contains(&owner) && self.directories.iter().any(is_kept_for)
    }

    /// Has one of them written to this since the change left it to its account? No owner but an
    /// account of the services can have been left so.
    pub(crate) fn has_changed(&self, path: &HostPath, left: &Node) -> bool {
        let left = left.attributes().map(|left| left.uid);
        let is_as_left = left.is_some() && owner_of(path) == left;
        let is_own = is_as_left && left.is_some_and(|left| self.users.contains(&left));
        !is_peoples(path) && (self.is_its(path) || is_own)
    }

    /// Was this, with all that lies in it?
    pub(crate) fn wrote(&self, path: &HostPath) -> bool {
        self.wrote_all(path, MOST_DEPTH)
    }

    fn wrote_all(&self, path: &HostPath, depth: usize) -> bool {
        if !self.is_its(path) {
            return false;
        }
        let is_directory = || {
            let there = path.as_path().symlink_metadata();
            there.is_ok_and(|there| there.is_dir())
        };
        if self.is_place_of_programs(path) || !is_directory() {
            return true;
        }
        let Ok(entries) = path.as_path().read_dir() else {
            return false;
        };
        depth > 0
            && entries.into_iter().all(|entry| {
                let name = entry.ok().map(|entry| entry.file_name());
                let path = name.and_then(|name| path.join(name.as_encoded_bytes()).ok());
                path.is_some_and(|path| self.wrote_all(&path, depth - 1))
            })
    }

    fn is_place_of_programs(&self, path: &HostPath) -> bool {
        let mut tops = PROGRAMS.iter().map(|top| HostPath::literal(top));
        // Python compiles what it runs, beside it.
        let is_compiled = || {
            let mut names = path.as_bytes().split(|byte| *byte == b'/');
            path.is_within(&HostPath::literal("/usr")) && names.any(|name| name == b"__pycache__")
        };
        tops.any(|top| path.is_within(&top)) || is_compiled()
    }
}

fn owner_of(path: &HostPath) -> Option<u32> {
    let there = path.as_path().symlink_metadata();
    there.ok().map(|there| there.uid())
}

/// Numbers that are given to people's accounts begin at 1000, and those of systemd's own for services
/// come far above (login.defs(5), systemd.exec(5) `DynamicUser=`).
fn is_of_the_system(user: u32) -> bool {
    matches!(user, 1..1000 | 61_184..=65_519)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_service_is_known_to_have_written_is_somebodys() {
        let services = Services {
            // Grafana's own, and one that the host had before.
            users: [33, 104].into(),
            own: [104].into(),
            directories: vec![
                HostPath::literal("/var/lib/grafana"),
                HostPath::literal("/var/lib/web"),
            ],
            running: OfUnits {
                writes: ["/var/lib/other/open".into()].into(),
                ..OfUnits::default()
            },
        };
        for (path, owner, wanted) in [
            ("/var/lib/grafana/grafana.db", 0, false),
            ("/var/lib/grafana/grafana.db", 104, true),
            ("/var/lib/grafana/notes", 1000, false),
            ("/var/lib/web/cache", 33, true),
            ("/var/lib/web/notes", 0, false),
            ("/var/lib/other/anything", 104, true),
            ("/var/lib/other/uploads", 33, false),
            ("/var/lib/other/open", 0, true),
            ("/var/log/apache2/report.html", 33, false),
            ("/var/log/apache2/incident.log", 0, false),
            ("/var/log/other/mainlog", 104, true),
            ("/var/cache/apache2/x", 0, true),
            (
                "/usr/lib/python3/dist-packages/x/__pycache__/a.pyc",
                0,
                true,
            ),
            ("/usr/share/nginx/html/index.html", 0, false),
            ("/etc/ssl/__pycache__/a", 0, false),
            ("/var/www/html/nothing", 104, false),
            ("/usr/local/lib/__pycache__/a", 0, false),
        ] {
            let path = HostPath::literal(path);
            assert_eq!(
                services.is_of(&path, Some(owner)),
                wanted,
                "{path} of {owner}"
            );
        }
        for (user, wanted) in [(0, false), (33, true), (1000, false), (61_200, true)] {
            assert_eq!(is_of_the_system(user), wanted, "{user}");
        }
    }
}
