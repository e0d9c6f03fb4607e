//! What SARIF 2.1.0 demands of the documents that we write, as a table of its objects.
//!
//! The schema of OASIS is no file of this repository; this is the part of it that our documents use,
//! written down by hand from the standard, and stricter: a member that is not in the table is a fault, as
//! one that is misspelt is in the schema (`additionalProperties: false`). Section numbers are the
//! standard's.

use serde_json::Value;

/// What a member has to be.
enum Is {
    /// A text that is not empty.
    Text,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number from here on.
    From(i64),
    Flag,
    /// A reference to a place (RFC 3986).
    Reference,
    Object(&'static Object),
    /// A list of such objects; no two alike where that is demanded.
    List(&'static Object, bool),
    /// Texts by names that are ours.
    Texts,
    /// A property bag (3.8): its `tags` are texts, no two alike.
    Bag,
}

/// An object of the standard: its members, and whether each is demanded.
struct Object {
    section: &'static str,
    members: &'static [(&'static str, bool, Is)],
}

macro_rules! objects {
    ($($name:ident $section:literal { $($member:literal $demanded:literal $is:expr;)* })*) => {
        $(static $name: Object = Object { section: $section, members: &[$(($member, $demanded, $is)),*] };)*
    };
}

const LEVELS: &[&str] = &["none", "note", "warning", "error"];

objects! {
    LOG "3.13" {
        "$schema" false Is::Reference;
        "version" true Is::OneOf(&["2.1.0"]);
        "runs" true Is::List(&RUN, false);
    }
    RUN "3.14" {
        "tool" true Is::Object(&TOOL);
        "columnKind" false Is::OneOf(&["utf16CodeUnits", "unicodeCodePoints"]);
        "invocations" false Is::List(&INVOCATION, false);
        "results" true Is::List(&RESULT, false);
    }
    TOOL "3.18" {
        "driver" true Is::Object(&COMPONENT);
    }
    COMPONENT "3.19" {
        "name" true Is::Text;
        "semanticVersion" false Is::Text;
        "rules" false Is::List(&RULE, true);
    }
    INVOCATION "3.20" {
        "executionSuccessful" true Is::Flag;
        "toolExecutionNotifications" false Is::List(&NOTIFICATION, false);
    }
    NOTIFICATION "3.58" {
        "level" false Is::OneOf(LEVELS);
        "message" true Is::Object(&MESSAGE);
    }
    MESSAGE "3.11" {
        "text" true Is::Text;
    }
    MULTIFORMAT "3.12" {
        "text" true Is::Text;
        "markdown" false Is::Text;
    }
    RULE "3.49" {
        "id" true Is::Text;
        "name" false Is::Text;
        "shortDescription" false Is::Object(&MULTIFORMAT);
        "fullDescription" false Is::Object(&MULTIFORMAT);
        "help" false Is::Object(&MULTIFORMAT);
        "defaultConfiguration" false Is::Object(&CONFIGURATION);
        "properties" false Is::Bag;
    }
    CONFIGURATION "3.50" {
        "level" false Is::OneOf(LEVELS);
    }
    RESULT "3.27" {
        "ruleId" true Is::Text;
        "ruleIndex" false Is::From(0);
        "level" false Is::OneOf(LEVELS);
        "message" true Is::Object(&MESSAGE);
        "locations" false Is::List(&LOCATION, false);
        "partialFingerprints" false Is::Texts;
        "properties" false Is::Bag;
    }
    LOCATION "3.28" {
        "physicalLocation" false Is::Object(&PHYSICAL);
        "logicalLocations" false Is::List(&LOGICAL, true);
    }
    LOGICAL "3.33" {
        "name" false Is::OneOf(&[]);
        "fullyQualifiedName" false Is::Text;
        "kind" false Is::Text;
        "decoratedName" false Is::OneOf(&[]);
    }
    PHYSICAL "3.29" {
        "artifactLocation" true Is::Object(&ARTIFACT);
        "region" false Is::Object(&REGION);
    }
    ARTIFACT "3.4" {
        "uri" true Is::Reference;
    }
    REGION "3.30" {
        "startLine" true Is::From(1);
        "startColumn" false Is::From(1);
        "endLine" false Is::From(1);
        "endColumn" false Is::From(1);
    }
}

