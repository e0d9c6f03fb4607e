//! Definitions that cost, or that two readers understand differently (T17, T18).
//!
//! Nothing here is expanded, resolved or matched: what a schema or an expression would cost is read
//! off its form.

mod expression;
mod graph;
mod pattern;

use std::collections::HashSet;

use super::Severity;
use super::finding::{Code, Family};
use super::report::Report;
use super::subject::{Role, Subject};
use super::tree::Node;
use crate::ijson::{Document, IjsonError, Limits, Problem};
use graph::{Graph, REFERENCES};
use pattern::Cost;

pub(super) static CODES: [&Code; 13] = [
    &UNREADABLE,
    &NOT_I_JSON,
    &IMPRECISE,
    &DEEP,
    &LARGE,
    &ENDLESS,
    &EXPANDS,
    &EXTERNAL,
    &DANGLING,
    &BACKTRACKS,
    &UNJUDGED,
    &UNBOUNDED,
    &CONTRADICTORY,
];

static UNREADABLE: Code = Code {
    name: "schema/unreadable",
    family: Family::Schema,
    severity: Severity::High,
    title: "cannot be read",
    why: "What a scanner cannot read a client may still show to its model.",
    advice: "Do not use the definition; have its author publish valid JSON within the limits.",
};

static NOT_I_JSON: Code = Code {
    name: "schema/not-i-json",
    family: Family::Schema,
    severity: Severity::High,
    title: "two readers understand it differently",
    why: "A member that stands twice, or a text that is no Unicode, is read one way by who approves it \
          and another way by who uses it (RFC 7493).",
    advice: "Do not approve it; have its author publish each member once, in valid Unicode.",
};

static IMPRECISE: Code = Code {
    name: "schema/imprecise-number",
    family: Family::Schema,
    severity: Severity::Low,
    title: "a number that not every reader keeps",
    why: "Integers beyond 2^53-1 lose digits in many readers (RFC 7493, section 2.2), so that no digest \
          of the definition is certain; ETDI refuses it.",
    advice: "Write the bound as a smaller number or leave it out.",
};

/// What a text is that cannot be taken apart.
pub(super) fn unreadable(why: &str, report: &mut Report<'_, '_>) {
    report.of(&UNREADABLE, "", 1.0, format!("the definition cannot be read: {why}"));
}

static DEEP: Code = code(
    "schema/deep",
    Severity::Medium,
    "nested deeper than any form",
    "Validators and clients recurse as deep as the schema does; some end there.",
    "Ask for a schema of a few levels.",
);

static LARGE: Code = code(
    "schema/large",
    Severity::Medium,
    "larger than any form",
    "Every member and value costs whoever reads the definition, and the model's attention with every \
     request.",
    "Ask for a smaller schema; a long list of values belongs into a resource.",
);

static ENDLESS: Code = code(
    "schema/endless",
    Severity::High,
    "applies to itself without end",
    "A schema that applies to a value because it applies to the same value has no meaning, and a \
     validator that follows it never comes back.",
    "Do not validate with it; have its author remove the circle.",
);

static EXPANDS: Code = code(
    "schema/expands",
    Severity::High,
    "multiplies with each reference",
    "Whoever writes references out, or follows each of them anew, needs more time and memory than there \
     is.",
    "Do not validate with it; have its author flatten it.",
);

static EXTERNAL: Code = code(
    "schema/external-reference",
    Severity::High,
    "refers to a schema elsewhere",
    "A validator that fetches it asks an address that the server chose, from inside the user's network, \
     and what comes back is no part of what was approved.",
    "Never fetch it; have its author put the schema into the definition.",
);

static DANGLING: Code = code(
    "schema/dangling-reference",
    Severity::Low,
    "refers to what is not there",
    "Validators differ in what they make of a reference without a target: anything, nothing, an error.",
    "Have its author correct the reference.",
);

static BACKTRACKS: Code = code(
    "schema/backtracks",
    Severity::High,
    "a regular expression that takes for ever",
    "An engine that backtracks tries twice as many ways for each further character of a text that does \
     not match.",
    "Match it with a linear engine or not at all; have its author write it without nested repetition.",
);

static UNJUDGED: Code = code(
    "schema/unjudged-pattern",
    Severity::Low,
    "a regular expression that cannot be judged",
    "It is too long, too deep or no expression of ECMA-262.",
    "Match it with a linear engine or not at all.",
);

static UNBOUNDED: Code = code(
    "schema/unbounded",
    Severity::Medium,
    "asks for more than fits",
    "Bounds in the millions, one within the other, let arguments grow without any bound.",
    "Bound what you send and accept yourself.",
);

static CONTRADICTORY: Code = code(
    "schema/contradictory",
    Severity::Low,
    "nothing fits it",
    "No value meets what it asks for; validators that read it differently let different values through.",
    "Have its author correct it.",
);

