//! Arguments that a tool wants repeated in HTTP headers: `x-mcp-header` in its input schema.
//!
//! See the specification (2026-07-28), "Custom headers from tool parameters". What stands between
//! client and server may decide by the headers, so a call whose headers say something else than its
//! arguments is refused before the tool sees it.

use std::fmt;

use mcp_types::{ErrorObject, MirroredParams, RawText};
use serde_json::{Map, Value};

/// The repeated arguments of one tool; none for most.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mirrored(Box<[Param]>);

#[derive(Debug, PartialEq, Eq)]
struct Param {
    /// The names of members that lead to the argument.
    path: Vec<String>,
    /// What stands after `Mcp-Param-`.
    header: String,
}

impl Mirrored {
    /// Reads the annotations of an input schema.
    ///
    /// # Errors
    ///
    /// When one of them breaks a rule of the specification: a client would not use the tool.
    pub(crate) fn of(schema: &RawText) -> Result<Self, BadAnnotation> {
        let text = schema.get();
        // A member's name may be written with escapes; nobody does, but then all is read.
        if !text.contains(ANNOTATION) && !text.contains("\\u") {
            return Ok(Self::default());
        }
        let mut found = Vec::new();
        match serde_json::from_str(text) {
            Ok(Value::Object(schema)) => walk(&schema, Some(&[]), &mut found)?,
            // What is no schema has no annotations; others refuse it.
            _ => return Ok(Self::default()),
        }
        for (at, param) in found.iter().enumerate() {
            let mut before = found.iter().take(at);
            if before.any(|known| known.header.eq_ignore_ascii_case(&param.header)) {
                return Err(BadAnnotation::new(&param.header, "stands twice"));
            }
        }
        Ok(Self(found.into()))
    }

    /// Holds the headers of a call against its arguments.
    pub(crate) fn check(
        &self,
        headers: Option<&MirroredParams>,
        arguments: Option<&RawText>,
    ) -> Result<(), ErrorObject> {
        let (false, Some(headers)) = (self.0.is_empty(), headers) else { return Ok(()) };
        self.0.iter().try_for_each(|Param { path, header }| headers.check(header, path, arguments))
    }
}

const ANNOTATION: &str = "x-mcp-header";

/// Collects the annotations of a schema; `path` leads to it by `properties` alone, if it does.
fn walk(
    schema: &Map<String, Value>,
    path: Option<&[String]>,
    found: &mut Vec<Param>,
) -> Result<(), BadAnnotation> {
    if let Some(header) = schema.get(ANNOTATION) {
        let header = header.as_str().unwrap_or_default();
        found.push(Param { path: judge(header, schema, path)?, header: header.to_owned() });
    }
    for (key, value) in schema {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, inner) in properties {
                    let Value::Object(inner) = inner else { continue };
                    let mut deeper = path.map(<[String]>::to_vec);
                    deeper.iter_mut().for_each(|path| path.push(name.clone()));
                    walk(inner, deeper.as_deref(), found)?;
                }
            }
            // Values, in which the word means nothing.
            ("const" | "default" | "enum" | "examples", _) => {}
            ("$defs" | "definitions" | "dependentSchemas" | "patternProperties", inner) => {
                for inner in inner.as_object().into_iter().flat_map(Map::values) {
                    walk_value(inner, found)?;
                }
            }
            (_, inner) => walk_value(inner, found)?,
        }
    }
    Ok(())
}

/// Looks for annotations where none may be.
fn walk_value(value: &Value, found: &mut Vec<Param>) -> Result<(), BadAnnotation> {
    match value {
        Value::Object(schema) => walk(schema, None, found),
        Value::Array(values) => values.iter().try_for_each(|value| walk_value(value, found)),
        _ => Ok(()),
    }
}

/// The path of an annotation that keeps the rules.
fn judge(
    header: &str,
    schema: &Map<String, Value>,
    path: Option<&[String]>,
) -> Result<Vec<String>, BadAnnotation> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if header.is_empty() || !header.bytes().all(token) {
        return Err(BadAnnotation::new(header, "is no name of a header: use letters and `-`"));
    }
    let kind = schema.get("type").and_then(Value::as_str);
    if !matches!(kind, Some("string" | "integer" | "boolean")) {
        return Err(BadAnnotation::new(header, "stands at what is no string, integer or boolean"));
    }
    match path {
        Some(path) if !path.is_empty() => Ok(path.to_vec()),
        _ => Err(BadAnnotation::new(header, "stands where `properties` alone do not lead")),
    }
}

/// An annotation that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadAnnotation {
    header: String,
    reason: &'static str,
}

impl BadAnnotation {
    fn new(header: &str, reason: &'static str) -> Self {
        Self { header: header.to_owned(), reason }
    }
}

