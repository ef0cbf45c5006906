//! `apt_sources`: something that holds for every place that packages come from, in
//! whatever file and form it is declared (sources.list(5)).

use model::plan::Risk;
use model::value::Reason;
use model::{HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::apt_setting;
use crate::apt::conf::{self, Statement};
use crate::apt::is_plain_name;
use crate::apt::sources::{self, Source};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, Phase, Seen};

const MAIN: &str = "/etc/apt/sources.list";
const DIRECTORY: &str = "/etc/apt/sources.list.d";
/// Debian's own keys, from the package `debian-archive-keyring`.
const DEBIAN_KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Debian's own servers, which answer over HTTPS as well.
const DEBIAN_HOSTS: [&str; 2] = ["deb.debian.org", "security.debian.org"];

/// Options that let packages in without a good signature (sources.list(5)). With
/// `trusted=no`, and `no` for the others, nothing is let in.
pub(super) const EXEMPTIONS: [&str; 4] = [
    "trusted",
    "allow-insecure",
    "allow-weak",
    "allow-downgrade-to-insecure",
];

/// Holds for every source of packages.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AptSources {
    /// What must hold.
    pub require: Requirement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// None is exempt from having a good signature (`trusted=yes`, `allow-insecure=yes`, …).
    Signed,
    /// Each names the keys that may sign for it (`signed-by`).
    SignedBy,
    /// None is read over a connection that others can listen to.
    Https,
    /// Of none the date is ignored after which its lists are too old (`check-valid-until=no`).
    Fresh,
}

/// A source, and the file that holds it.
struct Placed {
    path: HostPath,
    source: Source,
    /// The lines of the file.
    lines: Vec<String>,
    /// One line for each source, not stanzas.
    one_line: bool,
}

impl Kind for AptSources {
    const NAME: &'static str = "apt_sources";
    const PHASE: Phase = Phase::Source;

    fn key(&self) -> ResourceKey {
        let name = match self.require {
            Requirement::Signed => "signed",
            Requirement::SignedBy => "signed_by",
            Requirement::Https => "https",
            Requirement::Fresh => "fresh",
        };
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: name.to_owned(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = suite_probes(seen);
        probes.extend(apt_setting::probes(seen));
        match self.require {
            Requirement::Signed | Requirement::Fresh => {}
            Requirement::SignedBy => probes.push(Probe::Meta {
                path: HostPath::literal(DEBIAN_KEYS),
            }),
            Requirement::Https => probes.push(Probe::Package {
                name: "ca-certificates".to_owned(),
            }),
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if let Some(reason) = elsewhere(seen) {
            return reason.into();
        }
        let all = match read_all(seen) {
            Ok(all) => all,
            Err(trouble) => return trouble,
        };
        let enabled: Vec<&Placed> = all.iter().filter(|placed| placed.source.enabled).collect();
        if enabled.is_empty() {
            return Judgement::NotApplicable("apt has no sources".to_owned());
        }
        // From the last source up, so that no edit moves a line that a later one means: many
        // stanzas have lines that read the same.
        let drifts: Vec<Drift> = enabled
            .iter()
            .rev()
            .filter_map(|placed| match self.require {
                Requirement::Signed => {
                    let options: Vec<_> = exemptions(&placed.source).collect();
                    let mut drift = without_options(placed, &options, "signatures are checked")?;
                    drift.note = Some(
                        "a source that is not signed will be refused by apt afterwards".to_owned(),
                    );
                    Some(drift)
                }
                Requirement::Fresh => {
                    let is_off = |option: &&sources::Opt| {
                        option.name == "check-valid-until"
                            && crate::apt::boolean(&option.value) == Some(false)
                    };
                    let options: Vec<_> = placed.source.options.iter().filter(is_off).collect();
                    without_options(placed, &options, "the date of its lists is checked")
                }
                Requirement::SignedBy => without_keys(placed, seen),
                Requirement::Https => in_the_clear(placed, seen),
            })
            .collect();
        if !drifts.is_empty() {
            return Judgement::Drift(drifts);
        }
        Judgement::Compliant {
            observed: format!("all {} sources", enabled.len()),
            at: enabled.iter().map(|placed| placed.place()).collect(),
        }
    }

    /// A source that apt no longer trusts gives no updates until a person has seen to it.
    fn risk(&self) -> Risk {
        Risk::Service
    }

    fn risk_why(&self) -> Option<&'static str> {
        match self.require {
            Requirement::Signed => Some(
                "apt takes nothing any more from a source that no key has signed, its lists and its \
                 updates too; `apt-get update` names those that it refuses",
            ),
            Requirement::SignedBy => Some(
                "apt takes nothing any more from a source that another key has signed than the one that \
                 it names; `apt-get update` names those that it refuses",
            ),
            Requirement::Https | Requirement::Fresh => None,
        }
    }
}

impl Placed {
    fn place(&self) -> SourceLine {
        SourceLine::new(self.path.clone(), self.source.line)
    }

    fn line(&self, number: u32) -> &str {
        usize::try_from(number.saturating_sub(1))
            .ok()
            .and_then(|at| self.lines.get(at))
            .map_or("", String::as_str)
    }

