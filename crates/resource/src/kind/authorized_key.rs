//! `authorized_key`: a public key with which an account may be signed in to over SSH.

use model::plan::Risk;
use model::value::Reason;
use model::{Effect, HostPath, Mode, Probe, ResourceKey, SourceLine, printable};
use schemars::JsonSchema;
use serde::Deserialize;

use super::sshd::config;
use super::sshd::effective;
use super::user::{check_name, elsewhere, known};
use crate::{Answers, ContentEdit, Drift, Edit, Judgement, Kind, NewFile, Phase, Seen};

/// A public key in the file of an account, which is where sshd looks (`AuthorizedKeysFile`).
/// Keys are compared by their key data; comments do not count, and other lines stay.
///
/// The file is written with the rights of the account. For an account that is not there yet,
/// `/home/NAME` is taken for its home.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKey {
    /// The account.
    pub user: String,
    /// One public key, as in a `.pub` file: `ssh-ed25519 AAAA… ana@laptop`.
    pub key: String,
    /// Options before the key, as sshd(8) has them: `from="10.0.0.0/8",restrict`. Not given:
    /// whatever options the line has are fine.
    #[serde(default)]
    pub options: Option<String>,
    /// The key should not be there.
    #[serde(default)]
    pub absent: bool,
}

/// What sshd looks at when nobody says otherwise (sshd_config(5)).
const USUAL_FILES: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];

/// Names of public key types (OpenSSH's sshkey.c); certificates are no authorized keys.
const TYPES: [&str; 7] = [
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-ed25519",
    "ssh-rsa",
];

impl Kind for AuthorizedKey {
    const NAME: &'static str = "authorized_key";
    const PHASE: Phase = Phase::File;

    fn key(&self) -> ResourceKey {
        let data = parse_line(&self.key).map_or(self.key.clone(), |key| key.data.to_owned());
        ResourceKey {
            kind: Self::NAME.to_owned(),
            name: format!("{} {data}", self.user),
        }
    }

    fn probes(&self, seen: &Answers) -> Vec<Probe> {
        let (_, mut probes) = config::read(seen);
        probes.push(Probe::Accounts);
        probes.push(effective::probe(Vec::new()));
        if let Ok(Some(place)) = self.place(seen) {
            for file in place.files {
                probes.extend(file.parent().map(|path| Probe::Meta { path }));
                probes.push(Probe::file(file));
            }
        }
        probes
    }

    fn judge(&self, seen: &Answers) -> Judgement {
        let accounts = match known(seen) {
            Ok(accounts) => accounts,
            Err(reason) => return reason.into(),
        };
        let is_there = accounts
            .accounts
            .iter()
            .any(|account| account.name == self.user);
        if !is_there && !accounts.other_sources.is_empty() {
            return elsewhere(accounts, &self.user);
        }
        if !is_there && self.absent {
            return Judgement::NotApplicable(format!("there is no account `{}`", self.user));
        }
        let place = match self.place(seen) {
            Ok(Some(place)) => place,
            Ok(None) => {
                return Judgement::drift(Drift {
                    observed: "sshd looks at no file of keys".to_owned(),
                    wanted: "a file of keys".to_owned(),
                    by_hand: Some("set `AuthorizedKeysFile`".to_owned()),
                    ..Drift::default()
                });
            }
            Err(reason) => return reason.into(),
        };
        let Some(wanted) = parse_line(&self.key) else {
            return Judgement::Error("the declared key is not understood".to_owned());
        };
        let found = match find(&place.files, wanted.data, seen) {
            Ok(found) => found,
            Err(reason) => return reason.into(),
        };
        match self.absent {
            true => self.without(&found, &place),
            false => self.with(&found, &place, seen),
        }
    }

    fn risk(&self) -> Risk {
        if self.absent {
            Risk::Connectivity
        } else {
            Risk::None
        }
    }

    fn check(&self) -> Result<(), String> {
        check_name(&self.user)?;
        let Some(key) = parse_line(&self.key) else {
            return Err("`key` is a public key: a type, and its data".to_owned());
        };
        if !key.options.is_empty() {
            return Err("options stand in `options`, not in `key`".to_owned());
        }
        let texts = [Some(&self.key), self.options.as_ref()];
        if texts
            .into_iter()
            .flatten()
            .any(|text| text.chars().any(char::is_control))
        {
            return Err("a key is one line".to_owned());
        }
        if let Some(options) = &self.options {
            let line = format!("{options} {} {}", key.kind, key.data);
            let reads_back = parse_line(&line).is_some_and(|read| read.options == options);
            if !options.is_empty() && !reads_back {
                return Err("`options` is not understood: quote what has spaces".to_owned());
            }
        }
        Ok(())
    }
}

