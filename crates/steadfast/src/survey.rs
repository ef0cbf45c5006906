//! One look at a host: facts, the policy compiled for them, and the answers to every
//! probe that the compiled policy needs. `audit`, `plan` and `apply` all start here.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use content::{Baselines, Repository, Request};
use host::{Host, LocalHost};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::id::BadName;
use model::plan::{LeftAlone, Selection};
use model::{Facts, HostPath, Plan};
use plan::converge::ConvergeError;
use plan::stages::Brought;
use resource::{Answers, Resource, Wanted};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::params;
use crate::progress::Progress;

/// Where a policy is looked for when none is named.
const DEFAULT_POLICY: &str = "/etc/steadfast/policy";

/// What to look at and by which policy: the selectors of `plan` and `apply`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selectors {
    /// Use this baseline instead of those that fit the host (repeatable)
    #[arg(long, value_name = "NAME")]
    pub baseline: Vec<String>,
    /// Add the rules of a profile, such as `strict` (repeatable)
    #[arg(long, value_name = "NAME")]
    pub profile: Vec<String>,
    /// Roles, own baselines, tailoring and waivers [default: /etc/steadfast/policy, when there]
    #[arg(long, value_name = "DIR")]
    pub policy: Option<PathBuf>,
    /// A role of the policy (repeatable)
    #[arg(long, value_name = "NAME")]
    pub role: Vec<String>,
    /// Only this rule (repeatable)
    #[arg(long, value_name = "ID")]
    pub rule: Vec<String>,
    /// A parameter of a role, as name=value (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_param)]
    pub param: Vec<(String, String)>,
    /// The same, read from env:VARIABLE, file:PATH or credential:NAME, so that nobody sees it on
    /// the command line (repeatable)
    #[arg(long, value_name = "NAME=SOURCE", value_parser = params::parse_from)]
    pub param_from: Vec<(String, String)>,
    /// A YAML file of parameters, name: value (repeatable)
    #[arg(long, value_name = "FILE")]
    pub param_file: Vec<PathBuf>,
}

fn parse_param(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("`{text}` is not of the form name=value"))
}

impl Selectors {
    /// Does this select anything in particular?
    pub fn is_bare(&self) -> bool {
        self.baseline.is_empty() && self.role.is_empty() && self.rule.is_empty()
    }

    /// Does this select roles and nothing else?
    fn is_of_roles(&self) -> bool {
        self.baseline.is_empty() && self.rule.is_empty() && !self.role.is_empty()
    }

    /// The policy, as far as what is selected can need it.
    fn repository(&self) -> Result<Repository, Failure> {
        match policy_directory(self.policy.as_deref()) {
            Some(policy) if self.is_of_roles() => Ok(Repository::load_roles(policy)?),
            _ => repository(self.policy.as_deref()),
        }
    }

    /// As it is kept in a plan.
    pub fn selection(&self, all_or_nothing: bool) -> Selection {
        Selection {
            baselines: self.baseline.clone(),
            profiles: self.profile.clone(),
            roles: self.role.clone(),
            rules: self.rule.clone(),
            policy: self
                .policy
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            params: self.param.iter().cloned().collect(),
            params_from: self.param_from.iter().cloned().collect(),
            param_files: self
                .param_file
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect(),
            all_or_nothing,
            ..Selection::default()
        }
    }
}

impl From<&Selection> for Selectors {
    fn from(selection: &Selection) -> Self {
        Self {
            baseline: selection.baselines.clone(),
            profile: selection.profiles.clone(),
            policy: selection.policy.as_ref().map(PathBuf::from),
            role: selection.roles.clone(),
            rule: selection.rules.clone(),
            param: selection.params.clone().into_iter().collect(),
            param_from: selection.params_from.clone().into_iter().collect(),
            param_file: selection.param_files.iter().map(PathBuf::from).collect(),
        }
    }
}

/// The policy that the selectors name, with the built-in baselines.
pub fn repository(policy: Option<&Path>) -> Result<Repository, Failure> {
    Ok(match policy_directory(policy) {
        Some(policy) => Repository::load(policy)?,
        None => Repository::builtin()?,
    })
}

/// The directory that is named, or the default one where there is one.
pub fn policy_directory(named: Option<&Path>) -> Option<&Path> {
    let default = Path::new(DEFAULT_POLICY);
    named.or_else(|| default.is_dir().then_some(default))
}

/// A host, looked at.
pub struct Survey {
    pub host: LocalHost,
    pub facts: Facts,
    pub wanted: Wanted,
    pub answers: Answers,
    /// What is not wanted here and now, by the word of somebody who answers for it.
    waived: Vec<LeftAlone>,
}

impl Survey {
    /// What somebody answers for is not changed by a plan, and named in it.
    pub fn leave_waived(&mut self, selectors: &Selectors) {
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        let (wanted, seen) = (&mut self.wanted, &self.answers);
        let hostname = &self.facts.hostname;
        self.waived = plan::audit::leave_waived(wanted, seen, hostname, today, &selectors.rule);
    }

