//! The honest server, its publisher, a user who has approved it, and attackers over a stream.

use std::sync::Arc;

use etdi::core::approval::{ApprovalStore, Granted, MemoryStore};
use etdi::core::attestation::Attestation;
use etdi::core::binding::{Measurement, answer};
use etdi::core::definition::RawTool;
use etdi::core::digest::Digest;
use etdi::core::identity::{ProviderId, ServerIdentity};
use etdi::core::layer::{AskWhen, Review, ReviewOutcome};
use etdi::core::manifest;
use etdi::core::time::UnixTime;
use etdi::core::trust::TrustAnchors;
use etdi::core::verify::Peer;
use etdi::core::wire::Provenance;
use etdi::{EtdiClient, EtdiClientBuilder, EtdiServerConfig, Session, secure};
use etdi_cli::demo::attacks::{Keys, REPLY, TOOL};
use etdi_cli::demo::listing::{Listing, Publisher};
use etdi_cli::demo::meet::found;
use etdi_cli::demo::raw::{RawServer, Script};
use mcp_client::{Client, text_of};
use mcp_server::{Server, server, tool};
use mcp_transport::{Connection, Io, connect, duplex, serve};
use mcp_types::{Implementation, Meta};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// The time of all tests.
pub(crate) const NOW: UnixTime = UnixTime(1_767_323_045);

/// Search the notes for a word.
#[tool(etdi, version = "1.2.0", permissions = ["notes:read"], annotations(read_only))]
fn search_notes(query: String) -> String {
    format!("nothing about {query}")
}

/// Write a note.
#[tool(etdi, version = "1.0.0", permissions = ["notes:write"])]
fn add_note(text: String) -> String {
    format!("wrote {text}")
}

fn notes() -> Server {
    server!().tool::<search_notes>().tool::<add_note>().build().unwrap()
}

/// What binds the publisher's statements to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The key that it holds.
    Key,
    /// The digest of its program.
    Program,
}

/// Everything that is there before an attack.
pub(crate) struct World {
    pub(crate) keys: Keys,
    pub(crate) statement: Attestation,
    pub(crate) honest: Listing,
    pub(crate) store: Arc<MemoryStore>,
    /// A proof of possession that somebody overheard.
    pub(crate) overheard: String,
}

pub(crate) fn identity() -> ServerIdentity {
    ServerIdentity::package("pkg:cargo/signed-notes").unwrap()
}

impl World {
    /// A server that is signed, and whose tools the user has approved and called.
    pub(crate) async fn new(bound: Bound) -> Self {
        let keys = Keys::generate().unwrap();
        let issuer = ProviderId::of_key(keys.publisher.id());
        let statement = Attestation::new(issuer, identity(), NOW);
        let statement = match bound {
            Bound::Key => statement.instance_key(keys.instance.id()),
            Bound::Program => {
                let mut provenance = Provenance::default();
                provenance.bin = vec![honest_program().digest];
                statement.provenance(provenance)
            }
        };
        let overheard = answer("AAAAAAAAAAAAAAAAAAAAAA", &identity(), None, &keys.instance, NOW);
        let mut world = Self {
            keys,
            statement,
            honest: Listing::new(Vec::new(), Map::new()),
            store: Arc::new(MemoryStore::new()),
            overheard: overheard.unwrap(),
        };
        world.honest = list(&Client::new(world.honest_server().await)).await;
        let session = world.session(world.honest_server().await, honest_peer()).await;
        for review in session.discover_tools().await.unwrap() {
            assert_eq!(found(&review).0, "VERIFIED");
            session.approve_tool(&review, Granted::All, "the user").await.unwrap();
        }
        let answer = session.invoke_tool(TOOL, &json!({"query": "milk"})).await.unwrap();
        assert_eq!(text_of(&answer), "nothing about milk");
        world
    }

    /// A connection to the honest server.
    pub(crate) async fn honest_server(&self) -> Connection {
        let tools = notes();
        let raws: Vec<_> =
            tools.tools().iter().map(|tool| RawTool::from_listed(tool).unwrap()).collect();
        let definitions = raws.iter().map(RawTool::definition);
        let jws = manifest::sign(&self.statement, definitions, &self.keys.publisher).unwrap();
        let pem = self.keys.instance.to_pkcs8_pem();
        let instance = etdi::core::key::SigningKey::from_pkcs8_pem(&pem).unwrap();
        let config = EtdiServerConfig::new(identity())
            .manifest(jws)
            .instance_key(Arc::new(instance))
            .clock(|| NOW);
        let (ours, theirs) = duplex();
        let server = secure(tools, config).await.unwrap();
        tokio::spawn(async move { serve(server, theirs).await });
        connect(ours, Implementation::new("test", "1.0.0"))
    }

