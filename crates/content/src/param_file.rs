//! A file of parameters: a YAML mapping of names to values, as they would stand in a policy.

use std::collections::BTreeMap;

use model::HostPath;

use crate::error::{ContentError, ContentErrors, Place, Problems, SourceText};
use crate::files::LARGEST_FILE_BYTES;
use crate::yaml::{self, Node, Tree};

/// The values by name, as text; lists with commas. `shown` is how a person named the file.
///
/// # Errors
/// What is no such mapping, with its place.
pub fn read_param_file(
    shown: &str,
    bytes: &[u8],
) -> Result<BTreeMap<String, String>, ContentErrors> {
    let refused = |why: &str| {
        let name = model::printable(shown.as_bytes());
        ContentErrors::from(ContentError::without_place(format!("`{name}` {why}")))
    };
    if bytes.len() > LARGEST_FILE_BYTES {
        return Err(refused(
            "is larger than a file of parameters may be (1 MiB)",
        ));
    }
    let Ok(text) = str::from_utf8(bytes) else {
        return Err(refused("is not UTF-8 text"));
    };
    // The file's own lines are not quoted in a message: they may be secrets.
    let path = HostPath::literal("/");
    let source = SourceText::new(shown.to_owned(), shown.to_owned(), path, text.to_owned());
    let mut problems = Problems::default();
    let parsed = yaml::parse(&source, &mut problems).filter(|_| problems.is_empty());
    let Some(root) = parsed else {
        return Err(refused("is not YAML that a policy could have"));
    };
    let Tree::Map(entries) = &root.tree else {
        return Err(refused("is not a mapping of names to values"));
    };
    let mut values = BTreeMap::new();
    for entry in entries {
        let line = Place::new(&source, entry.key_span.clone())
            .source_line()
            .line;
        let value = value(&entry.value).ok_or_else(|| {
            let line = line.map_or_else(String::new, |line| format!(" on line {line}"));
            refused(&format!(
                "has a value that is no text, number, boolean or list of these{line}"
            ))
        })?;
        values.insert(entry.key.clone(), value);
    }
    Ok(values)
}

fn value(node: &Node) -> Option<String> {
    match &node.tree {
        Tree::Scalar { text, .. } => Some(text.clone()),
        Tree::List(items) => {
            let items: Option<Vec<String>> = items
                .iter()
                .map(|item| match &item.tree {
                    // A comma would part it.
                    Tree::Scalar { text, .. } if !text.contains(',') => Some(text.clone()),
                    _ => None,
                })
                .collect();
            Some(items?.join(","))
        }
        Tree::Null | Tree::Map(_) => None,
    }
}
