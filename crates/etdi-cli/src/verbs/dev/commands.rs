//! What the author asks for at the prompt while the server is developed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etdi::core::change::visible;
use mcp_client::Client;
use mcp_types::CallToolResult;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::inspector::Inspector;
use super::screen::{COMMANDS, Keyboard, Screen};
use super::status::{State, Status};
use super::swap::Swapping;
use crate::arguments::{from_pairs, nearest};
use crate::output::style;
use crate::shell::words;
use crate::talk::shown::Shown;

/// What the prompt acts on.
pub(super) struct Commands {
    pub(super) screen: Screen,
    pub(super) status: Status,
    pub(super) place: Swapping,
    /// Where clients reach the server.
    pub(super) url: String,
    /// Wakes whoever builds.
    pub(super) reload: Arc<Notify>,
    /// Whether values are shown with requests.
    pub(super) values: Arc<AtomicBool>,
    pub(super) inspector: Option<Inspector>,
}

impl Commands {
    /// Does what is typed, until nothing more is.
    pub(super) async fn serve(mut self, mut keyboard: Keyboard) {
        // A call that hangs holds up nobody, and ends with the command.
        let mut calls = JoinSet::new();
        while let Some(line) = keyboard.lines.recv().await {
            let words = match words::split(&line) {
                Ok(words) => words,
                Err(why) => {
                    self.wrong(&why);
                    continue;
                }
            };
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                [] => {}
                ["tools" | "t" | "list"] => self.tools(),
                ["call" | "c"] => self.wrong("write `call TOOL key=value`, `tools` names them"),
                ["call" | "c", tool, pairs @ ..] => self.call(tool, pairs, &mut calls),
                ["reload" | "r"] => self.reload.notify_one(),
                ["status" | "s"] => self.state(),
                ["values" | "v"] => {
                    let shown = !self.values.fetch_xor(true, Ordering::Relaxed);
                    let now = if shown { "are shown" } else { "are not shown" };
                    self.screen.line(&format!("values of requests and results {now}"));
                }
                ["inspector" | "i"] => self.inspect(),
                ["help" | "h" | "?"] => self.screen.line(HELP),
                [other, ..] => {
                    let hint = match nearest(other, COMMANDS.into_iter()) {
                        Some(near) => format!(", did you mean `{near}`?"),
                        None => ", `help` tells what there is".to_owned(),
                    };
                    self.wrong(&format!("there is no `{}`{hint}", visible(other)));
                }
            }
        }
    }

    fn wrong(&self, why: &str) {
        let bad = style::BAD;
        self.screen.line(&format!("{bad}error:{bad:#} {why}"));
    }

    fn tools(&self) {
        let tools = self.status.tools();
        if tools.is_empty() {
            self.screen.line("no tools");
        }
        for (name, tool) in tools {
            let text = |key| tool.get(key).and_then(Value::as_str).unwrap_or_default();
            let (bold, dim) = (style::BOLD, style::DIM);
            let arguments = self.status.arguments(&name).join(", ");
            let about = text("description").lines().next().unwrap_or_default();
            self.screen.line(&format!(
                "{bold}{}{bold:#}({})  {dim}{}{dim:#}",
                visible(&name),
                visible(&arguments),
                visible(about)
            ));
        }
    }

    fn state(&self) {
        let (state, starts, requests) = self.status.now();
        let state = match state {
            State::Starting => "being built or started".to_owned(),
            State::Serving => "serving".to_owned(),
            State::Broken(why, true) => format!("serving as it was before: {why}"),
            State::Broken(why, false) => format!("not serving: {why}"),
        };
        let reloads = starts.saturating_sub(1);
        self.screen.line(&format!(
            "{state}, at {}; {} tools, {requests} requests, {reloads} reloads",
            self.url,
            self.status.tools().len()
        ));
    }

    fn call(&self, tool: &str, pairs: &[&str], calls: &mut JoinSet<()>) {
        let Some(schema) = self.status.schema(tool) else {
            let tools = self.status.tools();
            let names = tools.iter().map(|(name, _)| name.as_str());
            let hint = match nearest(tool, names) {
                Some(near) => format!(", did you mean `{}`?", visible(near)),
                None => String::new(),
            };
            return self.wrong(&format!("there is no tool `{}`{hint}", visible(tool)));
        };
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        let given = match from_pairs(&pairs, &schema, tool, "tools") {
            Ok(given) => given,
            Err(failure) => return self.wrong(&failure.message),
        };
        let (client, tool) = (Client::new(self.place.clone()), tool.to_owned());
        let screen = self.screen.clone();
        calls.spawn(async move {
            let (bad, good) = (style::BAD, style::GOOD);
            let name = visible(&tool).into_owned();
            match client.call_tool(&tool, &given).await {
                Ok(result) => {
                    let style = if result.is_error == Some(true) { bad } else { good };
                    screen.line(&format!("{style}{name}{style:#} {}", text(&result)));
                }
                Err(error) => {
                    let error = error.to_string();
                    screen.line(&format!("{bad}{name}{bad:#} {}", visible(&error)));
                }
            }
        });
        while calls.try_join_next().is_some() {}
    }

    fn inspect(&mut self) {
        match Inspector::start(&self.url, &self.screen) {
            Ok(inspector) => self.inspector = Some(inspector),
            Err(failure) => self.wrong(&failure.message),
        }
    }
}

/// A result as text; what is none is named.
fn text(result: &CallToolResult) -> String {
    let mut shown = Shown::new(None);
    for block in &result.content {
        // Nothing is saved, so that nothing fails.
        let _ = shown.block(block);
    }
    shown.finish().0
}

const HELP: &str = "\
tools                     the tools that are offered now
call TOOL key=value       calls one
reload                    builds and starts it anew
status                    how far it is, and where clients reach it
values                    shows values with requests, or shows them no more
inspector                 starts the official Inspector, which needs Node
quit                      ends it, as Ctrl-D does";
