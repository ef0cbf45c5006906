//! What apt and dpkg say when something fails, read for people: which package it is, what its own
//! script said, and what dpkg made of it, in the order in which it was said; and which files could not
//! be fetched, from where, and why. Both outputs have to be in one text, or there is no order.

use std::collections::{BTreeMap, BTreeSet};

/// Lines of a script that are repeated: the last before it failed.
const LINES: usize = 5;
/// Packages, addresses or errors that are named.
const NAMED: usize = 3;

/// A package at which dpkg failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    pub package: String,
    pub version: Option<String>,
    /// What was said while dpkg was at it, without dpkg's own words.
    pub said: Vec<String>,
    /// What dpkg made of it.
    pub why: String,
    /// It only waits for another one that failed.
    pub waits: bool,
}

impl Failed {
    fn text(&self) -> String {
        let version = self.version.as_ref();
        let name = version.map_or_else(
            || self.package.clone(),
            |version| format!("{} {version}", self.package),
        );
        match self.said.as_slice() {
            [] => format!("{name}: {}", self.why),
            said => format!("{name}: {} ({})", said.join(" / "), self.why),
        }
    }
}

/// The packages at which dpkg failed, in its order, each once.
///
/// ```text
/// Setting up failp (2.0) ...
/// failp: cannot migrate database schema
/// dpkg: error processing package failp (--configure):
///  installed failp package post-installation script subprocess returned error exit status 1
/// ```
pub fn failed(text: &str) -> Vec<Failed> {
    let mut all: Vec<Failed> = Vec::new();
    let mut at = Failed::default();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some((package, version)) = begins(line) {
            at = Failed {
                package: package.to_owned(),
                version: version.map(str::to_owned),
                ..Failed::default()
            };
        } else if let Some(error) = line.strip_prefix("dpkg: error processing ") {
            let package = processed(error);
            let why = match lines.peek() {
                Some(why) if why.starts_with(' ') => why.trim().to_owned(),
                _ => String::new(),
            };
            let is_it = at.package == package;
            let failed = Failed {
                version: at.version.clone().filter(|_| is_it),
                said: match is_it {
                    true => at.said[at.said.len().saturating_sub(LINES)..].to_vec(),
                    false => Vec::new(),
                },
                waits: why.starts_with("dependency problems"),
                package,
                why,
            };
            if !all.iter().any(|known| known.package == failed.package) {
                all.push(failed);
            }
            at = Failed::default();
        } else if !line.trim().is_empty() && !is_of_programs(line) {
            at.said.push(model::printable(line.trim().as_bytes()));
        }
    }
    all
}

/// What dpkg and debconf say beside a package's own script.
fn is_of_programs(line: &str) -> bool {
    let begins = ["dpkg: ", "debconf (developer): ", "debconf: "];
    begins.iter().any(|begin| line.starts_with(begin))
}

/// The questions that packages asked and a person would have been shown, and that were not answered
/// before, from what debconf says with `DEBCONF_DEBUG=developer` (debconf(7)), and its database:
/// `debconf (developer): <-- INPUT critical dq/size`.
pub fn questions(text: &str, answered: &[u8]) -> Vec<String> {
    let answered = String::from_utf8_lossy(answered);
    let is_answered = |name: &str| {
        let mut stanzas = answered.split("\n\n");
        stanzas.any(|stanza| {
            let has = |line: &str| stanza.lines().any(|one| one == line);
            let seen = stanza.lines().find_map(|one| one.strip_prefix("Flags: "));
            has(&format!("Name: {name}"))
                && seen.is_some_and(|flags| flags.split(", ").any(|flag| flag == "seen"))
        })
    };
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some(asked) = line.strip_prefix("debconf (developer): <-- INPUT ") else {
            continue;
        };
        // What is less urgent has an answer that is right for nearly everybody.
        let Some((priority @ ("high" | "critical"), name)) = asked.trim().split_once(' ') else {
            continue;
        };
        let name = name.trim();
        let question = format!("{} ({priority})", model::printable(name.as_bytes()));
        if !is_answered(name) && !found.contains(&question) {
            found.push(question);
        }
    }
    found
}

/// Which package dpkg begins with here.
fn begins(line: &str) -> Option<(&str, Option<&str>)> {
    let verbs = [
        "Setting up ",
        "Unpacking ",
        "Removing ",
        "Purging configuration files for ",
        "Processing triggers for ",
    ];
    if let Some(archive) = line.strip_prefix("Preparing to unpack ") {
        let name = archive.split_whitespace().next()?.rsplit('/').next()?;
        return of_file(name);
    }
    let rest = verbs.iter().find_map(|verb| line.strip_prefix(verb))?;
    let (name, rest) = rest.split_once(" (")?;
    let version = rest.split_once(')')?.0;
    Some((bare(name), Some(version)))
}

