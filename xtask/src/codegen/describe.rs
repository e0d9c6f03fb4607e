//! From a published JSON schema to our own description of it: names, members and kinds, no text.
//!
//! A description is a JSON file with the SHA-256 of its input. A member is one line: its kind, and
//! `!` when it is required. Kinds are `string`, `boolean`, `integer`, `natural` (an integer from 0),
//! `number`, `any`, `object` (free), `const VALUE`, `'A' | 'B'` (strings of an enumeration),
//! `&Name` (another definition), `[KIND]` (a list), `{KIND}` (a map), `&A | &B` (a union), `&A & &B`
//! (all of both). An object that stands inside another becomes a definition of its own, named by
//! its place, unless it repeats one; objects that must hold together become one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A description: definitions by name, and the methods of each direction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Description {
    /// SHA-256 of the published file, in hexadecimal.
    pub sha256: String,
    /// Objects as members and kinds; other definitions as one kind.
    pub definitions: BTreeMap<String, Definition>,
    /// For each group, such as `ClientRequest`: method, name of the message, its parameters.
    pub methods: BTreeMap<String, Vec<[String; 3]>>,
}

/// One definition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Definition {
    /// An object: kinds by the names of its members.
    Object(BTreeMap<String, String>),
    /// Anything else, as a kind.
    Kind(String),
}

/// The groups of messages that a schema lists.
const GROUPS: &[&str] =
    &["ClientRequest", "ClientNotification", "ServerRequest", "ServerNotification", "InputRequest"];

impl Description {
    /// Describes a published schema.
    ///
    /// # Errors
    ///
    /// When the text is no such schema.
    pub(crate) fn of_schema(text: &str) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let published = ["$defs", "definitions"]
            .iter()
            .find_map(|name| schema.get(name)?.as_object())
            .ok_or("the schema has no definitions")?;
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut all = Self { sha256, definitions: BTreeMap::new(), methods: BTreeMap::new() };
        let published: &Published = published;
        for (name, definition) in published {
            all.add(published, name, definition)?;
        }
        for group in GROUPS {
            if let Some(union) = published.get(*group) {
                let methods = members_of(union, published).filter_map(|name| {
                    let message = published.get(&name)?.get("properties")?;
                    let method = message.get("method")?.get("const")?.as_str()?.to_owned();
                    let params = message.get("params").map(|params| match target(params) {
                        Some(name) => name.to_owned(),
                        None => format!("{name}Params"),
                    });
                    Some([method, name, params.unwrap_or_default()])
                });
                all.methods.insert((*group).to_owned(), methods.collect());
            }
        }
        Ok(all)
    }

    fn add(&mut self, published: &Published, name: &str, schema: &Value) -> Result<(), String> {
        let merged = schema.get("allOf").map(|parts| merged(published, parts));
        let schema = match &merged {
            Some(Merged { object, others }) if others.is_empty() => object,
            Some(Merged { object, others }) => {
                let frame = format!("{name}Frame");
                self.add(published, &frame, object)?;
                let others: Result<Vec<_>, _> =
                    others.iter().map(|other| self.kind(published, name, "", other)).collect();
                let kind = format!("&{frame} & {}", others?.join(" & "));
                self.definitions.insert(name.to_owned(), Definition::Kind(kind));
                return Ok(());
            }
            None => schema,
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let definition = match properties {
            Some(properties) => {
                let required: Vec<&str> = schema
                    .get("required")
                    .and_then(Value::as_array)
                    .map(|names| names.iter().filter_map(Value::as_str).collect())
                    .unwrap_or_default();
                let mut members = BTreeMap::new();
                for (member, schema) in properties {
                    let mut kind = self.kind(published, name, member, schema)?;
                    if required.contains(&member.as_str()) {
                        kind.push('!');
                    }
                    members.insert(member.clone(), kind);
                }
                Definition::Object(members)
            }
            None => Definition::Kind(self.kind(published, name, "", schema)?),
        };
        self.definitions.insert(name.to_owned(), definition);
        Ok(())
    }

    fn kind(
        &mut self,
        published: &Published,
        owner: &str,
        member: &str,
        schema: &Value,
    ) -> Result<String, String> {
        if let Some(name) = target(schema).or_else(|| twin(published, owner, schema)) {
            return Ok(format!("&{name}"));
        }
        if let Some(value) = schema.get("const") {
            return Ok(format!(
                "const {}",
                value.as_str().map_or(value.to_string(), str::to_owned)
            ));
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let names = values.iter().filter_map(Value::as_str);
            return Ok(names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" | "));
        }
        if let Some(variants) = schema.get("anyOf").and_then(Value::as_array) {
            let consts: Option<Vec<_>> =
                variants.iter().map(|one| one.get("const")?.as_str()).collect();
            if let Some(consts) = consts {
                let names = consts.iter().map(|name| format!("'{name}'"));
                return Ok(names.collect::<Vec<_>>().join(" | "));
            }
            let kinds: Result<Vec<_>, _> = variants
                .iter()
                .map(|variant| self.kind(published, owner, member, variant))
                .collect();
            return Ok(kinds?.join(" | "));
        }
        if schema.get("allOf").is_some() && !member.is_empty() {
            let name = format!("{owner}{}", super::pascal(member));
            self.add(published, &name, schema)?;
            return Ok(format!("&{name}"));
        }
        Ok(match schema.get("type").and_then(Value::as_str) {
            Some("integer") if schema.get("minimum") == Some(&json!(0)) => "natural".to_owned(),
            Some("array") => {
                let items =
                    schema.get("items").ok_or(format!("{owner}.{member}: list of what?"))?;
                format!("[{}]", self.kind(published, owner, member, items)?)
            }
            Some("object") if is_shape(schema) && !member.is_empty() => {
                let name = format!("{owner}{}", super::pascal(member));
                self.add(published, &name, schema)?;
                format!("&{name}")
            }
            Some("object") => match schema.get("additionalProperties") {
                Some(Value::Object(values)) if is_kind(values) => {
                    let values = Value::Object(values.clone());
                    format!("{{{}}}", self.kind(published, owner, member, &values)?)
                }
                _ => "object".to_owned(),
            },
            Some(plain) => plain.to_owned(),
            None => "any".to_owned(),
        })
    }

    /// The description as it is kept.
    pub(crate) fn to_text(&self) -> Result<String, String> {
        let definitions: Map<String, Value> = self
            .definitions
            .iter()
            .map(|(name, definition)| {
                let value = match definition {
                    Definition::Object(members) => json!(members),
                    Definition::Kind(kind) => json!(kind),
                };
                (name.clone(), value)
            })
            .collect();
        let all =
            json!({"sha256": self.sha256, "definitions": definitions, "methods": self.methods});
        let text = serde_json::to_string_pretty(&all).map_err(|e| e.to_string())?;
        Ok(text + "\n")
    }

    /// Reads a description as it is kept.
    ///
    /// # Errors
    ///
    /// When the text is not what [`Description::to_text`] writes.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let broken = |what: &str| format!("the description has no {what}");
        let all: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let sha256 = all.get("sha256").and_then(Value::as_str).ok_or(broken("sha256"))?.to_owned();
        let mut definitions = BTreeMap::new();
        let listed = all.get("definitions").and_then(Value::as_object);
        for (name, value) in listed.ok_or(broken("definitions"))? {
            let definition = match value {
                Value::String(kind) => Definition::Kind(kind.clone()),
                _ => Definition::Object(
                    serde_json::from_value(value.clone()).map_err(|e| format!("{name}: {e}"))?,
                ),
            };
            definitions.insert(name.clone(), definition);
        }
        let methods = all.get("methods").cloned().ok_or(broken("methods"))?;
        let methods = serde_json::from_value(methods).map_err(|e| e.to_string())?;
        Ok(Self { sha256, definitions, methods })
    }
}

