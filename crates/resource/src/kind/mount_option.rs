//! `mount_option`: options of a file system, as it is mounted now and as it will be at
//! boot, whether `/etc/fstab` or a mount unit says so.
//!
//! systemd makes a unit of each line of fstab. A unit of that name in `/etc` counts before it, one
//! of a package after it, and drop-ins count over each of them (systemd.mount(5), systemd.unit(5)).

use model::plan::Risk;
use model::value::{Mount, MountsSeen, Reason};
use model::{Effect, HostPath, Mode, Probe, ResourceKey, SourceLine, UnitOp};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::mount::{implied, in_effect, unit_of, with};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen, Syntax};

/// Mount options. A directory that is not a file system of its own does not apply.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountOption {
    /// Where it is mounted.
    pub path: HostPath,
    /// Options that must be in effect: `[nodev, nosuid, noexec]`. Others stay as they are.
    pub options: Vec<String>,
}

const FSTAB: &str = "/etc/fstab";

/// Mounted by systemd itself before it reads anything; systemd-remount-fs(8) gives them the
/// options of their line in fstab afterwards.
const API: [&str; 5] = ["/dev", "/dev/shm", "/proc", "/run", "/sys"];
/// Mounted before systemd starts units as well: of these, too, fstab alone is asked.
const EARLY: [&str; 2] = ["/", "/usr"];

impl Kind for MountOption {
    const NAME: &'static str = "mount_option";
    const PHASE: Phase = Phase::Kernel;

    /// With the options: two wants of one file system add up.
    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: format!("{} {}", self.path, self.options.join(",")),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::Mounts, Probe::file(HostPath::literal(FSTAB))];
        let Seen::Known(mounts) = seen.mounts() else {
            return probes;
        };
        if self.mount(mounts).is_none() || self.fstab_alone(mounts).is_some() {
            return probes;
        }
        let name = unit_of(&self.path);
        let drop_in = drop_in(&name);
        probes.extend(drop_in.parent().map(|path| Probe::Dir { path }));
        probes.push(Probe::file(drop_in));
        probes.push(Probe::file(own_unit(&name)));
        probes.extend(files(&name, seen).into_iter().flatten().map(Probe::file));
        probes.push(Probe::Unit { name });
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let mounts = match seen.mounts() {
            Seen::Known(mounts) => mounts,
            Seen::Unknown(reason) => return reason.into(),
            Seen::Absent | Seen::NotAsked => return Judgement::not_asked(),
        };
        let Some(mount) = self.mount(mounts) else {
            return Judgement::NotApplicable(format!(
                "{} is not a file system of its own",
                self.path
            ));
        };
        let missing_now = self.missing(&mount.options);
        let boot = match self.boot(mounts, seen) {
            Ok(boot) => boot,
            // Where nothing says how it is mounted at boot, what is true now can still be wrong.
            Err(reason) if missing_now.is_empty() => return reason.into(),
            Err(_) => Boot::Nothing,
        };
        let (missing_at_boot, at) = match &boot {
            Boot::Fstab(options, at) => (self.missing(&implied(options)), vec![at.clone()]),
            Boot::Unit { options, at, .. } => (self.missing(options), vec![at.clone()]),
            Boot::Nothing => (self.missing_of_systemds(&missing_now), Vec::new()),
        };
        if missing_now.is_empty() && missing_at_boot.is_empty() {
            return Judgement::Compliant {
                observed: model::printable(mount.options.join(",").as_bytes()),
                at,
            };
        }
        let mut drift = Drift {
            observed: if missing_now.is_empty() {
                format!("without {} at boot", missing_at_boot.join(", "))
            } else {
                format!("without {}", missing_now.join(", "))
            },
            wanted: self.options.join(", "),
            at,
            ..Drift::default()
        };
        if !missing_at_boot.is_empty() {
            match self.at_boot(mount, &boot, seen) {
                Ok(edits) => drift.edits = edits,
                Err(by_hand) => {
                    drift.by_hand = Some(by_hand);
                    return Judgement::drift(drift);
                }
            }
            drift.activate.push(Effect::Unit {
                name: unit_of(&self.path),
                op: UnitOp::DaemonReload,
            });
        }
        if !missing_now.is_empty() {
            drift.edits.push(Edit::act(Effect::Remount {
                path: self.path.clone(),
                options: with(&mount.options, &self.options),
            }));
        }
        Judgement::drift(drift)
    }

    fn risk(&self) -> Risk {
        Risk::Service
    }

    fn check(&self) -> Result<(), String> {
        if self.options.is_empty() {
            return Err("say which options".to_owned());
        }
        for (at, option) in self.options.iter().enumerate() {
            let name = option.split('=').next().unwrap_or_default();
            let plain = |byte: u8| byte.is_ascii_graphic() && !b",\\#\"'".contains(&byte);
            if name.is_empty() || !option.bytes().all(plain) {
                return Err(format!(
                    "`{}` is not a mount option",
                    model::printable(option.as_bytes())
                ));
            }
            // mount(8), "not visible in /proc": nothing would say that they are in effect.
            const INVISIBLE: [&str; 14] = [
                "auto", "noauto", "defaults", "user", "nouser", "users", "nousers", "owner",
                "group", "_netdev", "nofail", "comment", "loop", "bind",
            ];
            if INVISIBLE.contains(&name) || name.starts_with("x-") || name.starts_with("X-") {
                return Err(format!("`{option}` can't be seen on a mounted file system"));
            }
            let before = self.options[..at].iter().map(String::as_str);
            if before
                .clone()
                .any(|other| other != option && !in_effect([other, option], other))
            {
                return Err(format!("`{option}` contradicts what stands before it"));
            }
        }
        Ok(())
    }
}

