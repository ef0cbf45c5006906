//! Why a rule does not apply, in words: the part of its condition that decides it.

use minijinja::machinery::{Token, tokenize};

use crate::template::{Failure, Renderer, syntax};

/// The reason for which `condition` does not hold.
pub(crate) fn why_not(condition: &str, renderer: &Renderer<'_>) -> String {
    explain(condition, false, renderer)
        .unwrap_or_else(|_| format!("`{}` does not hold", one_line(condition)))
}

/// Longer conditions than this are cut: the whole stands in the policy.
const LONGEST_SHOWN: usize = 80;

fn one_line(condition: &str) -> String {
    let line: Vec<&str> = condition.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(LONGEST_SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// Why `condition` has the value `value`.
fn explain(condition: &str, value: bool, renderer: &Renderer<'_>) -> Result<String, Failure> {
    let condition = without_parentheses(condition.trim());
    for (word, decides) in [("or", true), ("and", false)] {
        let parts = split(condition, word);
        if parts.len() < 2 {
            continue;
        }
        // One true part decides an `or`, and one false part an `and`.
        if value == decides {
            for part in &parts {
                if renderer.condition(part)? == decides {
                    return explain(part, decides, renderer);
                }
            }
        }
        let reasons: Result<Vec<String>, Failure> = parts
            .iter()
            .map(|part| explain(part, value, renderer))
            .collect();
        return Ok(reasons?.join(" and "));
    }
    if let Some(inner) = condition.strip_prefix("not ") {
        return explain(inner, !value, renderer);
    }
    Ok(phrase(condition, value))
}

/// A condition without `and`, `or` and `not`, said as a statement.
fn phrase(condition: &str, value: bool) -> String {
    let not = if value { "" } else { "not " };
    let call = condition
        .split_once("(\"")
        .and_then(|(function, rest)| Some((function, rest.split_once("\").")?)))
        .filter(|(_, (name, _))| !name.contains('"'));
    match (condition, call) {
        (_, Some(("package", (name, "installed")))) => format!("{name} is {not}installed"),
        (_, Some((kind @ ("unit" | "service"), (name, "exists")))) => {
            let no = if value { "a" } else { "no" };
            format!("there is {no} {kind} {name}")
        }
        (_, Some((kind @ ("account" | "group"), (name, "exists")))) => {
            let no = if value { "an" } else { "no" };
            let no = if kind == "group" && value { "a" } else { no };
            format!("there is {no} {kind} {name}")
        }
        (_, Some(("mount", (path, "exists")))) => format!("{path} is {not}a mount point"),
        ("container", _) => format!("this is {not}a container"),
        ("systemd", _) => format!("systemd is {not}the init system"),
        ("owns_kernel", _) if value => "the kernel is this host's own".to_owned(),
        ("owns_kernel", _) => "the kernel is not this host's own".to_owned(),
        _ if value => format!("`{}` holds", one_line(condition)),
        _ => format!("`{}` does not hold", one_line(condition)),
    }
}

/// The condition's words that stand at its top level, with their places.
fn top_level(condition: &str) -> Vec<(String, std::ops::Range<usize>)> {
    let mut depth = 0_usize;
    let mut words = Vec::new();
    for (token, span) in tokenize(condition, true, syntax()).map_while(Result::ok) {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                depth = depth.saturating_sub(1);
            }
            Token::Ident(word) if depth == 0 => words.push((
                word.to_owned(),
                span.start_offset as usize..span.end_offset as usize,
            )),
            _ => {}
        }
    }
    words
}

fn split<'c>(condition: &'c str, at: &str) -> Vec<&'c str> {
    let words = top_level(condition);
    // `a if b else c` has its own order.
    if words.iter().any(|(word, _)| word == "if") {
        return vec![condition];
    }
    let mut parts = Vec::new();
    let mut from = 0;
    for (word, range) in words {
        if word == at {
            parts.extend(condition.get(from..range.start));
            from = range.end;
        }
    }
    parts.extend(condition.get(from..));
    parts.into_iter().map(str::trim).collect()
}

/// Takes off parentheses that hold the whole.
fn without_parentheses(condition: &str) -> &str {
    let Some(inner) = condition
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    else {
        return condition;
    };
    let mut depth = 0_i32;
    for (token, _) in tokenize(inner, true, syntax()).map_while(Result::ok) {
        match token {
            Token::ParenOpen => depth += 1,
            Token::ParenClose => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return condition;
        }
    }
    without_parentheses(inner.trim())
}
