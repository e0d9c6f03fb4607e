//! TOML, edited by the places of its values.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value as TomlValue};

use crate::format::{Broken, EditError, line_end, line_start, spliced};
use crate::tree::{Kind, Member, Node, Value, line_of};

pub(crate) fn parse(text: &str) -> Result<Node, Broken> {
    let document = Document::parse(text).map_err(|error| Broken {
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        what: error.message().lines().next().unwrap_or("not TOML").to_owned(),
    })?;
    Ok(Node { span: 0..0, kind: members(document.as_table()) })
}

fn members(table: &dyn TableLike) -> Kind {
    let keys = table.iter().map(|(name, item)| {
        let key = table.key(name);
        Member {
            name: name.to_owned(),
            name_span: key.and_then(toml_edit::Key::span).unwrap_or_default(),
            node: node(item),
        }
    });
    Kind::Map(keys.collect())
}

fn node(item: &Item) -> Node {
    let span = item.span().unwrap_or_default();
    let kind = match item {
        Item::None => Kind::Scalar(Value::Null),
        Item::Value(value) => of_value(value),
        Item::Table(table) => members(table),
        Item::ArrayOfTables(tables) => Kind::List(
            tables
                .iter()
                .map(|table| Node { span: table.span().unwrap_or_default(), kind: members(table) })
                .collect(),
        ),
    };
    Node { span, kind }
}

fn of_value(value: &TomlValue) -> Kind {
    match value {
        TomlValue::String(text) => Kind::Scalar(Value::text(text.value())),
        TomlValue::Integer(number) => Kind::Scalar(Value::Number(number.value().to_string())),
        TomlValue::Float(number) => Kind::Scalar(Value::Number(number.value().to_string())),
        TomlValue::Boolean(is) => Kind::Scalar(Value::Bool(*is.value())),
        TomlValue::Datetime(time) => Kind::Scalar(Value::text(time.value().to_string())),
        TomlValue::Array(values) => Kind::List(
            values
                .iter()
                .map(|value| Node { span: value.span().unwrap_or_default(), kind: of_value(value) })
                .collect(),
        ),
        TomlValue::InlineTable(table) => members(table),
    }
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq)]
enum Written {
    /// `[a.b]` and lines below.
    Header,
    /// `{ a = 1 }`.
    Inline,
    /// Nowhere by itself: by the headers or dotted keys of what is in it.
    Implied,
}

fn written_as(text: &str, node: &Node) -> Written {
    match text.get(node.span.clone()).and_then(|text| text.chars().next()) {
        Some('[') => Written::Header,
        Some('{') => Written::Inline,
        _ => Written::Implied,
    }
}

/// Whether a member of a table is a table with a header, or several.
fn is_section(text: &str, node: &Node) -> bool {
    match &node.kind {
        Kind::Map(_) => written_as(text, node) != Written::Inline,
        Kind::List(nodes) => nodes.iter().any(|one| {
            matches!(one.kind, Kind::Map(_)) && written_as(text, one) == Written::Header
        }),
        Kind::Scalar(_) => false,
    }
}

/// The lines of a table's own header and values, without the tables below it.
fn own_lines(text: &str, node: &Node) -> Option<Range<usize>> {
    let header = (written_as(text, node) == Written::Header).then(|| node.span.clone());
    let values = node.members().iter().filter(|member| !is_section(text, &member.node));
    let ends = values.map(|member| member.name_span.start..member.node.span.end);
    let all = header.into_iter().chain(ends);
    let span = all.reduce(|one, two| one.start.min(two.start)..one.end.max(two.end))?;
    Some(line_start(text, span.start)..next_line(text, span.end))
}

/// The lines of a table and of those below it.
fn all_lines(text: &str, node: &Node, lines: &mut Vec<Range<usize>>) {
    if let Kind::List(nodes) = &node.kind {
        for node in nodes {
            all_lines(text, node, lines);
        }
        return;
    }
    lines.extend(own_lines(text, node));
    for member in node.members().iter().filter(|member| is_section(text, &member.node)) {
        all_lines(text, &member.node, lines);
    }
}

fn next_line(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| at + end + 1)
}

