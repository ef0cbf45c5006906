//! `docs/rules.md`: every built-in rule, and where each was proven.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lab::Release;

use crate::proofs::{Proofs, Standing};
use crate::rules::Rule;

pub fn page(rules: &[Rule], proofs: &Proofs) -> String {
    let mut page = String::from(
        "<!-- Written by `cargo xtask docs`; do not edit. -->\n\n# The built-in rules\n\n\
         `steadfast rule show ID` tells why a rule matters. A rule of a profile is on only with \
         `--profile NAME`.\n\n\
         Each test of a rule breaks a real booted host: a container, or an emulated machine where \
         the rule is about the kernel, mounts, modules, auditing or boot.\n\n\
         - **proven**: the bad case fails, the fix makes it pass, a second apply changes nothing, \
         and undo brings the bad case back byte for byte.\n\
         - **seen**: the rule says what the test expects, and offers no fix for it, by design.\n\
         - **by hand**: no lab host can show it; the reason stands below.\n\
         - **failed**, **stale** (the rule was changed after its proof) and **missing** are faults, \
         which the project's tests refuse.\n\n",
    );
    summary(&mut page, rules, proofs);
    for (baseline, rules) in group(rules, |rule| &rule.baseline) {
        let _ = writeln!(page, "## {baseline}\n");
        for (area, rules) in group(rules.iter().copied(), |rule| &rule.area) {
            let _ = writeln!(page, "### {baseline}: {area}\n");
            describe(&mut page, &rules, proofs);
            matrix(&mut page, &rules, proofs);
        }
    }
    page
}

fn group<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
    by: impl Fn(&'a Rule) -> &'a String,
) -> BTreeMap<&'a str, Vec<&'a Rule>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for rule in rules {
        groups.entry(by(rule).as_str()).or_default().push(rule);
    }
    groups
}

fn summary(page: &mut String, rules: &[Rule], proofs: &Proofs) {
    page.push_str("| baseline | rules | of them in a profile | proofs that hold | lacking |\n|---|---|---|---|---|\n");
    for (baseline, rules) in group(rules, |rule| &rule.baseline) {
        let (mut holds, mut lacks) = (0, 0);
        for rule in &rules {
            for (_, _, standing) in standings(rule, proofs) {
                *(if standing.holds() {
                    &mut holds
                } else {
                    &mut lacks
                }) += 1;
            }
        }
        let in_profiles = rules.iter().filter(|rule| rule.profile.is_some()).count();
        let _ = writeln!(
            page,
            "| [{baseline}](#{baseline}) | {} | {in_profiles} | {holds} | {lacks} |",
            rules.len()
        );
    }
    page.push('\n');
}

/// Each test of a rule on each release that it claims.
fn standings<'a>(
    rule: &'a Rule,
    proofs: &'a Proofs,
) -> impl Iterator<Item = (usize, Release, Standing)> + 'a {
    rule.tests
        .iter()
        .enumerate()
        .flat_map(move |(place, test)| {
            rule.claims(test)
                .into_iter()
                .map(move |release| (place, release, proofs.standing(rule, test, release)))
        })
}

fn describe(page: &mut String, rules: &[&Rule], proofs: &Proofs) {
    page.push_str("| rule | severity | what is true when it passes | profile | kinds | fix |\n|---|---|---|---|---|---|\n");
    for rule in rules {
        let kinds: Vec<String> = rule
            .kinds
            .iter()
            .map(|kind| format!("[`{kind}`](reference/kinds.md#{kind})"))
            .collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} |",
            rule.id,
            rule.severity,
            rule.title.replace('|', "\\|"),
            rule.profile.as_deref().unwrap_or(""),
            kinds.join(", "),
            fix(rule, proofs),
        );
    }
    page.push('\n');
}

/// As the proofs have shown it; nothing where they show nothing.
fn fix(rule: &Rule, proofs: &Proofs) -> &'static str {
    let seen: Vec<Standing> = standings(rule, proofs)
        .map(|(_, _, standing)| standing)
        .collect();
    if seen.contains(&Standing::Proven) {
        "yes"
    } else if seen.contains(&Standing::AuditOnly) {
        "audit only"
    } else {
        ""
    }
}

fn matrix(page: &mut String, rules: &[&Rule], proofs: &Proofs) {
    page.push_str("| proof of | test | on |");
    for release in Release::ALL {
        let _ = write!(page, " Debian {} |", release.version());
    }
    page.push_str("\n|---|---|---|");
    page.push_str(&"---|".repeat(Release::ALL.len()));
    page.push('\n');
    for rule in rules {
        if let Some(why) = proofs.by_hand.get(&rule.id) {
            let _ = writeln!(
                page,
                "| `{}` | by hand: {why} | |{}",
                rule.id,
                " |".repeat(Release::ALL.len())
            );
        }
        for test in &rule.tests {
            let _ = write!(
                page,
                "| `{}` | {} | {} |",
                rule.id,
                test.name.replace('|', "\\|"),
                test.on
            );
            let claims = rule.claims(test);
            for release in Release::ALL {
                let word = if claims.contains(&release) {
                    proofs.standing(rule, test, release).word()
                } else {
                    "–"
                };
                let _ = write!(page, " {word} |");
            }
            page.push('\n');
        }
    }
    page.push('\n');
}
