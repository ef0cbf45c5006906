//! What makes recovery outlive this process: a copy of the program in the state directory,
//! and a unit that runs it at boot. Put there by a journaled change like any other.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::plan::{PLAN_FORMAT, Selection};
use model::{Action, ActionId, Digest, Effect, HostPath, Inverse, Mode, Plan, Risk, UnitOp};

use crate::LocalHost;
use crate::act::place::{LastLink, Root};
use crate::act::unit;
use crate::apply::{Applied, ApplyError, ApplyOptions, Origin, Verdict, apart, apply_as};
use crate::event::Event;
use crate::image::Node;
use crate::state::{State, StateError, sync_directory};

/// What the change serves that puts these there.
pub const OWN: &str = "steadfast";
const UNITS: &str = "/etc/systemd/system";
const WANTS: &str = "/etc/systemd/system/sysinit.target.wants";
/// How the names of all our units at boot begin.
const NAME: &str = "steadfast-recover";
/// The state directory whose unit has no more than that for a name.
const USUAL_STATE: &str = "/var/lib/steadfast";

/// The unit of one state directory: each has its own, so that none stays unserved when
/// another one is used after it.
struct BootUnit {
    name: String,
    path: HostPath,
    /// Starts it at boot.
    link: HostPath,
}

impl BootUnit {
    fn of(state: &State) -> Self {
        let directory = state.directory();
        let name = match directory == Path::new(USUAL_STATE) {
            true => format!("{NAME}.service"),
            false => {
                let digest = Digest::of(directory.as_os_str().as_encoded_bytes());
                format!("{NAME}-{}.service", digest.short())
            }
        };
        let below = |directory: &'static str| {
            let path = HostPath::literal(directory).join(&name);
            path.expect("the name is of letters, digits, `-` and `.`")
        };
        Self {
            path: below(UNITS),
            link: below(WANTS),
            name,
        }
    }
}

/// What became of the recovery units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// They were put there by this change.
    Now(Applied),
    AlreadyThere,
    /// systemd does not run this host: recovery runs before the next command only.
    NoSystemd,
}

/// What was removed, and what stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uninstalled {
    pub removed: Vec<PathBuf>,
    /// The journal and the before-images, without which nothing could be undone.
    pub stays: Vec<PathBuf>,
    /// Recovery units of other state directories, which are not ours to remove.
    pub others: Vec<PathBuf>,
    pub applied: Option<Applied>,
}

/// Where the copy of the program is.
pub fn program(state: &State) -> PathBuf {
    state.directory().join("bin").join("steadfast")
}

/// A blank, a quote, `%` or `$` means something in a unit file (systemd.unit(5)), and a unit
/// that does not start takes nothing back.
fn refuse_unless_plain(directory: &Path) -> Result<(), StateError> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(byte);
    match directory.as_os_str().as_encoded_bytes().iter().all(plain) {
        true => Ok(()),
        false => Err(StateError::Untrusted {
            directory: Some(directory.to_owned()),
            path: directory.to_owned(),
            why: "has characters that mean something else to systemd, which recovers from it"
                .to_owned(),
        }),
    }
}

/// Early, so that a host whose network change nobody confirmed comes up as it was; after the
/// local file systems, since that is what is put back. What reads configuration this early
/// without waiting for `sysinit.target` is named: beside it, the one that reads last would win.
fn unit_text(state: &State) -> String {
    let program = program(state);
    let (program, directory) = (program.display(), state.directory().display());
    format!(
        "# Put here by Steadfast; `steadfast uninstall` removes it.\n\
         [Unit]\n\
         Description=Finish or take back an interrupted Steadfast change\n\
         DefaultDependencies=no\n\
         ConditionFileIsExecutable={program}\n\
         RequiresMountsFor={directory}\n\
         After=local-fs.target systemd-remount-fs.service systemd-modules-load.service\n\
         Before=sysinit.target network-pre.target shutdown.target\n\
         Before=systemd-sysctl.service systemd-tmpfiles-setup.service apparmor.service\n\
         Before=audit-rules.service auditd.service nftables.service ufw.service netfilter-persistent.service\n\
         Before=systemd-resolved.service systemd-networkd.service systemd-timesyncd.service\n\
         Wants=network-pre.target\n\
         Conflicts=shutdown.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         # Another state directory's unit may be at work, and hold the lock.\n\
         ExecStart={program} recover --wait 4m --state {directory}\n\
         # 4: something was taken back, which is what it is here for.\n\
         SuccessExitStatus=4\n\
         TimeoutStartSec=300\n\
         \n\
         [Install]\n\
         WantedBy=sysinit.target\n"
    )
}

