//! Parameters of rules and roles: what is declared, and the values that are given.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use serde::Deserialize;

use crate::error::{ContentError, Place, Problems, SourceText};
use crate::keys::{Keys, Shape};
use crate::typed;
use crate::vocabulary;
use crate::yaml::{Node, Style, Tree, as_int, is_bool};

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    String,
    Int,
    Bool,
    List,
}

impl ParamType {
    fn words(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Int => "a whole number",
            Self::Bool => "true or false",
            Self::List => "a list",
        }
    }
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamValue {
    Text(String),
    Int(i64),
    Bool(bool),
    List(Vec<String>),
}

impl ParamValue {
    fn param_type(&self) -> ParamType {
        match self {
            Self::Text(_) => ParamType::String,
            Self::Int(_) => ParamType::Int,
            Self::Bool(_) => ParamType::Bool,
            Self::List(_) => ParamType::List,
        }
    }

    pub(crate) fn to_template(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Int(number) => (*number).into(),
            Self::Bool(value) => (*value).into(),
            Self::List(items) => items.clone().into(),
        }
    }

    /// A value as a command line has it: lists with commas.
    pub(crate) fn from_text(text: &str, wanted: ParamType) -> Result<Self, String> {
        let wrong = || format!("wanted {}", wanted.words());
        Ok(match wanted {
            ParamType::String => Self::Text(text.to_owned()),
            ParamType::Int => Self::Int(as_int(text).ok_or_else(wrong)?),
            ParamType::Bool if is_bool(text) => Self::Bool(text == "true"),
            ParamType::Bool => return Err(wrong()),
            ParamType::List if text.is_empty() => Self::List(Vec::new()),
            ParamType::List => Self::List(text.split(',').map(str::to_owned).collect()),
        })
    }
}

/// As a command line has it: lists with commas.
impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// A declared parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    pub param_type: ParamType,
    pub default: Option<ParamValue>,
    /// When not empty, the only values that are allowed.
    pub one_of: Vec<ParamValue>,
    pub description: Option<String>,
    /// Its value is never shown, nor taken from a command line.
    pub secret: bool,
    pub(crate) place: Place,
}

impl Param {
    fn allows(&self, value: &ParamValue) -> Result<(), String> {
        if self.one_of.is_empty() || self.one_of.contains(value) {
            return Ok(());
        }
        let allowed: Vec<String> = self
            .one_of
            .iter()
            .map(|value| format!("`{}`", value.to_template()))
            .collect();
        Err(format!("allowed: {}", allowed.join(", ")))
    }

    /// A value that is given from a command line.
    pub(crate) fn value_of_text(&self, name: &str, text: &str) -> Result<ParamValue, ContentError> {
        let refused = |why| {
            ContentError::without_place(format!(
                "the value given for parameter `{name}` is refused"
            ))
            .help(why)
        };
        let value = ParamValue::from_text(text, self.param_type).map_err(refused)?;
        self.allows(&value).map_err(refused)?;
        Ok(value)
    }

    /// A value that a policy gives.
    pub(crate) fn value_of_node(
        &self,
        name: &str,
        node: &Node,
        source: &Arc<SourceText>,
    ) -> Result<ParamValue, ContentError> {
        let value = read_value(name, node, Some(self.param_type), source)?;
        self.allows(&value).map_err(|why| {
            ContentError::new(
                format!("`{name}` can't have this value"),
                Place::new(source, node.span.clone()),
            )
            .help(why)
        })?;
        Ok(value)
    }

    /// Any value of the right type, to check a template's surroundings with.
    pub(crate) fn sample(&self) -> ParamValue {
        self.default
            .clone()
            .or_else(|| self.one_of.first().cloned())
            .unwrap_or(match self.param_type {
                ParamType::String => ParamValue::Text("sample".to_owned()),
                ParamType::Int => ParamValue::Int(1),
                ParamType::Bool => ParamValue::Bool(true),
                ParamType::List => ParamValue::List(vec!["sample".to_owned()]),
            })
    }
}

pub type Params = BTreeMap<String, Param>;

