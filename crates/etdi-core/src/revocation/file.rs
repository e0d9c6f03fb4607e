//! Revocation lists in files, and several sources as one.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcp_types::BoxFuture;

use super::RevocationSource;
use crate::identity::ProviderId;
use crate::ijson::Limits;
use crate::time::UnixTime;

/// The signed lists of issuers in files, each read anew whenever it is asked for or has changed: for hosts without a
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

    /// Of an issuer whose list is in no file there is nothing to say, which is no failure.
    fn lists<'a>(
        &'a self,
        issuer: &'a ProviderId,
        _: UnixTime,
    ) -> BoxFuture<'a, Vec<Result<Option<String>, String>>> {
        Box::pin(std::future::ready(self.at_hand(issuer)))
    }

    fn at_hand(&self, issuer: &ProviderId) -> Vec<Result<Option<String>, String>> {
        self.0.get(issuer).map(|path| read(path).map(Some)).into_iter().collect()
    }

    /// When the file was written, and how long it is.
    fn version(&self, issuer: &ProviderId) -> Option<u64> {
        let about = self.0.get(issuer)?.metadata();
        let about = about.and_then(|about| Ok((about.modified()?, about.len()))).ok();
        Some(hash(about))
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |why: &dyn std::fmt::Display| format!("`{}`: {why}", path.display());
    let file = File::open(path).map_err(|error| failed(&error))?;
    let longest = u64::try_from(Limits::STATEMENT.bytes).unwrap_or(u64::MAX);
    let mut text = String::new();
    file.take(longest).read_to_string(&mut text).map_err(|error| failed(&error))?;
    Ok(text.trim().to_owned())
}

/// Several sources as one: all are asked, and what any of them knows to be revoked is.
///
/// So a file that has become old hides nothing that its issuer publishes since, and the other way
/// round. Where one of them cannot be asked, what the others say counts, and does not pass for all
/// that is known now.
#[derive(Clone)]
pub struct AllOf(Vec<Arc<dyn RevocationSource>>);

impl AllOf {
    /// Asks all of these.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn RevocationSource>>) -> Self {
        Self(sources.into_iter().collect())
    }
}

impl RevocationSource for AllOf {
    /// The first answer with a list, for who wants but one.
    fn list<'a>(
        &'a self,
        issuer: &'a ProviderId,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(async move {
            let mut answer = Err(nobody(issuer));
            for one in self.lists(issuer, now).await {
                match one {
                    Ok(Some(list)) => return Ok(Some(list)),
                    one => answer = one,
                }
            }
            answer
        })
    }

    fn lists<'a>(
        &'a self,
        issuer: &'a ProviderId,
        now: UnixTime,
    ) -> BoxFuture<'a, Vec<Result<Option<String>, String>>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for source in &self.0 {
                answers.extend(source.lists(issuer, now).await);
            }
            answers
        })
    }

    fn at_hand(&self, issuer: &ProviderId) -> Vec<Result<Option<String>, String>> {
        self.0.iter().flat_map(|source| source.at_hand(issuer)).collect()
    }

    fn version(&self, issuer: &ProviderId) -> Option<u64> {
        let versions: Vec<_> = self.0.iter().map(|source| source.version(issuer)).collect();
        versions.iter().any(Option::is_some).then(|| hash(versions))
    }
}

/// What is to be done where no source has anything to say.
pub(super) fn nobody(issuer: &ProviderId) -> String {
    format!("nobody can tell what {issuer} has revoked, add a source")
}

impl std::fmt::Debug for AllOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AllOf").field(&self.0.len()).finish()
    }
}
