//! Folders with lockfiles, as somebody who means ill would lay them out.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use host::dependencies::Folder;

const PINNED: &str = "old==1.0\n";

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}

/// Paths of what was read, and what could not be.
fn told(folder: &Path) -> (Vec<String>, Vec<String>) {
    let folder = Folder::read(folder).expect("a folder");
    let read = folder.lockfiles.iter().map(|file| file.path.clone());
    let unread = folder.unread.iter();
    (
        read.collect(),
        unread.map(|(path, why)| format!("{path}: {why}")).collect(),
    )
}

#[test]
fn nothing_in_a_folder_leads_out_of_it_or_keeps_the_reader_waiting() {
    let bench = tempfile::tempdir().expect("a folder");
    let folder = bench.path().join("project");
    write(&folder.join("requirements.txt"), PINNED);
    write(&folder.join("a/b/requirements-dev.txt"), PINNED);
    write(&folder.join("a/node_modules/x/requirements.txt"), PINNED);
    write(&folder.join("target/requirements.txt"), PINNED);
    write(&bench.path().join("secret/requirements.txt"), PINNED);
    symlink("../secret", folder.join("link")).expect("a link");
    symlink(
        "../../secret/requirements.txt",
        folder.join("a/requirements.txt"),
    )
    .expect("a link");
    // The file beside a lockfile is not followed either.
    write(&folder.join("py/poetry.lock"), "");
    symlink("/etc/passwd", folder.join("py/pyproject.toml")).expect("a link");
    let pipe = folder.join("go.mod");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    fs::create_dir(folder.join(OsStr::from_bytes(b"\xff"))).expect("a folder");
    let deep = "d/".repeat(40);
    write(&folder.join(&deep).join("requirements.txt"), PINNED);
    write(&folder.join("torn/Cargo.lock"), "[[");
    let (read, unread) = told(&folder);
    assert_eq!(
        read,
        [
            "a/b/requirements-dev.txt",
            "py/poetry.lock",
            "requirements.txt"
        ]
    );
    for (at, why) in [
        (".: ", "not UTF-8"),
        ("a/requirements.txt: ", "a link"),
        ("d/d/", "folders deep"),
        ("py/poetry.lock: ", "`pyproject.toml` beside it"),
        ("torn/Cargo.lock: ", "not TOML"),
    ] {
        let is_said = |line: &String| line.starts_with(at) && line.contains(why);
        assert!(unread.iter().any(is_said), "{at}: {unread:?}");
    }
    assert_eq!(unread.len(), 5, "{unread:?}");
    // By a link of the person's own, a folder is that folder.
    symlink(&folder, bench.path().join("mine")).expect("a link");
    assert_eq!(told(&bench.path().join("mine")).0, read);
    assert!(Folder::read(&bench.path().join("nowhere")).is_err());
}

#[test]
fn what_was_found_is_a_component_with_the_file_that_says_so() {
    let bench = tempfile::tempdir().expect("a folder");
    write(&bench.path().join("x/requirements.txt"), PINNED);
    let folder = Folder::read(bench.path()).expect("a folder");
    let all = folder.components();
    assert_eq!(
        (all.len(), &*all[0].name, &*all[0].version),
        (1, "old", "1.0")
    );
    let path = all[0].evidence[0].path.as_path();
    assert!(path.ends_with("x/requirements.txt"), "{path:?}");
}
