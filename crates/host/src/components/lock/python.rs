//! Lockfiles of Poetry, uv and Pipenv, and pip's requirements.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use advisory::version::Order;
use model::dependency::{Locked, LockedFrom};
use model::value::Reason;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::Packages;
use super::cargo::{get, string, table, tables};
use super::lines::{Counter, Keys};
use crate::components::source::malformed;

/// A requirement may go on over so many lines: one hash a line for each file of a release.
const MOST_LINES_OF_ONE: usize = 10_000;

fn normal(name: &str) -> String {
    Order::Python.normal_name(name)
}

type Places = BTreeMap<String, Vec<usize>>;

pub(super) fn poetry(lock: &str, manifest: Option<&str>) -> Result<Vec<Locked>, Reason> {
    let lock_table = table(lock)?;
    let mut counter = Counter::of(lock);
    let mut packages = Packages::default();
    let mut places = Places::new();
    let mut wants = Vec::new();
    for (place, package) in tables(&lock_table, "package") {
        let (Some(name), Some(version)) = (string(package, "name"), string(package, "version"))
        else {
            return Err(malformed("a package without a name or a version"));
        };
        // "legacy" is another index; the others are repositories, folders and addresses.
        let source = get(package, "source").and_then(DeValue::as_table);
        let from = match source.and_then(|source| string(source, "type")) {
            None | Some("legacy") => LockedFrom::Registry,
            Some(_) => LockedFrom::Elsewhere,
        };
        let line = counter.line(place);
        let Some(at) = packages.add(from, name, version, Some(line))? else {
            continue;
        };
        let groups = get(package, "groups").and_then(DeValue::as_array);
        let is_main = |groups: &toml::de::DeArray<'_>| {
            groups
                .iter()
                .any(|group| group.get_ref().as_str() == Some("main"))
        };
        packages.all[at].development = string(package, "category") == Some("dev")
            || groups.is_some_and(|groups| !is_main(groups));
        places.entry(normal(name)).or_default().push(at);
        wants.push((at, package));
    }
    for (who, package) in wants {
        let needs = get(package, "dependencies").and_then(DeValue::as_table);
        for (name, _) in needs.into_iter().flatten() {
            need(&mut packages, &places, who, name.get_ref())?;
        }
    }
    if let Some(manifest) = manifest {
        let manifest = table(manifest)?;
        let project = packages.project()?;
        for name in asked_by_project(&manifest) {
            need(&mut packages, &places, project, &name)?;
        }
    }
    Ok(packages.done())
}

fn need(packages: &mut Packages, places: &Places, who: usize, name: &str) -> Result<(), Reason> {
    for what in places.get(&normal(name)).into_iter().flatten() {
        packages.need(who, *what)?;
    }
    Ok(())
}

fn inner<'a>(of: &'a DeTable<'_>, key: &str) -> Option<&'a DeTable<'a>> {
    get(of, key)?.as_table()
}

/// The names that a `pyproject.toml` asks for: PEP 621's and PEP 735's lists, and Poetry's tables.
fn asked_by_project(manifest: &DeTable<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut list = |value: &DeValue<'_>| {
        let all = value.as_array().into_iter().flat_map(|array| array.iter());
        names.extend(all.filter_map(|one| one.get_ref().as_str()).map(name_of));
    };
    if let Some(project) = inner(manifest, "project") {
        if let Some(value) = get(project, "dependencies") {
            list(value);
        }
        for (_, group) in inner(project, "optional-dependencies")
            .into_iter()
            .flatten()
        {
            list(group.get_ref());
        }
    }
    for (_, group) in inner(manifest, "dependency-groups").into_iter().flatten() {
        list(group.get_ref());
    }
    if let Some(poetry) = inner(manifest, "tool").and_then(|tool| inner(tool, "poetry")) {
        let mut tables = vec![
            inner(poetry, "dependencies"),
            inner(poetry, "dev-dependencies"),
        ];
        for (_, group) in inner(poetry, "group").into_iter().flatten() {
            tables.push(
                group
                    .get_ref()
                    .as_table()
                    .and_then(|it| inner(it, "dependencies")),
            );
        }
        for (name, _) in tables.into_iter().flatten().flatten() {
            names.insert(name.get_ref().to_string());
        }
    }
    names
}

