//! The sealer that needs nothing but a key.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::{SealError, StateSealer};

/// Seals states with ChaCha20-Poly1305 (RFC 8439) under a key of 32 bytes.
///
/// A server that is built with the feature `sealed-state` has one with a key that lives as long as
/// the process. Several nodes behind one address need a key of their own, the same on each; while
/// it is changed, the old one goes on opening:
///
/// ```
/// use std::time::Duration;
/// use mcp_server::{AeadSealer, Server};
///
/// # let (new_key, old_key) = ([7; 32], [3; 32]);
/// let sealer = AeadSealer::new(2, &new_key)
///     .also_opens(1, &old_key)
///     .valid_for(Duration::from_secs(300));
/// let server = Server::new("example", "1.0.0").seal_state(sealer).build()?;
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
///
/// What was changed, or made under another key, does not open:
///
/// ```
/// use mcp_server::{AeadSealer, SealError, StateSealer};
///
/// let sealer = AeadSealer::ephemeral()?;
/// let sealed = sealer.seal("paid", b"ada")?;
/// assert_eq!(sealer.open(&sealed, b"ada")?, "paid");
/// assert_eq!(sealer.open(&sealed, b"eve"), Err(SealError::Refused));
/// assert_eq!(sealer.open(&format!("{sealed}x"), b"ada"), Err(SealError::Refused));
/// assert_eq!(AeadSealer::ephemeral()?.open(&sealed, b"ada"), Err(SealError::Refused));
/// # Ok::<(), SealError>(())
/// ```
///
/// Nonces are random: a key should seal no more than four billion states (2^32), so change it now
/// and then.
pub struct AeadSealer {
    /// The first one seals; all open.
    keys: Vec<(u32, LessSafeKey)>,
    random: SystemRandom,
    valid_for: Duration,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

/// Format, id of the key, end of validity in seconds, nonce; then the state and its tag.
const HEADER: usize = 1 + 4 + 8 + NONCE_LEN;

/// The format of what is sealed.
const FORMAT: u8 = 1;

impl AeadSealer {
    /// A sealer whose key nobody knows and which ends with the process.
    ///
    /// # Errors
    ///
    /// [`SealError::Failed`] when the operating system gives no random numbers.
    pub fn ephemeral() -> Result<Self, SealError> {
        let random = SystemRandom::new();
        let (mut key, mut id) = ([0; 32], [0; 4]);
        random.fill(&mut key).map_err(|_| SealError::Failed)?;
        random.fill(&mut id).map_err(|_| SealError::Failed)?;
        Ok(Self::new(u32::from_be_bytes(id), &key))
    }

    /// A sealer with this key, which must be random and secret. What it seals names the key by its
    /// `id`, and opens for fifteen minutes.
    pub fn new(id: u32, key: &[u8; 32]) -> Self {
        let sealer = Self {
            keys: Vec::new(),
            random: SystemRandom::new(),
            valid_for: Duration::from_secs(15 * 60),
            now: Arc::new(SystemTime::now),
        };
        sealer.also_opens(id, key)
    }

    /// Also opens what was sealed under another key: one that was in use before, or one that other
    /// nodes use already.
    #[must_use]
    pub fn also_opens(mut self, id: u32, key: &[u8; 32]) -> Self {
        // It cannot fail for a key of this length; without a key nothing is sealed or opened.
        if let Ok(key) = UnboundKey::new(&CHACHA20_POLY1305, key) {
            self.keys.push((id, LessSafeKey::new(key)));
        }
        self
    }

    /// Sets for how long a state opens: as long as a person may take for one round of answers.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = time;
        self
    }

