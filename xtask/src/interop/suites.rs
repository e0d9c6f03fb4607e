//! Every suite: which program runs against which server, and what it must do.

use std::path::{Path, PathBuf};

use super::servers::{Server, Servers};
use crate::programs::Programs;
use crate::tools::Tools;

/// One program, and what it must do.
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) command: Vec<PathBuf>,
    /// The server behind HTTP that it talks to.
    pub(crate) server: Option<Server>,
    pub(crate) must: Must,
}

/// What a program must do.
pub(crate) enum Must {
    /// Exit 0 and close with `N passed, 0 failed`.
    Pass,
    /// Exit 1 and fail in every step, in both eras, but these: shows that each step can fail.
    FailBut(&'static [&'static str]),
    /// Exit 0 and print this.
    Print(&'static str),
}

/// All suites, in the order in which they run.
pub(crate) fn all(
    tools: &Tools,
    built: &Programs,
    outsider: &Path,
    servers: &Servers,
) -> Vec<Suite> {
    let mut list = List { suites: Vec::new(), servers };
    let ours = [built.example("interop_client")];
    others_clients(&mut list, tools, built, &ours);
    others_servers(&mut list, tools, &ours);
    published(&mut list, tools, built, &ours);
    guarded(&mut list, tools, built, &ours);
    gatewayed(&mut list, tools, built);
    logins(&mut list, built);
    the_readme(&mut list, tools, outsider);
    list.suites
}

const ERAS: [&str; 2] = ["legacy", "modern"];

/// Others' clients, and ours, on our server.
fn others_clients(list: &mut List<'_>, tools: &Tools, built: &Programs, ours: &[PathBuf]) {
    let server = [built.example("interop_server")];
    let wrong = tools.python_program("wrong_server.py");
    // Keeping the protocol is enough for these; the Inspector knows from the listing that a tool is
    // unknown, and of its many calls it counts the answers only. It would start a server for each of
    // its steps, hence the one that listens.
    let ends = ["negotiate", "connection"].as_slice();
    let inspects = ["negotiate", "unknown_tool", "at_once"].as_slice();
    let python = tools.python_program("client.py");
    let typescript = tools.node_program("client.mjs");
    let inspector = tools.node_program("inspector.mjs");
    for (name, program, kept) in [
        ("the Python client", python.as_slice(), ends),
        ("the TypeScript client", &typescript, ends),
        ("the Inspector", &inspector, inspects),
        ("our client", ours, ends),
    ] {
        let fails = (format!("{name} can fail"), Must::FailBut(kept));
        match name {
            "the Inspector" => list.http(fails.0, program, &[], "--url", Server::Wrong, fails.1),
            _ => list.stdio(fails.0, program, &[], &wrong, fails.1),
        }
        list.stdio(format!("{name} on our server"), program, &[], &server, Must::Pass);
        for era in ERAS {
            for (place, server) in [("server", Server::Ours), ("nodes", Server::OurNodes)] {
                let name = format!("{name} on our {place}, HTTP, {era}");
                list.http(name, program, &["--era", era], "--url", server, Must::Pass);
            }
        }
    }
    // Programs is told nothing: it finds out by itself that this is the first transport.
    for (name, program, era, option) in [
        ("the Python client", python.as_slice(), "legacy", "--sse"),
        ("the TypeScript client", &typescript, "legacy", "--sse"),
        ("our client", ours, "auto", "--url"),
    ] {
        let name = format!("{name} on our server, HTTP+SSE");
        list.http(name, program, &["--era", era], option, Server::OursSse, Must::Pass);
    }
}

