//! `files_where`: files anywhere on the local file systems that are not as they should
//! be. All resources of this kind share one walk.
//!
//! Each hit is fixed by what takes away the least: the write bit for everyone, the
//! set-ID bits, the capabilities; the sticky bit is added. Who should own a file that
//! nobody owns, no program can know: that is left to a person.

use model::plan::Risk;
use model::value::{Reason, WALK_LIMIT, WalkHit, WalkSeen};
use model::{Mode, Probe, ResourceKey, SourceLine, WalkTest, printable};
use schemars::JsonSchema;
use serde::Deserialize;

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
        vec![Probe::Walk { test: self.test }]
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
        let hits: Vec<&WalkHit> = found
            .hits
            .iter()
            .filter(|hit| !self.is_excepted(hit.path.as_bytes()))
            .collect();
        let listed = u64::try_from(found.hits.len()).unwrap_or(u64::MAX);
        let not_listed = found.total.saturating_sub(listed);
        if hits.is_empty() {
            return nothing_found(found, not_listed);
        }
        Judgement::Drift(
            hits.into_iter()
                .map(|hit| self.drift(hit, found, not_listed))
                .collect(),
        )
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

    fn drift(&self, hit: &WalkHit, found: &WalkSeen, not_listed: u64) -> Drift {
        let mut drift = Drift {
            observed: observed(self.test, hit),
            wanted: wanted(self.test).to_owned(),
            at: vec![SourceLine::file(hit.path.clone())],
            note: note(found, not_listed),
            ..Drift::default()
        };
        // A fix of a part would not reach its goal, and would be taken back.
        if not_listed > 0 {
            drift.by_hand = Some(format!(
                "more than {WALK_LIMIT} files: find out what makes them, and change that first"
            ));
            return drift;
        }
        let bits = hit.meta.mode.bits();
        let (mode, drop_capabilities) = match self.test {
            WalkTest::WorldWritableFiles => (Some(bits & !WRITE_FOR_OTHERS), false),
            WalkTest::WorldWritableDirectoriesWithoutSticky => (Some(bits | STICKY), false),
            WalkTest::UnknownPrivilegedPrograms => (Some(bits & !SET_ID), false),
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
        });
        drift
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
                "{} directories could not be read{example}",
                found.unreadable_total
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

fn note(found: &WalkSeen, not_listed: u64) -> Option<String> {
    let mut parts = Vec::new();
    if not_listed > 0 {
        parts.push(format!("{not_listed} more are not listed"));
    }
    if found.unreadable_total > 0 {
        parts.push(format!(
            "{} directories could not be read",
            found.unreadable_total
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
            "mode {}, owner {}, group {}, of no package",
            meta.mode,
            who(&meta.owner, meta.uid),
            who(&meta.group, meta.gid)
        ),
        WalkTest::Unowned => format!(
            "owner {}, group {}",
            who(&meta.owner, meta.uid),
            who(&meta.group, meta.gid)
        ),
        WalkTest::UnknownCapabilities => "has capabilities, of no package".to_owned(),
    }
}

const fn wanted(test: WalkTest) -> &'static str {
    match test {
        WalkTest::WorldWritableFiles => "not writable for everyone",
        WalkTest::WorldWritableDirectoriesWithoutSticky => "the sticky bit",
        WalkTest::UnknownPrivilegedPrograms => "no set-ID bit, or a package that owns it",
        WalkTest::Unowned => "an owner and a group that exist",
        WalkTest::UnknownCapabilities => "no capabilities, or a package that owns it",
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
