//! A declared resource: read and checked as far as it can be without a host, and made
//! into a [`Resource`] for one host.

use std::collections::HashSet;
use std::sync::Arc;

use model::{Expectation, Severity};
use resource::Resource;

use crate::error::{ContentError, Place, Problems, SourceText};
use crate::template::{self, Failure, Given, Renderer, TemplateFiles, is_template};
use crate::template_file;
use crate::typed;
use crate::yaml::{Entry, Node, Style, Tree};

/// One item of a `want:` list.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    node: Node,
    source: Arc<SourceText>,
    /// Without any template in it, it is the same on every host.
    fixed: Option<Resource>,
    /// The template file of a `template`, by its path below the policy's root.
    template: Option<String>,
    /// How bad it is when a role's want is not met, where it says.
    pub(crate) severity: Option<Severity>,
}

impl Want {
    /// The kind's name, as written.
    pub(crate) fn kind(&self) -> Option<&str> {
        match &self.node.tree {
            Tree::Map(entries) => entries.first().map(|entry| entry.key.as_str()),
            _ => None,
        }
    }

    /// Reads an item. `sample` renders with samples of the parameters, so that a mistake
    /// around a template is found as well.
    pub(crate) fn read(
        node: &Node,
        source: &Arc<SourceText>,
        params: &[&str],
        sample: &Renderer<'_>,
        templates: &TemplateFiles,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut want = Self {
            node: node.clone(),
            source: Arc::clone(source),
            fixed: None,
            template: None,
            severity: None,
        };
        problems.keep(want.check_kind())?;
        let before = problems.len();
        want.template = problems
            .keep(template_file::find(node, source, templates))
            .flatten();
        if let Some(path) = &want.template {
            template_file::check(path, params, templates, problems);
        }
        check_templates(node, source, params, problems);
        if problems.len() > before {
            return None;
        }
        if !has_template(node) {
            want.fixed = Some(problems.keep(typed_resource(node, source).map_err(|r| r.error))?);
            return Some(want);
        }
        // A value that came from a sample proves nothing, whatever is wrong with it.
        if let Ok(rendered) = want.render(sample)
            && let Err(refused) = typed_resource(&rendered, source)
            && !refused.rendered
        {
            problems.push(refused.error);
            return None;
        }
        Some(want)
    }

    /// The same, of this severity.
    pub(crate) fn weighing(self, severity: Option<Severity>) -> Self {
        Self { severity, ..self }
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(&self.source, self.node.span.clone())
    }

    /// The resource on one host.
    pub(crate) fn resource(
        &self,
        renderer: &Renderer<'_>,
        templates: &TemplateFiles,
    ) -> Result<Resource, NotThere> {
        let mut resource = match &self.fixed {
            Some(resource) => resource.clone(),
            None => {
                let rendered = self.render(renderer)?;
                typed_resource(&rendered, &self.source)
                    .map_err(|refused| NotThere::Wrong(refused.error))?
            }
        };
        if let Some(path) = &self.template {
            template_file::render_into(&mut resource, path, renderer, templates)?;
        }
        Ok(resource)
    }

    /// The names that its templates take from outside.
    pub(crate) fn names(&self, templates: &TemplateFiles) -> HashSet<String> {
        let mut names = HashSet::new();
        scalars(&self.node, &mut |text| {
            if is_template(text) {
                names.extend(template::names_in(text));
            }
        });
        if let Some(path) = &self.template {
            names.extend(template_file::names(path, templates));
        }
        names
    }

    /// The resource of a declaration that is the same everywhere.
    pub(crate) fn without_templates(self) -> Result<Resource, ContentError> {
        let place = self.place();
        self.fixed
            .filter(|_| self.template.is_none())
            .ok_or_else(|| {
                ContentError::new("a template where none can stand", place)
                    .help("write the value itself")
            })
    }

    fn check_kind(&self) -> Result<(), ContentError> {
        let wrong = |message: String, span: std::ops::Range<usize>| {
            ContentError::new(message, Place::new(&self.source, span))
        };
        let form = "one kind and its keys, as in `- sysctl: {key: …, value: …}`";
        match &self.node.tree {
            Tree::Map(entries) if entries.len() == 1 => {
                let entry = &entries[0];
                if Resource::KINDS.contains(&entry.key.as_str()) {
                    return Ok(());
                }
                let key = model::printable(entry.key.as_bytes());
                Err(wrong(
                    format!("unknown kind of resource `{key}`"),
                    entry.key_span.clone(),
                )
                .maybe_help(crate::error::suggestion(
                    &entry.key,
                    Resource::KINDS.iter().copied(),
                ))
                .or_help(format!("there are: {}", Resource::KINDS.join(", "))))
            }
            Tree::Map(entries) if entries.len() > 1 => Err(wrong(
                "more than one kind in one item".to_owned(),
                entries[1].key_span.clone(),
            )
            .help("start each resource with `- `, and indent its keys below its kind")),
            _ => Err(wrong(
                format!("{} where a resource is wanted", self.node.kind()),
                self.node.span.clone(),
            )
            .help(form)),
        }
    }

    fn render(&self, renderer: &Renderer<'_>) -> Result<Node, NotThere> {
        render(&self.node, renderer, &self.source)
    }
}

/// Why a resource is not there on a host.
pub(crate) enum NotThere {
    Unknown(model::value::Reason),
    Wrong(ContentError),
}

