//! Both ends of a connection joined by queues, with a clock that only a test moves. No runtime.

#![allow(dead_code)]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mcp_transport::Era;
use mcp_transport::proto::client::{ClientConfig, ClientConn, ClientEvent};
use mcp_transport::proto::server::{ServerConn, ServerEvent, ServerLimits};
use mcp_types::*;
use tower_service::Service;

use super::{Answer, Tools};

/// What travels, and whether it arrives.
pub type Wire = VecDeque<ByteString>;

/// A server's protocol with tools that are polled once for every step.
pub struct Served {
    pub conn: ServerConn,
    running: BTreeMap<ExchangeId, ExchangeFuture>,
    said: Arc<Said>,
}

#[derive(Default)]
struct Said(Mutex<Vec<(ExchangeId, ServerNotification)>>);

impl NotificationSink for Said {
    fn poll_notify(
        &self,
        _: &mut Context<'_>,
        exchange: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        self.0.lock().unwrap().extend(notification.take().map(|said| (exchange, said)));
        Poll::Ready(Ok(()))
    }
}

impl Served {
    pub fn new() -> Self {
        let conn = ServerConn::new(ServerLimits::default());
        Self { conn, running: BTreeMap::new(), said: Arc::default() }
    }

    /// Handles one message, and gives what it caused.
    pub fn step(&mut self, now: Instant, text: Option<&ByteString>) -> Vec<String> {
        if let Some(text) = text {
            self.conn.handle(now, text);
        }
        self.conn.handle_timeout(now);
        loop {
            while let Some(event) = self.conn.poll_event() {
                match event {
                    ServerEvent::Exchange(mut exchange) => {
                        let id = exchange.id();
                        exchange.notifier = Notifier::new(self.said.clone(), id);
                        self.running.insert(id, Tools.call(exchange));
                    }
                    ServerEvent::Cancelled(id) => {
                        // While the client is being asked nothing runs.
                        self.running.remove(&id);
                    }
                    other => panic!("{other:?}"),
                }
            }
            let mut done: Vec<(ExchangeId, Answer)> = Vec::new();
            for (id, future) in &mut self.running {
                if let Poll::Ready(answer) =
                    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                {
                    done.push((*id, answer));
                }
            }
            if done.is_empty() {
                break;
            }
            for (id, answer) in done {
                self.running.remove(&id);
                for (exchange, said) in self.said.0.lock().unwrap().drain(..) {
                    self.conn.notify(exchange, said);
                }
                self.conn.complete(now, id, answer);
            }
        }
        let mut sent = Vec::new();
        while let Some(transmit) = self.conn.poll_transmit() {
            sent.push(String::from_utf8(transmit.message.to_vec()).unwrap());
        }
        sent
    }
}

pub struct Pair {
    pub now: Instant,
    pub server: Served,
    pub client: ClientConn,
    pub to_server: Wire,
    pub to_client: Wire,
    pub answers: HashMap<ExchangeId, Result<Outcome, ErrorObject>>,
    pub notified: Vec<(Option<ExchangeId>, ServerNotification)>,
}

impl Pair {
    pub fn new(era: Option<Era>) -> Self {
        let mut config = ClientConfig::new(Implementation::new("pair", "1.0.0"));
        config.era = era;
        config.client_capabilities.elicitation = Some(ClientCapabilitiesElicitation::new());
        Self {
            now: Instant::now(),
            server: Served::new(),
            client: ClientConn::new(config),
            to_server: Wire::new(),
            to_client: Wire::new(),
            answers: HashMap::new(),
            notified: Vec::new(),
        }
    }

    pub fn request(&mut self, exchange: Exchange) -> ExchangeId {
        let id = exchange.id();
        self.client.request(self.now, exchange);
        self.collect();
        id
    }

    pub fn cancel(&mut self, exchange: ExchangeId) {
        self.client.cancel(self.now, exchange);
    }

    /// Takes what the client wants to say and what it has heard.
    pub fn collect(&mut self) {
        while let Some(transmit) = self.client.poll_transmit() {
            self.to_server.push_back(ByteString::try_from(transmit.message).unwrap());
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::Completed(id, answer) => {
                    let before = self.answers.insert(id, answer);
                    assert!(before.is_none(), "an exchange is answered once");
                }
                ClientEvent::Notified(id, notification) => self.notified.push((id, notification)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Delivers one message to the server.
    pub fn serve_one(&mut self) {
        if let Some(text) = self.to_server.pop_front() {
            let sent = self.server.step(self.now, Some(&text));
            self.to_client.extend(sent.into_iter().map(ByteString::from));
        }
    }

    /// Delivers one message to the client.
    pub fn hear_one(&mut self) {
        if let Some(text) = self.to_client.pop_front() {
            self.client.handle(self.now, &text);
            self.collect();
        }
    }

    /// Delivers everything until nobody has anything to say.
    pub fn settle(&mut self) {
        while !self.to_server.is_empty() || !self.to_client.is_empty() {
            self.serve_one();
            self.hear_one();
        }
    }

    /// Lets time pass, for both.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        self.collect();
        let sent = self.server.step(self.now, None);
        self.to_client.extend(sent.into_iter().map(ByteString::from));
    }
}
