//! What went wrong, sorted by what a host can do about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use etdi_core::approval::{Pin, StoreError};
use etdi_core::audit::AuditError;
use etdi_core::binding::MeasureError;
use etdi_core::change::visible;
use etdi_core::digest::Digest;
use etdi_core::identity::{IdentityError, ServerIdentity};
use etdi_core::layer::StartError;
use etdi_core::wire;
use mcp_types::ErrorObject;
use serde::{Deserialize, Serialize};

use crate::ApproveError;
use crate::config::ConfigError;

/// Why a session was not made, or did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program cannot be found or read: check the command.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The program cannot be started.
    #[error(transparent)]
    Start(#[from] mcp_transport::Error),
    /// Another program stands behind the command line than when its tools were approved. It was
    /// not started.
    #[error("{}", another(.approved, .found))]
    ExecutableChanged {
        /// What was pinned.
        approved: Box<Pin>,
        /// What is there now.
        found: Box<Pin>,
    },
    /// The approvals cannot be read: nothing counts as approved.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit trail cannot be written, and the policy wants it first.
    #[error("nothing was done: {0}")]
    Audit(#[from] AuditError),
    /// The server ended while its client was still there.
    #[error("the server has ended, so nobody is served any more")]
    Ended,
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The URL is no identity of a server.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A header that cannot be sent.
    #[error("the header `{}` cannot be sent, its name or value holds what no header may", visible(.name))]
    Header {
        /// Its name.
        name: String,
    },
    /// What is behind a Unix socket was named by a URL.
    #[error(
        "`{identity}` names no server behind a Unix socket: name it by a package, such as \
         `pkg:cargo/notes`, or by its instance key"
    )]
    SocketIdentity {
        /// The name.
        identity: Box<ServerIdentity>,
    },
    /// A program that is to be started was named by a URL, behind which TLS would have to stand.
    #[error(
        "`{identity}` names no program that is started here: name it by a package, such as \
         `pkg:cargo/notes`, or by its instance key, or dial the URL"
    )]
    ProgramIdentity {
        /// The name.
        identity: Box<ServerIdentity>,
    },
    /// A name that no server can be given.
    #[error("a server cannot be named `{}`: take a name that is free, not empty, and without `/`", visible(.name))]
    ServerName {
        /// The name.
        name: String,
    },
    /// The servers of a gateway cannot be named so.
    #[error(transparent)]
    Names(#[from] mcp_client::GroupError),
    /// No server is connected under this name.
    #[error("no server is connected as `{}`, connect it with `connect_to_server`", visible(.name))]
    NoSuchServer {
        /// The name.
        name: String,
    },
    /// A tool was not approved.
    #[error(transparent)]
    Approve(#[from] ApproveError),
    /// What was approved and what is listed cannot be compared.
    #[error("what was approved and what is listed cannot be compared: {0}")]
    Compare(String),
    /// The server does not list the tool.
    #[error("the server lists no tool `{}`", visible(.name))]
    NoSuchTool {
        /// The name that was asked for.
        name: String,
    },
    /// The server failed, or a check refused; see [`mcp_client::Error`].
    #[error(transparent)]
    Client(#[from] mcp_client::Error),
}

impl Error {
    /// A stable word for programs. For what a check refused it is the reason's code, such as
    /// `DEFINITION_CHANGED`.
    pub fn code(&self) -> String {
        match self {
            Self::Measure(_) | Self::Start(_) => "NOT_STARTED".to_owned(),
            Self::ExecutableChanged { .. } => "EXECUTABLE_CHANGED".to_owned(),
            Self::Store(_) => "STORE_FAILED".to_owned(),
            Self::Ended => "SERVER_ENDED".to_owned(),
            Self::Audit(_) => "AUDIT_FAILED".to_owned(),
            Self::Config(_) | Self::Header { .. } => "CONFIGURATION".to_owned(),
            Self::Identity(_) | Self::SocketIdentity { .. } | Self::ProgramIdentity { .. } => {
                "NOT_A_SERVER".to_owned()
            }
            Self::ServerName { .. } | Self::Names(_) => "SERVER_NAME".to_owned(),
            Self::NoSuchServer { .. } => "NO_SUCH_SERVER".to_owned(),
            Self::Approve(error) => error.code().to_owned(),
            Self::Compare(_) => "DEFINITION_INVALID".to_owned(),
            Self::NoSuchTool { .. } => "NO_SUCH_TOOL".to_owned(),
            Self::Client(error) => match error {
                mcp_client::Error::Refused(refusal) => {
                    code_of(refusal).unwrap_or_else(|| "REFUSED".to_owned())
                }
                mcp_client::Error::Service(_) => "SERVER_ERROR".to_owned(),
                mcp_client::Error::Connection(_) => "CONNECTION_LOST".to_owned(),
                mcp_client::Error::Timeout(_) => "TIMEOUT".to_owned(),
                mcp_client::Error::InputRequired(_) => "INPUT_REQUIRED".to_owned(),
                mcp_client::Error::ToolFailed(_) => "TOOL_ERROR".to_owned(),
                mcp_client::Error::Arguments(_) => "ARGUMENTS".to_owned(),
                _ => "PROTOCOL_VIOLATION".to_owned(),
            },
        }
    }

    /// The family that the error belongs to, by the name that the ETDI README's language has for it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(_) => ErrorKind::StorageError,
            Self::Config(_)
            | Self::Header { .. }
            | Self::ServerName { .. }
            | Self::Names(_)
            | Self::Identity(_)
            | Self::SocketIdentity { .. }
            | Self::ProgramIdentity { .. }
            | Self::NoSuchServer { .. } => ErrorKind::ConfigurationError,
            Self::NoSuchTool { .. } => ErrorKind::ToolNotFound,
            Self::Client(mcp_client::Error::Timeout(_)) => ErrorKind::VerificationTimeout,
            error => ErrorKind::of_code(&error.code()),
        }
    }

    /// Whether a security check refused; everything else is a fault of a program or a network.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::ExecutableChanged { .. }
                | Self::Store(_)
                | Self::Audit(_)
                | Self::Approve(_)
                | Self::Client(mcp_client::Error::Refused(_))
        )
    }
}

