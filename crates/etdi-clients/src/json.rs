//! JSON with comments and trailing commas, edited by the places of its values.

use jsonc_parser::ast::{self, ObjectPropName};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::format::{Broken, EditError, indent_at, line_end, line_start, once, spliced};
use crate::tree::{Kind, Member, Node, Value, line_of};

/// What VS Code, Zed and others read as JSON: comments and trailing commas, nothing looser.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(crate) fn parse(text: &str) -> Result<Node, Broken> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS).map_err(|error| {
        let what = error.kind().to_string();
        let mut letters = what.chars();
        let first = letters.next().map(|first| first.to_ascii_lowercase());
        Broken {
            line: line_of(text, error.range().start),
            what: first.into_iter().chain(letters).collect(),
        }
    })?;
    let end = text.len();
    Ok(parsed.value.as_ref().map_or(Node { span: end..end, kind: Kind::Map(Vec::new()) }, node))
}

/// Whether a text is JSON without comments and trailing commas.
pub(crate) fn is_plain(text: &str) -> bool {
    text.trim().is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn node(value: &ast::Value<'_>) -> Node {
    let range = value.range();
    let kind = match value {
        ast::Value::StringLit(text) => Kind::Scalar(Value::text(text.value.as_ref())),
        ast::Value::NumberLit(number) => Kind::Scalar(Value::Number(number.value.to_owned())),
        ast::Value::BooleanLit(is) => Kind::Scalar(Value::Bool(is.value)),
        ast::Value::NullKeyword(_) => Kind::Scalar(Value::Null),
        ast::Value::Array(list) => Kind::List(list.elements.iter().map(node).collect()),
        ast::Value::Object(map) => Kind::Map(
            map.properties
                .iter()
                .map(|one| {
                    let name_range = match &one.name {
                        ObjectPropName::String(text) => text.range,
                        ObjectPropName::Word(word) => word.range,
                    };
                    Member {
                        name: one.name.as_str().to_owned(),
                        name_span: name_range.start..name_range.end,
                        node: node(&one.value),
                    }
                })
                .collect(),
        ),
    };
    Node { span: range.start..range.end, kind }
}

pub(crate) fn set(
    text: &str,
    root: &Node,
    path: &[String],
    value: &Value,
) -> Result<String, EditError> {
    let style = Style::of(text, root);
    if text.get(root.span.clone()).unwrap_or_default().is_empty() {
        // Nothing but comments, if anything.
        let mut whole = Value::Map(Vec::new());
        whole.set(path, value.clone());
        let before = match text.is_empty() || text.ends_with('\n') {
            true => "",
            false => style.line_end,
        };
        let written = style.written(&whole, "");
        return Ok(format!("{text}{before}{written}{}", style.line_end));
    }
    let mut holder = root;
    let mut name_of_holder = "the file";
    for (depth, name) in path.iter().enumerate() {
        if !matches!(holder.kind, Kind::Map(_)) {
            let line = line_of(text, holder.span.start);
            return Err(EditError::NotAMap { name: name_of_holder.to_owned(), line });
        }
        once(text, holder, name)?;
        let rest = path.get(depth + 1..).unwrap_or_default();
        match holder.member(name) {
            Some(member) if rest.is_empty() => {
                let indent = indent_at(text, member.name_span.start);
                let written = style.written(value, indent);
                return Ok(spliced(text, member.node.span.clone(), &written));
            }
            Some(member) => (holder, name_of_holder) = (&member.node, name),
            None => {
                let mut whole = Value::Map(Vec::new());
                whole.set(rest, value.clone());
                return Ok(style.added(text, holder, name, &whole));
            }
        }
    }
    Ok(text.to_owned())
}

pub(crate) fn remove(text: &str, root: &Node, path: &[String]) -> Result<String, EditError> {
    let Some((name, way)) = path.split_last() else { return Ok(text.to_owned()) };
    let holder = match way.is_empty() {
        true => Some(root),
        false => root.at(way).map(|member| &member.node),
    };
    let Some(holder) = holder else { return Ok(text.to_owned()) };
    once(text, holder, name)?;
    let members = holder.members();
    let Some(at) = members.iter().position(|member| member.name == *name) else {
        return Ok(text.to_owned());
    };
    let Some(member) = members.get(at) else { return Ok(text.to_owned()) };
    let (start, end) = (member.name_span.start, member.node.span.end);
    let before = at.checked_sub(1).and_then(|at| members.get(at));
    let less = match comma_after(text, end, holder.span.end) {
        Some(comma) if text.get(end..comma).is_some_and(|between| between.trim().is_empty()) => {
            let gone = with_its_space(text, start, comma + 1);
            spliced(text, gone, "")
        }
        // A comment stands before the comma; it is not the member's to take along.
        Some(comma) => spliced(&spliced(text, comma..comma + 1, ""), start..end, ""),
        None => {
            let less = spliced(text, with_space_before(text, start, end), "");
            let comma = before.and_then(|one| comma_after(text, one.node.span.end, start));
            comma.map_or(less.clone(), |comma| spliced(&less, comma..comma + 1, ""))
        }
    };
    Ok(collapsed(less, holder.span.start))
}

/// A member with its comma, and the white space that would be left for nothing: the whole line where
/// it stands alone.
fn with_its_space(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let line = line_start(text, start);
    let alone = text.get(line..start).is_some_and(|before| before.trim().is_empty());
    let after = text.get(end..).unwrap_or_default();
    let blank = after.len() - after.trim_start_matches([' ', '\t', '\r']).len();
    let ends_line = after.get(blank..).is_some_and(|rest| rest.starts_with('\n'));
    match (alone, ends_line) {
        (true, true) => line..end + blank + 1,
        (false, true) => {
            let kept = text.get(..start).unwrap_or_default().trim_end_matches([' ', '\t']);
            kept.len()..end
        }
        (_, false) => {
            let spaces = after.len() - after.trim_start_matches([' ', '\t']).len();
            start..end + spaces
        }
    }
}

/// The last member, with the white space before it; not with the end of a comment's line, where
/// something follows that would fall into the comment.
fn with_space_before(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let after = text.get(end..).unwrap_or_default().trim_start_matches([' ', '\t', '\r']);
    let before = text.get(..start).unwrap_or_default();
    let kept = before.trim_end().len();
    let line = before.get(line_start(text, kept)..kept).unwrap_or_default();
    match after.starts_with('\n') || !line.contains("//") {
        true => kept..end,
        false => before.trim_end_matches([' ', '\t']).len()..end,
    }
}

/// A map in which nothing is left but white space, without it.
fn collapsed(text: String, open: usize) -> String {
    let inside = text.get(open + 1..).unwrap_or_default();
    let rest = inside.trim_start();
    match rest.starts_with('}') {
        true => spliced(&text, open + 1..open + 1 + (inside.len() - rest.len()), ""),
        false => text,
    }
}

/// The comma after a value, if one comes before `limit`; comments on the way are passed over.
fn comma_after(text: &str, from: usize, limit: usize) -> Option<usize> {
    let mut at = from;
    while at < limit {
        let rest = text.get(at..limit)?;
        let skipped = rest.len() - rest.trim_start().len();
        let rest = rest.get(skipped..)?;
        at += skipped;
        at += match rest {
            _ if rest.starts_with(',') => return Some(at),
            _ if rest.starts_with("//") => rest.find('\n')?,
            _ if rest.starts_with("/*") => rest.find("*/")? + 2,
            _ => return None,
        };
    }
    None
}

/// How a file is laid out.
struct Style<'t> {
    unit: &'t str,
    line_end: &'static str,
}

