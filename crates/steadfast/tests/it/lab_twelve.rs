//! Twelve packages of Debian, installed by a role, used, and undone: at once, which is exact, and
//! after a file was edited, data was written and another package came, when each difference is one
//! that the undo names.

use std::collections::BTreeSet;
use std::path::Path;

use lab::{Difference, Release};

use crate::booted::{differences, listed};
use crate::many_kinds::all_is_wanted;
use crate::packages::host_that_can_install;

/// A package of which nothing else is a part, and that comes later.
const LATER: &str = "hello";

struct Case {
    package: &'static str,
    /// Uses what was installed; ends with 0 when it does what it is for.
    used: &'static str,
    /// Edits a file by hand, or writes data. Empty: nothing that could be edited.
    changed: &'static str,
}

const TWELVE: [Case; 12] = [
    Case {
        package: "nginx",
        used: "systemctl is-active nginx && bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; \
               printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; grep -q nginx <&3'",
        changed: "echo '# tuned by hand' >> /etc/nginx/nginx.conf; \
                  echo '# mine' > /etc/nginx/conf.d/mine.conf",
    },
    Case {
        package: "postgresql",
        used: "for i in $(seq 60); do su postgres -c 'psql -c \"select 1\"' && exit; sleep 1; done; exit 1",
        changed: "cp -a /etc/postgresql /var/cache/apt/kept; cd /; su postgres -c 'createdb shop; psql shop -c \"create table orders as select generate_series(1,1000)\"'",
    },
    Case {
        package: "unattended-upgrades",
        used: "systemctl is-active unattended-upgrades",
        changed: "echo '// mine' >> /etc/apt/apt.conf.d/50unattended-upgrades",
    },
    Case {
        package: "fail2ban",
        used: "fail2ban-client --version",
        changed: "printf '[DEFAULT]\\nbantime = 1h\\n' > /etc/fail2ban/jail.d/mine.local",
    },
    Case {
        package: "chrony",
        used: "chronyc -n tracking || chronyd -v",
        changed: "echo '# mine' >> /etc/chrony/chrony.conf",
    },
    Case {
        package: "libpam-pwquality",
        used: "grep -q pam_pwquality /etc/pam.d/common-password",
        changed: "echo 'minlen = 12' >> /etc/security/pwquality.conf",
    },
    Case {
        package: "exim4",
        used: "systemctl is-active exim4 && echo body | sendmail root",
        changed: "echo '# mine' > /etc/exim4/exim4.conf.localmacros",
    },
    // Diverts the programs that end a machine.
    Case {
        package: "molly-guard",
        used: "dpkg-divert --list | grep -q molly-guard",
        changed: "echo '# mine' >> /etc/molly-guard/rc",
    },
    // One of several editors.
    Case {
        package: "nvi",
        used: "readlink -f /etc/alternatives/vi | grep -q nvi",
        changed: "",
    },
    Case {
        package: "redis-server",
        used: "for i in $(seq 30); do redis-cli ping | grep -q PONG && exit; sleep 1; done; exit 1",
        changed: "redis-cli set key value && redis-cli save",
    },
    Case {
        package: "apache2",
        used: "systemctl is-active apache2 && apachectl configtest",
        changed: "a2enmod rewrite && echo '# mine' > /etc/apache2/conf-available/mine.conf",
    },
    Case {
        package: "rsyslog",
        used: "systemctl is-active rsyslog && logger hello",
        changed: "echo '# mine' > /etc/rsyslog.d/mine.conf",
    },
];

/// A test for each package on each release: two are always played, the rest where everything is tried.
macro_rules! on_both_releases {
    ($($name:ident: $package:literal,)*) => {
        mod on_bookworm {
            $(#[test]
            fn $name() {
                super::play_if_meant(super::Release::Bookworm, $package, &["redis-server"]);
            })*
        }
        mod on_trixie {
            $(#[test]
            fn $name() {
                super::play_if_meant(super::Release::Trixie, $package, &["fail2ban"]);
            })*
        }
        /// No package is without its two tests.
        #[test]
        fn each_package_has_its_tests() {
            let tested = [$($package),*];
            assert!(TWELVE.iter().map(|case| case.package).eq(tested));
        }
    };
}

