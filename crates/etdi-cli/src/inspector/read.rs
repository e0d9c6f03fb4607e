//! Definitions out of a text: one, an array, what a server answered to a listing, JSON lines.

use std::borrow::Cow;
use std::fmt;

use etdi_core::analyze::Kind;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One definition in a text.
#[derive(Debug, PartialEq, Eq)]
pub struct Item<'t> {
    /// What it defines, where that is known.
    pub kind: Option<Kind>,
    /// Its own text.
    pub text: Cow<'t, str>,
    /// Where it stands in the whole: a JSON pointer.
    pub pointer: String,
    /// Where it begins in the whole, in bytes.
    pub offset: usize,
}

impl Item<'_> {
    /// Why it is no definition of anything; nothing where it may be one. What is not JSON is told by the
    /// analyzer.
    pub fn unfit(&self) -> Option<&'static str> {
        let text = self.text.trim_start();
        if matches!(self.kind, Some(Kind::Server | Kind::Result)) || text.is_empty() {
            return None;
        }
        if !text.starts_with('{') {
            let whole = serde_json::from_str::<&RawValue>(text).is_ok();
            return whole.then_some("it is no object, and a definition is one");
        }
        let Members(members) = Members::read(text)?;
        let named = |name: &&str| members.iter().any(|(member, _)| member == *name);
        if ["mcpServers", "servers", "context_servers"].iter().any(named) {
            return Some(
                "it is a client's configuration: `etdi scan` lists its servers and looks into them",
            );
        }
        let known = DEFINES.iter().any(named);
        (!known).then_some("no member of it is one of a tool, a prompt, a resource or a result")
    }
}

/// Members of which every definition has one.
const DEFINES: [&str; 12] = [
    "name",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
    "uri",
    "uriTemplate",
    "content",
    "structuredContent",
    "instructions",
    "serverInfo",
];

/// The definitions of a text of JSON, in order; several values may follow each other, and a text of
/// lines of which not all can be read is taken line by line. What is no wrapper is one definition,
/// whatever it is: nothing is passed over.
pub fn items(text: &str) -> Vec<Item<'_>> {
    let mut found = Vec::new();
    let values: Result<Vec<&RawValue>, _> =
        serde_json::Deserializer::from_str(text).into_iter().collect();
    match values {
        Ok(values) => {
            let many = values.len() > 1;
            for (number, value) in values.into_iter().enumerate() {
                let pointer = if many { format!("/{number}") } else { String::new() };
                Taker { whole: text, found: &mut found }.take(value.get(), None, &pointer, 0);
            }
        }
        Err(_) => {
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            let reads = |line: &&&str| serde_json::from_str::<IgnoredAny>(line).is_ok();
            if lines.len() > 1 && lines.iter().filter(reads).count() > 0 {
                for (number, line) in lines.into_iter().enumerate() {
                    let pointer = format!("/{number}");
                    Taker { whole: text, found: &mut found }.take(line, None, &pointer, 0);
                }
            } else {
                Taker { whole: text, found: &mut found }.one(text, None, "");
            }
        }
    }
    found
}

/// The definitions of one line of JSON lines: an object. `None` for what is none.
pub fn items_of_line(line: &str) -> Option<Vec<Item<'_>>> {
    Members::read(line)?;
    let mut found = Vec::new();
    Taker { whole: line, found: &mut found }.take(line, None, "", 0);
    if found.is_empty() {
        Taker { whole: line, found: &mut found }.one(line, None, "");
    }
    Some(found)
}

struct Taker<'t, 'f> {
    whole: &'t str,
    found: &'f mut Vec<Item<'t>>,
}

/// No wrapper is looked for further in.
const DEEP: usize = 6;

/// The listings of the protocol.
const LISTINGS: [(&str, Kind); 4] = [
    ("tools", Kind::Tool),
    ("prompts", Kind::Prompt),
    ("resources", Kind::Resource),
    ("resourceTemplates", Kind::Template),
];

