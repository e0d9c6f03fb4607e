//! The methods of the protocol.
use super::model::*;
use crate::object::{methods, results};

methods! {
    /// What a client asks a server.
    lifting ClientRequest {
        /// `server/discover`.
        Discover(RequestParams) = "server/discover",
        /// `tools/list`.
        ListTools(PaginatedRequestParams) = "tools/list",
        /// `tools/call`.
        CallTool(CallToolRequestParams) = "tools/call",
        /// `resources/list`.
        ListResources(PaginatedRequestParams) = "resources/list",
        /// `resources/templates/list`.
        ListResourceTemplates(PaginatedRequestParams) = "resources/templates/list",
        /// `resources/read`.
        ReadResource(ReadResourceRequestParams) = "resources/read",
        /// `prompts/list`.
        ListPrompts(PaginatedRequestParams) = "prompts/list",
        /// `prompts/get`.
        GetPrompt(GetPromptRequestParams) = "prompts/get",
        /// `completion/complete`.
        Complete(CompleteRequestParams) = "completion/complete",
        /// `subscriptions/listen`.
        SubscriptionsListen(SubscriptionsListenRequestParams) = "subscriptions/listen",
    }
}
results! {
    /// Results.
    ServerResult {
        /// `server/discover`.
        Discover(DiscoverResult) = "server/discover",
        /// x
        ListTools(ListToolsResult) = "tools/list",
        /// x
        CallTool(CallToolResult) = "tools/call",
        /// x
        ListResources(ListResourcesResult) = "resources/list",
        /// x
        ListResourceTemplates(ListResourceTemplatesResult) = "resources/templates/list",
        /// x
        ReadResource(ReadResourceResult) = "resources/read",
        /// x
        ListPrompts(ListPromptsResult) = "prompts/list",
        /// x
        GetPrompt(GetPromptResult) = "prompts/get",
        /// x
        Complete(CompleteResult) = "completion/complete",
        /// x
        SubscriptionsListen(SubscriptionsListenResult) = "subscriptions/listen",
        /// x
        Empty(EmptyResult) = "ping",
    }
}
methods! {
    /// x
    plain ServerNotification {
        /// x
        Progress(ProgressNotificationParams) = "notifications/progress",
        /// x
        Message(LoggingMessageNotificationParams) = "notifications/message",
        /// x
        ToolListChanged(NotificationParams) = "notifications/tools/list_changed",
        /// x
        PromptListChanged(NotificationParams) = "notifications/prompts/list_changed",
        /// x
        ResourceListChanged(NotificationParams) = "notifications/resources/list_changed",
        /// x
        ResourceUpdated(ResourceUpdatedNotificationParams) = "notifications/resources/updated",
        /// x
        SubscriptionsAcknowledged(SubscriptionsAcknowledgedNotificationParams) = "notifications/subscriptions/acknowledged",
        /// x
        Cancelled(CancelledNotificationParams) = "notifications/cancelled",
    }
}
methods! {
    /// x
    plain ClientNotification {
        /// x
        Cancelled(CancelledNotificationParams) = "notifications/cancelled",
    }
}
methods! {
    /// x
    plain InputRequest {
        /// x
        CreateMessage(Box<CreateMessageRequestParams>) = "sampling/createMessage",
        /// x
        ListRoots(ListRootsRequestParams) = "roots/list",
        /// x
        Elicit(ElicitRequestParams) = "elicitation/create",
    }
}
methods!(@inline InputRequest);

/// Which eras have a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodInfo {
    /// Its name.
    pub name: &'static str,
    /// Whether the stateless era has it.
    pub modern: bool,
    /// Whether the era with a handshake has it.
    pub legacy: bool,
}

const fn row(name: &'static str, modern: bool, legacy: bool) -> MethodInfo {
    MethodInfo { name, modern, legacy }
}

/// All requests from client to server.
pub static METHODS: &[MethodInfo] = &[
    row("server/discover", true, false),
    row("tools/list", true, true),
    row("tools/call", true, true),
    row("resources/list", true, true),
    row("resources/templates/list", true, true),
    row("resources/read", true, true),
    row("prompts/list", true, true),
    row("prompts/get", true, true),
    row("completion/complete", true, true),
    row("subscriptions/listen", true, false),
];

impl ClientRequest {
    /// What is known about the method; `None` for one of an extension.
    pub fn method_info(&self) -> Option<&'static MethodInfo> {
        let name = self.method();
        METHODS.iter().find(|info| info.name == name)
    }
}