on_both_releases! {
    nginx: "nginx",
    postgresql: "postgresql",
    unattended_upgrades: "unattended-upgrades",
    fail2ban: "fail2ban",
    chrony: "chrony",
    libpam_pwquality: "libpam-pwquality",
    exim4: "exim4",
    molly_guard: "molly-guard",
    nvi: "nvi",
    redis_server: "redis-server",
    apache2: "apache2",
    rsyslog: "rsyslog",
}

fn play_if_meant(release: Release, package: &str, always: &[&str]) {
    if !always.contains(&package) && !all_is_wanted() {
        return;
    }
    for case in TWELVE.iter().filter(|case| case.package == package) {
        play(release, case);
    }
}

/// What is compared beside files: versions, marks, accounts, units, processes (but those that ask).
const STATE: &str = "dpkg-query -W -f '${Package} ${Version} ${Status}\\n'; apt-mark showmanual; \
    getent passwd; getent group; dpkg-divert --list; dpkg --audit; \
    systemctl list-unit-files --no-legend --plain | sort; \
    systemctl list-units --type=service,socket,timer,path --state=active,failed --no-legend --plain | cut -d' ' -f1 | sort; \
    ps -eo user:32=,comm= | grep -v -e ' ps$' -e ' grep$' -e ' sort$' -e ' sh$' -e ' bash$' | sort -u";

#[track_caller]
fn play(release: Release, case: &Case) {
    // What the image has too, with all that nothing else there needs.
    let parts: &[&str] = match case.package {
        "libpam-pwquality" => &["libpwquality1", "libpwquality-common", "cracklib-runtime"],
        _ => &[],
    };
    let names = [&[case.package], parts, &[LATER]].concat();
    let Some(host) = host_that_can_install(release, &names) else {
        return;
    };
    let name = format!("{} on {}", case.package, release.codename());
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    // What would also go must be named.
    let more = match case.package {
        "chrony" => "  - package: {name: systemd-timesyncd, absent: true}\n",
        _ => "",
    };
    let want = format!("  - package: {{name: {}}}\n{more}", case.package);
    host.role("one", &want);
    host.shell("systemctl start systemd-timesyncd 2>/dev/null; true");
    // Where the image has it already.
    host.shell(&format!(
        "! dpkg -s {0} 2>/dev/null || apt-get -qq -y purge {0} {1}; \
         systemctl stop {0} 2>/dev/null; systemctl reset-failed",
        case.package,
        parts.join(" ")
    ));
    let (before, said) = (host.snapshot(), host.shell(STATE));
    let apply = ["apply", "--role", "one", "--yes"];
    host.steadfast(&apply).expect(0, &["is in effect"]);
    host.shell(case.used);
    let first = host.steadfast(&["undo", "last", "--yes"]);
    // A service that was used has written something: that is somebody's.
    let first = match first.code {
        Some(5) => host.steadfast(&["undo", "last", "--yes", "--accept-data-loss"]),
        _ => first,
    };
    // 1 where something stays, which the end names: the account of a log that is kept.
    let code = if first.code == Some(1) { 1 } else { 0 };
    let first = first.expect(code, &["undone"]);
    let (ended, by_then) = (conclusion(&first.err), host.snapshot());
    let left = unnamed(differences(&before, &by_then), ended, false);
    assert!(
        left.is_empty(),
        "{name}, at once: {ended}\n{}",
        listed(&left[..left.len().min(20)])
    );
    expect_state(&said, &host.shell(STATE), ended, &name);

    host.steadfast(&apply).expect(0, &["is in effect"]);
    host.shell(case.used);
    if !case.changed.is_empty() {
        host.shell(case.changed);
    }
    host.shell(&format!(
        "DEBIAN_FRONTEND=noninteractive apt-get -qy install {LATER} && useradd -m ana"
    ));
    let used = host.snapshot();
    let second = host.steadfast(&["undo", "last", "--yes"]);
    let second = match second.code {
        Some(5) => {
            // Refused: nothing was touched but by what runs.
            assert!(
                second.err.contains("nothing was touched"),
                "{name}: {second}"
            );
            let found = differences(&used, &host.snapshot());
            let touched = found
                .iter()
                .any(|one| one.after.is_none() && !one.path.starts_with("/var"));
            assert!(!touched, "{name}: {}", listed(&found));
            host.steadfast(&["undo", "last", "--yes", "--keep-theirs"])
        }
        _ => second,
    };
    // 1 where something stays, which the end names.
    let code = if second.code == Some(1) { 1 } else { 0 };
    let second = second.expect(code, &["undone"]);
    let (ended, by_then) = (conclusion(&second.err), host.snapshot());
    let left = unnamed(differences(&before, &by_then), ended, true);
    assert!(
        left.is_empty(),
        "{name}, later: {ended}\n{}",
        listed(&left[..left.len().min(20)])
    );
    assert_eq!(
        host.shell("dpkg --audit; apt-get check -qq; dpkg --verify hello; hello; id -un ana"),
        "Hello, world!\nana\n",
        "{name}"
    );
    // An account that stayed at first was there before the second install.
    let ended = format!("{}{ended}", conclusion(&first.err));
    expect_state(&said, &host.shell(STATE), &ended, &name);
    if case.package == "postgresql" {
        // The data that stayed is all there when its program and its configuration come back.
        host.steadfast(&apply).expect(0, &["is in effect"]);
        host.shell(
            "cp -a /var/cache/apt/kept/. /etc/postgresql/ && systemctl daemon-reload && systemctl start postgresql",
        );
        host.shell(case.used);
        let rows = "cd /; su postgres -c \"psql shop -tAc 'select count(*), sum(generate_series) from orders'\"";
        assert_eq!(host.shell(rows), "1000|500500\n", "{name}");
    }
}

