//! `apt_source`: one place that packages come from, in a file of its own
//! (`/etc/apt/sources.list.d/NAME.sources`, sources.list(5)).

use model::plan::Risk;
use model::{Effect, HostPath, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::apt::is_plain_name;
use crate::apt::sources::{self, Source};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

/// A source of packages.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AptSource {
    /// The file's name without its ending.
    pub name: String,
    /// Where it is: `https://deb.debian.org/debian`. Needed unless `absent`.
    #[serde(default)]
    pub uri: Option<String>,
    /// `bookworm`, `bookworm-updates`; or one exact path that ends with `/`.
    #[serde(default)]
    pub suites: Vec<String>,
    /// `main`; none for an exact path.
    #[serde(default)]
    pub components: Vec<String>,
    /// Packages, and perhaps their sources.
    #[serde(default = "binary_only")]
    pub types: Vec<String>,
    /// Whose signature counts: the path of a keyring, or the fingerprint of a key. Needed
    /// unless `absent`: without it, every key that apt knows may sign for every source.
    #[serde(default)]
    pub signed_by: Option<String>,
    /// Neither `NAME.sources` nor `NAME.list` may be there.
    #[serde(default)]
    pub absent: bool,
}

fn binary_only() -> Vec<String> {
    vec!["deb".to_owned()]
}

