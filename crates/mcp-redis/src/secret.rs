//! The secret that all nodes share, and what follows from it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use etdi_core::nonce::{Nonces, SecretNonces};
use etdi_core::time::UnixTime;
use mcp_server::AeadSealer;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::error::RedisError;

/// 32 random bytes that all nodes of a server share and Redis never sees.
///
/// Everything that is sealed in Redis is sealed with a key that follows from it, and so are server
/// nonces and request states, which therefore need no Redis at all. Make one with
/// `openssl rand -base64 32` and give it to each node as a secret is given to it.
///
/// To change it, go over all nodes three times: with the old one that [`also_opens`](Self::also_opens) the new one,
/// then with the new one that `also_opens` the old one, then with the new one alone, once nothing is left that the old
/// one sealed. A node that leaves a round out does not start. What does not end by itself [`RedisStores::reseal`](crate::RedisStores::reseal) seals anew, and
/// [`seals`](crate::RedisStores::seals) says what is left. One secret seals no more than four
/// billion (2^32) records of a kind: change it once a month where there are more than a thousand a second.
#[derive(Clone)]
pub struct ClusterSecret {
    current: Zeroizing<[u8; 32]>,
    earlier: Vec<Zeroizing<[u8; 32]>>,
}

impl ClusterSecret {
    /// A secret of 32 bytes, which must be random.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { current: Zeroizing::new(secret), earlier: Vec::new() }
    }

    /// The same in base64, with either alphabet, as it stands in a variable or a file.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] for what is no base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, RedisError> {
        let text = text.trim().trim_end_matches('=');
        let bytes = STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text));
        let bytes = bytes.map(Zeroizing::new).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        bytes.map(Self::new).ok_or_else(|| {
            let text =
                "the secret is no base64 of 32 bytes, make one with `openssl rand -base64 32`";
            RedisError::Config(text.to_owned())
        })
    }

    /// Also opens what was sealed with a secret that is going out of use, or coming into it.
    #[must_use]
    pub fn also_opens(mut self, other: &Self) -> Self {
        self.earlier.push(other.current.clone());
        self
    }

    fn all(&self) -> impl Iterator<Item = &[u8; 32]> {
        std::iter::once(&*self.current).chain(self.earlier.iter().map(|one| &**one))
    }

    /// Nonces that each node knows which any node gave out.
    pub fn nonces(&self) -> Arc<dyn Nonces> {
        let nonces = self.all().filter_map(|secret| derive(secret, "nonces"));
        Arc::new(SharedNonces(nonces.map(|key| SecretNonces::shared(&key)).collect()))
    }

    /// A sealer of request states that opens what any node sealed.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn state_sealer(&self) -> Result<AeadSealer, RedisError> {
        let mut sealer = None;
        for secret in self.all() {
            let id = derive(secret, "request state id").ok_or_else(underivable)?;
            let key = derive(secret, "request state").ok_or_else(underivable)?;
            sealer = Some(match sealer {
                None => AeadSealer::new(number(&id), &key),
                Some(sealer) => AeadSealer::also_opens(sealer, number(&id), &key),
            });
        }
        sealer.ok_or_else(underivable)
    }

    /// A secret for something else that all nodes share.
    #[cfg(feature = "oauth")]
    pub(crate) fn derived(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, RedisError> {
        derive(&self.current, purpose).ok_or_else(underivable)
    }

    /// What each secret is called under a prefix, the one that seals first. Nothing else follows from a name, and
    /// the same secret has another one under another prefix.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>, RedisError> {
        let purpose = format!("name under {prefix}");
        let name = |secret| {
            let name = derive(secret, &purpose)?;
            Some(URL_SAFE_NO_PAD.encode(name.get(..16)?))
        };
        self.all().map(name).collect::<Option<_>>().ok_or_else(underivable)
    }

    pub(crate) fn seal(&self, purpose: &'static str) -> Result<Seal, RedisError> {
        let keys = self.all().map(|secret| {
            let (id, key) = (derive(secret, "payload id")?, derive(secret, purpose)?);
            let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &*key).ok()?);
            Some((number(&id), key))
        });
        let keys: Option<Vec<_>> = keys.collect();
        let keys = keys.ok_or_else(underivable)?;
        Ok(Seal { purpose, keys, random: SystemRandom::new() })
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret")
    }
}

fn underivable() -> RedisError {
    RedisError::Config("no key follows from the secret".to_owned())
}

