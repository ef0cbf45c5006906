//! A reader for apt.conf(5): scopes, lists, comments and directives.

use std::ops::Range;

/// One statement, with full names: `Acquire { http { Proxy "x"; } }` is
/// `Acquire::http::Proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    Set(Setting),
    /// An item of a list: `Key:: "x";`, or `"x";` within a scope.
    Add {
        key: String,
        value: String,
    },
    /// `#clear KEY;`: forget what was set so far, and all below it.
    Clear {
        key: String,
    },
    /// `#include "PATH";`
    Include {
        path: String,
        line: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    pub value: String,
    /// Of the value, from 1.
    pub line: u32,
    /// The bytes of the value with its quotes; empty where there is none.
    pub span: Range<usize>,
}

/// The text breaks the syntax, and apt would refuse to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Malformed {
    /// From 1.
    pub line: u32,
    pub why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    End,
    Word {
        text: String,
        quoted: bool,
        line: u32,
        span: Range<usize>,
    },
}

/// Deeper than any real file, so that a hostile one does not grow names without bound.
const DEEPEST: usize = 32;

/// Reads a whole text.
pub fn parse(text: &str) -> Result<Vec<Statement>, Malformed> {
    let mut statements = Vec::new();
    let mut scopes: Vec<String> = Vec::new();
    let mut words: Vec<(String, bool, u32, Range<usize>)> = Vec::new();
    let mut last_line = 1;
    for (token, line) in tokens(text)? {
        last_line = line;
        match token {
            Token::Word {
                text,
                quoted,
                line,
                span,
            } => words.push((text, quoted, line, span)),
            Token::Open => {
                let [(name, ..), ..] = &words[..] else {
                    return Err(Malformed {
                        line,
                        why: "a block without a name",
                    });
                };
                if scopes.len() == DEEPEST {
                    return Err(Malformed {
                        line,
                        why: "blocks are nested too deeply",
                    });
                }
                let scope = full_name(scopes.last(), name.trim_end_matches("::"));
                // `Key "value" {` sets the key as well.
                if words.len() > 1 {
                    statement(&words, scopes.last(), line, &mut statements)?;
                }
                scopes.push(scope);
                words.clear();
            }
            Token::Close => {
                if !words.is_empty() {
                    statement(&words, scopes.last(), line, &mut statements)?;
                    words.clear();
                }
                if scopes.pop().is_none() {
                    return Err(Malformed {
                        line,
                        why: "`}` without a block",
                    });
                }
            }
            Token::End => {
                if !words.is_empty() {
                    statement(&words, scopes.last(), line, &mut statements)?;
                    words.clear();
                }
            }
        }
    }
    if !words.is_empty() {
        return Err(Malformed {
            line: last_line,
            why: "a statement without `;`",
        });
    }
    if !scopes.is_empty() {
        return Err(Malformed {
            line: last_line,
            why: "a block without `}`",
        });
    }
    Ok(statements)
}

fn full_name(scope: Option<&String>, name: &str) -> String {
    match scope {
        Some(scope) => format!("{scope}::{name}"),
        None => name.to_owned(),
    }
}

fn statement(
    words: &[(String, bool, u32, Range<usize>)],
    scope: Option<&String>,
    line: u32,
    out: &mut Vec<Statement>,
) -> Result<(), Malformed> {
    match words {
        [(directive, false, ..), rest @ ..] if directive.eq_ignore_ascii_case("#clear") => {
            out.extend(
                rest.iter()
                    .map(|(key, ..)| Statement::Clear { key: key.clone() }),
            );
        }
        [(directive, false, ..), (path, ..)] if directive.eq_ignore_ascii_case("#include") => {
            out.push(Statement::Include {
                path: path.clone(),
                line,
            });
        }
        [(value, true, ..)] => out.push(Statement::Add {
            key: scope.cloned().unwrap_or_default(),
            value: value.clone(),
        }),
        [(key, _, line, span)] => out.push(match key.strip_suffix("::") {
            Some(key) => Statement::Add {
                key: full_name(scope, key),
                value: String::new(),
            },
            None => Statement::Set(Setting {
                key: full_name(scope, key),
                value: String::new(),
                line: *line,
                span: span.end..span.end,
            }),
        }),
        [(key, ..), (value, _, line, span)] => match key.strip_suffix("::") {
            Some(key) => out.push(Statement::Add {
                key: full_name(scope, key),
                value: value.clone(),
            }),
            None => out.push(Statement::Set(Setting {
                key: full_name(scope, key),
                value: value.clone(),
                line: *line,
                span: span.clone(),
            })),
        },
        _ => {
            return Err(Malformed {
                line,
                why: "more than one value",
            });
        }
    }
    Ok(())
}

fn tokens(text: &str) -> Result<Vec<(Token, u32)>, Malformed> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let single = match rest[0] {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'{' => Some(Token::Open),
            b'}' => Some(Token::Close),
            b';' => Some(Token::End),
            _ => None,
        };
        if let Some(token) = single {
            tokens.push((token, line));
            at += 1;
        } else if rest.starts_with(b"//") || (rest[0] == b'#' && !is_directive(rest)) {
            at += rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len());
        } else if rest.starts_with(b"/*") {
            let end = rest
                .windows(2)
                .skip(2)
                .position(|pair| pair == b"*/")
                .ok_or(Malformed {
                    line,
                    why: "a comment without its end",
                })?;
            line += newlines(&rest[..end + 2]);
            at += end + 4;
        } else if rest[0] == b'"' {
            let end = rest[1..]
                .iter()
                .position(|byte| *byte == b'"')
                .ok_or(Malformed {
                    line,
                    why: "a quote without its end",
                })?;
            tokens.push((
                Token::Word {
                    text: text[at + 1..=at + end].to_owned(),
                    quoted: true,
                    line,
                    span: at..at + end + 2,
                },
                line,
            ));
            line += newlines(&rest[1..=end]);
            at += end + 2;
        } else {
            let end = (1..rest.len())
                .find(|end| {
                    let byte = rest[*end];
                    byte.is_ascii_whitespace()
                        || b"{};\"#".contains(&byte)
                        || rest[*end..].starts_with(b"//")
                        || rest[*end..].starts_with(b"/*")
                })
                .unwrap_or(rest.len());
            tokens.push((
                Token::Word {
                    text: text[at..at + end].to_owned(),
                    quoted: false,
                    line,
                    span: at..at + end,
                },
                line,
            ));
            at += end;
        }
    }
    Ok(tokens)
}

fn is_directive(rest: &[u8]) -> bool {
    [&b"#clear"[..], b"#include"].iter().any(|directive| {
        rest.len() > directive.len() && rest[..directive.len()].eq_ignore_ascii_case(directive)
    })
}

fn newlines(bytes: &[u8]) -> u32 {
    let count = bytes.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(count).unwrap_or(u32::MAX)
}