/// In what a program is not the approved one.
fn another(approved: &Pin, found: &Pin) -> String {
    let path = visible(&found.executable);
    if approved.executable != found.executable {
        let name = found.argv.first().map_or("", String::as_str);
        let by_path = match name.contains('/') {
            true => "",
            false => {
                ", and the `PATH` of whoever starts it says which: give the program by its whole path in all \
                 places, or approve the one that is found here"
            }
        };
        return format!(
            "`{}` is `{path}` here, which is not the program that was approved: that was `{}`{by_path}",
            visible(name),
            visible(&approved.executable)
        );
    }
    if approved.digest != found.digest {
        let (was, is) = (&approved.digest, &found.digest);
        return format!("`{path}` is not the program that was approved: it was {was}, it is {is}");
    }
    let names: BTreeSet<&String> = approved.files.keys().chain(found.files.keys()).collect();
    let shown = |files: &BTreeMap<String, Digest>, name: &String| match files.get(name) {
        Some(digest) => format!("{digest}"),
        None => "no file".to_owned(),
    };
    let others =
        names.into_iter().filter(|name| approved.files.get(*name) != found.files.get(*name));
    let others = others.map(|name| {
        let (was, is) = (shown(&approved.files, name), shown(&found.files, name));
        format!(
            "`{}`, which `{path}` is given, is not the file that was approved: it was {was}, it is {is}",
            visible(name)
        )
    });
    let others: Vec<_> = others.collect();
    match others.is_empty() {
        true => format!("`{path}` is started with other arguments than were approved"),
        false => others.join("; "),
    }
}

