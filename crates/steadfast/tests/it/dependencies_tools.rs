//! Patches that cargo, npm and pip really computed, from registries that lie in this test; and
//! what the tools can't reach.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::dependencies::{Bench, LOCK, MANIFEST, lacks, skip, told};

/// A release: (name, version, what it needs as (name, range)).
type Release<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// A registry in a folder, as cargo's `local-registry` sources are.
fn cargo_registry(bench: &Bench, crates: &[Release<'_>]) -> String {
    let _ = fs::remove_dir_all(bench.path("registry"));
    for (name, version, needs) in crates {
        let needs: Vec<Value> = needs
            .iter()
            .map(|(name, range)| {
                json!({"name": name, "req": range, "features": [], "optional": false,
                    "default_features": true, "target": null, "kind": "normal"})
            })
            .collect();
        let line = json!({"name": name, "vers": version, "deps": needs, "features": {},
            "cksum": "0".repeat(64), "yanked": false});
        let place = format!("registry/index/{}/{}/{name}", &name[..2], &name[2..4]);
        let known = fs::read_to_string(bench.path(&place)).unwrap_or_default();
        bench.file(&place, &format!("{known}{line}\n"));
        bench.file(&format!("registry/{name}-{version}.crate"), "");
    }
    let settings = format!(
        "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = \"{}\"\n",
        bench.text("registry")
    );
    bench.file("home/.cargo/config.toml", &settings);
    bench.text("home/.cargo")
}

/// What `rustup` needs to find its toolchain when the home is another.
fn rustup() -> String {
    let named = std::env::var("RUSTUP_HOME");
    named.unwrap_or_else(|_| format!("{}/.rustup", std::env::var("HOME").unwrap_or_default()))
}

#[test]
fn cargo_makes_what_it_can_and_the_rest_is_said() {
    let bench = Bench::new("cargo");
    bench.file("project/Cargo.toml", MANIFEST);
    bench.file("project/Cargo.lock", LOCK);
    bench.file("project/src/lib.rs", "compile_error!(\"never built\");\n");
    // A project's own settings would have cargo ask, and run, something else.
    bench.file(
        "project/.cargo/config.toml",
        "[source.crates-io]\nreplace-with = \"evil\"\n[source.evil]\ndirectory = \"/nowhere\"\n\
        [build]\nrustc = \"/bin/false\"\n",
    );
    bench.file("project/rust-toolchain", "nonesuch\n");
    let home = cargo_registry(
        &bench,
        &[
            ("old-lib", "1.0.0", &[]),
            ("old-lib", "1.0.5", &[]),
            ("old-lib", "1.0.9", &[]),
            ("old-lib", "1.2.0", &[]),
            ("frame", "1.0.0", &[("inner", "^0.3")]),
            ("inner", "0.3.1", &[]),
            ("inner", "0.4.0", &[]),
        ],
    );
    bench.feed(&[
        ("CVE-2026-0001", "crates.io", "old-lib", "0", Some("1.0.9")),
        ("CVE-2026-0003", "crates.io", "inner", "0", Some("0.4.0")),
    ]);
    let rustup = rustup();
    let variables = [("CARGO_HOME", &*home), ("RUSTUP_HOME", &*rustup)];
    let (shown, patch) = bench.patched(&variables);
    assert_eq!(
        told(&shown),
        [
            "inner 0.3.1 -> major 0.4.0, not: only a new major version closes it: what asks for \
             it has to change first",
            "old-lib 1.0.0 -> 1.0.9, made: [\"1.0.9\"]",
        ]
    );
    assert!(patch.contains("-version = \"1.0.0\"\n") && patch.contains("+version = \"1.0.9\"\n"));
    assert!(
        patch.starts_with("diff --git a/Cargo.lock b/Cargo.lock\n"),
        "{patch}"
    );
    // A fixed version that the registry does not have: another one that closes it as well.
    bench.feed(&[("CVE-2026-0001", "crates.io", "old-lib", "0", Some("1.1.0"))]);
    let (shown, _) = bench.patched(&variables);
    assert!(
        told(&shown)[1].ends_with("1.1.0, made: [\"1.2.0\"]"),
        "{shown}"
    );
    // What the upgrade itself has is not closed, and is said.
    bench.feed(&[("CVE-2026-0005", "crates.io", "fresh", "0", Some("9.0.0"))]);
    bench.feed(&[("CVE-2026-0001", "crates.io", "old-lib", "0", Some("1.0.9"))]);
    let home = cargo_registry(
        &bench,
        &[
            ("old-lib", "1.0.0", &[]),
            ("old-lib", "1.0.9", &[("fresh", "^1")]),
            ("fresh", "1.0.0", &[]),
            ("frame", "1.0.0", &[("inner", "^0.3")]),
            ("inner", "0.3.1", &[]),
        ],
    );
    let variables = [("CARGO_HOME", &*home), ("RUSTUP_HOME", &*rustup)];
    let (shown, _) = bench.patched(&variables);
    let brings = &shown["patch"]["brings"];
    assert_eq!(brings[0]["name"], "CVE-2026-0005", "{brings}");
}

#[test]
fn cargo_is_not_asked_about_what_would_lead_elsewhere() {
    let bench = Bench::new("outside");
    let home = cargo_registry(
        &bench,
        &[
            ("old-lib", "1.0.0", &[]),
            ("old-lib", "1.0.9", &[]),
            ("frame", "1.0.0", &[("inner", "^0.3")]),
            ("inner", "0.3.1", &[]),
        ],
    );
    bench.feed(&[("CVE-2026-0001", "crates.io", "old-lib", "0", Some("1.0.9"))]);
    let rustup = rustup();
    let variables = [("CARGO_HOME", &*home), ("RUSTUP_HOME", &*rustup)];
    let git = format!(
        "{LOCK}\n[[package]]\nname = \"far\"\nversion = \"1.0.0\"\n\
        source = \"git+file:///srv/secret#0123\"\n"
    );
    let dependency = |what: &str| format!("{MANIFEST}far = {what}\n");
    let member = format!("{MANIFEST}[workspace]\nmembers = [\"inside\"]\n");
    // (Cargo.toml, Cargo.lock, inside/Cargo.toml, the reason)
    let cases = [
        (MANIFEST.to_owned(), &*git, "", "git+file:///srv/secret"),
        (
            dependency("{ git = \"file:///srv/secret\" }"),
            LOCK,
            "",
            "file:///srv/secret",
        ),
        (
            dependency("{ path = \"../../secret\" }"),
            LOCK,
            "",
            "outside of the folder",
        ),
        (
            member,
            LOCK,
            "[package]\nname = \"inside\"\nversion = \"0.1.0\"\n[dependencies]\n\
            far = { git = \"ssh://git@example.com/far\" }\n",
            "`inside/Cargo.toml` was not copied",
        ),
        ("[package\n".to_owned(), LOCK, "", "not TOML"),
    ];
    for (manifest, lock, inside, why) in cases {
        bench.file("project/Cargo.toml", &manifest);
        bench.file("project/Cargo.lock", lock);
        bench.file("project/src/lib.rs", "");
        let _ = fs::remove_dir_all(bench.path("project/inside"));
        if !inside.is_empty() {
            bench.file("project/inside/Cargo.toml", inside);
            bench.file("project/inside/src/lib.rs", "");
        }
        let (shown, patch) = bench.patched(&variables);
        assert_eq!(patch, "");
        let told = told(&shown);
        assert!(
            told[0].contains(", not: ") && told[0].contains(why),
            "{why}: {told:?}"
        );
    }
}

#[test]
fn a_workspace_is_upgraded_as_a_whole() {
    let bench = Bench::new("workspace");
    let home = cargo_registry(
        &bench,
        &[("old-lib", "1.0.0", &[]), ("old-lib", "1.0.9", &[])],
    );
    bench.feed(&[("CVE-2026-0001", "crates.io", "old-lib", "0", Some("1.0.9"))]);
    bench.file(
        "project/Cargo.toml",
        "[workspace]\nresolver = \"2\"\nmembers = [\"crates/*\"]\n\
        [workspace.dependencies]\nold-lib = \"1\"\n",
    );
    for (name, needs) in [
        ("app", "core-part = { path = \"../core-part\" }"),
        ("core-part", ""),
    ] {
        bench.file(
            &format!("project/crates/{name}/Cargo.toml"),
            &format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                [[bin]]\nname = \"tool-{name}\"\npath = \"src/bin/tool.rs\"\n\
                [dependencies]\nold-lib.workspace = true\n{needs}\n"
            ),
        );
        bench.file(&format!("project/crates/{name}/src/lib.rs"), "");
        bench.file(
            &format!("project/crates/{name}/src/bin/tool.rs"),
            "fn main() {}\n",
        );
    }
    bench.file(
        "project/Cargo.lock",
        r#"# This file is automatically @generated by Cargo.
# It is not intended for manual editing.
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = [
 "core-part",
 "old-lib",
]

[[package]]
name = "core-part"
version = "0.1.0"
dependencies = [
 "old-lib",
]

[[package]]
name = "old-lib"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "0000000000000000000000000000000000000000000000000000000000000000"
"#,
    );
    let rustup = rustup();
    let variables = [("CARGO_HOME", &*home), ("RUSTUP_HOME", &*rustup)];
    let (shown, patch) = bench.patched(&variables);
    assert_eq!(
        told(&shown),
        ["old-lib 1.0.0 -> 1.0.9, made: [\"1.0.9\"]"],
        "{shown}"
    );
    assert_eq!(
        patch.matches("\n+").count(),
        2,
        "one line, and the name: {patch}"
    );
}

