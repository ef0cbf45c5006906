//! Rehearsals: programs run on a copy of this host, and what they wrote is told. The copy is
//! overlays over the root and the other local mounts, in a mount namespace of its own, and ends
//! with the rehearsal. Nothing that runs there reaches the host (see `cell`).

mod cell;
mod share;
mod shown;
pub(crate) mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::HostPath;
use model::count::size;
use model::value::Output;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::UnshareFlags;

use crate::act::program::errors_to_output;
use crate::local::{is_of_the_kernel, is_remote};
use crate::parse::mount::{MountLine, parse_mountinfo};
use crate::tool::run::{Watch, run_watched};
use crate::tool::sandbox::{DEVICES, make_read_only_below, unshare};
use crate::tree::Trouble;
use cell::{Cell, Limits};
use share::Share;
pub use shown::{Refused, Shown};
pub use writes::Untold;
use writes::{Layer, contents, sizes, writes};

/// The overlays' own layers are made here, as only the rehearsal's namespace sees it: on a file
/// system in memory that ends with the rehearsal, or, where there is too little memory, in a
/// folder of the state directory that is removed after it.
const WORKSHOP: &str = "/tmp";
/// Processes of one rehearsal, of all accounts.
const MOST_PROCESSES: u64 = 1024;
/// What one of its processes may allocate.
const MOST_MEMORY_BYTES: u64 = 4 << 30;
/// What may be written, at least.
const LEAST_ROOM_BYTES: u64 = 64 << 20;

/// File systems that end with the machine, and that no package's files lie on.
const TRANSIENT: [&str; 4] = ["autofs", "devtmpfs", "ramfs", "tmpfs"];

/// A program of a rehearsal, run as root on the copy.
#[derive(Clone, Debug)]
pub struct Step {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub limit: Duration,
    /// Where it fails, what comes after it has no meaning and is not run.
    pub others_rest_on_it: bool,
}

/// What a rehearsal showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// How each step ended, up to the first that failed and that others rest on.
    pub steps: Vec<Result<Output, String>>,
    /// Every path of the host that the steps would have made, changed or removed.
    pub writes: BTreeSet<HostPath>,
    /// New files whose names end as was asked for, with what is in them, or its beginning.
    pub contents: BTreeMap<HostPath, Vec<u8>>,
    /// What was written below each local mount, in bytes.
    pub written_bytes: BTreeMap<PathBuf, u64>,
    /// Where its layers were.
    pub place: Place,
    /// Did a control group bound the number and the memory of its processes?
    pub is_bounded: bool,
}

/// Where a rehearsal's layers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Memory,
    Disk,
}

/// Why there is no rehearsal. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    #[error("a copy of this host can't be made here: cannot {what}: {source}")]
    NoCopy {
        what: String,
        source: std::io::Error,
    },
    #[error(
        "a copy of this host can't be made here: {} of memory and {} below `{}` may be used for it, and \
         it may need {}", size(*memory_bytes), size(*disk_bytes), folder.display(), size(*needed_bytes)
    )]
    NoRoom {
        memory_bytes: u64,
        disk_bytes: u64,
        folder: PathBuf,
        needed_bytes: u64,
    },
    #[error("the rehearsal panicked")]
    Panicked,
}

fn no_copy<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> RehearseError {
    let what = what.into();
    move |source| RehearseError::NoCopy {
        what,
        source: source.into(),
    }
}

