//! This machine, or a tree on it: the [`Host`] that really looks. What several questions
//! need (accounts, packages, the bus) is read once and kept as long as the audit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use model::facts::{Fact, Facts, Release};
use model::plan::HostIdentity;
use model::probe::WalkTests;
use model::value::Reason;
use model::{Answer, HostPath, Observed, Probe, Tool, Value, WalkTest};

use crate::parse::mount::{MountLine, parse_mountinfo};
use crate::probe::accounts::Names;
use crate::probe::packages::Packages;
use crate::probe::unit_files::UnitFiles;
use crate::probe::{
    accounts, activity, audit, bus, files, kernel, mounts, packages, units, writers,
};
use crate::tool;
use crate::tree::{Tree, Trouble};
use crate::{Host, HostError, facts, patience, walk};

/// Reading a configuration file takes microseconds. A file system that needs longer than
/// this has lost its server.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// The machine that we run on, or a tree on it.
#[derive(Clone)]
pub struct LocalHost {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub tree: Tree,
    /// Mounts whose server may be gone, as paths inside the tree. `/` when all of it is.
    remote: Vec<HostPath>,
    /// Those that did not answer in time, or the directories that led there.
    hung: Mutex<BTreeSet<HostPath>>,
    pub programs: BTreeMap<Tool, PathBuf>,
    pub audit_program: PathBuf,
    names: OnceLock<Names>,
    packages: OnceLock<Result<Packages, Trouble>>,
    units: OnceLock<UnitFiles>,
    pub bus: OnceLock<bus::Bus>,
}

impl LocalHost {
    /// The running system.
    ///
    /// # Errors
    /// When `/` can't be opened.
    pub fn running() -> Result<Self, HostError> {
        Ok(Self::new(Tree::running()?))
    }

    /// A tree at `root`. None of its programs is ever run, and no link leads out of it.
    ///
    /// # Errors
    /// When `root` can't be opened or the kernel can't resolve links inside it.
    pub fn offline(root: &Path) -> Result<Self, HostError> {
        Ok(Self::new(Tree::offline(root)?))
    }

    fn new(tree: Tree) -> Self {
        let remote = remote_mounts(&tree);
        Self {
            inner: Arc::new(Inner {
                tree,
                remote,
                hung: Mutex::default(),
                programs: tool::programs(),
                audit_program: PathBuf::from("/usr/sbin/auditctl"),
                names: OnceLock::new(),
                packages: OnceLock::new(),
                units: OnceLock::new(),
                bus: OnceLock::new(),
            }),
        }
    }

    /// The same host with another program in the place of `tool`, so that tests can bring
    /// one that hangs. `None` when the host has been asked something already.
    #[doc(hidden)]
    pub fn with_program(mut self, tool: Tool, path: &Path) -> Option<Self> {
        Arc::get_mut(&mut self.inner)?
            .programs
            .insert(tool, path.to_owned());
        Some(self)
    }

    /// Is this the running system?
    pub fn is_live(&self) -> bool {
        self.inner.tree.is_live()
    }

    /// The directory of the tree that is looked at; `/` for the running system.
    pub fn root(&self) -> &Path {
        self.inner.tree.path()
    }

    /// What this host is. Facts that can't be read are unknown, with the reason.
    pub fn facts(&self) -> Facts {
        facts::facts(&self.inner)
    }

    /// Which release of which distribution this is.
    pub fn release(&self) -> Fact<Release> {
        facts::release_fact(&self.inner)
    }

    /// Which container this is, if it is one.
    pub fn container(&self) -> Fact<Option<String>> {
        facts::container(&self.inner)
    }

    /// The name and the digest of the machine id, for plans.
    pub fn identity(&self) -> HostIdentity {
        facts::identity(&self.inner)
    }
}

impl Host for LocalHost {
    fn probe(&self, probe: &Probe) -> Observed {
        let host = &self.inner;
        let seen = match probe {
            Probe::File { path, limit_bytes } => files::file(host, path, u64::from(*limit_bytes)),
            Probe::FileDigest { path } => files::digest(host, path),
            Probe::Meta { path } => files::meta(host, path),
            Probe::Found { path } => files::found(host, path),
            Probe::Dir { path } => files::dir(host, path),
            Probe::Writers { path, below } => writers::writers(host, path, *below),
            Probe::Tool { tool, args } => tool::ask(host, *tool, args),
            Probe::Unit { name } => units::unit(host, name),
            Probe::Sysctl { key } => kernel::sysctl(host, key),
            Probe::Package { name } => packages::package(host, name),
            Probe::Mounts => mounts::mounts(host),
            Probe::Accounts => accounts::accounts(host),
            Probe::Activity { account, uid } => activity::activity(host, account, *uid),
            Probe::Modules => kernel::modules(host),
            Probe::AuditRules => audit::rules(host),
            Probe::Walk { test } => {
                let mut seen = self.walk(&WalkTests::from([*test]), &|_| {});
                return seen.remove(test).unwrap_or_else(|| {
                    Observed::unknown(Reason::Failed {
                        why: "the walk gave no answer".to_owned(),
                    })
                });
            }
            Probe::Command {
                argv,
                timeout_ms,
                user,
                sockets,
            } => tool::command(host, argv, *timeout_ms, user.as_deref(), *sockets),
        };
        observed(seen)
    }

