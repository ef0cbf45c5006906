//! Who holds a package where it is in a lockfile of npm: the packages that ask for it, found as Node
//! itself would find it. Pure: the lockfile is handed in.

use std::collections::BTreeSet;

use serde_json::Value;

/// A package as it is installed: its name and version.
pub(super) type Instance = (String, String);

/// What a package asks for.
const ASKS: [&str; 4] = [
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "devDependencies",
];

/// Where packages lie: `node_modules/NAME`, within each other.
const MODULES: &str = "node_modules/";

/// Is a package there in that version?
pub(super) fn has(lock: &Value, name: &str, version: &str) -> bool {
    places(lock).any(|(place, about)| {
        name_of(place) == Some(name) && about["version"].as_str() == Some(version)
    })
}

/// The packages that ask for one of these and get it. The project and its workspace are none: what they
/// ask for, people decide.
pub(super) fn holders(lock: &Value, held: &BTreeSet<Instance>) -> BTreeSet<Instance> {
    let mut holders = BTreeSet::new();
    for (place, about) in places(lock) {
        let (Some(name), Some(version)) = (name_of(place), about["version"].as_str()) else {
            continue;
        };
        let asks = |wanted: &str| {
            let mut lists = ASKS.iter();
            lists.any(|list| about[*list].get(wanted).is_some())
        };
        let gets = |(wanted, version): &Instance| {
            asks(wanted) && found_from(lock, place, wanted) == Some(version)
        };
        if held.iter().any(gets) {
            holders.insert((name.to_owned(), version.to_owned()));
        }
    }
    holders
}

fn places(lock: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let packages = lock["packages"].as_object();
    packages
        .into_iter()
        .flatten()
        .map(|(place, about)| (&**place, about))
}

/// `@scope/name` of `node_modules/a/node_modules/@scope/name`; none of the project itself.
fn name_of(place: &str) -> Option<&str> {
    let (_, name) = place.rsplit_once(MODULES)?;
    Some(name)
}

/// The version that Node finds from there: in the package's own folder, then upwards
/// (nodejs.org/api/modules.html, "Loading from node_modules folders").
fn found_from<'a>(lock: &'a Value, place: &str, wanted: &str) -> Option<&'a str> {
    let mut folder = place;
    loop {
        let at = match folder {
            "" => format!("{MODULES}{wanted}"),
            folder => format!("{folder}/{MODULES}{wanted}"),
        };
        if let Some(version) = lock["packages"][&at]["version"].as_str() {
            return Some(version);
        }
        if folder.is_empty() {
            return None;
        }
        folder = folder
            .rsplit_once(MODULES)
            .map_or("", |(above, _)| above.trim_end_matches('/'));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instance(name: &str, version: &str) -> Instance {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn who_gets_the_version_holds_it() {
        let lock = json!({"packages": {
            "": {"dependencies": {"qs": "^6.0.0"}},
            "node_modules/express": {"version": "4.17.1",
                "dependencies": {"qs": "6.7.0", "body-parser": "1.19.0"}},
            "node_modules/express/node_modules/qs": {"version": "6.7.0"},
            "node_modules/express/node_modules/body-parser": {"version": "1.19.0",
                "dependencies": {"qs": "6.7.0"}},
            "node_modules/@scope/other": {"version": "1.0.0", "dependencies": {"qs": "^6.0.0"}},
            "node_modules/optional": {"version": "1.0.0", "peerDependencies": {"absent": "*"}},
            "node_modules/qs": {"version": "6.11.0"},
        }});
        assert!(has(&lock, "qs", "6.7.0") && has(&lock, "qs", "6.11.0"));
        assert!(!has(&lock, "qs", "6.9.0") && !has(&lock, "s", "6.7.0"));
        let of = |name: &str, version: &str| holders(&lock, &[instance(name, version)].into());
        let express = instance("express", "4.17.1");
        assert_eq!(
            of("qs", "6.7.0"),
            [express.clone(), instance("body-parser", "1.19.0")].into()
        );
        assert_eq!(
            of("qs", "6.11.0"),
            [instance("@scope/other", "1.0.0")].into()
        );
        assert_eq!(of("body-parser", "1.19.0"), [express].into());
        assert_eq!(of("absent", "1.0.0"), BTreeSet::new());
        assert_eq!(
            holders(&json!({"dependencies": {}}), &BTreeSet::new()),
            BTreeSet::new()
        );
    }
}
