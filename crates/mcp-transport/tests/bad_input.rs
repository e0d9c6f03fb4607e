//! What peers get wrong, each with its one right answer; after each the next line is served.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{INITIALIZE, Lines, Tools, legacy, modern, same};
use mcp_transport::{LimitsLayer, serve};
use serde_json::{Value, json};
use tower_layer::Layer;

/// The id and the code of an error; the whole text if it is none.
fn error_of(answer: &str) -> (Value, i64) {
    let value: Value = serde_json::from_str(answer).expect(answer);
    let code = value["error"]["code"].as_i64().unwrap_or_else(|| panic!("{answer}"));
    (value["id"].clone(), code)
}

async fn opened(era: &str) -> Lines {
    let mut lines = Lines::to_tools();
    match era {
        "legacy" => lines.ask(INITIALIZE).await,
        _ => lines.ask(&modern(0, "server/discover", "")).await,
    };
    lines
}

fn call(era: &str, id: &str, params: &str) -> String {
    match era {
        "legacy" => legacy(id, "tools/call", params),
        _ => modern(id, "tools/call", params),
    }
}

async fn still_serves(lines: &mut Lines, era: &str) {
    let echo = call(era, r#""alive""#, r#""name":"echo","arguments":{"message":"alive"}"#);
    let answer = lines.ask(&echo).await;
    assert!(answer.contains(r#""id":"alive""#) && answer.contains(r#""text":"alive""#), "{answer}");
}

#[tokio::test]
async fn each_bad_line_has_one_answer() {
    let deep = "[".repeat(10_000);
    let deep_params = format!(
        r#"{{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{{"name":"echo","arguments":{}1{}}}}}"#,
        r#"{"a":"#.repeat(10_000),
        "}".repeat(10_000)
    );
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{{"name":"{}"}}}}"#,
        "a".repeat(32 << 20)
    );
    let wide = format!(
        r#"{{"jsonrpc":"2.0","method":"x","id":8,"params":{{"a":[{}1]}}}}"#,
        "1,".repeat(300_000)
    );
    let table: Vec<(Vec<u8>, Value, i64)> = vec![
        (b"garbage".to_vec(), json!(null), -32700),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1".to_vec(), json!(null), -32700),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}".to_vec(), json!(1), -32700),
        (b"\xff\xfe\xfd".to_vec(), json!(null), -32700),
        (b"\0".to_vec(), json!(null), -32700),
        (long.into_bytes(), json!(6), -32600),
        (deep.into_bytes(), json!(null), -32600),
        (deep_params.into_bytes(), json!(5), -32600),
        (wide.into_bytes(), json!(8), -32600),
        (b"[]".to_vec(), json!(null), -32600),
        (b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]".to_vec(), json!(null), -32600),
        (b"7".to_vec(), json!(null), -32600),
        (b"null".to_vec(), json!(null), -32600),
        (b"\"ping\"".to_vec(), json!(null), -32600),
        (b"{}".to_vec(), json!(null), -32600),
        (br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#.to_vec(), json!(null), -32600),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.to_vec(), json!(null), -32600),
        (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#.to_vec(), json!(null), -32600),
        (br#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#.to_vec(), json!(null), -32600),
        (br#"{"jsonrpc":"1.0","id":3,"method":"ping"}"#.to_vec(), json!(3), -32600),
        (br#"{"id":3,"method":"ping"}"#.to_vec(), json!(3), -32600),
        (br#"{"jsonrpc":"2.0","id":3,"method":7}"#.to_vec(), json!(3), -32600),
        (br#"{"jsonrpc":"2.0","id":3,"method":"ping","params":[1]}"#.to_vec(), json!(3), -32600),
        (br#"{"jsonrpc":"2.0","id":3}"#.to_vec(), json!(3), -32600),
    ];
    for era in ["legacy", "modern"] {
        let mut lines = opened(era).await;
        for (line, id, code) in &table {
            let shown =
                String::from_utf8_lossy(line.get(..60.min(line.len())).unwrap()).into_owned();
            lines.send_bytes(line).await;
            let answer = lines.ask("").await;
            assert_eq!(error_of(&answer), (id.clone(), *code), "{era}: {shown}: {answer}");
            still_serves(&mut lines, era).await;
        }
    }
}

#[tokio::test]
async fn what_asks_for_nothing_gets_nothing() {
    for era in ["legacy", "modern"] {
        let mut lines = opened(era).await;
        for line in [
            "",
            "   ",
            "\r",
            r#"{"jsonrpc":"2.0","id":99,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"nobody","error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/unheard"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12345}}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"panic"}}"#,
        ] {
            lines.send(line).await;
        }
        still_serves(&mut lines, era).await;
    }
}

#[tokio::test]
async fn requests_that_do_not_fit_have_their_codes() {
    for era in ["legacy", "modern"] {
        let mut lines = opened(era).await;
        let request = |method: &str, params: &str| match era {
            "legacy" => legacy(3, method, params),
            _ => modern(3, method, params),
        };
        for (method, params, code) in [
            ("nobody/knows", "", -32601),
            ("tools/call", r#""arguments":{}"#, -32602),
            ("tools/call", r#""name":7"#, -32602),
            ("tools/call", r#""name":"a","name":"b""#, -32602),
            ("tools/call", r#""name":"nobody""#, -32602),
            ("tools/list", r#""cursor":{}"#, -32602),
            ("tools/call", r#""name":"panic""#, -32603),
            ("tools/call", r#""name":"panic later""#, -32603),
        ] {
            let answer = lines.ask(&request(method, params)).await;
            assert_eq!(error_of(&answer), (json!(3), code), "{era}: {method} {params}: {answer}");
            still_serves(&mut lines, era).await;
        }
    }
}

#[tokio::test]
async fn an_id_in_flight_is_refused_and_the_first_call_goes_on() {
    for era in ["legacy", "modern"] {
        let mut lines = opened(era).await;
        lines.send(&call(era, "1", r#""name":"sleep""#)).await;
        let twice = lines.ask(&call(era, "1", r#""name":"echo""#)).await;
        assert_eq!(error_of(&twice), (json!(1), -32600));
        assert!(lines.next().await.unwrap().contains("slept"));
        still_serves(&mut lines, era).await;
    }
}

#[tokio::test]
async fn the_envelope_has_to_be_whole() {
    let mut lines = opened("modern").await;
    let whole = modern(3, "tools/list", "");
    for part in [
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}"#,
    ] {
        let answer = lines.ask(&whole.replace(part, "")).await;
        assert_eq!(error_of(&answer), (json!(3), -32602), "{answer}");
    }
    let without_name = r#""io.modelcontextprotocol/clientInfo":{"name":"lines","version":"1"},"#;
    assert!(lines.ask(&whole.replace(without_name, "")).await.contains(r#""result""#));
    assert_eq!(error_of(&lines.ask(&legacy(3, "tools/list", "")).await), (json!(3), -32602));
    let other = lines.ask(&whole.replace("2026-07-28", "2025-11-25")).await;
    same(
        &other,
        &json!({"jsonrpc": "2.0", "id": 3, "error": {
            "code": -32022,
            "message": "the protocol version `2025-11-25` is not served with an envelope",
            "data": {"requested": "2025-11-25", "supported": ["2026-07-28"]},
        }})
        .to_string(),
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_is_stopped() {
    let (io, mut lines) = Lines::pair();
    let limits = LimitsLayer::new().time_per_call(Duration::from_secs(7));
    tokio::spawn(serve(limits.layer(Tools), io));
    lines.ask(INITIALIZE).await;
    let stopped = lines.ask(&call("legacy", "1", r#""name":"never""#)).await;
    assert_eq!(error_of(&stopped), (json!(1), -32603));
    assert!(stopped.contains("longer than 7s"), "{stopped}");
    still_serves(&mut lines, "legacy").await;
}

#[tokio::test]
async fn calls_above_the_number_wait_for_their_turn() {
    let (io, mut lines) = Lines::pair();
    tokio::spawn(serve(LimitsLayer::new().calls_at_once(1).layer(Tools), io));
    lines.ask(INITIALIZE).await;
    for id in 1..=3 {
        lines.send(&call("legacy", &id.to_string(), r#""name":"sleep""#)).await;
    }
    for id in 1..=3 {
        let answer = lines.next().await.unwrap();
        assert!(answer.contains(&format!(r#""id":{id}"#)) && answer.contains("slept"), "{answer}");
    }
    let answer = lines.ask(&call("legacy", "4", r#""name":"panic""#)).await;
    assert_eq!(error_of(&answer), (json!(4), -32603));
    still_serves(&mut lines, "legacy").await;
}

#[tokio::test]
async fn a_flood_is_read_no_faster_than_it_is_answered() {
    let lines = opened("legacy").await;
    // The reader of the answers starts late; what is in between is bounded, and nothing is lost.
    let (reads, mut writes) = lines.split();
    let flood = tokio::spawn(async move {
        for id in 0..60_000 {
            writes.send(&call("legacy", &id.to_string(), r#""name":"echo""#)).await;
        }
        writes
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!flood.is_finished(), "reading has stopped");
    let mut reads = reads;
    for id in 0..60_000 {
        let answer = reads.next().await.unwrap();
        assert!(answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"#)), "{answer}");
    }
    flood.await.unwrap();
}

#[tokio::test]
async fn cancellations_pings_and_the_end_are_heard_although_no_call_has_room() {
    let mut lines = opened("legacy").await;
    for id in 0..300 {
        lines.send(&call("legacy", &format!("\"n{id}\""), r#""name":"never""#)).await;
    }
    let pong = lines.ask(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).await;
    assert!(pong.contains(r#""id":"p""#), "{pong}");
    for id in 0..300 {
        let params = format!(r#"{{"requestId":"n{id}"}}"#);
        let cancel =
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
        lines.send(&cancel).await;
    }
    still_serves(&mut lines, "legacy").await;
}

fn cancel(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
    )
}

#[tokio::test]
async fn what_is_given_up_while_it_waits_for_room_is_never_served() {
    let mut lines = Lines::to_tools();
    lines.ask(&INITIALIZE.replace("2025-06-18", "2025-03-26")).await;
    for id in 0..256 {
        lines.send(&call("legacy", &id.to_string(), r#""name":"never""#)).await;
    }
    let echo = |id: &str| call("legacy", id, r#""name":"echo","arguments":{"message":"served"}"#);
    lines.send(&echo(r#""one""#)).await;
    lines.send(&format!("[{},{}]", echo(r#""two""#), echo(r#""three""#))).await;
    lines.send(&format!("[{}]", echo(r#""four""#))).await;
    lines.send(&echo(r#""five""#)).await;
    for id in [r#""one""#, r#""two""#, r#""four""#, "0", "1"] {
        lines.send(&cancel(id)).await;
    }
    let batch = lines.next().await.unwrap();
    assert!(batch.contains(r#""id":"three""#) && !batch.contains(r#""id":"two""#), "{batch}");
    let last = lines.next().await.unwrap();
    assert!(last.contains(r#""id":"five""#), "{last}");
    // The ids are free again.
    assert!(lines.ask(&echo(r#""one""#)).await.contains(r#""id":"one","result""#));
}
