//! Requests to an HTTP server, from the guard and the classifier to the answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use mcp_server::Server;
use mcp_server::types::{JsonSchema, Tool};
use mcp_transport::http::server::{HttpOptions, HttpServer};

/// A method on the first line, headers on the next, and after an empty line a body.
///
/// # Panics
///
/// When no answer comes, one is the server's fault, or a foreign host is served.
pub fn http(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("the system gives an event loop");
    for stateless in [true, false] {
        let Some((request, is_foreign)) = request(data) else { return };
        runtime.block_on(async {
            let answer = tokio::time::timeout(Duration::from_secs(10), ask(stateless, request));
            let (status, body) = answer.await.expect("every request is answered");
            assert!(!status.is_server_error(), "{status} {body:?}");
            assert!(!is_foreign || status.is_client_error(), "a foreign host is served: {status}");
        });
    }
}

fn request(data: &[u8]) -> Option<(Request<Whole>, bool)> {
    let end = memchr::memmem::find(data, b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(end);
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut request = Request::builder().method(lines.next()?).uri("/mcp");
    for line in lines {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = line.split_at(colon);
        request = request.header(name, value.get(1..)?.trim_ascii());
    }
    let body = Bytes::copy_from_slice(body.get(2..).unwrap_or_default());
    let request = request.body(Whole(Some(body))).ok()?;
    let hosts: Vec<_> = request.headers().get_all("host").iter().collect();
    let is_foreign =
        hosts.iter().any(|host| memchr::memmem::find(host.as_bytes(), b"evil").is_some());
    Some((request, is_foreign))
}

async fn ask(stateless: bool, request: Request<Whole>) -> (StatusCode, Bytes) {
    let mut options = HttpOptions::default();
    options.stateless = stateless;
    let echo = Tool::new("echo", JsonSchema::empty_object());
    let server = Server::new("s", "1").tool_fn(echo, async |_, _| "said").build();
    let server = HttpServer::with(server.expect("a server"), options);
    let answer = server.serve(request).await.unwrap_or_else(|never| match never {});
    let status = answer.status();
    let mut body = answer.into_body();
    // A stream may have nothing to say yet.
    let first = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(frame.into_data().unwrap_or_default()),
        _ => Poll::Ready(Bytes::new()),
    });
    (status, first.await)
}

/// A body that is there.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
