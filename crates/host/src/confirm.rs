//! Confirm or revert: what could cut people off stays only when somebody confirms it, by
//! `steadfast confirm` or by signing in anew over SSH. A timer of systemd takes it back when
//! this process is gone, and the unit that runs at boot when the machine was restarted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use model::{ChangeId, ChangeState, Digest};

use crate::LocalHost;
use crate::act::place::Root;
use crate::act::program::Program;
use crate::act::{ActError, Context, unit};
use crate::apply::{Applied, ApplyOptions, boot_id};
use crate::crash::CrashPoints;
use crate::event::Event;
use crate::install;
use crate::journal::{Batch, Header, Imaged, Wait};
use crate::lock::{Lock, LockError, is_at_work};
use crate::state::{ChangeRecord, State, StateError};
use crate::take_back::tidy;
use crate::target::Target;
use crate::undo;

mod clock;
pub(crate) mod root;
mod session;
mod sign_in;

pub use session::{Process, Proof, Session, judge, parse_stat};
pub use sign_in::{Accepted, Began, SignIn, began, parse_accepted, parse_journal};

/// Carrying out the plan itself may take this long before the guard thinks that it died.
/// It tries again until it gets the lock, so a longer apply is not cut off.
pub(crate) const APPLY_LIMIT: Duration = Duration::from_secs(600);

/// sshd is told to read its configuration, and does so a moment later.
const SETTLING: Duration = Duration::from_secs(1);

/// How often a waiting change looks for its confirmation.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Asking the system's log costs a process, so it is asked less often.
const ASK_LOG_EVERY: u32 = 5;

/// Who takes a change back when this process is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A timer of systemd that runs this copy of the program.
    Systemd { program: PathBuf },
    /// Nobody: what could cut people off is refused, for this reason.
    None { why: String },
    /// For tests of what is around it.
    #[doc(hidden)]
    Assumed,
}

