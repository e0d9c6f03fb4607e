//! Our decisions about the generated model, as tables. An entry that matches nothing is an error.

/// Definitions that are not generated, and why: envelopes of JSON-RPC and what a codec does with
/// bookkeeping, free JSON, or what stands here under another name.
pub(crate) const SKIPPED: &[&str] = &[
    "BaseMetadata",
    "CacheableResult",
    "ClientNotification",
    "ClientRequest",
    "ClientResult",
    "CreateMessageRequest",
    "Cursor",
    "ElicitRequest",
    "EmptyResult",
    "Error",
    "Icons",
    "InputRequest",
    "InputRequests",
    "InputResponse",
    "InputResponseRequestParams",
    "InputResponses",
    "JSONArray",
    "JSONObject",
    "JSONValue",
    "ListRootsRequest",
    "MetaObject",
    "EnumSchema",
    "MultiSelectEnumSchema",
    "SingleSelectEnumSchema",
    "Notification",
    "NotificationMetaObject",
    "ProgressToken",
    "Request",
    "RequestId",
    "RequestMetaObject",
    "ResourceContents",
    "ResourceRequestParams",
    "ResultMetaObject",
    "ResultType",
    "ServerNotification",
    "ServerResult",
    "SubscriptionsListenResultMetaObject",
];

/// Definitions that have another name here.
pub(crate) const RENAMED: &[(&str, &str)] = &[("Result", "EmptyResult")];

/// What only the revisions with a handshake have, and a server or client of today still needs.
pub(crate) const LEGACY: &[&str] = &[
    "InitializeRequestParams",
    "InitializeResult",
    "SetLevelRequestParams",
    "SubscribeRequestParams",
    "UnsubscribeRequestParams",
];

/// Members of request parameters that are lifted into the context before their type is read.
pub(crate) const LIFTED: &[&str] = &["_meta", "inputResponses", "requestState"];

/// Request parameters of the stateless era, from which those are lifted.
pub(crate) const REQUESTS: &[&str] = &[
    "CallToolRequestParams",
    "CompleteRequestParams",
    "GetPromptRequestParams",
    "PaginatedRequestParams",
    "ReadResourceRequestParams",
    "RequestParams",
    "SubscriptionsListenRequestParams",
];

/// Members that the codec stamps: read and dropped.
pub(crate) const STAMPED: &[&str] = &["resultType"];

/// Members that the wire requires and the codec adds, so that an author may leave them out.
pub(crate) const DEFAULTED: &[&str] = &["ttlMs", "cacheScope"];

/// The type of a member where its kind does not say it: `Owner.member`, or a kind.
pub(crate) const TYPES: &[(&str, &str)] = &[
    ("&RequestId", "RequestId"),
    ("&ProgressToken", "RequestId"),
    ("&InputRequests", "BTreeMap<String, InputRequest>"),
    ("Tool.inputSchema", "JsonSchema"),
    ("Tool.outputSchema", "JsonSchema"),
    ("ListToolsResult.tools", "Items<Tool>"),
    ("ListPromptsResult.prompts", "Items<Prompt>"),
    ("ListResourcesResult.resources", "Items<Resource>"),
    ("ListResourceTemplatesResult.resourceTemplates", "Items<ResourceTemplate>"),
    ("SamplingMessage.content", "OneOrMany<SamplingMessageContentBlock>"),
    ("CreateMessageResult.content", "OneOrMany<SamplingMessageContentBlock>"),
    ("CompleteRequestParams.ref", "CompleteReference"),
    ("ReadResourceResult.contents", "Vec<ResourceContents>"),
    ("EmbeddedResource.resource", "ResourceContents"),
];

/// Names of enumerations that stand inside an object: `Owner.member`, name.
pub(crate) const ENUMS: &[(&str, &str)] = &[
    ("*.cacheScope", "CacheScope"),
    ("Icon.theme", "IconTheme"),
    ("ElicitResult.action", "ElicitAction"),
    ("CreateMessageRequestParams.includeContext", "IncludeContext"),
    ("ToolChoice.mode", "ToolChoiceMode"),
    ("StringSchema.format", "StringFormat"),
    ("NumberSchema.type", "NumberSchemaType"),
];

/// Enumerations that refuse an unknown value, in the order of the specification.
pub(crate) const CLOSED: &[(&str, &[&str])] = &[
    (
        "LoggingLevel",
        &["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"],
    ),
    ("Role", &["user", "assistant"]),
    ("ElicitAction", &["accept", "decline", "cancel"]),
];

