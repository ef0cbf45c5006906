//! What a built-in rule writes into a file that a package owns or makes outlives that package:
//! installed again with `--force-confold`, configured again, and asked for by Debian's own tools.
//! Whoever has the right password still gets in by login, su, sudo and ssh, whoever has a wrong
//! one does not, and the audit says what is true.

use std::collections::BTreeSet;
use std::path::PathBuf;

use content::{Given, Repository, Rule, RuleTest, TestHost};
use lab::{Exec, Image, Options, Release, Requirements};
use resource::Resource;
use serde_json::Value;
use steadfast::prove::arrange;

use crate::booted::{Host, LIMIT, cache, lab_is_wanted};
use crate::many_kinds::all_is_wanted;

const ENTER: &str = include_str!("lab_made_anew/enter.py");
const REPACK: &str = include_str!("lab_made_anew/repack.sh");
const IMAGE: &str = "/image";

/// Rules of which the first test makes such an edit, from which the quick run draws. The whole run
/// tries all rules, and fails when one of these edits no such file any more.
const EDITING: [&str; 38] = [
    "accounts-system-shells",
    "authentication-hash-method",
    "authentication-lockout",
    "authentication-login-pause",
    "authentication-password-quality",
    "authentication-password-warning",
    "authentication-right-password",
    "cron-files",
    "logging-syslog-modes",
    "permissions-account-backups",
    "permissions-accounts",
    "permissions-hashes",
    "permissions-loader",
    "permissions-shells",
    "ssh-agent-forwarding",
    "ssh-banner",
    "ssh-ciphers",
    "ssh-client-environment",
    "ssh-empty-password",
    "ssh-forwarding",
    "ssh-gateway-ports",
    "ssh-host-based",
    "ssh-host-keys",
    "ssh-kerberos",
    "ssh-key-exchange",
    "ssh-key-size",
    "ssh-log-level",
    "ssh-login-grace",
    "ssh-max-sessions",
    "ssh-public-key",
    "ssh-rhosts",
    "ssh-root-login",
    "ssh-user-environment",
    "ssh-user-key-algorithms",
    "strict-auditing-space",
    "strict-inactive-accounts",
    "strict-password-age",
    "strict-umask",
];

/// Rules whose very goal closes a way to passwords.
const CLOSING: [(&str, &str); 1] = [("ssh-passwords", "ssh")];

/// Rules whose line has to stand within what pam-auth-update(8) manages, where another module comes
/// first there: it keeps them, and `--force`, which says that it overrides what was changed, does not.
/// With what tells whether the line is there; the audit says the same.
const FORCED: [(&str, &str); 1] = [(
    "strict-password-history",
    "grep -q pam_pwhistory /etc/pam.d/common-password",
)];

/// How many the quick run draws.
const SAMPLED: usize = 4;
const SEED: usize = 2;

