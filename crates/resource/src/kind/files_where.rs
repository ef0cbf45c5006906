//! `files_where`: files anywhere on the local file systems that are not as they should
//! be. All resources of this kind share one walk.
//!
//! Whether a packaged program may have set-ID bits or capabilities, [`packaged_rights`] says.
//! Of a package that nobody has read it can't be told: that is unknown, not a finding.
//!
//! Each hit is fixed by what takes away the least: the write bit for everyone, the
//! set-ID bits, the capabilities; the sticky bit is added. Who should own a file that
//! nobody owns, no program can know: that is left to a person.

use model::plan::Risk;
use model::value::{Reason, WALK_LIMIT, WalkHit, WalkSeen};
use model::{HostPath, Mode, Probe, ResourceKey, SourceLine, WalkTest, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::packaged_rights::{self, Rights};
use crate::{Answers, Drift, Edit, Judgement, Kind, Phase, Seen};

const WRITE_FOR_OTHERS: u32 = 0o002;
const SET_ID: u32 = 0o6000;
const STICKY: u32 = 0o1000;

/// No file on a local file system may be of this sort.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesWhere {
    /// What must not be found.
    pub test: WalkTest,
    /// Paths that may be so: `*` stands for any run of characters but `/`, `**` for any run,
    /// and `?` for one character but `/`.
    #[serde(default)]
    pub except: Vec<String>,
}

impl Kind for FilesWhere {
    const NAME: &'static str = "files_where";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: name(self.test).to_owned(),
        }
    }

    fn probes(&self, _: &Answers) -> Vec<Probe> {
        let mut probes = vec![Probe::Walk { test: self.test }];
        // What is declared there is right, whatever its package says.
        if matches!(
            self.test,
            WalkTest::UnknownPrivilegedPrograms | WalkTest::UnknownCapabilities
        ) {
            probes.push(Probe::FileDigest {
                path: HostPath::literal("/var/lib/dpkg/statoverride"),
            });
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let found = match seen.walk(self.test) {
            Seen::Known(found) => found,
            Seen::Absent => return Judgement::compliant("none"),
            Seen::Unknown(reason) => return reason.into(),
            Seen::NotAsked => {
                return Reason::Failed {
                    why: "not asked".to_owned(),
                }
                .into();
            }
        };
        let listed = u64::try_from(found.hits.len()).unwrap_or(u64::MAX);
        let not_listed = found.total.saturating_sub(listed);
        let mut wrong = Vec::new();
        let mut untold = Vec::new();
        let excepted = |hit: &&WalkHit| self.is_excepted(hit.path.as_bytes());
        for hit in found.hits.iter().filter(|hit| !excepted(hit)) {
            match self.rights(hit) {
                Some(Rights::Given) => {}
                Some(Rights::NotRead) => untold.push(hit),
                Some(Rights::NotGiven { extra }) => wrong.push((hit, extra)),
                None => wrong.push((hit, SET_ID)),
            }
        }
        if wrong.is_empty() {
            return match untold.first() {
                Some(first) => not_told(self.test, first, untold.len()),
                None => nothing_found(found, not_listed),
            };
        }
        let note = note(found, not_listed, untold.len());
        let drifts = wrong
            .into_iter()
            .map(|(hit, extra)| self.drift(hit, extra, note.clone()));
        let more = (not_listed > 0).then(|| self.more(not_listed));
        Judgement::Drift(drifts.chain(more).collect())
    }

    fn risk(&self) -> Risk {
        match self.test {
            WalkTest::WorldWritableDirectoriesWithoutSticky | WalkTest::Unowned => Risk::None,
            WalkTest::WorldWritableFiles
            | WalkTest::UnknownPrivilegedPrograms
            | WalkTest::UnknownCapabilities => Risk::Access,
        }
    }

    fn check(&self) -> Result<(), String> {
        match self
            .except
            .iter()
            .find(|glob| !glob.starts_with(['/', '*']))
        {
            Some(glob) => Err(format!("`{glob}` is not an absolute path")),
            None => Ok(()),
        }
    }
}

