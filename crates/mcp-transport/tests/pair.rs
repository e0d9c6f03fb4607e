//! Both protocols against each other: silence, loss, races, time. No runtime, no real clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::pair::Pair;
use mcp_transport::Era;
use mcp_types::*;

const SECOND: Duration = Duration::from_secs(1);
const ERAS: [Option<Era>; 3] = [None, Some(Era::Modern), Some(Era::Legacy)];

fn call(tool: &str) -> Exchange {
    Exchange::new(ClientRequest::CallTool(CallToolRequestParams::new(tool)))
}

fn discover() -> Exchange {
    Exchange::new(ClientRequest::Discover(RequestParams::new()))
}

/// A pair whose connection is open.
fn opened(era: Option<Era>) -> Pair {
    let mut pair = Pair::new(era);
    let first = pair.request(discover());
    pair.settle();
    assert!(pair.answers.remove(&first).unwrap().is_ok());
    pair
}

fn idle(pair: &Pair) {
    assert_eq!(
        (pair.client.in_flight(), pair.server.conn.in_flight()),
        (0, 0),
        "nothing is left over"
    );
}

#[test]
fn both_eras_answer() {
    for era in ERAS {
        let mut pair = Pair::new(era);
        let ids = [call("echo"), discover(), call("who")].map(|exchange| pair.request(exchange));
        pair.settle();
        assert!(ids.iter().all(|id| pair.answers[id].is_ok()), "{era:?} {:?}", pair.answers);
        idle(&pair);
    }
}

#[test]
fn a_lost_probe_becomes_a_handshake() {
    let mut pair = Pair::new(None);
    let id = pair.request(call("echo"));
    assert!(pair.to_server.pop_front().unwrap().contains("server/discover"));
    pair.pass(4 * SECOND);
    assert!(pair.to_server.is_empty(), "patience");
    pair.pass(SECOND);
    assert!(pair.to_server[0].contains("\"initialize\""));
    pair.settle();
    assert!(pair.answers[&id].is_ok());
    assert_eq!(pair.client.version(), Some(ProtocolVersion::NEWEST_LEGACY));
}

#[test]
fn a_modern_server_that_is_only_slow_stays_modern() {
    let mut pair = Pair::new(None);
    let id = pair.request(call("echo"));
    pair.pass(6 * SECOND);
    assert_eq!(pair.to_server.len(), 2, "the probe, and the handshake after it");
    pair.serve_one();
    pair.hear_one();
    assert_eq!(pair.client.version(), Some(ProtocolVersion::NEWEST));
    // The server has both before it. The handshake that was in vain does no harm, neither to the
    // client nor to how the server serves it.
    pair.settle();
    assert!(pair.answers[&id].is_ok(), "{:?}", pair.answers);
    let asking = pair.request(call("ask"));
    pair.settle();
    let Ok(Outcome::InputRequired(asked)) = &pair.answers[&asking] else { panic!() };
    assert_eq!(asked.request_state.as_deref(), Some("kept"), "as the tool said it");
    idle(&pair);
}

#[test]
fn silence_has_an_end() {
    for era in ERAS {
        let mut pair = Pair::new(era);
        let id = pair.request(call("echo"));
        for _ in 0..100 {
            pair.to_server.clear();
            pair.pass(SECOND);
        }
        assert_eq!(pair.answers[&id].as_ref().unwrap_err().origin, Origin::Timeout);
        let late = pair.request(call("echo"));
        assert!(pair.answers[&late].is_err(), "the connection has failed");
    }
}

#[test]
fn a_call_that_is_silent_for_too_long_is_cancelled() {
    for era in ERAS {
        let mut pair = opened(era);
        let id = pair.request(call("never"));
        pair.settle();
        assert_eq!(pair.client.poll_timeout(), Some(pair.now + 300 * SECOND));
        pair.pass(300 * SECOND);
        assert_eq!(pair.answers[&id].as_ref().unwrap_err().origin, Origin::Timeout);
        pair.settle();
        idle(&pair);
        assert_eq!(pair.client.poll_timeout(), None);
    }
}

#[test]
fn progress_is_a_sign_of_life() {
    let mut pair = opened(Some(Era::Modern));
    let mut exchange = call("never");
    exchange.context.progress_token = Some("mine".into());
    let id = pair.request(exchange);
    pair.settle();
    pair.pass(200 * SECOND);
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1}}"#;
    pair.to_client.push_back(progress.into());
    pair.settle();
    let ServerNotification::Progress(told) = &pair.notified[0].1 else { panic!() };
    assert_eq!((pair.notified[0].0, &told.progress_token), (Some(id), &"mine".into()));
    pair.pass(299 * SECOND);
    assert!(!pair.answers.contains_key(&id));
    pair.pass(SECOND);
    assert!(pair.answers[&id].is_err());
}

/// Progress of the request with this id, as a server says it.
fn progress(id: i64) -> ByteString {
    let text = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":1}}}}"#
    );
    text.into()
}

#[test]
fn progress_that_nobody_asked_for_is_no_sign_of_life() {
    for (era, request) in [(Era::Modern, 2), (Era::Legacy, 2)] {
        let mut pair = opened(Some(era));
        let id = pair.request(call("never"));
        pair.settle();
        pair.pass(200 * SECOND);
        pair.to_client.push_back(progress(request));
        pair.settle();
        assert!(pair.notified.is_empty(), "{:?}", pair.notified);
        pair.pass(100 * SECOND);
        assert_eq!(pair.answers[&id].as_ref().unwrap_err().origin, Origin::Timeout);
    }
}

