//! Package URLs (purl-spec) as VEX documents name their products.

use std::str::FromStr;

use packageurl::PackageUrl;

use super::{Refusal, name};
use crate::record::Product;

/// # Errors
/// When the text is no package URL.
pub(super) fn read(text: &str) -> Result<Product, Refusal> {
    let text = name("a package URL", text)?;
    let url = PackageUrl::from_str(&text)
        .map_err(|error| Refusal(format!("`{text}` is no package URL: {error}")))?;
    let distro = url.qualifiers().get("distro");
    Ok(Product {
        kind: url.ty().to_owned(),
        namespace: url.namespace().unwrap_or_default().to_owned(),
        name: url.name().to_owned(),
        version: url.version().unwrap_or_default().to_owned(),
        distro: distro.map(ToString::to_string).unwrap_or_default(),
    })
}