#[test]
fn rules_outlive_what_makes_their_files_anew() {
    if !lab_is_wanted(Requirements::Containers) {
        return;
    }
    let rules = Repository::builtin().expect("the built-in rules can be read");
    let seed = std::env::var("STEADFAST_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse::<usize>().ok())
        .unwrap_or(SEED);
    println!("STEADFAST_TEST_SEED={seed}");
    let release = Release::ALL[seed % Release::ALL.len()];
    // A step that shares no factor with the length visits each once.
    let step = (1 + seed * 2..)
        .find(|step| gcd(*step, EDITING.len()) == 1)
        .expect("some number shares no factor");
    for number in 0..SAMPLED {
        let id = EDITING[(seed + number * step) % EDITING.len()];
        let mut all = rules.rules();
        let rule = all
            .find(|rule| rule.id.as_str() == id)
            .expect("a built-in rule");
        check(rule, release).unwrap_or_else(|why| panic!("{why}"));
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// All built-in rules, each second one: two of these run at once.
fn each_second(first: usize, release: Release) {
    if !all_is_wanted() || !lab_is_wanted(Requirements::Containers) {
        return;
    }
    let rules = Repository::builtin().expect("the built-in rules can be read");
    let only = std::env::var("STEADFAST_TEST_RULE").ok();
    let is_asked = |rule: &&Rule| only.as_deref().is_none_or(|only| rule.id.as_str() == only);
    let tried = rules.rules().skip(first).step_by(2).filter(is_asked);
    let wrong: Vec<String> = tried
        .filter_map(|rule| check(rule, release).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn all_even_rules_outlive_on_debian_12() {
    each_second(0, Release::Bookworm);
}

#[test]
fn all_odd_rules_outlive_on_debian_12() {
    each_second(1, Release::Bookworm);
}

#[test]
fn all_even_rules_outlive_on_debian_13() {
    each_second(0, Release::Trixie);
}

#[test]
fn all_odd_rules_outlive_on_debian_13() {
    each_second(1, Release::Trixie);
}

/// It outlives, and edits such a file where the list says so.
fn check(rule: &Rule, release: Release) -> Result<(), String> {
    let listed = EDITING.contains(&rule.id.as_str());
    match outlives(rule, release) {
        Ok(edits) if edits || !listed => Ok(()),
        Ok(_) => Err(format!(
            "{} on {release}: edits no file of a package any more",
            rule.id
        )),
        Err(why) => Err(format!("{} on {release}: {why}", rule.id)),
    }
}

/// A case of the rule that a container can show, put into the package's own file where there is one.
fn case(rule: &Rule, release: Release) -> Option<&RuleTest> {
    rule.tests.iter().find(|test| {
        test.on == TestHost::Container
            && (test.releases.is_empty()
                || test
                    .releases
                    .get("debian")
                    .is_some_and(|versions| versions.contains(&release.version().to_string())))
    })
}

/// Does it edit such a file? An error says what did not outlive.
fn outlives(rule: &Rule, release: Release) -> Result<bool, String> {
    let Some(test) = case(rule, release) else {
        return Ok(false);
    };
    // What only brings or removes packages edits no file of them.
    if rule.kinds() == ["package"] {
        return Ok(false);
    }
    let image = Image::build(release, &cache(), &mut |_| {}).map_err(said)?;
    let options = Options {
        binds: vec![(image.tree(), PathBuf::from(IMAGE))],
        ..Options::default()
    };
    let host = Host::on(release, options).ok_or("no host")?;
    host.shell(
        "useradd -m -s /bin/sh visitor && useradd -m -s /bin/sh -G sudo bob && \
         echo bob:right | chpasswd",
    );
    // Its unit is none of what a rule is judged by.
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.write("/opt/enter", ENTER);
    host.write("/opt/repack", REPACK);
    arrange(&host.container, &test.given).map_err(|why| format!("the case: {why}"))?;
    for (folder, into_the_main_file) in DROP_INS {
        if puts_below(&test.given, folder) {
            host.shell(into_the_main_file);
        }
    }
    let mut named = vec![
        "--baseline",
        rule.baseline.as_str(),
        "--rule",
        rule.id.as_str(),
    ];
    if let Some(profile) = &rule.profile {
        named.extend(["--profile", profile]);
    }
    let apply = [&["apply"][..], &named[..], &["--yes", "--detach"][..]].concat();
    let applied = host.steadfast(&apply);
    if applied.err.contains("nothing to do") {
        return Ok(false);
    }
    if applied.code != Some(0) {
        return Err(format!("apply: {applied}"));
    }
    // What cuts nobody off waits for no confirmation.
    host.steadfast(&["confirm", "--unproven"]);
    let audit = [&["audit"][..], &named[..]].concat();
    let said = host.steadfast(&audit);
    if said.code != Some(0) {
        return Err(format!("applied: {said}"));
    }
    let packages = packages_of(&host)?;
    if packages.is_empty() {
        return Ok(false);
    }
    enters(&host, rule, "applied")?;
    for package in &packages {
        for anew in anew(package) {
            let ended =
                host.run_as(Exec::shell(&format!("exec 2>&1; set -e; {anew}")).limit(LIMIT));
            if ended.code != Some(0) {
                return Err(format!("`{anew}`: {ended}"));
            }
            enters(&host, rule, &anew)?;
            let said = host.steadfast(&audit);
            let forced = FORCED.iter().find(|(id, _)| *id == rule.id.as_str());
            let wanted = match forced
                .filter(|_| anew.contains("pam-auth-update") && anew.contains("--force"))
            {
                Some((_, there)) => {
                    i32::from(host.run_as(Exec::shell(there).limit(LIMIT)).code != Some(0))
                }
                None => 0,
            };
            if said.code != Some(wanted) {
                return Err(format!("after `{anew}`: {said}"));
            }
            if wanted != 0 {
                break;
            }
        }
    }
    Ok(true)
}

fn said(error: lab::Error) -> String {
    error.to_string()
}

fn puts_below(given: &[Given], folder: &str) -> bool {
    given.iter().any(|given| {
        matches!(given, Given::Want(resource) if matches!(&**resource, Resource::File(file)
            if file.path.to_string().starts_with(folder)))
    })
}

/// What a test puts beside the package's file is put into it: at its start, where it counts, or at
/// its end, where a block may stand.
const DROP_INS: [(&str, &str); 2] = [
    (
        "/etc/ssh/sshd_config.d/",
        "cd /etc/ssh
for one in sshd_config.d/*.conf; do
  if grep -q '^Match' $one; then cat sshd_config $one; else cat $one sshd_config; fi > new
  cat new > sshd_config; rm new $one
done
sshd -t",
    ),
    (
        "/etc/sudoers.d/",
        "cd /etc/sudoers.d
for one in *; do test $one = README || { cat $one >> ../sudoers; rm $one; }; done
visudo -cq",
    ),
];

/// The packages that own or make what the newest change edited.
fn packages_of(host: &Host) -> Result<BTreeSet<String>, String> {
    let shown = host.steadfast(&["show", "last", "--format", "json"]);
    let shown: Value = serde_json::from_str(&shown.out).map_err(|error| error.to_string())?;
    let mut paths = BTreeSet::new();
    for action in shown["plan"]["actions"].as_array().into_iter().flatten() {
        edited(&action["effect"], &mut paths);
    }
    let mut packages = BTreeSet::new();
    for path in paths {
        // Files, and not the directories that many packages share.
        if let Some(maker) = maker(&path) {
            packages.insert(maker.to_owned());
        }
        let owners = format!(
            "test -d {path} || {{ dpkg-query --admindir={IMAGE}/var/lib/dpkg -S {path} 2>/dev/null; \
             grep -h '\\s{path}$' {IMAGE}/var/lib/ucf/registry; true; }}"
        );
        for line in host.shell(&owners).lines() {
            let package = line.split([':', ',', ' ', '\t']).next().unwrap_or(line);
            packages.insert(package.to_owned());
        }
    }
    Ok(packages)
}

/// The package whose tool makes a file that nobody owns.
fn maker(path: &str) -> Option<&'static str> {
    let makers = [
        ("/etc/pam.d/common-", "libpam-runtime"),
        ("/usr/share/pam-configs/", "libpam-runtime"),
        ("/etc/passwd", "base-passwd"),
        ("/etc/shadow", "base-passwd"),
        ("/etc/group", "base-passwd"),
        ("/etc/gshadow", "base-passwd"),
        ("/etc/shells", "debianutils"),
        ("/etc/ssh/ssh_host_", "openssh-server"),
    ];
    let found = makers.iter().find(|(start, _)| path.starts_with(start));
    found.map(|(_, package)| *package)
}

/// The paths of an effect; an account's are the files that list accounts.
fn edited(effect: &Value, paths: &mut BTreeSet<String>) {
    match effect {
        Value::Object(fields) => {
            if effect.get("account").is_some() {
                paths.insert("/etc/passwd".to_owned());
            }
            if let Some(path) = effect["path"].as_str() {
                paths.insert(path.to_owned());
            }
            fields.values().for_each(|value| edited(value, paths));
        }
        Value::Array(items) => items.iter().for_each(|item| edited(item, paths)),
        _ => {}
    }
}

/// What makes the files of a package anew, as an upgrade or an administrator does.
fn anew(package: &str) -> Vec<String> {
    let quiet = "export DEBIAN_FRONTEND=noninteractive";
    let mut ways = vec![
        format!(
            "sh /opt/repack {package}; {quiet}; dpkg -i --force-confold /root/repack/{package}.deb"
        ),
        format!("{quiet}; dpkg-reconfigure {package}"),
    ];
    match package {
        "libpam-runtime" => {
            ways.push(format!("{quiet}; pam-auth-update --package"));
            ways.push(format!("{quiet}; pam-auth-update --package --force"));
        }
        "openssh-server" => ways.push(
            "ucf --three-way --debconf-ok /usr/share/openssh/sshd_config /etc/ssh/sshd_config </dev/null"
                .to_owned(),
        ),
        "base-passwd" => ways.push("update-passwd".to_owned()),
        "debianutils" => ways.push("update-shells".to_owned()),
        _ => {}
    }
    ways
}

/// The right password enters by each way, but for what the rule itself closes; a wrong one by none;
/// and one mistake locks nobody.
fn enters(host: &Host, rule: &Rule, when: &str) -> Result<(), String> {
    let closed = |way: &str| CLOSING.contains(&(rule.id.as_str(), way));
    for (password, wanted) in [("right", "yes"), ("wrong", "no"), ("right", "yes")] {
        let said = host.run_as(Exec::new(["python3", "/opt/enter", password]).limit(LIMIT));
        for way in ["login", "su", "sudo", "ssh"] {
            let wanted = if closed(way) { "no" } else { wanted };
            if !said.out.contains(&format!("{way} {wanted}\n")) {
                return Err(format!("{when}: the {password} password, by {way}: {said}"));
            }
        }
        // A wrong one by four ways at once is more mistakes than some allow.
        host.shell("faillock --user bob --reset || true");
    }
    Ok(())
}
