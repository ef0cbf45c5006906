//! The README's example of a role, on a booted host: nginx is installed, configured and kept
//! running; a second apply does nothing; undo brings the host back.

use lab::Release;

use crate::booted::{Host, POLICY, differences, listed};
use crate::packages::host_that_can_install;

/// As in the README, word for word.
const WEB: &str = r#"role: web
params: {server_name: {type: string}}
want:
  - package: {name: nginx}
  - template: {path: /etc/nginx/conf.d/site.conf, source: site.conf.j2, mode: "0644", notify: nginx}
  - service: {name: nginx, enabled: true, running: true}
"#;

const SITE: &str = "server {\n  listen 8080;\n  server_name {{ server_name }};\n  return 200 \"from {{ server_name }}\\n\";\n}\n";

const SELECTED: [&str; 4] = ["--role", "web", "--param", "server_name=example.org"];

fn with<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[verb], &SELECTED[..], more].concat()
}

fn answer(host: &Host) -> String {
    host.shell(
        "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; \
         printf \"GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n\" >&3; cat <&3'",
    )
}

#[test]
fn the_role_of_the_readme_is_put_in_place_and_taken_back() {
    let readme = include_str!("../../../../README.md");
    assert!(readme.contains(WEB), "the README has another example");
    let Some(host) = host_that_can_install(Release::Bookworm, &["nginx"]) else {
        return;
    };
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    host.write(&format!("{POLICY}/roles/web.yaml"), WEB);
    host.write(&format!("{POLICY}/roles/site.conf.j2"), SITE);
    let before = host.snapshot();

    host.steadfast(&with("plan", &[]))
        .expect(1, &["nginx", "/etc/nginx/conf.d/site.conf", "example.org"]);
    host.steadfast(&with("apply", &["--yes"]))
        .expect(0, &["is in effect"]);
    assert!(
        answer(&host).contains("from example.org"),
        "{}",
        answer(&host)
    );
    host.shell("systemctl is-enabled nginx && nginx -t");

    let done = host.snapshot();
    host.steadfast(&with("apply", &["--yes"]))
        .expect(0, &["nothing to do"]);
    host.expect_same(&done);

    // A mistake in the template is seen by nginx before anything is put in place.
    host.write(
        &format!("{POLICY}/roles/site.conf.j2"),
        SITE.replace("server_name {{", "servr_name {{"),
    );
    host.steadfast(&with("apply", &["--yes"])).expect(
        4,
        &["nginx -t", "unknown directive", "servr_name", "site.conf:3"],
    );
    // What nginx itself refuses when it is told is not in effect: the port is another's.
    host.write(
        "/etc/systemd/system/taken.socket",
        "[Socket]\nListenStream=0.0.0.0:6379\n",
    );
    host.write(
        "/etc/systemd/system/taken.service",
        "[Service]\nExecStart=/usr/bin/sleep infinity\n",
    );
    host.shell("systemctl daemon-reload && systemctl start taken.socket");
    host.write(
        &format!("{POLICY}/roles/site.conf.j2"),
        SITE.replace("listen 8080;", "listen 8080;\n  listen 6379;"),
    );
    host.steadfast(&with("apply", &["--yes"])).expect(
        4,
        &[
            "have `nginx.service` take it",
            "bind() to 0.0.0.0:6379 failed",
            "1 of 1 file",
        ],
    );
    // Where it writes no log, its workers tell.
    host.shell(
        "cp -p /etc/nginx/nginx.conf /root/kept; \
         sed -i 's#^error_log .*#error_log /dev/null emerg;#' /etc/nginx/nginx.conf; \
         grep -q /dev/null /etc/nginx/nginx.conf; systemctl restart nginx",
    );
    host.steadfast(&with("apply", &["--yes"])).expect(
        4,
        &["have `nginx.service` take it", "none of its workers is new"],
    );
    host.shell(
        "systemctl stop taken.socket; rm /etc/systemd/system/taken.*; \
         mv /root/kept /etc/nginx/nginx.conf; systemctl daemon-reload; systemctl restart nginx",
    );
    host.write(&format!("{POLICY}/roles/site.conf.j2"), SITE);
    assert!(answer(&host).contains("from example.org"));

    // The last one was taken back already.
    let said = host.steadfast(&["undo", "c-2", "--yes"]).expect(1, &[]);
    let told = format!("{}{}", said.out, said.err);
    for named in ["/var/log/nginx", "undo c-2 --accept-data-loss"] {
        assert!(told.contains(named), "{named}: {said}");
    }
    host.shell("test -s /var/log/nginx/access.log");
    host.steadfast(&["undo", "c-2", "--yes", "--accept-data-loss"])
        .expect(0, &[]);
    host.shell("! test -e /var/log/nginx");
    // The package manager's own records, and the page that nginx's own script puts there at
    // its first start and that no removal takes away (nginx-common's postinst).
    let records = [
        "/var/www",
        "/var/cache",
        "/var/lib/apt",
        "/var/lib/dpkg",
        "/etc/ld.so.cache",
        POLICY,
    ];
    let mut left = differences(&before, &host.snapshot());
    left.retain(|left| !records.iter().any(|top| left.path.starts_with(top)));
    left.retain(|left| !left.is_only_mtime());
    assert!(left.is_empty(), "{}", listed(&left));
    host.shell("! test -e /usr/sbin/nginx && ! dpkg -s nginx 2>/dev/null | grep -q 'ok installed'");
}

