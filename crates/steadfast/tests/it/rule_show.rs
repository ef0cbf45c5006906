//! `steadfast rule show`: what can be set is said.

use std::process::{Command, Output};

fn steadfast(line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(line.split(' '))
        .output()
        .expect("the program runs")
}

#[test]
fn parameters_and_their_defaults_are_shown() {
    let shown = steadfast("rule show authentication-lockout");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(
        text.contains("tries=10  Wrong passwords in a row."),
        "{text}"
    );
    let shown = steadfast("rule show accounts-system-shells");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("except="), "{text}");
    let shown = steadfast("rule show authentication-lockout --format json");
    let value: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(value["rule"]["params"][0]["name"], "seconds");
    assert_eq!(value["rule"]["params"][0]["default"], "600");
}

#[test]
fn days_of_expire_are_read_with_their_letter() {
    // What is wrong is the other one.
    let refused = steadfast("expire --older-than 14d --keep x");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("--keep") && !text.contains("14d"), "{text}");
    let refused = steadfast("expire --older-than 14x");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("write 14d or 14"), "{text}");
}
