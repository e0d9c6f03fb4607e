//! How a task begins, asks, and ends.

use super::*;

#[test]
fn a_call_becomes_a_task_and_ends() {
    let world = World::new();
    let task = world.begin("slow", r#"{"label":"it"}"#);
    assert_eq!(
        (task.status.as_str(), task.ttl_ms, task.poll_interval_ms),
        ("working", Some(3_600_000), Some(1_000))
    );
    assert_eq!(task.created_at, "2026-01-02T03:04:05.000Z");
    assert_eq!(task.task_id.len(), 40);
    assert_eq!(line(&world.get(&task.task_id)), r#"working Some("1 of 2: half")"#);
    world.bench.advance(2_500);
    world.counters.open();
    world.bench.run();
    let DetailedTask::Completed(done) = world.get(&task.task_id) else { panic!() };
    assert_eq!(done.created_at, "2026-01-02T03:04:05.000Z");
    assert_eq!(done.last_updated_at, "2026-01-02T03:04:07.500Z");
    assert!(done.result.get().contains(r#""text":"done it""#), "{}", done.result);
    assert_eq!((world.counters.get(), world.bench.tasks()), ((1, 1), 0));
}

#[test]
fn a_created_task_says_what_the_extension_wants_and_no_more() {
    let world = World::new();
    let outcome = world.send(request("slow", r#"{"label":"it"}"#), &caller()).unwrap();
    let members: BTreeMap<String, serde_json::Value> = extension(outcome).parse().unwrap();
    let names: Vec<_> = members.keys().map(String::as_str).collect();
    let expected =
        ["createdAt", "lastUpdatedAt", "pollIntervalMs", "resultType", "status", "taskId", "ttlMs"];
    assert_eq!(names, expected);
}

#[test]
fn failures_of_the_tool_and_of_the_protocol_are_told_apart() {
    let world = World::new();
    let failed = world.begin("fails", "{}");
    assert!(line(&world.get(&failed.task_id)).contains(r#""isError":true"#));
    let wrong = world.begin("slow", r#"{"lable":"it"}"#);
    assert!(line(&world.get(&wrong.task_id)).contains(r#""isError":true"#));
    let broken = world.begin("panics", "{}");
    assert_eq!(
        line(&world.get(&broken.task_id)),
        "failed -32603 the call failed by a fault of the server"
    );
}

#[test]
fn the_server_declares_the_extension_where_it_keeps_tasks() {
    let world = World::new();
    let discover = ClientRequest::Discover(RequestParams::new());
    let outcome = world.send(discover, &caller()).unwrap();
    let Outcome::Complete(ServerResult::Discover(found)) = outcome else { panic!() };
    assert_eq!(found.capabilities.extensions.unwrap()["io.modelcontextprotocol/tasks"].get(), "{}");
}

#[test]
fn a_task_asks_and_is_answered() {
    let world = World::new();
    let task = world.begin("asks", "{}");
    let id = &task.task_id;
    assert_eq!(line(&world.get(id)), r#"input_required ["name"]"#);
    assert_eq!(line(&world.get(id)), r#"input_required ["name"]"#);
    // Keys that nobody asked for are passed over.
    world.update(id, r#"{"other":{"action":"accept"},"sure":{"action":"accept"}}"#).unwrap();
    assert_eq!(line(&world.get(id)), r#"input_required ["name"]"#);
    // An answer that is none is refused, and the question stays.
    let error = world.update(id, r#"{"name":12345}"#).unwrap_err();
    assert_eq!(error.code, codes::INVALID_PARAMS);
    assert!(error.message.contains("params.inputResponses.name"), "{error}");
    assert_eq!(line(&world.get(id)), r#"input_required ["name"]"#);
    let done = world.update(id, r#"{"name":{"action":"accept"}}"#).unwrap();
    assert_eq!(done.get(), r#"{"resultType":"complete"}"#);
    assert_eq!(line(&world.get(id)), r#"input_required ["sure"]"#);
    // The same answer once more, too late.
    world.update(id, r#"{"name":{"action":"cancel"}}"#).unwrap();
    world.update(id, r#"{"sure":{"action":"decline"}}"#).unwrap();
    assert!(line(&world.get(id)).contains("accept decline"));
    world.update(id, r#"{"sure":{"action":"accept"}}"#).unwrap();
    assert!(line(&world.get(id)).contains("accept decline"));
    assert_eq!(world.counters.get().0, 3);
}

#[test]
fn what_a_tool_asks_before_it_is_a_task_it_asks_in_the_request() {
    let world = World::new();
    let outcome = world.send(request("late", "{}"), &caller()).unwrap();
    let Outcome::InputRequired(asked) = outcome else { panic!("{outcome:?}") };
    assert!(asked.input_requests.unwrap().contains_key("name"));
    let accept = RawText::new(r#"{"action":"accept"}"#).unwrap();
    let answers = Members::from_iter([("name", accept)]);
    let answered = Caller { answers, state: asked.request_state, ..caller() };
    let task = world.begin_as(&answered, "late", "{}");
    assert_eq!(line(&world.get(&task.task_id)), r#"input_required ["sure"]"#);
    world.update(&task.task_id, r#"{"sure":{"action":"decline"}}"#).unwrap();
    assert!(line(&world.get(&task.task_id)).contains("accept decline true"));
    // Who does not declare the extension is asked on, and answered, in the request.
    let plain = Caller { capabilities: r#"{"elicitation":{}}"#, ..answered };
    let outcome = world.send(request("late", "{}"), &plain).unwrap();
    let Outcome::InputRequired(asked) = outcome else { panic!("{outcome:?}") };
    assert!(asked.input_requests.unwrap().contains_key("sure"));
}

#[cfg(feature = "sealed-state")]
#[test]
fn what_was_done_before_the_task_is_not_done_again_in_it() {
    let world = World::new();
    let task = world.begin("charges", "{}");
    world.update(&task.task_id, r#"{"sure":{"action":"accept"}}"#).unwrap();
    assert!(line(&world.get(&task.task_id)).contains("charged 1 time, accept"));
    assert_eq!(world.counters.get().0, 1);
}

#[test]
fn a_task_that_is_cancelled_is_dropped_and_stays_so() {
    let world = World::new();
    let task = world.begin("slow", r#"{"label":"it"}"#);
    assert_eq!(world.counters.get(), (1, 0));
    assert_eq!(world.cancel(&task.task_id).get(), r#"{"resultType":"complete"}"#);
    assert_eq!((world.counters.get(), world.bench.tasks()), ((1, 1), 0));
    world.counters.open();
    world.bench.run();
    assert_eq!(line(&world.get(&task.task_id)), "cancelled");
    assert_eq!(world.cancel(&task.task_id).get(), r#"{"resultType":"complete"}"#);
}

#[test]
fn a_cancellation_that_comes_early_or_late() {
    let world = World::new();
    // Before its tool was entered: it never is.
    let outcome = world.send(request("slow", r#"{"label":"it"}"#), &caller()).unwrap();
    let task: CreateTaskResult = extension(outcome).parse().unwrap();
    world.cancel(&task.task_id);
    world.bench.run();
    assert_eq!(
        (world.counters.get(), line(&world.get(&task.task_id))),
        ((0, 0), "cancelled".into())
    );
    // After the tool ended, before anybody was told: the result stands.
    world.counters.open();
    let task = world.begin("slow", r#"{"label":"it"}"#);
    world.cancel(&task.task_id);
    assert!(line(&world.get(&task.task_id)).starts_with("completed"));
    // While it waits for the client: later answers change nothing.
    let task = world.begin("asks", "{}");
    world.cancel(&task.task_id);
    world.update(&task.task_id, r#"{"name":{"action":"accept"}}"#).unwrap();
    assert_eq!(line(&world.get(&task.task_id)), "cancelled");
    assert_eq!(world.bench.tasks(), 0);
}

/// A thread for each task, and no timers.
struct Threads;

impl Runtime for Threads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        std::thread::spawn(move || block_on(task));
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        std::thread::spawn(work);
        Ok(())
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

#[test]
fn results_answers_and_cancellations_race() {
    let world =
        World::with(Arc::new(MemoryTaskStore::new()), |tasks| tasks.runtime(Arc::new(Threads)));
    world.counters.open();
    for round in 0..200 {
        let tool = if round % 2 == 0 { "slow" } else { "asks" };
        let id = world.begin(tool, if round % 2 == 0 { r#"{"label":"it"}"# } else { "{}" }).task_id;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for key in ["name", "sure", "name", "sure"] {
                        let answer = format!(r#"{{"{key}":{{"action":"accept"}}}}"#);
                        world.update(&id, &answer).unwrap();
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..round % 7 {
                    world.get(&id);
                }
                world.cancel(&id);
            });
        });
        // Whoever came first has decided, for good.
        let end = line(&world.get(&id));
        let end = end.split(' ').next().unwrap().to_owned();
        assert!(end == "completed" || end == "cancelled", "{end}");
        std::thread::yield_now();
        assert!(line(&world.get(&id)).starts_with(&end));
    }
}

#[test]
fn answer_and_cancellation_at_once_end_in_one_of_both() {
    let world = World::new();
    let task = world.begin("asks", "{}");
    let id = &task.task_id;
    // The answer is taken, the tool not entered yet, the cancellation comes.
    let params =
        format!(r#"{{"taskId":"{id}","inputResponses":{{"name":{{"action":"accept"}}}}}}"#);
    let params = Some(RawText::new(params).unwrap());
    let update = ClientRequest::Extension { method: "tasks/update".into(), params };
    world.send(update, &caller()).unwrap();
    world.cancel(id);
    world.bench.run();
    assert_eq!((line(&world.get(id)), world.counters.get().0), ("cancelled".into(), 1));
}
