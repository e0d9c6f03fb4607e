//! The talking verbs as a user types them, at a terminal where they ask.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod terminal;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcp_server::task::{MemoryTaskStore, Tasks};
use mcp_server::types::{
    CreateMessageRequestParams, ImageContent, Role, SamplingMessage, SamplingMessageContentBlock,
    TextContent,
};
use mcp_server::{Context, Elicited, ToolError, completion, data, prompt, resource, server, tool};
use mcp_transport::http::server::{HttpServer, serve_http};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use terminal::Terminal;

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

/// A form.
#[data]
struct Booking {
    /// How many persons?
    persons: u8,
    /// A table outside?
    #[serde(default)]
    outside: bool,
}

/// Books a table.
#[tool]
async fn book(cx: Context, date: String) -> Result<String, ToolError> {
    Ok(match cx.elicit::<Booking>("booking", format!("A table on {date}?"))? {
        Elicited::Accepted(Booking { persons, outside }) => {
            format!("for {persons}, outside: {outside}")
        }
        Elicited::Declined => "declined".to_owned(),
        Elicited::Cancelled => "cancelled".to_owned(),
    })
}

/// Takes a deposit.
#[tool]
async fn pay(cx: Context) -> Result<&'static str, ToolError> {
    Ok(match cx.elicit_url("deposit", "A deposit is due.", "https://pay.example/x?id=1")? {
        Elicited::Accepted(()) => "paid",
        Elicited::Declined | Elicited::Cancelled => "not paid",
    })
}

/// Sums a text up by the client's model.
#[tool]
async fn sum_up(cx: Context, text: String) -> Result<String, ToolError> {
    let block = SamplingMessageContentBlock::Text(TextContent::new(text));
    let message = SamplingMessage::new(block.into(), Role::User);
    let answer = cx.sample("summary", CreateMessageRequestParams::new(200, vec![message]))?;
    Ok(match answer.content.as_slice() {
        [SamplingMessageContentBlock::Text(text)] => format!("summary: {}", text.text),
        _ => "no text".to_owned(),
    })
}

/// Draws a picture.
#[tool]
fn draw() -> ImageContent {
    ImageContent::new("aGk=", "image/png")
}

/// Counts.
#[tool]
async fn count(cx: Context, to: u8, words: Option<Vec<String>>) -> String {
    for step in 1..=to {
        cx.progress_with(f64::from(step), f64::from(to), "counting").await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    format!("counted to {to} {}", words.unwrap_or_default().join("+"))
}

/// Fails.
#[tool]
fn fail() -> Result<String, ToolError> {
    Err("no such table".into())
}

static CANCELLED: AtomicBool = AtomicBool::new(false);

struct Notes;

impl Drop for Notes {
    fn drop(&mut self) {
        CANCELLED.store(true, Ordering::SeqCst);
    }
}

/// Waits for ever.
#[tool]
async fn wait() -> &'static str {
    let noted = Notes;
    std::future::pending::<()>().await;
    drop(noted);
    "never"
}

/// Prints pages, as a task.
#[tool(task)]
async fn print(pages: u8) -> String {
    tokio::time::sleep(Duration::from_millis(50)).await;
    format!("printed {pages} pages")
}

/// Asks for a review.
#[prompt]
async fn review(#[arg(complete = languages)] language: String, style: Option<String>) -> String {
    format!("Review this {language} in the style {}", style.unwrap_or_default())
}

#[completion]
fn languages(typed: String) -> Vec<&'static str> {
    ["rust", "ruby", "c"].into_iter().filter(|name| name.starts_with(&typed)).collect()
}

/// The menu.
#[resource("menu://today")]
async fn menu() -> &'static str {
    "soup"
}

/// A dish.
#[resource("dish://{name}")]
async fn dish(name: String) -> String {
    format!("{name} with salt")
}

/// A restaurant behind a URL.
fn restaurant() -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(format!("http://{}/mcp", listener.local_addr().unwrap())).unwrap();
            let tasks = Tasks::new(MemoryTaskStore::new()).poll_interval(Duration::from_millis(20));
            let server = server!()
                .instructions("Be kind.\u{1b}[2K")
                .tasks(tasks)
                .tool::<book>()
                .tool::<pay>()
                .tool::<sum_up>()
                .tool::<draw>()
                .tool::<count>()
                .tool::<fail>()
                .tool::<wait>()
                .tool::<print>()
                .prompt::<review>()
                .resource::<menu>()
                .resource::<dish>();
            let server = HttpServer::new(server.build().unwrap());
            let _ = serve_http(server, listener, std::future::pending()).await;
        });
    });
    told.recv().unwrap()
}

