//! The programs that check a configuration, on booted hosts: each still says yes to what is
//! right and no to what is wrong, and none can do anything else. This test program is copied
//! into the host and asks there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use host::act::Root;
use host::validate::{Laid, Refusal, validate};
use lab::{Container, Exec, Image, Release, Requirements};
use model::plan::Validator;

use crate::bench::{action, put, skip};

const COPY: &str = "/root/it";
const INSIDE: &str = "STEADFAST_TEST_VALIDATORS";

/// nginx comes from the archive of the machine that has the lab, so its release decides.
fn release() -> Option<Release> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    [Release::Bookworm, Release::Trixie]
        .into_iter()
        .find(|release| text.contains(&format!("VERSION_CODENAME={}", release.codename())))
}

fn started() -> Option<Container> {
    if let Err(why) = lab::wanted(
        std::env::var_os("STEADFAST_LAB").as_deref(),
        Requirements::Containers,
    ) {
        skip(&why.to_string());
        return None;
    }
    let Some(release) = release() else {
        skip("nginx of this machine's release does not fit a lab host");
        return None;
    };
    let cache = std::env::var_os("STEADFAST_LAB_CACHE")
        .map_or_else(|| lab::DEFAULT_CACHE.into(), PathBuf::from);
    let image = Image::build(release, &cache, &mut |_| {}).expect("an image");
    let container = Container::start(&image).expect("a host boots");
    let this = std::env::current_exe().expect("this program");
    container.copy_in(&this, COPY).expect("copied");
    Some(container)
}

/// Fetched here, where the archive can be reached, and unpacked there.
fn install_nginx(container: &Container) {
    // Not started: nothing of it is running or logged when the host is looked at.
    install(
        container,
        &["nginx", "nginx-common"],
        "systemctl mask nginx.service && ",
    );
}

fn install(container: &Container, packages: &[&str], before: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let fetched = Command::new("/usr/bin/apt-get")
        .args(["-q", "-oAPT::Sandbox::User=root", "download"])
        .args(packages)
        .current_dir(folder.path())
        .output()
        .expect("apt-get runs");
    assert!(fetched.status.success(), "{fetched:?}");
    let files = std::fs::read_dir(folder.path()).expect("a folder");
    for file in files.map(|entry| entry.expect("an entry").path()) {
        let name = file.file_name().expect("a name").to_owned();
        let to = Path::new("/root").join(name);
        container.copy_in(&file, &to).expect("copied");
    }
    let line = format!("{before}dpkg --force-depends --install /root/*.deb && rm /root/*.deb");
    shell(container, &line);
}

fn shell(container: &Container, line: &str) -> String {
    match container.shell(line) {
        Ok(said) => said,
        Err(error) => panic!("`{line}`: {error}"),
    }
}

fn ask_inside(container: &Container, what: &str) {
    let exec = Exec::new([
        COPY,
        "--exact",
        "lab_validators::inside",
        "--ignored",
        "--nocapture",
    ])
    .env(INSIDE, what)
    .limit(Duration::from_secs(180));
    let output = container.exec(&exec).expect("it runs");
    assert!(
        output.success() && output.text().contains("asked everything"),
        "{what}:\n{}{}",
        output.text(),
        output.errors()
    );
}

#[test]
fn each_validator_tells_right_from_wrong_and_leaves_nothing() {
    let Some(container) = started() else { return };
    install_nginx(&container);
    // sshd's directory is there only while it runs; logs and a directory are elsewhere than
    // the packages have them.
    shell(
        &container,
        "systemctl stop ssh.socket ssh.service 2>/dev/null; rm -rf /run/sshd; \
         mkdir -p /srv/www/logs /root/private && chmod 700 /root/private",
    );
    let before = container.snapshot().expect("a host can be looked at");
    let programs = shell(&container, "ls /run /tmp");
    ask_inside(&container, "configurations");
    let ignored: Vec<&str> = lab::NOISE.iter().copied().chain([COPY]).collect();
    let after = container.snapshot().expect("a host can be looked at");
    let found: BTreeSet<String> = lab::diff(&before, &after, &ignored)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(programs, shell(&container, "ls /run /tmp"));
    // It is the confinement that holds: left to itself, the program writes.
    shell(
        &container,
        &format!("printf '%s' '{SITE}' > /etc/nginx/conf.d/site.conf && nginx -t -q; true"),
    );
    shell(
        &container,
        "test -e /srv/www/logs/access.log && test -d /var/lib/nginx/own",
    );
}

