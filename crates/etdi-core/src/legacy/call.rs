//! Calls that are signed as the Python SDK's README says: four members beside `name` and
//! `arguments`.
//!
//! The signature covers the tool's name, the arguments and a time, and nothing else: no server, no
//! definition, no answers. So it counts where the configuration lists it, never at `strict`, for
//! five minutes and once. The README's RS256 is RSASSA-PKCS1-v1_5 with SHA-256 over
//! [`payload`]; the fork's code really makes RSASSA-PSS over the SHA-256 of it, which counts with
//! [`LegacyCalls::as_the_fork_does`] alone.
//!
//! ```
//! use etdi_core::legacy::call::payload;
//!
//! let signed = payload("get_weather", Some(r#"{"days":3,"city":"Zürich"}"#), "2026-01-02T03:04:05Z")?;
//! assert_eq!(
//!     signed,
//!     r#"{"parameters":{"city":"Z\u00fcrich","days":3},"timestamp":"2026-01-02T03:04:05Z","tool_id":"get_weather"}"#
//! );
//! // Two readers could understand this differently, so it is not signed.
//! assert!(payload("pay", Some(r#"{"to":"ada","to":"eve"}"#), "2026-01-02T03:04:05Z").is_err());
//! # Ok::<(), etdi_core::legacy::call::LegacyError>(())
//! ```

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mcp_types::{CallToolRequestParams, Members, RawText};
use ring::rand::{SecureRandom, SystemRandom};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{PythonStyle, python_json};
use crate::digest::Digest;
use crate::key::{Algorithm, KeyId, VerifyingKey};
use crate::proof::Signer;
use crate::request::{CLOCK_SKEW, ReplayStore, Taken};
use crate::time::UnixTime;
use crate::wire::FORK_MEMBERS;

/// How long a signature counts, in seconds.
pub const LIFETIME: u64 = 300;

/// The most bytes of a signature in base64: RSA of 8192 bits.
const MAX_SIGNATURE: usize = 1_400;

/// Which signatures of this kind a server takes.
#[derive(Clone, Debug, Default)]
pub struct LegacyCalls {
    keys: BTreeMap<String, VerifyingKey>,
    pss: bool,
}

impl LegacyCalls {
    /// None yet: nobody's keys are known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows an RSA key by the name that its client gives it (`etdi_key_id`), and by its
    /// thumbprint.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>, key: VerifyingKey) -> Self {
        self.keys.insert(key.id().to_string(), key.clone());
        self.keys.insert(name.into(), key);
        self
    }

    /// Also takes what the fork's code makes under the name RS256. Feature `python-fork`.
    #[cfg(feature = "python-fork")]
    #[must_use]
    pub fn as_the_fork_does(self) -> Self {
        Self { pss: true, ..self }
    }

    /// Checks the signature of a call, if it has one.
    ///
    /// # Errors
    ///
    /// One [`LegacyError`] a cause. The replay store is asked last.
    pub async fn check(
        &self,
        params: &CallToolRequestParams,
        replay: &dyn ReplayStore,
        now: UnixTime,
    ) -> Result<Option<LegacySignedCall>, LegacyError> {
        let Some((signed, made, id)) = self.signature(params)? else { return Ok(None) };
        if made > now.plus(CLOCK_SKEW) || now > made.plus(LIFETIME) {
            return Err(LegacyError::Stale { made, now });
        }
        match replay.take(signed.key, &id, made.plus(LIFETIME), now).await {
            Taken::First => Ok(Some(signed)),
            Taken::Before => Err(LegacyError::Replayed),
            Taken::Full => Err(LegacyError::Full),
        }
    }

    /// Checks once more the signature of a call that was let in, for a handler that is entered
    /// anew: all but its time and its place.
    pub(crate) fn again(
        &self,
        params: &CallToolRequestParams,
    ) -> Result<Option<LegacySignedCall>, LegacyError> {
        Ok(self.signature(params)?.map(|(signed, ..)| signed))
    }

    /// Who signed, when, and what stands for the signed text in the replay store.
    fn signature(
        &self,
        params: &CallToolRequestParams,
    ) -> Result<Option<(LegacySignedCall, UnixTime, String)>, LegacyError> {
        let Some(Claimed { signature, timestamp, key_id, algorithm }) = Claimed::of(params)? else {
            return Ok(None);
        };
        if algorithm != Algorithm::Rs256.name() {
            return Err(LegacyError::Algorithm(algorithm.chars().take(32).collect()));
        }
        let key = self.keys.get(&key_id).ok_or(LegacyError::KeyUnknown)?;
        let made = read_time(&timestamp).ok_or(LegacyError::Time)?;
        let payload =
            payload(&params.name, params.arguments.as_ref().map(RawText::get), &timestamp)?;
        let bytes = (signature.len() <= MAX_SIGNATURE).then(|| STANDARD.decode(&signature).ok());
        let bytes = bytes.flatten().ok_or(LegacyError::Signature)?;
        let holds = key.algorithm() == Algorithm::Rs256 && key.verify(payload.as_bytes(), &bytes);
        if !holds && !self.holds_as_the_fork_does(key, payload.as_bytes(), &bytes) {
            return Err(LegacyError::Signature);
        }
        // The payload has the time in it; a signature of PSS can be made anew by its signer alone.
        let id = Digest::of_bytes(payload.as_bytes()).to_string();
        Ok(Some((LegacySignedCall { key: key.id(), key_id }, made, id)))
    }

    #[cfg(feature = "python-fork")]
    fn holds_as_the_fork_does(&self, key: &VerifyingKey, payload: &[u8], signature: &[u8]) -> bool {
        self.pss && key.algorithm().is_rsa() && super::pss::verify(key, payload, signature)
    }

    #[cfg(not(feature = "python-fork"))]
    fn holds_as_the_fork_does(&self, _: &VerifyingKey, _: &[u8], _: &[u8]) -> bool {
        self.pss
    }
}