/// Is shown the copy when all is done there.
pub type Look<'a> = &'a mut (dyn FnMut(&Shown<'_>) + Send);

/// Where a program's errors go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streams {
    /// With the rest, in their order.
    Together,
    Apart,
}

/// Runs the steps in turn on a copy of this host, which needs room for `needed_bytes` that they
/// may write. What is `untold` of their writes is left out; new files whose names end with
/// one of `endings` are told with their content. `folder` is a place of ours on a disk, for layers that
/// do not fit into memory; it is gone afterwards. `look` is shown the copy after the last step, where no step failed that others rest on.
///
/// # Errors
/// When no copy can be made; then nothing ran. How the steps ended is no error.
pub fn rehearse(
    steps: &[Step],
    variables: &[(&str, &str)],
    untold: Untold<'_>,
    endings: &[&str],
    needed_bytes: u64,
    folder: &Path,
    look: Look<'_>,
) -> Result<Rehearsed, RehearseError> {
    let workshop = Workshop::choose(folder, needed_bytes.max(LEAST_ROOM_BYTES))?;
    // Namespaces belong to threads, and this one's ends with it.
    let rehearsed = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let copy = Copy::make(&workshop)?;
                let mut ended = Vec::new();
                let mut broke_off = false;
                for step in steps {
                    let full = || workshop.full(&copy.workshop);
                    let watch: Option<Watch<'_>> = match workshop.place {
                        // Its file system in memory has a size.
                        Place::Memory => None,
                        Place::Disk => Some(&full),
                    };
                    let how = copy.run(step, variables, watch, Streams::Together);
                    let failed = !how.as_ref().is_ok_and(|output| output.status == Some(0));
                    ended.push(how);
                    if failed && step.others_rest_on_it {
                        broke_off = true;
                        break;
                    }
                }
                let unread = || no_copy("read what was written");
                let writes = writes(&copy.layers, untold).map_err(unread())?;
                let contents = contents(&copy.layers, &writes, endings).map_err(unread())?;
                let written_bytes = sizes(&copy.layers).map_err(unread())?;
                // Whoever is shown the copy may write to it.
                if !broke_off {
                    look(&Shown {
                        root: Path::new(OsStr::from_bytes(copy.root.as_bytes())),
                        writes: &writes,
                        hidden: &copy.hidden,
                        run: &|step, streams| copy.run(step, &[], None, streams),
                    });
                }
                Ok(Rehearsed {
                    steps: ended,
                    contents,
                    writes,
                    written_bytes,
                    place: workshop.place,
                    is_bounded: copy.share.is_some(),
                })
            })
            .join()
            .unwrap_or(Err(RehearseError::Panicked))
    });
    // What lay over the host has ended with the thread.
    if workshop.place == Place::Disk {
        remove_folder(folder)?;
    }
    rehearsed
}

/// Where the layers are, and how much room there is.
struct Workshop<'a> {
    place: Place,
    folder: &'a Path,
    room_bytes: u64,
    /// What is left of a disk to everybody else.
    others_bytes: u64,
}

impl<'a> Workshop<'a> {
    fn choose(folder: &'a Path, needed_bytes: u64) -> Result<Self, RehearseError> {
        // What an earlier rehearsal left when it was killed.
        remove_folder(folder)?;
        let memory_bytes = free_memory_bytes();
        if memory_bytes >= needed_bytes {
            return Ok(Self {
                place: Place::Memory,
                folder,
                room_bytes: memory_bytes,
                others_bytes: 0,
            });
        }
        let above = folder.parent().unwrap_or(folder);
        let free_bytes = rustix::fs::statvfs(above)
            .map(|room| room.f_bavail * room.f_frsize)
            .map_err(no_copy(format!("look at {}", above.display())))?;
        let disk_bytes = a_good_part(free_bytes);
        if disk_bytes < needed_bytes {
            return Err(RehearseError::NoRoom {
                memory_bytes,
                disk_bytes,
                folder: above.to_owned(),
                needed_bytes,
            });
        }
        make_directory(folder, 0o700)?;
        Ok(Self {
            place: Place::Disk,
            folder,
            room_bytes: disk_bytes,
            others_bytes: free_bytes - disk_bytes,
        })
    }

    /// No quota bounds layers on a disk: what writes to them is stopped, whoever takes the room,
    /// before others are short of it.
    fn full(&self, layers: &OwnedFd) -> Option<String> {
        let room = match rustix::fs::fstatvfs(layers) {
            Ok(room) => room,
            // Nothing else bounds what is written.
            Err(error) => return Some(format!("stopped, since its room can't be told: {error}")),
        };
        (room.f_bavail * room.f_frsize < self.others_bytes).then(|| {
            format!(
                "stopped, since it had written so much to the copy that fewer than {} were \
                 left below `{}`",
                size(self.others_bytes),
                self.folder.parent().unwrap_or(self.folder).display()
            )
        })
    }

    /// Puts it where the layers are made, in this thread's namespace.
    fn open(&self) -> Result<(), RehearseError> {
        match self.place {
            Place::Memory => {
                let options = CString::new(format!("mode=0700,size={}", self.room_bytes))
                    .expect("made of literals and numbers");
                let flags = MountFlags::NOSUID | MountFlags::NODEV;
                mount("steadfast", WORKSHOP, "tmpfs", flags, &*options)
            }
            Place::Disk => mount_bind(self.folder, WORKSHOP),
        }
        .map_err(no_copy("get a place for it"))
    }
}

fn remove_folder(folder: &Path) -> Result<(), RehearseError> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(no_copy(format!("remove {}", folder.display()))(error)),
    }
}

/// A copy of the host, in the mount namespace of the calling thread.
struct Copy {
    root: CString,
    layers: Vec<Layer>,
    /// Mounts of the host that it has not.
    hidden: Vec<PathBuf>,
    share: Option<Share>,
    /// No file that it writes may be larger.
    most_bytes: u64,
    /// The layers are reached through it.
    workshop: OwnedFd,
    _lowers: Vec<OwnedFd>,
}

