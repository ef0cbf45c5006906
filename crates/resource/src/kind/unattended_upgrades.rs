//! `unattended_upgrades`: what unattended-upgrades(8) would really install of the distribution's
//! security updates, by its own settings.

use std::collections::BTreeMap;

use model::plan::Risk;
use model::value::Reason;
use model::{HostPath, Probe, ResourceKey, SourceLine, printable};
use regex::RegexBuilder;
use schemars::JsonSchema;
use serde::Deserialize;

use super::apt_setting::{self, DEEPEST_INCLUDE, OURS};
use super::apt_sources;
use super::sshd::words::matches;
use crate::apt::conf::{self, Statement};
use crate::apt::pins::{self, Archive, ODD_NAMES, Pin, USUAL};
use crate::apt::{boolean, is_plain_name};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

/// Security updates of Debian that `unattended-upgrades` would install: its allowed origins
/// (`Unattended-Upgrade::Origins-Pattern` and `Allowed-Origins`) have Debian's security archive,
/// neither `Package-Blacklist` nor `Package-Whitelist` keeps all packages away, some day is left by
/// `Update-Days`, and no pin and no `APT::Default-Release` (apt_preferences(5)) makes what is installed,
/// or the release without its security updates, count more than that archive. Nor are they left for
/// when the host shuts down (`InstallOnShutdown`), is dpkg(1) told to do nothing, or is everything on
/// hold. That it runs at all is said by `APT::Periodic` (`apt_setting`).
///
/// Where no source of apt is one of security updates, it is unknown.
///
/// The fix adds the security archive to the origins. What the lists of packages say is left to a
/// person.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnattendedUpgrades {
    /// Which updates: `security`.
    pub origins: Origins,
}

/// Where updates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origins {
    /// The security archive of this release.
    Security,
}

const PATTERNS: &str = "unattended-upgrade::origins-pattern";
const ALLOWED: &str = "unattended-upgrade::allowed-origins";
const BLACKLIST: &str = "unattended-upgrade::package-blacklist";
const WHITELIST: &str = "unattended-upgrade::package-whitelist";
const DAYS: &str = "unattended-upgrade::update-days";
/// In lower case, as all of these.
const DEFAULT_RELEASE: &str = "apt::default-release";
const ON_SHUTDOWN: &str = "unattended-upgrade::installonshutdown";
const DPKG_OPTIONS: &str = "dpkg::options";
/// With these, dpkg(1) does nothing.
const NO_ACT: [&str; 3] = ["--no-act", "--simulate", "--dry-run"];
/// Packages that are on every host, essential or wanted by those that are.
const EVERYWHERE: [&str; 4] = ["libc6", "base-files", "bash", "dpkg"];
/// Pins, in the order in which apt reads them: the first that is about a package counts.
const PREFERENCES: &str = "/etc/apt/preferences";
const PREFERENCES_DIRECTORY: &str = "/etc/apt/preferences.d";
/// Its architecture is the host's.
const DPKG: &str = "dpkg";
/// As Debian's own file has it.
const SECURITY: &str = "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";
const RELEASE: &str = "/usr/lib/os-release";
/// What apt has fetched of each archive.
const LISTS: &str = "/var/lib/apt/lists";

/// Packages that have little in common but that they get security updates.
const SAMPLES: [&str; 6] = [
    "openssl",
    "libc6",
    "linux-image-amd64",
    "bash",
    "python3.11",
    "zlib1g",
];
/// A pattern of package names is short; compiled ones are bounded as well.
const LARGEST_PATTERN_BYTES: usize = 1 << 16;

