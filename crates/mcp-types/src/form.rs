//! Holding what a person filled in against the form that was shown (specification, "Elicitation",
//! "Requested schema"): the client does before it answers, the server before it reads.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::{
    DecodeError, ElicitRequestFormParamsRequestedSchema, NumberSchema, NumberSchemaType,
    PrimitiveSchemaDefinition, RawText, StringFormat, StringSchema,
};

mod format;

impl ElicitRequestFormParamsRequestedSchema {
    /// What does not fit in `content`, each with the name of its field: fields that must be filled
    /// in and are not, then values that are none of their field. Empty when all is well.
    ///
    /// Values without a field are passed over. No reason repeats what the person wrote.
    pub fn check(&self, content: &BTreeMap<String, RawText>) -> Vec<DecodeError> {
        let missing = self.required.iter().flatten().filter(|name| !content.contains_key(*name));
        let missing = missing.map(|name| DecodeError::new(name, "must be filled in"));
        let unfit = content.iter().filter_map(|(name, value)| {
            let reason = unfit(self.properties.get(name)?, value).err()?;
            Some(DecodeError::new(name, reason))
        });
        missing.chain(unfit).collect()
    }
}

impl StringFormat {
    /// Whether `text` is of this format; of one that a later revision added, any text is.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Email => format::is_email(text),
            Self::Uri => format::is_uri(text),
            Self::Date => format::is_date(text),
            Self::DateTime => format::is_date_time(text),
            _ => true,
        }
    }

    fn wanted(&self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::Uri => "a URI with its scheme, such as `https://example.com`",
            Self::Date => "a date, such as `2026-07-28`",
            Self::DateTime => "a time, such as `2026-07-28T12:00:00Z`",
            _ => "a text",
        }
    }
}

