//! Arguments that a tool wants repeated in headers: learned from listings, used by calls.
//!
//! See the specification (2026-07-28), "Custom headers from tool parameters".

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName};
use mcp_types::{
    CallToolRequestParams, DecodeError, ErrorObject, ListToolsResult, Members, MirroredParams,
    RawText, Tool,
};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::http::headers::{PARAM_PREFIX, encode};

/// Which arguments of which tools are repeated; bounded, so that a server's listing is too.
#[derive(Debug, Default)]
pub(super) struct Mirrors(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    tools: HashMap<String, Arc<[Mirror]>>,
    /// About how many bytes they are.
    size: usize,
}

/// An argument that is repeated.
#[derive(Debug, Clone, PartialEq)]
struct Mirror {
    /// The names of members that lead to it.
    path: Vec<String>,
    header: HeaderName,
}

/// How much is remembered of one server; what goes beyond is told like a bad annotation.
const MOST: usize = 4 << 20;

/// How many headers one call may have; common servers take a hundred in all.
const MOST_OF_A_TOOL: usize = 64;

impl Mirrors {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from a listing, and sets aside the tools whose annotations do not fit.
    pub(super) fn learn(&self, listing: &mut ListToolsResult) {
        listing.tools.set_aside(|tool| {
            self.learn_tool(tool).inspect_err(|error| {
                // The specification wants this said; whoever reads the listing sees it as well.
                tracing::warn!(tool = ?tool.name, %error, "a tool is left out of the listing");
            })
        });
    }

    fn learn_tool(&self, tool: &Tool) -> Result<(), DecodeError> {
        let found =
            annotations(tool.input_schema.text()).map_err(|error| error.within("inputSchema"))?;
        let mut known = self.lock();
        if let Some(before) = known.tools.remove(&tool.name) {
            known.size = known.size.saturating_sub(size(&tool.name, &before));
        }
        if found.is_empty() {
            return Ok(());
        }
        let more = size(&tool.name, &found);
        if known.size + more > MOST {
            let text = "the server's tools have more `x-mcp-header` than can be remembered";
            return Err(DecodeError::new("inputSchema", text));
        }
        known.size += more;
        known.tools.insert(tool.name.clone(), found.into());
        Ok(())
    }

    /// Holds the headers of a call against its arguments, as far as the tool was listed.
    pub(super) fn check(
        &self,
        headers: &MirroredParams,
        call: &CallToolRequestParams,
    ) -> Result<(), ErrorObject> {
        let Some(mirrors) = self.lock().tools.get(&call.name).cloned() else { return Ok(()) };
        mirrors.iter().try_for_each(|mirror| {
            let header = mirror.header.as_str();
            let name = header.strip_prefix(PARAM_PREFIX).unwrap_or(header);
            headers.check(name, &mirror.path, call.arguments.as_ref())
        })
    }

    /// Adds the headers that a call of this tool wants.
    pub(super) fn add(&self, headers: &mut HeaderMap, call: &CallToolRequestParams) {
        let Some(mirrors) = self.lock().tools.get(&call.name).cloned() else { return };
        for mirror in &*mirrors {
            if let Some(value) = value_at(call.arguments.as_ref(), &mirror.path) {
                headers.insert(mirror.header.clone(), encode(&value));
            }
        }
    }
}

fn size(name: &str, mirrors: &[Mirror]) -> usize {
    let each = mirrors.iter().map(|mirror| {
        mirror.header.as_str().len() + mirror.path.iter().map(|name| name.len() + 24).sum::<usize>()
    });
    name.len() + each.sum::<usize>() + 128
}

/// What the argument at `path` says, as a header says it; `None` for absent, null and structures.
fn value_at(arguments: Option<&RawText>, path: &[String]) -> Option<String> {
    let mut value = arguments?.clone();
    for name in path {
        value = value.parse::<Members>().ok()?.get(name)?.clone();
    }
    let text = value.get().trim();
    match text.as_bytes().first()? {
        b'"' => value.parse().ok(),
        b't' | b'f' => Some(text.to_owned()),
        b'-' | b'0'..=b'9' => Some(decimal(text)),
        _ => None,
    }
}