/// A value of the wanted type; without one, the type is the value's own.
fn read_value(
    name: &str,
    node: &Node,
    wanted: Option<ParamType>,
    source: &Arc<SourceText>,
) -> Result<ParamValue, ContentError> {
    let own = match &node.tree {
        Tree::List(_) => ParamType::List,
        Tree::Scalar { text, style } => match style {
            Style::Plain | Style::Rendered if is_bool(text) => ParamType::Bool,
            Style::Plain | Style::Rendered if as_int(text).is_some() => ParamType::Int,
            _ => ParamType::String,
        },
        Tree::Null | Tree::Map(_) => wanted.unwrap_or(ParamType::String),
    };
    let what = "a parameter";
    let read = match wanted.unwrap_or(own) {
        ParamType::String => typed::read_key(node, name, what, source).map(ParamValue::Text),
        ParamType::Int => typed::read_key(node, name, what, source).map(ParamValue::Int),
        ParamType::Bool => typed::read_key(node, name, what, source).map(ParamValue::Bool),
        ParamType::List => typed::read_key(node, name, what, source).map(ParamValue::List),
    };
    read.map_err(|refused| refused.error)
}

/// The `params:` of a rule or a role.
pub(crate) fn read_params(
    node: &Node,
    default_needed: bool,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Params {
    let mut params = Params::new();
    let Tree::Map(entries) = &node.tree else {
        problems.push(ContentError::new(
            format!("`params` is {}, wanted a mapping of names", node.kind()),
            Place::new(source, node.span.clone()),
        ));
        return params;
    };
    for entry in entries {
        let place = Place::new(source, entry.key_span.clone());
        let shown = model::printable(entry.key.as_bytes());
        if !is_identifier(&entry.key) || vocabulary::is_taken(&entry.key) {
            let why = if is_identifier(&entry.key) {
                "the name means something else in templates already"
            } else {
                "use lower-case letters, digits and `_`"
            };
            problems.push(
                ContentError::new(format!("`{shown}` can't name a parameter"), place).help(why),
            );
            continue;
        }
        if let Some(param) = read_param(entry, default_needed, source, problems) {
            params.insert(entry.key.clone(), param);
        }
    }
    params
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 60
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

const PARAM: Shape<'_> = Shape {
    known: &["type", "default", "one_of", "description", "secret"],
    needed: &[],
};

fn read_param(
    entry: &crate::yaml::Entry,
    default_needed: bool,
    source: &Arc<SourceText>,
    problems: &mut Problems,
) -> Option<Param> {
    let what = format!("parameter `{}`", entry.key);
    let keys = Keys::of(&entry.value, what.clone(), PARAM, source, problems)?;
    let place = Place::new(source, entry.key_span.clone());
    let declared: Option<ParamType> = keys.value("type", problems);
    let default = match keys.node("default") {
        Some(node) => Some(problems.keep(read_value("default", node, declared, source))?),
        None => None,
    };
    if default.is_none() && default_needed {
        problems.push(
            ContentError::new(format!("missing key `default` in {what}"), place)
                .help("a rule runs without being asked for values, so each parameter has one"),
        );
        return None;
    }
    let Some(param_type) = declared.or(default.as_ref().map(ParamValue::param_type)) else {
        problems.push(
            ContentError::new(format!("missing key `type` in {what}"), place)
                .help("one of `string`, `int`, `bool`, `list`"),
        );
        return None;
    };
    let mut one_of = Vec::new();
    if let Some(node) = keys.node("one_of") {
        for item in crate::keys::items(node, "one_of", source, problems)? {
            one_of.push(problems.keep(read_value("one_of", item, Some(param_type), source))?);
        }
    }
    let param = Param {
        param_type,
        default,
        one_of,
        description: keys.value("description", problems),
        secret: keys.node("secret").is_some() && keys.value("secret", problems).unwrap_or_default(),
        place,
    };
    if param.secret
        && let Some(node) = keys.node("default").or(keys.node("one_of"))
    {
        problems.push(
            ContentError::new(
                "a secret whose value stands in the policy",
                keys.place_of(node),
            )
            .help("leave it out: it is given with `--param-from` or `--param-file`"),
        );
        return None;
    }
    if let (Some(default), Some(node)) = (&param.default, keys.node("default"))
        && let Err(why) = param.allows(default)
    {
        problems.push(
            ContentError::new(
                "the default is not one of the allowed values",
                keys.place_of(node),
            )
            .help(why),
        );
    }
    Some(param)
}
