//! `etdi doctor`: the way to a server, step by step, up to the first step that is wrong.
//!
//! Each step asks one thing and says in a sentence what it found. Where a step fails, the
//! examination ends, and says whose business that is and what they can do: whoever comes after would
//! only report what follows from it. Behind a URL the steps are the name, the connection, TLS, HTTP,
//! the login and then the protocol; of a program they are the file, the start, its standard output
//! and then the protocol. Nothing is called and nothing is registered.

mod guarded;
mod login;
mod offered;
mod place;
mod program;
mod said;
pub mod schema;
mod web;

use std::time::{Duration, Instant};

use etdi_core::change::visible;
use serde::Serialize;

use crate::args::DoctorArguments;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report, style};
use crate::targets::{self, Found};
use crate::verbs::list;
use crate::verbs::target::{block_on, shown_target};

/// Whose business a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Whoever types the command: the command line, the settings, this computer.
    You,
    /// The way between.
    Network,
    /// Whoever wrote or runs the server.
    ServerOperator,
    /// Whoever runs the authorization server that the server names.
    IdentityProvider,
}

impl Whose {
    fn words(self) -> &'static str {
        match self {
            Self::You => "yours",
            Self::Network => "the network's",
            Self::ServerOperator => "the server operator's",
            Self::IdentityProvider => "the identity provider's",
        }
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It works, and will not for everybody.
    Warned,
    /// It does not hold; nothing was asked after it.
    Failed,
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// A word that stays the same, for programs.
    pub step: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// What was found, in a sentence. What a peer said is escaped in it.
    pub what: String,
    /// Whose business it is, where it does not hold.
    pub whose: Option<Whose>,
    /// What they can do.
    pub advice: Option<String>,
    /// How long it took.
    pub milliseconds: u64,
}

/// Why an examination ended.
#[derive(Debug)]
pub struct Fault {
    step: &'static str,
    whose: Whose,
    what: String,
    advice: String,
    exit: Exit,
    next: Option<String>,
}

impl Fault {
    fn new(
        step: &'static str,
        whose: Whose,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let exit = match whose {
            Whose::You => Exit::Usage,
            Whose::Network => Exit::Unreachable,
            Whose::ServerOperator | Whose::IdentityProvider => Exit::ProtocolViolation,
        };
        Self { step, whose, what: what.into(), advice: advice.into(), exit, next: None }
    }

    /// Ends the command with another code than that of whose business it is.
    fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Says what to type next.
    fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// The steps that were made.
pub struct Examination {
    steps: Vec<Step>,
    since: Instant,
    output: Output,
    /// How long one step may take.
    patience: Duration,
}

impl Examination {
    fn new(output: Output, patience: Duration) -> Self {
        Self { steps: Vec::new(), since: Instant::now(), output, patience }
    }

    /// Says what is looked at now; the time of its step begins.
    fn looking(&mut self, at: &str) {
        self.since = Instant::now();
        self.output.progress(at);
    }

    fn passed(&mut self, step: &'static str, what: impl Into<String>) {
        self.add(step, Outcome::Passed, what.into(), None);
    }

    fn warned(
        &mut self,
        step: &'static str,
        whose: Whose,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(step, Outcome::Warned, what.into(), Some((whose, advice.into())));
    }

    fn failed(&mut self, fault: &Fault) {
        let whose = Some((fault.whose, fault.advice.clone()));
        self.add(fault.step, Outcome::Failed, fault.what.clone(), whose);
    }

    fn add(
        &mut self,
        step: &'static str,
        outcome: Outcome,
        what: String,
        fault: Option<(Whose, String)>,
    ) {
        let (whose, advice) = fault.unzip();
        let milliseconds = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since = Instant::now();
        self.steps.push(Step { step, outcome, what, whose, advice, milliseconds });
    }
}

/// Examines a server.
///
/// # Errors
///
/// When the command line names none. What is wrong with a server is a report, which ends with the
/// exit code of the fault.
pub fn run(arguments: &DoctorArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let target = &arguments.target;
    let mut examination = Examination::new(output, Duration::from_secs(arguments.timeout.max(1)));
    let resolved = targets::resolve(&target.command)?;
    guard(&resolved, &mut examination);
    let found = match resolved.url() {
        Some(url) => {
            let token = arguments.token_file.as_deref().map(login::read_token).transpose()?;
            block_on(async {
                Ok(place::examine(url, token, &resolved, target, home, &mut examination).await)
            })?
        }
        None => {
            block_on(async { Ok(program::examine(&resolved, target, &mut examination).await) })?
        }
    };
    let found = found.and_then(|()| match &resolved.guard {
        Some(before) => guarded::examine(before, target, home, &mut examination),
        None => Ok(()),
    });
    if let Err(fault) = &found {
        examination.failed(fault);
    }
    let again = shown_target(target);
    let is_suspect = examination.steps.iter().any(|step| step.step == offered::SCANNER);
    let next = match &found {
        // What leads on to an approval comes after what speaks against one.
        Ok(()) if is_suspect => list::scanned(target),
        Ok(()) => format!("etdi inspect {again}"),
        Err(fault) => fault.next.clone().unwrap_or_else(|| format!("etdi doctor {again}")),
    };
    let shown = visible(&target.command.join(" ")).into_owned();
    let data = serde_json::json!({
        "target": shown,
        "healthy": found.is_ok(),
        "failed": found.as_ref().err().map(|fault| fault.step),
        "whose": found.as_ref().err().map(|fault| fault.whose),
        "next": next,
        "steps": examination.steps,
    });
    let exit = found.as_ref().err().map_or(Exit::Done, |fault| fault.exit);
    let text = told(&shown, &examination.steps, &found, &next);
    Ok(Report::new(data, text).ending(exit))
}

/// The guard of ours before a server, which is left out of all that follows: it shows nothing that it
/// blocks.
fn guard(found: &Found, examination: &mut Examination) {
    if found.guard.is_some() {
        let what = "a guard stands before it, and the server behind it is examined";
        examination.passed("guard", what);
    }
}

fn told(target: &str, steps: &[Step], found: &Result<(), Fault>, next: &str) -> String {
    let (bold, dim) = (style::BOLD, style::DIM);
    let mut text = format!("{bold}{target}{bold:#}\n");
    for step in steps {
        let (colour, word) = match step.outcome {
            Outcome::Passed => (style::GOOD, "passed"),
            Outcome::Warned => (style::WARN, "warned"),
            Outcome::Failed => (style::BAD, "failed"),
        };
        let name = step.step.replace('_', " ");
        text.push_str(&format!(
            "  {colour}{word}{colour:#} {dim}{name:<20}{dim:#} {}\n",
            step.what
        ));
        if let (Some(whose), Some(advice)) = (step.whose, &step.advice) {
            text.push_str(&format!("{:30}{}: {advice}\n", "", whose.words()));
        }
    }
    match found {
        Ok(()) if steps.iter().any(|step| step.step == offered::SCANNER) => {
            text.push_str("it works, and the scanner warns of it\n");
        }
        Ok(()) => text.push_str("nothing is wrong\n"),
        Err(fault) => text.push_str(&format!(
            "the first fault is {}: the step `{}`\n",
            fault.whose.words(),
            fault.step.replace('_', " ")
        )),
    }
    text.push_str(&format!("{bold}try:{bold:#}   {next}"));
    text
}