/// One variant of a union: name, type, values of the tag (`""` for an absent one), members that
/// must be there.
pub(crate) type Variant =
    (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

/// Unions: name, tag, variants in the order in which they are tried.
pub(crate) const UNIONS: &[(&str, &str, &[Variant])] = &[
    (
        "ContentBlock",
        "type",
        &[
            ("Text", "TextContent", &["text"], &[]),
            ("Image", "ImageContent", &["image"], &[]),
            ("Audio", "AudioContent", &["audio"], &[]),
            ("ResourceLink", "ResourceLink", &["resource_link"], &[]),
            ("Resource", "EmbeddedResource", &["resource"], &[]),
        ],
    ),
    (
        "SamplingMessageContentBlock",
        "type",
        &[
            ("Text", "TextContent", &["text"], &[]),
            ("Image", "ImageContent", &["image"], &[]),
            ("Audio", "AudioContent", &["audio"], &[]),
            ("ToolUse", "ToolUseContent", &["tool_use"], &[]),
            ("ToolResult", "ToolResultContent", &["tool_result"], &[]),
        ],
    ),
    (
        "ResourceContents",
        "",
        &[
            ("Text", "TextResourceContents", &[], &["text"]),
            ("Blob", "BlobResourceContents", &[], &["blob"]),
        ],
    ),
    (
        "CompleteReference",
        "type",
        &[
            ("Prompt", "PromptReference", &["ref/prompt"], &[]),
            ("Resource", "ResourceTemplateReference", &["ref/resource"], &[]),
        ],
    ),
    (
        "ElicitRequestParams",
        "mode",
        &[
            ("Form", "ElicitRequestFormParams", &["form", ""], &[]),
            ("Url", "ElicitRequestURLParams", &["url"], &[]),
        ],
    ),
    (
        "PrimitiveSchemaDefinition",
        "type",
        &[
            ("Boolean", "BooleanSchema", &["boolean"], &[]),
            ("Number", "NumberSchema", &["number", "integer"], &[]),
            ("TitledSingleSelect", "TitledSingleSelectEnumSchema", &["string"], &["oneOf"]),
            ("LegacyTitled", "LegacyTitledEnumSchema", &["string"], &["enum", "enumNames"]),
            ("UntitledSingleSelect", "UntitledSingleSelectEnumSchema", &["string"], &["enum"]),
            ("String", "StringSchema", &["string"], &[]),
            ("TitledMultiSelect", "TitledMultiSelectEnumSchema", &["array"], &[]),
            ("UntitledMultiSelect", "UntitledMultiSelectEnumSchema", &["array"], &[]),
        ],
    ),
];

/// Names of variants in the tables of methods, where cutting `Request` or `Notification` off the
/// message's name is not enough.
pub(crate) const VARIANTS: &[(&str, &str)] = &[("LoggingMessageNotification", "Message")];

/// Parameters and results that are boxed in a table of methods, because they are much larger than
/// the rest: each call moves the whole enum several times.
pub(crate) const BOXED: &[&str] =
    &["CompleteRequestParams", "CreateMessageRequestParams", "DiscoverResult"];

/// What a type is, in a sentence of ours.
pub(crate) const DOCS: &[(&str, &str)] = &[
    (
        "Annotations",
        "Hints for the client about a piece of content: for whom, how important, how fresh.",
    ),
    ("AudioContent", "A sound, in base64."),
    ("BlobResourceContents", "The contents of a binary resource, in base64."),
    ("CallToolRequestParams", "Which tool to call, with what."),
    ("CallToolResult", "What a tool gave back, or how it failed."),
    ("CancelledNotificationParams", "Which request is no longer wanted, and why."),
    ("ClientCapabilities", "What a client can do for a server."),
    ("CompleteRequestParams", "Of which argument completions are wanted."),
    ("CompleteResult", "Completions of an argument."),
    ("ContentBlock", "One piece of content of a prompt or of a tool's result."),
    ("CreateMessageRequestParams", "What a server asks the client's model."),
    ("CreateMessageResult", "What the client's model said."),
    ("DiscoverResult", "What a server is, and what it can do."),
    ("ElicitRequestFormParams", "A form that the server wants the user to fill in."),
    ("ElicitRequestParams", "What the server wants to ask the user."),
    ("ElicitRequestURLParams", "A page that the server wants the user to open."),
    ("ElicitResult", "What the user did with a question."),
    ("EmbeddedResource", "A resource's contents inside a message."),
    ("EmptyResult", "A result that says nothing but that it is one."),
    ("GetPromptRequestParams", "Which prompt is wanted, with which arguments."),
    ("GetPromptResult", "A prompt's messages."),
    ("Icon", "A picture that a client may show."),
    ("ImageContent", "An image, in base64."),
    ("Implementation", "Name and version of a program that speaks the protocol."),
    ("InputRequiredResult", "What the server needs before it can answer."),
    ("ListToolsResult", "A page of tools."),
    ("LoggingLevel", "How grave a log message is (RFC 5424), gravest last."),
    ("LoggingMessageNotificationParams", "A log message of a server."),
    ("PaginatedRequestParams", "Which page of a listing is wanted."),
    ("ProgressNotificationParams", "How far a request has come."),
    ("Prompt", "A prompt that a server offers."),
    ("ReadResourceResult", "The contents of a resource."),
    ("Resource", "Something that a server can read out."),
    ("ResourceTemplate", "A family of resources, named by a URI template (RFC 6570)."),
    ("Role", "Who speaks in a conversation."),
    ("Root", "A place that the client lets the server work in."),
    ("ServerCapabilities", "What a server can do."),
    ("SubscriptionFilter", "Which changes a client wants to hear of."),
    ("TextContent", "A piece of text."),
    ("TextResourceContents", "The contents of a text resource."),
    ("Tool", "A tool's definition: what a model is told of it."),
    ("ToolAnnotations", "Hints about what a tool does. They are claims of whoever wrote them."),
    ("ResourceLink", "A resource by its URI, for the client to read when it wants to."),
    ("InitializeRequestParams", "What a client says first, in the revisions with a handshake."),
    ("InitializeResult", "What a server answers to it."),
    ("SetLevelRequestParams", "From which level on the client wants log messages."),
    ("SubscribeRequestParams", "Of which resource the client wants to hear."),
    ("UnsubscribeRequestParams", "Of which resource the client no longer wants to hear."),
];

/// What a member is, in a sentence of ours: `Owner.member`, or `*.member` for all owners.
pub(crate) const MEMBER_DOCS: &[(&str, &str)] = &[
    ("*._meta", "Metadata under prefixed keys."),
    ("*.annotations", "Hints for the client."),
    ("*.arguments", "Arguments, by name."),
    ("*.cacheScope", "Who may keep the result; `None` lets the edge say nobody but the caller."),
    ("*.content", "The content."),
    ("*.cursor", "Where the page begins, as the page before said; absent for the first."),
    ("*.data", "The bytes, in base64."),
    ("*.description", "What it is for, for a model or a person to read."),
    ("*.icons", "Pictures that a client may show."),
    ("*.instructions", "How to use the server, for the model."),
    ("*.message", "What to tell the person."),
    ("*.mimeType", "The media type."),
    ("*.name", "The name by which it is asked for."),
    ("*.nextCursor", "Where the next page begins; absent on the last."),
    ("*.title", "The name to show to a person."),
    ("*.ttlMs", "For how long the result stays fresh, in milliseconds."),
    ("*.uri", "Its URI."),
    ("*.version", "Its version."),
    ("CallToolResult.content", "What the model reads."),
    ("CallToolResult.isError", "Whether the tool failed; then the content says how."),
    ("CallToolResult.structuredContent", "The result as data, for programs."),
    ("Tool.inputSchema", "What arguments the tool takes."),
    ("Tool.outputSchema", "What its structured content looks like."),
    ("Tool.annotations", "Hints about what the tool does."),
    ("ToolAnnotations.readOnlyHint", "Whether the tool changes nothing."),
    ("ToolAnnotations.destructiveHint", "Whether it may destroy what it changes."),
    (
        "ToolAnnotations.idempotentHint",
        "Whether calling it twice does no more than calling it once.",
    ),
    ("ToolAnnotations.openWorldHint", "Whether it reaches beyond its own world."),
    ("ProgressNotificationParams.progress", "How far it is; grows with each report."),
    ("ProgressNotificationParams.total", "How far there is to go, if known."),
    ("ProgressNotificationParams.progressToken", "The token that came with the request."),
    ("ElicitRequestFormParams.mode", "`form`, or absent, which means the same to every revision."),
    ("Implementation.websiteUrl", "Where to read about it."),
];
