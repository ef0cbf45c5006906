//! CSAF 2.0, profile 5 (VEX): https://docs.oasis-open.org/csaf/csaf/v2.0/, section 4.5.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{MOST_LISTED, Refusal, Statements, cut, is_justification, name, product, time};
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
    csaf_version: Option<String>,
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
    #[serde(default)]
    product_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    group_id: String,
    #[serde(default)]
    product_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(default)]
    category: String,
    #[serde(default)]
    name: String,
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
    /// The form of CSAF 2.1.
    #[serde(default)]
    purls: Vec<String>,
    #[serde(default)]
    cpe: Option<String>,
}

impl Helper {
    fn url(&self) -> Option<&str> {
        match &self.purls[..] {
            [only] => self.purl.as_deref().or(Some(only)),
            _ => self.purl.as_deref(),
        }
    }
}

/// A component of a product, with an id of its own.
#[derive(Deserialize)]
struct Relationship {
    full_product_name: FullName,
    product_reference: String,
    #[serde(default)]
    relates_to_product_reference: String,
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
    first_affected: Vec<String>,
    #[serde(default)]
    last_affected: Vec<String>,
    #[serde(default)]
    fixed: Vec<String>,
    #[serde(default)]
    first_fixed: Vec<String>,
    #[serde(default)]
    under_investigation: Vec<String>,
    /// Of CSAF 2.1.
    #[serde(default)]
    unknown: Vec<String>,
}

/// "flags": the machine-readable justification.
#[derive(Deserialize)]
struct Flag {
    label: String,
    #[serde(default)]
    product_ids: Vec<String>,
    #[serde(default)]
    group_ids: Vec<String>,
}

/// "threats" of the category `impact`: the justification in words.
#[derive(Deserialize)]
struct Threat {
    category: String,
    details: String,
    #[serde(default)]
    product_ids: Vec<String>,
    #[serde(default)]
    group_ids: Vec<String>,
}