impl Guard {
    /// The guard that this host can have: systemd, and recovery units that are installed.
    pub fn of(state: &State) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::None {
                why: "only root can leave behind what would take it back: run with sudo".to_owned(),
            };
        }
        if !unit::is_booted() {
            return Self::None {
                why: "systemd does not run this host, so nothing could take the change back \
                      if the connection is lost"
                    .to_owned(),
            };
        }
        let program = install::program(state);
        match program.is_file() {
            true => Self::Systemd { program },
            false => Self::None {
                why: "the recovery units are not installed".to_owned(),
            },
        }
    }

    pub(crate) fn check(&self, root: &Root) -> Result<(), String> {
        match self {
            Self::Systemd { .. } if !root.is_live() => {
                Err("this tree is not the running host".to_owned())
            }
            Self::Systemd { program } => try_out(program),
            Self::Assumed => Ok(()),
            Self::None { why } => Err(why.clone()),
        }
    }

    pub(crate) fn arm(&self, id: ChangeId, state: &State, after: Duration) -> Result<(), String> {
        self.timer(&format!("{}-apply", timer_name(id, state)), state, after)
    }

    pub(crate) fn arm_deadline(
        &self,
        id: ChangeId,
        state: &State,
        after: Duration,
    ) -> Result<(), String> {
        self.timer(&timer_name(id, state), state, after)?;
        self.watch(id, state)
    }

    fn timer(&self, name: &str, state: &State, after: Duration) -> Result<(), String> {
        let Self::Systemd { program } = self else {
            return Ok(());
        };
        let name = of_this_wait(name);
        let start = || -> Result<(), ActError> {
            // A second later than the process that waits, which then does it itself.
            let within = on_startup(
                manager_began_us()?,
                clock::monotonic_us(),
                after + Duration::from_secs(1),
            );
            systemd_run()?
                .args([
                    format!("--unit={name}"),
                    "--description=Take back a Steadfast change that nobody confirmed".to_owned(),
                    format!("--on-startup={}ms", within.as_millis()),
                    "--timer-property=AccuracySec=100ms".to_owned(),
                    // And again as long as there is something to take back.
                    "--timer-property=OnUnitInactiveSec=15".to_owned(),
                    "--property=Type=oneshot".to_owned(),
                ])
                .args(LASTING.map(|property| format!("--timer-property={property}")))
                .args(LASTING.map(|property| format!("--property={property}")))
                .args(recover(program, state))
                .succeed()
                .map(drop)
        };
        start().map_err(|error| format!("nothing would take the change back: {error}"))
    }

    /// A second one beside the timer, that is stopped with none of its names: it looks for a
    /// sign-in and at the deadline as long as something waits.
    fn watch(&self, id: ChangeId, state: &State) -> Result<(), String> {
        let Self::Systemd { program } = self else {
            return Ok(());
        };
        let name = timer_name(id, state).replace("-revert-", "-watch-");
        let name = of_this_wait(&name);
        let start = || -> Result<(), ActError> {
            systemd_run()?
                .args([
                    format!("--unit={name}"),
                    "--description=Watch over a Steadfast change until it is confirmed".to_owned(),
                    "--property=Type=exec".to_owned(),
                    "--property=Restart=on-failure".to_owned(),
                    "--property=RestartSec=5".to_owned(),
                    "--property=StartLimitIntervalSec=0".to_owned(),
                ])
                .args(LASTING.map(|property| format!("--property={property}")))
                .args(recover(program, state))
                .args(["--watch"])
                .succeed()
                .map(drop)
        };
        start().map_err(|error| format!("nothing would watch over the change: {error}"))
    }

    /// Runs the check after a restart of the machine, which waits until the host is up.
    pub(crate) fn look_when_up(&self, state: &State) -> Result<(), String> {
        let Self::Systemd { program } = self else {
            return Ok(());
        };
        let directory = Digest::of(state.directory().as_os_str().as_encoded_bytes()).to_string();
        let start = || -> Result<(), ActError> {
            systemd_run()?
                .args([
                    format!("--unit=steadfast-restarted-{}", &directory[..8]),
                    "--description=Look at the host after a restart for a Steadfast change"
                        .to_owned(),
                    "--property=Type=exec".to_owned(),
                    // It found something: that is no failure of its own.
                    "--property=SuccessExitStatus=1 3 5".to_owned(),
                ])
                .args(LASTING.map(|property| format!("--property={property}")))
                .args(recover(program, state))
                .args(["--restarted"])
                .succeed()
                .map(drop)
        };
        start().map_err(|error| format!("nothing looks at the host after the restart: {error}"))
    }

    pub(crate) fn disarm(&self, id: ChangeId, state: &State) {
        if matches!(self, Self::Systemd { .. }) {
            disarm(id, state);
        }
    }
}

/// No `isolate` of another target ends them, nor the end of what they would rest on; a
/// shutdown does, and then the unit at boot sees to it (systemd.unit(5)).
const LASTING: [&str; 4] = [
    "DefaultDependencies=no",
    "IgnoreOnIsolate=yes",
    "Conflicts=shutdown.target",
    "Before=shutdown.target",
];

/// Starting a program that prints its version takes a moment, on a busy host some seconds.
const TRY_LIMIT: Duration = Duration::from_secs(60);

fn systemd_run() -> Result<Program, ActError> {
    let program = Program::find(&["/usr/bin/systemd-run", "/bin/systemd-run"])?;
    Ok(program.args(["--collect", "--quiet"]))
}

fn systemctl() -> Result<Program, ActError> {
    Program::find(&["/usr/bin/systemctl", "/bin/systemctl"])
}

/// What systemd is to run.
fn recover(program: &Path, state: &State) -> [String; 6] {
    [
        // It took something back: that is no failure of the host.
        "--property=SuccessExitStatus=4".to_owned(),
        "--".to_owned(),
        program.display().to_string(),
        "recover".to_owned(),
        "--state".to_owned(),
        state.directory().display().to_string(),
    ]
}