/// What the undo says when it is done: what was put back is said before.
fn conclusion(said: &str) -> &str {
    said.rsplit_once(" undone").map_or("", |(_, said)| said)
}

/// The state is as it was, but for accounts that the undo says stay, and for what came later.
#[track_caller]
fn expect_state(before: &str, now: &str, ended: &str, name: &str) {
    let stays: Vec<String> = ended
        .split(['\n', ';'])
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            matches!(words.next(), Some("account" | "group")).then(|| words.next())?
        })
        .map(|word| format!("{word}:").replace("::", ":"))
        .collect();
    let is_others = |line: &str| {
        let first = line.split([' ', ':']).next();
        stays.iter().any(|name| line.starts_with(name))
            || [Some(LATER), Some("ana")].contains(&first)
    };
    let lines = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !is_others(line));
        lines.map(str::to_owned).collect()
    };
    let (before, now) = (lines(before), lines(now));
    let gone: Vec<_> = before.difference(&now).collect();
    let new: Vec<_> = now.difference(&before).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "{name}: {ended}\ngone: {gone:?}\nnew: {new:?}"
    );
}

/// The differences that the undo does not name, and that are not those of what came later.
fn unnamed(mut found: Vec<Difference>, said: &str, later: bool) -> Vec<Difference> {
    let named: Vec<&Path> = said
        .split(|c: char| c.is_whitespace() || "`;,".contains(c))
        .filter(|word| word.starts_with('/'))
        .map(|word| Path::new(word.trim_end_matches(['.', ':'])))
        .collect();
    let stays = said.contains("account ");
    const OF_LATER: [&str; 8] = [
        "/home/ana",
        "/usr/share/doc/hello",
        "/usr/share/man",
        "/usr/share/info",
        "/usr/share/locale",
        "/usr/bin/hello",
        "/var/lib/apt/extended_states",
        "/var/lib/dpkg",
    ];
    const ACCOUNTS: [&str; 6] = ["passwd", "shadow", "group", "gshadow", "subuid", "subgid"];
    found.retain(|one| {
        let path = &one.path;
        let text = path.to_string_lossy();
        let is_caches = [
            "/var/cache/apt",
            "/var/cache/man",
            "/var/cache/ldconfig",
            "/var/cache/debconf",
            // Mail that was delivered.
            "/var/mail",
        ]
        .iter()
        .any(|top| path.starts_with(top));
        let is_named = named.iter().any(|name| {
            path == name
                || path.starts_with(name) && name.components().count() > 2
                || name.starts_with(path)
        });
        let is_accounts = (stays || later)
            && ACCOUNTS.iter().any(|name| {
                text.strip_prefix("/etc/")
                    .is_some_and(|rest| rest.trim_end_matches('-') == *name)
            });
        let is_later =
            later && (OF_LATER.iter().any(|top| path.starts_with(top)) || one.is_only_mtime());
        !(is_caches || is_named || is_accounts || is_later)
    });
    found
}
