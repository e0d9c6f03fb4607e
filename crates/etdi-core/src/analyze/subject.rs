//! What is looked at: every text and every name of a definition, each with its place and its role.

use core::fmt::Write;
use std::collections::HashSet;

use serde::Serialize;

use super::tree::Node;
use crate::base64url;
use crate::wire;

/// What a definition defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A tool of `tools/list`.
    Tool,
    /// A prompt of `prompts/list`.
    Prompt,
    /// A resource of `resources/list`.
    Resource,
    /// A template of `resources/templates/list`.
    Template,
    /// What a server says of itself: `instructions`, `serverInfo`.
    Server,
    /// What a tool gave back: `content`, `structuredContent`.
    Result,
}

impl Kind {
    /// The kind that a name of JSON lines stands for: its own, and `instructions` and `error` beside.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "tool" => Self::Tool,
            "prompt" => Self::Prompt,
            "resource" => Self::Resource,
            "template" | "resource_template" => Self::Template,
            "server" | "instructions" => Self::Server,
            "result" | "error" => Self::Result,
            _ => return None,
        })
    }

    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "template",
            Self::Server => "server",
            Self::Result => "result",
        }
    }

    /// The kind by the members that only it has; a tool where nothing tells.
    pub(super) fn of(node: &Node<'_>) -> Self {
        let has = |name| node.get(name).is_some();
        if has("inputSchema") {
            Self::Tool
        } else if has("uriTemplate") {
            Self::Template
        } else if has("content") || has("structuredContent") {
            Self::Result
        } else if has("instructions") || has("serverInfo") {
            Self::Server
        } else if has("uri") {
            Self::Resource
        } else if matches!(node.get("arguments"), Some(Node::List(_))) {
            Self::Prompt
        } else {
            Self::Tool
        }
    }
}

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The name of the thing itself.
    Name,
    /// A title, of the thing or of a part.
    Title,
    /// The description of the thing itself, instructions of a server.
    Description,
    /// The name of a parameter: a member of `properties`, or an argument of a prompt.
    ParameterName,
    /// What a schema says of a parameter or of itself.
    ParameterText,
    /// A value: `enum`, `const`, `default`, `examples`, `required`.
    Value,
    /// A regular expression.
    Pattern,
    /// A URI: of a resource, an icon, `$ref`, `$id`, `$schema`.
    Uri,
    /// A keyword's value with a fixed vocabulary, such as `type`.
    Keyword,
    /// The name of any other member.
    Key,
    /// Any other text: `_meta`, unknown members.
    Other,
    /// What a tool gave back.
    Output,
    /// A signed statement: letters, digits and dots where ETDI keeps them.
    Statement,
}

/// One text or name.
#[derive(Clone, Debug)]
pub(super) struct Piece<'a> {
    pub(super) role: Role,
    pub(super) text: &'a str,
    /// Whether it stands in the output schema.
    pub(super) output: bool,
    /// Which parameter it is about.
    pub(super) parameter: Option<&'a str>,
    place: usize,
}

/// A step of a path: where from, and by which name or number.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    parent: usize,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Name(&'a str),
    Number(usize),
}

