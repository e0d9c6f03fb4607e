//! Arguments: read once, and explained to the model when they do not fit.

use mcp_types::{DecodeError, Members, RawText};
use serde::de::DeserializeOwned;

use crate::ToolError;
use crate::nearest::nearest;

/// Longest part of a wrong value that an explanation repeats.
const EXCERPT: usize = 120;

/// The empty object, for calls without arguments.
pub(crate) fn none() -> RawText {
    RawText::of(&Members::new())
        .unwrap_or_else(|_| mcp_types::JsonSchema::empty_object().text().clone())
}

/// What can be an argument: what serde can read and schemars can describe.
///
/// Generated code demands it before it derives anything, so that the first error about a type that
/// cannot be one says what to do.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a tool",
    label = "a model cannot send this",
    note = "mark your type with `#[mcp_server::data]`, or derive `serde::Deserialize` and `schemars::JsonSchema`",
    note = "what does not come from the model is taken from the exchange: mark the parameter with `#[from_context]`"
)]
pub trait Argument: DeserializeOwned + schemars::JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + schemars::JsonSchema> Argument for T {}

/// Compiles for what can be an argument.
#[doc(hidden)]
pub const fn demand<T: Argument>() {}

/// What can be a member of data that tools take and return, as [`Argument`] is demanded.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a member of data",
    label = "tools can neither take nor return this",
    note = "mark your type with `#[mcp_server::data]`, or derive `serde::Serialize`, `serde::Deserialize` and `schemars::JsonSchema`"
)]
pub trait Member: serde::Serialize + DeserializeOwned + schemars::JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: serde::Serialize + DeserializeOwned + schemars::JsonSchema> Member for T {}

/// Compiles for what can be a member of data.
#[doc(hidden)]
pub const fn member<T: Member>() {}

/// Reads the arguments of a tool whose parameters have these names.
///
/// What does not fit is a result of the tool, because the model can do better with its next call
/// (specification, "Tools", error handling).
#[doc(hidden)]
pub fn read<A: DeserializeOwned>(
    arguments: Option<RawText>,
    parameters: &[&str],
) -> Result<A, ToolError> {
    let arguments = arguments.unwrap_or_else(none);
    arguments.parse().map_err(|error| ToolError::new(explain(&arguments, parameters, &error)))
}

#[cold]
fn explain(arguments: &RawText, parameters: &[&str], error: &DecodeError) -> String {
    let given: Members = arguments.parse().unwrap_or_default();
    if let Some((unknown, _)) = given.iter().find(|(name, _)| !parameters.contains(name)) {
        return unknown_argument(unknown, parameters);
    }
    if let Some(name) = between(&error.message, "missing field `", "`") {
        return match error.path.as_str() {
            "" => format!("the argument `{name}` is missing"),
            path => format!("the member `{name}` of the argument `{path}` is missing"),
        };
    }
    let message = plain(&error.message);
    match error.path.as_str() {
        "" => format!("the arguments do not fit: {message}"),
        path => format!("the argument `{path}` does not fit: {message}"),
    }
}

fn unknown_argument(unknown: &str, parameters: &[&str]) -> String {
    let unknown_shown = excerpt(unknown);
    if let Some(near) = nearest(unknown, parameters.iter().copied()) {
        return format!("there is no argument `{unknown_shown}`, did you mean `{near}`?");
    }
    if parameters.is_empty() {
        return format!("there is no argument `{unknown_shown}`, the tool takes none");
    }
    let all: Vec<_> = parameters.iter().map(|name| format!("`{name}`")).collect();
    format!("there is no argument `{unknown_shown}`, the arguments are {}", all.join(", "))
}

/// Says in words of JSON what serde says in words of Rust.
fn plain(message: &str) -> String {
    let Some((found, expected)) = message.split_once(", expected ") else {
        return excerpt(message);
    };
    let kind = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
    let found = match kind {
        "map" => "an object",
        "sequence" => "a list",
        "unit value" => "null",
        other => other,
    };
    let found = found.replace("floating point", "number");
    format!("expected {}, got {}", expected_in_json(expected), excerpt(&found))
}

fn expected_in_json(expected: &str) -> String {
    let name = match expected {
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "u64" | "usize" | "u128" => "an integer that is not negative",
        "i8" => "an integer from -128 to 127",
        "i16" => "an integer from -32768 to 32767",
        "i32" => "an integer from -2147483648 to 2147483647",
        "i64" | "isize" | "i128" => "an integer",
        "f32" | "f64" => "a number",
        "a map" => "an object",
        "a sequence" => "a list",
        "a character" => "a string of one character",
        "unit" => "null",
        other if other.starts_with("struct ") => "an object",
        other if other.starts_with("tuple ") || other.starts_with("a tuple") => "a list",
        other => other,
    };
    excerpt(name)
}

/// A wrong value can be long, and comes from outside.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Arguments {
        query: String,
        limit: Option<u8>,
        filter: Option<Filter>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Filter {
        tags: Vec<String>,
    }

    fn refusal(arguments: &str) -> String {
        let arguments = RawText::new(arguments).unwrap();
        let error = arguments.parse::<Arguments>().unwrap_err();
        explain(&arguments, &["query", "limit", "filter"], &error)
    }

    #[test]
    fn wrong_arguments_are_explained() {
        for (arguments, reason) in [
            ("{}", "the argument `query` is missing"),
            (r#"{"qurey":"x"}"#, "there is no argument `qurey`, did you mean `query`?"),
            (r#"{"Query":"x"}"#, "there is no argument `Query`, did you mean `query`?"),
            (
                r#"{"query":"x","colour":1}"#,
                "there is no argument `colour`, the arguments are `query`, `limit`, `filter`",
            ),
            (
                r#"{"query":5}"#,
                "the argument `query` does not fit: expected a string, got integer `5`",
            ),
            (
                r#"{"query":"x","limit":"ten"}"#,
                "the argument `limit` does not fit: expected an integer from 0 to 255, got string \"ten\"",
            ),
            (
                r#"{"query":"x","limit":1.5}"#,
                "the argument `limit` does not fit: expected an integer from 0 to 255, got number `1.5`",
            ),
            (
                r#"{"query":"x","limit":300}"#,
                "the argument `limit` does not fit: expected an integer from 0 to 255, got integer `300`",
            ),
            (
                r#"{"query":"x","filter":{"tags":["a",{}]}}"#,
                "the argument `filter.tags[1]` does not fit: expected a string, got an object",
            ),
            (
                r#"{"query":"x","filter":{}}"#,
                "the member `tags` of the argument `filter` is missing",
            ),
            (
                r#"{"query":"x","query":"y"}"#,
                "the argument `query` does not fit: duplicate field `query`",
            ),
        ] {
            assert_eq!(refusal(arguments), reason, "{arguments}");
        }
    }
}