#[test]
fn without_the_tool_the_advice_stays() {
    let bench = Bench::new("absent");
    bench.file("project/Cargo.toml", MANIFEST);
    bench.file("project/Cargo.lock", LOCK);
    bench.feed(&[("CVE-2026-0001", "crates.io", "old-lib", "0", Some("1.0.9"))]);
    let (shown, patch) = bench.patched(&[("PATH", "/nowhere")]);
    assert_eq!(patch, "");
    assert_eq!(
        told(&shown),
        ["old-lib 1.0.0 -> 1.0.9, not: cargo is not installed, or not on PATH"]
    );
    // One that the project brings is never run.
    bench.file("project/bin/cargo", "#!/bin/sh\nexit 0\n");
    let _ = Command::new("chmod")
        .arg("755")
        .arg(bench.path("project/bin/cargo"))
        .status();
    let (shown, _) = bench.patched(&[("PATH", &bench.text("project/bin"))]);
    assert!(told(&shown)[0].contains("not on PATH"), "{shown}");
}

/// A program that stands for a tool gone bad: what it says of where it runs is in the reason.
#[test]
fn a_tool_sees_and_changes_nothing_but_its_copy() {
    let bench = Bench::new("contained");
    bench.file(
        "project/package.json",
        "{\"dependencies\": {\"old-lib\": \"^1.0.0\"}}",
    );
    bench.file("project/.npmrc", "script-shell=/bin/false\n");
    bench.file("project/secret", "of the project\n");
    bench.file(
        "project/package-lock.json",
        r#"{"lockfileVersion": 3, "packages": {"": {"dependencies": {"old-lib": "^1.0.0"}},
        "node_modules/old-lib": {"version": "1.0.0"}}}"#,
    );
    bench.file("home/.npmrc", "registry=https://registry.example.com/\n");
    bench.feed(&[("CVE-2026-0001", "npm", "old-lib", "0", Some("1.0.5"))]);
    let outside = bench.text("outside");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n\
        touch {outside} 2>/dev/null && echo outside >> $HOME/wrote\n\
        touch $HOME/../copy/here && echo copy >> $HOME/wrote\n\
        echo \"error: uid=$(id -u) token=$TOKEN proxy=$https_proxy wrote=$(cat $HOME/wrote) \\\n\
        copy=$(ls -A $HOME/../copy | tr '\\n' ' ') home=$(ls -A $HOME | tr '\\n' ' ') \\\n\
        caps=$(grep CapEff /proc/self/status | cut -f 2)\" >&2\nexit 1\n"
    );
    bench.file("tools/npm", &script);
    let status = Command::new("chmod")
        .arg("755")
        .arg(bench.path("tools/npm"))
        .status();
    assert!(status.expect("chmod runs").success());
    let path = format!("{}:/usr/bin:/bin", bench.text("tools"));
    let home = bench.text("home");
    let variables = [
        ("PATH", &*path),
        ("HOME", &*home),
        ("TOKEN", "secret"),
        ("https_proxy", "http://127.0.0.1:1"),
    ];
    let (shown, patch) = bench.patched(&variables);
    assert_eq!(patch, "");
    let told = &told(&shown)[0];
    if !rustix::process::geteuid().is_root() && told.contains("wrote=outside") {
        skip("an ordinary user gets no namespaces here: the tool has what the user has");
        return;
    }
    let account: u32 = told
        .split_once("uid=")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .expect("a number");
    match rustix::process::geteuid() {
        // Nobody else's.
        uid if uid.is_root() => assert!((61184..=65519).contains(&account), "{told}"),
        uid => assert_eq!(account, uid.as_raw()),
    }
    for part in [
        " token= proxy=http://127.0.0.1:1 wrote=copy ".to_owned(),
        "copy=here package-lock.json package.json ".to_owned(),
        "home=.npmrc wrote ".to_owned(),
        "caps=0000000000000000".to_owned(),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }
    assert!(!bench.path("outside").exists());
}

