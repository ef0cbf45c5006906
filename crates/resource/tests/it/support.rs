//! A host in memory: answers probes from a small literal tree, and carries out edits on
//! it, so that a kind can be judged, fixed and judged again without a host.

use std::collections::BTreeMap;

use model::effect::{PackageOp, UnitOp};
use model::value::{
    AccountsSeen, AclEntry, ActivitySeen, DirEntry, FileSeen, FileType, FstabLine, Meta,
    ModprobeLine, ModulesSeen, Mount, MountsSeen, Output, OverrideSeen, PackageSeen, Part, Reason,
    UnitSeen, WalkHit, WalkSeen, WritersSeen,
};
use model::{
    Answer, Blob, Digest, Effect, HostPath, Mode, Observed, Probe, SourceLine, Tool, Value,
    WalkTest,
};
use resource::{Answers, Drift, Edit, Judgement, Resource};

/// One thing in the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub file_type: FileType,
    pub mode: u32,
    pub owner: String,
    pub group: String,
    pub content: Vec<u8>,
    /// Of a link.
    pub target: String,
}

/// A host. Start with [`Host::new`] and add what the case is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    pub nodes: BTreeMap<HostPath, Node>,
    pub sysctls: BTreeMap<String, String>,
    pub units: BTreeMap<String, UnitSeen>,
    pub packages: BTreeMap<String, PackageSeen>,
    pub mounts: Vec<Mount>,
    pub modules: Option<ModulesSeen>,
    pub accounts: Option<AccountsSeen>,
    pub audit_rules: Option<Vec<String>>,
    pub tools: BTreeMap<(Tool, Vec<String>), Output>,
    /// The options that this host's sshd has, with their defaults, as `sshd -T` prints them.
    /// With them `sshd -T` is answered from the tree.
    pub sshd_defaults: Option<String>,
    pub walks: BTreeMap<WalkTest, WalkSeen>,
    /// The packages that files are of, and what dpkg-statoverride declares of files.
    pub owners: BTreeMap<HostPath, String>,
    pub declared: BTreeMap<HostPath, OverrideSeen>,
    pub activity: BTreeMap<String, ActivitySeen>,
    pub acls: BTreeMap<HostPath, Vec<AclEntry>>,
    pub default_acls: BTreeMap<HostPath, Vec<AclEntry>>,
    /// Exit status by command.
    pub commands: BTreeMap<Vec<String>, i32>,
    /// Answers that are unknown, whatever the tree says.
    pub unknown: BTreeMap<Probe, Reason>,
    /// What was done that the tree itself does not show, in words.
    pub done: Vec<String>,
}

pub fn path(text: &str) -> HostPath {
    text.parse().expect("test paths are absolute and clean")
}

impl Host {
    pub fn new() -> Self {
        Self::default().dir("/etc")
    }

    fn node(mut self, at: &str, node: Node) -> Self {
        let at = path(at);
        let mut parent = at.parent();
        while let Some(up) = parent {
            parent = up.parent();
            self.nodes.entry(up).or_insert_with(directory);
        }
        self.nodes.insert(at, node);
        self
    }

    /// A file of mode 0644 that belongs to root.
    pub fn file(self, at: &str, content: &str) -> Self {
        self.file_as(at, content, 0o644, "root", "root")
    }

    pub fn file_as(self, at: &str, content: &str, mode: u32, owner: &str, group: &str) -> Self {
        self.node(
            at,
            Node {
                file_type: FileType::Regular,
                mode,
                owner: owner.to_owned(),
                group: group.to_owned(),
                content: content.as_bytes().to_vec(),
                target: String::new(),
            },
        )
    }

    pub fn dir(self, at: &str) -> Self {
        self.node(at, directory())
    }

    pub fn dir_as(self, at: &str, mode: u32, owner: &str, group: &str) -> Self {
        self.node(
            at,
            Node {
                mode,
                owner: owner.to_owned(),
                group: group.to_owned(),
                ..directory()
            },
        )
    }

    pub fn link(self, at: &str, target: &str) -> Self {
        self.node(
            at,
            Node {
                file_type: FileType::Link,
                mode: 0o777,
                target: target.to_owned(),
                ..directory()
            },
        )
    }

