//! Steps that must not run twice although their tool does.

use std::future::Future;

use mcp_types::{ErrorObject, RawText};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use crate::Suspended;

impl<S> Context<S> {
    /// Runs `step` unless an earlier round of this call did, and gives its result either way.
    ///
    /// A tool that asks is entered anew with the answer; what it did before the question happens
    /// again. A step inside `once` does not: its result travels in the sealed `requestState`. `key`
    /// names the step within the call. A step that fails is not kept, and runs again when the tool
    /// does.
    ///
    /// ```
    /// use mcp_server::{Context, Elicited, ToolError, data, tool};
    ///
    /// #[data]
    /// struct Rating {
    ///     stars: u8,
    /// }
    ///
    /// # async fn charge(_: u32) -> Result<String, ToolError> { Ok("receipt 7".into()) }
    /// /// Buys, then asks how it was.
    /// #[tool]
    /// async fn buy(cx: Context, cents: u32) -> Result<String, ToolError> {
    ///     let receipt: String = cx.once("charge", async || charge(cents).await).await?;
    ///     match cx.elicit::<Rating>("rating", "How was it?")? {
    ///         Elicited::Accepted(rating) => Ok(format!("{receipt}, {} stars", rating.stars)),
    ///         Elicited::Declined | Elicited::Cancelled => Ok(receipt),
    ///     }
    /// }
    /// ```
    ///
    /// It needs a server that seals its states: the feature `sealed-state`, or
    /// [`ServerBuilder::seal_state`](crate::ServerBuilder::seal_state). It holds within one call as
    /// its client carries it on. A client that sends an earlier state again, within its time, has
    /// the step run again; and so does one that calls anew.
    ///
    /// # Errors
    ///
    /// The step's own. Where the server does not seal, or the result has no JSON form, the call
    /// fails as a fault of the server, without the step having run in the first case.
    pub async fn once<T, E, Fut>(&self, key: &str, step: impl FnOnce() -> Fut) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Suspended>,
        Fut: Future<Output = Result<T, E>>,
    {
        match self.done(key)? {
            Some(result) => Ok(result),
            None => self.keep(key, step().await?),
        }
    }

    /// [`Context::once`] for a step that is not `async`.
    ///
    /// # Errors
    ///
    /// As [`Context::once`].
    pub fn once_sync<T, E>(&self, key: &str, step: impl FnOnce() -> Result<T, E>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Suspended>,
    {
        match self.done(key)? {
            Some(result) => Ok(result),
            None => self.keep(key, step()?),
        }
    }

    /// The result of a step that has run.
    fn done<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Suspended> {
        if !self.keeps_results() {
            tracing::error!(
                handler = self.tool(),
                "`cx.once` needs sealed request states: switch on the feature `sealed-state` of \
                 mcp-server, or give the server a sealer with `.seal_state(...)`"
            );
            let error = "the server cannot keep what it did so far, so it did nothing";
            return Err(self.fail(ErrorObject::internal(error)));
        }
        let now = self.asked(|asked| asked.done.get(key).cloned());
        let Some(text) = now.or_else(|| self.kept().done.get(key).cloned()) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|error| {
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::error!(handler = self.tool(), key, error, "a kept result cannot be read");
            self.fail(ErrorObject::internal("the server cannot read what it kept of this call"))
        })
    }

    fn keep<T: Serialize, E: From<Suspended>>(&self, key: &str, result: T) -> Result<T, E> {
        match RawText::of(&result) {
            Ok(text) => {
                self.asked(|asked| asked.done.insert(key.to_owned(), text));
                Ok(result)
            }
            Err(error) => {
                let error = &error as &(dyn std::error::Error + 'static);
                tracing::error!(handler = self.tool(), key, error, "a result has no JSON form");
                let error = "the server cannot keep a result of this call";
                Err(self.fail(ErrorObject::internal(error)).into())
            }
        }
    }

    /// Whether nobody but this server can have written what earlier rounds left.
    pub(super) fn keeps_results(&self) -> bool {
        self.shared.server.0.seal.is_some()
    }
}
