//! The updates that Debian really published since a release, on booted hosts that run some of what
//! they are for: planned, applied and taken back, with services, marks, certificates and what an
//! administrator changed.

use std::path::Path;

use lab::{Image, Options, Pending, Release, Snapshot};

use crate::booted::{APPLY_KEPT, Host, UNDO_KEPT, cache, differences, listed};
use crate::lab_patch::MAKE;
use crate::many_kinds::todays_updates_are_wanted;

/// A host and what is pending for it.
struct Case {
    release: Release,
    /// What is installed beside what each host of the lab has.
    extras: &'static [&'static str],
    /// What an administrator did, before anything is pending.
    changes: &'static str,
    /// The configuration file that was changed.
    conffile: &'static str,
    /// Services that run, and are upgraded.
    services: &'static [&'static str],
    /// What services write on their own while they run, or at each start: what is there now is theirs.
    of_services: &'static [&'static str],
    /// The package whose data no undo brings back.
    keeps_data: Option<&'static str>,
    /// What holds before, between and after.
    still: &'static str,
}

/// A certificate authority of the host's own, one of the distribution's that is not trusted here,
/// and marks that are not what apt would give.
const ADMINISTRATOR: &str = "
openssl req -x509 -newkey rsa:2048 -nodes -keyout /root/ca.key -days 3650 -subj '/CN=Of this host' \
  -out /usr/local/share/ca-certificates/own.crt 2>/dev/null
sed -i '0,/^mozilla/s//!mozilla/' /etc/ca-certificates.conf
update-ca-certificates >/dev/null 2>&1
test -e /etc/ssl/certs/own.pem
apt-mark -qq auto openssl sudo
";

/// What a person would call the state of a host's packages and certificates.
const STATE: &str = "dpkg-query -W -f '${Package} ${Version} ${Status}\\n'; \
    apt-mark showauto; apt-mark showmanual; cat /etc/ca-certificates.conf; \
    sha256sum /etc/ssl/certs/ca-certificates.crt; find /etc/ssl/certs -printf '%p %l\\n' | sort";

#[test]
fn pending_updates_of_debian_12() {
    taken_and_given_back(&Case {
        release: Release::Bookworm,
        extras: &["apache2", "bind9", "redis-server"],
        changes: "apt-mark -qq manual libssl3 && apt-mark -qq auto apache2 && \
            echo '# mine' >> /etc/apache2/apache2.conf && a2dismod -q status >/dev/null && \
            systemctl reload apache2 && redis-cli set key value >/dev/null && redis-cli save >/dev/null",
        conffile: "/etc/apache2/apache2.conf",
        services: &["apache2", "named", "redis-server", "rsyslog", "ssh"],
        // The state of named's trust anchors, some time after its start; Redis's data, which it
        // writes when it stops.
        of_services: &["/var/cache/bind", "/var/lib/redis"],
        keeps_data: Some("redis-server"),
        still: "test \"$(redis-cli get key)\" = value && apachectl configtest 2>/dev/null",
    });
}

