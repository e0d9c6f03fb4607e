//! Why an identity provider does not sign, and why what it gave is not kept.

use crate::attestation::AttestError;
use crate::identity::ProviderId;
use crate::jws::JwsError;
use crate::permission::Scope;

/// Why nothing is signed, or what was given is no statement that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndorsementError {
    /// It cannot be read.
    #[error("it is no request for a statement: {0}")]
    Malformed(String),
    /// Another one would have to say it.
    #[error("it is no statement of {own} about definitions, ask whom it names")]
    Issuer {
        /// Who was asked.
        own: ProviderId,
    },
    /// It is about a server that is not this publisher's.
    #[error("this publisher has nothing signed about `{}`, ask the operator to allow the server", .0.escape_debug())]
    Server(String),
    /// A tool has another name than this publisher's.
    #[error("this publisher has no tool `{}` signed, ask the operator to allow the name", .0.escape_debug())]
    Name(String),
    /// A tool asks for more than this publisher's may.
    #[error("tool `{}` asks for `{scope}`, which this publisher may not claim", .tool.escape_debug())]
    Permission {
        /// The tool.
        tool: String,
        /// What it asks for.
        scope: Scope,
    },
    /// A tool is declared to be somebody else's.
    #[error(transparent)]
    Provider(AttestError),
    /// A definition is not shown, or is not the one that the statement is about.
    #[error("the definition of `{}` that was shown is not the one that the statement names", .0.escape_debug())]
    Definition(String),
    /// A manifest would let other keys sign.
    #[error(
        "a manifest that delegates to keys is not signed for others, leave the delegations out"
    )]
    Delegations,
    /// A manifest lists what nobody but its publisher has seen.
    #[error(
        "prompts, resource templates and instructions are not signed for this publisher, list the \
         tools only"
    )]
    Unseen,
    /// It has ended, has not begun, or holds longer than was asked.
    #[error("its times are none of those that were asked for, check the clocks")]
    Times,
    /// What was given is no statement of this kind, or not signed by that key.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// What was given says something else.
    #[error("it does not say what was to be signed: {0}")]
    Differs(String),
}