/// Has systemd run the copy once, before anything is touched: where it may not be run, as on
/// a `noexec` mount, nothing would take the change back.
fn try_out(program: &Path) -> Result<(), String> {
    let run = || -> Result<(), ActError> {
        systemd_run()?
            .args(["--wait", "--service-type=exec"])
            .args(LASTING.map(|property| format!("--property={property}")))
            .args(["--".to_owned(), program.display().to_string()])
            .args(["--version"])
            .limit(TRY_LIMIT)
            .succeed()
            .map(drop)
    };
    let mount = || match rustix::fs::statvfs(program) {
        Ok(at) if at.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC) => {
            ", since its folder is mounted `noexec`"
        }
        _ => "",
    };
    run().map_err(|error| {
        format!(
            "systemd can't run `{}`, which would take it back{}: {error}",
            program.display(),
            mount()
        )
    })
}

/// When systemd itself was started. It keeps this over `daemon-reload` and `daemon-reexec`.
fn manager_began_us() -> Result<u64, ActError> {
    let asked = systemctl()?
        .args(["show", "--property=UserspaceTimestampMonotonic", "--value"])
        .answer()?;
    asked.stdout.trim().parse().map_err(|error| {
        ActError::program(
            "ask systemd when it was started",
            std::io::Error::other(error),
        )
    })
}

/// The time of a timer, counted from the start of systemd: what is counted from the timer's
/// own start begins anew with each `daemon-reload`. `OnBootSec=` would be the same but in a
/// container (systemd.timer(5)).
pub fn on_startup(began_us: u64, now_us: u64, after: Duration) -> Duration {
    Duration::from_micros(now_us.saturating_sub(began_us)) + after
}

/// Changes of two state directories may have one number, and neither may stop the other's
/// timer.
fn timer_name(id: ChangeId, state: &State) -> String {
    let directory = Digest::of(state.directory().as_os_str().as_encoded_bytes()).to_string();
    format!("steadfast-revert-{id}-{}", &directory[..8])
}

/// A change is applied, undone and tried again: what is left of the unit of one wait, which systemd
/// may still have loaded, must not stand in the way of the next.
fn of_this_wait(name: &str) -> String {
    format!("{name}-{}", clock::since_boot_ms())
}

/// Stops the timers of a change that is final. One that stays finds nothing to do.
pub(crate) fn disarm(id: ChangeId, state: &State) {
    if !unit::is_booted() {
        return;
    }
    let name = timer_name(id, state);
    let Ok(program) = systemctl() else { return };
    let _ = program
        .args([
            "stop".to_owned(),
            "--quiet".to_owned(),
            format!("{name}-*.timer"),
        ])
        .run();
}

/// A change can't be confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    #[error("change {id} is {}: there is nothing to confirm", .state.words())]
    NotAwaiting { id: ChangeId, state: ChangeState },
    #[error("the time to confirm change {0} is over")]
    TooLate(ChangeId),
    #[error("this proves nothing about change {id}: it comes from {}", .proof.words())]
    Unproven { id: ChangeId, proof: Proof },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Act(#[from] ActError),
}

/// Keeps a change, or an undo, that waits to be confirmed. `by` says who, or how.
pub fn confirm(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    by: &str,
    now: Timestamp,
) -> Result<(), ConfirmError> {
    let sure = |_: &Header| Ok((by.to_owned(), IsProven::Yes));
    confirm_as(host, state, id, now, sure)
}

/// Whether a person wants a change kept without a proof that somebody can still get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    Refuse,
    Accept,
}

/// The same, asked for by the person at `caller`: only a login that began after the change
/// proves something. What comes from no login, as a script of the host itself, is kept and
/// recorded as unproven.
pub fn confirm_from(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    (by, caller): (&str, &Session),
    unproven: Unproven,
    now: Timestamp,
) -> Result<Proof, ConfirmError> {
    let mut proof = Proof::NoLogin;
    confirm_as(host, state, id, now, |header| {
        proof = match &header.wait {
            Some(wait) => judge(caller, &wait.made_by, wait.activated_ms),
            None => Proof::NoLogin,
        };
        let is_refused = matches!(proof, Proof::SameLogin | Proof::EarlierLogin);
        match proof {
            Proof::NewLogin => Ok((by.to_owned(), IsProven::Yes)),
            _ if is_refused && unproven == Unproven::Refuse => {
                Err(ConfirmError::Unproven { id, proof })
            }
            _ => Ok((format!("{by}, without a proof"), IsProven::No)),
        }
    })?;
    Ok(proof)
}

/// Does it show that somebody can get in?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IsProven {
    Yes,
    No,
}

