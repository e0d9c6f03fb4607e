//! Tasks of a group: their ids name the server, as tools do.

use mcp_types::tasks::{CANCEL, GET, STATUS, UPDATE};
use mcp_types::{ErrorObject, Members, RawText, ServerNotification, ServerResult};

use super::{Shared, names};

const ID: &str = "taskId";

impl Shared {
    /// Puts the server's own id of a task in place of the group's; gives the server.
    pub(super) fn route_task(
        &self,
        method: &str,
        params: &mut Option<RawText>,
    ) -> Result<usize, ErrorObject> {
        if ![GET, UPDATE, CANCEL].contains(&method) {
            return Err(ErrorObject::method_not_found(method));
        }
        let bad = |reason: String| ErrorObject::invalid_params(format!("`{ID}`: {reason}"));
        let given = params.as_ref().and_then(|params| params.parse::<Members>().ok());
        let mut members = given.ok_or_else(|| bad("expected the id of a task".into()))?;
        let id = members.get(ID).and_then(|id| id.parse::<String>().ok());
        let mut id = id.ok_or_else(|| bad("expected the id of a task".into()))?;
        let at = self
            .rename("task", &mut id)
            .map_err(|_| bad("there is no such task, it may have expired".into()))?;
        let text = |error: serde_json::Error| ErrorObject::internal(error.to_string());
        members.insert(ID, RawText::of(&id).map_err(text)?);
        *params = Some(RawText::of(&members).map_err(text)?);
        Ok(at)
    }
}

/// A result that names a task, with the group's id of it.
pub(super) fn spaced_result(alias: &str, result: &mut ServerResult) {
    if let ServerResult::Extension(text) = result
        && let Some(spaced) = spaced(alias, text)
    {
        *text = spaced;
    }
}

/// A task's notification, with the group's id of the task.
pub(super) fn spaced_notification(alias: &str, told: &mut ServerNotification) {
    if let ServerNotification::Extension { method, params: Some(params) } = told
        && method == STATUS
        && let Some(spaced) = spaced(alias, params)
    {
        *params = spaced;
    }
}

fn spaced(alias: &str, text: &RawText) -> Option<RawText> {
    let mut members: Members = text.parse().ok()?;
    let id: String = members.get(ID)?.parse().ok()?;
    members.insert(ID, RawText::of(&names::spaced(alias, &id)).ok()?);
    RawText::of(&members).ok()
}
