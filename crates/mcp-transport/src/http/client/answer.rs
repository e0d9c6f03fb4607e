//! Reading answers: a whole body or one event after the other, within bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use mcp_types::jsonrpc::{Message, Response as Answer};
use mcp_types::{ByteString, ErrorObject, RequestId};
use tokio::time::Instant;

use super::endpoint::Endpoint;
use crate::framing::FrameLimits;
use crate::http::sse;

/// In which form an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One message.
    Json,
    /// A stream of messages.
    Events,
    /// Something else, or nothing.
    Other,
}

/// What the answer says about its form.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Form::Json
    } else if kind.eq_ignore_ascii_case("text/event-stream") {
        Form::Events
    } else {
        Form::Other
    }
}

/// At most 200 characters of what a server said, on one line and harmless to a terminal.
pub(super) fn excerpt(body: &[u8]) -> String {
    const MOST: usize = 200;
    // No character has more than four bytes, and words are joined by one space.
    let head = body.get(..body.len().min(MOST * 8)).unwrap_or_default();
    let text = String::from_utf8_lossy(head);
    let mut said: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .flat_map(|letter| match letter.is_control() || is_invisible(letter) {
            true => letter.escape_unicode().collect::<Vec<_>>(),
            false => vec![letter],
        })
        .take(MOST)
        .collect();
    if said.chars().count() == MOST {
        said.pop();
        said.push('…');
    }
    said
}

/// Characters that reorder or hide what stands around them.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Runs `work` until `deadline`; `None` when it passed.
pub(super) async fn until<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

/// Reads a body to its end.
pub(super) async fn whole(
    endpoint: &Endpoint,
    mut body: Incoming,
    most: usize,
) -> Result<Bytes, ErrorObject> {
    let too_long = || endpoint.broken(&format!("answered with more than {most} bytes"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| endpoint.failed(&format!("broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + more.len() + data.len() > most {
            return Err(too_long());
        }
        // Nearly all answers come in one piece, which is not copied.
        if first.is_empty() && more.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.reserve(first.len() + data.len());
                more.extend_from_slice(&std::mem::take(&mut first));
            }
            more.extend_from_slice(&data);
        }
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

/// The beginning of a body that is no answer, for an error's text; never waits long for it.
pub(super) async fn beginning(mut body: Incoming) -> Bytes {
    const MOST: usize = 64 << 10;
    let mut all = BytesMut::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                all.extend_from_slice(data.get(..data.len().min(MOST)).unwrap_or_default());
            }
            if all.len() >= MOST {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(3), reading).await;
    all.freeze()
}

/// The events of a stream.
pub(super) struct Events {
    body: Incoming,
    piece: Bytes,
    reader: sse::Reader,
}

impl Events {
    pub(super) fn new(body: Incoming, most: usize) -> Self {
        Self { body, piece: Bytes::new(), reader: sse::Reader::new(most) }
    }

    /// The next event; `None` once the stream has ended.
    ///
    /// # Errors
    ///
    /// When the stream breaks, or an event is too long.
    pub(super) async fn next(
        &mut self,
        endpoint: &Endpoint,
    ) -> Result<Option<sse::Event>, ErrorObject> {
        loop {
            match self.reader.next(&mut self.piece) {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) => {}
                Err(sse::TooLong(most)) => {
                    return Err(
                        endpoint.broken(&format!("sent an event of more than {most} bytes"))
                    );
                }
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| endpoint.failed(&format!("broke off: {error}")))?;
            if let Ok(data) = frame.into_data() {
                self.piece = data;
            }
        }
    }

    /// Lets the connection be used again, if the stream ends right after its answer.
    pub(super) fn finish(mut self) {
        // Usually the end came in one piece with the answer, and nobody has to wait for it.
        if let Some(None | Some(Err(_))) = self.body.frame().now_or_never() {
            return;
        }
        tokio::spawn(async move {
            let mut pieces = 0;
            let ending = async {
                // Whoever goes on talking after the answer is not listened to.
                while pieces < 4 && matches!(self.body.frame().await, Some(Ok(_))) {
                    pieces += 1;
                }
            };
            let _ = tokio::time::timeout(Duration::from_millis(100), ending).await;
        });
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.reader.last_id()
    }

    pub(super) fn retry(&self) -> Option<Duration> {
        self.reader.retry()
    }
}

