//! `steadfast feed` and `steadfast vulns`, run as a person runs them: what is on standard
//! output, and the exit code.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A tree with packages, and a state folder with feeds.
pub struct Bench {
    folder: PathBuf,
}

const STATUS: &str = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\n\
    Source: openssl\nVersion: 3.0.10-1\n\n\
    Package: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.10-1\n\n\
    Package: bash\nStatus: install ok unpacked\nArchitecture: amd64\nVersion: 5.2-1+b1\n\
    Source: bash (5.2-1)\n\n\
    Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n";

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
        let folder = place.join(format!(
            "steadfast-test-vulns-{name}-{}",
            std::process::id()
        ));
        let _ = fs::remove_dir_all(&folder);
        let bench = Self { folder };
        bench.file("root/var/lib/dpkg/status", STATUS);
        bench.file("root/var/lib/dpkg/info/bash.list", "/.\n/bin/bash\n");
        bench.release("debian", "12");
        bench
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    pub fn release(&self, id: &str, version: &str) {
        let text = format!("ID={id}\nVERSION_ID=\"{version}\"\nPRETTY_NAME=\"{id} {version}\"\n");
        self.file("root/etc/os-release", &text);
    }

    /// A feed of these records, with a catalogue of exploited vulnerabilities and EPSS scores.
    pub fn feeds(&self, records: &[String]) {
        let _ = fs::remove_dir_all(self.folder.join("feed"));
        for (at, record) in records.iter().enumerate() {
            self.file(&format!("feed/{at}.json"), record);
        }
        self.file(
            "feed/kev.json",
            r#"{"catalogVersion":"1","dateReleased":"2026-01-01T00:00:00Z","count":1,"vulnerabilities":[
            {"cveID":"CVE-2026-0001","dateAdded":"2026-01-02","knownRansomwareCampaignUse":"Known"}]}"#,
        );
        let scores: String = (1..=4)
            .map(|n| format!("CVE-2026-000{n},0.0100,0.5\n"))
            .collect();
        self.file("feed/epss.csv", &format!("cve,epss,percentile\n{scores}"));
        let path = self.folder.join("feed").display().to_string();
        let output = self.run(&["feed", "import", &path, "--name", "all"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program runs")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command
            .env("LANG", "C.UTF-8")
            .arg("--state")
            .arg(self.folder.join("state"))
            .args(args);
        command
    }

    /// `vulns` on the tree, with feeds of any age.
    pub fn vulns(&self, more: &[&str]) -> (Option<i32>, String) {
        let root = self.folder.join("root").display().to_string();
        let mut args = vec!["vulns", "--root", &root];
        if !more.contains(&"--max-age") {
            args.extend(["--max-age", "60000"]);
        }
        args.extend(more);
        let output = self.run(&args);
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        (output.status.code(), text)
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let root = self.folder.join("root").display().to_string();
        let mut all = args.to_vec();
        if args[0] == "vulns" {
            all.extend(["--root", &root]);
        }
        all.extend(["--format", "json"]);
        let output = self.run(&all);
        let value = serde_json::from_slice(&output.stdout);
        value.unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// A record of openssl in Debian 12.
pub fn record(id: &str, fixed: Option<&str>, severity: &str) -> String {
    let fixed = fixed.map_or_else(String::new, |version| {
        format!(r#",{{"fixed":"{version}"}}"#)
    });
    let vector = match severity {
        "critical" => "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        _ => "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N",
    };
    format!(
        r#"{{"schema_version":"1.6.0","id":"{id}","modified":"2026-01-01T00:00:00Z",
        "published":"2026-01-01T00:00:00Z","summary":"something about {id}",
        "details":"The first line.\nThe second line.",
        "severity":[{{"type":"CVSS_V3","score":"{vector}"}}],
        "affected":[{{"package":{{"ecosystem":"Debian:12","name":"openssl"}},
        "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}}{fixed}]}}]}}]}}"#
    )
}

pub fn usual() -> Vec<String> {
    vec![
        record("CVE-2026-0001", Some("3.0.11-1~deb12u1"), "critical"),
        record("CVE-2026-0002", Some("3.0.11-1~deb12u2"), "low"),
        record("CVE-2026-0003", None, "low"),
        record("CVE-2026-0004", Some("3.0.9-1"), "critical"),
    ]
}

/// Without the ages, which are of today, and what to type next, where the folder of this test
/// stands.
pub fn steady(text: &str) -> String {
    let (shown, _) = text.split_once("\n\nnext").unwrap_or((text, ""));
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| !line.starts_with("feeds"))
        .collect();
    lines.join("\n")
}

#[test]
fn findings_are_shown_by_priority_and_package() {
    let bench = Bench::new("shown");
    bench.feeds(&usual());
    let (code, text) = bench.vulns(&["--human-impact", "high"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!("vulns", steady(&text));
    let (_, text) = bench.vulns(&["CVE-2026-0001", "CVE-2026-0004", "CVE-2026-0009"]);
    insta::assert_snapshot!("vulns_named", steady(&text));
}

/// `steadfast vulns | head`, in a pipeline that a gate depends on.
#[test]
fn a_reader_that_has_seen_enough_does_not_pass_a_gate() {
    let bench = Bench::new("closed");
    bench.feeds(&usual());
    let root = bench.path("root");
    for format in ["human", "json", "sarif", "cyclonedx-vex"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let args = ["vulns", "--root", &root, "--format", format];
        let mut listing = bench.command(&args);
        let child = listing.stdout(writer).stderr(Stdio::piped()).spawn();
        let output = child.and_then(std::process::Child::wait_with_output);
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{format}: {output:?}");
        assert!(output.stderr.is_empty(), "{format}: {output:?}");
    }
    // A disk that is full is said.
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let mut listing = bench.command(&["vulns", "--root", &root]);
    let output = listing.stdout(full.expect("full(4)")).output();
    let output = output.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("can't write the output"), "{said}");
}

#[test]
fn exit_codes_say_what_was_found_and_what_was_not_known() {
    let bench = Bench::new("exit");
    // No feed at all.
    assert_eq!(bench.vulns(&[]).0, Some(3));
    bench.feeds(&[record("CVE-2026-0004", Some("3.0.9-1"), "critical")]);
    assert_eq!(bench.vulns(&[]).0, Some(0), "{}", bench.vulns(&[]).1);
    assert_eq!(bench.vulns(&["--max-age", "1"]).0, Some(3), "stale");
    bench.release("debian", "14");
    assert_eq!(
        bench.vulns(&[]).0,
        Some(3),
        "a release that no feed speaks of"
    );
    bench.release("ubuntu", "24.04");
    assert_eq!(bench.vulns(&[]).0, Some(3), "another distribution");
    bench.release("debian", "12");
    bench.feeds(&usual());
    assert_eq!(bench.vulns(&[]).0, Some(1));
    // What will run from a tree, nobody knows, and that makes nothing immediate.
    assert_eq!(bench.vulns(&["--fail-on", "immediate"]).0, Some(0));
    assert_eq!(bench.vulns(&["--fail-on", "out-of-cycle"]).0, Some(1));
    let mild = ["--human-impact", "low", "--fail-on"];
    let mild = |priority: &str| bench.vulns(&[&mild[..], &[priority]].concat()).0;
    assert_eq!(mild("immediate"), Some(0));
    assert_eq!(mild("out-of-cycle"), Some(1));
    assert_eq!(
        bench.vulns(&["--max-age", "1"]).0,
        Some(1),
        "findings weigh more"
    );
}

#[test]
fn what_is_wrong_with_an_import_is_said_and_the_old_feed_stays() {
    let bench = Bench::new("refused");
    bench.feeds(&usual());
    let before = bench.json(&["feed", "list", "--max-age", "60000"]);
    let broken = bench.file("broken.json", r#"{"id": "CVE-2026-0001""#);
    let broken = broken.display().to_string();
    // (arguments, exit code, what is said)
    let cases = [
        (
            ["feed", "import", &broken, "--name", "all"],
            2,
            "nothing was changed",
        ),
        (
            ["feed", "import", &broken, "--name", "../x"],
            2,
            "lower-case letters",
        ),
        (
            ["feed", "import", "/nowhere", "--name", "all"],
            2,
            "cannot open",
        ),
    ];
    for (args, code, said) in cases {
        let output = bench.run(&args);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(said), "{text}");
    }
    let after = bench.json(&["feed", "list", "--max-age", "60000"]);
    assert_eq!(after["feeds"][0]["digest"], before["feeds"][0]["digest"]);
}

#[test]
fn a_damaged_index_is_said_and_is_not_clean() {
    let bench = Bench::new("damaged");
    bench.feeds(&usual());
    let path = bench.path("state/feeds/all.idx");
    let mut bytes = fs::read(&path).expect("the index");
    bytes[300] ^= 1;
    fs::write(&path, bytes).expect("it is ours");
    let output = bench.run(&["vulns", "--root", &bench.path("root")]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("is damaged") && text.contains("import the feed again"),
        "{text}"
    );
}

#[test]
fn a_package_that_is_unpacked_counts_and_one_that_is_gone_does_not() {
    let bench = Bench::new("states");
    bench.feeds(&usual());
    let value = bench.json(&["vulns"]);
    assert_eq!(value["components"], 3);
    assert_eq!(value["packages"], 2);
    assert_eq!(
        value["findings"][0]["components"],
        serde_json::json!(["libssl3", "openssl"])
    );
    let seen = value["findings"].as_array().expect("a list");
    let names: Vec<_> = seen
        .iter()
        .map(|finding| finding["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            Some("CVE-2026-0001"),
            Some("CVE-2026-0002"),
            Some("CVE-2026-0003")
        ]
    );
}