fn number(id: &[u8; 32]) -> u32 {
    id.first_chunk().map_or(0, |id| u32::from_be_bytes(*id))
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

fn derive(secret: &[u8; 32], purpose: &str) -> Option<Zeroizing<[u8; 32]>> {
    let random = Salt::new(HKDF_SHA256, b"mcp-redis 1").extract(secret);
    let mut key = Zeroizing::new([0; 32]);
    random.expand(&[purpose.as_bytes()], Length).ok()?.fill(&mut *key).ok()?;
    Some(key)
}

/// The first one gives out, all know again.
struct SharedNonces(Vec<SecretNonces>);

impl Nonces for SharedNonces {
    fn issue(&self, now: UnixTime) -> String {
        self.0.first().map(|nonces| nonces.issue(now)).unwrap_or_default()
    }

    fn holds(&self, nonce: &str, now: UnixTime) -> bool {
        self.0.iter().any(|nonces| nonces.holds(nonce, now))
    }
}

/// Under which secret something lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// The one that seals.
    Newest,
    /// One that also opens.
    Earlier,
    /// None of ours.
    Unknown,
}

/// Seals what one store keeps.
pub(crate) struct Seal {
    purpose: &'static str,
    /// The first one seals; all open.
    keys: Vec<(u32, LessSafeKey)>,
    random: SystemRandom,
}

/// Format, id of the key, nonce; then the text and its tag.
const HEADER: usize = 1 + 4 + NONCE_LEN;

/// How many bytes sealing adds.
pub(crate) const SEALED: usize = HEADER + 16;

const FORMAT: u8 = 1;

impl Seal {
    /// Seals `text` for the place `at`, where alone it opens.
    pub(crate) fn seal(&self, at: &[&[u8]], text: &[u8]) -> Result<Vec<u8>, RedisError> {
        let failed = || RedisError::Config("the system gives no random numbers".to_owned());
        let (id, key) = self.keys.first().ok_or_else(failed)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| failed())?;
        let mut out = Vec::with_capacity(SEALED + text.len());
        out.push(FORMAT);
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&nonce);
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = self.bound(&out, at);
        key.seal_in_place_append_tag(nonce, aad, &mut text).map_err(|_| failed())?;
        out.extend_from_slice(&text);
        Ok(out)
    }

    /// Under which secret something says that it is, of which only the beginning is needed.
    pub(crate) fn age(&self, sealed: &[u8]) -> Age {
        let Some(([FORMAT, id @ ..], _)) = sealed.split_first_chunk::<5>() else {
            return Age::Unknown;
        };
        let id = u32::from_be_bytes(*id);
        match self.keys.iter().position(|(known, _)| *known == id) {
            Some(0) => Age::Newest,
            Some(_) => Age::Earlier,
            None => Age::Unknown,
        }
    }

    /// Opens what was sealed for the place `at`, and seals it with the newest secret.
    pub(crate) fn reseal(&self, at: &[&[u8]], sealed: Vec<u8>) -> Result<Vec<u8>, RedisError> {
        let text = Zeroizing::new(self.open(at, sealed)?);
        self.seal(at, &text)
    }

    /// Opens what was sealed for the place `at`.
    pub(crate) fn open(&self, at: &[&[u8]], mut sealed: Vec<u8>) -> Result<Vec<u8>, RedisError> {
        let is_ours = sealed.len() >= SEALED && sealed.first() == Some(&FORMAT);
        let damaged = match self.age(&sealed) {
            Age::Unknown if is_ours => RedisError::Unopened,
            _ => RedisError::Damaged("a record does not open, or was moved from its place"),
        };
        let opened = self.try_open(at, &mut sealed).map(<[u8]>::to_vec);
        opened.ok_or(damaged)
    }

    fn try_open<'a>(&self, at: &[&[u8]], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let (header, text) = sealed.split_at_mut_checked(HEADER)?;
        let [FORMAT, rest @ ..] = &*header else { return None };
        let (id, nonce) = rest.split_first_chunk::<4>()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let id = u32::from_be_bytes(*id);
        let (_, key) = self.keys.iter().find(|(known, _)| *known == id)?;
        let aad = self.bound(header, at);
        key.open_in_place(nonce, aad, text).ok().map(|text| &*text)
    }

    /// What is authenticated beside the text: header, purpose and place, each with its length.
    fn bound(&self, header: &[u8], at: &[&[u8]]) -> Aad<Vec<u8>> {
        let mut out = header.to_vec();
        for part in std::iter::once(self.purpose.as_bytes()).chain(at.iter().copied()) {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
        Aad::from(out)
    }
}

