//! Running programs with a time limit and bounded output. Nothing here goes through a shell.
//!
//! A program gets its own process group, which is what a limit ends: a program that `nsenter` started in a container's process namespace
//! is still in that group, so it can't be left behind.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::{Error, Result, last_words};

/// How long a command may take where the caller doesn't say: long enough for a busy machine with two cores.
pub(crate) const DEFAULT_LIMIT: Duration = Duration::from_secs(60);
/// More than any report or listing that a test reads; what is beyond it is dropped, so that a program can't fill the memory.
const OUTPUT_LIMIT_BYTES: usize = 64 << 20;
/// Enough of a program's last words to understand why it failed.
const DETAIL_BYTES: usize = 2000;

/// A command to run on a host: argument list, environment, input and time limit.
#[derive(Clone, Debug)]
pub struct Exec {
    pub(crate) argv: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) limit: Duration,
}

impl Exec {
    /// A command by its argument list; the first is the program.
    pub fn new<S: AsRef<OsStr>>(argv: impl IntoIterator<Item = S>) -> Self {
        let argv = argv
            .into_iter()
            .map(|arg| arg.as_ref().to_owned())
            .collect();
        Self {
            argv,
            env: Vec::new(),
            stdin: Vec::new(),
            limit: DEFAULT_LIMIT,
        }
    }

    /// A line for `/bin/sh -c`, for what tests want to say in a line.
    pub fn shell(line: &str) -> Self {
        Self::new(["/bin/sh", "-c", line])
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.argv.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.argv
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// The command line, for messages.
    fn line(&self) -> String {
        line_of(self.argv.iter().map(OsString::as_os_str))
    }

    /// Adds a variable to the clean environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What the program reads on its standard input; nothing by default.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Ends it after this time; one minute by default.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// At most 64 MiB of its standard output.
    pub stdout: Vec<u8>,
    /// At most 64 MiB of its standard error.
    pub stderr: Vec<u8>,
    line: String,
}

impl Output {
    /// Whether it ended with 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Its exit code, or nothing when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether `SIGKILL` ended it, as [`Running::kill`] does.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }

    /// Its standard output as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text, with what is not UTF-8 replaced.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Its standard output, or an error with its last words when it did not end with 0.
    pub fn ok(self) -> Result<String> {
        if self.success() {
            return Ok(self.text());
        }
        let said = if self.stderr.is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        Err(Error::Failed {
            program: self.line,
            status: self.status.to_string(),
            detail: tail(said),
        })
    }
}

/// A program that runs: to be waited for, or to be killed at the worst moment.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pidfd: OwnedFd,
    group: Pid,
    line: String,
    limit: Duration,
}

impl Running {
    /// Starts `command`, which carries out `exec` on some host, in its own process group.
    pub(crate) fn start(command: Command, exec: &Exec) -> Result<Self> {
        Self::start_named(command, exec.line(), &exec.stdin, exec.limit)
    }

