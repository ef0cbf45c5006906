//! Reading a mapping of a policy file key by key: which keys there are, which must be
//! there, and what is wrong with each, all of it in one pass.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::{ContentError, Place, Problems, SourceText, suggestion};
use crate::template::is_template;
use crate::typed;
use crate::yaml::{Entry, Node, Tree};

pub(crate) struct Keys<'a> {
    pub(crate) source: &'a Arc<SourceText>,
    node: &'a Node,
    entries: &'a [Entry],
    /// As a message calls the mapping: "a rule".
    what: String,
}

impl<'a> Keys<'a> {
    /// None, and a problem kept, when the node is not a mapping. An unknown key is a
    /// problem, and does not hide what else is wrong.
    pub(crate) fn of(
        node: &'a Node,
        what: impl Into<String>,
        known: &[&str],
        source: &'a Arc<SourceText>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let what = what.into();
        let Tree::Map(entries) = &node.tree else {
            problems.push(ContentError::new(
                format!("{what} is {}, wanted a mapping of keys", node.kind()),
                Place::new(source, node.span.clone()),
            ));
            return None;
        };
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                let free = known
                    .iter()
                    .filter(|key| !entries.iter().any(|entry| entry.key == **key))
                    .copied();
                let key = model::printable(entry.key.as_bytes());
                problems.push(
                    ContentError::new(
                        format!("unknown key `{key}` in {what}"),
                        Place::new(source, entry.key_span.clone()),
                    )
                    .maybe_help(suggestion(&entry.key, free)),
                );
            }
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
        Self::of(node, what, &known, source, problems)
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

    pub(crate) fn needed_node(&self, key: &str, problems: &mut Problems) -> Option<&'a Node> {
        let node = self.node(key);
        if node.is_none() {
            problems.push(ContentError::new(
                format!("missing key `{key}` in {}", self.what),
                self.place(),
            ));
        }
        node
    }

    /// The key's value; none when it is not there, or is wrong.
    pub(crate) fn optional<T: DeserializeOwned>(
        &self,
        key: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        let node = self.node(key)?;
        problems.keep(self.typed(key, node))
    }

    pub(crate) fn needed<T: DeserializeOwned>(
        &self,
        key: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        let node = self.needed_node(key, problems)?;
        problems.keep(self.typed(key, node))
    }

    /// Text with something in it.
    pub(crate) fn needed_text(&self, key: &str, problems: &mut Problems) -> Option<String> {
        let text: String = self.needed(key, problems)?;
        if text.trim().is_empty() {
            let node = self.node(key).unwrap_or(self.node);
            problems.push(ContentError::new(
                format!("`{key}` is empty in {}", self.what),
                self.place_of(node),
            ));
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
        typed::read_key(node, key, &self.what, self.source).map_err(|error| error.error)
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
    problems.push(ContentError::new(
        format!("`{key}` is {}, wanted a list", node.kind()),
        Place::new(source, node.span.clone()),
    ));
    None
}
