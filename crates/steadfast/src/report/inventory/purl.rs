//! Package URLs (ECMA-427): one name for a component across tools.

use model::component::{Component, Ecosystem, SourcePackage};
use packageurl::PackageUrl;

/// None when its name or version can't be written as one.
pub fn of(component: &Component) -> Option<String> {
    let (namespace, name) = split(component);
    let mut purl = PackageUrl::new(component.ecosystem.purl_type(), name).ok()?;
    if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
        purl.with_namespace(namespace).ok()?;
    }
    purl.with_version(component.version.as_str()).ok()?;
    if let Some(architecture) = component
        .architecture
        .as_deref()
        .filter(|name| !name.is_empty())
    {
        purl.add_qualifier("arch", architecture).ok()?;
    }
    let distribution = match &component.ecosystem {
        Ecosystem::Debian { release } => Some(("debian", release)),
        Ecosystem::OtherDpkg { id, release } | Ecosystem::Apk { id, release } => {
            Some((id.as_str(), release))
        }
        _ => None,
    };
    if let Some((id, Some(release))) = distribution {
        purl.add_qualifier("distro", format!("{id}-{release}"))
            .ok()?;
    }
    // What advisories are about, also where it is called as the package itself: without it nobody
    // who reads this knows whether it is.
    let is_known = |source: &&SourcePackage| {
        let same = (&source.name, &source.version) == (&component.name, &component.version);
        !same || component.ecosystem.purl_type() == "deb"
    };
    if let Some(source) = component.source.as_ref().filter(is_known) {
        let upstream = match source.version == component.version {
            true => source.name.clone(),
            false => format!("{}@{}", source.name, source.version),
        };
        purl.add_qualifier("upstream", upstream).ok()?;
    }
    Some(purl.to_string())
}

/// What a name has in front, as the types of purl-spec define it: a distribution, a scope, a
/// group, the beginning of a module's path.
pub fn split(component: &Component) -> (Option<&str>, &str) {
    let name = component.name.as_str();
    let parted = |separator| match name.rsplit_once(separator) {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    };
    match &component.ecosystem {
        Ecosystem::Debian { .. } => (Some("debian"), name),
        Ecosystem::OtherDpkg { id, .. } | Ecosystem::Apk { id, .. } => (Some(id), name),
        Ecosystem::Npm | Ecosystem::Go => parted('/'),
        Ecosystem::Maven => parted(':'),
        Ecosystem::CratesIo | Ecosystem::PyPi | Ecosystem::RubyGems => (None, name),
    }
}
