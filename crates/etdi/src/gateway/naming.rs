//! Whose words they are: what a server behind a gateway asks its user names the server.

use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::{
    Closed, ElicitRequestParams, ErrorObject, ExchangeId, InputRequest, InputRequiredResult,
    Members, NotificationSink, Notifier, Origin, RawText, ServerNotification, tasks,
};

/// Where a task says what it asks.
const ASKED: &str = "inputRequests";

/// Where a form of a kind that this version does not know has its words.
const MESSAGE: &str = "message";

/// Says in a question to the user which server asks; whether it did.
pub(super) fn name_question(alias: &str, asked: &mut InputRequest) -> bool {
    let named = |message: &str| format!("`{alias}` asks: {message}");
    match asked {
        InputRequest::Elicit(ElicitRequestParams::Form(form)) => {
            form.message = named(&form.message)
        }
        InputRequest::Elicit(ElicitRequestParams::Url(page)) => page.message = named(&page.message),
        // A client that knows the kind no better may take it for a form.
        InputRequest::Elicit(ElicitRequestParams::Other(text)) => {
            let Ok(mut members) = text.parse::<Members>() else { return false };
            let message = members.get(MESSAGE).and_then(|message| message.parse::<String>().ok());
            let message = message.and_then(|message| RawText::of(&named(&message)).ok());
            let Some(message) = message else { return false };
            members.insert(MESSAGE, message);
            let Ok(whole) = RawText::of(&members) else { return false };
            *text = whole;
        }
        _ => return false,
    }
    true
}

/// The same for all that an outcome asks.
pub(super) fn name_questions(alias: &str, asked: &mut InputRequiredResult) -> bool {
    let mut named = false;
    for question in asked.input_requests.iter_mut().flat_map(|all| all.values_mut()) {
        named |= name_question(alias, question);
    }
    named
}

/// The same for what a task asks. A question that cannot be read is left out: nobody could say whose it
/// is, and some client might read it.
///
/// # Errors
///
/// When the task cannot be read.
pub(super) fn name_task(alias: &str, task: &mut RawText) -> Result<(), ErrorObject> {
    let unread = |_| ErrorObject::local(Origin::Protocol, "the server's task cannot be read");
    let mut members = task.parse::<Members>().map_err(unread)?;
    let Some(asked) = members.get(ASKED) else { return Ok(()) };
    let mut named = Members::new();
    for (key, question) in asked.parse::<Members>().unwrap_or_default().iter() {
        let Ok(mut question) = question.parse::<InputRequest>() else { continue };
        name_question(alias, &mut question);
        let unwritten = |error: serde_json::Error| ErrorObject::internal(error.to_string());
        named.insert(key, RawText::of(&question).map_err(unwritten)?);
    }
    let unwritten = |error: serde_json::Error| ErrorObject::internal(error.to_string());
    members.insert(ASKED, RawText::of(&named).map_err(unwritten)?);
    *task = RawText::of(&members).map_err(unwritten)?;
    Ok(())
}

/// The same for what is told outside of any exchange; whether it may be told. Of a resource those hear
/// who subscribed, from the server that has it.
pub(super) fn name_aside(alias: &str, told: &mut ServerNotification) -> bool {
    !matches!(told, ServerNotification::ResourceUpdated(_)) && name_told(alias, told)
}

/// The same for what is told of a task; whether it may be told.
fn name_told(alias: &str, told: &mut ServerNotification) -> bool {
    match told {
        ServerNotification::Extension { method, params: Some(task) } if method == tasks::STATUS => {
            name_task(alias, task).is_ok()
        }
        _ => true,
    }
}

/// The same notifier, where what is told of tasks says who asks.
pub(super) fn naming(alias: &str, to: Notifier, exchange: ExchangeId) -> Notifier {
    match to.is_connected() {
        true => Notifier::new(Arc::new(Naming { alias: alias.to_owned(), to }), exchange),
        false => to,
    }
}

struct Naming {
    alias: String,
    to: Notifier,
}

impl NotificationSink for Naming {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if !matches!(notification, Some(ServerNotification::Extension { .. })) {
            return self.to.poll_notify(cx, notification);
        }
        let Some(told) = notification.take() else { return Poll::Ready(Ok(())) };
        let mut named = Some(told.clone());
        if !named.as_mut().is_none_or(|told| name_told(&self.alias, told)) {
            return Poll::Ready(Ok(()));
        }
        let polled = self.to.poll_notify(cx, &mut named);
        if polled.is_pending() {
            // What had no room comes again, and must not be named twice.
            *notification = Some(told);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use mcp_types::{NotificationParams, ResourceUpdatedNotificationParams};

    use super::*;

    #[test]
    fn outside_of_exchanges_nobody_tells_of_resources() {
        let told = |told: ServerNotification| name_aside("one", &mut told.clone());
        let updated = ResourceUpdatedNotificationParams::new("a:b");
        assert!(!told(ServerNotification::ResourceUpdated(updated)));
        assert!(told(ServerNotification::ToolListChanged(NotificationParams::new())));
        let method = tasks::STATUS.to_owned();
        let params = RawText::new(r#"{"taskId":"1"}"#).ok();
        assert!(told(ServerNotification::Extension { method: method.clone(), params }));
        let params = RawText::new("[]").ok();
        assert!(!told(ServerNotification::Extension { method, params }));
    }
}