#[test]
fn no_progress_keeps_a_call_alive_for_ever() {
    for era in [Era::Modern, Era::Legacy] {
        let mut pair = opened(Some(era));
        let mut exchange = call("never");
        exchange.context.progress_token = Some("mine".into());
        let id = pair.request(exchange);
        pair.settle();
        for _ in 0..35 {
            pair.pass(100 * SECOND);
            pair.to_client.push_back(progress(2));
            pair.settle();
        }
        assert!(!pair.answers.contains_key(&id), "within the hour");
        pair.pass(100 * SECOND);
        assert_eq!(pair.answers[&id].as_ref().unwrap_err().origin, Origin::Timeout);
        pair.settle();
        idle(&pair);
    }
}

#[test]
fn the_time_of_the_person_is_not_the_servers() {
    let mut pair = opened(Some(Era::Legacy));
    let id = pair.request(call("ask"));
    pair.settle();
    let Some(Ok(Outcome::InputRequired(asked))) = pair.answers.remove(&id) else { panic!() };
    pair.pass(400 * SECOND);
    let mut again = call("ask");
    again.context.request_state = asked.request_state;
    let key = asked.input_requests.unwrap().into_keys().next().unwrap();
    let answer = RawText::new(r#"{"action":"decline"}"#).unwrap();
    again.context.input_responses = Some(Members::from_iter([(key, answer)]));
    let again = pair.request(again);
    pair.pass(SECOND);
    pair.settle();
    assert!(pair.answers[&again].is_ok(), "{:?}", pair.answers);
}

#[test]
fn a_cancellation_that_crosses_the_answer_is_nothing() {
    for era in ERAS {
        let mut pair = opened(era);
        let id = pair.request(call("echo"));
        pair.serve_one();
        pair.cancel(id);
        pair.collect();
        pair.settle();
        assert!(!pair.answers.contains_key(&id));
        idle(&pair);
        let next = pair.request(call("echo"));
        pair.settle();
        assert!(pair.answers[&next].is_ok());
    }
}

#[test]
fn a_cancellation_before_the_opening_asks_for_nothing() {
    for era in ERAS {
        let mut pair = Pair::new(era);
        let id = pair.request(call("echo"));
        pair.cancel(id);
        pair.settle();
        assert!(pair.answers.is_empty());
        idle(&pair);
    }
}

#[test]
fn a_question_that_nobody_answers_has_an_end() {
    let mut pair = opened(Some(Era::Legacy));
    let id = pair.request(call("ask"));
    pair.settle();
    assert!(matches!(pair.answers.remove(&id), Some(Ok(Outcome::InputRequired(_)))));
    assert_eq!(pair.server.conn.poll_timeout(), Some(pair.now + 600 * SECOND));
    pair.pass(600 * SECOND);
    pair.settle();
    idle(&pair);
    assert!(pair.answers.is_empty(), "nobody waited any more");
}

#[test]
fn an_answer_goes_on_with_the_parked_call() {
    let mut pair = opened(Some(Era::Legacy));
    let id = pair.request(call("ask"));
    pair.settle();
    let Some(Ok(Outcome::InputRequired(asked))) = pair.answers.remove(&id) else { panic!() };
    let mut again = call("ask");
    again.context.request_state = asked.request_state.clone();
    let key = asked.input_requests.unwrap().into_keys().next().unwrap();
    let answer = RawText::new(r#"{"action":"decline"}"#).unwrap();
    again.context.input_responses = Some(Members::from_iter([(key, answer)]));
    let again = pair.request(again);
    pair.settle();
    assert!(matches!(pair.answers[&again], Ok(Outcome::Complete(_))), "{:?}", pair.answers);
    idle(&pair);
    // The state is good for one time.
    let mut twice = call("ask");
    twice.context.request_state = asked.request_state;
    let twice = pair.request(twice);
    assert_eq!(pair.answers[&twice].as_ref().unwrap_err().origin, Origin::Timeout);
}

/// Every exchange ends exactly once, whatever is lost, cancelled or late.
#[test]
fn chaos_leaves_nothing_behind() {
    for seed in 0..200_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut pair = opened(ERAS[usize::try_from(seed % 3).unwrap()]);
        let (mut asked, mut cancelled) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            match random(10) {
                0 | 1 => {
                    let tool = ["echo", "never", "ask", "unknown", "who"]
                        [usize::try_from(random(5)).unwrap()];
                    asked.push(pair.request(call(tool)));
                }
                2..=4 => pair.serve_one(),
                5 | 6 => pair.hear_one(),
                7 if !asked.is_empty() => {
                    let at = usize::try_from(random(asked.len() as u64)).unwrap();
                    if !pair.answers.contains_key(&asked[at]) {
                        cancelled.push(asked[at]);
                        pair.cancel(asked[at]);
                        pair.collect();
                    }
                }
                8 if random(4) == 0 => drop(pair.to_client.pop_front()),
                _ => pair.pass(SECOND),
            }
        }
        pair.settle();
        for _ in 0..3 {
            pair.pass(601 * SECOND);
            pair.settle();
        }
        for id in &asked {
            assert_ne!(pair.answers.contains_key(id), cancelled.contains(id), "seed {seed}");
        }
        idle(&pair);
        assert_eq!(pair.client.poll_timeout(), None);
        assert_eq!(pair.server.conn.poll_timeout(), None);
    }
}
