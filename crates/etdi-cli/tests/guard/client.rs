//! The client before the guard: it writes its own messages, in either era, and keeps what comes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::SERVE;

/// Which kind of revision is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Legacy,
    Modern,
}

pub(crate) const BOTH: [Speaks; 2] = [Speaks::Legacy, Speaks::Modern];

impl Speaks {
    fn word(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// A folder for a server and one for `etdi`, which outlive their guards.
pub(crate) struct World {
    pub(crate) home: TempDir,
    pub(crate) place: TempDir,
    pub(crate) server: Speaks,
}

impl World {
    pub(crate) fn new(server: Speaks) -> Self {
        let folder = || tempfile::tempdir().unwrap();
        Self { home: folder(), place: folder(), server }
    }

    fn etdi(&self, words: &[&str]) -> Command {
        let mut command = self.plain(words);
        command.arg("--").args(self.command());
        command
    }

    /// Lets an option override an alarm without a terminal, as a person would beforehand.
    pub(crate) fn allow(&self) {
        let folder = self.home.path();
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("unattended.json"), r#"{"approve":"everything"}"#).unwrap();
    }

    /// The command with these words alone, in the home of this world.
    pub(crate) fn plain(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etdi"));
        command.args(words);
        let variables = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("ETDI_")
        });
        variables.for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.env("ETDI_HOME", self.home.path());
        let settings = self.place.path().join("settings.json");
        if settings.exists() {
            command.env("ETDI_CONFIG_PATH", settings);
        }
        command
    }

    pub(crate) fn command(&self) -> [String; 4] {
        let ourselves = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let place = self.place.path().to_str().unwrap().to_owned();
        [ourselves, SERVE.to_owned(), self.server.word().to_owned(), place]
    }

    /// Runs another verb of `etdi` about the same server.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.etdi(words).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {text}");
        text
    }

    pub(crate) fn describe(&self, text: &str) {
        fs::write(self.place.path().join("description"), text).unwrap();
    }

    /// What the server noted in a file of its folder, line by line.
    pub(crate) fn noted(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.place.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the server has noted a line that `is` accepts.
    pub(crate) fn wait(&self, file: &str, is: impl Fn(&str) -> bool) -> String {
        until(&format!("{file} of the server"), || {
            self.noted(file).into_iter().find(|line| is(line))
        })
    }

    /// A client before a guard with these options, which has opened its connection.
    pub(crate) fn client(&self, speaks: Speaks, capabilities: Value, options: &[&str]) -> Client {
        let words: Vec<&str> = ["guard"].iter().chain(options).copied().collect();
        Client::open(self.etdi(&words), speaks, capabilities)
    }

    /// A client before the server itself.
    pub(crate) fn direct(&self, capabilities: Value) -> Client {
        let [program, words @ ..] = self.command();
        let mut command = Command::new(program);
        command.args(words);
        Client::open(command, self.server, capabilities)
    }
}

/// Waits for what comes soon.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// For a machine that is busy; nothing waits so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    speaks: Speaks,
    capabilities: Value,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    last: u64,
    /// What the server told beside answers, and what it asked.
    pub(crate) heard: Vec<Value>,
    /// What is answered to the server's questions: the method, and the members of the answer.
    pub(crate) answers: Vec<(&'static str, Value)>,
}

pub(crate) fn everything() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {"listChanged": true}})
}

impl Client {
    pub(crate) fn open(mut command: Command, speaks: Speaks, capabilities: Value) -> Self {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        let input = child.stdin.take();
        let accept = json!({"result": {"action": "accept", "content": {}}});
        let sampled = json!({"result": {"role": "assistant", "model": "m",
            "content": {"type": "text", "text": "sampled"}}});
        let answers = vec![
            ("elicitation/create", accept),
            ("sampling/createMessage", sampled),
            ("roots/list", json!({"result": {"roots": [{"uri": "file:///work"}]}})),
        ];
        let (heard, errors) = (Vec::new(), Some(errors));
        let mut client =
            Self { speaks, capabilities, child, input, lines, errors, last: 0, heard, answers };
        if speaks == Speaks::Legacy {
            let capabilities = client.capabilities.clone();
            let info = json!({"name": "c", "version": "1"});
            let params = json!({"protocolVersion": "2025-06-18", "capabilities": capabilities,
                "clientInfo": info});
            let opened = client.request("initialize", params);
            assert_eq!(opened["result"]["protocolVersion"], "2025-06-18", "{opened}");
            client.notify("notifications/initialized", json!({}));
        }
        client
    }

    pub(crate) fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Sends a request and gives its id.
    pub(crate) fn start(&mut self, method: &str, mut params: Value) -> u64 {
        self.last += 1;
        if self.speaks == Speaks::Modern {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
                self.capabilities.clone();
            params["_meta"]["io.modelcontextprotocol/clientInfo"] =
                json!({"name": "c", "version": "1"});
        }
        let id = self.last;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// The next line that came.
    pub(crate) fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// The line with the answer to a request; questions of the server meanwhile are answered.
    pub(crate) fn answer_line(&mut self, id: u64) -> String {
        loop {
            let line = self.line();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id && message.get("method").is_none() {
                return line;
            }
            self.take(message);
        }
    }

    fn take(&mut self, message: Value) {
        if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
            let answer = self.reply(method, &message["params"]);
            let mut said = json!({"jsonrpc": "2.0", "id": id});
            said.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
            self.send(&said);
        }
        self.heard.push(message);
    }

    fn reply(&self, method: &str, params: &Value) -> Value {
        let _ = params;
        let known = self.answers.iter().rev().find(|(name, _)| *name == method);
        let unknown = || json!({"error": {"code": -32601, "message": "unknown here"}});
        known.map_or_else(unknown, |(_, answer)| answer.clone())
    }

    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.start(method, params);
        serde_json::from_str(&self.answer_line(id)).unwrap()
    }

    /// Calls a tool, answers what it asks in the way of the revision, and gives the line of the result.
    pub(crate) fn call_line(&mut self, tool: &str) -> String {
        let mut params = json!({"name": tool, "arguments": {}});
        loop {
            let id = self.start("tools/call", params.clone());
            let line = self.answer_line(id);
            let message: Value = serde_json::from_str(&line).unwrap();
            let result = &message["result"];
            if result["resultType"] != "input_required" {
                return line;
            }
            params["requestState"] = result["requestState"].clone();
            for (key, question) in result["inputRequests"].as_object().unwrap() {
                let answer = self.reply(question["method"].as_str().unwrap(), &question["params"]);
                params["inputResponses"][key] = answer["result"].clone();
                self.heard.push(question.clone());
            }
        }
    }

    pub(crate) fn call(&mut self, tool: &str) -> Value {
        serde_json::from_str(&self.call_line(tool)).unwrap()
    }

    pub(crate) fn tools(&mut self) -> Vec<String> {
        let listed = self.request("tools/list", json!({}));
        let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for something that the server says or asks, and answers what it asks.
    pub(crate) fn hear(&mut self, method: &str) -> Value {
        loop {
            if let Some(at) = self.heard.iter().position(|one| one["method"] == method) {
                return self.heard.remove(at);
            }
            let line = self.line();
            self.take(serde_json::from_str(&line).unwrap());
        }
    }

    /// Ends the connection; gives what the guard said on standard error.
    pub(crate) fn end(mut self) -> String {
        drop(self.input.take());
        self.child.wait().unwrap();
        self.errors.take().unwrap().join().unwrap()
    }

    /// Waits until the guard has ended by itself.
    pub(crate) fn wait(&mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path as a text.
pub(crate) fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
