//! The server's own layers: what they sign, and whom they let in.

use super::*;

#[test]
fn a_plain_client_is_told_what_it_lacks() {
    let world = World::new([tool("search", Some(SEARCH)), tool("pay", Some(PAY))]);
    let mut plain = Client {
        service: world.stack(),
        layer: world.connect(Policy::basic(), world.stack()).layer,
    };
    assert_eq!(plain.list(), ["search", "pay"]);
    assert_eq!(plain.call("search").unwrap(), "search");
    let error = plain.call("pay").unwrap_err();
    assert_eq!((error.code, code(&error)), (-32021, "SIGNATURE_REQUIRED".to_owned()));
    let data: Value = error.data.unwrap().parse().unwrap();
    assert!(data["requiredCapabilities"]["extensions"][wire::EXTENSION].is_object());
    assert_eq!(world.server.calls(), 1);
}

/// A call with a statement of the test's own.
fn signed_call(name: &str, definition: crate::digest::Digest, key: &SigningKey) -> Exchange {
    let arguments = r#"{"query":"x"}"#;
    let statement = Call::new(&notes(), name, definition).arguments(Some(arguments)).sign(key, NOW);
    let mut params = CallToolRequestParams::new(name);
    params.arguments = RawText::new(arguments).ok();
    let mut exchange = Exchange::new(ClientRequest::CallTool(params));
    exchange.context.meta.insert(wire::CALL, RawText::of(&statement.unwrap()).unwrap());
    exchange
}

#[test]
fn the_guard_takes_a_statement_once_and_for_the_live_definition() {
    let world = World::new([tool("pay", Some(PAY))]);
    let mut stack = world.stack();
    let raw = block_on(world.signer().start(world.server.clone())).unwrap().remove(0);
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let mut send = |exchange: &Exchange| block_on(ask(&mut stack, exchange.clone()));

    let exchange = signed_call("pay", raw.digest(), &key);
    assert!(send(&exchange).is_ok());
    let error = send(&exchange).unwrap_err();
    assert_eq!((error.code, code(&error)), (-33003, "REPLAYED".to_owned()));
    let passed = world.server.0.lock().unwrap().calls.remove(0);
    let extensions = &passed.context.extensions;
    assert_eq!(extensions.get::<crate::request::SignedCall>().unwrap().key, key.id());
    assert_eq!(extensions.get::<crate::chain::Frame>().unwrap().digest(), raw.digest());

    let other = crate::digest::Digest::of_bytes(b"approved before");
    let error = send(&signed_call("pay", other, &key)).unwrap_err();
    assert_eq!((error.code, code(&error)), (-33006, "DEFINITION_CHANGED".to_owned()));
    let data: Value = error.data.unwrap().parse().unwrap();
    assert_eq!(data[wire::EVIDENCE]["live"], raw.digest().to_string());

    let mut changed = signed_call("pay", raw.digest(), &key);
    if let ClientRequest::CallTool(params) = &mut changed.request {
        params.arguments = RawText::new(r#"{"query":"y"}"#).ok();
    }
    assert_eq!(send(&changed).unwrap_err().code, -33002);
    // What the server changes is learned with the next listing.
    assert_eq!(world.server.calls(), 0);

    let known = GuardLayer::new(notes(), || NOW).keys(CallKeys::Known(KeyRing::new()));
    let mut stack = known.layer(world.signer().layer(world.server.clone()));
    let exchange = signed_call("pay", raw.digest(), &key);
    assert_eq!(code(&block_on(ask(&mut stack, exchange)).unwrap_err()), "KEY_UNKNOWN");
}

fn call_of(mut exchange: Exchange, from: &Exchange) -> Exchange {
    exchange.context.extensions = from.context.extensions.clone();
    exchange
}

#[test]
fn the_guard_checks_the_chain() {
    const LEAF: Declaration = Declaration::new("1.0.0").allowed_callers(&["plan"]);
    let world = World::new([tool("plan", Some(SEARCH)), tool("leaf", Some(LEAF)), tool("x", None)]);
    let mut stack = world.stack();
    let mut call = |name: &str, from: Option<&Exchange>| {
        let mut exchange = Exchange::new(ClientRequest::CallTool(CallToolRequestParams::new(name)));
        if let Some(from) = from {
            exchange.context.extensions = from.context.extensions.clone();
        }
        let outcome = block_on(ask(&mut stack, exchange));
        outcome.map(|_| world.server.0.lock().unwrap().calls.pop().unwrap())
    };
    let plan = call("plan", None).unwrap();
    let leaf = call("leaf", Some(&plan)).unwrap();
    let other = call("x", None).unwrap();
    // A handler that is entered anew is in the chain all the same.
    let params = CallToolRequestParams::new("leaf");
    let again = Exchange::reenter(other.id(), 1, ClientRequest::CallTool(params));
    let again = call_of(again, &other);
    let error = block_on(ask(&mut world.stack(), again)).unwrap_err();
    assert_eq!(code(&error), "CHAIN_DENIED");
    for (name, from) in [("leaf", &other), ("plan", &leaf)] {
        let error = call(name, Some(from)).unwrap_err();
        assert_eq!((error.code, code(&error)), (-33008, "CHAIN_DENIED".to_owned()));
    }
}

#[test]
fn a_server_does_not_start_with_other_tools_than_the_signed_ones() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let listed = Listed::new(tool("search", Some(SEARCH))).unwrap();
    let raw = crate::definition::RawTool::from_listed(&listed).unwrap();
    let statement = Attestation::new(acme(), notes(), NOW).instance_key(world.instance.id());
    let text = manifest::sign(&statement, [raw.definition()], &*world.publisher).unwrap();
    let layer = SignLayer::new(notes(), || NOW)
        .instance_key(world.instance.clone())
        .manifest(&text)
        .unwrap();
    assert!(block_on(layer.start(world.server.clone())).is_ok());

    // No key of the publisher sits on the server, and the client verifies all the same.
    let mut client = world.connect(Policy::strict(), layer.layer(world.server.clone()));
    client.call("search").unwrap();
    assert_eq!(client.layer.review("search").unwrap().verification().unwrap().issuer(), &acme());

    world.server.set([tool("search", Some(SEARCH)), tool("shell", None)]);
    let error = block_on(layer.start(world.server.clone())).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("\n  tool `shell` is not signed (the manifest does not name it)\n"),
        "{text}"
    );
    assert_eq!(client.refused("shell").1, Some("NOT_IN_MANIFEST"));

    world.server.set([tool("search", Some(PAY))]);
    let error = block_on(layer.start(world.server.clone())).unwrap_err();
    assert!(error.to_string().contains("\n  tool `search` was signed as sha-256:"), "{error}");
    assert_eq!(client.refused("search").1, Some("DIGEST_MISMATCH"));
}

