//! Our decisions about the Tasks extension, as tables beside those of the [`super::overlay`].

use super::overlay::Variant;

/// The id under which the extension stands in capabilities.
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The extension's own definitions; all others it shares with the protocol.
pub(crate) const DEFINITIONS: &[&str] = &[
    "Task",
    "CreateTaskResult",
    "GetTaskRequestParams",
    "UpdateTaskRequestParams",
    "UpdateTaskResult",
    "CancelTaskRequestParams",
    "CancelTaskResult",
    "WorkingTask",
    "InputRequiredTask",
    "CompletedTask",
    "FailedTask",
    "CancelledTask",
    "TaskSubscriptionNotifications",
    "TaskSubscriptionAcknowledgedNotifications",
    "TaskStatus",
];

/// Messages whose method becomes a constant: the definition, the constant, what it is for.
pub(crate) const METHODS: &[(&str, &str, &str)] = &[
    ("GetTaskRequest", "GET", "asks how a task stands."),
    ("UpdateTaskRequest", "UPDATE", "gives a task the input that it asked for."),
    ("CancelTaskRequest", "CANCEL", "asks that a task stop."),
    ("TaskStatusNotification", "STATUS", "tells how a task stands now."),
];

/// See [`super::overlay::TYPES`].
pub(crate) const TYPES: &[(&str, &str)] =
    &[("&Error", "ErrorObject"), ("&InputResponses", "Members"), ("integer | null", "Option<i64>")];

/// See [`super::overlay::ENUMS`].
pub(crate) const ENUMS: &[(&str, &str)] =
    &[("Task.status", "TaskStatus"), ("CreateTaskResult.status", "TaskStatus")];

/// See [`super::overlay::UNIONS`].
pub(crate) const UNIONS: &[(&str, &str, &[Variant])] = &[(
    "DetailedTask",
    "status",
    &[
        ("Working", "WorkingTask", &["working"], &[]),
        ("InputRequired", "InputRequiredTask", &["input_required"], &[]),
        ("Completed", "CompletedTask", &["completed"], &[]),
        ("Failed", "FailedTask", &["failed"], &[]),
        ("Cancelled", "CancelledTask", &["cancelled"], &[]),
    ],
)];

/// Definitions that are another one with members of the frame around it: those stand among the
/// unknown members of the other.
pub(crate) const ALIASES: &[(&str, &str)] =
    &[("GetTaskResult", "DetailedTask"), ("TaskStatusNotificationParams", "DetailedTask")];

/// See [`super::docs::DOCS`].
pub(crate) const DOCS: &[(&str, &str)] = &[
    ("CancelTaskRequestParams", "Which task is no longer wanted."),
    ("CancelTaskResult", "The server will try to stop the task."),
    ("CancelledTask", "A task that was stopped."),
    ("CompletedTask", "A task that is done, with its result."),
    ("CreateTaskResult", "Instead of a result: the task that works on it."),
    ("DetailedTask", "A task with what its status brings along."),
    ("FailedTask", "A task that ended with an error of the protocol."),
    ("GetTaskRequestParams", "Which task is asked for."),
    ("GetTaskResult", "How a task stands; `resultType` and `_meta` are among its unknown members."),
    ("InputRequiredTask", "A task that waits for input."),
    ("Task", "A piece of work that outlives its request."),
    ("TaskStatus", "How a task stands."),
    (
        "TaskStatusNotificationParams",
        "How a task stands now; `_meta` is among its unknown members.",
    ),
    ("TaskSubscriptionAcknowledgedNotifications", "Of which tasks a subscription will tell."),
    ("TaskSubscriptionNotifications", "Of which tasks a subscription should tell."),
    ("UpdateTaskRequestParams", "The input that a task asked for."),
    ("UpdateTaskResult", "The server took the input."),
    ("WorkingTask", "A task that is being worked on."),
];

/// See [`super::docs::MEMBER_DOCS`].
pub(crate) const MEMBER_DOCS: &[(&str, &str)] = &[
    ("*.createdAt", "When it began (RFC 3339)."),
    ("*.inputRequests", "What it needs, by the key under which the answer goes back."),
    ("*.lastUpdatedAt", "When it last changed (RFC 3339)."),
    ("*.pollIntervalMs", "How long to wait before asking again, in milliseconds."),
    ("Task.status", "How it stands."),
    (
        "Task.ttlMs",
        "How long the server keeps it, in milliseconds; `None` for as long as it lives.",
    ),
    ("CreateTaskResult.status", "How it stands."),
    ("*.statusMessage", "How it stands, for people."),
    ("*.taskId", "Its name; whoever knows it can ask for the task."),
    ("*.taskIds", "The names of the tasks."),
    ("CompletedTask.result", "What the request would have been answered."),
    ("FailedTask.error", "What went wrong."),
    ("UpdateTaskRequestParams.inputResponses", "The answers, by the keys of the questions."),
];