/// Our client on servers that we wrote on others' libraries.
fn others_servers(list: &mut List<'_>, tools: &Tools, ours: &[PathBuf]) {
    let python = tools.python_program("server.py");
    let typescript = tools.node_program("server.mjs");
    for (name, program, http) in [
        ("the Python server", python, Server::Python),
        ("the TypeScript server", typescript, Server::TypeScript),
    ] {
        for era in ERAS {
            let options = ["--era", era];
            let on = format!("our client on {name}");
            list.stdio(format!("{on}, {era}"), ours, &options, &program, Must::Pass);
            list.http(format!("{on}, HTTP, {era}"), ours, &options, "--url", http, Must::Pass);
        }
    }
    let name = "our client on the Python server, HTTP+SSE".to_owned();
    list.http(name, ours, &["--era", "auto"], "--url", Server::PythonSse, Must::Pass);
}

/// Our client and `etdi` on published servers, taken as they are.
fn published(list: &mut List<'_>, tools: &Tools, built: &Programs, ours: &[PathBuf]) {
    let files = tools.cache.join("files");
    let everything = tools.published("server-everything", "stdio".as_ref());
    let filesystem = tools.published("server-filesystem", files.as_os_str());
    for (name, target) in [("everything", &everything), ("filesystem", &filesystem)] {
        let options = ["--era", "auto", "--server", name];
        list.stdio(format!("our client on server-{name}"), ours, &options, target, Must::Pass);
    }
    let options = ["--era", "auto", "--server", "everything"];
    for (door, server) in [("HTTP", Server::Everything), ("HTTP+SSE", Server::EverythingSse)] {
        let name = format!("our client on server-everything, {door}");
        list.http(name, ours, &options, "--url", server, Must::Pass);
    }
    let path = format!("path={}", files.join("greeting.txt").display());
    let sum = ["call", "get-sum", "a=2", "b=3.5", "--yes"];
    let read = ["call", "read_text_file", &path, "--yes"];
    for (server, target, words, text) in [
        ("everything", &everything, ["list"].as_slice(), "get-sum"),
        ("filesystem", &filesystem, &["list"], "read_text_file"),
        ("everything", &everything, &sum, "5.5"),
        ("filesystem", &filesystem, &read, "hello from a file"),
    ] {
        let verb = words.first().copied().unwrap_or_default();
        let name = format!("etdi {verb}, server-{server}");
        list.stdio(name, &[built.etdi()], words, target, Must::Print(text));
    }
}

/// Clients on servers behind `etdi guard`: as on the servers themselves, and with the same answers.
fn guarded(list: &mut List<'_>, tools: &Tools, built: &Programs, ours: &[PathBuf]) {
    let etdi = built.etdi();
    // The clients keep variables back, so that the guard is told its folder on the command line.
    let home = format!("ETDI_HOME={}", tools.cache.join("guard").display());
    let words = ["guard", "--trust-first-use", "--"];
    let before = |server: &[PathBuf]| {
        let mut command: Vec<PathBuf> = vec!["env".into(), home.clone().into(), etdi.clone()];
        command.extend(words.map(PathBuf::from));
        command.extend_from_slice(server);
        command
    };
    let server = [built.example("interop_server")];
    let everything = tools.published("server-everything", "stdio".as_ref());
    let filesystem = tools.published("server-filesystem", tools.cache.join("files").as_os_str());
    let memory = tools.published("server-memory", "stdio".as_ref());
    for (name, program) in [
        ("the Python client", tools.python_program("client.py")),
        ("the TypeScript client", tools.node_program("client.mjs")),
    ] {
        let name = format!("{name} on our server behind the guard");
        list.stdio(name, &program, &[], &before(&server), Must::Pass);
    }
    for (name, target) in [("everything", &everything), ("filesystem", &filesystem)] {
        let options = ["--era", "auto", "--server", name];
        let name = format!("our client on server-{name} behind the guard");
        list.stdio(name, ours, &options, &before(target), Must::Pass);
    }
    let guard = format!("{} guard --trust-first-use", etdi.display());
    let (python, typescript) = (tools.python_program("same.py"), tools.node_program("same.mjs"));
    for (server, target, eras) in [
        ("server-everything", &everything, "legacy"),
        ("server-filesystem", &filesystem, "legacy"),
        ("server-memory", &memory, "legacy"),
        ("the Python server", &tools.python_program("server.py"), "both"),
        ("the TypeScript server", &tools.node_program("server.mjs"), "both"),
    ] {
        for (client, program, eras) in
            [("Python", &python, "both"), ("TypeScript", &typescript, eras)]
        {
            let name = format!("the {client} client: {server} with and without the guard");
            let options = ["--era", eras, "--guard", &guard];
            list.stdio(name, program, &options, target, Must::Pass);
        }
    }
}

