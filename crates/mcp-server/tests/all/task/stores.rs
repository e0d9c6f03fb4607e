//! How long tasks are kept, and what survives.

use std::sync::atomic::{AtomicBool, Ordering};

use mcp_server::task::{KeptTask, Quota, StoredTask, TaskStore, TaskStoreError};
use mcp_types::BoxFuture;

use super::*;

#[test]
fn a_task_has_its_time() {
    let store = Arc::new(MemoryTaskStore::new());
    let hour = |tasks: Tasks| tasks.ttl(Duration::from_secs(60)).keep(Duration::from_secs(30));
    let world = World::with(store.clone(), hour);
    let task = world.begin("slow", r#"{"label":"it"}"#);
    world.bench.advance(59_999);
    assert!(line(&world.get(&task.task_id)).starts_with("working"));
    world.bench.advance(1);
    // The work is dropped.
    assert_eq!((world.counters.get(), world.bench.tasks()), ((1, 1), 0));
    let late = "failed -32603 the task did not end within the 60 s that it had";
    assert_eq!(line(&world.get(&task.task_id)), late);
    world.bench.advance(29_999);
    assert_eq!(line(&world.get(&task.task_id)), late);
    world.bench.advance(1);
    let params = format!(r#"{{"taskId":"{}"}}"#, task.task_id);
    let error = world.ask("tasks/get", &params, &caller()).unwrap_err();
    assert_eq!(error.code, codes::INVALID_PARAMS);
    assert!(store.is_empty(), "what is over is forgotten");
    // A result that comes late is kept for a while all the same, and says so.
    let task = world.begin("slow", r#"{"label":"it"}"#);
    world.bench.advance(50_000);
    world.counters.open();
    world.bench.run();
    let DetailedTask::Completed(done) = world.get(&task.task_id) else { panic!() };
    assert_eq!(done.ttl_ms, Some(80_000));
    world.bench.advance(29_999);
    assert!(line(&world.get(&task.task_id)).starts_with("completed"));
    // While it waits for the client, the time runs too.
    let task = world.begin("asks", "{}");
    world.bench.advance(60_000);
    let params = format!(
        r#"{{"taskId":"{}","inputResponses":{{"name":{{"action":"accept"}}}}}}"#,
        task.task_id
    );
    world.ask("tasks/update", &params, &caller()).unwrap();
    assert_eq!(line(&world.get(&task.task_id)), late);
    assert_eq!(world.counters.get().0, 3, "the tool is not entered again");
}

#[test]
fn what_is_over_is_forgotten_though_nobody_asks() {
    let store = Arc::new(MemoryTaskStore::new());
    let world = World::with(store.clone(), |tasks| tasks.ttl(Duration::from_secs(60)));
    world.counters.open();
    for _ in 0..3 {
        world.begin("slow", r#"{"label":"it"}"#);
    }
    world.begin("asks", "{}");
    world.bench.advance(959_999);
    assert_eq!(store.len(), 4);
    world.begin("slow", r#"{"label":"it"}"#);
    assert_eq!(store.len(), 2, "what ended is over, and the question has a moment left");
    world.bench.advance(60_000);
    world.begin("slow", r#"{"label":"it"}"#);
    assert_eq!(store.len(), 2);
}

#[test]
fn what_ran_when_its_process_ended_is_reported_or_begun_again() {
    let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
    let before = World::with(store.clone(), |tasks| tasks);
    let slow = before.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = before.begin("again", "{}").task_id;
    let asks = before.begin("asks", "{}").task_id;
    before.bench.tasks.lock().unwrap().clear();
    drop(before);

    let after = World::with(store, |tasks| tasks);
    let failed = line(&after.get(&slow));
    assert!(failed.starts_with("failed -32603 the server stopped while the task ran"), "{failed}");
    assert!(line(&after.get(&again)).starts_with("working"));
    after.counters.open();
    after.bench.run();
    assert!(line(&after.get(&again)).starts_with("completed"));
    assert_eq!(after.counters.get(), (1, 1));
    // What waited for the client has lost nothing.
    assert_eq!(line(&after.get(&asks)), r#"input_required ["name"]"#);
    after.update(&asks, r#"{"name":{"action":"accept"}}"#).unwrap();
    after.update(&asks, r#"{"sure":{"action":"accept"}}"#).unwrap();
    assert!(line(&after.get(&asks)).contains("accept accept"));
}

#[test]
fn a_task_that_ends_its_process_does_not_do_so_for_ever() {
    let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
    let first = World::with(store.clone(), |tasks| tasks);
    let id = first.begin("again", "{}").task_id;
    for _ in 0..3 {
        let next = World::with(store.clone(), |tasks| tasks);
        assert!(line(&next.get(&id)).starts_with("working"));
        assert_eq!(next.counters.get(), (1, 0));
    }
    let last = World::with(store, |tasks| tasks);
    let failed = line(&last.get(&id));
    assert!(failed.starts_with("failed -32603 whoever ran the task ended"), "{failed}");
    assert_eq!(last.counters.get(), (0, 0));
}

#[test]
fn servers_that_stop_in_good_order_hand_a_task_on_however_many_they_are() {
    let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
    let first = World::with(store.clone(), |tasks| tasks);
    let id = first.begin("again", "{}").task_id;
    let mut running = first;
    for _ in 0..9 {
        block_on(running.server.stop_tasks());
        running.bench.run();
        let next = World::with(store.clone(), |tasks| tasks);
        assert!(line(&next.get(&id)).starts_with("working"));
        assert_eq!(next.counters.get(), (1, 0));
        running = next;
    }
    running.counters.open();
    running.bench.run();
    assert!(line(&running.get(&id)).starts_with("completed"));
}

#[test]
fn a_server_that_stops_puts_its_tasks_down() {
    let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
    let before = World::with(store.clone(), |tasks| tasks);
    let slow = before.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = before.begin("again", "{}").task_id;
    block_on(before.server.stop_tasks());
    before.bench.run();
    assert_eq!((before.counters.get(), before.bench.tasks()), ((2, 2), 0));
    assert!(line(&before.get(&slow)).starts_with("failed"));
    let after = World::with(store, |tasks| tasks);
    assert!(line(&after.get(&again)).starts_with("working"));
    assert_eq!(after.counters.get(), (1, 0));
}

#[test]
fn nodes_that_share_a_store_leave_each_others_tasks_alone() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), store, |tasks| tasks);
    let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = one.begin("again", "{}").task_id;
    for _ in 0..9 {
        bench.advance(10_000);
        assert!(line(&two.get(&slow)).starts_with("working"));
        assert!(line(&two.get(&again)).starts_with("working"));
    }
    assert_eq!((one.counters.get(), two.counters.get()), ((2, 0), (0, 0)));
    // Cancelled on the other node, it is dropped with the next sign of life.
    two.cancel(&slow);
    bench.advance(10_000);
    assert_eq!(one.counters.get(), (2, 1));
    assert_eq!(line(&one.get(&slow)), "cancelled");
    // A node that is gone is believed alive for a while, then its task is taken over.
    bench.tasks.lock().unwrap().clear();
    bench.advance(20_000);
    two.get(&again);
    assert_eq!(two.counters.get(), (0, 0));
    bench.advance(20_000);
    two.get(&again);
    bench.advance(20_000);
    two.get(&again);
    bench.advance(9_999);
    two.get(&again);
    assert_eq!(two.counters.get(), (0, 0), "it may say once more that it lives");
    bench.advance(1);
    two.get(&again);
    assert_eq!(two.counters.get(), (1, 0));
}

#[test]
fn words_for_which_there_is_no_room_do_not_cost_a_task_its_worker() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    // As much as the record has without a word, and a little more.
    let narrow = |tasks: Tasks| tasks.quota(|quota| quota.bytes = 500);
    let one = World::on(bench.clone(), store.clone(), narrow);
    let two = World::on(bench.clone(), store, narrow);
    let counts = one.begin("counts", "{}").task_id;
    for second in 1..=120 {
        one.counters.open.store(second, Ordering::SeqCst);
        bench.advance(1_000);
        assert_eq!(line(&two.get(&counts)), "working None");
    }
    assert_eq!((one.counters.get().0, two.counters.get().0), (1, 0));
}

#[test]
fn a_tool_whose_task_is_gone_from_the_store_is_stopped() {
    let store = Arc::new(MemoryTaskStore::new());
    let bench = Bench::new();
    let one = World::on(bench.clone(), Arc::new(Shared(store.clone())), |tasks| tasks);
    let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
    bench.advance(60_000);
    assert_eq!(
        (line(&one.get(&slow)).split(' ').next(), one.counters.get()),
        (Some("working"), (1, 0))
    );
    // Emptied, as a store that lost its data.
    block_on(store.sweep(u64::MAX)).unwrap();
    bench.advance(10_000);
    assert_eq!(one.counters.get(), (1, 1));
}

#[test]
fn a_lease_is_as_long_as_it_is_set() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let lease = |tasks: Tasks| tasks.lease(Duration::from_secs(3));
    let one = World::on(bench.clone(), store.clone(), lease);
    let two = World::on(bench.clone(), store, lease);
    let again = one.begin("again", "{}").task_id;
    for _ in 0..9 {
        bench.advance(1_000);
        two.get(&again);
    }
    assert_eq!(two.counters.get(), (0, 0), "it says so each second that it lives");
    bench.tasks.lock().unwrap().clear();
    bench.advance(3_001);
    two.get(&again);
    bench.advance(2_000);
    two.get(&again);
    bench.advance(999);
    two.get(&again);
    assert_eq!(two.counters.get(), (0, 0), "it may say once more that it lives");
    bench.advance(1);
    two.get(&again);
    assert_eq!(two.counters.get(), (1, 0));
}

#[test]
fn clocks_that_differ_take_no_task_from_a_worker_that_lives() {
    for (of_one, of_two) in [(0, 6_000), (6_000, 0), (0, 10_000)] {
        let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
        let bench = Bench::new();
        let node = |ahead: u64| {
            let clock = bench.clock();
            World::on(bench.clone(), store.clone(), |tasks| {
                tasks.lease(Duration::from_secs(3)).clock(move || clock() + ahead)
            })
        };
        let (one, two) = (node(of_one), node(of_two));
        let again = one.begin("again", "{}").task_id;
        let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
        for _ in 0..300 {
            bench.advance(100);
            assert!(line(&two.get(&slow)).starts_with("working"));
            two.get(&again);
        }
        assert_eq!((one.counters.get(), two.counters.get()), ((2, 0), (0, 0)));
        // One that is gone loses it all the same.
        bench.tasks.lock().unwrap().clear();
        for _ in 0..150 {
            bench.advance(100);
            two.get(&again);
        }
        assert_eq!(two.counters.get(), (1, 0), "{of_one} and {of_two}");
    }
}

#[test]
fn more_orphans_than_may_be_known_are_all_taken_over() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), store, |tasks| tasks.quota(|quota| quota.tasks = 8));
    let orphans: Vec<_> = (0..20).map(|_| one.begin("again", "{}").task_id).collect();
    bench.tasks.lock().unwrap().clear();
    bench.advance(30_001);
    for _ in 0..120 {
        for id in &orphans {
            two.get(id);
        }
        bench.advance(1_000);
    }
    assert_eq!(two.counters.get().0, 20);
}

#[test]
fn the_memory_store_keeps_the_contract() {
    let store = MemoryTaskStore::new();
    block_on(task_store_contract(&store)).unwrap();
    assert!(store.is_empty());
}

/// A store that writes what it was told, whatever was written in between.
struct LastWriteWins(MemoryTaskStore);

impl TaskStore for LastWriteWins {
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
        _: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        Box::pin(async move {
            let version = self.0.load(id).await?.ok_or(TaskStoreError::Lost)?.version;
            self.0.replace(id, version, task, quota).await
        })
    }
    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        self.0.sweep(now)
    }
}