impl Kind for UnattendedUpgrades {
    const NAME: &'static str = "unattended_upgrades";
    const PHASE: Phase = Phase::Source;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: "security".to_owned(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = apt_setting::probes(seen);
        probes.push(Probe::file(HostPath::literal(RELEASE)));
        probes.push(Probe::Dir {
            path: HostPath::literal(LISTS),
        });
        probes.extend(apt_sources::suite_probes(seen));
        probes.push(Probe::file(HostPath::literal(PREFERENCES)));
        probes.push(Probe::Dir {
            path: HostPath::literal(PREFERENCES_DIRECTORY),
        });
        probes.extend(preferences(seen).into_iter().flatten().map(Probe::file));
        probes.extend(EVERYWHERE.map(|name| Probe::Package {
            name: name.to_owned(),
        }));
        if let Ok(codename) = codename(seen) {
            probes.extend(
                lists(&codename, seen)
                    .into_iter()
                    .flatten()
                    .map(Probe::file),
            );
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let read = match read(seen) {
            Ok(read) => read,
            Err(judgement) => return judgement,
        };
        let mut drifts = Vec::new();
        let codename = match codename(seen) {
            Ok(codename) => codename,
            Err(reason) => return reason.into(),
        };
        let origins = || read.items(PATTERNS).chain(read.items(ALLOWED));
        let archives = match archives(&codename, seen) {
            Ok(archives) => archives,
            Err(reason) => return reason.into(),
        };
        let is_security = |item: &Item| match item.key.as_str() {
            ALLOWED => allows(&allowed_origin(&item.value), &codename, &archives.security),
            _ => allows(&item.value, &codename, &archives.security),
        };
        let by = origins().find(|item| is_security(item) == Some(true));
        let may_be = origins().find(|item| is_security(item).is_none());
        if by.is_none() && may_be.is_none() {
            drifts.push(origins_lack(&read, origins().next()));
        }
        for item in read.items(BLACKLIST) {
            match matches_all(&item.value) {
                Ok(true) => drifts.push(keeps_away(item)),
                Ok(false) => {}
                Err(why) => return why.into(),
            }
        }
        let mut listed = read.items(WHITELIST).peekable();
        if let Some(first) = listed.peek().copied() {
            match listed.map(|item| matches_all(&item.value)).collect() {
                Ok(all) => {
                    let all: Vec<bool> = all;
                    if !all.contains(&true) {
                        drifts.push(lets_few(first));
                    }
                }
                Err::<_, Reason>(why) => return why.into(),
            }
        }
        let days: Vec<&Item> = read.items(DAYS).collect();
        if let Some(first) = days.first()
            && !days.iter().any(|item| is_a_day(&item.value))
        {
            drifts.push(on_no_day(first));
        }
        drifts.extend(read.switched_off());
        match on_hold(seen) {
            Ok(true) => drifts.push(all_on_hold()),
            Ok(false) => {}
            Err(reason) => return reason.into(),
        }
        let held_back = match held_back(&codename, &archives, &read, seen) {
            Ok(held_back) => held_back,
            Err(reason) => return reason.into(),
        };
        let untold = match held_back {
            Some((drift, true)) => {
                drifts.push(drift);
                None
            }
            Some((drift, false)) => Some(drift),
            None => None,
        };
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        if let Some(drift) = untold {
            let at = drift.at.first().map(SourceLine::to_string);
            let what = format!(
                "{}: {}, if it is about Debian's archives, which can't be told",
                at.unwrap_or_default(),
                drift.observed
            );
            return Judgement::Unknown(Reason::Unavailable { what });
        }
        if let (None, Some(item)) = (by, may_be) {
            let what = format!(
                "apt has no list of the security archive, which tells whether `{}` is about it",
                printable(item.value.as_bytes())
            );
            return Judgement::Unknown(Reason::Unavailable { what });
        }
        let suites = match apt_sources::suites_of(seen) {
            Ok(suites) => suites,
            Err(judgement) => return judgement,
        };
        if archives.security.is_empty() && suites.is_some_and(|suites| !has_security(&suites)) {
            let what = "none of apt's sources is one of security updates by its suite, so whether any \
                        of them would be installed can't be told";
            return Judgement::Unknown(Reason::Unavailable {
                what: what.to_owned(),
            });
        }
        Judgement::Compliant {
            observed: "security updates of this release".to_owned(),
            at: by
                .map(|item| SourceLine::file(item.path.clone()))
                .into_iter()
                .collect(),
        }
    }

    fn risk(&self) -> Risk {
        Risk::Service
    }
}

/// Does a suite say that it is of security updates: `bookworm-security`, or `buster/updates` as it was
/// called before?
fn has_security(suites: &[String]) -> bool {
    let mut named = suites.iter().map(|suite| suite.trim_end_matches('/'));
    named.any(|suite| suite.ends_with("-security") || suite.ends_with("/updates"))
}

/// An item of a list.
struct Item {
    /// In lower case.
    key: String,
    value: String,
    path: HostPath,
}

/// All that counts of what apt reads.
#[derive(Default)]
struct Read {
    items: Vec<Item>,
    /// Settings with one value: by their names in lower case, the value and its file.
    settings: BTreeMap<String, (String, HostPath)>,
    /// The last file that emptied the list of origins, in reading order.
    cleared_by: Option<(usize, HostPath)>,
    /// Before which file in that order our own stands.
    ours_at: usize,
}

impl Read {
    fn items<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Item> {
        self.items.iter().filter(move |item| item.key == key)
    }

