//! T5, T6: a tool that takes the name of another server's tool, or one that looks like it.

use std::sync::{Arc, Mutex};

use etdi::core::approval::{Answer, Approver, Granted, Question};
use etdi::core::attestation::Attestation;
use etdi::core::audit::MemoryAuditor;
use etdi::core::event::EventKind;
use etdi::core::identity::{ProviderId, ServerIdentity};
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::layer::AskWhen;
use etdi::core::level::SecurityLevel;
use etdi::core::verify::Peer;
use etdi_cli::demo::attacks::{REPLY, TOOL};
use etdi_cli::demo::listing::Publisher;
use etdi_cli::demo::raw::Script;
use mcp_client::{Client, text_of};
use mcp_types::BoxFuture;
use serde_json::json;

use crate::world::{
    Bound, NOW, World, attacker, fools_plain_client, honest_peer, identity, refusal,
};

#[tokio::test]
async fn the_same_name_on_another_server_inherits_nothing() {
    let world = World::new(Bound::Key).await;
    let other = ServerIdentity::package("pkg:cargo/squatter").unwrap();
    let listing = world.honest.stripped().unwrap();
    let script = Script::new(listing.text(), REPLY, &other.to_string());
    assert!(fools_plain_client(&script).await);

    let (connection, calls) = attacker(&script);
    let session = world.session(connection, Peer::new(other)).await;
    assert!(session.client().all_tools().await.unwrap().is_empty(), "the model does not see it");
    assert_eq!(refusal(&session).await.0, "NOT_APPROVED");
    assert_eq!(calls.count(), 0);
}

/// The approved server gone bad, its publisher's key included: each twin is a tool of its own.
#[tokio::test]
async fn a_name_that_looks_the_same_is_another_name() {
    let world = World::new(Bound::Key).await;
    for twin in [
        "search_n\u{43e}tes", // a Cyrillic o
        "search_notes\u{200b}",
        "search_note\u{455}",
        "Search_Notes",
        "search-notes",
        "search_notes ",
        "ѕеаrсh_nоtеѕ",
    ] {
        let listing = world.honest.edit(TOOL, |tool| {
            tool["name"] = twin.into();
            Some(())
        });
        let listing = listing.unwrap();
        let signed = listing.signed_by(&world.publisher());
        // What is no name cannot even be signed.
        let script = world.gone_bad(signed.as_ref().unwrap_or(&listing));

        let (connection, calls) = attacker(&script);
        let plain = Client::new(connection);
        assert!(plain.all_tools().await.unwrap().iter().any(|tool| tool.name == twin));
        let answer = plain.call_tool(twin, &json!({"query": "secret"})).await.unwrap();
        assert!(text_of(&answer).starts_with(REPLY) && calls.count() == 1, "{twin}");

        let (connection, calls) = attacker(&script);
        let session = world.session(connection, honest_peer()).await;
        let shown = session.client().all_tools().await.unwrap();
        assert!(!shown.iter().any(|tool| tool.name != "add_note"), "{twin} is shown to the model");
        let error = session.invoke_tool(twin, &json!({"query": "secret"})).await.unwrap_err();
        assert!(error.is_refusal(), "{twin}: {error}");
        assert_eq!(calls.count(), 0, "{twin}");
    }
}

/// Looks at a question as a person does who knows the tools that they use: takes what is new, unless
/// they are told that it looks like one of them.
#[derive(Default)]
struct Familiar(Mutex<Vec<(String, Vec<String>)>>);

impl Approver for Familiar {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let alike = question.alike.iter().map(|key| format!("{} of {}", key.tool, key.server));
        let alike: Vec<String> = alike.collect();
        let is_twin = !alike.is_empty();
        self.0.lock().unwrap().push((question.facts.tool().to_owned(), alike));
        let answer = match is_twin {
            true => Answer::Decline,
            false => Answer::approve(Granted::All, "the user"),
        };
        Box::pin(std::future::ready(answer))
    }
}

/// Names that a person takes for that of the approved tool: other letters, other case, other marks
/// between the words.
const TWINS: [&str; 8] = [
    "search_notes",
    "Search_Notes",
    "searchNotes",
    "search-notes",
    "search.notes",
    "SEARCH_NOTES",
    "search_n\u{43e}tes",
    "\u{455}\u{435}arch_notes",
];

/// A stranger with a server, a name and a key of its own, who needs nothing but a name: whoever is
/// asked about a twin is told which of their tools it looks like, and of which server that is.
#[tokio::test]
async fn whoever_is_asked_about_a_twin_is_told_of_it() {
    let other = ServerIdentity::package("pkg:cargo/good-notes").unwrap();
    for (is_signed, level) in [(false, SecurityLevel::Basic), (true, SecurityLevel::Enhanced)] {
        for twin in TWINS.into_iter().chain(["find_recipes"]) {
            let world = World::new(Bound::Key).await;
            let named = world.honest.edit(TOOL, |tool| {
                tool["name"] = twin.into();
                Some(())
            });
            let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
            let issuer = ProviderId::of_key(stranger.id());
            let statement =
                Attestation::new(issuer, other.clone(), NOW).instance_key(stranger.id());
            // One of the names is the approved one, to the letter.
            let named = named.unwrap_or_else(|_| world.honest.clone());
            let listing = match is_signed {
                true => named.signed_by(&Publisher { statement: &statement, key: &stranger }),
                false => named.stripped(),
            };
            let mut script = Script::new(listing.unwrap().text(), REPLY, &other.to_string());
            script.instance_key = Some(stranger.to_pkcs8_pem().to_string());

            let (connection, calls) = attacker(&script);
            let plain = Client::new(connection);
            let answer = plain.call_tool(twin, &json!({"query": "secret"})).await.unwrap();
            assert!(text_of(&answer).starts_with(REPLY) && calls.count() == 1, "{twin}");

            let (connection, calls) = attacker(&script);
            let (person, noted) =
                (Arc::new(Familiar::default()), Arc::new(MemoryAuditor::default()));
            let client = world.builder(world.store.clone()).level(level);
            let client = client.ask(AskWhen::Called).approver(person.clone());
            let client = client.auditor(noted.clone()).build();
            let session = client.over(connection, Peer::new(other.clone())).await.unwrap();
            let called = session.invoke_tool(twin, &json!({"query": "secret"})).await;
            let told = std::mem::take(&mut *person.0.lock().unwrap());
            let warned = noted.entries().into_iter().any(|one| {
                one.event.kind == EventKind::SecurityViolation
                    && one.event.detail.is_some_and(|detail| detail.contains("looks like"))
            });
            let what = format!("{twin} {level}: {told:?}");
            if twin == "find_recipes" {
                assert_eq!((told.len(), told[0].1.len(), warned), (1, 0, false), "{what}");
                assert!(called.is_ok() && calls.count() == 1, "{what}");
                continue;
            }
            assert!(called.unwrap_err().is_refusal(), "{what}");
            assert_eq!(calls.count(), 0, "{what}");
            assert_eq!(
                told,
                [(twin.to_owned(), vec![format!("{TOOL} of {}", identity())])],
                "{what}"
            );
            // The same name is no look-alike; it is told all the same.
            assert_eq!(warned, twin != TOOL, "{what}");
        }
    }
}
