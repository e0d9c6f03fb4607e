//! Arguments of a call as they are typed: `key=value` pairs, read by the tool's own schema.

use std::io::Read as _;

use etdi::core::change::visible;
use serde_json::{Map, Value};

use crate::exit::Failure;

/// Reads `key=value` pairs; `next` is what to try where they are wrong.
///
/// A value is read as the type that `schema` gives the property: a string as it stands, anything
/// else as JSON. Where the schema gives no type, a value that is JSON is taken as such, and any
/// other as a string. `key=@FILE` takes the value from a file, `key=@-` from standard input,
/// `key:=JSON` takes it as JSON whatever the schema says. A list may be given a value at a time.
///
/// # Errors
///
/// When a pair has no `=`, a property is not in the schema (the nearest is suggested), is named
/// twice and is no list, has a value of another type, or is required and not given.
pub fn from_pairs(
    pairs: &[String],
    schema: &Value,
    tool: &str,
    next: &str,
) -> Result<Value, Failure> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let names = || properties.into_iter().flatten().map(|(name, _)| name.as_str());
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let required = || schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let required = || required().filter_map(Value::as_str);
    let wrong = |message: String| Failure::usage(message, next);
    let mut arguments = Map::new();
    let mut unknown = None;
    for pair in pairs {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(wrong(format!("`{pair}` is no argument, write `key=value`")));
        };
        let (key, text, json) = match key.strip_suffix(':') {
            Some(key) => (key, text.to_owned(), true),
            None => (key, from_file(text, next)?.unwrap_or_else(|| text.to_owned()), false),
        };
        let property = properties.and_then(|properties| properties.get(key));
        let property = property.map(|property| followed(schema, property));
        if property.is_none() {
            if closed {
                let hint = match nearest(key, names()) {
                    Some(name) => format!(", did you mean `{}`?", visible(name)),
                    None => all(names()),
                };
                return Err(wrong(format!("`{tool}` takes no argument `{key}`{hint}")));
            }
            unknown = unknown.or(Some(key));
        }
        let unfit = || {
            let expected = expected(property);
            wrong(format!("`{key}` of `{tool}` must be {expected}, `{}` is not", visible(&text)))
        };
        let several = property.is_some_and(|property| types(Some(property)) == ["array"]);
        let value = match serde_json::from_str(&text).ok().filter(|_| json) {
            Some(value) => value,
            None if json => {
                return Err(wrong(format!("`{}` of `{key}` is no JSON", visible(&text))));
            }
            None => match read(&text, property) {
                Some(value) => value,
                None if several => {
                    let items = property.and_then(|property| property.get("items"));
                    let items = items.map(|items| followed(schema, items));
                    Value::Array(vec![read(&text, items).ok_or_else(unfit)?])
                }
                None => return Err(unfit()),
            },
        };
        match (arguments.get_mut(key), value) {
            (None, value) => _ = arguments.insert(key.to_owned(), value),
            (Some(Value::Array(there)), Value::Array(more)) if several => there.extend(more),
            _ => return Err(wrong(format!("argument `{key}` is given twice, leave one out"))),
        }
    }
    let missing: Vec<&str> = required().filter(|name| !arguments.contains_key(*name)).collect();
    if let Some(first) = missing.first() {
        let meant = unknown.and_then(|key| Some((key, nearest(key, missing.iter().copied())?)));
        let hint = match meant {
            Some((key, name)) => format!(": did you mean `{}` by `{key}`?", visible(name)),
            None => format!(": write `{}=…`", visible(first)),
        };
        let list: Vec<_> = missing.iter().map(|name| format!("`{}`", visible(name))).collect();
        return Err(wrong(format!("`{tool}` needs {}{hint}", list.join(", "))));
    }
    Ok(Value::Object(arguments))
}

/// The most bytes of an argument from a file.
const MAX_FILE: u64 = 64 << 20;

/// A text as it was typed, or from where `@FILE` or `@-` leads.
///
/// # Errors
///
/// When the file cannot be read.
pub fn text_of(text: &str, next: &str) -> Result<String, Failure> {
    Ok(from_file(text, next)?.unwrap_or_else(|| text.to_owned()))
}

/// The text that `@FILE` or `@-` stands for; `None` for a value that stands for itself.
fn from_file(text: &str, next: &str) -> Result<Option<String>, Failure> {
    let Some(path) = text.strip_prefix('@') else { return Ok(None) };
    let mut read = String::new();
    let done = match path {
        "-" => std::io::stdin().take(MAX_FILE).read_to_string(&mut read),
        path => {
            std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut read))
        }
    };
    done.map_err(|error| {
        let path = visible(path);
        let message =
            format!("cannot read `{path}`: {error}; a text that begins so is `key:='\"@…\"'`");
        Failure::usage(message, next)
    })?;
    Ok(Some(read))
}

/// The schema that a reference within `whole` leads to, or what is not `null` of two.
fn followed<'s>(whole: &'s Value, schema: &'s Value) -> &'s Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    if let Some(found) = reference.and_then(|to| whole.pointer(to.strip_prefix('#')?)) {
        return found;
    }
    let either = ["anyOf", "oneOf"].iter().find_map(|name| schema.get(*name)?.as_array());
    let Some(either) = either else { return schema };
    let mut others = either.iter().filter(|one| one.get("type").is_none_or(|kind| kind != "null"));
    match (others.next(), others.next()) {
        (Some(only), None) if either.len() > 1 => only,
        _ => schema,
    }
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
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "named": {"$ref": "#/$defs/N"},
            "words": {"type": "array", "items": {"type": "string"}},
        }, "$defs": {"N": {"type": "string"}}});
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
    fn a_value_can_come_from_elsewhere_or_a_piece_at_a_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from a file").unwrap();
        let from = format!("text=@{}", file.path().display());
        let read = read_all(&[&from, "words=1", "words=b", "maybe=7", "named=8", r#"free:="@x""#]);
        let expected = json!({
            "text": "from a file", "words": ["1", "b"], "maybe": "7", "named": "8", "free": "@x",
        });
        assert_eq!(read.unwrap(), expected);
        let read = read_all(&[r#"words=["a","b"]"#, "words=c", "count:=3"]);
        assert_eq!(read.unwrap(), json!({"words": ["a", "b", "c"], "count": 3}));
        assert!(read_all(&["text=@/nowhere"]).unwrap_err().starts_with("cannot read `/nowhere`"));
        assert!(read_all(&["text:=x"]).unwrap_err().contains("is no JSON"));
    }

    #[test]
    fn what_is_required_is_asked_for() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}},
            "required": ["city"]});
        let read = |pairs: &[&str]| {
            let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            from_pairs(&pairs, &schema, "weather", "etdi list").map_err(|failure| failure.message)
        };
        assert_eq!(read(&[]).unwrap_err(), "`weather` needs `city`: write `city=…`");
        assert_eq!(
            read(&["ctiy=Oslo"]).unwrap_err(),
            "`weather` needs `city`: did you mean `city` by `ctiy`?"
        );
        assert!(read(&["city=Oslo", "more=1"]).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (pair, message) in [
            ("text", "`text` is no argument, write `key=value`"),
            ("count=many", "`count` of `search` must be integer, `many` is not"),
            ("coutn=1", "`search` takes no argument `coutn`, did you mean `count`?"),
            (
                "zzz=1",
                "`search` takes no argument `zzz`, it takes `all`, `count`, `either`, `free`, `maybe`, `named`, `tags`, `text`, `words`",
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
