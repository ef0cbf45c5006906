//! OpenVEX 0.2.0 (https://github.com/openvex/spec).

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{MOST_LISTED, Refusal, Statements, cut, is_justification, name, product, time};
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
    products: Vec<Value>,
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
    // "timestamp … cascades down": a statement without one is of the time at which the document was
    // issued, whatever was changed in it since.
    let issued = document.timestamp.as_deref().and_then(time);
    for (at, said) in document.statements.iter().enumerate() {
        let refused = |Refusal(why)| Refusal(format!("statement {at}: {why}"));
        match statement(said, &source, issued) {
            Ok((said, no_products)) => {
                statements.read.extend(said);
                let no_products = no_products.into_iter().map(refused);
                statements.refused.extend(no_products);
            }
            Err(refusal) => statements.refused.push(refused(refusal)),
        }
    }
    Ok(statements)
}

/// What is said of each product, and why some of these are none that can be looked up: that takes
/// nothing from the others.
fn statement(
    said: &Value,
    source: &str,
    issued: Option<Timestamp>,
) -> Result<(Vec<Statement>, Vec<Refusal>), Refusal> {
    let mut said = Said::deserialize(said)?;
    if !is_justification(&said.justification) {
        said.justification.clear();
    }
    // "For [statuses] `not_affected` a VEX statement MUST include either a status justification
    // or an impact_statement".
    if said.status == VexStatus::NotAffected
        && said.justification.is_empty()
        && said.impact_statement.is_empty()
    {
        return Err(Refusal::new("says not_affected without a justification"));
    }
    // The newest statement decides: which that is must be told.
    let at = match said.timestamp.as_deref() {
        None => issued,
        Some(text) => {
            let unclear = || Refusal::new("its timestamp is no time");
            Some(time(text).ok_or_else(unclear)?)
        }
    };
    let (vulnerability, aliases) = match said.vulnerability {
        Vulnerability::Name(name) => (name, Vec::new()),
        Vulnerability::Full { name, aliases } => (name, aliases),
    };
    let vulnerability = name("a vulnerability's name", &vulnerability)?;
    let aliases = aliases
        .iter()
        .map(|alias| name("an alias", alias))
        .collect::<Result<Vec<_>, _>>()?;
    if said.products.is_empty() {
        return Err(Refusal::new("names no product by a package URL"));
    }
    let justification = cut(&said.justification);
    let impact = cut(&said.impact_statement);
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
    let (mut statements, mut refused) = (Vec::new(), Vec::new());
    for product in &said.products {
        match of_product(product) {
            Ok(product) => statements.push(one(product)),
            Err(refusal) => refused.push(refusal),
        }
    }
    Ok((statements, refused))
}

/// The package that a product means.
fn of_product(named: &Value) -> Result<Product, Refusal> {
    let named =
        Named::deserialize(named).map_err(|_| Refusal::new("names no product by a package URL"))?;
    match &named {
        Named::Id(id) => product::read(id),
        // What is said of a part inside of a product holds there, and nowhere else.
        Named::Full { subcomponents, .. } if !subcomponents.is_empty() => {
            Err(Refusal::new("is about a part inside of another product"))
        }
        Named::Full {
            id, identifiers, ..
        } => {
            let product = product::read(identifiers.purl.as_deref().unwrap_or(id))?;
            match id.starts_with("pkg:") && product::read(id)? != product {
                true => Err(Refusal::new("names a product by two package URLs")),
                false => Ok(product),
            }
        }
    }
}
