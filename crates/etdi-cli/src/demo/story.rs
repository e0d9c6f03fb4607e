//! What happens in the demo, in order.

use std::path::Path;
use std::time::Duration;

use etdi::Session;
use etdi::core::attestation::Attestation;
use etdi::core::change::visible;
use etdi::core::definition::RawTool;
use etdi::core::layer::Review;
use etdi::core::level::SecurityLevel;
use mcp_client::text_of;
use serde_json::{Value, json};

use crate::ask::{Asker, permission_text};
use crate::changes;
use crate::demo::attacks::{ATTACKS, Attack, Looks, REPLY, Runner, TOOL};
use crate::demo::line::Line;
use crate::demo::listing::Listing;
use crate::demo::meet;
use crate::demo::raw::Script;
use crate::demo::world::{Failed, Launch, World};
use crate::output::Output;

/// How long one line may take before it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells the whole story, and gives its lines.
///
/// # Errors
///
/// When the stage cannot be set; what happens on it is in the lines.
pub async fn tell(asker: Asker, output: Output) -> Result<Vec<Line>, Failed> {
    let mut teller = Teller { world: World::new()?, asker, output, lines: Vec::new() };
    let stage = teller.honest().await?;
    if teller.lines.iter().all(Line::holds) {
        teller.attacked(&stage).await?;
        teller.plain_server().await?;
    }
    Ok(teller.lines)
}

struct Teller {
    world: World,
    asker: Asker,
    output: Output,
    lines: Vec<Line>,
}

/// The two honest installations that attackers work from.
struct Stage {
    /// Bound by its instance key.
    operated: Installation,
    /// Bound by the digest of its program.
    published: Installation,
    /// A proof of the first, overheard.
    proof: String,
}

struct Installation {
    name: &'static str,
    launch: Launch,
    program: std::path::PathBuf,
    statement: Attestation,
    listing: Listing,
}

impl Teller {
    fn heading(&self, text: &str) {
        let bold = crate::output::style::BOLD;
        self.output.line(&format!("\n{bold}{text}{bold:#}"));
    }

    fn say(&mut self, line: Line) {
        self.output.line(&line.text());
        self.lines.push(line);
    }

    /// The honest server: signed, discovered, verified, approved, called.
    async fn honest(&mut self) -> Result<Stage, Failed> {
        self.heading("The honest server: examples/signed_notes");
        let operated = self.world.install("operated", "signed-notes")?;
        let statement = self.world.statement()?;
        let operated = self.installed("operated", operated, statement).await?;
        let published = self.world.install("published", "signed-notes")?;
        let statement = self.world.statement_about(&published)?;
        let published = self.installed("published", published, statement).await?;
        // The same server, the same publisher, the same definitions: one approval for both.
        for installation in [&operated, &published] {
            if let Err(error) = self.used(installation).await {
                self.broken("honest", "the honest server works", &*error);
            }
        }
        let proof = operated.launch.overheard().await?;
        Ok(Stage { operated, published, proof })
    }

    async fn installed(
        &mut self,
        name: &'static str,
        program: std::path::PathBuf,
        statement: Attestation,
    ) -> Result<Installation, Failed> {
        let bound = match statement.instance_keys.as_slice() {
            [] => "bound by the digest of its program",
            _ => "bound by a key that its server proves to hold",
        };
        let mut line =
            Line::new("honest", format!("signed ({name})"), format!("off line, {bound}"));
        let tools = self.world.sign(&program, &statement).await?;
        let launch = self.world.notes(&program)?;
        let listing = launch.listing().await?;
        let (publisher, instance) = (self.world.keys.publisher.id(), self.world.keys.instance.id());
        line.evidence(format!("{tools} tools, publisher key {publisher}, which no server holds"));
        if !statement.instance_keys.is_empty() {
            line.evidence(format!("instance key  {instance}, held by the server"));
        }
        for one in statement.provenance.iter().flat_map(|provenance| &provenance.bin) {
            line.evidence(format!("program       {one}"));
        }
        line.data(json!({ "tools": tools, "publisher": publisher, "instance": instance }));
        self.say(line);
        Ok(Installation { name, launch, program, statement, listing })
    }

