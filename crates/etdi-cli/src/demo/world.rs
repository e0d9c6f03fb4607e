//! Where the demo plays: a directory of its own, keys, signed installations, command lines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etdi::core::attestation::Attestation;
use etdi::core::binding::{Challenge, measure};
use etdi::core::definition::RawTool;
use etdi::core::identity::{IdentityError, ProviderId, ServerIdentity};
use etdi::core::layer::AskWhen;
use etdi::core::level::SecurityLevel;
use etdi::core::manifest;
use etdi::core::secret::{Protection, SealingKey};
use etdi::core::store::FileStore;
use etdi::core::time::UnixTime;
use etdi::core::trust::TrustAnchors;
use etdi::core::wire::{self, Provenance};
use etdi::{EtdiClient, EtdiClientBuilder, Program, system_time};
use mcp_client::Client;
use mcp_transport::process::Command;
use mcp_transport::{Connection, connect};
use mcp_types::{ClientRequest, Exchange, Implementation, RawText, RequestParams, ServerResult};
use serde_json::{Map, Value};

use crate::ask::{Asker, Grants};
use crate::demo::attacks::Keys;
use crate::demo::listing::Listing;
use crate::demo::raw::Script;
use crate::home::{create_private_directory, write_private};

/// The file of a signed manifest in an installation.
pub const MANIFEST: &str = "etdi.manifest.jws";
/// The file of the instance key in an installation.
pub const INSTANCE_KEY: &str = "instance.pem";
/// Names the script of a server that has gone bad.
pub const SCRIPT_VARIABLE: &str = "ETDI_DEMO_SCRIPT";

/// What goes wrong in the demo itself.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The name of the honest server in attestations.
///
/// # Errors
///
/// Never; the name is one.
pub fn server_identity() -> Result<ServerIdentity, IdentityError> {
    ServerIdentity::package("pkg:cargo/signed-notes")
}

/// Everything that the demo has made for itself. The directory goes when it is dropped.
pub struct World {
    directory: tempfile::TempDir,
    /// The keys.
    pub keys: Keys,
    /// What seals the user's approvals.
    seal: SealingKey,
    made: std::cell::Cell<u32>,
    /// When the publisher signs: both installations show one list, and its counter is this time.
    signed_at: UnixTime,
}

/// A command line of the demo.
#[derive(Clone, Debug)]
pub struct Launch {
    argv: Vec<String>,
    script: Option<PathBuf>,
    identity: Option<ServerIdentity>,
}

