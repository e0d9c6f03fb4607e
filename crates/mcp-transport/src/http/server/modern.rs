//! The stateless era: one POST is one exchange, and its headers say what its body says.

use std::sync::Arc;
use std::task::Context;

use http::StatusCode;
use http::request::Parts;
use mcp_types::error::codes;
use mcp_types::jsonrpc::{Message, Request};
use mcp_types::version::Era;
use mcp_types::wire::{MODERN, ServerCodec};
use mcp_types::{
    ClientCertificate, ClientRequest, ErrorObject, Exchange, Extensions, Members, Principal,
    ProtocolVersion, RequestId, keys,
};
use serde::Serialize;

use super::body::{self, Answer, unavailable};
use super::call::{Call, refused};
use super::repeated::Repeated;
use super::shared::{Place, Shared};
use crate::http::headers;

/// Serves one message; a request becomes a call, all else has its answer at once.
pub(super) fn serve(
    shared: &Arc<Shared>,
    (parts, repeated): (&Arc<Parts>, Repeated<'_>),
    message: Message,
    cx: &mut Context<'_>,
) -> Result<Call, Answer> {
    match message {
        Message::Request(request) => open(shared, (parts, repeated), request, cx),
        // No notification of this era has a meaning over HTTP: closing the answer cancels.
        Message::Notification(_) => Err(body::empty(StatusCode::ACCEPTED)),
        _ => {
            let text = "a client of this revision sends requests and notifications only";
            Err(body::error(StatusCode::BAD_REQUEST, None, &ErrorObject::invalid_request(text)))
        }
    }
}

fn open(
    shared: &Arc<Shared>,
    (parts, mut repeated): (&Arc<Parts>, Repeated<'_>),
    request: Request,
    cx: &mut Context<'_>,
) -> Result<Call, Answer> {
    let Request { id, method, params } = request;
    repeated.check_method(&method).map_err(|error| refused(&id, &error))?;
    let incoming = match MODERN.decode_request(&method, params.as_ref()) {
        Ok(incoming) => incoming,
        Err(error) => {
            // Two revisions that differ are a mismatch, whether or not one of them is served.
            let version = params.and_then(|params| version_in(&params)).unwrap_or_default();
            let mismatch =
                (!version.is_empty()).then(|| repeated.check_version(&version).err()).flatten();
            return Err(refused(&id, &mismatch.unwrap_or(error)));
        }
    };
    let version = incoming.context.protocol_version().map_or("", |version| version.as_str());
    repeated.check_version(version).map_err(|error| refused(&id, &error))?;
    if let Some(name) = headers::name_of(&incoming.request) {
        repeated.check_name(&name).map_err(|error| refused(&id, &error))?;
    }
    let mut exchange = Exchange::of(incoming.request, incoming.context);
    let extensions = &mut exchange.context.extensions;
    if matches!(exchange.request, ClientRequest::CallTool(_)) {
        extensions.insert_shared(repeated.params(shared.unmirrored()));
    }
    extend(extensions, parts.clone());
    start(shared, id, exchange, cx)
}

fn start(
    shared: &Arc<Shared>,
    id: RequestId,
    exchange: Exchange,
    cx: &mut Context<'_>,
) -> Result<Call, Answer> {
    let listens = matches!(exchange.request, ClientRequest::SubscriptionsListen(_));
    let place = if listens { Some(Place::take(shared)) } else { None };
    if let Some(None) = place {
        let text = "there are as many streams open as there may be, try again later";
        return Err(unavailable(Some(&id), &ErrorObject::internal(text)));
    }
    let call = Call::start(shared, id, exchange, (&MODERN, Era::Modern, listens), cx);
    Ok(match place.flatten() {
        Some(place) => call.lasting(place),
        None => call,
    })
}

/// What layers and tools may want to know of the request: its HTTP parts, who sent it, by which
/// certificate, and what a gate found.
pub(super) fn extend(extensions: &mut Extensions, parts: Arc<Parts>) {
    if let Some(principal) = parts.extensions.get::<Principal>() {
        extensions.insert(principal.clone());
    }
    if let Some(certificate) = parts.extensions.get::<Arc<ClientCertificate>>() {
        extensions.insert_shared(certificate.clone());
    }
    if let Some(found) = parts.extensions.get::<Extensions>() {
        extensions.merge(found);
    }
    extensions.insert_shared(parts);
}

/// Who sent the request: whom a gate found, or else whom a layer in front did.
pub(super) fn sender(parts: &Parts) -> Option<&Principal> {
    let found = parts.extensions.get::<Extensions>().and_then(Extensions::get);
    found.or_else(|| parts.extensions.get())
}

/// The answer to a message of a revision that nobody knows.
#[cold]
pub(super) fn unknown_version(parts: &Parts, message: &Message) -> Answer {
    let id = match message {
        Message::Request(request) => Some(&request.id),
        _ => None,
    };
    let named = parts.headers.get(headers::PROTOCOL_VERSION);
    let named = named.map_or_else(Default::default, |v| String::from_utf8_lossy(v.as_bytes()));
    let named: String = named.chars().take(128).collect();
    let supported = ProtocolVersion::ALL.iter().rev().map(|version| version.as_str()).collect();
    let text = format!("the protocol version `{named}` is not served here");
    let error = ErrorObject::new(codes::UNSUPPORTED_PROTOCOL_VERSION, text)
        .with_data(&Versions { requested: &named, supported });
    body::error(StatusCode::BAD_REQUEST, id, &error)
}

#[derive(Serialize)]
struct Versions<'a> {
    requested: &'a str,
    supported: Vec<&'static str>,
}

/// The revision that an envelope names, whatever else is wrong with the request.
#[cold]
fn version_in(params: &mcp_types::RawText) -> Option<String> {
    let meta: Members = params.parse::<Members>().ok()?.get("_meta")?.parse().ok()?;
    meta.get(keys::PROTOCOL_VERSION)?.parse().ok()
}
