//! What the guard refuses for reasons that are not the definition, and what its forms show.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;

use serde_json::{Value, json};

use crate::Test;
use crate::client::{BOTH, Speaks, World, everything};

pub(crate) const TESTS: &[Test] = &[
    ("what policies do not permit is not called", policy),
    ("a tool is called as often as it may be", limited),
    ("a call that cannot be noted is not made", noted),
    ("calls and refusals stand in the audit trail", trail),
    ("a definition that is too long for a form waits", too_long),
    ("a form hides nothing", hidden),
    ("a tool that is not listed is not called", unlisted),
    ("answers to old questions are none", replayed),
    ("an approval that is taken back counts no more", revoked),
];

fn calls(world: &World) -> usize {
    world.noted("heard").iter().filter(|line| line.contains("tools/call")).count()
}

fn policy() {
    let folder = tempfile::tempdir().unwrap();
    let text = "@id(\"ada\") permit (principal == Etdi::User::\"ada\", action, resource);";
    std::fs::write(folder.path().join("a.cedar"), text).unwrap();
    let folder = folder.path().to_str().unwrap();
    for before in BOTH {
        for (user, calls_made) in [("eve", 0), ("ada", 1)] {
            let world = World::new(Speaks::Legacy);
            let options = ["--trust-first-use", "--policy", folder, "--user", user];
            let mut client = world.client(before, everything(), &options);
            client.tools();
            let result = client.call("pay").to_string();
            assert_eq!(calls(&world), calls_made, "{before:?} {user}: {result}");
            assert_eq!(result.contains("POLICY_DENIED"), calls_made == 0, "{result}");
            // An approval is not what is wanting, and nobody is sent to give it.
            let test = format!("etdi policy test {folder} --tool=pay --args '{{}}' --user={user} ");
            assert_eq!(result.contains(&test), calls_made == 0, "{test}: {result}");
            assert!(!result.contains("etdi approve"), "{result}");
            let log = client.end();
            assert!(!log.contains("BLOCKED `pay`"), "{log}");
            assert_eq!(log.contains("REFUSED a call of `pay`"), calls_made == 0, "{log}");
        }
    }
}

fn limited() {
    // What a client without a handshake answers comes with a second request, which counts as well.
    for (before, most) in [(Speaks::Legacy, "2"), (Speaks::Modern, "4")] {
        let world = World::new(Speaks::Legacy);
        let options = ["--trust-first-use", "--calls-per-minute", most];
        let mut client = world.client(before, everything(), &options);
        client.tools();
        let results: Vec<Value> = (0..3).map(|_| client.call("pay")).collect();
        assert_eq!(calls(&world), 2, "{results:?}");
        assert!(results[1].get("result").is_some() && results[2].get("error").is_some());
        // Another tool has an allowance of its own.
        assert!(client.call("sample").get("result").is_some());
    }
}

fn noted() {
    for before in BOTH {
        let world = World::new(Speaks::Legacy);
        let settings = json!({"policy": {"level": "basic", "unsigned": "label",
            "unverified": "label", "key_trust": "first_use", "drift": "alarm", "update": "ask",
            "revocation": "best_effort", "call_attestation": "when_asked", "receipt": "ignored",
            "rules": "local", "audit": "chained_before_act"}});
        std::fs::write(world.place.path().join("settings.json"), settings.to_string()).unwrap();
        let mut client = world.client(before, everything(), &["--trust-first-use"]);
        client.tools();
        client.call("pay");
        let trail = world.home.path().join("audit/events.jsonl");
        writeln!(OpenOptions::new().append(true).open(trail).unwrap(), "not ours").unwrap();
        let result = client.call("pay").to_string();
        assert!(result.contains("the audit trail"), "{before:?}: {result}");
        assert_eq!(calls(&world), 1, "{before:?}: {result}");
    }
}

fn trail() {
    let world = World::new(Speaks::Legacy);
    world.run(&["approve", "pay", "--yes"]);
    let mut client = world.client(Speaks::Legacy, json!({}), &["--no-elicitation"]);
    client.call("pay");
    client.call("sample");
    let trail = std::fs::read_to_string(world.home.path().join("audit/events.jsonl")).unwrap();
    let kinds = |tool: &str, kind: &str| {
        let name = format!("\"{tool}\"");
        trail.lines().any(|line| line.contains(&name) && line.contains(kind))
    };
    assert!(kinds("pay", "tool_invoked") && kinds("sample", "a call was refused"), "{trail}");
}

