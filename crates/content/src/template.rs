//! Templates and conditions: Jinja's language, made strict. Names, filters and tests are
//! checked when a policy is read; an undefined value is an error; nothing is escaped; the
//! final newline is kept; lists and mappings are never printed. No message shows a value.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use model::value::Reason;

use crate::error::{SourceText, suggestion};
use crate::vocabulary::{self, FILTERS, TESTS};

/// Steps of one template, where a step is also 64 bytes of text that is made or looked through:
/// enough for thousands of lines, and over within a second where all of it is one long `replace`
/// after the other (measured: ten times as much took 26 s).
const FUEL: u64 = 500_000;

/// What is wrong with a template; `range` is in bytes of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) range: Option<Range<usize>>,
    /// From 1, where the range is not known.
    pub(crate) line: Option<usize>,
    /// The template file that it is in, when that is another than the one that was asked for.
    pub(crate) file: Option<String>,
}

/// Why a template gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It rests on a fact that is unknown.
    Unknown(Reason),
    Wrong(Problem),
}

/// The length of `{{`.
const BRACES: usize = 2;

impl Failure {
    /// The same failure in a text that has `offset` more bytes before it.
    fn after(self, offset: usize) -> Self {
        match self {
            Self::Wrong(mut problem) if problem.file.is_none() => {
                problem.range = problem
                    .range
                    .map(|range| range.start + offset..range.end + offset);
                Self::Wrong(problem)
            }
            other => other,
        }
    }
}

/// Remembers the first unknown fact that an evaluation touched. The language has no
/// third truth value, so one that touched it is unknown whatever it says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched(Arc<Mutex<Option<Reason>>>);

impl Touched {
    pub(crate) fn note(&self, reason: &Reason) {
        self.lock().get_or_insert_with(|| reason.clone());
    }

    fn take(&self) -> Option<Reason> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Reason>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is there anything to render in this scalar?
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

pub(crate) fn syntax() -> SyntaxConfig {
    static SYNTAX: LazyLock<SyntaxConfig> = LazyLock::new(|| {
        SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .expect("the default delimiters are distinct")
    });
    SYNTAX.clone()
}

/// The language without any template files, for checks.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(language);

/// The template files of a policy, by their path below its root.
pub(crate) type TemplateFiles = BTreeMap<String, Arc<SourceText>>;

/// The language, with the templates that a policy has.
pub(crate) fn environment(files: &Arc<TemplateFiles>) -> Environment<'static> {
    let mut env = language();
    let files = Arc::clone(files);
    env.set_loader(move |name| Ok(files.get(name).map(|file| file.text().to_owned())));
    // A name is looked for beside the template that includes it, and never outside of the
    // policy: only files that were read with it are there at all.
    env.set_path_join_callback(|name, parent| join(name, parent).into());
    env
}

/// The template that `name` means in the template `parent`.
pub(crate) fn join(name: &str, parent: &str) -> String {
    let mut parts: Vec<&str> = parent.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn language() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_syntax(syntax());
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_debug(false);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(50);
    for name in ["debug", "dict", "namespace"] {
        env.remove_global(name);
    }
    vocabulary::add_to(&mut env);
    env.set_formatter(|out, _, value| {
        out.write_str(&vocabulary::printed(value)?)
            .map_err(minijinja::Error::from)
    });
    env
}

/// Words in one `{{ … }}`, one `{% … %}` or one condition. The parser goes as deep as an
/// expression is long, and its stack is no larger than any other.
const MOST_WORDS: usize = 500;
/// The same for the branches of conditions, which nest in the parser.
const MOST_BRANCHES: usize = 500;

