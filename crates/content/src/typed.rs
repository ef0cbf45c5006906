//! From a tree to typed values: a serde deserializer in which the field decides the type.
//! A text field takes any scalar as it is written, `no` and `0644` included; a number or a
//! boolean field takes only what is one. Every error has its place, and an unknown key is
//! found before anything else is looked at.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use crate::error::{ContentError, Place, SourceText, suggestion};
use crate::yaml::{Entry, Node, Style, Tree, as_int, is_bool};

/// A value that could not be read.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: ContentError,
    /// The value that is refused came out of a template, at least in part.
    pub(crate) rendered: bool,
}

/// Reads a `T`; `what` names the whole in messages: "a `file` resource".
pub(crate) fn read<'de, T: serde::Deserialize<'de>>(
    node: &'de Node,
    what: &str,
    source: &Arc<SourceText>,
) -> Result<T, Refused> {
    start(node, None, what, source)
}

/// Reads the value of a key of `what`.
pub(crate) fn read_key<'de, T: serde::Deserialize<'de>>(
    node: &'de Node,
    key: &'de str,
    what: &str,
    source: &Arc<SourceText>,
) -> Result<T, Refused> {
    start(node, Some(key), what, source)
}

fn start<'de, T: serde::Deserialize<'de>>(
    node: &'de Node,
    key: Option<&'de str>,
    what: &str,
    source: &Arc<SourceText>,
) -> Result<T, Refused> {
    let reader = Reader { node, key, what };
    reader.seed(PhantomData).map_err(|error| {
        let span = error.span.unwrap_or_else(|| node.span.clone());
        Refused {
            error: ContentError::new(error.message, Place::new(source, span))
                .maybe_help(error.help),
            rendered: error.rendered,
        }
    })
}

/// What is wrong, and where as soon as that is known.
#[derive(Debug)]
struct Problem {
    message: String,
    help: Option<String>,
    span: Option<Range<usize>>,
    rendered: bool,
}

impl Problem {
    fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self {
            message: message.into(),
            help: None,
            span: Some(span),
            rendered: false,
        }
    }

    fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            help: None,
            span: None,
            rendered: false,
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("missing key `{field}`"))
    }

    // serde's own wording of these two quotes the value.
    fn invalid_type(_: serde::de::Unexpected<'_>, wanted: &dyn serde::de::Expected) -> Self {
        Self::custom(format_args!("wanted {}", plain_words(&wanted.to_string())))
    }

    fn invalid_value(_: serde::de::Unexpected<'_>, wanted: &dyn serde::de::Expected) -> Self {
        Self::custom(format_args!("wanted {}", plain_words(&wanted.to_string())))
    }
}

/// serde's names of types in a policy author's words.
fn plain_words(wanted: &str) -> &str {
    match wanted {
        "a string" | "string" | "str" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        struct_name if struct_name.starts_with("struct ") => "a mapping of keys",
        other => other,
    }
}

/// What may stand where serde only says that no variant fits.
fn forms_of(untagged: &str) -> Option<&'static str> {
    if untagged.ends_with("Expectation") {
        Some(
            "write a plain value, or a bound with the value to set: {at_most: 4, set: 4}, \
             {at_least: 1, set: 2}, {from: 1, to: 4, set: 2} or {one_of: [a, b], set: a}",
        )
    } else {
        None
    }
}

#[derive(Clone, Copy)]
struct Reader<'de, 'w> {
    node: &'de Node,
    /// The key whose value this is.
    key: Option<&'de str>,
    what: &'w str,
}

