//! Forms: what a type wants to know from a person, as the flat schema that the protocol allows.
//!
//! A form has fields, and a field is a text, a number, yes or no, one of several values or some of
//! several (specification, "Elicitation", "Requested schema"). [`requested_schema`] makes one of a
//! type, [`check`] holds an answer against one.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use mcp_types::{
    BooleanSchema, DecodeError, ElicitRequestFormParamsRequestedSchema, NumberSchema,
    NumberSchemaType, PrimitiveSchemaDefinition, RawText, StringFormat, StringSchema,
    TitledMultiSelectEnumSchema, TitledMultiSelectEnumSchemaItems,
    TitledMultiSelectEnumSchemaItemsAnyOf, TitledSingleSelectEnumSchema,
    TitledSingleSelectEnumSchemaOneOf, UntitledMultiSelectEnumSchema,
    UntitledMultiSelectEnumSchemaItems, UntitledSingleSelectEnumSchema,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The form that asks for a `T`.
///
/// `T` is a struct whose fields are texts, numbers, booleans, enums without data, or lists of
/// these enums. An `Option` and a field with a default need not be filled in; `#[serde(default)]`
/// is what the form begins with. Titles come from `#[schemars(title = "…")]`, also on the variants
/// of an enum, where a doc comment does as well; bounds from `#[schemars(range(…))]` and
/// `#[schemars(length(…))]`, kinds of text from `#[schemars(email)]` and `#[schemars(url)]`.
///
/// [`Context::elicit`](crate::Context::elicit) uses it; call it in a test to hear of a type that is
/// no form before a user does.
///
/// ```
/// use mcp_server::data;
///
/// /// How to send it.
/// #[data]
/// enum Speed {
///     /// Within a week
///     Slow,
///     /// Tomorrow
///     Fast,
/// }
///
/// #[data]
/// struct Delivery {
///     street: String,
///     speed: Option<Speed>,
/// }
///
/// let form = mcp_server::requested_schema::<Delivery>()?;
/// assert_eq!(form.required, Some(vec!["street".to_owned()]));
///
/// #[data]
/// struct Nested {
///     delivery: Delivery,
/// }
/// let error = mcp_server::requested_schema::<Nested>().unwrap_err();
/// assert!(error.to_string().contains("the field `delivery`"));
/// # Ok::<(), mcp_server::FormError>(())
/// ```
///
/// # Errors
///
/// [`FormError`], which names the field that no form can have.
pub fn requested_schema<T: JsonSchema>() -> Result<ElicitRequestFormParamsRequestedSchema, FormError>
{
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let properties = match schema.get("properties") {
        Some(Value::Object(properties)) if text(&schema, "type") == Some("object") => properties,
        _ => return Err(FormError::new("", "a form is a struct with named fields")),
    };
    for open in ["oneOf", "anyOf", "allOf", "$ref", "patternProperties"] {
        if schema.get(open).is_some() {
            return Err(FormError::new("", "a form has the same fields each time it is shown"));
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let mut required: Vec<String> = required.filter_map(Value::as_str).map(str::to_owned).collect();
    let mut fields = BTreeMap::new();
    for (name, schema) in properties {
        let (field, nullable) = field(schema).map_err(|why| FormError::new(name, why))?;
        if nullable {
            required.retain(|required| required != name);
        }
        fields.insert(name.clone(), field);
    }
    let mut form = ElicitRequestFormParamsRequestedSchema::new(fields);
    form.required = (!required.is_empty()).then_some(required);
    Ok(form)
}

/// The form of `T`, found out once.
pub(super) fn known<T: JsonSchema + 'static>()
-> Result<Arc<ElicitRequestFormParamsRequestedSchema>, FormError> {
    static KNOWN: LazyLock<RwLock<HashMap<TypeId, Arc<ElicitRequestFormParamsRequestedSchema>>>> =
        LazyLock::new(RwLock::default);
    let id = TypeId::of::<T>();
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    if let Some(known) = known {
        return Ok(known);
    }
    let form = Arc::new(requested_schema::<T>()?);
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(id, form.clone());
    Ok(form)
}

/// A type cannot be asked for by a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", .field.as_ref().map(|name| format!("the field `{name}` fits in no form: ")).unwrap_or_default())]
pub struct FormError {
    field: Option<String>,
    why: &'static str,
}

impl FormError {
    fn new(field: &str, why: &'static str) -> Self {
        Self { field: (!field.is_empty()).then(|| field.to_owned()), why }
    }

    /// The field that cannot be asked for, where it is one.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

/// A field, and whether it may be left empty.
fn field(schema: &Value) -> Result<(PrimitiveSchemaDefinition, bool), &'static str> {
    let Value::Object(members) = schema else { return Err("any value would do, say which") };
    let (members, nullable) = without_null(members);
    let mut field = kind(&members)?;
    let description = owned(&members, "description");
    let title = owned(&members, "title");
    match &mut field {
        PrimitiveSchemaDefinition::Boolean(schema) => {
            (schema.description, schema.title) = (description, title);
            schema.default = members.get("default").and_then(Value::as_bool);
        }
        PrimitiveSchemaDefinition::Number(schema) => {
            (schema.description, schema.title) = (description, title);
            schema.default = number(&members, "default");
        }
        PrimitiveSchemaDefinition::String(schema) => {
            (schema.description, schema.title) = (description, title);
            schema.default = owned(&members, "default");
        }
        PrimitiveSchemaDefinition::TitledSingleSelect(schema) => {
            (schema.description, schema.title) = (description, title);
            schema.default = owned(&members, "default");
        }
        PrimitiveSchemaDefinition::UntitledSingleSelect(schema) => {
            (schema.description, schema.title) = (description, title);
            schema.default = owned(&members, "default");
        }
        PrimitiveSchemaDefinition::TitledMultiSelect(schema) => {
            (schema.description, schema.title) = (description, title);
            schema.default = list(&members, "default");
        }
        PrimitiveSchemaDefinition::UntitledMultiSelect(schema) => {
            (schema.description, schema.title) = (description, title);
            schema.default = list(&members, "default");
        }
        _ => {}
    }
    Ok((field, nullable))
}

fn kind(members: &Map<String, Value>) -> Result<PrimitiveSchemaDefinition, &'static str> {
    if let Some(choices) = choices(members)? {
        let titled = choices.iter().any(|(_, title)| title.is_some());
        return Ok(if titled {
            let choices = choices.into_iter().map(|(value, title)| {
                let title = title.unwrap_or_else(|| value.clone());
                TitledSingleSelectEnumSchemaOneOf::new(value, title)
            });
            PrimitiveSchemaDefinition::TitledSingleSelect(TitledSingleSelectEnumSchema::new(
                choices.collect(),
            ))
        } else {
            let values = choices.into_iter().map(|(value, _)| value);
            PrimitiveSchemaDefinition::UntitledSingleSelect(UntitledSingleSelectEnumSchema::new(
                values.collect(),
            ))
        });
    }
    match members.get("type").and_then(Value::as_str) {
        Some("boolean") => Ok(PrimitiveSchemaDefinition::Boolean(BooleanSchema::new())),
        Some(name @ ("number" | "integer")) => {
            let whole = name == "integer";
            let mut schema = NumberSchema::new(match whole {
                true => NumberSchemaType::Integer,
                false => NumberSchemaType::Number,
            });
            if ["exclusiveMinimum", "exclusiveMaximum", "multipleOf"]
                .iter()
                .any(|bound| members.contains_key(*bound))
            {
                return Err("a number has no bounds but `minimum` and `maximum`");
            }
            schema.minimum = number(members, "minimum");
            schema.maximum = number(members, "maximum");
            Ok(PrimitiveSchemaDefinition::Number(schema))
        }
        Some("string") => {
            if members.contains_key("pattern") {
                return Err("a text has no pattern, check it when the answer is there");
            }
            let mut schema = StringSchema::new();
            schema.min_length = members.get("minLength").and_then(Value::as_i64);
            schema.max_length = members.get("maxLength").and_then(Value::as_i64);
            // Other formats than these four are the type's own affair.
            schema.format = match text_of(members, "format") {
                Some("email") => Some(StringFormat::Email),
                Some("uri") => Some(StringFormat::Uri),
                Some("date") => Some(StringFormat::Date),
                Some("date-time") => Some(StringFormat::DateTime),
                _ => None,
            };
            Ok(PrimitiveSchemaDefinition::String(schema))
        }
        Some("array") => several(members),
        _ => Err("it is no text, number, boolean, enum without data, or list of such an enum"),
    }
}

/// Some of several values.
fn several(members: &Map<String, Value>) -> Result<PrimitiveSchemaDefinition, &'static str> {
    let none = "a list is one of values to choose from, so its items are an enum without data";
    let items = members.get("items").and_then(Value::as_object).ok_or(none)?;
    let choices = choices(items)?.ok_or(none)?;
    let min_items = members.get("minItems").and_then(Value::as_i64);
    let max_items = members.get("maxItems").and_then(Value::as_i64);
    Ok(if choices.iter().any(|(_, title)| title.is_some()) {
        let choices = choices.into_iter().map(|(value, title)| {
            let title = title.unwrap_or_else(|| value.clone());
            TitledMultiSelectEnumSchemaItemsAnyOf::new(value, title)
        });
        let items = TitledMultiSelectEnumSchemaItems::new(choices.collect());
        let mut schema = TitledMultiSelectEnumSchema::new(items);
        (schema.min_items, schema.max_items) = (min_items, max_items);
        PrimitiveSchemaDefinition::TitledMultiSelect(schema)
    } else {
        let values = choices.into_iter().map(|(value, _)| value);
        let items = UntitledMultiSelectEnumSchemaItems::new(values.collect());
        let mut schema = UntitledMultiSelectEnumSchema::new(items);
        (schema.min_items, schema.max_items) = (min_items, max_items);
        PrimitiveSchemaDefinition::UntitledMultiSelect(schema)
    })
}

