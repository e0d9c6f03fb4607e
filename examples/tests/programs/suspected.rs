//! What the scanner says of our own servers: a guard that trusts the first use has to let all of it through.

use etdi_core::analyze::{Kind, SecurityAnalyzer, Threshold};
use serde_json::{Value, json};

use super::connect;

/// Servers over standard streams, with the least number of tools that each has.
const SERVERS: [(&str, &[&str], usize); 9] = [
    ("everything", &[], 35),
    ("calculator", &[], 2),
    ("low_level", &[], 1),
    ("inputs", &[], 3),
    ("interop_server", &[], 3),
    ("bench_server", &["--stdio", "--tools", "10"], 10),
    ("tools", &["basics"], 1),
    ("tools", &["structured"], 7),
    ("tools", &["checked"], 1),
];

/// What a guard that trusts the first use would hold back, and why.
fn look(server: &str, tool: &Value) -> Option<String> {
    let found = SecurityAnalyzer::new().analyze(Kind::Tool, &tool.to_string());
    let held = found.evident > Threshold::HalfPercent.evident();
    held.then(|| format!("{server}#{} {:.2} {:?}", tool["name"], found.evident, found.findings))
}

#[tokio::test]
async fn the_scanner_suspects_none_of_our_servers() {
    let mut suspected = Vec::new();
    for (program, arguments, least) in SERVERS {
        let client = connect(program, arguments);
        let tools = client.all_tools().await.unwrap();
        assert!(tools.len() >= least, "{program} lists {}", tools.len());
        for tool in tools {
            suspected.extend(look(program, &serde_json::to_value(&*tool).unwrap()));
        }
        client.service().close().await;
    }
    for tool in of_the_readme() {
        suspected.extend(look("README", &tool));
    }
    assert_eq!(suspected, Vec::<String>::new());
}

/// The tools of the README's servers, as they list them.
fn of_the_readme() -> [Value; 3] {
    let tool = |name: &str, description: &str, properties: Value| {
        let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
        json!({
            "name": name, "description": description,
            "inputSchema": {"type": "object", "properties": properties, "required": required},
        })
    };
    [
        tool("add", "Adds two numbers.", json!({"a": {"type": "number"}, "b": {"type": "number"}})),
        tool(
            "greet",
            "Says hello.",
            json!({"name": {"type": "string", "description": "Who to greet."}}),
        ),
        tool(
            "share",
            "Shares a note, once the user has said so.",
            json!({"number": {"type": "integer", "minimum": 0}}),
        ),
    ]
}