impl<'de> Reader<'de, '_> {
    /// Reads a value; a type that refuses it after it was read gets its place here.
    fn seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Problem> {
        seed.deserialize(self).map_err(|error| self.place(error))
    }

    /// `mode`, or what the whole is.
    fn name(&self) -> String {
        match self.key {
            Some(key) => format!("`{}`", model::printable(key.as_bytes())),
            None => self.what.to_owned(),
        }
    }

    fn wrong(&self, wanted: &str) -> Problem {
        let message = match self.node.tree {
            Tree::Null => format!("{} has no value, wanted {wanted}", self.name()),
            _ => format!("{} is {}, wanted {wanted}", self.name(), self.node.kind()),
        };
        let mut problem = Problem::new(message, self.node.span.clone());
        problem.rendered = self.node.is_rendered();
        let help = match &self.node.tree {
            Tree::Null if wanted == "text" => {
                Some("write the text, `\"\"` for none, or remove the key".to_owned())
            }
            Tree::Null => Some("write the value, or remove the key".to_owned()),
            Tree::Scalar {
                style: Style::Quoted,
                text,
            } if is_bool(text) || as_int(text).is_some() => Some("remove the quotes".to_owned()),
            Tree::Scalar { text, .. } if wanted == "true or false" => match text.as_str() {
                "yes" | "on" | "Yes" | "On" | "True" | "TRUE" => Some("write `true`".to_owned()),
                "no" | "off" | "No" | "Off" | "False" | "FALSE" => Some("write `false`".to_owned()),
                _ => None,
            },
            Tree::Scalar { .. } if wanted == "a list" => {
                Some("write it in brackets: [a, b]".to_owned())
            }
            _ => None,
        };
        problem.help(help)
    }

    /// Gives an error that serde or a type raised this value's place.
    fn place(&self, mut problem: Problem) -> Problem {
        if problem.span.is_some() {
            return problem;
        }
        problem.span = Some(self.node.span.clone());
        problem.rendered = self.node.is_rendered() && !problem.message.starts_with("missing key ");
        if let Some(untagged) = problem
            .message
            .strip_prefix("data did not match any variant of untagged enum ")
        {
            problem.help = forms_of(untagged).map(str::to_owned);
            problem.message = format!("{} has none of the forms that it may have", self.name());
        } else if problem.message.starts_with("missing key ") {
            problem.message = format!("{} in {}", problem.message, self.what);
        } else if let Some(wanted) = problem.message.strip_prefix("wanted ") {
            problem.message = format!("{} is {}, wanted {wanted}", self.name(), self.node.kind());
        } else if let Some(key) = self.key {
            problem.message = format!(
                "`{}`: {}",
                model::printable(key.as_bytes()),
                problem.message
            );
        }
        if let Tree::Scalar {
            text,
            style: Style::Rendered,
        } = &self.node.tree
            && !text.is_empty()
        {
            problem.message = problem.message.replace(
                &format!("`{}`", model::printable(text.as_bytes())),
                "the value",
            );
        }
        problem
    }

    fn text(&self) -> Result<&'de str, Problem> {
        match &self.node.tree {
            Tree::Scalar { text, .. } => Ok(text),
            _ => Err(self.wrong("text")),
        }
    }

    fn int(&self) -> Result<i64, Problem> {
        match &self.node.tree {
            Tree::Scalar {
                text,
                style: Style::Plain | Style::Rendered,
            } => as_int(text.trim()).ok_or_else(|| self.wrong("a whole number")),
            _ => Err(self.wrong("a whole number")),
        }
    }

    /// Every key is one of `fields`: said before anything else, since a misspelt key is
    /// also a missing one.
    fn check_keys(
        &self,
        entries: &'de [Entry],
        fields: &'static [&'static str],
    ) -> Result<(), Problem> {
        for entry in entries {
            if !fields.contains(&entry.key.as_str()) {
                let free = fields
                    .iter()
                    .filter(|field| !entries.iter().any(|entry| entry.key == **field))
                    .copied();
                let key = model::printable(entry.key.as_bytes());
                return Err(Problem::new(
                    format!("unknown key `{key}` in {}", self.what),
                    entry.key_span.clone(),
                )
                .help(suggestion(&entry.key, free)));
            }
        }
        Ok(())
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty, $wanted:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            let number = <$type>::try_from(self.int()?).map_err(|_| self.wrong($wanted))?;
            visitor.$visit(number).map_err(|error| self.place(error))
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let node = self.node;
        match &node.tree {
            Tree::Null => Err(self.wrong("a value")),
            Tree::List(_) => self.deserialize_seq(visitor),
            Tree::Map(_) => self.deserialize_map(visitor),
            Tree::Scalar { text, style } => {
                let plain = matches!(style, Style::Plain | Style::Rendered);
                match as_int(text) {
                    Some(number) if plain => visitor.visit_i64(number),
                    _ if plain && is_bool(text) => visitor.visit_bool(text == "true"),
                    _ => visitor.visit_borrowed_str(text),
                }
                .map_err(|error| self.place(error))
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.tree {
            Tree::Scalar {
                text,
                style: Style::Plain | Style::Rendered,
            } if is_bool(text) => visitor
                .visit_bool(text == "true")
                .map_err(|error| self.place(error)),
            _ => Err(self.wrong("true or false")),
        }
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8, "a whole number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a smaller whole number";
        deserialize_i32 visit_i32 i32, "a smaller whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number, not negative";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let number = self.text()?.parse().map_err(|_| self.wrong("a number"))?;
        visitor.visit_f64(number).map_err(|error| self.place(error))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor
            .visit_borrowed_str(self.text()?)
            .map_err(|error| self.place(error))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        // A key without a value is a mistake, not a way to leave the key out.
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match &self.node.tree {
            Tree::Null => visitor.visit_unit(),
            _ => Err(self.wrong("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Tree::List(items) = &self.node.tree else {
            return Err(self.wrong("a list"));
        };
        visitor
            .visit_seq(Items {
                items: items.iter(),
                key: self.key,
                what: self.what,
            })
            .map_err(|error| self.place(error))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Tree::Map(entries) = &self.node.tree else {
            return Err(self.wrong("a mapping of keys"));
        };
        visitor
            .visit_map(Entries {
                entries: entries.iter(),
                value: None,
                what: self.what,
            })
            .map_err(|error| self.place(error))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        if let Tree::Map(entries) = &self.node.tree {
            self.check_keys(entries, fields)?;
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let (name, span, value) = match &self.node.tree {
            Tree::Scalar { text, .. } => (text.as_str(), &self.node.span, None),
            Tree::Map(entries) if entries.len() == 1 => (
                entries[0].key.as_str(),
                &entries[0].key_span,
                Some(&entries[0].value),
            ),
            _ => return Err(self.wrong("one name")),
        };
        if !variants.contains(&name) {
            let shown = if matches!(
                &self.node.tree,
                Tree::Scalar {
                    style: Style::Rendered,
                    ..
                }
            ) {
                "the value".to_owned()
            } else {
                format!("`{}`", model::printable(name.as_bytes()))
            };
            let mut problem = Problem::new(
                format!("{shown} is not known for {}", self.name()),
                span.clone(),
            )
            .help(suggestion(name, variants.iter().copied()));
            problem.rendered = shown == "the value";
            return Err(problem);
        }
        visitor
            .visit_enum(Variant {
                name,
                value,
                what: self.what,
            })
            .map_err(|error| self.place(error))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }
}

struct Items<'de, 'w> {
    items: std::slice::Iter<'de, Node>,
    key: Option<&'de str>,
    what: &'w str,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Problem> {
        let Some(node) = self.items.next() else {
            return Ok(None);
        };
        let reader = Reader {
            node,
            key: self.key,
            what: self.what,
        };
        reader.seed(seed).map(Some)
    }
}

struct Entries<'de, 'w> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
    what: &'w str,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        self.value = self.entries.next();
        let Some(entry) = self.value else {
            return Ok(None);
        };
        seed.deserialize(entry.key.as_str().into_deserializer())
            .map(Some)
            .map_err(|mut error: Problem| {
                error.span.get_or_insert(entry.key_span.clone());
                error
            })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let Some(entry) = self.value.take() else {
            return Err(serde::de::Error::custom("a value without its key"));
        };
        let reader = Reader {
            node: &entry.value,
            key: Some(&entry.key),
            what: self.what,
        };
        reader.seed(seed)
    }
}

struct Variant<'de, 'w> {
    name: &'de str,
    value: Option<&'de Node>,
    what: &'w str,
}

impl<'de, 'w> EnumAccess<'de> for Variant<'de, 'w> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Problem> {
        let name: serde::de::value::StrDeserializer<'_, Problem> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de, 'w> Variant<'de, 'w> {
    fn reader(self) -> Result<Reader<'de, 'w>, Problem> {
        let missing = || serde::de::Error::custom(format_args!("`{}` needs its keys", self.name));
        Ok(Reader {
            node: self.value.ok_or_else(missing)?,
            key: Some(self.name),
            what: self.what,
        })
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        match self.value {
            None => Ok(()),
            Some(value) => Err(Problem::new(
                format!("`{}` takes no value", self.name),
                value.span.clone(),
            )),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Problem> {
        self.reader()?.seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Problem> {
        self.reader()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.reader()?.deserialize_struct("", fields, visitor)
    }
}
