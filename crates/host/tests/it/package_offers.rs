//! What apt offers beside what it takes: security updates between two versions, holds and pins; and
//! what apt and dpkg say when something fails. On the bytes that hosts had.

use std::collections::BTreeSet;
use std::io::Write;

use host::packages::changes::{Changes, parse_changes, read_changes};
use host::packages::installed::{Installed, parse_installed, still_there};
use host::packages::offers::{Offers, parse_offers, parse_publishers};
use host::packages::said::{
    failed, not_fetched, not_fetched_text, other_bytes_text, questions, why,
};
use host::packages::unsigned::{is_of, unsigned_in};
use host::packages::{left, parse_pending, with_holds};
use model::{Digest, PackageUpgrade};

const SOURCES: &str = "\
Package files:
 100 /var/lib/dpkg/status
     release a=now
 500 http://security.debian.org/debian-security bookworm-security/main amd64 Packages
     release v=12,o=Debian,a=oldstable-security,n=bookworm-security,l=Debian-Security,c=main,b=amd64
     origin security.debian.org
 100 http://deb.debian.org/debian bookworm-backports/main amd64 Packages
     release v=,o=Debian Backports,a=oldstable-backports,n=bookworm-backports,l=Debian Backports,c=main,b=amd64
     origin deb.debian.org
 500 http://deb.debian.org/debian bookworm/main amd64 Packages
     release v=12.15,o=Debian,a=oldstable,n=bookworm,l=Debian,c=main,b=amd64
     origin deb.debian.org
Pinned packages:
     toolc -> 1.0-1 with priority 1001
";

const SECURITY: &str =
    "500 http://security.debian.org/debian-security bookworm-security/main amd64 Packages";
const MAIN: &str = "500 http://deb.debian.org/debian bookworm/main amd64 Packages";
const BACKPORTS: &str = "100 http://deb.debian.org/debian bookworm-backports/main amd64 Packages";
const DPKG: &str = "100 /var/lib/dpkg/status";

/// A table of apt-cache policy: versions with their priorities and sources.
fn table(name: &str, candidate: &str, versions: &[(&str, i32, &[&str])]) -> String {
    let mut text =
        format!("{name}:\n  Installed: 1.0-1\n  Candidate: {candidate}\n  Version table:\n");
    for (version, priority, sources) in versions {
        let mark = if *version == "1.0-1" { "***" } else { "   " };
        text += &format!(" {mark} {version} {priority}\n");
        for source in *sources {
            text += &format!("        {source}\n");
        }
    }
    text
}

fn offers(candidate: &str, versions: &[(&str, i32, &[&str])]) -> Offers {
    let publishers = parse_publishers(SOURCES);
    let mut all = parse_offers(&table("tool", candidate, versions), &publishers);
    assert_eq!(all.len(), 1);
    all.remove("tool").expect("it was in the table")
}

#[test]
fn who_publishes_what_is_named_as_in_a_simulation() {
    let publishers = parse_publishers(SOURCES);
    let name = |source: &str| {
        let (_, source) = source.split_once(' ').expect("a priority");
        publishers.get(source).map(String::as_str)
    };
    assert_eq!(
        name(SECURITY),
        Some("Debian-Security:12/oldstable-security")
    );
    assert_eq!(name(MAIN), Some("Debian:12.15/oldstable"));
    assert_eq!(name(DPKG), Some("now"));
}

/// Case 22: a point release has a newer version than the security update, and is itself none.
#[test]
fn a_security_update_in_between_makes_it_one() {
    let versions: &[(&str, i32, &[&str])] = &[
        ("1.0-1+deb12u2", 500, &[MAIN]),
        ("1.0-1+deb12u1", 500, &[SECURITY]),
        ("1.0-1", 100, &[DPKG]),
    ];
    let offers = offers("1.0-1+deb12u2", versions);
    let between = |from: &str, to: &str| {
        let version = offers.security_between(Some(from), to);
        version.map(|version| version.version.as_str())
    };
    assert_eq!(between("1.0-1", "1.0-1+deb12u2"), Some("1.0-1+deb12u1"));
    assert_eq!(between("1.0-1", "1.0-1+deb12u1"), Some("1.0-1+deb12u1"));
    // It has it already, or does not get so far.
    assert_eq!(between("1.0-1+deb12u1", "1.0-1+deb12u2"), None);
    assert_eq!(between("1.0-1", "1.0-1"), None);
    assert_eq!(offers.kept_by_pin(), None);
}

