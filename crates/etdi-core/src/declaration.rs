//! What the author of a tool declares, in a form that a macro can write as a constant.
//!
//! A [`Declaration`] is a claim and nothing more: [`Declaration::block`] checks it and gives the
//! [`ToolBlock`] that stands in the tool's `_meta`, where a signature covers it.
//!
//! ```
//! use etdi_core::declaration::{Declaration, PermissionDeclaration};
//!
//! const SEARCH: Declaration = Declaration::new("1.2.0")
//!     .permissions(&[PermissionDeclaration::new("notes:read")])
//!     .max_depth(2)
//!     .allowed_callees(&["log_access"]);
//!
//! let block = SEARCH.block()?;
//! assert_eq!(block.permissions[0].scope.as_str(), "notes:read");
//!
//! // What the macro refuses at compile time is refused here too.
//! assert!(Declaration::new("1.2").block().is_err());
//! assert!(Declaration::new("1.2.0").max_depth(1).allowed_callees(&["x"]).block().is_err());
//! # Ok::<(), etdi_core::declaration::DeclarationError>(())
//! ```

use crate::identity::{IdentityError, ProviderId};
use crate::permission::{Permission, ScopeError};
use crate::version::VersionError;
use crate::wire::{CallConstraints, Provider, RequestSigning, ToolBlock};

/// What the author of a tool declares. Borrows constants, so that a macro can write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declaration {
    /// A stable id beside the name, where the author gives one.
    pub id: Option<&'static str>,
    /// The version of the definition, Semantic Versioning.
    pub version: &'static str,
    /// Who publishes the tool; the signer fills it in where the author does not.
    pub provider: Option<ProviderDeclaration>,
    /// What the tool needs.
    pub permissions: &'static [PermissionDeclaration],
    /// OAuth scopes that a caller's token must hold.
    pub scopes: &'static [&'static str],
    /// How many tools may be under way, this one included, when it runs.
    pub max_depth: Option<u32>,
    /// Which tools may call it; an empty list means none, `None` means any.
    pub allowed_callers: Option<&'static [&'static str]>,
    /// Which tools it may call; an empty list means none, `None` means any.
    pub allowed_callees: Option<&'static [&'static str]>,
    /// Which tools may not call it, `*` for all. Stronger than the list of allowed ones.
    pub blocked_callers: Option<&'static [&'static str]>,
    /// Which tools it may not call, `*` for all. Stronger than the list of allowed ones.
    pub blocked_callees: Option<&'static [&'static str]>,
    /// Whether a user approves each call that another tool makes to it.
    pub require_approval_for_chains: bool,
    /// Whether calls must be signed.
    pub request_signing: RequestSigning,
    /// `_meta` keys that the server may change after signing.
    pub volatile: &'static [&'static str],
    /// Proofs that were made before this program was built.
    pub attestations: &'static [&'static str],
    /// The digest that `etdi.lock` holds for this version, as text.
    pub locked_digest: Option<&'static str>,
    /// The signed manifest that lay beside the author's `Cargo.toml` when this program was built.
    pub manifest: Option<&'static str>,
}

/// Who publishes a tool, as a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderDeclaration {
    /// A [`ProviderId`].
    pub id: &'static str,
    /// A name for people; never identity.
    pub name: Option<&'static str>,
}

impl ProviderDeclaration {
    /// A provider without a name for people.
    pub const fn new(id: &'static str) -> Self {
        Self { id, name: None }
    }

    /// Sets the name for people.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }
}

/// One permission, as a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermissionDeclaration {
    /// A [`Scope`](crate::permission::Scope).
    pub scope: &'static str,
    /// A short name for people.
    pub name: Option<&'static str>,
    /// What it is for.
    pub description: Option<&'static str>,
    /// Whether the tool cannot work without it.
    pub required: bool,
}

