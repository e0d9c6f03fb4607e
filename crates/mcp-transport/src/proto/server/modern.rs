//! The stateless era: every request stands for itself.

use mcp_types::jsonrpc::Request;
use mcp_types::version::Era;
use mcp_types::wire::{MODERN, ServerCodec};
use mcp_types::{
    ClientRequest, Exchange, Members, ProtocolVersion, RawText, RequestId, RequestParams,
    ServerNotification, SubscriptionsListenResult, keys,
};

use super::{Entry, Kind, ServerConn};

impl ServerConn {
    pub(super) fn request_modern(&mut self, request: Request, batch: Option<u64>) {
        let incoming = match MODERN.decode_request(&request.method, request.params.as_ref()) {
            Ok(incoming) => incoming,
            Err(error) => return self.answer_error(Some(&request.id), &error, batch),
        };
        let kind = match &incoming.request {
            ClientRequest::Discover(_) => Kind::Discover,
            ClientRequest::SubscriptionsListen(_) => Kind::Subscription,
            _ => Kind::Call,
        };
        let log_level = incoming.context.log_level;
        let exchange = Exchange::of(incoming.request, incoming.context);
        let request = Some(request.id);
        self.start(
            exchange,
            Entry { request, codec: &MODERN, kind, log_level, batch, inputs: None, verbatim: None },
        );
    }

    /// Asks the server who it is, so that each result can say so; a discovery says it by itself.
    pub(super) fn ask_identity(&mut self, first: &Request) {
        if &*first.method == "server/discover" {
            return;
        }
        let exchange = Exchange::new(ClientRequest::Discover(RequestParams::new()));
        let kind = Kind::Identity;
        self.start(
            exchange,
            Entry {
                request: None,
                codec: &MODERN,
                kind,
                log_level: None,
                batch: None,
                inputs: None,
                verbatim: None,
            },
        );
    }
}

/// The revisions that are served with an envelope, newest first.
pub(crate) fn served() -> Vec<String> {
    ProtocolVersion::of_era(Era::Modern).map(|version| version.as_str().to_owned()).collect()
}

/// The notification with the id of the subscription to which it belongs (2026-07-28,
/// "Subscriptions": every notification of a stream carries it).
pub(crate) fn stamped(
    mut notification: ServerNotification,
    id: Option<&RequestId>,
) -> ServerNotification {
    let Some(Ok(id)) = id.map(RawText::of) else { return notification };
    let meta = match &mut notification {
        ServerNotification::ToolListChanged(params)
        | ServerNotification::PromptListChanged(params)
        | ServerNotification::ResourceListChanged(params) => &mut params.meta,
        ServerNotification::ResourceUpdated(params) => &mut params.meta,
        ServerNotification::SubscriptionsAcknowledged(params) => &mut params.meta,
        ServerNotification::Extension { params, .. } => {
            *params = stamped_text(params.as_ref(), id).or_else(|| params.take());
            return notification;
        }
        // What else there is belongs to no subscription.
        _ => return notification,
    };
    meta.get_or_insert_default().insert(keys::SUBSCRIPTION_ID, id);
    notification
}

/// The result of a subscription with its id (2026-07-28, "Subscriptions", "Graceful Closure").
pub(crate) fn ended(result: &mut SubscriptionsListenResult, id: Option<&RequestId>) {
    if let Some(Ok(id)) = id.map(RawText::of) {
        result.meta.get_or_insert_default().insert(keys::SUBSCRIPTION_ID, id);
    }
}

fn stamped_text(params: Option<&RawText>, id: RawText) -> Option<RawText> {
    let mut params: Members = params.map_or(Some(Members::new()), |params| params.parse().ok())?;
    let mut meta: Members =
        params.get("_meta").map_or(Some(Members::new()), |meta| meta.parse().ok())?;
    meta.insert(keys::SUBSCRIPTION_ID, id);
    params.insert("_meta", RawText::of(&meta).ok()?);
    RawText::of(&params).ok()
}
