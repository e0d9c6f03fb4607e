//! The text in which a result came, for gateways that hand it on.

use std::sync::{Arc, Mutex, PoisonError};

use mcp_types::RawText;
use mcp_types::version::Era;

/// A place for the text in which the server behind a gateway answered an exchange.
///
/// It is in the extensions of each exchange of a gateway's client. The connection to the server
/// behind leaves the text of its answer there; if the layers between say with
/// [`unchanged`](Self::unchanged) that the outcome is what came, and both sides speak the same kind of
/// revision, the answer leaves as that text. Nothing happens unless they say so.
#[derive(Debug)]
pub struct Verbatim {
    method: String,
    era: Era,
    came: Mutex<Came>,
}

#[derive(Debug, Default)]
struct Came {
    text: Option<RawText>,
    unchanged: bool,
}

impl Verbatim {
    pub(super) fn of(method: &str, era: Era) -> Arc<Self> {
        Arc::new(Self { method: method.to_owned(), era, came: Mutex::default() })
    }

    /// Says that the outcome of the exchange is what the server behind has answered, in all members.
    pub fn unchanged(&self) {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).unchanged = true;
    }

    /// Says that the outcome is another one by now, whatever was said before.
    pub fn changed(&self) {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).text = None;
    }

    /// Keeps the text of an answer to `method` that came in `era`.
    pub(crate) fn keep(&self, method: &str, era: Era, text: &RawText) {
        if self.method == method && self.era == era {
            let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
            came.text = Some(text.clone());
        }
    }

    /// The text, if it may stand for the outcome.
    pub(super) fn take(&self) -> Option<RawText> {
        let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        came.text.take().filter(|_| came.unchanged)
    }
}