/// A definition taken apart.
pub(super) struct Subject<'a> {
    pub(super) kind: Kind,
    /// What it is called; empty if it has no name.
    pub(super) name: &'a str,
    pub(super) root: &'a Node<'a>,
    pub(super) pieces: Vec<Piece<'a>>,
    places: Vec<Place<'a>>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(kind: Kind, root: &'a Node<'a>) -> Self {
        let named = match kind {
            Kind::Server => root.get("serverInfo"),
            _ => Some(root),
        };
        let name = named.and_then(|node| node.get("name")).and_then(Node::text).unwrap_or("");
        let places = vec![Place { parent: 0, step: Step::Root }];
        let mut subject = Self { kind, name, root, pieces: Vec::new(), places };
        subject.thing(root);
        subject
    }

    /// The place of a piece as a JSON pointer.
    pub(super) fn pointer(&self, piece: &Piece<'_>) -> String {
        let mut steps = Vec::new();
        let mut at = piece.place;
        while let Some(Place { parent, step }) = self.places.get(at)
            && !matches!(step, Step::Root)
        {
            steps.push(*step);
            at = *parent;
        }
        let mut pointer = String::new();
        for step in steps.iter().rev() {
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Name(name) => {
                    write!(pointer, "/{}", name.replace('~', "~0").replace('/', "~1"))
                }
                Step::Number(number) => write!(pointer, "/{number}"),
                Step::Root => Ok(()),
            };
        }
        pointer
    }

    /// The pieces that have one of these roles.
    pub(super) fn of_roles<'s>(&'s self, roles: &'s [Role]) -> impl Iterator<Item = &'s Piece<'a>> {
        self.pieces.iter().filter(|piece| roles.contains(&piece.role))
    }

    /// The names of the parameters, each once for each place.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &Piece<'a>> {
        self.pieces.iter().filter(|piece| piece.role == Role::ParameterName && !piece.output)
    }

    /// Values that parameters take.
    pub(super) fn values(&self) -> impl Iterator<Item = &Piece<'a>> {
        self.pieces.iter().filter(|piece| piece.role == Role::Value && !piece.output)
    }

    fn place(&mut self, parent: usize, step: Step<'a>) -> usize {
        self.places.push(Place { parent, step });
        self.places.len() - 1
    }

    fn piece(&mut self, role: Role, text: &'a str, place: usize, scope: Scope<'a>) {
        if text.is_empty() {
            return;
        }
        let role = match role {
            // The model reads these as well, whatever stands there.
            Role::Keyword if !is_keyword(text) => Role::Other,
            role => role,
        };
        let Scope { output, parameter } = scope;
        let name = matches!(role, Role::Name | Role::ParameterName | Role::Key);
        self.pieces.push(Piece { role, text, output, parameter, place });
        // A name of many words is a sentence besides.
        if name && text.split_whitespace().nth(WORDS).is_some() {
            self.pieces.push(Piece { role: Role::Other, text, output, parameter, place });
        }
    }

    /// The members of the thing itself.
    fn thing(&mut self, node: &'a Node<'a>) {
        let scope = Scope::default();
        if let Node::Text(text) = node {
            self.piece(Role::Description, text, 0, scope);
        }
        for (name, value) in node.members() {
            let place = self.place(0, Step::Name(name));
            match (&**name, self.kind) {
                ("inputSchema", _) => self.schema(value, place, scope),
                ("outputSchema", _) => self.schema(value, place, Scope { output: true, ..scope }),
                ("name", _) => self.any(value, place, Role::Name, scope),
                ("title", _) => self.any(value, place, Role::Title, scope),
                ("description" | "instructions", _) => {
                    self.any(value, place, Role::Description, scope);
                }
                ("uri" | "uriTemplate", _) => self.any(value, place, Role::Uri, scope),
                ("arguments", Kind::Prompt) => self.arguments(value, place),
                ("content" | "structuredContent", _) => self.any(value, place, Role::Output, scope),
                ("_meta", _) => self.meta(value, place),
                ("annotations" | "icons" | "serverInfo" | "execution" | "mimeType", _) => {
                    self.any(value, place, Role::Other, scope);
                }
                (other, _) => {
                    self.piece(Role::Key, other, place, scope);
                    self.any(value, place, Role::Other, scope);
                }
            }
        }
    }

    /// What stands in `_meta`. Statements of ETDI are no texts; what is none stays one.
    fn meta(&mut self, node: &'a Node<'a>, place: usize) {
        let before = self.pieces.len();
        self.any(node, place, Role::Other, Scope::default());
        let block = node.get(wire::TOOL).and_then(|block| block.get(wire::ATTESTATIONS));
        let Some(Node::List(statements)) = block else { return };
        let place = |text: &str| (text.as_ptr() as usize, text.len());
        let statements: HashSet<_> = statements.iter().filter_map(Node::text).map(place).collect();
        for piece in self.pieces.iter_mut().skip(before) {
            if statements.contains(&place(piece.text)) && is_compact(piece.text) {
                piece.role = Role::Statement;
            }
        }
    }

    /// The arguments of a prompt, which are described in a list.
    fn arguments(&mut self, node: &'a Node<'a>, place: usize) {
        if !matches!(node, Node::List(_)) {
            self.any(node, place, Role::Other, Scope::default());
        }
        for (number, argument) in node.list().iter().enumerate() {
            let place = self.place(place, Step::Number(number));
            if !matches!(argument, Node::Members(_)) {
                self.any(argument, place, Role::Other, Scope::default());
            }
            let parameter = argument.get("name").and_then(Node::text);
            let scope = Scope { output: false, parameter };
            for (name, value) in argument.members() {
                let place = self.place(place, Step::Name(name));
                let role = match &**name {
                    "name" => Role::ParameterName,
                    "title" => Role::Title,
                    "description" => Role::ParameterText,
                    _ => Role::Other,
                };
                if role == Role::Other {
                    self.piece(Role::Key, name, place, scope);
                }
                self.any(value, place, role, scope);
            }
        }
    }

    fn schema(&mut self, node: &'a Node<'a>, place: usize, scope: Scope<'a>) {
        // No schema, and read all the same.
        if let Node::Text(text) = node {
            self.piece(Role::Other, text, place, scope);
        }
        for (number, item) in node.list().iter().enumerate() {
            let place = self.place(place, Step::Number(number));
            self.schema(item, place, scope);
        }
        for (name, value) in node.members() {
            let place = self.place(place, Step::Name(name));
            match &**name {
                "properties" | "patternProperties" | "dependentSchemas" | "$defs"
                | "definitions"
                    if !matches!(value, Node::Members(_)) =>
                {
                    self.schema(value, place, scope);
                }
                "properties" | "patternProperties" | "dependentSchemas" => {
                    for (name, value) in value.members() {
                        let place = self.place(place, Step::Name(name));
                        let scope = Scope { parameter: Some(name), ..scope };
                        self.piece(Role::ParameterName, name, place, scope);
                        self.schema(value, place, scope);
                    }
                }
                "$defs" | "definitions" => {
                    for (name, value) in value.members() {
                        let place = self.place(place, Step::Name(name));
                        self.piece(Role::Key, name, place, scope);
                        self.schema(value, place, scope);
                    }
                }
                "items"
                | "prefixItems"
                | "additionalItems"
                | "unevaluatedItems"
                | "contains"
                | "additionalProperties"
                | "unevaluatedProperties"
                | "propertyNames"
                | "allOf"
                | "anyOf"
                | "oneOf"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contentSchema" => {
                    self.schema(value, place, scope);
                }
                "description" | "$comment" => self.any(value, place, Role::ParameterText, scope),
                "title" => self.any(value, place, Role::Title, scope),
                "enum" | "const" | "default" | "examples" | "example" | "required"
                | "dependentRequired" | "enumNames" => self.any(value, place, Role::Value, scope),
                "pattern" => self.any(value, place, Role::Pattern, scope),
                "$ref" | "$id" | "$schema" | "$anchor" | "$dynamicRef" | "$dynamicAnchor" => {
                    self.any(value, place, Role::Uri, scope);
                }
                "type" | "format" | "contentEncoding" | "contentMediaType" => {
                    self.any(value, place, Role::Keyword, scope);
                }
                other => {
                    if !NUMBERS.contains(&other) {
                        self.piece(Role::Key, other, place, scope);
                    }
                    self.any(value, place, Role::Other, scope);
                }
            }
        }
    }

    /// Every text below a value, and every name.
    fn any(&mut self, node: &'a Node<'a>, place: usize, role: Role, scope: Scope<'a>) {
        match node {
            Node::Text(text) => self.piece(role, text, place, scope),
            Node::List(list) => {
                for (number, item) in list.iter().enumerate() {
                    let place = self.place(place, Step::Number(number));
                    self.any(item, place, role, scope);
                }
            }
            Node::Members(members) => {
                for (name, value) in members {
                    let place = self.place(place, Step::Name(name));
                    self.piece(Role::Key, name, place, scope);
                    self.any(value, place, role, scope);
                }
            }
            Node::Null | Node::Bool(_) | Node::Number(_) => {}
        }
    }
}