/// The definitions of a published schema.
type Published = Map<String, Value>;

/// The parts of an `allOf`: its objects as one, and what is no object with members.
struct Merged {
    object: Value,
    others: Vec<Value>,
}

fn merged(published: &Published, parts: &Value) -> Merged {
    let (mut properties, mut required, mut others) = (Map::new(), Vec::new(), Vec::new());
    for part in parts.as_array().into_iter().flatten() {
        let part = target(part).and_then(|name| published.get(name)).unwrap_or(part);
        let inner = part.get("allOf").map(|parts| merged(published, parts));
        let whole = inner.as_ref().map_or(part, |inner| &inner.object);
        match whole.get("properties").and_then(Value::as_object) {
            Some(members) => {
                properties.extend(members.clone());
                let names = whole.get("required").and_then(Value::as_array);
                required.extend(names.into_iter().flatten().cloned());
            }
            // A free object adds nothing to what is known.
            None if part.get("type") == Some(&json!("object")) => {}
            None => others.push(part.clone()),
        }
        others.extend(inner.into_iter().flat_map(|inner| inner.others));
    }
    let object = json!({"type": "object", "properties": properties, "required": required});
    Merged { object, others }
}

/// The definition that an object with a tag, or a union of such, repeats word for word, as some
/// generators write them. Without a tag the likeness could be chance.
fn twin<'a>(published: &'a Published, owner: &str, schema: &Value) -> Option<&'a str> {
    let is_tagged = |object: &Value| {
        let members = object.get("properties").and_then(Value::as_object);
        members.is_some_and(|members| members.values().any(|one| one.get("const").is_some()))
    };
    let variants = schema.get("anyOf").and_then(Value::as_array);
    if !is_tagged(schema) && !variants.is_some_and(|all| all.iter().all(is_tagged)) {
        return None;
    }
    let bare = bare(schema);
    let known = published.iter().filter(|(name, _)| *name != owner);
    known.into_iter().find(|(_, other)| self::bare(other) == bare).map(|(name, _)| name.as_str())
}

/// A schema without what describes it for people.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, value)| {
                *name != "$schema" && !(*name == "description" && value.is_string())
            });
            Value::Object(kept.map(|(name, value)| (name.clone(), bare(value))).collect())
        }
        Value::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}

/// Whether the schema of free members says what they are.
fn is_kind(values: &Map<String, Value>) -> bool {
    !values.is_empty() && !values.contains_key("not")
}

/// Whether an object has members of its own rather than free ones.
fn is_shape(schema: &Value) -> bool {
    let members = schema.get("properties").and_then(Value::as_object);
    let free = schema.get("additionalProperties").is_some();
    members.is_some_and(|members| !members.is_empty()) && !free
}

/// The definition to which a schema refers.
fn target(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

/// The names of a union's members; a single message stands for itself.
fn members_of<'a>(
    union: &'a Value,
    published: &'a Map<String, Value>,
) -> impl Iterator<Item = String> + use<'a> {
    let many = union.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let many = many.filter_map(|variant| target(variant).map(str::to_owned));
    let method = |schema: &Value| schema.pointer("/properties/method/const").cloned();
    let alone = method(union).and_then(|wanted| {
        let twin = published.iter().find(|(name, schema)| {
            method(schema).as_ref() == Some(&wanted) && !GROUPS.contains(&name.as_str())
        });
        twin.map(|(name, _)| name.clone())
    });
    many.chain(alone)
}