const fn code(
    name: &'static str,
    severity: Severity,
    title: &'static str,
    why: &'static str,
    advice: &'static str,
) -> Code {
    Code { name, family: Family::Schema, severity, title, why, advice }
}

/// What ordinary definitions stay below by far: levels, subschemas, bytes, values of one list.
const DEPTH: usize = 40;
const SUBSCHEMAS: usize = 3_000;
const BYTES: usize = 100_000;
const VALUES: usize = 500;

/// How many subschemas a schema may come to that was written out, and how many ways may lead back.
const WRITTEN_OUT: u64 = 200_000;
const BACK: usize = 100;

/// The most expressions of one definition that are judged.
const PATTERNS: usize = 64;

/// From where on a bound is none.
const BOUND: f64 = 1e6;

pub(super) fn look(subject: &Subject<'_>, text: &str, report: &mut Report<'_, '_>) {
    if let Err(error) = Document::parse(text, Limits::DEFINITION) {
        ambiguous(&error, subject, report);
    }
    if text.len() > BYTES {
        report.of(&LARGE, "", 0.3, format!("it has {} bytes", text.len()));
    }
    let levels = depth(subject.root);
    if levels > DEPTH {
        report.of(&DEEP, "", 0.5, format!("it is nested {levels} deep"));
    }
    for name in ["inputSchema", "outputSchema", "schema"] {
        if let Some(root @ Node::Members(_)) = subject.root.get(name) {
            schema(root, name, report);
        }
    }
    patterns(subject, report);
}

fn ambiguous(error: &IjsonError, subject: &Subject<'_>, report: &mut Report<'_, '_>) {
    let (code, risk) = match error.problem() {
        Problem::IntegerTooLarge | Problem::NotRoundTrip => (&IMPRECISE, 0.0),
        Problem::DuplicateMember => {
            let mut twice = Vec::new();
            duplicates(subject.root, &mut String::new(), &mut twice);
            for path in twice {
                report.of(
                    &NOT_I_JSON,
                    &path,
                    0.7,
                    format!("{error}: one reader takes the first, one the last"),
                );
            }
            return;
        }
        // Bounds of the strict reader, which are no fault of the text.
        Problem::TooLong | Problem::TooDeep | Problem::TooMany => (&LARGE, 0.4),
        _ => (&NOT_I_JSON, 0.7),
    };
    report.of(code, "", risk, error.to_string());
}

/// The places of members that stand twice, the first few.
fn duplicates(node: &Node<'_>, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    let mut seen = HashSet::new();
    for (name, value) in node.members() {
        path.push('/');
        path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        if !seen.insert(name) && found.len() < 8 {
            found.push(path.clone());
        }
        duplicates(value, path, found);
        path.truncate(length);
    }
    for (number, value) in node.list().iter().enumerate() {
        path.push_str(&format!("/{number}"));
        duplicates(value, path, found);
        path.truncate(length);
    }
}

/// How deep a value is nested; the reader has bounded it.
fn depth(node: &Node<'_>) -> usize {
    let members = node.members().iter().map(|(_, value)| value);
    members.chain(node.list()).map(depth).max().map_or(0, |deepest| deepest + 1)
}

fn schema(root: &Node<'_>, name: &str, report: &mut Report<'_, '_>) {
    let graph = Graph::new(root);
    let path = |at| format!("/{name}{}", graph.path(at));
    if graph.all.len() > SUBSCHEMAS || graph.references > REFERENCES {
        let what = format!("{} subschemas and {} references", graph.all.len(), graph.references);
        report.of(&LARGE, &path(0), 0.4, what);
    }
    match graph.endless() {
        Some(at) => {
            report.of(&ENDLESS, &path(at), 0.6, "it applies to a value if it applies to that value")
        }
        None => {
            let (total, back) = graph.written_out();
            if total > WRITTEN_OUT {
                let what = format!("written out it would have {total} subschemas or more");
                report.of(&EXPANDS, &path(0), 0.6, what);
            } else if back > BACK {
                report.of(&EXPANDS, &path(0), 0.4, format!("{back} references lead back up"));
            }
        }
    }
    for (at, target) in &graph.external {
        let risk = external(target);
        let what = format!("it refers to {}", report.shown(target));
        report.of(&EXTERNAL, &format!("{}/$ref", path(*at)), risk, what);
    }
    for (at, target) in &graph.dangling {
        let what = format!("{} leads nowhere", report.shown(target));
        report.of(&DANGLING, &format!("{}/$ref", path(*at)), 0.02, what);
    }
    for (at, one) in graph.all.iter().enumerate() {
        values(one.node, || path(at), report);
    }
}

