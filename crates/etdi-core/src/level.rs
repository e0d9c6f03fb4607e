//! Security levels, and the policy that each one stands for, as plain data.
//!
//! A [`SecurityLevel`] is a name; a [`Policy`] is what the checks read. Three things hold under
//! every policy and therefore have no field: a definition that is not I-JSON is refused, every
//! tool is pinned by its digest and approved before its first call, and a signature that is there
//! but wrong is refused.
//!
//! ```
//! use etdi_core::level::{Handling, Policy, SecurityLevel};
//!
//! // A host's own policy starts from a level and changes what it must.
//! let mut policy = Policy::from(SecurityLevel::Enhanced);
//! policy.unsigned = Handling::Refuse;
//! assert_eq!(policy.drift, Policy::enhanced().drift);
//! ```

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::proof::Trust;

/// How much a host demands before a model may see and call a tool.
///
/// Ordered from the weakest to the strongest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SecurityLevel {
    /// Digests are pinned and approved; signatures are optional, and checked where present.
    Basic,
    /// Signatures are expected; tools of servers without ETDI work, labelled as unverified.
    #[default]
    Enhanced,
    /// Only tools attested by a configured root, nothing carried over, everything fails closed.
    Strict,
}

impl SecurityLevel {
    /// The name as it is written in configuration files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Enhanced => "enhanced",
            Self::Strict => "strict",
        }
    }

    /// The policy that this level stands for.
    pub fn policy(self) -> Policy {
        self.into()
    }
}

impl fmt::Display for SecurityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SecurityLevel {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        match text {
            "basic" => Ok(Self::Basic),
            "enhanced" => Ok(Self::Enhanced),
            "strict" => Ok(Self::Strict),
            _ => Err(UnknownLevel(text.chars().take(64).collect())),
        }
    }
}

/// A text that names no security level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no security level, write `basic`, `enhanced` or `strict`", .0.escape_debug())]
pub struct UnknownLevel(String);

/// What the checks demand, one field for each decision that a level makes.
///
/// Made by [`Policy::basic`], [`Policy::enhanced`], [`Policy::strict`] or from a
/// [`SecurityLevel`], then changed field by field. When it is read from a file, a missing member
/// has its strict value and an unknown one is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default = "Policy::strict", deny_unknown_fields)]
#[non_exhaustive]
pub struct Policy {
    /// The level that this policy started from; written into approvals and audit entries.
    pub level: SecurityLevel,
    /// A tool without any attestation.
    pub unsigned: Handling,
    /// A tool with an attestation that nobody can check here: the key is not known, the issuer is
    /// not trusted, or nothing binds it to the server that sent it.
    pub unverified: Handling,
    /// Which keys may vouch for a tool.
    pub key_trust: KeyTrust,
    /// A definition that changed while its version did not, and an executable that changed behind
    /// a pinned command line.
    pub drift: Drift,
    /// A new version by the same verified publisher that adds no power, audience, directive text
    /// or identity. Every other change asks.
    pub update: Update,
    /// How fresh the knowledge about revoked keys and attestations must be.
    pub revocation: Revocation,
    /// When a call is signed.
    pub call_attestation: CallAttestation,
    /// Whether a signed receipt of a result is wanted.
    pub receipt: Receipt,
    /// Which rules a call must pass.
    pub rules: Rules,
    /// How the audit trail is kept.
    pub audit: AuditMode,
}

/// What happens with a tool that no signature vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Handling {
    /// It is pinned, needs an approval like any other, and is labelled as unverified.
    Label,
    /// It is neither listed nor callable.
    Refuse,
}

/// Which keys may vouch for a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyTrust {
    /// The key that was approved first; configured keys as well.
    FirstUse,
    /// The keys of the configured or derived issuer; first use with a warning.
    IssuerKeys,
    /// Only configured trust roots.
    ConfiguredRoots,
}

impl KeyTrust {
    /// The least that must be known of a key.
    pub(crate) fn least(self) -> Trust {
        match self {
            Self::FirstUse | Self::IssuerKeys => Trust::FirstUse,
            Self::ConfiguredRoots => Trust::Configured,
        }
    }
}

/// What happens when a definition changes under an unchanged version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Drift {
    /// An alarm, and a new approval is asked for.
    Alarm,
    /// The tool is blocked until an operator removes the approval.
    Block,
}

/// What happens with an update that adds nothing dangerous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Update {
    /// A new approval is asked for.
    Ask,
    /// The approval is carried over and noted.
    CarryOver {
        /// For how many seconds the user can take it back.
        undo_seconds: u64,
    },
}

/// How fresh revocation data must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Revocation {
    /// Used where there is some.
    BestEffort,
    /// At most this old.
    Cached {
        /// The greatest age in seconds.
        max_age_seconds: u64,
    },
    /// Fetched now, or the check fails.
    Fresh,
}

