//! The sessions of people: what the services by which somebody signs in call for each.

use model::value::Reason;
use model::{HostPath, Probe, SourceLine};

use super::pam_stack::{self, Entry, Stack};
use crate::Answers;

/// Services by which people get a session, where they are there.
const SERVICES: [&str; 8] = [
    "gdm-password",
    "lightdm",
    "login",
    "lxdm",
    "sddm",
    "sshd",
    "su",
    "su-l",
];

/// One service's stack.
#[derive(Clone, Debug)]
pub struct Session {
    pub service: String,
    stack: Stack,
}

impl Session {
    /// The calls of a module for a session, in order.
    pub fn calls<'a>(&'a self, module: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.stack
            .entries
            .iter()
            .filter(move |entry| entry.call.facility == "session" && entry.call.module == module)
    }

    /// The service's own file.
    pub fn path(&self) -> Option<HostPath> {
        match self.service.starts_with('/') {
            true => HostPath::from_bytes(self.service.as_bytes()).ok(),
            false => HostPath::literal(pam_stack::DIRECTORY)
                .join(&self.service)
                .ok(),
        }
    }

    pub fn name(&self) -> &str {
        self.service.rsplit('/').next().unwrap_or_default()
    }

    /// Where the service has its sessions' usual calls from.
    pub fn includes_common(&self) -> Option<&SourceLine> {
        self.stack
            .entries
            .iter()
            .find(|entry| entry.at.path.file_name() == b"common-session")
            .map(|entry| &entry.at)
    }
}

/// The sessions, why one is not known, and what has to be read.
pub fn sessions(seen: &Answers) -> (Vec<Session>, Option<Reason>, Vec<Probe>) {
    let (services, mut hidden, mut probes) = pam_stack::services(seen);
    let mut sessions = Vec::new();
    for service in services {
        let name = service.rsplit('/').next().unwrap_or_default();
        if !SERVICES.contains(&name) {
            continue;
        }
        let (stack, more) = pam_stack::read(seen, &service);
        probes.extend(more);
        match stack.hidden {
            // Without a file that it includes, nobody gets in by it.
            Some(Reason::Unavailable { .. }) => {}
            Some(reason) => {
                hidden.get_or_insert(reason);
            }
            None => sessions.push(Session { service, stack }),
        }
    }
    (sessions, hidden, probes)
}
