//! Whatever a file holds, an edit touches one entry: JSON with comments, commas and white space that
//! nobody would write.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use etdi_clients::{Edit, Format, Value};
use proptest::prelude::*;

fn space() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        6 => Just(String::new()),
        3 => Just(" ".to_owned()),
        2 => Just("\n  ".to_owned()),
        1 => Just("\r\n\t".to_owned()),
        1 => Just(" /* , } \" */ ".to_owned()),
        1 => Just(" // , { \"\n".to_owned()),
    ];
    proptest::collection::vec(one, 0..3).prop_map(|parts| parts.concat())
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("-1.50e3".to_owned()),
        Just("12345678901234567890123".to_owned()),
        "[a-zé/ ,{}#*]{0,8}".prop_map(|text| Value::text(text).to_json().to_string()),
        Just("\"\\u0041\\/\"".to_owned()),
    ]
}

/// A map as text, with the separators that its place allows.
fn map(inner: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> {
    let member = ("[a-e]{1,2}", space(), space(), inner, space(), space());
    (proptest::collection::vec(member, 0..4), any::<bool>(), space()).prop_map(
        |(members, trailing, end)| {
            let mut seen = std::collections::BTreeSet::new();
            let members: Vec<String> = members
                .into_iter()
                .filter(|(name, ..)| seen.insert(name.clone()))
                .map(|(name, a, b, value, c, d)| format!("{d}\"{name}\"{a}:{b}{value}{c}"))
                .collect();
            let comma = if trailing && !members.is_empty() { "," } else { "" };
            format!("{{{}{comma}{end}}}", members.join(","))
        },
    )
}

fn document() -> impl Strategy<Value = String> {
    let value = scalar().boxed().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            map(inner.clone()).boxed(),
            (proptest::collection::vec(inner, 0..3), space())
                .prop_map(|(values, space)| format!("[{}{space}]", values.join(",")))
                .boxed(),
        ]
    });
    (space(), map(value), space()).prop_map(|(before, map, after)| format!("{before}{map}{after}"))
}

/// All comments of a text, in order.
fn remarks(text: &str) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut rest = text;
    let mut quoted = false;
    while let Some(first) = rest.chars().next() {
        let skip = match (quoted, first) {
            (true, '\\') => 2,
            (_, '"') => {
                quoted = !quoted;
                1
            }
            (false, '/') if rest.starts_with("/*") || rest.starts_with("//") => {
                let end = if rest.starts_with("/*") {
                    rest.find("*/").unwrap() + 2
                } else {
                    rest.find('\n').unwrap_or(rest.len())
                };
                remarks.push(rest[..end].trim_end().to_owned());
                end
            }
            _ => first.len_utf8(),
        };
        rest = &rest[skip..];
    }
    remarks
}

/// Whether every byte of a text is in another one, in its order, with something put in at two places
/// at most. White space in a map that was empty does not count.
fn is_text_with_more(text: &str, with: &str) -> bool {
    let is_one = |text: &str, with: &str| {
        let pairs = text.bytes().zip(with.bytes());
        let before = pairs.take_while(|(one, two)| one == two).count();
        let pairs = text.bytes().rev().zip(with.bytes().rev());
        let after = pairs.take_while(|(one, two)| one == two).count();
        let (text, with) = (text.as_bytes(), with.as_bytes());
        let Some(middle) = text.get(before..text.len().saturating_sub(after)) else { return true };
        let rest = &with[before..with.len() - after];
        middle.is_empty() || rest.windows(middle.len()).any(|window| window == middle)
    };
    let is_empty = Format::Json.parse(text).unwrap().members().is_empty();
    with.len() > text.len()
        && if is_empty { is_one(&dense(text), &dense(with)) } else { is_one(text, with) }
}

fn dense(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_entry_comes_and_goes(text in document()) {
        let value = Value::Map(vec![("command".into(), Value::text("x"))]);
        let before = Format::Json.parse(&text).unwrap().value();
        for path in [vec!["zz".to_owned()], vec!["zy".to_owned(), "zz".to_owned()]] {
            let with = Format::Json.edit(&text, &[Edit::Set(path.clone(), value.clone())]).unwrap();
            prop_assert!(is_text_with_more(&text, &with), "{text:?} became {with:?}");
            prop_assert_eq!(remarks(&text), remarks(&with));
            let mut expected = before.clone();
            expected.set(&path, value.clone());
            prop_assert_eq!(Format::Json.parse(&with).unwrap().value().to_json(), expected.to_json());
            let less = Format::Json.edit(&with, &[Edit::Remove(path.clone())]).unwrap();
            prop_assert_eq!(remarks(&text), remarks(&less));
            if path.len() == 1 {
                prop_assert_eq!(dense(&less), dense(&text));
            }
        }
    }

    #[test]
    fn any_member_can_go_and_the_others_stay(text in document()) {
        let root = Format::Json.parse(&text).unwrap().value();
        for (name, _) in root.members() {
            let less = Format::Json.edit(&text, &[Edit::Remove(vec![name.clone()])]).unwrap();
            let mut expected = root.clone();
            expected.remove(std::slice::from_ref(name));
            prop_assert_eq!(Format::Json.parse(&less).unwrap().value().to_json(), expected.to_json());
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "[\\[\\]{}\":,/*#a=\n -]{0,40}") {
        for format in [Format::Json, Format::Toml, Format::Yaml] {
            let value = Value::Map(vec![("command".into(), Value::text("x"))]);
            let path = vec!["m".to_owned(), "n".to_owned()];
            if let Ok(with) = format.edit(&text, &[Edit::Set(path.clone(), value)]) {
                prop_assert!(format.parse(&with).unwrap().at(&path).is_some());
                let _ = format.edit(&with, &[Edit::Remove(path)]);
            }
        }
    }
}
