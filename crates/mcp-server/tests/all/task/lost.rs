//! Writes that a store makes and whose answers are lost.

use super::*;

/// What a store is told to do with its next writes.
#[derive(Default)]
struct Losses {
    /// How many answers to changes are lost.
    answers: AtomicU32,
    /// How many answers to changes never come.
    slow: AtomicU32,
    /// How many changes are not made; the last one is kept until the test makes it.
    late: AtomicU32,
    kept: Mutex<Option<(String, u64, KeptTask)>>,
    /// The same for new tasks.
    tasks: AtomicU32,
    slow_tasks: AtomicU32,
    late_tasks: AtomicU32,
    kept_task: Mutex<Option<(String, KeptTask)>>,
    /// How many operations do not reach the store.
    unreached: AtomicU32,
}

/// A store that loses answers.
#[derive(Clone, Default)]
struct Lossy {
    inner: Arc<MemoryTaskStore>,
    losses: Arc<Losses>,
    /// Whether it is one process's own.
    own: bool,
}

fn takes_one(from: &AtomicU32) -> bool {
    from.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Lossy {
    /// Loses the answers to so many changes, which are made.
    fn lose(&self, answers: u32) {
        self.losses.answers.store(answers, Ordering::SeqCst);
    }

    fn reached(&self) -> Result<(), TaskStoreError> {
        if takes_one(&self.losses.unreached) { away() } else { Ok(()) }
    }

    /// Makes a change that was under way.
    fn make_late(&self) -> Result<(), TaskStoreError> {
        let (id, expected, task) = self.losses.kept.lock().unwrap().take().unwrap();
        block_on(self.inner.replace(&id, expected, task, &Quota::default()))
    }
}

fn away<T>() -> Result<T, TaskStoreError> {
    Err(TaskStoreError::Unavailable("the answer is lost".into()))
}

impl TaskStore for Lossy {
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        Box::pin(async move {
            self.reached()?;
            if takes_one(&self.losses.late_tasks) {
                *self.losses.kept_task.lock().unwrap() = Some((id.to_owned(), task));
                return away();
            }
            self.inner.insert(id, task, quota, now).await?;
            if takes_one(&self.losses.slow_tasks) {
                std::future::pending::<()>().await;
            }
            if takes_one(&self.losses.tasks) { away() } else { Ok(()) }
        })
    }

    fn load<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>> {
        Box::pin(async move {
            self.reached()?;
            self.inner.load(id).await
        })
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        Box::pin(async move {
            if takes_one(&self.losses.late) {
                *self.losses.kept.lock().unwrap() = Some((id.to_owned(), expected, task));
                return away();
            }
            self.inner.replace(id, expected, task, quota).await?;
            if takes_one(&self.losses.slow) {
                std::future::pending::<()>().await;
            }
            if takes_one(&self.losses.answers) { away() } else { Ok(()) }
        })
    }

    fn is_shared(&self) -> bool {
        !self.own
    }

    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        self.inner.sweep(now)
    }
}

fn world(store: &Lossy) -> World {
    World::with(Arc::new(store.clone()), |tasks| tasks)
}

const ANSWER: &str = r#"{"name":{"action":"accept"}}"#;

#[test]
fn a_task_goes_on_though_the_answer_to_its_update_is_lost() {
    let store = Lossy::default();
    let world = world(&store);
    let id = world.begin("signs", "{}").task_id;
    store.lose(1);
    let error = world.update(&id, ANSWER).unwrap_err();
    assert!(error.message.contains("cannot use its store of tasks"), "{}", error.message);
    assert!(line(&world.get(&id)).starts_with("working"));
    assert_eq!(world.counters.get(), (1, 0), "the tool has the answer");
    world.counters.open();
    world.bench.run();
    assert!(line(&world.get(&id)).starts_with("completed"));
    assert_eq!(world.counters.get().0, 1);
}