struct User {
    home: TempDir,
    url: String,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), url: restaurant() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(ETDI);
        command.args(words).current_dir(self.home.path());
        command.env("ETDI_HOME", self.home.path().join("etdi"));
        command
    }

    fn at(&self, words: &[&str]) -> Command {
        self.command(&[words, &["--", &self.url]].concat())
    }

    /// Without a terminal: the code, standard output, standard error.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let output = self.at(words).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn json(&self, words: &[&str]) -> (i32, Value) {
        let (verb, rest) = words.split_first().unwrap();
        let (code, text, error) = self.run(&[&[*verb, "--json"], rest].concat());
        (code, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{error}")))
    }

    fn sits_at(&self, words: &[&str]) -> Terminal {
        Terminal::start(self.at(words))
    }
}

#[test]
fn a_form_is_filled_in_at_the_terminal_and_declined_without_one() {
    let user = User::new();
    let mut terminal = user.sits_at(&["call", "book", "date=Friday", "--yes"]);
    terminal.sees("| A table on Friday?");
    terminal.sees("fill it in? [y/N/c] ");
    terminal.types("y\n");
    terminal.sees("outside (boolean");
    terminal.types("yes\n");
    terminal.sees("persons (integer");
    terminal.types("many\n");
    terminal.sees("expected integer");
    terminal.types("4\n");
    terminal.sees("for 4, outside: true");
    assert!(terminal.ends().0.success());

    let mut terminal = user.sits_at(&["call", "book", "date=Friday", "--yes"]);
    terminal.sees("fill it in?");
    terminal.types("n\n");
    terminal.sees("declined");
    assert!(terminal.ends().0.success());

    let (code, said, error) = user.run(&["call", "book", "date=Friday", "--yes"]);
    assert_eq!((code, said.trim()), (0, "declined"), "{error}");
    assert!(error.contains("nobody sits at a terminal to answer, so it is declined"), "{error}");
}

#[test]
fn a_page_and_a_model_are_answered_at_the_terminal() {
    let user = User::new();
    let mut terminal = user.sits_at(&["call", "pay", "--yes"]);
    terminal.sees("the page is of ");
    terminal.sees("https://pay.example/x?id=1");
    terminal.sees("do you agree? [y/N/c] ");
    terminal.types("y\n");
    terminal.sees("\npaid");
    assert!(terminal.ends().0.success());
    assert_eq!(user.run(&["call", "pay", "--yes"]).1.trim(), "not paid");

    let mut terminal = user.sits_at(&["call", "sum_up", "text=a long story", "--yes"]);
    terminal.sees("| a long story");
    terminal.sees("> ");
    terminal.types("short\n.\n");
    terminal.sees("summary: short");
    assert!(terminal.ends().0.success());
    let (code, _, error) = user.run(&["call", "sum_up", "text=x", "--yes"]);
    assert!(code != 0 && error.contains("nobody sits at a terminal"), "{code}: {error}");
}

/// A server of an older revision, which asks in the middle of a call by a request of its own.
const OLDER: &str = r#"while read -r line; do
  id=$(printf %s "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
  case "$line" in
    *server/discover*) echo '{"jsonrpc":"2.0","id":'$id',"error":{"code":-32601,"message":"no"}}' ;;
    *'"initialize"'*) printf %s "$line" >hello
      echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}' ;;
    *tools/list*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"ask","inputSchema":{"type":"object"}}]}}' ;;
    *tools/call*) call=$id
      echo '{"jsonrpc":"2.0","id":77,"method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}}}' ;;
    *'"id":77'*) name=$(printf %s "$line" | sed 's/.*"name":"\([a-z]*\)".*/\1/')
      echo '{"jsonrpc":"2.0","id":'$call',"result":{"content":[{"type":"text","text":"hello '$name'"}]}}' ;;
  esac
done"#;

#[test]
fn an_older_server_asks_as_well() {
    let user = User::new();
    let words = ["call", "ask", "--yes", "--", "/bin/sh", "-c", OLDER];
    let mut terminal = Terminal::start(user.command(&words));
    terminal.sees("| Who?");
    terminal.sees("fill it in?");
    terminal.types("y\n");
    terminal.sees("name (string): ");
    terminal.types("ada\n");
    terminal.sees("hello ada");
    assert!(terminal.ends().0.success());
    let hello = std::fs::read_to_string(user.home.path().join("hello")).unwrap();
    assert!(hello.contains("elicitation") && hello.contains("sampling"), "{hello}");
}

