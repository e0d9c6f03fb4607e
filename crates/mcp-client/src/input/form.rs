//! A form that a server wants filled in: its fields, their defaults, and what fits them.

use std::collections::BTreeMap;

use mcp_types::{
    DecodeError, ElicitAction, ElicitRequestFormParams, ElicitRequestFormParamsRequestedSchema,
    ElicitResult, ErrorObject, NumberSchema, NumberSchemaType, Origin, PrimitiveSchemaDefinition,
    RawText, StringFormat, StringSchema,
};
use serde::Serialize;

/// A form that the server wants its user to fill in (specification, "Form Mode Elicitation").
///
/// Show [`Form::message`] and a field for each of [`Form::fields`], filled with
/// [`Form::defaults`]; say which server asks, and let the user say no.
///
/// ```
/// use mcp_client::Form;
/// use mcp_client::types::{ElicitAction, RawText};
///
/// let text = r#"{"message": "How many?", "requestedSchema": {"type": "object", "properties": {
///     "count": {"type": "integer", "minimum": 1, "default": 3}}, "required": ["count"]}}"#;
/// let form = Form::new(RawText::new(text)?.parse()?);
/// let answer = form.accept_with_defaults()?;
/// assert_eq!(answer.action, ElicitAction::Accept);
/// let error = form.accept(&serde_json::json!({"count": 0})).unwrap_err();
/// assert!(error.message.contains("`count`: less than 1"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    params: ElicitRequestFormParams,
}

impl Form {
    /// The form of a question.
    pub fn new(params: ElicitRequestFormParams) -> Self {
        Self { params }
    }

    /// What the server tells the user. It is the server's text: show it as such.
    pub fn message(&self) -> &str {
        &self.params.message
    }

    /// The fields by name, and whether each must be filled in.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &PrimitiveSchemaDefinition, bool)> {
        let schema = &self.params.requested_schema;
        let required = move |name: &str| schema.required.iter().flatten().any(|must| must == name);
        schema.properties.iter().map(move |(name, field)| (name.as_str(), field, required(name)))
    }

    /// The question as it came.
    pub fn params(&self) -> &ElicitRequestFormParams {
        &self.params
    }

    /// The values to begin with, of the fields that have one.
    pub fn defaults(&self) -> BTreeMap<String, RawText> {
        let fields = self.params.requested_schema.properties.iter();
        fields.filter_map(|(name, field)| Some((name.clone(), default_of(field)?))).collect()
    }

    /// What does not fit in `content`, each with the name of its field; empty when all is well.
    pub fn check(&self, content: &BTreeMap<String, RawText>) -> Vec<DecodeError> {
        check(&self.params.requested_schema, content)
    }

    /// The user's yes, with what was filled in: anything that serializes to an object.
    ///
    /// # Errors
    ///
    /// When `content` does not fit the form; the error names all fields that do not.
    pub fn accept<T: Serialize + ?Sized>(&self, content: &T) -> Result<ElicitResult, ErrorObject> {
        let text = RawText::of(content).map_err(|error| refused(&error.to_string()))?;
        self.accepted(text.parse().map_err(|error: DecodeError| refused(&error.to_string()))?)
    }

    /// The user's yes with the values that the form begins with, unchanged.
    ///
    /// # Errors
    ///
    /// When a field that must be filled in has no such value.
    pub fn accept_with_defaults(&self) -> Result<ElicitResult, ErrorObject> {
        self.accepted(self.defaults())
    }

    /// The user's no.
    pub fn decline(&self) -> ElicitResult {
        ElicitResult::new(ElicitAction::Decline)
    }

    /// The user turned away without a choice.
    pub fn cancel(&self) -> ElicitResult {
        ElicitResult::new(ElicitAction::Cancel)
    }

    fn accepted(&self, content: BTreeMap<String, RawText>) -> Result<ElicitResult, ErrorObject> {
        let wrong = self.check(&content);
        if !wrong.is_empty() {
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            return Err(refused(&wrong.join("; ")));
        }
        let mut result = ElicitResult::new(ElicitAction::Accept);
        result.content = Some(content);
        Ok(result)
    }
}

fn refused(wrong: &str) -> ErrorObject {
    ErrorObject::local(Origin::Refused, format!("the answer does not fit the form: {wrong}"))
}

fn default_of(field: &PrimitiveSchemaDefinition) -> Option<RawText> {
    use PrimitiveSchemaDefinition as Field;
    match field {
        Field::Boolean(field) => RawText::of(&field.default?).ok(),
        Field::Number(field) => number(field, field.default?),
        Field::String(field) => RawText::of(field.default.as_ref()?).ok(),
        Field::TitledSingleSelect(field) => RawText::of(field.default.as_ref()?).ok(),
        Field::UntitledSingleSelect(field) => RawText::of(field.default.as_ref()?).ok(),
        Field::LegacyTitled(field) => RawText::of(field.default.as_ref()?).ok(),
        Field::TitledMultiSelect(field) => RawText::of(field.default.as_ref()?).ok(),
        Field::UntitledMultiSelect(field) => RawText::of(field.default.as_ref()?).ok(),
        _ => None,
    }
}

