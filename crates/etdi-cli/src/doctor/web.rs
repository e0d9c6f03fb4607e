//! HTTP: whether what answers at the URL is a server of the protocol.

use std::net::SocketAddr;
use std::time::SystemTime;

use etdi::core::change::visible;
use http::StatusCode;
use http::header::{DATE, LOCATION, WWW_AUTHENTICATE};

use super::place::Place;
use super::said::{Answer, Asked, Dialled, Unanswered, ask, banner};
use super::{Examination, Fault, Whose};
use crate::exit::Exit;
use crate::verbs::target::quoted;

/// Asks the URL; gives an answer of the protocol, or one that wants a login.
pub(super) async fn examine(
    place: &Place,
    dialled: Dialled,
    addresses: &[SocketAddr],
    examination: &mut Examination,
) -> Result<Answer, Fault> {
    examination.looking("asking by HTTP");
    let patience = examination.patience;
    let answer = ask(place, addresses, Some(dialled), Asked::Discovery, None, patience).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(unanswered) => return Err(no_answer(place, addresses, unanswered, examination).await),
    };
    let status = answer.status;
    if wants_login(&answer) {
        examination.passed("http", format!("it answers with status {}", status.as_u16()));
        clock(&answer, examination);
        return Ok(answer);
    }
    // A server of the protocol also answers at paths at which it is not.
    let is_elsewhere = matches!(status.as_u16(), 404 | 410)
        && elsewhere(place, addresses, examination).await.is_some();
    if answer.is_rpc() && !is_elsewhere {
        examination
            .passed("http", format!("it answers in JSON-RPC, with status {}", status.as_u16()));
        clock(&answer, examination);
        return Ok(answer);
    }
    if takes_no_post(status) && !is_elsewhere {
        let stream = ask(place, addresses, None, Asked::Stream, None, patience).await;
        if let Ok(stream) = stream
            && stream.status.is_success()
            && stream.kind() == "text/event-stream"
        {
            let what = "it answers as HTTP+SSE, the transport of the first revision";
            let advice = "serve Streamable HTTP as well, clients are giving the older one up";
            examination.warned("http", Whose::ServerOperator, what, advice);
            clock(&stream, examination);
            return Ok(stream);
        }
    }
    Err(not_ours(place, addresses, &answer, examination).await)
}

/// Whether an answer says that one has to say who one is.
pub(super) fn wants_login(answer: &Answer) -> bool {
    let challenged = answer.headers.contains_key(WWW_AUTHENTICATE);
    answer.status == StatusCode::UNAUTHORIZED
        || (answer.status == StatusCode::FORBIDDEN && challenged)
}

fn takes_no_post(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 406 | 415 | 501)
}

async fn no_answer(
    place: &Place,
    addresses: &[SocketAddr],
    unanswered: Unanswered,
    examination: &Examination,
) -> Fault {
    let curl = format!("curl -i {}", quoted(&place.shown()));
    let operator = |what: String, advice: &str| {
        let fault = Fault::new("http", Whose::ServerOperator, what, advice);
        fault.exit(Exit::Unreachable).next(curl.clone())
    };
    let why = match unanswered {
        Unanswered::Late => {
            let seconds = examination.patience.as_secs();
            let what = format!("it took the request and did not answer within {seconds} seconds");
            return operator(
                what,
                "the server hangs, or waits for something behind it: read its log",
            );
        }
        Unanswered::Gone => {
            let what = "it took one connection and then no other".to_owned();
            return operator(what, "the server has ended, or takes one client at a time");
        }
        Unanswered::NoHttp(why) | Unanswered::Closed(why) => why,
    };
    let said = banner(addresses, place, examination.patience).await;
    match said.as_deref() {
        Some("TLS") if !place.secure => speaks_tls(place),
        Some(said) if !said.starts_with("HTTP/") => {
            let what = format!("port {} speaks no HTTP, it says `{said}`", place.port);
            let advice = "another program listens there: is the port right?";
            Fault::new("http", Whose::You, what, advice).exit(Exit::Unreachable).next(curl)
        }
        _ => {
            let what = format!("it closed the connection before it answered: {}", visible(&why));
            operator(what, "the server failed over the request, or a proxy before it: read its log")
        }
    }
}

fn speaks_tls(place: &Place) -> Fault {
    let secure = place.origin.replacen("http:", "https:", 1);
    let what = format!("port {} speaks TLS, and the URL says `http://`", place.port);
    let next = format!("etdi doctor -- {}", quoted(&format!("{secure}{}", place.path)));
    let fault = Fault::new("http", Whose::You, what, "dial it with `https://`");
    fault.exit(Exit::Unreachable).next(next)
}

