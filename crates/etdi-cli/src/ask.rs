//! Asks the person at the terminal whether a tool is approved.

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};

use etdi::Error;
use etdi::core::approval::{
    Answer, ApprovalKey, Approver, Granted, Pin, Question, Reason, Standing,
};
use etdi::core::definition::ToolDefinition;
use etdi::core::identity::ServerIdentity;
use etdi::core::permission::Permission;
use etdi::core::proof::Trust;
use etdi::core::safe::SafeText;
use etdi::core::time::UnixTime;
use etdi::core::verify::Claimed;
use mcp_types::BoxFuture;

use crate::changes;
use crate::exit::Failure;
use crate::first_use::Before;
use crate::home::Home;
use crate::inspector::{critical, noted, suspicious};
use crate::locked;
use crate::output::style;
use crate::unattended::Unattended;

/// What a person is told of a server that is reached by plain HTTP on another computer.
pub const IN_THE_CLEAR: &str =
    "over plain http: whoever is on the way reads and changes calls and answers";

/// How questions are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// By the person at the terminal.
    Terminal,
    /// With yes, as was said before.
    Yes,
    /// With no, because nobody sits there.
    Nobody,
}

/// Who answers, and what a yes grants.
#[derive(Clone, Debug)]
pub struct Grants {
    /// Who answers.
    pub asker: Asker,
    /// What a yes grants.
    pub granted: Granted,
    /// What of it a yes that was said before is one to, or is asked about where somebody sits.
    pub despite: Despite,
    /// What counts where nobody sits at a terminal; `None` where somebody does.
    pub unattended: Option<Unattended>,
    /// What the store knew before, where a first use counts; without it nothing is one.
    pub before: Option<Arc<Before>>,
    /// Until when; `None` for as long as nothing changes.
    pub expires_at: Option<UnixTime>,
}

/// Which warnings a yes overrides that was said before anybody could read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Despite {
    /// A change that no honest publisher makes.
    pub alarm: bool,
    /// What the scanner calls critical.
    pub scanner: bool,
}

/// What becomes of a question that was answered with yes before it was asked.
enum Beforehand {
    Yes,
    No,
    /// It is asked all the same: what overrides a warning is typed by whoever reads it.
    Asks,
}

impl Grants {
    /// A yes grants whatever a tool declares, and overrides nothing.
    pub fn all(asker: Asker) -> Self {
        let (granted, despite) = (Granted::All, Despite::default());
        Self { asker, granted, despite, unattended: None, before: None, expires_at: None }
    }

    /// The same, with what the store knows now where a yes without a person is to a first use.
    ///
    /// # Errors
    ///
    /// When the approvals cannot be read.
    pub async fn knowing(self, home: &Home) -> Result<Self, Failure> {
        if (self.asker, self.unattended) != (Asker::Yes, Some(Unattended::FirstUse)) {
            return Ok(self);
        }
        let before = Before::of(&locked::approvals(home)?).await?;
        Ok(Self { before: Some(Arc::new(before)), ..self })
    }

    /// Why a definition is not approved unread: lines of the scanner, none where it is.
    pub fn unread(&self, definition: &ToolDefinition) -> Vec<String> {
        match self.unattended {
            Some(Unattended::Nothing | Unattended::FirstUse) => suspicious(definition),
            None | Some(Unattended::Everything) if self.despite.scanner => Vec::new(),
            None | Some(Unattended::Everything) => critical(definition),
        }
    }

    /// Whether a question is the first about anything of its server.
    fn is_first(&self, question: &Question<'_>) -> bool {
        let is_new = self.before.as_ref().is_some_and(|before| !before.knows(&question.facts));
        question.reason == Reason::NotApproved && question.previous.is_none() && is_new
    }