/// A whole number is written without a fraction, as it most likely came.
fn number(field: &NumberSchema, value: f64) -> Option<RawText> {
    let whole = value.fract() == 0.0 && value.abs() < 9e15;
    match field.r#type == NumberSchemaType::Integer || whole {
        true => RawText::of(&(value as i64)).ok(),
        false => RawText::of(&value).ok(),
    }
}

/// What of `content` does not fit `schema`.
pub(super) fn check(
    schema: &ElicitRequestFormParamsRequestedSchema,
    content: &BTreeMap<String, RawText>,
) -> Vec<DecodeError> {
    let missing = schema.required.iter().flatten().filter(|name| !content.contains_key(*name));
    let missing = missing.map(|name| DecodeError::new(name, "must be filled in"));
    let unfit = content.iter().filter_map(|(name, value)| {
        let reason = unfit(schema.properties.get(name)?, value)?;
        Some(DecodeError::new(name, reason))
    });
    missing.chain(unfit).collect()
}

fn unfit(field: &PrimitiveSchemaDefinition, value: &RawText) -> Option<String> {
    use PrimitiveSchemaDefinition as Field;
    match field {
        Field::Boolean(_) => {
            value.parse::<bool>().err().map(|_| "expected `true` or `false`".to_owned())
        }
        Field::Number(field) => unfit_number(field, value),
        Field::String(field) => unfit_text(field, value),
        Field::TitledSingleSelect(field) => {
            unfit_choice(value, field.one_of.iter().map(|choice| choice.r#const.as_str()))
        }
        Field::UntitledSingleSelect(field) => {
            unfit_choice(value, field.r#enum.iter().map(String::as_str))
        }
        Field::LegacyTitled(field) => unfit_choice(value, field.r#enum.iter().map(String::as_str)),
        Field::TitledMultiSelect(field) => {
            let choices = field.items.any_of.iter().map(|choice| choice.r#const.as_str());
            unfit_choices(value, choices, field.min_items, field.max_items)
        }
        Field::UntitledMultiSelect(field) => {
            let choices = field.items.r#enum.iter().map(String::as_str);
            unfit_choices(value, choices, field.min_items, field.max_items)
        }
        _ => None,
    }
}

fn unfit_number(field: &NumberSchema, value: &RawText) -> Option<String> {
    let Ok(number) = value.parse::<f64>() else { return Some("expected a number".into()) };
    if field.r#type == NumberSchemaType::Integer && number.fract() != 0.0 {
        return Some("expected a number without a fraction".into());
    }
    let small = field.minimum.filter(|least| number < *least);
    let large = field.maximum.filter(|most| number > *most);
    small
        .map(|least| format!("less than {least}"))
        .or_else(|| large.map(|most| format!("more than {most}")))
}

fn unfit_text(field: &StringSchema, value: &RawText) -> Option<String> {
    let Ok(text) = value.parse::<String>() else { return Some("expected a text".into()) };
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(least) = field.min_length.filter(|least| length < *least) {
        return Some(format!("shorter than {least} characters"));
    }
    if let Some(most) = field.max_length.filter(|most| length > *most) {
        return Some(format!("longer than {most} characters"));
    }
    let (fits, wanted) = match field.format.as_ref()? {
        StringFormat::Email => (is_email(&text), "an e-mail address"),
        StringFormat::Uri => (is_uri(&text), "a URI"),
        StringFormat::Date => (is_date(&text), "a date, such as 2026-07-28"),
        StringFormat::DateTime => (is_date_time(&text), "a time, such as 2026-07-28T12:00:00Z"),
        _ => return None,
    };
    (!fits).then(|| format!("expected {wanted}"))
}

fn unfit_choice<'a>(value: &RawText, choices: impl Iterator<Item = &'a str>) -> Option<String> {
    let Ok(chosen) = value.parse::<String>() else { return Some("expected a text".into()) };
    let choices: Vec<&str> = choices.collect();
    (!choices.contains(&chosen.as_str())).then(|| one_of(&choices))
}

fn unfit_choices<'a>(
    value: &RawText,
    choices: impl Iterator<Item = &'a str>,
    least: Option<i64>,
    most: Option<i64>,
) -> Option<String> {
    let Ok(chosen) = value.parse::<Vec<String>>() else {
        return Some("expected a list of texts".into());
    };
    let choices: Vec<&str> = choices.collect();
    if !chosen.iter().all(|chosen| choices.contains(&chosen.as_str())) {
        return Some(one_of(&choices));
    }
    let count = i64::try_from(chosen.len()).unwrap_or(i64::MAX);
    let few = least.filter(|least| count < *least).map(|least| format!("fewer than {least}"));
    few.or_else(|| most.filter(|most| count > *most).map(|most| format!("more than {most}")))
}

fn one_of(choices: &[&str]) -> String {
    let shown: Vec<String> = choices.iter().take(20).map(|choice| format!("`{choice}`")).collect();
    format!("expected one of {}", shown.join(", "))
}

fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    !name.is_empty() && !host.is_empty() && !text.contains(|c: char| c.is_whitespace())
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(of_scheme)
        && !rest.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next()?;
        let numeric = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        numeric.then(|| part.parse::<u32>().ok()).flatten()
    };
    let (Some(year), Some(month), Some(day)) = (part(4), part(2), part(2)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day) && parts.next().is_none()
}