/// Refuses what would take the parser too deep; stands before everything that parses.
fn check_size(text: &str, in_expression: bool) -> Result<(), Problem> {
    let (mut words, mut branches) = (0, 0);
    for token in tokenize(text, in_expression, syntax()) {
        let (token, span) = token.map_err(|error| wrong(&error, text))?;
        words += 1;
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => words = 0,
            Token::Ident("elif" | "else" | "if") => branches += 1,
            _ => {}
        }
        if words > MOST_WORDS || branches > MOST_BRANCHES {
            return Err(Problem {
                message: "the expression is too long".to_owned(),
                help: Some("divide it: parts of a text may stand one after the other".to_owned()),
                range: Some(span.start_offset as usize..span.end_offset as usize),
                line: None,
                file: None,
            });
        }
    }
    Ok(())
}

/// Checks a template's syntax and every name in it.
pub(crate) fn check(text: &str, params: &[&str]) -> Result<(), Problem> {
    check_size(text, false)?;
    let template = LANGUAGE
        .template_from_named_str("template", text)
        .map_err(|error| wrong(&error, text))?;
    let undeclared = template.undeclared_variables(false);
    check_words(text, false, &undeclared, params)
}

/// Checks everything but the names: those of an included template depend on what includes it.
pub(crate) fn check_without_names(text: &str) -> Result<(), Problem> {
    check_size(text, false)?;
    LANGUAGE
        .template_from_named_str("template", text)
        .map_err(|error| wrong(&error, text))?;
    check_words(text, false, &HashSet::new(), &[])
}

/// Checks a condition's syntax and every name in it.
pub(crate) fn check_condition(text: &str, params: &[&str]) -> Result<(), Problem> {
    check_size(text, true)?;
    let expression = LANGUAGE
        .compile_expression(text)
        .map_err(|error| wrong(&error, text))?;
    let undeclared = expression.undeclared_variables(false);
    check_words(text, true, &undeclared, params)
}

/// The names that a template takes from outside.
pub(crate) fn names_in(text: &str) -> HashSet<String> {
    LANGUAGE
        .template_from_named_str("template", text)
        .map(|template| template.undeclared_variables(false))
        .unwrap_or_default()
}

/// The same for a condition.
pub(crate) fn names_in_condition(text: &str) -> HashSet<String> {
    LANGUAGE
        .compile_expression(text)
        .map(|expression| expression.undeclared_variables(false))
        .unwrap_or_default()
}

/// What an identifier is, by the words before it.
#[derive(Clone, PartialEq)]
enum Before {
    Nothing,
    Pipe,
    Is,
    /// A dot after something whose parts are known.
    DotOf(&'static [&'static str], String),
    Dot,
}

fn check_words(
    text: &str,
    in_expression: bool,
    undeclared: &HashSet<String>,
    params: &[&str],
) -> Result<(), Problem> {
    let mut before = Before::Nothing;
    // Calls that are open: what the call's result is called, if it is one of ours.
    let mut calls: Vec<Option<&'static vocabulary::Name>> = Vec::new();
    let mut last: Option<&'static vocabulary::Name> = None;
    for token in tokenize(text, in_expression, syntax()) {
        let (token, span) = token.map_err(|error| wrong(&error, text))?;
        let range = span.start_offset as usize..span.end_offset as usize;
        let mut now = Before::Nothing;
        let mut named = None;
        match &token {
            Token::Pipe => now = Before::Pipe,
            Token::Tilde => {
                return Err(Problem {
                    message: "unknown operator `~`".to_owned(),
                    help: Some("write the parts one after the other: `{{ a }}{{ b }}`".to_owned()),
                    range: Some(range),
                    line: None,
                    file: None,
                });
            }
            Token::Dot => {
                now = match last {
                    Some(name) if !name.parts.is_empty() => Before::DotOf(name.parts, name.shown()),
                    _ => Before::Dot,
                };
            }
            Token::ParenOpen => calls.push(last.filter(|name| name.is_function)),
            Token::ParenClose => named = calls.pop().flatten(),
            Token::Ident("is") if before == Before::Nothing => now = Before::Is,
            Token::Ident("not") if before == Before::Is => now = Before::Is,
            Token::Ident(word) => match &before {
                Before::Pipe if !FILTERS.contains(word) => {
                    return Err(unknown("filter", word, range, FILTERS.iter().copied()));
                }
                Before::Is if !TESTS.contains(word) => {
                    return Err(unknown("test", word, range, TESTS.iter().copied()));
                }
                Before::DotOf(parts, of) if !parts.contains(word) => {
                    return Err(unknown(
                        &format!("part of `{of}`"),
                        word,
                        range,
                        parts.iter().copied(),
                    ));
                }
                Before::Nothing => {
                    let known = params.contains(word) || *word == "range" || *word == "loop";
                    named = vocabulary::name(word).filter(|_| !params.contains(word));
                    if undeclared.contains(*word) && !known && named.is_none() {
                        let mut names = params.to_vec();
                        names.extend(vocabulary::NAMES.iter().map(|name| name.name));
                        return Err(unknown("name", word, range, names.into_iter()));
                    }
                }
                _ => {}
            },
            _ => {}
        }
        before = now;
        last = named;
    }
    Ok(())
}

