//! What was asked for by name: which advisories speak of it, under whatever name, and what they
//! say of each package that is here.

use std::collections::BTreeMap;
use std::path::Path;

use advisory::matching::{self, Subject, Verdict};
use advisory::{CveId, Index};
use model::Component;

use super::super::feed::refused;
use crate::assessing::{self, Advisories};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::vulns::{Shown, Word};

/// What names of advisories begin with (OSV schema 1.7, "id, modified fields", the databases
/// that have a prefix), and a few that only distributions use.
const BEGINNINGS: [&str; 24] = [
    "A-", "ALBA-", "ALEA-", "ALPINE-", "ALSA-", "ASB-A-", "BIT-", "DEBIAN-", "DLA-", "DSA-",
    "DTSA-", "GHSA-", "GO-", "GSD-", "HSEC-", "MAL-", "OSV-", "PYSEC-", "RHSA-", "RLSA-",
    "RUSTSEC-", "TEMP-", "UBUNTU-", "USN-",
];

/// Has it the form of a vulnerability's or an advisory's name?
fn is_form(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("CVE-") {
        return upper.parse::<CveId>().is_ok();
    }
    let may_stand = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
    let has_number = upper.contains(|letter: char| letter.is_ascii_digit());
    let is_ghsa = upper.starts_with("GHSA-") && upper.len() > "GHSA-".len();
    BEGINNINGS.iter().any(|begin| upper.starts_with(begin))
        && upper.chars().all(may_stand)
        && (has_number || is_ghsa)
}

/// Refuses what is no name of a vulnerability, before anything is looked at.
pub(super) fn check(names: &[String], state: &Path) -> Result<(), Failure> {
    let Some(_) = names.iter().find(|name| !is_form(name)) else {
        return Ok(());
    };
    let advisories = Advisories::open(state).map_err(refused)?;
    let sources = advisories.sources().map_err(refused)?;
    for name in names.iter().filter(|name| !is_form(name)) {
        let mut is_known = false;
        for source in &sources {
            is_known = is_known || !speaking(&source.index, name)?.is_empty();
        }
        if !is_known {
            return Err(Failure::new(
                Exit::BadInput,
                format_args!(
                    "`{}` is no name of a vulnerability, and no feed has an advisory of this name",
                    model::printable(name.as_bytes())
                ),
                "names are written like CVE-2024-6387, DSA-5724-1 or GHSA-jfh8-c2jp-5v3q; \
                 steadfast vulns alone shows all that is here",
            ));
        }
    }
    Ok(())
}

fn speaking<'a>(
    index: &Index<'a>,
    name: &str,
) -> Result<Vec<advisory::index::AdvisoryRow<'a>>, Failure> {
    matching::speaking(index, name).map_err(damaged)
}

fn damaged(error: advisory::IndexError) -> Failure {
    refused(assessing::damaged(error))
}

/// What the feeds say of the vulnerabilities that were asked for, in words and for each package
/// that they could be in.
pub(super) fn words<'a>(
    names: &[String],
    advisories: &'a Advisories,
    components: &[Component],
) -> Result<Vec<Word<'a>>, Failure> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let sources = advisories.sources().map_err(refused)?;
    let indexes: Vec<_> = sources.iter().map(|source| source.index).collect();
    let subjects = Subject::all(components);
    let mut words = Vec::new();
    for name in names {
        let mut word = Word::new(name);
        let mut texts = Vec::new();
        for held in advisories.held() {
            let index = held.index().map_err(refused)?;
            for advisory in speaking(&index, name)? {
                let id = advisory.id().map_err(damaged)?;
                // Its own record's words before those of one that is about others as well.
                let is_own = id.eq_ignore_ascii_case(name);
                let is_alias = !is_own && !advisory.related().map_err(damaged)?.is_empty();
                texts.push((!is_own, is_alias, held, advisory.text().map_err(damaged)?));
                if !word.advisories.contains(&id) {
                    word.advisories.push(id);
                }
            }
        }
        word.spoken = !word.advisories.is_empty();
        texts.sort_by_key(|(is_not_own, is_alias, ..)| (*is_not_own, *is_alias));
        if let Some((_, _, held, place)) = texts.first() {
            (word.summary, word.details) = held.text(place).map_err(refused)?;
        }
        for (subject, components) in &subjects {
            let judged = matching::judge_one(&indexes, subject, components, name);
            if let Some(judged) = judged.map_err(damaged)? {
                let related = judged.advisory.related().map_err(damaged)?;
                if related.contains(&judged.name) {
                    let id = judged.advisory.id().map_err(damaged)?;
                    word.by.insert(subject.clone(), id);
                }
                word.verdicts.push((subject.clone(), judged.verdict));
            }
        }
        words.push(word);
    }
    Ok(words)
}

