//! The page: well formed, harmless, and complete. What a browser makes of it is in
//! `browser`.

use plan::Report;
use steadfast::report::html::render;

use crate::samples;

/// Elements without an end tag (HTML, 13.1.2).
const VOID: [&str; 5] = ["meta", "input", "br", "link", "img"];

/// Walks the page's tags, and says what is wrong with them.
fn check_form(page: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut ids = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        if rest[..at].contains('>') && open.last() != Some(&"style") {
            return Err(format!("a stray > in {:?}", &rest[..at]));
        }
        rest = &rest[at + 1..];
        let end = rest.find('>').ok_or("a tag without its end")?;
        let (tag, tail) = (&rest[..end], &rest[end + 1..]);
        rest = tail;
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes something else, in {open:?}"));
            }
            continue;
        }
        if tag.matches('"').count() % 2 != 0 {
            return Err(format!("an attribute without its end: {tag}"));
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        if !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("not a tag: {tag}"));
        }
        if let Some((_, id)) = tag.split_once(" id=\"") {
            ids.push(id.split('"').next().unwrap_or_default());
        }
        if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    match (open.as_slice(), ids.len() == all) {
        ([], true) => Ok(()),
        ([], false) => Err("an id is used twice".to_owned()),
        (open, _) => Err(format!("still open: {open:?}")),
    }
}

#[test]
fn the_form_check_finds_mistakes() {
    for bad in [
        "<p>",
        "<p></b>",
        "<p a=\"></p>",
        "<p>></p>",
        "<b id=\"a\"></b><i id=\"a\"></i>",
        "<p",
        "<%></%>",
    ] {
        assert!(check_form(bad).is_err(), "{bad}");
    }
    check_form("<!doctype html><p class=\"a\">x<br><rect/></p>").expect("this is well formed");
}

#[test]
fn every_page_is_well_formed_and_harmless() {
    for (name, report) in samples::all() {
        let page = render(&report);
        if let Err(why) = check_form(&page) {
            panic!("{name}: {why}");
        }
        for tag in [
            "<script", "<img", "<iframe", "<link", "<object", "<form", " on", "http:", "https:",
            "url(",
        ] {
            // " on" is how an event handler begins: none of our attributes does.
            let found = page.match_indices(tag).any(|(at, _)| {
                tag != " on"
                    || page[at..]
                        .split(['>', ' ', '='])
                        .nth(1)
                        .is_some_and(|word| page[at + 1 + word.len()..].starts_with("=\""))
            });
            assert!(!found, "{name} has {tag}");
        }
        for character in page.chars().filter(|c| *c != '\n') {
            assert!(
                !model::escape::is_hidden(character),
                "{name} has U+{:04x}",
                u32::from(character)
            );
        }
    }
}

#[track_caller]
fn check_says(report: &Report, wanted: &[&str]) {
    let page = render(report);
    for text in wanted {
        assert!(page.contains(text), "the page does not say {text:?}");
    }
}

#[test]
fn pages_say_what_the_report_says() {
    check_says(
        &samples::ordinary(),
        &[
            "<b>88</b> <span>of 100</span>",
            "Without waivers: <b>87</b>",
            "/etc/ssh/sshd_config.d/10-legacy.conf:1",
            "the drop-in is read first and wins",
            "<em>unverified</em>",
            "expired",
            "Its waiver ended",
            "unknown option `-Z`",
            "no mail server is installed",
            "/srv/upload/40.tmp",
            "23 November 2026, 14:42 UTC",
            "sudo steadfast plan --rule ssh-root-login",
        ],
    );
    check_says(
        &samples::as_user(),
        &[
            "needs root: run with sudo",
            "Not proven on this release, so audited but not fixed: <b>debian, openssh</b>",
            "counts as not holding",
            "No rule fails",
        ],
    );
    check_says(
        &samples::clean(),
        &["Everything that applies is as wanted."],
    );
    check_says(&samples::empty(), &["nothing could be judged"]);
    check_says(
        &samples::enormous(),
        &[
            "800 more, listed in the JSON report",
            "(3000 more characters)",
        ],
    );
}