/// The families of errors, by names that never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ErrorKind {
    /// None of the others.
    EtdiError,
    /// A signature, or what it signs, is wrong.
    SignatureInvalid,
    /// The version or definition is another one than was approved.
    VersionMismatch,
    /// A permission was not granted.
    PermissionDenied,
    /// A login failed.
    OauthError,
    /// An issuer or its keys cannot be used.
    ProviderError,
    /// A token does not count.
    TokenValidationFailed,
    /// There is no approval that counts.
    ApprovalError,
    /// A setting is wrong.
    ConfigurationError,
    /// There is no such tool.
    ToolNotFound,
    /// There is no such provider.
    ProviderNotFound,
    /// The level does not admit it.
    SecurityLevelError,
    /// It took too long.
    VerificationTimeout,
    /// Something cannot be kept, or read back.
    StorageError,
    /// A key does not count, or was taken back.
    KeyExchangeError,
    /// A call is not signed as it must be.
    RequestSigningError,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::EtdiError,
        Self::SignatureInvalid,
        Self::VersionMismatch,
        Self::PermissionDenied,
        Self::OauthError,
        Self::ProviderError,
        Self::TokenValidationFailed,
        Self::ApprovalError,
        Self::ConfigurationError,
        Self::ToolNotFound,
        Self::ProviderNotFound,
        Self::SecurityLevelError,
        Self::VerificationTimeout,
        Self::StorageError,
        Self::KeyExchangeError,
        Self::RequestSigningError,
    ];

    /// The name, such as `SIGNATURE_INVALID`.
    pub fn code(self) -> &'static str {
        match self {
            Self::EtdiError => "ETDI_ERROR",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::VersionMismatch => "VERSION_MISMATCH",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::OauthError => "OAUTH_ERROR",
            Self::ProviderError => "PROVIDER_ERROR",
            Self::TokenValidationFailed => "TOKEN_VALIDATION_FAILED",
            Self::ApprovalError => "APPROVAL_ERROR",
            Self::ConfigurationError => "CONFIGURATION_ERROR",
            Self::ToolNotFound => "TOOL_NOT_FOUND",
            Self::ProviderNotFound => "PROVIDER_NOT_FOUND",
            Self::SecurityLevelError => "SECURITY_LEVEL_ERROR",
            Self::VerificationTimeout => "VERIFICATION_TIMEOUT",
            Self::StorageError => "STORAGE_ERROR",
            Self::KeyExchangeError => "KEY_EXCHANGE_ERROR",
            Self::RequestSigningError => "REQUEST_SIGNING_ERROR",
        }
    }

    /// The family of one of our finer codes, those on the wire included.
    pub fn of_code(code: &str) -> Self {
        match code {
            "SIGNATURE_INVALID"
            | "DIGEST_MISMATCH"
            | "ATTESTATION_INVALID"
            | "ATTESTATION_EXPIRED"
            | "ATTESTATION_NOT_YET_VALID"
            | "SIGNATURE_REMOVED"
            | "VERIFICATION_LOST" => Self::SignatureInvalid,
            "VERSION_CHANGED" | "VERSION_LOWERED" | "DEFINITION_CHANGED" => Self::VersionMismatch,
            "PERMISSION_DENIED"
            | "PERMISSIONS_CHANGED"
            | "PERMISSIONS_UNDECIDED"
            | "CHAIN_DENIED"
            | "POLICY_DENIED"
            | "FLOW_DENIED" => Self::PermissionDenied,
            "ISSUER_CHANGED" | "KEY_UNAVAILABLE" => Self::ProviderError,
            "KEY_CHANGED" | "KEY_UNTRUSTED" | "KEY_UNKNOWN" | "KEY_REVOKED" | "REVOKED" => {
                Self::KeyExchangeError
            }
            "TOKEN_INVALID" => Self::TokenValidationFailed,
            "NOT_APPROVED" | "APPROVAL_WITHDRAWN" | "APPROVAL_EXPIRED" | "EXECUTABLE_CHANGED"
            | "PROVENANCE_CHANGED" => Self::ApprovalError,
            "UNSIGNED" | "UNVERIFIED" => Self::SecurityLevelError,
            "STORE_FAILED" | "AUDIT_FAILED" => Self::StorageError,
            "SIGNATURE_REQUIRED" | "REPLAYED" | "STALE" | "WRONG_AUDIENCE" | "NONCE_REQUIRED" => {
                Self::RequestSigningError
            }
            "NOT_LISTED" | "NO_SUCH_TOOL" => Self::ToolNotFound,
            _ => Self::EtdiError,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// Why a server was not secured, and does not start.
///
/// `Debug` writes the sentence of `Display`: a server's `main` that returns the error prints it that
/// way, to people.
#[derive(Clone, PartialEq, thiserror::Error)]
#[error(transparent)]
pub struct SecureError(#[from] StartError);

impl SecureError {
    /// The reason, for programs.
    pub fn reason(&self) -> &StartError {
        &self.0
    }
}

impl fmt::Debug for SecureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The code in the data of a refusal.
fn code_of(error: &ErrorObject) -> Option<String> {
    let data: mcp_types::Members = error.data.as_ref()?.parse().ok()?;
    data.get(wire::ERROR_DATA)?.parse().ok()
}