/// An integer without a fraction or an exponent, which JSON may give it; else what stands there.
fn decimal(text: &str) -> String {
    if text.parse::<i128>().is_err()
        && let Ok(number) = text.parse::<f64>()
        && number.fract() == 0.0
        && number.abs() < SAFE
    {
        // Within this range the number is exact.
        return format!("{number:.0}");
    }
    text.to_owned()
}

/// 2^53: integers below are exact in every JSON implementation.
const SAFE: f64 = 9_007_199_254_740_992.0;

/// The annotations of a schema, or what is wrong with one.
fn annotations(schema: &RawText) -> Result<Vec<Mirror>, DecodeError> {
    let text = schema.get();
    // A member's name may be written with escapes; nobody does, but then all is read.
    if memchr::memmem::find(text.as_bytes(), b"x-mcp-header").is_none() && !text.contains("\\u") {
        return Ok(Vec::new());
    }
    let mut walk = Walk { path: Vec::new(), found: Vec::new(), wrong: None };
    let mut reader = serde_json::Deserializer::from_str(text);
    Schema { walk: &mut walk, reachable: true }
        .deserialize(&mut reader)
        .map_err(|error| DecodeError::new("", format!("the schema cannot be read: {error}")))?;
    match walk.wrong {
        Some(wrong) => Err(wrong),
        None => Ok(walk.found),
    }
}

struct Walk {
    path: Vec<String>,
    found: Vec<Mirror>,
    /// The first fault, if there is one.
    wrong: Option<DecodeError>,
}

impl Walk {
    fn refuse(&mut self, reason: &str) {
        let place = self.path.join(".properties.");
        let place = if place.is_empty() { place } else { format!("properties.{place}") };
        self.wrong.get_or_insert_with(|| DecodeError::new(place, reason));
    }

    fn annotation(&mut self, name: Option<&str>, kind: &Kind, reachable: bool) {
        if !reachable || self.path.is_empty() {
            let text = "`x-mcp-header` stands where no call's argument can be told by its path";
            return self.refuse(text);
        }
        let header = name.filter(|name| !name.is_empty()).and_then(|name| {
            HeaderName::from_bytes(format!("{PARAM_PREFIX}{name}").as_bytes()).ok()
        });
        let Some(header) = header else {
            return self.refuse("`x-mcp-header` must be the rest of a header's name");
        };
        if *kind != Kind::Primitive {
            return self.refuse("`x-mcp-header` is for strings, integers and booleans only");
        }
        if self.found.iter().any(|known| known.header == header) {
            return self.refuse("`x-mcp-header` names a header that another argument has");
        }
        if self.found.len() >= MOST_OF_A_TOOL {
            return self
                .refuse("`x-mcp-header` stands at more arguments than a request can repeat");
        }
        self.found.push(Mirror { path: self.path.clone(), header });
    }
}

/// What a schema says of its value's type, as far as it matters here.
#[derive(Debug, PartialEq)]
enum Kind {
    Primitive,
    Other,
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = RawText::deserialize(deserializer)?;
        let one = names.parse::<String>().map(|name| vec![name]);
        let mut names = one.or_else(|_| names.parse::<Vec<String>>()).unwrap_or_default();
        // A value that may be absent may be null; then there is no header either.
        if names.len() > 1 {
            names.retain(|name| name != "null");
        }
        let primitive = |name: &String| matches!(name.as_str(), "string" | "integer" | "boolean");
        let fits = !names.is_empty() && names.iter().all(primitive);
        Ok(if fits { Self::Primitive } else { Self::Other })
    }
}

/// What is neither an object nor a list annotates nothing.
macro_rules! scalars {
    () => {
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
    };
}

/// A schema, or `true` or `false`, at a place that the path names or, if not reachable, anywhere.
struct Schema<'w> {
    walk: &'w mut Walk,
    reachable: bool,
}

