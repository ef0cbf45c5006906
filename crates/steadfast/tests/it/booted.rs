//! A booted host with the real program in it, used as a person would use it: by its
//! command line, its exit codes and both its streams. It never looks into the journal.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lab::{Container, Difference, Exec, Image, Options, Release, Requirements, Running, Snapshot};

/// How an undo ends that has seen everything to be as it was.
pub const AS_BEFORE: &str = "the host is as it was before it";

/// Not below `/run` or `/tmp`, which a booted host mounts anew over what was copied in.
pub const PROGRAM: &str = "/opt/steadfast";
pub const STATE: &str = "/var/lib/steadfast";
pub const POLICY: &str = "/etc/steadfast/policy";

/// What a comparison leaves out beyond [`lab::NOISE`]: the program, its journal, what sudo
/// and the account tools leave behind when somebody signs in.
const TRACES: [&str; 4] = [PROGRAM, STATE, "/etc/.pwd.lock", "/var/lib/sudo"];

/// What the confirmation of an apply says, and of an undo.
pub const APPLY_KEPT: &str = "in effect";
pub const UNDO_KEPT: &str = "undone, and stays so";

/// A debug build on a machine that many tests share is slow.
pub const LIMIT: Duration = Duration::from_secs(600);

/// Whether the lab may be used; where not, the reason is said.
#[expect(
    clippy::print_stderr,
    reason = "a test that fails or is skipped says why"
)]
pub fn lab_is_wanted(needs: Requirements) -> bool {
    match lab::wanted(std::env::var_os("STEADFAST_LAB").as_deref(), needs) {
        Ok(()) => {
            lab::tell_failures(|words| eprintln!("{words}"));
            true
        }
        Err(why) => {
            eprintln!("skipped: {why}");
            false
        }
    }
}

/// Where images are kept: `STEADFAST_LAB_CACHE`, or the usual place.
pub fn cache() -> PathBuf {
    std::env::var_os("STEADFAST_LAB_CACHE").map_or_else(|| lab::DEFAULT_CACHE.into(), PathBuf::from)
}

/// How a run of the program ended, and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: &lab::Output) -> Self {
        Self {
            code: output.code(),
            out: output.text(),
            err: output.errors(),
        }
    }

    /// Fails unless it ended with `code` and said each of `words`, on whichever stream.
    #[track_caller]
    pub fn expect(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        let said = unwrapped(&format!("{}\n{}", self.out, self.err));
        for word in words {
            assert!(said.contains(word), "no `{word}` in: {self}");
        }
        self
    }
}

/// The words without the line breaks and frames that make them fit a terminal.
fn unwrapped(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| *word != "│");
    words.collect::<Vec<_>>().join(" ")
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self
            .code
            .map_or("a signal".to_owned(), |code| code.to_string());
        write!(f, "exit {code}")?;
        // What is empty takes no lines of what is read at once.
        for (name, text) in [("stdout", &self.out), ("stderr", &self.err)] {
            if !text.trim().is_empty() {
                write!(f, "\n--- {name}\n{text}")?;
            }
        }
        Ok(())
    }
}

/// A host with the program, and nothing changed on it yet.
pub struct Host {
    pub container: Container,
}

impl Host {
    /// A fresh one; none where the lab is not wanted.
    pub fn fresh() -> Option<Self> {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Option<Self> {
        Self::on(Release::Bookworm, options)
    }

    #[expect(clippy::print_stderr, reason = "building an image takes a minute")]
    pub fn on(release: Release, options: Options) -> Option<Self> {
        if !lab_is_wanted(Requirements::Containers) {
            return None;
        }
        let image = Image::build(release, &cache(), &mut |said| eprintln!("{said}"))
            .expect("an image can be built where the lab is wanted");
        let container = Container::start_with(&image, options).expect("a host boots");
        container
            .copy_in(env!("CARGO_BIN_EXE_steadfast"), PROGRAM)
            .expect("the program can be copied to a host");
        Some(Self { container })
    }

    /// A fresh one on which the recovery unit is installed already, so that what a test
    /// compares is only what it asks for.
    pub fn installed() -> Option<Self> {
        let host = Self::fresh()?;
        host.steadfast(&["recover", "--install"]).expect(0, &[]);
        Some(host)
    }

    pub fn steadfast(&self, words: &[&str]) -> Said {
        self.run_as(command(words))
    }

    /// The same of an apply or an undo, detached, that may touch what people sign in with: what then
    /// waits is confirmed, which says `kept` ([`APPLY_KEPT`], [`UNDO_KEPT`]). What Debian publishes
    /// next is not known to a test.
    #[track_caller]
    pub fn steadfast_confirmed(&self, words: &[&str], kept: &str) -> Said {
        let said = self.steadfast(words);
        if said.code == Some(0) && said.err.contains("steadfast confirm") {
            self.steadfast(&["confirm", "last"]).expect(0, &[kept]);
        }
        said
    }

    pub fn run_as(&self, exec: Exec) -> Said {
        Said::of(
            &self
                .container
                .exec(&exec)
                .expect("the program ends in time"),
        )
    }

    /// Starts it, to be killed or waited for.
    pub fn start(&self, words: &[&str]) -> Running {
        let running = self.container.spawn(&command(words));
        running.expect("the program starts")
    }

    #[track_caller]
    pub fn shell(&self, line: &str) -> String {
        match self.container.shell(line) {
            Ok(said) => said,
            Err(error) => panic!("`{line}`: {error}"),
        }
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let written = self.container.write_file(path, content);
        written.expect("a file of a host can be written");
    }

    /// Writes a role of the host's policy and makes its files those of root.
    pub fn role(&self, name: &str, yaml: &str) {
        let text = format!("role: {name}\nwant:\n{yaml}");
        self.write(&format!("{POLICY}/roles/{name}.yaml"), text);
    }

    pub fn snapshot(&self) -> Snapshot {
        self.container.snapshot().expect("a host can be looked at")
    }

    /// Waits until a line of shell ends with 0.
    #[track_caller]
    pub fn wait_for(&self, line: &str, limit: Duration) {
        let until = Instant::now() + limit;
        loop {
            let asked = self.container.exec(&Exec::shell(line).limit(LIMIT));
            if asked.expect("a shell ends").success() {
                return;
            }
            assert!(
                Instant::now() < until,
                "`{line}` is still not so after {limit:?}; {}",
                self.steadfast(&["history"])
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the newest change is in a state, as `show --format json` calls it.
    #[track_caller]
    pub fn wait_for_state(&self, state: &str, limit: Duration) {
        let history = format!("{PROGRAM} history --format json 2>/dev/null");
        self.wait_for(&format!("{history} | grep -q '\"{state}\"'"), limit);
    }

    /// The host is exactly as it was: content, modes, owners, attributes and times.
    #[track_caller]
    pub fn expect_same(&self, before: &Snapshot) {
        let found = differences(before, &self.snapshot());
        assert!(found.is_empty(), "not as it was:\n{}", listed(&found));
    }
}

pub fn wait(running: Running) -> Said {
    Said::of(&running.wait().expect("the program ends in time"))
}

pub fn command(words: &[&str]) -> Exec {
    Exec::new(std::iter::once(PROGRAM).chain(words.iter().copied())).limit(LIMIT)
}

pub fn differences(before: &Snapshot, after: &Snapshot) -> Vec<Difference> {
    let ignored: Vec<&str> = lab::NOISE.iter().copied().chain(TRACES).collect();
    lab::diff(before, after, &ignored)
}

pub fn listed(differences: &[Difference]) -> String {
    let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
