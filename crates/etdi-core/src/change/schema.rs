//! Differences of JSON Schemas, keyword by keyword.

use serde_json::{Map, Value, json};

use super::walk::{Walk, keys, object_or};
use super::{ChangeKind, Gravity};

/// Which way the described data flows: what the model must supply, or what it gets back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

impl Side {
    /// Something more may pass: on the input side the user's data goes further.
    fn wider(self) -> Gravity {
        match self {
            Self::Input => Gravity::Powerful,
            Self::Output => Gravity::Notable,
        }
    }
}

/// Keywords whose value is one schema, and which demand more when that schema does. (`not` and
/// `if` do not: any change of them is powerful.)
const SCHEMA: [&str; 8] = [
    "additionalProperties",
    "contains",
    "else",
    "items",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a map of names to schemas.
const NAMED: [&str; 5] =
    ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const UPPER: [&str; 6] =
    ["exclusiveMaximum", "maxContains", "maxItems", "maxLength", "maxProperties", "maximum"];
const LOWER: [&str; 6] =
    ["exclusiveMinimum", "minContains", "minItems", "minLength", "minProperties", "minimum"];

/// Other keywords of the vocabularies of draft 2020-12, and what earlier drafts called them.
const KNOWN: [&str; 23] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "const",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "dependencies",
    "dependentRequired",
    "deprecated",
    "format",
    "if",
    "multipleOf",
    "not",
    "pattern",
    "readOnly",
    "additionalItems",
    "uniqueItems",
    "writeOnly",
];

/// The types that a schema can name.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Compares the two schemas of a tool's own member. One that comes or goes is one difference.
pub(super) fn whole(walk: &mut Walk, side: Side, before: Option<&Value>, after: Option<&Value>) {
    match (before, after) {
        (None, _) => walk.push(ChangeKind::SchemaChanged, before, after, Gravity::Powerful),
        (_, None) => walk.push(ChangeKind::SchemaChanged, before, after, side.wider()),
        _ => compare(walk, side, before, after),
    }
}

/// Compares two schemas. An absent one and `true` are the schema that allows everything.
fn compare(walk: &mut Walk, side: Side, before: Option<&Value>, after: Option<&Value>) {
    let everything = Map::new();
    let (old, new) = (plain(before), plain(after));
    let (Some(old), Some(new)) = (object_or(old, &everything), object_or(new, &everything)) else {
        let gravity = match (before, after) {
            (_, Some(Value::Bool(false))) => Gravity::Notable,
            // A schema with anything in it has words that were not there.
            (Some(Value::Bool(false)), _) if new.is_none_or(|new| *new == json!({})) => {
                side.wider()
            }
            _ => Gravity::Powerful,
        };
        return walk.push(ChangeKind::SchemaChanged, before, after, gravity);
    };
    for keyword in keys(old, new) {
        let (old, new) = (old.get(keyword), new.get(keyword));
        if old != new {
            walk.inside(keyword, |walk| {
                walk.noting(ChangeKind::SchemaChanged, old, new, |walk| {
                    keyword_changed(walk, side, keyword, old, new);
                });
            });
        }
    }
}

/// `true` says as little as no schema.
fn plain(schema: Option<&Value>) -> Option<&Value> {
    schema.filter(|schema| **schema != Value::Bool(true))
}

fn keyword_changed(
    walk: &mut Walk,
    side: Side,
    keyword: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) {
    match keyword {
        "title" | "description" | "$comment" => walk.text(before, after),
        "type" => type_changed(walk, side, before, after),
        "required" => required_changed(walk, side, before, after),
        "enum" => enum_changed(walk, side, before, after),
        _ if NAMED.contains(&keyword) => {
            // A property that goes is asked for no longer; a rule that goes kept something out.
            let gone = if keyword == "properties" { Gravity::Notable } else { side.wider() };
            named_changed(walk, gone, side, before, after);
        }
        _ if LISTS.contains(&keyword) => list_changed(walk, side, keyword, before, after),
        _ if SCHEMA.contains(&keyword) => compare(walk, side, before, after),
        _ if UPPER.contains(&keyword) => {
            limit_changed(walk, side, before, after, f64::INFINITY, 1.0)
        }
        _ if LOWER.contains(&keyword) => {
            limit_changed(walk, side, before, after, f64::NEG_INFINITY, -1.0)
        }
        "examples" if after.is_none() => {
            walk.push(ChangeKind::SchemaChanged, before, after, Gravity::Notable);
        }
        // A keyword that goes may have been what kept something out; one that nobody knows may
        // have meant anything.
        _ if after.is_none() && KNOWN.contains(&keyword) => {
            walk.push(ChangeKind::SchemaChanged, before, after, side.wider());
        }
        _ => walk.push(ChangeKind::SchemaChanged, before, after, Gravity::Powerful),
    }
}

