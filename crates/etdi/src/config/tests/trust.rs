//! How those whom the settings trust are shown.

use etdi_core::approval::Standing;

use super::connected as connected_to;
use super::*;

/// `trust.trusted_providers.*.name`: whoever is asked sees it beside the id.
#[tokio::test]
async fn how_a_publisher_is_called() {
    struct Told(Mutex<Vec<Option<String>>>);
    impl Approver for Told {
        fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
            if let Standing::Verified { name, .. } = question.standing() {
                self.0.lock().unwrap().push(name.as_deref().map(str::to_owned));
            }
            Box::pin(std::future::ready(Answer::Decline))
        }
    }
    for name in [None, Some("Acme".to_owned())] {
        let key = key();
        let mut config = trusting(in_memory(), &key);
        let provider = config.trust.trusted_providers.get_mut(acme().as_str()).unwrap();
        provider.name.clone_from(&name);
        let told = Arc::new(Told(Mutex::default()));
        let client = config.builder(None).unwrap().approver(told.clone()).build();
        let service = signed(server!().tool::<greet>(), &key).await;
        let target = Target::service(service, Peer::new(notes()));
        client.connect_to_server(target, "notes").await.unwrap();
        let tool = client.verify_tool(crate::ToolId::new("notes", "greet")).await.unwrap();
        let verified = tool.review().verification().unwrap();
        assert_eq!(verified.issuer_name(), name.as_deref());
        client.invoke_tool(tool.id(), &json!({"name": "Ada"})).await.unwrap_err();
        assert_eq!(*told.0.lock().unwrap(), [name]);
    }
}

/// `risk_lexicon`: of what whoever is asked is warned.
#[tokio::test]
async fn of_which_scopes_a_person_is_warned() {
    struct Told(Mutex<Vec<String>>);
    impl Approver for Told {
        fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
            let words = question.risks.iter().map(|risk| risk.word.clone());
            self.0.lock().unwrap().extend(words);
            Box::pin(std::future::ready(Answer::Decline))
        }
    }
    for (text, words) in [
        ("{}", &[][..]),
        (r#"{"risk_lexicon":{"dangerous":["say"]}}"#, &["say"]),
        (r#"{"risk_lexicon":{"dangerous":[],"broad":["greetings:say"]}}"#, &["greetings:say"]),
    ] {
        let lexicon = read(text).unwrap().risk_lexicon;
        let key = key();
        let config = trusting(EtdiClientConfig { risk_lexicon: lexicon, ..in_memory() }, &key);
        let told = Arc::new(Told(Mutex::default()));
        let client = config.builder(None).unwrap().approver(told.clone()).build();
        let service = signed(server!().tool::<greet>(), &key).await;
        let target = Target::service(service, Peer::new(notes()));
        client.connect_to_server(target, "notes").await.unwrap();
        let id = crate::ToolId::new("notes", "greet");
        client.invoke_tool(id, &json!({"name": "Ada"})).await.unwrap_err();
        assert_eq!(*told.0.lock().unwrap(), words, "{text}");
    }
    assert!(read(r#"{"risk_lexicon":{"dangerus":[]}}"#).is_err());
}

/// `require_etdi`: a server without ETDI is not even connected.
#[tokio::test]
async fn a_server_without_etdi_is_refused_where_it_is_required() {
    for (required, expected) in [(false, None), (true, Some("EXTENSION_REQUIRED"))] {
        let config = EtdiClientConfig { require_etdi: required, ..in_memory() };
        let service = server!().tool::<plain>().build().unwrap();
        let target = Target::service(service, Peer::new(notes()));
        let connected = client(&config).connect_to_server(target, "notes").await;
        assert_eq!(connected.err().map(|error| error.code()).as_deref(), expected);
        let key = key();
        let config = trusting(config, &key);
        let service = signed(server!().tool::<greet>(), &key).await;
        let client = connected_to(&config, service).await;
        assert_eq!(greeted(&client).await, Ok(VerificationStatus::Verified));
        let stats = client.get_stats().verification;
        assert!(stats.cached > 0 && stats.ttl == Some(300), "{stats:?}");
    }
}
