//! Did a reload take? A program that is told to read its configuration again and does not like it goes
//! on with the old one as a rule, and systemd sees nothing of it: the signal was sent. What the program
//! itself says of it is read where it says it, and of nginx, which says it at the place that its new
//! configuration names or not at all, its workers tell.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::printable;
use model::secrets::hidden;

use super::health::{Seen, look_at};
use super::program::Program;
use super::unit::systemctl;

const ASK_LIMIT: Duration = Duration::from_secs(10);
/// What is read of the journal, and of each file: a program that refuses says so in a line or two.
const READ_BYTES: u64 = 64 << 10;
/// Files that a program has open to write its log to.
const MOST_LOGS: usize = 16;
/// Lines that are shown.
const SHOWN: usize = 3;
const LINE_LIMIT_CHARS: usize = 300;
/// `O_APPEND` among the flags of a descriptor (proc_pid_fdinfo(5)), as all of Debian's architectures
/// that systemd runs on have it.
const APPENDS: u32 = 0o2000;
/// By which words programs say in a log of their own that they gave something up: nginx and Apache
/// (`[emerg]`, `[core:crit]`), PostgreSQL (`FATAL:`, `PANIC:`). `[error]` is also said of a client's
/// request, and `[alert]` of a worker that crashed.
const GAVE_UP: [&str; 5] = ["emerg]", "crit]", "fatal:", "panic:", "contains errors"];
/// What a program says so soon after its start belongs to that.
const START_SECONDS: i64 = 3;
/// nginx starts its new workers when it has read all of its configuration.
const RENEWED: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running program before it is told to read its configuration again.
#[derive(Clone, Debug)]
pub struct Reloading {
    unit: String,
    main: u32,
    /// The programs that it has started.
    workers: BTreeSet<u32>,
    /// Where the journal ended.
    cursor: Option<String>,
    /// What it said as an error when it was started, and came up all the same: it may say so each time.
    known: BTreeSet<String>,
    logs: Vec<Log>,
}

/// A file that it appends to.
#[derive(Clone, Debug)]
struct Log {
    path: PathBuf,
    device: u64,
    inode: u64,
    length: u64,
}

impl Reloading {
    /// Looks at it. None where it is no running service with a process of its own.
    pub fn before(unit: &str, seen: &Seen) -> Option<Self> {
        let main = seen.main_process()?;
        Some(Self {
            unit: unit.to_owned(),
            main,
            workers: workers(main),
            cursor: cursor(),
            known: errors_of_start(unit)
                .iter()
                .map(|line| skeleton(line))
                .collect(),
            logs: logs(main),
        })
    }

