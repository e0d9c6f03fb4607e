//! Why something is not sent, in words for the user.

use core::fmt;

use mcp_types::{ErrorObject, Origin as ErrorOrigin};
use serde_json::json;

use super::{Finding, Form, Label};
use crate::change::visible;
use crate::event::{Event, EventKind, Severity};
use crate::wire;

/// What must not be sent, and why. Its text names both ends and the rule, and holds nothing of
/// what would have been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowDenied {
    /// The rule; empty where a bound refuses.
    pub rule: String,
    /// What the rule's author says.
    pub reason: Option<String>,
    /// The server that would have got it.
    pub server: String,
    /// Its tool, prompt or resource.
    pub source: String,
    /// What was found.
    pub why: Why,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Text of the rule's origin stands in what would be sent.
    Text(Finding),
    /// Text of the rule's origin came in before.
    Seen(Label),
    /// The origin gave more text than is kept, so that nobody can tell.
    Lost(Label),
    /// There is more in it than is looked through.
    TooBig {
        /// How many bytes are.
        limit: usize,
    },
    /// It is no JSON.
    Unreadable,
}

impl FlowDenied {
    /// As the error with which a request is refused: the explanation as its message; how the text
    /// begins is in its data, for the user.
    pub(crate) fn error(&self) -> ErrorObject {
        let from = match &self.why {
            Why::Text(found) => Some(&found.label),
            Why::Seen(label) | Why::Lost(label) => Some(label),
            Why::TooBig { .. } | Why::Unreadable => None,
        };
        let found = match &self.why {
            Why::Text(found) => Some(found),
            _ => None,
        };
        let evidence = json!({
            "rule": self.rule,
            "reason": self.reason,
            "from": from,
            "to": { "server": self.server, "source": self.source },
            "argument": found.and_then(|found| found.argument.as_deref()),
            "excerpt": found.map(|found| &found.excerpt),
        });
        let data = json!({ wire::ERROR_DATA: "FLOW_DENIED", wire::EVIDENCE: evidence });
        ErrorObject::local(ErrorOrigin::Refused, self.to_string()).with_data(&data)
    }

    /// As an event: without any of the text.
    pub(crate) fn event(&self) -> Event {
        Event::new(EventKind::PolicyDecided)
            .on(&self.server, &self.source)
            .severity(Severity::High)
            .detail(self)
    }
}

impl std::error::Error for FlowDenied {}

impl fmt::Display for FlowDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = Place { server: &self.server, source: &self.source };
        let from = |label: &Label| {
            let origin = &label.origin;
            Place { server: &origin.server, source: &origin.source }.to_string()
        };
        let rule = visible(&self.rule);
        match &self.why {
            Why::Text(found) => {
                let from = from(&found.label);
                write!(f, "the flow rule `{rule}` does not let text from {from} go to {to}: ")?;
                match &found.argument {
                    Some(argument) => write!(f, "the argument `{}` has", visible(argument))?,
                    None => write!(f, "what would be sent has")?,
                }
                write!(f, " at least {} letters and digits of it", found.length)?;
                if found.form == Form::Encoded {
                    write!(f, ", encoded")?;
                }
            }
            Why::Seen(label) => write!(
                f,
                "the flow rule `{rule}` lets nothing go to {to} once {} has given text, \
                 begin another conversation",
                from(label)
            )?,
            Why::Lost(label) => write!(
                f,
                "the flow rule `{rule}` lets no text from {} go to {to}, and it gave more than is \
                 kept for comparison: begin another conversation",
                from(label)
            )?,
            Why::TooBig { limit } => write!(
                f,
                "what would be sent to {to} has more than {limit} bytes, too much to look for \
                 text of other servers: send less"
            )?,
            Why::Unreadable => write!(f, "what would be sent to {to} is no JSON, correct it")?,
        }
        match &self.reason {
            Some(reason) => write!(f, " ({})", visible(reason)),
            None => Ok(()),
        }
    }
}

/// A source of a server.
struct Place<'a> {
    server: &'a str,
    source: &'a str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of `{}`", visible(self.source), visible(self.server))
    }
}
