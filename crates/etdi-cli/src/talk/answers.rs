//! What servers ask in the middle of a request, answered by the person at the terminal.
//!
//! Whatever a server writes is shown as its words, escaped, and every question can be declined. Where
//! nobody sits there it is declined, and said so.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, LazyLock};

use etdi::core::change::visible;
use mcp_client::{Form, Inputs};
use mcp_types::{
    CreateMessageRequestParams, CreateMessageResult, ElicitAction, ElicitRequestURLParams,
    ElicitResult, ErrorObject, OneOrMany, Origin, PrimitiveSchemaDefinition, RawText, Role,
    SamplingMessageContentBlock, TextContent,
};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::ask::undisturbed;
use crate::output::{Output, style};

/// Asks the person for a line: shows the prompt, gives what was typed; `None` when there is no more.
pub type ReadLine = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Who answers.
#[derive(Clone)]
pub struct Answers {
    reader: Option<ReadLine>,
    output: Output,
}

/// Questions are put one after the other, whoever asks at once.
static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

impl Answers {
    /// The person at the terminal, where one sits there.
    pub fn at_terminal(output: Output) -> Self {
        let reader = output.can_ask().then(|| Arc::new(typed) as ReadLine);
        Self { reader, output }
    }

    /// Whoever has the keyboard, by a function of its own.
    pub fn by(reader: ReadLine, output: Output) -> Self {
        Self { reader: Some(reader), output }
    }

    /// The answers as a client takes them.
    pub fn inputs(&self) -> Inputs {
        let (forms, pages, samples) = (self.clone(), self.clone(), self.clone());
        Inputs::new()
            .elicit(move |form| forms.clone().fill_in(form))
            .elicit_url(move |page| pages.clone().visit(page))
            .sample(move |asked| samples.clone().say(asked))
    }

    async fn fill_in(self, form: Form) -> Result<ElicitResult, ErrorObject> {
        let Some(reader) = self.reader.clone() else {
            self.declined(form.message());
            return Ok(form.decline());
        };
        let cancelled = form.cancel();
        let filled = asked(move || fill_in(&form, &*reader)).await;
        Ok(filled.unwrap_or(cancelled))
    }

    async fn visit(self, page: ElicitRequestURLParams) -> Result<ElicitResult, ErrorObject> {
        let Some(reader) = self.reader.clone() else {
            self.declined(&page.message);
            return Ok(ElicitResult::new(ElicitAction::Decline));
        };
        let visited = asked(move || visit(&page, &*reader)).await;
        Ok(ElicitResult::new(visited.unwrap_or(ElicitAction::Cancel)))
    }

    async fn say(
        self,
        asked_for: CreateMessageRequestParams,
    ) -> Result<CreateMessageResult, ErrorObject> {
        let refused = |why: &str| ErrorObject::local(Origin::Refused, why.to_owned());
        let Some(reader) = self.reader.clone() else {
            self.output.warn(
                "the server asks for an answer of a model, and nobody sits at a terminal to give one",
            );
            return Err(refused("there is no model here, and nobody to answer in its place"));
        };
        let said = asked(move || say(&asked_for, &*reader)).await.flatten();
        let text = said.ok_or_else(|| refused("the user does not answer in place of a model"))?;
        let block = SamplingMessageContentBlock::Text(TextContent::new(text));
        let model = "the person at the terminal";
        let mut result = CreateMessageResult::new(OneOrMany::One(block), model, Role::Assistant);
        result.stop_reason = Some("endTurn".to_owned());
        Ok(result)
    }

    fn declined(&self, message: &str) {
        self.output.warn(&format!(
            "the server asks \u{201c}{}\u{201d}; nobody sits at a terminal to answer, so it is declined",
            visible(message)
        ));
    }
}

/// Puts a question on a thread that may wait for the keyboard.
async fn asked<T: Send + 'static>(question: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let _turn = TURN.lock().await;
    tokio::task::spawn_blocking(|| undisturbed(question)).await.ok()
}

/// A line of standard input, the prompt on standard error.
fn typed(prompt: &str) -> Option<String> {
    let mut stderr = anstream::stderr();
    write!(stderr, "{prompt}").and_then(|()| stderr.flush()).ok()?;
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(read) if read > 0 => Some(line),
        _ => None,
    }
}

