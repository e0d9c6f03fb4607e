//! `notes`: written, read, subscribed to, and deleted only when the user agrees.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mcp_client::types::{
    CompleteReference, ElicitAction, ElicitResult, PromptReference, ResourceTemplateReference,
    SubscriptionFilter,
};
use mcp_client::{Change, InputLayer, Inputs, text_of};
use mcp_transport::Era;
use serde_json::{Value, json};

use super::served::{Served, client};

const NOTHING: [(&str, &str); 0] = [];

#[tokio::test]
async fn of_both_eras() {
    for era in [Era::Modern, Era::Legacy] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("notes.db").to_string_lossy().into_owned();
        let served = Served::start("notes", &[&database, "127.0.0.1:0"]);
        use_notes(&served, era).await;
        assert_eq!(served.interrupt(), Some(0));

        // What was written is still there.
        let served = Served::start("notes", &[&database, "127.0.0.1:0"]);
        let client = client(&served.url, era);
        let found = client.call_tool("search_notes", &json!({ "word": "BREAD" })).await.unwrap();
        assert!(text_of(&found).contains("rye bread"), "{found:?}");
        client.service().close().await;
    }
}

async fn use_notes(served: &Served, era: Era) {
    let agrees = Arc::new(AtomicBool::new(false));
    let asked = agrees.clone();
    let inputs = Inputs::new().elicit(move |form| {
        let agrees = asked.load(Ordering::Relaxed);
        async move {
            assert_eq!(form.message(), "Delete the note \"milk\"?");
            match agrees {
                true => form.accept(&json!({ "delete": true })),
                false => Ok(ElicitResult::new(ElicitAction::Decline)),
            }
        }
    });
    let plain = client(&served.url, era);
    let connection = plain.service().clone();
    let client = plain.layer(InputLayer::new(inputs));

    let milk: Value =
        client.call("add_note", &json!({ "title": "milk", "text": "two" })).await.unwrap();
    assert_eq!(milk, json!({ "id": 1, "title": "milk", "text": "two" }));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let lines = "bread: rye bread\nno note\neggs: six; DROP TABLE notes";
    let import = client.tool_call("import_notes").arguments(&json!({ "lines": lines })).unwrap();
    let import = import.on_progress(move |report| hears.lock().unwrap().push(report.progress));
    assert_eq!(text_of(&import.send().await.unwrap()), "imported 2 notes");
    assert_eq!(*heard.lock().unwrap(), [1.0, 2.0]);

    let index = client.read_resource("notes://index").await.unwrap();
    assert!(format!("{index:?}").contains("[eggs](notes://3)"), "{index:?}");
    let note = client.read_resource("notes://1").await.unwrap();
    assert!(format!("{note:?}").contains("milk"), "{note:?}");
    for nowhere in ["notes://77", "notes://x"] {
        assert!(client.read_resource(nowhere).await.is_err(), "{nowhere}");
    }
    let template = CompleteReference::Resource(ResourceTemplateReference::new("notes://{id}"));
    let ids = client.complete(template, "id", "", NOTHING).await.unwrap();
    assert_eq!(ids.values, ["3", "2", "1"]);
    let prompt = CompleteReference::Prompt(PromptReference::new("sum_up"));
    let words = client.complete(prompt, "topic", "e", NOTHING).await.unwrap();
    assert_eq!(words.values, ["eggs"]);
    let prompt = client.get_prompt("sum_up", [("topic", "bread")]).await.unwrap();
    assert_eq!(prompt.messages.len(), 2);

    let mut filter = SubscriptionFilter::new();
    filter.resource_subscriptions = Some(vec!["notes://1".into()]);
    let mut changes = client.subscribe(filter);
    let opened = changes.next_change().await.unwrap();
    let Some(Change::Opened { honoured, .. }) = opened else { panic!("{opened:?}") };
    assert_eq!(honoured.resource_subscriptions.unwrap(), ["notes://1"]);
    let change = json!({ "id": 1, "text": "three" });
    assert_eq!(
        text_of(&client.call_tool("change_note", &change).await.unwrap()),
        "note 1 is changed"
    );
    let changed = changes.next_change().await.unwrap();
    assert_eq!(changed, Some(Change::Resource("notes://1".into())));
    drop(changes);

    for (answer, said) in [(false, "nothing was deleted"), (true, "deleted 1")] {
        agrees.store(answer, Ordering::Relaxed);
        let deleted = client.call_tool("delete_note", &json!({ "id": 1 })).await.unwrap();
        assert!(text_of(&deleted).starts_with(said), "{deleted:?}");
        assert_eq!(client.read_resource("notes://1").await.is_err(), answer);
    }
    connection.close().await;
}