impl<'t> Style<'t> {
    fn of(text: &'t str, root: &Node) -> Self {
        let first = root.members().first().map(|member| member.name_span.start);
        let unit = first.map_or("", |at| match text.get(line_start(text, at)..at) {
            Some(before) if before.trim().is_empty() => before,
            _ => "",
        });
        Self { unit: if unit.is_empty() { "  " } else { unit }, line_end: line_end(text) }
    }

    /// A map with one more member, after all others.
    fn added(&self, text: &str, holder: &Node, name: &str, value: &Value) -> String {
        let (unit, newline) = (self.unit, self.line_end);
        let close = holder.span.end.saturating_sub(1);
        let inside = text.get(..close).unwrap_or_default();
        // Where the last thing inside ends, be it a comment.
        let filled = inside.trim_end().len();
        let key = Value::text(name).to_json();
        let (Some(first), Some(last)) = (holder.members().first(), holder.members().last()) else {
            let outer = indent_at(text, holder.span.start);
            let inner = format!("{outer}{unit}");
            let written = self.written(value, &inner);
            let member = format!("{newline}{inner}{key}: {written}");
            let is_bare = filled == holder.span.start + 1;
            let has_line = text.get(filled..close).is_some_and(|space| space.contains('\n'));
            return match has_line && !is_bare {
                true => spliced(text, filled..filled, &member),
                false => spliced(text, filled..close, &format!("{member}{newline}{outer}")),
            };
        };
        let comma = comma_after(text, last.node.span.end, close);
        let opening = text.get(holder.span.start..first.name_span.start).unwrap_or_default();
        if !opening.contains('\n') {
            let member = format!("{key}: {}", inline(value));
            return match comma {
                Some(comma) => spliced(text, comma + 1..comma + 1, &format!(" {member},")),
                None => {
                    let end = last.node.span.end;
                    spliced(text, end..end, &format!(", {member}"))
                }
            };
        }
        let indent = indent_at(text, first.name_span.start);
        let written = self.written(value, indent);
        let trailing = if comma.is_some() { "," } else { "" };
        let member = format!("{newline}{indent}{key}: {written}{trailing}");
        let more = spliced(text, filled..filled, &member);
        match comma {
            Some(_) => more,
            None => spliced(&more, last.node.span.end..last.node.span.end, ","),
        }
    }