/// Every place where a document is not as the standard demands.
pub(crate) fn faults(document: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    object(document, &LOG, "", &mut faults);
    for run in document["runs"].as_array().into_iter().flatten() {
        let rules = &run["tool"]["driver"]["rules"];
        for result in run["results"].as_array().into_iter().flatten() {
            let at = result["ruleIndex"].as_u64().and_then(|at| usize::try_from(at).ok());
            if at.is_some_and(|at| rules[at]["id"] != result["ruleId"]) {
                faults.push(format!("3.27.6: {result} is of another rule"));
            }
            for location in result["locations"].as_array().into_iter().flatten() {
                ordered(&location["physicalLocation"]["region"], &mut faults);
            }
        }
    }
    faults
}

/// A region does not end before it begins (3.30.7, 3.30.8).
fn ordered(region: &Value, faults: &mut Vec<String>) {
    let at = |line: &str, column: &str| Some((region[line].as_u64()?, region[column].as_u64()?));
    let place = at("startLine", "startColumn").zip(at("endLine", "endColumn"));
    if place.is_some_and(|(start, end)| end < start) {
        faults.push(format!("3.30: {region} ends before it begins"));
    }
}

fn object(value: &Value, of: &Object, path: &str, faults: &mut Vec<String>) {
    let Some(members) = value.as_object() else {
        return faults.push(format!("{}: `{path}` is no object", of.section));
    };
    for name in members.keys().filter(|name| !of.members.iter().any(|one| one.0 == **name)) {
        faults.push(format!("{}: `{path}/{name}` is unknown", of.section));
    }
    for (name, demanded, is) in of.members {
        let path = format!("{path}/{name}");
        match members.get(*name) {
            None if *demanded => faults.push(format!("{}: `{path}` is missing", of.section)),
            Some(value) if !fits(value, is, &path, faults) => {
                faults.push(format!("{}: `{path}` is {value}", of.section));
            }
            _ => {}
        }
    }
}

fn fits(value: &Value, is: &Is, path: &str, faults: &mut Vec<String>) -> bool {
    let text = value.as_str();
    match is {
        Is::Text => text.is_some_and(|text| !text.is_empty()),
        // A name that a definition does not have is an empty text.
        Is::OneOf([]) => text.is_some(),
        Is::OneOf(all) => text.is_some_and(|text| all.contains(&text)),
        Is::From(least) => value.as_i64().is_some_and(|number| number >= *least),
        Is::Flag => value.is_boolean(),
        Is::Reference => text.is_some_and(is_reference),
        Is::Texts => {
            let texts = value.as_object();
            texts.is_some_and(|texts| texts.values().all(Value::is_string))
        }
        Is::Bag => {
            let tags = value.get("tags").map(|tags| tags.as_array());
            let fine = |tags: Option<&Vec<Value>>| {
                tags.is_some_and(|tags| unlike(tags) && tags.iter().all(Value::is_string))
            };
            value.is_object() && tags.is_none_or(fine)
        }
        Is::Object(of) => {
            object(value, of, path, faults);
            true
        }
        Is::List(of, differ) => {
            let Some(list) = value.as_array() else { return false };
            for (at, one) in list.iter().enumerate() {
                object(one, of, &format!("{path}/{at}"), faults);
            }
            !differ || unlike(list)
        }
    }
}

fn unlike(list: &[Value]) -> bool {
    list.iter().enumerate().all(|(at, one)| !list[..at].contains(one))
}

/// Whether only what a reference may have stands in it, and an escape is one.
fn is_reference(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:?[]@!$&'()*+,;=%".contains(&byte);
    let escapes = text.split('%').skip(1);
    let whole = |rest: &str| {
        rest.get(..2).is_some_and(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    !text.is_empty() && text.bytes().all(allowed) && escapes.into_iter().all(whole)
}
