//! Fetching feeds from a server on this machine that does what servers do: answers, says no,
//! dies halfway, never ends, never begins. What fails leaves the feed of before as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use host::feeds::{
    Accept, Address, FeedError, FeedName, Fetcher, Limits, Source, Taken, add, export, removal,
    remove, update,
};
use jiff::{SignedDuration, Timestamp};
use trust::{Keys, SecretKey};

use crate::bench::{is_root, skip};
use crate::feeds::{Bench, record};

/// Answers by the path that is asked for.
struct Server {
    port: u16,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// Whose connections there were.
    users: Arc<Mutex<Vec<u32>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = listener.local_addr().expect("bound").port();
        let server = Self {
            port,
            files: Arc::default(),
            users: Arc::default(),
        };
        let (files, users) = (Arc::clone(&server.files), Arc::clone(&server.users));
        // They end with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, users) = (Arc::clone(&files), Arc::clone(&users));
                thread::spawn(move || serve(&stream, &files, &users));
            }
        });
        server
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let mut files = self.files.lock().expect("no thread panicked");
        files.insert(format!("/{path}"), bytes.to_vec());
    }
}

/// The user at the other end of a connection on this machine.
fn user_of(stream: &TcpStream) -> Option<u32> {
    let port = stream.peer_addr().ok()?.port();
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let local = format!("0100007F:{port:04X}");
    let line = table.lines().map(str::split_whitespace);
    line.map(Iterator::collect::<Vec<_>>)
        .find(|row| row.get(1) == Some(&&*local))?
        .get(7)?
        .parse()
        .ok()
}

fn serve(
    mut stream: &TcpStream,
    files: &Mutex<BTreeMap<String, Vec<u8>>>,
    users: &Mutex<Vec<u32>>,
) -> Option<()> {
    users.lock().ok()?.extend(user_of(stream));
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    loop {
        let request = lines.next()?;
        let path = request.split(' ').nth(1)?.to_owned();
        while !lines.next()?.is_empty() {}
        match path.as_str() {
            "/dies" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf";
                stream.write_all(head.as_bytes()).ok()?;
                return stream.shutdown(std::net::Shutdown::Both).ok();
            }
            "/endless" => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).ok()?;
                let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
                loop {
                    stream.write_all(chunk.as_bytes()).ok()?;
                }
            }
            // Says nothing, until whoever asked has gone.
            "/silent" => {
                return std::io::copy(&mut stream.take(1 << 20), &mut std::io::sink())
                    .ok()
                    .map(drop);
            }
            path => {
                let file = files.lock().ok()?.get(path).cloned();
                let (status, body) = match file {
                    Some(body) => ("200 OK", body),
                    None => ("404 Not Found", b"no".to_vec()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).ok()?;
                stream.write_all(&body).ok()?;
            }
        }
    }
}