    /// Discovers, verifies, approves and calls. A person may take all the time there is.
    async fn used(&mut self, installation: &Installation) -> Result<(), Failed> {
        let client = self.world.client(SecurityLevel::Enhanced, self.asker)?;
        let session = patiently(client.connect(installation.launch.program())).await?;
        let reviews = patiently(session.discover_tools()).await?;
        for review in &reviews {
            let (code, finding) = meet::found(review);
            let definition = review.definition().ok_or("the honest tool cannot be read")?;
            let block = definition.block().ok_or("the honest tool declares nothing")?;
            let (tool, version) = (visible(definition.name()), &block.version);
            let name = format!("verified ({}) {tool} {version}", installation.name);
            let mut line = Line::new("honest", name, finding);
            for permission in &block.permissions {
                line.evidence(format!("permission    {}", permission_text(permission)));
            }
            line.evidence(format!("digest        {}", definition.digest()));
            line.data(json!({ "verification": code, "digest": definition.digest() }));
            if code != "VERIFIED" {
                line.fail(format!("{code}: the honest tool must be verified"));
            }
            self.say(line);
        }
        for review in &reviews {
            self.approved(&session, review).await;
        }
        let arguments = json!({"query": "milk"});
        let line = call(&session, TOOL, &arguments, "the milk is in the fridge").await?;
        self.say(line);
        session.close().await;
        Ok(())
    }

    async fn approved(&mut self, session: &Session, review: &Review) {
        let how = match (review.is_approved(), self.asker) {
            (true, _) => "was approved before, nothing to ask",
            (false, Asker::Terminal) => "asked, and answered with yes",
            (false, _) => "answered with yes by the demo",
        };
        let mut line = Line::new("honest", format!("approved {}", visible(review.name())), how);
        match session.ask_about(review).await {
            Ok(approved) => {
                let approval = approved.approval();
                line.evidence(format!("approval      of exactly {}", approval.digest));
                if let Some(pin) = &approval.pin {
                    line.evidence(format!("pinned        {} {}", pin.digest, pin.argv.join(" ")));
                }
                let (digest, pin) = (approval.digest, &approval.pin);
                line.data(json!({ "digest": digest, "approver": approval.approver, "pin": pin }));
                if approval.pin.is_some() == (meet::found(review).0 == "VERIFIED") {
                    line.fail("a program is pinned where, and only where, nobody vouches for it");
                }
            }
            Err(error) => line.fail(error.to_string()),
        }
        self.say(line);
    }

    fn broken(&mut self, part: &'static str, name: &str, error: &dyn std::error::Error) {
        let mut line = Line::new(part, name, "it did not");
        line.fail(error.to_string());
        self.say(line);
    }

    /// Every attack on the signed server.
    async fn attacked(&mut self, stage: &Stage) -> Result<(), Failed> {
        self.heading("Attacks on it: each first meets a client without ETDI, then the ETDI client");
        self.output.line(&format!("        what changed is marked: {}", changes::LEGEND));
        for attack in ATTACKS {
            let mut line = Line::new("attack", attack.name, attack.tried);
            if let Err(error) = patiently(self.attack(attack, stage, &mut line)).await {
                line.fail(error.to_string());
            }
            self.say(line);
        }
        Ok(())
    }