/// A call with a signature of this kind, in the extensions of its exchange. It says less than a
/// [`SignedCall`](crate::request::SignedCall): the same request was meant for some server that
/// knows the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LegacySignedCall {
    /// The key of the caller.
    pub key: KeyId,
    /// The name that the caller gives it.
    pub key_id: String,
}

/// Whether the members of a signed call are there.
pub(crate) fn is_signed(params: &CallToolRequestParams) -> bool {
    FORK_MEMBERS.iter().any(|name| params.extra.get(name).is_some())
}

/// Signs a call as the README says, and puts the four members beside its own. The key signs by
/// RS256; with one that signs by PS256 the signature is what the fork's verifier takes.
///
/// # Errors
///
/// When the key is not RSA or cannot be used, or the arguments can be read in two ways.
pub fn sign(
    params: &mut CallToolRequestParams,
    signer: &dyn Signer,
    now: UnixTime,
) -> Result<(), LegacyError> {
    let key = signer.verifying_key();
    // Microseconds that nobody measures keep two calls of one second apart.
    let mut random = [0; 4];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| LegacyError::Signer("no randomness".into()))?;
    let micros = u32::from_be_bytes(random) % 1_000_000;
    let whole = now.to_string();
    let timestamp = format!("{}.{micros:06}Z", whole.trim_end_matches('Z'));
    let payload = payload(&params.name, params.arguments.as_ref().map(RawText::get), &timestamp)?;
    let signature = match key.algorithm() {
        Algorithm::Rs256 => signer.sign(payload.as_bytes()),
        Algorithm::Ps256 => signer.sign(Digest::of_bytes(payload.as_bytes()).as_bytes()),
        _ => return Err(LegacyError::Signer("its key is not RSA".into())),
    };
    let signature = signature.map_err(|error| LegacyError::Signer(error.to_string()))?;
    let values = [
        STANDARD.encode(signature),
        timestamp,
        key.id().to_string(),
        Algorithm::Rs256.name().into(),
    ];
    for (name, value) in FORK_MEMBERS.into_iter().zip(values) {
        let value = RawText::of(&value).map_err(|error| LegacyError::Signer(error.to_string()))?;
        params.extra.insert(name, value);
    }
    Ok(())
}