/// Where an account's keys are.
struct Place {
    /// The first one is written to.
    files: Vec<HostPath>,
    /// The account with whose rights a file is written; none for what root owns.
    writer: Option<String>,
    /// The group of a file that has to be made.
    group: String,
}

/// A line that holds the key.
struct Found {
    at: SourceLine,
    text: String,
    options: String,
}

impl AuthorizedKey {
    /// None when sshd looks at no file.
    fn place(&self, seen: &Answers) -> Result<Option<Place>, Reason> {
        let accounts = known(seen)?;
        let account = accounts
            .accounts
            .iter()
            .find(|account| account.name == self.user);
        let (home, uid) = match account {
            Some(account) => (account.home.clone(), account.uid),
            None => (format!("/home/{}", self.user), 0),
        };
        let home = HostPath::from_bytes(home.as_bytes()).map_err(|error| Reason::Malformed {
            why: format!("the home of `{}`: {error}", self.user),
        })?;
        let mut patterns = patterns(seen)?;
        if self.absent {
            // Wherever a `Match` block has sshd look too, for whomever that is.
            let (config, _) = config::read(seen);
            if let Some(reason) = config.hidden()
                && !matches!(reason, Reason::Unavailable { .. })
            {
                return Err(reason.clone());
            }
            let lines = config.lines_of("authorizedkeysfile");
            for line in lines.filter(|line| line.condition.is_some()) {
                let more = line.args.iter().filter(|arg| *arg != "none");
                let more: Vec<String> = more
                    .filter(|arg| !patterns.contains(arg))
                    .cloned()
                    .collect();
                patterns.extend(more);
            }
            if patterns.len() > 1 {
                patterns.retain(|pattern| pattern != "none");
            }
        }
        if patterns.iter().any(|pattern| pattern == "none") {
            return Ok(None);
        }
        let mut files = Vec::new();
        for pattern in &patterns {
            let path = pattern
                .replace("%%", "\0")
                .replace("%h", &home.to_string())
                .replace("%u", &self.user)
                .replace("%U", &uid.to_string())
                .replace('\0', "%");
            let path = match path.strip_prefix('/') {
                Some(_) => HostPath::from_bytes(path.as_bytes()),
                None => home.join(&path),
            };
            files.push(path.map_err(|error| Reason::Malformed {
                why: error.to_string(),
            })?);
        }
        let in_home = files.first().is_some_and(|file| file.is_within(&home));
        let writer = (in_home && self.user != "root").then(|| self.user.clone());
        // A new account gets a group of its own name.
        let group = account
            .and_then(|account| {
                accounts
                    .groups
                    .iter()
                    .find(|group| group.gid == account.gid)
            })
            .map_or_else(|| self.user.clone(), |group| group.name.clone());
        Ok((!files.is_empty()).then_some(Place {
            files,
            writer,
            group,
        }))
    }

    fn line(&self) -> String {
        match self.options.as_deref() {
            None | Some("") => self.key.trim().to_owned(),
            Some(options) => format!("{options} {}", self.key.trim()),
        }
    }

    fn with(&self, found: &[Found], place: &Place, seen: &Answers) -> Judgement {
        let fits = |found: &&Found| {
            self.options
                .as_ref()
                .is_none_or(|options| *options == found.options)
        };
        // The key of an authority signs certificates, and lets nobody in by itself (sshd(8)).
        let is_for_this = |found: &&Found| {
            let is_authority =
                |options: &str| options.split(',').any(|one| one == "cert-authority");
            is_authority(&found.options)
                == is_authority(self.options.as_deref().unwrap_or_default())
        };
        let found: Vec<&Found> = found.iter().filter(is_for_this).collect();
        // A second line with other options would let in what the first does not.
        if let (Some(first), true) = (found.first(), found.iter().all(fits)) {
            return Judgement::Compliant {
                observed: "there".to_owned(),
                at: vec![first.at.clone()],
            };
        }
        let others: Vec<&Found> = found.into_iter().filter(|found| !fits(found)).collect();
        if let Some(first) = others.first() {
            return Judgement::drift(Drift {
                observed: options_in_words(&first.options),
                wanted: options_in_words(self.options.as_deref().unwrap_or_default()),
                at: others.iter().map(|found| found.at.clone()).collect(),
                edits: others
                    .iter()
                    .map(|found| self.replace(found, Some(self.line()), place))
                    .collect(),
                ..Drift::default()
            });
        }
        let Some(path) = place.files.first() else {
            return Judgement::Error("no file of keys".to_owned());
        };
        let mut edits = Vec::new();
        if let Some(directory) = path.parent()
            && matches!(seen.meta(&directory), Seen::Absent)
        {
            edits.push(Edit::act(Effect::MakeDir {
                path: directory,
                mode: Mode::new(0o700),
                owner: Some(self.user.clone()),
                group: None,
                as_user: place.writer.clone(),
            }));
        }
        edits.push(Edit::Content {
            path: path.clone(),
            change: ContentEdit::Append(self.line()),
            new_file: Some(NewFile {
                mode: Mode::new(0o600),
                owner: self.user.clone(),
                group: place.group.clone(),
            }),
            as_user: place.writer.clone(),
        });
        Judgement::drift(Drift {
            observed: "absent".to_owned(),
            wanted: "the key".to_owned(),
            at: vec![SourceLine::file(path.clone())],
            edits,
            ..Drift::default()
        })
    }

