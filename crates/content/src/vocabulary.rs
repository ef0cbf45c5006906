//! The words of the template language beside a policy's own parameters: the facts of a
//! host, and the filters and tests that may be used on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use model::Fact;
use model::facts::{Facts, Init};
use model::value::Reason;

use crate::template::Touched;

/// A name that a template may use.
pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) is_function: bool,
    /// What may follow the dot; empty where there is nothing.
    pub(crate) parts: &'static [&'static str],
    pub(crate) meaning: &'static str,
}

impl Name {
    /// As a message shows it: `package()`.
    pub(crate) fn shown(&self) -> String {
        if self.is_function {
            format!("{}()", self.name)
        } else {
            self.name.to_owned()
        }
    }
}

const fn value(name: &'static str, meaning: &'static str) -> Name {
    Name {
        name,
        is_function: false,
        parts: &[],
        meaning,
    }
}

const fn function(
    name: &'static str,
    parts: &'static [&'static str],
    meaning: &'static str,
) -> Name {
    Name {
        name,
        is_function: true,
        parts,
        meaning,
    }
}

/// All names of facts.
pub(crate) const NAMES: &[Name] = &[
    function(
        "package",
        &["installed", "version"],
        "a package in the package manager's database",
    ),
    function(
        "unit",
        &["exists", "state"],
        "a systemd unit; `.service` may be left out",
    ),
    function("service", &["exists", "state"], "the same as `unit`"),
    function(
        "account",
        &["exists", "uid", "gid", "home", "shell"],
        "an account of `/etc/passwd`",
    ),
    function(
        "group",
        &["exists", "gid", "members"],
        "a group of `/etc/group`",
    ),
    function("mount", &["exists", "fs_type"], "a mount point"),
    Name {
        name: "release",
        is_function: false,
        parts: &["id", "version", "codename", "like", "pretty"],
        meaning: "the distribution's release (os-release)",
    },
    value("hostname", "the host's name"),
    value("kernel", "the running kernel's release"),
    value("architecture", "as dpkg names it: `amd64`"),
    value("container", "is this a container?"),
    value(
        "owns_kernel",
        "is the kernel this host's own, not its container host's?",
    ),
    value("systemd", "is systemd the init system?"),
    value(
        "interfaces",
        "the names of the network interfaces, each with its list of addresses",
    ),
];

pub(crate) fn name(word: &str) -> Option<&'static Name> {
    NAMES.iter().find(|name| name.name == word)
}

/// A fact that templates and conditions may use, for reference pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactName {
    /// `package("…")`, `hostname`.
    pub name: String,
    /// What may follow the dot.
    pub parts: &'static [&'static str],
    pub meaning: &'static str,
}

/// All facts that templates and conditions may use.
pub fn facts_in_templates() -> Vec<FactName> {
    NAMES
        .iter()
        .map(|name| FactName {
            name: if name.is_function {
                format!("{}(\"…\")", name.name)
            } else {
                name.name.to_owned()
            },
            parts: name.parts,
            meaning: name.meaning,
        })
        .collect()
}

/// Words that mean something already, so no parameter may take them.
pub(crate) fn is_taken(word: &str) -> bool {
    name(word).is_some()
        || matches!(
            word,
            "range"
                | "loop"
                | "self"
                | "super"
                | "caller"
                | "true"
                | "false"
                | "none"
                | "and"
                | "or"
                | "not"
                | "in"
                | "is"
                | "if"
                | "else"
        )
}

/// Jinja's filters that are allowed. `default` is not: nothing has a silent default.
pub(crate) const FILTERS: &[&str] = &[
    "abs",
    "capitalize",
    "dictsort",
    "first",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "replace",
    "reverse",
    "round",
    "select",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
];

/// Jinja's tests that are allowed, and ours.
pub(crate) const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "even",
    "false",
    "ge",
    "gt",
    "in",
    "integer",
    "le",
    "lt",
    "mapping",
    "ne",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "version_at_least",
];

/// A value as text. Jinja prints booleans as `True` and `False`, which no configuration file
/// reads, and lists in its own notation, which nothing reads.
pub(crate) fn printed(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Number | ValueKind::String => Ok(value.to_string()),
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        ValueKind::Invalid => {
            // Says the error that the value is made of.
            value.try_iter()?;
            Err(ErrorKind::BadSerialization.into())
        }
        _ => Err(ErrorKind::BadSerialization.into()),
    }
}

/// Adds what is ours: tests, and filters that print as [`printed`] does.
pub(crate) fn add_to(env: &mut Environment<'static>) {
    // In the order of Debian versions (deb-version(7)).
    env.add_test("version_at_least", |seen: String, least: String| {
        let parse = |text: &str| {
            text.parse::<debversion::Version>()
                .map_err(|_| Error::new(ErrorKind::InvalidOperation, "not a package version"))
        };
        Ok::<bool, Error>(parse(&seen)? >= parse(&least)?)
    });
    env.add_filter("string", |value: Value| printed(&value));
    env.add_filter("join", |list: Value, between: Option<String>| {
        let parts: Vec<String> = list
            .try_iter()?
            .map(|item| printed(&item))
            .collect::<Result<_, _>>()?;
        Ok::<String, Error>(parts.join(between.as_deref().unwrap_or("")))
    });
}