/// The program comes with the packages, so it is asked on the copy that has them: what it refuses is
/// known before anything is installed, and costs its own role.
#[test]
fn what_nginx_refuses_is_known_before_it_is_installed() {
    let Some(host) = host_that_can_install(Release::Bookworm, &["nginx"]) else {
        return;
    };
    host.steadfast(&["recover", "--install"]).expect(0, &[]);
    let site = |port: &str| {
        format!(
            "  - package: {{name: nginx}}
  - user: {{name: webber}}
  - directory: {{path: /srv/site}}
  - file: {{path: /etc/nginx/sites-available/site.conf, content: \"server {{ {port}; access_log /srv/site/log; }}\\n\", notify: nginx}}
  - link: {{path: /etc/nginx/sites-enabled/site.conf, target: /etc/nginx/sites-available/site.conf, notify: nginx}}
  - link: {{path: /etc/nginx/sites-enabled/default, absent: true, notify: nginx}}
  - key_value: {{path: /etc/nginx/nginx.conf, syntax: space, key: user, value: webber;, notify: nginx}}
  - service: {{name: nginx, enabled: true, running: true}}
"
        )
    };
    let hardening = "  - file: {path: /etc/nginx/conf.d/hardening.conf, content: \"server_tokenz off;\\n\", notify: nginx}\n";
    host.role("web", &format!("{}{hardening}", site("listen 8080")));
    host.role("linked", &site("listn 8080"));
    host.role("good", &site("listen 8080"));
    host.role(
        "beside",
        "  - file: {path: /etc/beside, content: \"x\\n\"}\n",
    );
    for (role, named) in [
        ("web", "/etc/nginx/conf.d/hardening.conf:1"),
        ("linked", "/etc/nginx/sites-enabled/site.conf:1"),
    ] {
        let refused = ["nginx -t refuses the new configuration", named];
        host.steadfast(&["plan", "--role", role])
            .expect(1, &refused)
            .expect(
                1,
                &["nothing can be done", "all that the role wants is left out"],
            );
        host.steadfast(&["apply", "--role", role, "--role", "beside", "--yes"])
            .expect(1, &refused);
        host.shell("test -s /etc/beside; ! test -e /usr/sbin/nginx && ! test -e /etc/nginx");
        host.steadfast(&["undo", "last", "--yes"]).expect(0, &[]);
    }
    // It names an account, a directory and a link that are made only after the packages.
    let said = host.steadfast(&["plan", "--role", "good"]);
    let said = said.expect(1, &["install nginx"]);
    assert!(!said.out.contains("left out"), "{said}");
    host.steadfast(&["apply", "--role", "good", "--yes"])
        .expect(0, &["is in effect"]);
    host.shell("ps -o user= -C nginx | grep -q webber && test -e /srv/site/log");
}
