//! Baseline files: rules for a subject, and tailorings of rules that are declared elsewhere.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::plan::Risk;
use model::{BaselineName, Digest, Outcome, RuleId, Severity};
use resource::Resource;

use crate::error::{ContentError, Place, Problems, SourceText};
use crate::keys::{Keys, Shape, items};
use crate::param::{Params, read_params};
use crate::read::Reading;
use crate::template;
use crate::want::{Want, problem_at};
use crate::yaml::{Node, Tree};

/// Distribution ids (os-release(5)) with their versions: `debian` → `12`, `13`.
pub type Releases = BTreeMap<String, Vec<String>>;

/// A condition on the facts of a host.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) text: String,
    node: Node,
    source: Arc<SourceText>,
}

impl Condition {
    /// The names that it rests on.
    pub(crate) fn names(&self) -> HashSet<String> {
        template::names_in_condition(&self.text)
    }

    /// A failure to evaluate it, at its place.
    pub(crate) fn wrong(&self, problem: template::Problem) -> ContentError {
        problem_at(problem, &self.node, &self.source)
    }
}

/// A rule as it is declared.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: RuleId,
    pub baseline: BaselineName,
    pub title: String,
    pub severity: Severity,
    pub why: String,
    pub area: String,
    /// The least risk of its fix; a kind may know of more.
    pub risk: Risk,
    /// The profile in which it is switched on; none is the default.
    pub profile: Option<String>,
    pub params: Params,
    /// The releases that it is proven on.
    pub releases: Releases,
    pub tests: Vec<RuleTest>,
    /// Of what a proof of the rule rests on, as declared and before any tailoring: its words
    /// (`title`, `why`, `area`) and its weight may change without it.
    pub digest: Digest,
    pub place: Place,
    /// Why a policy has switched it off.
    pub off: Option<String>,
    pub(crate) tailored_at: Option<Place>,
    pub(crate) applies: Vec<Condition>,
    pub(crate) want: Vec<Want>,
}

impl Rule {
    /// The kinds of the resources that it wants, as written, in order, each once.
    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds = Vec::new();
        for kind in self.want.iter().filter_map(Want::kind) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }
}

/// A declared proof of a rule: a case that it must notice, and its fix must repair.
#[derive(Clone, Debug)]
pub struct RuleTest {
    pub name: String,
    /// What is put in place before the rule is judged.
    pub given: Vec<Given>,
    pub on: TestHost,
    /// What the rule must say of it.
    pub expect: Outcome,
    /// The releases on which the case can be made; empty for all of the rule's.
    pub releases: Releases,
    pub place: Place,
}

/// One step of a test's setup.
#[derive(Clone, Debug)]
pub enum Given {
    Want(Box<Resource>),
    /// A command that is run inside the throwaway host.
    Run(Vec<String>),
}

/// Where a rule's test can show the effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TestHost {
    #[default]
    Container,
    /// The rule is about the kernel, mounts, modules, audit or boot.
    Machine,
}

/// What a policy changes about a rule that is declared elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Tailoring {
    pub(crate) rule: RuleId,
    pub(crate) rule_place: Place,
    pub(crate) baseline: BaselineName,
    /// Values by parameter, still as written: the rule's declaration has the types.
    pub(crate) params: Vec<(String, Node, Place)>,
    pub(crate) severity: Option<Severity>,
    pub(crate) profile: Option<String>,
    /// Why the rule is switched off.
    pub(crate) off: Option<String>,
    pub(crate) source: Arc<SourceText>,
    pub(crate) place: Place,
}

/// What one file says.
#[derive(Debug)]
pub(crate) struct BaselineFile {
    pub(crate) name: BaselineName,
    /// The file adds to a baseline that another file declares.
    pub(crate) extends: Option<Place>,
    pub(crate) title: Option<String>,
    /// The file's own condition.
    pub(crate) applies: Option<Condition>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) tailorings: Vec<Tailoring>,
}

/// What a test may expect of its rule; the other outcomes come from elsewhere.
pub(crate) const EXPECTABLE: [Outcome; 5] = [
    Outcome::Fail,
    Outcome::Pass,
    Outcome::NotApplicable,
    Outcome::Unknown,
    Outcome::Error,
];

const FILE: Shape<'_> = Shape {
    known: &[
        "baseline", "extends", "title", "applies", "releases", "profile", "rules",
    ],
    needed: &["rules"],
};
const RULE: Shape<'_> = Shape {
    known: &[
        "rule", "title", "severity", "why", "area", "applies", "profile", "params", "want", "risk",
        "tests",
    ],
    needed: &["rule", "title", "severity", "why", "area", "want"],
};
const TAILORING: Shape<'_> = Shape {
    known: &["rule", "params", "severity", "profile", "off"],
    needed: &["rule"],
};
const TEST: Shape<'_> = Shape {
    known: &["name", "given", "on", "expect", "releases"],
    needed: &["name", "given", "expect"],
};
const RUN: Shape<'_> = Shape {
    known: &["run"],
    needed: &["run"],
};

