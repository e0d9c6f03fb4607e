//! A form that a server wants filled in: its fields, their defaults, and what fits them.

use std::collections::BTreeMap;

use mcp_types::{
    DecodeError, ElicitAction, ElicitRequestFormParams, ElicitResult, ErrorObject, NumberSchema,
    NumberSchemaType, Origin, PrimitiveSchemaDefinition, RawText,
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
/// assert!(error.message.contains("`count`: expected at least 1"), "{error}");
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
        self.params.requested_schema.check(content)
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

#[cfg(test)]
mod tests {
    use super::*;

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