impl<'de> DeserializeSeed<'de> for Schema<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Schema<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { walk, reachable } = self;
        let (mut header, mut kind) = (None, Kind::Other);
        while let Some(keyword) = map.next_key::<String>()? {
            let inner = |walk| Schema { walk, reachable: false };
            match keyword.as_str() {
                "x-mcp-header" => {
                    header = Some(map.next_value::<RawText>()?.parse::<String>().ok());
                }
                "type" => kind = map.next_value()?,
                "properties" => map.next_value_seed(Named { walk, reachable })?,
                "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                    map.next_value_seed(Named { walk, reachable: false })?;
                }
                "allOf"
                | "anyOf"
                | "oneOf"
                | "prefixItems"
                | "items"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "additionalItems"
                | "additionalProperties"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties" => {
                    map.next_value_seed(inner(walk))?;
                }
                // Values, such as a default, are data: what they hold annotates nothing.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let Some(header) = header {
            walk.annotation(header.as_deref(), &kind, reachable);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Schema { walk: self.walk, reachable: false })?.is_some() {}
        Ok(())
    }

    scalars!();
}

/// Schemas by name.
struct Named<'w> {
    walk: &'w mut Walk,
    reachable: bool,
}

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("schemas by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            self.walk.path.push(name);
            let schema = Schema { walk: &mut *self.walk, reachable: self.reachable };
            let read = map.next_value_seed(schema);
            self.walk.path.pop();
            read?;
        }
        Ok(())
    }

    // What is no object has no schemas; the tool's own checks say so.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    scalars!();
}

#[cfg(test)]
mod tests {
    use mcp_types::{Items, JsonSchema, Listed};

    use super::*;

    fn tool(schema: &str) -> Tool {
        Tool::new("t", JsonSchema::new(RawText::new(schema).unwrap()).unwrap())
    }