/// Reads a file of `baselines/`.
pub(crate) fn read_file(
    root: &Node,
    source: &Arc<SourceText>,
    reading: &Reading<'_>,
    problems: &mut Problems,
) -> Option<BaselineFile> {
    let keys = Keys::of(root, "a baseline file", FILE, source, problems)?;
    let extends = keys.node("extends").map(|node| keys.place_of(node));
    let name = match (keys.node("baseline"), &extends) {
        (Some(_), Some(place)) => {
            problems.push(
                ContentError::new("both `baseline` and `extends` in one file", place.clone())
                    .help("`baseline` declares rules of one's own, `extends` changes or adds to another's"),
            );
            return None;
        }
        (None, Some(_)) => keys.value("extends", problems),
        (None, None) => {
            problems.push(
                ContentError::new("missing key `baseline` in a baseline file", keys.place()).help(
                    "`baseline: NAME` declares rules, `extends: NAME` changes or adds to another's",
                ),
            );
            None
        }
        (Some(_), None) => keys.value("baseline", problems),
    };
    let file = FileKeys {
        name: name?,
        releases: keys.value("releases", problems),
        profile: keys.value("profile", problems),
        applies: condition(&keys, &[], problems),
        may_tailor: extends.is_some(),
    };
    let mut rules = Vec::new();
    let mut tailorings = Vec::new();
    for item in items(keys.node("rules")?, "rules", source, problems)? {
        if file.may_tailor && item.get("want").is_none() {
            tailorings.extend(read_tailoring(item, &file, source, problems));
        } else {
            rules.extend(read_rule(item, &file, source, reading, problems));
        }
    }
    if file.releases.is_none() && !rules.is_empty() {
        problems.push(
            ContentError::new("missing key `releases` in a baseline file", keys.place())
                .help("name the releases that its rules are meant for: `releases: {debian: [\"12\", \"13\"]}`; elsewhere they audit and fix nothing"),
        );
    }
    Some(BaselineFile {
        name: file.name,
        extends,
        title: keys.value("title", problems),
        applies: file.applies,
        rules,
        tailorings,
    })
}

/// What a file says for all its rules.
struct FileKeys {
    name: BaselineName,
    releases: Option<Releases>,
    profile: Option<String>,
    applies: Option<Condition>,
    may_tailor: bool,
}

fn condition(keys: &Keys<'_>, params: &[&str], problems: &mut Problems) -> Option<Condition> {
    let node = keys.node("applies")?;
    let Tree::Scalar { text, .. } = &node.tree else {
        problems.push(
            ContentError::new(
                format!("`applies` is {}, wanted a condition", node.kind()),
                keys.place_of(node),
            )
            .help("write an expression, as in `package(\"nginx\").installed`"),
        );
        return None;
    };
    if template::is_template(text) {
        problems.push(
            ContentError::new("braces in `applies`", keys.place_of(node))
                .help("`applies` is an expression already: leave the braces out"),
        );
        return None;
    }
    if let Err(problem) = template::check_condition(text, params) {
        problems.push(problem_at(problem, node, keys.source));
        return None;
    }
    Some(Condition {
        text: text.clone(),
        node: node.clone(),
        source: Arc::clone(keys.source),
    })
}

fn read_rule(
    item: &Node,
    file: &FileKeys,
    source: &Arc<SourceText>,
    reading: &Reading<'_>,
    problems: &mut Problems,
) -> Option<Rule> {
    let what = named("rule", item);
    let keys = Keys::of(item, what, RULE, source, problems)?;
    let params = match keys.node("params") {
        Some(node) => read_params(node, true, source, problems),
        None => Params::new(),
    };
    let names: Vec<&str> = params.keys().map(String::as_str).collect();
    let sample = reading.sample(&params);
    let mut want = Vec::new();
    if let Some(list) = keys.node("want")
        && let Some(list) = items(list, "want", source, problems)
    {
        for item in list {
            want.extend(Want::read(
                item,
                source,
                &names,
                &sample,
                reading.templates,
                problems,
            ));
        }
        if list.is_empty() {
            problems.push(
                ContentError::new("`want` is empty", keys.place())
                    .help("list what the rule wants, as in `- sysctl: {key: …, value: …}`"),
            );
        }
    }
    let applies = condition(&keys, &names, problems);
    let tests = match keys.node("tests") {
        Some(list) => items(list, "tests", source, problems)?
            .iter()
            .filter_map(|item| read_test(item, source, reading, problems))
            .collect(),
        None => Vec::new(),
    };
    // Everything is looked at before anything is given up, so that one run names all.
    let id: Option<RuleId> = keys.value("rule", problems);
    if let (Some(id), Some(node)) = (&id, keys.node("rule"))
        && id.role().is_some()
    {
        problems.push(
            ContentError::new(format!("`{id}` is not a rule id"), keys.place_of(node))
                .help("that is the form of a role's wants; a rule has a plain name"),
        );
    }
    let title = keys.text("title", problems);
    let severity = keys.value("severity", problems);
    let why = keys.text("why", problems);
    let area = keys.text("area", problems);
    let risk: Option<Risk> = keys.value("risk", problems);
    let profile: Option<String> = keys.value("profile", problems);
    Some(Rule {
        id: id?,
        baseline: file.name.clone(),
        title: title?,
        severity: severity?,
        why: why?,
        area: area?,
        risk: risk.unwrap_or_default(),
        profile: profile
            .or_else(|| file.profile.clone())
            .filter(|profile| profile != crate::DEFAULT_PROFILE),
        params,
        releases: file.releases.clone().unwrap_or_default(),
        tests,
        digest: digest(item, file),
        place: keys.place(),
        off: None,
        tailored_at: None,
        applies: file.applies.iter().cloned().chain(applies).collect(),
        want,
    })
}