/// The name that a requirement begins with (PEP 508).
fn name_of(requirement: &str) -> String {
    let end = requirement.find(|letter: char| {
        !(letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'))
    });
    requirement[..end.unwrap_or(requirement.len())].to_owned()
}

pub(super) fn uv(lock: &str) -> Result<Vec<Locked>, Reason> {
    let lock_table = table(lock)?;
    let mut counter = Counter::of(lock);
    let mut packages = Packages::default();
    let mut places = Places::new();
    let mut wants = Vec::new();
    for (place, package) in tables(&lock_table, "package") {
        let Some(name) = string(package, "name") else {
            return Err(malformed("a package without a name"));
        };
        let source = get(package, "source").and_then(DeValue::as_table);
        let has = |key: &str| source.is_some_and(|source| source.contains_key(key));
        let from = if has("editable") || has("virtual") {
            LockedFrom::Project
        } else if has("registry") {
            LockedFrom::Registry
        } else {
            LockedFrom::Elsewhere
        };
        // A project may leave its version to its build.
        let version = string(package, "version").unwrap_or("0");
        let line = counter.line(place);
        if let Some(at) = packages.add(from, name, version, Some(line))? {
            places.entry(normal(name)).or_default().push(at);
            wants.push((at, package));
        }
    }
    for (who, package) in wants {
        let mut lists: Vec<&DeValue<'_>> = get(package, "dependencies").into_iter().collect();
        for key in ["optional-dependencies", "dev-dependencies"] {
            let groups = get(package, key).and_then(DeValue::as_table);
            lists.extend(groups.into_iter().flatten().map(|(_, list)| list.get_ref()));
        }
        for one in lists
            .into_iter()
            .filter_map(DeValue::as_array)
            .flat_map(|list| list.iter())
        {
            let Some(wanted) = one.get_ref().as_table() else {
                continue;
            };
            let (name, version) = (string(wanted, "name"), string(wanted, "version"));
            // The version is there where several are in the file.
            for what in places
                .get(&normal(name.unwrap_or_default()))
                .into_iter()
                .flatten()
            {
                if version.is_none_or(|version| packages.all[*what].version == version) {
                    packages.need(who, *what)?;
                }
            }
        }
    }
    Ok(packages.done())
}

/// `Pipfile.lock` says which versions, and the `Pipfile` what of it was asked for.
pub(super) fn pipenv(lock: &str, manifest: Option<&str>) -> Result<Vec<Locked>, Reason> {
    let lines = Keys::of(lock);
    let lock: Value =
        serde_json::from_str(lock).map_err(|error| malformed(format!("not JSON: {error}")))?;
    let mut packages = Packages::default();
    let mut places = Places::new();
    for (section, content) in lock.as_object().into_iter().flatten() {
        if section == "_meta" {
            continue;
        }
        for (name, package) in content.as_object().into_iter().flatten() {
            let version = package.get("version").and_then(Value::as_str);
            // `===` compares as text (PEP 440, "Arbitrary equality"): one version too.
            let pinned = version.and_then(|version| {
                let pinned = version.strip_prefix("===");
                pinned.or_else(|| version.strip_prefix("=="))
            });
            let pinned = pinned.map(str::trim);
            let from = match pinned {
                Some(_) => LockedFrom::Registry,
                None => LockedFrom::Elsewhere,
            };
            let version = pinned.or(version).unwrap_or("0");
            if let Some(at) = packages.add(from, name, version, lines.line(name))? {
                packages.all[at].development = section == "develop";
                places.entry(normal(name)).or_default().push(at);
            }
        }
    }
    if let Some(manifest) = manifest {
        let manifest = table(manifest)?;
        let project = packages.project()?;
        for (section, content) in &manifest {
            // Every other table is a category of packages.
            if matches!(
                &**section.get_ref(),
                "source" | "requires" | "scripts" | "pipenv"
            ) {
                continue;
            }
            for (name, _) in content.get_ref().as_table().into_iter().flatten() {
                need(&mut packages, &places, project, name.get_ref())?;
            }
        }
    }
    Ok(packages.done())
}

/// A pinned line of a requirements file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub name: String,
    pub version: String,
    /// From 1.
    pub line: u32,
    /// `[extra]`, `; python_version < "3.9"`: what stands beside the version, as it is written.
    pub extras: String,
    pub marker: String,
    /// It names the digests of the files that may be installed.
    pub has_hashes: bool,
    /// Where the version stands, in bytes from the beginning of the file.
    version_at: usize,
}