/// Whose fault an answer is that is none of the protocol.
async fn not_ours(
    place: &Place,
    addresses: &[SocketAddr],
    answer: &Answer,
    examination: &Examination,
) -> Fault {
    let status = answer.status.as_u16();
    let excerpt = answer.excerpt();
    let said = if excerpt.is_empty() { String::new() } else { format!(": {excerpt}") };
    let curl = format!("curl -i {}", quoted(&place.shown()));
    let operator = |what: String, advice: &str| {
        let fault = Fault::new("http", Whose::ServerOperator, what, advice);
        fault.exit(Exit::Unreachable).next(curl.clone())
    };
    let yours = |what: String, advice: String, next: String| {
        Fault::new("http", Whose::You, what, advice).exit(Exit::Unreachable).next(next)
    };
    let text = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    if status == 400 && !place.secure && text.contains("https") {
        return speaks_tls(place);
    }
    match status {
        300..=399 => {
            let to = answer.header(LOCATION).map(visible).unwrap_or_default().into_owned();
            let what = format!("it answers with status {status} and sends on to `{to}`");
            let next = match to.starts_with("http://") || to.starts_with("https://") {
                true => format!("etdi doctor -- {}", quoted(&to)),
                false => curl.clone(),
            };
            let advice = "requests carry secrets and are not sent on; dial the new URL yourself";
            yours(what, advice.to_owned(), next)
        }
        407 | 511 => {
            let what = format!("something on the way answers with status {status}{said}");
            let advice = "this network wants a log-in, or its proxy does: open a page in a browser";
            Fault::new("http", Whose::Network, what, advice).exit(Exit::Unreachable).next(curl)
        }
        429 => {
            let what = "it has too many requests (status 429)".to_owned();
            operator(what, "wait a while, then ask again; its operator sets the limit")
        }
        403 => {
            let what = format!("it forbids the request (status 403){said}");
            operator(what, "is this computer's address or host name one that it lets in?")
        }
        500..=599 => {
            let what = format!("it fails with status {status}{said}");
            operator(what, "the server, or what is behind its proxy, is down: read its log")
        }
        _ => {
            let found = elsewhere(place, addresses, examination).await;
            let kind = answer.kind();
            let what = match status {
                404 | 410 => format!("there is nothing at `{}` (status {status})", place.shown()),
                _ if kind == "text/html" => {
                    format!("a web page is at `{}`, no MCP server (status {status})", place.shown())
                }
                _ => format!(
                    "what is at `{}` is no MCP server: status {status}, {}{said}",
                    place.shown(),
                    if kind.is_empty() {
                        "without a type".to_owned()
                    } else {
                        visible(&kind).into_owned()
                    }
                ),
            };
            match found {
                Some(url) => {
                    let advice = format!("there is one at `{}`", visible(&url));
                    yours(what, advice, format!("etdi doctor -- {}", quoted(&url)))
                }
                None => {
                    let advice =
                        "is the path right? It often is `/mcp`, its documentation says which";
                    yours(what, advice.to_owned(), curl)
                }
            }
        }
    }
}

/// Where servers often are.
const USUAL: [&str; 3] = ["/mcp", "/sse", "/"];

/// A path of the same origin at which a server of the protocol answers.
async fn elsewhere(
    place: &Place,
    addresses: &[SocketAddr],
    examination: &Examination,
) -> Option<String> {
    for path in USUAL.into_iter().filter(|path| *path != place.path) {
        let place = place.at(path);
        let asked = if path == "/sse" { Asked::Stream } else { Asked::Discovery };
        let answer = ask(&place, addresses, None, asked, None, examination.patience).await;
        let speaks = |answer: &Answer| answer.is_rpc() && answer.status != StatusCode::NOT_FOUND;
        if answer.is_ok_and(|answer| wants_login(&answer) || speaks(&answer)) {
            return Some(format!("{}{path}", place.origin));
        }
    }
    None
}

/// How far clocks may be apart.
const SKEW: u64 = 300;

/// Whether this computer and the server agree on the time, which tokens and certificates count by.
fn clock(answer: &Answer, examination: &mut Examination) {
    let date = answer.header(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let Some(there) = date else { return };
    let here = SystemTime::now();
    let apart = here.duration_since(there).or_else(|_| there.duration_since(here));
    let apart = apart.map_or(0, |apart| apart.as_secs());
    if apart > SKEW {
        let what = format!("the clocks here and at the server are {apart} seconds apart");
        let advice = "set the clock of this computer, or tokens seem to end too early or late";
        examination.warned("clock", Whose::You, what, advice);
    } else {
        examination.passed("clock", "the clocks here and at the server agree");
    }
}
