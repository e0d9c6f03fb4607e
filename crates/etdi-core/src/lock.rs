//! `etdi.lock`: what each tool promised under its version, checked in beside the author's code.
//!
//! A change that users have to decide about shows itself by the version: whoever changes what a tool
//! may do or whom it may call raises the first number, whoever changes a schema the second, and
//! anything else the third. [`Lock::check`] holds a server's definitions against the lock and says
//! for each that differs what changed and which version it needs.
//!
//! The file is a small part of TOML, read line by line (the `#[tool(etdi)]` macro reads it too);
//! `tests/grammar/lock.txt` is a table of cases that both readers run.
//!
//! ```
//! use etdi_core::definition::RawTool;
//! use etdi_core::lock::{Lock, State};
//!
//! let tool = |version: &str, permission: &str| {
//!     RawTool::read(&format!(
//!         r#"{{"name":"search","inputSchema":{{"type":"object"}},"_meta":{{"dev.etdi/etdi":
//!             {{"v":1,"version":"{version}","permissions":[{{"scope":"{permission}"}}]}}}}}}"#
//!     ))
//! };
//! let lock = Lock::of([tool("1.2.0", "notes:read")?.definition()]);
//! let lock = Lock::read(&lock.to_string())?;
//! let check = |version: &str, permission: &str| -> Result<State, Box<dyn std::error::Error>> {
//!     Ok(lock.check([tool(version, permission)?.definition()]).remove(0).state)
//! };
//! assert_eq!(check("1.2.0", "notes:read")?, State::Same);
//! assert_eq!(check("2.0.0", "notes:write")?, State::Raised);
//! assert!(matches!(check("1.3.0", "notes:write")?, State::Needs(version) if version.major() == 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::fmt;
use std::collections::BTreeMap;

use crate::canonical;
use crate::definition::ToolDefinition;
use crate::digest::{Digest, Purpose};
use crate::ijson::{Document, Limits, Value};
use crate::permission::Scope;
use crate::version::Version;
use crate::wire::{CallConstraints, RequestSigning, ToolBlock};

mod file;

pub use file::LockError;

/// What the tools of a server promised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    tools: BTreeMap<String, LockedTool>,
}

/// What one tool promised under its version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockedTool {
    /// The stable id that its author gave it.
    pub id: Option<String>,
    /// The version.
    pub version: Version,
    /// The digest of the definition.
    pub digest: Digest,
    /// The digest of its schemas.
    pub schema: Digest,
    /// The scopes that it requires.
    pub permissions: Vec<Scope>,
    /// The scopes that it can do without.
    pub optional: Vec<Scope>,
    /// The OAuth scopes that a caller's token must hold.
    pub scopes: Vec<String>,
    /// Who may call whom.
    pub call: CallConstraints,
    /// Whether calls must be signed.
    pub request_signing: RequestSigning,
}

/// Which number of a version a change has to raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Raise {
    /// The third: a text, an icon, anything that is neither of the others.
    Patch,
    /// The second: a schema.
    Minor,
    /// The first: a permission, or who may call whom and how.
    Major,
}

/// How one tool stands against the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The tool.
    pub tool: String,
    /// The version that is locked.
    pub locked: Option<Version>,
    /// The version that is declared now.
    pub declared: Option<Version>,
    /// What changed, in words.
    pub changes: Vec<String>,
    /// What follows.
    pub state: State,
}

/// What follows from a comparison with the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Exactly what is locked.
    Same,
    /// Changed, with a version that says so: lock it anew.
    Raised,
    /// Not in the lock yet.
    New,
    /// In the lock, and not there any more.
    Gone,
    /// It declares no version, so nothing is promised.
    NoVersion,
    /// It is in the lock, and declares no version any more: its promises are gone.
    Undeclared,
    /// Changed, and the version does not say so; it needs this one at least.
    Needs(Version),
    /// The version went down.
    Lowered,
}

