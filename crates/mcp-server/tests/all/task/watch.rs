//! Subscriptions to tasks.

use super::*;

/// Keeps what a subscription is told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        _: &mut Cx<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        self.0.lock().unwrap().push(match notification.take().unwrap() {
            ServerNotification::SubscriptionsAcknowledged(params) => {
                format!("acknowledged {}", RawText::of(&params.notifications).unwrap())
            }
            ServerNotification::Extension { method, params } => {
                let task = params.unwrap();
                assert!(!task.get().contains("resultType"), "{task}");
                format!("{method} {}", line(&task.parse().unwrap()))
            }
            other => format!("{other:?}"),
        });
        Poll::Ready(Ok(()))
    }
}

/// A subscription to tasks, and what it was told.
fn listen(world: &World, ids: &[&str], caller: &Caller) -> (ExchangeFuture, Arc<Heard>) {
    let mut filter = SubscriptionFilter::new();
    filter.extra.insert("taskIds", RawText::of(ids).unwrap());
    let listen = ClientRequest::SubscriptionsListen(SubscriptionsListenRequestParams::new(filter));
    let mut exchange = Exchange::new(listen);
    let heard = Arc::new(Heard::default());
    exchange.notifier = Notifier::new(heard.clone(), exchange.id());
    let capabilities = RawText::new(caller.capabilities).unwrap();
    exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
    exchange.context.runtime = Some(world.bench.clone());
    if let Some(name) = caller.name {
        exchange.context.extensions.insert(Principal::new("https://issuer.example", name));
    }
    (Box::pin(world.server.clone().call(exchange)), heard)
}

#[test]
fn a_subscription_tells_of_the_tasks_that_it_names() {
    let world = World::new();
    let slow = world.begin("slow", r#"{"label":"it"}"#).task_id;
    let asks = world.begin("asks", "{}").task_id;
    let foreign = world.begin_as(&named("Eve"), "asks", "{}").task_id;
    let (mut subscription, heard) =
        listen(&world, &[&slow, &asks, &foreign, "nonsense"], &caller());
    let mut told = || {
        let mut cx = Cx::from_waker(Waker::noop());
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
        let mut told = std::mem::take(&mut *heard.0.lock().unwrap());
        told.sort();
        told
    };
    // How they stand comes at once: a task that is over would never change again.
    let first = format!(r#"acknowledged {{"taskIds":["{slow}","{asks}"]}}"#);
    let asked = r#"notifications/tasks input_required ["name"]"#.to_owned();
    let working = r#"notifications/tasks working Some("1 of 2: half")"#.to_owned();
    assert_eq!(told(), [first, asked, working]);
    assert!(told().is_empty());
    world.update(&asks, r#"{"name":{"action":"accept"}}"#).unwrap();
    assert_eq!(told(), [r#"notifications/tasks input_required ["sure"]"#]);
    world.cancel(&asks);
    world.counters.open();
    world.bench.run();
    let end = told();
    assert_eq!(end.len(), 2);
    assert_eq!(end[0], "notifications/tasks cancelled");
    assert!(end[1].starts_with("notifications/tasks completed"), "{end:?}");
    assert!(told().is_empty());

    let (subscription, _) = listen(&world, &[&slow], &undeclared());
    assert_eq!(block_on(subscription).unwrap_err().code, codes::MISSING_CLIENT_CAPABILITY);
}

#[test]
fn whoever_only_subscribes_is_told_of_what_a_dead_node_left() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let short = |tasks: Tasks| tasks.ttl(Duration::from_secs(120));
    let one = World::on(bench.clone(), store.clone(), short);
    let two = World::on(bench.clone(), store, short);
    let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = one.begin("again", "{}").task_id;
    let asks = one.begin("asks", "{}").task_id;
    bench.tasks.lock().unwrap().clear();
    let (mut subscription, heard) = listen(&two, &[&slow, &again, &asks], &caller());
    let mut cx = Cx::from_waker(Waker::noop());
    for _ in 0..70 {
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
        bench.advance(1_000);
    }
    assert_eq!(two.counters.get(), (1, 0), "what may run twice runs here");
    let told = std::mem::take(&mut *heard.0.lock().unwrap());
    assert!(told.iter().any(|told| told.contains("failed -32603 the server stopped")), "{told:?}");
    // Nor is there anyone else who would end what is overdue.
    for _ in 0..60 {
        bench.advance(1_000);
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
    }
    let told = heard.0.lock().unwrap();
    let late = told.iter().filter(|told| told.contains("did not end within the 120 s"));
    assert_eq!(late.count(), 2, "{told:?}");
}

#[test]
fn progress_on_another_node_is_heard_within_two_seconds_at_one_write_a_second() {
    let store = Arc::new(MemoryTaskStore::new());
    let bench = Bench::new();
    let one = World::on(bench.clone(), Arc::new(Shared(store.clone())), |tasks| tasks);
    let two = World::on(bench.clone(), Arc::new(Shared(store.clone())), |tasks| tasks);
    let counts = one.begin("counts", "{}").task_id;
    let (mut subscription, heard) = listen(&two, &[&counts], &caller());
    let mut cx = Cx::from_waker(Waker::noop());
    let version = || block_on(store.load(&counts)).unwrap().unwrap().version;
    let before = version();
    for tenth in 1..=300 {
        one.counters.open.store(tenth, Ordering::SeqCst);
        bench.advance(100);
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
        if tenth < 20 {
            continue;
        }
        let last = heard.0.lock().unwrap().last().unwrap().clone();
        let told: u32 = last.split('"').nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(told + 20 >= tenth, "{last} at {tenth}");
        let DetailedTask::Working(asked) = two.get(&counts) else { panic!() };
        let asked = asked.status_message.unwrap();
        let asked: u32 = asked.split(' ').next().unwrap().parse().unwrap();
        assert!(asked + 10 >= tenth, "{asked} at {tenth}");
    }
    let writes = version() - before;
    assert!((29..=30).contains(&writes), "{writes}");
    // Where nothing is said it is written as seldom as before.
    bench.advance(1_000);
    let before = version();
    for _ in 0..60 {
        bench.advance(1_000);
    }
    assert_eq!(version() - before, 6);
}

#[test]
fn a_subscription_pauses_between_looks_whatever_clients_are_told() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let world = World::with(store, |tasks| tasks.poll_interval(Duration::ZERO));
    let slow = world.begin("slow", r#"{"label":"it"}"#).task_id;
    let (mut subscription, heard) = listen(&world, &[&slow], &caller());
    // Without a pause this never came back.
    assert!(subscription.as_mut().poll(&mut Cx::from_waker(Waker::noop())).is_pending());
    assert_eq!(heard.0.lock().unwrap().len(), 2);
}

#[test]
fn a_sign_of_life_is_no_news() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), store, |tasks| tasks);
    let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
    bench.advance(1_000);
    let mut subscriptions = [&one, &two].map(|world| listen(world, &[&slow], &caller()));
    let mut cx = Cx::from_waker(Waker::noop());
    for _ in 0..60 {
        for (subscription, _) in &mut subscriptions {
            assert!(subscription.as_mut().poll(&mut cx).is_pending());
        }
        bench.advance(1_000);
    }
    for (_, heard) in &subscriptions {
        let told = heard.0.lock().unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].contains("1 of 2: half"), "{told:?}");
    }
}

