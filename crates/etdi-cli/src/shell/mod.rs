//! `etdi shell`: one session, line by line.
//!
//! On a terminal lines are edited, completed from what the server lists, and remembered; otherwise
//! they are read as they come, so that a session can be written down. A signal at the keyboard ends
//! the call, not the shell. What the server says between two lines is shown before the next prompt.

mod complete;
mod known;
mod line;
pub mod words;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use etdi::core::change::visible;
use etdi::core::layer::AskWhen;
use futures_core::Stream as _;
use mcp_client::{Change, Subscription};
use mcp_types::{ServerNotification, SubscriptionFilter};

use crate::args::ShellArguments;
use crate::ask::{Asker, Grants, is_asking};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report, style};
use crate::signals::interruptible;
use crate::talk::Talk;
use crate::talk::answers::Answers;
use crate::unattended;
use crate::verbs::call::Given;
use crate::verbs::target::{Opening, block_on, unlisted};
use crate::verbs::{call, complete as completed, get, inspect, list, read};

use self::known::Known;
use self::line::{Lines, Typed};

/// What the server said since the last prompt; the oldest is forgotten first.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<VecDeque<String>>>);

/// How many remarks wait for the next prompt.
const MOST_HEARD: usize = 50;

impl Heard {
    fn note(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MOST_HEARD {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn take(&self) -> VecDeque<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs the shell.
///
/// # Errors
///
/// When the server cannot be used, or the terminal. A command that fails is told and ends nothing;
/// where nobody sits, the exit code is that of the first that failed.
pub fn run(arguments: &ShellArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let target = &arguments.target;
    let asker = match (arguments.yes, output.can_ask()) {
        (true, _) => Asker::Yes,
        (false, true) => Asker::Terminal,
        (false, false) => Asker::Nobody,
    };
    let ask = if asker == Asker::Nobody { AskWhen::Never } else { AskWhen::Called };
    let history = history(home)?;
    let grants = Grants { unattended: unattended::here(home, output), ..Grants::all(asker) };
    block_on(async {
        let opening =
            Opening::to_use((target, home, output), grants.knowing(home).await?, ask, None);
        let heard = Heard::default();
        let known = Known::default();
        let (notes, stale) = (heard.clone(), known.clone());
        let told = Arc::new(move |notification| hear(&notification, &notes, &stale));
        let answers = Answers::at_terminal(output);
        let talk = Talk::open(opening, answers, Some(told), arguments.save.clone()).await?;
        let mut shell = Shell { talk: Arc::new(talk), known, heard, worst: Exit::Done };
        let result = shell.serve(output, history).await;
        let Shell { talk, known, worst, .. } = shell;
        // What completes holds the session as well.
        known.forget();
        match Arc::try_unwrap(talk) {
            Ok(talk) => talk.close().await,
            Err(talk) => talk.session.clone().close().await,
        }
        result?;
        let exit = if output.can_ask() { Exit::Done } else { worst };
        Ok(Report::new(serde_json::json!({ "exit": worst.code() }), String::new()).ending(exit))
    })
}

/// Where lines are remembered. It lies in the home, open to its owner.
fn history(home: &Home) -> Result<PathBuf, Failure> {
    Ok(home.directory("shell")?.join("history"))
}

/// Notes what the server says outside of any request.
fn hear(notification: &ServerNotification, heard: &Heard, known: &Known) {
    let line = match notification {
        ServerNotification::ToolListChanged(_) => "the list of tools changed".to_owned(),
        ServerNotification::PromptListChanged(_) => "the list of prompts changed".to_owned(),
        ServerNotification::ResourceListChanged(_) => "the list of resources changed".to_owned(),
        ServerNotification::ResourceUpdated(updated) => {
            format!("the resource `{}` changed", visible(&updated.uri))
        }
        ServerNotification::Message(message) => {
            let text: String = message.data.get().chars().take(200).collect();
            format!("the server says: {}", visible(&text))
        }
        _ => return,
    };
    known.outdate();
    heard.note(line);
}

struct Shell {
    talk: Arc<Talk>,
    known: Known,
    heard: Heard,
    worst: Exit,
}

impl Shell {
    async fn serve(&mut self, output: Output, history: PathBuf) -> Result<(), Failure> {
        self.known.learn(&self.talk).await;
        let mut lines = Lines::open(output, history, self.known.clone(), self.talk.clone())?;
        if lines.is_edited() {
            let about = self.talk.session.about().server_info();
            let name = about.map_or_else(|| "the server".to_owned(), |info| info.name.to_string());
            let (bold, dim) = (style::BOLD, style::DIM);
            output.line(&format!(
                "{bold}{}{bold:#} {dim}tab completes, `help` tells what there is, `exit` ends{dim:#}",
                visible(&name)
            ));
        }
        let mut changes = self.subscribe();
        loop {
            for line in self.heard.take() {
                output.warn(&line);
            }
            if self.known.is_outdated() {
                self.known.learn(&self.talk).await;
            }
            let (typed, back) = self.next_line(lines, &mut changes).await?;
            lines = back;
            let text = match typed {
                Typed::Line(text) => text,
                Typed::Interrupted => continue,
                Typed::End => break,
            };
            let words = match words::split(&text) {
                Ok(words) => words,
                Err(why) => {
                    self.told(output, "shell", Err(Failure::usage(why, "help")));
                    continue;
                }
            };
            let Some((verb, rest)) = words.split_first() else { continue };
            if matches!(verb.as_str(), "exit" | "quit") {
                break;
            }
            let done = interruptible(self.command(verb, rest)).await;
            let done = done.unwrap_or_else(|_| {
                let failure = Failure::usage("the call was cancelled", "help");
                Err(failure.with_code("CANCELLED"))
            });
            self.told(output, verb, done);
            if is_asking() {
                // Whoever reads the keyboard for a question that is over has to get a line first.
                output.warn("press Enter to go on");
                while is_asking() {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
        lines.close();
        Ok(())
    }

    /// The next line, while the changes of the server are heard.
    async fn next_line<S: mcp_types::ExchangeService>(
        &self,
        lines: Lines,
        changes: &mut Option<Subscription<S>>,
    ) -> Result<(Typed, Lines), Failure> {
        let mut reading = std::pin::pin!(lines.next());
        std::future::poll_fn(|cx| {
            while let Some(stream) = changes {
                match std::pin::Pin::new(stream).poll_next(cx) {
                    std::task::Poll::Ready(Some(Ok(change))) => self.changed(&change),
                    std::task::Poll::Ready(_) => *changes = None,
                    std::task::Poll::Pending => break,
                }
            }
            reading.as_mut().poll(cx)
        })
        .await
    }

    fn changed(&self, change: &Change) {
        let line = match change {
            Change::Tools => "the list of tools changed".to_owned(),
            Change::Prompts => "the list of prompts changed".to_owned(),
            Change::Resources => "the list of resources changed".to_owned(),
            Change::Resource(uri) => format!("the resource `{}` changed", visible(uri)),
            _ => return,
        };
        self.known.outdate();
        self.heard.note(line);
    }

    /// Subscribes to what the server can tell of; the subscription is driven at the prompt.
    fn subscribe(&self) -> Option<Subscription<etdi::core::layer::VerifyService<etdi::Reached>>> {
        let can = &self.talk.session.about().capabilities;
        let mut filter = SubscriptionFilter::new();
        let tells = |changes: Option<bool>| (changes == Some(true)).then_some(true);
        filter.tools_list_changed = can.tools.as_ref().and_then(|one| tells(one.list_changed));
        filter.prompts_list_changed = can.prompts.as_ref().and_then(|one| tells(one.list_changed));
        filter.resources_list_changed =
            can.resources.as_ref().and_then(|one| tells(one.list_changed));
        let any = filter.tools_list_changed.is_some()
            || filter.prompts_list_changed.is_some()
            || filter.resources_list_changed.is_some();
        any.then(|| self.talk.session.client().subscribe(filter))
    }

    /// Prints what came of a command.
    fn told(&mut self, output: Output, verb: &str, done: Result<Report, Failure>) {
        let exit = match &done {
            Ok(report) => report.exit,
            Err(failure) => failure.exit,
        };
        if self.worst == Exit::Done {
            self.worst = exit;
        }
        output.finish(verb, done);
    }

    async fn command(&self, verb: &str, words: &[String]) -> Result<Report, Failure> {
        let talk = &*self.talk;
        let usage = |text: &str| Failure::usage(format!("write `{text}`"), "help");
        match (verb, words) {
            ("help" | "?", _) => Ok(Report::new(serde_json::json!({ "help": HELP }), HELP)),
            ("list", _) => {
                let fail = |error| unlisted(&error, &talk.target);
                let reviews = talk.session.discover_tools().await.map_err(fail)?;
                let server = talk.session.peer().identity.to_string();
                Ok(list::report(&reviews, &server, &talk.target))
            }
            ("call", [tool, pairs @ ..]) => match pairs {
                [json] if json.starts_with('{') => {
                    let value = serde_json::from_str(json).map_err(|error| {
                        Failure::usage(format!("the arguments are no JSON: {error}"), "help")
                    })?;
                    call::over(talk, tool, Given::Whole(value)).await
                }
                pairs => call::over(talk, tool, Given::Pairs(pairs)).await,
            },
            ("call", []) => Err(usage("call TOOL key=value")),
            ("read", [uri]) => read::over(talk, uri).await,
            ("read", _) => Err(usage("read URI")),
            ("get", [prompt, pairs @ ..]) => get::over(talk, prompt, pairs).await,
            ("get", []) => Err(usage("get PROMPT key=value")),
            ("complete", [name, argument]) => completed::over(talk, name, argument, "", &[]).await,
            ("complete", [name, argument, typed, known @ ..]) => {
                completed::over(talk, name, argument, typed, known).await
            }
            ("complete", _) => Err(usage("complete PROMPT ARGUMENT TYPED")),
            ("inspect", _) => {
                let schemas = words.iter().any(|word| word == "--schemas");
                inspect::over(talk, None, schemas).await
            }
            (verb, _) => {
                let verbs = line::VERBS.into_iter();
                let hint = match crate::arguments::nearest(verb, verbs) {
                    Some(near) => format!(", did you mean `{near}`?"),
                    None => String::new(),
                };
                let message = format!("there is no command `{}`{hint}", visible(verb));
                Err(Failure::usage(message, "help"))
            }
        }
    }
}

const HELP: &str = "\
list                             the tools, their signatures and approvals
call TOOL key=value              calls one; `key=@FILE` takes a file, `key:=JSON` is JSON
read URI                         reads a resource
get PROMPT key=value             gets the messages of a prompt
complete NAME ARGUMENT TYPED     what the server suggests for an argument
inspect [--schemas]              all of it on one page
exit                             ends the session, as the end of the input does";