impl FilesWhere {
    fn is_excepted(&self, path: &[u8]) -> bool {
        self.except
            .iter()
            .any(|glob| glob_matches(glob.as_bytes(), path))
    }

    /// What is known of a packaged file; none for one of no package.
    fn rights(&self, hit: &WalkHit) -> Option<Rights> {
        match (self.test, &hit.package) {
            (WalkTest::UnknownPrivilegedPrograms, Some(package)) => {
                Some(packaged_rights::set_id(package, hit))
            }
            (WalkTest::UnknownCapabilities, Some(package)) => {
                Some(packaged_rights::capabilities(package, hit))
            }
            _ => None,
        }
    }

    /// Those that are not listed: each is fixed by itself, and they are when it is their turn.
    fn more(&self, count: u64) -> Drift {
        Drift {
            observed: format!("{} more that are not listed", files(count)),
            wanted: wanted(self.test).to_owned(),
            by_hand: Some(format!(
                "find out what makes more than {WALK_LIMIT} of them, or apply again for the next"
            )),
            ..Drift::default()
        }
    }

    /// `extra` are the set-ID bits that the file should not have.
    fn drift(&self, hit: &WalkHit, extra: u32, note: Option<String>) -> Drift {
        let mut drift = Drift {
            observed: observed(self.test, hit),
            wanted: wanted(self.test).to_owned(),
            at: vec![SourceLine::file(hit.path.clone())],
            note,
            ..Drift::default()
        };
        let bits = hit.meta.mode.bits();
        let (mode, drop_capabilities) = match self.test {
            WalkTest::WorldWritableFiles => (Some(bits & !WRITE_FOR_OTHERS), false),
            WalkTest::WorldWritableDirectoriesWithoutSticky => (Some(bits | STICKY), false),
            WalkTest::UnknownPrivilegedPrograms => (Some(bits & !extra), false),
            WalkTest::UnknownCapabilities => (None, true),
            WalkTest::Unowned => {
                drift.by_hand = Some("give it to an account with `chown`, or remove it".to_owned());
                return drift;
            }
        };
        drift.edits.push(Edit::Meta {
            path: hit.path.clone(),
            mode: mode.map(Mode::new),
            owner: None,
            group: None,
            drop_capabilities,
            drop_acl: false,
        });
        drift
    }
}

fn files(count: u64) -> String {
    match count {
        1 => "1 file".to_owned(),
        _ => format!("{count} files"),
    }
}

fn directories(count: u64) -> String {
    match count {
        1 => "1 directory".to_owned(),
        _ => format!("{count} directories"),
    }
}

/// No hit is a pass only when everything was looked at.
fn nothing_found(found: &WalkSeen, not_listed: u64) -> Judgement {
    if found.unreadable_total > 0 {
        let example = found
            .unreadable
            .first()
            .map(|path| format!(", such as {path}"))
            .unwrap_or_default();
        return Reason::Failed {
            why: format!(
                "{} could not be read{example}",
                directories(found.unreadable_total)
            ),
        }
        .into();
    }
    if not_listed > 0 {
        return Reason::Failed {
            why: format!("more than {WALK_LIMIT} files, and those listed are all excepted"),
        }
        .into();
    }
    Judgement::compliant("none")
}