/// What stands beside a listing and says nothing.
const SILENT: [&str; 9] = [
    "jsonrpc",
    "id",
    "nextCursor",
    "resultType",
    "ttlMs",
    "cacheScope",
    "protocolVersion",
    "supportedVersions",
    "capabilities",
];

impl<'t> Taker<'t, '_> {
    fn one(&mut self, text: &'t str, kind: Option<Kind>, pointer: &str) {
        let offset = offset(self.whole, text);
        let pointer = pointer.to_owned();
        self.found.push(Item { kind, text: Cow::Borrowed(text), pointer, offset });
    }

    fn take(&mut self, text: &'t str, kind: Option<Kind>, pointer: &str, depth: usize) {
        if depth > DEEP || kind.is_some() {
            return self.one(text, kind, pointer);
        }
        if text.trim_start().starts_with('[') {
            let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(text) else {
                return self.one(text, kind, pointer);
            };
            for (number, value) in list.into_iter().enumerate() {
                self.take(value.get(), None, &format!("{pointer}/{number}"), depth + 1);
            }
            return;
        }
        let Some(Members(members)) = Members::read(text) else {
            return self.one(text, kind, pointer);
        };
        // Whatever looks like a definition is one, and no member of it makes it a wrapper.
        let is_one = ["name", "description", "inputSchema"];
        let named = |name: &str| members.iter().any(|(member, _)| member == name);
        let wraps = !is_one.iter().any(|name| named(name));
        let get = |name: &str| members.iter().rev().find(|(member, _)| member == name);
        let at = |name: &str| format!("{pointer}/{name}");
        if wraps && named("jsonrpc") && (named("result") || named("error")) {
            for (name, value) in &members {
                match &**name {
                    "result" => self.take(value.get(), None, &at("result"), depth + 1),
                    "error" => self.one(value.get(), Some(Kind::Result), &at("error")),
                    _ => {}
                }
            }
            return;
        }
        if wraps && let Some((_, definition)) = get("definition") {
            let kind = get("kind").and_then(|(_, kind)| serde_json::from_str(kind.get()).ok());
            let kind = kind.and_then(|kind: String| Kind::named(&kind));
            return self.one(definition.get(), kind, &at("definition"));
        }
        if wraps && let Some((_, tool)) = get("tool") {
            return self.one(tool.get(), Some(Kind::Tool), &at("tool"));
        }
        self.listings(text, &members, pointer);
    }

    /// What listings list, and what else is said beside them.
    fn listings(&mut self, text: &'t str, members: &[(Cow<'t, str>, &'t RawValue)], pointer: &str) {
        let kind = |name: &str, value: &RawValue| {
            let listing = LISTINGS.iter().find(|(listing, _)| *listing == name);
            listing.filter(|_| value.get().starts_with('[')).map(|(_, kind)| *kind)
        };
        if !members.iter().any(|(name, value)| kind(name, value).is_some()) {
            return self.one(text, None, pointer);
        }
        let mut rest = Vec::new();
        for (name, value) in members {
            let Some(kind) = kind(name, value) else {
                if !SILENT.contains(&&**name) {
                    rest.push((name, *value));
                }
                continue;
            };
            let list: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
            for (number, entry) in list.into_iter().enumerate() {
                self.one(entry.get(), Some(kind), &format!("{pointer}/{name}/{number}"));
            }
        }
        if rest.is_empty() {
            return;
        }
        let parts: Vec<String> = rest
            .iter()
            .map(|(name, value)| format!("{}:{}", serde_json::json!(name), value.get()))
            .collect();
        let text_of_rest = Cow::Owned(format!("{{{}}}", parts.join(",")));
        let (pointer, offset) = (pointer.to_owned(), offset(self.whole, text));
        let kind = Some(Kind::Server);
        self.found.push(Item { kind, text: text_of_rest, pointer, offset });
    }
}

