//! The same server met twice: by a plain client, and by the ETDI client.

use std::sync::Arc;

use etdi::core::approval::Refusal;
use etdi::core::layer::{Review, ReviewOutcome};
use etdi::core::proof::Trust;
use etdi::core::verify::{Binding, VerifyError};
use etdi::{Error, EtdiClient};
use mcp_client::text_of;
use serde_json::{Value, json};

use crate::changes;
use crate::demo::world::{Failed, Launch};

/// What a plain client got.
#[derive(Debug)]
pub struct PlainMeeting {
    /// The definition of the tool when it was first listed.
    pub definition: String,
    /// The definition when it was listed again before the call.
    pub again: String,
    /// The text that the call was answered with.
    pub answer: String,
}

/// Lists twice and calls, as a client does that shows its user a list and later a model the same.
///
/// # Errors
///
/// When the server does not answer like a server.
pub async fn plain(launch: &Launch, tool: &str, arguments: &Value) -> Result<PlainMeeting, Failed> {
    let client = launch.plain_client()?;
    let definition = definition_of(&client.all_tools().await?, tool)?;
    let again = definition_of(&client.all_tools().await?, tool)?;
    let answer = text_of(&client.call_tool(tool, arguments).await?);
    client.service().close().await;
    Ok(PlainMeeting { definition, again, answer })
}

fn definition_of(
    tools: &[Arc<mcp_types::Listed<mcp_types::Tool>>],
    name: &str,
) -> Result<String, Failed> {
    let tool = tools.iter().find(|tool| tool.name == name);
    let tool = tool.ok_or_else(|| format!("a plain client is shown no tool `{name}`"))?;
    Ok(tool.text().get().to_owned())
}

/// What the ETDI client made of a server.
#[derive(Debug)]
pub struct Meeting {
    /// Whether the tool was shown before the call.
    pub shown: bool,
    /// The code with which the call was refused.
    pub code: String,
    /// What the refusal said.
    pub message: String,
    /// What verification found: its code, or `VERIFIED`.
    pub verification: String,
    /// The same in a sentence.
    pub finding: String,
    /// What the tool was compared with.
    pub refusal: Option<Arc<Refusal>>,
}

/// Lists and calls, with every check in the path. The call must be refused.
///
/// # Errors
///
/// When the call was not refused by a check: it went through, or something broke on the way.
pub async fn refused(
    client: &EtdiClient,
    launch: &Launch,
    tool: &str,
    arguments: &Value,
) -> Result<Meeting, Failed> {
    let session = match client.connect(launch.program()).await {
        Ok(session) => session,
        Err(error @ Error::ExecutableChanged { .. }) => return Ok(not_started(&error)),
        Err(error) => return Err(error.into()),
    };
    let shown = session.client().all_tools().await?.iter().any(|listed| listed.name == tool);
    let called = session.invoke_tool(tool, arguments).await;
    let review = session.review(tool);
    session.close().await;
    let error = match called {
        Ok(result) => {
            return Err(format!("the call went through: {}", text_of(&result)).into());
        }
        Err(error) if error.is_refusal() => error,
        Err(error) => {
            return Err(format!("the call failed instead of being refused: {error}").into());
        }
    };
    let review = review.ok_or("nothing is known of the tool that was refused")?;
    let (verification, finding) = found(&review);
    let refusal = match review.outcome() {
        ReviewOutcome::Refused(refusal) => Some(refusal.clone()),
        _ => None,
    };
    let message = match error {
        Error::Client(mcp_client::Error::Refused(ref refused)) => refused.message.clone(),
        ref error => error.to_string(),
    };
    Ok(Meeting { shown, code: error.code(), message, verification, finding, refusal })
}

fn not_started(error: &Error) -> Meeting {
    Meeting {
        shown: false,
        code: error.code(),
        message: error.to_string(),
        verification: "NOT_STARTED".to_owned(),
        finding: "the program was compared with its pin and not started".to_owned(),
        refusal: None,
    }
}

/// What verification found, as a code and in a sentence.
pub fn found(review: &Review) -> (String, String) {
    match review.verification() {
        Ok(verified) => {
            let bound = match verified.binding() {
                Binding::Https => "its URL".to_owned(),
                Binding::Executable(digest) => format!("the program's digest {digest}"),
                Binding::Possession(key) => format!("the proof that the server holds key {key}"),
                other => format!("{other:?}"),
            };
            let issuer = verified.issuer();
            if verified.trust() == Trust::FirstUse {
                let finding =
                    format!("signed by {issuer}, whom nobody vouches for, bound by {bound}");
                return ("FIRST_USE".to_owned(), finding);
            }
            ("VERIFIED".to_owned(), format!("signed by {issuer}, bound by {bound}"))
        }
        Err(VerifyError::Definition(error)) => (error.code().to_owned(), error.to_string()),
        Err(error) => (error.code().to_owned(), error.to_string()),
    }
}

impl Meeting {
    /// The digests and the difference, for people.
    pub fn evidence(&self) -> Vec<String> {
        let mut evidence = Vec::new();
        if let Some(refusal) = &self.refusal {
            if let Some(previous) = refusal.previous.filter(|previous| *previous != refusal.digest)
            {
                evidence.push(format!("approved {previous}"));
                evidence.push(format!("received {}", refusal.digest));
            } else {
                evidence.push(format!("the digest is the approved one, {}", refusal.digest));
            }
            evidence.extend(changes::lines(&refusal.changes));
        }
        evidence
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let refusal = self.refusal.as_ref().map(|refusal| {
            json!({
                "approved_digest": refusal.previous, "received_digest": refusal.digest,
                "alarm": refusal.alarm, "changes": refusal.changes,
            })
        });
        json!({
            "code": self.code, "message": self.message, "verification": self.verification,
            "finding": self.finding, "shown": self.shown, "compared": refusal,
        })
    }
}
