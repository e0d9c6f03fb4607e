//! Every client and every shape of a server, as files: what is written is what stands there.
//!
//! `tests/golden/CLIENT/start.*` is a file as its user has it; beside it stands what becomes of it, and
//! of no file at all. `UPDATE=1 cargo test -p etdi-clients` writes them anew, to be read in the diff.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::fs;
use std::path::{Path, PathBuf};

use etdi_clients::{
    CLIENTS, Client, Config, ConfigFile, Format, Launch, Program, RemoteServer, Scope,
};

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn program() -> Launch {
    Launch::Program(Program {
        command: "/usr/local/bin/notes".to_owned(),
        args: ["--dir", "/home/me/my notes", "a\\b \"c\""].map(ToOwned::to_owned).to_vec(),
        env: owned(&[("NOTES_LEVEL", "2"), ("A", "ü")]),
        cwd: None,
    })
}

fn remote(sse: bool) -> Launch {
    Launch::Remote(RemoteServer {
        url: "https://notes.example/mcp?x=1".to_owned(),
        headers: owned(&[("X-Team", "blue")]),
        sse,
    })
}

fn end(client: &Client) -> &'static str {
    match client.format {
        Format::Toml => "toml",
        Format::Yaml => "yaml",
        _ => "json",
    }
}

fn folder(client: &Client) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(client.id)
}

fn open(client: &'static Client, path: PathBuf) -> Config {
    Config::open(&ConfigFile { client, scope: Scope::User, path }).unwrap()
}

fn expect(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, expected, "{}", path.display());
}

#[test]
fn every_shape_is_written_as_its_client_reads_it() {
    for client in CLIENTS {
        let start = folder(client).join(format!("start.{}", end(client)));
        for (shape, launch) in
            [("stdio", program()), ("http", remote(false)), ("sse", remote(true))]
        {
            for (kind, path) in [("", start.clone()), ("fresh-", PathBuf::from("/nowhere/at/all"))]
            {
                let mut config = open(client, path);
                let before = config.text().to_owned();
                let golden = folder(client).join(format!("{kind}{shape}.{}", end(client)));
                if let Err(error) = config.put("notes", &launch) {
                    expect(&golden.with_extension("refused"), &format!("{error}\n"));
                    continue;
                }
                expect(&golden, config.text());
                let server = config.servers().into_iter().find(|one| one.name == "notes").unwrap();
                // Some clients write both kinds of URL alike, and find out which it is.
                let alike = shape == "sse" && {
                    let http = golden.with_file_name(format!("{kind}http.{}", end(client)));
                    fs::read_to_string(http).unwrap() == config.text()
                };
                let expected = if alike { remote(false) } else { launch.clone() };
                assert_eq!(server.launch.as_ref(), Ok(&expected), "{} {shape}", client.id);
                assert!(server.enabled);
                assert_eq!(server.target(), format!("{}:notes", client.id));
                // Nothing but the entry was touched.
                assert!(config.remove("notes").unwrap());
                if kind.is_empty() {
                    assert_eq!(config.text(), before, "{} {shape}", client.id);
                }
                assert!(!config.remove("notes").unwrap());
            }
        }
    }
}

#[test]
fn what_users_have_is_read() {
    let mut seen = String::new();
    for client in CLIENTS {
        let start = folder(client).join(format!("start.{}", end(client)));
        for server in open(client, start).servers() {
            let enabled = if server.enabled { "" } else { " off" };
            let project = server
                .project
                .as_ref()
                .map_or(String::new(), |one| format!(" in {}", one.display()));
            let launch = match &server.launch {
                Ok(Launch::Program(one)) => {
                    format!("{} {:?} {:?}", one.command, one.args, one.env)
                }
                Ok(Launch::Remote(one)) => format!("{} {:?} sse={}", one.url, one.headers, one.sse),
                other => format!("{other:?}"),
            };
            seen.push_str(&format!(
                "{} line {}{enabled}{project}: {launch}\n",
                server.target(),
                server.line
            ));
        }
    }
    expect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/servers.txt"), &seen);
}

/// What a guard does: each entry starts another program, and later the first one again.
#[test]
fn entries_are_mapped_in_place_and_back() {
    for client in CLIENTS {
        let start = folder(client).join(format!("start.{}", end(client)));
        let mut config = open(client, start);
        let before = config.text().to_owned();
        let entries = config.servers();
        let guarded = |launch: &Launch| {
            let mut guard = Program {
                command: "/usr/bin/etdi".to_owned(),
                args: vec!["guard".to_owned()],
                ..Program::default()
            };
            match launch {
                Launch::Program(program) => {
                    guard.args.extend(["--".to_owned(), program.command.clone()]);
                    guard.args.extend(program.args.clone());
                    guard.env.clone_from(&program.env);
                }
                Launch::Remote(remote) => {
                    guard.args.extend(["--url".to_owned(), remote.url.clone()])
                }
            }
            Launch::Program(guard)
        };
        let changed = config.rewrite_each(|one| one.launch.as_ref().ok().map(guarded)).unwrap();
        assert_eq!(changed.len(), entries.len(), "{}", client.id);
        expect(&folder(client).join(format!("guarded.{}", end(client))), config.text());
        for server in &changed {
            config.restore(&server.path, &server.entry).unwrap();
        }
        let values = |config: &Config| {
            config.servers().iter().map(|one| one.entry.to_json()).collect::<Vec<_>>()
        };
        let again = open(client, folder(client).join(format!("start.{}", end(client))));
        assert_eq!(values(&config), values(&again), "{}", client.id);
        let remarks = |text: &str| text.matches("//").count() + text.matches('#').count();
        assert!(remarks(config.text()) >= remarks(&before).saturating_sub(1), "{}", config.text());
    }
}

#[test]
fn a_diff_shows_the_change_and_no_secret() {
    let client = Client::find("lmstudio").unwrap();
    let mut config = open(client, folder(client).join("start.json"));
    let program = Program {
        command: "/bin/notes".to_owned(),
        args: vec!["--api-key".to_owned(), "0123456789".to_owned()],
        env: owned(&[("NOTES_TOKEN", "s3cr3t-value")]),
        cwd: None,
    };
    config.put("notes", &Launch::Program(program)).unwrap();
    let diff = config.diff();
    assert!(diff.contains("+      \"command\": \"/bin/notes\""), "{diff}");
    assert!(diff.contains("+        \"NOTES_TOKEN\": \"(hidden)\""), "{diff}");
    for secret in ["s3cr3t", "Bearer x", "0123456789"] {
        assert!(!diff.contains(secret), "{diff}");
    }
    let server = config.servers().into_iter().find(|one| one.name == "notes").unwrap();
    assert_eq!(server.secrets(), ["NOTES_TOKEN", "--api-key"]);
}
