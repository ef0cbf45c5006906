//! Properties of the reader: nothing that is in a file stops it.

use content::{PolicyFiles, Repository};
use proptest::prelude::*;

/// Lines that policies are made of, to get deeper than random text would.
fn line() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "role: web",
        "want:",
        "- file:",
        "path: /a",
        "content: |",
        "{{ x }}",
        "{% if x %}",
        "{% endif %}",
        "- sysctl: {key: a, value: 1}",
        "value: {at_most: 1, set: 1}",
        "params: {x: {type: string}}",
        "rules:",
        "- rule: one",
        "baseline: x",
        "applies: not (a or (b",
        "{{ [1] | join }}",
        "é: ü",
        "\"\\u0041\"",
        "*x",
        "&x",
        "!!str",
        "---",
        "? a",
        ": b",
        "'",
        "\"",
        "{",
        "}",
        "[",
        "]",
        "include: [web]",
    ]);
    (0..4_usize, words).prop_map(|(depth, word)| format!("{}{word}\n", "  ".repeat(depth)))
}

fn read(text: &str) {
    for path in [
        "roles/web.yaml",
        "baselines/a.yaml",
        "waivers.yaml",
        "patches.yaml",
        "vulnerabilities.yaml",
        "roles/a.j2",
    ] {
        let role = "role: other\nwant:\n  - template: {path: /a, source: a.j2}\n";
        let files = PolicyFiles::from_bytes([
            (path, text.as_bytes()),
            ("roles/other.yaml", role.as_bytes()),
        ]);
        if let Err(errors) = Repository::parse(&[files]) {
            // The message and its places can be shown whatever the text is.
            assert!(!errors.plain().is_empty());
            for error in errors.iter() {
                assert!(
                    error
                        .place()
                        .is_none_or(|place| place.line() > 0 && place.column() > 0)
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn any_lines_are_read_or_refused(lines in prop::collection::vec(line(), 0..30)) {
        read(&lines.concat());
    }
}

#[test]
fn what_would_take_long_is_refused_soon() {
    let begin = std::time::Instant::now();
    let many_keys: String = (0..100_000).map(|n| format!("k{n}: 1\n")).collect();
    let wide = format!("role: web\nwant: [{}]\n", "a, ".repeat(300_000));
    let long_word = "a".repeat(900_000);
    let braces = format!(
        "role: web\nwant:\n  - file: {{path: \"{}\"}}\n",
        "{{".repeat(100_000)
    );
    let deep = format!(
        "role: web\nwant:\n  - file: {{path: \"{{{{ {}1{} }}}}\"}}\n",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    let not = format!(
        "baseline: a\napplies: {} container\nrules: []\n",
        "not ".repeat(100_000)
    );
    let sum = format!(
        "role: web\nwant:\n  - file: {{path: \"{{{{ 1{} }}}}\"}}\n",
        "+1".repeat(100_000)
    );
    let branches = format!(
        "{{% if true %}}{}{{% endif %}}",
        "{% elif true %}".repeat(50_000)
    );
    let roles: Vec<(String, String)> = (0..200)
        .map(|n| {
            let next: Vec<String> = (n + 1..200.min(n + 20))
                .map(|m| format!("r{m:03}"))
                .collect();
            (
                format!("roles/r{n:03}.yaml"),
                format!("role: r{n:03}\ninclude: [{}]\nwant: []\n", next.join(", ")),
            )
        })
        .collect();
    for text in [
        &many_keys, &wide, &long_word, &braces, &deep, &not, &sum, &branches,
    ] {
        read(text);
    }
    let files = PolicyFiles::from_bytes(
        roles
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_bytes())),
    );
    assert!(Repository::parse(&[files]).is_ok());
    // Generous: a debug build on a busy machine. What is not bounded takes minutes.
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}

/// What is just within the limits must not take the parser too deep either, on the small
/// stack of a thread.
#[test]
fn the_limits_fit_the_stack() {
    let not = format!(
        "role: web\nwant:\n  - file: {{path: /a, content: \"{{{{ {}true }}}}\"}}\n",
        "not ".repeat(490)
    );
    let minus = format!(
        "role: web\nwant:\n  - file: {{path: /a, content: \"{{{{ {}1 }}}}\"}}\n",
        "- ".repeat(490)
    );
    let sum = format!(
        "role: web\nwant:\n  - file: {{path: /a, content: \"{{{{ 1{} }}}}\"}}\n",
        " + 1".repeat(240)
    );
    let branches = format!(
        "role: web\nwant:\n  - file: {{path: /a, content: \"{{% if true %}}{}{{% endif %}}\"}}\n",
        "{% elif true %}".repeat(490)
    );
    for text in [not, minus, sum, branches] {
        let files = PolicyFiles::from_bytes([("roles/web.yaml", text.as_bytes())]);
        let repository =
            Repository::parse(&[files]).unwrap_or_else(|errors| panic!("{}", errors.plain()));
        repository
            .lint()
            .unwrap_or_else(|errors| panic!("{}", errors.plain()));
    }
}
