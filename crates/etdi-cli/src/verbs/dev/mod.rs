//! `etdi dev`: a server that is built, run and watched, and replaced while its clients stay.
//!
//! The client's connection ends here. Behind it the server is started anew whenever a file changes;
//! one that does not build, or does not answer, does not take the place of the one that serves. At a
//! terminal clients come over HTTP, and the author has a prompt below what they ask.

mod build;
mod commands;
mod inspector;
mod screen;
mod status;
pub mod swap;
pub mod watch;

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use etdi::core::change::visible;
use mcp_client::Client;
use mcp_types::{ClientRequest, Exchange, RequestParams};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use self::commands::Commands;
use self::inspector::Inspector;
use self::screen::Screen;
use self::status::{State, Status};
use self::swap::{Asked, Swapping};
use self::watch::{Look, Restless};
use crate::args::{DevArguments, ListenArguments, Transport};
use crate::exit::Failure;
use crate::output::{Output, Report};
use crate::signals::servers_end;
use crate::targets::cargo::Wanted;
use crate::targets::nothing_built;
use crate::verbs::diff::{judge, offer::Offer, shown};
use crate::verbs::run::{self, Bound};
use crate::verbs::target::{block_on, shown_path, url};
use crate::verbs::upstream::{Upstream, Way};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(300);

/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a server has to have lived so that it is started again when it ends by itself.
const LIVED: Duration = Duration::from_secs(2);

/// Serves until the client goes away, or until Ctrl-C.
///
/// # Errors
///
/// When there is neither a cargo package nor a command, or nothing can be served.
pub fn run(arguments: &DevArguments, output: Output) -> Result<Report, Failure> {
    let server = server(arguments)?;
    let status = Status::default();
    let values = Arc::new(AtomicBool::new(false));
    block_on(async {
        let opened = match arguments.no_ui {
            true => None,
            false => screen::open(output, &status)?,
        };
        let (screen, keyboard) = opened.unzip();
        let screen = screen.unwrap_or_default();
        let (seen, counted, shows) = (screen.clone(), status.clone(), values.clone());
        let quiet = arguments.quiet;
        let place = Swapping::new(move |asked: &Asked| {
            counted.asked();
            if !quiet {
                seen.say(&asked.line(shows.load(Ordering::Relaxed)));
            }
        });
        let reload = Arc::new(Notify::new());
        let developed = Developed {
            arguments,
            server,
            place: place.clone(),
            output,
            screen: screen.clone(),
            status: status.clone(),
            reload: reload.clone(),
        };
        let stdio = keyboard.is_none() && !arguments.http && !arguments.inspector;
        let bound = match stdio {
            true => None,
            false => Some(bind(arguments, keyboard.is_some(), output).await?),
        };
        let url = bound.as_ref().map(|bound| bound.url.clone()).unwrap_or_default();
        if let Some(bound) = &bound {
            match keyboard.is_some() {
                true => screen.line(&format!(
                    "serving at {url}; `help` tells what can be typed, `quit` ends it"
                )),
                false => _ = output.finish("dev", Ok(bound.report())),
            }
        }
        let inspector = match arguments.inspector {
            true => Some(Inspector::start(&url, &screen)?),
            false => None,
        };
        let listen = ListenArguments::local(0);
        let serving = async {
            match bound {
                None => run::stdio(place.clone(), None).await,
                Some(bound) => run::serve(place.clone(), Transport::Http, &listen, bound).await,
            }
        };
        let (said, known) = (screen.clone(), status.clone());
        let place = place.clone();
        let commands =
            Commands { screen: said, status: known, place, url, reload, values, inspector };
        let commanding = async {
            match keyboard {
                Some(keyboard) => commands.serve(keyboard).await,
                // What was started stays where nobody can type.
                None => {
                    let _commands = commands;
                    std::future::pending().await
                }
            }
        };
        let served = {
            let (mut serving, mut developing) = (pin!(serving), pin!(developed.develop()));
            let mut commanding = pin!(commanding);
            poll_fn(|cx| {
                if let Poll::Ready(served) = serving.as_mut().poll(cx) {
                    return Poll::Ready(served);
                }
                if commanding.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                developing.as_mut().poll(cx).map(Ok)
            })
            .await
        };
        // The server of a dropped connection ends as that of a closed one does.
        servers_end().await;
        served.map(|()| Report::new(json!({}), ""))
    })
}