    pub fn sysctl(mut self, key: &str, value: &str) -> Self {
        self.sysctls.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A loaded unit; `active` empty when there is no manager to ask.
    pub fn unit(mut self, name: &str, active: &str, unit_file: &str, files: &[&str]) -> Self {
        let load = if unit_file.starts_with("masked") {
            "masked"
        } else {
            "loaded"
        };
        self.units.insert(
            name.to_owned(),
            UnitSeen {
                is_to_come: false,
                load_state: load.to_owned(),
                active_state: (!active.is_empty()).then(|| active.to_owned()),
                unit_file_state: (!unit_file.is_empty()).then(|| unit_file.to_owned()),
                files: files.iter().map(|file| path(file)).collect(),
            },
        );
        self
    }

    pub fn package(mut self, name: &str, version: &str) -> Self {
        self.packages.insert(name.to_owned(), installed(version));
        self
    }

    /// A mount, with its options separated by commas.
    pub fn mount(mut self, at: &str, fs_type: &str, options: &str) -> Self {
        self.mounts.push(Mount {
            path: path(at),
            fs_type: fs_type.to_owned(),
            source: fs_type.to_owned(),
            options: options.split(',').map(str::to_owned).collect(),
        });
        self
    }

    /// Kernel modules by name.
    pub fn modules(mut self, loaded: &[&str], built_in: &[&str], available: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.modules = Some(ModulesSeen {
            kernel: "6.1.0-28-amd64".to_owned(),
            loaded: owned(loaded),
            built_in: owned(built_in),
            available: Some(owned(available)),
            directives: Vec::new(),
            of_tree: false,
        });
        self
    }

    pub fn command(mut self, argv: &[&str], status: i32) -> Self {
        self.commands
            .insert(argv.iter().map(|arg| (*arg).to_owned()).collect(), status);
        self
    }

    /// A host whose accounts are known: there are none.
    pub fn without_accounts() -> Self {
        let accounts = AccountsSeen {
            accounts: Vec::new(),
            groups: Vec::new(),
            other_sources: Vec::new(),
            malformed: Vec::new(),
            shadow_unknown: None,
        };
        Self {
            accounts: Some(accounts),
            ..Self::new()
        }
    }

    pub fn cannot_tell(mut self, probe: Probe, reason: Reason) -> Self {
        self.unknown.insert(probe, reason);
        self
    }

    pub fn content(&self, at: &str) -> Option<String> {
        let node = self.nodes.get(&path(at))?;
        Some(String::from_utf8_lossy(&node.content).into_owned())
    }

    pub fn answer(&self, probe: &Probe) -> Observed {
        if let Some(reason) = self.unknown.get(probe) {
            return Observed::unknown(reason.clone());
        }
        let known = |value: Option<Value>| value.map_or(Answer::Absent, Answer::Known);
        let unavailable = || {
            Answer::Unknown(Reason::Unavailable {
                what: "not part of this case".to_owned(),
            })
        };
        Observed::new(match probe {
            Probe::File { path, limit_bytes } => self.read(path, *limit_bytes),
            Probe::FileDigest { path } => known(self.resolve(path).and_then(|at| {
                let node = self.nodes.get(&at)?;
                (node.file_type == FileType::Regular).then(|| Value::FileDigest {
                    meta: self.meta_at(&at, node),
                    content: Digest::of(&node.content),
                })
            })),
            Probe::Meta { path } => known(
                self.nodes
                    .get(path)
                    .map(|node| Value::Meta(self.meta_at(path, node))),
            ),
            Probe::Found { path } => known(
                self.nodes
                    .get(path)
                    .map(|node| Value::Meta(meta(node).rights_only())),
            ),
            Probe::Dir { path } => self.list(path),
            Probe::Writers { path, below } => self.writers(path, *below),
            Probe::Tool {
                tool: Tool::SshdEffective,
                args,
            } if self.sshd_defaults.is_some() => {
                Answer::Known(Value::Output(crate::sshd_answers::effective(self, args)))
            }
            Probe::Tool { tool, args } => self
                .tools
                .get(&(*tool, args.clone()))
                .map_or_else(unavailable, |output| {
                    Answer::Known(Value::Output(output.clone()))
                }),
            Probe::Unit { name } => known(self.units.get(name).cloned().map(|mut unit| {
                unit.files.extend(self.drop_ins(name, &unit.files));
                // The main file, then all drop-ins by name, whatever directory they are in.
                let main = unit.files.len().min(1);
                unit.files[main..].sort_by(|a, b| a.file_name().cmp(b.file_name()));
                Value::Unit(unit)
            })),
            Probe::Sysctl { key } => known(self.sysctls.get(key).cloned().map(Value::Sysctl)),
            Probe::Package { name } => known(self.packages.get(name).cloned().map(Value::Package)),
            Probe::Mounts => Answer::Known(Value::Mounts(MountsSeen {
                mounted: self.mounts.clone(),
                fstab: self.fstab(),
            })),
            Probe::Accounts => self
                .accounts
                .clone()
                .map_or_else(unavailable, |seen| Answer::Known(Value::Accounts(seen))),
            Probe::Activity { account, .. } => known(Some(Value::Activity(
                self.activity.get(account).copied().unwrap_or_default(),
            ))),
            Probe::Modules => self.modules.clone().map_or_else(unavailable, |mut seen| {
                seen.directives.extend(self.modprobe());
                Answer::Known(Value::Modules(seen))
            }),
            Probe::AuditRules => self
                .audit_rules
                .clone()
                .map_or_else(unavailable, |rules| Answer::Known(Value::AuditRules(rules))),
            Probe::Walk { test } => {
                let seen = self.walks.get(test).cloned();
                Answer::Known(Value::Walk(seen.unwrap_or_else(|| self.walk(*test))))
            }
            Probe::Command { argv, .. } => match self.commands.get(argv) {
                Some(status) => Answer::Known(Value::Output(Output {
                    status: Some(*status),
                    stdout: String::new(),
                    stderr: String::new(),
                })),
                None => unavailable(),
            },
        })
    }

    fn meta_at(&self, at: &HostPath, node: &Node) -> Meta {
        Meta {
            acl: self.acls.get(at).cloned(),
            default_acl: self.default_acls.get(at).cloned(),
            ..meta(node)
        }
    }

    /// Who can change what is read at a path.
    fn writers(&self, at: &HostPath, below: bool) -> Answer {
        let mut seen: BTreeMap<HostPath, WritersSeen> = BTreeMap::new();
        let mut todo = vec![at.clone()];
        let mut listed = Vec::new();
        while let Some(next) = todo.pop() {
            let mut end = next.clone();
            let mut via = None;
            // No link in the middle of a path: the cases have none.
            while let Some(node) = self.nodes.get(&end)
                && node.file_type == FileType::Link
            {
                self.add_writers(&mut seen, &end, Part::Read, via.as_ref());
                via.get_or_insert(end.clone());
                end = path(&node.target);
            }
            let Some(node) = self.nodes.get(&end) else {
                if next == *at {
                    return Answer::Absent;
                }
                let above = end.parent().expect("a link leads somewhere");
                self.add_writers(&mut seen, &above, Part::Read, via.as_ref());
                continue;
            };
            self.add_writers(&mut seen, &end, Part::Read, via.as_ref());
            if below && node.file_type == FileType::Directory && !listed.contains(&end) {
                let children = self
                    .nodes
                    .keys()
                    .filter(|child| child.parent().as_ref() == Some(&end));
                todo.extend(children.cloned());
                listed.push(end);
            }
        }
        Answer::Known(Value::Writers(seen.into_values().collect()))
    }

    fn add_writers(
        &self,
        seen: &mut BTreeMap<HostPath, WritersSeen>,
        at: &HostPath,
        part: Part,
        via: Option<&HostPath>,
    ) {
        let mut part = part;
        let mut next = Some(at.clone());
        while let Some(at) = next {
            let entry = seen.entry(at.clone()).or_insert_with(|| WritersSeen {
                path: at.clone(),
                part,
                meta: meta(&self.nodes[&at]),
                acl: self.acls.get(&at).cloned(),
                via: via.cloned(),
            });
            entry.part = entry.part.max(part);
            if via.is_none() {
                entry.via = None;
            }
            part = Part::Above;
            next = at.parent();
        }
    }

    /// What a walk over the tree finds. Capabilities are not part of the tree: a case that is
    /// about them gives its own answer.
    fn walk(&self, test: WalkTest) -> WalkSeen {
        let hits: Vec<WalkHit> = self
            .nodes
            .iter()
            .filter(|(_, node)| {
                let is_file = node.file_type == FileType::Regular;
                let is_directory = node.file_type == FileType::Directory;
                match test {
                    WalkTest::WorldWritableFiles => is_file && node.mode & 0o002 != 0,
                    WalkTest::WorldWritableDirectoriesWithoutSticky => {
                        is_directory && node.mode & 0o1002 == 0o002
                    }
                    WalkTest::UnknownPrivilegedPrograms => is_file && node.mode & 0o6000 != 0,
                    WalkTest::Unowned => node.owner.starts_with(|c: char| c.is_ascii_digit()),
                    WalkTest::UnknownCapabilities => false,
                }
            })
            .map(|(path, node)| WalkHit {
                path: path.clone(),
                meta: meta(node),
                package: self.owners.get(path).cloned(),
                declared: self.declared.get(path).cloned(),
            })
            .collect();
        WalkSeen {
            total: hits.len() as u64,
            hits,
            unreadable: Vec::new(),
            unreadable_total: 0,
            other_roots: Vec::new(),
        }
    }

    /// The rules that `augenrules --load` would load.
    fn load_audit_rules(&mut self) {
        let directory = path("/etc/audit/rules.d");
        let rules = self
            .nodes
            .iter()
            .filter(|(at, _)| at.parent().as_ref() == Some(&directory))
            .flat_map(|(_, node)| {
                String::from_utf8_lossy(&node.content)
                    .lines()
                    .filter(|line| line.starts_with('-'))
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        self.audit_rules = Some(rules);
    }

    /// Follows links at the end of a path, as the kernel does, up to a bound.
    fn resolve(&self, at: &HostPath) -> Option<HostPath> {
        let mut at = at.clone();
        for _ in 0..8 {
            let node = self.nodes.get(&at)?;
            if node.file_type != FileType::Link {
                return Some(at);
            }
            at = if node.target.starts_with('/') {
                node.target.parse().ok()?
            } else {
                let mut up = at.parent()?;
                let mut target = &*node.target;
                while let Some(rest) = target.strip_prefix("../") {
                    (up, target) = (up.parent()?, rest);
                }
                up.join(target).ok()?
            };
        }
        None
    }

    fn read(&self, at: &HostPath, limit_bytes: u32) -> Answer {
        let Some(resolved) = self.resolve(at) else {
            return Answer::Absent;
        };
        let node = &self.nodes[&resolved];
        if node.file_type != FileType::Regular {
            return Answer::Unknown(Reason::Failed {
                why: format!("{at} is not a regular file"),
            });
        }
        if node.content.len() > limit_bytes as usize {
            return Answer::Unknown(Reason::TooLarge {
                size_bytes: node.content.len() as u64,
                limit_bytes: u64::from(limit_bytes),
            });
        }
        Answer::Known(Value::File(FileSeen {
            meta: self.meta_at(&resolved, node),
            content: node.content.clone().into(),
            resolved: (resolved != *at).then_some(resolved),
        }))
    }

    fn list(&self, at: &HostPath) -> Answer {
        match self.nodes.get(at) {
            None => Answer::Absent,
            Some(node) if node.file_type != FileType::Directory => {
                Answer::Unknown(Reason::Failed {
                    why: format!("{at} is not a directory"),
                })
            }
            Some(_) => Answer::Known(Value::Dir(
                self.nodes
                    .iter()
                    .filter(|(path, _)| path.parent().as_ref() == Some(at))
                    .map(|(path, node)| DirEntry {
                        name: path.file_name().to_vec().into(),
                        file_type: node.file_type,
                    })
                    .collect(),
            )),
        }
    }

    /// Drop-ins in the tree that a case did not list, such as one that a fix made.
    fn drop_ins(&self, unit: &str, listed: &[HostPath]) -> Vec<HostPath> {
        if listed.is_empty() {
            return Vec::new();
        }
        let directory = format!("/etc/systemd/system/{unit}.d");
        self.nodes
            .keys()
            .filter(|path| path.parent() == directory.parse().ok() && !listed.contains(path))
            .cloned()
            .collect()
    }

    fn fstab(&self) -> Vec<FstabLine> {
        let text = self.content("/etc/fstab").unwrap_or_default();
        let mut lines = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let fields: Vec<&str> = text.split_whitespace().collect();
            if let [source, path, fs_type, options, ..] = fields[..]
                && !text.trim_start().starts_with('#')
            {
                lines.push(FstabLine {
                    line,
                    source: source.to_owned(),
                    path: path.to_owned(),
                    fs_type: fs_type.to_owned(),
                    options: options.split(',').map(str::to_owned).collect(),
                });
            }
        }
        lines
    }

    fn modprobe(&self) -> Vec<ModprobeLine> {
        let directory = path("/etc/modprobe.d");
        let mut directives = Vec::new();
        for (at, node) in &self.nodes {
            if at.parent().as_ref() != Some(&directory) {
                continue;
            }
            for (line, text) in (1..).zip(String::from_utf8_lossy(&node.content).lines()) {
                let mut words = text.split_whitespace();
                if let (Some(command), Some(module)) = (words.next(), words.next())
                    && !command.starts_with('#')
                {
                    directives.push(ModprobeLine {
                        path: at.clone(),
                        line,
                        command: command.to_owned(),
                        module: module.to_owned(),
                        rest: words.collect::<Vec<_>>().join(" "),
                    });
                }
            }
        }
        directives
    }

    /// Carries out edits as `plan` and `host` would.
    pub fn apply(&mut self, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::Content {
                    path,
                    change,
                    new_file,
                    ..
                } => {
                    let at = self.resolve(path).unwrap_or_else(|| path.clone());
                    let current = self.nodes.get(&at).map(|node| node.content.clone());
                    let content = change
                        .apply(current.as_deref())
                        .unwrap_or_else(|error| panic!("{path}: {error}"));
                    let made = new_file.clone().map(|new| Node {
                        file_type: FileType::Regular,
                        mode: new.mode.bits(),
                        owner: new.owner,
                        group: new.group,
                        ..directory()
                    });
                    self.require_parent(&at);
                    let node = self.nodes.entry(at).or_insert_with(|| {
                        made.expect("an edit of a missing file says how to make it")
                    });
                    node.content = content;
                }
                Edit::Meta {
                    path,
                    mode,
                    owner,
                    group,
                    drop_capabilities,
                    drop_acl,
                } => {
                    self.set_meta(path, *mode, owner.as_deref(), group.as_deref());
                    if *drop_acl {
                        self.acls.remove(path);
                        self.default_acls.remove(path);
                    }
                    if *drop_capabilities
                        && let Some(seen) = self.walks.get_mut(&WalkTest::UnknownCapabilities)
                    {
                        seen.hits.retain(|hit| hit.path != *path);
                        seen.total = seen.hits.len() as u64;
                    }
                }
                Edit::Act { effect, .. } => self.act(effect),
            }
        }
    }

