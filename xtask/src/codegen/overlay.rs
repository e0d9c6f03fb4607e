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
    "PaginatedResult",
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
