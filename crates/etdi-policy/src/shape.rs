//! The types of a tool's arguments, from its `inputSchema`, and arguments as values of them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use cedar_policy::RestrictedExpression;
use etdi_core::canonical;
use etdi_core::ijson::Value;

/// What Cedar knows of a value. Where a schema says something that Cedar has no type for, such as
/// a fraction or one of several types, the value is its canonical JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Bool,
    Long,
    Text,
    Json,
    Set(Box<Shape>),
    Record(BTreeMap<String, Member>),
}

/// A member of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    shape: Shape,
    required: bool,
}

/// Why arguments are no value of their tool's shape. Nothing of the arguments is in it but names
/// that the schema has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument `{path}` is not {expected}, as the tool's schema says")]
pub(crate) struct Misfit {
    path: String,
    expected: &'static str,
}

/// How deep a schema is followed; what is deeper is JSON text.
const MAX_DEPTH: usize = 8;

/// How many members a record in the arguments has at most; what has more is JSON text.
const MAX_MEMBERS: usize = 256;

impl Shape {
    /// The shape of a tool's arguments: a record, also where the schema names no properties.
    pub(crate) fn of_arguments(tool: Value<'_>) -> Self {
        let schema = tool.get("inputSchema");
        let shape = schema.map(|schema| {
            let reader = Reader { root: schema };
            // Whoever writes a schema must not hide arguments from policies by what stands beside
            // the properties: these hold whatever that is.
            match schema.get("properties") {
                Some(_) => reader.record(schema, 0),
                None => reader.shape(schema, 0),
            }
        });
        match shape {
            Some(record @ Self::Record(_)) => record,
            _ => Self::Record(BTreeMap::new()),
        }
    }

    /// The arguments as a value of this shape, and the names of those that the schema does not
    /// have. A member that is `null` counts as absent where it may be.
    pub(crate) fn value(
        &self,
        value: Option<Value<'_>>,
    ) -> Result<(RestrictedExpression, Vec<String>), Misfit> {
        let Self::Record(members) = self else {
            return Err(misfit("", "an object"));
        };
        let mut unknown = Vec::new();
        if let Some(value) = value {
            let named = value.as_object().ok_or_else(|| misfit("", "an object"))?;
            unknown.extend(
                named
                    .map(|(name, _)| name)
                    .filter(|name| !members.contains_key(*name))
                    .map(str::to_owned),
            );
        }
        Ok((record(members, value, "")?, unknown))
    }

    fn read(&self, value: Value<'_>, path: &str) -> Result<RestrictedExpression, Misfit> {
        Ok(match self {
            Self::Bool => {
                // The canonical text of a truth value is its name.
                match canonical::of(value).as_str() {
                    "true" => RestrictedExpression::new_bool(true),
                    "false" => RestrictedExpression::new_bool(false),
                    _ => return Err(misfit(path, "true or false")),
                }
            }
            Self::Long => {
                let number = value.as_number().and_then(|number| number.as_i64());
                let number = number.ok_or_else(|| misfit(path, "an integer"))?;
                RestrictedExpression::new_long(number)
            }
            Self::Text => {
                let text = value.as_str().ok_or_else(|| misfit(path, "a string"))?;
                RestrictedExpression::new_string(text.to_owned())
            }
            Self::Json => RestrictedExpression::new_string(canonical::of(value)),
            Self::Set(element) => {
                let elements = value.as_array().ok_or_else(|| misfit(path, "a list"))?;
                let elements = elements.map(|one| element.read(one, path));
                RestrictedExpression::new_set(elements.collect::<Result<Vec<_>, _>>()?)
            }
            Self::Record(members) => {
                if !value.is_object() {
                    return Err(misfit(path, "an object"));
                }
                record(members, Some(value), path)?
            }
        })
    }
}

fn record(
    members: &BTreeMap<String, Member>,
    value: Option<Value<'_>>,
    path: &str,
) -> Result<RestrictedExpression, Misfit> {
    let mut fields = Vec::with_capacity(members.len());
    for (name, member) in members {
        let place = || if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value.and_then(|value| value.get(name)) {
            Some(value) if member.shape == Shape::Json || !is_null(value) => {
                fields.push((name.clone(), member.shape.read(value, &place())?));
            }
            _ if member.required => return Err(misfit(&place(), "there")),
            _ => {}
        }
    }
    // Names in a map differ, which is all that this can refuse.
    RestrictedExpression::new_record(fields).map_err(|_| misfit(path, "an object"))
}

fn misfit(path: &str, expected: &'static str) -> Misfit {
    let path = if path.is_empty() { "(all)" } else { path };
    Misfit { path: path.to_owned(), expected }
}

fn is_null(value: Value<'_>) -> bool {
    value.as_str().is_none()
        && value.as_number().is_none()
        && !value.is_object()
        && canonical::of(value) == "null"
}

/// Reads a schema, with the document that its references point into.
struct Reader<'a> {
    root: Value<'a>,
}