impl Copy {
    fn make(workshop: &Workshop<'_>) -> Result<Self, RehearseError> {
        unshare(UnshareFlags::NEWNS).map_err(no_copy("get a mount namespace"))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(no_copy("keep mounts private"))?;
        let mounts = std::fs::read("/proc/thread-self/mountinfo")
            .map(|bytes| parse_mountinfo(&bytes))
            .map_err(no_copy("list the mounts"))?;
        // The packages lie beside it.
        let points = points(&mounts, workshop.folder);
        // All are opened before the first mount hides one.
        let lowers = points
            .iter()
            .map(|point| open(&point.at).map_err(no_copy(format!("open {}", point.at.display()))))
            .collect::<Result<Vec<_>, _>>()?;
        workshop.open()?;
        let handle = open(Path::new(WORKSHOP)).map_err(no_copy("open its place"))?;
        let root = PathBuf::from(WORKSHOP).join("root");
        make_directory(&root, 0o755)?;
        let mut copy = Self {
            root: c_string(&root),
            layers: Vec::new(),
            hidden: mounts
                .iter()
                .filter(|line| !is_copied(line, workshop.folder))
                .map(|line| line.mount.path.as_path().to_owned())
                .collect(),
            share: Share::take(most_memory_bytes(), MOST_PROCESSES),
            most_bytes: workshop.room_bytes,
            workshop: handle,
            _lowers: Vec::new(),
        };
        for (number, (point, lower)) in points.iter().zip(&lowers).enumerate() {
            copy.lay_over(number, point, lower, &root, workshop.place)?;
        }
        let at = inside(&root, workshop.folder);
        // The layers themselves are not shown; nor are they where their file system is not.
        if workshop.place == Place::Disk && at.is_dir() {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY;
            mount("steadfast", &at, "tmpfs", flags, c"mode=0700")
                .map_err(no_copy("hide its own layers"))?;
        }
        copy._lowers = lowers;
        own_parts(&root)?;
        // Services belong to the host: none is started or stopped (invoke-rc.d(8)).
        let policy = root.join("usr/sbin/policy-rc.d");
        // Never through a link that stands there.
        let _ = std::fs::remove_file(&policy);
        std::fs::write(&policy, "#!/bin/sh\nexit 101\n")
            .and_then(|()| {
                std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o755))
            })
            .map_err(no_copy("keep services out of it"))?;
        Ok(copy)
    }

    fn lay_over(
        &mut self,
        number: usize,
        point: &Point,
        lower: &OwnedFd,
        root: &Path,
        place_of_layers: Place,
    ) -> Result<(), RehearseError> {
        let at = inside(root, &point.at);
        let place = |what: &str| PathBuf::from(format!("{WORKSHOP}/{what}-{number}"));
        let (upper, work) = (place("upper"), place("work"));
        let mode = point
            .at
            .metadata()
            .map_or(0o755, |metadata| metadata.permissions().mode() & 0o7777);
        make_directory(&upper, mode)?;
        make_directory(&work, 0o700)?;
        // By handle, since a name may hold a colon or a comma, which would end the option.
        // Layers tell what was written only when whole files and directories are copied up.
        // Nothing of it has to outlive a power cut: on a disk nothing is waited for.
        let volatile = match place_of_layers {
            Place::Memory => "",
            Place::Disk => ",volatile",
        };
        let options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off{volatile}",
            through(lower).display(),
            upper.display(),
            work.display()
        );
        let options = CString::new(options).expect("made of literals and numbers");
        match mount("steadfast", &at, "overlay", MountFlags::empty(), &*options) {
            Ok(()) => {
                self.layers.push(Layer {
                    at: point.at.clone(),
                    lower: through(lower),
                    upper,
                });
                Ok(())
            }
            Err(errno) if point.at == Path::new("/") => {
                Err(no_copy("lay something over the root")(errno))
            }
            // What writes there fails, and is seen to fail.
            Err(_) => {
                let no_view = || no_copy(format!("show {}", point.at.display()));
                mount_bind(through(lower), &at).map_err(no_view())?;
                make_read_only_below(&c_string(&at)).map_err(no_view())?;
                Ok(())
            }
        }
    }

    fn run(
        &self,
        step: &Step,
        variables: &[(&str, &str)],
        watch: Option<Watch<'_>>,
        streams: Streams,
    ) -> Result<Output, String> {
        let door = self.share.as_ref().map(Share::door);
        let door = door.map(|fd| fd.try_clone_to_owned()).transpose();
        let door = door.map_err(|error| error.to_string())?;
        let limits = Limits {
            memory_bytes: MOST_MEMORY_BYTES,
            processes: MOST_PROCESSES,
            file_bytes: self.most_bytes,
        };
        let cell = Cell::new(self.root.clone(), &limits, door);
        let args: Vec<OsString> = step.args.iter().map(OsString::from).collect();
        let enter = move || {
            if streams == Streams::Together {
                errors_to_output()?;
            }
            cell.enter()
        };
        let ran = run_watched(&step.program, &args, variables, enter, step.limit, watch);
        ran.map_err(|trouble| match trouble {
            Trouble::Absent => "it is gone".to_owned(),
            Trouble::Unknown(reason) => reason.to_string(),
        })
    }
}

