//! "Package, its configuration file, its service" with packages of Debian, in one apply on a fresh
//! host: files that the package brings are edited, its units get drop-ins, its default site goes.

use lab::Release;

use crate::booted::{APPLY_KEPT, Host};
use crate::lab_patch::expect_same;
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
    host.shell("test -z \"$(dpkg --audit)\"");
    // Logs were written as an account of the package's: it may stay, and nothing else does.
    let left = host.shell("getent passwd; getent group");
    let known: Vec<&str> = accounts.lines().collect();
    let new = left.lines().filter(|line| !known.contains(line));
    let new = new.count();
    assert!(new <= 2, "{left}");
    undone.expect(i32::from(new > 0), &["undone"]);
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

/// A key and a certificate that are made anew each time: their rights are changed, and one of them is
/// written as a whole, whatever the script made.
#[test]
fn ssl_cert_makes_its_key_anew() {
    let Some(host) = host_that_can_install(Release::Bookworm, &["ssl-cert"]) else {
        return;
    };
    play(
        &host,
        "  - package: {name: ssl-cert}
  - file: {path: /etc/ssl/private/ssl-cert-snakeoil.key, mode: '0600', owner: root, group: root}
  - file: {path: /etc/ssl/certs/ssl-cert-snakeoil.pem, content: \"ours\\n\"}
",
        &[
            "install ssl-cert",
            "/etc/ssl/private/ssl-cert-snakeoil.key: mode 0640",
            "/etc/ssl/certs/ssl-cert-snakeoil.pem",
            "+ours",
        ],
        // The certificate, and the key too where it comes out a few bytes longer or shorter.
        &[" made anew here: the same lines change as shown"],
        "set -ex; stat -c %a:%U:%G /etc/ssl/private/ssl-cert-snakeoil.key | grep -x 600:root:root; \
         grep -x ours /etc/ssl/certs/ssl-cert-snakeoil.pem; \
         openssl rsa -noout -check -in /etc/ssl/private/ssl-cert-snakeoil.key",
    );
    host.shell("! test -e /etc/ssl/private/ssl-cert-snakeoil.key && ! getent group ssl-cert");
}

/// Its keys are made anew, `sshd -T` is asked on the copy, and both kinds of edits are made to a file
/// that its script puts there.
#[test]
fn openssh_server_is_set_up_before_it_is_there() {
    let Some(host) = host_that_can_install(
        Release::Bookworm,
        &["openssh-client", "openssh-server", "openssh-sftp-server"],
    ) else {
        return;
    };
    host.shell("apt-get -qq -y purge openssh-server openssh-sftp-server; rm -rf /etc/ssh/ssh_host_* /etc/ssh/sshd_config*; ! test -e /usr/sbin/sshd");
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.role(
        "ssh",
        "  - package: {name: openssh-server}
  - sshd: {option: PermitRootLogin, value: 'no'}
  - sshd: {option: X11Forwarding, value: 'no'}
  - key_value: {path: /etc/ssh/sshd_config, syntax: space, key: ClientAliveInterval, value: '300', notify: ssh}
  - service: {name: ssh, enabled: true, running: true}
",
    );
    let before = host.snapshot();
    host.steadfast(&["plan", "--role", "ssh", "--output", "/run/plan.json"])
        .expect(
            1,
            &[
                "install openssh-server",
                "+PermitRootLogin no",
                "+X11Forwarding no",
                "+ClientAliveInterval 300",
            ],
        );
    expect_same(&host, &before);
    host.steadfast_confirmed(
        &["apply", "/run/plan.json", "--yes", "--detach"],
        APPLY_KEPT,
    )
    .expect(0, &[]);
    host.shell(
        "set -ex; systemctl is-active ssh; test -e /etc/ssh/ssh_host_ed25519_key; \
         sshd -T | grep -x 'permitrootlogin no'; sshd -T | grep -x 'x11forwarding no'; \
         sshd -T | grep -x 'clientaliveinterval 300'",
    );
    host.steadfast(&["apply", "--role", "ssh", "--yes"])
        .expect(0, &["nothing to do"]);
    let undo = ["undo", "last", "--yes", "--detach"];
    host.steadfast_confirmed(&undo, "undone").expect(0, &[]);
    host.shell("! test -e /usr/sbin/sshd && ! test -e /etc/ssh/ssh_host_ed25519_key && ! test -e /etc/ssh/sshd_config");
}