#[cfg(test)]
mod tests {
    use etdi_core::nonce::nonces_contract;
    use mcp_server::{StateSealer as _, state_sealer_contract};

    use super::*;

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let secret = ClusterSecret::new([7; 32]);
        let (tasks, events) = (secret.seal("tasks").unwrap(), secret.seal("events").unwrap());
        let sealed = tasks.seal(&[b"a", b"b"], b"text").unwrap();
        assert_eq!(sealed.len(), SEALED + 4);
        assert_eq!(tasks.open(&[b"a", b"b"], sealed.clone()).unwrap(), b"text");
        for elsewhere in [&[b"ab".as_slice(), b""], &[b"a", b"c"]] {
            assert!(tasks.open(elsewhere, sealed.clone()).is_err());
        }
        assert!(events.open(&[b"a", b"b"], sealed.clone()).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(tasks.open(&[b"a", b"b"], changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_sealed_anew_is_under_the_newest_secret_in_the_same_place() {
        let (old, new) = (ClusterSecret::new([1; 32]), ClusterSecret::new([2; 32]));
        let sealed = old.seal("x").unwrap().seal(&[b"a"], b"text").unwrap();
        let after = new.clone().also_opens(&old).seal("x").unwrap();
        let new = new.seal("x").unwrap();
        assert_eq!((after.age(&sealed), new.age(&sealed)), (Age::Earlier, Age::Unknown));
        assert!(after.reseal(&[b"b"], sealed.clone()).is_err());
        let again = after.reseal(&[b"a"], sealed).unwrap();
        assert_eq!((after.age(&again), new.age(&again[..5])), (Age::Newest, Age::Newest));
        assert_eq!(new.open(&[b"a"], again).unwrap(), b"text");
        for text in [&b""[..], &[FORMAT, 0, 0], &[FORMAT + 1, 0, 0, 0, 0]] {
            assert_eq!(after.age(text), Age::Unknown);
        }
    }

    #[test]
    fn a_secret_is_changed_without_a_gap() {
        let (old, new) = (ClusterSecret::new([1; 32]), ClusterSecret::new([2; 32]));
        let (before, after) = (old.clone().also_opens(&new), new.clone().also_opens(&old));
        let now = UnixTime(1_000);
        for (one, other) in [(&before, &after), (&after, &before), (&old, &after)] {
            let sealed = one.seal("x").unwrap().seal(&[], b"text").unwrap();
            assert!(other.seal("x").unwrap().open(&[], sealed).is_ok());
            assert!(other.nonces().holds(&one.nonces().issue(now), now));
            let state = one.state_sealer().unwrap().seal("s", b"ada").unwrap();
            assert_eq!(other.state_sealer().unwrap().open(&state, b"ada").as_deref(), Ok("s"));
        }
        let sealed = new.seal("x").unwrap().seal(&[], b"text").unwrap();
        assert!(old.seal("x").unwrap().open(&[], sealed).is_err());
        assert!(!old.nonces().holds(&new.nonces().issue(now), now));
    }

    /// Nodes of one secret, and nodes in the midst of changing it.
    #[test]
    fn nonces_and_request_states_keep_their_contracts() {
        let (old, new) = (ClusterSecret::new([1; 32]), ClusterSecret::new([2; 32]));
        let (before, after) = (old.clone().also_opens(&new), new.clone().also_opens(&old));
        let now = UnixTime(1_767_323_045);
        for (one, other) in [(&old, &old.clone()), (&before, &after)] {
            nonces_contract(&[&*one.nonces(), &*other.nonces()], now).unwrap();
            let (first, second) = (one.state_sealer().unwrap(), other.state_sealer().unwrap());
            let tomorrow = || std::time::SystemTime::now() + std::time::Duration::from_hours(24);
            let late = other.state_sealer().unwrap().clock(tomorrow);
            state_sealer_contract(&[&first, &second], Some(&late)).unwrap();
        }
        assert!(nonces_contract(&[&*old.nonces(), &*new.nonces()], now).is_err());
    }

    #[test]
    fn a_secret_is_read_from_base64() {
        for text in [
            "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
            " AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n",
        ] {
            let nonces = ClusterSecret::from_base64(text).unwrap().nonces();
            let ours = ClusterSecret::new([1; 32]).nonces();
            assert!(ours.holds(&nonces.issue(UnixTime(9)), UnixTime(9)));
        }
        for text in ["", "AQEB", "not base64 at all, and of no length that would do it"] {
            assert!(ClusterSecret::from_base64(text).is_err(), "{text}");
        }
    }
}
