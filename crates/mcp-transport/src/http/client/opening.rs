//! From the first exchange to a server whose era is known.

use mcp_types::error::codes;
use mcp_types::version::Era;
use mcp_types::{
    ClientRequest, ErrorObject, Exchange, Outcome, ProtocolVersion, RequestContext, RequestParams,
    ServerResult,
};

use super::answer::NoAnswer;
use super::modern::Patience;
use super::session::Session;
use super::{Inner, Link};
use crate::proto::client::probe::{Verdict, judge, supported};

/// What came of an opening.
pub(super) enum Opened {
    Link(Link),
    /// The exchange that opened was a discovery, and is answered by it.
    Discovered(Box<Outcome>),
}

impl Inner {
    /// Finds out what the server speaks; others that come meanwhile wait for that.
    pub(super) async fn open(&self, exchange: &Exchange) -> Result<Opened, ErrorObject> {
        let _turn = self.opening.lock().await;
        if let Some(link) = self.link() {
            return Ok(Opened::Link(link));
        }
        if self.options.config.era == Some(Era::Legacy) {
            return Ok(self.open_session(None));
        }
        let (mut sent, mut tries) = (ProtocolVersion::NEWEST, 0);
        loop {
            tries += 1;
            let answer = match self.probe(sent, &exchange.context).await {
                Ok(answer) => answer,
                Err(none) if none.may_be_legacy() => return self.fall_back(none.error),
                Err(none) => return Err(none.error),
            };
            let verdict = match &answer {
                // Some servers refuse a first request and name the very revision that it had.
                Err(error) if refuses_what_it_names(error, sent) && tries == 1 => {
                    Verdict::Retry(sent)
                }
                answer => judge(sent, answer),
            };
            match verdict {
                Verdict::Modern(version, found) => {
                    self.set_link(Some(Link::Modern(version)));
                    if matches!(exchange.request, ClientRequest::Discover(_)) {
                        let outcome = Outcome::Complete(ServerResult::from(*found));
                        return Ok(Opened::Discovered(Box::new(outcome)));
                    }
                    return Ok(Opened::Link(Link::Modern(version)));
                }
                Verdict::Retry(version) if tries <= ProtocolVersion::ALL.len() => sent = version,
                Verdict::Retry(version) => {
                    let text = format!("refuses every revision, and offers {version} for each");
                    return Err(self.endpoint.broken(&text));
                }
                Verdict::Legacy => {
                    let said = match answer {
                        Ok(_) => "its discovery names no revision without a handshake".to_owned(),
                        Err(error) => error.message,
                    };
                    return self.fall_back(self.endpoint.broken(&said));
                }
                Verdict::Incompatible(reason) => {
                    return Err(self.endpoint.broken(&format!("cannot be talked to: {reason}")));
                }
            }
        }
    }

    /// Sends a discovery with the envelope of the exchange that opens.
    async fn probe(
        &self,
        version: ProtocolVersion,
        context: &RequestContext,
    ) -> Result<Result<mcp_types::RawText, ErrorObject>, NoAnswer> {
        let mut probe = Exchange::new(ClientRequest::Discover(RequestParams::new()));
        probe.context = context.clone();
        probe.context.progress_token = None;
        (probe.context.input_responses, probe.context.request_state) = (None, None);
        let time = Some(self.options.config.opening_timeout);
        self.ask(version, &mut probe, Patience { silence: time, most: time }).await
    }

    fn fall_back(&self, mut said: ErrorObject) -> Result<Opened, ErrorObject> {
        if self.options.config.era == Some(Era::Modern) {
            said.message += "; a revision without a handshake was wanted";
            return Err(said);
        }
        Ok(self.open_session(Some(said.message)))
    }

    /// The handshake is the session's first business; the exchange waits for it there.
    fn open_session(&self, before: Option<String>) -> Opened {
        let link = Link::Session(Session::start(self.endpoint.clone(), &self.options, before));
        self.set_link(Some(link.clone()));
        Opened::Link(link)
    }
}

/// Whether the server says that it does not serve a revision, and names it as one that it serves.
fn refuses_what_it_names(error: &ErrorObject, sent: ProtocolVersion) -> bool {
    error.code == codes::UNSUPPORTED_PROTOCOL_VERSION
        && supported(error).iter().any(|version| version == sent.as_str())
}
