//! systemd units as their files tell: which exist, and which are enabled. This is what
//! `systemctl --root=` does, and all there is to say where no manager runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::HostPath;
use model::value::{FileType, UnitSeen};

use crate::local::Inner;
use crate::parse::unit_file::parse_install;
use crate::tree::Trouble;

/// "Unit File Load Path" of systemd.unit(5), from the directory that wins. `/lib` is `/usr/lib`
/// where they are merged, and a place of its own where not.
const DIRECTORIES: [&str; 12] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
    "/run/systemd/system.attached",
];

/// The suffixes of units (systemd(1)).
const SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".timer",
    ".target",
    ".mount",
    ".automount",
    ".path",
    ".swap",
    ".slice",
    ".scope",
    ".device",
];

/// A unit file may be this long.
const LIMIT_BYTES: u64 = 1 << 20;

/// An alias may lead to an alias; a loop of them does not hold us up.
const MOST_ALIASES: u32 = 8;

/// The units that have files, and the links that enable them.
#[derive(Default)]
pub struct UnitFiles {
    files: BTreeMap<String, UnitFile>,
    /// Directories such as `ssh.service.d`, with where they are, from the one that wins.
    drop_ins: BTreeMap<String, Vec<HostPath>>,
    /// Names that stand in a `.wants`, `.requires` or `.upholds` directory of `/etc`.
    enabled: BTreeSet<String>,
    /// The same, below `/run`, by hand or by a generator: until the next boot.
    enabled_runtime: BTreeSet<String>,
    /// Units that somebody has linked under another name: "it might be in use" (systemd's
    /// `unit_file_lookup_state`), which systemctl calls `indirect`.
    in_use: BTreeSet<String>,
    /// Could any directory not be read?
    pub trouble: Option<Trouble>,
}

struct UnitFile {
    path: HostPath,
    /// The last component of where it points, when it is a link to another unit.
    alias: Option<String>,
    /// A link to `/dev/null`.
    masked: bool,
    /// What `[Install]` and the place of the file make of the unit, before links are looked at.
    state: Option<&'static str>,
    /// The instance that a template stands for: `getty@tty1.service` for `getty@.service`.
    default_instance: Option<String>,
}

impl UnitFiles {
    pub fn read(host: &Arc<Inner>) -> Self {
        let mut units = Self::default();
        for directory in DIRECTORIES {
            units.read_directory(host, &HostPath::literal(directory));
        }
        let links = units.enabled.iter().chain(&units.enabled_runtime);
        let aliases = units.files.values().filter(|file| {
            let place = file.path.as_bytes();
            place.starts_with(b"/etc/") || place.starts_with(b"/run/")
        });
        units.in_use = links
            .filter_map(|name| template(name))
            .chain(aliases.filter_map(|file| file.alias.clone()))
            .collect();
        let names: Vec<String> = units.files.keys().cloned().collect();
        for name in names {
            let Some((state, default_instance)) = units.install_state(host, &name) else {
                continue;
            };
            if let Some(file) = units.files.get_mut(&name) {
                file.state = Some(state);
                file.default_instance = default_instance;
            }
        }
        units
    }

    fn read_directory(&mut self, host: &Arc<Inner>, directory: &HostPath) {
        let entries = match host.tree.list(directory) {
            Ok(entries) => entries,
            Err(Trouble::Absent) => return,
            Err(trouble) => {
                self.trouble.get_or_insert(trouble);
                return;
            }
        };
        for (name, file_type) in entries {
            let (Ok(path), Ok(name)) = (directory.join(&name), String::from_utf8(name)) else {
                continue;
            };
            if is_unit(&name) {
                if matches!(file_type, FileType::Regular | FileType::Link)
                    && !self.files.contains_key(&name)
                {
                    let file = UnitFile::look(host, path, &name, file_type);
                    self.files.insert(name, file);
                }
            } else if [".wants", ".requires", ".upholds"]
                .iter()
                .any(|suffix| name.ends_with(suffix))
            {
                self.read_links(host, &path);
            } else if name.ends_with(".d") {
                self.drop_ins.entry(name).or_default().push(path);
            }
        }
    }