    async fn attack(&self, attack: &Attack, stage: &Stage, line: &mut Line) -> Result<(), Failed> {
        let from = match attack.runner {
            Runner::Replaced => &stage.published,
            _ => &stage.operated,
        };
        let proof = &stage.proof;
        let mut script = attack.script(&self.world.keys, &from.listing, &from.statement, proof)?;
        script.log = Some(self.world.fresh_log());
        let launch = match attack.runner {
            Runner::Impostor | Runner::ImpostorWithKey | Runner::ImpostorWithProof => {
                self.world.impostor(&script)?
            }
            Runner::GoneBad => self.world.gone_bad(&from.launch, &script)?,
            Runner::Replaced => {
                self.world.replace(&from.program, &script)?;
                from.launch.clone()
            }
        };
        let honest = from.listing.tool(TOOL)?;
        let arguments = json!({"query": "the user's secret"});

        let met = meet::plain(&launch, TOOL, &arguments).await?;
        let fooled = match attack.looks {
            Looks::Honest => met.definition == honest,
            Looks::Changed => met.definition != honest,
        };
        let swapped = (met.again != met.definition) == shows_approved_first(&script);
        line.plain(took(&met.answer));
        if !fooled
            || !swapped
            || !met.answer.starts_with(REPLY)
            || !met.answer.contains("the user's secret")
        {
            return Err(format!(
                "the attack does not work on a plain client, so it shows nothing: {}",
                visible(&met.answer)
            )
            .into());
        }

        let client = self.world.wary_client()?;
        let met = meet::refused(&client, &launch, TOOL, &arguments).await?;
        report(line, &met);
        if met.refusal.is_none() {
            smuggled(line, honest, &script)?;
        }
        expect(line, &met, attack.code, attack.verification);
        one_call(line, &script)?;
        // What a later listing brings is shown only in the first one.
        if met.shown != shows_approved_first(&script) {
            line.fail("the tool was shown to the model, or an approved one was not");
        }
        Ok(())
    }

    /// A server that knows nothing of ETDI.
    async fn plain_server(&mut self) -> Result<(), Failed> {
        self.heading("A server without ETDI");
        let program = self.world.install("weather", "weather")?;
        let launch = self.world.weather(&program)?;
        if let Err(error) = self.use_plain(&launch).await {
            self.broken("plain", "a plain server works at enhanced", &*error);
        }
        let line = self.hidden_at_strict(&launch).await;
        self.say(line);
        let line = self.replaced_plain(&program, &launch).await;
        self.say(line);
        Ok(())
    }

    async fn use_plain(&mut self, launch: &Launch) -> Result<(), Failed> {
        let client = self.world.client(SecurityLevel::Enhanced, self.asker)?;
        let session = patiently(client.connect(launch.program())).await?;
        let review = patiently(session.verify_tool(WEATHER)).await?;
        let (code, finding) = meet::found(&review);
        let labelled = format!("labelled unverified: {finding}");
        let mut line = Line::new("plain", "listed at enhanced", labelled);
        line.data(json!({ "verification": code, "status": review.code() }));
        if code != "UNSIGNED" || review.code() != "NOT_APPROVED" {
            line.fail(format!("{code}: it must be unsigned, and not approved by itself"));
        }
        self.say(line);
        self.approved(&session, &review).await;
        let line = call(&session, WEATHER, &json!({"city": "Oslo"}), "sunny in Oslo").await?;
        self.say(line);
        session.close().await;
        Ok(())
    }

    async fn hidden_at_strict(&self, launch: &Launch) -> Line {
        let mut line = Line::new("plain", "hidden at strict", "the same server, tool and approval");
        let arguments = json!({"city": "Oslo"});
        let met = async {
            let client = self.world.client(SecurityLevel::Strict, Asker::Yes)?;
            meet::refused(&client, launch, WEATHER, &arguments).await
        };
        match patiently(met).await {
            Ok(met) => {
                report(&mut line, &met);
                expect(&mut line, &met, "UNSIGNED", "UNSIGNED");
                if met.shown {
                    line.fail("the tool was shown");
                }
            }
            Err(error) => line.fail(error.to_string()),
        }
        line
    }

    async fn replaced_plain(&self, program: &Path, launch: &Launch) -> Line {
        let tried = "another program stands behind the approved command line of the plain server";
        let mut line = Line::new("attack", "replaced plain server", tried);
        if let Err(error) = patiently(self.replace_plain(program, launch, &mut line)).await {
            line.fail(error.to_string());
        }
        line
    }