fn unfit(field: &PrimitiveSchemaDefinition, value: &RawText) -> Result<(), String> {
    use PrimitiveSchemaDefinition as Field;
    match field {
        Field::Boolean(_) => read::<bool>(value, "`true` or `false`").map(drop),
        Field::Number(field) => number(field, value),
        Field::String(field) => text(field, value),
        Field::TitledSingleSelect(field) => {
            choice(value, field.one_of.iter().map(|choice| choice.r#const.as_str()))
        }
        Field::UntitledSingleSelect(field) => {
            choice(value, field.r#enum.iter().map(String::as_str))
        }
        Field::LegacyTitled(field) => choice(value, field.r#enum.iter().map(String::as_str)),
        Field::TitledMultiSelect(field) => {
            let offered = field.items.any_of.iter().map(|choice| choice.r#const.as_str());
            choices(value, offered, field.min_items, field.max_items)
        }
        Field::UntitledMultiSelect(field) => {
            let offered = field.items.r#enum.iter().map(String::as_str);
            choices(value, offered, field.min_items, field.max_items)
        }
        // A kind of field that a later revision added cannot be judged here.
        _ => Ok(()),
    }
}

fn number(field: &NumberSchema, value: &RawText) -> Result<(), String> {
    let given: f64 = read(value, "a number")?;
    if field.r#type == NumberSchemaType::Integer && given.fract() != 0.0 {
        return Err("expected a whole number".to_owned());
    }
    within(given, field.minimum, field.maximum, "")
}

fn text(field: &StringSchema, value: &RawText) -> Result<(), String> {
    let given: String = read(value, "a text")?;
    within(count(given.chars()), field.min_length, field.max_length, " characters")?;
    match field.format.as_ref().filter(|format| !format.fits(&given)) {
        Some(format) => Err(format!("expected {}", format.wanted())),
        None => Ok(()),
    }
}

fn choice<'a>(value: &RawText, offered: impl Iterator<Item = &'a str>) -> Result<(), String> {
    among(&[read(value, "a text")?], &offered.collect::<Vec<_>>())
}

fn choices<'a>(
    value: &RawText,
    offered: impl Iterator<Item = &'a str>,
    least: Option<i64>,
    most: Option<i64>,
) -> Result<(), String> {
    let given: Vec<String> = read(value, "a list of texts")?;
    within(count(given.iter()), least, most, " values")?;
    among(&given, &offered.collect::<Vec<_>>())
}

fn among(given: &[String], offered: &[&str]) -> Result<(), String> {
    if given.iter().all(|given| offered.contains(&given.as_str())) {
        return Ok(());
    }
    let shown: Vec<String> = offered.iter().take(20).map(|value| format!("`{value}`")).collect();
    Err(format!("expected one of {}", shown.join(", ")))
}

fn within<N: PartialOrd + std::fmt::Display>(
    given: N,
    least: Option<N>,
    most: Option<N>,
    unit: &str,
) -> Result<(), String> {
    match (least.filter(|least| given < *least), most.filter(|most| given > *most)) {
        (Some(least), _) => Err(format!("expected at least {least}{unit}")),
        (None, Some(most)) => Err(format!("expected at most {most}{unit}")),
        (None, None) => Ok(()),
    }
}

fn count(items: impl Iterator) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

fn read<T: DeserializeOwned>(value: &RawText, expected: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_field_says_what_does_not_fit() {
        type Row = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);
        let rows: &[Row] = &[
            (r#"{"type":"boolean"}"#, &["true"], &[("1", "expected `true` or `false`")]),
            (
                r#"{"type":"integer","minimum":1,"maximum":3}"#,
                &["1", "3", "2.0"],
                &[
                    ("0", "expected at least 1"),
                    ("4", "expected at most 3"),
                    ("1.5", "expected a whole number"),
                    ("\"1\"", "expected a number"),
                ],
            ),
            (r#"{"type":"number"}"#, &["1.5"], &[("null", "expected a number")]),
            (
                r#"{"type":"string","minLength":2,"maxLength":3}"#,
                &["\"äö\""],
                &[
                    ("\"ä\"", "expected at least 2 characters"),
                    ("\"abcd\"", "expected at most 3 characters"),
                ],
            ),
            (
                r#"{"type":"string","format":"email"}"#,
                &["\"a@b.ch\""],
                &[("\"a.b\"", "expected an e-mail address")],
            ),
            (
                r#"{"type":"string","format":"uri"}"#,
                &["\"https://a/b\"", "\"urn:x\""],
                &[("\"//a\"", "expected a URI with its scheme, such as `https://example.com`")],
            ),
            (
                r#"{"type":"string","format":"date"}"#,
                &["\"2024-02-29\""],
                &[("\"2025-02-29\"", "expected a date, such as `2026-07-28`")],
            ),
            (
                r#"{"type":"string","format":"date-time"}"#,
                &["\"2026-07-28T12:00:00Z\"", "\"2026-07-28T12:00:00.5+02:00\""],
                &[("\"2026-07-28T25:00:00Z\"", "expected a time, such as `2026-07-28T12:00:00Z`")],
            ),
            (
                r#"{"type":"string","enum":["a","b"]}"#,
                &["\"a\""],
                &[("\"c\"", "expected one of `a`, `b`")],
            ),
            (
                r#"{"type":"string","enum":["a"],"enumNames":["A"]}"#,
                &["\"a\""],
                &[("\"A\"", "expected one of `a`")],
            ),
            (
                r#"{"type":"string","oneOf":[{"const":"a","title":"A"}]}"#,
                &["\"a\""],
                &[("\"A\"", "expected one of `a`")],
            ),
            (
                r#"{"type":"array","items":{"type":"string","enum":["a","b"]},"minItems":1,"maxItems":1}"#,
                &["[\"a\"]"],
                &[
                    ("[]", "expected at least 1 values"),
                    ("[\"a\",\"b\"]", "expected at most 1 values"),
                    ("\"a\"", "expected a list of texts"),
                ],
            ),
            (
                r#"{"type":"array","items":{"anyOf":[{"const":"a","title":"A"}]}}"#,
                &["[]", "[\"a\"]"],
                &[("[\"b\"]", "expected one of `a`")],
            ),
        ];
        for (schema, good, bad) in rows {
            let field = RawText::new(*schema).unwrap().parse().unwrap();
            for value in *good {
                assert_eq!(unfit(&field, &RawText::new(*value).unwrap()), Ok(()), "{schema}");
            }
            for (value, reason) in *bad {
                let found = unfit(&field, &RawText::new(*value).unwrap());
                assert_eq!(
                    found.as_ref().map_err(String::as_str),
                    Err(*reason),
                    "{schema} {value}"
                );
            }
        }
    }
}
