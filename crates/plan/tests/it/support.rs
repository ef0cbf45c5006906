//! A small host in memory, and wanted rules from the YAML-like JSON of a policy.

use std::collections::BTreeMap;

use model::plan::HostIdentity;
use model::value::{
    DirEntry, FileSeen, FileType, FstabLine, Meta, Mount, MountsSeen, WalkHit, WalkSeen,
};
use model::{
    Answer, BaselineName, Blob, HostPath, Mode, Observed, Probe, Risk, RuleId, RuleMeta, Severity,
    SourceLine, Value, WalkTest,
};
use resource::{Answers, Applies, Resource, Wanted, WantedResource, WantedRule};
use serde_json::{Value as Json, json};

/// Files with content, and kernel parameters.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub files: BTreeMap<String, String>,
    pub sysctls: BTreeMap<String, String>,
    /// Mounts of tmpfs with their options.
    pub mounts: Vec<(String, Vec<String>)>,
    /// Files that everyone may write to, as a walk finds them, with their sizes.
    pub open: BTreeMap<String, u64>,
}

impl Memory {
    pub fn new(files: &[(&str, &str)], sysctls: &[(&str, &str)]) -> Self {
        let owned = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        Self {
            files: owned(files),
            sysctls: owned(sysctls),
            mounts: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    fn probe(&self, probe: &Probe) -> Observed {
        let text = |path: &HostPath| path.to_string();
        let meta = |content: &String| Meta {
            file_type: FileType::Regular,
            mode: Mode::new(0o644),
            uid: 0,
            gid: 0,
            owner: Some("root".to_owned()),
            group: Some("root".to_owned()),
            size_bytes: content.len() as u64,
            hard_links: 1,
            target: None,
            acl: None,
            default_acl: None,
        };
        let answer = match probe {
            Probe::File { path, .. } => self.files.get(&text(path)).map(|content| {
                Value::File(FileSeen {
                    meta: meta(content),
                    content: Blob::from(content.clone()),
                    resolved: None,
                })
            }),
            Probe::Meta { path } => self
                .files
                .get(&text(path))
                .map(|content| Value::Meta(meta(content))),
            Probe::Dir { path } => {
                let prefix = format!("{path}/");
                let names: Vec<DirEntry> = self
                    .files
                    .keys()
                    .filter_map(|file| file.strip_prefix(&prefix))
                    .filter(|name| !name.contains('/'))
                    .map(|name| DirEntry {
                        name: Blob::from(name),
                        file_type: FileType::Regular,
                    })
                    .collect();
                (!names.is_empty()).then_some(Value::Dir(names))
            }
            Probe::Sysctl { key } => self.sysctls.get(key).cloned().map(Value::Sysctl),
            Probe::Walk {
                test: WalkTest::WorldWritableFiles,
            } => Some(Value::Walk(self.walk())),
            Probe::Mounts => Some(Value::Mounts(self.mounts_seen())),
            _ => None,
        };
        Observed::new(answer.map_or(Answer::Absent, Answer::Known))
    }

    fn walk(&self) -> WalkSeen {
        let hits = self.open.iter().map(|(path, size_bytes)| WalkHit {
            path: path.parse().expect("test paths are absolute"),
            meta: Meta {
                file_type: FileType::Regular,
                mode: Mode::new(0o666),
                uid: 1000,
                gid: 1000,
                owner: None,
                group: None,
                size_bytes: *size_bytes,
                hard_links: 1,
                target: None,
                acl: None,
                default_acl: None,
            },
            package: None,
            declared: None,
        });
        WalkSeen {
            hits: hits.collect(),
            total: self.open.len() as u64,
            unreadable: Vec::new(),
            unreadable_total: 0,
            other_roots: Vec::new(),
        }
    }

    fn mounts_seen(&self) -> MountsSeen {
        let fstab = self.files.get("/etc/fstab").map_or("", String::as_str);
        let mounted = |(path, options): &(String, Vec<String>)| Mount {
            path: path.parse().expect("test paths are absolute"),
            fs_type: "tmpfs".to_owned(),
            source: "tmpfs".to_owned(),
            options: options.clone(),
        };
        let line = |(line, text): (u32, &str)| {
            let fields: Vec<&str> = text.split_whitespace().collect();
            FstabLine {
                line,
                source: fields[0].to_owned(),
                path: fields[1].to_owned(),
                fs_type: fields[2].to_owned(),
                options: fields[3].split(',').map(str::to_owned).collect(),
            }
        };
        MountsSeen {
            mounted: self.mounts.iter().map(mounted).collect(),
            fstab: (1..).zip(fstab.lines()).map(line).collect(),
        }
    }

    /// Answers to everything that is wanted.
    pub fn answers(&self, wanted: &Wanted) -> Answers {
        let mut answers = Answers::default();
        // As many rounds as an audit has.
        for _ in 0..4 {
            let resources = wanted.rules.iter().flat_map(|rule| &rule.want);
            let probes: Vec<Probe> = resources
                .flat_map(|want| want.resource.probes(&answers))
                .filter(|probe| !answers.contains(probe))
                .collect();
            for probe in probes {
                let observed = self.probe(&probe);
                answers.insert(probe, observed);
            }
        }
        answers
    }

    /// Carries a plan out, as far as this host goes.
    pub fn carry_out(&mut self, plan: &model::Plan) {
        for action in &plan.actions {
            match &action.effect {
                model::Effect::PutFile { path, content, .. } => {
                    let content = content.as_text().expect("test files are text");
                    self.files.insert(path.to_string(), content.to_owned());
                }
                model::Effect::Remove { path } => {
                    self.files.remove(&path.to_string());
                }
                model::Effect::Sysctl { key, value } => {
                    self.sysctls.insert(key.clone(), value.clone());
                }
                _ => {}
            }
        }
    }
}

/// A rule that wants these resources.
pub fn rule(id: &str, severity: Severity, want: &[Json]) -> WantedRule {
    let policy = SourceLine::new(HostPath::literal("/policy/test.yaml"), 1);
    WantedRule {
        meta: RuleMeta {
            id: RuleId::new(id).expect("test ids are names"),
            baseline: BaselineName::new("test").expect("a name"),
            title: id.to_owned(),
            severity,
            why: String::new(),
            area: "test".to_owned(),
            risk: Risk::None,
        },
        applies: Applies::Yes,
        want: want
            .iter()
            .map(|json| WantedResource {
                resource: serde_json::from_value::<Resource>(json.clone())
                    .expect("test resources are valid"),
                severity: None,
                secret: false,
                declared_at: policy.clone(),
            })
            .collect(),
        declared_at: policy,
    }
}

pub fn sysctl(key: &str, value: i64) -> Json {
    json!({"sysctl": {"key": key, "value": value}})
}

pub fn wanted(rules: Vec<WantedRule>) -> Wanted {
    Wanted {
        rules,
        ..Wanted::default()
    }
}

pub fn host() -> HostIdentity {
    HostIdentity {
        hostname: "web-03".to_owned(),
        machine: None,
    }
}
