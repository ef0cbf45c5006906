//! From a repository and a host's facts to what is wanted on that host. Pure: the same
//! input gives the same answer, and nothing in the answer is a template any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::Environment;
use model::facts::Facts;
use model::value::Reason;
use model::{BaselineName, Fact, ResourceKey, RoleName, RuleId, RuleMeta, Severity};
use resource::wanted::{WantedBaseline, WantedRole};
use resource::{Applies, Resource, Wanted, WantedResource, WantedRule};

use crate::DEFAULT_PROFILE;
use crate::baseline::{Condition, Rule};
use crate::error::{ContentError, ContentErrors, Place, Problems, suggestion};
use crate::explain::why_not;
use crate::param::{ParamValue, Params};
use crate::repository::{Baseline, Repository};
use crate::role::Role;
use crate::template::{self, Failure, Renderer, Touched};
use crate::vocabulary::Context;
use crate::want::{NotThere, Want};

/// Of a role's want where neither it nor its role says.
const DEFAULT_SEVERITY: Severity = Severity::Medium;

/// What is asked of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub baselines: Baselines,
    /// Profiles that are switched on beside the default: `strict`.
    pub profiles: BTreeSet<String>,
    pub roles: Vec<RoleName>,
    /// When not empty, only these rules, whatever their profile.
    pub rules: Vec<RuleId>,
    /// Values of the roles' parameters, as text: `server_name` → `www.example.org`.
    pub params: BTreeMap<String, String>,
    /// Of these, the ones that stood on a command line, where everybody can read them.
    pub open_params: BTreeSet<String>,
}

/// Which baselines are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Baselines {
    /// Those whose own condition holds on the host.
    #[default]
    Fitting,
    Named(Vec<BaselineName>),
    /// None: roles only.
    None,
}

/// What is wanted on the host with these facts.
///
/// # Errors
/// An unknown name in the request, a missing parameter, a template that fails, and two
/// different wants for one thing; each with its place.
pub fn compile(
    repository: &Repository,
    facts: &Facts,
    request: &Request,
) -> Result<Wanted, ContentErrors> {
    let mut compiler = Compiler {
        repository,
        env: template::environment(&repository.templates),
        facts: Arc::new(facts.clone()),
        request,
        problems: Problems::default(),
        claims: BTreeMap::new(),
    };
    compiler.check_request();
    let mut wanted = Wanted {
        waivers: repository.waivers.clone(),
        ..Wanted::default()
    };
    for baseline in repository.baselines.values() {
        if !compiler.is_asked_for(baseline) {
            continue;
        }
        let rules: Vec<WantedRule> = repository
            .rules
            .iter()
            .filter(|rule| rule.baseline == baseline.name && is_selected(rule, request))
            .filter_map(|rule| compiler.rule(rule))
            .collect();
        if rules.is_empty() && !request.rules.is_empty() {
            continue;
        }
        wanted.baselines.push(WantedBaseline {
            name: baseline.name.clone(),
            title: baseline.title.clone(),
            rules: rules.len(),
            proven: !rules
                .iter()
                .any(|rule| matches!(rule.applies, Applies::NotProven(_))),
        });
        wanted.rules.extend(rules);
    }
    for role in compiler.roles() {
        wanted.roles.extend(compiler.role(role));
    }
    compiler.problems.into_result(wanted)
}

struct Compiler<'a> {
    repository: &'a Repository,
    env: Environment<'static>,
    facts: Arc<Facts>,
    request: &'a Request,
    problems: Problems,
    /// Who wants what, by what it is about.
    claims: BTreeMap<ResourceKey, Claim>,
}

/// A want on this host, and where it is declared.
struct Made {
    resource: Resource,
    place: Place,
    /// A secret went into it.
    secret: bool,
}

impl Made {
    fn wanted(self, severity: Option<Severity>) -> WantedResource {
        WantedResource {
            resource: self.resource,
            severity,
            secret: self.secret,
            declared_at: self.place.source_line(),
        }
    }
}

/// Who wants what.
struct Claim {
    resource: Resource,
    place: Place,
    by_role: bool,
}