/// Takes a port: the one that is named, or, where a person reads which it is, any if the usual one is
/// taken.
async fn bind(arguments: &DevArguments, is_read: bool, output: Output) -> Result<Bound, Failure> {
    let listen = ListenArguments::local(arguments.port.unwrap_or(USUAL_PORT));
    match Bound::at(&listen, Transport::Http, "dev", output).await {
        Err(_) if arguments.port.is_none() && is_read => {
            Bound::at(&ListenArguments::local(0), Transport::Http, "dev", output).await
        }
        bound => bound,
    }
}

/// Where clients find a server that says nothing else.
const USUAL_PORT: u16 = 8000;

/// What is developed.
enum Server {
    Package(Wanted),
    Command(Vec<String>),
}

fn server(arguments: &DevArguments) -> Result<Server, Failure> {
    let no_package = |message: String| Failure::usage(message, "etdi dev --help");
    let command = match (&arguments.place, arguments.command.as_slice()) {
        (_, [_, ..]) => arguments.command.clone(),
        (Some(word), []) => match Wanted::read(word)? {
            Some(wanted) => return Ok(Server::Package(picked(wanted, arguments))),
            None => vec![word.clone()],
        },
        (None, []) => {
            let folder = arguments.package.as_deref().unwrap_or(Path::new("."));
            if !folder.join("Cargo.toml").is_file() {
                return Err(no_package(format!(
                    "there is no cargo package in {}, and no command after `--`",
                    shown_path(folder)
                )));
            }
            return Ok(Server::Package(picked(Wanted::folder(folder), arguments)));
        }
    };
    let first = command.first().map(String::as_str).unwrap_or_default();
    nothing_built(first, &arguments.build)?;
    if command.len() == 1 && url(&command)?.is_some() {
        return Err(no_package(format!(
            "`{}` is a server that runs elsewhere: what is developed is built or started here",
            visible(first)
        )));
    }
    Ok(Server::Command(command))
}

fn picked(wanted: Wanted, arguments: &DevArguments) -> Wanted {
    wanted.only(arguments.bin.as_deref(), arguments.example.as_deref())
}

struct Developed<'a> {
    arguments: &'a DevArguments,
    server: Server,
    place: Swapping,
    output: Output,
    screen: Screen,
    status: Status,
    /// The author wants the server built and started anew.
    reload: Arc<Notify>,
}

/// A server that runs, what it offers, and since when.
struct Current {
    upstream: Upstream,
    offer: Option<Offer>,
    since: Instant,
}

/// Why the next server is started.
enum Cause {
    Changed(PathBuf),
    Asked,
    Ended,
}

