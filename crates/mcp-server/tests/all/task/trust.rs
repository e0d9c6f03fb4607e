//! Who may see a task, how many there are, and what they may do.

use super::*;

#[test]
fn a_client_that_does_not_declare_the_extension_never_sees_a_task() {
    let world = World::new();
    world.counters.open();
    let outcome = world.send(request("slow", r#"{"label":"it"}"#), &undeclared()).unwrap();
    assert!(matches!(outcome, Outcome::Complete(ServerResult::CallTool(_))), "{outcome:?}");
    let task = world.begin("slow", r#"{"label":"it"}"#);
    let id = format!(r#"{{"taskId":"{}","inputResponses":{{}}}}"#, task.task_id);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let error = world.ask(method, &id, &undeclared()).unwrap_err();
        assert_eq!(error.code, codes::MISSING_CLIENT_CAPABILITY, "{method}");
    }
    let error = world.send(request("fails", "{}"), &undeclared()).unwrap_err();
    assert_eq!(error.code, codes::MISSING_CLIENT_CAPABILITY);
    let data = r#"{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
    assert_eq!(error.data.unwrap().get(), data);
}

#[test]
fn only_the_methods_of_the_extension_are_served() {
    let world = World::new();
    for method in ["tasks/list", "tasks/result", "tasks/"] {
        let error = world.ask(method, "{}", &caller()).unwrap_err();
        assert_eq!(error.code, codes::METHOD_NOT_FOUND, "{method}");
    }
    assert!(server!().tool::<fails>().build().is_err(), "nobody keeps its tasks");
    let mut none = server!().tool::<late>().build().unwrap();
    let params = Some(RawText::new(r#"{"taskId":"x"}"#).unwrap());
    let get = ClientRequest::Extension { method: "tasks/get".into(), params };
    let error = block_on(none.call(Exchange::new(get))).unwrap_err();
    assert_eq!(error.code, codes::METHOD_NOT_FOUND);
}

#[test]
fn for_another_principal_the_task_does_not_exist() {
    let world = World::new();
    let task = world.begin_as(&named("Ada"), "asks", "{}");
    let id = format!(
        r#"{{"taskId":"{}","inputResponses":{{"name":{{"action":"accept"}}}}}}"#,
        task.task_id
    );
    let guess = "0".repeat(40);
    let guess = format!(r#"{{"taskId":"{guess}","inputResponses":{{}}}}"#);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let unknown = world.ask(method, &guess, &named("Ada")).unwrap_err();
        assert_eq!(unknown.code, codes::INVALID_PARAMS);
        for other in [named("Eve"), caller()] {
            let error = world.ask(method, &id, &other).unwrap_err();
            assert_eq!(error, unknown, "{method}");
        }
    }
    let text = world.ask("tasks/get", &id, &named("Ada")).unwrap();
    assert_eq!(line(&text.parse().unwrap()), r#"input_required ["name"]"#);
    // Nor can a name be spelled so that it becomes another's.
    let tricky = world.begin_as(&named(r#"Ada","#), "asks", "{}");
    let id = format!(r#"{{"taskId":"{}"}}"#, tricky.task_id);
    assert!(world.ask("tasks/get", &id, &named("Ada")).is_err());
}

#[test]
fn ids_are_ours_or_unknown() {
    let world = World::new();
    let task = world.begin("slow", r#"{"label":"it"}"#);
    let upper = task.task_id.to_uppercase();
    let long = "a".repeat(100_000);
    for id in ["", "x", &upper, &long, &format!("{} ", task.task_id), "../../etc/passwd", "\\u0000"]
    {
        let params = format!(r#"{{"taskId":"{id}"}}"#);
        let error = world.ask("tasks/get", &params, &caller()).unwrap_err();
        assert_eq!(error.code, codes::INVALID_PARAMS, "{id}");
        assert!(error.message.len() < 200);
    }
    for params in ["{}", r#"{"taskId":7}"#, r#"{"taskId":null}"#] {
        let error = world.ask("tasks/get", params, &caller()).unwrap_err();
        assert_eq!(error.code, codes::INVALID_PARAMS, "{params}");
    }
    let other = world.begin("slow", r#"{"label":"it"}"#);
    assert_ne!(task.task_id, other.task_id);
}

#[test]
fn no_caller_takes_the_room_of_all() {
    let world = World::with(Arc::new(MemoryTaskStore::new()), |tasks| {
        tasks.quota(|quota| quota.tasks_of_owner = 2)
    });
    let (ada, eve) = (named("Ada"), named("Eve"));
    world.begin_as(&eve, "slow", r#"{"label":"1"}"#);
    world.begin_as(&eve, "slow", r#"{"label":"2"}"#);
    let error = world.send(request("fails", "{}"), &eve).unwrap_err();
    assert_eq!(error.code, codes::INTERNAL_ERROR);
    assert!(error.message.contains("for this caller"), "{error}");
    world.begin_as(&ada, "slow", r#"{"label":"3"}"#);
    // A tool that can do without is answered in its request.
    world.counters.open();
    let outcome = world.send(request("slow", r#"{"label":"4"}"#), &eve).unwrap();
    assert!(matches!(outcome, Outcome::Complete(ServerResult::CallTool(_))), "{outcome:?}");
    let accept = RawText::new(r#"{"action":"accept"}"#).unwrap();
    let both = [("name", accept.clone()), ("sure", accept)];
    let outcome =
        world.send(request("late", "{}"), &Caller { answers: both.into_iter().collect(), ..eve });
    assert!(format!("{outcome:?}").contains("accept accept false"), "{outcome:?}");
}

#[test]
fn tasks_wait_for_their_turn() {
    let world = World::with(Arc::new(MemoryTaskStore::new()), |tasks| tasks.at_once(2));
    let ids: Vec<_> = (0..4).map(|_| world.begin("slow", r#"{"label":"it"}"#).task_id).collect();
    assert_eq!(world.counters.get(), (2, 0));
    // One that waits for the client takes no turn, and one that is cancelled gives its own back.
    world.cancel(&ids[0]);
    assert_eq!(world.counters.get(), (3, 1));
    world.cancel(&ids[3]);
    assert_eq!((world.counters.get(), world.bench.tasks()), ((3, 1), 2));
    world.counters.open();
    world.bench.run();
    assert_eq!((world.counters.get(), world.bench.tasks()), ((3, 3), 0));
    let asks = world.begin("asks", "{}").task_id;
    let other = world.begin("asks", "{}").task_id;
    let third = world.begin("asks", "{}").task_id;
    for id in [asks, other, third] {
        assert_eq!(line(&world.get(&id)), r#"input_required ["name"]"#);
    }
}

#[test]
fn a_result_that_is_too_large_to_keep_ends_its_task() {
    let world = World::with(Arc::new(MemoryTaskStore::new()), |tasks| {
        tasks.quota(|quota| quota.bytes = 2_000)
    });
    world.counters.open();
    let label = "x".repeat(1_000);
    let task = world.begin("slow", &format!(r#"{{"label":"{label}"}}"#));
    assert_eq!(
        line(&world.get(&task.task_id)),
        "failed -32603 the task's result could not be kept"
    );
}

/// A layer outside of the server that counts the calls of tools.
#[derive(Clone)]
struct Gate(Server, Arc<AtomicU32>);

impl Service<Exchange> for Gate {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Cx<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        if matches!(exchange.request, ClientRequest::CallTool(_)) {
            exchange.offer_caller(|| mcp_server::types::Caller::new(self.clone()));
            self.1.fetch_add(1, Ordering::SeqCst);
        }
        Box::pin(self.0.call(exchange))
    }
}

#[test]
fn no_task_gets_around_the_layers_of_its_call() {
    for restarts in [false, true] {
        let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
        let before = World::with(store.clone(), |tasks| tasks);
        before.counters.open();
        let passed = Arc::new(AtomicU32::new(0));
        let mut gate = Gate(before.server.clone(), passed.clone());
        let mut exchange = Exchange::new(request("calls", "{}"));
        let capabilities = RawText::new(DECLARED).unwrap();
        exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
        exchange.context.runtime = Some(before.bench.clone());
        let task = extension(block_on(gate.call(exchange)).unwrap());
        let id = task.parse::<CreateTaskResult>().unwrap().task_id;
        before.bench.run();
        let world = match restarts {
            false => before,
            true => World::with(store, |tasks| tasks),
        };
        world.counters.open();
        world.update(&id, r#"{"sure":{"action":"accept"}}"#).unwrap();
        let end = line(&world.get(&id));
        match restarts {
            false => assert!(end.contains(r#""text":"called""#), "{end}"),
            true => assert!(end.contains("the server was restarted"), "{end}"),
        }
        // The inner call too, unless there is none.
        assert_eq!(passed.load(Ordering::SeqCst), if restarts { 1 } else { 2 });
        assert_eq!(world.counters.get().0, if restarts { 0 } else { 1 });
    }
}