impl<'a> Compiler<'a> {
    fn check_request(&mut self) {
        let repository = self.repository;
        if let Baselines::Named(names) = &self.request.baselines {
            for name in names {
                if !repository.baselines.contains_key(name) {
                    let known = repository.baselines.keys().map(BaselineName::as_str);
                    self.unknown("baseline", name.as_str(), known);
                }
            }
        }
        for name in &self.request.roles {
            if !repository.roles.contains_key(name) {
                let known = repository.roles.keys().map(RoleName::as_str);
                self.unknown("role", name.as_str(), known);
            }
        }
        for id in &self.request.rules {
            if repository.rule(id).is_none() {
                let known = repository.rules.iter().map(|rule| rule.id.as_str());
                self.unknown("rule", id.as_str(), known);
            }
        }
        let profiles: BTreeSet<&str> = repository
            .rules
            .iter()
            .filter_map(|rule| rule.profile.as_deref())
            .chain([DEFAULT_PROFILE])
            .collect();
        for profile in &self.request.profiles {
            if !profiles.contains(profile.as_str()) {
                self.unknown("profile", profile, profiles.iter().copied());
            }
        }
        let params: BTreeSet<&str> = self
            .roles()
            .into_iter()
            .flat_map(|role| role.params.keys().map(String::as_str))
            .collect();
        for name in self.request.params.keys() {
            if !params.contains(name.as_str()) {
                self.unknown("parameter", name, params.iter().copied());
            }
        }
    }

