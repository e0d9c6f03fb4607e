//! What a handshake left behind, as data: so that another node can serve the session.

use std::collections::BTreeSet;
use std::time::Instant;

use mcp_types::{
    LoggingLevel, ProtocolVersion, RawText, RequestId, SubscriptionFilter, version::Era,
};
use serde::{Deserialize, Serialize};

use super::changes::Listening;
use super::legacy::Legacy;
use super::{Phase, ServerConn, ServerLimits};

/// All that a connection keeps of its client between two messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The revision that the handshake agreed on.
    version: String,
    client_info: Option<RawText>,
    client_capabilities: Option<RawText>,
    log_level: Option<LoggingLevel>,
    /// What the server tells of.
    told: Told,
    /// The resources of which the client wants to hear.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    uris: BTreeSet<String>,
}

/// Of which changes a server tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) tools: bool,
    pub(super) prompts: bool,
    pub(super) resources: bool,
    /// Of single resources.
    pub(super) updates: bool,
}

/// What a client set between two states of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    log_level: Option<LoggingLevel>,
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
}

impl Settings {
    /// What has to be set so that `before` becomes `after`.
    pub(crate) fn between(before: &Remembered, after: &Remembered) -> Self {
        Self {
            log_level: after.log_level.filter(|_| after.log_level != before.log_level),
            added: after.uris.difference(&before.uris).cloned().collect(),
            removed: before.uris.difference(&after.uris).cloned().collect(),
        }
    }

    /// Whether nothing has to be set.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Remembered {
    /// The same with other settings.
    pub(crate) fn set(&mut self, settings: &Settings) {
        self.log_level = settings.log_level.or(self.log_level);
        self.uris.retain(|uri| !settings.removed.contains(uri));
        self.uris.extend(settings.added.iter().cloned());
    }
}

impl ServerConn {
    /// A connection that goes on where another one, which remembered this, stopped; `None` when that
    /// was none with a handshake.
    ///
    /// It hears of changes at once: whoever uses a session has it behind it to be initialized.
    pub(crate) fn resumed(
        limits: ServerLimits,
        now: Instant,
        remembered: &Remembered,
    ) -> Option<Self> {
        let version = ProtocolVersion::parse(&remembered.version)?;
        let can = match &remembered.client_capabilities {
            Some(text) => text.parse().ok()?,
            None => Default::default(),
        };
        let legacy = Legacy {
            client_info: remembered.client_info.clone(),
            client_capabilities: remembered.client_capabilities.clone(),
            can,
            log_level: remembered.log_level,
            changes: Listening::of(remembered.told, remembered.uris.clone()),
            ..Legacy::assumed(version)
        };
        let phase = Phase::Legacy(Box::new(legacy));
        let mut conn = Self { phase, ..Self::new(limits) };
        conn.listen_to_lists();
        conn.listen_to_resources(now);
        (version.era() == Era::Legacy).then_some(conn)
    }

    /// What another node has to know in order to go on; `None` before the handshake.
    pub(crate) fn remembered(&self) -> Option<Remembered> {
        let Phase::Legacy(legacy) = &self.phase else { return None };
        Some(Remembered {
            version: legacy.version.as_str().to_owned(),
            client_info: legacy.client_info.clone(),
            client_capabilities: legacy.client_capabilities.clone(),
            log_level: legacy.log_level,
            told: legacy.changes.told(),
            uris: legacy.changes.uris.clone(),
        })
    }

    /// Takes over what the client has set elsewhere.
    pub(crate) fn set(&mut self, now: Instant, settings: &Settings) {
        let Phase::Legacy(legacy) = &mut self.phase else { return };
        legacy.log_level = settings.log_level.or(legacy.log_level);
        let uris = &mut legacy.changes.uris;
        let before = uris.len();
        uris.retain(|uri| !settings.removed.contains(uri));
        let mut changed = uris.len() != before;
        for uri in &settings.added {
            changed |= uris.insert(uri.clone());
        }
        if changed {
            self.listen_to_resources(now);
        }
    }

    /// Counts its questions to the client from a number that no other node counts from, so that no
    /// answer is taken for that of another question.
    pub(crate) fn count_questions_from(&mut self, first: i64) {
        if let Phase::Legacy(legacy) = &mut self.phase {
            legacy.last_id = first;
        }
    }

