//! What of the journal, and of a unit's status, says that a reload was refused.

use host::act::reloaded::{errors, is_of_failed_reload, parse_journal};

#[test]
fn what_a_program_says_of_a_refused_reload() {
    const SAID: &str = r#"{"__CURSOR":"c1","PRIORITY":"6","MESSAGE":"[NOTICE] (516) : Reloading HAProxy"}
{"__CURSOR":"c2","PRIORITY":"6","MESSAGE":"[ALERT]    (516) : Binding [/etc/haproxy/haproxy.cfg:36] for frontend fe: cannot bind socket (Address already in use) for [0.0.0.0:7777]"}
{"__CURSOR":"c3","PRIORITY":"6","MESSAGE":"[WARNING]  (516) : Loading failure!"}
{"__CURSOR":"c4","PRIORITY":"3","MESSAGE":"creating TCP socket: address in use"}
{"__CURSOR":"c5","MESSAGE":[101,109,101,114,103,93,32,255]}
{"__CURSOR":"c6","PRIORITY":"3","MESSAGE":null}
{"__CURSOR":"c7","PRIORITY":"5","MESSAGE":"loaded serial 3"}
no entry
"#;
    let entries = parse_journal(SAID);
    let cursors: Vec<&str> = entries.iter().map(|entry| &*entry.cursor).collect();
    assert_eq!(cursors, ["c1", "c2", "c3", "c4", "c5", "c7"]);
    let starts: Vec<String> = errors(entries)
        .iter()
        .map(|line| line.chars().take(7).collect())
        .collect();
    assert_eq!(
        starts,
        ["[ALERT]", "[WARNIN", "creatin", "emerg] \u{fffd}"]
            .map(|line| line.chars().take(7).collect::<String>())
    );
}

#[test]
fn a_status_of_a_failed_reload() {
    for (status, expected) in [
        ("Reload failed!", true),
        ("Failed to reload the configuration", true),
        ("Ready.", false),
        ("", false),
        ("Processed 7 requests, 2 failed", false),
        ("Reloading configuration", false),
    ] {
        assert_eq!(is_of_failed_reload(status), expected, "{status}");
    }
}
