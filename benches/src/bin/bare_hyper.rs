//! The limit: an echo on hyper and serde_json that knows no protocol, to be measured beside
//! `examples/bench_server`: `bare_hyper ADDRESS`.
//!
//! It reads the call by types, answers in the shape that a client expects, checks nothing and can do
//! nothing else.

use std::borrow::Cow;
use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Serialize)]
struct Answer<'a> {
    jsonrpc: &'a str,
    id: Option<&'a RawValue>,
    result: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    result_type: &'a str,
    content: [Block<'a>; 1],
}

#[derive(Serialize)]
struct Block<'a> {
    r#type: &'a str,
    text: &'a str,
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let call: Call<'_> = match serde_json::from_slice(&body) {
        Ok(call) => call,
        Err(_) => Call { id: None, params: None },
    };
    let arguments = call.params.and_then(|params| params.arguments);
    let text = arguments.as_ref().map_or("", |arguments| &*arguments.message);
    let content = [Block { r#type: "text", text }];
    let result = Outcome { result_type: "complete", content };
    let answer = Answer { jsonrpc: "2.0", id: call.id, result };
    let text = serde_json::to_vec(&answer).unwrap_or_default();
    let mut response = Response::new(Full::new(text.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9400".to_owned());
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A connection that fails concerns nobody else.
            let serving =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo));
            let _: Result<(), Infallible> = serving.await.or(Ok(()));
        });
    }
}
