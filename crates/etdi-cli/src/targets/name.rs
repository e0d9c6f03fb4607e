//! What a server is called where nobody said it.

use std::path::Path;

use etdi_clients::Launch;

/// What starts something else, which gives the name.
const RUNNERS: [&str; 15] = [
    "npx", "uvx", "bunx", "pipx", "pnpm", "yarn", "uv", "bun", "deno", "node", "python", "python3",
    "ruby", "sh", "bash",
];

/// A name made of a command line or a URL: small, and such as every client takes.
pub fn of_launch(launch: &Launch) -> String {
    let found = match launch {
        Launch::Remote(remote) => of_url(&remote.url),
        Launch::Program(program) => {
            let file = file_name(&program.command);
            let runs = RUNNERS.contains(&file.as_str());
            let skipped = ["run", "exec", "dlx", "tool", "x"];
            let first = program
                .args
                .iter()
                .find(|word| !word.starts_with('-') && !skipped.contains(&word.as_str()));
            first.filter(|_| runs).map_or(file, |word| file_name(word))
        }
    };
    match clean(&found) {
        name if name.is_empty() => "server".to_owned(),
        name => name,
    }
}

/// The last part of a path or a package, without its version and its end.
fn file_name(word: &str) -> String {
    let last = word.trim_end_matches('/').rsplit('/').next().unwrap_or(word);
    let last =
        last.split_once('@').map_or(last, |(name, _)| if name.is_empty() { last } else { name });
    let path = Path::new(last);
    let ends = ["js", "mjs", "cjs", "ts", "py", "rb", "sh", "exe"];
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    match ends.contains(&end) {
        true => path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(last).to_owned(),
        false => last.to_owned(),
    }
}

fn of_url(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .map_or_else(|| host.split(':').next().unwrap_or_default(), |_| "localhost");
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return "localhost".to_owned();
    }
    let labels: Vec<&str> = host.split('.').collect();
    let first = labels.iter().find(|label| !["mcp", "www", "api"].contains(label));
    first.map_or_else(String::new, |label| (*label).to_owned())
}

fn clean(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.chars().map(plain).take(64).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use etdi_clients::{Program, RemoteServer};

    use super::*;

    #[test]
    fn a_name_says_what_it_is() {
        for (line, name) in [
            ("/usr/local/bin/notes-server --stdio", "notes-server"),
            ("npx -y @modelcontextprotocol/server-filesystem@1.2.0 /srv", "server-filesystem"),
            ("/opt/bin/uvx mcp-server-git", "mcp-server-git"),
            ("uv run --quiet server.py", "server"),
            ("python3 -m notes", "notes"),
            ("node ./build/index.js", "index"),
            ("./mcp server", "mcp"),
        ] {
            let mut words = line.split(' ').map(ToOwned::to_owned);
            let command = words.next().unwrap();
            let program = Program { command, args: words.collect(), ..Program::default() };
            assert_eq!(of_launch(&Launch::Program(program)), name, "{line}");
        }
        for (url, name) in [
            ("https://mcp.acme.example/mcp", "acme"),
            ("https://notes.example:8443/", "notes"),
            ("http://127.0.0.1:8000/mcp", "localhost"),
            ("http://[::1]:8000/mcp", "localhost"),
        ] {
            let remote = RemoteServer { url: url.to_owned(), ..RemoteServer::default() };
            assert_eq!(of_launch(&Launch::Remote(remote)), name, "{url}");
        }
    }
}
