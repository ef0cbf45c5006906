//! What the documents tell people to type is accepted, and their links lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;
use steadfast::cli::Cli;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Markdown file that is about this project: those at the top, and all of `docs/`.
fn documents() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join("docs")];
    let mut found = Vec::new();
    let is_page = |path: &Path| path.extension().is_some_and(|end| end == "md");
    let entries = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("a folder of the repository");
        entries.map(|entry| entry.expect("an entry").path())
    };
    found.extend(entries(&root()).filter(|path| is_page(path)));
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if is_page(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a page is text");
        (path, text)
    };
    found.into_iter().map(read).collect()
}

/// The lines inside fenced blocks, and what stands between single backticks elsewhere.
fn code(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut spans) = (Vec::<String>::new(), Vec::new());
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            match lines.last_mut().filter(|last| last.ends_with('\\')) {
                Some(last) => {
                    last.pop();
                    last.push_str(line.trim());
                }
                None => lines.push(line.trim().to_owned()),
            }
        } else {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    (lines, spans)
}

/// The words of a call of the program, without what a shell does with its output.
fn call(line: &str) -> Option<Vec<String>> {
    const STARTS: [&str; 3] = [
        "steadfast ",
        "target/release/steadfast ",
        "cargo run --release -- ",
    ];
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let line = line.strip_prefix("sudo ").unwrap_or(line);
    let rest = STARTS.iter().find_map(|start| line.strip_prefix(start))?;
    let end = rest.find(['|', '>', '#', ';']).unwrap_or(rest.len());
    let mut words = vec!["steadfast".to_owned()];
    // What stands between two quotes is one word, or a part of one.
    for (place, part) in rest[..end].split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    Some(words)
}

/// What is there is right, and something is not said.
fn is_incomplete(words: &[String], kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => true,
        // `steadfast plan --output`: with a value it would be whole.
        ErrorKind::InvalidValue => {
            Cli::try_parse_from(words.iter().map(String::as_str).chain(["x"])).is_ok()
        }
        _ => false,
    }
}

fn accepted(words: &[String], in_prose: bool) -> Result<(), String> {
    match Cli::try_parse_from(words) {
        Ok(_) => Ok(()),
        // Asking for help or the version ends the parser, as it should.
        Err(error) if error.exit_code() == 0 => Ok(()),
        // A sentence names a command without all of its arguments: "or `steadfast confirm`".
        Err(error) if in_prose && is_incomplete(words, error.kind()) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// A name for something in a sentence: `steadfast rule test ID`, `apply FILE`, a usage line.
fn is_pattern(words: &[String]) -> bool {
    words.iter().skip(1).any(|word| {
        word.contains(['<', '[', '…'])
            || word
                .trim_matches('-')
                .chars()
                .all(|letter| letter.is_ascii_uppercase())
    })
}

#[test]
fn every_command_of_the_documents_is_accepted() {
    let mut tried = 0;
    let mut refused = Vec::new();
    for (path, text) in documents() {
        let (lines, spans) = code(&text);
        let all = lines.iter().map(|line| (line, false));
        for (code, in_prose) in all.chain(spans.iter().map(|span| (span, true))) {
            let Some(words) = call(code) else { continue };
            if is_pattern(&words) {
                continue;
            }
            tried += 1;
            if let Err(why) = accepted(&words, in_prose) {
                refused.push(format!("{}: {code}\n{why}", path.display()));
            }
        }
    }
    assert!(tried >= 30, "only {tried} commands were found");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn the_reader_of_calls_notices_mistakes() {
    for (line, good) in [
        ("$ steadfast audit", true),
        ("sudo steadfast undo last", true),
        ("steadfast audit --format json |", true),
        ("steadfast rule new site > site.yaml", true),
        ("steadfast audit --no-such-option", false),
        ("steadfast adit", false),
        ("sudo target/release/steadfast plan --rules x", false),
    ] {
        let words = call(line).expect(line);
        assert_eq!(accepted(&words, false).is_ok(), good, "{line}");
    }
    assert_eq!(call("sudo apt install gcc"), None);
}

/// As a Markdown viewer makes a heading's anchor.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            other => other.is_alphanumeric().then_some(other),
        })
        .collect()
}

