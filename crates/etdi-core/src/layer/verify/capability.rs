//! What the server says of ETDI in its capabilities, and what follows from it.
//!
//! None of it is signed: it says what is worth trying, and nothing rests on it that a signature
//! does not show as well.

use std::sync::Arc;

use mcp_types::{DiscoverResult, ErrorObject, ExchangeService, RequestContext, RequestParams};
use serde::Deserialize;

use super::{VerifyLayer, Verifying, refused};
use crate::event::{Event, EventKind, Severity};
use crate::layer::on_behalf;
use crate::wire::{self, Capability};

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerCapability {
    /// It was not asked yet.
    #[default]
    Unasked,
    /// Nothing of ETDI, or nothing that can be read.
    None,
    /// It speaks another format of ETDI, which counts as none.
    OtherFormat(u32),
    /// It speaks ours.
    Known(Arc<Capability>),
}

/// As much as every format has.
#[derive(Deserialize)]
struct Format {
    v: u32,
}

impl PeerCapability {
    fn of(result: &DiscoverResult) -> Self {
        let extensions = result.capabilities.extensions.as_ref();
        let Some(text) = extensions.and_then(|extensions| extensions.get(wire::EXTENSION)) else {
            return Self::None;
        };
        match text.parse::<Format>() {
            Ok(Format { v }) if v != wire::FORMAT => Self::OtherFormat(v),
            Ok(_) => match text.parse::<Capability>() {
                Ok(capability) => Self::Known(Arc::new(capability)),
                Err(_) => Self::None,
            },
            Err(_) => Self::None,
        }
    }

    /// What it says, where it is of our format.
    pub fn known(&self) -> Option<&Capability> {
        match self {
            Self::Known(capability) => Some(capability),
            _ => None,
        }
    }
}

impl VerifyLayer {
    /// Refuses a server that does not say that it speaks ETDI in our format, before anything of it is
    /// listed. Without this it is one whose tools nobody vouches for.
    #[must_use]
    pub fn require_extension(self, required: bool) -> Self {
        self.with(|verifying| verifying.requires = required)
    }

    /// What the server says of ETDI, unsigned.
    pub fn capability(&self) -> PeerCapability {
        self.0.state().capability.clone()
    }
}

impl Verifying {
    /// Keeps what a server says. Says whether the rest of its answer is in a format that is known.
    pub(super) fn keep_capability(&self, result: &DiscoverResult) -> bool {
        let said = PeerCapability::of(result);
        let before = {
            let mut state = self.state();
            let before = state.capability.clone();
            if let Some(Capability { profiles, legacy, call, .. }) = said.known() {
                let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
                state.gives_receipts = has(profiles, wire::RESULT_PROFILE);
                state.wants_signed = call.as_deref() == Some(wire::ALL_CALLS);
                state.takes_older = has(legacy, wire::FORK_PROFILE);
            }
            // What was said once on this connection is not unsaid by leaving it out.
            if before.known().is_none() || said.known().is_some() {
                state.capability = said.clone();
            }
            before
        };
        let PeerCapability::OtherFormat(v) = said else { return true };
        if before != said {
            let event = Event::new(EventKind::Error).at(&self.server).severity(Severity::Medium);
            let detail = format!(
                "the server speaks format {v} of ETDI, {} is known here, so it counts as one without",
                wire::FORMAT
            );
            // It is taken for less than it says, noted or not.
            _ = self.note(&event.detail(&detail), (self.clock)());
        }
        false
    }

    /// Refuses a server without ETDI where the host requires it.
    pub(super) fn required(&self) -> Result<(), ErrorObject> {
        let said = self.state().capability.clone();
        let why = match said {
            _ if !self.requires => return Ok(()),
            PeerCapability::Known(_) => return Ok(()),
            PeerCapability::OtherFormat(v) => {
                format!("the server speaks format {v} of ETDI, and {} is required", wire::FORMAT)
            }
            _ => "the server does not speak ETDI, which is required here".to_owned(),
        };
        Err(refused(
            "EXTENSION_REQUIRED",
            &format!("{why}: use another server, or do not require it"),
        ))
    }

    /// The same before a listing, for a server that nobody asked what it speaks.
    pub(super) async fn required_of<S: ExchangeService>(
        &self,
        service: &mut S,
        context: &RequestContext,
    ) -> Result<(), ErrorObject> {
        if !self.requires {
            return Ok(());
        }
        if self.state().capability == PeerCapability::Unasked {
            let request = mcp_types::ClientRequest::Discover(RequestParams::new());
            self.discover(service, on_behalf(context, request)).await?;
        }
        self.required()
    }
}
