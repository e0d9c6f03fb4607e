//! T26: a page in the user's browser that makes its own name resolve to the user's machine.

use mcp_server::{server, tool};
use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Says what only the user should read.
#[tool]
fn read_diary() -> &'static str {
    "dear diary"
}

/// What a browser sends for a page of `http://evil.example`, whose name leads here now.
async fn ask(options: HttpOptions, host: &str, origin: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tools = server!().tool::<read_diary>().build().unwrap();
    let server = HttpServer::with(tools, options);
    tokio::spawn(serve_http(server, listener, std::future::pending()));
    let host = host.replace("PORT", &address.port().to_string());
    let origin = origin.replace("PORT", &address.port().to_string());
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_diary","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: read_diary\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_foreign_name_or_page_reads_nothing() {
    let open =
        || HttpOptions::default().dangerously_allow_any_host().dangerously_allow_any_origin();
    let rebound = ("evil.example:PORT", "http://evil.example:PORT");
    let foreign = ("127.0.0.1:PORT", "http://evil.example");
    for (host, origin) in [rebound, foreign] {
        assert!(ask(open(), host, origin).await.contains("dear diary"), "{host}: no attack");
        let refused = ask(HttpOptions::default(), host, origin).await;
        assert!(refused.starts_with("HTTP/1.1 403") && !refused.contains("diary"), "{refused}");
    }
    let own = ask(HttpOptions::default(), "127.0.0.1:PORT", "http://127.0.0.1:PORT").await;
    assert!(own.contains("dear diary"), "{own}");
}
