//! `steadfast patch dependencies`, run as a person runs it: what is shown, and the exit codes.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use host::dependencies::Changed;
use serde_json::{Value, json};
use steadfast::show::dependencies::patch_text;

/// A folder with a project, a state folder with feeds, and a home with settings.
pub struct Bench {
    folder: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Bench {
    pub fn new(name: &str) -> Self {
        // Root's state must lie where only root can write, which `/tmp` is not.
        let place = match rustix::process::geteuid().is_root() {
            true => PathBuf::from("/run"),
            false => std::env::temp_dir(),
        };
        let name = format!("steadfast-test-dependencies-{name}-{}", std::process::id());
        let folder = place.join(name);
        let _ = fs::remove_dir_all(&folder);
        let bench = Self { folder };
        fs::create_dir_all(bench.folder.join("project")).expect("a folder");
        fs::create_dir_all(bench.folder.join("home")).expect("a folder");
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    /// A feed of these: (id, ecosystem, package, introduced, fixed).
    pub fn feed(&self, records: &[(&str, &str, &str, &str, Option<&str>)]) {
        for (id, ecosystem, name, introduced, fixed) in records {
            let mut events = vec![json!({"introduced": introduced})];
            events.extend(fixed.map(|fixed| json!({"fixed": fixed})));
            let record = json!({
                "schema_version": "1.6.0", "id": id, "modified": "2026-01-01T00:00:00Z",
                "published": "2026-01-01T00:00:00Z", "summary": "something",
                "severity": [{"type": "CVSS_V3",
                    "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
                "affected": [{"package": {"ecosystem": ecosystem, "name": name},
                    "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
            });
            self.file(&format!("feed/{id}.json"), &record.to_string());
        }
        self.file(
            "feed/kev.json",
            r#"{"catalogVersion":"1","dateReleased":"2026-01-01T00:00:00Z","count":1,
            "vulnerabilities":[{"cveID":"CVE-2026-9999","dateAdded":"2026-01-02",
            "knownRansomwareCampaignUse":"Known"}]}"#,
        );
        let output = self.run(
            &["feed", "import", &self.text("feed"), "--name", "all"],
            &[],
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }

    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command
            .env("LANG", "C.UTF-8")
            .arg("--state")
            .arg(self.path("state"))
            .args(args);
        for (name, value) in variables {
            command.env(name, value);
        }
        command.output().expect("the program runs")
    }

    /// Of the project, with feeds of any age.
    fn dependencies(&self, more: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, Value) {
        let project = self.text("project");
        let mut args = vec!["patch", "dependencies", &project, "--max-age", "60000"];
        args.extend(["--format", "json"]);
        args.extend(more);
        let output = self.run(&args, variables);
        let value = serde_json::from_slice(&output.stdout);
        let value = value.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code(), value)
    }

    /// The upgrades as a patch, after which the project is as it was; and that git takes it.
    pub fn patched(&self, variables: &[(&str, &str)]) -> (Value, String) {
        let before = snapshot(&self.path("project"));
        let output = self.text("out.patch");
        let (_, shown) = self.dependencies(&["--output", &output], variables);
        assert_eq!(snapshot(&self.path("project")), before);
        let patch = fs::read_to_string(&output).unwrap_or_default();
        if !patch.is_empty() {
            let git = Command::new("git")
                .args(["apply", "--check", &output])
                .current_dir(self.path("project"))
                .env("GIT_CEILING_DIRECTORIES", &self.folder)
                .output()
                .expect("git is there");
            assert!(git.status.success(), "{git:?}\n{patch}");
        }
        (shown, patch)
    }
}

/// Every path below a folder, with its content.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.symlink_metadata().expect("it is there").is_dir() {
            true => all.extend(snapshot(&path)),
            false => all.push((path.clone(), fs::read(&path).unwrap_or_default())),
        }
    }
    all.sort();
    all
}

/// `name version -> upgrade`, and what became of it.
pub fn told(shown: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let advice = shown["advice"].as_array().expect("a list");
    let mut all: Vec<String> = advice
        .iter()
        .map(|one| {
            let to = &one["remedy"]["to"];
            let major = if to["compatible"] == false {
                "major "
            } else {
                ""
            };
            let mut line = format!(
                "{} {} -> {major}{}",
                text(&one["name"]),
                text(&one["version"]),
                text(&to["version"])
            );
            match one["outcome"]["outcome"].as_str() {
                Some("upgraded") => write!(line, ", made: {}", one["outcome"]["to"]),
                Some("still_open") => write!(line, ", open: {}", one["outcome"]["to"]),
                Some("not_made") => write!(line, ", not: {}", text(&one["outcome"]["why"])),
                _ => Ok(()),
            }
            .expect("a string takes it");
            line
        })
        .collect();
    all.sort();
    all
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

pub fn lacks(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output();
    let lacks = !there.is_ok_and(|output| output.status.success());
    if lacks {
        skip(&format!("there is no {program}"));
    }
    lacks
}

pub const MANIFEST: &str = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n\
    [dependencies]\nold-lib = \"1\"\nframe = \"1\"\n";

/// `frame` brings `inner`; `big` needs a new major version; `lost` has no fix.
pub const LOCK: &str = r#"version = 4

[[package]]
name = "frame"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "0000000000000000000000000000000000000000000000000000000000000000"
dependencies = [
 "inner",
]

[[package]]
name = "inner"
version = "0.3.1"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "0000000000000000000000000000000000000000000000000000000000000000"

[[package]]
name = "old-lib"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "0000000000000000000000000000000000000000000000000000000000000000"

[[package]]
name = "shop"
version = "0.1.0"
dependencies = [
 "frame",
 "old-lib",
]
"#;

#[test]
fn advice_says_the_least_upgrade_where_it_stands_and_what_brings_it() {
    let bench = Bench::new("advice");
    bench.file("project/Cargo.toml", MANIFEST);
    bench.file("project/Cargo.lock", LOCK);
    // What lies in these is others'.
    bench.file("project/node_modules/x/Cargo.lock", LOCK);
    bench.file("project/vendor/Cargo.lock", LOCK);
    bench.file("outside/requirements.txt", "old==1\n");
    fs::create_dir_all(bench.path("project/py")).expect("a folder");
    let link = bench.path("project/py/requirements.txt");
    symlink(bench.path("outside/requirements.txt"), link).expect("a link");
    symlink(bench.path("outside"), bench.path("project/out")).expect("a link");
    bench.feed(&[
        ("CVE-2026-0001", "crates.io", "old-lib", "0", Some("1.0.5")),
        ("CVE-2026-0002", "crates.io", "old-lib", "0", Some("1.0.9")),
        ("CVE-2026-0003", "crates.io", "inner", "0", Some("0.4.0")),
        ("CVE-2026-0004", "crates.io", "inner", "0", None),
    ]);
    let (code, shown) = bench.dependencies(&[], &[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        told(&shown),
        ["inner 0.3.1 -> major 0.4.0", "old-lib 1.0.0 -> 1.0.9"]
    );
    let lockfiles = &shown["lockfiles"];
    assert_eq!(lockfiles.as_array().map(Vec::len), Some(1), "{lockfiles}");
    let unread = shown["unknown"].to_string();
    assert!(unread.contains("py/requirements.txt: a link"), "{unread}");
    let output = bench.run(
        &[
            "patch",
            "dependencies",
            &bench.text("project"),
            "--max-age",
            "60000",
        ],
        &[],
    );
    let text = String::from_utf8(output.stdout).expect("text");
    for part in [
        "4 findings in 2 packages",
        "old-lib 1.0.0 → 1.0.9  Cargo.lock:18",
        "inner 0.3.1 → 0.4.0 (a new major version)  Cargo.lock:12",
        "no known version closes CVE-2026-0004 as well",
        "a direct dependency",
        "brought by frame 1.0.0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn exit_codes_tell_findings_from_what_could_not_be_checked() {
    let bench = Bench::new("exits");
    // Nothing there, and no feed.
    let (code, shown) = bench.dependencies(&[], &[]);
    assert_eq!((code, told(&shown).len()), (Some(3), 0));
    bench.feed(&[("CVE-2026-0001", "crates.io", "other", "0", Some("1.0.5"))]);
    bench.file("project/Cargo.lock", LOCK);
    assert_eq!(bench.dependencies(&[], &[]).0, Some(0));
    // Of which no feed speaks.
    bench.file("project/requirements.txt", "old==1\n");
    assert_eq!(bench.dependencies(&[], &[]).0, Some(3));
    let output = bench.run(&["patch", "dependencies", &bench.text("nowhere")], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    // A torn one is said, and the others are read.
    bench.file("project/requirements.txt", "");
    bench.file("project/web/package-lock.json", "{");
    let (code, shown) = bench.dependencies(&[], &[]);
    assert_eq!(code, Some(3));
    assert!(
        shown["unknown"]
            .to_string()
            .contains("web/package-lock.json")
    );
}

#[test]
fn git_applies_what_is_written_whatever_the_files_are_called() {
    let bench = Bench::new("git");
    // (path, before, after)
    let cases = [
        ("requirements.txt", "a==1\nb==2\n", "a==1\nb==3\n"),
        ("a b/requirements.txt", "a==1", "a==2"),
        (
            "q\"u\\o\tte/requirements-ü.txt",
            "a==1\r\nb==1\r\n",
            "a==1\r\nb==2\r\n",
        ),
        ("end/requirements.txt", "a==1\n", "a==1"),
        (
            "return/requirements.txt",
            "a==1\rx\nb==1\n",
            "a==1\rx\nb==2\n",
        ),
    ];
    let changed: Vec<Changed> = cases
        .iter()
        .map(|(path, old, new)| {
            bench.file(&format!("project/{path}"), old);
            Changed {
                path: (*path).to_owned(),
                old: old.as_bytes().to_vec(),
                new: new.as_bytes().to_vec(),
            }
        })
        .collect();
    let patch = bench.file("out.patch", &patch_text(&changed));
    let git = Command::new("git")
        .arg("apply")
        .arg(&patch)
        .current_dir(bench.path("project"))
        .env("GIT_CEILING_DIRECTORIES", bench.path(""))
        .output()
        .expect("git is there");
    assert!(git.status.success(), "{git:?}\n{}", patch_text(&changed));
    for (path, _, new) in cases {
        let now = fs::read_to_string(bench.path("project").join(path)).expect("a file");
        assert_eq!(now, new, "{path}");
    }
}

/// Real advisories and a lockfile as it was in 2021, where this machine has the data.
#[test]
fn real_advisories_name_the_upgrades_that_closed_them() {
    let named = std::env::var_os("STEADFAST_SHARED").map(PathBuf::from);
    let shared =
        named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let feed = |name: &str| shared.join("data").join(name);
    let feeds = [
        feed("crates-osv-2026-08-21.tar.zst"),
        feed("pypi-osv-2024-10-10.tar.zst"),
        feed("go-osv-2026-08-21.tar.zst"),
    ];
    if let Some(missing) = feeds.iter().find(|feed| !feed.exists()) {
        skip(&format!("there is no {}", missing.display()));
        return;
    }
    let bench = Bench::new("real");
    for feed in &feeds {
        let output = bench.run(&["feed", "import", &feed.display().to_string()], &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let package = |name: &str, version: &str| {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \
            \"registry+https://github.com/rust-lang/crates.io-index\"\n\n"
        )
    };
    let lock = [
        package("time", "0.1.43"),
        package("tokio", "1.8.0"),
        package("smallvec", "1.6.0"),
        package("serde", "1.0.100"),
    ];
    bench.file("project/Cargo.lock", &lock.concat());
    bench.file(
        "project/requirements.txt",
        "requests==2.19.0\njinja2==2.10\nsix==1.16.0\n",
    );
    bench.file(
        "project/go.mod",
        "module x\n\ngo 1.17\n\nrequire golang.org/x/text v0.3.5\n",
    );
    let (code, shown) = bench.dependencies(&[], &[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        told(&shown),
        [
            "golang.org/x/text v0.3.5 -> v0.39.0",
            "jinja2 2.10 -> 2.11.3",
            "requests 2.19.0 -> 2.31.0",
            "smallvec 1.6.0 -> 1.6.1",
            "time 0.1.43 -> major 0.2.0",
            "tokio 1.8.0 -> 1.18.4",
        ]
    );
}

/// The command that applies a patch names the file that was written.
#[test]
fn the_next_command_names_the_file_that_was_written() {
    use steadfast::show::dependencies::{Made, Shown, write};
    use steadfast::show::vulns::View;
    let shown = Shown {
        format: 1,
        generated: jiff::Timestamp::UNIX_EPOCH,
        folder: "/srv/my shop".to_owned(),
        lockfiles: Vec::new(),
        advice: Vec::new(),
        patch: Some(Made {
            file: Some("/root/out/shop.patch".to_owned()),
            changed: vec![Changed {
                path: "Cargo.lock".to_owned(),
                old: Vec::new(),
                new: Vec::new(),
            }],
            ..Made::default()
        }),
        assessment: advisory::assess::Assessment {
            findings: Vec::new(),
            undetermined: Vec::new(),
            unknown: Vec::new(),
            not_affected: Vec::new(),
            dormant: Vec::new(),
            warnings: Vec::new(),
            feeds: Vec::new(),
            components: 0,
            packages: 0,
            others: 0,
        },
    };
    let view = View {
        verbose: false,
        today: jiff::civil::date(2026, 11, 28),
        flags: String::new(),
    };
    let mut out = Vec::new();
    let style = steadfast::style::Style::plain(40, true);
    write(&mut out, &shown, &view, &style).expect("a vector");
    let text = String::from_utf8(out).expect("UTF-8");
    let wanted = "git -C '/srv/my shop' apply /root/out/shop.patch\n";
    assert!(text.contains(wanted), "{text}");
}

/// What each reason says that it concerns, by lockfile.
fn not_told(shown: &Value) -> Vec<String> {
    let unknown = shown["unknown"].as_array().expect("a list").iter();
    let of_files = unknown.filter(|one| !one["why"].as_str().expect("text").starts_with("feed "));
    let mut told: Vec<String> = of_files
        .map(|one| format!("{} {}", one["why"].as_str().expect("text"), one["packages"]))
        .collect();
    told.sort();
    told
}

/// Requirements as they are really written: what is not pinned is counted, what a file takes in is
/// read, and nothing is passed over.
#[test]
fn requirements_are_read_whole_or_what_is_left_is_said() {
    let bench = Bench::new("requirements");
    bench.feed(&[
        ("PYSEC-1", "PyPI", "aiohttp", "0", Some("3.7.4")),
        ("PYSEC-2", "PyPI", "urllib3", "0", Some("1.26.5")),
        ("PYSEC-3", "PyPI", "django", "0", Some("3.2.25")),
    ]);
    bench.file(
        "project/requirements.txt",
        "Django>=3.2,<4\n-r base.txt\nurllib3===1.24.1\njinja2==2.11.*\n\
         -e git+https://example.com/x.git#egg=x\n--index-url https://pypi.example.com/simple\n",
    );
    bench.file("project/base.txt", "aiohttp==3.7.3\n-r deep/more.txt\n");
    bench.file(
        "project/deep/more.txt",
        "-r ../base.txt\n-c limits.txt\nflask\n",
    );
    let (code, shown) = bench.dependencies(&[], &[]);
    assert_eq!(code, Some(1));
    assert_eq!(
        told(&shown),
        ["aiohttp 3.7.3 -> 3.7.4", "urllib3 1.24.1 -> 1.26.5"]
    );
    let pinned = "not pinned, so nobody knows which version would be installed";
    let limits = "deep/more.txt:2: `deep/limits.txt`, which it takes in: No such file or \
        directory (os error 2) null";
    assert_eq!(
        not_told(&shown),
        [
            format!("deep/more.txt: {pinned} 1"),
            limits.to_owned(),
            "requirements.txt: not from the registry, so no feed speaks of them 1".to_owned(),
            format!("requirements.txt: {pinned} 2"),
        ]
    );
    // A file of constraints says which version of what is asked for is installed.
    bench.file("project/deep/limits.txt", "flask==2.0.0\nDjango==3.2.10\n");
    let (_, shown) = bench.dependencies(&[], &[]);
    assert!(told(&shown).contains(&"Django 3.2.10 -> 3.2.25".to_owned()));
    assert_eq!(
        not_told(&shown),
        [
            "requirements.txt: not from the registry, so no feed speaks of them 1".to_owned(),
            format!("requirements.txt: {pinned} 1"),
        ]
    );
    // Nothing that could be looked up is no "0 findings".
    fs::remove_dir_all(bench.path("project/deep")).expect("ours");
    bench.file("project/base.txt", "flask\n");
    bench.file(
        "project/requirements.txt",
        "Django>=3.2,<4\n-r base.txt\n-r ../../x.txt\n",
    );
    let (code, shown) = bench.dependencies(&[], &[]);
    assert_eq!(code, Some(3));
    assert!(
        not_told(&shown)
            .contains(&"requirements.txt:3: `../../x.txt` is outside the folder null".to_owned())
    );
    let project = bench.text("project");
    let output = bench.run(
        &["patch", "dependencies", &project, "--max-age", "60000"],
        &[],
    );
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).expect("text");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.starts_with("no finding in what can be told;"),
        "{text}"
    );
    assert!(
        text.contains("2 lockfiles with 0 packages looked at, 2 not"),
        "{text}"
    );
}

#[test]
fn requirements_in_a_folder_of_their_own_are_found() {
    let bench = Bench::new("folder");
    bench.feed(&[("PYSEC-1", "PyPI", "aiohttp", "0", Some("3.7.4"))]);
    bench.file("project/requirements/base.txt", "aiohttp==3.7.3\n");
    let (code, shown) = bench.dependencies(&[], &[]);
    assert_eq!((code, told(&shown).len()), (Some(1), 1));
}

/// Of tools that are not asked here, what they are told.
#[test]
fn the_command_of_another_tool_is_printed() {
    let bench = Bench::new("commands");
    bench.feed(&[
        ("PYSEC-1", "PyPI", "urllib3", "0", Some("1.26.18")),
        ("GO-1", "Go", "golang.org/x/net", "0", Some("0.56.0")),
    ]);
    bench.file(
        "project/uv.lock",
        "version = 1\n[[package]]\nname = \"urllib3\"\nversion = \"1.24.1\"\n\
         source = { registry = \"https://pypi.org/simple\" }\n",
    );
    bench.file(
        "project/poetry/poetry.lock",
        "[[package]]\nname = \"urllib3\"\nversion = \"1.24.1\"\n",
    );
    bench.file(
        "project/go.mod",
        "module x\n\ngo 1.17\n\nrequire golang.org/x/net v0.40.0\n",
    );
    let project = bench.text("project");
    let args = [
        "patch",
        "dependencies",
        &project,
        "--max-age",
        "60000",
        "--verbose",
    ];
    let output = bench.run(&args, &[]);
    let text = String::from_utf8(output.stdout).expect("text");
    for command in [
        "uv lock --upgrade-package urllib3==1.26.18",
        "poetry update --lock urllib3",
        "go get golang.org/x/net@v0.56.0",
    ] {
        assert!(text.contains(command), "{command}: {text}");
    }
}
