//! What people read has one word for one thing, and nothing in the form in which Rust shows values to
//! programmers. The words are those of `docs/words.md`.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files with this ending, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The last column of the table.
fn banned() -> Vec<String> {
    let page = read(&root().join("docs/words.md"));
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let words = rows.flat_map(|row| {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or("");
        last.split(',')
            .map(|word| word.trim().to_owned())
            .collect::<Vec<_>>()
    });
    words.filter(|word| !word.is_empty()).collect()
}

/// Is it there by itself: no part of a name, and no value of JSON in quotes or backticks?
fn has(text: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let is_value = matches!(
            (before, after),
            (Some('"'), Some('"')) | (Some('`'), Some('`'))
        );
        !is_value && !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

/// On one line, as people read it: strings that go on in the next line are one.
fn flat(lines: impl Iterator<Item = String>) -> String {
    let text = lines.collect::<Vec<_>>().join(" ");
    let text = text.replace('\\', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The code of a file, without its tests and without what is said to programmers. Of kinds and commands
/// the comments are documents.
fn said(path: &Path) -> String {
    let text = read(path);
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let shown = path.to_string_lossy();
    let is_document = ["resource/src/kind", "content/src", "steadfast/src/commands"]
        .iter()
        .any(|place| shown.contains(place));
    let lines = code.lines().map(str::trim_start);
    let lines = lines.filter_map(|line| match line.strip_prefix("///") {
        Some(line) => is_document.then(|| line.to_owned()),
        None => (!line.starts_with("//")).then(|| line.to_owned()),
    });
    flat(lines)
}

const CRATES: [&str; 7] = [
    "advisory",
    "content",
    "host",
    "model",
    "plan",
    "resource",
    "steadfast",
];

#[test]
fn one_word_stands_for_one_thing() {
    let banned = banned();
    assert!(banned.contains(&"left alone".to_owned()), "{banned:?}");
    assert!(banned.len() > 5, "{banned:?}");
    let mut texts: Vec<(PathBuf, String)> = Vec::new();
    for name in CRATES {
        let code = files(&format!("crates/{name}/src"), "rs");
        texts.extend(code.into_iter().map(|path| {
            let text = said(&path);
            (path, text)
        }));
    }
    let pages = files("docs", "md").into_iter().filter(|path| {
        // A decision is told as it was taken, and the page of words has them all.
        !path.ends_with("words.md") && !path.to_string_lossy().contains("/decisions/")
    });
    let rules = files("baselines", "yaml");
    let top = ["README.md", "SECURITY.md"].map(|name| root().join(name));
    for path in pages.chain(rules).chain(top) {
        let text = flat(read(&path).lines().map(str::to_owned));
        texts.push((path, text));
    }
    let mut found = Vec::new();
    for (path, text) in &texts {
        for word in banned.iter().filter(|word| has(text, word)) {
            found.push(format!("{}: `{word}`", path.display()));
        }
    }
    assert!(
        found.is_empty(),
        "docs/words.md has another word:\n{}",
        found.join("\n")
    );
}

/// `{:?}` shows quotes, names of types and escapes that nobody outside knows. Where it stays, nobody reads
/// it as it is.
#[test]
fn nothing_is_shown_in_rusts_own_form() {
    const INNER: [&str; 8] = [
        // What is hashed or compared, and never shown.
        "content/src/baseline.rs",
        "content/src/yaml.rs",
        "host/src/packages/remembered.rs",
        "host/src/state.rs",
        "host/src/apply/images.rs",
        "plan/src/converge/fold.rs",
        // miette's reports are shown through it, and paths to programmers.
        "steadfast/src/commands/mod.rs",
        "steadfast/src/commands/rule/lint.rs",
    ];
    let mut found = Vec::new();
    for name in CRATES {
        for path in files(&format!("crates/{name}/src"), "rs") {
            let is_inner = INNER.iter().any(|inner| path.ends_with(Path::new(inner)));
            let text = said(&path);
            let is_debug =
                text.contains("impl fmt::Debug for") || text.contains("impl std::fmt::Debug for");
            if !is_inner && !is_debug && (text.contains("{:?}") || text.contains(":?}")) {
                found.push(path.display().to_string());
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_word_is_told_from_a_name_that_holds_it() {
    for (text, is_there) in [
        ("the plan was left alone here", true),
        ("tell_committed(", false),
        ("`committed`", false),
        ("is committed.", true),
        ("history-rollback", false),
        ("Self::Committed => \"committed\"", false),
    ] {
        let word = if text.contains("alone") {
            "left alone"
        } else if text.contains("rollback") {
            "rollback"
        } else {
            "committed"
        };
        assert_eq!(has(text, word), is_there, "{text}");
    }
}