    /// The ETDI client of the user, with nobody to ask.
    pub(crate) fn client(&self) -> EtdiClient {
        self.client_with(self.store.clone())
    }

    /// The same with other approvals.
    pub(crate) fn client_with(&self, store: Arc<dyn ApprovalStore>) -> EtdiClient {
        self.builder(store).build()
    }

    /// The same with other settings.
    pub(crate) fn builder(&self, store: Arc<dyn ApprovalStore>) -> EtdiClientBuilder {
        let mut anchors = TrustAnchors::new();
        anchors.trust_key(self.keys.publisher.verifying_key().clone());
        EtdiClient::builder().trust(anchors).approvals(store).ask(AskWhen::Never).clock(|| NOW)
    }

    pub(crate) async fn session(&self, connection: Connection, peer: Peer) -> Session {
        self.client().over(connection, peer).await.unwrap()
    }

    /// Whoever signs in the publisher's name.
    pub(crate) fn publisher(&self) -> Publisher<'_> {
        Publisher { statement: &self.statement, key: &self.keys.publisher }
    }

    /// The script of the approved server gone bad: it still holds its key.
    pub(crate) fn gone_bad(&self, listing: &Listing) -> Script {
        let mut script = Script::new(listing.text(), REPLY, &identity().to_string());
        script.instance_key = Some(self.keys.instance.to_pkcs8_pem().to_string());
        script
    }

    /// Lets a server that has gone bad meet both clients, and gives what stopped it: the code of
    /// the refusal and what verification found.
    pub(crate) async fn stopped(&self, script: &Script) -> (String, String) {
        assert!(fools_plain_client(script).await, "the attack does not work on a plain client");
        let (connection, calls) = attacker(script);
        let session = self.session(connection, honest_peer()).await;
        let refused = refusal(&session).await;
        assert_eq!(calls.count(), 0, "the attacker must not be called");
        refused
    }
}

/// Calls, which must be refused, and says why it was.
pub(crate) async fn refusal(session: &Session) -> (String, String) {
    let error = session.invoke_tool(TOOL, &json!({"query": "secret"})).await.unwrap_err();
    assert!(error.is_refusal(), "{error}");
    let review: Arc<Review> = session.review(TOOL).unwrap();
    assert!(!matches!(review.outcome(), ReviewOutcome::Approved(_)));
    (error.code(), found(&review).0)
}

/// The program that the publisher built.
pub(crate) fn honest_program() -> Measurement {
    program(b"the program that was published")
}

pub(crate) fn program(content: &[u8]) -> Measurement {
    let argv = vec!["/opt/signed-notes".to_owned()];
    Measurement::new("/opt/signed-notes", Digest::of_bytes(content), argv)
}

pub(crate) fn honest_peer() -> Peer {
    Peer::new(identity()).measured(honest_program())
}

/// How often an attacker was called.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<std::sync::atomic::AtomicUsize>);

impl Calls {
    pub(crate) fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// A connection to an attacker.
pub(crate) fn attacker(script: &Script) -> (Connection, Calls) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (read, mut write) = tokio::io::split(theirs);
    let mut server = RawServer::new(script.clone());
    let calls = Calls::default();
    let counted = calls.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("tools/call") {
                counted.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            if let Some(answer) = server.answer(&line, NOW) {
                write.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            }
        }
    });
    let (read, write) = tokio::io::split(ours);
    (connect(Io::new(read, write), Implementation::new("test", "1.0.0")), calls)
}

/// Whether a client without ETDI lists the tool and has its call answered by the attacker.
pub(crate) async fn fools_plain_client(script: &Script) -> bool {
    let (connection, calls) = attacker(script);
    let client = Client::new(connection);
    let listed = client.all_tools().await.unwrap().iter().any(|tool| tool.name == TOOL);
    let answer = client.call_tool(TOOL, &json!({"query": "secret"})).await.unwrap();
    listed && calls.count() == 1 && text_of(&answer).starts_with(REPLY)
}

/// What a server lists, as it stands on the wire.
pub(crate) async fn list(client: &Client<Connection>) -> Listing {
    let page = client.list_tools(None).await.unwrap();
    let tools = page.tools.iter().map(|tool| tool.text().get().to_owned()).collect();
    let meta = page.meta.unwrap_or_else(Meta::new);
    let meta = meta.iter().map(|(key, value)| (key.to_owned(), value.parse::<Value>().unwrap()));
    Listing::new(tools, meta.collect())
}