    fn read_links(&mut self, host: &Arc<Inner>, directory: &HostPath) {
        // Links that a package ships below /usr/lib make a unit start, but do not count as
        // enabled: nobody can disable them (systemctl(1), `static`).
        let bytes = directory.as_bytes();
        let names = if bytes.starts_with(b"/etc/") {
            &mut self.enabled
        } else if bytes.starts_with(b"/run/") {
            &mut self.enabled_runtime
        } else {
            return;
        };
        match host.tree.list(directory) {
            Ok(entries) => names.extend(
                entries
                    .into_iter()
                    .filter_map(|(name, _)| String::from_utf8(name).ok()),
            ),
            Err(Trouble::Absent) => {}
            Err(trouble) => {
                self.trouble.get_or_insert(trouble);
            }
        }
    }

    fn install_state(
        &self,
        host: &Arc<Inner>,
        name: &str,
    ) -> Option<(&'static str, Option<String>)> {
        let file = self.files.get(name)?;
        if file.masked || file.alias.is_some() {
            return None;
        }
        let bytes = file.path.as_bytes();
        if bytes.starts_with(b"/run/systemd/generator") {
            return Some(("generated", None));
        }
        if bytes.starts_with(b"/run/systemd/transient") {
            return Some(("transient", None));
        }
        let content = host.read_path(&file.path, LIMIT_BYTES).ok()?;
        if content.is_empty() {
            // "If a unit file is empty [...] its configuration will not be loaded" (systemd.unit(5)).
            return Some(("masked", None));
        }
        let install = parse_install(&content);
        let alias_stands = install.aliases.iter().any(|alias| {
            self.files.get(alias).is_some_and(|other| {
                other.alias.as_deref() == Some(name) && other.path.as_bytes().starts_with(b"/etc/")
            })
        });
        let state = if alias_stands {
            "enabled"
        } else if install.wanted || !install.aliases.is_empty() {
            "disabled"
        } else if install.also {
            "indirect"
        } else {
            "static"
        };
        let default_instance = install
            .default_instance
            .map(|instance| name.replacen("@.", &format!("@{instance}."), 1));
        Some((state, default_instance))
    }

