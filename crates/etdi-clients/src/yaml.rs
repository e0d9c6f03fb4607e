//! YAML, edited by its lines: block mappings only, which is what goose writes.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::format::{Broken, EditError, line_end, line_start, once, spliced};
use crate::tree::{Kind, Member, Node, Value, line_of};

/// How deep a file may be nested.
const MAX_DEPTH: usize = 128;

pub(crate) fn parse(text: &str) -> Result<Node, Broken> {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let byte = |at: usize| places.get(at).copied().unwrap_or(text.len());
    let bytes = |span: Span| byte(span.start.index())..byte(span.end.index());
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Broken {
            line: error.marker().line().max(1),
            what: error.info().to_owned(),
        })?;
        let broken = |what: &str| Broken { line: span.start.line().max(1), what: what.to_owned() };
        let done = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(broken("a second document begins"));
                }
                continue;
            }
            Event::Scalar(value, style, _, tag) => {
                let kind = Kind::Scalar(scalar(value, style, tag.is_some()));
                Node { span: bytes(span), kind }
            }
            Event::Alias(_) => Node { span: bytes(span), kind: Kind::Scalar(Value::Null) },
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() >= MAX_DEPTH {
                    return Err(broken("it is nested too deeply"));
                }
                let is_map = matches!(event, Event::MappingStart(..));
                open.push(Open { is_map, start: byte(span.start.index()), nodes: Vec::new() });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let end = byte(span.end.index());
                match open.pop() {
                    Some(one) => one.closed(end).ok_or_else(|| broken("a name is no scalar"))?,
                    None => continue,
                }
            }
            _ => continue,
        };
        match open.last_mut() {
            Some(outer) => outer.nodes.push(done),
            None => root = Some(done),
        }
    }
    let empty = Node { span: text.len()..text.len(), kind: Kind::Map(Vec::new()) };
    match root {
        None | Some(Node { kind: Kind::Scalar(Value::Null), .. }) => Ok(empty),
        Some(root) => Ok(root),
    }
}

/// A collection that has not ended.
struct Open {
    is_map: bool,
    start: usize,
    nodes: Vec<Node>,
}

impl Open {
    fn closed(self, end: usize) -> Option<Node> {
        let span = self.start..end;
        if !self.is_map {
            return Some(Node { span, kind: Kind::List(self.nodes) });
        }
        let mut members = Vec::new();
        let mut nodes = self.nodes.into_iter();
        while let (Some(name), Some(node)) = (nodes.next(), nodes.next()) {
            let Kind::Scalar(value) = &name.kind else { return None };
            let text = value.scalar().unwrap_or_default();
            members.push(Member { name: text, name_span: name.span, node });
        }
        Some(Node { span, kind: Kind::Map(members) })
    }
}

