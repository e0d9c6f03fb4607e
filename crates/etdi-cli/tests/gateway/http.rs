//! The gateway over HTTP: who is let in, and that everything is there in both eras.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::Test;
use crate::client::{Speaks, World};
use crate::yard::Yard;

pub(crate) const TESTS: &[Test] = &[
    ("whoever shows no token is told where to get one", unknown),
    ("clients of both eras are served over HTTP", served),
    ("the servers of whoever asks nothing any more end", idle),
    ("users have servers of their own", users),
    ("whoever reaches a guard over HTTP approves nothing for others", strangers),
    ("policies and the trail go by who calls", callers),
    ("who calls from elsewhere is told no paths of a refused server", no_paths),
];

struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn open(mut command: Command) -> Self {
        let pipes = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("{seen}") };
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split('/').next().unwrap().to_owned();
            }
            seen.push_str(&line);
        };
        // It must not be held up by what nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// One request over a connection of its own; gives the whole answer.
    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/json, \
             text/event-stream\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A request of the protocol in this era; gives its answer.
    fn ask(&self, era: Speaks, session: &str, method: &str, mut params: Value) -> (Value, String) {
        let mut headers = session.to_owned();
        if era == Speaks::Modern {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            let can = &mut params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
            if can.is_null() {
                *can = json!({});
            }
            headers.push_str("MCP-Protocol-Version: 2026-07-28\r\n");
            headers.push_str(&format!("Mcp-Method: {method}\r\n"));
            if let Some(name) = params["name"].as_str() {
                headers.push_str(&format!("Mcp-Name: {name}\r\n"));
            }
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.send("POST", "/mcp", &headers, &body.to_string());
        let mut found = answer.lines().filter_map(|line| {
            let line = line.strip_prefix("data:").unwrap_or(line).trim();
            let message: Value = serde_json::from_str(line).ok()?;
            (message["id"] == 1).then_some(message)
        });
        let found = found.next_back();
        (found.unwrap_or_else(|| panic!("{method}: {answer}")), answer)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn strangers() {
    for (option, asks) in [(&[][..], false), (&["--elicitation"], true)] {
        let world = World::new(Speaks::Modern);
        let own = world.command();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let words = [&["guard", "--http", "127.0.0.1:0"], option, &["--"], &own].concat();
        let served = Served::open(world.plain(&words));
        let can = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}});
        let params = json!({"name": "pay", "arguments": {}, "_meta": can});
        let (answer, _) = served.ask(Speaks::Modern, "", "tools/call", params);
        let is_asked = answer["result"]["resultType"] == "input_required";
        assert_eq!(is_asked, asks, "{option:?}: {answer}");
        assert!(asks || answer["result"]["isError"] == true, "{answer}");
    }
}

fn unknown() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Legacy);
    let auth = json!({"issuer": "https://login.example", "scopes": ["mcp:use"]});
    yard.write(&json!({}), &json!({"http": "127.0.0.1:0", "auth": auth}));
    let served = Served::open(yard.gateway(&["--trust-first-use"]));
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    for headers in ["", "Authorization: Bearer nonsense\r\n", "X-API-Key: nonsense\r\n"] {
        let answer = served.send("POST", "/mcp", headers, list);
        assert!(answer.starts_with("HTTP/1.1 401"), "{headers}: {answer}");
        let lower = answer.to_ascii_lowercase();
        let challenge = lower.lines().find(|line| line.starts_with("www-authenticate:")).unwrap();
        let at = format!("http://{}/.well-known/oauth-protected-resource/mcp", served.address);
        assert!(challenge.contains(&at) && challenge.contains("mcp:use"), "{answer}");
    }
    let answer = served.send("GET", "/.well-known/oauth-protected-resource/mcp", "", "");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body: Value = serde_json::from_str(body.trim()).unwrap_or_else(|_| panic!("{answer}"));
    assert_eq!(body["resource"], format!("http://{}/mcp", served.address));
    assert_eq!(body["authorization_servers"], json!(["https://login.example"]));
    assert_eq!(body["scopes_supported"], json!(["mcp:use"]));
    // Nobody was let in, so nothing was started for anybody.
    assert!(yard.world("one").noted("started").is_empty());
}