/// A bit that a package may well give its program is no finding, and no pass either.
fn not_told(test: WalkTest, hit: &WalkHit, count: usize) -> Judgement {
    let more = match count {
        1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let declare = match test {
        WalkTest::UnknownPrivilegedPrograms => "`dpkg-statoverride --add`, or an exception,",
        _ => "an exception",
    };
    Reason::Failed {
        why: format!(
            "{} {}, and packages do not record whether they mean it{more}: {declare} declares it",
            hit.path,
            observed(test, hit)
        ),
    }
    .into()
}

fn note(found: &WalkSeen, not_listed: u64, untold: usize) -> Option<String> {
    let mut parts = Vec::new();
    if untold > 0 {
        parts.push(format!(
            "of {untold} more it can't be told, their packages are not known here"
        ));
    }
    if not_listed > 0 {
        parts.push(format!("{not_listed} more are not listed"));
    }
    if found.unreadable_total > 0 {
        parts.push(format!(
            "{} could not be read",
            directories(found.unreadable_total)
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn observed(test: WalkTest, hit: &WalkHit) -> String {
    let meta = &hit.meta;
    let who = |name: &Option<String>, id: u32| match name {
        Some(name) => printable(name.as_bytes()),
        None => format!("{id} (no such name)"),
    };
    match test {
        WalkTest::WorldWritableFiles | WalkTest::WorldWritableDirectoriesWithoutSticky => {
            format!("mode {}", meta.mode)
        }
        WalkTest::UnknownPrivilegedPrograms => format!(
            "mode {}, owner {}, group {}, {}",
            meta.mode,
            who(&meta.owner, meta.uid),
            who(&meta.group, meta.gid),
            of_package(hit)
        ),
        WalkTest::Unowned => format!(
            "owner {}, group {}",
            who(&meta.owner, meta.uid),
            who(&meta.group, meta.gid)
        ),
        WalkTest::UnknownCapabilities => format!("has capabilities, {}", of_package(hit)),
    }
}

fn of_package(hit: &WalkHit) -> String {
    match &hit.package {
        Some(package) => format!("of {}", printable(package.as_bytes())),
        None => "of no package".to_owned(),
    }
}

const fn wanted(test: WalkTest) -> &'static str {
    match test {
        WalkTest::WorldWritableFiles => "not writable for everyone",
        WalkTest::WorldWritableDirectoriesWithoutSticky => "the sticky bit",
        WalkTest::UnknownPrivilegedPrograms => "no set-ID bit, or one that its package gives it",
        WalkTest::Unowned => "an owner and a group that exist",
        WalkTest::UnknownCapabilities => "no capabilities, or those that its package gives it",
    }
}

const fn name(test: WalkTest) -> &'static str {
    match test {
        WalkTest::WorldWritableFiles => "world_writable_files",
        WalkTest::WorldWritableDirectoriesWithoutSticky => {
            "world_writable_directories_without_sticky"
        }
        WalkTest::UnknownPrivilegedPrograms => "unknown_privileged_programs",
        WalkTest::Unowned => "unowned",
        WalkTest::UnknownCapabilities => "unknown_capabilities",
    }
}

/// Does the whole of `path` match? Time is bounded by the product of both lengths: what
/// has matched so far is kept as a set of places in the pattern.
pub fn glob_matches(glob: &[u8], path: &[u8]) -> bool {
    let tokens = tokens(glob);
    // places[n]: the first n tokens match what was read.
    let mut places = vec![false; tokens.len() + 1];
    places[0] = true;
    skip_stars(&tokens, &mut places);
    for byte in path {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate() {
            if !places[at] {
                continue;
            }
            match token {
                Token::Byte(wanted) if wanted == byte => next[at + 1] = true,
                Token::One if *byte != b'/' => next[at + 1] = true,
                Token::Run if *byte != b'/' => next[at] = true,
                Token::AnyRun => next[at] = true,
                _ => {}
            }
        }
        skip_stars(&tokens, &mut next);
        places = next;
    }
    places[tokens.len()]
}

enum Token {
    Byte(u8),
    One,
    Run,
    AnyRun,
}

fn tokens(glob: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = glob;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        tokens.push(match byte {
            b'*' if tail.first() == Some(&b'*') => {
                rest = &tail[1..];
                Token::AnyRun
            }
            b'*' => Token::Run,
            b'?' => Token::One,
            byte => Token::Byte(*byte),
        });
    }
    tokens
}

/// A run may be empty.
fn skip_stars(tokens: &[Token], places: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if places[at] && matches!(token, Token::Run | Token::AnyRun) {
            places[at + 1] = true;
        }
    }
}
