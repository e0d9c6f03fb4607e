//! `etdi dev`: the server changes, its client stays connected.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mcp_client::{Change, Client};
use mcp_transport::http::connect_http;
use mcp_types::{Implementation, SubscriptionFilter};
use serde_json::{Value, json};

use super::Author;

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server that wants a handshake, whose one tool is named when it starts.
const SERVER: &str = r#"name=$(cat name)
while read -r line; do
  id=$(printf %s "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
  case "$line" in
    *server/discover*) echo '{"jsonrpc":"2.0","id":'$id',"error":{"code":-32601,"message":"no"}}' ;;
    *'"initialize"'*) printf %s "$line" > hello; echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}' ;;
    *tools/list*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"tools":[{"name":"'$name'","inputSchema":{"type":"object"}}]}}' ;;
  esac
done"#;

/// A client of the revisions with a handshake, over the standard streams of a command.
pub(crate) struct Spoken {
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    said: Receiver<String>,
    last: u64,
}

impl Spoken {
    pub(crate) fn new(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = tell.send(serde_json::from_str(&line).unwrap());
            }
        });
        let (tell, said) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let input = child.stdin.take().unwrap();
        let mut spoken = Self { child, input, lines, said, last: 0 };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": { "sampling": {} },
            "clientInfo": { "name": "an author's client", "version": "1" },
        });
        let found = spoken.ask("initialize", hello);
        assert!(found["result"]["capabilities"]["tools"].is_object(), "{found}");
        spoken.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        spoken
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
    }

    /// The next message, which is a notification with this method, or an answer.
    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("nothing came")
    }

    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let id = self.last;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.next();
            if message["id"] == id {
                return message;
            }
        }
    }

    pub(crate) fn tools(&mut self) -> Vec<String> {
        let listed = self.ask("tools/list", json!({}));
        let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Calls a tool; gives whether that failed, and the text of the result.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> (bool, String) {
        let called = self.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        let result = &called["result"];
        let text = result["content"][0]["text"].as_str();
        let text = text.unwrap_or_else(|| panic!("{called}"));
        (result["isError"] == true, text.to_owned())
    }

    /// Waits until it is told that the tools have changed.
    pub(crate) fn changed(&self) {
        while self.next()["method"] != "notifications/tools/list_changed" {}
    }

    /// Waits for a line on standard error, and gives all until then.
    pub(crate) fn says(&self, wanted: &str) -> String {
        let mut all = String::new();
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("`{wanted}` was not said:\n{all}"));
            all.push_str(&line);
            all.push('\n');
            if line.contains(wanted) {
                return all;
            }
        }
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_client_stays_while_the_server_is_replaced() {
    let author = Author::new();
    author.write("server.sh", SERVER);
    author.write("name", "one");
    let words = ["dev", "--watch", "server.sh", "--watch", "name", "--", "/bin/sh", "server.sh"];
    let mut client = Spoken::new(&mut author.command(&words));
    assert_eq!(client.tools(), ["one"]);
    author.write("name", "another");
    // Which `tools` of its answer to the handshake said that it tells.
    client.changed();
    assert_eq!(client.tools(), ["another"]);
    // The new one saw the client that it has, and not a stranger that can do nothing.
    let hello: Value = serde_json::from_str(&author.read("hello")).unwrap();
    assert_eq!(hello["params"]["clientInfo"]["name"], "an author's client");
    assert_eq!(hello["params"]["capabilities"]["sampling"], json!({}));
    let said = client.says("tool `another`: added");
    assert!(said.contains("tools/list  answered") && said.contains("name changed"), "{said}");

    // One that does not start leaves the other in its place.
    author.write("server.sh", "echo broken >&2; exit 1");
    let said = client.says("the one before serves on");
    assert!(said.contains("server: broken"), "{said}");
    assert_eq!(client.tools(), ["another"]);
    author.write("name", "third");
    author.write("server.sh", SERVER);
    client.changed();
    assert_eq!(client.tools(), ["third"]);
}

#[test]
fn who_listens_over_http_hears_of_the_next_server() {
    let author = Author::new();
    author.write("server.sh", SERVER);
    author.write("name", "one");
    let words = ["dev", "--http", "--port", "0", "--watch", "name", "--", "/bin/sh", "server.sh"];
    let serving = author.serving(&words);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let us = Implementation::new("test", "1");
        let client = Client::new(connect_http(&serving.url, us).unwrap());
        assert_eq!(client.all_tools().await.unwrap()[0].name, "one");
        let mut filter = SubscriptionFilter::new();
        filter.tools_list_changed = Some(true);
        let mut changes = client.subscribe(filter);
        let opened = changes.next_change().await.unwrap();
        assert!(matches!(opened, Some(Change::Opened { .. })), "{opened:?}");
        author.write("name", "another");
        let changed = tokio::time::timeout(PATIENCE, changes.next_change()).await.unwrap();
        assert_eq!(changed.unwrap(), Some(Change::Tools));
        assert_eq!(client.all_tools().await.unwrap()[0].name, "another");
    });
    assert_eq!(serving.end(), Some(143));
}

#[test]
fn without_a_package_or_a_command_there_is_nothing_to_develop() {
    let author = Author::new();
    let (exit, refused) = author.json(&["dev"]);
    assert_eq!((exit, &refused["error"]["code"]), (1, &json!("usage")));
}