/// Of what a proof rests on: see [`Rule::digest`].
fn digest(item: &Node, file: &FileKeys) -> Digest {
    const PROVEN: [&str; 7] = [
        "rule", "applies", "profile", "params", "want", "risk", "tests",
    ];
    let mut text = format!("{:?} {:?}\n", file.name.as_str(), file.profile);
    if let Some(condition) = &file.applies {
        text.push_str(&format!("applies {:?}\n", condition.text));
    }
    for key in PROVEN {
        if let Some(node) = item.get(key) {
            text.push_str(&format!("{key} {}\n", node.meaning()));
        }
    }
    Digest::of(text.as_bytes())
}

/// "rule `ssh-root-login`", where the id can be read.
fn named(key: &str, item: &Node) -> String {
    match item.get(key).map(|node| &node.tree) {
        Some(Tree::Scalar { text, .. }) => {
            format!("{key} `{}`", model::printable(text.as_bytes()))
        }
        _ => format!("a {key}"),
    }
}

fn read_test(
    item: &Node,
    source: &Arc<SourceText>,
    reading: &Reading<'_>,
    problems: &mut Problems,
) -> Option<RuleTest> {
    let keys = Keys::of(item, "a test", TEST, source, problems)?;
    let mut given = Vec::new();
    for item in items(keys.node("given")?, "given", source, problems)? {
        if item.get("run").is_some() {
            let run = Keys::of(item, "a command of a test", RUN, source, problems)?;
            let argv: Vec<String> = run.value("run", problems)?;
            if !argv.first().is_some_and(|program| program.starts_with('/')) {
                problems.push(
                    ContentError::new("a command without an absolute path", run.place())
                        .help("write it as a list that begins with the program's path: [/usr/bin/touch, /etc/motd]"),
                );
            }
            given.push(Given::Run(argv));
        } else {
            let sample = reading.sample(&Params::new());
            let want = Want::read(item, source, &[], &sample, reading.templates, problems)?;
            given.push(Given::Want(Box::new(
                problems.keep(want.without_templates())?,
            )));
        }
    }
    let place = keys.place();
    let name = keys.text("name", problems);
    let expect: Option<Outcome> = keys.value("expect", problems);
    if let (Some(outcome), Some(node)) = (expect, keys.node("expect"))
        && !EXPECTABLE.contains(&outcome)
    {
        let known = EXPECTABLE.map(|outcome| format!("`{}`", outcome.as_str()));
        problems.push(
            ContentError::new(
                format!("no test can expect `{}`", outcome.as_str()),
                keys.place_of(node),
            )
            .help(format!("one of {}", known.join(", "))),
        );
    }
    let on: Option<TestHost> = keys.value("on", problems);
    Some(RuleTest {
        name: name?,
        given,
        on: on.unwrap_or_default(),
        expect: expect?,
        releases: keys.value("releases", problems).unwrap_or_default(),
        place,
    })
}

fn read_tailoring(
    item: &Node,
    file: &FileKeys,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<Tailoring> {
    let what = format!("the tailoring of {}", named("rule", item));
    let keys = Keys::of(item, what, TAILORING, source, problems)?;
    let mut params = Vec::new();
    if let Some(node) = keys.node("params") {
        let values = Keys::of_any(node, "`params`", source, problems)?;
        for entry in values.entries() {
            let place = Place::new(source, entry.key_span.clone());
            params.push((entry.key.clone(), entry.value.clone(), place));
        }
    }
    let tailoring = Tailoring {
        rule: keys.value("rule", problems)?,
        rule_place: keys.place_of(keys.node("rule")?),
        baseline: file.name.clone(),
        params,
        severity: keys.value("severity", problems),
        profile: keys.value("profile", problems),
        off: match keys.node("off") {
            Some(_) => Some(keys.text("off", problems)?),
            None => None,
        },
        source: Arc::clone(source),
        place: keys.place(),
    };
    if tailoring.params.is_empty()
        && tailoring.severity.is_none()
        && tailoring.profile.is_none()
        && tailoring.off.is_none()
    {
        problems.push(
            ContentError::new("a tailoring that changes nothing", keys.place())
                .help("give `params`, `severity`, `profile` or `off: \"why\"`; a rule of one's own has `want`"),
        );
    }
    Some(tailoring)
}