    fn require_parent(&self, at: &HostPath) {
        let parent = at.parent().expect("nobody edits the root directory");
        assert!(
            self.nodes.contains_key(&parent),
            "{parent} is not there to hold {at}"
        );
    }

    fn set_meta(
        &mut self,
        at: &HostPath,
        mode: Option<Mode>,
        owner: Option<&str>,
        group: Option<&str>,
    ) {
        let node = self
            .nodes
            .get_mut(at)
            .expect("metadata is set on what is there");
        if let Some(mode) = mode {
            node.mode = mode.bits();
        }
        if let Some(owner) = owner {
            owner.clone_into(&mut node.owner);
        }
        if let Some(group) = group {
            group.clone_into(&mut node.group);
        }
    }

    fn act(&mut self, effect: &Effect) {
        match effect {
            Effect::MakeDir {
                path,
                mode,
                owner,
                group,
                ..
            } => {
                self.require_parent(path);
                let node = Node {
                    mode: mode.bits(),
                    owner: owner.clone().unwrap_or_else(|| "root".to_owned()),
                    group: group.clone().unwrap_or_else(|| "root".to_owned()),
                    ..directory()
                };
                assert!(
                    self.nodes.insert(path.clone(), node).is_none(),
                    "{path} is there already"
                );
            }
            Effect::Remove { path } => {
                assert!(
                    self.nodes
                        .keys()
                        .all(|other| other == path || !other.is_within(path)),
                    "{path} is not empty"
                );
                self.nodes.remove(path).expect("what is removed is there");
            }
            Effect::Link { path, target } => {
                self.require_parent(path);
                let node = Node {
                    file_type: FileType::Link,
                    mode: 0o777,
                    target: target.as_text().expect("test links are text").to_owned(),
                    ..directory()
                };
                self.nodes.insert(path.clone(), node);
            }
            Effect::SetMeta {
                path,
                mode,
                owner,
                group,
                ..
            } => {
                self.set_meta(path, *mode, owner.as_deref(), group.as_deref());
            }
            Effect::Sysctl { key, value } => {
                self.sysctls.insert(key.clone(), value.clone());
            }
            Effect::Remount { path, options } => {
                let mount = self.mounts.iter_mut().rfind(|mount| mount.path == *path);
                mount
                    .expect("what is remounted is mounted")
                    .options
                    .clone_from(options);
            }
            Effect::Module { name, loaded } => {
                let seen = self.modules.as_mut().expect("the case has modules");
                seen.loaded.retain(|other| other != name);
                if *loaded {
                    seen.loaded.push(name.clone());
                }
            }
            Effect::Unit { name, op } => self.unit_op(name, *op),
            Effect::Package { name, op } => match op {
                PackageOp::Install { version } => {
                    let version = version.as_deref().unwrap_or("99:9999");
                    self.packages.insert(name.clone(), installed(version));
                }
                PackageOp::Remove => {
                    self.packages.remove(name);
                }
            },
            Effect::Run { argv, .. } => {
                // A fix makes every check of the case succeed.
                self.done.push(argv.join(" "));
                self.commands.values_mut().for_each(|status| *status = 0);
            }
            Effect::LoadAuditRules => self.load_audit_rules(),
            Effect::Account(op) => {
                let accounts = self.accounts.as_mut().expect("the case has accounts");
                crate::accounts::act(accounts, op);
            }
            other => self.done.push(format!("{other:?}")),
        }
    }

