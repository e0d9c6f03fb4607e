//! The vectors of RFC 8785, and the laws of a canonical form.

use proptest::prelude::*;

use super::canonicalize;
use crate::ijson::{Limits, Number, Problem};

mod numbers;

/// The number of these bits, as it would be written if it were admitted.
fn number(bits: u64) -> String {
    let mut out = String::new();
    super::write_number(Number::of(f64::from_bits(bits)), &mut out);
    out
}

fn canonical(text: &str) -> String {
    canonicalize(text, Limits::DEFINITION).expect(text)
}

/// RFC 8785, sections 3.2.2 and 3.2.3, and the samples that its authors publish with it.
#[test]
fn texts_of_the_rfc() {
    for (input, output) in [
        (r#"[56, {"d": true, "10": null, "1": [ ]}]"#, r#"[56,{"1":[],"10":null,"d":true}]"#),
        (
            r#"{"peach": 1, "péché": 2, "pêche": 3, "sin": 4}"#,
            r#"{"peach":1,"péché":2,"pêche":3,"sin":4}"#,
        ),
        (
            r#"{"1": {"f": {"f": "hi", "F": 5}, "\n": 56.0}, "10": {}, "": "empty", "a": {}, "111": [{"e": "yes", "E": "no"}], "A": {}}"#,
            r#"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}"#,
        ),
        (r#"{"Unnormalized Unicode":"A\u030a"}"#, "{\"Unnormalized Unicode\":\"A\u{30a}\"}"),
        (
            r#"{"numbers": [333333333.3333333, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
                "literals": [null, true, false]}"#,
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#,
        ),
        (
            r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
                "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
                "\u00f6": "Latin Small Letter O With Diaeresis", "</script>": "Browser Challenge"}"#,
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"</script>\":\"Browser Challenge\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
        ),
    ] {
        assert_eq!(canonical(input), output);
    }
}

/// The one number of the RFC's samples that we refuse: its last digit is rounded away, so that
/// two texts with different numbers would get one digest.
#[test]
fn a_number_that_would_be_rounded_is_refused() {
    let error = canonicalize("[333333333.33333329]", Limits::DEFINITION).unwrap_err();
    assert_eq!(error.problem(), Problem::NotRoundTrip);
}

/// RFC 8785, appendix B: bits of a double, and how it is written.
#[test]
fn numbers_of_the_rfc() {
    for (bits, text) in [
        (0x0000_0000_0000_0000_u64, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        assert_eq!(number(bits), text, "{bits:x}");
        // Integers of that size are refused, however they are written.
        let is_refused = !text.contains(['.', 'e']) && text.len() > 16;
        for literal in [text, &format!("{:e}", f64::from_bits(bits))] {
            let found = canonicalize(literal, Limits::DEFINITION).map_err(|error| error.problem());
            let refused = Err(Problem::IntegerTooLarge);
            assert_eq!(found, if is_refused { refused } else { Ok(text.to_owned()) }, "{literal}");
        }
    }
}

#[test]
fn control_characters_are_escaped_as_the_rfc_says() {
    assert_eq!(
        canonical(r#""\u0000\u0001\u0008\u0009\u000a\u000b\u000c\u000d\u001f\u0020\u007f\u2028""#),
        "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \u{7f}\u{2028}\""
    );
}

/// A JSON value of a test.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let number = prop_oneof![
        (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<f64>().prop_filter_map("finite, no large integer", |number| {
            let integer = number.trunc() == number && number.abs() > 1e15;
            (number.is_finite() && !integer).then(|| Value::from(number))
        }),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        "(\\PC|[\\n\\t\"\\\\])*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,4}", inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes with the members of each object turned round, white space, and escapes for all that is
/// not ASCII.
fn write_otherwise(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    let quoted = |text: &str| {
        let plain = serde_json::to_string(text).unwrap();
        let mut escaped = String::new();
        for c in plain.chars() {
            if c.is_ascii() {
                escaped.push(c);
            } else {
                c.encode_utf16(&mut [0; 2])
                    .iter()
                    .for_each(|unit| escaped.push_str(&format!("\\u{unit:04X}")));
            }
        }
        escaped
    };
    match value {
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(list) => {
            out.push_str("[ ");
            for (index, value) in list.iter().enumerate() {
                out.push_str(if index > 0 { " ,\n" } else { "" });
                write_otherwise(value, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().rev().enumerate() {
                out.push_str(if index > 0 { "\t, " } else { "" });
                out.push_str(&quoted(name));
                out.push_str(" :\r");
                write_otherwise(value, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

proptest! {
    #[test]
    fn idempotent_and_free_of_order(value in any_value()) {
        let text = value.to_string();
        let once = canonicalize(&text, Limits::MESSAGE).unwrap();
        prop_assert_eq!(&canonicalize(&once, Limits::MESSAGE).unwrap(), &once);

        let mut other = String::new();
        write_otherwise(&value, &mut other);
        prop_assert_eq!(&canonicalize(&other, Limits::MESSAGE).unwrap(), &once);

        let back: serde_json::Value = serde_json::from_str(&once).unwrap();
        prop_assert!(alike(&back, &value), "{back} {value}");
    }

    #[test]
    fn never_panics(text in "\\PC*") {
        _ = canonicalize(&text, Limits::MESSAGE);
    }

    #[test]
    fn never_panics_on_what_looks_like_json(text in r#"[\[\]{}:,"\\u0-9a-fdD8.eE+\- tnl]{0,40}"#) {
        if let Ok(once) = canonicalize(&text, Limits::MESSAGE) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            prop_assert_eq!(canonicalize(&once, Limits::MESSAGE).unwrap(), once);
        }
    }
}

/// Equal, where `1.0` and `1` are one number.
fn alike(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            // serde_json without `float_roundtrip` may miss by the last bits.
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            (left - right).abs() <= left.abs() * 1e-15 + f64::MIN_POSITIVE
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| alike(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, l)| right.get(name).is_some_and(|r| alike(l, r)))
        }
        (left, right) => left == right,
    }
}
