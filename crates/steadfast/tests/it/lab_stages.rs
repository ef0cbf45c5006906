//! "Package, its configuration file, its service" with packages of Debian, in one apply on a fresh
//! host: files that the package brings are edited, its units get drop-ins, its default site goes.

use lab::Release;

use crate::booted::Host;
use crate::packages::host_that_can_install;

#[track_caller]
fn play(host: &Host, role: &str, planned: &[&str], looks: &str) {
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.role("one", role);
    let accounts = host.shell("getent passwd; getent group");
    host.steadfast(&["plan", "--role", "one", "--output", "/run/plan.json"])
        .expect(1, planned);
    host.steadfast(&["apply", "/run/plan.json", "--yes"])
        .expect(0, &["is in effect"]);
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
        "set -ex; grep '^fastcgi_param *x' /etc/nginx/fastcgi.conf; \
         ! test -e /etc/nginx/sites-enabled/default; systemctl is-active nginx; \
         systemctl show -P PrivateTmp nginx | grep -x yes; nginx -t",
    );
    host.shell("! test -e /etc/nginx && ! systemctl cat nginx");
}
