//! `etdi dev`: a server that is built, run and watched, and replaced while its clients stay.
//!
//! The client's connection ends here. Behind it the server is started anew whenever a file changes;
//! one that does not build, or does not answer, does not take the place of the one that serves.

pub mod build;
pub mod swap;
pub mod watch;

use std::future::poll_fn;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use etdi::core::change::visible;
use mcp_client::Client;
use mcp_types::{ClientRequest, Exchange, RequestParams};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use self::build::Package;
use self::swap::Swapping;
use self::watch::Look;
use crate::args::{DevArguments, ListenArguments, Transport};
use crate::exit::Failure;
use crate::output::{Output, Report};
use crate::signals::servers_end;
use crate::verbs::diff::{judge, offer::Offer, shown};
use crate::verbs::run;
use crate::verbs::target::{block_on, shown_path};
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
    let manifest = arguments.package.join("Cargo.toml");
    if arguments.command.is_empty() && !manifest.is_file() {
        let message = format!(
            "there is no cargo package in {}, and no command after `--`",
            shown_path(&arguments.package)
        );
        return Err(Failure::usage(message, "etdi dev -- ./my-server"));
    }
    let quiet = arguments.quiet;
    let place = Swapping::new(move |line| {
        if !quiet {
            say(line);
        }
    });
    let developed = Developed { arguments, place: place.clone(), output };
    block_on(async {
        let serving = async {
            match arguments.http {
                false => run::stdio(place, None).await,
                true => {
                    let listen = ListenArguments::local(arguments.port);
                    run::http(place, Transport::Http, &listen, "dev", output).await
                }
            }
        };
        let served = {
            let (mut serving, mut developing) = (pin!(serving), pin!(developed.develop()));
            poll_fn(|cx| match serving.as_mut().poll(cx) {
                Poll::Pending => developing.as_mut().poll(cx).map(Ok),
                served => served,
            })
            .await
        };
        // The server of a dropped connection ends as that of a closed one does.
        servers_end().await;
        served.map(|()| Report::new(json!({}), ""))
    })
}

/// A line for the author, beside what the server itself says.
fn say(line: &str) {
    // Nobody is harmed when a remark does not get out.
    let _ = writeln!(std::io::stderr(), "etdi dev: {line}");
}

struct Developed<'a> {
    arguments: &'a DevArguments,
    place: Swapping,
    output: Output,
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
    Ended,
}

impl Developed<'_> {
    /// Starts one server after the other, for ever.
    async fn develop(&self) {
        let places: Arc<[PathBuf]> = self.places().into();
        let mut seen = look(&places).await;
        let mut current = self.next(None).await;
        loop {
            match self.cause(&places, &mut seen, current.as_ref()).await {
                Cause::Changed(path) => say(&format!("{} changed", shown_path(&path))),
                Cause::Ended => {
                    say("the server has ended, and is started again");
                    current = None;
                }
            }
            // Those of its calls that are under way end before the old one does.
            if let Some(next) = self.next(current.as_ref()).await {
                current = Some(next);
            }
        }
    }

    /// Builds and starts a server, and puts it in its place once it answers.
    async fn next(&self, before: Option<&Current>) -> Option<Current> {
        let stays = if before.is_some() { "; the one before serves on" } else { "" };
        let words = match self.command().await {
            Ok(words) => words,
            Err(why) => {
                say(&format!("{why}{stays}"));
                return None;
            }
        };
        let server_says = |line: &str| {
            let _ = writeln!(std::io::stderr(), "server: {}", visible(line));
        };
        let way = Way { on_stderr: Some(Box::new(server_says)), ..Way::default() };
        let upstream = match Upstream::reach(&words, way, self.output) {
            Ok(upstream) => upstream,
            Err(failure) => {
                say(&format!("{}{stays}", failure.message));
                return None;
            }
        };
        // As its client would, whom it will have from the first request on.
        let hello = ClientRequest::Discover(RequestParams::new());
        let hello = Exchange::of(hello, self.place.client());
        let client = Client::new(upstream.caller());
        let answered = match timeout(PATIENCE, client.exchange(hello)).await {
            Ok(answered) => answered.map(drop).map_err(|error| error.to_string()),
            Err(_) => Err(format!("the server did not answer within {} s", PATIENCE.as_secs())),
        };
        if let Err(why) = answered {
            say(&format!("{}{stays}", visible(&why)));
            upstream.close().await;
            return None;
        }
        self.place.put(upstream.caller());
        let listed = timeout(PATIENCE, Offer::ask(&client)).await;
        let offer = listed.ok().and_then(Result::ok).and_then(Result::ok);
        report(before.and_then(|before| before.offer.as_ref()), offer.as_ref());
        Some(Current { upstream, offer, since: Instant::now() })
    }

    /// The command of the server as it is now.
    async fn command(&self) -> Result<Vec<String>, String> {
        if !self.arguments.command.is_empty() {
            return Ok(self.arguments.command.clone());
        }
        let program = Package::of(self.arguments).build().await?;
        Ok(vec![program.to_string_lossy().into_owned()])
    }

    /// Waits until there is a reason to start a server.
    async fn cause(
        &self,
        places: &Arc<[PathBuf]>,
        seen: &mut Look,
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
            let mut now = look(places).await;
            let Some(path) = now.changed(seen).map(Path::to_owned) else { continue };
            // Whoever writes several files is let finish.
            loop {
                sleep(LOOK).await;
                let later = look(places).await;
                let settled = later == now;
                now = later;
                if settled {
                    break;
                }
            }
            *seen = now;
            return Cause::Changed(path);
        }
    }

    fn places(&self) -> Vec<PathBuf> {
        let mut places = self.arguments.watch.clone();
        if self.arguments.command.is_empty() {
            places.push(self.arguments.package.clone());
        } else if places.is_empty() {
            places.push(PathBuf::from("."));
        }
        places
    }
}

async fn look(places: &Arc<[PathBuf]>) -> Look {
    let places = places.clone();
    tokio::task::spawn_blocking(move || Look::at(&places)).await.unwrap_or_default()
}

/// Says what the server offers, or what of it is new.
fn report(before: Option<&Offer>, now: Option<&Offer>) {
    let Some(now) = now else { return say("serving; what it offers could not be listed") };
    let tools: Vec<&str> = now.named("tool").keys().map(String::as_str).collect();
    let names = visible(&tools.join(", ")).into_owned();
    say(&format!("serving {} tools: {names}", tools.len()));
    let Some(before) = before else { return };
    for one in judge::differences(before, now).unwrap_or_default() {
        let mut stderr = anstream::stderr();
        let _ = writeln!(stderr, "{}", shown(&one));
    }
}
