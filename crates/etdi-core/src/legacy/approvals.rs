//! The fork's approvals: one Fernet token a file, named after the tool alone.

use std::path::Path;

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::json;

use super::fernet::Key;
use super::view::{Either, permission_of};
use super::{ForkDefinition, ForkError};
use crate::approval::{Approval, ApprovalKey, Facts, Given, Granted, Reason, Standing};
use crate::change::visible;
use crate::definition::RawTool;
use crate::level::SecurityLevel;
use crate::permission::Permission;
use crate::time::UnixTime;

/// The files of a directory such as `~/.etdi/approvals`, read and decrypted.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ForkApprovals {
    /// What could be read.
    pub approvals: Vec<ForkApproval>,
    /// What could not, or lies under another tool's name.
    pub faults: Vec<ForkError>,
}

/// A record of the fork. Its times are local and without a zone, so they are kept as texts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ForkApproval {
    /// The tool.
    #[serde(alias = "toolId")]
    pub tool_id: String,
    /// What the definition called its provider; often `unknown`.
    #[serde(alias = "providerId")]
    pub provider_id: String,
    /// The key of the provider, which only the design documents have; nothing here believes it.
    #[serde(default, alias = "providerPublicKeyId")]
    pub provider_public_key_id: Option<String>,
    /// The version that was approved.
    #[serde(alias = "approvedVersion")]
    pub approved_version: String,
    /// The permissions that were granted.
    pub permissions: Vec<ForkPermission>,
    /// When, as it stands there.
    #[serde(alias = "approvalDate")]
    pub approval_date: String,
    /// Until when, as it stands there; never set by the fork.
    #[serde(default, alias = "expiryDate")]
    pub expiry_date: Option<String>,
    /// The fork's hash of the definition, see [`ForkDefinition::approval_hash`].
    #[serde(default, alias = "definitionHash")]
    pub definition_hash: Option<String>,
}

/// A permission in a record of the fork: whole, or in the short form of [`permission_of`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Either<WholePermission>")]
#[non_exhaustive]
pub struct ForkPermission {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it allows.
    pub scope: String,
    /// Whether the tool needs it.
    pub required: bool,
}

#[derive(Deserialize)]
struct WholePermission {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    scope: String,
    #[serde(default)]
    required: bool,
}

impl TryFrom<Either<WholePermission>> for ForkPermission {
    type Error = ForkError;

    fn try_from(read: Either<WholePermission>) -> Result<Self, ForkError> {
        Ok(match read {
            Either::Whole(WholePermission { name, description, scope, required }) => {
                Self { name, description, scope, required }
            }
            Either::Short(text) => {
                let Permission { scope, name, description, required } = permission_of(&text)?;
                let (name, description) =
                    (name.unwrap_or_default(), description.unwrap_or_default());
                Self { name, description, scope: scope.to_string(), required }
            }
        })
    }
}

const ENDING: &str = "approval";
const KEY: &str = ".key";
const MAX_BYTES: u64 = 1 << 20;
const MAX_FILES: usize = 16_384;

impl ForkApprovals {
    /// Reads a directory with the `.key` file in it.
    ///
    /// # Errors
    ///
    /// When the directory or the key cannot be read; a single record is a fault in the result.
    pub fn read(directory: &Path) -> Result<Self, ForkError> {
        let path = directory.join(KEY);
        let key = String::from_utf8(load(&path)?).unwrap_or_default();
        let entries = directory.read_dir().map_err(failed(directory))?;
        let mut files = Vec::new();
        for entry in entries.take(MAX_FILES) {
            let path = entry.map_err(failed(directory))?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                files.push(path);
            }
        }
        files.sort();
        let mut found = Self::default();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let read = load(&path).and_then(|token| ForkApproval::open(&name, &token, &key));
            match read {
                Ok(approval) => found.approvals.push(approval),
                Err(error) => found.faults.push(error),
            }
        }
        Ok(found)
    }
}