/// What a line of a requirements file is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Pin(Pin),
    Include(Include),
    /// A name, and which versions of it would do.
    Unpinned {
        name: String,
        range: String,
    },
    /// A repository, an address, a folder.
    Elsewhere(String),
    /// What pip is told besides, or nothing.
    Option,
    Empty,
}

/// Another file that a requirements file takes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// As it is written: relative to the folder of the file that says it.
    pub path: String,
    /// From 1.
    pub line: u32,
}

/// Each line of a requirements file, with its number.
fn lines(text: &str) -> Result<Vec<(u32, Line)>, Reason> {
    let mut found = Vec::new();
    let mut lines = (1u32..).zip(text.split_inclusive('\n'));
    let mut at = 0;
    while let Some((number, first)) = lines.next() {
        let start = at;
        at += first.len();
        let mut whole = Cow::Borrowed(first);
        let mut count = 1;
        while whole.trim_end().ends_with('\\') {
            let Some((_, more)) = lines.next() else { break };
            at += more.len();
            count += 1;
            if count > MOST_LINES_OF_ONE {
                return Err(malformed(format!("line {number} does not end")));
            }
            whole.to_mut().push_str(more);
        }
        let line = match pin(&whole, start, number) {
            Some(pin) => Line::Pin(pin),
            None => other(&whole, number),
        };
        found.push((number, line));
    }
    Ok(found)
}

/// The pinned lines (`name==1.2.3`) of a requirements file. Options, addresses, folders and what
/// is not pinned are left out: their number is the second.
pub fn pins(text: &str) -> Result<(Vec<Pin>, usize), Reason> {
    let mut pins = Vec::new();
    let mut others = 0;
    for (_, line) in lines(text)? {
        match line {
            Line::Pin(pin) => pins.push(pin),
            Line::Empty => {}
            _ => others += 1,
        }
    }
    Ok((pins, others))
}

/// The files that a requirements file takes in: `-r base.txt`, and `-c constraints.txt`, which says
/// in which version what is asked for elsewhere is installed.
///
/// # Errors
/// As [`pins`].
pub fn includes(text: &str) -> Result<Vec<Include>, Reason> {
    let included = lines(text)?.into_iter().filter_map(|(_, line)| match line {
        Line::Include(include) => Some(include),
        _ => None,
    });
    Ok(included.collect())
}

/// A line that is no pin ("Requirements File Format", pip 25).
fn other(whole: &str, line: u32) -> Line {
    if is_empty(whole) {
        return Line::Empty;
    }
    let body = whole.split(" #").next().unwrap_or(whole).trim();
    let option = |names: [&str; 2]| {
        names.iter().find_map(|name| {
            let rest = body.strip_prefix(name)?;
            // `-rbase.txt` and `--requirement=base.txt` are taken as well.
            let is_whole = name.len() == 2 || rest.starts_with([' ', '\t', '=']);
            is_whole.then(|| rest.trim_start_matches([' ', '\t', '=']).to_owned())
        })
    };
    let included = option(["-r", "--requirement"]).or_else(|| option(["-c", "--constraint"]));
    if let Some(path) = included {
        return Line::Include(Include { path, line });
    }
    if let Some(what) = option(["-e", "--editable"]) {
        return Line::Elsewhere(what);
    }
    if body.starts_with('-') {
        return Line::Option;
    }
    let name = name_of(body);
    let rest = &body[name.len()..];
    let rest = rest.split([';', '\\']).next().unwrap_or_default();
    let rest = rest.split(" --").next().unwrap_or_default();
    let after_extras = match rest.trim_start().strip_prefix('[') {
        Some(extras) => extras.split_once(']').map_or("", |(_, after)| after),
        None => rest,
    };
    let range = after_extras.trim();
    // `(>=1)` is how it was written once.
    let is_range = range.is_empty() || range.starts_with(['=', '<', '>', '!', '~', '(']);
    let is_name = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    // A file's name may begin as one of a package does.
    let is_file = [".whl", ".zip", ".tar.gz", ".tar.bz2"]
        .iter()
        .any(|end| name.ends_with(end));
    match is_name && is_range && !is_file {
        true => Line::Unpinned {
            name,
            range: match range {
                "" => "any version".to_owned(),
                range => range.to_owned(),
            },
        },
        false => Line::Elsewhere(body.to_owned()),
    }
}

