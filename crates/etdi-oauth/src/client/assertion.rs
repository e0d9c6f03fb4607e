//! Where assertions come from: who a workload is, or who logged in with the company.

use std::path::PathBuf;

use mcp_types::BoxFuture;

use super::InteractionError;
use crate::SecretText;

/// Gives an assertion when one is needed: the token of a platform for a workload, the ID token of a
/// login.
pub trait AssertionSource: Send + Sync {
    /// An assertion that holds now, for `issuer`.
    ///
    /// # Errors
    ///
    /// When there is none; [`InteractionError::Declined`] when a user has to log in and does not.
    fn assertion<'a>(
        &'a self,
        issuer: &'a str,
    ) -> BoxFuture<'a, Result<SecretText, InteractionError>>;
}

/// Always the same.
impl AssertionSource for SecretText {
    fn assertion<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<SecretText, InteractionError>> {
        Box::pin(async { Ok(self.clone()) })
    }
}

/// What stands in a file at that moment, such as the projected token of a Kubernetes pod.
#[derive(Clone, Debug)]
pub struct AssertionFile(PathBuf);

impl AssertionFile {
    /// In this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl AssertionSource for AssertionFile {
    fn assertion<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<SecretText, InteractionError>> {
        Box::pin(async {
            let text = std::fs::read_to_string(&self.0).map_err(|error| {
                let path = self.0.display();
                InteractionError::Unavailable(format!("`{path}` cannot be read: {error}"))
            })?;
            let text = SecretText::new(text);
            Ok(SecretText::new(text.expose().trim()))
        })
    }
}