fn too_long() {
    for before in BOTH {
        let world = World::new(Speaks::Legacy);
        world.describe(&format!("Pays. {}", "And some more of it. ".repeat(400)));
        let mut client = world.client(before, everything(), &[]);
        client.answers.push((
            "elicitation/create",
            json!({"result": {"action": "accept", "content": {"approve": true}}}),
        ));
        let result = client.call("pay").to_string();
        assert!(result.contains("NOT_APPROVED"), "{before:?}: {result}");
        let asked = client.heard.iter().any(|one| one["method"] == "elicitation/create");
        assert!(!asked && calls(&world) == 0, "{before:?}: {result}");
    }
}

fn hidden() {
    for before in BOTH {
        let world = World::new(Speaks::Legacy);
        world.describe("Pays.\u{1b}[2J\u{202e}\u{200b}\u{e0041} once");
        let mut client = world.client(before, everything(), &[]);
        client.answers.push(("elicitation/create", json!({"result": {"action": "cancel"}})));
        client.call("pay");
        // Beside the question the guard may say that lists have changed.
        let is_asked = |one: &&Value| one["method"] == "elicitation/create";
        let asked = client.heard.iter().find(is_asked).unwrap();
        let message = asked["params"]["message"].as_str().unwrap().to_owned();
        for bad in ['\u{1b}', '\u{202e}', '\u{200b}', '\u{e0041}'] {
            assert!(!message.contains(bad), "{before:?} {bad:?}: {message}");
        }
        let log = client.end();
        assert!(!log.contains(['\u{1b}', '\u{202e}', '\u{200b}', '\u{e0041}']), "{log}");
    }
}

fn unlisted() {
    for before in BOTH {
        let world = World::new(Speaks::Legacy);
        let mut client = world.client(before, everything(), &["--trust-first-use"]);
        client.tools();
        let result = client.call("other\u{1b}[2J");
        let said = result["error"]["message"].as_str().unwrap_or_else(|| panic!("{result}"));
        assert!(said.contains("unknown tool") && !said.contains('\u{1b}'), "{said}");
        assert_eq!(calls(&world), 0, "{before:?}");
    }
}

fn replayed() {
    let world = World::new(Speaks::Modern);
    let mut client = world.client(Speaks::Modern, everything(), &[]);
    let pay = json!({"name": "pay", "arguments": {}});
    let asked = client.request("tools/call", pay);
    let state = &asked["result"]["requestState"];
    assert!(state.as_str().unwrap().starts_with("etdi-guard-"), "{asked}");
    let yes = json!({"etdi-guard-approve": {"action": "accept", "content": {"approve": true}}});
    // What was asked about one tool is no answer about another, and counts once.
    let other = json!({"name": "sample", "arguments": {}, "requestState": state,
        "inputResponses": yes});
    client.request("tools/call", other);
    let again = json!({"name": "pay", "arguments": {}, "requestState": state,
        "inputResponses": yes});
    client.request("tools/call", again);
    assert!(client.tools().is_empty());
    assert_eq!(calls(&world), 0);
}

fn revoked() {
    let world = World::new(Speaks::Legacy);
    world.run(&["approve", "pay", "--yes"]);
    // Nothing is listed anew before the call, so that the store alone says so.
    let options = ["--recheck-after", "1000", "--no-elicitation"];
    let mut client = world.client(Speaks::Legacy, everything(), &options);
    client.tools();
    assert!(client.call("pay").to_string().contains("accept"));
    let mut revoke = Command::new(env!("CARGO_BIN_EXE_etdi"));
    revoke.args(["approvals", "revoke", "pay"]).env("ETDI_HOME", world.home.path());
    assert!(revoke.output().unwrap().status.success());
    let result = client.call("pay").to_string();
    assert!(result.contains("\"isError\":true") && calls(&world) == 1, "{result}");
}