/// # Errors
/// When it is no such document.
pub fn read(bytes: &[u8]) -> Result<Statements, Refusal> {
    let document: Document = serde_json::from_slice(bytes)?;
    if document.document.category != "csaf_vex" {
        return Err(Refusal::new("is CSAF of another profile than VEX"));
    }
    // "csaf_version": another major version would mean something else by the same words.
    let version = document.document.csaf_version.as_deref();
    if let Some(version) = version.filter(|version| !version.starts_with("2.")) {
        return Err(Refusal(format!("CSAF {version:.20} is not known here")));
    }
    let products = Products::of(&document.product_tree)?;
    let head = &document.document;
    let source = cut(&format!("{} ({})", head.publisher.name, head.tracking.id));
    let date = head.tracking.current_release_date.as_deref();
    let mut statements = Statements {
        newest: date.and_then(time),
        ..Statements::default()
    };
    for vulnerability in &document.vulnerabilities {
        let ids = vulnerability.ids.iter().map(|id| id.text.as_str());
        let mut ids = vulnerability.cve.as_deref().into_iter().chain(ids);
        let named = name("a vulnerability's name", ids.next().unwrap_or_default());
        let aliases: Vec<String> = ids.filter_map(|id| name("an alias", id).ok()).collect();
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
            (VexStatus::Affected, &status.first_affected),
            (VexStatus::Affected, &status.last_affected),
            (VexStatus::Fixed, &status.fixed),
            (VexStatus::Fixed, &status.first_fixed),
            (VexStatus::UnderInvestigation, &status.under_investigation),
            (VexStatus::UnderInvestigation, &status.unknown),
        ];
        let ids = groups
            .into_iter()
            .flat_map(|(status, ids)| ids.iter().map(move |id| (status, id)));
        for (status, id) in ids {
            if statements.read.len() + statements.refused.len() >= MOST_LISTED {
                return Err(Refusal(format!("makes more than {MOST_LISTED} statements")));
            }
            match statement(vulnerability, status, id, &products) {
                Ok((product, justification, impact)) => statements.read.push(Statement {
                    vulnerability: named.clone(),
                    aliases: aliases.clone(),
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
    products: &Products<'_>,
) -> Result<(Product, String, String), Refusal> {
    let product = products
        .named
        .get(id)
        .ok_or_else(|| Refusal::new("a product is not defined"))?;
    let product = product.clone()?;
    // What is said of a part inside of a product holds there, and nowhere else. That it is affected
    // there may hold elsewhere too.
    let is_cleared = matches!(status, VexStatus::NotAffected | VexStatus::Fixed);
    if is_cleared && products.parts.contains(id) {
        return Err(Refusal::new("is about a part inside of another product"));
    }
    let is_about = |ids: &[String], groups: &[String]| {
        let of_groups = groups
            .iter()
            .filter_map(|group| products.groups.get(group.as_str()));
        ids.iter()
            .chain(of_groups.flat_map(|ids| ids.iter()))
            .any(|other| other == id)
    };
    let flag = vulnerability
        .flags
        .iter()
        .find(|flag| is_justification(&flag.label) && is_about(&flag.product_ids, &flag.group_ids));
    let impact = vulnerability.threats.iter().find(|threat| {
        threat.category == "impact"
            && !threat.details.trim().is_empty()
            && is_about(&threat.product_ids, &threat.group_ids)
    });
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

/// What the ids of a document mean.
#[derive(Default)]
struct Products<'a> {
    named: BTreeMap<&'a str, Result<Product, Refusal>>,
    /// Parts of other products, which are not an operating system's packages.
    parts: BTreeSet<&'a str>,
    groups: BTreeMap<&'a str, &'a [String]>,
}

/// What the branches above a product say of it.
#[derive(Clone, Copy, Default)]
struct Above<'a> {
    version: Option<&'a str>,
    /// What makes it a part of what its package URL names.
    narrower: Option<&'a str>,
}

impl<'a> Products<'a> {
    fn of(tree: &'a Tree) -> Result<Self, Refusal> {
        let mut all = Self::default();
        let mut systems: BTreeSet<&str> = BTreeSet::new();
        let mut names: Vec<(&FullName, Above<'_>)> = Vec::new();
        names.extend(
            tree.full_product_names
                .iter()
                .map(|it| (it, Above::default())),
        );
        let branches = tree.branches.iter();
        let mut open: Vec<_> = branches.map(|it| (1, it, Above::default())).collect();
        while let Some((depth, branch, mut above)) = open.pop() {
            if depth > DEEPEST {
                return Err(Refusal(format!("has branches in branches, {DEEPEST} deep")));
            }
            // 3.1.2.2: what a branch is about.
            match branch.category.as_str() {
                "product_version" => above.version = Some(&branch.name),
                "architecture"
                | "host_name"
                | "language"
                | "patch_level"
                | "product_version_range"
                | "service_pack"
                | "specification" => {
                    above.narrower = Some(&branch.category);
                }
                _ => {}
            }
            names.extend(branch.product.iter().map(|it| (it, above)));
            open.extend(branch.branches.iter().map(|it| (depth + 1, it, above)));
        }
        for (name, above) in names {
            let helper = &name.product_identification_helper;
            // "cpe:/o:…", and "cpe:2.3:o:…" of CPE 2.3.
            let cpe = helper.cpe.as_deref().unwrap_or_default();
            if cpe.starts_with("cpe:/o:") || cpe.starts_with("cpe:2.3:o:") {
                systems.insert(&name.product_id);
            }
            all.add(&name.product_id, of_branch(helper.url(), above));
        }
        for relationship in &tree.relationships {
            let name = &relationship.full_product_name;
            let own = name.product_identification_helper.url();
            let product = match (own, all.named.get(&*relationship.product_reference)) {
                (Some(url), _) => product::read(url),
                (None, Some(product)) => product.clone(),
                (None, None) => Err(Refusal::new("a product is not defined")),
            };
            let is_package = |product: &Product| matches!(&*product.kind, "apk" | "deb" | "rpm");
            let is_of_system = systems.contains(&*relationship.relates_to_product_reference)
                && product.as_ref().is_ok_and(is_package);
            if own.is_none() && !is_of_system {
                all.parts.insert(&name.product_id);
            }
            all.add(&name.product_id, product);
        }
        let groups = tree.product_groups.iter();
        all.groups = groups
            .map(|group| (&*group.group_id, &*group.product_ids))
            .collect();
        Ok(all)
    }

    /// 6.1.2: "Multiple Definition of Product ID".
    fn add(&mut self, id: &'a str, product: Result<Product, Refusal>) {
        let twice = self.named.get(id).is_some_and(|before| *before != product);
        let product = match twice {
            true => Err(Refusal::new("a product is defined twice")),
            false => product,
        };
        self.named.insert(id, product);
    }
}

/// The package of a product.
fn of_branch(url: Option<&str>, above: Above<'_>) -> Result<Product, Refusal> {
    let url = url.ok_or_else(|| Refusal::new("a product has no package URL"))?;
    let mut product = product::read(url)?;
    match above.narrower {
        // The package URL itself says which version is meant.
        Some("product_version_range") if !product.version.is_empty() => {}
        Some(what) => {
            return Err(Refusal(format!(
                "`{url}` is about a part of what has this name: `{what}` is not told apart"
            )));
        }
        None => {}
    }
    if let (true, Some(version)) = (product.version.is_empty(), above.version) {
        product.version = name("a version", version)?;
    }
    Ok(product)
}
