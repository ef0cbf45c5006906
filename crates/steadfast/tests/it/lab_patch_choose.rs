//! What of the pending upgrades is taken, on booted hosts: security updates that a point release has
//! overtaken, holds and pins, one package that fails, one that is named, and a rehearsal that is not
//! done twice.

use crate::booted::Host;
use crate::lab_patch::{MAKE, feed_of};

/// Two archives: one of security updates, and one as of a point release.
const ARCHIVES: &str = r#"
mkdir -p /srv/main
publish() {
  cd $1
  for deb in *.deb; do
    test -e $deb || continue
    dpkg-deb -f $deb
    echo "Filename: ./$deb"
    echo "Size: $(stat -c %s $deb)"
    echo "SHA256: $(sha256sum $deb | cut -d' ' -f1)"
    echo
  done > Packages
  printf 'Origin: Test\nLabel: %s\nSuite: %s\nCodename: test\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n %s %s Packages\n' \
    "$2" "$2" "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" > Release
}
both() {
  publish /srv/archive Test-Security
  publish /srv/main Test
  printf 'deb [trusted=yes] file:/srv/archive ./\ndeb [trusted=yes] file:/srv/main ./\n' > /etc/apt/sources.list
  rm -f /etc/apt/sources.list.d/*
  apt-get -qq update
}
# one NAME VERSION FOLDER SCRIPT FIELDS
one() {
  mkdir -p /root/build/$1/usr/share/$1
  echo $2 > /root/build/$1/usr/share/$1/version
  if [ $1 = dq ]; then
    mkdir -p /root/build/dq/DEBIAN
    printf 'Template: dq/size\nType: string\nDescription: How large?\n' > /root/build/dq/DEBIAN/templates
  fi
  make "$1" "$2" "${4:-}" "${5:-}"
  test $3 = /srv/archive || mv /srv/archive/$1_$2_all.deb $3/
}
"#;

fn host_with_choice() -> Option<Host> {
    let host = Host::installed()?;
    let ask = ". /usr/share/debconf/confmodule\ndb_input critical dq/size || true\ndb_go || true\n\
               db_get dq/size\necho \"size=$RET\" > /etc/dq.conf";
    host.shell(&format!(
        "{MAKE}{ARCHIVES}
for name in demo toola toolb toolc failp; do one $name 1.0-1 /srv/main; done
one dq 1.0-1 /srv/main '' 'Source: wares
'
one needsf 1.0-1 /srv/main '' 'Depends: failp (= 1.0-1)
'
both
apt-get -qq -y install demo toola toolb toolc failp needsf dq >/dev/null
apt-mark -qq hold toolb
printf 'Package: toolc\\nPin: version 1.0-1\\nPin-Priority: 1001\\n' > /etc/apt/preferences.d/own
one demo 2.0 /srv/archive
one toola 1.0-1+deb12u1 /srv/archive
one toola 1.0-1+deb12u2 /srv/main
one toolb 1.0-2 /srv/main
one toolc 1.0-2 /srv/archive
one failp 2.0 /srv/main 'echo failp: cannot migrate database schema >&2; exit 1'
one needsf 2.0 /srv/main '' 'Depends: failp (= 2.0)
'
one dq 2.0 /srv/main '{ask}' 'Source: wares
'
both
"
    ));
    Some(host)
}

fn version(host: &Host, package: &str) -> String {
    host.shell(&format!("dpkg-query -W -f '${{Version}}' {package}"))
}

/// Cases 6, 9, 10, 12, 22, 24 and 25, and sentence 11.
#[test]
fn what_is_taken_is_what_was_asked_for() {
    let Some(host) = host_with_choice() else {
        return;
    };
    let security = ["patch", "plan", "--only", "security"];
    let said = host.steadfast(&security).expect(
        1,
        &[
            "toola 1.0-1 → 1.0-1+deb12u2 security",
            "demo 1.0-1 → 2.0",
            "toolc: kept at 1.0-1 by a pin; 1.0-2 is a security update",
            "unsigned toola: nothing says whose packages of file:/srv/main these are",
        ],
    );
    assert!(!said.out.contains("failp 1.0-1 →"), "{said}");
    host.steadfast(&["patch", "status"]).expect(
        3,
        &[
            "5 upgrades, 2 of them for security",
            "toola 1.0-1 → 1.0-1+deb12u2 security",
            "pinned toolc: kept at 1.0-1 by a pin; 1.0-2 is a security update",
            "held toolb: held at 1.0-1; 1.0-2 is newer",
        ],
    );
    // One that fails is named with its own words, and can be left out.
    host.steadfast(&["patch", "plan"]).expect(
        4,
        &[
            "fails on a copy of this host: failp 2.0: failp: cannot migrate database schema",
            "steadfast patch plan --exclude failp",
        ],
    );
    let words = [
        "patch",
        "plan",
        "--exclude",
        "failp",
        "--output",
        "/root/plan.json",
    ];
    let said = host.steadfast(&words).expect(
        1,
        &[
            "failp: left out as asked, at 1.0-1; 2.0 is pending",
            "needsf: stays at 1.0-1, since 2.0 can't be had without what is left out: failp",
            "dq/size (critical): nobody is asked",
        ],
    );
    assert!(!said.out.contains("needsf 1.0-1 →"), "{said}");
    // What is held is told once.
    let held = said.out.matches("held at 1.0-1; 1.0-2 is newer").count();
    assert_eq!(held, 1, "{said}");
    // A question is answered by the policy.
    host.shell(
        "mkdir -p /root/policy && printf 'answers:\\n  - {package: dq, question: dq/size, type: string, \
         value: 10G}\\n' > /root/policy/patches.yaml",
    );
    let policy = ["--policy", "/root/policy", "--exclude", "failp"];
    let said = host.steadfast(&[&["patch", "plan"], &policy[..]].concat());
    let said = said.expect(
        1,
        &[
            "dq 1.0-1 → 2.0",
            "answers dq is told 10G (dq/size), by the policy",
        ],
    );
    assert!(!said.out.contains("nobody is asked"), "{said}");
    let words = [
        "patch",
        "plan",
        "--exclude",
        "failp",
        "--policy",
        "/root/policy",
    ];
    host.steadfast(&[&words[..], &["--output", "/root/plan.json"]].concat())
        .expect(1, &["nothing that it rests on has changed since"]);
    // Without a terminal nothing is fetched or rehearsed.
    let said = host.steadfast(&["patch", "apply", "/root/plan.json"]);
    let said = said.expect(2, &["there is no terminal to ask at"]);
    assert!(!said.err.contains("rehears"), "{said}");
    let said = host.steadfast(&["patch", "apply", "/root/plan.json", "--yes"]);
    let said = said.expect(0, &["nothing that it rests on has changed since"]);
    assert!(!said.err.contains("rehearsing it on a copy"), "{said}");
    assert_eq!(version(&host, "toola"), "1.0-1+deb12u2");
    assert_eq!(version(&host, "failp"), "1.0-1");
    assert_eq!(version(&host, "dq"), "2.0");
    assert_eq!(host.shell("cat /etc/dq.conf"), "size=10G\n");
    // dpkg's own trouble stands first.
    host.shell("! dpkg -i /srv/main/failp_2.0_all.deb >/dev/null 2>&1");
    let said = host.steadfast(&["patch", "status"]);
    let said = said.expect(
        1,
        &["failp is half-configured", "steadfast patch plan --repair"],
    );
    assert!(
        said.out
            .starts_with("dpkg has not finished its work: failp"),
        "{said}"
    );
    // Case 17: what can't be finished goes back to the version that worked.
    host.steadfast(&["patch", "plan", "--repair"]).expect(
        4,
        &[
            "failp 2.0: failp: cannot migrate database schema",
            "what was there before: failp 1.0-1",
            "steadfast patch plan --repair --previous failp",
        ],
    );
    host.steadfast(&["patch", "plan", "--repair", "--previous", "demo"])
        .expect(2, &["dpkg has finished what is there"]);
    let back = ["patch", "apply", "--repair", "--previous", "failp", "--yes"];
    host.steadfast(&back).expect(0, &[]);
    assert_eq!(version(&host, "failp"), "1.0-1");
    host.shell("test -z \"$(dpkg --audit)\"");
    host.steadfast(&["history"])
        .expect(0, &["finish what dpkg left unfinished: failp"]);
}

/// The package of a role asks as well: said, or answered by the policy, journaled, and taken back by
/// its entry alone.
#[test]
fn what_the_package_of_a_role_asks_is_answered_by_the_policy() {
    let Some(host) = Host::installed() else {
        return;
    };
    let ask = ". /usr/share/debconf/confmodule\ndb_input critical dq/size || true\ndb_go || true\n\
               db_get dq/size\necho \"size=$RET\" > /etc/dq.conf";
    host.shell(&format!(
        "{MAKE}{ARCHIVES}\none dq 2.0 /srv/main '{ask}'\nboth\n"
    ));
    host.role("asks", "  - package: {name: dq}\n");
    let before = host.snapshot();
    host.steadfast(&["plan", "--role", "asks"]).expect(
        1,
        &["answered by nobody: dq/size (critical)", "patches.yaml"],
    );
    host.write(
        "/etc/steadfast/policy/patches.yaml",
        "answers:\n  - {package: dq, question: dq/size, type: string, value: 10G}\n",
    );
    let said = host
        .steadfast(&["apply", "--role", "asks", "--yes"])
        .expect(0, &["dq is told 10G (dq/size), by the policy"]);
    assert!(!said.err.contains("answered by nobody"), "{said}");
    assert_eq!(host.shell("cat /etc/dq.conf"), "size=10G\n");
    host.steadfast(&["show", "last", "--format", "json"])
        .expect(0, &["dq/size"]);
    // Somebody else's answer of later stays.
    host.shell("echo 'other other/question string mine' | debconf-set-selections");
    host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    let database = host.shell("cat /var/cache/debconf/config.dat");
    assert!(database.contains("other/question"), "{database}");
    assert!(!database.contains("dq/size"), "{database}");
    let mut found = crate::booted::differences(&before, &host.snapshot());
    let known = ["/var/cache/debconf", "/var/cache/apt", "/etc/steadfast"];
    found.retain(|one| !known.iter().any(|path| one.path.starts_with(path)));
    assert!(found.is_empty(), "{}", crate::booted::listed(&found));
}

#[test]
fn one_package_or_one_vulnerability_is_taken_alone() {
    let Some(host) = host_with_choice() else {
        return;
    };
    let plan = |words: &[&str]| host.steadfast(&[&["patch", "plan"], words].concat());
    plan(&["--package", "toola"]).expect(1, &["1 package,", "toola 1.0-1 → 1.0-1+deb12u2"]);
    plan(&["--package", "toolla"]).expect(2, &["nothing is pending for `toolla`", "`toola`?"]);
    plan(&["--package", "toolb"]).expect(2, &["`toolb` is held", "apt-mark unhold toolb"]);
    plan(&["--package", "toolc"]).expect(2, &["a pin keeps 1.0-2 of `toolc` away"]);
    plan(&["--package", "needsf", "--exclude", "failp"])
        .expect(2, &["`needsf` was asked for, and stays at 1.0-1"]);
    // What is here and has nothing pending is as it was asked for, each night.
    plan(&["--package", "dpkg"]).expect(0, &["nothing is pending for `dpkg`", "nothing to do"]);
    plan(&["--package", "toola", "--exclude", "dpkg"]).expect(
        1,
        &[
            "toola 1.0-1 → 1.0-1+deb12u2",
            "left out, with nothing pending: dpkg",
        ],
    );
    // What is built from a source of the name is left out as well.
    let said = plan(&["--exclude", "wares", "--exclude", "failp"]);
    let said = said.expect(
        1,
        &["dq, failp: left out as asked, at 1.0-1; 2.0 is pending"],
    );
    assert!(!said.out.contains("dq 1.0-1 →"), "{said}");
    // A slip would take too much.
    plan(&["--exclude", "tolla"]).expect(
        2,
        &[
            "neither this host nor apt knows `tolla`, which is to be left out",
            "did you mean `toola`?",
        ],
    );
    // What fails, and was asked for by its name, is not to be left out of the same.
    let said = plan(&["--package", "failp"]).expect(4, &["cannot migrate database schema"]);
    assert!(!said.err.contains("--exclude failp"), "{said}");
    plan(&["--cve", "CVE-2099-0001"]).expect(3, &["no feed says what closes it"]);
    feed_of(&host, "2.0");
    plan(&["--cve", "cve-2099-0001"]).expect(
        1,
        &[
            "1 package,",
            "demo 1.0-1 → 2.0",
            "next steadfast patch apply --cve cve-2099-0001",
        ],
    );
    // What no feed knows of, and no changelog names, nobody can tell.
    plan(&["--cve", "CVE-2099-9999"]).expect(
        3,
        &[
            "unknown whether CVE-2099-9999 is here",
            "no feed knows it",
            "nothing that is known is to be done",
        ],
    );
    // What changed meanwhile is rehearsed anew.
    let apply = ["patch", "apply", "--cve", "CVE-2099-0001", "--yes"];
    host.shell("echo mine >> /usr/share/demo/version");
    host.steadfast(&apply).expect(
        0,
        &[
            "rehearsing it on a copy of this host",
            "upgrade demo 1.0-1 → 2.0",
        ],
    );
    assert_eq!(version(&host, "toola"), "1.0-1");
}

/// A mirror that has lost the words by which a source says that it is of security updates.
#[test]
fn without_a_source_that_says_so_it_is_unknown_what_is_for_security() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!(
        "{MAKE}{ARCHIVES}
both() {{
  publish /srv/archive Mirror
  printf 'deb [trusted=yes] file:/srv/archive ./\n' > /etc/apt/sources.list
  rm -f /etc/apt/sources.list.d/*
  apt-get -qq update
}}
one fixed 1.0-1 /srv/archive
both
apt-get -qq -y install fixed >/dev/null
one fixed 2.0-1 /srv/archive
both
"
    ));
    let unknown = "which upgrades are for security: none of apt's sources says so";
    for words in [
        &["patch", "plan", "--only", "security"][..],
        &["patch", "apply", "--only", "security", "--yes"],
        &["patch", "status", "--only", "security"],
    ] {
        host.steadfast(words).expect(3, &[unknown]);
    }
    host.steadfast(&["patch", "plan"])
        .expect(1, &["fixed 1.0-1 → 2.0-1"]);
}

/// The feeds end before a fix came out; its changelog, which is in one of the two packages that are built
/// from its source, names what it closes.
#[test]
fn what_only_a_changelog_names_is_taken() {
    let Some(host) = Host::installed() else {
        return;
    };
    let changelog = "d=/root/build/named/usr/share/doc/named; mkdir -p $d
printf 'named (2.0-1) test; urgency=high\n\n  * Fix a hole (CVE-2099-84782)\n\n -- A Test <t@example.org>  \
        Thu, 01 Jan 2026 00:00:00 +0000\n\nnamed (1.0-1) test; urgency=low\n\n  * CVE-2098-11111\n\n -- A \
        Test <t@example.org>  Thu, 01 Jan 2025 00:00:00 +0000\n' | gzip > $d/changelog.Debian.gz";
    host.shell(&format!(
        "{MAKE}{ARCHIVES}
for name in named other; do one $name 1.0-1 /srv/main; done
one libnamed 1.0-1 /srv/main '' 'Source: named
'
both
apt-get -qq -y install named libnamed other >/dev/null
{changelog}
one named 2.0-1 /srv/archive
one libnamed 2.0-1 /srv/archive '' 'Source: named
'
one other 2.0-1 /srv/archive
both
"
    ));
    let plan = |name: &str| host.steadfast(&["patch", "plan", "--cve", name]);
    plan("CVE-2099-84782").expect(1, &["named 1.0-1 → 2.0-1", "libnamed 1.0-1 → 2.0-1"]);
    feed_of(&host, "2.0");
    // What the version that is installed has closed is not closed by the new one.
    plan("CVE-2098-11111").expect(3, &["no feed knows it"]);
    // A feed knows it, and that it is of a package that is not here.
    plan("CVE-2099-0001").expect(0, &["is not found in what is installed here"]);
    host.steadfast(&["patch", "apply", "--cve", "cve-2099-84782", "--yes"])
        .expect(0, &["named by the changelog of", "it is as planned"]);
    for (package, now) in [
        ("named", "2.0-1"),
        ("libnamed", "2.0-1"),
        ("other", "1.0-1"),
    ] {
        assert_eq!(version(&host, package), now);
    }
}

/// A newer version of another package conflicts with it: apt's `upgrade` then takes neither of them,
/// where new packages may come, and the security update can be had all the same.
#[test]
fn a_security_update_is_taken_although_another_package_is_kept_back() {
    let Some(host) = Host::installed() else {
        return;
    };
    host.shell(&format!(
        "{MAKE}{ARCHIVES}
for name in other fixed; do one $name 1.0-1 /srv/main; done
both
apt-get -qq -y install other fixed >/dev/null
one fixed 2.0-1 /srv/archive
one other 2.0-1 /srv/main '' 'Conflicts: fixed
'
both
"
    ));
    host.steadfast(&["patch", "plan", "--only", "security"])
        .expect(1, &["fixed 1.0-1 → 2.0-1 security"]);
    host.steadfast(&["patch", "plan", "--package", "fixed"])
        .expect(1, &["fixed 1.0-1 → 2.0-1 security"]);
    host.steadfast(&["patch", "apply", "--yes"])
        .expect(0, &["it is as planned"]);
    assert_eq!(version(&host, "fixed"), "2.0-1");
    assert_eq!(version(&host, "other"), "1.0-1");
}