/// Serves what npm asks of a registry, on loopback: a packument for each name, whose versions say what
/// they need after a blank (`1.0.0 inner@=1.0.0`). Ends with the test's process.
fn npm_registry(packages: &[(&str, &[&str])]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let documents: Vec<(String, String)> = packages
        .iter()
        .map(|(name, versions)| {
            let all: serde_json::Map<String, Value> = versions
                .iter()
                .map(|release| {
                    let mut words = release.split(' ');
                    let version = words.next().unwrap_or_default();
                    let needs: serde_json::Map<String, Value> = words
                        .filter_map(|need| need.split_once('@'))
                        .map(|(name, range)| (name.to_owned(), json!(range)))
                        .collect();
                    let about = json!({"name": name, "version": version, "dependencies": needs,
                        "scripts": {"postinstall": "exit 1"},
                        "dist": {"tarball": format!("{address}/{name}/-/{name}-{version}.tgz"),
                            "shasum": "0".repeat(40)}});
                    (version.to_owned(), about)
                })
                .collect();
            let latest = versions
                .last()
                .and_then(|release| release.split(' ').next());
            let document = json!({"name": name, "versions": all,
                "dist-tags": {"latest": latest}});
            (format!("/{name}"), document.to_string())
        })
        .collect();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            // The rest of the head, up to its empty line.
            while lines
                .next()
                .and_then(Result::ok)
                .is_some_and(|line| !line.is_empty())
            {}
            let asked = first.split(' ').nth(1).unwrap_or_default();
            let found = documents.iter().find(|(path, _)| path == asked);
            let (status, body) = match found {
                Some((_, body)) => ("200 OK", body.as_str()),
                None => ("404 Not Found", "{}"),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\
                Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

#[test]
fn npm_makes_the_upgrade_without_scripts_and_without_the_projects_settings() {
    if lacks("npm") {
        return;
    }
    let bench = Bench::new("npm");
    let registry = npm_registry(&[
        ("old-lib", &["1.0.0", "1.0.5", "1.0.9", "2.0.0"]),
        ("inner", &["1.0.0", "1.0.3"]),
    ]);
    bench.file("home/.npmrc", &format!("registry={registry}/\n"));
    bench.file(
        "project/.npmrc",
        "registry=http://127.0.0.1:1/\nignore-scripts=false\n",
    );
    let member = "{\n  \"name\": \"part\",\n  \"version\": \"1.0.0\",\n  \"dependencies\": {\n    \
        \"inner\": \"^1.0.0\"\n  }\n}\n";
    bench.file("project/part/package.json", member);
    bench.file(
        "project/package.json",
        "{\n  \"name\": \"web\",\n  \"version\": \"1.0.0\",\n  \"workspaces\": [\n    \"part\"\n  \
        ],\n  \"scripts\": {\n    \"preinstall\": \"exit 1\"\n  },\n  \
        \"dependencies\": {\n    \"old-lib\": \"^1.0.0\"\n  }\n}\n",
    );
    let lock = json!({
        "name": "web", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": {"name": "web", "version": "1.0.0", "hasInstallScript": true,
                "workspaces": ["part"], "dependencies": {"old-lib": "^1.0.0"}},
            "node_modules/inner": {"version": "1.0.0", "hasInstallScript": true},
            "node_modules/old-lib": {"version": "1.0.0", "hasInstallScript": true},
            "node_modules/part": {"resolved": "part", "link": true},
            "part": {"version": "1.0.0", "dependencies": {"inner": "^1.0.0"}},
        },
    });
    let lock = serde_json::to_string_pretty(&lock).expect("JSON");
    bench.file("project/package-lock.json", &format!("{lock}\n"));
    bench.feed(&[
        ("CVE-2026-0001", "npm", "old-lib", "0", Some("1.0.5")),
        ("CVE-2026-0002", "npm", "inner", "0", Some("1.0.3")),
    ]);
    let home = bench.text("home");
    let variables = [("HOME", &*home)];
    let (shown, patch) = bench.patched(&variables);
    assert_eq!(
        told(&shown),
        [
            "inner 1.0.0 -> 1.0.3, made: [\"1.0.3\"]",
            "old-lib 1.0.0 -> 1.0.5, made: [\"1.0.5\"]",
        ],
        "{shown}"
    );
    assert!(patch.contains("+    \"old-lib\": \"^1.0.5\""), "{patch}");
    assert!(patch.contains("b/part/package.json"), "{patch}");
    // (what is put into package.json, what into the lockfile, the reason)
    let cases = [
        (
            "git+ssh://git@example.com/x",
            "",
            "git+ssh://git@example.com/x",
        ),
        ("file:../../secret", "", "file:../../secret"),
        ("^1.0.0", "http://169.254.0.1/x.tgz", "169.254.0.1"),
    ];
    let manifest = fs::read_to_string(bench.path("project/package.json")).expect("a file");
    for (asked, address, why) in cases {
        let name = format!("\"old-lib\": \"^1.0.0\",\n    \"far\": \"{asked}\"");
        bench.file(
            "project/package.json",
            &manifest.replace("\"old-lib\": \"^1.0.0\"", &name),
        );
        let mut value: Value = serde_json::from_str(&lock).expect("JSON");
        if !address.is_empty() {
            value["packages"]["node_modules/old-lib"]["resolved"] = json!(address);
        }
        bench.file("project/package-lock.json", &value.to_string());
        let _ = fs::remove_file(bench.path("out.patch"));
        let (shown, patch) = bench.patched(&variables);
        assert_eq!(patch, "");
        assert!(told(&shown)[0].contains(why), "{why}: {shown}");
    }
}