/// What decides the options at boot.
enum Boot {
    Fstab(Vec<String>, SourceLine),
    Unit {
        name: String,
        /// `Options=` as written, percent signs doubled.
        raw: String,
        options: Vec<String>,
        at: SourceLine,
    },
    Nothing,
}

impl MountOption {
    /// The one on top, where several are mounted over each other.
    fn mount<'a>(&self, mounts: &'a MountsSeen) -> Option<&'a Mount> {
        mounts.mounted.iter().rfind(|mount| mount.path == self.path)
    }

    fn fstab_line<'a>(&self, mounts: &'a MountsSeen) -> Option<&'a model::value::FstabLine> {
        mounts
            .fstab
            .iter()
            .rfind(|line| line.path.as_bytes() == self.path.as_bytes())
    }

    /// The line, where no unit and no drop-in is asked for it.
    fn fstab_alone<'a>(&self, mounts: &'a MountsSeen) -> Option<&'a model::value::FstabLine> {
        let is_early = API
            .iter()
            .chain(&EARLY)
            .any(|path| path.as_bytes() == self.path.as_bytes());
        self.fstab_line(mounts).filter(|_| is_early)
    }

    fn missing(&self, options: &[String]) -> Vec<String> {
        let in_effect = |wanted: &&String| !in_effect(options.iter().map(String::as_str), wanted);
        self.options.iter().filter(in_effect).cloned().collect()
    }

    /// Without a line of fstab, systemd mounts these as it is built to, whatever a remount by hand
    /// has made of them since (`mount_table` in systemd's mount-setup.c).
    fn missing_of_systemds(&self, missing_now: &[String]) -> Vec<String> {
        const WITHOUT_NOEXEC: [&str; 3] = ["/dev", "/dev/shm", "/run"];
        const WITHOUT_NODEV: [&str; 1] = ["/dev"];
        let is_without = |option: &String| {
            let is_one = |paths: &[&str]| {
                paths
                    .iter()
                    .any(|path| path.as_bytes() == self.path.as_bytes())
            };
            match option.as_str() {
                "noexec" => is_one(&WITHOUT_NOEXEC),
                "nodev" => is_one(&WITHOUT_NODEV),
                _ => false,
            }
        };
        let wanted = self.options.iter();
        wanted
            .filter(|option| missing_now.contains(option) || is_without(option))
            .cloned()
            .collect()
    }

    fn boot(&self, mounts: &MountsSeen, seen: &Answers) -> Result<Boot, Reason> {
        let line = self.fstab_line(mounts).map(|line| {
            let at = SourceLine::new(HostPath::literal(FSTAB), line.line);
            Boot::Fstab(line.options.clone(), at)
        });
        if self.fstab_alone(mounts).is_some() {
            return Ok(line.unwrap_or(Boot::Nothing));
        }
        let name = unit_of(&self.path);
        let mut found: Option<(String, SourceLine)> = None;
        for path in &files(&name, seen)? {
            // What a generator made is gone at the next boot, or made anew from something else.
            if path.as_bytes().starts_with(b"/run/") {
                continue;
            }
            let is_main = !is_drop_in(path);
            if is_main && line.is_some() && !path.as_bytes().starts_with(b"/etc/") {
                continue;
            }
            let Some(file) = seen.file(path).known_or_absent()? else {
                continue;
            };
            let text = String::from_utf8_lossy(file.content.as_bytes());
            if let Some(line) = Syntax::SYSTEMD.effective(&text, "Mount", "Options") {
                found = Some((line.value.clone(), SourceLine::new(path.clone(), line.line)));
            } else if found.is_none() && is_main {
                found = Some((String::new(), SourceLine::file(path.clone())));
            }
        }
        let otherwise = line.unwrap_or(Boot::Nothing);
        Ok(found.map_or(otherwise, |(raw, at)| Boot::Unit {
            name,
            options: raw
                .replace("%%", "%")
                .split(',')
                .map(str::to_owned)
                .collect(),
            raw,
            at,
        }))
    }

    /// The edits that make the options hold at boot, or what a person has to do.
    fn at_boot(&self, mount: &Mount, boot: &Boot, seen: &Answers) -> Result<Vec<Edit>, String> {
        match boot {
            Boot::Fstab(..) => self.edit_fstab(None, seen),
            Boot::Unit { name, raw, at, .. } => {
                let ours = drop_in(name);
                if at.path != ours && at.path.file_name() > ours.file_name() && is_drop_in(&at.path)
                {
                    return Err(format!("{at} is read after ours and wins: change it there"));
                }
                let directory = ours
                    .parent()
                    .filter(|directory| matches!(seen.dir(directory), Seen::Absent));
                let mut edits: Vec<Edit> = directory
                    .map(|path| {
                        Edit::act(Effect::MakeDir {
                            path,
                            mode: Mode::new(0o755),
                            owner: None,
                            group: None,
                            as_user: None,
                        })
                    })
                    .into_iter()
                    .collect();
                edits.push(Edit::Content {
                    path: ours,
                    change: ContentEdit::MountUnit {
                        base: raw.clone(),
                        options: self.options.clone(),
                    },
                    new_file: Some(NewFile::default()),
                    as_user: None,
                });
                Ok(edits)
            }
            Boot::Nothing if API.iter().any(|api| api.as_bytes() == self.path.as_bytes()) => {
                let options = with(&mount.options, &self.options).join(",");
                let fields = [
                    &*mount.source,
                    &self.path.to_string(),
                    &mount.fs_type,
                    &options,
                ];
                if fields
                    .iter()
                    .any(|field| field.is_empty() || field.contains(char::is_whitespace))
                {
                    return Err(format!("add a line for {} to {FSTAB}", self.path));
                }
                let line = format!("{}\t0\t0", fields.join("\t"));
                self.edit_fstab(Some(line), seen)
            }
            Boot::Nothing => Err(format!(
                "neither {FSTAB} nor a unit mounts {}: give it the options where it is mounted",
                self.path
            )),
        }
    }

    fn edit_fstab(&self, new_line: Option<String>, seen: &Answers) -> Result<Vec<Edit>, String> {
        let path = HostPath::literal(FSTAB);
        let change = ContentEdit::Fstab {
            path: String::from_utf8_lossy(self.path.as_bytes()).into_owned(),
            options: self.options.clone(),
            new_line,
        };
        let file = seen
            .file(&path)
            .known_or_absent()
            .map_err(|why| format!("edit {path}: {why}"))?;
        let current = file.map(|file| file.content.as_bytes());
        change
            .apply(current)
            .map_err(|why| format!("edit {path}: {why}"))?;
        Ok(vec![Edit::Content {
            path,
            change,
            new_file: Some(NewFile::default()),
            as_user: None,
        }])
    }
}

