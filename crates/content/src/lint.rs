//! What reading alone does not show: whether a policy compiles on each release that it is
//! meant for, and what is probably not meant.

use std::collections::BTreeSet;
use std::path::Path;

use model::{BaselineName, HostPath};

use resource::kind::sshd::against::contradiction;
use resource::{Resource, Wanted};

use crate::compile::{Baselines, Request, compile};
use crate::error::{ContentError, ContentErrors};
use crate::param::{Param, Params};
use crate::repository::Repository;
use crate::sample;
use crate::want::Want;

/// Reads a policy directory and checks it; what is left are warnings about it.
///
/// # Errors
/// What is wrong with it, with places and hints.
pub fn lint(policy: &Path) -> Result<Vec<ContentError>, ContentErrors> {
    let built_in = HostPath::literal(crate::files::BUILT_IN_ROOT);
    let mut warnings = Repository::load(policy)?.lint()?;
    // What the program brings along is nothing that a policy's author could mend.
    warnings.retain(|warning| {
        !warning
            .place()
            .is_some_and(|place| place.source_line().path.is_within(&built_in))
    });
    Ok(warnings)
}

impl Repository {
    /// Compiles for a made-up host of each release that a rule is meant for, and each role
    /// that needs no values. Gives warnings.
    ///
    /// # Errors
    /// What does not compile.
    pub fn lint(&self) -> Result<Vec<ContentError>, ContentErrors> {
        let releases: BTreeSet<(&str, &str)> = self
            .rules
            .iter()
            .flat_map(|rule| &rule.releases)
            .flat_map(|(id, versions)| {
                versions
                    .iter()
                    .map(move |version| (id.as_str(), version.as_str()))
            })
            .collect();
        let whole = Request {
            baselines: Baselines::Named(self.baselines.keys().cloned().collect()),
            profiles: self
                .rules
                .iter()
                .filter_map(|rule| rule.profile.clone())
                .collect(),
            ..Request::default()
        };
        for (id, version) in &releases {
            compile(self, &sample::host(id, version), &whole)?;
        }
        let facts = sample::host("debian", "12");
        let mut contradictions = Vec::new();
        for role in self.roles.values() {
            let needs_values =
                |params: &Params| params.values().any(|param: &Param| param.default.is_none());
            let request = Request {
                baselines: Baselines::None,
                roles: vec![role.name.clone()],
                ..Request::default()
            };
            let included_need = role
                .includes
                .iter()
                .filter_map(|(name, _)| self.roles.get(name))
                .any(|role| needs_values(&role.params));
            if !needs_values(&role.params) && !included_need {
                let wanted = compile(self, &facts, &request)?;
                contradictions.extend(contradicting(&wanted));
            }
        }
        // A role that another includes is compiled with it as well.
        let mut said = BTreeSet::new();
        contradictions.retain(|warning| said.insert(warning.message().to_owned()));
        let mut warnings = self.warnings();
        warnings.extend(contradictions);
        Ok(warnings)
    }

    fn warnings(&self) -> Vec<ContentError> {
        let mut warnings = Vec::new();
        for rule in &self.rules {
            if rule.tests.is_empty() {
                warnings.push(
                    ContentError::new(
                        format!("rule `{}` has no tests", rule.id),
                        rule.place.clone(),
                    )
                    .help("`tests:` with a bad case lets `steadfast rule test` prove it"),
                );
            }
            let mut used = self.names_in(&rule.want);
            used.extend(rule.applies.iter().flat_map(|condition| condition.names()));
            warn_unused(&rule.params, &used, &mut warnings);
        }
        for role in self.roles.values() {
            warn_unused(&role.params, &self.names_in(&role.want), &mut warnings);
        }
        for name in self.empty_baselines() {
            warnings.push(ContentError::without_place(format!(
                "baseline `{name}` has no rules"
            )));
        }
        warnings
    }

    fn names_in(&self, wants: &[Want]) -> BTreeSet<String> {
        wants
            .iter()
            .flat_map(|want| want.names(&self.templates))
            .collect()
    }

    fn empty_baselines(&self) -> impl Iterator<Item = &BaselineName> {
        self.baselines
            .keys()
            .filter(|name| !self.rules.iter().any(|rule| rule.baseline == **name))
    }
}

/// Wants that can't both hold, as far as the policy alone tells.
fn contradicting(wanted: &Wanted) -> Vec<ContentError> {
    let wants = || wanted.roles.iter().flat_map(|role| &role.want);
    let options = wants().filter_map(|want| match &want.resource {
        Resource::Sshd(sshd) => Some((want, sshd)),
        _ => None,
    });
    options
        .flat_map(|(want, sshd)| {
            wants().filter_map(move |other| {
                let why = contradiction(sshd, &other.resource)?;
                let message = format!(
                    "{} ({}) and {} ({}) can't both hold: {why}",
                    want.resource.key(),
                    want.declared_at,
                    other.resource.key(),
                    other.declared_at
                );
                Some(ContentError::without_place(message).help(
                    "an `sshd` want is about every connection: where some need another value, \
                     leave it out and have the option in the file, before the `Match`",
                ))
            })
        })
        .collect()
}

fn warn_unused(params: &Params, used: &BTreeSet<String>, warnings: &mut Vec<ContentError>) {
    for (name, param) in params {
        if !used.contains(name) {
            warnings.push(ContentError::new(
                format!("parameter `{name}` is not used"),
                param.place.clone(),
            ));
        }
    }
}
