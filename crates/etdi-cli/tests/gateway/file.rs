//! The file, and what is wrong with it.

use serde_json::{Value, json};

use crate::Test;
use crate::client::Speaks;
use crate::yard::Yard;

pub(crate) const TESTS: &[Test] = &[
    ("a file that is wrong says where and what to do", wrong),
    ("what would be served is shown and nothing is started", checked),
    ("TOML and YAML have the names that JSON has", other_formats),
    ("what is only looked at is not built", unbuilt),
    ("prefixes keep apart what names alone do not", prefixes),
    ("a file from elsewhere does not drive the terminal", harmless),
];

fn wrong() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Legacy);
    let with = |gateway: &str| {
        format!(
            "{{\n\"mcpServers\": {{\"a\": {{\"command\": \"true\"}}}},\n\"gateway\": {gateway}\n}}"
        )
    };
    let told = |etdi: &str| {
        format!("{{\"mcpServers\": {{\n\"a\": {{\"command\": \"true\",\n\"etdi\": {etdi}}}}}}}")
    };
    for (text, parts) in [
        ("{".to_owned(), vec!["servers.json", "line 1"]),
        ("{}".to_owned(), vec!["names no server", "mcpServers"]),
        ("{\"mcpServers\": 7}".to_owned(), vec!["line 1", "table of servers"]),
        (
            "{\"mcpServers\": {\n\"a\": {\"comand\": \"x\"}}}".to_owned(),
            vec!["line 2", "`a`", "neither a command nor a URL"],
        ),
        (
            "{\"mcpServers\": {\n\"a\": {\"command\": \"x\", \"args\": 7}}}".to_owned(),
            vec!["line 2", "`args`"],
        ),
        (
            "{\"mcpServers\": {\n\"a b\": {\"command\": \"x\"},\n\"a-b\": {\"command\": \"y\"}}}"
                .to_owned(),
            vec!["line 3", "`a b` of line 2", "`prefix`"],
        ),
        (
            "{\"mcpServers\": {\n\"é\": {\"command\": \"x\"}}}".to_owned(),
            vec!["line 2", "`prefix`"],
        ),
        ("{\"mcpServers\": {\n\"a:b\": {\"command\": \"x\"}}}".to_owned(), vec!["line 2", "`:`"]),
        (
            "{\"mcpServers\": {\n\"a\": {\"command\": \"${NOT_SET_AT_ALL}\"}}}".to_owned(),
            vec!["line 2", "`NOT_SET_AT_ALL` is not set"],
        ),
        (
            told("{\"trust_first_use\": \"yes\"}"),
            vec!["line 3", "`a.etdi.trust_first_use` must be true or false"],
        ),
        (told("{\"trust_first_us\": true}"), vec!["line 3", "did you mean `trust_first_use`?"]),
        (
            told("{\"level\": \"high\"}"),
            vec!["line 3", "`basic`, `enhanced` or `strict`", "`high`"],
        ),
        (told("{\"prefix\": \"a__b\"}"), vec!["`a__b`", "`prefix`"]),
        (told("{\"policy\": \"nowhere\"}"), vec!["nowhere"]),
        (with("{\"htp\": \"x\"}"), vec!["line 3", "did you mean `http`?"]),
        (
            with("{\"http\": \"localhost\"}"),
            vec!["line 3", "an address with a port", "`localhost`"],
        ),
        (with("{\"http\": \"0.0.0.0:0\"}"), vec!["other computers", "`gateway.auth`"]),
        (
            with("{\"http\": \"0.0.0.0:0\",\n\"auth\": {\"issuer\": \"https://i.example\"}}"),
            vec!["`gateway.url`", "in the clear"],
        ),
        (
            with("{\"http\": \"127.0.0.1:0\",\n\"auth\": {\"scopes\": [\"a\"]}}"),
            vec!["line 4", "`issuer`"],
        ),
        (
            with("{\"http\": \"127.0.0.1:0\",\n\"auth\": {\"isuer\": \"x\"}}"),
            vec!["line 4", "did you mean `issuer`?"],
        ),
        (
            with("{\"http\": \"127.0.0.1:0\",\n\"auth\": {\"api_keys\": \"none.json\"}}"),
            vec!["line 4", "none.json"],
        ),
        (with("{\"flows\": \"none.json\"}"), vec!["none.json"]),
        (
            with("{\"http\": \"127.0.0.1:0\",\n\"url\": \"https://mcp.example/mcp\"}"),
            vec!["`https://mcp.example/mcp`", "nobody has to log in", "`gateway.auth`"],
        ),
        (
            with("{\"http\": \"127.0.0.1:0\",\n\"url\": \"http://127.0.0.1.nip.example/mcp\"}"),
            vec!["nobody has to log in"],
        ),
    ] {
        yard.write_text(&text);
        let output = yard.output(&["--stdio"]);
        let output = if text.contains("\"http\"") { yard.output(&[]) } else { output };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}: {said}");
        for part in parts {
            assert!(said.contains(part), "{text}\n{part}: {said}");
        }
        assert!(said.contains("try: "), "{said}");
    }
}

