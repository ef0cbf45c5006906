//! CSAF 2.0, profile 5 (VEX): https://docs.oasis-open.org/csaf/csaf/v2.0/, section 4.5.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{MOST_LISTED, Refusal, Statements, cut, name, product, time};
use crate::record::{Product, Statement, VexStatus};

/// Branches lie in branches; deeper than this is no product line.
const DEEPEST: usize = 32;

#[derive(Deserialize)]
struct Document {
    document: Head,
    #[serde(default)]
    product_tree: Tree,
    #[serde(default)]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
struct Head {
    category: String,
    #[serde(default)]
    publisher: Publisher,
    tracking: Tracking,
}

#[derive(Default, Deserialize)]
struct Publisher {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Tracking {
    id: String,
    #[serde(default)]
    current_release_date: Option<String>,
}

#[derive(Default, Deserialize)]
struct Tree {
    #[serde(default)]
    branches: Vec<Branch>,
    #[serde(default)]
    full_product_names: Vec<FullName>,
    #[serde(default)]
    relationships: Vec<Relationship>,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(default)]
    branches: Vec<Branch>,
    #[serde(default)]
    product: Option<FullName>,
}

#[derive(Deserialize)]
struct FullName {
    product_id: String,
    #[serde(default)]
    product_identification_helper: Helper,
}

#[derive(Default, Deserialize)]
struct Helper {
    #[serde(default)]
    purl: Option<String>,
}

/// A component of a product, with an id of its own.
#[derive(Deserialize)]
struct Relationship {
    full_product_name: FullName,
    product_reference: String,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(default)]
    cve: Option<String>,
    #[serde(default)]
    ids: Vec<OtherId>,
    #[serde(default)]
    product_status: Status,
    #[serde(default)]
    flags: Vec<Flag>,
    #[serde(default)]
    threats: Vec<Threat>,
}

#[derive(Deserialize)]
struct OtherId {
    text: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    known_not_affected: Vec<String>,
    #[serde(default)]
    known_affected: Vec<String>,
    #[serde(default)]
    fixed: Vec<String>,
    #[serde(default)]
    under_investigation: Vec<String>,
}

/// "flags": the machine-readable justification.
#[derive(Deserialize)]
struct Flag {
    label: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

/// "threats" of the category `impact`: the justification in words.
#[derive(Deserialize)]
struct Threat {
    category: String,
    details: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

/// # Errors
/// When it is no such document.
pub fn read(bytes: &[u8]) -> Result<Statements, Refusal> {
    let document: Document = serde_json::from_slice(bytes)?;
    if document.document.category != "csaf_vex" {
        return Err(Refusal::new("is CSAF of another profile than VEX"));
    }
    let urls = urls(&document.product_tree)?;
    let head = &document.document;
    let source = cut(&format!("{} ({})", head.publisher.name, head.tracking.id));
    let date = head.tracking.current_release_date.as_deref();
    let mut statements = Statements {
        newest: date.and_then(time),
        ..Statements::default()
    };
    for vulnerability in &document.vulnerabilities {
        let other = vulnerability.ids.first().map(|id| id.text.as_str());
        let named = name(
            "a vulnerability's name",
            vulnerability.cve.as_deref().or(other).unwrap_or_default(),
        );
        let named = match named {
            Ok(named) => named,
            Err(refusal) => {
                statements.refused.push(refusal);
                continue;
            }
        };
        let status = &vulnerability.product_status;
        let groups = [
            (VexStatus::NotAffected, &status.known_not_affected),
            (VexStatus::Affected, &status.known_affected),
            (VexStatus::Fixed, &status.fixed),
            (VexStatus::UnderInvestigation, &status.under_investigation),
        ];
        let ids = groups
            .into_iter()
            .flat_map(|(status, ids)| ids.iter().map(move |id| (status, id)));
        for (status, id) in ids {
            if statements.read.len() + statements.refused.len() >= MOST_LISTED {
                return Err(Refusal(format!("makes more than {MOST_LISTED} statements")));
            }
            match statement(vulnerability, status, id, &urls) {
                Ok((product, justification, impact)) => statements.read.push(Statement {
                    vulnerability: named.clone(),
                    aliases: Vec::new(),
                    product,
                    status,
                    justification,
                    impact,
                    source: source.clone(),
                    at: statements.newest,
                }),
                Err(Refusal(why)) => {
                    statements.refused.push(Refusal(format!("{named}: {why}")));
                }
            }
        }
    }
    Ok(statements)
}

fn statement(
    vulnerability: &Vulnerability,
    status: VexStatus,
    id: &str,
    urls: &BTreeMap<&str, &str>,
) -> Result<(Product, String, String), Refusal> {
    let url = urls
        .get(id)
        .ok_or_else(|| Refusal::new("a product has no package URL"))?;
    let product = product::read(url)?;
    let is_about = |ids: &[String]| ids.iter().any(|other| other == id);
    let flag = vulnerability
        .flags
        .iter()
        .find(|flag| is_about(&flag.product_ids));
    let impact = vulnerability
        .threats
        .iter()
        .find(|threat| threat.category == "impact" && is_about(&threat.product_ids));
    // "6.1.… for each item in known_not_affected, an impact statement SHALL exist as
    // machine-readable flag … or as human readable justification" (4.5).
    if status == VexStatus::NotAffected && flag.is_none() && impact.is_none() {
        return Err(Refusal::new("known_not_affected without a justification"));
    }
    Ok((
        product,
        flag.map(|flag| cut(&flag.label)).unwrap_or_default(),
        impact
            .map(|impact| cut(&impact.details))
            .unwrap_or_default(),
    ))
}

/// The package URL of each product id.
fn urls(tree: &Tree) -> Result<BTreeMap<&str, &str>, Refusal> {
    let mut urls = BTreeMap::new();
    let mut open: Vec<(usize, &Branch)> = tree.branches.iter().map(|branch| (1, branch)).collect();
    let mut names: Vec<&FullName> = tree.full_product_names.iter().collect();
    while let Some((depth, branch)) = open.pop() {
        if depth > DEEPEST {
            return Err(Refusal(format!("has branches in branches, {DEEPEST} deep")));
        }
        names.extend(&branch.product);
        open.extend(branch.branches.iter().map(|inner| (depth + 1, inner)));
    }
    for name in names {
        if let Some(url) = &name.product_identification_helper.purl {
            urls.insert(name.product_id.as_str(), url.as_str());
        }
    }
    for relationship in &tree.relationships {
        let own = relationship
            .full_product_name
            .product_identification_helper
            .purl
            .as_deref();
        let url = own.or_else(|| urls.get(relationship.product_reference.as_str()).copied());
        if let Some(url) = url {
            urls.insert(&relationship.full_product_name.product_id, url);
        }
    }
    Ok(urls)
}