    /// The unit-file state in systemctl(1)'s words; none when it can't be told.
    pub fn state(&self, name: &str) -> Option<&'static str> {
        let file = self.file(name)?;
        let runtime = file.path.as_bytes().starts_with(b"/run/");
        if file.masked {
            return Some(if runtime { "masked-runtime" } else { "masked" });
        }
        if file.alias.is_some() {
            return Some("alias");
        }
        if let Some("masked" | "generated" | "transient") = file.state {
            return file.state;
        }
        let stands_in = |links: &BTreeSet<String>| {
            let instance = file.default_instance.as_ref();
            links.contains(name)
                || name.contains("@.") && instance.is_some_and(|name| links.contains(name))
        };
        if stands_in(&self.enabled) {
            Some("enabled")
        } else if stands_in(&self.enabled_runtime) {
            Some("enabled-runtime")
        } else if file.state != Some("enabled") && self.in_use.contains(name) {
            Some("indirect")
        } else {
            file.state
        }
    }

    /// The file of a unit, or of the template that an instance is made from.
    fn file(&self, name: &str) -> Option<&UnitFile> {
        self.files
            .get(name)
            .or_else(|| self.files.get(&template(name)?))
    }

    /// Every unit that has a file, and every enabled instance, with its state.
    pub fn states(&self) -> BTreeMap<String, String> {
        let instances = self.enabled.iter().chain(&self.enabled_runtime);
        self.files
            .keys()
            .chain(instances)
            .filter_map(|name| Some((name.clone(), self.state(name)?.to_owned())))
            .collect()
    }

    /// What the files say of one unit; none when it has none.
    pub fn seen(&self, host: &Arc<Inner>, name: &str) -> Result<Option<UnitSeen>, Trouble> {
        // `sshd.service` is what `ssh.service` is, as the manager would answer.
        let mut name = name.to_owned();
        for _ in 0..MOST_ALIASES {
            match self.file(&name).and_then(|file| file.alias.clone()) {
                Some(other) if self.file(&other).is_some() => name = other,
                _ => break,
            }
        }
        let Some(file) = self.file(&name) else {
            return Ok(None);
        };
        let state = self.state(&name);
        let masked = state.is_some_and(|state| state.starts_with("masked"));
        let mut files = vec![file.path.clone()];
        files.extend(self.drop_in_files(host, &name)?);
        Ok(Some(UnitSeen {
            load_state: if masked { "masked" } else { "loaded" }.to_owned(),
            active_state: None,
            is_to_come: false,
            unit_file_state: state.map(str::to_owned),
            files,
        }))
    }

    /// The drop-ins of a unit: `foo.service.d`, `foo-.service.d` and so on for every prefix,
    /// the template's, and the type's; sorted by file name, and the first place wins for one
    /// name (systemd.unit(5)).
    fn drop_in_files(&self, host: &Arc<Inner>, name: &str) -> Result<Vec<HostPath>, Trouble> {
        let mut files: BTreeMap<Vec<u8>, HostPath> = BTreeMap::new();
        for directory in drop_in_names(name) {
            for path in self.drop_ins.get(&directory).into_iter().flatten() {
                let names = match host.tree.list(path) {
                    Ok(names) => names,
                    // Removed meanwhile, or a link to nothing.
                    Err(Trouble::Absent) => continue,
                    // A drop-in that can't be read may overrule all the rest.
                    Err(trouble) => return Err(trouble),
                };
                for (name, _) in names {
                    if name.ends_with(b".conf")
                        && let Ok(path) = path.join(&name)
                    {
                        files.entry(name).or_insert(path);
                    }
                }
            }
        }
        Ok(files.into_values().collect())
    }
}

impl UnitFile {
    fn look(host: &Arc<Inner>, path: HostPath, name: &str, file_type: FileType) -> Self {
        let mut file = Self {
            path,
            alias: None,
            masked: false,
            state: None,
            default_instance: None,
        };
        if file_type != FileType::Link {
            return file;
        }
        let target = host.tree.meta(&file.path).ok().and_then(|node| node.target);
        let Some(target) = target else {
            return file;
        };
        file.masked = target.as_bytes() == b"/dev/null";
        let last = target
            .as_bytes()
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default();
        file.alias = str::from_utf8(last)
            .ok()
            .filter(|other| is_unit(other) && *other != name)
            .map(str::to_owned);
        file
    }
}

/// The names of the directories that may hold drop-ins, from the one that wins.
pub fn drop_in_names(name: &str) -> Vec<String> {
    let Some((stem, suffix)) = name.rsplit_once('.') else {
        return Vec::new();
    };
    let mut names = vec![format!("{name}.d")];
    names.extend(template(name).map(|template| format!("{template}.d")));
    let stem = stem.split('@').next().unwrap_or(stem);
    names.extend(
        stem.match_indices('-')
            .map(|(at, _)| format!("{}-.{suffix}.d", &stem[..at]))
            .collect::<Vec<_>>()
            .into_iter()
            .rev(),
    );
    names.push(format!("{suffix}.d"));
    names
}

/// `getty@tty1.service` is made from `getty@.service`.
fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (_, suffix) = rest.rsplit_once('.')?;
    Some(format!("{prefix}@.{suffix}"))
}

pub fn is_unit(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// A name without a suffix is a service's, as for systemctl(1).
pub fn unit_name(name: &str) -> String {
    if is_unit(name) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}
