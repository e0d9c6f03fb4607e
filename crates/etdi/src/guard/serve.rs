//! From a target to a guarded server, and to its end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use etdi_core::approval::Approver;
use etdi_core::layer::{AskWhen, VerifyLayer};
use mcp_transport::{ClientPeer, RateLayer};
use mcp_types::{Caller, RawText, ServerNotification};
use tower_layer::Layer;

use super::first::FirstUse;
use super::service::{Guarded, Shared};
use super::{Guard, Settings};
use crate::{Error, Target};

impl Guard {
    pub(crate) async fn open_for(
        self,
        target: Target,
        downstream: Option<ClientPeer>,
    ) -> Result<Guarded, Error> {
        let Self { client, mut settings } = self;
        // What the server tells comes while the layer that wants to know is not there yet.
        let late: Arc<Mutex<Option<VerifyLayer>>> = Arc::default();
        let (heard, teller) = (late.clone(), downstream.clone());
        let told = move |told: ServerNotification| {
            if matches!(told, ServerNotification::ToolListChanged(_))
                && let Some(layer) = &*heard.lock().unwrap_or_else(PoisonError::into_inner)
            {
                layer.recheck();
            }
            if let Some(downstream) = &teller {
                downstream.tell(told);
            }
        };
        let (service, peer, ending) = client.reach_for(target, told, downstream.as_ref()).await?;
        if let Some(downstream) = &downstream {
            let upstream = ending.clone();
            downstream.on_notification(move |told| upstream.tell(&told));
        }
        // Behind HTTP a call's headers repeat arguments, which only who knows the tools can compare.
        #[cfg(feature = "http")]
        let service = match downstream {
            None => Caller::new(mcp_transport::http::MirroredLayer.layer(service)),
            Some(_) => service,
        };
        settings.name.get_or_insert_with(|| peer.identity.to_string());
        let first = match settings.first_use {
            true => FirstUse::of(&client, &peer, &settings).await?.map(Arc::new),
            false => None,
        };
        let (approver, ask): (Arc<dyn Approver>, _) = match &first {
            Some(first) => (first.clone(), AskWhen::Listed),
            None => (client.approver(), AskWhen::Never),
        };
        let layer = ending.naming(client.layer(&peer, approver, ask));
        let layer = layer.recheck_after(settings.recheck_after);
        *late.lock().unwrap_or_else(PoisonError::into_inner) = Some(layer.clone());
        let declared = RawText::of(&client.capabilities()).ok();
        let inner = layer.layer(service);
        let inner = match settings.calls_per_minute {
            0 => Caller::new(inner),
            calls => Caller::new(RateLayer::per_tool(f64::from(calls) / 60.0, calls).layer(inner)),
        };
        let shared =
            Shared::new((client, peer), (layer, ending), settings, (downstream, first, declared));
        Ok(Guarded::new(inner, shared))
    }
}

impl Settings {
    /// What the server is called.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub(super) fn say(&self, line: &str) {
        (self.note)(line);
    }

    pub(super) fn findings(
        &self,
        definition: &etdi_core::definition::ToolDefinition,
    ) -> Vec<String> {
        self.screen.as_ref().map(|screen| screen(definition)).unwrap_or_default()
    }

    pub(super) fn remarks(
        &self,
        definition: &etdi_core::definition::ToolDefinition,
    ) -> Vec<String> {
        self.remarks.as_ref().map(|remarks| remarks(definition)).unwrap_or_default()
    }
}

/// What `serving` gives; once `ended` is over, `end` is told and it has to come to its end.
pub(crate) async fn while_it_lasts<T>(
    serving: impl Future<Output = T>,
    ended: impl Future<Output = ()>,
    end: impl FnOnce(),
) -> T {
    let (mut serving, mut ended, mut end) = (pin!(serving), pin!(ended), Some(end));
    poll_fn(|cx| {
        if let Poll::Ready(served) = serving.as_mut().poll(cx) {
            return Poll::Ready(served);
        }
        if end.is_some()
            && ended.as_mut().poll(cx).is_ready()
            && let Some(end) = end.take()
        {
            end();
            return serving.as_mut().poll(cx);
        }
        Poll::Pending
    })
    .await
}
