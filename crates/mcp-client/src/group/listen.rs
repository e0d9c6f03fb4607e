//! Changes of all servers of a group on one subscription.

use std::collections::{BTreeMap, HashSet};
use std::future::poll_fn;
use std::task::{Context, Poll};

use mcp_types::{
    BoxFuture, ClientRequest, ErrorObject, Exchange, Notifier, Origin, Outcome, RawText,
    ServerNotification, ServerResult, SubscriptionFilter,
    SubscriptionsAcknowledgedNotificationParams, SubscriptionsListenRequestParams,
    SubscriptionsListenResult, keys,
};

use super::lists::is_absent;
use super::owners::Says;
use super::{Member, Shared, names, tasks};
use crate::inbox::{Event, Running};
use crate::{Client, Error};

/// The member of a filter by which tasks are subscribed to.
const TASK_IDS: &str = "taskIds";

/// The subscription to one server.
struct Part<'a> {
    at: usize,
    member: &'a Member,
    /// What it was asked for.
    wanted: SubscriptionFilter,
    running: Running,
    step: Step,
}

#[derive(PartialEq)]
enum Step {
    /// It has not said yet of what it will tell.
    Asked,
    Stands,
    /// It has none, or did not answer.
    Left,
}

impl Shared {
    pub(super) async fn listen(&self, exchange: &Exchange) -> Result<Outcome, ErrorObject> {
        let ClientRequest::SubscriptionsListen(params) = &exchange.request else {
            return Err(ErrorObject::internal("not a subscription"));
        };
        let mut parts = Vec::new();
        for (at, filter) in self.filters(exchange, &params.notifications).await {
            let member = self.member(at)?;
            let request = SubscriptionsListenRequestParams::new(filter.clone());
            let mut inner = Exchange::new(ClientRequest::SubscriptionsListen(request));
            inner.context = exchange.context.clone();
            inner.context.progress_token = None;
            let running = Running::start(Client::new(member.caller.clone()), inner, is_wanted);
            parts.push(Part { at, member, wanted: filter, running, step: Step::Asked });
        }
        let honoured = self.acknowledged(&mut parts).await?;
        let told = SubscriptionsAcknowledgedNotificationParams::new(honoured);
        tell(&exchange.notifier, ServerNotification::SubscriptionsAcknowledged(told)).await?;
        self.pass_on(&mut parts, &exchange.notifier).await
    }