fn unknown<'a>(
    what: &str,
    word: &str,
    range: Range<usize>,
    known: impl Iterator<Item = &'a str>,
) -> Problem {
    let help = if what == "filter" && matches!(word, "default" | "d") {
        Some("nothing has a silent default here: give the parameter a `default:`".to_owned())
    } else {
        suggestion(word, known).or_else(|| {
            Some(match what {
                "name" => {
                    "a template knows the parameters beside it and the facts of the host".to_owned()
                }
                _ => format!("docs/writing-policy.md has every {what} that there is"),
            })
        })
    };
    Problem {
        message: match what.strip_prefix("part of ") {
            Some(of) => format!("{of} has no `{}`", model::printable(word.as_bytes())),
            None => format!("unknown {what} `{}`", model::printable(word.as_bytes())),
        },
        help,
        range: Some(range),
        line: None,
        file: None,
    }
}

/// Where to read on about functions, filters and tests.
const FORMS: Option<&str> = Some("docs/writing-policy.md has what can be called, and with what");

/// A minijinja error in our words. Its own details may quote values, so only those of
/// errors about the text itself are passed on.
fn wrong(error: &minijinja::Error, text: &str) -> Problem {
    let range = error.range().filter(|range| {
        range.start < range.end
            && text.is_char_boundary(range.start)
            && text.is_char_boundary(range.end)
            && range.end <= text.len()
    });
    let shown = range
        .clone()
        .and_then(|range| text.get(range))
        .map(|part| format!("`{}`", model::printable(part.trim().as_bytes())));
    let this = shown.unwrap_or_else(|| "this".to_owned());
    let (message, help) = match error.kind() {
        ErrorKind::SyntaxError | ErrorKind::BadEscape => (
            format!(
                "template syntax: {}",
                error.detail().unwrap_or("not understood")
            ),
            Some("`{{ … }}` prints a value, `{% … %}` decides, `{# … #}` is a comment"),
        ),
        ErrorKind::UndefinedError => (
            format!("{this} has no value on this host"),
            Some("ask first whether there is one, in `applies:` or with `{% if … %}`"),
        ),
        ErrorKind::BadSerialization => (
            format!("{this} can't be printed"),
            Some("print a text, a number or a boolean; put a list together with `| join(\", \")`"),
        ),
        ErrorKind::TemplateNotFound => (
            "the template that is included is not in the policy".to_owned(),
            Some("it is looked for beside the template that includes it, below `roles/`"),
        ),
        ErrorKind::OutOfFuel => (
            "the template takes too long".to_owned(),
            Some("let its loops run over less"),
        ),
        ErrorKind::TooManyArguments => (format!("too many arguments in {this}"), FORMS),
        ErrorKind::MissingArgument => (format!("an argument is missing in {this}"), FORMS),
        ErrorKind::UnknownMethod | ErrorKind::UnknownFunction => {
            (format!("{this} calls what is not a function"), FORMS)
        }
        _ => (
            format!("{this} does not fit the types of its values"),
            Some("numbers go with numbers and texts with texts; there is no dividing by zero"),
        ),
    };
    Problem {
        message,
        help: help.map(str::to_owned),
        range,
        line: error.line(),
        file: None,
    }
}