    /// A value as it is laid out in a line with this indent.
    fn written(&self, value: &Value, indent: &str) -> String {
        let inner = format!("{indent}{}", self.unit);
        let (open, close, lines) = match value {
            Value::Map(members) if !members.is_empty() => {
                let member = |(name, value): &(String, Value)| {
                    format!("{}: {}", Value::text(name).to_json(), self.written(value, &inner))
                };
                ('{', '}', members.iter().map(member).collect::<Vec<_>>())
            }
            Value::List(values) if inline(value).len() > 72 => {
                ('[', ']', values.iter().map(|value| self.written(value, &inner)).collect())
            }
            _ => return inline(value),
        };
        let newline = self.line_end;
        let between = format!(",{newline}{inner}");
        format!("{open}{newline}{inner}{}{newline}{indent}{close}", lines.join(&between))
    }
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::List(values) => {
            format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Map(members) if members.is_empty() => "{}".to_owned(),
        Value::Map(members) => {
            let member = |(name, value): &(String, Value)| {
                format!("{}: {}", Value::text(name).to_json(), inline(value))
            };
            format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_json().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::format::{Edit, Format};
    use crate::tree::Value;

    fn path(path: &str) -> Vec<String> {
        path.split('/').map(ToOwned::to_owned).collect()
    }

    fn set(text: &str, at: &str) -> String {
        let value = Value::Map(vec![("command".into(), Value::text("x"))]);
        Format::Json.edit(text, &[Edit::Set(path(at), value)]).unwrap()
    }

    fn remove(text: &str, at: &str) -> String {
        Format::Json.edit(text, &[Edit::Remove(path(at))]).unwrap()
    }

    #[test]
    fn a_member_is_added_in_the_style_of_the_file() {
        let whole = "{\n  \"m\": {\n    \"n\": {\n      \"command\": \"x\"\n    }\n  }\n}\n";
        assert_eq!(set("", "m/n"), whole);
        assert_eq!(set("{}\n", "m/n"), whole);
        assert_eq!(set("// mine\n", "m/n"), format!("// mine\n{whole}"));
        assert_eq!(
            set("{\n\t\"a\": 1 // one\n}", "n"),
            "{\n\t\"a\": 1, // one\n\t\"n\": {\n\t\t\"command\": \"x\"\n\t}\n}"
        );
        assert_eq!(
            set("{\r\n  \"a\": 1,\r\n  // last\r\n}", "n"),
            "{\r\n  \"a\": 1,\r\n  // last\r\n  \"n\": {\r\n    \"command\": \"x\"\r\n  },\r\n}"
        );
        assert_eq!(set("{\"a\":1}", "n"), "{\"a\":1, \"n\": { \"command\": \"x\" }}");
        assert_eq!(set("\u{feff}{ /* c */ }", "n").matches("/* c */").count(), 1);
    }

    #[test]
    fn a_member_is_taken_out_with_its_comma() {
        for (text, less) in [
            ("{\n  \"n\": 1,\n  \"a\": 2\n}", "{\n  \"a\": 2\n}"),
            ("{\n  \"a\": 2, // two\n  \"n\": 1\n}", "{\n  \"a\": 2 // two\n}"),
            ("{\n  \"a\": 2,\n  \"n\": 1,\n}", "{\n  \"a\": 2,\n}"),
            ("{\"a\":2, \"n\": 1}", "{\"a\":2}"),
            ("{\"n\": 1, \"a\":2}", "{\"a\":2}"),
            ("{\n  \"n\": 1\n}", "{}"),
            ("{\n  // why\n  \"n\": 1\n}", "{\n  // why\n}"),
            ("{ \"a\": 2, // two\n  \"n\": 1 }", "{ \"a\": 2 // two\n }"),
            ("{\n  \"n\": 1 /* x */,\n  \"a\": 2\n}", "{\n   /* x */\n  \"a\": 2\n}"),
        ] {
            assert_eq!(remove(text, "n"), less, "{text}");
        }
    }

    #[test]
    fn what_is_set_and_taken_out_leaves_no_trace() {
        for text in [
            "{\n  // servers\n  \"m\": {\n    \"a\": {} // first\n  }, \"z\": [1,2] /* end */\n}\n",
            "{\r\n    \"m\": {\r\n        \"a\": 1,\r\n    },\r\n}\r\n",
            "{\"m\":{\"a\":1}}",
            "\u{feff}{\"m\": {}}",
        ] {
            assert_eq!(remove(&set(text, "m/n"), "m/n"), text, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_edited_safely_is_refused() {
        let fails = |text: &str| {
            Format::Json.edit(text, &[Edit::Set(path("m/n"), Value::Null)]).unwrap_err().to_string()
        };
        assert_eq!(
            fails("{\"m\": [],\n\"m\": {}}"),
            "`m` stands there twice, on lines 1 and 2, take one out first"
        );
        assert_eq!(
            fails("{\n\"m\": []}"),
            "`m` on line 2 is not a table of named members, make it one first"
        );
        assert_eq!(
            fails("{\n\n  \"m\" 1}"),
            "line 3: expected colon after the string or word in object property, mend that first"
        );
        assert!(fails(&"[".repeat(100_000)).contains("nesting"));
    }
}