#[test]
fn a_validator_can_do_nothing_but_answer() {
    let Some(container) = started() else { return };
    container
        .write_file(
            "/usr/sbin/visudo",
            "#!/bin/sh\n\
             touch /etc/x 2>/dev/null && echo wrote /etc\n\
             touch /var/x 2>/dev/null && echo wrote /var\n\
             touch /run/x 2>/dev/null && echo wrote /run\n\
             touch /root/x 2>/dev/null && echo wrote /root\n\
             ls /run/steadfast/view 2>/dev/null\n\
             mount -t tmpfs none /mnt 2>/dev/null && echo mounted\n\
             mknod /tmp/null c 1 3 2>/dev/null && echo made a device\n\
             touch /tmp/x && echo a throwaway tmp\n\
             echo interfaces $(tail -n +3 /proc/net/dev | cut -d: -f1)\n\
             grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status\n\
             cat /etc/sudoers.d/laid\n\
             exit 1\n",
        )
        .expect("written");
    shell(
        &container,
        "chmod 755 /usr/sbin/visudo; echo there > /tmp/there",
    );
    ask_inside(&container, "a program of our own");
    let left = shell(
        &container,
        "ls /tmp/x /etc/x /var/x /run/x /run/steadfast/view 2>/dev/null; true",
    );
    assert_eq!(left, "");
    // What anybody else could have written is not run as root.
    shell(&container, "chmod 775 /usr/sbin/visudo");
    ask_inside(&container, "a program that others may write");
}

/// Ports, addresses that no interface has here, a log and a directory of its own.
const SITE: &str = "server { listen 80; listen 10.9.8.7:81; listen [2001:db8::7]:82; \
                    listen unix:/run/site.sock; access_log /srv/www/logs/access.log; \
                    client_body_temp_path /var/lib/nginx/own; }\n";

fn laid(path: &str, content: &str) -> Laid {
    let mut laid = Laid::default();
    laid.extend(&[&action(put(path, content))]);
    laid
}

fn ask(validator: Validator, path: &str, content: &str) -> Result<(), Refusal> {
    let root = Root::live().expect("this host");
    validate(&root, validator, &laid(path, content))
}

/// The programs of boot and timers, with the files that the distribution gives them.
#[test]
fn what_boots_and_recurs_is_asked_about() {
    let Some(container) = started() else {
        return;
    };
    ask_inside(&container, "boot and timers");
}

#[test]
#[ignore = "asked in a lab host by the tests above"]
fn inside() {
    match std::env::var(INSIDE).as_deref() {
        Ok("configurations") => configurations(),
        Ok("boot and timers") => boot_and_timers(),
        Ok("a program of our own") => a_program_of_our_own(),
        Ok("a program that others may write") => {
            let refused = ask(Validator::Sudoers, "/etc/sudoers.d/laid", "x\n");
            let why = format!("{refused:?}");
            assert!(why.contains("others than root may write it"), "{why}");
        }
        _ => return,
    }
    say_done();
}

#[expect(
    clippy::print_stdout,
    reason = "tells the test outside that it is through"
)]
fn say_done() {
    println!("asked everything");
}

fn configurations() {
    use Validator::{AptSources, Nginx, Sshd, Sudoers, SystemdUnit};
    let drop_in = "/etc/ssh/sshd_config.d/10-test.conf";
    let rule = "/etc/sudoers.d/test";
    let site = "/etc/nginx/conf.d/site.conf";
    let unit = "/etc/systemd/system/test.service";
    let source = "/etc/apt/sources.list.d/test.sources";
    let (good_source, bad_source) = (
        "Types: deb\nURIs: https://example.org/debian\nSuites: x\nComponents: main\n",
        "Types: deb\nSuites: x\n",
    );
    let cases: [(Validator, &str, &str, Option<&str>); 10] = [
        (Sshd, drop_in, "PermitRootLogin no\n", None),
        (
            Sshd,
            drop_in,
            "PermitRootLogin perhaps\n",
            Some("unsupported option"),
        ),
        (Sudoers, rule, "ana ALL=(ALL) ALL\n", None),
        (Sudoers, rule, "ana ALL=(ALL ALL\n", Some("syntax error")),
        (Nginx, site, SITE, None),
        (
            Nginx,
            site,
            "server { listn 80; }\n",
            Some("unknown directive"),
        ),
        (SystemdUnit, unit, "[Service]\nExecStart=/bin/true\n", None),
        (
            SystemdUnit,
            unit,
            "[Service]\nExecStart=/no/such\n",
            Some("/no/such"),
        ),
        (AptSources, source, good_source, None),
        (AptSources, source, bad_source, Some("test.sources")),
    ];
    for (validator, path, content, complaint) in cases {
        let answer = ask(validator, path, content);
        match (complaint, &answer) {
            (None, Ok(())) => {}
            (Some(complaint), Err(Refusal::Said(said))) if said.contains(complaint) => {}
            _ => panic!("{validator:?} {content:?}: {answer:?}"),
        }
    }
}

