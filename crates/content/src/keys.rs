//! Reading a mapping of a policy file key by key: which keys there are, which must be
//! there, and what is wrong with each, all of it in one pass.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{ContentError, Place, Problems, SourceText, nearest, suggestion};
use crate::template::is_template;
use crate::typed;
use crate::yaml::{Entry, Node, Tree};

/// Which keys a mapping may have, and which of them it must.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'s> {
    pub(crate) known: &'s [&'s str],
    pub(crate) needed: &'s [&'s str],
}

pub(crate) struct Keys<'a> {
    pub(crate) source: &'a Arc<SourceText>,
    node: &'a Node,
    entries: &'a [Entry],
    /// As a message calls the mapping: "a rule".
    what: String,
}

impl<'a> Keys<'a> {
    /// None, and a problem kept, when the node is not a mapping. An unknown or a missing
    /// key is a problem, and does not hide what else is wrong.
    pub(crate) fn of(
        node: &'a Node,
        what: impl Into<String>,
        shape: Shape<'_>,
        source: &'a Arc<SourceText>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let what = what.into();
        let Tree::Map(entries) = &node.tree else {
            let seen = match node.tree {
                Tree::Null => "is empty".to_owned(),
                _ => format!("is {}", node.kind()),
            };
            problems.push(
                ContentError::new(
                    format!("{what} {seen}, wanted a mapping of keys"),
                    Place::new(source, node.span.clone()),
                )
                .help("write keys with their values, one below the other: `key: value`"),
            );
            return None;
        };
        let is_there = |key: &str| entries.iter().any(|entry| entry.key == key);
        let mut misspelt = Vec::new();
        for entry in entries {
            let key = entry.key.as_str();
            if shape.known.contains(&key) {
                continue;
            }
            let free = shape.known.iter().filter(|key| !is_there(key)).copied();
            misspelt.extend(nearest(key, free.clone()));
            let shown = model::printable(key.as_bytes());
            problems.push(
                ContentError::new(
                    format!("unknown key `{shown}` in {what}"),
                    Place::new(source, entry.key_span.clone()),
                )
                .maybe_help(suggestion(key, free))
                .or_help("`steadfast schema` has all keys"),
            );
        }
        let missing: Vec<String> = shape
            .needed
            .iter()
            .filter(|key| !is_there(key) && !misspelt.contains(key))
            .map(|key| format!("`{key}`"))
            .collect();
        if !missing.is_empty() {
            let noun = if missing.len() == 1 { "key" } else { "keys" };
            let needed: Vec<String> = shape.needed.iter().map(|key| format!("`{key}`")).collect();
            problems.push(
                ContentError::new(
                    format!("missing {noun} {} in {what}", missing.join(", ")),
                    Place::new(source, node.span.clone()),
                )
                .help(format!("{what} needs {}", needed.join(", "))),
            );
        }
        Some(Self {
            source,
            node,
            entries,
            what,
        })
    }

    /// The same for a mapping whose keys are names that somebody chose.
    pub(crate) fn of_any(
        node: &'a Node,
        what: impl Into<String>,
        source: &'a Arc<SourceText>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let known: Vec<&str> = match &node.tree {
            Tree::Map(entries) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            _ => Vec::new(),
        };
        let shape = Shape {
            known: &known,
            needed: &[],
        };
        Self::of(node, what, shape, source, problems)
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(self.source, self.node.span.clone())
    }

    pub(crate) fn place_of(&self, node: &Node) -> Place {
        Place::new(self.source, node.span.clone())
    }

    pub(crate) fn node(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    pub(crate) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The key's value; none when it is not there, which was said already if it must be,
    /// or is wrong.
    pub(crate) fn value<T: DeserializeOwned>(
        &self,
        key: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        let node = self.node(key)?;
        problems.keep(self.typed(key, node))
    }

    /// Text with something in it.
    pub(crate) fn text(&self, key: &str, problems: &mut Problems) -> Option<String> {
        let text: String = self.value(key, problems)?;
        if text.trim().is_empty() {
            let node = self.node(key).unwrap_or(self.node);
            problems.push(
                ContentError::new(
                    format!("`{key}` is empty in {}", self.what),
                    self.place_of(node),
                )
                .help("it is shown to whoever reads a report: say it in a sentence"),
            );
            return None;
        }
        Some(text)
    }

    fn typed<T: DeserializeOwned>(&self, key: &str, node: &Node) -> Result<T, ContentError> {
        if let Some(span) = template_within(node) {
            return Err(ContentError::new(
                format!("a template in `{key}` of {}", self.what),
                Place::new(self.source, span),
            )
            .help("templates stand in `want:` only"));
        }
        typed::read_key(node, key, &self.what, self.source).map_err(|refused| {
            let help = format!("`steadfast schema` has the form of {}", self.what);
            refused.error.or_help(help)
        })
    }
}

/// The first scalar that is a template.
fn template_within(node: &Node) -> Option<std::ops::Range<usize>> {
    match &node.tree {
        Tree::Null => None,
        Tree::Scalar { text, .. } => is_template(text).then(|| node.span.clone()),
        Tree::List(items) => items.iter().find_map(template_within),
        Tree::Map(entries) => entries
            .iter()
            .find_map(|entry| template_within(&entry.value)),
    }
}

/// The items of a list; none, and a problem kept, when it is not one.
pub(crate) fn items<'a>(
    node: &'a Node,
    key: &str,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<&'a [Node]> {
    if let Tree::List(items) = &node.tree {
        return Some(items);
    }
    problems.push(
        ContentError::new(
            format!("`{key}` is {}, wanted a list", node.kind()),
            Place::new(source, node.span.clone()),
        )
        .help("write each item on a line of its own that begins with `- `"),
    );
    None
}