/// Cases 24 and 25, and what is no pin.
#[test]
fn what_a_pin_keeps_away_is_known() {
    let newer: &[&str] = &[SECURITY];
    let pinned = |candidate: &str, versions: &[(&str, i32, &[&str])]| {
        let offers = offers(candidate, versions);
        offers.kept_by_pin().map(|version| version.version.clone())
    };
    // Pin: version 1.0-1, with priority 1001.
    let to_version = pinned("1.0-1", &[("1.0-2", 500, newer), ("1.0-1", 1001, &[DPKG])]);
    assert_eq!(to_version.as_deref(), Some("1.0-2"));
    // Pin: release *, with priority -1.
    let never = pinned("1.0-1", &[("1.0-2", -1, &[MAIN]), ("1.0-1", -1, &[DPKG])]);
    assert_eq!(never.as_deref(), Some("1.0-2"));
    // The whole archive of security updates, with priority 50.
    let low = "50 http://security.debian.org/debian-security bookworm-security/main amd64 Packages";
    let source = pinned(
        "1.0-1",
        &[("1.0-2", 50, &[low]), ("1.0-1", 500, &[MAIN, DPKG])],
    );
    assert_eq!(source.as_deref(), Some("1.0-2"));
    // A pin in between.
    let between = pinned(
        "1.0-2",
        &[
            ("1.0-3", 500, newer),
            ("1.0-2", 990, &[MAIN]),
            ("1.0-1", 100, &[DPKG]),
        ],
    );
    assert_eq!(between.as_deref(), Some("1.0-3"));
    // Backports are asked for by name alone.
    let backport = pinned(
        "1.0-1",
        &[
            ("1.0-2~bpo12+1", 100, &[BACKPORTS]),
            ("1.0-1", 500, &[MAIN]),
        ],
    );
    assert_eq!(backport, None);
    assert_eq!(pinned("1.0-1", &[("1.0-1", 500, &[MAIN, DPKG])]), None);
}

fn installed(name: &str, is_held: bool) -> Installed {
    let want = if is_held { "hold" } else { "install" };
    let line = format!("{name}\tinstalled\tok\t1.0-1\tamd64\t{want}\n");
    parse_installed(&line).remove(0)
}

/// A second undo of one change names what goes now, and not what the first one took.
#[test]
fn what_an_earlier_undo_took_is_not_named_again() {
    let brought = |name: &str, from: Option<&str>| PackageUpgrade {
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        from: from.map(str::to_owned),
        to: "1.0-1".to_owned(),
        source: None,
        origins: Vec::new(),
        security: None,
        archive: Digest::of(b""),
    };
    let host = parse_installed(
        "stays:amd64\tinstalled\tok\t2.0\tamd64\tinstall\n\
         gone\tconfig-files\tok\t1.0-1\tamd64\tdeinstall\n\
         foreign:i386\tinstalled\tok\t1.0-1\ti386\tinstall\n\
         newer\tinstalled\tok\t1.0-1\tamd64\tinstall\n\
         older\tinstalled\tok\t0.9\tamd64\tinstall\n",
    );
    let all = [
        brought("stays", None),
        brought("gone", None),
        brought("foreign", None),
        brought("never", None),
        brought("newer", Some("0.9")),
        brought("older", Some("0.9")),
    ];
    let there = still_there(&all, &host);
    let there: Vec<&str> = there.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(there, ["stays", "newer"]);
}

#[test]
fn each_newer_version_that_is_not_taken_has_its_cause() {
    let newer: &[(&str, i32, &[&str])] = &[("1.0-2", 500, &[MAIN]), ("1.0-1", 100, &[DPKG])];
    let pin: &[(&str, i32, &[&str])] = &[("1.0-2", 500, &[SECURITY]), ("1.0-1", 1001, &[DPKG])];
    let text = [
        table("taken", "1.0-2", newer),
        table("held", "1.0-2", newer),
        table("back", "1.0-2", newer),
        table("pinned", "1.0-1", pin),
        table("foreign:i386", "1.0-2", newer),
    ];
    let offers = parse_offers(&text.concat(), &parse_publishers(SOURCES));
    let (taken, _) = parse_pending("Inst taken [1.0-1] (1.0-2 Debian:12.15/oldstable [amd64])\n")
        .expect("understood");
    let packages = [
        installed("taken:amd64", false),
        installed("held", true),
        installed("back", false),
        installed("pinned:amd64", false),
        installed("foreign:i386", false),
        installed("own", false),
    ];
    let left = left(&packages, &taken, &offers);
    let names = |all: &[host::packages::Pending]| -> Vec<String> {
        all.iter().map(|one| one.name.clone()).collect()
    };
    assert_eq!(names(&left.held), ["held"]);
    assert_eq!(names(&left.kept), ["back", "foreign:i386"]);
    assert_eq!(names(&left.pinned), ["pinned"]);
    assert!(left.pinned[0].is_security() && !left.held[0].is_security());
    assert_eq!(left.pinned[0].architecture, "amd64");
    assert!(left.behind.is_empty());
}

