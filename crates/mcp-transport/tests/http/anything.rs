//! Whatever is sent is answered, and the next request is served.

use std::pin::Pin;
use std::time::Duration;

use http::{Method, Request};
use http_body::Body as _;
use mcp_transport::http::server::{HttpOptions, HttpServer};
use proptest::prelude::*;

use crate::common::{INITIALIZE, INITIALIZED, Tools, legacy, modern};

/// One change to a text.
fn changed(mut text: Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    const PIECES: [&[u8]; 8] =
        [b"[", b"]", b"{", b"\"", b",\"id\":null", b"\\u0000", b"\xff", b"\"_meta\":{},"];
    for (at, kind, byte) in changes {
        let at = at.index(text.len().max(1));
        match kind % 4 {
            0 if at < text.len() => text[at] = *byte,
            1 if at < text.len() => _ = text.remove(at),
            2 => text.truncate(at),
            _ => {
                let piece = PIECES[usize::from(*byte) % PIECES.len()];
                text.splice(at..at, piece.iter().copied());
            }
        }
    }
    text
}

/// A body that is there.
struct Whole(Option<bytes::Bytes>);

impl http_body::Body for Whole {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

/// What is asked, and the status and the text of the answer; streams are read to their first piece.
async fn ask(
    server: &HttpServer,
    method: &Method,
    head: &[(&str, &str)],
    body: Vec<u8>,
) -> (u16, Vec<u8>) {
    let mut request = Request::builder().method(method).uri("/mcp").header("host", "localhost");
    for (name, value) in head {
        request = request.header(*name, *value);
    }
    let request = request.body(Whole(Some(body.into()))).unwrap();
    let answer = async {
        let answer = server.serve(request).await.unwrap();
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let data = frame.map(|frame| frame.unwrap().into_data().unwrap().to_vec());
        (status, data.unwrap_or_default())
    };
    tokio::time::timeout(Duration::from_secs(10), answer).await.expect("an answer")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn anything_is_answered(
        message in 0..9_usize,
        changes in prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 0..4),
        method in prop::sample::select(vec![Method::POST, Method::POST, Method::POST, Method::GET, Method::DELETE]),
        version in prop::sample::select(vec!["", "2025-03-26", "2025-11-25", "2026-07-28", "x"]),
        session in any::<bool>(),
        stateless in any::<bool>(),
        last in prop::sample::select(vec!["", "0-1", "1-0", "1-18446744073709551615", "-", "a-b"]),
    ) {
        let call = r#""name":"echo","arguments":{"message":"hi"}"#;
        let messages = [
            modern(1, "tools/call", call),
            modern(1, "tools/list", ""),
            modern(1, "server/discover", ""),
            modern(1, "subscriptions/listen", r#""notifications":{}"#),
            legacy(1, "tools/call", call),
            INITIALIZE.to_owned(),
            INITIALIZED.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
            format!("[{},{INITIALIZED}]", legacy(1, "tools/call", call)),
        ];
        let body = changed(messages[message].clone().into_bytes(), &changes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut options = HttpOptions::default();
            options.stateless = stateless;
            let server = HttpServer::with(Tools, options);
            let media = [
                ("content-type", "application/json"),
                ("accept", "application/json, text/event-stream"),
            ];
            let mut head = media.to_vec();
            let request = Request::post("/mcp").header("host", "localhost").header(media[0].0, media[0].1);
            let begun = server.serve(request.body(INITIALIZE.to_owned()).unwrap()).await.unwrap();
            let id = begun.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
            for (name, value) in [("mcp-protocol-version", version), ("last-event-id", last)] {
                if !value.is_empty() {
                    head.push((name, value));
                }
            }
            if let Some(id) = id.as_deref().filter(|_| session) {
                head.push(("mcp-session-id", id));
            }
            for method_name in ["tools/call", "tools/list"] {
                if messages[message].contains(method_name) {
                    head.push(("mcp-method", method_name));
                }
            }
            head.push(("mcp-name", "echo"));
            let (status, text) = ask(&server, &method, &head, body.clone()).await;
            let shown = String::from_utf8_lossy(&body);
            prop_assert!(matches!(status, 200 | 202 | 204 | 400 | 404 | 405), "{status} {shown}");
            if status >= 400 {
                let error: serde_json::Value = serde_json::from_slice(&text).unwrap();
                prop_assert!(error["error"]["code"].as_i64().is_some_and(|code| code < 0));
            }
            // And the next one is served.
            let head = [media[0], media[1], ("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
            let (status, text) = ask(&server, &Method::POST, &head, modern(1, "tools/call", call).into_bytes()).await;
            prop_assert_eq!(status, 200);
            prop_assert!(String::from_utf8(text).unwrap().contains("\"hi\""));
            Ok(())
        })?;
    }
}
