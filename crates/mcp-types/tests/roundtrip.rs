//! Every example message, with unknown members at every object level, through decode and encode of
//! both eras: nothing that a peer sends is lost.
//!
//! The messages of our own are in `examples/messages.json`. Where `MCP_SCHEMA_DIR` names a folder
//! with the published schemas, their official examples are held to the same.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use mcp_types::wire::{Codec, LEGACY, MODERN, ServerCodec, Stamp};
use mcp_types::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// One example: what it is, of which method, and its payload.
struct Example {
    kind: String,
    method: String,
    modern_only: bool,
    payload: Value,
}

fn examples() -> Vec<Example> {
    let all: Vec<Map<String, Value>> =
        serde_json::from_str(include_str!("examples/messages.json")).unwrap();
    all.into_iter()
        .map(|mut example| {
            let text = |member: &Value| member.as_str().unwrap().to_owned();
            let (kind, method) = (text(&example["kind"]), text(&example["method"]));
            let payload = example.remove("params").or(example.remove("result")).unwrap();
            Example { kind, method, modern_only: example.contains_key("modern"), payload }
        })
        .collect()
}

/// `value` with one more member in every object that has members of its own.
///
/// The value of the member is a string, so that maps of strings take it too. Maps of objects
/// (`properties`, `inputRequests`) are no objects with members; the frame of an input request is
/// `method` and `params`, as that of a message is, and keeps no others.
fn with_unknown_members(value: &Value) -> Value {
    fn visit(value: &Value, place: &str) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| visit(item, place)).collect(),
            Value::Object(members) => {
                let inner = |(name, value): (&String, &Value)| {
                    let inside = if place == "inputRequests" { "frame" } else { name };
                    (name.clone(), visit(value, inside))
                };
                let mut members: Map<String, Value> = members.iter().map(inner).collect();
                if !["properties", "inputRequests", "frame"].contains(&place) {
                    members.insert("dev.example/unknown \"1\"".into(), json!("kept \u{1F600}"));
                }
                Value::Object(members)
            }
            other => other.clone(),
        }
    }
    visit(value, "")
}

fn raw(value: &Value) -> RawText {
    RawText::new(value.to_string()).unwrap()
}

fn envelope() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        "io.modelcontextprotocol/logLevel": "notice",
        "progressToken": "t",
        "dev.example/mine": {"a": [1]},
    })
}

fn request(codec: &dyn Codec, method: &str, params: &Value) -> Value {
    let incoming = codec.decode_request(method, Some(&raw(params))).unwrap();
    let mut exchange = Exchange::new(incoming.request);
    exchange.context = incoming.context;
    let mut out = Vec::new();
    codec.encode_request(&mut out, &7.into(), &exchange).unwrap();
    let mut sent: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((sent["id"].take(), sent["method"].take()), (json!(7), json!(method)));
    sent["params"].take()
}

fn result(codec: &dyn Codec, method: &str, result: &Value) -> Value {
    let outcome = codec.decode_result(method, &raw(result)).unwrap();
    if let Outcome::Complete(ServerResult::Extension(_)) = &outcome {
        assert!(method.starts_with("dev.example/"), "{method} is not in the table");
    }
    let mut out = Vec::new();
    codec.encode_response(&mut out, &7.into(), Ok(&outcome), &Stamp::default()).unwrap();
    serde_json::from_slice::<Value>(&out).unwrap()["result"].take()
}

fn notification(codec: &dyn Codec, method: &str, params: &Value) -> Value {
    let read = codec.decode_server_notification(method, Some(&raw(params))).unwrap();
    let mut out = Vec::new();
    codec.encode_server_notification(&mut out, &read).unwrap();
    serde_json::from_slice::<Value>(&out).unwrap()["params"].take()
}

#[test]
fn messages_of_the_stateless_era_keep_every_member() {
    for Example { kind, method, payload, .. } in examples() {
        for mut payload in [payload.clone(), with_unknown_members(&payload)] {
            match kind.as_str() {
                "request" => {
                    payload["_meta"] = envelope();
                    assert_eq!(request(&MODERN, &method, &payload), payload, "{method}");
                    if !method.starts_with("dev.example/") {
                        payload["inputResponses"] = json!({"form": {"action": "decline"}});
                        payload["requestState"] = json!("opaque");
                        assert_eq!(request(&MODERN, &method, &payload), payload, "{method}");
                    }
                }
                "result" => {
                    if payload.get("resultType").is_none() {
                        payload["resultType"] = json!("complete");
                    }
                    assert_eq!(result(&MODERN, &method, &payload), payload, "{method}");
                }
                _ => assert_eq!(notification(&MODERN, &method, &payload), payload, "{method}"),
            }
        }
    }
}