    fn replace(&self, number: u32, new: Vec<String>) -> Edit {
        Edit::Content {
            path: self.path.clone(),
            change: ContentEdit::ReplaceLine {
                line: number,
                old: self.line(number).to_owned(),
                new,
            },
            new_file: None,
            as_user: None,
        }
    }

    fn uris(&self) -> String {
        printable(self.source.uris.join(" ").as_bytes())
    }
}

/// What `suites_of` reads.
pub(super) fn suite_probes(seen: &Answers) -> Vec<Probe> {
    let mut probes = vec![Probe::Dir {
        path: HostPath::literal(DIRECTORY),
    }];
    probes.extend(files(seen).into_iter().flatten().map(Probe::file));
    probes
}

/// The suites of packages that apt's sources have, in whatever file; none where it has no source at all.
///
/// # Errors
/// Where it has its sources from elsewhere, or one can't be read.
pub(super) fn suites_of(seen: &Answers) -> Result<Option<Vec<String>>, Judgement> {
    if let Some(reason) = elsewhere(seen) {
        return Err(reason.into());
    }
    let all = read_all(seen)?.into_iter().map(|placed| placed.source);
    let enabled: Vec<Source> = all.filter(|source| source.enabled).collect();
    if enabled.is_empty() {
        return Ok(None);
    }
    let has_packages = |source: &Source| source.types.iter().any(|kind| kind == "deb");
    let of_packages = enabled.into_iter().filter(has_packages);
    Ok(Some(of_packages.flat_map(|source| source.suites).collect()))
}

/// Where another file names another key for a source that `content` of `path` has. apt refuses all
/// sources then ("Conflicting values set for option Signed-By").
pub fn other_keys(path: &HostPath, content: &str, seen: &Answers) -> Vec<SourceLine> {
    let is_source = files(seen).is_ok_and(|all| all.contains(path))
        || path
            .parent()
            .is_some_and(|above| above == HostPath::literal(DIRECTORY));
    let own = match path.as_bytes().ends_with(b".sources") {
        true => sources::parse_stanzas(content),
        false => sources::parse_list(content),
    };
    let (true, Ok(own), Ok(all)) = (is_source, own, read_all(seen)) else {
        return Vec::new();
    };
    let key = |source: &Source| Some(source.option("signed-by")?.value.clone());
    let bare = |uri: &String| uri.trim_end_matches('/').to_owned();
    let is_same = |one: &Source, other: &Source| {
        let uris: Vec<String> = other.uris.iter().map(bare).collect();
        one.uris.iter().any(|uri| uris.contains(&bare(uri)))
            && one.suites.iter().any(|suite| other.suites.contains(suite))
    };
    let contradicts = |placed: &&Placed| {
        placed.path != *path
            && placed.source.enabled
            && own.iter().filter(|one| one.enabled).any(|one| {
                let keys = (key(one), key(&placed.source));
                is_same(one, &placed.source)
                    && matches!(keys, (Some(one), Some(other)) if one != other)
            })
    };
    let found = all.iter().filter(contradicts);
    found
        .map(|placed| SourceLine::new(placed.path.clone(), placed.source.line))
        .collect()
}

/// The options by which a source is exempt from signatures.
pub fn exemptions(source: &Source) -> impl Iterator<Item = &sources::Opt> {
    source.options.iter().filter(|option| {
        EXEMPTIONS.contains(&option.name.as_str())
            && crate::apt::boolean(&option.value) != Some(false)
    })
}

/// apt.conf(5), Dir: that apt has its sources from another place than the one that is read here.
fn elsewhere(seen: &Answers) -> Option<Reason> {
    const USUAL: [(&str, &[&str]); 4] = [
        ("dir", &["/"]),
        ("dir::etc", &["etc/apt", "/etc/apt"]),
        ("dir::etc::sourcelist", &["sources.list", MAIN]),
        ("dir::etc::sourceparts", &["sources.list.d", DIRECTORY]),
    ];
    let files = match apt_setting::files(seen) {
        Ok(files) => files,
        Err(reason) => return Some(reason),
    };
    for path in files {
        let file = match seen.file(&path).known_or_absent() {
            Ok(Some(file)) => file,
            Ok(None) => continue,
            Err(reason) => return Some(reason),
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        // What is not understood, apt refuses too.
        for statement in conf::parse(&text).unwrap_or_default() {
            let Statement::Set(setting) = statement else {
                continue;
            };
            let value = setting.value.trim_end_matches('/');
            let is_other = USUAL.iter().any(|(key, usual)| {
                setting.key.eq_ignore_ascii_case(key)
                    && !usual
                        .iter()
                        .any(|usual| usual.trim_end_matches('/') == value)
            });
            if is_other {
                let what = format!(
                    "apt reads its sources elsewhere: {} is {} ({path}:{})",
                    printable(setting.key.as_bytes()),
                    printable(setting.value.as_bytes()),
                    setting.line
                );
                return Some(Reason::Unavailable { what });
            }
        }
    }
    None
}

/// The source without these options; none where it has none of them.
fn without_options(placed: &Placed, options: &[&sources::Opt], wanted: &str) -> Option<Drift> {
    let first = options.first()?;
    let names: Vec<&str> = options.iter().map(|option| option.name.as_str()).collect();
    let edits = if placed.one_line {
        let line = placed.source.line;
        let new = sources::line_without(placed.line(line), &names);
        vec![placed.replace(line, vec![new])]
    } else {
        options
            .iter()
            .flat_map(|option| option.lines.0..=option.lines.1)
            // What people wrote between the lines of the option stays.
            .filter(|line| !placed.line(*line).starts_with('#'))
            .map(|line| placed.replace(line, Vec::new()))
            .collect()
    };
    Some(Drift {
        observed: format!(
            "{} has {}={}",
            placed.uris(),
            first.name,
            printable(first.value.as_bytes())
        ),
        wanted: wanted.to_owned(),
        at: vec![SourceLine::new(placed.path.clone(), first.lines.0)],
        edits,
        ..Drift::default()
    })
}

fn without_keys(placed: &Placed, seen: &Answers) -> Option<Drift> {
    if placed.source.option("signed-by").is_some() {
        return None;
    }
    let mut drift = Drift {
        observed: format!("{} trusts every key that apt knows", placed.uris()),
        wanted: "signed-by".to_owned(),
        at: vec![placed.place()],
        ..Drift::default()
    };
    let keys = matches!(seen.meta(&HostPath::literal(DEBIAN_KEYS)), Seen::Known(_));
    let is_debian = placed.source.uris.iter().all(|uri| is_debian(uri));
    if !keys || !is_debian {
        drift.by_hand = Some("name the keyring of this source with `signed-by`".to_owned());
        return Some(drift);
    }
    // After the last line of a stanza, since any other may be continued.
    let line = placed.source.lines.1;
    let old = placed.line(line);
    drift.edits.push(placed.replace(
        line,
        if placed.one_line {
            vec![sources::line_with(old, &format!("signed-by={DEBIAN_KEYS}"))]
        } else {
            vec![old.to_owned(), format!("Signed-By: {DEBIAN_KEYS}")]
        },
    ));
    Some(drift)
}

fn in_the_clear(placed: &Placed, seen: &Answers) -> Option<Drift> {
    let clear = |uri: &&String| {
        let scheme = uri
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        // `mirror+http`, `tor+http`: what stands last fetches. Tor encrypts by itself.
        let fetches = scheme.rsplit('+').next().unwrap_or_default();
        matches!(fetches, "http" | "ftp" | "mirror") && !scheme.starts_with("tor+")
    };
    let uris: Vec<&String> = placed.source.uris.iter().filter(clear).collect();
    if uris.is_empty() {
        return None;
    }
    let mut drift = Drift {
        observed: placed.uris(),
        wanted: "https".to_owned(),
        at: vec![placed.place()],
        ..Drift::default()
    };
    let can_check_certificates = seen
        .package("ca-certificates")
        .known()
        .is_some_and(|package| package.installed);
    if !can_check_certificates || !uris.iter().all(|uri| is_debian(uri)) {
        drift.by_hand = Some(
            "find out whether the server answers over https, and change the address".to_owned(),
        );
        return Some(drift);
    }
    for number in placed.source.lines.0..=placed.source.lines.1 {
        let old = placed.line(number);
        let mut new = old.to_owned();
        for host in DEBIAN_HOSTS {
            new = new.replace(&format!("http://{host}/"), &format!("https://{host}/"));
        }
        if new != old && !old.starts_with('#') {
            drift.edits.push(placed.replace(number, vec![new]));
        }
    }
    Some(drift)
}

fn is_debian(uri: &str) -> bool {
    DEBIAN_HOSTS.iter().any(|host| {
        ["http", "https"]
            .iter()
            .any(|scheme| uri.starts_with(&format!("{scheme}://{host}/")))
    })
}

fn files(seen: &Answers) -> Result<Vec<HostPath>, Reason> {
    let is_read = |name: &[u8]| {
        is_plain_name(name) && (name.ends_with(b".list") || name.ends_with(b".sources"))
    };
    let mut files = seen.files_in(&HostPath::literal(DIRECTORY), is_read)?;
    files.insert(0, HostPath::literal(MAIN));
    Ok(files)
}

fn read_all(seen: &Answers) -> Result<Vec<Placed>, Judgement> {
    let mut all = Vec::new();
    for path in files(seen).map_err(Judgement::from)? {
        let Some(file) = seen.file(&path).known_or_absent()? else {
            continue;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        let one_line = !path.as_bytes().ends_with(b".sources");
        let read = if one_line {
            sources::parse_list(&text)
        } else {
            sources::parse_stanzas(&text)
        };
        let found = read.map_err(|e| Judgement::Error(format!("{path}: {e}")))?;
        all.extend(found.into_iter().map(|source| Placed {
            path: path.clone(),
            source,
            lines: text.lines().map(str::to_owned).collect(),
            one_line,
        }));
    }
    Ok(all)
}