    fn without(&self, found: &[Found], place: &Place) -> Judgement {
        if found.is_empty() {
            return Judgement::compliant("absent");
        }
        Judgement::drift(Drift {
            observed: "there".to_owned(),
            wanted: "absent".to_owned(),
            at: found.iter().map(|found| found.at.clone()).collect(),
            edits: found
                .iter()
                .map(|found| self.replace(found, None, place))
                .collect(),
            ..Drift::default()
        })
    }

    fn replace(&self, found: &Found, line: Option<String>, place: &Place) -> Edit {
        Edit::Content {
            path: found.at.path.clone(),
            change: ContentEdit::ReplaceLine {
                line: found.at.line.unwrap_or(1),
                old: found.text.clone(),
                new: line.into_iter().collect(),
            },
            new_file: None,
            as_user: place.writer.clone(),
        }
    }
}

fn options_in_words(options: &str) -> String {
    match options {
        "" => "no options".to_owned(),
        options => format!("options {}", printable(options.as_bytes())),
    }
}

/// `AuthorizedKeysFile` as sshd has it, else as its files have it, else as OpenSSH has it:
/// no distribution that we know changes this default.
fn patterns(seen: &Answers) -> Result<Vec<String>, Reason> {
    if let Ok(effective) = effective::ask(seen, &[]) {
        return Ok(effective.words("authorizedkeysfile"));
    }
    let (config, _) = config::read(seen);
    match config.winner("authorizedkeysfile") {
        Some(line) => Ok(line.args.clone()),
        None => match config.hidden() {
            Some(Reason::Unavailable { .. }) | None => {
                Ok(USUAL_FILES.iter().map(|&file| file.to_owned()).collect())
            }
            Some(reason) => Err(reason.clone()),
        },
    }
}

fn find(files: &[HostPath], data: &str, seen: &Answers) -> Result<Vec<Found>, Reason> {
    let mut found = Vec::new();
    for path in files {
        let Some(file) = seen.file(path).known_or_absent()? else {
            continue;
        };
        let text = String::from_utf8_lossy(file.content.as_bytes());
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(key) = parse_line(line)
                && key.data == data
            {
                found.push(Found {
                    at: SourceLine::new(path.clone(), number),
                    text: line.to_owned(),
                    options: key.options.to_owned(),
                });
            }
        }
    }
    Ok(found)
}

/// A line of authorized_keys (sshd(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLine<'a> {
    pub options: &'a str,
    pub kind: &'a str,
    /// The key itself, in base64.
    pub data: &'a str,
}

/// One line; none when it holds no key.
pub fn parse_line(line: &str) -> Option<KeyLine<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (first, rest) = split_word(line);
    let (options, kind, rest) = if TYPES.contains(&first) {
        ("", first, rest)
    } else {
        let end = options_end(line)?;
        let (kind, rest) = split_word(line[end..].trim_start());
        (&line[..end], kind, rest)
    };
    let (data, _) = split_word(rest);
    // Every key begins with the length of its type's name, a number below 2^24.
    let is_data = data.starts_with("AAAA")
        && data.len() >= 16
        && data
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    (TYPES.contains(&kind) && is_data).then_some(KeyLine {
        options,
        kind,
        data,
    })
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Options end at white space outside quotes; a backslash protects a quote within.
fn options_end(line: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}