/// A package of the lockfile that pins the vulnerable one may be upgraded itself, within the range that
/// asks for it, and who pins that.
#[test]
fn npm_upgrades_who_holds_the_vulnerable_version() {
    if lacks("npm") {
        return;
    }
    let bench = Bench::new("npm-holders");
    let registry = npm_registry(&[
        (
            "frame",
            &[
                "4.17.1 old-lib@1.0.0 parser@1.19.0",
                "4.17.3 old-lib@1.0.9 parser@1.19.2",
                "5.0.0 old-lib@2.0.0",
            ],
        ),
        ("parser", &["1.19.0 old-lib@1.0.0", "1.19.2 old-lib@1.0.9"]),
        ("old-lib", &["1.0.0", "1.0.9", "2.0.0"]),
        // Who holds it is held itself.
        ("outer", &["1.0.0 middle@1.0.0", "1.1.0 middle@1.1.0"]),
        ("middle", &["1.0.0 inner@1.0.0", "1.1.0 inner@1.0.3"]),
        ("inner", &["1.0.0", "1.0.3"]),
        // And nothing newer of this one lets go.
        ("rigid", &["1.0.0 stuck@1.0.0", "1.0.1 stuck@1.0.0"]),
        ("stuck", &["1.0.0", "1.0.4"]),
    ]);
    bench.file("home/.npmrc", &format!("registry={registry}/\n"));
    let wants = json!({"frame": "^4.17.1", "outer": "^1.0.0", "rigid": "^1.0.0"});
    let manifest = json!({"name": "web", "version": "1.0.0", "dependencies": wants});
    bench.file("project/package.json", &manifest.to_string());
    let lock = json!({
        "name": "web", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": {"name": "web", "version": "1.0.0", "dependencies": wants},
            "node_modules/frame": {"version": "4.17.1",
                "dependencies": {"old-lib": "1.0.0", "parser": "1.19.0"}},
            "node_modules/parser": {"version": "1.19.0", "dependencies": {"old-lib": "1.0.0"}},
            "node_modules/old-lib": {"version": "1.0.0"},
            "node_modules/outer": {"version": "1.0.0", "dependencies": {"middle": "1.0.0"}},
            "node_modules/middle": {"version": "1.0.0", "dependencies": {"inner": "1.0.0"}},
            "node_modules/inner": {"version": "1.0.0"},
            "node_modules/rigid": {"version": "1.0.0", "dependencies": {"stuck": "1.0.0"}},
            "node_modules/stuck": {"version": "1.0.0"},
        },
    });
    let lock = serde_json::to_string_pretty(&lock).expect("JSON");
    bench.file("project/package-lock.json", &format!("{lock}\n"));
    bench.feed(&[
        ("CVE-2026-0001", "npm", "old-lib", "0", Some("1.0.9")),
        ("CVE-2026-0002", "npm", "inner", "0", Some("1.0.3")),
        ("CVE-2026-0003", "npm", "stuck", "0", Some("1.0.4")),
    ]);
    let home = bench.text("home");
    let (shown, patch) = bench.patched(&[("HOME", &*home)]);
    assert_eq!(
        told(&shown),
        [
            "inner 1.0.0 -> 1.0.3, made: [\"1.0.3\"]",
            "old-lib 1.0.0 -> 1.0.9, made: [\"1.0.9\"]",
            "stuck 1.0.0 -> 1.0.4, not: the tool left it as it is: another package in the lockfile \
             holds it",
        ],
        "{shown}"
    );
    for (name, version) in [
        ("frame", "4.17.3"),
        ("parser", "1.19.2"),
        ("outer", "1.1.0"),
    ] {
        assert!(
            patch.contains(&format!("+      \"version\": \"{version}\"")),
            "{name}: {patch}"
        );
    }
    // What did not help is not done.
    assert!(!patch.contains("+      \"version\": \"1.0.1\""), "{patch}");
    assert!(!patch.contains("package.json\n"), "{patch}");
    let note =
        "old-lib 1.0.0 held by frame 4.17.1, parser 1.19.0, which are upgraded within the range";
    assert!(shown.to_string().contains(note), "{shown}");
}

