//! Real processes over real standard streams; this program is its own server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{INITIALIZE, INITIALIZED, Tools, legacy, text};
use mcp_transport::process::Command;
use mcp_transport::{Connection, Era, connect, serve, stdio};
use mcp_types::*;
use rustix::process::{Pid, test_kill_process_group};
use tower_service::Service;

/// The variable that makes this program a server.
const SERVER: &str = "MCP_TRANSPORT_TEST_SERVER";

fn main() {
    if std::env::var_os(SERVER).is_some() {
        return server();
    }
    let tests: &[(&str, fn())] = &[
        ("a_child_is_called_in_both_eras", || run(a_child_is_called_in_both_eras())),
        ("a_stray_print_does_no_harm", || run(a_stray_print_does_no_harm())),
        ("a_stuck_tool_keeps_nothing_waiting", || run(a_stuck_tool_keeps_nothing_waiting())),
        ("sockets_and_files_are_streams_too", sockets_and_files_are_streams_too),
        ("a_server_whose_answers_nobody_reads_ends", a_server_whose_answers_nobody_reads_ends),
        ("a_child_that_dies_has_last_words", || run(a_child_that_dies_has_last_words())),
        ("a_child_that_dies_of_the_probe_gets_a_handshake", || {
            run(a_child_that_dies_of_the_probe_gets_a_handshake());
        }),
        ("a_stubborn_child_and_its_children_end", || run(a_stubborn_child_and_its_children_end())),
        ("a_child_ends_with_its_runtime", a_child_ends_with_its_runtime),
        ("a_program_that_is_not_there_is_named", || run(a_program_that_is_not_there_is_named())),
    ];
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, test) in tests {
        if only.as_ref().is_none_or(|only| name.contains(only.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), test).await.expect("the test ends");
    });
}

fn server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { serve(Printing(Tools), stdio().unwrap()).await }).unwrap();
}

/// Tools that do what they should not.
#[derive(Clone)]
struct Printing(Tools);

impl Service<Exchange> for Printing {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), ErrorObject>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let ClientRequest::CallTool(params) = &exchange.request else {
            return self.0.call(exchange);
        };
        match params.name.as_str() {
            "print" => Box::pin(async {
                println!("printed by a tool");
                print!("without a newline");
                let mut input = String::new();
                let count = std::io::stdin().read_line(&mut input).unwrap();
                text(format!("printed, read {count}"))
            }),
            "stuck" => Box::pin(async move {
                let runtime = exchange.context.runtime.clone().unwrap();
                let forever = || loop {
                    std::thread::sleep(Duration::from_secs(1));
                };
                runtime.blocking(Box::new(forever)).unwrap();
                std::future::pending().await
            }),
            _ => self.0.call(exchange),
        }
    }
}

/// Lines of a child's standard error.
type Lines = Arc<Mutex<Vec<String>>>;

fn listening(command: Command) -> (Command, Lines) {
    let lines = Lines::default();
    let kept = lines.clone();
    (command.on_stderr(move |line| kept.lock().unwrap().push(line.to_owned())), lines)
}

fn this_server() -> Command {
    Command::new(std::env::current_exe().unwrap()).env(SERVER, "1")
}

fn connected(command: Command) -> Connection {
    connect(command.spawn().unwrap(), Implementation::new("stdio", "1.0.0"))
}