/// Keeps it by what `judge` says of the wait as it is under the lock: what was there before may have
/// been another, or none yet.
fn confirm_as(
    host: &LocalHost,
    state: &State,
    id: ChangeId,
    now: Timestamp,
    judge: impl FnOnce(&Header) -> Result<(String, IsProven), ConfirmError>,
) -> Result<(), ConfirmError> {
    let target = Target::of(host)?;
    // Whoever waits for the confirmation holds no lock meanwhile.
    let _lock = Lock::take(&target.root, Duration::from_secs(10))?;
    let record = state.change(id)?;
    let mut header = record.header.clone();
    if !header.change.state.is_awaiting() {
        return Err(ConfirmError::NotAwaiting {
            id,
            state: header.change.state,
        });
    }
    if is_over(&header, now) {
        return Err(ConfirmError::TooLate(id));
    }
    let (by, is_proven) = judge(&header)?;
    let by = by.as_str();
    header.change.unproven = is_proven == IsProven::No;
    let (token, crash) = (header.token.clone(), CrashPoints::none());
    let context = Context::new(&target.root, state.images(), &token, &crash);
    match header.change.state {
        ChangeState::AwaitingUndoConfirmation => {
            let record = ChangeRecord { header, ..record };
            undo::again::keep(state, record, by, now)?;
        }
        _ => keep(&context, state, &mut header, &record.images, by, now)?,
    }
    disarm(id, state);
    Ok(())
}

/// Begins the wait: from now on sign-ins count. Gives its end.
pub(crate) fn begin(
    root: &Root,
    header: &mut Header,
    images: &[Imaged],
    options: &ApplyOptions<'_>,
) -> Timestamp {
    if matches!(options.guard, Guard::Systemd { .. }) {
        // Who is let in while sshd still has what it had before proves nothing.
        std::thread::sleep(SETTLING);
    }
    begin_at(
        root,
        header,
        images,
        (options.now)(),
        options.confirm_within,
    )
}

/// The same at a moment, for so long.
pub(crate) fn begin_at(
    root: &Root,
    header: &mut Header,
    images: &[Imaged],
    now: Timestamp,
    within: Duration,
) -> Timestamp {
    let deadline = now + within;
    let connections = session::connections();
    let activated_ms = clock::since_boot_ms();
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    header.activated = Some(now);
    header.deadline = Some(deadline);
    header.wait = Some(Wait {
        way_to_root: header.decides_root || root::Ways::now(root).are_touched(images),
        activated_ms,
        deadline_ms: activated_ms.saturating_add(within_ms),
        connections,
        made_by: Session::of_caller(),
    });
    deadline
}

/// Past its deadline, or from before a restart of the machine.
pub(crate) fn is_over(header: &Header, now: Timestamp) -> bool {
    header.boot != boot_id() || is_past(header, now, clock::since_boot_ms())
}

/// Past its deadline, by whichever clock comes first: the time of day may be set back, which
/// lengthens no wait.
fn is_past(header: &Header, now: Timestamp, since_boot_ms: u64) -> bool {
    header.deadline.is_none_or(|deadline| now > deadline)
        || header
            .wait
            .as_ref()
            .is_some_and(|wait| since_boot_ms > wait.deadline_ms)
}

pub(crate) fn keep(
    context: &Context<'_>,
    state: &State,
    header: &mut Header,
    images: &[Imaged],
    by: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    tidy(context, images)?;
    header.change.state = ChangeState::Committed;
    header.change.ended = Some(now);
    header.change.note = Some(format!("confirmed by {by}"));
    Ok(state
        .journal()
        .write(Batch::default().put(header.change.id, "", header))?)
}

/// How the waiting ended.
pub(crate) enum Waited {
    Confirmed(String),
    /// Somebody else finished it.
    EndedElsewhere(Box<Header>),
    Interrupted,
    /// In vain, and why.
    Expired(String),
}