/// Keeps a copy of `running` (this program) and installs the recovery unit.
pub fn install(
    host: &LocalHost,
    state: &State,
    running: &Path,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Installed, ApplyError> {
    copy_program(state, running)?;
    if !unit::is_booted() {
        return Ok(Installed::NoSystemd);
    }
    refuse_unless_plain(state.directory())?;
    let text = unit_text(state);
    let unit = BootUnit::of(state);
    let wants = HostPath::literal(WANTS);
    let root = Root::live()?;
    let has = |path: &HostPath| Node::capture(&root, path, LastLink::Itself, None);
    let is_current = root.read(&unit.path, 1 << 20)?.as_deref() == Some(text.as_bytes());
    if is_current && matches!(has(&unit.link)?.1, Node::Link { .. }) {
        return Ok(Installed::AlreadyThere);
    }
    let mut effects = Vec::new();
    if has(&wants)?.1 == Node::Absent {
        effects.push(Effect::MakeDir {
            path: wants,
            mode: Mode::new(0o755),
            owner: None,
            group: None,
            as_user: None,
        });
    }
    effects.push(Effect::PutFile {
        path: unit.path.clone(),
        content: text.into(),
        mode: Some(Mode::new(0o644)),
        owner: None,
        group: None,
        as_user: None,
        drop_acl: false,
    });
    effects.push(Effect::Link {
        path: unit.link,
        target: unit.path.as_bytes().to_vec().into(),
    });
    let plan = own_plan(host, &unit.name, effects);
    let applied = apply_as(
        host,
        state,
        &plan,
        options,
        &|_| Verdict::default(),
        sink,
        Origin::Own,
    )?;
    Ok(Installed::Now(applied))
}

/// Removes the recovery unit and the copy of the program. Journal and before-images stay.
pub fn uninstall(
    host: &LocalHost,
    state: &State,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Uninstalled, ApplyError> {
    // What waits is taken back, in time or at the next boot, by what goes here.
    if let Some(first) = apart::unended(state)? {
        return Err(ApplyError::Pending(first));
    }
    let mut done = Uninstalled {
        stays: vec![state.directory().to_owned()],
        ..Uninstalled::default()
    };
    let root = Root::live()?;
    let unit = BootUnit::of(state);
    done.others = others(&root, &unit)?;
    let mut effects = Vec::new();
    for path in [unit.link, unit.path] {
        if Node::capture(&root, &path, LastLink::Itself, None)?.1 != Node::Absent {
            done.removed.push(path.as_path().to_owned());
            effects.push(Effect::Remove { path });
        }
    }
    if !effects.is_empty() {
        let plan = own_plan(host, &unit.name, effects);
        let applied = apply_as(
            host,
            state,
            &plan,
            options,
            &|_| Verdict::default(),
            sink,
            Origin::Own,
        )?;
        done.applied = Some(applied);
    }
    let program = program(state);
    if program.exists() {
        std::fs::remove_file(&program).map_err(io("remove", &program))?;
        done.removed.push(program);
    }
    Ok(done)
}

/// The units of other state directories.
fn others(root: &Root, own: &BootUnit) -> Result<Vec<PathBuf>, ApplyError> {
    let units = HostPath::literal(UNITS);
    let names = root.list(&units)?.unwrap_or_default();
    let is_other = |name: &[u8]| {
        name.starts_with(NAME.as_bytes())
            && name.ends_with(b".service")
            && name != own.name.as_bytes()
    };
    let mut others: Vec<PathBuf> = names
        .iter()
        .filter(|name| is_other(name))
        .filter_map(|name| Some(units.join(name).ok()?.as_path().to_owned()))
        .collect();
    others.sort();
    Ok(others)
}

/// A plan of our own: one set, then systemd reads its units again.
fn own_plan(host: &LocalHost, unit: &str, effects: Vec<Effect>) -> Plan {
    let reload = Effect::Unit {
        name: unit.to_owned(),
        op: UnitOp::DaemonReload,
    };
    let actions = effects
        .into_iter()
        .chain([reload])
        .zip(0..)
        .map(|(effect, number)| Action {
            id: ActionId(number),
            serves: vec![OWN.to_owned()],
            inverse: match effect.is_activation() {
                true => Inverse::Repeat,
                false => Inverse::Restore,
            },
            effect,
            rests_on: Vec::new(),
            after: (0..number).map(ActionId).collect(),
            change_set: 0,
            risk: Risk::None,
            risk_why: None,
            validate: None,
            sensitive: false,
            decided_on_host: false,
            along: model::plan::Along::default(),
            edit: None,
        })
        .collect();
    Plan {
        format: PLAN_FORMAT,
        host: host.identity(),
        selection: Selection::default(),
        actions,
        left_alone: Vec::new(),
        premises: Vec::new(),
    }
}

fn io(what: &'static str, path: &Path) -> impl Fn(io::Error) -> ApplyError {
    move |source| {
        ApplyError::State(StateError::Io {
            what,
            path: path.to_owned(),
            source,
        })
    }
}

fn copy_program(state: &State, running: &Path) -> Result<(), ApplyError> {
    let path = program(state);
    let directory = state.directory().join("bin");
    let fail = io("keep a copy of the program in", &directory);
    if !directory.exists() {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(&fail)?;
    }
    let mut source = File::open(running).map_err(&fail)?;
    let (wanted, _) = crate::image::digest(&mut source).map_err(&fail)?;
    if let Ok(mut current) = File::open(&path)
        && crate::image::digest(&mut current).map_err(&fail)?.0 == wanted
    {
        return Ok(());
    }
    let temporary = directory.join("steadfast.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o700)
        .open(&temporary)
        .map_err(&fail)?;
    let mut source = File::open(running).map_err(&fail)?;
    io::copy(&mut source, &mut file)
        .and_then(|_| file.sync_all())
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(|error| {
            // It would take the room that is missing.
            let _ = std::fs::remove_file(&temporary);
            fail(error)
        })?;
    sync_directory(&directory)?;
    Ok(())
}