/// Case F13 of 2026-11-30: all of these were written.
fn boot_and_timers() {
    use Validator::{Cron, Fstab, Logrotate, Nftables};
    let rotate = "/etc/logrotate.d/ours";
    let cases: [(Validator, &str, &str, Option<&str>); 11] = [
        (
            Nftables,
            "/etc/nftables.conf",
            "flush ruleset\ntable inet filter {\n  chain input {\n    type filter hook input priority 0;\n    iif lo accept\n  }\n}\n",
            None,
        ),
        (
            Nftables,
            "/etc/nftables.conf",
            "flsh ruleset\n",
            Some("syntax error"),
        ),
        (
            Logrotate,
            rotate,
            "/var/log/ours.log {\n  weekly\n  missingok\n}\n",
            None,
        ),
        (
            Logrotate,
            rotate,
            "/var/log/ours.log {\n  weeklyy\n}\n",
            Some("weeklyy"),
        ),
        (Cron, "/etc/cron.d/ours", "@daily root true\n", None),
        (
            Cron,
            "/etc/cron.d/ours",
            "* * * * * nobdy true\n",
            Some("nobdy"),
        ),
        (Fstab, "/etc/fstab", "tmpfs /tmp tmpfs rw 0 0\n", None),
        // A mount point that systemd makes, and a disk that is not needed.
        (
            Fstab,
            "/etc/fstab",
            "tmpfs /new tmpfs rw 0 0\nLABEL=usb /u ext4 nofail 0 0\n",
            None,
        ),
        (Fstab, "/etc/fstab", "garbage\n", Some("no entry")),
        (
            Fstab,
            "/etc/fstab",
            "LABEL=none /srv ext4 defaults 0 2\n",
            Some("LABEL=none"),
        ),
        (Fstab, "/etc/fstab", "", None),
    ];
    for (validator, path, content, complaint) in cases {
        let answer = ask(validator, path, content);
        match (complaint, &answer) {
            (None, Ok(())) => {}
            (Some(complaint), Err(Refusal::Said(said))) if said.contains(complaint) => {}
            _ => panic!("{validator:?} {content:?}: {answer:?}"),
        }
    }
    // What the distribution itself gives, word for word.
    for (validator, places) in [
        (Cron, &["/etc/crontab", "/etc/cron.d"][..]),
        (Logrotate, &["/etc/logrotate.conf", "/etc/logrotate.d"]),
        (Nftables, &["/etc/nftables.conf"]),
        (Fstab, &["/etc/fstab"]),
    ] {
        let mut asked = 0;
        for place in places.iter().map(Path::new) {
            let files = match place.is_dir() {
                true => std::fs::read_dir(place)
                    .expect("a folder")
                    .map(|entry| entry.expect("an entry").path())
                    .filter(|path| {
                        !path
                            .file_name()
                            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
                    })
                    .collect(),
                false => vec![place.to_owned()],
            };
            for file in files.into_iter().filter(|file| file.is_file()) {
                let content = std::fs::read_to_string(&file).expect("text");
                let answer = ask(validator, &file.to_string_lossy(), &content);
                assert_eq!(answer, Ok(()), "{}", file.display());
                asked += 1;
            }
        }
        assert!(asked > 0, "{validator:?} was asked of nothing");
    }
}

fn a_program_of_our_own() {
    let answer = ask(Validator::Sudoers, "/etc/sudoers.d/laid", "laid over\n");
    let Err(Refusal::Said(said)) = answer else {
        panic!("{answer:?}")
    };
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let wanted = [
        "a throwaway tmp",
        "interfaces lo",
        // CAP_DAC_READ_SEARCH is the bit 2 (linux/capability.h).
        "CapEff:\t0000000000000004",
        "CapBnd:\t0000000000000004",
        "NoNewPrivs:\t1",
        "laid over",
    ];
    let mut sorted = lines.clone();
    sorted.sort_unstable();
    let mut expected = wanted.to_vec();
    expected.sort_unstable();
    assert_eq!(sorted, expected, "{said}");
}
