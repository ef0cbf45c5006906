//! Role files: what a host of some purpose should have, without a rule's metadata.

use std::borrow::Cow;
use std::sync::Arc;

use model::{RoleName, Severity};

use crate::error::{ContentError, Place, Problems, SourceText};
use crate::keys::{Keys, Shape, items};
use crate::param::{Params, read_params};
use crate::read::Reading;
use crate::want::Want;
use crate::yaml::{Node, Tree};

/// A role as it is declared.
#[derive(Clone, Debug)]
pub struct Role {
    pub name: RoleName,
    pub description: Option<String>,
    pub params: Params,
    /// Of its wants that do not say.
    pub severity: Option<Severity>,
    pub place: Place,
    pub(crate) includes: Vec<(RoleName, Place)>,
    pub(crate) want: Vec<Want>,
}

const ROLE: Shape<'_> = Shape {
    known: &[
        "role",
        "description",
        "severity",
        "params",
        "include",
        "want",
    ],
    needed: &["role"],
};

/// Reads `roles/NAME.yaml`; `stem` is NAME.
pub(crate) fn read_file(
    root: &Node,
    stem: &str,
    source: &Arc<SourceText>,
    reading: &Reading<'_>,
    problems: &mut Problems,
) -> Option<Role> {
    let keys = Keys::of(root, "a role", ROLE, source, problems)?;
    let params = match keys.node("params") {
        Some(node) => read_params(node, false, source, problems),
        None => Params::new(),
    };
    let mut includes = Vec::new();
    if let Some(node) = keys.node("include") {
        for item in items(node, "include", source, problems)? {
            let name = crate::typed::read_key(item, "include", "a role", source);
            if let Some(name) = problems.keep(name.map_err(|refused| refused.error)) {
                includes.push((name, keys.place_of(item)));
            }
        }
    }
    let names: Vec<&str> = params.keys().map(String::as_str).collect();
    let sample = reading.sample(&params);
    let mut want = Vec::new();
    if let Some(list) = keys.node("want") {
        for item in items(list, "want", source, problems)? {
            let (item, severity) = apart(item);
            let severity = severity.map(|node| {
                crate::typed::read(node, "severity", source)
                    .map_err(|refused: crate::typed::Refused| refused.error)
            });
            let severity = severity.and_then(|read| problems.keep(read));
            let read = Want::read(&item, source, &names, &sample, reading.templates, problems);
            want.extend(read.map(|want| want.weighing(severity)));
        }
    }
    if want.is_empty() && includes.is_empty() && keys.node("want").is_none() {
        problems.push(
            ContentError::new("a role that wants nothing", keys.place())
                .help("give it `want:`, or `include:` other roles"),
        );
    }
    let name: RoleName = keys.value("role", problems)?;
    if name.as_str() != stem
        && let Some(node) = keys.node("role")
    {
        problems.push(
            ContentError::new(
                format!("role `{name}` in a file of another name"),
                keys.place_of(node),
            )
            .help(format!(
                "a role stands in `roles/NAME.yaml`: this would be `{name}.yaml`"
            )),
        );
    }
    Some(Role {
        name,
        description: keys.value("description", problems),
        params,
        severity: keys
            .node("severity")
            .and_then(|_| keys.value("severity", problems)),
        place: keys.place(),
        includes,
        want,
    })
}

/// A want without its `severity:`, and that; a kind has no key of this name beside it.
fn apart(item: &Node) -> (Cow<'_, Node>, Option<&Node>) {
    let Tree::Map(entries) = &item.tree else {
        return (Cow::Borrowed(item), None);
    };
    let Some(said) = entries.iter().find(|entry| entry.key == "severity") else {
        return (Cow::Borrowed(item), None);
    };
    let others = entries
        .iter()
        .filter(|entry| entry.key != "severity")
        .cloned()
        .collect();
    let want = Node {
        span: item.span.clone(),
        tree: Tree::Map(others),
    };
    (Cow::Owned(want), Some(&said.value))
}