#[test]
fn a_store_that_is_away_takes_no_task_out_of_a_subscription() {
    use super::stores::Away;

    for shared in [true, false] {
        let store = Arc::new(Away::default());
        let world = match shared {
            true => World::with(store.clone(), |tasks| tasks),
            false => World::with(Arc::new(Own(store.clone())), |tasks| tasks),
        };
        let slow = world.begin("slow", r#"{"label":"it"}"#).task_id;
        let mut cx = Cx::from_waker(Waker::noop());
        store.1.store(true, Ordering::SeqCst);
        let (refused, _) = listen(&world, &[&slow], &caller());
        let error = block_on(refused).unwrap_err();
        assert!(error.message.contains("cannot use its store of tasks"), "{}", error.message);
        store.1.store(false, Ordering::SeqCst);
        let (mut subscription, heard) = listen(&world, &[&slow], &caller());
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
        world.counters.open();
        world.bench.run();
        // The news cannot be read when they come.
        store.1.store(true, Ordering::SeqCst);
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
        store.1.store(false, Ordering::SeqCst);
        world.bench.advance(1_000);
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
        let told = heard.0.lock().unwrap();
        assert!(told.last().unwrap().starts_with("notifications/tasks completed"), "{told:?}");
    }
}

/// A store that no other process has.
struct Own(Arc<super::stores::Away>);

impl TaskStore for Own {
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        self.0.insert(id, task, quota, now)
    }
    fn load<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>> {
        self.0.load(id)
    }
    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        self.0.replace(id, expected, task, quota)
    }
    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        self.0.sweep(now)
    }
    fn is_shared(&self) -> bool {
        false
    }
}

#[test]
fn a_subscription_hears_of_what_other_nodes_do() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), store, |tasks| tasks);
    let asks = one.begin("asks", "{}").task_id;
    let (mut subscription, heard) = listen(&two, &[&asks], &caller());
    let mut cx = Cx::from_waker(Waker::noop());
    assert!(subscription.as_mut().poll(&mut cx).is_pending());
    one.cancel(&asks);
    bench.advance(1_000);
    assert!(subscription.as_mut().poll(&mut cx).is_pending());
    let told = heard.0.lock().unwrap();
    assert_eq!(
        told[1..],
        [r#"notifications/tasks input_required ["name"]"#, "notifications/tasks cancelled"]
    );
}

#[test]
fn who_waits_for_a_task_that_the_store_has_lost_is_told() {
    let store = Arc::new(MemoryTaskStore::new());
    let shared: Arc<dyn TaskStore> = Arc::new(Shared(store.clone()));
    let bench = Bench::new();
    let one = World::on(bench.clone(), shared.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), shared, |tasks| tasks.poll_interval(Duration::MAX));
    let asks = one.begin("asks", "{}").task_id;
    let mut cx = Cx::from_waker(Waker::noop());
    for world in [&one, &two] {
        let (mut subscription, heard) = listen(world, &[&asks], &caller());
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
        drop((subscription, heard));
    }
    let (mut subscription, heard) = listen(&one, &[&asks], &caller());
    assert!(subscription.as_mut().poll(&mut cx).is_pending());
    block_on(store.sweep(u64::MAX)).unwrap();
    for _ in 0..3 {
        bench.advance(1_000);
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
    }
    let told = heard.0.lock().unwrap();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[2].starts_with("notifications/tasks failed -32602 there is no such task"),
        "{told:?}"
    );
}

#[test]
fn a_busy_task_here_hides_none_of_another_node() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), store, |tasks| tasks);
    let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
    let counts = two.begin("counts", "{}").task_id;
    let (mut subscription, heard) = listen(&two, &[&slow, &counts], &caller());
    let mut cx = Cx::from_waker(Waker::noop());
    for tenth in 1..=60 {
        if tenth == 30 {
            one.counters.open();
        }
        two.counters.open.store(tenth, Ordering::SeqCst);
        bench.advance(100);
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
    }
    let told = heard.0.lock().unwrap();
    assert!(told.iter().any(|told| told.contains("completed")), "{told:?}");
    assert!(told.iter().filter(|told| told.contains("working")).count() >= 50, "{told:?}");
}
