//! "Package, its configuration file, its service" with packages of Debian, in one apply on a fresh
//! host: files that the package brings are edited, its units get drop-ins, its default site goes.

use lab::Release;

use crate::booted::Host;
use crate::packages::host_that_can_install;

#[track_caller]
fn play(host: &Host, role: &str, planned: &[&str], applied: &[&str], looks: &str) {
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.role("one", role);
    let accounts = host.shell("getent passwd; getent group");
    host.steadfast(&["plan", "--role", "one", "--output", "/run/plan.json"])
        .expect(1, planned);
    host.steadfast(&["apply", "/run/plan.json", "--yes"])
        .expect(0, &["is in effect"])
        .expect(0, applied);
    host.shell(looks);
    host.steadfast(&["apply", "--role", "one", "--yes"])
        .expect(0, &["nothing to do"]);
    host.steadfast(&["audit", "--role", "one"]).expect(0, &[]);
    let undone = host.steadfast(&["undo", "last", "--yes", "--accept-data-loss"]);
    undone.expect(0, &["undone"]);
    host.shell("test -z \"$(dpkg --audit)\"");
    // Logs were written as an account of the package's: it may stay, and nothing else does.
    let left = host.shell("getent passwd; getent group");
    let known: Vec<&str> = accounts.lines().collect();
    let new = left.lines().filter(|line| !known.contains(line));
    assert!(new.count() <= 2, "{left}");
}

#[test]
fn nginx_is_configured_before_it_is_there() {
    let Some(host) = host_that_can_install(Release::Bookworm, &["nginx"]) else {
        return;
    };
    play(
        &host,
        "  - package: {name: nginx}
  - key_value: {path: /etc/nginx/fastcgi.conf, syntax: space, key: fastcgi_param, value: x}
  - link: {path: /etc/nginx/sites-enabled/default, absent: true, notify: nginx}
  - unit_option: {unit: nginx.service, section: Service, option: PrivateTmp, value: 'yes'}
  - service: {name: nginx, enabled: true, running: true}
",
        &[
            "install nginx",
            "/etc/nginx/fastcgi.conf",
            "+fastcgi_param x",
            "/etc/nginx/sites-enabled/default",
            "PrivateTmp",
        ],
        &[],
        "set -ex; grep '^fastcgi_param *x' /etc/nginx/fastcgi.conf; \
         ! test -e /etc/nginx/sites-enabled/default; systemctl is-active nginx; \
         systemctl show -P PrivateTmp nginx | grep -x yes; nginx -t",
    );
    host.shell("! test -e /etc/nginx && ! systemctl cat nginx");
}

/// What initdb and the cluster's script write is found out by what runs where they run, so the file
/// of the copy is not that of the host. Four settings of it are changed, and its other lines are the
/// host's own.
fn postgresql_is_set_up(release: Release, major: u32) {
    let Some(host) = host_that_can_install(release, &["postgresql"]) else {
        return;
    };
    let conf = format!("/etc/postgresql/{major}/main/postgresql.conf");
    let setting = |key: &str, value: &str| {
        format!(
            "  - key_value: {{path: {conf}, syntax: equals, key: {key}, value: {value}, notify: postgresql@{major}-main}}\n"
        )
    };
    let role = [
        "  - package: {name: postgresql}\n".to_owned(),
        setting("max_connections", "\"37\""),
        setting("shared_buffers", "24MB"),
        setting("log_connections", "\"on\""),
        setting("work_mem", "3MB"),
        format!("  - unit_option: {{unit: postgresql@{major}-main.service, section: Service, option: Nice, value: '5'}}\n"),
        format!("  - service: {{name: postgresql@{major}-main, running: true}}\n"),
    ]
    .concat();
    play(
        &host,
        &role,
        &[
            "install postgresql",
            &conf,
            "-max_connections = 100",
            "+max_connections = 37",
            "+shared_buffers = 24MB",
            "Nice",
        ],
        &["made anew here"],
        &format!(
            "set -ex; systemctl is-active postgresql@{major}-main; \
             say() {{ su postgres -c \"psql -tAc 'show $1'\"; }}; \
             test \"$(say max_connections)\" = 37; test \"$(say shared_buffers)\" = 24MB; \
             test \"$(say log_connections)\" = on; test \"$(say work_mem)\" = 3MB; \
             systemctl show -P Nice postgresql@{major}-main | grep -x 5"
        ),
    );
    host.shell("! test -e /etc/postgresql && ! test -e /var/lib/postgresql/*/main/PG_VERSION");
}

#[test]
fn postgresql_15_is_set_up_in_one_apply() {
    postgresql_is_set_up(Release::Bookworm, 15);
}

#[test]
fn postgresql_17_is_set_up_in_one_apply() {
    postgresql_is_set_up(Release::Trixie, 17);
}