    fn unit_op(&mut self, name: &str, op: UnitOp) {
        let set = |text: &str| Some(text.to_owned());
        let unit = self.units.get_mut(name);
        match (op, unit) {
            (UnitOp::Enable, Some(unit)) => unit.unit_file_state = set("enabled"),
            (UnitOp::Disable, Some(unit)) => unit.unit_file_state = set("disabled"),
            (UnitOp::Mask, Some(unit)) => {
                unit.unit_file_state = set("masked");
                "masked".clone_into(&mut unit.load_state);
            }
            (UnitOp::Unmask, Some(unit)) => {
                unit.unit_file_state = set("disabled");
                "loaded".clone_into(&mut unit.load_state);
            }
            (UnitOp::Start, Some(unit)) => unit.active_state = set("active"),
            (UnitOp::Stop, Some(unit)) => unit.active_state = set("inactive"),
            (op, _) => self.done.push(format!("{op:?} {name}")),
        }
    }
}

fn directory() -> Node {
    Node {
        file_type: FileType::Directory,
        mode: 0o755,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        content: Vec::new(),
        target: String::new(),
    }
}

fn installed(version: &str) -> PackageSeen {
    PackageSeen {
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        installed: true,
        status: "install ok installed".to_owned(),
        automatic: Some(false),
    }
}

