//! Runs one program to its end, within a time limit, and keeps what it prints, bounded.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use model::printable;
use model::value::{Output, Reason};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::tool::sandbox::Sandbox;
use crate::tree::Trouble;

/// `nginx -T` of a large site has some hundred kB.
const OUTPUT_LIMIT_BYTES: usize = 2 << 20;

/// Between two looks at what a program may be stopped for.
const LOOK: Duration = Duration::from_millis(50);

/// Error messages are read by people.
const ERRORS_LIMIT_BYTES: usize = 64 << 10;

/// Runs `program` in `sandbox`.
///
/// # Errors
/// Unknown, with the reason, when it could not be run or did not end in time.
pub fn run(
    program: &Path,
    args: &[OsString],
    sandbox: Sandbox,
    limit: Duration,
) -> Result<Output, Trouble> {
    let prepared = sandbox.prepare();
    run_within(program, args, &[], move || prepared.enter(), limit)
}

/// Runs `program`, with these variables beside those that every program gets. `enter` goes to
/// where it may run: a child calls it between fork and exec, so it must only make system calls
/// on values that were prepared before.
///
/// # Errors
/// As [`run`].
pub fn run_within(
    program: &Path,
    args: &[OsString],
    variables: &[(&str, &str)],
    enter: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
    limit: Duration,
) -> Result<Output, Trouble> {
    run_watched(program, args, variables, enter, limit, None)
}

/// What a program is stopped for, asked again and again while it runs.
pub type Watch<'a> = &'a dyn Fn() -> Option<String>;

/// The same, stopped as soon as `watch` says why.
///
/// # Errors
/// As [`run`].
pub fn run_watched(
    program: &Path,
    args: &[OsString],
    variables: &[(&str, &str)],
    enter: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
    limit: Duration,
    watch: Option<Watch<'_>>,
) -> Result<Output, Trouble> {
    let name = printable(program.as_os_str().as_encoded_bytes());
    let deadline = Instant::now() + limit;
    let mut child =
        spawn(program, args, variables, enter).map_err(|error| refused(&name, &error))?;
    let bounds = Bounds {
        out_bytes: OUTPUT_LIMIT_BYTES,
        err_bytes: ERRORS_LIMIT_BYTES,
        beyond: Beyond::Stops,
    };
    let seen = collect(&mut child, deadline, bounds, watch);
    // Whatever it left behind goes too; the group still has its number, since the child
    // has not been waited for.
    end(&child);
    let status = match seen {
        Ok(seen) => child.wait().map(|status| (status, seen)),
        Err(Stop::Failed(error)) => {
            reap(child);
            return Err(failed(&name, &error.to_string()));
        }
        Err(Stop::Refused(why)) => {
            reap(child);
            return Err(failed(&name, &why));
        }
        Err(Stop::TimedOut) => {
            // A program that is stuck in the kernel does not even die at once.
            reap(child);
            return Err(Reason::TimedOut {
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            }
            .into());
        }
        Err(Stop::TooMuch) => {
            reap(child);
            return Err(Reason::TooLarge {
                size_bytes: OUTPUT_LIMIT_BYTES as u64 + 1,
                limit_bytes: OUTPUT_LIMIT_BYTES as u64,
            }
            .into());
        }
    };
    let (status, Collected { stdout, stderr, .. }) =
        status.map_err(|error| failed(&name, &error.to_string()))?;
    if let Some(signal) = status.signal() {
        return Err(failed(&name, &format!("ended by signal {signal}")));
    }
    Ok(Output {
        status: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

#[expect(unsafe_code, reason = "the sandbox is entered between fork and exec")]
fn spawn(
    program: &Path,
    args: &[OsString],
    variables: &[(&str, &str)],
    enter: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .envs(variables.iter().copied())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that its children end with it.
        .process_group(0);
    // SAFETY: `enter` makes system calls on values that were prepared before the fork; it
    // allocates nothing, takes no locks and does not unwind.
    unsafe {
        command.pre_exec(enter);
    }
    command.spawn()
}

/// How much is kept of what a program prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) out_bytes: usize,
    pub(crate) err_bytes: usize,
    pub(crate) beyond: Beyond,
}

/// What becomes of a program that prints more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// It is stopped.
    Stops,
    /// It runs on, and the rest is read and dropped.
    Dropped,
}

/// What a program printed until its end.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// There was more on stdout than was kept.
    pub(crate) is_cut: bool,
}