/// Each fetcher that this machine has.
fn each(test: impl Fn(Fetcher)) {
    for fetcher in [Fetcher::AptHelper, Fetcher::Curl] {
        match fetcher.path().is_file() {
            true => test(fetcher),
            false => skip(&format!("there is no {}", fetcher.path().display())),
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("in range")
}

fn name() -> FeedName {
    FeedName::new("test").expect("a name")
}

fn remember(bench: &Bench, url: &str) {
    let address = Address::parse(url, false).expect("a good address");
    add(&bench.feeds(), &name(), &address, false, false, now()).expect("room");
}

fn fetch(
    bench: &Bench,
    fetcher: Fetcher,
    accept: &Accept,
    limits: Limits,
) -> Result<Taken, FeedError> {
    let mut all = Vec::new();
    update(
        &bench.feeds(),
        &[],
        accept,
        Some(fetcher),
        limits,
        &now,
        &mut |updated| all.push(updated.outcome),
    )
    .expect("what is remembered can be read");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn source(bench: &Bench) -> Source {
    let mut sources = bench.feeds().records().expect("ours").sources;
    sources.remove("test").expect("it was added")
}

/// Folders that fetchers were given and that are still there.
fn rooms() -> Vec<PathBuf> {
    let entries = fs::read_dir("/var/tmp").into_iter().flatten().flatten();
    let ours = |path: &PathBuf| path.to_string_lossy().contains("/steadfast-fetch-");
    let mut rooms: Vec<_> = entries.map(|entry| entry.path()).filter(ours).collect();
    rooms.sort();
    rooms
}

#[test]
fn what_a_server_has_becomes_a_feed_without_roots_rights() {
    each(|fetcher| {
        let (server, bench) = (Server::start(), Bench::new());
        server.put("a.json", &record("CVE-2026-0001"));
        remember(&bench, &server.url("a.json"));
        let limits = Limits::default();
        let taken = fetch(&bench, fetcher, &Accept::default(), limits).expect("it is there");
        let Taken::Feed(imported) = taken else {
            panic!("{taken:?}");
        };
        assert_eq!(imported.feed.counts.advisories, 1);
        let source = source(&bench);
        assert_eq!(source.last_update, Some(now()));
        assert_eq!(
            (source.last_failure, source.feeds),
            (None, vec!["test".to_owned()])
        );
        let records = bench.feeds().records().expect("ours");
        assert_eq!(records.feeds["test"].source.as_deref(), Some("test"));
        if is_root() {
            let users = server.users.lock().expect("no thread panicked");
            assert!(!users.is_empty() && !users.contains(&0), "{users:?}");
        }
    });
}

#[test]
fn what_fails_is_remembered_and_leaves_the_feed_of_before() {
    each(|fetcher| {
        let (server, bench) = (Server::start(), Bench::new());
        server.put("a.json", &record("CVE-2026-0001"));
        server.put("page.html", b"<html>sign in here</html>");
        server.put("large.json", &[b' '; 2 << 20]);
        remember(&bench, &server.url("a.json"));
        let keep = Limits {
            size_bytes: 1 << 20,
            ..Limits::default()
        };
        fetch(&bench, fetcher, &Accept::default(), keep).expect("it is there");
        let index = bench.path("state/feeds/test.idx");
        let before = fs::read(&index).expect("imported");
        let short = Limits {
            time: Duration::from_secs(2),
            ..keep
        };
        let closed = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = closed.local_addr().expect("bound").port();
        drop(closed);
        for (url, limits, expected) in [
            (server.url("none.json"), keep, "404"),
            (server.url("dies"), keep, ""),
            (server.url("endless"), keep, "larger than 1.0 MB"),
            (server.url("large.json"), keep, ""),
            (server.url("silent"), short, ""),
            (server.url("page.html"), keep, "holds no advisory"),
            (format!("http://127.0.0.1:{port}/"), keep, ""),
            ("file:///nowhere/at/all".to_owned(), keep, "nowhere"),
        ] {
            remember(&bench, &url);
            let began = Instant::now();
            let error = fetch(&bench, fetcher, &Accept::default(), limits).expect_err(&url);
            let why = error.to_string();
            assert!(why.contains(expected), "{fetcher:?} {url}: {why}");
            assert!(why.len() < 600, "{why}");
            let took = began.elapsed();
            assert!(
                took < Duration::from_secs(15),
                "{fetcher:?} {url}: {took:?}"
            );
            let source = source(&bench);
            let failed = source.failing().expect("it is remembered");
            assert_eq!((failed.at, &failed.why), (now(), &why));
            assert_eq!(fs::read(&index).expect("kept"), before, "{url}");
            let left = fs::read_dir(bench.path("state/feeds")).expect("ours");
            assert_eq!(left.count(), 4, "{url}: nothing half-done is left");
        }
    });
}

#[test]
fn a_server_is_not_believed_where_keys_are() {
    each(|fetcher| {
        let (server, bench) = (Server::start(), Bench::new());
        let secret = SecretKey::from_random(&[1; 32]);
        let accept = Accept {
            keys: Some(Keys::new([secret.public()], 1).expect("one key")),
            unsigned: false,
        };
        let from = Bench::new();
        let file = from.file("a.json", &record("CVE-2026-0001"));
        from.import(&file).expect("a good feed");
        let path = from.path("feeds.bundle");
        let month = SignedDuration::from_hours(24 * 30);
        export(&from.feeds(), &path, &[], &[secret], "a test", now(), month).expect("good");
        server.put("feeds.bundle", &fs::read(&path).expect("ours"));
        server.put("a.json", &record("CVE-2026-0001"));
        remember(&bench, &server.url("feeds.bundle"));
        let limits = Limits::default();
        let taken = fetch(&bench, fetcher, &accept, limits).expect("a signed bundle");
        assert!(matches!(taken, Taken::Bundle(_)), "{taken:?}");
        assert_eq!(source(&bench).feeds, ["test"]);
        // The server hands out something else, under the same address or another.
        server.put("feeds.bundle", &record("CVE-2026-0001"));
        let error = fetch(&bench, fetcher, &accept, limits).expect_err("not signed");
        assert!(matches!(error, FeedError::NotSigned { .. }), "{error}");
    });
}

#[test]
fn a_file_of_this_host_needs_no_fetcher() {
    let bench = Bench::new();
    let file = bench.file("a.json", &record("CVE-2026-0001"));
    remember(&bench, &format!("file://{}", file.display()));
    let limits = Limits::default();
    fetch(&bench, Fetcher::Curl, &Accept::default(), limits).expect("it is there");
    let error = update(
        &bench.feeds(),
        &[FeedName::new("other").expect("a name")],
        &Accept::default(),
        None,
        limits,
        &now,
        &mut |_| panic!("nothing is fetched"),
    );
    assert!(matches!(error, Err(FeedError::NoSource(_))), "{error:?}");
}

/// A feed and the address that brought it go by themselves, and each says what hangs on it; the
/// memory of the newest bundle stays.
#[test]
fn a_feed_and_its_address_are_removed() {
    let (from, bench) = (Bench::new(), Bench::new());
    let secret = SecretKey::from_random(&[1; 32]);
    let accept = Accept {
        keys: Some(Keys::new([secret.public()], 1).expect("one key")),
        unsigned: false,
    };
    from.import(&from.file("a.json", &record("CVE-2026-0001")))
        .expect("a good feed");
    let path = from.path("feeds.bundle");
    let month = SignedDuration::from_hours(24 * 30);
    export(&from.feeds(), &path, &[], &[secret], "a test", now(), month).expect("good");
    let all = FeedName::new("all").expect("a name");
    let address = Address::parse(&format!("file://{}", path.display()), false);
    let address = address.expect("a good address");
    add(&bench.feeds(), &all, &address, false, false, now()).expect("room");
    let limits = Limits::default();
    fetch(&bench, Fetcher::Curl, &accept, limits).expect("a signed bundle");
    let feeds = bench.feeds();
    let of_feed = removal(&feeds, &name()).expect("it is there");
    assert!(of_feed.feed && of_feed.address.is_none());
    assert_eq!(of_feed.comes_again_from.as_deref(), Some("all"));
    let of_address = remove(&feeds, &all).expect("it is there");
    assert!(!of_address.feed && of_address.address.is_some());
    assert_eq!(of_address.not_updated, ["test"]);
    assert_eq!(feeds.names().expect("ours"), [name()]);
    let seen = feeds.records().expect("ours").seen;
    let removed = remove(&feeds, &name()).expect("it is there");
    assert_eq!((removed.feed, removed.comes_again_from), (true, None));
    assert!(feeds.names().expect("ours").is_empty());
    let records = feeds.records().expect("ours");
    assert!(records.feeds.is_empty() && records.sources.is_empty());
    assert_eq!(
        records.seen, seen,
        "an older bundle is refused all the same"
    );
    assert!(!seen.is_empty());
    let documents = fs::read_dir(bench.path("state/feeds"))
        .expect("ours")
        .flatten();
    let documents =
        documents.filter(|entry| entry.file_name().to_string_lossy().ends_with("documents"));
    assert_eq!(documents.count(), 0);
    let again = remove(&feeds, &name());
    assert!(matches!(again, Err(FeedError::NoFeed(_))), "{again:?}");
}

#[test]
fn no_folder_of_a_fetcher_is_left() {
    // Other tests have theirs meanwhile: those of this one are looked for by what is new and old.
    let before = rooms();
    each(|fetcher| {
        let (server, bench) = (Server::start(), Bench::new());
        remember(&bench, &server.url("dies"));
        let limits = Limits::default();
        fetch(&bench, fetcher, &Accept::default(), limits).expect_err("it dies");
    });
    // Whatever others made is gone in the end; a leak of ours never goes.
    let ends = Instant::now() + Duration::from_secs(60);
    while rooms().iter().any(|room| !before.contains(room)) {
        assert!(Instant::now() < ends, "{:?}", rooms());
        thread::yield_now();
    }
}

#[test]
fn addresses() {
    for (url, insecure, expected) in [
        ("https://example.org/a/b.json?x=1", false, None),
        ("https://example.org:8443/", false, None),
        ("https://[2001:db8::1]:8443/a", false, None),
        ("http://127.0.0.1:80/a", false, None),
        ("http://127.8.9.1/a", false, None),
        ("http://[::1]/a", false, None),
        ("http://localhost:1/a", false, None),
        ("file:///srv/feeds/a.json", false, None),
        ("http://example.org/a", true, None),
        ("http://example.org/a", false, Some("anybody on the way")),
        (
            "http://localhost.example.org/",
            false,
            Some("anybody on the way"),
        ),
        (
            "http://127.0.0.1.example.org/",
            false,
            Some("anybody on the way"),
        ),
        (
            "http://127.0.0.1@example.org/",
            false,
            Some("name or password"),
        ),
        (
            "https://ana:secret@example.org/",
            false,
            Some("name or password"),
        ),
        ("https:///a", false, Some("no host")),
        ("https://:80/a", false, Some("no host")),
        ("https://example.org:port/", false, Some("no host")),
        ("https://[::1/", false, Some("no host")),
        ("example.org/a", false, Some("no scheme")),
        ("ftp://example.org/a", true, Some("only https:")),
        ("cdrom:[x]/a", true, Some("no scheme")),
        ("HTTPS://example.org/", false, Some("only https:")),
        ("file://host/a", false, Some("file:///PATH")),
        ("file:///a%20b", false, Some("file:///PATH")),
        ("https://example.org/a b", false, Some("percent-encode")),
        ("https://example.org/a\nb", false, Some("percent-encode")),
        ("https://example.org/a#b", false, Some("percent-encode")),
        ("--help", false, Some("no scheme")),
        ("", false, Some("no scheme")),
    ] {
        let why = Address::parse(url, insecure).err();
        let why = why.map(|error| error.to_string());
        match (&why, expected) {
            (None, None) => {}
            (Some(why), Some(expected)) if why.contains(expected) => {}
            _ => panic!("{url}: {why:?}"),
        }
    }
    let long = format!("https://example.org/{}", "a".repeat(3000));
    assert!(Address::parse(&long, false).is_err());
}