#[test]
fn progress_shows_at_a_terminal_alone() {
    let user = User::new();
    let mut terminal = user.sits_at(&["call", "count", "to=5", "--yes"]);
    terminal.sees("% counting");
    terminal.sees("counted to 5");
    assert!(terminal.ends().0.success());
    let (code, said, error) = user.run(&["call", "count", "to=2", "words=a", "words=b", "--yes"]);
    assert_eq!((code, said.trim()), (0, "counted to 2 a+b"));
    assert!(!error.contains('%'), "{error}");
}

#[test]
fn results_of_every_kind() {
    let user = User::new();
    // A yes without a terminal is to the first use of the server alone.
    assert_eq!(user.json(&["approve", "--yes"]).0, 0);
    let (code, called) = user.json(&["call", "draw", "--yes", "--save", "out"]);
    assert_eq!((code, &called["data"]["saved"]), (0, &json!(["out/image-1.png"])), "{called}");
    assert_eq!(std::fs::read(user.home.path().join("out/image-1.png")).unwrap(), b"hi");
    let (_, said, _) = user.run(&["call", "draw", "--yes"]);
    assert!(said.contains("[image image/png, 2 bytes; `--save DIRECTORY` keeps it]"), "{said}");
    let (code, said, error) = user.run(&["call", "fail", "--yes"]);
    assert_eq!((code, said.trim()), (2, "no such table"));
    assert!(error.contains("the tool reported an error"), "{error}");
    let (code, said, _) = user.run(&["call", "print", "pages=3", "--yes"]);
    assert_eq!((code, said.trim()), (0, "printed 3 pages"), "a task is waited for");
}

#[test]
fn names_that_are_nearly_right() {
    let user = User::new();
    for (words, part) in [
        (&["call", "cuont", "to=1"][..], "did you mean `count`?"),
        (&["call", "count", "ot=1"], "`count` takes no argument `ot`"),
        (&["call", "count"], "`count` needs `to`: write `to=…`"),
        (&["call", "count", "to=x"], "`to` of `count` must be integer"),
        (&["get", "reviwe"], "did you mean `review`?"),
        (&["get", "review", "langauge=x"], "did you mean `language`?"),
        (&["get", "review"], "needs `language`"),
        (&["read", "menu://tody"], "did you mean `menu://today`?"),
    ] {
        let (code, refused) = user.json(words);
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(code == 1 && message.contains(part), "{words:?}: {code} {message}");
    }
}

#[test]
fn resources_prompts_and_completions() {
    let user = User::new();
    assert_eq!(user.run(&["read", "menu://today"]).1.trim(), "soup");
    let (code, read) = user.json(&["read", "dish://rice"]);
    assert_eq!(
        (code, &read["data"]["result"]["contents"][0]["text"]),
        (0, &json!("rice with salt"))
    );
    std::fs::write(user.home.path().join("style.txt"), "terse").unwrap();
    let (code, said, error) = user.run(&["get", "review", "language=rust", "style=@style.txt"]);
    assert_eq!((code, said.trim()), (0, "user:\nReview this rust in the style terse"), "{error}");
    let (code, found) = user.json(&["complete", "review", "language", "ru"]);
    assert_eq!((code, &found["data"]["values"]), (0, &json!(["rust", "ruby"])), "{found}");
    assert_eq!(user.run(&["complete", "review", "language", "c"]).1.trim(), "c");
}