fn meta(node: &Node) -> Meta {
    let id = |name: &str| if name == "root" { 0 } else { 1000 };
    Meta {
        file_type: node.file_type,
        mode: Mode::new(node.mode),
        uid: id(&node.owner),
        gid: id(&node.group),
        owner: Some(node.owner.clone()),
        group: Some(node.group.clone()),
        size_bytes: node.content.len() as u64,
        hard_links: 1,
        target: (node.file_type == FileType::Link).then(|| Blob::from(node.target.as_str())),
        acl: None,
        default_acl: None,
    }
}

/// A resource as a policy writes it.
pub fn resource(yaml: &str) -> Resource {
    let resource: Resource =
        serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    resource
}

/// Asks in rounds, as `host` does, until nothing new is asked.
pub fn observe(resource: &Resource, host: &Host) -> Answers {
    let mut answers = Answers::default();
    for _ in 0..6 {
        let new: Vec<Probe> = resource
            .probes(&answers)
            .into_iter()
            .filter(|probe| !answers.contains(probe))
            .collect();
        if new.is_empty() {
            return answers;
        }
        for probe in new {
            let observed = host.answer(&probe);
            answers.insert(probe, observed);
        }
    }
    let left = resource.probes(&answers);
    assert!(
        left.iter().all(|probe| answers.contains(probe)),
        "still asking after six rounds: {left:?}"
    );
    answers
}