pub(crate) fn set(text: &str, path: &[String], value: &Value) -> Result<String, EditError> {
    let root = parse(text)?;
    let Some((name, way)) = path.split_last() else { return Ok(text.to_owned()) };
    if let Some(member) = root.at(path) {
        if is_section(text, &member.node) {
            let what = format!("`{name}` is a table, and something else is to stand there");
            return Err(EditError::Unsupported { what });
        }
        return Ok(spliced(text, member.node.span.clone(), &inline(value)?));
    }
    let mut holder = &root;
    let mut known = 0;
    for name in way {
        let Some(member) = holder.member(name) else { break };
        if !matches!(member.node.kind, Kind::Map(_)) {
            let line = line_of(text, member.name_span.start);
            return Err(EditError::NotAMap { name: name.clone(), line });
        }
        (holder, known) = (&member.node, known + 1);
    }
    if known > 0 && written_as(text, holder) == Written::Inline {
        let mut whole = holder.value();
        whole.set(path.get(known..).unwrap_or_default(), value.clone());
        return Ok(spliced(text, holder.span.clone(), &inline(&whole)?));
    }
    let newline = line_end(text);
    if known == way.len() && !matches!(value, Value::Map(_)) {
        let line = format!("{} = {}{newline}", key(name), inline(value)?);
        let at = match own_lines(text, holder) {
            Some(lines) => lines.end,
            None if known == 0 => 0,
            None => {
                let what = format!("the table of `{name}` has no header of its own");
                return Err(EditError::Unsupported { what });
            }
        };
        return Ok(inserted(text, at, &line, newline));
    }
    let mut section = String::new();
    sections(&mut section, path, value, newline)?;
    let mut lines = Vec::new();
    if known > 0 {
        all_lines(text, holder, &mut lines);
    }
    let at = lines.iter().map(|lines| lines.end).max().unwrap_or(text.len());
    let blank = if text.get(..at).unwrap_or_default().trim().is_empty() { "" } else { newline };
    Ok(inserted(text, at, &format!("{blank}{section}"), newline))
}

/// Whole lines put in where a line begins, or at the end.
fn inserted(text: &str, at: usize, lines: &str, newline: &str) -> String {
    let before = text.get(..at).unwrap_or_default();
    match before.is_empty() || before.ends_with('\n') {
        true => spliced(text, at..at, lines),
        false => spliced(text, at..at, &format!("{newline}{lines}")),
    }
}

fn sections(
    out: &mut String,
    path: &[String],
    value: &Value,
    newline: &str,
) -> Result<(), EditError> {
    let names: Vec<String> = path.iter().map(|name| key(name)).collect();
    if !out.is_empty() {
        out.push_str(newline);
    }
    out.push_str(&format!("[{}]{newline}", names.join(".")));
    let is_table = |value: &Value| matches!(value, Value::Map(_));
    for (name, value) in value.members().iter().filter(|(_, value)| !is_table(value)) {
        out.push_str(&format!("{} = {}{newline}", key(name), inline(value)?));
    }
    for (name, value) in value.members().iter().filter(|(_, value)| is_table(value)) {
        sections(out, &[path, std::slice::from_ref(name)].concat(), value, newline)?;
    }
    Ok(())
}

fn key(name: &str) -> String {
    toml_edit::Key::new(name).to_string()
}

fn inline(value: &Value) -> Result<String, EditError> {
    Ok(match value {
        Value::Null => {
            return Err(EditError::Unsupported { what: "TOML has no null".to_owned() });
        }
        Value::Bool(is) => is.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(text) => TomlValue::from(text.as_str()).to_string(),
        Value::List(values) => {
            let values: Result<Vec<_>, _> = values.iter().map(inline).collect();
            format!("[{}]", values?.join(", "))
        }
        Value::Map(members) if members.is_empty() => "{}".to_owned(),
        Value::Map(members) => {
            let members: Result<Vec<_>, EditError> = members
                .iter()
                .map(|(name, value)| Ok(format!("{} = {}", key(name), inline(value)?)))
                .collect();
            format!("{{ {} }}", members?.join(", "))
        }
    })
}

pub(crate) fn remove(text: &str, root: &Node, path: &[String]) -> Result<String, EditError> {
    let Some(member) = root.at(path) else { return Ok(text.to_owned()) };
    let Some((name, way)) = path.split_last() else { return Ok(text.to_owned()) };
    if is_section(text, &member.node) {
        let mut lines = Vec::new();
        all_lines(text, &member.node, &mut lines);
        lines.sort_by_key(|lines| lines.start);
        let mut less = text.to_owned();
        for lines in lines.into_iter().rev() {
            less = spliced(&less, with_blank_line(&less, lines), "");
        }
        return Ok(less);
    }
    if let Some(holder) = root.at(way)
        && written_as(text, &holder.node) == Written::Inline
    {
        let mut whole = holder.node.value();
        whole.remove(std::slice::from_ref(name));
        return Ok(spliced(text, holder.node.span.clone(), &inline(&whole)?));
    }
    let start = line_start(text, member.name_span.start);
    Ok(spliced(text, start..next_line(text, member.node.span.end), ""))
}