#[test]
fn an_answer_that_was_not_written_is_not_written_later() {
    let store = Lossy::default();
    let world = world(&store);
    let id = world.begin("signs", "{}").task_id;
    store.losses.late.store(1, Ordering::SeqCst);
    world.update(&id, ANSWER).unwrap_err();
    assert_eq!(line(&world.get(&id)), r#"input_required ["name"]"#);
    // A record that says that we work on it, while nobody does, would be a task that is gone.
    assert!(matches!(store.make_late(), Err(TaskStoreError::Lost)));
    world.update(&id, ANSWER).unwrap();
    world.counters.open();
    world.bench.run();
    assert!(line(&world.get(&id)).starts_with("completed"));
    assert_eq!(world.counters.get().0, 1);
}

#[test]
fn a_task_goes_on_though_whoever_answered_it_hung_up() {
    let store = Lossy::default();
    let world = world(&store);
    let id = world.begin("signs", "{}").task_id;
    store.losses.slow.store(1, Ordering::SeqCst);
    let params = format!(r#"{{"taskId":"{id}","inputResponses":{ANSWER}}}"#);
    let params = Some(RawText::new(params).unwrap());
    let update = ClientRequest::Extension { method: "tasks/update".into(), params };
    let mut update = world.serve(update, &caller());
    assert!(update.as_mut().poll(&mut Cx::from_waker(Waker::noop())).is_pending());
    drop(update);
    assert!(line(&world.get(&id)).starts_with("working"));
    assert_eq!(world.counters.get(), (1, 0));
    world.counters.open();
    world.bench.run();
    assert!(line(&world.get(&id)).starts_with("completed"));
}

#[test]
fn one_run_waits_for_the_store_however_often_a_task_is_answered() {
    let store = Lossy::default();
    let world = world(&store);
    let id = world.begin("signs", "{}").task_id;
    store.losses.late.store(1_000, Ordering::SeqCst);
    for _ in 0..10 {
        world.update(&id, ANSWER).unwrap_err();
        world.bench.advance(500);
        assert_eq!(world.bench.tasks(), 1);
    }
    store.losses.late.store(0, Ordering::SeqCst);
    world.bench.advance(1_000);
    assert_eq!(world.bench.tasks(), 0);
    world.update(&id, ANSWER).unwrap();
    assert!(line(&world.get(&id)).starts_with("working"));
}

#[test]
fn lost_answers_use_up_no_restart() {
    let store = Lossy { own: true, ..Lossy::default() };
    let before = world(&store);
    let id = before.begin("again", "{}").task_id;
    drop(before);
    let after = world(&store);
    for _ in 0..5 {
        store.lose(1);
        // The run that was begun is the only one, however often it is asked for.
        assert!(line(&after.get(&id)).starts_with("working"));
    }
    store.lose(0);
    assert_eq!(after.counters.get(), (1, 0));
    after.counters.open();
    after.bench.run();
    assert!(line(&after.get(&id)).starts_with("completed"));
}

#[test]
fn a_run_that_lost_the_answer_to_its_question_leaves_the_next_one_alone() {
    for shared in [false, true] {
        let store = Lossy { own: !shared, ..Lossy::default() };
        let world = world(&store);
        store.lose(1);
        let id = world.begin("signs", "{}").task_id;
        assert_eq!(line(&world.get(&id)), r#"input_required ["name"]"#);
        world.update(&id, ANSWER).unwrap();
        assert_eq!(world.counters.get(), (1, 0));
        // The first run tries its end again.
        world.bench.advance(1_000);
        assert!(line(&world.get(&id)).starts_with("working"), "it is not asked a second time");
        world.bench.advance(60_000);
        assert_eq!(world.counters.get(), (1, 0), "its tool is not dropped");
        world.counters.open();
        world.bench.run();
        assert!(line(&world.get(&id)).starts_with("completed"));
        assert_eq!(world.counters.get().0, 1, "what it does is done once");
    }
}

/// A world with room for three tasks of one caller.
fn narrow(store: &Lossy) -> World {
    World::with(Arc::new(store.clone()), |tasks| tasks.quota(|quota| quota.tasks_of_owner = 3))
}

fn call(world: &World) -> Result<Outcome, ErrorObject> {
    let called = world.send(request("fails", "{}"), &caller());
    world.bench.run();
    called
}

#[test]
fn a_task_that_nobody_knows_takes_no_room() {
    let store = Lossy::default();
    let world = narrow(&store);
    store.losses.tasks.store(3, Ordering::SeqCst);
    for _ in 0..3 {
        call(&world).unwrap_err();
    }
    world.bench.advance(1);
    for _ in 0..3 {
        call(&world).unwrap();
    }
    assert!(call(&world).unwrap_err().message.contains("no more tasks are kept"));
    assert_eq!(world.bench.tasks(), 0, "nobody looks for more");
}

#[test]
fn what_was_lost_is_seen_to_though_the_runtime_of_its_call_is_gone() {
    for begins in [true, false] {
        let store = Lossy::default();
        let world = narrow(&store);
        store.losses.tasks.store(2, Ordering::SeqCst);
        let mut lost = world.serve(request("fails", "{}"), &caller());
        assert!(lost.as_mut().poll(&mut Cx::from_waker(Waker::noop())).is_ready());
        if begins {
            // The store is away when it is looked for.
            store.losses.unreached.store(1, Ordering::SeqCst);
            world.bench.run();
        }
        assert_eq!(world.bench.tasks(), 1);
        world.bench.tasks.lock().unwrap().clear();
        call(&world).unwrap_err();
        world.bench.advance(1);
        // Both are ended, so there is room for three.
        for _ in 0..3 {
            call(&world).unwrap();
        }
        assert_eq!(world.bench.tasks(), 0);
    }
}

#[test]
fn a_task_whose_caller_hung_up_before_it_was_named_takes_no_room() {
    let store = Lossy::default();
    let world = narrow(&store);
    store.losses.slow_tasks.store(3, Ordering::SeqCst);
    for _ in 0..3 {
        let mut call = world.serve(request("fails", "{}"), &caller());
        assert!(call.as_mut().poll(&mut Cx::from_waker(Waker::noop())).is_pending());
    }
    world.bench.advance(1);
    assert_eq!(world.counters.get().0, 0);
    for _ in 0..3 {
        call(&world).unwrap();
    }
}

#[test]
fn a_task_that_comes_late_is_looked_for_until_it_cannot_come_any_more() {
    let store = Lossy::default();
    let world = narrow(&store);
    store.losses.late_tasks.store(1, Ordering::SeqCst);
    call(&world).unwrap_err();
    // A long outage, in which the task waits before the store; one looks for it.
    store.losses.unreached.store(u32::MAX, Ordering::SeqCst);
    for _ in 0..10 {
        call(&world).unwrap_err();
        world.bench.advance(60_000);
        assert_eq!(world.bench.tasks(), 1);
    }
    store.losses.unreached.store(0, Ordering::SeqCst);
    world.bench.advance(1_000);
    let (id, task) = store.losses.kept_task.lock().unwrap().take().unwrap();
    block_on(store.inner.insert(&id, task, &Quota::default(), START)).unwrap();
    world.bench.advance(1_000);
    world.bench.advance(1_000);
    assert_eq!(world.bench.tasks(), 0);
    for _ in 0..3 {
        call(&world).unwrap();
    }
}

#[test]
fn a_task_that_is_cancelled_is_dropped_though_the_answer_is_lost() {
    let store = Lossy { own: true, ..Lossy::default() };
    let world = world(&store);
    let id = world.begin("slow", r#"{"label":"it"}"#).task_id;
    store.lose(1);
    let params = format!(r#"{{"taskId":"{id}"}}"#);
    world.ask("tasks/cancel", &params, &caller()).unwrap_err();
    world.cancel(&id);
    assert_eq!((world.counters.get(), world.bench.tasks()), ((1, 1), 0));
    let id = world.begin("slow", r#"{"label":"it"}"#).task_id;
    store.lose(1);
    let params = format!(r#"{{"taskId":"{id}"}}"#);
    world.ask("tasks/cancel", &params, &caller()).unwrap_err();
    assert_eq!(line(&world.get(&id)), "cancelled");
    world.bench.run();
    assert_eq!((world.counters.get(), world.bench.tasks()), ((2, 2), 0));
}