/// What is fixed in the installed version is not, as long as something keeps it open; where nobody can
/// say which version runs, it is unknown. `doubtful` says so by the names of installed packages.
pub(super) fn keep_open(
    shown: &mut Shown<'_>,
    components: &[Component],
    doubtful: &BTreeMap<String, String>,
) {
    let built = Subject::all(components);
    let doubt = |subject: &Subject| {
        let of = built.get(subject)?.iter();
        let mut installed = of.filter(|one| one.is_own_package());
        installed.find_map(|one| doubtful.get(&one.name))
    };
    let mut words = std::mem::take(&mut shown.words);
    for word in &mut words {
        for (subject, verdict) in &mut word.verdicts {
            let Verdict::Fixed { since } = *verdict else {
                continue;
            };
            if shown.kept_open(&word.name, subject).is_some() {
                *verdict = Verdict::Affected { fixed: Some(since) };
            } else if let Some(why) = doubt(subject) {
                *verdict = Verdict::Unknown { why: why.clone() };
            }
        }
    }
    shown.words = words;
}

/// Only what was asked for.
pub(super) fn narrow(shown: &mut Shown<'_>) {
    let words = &shown.words;
    // By its name, or as the advisory that answered for it.
    let is_asked = |package: &Subject, is_called: &dyn Fn(&str) -> bool| {
        words.iter().any(|word| {
            let by = word.by.get(package);
            is_called(&word.name) || by.is_some_and(|by| is_called(by))
        })
    };
    let is_name =
        |package: &Subject, own: &str| is_asked(package, &|name| own.eq_ignore_ascii_case(name));
    let assessment = &mut shown.assessment;
    assessment
        .findings
        .retain(|finding| is_asked(&finding.package, &|name| finding.is_about(name)));
    shown.waived.retain(|waived| {
        let finding = &waived.finding;
        is_asked(&finding.package, &|name| finding.is_about(name))
    });
    assessment
        .undetermined
        .retain(|one| is_name(&one.package, &one.name));
    assessment
        .not_affected
        .retain(|one| is_name(&one.package, &one.name));
    assessment
        .warnings
        .retain(|one| is_name(&one.package, &one.name));
    for dormant in &mut assessment.dormant {
        let package = &dormant.package;
        dormant.names.retain(|name| is_name(package, name));
    }
    assessment.dormant.retain(|one| !one.names.is_empty());
}

/// What was asked for and is not known is no answer that all is well; what is here is one that
/// it is not, also where its finding goes by another name.
pub(super) fn exit(shown: &Shown<'_>) -> Exit {
    let of_word = |word: &Word<'_>| {
        let of_verdict = |(subject, verdict): &(Subject, Verdict<'_>)| match verdict {
            Verdict::Unknown { .. } => Exit::Unchecked,
            Verdict::Affected { .. }
                if !is_told(shown, subject) && shown.kept_open(&word.name, subject).is_none() =>
            {
                Exit::Findings
            }
            _ => Exit::AsWanted,
        };
        let spoken = match word.spoken {
            true => Exit::AsWanted,
            false => Exit::Unchecked,
        };
        word.verdicts
            .iter()
            .map(of_verdict)
            .collect::<Exit>()
            .or(spoken)
    };
    shown.words.iter().map(of_word).collect()
}

/// Does a finding tell of it, a waiver, or a kernel that does not run?
fn is_told(shown: &Shown<'_>, subject: &Subject) -> bool {
    let assessment = &shown.assessment;
    let findings = assessment.findings.iter().map(|one| &one.package);
    let waived = shown.waived.iter().map(|one| &one.finding.package);
    let dormant = assessment.dormant.iter().map(|one| &one.package);
    let warnings = assessment.warnings.iter().map(|one| &one.package);
    let mut all = findings.chain(waived).chain(dormant).chain(warnings);
    all.any(|package| package == subject)
}