fn users() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Modern);
    yard.write(&json!({}), &json!({"http": "127.0.0.1:0", "auth": {"api_keys": "keys.json"}}));
    let file = yard.file().with_file_name("keys.json");
    let file = file.to_str().unwrap();
    let keys = |words: &[&str], name: &str| {
        let words = [&["auth", "api-key"], words, &[file, name]].concat();
        yard.command(&words[..words.len() - usize::from(name.is_empty())]).output().unwrap()
    };
    let key = |name: &str| {
        let made = keys(&["new", "--scope", "mcp", "--days", "2"], name);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        format!("X-API-Key: {}\r\n", String::from_utf8(made.stdout).unwrap().trim())
    };
    let (ada, bob) = (key("ada"), key("bob"));
    let served = Served::open(yard.gateway(&["--trust-first-use"]));
    for (user, started) in [(&ada, 1), (&bob, 2), (&ada, 2)] {
        let (found, _) = served.ask(Speaks::Modern, user, "tools/list", json!({}));
        assert_eq!(found["result"]["tools"].as_array().unwrap().len(), 6, "{found}");
        for name in ["one", "two"] {
            assert_eq!(yard.world(name).noted("started").len(), started, "{name}");
        }
    }
    // What a server asks one user, another cannot answer.
    let call = |answer: Value| {
        let mut call = json!({"name": "one__pay", "arguments": {}});
        call["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
        if let Some(state) = answer.as_str() {
            let yes = json!({"action": "accept", "content": {}});
            (call["requestState"], call["inputResponses"]) = (state.into(), json!({}));
            for number in 1..4 {
                call["inputResponses"][format!("elicitation/create-q{number}")] = yes.clone();
            }
        }
        call
    };
    let (asked, _) = served.ask(Speaks::Modern, &ada, "tools/call", call(Value::Null));
    let state = asked["result"]["requestState"].clone();
    assert!(state.is_string(), "{asked}");
    let (stolen, _) = served.ask(Speaks::Modern, &bob, "tools/call", call(state.clone()));
    assert!(stolen["result"]["content"].is_null(), "{stolen}");
    assert!(yard.world("one").noted("effect").is_empty(), "{stolen}");
    let (paid, _) = served.ask(Speaks::Modern, &ada, "tools/call", call(state));
    assert!(paid["result"]["content"].is_array(), "{paid}");
    assert_eq!(yard.world("one").noted("effect"), ["paid"]);

    // Whose key is taken back is out; the file and its listing hold no key.
    assert!(!keys(&["new"], "ada").status.success(), "the name is taken");
    assert!(keys(&["revoke"], "ada").status.success());
    let again = keys(&["revoke"], "ada");
    assert!(String::from_utf8_lossy(&again.stderr).contains("no key `ada` that counts"));
    let listed = String::from_utf8(keys(&["list"], "").stdout).unwrap();
    assert!(listed.contains("revoked") && listed.contains("until "), "{listed}");
    let secret = ada.trim().rsplit(' ').next().unwrap();
    assert!(!listed.contains(secret) && !std::fs::read_to_string(file).unwrap().contains(secret));
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    assert!(served.send("POST", "/mcp", &ada, list).starts_with("HTTP/1.1 401"));
    let (found, _) = served.ask(Speaks::Modern, &bob, "tools/list", json!({}));
    assert!(found["result"]["tools"].is_array(), "{found}");
}

fn callers() {
    let yard = Yard::of(Speaks::Modern, Speaks::Modern);
    let folder = yard.file().with_file_name("policies");
    std::fs::create_dir(&folder).unwrap();
    let text = "@id(\"ada\") permit (principal == Etdi::User::\"api-key#ada\", action, resource);";
    std::fs::write(folder.join("a.cedar"), text).unwrap();
    let gateway = json!({"http": "127.0.0.1:0", "auth": {"api_keys": "keys.json"}});
    yard.write(&json!({"policy": "policies"}), &gateway);
    let file = yard.file().with_file_name("keys.json");
    let key = |name: &str| {
        let words = ["auth", "api-key", "new", "--scope", "mcp", file.to_str().unwrap(), name];
        let made = yard.command(&words).output().unwrap();
        format!("X-API-Key: {}\r\n", String::from_utf8(made.stdout).unwrap().trim())
    };
    let (ada, bob) = (key("ada"), key("bob"));
    let served = Served::open(yard.gateway(&["--trust-first-use"]));
    let call = json!({"name": "one__sample", "arguments": {}});
    for (user, name, may) in [(&ada, "ada", true), (&bob, "bob", false)] {
        served.ask(Speaks::Modern, user, "tools/list", json!({}));
        let (said, _) = served.ask(Speaks::Modern, user, "tools/call", call.clone());
        let said = said.to_string();
        let denied = format!("a call of `sample` by `api-key#{name}`: no policy permits it");
        assert_eq!(said.contains(&denied), !may, "{said}");
        // What shows why is asked about whoever called, not about whoever runs the gateway.
        let user = format!("'--user=api-key#{name}'");
        assert_eq!(said.contains(&user), !may, "{user}: {said}");
        assert!(!said.contains("etdi approve"), "{said}");
    }
    let noted = yard.command(&["audit", "tail"]).output().unwrap();
    let noted = String::from_utf8(noted.stdout).unwrap();
    assert!(noted.contains("api-key#bob"), "who called is shown: {noted}");
    let noted = yard.command(&["audit", "query", "--json"]).output().unwrap();
    let noted: Value = serde_json::from_slice(&noted.stdout).unwrap();
    let mut users: Vec<(&str, &str)> = Vec::new();
    for entry in noted["data"]["entries"].as_array().unwrap_or_else(|| panic!("{noted}")) {
        let event = &entry["event"];
        if let Some(user) = event["user"].as_str() {
            users.push((event["kind"].as_str().unwrap(), user));
        }
    }
    let invoked = ("tool_invoked", "api-key#ada");
    let decided = |name: &'static str| ("policy_decided", name);
    assert_eq!(users, [decided("api-key#ada"), invoked, decided("api-key#bob")], "{noted}");
}

