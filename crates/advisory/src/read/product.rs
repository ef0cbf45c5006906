//! Package URLs (purl-spec) as VEX documents name their products.

use std::str::FromStr;

use packageurl::PackageUrl;

use super::{Refusal, name};
use crate::record::Product;

/// # Errors
/// When the text is no package URL, or one that is narrower than what can be told apart here: of one
/// architecture, of another registry, or of a folder in it.
pub(super) fn read(text: &str) -> Result<Product, Refusal> {
    let text = name("a package URL", text)?;
    let url = PackageUrl::from_str(&text)
        .map_err(|error| Refusal(format!("`{text}` is no package URL: {error}")))?;
    if let Some(inside) = url.subpath() {
        return Err(Refusal(format!(
            "`{text}` is about `{inside}` in it alone, which is not told apart"
        )));
    }
    for (name, value) in url.qualifiers() {
        let is_for_all = match &**name {
            "distro" | "upstream" => true,
            "arch" => matches!(&**value, "source" | "all" | "any"),
            _ => false,
        };
        if !is_for_all {
            return Err(Refusal(format!(
                "`{text}` is about a part of what has this name: `{name}` is not told apart"
            )));
        }
    }
    let qualifier = |name: &str| {
        let value = url.qualifiers().get(name);
        value.map(ToString::to_string).unwrap_or_default()
    };
    Ok(Product {
        kind: url.ty().to_owned(),
        namespace: url.namespace().unwrap_or_default().to_owned(),
        name: url.name().to_owned(),
        version: url.version().unwrap_or_default().to_owned(),
        distro: qualifier("distro"),
        upstream: qualifier("upstream"),
    })
}
