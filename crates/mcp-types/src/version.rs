//! Protocol revisions and the two eras.

use std::fmt;

/// A published revision of the protocol.
///
/// Ordered by date. Above the wire nobody asks for it: ask the context for a *capability*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ProtocolVersion {
    /// The first published revision.
    V2024_11_05,
    /// Streamable HTTP, annotations, batches.
    V2025_03_26,
    /// Structured output, elicitation; no batches.
    V2025_06_18,
    /// Icons, URL elicitation; the last revision with a handshake.
    V2025_11_25,
    /// Stateless: every request carries its envelope.
    V2026_07_28,
}

/// How a revision works: with a handshake, or with an envelope on each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// Stateful: `initialize`, then requests that rely on it (through 2025-11-25).
    Legacy,
    /// Stateless: each request stands for itself (from 2026-07-28).
    Modern,
}

impl ProtocolVersion {
    /// All revisions, oldest first.
    pub const ALL: &[Self] = &[
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];
    /// The newest revision with a handshake.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;
    /// The newest revision.
    pub const NEWEST: Self = Self::V2026_07_28;

    /// The revision as it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision that is written so, if we know it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|version| version.as_str() == text)
    }

    /// The era to which the revision belongs; the only place that says so.
    pub const fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => {
                Era::Legacy
            }
            Self::V2026_07_28 => Era::Modern,
        }
    }

    /// The revisions of one era, newest first.
    pub fn of_era(era: Era) -> impl Iterator<Item = Self> {
        Self::ALL.iter().rev().copied().filter(move |version| version.era() == era)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
