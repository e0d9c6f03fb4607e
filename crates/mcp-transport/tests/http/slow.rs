//! A tool that takes its time, and counts who waited.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mcp_transport::http::server::AnswerStream;
use mcp_types::*;

use crate::common::text;

/// Counts the calls that ran to their end, and can be told to let them.
#[derive(Clone)]
pub(crate) struct Slow {
    pub(crate) ran: Arc<AtomicUsize>,
    pub(crate) dropped: Arc<AtomicUsize>,
    pub(crate) go: Arc<tokio::sync::Semaphore>,
}

impl Default for Slow {
    fn default() -> Self {
        let (ran, dropped) = Default::default();
        Self { ran, dropped, go: Arc::new(tokio::sync::Semaphore::new(0)) }
    }
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl tower_service::Service<Exchange> for Slow {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), ErrorObject>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let this = self.clone();
        Box::pin(async move {
            let ClientRequest::CallTool(params) = &exchange.request else {
                return Ok(ServerResult::from(DiscoverResult::new(
                    ServerCapabilities::new(),
                    Vec::new(),
                ))
                .into());
            };
            let _dropped = Dropped(this.dropped.clone());
            let say = async |n: u32| {
                let token = exchange.context.progress_token.clone();
                let progress =
                    ProgressNotificationParams::new(f64::from(n), token.unwrap_or(0.into()));
                exchange.notifier.notify(ServerNotification::Progress(progress)).await.unwrap();
            };
            if params.name == "quiet" {
                this.go.acquire().await.unwrap().forget();
            } else {
                say(1).await;
                if params.name == "leave" {
                    let stream = exchange.context.extensions.get::<AnswerStream>().unwrap();
                    stream.close(Duration::from_millis(30));
                }
                this.go.acquire().await.unwrap().forget();
                say(2).await;
                say(3).await;
            }
            this.ran.fetch_add(1, Ordering::SeqCst);
            text("slow")
        })
    }
}

/// Waits for a count, for as long as a test may take.
pub(crate) async fn until(count: &AtomicUsize, expected: usize) {
    let waits = async {
        while count.load(Ordering::SeqCst) < expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits).await.expect("a count");
    assert_eq!(count.load(Ordering::SeqCst), expected);
}
