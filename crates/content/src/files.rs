//! The files of a policy: where they come from, and how much of them is taken. This is the
//! one place in this crate that reads files, and it stays inside the policy's root: no link
//! below it is followed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::HostPath;
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{ContentError, ContentErrors, Place, Problems, SourceText, nearest};

/// A policy file is written by people: one that is larger was not.
pub(crate) const LARGEST_FILE_BYTES: usize = 1 << 20;
/// All files of one policy together.
const LARGEST_POLICY_BYTES: usize = 32 << 20;
/// Files of one policy.
const MOST_FILES: usize = 4096;
/// Directories below `roles/` or `baselines/`.
const DEEPEST: usize = 8;

/// What is read of a policy's root: directories, and files.
const ROOM: [&str; 5] = [
    "baselines",
    "roles",
    "waivers.yaml",
    "patches.yaml",
    "vulnerabilities.yaml",
];

const UNREADABLE: &str = "whoever runs this has to be allowed to read all of the policy";

/// Where the built-in baselines are said to be.
pub(crate) const BUILT_IN_ROOT: &str = "/built-in";

const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/baselines.rs"));

/// The files of a policy, by their path below its root.
#[derive(Clone, Debug, Default)]
pub struct PolicyFiles {
    files: BTreeMap<String, Vec<u8>>,
    /// How a person named the root; empty for the built-in baselines.
    shown_root: String,
    /// The root's absolute path.
    root: Option<HostPath>,
}

impl PolicyFiles {
    /// Files that are at hand as bytes, as `(path below the root, content)`.
    pub fn from_bytes<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self {
            files: files
                .into_iter()
                .map(|(path, bytes)| (path.to_owned(), bytes.to_vec()))
                .collect(),
            ..Self::default()
        }
    }

    /// The baselines that the program carries.
    pub(crate) fn built_in() -> Self {
        Self {
            files: BUILT_IN
                .iter()
                .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
                .collect(),
            shown_root: "built-in".to_owned(),
            root: Some(HostPath::literal(BUILT_IN_ROOT)),
        }
    }

    /// Is there a file that could name a rule? Roles and patches can't.
    pub(crate) fn refer_to_rules(&self) -> bool {
        let names_none = |path: &String| {
            path.starts_with("roles/") || path == "patches.yaml" || path == "vulnerabilities.yaml"
        };
        !self.files.keys().all(names_none)
    }

    /// Reads `roles/`, `baselines/`, `waivers.yaml`, `patches.yaml` and `vulnerabilities.yaml`
    /// below a directory.
    ///
    /// # Errors
    /// When there is no such directory, when it holds no policy, and when a file in it can't
    /// be read, is a link, or is larger than a policy is.
    pub fn read(root: &Path) -> Result<Self, ContentErrors> {
        let shown_root = root.display().to_string();
        let refused = |why: String| {
            ContentErrors::from(
                ContentError::without_place(format!(
                    "the policy directory `{}` can't be read: {why}",
                    model::printable(shown_root.as_bytes())
                ))
                .help("`--policy DIR` names the directory that has `roles/` or `baselines/`"),
            )
        };
        let absolute = root
            .canonicalize()
            .map_err(|error| refused(error.to_string()))?;
        let directory = rustix::fs::open(
            &absolute,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| refused(error.to_string()))?;
        let mut walk = Walk {
            shown_root: shown_root.clone(),
            files: BTreeMap::new(),
            bytes: 0,
            problems: Problems::default(),
        };
        let mut found = false;
        for name in &ROOM[..2] {
            found |= walk.directory(&directory, OsStr::new(name), "", 0);
        }
        for name in &ROOM[2..] {
            found |= walk.file(&directory, OsStr::new(name), name);
        }
        walk.misspelt(&directory);
        if !found && walk.problems.is_empty() {
            walk.problems.push(
                ContentError::without_place(format!(
                    "no policy in `{}`",
                    model::printable(shown_root.as_bytes())
                ))
                .help(
                    "a policy has `roles/`, `baselines/`, `waivers.yaml`, `vulnerabilities.yaml` or `patches.yaml`",
                ),
            );
        }
        let files = Self {
            files: walk.files,
            root: HostPath::from_bytes(absolute.as_os_str().as_bytes()).ok(),
            shown_root,
        };
        walk.problems.into_result(files)
    }

    /// Every file as text, with the ones that are no text left out and named.
    pub(crate) fn texts(&self, problems: &mut Problems) -> BTreeMap<String, Arc<SourceText>> {
        let mut texts = BTreeMap::new();
        for (path, bytes) in &self.files {
            match self.text(path, bytes) {
                Ok(text) => {
                    texts.insert(path.clone(), text);
                }
                // A keyring or a logo beside a role is nobody's mistake until a role takes it
                // for a template.
                Err(error) if is_beside_a_role(path) => {
                    let name = shown(&self.shown_root, path);
                    let odd =
                        SourceText::odd(name, path.clone(), self.full(path), error.to_string());
                    texts.insert(path.clone(), odd);
                }
                Err(error) => problems.push(error),
            }
        }
        texts
    }

    fn full(&self, path: &str) -> HostPath {
        let root = self.root.clone().unwrap_or_else(|| HostPath::literal("/"));
        root.join(path).unwrap_or(root)
    }

    fn text(&self, path: &str, bytes: &[u8]) -> Result<Arc<SourceText>, ContentError> {
        let name = shown(&self.shown_root, path);
        let full = self.full(path);
        let refused = |why: &str| {
            ContentError::without_place(format!("`{}` {why}", model::printable(name.as_bytes())))
        };
        if bytes.len() > LARGEST_FILE_BYTES {
            return Err(refused("is larger than a policy file may be (1 MiB)")
                .help("divide it over several files"));
        }
        let text = str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            refused(&format!("is not UTF-8 text on line {line}")).help(format!(
                "the first byte that is none is 0x{:02x}: save the file as UTF-8",
                bytes[before.len()]
            ))
        })?;
        let source = SourceText::new(name.clone(), path.to_owned(), full, text.to_owned());
        let hidden = text
            .char_indices()
            .find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\t' | '\r'));
        match hidden {
            None => Ok(source),
            Some((at, character)) => Err(ContentError::new(
                format!("a control character (U+{:04X})", u32::from(character)),
                Place::new(&source, at..at + character.len_utf8()),
            )
            .help("write it as an escape in double quotes, as in \"\\e\"")),
        }
    }
}

