//! Did a reload take? A program that is told to read its configuration again and does not like it goes
//! on with the old one as a rule, and systemd sees nothing of it: the signal was sent. What the program
//! itself says of it is read where it says it, and of nginx, which says it at the place that its new
//! configuration names or not at all, its workers tell.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::printable;
use model::secrets::hidden;

use super::health::{Seen, look_at};
use super::program::Program;
use super::unit::systemctl;
use crate::processes::descriptor_flags;

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
/// By which others say it on their standard error, of which the journal knows no priority: haproxy
/// (`[ALERT]`, `Loading failure!`). Whose workers crash, as nginx's, says that with a priority.
const GAVE_UP_IN_JOURNAL: [&str; 2] = ["[alert]", "loading failure"];
/// The priority of an error (syslog(3)); what is worse has a smaller one.
const ERROR: u8 = 3;
/// Entries that are read: a program that refuses says so at once.
const MOST_ENTRIES: usize = 2_000;
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
    /// Where what the journal has of it ended.
    end: End,
    /// What it said as an error when it was started, and came up all the same: it may say so each time.
    known: BTreeSet<String>,
    logs: Vec<Log>,
}

/// The last entry of a process in the journal.
#[derive(Clone, Debug)]
enum End {
    At(String),
    /// It has said nothing yet: all that it will have is new.
    Empty,
    /// Old and new can't be told apart.
    Unknown,
}

/// What the journal has of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub cursor: String,
    pub priority: Option<u8>,
    pub message: String,
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
            end: end(unit, main),
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
        let after = match &self.end {
            End::At(cursor) => Some(vec![format!("--after-cursor={cursor}")]),
            End::Empty => Some(Vec::new()),
            End::Unknown => None,
        };
        let entries = after.and_then(|mut words| {
            words.push(format!("--lines={MOST_ENTRIES}"));
            // Its other processes say much about clients.
            words.extend(of_process(&self.unit, self.main));
            journal(words)
        });
        let mut said = errors(entries.unwrap_or_default());
        said.extend(status(&self.unit).filter(|status| is_of_failed_reload(status)));
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
        let flags = descriptor_flags(process, &entry.file_name());
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
    let entries = began.and_then(|began| {
        journal(vec![
            format!("--since=@{began}"),
            format!("--until=@{}", began + START_SECONDS),
            format!("--lines={MOST_ENTRIES}"),
            format!("_SYSTEMD_UNIT={unit}"),
        ])
    });
    errors(entries.unwrap_or_default())
}

/// What tells a process's entries from all others.
fn of_process(unit: &str, main: u32) -> [String; 2] {
    [format!("_SYSTEMD_UNIT={unit}"), format!("_PID={main}")]
}

/// The last of these very entries. With the cursor of another one systemd before 254 leaves out the
/// first entry that follows, as it would leave out the cursor's own (journalctl(1), `--after-cursor`).
fn end(unit: &str, main: u32) -> End {
    let mut words = vec!["--lines=1".to_owned()];
    words.extend(of_process(unit, main));
    match journal(words) {
        None => End::Unknown,
        Some(entries) => match entries.into_iter().next_back() {
            Some(last) => End::At(last.cursor),
            None => End::Empty,
        },
    }
}

/// What systemd's status line of a unit says (sd_notify(3), `STATUS=`).
fn status(unit: &str) -> Option<String> {
    let shown = systemctl().and_then(|systemctl| {
        systemctl
            .args(["show", "--property=StatusText", "--value", "--", unit])
            .succeed()
    });
    shown.ok().map(|ended| ended.stdout.trim().to_owned())
}

/// haproxy says `Reload failed!` there. One that counts failures of its work does not speak of reloads.
pub fn is_of_failed_reload(status: &str) -> bool {
    let status = status.to_ascii_lowercase();
    status.contains("reload") && status.contains("fail")
}

/// Entries of this boot; none where the journal can't be asked.
fn journal(which: Vec<String>) -> Option<Vec<Entry>> {
    let words = [
        "--quiet",
        "--no-pager",
        "--boot",
        "--output=json",
        "--output-fields=MESSAGE,PRIORITY",
    ];
    let program = Program::find(&["/usr/bin/journalctl", "/bin/journalctl"]).ok()?;
    let asked = program.args(words).args(which).limit(ASK_LIMIT).run();
    let ended = asked.ok().filter(|ended| ended.succeeded())?;
    Some(parse_journal(&ended.stdout))
}

/// The entries in what `journalctl --output=json` says. A message of other bytes than text is a list
/// of them, and one that is very long is left out.
pub fn parse_journal(said: &str) -> Vec<Entry> {
    let entries = said.lines().filter_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| entry.get(name)?.as_str();
        let message = match entry.get("MESSAGE")? {
            serde_json::Value::String(message) => message.clone(),
            serde_json::Value::Array(bytes) => {
                let bytes = bytes.iter().map(|byte| byte.as_u64()?.try_into().ok());
                let bytes: Option<Vec<u8>> = bytes.collect();
                String::from_utf8_lossy(&bytes?).into_owned()
            }
            _ => return None,
        };
        Some(Entry {
            cursor: text("__CURSOR")?.to_owned(),
            priority: text("PRIORITY").and_then(|priority| priority.parse().ok()),
            message,
        })
    });
    entries.collect()
}

/// Those by which a program says that something went wrong, as lines.
pub fn errors(entries: Vec<Entry>) -> Vec<String> {
    let wrong = entries.into_iter().filter(|entry| {
        let line = entry.message.to_ascii_lowercase();
        entry.priority.is_some_and(|priority| priority <= ERROR)
            || gave_up(&entry.message)
            || GAVE_UP_IN_JOURNAL.iter().any(|word| line.contains(word))
    });
    let lines = wrong.map(|entry| entry.message);
    lines
        .flat_map(|message| message.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim().is_empty())
        .collect()
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
