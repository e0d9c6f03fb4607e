//! Our client at our server, in both eras.

use mcp_transport::Era;
use mcp_transport::http::server::{HttpServer, serve_http};
use mcp_types::*;

use crate::common::Tools;
use crate::*;

async fn both() -> Vec<HttpConnection> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(serve_http(HttpServer::new(Tools), listener, std::future::pending()));
    let eras = [Era::Modern, Era::Legacy];
    let connect = |era| {
        let mut options = options();
        options.config.era = Some(era);
        options.config.client_capabilities.elicitation = Some(ClientCapabilitiesElicitation::new());
        connect_http_with(&url, options).unwrap()
    };
    eras.map(connect).into()
}

#[tokio::test]
async fn calls_are_answered() {
    for connection in both().await {
        let found = soon(send(&connection, discover())).await.unwrap();
        let Outcome::Complete(ServerResult::Discover(found)) = found else { panic!("{found:?}") };
        assert_eq!(found.server_info().unwrap().name, "tools");
        assert!(matches!(
            soon(send(&connection, list())).await,
            Ok(Outcome::Complete(ServerResult::ListTools(listing))) if listing.tools.len() == 1
        ));
        let message = "grün \"x\"\n\u{1f642}";
        let arguments = serde_json::json!({ "message": message }).to_string();
        let answer = soon(send(&connection, tool_with("echo", &arguments))).await;
        assert_eq!(said(&answer), message);
        assert_eq!(said(&soon(send(&connection, tool("who"))).await), "tester");
        assert_eq!(said(&soon(send(&connection, tool("sleep"))).await), "slept");
        let unknown = soon(send(&connection, tool("nothing"))).await.unwrap_err();
        assert_eq!((unknown.code, unknown.origin), (-32602, Origin::Service));
        let panicked = soon(send(&connection, tool("panic"))).await.unwrap_err();
        assert_eq!((panicked.code, panicked.origin), (-32603, Origin::Service));
        soon(connection.close()).await;
    }
}

#[tokio::test]
async fn notifications_questions_and_crowds() {
    for connection in both().await {
        let notes = Notes::default();
        let mut exchange = notes.exchange(tool("progress"));
        exchange.context.progress_token = Some("mine".into());
        assert_eq!(said(&soon(connection.clone().call(exchange)).await), "done");
        let steps: Vec<_> = notes
            .taken()
            .into_iter()
            .filter_map(|note| match note {
                ServerNotification::Progress(at) if at.progress_token == "mine".into() => {
                    Some(at.progress)
                }
                _ => None,
            })
            .collect();
        assert_eq!(steps, (1..=200).map(f64::from).collect::<Vec<_>>());

        let asked = soon(send(&connection, tool("ask"))).await.unwrap();
        let Outcome::InputRequired(asked) = asked else { panic!("{asked:?}") };
        let key = asked.input_requests.unwrap().into_keys().next().unwrap();
        let mut again = Exchange::new(tool("ask"));
        again.context.request_state = asked.request_state;
        let answer = RawText::new(r#"{"action":"accept","content":{"name":"Ada"}}"#).unwrap();
        again.context.input_responses = Some(Members::from_iter([(key, answer)]));
        let answer = soon(connection.clone().call(again)).await;
        assert!(said(&answer).contains(r#""name":"Ada""#), "{answer:?}");

        let calls = (0..100).map(|n| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let arguments = format!(r#"{{"message":"{n}"}}"#);
                send(&connection, tool_with("echo", &arguments)).await
            })
        });
        for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(said(&soon(call).await.unwrap()), n.to_string());
        }
        soon(connection.close()).await;
    }
}

#[tokio::test]
async fn a_call_is_given_up_and_the_connection_goes_on() {
    for connection in both().await {
        let never = send(&connection, tool("never"));
        assert!(tokio::time::timeout(Duration::from_millis(300), never).await.is_err());
        assert_eq!(said(&soon(send(&connection, tool("sleep"))).await), "slept");
        soon(connection.close()).await;
    }
}