#[test]
fn the_contract_finds_a_store_that_loses_writes() {
    let failure =
        block_on(task_store_contract(&LastWriteWins(MemoryTaskStore::new()))).unwrap_err();
    assert!(failure.to_string().contains("refuse a change of a version that is past"), "{failure}");
}

#[cfg(feature = "task-redb")]
#[test]
fn the_file_store_keeps_the_contract_and_survives() {
    use mcp_server::task::RedbTaskStore;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.redb");
    let store = RedbTaskStore::open(&path).unwrap();
    block_on(task_store_contract(&store)).unwrap();
    block_on(task_store_contract(&store.runtime(Bench::new()))).unwrap();
    let id = {
        let before = World::with(Arc::new(RedbTaskStore::open(&path).unwrap()), |tasks| tasks);
        assert!(RedbTaskStore::open(&path).is_err(), "one process at a time");
        let id = before.begin("asks", "{}").task_id;
        before.update(&id, r#"{"name":{"action":"accept"}}"#).unwrap();
        id
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "arguments and results are nobody else's");
    }
    let after = World::with(Arc::new(RedbTaskStore::open(&path).unwrap()), |tasks| tasks);
    assert_eq!(line(&after.get(&id)), r#"input_required ["sure"]"#);
    after.update(&id, r#"{"sure":{"action":"accept"}}"#).unwrap();
    assert!(line(&after.get(&id)).contains("accept accept"));
    std::fs::write(folder.path().join("other"), "no store of tasks").unwrap();
    assert!(RedbTaskStore::open(folder.path().join("other")).is_err());
}

/// A store that may be away, and takes nine seconds to say so where it has a bench.
#[derive(Default)]
pub(super) struct Away(
    pub(super) MemoryTaskStore,
    pub(super) AtomicBool,
    pub(super) Option<Arc<Bench>>,
);

const SLOW: Duration = Duration::from_secs(9);

impl Away {
    fn or<'a, T: Send + 'a>(
        &'a self,
        done: BoxFuture<'a, Result<T, TaskStoreError>>,
    ) -> BoxFuture<'a, Result<T, TaskStoreError>> {
        if !self.1.load(Ordering::SeqCst) {
            return done;
        }
        let slow = self.2.as_ref().map(|bench| bench.sleep_until(bench.now() + SLOW));
        Box::pin(async move {
            if let Some(slow) = slow {
                slow.await;
            }
            Err(TaskStoreError::Unavailable("it is away".into()))
        })
    }
}

impl TaskStore for Away {
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        self.or(self.0.insert(id, task, quota, now))
    }

    fn load<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>> {
        self.or(self.0.load(id))
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        self.or(self.0.replace(id, expected, task, quota))
    }

    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        self.or(self.0.sweep(now))
    }
}