/// `package failp (--configure):`, `archive /a/failp_2.0_all.deb (--unpack):`.
fn processed(error: &str) -> String {
    let mut words = error.split(' ');
    let (kind, what) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let name = match kind {
        "archive" => {
            let file = what.rsplit('/').next().unwrap_or(what);
            // apt gives long lists to dpkg in a folder of its own: `012-failp_2.0_all.deb`.
            let file = match file.split_once('-') {
                Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
                _ => file,
            };
            of_file(file).map_or(file, |(name, _)| name)
        }
        _ => bare(what),
    };
    model::printable(name.as_bytes())
}

/// `failp_2.0_all.deb`.
fn of_file(file: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = file.split_once('_')?;
    let name = match name.split_once('-') {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => name,
    };
    Some((name, rest.split_once('_').map(|(version, _)| version)))
}

fn bare(name: &str) -> &str {
    name.split_once(':').map_or(name, |(bare, _)| bare)
}

/// Why it failed, in one sentence: the packages that did, or apt's own errors, or the last of what was
/// said.
pub fn why(text: &str) -> String {
    let all = failed(text);
    let causes: Vec<&Failed> = all.iter().filter(|failed| !failed.waits).collect();
    let causes = match causes.is_empty() {
        true => all.iter().collect(),
        false => causes,
    };
    if !causes.is_empty() {
        return some(causes.iter().map(|failed| failed.text()).collect(), "; ");
    }
    let mut errors: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some(error) = line.strip_prefix("E: ") {
            let error = model::printable(error.trim().as_bytes());
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
    }
    if !errors.is_empty() {
        return some(errors, "; ");
    }
    // What dpkg itself could not do names the cause; its warnings do not.
    let counts = |line: &&str| !is_of_programs(line) || line.starts_with("dpkg: error");
    let lines = text.lines().filter(counts);
    let lines = lines.map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    model::printable(last.join(" / ").as_bytes())
}

fn some(all: Vec<String>, between: &str) -> String {
    let more = all.len().saturating_sub(NAMED);
    let mut named: Vec<String> = all.into_iter().take(NAMED).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(between)
}

/// A file that apt could not fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFetched {
    pub package: String,
    pub address: String,
    /// apt's words: `Hash Sum mismatch`, `Could not connect to …`.
    pub why: String,
}

impl NotFetched {
    /// It came, and was not what apt's lists name.
    pub fn is_other_bytes(&self) -> bool {
        let words = ["Hash Sum mismatch", "File has unexpected size"];
        words.iter().any(|words| self.why.starts_with(words))
    }

    /// Who should have had it.
    fn host(&self) -> &str {
        let rest = self.address.split_once("://").map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split('/').next())
            .filter(|host| !host.is_empty())
            .unwrap_or("this host's own disk")
    }
}

/// Reads `E: Failed to fetch ADDRESS  WHY` of apt-get.
pub fn not_fetched(text: &str) -> Vec<NotFetched> {
    let mut all: Vec<NotFetched> = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("E: Failed to fetch ") else {
            continue;
        };
        let (address, why) = rest.split_once("  ").unwrap_or((rest, ""));
        let file: Vec<u8> =
            percent_encoding::percent_decode_str(address.rsplit('/').next().unwrap_or_default())
                .collect();
        let file = model::printable(&file);
        let one = NotFetched {
            package: of_file(&file).map_or(&*file, |(name, _)| name).to_owned(),
            address: model::printable(address.as_bytes()),
            why: model::printable(why.trim().as_bytes()),
        };
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

/// `the mirror gave other bytes than its lists name, for demo (http://…)`. Whether these lists are
/// signed is another matter: a source may be exempt.
pub fn other_bytes_text(files: &[NotFetched]) -> String {
    let named = files
        .iter()
        .map(|file| format!("{} ({})", file.package, file.address));
    format!(
        "the mirror gave other bytes than its lists name, for {}",
        some(named.collect(), ", ")
    )
}

/// Who should have had them: the same each time, whatever apt says of the line.
pub fn hosts_of(files: &[NotFetched]) -> String {
    let hosts: BTreeSet<&str> = files.iter().map(NotFetched::host).collect();
    some(hosts.into_iter().map(str::to_owned).collect(), ", ")
}

/// Once for each archive and reason, however many files it is about.
pub fn not_fetched_text(files: &[NotFetched]) -> String {
    let mut by_cause: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for file in files {
        let names = by_cause.entry((file.host(), &file.why)).or_default();
        names.push(&file.package);
    }
    let said = by_cause.into_iter().map(|((host, why), names)| {
        let count = names.len();
        let names = some(names.into_iter().map(str::to_owned).collect(), ", ");
        let files = model::count::plural(count, "file");
        format!("{files} of {host} ({names}): {why}")
    });
    format!("cannot fetch {}", some(said.collect(), "; "))
}
