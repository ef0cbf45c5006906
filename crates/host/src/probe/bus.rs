//! systemd's manager, asked over the system bus (org.freedesktop.systemd1(5)). A thread of
//! its own holds the one connection of an audit, so that a manager that does not answer
//! costs one time limit and not one for each unit.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use model::HostPath;
use model::value::{Reason, UnitSeen};
use zbus::wire::{OwnedObjectPath, OwnedVariant};

/// Units answer in a millisecond; a manager that is busy starting something may take longer.
const LIMIT: Duration = Duration::from_secs(5);

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// None: no such unit.
    Seen(Option<UnitSeen>),
    /// There is no bus, or this user may not use it.
    NoBus,
    Trouble(Reason),
}

type Request = (String, SyncSender<Answer>);

/// The connection, behind its thread.
pub struct Bus {
    /// None once it did not answer in time.
    requests: Mutex<Option<Sender<Request>>>,
}

impl Bus {
    pub fn start() -> Self {
        let (requests, receiver) = mpsc::channel();
        let started = thread::Builder::new()
            .name("steadfast-bus".to_owned())
            .spawn(move || serve(&receiver));
        Self {
            requests: Mutex::new(started.is_ok().then_some(requests)),
        }
    }

    pub fn unit(&self, name: &str) -> Answer {
        let timed_out = || {
            Answer::Trouble(Reason::TimedOut {
                after_ms: u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX),
            })
        };
        let lock = || self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, wait) = mpsc::sync_channel(1);
        match &*lock() {
            None => return timed_out(),
            Some(requests) => {
                if requests.send((name.to_owned(), answer)).is_err() {
                    return Answer::NoBus;
                }
            }
        }
        match wait.recv_timeout(LIMIT) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Answer::NoBus,
            Err(RecvTimeoutError::Timeout) => {
                *lock() = None;
                timed_out()
            }
        }
    }
}

/// Answers requests until nobody can ask any more.
fn serve(requests: &Receiver<Request>) {
    let connection = zbus::block_on(zbus::Connection::system());
    for (name, answer) in requests {
        let seen = match &connection {
            Ok(connection) => zbus::block_on(unit(connection, &name)),
            Err(_) => Answer::NoBus,
        };
        // Nobody may be waiting any more.
        let _ = answer.send(seen);
    }
}

async fn unit(connection: &zbus::Connection, name: &str) -> Answer {
    match ask(connection, name).await {
        Ok(seen) => Answer::Seen(seen),
        Err(error) => Answer::Trouble(Reason::Failed {
            why: format!("systemd did not answer for `{name}`: {error}"),
        }),
    }
}

async fn ask(connection: &zbus::Connection, name: &str) -> zbus::Result<Option<UnitSeen>> {
    // LoadUnit reads the unit's files where the manager does not hold them, as `systemctl
    // show` does; nothing starts.
    let reply = connection
        .call_method(
            Some(SERVICE),
            MANAGER_PATH,
            Some(MANAGER),
            "LoadUnit",
            &(name,),
        )
        .await?;
    let path: OwnedObjectPath = reply.body().deserialize()?;
    let reply = connection
        .call_method(
            Some(SERVICE),
            path.as_str(),
            Some("org.freedesktop.DBus.Properties"),
            "GetAll",
            &("org.freedesktop.systemd1.Unit",),
        )
        .await?;
    let body = reply.body();
    let properties: HashMap<&str, OwnedVariant> = body.deserialize()?;
    let text = |key: &str| -> Option<String> {
        let value = properties.get(key)?;
        <&str>::try_from(value)
            .ok()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let load_state = text("LoadState").unwrap_or_default();
    let active_state = text("ActiveState");
    // A unit whose file is gone may still run.
    if load_state == "not-found" && active_state.as_deref() == Some("inactive") {
        return Ok(None);
    }
    // The manager keeps the property until it is reloaded; the method looks at the files.
    let fresh = connection
        .call_method(
            Some(SERVICE),
            MANAGER_PATH,
            Some(MANAGER),
            "GetUnitFileState",
            &(text("Id").unwrap_or_else(|| name.to_owned()),),
        )
        .await
        .ok()
        .and_then(|reply| reply.body().deserialize::<String>().ok());
    let drop_ins = properties
        .get("DropInPaths")
        .and_then(|value| Vec::<String>::try_from(value.clone()).ok())
        .unwrap_or_default();
    let files = text("FragmentPath")
        .into_iter()
        .chain(drop_ins)
        .filter_map(|path| HostPath::from_bytes(path.as_bytes()).ok())
        .collect();
    Ok(Some(UnitSeen {
        load_state,
        active_state,
        is_to_come: false,
        unit_file_state: fresh.or_else(|| text("UnitFileState")),
        files,
    }))
}
