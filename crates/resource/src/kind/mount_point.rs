//! `mount_point`: that a directory is a file system of its own. Only a person can make
//! it one, since that takes a partition and a move of what is there.

use model::value::{FstabLine, MountsSeen};
use model::{HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::mount::in_effect;
use crate::{Answers, Drift, Judgement, Kind, Phase, Seen};

/// A directory that must be a file system of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountPoint {
    /// The absolute path.
    pub path: HostPath,
}

impl Kind for MountPoint {
    const NAME: &'static str = "mount_point";
    const PHASE: Phase = Phase::Kernel;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.path.to_string(),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        vec![Probe::Mounts]
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let mounts = match seen.mounts() {
            Seen::Known(mounts) => mounts,
            Seen::Unknown(reason) => return reason.into(),
            Seen::Absent | Seen::NotAsked => return Judgement::not_asked(),
        };
        if let Some(mount) = mounts.mounted.iter().rfind(|mount| mount.path == self.path) {
            let observed = format!("{} on {}", mount.fs_type, mount.source);
            if let Some(line) = self.by_hand_alone(mounts) {
                return Judgement::drift(Drift {
                    observed: format!(
                        "{}, and not mounted at boot (noauto)",
                        printable(observed.as_bytes())
                    ),
                    wanted: "a file system of its own".to_owned(),
                    at: vec![SourceLine::new(HostPath::literal("/etc/fstab"), line.line)],
                    by_hand: Some("take `noauto` out of its line".to_owned()),
                    ..Drift::default()
                });
            }
            return Judgement::compliant(printable(observed.as_bytes()));
        }
        Judgement::drift(Drift {
            observed: match holder(mounts, &self.path) {
                Some(holder) => format!("part of {holder}"),
                None => "not mounted".to_owned(),
            },
            wanted: "a file system of its own".to_owned(),
            by_hand: Some(format!(
                "make a file system for {}, copy what is there, and add it to /etc/fstab",
                self.path
            )),
            ..Drift::default()
        })
    }
}

impl MountPoint {
    /// The line by which nothing mounts it at boot (fstab(5), `noauto`): it is what it is since
    /// somebody mounted it.
    fn by_hand_alone<'a>(&self, mounts: &'a MountsSeen) -> Option<&'a FstabLine> {
        let of_this = |line: &&FstabLine| line.path.as_bytes() == self.path.as_bytes();
        let line = mounts.fstab.iter().rfind(of_this)?;
        let options = || line.options.iter().map(String::as_str);
        let is_wanted_later = options().any(|option| option == "x-systemd.automount");
        (in_effect(options(), "noauto") && !is_wanted_later).then_some(line)
    }
}

/// The innermost mount that `path` lies on.
fn holder<'a>(mounts: &'a MountsSeen, path: &HostPath) -> Option<&'a HostPath> {
    mounts
        .mounted
        .iter()
        .map(|mount| &mount.path)
        .filter(|mount| path.is_within(mount))
        .max_by_key(|mount| mount.as_bytes().len())
}