/// Names are texts that the model reads, so a new one is powerful on both sides.
fn named_changed(
    walk: &mut Walk,
    gone: Gravity,
    side: Side,
    before: Option<&Value>,
    after: Option<&Value>,
) {
    let none = Map::new();
    let (Some(old), Some(new)) = (object_or(before, &none), object_or(after, &none)) else {
        return walk.push(ChangeKind::SchemaChanged, before, after, Gravity::Powerful);
    };
    for name in keys(old, new) {
        let (old, new) = (old.get(name), new.get(name));
        if old == new {
            continue;
        }
        walk.inside(name, |walk| match (old, new) {
            (None, _) => walk.push(ChangeKind::PropertyAdded, old, new, Gravity::Powerful),
            (_, None) => walk.push(ChangeKind::PropertyRemoved, old, new, gone),
            _ => compare(walk, side, old, new),
        });
    }
}

fn list_changed(
    walk: &mut Walk,
    side: Side,
    keyword: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) {
    let (Some(old), Some(new)) = (elements(before), elements(after)) else {
        return walk.push(ChangeKind::SchemaChanged, before, after, Gravity::Powerful);
    };
    // One branch less of a choice narrows; one demand less, or one typed place less, widens.
    let gone = if keyword == "anyOf" { Gravity::Notable } else { side.wider() };
    for index in 0..old.len().max(new.len()) {
        let (old, new) = (old.get(index), new.get(index));
        if old == new {
            continue;
        }
        walk.at(index, |walk| match (old, new) {
            (None, _) => walk.push(ChangeKind::SchemaChanged, old, new, Gravity::Powerful),
            (_, None) => walk.push(ChangeKind::SchemaChanged, old, new, gone),
            _ => compare(walk, side, old, new),
        });
    }
}

fn type_changed(walk: &mut Walk, side: Side, before: Option<&Value>, after: Option<&Value>) {
    let types = |value: Option<&Value>| -> Option<Vec<String>> {
        match value? {
            Value::String(one) => Some(vec![one.clone()]),
            Value::Array(many) => many.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
            _ => None,
        }
    };
    let gravity = match (types(before), types(after)) {
        (Some(old), Some(new)) if new.iter().all(|one| old.contains(one)) => {
            if old.iter().all(|one| new.contains(one)) {
                Gravity::Cosmetic
            } else {
                Gravity::Notable
            }
        }
        // Whatever is no type is a text for the model to read.
        (None, Some(new)) if before.is_none() && new.iter().all(|one| TYPES.contains(&&**one)) => {
            Gravity::Notable
        }
        (Some(_), None) if after.is_none() => side.wider(),
        _ => Gravity::Powerful,
    };
    walk.push(ChangeKind::TypeChanged, before, after, gravity);
}

fn required_changed(walk: &mut Walk, side: Side, before: Option<&Value>, after: Option<&Value>) {
    let (Some(old), Some(new)) = (elements(before), elements(after)) else {
        return walk.push(ChangeKind::SchemaChanged, before, after, Gravity::Powerful);
    };
    let mut reordered = true;
    for name in new.iter().filter(|name| !old.contains(name)) {
        reordered = false;
        // On the input side the model now has to hand it over; on the other it may be no name.
        let gravity = if is_name(name) { side.wider() } else { Gravity::Powerful };
        walk.push(ChangeKind::PropertyRequired, None, Some(name), gravity);
    }
    for name in old.iter().filter(|name| !new.contains(name)) {
        reordered = false;
        walk.push(ChangeKind::PropertyOptional, Some(name), None, Gravity::Notable);
    }
    if reordered {
        walk.push(ChangeKind::SchemaChanged, before, after, Gravity::Cosmetic);
    }
}

fn enum_changed(walk: &mut Walk, side: Side, before: Option<&Value>, after: Option<&Value>) {
    let gravity = match (before.and_then(Value::as_array), after.and_then(Value::as_array)) {
        (Some(old), Some(new)) if new.iter().all(|value| old.contains(value)) => {
            if old.iter().all(|value| new.contains(value)) {
                Gravity::Cosmetic
            } else {
                Gravity::Notable
            }
        }
        (Some(_), None) if after.is_none() => side.wider(),
        _ => Gravity::Powerful,
    };
    walk.push(ChangeKind::EnumChanged, before, after, gravity);
}

/// `direction` is 1 for a limit that is wider when it is greater, -1 for the other.
fn limit_changed(
    walk: &mut Walk,
    side: Side,
    before: Option<&Value>,
    after: Option<&Value>,
    absent: f64,
    direction: f64,
) {
    let limit = |value: Option<&Value>| value.map_or(Some(absent), Value::as_f64);
    let gravity = match (limit(before), limit(after)) {
        (Some(old), Some(new)) if (new - old) * direction < 0.0 => Gravity::Notable,
        (Some(_), Some(_)) => side.wider(),
        _ => Gravity::Powerful,
    };
    walk.push(ChangeKind::SchemaChanged, before, after, gravity);
}

/// Whether a value is the name of a property, and too plain to be a sentence.
fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        name.len() <= 32 && name.chars().all(plain)
    })
}

fn elements(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None => Some(&[]),
        Some(value) => value.as_array().map(Vec::as_slice),
    }
}
