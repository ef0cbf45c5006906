//! A small `sshd -T` for the host in memory, written apart from the parser under test:
//! one level of includes, `Match all` and `Match User`, no quotes. What the real program
//! does with harder input is tried on real hosts.

use std::collections::BTreeMap;

use model::value::Output;

use crate::support::Host;

const ADDING_UP: [&str; 5] = [
    "acceptenv",
    "allowusers",
    "allowgroups",
    "denyusers",
    "port",
];

pub fn effective(host: &Host, args: &[String]) -> Output {
    let user = args.iter().find_map(|arg| {
        let user = arg.strip_prefix("user=")?;
        Some(user.split(',').next().unwrap_or(user))
    });
    let mut lines = Vec::new();
    let main = host.content("/etc/ssh/sshd_config").unwrap_or_default();
    collect(host, &main, true, "", &mut lines);
    let mut global: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut matched: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (condition, option, value) in lines {
        let applies = match condition.as_str() {
            "" => None,
            "all" => Some(true),
            other => Some(other.strip_prefix("User ") == user && user.is_some()),
        };
        let into = match applies {
            None => &mut global,
            Some(true) => &mut matched,
            Some(false) => continue,
        };
        let values = into.entry(option.clone()).or_default();
        if values.is_empty() || ADDING_UP.contains(&option.as_str()) {
            values.extend(value.split('|').map(str::to_owned));
        }
    }
    global.extend(matched);
    let defaults = host.sshd_defaults.clone().unwrap_or_default();
    for line in defaults.lines() {
        let (option, value) = line.split_once(' ').expect("defaults have a value");
        let values = vec![value.to_owned()];
        global.entry(option.to_owned()).or_insert(values);
    }
    let stdout = global
        .iter()
        .flat_map(|(option, values)| {
            values
                .iter()
                .map(move |value| format!("{option} {value}\n"))
        })
        .collect();
    Output {
        status: Some(0),
        stdout,
        stderr: String::new(),
    }
}

fn collect(
    host: &Host,
    text: &str,
    top: bool,
    outer: &str,
    lines: &mut Vec<(String, String, String)>,
) {
    let mut condition = outer.to_owned();
    for line in text.lines() {
        let line = line.trim();
        let (keyword, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        let value = value.split(" #").next().unwrap_or(value).trim();
        match keyword.to_lowercase().as_str() {
            "" => {}
            comment if comment.starts_with('#') => {}
            "match" => value.clone_into(&mut condition),
            "include" if top => {
                for (path, node) in &host.nodes {
                    let name = String::from_utf8_lossy(path.as_bytes());
                    if name.starts_with("/etc/ssh/sshd_config.d/") && name.ends_with(".conf") {
                        let text = String::from_utf8_lossy(&node.content);
                        collect(host, &text, false, &condition, lines);
                    }
                }
            }
            option => {
                let value = match option {
                    "logingracetime" if value == "2m" => "120".to_owned(),
                    _ if ADDING_UP.contains(&option) => value.replace(' ', "|"),
                    _ => value.replace("prohibit-password", "without-password"),
                };
                lines.push((condition.clone(), option.to_owned(), value));
            }
        }
    }
}
