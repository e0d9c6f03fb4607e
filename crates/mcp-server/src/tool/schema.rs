//! Schemas that every client accepts: JSON Schema 2020-12 in its plainest form.
//!
//! What `schemars` derives is right but rich: `$schema`, titles, `format: "int64"`, a union with
//! `null` for each `Option`. Clients warn about these or drop the tool, so they are taken out; the
//! order of members is fixed, because a signature covers the definition.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use mcp_types::{DecodeError, JsonSchema, Members, RawText};
use schemars::generate::{Contract, SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value};

/// The formats that JSON Schema 2020-12 defines (section 7.3 of its validation part).
const FORMATS: [&str; 19] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];

/// The schema of a tool's arguments.
///
/// # Errors
///
/// When it has no JSON form.
pub(crate) fn input<T: schemars::JsonSchema>() -> Result<JsonSchema, serde_json::Error> {
    let mut schema = derived::<T>(Contract::Deserialize);
    plain(&mut schema, Contract::Deserialize);
    if let Value::Object(root) = &mut schema {
        root.entry("properties").or_insert_with(|| Map::new().into());
    }
    checked(schema)
}

/// What is known about the data of a type, found out once.
pub(crate) struct Shape {
    /// The schema, whose root is always an object.
    pub(crate) schema: JsonSchema,
    /// The data stands under `result`, because it is not an object with named members itself.
    wrapped: bool,
    /// The schema as a value, where members that are `null` must be left out to fit it.
    optional: Option<Value>,
}

/// Data that is no object, under the name that its schema gives it.
#[derive(Serialize)]
struct Wrapped<'v, T> {
    result: &'v T,
}

impl Shape {
    /// The shape of `T`.
    pub(crate) fn of<T: schemars::JsonSchema + 'static>() -> Result<Arc<Self>, serde_json::Error> {
        static KNOWN: LazyLock<RwLock<HashMap<TypeId, Arc<Shape>>>> =
            LazyLock::new(RwLock::default);
        let known =
            KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<T>()).cloned();
        if let Some(shape) = known {
            return Ok(shape);
        }
        let shape = Arc::new(Self::new(derived::<T>(Contract::Serialize))?);
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        Ok(known.entry(TypeId::of::<T>()).or_insert(shape).clone())
    }

    fn new(mut schema: Value) -> Result<Self, serde_json::Error> {
        let wrapped = !has_named_members(&schema);
        if wrapped {
            schema = wrap(schema);
        }
        let optional = plain(&mut schema, Contract::Serialize);
        Ok(Self { schema: checked(schema.clone())?, wrapped, optional: optional.then_some(schema) })
    }

    /// Writes `value` so that it fits the schema.
    pub(crate) fn write<T: Serialize>(&self, value: &T) -> Result<RawText, serde_json::Error> {
        let text = match self.wrapped {
            true => RawText::of(&Wrapped { result: value })?,
            false => RawText::of(value)?,
        };
        match &self.optional {
            Some(schema) if text.get().contains("null") => {
                without_nulls(&text, schema, schema).map_err(serde::ser::Error::custom)
            }
            _ => Ok(text),
        }
    }
}

/// Whether values are objects whose members the type names; a map's members are data.
fn has_named_members(schema: &Value) -> bool {
    let open = schema.get("additionalProperties").is_some_and(|other| other != &Value::Bool(false));
    schema.get("type").and_then(Value::as_str) == Some("object")
        && (schema.get("properties").is_some() || !open)
}

/// Puts the schema under `result`; references into it follow.
fn wrap(mut schema: Value) -> Value {
    let mut root = Map::new();
    if let Value::Object(inner) = &mut schema
        && let Some(definitions) = inner.remove("$defs")
    {
        root.insert("$defs".into(), definitions);
    }
    move_references(&mut schema);
    root.get_mut("$defs").into_iter().for_each(move_references);
    root.insert("type".into(), "object".into());
    root.insert("properties".into(), Map::from_iter([("result".to_owned(), schema)]).into());
    root.insert("required".into(), vec!["result"].into());
    root.into()
}

fn move_references(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match value {
                    Value::String(to)
                        if name == "$ref" && to.starts_with('#') && !to.starts_with("#/$defs/") =>
                    {
                        to.insert_str(1, "/properties/result");
                    }
                    other => move_references(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(move_references),
        _ => {}
    }
}

fn derived<T: schemars::JsonSchema>(contract: Contract) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
        settings.contract = contract;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

fn checked(mut schema: Value) -> Result<JsonSchema, serde_json::Error> {
    sort(&mut schema);
    let text = RawText::of(&schema)?;
    JsonSchema::new(text).map_err(|error: DecodeError| serde::ser::Error::custom(error))
}

/// Sorts the members of objects, whatever map `serde_json` was built with.
fn sort(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = std::mem::take(members).into_iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
            sorted.iter_mut().for_each(|(_, value)| sort(value));
            *members = sorted.into_iter().collect();
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// Makes a schema plain, in place; says whether a member became optional that may be `null`.
fn plain(schema: &mut Value, contract: Contract) -> bool {
    let Value::Object(members) = schema else {
        if *schema == Value::Bool(true) {
            *schema = Map::new().into();
        }
        return false;
    };
    members.remove("$schema");
    members.remove("title");
    if members.get("format").and_then(Value::as_str).is_some_and(|name| !FORMATS.contains(&name)) {
        members.remove("format");
    }
    let mut optional = !names_its_variant(members) && optional_properties(members, &contract);
    for (name, value) in members.iter_mut() {
        let contract = || contract.clone();
        match (name.as_str(), value) {
            (
                "properties" | "patternProperties" | "$defs" | "dependentSchemas",
                Value::Object(schemas),
            ) => schemas.values_mut().for_each(|schema| optional |= plain(schema, contract())),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|schema| optional |= plain(schema, contract()));
            }
            // A closed object says `false` and an open one `true`: both stay as they are.
            ("additionalProperties" | "unevaluatedProperties", Value::Bool(_)) => {}
            (
                "items"
                | "additionalProperties"
                | "unevaluatedProperties"
                | "unevaluatedItems"
                | "contains"
                | "propertyNames"
                | "not"
                | "if"
                | "then"
                | "else",
                schema,
            ) => optional |= plain(schema, contract()),
            _ => {}
        }
    }
    optional
}