/// Where a part of a text begins in it.
fn offset(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

/// The members of an object as they stand, one that stands twice twice; their values unread.
pub struct Members<'t>(pub Vec<(Cow<'t, str>, &'t RawValue)>);

impl<'t> Members<'t> {
    /// The members of an object; `None` for any other text.
    pub fn read(text: &'t str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// A name, borrowed where it stands without escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

/// The text of the value that a JSON pointer leads to.
pub fn locate<'t>(text: &'t str, pointer: &str) -> Option<&'t str> {
    let mut at = text.trim();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        at = match Members::read(at) {
            Some(Members(members)) => members
                .iter()
                .rev()
                .find(|(name, _)| *name == step)
                .map(|(_, value)| value.get())?,
            None => {
                let list: Vec<&'t RawValue> = serde_json::from_str(at).ok()?;
                list.get(step.parse::<usize>().ok()?)?.get()
            }
        };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let shown = |item: Item<'_>| {
            let kind = item.kind.map_or("-", Kind::name);
            format!("{} {kind} {}", item.pointer, item.text)
        };
        items(text).into_iter().map(shown).collect()
    }

    #[test]
    fn every_shape_is_taken_apart() {
        let a = r#"{"name":"a"}"#;
        assert_eq!(read(a), [format!(" - {a}")]);
        assert_eq!(read(&format!("[{a},{a}]")), [format!("/0 - {a}"), format!("/1 - {a}")]);
        assert_eq!(read(&format!("{a}\n{a}\n")), [format!("/0 - {a}"), format!("/1 - {a}")]);
        let listed = format!(r#"{{"tools":[{a}],"nextCursor":"x"}}"#);
        assert_eq!(read(&listed), [format!("/tools/0 tool {a}")]);
        let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{listed}}}"#);
        assert_eq!(read(&answer), [format!("/result/tools/0 tool {a}")]);
        assert_eq!(read(&format!(r#"{{"tool":{a}}}"#)), [format!("/tool tool {a}")]);
        let said = r#"{"kind":"instructions","definition":"Be kind.","source":"x"}"#;
        assert_eq!(read(said), [r#"/definition server "Be kind.""#]);
        let failed = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#;
        assert_eq!(read(failed), [r#"/error result {"code":1,"message":"no"}"#]);
        let all = r#"{"prompts":[1],"resources":[2],"resourceTemplates":[3],"instructions":"Hi"}"#;
        let rest = r#" server {"instructions":"Hi"}"#;
        assert_eq!(
            read(all),
            [
                "/prompts/0 prompt 1",
                "/resources/0 resource 2",
                "/resourceTemplates/0 template 3",
                rest
            ]
        );
    }

    /// The attack: a member that makes a definition look like a wrapper, so that the rest is not
    /// looked at.
    #[test]
    fn nothing_is_passed_over() {
        for text in [
            r#"{"name":"a","description":"evil","tool":{"name":"b"}}"#,
            r#"{"description":"evil","definition":{"name":"b"},"kind":"tool"}"#,
            r#"{"inputSchema":{"title":"evil"},"jsonrpc":"2.0","result":{}}"#,
            r#"{"name":"a","description":"evil","tools":[]}"#,
            r#"{"tools":[{"name":"b"}],"tools":[{"description":"evil"}]}"#,
            r#"{"tools":{"description":"evil"}}"#,
            r#"{"jsonrpc":"2.0","result":{"tools":[]},"result":{"description":"evil"}}"#,
            "{\"name\":\"a\"}\nno json, but evil\n",
            "evil",
            r#"[[[[[[[[["evil"]]]]]]]]]"#,
        ] {
            assert!(items(text).iter().any(|item| item.text.contains("evil")), "{text}");
        }
    }

    #[test]
    fn a_line_is_an_object() {
        assert!(items_of_line("[1]").is_none() && items_of_line("\"a\"").is_none());
        assert_eq!(items_of_line(r#"{"tools":[]}"#).map(|items| items.len()), Some(1));
    }

    #[test]
    fn a_pointer_leads_to_its_value() {
        let text = r#" {"a/b":[{"c~":"x"},2], "d": {"e":null}} "#;
        assert_eq!(locate(text, "/a~1b/0/c~0"), Some(r#""x""#));
        assert_eq!(locate(text, "/d"), Some(r#"{"e":null}"#));
        assert_eq!(locate(text, "/a~1b/7"), None);
    }
}
