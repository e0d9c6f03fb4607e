//! The model of the protocol.

#![allow(missing_docs, clippy::all)]

use std::collections::BTreeMap;

use super::methods::InputRequest;
use crate::object::{OneOrMany, object, string_enum, union};
use crate::{Items, JsonSchema, Members, Meta, RawText, RequestId};

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct Annotations {
        /// See the specification.
        opt audience: Vec<Role> = "audience";
        /// See the specification.
        opt last_modified: String = "lastModified";
        /// See the specification.
        optnum priority: f64 = "priority";
    }
    new()
}

object! {
    /// See the specification.
    pub struct AudioContent {
        /// See the specification.
        opt annotations: Annotations = "annotations";
        /// See the specification.
        text data: String = "data";
        /// See the specification.
        text mime_type: String = "mimeType";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    consts { "type" = "audio" }
    new(data: impl Into<String>, mime_type: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct BlobResourceContents {
        /// See the specification.
        text blob: String = "blob";
        /// See the specification.
        opt mime_type: String = "mimeType";
        /// See the specification.
        text uri: String = "uri";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(blob: impl Into<String>, uri: impl Into<String>)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct BooleanSchema {
        /// See the specification.
        opt default: bool = "default";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt title: String = "title";
    }
    consts { "type" = "boolean" }
    new()
}

object! {
    /// See the specification.
    pub struct CallToolRequestParams {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        optobject arguments: RawText = "arguments";
    }
    new(name: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct CallToolResult {
        /// See the specification.
        req content: Vec<ContentBlock> = "content";
        /// See the specification.
        opt is_error: bool = "isError";
        /// See the specification.
        any structured_content: RawText = "structuredContent";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(content: Vec<ContentBlock>)
}

object! {
    /// See the specification.
    pub struct CancelledNotificationParams {
        /// See the specification.
        opt reason: String = "reason";
        /// See the specification.
        req request_id: RequestId = "requestId";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(request_id: RequestId)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ClientCapabilitiesElicitation {
        /// See the specification.
        optobject form: RawText = "form";
        /// See the specification.
        optobject url: RawText = "url";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ClientCapabilitiesSampling {
        /// See the specification.
        optobject context: RawText = "context";
        /// See the specification.
        optobject tools: RawText = "tools";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ClientCapabilities {
        /// See the specification.
        opt elicitation: ClientCapabilitiesElicitation = "elicitation";
        /// See the specification.
        opt experimental: BTreeMap<String, RawText> = "experimental";
        /// See the specification.
        opt extensions: BTreeMap<String, RawText> = "extensions";
        /// See the specification.
        optobject roots: RawText = "roots";
        /// See the specification.
        opt sampling: ClientCapabilitiesSampling = "sampling";
    }
    new()
}

object! {
    /// See the specification.
    pub struct CompleteRequestParamsArgument {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        text value: String = "value";
    }
    new(name: impl Into<String>, value: impl Into<String>)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct CompleteRequestParamsContext {
        /// See the specification.
        opt arguments: BTreeMap<String, String> = "arguments";
    }
    new()
}

object! {
    /// See the specification.
    pub struct CompleteRequestParams {
        /// See the specification.
        req argument: CompleteRequestParamsArgument = "argument";
        /// See the specification.
        opt context: CompleteRequestParamsContext = "context";
        /// See the specification.
        req r#ref: CompleteReference = "ref";
    }
    new(argument: CompleteRequestParamsArgument, r#ref: CompleteReference)
}

object! {
    /// See the specification.
    pub struct CompleteResultCompletion {
        /// See the specification.
        opt has_more: bool = "hasMore";
        /// See the specification.
        opt total: i64 = "total";
        /// See the specification.
        req values: Vec<String> = "values";
    }
    new(values: Vec<String>)
}

object! {
    /// See the specification.
    pub struct CompleteResult {
        /// See the specification.
        req completion: CompleteResultCompletion = "completion";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(completion: CompleteResultCompletion)
}

object! {
    /// See the specification.
    pub struct CreateMessageRequestParams {
        /// See the specification.
        opt include_context: IncludeContext = "includeContext";
        /// See the specification.
        req max_tokens: i64 = "maxTokens";
        /// See the specification.
        req messages: Vec<SamplingMessage> = "messages";
        /// See the specification.
        optobject metadata: RawText = "metadata";
        /// See the specification.
        opt model_preferences: ModelPreferences = "modelPreferences";
        /// See the specification.
        opt stop_sequences: Vec<String> = "stopSequences";
        /// See the specification.
        opt system_prompt: String = "systemPrompt";
        /// See the specification.
        optnum temperature: f64 = "temperature";
        /// See the specification.
        opt tool_choice: ToolChoice = "toolChoice";
        /// See the specification.
        opt tools: Vec<Tool> = "tools";
    }
    new(max_tokens: i64, messages: Vec<SamplingMessage>)
}

object! {
    /// See the specification.
    pub struct CreateMessageResult {
        /// See the specification.
        req content: OneOrMany<SamplingMessageContentBlock> = "content";
        /// See the specification.
        text model: String = "model";
        /// See the specification.
        req role: Role = "role";
        /// See the specification.
        opt stop_reason: String = "stopReason";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(content: OneOrMany<SamplingMessageContentBlock>, model: impl Into<String>, role: Role)
}

object! {
    /// See the specification.
    pub struct DiscoverResult {
        /// See the specification.
        opt cache_scope: CacheScope = "cacheScope";
        /// See the specification.
        req capabilities: ServerCapabilities = "capabilities";
        /// See the specification.
        opt instructions: String = "instructions";
        /// See the specification.
        req supported_versions: Vec<String> = "supportedVersions";
        /// See the specification.
        opt ttl_ms: u64 = "ttlMs";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(capabilities: ServerCapabilities, supported_versions: Vec<String>)
}

object! {
    /// See the specification.
    pub struct ElicitRequestFormParamsRequestedSchema {
        /// See the specification.
        opt schema: String = "$schema";
        /// See the specification.
        req properties: BTreeMap<String, PrimitiveSchemaDefinition> = "properties";
        /// See the specification.
        opt required: Vec<String> = "required";
    }
    consts { "type" = "object" }
    new(properties: BTreeMap<String, PrimitiveSchemaDefinition>)
}

object! {
    /// See the specification.
    pub struct ElicitRequestFormParams {
        /// See the specification.
        text message: String = "message";
        /// See the specification.
        req requested_schema: ElicitRequestFormParamsRequestedSchema = "requestedSchema";
    }
    consts { "mode" = "form" }
    new(message: impl Into<String>, requested_schema: ElicitRequestFormParamsRequestedSchema)
}

object! {
    /// See the specification.
    pub struct ElicitRequestURLParams {
        /// See the specification.
        text message: String = "message";
        /// See the specification.
        text url: String = "url";
    }
    consts { "mode" = "url" }
    new(message: impl Into<String>, url: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ElicitResult {
        /// See the specification.
        req action: ElicitAction = "action";
        /// See the specification.
        opt content: BTreeMap<String, RawText> = "content";
    }
    new(action: ElicitAction)
}

object! {
    /// See the specification.
    pub struct EmbeddedResource {
        /// See the specification.
        opt annotations: Annotations = "annotations";
        /// See the specification.
        req resource: ResourceContents = "resource";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    consts { "type" = "resource" }
    new(resource: ResourceContents)
}

object! {
    /// See the specification.
    pub struct GetPromptRequestParams {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt arguments: BTreeMap<String, String> = "arguments";
    }
    new(name: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct GetPromptResult {
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        req messages: Vec<PromptMessage> = "messages";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(messages: Vec<PromptMessage>)
}

object! {
    /// See the specification.
    pub struct Icon {
        /// See the specification.
        opt mime_type: String = "mimeType";
        /// See the specification.
        opt sizes: Vec<String> = "sizes";
        /// See the specification.
        text src: String = "src";
        /// See the specification.
        opt theme: IconTheme = "theme";
    }
    new(src: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ImageContent {
        /// See the specification.
        opt annotations: Annotations = "annotations";
        /// See the specification.
        text data: String = "data";
        /// See the specification.
        text mime_type: String = "mimeType";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    consts { "type" = "image" }
    new(data: impl Into<String>, mime_type: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct Implementation {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt icons: Vec<Icon> = "icons";
        /// See the specification.
        opt title: String = "title";
        /// See the specification.
        text version: String = "version";
        /// See the specification.
        opt website_url: String = "websiteUrl";
    }
    new(name: impl Into<String>, version: impl Into<String>)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct InputRequiredResult {
        /// See the specification.
        opt input_requests: BTreeMap<String, InputRequest> = "inputRequests";
        /// See the specification.
        opt request_state: String = "requestState";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new()
}

object! {
    /// See the specification.
    pub struct LegacyTitledEnumSchema {
        /// See the specification.
        opt default: String = "default";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        req r#enum: Vec<String> = "enum";
        /// See the specification.
        opt enum_names: Vec<String> = "enumNames";
        /// See the specification.
        opt title: String = "title";
    }
    consts { "type" = "string" }
    new(r#enum: Vec<String>)
}

object! {
    /// See the specification.
    pub struct ListPromptsResult {
        /// See the specification.
        opt cache_scope: CacheScope = "cacheScope";
        /// See the specification.
        opt next_cursor: String = "nextCursor";
        /// See the specification.
        req prompts: Items<Prompt> = "prompts";
        /// See the specification.
        opt ttl_ms: u64 = "ttlMs";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(prompts: Items<Prompt>)
}

object! {
    /// See the specification.
    pub struct ListResourceTemplatesResult {
        /// See the specification.
        opt cache_scope: CacheScope = "cacheScope";
        /// See the specification.
        opt next_cursor: String = "nextCursor";
        /// See the specification.
        req resource_templates: Items<ResourceTemplate> = "resourceTemplates";
        /// See the specification.
        opt ttl_ms: u64 = "ttlMs";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(resource_templates: Items<ResourceTemplate>)
}

object! {
    /// See the specification.
    pub struct ListResourcesResult {
        /// See the specification.
        opt cache_scope: CacheScope = "cacheScope";
        /// See the specification.
        opt next_cursor: String = "nextCursor";
        /// See the specification.
        req resources: Items<Resource> = "resources";
        /// See the specification.
        opt ttl_ms: u64 = "ttlMs";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(resources: Items<Resource>)
}

object! {
    /// See the specification.
    pub struct ListRootsResult {
        /// See the specification.
        req roots: Vec<Root> = "roots";
    }
    new(roots: Vec<Root>)
}

object! {
    /// See the specification.
    pub struct ListToolsResult {
        /// See the specification.
        opt cache_scope: CacheScope = "cacheScope";
        /// See the specification.
        opt next_cursor: String = "nextCursor";
        /// See the specification.
        req tools: Items<Tool> = "tools";
        /// See the specification.
        opt ttl_ms: u64 = "ttlMs";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(tools: Items<Tool>)
}

object! {
    /// See the specification.
    pub struct LoggingMessageNotificationParams {
        /// See the specification.
        req data: RawText = "data";
        /// See the specification.
        req level: LoggingLevel = "level";
        /// See the specification.
        opt logger: String = "logger";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(data: RawText, level: LoggingLevel)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ModelHint {
        /// See the specification.
        opt name: String = "name";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ModelPreferences {
        /// See the specification.
        optnum cost_priority: f64 = "costPriority";
        /// See the specification.
        opt hints: Vec<ModelHint> = "hints";
        /// See the specification.
        optnum intelligence_priority: f64 = "intelligencePriority";
        /// See the specification.
        optnum speed_priority: f64 = "speedPriority";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct NotificationParams {
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new()
}

object! {
    /// See the specification.
    pub struct NumberSchema {
        /// See the specification.
        optnum default: f64 = "default";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        optnum maximum: f64 = "maximum";
        /// See the specification.
        optnum minimum: f64 = "minimum";
        /// See the specification.
        opt title: String = "title";
        /// See the specification.
        req r#type: NumberSchemaType = "type";
    }
    new(r#type: NumberSchemaType)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct PaginatedRequestParams {
        /// See the specification.
        opt cursor: String = "cursor";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct PaginatedResult {
        /// See the specification.
        opt next_cursor: String = "nextCursor";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new()
}

object! {
    /// See the specification.
    pub struct ProgressNotificationParams {
        /// See the specification.
        opt message: String = "message";
        /// See the specification.
        num progress: f64 = "progress";
        /// See the specification.
        req progress_token: RequestId = "progressToken";
        /// See the specification.
        optnum total: f64 = "total";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(progress: f64, progress_token: RequestId)
}

object! {
    /// See the specification.
    pub struct Prompt {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt arguments: Vec<PromptArgument> = "arguments";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt icons: Vec<Icon> = "icons";
        /// See the specification.
        opt title: String = "title";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(name: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct PromptArgument {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt required: bool = "required";
        /// See the specification.
        opt title: String = "title";
    }
    new(name: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct PromptMessage {
        /// See the specification.
        req content: ContentBlock = "content";
        /// See the specification.
        req role: Role = "role";
    }
    new(content: ContentBlock, role: Role)
}

object! {
    /// See the specification.
    pub struct PromptReference {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt title: String = "title";
    }
    consts { "type" = "ref/prompt" }
    new(name: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ReadResourceRequestParams {
        /// See the specification.
        text uri: String = "uri";
    }
    new(uri: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ReadResourceResult {
        /// See the specification.
        opt cache_scope: CacheScope = "cacheScope";
        /// See the specification.
        req contents: Vec<ResourceContents> = "contents";
        /// See the specification.
        opt ttl_ms: u64 = "ttlMs";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new(contents: Vec<ResourceContents>)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct RequestParams {

    }
    new()
}

object! {
    /// See the specification.
    pub struct Resource {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt annotations: Annotations = "annotations";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt icons: Vec<Icon> = "icons";
        /// See the specification.
        opt mime_type: String = "mimeType";
        /// See the specification.
        opt size: i64 = "size";
        /// See the specification.
        opt title: String = "title";
        /// See the specification.
        text uri: String = "uri";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(name: impl Into<String>, uri: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ResourceLink {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt annotations: Annotations = "annotations";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt icons: Vec<Icon> = "icons";
        /// See the specification.
        opt mime_type: String = "mimeType";
        /// See the specification.
        opt size: i64 = "size";
        /// See the specification.
        opt title: String = "title";
        /// See the specification.
        text uri: String = "uri";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    consts { "type" = "resource_link" }
    new(name: impl Into<String>, uri: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ResourceTemplate {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt annotations: Annotations = "annotations";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt icons: Vec<Icon> = "icons";
        /// See the specification.
        opt mime_type: String = "mimeType";
        /// See the specification.
        opt title: String = "title";
        /// See the specification.
        text uri_template: String = "uriTemplate";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(name: impl Into<String>, uri_template: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ResourceTemplateReference {
        /// See the specification.
        text uri: String = "uri";
    }
    consts { "type" = "ref/resource" }
    new(uri: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ResourceUpdatedNotificationParams {
        /// See the specification.
        text uri: String = "uri";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(uri: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct Root {
        /// See the specification.
        opt name: String = "name";
        /// See the specification.
        text uri: String = "uri";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(uri: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct SamplingMessage {
        /// See the specification.
        req content: OneOrMany<SamplingMessageContentBlock> = "content";
        /// See the specification.
        req role: Role = "role";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(content: OneOrMany<SamplingMessageContentBlock>, role: Role)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ServerCapabilitiesPrompts {
        /// See the specification.
        opt list_changed: bool = "listChanged";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ServerCapabilitiesResources {
        /// See the specification.
        opt list_changed: bool = "listChanged";
        /// See the specification.
        opt subscribe: bool = "subscribe";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ServerCapabilitiesTools {
        /// See the specification.
        opt list_changed: bool = "listChanged";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ServerCapabilities {
        /// See the specification.
        optobject completions: RawText = "completions";
        /// See the specification.
        opt experimental: BTreeMap<String, RawText> = "experimental";
        /// See the specification.
        opt extensions: BTreeMap<String, RawText> = "extensions";
        /// See the specification.
        optobject logging: RawText = "logging";
        /// See the specification.
        opt prompts: ServerCapabilitiesPrompts = "prompts";
        /// See the specification.
        opt resources: ServerCapabilitiesResources = "resources";
        /// See the specification.
        opt tools: ServerCapabilitiesTools = "tools";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct StringSchema {
        /// See the specification.
        opt default: String = "default";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt format: StringFormat = "format";
        /// See the specification.
        opt max_length: i64 = "maxLength";
        /// See the specification.
        opt min_length: i64 = "minLength";
        /// See the specification.
        opt title: String = "title";
    }
    consts { "type" = "string" }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct SubscriptionFilter {
        /// See the specification.
        opt prompts_list_changed: bool = "promptsListChanged";
        /// See the specification.
        opt resource_subscriptions: Vec<String> = "resourceSubscriptions";
        /// See the specification.
        opt resources_list_changed: bool = "resourcesListChanged";
        /// See the specification.
        opt tools_list_changed: bool = "toolsListChanged";
    }
    new()
}

object! {
    /// See the specification.
    pub struct SubscriptionsAcknowledgedNotificationParams {
        /// See the specification.
        req notifications: SubscriptionFilter = "notifications";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(notifications: SubscriptionFilter)
}

object! {
    /// See the specification.
    pub struct SubscriptionsListenRequestParams {
        /// See the specification.
        req notifications: SubscriptionFilter = "notifications";
    }
    new(notifications: SubscriptionFilter)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct SubscriptionsListenResult {
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new()
}

object! {
    /// See the specification.
    pub struct TextContent {
        /// See the specification.
        opt annotations: Annotations = "annotations";
        /// See the specification.
        text text: String = "text";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    consts { "type" = "text" }
    new(text: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct TextResourceContents {
        /// See the specification.
        opt mime_type: String = "mimeType";
        /// See the specification.
        text text: String = "text";
        /// See the specification.
        text uri: String = "uri";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(text: impl Into<String>, uri: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct TitledMultiSelectEnumSchemaItemsAnyOf {
        /// See the specification.
        text r#const: String = "const";
        /// See the specification.
        text title: String = "title";
    }
    new(r#const: impl Into<String>, title: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct TitledMultiSelectEnumSchemaItems {
        /// See the specification.
        req any_of: Vec<TitledMultiSelectEnumSchemaItemsAnyOf> = "anyOf";
    }
    new(any_of: Vec<TitledMultiSelectEnumSchemaItemsAnyOf>)
}

object! {
    /// See the specification.
    pub struct TitledMultiSelectEnumSchema {
        /// See the specification.
        opt default: Vec<String> = "default";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        req items: TitledMultiSelectEnumSchemaItems = "items";
        /// See the specification.
        opt max_items: i64 = "maxItems";
        /// See the specification.
        opt min_items: i64 = "minItems";
        /// See the specification.
        opt title: String = "title";
    }
    consts { "type" = "array" }
    new(items: TitledMultiSelectEnumSchemaItems)
}

object! {
    /// See the specification.
    pub struct TitledSingleSelectEnumSchemaOneOf {
        /// See the specification.
        text r#const: String = "const";
        /// See the specification.
        text title: String = "title";
    }
    new(r#const: impl Into<String>, title: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct TitledSingleSelectEnumSchema {
        /// See the specification.
        opt default: String = "default";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        req one_of: Vec<TitledSingleSelectEnumSchemaOneOf> = "oneOf";
        /// See the specification.
        opt title: String = "title";
    }
    consts { "type" = "string" }
    new(one_of: Vec<TitledSingleSelectEnumSchemaOneOf>)
}

object! {
    /// See the specification.
    pub struct Tool {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        opt annotations: ToolAnnotations = "annotations";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        opt icons: Vec<Icon> = "icons";
        /// See the specification.
        req input_schema: JsonSchema = "inputSchema";
        /// See the specification.
        opt output_schema: JsonSchema = "outputSchema";
        /// See the specification.
        opt title: String = "title";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new(name: impl Into<String>, input_schema: JsonSchema)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ToolAnnotations {
        /// See the specification.
        opt destructive_hint: bool = "destructiveHint";
        /// See the specification.
        opt idempotent_hint: bool = "idempotentHint";
        /// See the specification.
        opt open_world_hint: bool = "openWorldHint";
        /// See the specification.
        opt read_only_hint: bool = "readOnlyHint";
        /// See the specification.
        opt title: String = "title";
    }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ToolChoice {
        /// See the specification.
        opt mode: ToolChoiceMode = "mode";
    }
    new()
}

object! {
    /// See the specification.
    pub struct ToolResultContent {
        /// See the specification.
        req content: Vec<ContentBlock> = "content";
        /// See the specification.
        opt is_error: bool = "isError";
        /// See the specification.
        any structured_content: RawText = "structuredContent";
        /// See the specification.
        text tool_use_id: String = "toolUseId";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    consts { "type" = "tool_result" }
    new(content: Vec<ContentBlock>, tool_use_id: impl Into<String>)
}

object! {
    /// See the specification.
    pub struct ToolUseContent {
        /// See the specification.
        text name: String = "name";
        /// See the specification.
        text id: String = "id";
        /// See the specification.
        object input: RawText = "input";
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    consts { "type" = "tool_use" }
    new(name: impl Into<String>, id: impl Into<String>, input: RawText)
}

object! {
    /// See the specification.
    pub struct UntitledMultiSelectEnumSchemaItems {
        /// See the specification.
        req r#enum: Vec<String> = "enum";
    }
    consts { "type" = "string" }
    new(r#enum: Vec<String>)
}

object! {
    /// See the specification.
    pub struct UntitledMultiSelectEnumSchema {
        /// See the specification.
        opt default: Vec<String> = "default";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        req items: UntitledMultiSelectEnumSchemaItems = "items";
        /// See the specification.
        opt max_items: i64 = "maxItems";
        /// See the specification.
        opt min_items: i64 = "minItems";
        /// See the specification.
        opt title: String = "title";
    }
    consts { "type" = "array" }
    new(items: UntitledMultiSelectEnumSchemaItems)
}

object! {
    /// See the specification.
    pub struct UntitledSingleSelectEnumSchema {
        /// See the specification.
        opt default: String = "default";
        /// See the specification.
        opt description: String = "description";
        /// See the specification.
        req r#enum: Vec<String> = "enum";
        /// See the specification.
        opt title: String = "title";
    }
    consts { "type" = "string" }
    new(r#enum: Vec<String>)
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct EmptyResult {
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    skips { "resultType" }
    new()
}

object! {
    /// See the specification.
    #[derive(Default)]
    pub struct ListRootsRequestParams {
        /// See the specification.
        meta meta: Meta = "_meta";
    }
    new()
}

string_enum! {
    /// See the specification.
    open IncludeContext {
        /// `allServers`.
        AllServers = "allServers",
        /// `none`.
        None = "none",
        /// `thisServer`.
        ThisServer = "thisServer",
    }
}

string_enum! {
    /// See the specification.
    open CacheScope {
        /// `private`.
        Private = "private",
        /// `public`.
        Public = "public",
    }
}

string_enum! {
    /// See the specification.
    closed ElicitAction {
        /// `accept`.
        Accept = "accept",
        /// `cancel`.
        Cancel = "cancel",
        /// `decline`.
        Decline = "decline",
    }
}

string_enum! {
    /// See the specification.
    open IconTheme {
        /// `dark`.
        Dark = "dark",
        /// `light`.
        Light = "light",
    }
}

string_enum! {
    /// See the specification.
    closed LoggingLevel {
        /// `debug`.
        Debug = "debug",
        /// `info`.
        Info = "info",
        /// `notice`.
        Notice = "notice",
        /// `warning`.
        Warning = "warning",
        /// `error`.
        Error = "error",
        /// `critical`.
        Critical = "critical",
        /// `alert`.
        Alert = "alert",
        /// `emergency`.
        Emergency = "emergency",
    }
}

string_enum! {
    /// See the specification.
    open NumberSchemaType {
        /// `integer`.
        Integer = "integer",
        /// `number`.
        Number = "number",
    }
}

string_enum! {
    /// See the specification.
    closed Role {
        /// `user`.
        User = "user",
        /// `assistant`.
        Assistant = "assistant",
    }
}

string_enum! {
    /// See the specification.
    open StringFormat {
        /// `date`.
        Date = "date",
        /// `date-time`.
        DateTime = "date-time",
        /// `email`.
        Email = "email",
        /// `uri`.
        Uri = "uri",
    }
}

string_enum! {
    /// See the specification.
    open ToolChoiceMode {
        /// `auto`.
        Auto = "auto",
        /// `none`.
        None = "none",
        /// `required`.
        Required = "required",
    }
}

union! {
    /// See the specification.
    pub enum ContentBlock by "type" {
        /// See the specification.
        Text(TextContent) in ["text"] with [],
        /// See the specification.
        Image(ImageContent) in ["image"] with [],
        /// See the specification.
        Audio(AudioContent) in ["audio"] with [],
        /// See the specification.
        ResourceLink(ResourceLink) in ["resource_link"] with [],
        /// See the specification.
        Resource(EmbeddedResource) in ["resource"] with [],
    }
}

union! {
    /// See the specification.
    pub enum SamplingMessageContentBlock by "type" {
        /// See the specification.
        Text(TextContent) in ["text"] with [],
        /// See the specification.
        Image(ImageContent) in ["image"] with [],
        /// See the specification.
        Audio(AudioContent) in ["audio"] with [],
        /// See the specification.
        ToolUse(ToolUseContent) in ["tool_use"] with [],
        /// See the specification.
        ToolResult(ToolResultContent) in ["tool_result"] with [],
    }
}

union! {
    /// See the specification.
    pub enum ResourceContents by "" {
        /// See the specification.
        Text(TextResourceContents) in [] with ["text"],
        /// See the specification.
        Blob(BlobResourceContents) in [] with ["blob"],
    }
}

union! {
    /// See the specification.
    pub enum CompleteReference by "type" {
        /// See the specification.
        Prompt(PromptReference) in ["ref/prompt"] with [],
        /// See the specification.
        Resource(ResourceTemplateReference) in ["ref/resource"] with [],
    }
}

union! {
    /// See the specification.
    pub enum ElicitRequestParams by "mode" {
        /// See the specification.
        Form(ElicitRequestFormParams) in ["form", ""] with [],
        /// See the specification.
        Url(ElicitRequestURLParams) in ["url"] with [],
    }
}

union! {
    /// See the specification.
    pub enum PrimitiveSchemaDefinition by "type" {
        /// See the specification.
        Boolean(BooleanSchema) in ["boolean"] with [],
        /// See the specification.
        Number(NumberSchema) in ["number", "integer"] with [],
        /// See the specification.
        TitledSingleSelect(TitledSingleSelectEnumSchema) in ["string"] with ["oneOf"],
        /// See the specification.
        LegacyTitled(LegacyTitledEnumSchema) in ["string"] with ["enum", "enumNames"],
        /// See the specification.
        UntitledSingleSelect(UntitledSingleSelectEnumSchema) in ["string"] with ["enum"],
        /// See the specification.
        String(StringSchema) in ["string"] with [],
        /// See the specification.
        TitledMultiSelect(TitledMultiSelectEnumSchema) in ["array"] with [],
        /// See the specification.
        UntitledMultiSelect(UntitledMultiSelectEnumSchema) in ["array"] with [],
    }
}
