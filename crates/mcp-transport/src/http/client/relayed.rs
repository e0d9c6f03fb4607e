//! The check of mirrored headers for whoever serves another server's tools over HTTP.

use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::{
    ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService, MirroredParams, Outcome,
    ServerResult,
};
use tower_layer::Layer;
use tower_service::Service;

use super::mirror::Mirrors;

/// Holds the `Mcp-Param-*` headers of calls against their arguments, before a service that hands calls on
/// to another server (2026-07-28, "Custom headers from tool parameters", "Server Validation").
///
/// A server knows the schemas of its own tools and compares by itself; a relay learns them from the
/// listings that pass this layer. Tools whose annotations break a rule, or are more than can be
/// remembered, are set aside in the listing. Where a call came without HTTP nothing is compared, and a
/// tool that was never listed is nobody's to judge: whoever relays lists before calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct MirroredLayer;

impl<S> Layer<S> for MirroredLayer {
    type Service = Mirrored<S>;

    fn layer(&self, service: S) -> Mirrored<S> {
        Mirrored { service, known: Arc::default() }
    }
}

/// A service whose calls a [`MirroredLayer`] looks at.
#[derive(Debug, Clone)]
pub struct Mirrored<S> {
    service: S,
    known: Arc<Mirrors>,
}

impl<S: ExchangeService> Service<Exchange> for Mirrored<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let is_listing = match &exchange.request {
            ClientRequest::CallTool(call) => {
                let headers = exchange.context.extensions.get::<MirroredParams>();
                if let Some(Err(error)) = headers.map(|headers| self.known.check(headers, call)) {
                    return Box::pin(std::future::ready(Err(error)));
                }
                false
            }
            ClientRequest::ListTools(_) => true,
            _ => false,
        };
        let answer = self.service.call(exchange);
        if !is_listing {
            return Box::pin(answer);
        }
        let known = self.known.clone();
        Box::pin(async move {
            let mut outcome = answer.await?;
            if let Outcome::Complete(ServerResult::ListTools(page)) = &mut outcome {
                known.learn(page);
            }
            Ok(outcome)
        })
    }
}

#[cfg(test)]
mod tests {
    use mcp_types::error::codes;
    use mcp_types::{
        CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, RawText,
    };

    use super::*;

    /// A server that compares nothing, as one behind a pipe does.
    #[derive(Clone)]
    struct Piped;

    impl Service<Exchange> for Piped {
        type Response = Outcome;
        type Error = ErrorObject;
        type Future = ExchangeFuture;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
            let schema = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
            let result = match exchange.request {
                ClientRequest::ListTools(_) => {
                    let page = format!(r#"{{"tools":[{{"name":"move","inputSchema":{schema}}}]}}"#);
                    let page: ListToolsResult = serde_json::from_str(&page).unwrap();
                    ServerResult::ListTools(page)
                }
                _ => ServerResult::CallTool(CallToolResult::text("moved")),
            };
            Box::pin(std::future::ready(Ok(Outcome::Complete(result))))
        }
    }

    fn call(headers: Option<&[(&'static str, &'static str)]>) -> Exchange {
        let mut params = CallToolRequestParams::new("move");
        params.arguments = RawText::new(r#"{"region":"eu"}"#).ok();
        let mut exchange = Exchange::new(ClientRequest::CallTool(params));
        if let Some(headers) = headers {
            let mut said = MirroredParams::new();
            headers.iter().for_each(|(name, value)| said.push((*name).into(), Ok((*value).into())));
            exchange.context.extensions.insert(said);
        }
        exchange
    }

    #[tokio::test]
    async fn a_call_whose_headers_say_something_else_is_not_handed_on() {
        let mut relay = MirroredLayer.layer(Piped);
        let mut code =
            async |headers| relay.call(call(headers)).await.err().map(|error| error.code);
        let wrong = [("region", "us")].as_slice();
        assert_eq!(code(Some(wrong)).await, None, "nobody knows the tool yet");
        let list = Exchange::new(ClientRequest::ListTools(PaginatedRequestParams::new()));
        relay.call(list).await.unwrap();
        let mut code =
            async |headers| relay.call(call(headers)).await.err().map(|error| error.code);
        assert_eq!(code(Some(wrong)).await, Some(codes::HEADER_MISMATCH));
        assert_eq!(code(Some(&[])).await, Some(codes::HEADER_MISMATCH), "a header is missing");
        assert_eq!(code(Some(&[("Region", "eu")])).await, None);
        assert_eq!(code(None).await, None, "there were no headers at all");
    }
}
