//! Tells listeners what asking for keys found out about providers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use mcp_types::BoxFuture;

use super::{FoundKey, KeySource, KeySourceError};
use crate::bounded::Bounded;
use crate::event::{Event, EventKind, Events, Severity};
use crate::identity::ProviderId;
use crate::key::KeyId;
use crate::time::UnixTime;

/// Where the events come from.
const SOURCE: &str = "keys";

/// Of how many providers, and how many keys of each, is remembered what was told.
const MAX_PROVIDERS: usize = 1_024;
const MAX_KEYS: usize = 64;

/// A source that tells listeners of what it finds: `provider_registered` for the first key of a
/// provider, `provider_updated` for each further one, `provider_error` when a provider's keys cannot
/// be had, once until they can.
///
/// Only what is asked of the source within is told, and [`IssuerKeys`](super::IssuerKeys) asks
/// for what it has no answer to.
pub struct WatchedKeys {
    source: Arc<dyn KeySource>,
    listeners: Events,
    told: Mutex<Bounded<ProviderId, Told, MAX_PROVIDERS>>,
}

#[derive(Clone, Default)]
struct Told {
    keys: BTreeSet<KeyId>,
    failing: bool,
}

impl WatchedKeys {
    /// Asks `source`, and tells `listeners`.
    pub fn new(source: Arc<dyn KeySource>, listeners: Events) -> Self {
        Self { source, listeners, told: Mutex::default() }
    }

    fn event(
        &self,
        issuer: &ProviderId,
        answer: &Result<FoundKey, KeySourceError>,
    ) -> Option<Event> {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = all.get(issuer).cloned().unwrap_or_default();
        let event = match answer {
            Ok(found) => {
                told.failing = false;
                let kind = match told.keys.is_empty() {
                    true => EventKind::ProviderRegistered,
                    false => EventKind::ProviderUpdated,
                };
                if told.keys.len() >= MAX_KEYS {
                    told.keys.pop_first();
                }
                let is_new = told.keys.insert(found.key.id());
                is_new.then(|| Event::new(kind).signed(issuer, found.key.id()))
            }
            Err(KeySourceError::Unavailable { why, .. }) => {
                let is_new = !std::mem::replace(&mut told.failing, true);
                let event = || Event::new(EventKind::ProviderError).severity(Severity::Medium);
                is_new.then(|| event().detail(why))
            }
            Err(KeySourceError::Unknown { .. }) => None,
        };
        all.insert(issuer.clone(), told);
        let mut event = event?.from_source(SOURCE);
        event.provider = Some(issuer.to_string());
        Some(event)
    }
}

impl std::fmt::Debug for WatchedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchedKeys").finish_non_exhaustive()
    }
}

impl KeySource for WatchedKeys {
    fn key<'a>(
        &'a self,
        issuer: &'a ProviderId,
        kid: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>> {
        Box::pin(async move {
            let answer = self.source.key(issuer, kid, now).await;
            if let Some(event) = self.event(issuer, &answer) {
                self.listeners.emit(event, now);
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Algorithm, SigningKey};
    use crate::proof::Trust;

    /// Knows the keys that it is given, and cannot be reached while there are none.
    #[derive(Default)]
    struct Issuer(Mutex<Vec<SigningKey>>);

    impl KeySource for Issuer {
        fn key<'a>(
            &'a self,
            issuer: &'a ProviderId,
            kid: &'a str,
            _: UnixTime,
        ) -> BoxFuture<'a, Result<FoundKey, KeySourceError>> {
            let keys = self.0.lock().unwrap();
            let found = keys.iter().find(|key| key.id().to_string() == kid);
            let answer = match (found, keys.is_empty()) {
                (Some(key), _) => Ok(FoundKey::new(key.verifying_key().clone(), Trust::Issuer)),
                (None, true) => {
                    let why = "it does not answer".to_owned();
                    Err(KeySourceError::Unavailable { issuer: issuer.clone(), why })
                }
                (None, false) => Err(KeySourceError::unknown(issuer, kid)),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    #[test]
    fn what_becomes_of_a_provider_is_told_once() {
        let (issuer, heard) = (Arc::new(Issuer::default()), Arc::new(Mutex::new(Vec::new())));
        let events = Events::default();
        let hears = heard.clone();
        events.on([], move |entry| {
            let provider = entry.event.provider.clone().unwrap_or_default();
            hears.lock().unwrap().push(format!("{} {provider}", entry.event.kind));
        });
        let keys = WatchedKeys::new(issuer.clone(), events);
        let acme: ProviderId = "https://acme.example".parse().unwrap();
        let ask = |kid: &str| {
            _ = futures_executor::block_on(keys.key(&acme, kid, UnixTime(1)));
            std::mem::take(&mut *heard.lock().unwrap())
        };
        let (one, two) = (
            SigningKey::generate(Algorithm::EdDsa).unwrap(),
            SigningKey::generate(Algorithm::EdDsa).unwrap(),
        );
        let (first, second) = (one.id().to_string(), two.id().to_string());
        assert_eq!(ask(&first), ["provider_error https://acme.example"]);
        assert_eq!(ask(&first), [""; 0], "that it still fails is no news");
        issuer.0.lock().unwrap().extend([one, two]);
        assert_eq!(ask(&first), ["provider_registered https://acme.example"]);
        assert_eq!(ask(&first), [""; 0]);
        assert_eq!(ask(&second), ["provider_updated https://acme.example"]);
        assert_eq!(ask("nobody"), [""; 0], "another's key says nothing of the provider");
        issuer.0.lock().unwrap().clear();
        assert_eq!(ask(&first), ["provider_error https://acme.example"]);
    }
}