    fn unknown<'n>(&mut self, what: &str, name: &str, known: impl Iterator<Item = &'n str>) {
        let shown = model::printable(name.as_bytes());
        self.problems.push(
            ContentError::without_place(format!("unknown {what} `{shown}`"))
                .maybe_help(suggestion(name, known))
                .or_help(match what {
                    "rule" => "`steadfast rule list` has all of them",
                    "baseline" => "`steadfast baseline list` has all of them",
                    "role" => "a role is a file of the policy: `roles/NAME.yaml`",
                    _ => "what was chosen declares none of that name",
                }),
        );
    }

    /// Is the baseline named, or does it fit this host? One that can't be told is taken in:
    /// its rules then say what is unknown.
    fn is_asked_for(&mut self, baseline: &Baseline) -> bool {
        let named_by_rule = self.request.rules.iter().any(|id| {
            self.repository
                .rule(id)
                .is_some_and(|rule| rule.baseline == baseline.name)
        });
        match &self.request.baselines {
            Baselines::Fitting => {
                named_by_rule
                    || baseline.fits.iter().any(|condition| match condition {
                        None => true,
                        Some(condition) => {
                            let renderer = self.renderer(BTreeMap::new());
                            match renderer.condition(&condition.text) {
                                Ok(holds) => holds,
                                Err(Failure::Unknown(_)) => true,
                                Err(Failure::Wrong(problem)) => {
                                    self.problems.push(condition.wrong(problem));
                                    false
                                }
                            }
                        }
                    })
            }
            Baselines::Named(names) => named_by_rule || names.contains(&baseline.name),
            Baselines::None => named_by_rule,
        }
    }

    fn renderer(&self, values: BTreeMap<String, ParamValue>) -> Renderer<'_> {
        let values = values
            .into_iter()
            .map(|(name, value)| (name, value.to_template()))
            .collect();
        let touched = Touched::default();
        Renderer {
            env: &self.env,
            context: Context::value(&self.facts, values, &touched),
            touched,
        }
    }

    fn rule(&mut self, rule: &Rule) -> Option<WantedRule> {
        let renderer = self.renderer(defaults(&rule.params));
        let mut applies = match &rule.off {
            Some(why) => Applies::SwitchedOff(why.clone()),
            None => match applies(&rule.applies, &renderer) {
                Ok(applies) => applies,
                Err(error) => {
                    drop(renderer);
                    self.problems.push(error);
                    return None;
                }
            },
        };
        let mut resources = Vec::new();
        if applies == Applies::Yes {
            match self.wants(&rule.want, &rule.params, &renderer) {
                Ok(wants) => resources = wants,
                Err(NotThere::Unknown(reason)) => applies = Applies::Unknown(reason),
                Err(NotThere::Wrong(error)) => {
                    drop(renderer);
                    self.problems.push(error);
                    return None;
                }
            }
        }
        drop(renderer);
        self.claim(&resources, false);
        if applies == Applies::Yes
            && let Some(label) = not_proven(rule, &self.facts)
        {
            applies = Applies::NotProven(label);
        }
        Some(WantedRule {
            meta: RuleMeta {
                id: rule.id.clone(),
                baseline: rule.baseline.clone(),
                title: rule.title.clone(),
                severity: rule.severity,
                why: rule.why.clone(),
                area: rule.area.clone(),
                risk: resources
                    .iter()
                    .map(|made| made.resource.risk())
                    .fold(rule.risk, Ord::max),
            },
            applies,
            want: resources
                .into_iter()
                .map(|made| made.wanted(None))
                .collect(),
            declared_at: rule.place.source_line(),
        })
    }

    fn wants(
        &self,
        wants: &[Want],
        params: &Params,
        renderer: &Renderer<'_>,
    ) -> Result<Vec<Made>, NotThere> {
        let templates = &self.repository.templates;
        let secrets: Vec<&str> = params
            .iter()
            .filter(|(_, param)| param.secret)
            .map(|(name, _)| name.as_str())
            .collect();
        wants
            .iter()
            .map(|want| {
                let secret = !secrets.is_empty() && {
                    let names = want.names(templates);
                    secrets.iter().any(|secret| names.contains(*secret))
                };
                let place = want.place();
                let resource = want
                    .resource(renderer, templates)
                    .map_err(|why| match why {
                        // The message would quote the value.
                        NotThere::Wrong(_) if secret => NotThere::Wrong(
                            ContentError::new(
                                "the value of a secret does not fit here",
                                place.clone(),
                            )
                            .help("its text is not shown; is it what this key takes?"),
                        ),
                        why => why,
                    })?;
                if secret && let Resource::Command(_) = resource {
                    return Err(NotThere::Wrong(
                        ContentError::new("a secret in a command", place).help(
                            "everybody can read the arguments of what runs: write it to a file \
                             with `template`, and let the command read that",
                        ),
                    ));
                }
                Ok(Made {
                    resource,
                    place,
                    secret,
                })
            })
            .collect()
    }

    /// Two different wants for one thing contradict each other.
    fn claim(&mut self, made: &[Made], by_role: bool) {
        for Made {
            resource, place, ..
        } in made
        {
            let key = resource.key();
            match self.claims.get_mut(&key) {
                Some(claim) if claim.resource != *resource => self.problems.push(
                    ContentError::new(format!("two different wants for {key}"), place.clone())
                        .help(format!("the other one is in {}", claim.place)),
                ),
                Some(claim) => claim.by_role |= by_role,
                None => {
                    let claim = Claim {
                        resource: resource.clone(),
                        place: place.clone(),
                        by_role,
                    };
                    self.claims.insert(key, claim);
                }
            }
        }
    }

    /// The roles that are asked for, each after the ones that it includes, each once.
    fn roles(&self) -> Vec<&'a Role> {
        let mut ordered = Vec::new();
        for name in &self.request.roles {
            include(self.repository, name, &mut ordered);
        }
        ordered
    }

    fn role(&mut self, role: &Role) -> Option<WantedRole> {
        let values = self.role_values(role)?;
        let renderer = self.renderer(values);
        let wants = self.wants(&role.want, &role.params, &renderer);
        drop(renderer);
        let wants = match wants {
            Ok(wants) => wants,
            Err(NotThere::Wrong(error)) => {
                self.problems.push(error);
                return None;
            }
            Err(NotThere::Unknown(reason)) => {
                self.problems.push(
                    ContentError::new(
                        format!("role `{}` rests on a fact that is unknown", role.name),
                        role.place.clone(),
                    )
                    .help(reason.to_string()),
                );
                return None;
            }
        };
        // What another role wants just the same is wanted once. What a rule wants as well
        // stays: the rule may be one that fixes nothing here.
        let severities = role.want.iter().map(|want| want.severity);
        let (fresh, severities): (Vec<Made>, Vec<_>) = wants
            .into_iter()
            .zip(severities)
            .filter(|(made, _)| {
                self.claims
                    .get(&made.resource.key())
                    .is_none_or(|claim| !claim.by_role || claim.resource != made.resource)
            })
            .unzip();
        self.claim(&fresh, true);
        Some(WantedRole {
            name: role.name.clone(),
            severity: role.severity.unwrap_or(DEFAULT_SEVERITY),
            want: fresh
                .into_iter()
                .zip(severities)
                .map(|(made, severity)| made.wanted(severity))
                .collect(),
        })
    }

    fn role_values(&mut self, role: &Role) -> Option<BTreeMap<String, ParamValue>> {
        let mut values = defaults(&role.params);
        for (name, param) in &role.params {
            if let Some(text) = self.request.params.get(name) {
                if param.secret && self.request.open_params.contains(name) {
                    self.problems.push(
                        ContentError::without_place(format!(
                            "the secret `{name}` stands on the command line"
                        ))
                        .help(format!(
                            "everybody can read it there: `--param-from {name}=env:VARIABLE`, \
                             `--param-from {name}=file:PATH` or `--param-file FILE`"
                        )),
                    );
                    return None;
                }
                let value = self.problems.keep(param.value_of_text(name, text))?;
                values.insert(name.clone(), value);
            } else if param.default.is_none() {
                self.problems.push(
                    ContentError::new(
                        format!("role `{}` needs a value for parameter `{name}`", role.name),
                        param.place.clone(),
                    )
                    .help(match param.secret {
                        true => format!("give it with `--param-from {name}=file:PATH`"),
                        false => {
                            format!("give it with `--param {name}=…`, or give it a `default:`")
                        }
                    }),
                );
                return None;
            }
        }
        Some(values)
    }
}

