//! What passes the guard: everything, in every combination of eras.

use serde_json::{Value, json};

use crate::Test;
use crate::client::{BOTH, Client, Speaks, World, everything};

pub(crate) const TESTS: &[Test] = &[
    ("an effect with a question happens once in all eras", once),
    ("sampling passes in all eras", sampling),
    ("what a client refuses its server hears", refusals),
    ("results of one era leave as the text that came", bytes),
    ("features pass in all eras", features),
    ("what belongs to no call passes between older revisions", beside),
    ("a call that is given up is cancelled", cancelled),
    ("progress has the token of whoever asked, and comes to nobody else", progress),
    ("changes are heard in all eras", changes),
    ("a guard ends with its server", ends),
];

fn pairs(mut test: impl FnMut(&World, &mut Client, (Speaks, Speaks))) {
    for before in BOTH {
        for behind in BOTH {
            let world = World::new(behind);
            let mut client = world.client(before, everything(), &["--trust-first-use"]);
            assert_eq!(client.tools(), ["pay", "slow", "sample"], "{before:?} {behind:?}");
            test(&world, &mut client, (before, behind));
        }
    }
}

fn once() {
    pairs(|world, client, eras| {
        let result = client.call("pay");
        let text =
            result["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"));
        assert!(text.contains("accept"), "{eras:?}: {result}");
        assert_eq!(world.noted("effect"), ["paid"], "{eras:?}");
        let forms = client.heard.iter().filter(|one| one["method"] == "elicitation/create");
        assert_eq!(forms.count(), 1, "{eras:?}: {:?}", client.heard);
    });
}

fn sampling() {
    pairs(|world, client, eras| {
        let result = client.call("sample").to_string();
        assert!(result.contains("sampled"), "{eras:?}: {result}");
        assert_eq!(world.noted("effect").len(), 1, "{eras:?}");
    });
}

fn refusals() {
    let world = World::new(Speaks::Legacy);
    let mut client = world.client(Speaks::Legacy, everything(), &["--trust-first-use"]);
    client.tools();
    let no = json!({"error": {"code": -1, "message": "the user said no"}});
    client.answers.push(("elicitation/create", no));
    let result = client.call("pay").to_string();
    assert!(result.contains("the user said no"), "{result}");
    assert!(world.noted("effect").is_empty());

    let mut client = world.client(Speaks::Legacy, json!({}), &["--trust-first-use"]);
    client.tools();
    let result = client.call("pay").to_string();
    assert!(result.contains("-32601"), "the server is told so, as without a guard: {result}");
    assert!(client.heard.iter().all(|one| one["method"] != "elicitation/create"));
}

