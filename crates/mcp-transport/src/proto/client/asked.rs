//! Questions of a server outside of any call: older servers ask for the roots when they start.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mcp_types::wire;
use mcp_types::{ErrorObject, InputHandler, InputRequest, RawText, RequestId};

use super::{ClientConn, ClientEvent};

/// Who answers what a server asks outside of any call.
///
/// Only revisions with a handshake have such questions. A question in the middle of a call is the
/// caller's instead: its exchange ends as "input required".
#[derive(Clone)]
pub struct PeerRequests(pub Arc<dyn InputHandler>);

impl fmt::Debug for PeerRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerRequests")
    }
}

/// How many such questions may wait for an answer at once.
const MOST: usize = 16;

/// Questions that somebody answers at the moment, with a name for each that is never used again.
#[derive(Debug, Default)]
pub(super) struct PeerQuestions {
    open: HashMap<u64, RequestId>,
    last: u64,
}

impl ClientConn {
    /// Hands a question out to be answered by [`ClientConn::answer`].
    pub(super) fn ask_peer(
        &mut self,
        id: RequestId,
        question: InputRequest,
    ) -> Result<(), ErrorObject> {
        let Some(peer) = self.config.peer_requests.clone() else {
            let text = "no call is in flight to which this could belong";
            return Err(ErrorObject::invalid_request(text));
        };
        if self.questions.open.len() >= MOST {
            return Err(ErrorObject::internal("too many questions wait for an answer already"));
        }
        self.questions.last += 1;
        let name = self.questions.last;
        self.questions.open.insert(name, id);
        self.events.push_back(ClientEvent::Asked(name, question, peer));
        Ok(())
    }

    /// Answers a question that was handed out; one that was taken back wants no answer.
    pub fn answer(&mut self, question: u64, answer: Result<RawText, ErrorObject>) {
        let Some(id) = self.questions.open.remove(&question) else { return };
        self.outbox.push(None, |out| match &answer {
            Ok(result) => {
                let _ = wire::encode_result(out, &id, result);
            }
            Err(error) => wire::encode_error(out, Some(&id), error),
        });
    }

    pub(super) fn peer_question_withdrawn(&mut self, id: &RequestId) {
        self.questions.open.retain(|_, question| question != id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mcp_types::version::Era;
    use mcp_types::{BoxFuture, ClientRequest, Exchange, Implementation, RequestParams};

    use super::*;
    use crate::proto::client::ClientConfig;

    struct Nobody;

    impl InputHandler for Nobody {
        fn handle(&self, _: InputRequest) -> BoxFuture<'_, Result<RawText, ErrorObject>> {
            Box::pin(std::future::pending())
        }
    }

    fn sent(conn: &mut ClientConn) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(transmit) = conn.poll_transmit() {
            sent.push(String::from_utf8(transmit.message.to_vec()).unwrap());
        }
        sent
    }

    fn open(answers: bool) -> ClientConn {
        let mut config = ClientConfig::new(Implementation::new("client", "1"));
        config.era = Some(Era::Legacy);
        config.peer_requests = answers.then(|| PeerRequests(Arc::new(Nobody)));
        let (mut conn, now) = (ClientConn::new(config), Instant::now());
        conn.request(now, Exchange::new(ClientRequest::Discover(RequestParams::new())));
        let shaken = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25",
            "capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#;
        conn.handle(now, &shaken.into());
        sent(&mut conn);
        while conn.poll_event().is_some() {}
        conn
    }

    const ROOTS: &str = r#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"#;

    #[test]
    fn a_question_outside_of_any_call_is_answered_if_somebody_can() {
        let mut conn = open(true);
        conn.handle(Instant::now(), &ROOTS.into());
        let Some(ClientEvent::Asked(name, InputRequest::ListRoots(_), _)) = conn.poll_event()
        else {
            panic!("nobody was asked")
        };
        conn.answer(name, Ok(RawText::new(r#"{"roots":[]}"#).unwrap()));
        conn.answer(name, Ok(RawText::new(r#"{"roots":[]}"#).unwrap()));
        assert_eq!(sent(&mut conn), [r#"{"jsonrpc":"2.0","id":"r","result":{"roots":[]}}"#]);

        let mut conn = open(false);
        conn.handle(Instant::now(), &ROOTS.into());
        assert!(conn.poll_event().is_none());
        let sent = sent(&mut conn);
        assert!(sent.len() == 1 && sent[0].contains(r#""error""#), "{sent:?}");
    }

    #[test]
    fn a_question_that_is_taken_back_wants_no_answer_and_many_are_refused() {
        let mut conn = open(true);
        for _ in 0..=MOST {
            conn.handle(Instant::now(), &ROOTS.into());
        }
        let refused = sent(&mut conn);
        assert!(refused.len() == 1 && refused[0].contains("too many questions"), "{refused:?}");
        let cancelled =
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"r"}}"#;
        conn.handle(Instant::now(), &cancelled.into());
        while let Some(ClientEvent::Asked(name, ..)) = conn.poll_event() {
            conn.answer(name, Ok(RawText::new("{}").unwrap()));
        }
        assert!(sent(&mut conn).is_empty());
    }
}