#[test]
fn messages_of_the_era_with_a_handshake_keep_every_member() {
    for Example { kind, method, modern_only, payload } in examples() {
        if modern_only || ["server/discover", "subscriptions/listen"].contains(&method.as_str()) {
            continue;
        }
        for mut payload in [payload.clone(), with_unknown_members(&payload)] {
            match kind.as_str() {
                "request" => {
                    payload["_meta"] = json!({"progressToken": 7, "dev.example/mine": {"a": [1]}});
                    assert_eq!(request(&LEGACY, &method, &payload), payload, "{method}");
                }
                "result" => {
                    let read = result(&LEGACY, &method, &payload);
                    for hint in ["ttlMs", "cacheScope"] {
                        payload.as_object_mut().unwrap().remove(hint);
                    }
                    assert_eq!(read, payload, "{method}");
                }
                _ => assert_eq!(notification(&LEGACY, &method, &payload), payload, "{method}"),
            }
        }
    }
}

#[test]
fn every_method_of_the_table_has_an_example() {
    // `MODERN` answers "method not found" for what it does not know; the table itself is private.
    for (kind, known) in [("request", 10), ("result", 10), ("notification", 8)] {
        let of_kind = examples().into_iter().filter(|example| example.kind == kind);
        let mut methods: Vec<String> = of_kind.map(|example| example.method).collect();
        methods.sort();
        methods.dedup();
        assert_eq!(methods.len(), known + 1, "{kind}: {methods:?} and one of an extension");
    }
}

#[test]
fn a_known_member_that_stands_twice_is_refused() {
    let twice = |text: &str| RawText::new(text).unwrap();
    let calls = [
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","arguments":{},"arguments":{}}"#,
        r#"{"name":"a","x":1,"y":2,"x":3}"#,
        r#"{"name":"a","_meta":{},"_meta":{}}"#,
        r#"{"name":"a","_meta":{"k":1,"k":2}}"#,
        r#"{"name":"a","requestState":"1","requestState":"2"}"#,
    ];
    for call in calls {
        let error = LEGACY.decode_request("tools/call", Some(&twice(call))).unwrap_err();
        assert_eq!(error.code, -32602, "{call}");
        assert!(error.message.contains("duplicate member"), "{call}: {}", error.message);
    }
    for block in
        [r#"{"type":"text","type":"text","text":"a"}"#, r#"{"type":"text","text":"a","text":"b"}"#]
    {
        assert!(twice(block).parse::<ContentBlock>().is_err(), "{block}");
    }
    let typed = r#"{"resultType":"complete","resultType":"complete","content":[]}"#;
    assert!(twice(typed).parse::<CallToolResult>().is_err());
}

/// Looking each name up among those before it would take minutes here.
#[test]
fn many_unknown_members_cost_no_square_of_their_number() {
    let many: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let many = many.join(",");
    for params in [
        format!(r#"{{"name":"a",{many}}}"#),
        format!(r#"{{"name":"a","_meta":{{{many}}}}}"#),
        format!(r#"{{"name":"a","inputResponses":{{{many}}}}}"#),
    ] {
        let params = RawText::new(params).unwrap();
        LEGACY.decode_request("tools/call", Some(&params)).unwrap();
        params.parse::<Members>().unwrap();
    }
    assert_eq!(
        RawText::new(format!("{{{many}}}")).unwrap().parse::<Members>().unwrap().len(),
        100_000
    );
    let twice = RawText::new(format!("{{{many},\"k7\":0}}")).unwrap();
    assert!(twice.parse::<Members>().unwrap_err().message.contains("duplicate member `k7`"));
}

#[test]
fn one_bad_tool_of_ten_keeps_nine() {
    let mut tools: Vec<Value> = (0..10)
        .map(|n| json!({"name": format!("t{n}"), "inputSchema": {"type": "object"}}))
        .collect();
    tools[3]["inputSchema"] = json!("a string");
    let list: ListToolsResult = raw(&json!({"tools": tools})).parse().unwrap();
    assert_eq!((list.tools.len(), list.tools.bad().len()), (9, 1));
    assert_eq!(list.tools.bad()[0].index, 3);
    assert_eq!(list.tools.bad()[0].error.path, "inputSchema");
}

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    let refused = |method: &str, params: Value| {
        LEGACY.decode_request(method, Some(&raw(&params))).unwrap_err().message
    };
    assert!(refused("tools/call", json!({})).contains("missing field `name`"));
    assert!(refused("tools/call", json!({"name": 1})).contains("`params.name`"));
    let message = refused("tools/call", json!({"name": "a", "arguments": [1]}));
    assert!(message.contains("`params.arguments`"), "{message}");
    let nested = json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "n"}});
    assert!(refused("completion/complete", nested).contains("`params.argument`"));
}

