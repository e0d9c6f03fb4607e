//! What one round of a call leaves for the next, as it stands in `requestState`.

use mcp_types::{Members, RawText};

/// The content of a request state.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Answers of the client. They come back as they went, and are no more trusted than its
    /// answers of this round, so they need no seal.
    pub(super) answers: Members,
    /// Results of steps that must not run twice.
    pub(super) done: Members,
    /// The states of calls of other tools that wait for answers themselves.
    pub(super) calls: Members,
}

const ANSWERS: &str = "answers";
const DONE: &str = "done";
const CALLS: &str = "calls";

impl Kept {
    /// Reads a state. What is no state of ours counts as none; results are read only if it is
    /// certain that nobody but this server wrote them.
    pub(super) fn read(state: Option<&str>, certain: bool) -> Self {
        let parts = state.and_then(|text| RawText::new(text).ok()?.parse::<Members>().ok());
        let part = |name: &str| parts.as_ref()?.get(name)?.parse::<Members>().ok();
        Self {
            answers: part(ANSWERS).unwrap_or_default(),
            done: part(DONE).filter(|_| certain).unwrap_or_default(),
            calls: part(CALLS).unwrap_or_default(),
        }
    }

    /// The state for the next round; `None` when there is nothing to keep.
    pub(super) fn next(
        &self,
        answers: Option<&Members>,
        done: Members,
        calls: Members,
    ) -> Option<String> {
        let merged = |earlier: &Members, now: Option<&Members>| {
            let mut all = earlier.clone();
            for (key, value) in now.into_iter().flat_map(Members::iter) {
                all.insert(key.to_owned(), value.clone());
            }
            (!all.is_empty()).then_some(all)
        };
        let mut state = Members::new();
        for (name, part) in [
            (ANSWERS, merged(&self.answers, answers)),
            (DONE, merged(&self.done, Some(&done))),
            (CALLS, Some(calls).filter(|calls| !calls.is_empty())),
        ] {
            if let Some(part) = part.and_then(|part| RawText::of(&part).ok()) {
                state.insert(name, part);
            }
        }
        if state.is_empty() {
            return None;
        }
        RawText::of(&state).ok().map(|text| text.get().to_owned())
    }
}
