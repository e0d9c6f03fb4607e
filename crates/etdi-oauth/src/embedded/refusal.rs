//! Why a request is refused, each with the code that its specification has for it.

use etdi_core::endorsement::EndorsementError;
use http::StatusCode;

use super::server::ServerError;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another host was meant: a page that resolves its own name to this server (DNS rebinding).
    #[error("the `Host` header does not name this server, use the URL of its metadata")]
    Host,
    /// A web page that may not ask.
    #[error("the `Origin` header names no page that may ask here; the operator can allow it")]
    Origin,
    /// Nothing is there.
    #[error("there is nothing here, see the metadata for the endpoints")]
    Nothing,
    /// A method that the endpoint does not have.
    #[error("the endpoint takes no such method, expected {0}")]
    Method(&'static str),
    /// A body of another type.
    #[error("the body has another type, expected {0}")]
    MediaType(&'static str),
    /// A body, a form or a parameter that is too large.
    #[error("the request is too large")]
    TooLarge,
    /// A body that does not come.
    #[error("the body did not arrive whole in time")]
    Body,
    /// A parameter that stands there twice.
    #[error("a parameter stands there twice, send each once")]
    Repeated,
    /// A parameter that is missing.
    #[error("the parameter `{0}` is missing")]
    Missing(&'static str),
    /// More asking than is taken.
    #[error("too many of these are asked for, try again in a minute")]
    TooMany,

    /// No such client.
    #[error("the client is unknown, register it or check `client_id`")]
    UnknownClient,
    /// The metadata document of a client cannot be used.
    #[error("the client id metadata document cannot be used: {0}")]
    Document(String),
    /// A client that shows who it is in more than one way.
    #[error("the client authenticates in more than one way, use one")]
    TwoWays,
    /// A client that does not show who it is, or by another way than its own.
    #[error("the client has to authenticate by `{0}`")]
    Unauthenticated(&'static str),
    /// A wrong secret.
    #[error("the client secret is wrong")]
    Secret,
    /// An assertion that is no JWT, or one that no key of the client signed.
    #[error("the client assertion does not hold: {0}")]
    Assertion(&'static str),
    /// An assertion that is over, or lasts too long.
    #[error("the client assertion has expired or lasts longer than ten minutes, sign a new one")]
    AssertionTime,
    /// An assertion that was shown before.
    #[error("the client assertion was used before, sign a new one for each request")]
    AssertionReplayed,

    /// A URI that the client has not registered. Nobody is sent there.
    #[error("the `redirect_uri` is none of those that the client registered")]
    Redirect,
    /// Another response type than `code`.
    #[error("only `response_type=code` is offered")]
    ResponseType,
    /// Another response mode than `query`.
    #[error("only `response_mode=query` is offered")]
    ResponseMode,
    /// No challenge.
    #[error("the `code_challenge` is missing, PKCE is required")]
    ChallengeMissing,
    /// A plain challenge, or none that says what it is.
    #[error("only `code_challenge_method=S256` is taken")]
    ChallengePlain,
    /// A challenge that no digest is.
    #[error("the `code_challenge` is no SHA-256 digest in base64url")]
    Challenge,
    /// A scope that there is not, or that the client may not have.
    #[error("a scope is unknown here or not for this client")]
    Scope,
    /// A scope that has to be asked for.
    #[error("a scope that every grant must have is missing: {0}")]
    RequiredScope(String),
    /// A resource that there is not, or none where several are.
    #[error("the `resource` is none that tokens are issued for here, name one that is")]
    Target,
    /// Another resource than the one that was granted.
    #[error("the `resource` is another than the one that was granted")]
    OtherTarget,
    /// The user said no.
    #[error("the user did not agree")]
    Denied,
    /// The user logged in elsewhere, and is none of those who may here.
    #[error("this user may not log in here, ask the operator")]
    Unlisted,
    /// Where the user was to log in something went wrong.
    #[error("the login elsewhere did not work, begin again or ask the operator")]
    Upstream,
    /// The consent page was not the one that was shown to this browser, or is too old.
    #[error("the page is no longer good, go back to the application and start again")]
    Consent,

    /// A grant type that is not offered.
    #[error("the grant type is not offered")]
    GrantType,
    /// A grant type that the client has not.
    #[error("the client may not use this grant type")]
    ClientGrantType,
    /// A code or refresh token that is none, has expired or was taken back.
    #[error("the `{0}` is unknown, has expired or was taken back")]
    Grant(&'static str),
    /// A code that was used before: all that came of it was taken back.
    #[error("the code was used before, all its tokens are revoked")]
    CodeUsed,
    /// A code that came to another client.
    #[error("the `{0}` was issued to another client")]
    OtherClient(&'static str),
    /// Another redirect URI than the one that the code was sent to.
    #[error("the `redirect_uri` is another than the one that the code was sent to")]
    OtherRedirect,
    /// No verifier, or none that can be one.
    #[error("the `code_verifier` is missing or misspelt")]
    VerifierMissing,
    /// The verifier of another challenge.
    #[error("the `code_verifier` does not belong to the code's challenge")]
    Verifier,
    /// A refresh token that was used before: the whole family was taken back.
    #[error("the refresh token was used before, all tokens of its family are revoked")]
    RefreshReused,

    /// A token exchange for anything but a statement about definitions.
    #[error(
        "only statements about definitions are signed here: `requested_token_type` \
         etdi:token-type:definition or etdi:token-type:manifest, `subject_token_type` \
         etdi:token-type:unsigned, `audience` etdi:definition"
    )]
    NoStatement,
    /// A statement that is not signed for this client.
    #[error("the statement is not signed: {0}")]
    Statement(EndorsementError),
    /// Authorization details that speak of something else than the statement.
    #[error("the `authorization_details` are about something else than the statement")]
    Details,

    /// No proof where there must be one.
    #[error("a `DPoP` proof is required")]
    ProofMissing,
    /// A proof that does not hold.
    #[error("the `DPoP` proof does not hold: {0}")]
    Proof(&'static str),
    /// A proof without a fresh nonce of this server.
    #[error("the `DPoP` proof needs the nonce that is in the `DPoP-Nonce` header")]
    ProofNonce,
    /// A proof that was shown before.
    #[error("the `DPoP` proof was used before, make one for each request")]
    ProofReplayed,
    /// A proof of another key than the grant's.
    #[error("the `DPoP` proof is of another key than the one that the grant is bound to")]
    ProofKey,

    /// Registration of a client that cannot be sent back anywhere.
    #[error("`redirect_uris` must be `https`, or `http` on loopback, without fragment")]
    RegisteredRedirect,
    /// What a client says about itself cannot be.
    #[error("the member `{0}` cannot be used")]
    ClientMetadata(&'static str),
    /// Not for this client to know or do.
    #[error("the client may not do this")]
    NotYours,

    /// The server has no room now, or its state cannot be used.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl Refusal {
    /// The code (RFC 6749, 7591, 7009, 8707 and 9449).
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownClient
            | Self::Document(_)
            | Self::Unauthenticated(_)
            | Self::Secret
            | Self::Assertion(_)
            | Self::AssertionTime
            | Self::AssertionReplayed => "invalid_client",
            Self::ResponseType => "unsupported_response_type",
            Self::Scope | Self::RequiredScope(_) => "invalid_scope",
            Self::Target | Self::OtherTarget => "invalid_target",
            Self::Denied | Self::Unlisted | Self::Origin | Self::Host => "access_denied",
            Self::Upstream => "server_error",
            Self::GrantType => "unsupported_grant_type",
            Self::ClientGrantType | Self::NotYours => "unauthorized_client",
            Self::Grant(_)
            | Self::CodeUsed
            | Self::OtherClient(_)
            | Self::OtherRedirect
            | Self::Verifier
            | Self::RefreshReused => "invalid_grant",
            Self::ProofMissing | Self::Proof(_) | Self::ProofReplayed | Self::ProofKey => {
                "invalid_dpop_proof"
            }
            Self::ProofNonce => "use_dpop_nonce",
            Self::Statement(EndorsementError::Malformed(_)) | Self::NoStatement => {
                "invalid_request"
            }
            Self::Statement(_) => "access_denied",
            Self::Details => "invalid_authorization_details",
            Self::RegisteredRedirect => "invalid_redirect_uri",
            Self::ClientMetadata(_) => "invalid_client_metadata",
            Self::TooMany | Self::Server(ServerError::Full | ServerError::Busy) => {
                "temporarily_unavailable"
            }
            Self::Server(_) => "server_error",
            _ => "invalid_request",
        }
    }

    /// The status that it has outside of a redirect.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Host | Self::Origin | Self::NotYours => StatusCode::FORBIDDEN,
            Self::Nothing => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body => StatusCode::REQUEST_TIMEOUT,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Server(ServerError::Full | ServerError::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Server(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ if self.code() == "invalid_client" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The text in the letters that `error_description` may hold (RFC 6749, section 5.2).
    pub(super) fn description(&self) -> String {
        // What a store or a fetcher says of itself is for the operator.
        let text = match self {
            Self::Server(ServerError::Full | ServerError::Busy) => {
                "the server has no room for this now, try again later".to_owned()
            }
            Self::Server(_) => "the server cannot answer now".to_owned(),
            other => other.to_string(),
        };
        let plain = |one: char| matches!(one, ' ' | '!' | '#'..='[' | ']'..='~');
        text.chars().map(|one| if plain(one) { one } else { '?' }).collect()
    }
}