type Choice = (String, Option<String>);

/// The values of an enum without data, with their titles; `None` when it is no enum.
fn choices(members: &Map<String, Value>) -> Result<Option<Vec<Choice>>, &'static str> {
    let data = "the values of an enum in a form carry no data";
    if let Some(values) = members.get("enum").and_then(Value::as_array) {
        let values = values.iter().filter(|value| !value.is_null());
        let choice = |value: &Value| value.as_str().map(|value| (value.to_owned(), None));
        return values.map(choice).collect::<Option<_>>().map(Some).ok_or(data);
    }
    if let Some(value) = members.get("const") {
        let value = value.as_str().ok_or(data)?.to_owned();
        let title = owned(members, "title").or_else(|| owned(members, "description"));
        return Ok(Some(vec![(value, title)]));
    }
    for union in ["oneOf", "anyOf"] {
        let Some(branches) = members.get(union).and_then(Value::as_array) else { continue };
        let mut all = Vec::new();
        for branch in branches {
            let branch = branch.as_object().ok_or(data)?;
            all.extend(choices(branch)?.ok_or(data)?);
        }
        return Ok(Some(all));
    }
    Ok(None)
}

/// The schema without "or null", and whether that was there.
fn without_null(members: &Map<String, Value>) -> (Map<String, Value>, bool) {
    let mut members = members.clone();
    if let Some(Value::Array(types)) = members.get_mut("type") {
        let before = types.len();
        types.retain(|name| name != "null");
        let nullable = types.len() < before;
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".into(), only);
        }
        return (members, nullable);
    }
    let is_null = |branch: &Value| branch.get("type").is_some_and(|name| name == "null");
    for union in ["anyOf", "oneOf"] {
        let Some(Value::Array(branches)) = members.get_mut(union) else { continue };
        let before = branches.len();
        branches.retain(|branch| !is_null(branch));
        if branches.len() == before {
            continue;
        }
        if branches.len() == 1
            && let Some(Value::Object(only)) = branches.pop()
        {
            members.remove(union);
            for (name, value) in only {
                // What stands at the field itself, such as its description, says more.
                members.entry(name).or_insert(value);
            }
        }
        return (members, true);
    }
    (members, false)
}