fn other_formats() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Legacy);
    let folder = yard.file().parent().unwrap().to_owned();
    for (name, text) in [
        (
            "s.toml",
            "[mcpServers.notes]\ncommand = \"true\"\n[mcpServers.notes.etdi]\nprefix = \"n\"\n",
        ),
        ("s.yaml", "mcpServers:\n  notes:\n    command: \"true\"\n    etdi:\n      prefix: n\n"),
        (
            "own.toml",
            "[mcp_servers.notes]\ncommand = \"true\"\n[mcp_servers.notes.etdi]\nprefix = \"n\"\n",
        ),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        let words = ["--json", "gateway", "--check", file.to_str().unwrap()];
        let output = yard.command(&words).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["data"]["servers"][0]["prefix"], "n", "{name}: {said}");
        // And under the name by which the gateway's advice has it.
        let target = format!("{}:notes", file.display());
        let output = yard.command(&["--json", "scan", &target]).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "`true` is no server, but it is found");
    }
}

fn checked() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Legacy);
    let mut servers = json!({
        "one": yard.entry("one", &json!({"trust_first_use": true, "prefix": "uno"})),
        "off": {"command": "false", "disabled": true},
        "far": {"url": "https://far.example/mcp?key=s3cret", "headers": {"Authorization": "Bearer s3cret"}},
    });
    servers["one"]["env"] = json!({"TOKEN": "s3cret"});
    let gateway = json!({"http": "127.0.0.1:0", "auth": {"issuer": "https://login.example", "scopes": ["mcp"]},
        "etdi": {"level": "strict"}});
    yard.write_text(&json!({"mcpServers": servers, "gateway": gateway}).to_string());
    let output = yard.output(&["--check", "--json"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("s3cret"), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let data = &said["data"];
    assert_eq!((&said["command"], &data["off"]), (&json!("gateway"), &json!(["off"])), "{said}");
    assert_eq!(data["door"]["auth"]["issuer"], "https://login.example", "{said}");
    let servers = data["servers"].as_array().unwrap();
    let one = servers.iter().find(|one| one["prefix"] == "uno").unwrap();
    assert_eq!((servers.len(), &one["options"]["level"]), (2, &json!("strict")), "{said}");
    // Whoever is let in must not approve for the others.
    assert!(one["options"]["elicitation"].is_null(), "{said}");
    assert!(yard.world("one").noted("started").is_empty(), "nothing was started");
    let output = yard.output(&["--check", "--stdio"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("on standard streams") && said.contains("uno__"), "{said}");
    assert!(said.contains("switched off: `off`") && !said.contains("s3cret"), "{said}");
    // A program that is not there is no success; one that its own `PATH` has is there.
    let folder = yard.file().parent().unwrap().join("own");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy("/bin/true", folder.join("only-here")).unwrap();
    for (env, code) in [(json!({}), 4), (json!({"PATH": folder}), 0)] {
        let servers = json!({"one": {"command": "only-here", "env": env}});
        yard.write_text(&json!({ "mcpServers": servers }).to_string());
        assert_eq!(yard.output(&["--check"]).status.code(), Some(code));
    }
}

/// Behind a guard an entry may name a package by its folder; to build it is to run its build script.
fn unbuilt() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Legacy);
    let folder = yard.file().with_file_name("package");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest =
        "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    let build = "fn main() { std::fs::write(\"built\", \"\").unwrap() }\n";
    std::fs::write(folder.join("build.rs"), build).unwrap();
    let etdi = yard.command(&[]).get_program().to_owned();
    let entry = json!({"command": etdi.to_str(), "args": ["guard", "--", folder.to_str()]});
    yard.write_text(&json!({"mcpServers": {"p": entry}}).to_string());
    let output = yard.output(&["--check", "--json"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["data"]["servers"][0]["found"], true, "{said}");
    assert!(!folder.join("built").exists() && !folder.join("target").exists(), "it was built");
}

fn prefixes() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Legacy);
    let servers = json!({
        "My Server!": yard.entry("one", &json!({})),
        "other": yard.entry("two", &json!({"prefix": "b"})),
    });
    yard.write_text(&json!({ "mcpServers": servers }).to_string());
    let mut client = yard.client(Speaks::Legacy, json!({}));
    let tools = client.tools();
    assert_eq!(tools.first().map(String::as_str), Some("My-Server__pay"));
    assert_eq!(tools.last().map(String::as_str), Some("b__sample"));
}

fn harmless() {
    let yard = Yard::of(Speaks::Legacy, Speaks::Legacy);
    let of = |gateway: Value| {
        yard.write_text(
            &json!({"mcpServers": {"a": {"command": "true"}}, "gateway": gateway}).to_string(),
        );
        let mut command = yard.gateway(&["--check"]);
        let output = command.env("CLICOLOR_FORCE", "1").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said).unwrap()
    };
    let sly = "\u{1b}]0;owned\u{7}";
    for gateway in [
        json!({"http": "127.0.0.1:0", "url": format!("http://localhost/{sly}")}),
        json!({"http": "127.0.0.1:0", "auth": {"api_keys": format!("{sly}.json")}}),
    ] {
        let said = of(gateway);
        assert!(said.contains("owned"), "{said:?}");
        assert!(!said.contains("\u{1b}]") && !said.contains('\u{7}'), "{said:?}");
    }
}