#[test]
fn one_page_tells_what_there_is() {
    let user = User::new();
    let (code, page) = user.json(&["inspect"]);
    let page = &page["data"];
    assert_eq!((code, &page["version"]), (0, &json!("2026-07-28")), "{page}");
    let tools = page["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 8);
    let sum: u64 = tools.iter().map(|tool| tool["context_bytes"].as_u64().unwrap()).sum();
    assert_eq!(page["context_bytes"], sum);
    assert_eq!(page["context_tokens"], sum.div_ceil(4));
    assert!(
        tools
            .iter()
            .all(|tool| tool["schema_faults"] == json!([]) && tool["status"] == "NOT_APPROVED")
    );
    assert_eq!(page["resources"][0]["uri"], "menu://today");
    assert_eq!(page["resource_templates"][0]["uriTemplate"], "dish://{name}");
    assert_eq!(page["prompts"][0]["name"], "review");
    let (_, said, _) = user.run(&["inspect", "--schemas"]);
    for part in [
        r"| Be kind.\u{1b}[2K",
        "8 tools, about",
        "review language style?",
        "menu://today",
        "dish://{name}",
        "inputSchema",
        "not approved",
        "try:   etdi approve -- http://",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let last = said.trim().lines().last().unwrap();
    assert!(last.starts_with("try:"), "{last}");
}

#[test]
fn an_interrupted_call_is_cancelled_at_the_server() {
    let user = User::new();
    let mut terminal = user.sits_at(&["call", "wait", "--yes"]);
    terminal.sees("calling wait");
    std::thread::sleep(Duration::from_millis(300));
    terminal.interrupts();
    assert_eq!(terminal.ends().0.code(), Some(130));
    assert!(soon(|| CANCELLED.load(Ordering::SeqCst)), "the server goes on");
}

fn soon(holds: impl Fn() -> bool) -> bool {
    (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        holds()
    })
}

#[test]
fn a_session_is_written_down() {
    use std::io::Write as _;

    let user = User::new();
    let mut command = user.at(&["shell", "--yes"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = "call count to=2\n\nread menu://today\nget review language='a b'\ncall count to=x\n\
                 complete review language ru\ncal\nlist\ncall count '{\"to\":1}'\nexit\nread menu://today\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (said, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for part in ["counted to 2", "soup", "Review this a b", "rust\nruby", "counted to 1"] {
        assert!(said.contains(part), "{part}: {said}{error}");
    }
    assert_eq!(said.matches("soup").count(), 1, "nothing is done after `exit`");
    assert!(error.contains("must be integer") && error.contains("did you mean `call`?"), "{error}");
    assert_eq!(output.status.code(), Some(1), "the code of the first that failed");
}

#[test]
fn a_shell_completes_remembers_and_outlives_a_call() {
    let user = User::new();
    let mut terminal = user.sits_at(&["shell", "--yes"]);
    terminal.sees("etdi> ");
    // The tool, its argument, then the values that the server suggests.
    terminal.types("call cou\tt\t3\n");
    terminal.sees("counted to 3");
    terminal.sees("etdi> ");
    terminal.types("get review lan\trus\t\n");
    terminal.sees("Review this rust");
    terminal.sees("etdi> ");
    terminal.types("call wait\n");
    terminal.sees("calling wait");
    std::thread::sleep(Duration::from_millis(300));
    terminal.interrupts();
    terminal.sees("the call was cancelled");
    terminal.sees("etdi> ");
    // A question in the middle of a call, then the line that was typed before.
    terminal.types("call pay\n");
    terminal.sees("do you agree?");
    terminal.types("y\n");
    terminal.sees("paid");
    terminal.sees("etdi> ");
    terminal.types("\u{3}");
    terminal.sees("etdi> ");
    terminal.types("\u{4}");
    assert!(terminal.ends().0.success());
    let history = std::fs::read_to_string(user.home.path().join("etdi/shell/history")).unwrap();
    assert!(history.contains("call wait"), "{history}");
    let mode = {
        use std::os::unix::fs::PermissionsExt;
        let path = user.home.path().join("etdi/shell/history");
        std::fs::metadata(path).unwrap().permissions().mode() & 0o077
    };
    assert_eq!(mode, 0, "others do not read what was typed");
    let mut terminal = user.sits_at(&["shell", "--yes"]);
    terminal.sees("etdi> ");
    terminal.types("\u{1b}[A");
    terminal.sees("call pay");
}

/// What changes while a shell is open is told before the next prompt.
const CHANGING: &str = r#"while read -r line; do
  id=$(printf %s "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
  case "$line" in
    *server/discover*) echo '{"jsonrpc":"2.0","id":'$id',"error":{"code":-32601,"message":"no"}}' ;;
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}' ;;
    *tools/list*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"go","inputSchema":{"type":"object"}}]}}' ;;
    *tools/call*) echo '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
      echo '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"text","text":"gone"}]}}' ;;
  esac
done"#;

#[test]
fn a_change_is_told_between_two_lines() {
    let user = User::new();
    let words = ["shell", "--yes", "--", "/bin/sh", "-c", CHANGING];
    let mut terminal = Terminal::start(user.command(&words));
    terminal.sees("etdi> ");
    terminal.types("call go\n");
    terminal.sees("gone");
    terminal.sees("the list of tools changed");
    terminal.sees("etdi> ");
    terminal.types("exit\n");
    assert!(terminal.ends().0.success());
}

#[test]
fn arguments_come_from_files_and_standard_input() {
    use std::io::Write as _;

    let user = User::new();
    std::fs::write(user.home.path().join("all.json"), r#"{"to": 2, "words": ["x"]}"#).unwrap();
    assert_eq!(
        user.run(&["call", "count", "--yes", "--args", "@all.json"]).1.trim(),
        "counted to 2 x"
    );
    let mut command = user.at(&["call", "count", "--yes", "--args", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"to": 1}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("counted to 1"));
    let words = Arc::new("words:=[\"a\",\"b\"]".to_owned());
    assert_eq!(user.run(&["call", "count", "to:=1", &words, "--yes"]).1.trim(), "counted to 1 a+b");
}