/// Renders for one host and one set of parameters.
pub(crate) struct Renderer<'e> {
    pub(crate) env: &'e Environment<'static>,
    pub(crate) context: Value,
    pub(crate) touched: Touched,
}

/// What a scalar's template gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Given {
    Text(String),
    /// A scalar that is one expression and gives a list.
    List(Vec<String>),
}

impl Renderer<'_> {
    /// Must the condition hold? Only a boolean is an answer.
    pub(crate) fn condition(&self, text: &str) -> Result<bool, Failure> {
        let value = self.settle(text, |env| {
            env.compile_expression(text)?.eval(self.context.clone())
        })?;
        if value.kind() == ValueKind::Bool {
            Ok(value.is_true())
        } else {
            Err(Failure::Wrong(Problem {
                message: format!(
                    "the condition gives {}, not true or false",
                    kind_words(&value)
                ),
                help: Some("compare it: `release.version == \"12\"`".to_owned()),
                range: None,
                line: None,
                file: None,
            }))
        }
    }

    /// A scalar of a policy: text, or a list where the whole scalar is one expression.
    pub(crate) fn scalar(&self, text: &str) -> Result<Given, Failure> {
        if let Some(expression) = sole_expression(self.env, text) {
            let value = self
                .settle(expression, |env| {
                    env.compile_expression(expression)?
                        .eval(self.context.clone())
                })
                .map_err(|failure| failure.after(BRACES))?;
            if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
                return self.list(text, &value);
            }
        }
        self.settle(text, |env| {
            env.template_from_named_str("template", text)?
                .render(self.context.clone())
        })
        .map(Given::Text)
    }

    fn list(&self, text: &str, value: &Value) -> Result<Given, Failure> {
        let items = self.settle(text, |_| value.try_iter())?;
        let mut out = Vec::new();
        for item in items {
            out.push(self.settle(text, |_| vocabulary::printed(&item))?);
        }
        Ok(Given::List(out))
    }

    /// A template file; `text` is its own.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<String, Failure> {
        self.settle(text, |env| {
            env.get_template(name)?.render(self.context.clone())
        })
        .map_err(|failure| match failure {
            Failure::Wrong(mut problem) => {
                problem.file.get_or_insert_with(|| name.to_owned());
                Failure::Wrong(problem)
            }
            unknown => unknown,
        })
    }

    fn settle<T>(
        &self,
        text: &str,
        evaluate: impl FnOnce(&Environment<'static>) -> Result<T, minijinja::Error>,
    ) -> Result<T, Failure> {
        self.touched.take();
        let outcome = evaluate(self.env);
        if let Some(reason) = self.touched.take() {
            return Err(Failure::Unknown(reason));
        }
        outcome.map_err(|error| {
            let root = root_cause(&error);
            let other = root
                .name()
                .filter(|name| *name != "template" && *name != "<expression>");
            let foreign = other.and_then(|name| self.env.get_template(name).ok());
            let mut problem = match &foreign {
                Some(template) => wrong(root, template.source()),
                None => wrong(root, text),
            };
            problem.file = other.map(str::to_owned);
            Failure::Wrong(problem)
        })
    }
}

/// An error inside an include is wrapped once per level.
fn root_cause(error: &minijinja::Error) -> &minijinja::Error {
    let mut at = error;
    while let Some(source) =
        std::error::Error::source(at).and_then(|source| source.downcast_ref::<minijinja::Error>())
    {
        at = source;
    }
    at
}

fn kind_words(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::String => "text",
        ValueKind::Number => "a number",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Undefined | ValueKind::None => "nothing",
        _ => "something else",
    }
}

/// The inner part of a scalar that is `{{ one expression }}` and nothing else.
fn sole_expression<'t>(env: &Environment<'static>, text: &'t str) -> Option<&'t str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let marked = inner.starts_with(['-', '+']) || inner.ends_with(['-', '+']);
    (!marked && env.compile_expression_owned(inner.to_owned()).is_ok()).then_some(inner)
}
