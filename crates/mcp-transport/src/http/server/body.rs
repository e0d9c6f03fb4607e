//! Answers: one text whose length is known, or a stream that drives the call it answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use mcp_types::{ErrorObject, RequestId, wire};

use super::call::CallStream;
use super::get::GetStream;
use super::post::PostStream;
#[cfg(feature = "sse")]
use super::sse_2024::Lines;

/// The body of an answer of an [`HttpServer`](super::HttpServer).
///
/// Where the answer is a stream, reading it is what drives the call: a client that reads slowly
/// slows its own call down and nothing is heaped up, and a body that is dropped cancels the call
/// (revisions without a handshake).
#[must_use = "a body does nothing unless it is read"]
pub struct ResponseBody {
    kind: Kind,
    /// Of what came last, what did not go into its frame.
    rest: Bytes,
}

/// Bytes in a frame at most. A connection writes frames through a buffer of its own (one plain write
/// for head and body is cheaper than a gathered one), and what that grew to it keeps.
const MOST_IN_FRAME: usize = 64 << 10;

impl ResponseBody {
    fn new(kind: Kind) -> Self {
        Self { kind, rest: Bytes::new() }
    }
}

pub(super) enum Kind {
    Whole(Option<Bytes>),
    Call(Box<CallStream>),
    Post(Box<PostStream>),
    Get(Box<GetStream>),
    #[cfg(feature = "sse")]
    Lines(Box<Lines>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            let part = this.rest.split_to(this.rest.len().min(MOST_IN_FRAME));
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let bytes = match &mut this.kind {
            Kind::Whole(bytes) => bytes.take(),
            Kind::Call(stream) => std::task::ready!(stream.poll_next(cx)),
            Kind::Post(stream) => std::task::ready!(stream.poll_next(cx)),
            Kind::Get(stream) => std::task::ready!(stream.poll_next(cx)),
            #[cfg(feature = "sse")]
            Kind::Lines(stream) => std::task::ready!(stream.poll_next(cx)),
        };
        Poll::Ready(bytes.map(|mut bytes| {
            if bytes.len() > MOST_IN_FRAME {
                this.rest = bytes.split_off(MOST_IN_FRAME);
            }
            Ok(Frame::data(bytes))
        }))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Whole(None)) && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => {
                let next = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact((self.rest.len() + next) as u64)
            }
            _ => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            Kind::Whole(_) => "ResponseBody(whole)",
            _ => "ResponseBody(stream)",
        })
    }
}

pub(super) type Answer = Response<ResponseBody>;

/// A JSON text as the whole answer.
pub(super) fn json(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    whole(status, JSON, text.into())
}

/// The same to a request that nobody looks at any more, in the room that its headers had: the
/// connection reads the next request's headers into it again, and none is made anew for a call.
pub(super) fn json_for(asked: &mut Asked, status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(ResponseBody::new(Kind::Whole(Some(text.into()))));
    *answer.status_mut() = status;
    if let Some(parts) = asked.take().as_mut().and_then(Arc::get_mut) {
        parts.headers.clear();
        std::mem::swap(answer.headers_mut(), &mut parts.headers);
    }
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

/// The request that is answered, but for its body.
pub(super) type Asked = Option<Arc<Parts>>;

/// All events of a stream that has ended already.
pub(super) fn events(text: Vec<u8>) -> Answer {
    as_stream(whole(StatusCode::OK, EVENT_STREAM, text.into()))
}

/// A stream.
pub(super) fn stream(kind: Kind) -> Answer {
    let mut answer = Response::new(ResponseBody::new(kind));
    answer.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
    as_stream(answer)
}

/// An answer that says nothing but its status.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(ResponseBody::new(Kind::Whole(None)));
    *answer.status_mut() = status;
    answer
}

/// An error object as the whole answer.
pub(super) fn error(status: StatusCode, id: Option<&RequestId>, error: &ErrorObject) -> Answer {
    let mut text = Vec::with_capacity(256);
    wire::encode_error(&mut text, id, error);
    json(status, text)
}

/// An answer to a request for which there is no room.
pub(super) fn unavailable(id: Option<&RequestId>, why: &ErrorObject) -> Answer {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, id, why);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    answer
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

fn whole(status: StatusCode, media: HeaderValue, text: Bytes) -> Answer {
    let mut answer = Response::new(ResponseBody::new(Kind::Whole(Some(text))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, media);
    answer
}

/// Tells whoever stands between not to keep or to gather events.
fn as_stream(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_answer_comes_in_parts_and_whole() {
        let text: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
        let mut body = json(StatusCode::OK, text.clone()).into_body();
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let (mut seen, mut cx) = (Vec::new(), Context::from_waker(std::task::Waker::noop()));
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) {
            let part = frame.into_data().unwrap();
            assert!(part.len() <= MOST_IN_FRAME, "{}", part.len());
            seen.extend_from_slice(&part);
            assert_eq!(body.size_hint().exact(), Some(200_000 - seen.len() as u64));
            assert_eq!(body.is_end_stream(), seen.len() == text.len());
        }
        assert_eq!(seen, text);
    }
}