    /// Settings with which nothing is installed, or not while the host runs.
    fn switched_off(&self) -> Vec<Drift> {
        let wanted = "security updates of this release".to_owned();
        let on_shutdown = self.settings.get(ON_SHUTDOWN);
        let on_shutdown = on_shutdown.filter(|(value, _)| boolean(value) == Some(true));
        let on_shutdown = on_shutdown.map(|(_, path)| Drift {
            observed: "updates are installed only when the host is shut down".to_owned(),
            wanted: wanted.clone(),
            at: vec![SourceLine::file(path.clone())],
            by_hand: Some(format!(
                "take Unattended-Upgrade::InstallOnShutdown away in {path}"
            )),
            ..Drift::default()
        });
        let options = self.items(DPKG_OPTIONS);
        let no_act = options.filter(|item| NO_ACT.contains(&&*item.value));
        let no_act = no_act.map(|item| Drift {
            observed: format!("dpkg is told to do nothing by `{}`", item.value),
            wanted: wanted.clone(),
            at: vec![SourceLine::file(item.path.clone())],
            by_hand: Some(format!(
                "take `{}` out of DPkg::Options in {}",
                item.value, item.path
            )),
            ..Drift::default()
        });
        on_shutdown.into_iter().chain(no_act).collect()
    }