    async fn replace_plain(
        &self,
        program: &Path,
        launch: &Launch,
        line: &mut Line,
    ) -> Result<(), Failed> {
        let listing = launch.listing().await?;
        let mut script = Script::new(listing.text(), REPLY, "");
        script.log = Some(self.world.fresh_log());
        self.world.replace(program, &script)?;
        let arguments = json!({"city": "the user's secret"});
        let met = meet::plain(launch, WEATHER, &arguments).await?;
        line.plain(took(&met.answer));
        if met.definition != listing.tool(WEATHER)? || !met.answer.starts_with(REPLY) {
            return Err("the attack does not work on a plain client, so it shows nothing".into());
        }
        let client = self.world.wary_client()?;
        let met = meet::refused(&client, launch, WEATHER, &arguments).await?;
        report(line, &met);
        expect(line, &met, "EXECUTABLE_CHANGED", "NOT_STARTED");
        one_call(line, &script)
    }
}

const WEATHER: &str = "weather_today";

/// Whether the first listing of a script is the approved one.
fn shows_approved_first(script: &Script) -> bool {
    script.listing != script.then
}

fn took(answer: &str) -> String {
    format!("called it, and was answered: {}", visible(answer))
}

fn report(line: &mut Line, met: &meet::Meeting) {
    let by = match met.verification.as_str() {
        "VERIFIED" => format!("{}: {}", met.code, met.message),
        "NOT_STARTED" => format!("{} (before it was started): {}", met.code, met.message),
        verification if verification == met.code => format!("{}: {}", met.code, met.finding),
        verification => format!("{} ({verification}): {}", met.code, met.finding),
    };
    line.stopped_by(by);
    for evidence in met.evidence() {
        line.evidence(evidence);
    }
    line.data(met.json());
}

fn expect(line: &mut Line, met: &meet::Meeting, code: &str, verification: &str) {
    if met.code != code || met.verification != verification {
        line.fail(format!(
            "refused for another reason than {code} ({verification}): {} ({})",
            met.code, met.verification
        ));
    }
}

/// What stands in a definition that has no digest.
fn smuggled(line: &mut Line, honest: &str, script: &Script) -> Result<(), Failed> {
    let raw = RawTool::read(honest)?;
    line.evidence(format!("approved {}", raw.digest()));
    line.evidence("received a text without a digest, because it can be read in two ways:");
    let markers = [r#""properties":{"context""#, r#""maxProperties""#];
    let found = markers.iter().find_map(|marker| script.listing.find(marker));
    let rest = script.listing.get(found.ok_or("an attacker smuggles something in")?..);
    let excerpt: String = rest.unwrap_or_default().chars().take(80).collect();
    line.evidence(format!("   … {} …", visible(&excerpt)));
    Ok(())
}

/// The attacker was called by the plain client, and by nobody else.
fn one_call(line: &mut Line, script: &Script) -> Result<(), Failed> {
    let log = script.log.as_deref().ok_or("an attacker keeps a log")?;
    let calls = std::fs::read_to_string(log)?.lines().count();
    if calls != 1 {
        line.fail(format!(
            "the attacker was called {calls} times, and must be once, by the plain client"
        ));
    }
    Ok(())
}

/// Waits for what must come soon.
async fn patiently<T, E>(what: impl Future<Output = Result<T, E>>) -> Result<T, Failed>
where
    Failed: From<E>,
{
    match tokio::time::timeout(PATIENCE, what).await {
        Ok(result) => Ok(result?),
        Err(_) => Err("it took too long".into()),
    }
}

/// Calls a tool that must answer with a text.
async fn call(
    session: &Session,
    tool: &str,
    arguments: &Value,
    expected: &str,
) -> Result<Line, Failed> {
    let mut line = Line::new("honest", format!("called {tool}"), format!("with {arguments}"));
    let result = patiently(session.invoke_tool(tool, arguments)).await?;
    let answer = text_of(&result);
    line.evidence(format!("answer        {}", visible(&answer)));
    line.data(json!({ "arguments": arguments, "answer": answer }));
    if result.is_error == Some(true) || !answer.contains(expected) {
        line.fail(format!("the answer must contain `{expected}`"));
    }
    Ok(line)
}