pub fn judge(yaml: &str, host: &Host) -> Judgement {
    let resource = resource(yaml);
    resource.judge(&observe(&resource, host))
}

/// A judgement in one line, to compare with:
/// `ok: no`, `drift: yes, wanted no`, `n/a: why`, `unknown: why`, `error: why`.
/// Places follow as ` @ file:line`, what a person has to do as ` (by hand: …)`.
pub fn words(judgement: &Judgement) -> String {
    let places = |at: &[SourceLine]| at.iter().map(|at| format!(" @ {at}")).collect::<String>();
    match judgement {
        Judgement::Compliant { observed, at } => format!("ok: {observed}{}", places(at)),
        Judgement::Drift(drifts) => drifts
            .iter()
            .map(|drift| {
                let Drift {
                    observed,
                    wanted,
                    at,
                    by_hand,
                    ..
                } = drift;
                let by_hand = by_hand
                    .as_ref()
                    .map_or_else(String::new, |what| format!(" (by hand: {what})"));
                format!("drift: {observed}, wanted {wanted}{}{by_hand}", places(at))
            })
            .collect::<Vec<_>>()
            .join("; "),
        Judgement::NotApplicable(why) => format!("n/a: {why}"),
        Judgement::Unknown(reason) => format!("unknown: {reason}"),
        Judgement::Error(why) => format!("error: {why}"),
    }
}

