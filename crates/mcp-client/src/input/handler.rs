//! Answers to servers' questions, put together from functions.

use std::sync::Arc;

use mcp_types::{
    BoxFuture, ClientCapabilities, ClientCapabilitiesElicitation, ClientCapabilitiesSampling,
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitRequestURLParams,
    ElicitResult, ErrorObject, InputHandler, InputRequest, ListRootsResult, RawText, Root,
};

use super::Form;

type Answer = BoxFuture<'static, Result<RawText, ErrorObject>>;
type Ask<T> = Arc<dyn Fn(T) -> Answer + Send + Sync>;

/// Answers to what servers ask, each by a function; what has none is not declared, so that no
/// server asks it.
///
/// It is an [`InputHandler`]: for an [`InputLayer`](crate::InputLayer), and for a connection, which
/// asks it what older servers want to know outside of any request. A clone shares the functions.
///
/// ```
/// use mcp_client::Inputs;
/// use mcp_client::types::{ElicitAction, ElicitResult};
///
/// let inputs = Inputs::new()
///     .elicit(|form| async move { form.accept_with_defaults() })
///     .elicit_url(|page| async move {
///         println!("a server wants you to open {}", page.url);
///         Ok(ElicitResult::new(ElicitAction::Decline))
///     });
/// let declared = inputs.capabilities();
/// assert!(declared.elicitation.is_some() && declared.sampling.is_none());
/// ```
#[derive(Clone, Default)]
pub struct Inputs {
    form: Option<Ask<Form>>,
    url: Option<Ask<ElicitRequestURLParams>>,
    sample: Option<Ask<CreateMessageRequestParams>>,
    roots: Option<Ask<()>>,
    sampling: ClientCapabilitiesSampling,
}

impl Inputs {
    /// Answers to nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills in forms by `ask`: it shows the form and gives what the user did with it.
    ///
    /// An error is told to the server as cancelled.
    #[must_use]
    pub fn elicit<F, R>(mut self, ask: F) -> Self
    where
        F: Fn(Form) -> R + Send + Sync + 'static,
        R: Future<Output = Result<ElicitResult, ErrorObject>> + Send + 'static,
    {
        self.form = Some(asking(ask));
        self
    }

    /// Opens pages by `ask`, which must show the whole URL and have the user's consent first
    /// (specification, "Safe URL Handling").
    ///
    /// `accept` says that the user agreed, not that what happens on the page is over.
    #[must_use]
    pub fn elicit_url<F, R>(mut self, ask: F) -> Self
    where
        F: Fn(ElicitRequestURLParams) -> R + Send + Sync + 'static,
        R: Future<Output = Result<ElicitResult, ErrorObject>> + Send + 'static,
    {
        self.url = Some(asking(ask));
        self
    }

    /// Asks the host's model by `ask` (specification, "Sampling").
    #[must_use]
    pub fn sample<F, R>(mut self, ask: F) -> Self
    where
        F: Fn(CreateMessageRequestParams) -> R + Send + Sync + 'static,
        R: Future<Output = Result<CreateMessageResult, ErrorObject>> + Send + 'static,
    {
        self.sample = Some(asking(ask));
        self
    }

    /// Says that the host's model can use tools that come with the question.
    #[must_use]
    pub fn sampling_tools(mut self) -> Self {
        self.sampling.tools = empty();
        self
    }

    /// Says by `ask` where servers may work (specification, "Roots").
    #[must_use]
    pub fn roots<F, R>(mut self, ask: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<Root>, ErrorObject>> + Send + 'static,
    {
        self.roots = Some(asking(move |()| {
            let roots = ask();
            async move { Ok(ListRootsResult::new(roots.await?)) }
        }));
        self
    }

    /// What is declared to servers.
    pub fn capabilities(&self) -> ClientCapabilities {
        let mut all = ClientCapabilities::new();
        if self.form.is_some() || self.url.is_some() {
            let mut modes = ClientCapabilitiesElicitation::new();
            modes.form = self.form.as_ref().and_then(|_| empty());
            modes.url = self.url.as_ref().and_then(|_| empty());
            all.elicitation = Some(modes);
        }
        all.sampling = self.sample.as_ref().map(|_| self.sampling.clone());
        all.roots = self.roots.as_ref().and_then(|_| empty());
        all
    }
}

impl InputHandler for Inputs {
    fn handle(&self, request: InputRequest) -> BoxFuture<'_, Result<RawText, ErrorObject>> {
        let method = request.method().to_owned();
        let answer = match request {
            InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
                self.form.as_ref().map(|ask| ask(Form::new(form)))
            }
            InputRequest::Elicit(ElicitRequestParams::Url(page)) => {
                self.url.as_ref().map(|ask| ask(page))
            }
            InputRequest::CreateMessage(params) => self.sample.as_ref().map(|ask| ask(*params)),
            InputRequest::ListRoots(_) => self.roots.as_ref().map(|ask| ask(())),
            _ => None,
        };
        answer.unwrap_or_else(|| {
            Box::pin(std::future::ready(Err(ErrorObject::method_not_found(&method))))
        })
    }
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Inputs").field(&self.capabilities()).finish()
    }
}

fn asking<T, F, R, O>(ask: F) -> Ask<T>
where
    F: Fn(T) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O, ErrorObject>> + Send + 'static,
    O: serde::Serialize,
{
    Arc::new(move |question| {
        let answer = ask(question);
        Box::pin(async move {
            let answer = answer.await?;
            RawText::of(&answer).map_err(|error| ErrorObject::internal(error.to_string()))
        })
    })
}

fn empty() -> Option<RawText> {
    RawText::new("{}").ok()
}