/// A wheel with nothing but its metadata: python writes the archive.
fn wheel(bench: &Bench, name: &str, version: &str, needs: &str) {
    let folder = format!("wheels/{name}-{version}.dist-info");
    let needs = match needs {
        "" => String::new(),
        needs => format!("Requires-Dist: {needs}\n"),
    };
    bench.file(
        &format!("{folder}/METADATA"),
        &format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"),
    );
    bench.file(
        &format!("{folder}/WHEEL"),
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    );
    bench.file(&format!("{folder}/RECORD"), "");
    let output = Command::new("python3")
        .args(["-m", "zipfile", "-c"])
        .arg(format!("{name}-{version}-py3-none-any.whl"))
        .arg(format!("{name}-{version}.dist-info"))
        .current_dir(bench.path("wheels"))
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn pip_says_whether_new_pins_hold_together() {
    if lacks("pip") || lacks("python3") {
        return;
    }
    let bench = Bench::new("pip");
    for (name, version, needs) in [
        ("old_lib", "1.0.0", ""),
        ("old_lib", "1.0.9", ""),
        ("inner", "2.0.0", ""),
        ("inner", "2.0.4", ""),
        ("frame", "1.0.0", "inner<2.0.3"),
    ] {
        wheel(&bench, name, version, needs);
    }
    bench.file(
        "project/requirements.txt",
        "--index-url http://127.0.0.1:1/simple\n-r ../../secret.txt\nOld-Lib == 1.0.0  # why\n\
        inner==2.0.0\nframe==1.0.0\n",
    );
    bench.file(
        "project/requirements-hashes.txt",
        "old-lib==1.0.0 \\\n    --hash=sha256:abcd\n",
    );
    bench.feed(&[
        ("CVE-2026-0001", "PyPI", "old-lib", "0", Some("1.0.9")),
        ("CVE-2026-0002", "PyPI", "inner", "0", Some("2.0.4")),
    ]);
    let wheels = bench.text("wheels");
    let variables = [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", &*wheels)];
    let (shown, patch) = bench.patched(&variables);
    let told = told(&shown);
    assert_eq!(told[0], "Old-Lib 1.0.0 -> 1.0.9, made: [\"1.0.9\"]");
    // `frame` does not take it.
    assert!(
        told[1].starts_with("inner 2.0.0 -> 2.0.4, not: ERROR"),
        "{told:?}"
    );
    assert!(
        told[2].contains("not: its line names the digests"),
        "{told:?}"
    );
    let changes: Vec<&str> = patch
        .lines()
        .filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++"))
        .collect();
    assert_eq!(
        changes,
        [
            "--- a/requirements.txt",
            "-Old-Lib == 1.0.0  # why",
            "+Old-Lib == 1.0.9  # why",
        ],
        "{patch}"
    );
}

/// One pin that pip can't install, as one without a wheel for this Python, costs the others nothing.
#[test]
fn a_pin_that_pip_cannot_install_costs_the_others_nothing() {
    if lacks("pip") || lacks("python3") {
        return;
    }
    let bench = Bench::new("pip-installable");
    for (name, version) in [
        ("old_lib", "1.0.0"),
        ("old_lib", "1.0.9"),
        // The version that is pinned has no wheel, and its fix has one.
        ("mended", "1.1.0"),
    ] {
        wheel(&bench, name, version, "");
    }
    bench.file(
        "project/requirements.txt",
        "old-lib==1.0.0\nnowheel==5.4\nmended==1.0.0\n",
    );
    bench.feed(&[
        ("CVE-2026-0001", "PyPI", "old-lib", "0", Some("1.0.9")),
        ("CVE-2026-0003", "PyPI", "nowheel", "0", Some("5.4.1")),
        ("CVE-2026-0004", "PyPI", "mended", "0", Some("1.1.0")),
    ]);
    let wheels = bench.text("wheels");
    let variables = [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", &*wheels)];
    let (shown, patch) = bench.patched(&variables);
    let told = told(&shown);
    assert_eq!(
        [&told[0], &told[2]],
        [
            "mended 1.0.0 -> 1.1.0, made: [\"1.1.0\"]",
            "old-lib 1.0.0 -> 1.0.9, made: [\"1.0.9\"]",
        ],
        "{shown}"
    );
    assert!(
        told[1].starts_with("nowheel 5.4 -> 5.4.1, not: ERROR") && told[1].contains("nowheel"),
        "{told:?}"
    );
    for line in ["+old-lib==1.0.9", "+mended==1.1.0"] {
        assert!(patch.contains(line), "{patch}");
    }
    assert!(!patch.contains("-nowheel"), "{patch}");
    let note = "pip can't install nowheel==5.4, which is left out of its question";
    assert!(shown.to_string().contains(note), "{shown}");
}
