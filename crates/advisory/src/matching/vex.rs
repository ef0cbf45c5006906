//! VEX: what somebody who answers for a product says of a vulnerability in it, which may make an
//! affected version one that is not.

use model::Component;

use super::{Judged, Subject, Verdict, distro, purl_type};
use crate::index::{Index, IndexError, Said};
use crate::record::VexStatus;

/// Lets the newest statement about this product decide; of equally new ones the worst.
pub(super) fn apply<'a>(
    indexes: &[Index<'a>],
    judged: &mut Judged<'a>,
    subject: &Subject,
    components: &[&Component],
) -> Result<(), IndexError> {
    if matches!(judged.verdict, Verdict::Fixed { .. }) {
        return Ok(());
    }
    let mut said: Vec<Said<'a>> = Vec::new();
    for index in indexes {
        let id = judged.advisory.id()?;
        said.extend(index.statements(judged.name)?);
        if id != judged.name {
            said.extend(index.statements(id)?);
        }
    }
    if said.is_empty() {
        return Ok(());
    }
    said.retain(|said| is_about(said, subject, components));
    let Some(newest) = said.iter().max_by_key(|said| (said.at, said.status)) else {
        return Ok(());
    };
    match newest.status {
        VexStatus::NotAffected => {
            judged.verdict = Verdict::NotAffected {
                justification: newest.justification,
                impact: newest.impact,
                source: newest.source,
            };
        }
        // Only of a version that is named: "fixed" without one says not where.
        VexStatus::Fixed if !newest.version.is_empty() => {
            judged.verdict = Verdict::Fixed {
                since: newest.version,
            };
        }
        VexStatus::UnderInvestigation => judged.investigated = true,
        VexStatus::Affected | VexStatus::Fixed => {}
    }
    Ok(())
}

/// Is the statement about all that was installed of the subject? One about a single binary
/// package says nothing of another of the same source.
fn is_about(said: &Said<'_>, subject: &Subject, components: &[&Component]) -> bool {
    if components.is_empty() || purl_type(components) != Some(said.kind) {
        return false;
    }
    if !said.distro.is_empty() && distro(components).as_deref() != Some(said.distro) {
        return false;
    }
    if said.kind == "deb" && !matches!(said.namespace, "" | "debian") {
        return false;
    }
    let names_source = said.kind == "deb" && said.name == subject.name;
    let version_fits = |version: &str| said.version.is_empty() || said.version == version;
    if names_source && version_fits(&subject.version) {
        return true;
    }
    let names = |component: &&Component| {
        let separator = if said.kind == "maven" { ":" } else { "/" };
        let full = match (said.namespace, said.kind) {
            ("", _) | (_, "deb") => said.name.to_owned(),
            (namespace, _) => format!("{namespace}{separator}{}", said.name),
        };
        let same = match said.kind {
            "pypi" => crate::version::Order::Python.normal_name(&component.name) == full,
            "golang" => {
                let order = crate::version::Order::Go;
                order.normal(&component.name) == order.normal(&full)
            }
            _ => component.name == full,
        };
        same && version_fits(&component.version)
    };
    components.iter().all(names)
}
