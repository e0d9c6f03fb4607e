//! Whether an answer is one, before anybody reads it.

use mcp_types::{
    CreateMessageResult, DecodeError, ElicitAction, ElicitRequestParams, ElicitResult,
    InputRequest, ListRootsResult, RawText,
};

use super::form;

/// Holds an answer against its question, as the question's own reader will; for whoever keeps
/// answers before they are read.
///
/// # Errors
///
/// What does not fit, with its path.
pub(crate) fn check(question: &InputRequest, answer: &RawText) -> Result<(), DecodeError> {
    match question {
        InputRequest::CreateMessage(_) => answer.parse::<CreateMessageResult>().map(drop),
        InputRequest::ListRoots(_) => answer.parse::<ListRootsResult>().map(drop),
        InputRequest::Elicit(params) => {
            let answer: ElicitResult = answer.parse()?;
            match params {
                ElicitRequestParams::Form(form) if answer.action == ElicitAction::Accept => {
                    let content = answer.content.unwrap_or_default();
                    let checked = form::check(&form.requested_schema, content);
                    checked.map(drop).map_err(|error| error.within("content"))
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
