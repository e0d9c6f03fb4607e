//! Several servers and the file that names them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::client::{Client, Speaks, World, shown};

/// Servers by their names; the first one's world has the home of `etdi` and the file.
pub(crate) struct Yard {
    pub(crate) servers: Vec<(&'static str, World)>,
}

impl Yard {
    /// `one` and `two`, which speak these.
    pub(crate) fn of(one: Speaks, two: Speaks) -> Self {
        Self { servers: vec![("one", World::new(one)), ("two", World::new(two))] }
    }

    pub(crate) fn world(&self, name: &str) -> &World {
        let found = self.servers.iter().find(|(known, _)| *known == name);
        found.map(|(_, world)| world).unwrap()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.servers[0].1.home.path().join("servers.json")
    }

    /// The entry of a server, with what its guard is told.
    pub(crate) fn entry(&self, name: &str, etdi: &Value) -> Value {
        let [command, args @ ..] = self.world(name).command();
        json!({"command": command, "args": args, "etdi": etdi})
    }

    /// Writes the file: all servers with the same options, and what stands beside them.
    pub(crate) fn write(&self, etdi: &Value, gateway: &Value) {
        let servers = self.servers.iter().map(|(name, _)| (*name, self.entry(name, etdi)));
        let servers: serde_json::Map<_, _> =
            servers.map(|(name, entry)| (name.to_owned(), entry)).collect();
        self.write_text(&json!({"mcpServers": servers, "gateway": gateway}).to_string());
    }

    pub(crate) fn write_text(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.servers[0].1.plain(words)
    }

    /// The gateway with these options over the file.
    pub(crate) fn gateway(&self, options: &[&str]) -> Command {
        let file = self.file();
        let words: Vec<&str> = ["gateway", shown(&file)].iter().chain(options).copied().collect();
        self.command(&words)
    }

    /// What it prints when it is not to serve.
    pub(crate) fn output(&self, options: &[&str]) -> Output {
        self.gateway(options).stdin(Stdio::null()).output().unwrap()
    }

    /// A client before the gateway over standard streams.
    pub(crate) fn client(&self, speaks: Speaks, capabilities: Value) -> Client {
        Client::open(self.gateway(&["--trust-first-use"]), speaks, capabilities)
    }

    /// Runs another verb about one of the servers.
    pub(crate) fn run(&self, words: &[&str], name: &str) -> String {
        let target = format!("{}:{name}", self.file().display());
        let words: Vec<&str> = words.iter().chain(&["--", &target]).copied().collect();
        let output = self.command(&words).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {text}");
        text
    }
}