#[test]
fn a_signed_tool_is_made_once() {
    let world = World::new([tool("search", Some(SEARCH)), tool("plain", None)]);
    let mut signed = world.signer().layer(world.server.clone());
    let mut list = || {
        let request = ClientRequest::ListTools(PaginatedRequestParams::new());
        match block_on(ask(&mut signed, Exchange::new(request))).unwrap() {
            Outcome::Complete(ServerResult::ListTools(page)) => page.tools,
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (list(), list());
    assert!(Arc::ptr_eq(&first[0], &second[0]));
    assert!(!first[1].text().get().contains("dev.etdi"), "what declares nothing stays as it is");
    let mut changed = tool("search", Some(SEARCH));
    changed.title = Some("Search".to_owned());
    world.server.set([changed]);
    assert!(!Arc::ptr_eq(&first[0], &list()[0]));
}

#[test]
fn the_server_says_that_it_signs() {
    let world = World::new([]);
    let mut exchange = Exchange::new(ClientRequest::Discover(RequestParams::new()));
    let discover = |exchange: Exchange| match block_on(ask(&mut world.stack(), exchange)).unwrap() {
        Outcome::Complete(ServerResult::Discover(result)) => result,
        other => panic!("{other:?}"),
    };
    let result = discover(exchange.clone());
    let capability = &result.capabilities.extensions.unwrap()[wire::EXTENSION];
    assert_eq!(capability.parse::<wire::Capability>().unwrap(), wire::Capability::of_server());
    assert!(result.meta.is_none(), "nobody asked for a proof");
    exchange.context.meta.insert(wire::CHALLENGE, RawText::new("\"not a nonce\"").unwrap());
    let error = block_on(ask(&mut world.stack(), exchange)).unwrap_err();
    assert_eq!(error.code, -32602);
}