/// The published Python client on two servers behind `etdi gateway`, whose answers are those of each alone.
fn gatewayed(list: &mut List<'_>, tools: &Tools, built: &Programs) {
    let gateway = format!("{} gateway", built.etdi().display());
    let words = |command: &[PathBuf]| {
        command.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
    };
    let everything = words(&tools.published("server-everything", "stdio".as_ref()));
    let filesystem = tools.published("server-filesystem", tools.cache.join("files").as_os_str());
    let typescript = words(&tools.node_program("server.mjs"));
    let python = tools.python_program("server.py");
    for (name, also, target) in [
        ("server-filesystem and server-everything", &everything, &filesystem),
        ("the Python and the TypeScript server", &typescript, &python),
    ] {
        let name = format!("the Python client: {name} behind the gateway");
        let options = ["--gateway", &gateway, "--also", also];
        list.stdio(name, &tools.python_program("gateway.py"), &options, target, Must::Pass);
    }
}

/// Our client and our protected servers at an issuer that was written on others' software.
fn logins(list: &mut List<'_>, built: &Programs) {
    let program = [built.example("interop_login")];
    // Where tokens are for another server nobody is let in, and these hold by that.
    let fails = Must::FailBut(&[
        "metadata",
        "login_refused",
        "client_secret_basic_wrong",
        "client_secret_post_wrong",
        "private_key_jwt_wrong",
        "dpop_stolen",
    ]);
    list.http("our logins can fail".to_owned(), &program, &[], "--url", Server::WrongIssuer, fails);
    let name = "our client and servers at oidc-provider".to_owned();
    list.http(name, &program, &[], "--url", Server::Issuer, Must::Pass);
}

/// The Inspector on the README's server.
fn the_readme(list: &mut List<'_>, tools: &Tools, outsider: &Path) {
    let lists = ["tools/list", "--strict"];
    let calls = ["tools/call", "--tool-name", "greet", "--tool-args-json", r#"{"name":"Ada"}"#];
    for era in ERAS {
        for (does, method, text) in
            [("lists", lists.as_slice(), "greet"), ("calls", &calls, "hello Ada")]
        {
            let mut command = tools.inspector();
            command.extend([outsider.to_owned(), "--protocol-era".into(), era.into()]);
            command
                .extend(["--format", "json", "--method"].iter().chain(method).map(PathBuf::from));
            let name = format!("the Inspector {does} the README's server, {era}");
            list.suites.push(Suite { name, command, server: None, must: Must::Print(text) });
        }
    }
}

struct List<'a> {
    suites: Vec<Suite>,
    servers: &'a Servers,
}

impl List<'_> {
    /// `program options -- target`.
    fn stdio(
        &mut self,
        name: String,
        program: &[PathBuf],
        options: &[&str],
        target: &[PathBuf],
        must: Must,
    ) {
        let mut command = program.to_vec();
        command.extend(options.iter().chain(&["--"]).map(PathBuf::from));
        command.extend_from_slice(target);
        self.suites.push(Suite { name, command, server: None, must });
    }

    /// `program options option URL`.
    fn http(
        &mut self,
        name: String,
        program: &[PathBuf],
        options: &[&str],
        option: &str,
        server: Server,
        must: Must,
    ) {
        let url = self.servers.url(server);
        let mut command = program.to_vec();
        command.extend(options.iter().chain(&[option, &url]).map(PathBuf::from));
        self.suites.push(Suite { name, command, server: Some(server), must });
    }
}
