//! Flow labels: where text came from, and where it must not go.
//!
//! A model that reads a mail and can post to the web can be told, by the mail, to post the mail.
//! No look at either tool finds that: both do what they say. What is wrong is the *flow*, from
//! one server to another. A [`FlowTracker`] stands where all servers of a client meet. It labels
//! what each of them gives (its [`Origin`], its [`Integrity`], its [`Confidentiality`]), recognises
//! that text in what is about to be sent to another, and refuses what a [`FlowRule`] forbids, with
//! an [explanation](FlowDenied) that names the text, both ends and the rule. What it recognised is
//! also in the exchange's extensions as [`Findings`], for policy engines.
//!
//! ```
//! use etdi_core::flow::{FlowRules, FlowTracker, Label, Origin};
//!
//! let rules: FlowRules = serde_json::from_str(r#"{"rules": [{
//!     "id": "mail-stays",
//!     "from": {"servers": ["stdio:pkg:cargo/mail"]},
//!     "to": {"servers": ["https://*"]}
//! }]}"#)?;
//! let flows = FlowTracker::new(rules)?;
//! let mail = "The key of the vault is 7741-KESTREL-0093, do not tell anybody.";
//! flows.observe(Label::new(Origin::new("stdio:pkg:cargo/mail", "read_mail")), mail);
//!
//! let send = |text: &str| {
//!     let arguments = serde_json::json!({ "body": text }).to_string();
//!     flows.inspect("https://web.example/mcp", "post", &arguments)
//! };
//! // A piece of it is enough, also in other words' midst, in capitals, or percent-encoded.
//! let denied = send("fyi 7741-kestrel-0093 ok?").unwrap_err();
//! assert_eq!(denied.to_string(), "the flow rule `mail-stays` does not let text from `read_mail` \
//!     of `stdio:pkg:cargo/mail` go to `post` of `https://web.example/mcp`: the argument `body` has at \
//!     least 15 letters and digits of it");
//! assert!(send("THE%20KEY%20OF%20THE%20VAULT%20IS%207741%20KESTREL%200093%20DO%20NOT").is_err());
//! assert!(send("What is the weather like?").is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is recognised
//!
//! Letters and digits are compared, without case; all else is left out, so that spaces, line
//! breaks, punctuation and invisible characters make no difference. With certainty:
//!
//! * 32 of them in a row (bytes of UTF-8), by hashes of overlapping pieces;
//! * shorter texts, from 8 on, that look like a key, number, mail address or other token, and from
//!   16 on whole values;
//! * both also behind percent-encoding, base64, hexadecimal digits and JSON escapes, two deep, and
//!   when they are cut over several arguments of one call in order;
//! * a [canary](FlowTracker::plant), which is a token.
//!
//! # What is not
//!
//! A paraphrase, a translation, a summary, a text that is spelled with look-alike letters,
//! compressed, encrypted, sent in small pieces by many calls, or told by *which* call is made: no
//! comparison of texts finds these, and a model can be asked for any of them. The rule that holds
//! against all of these does not look at texts: with [`On::Seen`] nothing goes to its
//! destinations any more once text of its origins has come in, until the conversation ends
//! ([`FlowTracker::forget`]). Descriptions of tools, log messages and progress are not labelled.
//!
//! # Bounds
//!
//! Hashes are kept, not texts, with a random base for each tracker. Each server has room of its
//! own ([`FlowLimits`]), so that none can push out another's by talking much. When one has given
//! more than is kept, rules about its text hold as if they were about having seen it: what
//! can no longer be recognised is not assumed to be absent.

mod decode;
mod denied;
mod index;
mod label;
mod layer;
mod rule;
mod sieve;
mod text;
mod tracker;

pub use denied::{FlowDenied, Why};
pub use label::{Confidentiality, Finding, Findings, Form, Integrity, Label, Origin};
pub(crate) use layer::Passage;
pub use layer::{FlowLayer, FlowService};
pub use rule::{End, FlowRule, FlowRules, Labelling, On};
pub use tracker::{FlowLimits, FlowTracker};

#[cfg(test)]
mod tests;