#[test]
fn a_result_waits_for_a_store_that_is_away() {
    let store = Arc::new(Away::default());
    let world = World::with(store.clone(), |tasks| tasks);
    let task = world.begin("slow", r#"{"label":"it"}"#);
    store.1.store(true, Ordering::SeqCst);
    world.counters.open();
    world.bench.advance(60_000);
    store.1.store(false, Ordering::SeqCst);
    assert!(line(&world.get(&task.task_id)).starts_with("working"), "nothing could be written");
    world.bench.advance(1_000);
    assert!(line(&world.get(&task.task_id)).starts_with("completed"));
}

#[test]
fn a_result_waits_ten_minutes_by_the_clock() {
    let bench = Bench::new();
    let store = Arc::new(Away(MemoryTaskStore::new(), AtomicBool::new(false), Some(bench.clone())));
    let world = World::on(bench, store.clone(), |tasks| tasks);
    world.begin("slow", r#"{"label":"it"}"#);
    store.1.store(true, Ordering::SeqCst);
    world.counters.open();
    for _ in 0..600 {
        world.bench.advance(1_000);
    }
    assert_eq!(world.bench.tasks(), 1, "it waits");
    for _ in 0..30 {
        world.bench.advance(1_000);
    }
    assert_eq!(world.bench.tasks(), 0, "it was given up");
}

#[test]
fn nobody_takes_a_result_over_that_waits() {
    let store = Arc::new(Away::default());
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = one.begin("again", "{}").task_id;
    store.1.store(true, Ordering::SeqCst);
    one.counters.open();
    // Longer than the lease: whoever asks first when the store is back finds it over.
    bench.advance(60_000);
    store.1.store(false, Ordering::SeqCst);
    assert!(line(&two.get(&slow)).starts_with("working"));
    assert!(line(&two.get(&again)).starts_with("working"));
    bench.advance(1_000);
    assert!(line(&two.get(&slow)).starts_with("completed"));
    assert!(line(&two.get(&again)).starts_with("completed"));
    assert_eq!((one.counters.get().0, two.counters.get()), (2, (0, 0)), "each ran once");
}

#[test]
fn a_task_that_was_acknowledged_waits_for_the_store_before_it_begins() {
    let store = Arc::new(Away::default());
    let world = World::with(store.clone(), |tasks| tasks);
    let outcome = world.send(request("slow", r#"{"label":"it"}"#), &caller()).unwrap();
    let task: CreateTaskResult = extension(outcome).parse().unwrap();
    store.1.store(true, Ordering::SeqCst);
    world.counters.open();
    world.bench.run();
    world.bench.advance(20_000);
    store.1.store(false, Ordering::SeqCst);
    world.bench.advance(1_000);
    assert!(line(&world.get(&task.task_id)).starts_with("completed"));
    assert_eq!(world.counters.get().0, 1);
}