#[test]
fn pending_updates_of_debian_13() {
    taken_and_given_back(&Case {
        release: Release::Trixie,
        extras: &["nginx", "haproxy", "ruby3.3", "krb5-user"],
        changes: "apt-mark -qq manual libkrb5-3 && apt-mark -qq auto haproxy && \
            echo '# mine' >> /etc/nginx/nginx.conf && \
            printf 'frontend mine\\n bind 127.0.0.1:8081\\n' >> /etc/haproxy/haproxy.cfg && \
            systemctl restart haproxy",
        conffile: "/etc/nginx/nginx.conf",
        services: &["nginx", "haproxy", "ssh"],
        // rsyslog's socket for it, which is made anew at its start.
        of_services: &["/var/lib/haproxy/dev"],
        keeps_data: None,
        still: "nginx -t 2>/dev/null && haproxy -c -q -f /etc/haproxy/haproxy.cfg && ruby -v >/dev/null",
    });
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn taken_and_given_back(case: &Case) {
    if !todays_updates_are_wanted() {
        return;
    }
    let options = Options {
        disk_bytes: 4 << 30,
        ..Options::default()
    };
    let Some(host) = Host::on(case.release, options) else {
        return;
    };
    let say = &mut |said: &str| eprintln!("{said}");
    let image = Image::build(case.release, &cache(), say).expect("it is there");
    let pending = Pending::fetch(&image, case.extras, say).expect("archives answer");
    if pending.updates().is_empty() {
        eprintln!(
            "skipped: this machine's archives have nothing newer than {}",
            case.release
        );
        return;
    }
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    let show = |files: Vec<std::path::PathBuf>| {
        for path in files {
            let to = Path::new("/srv/archive").join(path.file_name().expect("a file"));
            host.container.copy_in(&path, to).expect("copied");
        }
        host.shell(&format!("{MAKE}index\n"));
    };
    show(pending.before().expect("a folder"));
    host.shell(&format!(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install {} >/dev/null 2>&1",
        case.extras.join(" ")
    ));
    host.shell(&format!("set -e; {ADMINISTRATOR}{}", case.changes));
    show(pending.after().expect("a folder"));
    let upgraded: Vec<&str> = case
        .services
        .iter()
        .copied()
        .filter(|service| is_upgraded(&host, &pending, service))
        .collect();
    eprintln!(
        "{} updates; of what runs: {upgraded:?}",
        pending.updates().len()
    );
    expect_runs_what_is_there(&host, case);
    let (before, state) = (host.snapshot(), host.shell(STATE));

    let names: Vec<&str> = pending
        .updates()
        .iter()
        .map(|update| &*update.package)
        .collect();
    host.steadfast(&["patch", "plan"]).expect(1, &names);
    expect_as_it_was(case, &host, &before);
    if let Some(package) = case.keeps_data {
        host.steadfast(&["patch", "apply", "--yes"])
            .expect(1, &[&format!("`{package}` keeps data"), "patches.yaml"]);
        expect_as_it_was(case, &host, &before);
    }
    let accepted = case.keeps_data.map(|_| "--accept-data-loss");
    let apply: Vec<&str> = ["patch", "apply", "--yes", "--detach"]
        .into_iter()
        .chain(accepted)
        .collect();
    host.steadfast_confirmed(&apply, APPLY_KEPT)
        .expect(0, &["looked again: it is as planned"]);
    for update in pending.updates() {
        let version = format!("dpkg-query -W -f '${{Version}}' {}", update.package);
        assert_eq!(host.shell(&version), update.to, "{}", update.package);
    }
    host.shell("test -z \"$(dpkg --audit)\" && apt-get -s upgrade | grep -q '^0 upgraded'");
    host.shell(&format!("grep -q '# mine' {}", case.conffile));
    expect_runs_what_is_there(&host, case);
    let status = host.steadfast(&["patch", "status"]);
    for service in case.services {
        let unit = format!("{service}.service");
        assert!(!status.out.contains(&unit), "{unit}: {status}");
    }

    host.steadfast_confirmed(&["undo", "last", "--yes", "--detach"], UNDO_KEPT)
        .expect(0, &["checked, and as before"]);
    expect_as_it_was(case, &host, &before);
    assert_eq!(host.shell(STATE), state);
    expect_runs_what_is_there(&host, case);
    host.shell("test -z \"$(dpkg --audit)\" && openssl version && update-ca-certificates");
}

/// But for apt's caches of its own lists, which every question to it may make anew.
#[track_caller]
fn expect_as_it_was(case: &Case, host: &Host, before: &Snapshot) {
    let mut found = differences(before, &host.snapshot());
    let others = case.of_services.iter().chain(&["/var/cache/apt"]);
    found.retain(|found| !others.clone().any(|path| found.path.starts_with(path)));
    assert!(found.is_empty(), "not as it was:\n{}", listed(&found));
}

/// Whether an update is pending for the package of a service's program.
fn is_upgraded(host: &Host, pending: &Pending, service: &str) -> bool {
    let line = format!(
        "dpkg -S $(readlink /proc/$(systemctl show -P MainPID {service})/exe) | cut -d: -f1"
    );
    let package = host.shell(&line);
    pending
        .updates()
        .iter()
        .any(|update| update.package == package.trim())
}

/// Each service runs, and no process of it has a file mapped that is not the one of that name.
#[track_caller]
fn expect_runs_what_is_there(host: &Host, case: &Case) {
    host.shell(case.still);
    for service in case.services {
        host.shell(&format!(
            "set -e; systemctl is-active {service} >/dev/null; \
             group=/sys/fs/cgroup$(systemctl show -P ControlGroup {service}); \
             for p in $(cat $group/cgroup.procs); do \
               if grep -E ' /(usr|lib|bin|sbin|etc).*\\(deleted\\)$' /proc/$p/maps; then \
                 echo {service} $p runs what is gone >&2; exit 1; fi; done"
        ));
    }
}