    /// Looks at the running host, or at the tree of `root`. Changes nothing.
    pub fn take(
        root: Option<&Path>,
        selectors: &Selectors,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let host = match root {
            Some(root) => LocalHost::offline(root),
            None => LocalHost::running(),
        }
        .map_err(|error| Failure::because(Exit::BadInput, error));
        // Neither waits for the other: a policy is read while the host is.
        let (repository, looked_at) = thread::scope(|scope| {
            let looking = scope.spawn(|| host.map(|host| (host.facts(), host)));
            let repository = selectors.repository();
            (repository, looking.join())
        });
        let repository = repository?;
        let (facts, host) = looked_at.unwrap_or_else(|panic| resume_unwind(panic))?;
        let wanted = content::compile(&repository, &facts, &request(selectors)?)?;
        // Of a large policy, its text and its trees are as much again as what is wanted.
        drop(repository);
        let answers = observe(&host, &wanted, progress);
        Ok(Self {
            host,
            facts,
            wanted,
            answers,
            waived: Vec::new(),
        })
    }

    /// The plan for what was selected.
    pub fn plan(&self, context: &Context, selection: Selection) -> Result<Plan, Failure> {
        let plan = planned(context, &self.host, &self.wanted, &self.answers, selection)?;
        Ok(self.with_waived(plan))
    }

    pub fn with_waived(&self, mut plan: Plan) -> Plan {
        plan.left_alone.extend(self.waived.iter().cloned());
        plan
    }
}

/// The plan for what is wanted, without what a look at the host says can't be done.
pub fn planned(
    context: &Context,
    host: &LocalHost,
    wanted: &Wanted,
    answers: &Answers,
    selection: Selection,
) -> Result<Plan, Failure> {
    let plan = plan::converge::plan(wanted, answers, host.identity(), selection);
    regarded(context, host, plan, &BTreeSet::new())
}

/// The same by what holds after packages.
pub fn planned_after(
    context: &Context,
    survey: &Survey,
    answers: &Answers,
    selection: Selection,
    brought: &Brought,
) -> Result<Plan, Failure> {
    let (host, wanted) = (&survey.host, &survey.wanted);
    let identity = host.identity();
    let plan = plan::converge::plan_after_packages(wanted, answers, identity, selection, brought);
    let plan = regarded(context, host, plan, &brought.writes)?;
    Ok(survey.with_waived(plan))
}

fn regarded(
    context: &Context,
    host: &LocalHost,
    plan: Result<Plan, ConvergeError>,
    brought: &BTreeSet<HostPath>,
) -> Result<Plan, Failure> {
    let plan = plan.map_err(|error| {
        let help = "let both want the same, or leave one of them out";
        Failure::with_help(Exit::BadInput, error, help)
    })?;
    let outlook = host::outlook(host, context.directory(), &plan, brought)
        .map_err(|error| Failure::because(Exit::Unchecked, error))?;
    Ok(plan::outlook::regard(plan, &outlook))
}

/// Roles that are asked for by themselves come without the baselines that fit the host.
fn request(selectors: &Selectors) -> Result<Request, Failure> {
    let baselines = if !selectors.baseline.is_empty() {
        Baselines::Named(names(&selectors.baseline)?)
    } else if selectors.is_of_roles() {
        Baselines::None
    } else {
        Baselines::Fitting
    };
    let (params, open_params) = params::gather(
        &selectors.param,
        &selectors.param_from,
        &selectors.param_file,
    )?;
    Ok(Request {
        baselines,
        profiles: selectors.profile.iter().cloned().collect(),
        roles: names(&selectors.role)?,
        rules: names(&selectors.rule)?,
        params,
        open_params,
    })
}

fn names<T: FromStr<Err = BadName>>(typed: &[String]) -> Result<Vec<T>, Failure> {
    typed
        .iter()
        .map(|name| {
            name.parse()
                .map_err(|error| Failure::because(Exit::BadInput, error))
        })
        .collect()
}

/// Asks everything that `wanted` needs; rules that do not apply are not asked for.
pub fn observe(host: &dyn Host, wanted: &Wanted, progress: &Progress) -> Answers {
    let answers = host::observe(host, resources(wanted), &|event| progress.observing(&event));
    progress.clear();
    answers
}

fn resources(wanted: &Wanted) -> impl Iterator<Item = &Resource> {
    use resource::Applies;
    let rules = wanted
        .rules
        .iter()
        .filter(|rule| matches!(rule.applies, Applies::Yes | Applies::NotProven(_)))
        .flat_map(|rule| &rule.want);
    let roles = wanted.roles.iter().flat_map(|role| &role.want);
    rules.chain(roles).map(|want| &want.resource)
}