/// How likely a reference out of the definition is meant badly, by where it leads.
fn external(target: &str) -> f64 {
    let lower = target.to_ascii_lowercase();
    let Some((scheme, rest)) = lower.split_once("://") else { return 0.2 };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let number =
        host.split(':').next().is_some_and(|host| host.parse::<core::net::IpAddr>().is_ok());
    let inside = number
        || host.starts_with('[')
        || host.contains("localhost")
        || host.ends_with(".internal");
    match scheme {
        "http" | "https" if host == "json-schema.org" => 0.02,
        "http" | "https" if inside => 0.9,
        "http" | "https" => 0.6,
        _ => 0.9,
    }
}

/// Lists and bounds of one subschema.
fn values(node: &Node<'_>, path: impl Fn() -> String, report: &mut Report<'_, '_>) {
    let number = |name| match node.get(name) {
        Some(Node::Number(number)) => Some(*number),
        _ => None,
    };
    let long = node.get("enum").map(Node::list).filter(|list| list.len() > VALUES);
    if let Some(list) = long {
        let risk = if list.len() > 2 * VALUES { 0.4 } else { 0.08 };
        report.of(
            &LARGE,
            &format!("{}/enum", path()),
            risk,
            format!("{} values to choose from", list.len()),
        );
    }
    let inner = node.get("items").and_then(|items| items.get("maxItems"));
    let nested = matches!(inner, Some(Node::Number(inner)) if *inner >= BOUND);
    if number("maxItems").is_some_and(|most| most >= BOUND) && nested {
        report.of(
            &UNBOUNDED,
            &format!("{}/maxItems", path()),
            0.4,
            "millions of lists of millions",
        );
    }
    for name in ["minLength", "minItems", "minProperties"] {
        if number(name).is_some_and(|least| least >= BOUND) {
            report.of(
                &UNBOUNDED,
                &format!("{}/{name}", path()),
                0.5,
                "at least a million are asked for",
            );
        }
    }
    for (least, most) in [
        ("minimum", "maximum"),
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("minProperties", "maxProperties"),
    ] {
        if let (Some(low), Some(high)) = (number(least), number(most))
            && low > high
        {
            report.of(
                &CONTRADICTORY,
                &format!("{}/{least}", path()),
                0.02,
                format!("`{least}` is above `{most}`"),
            );
        }
    }
    if matches!(node.get("enum"), Some(Node::List(list)) if list.is_empty()) {
        report.of(
            &CONTRADICTORY,
            &format!("{}/enum", path()),
            0.02,
            "there is nothing to choose from",
        );
    }
    if let (Some(Node::Bool(false)), Some(Node::List(required))) =
        (node.get("additionalProperties"), node.get("required"))
        && node.get("patternProperties").is_none()
    {
        let known = |name: &str| node.get("properties").is_some_and(|all| all.get(name).is_some());
        let composed =
            ["allOf", "anyOf", "oneOf", "$ref"].iter().any(|name| node.get(name).is_some());
        let missing = required.iter().filter_map(Node::text).take(64).find(|name| !known(name));
        if let (Some(name), false) = (missing, composed) {
            let what = format!("{} is required, and not allowed", report.shown(name));
            report.of(&CONTRADICTORY, &format!("{}/required", path()), 0.02, what);
        }
    }
}