fn text<'s>(schema: &'s Value, name: &str) -> Option<&'s str> {
    schema.get(name).and_then(Value::as_str)
}

fn text_of<'s>(members: &'s Map<String, Value>, name: &str) -> Option<&'s str> {
    members.get(name).and_then(Value::as_str)
}

fn owned(members: &Map<String, Value>, name: &str) -> Option<String> {
    text_of(members, name).map(str::to_owned)
}

fn number(members: &Map<String, Value>, name: &str) -> Option<f64> {
    members.get(name).and_then(Value::as_f64)
}

fn list(members: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let values = members.get(name)?.as_array()?;
    values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

/// Takes what belongs to the form out of `content`; fields that are not in it are passed over.
///
/// # Errors
///
/// The first field that does not fit, or is required and not there.
pub(super) fn check(
    form: &ElicitRequestFormParamsRequestedSchema,
    mut content: Content,
) -> Result<Content, DecodeError> {
    // Clients send `null` for what was left empty.
    content.retain(|name, value| form.properties.contains_key(name) && !value.is_null());
    match form.check(&content).into_iter().next() {
        Some(error) => Err(error),
        None => Ok(content),
    }
}

/// What a person filled in, by field.
pub(super) type Content = BTreeMap<String, RawText>;

#[cfg(test)]
mod tests;