    /// Sets the clock; the operating system's by default.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    fn seconds(&self) -> u64 {
        (self.now)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    fn try_open(&self, sealed: &str, bound_to: &[u8]) -> Option<String> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (header, text) = bytes.split_at_mut_checked(HEADER)?;
        let header: &[u8; HEADER] = (&*header).try_into().ok()?;
        let [FORMAT, rest @ ..] = header else { return None };
        let (id, rest) = rest.split_first_chunk::<4>()?;
        let (end, nonce) = rest.split_first_chunk::<8>()?;
        let id = u32::from_be_bytes(*id);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let aad = bound(header, bound_to);
        let keys = self.keys.iter().filter(|(known, _)| *known == id);
        let (_, key) = keys.into_iter().next()?;
        let text = key.open_in_place(nonce, aad, text).ok()?;
        // Only now is the end known to be ours.
        if u64::from_be_bytes(*end) <= self.seconds() {
            return None;
        }
        String::from_utf8(text.to_vec()).ok()
    }

    fn try_seal(&self, state: &str, bound_to: &[u8]) -> Option<String> {
        let (id, key) = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let end = self.seconds().saturating_add(self.valid_for.as_secs());
        let mut header = Vec::with_capacity(HEADER + state.len() + 16);
        header.push(FORMAT);
        header.extend_from_slice(&id.to_be_bytes());
        header.extend_from_slice(&end.to_be_bytes());
        header.extend_from_slice(&nonce);
        let aad = bound(&header, bound_to);
        let mut text = state.as_bytes().to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, aad, &mut text).ok()?;
        header.extend_from_slice(&text);
        Some(URL_SAFE_NO_PAD.encode(header))
    }
}

/// What is authenticated beside the state: all of the header, and what the state belongs to.
fn bound(header: &[u8], bound_to: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([header, bound_to].concat())
}

impl StateSealer for AeadSealer {
    fn seal(&self, state: &str, bound_to: &[u8]) -> Result<String, SealError> {
        self.try_seal(state, bound_to).ok_or(SealError::Failed)
    }

    fn open(&self, sealed: &str, bound_to: &[u8]) -> Result<String, SealError> {
        self.try_open(sealed, bound_to).ok_or(SealError::Refused)
    }
}

impl fmt::Debug for AeadSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|(id, _)| id).collect();
        f.debug_struct("AeadSealer").field("keys", &ids).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    #[test]
    fn a_state_opens_for_whom_it_was_made_in_time_and_unchanged() {
        let clock = Arc::new(AtomicU64::new(1_000));
        let now = clock.clone();
        let sealer = AeadSealer::new(1, &OLD)
            .valid_for(Duration::from_secs(60))
            .clock(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed)));
        let sealed = sealer.seal("{}", b"ada").unwrap();
        assert_eq!(sealer.open(&sealed, b"ada").as_deref(), Ok("{}"));
        assert_eq!(sealer.open(&sealed, b"eve"), Err(SealError::Refused));
        assert_ne!(sealer.seal("{}", b"ada").unwrap(), sealed, "a nonce is used once");
        clock.store(1_059, Ordering::Relaxed);
        assert!(sealer.open(&sealed, b"ada").is_ok());
        clock.store(1_060, Ordering::Relaxed);
        assert_eq!(sealer.open(&sealed, b"ada"), Err(SealError::Refused));
    }

    #[test]
    fn no_bit_of_a_sealed_state_may_change() {
        let sealer = AeadSealer::new(1, &OLD);
        let sealed = sealer.seal("state", b"ada").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(sealer.open(&changed, b"ada"), Err(SealError::Refused), "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert_eq!(sealer.open(&sealed[..end], b"ada"), Err(SealError::Refused), "{end}");
        }
    }

    #[test]
    fn a_key_that_is_replaced_goes_on_opening() {
        let before = AeadSealer::new(1, &OLD);
        let after = AeadSealer::new(2, &NEW).also_opens(1, &OLD);
        let sealed = before.seal("state", b"").unwrap();
        assert_eq!(after.open(&sealed, b"").as_deref(), Ok("state"));
        let sealed = after.seal("state", b"").unwrap();
        assert_eq!(before.open(&sealed, b""), Err(SealError::Refused));
        // An id says which key to try, and proves nothing.
        let imitation = AeadSealer::new(2, &OLD).seal("state", b"").unwrap();
        assert_eq!(after.open(&imitation, b""), Err(SealError::Refused));
    }
}