impl State {
    /// Whether this is a break of the version rule, which no new lock can make good.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Needs(_) | Self::Lowered)
    }
}

impl Lock {
    /// Locks these definitions; those that declare no version are left out.
    pub fn of<'a>(definitions: impl IntoIterator<Item = &'a ToolDefinition>) -> Self {
        let locked = definitions.into_iter().filter_map(|definition| {
            Some((definition.name().to_owned(), LockedTool::of(definition)?))
        });
        Self { tools: locked.collect() }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// When a line is not of the format, with its number.
    pub fn read(text: &str) -> Result<Self, LockError> {
        file::read(text)
    }

    /// The tools by name.
    pub fn tools(&self) -> &BTreeMap<String, LockedTool> {
        &self.tools
    }

    /// Holds all tools of a server against the lock: one finding a tool, those that are gone last.
    pub fn check<'a>(
        &self,
        definitions: impl IntoIterator<Item = &'a ToolDefinition>,
    ) -> Vec<Finding> {
        let mut gone: BTreeMap<&str, &LockedTool> =
            self.tools.iter().map(|(name, locked)| (name.as_str(), locked)).collect();
        let mut findings: Vec<Finding> = Vec::new();
        for definition in definitions {
            gone.remove(definition.name());
            findings.push(self.compare(definition));
        }
        findings.extend(gone.into_iter().map(|(name, locked)| Finding {
            tool: name.to_owned(),
            locked: Some(locked.version.clone()),
            declared: None,
            changes: Vec::new(),
            state: State::Gone,
        }));
        findings
    }

    /// Holds one tool against the lock.
    pub fn compare(&self, definition: &ToolDefinition) -> Finding {
        let locked = self.tools.get(definition.name());
        let now = LockedTool::of(definition);
        let mut finding = Finding {
            tool: definition.name().to_owned(),
            locked: locked.map(|locked| locked.version.clone()),
            declared: now.as_ref().map(|now| now.version.clone()),
            changes: Vec::new(),
            state: State::Same,
        };
        finding.state = match (locked, now) {
            (Some(_), None) => State::Undeclared,
            (None, None) => State::NoVersion,
            (None, Some(_)) => State::New,
            (Some(locked), Some(now)) => {
                let (raise, changes) = locked.changes(&now);
                finding.changes = changes;
                state(locked, &now, raise)
            }
        };
        finding
    }
}

fn state(locked: &LockedTool, now: &LockedTool, raise: Option<Raise>) -> State {
    if now.version < locked.version {
        return State::Lowered;
    }
    let Some(raise) = raise else { return State::Same };
    let (old, new) = (&locked.version, &now.version);
    let enough = match raise {
        Raise::Major => new.major() > old.major(),
        Raise::Minor => (new.major(), new.minor()) > (old.major(), old.minor()),
        Raise::Patch => new > old,
    };
    match enough {
        true => State::Raised,
        false => State::Needs(old.raised(raise)),
    }
}

impl LockedTool {
    /// What a definition promises; `None` when it declares no version.
    pub fn of(definition: &ToolDefinition) -> Option<Self> {
        let block: &ToolBlock = definition.block()?;
        let scopes = |required: bool| {
            let mut scopes: Vec<Scope> = block
                .permissions
                .iter()
                .filter(|permission| permission.required == required)
                .map(|permission| permission.scope.clone())
                .collect();
            scopes.sort();
            scopes
        };
        Some(Self {
            id: block.id.clone(),
            version: block.version.clone(),
            digest: definition.digest(),
            schema: schema_digest(definition),
            permissions: scopes(true),
            optional: scopes(false),
            scopes: sorted(block.scopes.clone()),
            call: sorted_constraints(&block.call),
            request_signing: block.request_signing,
        })
    }

