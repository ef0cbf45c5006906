//! How far components can be reached, by what runs: real processes of this test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use advisory::rank::{Exposure, Unseen};
use host::packages::reach::Running;
use host::packages::users::{Process, processes};
use model::HostPath;
use model::component::{Component, Ecosystem, Evidence, EvidenceKind};

use crate::observe_support::{as_nobody, is_root, skip};

/// A folder with programs that wait.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("steadfast-test-reach-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn program(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        std::fs::copy("/bin/sleep", &path).expect("a copy of a program");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs until it is dropped.
struct Waits(Child);

impl Waits {
    /// With this listener among its open files, if there is one.
    fn start(program: &Path, listener: Option<&TcpListener>) -> Self {
        let input = match listener {
            None => Stdio::null(),
            Some(listener) => {
                let own = listener.try_clone().expect("a descriptor");
                Stdio::from(std::os::fd::OwnedFd::from(own))
            }
        };
        let child = Command::new(program).arg("600").stdin(input).spawn();
        Self(child.expect("the program starts"))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn component(ecosystem: Ecosystem, name: &str, evidence: &Path, how: EvidenceKind) -> Component {
    Component {
        ecosystem,
        name: name.to_owned(),
        version: "1.0".to_owned(),
        source: None,
        architecture: None,
        origin: None,
        evidence: [Evidence {
            path: HostPath::from_bytes(evidence.as_os_str().as_encoded_bytes()).expect("a path"),
            how,
            member: None,
        }]
        .into(),
        image: None,
        packages: Vec::new(),
        instead_of: None,
    }
}

/// What is said of what is not seen to run: on some machines there are processes that even root
/// can't look at, and on all of them others can't look at root's.
fn unless_hidden(exposure: Exposure) -> Exposure {
    let nowhere = Path::new("/nowhere/at-all");
    let absent = component(Ecosystem::Go, "absent", nowhere, EvidenceKind::Embedded);
    match Running::now().of(&absent) {
        Exposure::Installed => exposure,
        hidden => {
            assert_eq!(hidden, Exposure::Unknown(Unseen::Processes));
            hidden
        }
    }
}

#[test]
fn a_program_is_reached_as_far_as_its_processes_listen() {
    let folder = Folder::new("program");
    let path = folder.program("app");
    let app = component(
        Ecosystem::Go,
        "example.org/app",
        &path,
        EvidenceKind::Embedded,
    );
    let of = |app: &Component| Running::now().of(app);
    assert_eq!(of(&app), unless_hidden(Exposure::Installed));
    let outside = TcpListener::bind("0.0.0.0:0").expect("a port");
    let loopback = TcpListener::bind("127.0.0.1:0").expect("a port");
    let quiet = Waits::start(&path, None);
    assert_eq!(of(&app), Exposure::Runs);
    let near = Waits::start(&path, Some(&loopback));
    assert_eq!(of(&app), Exposure::Loopback);
    let far = Waits::start(&path, Some(&outside));
    assert_eq!(of(&app), Exposure::Outside);
    drop((quiet, near, far));
    // The same by IPv6, where this machine has it.
    for (address, exposure) in [
        ("[::1]:0", Exposure::Loopback),
        ("[::]:0", Exposure::Outside),
    ] {
        if let Ok(listener) = TcpListener::bind(address) {
            let listens = Waits::start(&path, Some(&listener));
            assert_eq!(of(&app), exposure, "{address}");
            drop(listens);
        }
    }
    let datagrams = std::net::UdpSocket::bind("0.0.0.0:0").expect("a port");
    let mut command = Command::new(&path);
    let own = std::os::fd::OwnedFd::from(datagrams);
    let listens = command.arg("600").stdin(Stdio::from(own)).spawn();
    let listens = Waits(listens.expect("the program starts"));
    assert_eq!(of(&app), Exposure::Outside);
    drop(listens);
    assert_eq!(of(&app), unless_hidden(Exposure::Installed));
    // What is not on this host, or only meant to be, is no process's.
    let image = Component {
        image: Some("nginx:1".to_owned()),
        ..app.clone()
    };
    assert_eq!(of(&image), Exposure::Unknown(Unseen::Image));
    let locked = component(Ecosystem::Npm, "left-pad", &path, EvidenceKind::Lockfile);
    assert_eq!(of(&locked), Exposure::Declared);
}

#[test]
fn what_an_interpreter_has_loaded_is_unknown_where_it_could_matter() {
    let folder = Folder::new("interpreted");
    let spec = folder.0.join("specifications/rack-1.0.gemspec");
    let gem = component(Ecosystem::RubyGems, "rack", &spec, EvidenceKind::Metadata);
    let of = |gem: &Component| Running::now().of(gem);
    if of(&gem) != unless_hidden(Exposure::Installed) {
        println!("skipped: Ruby runs on this machine already");
        return;
    }
    let ruby = folder.program("bin/ruby3.1");
    let outside = TcpListener::bind("0.0.0.0:0").expect("a port");
    let quiet = Waits::start(&ruby, None);
    assert_eq!(of(&gem), unless_hidden(Exposure::AtMostLocal));
    let far = Waits::start(&ruby, Some(&outside));
    assert_eq!(
        of(&gem),
        unless_hidden(Exposure::Unknown(Unseen::Interpreted))
    );
    // A shared object of its own can be seen.
    let own = folder.program("gems/rack-1.0/lib/parser.so");
    let loaded = Waits::start(&own, None);
    assert_eq!(of(&gem), Exposure::Runs);
    // ... and is not that of another of nearly the same name.
    let spec = folder.0.join("specifications/rack-1.0.1.gemspec");
    let other = component(Ecosystem::RubyGems, "rack", &spec, EvidenceKind::Metadata);
    assert_eq!(
        of(&other),
        unless_hidden(Exposure::Unknown(Unseen::Interpreted))
    );
    drop((quiet, far, loaded));
}

#[test]
fn processes_that_can_not_be_looked_at_have_names() {
    if !is_root() {
        return skip("needs root to become somebody who can't look at others");
    }
    let own = Command::new("sleep").arg("60").spawn();
    let mut own = own.expect("sleep is there");
    let running = as_nobody(Running::now);
    let looked = as_nobody(processes);
    let there = processes();
    let named = format!("sleep ({})", own.id());
    own.kill().expect("it is ours");
    own.wait().expect("it ends");
    let unseen = running.unseen();
    assert!(unseen.contains(&named), "{named}: {unseen:?}");
    let is_it = |process: &Process| format!("{} ({})", process.name, process.id) == named;
    assert!(there.seen.iter().any(is_it), "{there:?}");
    // What it runs is unknown, and not nothing; its unit is known all the same.
    assert!(!looked.seen.iter().any(is_it), "{looked:?}");
    let mut unseen = looked.unseen.iter();
    let found = unseen.find(|process| process.to_string() == named);
    let there = there.seen.into_iter().find(is_it).expect("seen above");
    assert_eq!(found.expect("it is named").unit, there.unit);
}