/// What a template's names stand for on one host.
#[derive(Debug)]
pub(crate) struct Context {
    facts: Arc<Facts>,
    params: BTreeMap<String, Value>,
    touched: Touched,
}

impl Context {
    pub(crate) fn value(
        facts: &Arc<Facts>,
        params: BTreeMap<String, Value>,
        touched: &Touched,
    ) -> Value {
        Value::from_object(Self {
            facts: Arc::clone(facts),
            params,
            touched: touched.clone(),
        })
    }

    fn fact<T>(&self, fact: &Fact<T>, known: impl FnOnce(&T) -> Value) -> Value {
        match fact {
            Fact::Known(value) => known(value),
            Fact::Unknown(reason) => unknown(&self.touched, reason),
        }
    }

    /// A function of one name that looks it up among the facts.
    fn lookup(
        &self,
        find: impl Fn(&Facts, &str) -> Result<Parts, Reason> + Send + Sync + 'static,
    ) -> Value {
        let facts = Arc::clone(&self.facts);
        let touched = self.touched.clone();
        Value::from_function(move |name: String| match find(&facts, &name) {
            Ok(parts) => Value::from_object(parts),
            Err(reason) => unknown(&touched, &reason),
        })
    }
}

fn unknown(touched: &Touched, reason: &Reason) -> Value {
    touched.note(reason);
    Value::from(Error::new(ErrorKind::InvalidOperation, "an unknown fact"))
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        if let Some(value) = self.params.get(key) {
            return Some(value.clone());
        }
        let facts = &self.facts;
        Some(match key {
            "hostname" => facts.hostname.as_str().into(),
            "architecture" => facts.architecture.as_str().into(),
            "owns_kernel" => facts.owns_kernel.into(),
            "systemd" => (facts.init == Init::Systemd).into(),
            "kernel" => self.fact(&facts.kernel, |kernel| kernel.as_str().into()),
            "container" => self.fact(&facts.container, |container| container.is_some().into()),
            "interfaces" => self.fact(&facts.interfaces, |interfaces| {
                interfaces
                    .iter()
                    .map(|(name, addresses)| (name.clone(), Value::from(addresses.clone())))
                    .collect()
            }),
            "release" => self.fact(&facts.release, |release| {
                Parts(vec![
                    ("id", Some(release.id.as_str().into())),
                    ("version", release.version.as_deref().map(Value::from)),
                    ("codename", release.codename.as_deref().map(Value::from)),
                    ("like", Some(release.like.clone().into())),
                    ("pretty", Some(release.pretty.as_str().into())),
                ])
                .into()
            }),
            "package" => self.lookup(|facts, name| {
                let package = known(&facts.packages)?.get(name);
                Ok(Parts(vec![
                    ("installed", Some(package.is_some().into())),
                    (
                        "version",
                        package.map(|package| package.version.as_str().into()),
                    ),
                ]))
            }),
            "unit" | "service" => self.lookup(|facts, name| {
                let full = if name.contains('.') {
                    name.to_owned()
                } else {
                    format!("{name}.service")
                };
                let state = known(&facts.units)?.get(&full);
                Ok(Parts(vec![
                    ("exists", Some(state.is_some().into())),
                    ("state", state.map(|state| state.as_str().into())),
                ]))
            }),
            "account" => self.lookup(|facts, name| {
                let account = known(&facts.accounts)?.get(name);
                Ok(Parts(vec![
                    ("exists", Some(account.is_some().into())),
                    ("uid", account.map(|account| account.uid.into())),
                    ("gid", account.map(|account| account.gid.into())),
                    ("home", account.map(|account| account.home.as_str().into())),
                    (
                        "shell",
                        account.map(|account| account.shell.as_str().into()),
                    ),
                ]))
            }),
            "group" => self.lookup(|facts, name| {
                let group = known(&facts.groups)?.get(name);
                Ok(Parts(vec![
                    ("exists", Some(group.is_some().into())),
                    ("gid", group.map(|group| group.gid.into())),
                    ("members", group.map(|group| group.members.clone().into())),
                ]))
            }),
            "mount" => self.lookup(|facts, path| {
                let mount = known(&facts.mounts)?
                    .iter()
                    .rev()
                    .find(|mount| mount.path.as_bytes() == path.as_bytes());
                Ok(Parts(vec![
                    ("exists", Some(mount.is_some().into())),
                    ("fs_type", mount.map(|mount| mount.fs_type.as_str().into())),
                ]))
            }),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

fn known<T>(fact: &Fact<T>) -> Result<&T, Reason> {
    match fact {
        Fact::Known(value) => Ok(value),
        Fact::Unknown(reason) => Err(reason.clone()),
    }
}

/// The named parts of one thing; none where the thing has no such part.
#[derive(Debug)]
struct Parts(Vec<(&'static str, Option<Value>)>);

impl From<Parts> for Value {
    fn from(parts: Parts) -> Self {
        Self::from_object(parts)
    }
}

impl Object for Parts {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        self.0
            .iter()
            .find(|(name, _)| *name == key)
            .and_then(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