impl fmt::Display for BadAnnotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{ANNOTATION}` `{}` {}", self.header.escape_debug(), self.reason)
    }
}

impl std::error::Error for BadAnnotation {}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_types::Unreadable;

    fn of(properties: &str) -> Result<Mirrored, BadAnnotation> {
        let text = format!(r#"{{"type":"object","properties":{{{properties}}}}}"#);
        Mirrored::of(&RawText::new(text).unwrap())
    }

    #[test]
    fn annotations_are_held_to_the_rules() {
        for good in [
            r#""a":{"type":"string","x-mcp-header":"Region"}"#,
            r#""a":{"type":"object","properties":{"b":{"type":"integer","x-mcp-header":"B"}}}"#,
            r#""a":{"type":"boolean","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"B"}"#,
            r#""x-mcp-header":{"type":"number"}"#,
            r#""a":{"default":{"x-mcp-header":""},"enum":[{"x-mcp-header":7}]}"#,
        ] {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in [
            r#""a":{"type":"string","x-mcp-header":""}"#,
            r#""a":{"type":"string","x-mcp-header":7}"#,
            r#""a":{"type":"string","x-mcp-header":"a b"}"#,
            r#""a":{"type":"string","x-mcp-header":"a:b"}"#,
            r#""a":{"type":"string","x-mcp-header":"\u00e9"}"#,
            r#""a":{"type":"number","x-mcp-header":"A"}"#,
            r#""a":{"type":"object","x-mcp-header":"A"}"#,
            r#""a":{"type":["string","null"],"x-mcp-header":"A"}"#,
            r#""a":{"x-mcp-header":"A"}"#,
            r#""a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}"#,
            r#""a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#,
            r#""a":{"oneOf":[{"type":"string","x-mcp-header":"A"}]}"#,
            r#""a":{"not":{"properties":{"b":{"type":"string","x-mcp-header":"A"}}}}"#,
            r#""a":{"type":"array","items":{"type":"string","x-mcp-\u0068eader":"A"}}"#,
            r#""a":{"$defs":{"d":{"type":"string","x-mcp-header":"A"}}}"#,
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_says_what_the_argument_says() {
        let mirrored = of(r#""s":{"type":"string","x-mcp-header":"S"},"o":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},"b":{"type":"boolean","x-mcp-header":"B"}"#).unwrap();
        let check = |headers: &[(&'static str, Option<&'static str>)], arguments: &str| {
            let mut said = MirroredParams::new();
            for (name, value) in headers {
                said.push((*name).into(), value.map(Into::into).ok_or(Unreadable));
            }
            let arguments = RawText::new(arguments).unwrap();
            mirrored.check(Some(&said), Some(&arguments)).map_err(|error| error.code)
        };
        let all = r#"{"s":"a","o":{"n":42},"b":true}"#;
        let right = [("s", Some("a")), ("N", Some("42")), ("b", Some("true"))];
        assert_eq!(check(&right, all), Ok(()));
        assert_eq!(check(&[], "{}"), Ok(()));
        assert_eq!(check(&[], r#"{"s":null,"o":{}}"#), Ok(()));
        assert_eq!(check(&[("Other", Some("x"))], "{}"), Ok(()));
        for (header, arguments) in [
            (("S", Some("")), r#"{"s":""}"#),
            (("S", Some("\u{4e16}")), r#"{"s":"\u4e16"}"#),
            (("N", Some("42.0")), r#"{"o":{"n":42}}"#),
            (("N", Some("42")), r#"{"o":{"n":4.2e1}}"#),
            (("N", Some("9007199254740993")), r#"{"o":{"n":9007199254740993}}"#),
        ] {
            assert_eq!(check(&[header], arguments), Ok(()), "{header:?} {arguments}");
        }
        for (headers, arguments) in [
            (&[][..], r#"{"s":"a"}"#),
            (&[("S", Some("b"))], r#"{"s":"a"}"#),
            (&[("S", Some("A"))], r#"{"s":"a"}"#),
            (&[("S", Some(" a"))], r#"{"s":"a"}"#),
            (&[("S", None)], r#"{"s":"a"}"#),
            (&[("S", None)], "{}"),
            (&[("S", Some("a"))], "{}"),
            (&[("S", Some("null"))], r#"{"s":null}"#),
            (&[("N", Some("43"))], r#"{"o":{"n":42}}"#),
            (&[("N", Some("+42"))], r#"{"o":{"n":42}}"#),
            (&[("N", Some("9007199254740992"))], r#"{"o":{"n":9007199254740993}}"#),
            (&[("B", Some("True"))], r#"{"b":true}"#),
            (&[("B", Some("1"))], r#"{"b":true}"#),
            (&[("S", Some("[1]"))], r#"{"s":[1]}"#),
        ] {
            assert_eq!(check(headers, arguments), Err(-32020), "{headers:?} {arguments}");
        }
        let arguments = RawText::new(all).unwrap();
        assert_eq!(mirrored.check(None, Some(&arguments)), Ok(()), "there were no headers at all");
    }
}