/// Why a program was not waited for to its end.
pub(crate) enum Stop {
    TimedOut,
    TooMuch,
    Refused(String),
    Failed(Errno),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// Collects both outputs until the program has ended.
pub(crate) fn collect(
    child: &mut Child,
    deadline: Instant,
    bounds: Bounds,
    watch: Option<Watch<'_>>,
) -> Result<Collected, Stop> {
    let pid = Pid::from_child(child);
    let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut out = Stream::new(out.as_ref().map(AsFd::as_fd), bounds.out_bytes)?;
    let mut err = Stream::new(err.as_ref().map(AsFd::as_fd), bounds.err_bytes)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Stop::TimedOut);
        }
        if let Some(why) = watch.and_then(|watch| watch()) {
            return Err(Stop::Refused(why));
        }
        let left = match watch {
            Some(_) => left.min(LOOK),
            None => left,
        };
        let mut waits = vec![PollFd::new(&ended, PollFlags::IN)];
        for open in [&out, &err].into_iter().filter_map(|stream| stream.from) {
            waits.push(PollFd::from_borrowed_fd(open, PollFlags::IN));
        }
        let timeout = Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        });
        match poll(&mut waits, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let over = !waits[0].revents().is_empty();
        drop(waits);
        out.drain()?;
        err.drain()?;
        if out.is_full() && bounds.beyond == Beyond::Stops {
            return Err(Stop::TooMuch);
        }
        // What it has printed is in the pipes by now; children that it left behind and that
        // still hold them are not waited for.
        if over {
            return Ok(Collected {
                is_cut: out.is_full(),
                stdout: out.kept(),
                stderr: err.kept(),
            });
        }
    }
}

/// One output of the program.
struct Stream<'a> {
    /// None once it has ended.
    from: Option<BorrowedFd<'a>>,
    content: Vec<u8>,
    limit_bytes: usize,
}

impl<'a> Stream<'a> {
    fn new(from: Option<BorrowedFd<'a>>, limit_bytes: usize) -> Result<Self, Errno> {
        if let Some(from) = from {
            rustix::io::ioctl_fionbio(from, true)?;
        }
        Ok(Self {
            from,
            content: Vec::new(),
            limit_bytes,
        })
    }

    /// Was there more than is kept?
    const fn is_full(&self) -> bool {
        self.content.len() > self.limit_bytes
    }

    fn kept(mut self) -> Vec<u8> {
        self.content.truncate(self.limit_bytes);
        self.content
    }

    /// Takes what is there. Beyond the limit, one byte shows that there was more, and the
    /// rest is read and dropped so that the program does not wait.
    fn drain(&mut self) -> Result<(), Errno> {
        let mut buffer = [0; 16 << 10];
        // A program that prints without end is cut off by the clock.
        for _ in 0..256 {
            let Some(from) = self.from else {
                return Ok(());
            };
            match rustix::io::read(from, &mut buffer[..]) {
                Ok(0) => self.from = None,
                Ok(read) => {
                    let room = (self.limit_bytes + 1).saturating_sub(self.content.len());
                    self.content.extend_from_slice(&buffer[..read.min(room)]);
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// Ends the program and everything in its group.
pub(crate) fn end(child: &Child) {
    // It may have ended already.
    let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
}

/// Waits for a killed child without holding anybody up.
pub(crate) fn reap(mut child: Child) {
    if let Ok(None) = child.try_wait() {
        // Without a thread it stays a zombie until we end, which is soon.
        let _ = thread::Builder::new()
            .name("steadfast-reap".to_owned())
            .spawn(move || child.wait());
    }
}

fn failed(name: &str, why: &str) -> Trouble {
    Reason::Failed {
        why: format!("`{name}`: {why}"),
    }
    .into()
}

/// Why the program did not even start. The program itself was looked at before, so it is
/// the sandbox that was refused.
fn refused(name: &str, error: &std::io::Error) -> Trouble {
    match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::INVAL | Errno::NOSPC) => {
            Reason::Unavailable {
                what: format!(
                    "`{name}` is not run: a read-only view of this host can't be made here ({error})"
                ),
            }
            .into()
        }
        _ => failed(name, &format!("cannot be run: {error}")),
    }
}