    /// Whether the client has still to answer the question with this id.
    pub(crate) fn has_asked(&self, id: &RequestId) -> bool {
        match (&self.phase, id) {
            (Phase::Legacy(legacy), RequestId::Number(id)) => legacy.asked.contains_key(id),
            _ => false,
        }
    }

    /// Tells the client that whatever it hears of may have changed: who was not heard for a while
    /// cannot know.
    pub(crate) fn tell_all_changed(&mut self) {
        let Phase::Legacy(legacy) = &self.phase else { return };
        let Told { tools, prompts, resources, .. } = legacy.changes.told();
        let lists = [
            (tools, "tools/list_changed"),
            (prompts, "prompts/list_changed"),
            (resources, "resources/list_changed"),
        ];
        for (_, method) in lists.iter().filter(|(told, _)| *told) {
            let text = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{method}"}}"#);
            self.outbox.push(None, |out| out.extend_from_slice(text.as_bytes()));
        }
        for uri in &legacy.changes.uris {
            let Ok(uri) = serde_json::to_string(uri) else { continue };
            let text = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":{uri}}}}}"#
            );
            self.outbox.push(None, |out| out.extend_from_slice(text.as_bytes()));
        }
    }
}

/// The filter of a subscription to the lists of which a server tells.
pub(super) fn filter(told: Told) -> SubscriptionFilter {
    let some = |told: bool| told.then_some(true);
    let mut filter = SubscriptionFilter::new();
    filter.tools_list_changed = some(told.tools);
    filter.prompts_list_changed = some(told.prompts);
    filter.resources_list_changed = some(told.resources);
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(level: LoggingLevel, uris: &[&str]) -> Remembered {
        Remembered {
            version: "2025-11-25".to_owned(),
            client_info: RawText::new(r#"{"name":"ada","version":"1"}"#).ok(),
            client_capabilities: RawText::new(r#"{"elicitation":{}}"#).ok(),
            log_level: Some(level),
            told: Told { tools: true, updates: true, ..Told::default() },
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        }
    }

    #[test]
    fn a_connection_goes_on_with_what_another_remembered() {
        let kept = remembered(LoggingLevel::Error, &["a:1", "a:2"]);
        let text = serde_json::to_string(&kept).unwrap();
        let read: Remembered = serde_json::from_str(&text).unwrap();
        let now = Instant::now();
        let conn = ServerConn::resumed(ServerLimits::default(), now, &read).unwrap();
        assert_eq!(conn.remembered(), Some(kept.clone()));
        for version in ["2026-07-28", "1999-01-01", ""] {
            let other = Remembered { version: version.to_owned(), ..kept.clone() };
            assert!(ServerConn::resumed(ServerLimits::default(), now, &other).is_none());
        }
        assert_eq!(ServerConn::new(ServerLimits::default()).remembered(), None);
    }

    #[test]
    fn what_two_nodes_set_at_once_is_set_on_both() {
        let base = remembered(LoggingLevel::Info, &["a:1", "a:2"]);
        let ours = Settings::between(&base, &remembered(LoggingLevel::Info, &["a:2", "a:3"]));
        let theirs = Settings::between(&base, &remembered(LoggingLevel::Error, &["a:1", "a:2"]));
        assert!(Settings::between(&base, &base).is_empty());
        let both = remembered(LoggingLevel::Error, &["a:2", "a:3"]);
        for (first, second) in [(&ours, &theirs), (&theirs, &ours)] {
            let mut set = base.clone();
            set.set(first);
            set.set(second);
            assert_eq!(set, both);
            let now = Instant::now();
            let mut conn = ServerConn::resumed(ServerLimits::default(), now, &base).unwrap();
            conn.set(now, first);
            conn.set(now, second);
            assert_eq!(conn.remembered(), Some(both.clone()));
        }
    }

    #[test]
    fn who_was_not_heard_is_told_of_everything() {
        let kept = remembered(LoggingLevel::Info, &["a:\"1\""]);
        let mut conn = ServerConn::resumed(ServerLimits::default(), Instant::now(), &kept).unwrap();
        conn.tell_all_changed();
        let mut said = Vec::new();
        while let Some(transmit) = conn.poll_transmit() {
            said.push(String::from_utf8(transmit.message.to_vec()).unwrap());
        }
        let wanted = [
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:\"1\""}}"#,
        ];
        assert_eq!(said, wanted);
    }
}
