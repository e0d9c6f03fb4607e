//! Workers that live, and nodes that cannot see it: nobody takes a task from them.

use std::sync::atomic::AtomicBool;

use super::stores::Away;
use super::*;

/// A node whose clock is so far ahead of the bench's.
fn ahead(
    bench: &Arc<Bench>,
    store: Arc<dyn TaskStore>,
    by: u64,
    change: impl FnOnce(Tasks) -> Tasks,
) -> World {
    let clock = bench.clock();
    World::on(bench.clone(), store, |tasks| change(tasks).clock(move || clock() + by))
}

#[test]
fn nobody_takes_a_tool_over_after_an_outage_that_only_its_worker_saw() {
    let lease = |tasks: Tasks| tasks.lease(Duration::from_secs(3));
    // A sign of life is due each second; the last before the outage came after 1 s, the next ones fail.
    for back in [2_100, 2_900, 3_100, 3_900, 4_100, 9_900] {
        let store = Arc::new(Away::default());
        let bench = Bench::new();
        let one = World::on(bench.clone(), store.clone(), lease);
        // For this one the lease is always over.
        let two = ahead(&bench, store.clone(), 3_001, lease);
        let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
        let again = one.begin("again", "{}").task_id;
        let both_work = |when: &str| {
            for id in [&slow, &again] {
                let found = line(&two.get(id));
                assert!(found.starts_with("working"), "back after {back}, {when}: {found}");
            }
            assert_eq!(
                (one.counters.get(), two.counters.get()),
                ((2, 0), (0, 0)),
                "{back}, {when}"
            );
        };
        bench.advance(1_000);
        both_work("before");
        store.1.store(true, Ordering::SeqCst);
        for _ in 0..(back - 1_000) / 100 {
            bench.advance(100);
        }
        store.1.store(false, Ordering::SeqCst);
        both_work("at once");
        for _ in 0..100 {
            bench.advance(100);
            both_work("later");
        }
        one.counters.open();
        bench.run();
        assert!(line(&two.get(&slow)).starts_with("completed"));
        assert!(line(&two.get(&again)).starts_with("completed"));
    }
}

#[test]
fn nobody_takes_a_tool_over_whose_signs_of_life_take_long() {
    let bench = Bench::new();
    let store = Arc::new(Away(MemoryTaskStore::new(), AtomicBool::new(false), Some(bench.clone())));
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = ahead(&bench, store.clone(), 30_001, |tasks| tasks);
    let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = one.begin("again", "{}").task_id;
    let both_work = || {
        for id in [&slow, &again] {
            assert!(line(&two.get(id)).starts_with("working"));
        }
        assert_eq!((one.counters.get(), two.counters.get()), ((2, 0), (0, 0)), "each ran once");
    };
    let until = |milliseconds: u64| {
        while bench.elapsed.load(Ordering::SeqCst) < milliseconds {
            bench.advance(100);
        }
    };
    until(100);
    both_work();
    until(9_900);
    // A try takes nine seconds to fail: the sign that is due fails after 19 s, the third try after 37 s. One that
    // waited for the next sign to be due would fail after 38 s, and say so after 48 s.
    store.1.store(true, Ordering::SeqCst);
    until(29_100);
    store.1.store(false, Ordering::SeqCst);
    both_work();
    until(39_000);
    both_work();
    until(39_200);
    both_work();
    until(120_000);
    both_work();
}

/// Does something once, at the next load but so many.
#[derive(Default)]
struct Between {
    inner: MemoryTaskStore,
    loads: AtomicU32,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl TaskStore for Between {
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        self.inner.insert(id, task, quota, now)
    }

    fn load<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>> {
        if self.loads.fetch_sub(1, Ordering::SeqCst) == 0
            && let Some(then) = self.then.lock().unwrap().take()
        {
            then();
        }
        self.inner.load(id)
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        self.inner.replace(id, expected, task, quota)
    }

    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        self.inner.sweep(now)
    }
}

#[test]
fn a_sign_of_life_at_the_last_moment_counts() {
    let store = Arc::new(Between::default());
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = ahead(&bench, store.clone(), 100_000, |tasks| tasks);
    let id = one.begin("again", "{}").task_id;
    // Its worker is kept from all work for a while.
    let kept = std::mem::take(&mut *bench.tasks.lock().unwrap());
    for pause in [1_000, 20_000, 10_000] {
        two.get(&id);
        bench.advance(pause);
    }
    assert_eq!(two.counters.get(), (0, 0));
    bench.tasks.lock().unwrap().extend(kept);
    // The next look finds it silent; before the take-over is written the worker says that it lives.
    let (worker, looks) = (bench.clone(), 1);
    *store.then.lock().unwrap() = Some(Box::new(move || worker.run()));
    store.loads.store(looks, Ordering::SeqCst);
    assert!(line(&two.get(&id)).starts_with("working"));
    assert!(store.then.lock().unwrap().is_none(), "there was a second load");
    bench.advance(60_000);
    assert_eq!((one.counters.get(), two.counters.get()), ((1, 0), (0, 0)));
}
