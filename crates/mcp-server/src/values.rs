//! Named texts from outside, read into the types of a function's parameters.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use mcp_types::ErrorObject;

use crate::resource::not_found;
use crate::{Completing, PromptArguments, Read};

/// The values of one request, taken out one by one.
pub struct Values {
    values: BTreeMap<String, String>,
    of: Of,
}

/// What the values are of, which decides what a wrong one means.
enum Of {
    Prompt,
    /// The URI, as it was asked for.
    Resource(String),
    Completion,
}

impl Values {
    /// Arguments of a prompt: a wrong one is told.
    pub fn of_prompt(values: PromptArguments) -> Self {
        Self { values, of: Of::Prompt }
    }

    /// Variables of a template: a wrong one is a URI that leads nowhere.
    pub fn of_resource(read: &mut Read) -> Self {
        let values = std::mem::take(&mut read.variables);
        Self { values, of: Of::Resource(read.uri.clone()) }
    }

    /// What is typed, as `typed`, and what is decided: a wrong one is not decided yet.
    pub fn of_completion(completing: Completing, typed: &str) -> Self {
        let mut values = completing.arguments;
        values.insert(typed.to_owned(), completing.value);
        Self { values, of: Of::Completion }
    }

    /// A value that must be there.
    ///
    /// # Errors
    ///
    /// What the client is told when it is not, or does not fit.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T, ErrorObject> {
        let Some(value) = self.values.remove(name) else { return Err(self.missing(name)) };
        value.parse().map_err(|error| self.unfit(name, &error))
    }

    /// A value that may be absent. Where a form was sent with a field left empty, it is.
    ///
    /// # Errors
    ///
    /// What the client is told when it does not fit.
    pub fn optional<T: FromStr<Err: Display>>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, ErrorObject> {
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        match value.parse() {
            Ok(read) => Ok(Some(read)),
            Err(_) if value.is_empty() || matches!(self.of, Of::Completion) => Ok(None),
            Err(error) => Err(self.unfit(name, &error)),
        }
    }

    #[cold]
    fn missing(&self, name: &str) -> ErrorObject {
        match &self.of {
            Of::Resource(uri) => not_found(uri),
            _ => ErrorObject::invalid_params(format!("the argument `{name}` is missing")),
        }
    }

    #[cold]
    fn unfit(&self, name: &str, error: &dyn Display) -> ErrorObject {
        match &self.of {
            Of::Resource(uri) => not_found(uri),
            _ => {
                ErrorObject::invalid_params(format!("the argument `{name}` does not fit: {error}"))
            }
        }
    }
}