/// Regular expressions: `pattern`, and the names of `patternProperties`.
fn patterns(subject: &Subject<'_>, report: &mut Report<'_, '_>) {
    let mut judged: HashSet<&str> = HashSet::new();
    let mut left = pattern::BUDGET;
    for piece in &subject.pieces {
        let named = || subject.pointer(piece).contains("/patternProperties/");
        if piece.role != Role::Pattern && !(piece.role == Role::ParameterName && named()) {
            continue;
        }
        if judged.len() >= PATTERNS || !judged.insert(piece.text) {
            continue;
        }
        match pattern::cost(piece.text, &mut left) {
            Cost::Exponential => {
                report.at(
                    &BACKTRACKS,
                    piece,
                    None,
                    0.5,
                    "it can match the same text in twice as many ways per character",
                );
            }
            Cost::Unknown => {
                let risk = if piece.text.len() > 512 { 0.1 } else { 0.03 };
                report.at(
                    &UNJUDGED,
                    piece,
                    None,
                    risk,
                    "it is too long, too deep or no expression",
                );
            }
            Cost::Fine => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Analysis, SecurityAnalyzer};

    fn analyze(schema: &str) -> Analysis {
        let text = format!(r#"{{"name":"a","inputSchema":{schema}}}"#);
        SecurityAnalyzer::new().analyze_tool(&text)
    }

    #[test]
    fn what_costs_is_found_with_its_place() {
        let net: String = (0..30)
            .map(|n| format!(r##""d{n}":{{"oneOf":[{{"$ref":"#/$defs/d{m}"}},{{"items":{{"$ref":"#/$defs/d{m}"}}}}]}},"##, m = n + 1))
            .collect();
        let net = format!(
            r##"{{"properties":{{"a":{{"$ref":"#/$defs/d0"}}}},"$defs":{{{net}"d30":{{}}}}}}"##
        );
        let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(60), "}".repeat(60));
        let many: Vec<String> = (0..1_200).map(|n| format!("\"{n}\"")).collect();
        let many = format!(r#"{{"properties":{{"a":{{"enum":[{}]}}}}}}"#, many.join(","));
        for (schema, code, path) in [
            (r#"{"type":"object","type":"array"}"#, "schema/not-i-json", "/inputSchema/type"),
            (r##"{"allOf":[{"$ref":"#"}]}"##, "schema/endless", "/inputSchema"),
            (
                r##"{"properties":{"p":{"$ref":"#/$defs/p"}},"$defs":{"p":{"anyOf":[{"$ref":"#/$defs/q"}]},"q":{"$ref":"#/$defs/p"}}}"##,
                "schema/endless",
                "/inputSchema/$defs/p",
            ),
            (&net, "schema/expands", "/inputSchema"),
            (
                r#"{"properties":{"v":{"$ref":"http://169.254.169.254/x"}}}"#,
                "schema/external-reference",
                "/inputSchema/properties/v/$ref",
            ),
            (
                r##"{"properties":{"v":{"$ref":"#/$defs/none"}}}"##,
                "schema/dangling-reference",
                "/inputSchema/properties/v/$ref",
            ),
            (
                r#"{"properties":{"v":{"pattern":"^(a+)+$"}}}"#,
                "schema/backtracks",
                "/inputSchema/properties/v/pattern",
            ),
            (
                r#"{"patternProperties":{"^(a+)+$":{}}}"#,
                "schema/backtracks",
                "/inputSchema/patternProperties/^(a+)+$",
            ),
            (
                r#"{"properties":{"v":{"pattern":"((("}}}"#,
                "schema/unjudged-pattern",
                "/inputSchema/properties/v/pattern",
            ),
            (&deep, "schema/deep", ""),
            (&many, "schema/large", "/inputSchema/properties/a/enum"),
            (
                r#"{"properties":{"l":{"maxItems":2147483647,"items":{"maxItems":2147483647}}}}"#,
                "schema/unbounded",
                "/inputSchema/properties/l/maxItems",
            ),
            (
                r#"{"properties":{"s":{"minLength":5,"maxLength":2}}}"#,
                "schema/contradictory",
                "/inputSchema/properties/s/minLength",
            ),
            (
                r#"{"properties":{},"required":["s"],"additionalProperties":false}"#,
                "schema/contradictory",
                "/inputSchema/required",
            ),
        ] {
            let found = analyze(schema);
            let places: Vec<(&str, &str)> =
                found.findings.iter().map(|one| (one.code.name, &*one.path)).collect();
            let same = |place: &(&str, &str)| *place == (code, path);
            assert!(places.iter().any(same), "{schema:.80}: {places:?}");
        }
    }

    #[test]
    fn honest_schemas_are_quiet() {
        for schema in [
            r##"{"properties":{"tree":{"$ref":"#/$defs/n"}},"$defs":{"n":{"properties":{"left":{"$ref":"#/$defs/n"},"right":{"$ref":"#/$defs/n"}}}}}"##,
            r##"{"properties":{"a":{"$ref":"#/properties/b"},"b":{"type":"string"},"c":{"$ref":"#x"},"d":{"$anchor":"x"}}}"##,
            r##"{"$id":"https://a.example/s","properties":{"a":{"$ref":"https://a.example/s"}}}"##,
            r##"{"properties":{"a~b":{"type":"string"},"c":{"$ref":"#/properties/a~0b"},"d":{"$ref":"#/properties/a%7E0b"}}}"##,
            r#"{"properties":{"n":{"minimum":0,"maximum":9007199254740991,"maxItems":10}}}"#,
        ] {
            let found = analyze(schema);
            assert!(found.findings.is_empty(), "{schema}: {:#?}", found.findings);
        }
    }

    #[test]
    fn no_schema_is_too_much() {
        let chain: String =
            (0..20_000).map(|n| format!(r##""d{n}":{{"$ref":"#/$defs/d{}"}},"##, n + 1)).collect();
        analyze(&format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{chain}"d20000":{{}}}}}}"##));
        let wide: String =
            (0..20_000).map(|n| format!(r#""p{n}":{{"pattern":"(a|b{n})*"}},"#)).collect();
        analyze(&format!(r#"{{"properties":{{{wide}"z":{{}}}}}}"#));
    }
}