#[test]
fn a_copy_of_the_database_holds_what_is_left_out() {
    let database = "Package: demo\nStatus: install ok installed\nVersion: 1\n\n\
                    Package: demo-doc\nStatus: install ok installed\n\n\
                    Package: gone\nStatus: deinstall ok config-files\n";
    let names = BTreeSet::from(["demo".to_owned(), "gone".to_owned()]);
    let held = String::from_utf8(with_holds(database.as_bytes(), &names)).expect("text");
    let wanted = database.replacen("install ok installed", "hold ok installed", 1);
    assert_eq!(held, wanted);
}

/// Case 9: two fail; each has its own line and its own cause.
#[test]
fn dpkgs_errors_keep_their_order_their_cause_and_the_package() {
    let text = "\
Reading package lists...
Preparing to unpack .../1-failp_2.0_all.deb ...
Unpacking failp (2.0) over (1.0) ...
Setting up failp (2.0) ...
failp: cannot migrate database schema
dpkg: error processing package failp (--configure):
 installed failp package post-installation script subprocess returned error exit status 1
dpkg: dependency problems prevent configuration of needs-failp:
 needs-failp depends on failp (= 2.0); however:
  Package failp is not configured yet.

dpkg: error processing package needs-failp (--configure):
 dependency problems - leaving unconfigured
Setting up asks (2) ...
debconf (developer): <-- INPUT critical asks/size
asks: nobody answered
dpkg: error processing package asks (--configure):
 installed asks package post-installation script subprocess returned error exit status 7
Errors were encountered while processing:
 failp
 needs-failp
 asks
E: Sub-process /usr/bin/dpkg returned an error code (1)
";
    let all = failed(text);
    let names: Vec<_> = all.iter().map(|one| (&*one.package, one.waits)).collect();
    assert_eq!(
        names,
        [("failp", false), ("needs-failp", true), ("asks", false)]
    );
    assert_eq!(
        why(text),
        "failp 2.0: failp: cannot migrate database schema (installed failp package \
         post-installation script subprocess returned error exit status 1); asks 2: asks: nobody \
         answered (installed asks package post-installation script subprocess returned error exit \
         status 7)"
    );
    let unpack = "Preparing to unpack .../failp_2.0_all.deb ...\nno room for it\n\
        dpkg: error processing archive /tmp/apt-dpkg-install-x/012-failp_2.0_all.deb (--unpack):\n \
        new failp package pre-installation script subprocess returned error exit status 3\n";
    assert_eq!(failed(unpack)[0].package, "failp");
    assert!(
        why(unpack).starts_with("failp 2.0: no room for it (new failp"),
        "{}",
        why(unpack)
    );
    // dpkg's own cause stands on a line of its own, before what follows from it.
    let broken =
        "dpkg: error: parsing file '/x/status' near line 0:\n end of file after field name 'g'\n";
    assert_eq!(
        why(broken),
        "dpkg: error: parsing file '/x/status' near line 0: / end of file after field name 'g'"
    );
    // apt's own, each once.
    let own =
        "Reading package lists...\nE: Unable to correct problems\nE: Unable to correct problems\n";
    assert_eq!(why(own), "Unable to correct problems");
    assert_eq!(why("one\n\ntwo\n"), "one / two");
}

/// Cases 9 and 18: a mirror that gives other bytes, and a network that is down.
#[test]
fn what_could_not_be_fetched_is_told_once_for_each_cause() {
    let text = "\
Err:1 http://127.0.0.1:8001 ./ demo 2.0
  Hash Sum mismatch
E: Failed to fetch http://127.0.0.1:8001/./demo_1%3a2.0_all.deb  Hash Sum mismatch
   Hashes of expected file:
    - SHA256:0a
E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?
";
    let files = not_fetched(text);
    assert!(files[0].is_other_bytes());
    assert_eq!(
        other_bytes_text(&files),
        "the mirror gave other bytes than its lists name, for demo \
         (http://127.0.0.1:8001/./demo_1%3a2.0_all.deb)"
    );
    let down: String = (1..=60)
        .map(|n| {
            format!(
                "E: Failed to fetch http://deb.debian.org/debian/pool/p{n}_1_all.deb  Temporary \
                 failure resolving 'deb.debian.org'\n"
            )
        })
        .collect();
    let files = not_fetched(&down);
    assert!(files.iter().all(|file| !file.is_other_bytes()));
    assert_eq!(
        not_fetched_text(&files),
        "cannot fetch 60 files of deb.debian.org (p1, p2, p3, and 57 more): Temporary failure \
         resolving 'deb.debian.org'"
    );
}