impl<'a> Reader<'a> {
    fn shape(&self, schema: Value<'a>, depth: usize) -> Shape {
        if depth > MAX_DEPTH {
            return Shape::Json;
        }
        if let Some(reference) = schema.get("$ref") {
            let target = reference.as_str().and_then(|path| self.resolve(path));
            return target.map_or(Shape::Json, |target| self.shape(target, depth + 1));
        }
        if ["oneOf", "anyOf", "allOf", "not", "if"].iter().any(|key| schema.get(key).is_some()) {
            return Shape::Json;
        }
        match self.kind(schema) {
            Some("boolean") => Shape::Bool,
            Some("integer") => Shape::Long,
            Some("string") => Shape::Text,
            Some("array") => match schema.get("items") {
                Some(items) => Shape::Set(Box::new(self.shape(items, depth + 1))),
                None => Shape::Json,
            },
            Some("object") => self.record(schema, depth),
            _ => Shape::Json,
        }
    }

    /// The one type that a schema has; `null` beside it says that the value may be absent.
    fn kind(&self, schema: Value<'a>) -> Option<&'a str> {
        let kind = schema.get("type")?;
        if let Some(name) = kind.as_str() {
            return Some(name);
        }
        let mut names = kind.as_array()?.filter_map(Value::as_str).filter(|name| *name != "null");
        names.next().filter(|_| names.next().is_none())
    }

    fn nullable(&self, schema: Value<'a>) -> bool {
        let mut kinds = schema.get("type").and_then(Value::as_array).into_iter().flatten();
        kinds.any(|kind| kind.as_str() == Some("null"))
    }

    fn record(&self, schema: Value<'a>, depth: usize) -> Shape {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            // Whatever is in it has names that nobody knows.
            return if depth == 0 { Shape::Record(BTreeMap::new()) } else { Shape::Json };
        };
        if depth > 0 && properties.len() > MAX_MEMBERS {
            return Shape::Json;
        }
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let members = properties.map(|(name, schema)| {
            let required = required.contains(&name) && !self.nullable(schema);
            (name.to_owned(), Member { shape: self.shape(schema, depth + 1), required })
        });
        Shape::Record(members.collect())
    }

    fn resolve(&self, path: &str) -> Option<Value<'a>> {
        let path = path.strip_prefix("#/")?;
        path.split('/').try_fold(self.root, |value, name| {
            value.get(&name.replace("~1", "/").replace("~0", "~"))
        })
    }
}

impl fmt::Display for Shape {
    /// The type as Cedar's schema language writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("Bool"),
            Self::Long => f.write_str("Long"),
            Self::Text | Self::Json => f.write_str("String"),
            Self::Set(element) => write!(f, "Set<{element}>"),
            Self::Record(members) => {
                f.write_char('{')?;
                for (at, (name, member)) in members.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    let optional = if member.required { "" } else { "?" };
                    write!(f, "{comma}{}{optional}: {}", quoted(name), member.shape)?;
                }
                f.write_char('}')
            }
        }
    }
}

/// A text as a string literal of Cedar, which never ends early.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            other => _ = write!(out, "\\u{{{:x}}}", u32::from(other)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use etdi_core::ijson::{Document, Limits};

    use super::*;

    fn shape(schema: &str) -> String {
        let text = format!(r#"{{"inputSchema":{schema}}}"#);
        let document = Document::parse(&text, Limits::DEFINITION).unwrap();
        Shape::of_arguments(document.root()).to_string()
    }

    #[test]
    fn a_schema_becomes_a_type() {
        for (schema, expected) in [
            (r#"{"type":"object"}"#, "{}"),
            (
                r#"{"type":"object","required":["q"],"properties":{"q":{"type":"string"},"n":{"type":"integer"}}}"#,
                r#"{"n"?: Long, "q": String}"#,
            ),
            (
                r#"{"type":"object","required":["a"],"properties":{"a":{"type":["string","null"]}}}"#,
                r#"{"a"?: String}"#,
            ),
            (
                r#"{"type":"object","properties":{"x":{"type":"number"},"y":{"oneOf":[]},"z":{"type":"array","items":{"type":"boolean"}}}}"#,
                r#"{"x"?: String, "y"?: String, "z"?: Set<Bool>}"#,
            ),
            (
                r##"{"type":"object","properties":{"p":{"$ref":"#/$defs/P"}},"$defs":{"P":{"type":"object","required":["k"],"properties":{"k":{"type":"integer"}}}}}"##,
                r#"{"p"?: {"k": Long}}"#,
            ),
            // What stands beside the properties hides none.
            (
                r#"{"type":"object","properties":{"q":{"type":"string"}},"allOf":[{}],"$ref":"x"}"#,
                r#"{"q"?: String}"#,
            ),
            // A reference to itself ends.
            (
                r##"{"type":"object","properties":{"p":{"$ref":"#/properties/p"}}}"##,
                r#"{"p"?: String}"#,
            ),
            (
                "{\"type\":\"object\",\"properties\":{\"a\\\"}; é\":{\"type\":\"string\"}}}",
                "{\"a\\\"}; \\u{e9}\"?: String}",
            ),
        ] {
            assert_eq!(shape(schema), expected, "{schema}");
        }
    }
}
