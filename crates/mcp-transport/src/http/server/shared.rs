//! What all requests of one server share.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use mcp_types::wire::Stamp;
use mcp_types::{
    BoxFuture, ClientRequest, DiscoverResult, ErrorObject, Exchange, ExchangeFuture,
    ExchangeService, Extensions, MirroredParams, Outcome, RawText, RequestParams, Runtime,
    ServerResult, keys,
};

use tokio::sync::watch;

use super::guard::Guard;
use super::options::HttpOptions;
use super::read::Unfinished;
use super::session::Sessions;
use crate::driver::guarded;
use crate::http::Document;
use crate::runtime::TokioRuntime;

pub(super) struct Shared {
    service: Box<dyn Behind>,
    pub(super) options: HttpOptions,
    pub(super) guard: Guard,
    /// Who the server says it is; asked once, when the first request comes.
    stamp: OnceLock<Stamp>,
    runtime: OnceLock<Arc<dyn Runtime>>,
    pub(super) sessions: Sessions,
    unfinished: Arc<Unfinished>,
    unmirrored: Arc<MirroredParams>,
    /// What everybody may read.
    pub(super) documents: Vec<Document>,
    /// Streams that last, of which there is a bound.
    streams: AtomicUsize,
    closing: watch::Sender<bool>,
}

static NOBODY: Stamp = Stamp::NONE;

impl Shared {
    pub(super) fn new(service: impl ExchangeService, options: HttpOptions) -> Self {
        Self {
            service: Box::new(Of(service)),
            guard: options.guard(),
            documents: options.gate.as_ref().map_or_else(Vec::new, |gate| gate.documents()),
            options,
            stamp: OnceLock::new(),
            runtime: OnceLock::new(),
            sessions: Sessions::default(),
            unfinished: Arc::default(),
            unmirrored: Arc::default(),
            streams: AtomicUsize::new(0),
            closing: watch::Sender::new(false),
        }
    }

    /// What a request says that repeats no argument in its headers.
    pub(super) fn unmirrored(&self) -> &Arc<MirroredParams> {
        &self.unmirrored
    }

    /// The bounds of bodies.
    pub(super) fn bodies(&self) -> (&HttpOptions, &Arc<Unfinished>) {
        (&self.options, &self.unfinished)
    }

    /// Ends all streams that would last.
    pub(super) fn close_streams(&self) {
        self.closing.send_replace(true);
    }

    /// Completes once streams are to end.
    pub(super) fn closing(&self) -> BoxFuture<'static, ()> {
        let mut closing = self.closing.subscribe();
        Box::pin(async move {
            let _ = closing.wait_for(|closing| *closing).await;
        })
    }

    /// Calls the service behind, for an era that does not want to know who it is.
    pub(super) fn start_plainly(
        &self,
        mut exchange: Exchange,
        cx: &mut Context<'_>,
    ) -> ExchangeFuture {
        exchange.context.runtime = Some(self.runtime());
        self.service.start(exchange, cx)
    }

    /// Calls the service behind.
    pub(super) fn start(
        self: &Arc<Self>,
        mut exchange: Exchange,
        cx: &mut Context<'_>,
    ) -> ExchangeFuture {
        exchange.context.runtime = Some(self.runtime());
        if self.stamp.get().is_some() || matches!(exchange.request, ClientRequest::Discover(_)) {
            return self.service.start(exchange, cx);
        }
        let shared = self.clone();
        Box::pin(async move {
            shared.ask_identity(exchange.context.extensions.clone()).await;
            shared.call(exchange).await
        })
    }

    pub(super) async fn call(&self, exchange: Exchange) -> Result<Outcome, ErrorObject> {
        let mut exchange = Some(exchange);
        let start = |cx: &mut Context<'_>| match exchange.take() {
            Some(exchange) => Poll::Ready(self.service.start(exchange, cx)),
            None => Poll::Pending,
        };
        poll_fn(start).await.await
    }

    /// Asks the server who it is, so that each result can say so.
    async fn ask_identity(self: &Arc<Self>, extensions: Extensions) {
        let mut exchange = Exchange::new(ClientRequest::Discover(RequestParams::new()));
        exchange.context.runtime = Some(self.runtime());
        exchange.context.extensions = extensions;
        if let Ok(Outcome::Complete(ServerResult::Discover(found))) = self.call(exchange).await {
            self.learn_identity(&found);
        }
    }

    pub(super) fn learn_identity(&self, found: &DiscoverResult) {
        self.stamp.get_or_init(|| {
            let named = found.meta.as_ref().and_then(|meta| meta.get(keys::SERVER_INFO));
            let info = named.and_then(|text| RawText::new(text.get()).ok());
            info.map_or(Stamp::NONE, Stamp::new)
        });
    }

    pub(super) fn stamp(&self) -> &Stamp {
        self.stamp.get().unwrap_or(&NOBODY)
    }

    pub(super) fn runtime(&self) -> Arc<dyn Runtime> {
        let given = || self.options.runtime.clone().unwrap_or_else(TokioRuntime::shared);
        self.runtime.get_or_init(given).clone()
    }

    /// Lets a call go on without anybody who waits for it.
    pub(super) fn spawn(&self, future: ExchangeFuture) {
        self.runtime().spawn(Box::pin(async move {
            let mut future = future;
            let _ = poll_fn(|cx| match guarded(|| future.as_mut().poll(cx).map(drop)) {
                Ok(polled) => polled,
                Err(_) => Poll::Ready(()),
            })
            .await;
        }));
    }
}

/// One of the streams that may be open at once.
pub(super) struct Place(Arc<Shared>);

impl Place {
    /// A place, unless all are taken.
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Self> {
        let taken = shared.streams.fetch_add(1, Ordering::AcqRel);
        let place = Self(shared.clone());
        (taken < shared.options.streams).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A service with its type forgotten: all else here is compiled once, and not again for each
/// user's service.
trait Behind: Send + Sync {
    fn start(&self, exchange: Exchange, cx: &mut Context<'_>) -> ExchangeFuture;
}

struct Of<S>(S);

impl<S: ExchangeService> Behind for Of<S> {
    fn start(&self, exchange: Exchange, cx: &mut Context<'_>) -> ExchangeFuture {
        let begin = || -> ExchangeFuture {
            let mut service = self.0.clone();
            match service.poll_ready(cx) {
                Poll::Ready(Ok(())) => Box::pin(service.call(exchange)),
                Poll::Ready(Err(error)) => failed(error),
                Poll::Pending => Box::pin(async move {
                    poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(exchange).await
                }),
            }
        };
        guarded(begin).unwrap_or_else(failed)
    }
}

fn failed(error: ErrorObject) -> ExchangeFuture {
    Box::pin(std::future::ready(Err(error)))
}