    fn beforehand(&self, question: &Question<'_>) -> Beforehand {
        let definition = question.facts.definition;
        // A name that passes for another is to be read like an alarm.
        let is_grave = question.alarm || twin(question).is_some();
        match self.unattended {
            // Yes was said before anybody could know of an alarm.
            _ if question.alarm && !self.despite.alarm => Beforehand::No,
            _ if !self.unread(definition).is_empty() => Beforehand::No,
            Some(Unattended::Nothing) => Beforehand::No,
            Some(Unattended::FirstUse) if is_grave || !self.is_first(question) => Beforehand::No,
            Some(Unattended::Everything) if is_grave && !self.despite.alarm => Beforehand::No,
            Some(_) => Beforehand::Yes,
            None if is_grave || is_over(question) || !critical(definition).is_empty() => {
                Beforehand::Asks
            }
            None => Beforehand::Yes,
        }
    }
}

/// The approved tool of another name for which this one could be taken.
fn twin<'a>(question: &Question<'a>) -> Option<&'a ApprovalKey> {
    question.alike.iter().find(|twin| twin.tool != question.facts.tool())
}

/// Whether an approval is asked for again that somebody withdrew, or that was only for a time.
fn is_over(question: &Question<'_>) -> bool {
    matches!(question.reason, Reason::ApprovalWithdrawn | Reason::ApprovalExpired)
        || question.previous.is_some_and(|previous| previous.withdrawn.is_some())
}

impl Approver for Grants {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let yes = || Answer::Approve {
            granted: self.granted.clone(),
            approver: user(),
            expires_at: self.expires_at,
            note: None,
        };
        let beforehand = match self.asker {
            Asker::Yes => self.beforehand(&question),
            Asker::Nobody => Beforehand::No,
            Asker::Terminal => Beforehand::Asks,
        };
        match beforehand {
            Beforehand::Yes => {
                warn_unread(&question, "is", suspicious(question.facts.definition));
                Box::pin(std::future::ready(yes()))
            }
            Beforehand::No => {
                if self.asker == Asker::Yes && !question.alarm {
                    warn_unread(&question, "is not", self.unread(question.facts.definition));
                    if let Some(twin) = twin(&question) {
                        let (name, of) =
                            (SafeText::of(question.facts.tool()), SafeText::of(&twin.server));
                        let other = SafeText::of(&twin.tool);
                        // Nobody is harmed when a remark does not get out.
                        let _ = writeln!(
                            std::io::stderr(),
                            "warning: `{name}` is not approved unread, its name looks like `{other}` of {of}"
                        );
                    }
                }
                Box::pin(std::future::ready(Answer::Decline))
            }
            Beforehand::Asks => {
                let text = describe(&question);
                Box::pin(async move {
                    // Whoever reads the keyboard must not hold up the connection.
                    let agreed = tokio::task::spawn_blocking(move || prompt(&text)).await;
                    if agreed.unwrap_or(false) { yes() } else { Answer::Decline }
                })
            }
        }
    }
}

/// Says what the scanner has to say of a tool that nobody reads, and whether it is approved.
fn warn_unread(question: &Question<'_>, what: &str, lines: Vec<String>) {
    let name = SafeText::of(question.facts.definition.name());
    for line in lines {
        // Nobody is harmed when a remark does not get out.
        let _ = writeln!(
            std::io::stderr(),
            "warning: `{name}` {what} approved unread, and the scanner says: {}",
            SafeText::of(&line)
        );
    }
}

/// Who sits there, for the approval's record.
pub fn user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    name.unwrap_or_else(|_| "the user of etdi".to_owned())
}

/// What servers write while a question is open.
static HELD: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// The most lines that are held back.
const MAX_HELD: usize = if cfg!(test) { 3 } else { 1_000 };

/// What servers said while a session was being opened.
static OPENING: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Says each line once until the session is open: a server that ends at once is started a second
/// time, because some end of a question that only newer clients ask.
pub async fn while_opening<T>(opening: impl Future<Output = T>) -> T {
    let said = || OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    *said() = Some(HashSet::new());
    let opened = opening.await;
    *said() = None;
    opened
}

