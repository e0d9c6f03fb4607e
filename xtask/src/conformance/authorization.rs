//! The suite against `etdi auth serve`: the program plays the user, who is shown a page and agrees.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::judge::{self, Verdict};
use super::{PATIENCE, Suite};
use crate::process::Listening;

/// What the suite is told about the server.
const CLIENT: &str = "conformance";

/// What it says when it begins one.
const BEGINS: &str = "=== Running scenario: ";

/// Runs every scenario that the suite has for authorization servers.
pub(super) fn run(suite: &Suite, etdi: &Path) -> Result<Vec<Verdict>, String> {
    let results = suite.results.join("authorization");
    let _ = fs::remove_dir_all(&results);
    fs::create_dir_all(&results)
        .map_err(|error| format!("cannot create `{}`: {error}", results.display()))?;
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
    let back = free.map_err(|error| format!("there is no free port: {error}"))?.port();
    let log = fs::File::create(results.join("server.log")).map_err(|error| error.to_string())?;
    let mut server = Listening::start(|port| {
        let mut command = Command::new(etdi);
        command.args(["auth", "serve", "--default-scope", "read", "--port", &port.to_string()]);
        command.args(["--client", &format!("{CLIENT}=http://127.0.0.1:{back}/callback")]);
        command.stdout(log);
        command
    })?;
    let issuer = format!("http://127.0.0.1:{}", server.port);
    let mut child = Command::new(&suite.node)
        .arg(suite.package.join("dist/index.js"))
        .args(["authorization", "--url", &issuer, "--client-id", CLIENT])
        .args(["--port", &back.to_string(), "--output-dir"])
        .arg(&results)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start the suite: {error}"))?;
    let played = play(&mut child, &issuer);
    if played.is_err() {
        // It would wait for the user for minutes.
        let _ = child.kill();
    }
    child.wait().map_err(|error| error.to_string())?;
    let scenarios = played?;
    server.still_there().map_err(|why| format!("the server {why} during the run"))?;
    if scenarios.is_empty() {
        return Err("the suite has no scenario for authorization servers".to_owned());
    }
    let judged = scenarios.into_iter().map(|scenario| {
        let why = judge::judge("authorization", &scenario, &results);
        Verdict { scenario, scored: true, why }
    });
    Ok(judged.collect())
}

/// Reads what the suite says, does what it asks a person for, and gives the names of its scenarios.
fn play(child: &mut Child, issuer: &str) -> Result<Vec<String>, String> {
    let stdout = child.stdout.take().ok_or("the suite has no output")?;
    let page = format!("{issuer}/authorize?");
    let mut scenarios = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(|error| format!("the suite cannot be read: {error}"))?;
        if let Some(name) = line.strip_prefix(BEGINS) {
            scenarios.push(name.trim_end_matches([' ', '=']).to_owned());
        }
        if line.starts_with(&page) {
            agree(&line)?;
        }
    }
    Ok(scenarios)
}

/// Opens the page, agrees, and goes where it leads.
fn agree(url: &str) -> Result<(), String> {
    let page = ask("GET", url, &[], "")?;
    let cookie = header(&page, "set-cookie").and_then(|set| set.split(';').next());
    let cookie = cookie.ok_or_else(|| format!("the page sets no cookie:\n{page}"))?;
    let ticket =
        page.split("name=\"ticket\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let ticket = ticket.ok_or_else(|| format!("the page has no form:\n{page}"))?;
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let form = format!("ticket={ticket}&decision=allow&name=conformance");
    let answer = ask("POST", url, &[("cookie", cookie), kind], &form)?;
    let back = header(&answer, "location");
    let back = back.ok_or_else(|| format!("the page leads nowhere:\n{answer}"))?;
    // The suite shows the page before it listens for what comes of it.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match ask("GET", back, &[], "") {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            answered => return answered.map(drop),
        }
    }
}

/// One request on a connection of its own, and all that is answered.
fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("`{url}` does not answer: {error}");
    let rest =
        url.strip_prefix("http://").ok_or_else(|| format!("`{url}` is not on this computer"))?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    let mut stream = TcpStream::connect(host).map_err(failed)?;
    let patience: Option<Duration> = Some(PATIENCE);
    stream.set_read_timeout(patience).map_err(failed)?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