impl Kind for AptSource {
    const NAME: &'static str = "apt_source";
    const PHASE: Phase = Phase::Source;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: self.name.clone(),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::file(self.path("sources"))];
        if !self.absent {
            // Whether another file names another key for it.
            probes.extend(super::apt_sources::suite_probes(seen));
        }
        probes.push(match self.absent {
            true => Probe::Meta {
                path: self.path("list"),
            },
            false => Probe::file(self.path("list")),
        });
        probes.extend(self.keyring().map(|path| Probe::Meta { path }));
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        if self.absent {
            return self.judge_absent(seen);
        }
        let path = self.path("sources");
        let file = match seen.file(&path).known_or_absent() {
            Ok(file) => file,
            Err(reason) => return reason.into(),
        };
        let text = match file.map(|file| str::from_utf8(file.content.as_bytes())) {
            Some(Err(_)) => return Judgement::Error(format!("{path} is not UTF-8 text")),
            text => text.and_then(Result::ok),
        };
        let entries = match text.map(sources::parse_stanzas).transpose() {
            Ok(entries) => entries.unwrap_or_default(),
            Err(e) => return Judgement::Error(format!("{path}: {e}")),
        };
        let older = match self.older(seen) {
            Ok(older) => older,
            Err(judgement) => return judgement,
        };
        let met = entries.iter().find(|entry| self.is_met_by(entry));
        if entries.is_empty() && self.is_met_by_list(&older.same) {
            return Judgement::Compliant {
                observed: "declared".to_owned(),
                at: older.places(),
            };
        }
        if let Some(entry) = met
            && !older.same.is_empty()
        {
            let mut at = vec![SourceLine::new(path, entry.line)];
            at.extend(older.places());
            return Judgement::drift(Drift {
                observed: "declared twice".to_owned(),
                wanted: "declared once".to_owned(),
                at,
                edits: older.edits(),
                ..Drift::default()
            });
        }
        if let Some(entry) = met {
            return Judgement::Compliant {
                observed: "declared".to_owned(),
                at: vec![SourceLine::new(path, entry.line)],
            };
        }
        let nearest = entries
            .iter()
            .find(|entry| {
                self.uri
                    .as_ref()
                    .is_some_and(|uri| entry.uris.contains(uri))
            })
            .or(entries.first());
        let content = match (text, nearest) {
            (Some(text), Some(entry)) => {
                let mut fields = self.fields();
                if !entry.enabled {
                    fields.push(("Enabled", "yes".to_owned()));
                }
                for exemption in super::apt_sources::EXEMPTIONS {
                    if entry.option(exemption).is_some() {
                        fields.push((exemption, "no".to_owned()));
                    }
                }
                sources::stanza_with(text, entry, &fields)
            }
            (text, _) => {
                let mut content = text.unwrap_or_default().to_owned();
                if !content.is_empty() && !content.ends_with('\n') {
                    content.push('\n');
                }
                for (name, value) in self.fields() {
                    content.push_str(&format!("{name}: {value}\n"));
                }
                content
            }
        };
        let keyring_missing = self
            .keyring()
            .filter(|path| seen.meta(path) == Seen::Absent);
        Judgement::drift(Drift {
            observed: match (nearest, file) {
                (Some(_), _) => "declared otherwise".to_owned(),
                (None, _) if !older.same.is_empty() => "declared otherwise".to_owned(),
                (None, Some(_)) => "an empty file".to_owned(),
                (None, None) => "not declared".to_owned(),
            },
            wanted: self.uri.clone().unwrap_or_default(),
            at: nearest
                .map(|entry| SourceLine::new(path.clone(), entry.line))
                .into_iter()
                .chain(older.places())
                .collect(),
            note: keyring_missing.map(|path| format!("{path} is not there, so apt will refuse it")),
            edits: {
                let mut edits = vec![Edit::Content {
                    path,
                    change: ContentEdit::Whole(content.into()),
                    new_file: Some(NewFile::default()),
                    as_user: None,
                }];
                // apt refuses one source with two keys, and warns of any that is there twice.
                edits.extend(older.edits());
                edits
            },
            ..Drift::default()
        })
    }

    fn risk(&self) -> Risk {
        Risk::None
    }

    fn check(&self) -> Result<(), String> {
        if !is_plain_name(self.name.as_bytes()) {
            return Err(format!(
                "apt skips a file named `{}`: use letters, digits, `-`, `_` and `.`",
                printable(self.name.as_bytes())
            ));
        }
        if self.absent {
            return Ok(());
        }
        let (Some(uri), Some(signed_by)) = (&self.uri, &self.signed_by) else {
            return Err("a source needs `uri` and `signed_by`, or `absent: true`".to_owned());
        };
        let is_word = |text: &String| !text.is_empty() && !text.contains(char::is_whitespace);
        if !uri.contains(":/") || !is_word(uri) {
            return Err(format!("`{}` is not a URI", printable(uri.as_bytes())));
        }
        let is_fingerprint =
            signed_by.len() >= 40 && signed_by.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_fingerprint && (!signed_by.starts_with('/') || !is_word(signed_by)) {
            return Err(format!(
                "`signed_by` is the path of a keyring or a fingerprint of at least 40 digits, not `{}`",
                printable(signed_by.as_bytes())
            ));
        }
        let lists = [&self.suites, &self.components, &self.types];
        if !lists.into_iter().flatten().all(is_word) {
            return Err("a suite, a component and a type are one word each".to_owned());
        }
        let known = |kind: &String| matches!(kind.as_str(), "deb" | "deb-src");
        if self.types.is_empty() || !self.types.iter().all(known) {
            return Err("`types` are `deb` and `deb-src`".to_owned());
        }
        let is_path = self.suites.iter().any(|suite| suite.ends_with('/'));
        if self.suites.is_empty() || is_path != self.components.is_empty() {
            return Err(
                "a source has suites and components, or one exact path that ends with `/`"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl AptSource {
    fn path(&self, ending: &str) -> HostPath {
        let text = format!("/etc/apt/sources.list.d/{}.{ending}", self.name);
        // `check` holds names to plain characters; another name leads to no file.
        HostPath::from_bytes(text.as_bytes())
            .unwrap_or_else(|_| HostPath::literal("/etc/apt/sources.list.d"))
    }

    fn keyring(&self) -> Option<HostPath> {
        let path = self.signed_by.as_ref().filter(|by| by.starts_with('/'))?;
        HostPath::from_bytes(path.as_bytes()).ok()
    }

    /// What `NAME.list` says of the same source.
    fn older(&self, seen: &Answers) -> Result<Older, Judgement> {
        let path = self.path("list");
        let file = seen.file(&path).known_or_absent();
        let Some(file) = file.map_err(Judgement::from)? else {
            return Ok(Older::default());
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        let entries =
            sources::parse_list(&text).map_err(|why| Judgement::Error(format!("{path}: {why}")))?;
        let bare = |uri: &str| uri.trim_end_matches('/').to_owned();
        let uri = self.uri.as_deref().map(bare);
        let is_same = |entry: &Source| {
            entry.uris.iter().any(|seen| Some(bare(seen)) == uri)
                && entry.suites.iter().any(|suite| self.suites.contains(suite))
                && entry.types.iter().any(|kind| self.types.contains(kind))
        };
        let all = entries.len();
        let same: Vec<Source> = entries.into_iter().filter(is_same).collect();
        let line = |entry: &Source| {
            let at = usize::try_from(entry.line.saturating_sub(1)).unwrap_or(usize::MAX);
            text.lines().nth(at).unwrap_or_default().to_owned()
        };
        Ok(Older {
            lines: same.iter().map(line).collect(),
            is_all: same.len() == all,
            same,
            path: Some(path),
        })
    }

    /// One line has one suite and one type.
    fn is_met_by_list(&self, same: &[Source]) -> bool {
        let wanted = self
            .types
            .iter()
            .flat_map(|kind| self.suites.iter().map(move |suite| (kind, suite)));
        let is_met = |(kind, suite): (&String, &String)| {
            let alone = Self {
                types: vec![kind.clone()],
                suites: vec![suite.clone()],
                ..self.clone()
            };
            same.iter().any(|entry| alone.is_met_by(entry))
        };
        let count = self.types.len() * self.suites.len();
        same.len() == count && wanted.into_iter().all(is_met)
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("Types", self.types.join(" ")),
            ("URIs", self.uri.clone().unwrap_or_default()),
            ("Suites", self.suites.join(" ")),
        ];
        if !self.components.is_empty() {
            fields.push(("Components", self.components.join(" ")));
        }
        fields.push(("Signed-By", self.signed_by.clone().unwrap_or_default()));
        fields
    }

    fn is_met_by(&self, entry: &Source) -> bool {
        let same = |seen: &[String], wanted: &[String]| {
            seen.len() == wanted.len() && wanted.iter().all(|word| seen.contains(word))
        };
        entry.enabled
            && same(&entry.uris, self.uri.as_slice())
            && same(&entry.types, &self.types)
            && same(&entry.suites, &self.suites)
            && same(&entry.components, &self.components)
            && entry.option("signed-by").map(|option| &option.value) == self.signed_by.as_ref()
            && super::apt_sources::exemptions(entry).next().is_none()
    }

    fn judge_absent(&self, seen: &Answers) -> Judgement {
        let sources = self.path("sources");
        let list = self.path("list");
        let mut there = Vec::new();
        match seen.file(&sources) {
            Seen::Known(_) => there.push(sources),
            Seen::Absent => {}
            other => {
                return other
                    .known_or_absent()
                    .err()
                    .map_or_else(not_asked, Judgement::from);
            }
        }
        match seen.meta(&list) {
            Seen::Known(_) => there.push(list),
            Seen::Absent => {}
            other => {
                return other
                    .known_or_absent()
                    .err()
                    .map_or_else(not_asked, Judgement::from);
            }
        }
        if there.is_empty() {
            return Judgement::compliant("not declared");
        }
        Judgement::drift(Drift {
            observed: "declared".to_owned(),
            wanted: "not declared".to_owned(),
            at: there.iter().cloned().map(SourceLine::file).collect(),
            edits: there
                .into_iter()
                .map(|path| Edit::act(Effect::Remove { path }))
                .collect(),
            ..Drift::default()
        })
    }
}

/// The lines of an older file, in the other form, that are about the same source.
#[derive(Default)]
struct Older {
    path: Option<HostPath>,
    same: Vec<Source>,
    /// As they stand.
    lines: Vec<String>,
    /// The file says nothing else.
    is_all: bool,
}

impl Older {
    fn places(&self) -> Vec<SourceLine> {
        let place = |entry: &Source| Some(SourceLine::new(self.path.clone()?, entry.line));
        self.same.iter().filter_map(place).collect()
    }

    /// Takes them away.
    fn edits(&self) -> Vec<Edit> {
        let Some(path) = self.path.as_ref().filter(|_| !self.same.is_empty()) else {
            return Vec::new();
        };
        if self.is_all {
            return vec![Edit::act(Effect::Remove { path: path.clone() })];
        }
        let lines = self.same.iter().zip(&self.lines);
        lines
            .map(|(entry, line)| Edit::Content {
                path: path.clone(),
                change: ContentEdit::ReplaceLine {
                    line: entry.line,
                    old: line.clone(),
                    new: Vec::new(),
                },
                new_file: None,
                as_user: None,
            })
            .collect()
    }
}

fn not_asked() -> Judgement {
    model::value::Reason::Failed {
        why: "not asked".to_owned(),
    }
    .into()
}