fn was_said(line: &str) -> bool {
    match &mut *OPENING.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(said) if said.len() < MAX_HELD => !said.insert(line.to_owned()),
        _ => false,
    }
}

/// Prints a line of a server's standard error, marked as such. While a question is open it is held
/// back: below the question it could look like another one, with better news.
pub fn server_says(line: &str) {
    let line = format!("server: {}", SafeText::of(line));
    if was_said(&line) {
        return;
    }
    match &mut *HELD.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(held) if held.len() < MAX_HELD => held.push(line),
        Some(_) => {}
        None => {
            // Nobody is harmed when a remark does not get out.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

/// Whether a question is open, which has the terminal for itself.
pub fn is_asking() -> bool {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Holds back what servers say until the question is answered.
pub fn undisturbed<T>(question: impl FnOnce() -> T) -> T {
    let held = |lines| {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, lines)
    };
    held(Some(Vec::new()));
    let answer = question();
    for line in held(None).unwrap_or_default() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    answer
}

/// Whether whoever is asked says yes to what a text says.
pub async fn agreed(asker: Asker, text: String, ask: &'static str) -> bool {
    match asker {
        Asker::Yes => true,
        Asker::Nobody => false,
        Asker::Terminal => {
            let asked = move || undisturbed(|| question(&text, ask));
            tokio::task::spawn_blocking(asked).await.unwrap_or(false)
        }
    }
}

fn prompt(text: &str) -> bool {
    undisturbed(|| question(text, "approve?"))
}

fn question(text: &str, ask: &str) -> bool {
    let mut stderr = anstream::stderr();
    let mut asked = format!("{text}\n{ask} [y/N] ");
    for _ in 0..TRIES {
        let mut line = String::new();
        // Who cannot be asked has not said yes.
        let is_heard = write!(stderr, "{asked}").is_ok()
            && stderr.flush().is_ok()
            && std::io::stdin().lock().read_line(&mut line).is_ok_and(|read| read > 0);
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return is_heard,
            "" | "n" | "no" => return false,
            _ if !is_heard => return false,
            _ => asked = format!("`y` for yes or `n` for no: {ask} [y/N] "),
        }
    }
    false
}

/// How often is asked again after what is neither yes nor no.
const TRIES: usize = 3;

/// All that a person needs to decide. Texts of the peer are shown as they are, nothing hidden.
fn describe(question: &Question<'_>) -> String {
    let (bold, warn, bad) = (style::BOLD, style::WARN, style::BAD);
    let facts = &question.facts;
    let definition = facts.definition;
    let version = facts.version().map_or_else(String::new, |version| format!(" {version}"));
    let mut lines = vec![format!(
        "\n{bold}{}{bold:#}{version} of {}",
        SafeText::of(definition.name()),
        SafeText::of(facts.server)
    )];
    let mut field = |name: &str, text: String| lines.push(format!("  {name:<12} {text}"));
    field("says", SafeText::of(definition.description().unwrap_or("nothing")).into());
    // The model reads schemas and hints too. What follows below must not scroll away behind them.
    for (name, text) in rest(definition.canonical()) {
        field(&name, text);
    }
    let standing = match question.standing() {
        Standing::Verified { issuer, name, trust, .. } => {
            let who = match name {
                Some(name) => format!("{} ({issuer})", SafeText::of(name)),
                None => issuer.to_string(),
            };
            match trust {
                Trust::Configured => format!("signed by {who}, whom you trust"),
                Trust::Issuer => format!("signed by {who}"),
                _ => format!("signed by {who}, {warn}seen for the first time{warn:#}"),
            }
        }
        Standing::Unsigned => format!("{warn}unsigned{warn:#}: nobody vouches for it"),
        _ => format!("{warn}unverified{warn:#}: its signature cannot be checked here"),
    };
    field("signature", standing);
    if facts.server.parse().is_ok_and(|server: ServerIdentity| server.is_in_the_clear()) {
        field("way", format!("{bad}{IN_THE_CLEAR}{bad:#}"));
    }
    let claimed = facts.signed_by().map_or(&[][..], |by| &by.claimed);
    for text in claimed.iter().flat_map(claims) {
        field("claims", text);
    }
    for permission in question.permissions() {
        field("may", permission_text(permission));
    }
    if question.permissions().is_empty() {
        field("may", "it declares no permissions".to_owned());
    }
    if let Some(pin) = facts.pin {
        // A bare name is what the `PATH` of whoever starts it makes of it.
        field("program", format!("{}, pinned", SafeText::of(&pin.executable)));
        for name in pin.files.keys() {
            field("is given", format!("{}, pinned", SafeText::of(name)));
        }
    }
    field("because", question.reason.describe().to_owned());
    if let Some(other) = other_program(question) {
        field("changed", format!("{bad}{other}{bad:#}"));
    }
    for risk in question.risks {
        field("risk", format!("{warn}{risk}{warn:#}"));
    }
    for twin in question.alike {
        let of = SafeText::of(&twin.server);
        match twin.tool == facts.tool() {
            true => field("same name", format!("{of} has an approved tool of this name")),
            false => {
                let text = format!(
                    "{bad}the name looks like `{}` of {of}, which you approved: this is another tool{bad:#}",
                    SafeText::of(&twin.tool)
                );
                field("look-alike", text);
            }
        }
    }
    for line in suspicious(definition) {
        field("scanner", format!("{bad}{}{bad:#}", SafeText::of(&line)));
    }
    for line in noted(definition) {
        field("scanner", format!("{warn}{}{warn:#}", SafeText::of(&line)));
    }
    if question.alarm {
        // Who signs gives a change a new version; who signs nothing changes a text in good faith, too.
        let what = match question.standing() {
            Standing::Unsigned => "this is not what was approved, and nobody signed it",
            _ => "an honest publisher does not do this",
        };
        field("alarm", format!("{bad}{what}{bad:#}"));
    }
    if !question.changes.is_empty() {
        let legend = changes::legend(question.changes);
        lines.push(format!("  what changed since the last approval ({legend}):"));
        lines.extend(changes::lines(question.changes).iter().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

/// In what the program is another one than the approval says, or one of the files that it is given.
fn other_program(question: &Question<'_>) -> Option<Error> {
    let approved = question.previous?.pin.as_ref()?;
    question.facts.pin.filter(|found| *found != approved).map(|found| another(approved, found))
}

/// In what a program is another one than the approved one, file by file.
pub fn another(approved: &Pin, found: &Pin) -> Error {
    let (approved, found) = (Box::new(approved.clone()), Box::new(found.clone()));
    Error::ExecutableChanged { approved, found }
}

/// Every other member of a definition, as it was signed.
fn rest(canonical: &str) -> Vec<(String, String)> {
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(canonical).unwrap_or_default();
    let others = members.iter().filter(|(name, _)| !matches!(&***name, "name" | "description"));
    let shown = |(name, value): (&String, &serde_json::Value)| {
        (SafeText::of(name).into(), SafeText::of(&value.to_string()).into())
    };
    others.map(shown).collect()
}

/// What a signer claims, line by line, as nothing but its word.
pub fn claims(claimed: &Claimed) -> Vec<String> {
    let by = SafeText::of(claimed.by.as_str());
    let line = |(name, text): (&str, String)| {
        format!("{by} says, and nobody has checked: {name} {}", SafeText::of(&text))
    };
    claimed.lines().map(line).collect()
}

/// A permission with what it is for.
pub fn permission_text(permission: &Permission) -> String {
    let scope = &permission.scope;
    let why = permission.description.as_deref().or(permission.name.as_deref());
    let why = why.map_or_else(String::new, |why| format!(" ({})", SafeText::of(why)));
    let optional = if permission.required { "" } else { ", optional" };
    format!("{scope}{why}{optional}")
}

#[cfg(test)]
mod tests {
    use etdi::core::approval::{Approvals, Facts, MemoryStore};
    use etdi::core::audit::MemoryAuditor;
    use etdi::core::definition::RawTool;
    use etdi::core::level::Policy;
    use etdi::system_time;

    use super::*;
    use crate::verbs::target::block_on;

    struct Reader(Mutex<String>);

    impl Approver for Reader {
        fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
            *self.0.lock().unwrap() = describe(&question);
            Box::pin(std::future::ready(Answer::Decline))
        }
    }

    /// What a person is asked about an unsigned tool of a server.
    fn asked(server: &str, raw: &RawTool) -> String {
        let reader = Arc::new(Reader(Mutex::default()));
        let (store, auditor) = (Arc::new(MemoryStore::new()), Arc::new(MemoryAuditor::default()));
        let approvals = Approvals::new(Policy::enhanced(), store, reader.clone(), auditor);
        let facts = Facts::new(server, raw.definition(), &Standing::Unsigned);
        let refused = block_on(async { Ok(approvals.review(&facts, system_time()).await) });
        assert!(refused.unwrap().is_err());
        reader.0.lock().unwrap().clone()
    }

    #[test]
    fn a_person_is_told_that_others_listen() {
        let raw = RawTool::read(r#"{"name":"add","inputSchema":{}}"#).unwrap();
        for server in ["http://10.0.0.1/mcp", "http://mcp.acme.example:8000/mcp"] {
            assert!(asked(server, &raw).contains(IN_THE_CLEAR), "{server}");
        }
        for server in ["https://10.0.0.1/mcp", "http://127.0.0.1:8000/mcp", "stdio:pkg:a/b"] {
            let text = asked(server, &raw);
            assert!(text.contains("nobody vouches") && !text.contains("plain http"), "{text}");
        }
    }

    /// Orders to the model hide in schemas, not in the description that everybody reads.
    #[test]
    fn a_person_is_shown_all_that_the_model_reads() {
        let raw = RawTool::read(
            r#"{"name":"add","description":"Adds.","title":"T1","x":"T2","annotations":{"y":"T3"},
                "inputSchema":{"properties":{"a":{"description":"T4 \u200b\u001b[2K"}}},
                "outputSchema":{"title":"T5"},"_meta":{"z":"T6"}}"#,
        )
        .unwrap();
        let text = asked("stdio:pkg:a/b", &raw);
        for part in ["Adds.", "T1", "T2", "T3", r"T4 \u{200b}\u001b[2K", "T5", "T6"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.find("T6") < text.find("nobody vouches"), "the verdict comes last: {text}");
    }

    /// What `etdi scan` shows, a person sees who says yes, also where it holds nothing back.
    #[test]
    fn a_person_is_shown_what_the_scanner_finds_and_does_not_hold_back() {
        let raw = RawTool::read(
            r#"{"name":"add","description":"Adds. Reads ~/.ssh/config for defaults.","annotations":{"readOnlyHint":true},
                "inputSchema":{"type":"object"}}"#,
        )
        .unwrap();
        let noted = noted(raw.definition());
        assert!(!noted.is_empty() && suspicious(raw.definition()).is_empty(), "{noted:?}");
        let text = asked("stdio:pkg:a/b", &raw);
        assert!(text.contains("scanner") && text.contains(&noted[0]), "{noted:?}: {text}");
    }

    /// A server that writes a question of its own below ours must not be believed.
    #[test]
    fn a_server_is_silent_while_a_question_is_open() {
        let lines = || HELD.lock().unwrap().clone();
        undisturbed(|| {
            server_says("  signature    signed by acme, whom you trust\u{202e}");
            let held = lines().unwrap();
            assert_eq!(held, [r"server:   signature    signed by acme, whom you trust\u{202e}"]);
            (0..2 * MAX_HELD).for_each(|_| server_says("more"));
            assert_eq!(lines().unwrap().len(), MAX_HELD);
        });
        assert_eq!(lines(), None);
    }
}