fn call(tool: &str) -> Exchange {
    let mut params = CallToolRequestParams::new(tool);
    params.arguments = RawText::new(r#"{"message":"hi"}"#).ok();
    Exchange::new(ClientRequest::CallTool(params))
}

fn said(outcome: Result<Outcome, ErrorObject>) -> String {
    match outcome {
        Ok(Outcome::Complete(ServerResult::CallTool(result))) => match result.content.first() {
            Some(ContentBlock::Text(text)) => text.text.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

async fn a_child_is_called_in_both_eras() {
    for era in [Era::Modern, Era::Legacy] {
        let mut options = mcp_transport::ConnectOptions::new(Implementation::new("stdio", "1.0.0"));
        options.config.era = Some(era);
        let mut server = mcp_transport::connect_with(this_server().spawn().unwrap(), options);
        for _ in 0..100 {
            assert_eq!(said(server.call(call("echo")).await), "hi");
        }
        let started = Instant::now();
        server.close().await;
        assert!(started.elapsed() < Duration::from_secs(1), "the end of its input ends a server");
    }
}

async fn a_stray_print_does_no_harm() {
    let (command, lines) = listening(this_server());
    let mut server = connected(command);
    assert_eq!(said(server.call(call("print")).await), "printed, read 0");
    assert_eq!(said(server.call(call("echo")).await), "hi");
    server.close().await;
    let lines = lines.lock().unwrap();
    assert!(lines[0].contains("carries the protocol"), "{lines:?}");
    assert_eq!(lines[1..], ["printed by a tool", "without a newline"]);
}

async fn a_stuck_tool_keeps_nothing_waiting() {
    let mut server = connected(this_server());
    let stuck = tokio::spawn(server.call(call("stuck")));
    for _ in 0..100 {
        assert_eq!(said(server.call(call("echo")).await), "hi");
    }
    let started = Instant::now();
    server.close().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(stuck.await.unwrap().unwrap_err().origin, Origin::Connection);
}

fn sockets_and_files_are_streams_too() {
    let asked = format!(
        "{INITIALIZE}\n{INITIALIZED}\n{}\n{}",
        legacy(1, "tools/call", r#""name":"echo","arguments":{"message":"hi"}"#),
        legacy(2, "ping", "")
    );
    let child = |input: Stdio, output: Stdio| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.env(SERVER, "1").stdin(input).stdout(output).spawn().unwrap()
    };
    let check = |answers: String| {
        let lines: Vec<&str> = answers.lines().collect();
        assert_eq!(lines.len(), 3, "{answers}");
        assert!(lines[0].contains("protocolVersion") && lines[1].contains(r#""text":"hi""#));
        assert_eq!(lines[2], r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
    };

    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let both =
        |stream: &UnixStream| Stdio::from(std::os::fd::OwnedFd::from(stream.try_clone().unwrap()));
    let mut served = child(both(&theirs), both(&theirs));
    drop(theirs);
    ours.write_all(asked.as_bytes()).unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    check(std::io::read_to_string(&ours).unwrap());
    assert!(served.wait().unwrap().success());

    let directory = std::env::temp_dir().join(format!("mcp-transport-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (input, output) = (directory.join("input"), directory.join("output"));
    std::fs::write(&input, &asked).unwrap();
    let open = |path| std::fs::File::open(path).unwrap().into();
    let mut served = child(open(&input), std::fs::File::create(&output).unwrap().into());
    assert!(served.wait().unwrap().success());
    check(std::fs::read_to_string(&output).unwrap());
    std::fs::remove_dir_all(&directory).unwrap();
}

fn a_server_whose_answers_nobody_reads_ends() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.env(SERVER, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut served = command.spawn().unwrap();
    let mut input = served.stdin.take().unwrap();
    writeln!(input, "{INITIALIZE}").unwrap();
    let message = "x".repeat(4_000);
    for id in 0..100 {
        let params = format!(r#""name":"echo","arguments":{{"message":"{message}"}}"#);
        writeln!(input, "{}", legacy(id, "tools/call", &params)).unwrap();
    }
    drop(input);
    let started = Instant::now();
    while served.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(5) {
            served.kill().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn a_child_that_dies_has_last_words() {
    let script = "echo the licence has expired >&2; exit 3";
    let (command, _) = listening(Command::new("sh").args(["-c", script]));
    let error = connected(command).call(call("echo")).await.unwrap_err();
    assert_eq!(error.origin, Origin::Connection);
    for part in ["the licence has expired", "exit status: 3"] {
        assert!(error.message.contains(part), "{error}");
    }
}

async fn a_child_that_dies_of_the_probe_gets_a_handshake() {
    // Such a server reads one line, and goes on only if it likes it.
    let server = std::env::current_exe().unwrap();
    let script = format!(
        r#"read -r first; case "$first" in *initialize*) ;; *) echo "what is this" >&2; exit 1;; esac
        (printf '%s\n' "$first"; exec cat) | "{}""#,
        server.display()
    );
    let command = Command::new("sh").args(["-c", script.as_str()]).env(SERVER, "1");
    let (command, lines) = listening(command);
    let mut server = connected(command);
    assert_eq!(said(server.call(call("echo")).await), "hi");
    assert_eq!(server.version(), Some(ProtocolVersion::NEWEST_LEGACY));
    assert_eq!(*lines.lock().unwrap(), ["what is this"]);
    server.close().await;
}

/// Whether any process of the group is left.
fn lives(group: i32) -> bool {
    test_kill_process_group(Pid::from_raw(group).unwrap()).is_ok()
}

async fn group_of(lines: &Lines) -> i32 {
    loop {
        if let Some(line) = lines.lock().unwrap().first() {
            return line.parse().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_stubborn_child_and_its_children_end() {
    let script = "trap '' TERM; sleep 1000 & echo $$ >&2; while :; do sleep 0.1; done";
    let (command, lines) = listening(Command::new("sh").args(["-c", script]));
    let server = connected(command.grace(Duration::from_millis(200)));
    let group = group_of(&lines).await;
    assert!(lives(group));
    server.close().await;
    // Orphans of the group are reaped by the system, not by us.
    while lives(group) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn a_child_ends_with_its_runtime() {
    let (send, receive) = mpsc::channel();
    run(async move {
        let script = "trap '' TERM; echo $$ >&2; while :; do sleep 0.1; done";
        let (command, lines) = listening(Command::new("sh").args(["-c", script]));
        let server = connected(command);
        send.send(group_of(&lines).await).unwrap();
        // The connection outlives its runtime.
        std::mem::forget(server);
    });
    let group = receive.recv().unwrap();
    let started = Instant::now();
    while lives(group) {
        // Nobody reaps the leader of the group any more but we.
        let _ =
            rustix::process::waitpid(Pid::from_raw(group), rustix::process::WaitOptions::NOHANG);
        assert!(started.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn a_program_that_is_not_there_is_named() {
    let error = Command::new("no-such-server").spawn().unwrap_err();
    assert!(error.to_string().contains("`no-such-server`"), "{error}");
}