    fn walk(
        &self,
        tests: &WalkTests,
        entries_seen: &(dyn Fn(u64) + Sync),
    ) -> BTreeMap<WalkTest, Observed> {
        walk::answers(&self.inner, tests, entries_seen)
    }
}

pub(crate) fn observed(seen: Result<Value, Trouble>) -> Observed {
    Observed::new(match seen {
        Ok(value) => Answer::Known(value),
        Err(Trouble::Absent) => Answer::Absent,
        Err(Trouble::Unknown(reason)) => Answer::Unknown(reason),
    })
}

impl Inner {
    /// Does the path lie on a file system whose server may be gone?
    pub fn is_remote(&self, path: &HostPath) -> bool {
        self.remote.iter().any(|mount| path.is_within(mount))
    }

    /// Runs a read of `path`: here, or on a thread that may be left behind when the path
    /// may lead to a file system that does not answer.
    pub fn look<T: Send + 'static>(
        self: &Arc<Self>,
        path: &HostPath,
        job: impl FnOnce(&Self) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let within =
            |mounts: &[HostPath]| mounts.iter().find(|mount| path.is_within(mount)).cloned();
        let remote = within(&self.remote);
        let may_hang = remote.is_some() || !self.remote.is_empty() && self.tree.has_links(path);
        if !may_hang {
            return job(self);
        }
        let timed_out = || {
            Trouble::Unknown(Reason::TimedOut {
                after_ms: u64::try_from(READ_LIMIT.as_millis()).unwrap_or(u64::MAX),
            })
        };
        // Once is enough to wait for one file system.
        let place = remote
            .or_else(|| path.parent())
            .unwrap_or_else(|| path.clone());
        let hung = || self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        if hung().contains(&place) {
            return Err(timed_out());
        }
        let host = Arc::clone(self);
        patience::within(READ_LIMIT, move || job(&host)).unwrap_or_else(|| {
            hung().insert(place);
            Err(timed_out())
        })
    }

    /// The content of a file that is expected to be small.
    pub fn read(
        self: &Arc<Self>,
        path: &'static str,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, Trouble> {
        self.read_path(&HostPath::literal(path), limit_bytes)
    }

    pub fn read_path(
        self: &Arc<Self>,
        path: &HostPath,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, Trouble> {
        let wanted = path.clone();
        self.look(path, move |host| {
            host.tree
                .read(&wanted, limit_bytes)
                .map(|(_, content)| content)
        })
    }

    pub fn names(self: &Arc<Self>) -> &Names {
        self.names.get_or_init(|| Names::read(self))
    }

    pub fn packages(self: &Arc<Self>) -> Result<&Packages, Trouble> {
        self.packages
            .get_or_init(|| Packages::read(self))
            .as_ref()
            .map_err(Clone::clone)
    }

    pub fn unit_files(self: &Arc<Self>) -> &UnitFiles {
        self.units.get_or_init(|| UnitFiles::read(self))
    }

    /// Programs are only ever asked about the system that they belong to.
    pub fn refuse_offline(&self) -> Result<(), Trouble> {
        if self.tree.is_live() {
            Ok(())
        } else {
            Err(Reason::Offline.into())
        }
    }
}

/// This machine's mounts, as the kernel tells them.
pub(crate) fn mount_lines() -> std::io::Result<Vec<MountLine>> {
    // Outside the tree on purpose: what hangs is decided by this machine's mounts, as the
    // thread that asks has them.
    std::fs::read("/proc/thread-self/mountinfo").map(|bytes| parse_mountinfo(&bytes))
}

/// File systems that show the kernel's own things, and hold nobody's files.
pub(crate) fn is_of_the_kernel(fs_type: &str) -> bool {
    const OF_THE_KERNEL: [&str; 21] = [
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "cpuset",
        "debugfs",
        "devpts",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "resctrl",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    ];
    OF_THE_KERNEL.contains(&fs_type)
}

/// File systems that somebody else serves: over a network, or from a process.
pub(crate) fn is_remote(fs_type: &str) -> bool {
    const REMOTE: [&str; 17] = [
        "9p",
        "acfs",
        "afs",
        "autofs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    ];
    REMOTE.contains(&fs_type) || fs_type.starts_with("fuse")
}

fn remote_mounts(tree: &Tree) -> Vec<HostPath> {
    use std::os::unix::ffi::OsStrExt;
    let Ok(root) = HostPath::from_bytes(tree.path().as_os_str().as_bytes()) else {
        return Vec::new();
    };
    let top = HostPath::literal("/");
    let lines = mount_lines().unwrap_or_default();
    let remote_paths = lines
        .iter()
        .filter(|line| is_remote(&line.mount.fs_type))
        .map(|line| &line.mount.path);
    let mut remote: Vec<HostPath> = remote_paths
        .filter(|path| path.is_within(&root))
        .filter_map(|path| path.as_bytes().strip_prefix(root.as_bytes()))
        .filter_map(|below| top.join(below).ok())
        .collect();
    // The mount that the tree itself lies on: the longest path, and of equals the last.
    let own = lines
        .iter()
        .filter(|line| root.is_within(&line.mount.path))
        .max_by_key(|line| line.mount.path.as_bytes().len());
    if own.is_some_and(|line| is_remote(&line.mount.fs_type)) {
        remote.push(top);
    }
    remote
}