impl PermissionDeclaration {
    /// A required permission without words.
    pub const fn new(scope: &'static str) -> Self {
        Self { scope, name: None, description: None, required: true }
    }

    /// Sets the short name for people.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Says what it is for.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// Says that the tool also works without it.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }
}

impl Declaration {
    /// A declaration that has nothing but a version.
    pub const fn new(version: &'static str) -> Self {
        Self {
            id: None,
            version,
            provider: None,
            permissions: &[],
            scopes: &[],
            max_depth: None,
            allowed_callers: None,
            allowed_callees: None,
            blocked_callers: None,
            blocked_callees: None,
            require_approval_for_chains: false,
            request_signing: RequestSigning::Optional,
            volatile: &[],
            attestations: &[],
            locked_digest: None,
            manifest: None,
        }
    }

    /// Sets the stable id.
    #[must_use]
    pub const fn id(mut self, id: &'static str) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the provider.
    #[must_use]
    pub const fn provider(mut self, provider: ProviderDeclaration) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Sets what the tool needs.
    #[must_use]
    pub const fn permissions(mut self, permissions: &'static [PermissionDeclaration]) -> Self {
        self.permissions = permissions;
        self
    }

    /// Sets the OAuth scopes.
    #[must_use]
    pub const fn scopes(mut self, scopes: &'static [&'static str]) -> Self {
        self.scopes = scopes;
        self
    }

    /// Limits how many tools may be under way when this one runs.
    #[must_use]
    pub const fn max_depth(mut self, depth: u32) -> Self {
        self.max_depth = Some(depth);
        self
    }

    /// Names the only tools that may call it.
    #[must_use]
    pub const fn allowed_callers(mut self, names: &'static [&'static str]) -> Self {
        self.allowed_callers = Some(names);
        self
    }

    /// Names the only tools that it may call.
    #[must_use]
    pub const fn allowed_callees(mut self, names: &'static [&'static str]) -> Self {
        self.allowed_callees = Some(names);
        self
    }

    /// Names tools that may not call it.
    #[must_use]
    pub const fn blocked_callers(mut self, names: &'static [&'static str]) -> Self {
        self.blocked_callers = Some(names);
        self
    }

    /// Names tools that it may not call.
    #[must_use]
    pub const fn blocked_callees(mut self, names: &'static [&'static str]) -> Self {
        self.blocked_callees = Some(names);
        self
    }

    /// Demands a user's approval of each call by another tool.
    #[must_use]
    pub const fn require_approval_for_chains(mut self) -> Self {
        self.require_approval_for_chains = true;
        self
    }

    /// Demands that calls are signed.
    #[must_use]
    pub const fn require_request_signing(mut self) -> Self {
        self.request_signing = RequestSigning::Required;
        self
    }

    /// Names `_meta` keys that the server may change after signing.
    #[must_use]
    pub const fn volatile(mut self, keys: &'static [&'static str]) -> Self {
        self.volatile = keys;
        self
    }

    /// Adds proofs that were made before this program was built.
    #[must_use]
    pub const fn attestations(mut self, attestations: &'static [&'static str]) -> Self {
        self.attestations = attestations;
        self
    }

    /// Notes the digest that `etdi.lock` holds.
    #[must_use]
    pub const fn locked_digest(mut self, digest: &'static str) -> Self {
        self.locked_digest = Some(digest);
        self
    }

    /// Carries the signed manifest of the whole server along.
    #[must_use]
    pub const fn manifest(mut self, jws: &'static str) -> Self {
        self.manifest = Some(jws);
        self
    }

    /// Checks the declaration and gives the block that stands in the tool's `_meta`.
    ///
    /// # Errors
    ///
    /// When the version, a permission or the provider breaks its grammar, when a permission is
    /// declared twice, or when the constraints contradict each other.
    pub fn block(&self) -> Result<ToolBlock, DeclarationError> {
        let version = self.version.parse().map_err(DeclarationError::Version)?;
        let provider = self.provider.map(|provider| {
            let id: ProviderId = provider.id.parse().map_err(DeclarationError::Provider)?;
            Ok(Provider { id, name: provider.name.map(str::to_owned) })
        });
        let mut permissions: Vec<Permission> = Vec::with_capacity(self.permissions.len());
        for declared in self.permissions {
            let scope = declared.scope.parse().map_err(|error| DeclarationError::Permission {
                scope: declared.scope.to_owned(),
                error,
            })?;
            if permissions.iter().any(|earlier| earlier.scope == scope) {
                return Err(DeclarationError::Duplicate(declared.scope.to_owned()));
            }
            let mut permission = Permission::new(scope);
            permission.name = declared.name.map(str::to_owned);
            permission.description = declared.description.map(str::to_owned);
            permission.required = declared.required;
            permissions.push(permission);
        }
        let owned = |names: Option<&[&str]>| names.map(to_owned);
        let block = ToolBlock {
            id: self.id.map(str::to_owned),
            provider: provider.transpose()?,
            permissions,
            scopes: to_owned(self.scopes),
            call: CallConstraints {
                max_depth: self.max_depth,
                allowed_callers: owned(self.allowed_callers),
                allowed_callees: owned(self.allowed_callees),
                blocked_callers: owned(self.blocked_callers),
                blocked_callees: owned(self.blocked_callees),
                require_approval_for_chains: self.require_approval_for_chains,
            },
            request_signing: self.request_signing,
            volatile: to_owned(self.volatile),
            attestations: to_owned(self.attestations),
            ..ToolBlock::new(version)
        };
        check_constraints(&block.call)?;
        Ok(block)
    }
}