/// The unit's file and its drop-ins, as the next boot reads them: the manager may not have looked at
/// what was put into `/etc` since.
fn files(unit: &str, seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    let known = seen.unit(unit).known_or_absent()?;
    let mut files = known.map(|unit| unit.files.clone()).unwrap_or_default();
    let own = own_unit(unit);
    if !files.contains(&own) && seen.file(&own).known_or_absent()?.is_some() {
        files.retain(is_drop_in);
        files.insert(0, own);
    }
    if let Some(directory) = drop_in(unit).parent() {
        for path in seen.files_in(&directory, |name| name.ends_with(b".conf"))? {
            if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    files.sort_by(|a, b| {
        let place = |path: &HostPath| is_drop_in(path).then(|| path.file_name().to_vec());
        place(a).cmp(&place(b))
    });
    Ok(files)
}

fn own_unit(unit: &str) -> HostPath {
    let text = format!("/etc/systemd/system/{unit}");
    HostPath::from_bytes(text.as_bytes()).expect("unit names hold no slash, `..` or NUL")
}

fn drop_in(unit: &str) -> HostPath {
    let text = format!("/etc/systemd/system/{unit}.d/50-steadfast.conf");
    HostPath::from_bytes(text.as_bytes()).expect("unit names hold no slash, `..` or NUL")
}

fn is_drop_in(path: &HostPath) -> bool {
    path.parent()
        .is_some_and(|parent| parent.file_name().ends_with(b".d"))
}
