//! Running other programs: by absolute path, with an argument list, a clean environment, a
//! time limit and bounded output. Never through a shell. What is told to do something
//! ([`Program::succeed`]) and what is asked something ([`Program::answer`]) differ: half an answer
//! is none.

use model::count::size;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{
    Gid, Resource, Rlimit, Signal, Uid, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;

use super::ActError;
use super::names::Account;
use crate::packages::said::why;
use crate::tool::run::{Beyond, Bounds, Stop, collect, end, reap};
use crate::tool::sandbox;

/// More output than this is read and dropped. A host with 20,000 packages lists them in 2 MB.
const OUTPUT_LIMIT_BYTES: usize = 16 << 20;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// None when a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// It said more than was kept of its stdout: no answer to read anything from.
    pub is_cut: bool,
}

impl Ended {
    pub fn succeeded(&self) -> bool {
        self.status == Some(0)
    }

    /// The end of what it said, on one line that is harmless.
    pub fn end(&self) -> String {
        match end_of(&self.stdout, &self.stderr) {
            said if said.is_empty() => self.said(),
            said => said,
        }
    }

    /// What it said, for a person: stderr, or stdout when that is empty.
    pub fn said(&self) -> String {
        let text = match self.stderr.trim() {
            "" => self.stdout.trim(),
            text => text,
        };
        match text {
            "" => match self.status {
                Some(status) => format!("exit status {status}, and no message"),
                None => "ended by a signal, and no message".to_owned(),
            },
            text => text.to_owned(),
        }
    }
}

/// What went wrong stands at the end of what a program says.
pub(crate) fn end_of(stdout: &str, stderr: &str) -> String {
    const LINES: usize = 8;
    let tail = |text: &str| {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let from = lines.len().saturating_sub(LINES);
        model::printable(lines[from..].join("; ").as_bytes())
    };
    match (tail(stderr), tail(stdout)) {
        (errors, said) if errors.is_empty() => said,
        (errors, said) if said.is_empty() => errors,
        (errors, said) => format!("{errors}; {said}"),
    }
}

/// A program to be run.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    directory: PathBuf,
    limit: Duration,
    confined: Option<Confined>,
    merged: bool,
    account: Option<Account>,
}

/// A program that talks to others gets a user of its own, can't gain rights, writes no file
/// larger than this, and ends when we do.
#[derive(Clone, Copy, Debug)]
struct Confined {
    /// None: whoever we are.
    user: Option<(u32, u32)>,
    file_bytes: u64,
}