/// `/proc` is mounted by the cell, once its processes are there; `/sys` is shown, and the rest
/// is its own.
fn own_parts(root: &Path) -> Result<(), RehearseError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    for (name, mode) in [("run", "0755"), ("tmp", "1777"), ("dev", "0755")] {
        let at = root.join(name);
        if !at.is_dir() {
            make_directory(&at, 0o755)?;
        }
        let options = CString::new(format!("mode={mode}")).expect("made of literals");
        // Device nodes are bound into /dev.
        let flags = match name {
            "dev" => MountFlags::NOSUID,
            _ => flags,
        };
        mount("steadfast", &at, "tmpfs", flags, &*options)
            .map_err(no_copy(format!("give it its own /{name}")))?;
    }
    make_directory(&root.join("run/lock"), 0o777)?;
    // sshd checks nothing without it.
    make_directory(&root.join("run/sshd"), 0o755)?;
    for device in DEVICES {
        let path = Path::new(OsStr::from_bytes(device.to_bytes()));
        let at = inside(root, path);
        // A host may lack some. What is bound is the host's own node: its mode and its owner are
        // not to be changed through it, which leaves reading and writing as they are.
        if path.exists() {
            std::fs::write(&at, []).map_err(no_copy("give it its own /dev"))?;
            mount_bind(path, &at).map_err(no_copy("give it its own /dev"))?;
            make_read_only_below(&c_string(&at)).map_err(no_copy("give it its own /dev"))?;
        }
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(target, root.join("dev").join(name))
            .map_err(no_copy("give it its own /dev"))?;
    }
    let sys = root.join("sys");
    if sys.is_dir() && Path::new("/sys/kernel").is_dir() {
        mount_bind("/sys", &sys).map_err(no_copy("show /sys"))?;
        make_read_only_below(&c_string(&sys)).map_err(no_copy("show /sys"))?;
    }
    Ok(())
}

/// A mount of the host that gets an overlay.
struct Point {
    at: PathBuf,
}

/// The local mounts with files of their own, parents first, each once; and whatever `shown` lies on.
fn points(mounts: &[MountLine], shown: &Path) -> Vec<Point> {
    let mut points: Vec<Point> = mounts
        .iter()
        .filter(|line| is_copied(line, shown))
        .map(|line| Point {
            at: line.mount.path.as_path().to_owned(),
        })
        // A file that is mounted over a file; and what lies below our own parts is hidden.
        .filter(|point| point.at.is_dir())
        .filter(|point| {
            ["/proc", "/sys", "/dev", "/run", "/tmp"]
                .iter()
                .all(|top| !point.at.starts_with(top))
        })
        .collect();
    points.sort_by(|a, b| a.at.cmp(&b.at));
    points.dedup_by(|a, b| a.at == b.at);
    points
}

fn is_copied(line: &MountLine, shown: &Path) -> bool {
    let mount = &line.mount;
    mount.path.as_bytes() == b"/"
        || !is_of_the_kernel(&mount.fs_type)
            && (!TRANSIENT.contains(&mount.fs_type.as_str())
                || shown.starts_with(mount.path.as_path()))
            && !is_remote(&mount.fs_type)
}

/// Memory that the kernel could give without taking it from anybody, less what the host itself
/// may need (proc_meminfo(5), `MemAvailable`).
fn free_memory_bytes() -> u64 {
    a_good_part(available_bytes())
}

/// What all processes of a rehearsal may hold, its layers in memory among them: the host's own are
/// never short of memory for it.
fn most_memory_bytes() -> u64 {
    available_bytes() / 10 * 8
}

fn available_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available_kb = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok());
    available_kb.unwrap_or(0) * 1024
}

/// Less a part that others may need meanwhile.
const fn a_good_part(bytes: u64) -> u64 {
    bytes / 10 * 6
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

fn through(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("paths of mounts hold no zero byte")
}

fn make_directory(path: &Path, mode: u32) -> Result<(), RehearseError> {
    std::fs::create_dir(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .map_err(no_copy(format!("make {}", path.display())))
}
