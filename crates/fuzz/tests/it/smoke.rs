//! The smoke test of each target: its seeds, and a fixed number of inputs from a fixed seed, so
//! that it finds the same each time. `cargo xtask test` runs it; what looks for new faults is a
//! campaign, led by coverage: `cargo xtask fuzz`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::mutate::Mutations;

/// A parser that wants more for a few kilobytes would exhaust a host.
const MEMORY_BYTES: u64 = 2 << 30;

/// What a target takes of an input.
trait Input {
    fn of(bytes: &[u8]) -> &Self;
}

impl Input for [u8] {
    fn of(bytes: &[u8]) -> &Self {
        bytes
    }
}

impl Input for str {
    /// As libFuzzer gives it: up to what is no text.
    fn of(bytes: &[u8]) -> &Self {
        match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                str::from_utf8(valid).unwrap_or_default()
            }
        }
    }
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// In the order of their names, so that each run begins alike.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = fuzz_folder().join("seeds").join(name);
    let entries = fs::read_dir(&folder).expect("each target has seeds");
    let paths: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    assert!(!paths.is_empty(), "{name} has no seed");
    let read = |path| fs::read(path).expect("a seed can be read");
    paths.iter().map(read).collect()
}

fn smoke<I: Input + ?Sized>(name: &str, count: usize, run: impl Fn(&I)) {
    let limit = Rlimit {
        current: Some(MEMORY_BYTES),
        ..getrlimit(Resource::As)
    };
    setrlimit(Resource::As, limit).expect("a lower limit may be set");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzzed-{name}"));
    let last = Last { name, path };
    let seeds = seeds(name);
    let mut mutations = Mutations::of(&seeds);
    let made = std::iter::repeat_with(|| mutations.next()).take(count);
    for input in seeds.iter().cloned().chain(made) {
        last.keep(&input);
        run(I::of(&input));
    }
}

/// The last input, in a file that stays where a target fails.
struct Last<'a> {
    name: &'a str,
    path: PathBuf,
}

impl Last<'_> {
    /// Before the run, so that it is there even after an abort.
    fn keep(&self, input: &[u8]) {
        fs::write(&self.path, input).expect("the folder of the tests is writable");
    }
}

impl Drop for Last<'_> {
    #[expect(clippy::print_stderr, reason = "a test that fails says why")]
    fn drop(&mut self) {
        let Self { name, path } = self;
        if std::thread::panicking() {
            let path = path.display();
            eprintln!("{path} holds the input: as a seed in fuzz/seeds/{name} it is a case");
        } else {
            // It says nothing where all is well.
            let _ = fs::remove_file(path);
        }
    }
}

/// A test per target, and the list of them.
macro_rules! targets {
    ($($name:ident: $count:literal,)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            #[ignore = "the phase `fuzz` of cargo xtask test runs it"]
            fn $name() {
                smoke(stringify!($name), $count, targets::$name::run);
            }
        )*
    };
}

// How many inputs: a second or two of them in a debug build.
targets! {
    apt_conf: 6000,
    apt_sources: 6000,
    assignments: 600,
    audit_rules: 300,
    bundles: 15000,
    changes: 3000,
    components: 4500,
    feed_index: 15000,
    feeds: 4500,
    host_files: 15000,
    judgements: 1500,
    logins: 1500,
    mounts: 3000,
    packages: 15000,
    policy: 600,
}

#[test]
fn each_target_has_its_smoke_test() {
    let entries = fs::read_dir(fuzz_folder().join("src/bin")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<_> = names.collect();
    let here = TARGETS.iter().map(|name| format!("{name}.rs"));
    assert_eq!(names, here.collect());
}