/// When a call carries an attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallAttestation {
    /// When the server asks for it.
    WhenAsked,
    /// Always.
    Always,
}

/// Whether a signed receipt of a result is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Receipt {
    /// Receipts are not looked at.
    Ignored,
    /// Checked where the server offers one.
    IfOffered,
    /// Required of a server that says it gives receipts.
    RequiredIfAdvertised,
}

/// Which rules a call must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rules {
    /// The built-in local rules where the host gave no engine, which allow what nothing forbids and
    /// note it.
    Local,
    /// The host's policy engine and the call chain; without an engine approvals and chain decide.
    Engine,
    /// The policy engine and the call chain; what no rule permits is denied, and so is everything
    /// without an engine. A host for which its user's approvals are the policy says so with
    /// [`LocalRules::of_approvals`](crate::policy::LocalRules::of_approvals).
    EngineDefaultDeny,
}

/// How the audit trail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditMode {
    /// Events are recorded; a sink that fails is reported and does not stop the act.
    On,
    /// Events are recorded in a hash chain before the act; a sink that fails stops it.
    ChainedBeforeAct,
}

const DAY: u64 = 86_400;

impl Policy {
    /// Pin, approve, and check what signatures there are.
    pub fn basic() -> Self {
        Self {
            level: SecurityLevel::Basic,
            unsigned: Handling::Label,
            unverified: Handling::Label,
            key_trust: KeyTrust::FirstUse,
            drift: Drift::Alarm,
            update: Update::Ask,
            revocation: Revocation::BestEffort,
            call_attestation: CallAttestation::WhenAsked,
            receipt: Receipt::Ignored,
            rules: Rules::Local,
            audit: AuditMode::On,
        }
    }

    /// The default: verified updates without new power are carried over, tools of servers without
    /// ETDI work and are labelled, attestations that nobody can check hide their tool.
    pub fn enhanced() -> Self {
        Self {
            level: SecurityLevel::Enhanced,
            unsigned: Handling::Label,
            unverified: Handling::Refuse,
            key_trust: KeyTrust::IssuerKeys,
            drift: Drift::Alarm,
            update: Update::CarryOver { undo_seconds: 30 * DAY },
            revocation: Revocation::Cached { max_age_seconds: DAY },
            call_attestation: CallAttestation::WhenAsked,
            receipt: Receipt::IfOffered,
            rules: Rules::Engine,
            audit: AuditMode::On,
        }
    }

    /// Only configured roots, every update asks, drift blocks, and the audit trail comes first.
    pub fn strict() -> Self {
        Self {
            level: SecurityLevel::Strict,
            unsigned: Handling::Refuse,
            unverified: Handling::Refuse,
            key_trust: KeyTrust::ConfiguredRoots,
            drift: Drift::Block,
            update: Update::Ask,
            revocation: Revocation::Fresh,
            call_attestation: CallAttestation::Always,
            receipt: Receipt::RequiredIfAdvertised,
            rules: Rules::EngineDefaultDeny,
            audit: AuditMode::ChainedBeforeAct,
        }
    }
}

impl Default for Policy {
    /// The policy of the default level.
    fn default() -> Self {
        SecurityLevel::default().into()
    }
}

impl From<SecurityLevel> for Policy {
    fn from(level: SecurityLevel) -> Self {
        match level {
            SecurityLevel::Basic => Self::basic(),
            SecurityLevel::Enhanced => Self::enhanced(),
            SecurityLevel::Strict => Self::strict(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_enhanced_is_the_default() {
        assert!(SecurityLevel::Basic < SecurityLevel::Enhanced);
        assert!(SecurityLevel::Enhanced < SecurityLevel::Strict);
        assert_eq!(SecurityLevel::default(), SecurityLevel::Enhanced);
        assert_eq!(Policy::default(), Policy::enhanced());
    }

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for level in [SecurityLevel::Basic, SecurityLevel::Enhanced, SecurityLevel::Strict] {
            assert_eq!(level.to_string().parse::<SecurityLevel>().unwrap(), level);
            assert_eq!(Policy::from(level).level, level);
            let json = serde_json::to_string(&level).unwrap();
            assert_eq!(json, format!("\"{level}\""));
        }
        let error = "Strict\u{1b}".parse::<SecurityLevel>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r"`Strict\u{1b}` is no security level, write `basic`, `enhanced` or `strict`"
        );
    }

    #[test]
    fn a_policy_round_trips_and_fails_closed() {
        for policy in [Policy::basic(), Policy::enhanced(), Policy::strict()] {
            let json = serde_json::to_string(&policy).unwrap();
            assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
        }
        let partial: Policy = serde_json::from_str(r#"{"unsigned":"label"}"#).unwrap();
        assert_eq!(partial.drift, Drift::Block);
        assert_eq!(partial.unsigned, Handling::Label);
        assert!(serde_json::from_str::<Policy>(r#"{"drfit":"alarm"}"#).is_err());
    }
}