/// "A line that begins with # is treated as a comment and ignored."
fn is_empty(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn pin(whole: &str, start: usize, line: u32) -> Option<Pin> {
    let body = whole.split(" #").next().unwrap_or(whole);
    let name = name_of(body.trim_start());
    // "must start and end with a letter or number" (PEP 508, Names): nothing that looks like an
    // option is one.
    if !name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
        return None;
    }
    let indent = body.len() - body.trim_start().len();
    let mut at = indent + name.len();
    let mut extras = "";
    let skip = |at: usize| at + (body[at..].len() - body[at..].trim_start().len());
    at = skip(at);
    if body[at..].starts_with('[') {
        let end = at + body[at..].find(']')? + 1;
        extras = &body[at..end];
        at = skip(end);
    }
    // `===` compares as text (PEP 440, "Arbitrary equality"): one version, and no other.
    let rest = body[at..]
        .strip_prefix("===")
        .or_else(|| body[at..].strip_prefix("=="))?;
    at = skip(at + (body[at..].len() - rest.len()));
    let version = body[at..]
        .split(|letter: char| letter.is_whitespace() || matches!(letter, ';' | '\\' | ',' | '#'))
        .next()?;
    // `==1.*` is no version.
    if version.is_empty() || version.contains('*') {
        return None;
    }
    let rest = &body[at + version.len()..];
    if rest.trim_start().starts_with(',') {
        return None;
    }
    let (marker, _) = rest.split_once("--").unwrap_or((rest, ""));
    let marker = marker.trim_matches(|letter: char| letter.is_whitespace() || letter == '\\');
    // Something that is not understood stands there: it is not taken for a pin.
    if !marker.is_empty() && !marker.starts_with(';') {
        return None;
    }
    Some(Pin {
        name,
        version: version.to_owned(),
        line,
        extras: extras.to_owned(),
        marker: marker.to_owned(),
        has_hashes: rest.contains("--hash"),
        version_at: start + at,
    })
}

/// The file with these pins at these versions; all else stays as it is, byte for byte.
pub fn requirements_with(text: &str, changes: &[(&Pin, &str)]) -> String {
    let mut changes = changes.to_vec();
    changes.sort_by_key(|(pin, _)| pin.version_at);
    let mut out = String::with_capacity(text.len() + changes.len() * 8);
    let mut at = 0;
    for (pin, version) in changes {
        out.push_str(&text[at..pin.version_at]);
        out.push_str(version);
        at = pin.version_at + pin.version.len();
    }
    out.push_str(&text[at..]);
    out
}

pub(super) fn requirements(text: &str) -> Result<Vec<Locked>, Reason> {
    let mut packages = Packages::default();
    let project = packages.project()?;
    for (number, line) in lines(text)? {
        let (from, name, version) = match line {
            Line::Pin(pin) => (LockedFrom::Registry, pin.name, pin.version),
            Line::Unpinned { name, range } => (LockedFrom::Unpinned, name, range),
            Line::Elsewhere(what) => (LockedFrom::Elsewhere, shortened(&what), "0".to_owned()),
            Line::Include(_) | Line::Option | Line::Empty => continue,
        };
        if let Some(at) = packages.add(from, &name, &version, Some(number))? {
            packages.need(project, at)?;
        }
    }
    Ok(packages.done())
}

/// An address, as something to count.
fn shortened(what: &str) -> String {
    let letters = what.chars().filter(|letter| !letter.is_control());
    letters.take(200).collect()
}