/// Is it a file that only a role's `template` can ask for, and no policy file itself?
pub(crate) fn is_beside_a_role(path: &str) -> bool {
    path.strip_prefix("roles/").is_some_and(|name| {
        name.contains('/') || !(name.ends_with(".yaml") || name.ends_with(".yml"))
    })
}

fn shown(root: &str, path: &str) -> String {
    if root.is_empty() {
        path.to_owned()
    } else {
        format!("{}/{path}", root.trim_end_matches('/'))
    }
}

struct Walk {
    shown_root: String,
    files: BTreeMap<String, Vec<u8>>,
    bytes: usize,
    problems: Problems,
}

impl Walk {
    fn refuse(&mut self, path: &str, why: &str, help: Option<&str>) {
        let name = shown(&self.shown_root, path);
        self.problems.push(
            ContentError::without_place(format!("`{}` {why}", model::printable(name.as_bytes())))
                .maybe_help(help.map(str::to_owned)),
        );
    }

    /// A name that is nearly one of ours would otherwise be passed over in silence, and its
    /// waivers or rules with it.
    fn misspelt(&mut self, root: &OwnedFd) {
        let Ok(entries) = Dir::read_from(root) else {
            return;
        };
        for entry in entries.flatten().take(MOST_FILES) {
            let name = String::from_utf8_lossy(entry.file_name().to_bytes()).into_owned();
            if ROOM.contains(&name.as_str()) || name.starts_with('.') {
                continue;
            }
            if let Some(meant) = nearest(&name, ROOM) {
                let help = format!("did you mean `{meant}`?");
                self.refuse(&name, "is not read", Some(&help));
            }
        }
    }

    /// Takes in a directory; false when there is none.
    fn directory(&mut self, parent: &OwnedFd, name: &OsStr, above: &str, depth: usize) -> bool {
        let path = format!("{above}{}", name.to_string_lossy());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = rustix::fs::openat(parent, Path::new(name), flags, Mode::empty());
        let directory = match opened {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return false,
            Err(Errno::LOOP | Errno::NOTDIR) => {
                self.refuse(
                    &path,
                    "is not a directory of its own",
                    Some("links in a policy are not followed"),
                );
                return true;
            }
            Err(error) => {
                self.refuse(&path, &format!("can't be read: {error}"), Some(UNREADABLE));
                return true;
            }
        };
        if depth > DEEPEST {
            self.refuse(&path, "lies too deep", Some("move it further up"));
            return true;
        }
        let mut names: Vec<(PathBuf, FileType)> = Vec::new();
        match Dir::read_from(&directory) {
            Ok(entries) => {
                for entry in entries.take(MOST_FILES + 2) {
                    match entry {
                        Ok(entry) => names.push((
                            PathBuf::from(OsStr::from_bytes(entry.file_name().to_bytes())),
                            entry.file_type(),
                        )),
                        Err(error) => {
                            self.refuse(
                                &path,
                                &format!("can't be read: {error}"),
                                Some(UNREADABLE),
                            );
                            return true;
                        }
                    }
                }
            }
            Err(error) => {
                self.refuse(&path, &format!("can't be read: {error}"), Some(UNREADABLE));
                return true;
            }
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, file_type) in names {
            // Editors and version control keep their own things in dotted names.
            if name.as_os_str().as_bytes().starts_with(b".") {
                continue;
            }
            let below = format!("{path}/{}", name.display());
            if file_type == FileType::Directory {
                self.directory(&directory, name.as_os_str(), &format!("{path}/"), depth + 1);
            } else {
                self.file(&directory, name.as_os_str(), &below);
            }
        }
        true
    }

    /// Takes in a file; false when there is none.
    fn file(&mut self, parent: &OwnedFd, name: &OsStr, path: &str) -> bool {
        // NONBLOCK: a pipe that lies here must not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(parent, Path::new(name), flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return false,
            Err(Errno::LOOP) => {
                self.refuse(
                    path,
                    "is a link",
                    Some("links in a policy are not followed"),
                );
                return true;
            }
            Err(error) => {
                self.refuse(path, &format!("can't be read: {error}"), Some(UNREADABLE));
                return true;
            }
        };
        let regular = rustix::fs::fstat(&file)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if !regular {
            let help = "a policy has files and directories only";
            self.refuse(path, "is not a regular file", Some(help));
            return true;
        }
        let mut bytes = Vec::new();
        // One byte more than is taken, to notice that there is more.
        let limit = LARGEST_FILE_BYTES as u64 + 1;
        if let Err(error) = std::fs::File::from(file)
            .take(limit)
            .read_to_end(&mut bytes)
        {
            self.refuse(path, &format!("can't be read: {error}"), Some(UNREADABLE));
            return true;
        }
        self.bytes += bytes.len();
        if self.files.len() >= MOST_FILES || self.bytes > LARGEST_POLICY_BYTES {
            let help = "keep what is no policy elsewhere";
            self.refuse(path, "is more than a policy may hold", Some(help));
            return true;
        }
        self.files.insert(path.to_owned(), bytes);
        true
    }
}
