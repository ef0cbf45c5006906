//! The tree that hosts start from: built once per release and recipe, then only read.
//!
//! It is built beside its place and renamed into it, so that a half-built image is never seen; who comes while another builds, waits.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::command::{DEFAULT_LIMIT, Exec, run_ok};
use crate::mirror::{Mirror, proxy};
use crate::recipe::{Flavour, Recipe};
use crate::requirements::{local, program};
use crate::scratch::{lock, private_folder, unmount_below};
use crate::snapshot::Snapshot;
use crate::{Error, Release, Requirements, Result};

/// Where images are kept unless the caller says otherwise.
pub const DEFAULT_CACHE: &str = "/var/cache/steadfast-lab";

/// Two at once over a slow link took 80 s here; a kernel adds as much again.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const TREE: &str = "tree";
const SNAPSHOT: &str = "snapshot.json";

/// A Debian tree that containers boot over.
#[derive(Clone, Debug)]
pub struct Image {
    release: Release,
    cache: PathBuf,
    path: PathBuf,
    snapshot: Arc<OnceLock<Snapshot>>,
}

impl Image {
    /// The image of `release` below `cache`, which is built first where it's not there yet. `progress` hears what takes long.
    pub fn build(release: Release, cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        Requirements::Containers.check()?;
        let path = build(release, Flavour::Container, cache, progress, |_, folder| {
            let snapshot = Snapshot::of_tree(&folder.join(TREE))?;
            let path = folder.join(SNAPSHOT);
            let text = serde_json::to_vec(&snapshot).map_err(|error| Error::Damaged {
                path: path.clone(),
                reason: error.to_string(),
            })?;
            fs::write(&path, text).map_err(Error::io("write", &path))
        })?;
        Ok(Self {
            release,
            cache: cache.to_owned(),
            path,
            snapshot: Arc::default(),
        })
    }

    /// Its release.
    pub fn release(&self) -> Release {
        self.release
    }

    /// The tree itself. It is shared by all hosts: only look.
    pub fn tree(&self) -> PathBuf {
        self.path.join(TREE)
    }

    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// What the tree holds, taken when it was built.
    pub(crate) fn snapshot(&self) -> Result<&Snapshot> {
        if let Some(snapshot) = self.snapshot.get() {
            return Ok(snapshot);
        }
        let path = self.path.join(SNAPSHOT);
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let snapshot = serde_json::from_slice(&text).map_err(|error| Error::Damaged {
            path,
            reason: error.to_string(),
        })?;
        Ok(self.snapshot.get_or_init(|| snapshot))
    }
}

/// The folder of an image, built if it's absent; `finish` adds what its flavour needs beside the tree.
pub(crate) fn build(
    release: Release,
    flavour: Flavour,
    cache: &Path,
    progress: &mut dyn FnMut(&str),
    finish: impl FnOnce(&mut dyn FnMut(&str), &Path) -> Result<()>,
) -> Result<PathBuf> {
    let recipe = Recipe::new(release, flavour, Mirror::of_this_machine()?);
    let path = cache.join(recipe.name());
    if path.is_dir() {
        return Ok(path);
    }
    private_folder(cache)?;
    let _lock: File = lock(&cache.join(format!(".{}.lock", recipe.name())))?;
    if path.is_dir() {
        return Ok(path);
    }
    let building = cache.join(format!(".{}.building", recipe.name()));
    // What a build left that was killed; the lock says that none is at work.
    clear(&building)?;
    private_folder(&building)?;
    let tree = building.join(TREE);
    progress(&format!("building a Debian {release} host, once"));
    let built = debootstrap(&recipe, &tree, cache)
        .and_then(|()| furnish(&recipe, &tree))
        .and_then(|()| finish(progress, &building));
    if let Err(error) = built {
        clear(&building)?;
        return Err(error);
    }
    fs::rename(&building, &path).map_err(Error::io("put in place", &path))?;
    Ok(path)
}

/// Removes a half-built image, with what debootstrap may still have mounted in it.
fn clear(building: &Path) -> Result<()> {
    unmount_below(building);
    match fs::remove_dir_all(building) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", building)(error))
        }
        _ => Ok(()),
    }
}

fn debootstrap(recipe: &Recipe, tree: &Path, cache: &Path) -> Result<()> {
    // The packages that two images share are fetched once.
    let packages = cache.join("packages").join(recipe.release.codename());
    private_folder(&packages)?;
    let mut command = Command::new(program("debootstrap")?);
    command.args(["--variant=minbase", "--arch=amd64"]);
    command.arg(format!("--include={}", recipe.packages.join(",")));
    command.arg(format!("--cache-dir={}", packages.display()));
    command
        .arg(recipe.release.codename())
        .arg(tree)
        .arg(&recipe.mirror.archive);
    command
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive");
    for scheme in ["http", "https"] {
        if let Some(proxy) = proxy(scheme) {
            command.env(format!("{scheme}_proxy"), proxy);
        }
    }
    run_ok(command, BUILD_LIMIT).map(drop)
}

/// What a freshly debootstrapped tree lacks to be a host.
fn furnish(recipe: &Recipe, tree: &Path) -> Result<()> {
    for file in &recipe.files {
        let path = tree.join(file.path);
        parents(&path)?;
        fs::write(&path, &file.content).map_err(Error::io("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))
            .map_err(Error::io("set the mode of", &path))?;
    }
    for (link, target) in &recipe.links {
        let path = tree.join(link);
        parents(&path)?;
        symlink(target, &path).map_err(Error::io("link", &path))?;
    }
    // The machine's own resolver is nothing to a host in its own network.
    remove(&tree.join("etc/resolv.conf"))?;
    if recipe.release == Release::Trixie {
        // Its installer writes the new format only.
        remove(&tree.join("etc/apt/sources.list"))?;
    }
    run_ok(
        local(&Exec::new(["chroot"]).arg(tree).args(["apt-get", "clean"]))?,
        DEFAULT_LIMIT,
    )?;
    // systemd-update-done.service(8): stamps that are as new as /usr keep a first boot from rebuilding caches.
    for stamp in ["etc/.updated", "var/.updated"] {
        run_ok(
            local(
                &Exec::new(["touch", "--reference"])
                    .arg(tree.join("usr"))
                    .arg(tree.join(stamp)),
            )?,
            DEFAULT_LIMIT,
        )?;
    }
    Ok(())
}

fn parents(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    fs::create_dir_all(parent).map_err(Error::io("create", parent))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
