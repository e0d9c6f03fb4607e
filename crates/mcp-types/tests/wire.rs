//! Both codecs at their socket: text in, text out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use mcp_types::jsonrpc::Message;
use mcp_types::wire::{Codec, LEGACY, MODERN, ServerCodec, Stamp};
use mcp_types::*;

fn params(text: &str) -> Option<RawText> {
    Some(RawText::new(text).unwrap())
}

const ENVELOPE: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}"#;

#[test]
fn a_modern_call_is_lifted_into_context_and_request() {
    let text = format!(
        r#"{{"_meta":{{{ENVELOPE},"progressToken":7,"dev.example/x":[1]}},"name":"echo","arguments":{{"a":1}},"requestState":"s","inputResponses":{{"k":{{}}}},"later":true}}"#
    );
    let incoming = MODERN.decode_request("tools/call", params(&text).as_ref()).unwrap();
    let ClientRequest::CallTool(call) = &incoming.request else { panic!() };
    assert_eq!(
        (call.name.as_str(), call.arguments.as_ref().unwrap().get()),
        ("echo", r#"{"a":1}"#)
    );
    assert_eq!(call.extra.get("later").unwrap().get(), "true");
    let context = &incoming.context;
    assert_eq!(context.progress_token, Some(RequestId::Number(7)));
    assert_eq!(context.request_state.as_deref(), Some("s"));
    assert_eq!(context.meta.get("dev.example/x").unwrap().get(), "[1]");
    assert_eq!(context.meta.len(), 1, "the envelope's own keys are gone");
    assert!(context.client_capabilities().elicitation.is_some());

    let mut exchange = Exchange::new(incoming.request);
    exchange.context = incoming.context;
    let mut out = Vec::new();
    MODERN.encode_request(&mut out, &1.into(), &exchange).unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(sent["params"], serde_json::from_str::<serde_json::Value>(&text).unwrap());
}

#[test]
fn an_incomplete_envelope_is_refused_with_its_code() {
    let refused =
        |text: &str| MODERN.decode_request("tools/list", params(text).as_ref()).unwrap_err();
    assert_eq!(refused("{}").code, -32602);
    assert_eq!(refused(r#"{"_meta":{}}"#).code, -32602);
    let without = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    assert!(refused(without).message.contains("clientCapabilities"));
    let other = ENVELOPE.replace("2026-07-28", "v999.0.0");
    let error = refused(&format!(r#"{{"_meta":{{{other}}}}}"#));
    assert_eq!(error.code, -32022);
    assert_eq!(error.data.unwrap().get(), r#"{"requested":"v999.0.0","supported":["2026-07-28"]}"#);
    assert_eq!(LEGACY.decode_request("server/discover", None).unwrap_err().code, -32601);
}

#[test]
fn results_are_stamped_in_one_era_and_plain_in_the_other() {
    let mut result = ListToolsResult::new(Items::default());
    result.ttl_ms = Some(5);
    let outcome = Outcome::from(ServerResult::ListTools(result));
    let stamp = Stamp::new(params(r#"{"name":"s","version":"1"}"#).unwrap());
    let encode = |codec: &dyn Codec| {
        let mut out = Vec::new();
        codec.encode_response(&mut out, &"a".into(), Ok(&outcome), &stamp).unwrap();
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(
        encode(&MODERN),
        json(
            r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","tools":[],"ttlMs":5,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}}"#
        )
    );
    assert_eq!(encode(&LEGACY), json(r#"{"jsonrpc":"2.0","id":"a","result":{"tools":[]}}"#));
}

#[test]
fn structured_content_that_is_no_object_is_wrapped_for_older_readers() {
    let outcome =
        Outcome::from(ServerResult::CallTool(CallToolResult::structured(&[1, 2]).unwrap()));
    let mut out = Vec::new();
    LEGACY.encode_response(&mut out, &1.into(), Ok(&outcome), &Stamp::default()).unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(sent["result"]["structuredContent"], serde_json::json!({"result": [1, 2]}));
}

#[test]
fn a_signed_tool_is_the_same_text_through_both_codecs() {
    let tool = r#"{"name": "t","inputSchema":{"type":"object"},"later":[1.50],"_meta":{"dev.etdi/etdi":{"v":1}}}"#;
    let listing =
        format!(r#"{{"tools":[{tool}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#);
    for codec in [&MODERN as &dyn Codec, &LEGACY] {
        let message = ByteString::from(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{listing}}}"#));
        let Ok(Message::Response(response)) = Message::parse(&message) else { panic!() };
        let outcome = codec.decode_result("tools/list", &response.result.unwrap()).unwrap();
        let Outcome::Complete(ServerResult::ListTools(list)) = &outcome else { panic!() };
        assert_eq!(list.tools[0].text().get(), tool, "as it arrived, blank and all");
        let mut out = Vec::new();
        codec.encode_response(&mut out, &1.into(), Ok(&outcome), &Stamp::default()).unwrap();
        assert!(String::from_utf8(out).unwrap().contains(tool), "as it arrived, so it leaves");
    }
}

#[test]
fn one_bad_tool_does_not_lose_the_list() {
    let listing = r#"{"tools":[{"name":"a","inputSchema":{"type":"object"}},{"name":"b","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":"yes"}}]}"#;
    let outcome = LEGACY.decode_result("tools/list", params(listing).as_ref().unwrap()).unwrap();
    let Outcome::Complete(ServerResult::ListTools(list)) = outcome else { panic!() };
    assert_eq!(list.tools.len(), 1);
    let bad = &list.tools.bad()[0];
    assert_eq!((bad.index, bad.error.path.as_str()), (1, "annotations.readOnlyHint"));
}

#[test]
fn a_result_of_an_extension_keeps_every_member_in_both() {
    let task =
        RawText::new(r#"{"resultType":"task","taskId":"1","ttlMs":5,"cacheScope":1}"#).unwrap();
    let outcome = Outcome::Complete(ServerResult::Extension(task.clone()));
    for codec in [&MODERN as &dyn Codec, &LEGACY] {
        let mut out = Vec::new();
        codec.encode_response(&mut out, &1.into(), Ok(&outcome), &Stamp::default()).unwrap();
        let sent = String::from_utf8(out).unwrap();
        assert_eq!(sent.trim_end(), format!(r#"{{"jsonrpc":"2.0","id":1,"result":{task}}}"#));
        assert_eq!(codec.decode_result("tools/call", &task).unwrap(), outcome);
        let neither = RawText::new(r#"{"resultType":"complete"}"#).unwrap();
        assert!(codec.decode_result("tools/call", &neither).is_err());
    }
}
