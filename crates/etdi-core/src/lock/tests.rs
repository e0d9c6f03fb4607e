//! The version rule, change by change, and a file that survives reading.

use super::*;
use crate::definition::RawTool;

fn tool(version: &str, edit: impl Fn(&mut serde_json::Value)) -> ToolDefinition {
    let mut tool = serde_json::json!({
        "name": "search", "description": "Search.",
        "inputSchema": {"type": "object", "properties": {"query": {"type": "string"}}},
        "_meta": {"dev.etdi/etdi": {
            "v": 1, "version": version,
            "permissions": [{"scope": "notes:read"}, {"scope": "notes:list", "required": false}],
            "call": {"allowed_callees": ["b", "a"], "require_approval_for_chains": false},
        }},
    });
    edit(&mut tool);
    RawTool::read(&tool.to_string()).unwrap().definition().clone()
}

fn block(tool: &mut serde_json::Value) -> &mut serde_json::Value {
    &mut tool["_meta"]["dev.etdi/etdi"]
}

type Edit = fn(&mut serde_json::Value);

const CHANGES: &[(Raise, &str, Edit)] = &[
    (Raise::Major, "asks for `a:b`", |tool| {
        block(tool)["permissions"]
            .as_array_mut()
            .unwrap()
            .push(serde_json::json!({"scope": "a:b"}));
    }),
    (Raise::Major, "no longer asks for `notes:list`", |tool| {
        block(tool)["permissions"].as_array_mut().unwrap().pop();
    }),
    (Raise::Major, "requires `notes:list`", |tool| {
        block(tool)["permissions"][1]["required"] = true.into();
    }),
    (Raise::Major, "changes who may call whom", |tool| {
        block(tool)["call"]["allowed_callees"] = serde_json::json!(["a", "b", "c"]);
    }),
    (Raise::Major, "changes whether calls must be signed", |tool| {
        block(tool)["request_signing"] = "required".into();
    }),
    (Raise::Major, "wants other OAuth scopes of its callers", |tool| {
        block(tool)["scopes"] = serde_json::json!(["x"]);
    }),
    (Raise::Minor, "has another schema", |tool| {
        tool["inputSchema"]["properties"]["limit"] = serde_json::json!({});
    }),
    (Raise::Minor, "has another schema", |tool| {
        tool["outputSchema"] = serde_json::json!({"type": "object"});
    }),
    (Raise::Patch, "", |tool| tool["description"] = "Search!".into()),
    (Raise::Patch, "", |tool| {
        block(tool)["permissions"][0]["description"] = "to find".into();
    }),
    // Another order of the same is another digest and promises nothing else.
    (Raise::Patch, "", |tool| {
        block(tool)["call"]["allowed_callees"] = serde_json::json!(["a", "b"]);
    }),
];

#[test]
fn each_change_needs_its_number() {
    let lock = Lock::of([&tool("1.2.3", |_| ())]);
    for (raise, words, edit) in CHANGES {
        let state = |version: &str| lock.compare(&tool(version, edit)).state;
        let needed = ["1.2.4", "1.3.0", "2.0.0"];
        let enough = *raise as usize;
        for (index, version) in needed.iter().enumerate() {
            let expected = match index < enough {
                true => State::Needs(needed[enough].parse().unwrap()),
                false => State::Raised,
            };
            assert_eq!(state(version), expected, "{words} {version}");
        }
        assert_eq!(state("1.2.3"), State::Needs(needed[enough].parse().unwrap()), "{words}");
        assert_eq!(state("1.2.2"), State::Lowered, "{words}");
        let finding = lock.compare(&tool("1.2.3", edit));
        assert!(finding.to_string().contains(words), "{finding}");
    }
    assert_eq!(lock.compare(&tool("1.2.3", |_| ())).state, State::Same);
    assert_eq!(lock.compare(&tool("1.2.4-rc.1", CHANGES[8].2)).state, State::Raised);
    assert_eq!(lock.check([])[0].state, State::Gone);
    // Whoever takes the declaration away breaks what was promised under it.
    let bare = tool("1.2.3", |tool| drop(tool.as_object_mut().unwrap().remove("_meta")));
    assert_eq!(lock.compare(&bare).state, State::Undeclared);
    assert_eq!(Lock::default().compare(&bare).state, State::NoVersion);
    assert_eq!(Lock::default().compare(&tool("1.0.0", |_| ())).state, State::New);
}

#[test]
fn a_lock_says_what_version_is_needed() {
    let lock = Lock::of([&tool("0.3.0", |_| ())]);
    let finding = lock.compare(&tool("0.4.0", CHANGES[0].2));
    assert_eq!(
        finding.to_string(),
        "`search` asks for `a:b` since version 0.3.0: its version must be 1.0.0 or higher"
    );
}

#[test]
fn a_file_survives_reading() {
    let odd = tool("1.0.0-rc.1+b", |tool| {
        tool["name"] = "a \"b\"\\\n\u{202e}\u{1f600}".into();
        block(tool)["id"] = "ü".into();
        block(tool)["scopes"] = serde_json::json!(["x, \"y\"", ""]);
        block(tool)["request_signing"] = "required".into();
        block(tool)["call"] = serde_json::json!({
            "max_depth": 3, "allowed_callers": [], "blocked_callees": ["*"],
            "require_approval_for_chains": true
        });
    });
    let lock = Lock::of([&tool("1.2.3", |_| ()), &odd]);
    let text = lock.to_string();
    assert!(text.is_ascii());
    assert_eq!(Lock::read(&text).unwrap(), lock);
    assert_eq!(Lock::read(&text.replace('\n', "\r\n")).unwrap(), lock);
    for (from, to) in [
        ("format = 1", "format = 2"),
        ("format = 1", ""),
        ("version = \"1.2.3\"", "version = \"1.2\""),
        ("version = \"1.2.3\"", ""),
        ("permissions = [", "permisions = ["),
        ("max_call_depth = 3", "max_call_depth = \"3\""),
        ("max_call_depth = 3", "max_call_depth = 3\nmax_call_depth = 4"),
        ("[\"*\"]", "[\"*\",]"),
        ("[\"*\"]", "[\"*\", ]"),
        ("\\u202E", "\\u202"),
        ("\\U0001F600", "\\U00D80000"),
        ("name = \"search\"", "name = \"search"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(Lock::read(&text.replacen(from, to, 1)).is_err(), "{from} {to}");
    }
    let (head, tools) = text.split_at(text.find("[[tool]]").unwrap());
    assert!(Lock::read(&format!("{head}{tools}{tools}")).is_err(), "a name twice");
}

/// The macro reads the same table.
#[test]
fn the_table_of_cases() {
    let table = include_str!("../../../../tests/grammar/lock.txt");
    for case in crate::grammar::cases(table) {
        let digest = "sha-256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let text = format!(
            "format = 1\n[[tool]]\nname = \"t\"\nversion = \"1.0.0\"\ndigest = \"{digest}\"\n\
             schema = \"{digest}\"\n{}\n",
            case.text
        );
        let reason = Lock::read(&text).is_err().then_some("line");
        assert_eq!(reason, case.reason, "{:?}", case.text);
    }
}