impl Developed<'_> {
    /// Starts one server after the other, for ever.
    async fn develop(&self) {
        let places: Arc<[PathBuf]> = self.places().into();
        let mut seen = (look(&places).await, Restless::default());
        let mut current = self.next(None).await;
        loop {
            let asked = self.reload.notified();
            let cause = self.cause(&places, &mut seen, current.as_ref());
            let cause = run::unless_ended(cause, asked).await.unwrap_or(Cause::Asked);
            match cause {
                Cause::Changed(path) => self.say(&format!("{} changed", shown_path(&path))),
                Cause::Asked => self.say("reloading"),
                Cause::Ended => {
                    self.say("the server has ended, and is started again");
                    current = None;
                }
            }
            // Those of its calls that are under way end before the old one does.
            if let Some(next) = self.next(current.as_ref()).await {
                current = Some(next);
            }
        }
    }

    fn say(&self, line: &str) {
        self.screen.say(line);
    }

    /// Builds and starts a server, and puts it in its place once it answers.
    async fn next(&self, before: Option<&Current>) -> Option<Current> {
        self.status.set(State::Starting);
        match self.started().await {
            Ok(current) => {
                self.status.offers(current.offer.as_ref());
                self.status.set(State::Serving);
                self.report(
                    before.and_then(|before| before.offer.as_ref()),
                    current.offer.as_ref(),
                );
                Some(current)
            }
            Err(why) => {
                let stays = if before.is_some() { "; the one before serves on" } else { "" };
                self.say(&format!("{why}{stays}"));
                self.status.set(State::Broken(why, before.is_some()));
                None
            }
        }
    }

    async fn started(&self) -> Result<Current, String> {
        let words = self.command().await?;
        let screen = self.screen.clone();
        let server_says = move |line: &str| screen.line(&format!("server: {}", visible(line)));
        let way = Way { on_stderr: Some(Box::new(server_says)), guarded: true, ..Way::default() };
        let upstream =
            Upstream::reach(&words, way, self.output).map_err(|failure| failure.message)?;
        // As its client would, whom it will have from the first request on.
        let hello = ClientRequest::Discover(RequestParams::new());
        let hello = Exchange::of(hello, self.place.client());
        let client = Client::new(upstream.caller());
        let answered = match timeout(PATIENCE, client.exchange(hello)).await {
            Ok(answered) => answered.map(drop).map_err(|error| error.to_string()),
            Err(_) => Err(format!("the server did not answer within {} s", PATIENCE.as_secs())),
        };
        if let Err(why) = answered {
            upstream.close().await;
            return Err(visible(&why).into_owned());
        }
        self.place.put(upstream.caller());
        let listed = timeout(PATIENCE, Offer::ask(&client)).await;
        let offer = listed.ok().and_then(Result::ok).and_then(Result::ok);
        Ok(Current { upstream, offer, since: Instant::now() })
    }

    /// The command of the server as it is now.
    async fn command(&self) -> Result<Vec<String>, String> {
        let wanted = match &self.server {
            Server::Command(words) => return Ok(words.clone()),
            Server::Package(wanted) => wanted,
        };
        let build = wanted.prepare(&self.arguments.build).map_err(|failure| failure.message)?;
        let screen = self.screen.has_prompt().then_some(&self.screen);
        Ok(vec![build::built(&build, screen).await?])
    }

    /// Waits until there is a reason to start a server.
    async fn cause(
        &self,
        places: &Arc<[PathBuf]>,
        (seen, restless): &mut (Look, Restless),
        current: Option<&Current>,
    ) -> Cause {
        loop {
            let pause = sleep(LOOK);
            let may_end = current.filter(|current| current.since.elapsed() >= LIVED);
            if let Some(current) = may_end
                && run::unless_ended(pause, current.upstream.ended()).await.is_none()
            {
                return Cause::Ended;
            } else if may_end.is_none() {
                sleep(LOOK).await;
            }
            let mut now = restless.out_of(look(places).await);
            let Some(path) = now.changed(seen).map(Path::to_owned) else { continue };
            // Whoever writes several files is let finish.
            loop {
                sleep(LOOK).await;
                let later = restless.out_of(look(places).await);
                let settled = later == now;
                now = later;
                if settled {
                    break;
                }
            }
            if restless.note(&path, Instant::now().into_std()) {
                self.say(&format!(
                    "{} changes again and again, so it is not watched any more: `reload` starts the server \
                     anew, and `--watch` says what is watched",
                    shown_path(&path)
                ));
                now = restless.out_of(now);
            }
            *seen = now;
            return Cause::Changed(path);
        }
    }

    /// Says what the server offers, or what of it is new.
    fn report(&self, before: Option<&Offer>, now: Option<&Offer>) {
        let Some(now) = now else {
            return self.say("serving; what it offers could not be listed");
        };
        let tools: Vec<&str> = now.named("tool").keys().map(String::as_str).collect();
        let names = visible(&tools.join(", ")).into_owned();
        self.say(&format!("serving {} tools: {names}", tools.len()));
        let Some(before) = before else { return };
        for one in judge::differences(before, now).unwrap_or_default() {
            self.screen.line(&shown(&one));
        }
    }

    fn places(&self) -> Vec<PathBuf> {
        let mut places = self.arguments.watch.clone();
        match &self.server {
            Server::Package(wanted) => {
                places.push(wanted.sources());
                places.extend(self.arguments.build.with_editable.iter().cloned());
            }
            Server::Command(_) if places.is_empty() => places.push(PathBuf::from(".")),
            Server::Command(_) => {}
        }
        places
    }
}

async fn look(places: &Arc<[PathBuf]>) -> Look {
    let places = places.clone();
    tokio::task::spawn_blocking(move || Look::at(&places)).await.unwrap_or_default()
}