impl World {
    /// A fresh directory and fresh keys.
    ///
    /// # Errors
    ///
    /// When the system gives no directory or no randomness.
    pub fn new() -> Result<Self, Failed> {
        let directory = tempfile::Builder::new().prefix("etdi-demo-").tempdir()?;
        let (made, signed_at) = (std::cell::Cell::new(0), system_time());
        let seal = SealingKey::generate()?;
        Ok(Self { keys: Keys::generate()?, seal, directory, made, signed_at })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Installs this program under another name in a directory of its own.
    ///
    /// # Errors
    ///
    /// When files cannot be written.
    pub fn install(&self, place: &str, name: &str) -> Result<PathBuf, Failed> {
        let directory = self.path().join(place);
        create_private_directory(&directory)?;
        let program = directory.join(name);
        std::fs::copy(std::env::current_exe()?, &program)?;
        Ok(program)
    }

    /// The honest server of an installation.
    ///
    /// # Errors
    ///
    /// When the path is no text.
    pub fn notes(&self, program: &Path) -> Result<Launch, Failed> {
        let directory = program.parent().ok_or("a program lies in a directory")?;
        let argv = vec![text(program)?, "__demo-server".into(), "notes".into(), text(directory)?];
        Ok(Launch { argv, script: None, identity: Some(server_identity()?) })
    }

    /// A server without any of this.
    ///
    /// # Errors
    ///
    /// When the path is no text.
    pub fn weather(&self, program: &Path) -> Result<Launch, Failed> {
        let argv = vec![text(program)?, "__demo-server".into(), "weather".into()];
        Ok(Launch { argv, script: None, identity: None })
    }

    /// Another process that claims to be the honest server.
    ///
    /// # Errors
    ///
    /// When the script cannot be written.
    pub fn impostor(&self, script: &Script) -> Result<Launch, Failed> {
        let program = text(&std::env::current_exe()?)?;
        let path = text(&self.write_script(script)?)?;
        let argv = vec![program, "__demo-server".into(), "script".into(), path];
        Ok(Launch { argv, script: None, identity: Some(server_identity()?) })
    }

    /// The same program behind the same command line, gone bad.
    ///
    /// # Errors
    ///
    /// When the script cannot be written.
    pub fn gone_bad(&self, launch: &Launch, script: &Script) -> Result<Launch, Failed> {
        Ok(Launch { script: Some(self.write_script(script)?), ..launch.clone() })
    }

    /// Puts another program in the place of an installed one.
    ///
    /// # Errors
    ///
    /// When files cannot be written.
    pub fn replace(&self, program: &Path, script: &Script) -> Result<(), Failed> {
        let (this, script) = (text(&std::env::current_exe()?)?, text(&self.write_script(script)?)?);
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let (this, script) = (quoted(&this), quoted(&script));
        let impostor = format!("#!/bin/sh\nexec {this} __demo-server script {script}\n");
        let beside = program.with_extension("new");
        write_private(&beside, impostor.as_bytes())?;
        std::fs::set_permissions(&beside, std::fs::metadata(program)?.permissions())?;
        Ok(std::fs::rename(&beside, program)?)
    }

    fn write_script(&self, script: &Script) -> Result<PathBuf, Failed> {
        let path = self.path().join(format!("script-{}.json", self.number()));
        write_private(&path, serde_json::to_string(script)?.as_bytes())?;
        Ok(path)
    }

    /// What the publisher says about its tools, bound by the server's instance key.
    ///
    /// # Errors
    ///
    /// Never; the name of the server is one.
    pub fn statement(&self) -> Result<Attestation, Failed> {
        let issuer = ProviderId::of_key(self.keys.publisher.id());
        let statement = Attestation::new(issuer, server_identity()?, self.signed_at);
        Ok(statement.instance_key(self.keys.instance.id()))
    }

    /// The same, bound by the digest of the published program instead.
    ///
    /// # Errors
    ///
    /// When the program cannot be read.
    pub fn statement_about(&self, program: &Path) -> Result<Attestation, Failed> {
        let measured = measure(&[text(program)?], None, None)?;
        let mut provenance = Provenance::default();
        provenance.bin = vec![measured.digest];
        let issuer = ProviderId::of_key(self.keys.publisher.id());
        let statement = Attestation::new(issuer, server_identity()?, self.signed_at);
        Ok(statement.provenance(provenance))
    }

    /// Signs off line what the server of an installation lists, and leaves the manifest beside it.
    ///
    /// # Errors
    ///
    /// When the server does not list, or a file cannot be written.
    pub async fn sign(&self, program: &Path, statement: &Attestation) -> Result<usize, Failed> {
        let client = self.notes(program)?.plain_client()?;
        let tools = client.all_tools().await?;
        let raws = tools.iter().map(|tool| RawTool::from_listed(tool));
        let raws = raws.collect::<Result<Vec<_>, _>>()?;
        let definitions = raws.iter().map(RawTool::definition);
        let jws = manifest::sign(statement, definitions, &self.keys.publisher)?;
        client.service().close().await;
        write_private(&program.with_file_name(MANIFEST), jws.as_bytes())?;
        if !statement.instance_keys.is_empty() {
            let pem = self.keys.instance.to_pkcs8_pem();
            write_private(&program.with_file_name(INSTANCE_KEY), pem.as_bytes())?;
        }
        Ok(tools.len())
    }

    /// A file into which an attacker writes what it was asked for.
    pub fn fresh_log(&self) -> PathBuf {
        self.path().join(format!("calls-{}.log", self.number()))
    }

    fn number(&self) -> u32 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// An ETDI client that trusts the publisher, on the approvals of the user of the demo.
    ///
    /// # Errors
    ///
    /// When the approvals cannot be opened.
    pub fn client(&self, level: SecurityLevel, asker: Asker) -> Result<EtdiClient, Failed> {
        let store = self.approvals(&self.path().join("approvals"))?;
        Ok(self.client_on(store).level(level).approver(Arc::new(Grants::all(asker))).build())
    }

    /// The same on a copy of these approvals as they are now, and with nobody to ask: what one
    /// attack makes it remember is forgotten before the next.
    ///
    /// # Errors
    ///
    /// When the approvals cannot be copied.
    pub fn wary_client(&self) -> Result<EtdiClient, Failed> {
        let copy = self.path().join(format!("approvals-{}", self.number()));
        create_private_directory(&copy)?;
        for entry in std::fs::read_dir(self.path().join("approvals"))? {
            let entry = entry?;
            std::fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        Ok(self.client_on(self.approvals(&copy)?).ask(AskWhen::Never).build())
    }

    fn approvals(&self, directory: &Path) -> Result<FileStore, Failed> {
        Ok(FileStore::open(directory, Protection::key(self.seal.clone()))?)
    }

    fn client_on(&self, store: FileStore) -> EtdiClientBuilder {
        let mut anchors = TrustAnchors::new();
        anchors.trust_key(self.keys.publisher.verifying_key().clone());
        EtdiClient::builder().trust(anchors).approvals(Arc::new(store)).client_info(client_info())
    }
}

/// The name that the demo's clients give themselves.
fn client_info() -> Implementation {
    Implementation::new("etdi-demo", env!("CARGO_PKG_VERSION"))
}

impl Launch {
    /// For the ETDI client.
    pub fn program(&self) -> Program {
        let mut program = Program::new(self.argv.clone()).on_stderr(|_| ());
        if let Some(identity) = &self.identity {
            program = program.named(identity.clone());
        }
        if let Some(script) = &self.script {
            program = program.env(SCRIPT_VARIABLE, script);
        }
        program
    }

    /// A client without ETDI, connected.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn plain_client(&self) -> Result<Client<Connection>, Failed> {
        let (program, arguments) = self.argv.split_first().ok_or("a command line has a program")?;
        let mut command = Command::new(program).args(arguments).on_stderr(|_| ());
        if let Some(script) = &self.script {
            command = command.env(SCRIPT_VARIABLE, script);
        }
        Ok(Client::new(connect(command.spawn()?, client_info())))
    }

    /// An answer of the server to a challenge that was not ours.
    ///
    /// # Errors
    ///
    /// When the server gives none.
    pub async fn overheard(&self) -> Result<String, Failed> {
        let client = self.plain_client()?;
        let mut exchange = Exchange::new(ClientRequest::Discover(RequestParams::new()));
        let challenge = Challenge::new()?;
        exchange.context.meta.insert(wire::CHALLENGE, RawText::of(challenge.nonce())?);
        let result = client.exchange(exchange).await?;
        client.service().close().await;
        let ServerResult::Discover(result) = result else {
            return Err("the honest server answered with something else".into());
        };
        let answer = result.meta.as_ref().and_then(|meta| meta.get(wire::POSSESSION));
        Ok(answer.ok_or("the honest server proves nothing")?.parse()?)
    }

    /// What the server lists, as it stands on the wire.
    ///
    /// # Errors
    ///
    /// When the server does not list.
    pub async fn listing(&self) -> Result<Listing, Failed> {
        let client = self.plain_client()?;
        let page = client.list_tools(None).await?;
        client.service().close().await;
        let tools = page.tools.iter().map(|tool| tool.text().get().to_owned()).collect();
        let mut meta = Map::new();
        for (key, value) in page.meta.iter().flat_map(|meta| meta.iter()) {
            meta.insert(key.to_owned(), value.parse::<Value>()?);
        }
        Ok(Listing::new(tools, meta))
    }
}

fn text(path: &Path) -> Result<String, Failed> {
    Ok(path.to_str().ok_or("a path is no text")?.to_owned())
}
