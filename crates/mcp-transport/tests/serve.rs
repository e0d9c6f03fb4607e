//! Both eras against a served stream, line by line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{INITIALIZE, INITIALIZED, Lines, legacy, modern, same};

#[tokio::test]
async fn a_legacy_client_gets_its_handshake_and_its_calls() {
    let mut lines = Lines::to_tools();
    let answer = lines.ask(INITIALIZE).await;
    same(
        &answer,
        r#"{"jsonrpc":"2.0","id":0,"result":{"capabilities":{"tools":{}},"instructions":"call a tool","protocolVersion":"2025-06-18","serverInfo":{"name":"tools","version":"1.0.0"}}}"#,
    );
    lines.send(INITIALIZED).await;
    same(
        &lines.ask(&legacy(1, "tools/list", "")).await,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"inputSchema":{"type":"object"},"name":"echo"}]}}"#,
    );
    same(
        &lines
            .ask(&legacy(r#""a""#, "tools/call", r#""name":"echo","arguments":{"message":"hi"}"#))
            .await,
        r#"{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"hi"}]}}"#,
    );
    let who = lines.ask(&legacy(2, "tools/call", r#""name":"who""#)).await;
    assert!(who.contains(r#""text":"lines""#), "{who}");
    assert_eq!(lines.ask(&legacy(3, "ping", "")).await, r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
    let again = lines.ask(INITIALIZE).await;
    assert!(again.contains("-32600"), "{again}");
    let discover = lines.ask(&legacy(4, "server/discover", "")).await;
    assert!(discover.contains("-32601"), "{discover}");
}

#[tokio::test]
async fn a_modern_client_needs_no_handshake() {
    let mut lines = Lines::to_tools();
    let answer = lines.ask(&modern(1, "server/discover", "")).await;
    for part in
        [r#""supportedVersions":["2026-07-28"]"#, r#""resultType":"complete""#, r#""name":"tools""#]
    {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    let echo =
        lines.ask(&modern(2, "tools/call", r#""name":"echo","arguments":{"message":"hi"}"#)).await;
    for part in
        [r#""text":"hi""#, r#""resultType":"complete""#, r#""io.modelcontextprotocol/serverInfo""#]
    {
        assert!(echo.contains(part), "{part} in {echo}");
    }
    let who = lines.ask(&modern(3, "tools/call", r#""name":"who""#)).await;
    assert!(who.contains(r#""text":"lines""#), "{who}");
}

#[tokio::test]
async fn a_modern_call_that_comes_first_tells_who_the_server_is() {
    let mut lines = Lines::to_tools();
    let echo =
        lines.ask(&modern(1, "tools/call", r#""name":"echo","arguments":{"message":"hi"}"#)).await;
    assert!(echo.contains(r#"/serverInfo""#), "{echo}");
}

#[tokio::test]
async fn what_comes_too_early_is_told_what_to_do() {
    let mut lines = Lines::to_tools();
    let early = lines.ask(&legacy(1, "tools/list", "")).await;
    assert!(early.contains("-32602") && early.contains("send `initialize` first"), "{early}");
    assert_eq!(lines.ask(&legacy(2, "ping", "")).await, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
    let unknown = modern(3, "tools/list", "").replace("2026-07-28", "1900-01-01");
    let unknown = lines.ask(&unknown).await;
    for part in ["-32022", r#""requested":"1900-01-01""#, r#""supported":["2026-07-28"]"#] {
        assert!(unknown.contains(part), "{part} in {unknown}");
    }
    // A refused probe leaves the way to a handshake open.
    assert!(lines.ask(INITIALIZE).await.contains("2025-06-18"));
}

#[tokio::test]
async fn each_legacy_revision_is_agreed_and_an_unknown_one_gets_an_offer() {
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-11-25", "2025-11-25"),
        ("2031-01-01", "2025-11-25"),
    ] {
        let mut lines = Lines::to_tools();
        let answer = lines.ask(&INITIALIZE.replace("2025-06-18", asked)).await;
        assert!(answer.contains(&format!(r#""protocolVersion":"{agreed}""#)), "{answer}");
    }
}

#[tokio::test]
async fn the_metadata_of_a_handshake_goes_both_ways() {
    let mut lines = Lines::to_tools();
    let meta = r#""params":{"_meta":{"dev.example/sent":[1]},"#;
    let answer = lines.ask(&INITIALIZE.replace(r#""params":{"#, meta)).await;
    assert!(answer.contains(r#""_meta":{"dev.example/back":[1]}"#), "{answer}");
}

#[tokio::test]
async fn a_slow_call_does_not_hold_up_the_next() {
    let mut lines = Lines::to_tools();
    lines.ask(INITIALIZE).await;
    lines.send(&legacy(1, "tools/call", r#""name":"sleep""#)).await;
    let next = lines.ask(&legacy(2, "tools/call", r#""name":"echo""#)).await;
    assert!(next.contains(r#""id":2"#), "{next}");
    lines.send(&legacy(3, "tools/call", r#""name":"blocking""#)).await;
    // Which of the two is first is up to the clock.
    let mut both = [lines.next().await.unwrap(), lines.next().await.unwrap()];
    both.sort();
    assert!(both[0].contains("slept") && both[1].contains("from a thread"), "{both:?}");
}

#[tokio::test]
async fn progress_leaves_in_order_and_before_the_answer() {
    let mut lines = Lines::to_tools();
    lines.ask(INITIALIZE).await;
    lines
        .send(&legacy(1, "tools/call", r#""name":"progress","_meta":{"progressToken":"t"}"#))
        .await;
    for step in 1..=200 {
        let line = lines.next().await.unwrap();
        let expected = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":{step},"progressToken":"t"}}}}"#
        );
        same(&line, &expected);
    }
    assert!(lines.next().await.unwrap().contains("done"));
}

#[tokio::test]
async fn log_messages_are_held_to_the_level() {
    let mut lines = Lines::to_tools();
    lines.ask(INITIALIZE).await;
    let log = r#""name":"log""#;
    let count =
        |answers: &[String]| answers.iter().filter(|a| a.contains("notifications/message")).count();
    for (level, expected) in [("", 2), ("debug", 3), ("critical", 0), ("error", 1)] {
        if !level.is_empty() {
            let answer =
                lines.ask(&legacy(7, "logging/setLevel", &format!(r#""level":"{level}""#))).await;
            assert_eq!(answer, r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        }
        lines.send(&legacy(1, "tools/call", log)).await;
        let mut answers = Vec::new();
        while !answers.last().is_some_and(|line: &String| line.contains("logged")) {
            answers.push(lines.next().await.unwrap());
        }
        assert_eq!(count(&answers), expected, "{level}: {answers:?}");
    }
    let wrong = lines.ask(&legacy(8, "logging/setLevel", r#""level":"loud""#)).await;
    assert!(wrong.contains("-32602"), "{wrong}");
}

#[tokio::test]
async fn a_cancelled_call_is_silent() {
    let mut lines = Lines::to_tools();
    lines.ask(INITIALIZE).await;
    lines.send(&legacy(1, "tools/call", r#""name":"never""#)).await;
    lines
        .send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"x"}}"#)
        .await;
    // The id is free again, and nothing was sent for the first use.
    let echo = lines.ask(&legacy(1, "tools/call", r#""name":"echo""#)).await;
    assert!(echo.contains(r#""id":1,"result""#), "{echo}");
}

#[tokio::test]
async fn a_legacy_client_is_asked_by_requests_and_the_tool_is_entered_again() {
    let mut lines = Lines::to_tools();
    lines.ask(INITIALIZE).await;
    let question = lines.ask(&legacy(1, "tools/call", r#""name":"ask""#)).await;
    assert!(
        question.starts_with(r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"#),
        "{question}"
    );
    let answer = lines
        .ask(r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept","content":{"name":"Ada"}}}"#)
        .await;
    assert!(answer.contains(r#"Ada"#) && answer.contains("kept attempt 1"), "{answer}");

    lines.ask(&legacy(2, "tools/call", r#""name":"ask""#)).await;
    let refused =
        lines.ask(r#"{"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"not now"}}"#).await;
    assert!(refused.contains(r#""id":2,"error""#) && refused.contains("not now"), "{refused}");

    lines.ask(&legacy(3, "tools/call", r#""name":"ask""#)).await;
    let withdrawn = lines
        .ask(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#)
        .await;
    assert!(
        withdrawn.contains("notifications/cancelled") && withdrawn.contains(r#""requestId":3"#)
    );
}

#[tokio::test]
async fn a_modern_client_is_told_what_is_needed() {
    let mut lines = Lines::to_tools();
    let asked = lines.ask(&modern(1, "tools/call", r#""name":"ask""#)).await;
    for part in
        [r#""resultType":"input_required""#, r#""requestState":"kept""#, "elicitation/create"]
    {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    let answers =
        r#""name":"ask","requestState":"kept","inputResponses":{"name":{"action":"accept"}}"#;
    let done = lines.ask(&modern(2, "tools/call", answers)).await;
    assert!(done.contains("kept attempt 0"), "{done}");
}

#[tokio::test]
async fn batches_are_split_and_joined_in_the_one_revision_that_has_them() {
    let mut lines = Lines::to_tools();
    lines.ask(&INITIALIZE.replace("2025-06-18", "2025-03-26")).await;
    let batch = format!(
        "[{},{},{},{},7]",
        legacy(1, "tools/call", r#""name":"sleep""#),
        INITIALIZED,
        legacy(2, "ping", ""),
        legacy(3, "nobody/knows", ""),
    );
    let answer = lines.ask(&batch).await;
    assert!(answer.starts_with('[') && answer.ends_with(']'), "{answer}");
    for part in
        [r#""id":1,"result""#, r#""id":2,"result":{}"#, r#""id":3,"error""#, "-32600", "slept"]
    {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    assert!(lines.ask("[]").await.contains("-32600"));
    // A batch of what wants no answer gets none.
    lines.send(&format!("[{INITIALIZED}]")).await;
    assert!(lines.ask(&legacy(9, "ping", "")).await.contains(r#""id":9"#));
}

#[tokio::test]
async fn the_last_line_needs_no_newline_and_what_is_in_flight_is_finished() {
    let (io, mut lines) = Lines::pair();
    let served = tokio::spawn(mcp_transport::serve(common::Tools, io));
    lines.ask(INITIALIZE).await;
    lines.send_bytes(legacy(1, "tools/call", r#""name":"sleep""#).as_bytes()).await;
    lines.end().await;
    assert!(lines.next().await.unwrap().contains("slept"));
    assert_eq!(lines.next().await, None);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_of_the_input_does_not_wait_for_a_tool_that_never_ends() {
    let (io, mut lines) = Lines::pair();
    let served = tokio::spawn(mcp_transport::serve(common::Tools, io));
    lines.ask(INITIALIZE).await;
    lines.send(&legacy(1, "tools/call", r#""name":"never""#)).await;
    lines.end().await;
    let end = tokio::time::timeout(std::time::Duration::from_secs(2), served).await;
    end.expect("serving ends").unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_goes_away_is_no_error() {
    let (io, mut lines) = Lines::pair();
    let served = tokio::spawn(mcp_transport::serve(common::Tools, io));
    lines.send(INITIALIZE).await;
    drop(lines);
    served.await.unwrap().unwrap();
}

/// Sends calls whose answers are more than is kept for a client that does not read.
async fn send_more_than_is_kept(lines: &mut Lines) {
    let message = "x".repeat(4_000);
    for id in 0..100 {
        let params = format!(r#""name":"echo","arguments":{{"message":"{message}"}}"#);
        lines.send(&legacy(id, "tools/call", &params)).await;
    }
}

#[tokio::test]
async fn the_end_of_the_input_is_seen_although_nobody_reads() {
    let (io, mut lines) = Lines::pair();
    let served = tokio::spawn(mcp_transport::serve(common::Tools, io));
    lines.ask(INITIALIZE).await;
    send_more_than_is_kept(&mut lines).await;
    lines.end().await;
    let end = tokio::time::timeout(std::time::Duration::from_secs(3), served).await;
    end.expect("serving ends").unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_all_that_it_asked_for_before_the_end_of_the_input() {
    let (io, mut lines) = Lines::pair();
    let served = tokio::spawn(mcp_transport::serve(common::Tools, io));
    lines.ask(INITIALIZE).await;
    send_more_than_is_kept(&mut lines).await;
    lines.end().await;
    for id in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let answer = lines.next().await.expect("an answer");
        assert!(answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"#)), "{answer}");
    }
    assert_eq!(lines.next().await, None);
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_writes_on_and_never_reads_ends_its_connection() {
    let (io, mut lines) = Lines::pair();
    let served = tokio::spawn(mcp_transport::serve(common::Tools, io));
    lines.ask(INITIALIZE).await;
    let start = tokio::time::Instant::now();
    let flood = async {
        loop {
            send_more_than_is_kept(&mut lines).await;
        }
    };
    let second = std::time::Duration::from_secs(1);
    assert!(tokio::time::timeout(second, flood).await.is_err(), "reading stops");
    // The end of the input stands behind what nobody reads.
    lines.end().await;
    let end = tokio::time::timeout(100 * second, served).await;
    let error = end.expect("serving ends").unwrap().unwrap_err();
    assert!(error.to_string().contains("does not read"), "{error}");
    assert!(start.elapsed() >= 60 * second, "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_is_given_up_while_nobody_reads_is_never_served() {
    let (io, mut lines) = Lines::pair();
    tokio::spawn(mcp_transport::serve(common::Tools, io));
    lines.ask(INITIALIZE).await;
    send_more_than_is_kept(&mut lines).await;
    lines.send(&legacy(200, "tools/call", r#""name":"echo""#)).await;
    lines.send(&legacy(201, "ping", "")).await;
    lines
        .send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":200}}"#)
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    for id in (0..100).chain([201]) {
        let answer = lines.next().await.unwrap();
        assert!(answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"#)), "{answer}");
    }
}

/// 2026-07-28, "Versioning and Compatibility": a request with an envelope is served by its own
/// revision, a handshake is for the requests without one, and a server may serve both.
#[tokio::test]
async fn each_request_is_served_in_the_era_in_which_it_is_asked() {
    let echo = r#""name":"echo","arguments":{"message":"hi"}"#;
    for first in ["handshake", "envelope"] {
        let mut lines = Lines::to_tools();
        if first == "envelope" {
            let found = lines.ask(&modern(1, "server/discover", "")).await;
            assert!(found.contains("supportedVersions"), "{found}");
            let bare = lines.ask(&legacy(2, "tools/call", echo)).await;
            assert!(bare.contains("-32602"), "there was no handshake: {bare}");
        }
        assert!(lines.ask(INITIALIZE).await.contains(r#""protocolVersion":"2025-06-18""#));
        for round in 0..2 {
            let enveloped = lines.ask(&modern(3, "tools/call", echo)).await;
            for part in [r#""resultType":"complete""#, r#"/serverInfo""#, r#""text":"hi""#] {
                assert!(enveloped.contains(part), "{first} {round}: {part} in {enveloped}");
            }
            let bare = lines.ask(&legacy(4, "tools/call", echo)).await;
            same(
                &bare,
                r#"{"jsonrpc":"2.0","id":4,"result":{"content":[{"type":"text","text":"hi"}]}}"#,
            );
        }
        // No request is written to a client that did not ask in the era that has them.
        let asked = lines.ask(&modern(5, "tools/call", r#""name":"ask""#)).await;
        assert!(asked.contains(r#""resultType":"input_required""#), "{first}: {asked}");
        let question = lines.ask(&legacy(6, "tools/call", r#""name":"ask""#)).await;
        assert!(question.contains(r#""method":"elicitation/create""#), "{first}: {question}");
        let found = lines.ask(&modern(7, "server/discover", "")).await;
        assert!(found.contains("supportedVersions"), "{first}: {found}");
        let unknown = modern(8, "tools/list", "").replace("2026-07-28", "1900-01-01");
        assert!(lines.ask(&unknown).await.contains("-32022"), "{first}");
        assert!(lines.ask(INITIALIZE).await.contains("-32600"), "{first}: one handshake");
    }
}

#[tokio::test]
async fn a_progress_token_of_null_is_none() {
    let mut lines = Lines::to_tools();
    lines.ask(INITIALIZE).await;
    let call = legacy(1, "tools/call", r#""name":"progress","_meta":{"progressToken":null}"#);
    assert!(lines.ask(&call).await.contains("done"));
}

#[tokio::test]
async fn a_text_with_line_breaks_is_still_one_line() {
    // A gateway sends on what another server wrote, which must not become a message of its own.
    let mut lines = Lines::to_tools();
    let answer = lines.ask(&modern(1, "tools/call", r#""name":"breaks""#)).await;
    let data = r#""structuredContent":{"a": {"jsonrpc":"2.0","id":2,"result":{}}  }"#;
    assert!(answer.contains(r#""id":1"#) && answer.contains(data), "{answer}");
    let next = lines.ask(&modern(2, "tools/list", "")).await;
    assert!(next.contains(r#""tools""#), "{next}");
}