/// Waits, in the state `awaited`, for a confirmation: by the command, which writes it to the journal, or by a sign-in,
/// which is looked for here.
pub(crate) fn wait(
    state: &State,
    id: ChangeId,
    awaited: ChangeState,
    deadline: Timestamp,
    options: &ApplyOptions<'_>,
    sink: &mut dyn FnMut(Event),
) -> Result<Waited, StateError> {
    let kept = match awaited {
        ChangeState::AwaitingUndoConfirmation => ChangeState::Undone,
        _ => ChangeState::Committed,
    };
    let mut rounds = 0;
    let mut passed_over = BTreeSet::new();
    loop {
        let header = state.change(id)?.header;
        match header.change.state {
            state if state == awaited => {}
            state if state == kept => {
                return Ok(Waited::Confirmed(header.change.note.unwrap_or_default()));
            }
            state if state.is_final() => {
                return Ok(Waited::EndedElsewhere(Box::new(header)));
            }
            _ if !is_at_work() => {
                // It may have ended since we looked.
                let header = state.change(id)?.header;
                return Ok(Waited::EndedElsewhere(Box::new(header)));
            }
            // Somebody else takes it back just now.
            _ => {
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
        }
        if (options.interrupted)() {
            return Ok(Waited::Interrupted);
        }
        let now = (options.now)();
        if now >= deadline || is_past(&header, now, clock::since_boot_ms()) {
            return Ok(Waited::Expired(unconfirmed(&header)));
        }
        if rounds % ASK_LOG_EVERY == 0 {
            let since = sign_in::since(&header);
            if let Some(by) = since.confirmed_by
                && let Ok(host) = LocalHost::running()
                && confirm_as(&host, state, id, now, |judged| {
                    let is_another = || ConfirmError::NotAwaiting {
                        id,
                        state: judged.change.state,
                    };
                    let is_same = judged.wait == header.wait;
                    is_same
                        .then(|| (by.clone(), IsProven::Yes))
                        .ok_or_else(is_another)
                })
                .is_ok()
            {
                return Ok(Waited::Confirmed(by));
            }
            for why in since.passed_over {
                if passed_over.insert(why.clone()) {
                    sink(Event::SignInPassedOver { id, why });
                }
            }
        }
        rounds += 1;
        let left = deadline.duration_since(now).unsigned_abs();
        sink(Event::Waiting { left });
        std::thread::sleep(LOOK_EVERY.min(left));
    }
}

/// A sign-in that keeps the change although nobody waits for it any more.
pub(crate) fn confirmed_by_sign_in(header: &Header) -> Option<String> {
    sign_in::since(header).confirmed_by
}

/// That nobody confirmed it, with who did sign in and why that did not count.
pub(crate) fn unconfirmed(header: &Header) -> String {
    const NAMED: usize = 3;
    let passed_over = sign_in::since(header).passed_over;
    let mut whys = vec!["nobody confirmed it in time".to_owned()];
    whys.extend(passed_over.into_iter().take(NAMED));
    whys.join("; ")
}

/// Is there something to do about a change that waits: did its time end, a moment ago so that
/// the process that waits was first, or has somebody signed in?
pub fn is_due(header: &Header, now: Timestamp) -> bool {
    const GRACE: Duration = Duration::from_secs(2);
    let grace_ms = u64::try_from(GRACE.as_millis()).unwrap_or(0);
    let then_ms = clock::since_boot_ms().saturating_sub(grace_ms);
    header.boot != boot_id()
        || is_past(header, now - GRACE, then_ms)
        || confirmed_by_sign_in(header).is_some()
}

/// What became of a change that somebody else finished.
pub(crate) fn ended(header: &Header) -> Applied {
    let id = header.change.id;
    let why: Vec<String> = header.change.note.iter().cloned().collect();
    match header.change.state {
        ChangeState::Committed if header.taken_back.is_empty() => Applied::Committed(id),
        ChangeState::Committed => Applied::PartlyTakenBack { id, why },
        ChangeState::RolledBack | ChangeState::Undone => Applied::TakenBack {
            id,
            why,
            verified: true,
            // Whoever ended it has looked; what is there now was not looked at here.
            seen: false,
        },
        ChangeState::AwaitingConfirmation => {
            Applied::AwaitingConfirmation(id, header.deadline.unwrap_or(header.change.started))
        }
        _ => Applied::NeedsHuman { id, why },
    }
}