    /// Waits until each server has said of what it will tell; gives that of all together.
    async fn acknowledged(
        &self,
        parts: &mut [Part<'_>],
    ) -> Result<SubscriptionFilter, ErrorObject> {
        let (mut honoured, mut first_error) = (SubscriptionFilter::new(), None);
        let mut patience = self.patience();
        loop {
            let waiting = |part: &Part<'_>| part.step == Step::Asked;
            let next = poll_fn(|cx| next_of(parts, waiting, patience.as_mut(), cx)).await;
            let Some((at, event)) = next else { break };
            let Some(part) = parts.get_mut(at) else { break };
            match event {
                Event::Told(ServerNotification::SubscriptionsAcknowledged(told)) => {
                    part.step = Step::Stands;
                    add(&mut honoured, told.notifications, part);
                }
                // Before that it may say nothing (specification, "Acknowledgment").
                Event::Told(_) => {}
                Event::Done(answer) => {
                    part.step = Step::Left;
                    let Err(error) = *answer else { continue };
                    let error = plain(error, part.member);
                    if !is_absent(&error) {
                        self.failed(part.member, &error);
                        first_error = first_error.or(Some(error));
                    }
                }
            }
        }
        for part in parts.iter_mut().filter(|part| part.step == Step::Asked) {
            part.step = Step::Left;
            let error = part.member.late();
            self.failed(part.member, &error);
            first_error = first_error.or(Some(error));
        }
        let stands = parts.iter().any(|part| part.step == Step::Stands);
        match first_error.filter(|_| !stands) {
            Some(error) => Err(error),
            None => Ok(honoured),
        }
    }

    /// Tells of all changes until a server is lost or closes its part.
    async fn pass_on(
        &self,
        parts: &mut Vec<Part<'_>>,
        notifier: &Notifier,
    ) -> Result<Outcome, ErrorObject> {
        parts.retain(|part| part.step == Step::Stands);
        if parts.is_empty() {
            // Nobody will ever tell anything, but the subscription stands until it is ended.
            return std::future::pending().await;
        }
        loop {
            let next = poll_fn(|cx| next_of(parts, |_| true, None, cx)).await;
            let Some((at, event)) = next else { break };
            let Some(part) = parts.get(at) else { break };
            match event {
                Event::Told(mut told) => {
                    match &told {
                        ServerNotification::ResourceListChanged(_) => self.owners().listed = false,
                        // Of what is another's it has nothing to tell. What lies below a resource may
                        // be nobody's.
                        ServerNotification::ResourceUpdated(updated)
                            if self.owners().find(&updated.uri).is_some_and(|(owner, says)| {
                                owner != part.at && says == Says::Listing
                            }) =>
                        {
                            continue;
                        }
                        _ => {}
                    }
                    tasks::spaced_notification(&part.member.alias, &mut told);
                    tell(notifier, told).await?;
                    parts.rotate_left(1);
                }
                Event::Done(answer) => {
                    if let Err(error) = *answer {
                        return Err(plain(error, part.member));
                    }
                    break;
                }
            }
        }
        let result = SubscriptionsListenResult::new();
        Ok(Outcome::Complete(ServerResult::SubscriptionsListen(result)))
    }

    /// What of a filter concerns which server.
    async fn filters(
        &self,
        exchange: &Exchange,
        wanted: &SubscriptionFilter,
    ) -> BTreeMap<usize, SubscriptionFilter> {
        let mut filters: BTreeMap<usize, SubscriptionFilter> = BTreeMap::new();
        let lists =
            [wanted.tools_list_changed, wanted.prompts_list_changed, wanted.resources_list_changed];
        if lists.contains(&Some(true)) {
            for at in 0..self.members.len() {
                let filter = filters.entry(at).or_default();
                filter.tools_list_changed = wanted.tools_list_changed;
                filter.prompts_list_changed = wanted.prompts_list_changed;
                filter.resources_list_changed = wanted.resources_list_changed;
            }
        }
        for uri in wanted.resource_subscriptions.iter().flatten() {
            // What is nobody's is not honoured, and the acknowledgment says so.
            if let Ok(at) = self.owner(exchange, uri).await {
                let filter = filters.entry(at).or_default();
                filter.resource_subscriptions.get_or_insert_default().push(uri.clone());
            }
        }
        let mut ids: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for mut id in task_ids(wanted) {
            if let Ok(at) = self.rename("task", &mut id) {
                ids.entry(at).or_default().push(id);
            }
        }
        for (at, ids) in ids {
            if let Ok(text) = RawText::of(&ids) {
                filters.entry(at).or_default().extra.insert(TASK_IDS, text);
            }
        }
        filters
    }
}

fn task_ids(filter: &SubscriptionFilter) -> Vec<String> {
    filter.extra.get(TASK_IDS).and_then(|ids| ids.parse().ok()).unwrap_or_default()
}

fn is_wanted(told: &ServerNotification) -> bool {
    use ServerNotification::{Cancelled, Message, Progress};
    !matches!(told, Cancelled(_) | Progress(_) | Message(_))
}

/// The next thing that one of the parts tells; `None` when there is nothing to wait for.
fn next_of(
    parts: &mut [Part<'_>],
    of: impl Fn(&Part<'_>) -> bool,
    patience: Option<&mut BoxFuture<'static, ()>>,
    cx: &mut Context<'_>,
) -> Poll<Option<(usize, Event)>> {
    let mut waits = false;
    for (at, part) in parts.iter_mut().enumerate() {
        if !of(part) {
            continue;
        }
        match part.running.poll_event(cx) {
            Poll::Ready(Some(event)) => return Poll::Ready(Some((at, event))),
            Poll::Ready(None) => {}
            Poll::Pending => waits = true,
        }
    }
    match patience {
        _ if !waits => Poll::Ready(None),
        Some(patience) => patience.as_mut().poll(cx).map(|()| None),
        None => Poll::Pending,
    }
}

/// Adds what a server will tell of to what all will, as far as it was asked for that.
fn add(all: &mut SubscriptionFilter, one: SubscriptionFilter, part: &Part<'_>) {
    let (wanted, alias) = (&part.wanted, &part.member.alias);
    let or = |all: &mut Option<bool>, one: Option<bool>, wanted: Option<bool>| {
        *all = one.filter(|one| *one && wanted == Some(true)).or(*all);
    };
    or(&mut all.tools_list_changed, one.tools_list_changed, wanted.tools_list_changed);
    or(&mut all.prompts_list_changed, one.prompts_list_changed, wanted.prompts_list_changed);
    or(&mut all.resources_list_changed, one.resources_list_changed, wanted.resources_list_changed);
    let mut ids = task_ids(all);
    let asked: HashSet<_> = task_ids(wanted).into_iter().collect();
    let granted: HashSet<_> = task_ids(&one).into_iter().collect();
    ids.extend(granted.intersection(&asked).map(|id| names::spaced(alias, id)));
    if let (Some(uris), Some(asked)) = (one.resource_subscriptions, &wanted.resource_subscriptions)
    {
        let granted: HashSet<_> = uris.into_iter().collect();
        let uris = asked.iter().filter(|uri| granted.contains(*uri)).cloned();
        all.resource_subscriptions.get_or_insert_default().extend(uris);
    }
    if let Some(text) = RawText::of(&ids).ok().filter(|_| !ids.is_empty()) {
        all.extra.insert(TASK_IDS, text);
    }
}

/// Tells a change, without the id of the subscription to the server that it came on.
async fn tell(notifier: &Notifier, mut told: ServerNotification) -> Result<(), ErrorObject> {
    let meta = match &mut told {
        ServerNotification::ResourceUpdated(params) => &mut params.meta,
        ServerNotification::ResourceListChanged(params)
        | ServerNotification::PromptListChanged(params)
        | ServerNotification::ToolListChanged(params) => &mut params.meta,
        _ => &mut None,
    };
    if let Some(meta) = meta {
        meta.remove(keys::SUBSCRIPTION_ID);
    }
    let closed = |_| ErrorObject::local(Origin::Connection, "nobody listens any more");
    notifier.notify(told).await.map_err(closed)
}

fn plain(error: Error, member: &Member) -> ErrorObject {
    match error {
        Error::Service(error)
        | Error::Connection(error)
        | Error::Timeout(error)
        | Error::Refused(error) => member.said(error),
        other => ErrorObject::local(Origin::Protocol, format!("`{}`: {other}", member.alias)),
    }
}