/// The targets of links and pictures, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        for prose in line.split('`').step_by(2) {
            for rest in prose.split("](").skip(1) {
                found.extend(rest.split_once(')').map(|(target, _)| target.to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut tried = 0;
    for (path, text) in documents() {
        let folder = path.parent().expect("a file lies in a folder");
        for link in links(&text) {
            if link.starts_with("https://") {
                continue;
            }
            tried += 1;
            let (file, part) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            let is_there = target.exists()
                && (part.is_empty()
                    || std::fs::read_to_string(&target).is_ok_and(|text| {
                        text.lines()
                            .filter(|line| line.starts_with('#'))
                            .any(|heading| anchor(heading) == part)
                    }));
            if !is_there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(tried >= 15, "only {tried} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_picture_is_shown_somewhere() {
    let shown: BTreeSet<String> = documents()
        .iter()
        .flat_map(|(_, text)| links(text))
        .filter_map(|link| link.rsplit('/').next().map(str::to_owned))
        .collect();
    let folder = root().join("docs/images");
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_str().expect("a name of ours");
        assert!(shown.contains(name), "{name} is shown nowhere");
    }
}

/// Keys of each JSON form stand in the page that describes it, under its command's heading.
fn describes(page: &str, command: &str, value: &serde_json::Value) {
    let heading = format!("## `steadfast {command}`\n");
    let (_, section) = page.split_once(&heading).expect(&heading);
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(map) => {
                for (key, inner) in map {
                    assert!(
                        section.contains(&format!("`{key}`")),
                        "{command}: `{key}` is not described"
                    );
                    // What these hold is the program's own affair, or names of distributions.
                    let opaque = [
                        "effect",
                        "inverse",
                        "probe",
                        "seen",
                        "releases",
                        "covers",
                        "elsewhere",
                    ];
                    if !opaque.contains(&key.as_str()) {
                        open.push(inner);
                    }
                }
            }
            serde_json::Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[test]
fn every_json_form_is_described() {
    let page = std::fs::read_to_string(root().join("docs/reference/json.md")).expect("the page");
    for command in [
        "rule list",
        "rule show ssh-root-login",
        "baseline list",
        "baseline show openssh",
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_steadfast"))
            .args(command.split(' '))
            .args(["--format", "json"])
            .output()
            .expect("the program runs");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{command}: {error}: {output:?}"));
        assert_eq!(value["format"], 1, "{command}");
        let words: Vec<&str> = command.split(' ').take(2).collect();
        describes(&page, &words.join(" "), &value);
    }
    for (exit, level, value) in linted() {
        describes(&page, "rule lint", &value);
        assert_eq!(value["format"], 1);
        let said = &value["said"][0];
        assert_eq!(said["level"].as_str(), level, "{value}");
        assert_eq!(
            exit,
            level.map_or(0, |level| if level == "error" { 2 } else { 1 })
        );
    }
    let plan = serde_json::to_value(crate::show_plan::everything()).expect("it has a JSON form");
    describes(&page, "plan", &plan);
    describes(&page, "inventory", &crate::inventory::own_form());
    for change in crate::show_changes::changes() {
        let change = serde_json::to_value(change).expect("it has a JSON form");
        describes(&page, "history", &change);
    }
}

#[test]
fn the_json_forms_of_advisories_are_described() {
    let page = std::fs::read_to_string(root().join("docs/reference/json.md")).expect("the page");
    let bench = crate::vulns::Bench::new("documents");
    bench.feeds(&crate::vulns::usual());
    let list = bench.json(&["feed", "list"]);
    describes(&page, "feed list", &list);
    let import = ["feed", "import", &bench.path("feed"), "--name", "all"];
    let mut import = bench.json(&import);
    let mut vulns = bench.json(&["vulns", "CVE-2026-0001"]);
    for value in [&list, &import, &vulns] {
        assert_eq!(value["format"], 1);
    }
    // These are as in the list.
    import["feed"] = serde_json::Value::Null;
    vulns["feeds"] = serde_json::Value::Null;
    describes(&page, "feed import", &import);
    describes(&page, "vulns", &vulns);
}

/// Exit code, the level that is expected, and the JSON of `rule lint`, for a policy with a
/// mistake, one with a doubt, and one with neither.
fn linted() -> Vec<(i32, Option<&'static str>, serde_json::Value)> {
    let cases = [
        (
            "role: web\nwant:\n  - file: {path: /a, contnet: x}\n",
            Some("error"),
        ),
        (
            "role: web\nparams: {unused: {type: string}}\nwant:\n  - package: {name: nginx}\n",
            Some("warning"),
        ),
        ("role: web\nwant:\n  - package: {name: nginx}\n", None),
    ];
    let lint = |(text, level): (&str, Option<&'static str>)| {
        let name = format!("linted-{}", level.unwrap_or("fine"));
        let policy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(policy.join("roles")).expect("the build's own folder");
        std::fs::write(policy.join("roles/web.yaml"), text).expect("the build's own folder");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_steadfast"))
            .args(["rule", "lint", "--format", "json"])
            .arg(&policy)
            .output()
            .expect("the program runs");
        assert!(output.stderr.is_empty(), "{output:?}");
        let value = serde_json::from_slice(&output.stdout).expect("JSON");
        (
            output.status.code().expect("it ends by itself"),
            level,
            value,
        )
    };
    cases.into_iter().map(lint).collect()
}