    fn file(
        &mut self,
        path: &HostPath,
        order: usize,
        depth: usize,
        seen: &Answers,
    ) -> Result<(), Judgement> {
        if depth >= DEEPEST_INCLUDE {
            return Err(Judgement::Error(format!("{path}: includes go too deep")));
        }
        let Some(file) = seen.file(path).known_or_absent().map_err(Judgement::from)? else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        let statements =
            conf::parse(&text).map_err(|why| Judgement::Error(format!("{path}: {why}")))?;
        for statement in statements {
            match statement {
                Statement::Add { key, value } => self.items.push(Item {
                    key: key.to_ascii_lowercase(),
                    value,
                    path: path.clone(),
                }),
                // `Key { Name "value"; }`: a named item is an item.
                Statement::Set(setting) => {
                    let key = setting.key.to_ascii_lowercase();
                    let set = (setting.value.clone(), path.clone());
                    self.settings.insert(key.clone(), set);
                    if let Some((list, _)) = key.rsplit_once("::") {
                        self.items.push(Item {
                            key: list.to_owned(),
                            value: setting.value,
                            path: path.clone(),
                        });
                    }
                }
                Statement::Clear { key } => {
                    let key = key.trim_end_matches("::").to_ascii_lowercase();
                    let below = format!("{key}::");
                    self.items
                        .retain(|item| item.key != key && !item.key.starts_with(&below));
                    self.settings
                        .retain(|name, _| *name != key && !name.starts_with(&below));
                    if PATTERNS == key || PATTERNS.starts_with(&below) {
                        self.cleared_by = Some((order, path.clone()));
                    }
                }
                Statement::Include { path, .. } => {
                    if let Ok(path) = HostPath::from_bytes(path.as_bytes()) {
                        self.file(&path, order, depth + 1, seen)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn read(seen: &Answers) -> Result<Read, Judgement> {
    match seen.dir(&HostPath::literal(apt_setting::DIRECTORY)) {
        Seen::Known(_) => {}
        Seen::Absent => return Err(Judgement::NotApplicable("apt is not here".to_owned())),
        Seen::Unknown(reason) => return Err(reason.into()),
        Seen::NotAsked => return Err(Judgement::not_asked()),
    }
    let files = apt_setting::files(seen).map_err(Judgement::from)?;
    let main = apt_setting::MAIN.as_bytes();
    let is_after = |path: &HostPath| path.as_bytes() > OURS.as_bytes() || path.as_bytes() == main;
    let mut read = Read {
        ours_at: files.iter().position(is_after).unwrap_or(files.len()),
        ..Read::default()
    };
    for (order, path) in files.iter().enumerate() {
        read.file(path, order, 0, seen)?;
    }
    Ok(read)
}

fn codename(seen: &Answers) -> Result<String, Reason> {
    let unknown = || Reason::Unavailable {
        what: format!("{RELEASE} names no release"),
    };
    let file = seen.file(&HostPath::literal(RELEASE)).known_or_absent()?;
    let text = file.map(|file| String::from_utf8_lossy(file.content.as_bytes()));
    let text = text.ok_or_else(unknown)?;
    let mut lines = text.lines();
    let name = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.map(|name| name.trim_matches('"').to_owned())
        .ok_or_else(unknown)
}

/// `Debian:bookworm-security`, the older form (unattended-upgrades(8)).
fn allowed_origin(text: &str) -> String {
    let separator = if text.contains(':') { ':' } else { ' ' };
    match text.split_once(separator) {
        Some((origin, archive)) => format!("origin={origin},archive={}", archive.trim()),
        None => text.to_owned(),
    }
}

/// The lists of this release's archives, of security as well, by their names (`URItoFileName` of apt).
fn lists(codename: &str, seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    let ends = ["InRelease", "Release"].map(|file| {
        let suites = [codename.to_owned(), format!("{codename}-security")];
        suites.map(|suite| format!("_{suite}_{file}"))
    });
    seen.files_in(&HostPath::literal(LISTS), |name| {
        let mut ends = ends.iter().flatten();
        ends.any(|end| name.ends_with(end.as_bytes()))
    })
}

/// What apt has fetched of this release: its security archive, and the one without.
struct Archives {
    security: Vec<Archive>,
    main: Vec<Archive>,
}

fn archives(codename: &str, seen: &Answers) -> Result<Archives, Reason> {
    let mut archives = Archives {
        security: Vec::new(),
        main: Vec::new(),
    };
    for path in lists(codename, seen)? {
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        let is_security = name.contains("-security_");
        let Some(file) = seen.file(&path).known_or_absent()? else {
            continue;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        let of = |name: &str| {
            let value = text.lines().take(LONGEST_HEAD).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key == name).then(|| value.trim().to_owned())
            });
            value.unwrap_or_default()
        };
        let archive = Archive {
            origin: of("Origin"),
            label: of("Label"),
            codename: of("Codename"),
            suite: Some(of("Suite")),
            site: name.split('_').next().map(str::to_owned),
        };
        if is_security {
            archives.security.push(archive);
        } else if archive.origin == DEBIAN {
            archives.main.push(archive);
        }
    }
    Ok(archives)
}

const DEBIAN: &str = "Debian";

/// What is known of an archive of Debian without a list of it.
fn unfetched(codename: &str, label: &str) -> Archive {
    Archive {
        origin: DEBIAN.to_owned(),
        label: label.to_owned(),
        codename: codename.to_owned(),
        suite: None,
        site: None,
    }
}

/// The fields of a Release file stand before its lists of digests.
const LONGEST_HEAD: usize = 40;

/// Would the security archive of this release match? Each of its fields has to (README.md of
/// unattended-upgrades): `key=pattern`, separated by commas. None where only a list that apt has
/// not fetched would tell.
fn allows(pattern: &str, codename: &str, archives: &[Archive]) -> Option<bool> {
    let pattern = pattern
        .replace("${distro_codename}", codename)
        .replace("${distro_id}", "Debian");
    if pattern.trim().is_empty() {
        return Some(false);
    }
    let fields: Vec<(&str, &str)> = pattern
        .split(',')
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .map(|(key, wanted)| (key.trim(), wanted.trim()))
        .collect();
    if !archives.is_empty() {
        let matches_all = |archive: &Archive| {
            fields.iter().all(|(key, wanted)| {
                let value = match *key {
                    "o" | "origin" => &*archive.origin,
                    "l" | "label" => &*archive.label,
                    "n" | "codename" => &*archive.codename,
                    "a" | "suite" | "archive" => archive.suite.as_deref().unwrap_or_default(),
                    "site" => archive.site.as_deref().unwrap_or_default(),
                    "c" | "component" => return matches(wanted.as_bytes(), b"main"),
                    _ => return false,
                };
                matches(wanted.as_bytes(), value.as_bytes())
            })
        };
        return Some(archives.iter().any(matches_all));
    }
    let mut untold = false;
    for (key, wanted) in fields {
        let is = |value: &str| matches(wanted.as_bytes(), value.as_bytes());
        let fits = match key {
            "o" | "origin" => is("Debian"),
            "l" | "label" => is("Debian-Security"),
            "n" | "codename" => is(&format!("{codename}-security")),
            "c" | "component" => is("main"),
            // Which of these it is changes with each new release.
            "a" | "suite" | "archive" => {
                let suites = ["stable", "oldstable", "oldoldstable", "testing"]
                    .map(|suite| is(&format!("{suite}-security")));
                untold |= suites.contains(&false);
                suites.contains(&true)
            }
            // Mirrors have names of their own.
            "site" => {
                untold |= wanted != "*";
                !wanted.is_empty()
            }
            _ => false,
        };
        if !fits {
            return Some(false);
        }
    }
    (!untold).then_some(true)
}

/// Does it match every package, from the start of the name as Python's `re.match`?
fn matches_all(pattern: &str) -> Result<bool, Reason> {
    let built = RegexBuilder::new(&format!("^(?:{pattern})"))
        .size_limit(LARGEST_PATTERN_BYTES)
        .build();
    match built {
        Ok(regex) => Ok(SAMPLES.iter().all(|name| regex.is_match(name))),
        Err(_) => Err(Reason::Malformed {
            why: format!(
                "the pattern `{}` is not understood",
                printable(pattern.as_bytes())
            ),
        }),
    }
}

fn origins_lack(read: &Read, other: Option<&Item>) -> Drift {
    let mut drift = Drift {
        observed: match other {
            Some(item) => format!(
                "the security archive is not among the allowed origins, such as `{}`",
                printable(item.value.as_bytes())
            ),
            None => "no origin is allowed, so nothing is installed".to_owned(),
        },
        wanted: "security updates of this release".to_owned(),
        at: other
            .map(|item| item.path.clone())
            .or_else(|| Some(read.cleared_by.as_ref()?.1.clone()))
            .map(SourceLine::file)
            .into_iter()
            .collect(),
        ..Drift::default()
    };
    let line = format!("Unattended-Upgrade::Origins-Pattern:: \"{SECURITY}\";");
    match &read.cleared_by {
        Some((order, path)) if *order >= read.ours_at => {
            drift.by_hand = Some(format!(
                "take `#clear` of the origins out of {path}, or add `{line}` after it"
            ));
        }
        _ => drift.edits.push(Edit::Content {
            path: HostPath::literal(OURS),
            change: ContentEdit::Append(line),
            new_file: Some(NewFile::default()),
            as_user: None,
        }),
    }
    drift
}

fn keeps_away(item: &Item) -> Drift {
    let pattern = printable(item.value.as_bytes());
    Drift {
        observed: format!("`{pattern}` keeps every package away"),
        wanted: "security updates of this release".to_owned(),
        at: vec![SourceLine::file(item.path.clone())],
        by_hand: Some(format!(
            "take `{pattern}` out of Unattended-Upgrade::Package-Blacklist in {}",
            item.path
        )),
        ..Drift::default()
    }
}

/// By `%a`, `%A` and `%w` of strftime(3), as unattended-upgrade asks it.
fn is_a_day(word: &str) -> bool {
    const NAMES: [&str; 7] = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let is_number = matches!(word.as_bytes(), [b'0'..=b'6']);
    is_number || NAMES.iter().any(|name| word == *name || word == &name[..3])
}

fn on_no_day(first: &Item) -> Drift {
    Drift {
        observed: format!(
            "the days of updates name no day of the week, such as `{}`",
            printable(first.value.as_bytes())
        ),
        wanted: "security updates of this release".to_owned(),
        at: vec![SourceLine::file(first.path.clone())],
        note: Some("a day is `Mon`, `Monday`, or a number from 0 (Sunday) to 6".to_owned()),
        by_hand: Some(format!(
            "name days in Unattended-Upgrade::Update-Days in {}, or empty it",
            first.path
        )),
        ..Drift::default()
    }
}

/// The files of pins: those without an ending, and `.pref` (apt_preferences(5)).
fn preferences(seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    seen.files_in(&HostPath::literal(PREFERENCES_DIRECTORY), |name| {
        is_plain_name(name) && (name.ends_with(b".pref") || !name.contains(&b'.'))
    })
}

/// The record that keeps the security archive's versions away from as good as every package, and
/// whether that is certain. Packages one by one: several records may do so together.
///
/// Of all versions apt takes those with the highest priority, and of these the newest
/// (apt_preferences(5)): what is installed is a version of the release without its security updates.
fn held_back(
    codename: &str,
    archives: &Archives,
    read: &Read,
    seen: &Answers,
) -> Result<Option<(Drift, bool)>, Reason> {
    let mut files = vec![HostPath::literal(PREFERENCES)];
    files.extend(preferences(seen)?);
    let mut pins: Vec<Pin> = read
        .settings
        .get(DEFAULT_RELEASE)
        .filter(|(release, _)| !release.is_empty())
        .map(|(release, path)| Pin::default_release(release, SourceLine::file(path.clone())))
        .into_iter()
        .collect();
    for path in files {
        if let Some(file) = seen.file(&path).known_or_absent()? {
            let text = String::from_utf8_lossy(file.content.as_bytes());
            pins.extend(pins::read(&path, &text));
        }
    }
    let or_unfetched = |fetched: &[Archive], unfetched: Archive| match fetched {
        [] => vec![unfetched],
        fetched => fetched.to_vec(),
    };
    let security = unfetched(&format!("{codename}-security"), "Debian-Security");
    let security = or_unfetched(&archives.security, security);
    let mut others = or_unfetched(&archives.main, unfetched(codename, DEBIAN));
    others.push(Archive::installed());
    let dpkg = seen.package(DPKG).known();
    let native = dpkg.map(|dpkg| dpkg.architecture.as_str());
    for is_certain in [true, false] {
        let highest = |package: (&str, &str), archives: &[Archive]| {
            let of = |archive| pins::priority(&pins, package, native, archive, !is_certain);
            archives
                .iter()
                .map(of)
                .max_by_key(|(priority, _)| *priority)
        };
        let mut first = None;
        let is_held = |package: &(&str, &str)| {
            let (Some(theirs), Some(other)) =
                (highest(*package, &security), highest(*package, &others))
            else {
                return false;
            };
            let is_held = theirs.0 <= 0 || theirs.0 < other.0;
            let by = theirs.1.filter(|_| theirs.0 < USUAL).or(other.1);
            if let (true, Some(by), None) = (is_held, by, &first) {
                first = Some(held_back_by(by, theirs.0));
            }
            is_held
        };
        if ODD_NAMES.iter().all(is_held) {
            return Ok(first.map(|drift| (drift, is_certain)));
        }
    }
    Ok(None)
}

fn held_back_by(pin: &Pin, security: i64) -> Drift {
    let above = match pin.priority > security {
        true => format!(", above the {security} of the security archive"),
        false => String::new(),
    };
    Drift {
        observed: format!(
            "`{}` has priority {}{above}, so that no security update is taken",
            pin.said(),
            pin.priority
        ),
        wanted: "security updates of this release".to_owned(),
        at: vec![pin.at.clone()],
        by_hand: Some(format!(
            "take it away in {}, or give the security archive the same priority",
            pin.at
        )),
        ..Drift::default()
    }
}

/// Is each of these on hold, which are installed everywhere? dpkg(1) leaves what is on hold as it is.
fn on_hold(seen: &Answers) -> Result<bool, Reason> {
    for name in EVERYWHERE {
        let package = seen.package(name).known_or_absent()?;
        if !package.is_some_and(|package| package.status.starts_with("hold ")) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn all_on_hold() -> Drift {
    Drift {
        observed: format!(
            "{} and others are on hold, so that no update of theirs is taken",
            EVERYWHERE[0]
        ),
        wanted: "security updates of this release".to_owned(),
        by_hand: Some(
            "look at `apt-mark showhold`, and let go of them with `apt-mark unhold`".to_owned(),
        ),
        ..Drift::default()
    }
}

fn lets_few(first: &Item) -> Drift {
    Drift {
        observed: format!(
            "only packages of a list are upgraded, such as `{}`",
            printable(first.value.as_bytes())
        ),
        wanted: "security updates of this release".to_owned(),
        at: vec![SourceLine::file(first.path.clone())],
        by_hand: Some(format!(
            "empty Unattended-Upgrade::Package-Whitelist in {}",
            first.path
        )),
        ..Drift::default()
    }
}