/// Case 12: a question without an answer is told, and one that was answered before is not.
#[test]
fn questions_that_nobody_answered_are_known() {
    let said = "debconf (developer): <-- INPUT critical dq/size\n\
                debconf (developer): --> 30 question skipped\n\
                debconf (developer): <-- INPUT critical dq/size\n\
                debconf (developer): <-- INPUT high dq/known\n\
                debconf (developer): <-- INPUT medium dq/colour\n";
    let answered = "Name: dq/known\nTemplate: dq/known\nOwners: dq\nFlags: seen\n\n\
                    Name: dq/size\nTemplate: dq/size\nOwners: dq\n";
    assert_eq!(questions(said, answered.as_bytes()), ["dq/size (critical)"]);
    assert!(questions("", b"").is_empty());
}

/// Why a new version was made, without a feed: what its changelog names above the installed version.
#[test]
fn a_changelog_says_what_is_new() {
    let text = "\
openssl (3.0.11-1~deb12u2) bookworm-security; urgency=medium

  [ Ana ]
  * CVE-2023-5363 (Incorrect cipher key and IV length processing),
    and CVE-2023-5678.

 -- A Person <a@example.org>  Mon, 23 Oct 2023 17:52:22 +0000

openssl (3.0.11-1~deb12u1) bookworm; urgency=medium

  * Import 3.0.11
    - CVE-2023-4807 (POLY1305)

 -- A Person <a@example.org>  Tue, 19 Sep 2023 18:39:41 +0000

openssl (3.0.9-1) unstable; urgency=medium

  * Import 3.0.9, CVE-2023-2650
";
    let all = |from: Option<&str>| parse_changes(text, from).vulnerabilities.join(" ");
    assert_eq!(all(Some("3.0.11-1~deb12u1")), "CVE-2023-5363 CVE-2023-5678");
    // A version that has no entry of its own, as a rebuild.
    let since = "CVE-2023-5363 CVE-2023-5678 CVE-2023-4807";
    assert_eq!(all(Some("3.0.9-1+b1")), since);
    assert_eq!(all(None), format!("{since} CVE-2023-2650"));
    let head = parse_changes(text, Some("3.0.9-1")).head;
    assert_eq!(
        head,
        "CVE-2023-5363 (Incorrect cipher key and IV length processing),"
    );
    assert_eq!(parse_changes(text, Some("4.0")).head, "");
    assert_eq!(
        parse_changes("no changelog\n  (at all", None)
            .vulnerabilities
            .len(),
        0
    );
    // The beginning of a packed one is enough.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(text.as_bytes()).expect("a vector");
    let packed = packer.finish().expect("a vector");
    let cut = read_changes(&packed[..packed.len() - 30], Some("3.0.9-1"));
    assert_eq!(cut.vulnerabilities[0], "CVE-2023-5363");
    assert_eq!(read_changes(b"not packed", None), Changes::default());
}

/// Case 15: sources that are exempt from signatures, in both forms.
#[test]
fn sources_without_signatures_are_known() {
    let list = "deb [trusted=yes] file:/srv/archive ./\ndeb http://deb.debian.org/debian trixie main\n\
                # deb [trusted=yes] http://old.example ./\ndeb [trusted=no] http://c.example ./\n";
    let of = |name: &str, text: &str| -> Vec<String> {
        unsigned_in(std::path::Path::new(name), text)
            .into_iter()
            .collect()
    };
    assert_eq!(of("/etc/apt/sources.list", list), ["file:/srv/archive"]);
    let stanzas = "Types: deb\nURIs: https://a.example/x/\nSuites: ./\nTrusted: yes\n\n\
                   Types: deb\nURIs: https://b.example\nSuites: ./\nTrusted: yes\nEnabled: no\n";
    assert_eq!(
        of("/etc/apt/sources.list.d/a.sources", stanzas),
        ["https://a.example/x/"]
    );
    assert_eq!(
        of("/etc/apt/sources.list.d/a.list.dpkg-old", list),
        Vec::<String>::new()
    );
    let unsigned = unsigned_in(std::path::Path::new("a.sources"), stanzas);
    assert!(is_of(&unsigned, "https://a.example/x ./ Packages").is_some());
    assert!(is_of(&unsigned, "https://a.example/xy ./ Packages").is_none());
}