fn no_paths() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Legacy);
    let copy = yard.file().with_file_name("copied");
    let mut entry = yard.entry("one", &json!({}));
    std::fs::copy(entry["command"].as_str().unwrap(), &copy).unwrap();
    entry["command"] = json!(copy);
    yard.write_text(&json!({ "mcpServers": { "one": entry } }).to_string());
    let mut client = yard.client(Speaks::Legacy, json!({}));
    assert_eq!(client.tools().len(), 3);
    client.end();
    let other = copy.with_extension("new");
    std::fs::write(&other, [std::fs::read(&copy).unwrap(), b"other".to_vec()].concat()).unwrap();
    std::fs::set_permissions(&other, std::fs::metadata(&copy).unwrap().permissions()).unwrap();
    std::fs::rename(&other, &copy).unwrap();
    let served = Served::open(yard.gateway(&["--trust-first-use", "--http", "127.0.0.1:0"]));
    let call = json!({"name": "one__pay", "arguments": {}});
    let said = served.ask(Speaks::Modern, "", "tools/call", call).0.to_string();
    assert!(said.contains("is refused"), "{said}");
    let folder = copy.parent().unwrap().display().to_string();
    assert!(!said.contains(&folder) && !said.contains("sha-256"), "{said}");
}

fn idle() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Modern);
    yard.write(&json!({}), &json!({"http": "127.0.0.1:0", "idle_after": 1}));
    let served = Served::open(yard.gateway(&["--trust-first-use"]));
    let list = || served.ask(Speaks::Modern, "", "tools/list", json!({})).0;
    assert_eq!(list()["result"]["tools"].as_array().unwrap().len(), 6);
    // Whoever goes on asking keeps them.
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        list();
    }
    assert_eq!(yard.world("one").noted("started").len(), 1);
    for name in ["one", "two"] {
        yard.world(name).wait("ended", |line| line == "yes");
    }
    assert_eq!(list()["result"]["tools"].as_array().unwrap().len(), 6);
    assert_eq!(yard.world("one").noted("started").len(), 2);
}

fn served() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Modern);
    yard.write(&json!({}), &json!({}));
    let served = Served::open(yard.gateway(&["--trust-first-use", "--http", "127.0.0.1:0"]));
    let (found, _) = served.ask(Speaks::Modern, "", "tools/list", json!({}));
    let names = |found: &Value| -> Vec<String> {
        let tools = found["result"]["tools"].as_array().unwrap_or_else(|| panic!("{found}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&found).len(), 6, "{found}");
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"}});
    let (_, answer) = served.ask(Speaks::Legacy, "", "initialize", hello);
    let session =
        answer.lines().find(|line| line.to_ascii_lowercase().starts_with("mcp-session-id:"));
    let session = format!("{}\r\nMCP-Protocol-Version: 2025-11-25\r\n", session.unwrap());
    let (found, _) = served.ask(Speaks::Legacy, &session, "tools/list", json!({}));
    assert_eq!(names(&found).len(), 6, "{found}");
    // A client without forms is told so by the server, and nobody else is asked.
    let call = json!({"name": "one__pay", "arguments": {}});
    let (refused, _) = served.ask(Speaks::Legacy, &session, "tools/call", call);
    assert!(refused.to_string().contains("error"), "{refused}");
    assert!(yard.world("one").noted("effect").is_empty());
    assert_eq!(yard.world("one").noted("started").len(), 1, "all who are not told apart share it");
}