/// Lines, and the blank one before them where another blank one, or the end, follows.
fn with_blank_line(text: &str, lines: Range<usize>) -> Range<usize> {
    let before = text.get(..lines.start).unwrap_or_default();
    let after = text.get(lines.end..).unwrap_or_default();
    let follows = after.is_empty() || after.starts_with('\n') || after.starts_with("\r\n");
    let blank = ["\n\r\n", "\n\n"].into_iter().find(|end| before.ends_with(end));
    match blank.filter(|_| follows) {
        Some(end) => lines.start + 1 - end.len()..lines.end,
        None => lines,
    }
}

#[cfg(test)]
mod tests {
    use crate::format::{Edit, Format};
    use crate::tree::Value;

    fn path(path: &str) -> Vec<String> {
        path.split('/').map(ToOwned::to_owned).collect()
    }

    fn entry() -> Value {
        Value::Map(vec![
            ("command".into(), Value::text("/bin/x")),
            ("env".into(), Value::Map(vec![("A".into(), Value::text("b \"c\""))])),
        ])
    }

    fn set(text: &str, at: &str, value: Value) -> String {
        Format::Toml.edit(text, &[Edit::Set(path(at), value)]).unwrap()
    }

    fn remove(text: &str, at: &str) -> String {
        Format::Toml.edit(text, &[Edit::Remove(path(at))]).unwrap()
    }

    const FILE: &str = "# mine\nmodel = \"o3\" # the best\n\n[mcp_servers.a]\ncommand = 'a' # one\n# about args\nargs = [\n  \"x\", # first\n]\n\n[mcp_servers.a.env]\nK = \"v\"\n\n# the rest\n[tui]\nx = 1\n";

    #[test]
    fn an_entry_is_added_and_taken_out() {
        let with = set(FILE, "mcp_servers/n", entry());
        let section =
            "\n[mcp_servers.n]\ncommand = \"/bin/x\"\n\n[mcp_servers.n.env]\nA = 'b \"c\"'\n";
        assert_eq!(with, FILE.replace("K = \"v\"\n", &format!("K = \"v\"\n{section}")));
        assert_eq!(remove(&with, "mcp_servers/n"), FILE);
        let crlf = FILE.replace('\n', "\r\n");
        let with = set(&crlf, "mcp_servers/n", entry());
        assert_eq!(with.matches('\n').count(), with.matches("\r\n").count());
        assert_eq!(remove(&with, "mcp_servers/n"), crlf);
        assert_eq!(set("", "mcp_servers/n", entry()), section.trim_start());
        assert_eq!(remove(&set("", "mcp_servers/n", entry()), "mcp_servers/n"), "");
    }

    #[test]
    fn what_stands_beside_a_change_stays() {
        let with = set(FILE, "mcp_servers/a/command", Value::text("b"));
        assert_eq!(with, FILE.replace("'a' # one", "\"b\" # one"));
        let with = set(FILE, "mcp_servers/a/cwd", Value::text("/"));
        assert_eq!(
            with,
            FILE.replace("]\n\n[mcp_servers.a.env]", "]\ncwd = \"/\"\n\n[mcp_servers.a.env]")
        );
        assert_eq!(remove(&with, "mcp_servers/a/cwd"), FILE);
        let less = remove(FILE, "mcp_servers/a");
        assert_eq!(less, "# mine\nmodel = \"o3\" # the best\n\n# the rest\n[tui]\nx = 1\n");
    }

    #[test]
    fn an_inline_table_is_edited_as_one() {
        let text = "mcp_servers = { a = { command = \"a\" } } # all\n";
        let with =
            set(text, "mcp_servers/n", Value::Map(vec![("command".into(), Value::text("n"))]));
        assert!(with.ends_with(" } # all\n"), "{with}");
        assert_eq!(remove(&with, "mcp_servers/n"), text);
    }

    #[test]
    fn what_is_broken_says_where() {
        let error = Format::Toml.edit("a = 1\nb = = 2\n", &[]).unwrap_err().to_string();
        assert!(error.starts_with("line 2: "), "{error}");
    }
}
