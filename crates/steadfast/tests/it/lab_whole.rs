//! The commands that boot hosts themselves, run on this machine as a person runs them:
//! `demo` from end to end, and `rule new`, `lint` and `test` with a policy of one's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::booted::{cache, lab_is_wanted};

/// Both are debug builds here, on a machine that other tests share.
const DEMO_LIMIT: Duration = Duration::from_secs(180);

fn steadfast(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(words)
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands after `word` on the first line that has it.
fn after<'a>(text: &'a str, word: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.split_once(word));
    line.unwrap_or_else(|| panic!("no `{word}` in: {text}"))
        .1
        .trim()
}

#[test]
fn the_demo_breaks_fixes_and_restores() {
    if !lab_is_wanted(lab::Requirements::Containers) {
        return;
    }
    let began = Instant::now();
    let output = steadfast(&["demo", "--cache", &cache().to_string_lossy()]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(began.elapsed() < DEMO_LIMIT, "{:?}", began.elapsed());
    let before = after(&out, "SHA-256 over all of them ");
    let fixed = after(&out, "Fixed      SHA-256 ");
    let undone = after(&out, "Undone     SHA-256 ");
    assert_eq!(before, undone, "{out}");
    assert_ne!(before, fixed, "{out}");
    assert_eq!(before.len(), 64, "{out}");
    assert!(out.contains("10. "), "ten things are broken: {out}");
    assert!(out.contains("The host is as it was"), "{out}");
    // The score rises.
    let scores: Vec<u32> = out
        .lines()
        .filter_map(|line| line.strip_prefix("Score ")?.split(' ').next()?.parse().ok())
        .collect();
    assert!(
        matches!(scores[..], [bad, good] if bad + 10 < good),
        "{scores:?}: {out}"
    );
}

/// A policy folder of this test's own.
struct Policy(PathBuf);

impl Policy {
    fn new(name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("baselines")).expect("a folder");
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As the README tells it: a skeleton, which is without fault, and is proven on a real host.
#[test]
fn a_rule_of_ones_own_is_made_checked_and_proven() {
    if !lab_is_wanted(lab::Requirements::Containers) {
        return;
    }
    let policy = Policy::new("policy");
    let new = steadfast(&["rule", "new", "site-banner"]);
    assert!(new.status.success());
    let file = policy.0.join("baselines/site.yaml");
    std::fs::write(&file, &new.stdout).expect("written");
    let lint = steadfast(&["rule", "lint", &policy.path()]);
    let said = text(&lint.stderr) + &text(&lint.stdout);
    assert_eq!(lint.status.code(), Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");

    let cache = cache().to_string_lossy().into_owned();
    let test = [
        "rule",
        "test",
        "--policy",
        &policy.path(),
        "--release",
        "bookworm",
        "--cache",
        &cache,
        "--format",
        "json",
    ];
    let output = steadfast(&test);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let proofs: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let proofs = proofs["proofs"].as_array().expect("a list");
    assert_eq!(proofs.len(), 1, "{proofs:?}");
    assert_eq!(proofs[0]["verdict"], "proven", "{proofs:?}");

    // A rule whose bad case passes proves nothing, and says where it went wrong.
    let text_of_rule = text(&new.stdout).replace(
        "content: \"\"",
        "content: \"This host belongs to the platform team.\\n\", mode: \"0644\"",
    );
    std::fs::write(&file, text_of_rule).expect("written");
    let output = steadfast(&test);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let proofs: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(proofs["proofs"][0]["verdict"], "failed", "{proofs:#}");
    assert_eq!(
        proofs["proofs"][0]["step"], "the bad case fails",
        "{proofs:#}"
    );
}