fn bytes() {
    for era in BOTH {
        let world = World::new(era);
        let mut guarded = world.client(era, everything(), &["--trust-first-use"]);
        let mut direct = world.direct(everything());
        guarded.tools();
        direct.tools();
        for (method, params) in [
            ("prompts/get", json!({"name": "p"})),
            ("resources/read", json!({"uri": "a:b"})),
            ("acme/thing", json!({"q": {"b": 1, "a": 2}})),
        ] {
            let (one, two) = (guarded.start(method, params.clone()), direct.start(method, params));
            let (with, without) = (guarded.answer_line(one), direct.answer_line(two));
            assert_eq!(result_of(&with), result_of(&without), "{era:?} {method}");
        }
        // The listing of tools is made anew, each tool is the text that came.
        let (one, two) =
            (guarded.start("tools/list", json!({})), direct.start("tools/list", json!({})));
        let (with, without) = (guarded.answer_line(one), direct.answer_line(two));
        let first = r#"{"name":"pay", "zz":[1.50], "inputSchema":{"type":"object"},"description":"Pays once."}"#;
        assert!(with.contains(first) && without.contains(first), "{with}");
        let (with, without) = (guarded.call_line("pay"), direct.call_line("pay"));
        assert!(with.contains(r#"{ "zz":1.0,"content""#), "{with}");
        assert_eq!(result_of(&with), result_of(&without), "{era:?}");
    }
}

/// The text of the result of an answer.
fn result_of(line: &str) -> &str {
    let (_, result) = line.split_once(r#""result":"#).unwrap_or_else(|| panic!("{line}"));
    result
}

fn features() {
    pairs(|_, client, eras| {
        for (method, params, path) in [
            ("prompts/list", json!({}), "/result/prompts/0/zz"),
            ("prompts/get", json!({"name": "p"}), "/result/zz"),
            ("resources/read", json!({"uri": "a:b"}), "/result/contents/0/zz"),
            (
                "completion/complete",
                json!({"ref": {"type": "ref/prompt", "name": "p"},
                    "argument": {"name": "a", "value": "v"}}),
                "/result/completion/zz",
            ),
            ("acme/thing", json!({"q": 7}), "/result/seen"),
            ("tasks/get", json!({"taskId": "t"}), "/result/taskId"),
        ] {
            let answer = client.request(method, params);
            assert!(answer.pointer(path).is_some(), "{eras:?} {method}: {answer}");
        }
        let unknown = client.request("acme/other", json!({}));
        assert_eq!(unknown["error"]["code"], -32601, "{eras:?}: {unknown}");
        if eras == (Speaks::Legacy, Speaks::Legacy) {
            assert_eq!(unknown["error"]["data"], json!({"z": 1}));
        }
    });
}

fn beside() {
    let world = World::new(Speaks::Legacy);
    let mut client = world.client(Speaks::Legacy, everything(), &["--trust-first-use"]);
    client.answers.push(("acme/ask", json!({"result": {"mine": 1}})));
    client.hear("roots/list");
    client.hear("acme/ask");
    let said = client.hear("notifications/message");
    assert_eq!(said["params"]["data"], "outside");
    world.wait("heard", |line| line.contains(r#""id":"roots""#) && line.contains("file:///work"));
    world.wait("heard", |line| line.contains(r#""id":"own""#) && line.contains(r#""mine":1"#));
    client.notify("notifications/roots/list_changed", json!({}));
    world.wait("heard", |line| line.contains("notifications/roots/list_changed"));
    client.hear("roots/list");
    world.wait("heard", |line| line.contains(r#""id":"again""#) && line.contains("file:///work"));
    // Nobody asked for a level, so the server is not told one.
    client.tools();
    let set = |line: &str| line.contains("logging/setLevel");
    assert!(!world.noted("heard").iter().any(|line| set(line)));
    client.request("logging/setLevel", json!({"level": "error"}));
    client.tools();
    world.wait("heard", |line| set(line) && line.contains("error"));

    // A client that cannot answer is not asked; the server hears what such a client would say.
    let world = World::new(Speaks::Legacy);
    let _client = world.client(Speaks::Legacy, json!({}), &["--trust-first-use"]);
    world.wait("heard", |line| line.contains(r#""id":"roots""#) && line.contains("-32601"));

    // One without such questions is not asked either.
    let world = World::new(Speaks::Legacy);
    let mut client = world.client(Speaks::Modern, everything(), &["--trust-first-use"]);
    client.tools();
    world.wait("heard", |line| line.contains(r#""id":"roots""#) && line.contains("error"));
}

fn cancelled() {
    pairs(|world, client, eras| {
        let id = client.start("tools/call", json!({"name": "slow", "arguments": {}}));
        let call = world.wait("heard", |line| line.contains(r#""name":"slow""#));
        let call: Value = serde_json::from_str(&call).unwrap();
        client.notify("notifications/cancelled", json!({"requestId": id}));
        let told = world.wait("heard", |line| line.contains("notifications/cancelled"));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["params"]["requestId"], call["id"], "{eras:?}");
    });
}

fn progress() {
    pairs(|world, client, eras| {
        let params = json!({"name": "slow", "arguments": {}, "_meta": {"progressToken": "mine"}});
        client.start("tools/call", params);
        let told = client.hear("notifications/progress");
        assert_eq!(told["params"]["progressToken"], "mine", "{eras:?}");
        assert_eq!((&told["params"]["progress"], &told["params"]["zz"]), (&json!(0.5), &json!(1)));
        client.start("tools/call", json!({"name": "slow", "arguments": {"second": true}}));
        let call = world.wait("heard", |line| line.contains(r#""second":true"#));
        assert!(!call.contains("progressToken"), "{eras:?}: {call}");
    });
}

fn changes() {
    pairs(|_, client, eras| {
        let (before, behind) = eras;
        if before == Speaks::Modern {
            let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]});
            let id = client.start("subscriptions/listen", json!({"notifications": wanted}));
            let told = client.hear("notifications/subscriptions/acknowledged");
            let key = "io.modelcontextprotocol/subscriptionId";
            assert_eq!(told["params"]["_meta"][key], id, "{eras:?}: {told}");
            let what = match behind {
                Speaks::Legacy => "notifications/resources/updated",
                Speaks::Modern => "notifications/tools/list_changed",
            };
            // What the server says before it has answered for the subscription may be missed.
            if behind == Speaks::Modern {
                let told = client.hear(what);
                assert_eq!(told["params"]["_meta"][key], id, "{eras:?}: {told}");
            }
        } else if behind == Speaks::Legacy {
            client.request("resources/subscribe", json!({"uri": "a:b"}));
            client.request("change", json!({}));
            client.hear("notifications/tools/list_changed");
        } else {
            client.hear("notifications/tools/list_changed");
        }
    });
}

fn ends() {
    let world = World::new(Speaks::Legacy);
    let mut client = world.client(Speaks::Legacy, everything(), &["--trust-first-use"]);
    client.tools();
    client.start("quit", json!({}));
    client.wait();

    let world = World::new(Speaks::Legacy);
    let mut client = world.client(Speaks::Legacy, everything(), &["--trust-first-use"]);
    client.tools();
    client.end();
    world.wait("ended", |line| line == "yes");
}