    fn start_named(
        mut command: Command,
        line: String,
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Self> {
        command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.stdin(if stdin.is_empty() {
            Stdio::null()
        } else {
            input_file(stdin).map_err(Error::io("prepare the input of", &line))?
        });
        let child = command.spawn().map_err(Error::io("start", &line))?;
        let group = Pid::from_child(&child);
        let pidfd = pidfd_open(group, PidfdFlags::empty()).map_err(Error::io("watch", &line))?;
        Ok(Self {
            child,
            pidfd,
            group,
            line,
            limit,
        })
    }

    /// `kill -9` to the program and all that it started in its group.
    pub fn kill(&self) -> Result<()> {
        match kill_process_group(self.group, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(Error::io("kill", &self.line)(error)),
        }
    }

    /// Waits until it has said `word` on its standard output, within the limit. What was read for that is not in the [`Output`].
    pub fn wait_for_word(&mut self, word: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let timed_out = |line: &str, said: &[u8]| Error::TimedOut {
            what: format!("`{word}` of `{line}`"),
            limit,
            detail: format!(": {}", tail(said)),
        };
        let Some(stdout) = &mut self.child.stdout else {
            return Err(timed_out(&self.line, &[]));
        };
        rustix::io::ioctl_fionbio(stdout.as_fd(), true)
            .map_err(Error::io("read from", &self.line))?;
        let mut said = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            match stdout.read(&mut buffer) {
                Ok(0) => {
                    return Err(Error::Failed {
                        program: self.line.clone(),
                        status: format!("ended without saying `{word}`"),
                        detail: tail(&said),
                    });
                }
                Ok(count) => said.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Error::io("read from", &self.line)(error)),
            }
            if said.windows(word.len()).any(|part| part == word.as_bytes()) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || said.len() > OUTPUT_LIMIT_BYTES {
                return Err(timed_out(&self.line, &said));
            }
            let left = Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&*stdout, PollFlags::IN)], Some(&left)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::io("wait for", &self.line)(error)),
            }
        }
    }

    /// Waits for its end, within the limit; what it left running in the background is not waited for.
    pub fn wait(mut self) -> Result<Output> {
        let deadline = Instant::now() + self.limit;
        let mut stdout = Stream::new(self.child.stdout.take());
        let mut stderr = Stream::new(self.child.stderr.take());
        stdout.prepare(&self.line)?;
        stderr.prepare(&self.line)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.kill()?;
                let _ = self.child.wait();
                let said = if stderr.bytes.is_empty() {
                    &stdout.bytes
                } else {
                    &stderr.bytes
                };
                return Err(Error::TimedOut {
                    what: format!("`{}`", self.line),
                    limit: self.limit,
                    detail: format!(": {}", tail(said)),
                });
            }
            let ended = {
                let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
                fds.extend(
                    [&stdout, &stderr]
                        .into_iter()
                        .filter_map(|s| s.source.as_ref())
                        .map(|fd| PollFd::new(fd, PollFlags::IN)),
                );
                let left = Timespec {
                    tv_sec: left.as_secs().cast_signed(),
                    tv_nsec: left.subsec_nanos().into(),
                };
                match poll(&mut fds, Some(&left)) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(Error::io("wait for", &self.line)(error)),
                }
                !fds[0].revents().is_empty()
            };
            stdout.drain(&self.line)?;
            stderr.drain(&self.line)?;
            if ended {
                let status = self
                    .child
                    .wait()
                    .map_err(Error::io("wait for", &self.line))?;
                // What it wrote between the last read and its end.
                stdout.drain(&self.line)?;
                stderr.drain(&self.line)?;
                let output = Output {
                    status,
                    stdout: stdout.bytes,
                    stderr: stderr.bytes,
                    line: self.line.clone(),
                };
                last_words::note(&self.line, &output);
                return Ok(output);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs a command to its end and returns what it said.
pub(crate) fn run(command: Command, limit: Duration) -> Result<Output> {
    let line = line_of(std::iter::once(command.get_program()).chain(command.get_args()));
    Running::start_named(command, line, &[], limit)?.wait()
}

/// Runs a command that must end with 0.
pub(crate) fn run_ok(command: Command, limit: Duration) -> Result<String> {
    run(command, limit)?.ok()
}

/// Whether a process ends in time.
pub(crate) fn ends_within(child: &mut Child, limit: Duration) -> Result<bool> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())
        .map_err(Error::io("watch", "a host"))?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Ok(false),
            Ok(_) => {
                return child
                    .wait()
                    .map(|_| true)
                    .map_err(Error::io("wait for", "a host"));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::io("wait for", "a host")(error)),
        }
    }
}

/// One output stream of a program, read without blocking.
struct Stream {
    source: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Stream {
    fn new(source: Option<impl Into<OwnedFd>>) -> Self {
        Self {
            source: source.map(Into::into),
            bytes: Vec::new(),
        }
    }

    fn prepare(&self, line: &str) -> Result<()> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        rustix::io::ioctl_fionbio(source.as_fd(), true).map_err(Error::io("read from", line))
    }

    fn drain(&mut self, line: &str) -> Result<()> {
        let mut buffer = [0; 64 << 10];
        while let Some(source) = &self.source {
            match rustix::io::read(source, &mut buffer) {
                Ok(0) => self.source = None,
                Ok(count) => {
                    let room = OUTPUT_LIMIT_BYTES - self.bytes.len();
                    self.bytes.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Error::io("read from", line)(error)),
            }
        }
        Ok(())
    }
}

/// An unnamed file with the input, so that no thread has to feed a pipe.
fn input_file(bytes: &[u8]) -> io::Result<Stdio> {
    use std::io::Seek;
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// The last lines of what a program said.
pub(crate) fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(DETAIL_BYTES);
    String::from_utf8_lossy(&bytes[start..]).trim().to_owned()
}

/// The last lines of a log file, or nothing when it can't be read.
pub(crate) fn tail_of_file(path: &std::path::Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // A console writes little; the bound is for the case that it doesn't.
        let _ = file.take(OUTPUT_LIMIT_BYTES as u64).read_to_end(&mut bytes);
    }
    tail(&bytes)
}

fn line_of<'a>(words: impl Iterator<Item = &'a OsStr>) -> String {
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