impl Program {
    /// The first of `candidates` that is there.
    pub fn find(candidates: &[&str]) -> Result<Self, ActError> {
        let path = candidates
            .iter()
            .map(Path::new)
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let name = candidates.first().copied().unwrap_or_default();
                ActError::Unsupported(format!("there is no `{name}` on this host"))
            })?;
        Ok(Self::at(path))
    }

    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: PathBuf::from("/"),
            limit: Duration::from_secs(30),
            confined: None,
            merged: false,
            account: None,
        }
    }

    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = directory.to_owned();
        self
    }

    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Takes its errors with the rest of what it says, in their order, as its stdout: what fails is
    /// then told after what it was at.
    pub fn merged(mut self) -> Self {
        self.merged = true;
        self
    }

    /// Runs it as this user and group, without other groups and without a way to more rights;
    /// no file that it writes gets larger.
    pub fn confined(mut self, user: Option<(u32, u32)>, file_bytes: u64) -> Self {
        self.confined = Some(Confined { user, file_bytes });
        self
    }

    /// Runs it as this account, with its groups.
    pub(crate) fn account(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    /// Runs it to its end, with the credentials and namespaces of the calling thread, unless it
    /// is confined. After the time limit its process group is killed.
    pub fn run(&self) -> Result<Ended, ActError> {
        let fail = |why: String| ActError::program(format!("run `{}`", self.path.display()), why);
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(confined) = self.confined {
            confine(&mut command, confined);
        }
        if self.merged {
            merge(&mut command);
        }
        if let Some(account) = &self.account {
            command.envs(account.variables());
            become_other(&mut command, account);
        }
        let mut child = command.spawn().map_err(|error| fail(error.to_string()))?;
        let bounds = Bounds {
            out_bytes: OUTPUT_LIMIT_BYTES,
            err_bytes: OUTPUT_LIMIT_BYTES,
            beyond: Beyond::Dropped,
        };
        // What it left behind and did not end with it, as a service that it started, runs on.
        let seen = collect(&mut child, Instant::now() + self.limit, bounds, None);
        let seen = match seen {
            Ok(seen) => seen,
            Err(stop) => {
                end(&child);
                reap(child);
                return Err(fail(match stop {
                    Stop::Failed(errno) => errno.to_string(),
                    Stop::Refused(why) => why,
                    Stop::TimedOut | Stop::TooMuch => {
                        format!("no end within {} s", self.limit.as_secs_f32())
                    }
                }));
            }
        };
        let status = child.wait().map_err(|error| fail(error.to_string()))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ended {
            status: status.code(),
            stdout: text(seen.stdout),
            stderr: text(seen.stderr),
            is_cut: seen.is_cut,
        })
    }

    /// Asks it something, and takes any other end than success for an error, and half an answer too.
    pub fn answer(&self) -> Result<Ended, ActError> {
        self.whole(self.succeed()?)
    }

    /// Asks it something, where it may say no with one of these statuses.
    pub fn answer_with(&self, statuses: &[i32]) -> Result<Ended, ActError> {
        let ended = self.run()?;
        match ended
            .status
            .is_some_and(|status| statuses.contains(&status))
        {
            true => self.whole(ended),
            false => Err(self.failed(&ended)),
        }
    }

    fn whole(&self, ended: Ended) -> Result<Ended, ActError> {
        match ended.is_cut {
            false => Ok(ended),
            true => Err(ActError::program(
                format!("read what `{}` says", self.path.display()),
                format!("it says more than {}", size(OUTPUT_LIMIT_BYTES)),
            )),
        }
    }

    /// Runs it, and takes any other end than success for an error.
    pub fn succeed(&self) -> Result<Ended, ActError> {
        let ended = self.run()?;
        if ended.succeeded() {
            return Ok(ended);
        }
        Err(self.failed(&ended))
    }

    /// It ran, and what it says last of its errors is why.
    fn failed(&self, ended: &Ended) -> ActError {
        let said = match ended.stderr.trim() {
            "" => why(&ended.stdout),
            errors => why(errors),
        };
        ActError::Failed {
            program: self.path.display().to_string(),
            why: match said.is_empty() {
                true => ended.said(),
                false => said,
            },
        }
    }
}

#[expect(unsafe_code, reason = "outputs are joined between fork and exec")]
fn merge(command: &mut Command) {
    // SAFETY: one system call on descriptors that are open by then; nothing is allocated.
    unsafe {
        command.pre_exec(errors_to_output);
    }
}

/// For a child between fork and exec.
///
/// # Errors
/// When the kernel refuses.
#[expect(unsafe_code, reason = "dup2(2) on the standard descriptors")]
pub(crate) fn errors_to_output() -> std::io::Result<()> {
    // SAFETY: both numbers are this process's own standard descriptors, and no pointers are passed.
    match unsafe { libc::dup2(libc::STDOUT_FILENO, libc::STDERR_FILENO) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[expect(unsafe_code, reason = "limits are set between fork and exec")]
fn confine(command: &mut Command, Confined { user, file_bytes }: Confined) {
    if let Some((user, group)) = user {
        // Root's other groups are dropped with it (std::os::unix::process::CommandExt::uid).
        command.uid(user).gid(group);
    }
    let limit = |bytes| Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    let (file, core) = (limit(file_bytes), limit(0));
    // SAFETY: only system calls on values that were prepared before the fork; nothing is
    // allocated, no lock is taken, nothing unwinds.
    unsafe {
        command.pre_exec(move || {
            setrlimit(Resource::Fsize, file)?;
            setrlimit(Resource::Core, core)?;
            set_no_new_privs(true)?;
            // Last: a change of the user clears it (prctl(2), PR_SET_PDEATHSIG).
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
}

#[expect(unsafe_code, reason = "the account is changed between fork and exec")]
fn become_other(command: &mut Command, account: &Account) {
    let uid = Uid::from_raw(account.uid);
    if uid == rustix::process::geteuid() {
        return;
    }
    let gid = Gid::from_raw(account.gid);
    let groups: Vec<Gid> = account.groups.iter().copied().map(Gid::from_raw).collect();
    // SAFETY: only system calls on values that were prepared before the fork; nothing is
    // allocated, no lock is taken, nothing unwinds.
    unsafe {
        command.pre_exec(move || Ok(sandbox::become_account(uid, gid, &groups)?));
    }
}
