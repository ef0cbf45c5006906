//! `steadfast feed` with keys, bundles and addresses, run as a person runs it: what is on the
//! two streams, and the exit code.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Output;

use crate::vulns::{Bench, record};

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// Runs it, and checks its exit code and something that it says.
fn check(bench: &Bench, args: &[&str], code: i32, expected: &str) -> String {
    let output = bench.run(args);
    // Lines are broken where they are too long.
    let said = text(&output);
    let flat = said.split_whitespace().filter(|word| *word != "│");
    let flat = flat.collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(flat.contains(expected), "{args:?}: {said}");
    said
}

#[test]
fn a_bundle_goes_from_one_host_to_another() {
    let (from, to) = (Bench::new("bundle-from"), Bench::new("bundle-to"));
    from.feeds(&[record("CVE-2026-0001", Some("3.0.11-1"), "")]);
    let key = from.path("ana.pem");
    let public = from.path("ana.pub.pem");
    let said = check(&from, &["feed", "key", &key], 0, "it goes to the hosts");
    assert!(said.contains(&public), "{said}");
    check(&from, &["feed", "key", &key], 2, "cannot create");
    let bundle = from.path("feeds.bundle");
    let export = ["feed", "export", &bundle, "--key", &key];
    check(&from, &export, 0, "exported");
    check(
        &from,
        &[&export[..], &["none"]].concat(),
        2,
        "there is no feed `none`",
    );
    check(
        &from,
        &[&export[..], &["--expires", "400d"]].concat(),
        2,
        "1d to 366d",
    );
    let import = ["feed", "import", &bundle];
    let keys = to.path("keys");
    let in_folder = [&import[..], &["--keys", &keys]].concat();
    check(
        &to,
        &in_folder,
        2,
        "is a signed bundle, and no key is trusted",
    );
    let trusted = [&import[..], &["--trust", &public]].concat();
    let twice = [&trusted[..], &["--trust", &public, "--threshold", "2"]].concat();
    check(&to, &twice, 2, "a threshold of 2 can't be reached with 1");
    check(&to, &trusted, 0, "signed");
    check(&to, &["feed", "list", "--max-age", "60000"], 0, "signed");
    let listed = to.json(&["feed", "list", "--max-age", "60000"]);
    let origin = &listed["feeds"][0]["origin"];
    assert!(
        origin["bundle"]["by"]
            .as_str()
            .expect("text")
            .starts_with("steadfast ")
    );
    // In the folder, it is trusted for good, and what nobody signed is not taken any more.
    fs::create_dir(&keys).expect("ours");
    fs::copy(&public, format!("{keys}/ana.pem")).expect("ours");
    check(&to, &in_folder, 0, "imported");
    let feed = from.path("feed");
    let unsigned = ["feed", "import", &feed, "--name", "all", "--keys", &keys];
    check(
        &to,
        &unsigned,
        2,
        "is not signed, and only what is signed is taken here",
    );
    check(
        &to,
        &[&unsigned[..], &["--unsigned"]].concat(),
        0,
        "imported",
    );
    // Somebody else's key.
    let other = to.path("bob.pem");
    check(&to, &["feed", "key", &other], 0, "id");
    let other = to.path("bob.pub.pem");
    let said = check(
        &to,
        &[&import[..], &["--trust", &other]].concat(),
        1,
        "0 of its 1 signatures",
    );
    assert!(said.contains("nothing was changed"), "{said}");
    // He looks at what she signed, and signs it as well.
    let bob = to.path("bob.pem");
    let sign = ["feed", "sign", &bundle, "--key", &bob];
    let none = to.path("none");
    check(
        &to,
        &[&sign[..], &["--keys", &none]].concat(),
        2,
        "no key is trusted",
    );
    let signing = |key: &str, code: i32, expected: &str| {
        check(
            &to,
            &[&sign[..], &["--trust", key]].concat(),
            code,
            expected,
        )
    };
    let said = signing(&other, 1, "0 of its 1 signatures");
    assert!(said.contains("nothing was changed"), "{said}");
    let said = signing(&public, 0, "checked");
    assert!(said.contains("all (") && said.contains("signed"), "{said}");
    signing(&public, 2, "signed it before");
    let two = [&trusted[..], &["--trust", &other, "--threshold", "2"]].concat();
    check(&to, &two, 0, "imported");
    let value = to.json(&trusted);
    assert_eq!(value["feeds"][0]["name"], "all");
    assert_eq!(
        value["bundle"]["signed_by"].as_array().expect("keys").len(),
        1
    );
}

#[test]
fn an_address_is_added_asked_and_listed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let port = listener.local_addr().expect("bound").port();
    let body = record("CVE-2026-0001", None, "");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            let request = lines.next().and_then(Result::ok).unwrap_or_default();
            while lines
                .next()
                .and_then(Result::ok)
                .is_some_and(|line| !line.is_empty())
            {}
            let (status, body) = match request.contains("/a.json") {
                true => ("200 OK", &*body),
                false => ("404 Not Found", ""),
            };
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close");
            // Whoever asked may have gone.
            let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
        }
    });
    let bench = Bench::new("address");
    let url = format!("http://127.0.0.1:{port}/a.json");
    let none = format!("http://127.0.0.1:{port}/none.json");
    let keys = bench.path("keys");
    let update = ["feed", "update", "--keys", &keys];
    check(&bench, &update, 2, "no address of a feed was added yet");
    let far = "http://example.org/a";
    check(&bench, &["feed", "add", "far", far], 2, "--insecure-http");
    check(
        &bench,
        &["feed", "add", "Far", far],
        2,
        "can't be a feed's name",
    );
    check(
        &bench,
        &["feed", "add", "near", &none],
        0,
        "steadfast feed update near",
    );
    check(&bench, &["feed", "list"], 3, "never");
    check(&bench, &update, 3, "404");
    check(&bench, &["feed", "list"], 3, "404");
    check(
        &bench,
        &["feed", "add", "near", &url],
        0,
        "instead of the address of before",
    );
    check(&bench, &update, 0, "imported near: 1 advisory");
    let max_age = ["feed", "list", "--max-age", "60000"];
    check(&bench, &max_age, 0, &url);
    // The feed stays when its address has nothing any more, and its age goes on.
    check(&bench, &["feed", "add", "near", &none], 0, "added");
    let value = bench.json(&update);
    assert_eq!(value["updates"][0]["updated"], false, "{value}");
    let listed = bench.json(&max_age);
    assert_eq!(listed["feeds"][0]["name"], "near");
    assert!(
        listed["sources"]["near"]["last_failure"]["why"].is_string(),
        "{listed}"
    );
    check(
        &bench,
        &["feed", "update", "other"],
        2,
        "no address was added for `other`",
    );
}