/// What a scalar is by the core schema of YAML 1.2.
fn scalar(text: Cow<'_, str>, style: ScalarStyle, tagged: bool) -> Value {
    if style != ScalarStyle::Plain || tagged {
        return Value::Text(text.into_owned());
    }
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number if is_number(number) => Value::Number(number.to_owned()),
        _ => Value::Text(text.into_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    begins
        && (text.parse::<f64>().is_ok()
            || text.starts_with("0x")
            || text.starts_with("0o")
            || text.trim_start_matches(['+', '-']).eq_ignore_ascii_case(".inf")
            || text.eq_ignore_ascii_case(".nan"))
}

fn unsupported(what: impl Into<String>) -> EditError {
    EditError::Unsupported { what: what.into() }
}

/// Where the last scalar below a node ends.
fn leaf_end(text: &str, node: &Node) -> usize {
    let below = match &node.kind {
        Kind::Scalar(_) => None,
        Kind::List(nodes) => nodes.iter().map(|node| leaf_end(text, node)).max(),
        Kind::Map(members) => members.iter().map(|one| leaf_end(text, &one.node)).max(),
    };
    match text.get(node.span.clone()).and_then(|text| text.chars().next()) {
        Some('{' | '[') if below.is_some() || !matches!(node.kind, Kind::Scalar(_)) => {
            closing(text, below.unwrap_or(node.span.start + 1))
        }
        _ => below.unwrap_or(node.span.end),
    }
}

/// Where a flow collection ends whose last value ends at `from`; the parser's mark lies behind the
/// remarks that follow it.
fn closing(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(rest) = text.get(at..) {
        let skipped = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', ',']).len();
        let rest = rest.get(skipped..).unwrap_or_default();
        at += skipped;
        match rest.starts_with('#') {
            true => at += rest.find('\n').unwrap_or(rest.len()).max(1),
            false => return (at + 1).min(text.len()),
        }
    }
    text.len()
}

/// The whole lines of a member of a block mapping.
fn lines(text: &str, member: &Member) -> Result<Range<usize>, EditError> {
    let start = line_start(text, member.name_span.start);
    let before = text.get(start..member.name_span.start).unwrap_or_default();
    if !before.chars().all(|c| c == ' ') {
        let what = format!("`{}` does not begin its line", member.name.escape_debug());
        return Err(unsupported(what));
    }
    let end = leaf_end(text, &member.node).max(member.name_span.end);
    // A block scalar ends where the next token begins; blank lines and remarks are not its own.
    let mut end = match text.get(..end).unwrap_or_default().trim_end_matches([' ', '\n', '\r']) {
        kept if kept.len() < end => kept.len(),
        _ => end,
    };
    end = text.get(end..).and_then(|rest| rest.find('\n')).map_or(text.len(), |at| end + at + 1);
    Ok(start..end)
}

fn is_block(text: &str, node: &Node) -> bool {
    !text.get(node.span.clone()).unwrap_or_default().starts_with(['{', '['])
}

pub(crate) fn set(
    text: &str,
    root: &Node,
    path: &[String],
    value: &Value,
) -> Result<String, EditError> {
    let newline = line_end(text);
    let unit = unit(text, root);
    let (mut holder, mut above): (&Node, Option<&Member>) = (root, None);
    for (depth, name) in path.iter().enumerate() {
        once(text, holder, name)?;
        let rest = path.get(depth + 1..).unwrap_or_default();
        match holder.member(name) {
            Some(member) if rest.is_empty() => {
                let lines = lines(text, member)?;
                let indent = column(text, member);
                return Ok(spliced(text, lines, &emitted(name, value, indent, unit, newline)));
            }
            Some(member) => {
                let is_empty = is_nothing(&member.node);
                if !matches!(member.node.kind, Kind::Map(_)) && !is_empty {
                    let line = line_of(text, member.name_span.start);
                    return Err(EditError::NotAMap { name: name.clone(), line });
                }
                (holder, above) = (&member.node, Some(member));
            }
            None => {
                let mut whole = Value::Map(Vec::new());
                whole.set(rest, value.clone());
                return added(text, holder, above, name, &whole, unit);
            }
        }
    }
    Ok(text.to_owned())
}

/// A mapping with one more member, after all others.
fn added(
    text: &str,
    holder: &Node,
    above: Option<&Member>,
    name: &str,
    value: &Value,
    unit: usize,
) -> Result<String, EditError> {
    let newline = line_end(text);
    let put = |text: &str, at: usize, indent: usize| {
        let lines = emitted(name, value, indent, unit, newline);
        match text.get(..at).is_some_and(|before| before.is_empty() || before.ends_with('\n')) {
            true => spliced(text, at..at, &lines),
            false => spliced(text, at..at, &format!("{newline}{lines}")),
        }
    };
    if let Some(last) = holder.members().last() {
        if !is_block(text, holder) {
            return Err(unsupported("the table is written in braces"));
        }
        return Ok(put(text, lines(text, last)?.end, column(text, last)));
    }
    let Some(above) = above else { return Ok(put(text, text.len(), 0)) };
    let indent = column(text, above) + unit;
    let (start, end) = (above.name_span.end, leaf_end(text, holder));
    match text.get(holder.span.start..end).unwrap_or_default() {
        "{}" => {
            // The value goes, and the space before it.
            let before = text.get(..holder.span.start).unwrap_or_default().trim_end().len();
            let bare = spliced(text, before.max(start)..end, "");
            let at = bare.get(before..).and_then(|rest| rest.find('\n'));
            Ok(put(&bare, at.map_or(bare.len(), |at| before + at + 1), indent))
        }
        // What stands for nothing has a mark somewhere near.
        other if is_nothing(holder) && !["~", "null", "Null", "NULL"].contains(&other) => {
            let at = text.get(start..).and_then(|rest| rest.find('\n'));
            Ok(put(text, at.map_or(text.len(), |at| start + at + 1), indent))
        }
        _ => Err(unsupported(format!("`{}` is written in another way", above.name.escape_debug()))),
    }
}

fn is_nothing(node: &Node) -> bool {
    matches!(node.kind, Kind::Scalar(Value::Null))
}

pub(crate) fn remove(text: &str, root: &Node, path: &[String]) -> Result<String, EditError> {
    let Some((name, way)) = path.split_last() else { return Ok(text.to_owned()) };
    let above = root.at(way);
    let holder = above.map_or(root, |member| &member.node);
    once(text, holder, name)?;
    let Some(member) = holder.member(name) else { return Ok(text.to_owned()) };
    if !is_block(text, holder) {
        return Err(unsupported("the table is written in braces"));
    }
    let less = spliced(text, lines(text, member)?, "");
    match above.filter(|_| holder.members().len() == 1) {
        // An empty mapping has to be said; nothing at all would be a null.
        Some(above) => {
            let rest = less.get(above.name_span.end..).unwrap_or_default();
            let colon = rest.find(':').ok_or_else(|| unsupported("a name without a colon"))?;
            let at = above.name_span.end + colon + 1;
            Ok(spliced(&less, at..at, " {}"))
        }
        None => Ok(less),
    }
}

fn column(text: &str, member: &Member) -> usize {
    member.name_span.start - line_start(text, member.name_span.start)
}

/// By how much the file indents: as far as the first mapping that lies in another.
fn unit(text: &str, root: &Node) -> usize {
    let nested = root.members().iter().filter(|member| is_block(text, &member.node));
    let first = nested.filter_map(|member| member.node.members().first()).next();
    first.map_or(2, |member| column(text, member)).max(1)
}

/// A member as whole lines.
fn emitted(name: &str, value: &Value, indent: usize, unit: usize, newline: &str) -> String {
    let space = " ".repeat(indent);
    let head = format!("{space}{}:", plain(name));
    match value {
        Value::Map(members) if !members.is_empty() => {
            let inner = members
                .iter()
                .map(|(name, value)| emitted(name, value, indent + unit, unit, newline));
            format!("{head}{newline}{}", inner.collect::<String>())
        }
        Value::List(values)
            if values.iter().all(|value| value.scalar().is_some()) && !values.is_empty() =>
        {
            let lines = values.iter().map(|value| format!("{space}- {}{newline}", flow(value)));
            format!("{head}{newline}{}", lines.collect::<String>())
        }
        value => format!("{head} {}{newline}", flow(value)),
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Text(text) => plain(text),
        Value::Number(number) => number.clone(),
        Value::List(values) => {
            format!("[{}]", values.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Map(members) => {
            let members =
                members.iter().map(|(name, value)| format!("{}: {}", plain(name), flow(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Null => "null".to_owned(),
        Value::Bool(is) => is.to_string(),
    }
}

/// A text without quotes where none can be needed, else in JSON's, which YAML reads the same.
fn plain(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match first && rest && !word.contains(&text.to_ascii_lowercase().as_str()) {
        true => text.to_owned(),
        false => Value::text(text).to_json().to_string(),
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
            ("enabled".into(), Value::Bool(true)),
            ("cmd".into(), Value::text("/bin/x")),
            ("args".into(), Value::texts(&["-y", "on"])),
            ("envs".into(), Value::Map(Vec::new())),
        ])
    }

    const ENTRY: &str = "  new:\n    enabled: true\n    cmd: /bin/x\n    args:\n    - \"-y\"\n    - \"on\"\n    envs: {}\n";

    fn set(text: &str, at: &str, value: Value) -> String {
        Format::Yaml.edit(text, &[Edit::Set(path(at), value)]).unwrap()
    }

    fn remove(text: &str, at: &str) -> String {
        Format::Yaml.edit(text, &[Edit::Remove(path(at))]).unwrap()
    }

    const FILE: &str = "# ümine\nGOOSE_MODEL: x # the best\nextensions:\n  developer:\n    enabled: true\n    type: builtin # ours\n    about: |\n      # not a remark\n      text\n\n  # about b\n  b:\n    cmd: 'b'\n    args:\n    - one\n    envs: {}\n\n# the rest\nGOOSE_MODE: auto\n";

    #[test]
    fn an_entry_is_added_and_taken_out() {
        let with = set(FILE, "extensions/new", entry());
        assert_eq!(with, FILE.replace("    envs: {}\n", &format!("    envs: {{}}\n{ENTRY}")));
        assert_eq!(remove(&with, "extensions/new"), FILE);
        assert_eq!(set("", "extensions/new", entry()), format!("extensions:\n{ENTRY}"));
        let empty = "a: 1\nextensions: {} # none\nb: 2\n";
        let with = set(empty, "extensions/new", entry());
        assert_eq!(with, format!("a: 1\nextensions: # none\n{ENTRY}b: 2\n"));
        assert_eq!(remove(&with, "extensions/new"), empty);
        assert_eq!(
            set("extensions:\n", "extensions/new", entry()),
            format!("extensions:\n{ENTRY}")
        );
        assert_eq!(set("a: 1", "extensions/new", entry()), format!("a: 1\nextensions:\n{ENTRY}"));
    }

    #[test]
    fn what_stands_beside_a_change_stays() {
        let with = set(FILE, "extensions/b/cmd", Value::text("/bin/c d"));
        assert_eq!(with, FILE.replace("'b'", "\"/bin/c d\""));
        let less = remove(FILE, "extensions/developer");
        assert!(less.contains("extensions:\n\n  # about b\n  b:\n"), "{less}");
        let less = remove(FILE, "extensions/b");
        assert!(less.contains("      text\n\n  # about b\n\n# the rest\n"), "{less}");
        let crlf = FILE.replace('\n', "\r\n");
        let with = set(&crlf, "extensions/new", entry());
        assert_eq!(with.matches('\n').count(), with.matches("\r\n").count());
        assert_eq!(remove(&with, "extensions/new"), crlf);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let fails = |text: &str| {
            Format::Yaml.edit(text, &[Edit::Set(path("extensions/new"), entry())]).unwrap_err()
        };
        let flow = fails("extensions: {a: {cmd: x}}\n").to_string();
        assert_eq!(flow, "the table is written in braces: edit this file by hand");
        assert!(fails("extensions: [a]\n").to_string().contains("not a table"));
        assert!(fails("extensions:\n\ta: 1\n").to_string().starts_with("line 2: "));
        let deep = fails(&format!("a: {}", "[".repeat(100_000))).to_string();
        assert!(deep.starts_with("line 1: "), "{deep}");
        assert!(fails("a: 1\n---\nb: 2\n").to_string().contains("second document"));
    }
}