/// Whether this is an object whose one member says which variant of an enum it is: without the
/// member nobody could tell, so its value stays `null`.
fn names_its_variant(members: &Map<String, Value>) -> bool {
    let properties = members.get("properties").and_then(Value::as_object);
    let required = members.get("required").and_then(Value::as_array);
    members.get("additionalProperties") == Some(&Value::Bool(false))
        && properties.is_some_and(|properties| properties.len() == 1)
        && required.is_some_and(|required| required.len() == 1)
}

/// Turns "may be `null`" into "may be absent" for the properties of one object.
fn optional_properties(members: &mut Map<String, Value>, contract: &Contract) -> bool {
    let Some(Value::Object(properties)) = members.get_mut("properties") else { return false };
    let mut freed = Vec::new();
    for (name, schema) in properties.iter_mut() {
        let Value::Object(schema) = schema else { continue };
        if schema.get("default") == Some(&Value::Null) {
            schema.remove("default");
        }
        if without_null_type(schema) | without_null_branch(schema) {
            freed.push(name.clone());
        }
    }
    if *contract == Contract::Serialize
        && let Some(Value::Array(required)) = members.get_mut("required")
    {
        required.retain(|name| !freed.iter().any(|freed| name == freed));
        if required.is_empty() {
            members.remove("required");
        }
    }
    !freed.is_empty()
}

fn without_null_type(schema: &mut Map<String, Value>) -> bool {
    let Some(Value::Array(types)) = schema.get_mut("type") else { return false };
    let before = types.len();
    types.retain(|name| name != "null");
    let (freed, only) = (types.len() < before, types.first().cloned());
    if types.len() == 1
        && let Some(only) = only
    {
        schema.insert("type".into(), only);
    }
    if freed && let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    freed
}

fn without_null_branch(schema: &mut Map<String, Value>) -> bool {
    for union in ["anyOf", "oneOf"] {
        let Some(Value::Array(branches)) = schema.get_mut(union) else { continue };
        let before = branches.len();
        branches.retain(|branch| {
            branch.get("type").is_none_or(|name| name != "null")
                && branch.get("const").is_none_or(|value| !value.is_null())
        });
        if branches.len() == before {
            continue;
        }
        if branches.len() == 1
            && let Some(Value::Object(only)) = branches.pop()
        {
            schema.remove(union);
            for (name, value) in only {
                // What stands at the place itself, such as its description, says more.
                schema.entry(name).or_insert(value);
            }
        }
        return true;
    }
    false
}

/// `text` without the members that are `null` where `schema` says that they may be absent.
fn without_nulls(text: &RawText, schema: &Value, root: &Value) -> Result<RawText, DecodeError> {
    if !text.get().contains("null") {
        return Ok(text.clone());
    }
    let schemas = applicable(schema, root, 0);
    let written = match text.get().trim_start().as_bytes().first() {
        Some(b'{') => {
            let mut kept = Members::new();
            for (name, value) in text.parse::<Members>()?.iter() {
                let property =
                    schemas.iter().find_map(|schema| schema.get("properties")?.get(name));
                if value.is_null() && property.is_some_and(|property| !admits_null(property)) {
                    continue;
                }
                let other = || schemas.iter().find_map(|schema| schema.get("additionalProperties"));
                let value = match property.or_else(other) {
                    Some(schema) => without_nulls(value, schema, root)?,
                    None => value.clone(),
                };
                kept.insert(name.to_owned(), value);
            }
            RawText::of(&kept)
        }
        Some(b'[') => {
            let mut kept = Vec::new();
            for (index, value) in text.parse::<Vec<RawText>>()?.iter().enumerate() {
                let own = schemas.iter().find_map(|schema| schema.get("prefixItems")?.get(index));
                let item = own.or_else(|| schemas.iter().find_map(|schema| schema.get("items")));
                kept.push(match item {
                    Some(schema) => without_nulls(value, schema, root)?,
                    None => value.clone(),
                });
            }
            RawText::of(&kept)
        }
        _ => return Ok(text.clone()),
    };
    written.map_err(|error| DecodeError::new("", error.to_string()))
}

/// The schema, what it refers to, and the branches of its unions.
fn applicable<'s>(schema: &'s Value, root: &'s Value, depth: u8) -> Vec<&'s Value> {
    let mut all = vec![schema];
    if depth > 8 {
        return all;
    }
    if let Some(to) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = to.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
    {
        all.extend(applicable(target, root, depth + 1));
    }
    for union in ["anyOf", "oneOf", "allOf"] {
        for branch in schema.get(union).and_then(Value::as_array).into_iter().flatten() {
            all.extend(applicable(branch, root, depth + 1));
        }
    }
    all
}

fn admits_null(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == "null",
        Some(Value::Array(names)) => names.iter().any(|name| name == "null"),
        // Without a type only a schema that says nothing at all admits everything.
        _ => {
            let says = ["$ref", "anyOf", "oneOf", "allOf", "enum", "const"];
            !says.iter().any(|keyword| schema.get(keyword).is_some())
        }
    }
}

#[cfg(test)]
mod tests;
