//! A client that shows what it was told, asks before the first call, and keeps the answer.
//!
//! `careful_client [--trust KEYS] [--server NAME] [--approvals FOLDER] TOOL JSON -- COMMAND ARGS...`
//!
//! `KEYS` is a set of public keys (JWK set) whose signatures count, as `etdi keys export` prints
//! it, and `NAME` the server's name in attestations, such as `pkg:cargo/signed-notes`. Approvals are
//! kept in `FOLDER`, by default `approvals` in the current folder, sealed with a key in `FOLDER.key`.
//! Run it twice, change the server in between, and it refuses or asks again.

use std::io::{BufRead as _, Write as _, stderr, stdin};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use etdi::core::approval::{Answer, Approver, Granted, Question, Standing};
use etdi::core::change::visible;
use etdi::core::identity::ServerIdentity;
use etdi::core::key::KeyRing;
use etdi::core::secret::{KeyFile, Protection};
use etdi::core::store::FileStore;
use etdi::core::trust::TrustAnchors;
use etdi::{EtdiClient, Program};
use mcp_client::types::BoxFuture;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { trust, approvals, tool, arguments, program } = Arguments::read()?;
    // Beside the directory, not in it: a copy of the approvals says and does nothing without its key.
    let key = KeyFile::open(format!("{approvals}.key"), "approvals")?.key_or_new()?;
    let client = EtdiClient::builder()
        .trust(trust)
        .approvals(Arc::new(FileStore::open(&approvals, Protection::key(key))?))
        .approver(Arc::new(Terminal))
        .build();
    let session = client.connect(program).await?;
    for review in session.discover_tools().await? {
        let signature = match review.verification() {
            Ok(verified) => format!("signed by {}", verified.issuer()),
            Err(error) => error.to_string(),
        };
        println!("{:<24} {:<20} {}", visible(review.name()), review.code(), visible(&signature));
    }
    let called = session.invoke_tool(&tool, &arguments).await;
    session.close().await;
    match called {
        Ok(result) => {
            println!("{}", visible(&mcp_client::text_of(&result)));
            Ok(if result.is_error == Some(true) { ExitCode::from(2) } else { ExitCode::SUCCESS })
        }
        Err(error) => {
            eprintln!("{}: {error}", error.code());
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Asks the person at the terminal.
struct Terminal;

impl Approver for Terminal {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let text = describe(&question);
        Box::pin(async move {
            // Whoever reads the keyboard must not hold up the connection.
            let yes = tokio::task::spawn_blocking(move || {
                let mut line = String::new();
                let asked = write!(stderr(), "{text}\napprove? [y/N] ").is_ok();
                asked && stdin().lock().read_line(&mut line).is_ok() && line.trim() == "y"
            });
            match yes.await {
                Ok(true) => Answer::approve(Granted::All, "the person at the terminal"),
                _ => Answer::Decline,
            }
        })
    }
}

/// What there is to decide. The peer's texts are shown as they are, with nothing hidden in them.
fn describe(question: &Question<'_>) -> String {
    let definition = question.facts.definition;
    let mut lines = vec![
        format!("\n{}: {}", visible(definition.name()), question.reason.describe()),
        format!("  says: {}", visible(definition.description().unwrap_or("nothing"))),
        match question.standing() {
            Standing::Verified { issuer, .. } => format!("  signed by {issuer}"),
            _ => "  nobody vouches for it".to_owned(),
        },
    ];
    lines.extend(
        question.permissions().iter().map(|permission| format!("  may: {}", permission.scope)),
    );
    lines.extend(question.changes.to_string().lines().map(|line| format!("  {line}")));
    if question.alarm {
        lines.push("  an honest publisher does not do this".to_owned());
    }
    lines.join("\n")
}

/// The command line, read.
struct Arguments {
    trust: TrustAnchors,
    approvals: String,
    tool: String,
    arguments: Value,
    program: Program,
}

impl Arguments {
    fn read() -> anyhow::Result<Self> {
        let mut words = std::env::args().skip(1);
        let (mut trust, mut approvals) = (TrustAnchors::new(), "approvals".to_owned());
        let mut name = None;
        let tool = loop {
            let word = words.next().context(USAGE)?;
            match word.as_str() {
                "--trust" => {
                    let keys = std::fs::read_to_string(words.next().context(USAGE)?)?;
                    for key in KeyRing::from_jwks(&keys)?.iter() {
                        trust.trust_key(key.clone());
                    }
                }
                "--server" => name = Some(ServerIdentity::package(&words.next().context(USAGE)?)?),
                "--approvals" => approvals = words.next().context(USAGE)?,
                _ => break word,
            }
        };
        let arguments =
            serde_json::from_str(&words.next().context(USAGE)?).context("the arguments")?;
        if words.next().as_deref() != Some("--") {
            bail!(USAGE);
        }
        let mut program = Program::new(words);
        if let Some(name) = name {
            program = program.named(name);
        }
        Ok(Self { trust, approvals, tool, arguments, program })
    }
}

const USAGE: &str = "usage: careful_client [--trust KEYS] [--server NAME] [--approvals FOLDER] \
TOOL JSON -- COMMAND ARGS...";
