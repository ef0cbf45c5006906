//! OpenVEX 0.2.0 (https://github.com/openvex/spec).

use serde::Deserialize;
use serde_json::Value;

use super::{MOST_LISTED, Refusal, Statements, cut, name, product, time};
use crate::record::{Product, Statement, VexStatus};

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@context")]
    context: String,
    #[serde(rename = "@id", default)]
    id: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(default)]
    last_updated: Option<String>,
    statements: Vec<Value>,
}

#[derive(Deserialize)]
struct Said {
    vulnerability: Vulnerability,
    #[serde(default)]
    products: Vec<Named>,
    status: VexStatus,
    #[serde(default)]
    justification: String,
    #[serde(default)]
    impact_statement: String,
    #[serde(default)]
    timestamp: Option<String>,
}

/// A name alone was the form of 0.0.x.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    Name(String),
    Full {
        name: String,
        #[serde(default)]
        aliases: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Id(String),
    Full {
        #[serde(rename = "@id", default)]
        id: String,
        #[serde(default)]
        identifiers: Identifiers,
        #[serde(default)]
        subcomponents: Vec<Value>,
    },
}

#[derive(Default, Deserialize)]
struct Identifiers {
    #[serde(default)]
    purl: Option<String>,
}

/// # Errors
/// When it is no such document.
pub fn read(bytes: &[u8]) -> Result<Statements, Refusal> {
    let document: Document = serde_json::from_slice(bytes)?;
    if !document.context.starts_with("https://openvex.dev/ns") {
        return Err(Refusal::new("its `@context` is not OpenVEX's"));
    }
    if document.statements.len() > MOST_LISTED {
        return Err(Refusal(format!("makes more than {MOST_LISTED} statements")));
    }
    let mut statements = Statements {
        newest: document
            .last_updated
            .as_deref()
            .or(document.timestamp.as_deref())
            .and_then(time),
        ..Statements::default()
    };
    let source = cut(&format!("{} ({})", document.author, document.id));
    for (at, said) in document.statements.iter().enumerate() {
        match statement(said, &source, &statements) {
            Ok(said) => statements.read.extend(said),
            Err(Refusal(why)) => statements
                .refused
                .push(Refusal(format!("statement {at}: {why}"))),
        }
    }
    Ok(statements)
}

fn statement(said: &Value, source: &str, of: &Statements) -> Result<Vec<Statement>, Refusal> {
    let said = Said::deserialize(said)?;
    // "For [statuses] `not_affected` a VEX statement MUST include either a status justification
    // or an impact_statement".
    if said.status == VexStatus::NotAffected
        && said.justification.is_empty()
        && said.impact_statement.is_empty()
    {
        return Err(Refusal::new("says not_affected without a justification"));
    }
    let (vulnerability, aliases) = match said.vulnerability {
        Vulnerability::Name(name) => (name, Vec::new()),
        Vulnerability::Full { name, aliases } => (name, aliases),
    };
    let vulnerability = name("a vulnerability's name", &vulnerability)?;
    let aliases = aliases
        .iter()
        .map(|alias| name("an alias", alias))
        .collect::<Result<Vec<_>, _>>()?;
    let products = said
        .products
        .iter()
        .map(of_product)
        .collect::<Result<Vec<_>, _>>()?;
    if products.is_empty() {
        return Err(Refusal::new("names no product by a package URL"));
    }
    let justification = cut(&said.justification);
    let impact = cut(&said.impact_statement);
    let at = said.timestamp.as_deref().and_then(time).or(of.newest);
    let one = |product| Statement {
        vulnerability: vulnerability.clone(),
        aliases: aliases.clone(),
        product,
        status: said.status,
        justification: justification.clone(),
        impact: impact.clone(),
        source: source.to_owned(),
        at,
    };
    Ok(products.into_iter().map(one).collect())
}

/// The package that a product means.
fn of_product(named: &Named) -> Result<Product, Refusal> {
    match named {
        Named::Id(id) => product::read(id),
        // What is said of a part inside of a product holds there, and nowhere else.
        Named::Full { subcomponents, .. } if !subcomponents.is_empty() => {
            Err(Refusal::new("is about a part inside of another product"))
        }
        Named::Full {
            id, identifiers, ..
        } => product::read(identifiers.purl.as_deref().unwrap_or(id)),
    }
}