fn is_selected(rule: &Rule, request: &Request) -> bool {
    if !request.rules.is_empty() {
        return request.rules.contains(&rule.id);
    }
    rule.profile
        .as_ref()
        .is_none_or(|profile| request.profiles.contains(profile))
}

fn include<'r>(repository: &'r Repository, name: &RoleName, ordered: &mut Vec<&'r Role>) {
    // The repository was checked for circles when it was read.
    if let Some(role) = repository.roles.get(name)
        && !ordered.iter().any(|seen| seen.name == role.name)
    {
        for (included, _) in &role.includes {
            include(repository, included, ordered);
        }
        ordered.push(role);
    }
}

fn defaults(params: &Params) -> BTreeMap<String, ParamValue> {
    params
        .iter()
        .filter_map(|(name, param)| Some((name.clone(), param.default.clone()?)))
        .collect()
}

fn applies(conditions: &[Condition], renderer: &Renderer<'_>) -> Result<Applies, ContentError> {
    let mut unknown: Option<Reason> = None;
    for condition in conditions {
        match renderer.condition(&condition.text) {
            Ok(true) => {}
            Ok(false) => return Ok(Applies::No(why_not(&condition.text, renderer))),
            Err(Failure::Unknown(reason)) => unknown = unknown.or(Some(reason)),
            Err(Failure::Wrong(problem)) => return Err(condition.wrong(problem)),
        }
    }
    Ok(unknown.map_or(Applies::Yes, Applies::Unknown))
}

/// The label for a release on which the rule is not proven.
fn not_proven(rule: &Rule, facts: &Facts) -> Option<String> {
    let release = match &facts.release {
        Fact::Known(release) => release,
        Fact::Unknown(reason) => return Some(format!("the release is unknown ({reason})")),
    };
    let proven = rule
        .releases
        .get(&release.id)
        .zip(release.version.as_ref())
        .is_some_and(|(versions, version)| versions.contains(version));
    (!proven).then(|| {
        format!(
            "not proven on {}",
            model::printable(release.pretty.as_bytes())
        )
    })
}
