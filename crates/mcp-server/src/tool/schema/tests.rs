//! Schemas as clients see them.

#![allow(dead_code)]

use std::collections::BTreeMap;

use super::*;

#[derive(Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Note {
    /// The id.
    id: u64,
    title: Option<String>,
    kind: Option<Kind>,
    at: Option<Place>,
}

#[derive(Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Short,
    Long,
}

#[derive(Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Place {
    x: f64,
    z: Option<f32>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Tree {
    label: Option<String>,
    children: Vec<Tree>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Event {
    Opened { by: Option<String> },
    Closed,
}

fn output<T: schemars::JsonSchema + 'static>() -> String {
    Shape::of::<T>().unwrap().schema.text().to_string()
}

fn written<T: schemars::JsonSchema + Serialize + 'static>(value: T) -> String {
    Shape::of::<T>().unwrap().write(&value).unwrap().to_string()
}

#[test]
fn arguments_are_plain() {
    assert_eq!(
        input::<Note>().unwrap().text().get(),
        concat!(
            r#"{"properties":{"at":{"properties":{"x":{"type":"number"},"z":{"type":"number"}},"#,
            r#""required":["x"],"type":"object"},"id":{"description":"The id.","minimum":0,"type":"integer"},"#,
            r#""kind":{"enum":["short","long"],"type":"string"},"title":{"type":"string"}},"#,
            r#""required":["id"],"type":"object"}"#
        )
    );
}

#[test]
fn an_object_stays_and_its_options_are_left_out() {
    assert_eq!(
        output::<Place>(),
        r#"{"properties":{"x":{"type":"number"},"z":{"type":"number"}},"required":["x"],"type":"object"}"#
    );
    assert_eq!(written(Place { x: 1.5, z: None }), r#"{"x":1.5}"#);
    let note =
        Note { id: 7, title: None, kind: Some(Kind::Long), at: Some(Place { x: 0.0, z: None }) };
    assert_eq!(written(note), r#"{"id":7,"kind":"long","at":{"x":0.0}}"#);
}

#[test]
fn everything_else_is_wrapped() {
    let under_result = |schema: &str| {
        format!(r#"{{"properties":{{"result":{schema}}},"required":["result"],"type":"object"}}"#)
    };
    assert_eq!(output::<i64>(), under_result(r#"{"type":"integer"}"#));
    assert_eq!(
        output::<Vec<u8>>(),
        under_result(r#"{"items":{"maximum":255,"minimum":0,"type":"integer"},"type":"array"}"#)
    );
    assert_eq!(
        output::<BTreeMap<String, bool>>(),
        under_result(r#"{"additionalProperties":{"type":"boolean"},"type":"object"}"#)
    );
    assert_eq!(output::<Kind>(), under_result(r#"{"enum":["short","long"],"type":"string"}"#));
    assert_eq!(output::<Value>(), under_result("{}"));
    assert_eq!(written(5), r#"{"result":5}"#);
    assert_eq!(written(vec![1, 2]), r#"{"result":[1,2]}"#);
    assert_eq!(written(Event::Opened { by: None }), r#"{"result":{"kind":"opened"}}"#);
    assert_eq!(written(Value::Null), r#"{"result":null}"#);
    assert_eq!(
        output::<Option<u8>>(),
        r#"{"properties":{"result":{"maximum":255,"minimum":0,"type":"integer"}},"type":"object"}"#
    );
    assert_eq!(written(None::<u8>), "{}");
}

#[test]
fn numbers_keep_their_digits_when_members_are_left_out() {
    #[derive(Serialize, schemars::JsonSchema)]
    struct Big {
        wide: u128,
        none: Option<bool>,
        list: Vec<Option<u8>>,
    }
    let big = Big { wide: u128::MAX, none: None, list: vec![None] };
    assert_eq!(written(big), format!(r#"{{"wide":{},"list":[null]}}"#, u128::MAX));
}

#[test]
fn a_type_that_holds_itself_keeps_a_reference_that_leads_somewhere() {
    for schema in [output::<Tree>(), output::<Vec<Tree>>(), output::<Option<Tree>>()] {
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let mut references = Vec::new();
        collect(&schema, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let target = schema.pointer(reference.strip_prefix('#').unwrap()).unwrap();
            assert!(target["properties"]["children"].is_object(), "{schema} {reference}");
        }
    }
    let tree = Tree { label: None, children: vec![Tree { label: None, children: Vec::new() }] };
    assert_eq!(written(tree), r#"{"children":[{"children":[]}]}"#);
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| match value {
            Value::String(to) if name == "$ref" => references.push(to.clone()),
            other => collect(other, references),
        }),
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn a_property_may_be_called_title_or_format() {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Odd {
        title: String,
        format: Option<u32>,
        null: (),
    }
    let schema = input::<Odd>().unwrap();
    assert_eq!(
        schema.text().get(),
        concat!(
            r#"{"properties":{"format":{"minimum":0,"type":"integer"},"null":{"type":"null"},"#,
            r#""title":{"type":"string"}},"required":["title","null"],"type":"object"}"#
        )
    );
}

#[derive(Serialize, schemars::JsonSchema)]
enum Answer {
    A,
    B(Option<u8>),
    C { c: Option<u8> },
}

#[derive(Serialize, serde::Deserialize, schemars::JsonSchema)]
enum Single {
    B(Option<u8>),
}

#[derive(Serialize, schemars::JsonSchema)]
struct Answered {
    answer: Answer,
    other: Option<Single>,
}

#[derive(Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Question {
    wanted: Single,
}

/// The member names the variant; without it nobody could tell which one was meant.
#[test]
fn a_variant_without_a_value_keeps_its_name() {
    let variant = concat!(
        r#"{"additionalProperties":false,"properties":{"B":{"maximum":255,"minimum":0,"#,
        r#""type":["integer","null"]}},"required":["B"],"type":"object"}"#
    );
    assert!(output::<Answer>().contains(variant), "{}", output::<Answer>());
    assert!(output::<Single>().contains(variant), "{}", output::<Single>());
    assert!(input::<Question>().unwrap().text().get().contains(variant));
    assert_eq!(written(Answer::B(None)), r#"{"result":{"B":null}}"#);
    assert_eq!(written(Answer::B(Some(1))), r#"{"result":{"B":1}}"#);
    assert_eq!(written(Answer::A), r#"{"result":"A"}"#);
    assert_eq!(written(Answer::C { c: None }), r#"{"result":{"C":{}}}"#);
    assert_eq!(written(Single::B(None)), r#"{"result":{"B":null}}"#);
    assert_eq!(
        written(Answered { answer: Answer::B(None), other: None }),
        r#"{"answer":{"B":null}}"#
    );
    assert_eq!(
        written(Answered { answer: Answer::A, other: Some(Single::B(None)) }),
        r#"{"answer":"A","other":{"B":null}}"#
    );
}
