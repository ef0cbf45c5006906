//! Template files: where a role finds them, what is checked of them when a policy is read,
//! and their text on one host.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use minijinja::machinery::{Token, tokenize};
use resource::Resource;

use crate::error::{ContentError, Place, Problems, SourceText, suggestion};
use crate::template::{self, Failure, Renderer, TemplateFiles, syntax};
use crate::want::NotThere;
use crate::yaml::{Node, Tree};

/// Includes of includes: a chain that is longer is a circle.
const DEEPEST_INCLUDE: usize = 16;

/// The path, below the policy's root, of the template that a `template` resource names;
/// none for a resource of another kind.
pub(crate) fn find(
    item: &Node,
    source: &Arc<SourceText>,
    templates: &TemplateFiles,
) -> Result<Option<String>, ContentError> {
    let Some(keys) = item.get("template") else {
        return Ok(None);
    };
    let Some(node) = keys.get("source") else {
        // The kind itself says that the key is missing.
        return Ok(None);
    };
    let Tree::Scalar { text, .. } = &node.tree else {
        return Ok(None);
    };
    let wrong = |message: String| ContentError::new(message, Place::new(source, node.span.clone()));
    if template::is_template(text) {
        return Err(wrong("a template in `source`".to_owned())
            .help("which template it is must be known when the policy is read"));
    }
    let Some((directory, stem)) = source
        .path_below()
        .strip_suffix(".yaml")
        .and_then(|path| path.rsplit_once('/'))
        .filter(|(directory, _)| *directory == "roles")
    else {
        return Err(wrong("a `template` outside of a role".to_owned()).help(
            "templates stand beside the role that uses them; elsewhere, a `file` has its `content`",
        ));
    };
    let candidates = [
        format!("{directory}/{stem}/{text}"),
        format!("{directory}/{text}"),
    ];
    if let Some(found) = candidates
        .into_iter()
        .find(|path| templates.contains_key(path))
    {
        return Ok(Some(found));
    }
    let own = format!("{directory}/{stem}/");
    let shared = format!("{directory}/");
    let known = templates
        .keys()
        .filter_map(|path| path.strip_prefix(&own).or(path.strip_prefix(&shared)));
    let shown = model::printable(text.as_bytes());
    Err(wrong(format!("no template `{shown}`"))
        .help(format!("it is looked for in `{own}` and `{shared}`"))
        .maybe_help(suggestion(text, known)))
}

/// Checks a template file, and the ones that it includes.
pub(crate) fn check(
    path: &str,
    params: &[&str],
    templates: &TemplateFiles,
    problems: &mut Problems,
) {
    check_file(path, Some(params), templates, 0, problems);
}

/// `params` is none for an included file: it sees whatever the including one has set.
fn check_file(
    path: &str,
    params: Option<&[&str]>,
    templates: &TemplateFiles,
    depth: usize,
    problems: &mut Problems,
) {
    let Some(source) = templates.get(path) else {
        return;
    };
    if let Some(why) = source.why_odd() {
        problems.push(
            ContentError::without_place(why.to_owned())
                .help("a role names it as a template, and templates are text"),
        );
        return;
    }
    let checked = match params {
        Some(params) => template::check(source.text(), params),
        None => template::check_without_names(source.text()),
    };
    if let Err(problem) = checked {
        problems.push(at_text(problem, source));
        return;
    }
    for (name, range) in includes(source.text()) {
        let place = || Place::new(source, range.clone());
        let included = template::join(&name, path);
        if depth >= DEEPEST_INCLUDE {
            problems.push(
                ContentError::new("templates include each other in a circle", place())
                    .help("take one of these includes out"),
            );
            return;
        }
        if templates.contains_key(&included) {
            check_file(&included, None, templates, depth + 1, problems);
        } else {
            let shown = model::printable(name.as_bytes());
            problems.push(
                ContentError::new(format!("no template `{shown}`"), place()).help(format!(
                    "it would be `{}` in the policy",
                    model::printable(included.as_bytes())
                )),
            );
        }
    }
}

/// The files that a template includes, extends or imports by a fixed name.
fn includes(text: &str) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut expected = false;
    for (token, span) in tokenize(text, false, syntax()).map_while(Result::ok) {
        match &token {
            Token::Ident("include" | "extends" | "import" | "from") => expected = true,
            Token::Str(name) if expected => {
                let range = span.start_offset as usize..span.end_offset as usize;
                found.push(((*name).to_owned(), range));
            }
            Token::BlockStart => {}
            _ => expected = false,
        }
    }
    found
}

/// The names that a template file, and the ones that it includes, take from outside.
pub(crate) fn names(path: &str, templates: &TemplateFiles) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut seen = HashSet::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        if let Some(source) = templates.get(&path)
            && seen.insert(path.clone())
        {
            names.extend(template::names_in(source.text()));
            let included = includes(source.text()).into_iter();
            open.extend(included.map(|(name, _)| template::join(&name, &path)));
        }
    }
    names
}

/// Fills in what the template of a `template` resource comes to.
pub(crate) fn render_into(
    resource: &mut Resource,
    path: &str,
    renderer: &Renderer<'_>,
    templates: &TemplateFiles,
) -> Result<(), NotThere> {
    let (Resource::Template(template), Some(source)) = (resource, templates.get(path)) else {
        return Ok(());
    };
    let text = renderer
        .file(path, source.text())
        .map_err(|failure| match failure {
            Failure::Unknown(reason) => NotThere::Unknown(reason),
            Failure::Wrong(problem) => {
                let file = problem.file.as_ref().and_then(|file| templates.get(file));
                NotThere::Wrong(at_text(problem.clone(), file.unwrap_or(source)))
            }
        })?;
    template.rendered = Some(text);
    Ok(())
}

fn at_text(problem: template::Problem, source: &Arc<SourceText>) -> ContentError {
    let span = problem.range.unwrap_or_else(|| {
        let line = problem.line.unwrap_or(1);
        line_span(source.text(), line)
    });
    ContentError::new(problem.message, Place::new(source, span)).maybe_help(problem.help)
}

fn line_span(text: &str, line: usize) -> Range<usize> {
    let mut start = 0;
    for (number, content) in (1..).zip(text.split_inclusive('\n')) {
        if number == line {
            return start..start + content.trim_end().len();
        }
        start += content.len();
    }
    0..0
}
