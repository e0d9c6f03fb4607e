//! Holding what a person filled in against the form that was shown.

use mcp_types::{
    DecodeError, ElicitRequestFormParamsRequestedSchema, NumberSchemaType,
    PrimitiveSchemaDefinition, RawText, StringFormat,
};

use super::{Content, format};

/// Takes what belongs to the form out of `content`; fields that are not in it are passed over.
///
/// # Errors
///
/// When a field does not fit its schema, or one that is required is not there. The error names the
/// field, and never repeats what the person wrote.
pub(in crate::context) fn check(
    form: &ElicitRequestFormParamsRequestedSchema,
    mut content: Content,
) -> Result<Content, DecodeError> {
    let required = form.required.as_deref().unwrap_or_default();
    let mut kept = Content::new();
    for (name, schema) in &form.properties {
        let given = content.remove(name).filter(|value| {
            // Clients send `null` for what was left empty.
            !value.is_null()
        });
        match given {
            Some(value) => {
                field(schema, &value).map_err(|why| DecodeError::new(name, why))?;
                kept.insert(name.clone(), value);
            }
            None if required.contains(name) => {
                return Err(DecodeError::new(name, "the field is required, and is not filled in"));
            }
            None => {}
        }
    }
    Ok(kept)
}

fn field(schema: &PrimitiveSchemaDefinition, value: &RawText) -> Result<(), String> {
    match schema {
        PrimitiveSchemaDefinition::Boolean(_) => {
            read::<bool>(value, "expected `true` or `false`").map(drop)
        }
        PrimitiveSchemaDefinition::Number(schema) => {
            let given: f64 = read(value, "expected a number")?;
            if schema.r#type == NumberSchemaType::Integer && given.fract() != 0.0 {
                return Err("expected a whole number".to_owned());
            }
            if let Some(least) = schema.minimum.filter(|least| given < *least) {
                return Err(format!("expected at least {least}"));
            }
            if let Some(most) = schema.maximum.filter(|most| given > *most) {
                return Err(format!("expected at most {most}"));
            }
            Ok(())
        }
        PrimitiveSchemaDefinition::String(schema) => {
            let given: String = read(value, "expected a text")?;
            let length = i64::try_from(given.chars().count()).unwrap_or(i64::MAX);
            if let Some(least) = schema.min_length.filter(|least| length < *least) {
                return Err(format!("expected at least {least} characters"));
            }
            if let Some(most) = schema.max_length.filter(|most| length > *most) {
                return Err(format!("expected at most {most} characters"));
            }
            match &schema.format {
                Some(StringFormat::Email) if !format::is_email(&given) => {
                    Err("expected an e-mail address".to_owned())
                }
                Some(StringFormat::Uri) if !format::is_uri(&given) => {
                    Err("expected a URI with its scheme, such as `https://example.com`".to_owned())
                }
                Some(StringFormat::Date) if !format::is_date(&given) => {
                    Err("expected a date, such as `2026-07-28`".to_owned())
                }
                Some(StringFormat::DateTime) if !format::is_date_time(&given) => {
                    Err("expected a time, such as `2026-07-28T12:00:00Z`".to_owned())
                }
                _ => Ok(()),
            }
        }
        PrimitiveSchemaDefinition::TitledSingleSelect(schema) => {
            one_of(value, schema.one_of.iter().map(|choice| choice.r#const.as_str()))
        }
        PrimitiveSchemaDefinition::LegacyTitled(schema) => {
            one_of(value, schema.r#enum.iter().map(String::as_str))
        }
        PrimitiveSchemaDefinition::UntitledSingleSelect(schema) => {
            one_of(value, schema.r#enum.iter().map(String::as_str))
        }
        PrimitiveSchemaDefinition::TitledMultiSelect(schema) => {
            let values: Vec<_> =
                schema.items.any_of.iter().map(|choice| choice.r#const.as_str()).collect();
            some_of(value, &values, schema.min_items, schema.max_items)
        }
        PrimitiveSchemaDefinition::UntitledMultiSelect(schema) => {
            let values: Vec<_> = schema.items.r#enum.iter().map(String::as_str).collect();
            some_of(value, &values, schema.min_items, schema.max_items)
        }
        // A kind of field that a later revision added cannot be judged here.
        _ => Ok(()),
    }
}

fn one_of<'v>(value: &RawText, mut values: impl Iterator<Item = &'v str>) -> Result<(), String> {
    let given: String = read(value, "expected one of the values of the form")?;
    match values.any(|value| value == given) {
        true => Ok(()),
        false => Err("expected one of the values of the form".to_owned()),
    }
}

fn some_of(
    value: &RawText,
    values: &[&str],
    least: Option<i64>,
    most: Option<i64>,
) -> Result<(), String> {
    let given: Vec<String> = read(value, "expected a list of the form's values")?;
    let count = i64::try_from(given.len()).unwrap_or(i64::MAX);
    if let Some(least) = least.filter(|least| count < *least) {
        return Err(format!("expected at least {least} of the values"));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        return Err(format!("expected at most {most} of the values"));
    }
    match given.iter().all(|given| values.contains(&given.as_str())) {
        true => Ok(()),
        false => Err("expected nothing but the form's values".to_owned()),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &RawText, expected: &str) -> Result<T, String> {
    value.parse().map_err(|_| expected.to_owned())
}