/// A feed goes with its address, and what hangs on either is said first.
#[test]
fn a_feed_is_removed_and_what_hangs_on_it_is_said() {
    let bench = Bench::new("removed");
    bench.feeds(&[record("CVE-2026-0001", Some("3.0.11-1"), "")]);
    let listed = bench.json(&["feed", "list", "--max-age", "60000"]);
    let names: Vec<String> = listed["feeds"]
        .as_array()
        .expect("feeds")
        .iter()
        .map(|feed| feed["name"].as_str().expect("a name").to_owned())
        .collect();
    let name = names.first().expect("a feed").as_str();
    let sources = || {
        fs::read_dir(bench.path("state/feeds"))
            .expect("feeds")
            .count()
    };
    let before = sources();
    check(
        &bench,
        &["feed", "remove", "none", "--yes"],
        2,
        "there is no feed `none`",
    );
    check(
        &bench,
        &["feed", "remove", name],
        2,
        "add --yes when you mean it",
    );
    assert_eq!(sources(), before, "nothing was changed");
    let url = format!("file://{}", bench.path("none.json"));
    check(&bench, &["feed", "add", "mirror", &url], 0, "mirror");
    check(
        &bench,
        &["feed", "remove", "mirror", "--yes"],
        0,
        "it is not asked any more",
    );
    check(
        &bench,
        &["feed", "update"],
        2,
        "no address of a feed was added yet",
    );
    check(
        &bench,
        &["feed", "remove", name, "--yes"],
        0,
        "1 advisory: what it alone knows is unknown without it",
    );
    let listed = bench.json(&["feed", "list", "--max-age", "60000"]);
    let left = listed["feeds"].as_array().expect("feeds").len();
    assert_eq!(left, names.len() - 1);
    // Its documents are gone as well.
    assert!(sources() < before, "{} files, {before} before", sources());
    check(
        &bench,
        &["feed", "remove", name, "--yes"],
        2,
        "there is no feed",
    );
}

/// What does not say how old it is does not look fresh.
/// Case 13 of a day of patching: `feed import .` is called what the folder is called, and a small index
/// has a size.
#[test]
fn a_feed_is_called_as_the_folder_that_a_path_leads_to() {
    let bench = Bench::new("here");
    let folder = std::path::PathBuf::from(bench.path("osv-here"));
    fs::create_dir_all(folder.join("inner")).expect("a folder");
    fs::write(
        folder.join("one.json"),
        record("CVE-2026-0001", Some("3.0.11-1"), ""),
    )
    .expect("a file");
    let path = format!("{}/inner/..", folder.display());
    let import = ["feed", "import", &path];
    check(&bench, &import, 0, "osv-here");
    let said = check(&bench, &["feed", "list"], 3, " bytes,");
    assert!(!said.contains(" 0.0 "), "{said}");
}

/// Each file is the feed of its name; what was taken before a file that is none is taken.
#[test]
fn several_files_are_imported_at_once() {
    let bench = Bench::new("several");
    let file = |name: &str, text: &str| {
        let path = bench.path(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let scores = "cve,epss,percentile\nCVE-2026-0001,0.0100,0.5\n";
    let (one, other) = (file("scores-a.csv", scores), file("scores-b.csv", scores));
    let bad = file("nothing.csv", "no feed\n");
    check(&bench, &["feed", "import", &one, &other], 0, "scores-b");
    let value = bench.json(&["feed", "import", &one, &other]);
    assert_eq!(value["imported"][1]["feed"]["name"], "scores-b", "{value}");
    check(
        &bench,
        &["feed", "import", &one, &other, "--name", "both"],
        2,
        "one name for several files",
    );
    for name in ["scores-a", "scores-b"] {
        check(&bench, &["feed", "remove", name, "--yes"], 0, name);
    }
    check(
        &bench,
        &["feed", "import", &one, &bad, &other],
        2,
        "scores-a",
    );
    let listed = bench.json(&["feed", "list"]);
    assert_eq!(
        listed["feeds"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
}

#[test]
fn a_feed_without_a_date_is_undated() {
    let bench = Bench::new("undated");
    let scores = "cve,epss,percentile\nCVE-2026-0001,0.0100,0.5\n";
    let path = bench.file("scores.csv", scores).display().to_string();
    let said = "1 EPSS score, undated; its import is 0 minutes old";
    check(
        &bench,
        &["feed", "import", &path, "--name", "epss"],
        0,
        said,
    );
    check(&bench, &["feed", "list"], 0, said);
    check(&bench, &["feed", "list"], 0, "as of undated; imported ");
}
