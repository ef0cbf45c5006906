//! VEX: what somebody who answers for a product says of a vulnerability in it, which may make an
//! affected version one that is not.

use model::Component;

use super::{Judged, Subject, Verdict, distro, purl_type};
use crate::index::{Index, IndexError, Said};
use crate::record::VexStatus;

/// Lets the newest statement about this product decide; of equally new ones, and of those about
/// its parts, the worst.
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
    // Documents may speak of each package of a source by itself: all of them have to.
    let of_each: Option<Vec<&Said<'a>>> = components
        .iter()
        .map(|component| {
            let said = said
                .iter()
                .filter(|said| is_about(said, subject, component));
            said.max_by_key(|said| (said.at, said.status))
        })
        .collect();
    let of_each = of_each.unwrap_or_default().into_iter();
    let Some(newest) = of_each.max_by_key(|said| said.status) else {
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

/// The release as a package URL of ours names it: documents also say `bookworm`, and the point
/// release (`debian-12.5`).
fn release_of(said: &str) -> String {
    let said = said.to_ascii_lowercase();
    let name = said.strip_prefix("debian-").unwrap_or(&said);
    let release = match name {
        "buster" => "10",
        "bullseye" => "11",
        "bookworm" => "12",
        "trixie" => "13",
        name => name.split('.').next().unwrap_or(name),
    };
    match release.bytes().all(|byte| byte.is_ascii_digit()) {
        true => format!("debian-{release}"),
        false => said,
    }
}

/// Is the statement about this part of the subject? One about a single binary package says nothing
/// of another of the same source.
fn is_about(said: &Said<'_>, subject: &Subject, component: &Component) -> bool {
    if purl_type(&[component]) != Some(said.kind) {
        return false;
    }
    if !said.distro.is_empty() && distro(&[component]) != Some(release_of(said.distro)) {
        return false;
    }
    if said.kind == "deb" && !matches!(said.namespace, "" | "debian") {
        return false;
    }
    // Who says what it was built from speaks of a binary package, also where both have one name.
    let (source, source_version) = said.upstream.split_once('@').unwrap_or((said.upstream, ""));
    if said.kind == "deb"
        && !source.is_empty()
        && (source != subject.name
            || !(source_version.is_empty() || source_version == subject.version))
    {
        return false;
    }
    let names_source = said.kind == "deb" && said.name == subject.name && said.upstream.is_empty();
    let version_fits = |version: &str| said.version.is_empty() || said.version == version;
    if names_source && version_fits(&subject.version) {
        return true;
    }
    let separator = if said.kind == "maven" { ":" } else { "/" };
    let full = match (said.namespace, said.kind) {
        ("", _) | (_, "deb") => said.name.to_owned(),
        (namespace, _) => format!("{namespace}{separator}{}", said.name),
    };
    let same = match said.kind {
        "pypi" => {
            let order = crate::version::Order::Python;
            order.normal_name(&component.name) == order.normal_name(&full)
        }
        "golang" => {
            let order = crate::version::Order::Go;
            order.normal(&component.name) == order.normal(&full)
        }
        _ => component.name == full,
    };
    same && version_fits(&component.version)
}