    /// Why it goes on with the configuration that it had; none where nothing says so. Asked when it had
    /// its time.
    pub fn refused(&self) -> Option<String> {
        let begun = Instant::now();
        loop {
            // One that was started anew has read what is there, or is down.
            let now = look_at(&self.unit).ok()?;
            if now.main_process() != Some(self.main) {
                return None;
            }
            let said = self.said();
            if !said.is_empty() {
                let shown: Vec<String> = said.iter().take(SHOWN).map(|line| shown(line)).collect();
                return Some(format!(
                    "it does not take its new configuration: {}",
                    shown.join(" | ")
                ));
            }
            let waits = self.is_nginx()
                && !self.workers.is_empty()
                && workers(self.main).is_subset(&self.workers);
            if !waits {
                return None;
            }
            if begun.elapsed() >= RENEWED {
                return Some(
                    "it goes on with the configuration that it had: none of its workers is new"
                        .to_owned(),
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What it has said since as an error.
    fn said(&self) -> Vec<String> {
        let mut said = match &self.cursor {
            Some(cursor) => journal([
                format!("--after-cursor={cursor}"),
                format!("_SYSTEMD_UNIT={}", self.unit),
                // Its other processes say much about clients.
                format!("_PID={}", self.main),
            ]),
            // Old and new can't be told apart.
            None => Vec::new(),
        };
        said.retain(|line| !self.known.contains(&skeleton(line)));
        let main = self.main.to_string();
        let is_mains = |line: &String| {
            let mut numbers = line.split(|c: char| !c.is_ascii_digit());
            numbers.any(|number| number == main)
        };
        for log in &self.logs {
            let lines = log.lines();
            said.extend(
                lines
                    .into_iter()
                    .filter(|line| is_mains(line) && gave_up(line)),
            );
        }
        said
    }

    fn is_nginx(&self) -> bool {
        let program = fs::read_link(format!("/proc/{}/exe", self.main));
        program.is_ok_and(|path| path.file_name().is_some_and(|name| name == "nginx"))
    }
}

impl Log {
    /// What was added; nothing where another file has its place by now, or it was cut.
    fn lines(&self) -> Vec<String> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            let meta = file.metadata()?;
            let mut bytes = Vec::new();
            let is_it = (meta.dev(), meta.ino()) == (self.device, self.inode);
            if is_it && meta.len() > self.length {
                file.seek(SeekFrom::Start(self.length))?;
                file.take(READ_BYTES).read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        let bytes = read().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_owned).collect()
    }
}

/// The regular files that a process has open to append to.
fn logs(process: u32) -> Vec<Log> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten();
    let mut found: Vec<Log> = Vec::new();
    for entry in descriptors.flatten() {
        let Ok(path) = fs::read_link(entry.path()) else {
            continue;
        };
        // By its descriptor: its path may have gone, or be one of another root.
        let Ok(meta) = fs::metadata(entry.path()) else {
            continue;
        };
        let here = fs::symlink_metadata(&path);
        let is_it = here.is_ok_and(|here| (here.dev(), here.ino()) == (meta.dev(), meta.ino()));
        let number = entry.file_name();
        let flags = fs::read_to_string(Path::new(&format!("/proc/{process}/fdinfo")).join(number))
            .unwrap_or_default();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        let is_known = found.iter().any(|log| log.path == path);
        if meta.is_file() && is_it && !is_known && flags.is_some_and(|flags| flags & APPENDS != 0) {
            found.push(Log {
                path,
                device: meta.dev(),
                inode: meta.ino(),
                length: meta.len(),
            });
        }
        if found.len() == MOST_LOGS {
            break;
        }
    }
    found
}

/// The processes that this one started (proc_tid_children(5)).
fn workers(process: u32) -> BTreeSet<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}

/// What a unit said as an error when its main process was started.
fn errors_of_start(unit: &str) -> Vec<String> {
    let shown = systemctl().and_then(|systemctl| {
        let property = "--property=ExecMainStartTimestamp";
        systemctl
            .args(["show", "--timestamp=unix", property, "--value", "--", unit])
            .succeed()
    });
    let shown = shown.map(|ended| ended.stdout).unwrap_or_default();
    let began = shown
        .trim()
        .strip_prefix('@')
        .and_then(|seconds| seconds.parse::<i64>().ok());
    began.map_or_else(Vec::new, |began| {
        journal([
            format!("--since=@{began}"),
            format!("--until=@{}", began + START_SECONDS),
            format!("_SYSTEMD_UNIT={unit}"),
        ])
    })
}

/// Where the journal ends.
fn cursor() -> Option<String> {
    let said = journalctl(["--lines=0", "--show-cursor"].map(str::to_owned));
    let line = said
        .iter()
        .find_map(|line| line.strip_prefix("-- cursor: "));
    line.map(str::to_owned)
}

/// Lines of error and worse (journalctl(1), `--priority`).
fn journal(which: [String; 3]) -> Vec<String> {
    let words = ["--boot", "--priority=err", "--output=cat", "--lines=200"].map(str::to_owned);
    journalctl(words.into_iter().chain(which))
}

fn journalctl(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let asked = Program::find(&["/usr/bin/journalctl", "/bin/journalctl"]).and_then(|program| {
        program
            .args(["--quiet", "--no-pager"])
            .args(words)
            .limit(ASK_LIMIT)
            .run()
    });
    match asked {
        Ok(ended) if ended.succeeded() => ended.stdout.lines().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn gave_up(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    GAVE_UP.iter().any(|word| line.contains(word))
}

/// A line without its numbers, which are times and processes as a rule.
fn skeleton(line: &str) -> String {
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn shown(line: &str) -> String {
    let start: String = line.trim().chars().take(LINE_LIMIT_CHARS).collect();
    hidden(&printable(start.as_bytes()), false).into_owned()
}
