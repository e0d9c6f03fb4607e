//! Revocation lists in files, and several sources as one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcp_types::BoxFuture;

use super::RevocationSource;
use crate::identity::ProviderId;
use crate::ijson::Limits;
use crate::time::UnixTime;

/// The signed lists of issuers in files, each read anew whenever it is asked for: for hosts without a
/// network, whose operator puts a new list in place of the old one before that one ends.
///
/// A list in a file is checked like one that was fetched: its signature, its number, and that the
/// time of the next one has not come.
#[derive(Clone, Debug, Default)]
pub struct FileLists(BTreeMap<ProviderId, PathBuf>);

impl FileLists {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// The list of an issuer is in this file: the signed statement alone, as `etdi keys revoke`
    /// writes it.
    #[must_use]
    pub fn list_of(mut self, issuer: ProviderId, path: impl Into<PathBuf>) -> Self {
        self.0.insert(issuer, path.into());
        self
    }

    /// Whether it names no file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl RevocationSource for FileLists {
    fn list<'a>(
        &'a self,
        issuer: &'a ProviderId,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<Option<String>, String>> {
        let list = match self.0.get(issuer) {
            Some(path) => read(path).map(Some),
            None => Err(format!("no list of {issuer} is named, add one")),
        };
        Box::pin(std::future::ready(list))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |why: &dyn std::fmt::Display| format!("`{}`: {why}", path.display());
    let file = File::open(path).map_err(|error| failed(&error))?;
    let longest = u64::try_from(Limits::STATEMENT.bytes).unwrap_or(u64::MAX);
    let mut text = String::new();
    file.take(longest).read_to_string(&mut text).map_err(|error| failed(&error))?;
    Ok(text.trim().to_owned())
}

/// Several sources, asked in order until one answers. When none does, the last failure counts.
#[derive(Clone)]
pub struct FirstOf(Vec<Arc<dyn RevocationSource>>);

impl FirstOf {
    /// Asks these in their order.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn RevocationSource>>) -> Self {
        Self(sources.into_iter().collect())
    }
}

impl RevocationSource for FirstOf {
    fn list<'a>(
        &'a self,
        issuer: &'a ProviderId,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            let mut failure = format!("nobody can tell what {issuer} has revoked, add a source");
            for source in &self.0 {
                match source.list(issuer, now).await {
                    Ok(list) => return Ok(list),
                    Err(why) => failure = why,
                }
            }
            Err(failure)
        })
    }
}

impl std::fmt::Debug for FirstOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FirstOf").field(&self.0.len()).finish()
    }
}