fn show(text: &str) {
    // Whoever cannot read the question answers with nothing, which is no.
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// What a server says, each line marked as its own.
fn quoted(text: &str) -> String {
    let lines = text.lines().map(|line| format!("  | {}", visible(line)));
    lines.collect::<Vec<_>>().join("\n")
}

/// How often a value that does not fit is asked for again.
const TRIES: usize = 5;

fn fill_in(form: &Form, read: &dyn Fn(&str) -> Option<String>) -> ElicitResult {
    let bold = style::BOLD;
    show(&format!(
        "\n{bold}the server asks you to fill in a form{bold:#}\n{}",
        quoted(form.message())
    ));
    show("  what you type goes to the server: no passwords, no keys");
    let begin = read("fill it in? [y/N/c] ").map(|line| line.trim().to_lowercase());
    match begin.as_deref() {
        Some("y" | "yes") => {}
        Some("c" | "cancel") | None => return form.cancel(),
        Some(_) => return form.decline(),
    }
    let defaults = form.defaults();
    let mut content = BTreeMap::new();
    for (name, field, required) in form.fields() {
        let mut answered = None;
        for _ in 0..TRIES {
            let Some(line) = read(&prompt_of(name, field, required, defaults.get(name))) else {
                return form.cancel();
            };
            let text = line.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                answered = defaults.get(name).cloned();
                if answered.is_some() || !required {
                    break;
                }
                show("  it has to be filled in; end the input to cancel");
                continue;
            }
            let Some(value) = value_of(field, text) else { continue };
            let one = BTreeMap::from([(name.to_owned(), value.clone())]);
            let wrong = form.check(&one).into_iter().find(|error| error.path.starts_with(name));
            match wrong {
                Some(error) => show(&format!("  {}", visible(&error.to_string()))),
                None => {
                    answered = Some(value);
                    break;
                }
            }
        }
        match answered {
            Some(value) => _ = content.insert(name.to_owned(), value),
            None if required => return form.cancel(),
            None => {}
        }
    }
    form.accept(&content).unwrap_or_else(|error| {
        show(&format!("  {}", visible(&error.message)));
        form.cancel()
    })
}

/// A field as it is asked for: what it is called and of what kind, what there is to choose.
fn prompt_of(
    name: &str,
    field: &PrimitiveSchemaDefinition,
    required: bool,
    default: Option<&RawText>,
) -> String {
    let about = described(field);
    let text = |member: &str| about.get(member).and_then(Value::as_str).map(visible);
    let title = text("title").unwrap_or_else(|| visible(name));
    let kind = match choices(&about) {
        choices if choices.is_empty() => text("type").unwrap_or_default().into_owned(),
        choices => choices.iter().map(|one| visible(one)).collect::<Vec<_>>().join("|"),
    };
    let several =
        if text("type").as_deref() == Some("array") { ", several with commas" } else { "" };
    let must = if required { "" } else { ", optional" };
    let hint = text("description").map_or_else(String::new, |text| format!("  {text}\n"));
    let default =
        default.map_or_else(String::new, |default| format!(" [{}]", visible(default.get())));
    format!("{hint}  {title} ({kind}{several}{must}){default}: ")
}

fn described(field: &PrimitiveSchemaDefinition) -> Value {
    let text = RawText::of(field).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The values that a field can have, where they are listed.
fn choices(about: &Value) -> Vec<String> {
    let within = [about, about.get("items").unwrap_or(&Value::Null)];
    let listed = within.iter().find_map(|about| {
        let named = about.get("enum").and_then(Value::as_array);
        let titled = ["oneOf", "anyOf"].iter().find_map(|name| about.get(*name)?.as_array());
        let consts =
            |list: &Vec<Value>| list.iter().filter_map(|one| one.get("const").cloned()).collect();
        named.cloned().or_else(|| titled.map(consts))
    });
    let texts =
        listed.into_iter().flatten().filter_map(|one: Value| one.as_str().map(str::to_owned));
    texts.collect()
}

/// What was typed, as the field wants it; `None` and a remark where it is something else.
fn value_of(field: &PrimitiveSchemaDefinition, text: &str) -> Option<RawText> {
    let about = described(field);
    let kind = about.get("type").and_then(Value::as_str).unwrap_or("string");
    let value = match kind {
        "boolean" => match text.trim().to_lowercase().as_str() {
            "y" | "yes" | "true" => Some(Value::Bool(true)),
            "n" | "no" | "false" => Some(Value::Bool(false)),
            _ => None,
        },
        "integer" => text.trim().parse::<i64>().ok().map(Value::from),
        "number" => text.trim().parse::<f64>().ok().map(Value::from),
        "array" => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(items.map(Value::from).collect())
        }
        _ => Some(Value::from(text)),
    };
    if value.is_none() {
        show(&format!("  expected {kind}"));
    }
    RawText::of(&value?).ok()
}

