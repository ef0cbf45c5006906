//! Where apt keeps what it has worked out of its lists while it is asked. To work it out costs half a
//! second of a processor with Debian's lists, and each question would do it again; apt's own place is
//! left alone, so that a question changes nothing that others see. Ours is a folder of the state
//! directory, where apt itself sees whether what is there is still right.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::OnceLock;

use super::offers::parse_publishers;
use crate::act::ActError;
use crate::act::program::Program;
use crate::act::upgrade::NO_CACHES;
use crate::state::trust_as_roots;

/// Below the state directory.
const FOLDER: &str = "apt";
/// Two files of some 40 MB with Debian's lists. A disk that is nearly full is better used.
const LEAST_FREE_BYTES: u64 = 256 << 20;

/// The options that say so to apt, and what its sources are.
#[derive(Debug)]
pub struct Caches {
    options: Vec<String>,
    /// Asked once for all questions of a command.
    publishers: OnceLock<BTreeMap<String, String>>,
}

impl Caches {
    const fn with(options: Vec<String>) -> Self {
        Self {
            options,
            publishers: OnceLock::new(),
        }
    }

    /// Who publishes what apt knows, by the words with which it names each source; `now` is dpkg's own
    /// database.
    ///
    /// # Errors
    /// When apt-cache can't be asked.
    pub fn publishers(&self) -> Result<&BTreeMap<String, String>, ActError> {
        if let Some(known) = self.publishers.get() {
            return Ok(known);
        }
        let ended = Program::find(&["/usr/bin/apt-cache"])?
            .args(self.options())
            .args(["policy"])
            .answer()?;
        Ok(self
            .publishers
            .get_or_init(|| parse_publishers(&ended.stdout)))
    }

    /// In memory, for one question.
    pub fn none() -> Self {
        Self::with(NO_CACHES.map(str::to_owned).to_vec())
    }

    /// For root, below the state directory, where that is there and has room. Another user can write
    /// nothing of apt's: what is worked out already is taken from its own place.
    pub fn below(state: &Path) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::with(Vec::new());
        }
        let folder = state.join(FOLDER);
        let free_bytes = rustix::fs::statvfs(state).map(|room| room.f_bavail * room.f_frsize);
        let has_room = free_bytes.is_ok_and(|free| free >= LEAST_FREE_BYTES);
        // Where it is there already, or can't be made, the next line says whether it is of use.
        if has_room {
            let _ = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        }
        // Nobody else may write what apt believes.
        match has_room && folder.is_dir() && trust_as_roots(&folder).is_ok() {
            true => Self::with(
                [("pkgcache", "packages"), ("srcpkgcache", "sources")]
                    .map(|(key, name)| {
                        format!("-oDir::Cache::{key}={}/{name}.bin", folder.display())
                    })
                    .to_vec(),
            ),
            false => Self::none(),
        }
    }

    /// For questions about another database of dpkg's than the host's own.
    pub(super) fn of_database(mut self, status: &Path) -> Self {
        let option = format!("-oDir::State::status={}", status.display());
        self.options.push(option);
        self
    }

    pub fn options(&self) -> Vec<String> {
        self.options.clone()
    }
}