/// How many words a name has at most that is nothing but a name.
const WORDS: usize = 4;

/// Whether a text is short and of such characters as names of types, formats and media types have.
fn is_keyword(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-+./_*".contains(&byte);
    text.len() <= 40 && text.bytes().all(fits)
}

/// Whether a text is a JWS in its compact form (RFC 7515, section 3.1): words with dots between them are none.
fn is_compact(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(4, '.').collect();
    let object = |part: &str| {
        let bytes = base64url::decode(part);
        bytes.is_some_and(|bytes| serde_json::from_slice::<Named>(&bytes).is_ok())
    };
    match parts.as_slice() {
        [header, payload, signature] => {
            object(header) && object(payload) && base64url::decode(signature).is_some()
        }
        _ => false,
    }
}

/// An object, whatever it holds.
type Named = std::collections::BTreeMap<String, serde::de::IgnoredAny>;

/// Keywords that hold numbers or truth values, whose names say nothing.
const NUMBERS: [&str; 19] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "readOnly",
    "writeOnly",
    "deprecated",
    "nullable",
    "additionalProperties",
];

#[derive(Clone, Copy, Default)]
struct Scope<'a> {
    output: bool,
    parameter: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_and_every_name_is_a_piece() {
        let text = r##"{"name":"a","title":"b","description":"c","inputSchema":{"type":"object",
            "properties":{"p/q":{"description":"d","enum":["e",{"f":"g"}],"pattern":"h","x-i":"j"}},
            "$defs":{"k":{"title":"l","items":{"anyOf":[{"const":"m"}]}}},"required":["p/q"]},
            "outputSchema":{"properties":{"n":{"default":"o","examples":["p"]}}},
            "annotations":{"title":"q"},"icons":[{"src":"r"}],"_meta":{"s":{"t":["u"]}},"v":"w"}"##;
        let node = Node::read(text).unwrap();
        let subject = Subject::new(Kind::of(&node), &node);
        let mut seen: Vec<String> = subject
            .pieces
            .iter()
            .map(|piece| format!("{} {} {:?}", subject.pointer(piece), piece.text, piece.role))
            .collect();
        seen.sort();
        for wanted in [
            "/description c Description",
            "/inputSchema/$defs/k/items/anyOf/0/const m Value",
            "/inputSchema/properties/p~1q p/q ParameterName",
            "/inputSchema/properties/p~1q/enum/1/f g Value",
            "/inputSchema/properties/p~1q/x-i j Other",
            "/inputSchema/properties/p~1q/x-i x-i Key",
            "/outputSchema/properties/n/examples/0 p Value",
            "/annotations/title q Other",
            "/_meta/s/t/0 u Other",
            "/v v Key",
            "/v w Other",
        ] {
            assert!(seen.iter().any(|one| one == wanted), "{wanted}: {seen:#?}");
        }
        // Every letter of the text above is in some piece.
        for letter in 'a'..='w' {
            assert!(
                subject.pieces.iter().any(|piece| piece.text.contains(letter)),
                "{letter}: {seen:#?}"
            );
        }
        let of = |name: &str| subject.pieces.iter().find(|piece| piece.text == name).unwrap();
        assert!(of("o").output && !of("d").output);
        assert_eq!(of("d").parameter, Some("p/q"));
        assert_eq!((subject.name, subject.kind), ("a", Kind::Tool));
    }

    #[test]
    fn a_statement_is_a_jws_and_words_with_dots_are_none() {
        let role = |text: &str| {
            let text = format!(
                r#"{{"name":"a","inputSchema":{{}},"_meta":{{"dev.etdi/etdi":{{"attestations":["{text}"]}}}}}}"#
            );
            let node = Node::read(&text).unwrap();
            let subject = Subject::new(Kind::Tool, &node);
            subject.pieces.last().unwrap().role
        };
        let object = crate::base64url::encode(br#"{"alg":"ES256"}"#);
        assert_eq!(role(&format!("{object}.{object}.AAAA")), Role::Statement);
        for words in ["Read.the.key_file-first", "a.b.c", &format!("{object}.Read.AAAA")] {
            assert_eq!(role(words), Role::Other, "{words}");
        }
    }

    #[test]
    fn kinds_are_known_by_their_members() {
        for (text, kind) in [
            (r#"{"name":"a","inputSchema":{}}"#, Kind::Tool),
            (r#"{"name":"a","arguments":[{"name":"b","description":"c"}]}"#, Kind::Prompt),
            (r#"{"name":"a","uriTemplate":"b://{c}"}"#, Kind::Template),
            (r#"{"name":"a","uri":"b://c"}"#, Kind::Resource),
            (r#"{"serverInfo":{"name":"a"},"instructions":"b"}"#, Kind::Server),
            (r#"{"content":[{"type":"text","text":"b"}]}"#, Kind::Result),
            (r#"{"name":"a","description":"b"}"#, Kind::Tool),
        ] {
            assert_eq!(Kind::of(&Node::read(text).unwrap()), kind, "{text}");
        }
    }
}
