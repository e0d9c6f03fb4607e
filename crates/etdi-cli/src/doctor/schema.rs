//! What is wrong with the schemas of a tool, as far as clients and models stumble over it.

use etdi::core::change::visible;
use serde_json::Value;

/// The most faults that are told of one tool, and how deep a schema is looked into.
const MOST_FAULTS: usize = 20;
const DEEPEST: usize = 32;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];

/// What is wrong with a tool's schemas, a sentence each; empty when nothing is.
///
/// Looks at what every client relies on, whatever dialect it reads: the root is an object, keywords
/// have values of their kinds, what is required is described, references lead somewhere within.
///
/// ```
/// use etdi_cli::doctor::schema::faults;
/// use serde_json::json;
///
/// let tool = json!({"name": "add", "inputSchema": {"type": "object", "required": ["a"]}});
/// assert_eq!(faults(&tool), ["`inputSchema` requires `a`, and does not describe it"]);
/// ```
pub fn faults(tool: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match tool.get("inputSchema") {
        None => found.push("it has no `inputSchema`".to_owned()),
        Some(schema) => root("inputSchema", schema, &mut found),
    }
    if let Some(schema) = tool.get("outputSchema") {
        look(schema, "outputSchema", schema, 0, &mut found);
    }
    found.truncate(MOST_FAULTS);
    found
}

fn root(name: &str, schema: &Value, found: &mut Vec<String>) {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {}
        Some(other) => {
            found.push(format!("`{name}` is of type `{}`, expected `object`", visible(other)));
        }
        None if schema.is_object() => {
            found.push(format!("`{name}` has no `type`, expected `object`"));
        }
        None => found.push(format!("`{name}` is no JSON Schema, expected an object")),
    }
    look(schema, name, schema, 0, found);
}

fn look(whole: &Value, at: &str, schema: &Value, depth: usize, found: &mut Vec<String>) {
    if depth > DEEPEST || found.len() >= MOST_FAULTS {
        return;
    }
    let members = match schema {
        Value::Object(members) => members,
        Value::Bool(_) => return,
        _ => {
            return found
                .push(format!("`{at}` is no JSON Schema, expected an object or a boolean"));
        }
    };
    let mut wrong = |keyword: &str, expected: &str| {
        found.push(format!("`{keyword}` of `{at}` is not {expected}"));
    };
    if let Some(kind) = members.get("type") {
        let known = |kind: &Value| kind.as_str().is_some_and(|kind| TYPES.contains(&kind));
        let fine = match kind {
            Value::Array(kinds) => !kinds.is_empty() && kinds.iter().all(known),
            one => known(one),
        };
        if !fine {
            wrong("type", "a type of JSON Schema, or a list of them");
        }
    }
    for keyword in ["title", "description", "format", "pattern", "$ref", "$schema"] {
        if members.get(keyword).is_some_and(|value| !value.is_string()) {
            wrong(keyword, "a text");
        }
    }
    for keyword in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"] {
        // Draft 4 has booleans beside `minimum`.
        if members.get(keyword).is_some_and(|value| !value.is_number()) {
            wrong(keyword, "a number");
        }
    }
    for keyword in ["minLength", "maxLength", "minItems", "maxItems", "minProperties"] {
        if members.get(keyword).is_some_and(|value| value.as_f64().is_none_or(|it| it < 0.0)) {
            wrong(keyword, "a number from 0 on");
        }
    }
    if members.get("enum").is_some_and(|values| values.as_array().is_none_or(Vec::is_empty)) {
        wrong("enum", "a list with a value");
    }
    required(at, members, found);
    if let Some(reference) = members.get("$ref").and_then(Value::as_str)
        && let Some(pointer) = reference.strip_prefix('#')
        && (pointer.is_empty() || pointer.starts_with('/'))
        && whole.pointer(pointer).is_none()
    {
        found.push(format!("`{at}` refers to `{}`, which is not there", visible(reference)));
    }
    for keyword in ["properties", "$defs", "definitions", "patternProperties"] {
        match members.get(keyword) {
            None => {}
            Some(Value::Object(inner)) => {
                for (name, schema) in inner {
                    let at = format!("{at}.{}", visible(name));
                    look(whole, &at, schema, depth + 1, found);
                }
            }
            Some(_) => found.push(format!("`{keyword}` of `{at}` is not an object of schemas")),
        }
    }
    for keyword in ["items", "additionalProperties", "not", "contains", "propertyNames"] {
        match members.get(keyword) {
            // A list of schemas, up to draft 2019-09.
            None | Some(Value::Array(_)) => {}
            Some(schema) => look(whole, &format!("{at}.{keyword}"), schema, depth + 1, found),
        }
    }
    for keyword in ["anyOf", "oneOf", "allOf", "prefixItems"] {
        match members.get(keyword) {
            None => {}
            Some(Value::Array(schemas)) if !schemas.is_empty() => {
                for (number, schema) in schemas.iter().enumerate() {
                    look(whole, &format!("{at}.{keyword}[{number}]"), schema, depth + 1, found);
                }
            }
            Some(_) => found.push(format!("`{keyword}` of `{at}` is not a list of schemas")),
        }
    }
}

