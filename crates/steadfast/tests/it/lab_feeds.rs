//! Feeds on booted hosts: fetched there by the release's own apt, without root's rights, and
//! carried to a second host that has keys and no network.

use lab::{Options, Release};

use crate::booted::{Host, LIMIT};
use crate::vulns::record;

/// Serves /srv/feeds on port 8080, with what a minimal Debian has, and writes down the users of
/// those who ask for a file.
const SERVER: &str = r#"
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 8080, Listen => 8, ReuseAddr => 1) or die;
open(my $users, '>>', '/srv/users'); $users->autoflush(1);
while (my $peer = $server->accept()) {
  my ($path) = (<$peer> // '') =~ m{^GET /([a-z.]+) } or next;
  my $port = sprintf('0100007F:%04X', $peer->peerport);
  open(my $table, '<', '/proc/net/tcp');
  while (<$table>) { my @row = split; print $users "$row[7]\n" if $row[1] eq $port; }
  while (<$peer>) { last if /^\r?\n$/ }
  if (open(my $file, '<', "/srv/feeds/$path")) {
    local $/; my $body = <$file>;
    print $peer "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n" . $body;
  } else {
    print $peer "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  }
  close($peer);
}
"#;

fn fetched_and_carried(release: Release) {
    let Some(host) = Host::on(release, Options::default()) else {
        return;
    };
    host.shell("mkdir -p /srv/feeds");
    host.write("/srv/feeds/a.json", record("CVE-2026-0001", None, ""));
    host.write("/srv/server.pl", SERVER);
    host.shell("systemd-run --quiet --unit feeds perl /srv/server.pl");
    let asks = "perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(\"127.0.0.1:8080\")'";
    host.wait_for(asks, LIMIT);
    host.steadfast(&["feed", "add", "debian", "http://127.0.0.1:8080/a.json"])
        .expect(0, &["added"]);
    host.steadfast(&["feed", "update"]).expect(0, &["imported"]);
    let users = host.shell("sort -u /srv/users");
    let sandbox = host.shell("id -u _apt");
    assert_eq!(users.trim(), sandbox.trim(), "nothing of it ran as root");
    host.shell("rm /srv/feeds/a.json");
    host.steadfast(&["feed", "update"])
        .expect(3, &["failed", "404", "its feed is as it was"]);
    host.steadfast(&["feed", "list", "--max-age", "60000"])
        .expect(0, &["1 advisory", "404"]);
    assert_eq!(
        host.shell("ls /var/tmp | grep -c steadfast || true").trim(),
        "0"
    );
    // To a host that believes one key.
    host.steadfast(&["feed", "key", "/root/ana.pem"])
        .expect(0, &["/root/ana.pub.pem"]);
    host.steadfast(&[
        "feed",
        "export",
        "/root/feeds.bundle",
        "--key",
        "/root/ana.pem",
    ])
    .expect(0, &["exported"]);
    let Some(other) = Host::on(release, Options::default()) else {
        return;
    };
    let carry = |from: &str, to: &str| {
        let text = host.shell(&format!("base64 -w0 {from}"));
        other.write("/root/carried", text);
        other.shell(&format!("base64 -d /root/carried > {to}"));
    };
    carry("/root/feeds.bundle", "/root/feeds.bundle");
    let import = ["feed", "import", "/root/feeds.bundle"];
    other.steadfast(&import).expect(2, &["no key is trusted"]);
    other.shell("mkdir -p -m 755 /etc/steadfast/feed-keys");
    carry("/root/ana.pub.pem", "/etc/steadfast/feed-keys/ana.pem");
    other.steadfast(&import).expect(0, &["signed", "imported"]);
    other.shell("chmod 777 /etc/steadfast/feed-keys");
    other
        .steadfast(&import)
        .expect(2, &["may be written by others"]);
}

#[test]
fn on_bookworm_a_feed_is_fetched_and_carried() {
    fetched_and_carried(Release::Bookworm);
}

#[test]
fn on_trixie_a_feed_is_fetched_and_carried() {
    fetched_and_carried(Release::Trixie);
}

/// Answers of a server, with their headers, on https port 8443, for names that a CA of its own
/// vouches for.
const HTTPS: &str = r#"set -e
mkdir -p /srv/tls /srv/answers; cd /srv/tls
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=lab-ca -days 2 -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=feeds.test -keyout key.pem -out request.pem 2>/dev/null
printf 'subjectAltName=DNS:feeds.test
' > names
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem 2>/dev/null
printf '127.0.0.1 feeds.test other.test
' >> /etc/hosts
cd /srv/answers
printf 'HTTP/1.1 200 OK
Connection: close
Content-Length: %s

' "$(stat -c %s /srv/a.json)" > a.json
cat /srv/a.json >> a.json
printf 'HTTP/1.1 302 Found
Connection: close
Location: http://127.0.0.1:8080/a.json
Content-Length: 0

' > away.json
systemd-run --quiet --unit https --working-directory /srv/answers openssl s_server -quiet -accept 127.0.0.1:8443 -cert /srv/tls/cert.pem -key /srv/tls/key.pem -HTTP
systemd-run --quiet --unit feeds perl /srv/server.pl
"#;

/// Whom the host does not trust is not believed, and there is no way from https to http.
#[test]
fn a_feed_comes_over_https_from_whom_the_host_trusts() {
    let Some(host) = Host::on(Release::Trixie, Options::default()) else {
        return;
    };
    host.shell("mkdir -p /srv/feeds");
    host.write("/srv/feeds/a.json", record("CVE-2026-0001", None, ""));
    host.write("/srv/a.json", record("CVE-2026-0002", None, ""));
    host.write("/srv/server.pl", SERVER);
    host.shell(HTTPS);
    for port in [8080, 8443] {
        let asks = format!(
            "perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(\"127.0.0.1:{port}\")'"
        );
        host.wait_for(&asks, LIMIT);
    }
    let add = |name: &str, url: &str| {
        host.steadfast(&["feed", "add", name, url])
            .expect(0, &["added"]);
    };
    let update = ["feed", "update"];
    let list = ["feed", "list", "--max-age", "60000"];
    add("debian", "https://feeds.test:8443/a.json");
    host.steadfast(&update)
        .expect(3, &["failed", "certificate", "its feed is as it was"]);
    host.shell(
        "cp /srv/tls/ca.pem /usr/local/share/ca-certificates/lab.crt && update-ca-certificates >/dev/null 2>&1",
    );
    host.steadfast(&update).expect(0, &["imported"]);
    host.steadfast(&["feed", "remove", "debian", "--yes"])
        .expect(0, &[]);
    // The certificate is another host's.
    add("other", "https://other.test:8443/a.json");
    host.steadfast(&update)
        .expect(3, &["failed", "its feed is as it was"]);
    host.steadfast(&["feed", "remove", "other", "--yes"])
        .expect(0, &[]);
    add("away", "https://feeds.test:8443/away.json");
    host.steadfast(&update)
        .expect(3, &["failed", "its feed is as it was"]);
    let said = host.steadfast(&list);
    let said = said.expect(3, &["away", "updated never", "is forbidden"]);
    assert!(!said.out.contains("CVE-2026-0001"), "{said}");
    let users = host.shell("cat /srv/users");
    assert!(users.is_empty(), "asked over http: {users}");
}