/// Reads `value` as a `T` and writes it.
fn through<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, DecodeError> {
    let typed: T = raw(value).parse()?;
    Ok(serde_json::to_value(&typed).unwrap())
}

type Through = fn(&Value) -> Result<Value, DecodeError>;

macro_rules! table {
    ($($name:ident)*) => { &[$((stringify!($name), through::<$name> as Through)),*] };
}

/// The types that have official examples, and some that stand inside them.
const TYPES: &[(&str, Through)] = table! {
    AudioContent BlobResourceContents BooleanSchema CallToolRequestParams CallToolResult
    CancelledNotificationParams ClientCapabilities CompleteRequestParams CompleteResult
    CreateMessageRequestParams CreateMessageResult DiscoverResult ElicitRequestFormParams
    ElicitRequestURLParams ElicitResult EmbeddedResource GetPromptRequestParams GetPromptResult
    ImageContent InputRequiredResult ListPromptsResult ListResourceTemplatesResult
    ListResourcesResult ListRootsResult ListToolsResult LoggingMessageNotificationParams
    ModelPreferences NumberSchema PaginatedRequestParams ProgressNotificationParams
    ReadResourceResult Resource ResourceLink ResourceUpdatedNotificationParams Root
    SamplingMessage ServerCapabilities StringSchema SubscriptionsListenResult TextContent
    TextResourceContents TitledMultiSelectEnumSchema TitledSingleSelectEnumSchema Tool
    ToolResultContent ToolUseContent UntitledMultiSelectEnumSchema UntitledSingleSelectEnumSchema
};

#[test]
fn results_of_the_client_keep_every_member() {
    let answers: [(&str, Value); 6] = [
        ("ElicitResult", json!({"action": "accept", "content": {"a": 1, "b": [true], "c": "x"}})),
        ("ElicitResult", json!({"action": "cancel"})),
        (
            "ListRootsResult",
            json!({"roots": [{"uri": "file:///a", "name": "A", "_meta": {"k": 1}}]}),
        ),
        (
            "CreateMessageResult",
            json!({"role": "assistant", "model": "m", "stopReason": "endTurn", "content": {"type": "text", "text": "."}}),
        ),
        ("CreateMessageResult", json!({"role": "assistant", "model": "m", "content": []})),
        (
            "ClientCapabilities",
            json!({"roots": {"listChanged": true}, "sampling": {"context": {}, "tools": {}}, "elicitation": {"form": {}, "url": {}}, "experimental": {"x": {}}, "extensions": {"y": {"a": 1}}}),
        ),
    ];
    for (name, value) in answers {
        let (_, through) = TYPES.iter().find(|(known, _)| *known == name).unwrap();
        assert_eq!(through(&value).unwrap(), value, "{name}");
        if name != "ClientCapabilities" {
            let more = with_unknown_members(&value);
            assert_eq!(through(&more).unwrap(), more, "{name}");
        }
    }
}

#[test]
fn messages_of_the_tasks_extension_keep_every_member() {
    use mcp_types::tasks::*;
    let task = |status: &str, more: Value| {
        let mut task = json!({"taskId": "t", "status": status, "createdAt": "2025-01-01T00:00:00Z", "lastUpdatedAt": "2025-01-01T00:00:01Z", "ttlMs": null});
        task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        task
    };
    let all: [(Through, Value); 10] = [
        (
            through::<DetailedTask>,
            task("working", json!({"pollIntervalMs": 5, "statusMessage": "."})),
        ),
        (
            through::<DetailedTask>,
            task("input_required", json!({"inputRequests": {"where": {"method": "roots/list"}}})),
        ),
        (through::<DetailedTask>, task("completed", json!({"result": {"a": [1]}, "ttlMs": 60}))),
        (through::<DetailedTask>, task("failed", json!({"error": {"code": -1, "message": "no"}}))),
        (
            through::<DetailedTask>,
            task("cancelled", json!({"resultType": "complete", "_meta": {}})),
        ),
        (through::<DetailedTask>, task("asleep", json!({"until": "spring"}))),
        (through::<Task>, task("completed", json!({}))),
        (through::<CreateTaskResult>, task("working", json!({"resultType": "task", "_meta": {}}))),
        (
            through::<UpdateTaskRequestParams>,
            json!({"taskId": "t", "inputResponses": {"where": {}}}),
        ),
        (through::<CancelTaskResult>, json!({"resultType": "complete"})),
    ];
    for (through, value) in all {
        assert_eq!(through(&value).unwrap(), value);
        let more = with_unknown_members(&value);
        // An error object has no other members, as JSON-RPC says.
        if value.get("error").is_none() {
            assert_eq!(through(&more).unwrap(), more);
        }
    }
    let unknown: DetailedTask = raw(&task("asleep", json!({}))).parse().unwrap();
    assert!(matches!(unknown, DetailedTask::Other(_)));
    assert!(raw(&json!({"taskId": "t", "status": "completed"})).parse::<DetailedTask>().is_err());
}

