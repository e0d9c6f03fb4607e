//! What a publisher may have signed at most.

use super::EndorsementError;
use crate::definition::ToolDefinition;
use crate::identity::ServerIdentity;
use crate::permission::Scope;
use crate::verify::beyond;

/// What an identity provider signs for one publisher at most, as a manifest bounds a key that it
/// delegates to ([`Delegation`](crate::wire::Delegation)). Empty bounds let nothing be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndorsementBounds {
    /// The servers that statements may be about.
    pub servers: Vec<ServerIdentity>,
    /// The tools, each by its name, or by what their names begin with and a `*`.
    pub names: Vec<String>,
    /// The most that the tools may ask for.
    pub permissions: Vec<Scope>,
    /// Whether a manifest may also list prompts, resource templates and instructions, of which the
    /// provider sees nothing but digests. No by default.
    pub unseen: bool,
}

impl EndorsementBounds {
    /// Tools of these servers with these names, which ask for no more than these permissions.
    pub fn new<N: Into<String>>(
        servers: impl IntoIterator<Item = ServerIdentity>,
        names: impl IntoIterator<Item = N>,
        permissions: impl IntoIterator<Item = Scope>,
    ) -> Self {
        Self {
            servers: servers.into_iter().collect(),
            names: names.into_iter().map(Into::into).collect(),
            permissions: permissions.into_iter().collect(),
            unseen: false,
        }
    }

    /// Refuses a tool of another name, or one that asks for more.
    pub(super) fn check(&self, definition: &ToolDefinition) -> Result<(), EndorsementError> {
        let name = definition.name();
        let fits = |known: &String| match known.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == known,
        };
        if !self.names.iter().any(fits) {
            return Err(EndorsementError::Name(name.to_owned()));
        }
        match beyond(&self.permissions, definition.block()) {
            None => Ok(()),
            Some(scope) => {
                Err(EndorsementError::Permission { tool: name.to_owned(), scope: scope.clone() })
            }
        }
    }
}
