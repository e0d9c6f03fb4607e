//! Which era a POST belongs to, from what its headers and its message say: one pure table.

use mcp_types::ProtocolVersion;
use mcp_types::version::Era;

/// What the `MCP-Protocol-Version` header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Nothing,
    Known(ProtocolVersion),
    Unknown,
}

impl Named {
    /// Reads the header's value.
    pub(super) fn of(value: Option<&[u8]>) -> Self {
        let Some(value) = value else { return Self::Nothing };
        let known = std::str::from_utf8(value).ok().and_then(ProtocolVersion::parse);
        known.map_or(Self::Unknown, Self::Known)
    }

    pub(super) fn is_modern(self) -> bool {
        self.era() == Some(Era::Modern)
    }

    fn era(self) -> Option<Era> {
        match self {
            Self::Known(version) => Some(version.era()),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// What a message is, as far as it decides the era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// A request; `envelope` when its `_meta` names a revision.
    Request { method: &'a str, envelope: bool },
    /// A notification, an answer or a batch.
    Other,
}

/// Who serves a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// The stateless era.
    Modern,
    /// A handshake, which starts a session.
    Handshake,
    /// The session that the headers name.
    Session,
    /// The era with a handshake, without one: the message stands for itself.
    Alone(ProtocolVersion),
    /// Nobody: the revision is not known.
    UnknownVersion,
}

/// The door for a message. An envelope is the surest sign, then the header, then the method: a
/// header that contradicts an envelope is the modern door's to refuse.
pub(super) fn classify(named: Named, session: bool, said: Said<'_>) -> Door {
    match said {
        Said::Request { envelope: true, .. } => Door::Modern,
        _ if named.is_modern() => Door::Modern,
        Said::Request { method: "server/discover", .. } => Door::Modern,
        // What revision a handshake ends in is settled in its body.
        Said::Request { method: "initialize", .. } => Door::Handshake,
        _ => match named {
            Named::Unknown => Door::UnknownVersion,
            _ if session => Door::Session,
            Named::Known(version) => Door::Alone(version),
            // 2025-11-25, "Protocol Version Header": without one, assume the first that had POST.
            Named::Nothing => Door::Alone(ProtocolVersion::V2025_03_26),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolVersion::{V2025_03_26, V2025_11_25, V2026_07_28};

    #[test]
    fn every_message_has_one_door() {
        let named = |text: &str| Named::of((!text.is_empty()).then_some(text.as_bytes()));
        let request = |method, envelope| Said::Request { method, envelope };
        // Header, session header, message, and who serves it.
        let table = [
            ("2026-07-28", false, request("tools/call", true), Door::Modern),
            ("2026-07-28", true, request("tools/call", true), Door::Modern),
            ("2026-07-28", false, request("tools/call", false), Door::Modern),
            ("2026-07-28", false, request("initialize", true), Door::Modern),
            ("2026-07-28", false, request("initialize", false), Door::Modern),
            ("2026-07-28", true, Said::Other, Door::Modern),
            ("2025-11-25", true, request("tools/call", true), Door::Modern),
            ("", false, request("tools/call", true), Door::Modern),
            ("", false, request("initialize", true), Door::Modern),
            ("", false, request("server/discover", false), Door::Modern),
            ("2025-11-25", true, request("server/discover", false), Door::Modern),
            ("v999.0.0", false, request("tools/call", true), Door::Modern),
            ("v999.0.0", false, request("server/discover", false), Door::Modern),
            ("", false, request("initialize", false), Door::Handshake),
            ("2025-11-25", false, request("initialize", false), Door::Handshake),
            ("2025-11-25", true, request("initialize", false), Door::Handshake),
            ("v999.0.0", false, request("initialize", false), Door::Handshake),
            ("2025-11-25", true, request("tools/call", false), Door::Session),
            ("2025-11-25", true, Said::Other, Door::Session),
            ("", true, request("ping", false), Door::Session),
            ("", true, Said::Other, Door::Session),
            ("2025-11-25", false, request("tools/call", false), Door::Alone(V2025_11_25)),
            ("2025-11-25", false, Said::Other, Door::Alone(V2025_11_25)),
            ("", false, request("tools/call", false), Door::Alone(V2025_03_26)),
            ("", false, Said::Other, Door::Alone(V2025_03_26)),
            ("v999.0.0", false, request("tools/call", false), Door::UnknownVersion),
            ("v999.0.0", true, request("tools/call", false), Door::UnknownVersion),
            ("v999.0.0", true, Said::Other, Door::UnknownVersion),
            (" 2026-07-28", false, Said::Other, Door::UnknownVersion),
        ];
        for (version, session, said, door) in table {
            let found = classify(named(version), session, said);
            assert_eq!(found, door, "{version:?} {session} {said:?}");
        }
        assert_eq!(Named::of(Some(b"2026-07-28")), Named::Known(V2026_07_28));
        assert_eq!(Named::of(Some(b"\xff")), Named::Unknown);
    }
}
