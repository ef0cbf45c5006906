//! What a real browser makes of the page: nothing is loaded or refused, everything is
//! readable at any width and in both schemes, and the filter works without a script.

use std::path::Path;

use serde_json::Value;
use steadfast::report::html::render;

use crate::samples;
use crate::webdriver::{Browser, text};

const OPEN_ALL: &str = "document.querySelectorAll('details').forEach(d => d.open = true)";

/// Elements that reach beyond the window. What is hidden on purpose has no size.
const OVERFLOWING: &str = "
    const wide = [...document.querySelectorAll('body *')].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width > 1 && box.right > WIDTH + 1 && !e.closest('.visually-hidden');
    });
    return wide.map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40));";

/// Text whose contrast with its ground is below 4.5 (WCAG 2.2, 1.4.3), after the formula there.
const LOW_CONTRAST: &str = "
    const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
    const light = c => {
        const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const ground = e => {
        for (; e; e = e.parentElement) {
            const c = parse(getComputedStyle(e).backgroundColor);
            if (c.length === 3 || c[3] === 1) return c;
            if (c[3] !== 0) throw 'a ground that lets through: ' + e.className;
        }
        return [255, 255, 255];
    };
    const bad = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let seen = 0;
    for (let node; node = walker.nextNode();) {
        const e = node.parentElement;
        if (!node.textContent.trim() || !e.checkVisibility({checkOpacity: true})) continue;
        seen += 1;
        const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (ratio < 4.5) bad.push(ratio.toFixed(2) + ' ' + e.tagName + '.' + e.className + ': ' + node.textContent.trim().slice(0, 40));
    }
    return seen < 20 ? ['only ' + seen + ' texts were seen'] : bad;";

/// What a reader who does not see the page needs.
const STRUCTURE: &str = "
    const bad = [];
    const one = s => { const n = document.querySelectorAll(s).length; if (n !== 1) bad.push(n + ' of ' + s) };
    ['html[lang]', 'title', 'h1', 'body > header', 'body > main', 'body > footer'].forEach(one);
    let level = 1;
    for (const h of document.querySelectorAll('h1, h2, h3, h4')) {
        const now = Number(h.tagName[1]);
        if (now > level + 1) bad.push('a level is left out before ' + h.textContent);
        level = now;
    }
    document.querySelectorAll('th:not([scope])').forEach(t => bad.push('no scope: ' + t.textContent));
    document.querySelectorAll('input').forEach(i => { if (!i.labels.length) bad.push('no label: ' + i.id) });
    document.querySelectorAll('script, img, iframe, object, embed, link, form').forEach(e => bad.push(e.outerHTML));
    return bad;";

const SHOWN_CARDS: &str = "
    return [...document.querySelectorAll('.card')].filter(c => c.checkVisibility()).map(c => c.querySelector('.badge').textContent);";

#[track_caller]
fn check_nothing(found: &Value, what: &str) {
    let list = found.as_array().expect("a list of what is wrong");
    assert!(list.is_empty(), "{what}: {list:#?}");
}

/// Nothing was asked of anyone but the page itself, and the browser had nothing to complain of.
fn check_silence(browser: &Browser, url: &str, what: &str) {
    check_nothing(&Value::Array(browser.log("browser")), what);
    let mut asked = 0;
    for entry in browser.log("performance") {
        let event: Value = serde_json::from_str(&text(&entry["message"])).expect("JSON in JSON");
        let message = &event["message"];
        if message["method"] == "Network.requestWillBeSent" {
            assert_eq!(
                message["params"]["request"]["url"], url,
                "{what} asks for more"
            );
            asked += 1;
        }
    }
    assert_eq!(asked, 1, "{what}: the page itself is asked for, once");
}

#[test]
#[ignore = "needs chromium: `cargo xtask test browser`"]
fn pages_are_readable_and_load_nothing() {
    let browser = Browser::start();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, report) in samples::all() {
        let file = folder.join(format!("report-{name}.html"));
        std::fs::write(&file, render(&report)).expect("the target folder can be written");
        let url = format!("file://{}", file.display());
        for (width, scheme) in [
            (360, "light"),
            (360, "dark"),
            (1280, "light"),
            (1280, "dark"),
        ] {
            let what = format!("{name} at {width}, {scheme}");
            browser.open(&url, width, scheme, "screen");
            check_silence(&browser, &url, &what);
            let overflowing = OVERFLOWING.replace("WIDTH", &width.to_string());
            check_nothing(&browser.run(&overflowing), &what);
            browser.run(OPEN_ALL);
            check_nothing(&browser.run(&overflowing), &format!("{what}, opened"));
            check_nothing(&browser.run(LOW_CONTRAST), &what);
            check_nothing(&browser.run(STRUCTURE), &what);
        }
    }
}

#[test]
#[ignore = "needs chromium: `cargo xtask test browser`"]
fn the_filter_works_and_print_shows_everything() {
    let browser = Browser::start();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-filter.html");
    std::fs::write(&file, render(&samples::ordinary())).expect("the target folder can be written");
    let url = format!("file://{}", file.display());
    browser.open(&url, 1280, "light", "screen");
    let shown = |click: &str| {
        browser.run(&format!(
            "document.querySelector('label[for={click}]').click()"
        ));
        let shown = browser.run(SHOWN_CARDS);
        let list = shown.as_array().expect("a list of badges");
        list.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(shown("any-severity").len(), 8);
    assert_eq!(shown("only-critical"), ["critical"]);
    assert_eq!(shown("only-high"), ["high"; 4]);
    // Both filters hold at once: of the area with most failures, what is high.
    assert_eq!(shown("only-area-0"), ["high"; 2]);
    assert_eq!(shown("any-severity"), ["critical", "high", "high"]);

    browser.open(&url, 794, "dark", "print");
    let hidden = browser.run(
        "return [...document.querySelectorAll('.evidence, .group ul')].filter(e => !e.checkVisibility({contentVisibilityAuto: true})).map(e => e.textContent.slice(0, 40))",
    );
    check_nothing(&hidden, "evidence that is not printed");
    check_nothing(&browser.run(LOW_CONTRAST), "on paper");
}