fn required(at: &str, members: &serde_json::Map<String, Value>, found: &mut Vec<String>) {
    let Some(required) = members.get("required") else { return };
    let names = required.as_array().map(|names| names.iter().map(Value::as_str));
    let names: Option<Vec<&str>> = names.and_then(Iterator::collect);
    let Some(names) = names else {
        return found.push(format!("`required` of `{at}` is not a list of names"));
    };
    let described = members.get("properties").and_then(Value::as_object);
    // What others describe beside it may be described there.
    let elsewhere = ["allOf", "anyOf", "oneOf", "$ref", "patternProperties"];
    if elsewhere.iter().any(|keyword| members.contains_key(*keyword)) {
        return;
    }
    for name in names {
        if described.is_none_or(|described| !described.contains_key(name)) {
            found.push(format!("`{at}` requires `{}`, and does not describe it", visible(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_are_named_with_their_place() {
        for (schema, expected) in [
            (json!({"type": "object"}), None),
            (json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}), None),
            (
                json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}},
                "$defs": {"A": {"enum": [1]}}, "required": ["a"]}),
                None,
            ),
            (json!({"type": "array"}), Some("`inputSchema` is of type `array`, expected `object`")),
            (json!({}), Some("`inputSchema` has no `type`, expected `object`")),
            (json!([]), Some("`inputSchema` is no JSON Schema, expected an object")),
            (
                json!({"type": "object", "properties": []}),
                Some("`properties` of `inputSchema` is not an object of schemas"),
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "str"}}}),
                Some("`type` of `inputSchema.a` is not a type of JSON Schema, or a list of them"),
            ),
            (
                json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/B"}}}),
                Some("`inputSchema.a` refers to `#/$defs/B`, which is not there"),
            ),
            (
                json!({"type": "object", "required": "a"}),
                Some("`required` of `inputSchema` is not a list of names"),
            ),
            (
                json!({"type": "object", "properties": {"a": {"items": {"minimum": "1"}}}}),
                Some("`minimum` of `inputSchema.a.items` is not a number"),
            ),
        ] {
            let found = faults(&json!({"name": "t", "inputSchema": schema}));
            assert_eq!(found.first().map(String::as_str), expected, "{schema}");
        }
        assert_eq!(faults(&json!({"name": "t"})), ["it has no `inputSchema`"]);
    }

    /// A server can nest and repeat as it likes.
    #[test]
    fn the_work_has_a_bound() {
        let mut deep = json!({"type": "x"});
        for _ in 0..100 {
            deep = json!({"type": "object", "properties": {"a": deep}});
        }
        assert!(faults(&json!({"inputSchema": deep})).is_empty());
        let many: serde_json::Map<_, _> =
            (0..1_000).map(|n| (n.to_string(), json!({"type": 1}))).collect();
        let wide = json!({"inputSchema": {"type": "object", "properties": many}});
        assert_eq!(faults(&wide).len(), MOST_FAULTS);
    }
}