fn visit(page: &ElicitRequestURLParams, read: &dyn Fn(&str) -> Option<String>) -> ElicitAction {
    let bold = style::BOLD;
    show(&format!("\n{bold}the server asks you to open a page{bold:#}\n{}", quoted(&page.message)));
    let plain = page.url.split(['?', '#']).next().unwrap_or_default();
    let host =
        plain.split_once("://").map_or(plain, |(_, rest)| rest.split('/').next().unwrap_or(rest));
    show(&format!("  the page is of {bold}{}{bold:#}:\n  {}", visible(host), visible(&page.url)));
    if !page.url.starts_with("https://") {
        let warn = style::WARN;
        show(&format!("  {warn}it is not protected on the way{warn:#}"));
    }
    show("  nothing opens by itself; open it in a browser if you trust that host");
    match read("did you, and do you agree? [y/N/c] ")
        .map(|line| line.trim().to_lowercase())
        .as_deref()
    {
        Some("y" | "yes") => ElicitAction::Accept,
        Some("c" | "cancel") | None => ElicitAction::Cancel,
        Some(_) => ElicitAction::Decline,
    }
}

/// The most that is shown of one message for a model.
const MOST_SHOWN: usize = 4_000;

fn say(
    asked: &CreateMessageRequestParams,
    read: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let bold = style::BOLD;
    show(&format!(
        "\n{bold}the server asks for an answer of a model{bold:#}, of at most {} tokens",
        asked.max_tokens
    ));
    if let Some(system) = &asked.system_prompt {
        show(&format!("  it instructs the model:\n{}", quoted(&cut(system))));
    }
    for message in &asked.messages {
        let who = match message.role {
            Role::Assistant => "model",
            _ => "user",
        };
        for block in message.content.as_slice() {
            let text = match block {
                SamplingMessageContentBlock::Text(text) => quoted(&cut(&text.text)),
                _ => "  | (something that is no text)".to_owned(),
            };
            show(&format!("  {who}:\n{text}"));
        }
    }
    show("  there is no model here: type an answer, and a line with a single dot to end it;");
    show("  the dot alone declines");
    let mut lines = Vec::new();
    while let Some(line) = read("> ") {
        let line = line.trim_end_matches(['\n', '\r']).to_owned();
        if line == "." {
            break;
        }
        lines.push(line);
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(MOST_SHOWN).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Shared;

    use super::*;

    type Heard = Arc<Shared<Vec<String>>>;

    /// A person who types these lines, and what they were asked.
    fn person(lines: &[&str]) -> (impl Fn(&str) -> Option<String>, Heard) {
        let mut left: Vec<String> = lines.iter().rev().map(|line| format!("{line}\n")).collect();
        let asked = Arc::new(Shared::new(Vec::new()));
        let seen = asked.clone();
        let left = Shared::new(std::mem::take(&mut left));
        let read = move |prompt: &str| {
            seen.lock().unwrap().push(prompt.to_owned());
            left.lock().unwrap().pop()
        };
        (read, asked)
    }

    fn form() -> Form {
        let text = r#"{"message": "Which\u001b[2K?", "requestedSchema": {"type": "object", "properties": {
            "count": {"type": "integer", "minimum": 1},
            "kind": {"type": "string", "enum": ["a", "b"], "default": "b"},
            "note": {"type": "string", "description": "free"},
            "sure": {"type": "boolean"}}, "required": ["count", "sure"]}}"#;
        Form::new(RawText::new(text).unwrap().parse().unwrap())
    }

    #[test]
    fn a_form_is_filled_in_field_by_field() {
        let (read, asked) = person(&["y", "none", "0", "3", "c", "", "", "maybe", "yes"]);
        let answer = RawText::of(&fill_in(&form(), &read)).unwrap();
        let expected = r#"{"action":"accept","content":{"count":3,"kind":"b","sure":true}}"#;
        assert_eq!(answer.get(), expected);
        let asked = asked.lock().unwrap().join("");
        for part in [
            "count (integer): ",
            r#"kind (a|b, optional) ["b"]: "#,
            "free\n  note (string, optional)",
        ] {
            assert!(asked.contains(part), "{part}: {asked}");
        }
    }

    #[test]
    fn no_is_an_answer() {
        for (lines, action) in [
            (&["n"][..], ElicitAction::Decline),
            (&[""], ElicitAction::Decline),
            (&["c"], ElicitAction::Cancel),
            (&[], ElicitAction::Cancel),
            (&["y", "2"], ElicitAction::Cancel),
        ] {
            assert_eq!(fill_in(&form(), &person(lines).0).action, action, "{lines:?}");
        }
        let page = ElicitRequestURLParams::new("m", "https://a.example/x");
        assert_eq!(visit(&page, &person(&["y"]).0), ElicitAction::Accept);
        assert_eq!(visit(&page, &person(&[""]).0), ElicitAction::Decline);
        assert_eq!(visit(&page, &person(&[]).0), ElicitAction::Cancel);
    }

    #[test]
    fn a_model_is_played_by_a_person() {
        let asked = CreateMessageRequestParams::new(5, Vec::new());
        assert_eq!(say(&asked, &person(&["one", "two", "."]).0).as_deref(), Some("one\ntwo"));
        assert_eq!(say(&asked, &person(&["."]).0), None);
        assert_eq!(say(&asked, &person(&[]).0), None);
    }
}
