//! Arguments of a call as they are typed: `key=value` pairs, read by the tool's own schema.

use etdi::core::change::visible;
use serde_json::{Map, Value};

use crate::exit::Failure;

/// Reads `key=value` pairs; `next` is what to try where they are wrong.
///
/// A value is read as the type that `schema` gives the property: a string as it stands, anything
/// else as JSON. Where the schema gives no type, a value that is JSON is taken as such, and any
/// other as a string.
///
/// # Errors
///
/// When a pair has no `=`, a property is not in the schema (the nearest is suggested), is named
/// twice, or has a value of another type.
pub fn from_pairs(
    pairs: &[String],
    schema: &Value,
    tool: &str,
    next: &str,
) -> Result<Value, Failure> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut arguments = Map::new();
    for pair in pairs {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(Failure::usage(
                format!("`{pair}` is no argument, write `key=value`"),
                next,
            ));
        };
        let property = properties.and_then(|properties| properties.get(key));
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        if property.is_none() && closed {
            let names = || properties.into_iter().flatten().map(|(name, _)| name.as_str());
            let hint = match nearest(key, names()) {
                Some(name) => format!(", did you mean `{name}`?"),
                None => all(names()),
            };
            return Err(Failure::usage(format!("`{tool}` takes no argument `{key}`{hint}"), next));
        }
        let value = read(text, property).ok_or_else(|| {
            Failure::usage(
                format!("`{key}` of `{tool}` must be {}, `{text}` is not", expected(property)),
                next,
            )
        })?;
        if arguments.insert(key.to_owned(), value).is_some() {
            return Err(Failure::usage(
                format!("argument `{key}` is given twice, leave one out"),
                next,
            ));
        }
    }
    Ok(Value::Object(arguments))
}

/// What there is instead.
fn all<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.map(|name| format!("`{}`", visible(name))).collect();
    names.sort();
    match names.is_empty() {
        true => ", it takes none".to_owned(),
        false => format!(", it takes {}", names.join(", ")),
    }
}

fn types(property: Option<&Value>) -> Vec<&str> {
    match property.and_then(|property| property.get("type")) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn expected(property: Option<&Value>) -> String {
    types(property).join(" or ")
}

fn read(text: &str, property: Option<&Value>) -> Option<Value> {
    let types = types(property);
    let parsed = serde_json::from_str::<Value>(text).ok();
    if types.is_empty() {
        return Some(parsed.unwrap_or_else(|| text.into()));
    }
    let fits = |value: &Value| {
        types.iter().any(|name| match *name {
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "object" => value.is_object(),
            "array" => value.is_array(),
            "null" => value.is_null(),
            _ => false,
        })
    };
    match parsed.filter(fits) {
        Some(value) => Some(value),
        None => types.contains(&"string").then(|| text.into()),
    }
}

/// The name that is nearest to what was typed, if any is near.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::jaro_winkler(typed, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_all(pairs: &[&str]) -> Result<Value, String> {
        let schema = json!({"type": "object", "additionalProperties": false, "properties": {
            "text": {"type": "string"}, "count": {"type": "integer"}, "all": {"type": "boolean"},
            "tags": {"type": "array"}, "either": {"type": ["integer", "string"]}, "free": {},
        }});
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        from_pairs(&pairs, &schema, "search", "etdi list").map_err(|failure| failure.message)
    }

    #[test]
    fn the_schema_says_what_a_value_is() {
        let read = read_all(&["text=7", "count=7", "all=true", "tags=[1]", "either=x", "free=a=b"]);
        let expected = json!({
            "text": "7", "count": 7, "all": true, "tags": [1], "either": "x", "free": "a=b",
        });
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (pair, message) in [
            ("text", "`text` is no argument, write `key=value`"),
            ("count=many", "`count` of `search` must be integer, `many` is not"),
            ("coutn=1", "`search` takes no argument `coutn`, did you mean `count`?"),
            (
                "zzz=1",
                "`search` takes no argument `zzz`, it takes `all`, `count`, `either`, `free`, `tags`, `text`",
            ),
        ] {
            assert_eq!(read_all(&[pair]).unwrap_err(), message);
        }
        assert_eq!(
            read_all(&["count=1", "count=2"]).unwrap_err(),
            "argument `count` is given twice, leave one out"
        );
    }
}