/// Whether two lists hold the same names, in any order. For constants that the macro writes.
pub const fn same_names(left: &[&str], right: &[&str]) -> bool {
    all_in(left, right) && all_in(right, left)
}

const fn all_in(mut names: &[&str], list: &[&str]) -> bool {
    while let [first, rest @ ..] = names {
        let mut left = list;
        let mut found = false;
        while let [one, others @ ..] = left {
            found |= same_name(one.as_bytes(), first.as_bytes());
            left = others;
        }
        if !found {
            return false;
        }
        names = rest;
    }
    true
}

const fn same_name(mut left: &[u8], mut right: &[u8]) -> bool {
    while let ([one, left_rest @ ..], [other, right_rest @ ..]) = (left, right) {
        if *one != *other {
            return false;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.is_empty() && right.is_empty()
}

fn to_owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn check_constraints(call: &CallConstraints) -> Result<(), DeclarationError> {
    let pairs = [
        (&call.allowed_callers, &call.blocked_callers),
        (&call.allowed_callees, &call.blocked_callees),
    ];
    for (allowed, blocked) in pairs {
        let blocked = blocked.as_deref().unwrap_or_default();
        let allowed = allowed.as_deref().unwrap_or_default();
        if let Some(name) = allowed.iter().find(|name| blocked.contains(name)) {
            return Err(DeclarationError::AllowedAndBlocked(name.clone()));
        }
    }
    let callees = call.allowed_callees.as_deref().unwrap_or_default();
    match call.max_depth {
        Some(0) => Err(DeclarationError::DepthZero),
        Some(1) if !callees.is_empty() => Err(DeclarationError::DepthOneWithCallees),
        _ => Ok(()),
    }
}

/// Why a declaration cannot stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclarationError {
    /// The version is no Semantic Version.
    #[error(transparent)]
    Version(VersionError),
    /// A permission breaks the grammar.
    #[error("`{}`: {error}", .scope.escape_debug())]
    Permission {
        /// The permission as it was written.
        scope: String,
        /// The rule that it breaks.
        error: ScopeError,
    },
    /// A permission is declared twice.
    #[error("permission `{}` is declared twice, remove one", .0.escape_debug())]
    Duplicate(String),
    /// The provider is no origin and no key.
    #[error(transparent)]
    Provider(IdentityError),
    /// A tool is both allowed and blocked.
    #[error("tool `{}` is both allowed and blocked, remove it from one list", .0.escape_debug())]
    AllowedAndBlocked(String),
    /// A depth of zero would forbid the call itself.
    #[error("a maximal call depth of 0 forbids the tool itself, use 1 to forbid nested calls")]
    DepthZero,
    /// A depth of one forbids what the list of callees allows.
    #[error("a maximal call depth of 1 forbids nested calls, remove the callees or raise it")]
    DepthOneWithCallees,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Declaration = Declaration::new("1.4.0")
        .id("weather")
        .provider(ProviderDeclaration::new("https://acme.example").name("Acme"))
        .permissions(&[
            PermissionDeclaration::new("weather:read").description("Reads the weather"),
            PermissionDeclaration::new("weather:*").name("all").optional(),
        ])
        .scopes(&["tools:execute"])
        .max_depth(3)
        .allowed_callers(&["plan"])
        .allowed_callees(&["log_access"])
        .blocked_callers(&["shell"])
        .blocked_callees(&["*"])
        .require_approval_for_chains()
        .require_request_signing()
        .volatile(&["com.example/trace"])
        .attestations(&["a.b.c"])
        .locked_digest("sha-256:x");

    #[test]
    fn a_full_declaration_keeps_everything() {
        let block = FULL.block().unwrap();
        let json = serde_json::to_string(&block).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"v":1,"id":"weather","version":"1.4.0","#,
                r#""provider":{"id":"https://acme.example","name":"Acme"},"#,
                r#""permissions":[{"scope":"weather:read","description":"Reads the weather","required":true},"#,
                r#"{"scope":"weather:*","name":"all","required":false}],"scopes":["tools:execute"],"#,
                r#""call":{"max_depth":3,"allowed_callers":["plan"],"allowed_callees":["log_access"],"#,
                r#""blocked_callers":["shell"],"blocked_callees":["*"],"require_approval_for_chains":true},"#,
                r#""request_signing":"required","volatile":["com.example/trace"],"attestations":["a.b.c"]}"#
            )
        );
        assert_eq!(serde_json::from_str::<ToolBlock>(&json).unwrap(), block);
    }

    #[test]
    fn names_are_the_same_in_any_order() {
        const SAME: bool = same_names(&["a", "b"], &["b", "a"]);
        const { assert!(SAME) };
        for (left, right) in [(&["a"][..], &[][..]), (&["a", "b"], &["a"]), (&["a"], &["ab"])] {
            assert!(!same_names(left, right) && !same_names(right, left));
        }
    }

    #[test]
    fn contradictions_are_refused() {
        type D = Declaration;
        const NEW: D = Declaration::new("1.0.0");
        const ONE_SEGMENT: D = NEW.permissions(&[PermissionDeclaration::new("notes")]);
        const TWICE: D = NEW
            .permissions(&[PermissionDeclaration::new("a:b"), PermissionDeclaration::new("a:b")]);
        for (declaration, message) in [
            (D::new("1"), "a version has not three parts, write three numbers such as `1.0.0`"),
            (
                ONE_SEGMENT,
                "`notes`: a permission has one segment, write at least two such as `notes:read`",
            ),
            (TWICE, "permission `a:b` is declared twice, remove one"),
            (
                NEW.allowed_callees(&["x"]).blocked_callees(&["x"]),
                "tool `x` is both allowed and blocked, remove it from one list",
            ),
            (
                NEW.max_depth(0),
                "a maximal call depth of 0 forbids the tool itself, use 1 to forbid nested calls",
            ),
            (
                NEW.max_depth(1).allowed_callees(&["x"]),
                "a maximal call depth of 1 forbids nested calls, remove the callees or raise it",
            ),
        ] {
            assert_eq!(declaration.block().unwrap_err().to_string(), message);
        }
    }
}