/// RFC 3339, section 5.6.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else { return false };
    let (clock, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, None),
        None => match time.rsplit_once(['+', '-']) {
            Some((clock, offset)) => (clock, Some(offset)),
            None => return false,
        },
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let within = |text: &str, most: &[u32]| {
        let parts: Vec<&str> = text.split(':').collect();
        let fits = |(part, most): (&&str, &u32)| {
            part.len() == 2 && part.parse::<u32>().is_ok_and(|value| value <= *most)
        };
        parts.len() == most.len() && parts.iter().zip(most).all(fits)
    };
    is_date(date)
        && within(clock, &[23, 59, 60])
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
        && offset.is_none_or(|offset| within(offset, &[23, 59]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> PrimitiveSchemaDefinition {
        RawText::new(text).unwrap().parse().unwrap()
    }

    #[test]
    fn each_kind_of_field_says_what_does_not_fit() {
        type Row = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);
        let rows: &[Row] = &[
            (r#"{"type":"boolean"}"#, &["true"], &[("1", "expected `true` or `false`")]),
            (
                r#"{"type":"integer","minimum":1,"maximum":3}"#,
                &["1", "3", "2.0"],
                &[
                    ("0", "less than 1"),
                    ("4", "more than 3"),
                    ("1.5", "expected a number without a fraction"),
                    ("\"1\"", "expected a number"),
                ],
            ),
            (r#"{"type":"number"}"#, &["1.5"], &[("null", "expected a number")]),
            (
                r#"{"type":"string","minLength":2,"maxLength":3}"#,
                &["\"äö\""],
                &[("\"ä\"", "shorter than 2 characters"), ("\"abcd\"", "longer than 3 characters")],
            ),
            (
                r#"{"type":"string","format":"email"}"#,
                &["\"a@b.ch\""],
                &[
                    ("\"a.b\"", "expected an e-mail address"),
                    ("\"@b\"", "expected an e-mail address"),
                ],
            ),
            (
                r#"{"type":"string","format":"uri"}"#,
                &["\"https://a/b\"", "\"urn:x\""],
                &[("\"//a\"", "expected a URI"), ("\"a b:c\"", "expected a URI")],
            ),
            (
                r#"{"type":"string","format":"date"}"#,
                &["\"2024-02-29\""],
                &[
                    ("\"2025-02-29\"", "expected a date, such as 2026-07-28"),
                    ("\"2025-2-9\"", "expected a date, such as 2026-07-28"),
                ],
            ),
            (
                r#"{"type":"string","format":"date-time"}"#,
                &["\"2026-07-28T12:00:00Z\"", "\"2026-07-28T12:00:00.5+02:00\""],
                &[("\"2026-07-28T25:00:00Z\"", "expected a time, such as 2026-07-28T12:00:00Z")],
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
                    ("[]", "fewer than 1"),
                    ("[\"a\",\"b\"]", "more than 1"),
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
            for value in *good {
                let value = RawText::new(*value).unwrap();
                assert_eq!(unfit(&field(schema), &value), None, "{schema} {value}");
            }
            for (value, reason) in *bad {
                let found = unfit(&field(schema), &RawText::new(*value).unwrap());
                assert_eq!(found.as_deref(), Some(*reason), "{schema} {value}");
            }
        }
    }

    #[test]
    fn defaults_of_all_kinds_are_an_answer() {
        let text = r#"{"message": "?", "requestedSchema": {"type": "object", "properties": {
            "a": {"type": "string", "default": "x"},
            "b": {"type": "integer", "default": 30},
            "c": {"type": "number", "default": 95.5},
            "d": {"type": "string", "enum": ["u", "v"], "default": "v"},
            "e": {"type": "boolean", "default": true},
            "f": {"type": "array", "items": {"type": "string", "enum": ["p"]}, "default": ["p"]},
            "g": {"type": "string"}}, "required": ["a", "e"]}}"#;
        let form = Form::new(RawText::new(text).unwrap().parse().unwrap());
        let answer = RawText::of(&form.accept_with_defaults().unwrap()).unwrap();
        let expected =
            r#"{"action":"accept","content":{"a":"x","b":30,"c":95.5,"d":"v","e":true,"f":["p"]}}"#;
        assert_eq!(answer.get(), expected);
        let wrong = form.check(&BTreeMap::new());
        assert_eq!(wrong.iter().map(|error| error.path.as_str()).collect::<Vec<_>>(), ["a", "e"]);
    }
}