/// Examples that are whole messages or errors, which belong to the JSON-RPC layer; their payloads
/// are taken out of them below.
fn payload(name: &str, example: &Value) -> Option<(String, Value)> {
    if name.ends_with("Error") || name == "InputResponses" || name == "InputRequests" {
        return None;
    }
    if let Some(method) = example.get("method").and_then(Value::as_str) {
        return Some((method.to_owned(), example.get("params").cloned().unwrap_or(json!({}))));
    }
    None
}

#[test]
fn the_official_examples_keep_every_member() {
    let Some(folder) = std::env::var_os("MCP_SCHEMA_DIR") else { return };
    let folder = std::path::Path::new(&folder).join("2026-07-28/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        for file in std::fs::read_dir(entry.path()).unwrap() {
            let path = file.unwrap().path();
            let example: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let shown = path.display();
            seen += 1;
            if let Some((_, through)) = TYPES.iter().find(|(known, _)| *known == name) {
                for mut value in [example.clone(), with_unknown_members(&example)] {
                    let written = through(&value).unwrap_or_else(|e| panic!("{shown}: {e}"));
                    value.as_object_mut().unwrap().remove("resultType");
                    assert_eq!(written, value, "{shown}");
                }
            } else if let Some(method) = name.strip_suffix("ResultResponse") {
                let Some(value) = example.get("result") else { panic!("{shown}") };
                let method = METHODS_OF_RESPONSES.iter().find(|(known, _)| *known == method);
                let (_, method) = method.unwrap_or_else(|| panic!("{shown}: which method?"));
                for mut value in [value.clone(), with_unknown_members(value)] {
                    let written = result(&MODERN, method, &value);
                    // The codec says "keep it not" where a result must say something and does not.
                    for hint in ["ttlMs", "cacheScope"] {
                        if value.get(hint).is_none() && written.get(hint).is_some() {
                            value[hint] = written[hint].clone();
                        }
                    }
                    assert_eq!(written, value, "{shown}");
                }
            } else if let Some((method, params)) = payload(&name, &example) {
                let inputs = ["roots/list", "sampling/createMessage", "elicitation/create"];
                for params in [params.clone(), with_unknown_members(&params)] {
                    let written = if name.ends_with("Notification") {
                        notification(&MODERN, &method, &params)
                    } else if inputs.contains(&method.as_str()) {
                        let asked: InputRequest =
                            raw(&json!({"method": method, "params": params})).parse().unwrap();
                        serde_json::to_value(&asked).unwrap()["params"].take()
                    } else {
                        request(&MODERN, &method, &params)
                    };
                    let written = if written.is_null() { json!({}) } else { written };
                    assert_eq!(written, params, "{shown}");
                }
            } else {
                let left = ["Error", "InputRequests", "InputResponses"];
                assert!(left.iter().any(|known| name.ends_with(known)), "{shown}: nobody reads it");
            }
        }
    }
    assert!(seen > 80, "{seen} examples in {}", folder.display());
}

const METHODS_OF_RESPONSES: &[(&str, &str)] = &[
    ("CallTool", "tools/call"),
    ("Complete", "completion/complete"),
    ("Discover", "server/discover"),
    ("GetPrompt", "prompts/get"),
    ("ListPrompts", "prompts/list"),
    ("ListResourceTemplates", "resources/templates/list"),
    ("ListResources", "resources/list"),
    ("ListTools", "tools/list"),
    ("ReadResource", "resources/read"),
    ("SubscriptionsListen", "subscriptions/listen"),
];