/// What is signed: name, arguments and time as compact JSON in Python's spelling. The time is
/// taken to the letter.
///
/// # Errors
///
/// When the arguments are no JSON or have a member twice.
pub fn payload(
    tool: &str,
    arguments: Option<&str>,
    timestamp: &str,
) -> Result<String, LegacyError> {
    let arguments = arguments.unwrap_or("{}");
    serde_json::from_str::<Distinct>(arguments).map_err(|_| LegacyError::Arguments)?;
    let written =
        |text: &str| python_json(text, PythonStyle::Compact).map_err(|_| LegacyError::Arguments);
    let text = |text: &str| -> Result<String, LegacyError> {
        let json = serde_json::to_string(text).map_err(|_| LegacyError::Arguments)?;
        written(&json)
    };
    let (arguments, timestamp, tool) = (written(arguments)?, text(timestamp)?, text(tool)?);
    Ok(format!(r#"{{"parameters":{arguments},"timestamp":{timestamp},"tool_id":{tool}}}"#))
}

/// The four members, unchecked.
struct Claimed {
    signature: String,
    timestamp: String,
    key_id: String,
    algorithm: String,
}

impl Claimed {
    fn of(params: &CallToolRequestParams) -> Result<Option<Self>, LegacyError> {
        if !is_signed(params) {
            return Ok(None);
        }
        let member = |members: &Members, name: &str| -> Result<String, LegacyError> {
            let text = members.get(name).and_then(|text| text.parse().ok());
            text.ok_or(LegacyError::Members)
        };
        let [signature, timestamp, key_id, algorithm] =
            FORK_MEMBERS.map(|name| member(&params.extra, name));
        let (signature, timestamp) = (signature?, timestamp?);
        Ok(Some(Self { signature, timestamp, key_id: key_id?, algorithm: algorithm? }))
    }
}

/// Reads `2026-01-02T03:04:05Z`, with three or six digits of a fraction or none. Always UTC.
fn read_time(text: &str) -> Option<UnixTime> {
    let whole = text.strip_suffix('Z')?;
    let (whole, fraction) = whole.split_once('.').map_or((whole, None), |(w, f)| (w, Some(f)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.is_some_and(|fraction| !matches!(fraction.len(), 3 | 6) || !digits(fraction)) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u64> {
        let part = whole.get(from..to)?;
        digits(part).then(|| part.parse().ok()).flatten()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970 in years that begin in March, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leaps + (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = days.checked_sub(719_468)?;
    let time = UnixTime(days * 86_400 + hour * 3_600 + minute * 60 + second);
    // A 31st of February, or anything else that is spelled otherwise.
    (time.to_string().strip_suffix('Z') == Some(whole)).then_some(time)
}

/// A JSON value without a member twice, at any depth.
struct Distinct;

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Distinct;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Distinct, A::Error> {
                let mut names = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name) {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                    map.next_value::<Distinct>()?;
                }
                Ok(Distinct)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Distinct, A::Error> {
                while list.next_element::<Distinct>()?.is_some() {}
                Ok(Distinct)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Distinct, E> {
                Ok(Distinct)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Distinct, E> {
                Ok(Distinct)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Distinct, E> {
                Ok(Distinct)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Distinct, E> {
                Ok(Distinct)
            }

            fn visit_str<E>(self, _: &str) -> Result<Distinct, E> {
                Ok(Distinct)
            }

            fn visit_unit<E>(self) -> Result<Distinct, E> {
                Ok(Distinct)
            }
        }

        deserializer.deserialize_any(Walk)
    }
}

/// Why a signature of this kind does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LegacyError {
    /// Some of the four members, or no texts.
    #[error(
        "a call that is signed in this way has all of `etdi_signature`, `etdi_timestamp`, `etdi_key_id` \
         and `etdi_algorithm`, as texts"
    )]
    Members,
    /// Another algorithm.
    #[error("`etdi_algorithm` is `{}`, use `RS256`", .0.escape_debug())]
    Algorithm(String),
    /// The key is not known here.
    #[error("the key of `etdi_key_id` is not known here, have it added")]
    KeyUnknown,
    /// No time.
    #[error("`etdi_timestamp` is no time in UTC, write one such as `2026-01-02T03:04:05Z`")]
    Time,
    /// Too old, or from the future.
    #[error("`etdi_timestamp` is {made} and it is {now}, sign the call when it is sent")]
    Stale {
        /// When it says that it was made.
        made: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The arguments have a member twice, or are no JSON.
    #[error("the arguments can be read in two ways, write each member once")]
    Arguments,
    /// Not the signature of this call.
    #[error("`etdi_signature` is not one of this call with this key")]
    Signature,
    /// It was used before.
    #[error("`etdi_signature` was used before, sign each call anew")]
    Replayed,
    /// Nobody can tell whether it was used before.
    #[error(
        "nobody can tell now whether the call was used before: where that is kept does not answer, or has \
         no more room for this caller; sign it anew and try again, after at most 5 minutes if there is \
         no room"
    )]
    Full,
    /// The call cannot be signed.
    #[error("the call cannot be signed: {0}")]
    Signer(String),
}

impl LegacyError {
    /// The stable word, that of the same refusal of a signed call.
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeyUnknown => "KEY_UNKNOWN",
            Self::Stale { .. } => "STALE",
            Self::Replayed => "REPLAYED",
            Self::Full => "REPLAY_STORE_FULL",
            _ => "SIGNATURE_INVALID",
        }
    }
}

#[cfg(test)]
mod tests;