    /// What differs in `now`, and which number that has to raise.
    fn changes(&self, now: &Self) -> (Option<Raise>, Vec<String>) {
        let mut changes = Vec::new();
        if self.digest == now.digest {
            return (None, changes);
        }
        let asked = |tool: &Self| -> Vec<(Scope, bool)> {
            let with = |scopes: &[Scope], required: bool| {
                scopes.iter().map(|scope| (scope.clone(), required)).collect::<Vec<_>>()
            };
            [with(&tool.permissions, true), with(&tool.optional, false)].concat()
        };
        let (before, after) = (asked(self), asked(now));
        let known =
            |list: &[(Scope, bool)], scope: &Scope| list.iter().any(|(one, _)| one == scope);
        for (scope, required) in &after {
            if !known(&before, scope) {
                changes.push(format!("asks for `{scope}`"));
            } else if !before.contains(&(scope.clone(), *required)) {
                let how = if *required { "requires" } else { "no longer requires" };
                changes.push(format!("{how} `{scope}`"));
            }
        }
        let gone = before.iter().filter(|(scope, _)| !known(&after, scope));
        changes.extend(gone.map(|(scope, _)| format!("no longer asks for `{scope}`")));
        if self.scopes != now.scopes {
            changes.push("wants other OAuth scopes of its callers".to_owned());
        }
        if self.call != now.call {
            changes.push("changes who may call whom".to_owned());
        }
        if self.request_signing != now.request_signing {
            changes.push("changes whether calls must be signed".to_owned());
        }
        if !changes.is_empty() {
            return (Some(Raise::Major), changes);
        }
        if self.schema != now.schema {
            return (Some(Raise::Minor), vec!["has another schema".to_owned()]);
        }
        let what =
            if self.version == now.version { "is worded otherwise" } else { "has a new version" };
        (Some(Raise::Patch), vec![what.to_owned()])
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn sorted_constraints(call: &CallConstraints) -> CallConstraints {
    CallConstraints {
        max_depth: call.max_depth,
        allowed_callers: call.allowed_callers.clone().map(sorted),
        allowed_callees: call.allowed_callees.clone().map(sorted),
        blocked_callers: call.blocked_callers.clone().map(sorted),
        blocked_callees: call.blocked_callees.clone().map(sorted),
        require_approval_for_chains: call.require_approval_for_chains,
    }
}

/// The digest of what a tool takes and gives.
fn schema_digest(definition: &ToolDefinition) -> Digest {
    let document = Document::parse(definition.canonical(), Limits::DEFINITION);
    let schema = |name: &str| {
        let value = document.as_ref().ok().and_then(|tool| tool.root().get(name));
        value.map_or_else(|| "null".to_owned(), |value: Value<'_>| canonical::of(value))
    };
    let both = format!("[{},{}]", schema("inputSchema"), schema("outputSchema"));
    Digest::of_canonical(Purpose::Schema, &both)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.tool.escape_debug())?;
        if !self.changes.is_empty() {
            write!(f, " {}", self.changes.join(", "))?;
        }
        match (&self.state, &self.locked) {
            (State::Same, _) => write!(f, " is what is locked"),
            (State::Raised, Some(old)) => {
                write!(f, ", and its version was raised from {old}")
            }
            (State::Raised | State::New, _) => write!(f, " is not locked yet"),
            (State::Gone, _) => write!(f, " is locked and not there any more"),
            (State::NoVersion, _) => write!(f, " declares no version, so nothing is promised"),
            (State::Needs(version), Some(old)) => {
                write!(f, " since version {old}: its version must be {version} or higher")
            }
            (State::Needs(version), None) => write!(f, ": its version must be {version} or higher"),
            (State::Undeclared, _) => {
                let old = self.locked.as_ref().map(Version::to_string).unwrap_or_default();
                write!(f, " is locked with version {old} and declares none any more, restore it")
            }
            (State::Lowered, _) => {
                let old = self.locked.as_ref().map(Version::to_string).unwrap_or_default();
                write!(f, " has a lower version than the locked {old}, raise it above that")
            }
        }
    }
}

#[cfg(test)]
mod tests;
