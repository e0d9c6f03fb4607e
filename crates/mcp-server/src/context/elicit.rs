//! Questions to a person: forms, and pages to open (specification, "Elicitation").

use mcp_types::{
    DecodeError, ElicitAction, ElicitRequestFormParams, ElicitRequestParams,
    ElicitRequestURLParams, ElicitResult, ErrorObject, InputRequest, RawText, StringFormat,
};
use serde::de::DeserializeOwned;

use super::form::{self, Content};
use super::{Context, input};
use crate::Suspended;

/// What a person did with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elicited<T> {
    /// They answered.
    Accepted(T),
    /// They said no: offer something else.
    Declined,
    /// They closed the question without an answer: it may be asked again later.
    Cancelled,
}

impl<T> Elicited<T> {
    /// The answer, if there is one.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accepted(answer) => Some(answer),
            Self::Declined | Self::Cancelled => None,
        }
    }

    fn try_map<U, E>(self, change: impl FnOnce(T) -> Result<U, E>) -> Result<Elicited<U>, E> {
        Ok(match self {
            Self::Accepted(answer) => Elicited::Accepted(change(answer)?),
            Self::Declined => Elicited::Declined,
            Self::Cancelled => Elicited::Cancelled,
        })
    }
}

impl<S> Context<S> {
    /// Asks the user to fill in a form whose fields are those of `T`, and gives the typed answer
    /// (specification, "Elicitation", "Form mode").
    ///
    /// [`requested_schema`](crate::requested_schema) says which types are forms. What comes back is
    /// held against the form before it is read. Never ask for passwords or keys this way, because
    /// the client sees what is written; [`Context::elicit_url`] is for those.
    ///
    /// ```
    /// use mcp_server::{Context, Elicited, ToolError, data, tool};
    ///
    /// #[data]
    /// struct Confirmation {
    ///     /// Really delete it?
    ///     delete: bool,
    /// }
    ///
    /// /// Deletes a note.
    /// #[tool]
    /// async fn delete(cx: Context, id: u32) -> Result<String, ToolError> {
    ///     match cx.elicit::<Confirmation>("confirm", format!("Delete note {id}?"))? {
    ///         Elicited::Accepted(Confirmation { delete: true }) => Ok(format!("deleted {id}")),
    ///         _ => Ok("nothing was deleted".into()),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Context::input`]. The call also fails when `T` is no form, and the log says why.
    pub fn elicit<T>(&self, key: &str, message: impl Into<String>) -> Result<Elicited<T>, Suspended>
    where
        T: DeserializeOwned + schemars::JsonSchema + 'static,
    {
        let schema = form::known::<T>().map_err(|error| {
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::error!(handler = self.tool(), error, "what is asked for fits in no form");
            self.fail(ErrorObject::internal("the server asks for something that fits in no form"))
        })?;
        let form = ElicitRequestFormParams::new(message, (*schema).clone());
        self.elicit_form(key, form)?.try_map(|content| {
            let read = match RawText::of(&content) {
                Ok(text) => text.parse(),
                Err(error) => Err(DecodeError::new("", error.to_string())),
            };
            read.map_err(|error| self.unfit(key, error.within("content")))
        })
    }

    /// Asks the user to fill in a form that is made by hand, and gives what they wrote, by field.
    ///
    /// For forms that are known only at run time. The answer fits the form's schema: required
    /// fields are there, and types, bounds, choices and formats hold.
    ///
    /// ```
    /// use mcp_server::types::{
    ///     BooleanSchema, ElicitRequestFormParams, ElicitRequestFormParamsRequestedSchema,
    ///     PrimitiveSchemaDefinition,
    /// };
    /// use mcp_server::{Context, Elicited, ToolError, tool};
    ///
    /// /// Asks for yes or no.
    /// #[tool]
    /// async fn ask(cx: Context, question: String) -> Result<String, ToolError> {
    ///     let yes = PrimitiveSchemaDefinition::Boolean(BooleanSchema::new());
    ///     let fields = [("yes".to_owned(), yes)].into();
    ///     let schema = ElicitRequestFormParamsRequestedSchema::new(fields);
    ///     let answer = cx.elicit_form("ask", ElicitRequestFormParams::new(question, schema))?;
    ///     Ok(match answer {
    ///         Elicited::Accepted(fields) => format!("{:?}", fields.get("yes")),
    ///         Elicited::Declined | Elicited::Cancelled => "no answer".into(),
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Context::input`]; the call fails with "invalid params" when an answer does not fit.
    pub fn elicit_form(
        &self,
        key: &str,
        form: ElicitRequestFormParams,
    ) -> Result<Elicited<Content>, Suspended> {
        let Some(answer) = self.answer(key) else {
            return self.ask(key, InputRequest::Elicit(ElicitRequestParams::Form(form)));
        };
        let result: ElicitResult = self.read(key, &answer)?;
        elicited(result).try_map(|content| {
            form::check(&form.requested_schema, content)
                .map_err(|error| self.unfit(key, error.within("content")))
        })
    }

    /// Asks the user to open a page, for what must not pass through the client: credentials,
    /// payments, the consent of a third party (specification, "Elicitation", "URL mode").
    ///
    /// `Accepted` means that the user agreed to open it, not that they are done there: look in your
    /// own records, and ask again under another key if they are not. The page must find out by
    /// itself that whoever opens it is the user of this call, and the URL must carry no secret.
    ///
    /// ```
    /// use mcp_server::{Context, Elicited, ToolError, tool};
    ///
    /// /// Connects the calendar.
    /// #[tool]
    /// async fn connect(cx: Context) -> Result<&'static str, ToolError> {
    ///     let page = "https://mcp.example.com/connect/calendar";
    ///     match cx.elicit_url("connect", "Connect your calendar to go on.", page)? {
    ///         Elicited::Accepted(()) => Ok("call again once you are done there"),
    ///         Elicited::Declined | Elicited::Cancelled => Ok("not connected"),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Context::input`]; a `url` without a scheme is a fault of the server.
    pub fn elicit_url(
        &self,
        key: &str,
        message: impl Into<String>,
        url: impl Into<String>,
    ) -> Result<Elicited<()>, Suspended> {
        if let Some(answer) = self.answer(key) {
            let result: ElicitResult = self.read(key, &answer)?;
            return elicited(result).try_map(|_| Ok(()));
        }
        let url = url.into();
        if !StringFormat::Uri.fits(&url) {
            tracing::error!(handler = self.tool(), "the page to open is no URL with a scheme");
            let error = "the server asks to open a page whose address cannot be opened";
            return Err(self.fail(ErrorObject::internal(error)));
        }
        let page = ElicitRequestURLParams::new(message, url);
        self.ask(key, InputRequest::Elicit(ElicitRequestParams::Url(page)))
    }

    /// Whether the client can show a form to its user, so that [`Context::elicit`] may be used.
    pub fn client_can_elicit(&self) -> bool {
        input::shows_forms(&self.request().client_capabilities())
    }

    /// Whether the client can open a page for its user, so that [`Context::elicit_url`] may be used.
    pub fn client_can_elicit_url(&self) -> bool {
        input::opens_pages(&self.request().client_capabilities())
    }
}

fn elicited(result: ElicitResult) -> Elicited<Content> {
    match result.action {
        // A form without required fields may come back without any content.
        ElicitAction::Accept => Elicited::Accepted(result.content.unwrap_or_default()),
        ElicitAction::Decline => Elicited::Declined,
        ElicitAction::Cancel => Elicited::Cancelled,
    }
}
