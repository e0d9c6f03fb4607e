//! The servers behind HTTP: started once, used by many suites, ended together.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::process::{Listening, clip, cluster};
use crate::programs::Programs;
use crate::tools::{Tools, write};

/// Which server, and behind which of the two HTTP transports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Ours,
    OursSse,
    /// Three of ours behind a balancer, each request at the next.
    OurNodes,
    Python,
    PythonSse,
    TypeScript,
    Everything,
    EverythingSse,
    Wrong,
    /// No server of the protocol: who gives tokens for servers.
    Issuer,
    WrongIssuer,
}

use Server::{
    Everything, EverythingSse, Issuer, OurNodes, Ours, OursSse, Python, PythonSse, TypeScript,
    Wrong, WrongIssuer,
};

const ALL: [Server; 11] = [
    Ours,
    OursSse,
    OurNodes,
    Python,
    PythonSse,
    TypeScript,
    Everything,
    EverythingSse,
    Wrong,
    Issuer,
    WrongIssuer,
];

impl Server {
    fn name(self) -> &'static str {
        match self {
            Ours => "ours",
            OursSse => "ours-sse",
            OurNodes => "our-nodes",
            Python => "python",
            PythonSse => "python-sse",
            TypeScript => "typescript",
            Everything => "everything",
            EverythingSse => "everything-sse",
            Wrong => "wrong",
            Issuer => "issuer",
            WrongIssuer => "wrong-issuer",
        }
    }

    /// The path of the server's endpoint.
    fn path(self) -> &'static str {
        match self {
            Ours | OurNodes | Python | TypeScript | Everything | Wrong => "/mcp",
            OursSse | PythonSse | EverythingSse => "/sse",
            Issuer | WrongIssuer => "",
        }
    }

    /// What is started, and the option that its port follows; the published server takes its port
    /// from the environment.
    fn command(self, tools: &Tools, built: &Programs) -> (Vec<PathBuf>, Option<&'static str>) {
        let ours = || vec![built.example("interop_server")];
        match self {
            Ours => (ours(), Some("--http")),
            OursSse => (ours(), Some("--sse")),
            OurNodes => {
                let command = cluster(built, "interop_server");
                let words = std::iter::once(command.get_program()).chain(command.get_args());
                (words.map(PathBuf::from).collect(), Some("--port"))
            }
            Python => (tools.python_program("server.py"), Some("--http")),
            PythonSse => (tools.python_program("server.py"), Some("--sse")),
            TypeScript => (tools.node_program("server.mjs"), Some("--http")),
            Wrong => (tools.python_program("wrong_server.py"), Some("--http")),
            Issuer => (tools.node_program("issuer.mjs"), Some("--http")),
            WrongIssuer => {
                let mut words = tools.node_program("issuer.mjs");
                words.push("--wrong".into());
                (words, Some("--http"))
            }
            Everything => (tools.published("server-everything", "streamableHttp".as_ref()), None),
            EverythingSse => (tools.published("server-everything", "sse".as_ref()), None),
        }
    }
}

/// All of them, running; they end with this value.
pub(crate) struct Servers {
    running: Vec<(Server, Listening)>,
    logs: PathBuf,
}

impl Servers {
    /// Starts all servers at once, each on a free port, and waits until all of them listen. What they
    /// say goes to a file each.
    pub(crate) fn start(tools: &Tools, built: &Programs) -> Result<Servers, String> {
        let logs = tools.cache.join("logs");
        let started: Vec<Result<_, String>> = thread::scope(|scope| {
            let starting = ALL.map(|server| {
                let logs = &logs;
                scope.spawn(move || Ok((server, start(server, tools, built, logs)?)))
            });
            let crashed = || Err("a server could not be started".to_owned());
            starting.map(|one| one.join().unwrap_or_else(|_| crashed())).into()
        });
        Ok(Servers { running: started.into_iter().collect::<Result<_, _>>()?, logs })
    }

    /// Where clients reach it.
    pub(crate) fn url(&self, server: Server) -> String {
        let port = self.running.iter().find(|(one, _)| *one == server).map_or(0, |(_, it)| it.port);
        format!("http://127.0.0.1:{port}{}", server.path())
    }

    /// An error when the server has ended by itself.
    pub(crate) fn still_there(&mut self, server: Server) -> Result<(), String> {
        match self.running.iter_mut().find(|(one, _)| *one == server) {
            Some((_, running)) => {
                running.still_there().map_err(|why| format!("    the server {why}"))
            }
            None => Err(format!("    the server `{}` was not started", server.name())),
        }
    }

    /// The last that the server said.
    pub(crate) fn log(&self, server: Server) -> String {
        clip(&fs::read_to_string(log(&self.logs, server)).unwrap_or_default())
    }
}

fn log(logs: &Path, server: Server) -> PathBuf {
    logs.join(format!("{}.log", server.name()))
}

fn start(
    server: Server,
    tools: &Tools,
    built: &Programs,
    logs: &Path,
) -> Result<Listening, String> {
    let path = log(logs, server);
    write(&path, b"")?;
    let open = || File::options().append(true).open(&path);
    let (out, err) = open()
        .and_then(|out| Ok((out, open()?)))
        .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    let (words, option) = server.command(tools, built);
    let (program, arguments) = words.split_first().ok_or("an empty command")?;
    let listening = Listening::start(|port| {
        let mut command = Command::new(program);
        command.args(arguments).args(option).stdout(out).stderr(err);
        match option {
            Some(_) => command.arg(port.to_string()),
            None => command.env("PORT", port.to_string()),
        };
        command
    });
    let listening = listening.map_err(|why| format!("{why}; see `{}`", path.display()))?;
    Ok(if server == OurNodes { listening.interrupted() } else { listening })
}