/// The text of a message, held to the limits; `None` for one of white space.
pub(super) fn text(
    endpoint: &Endpoint,
    limits: FrameLimits,
    message: Bytes,
) -> Result<Option<ByteString>, ErrorObject> {
    limits
        .admit(message)
        .transpose()
        .map_err(|fault| endpoint.broken(&format!("sent a message that cannot be read: {fault}")))
}

/// What a whole body says to the request `id`, if it is an answer of the protocol.
pub(super) fn answer_in(limits: FrameLimits, body: &Bytes, id: &RequestId) -> Option<Answer> {
    let text = limits.admit(body.clone())?.ok()?;
    let Ok(Message::Response(answer)) = Message::parse(&text) else { return None };
    // An error without an id is about the request that it came back to.
    let ours = answer.id.as_ref().map_or(answer.result.is_err(), |answered| answered == id);
    ours.then(|| Answer { id: Some(id.clone()), ..answer })
}

/// Why there is no answer of the protocol.
#[derive(Debug)]
pub(super) struct NoAnswer {
    pub(super) error: ErrorObject,
    /// What HTTP answered instead, if it did.
    pub(super) status: Option<StatusCode>,
}

impl From<ErrorObject> for NoAnswer {
    fn from(error: ErrorObject) -> Self {
        Self { error, status: None }
    }
}

impl NoAnswer {
    /// Whether a server of an older revision may have answered so to what it does not know.
    ///
    /// Not where somebody in between spoke, or where any request would be refused.
    pub(super) fn may_be_legacy(&self) -> bool {
        self.status.is_some_and(|status| match status.as_u16() {
            401 | 403 | 407 | 408 | 421 | 429 => false,
            code => matches!(code, 200..=299 | 400..=501),
        })
    }
}

/// The answer to the request `id`, whatever its form, with its status; notifications before it are
/// passed over. An error object of the server is an answer.
pub(super) async fn answer_of(
    endpoint: &Endpoint,
    limits: FrameLimits,
    response: Response<Incoming>,
    id: &RequestId,
) -> Result<(StatusCode, Answer), NoAnswer> {
    let (head, body) = response.into_parts();
    let status = Some(head.status);
    if form(&head.headers) == Form::Events && head.status.is_success() {
        let mut events = Events::new(body, limits.line);
        while let Some(event) = events.next(endpoint).await? {
            if let Some(answer) = answer_in(limits, &event.data, id) {
                events.finish();
                return Ok((head.status, answer));
            }
        }
        let error = endpoint.broken("ended its answer before the message that was asked for");
        return Err(NoAnswer { error, status });
    }
    let body = match head.status.is_success() && form(&head.headers) == Form::Json {
        true => whole(endpoint, body, limits.line).await?,
        false => beginning(body).await,
    };
    let error = match answer_in(limits, &body, id) {
        // Who wants a login first has not answered, in whatever form it says so.
        Some(answer)
            if head.status.is_success()
                || answer.result.is_err() && head.status != StatusCode::UNAUTHORIZED =>
        {
            return Ok((head.status, answer));
        }
        _ if head.status.is_success() => match limits.admit(body.clone()) {
            Some(Err(fault)) => {
                endpoint.broken(&format!("sent a message that cannot be read: {fault}"))
            }
            _ => endpoint.status(&head, &body),
        },
        _ => endpoint.status(&head, &body),
    };
    Err(NoAnswer { error, status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_does_nothing_to_a_terminal() {
        assert_eq!(excerpt(b"  <html>\r\n\t <b>no</b>"), "<html> <b>no</b>");
        assert_eq!(excerpt(b"\x1b[2Jx\x07"), "\\u{1b}[2Jx\\u{7}");
        assert_eq!(excerpt("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(excerpt(b"\xff"), "\u{fffd}");
        let long = excerpt("ä".repeat(5000).as_bytes());
        assert_eq!((long.chars().count(), long.ends_with('…')), (200, true));
        assert!(excerpt(&[7; 5000]).chars().count() <= 200);
    }

    #[test]
    fn the_form_is_the_media_type() {
        for (value, expected) in [
            ("application/json", Form::Json),
            ("Application/JSON; charset=utf-8", Form::Json),
            ("text/event-stream;charset=utf-8", Form::Events),
            ("application/json-seq", Form::Other),
            ("text/html", Form::Other),
            ("", Form::Other),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(form(&headers), expected, "{value}");
        }
        assert_eq!(form(&HeaderMap::new()), Form::Other);
    }
}