/// A template's failure, at its place in the file.
pub(crate) fn at_node(failure: Failure, node: &Node, source: &Arc<SourceText>) -> NotThere {
    match failure {
        Failure::Unknown(reason) => NotThere::Unknown(reason),
        Failure::Wrong(problem) => NotThere::Wrong(problem_at(problem, node, source)),
    }
}

pub(crate) fn problem_at(
    problem: template::Problem,
    node: &Node,
    source: &Arc<SourceText>,
) -> ContentError {
    let span = node.locate(source.text(), problem.range);
    ContentError::new(problem.message, Place::new(source, span)).maybe_help(problem.help)
}

fn render(
    node: &Node,
    renderer: &Renderer<'_>,
    source: &Arc<SourceText>,
) -> Result<Node, NotThere> {
    let tree = match &node.tree {
        Tree::Scalar { text, .. } if is_template(text) => {
            match renderer
                .scalar(text)
                .map_err(|failure| at_node(failure, node, source))?
            {
                Given::Text(text) => rendered(text),
                Given::List(items) => Tree::List(
                    items
                        .into_iter()
                        .map(|item| Node {
                            span: node.span.clone(),
                            tree: rendered(item),
                        })
                        .collect(),
                ),
            }
        }
        Tree::Null | Tree::Scalar { .. } => node.tree.clone(),
        Tree::List(items) => Tree::List(
            items
                .iter()
                .map(|item| render(item, renderer, source))
                .collect::<Result<_, _>>()?,
        ),
        Tree::Map(entries) => Tree::Map(
            entries
                .iter()
                .map(|entry| {
                    Ok(Entry {
                        key: entry.key.clone(),
                        key_span: entry.key_span.clone(),
                        value: render(&entry.value, renderer, source)?,
                    })
                })
                .collect::<Result<_, _>>()?,
        ),
    };
    Ok(Node {
        span: node.span.clone(),
        tree,
    })
}

fn rendered(text: String) -> Tree {
    Tree::Scalar {
        text,
        style: Style::Rendered,
    }
}

fn has_template(node: &Node) -> bool {
    let mut found = false;
    scalars(node, &mut |text| found |= is_template(text));
    found
}

/// Each scalar's text, values only.
fn scalars(node: &Node, visit: &mut dyn FnMut(&str)) {
    match &node.tree {
        Tree::Null => {}
        Tree::Scalar { text, .. } => visit(text),
        Tree::List(items) => items.iter().for_each(|item| scalars(item, visit)),
        Tree::Map(entries) => entries
            .iter()
            .for_each(|entry| scalars(&entry.value, visit)),
    }
}

fn check_templates(
    node: &Node,
    source: &Arc<SourceText>,
    params: &[&str],
    problems: &mut Problems,
) {
    match &node.tree {
        Tree::Null => {}
        Tree::Scalar { text, .. } if is_template(text) => {
            if let Err(problem) = template::check(text, params) {
                problems.push(problem_at(problem, node, source));
            }
        }
        Tree::Scalar { .. } => {}
        Tree::List(items) => {
            for item in items {
                check_templates(item, source, params, problems);
            }
        }
        Tree::Map(entries) => {
            for entry in entries {
                if is_template(&entry.key) {
                    problems.push(
                        ContentError::new(
                            "a template in a key",
                            Place::new(source, entry.key_span.clone()),
                        )
                        .help("only values may be templates"),
                    );
                }
                check_templates(&entry.value, source, params, problems);
            }
        }
    }
}

/// The resource that a tree without templates declares.
fn typed_resource(node: &Node, source: &Arc<SourceText>) -> Result<Resource, typed::Refused> {
    let kind = match &node.tree {
        Tree::Map(entries) => entries.first().map_or("", |entry| entry.key.as_str()),
        _ => "",
    };
    let what = format!("a `{kind}` resource");
    let form = || format!("`steadfast schema` has the form of {what}");
    let resource: Resource = typed::read(node, &what, source).map_err(|mut refused| {
        refused.error = refused.error.or_help(form());
        refused
    })?;
    check_bounds(node, source)?;
    resource.check().map_err(|why| typed::Refused {
        error: ContentError::new(why, Place::new(source, node.span.clone())).help(form()),
        rendered: node.is_rendered(),
    })?;
    Ok(resource)
}

/// In every bound, the value to set must satisfy the bound.
fn check_bounds(node: &Node, source: &Arc<SourceText>) -> Result<(), typed::Refused> {
    let inner: Vec<&Node> = match &node.tree {
        Tree::Null | Tree::Scalar { .. } => return Ok(()),
        Tree::List(items) => items.iter().collect(),
        Tree::Map(entries) => entries.iter().map(|entry| &entry.value).collect(),
    };
    if let Some(set) = node.get("set")
        && let Ok(expectation) = typed::read::<Expectation>(node, "", source)
        && !matches!(expectation, Expectation::Exactly(_))
        && !expectation.is_consistent()
    {
        return Err(typed::Refused {
            error: ContentError::new(
                "the value to set does not satisfy its own bound",
                Place::new(source, set.span.clone()),
            )
            .help("`set` is what a fix writes, so the bound has to allow it"),
            rendered: node.is_rendered(),
        });
    }
    inner
        .into_iter()
        .try_for_each(|node| check_bounds(node, source))
}