impl ForkApproval {
    /// Decrypts one file by the text of the `.key` file, and holds its name against the tool
    /// inside, which the fork does not do.
    ///
    /// # Errors
    ///
    /// [`ForkError::WrongKey`], [`ForkError::Unreadable`], and [`ForkError::Misplaced`] for the
    /// approval of one tool under the name of another.
    pub fn open(name: &str, token: &[u8], key: &str) -> Result<Self, ForkError> {
        let key = Key::read(key).ok_or_else(|| ForkError::Unreadable {
            what: format!("`{KEY}`"),
            why: "it is no Fernet key of 44 characters",
        })?;
        let text = key.open(token).ok_or_else(|| ForkError::WrongKey { what: quoted(name) })?;
        let record: Self = serde_json::from_slice(&text).map_err(|_| ForkError::Unreadable {
            what: quoted(name),
            why: "a member is missing or of another type",
        })?;
        if name != record.file_name() {
            let tool = visible(&record.tool_id).into_owned();
            return Err(ForkError::Misplaced { file: visible(name).into_owned(), tool });
        }
        Ok(record)
    }

    /// The name of the file that the fork keeps it in.
    pub fn file_name(&self) -> String {
        let hash = crate::store::hex(digest(&SHA256, self.tool_id.as_bytes()).as_ref());
        format!("{}.{ENDING}", hash.get(..16).unwrap_or_default())
    }

    /// Whether it is about this definition.
    ///
    /// # Errors
    ///
    /// As [`ForkDefinition::approval_hash`].
    pub fn is_about(&self, definition: &ForkDefinition) -> Result<bool, ForkError> {
        let hash = definition.approval_hash()?;
        Ok(self.tool_id == definition.id && self.definition_hash.as_deref() == Some(&*hash))
    }

    /// A record for our store that approves nothing: its reason is [`Reason::Imported`], so the
    /// tool asks, and the question shows what was approved then. The server is the one whose tool
    /// it was, which only the user knows.
    ///
    /// # Errors
    ///
    /// [`ForkError::Unreadable`] for a record that cannot be written as a definition.
    pub fn to_record(
        &self,
        server: &str,
        approver: &str,
        now: UnixTime,
    ) -> Result<Approval, ForkError> {
        let unreadable = || ForkError::Unreadable {
            what: quoted(&self.tool_id),
            why: "it cannot be written as a definition",
        };
        // No description and no schema: the record of the fork has neither, and the difference
        // that a person sees later says so.
        let text = json!({ "name": self.tool_id, "inputSchema": {"type": "object"} }).to_string();
        let tool = RawTool::read(&text).map_err(|_| unreadable())?;
        let standing = Standing::Unsigned;
        let facts = Facts::new(server, tool.definition(), &standing);
        let scopes = self.permissions.iter().map(|permission| permission.scope.clone());
        let mut given = Given::new(Granted::Only(scopes.collect()), approver, Reason::Imported);
        let hash = self.definition_hash.as_deref().unwrap_or("none");
        given.note = Some(format!(
            "approved in the Python fork on {} (a local time), provider `{}`, its hash {}",
            visible(&self.approval_date),
            visible(&self.provider_id),
            visible(hash)
        ));
        let mut approval = Approval::new(&facts, given, SecurityLevel::Basic, now);
        approval.version = Some(self.approved_version.clone());
        approval.key = ApprovalKey::new(server, None, &self.tool_id);
        Ok(approval)
    }
}

pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", visible(name))
}

pub(super) fn load(path: &Path) -> Result<Vec<u8>, ForkError> {
    let metadata = path.symlink_metadata().map_err(failed(path))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        let what = quoted(&path.to_string_lossy());
        return Err(ForkError::Unreadable { what, why: "it is no ordinary file or too large" });
    }
    std::fs::read(path).map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> ForkError {
    move |source| ForkError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests;