/// Judges; where it drifts and has edits, fixes, and demands that the result is compliant and
/// that a second fix would change nothing. Returns the words of the first judgement, and the
/// host after the fix.
pub fn fix(yaml: &str, host: &Host) -> (String, Host) {
    let judgement = judge(yaml, host);
    let said = words(&judgement);
    let mut after = host.clone();
    if let Judgement::Drift(drifts) = &judgement {
        for drift in drifts {
            assert!(
                !drift.edits.is_empty() || !drift.activate.is_empty() || drift.by_hand.is_some(),
                "{yaml}: a drift has edits, or says what a person has to do"
            );
            after.apply(&drift.edits);
            for effect in &drift.activate {
                after.apply(&[Edit::act(effect.clone())]);
            }
        }
        if drifts.iter().all(|drift| drift.by_hand.is_none()) {
            let again = judge(yaml, &after);
            assert!(
                matches!(again, Judgement::Compliant { .. }),
                "{yaml}: after the fix: {}\n{after:#?}",
                words(&again)
            );
        }
    }
    (said, after)
}

/// One case: what is said of a host, and that the fix makes it compliant.
#[track_caller]
pub fn check(yaml: &str, host: &Host, expected: &str) -> Host {
    let (said, after) = fix(yaml, host);
    assert_eq!(said, expected, "{yaml}");
    after
}

/// A declaration that is refused at load, and why.
#[track_caller]
pub fn refused(yaml: &str, expected: &str) {
    assert_eq!(resource(yaml).check(), Err(expected.to_owned()), "{yaml}");
}