    fn property(schema: &str) -> String {
        format!(r#"{{"type":"object","properties":{{"p":{schema}}}}}"#)
    }

    /// The headers of a call after the tool was listed, or why the tool was set aside.
    fn headers(schema: &str, arguments: &str) -> Result<Vec<(String, String)>, String> {
        let mirrors = Mirrors::default();
        mirrors.learn_tool(&tool(schema)).map_err(|error| error.to_string())?;
        let mut call = CallToolRequestParams::new("t");
        call.arguments = RawText::new(arguments).ok();
        let mut headers = HeaderMap::new();
        mirrors.add(&mut headers, &call);
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        Ok(headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    #[test]
    fn values_become_headers() {
        for (kind, argument, header) in [
            (r#""string""#, r#""us-west1""#, Some("us-west1")),
            (r#""string""#, r#""""#, Some("")),
            (r#""string""#, r#""gr\u00fcn""#, Some("=?base64?Z3LDvG4=?=")),
            (r#""string""#, r#"" x""#, Some("=?base64?IHg=?=")),
            (r#""string""#, "null", None),
            (r#""string""#, r#"["x"]"#, None),
            (r#""integer""#, "-7", Some("-7")),
            (r#""integer""#, "42.0", Some("42")),
            (r#""integer""#, "1e3", Some("1000")),
            (r#""integer""#, "9007199254740993", Some("9007199254740993")),
            (r#""boolean""#, "true", Some("true")),
            (r#"["string","null"]"#, r#""x""#, Some("x")),
        ] {
            let schema = property(&format!(r#"{{"x-mcp-header":"Region","type":{kind}}}"#));
            let seen = headers(&schema, &format!(r#"{{"p":{argument}}}"#)).unwrap();
            let expected = header.map(|value| ("mcp-param-region".to_owned(), value.to_owned()));
            assert_eq!(seen, Vec::from_iter(expected), "{kind} {argument}");
            assert_eq!(headers(&schema, "{}").unwrap(), []);
        }
        let nested = r#"{"properties":{"a":{"type":"object","properties":{
            "b":{"type":"string","x-mcp-header":"B"}}}, "c":{"type":"string"}}}"#;
        let seen = headers(nested, r#"{"a":{"b":"1"},"c":"2"}"#).unwrap();
        assert_eq!(seen, [("mcp-param-b".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_bad_annotation_sets_the_tool_aside() {
        for (name, kind) in [
            (r#""""#, r#""string""#),
            (r#""A B""#, r#""string""#),
            (r#""A:B""#, r#""string""#),
            (r#""Grün""#, r#""string""#),
            (r#""A\tB""#, r#""string""#),
            (r#""A\r\nB""#, r#""string""#),
            ("7", r#""string""#),
            (r#""A""#, r#""object""#),
            (r#""A""#, r#""array""#),
            (r#""A""#, r#""null""#),
            (r#""A""#, r#""number""#),
            (r#""A""#, r#"["string","number"]"#),
            (r#""A""#, "7"),
        ] {
            let schema = property(&format!(r#"{{"type":{kind},"x-mcp-header":{name}}}"#));
            let error = headers(&schema, "{}").unwrap_err();
            assert!(error.starts_with("`inputSchema.properties.p`: "), "{schema}: {error}");
        }
        let mark = r#"{"type":"string","x-mcp-header":"A"}"#;
        for schema in [
            r#"{"x-mcp-header":"A","type":"object"}"#.to_owned(),
            format!(r#"{{"properties":{{"a":{mark},"b":{}}}}}"#, mark.replace('A', "a")),
            format!(r#"{{"properties":{{"a":{{"type":"array","items":{mark}}}}}}}"#),
            format!(r#"{{"anyOf":[{{"properties":{{"a":{mark}}}}}]}}"#),
            format!(r#"{{"if":{{"properties":{{"a":{mark}}}}}}}"#),
            format!(r##"{{"$defs":{{"a":{mark}}},"properties":{{"b":{{"$ref":"#/$defs/a"}}}}}}"##),
            format!(r#"{{"additionalProperties":{mark}}}"#),
            property(&mark.replace("x-mcp", r"x\u002dmcp")).replace("string", "array"),
        ] {
            assert!(headers(&schema, "{}").is_err(), "{schema}");
        }
        let many = |count: usize| {
            let each = |n| format!(r#""p{n}":{{"type":"string","x-mcp-header":"H{n}"}}"#);
            let all: Vec<_> = (0..count).map(each).collect();
            format!(r#"{{"properties":{{{}}}}}"#, all.join(","))
        };
        assert!(headers(&many(64), "{}").is_ok());
        assert!(headers(&many(65), "{}").is_err_and(|error| error.contains("more arguments")));
        for harmless in [
            property(r#"{"default":{"x-mcp-header":"A B"},"const":{"x-mcp-header":1}}"#),
            r#"{"properties":{"x-mcp-header":{"type":"array"}}}"#.to_owned(),
            r#"{"properties":true,"description":"x-mcp-header"}"#.to_owned(),
        ] {
            assert_eq!(headers(&harmless, "{}"), Ok(Vec::new()), "{harmless}");
        }
    }

    #[test]
    fn one_bad_tool_does_not_lose_the_listing() {
        let good = property(r#"{"type":"string","x-mcp-header":"A"}"#);
        let bad = good.replace("string", "number");
        let tools = [&bad, &good, &bad].map(|schema| Listed::new(tool(schema)).unwrap().into());
        let mut listing = ListToolsResult::new(Items::from(tools.to_vec()));
        Mirrors::default().learn(&mut listing);
        let indexes: Vec<_> = listing.tools.bad().iter().map(|bad| bad.index).collect();
        assert_eq!((listing.tools.len(), indexes), (1, vec![0, 2]));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_with_the_annotation() {
        let mirrors = Mirrors::default();
        let annotated = tool(&property(r#"{"type":"string","x-mcp-header":"A"}"#));
        let refused = (0..100_000).find(|n| {
            let mut tool = annotated.clone();
            tool.name = n.to_string();
            mirrors.learn_tool(&tool).is_err()
        });
        assert!(refused.is_some_and(|n| n > 1000), "{refused:?}");
        assert!(mirrors.lock().size <= MOST);
        let mut plain = tool(&property(r#"{"type":"string"}"#));
        plain.name = "0".into();
        mirrors.learn_tool(&plain).unwrap();
        assert!(!mirrors.lock().tools.contains_key("0"));
    }
}
