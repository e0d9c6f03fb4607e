//! `etdi migrate`: drafts declarations for a server that has none, from what it lists.
//!
//! Permissions are guessed from names, hints and arguments, which its author may have chosen badly:
//! every line says what it was guessed from and is to be reviewed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use etdi::core::change::visible;
use etdi::core::definition::{RawTool, ToolDefinition};
use etdi::core::permission::Scope;
use serde_json::{Value, json};

use crate::args::{ContentsArguments, MigrateArguments};
use crate::exit::Failure;
use crate::output::{Output, Report};
use crate::verbs::manifest::{Unsigned, written};
use crate::verbs::offered::Offered;
use crate::verbs::target::block_on;

/// Prints a draft for each tool, and the unsigned contents of a manifest.
///
/// # Errors
///
/// When the server does not list, or something cannot be listed.
pub fn run(arguments: &MigrateArguments, output: Output) -> Result<Report, Failure> {
    let offered = block_on(Offered::list(&arguments.command, output))?;
    let nothing = ContentsArguments {
        seq: Some(1),
        tools_only: false,
        delegate: Vec::new(),
        delegate_permissions: Vec::new(),
        // No file of that name can be there.
        out: PathBuf::from("\u{1}"),
    };
    let contents = offered.contents(&nothing)?;
    let drafts: Vec<Draft> = offered.tools.iter().map(RawTool::definition).map(Draft::of).collect();
    let lines: String = drafts.iter().map(Draft::lines).collect();
    let text = format!(
        "// Drafts: each permission is a guess, take out what the tool does not need.\n{lines}\n\
         # The manifest as of now; declare first, then run `etdi lock` and `etdi sign`.\n{}",
        written(&Unsigned { contents: contents.clone(), claims: None })?
    );
    let drafts: Vec<Value> = drafts.iter().map(Draft::data).collect();
    Ok(Report::new(json!({ "tools": drafts, "manifest": contents }), text))
}

/// What a tool may have to declare.
struct Draft {
    name: String,
    declared: bool,
    permissions: BTreeSet<Scope>,
    reasons: Vec<String>,
    signed: bool,
}

/// Words of a name, and the action that they stand for.
const ACTIONS: &[(&str, &[&str])] = &[
    (
        "read",
        &[
            "get", "list", "read", "search", "find", "fetch", "query", "show", "describe", "count",
            "view", "lookup", "load", "browse", "download",
        ],
    ),
    (
        "write",
        &[
            "create", "add", "write", "update", "set", "put", "edit", "save", "insert", "append",
            "rename", "move", "upload", "store", "modify", "patch",
        ],
    ),
    ("delete", &["delete", "remove", "drop", "purge", "clear", "destroy"]),
    ("send", &["send", "post", "email", "notify", "publish", "share", "reply"]),
    ("execute", &["run", "exec", "execute", "shell", "eval", "spawn", "invoke", "deploy"]),
    ("pay", &["pay", "buy", "order", "transfer", "charge", "refund"]),
];

impl Draft {
    fn of(definition: &ToolDefinition) -> Self {
        let name = definition.name().to_owned();
        let mut draft = Self {
            declared: definition.block().is_some(),
            permissions: BTreeSet::new(),
            reasons: Vec::new(),
            signed: false,
            name,
        };
        if draft.declared {
            return draft;
        }
        let tool: Value = serde_json::from_str(definition.canonical()).unwrap_or_default();
        let hint = |name: &str| tool.get("annotations")?.get(name)?.as_bool();
        let words = words(&draft.name);
        let spoken = words.iter().find_map(|word| {
            let known = ACTIONS.iter().find(|(_, verbs)| verbs.contains(&word.as_str()));
            known.map(|(action, _)| (*action, word.clone()))
        });
        let action = match (hint("readOnlyHint"), hint("destructiveHint"), &spoken) {
            (Some(true), _, _) => {
                draft.reasons.push("`readOnlyHint`".to_owned());
                "read"
            }
            (_, _, Some((action, word))) => {
                draft.reasons.push(format!("`{word}` in its name"));
                action
            }
            (_, Some(true), None) => {
                draft.reasons.push("`destructiveHint`".to_owned());
                "delete"
            }
            _ => {
                draft.reasons.push("nothing that says what it does".to_owned());
                "execute"
            }
        };
        let verb = spoken.map(|(_, word)| word);
        let thing = words.iter().rev().find(|word| Some(*word) != verb.as_ref());
        draft.add(&format!("{}:{action}", thing.map_or("tool", String::as_str)));
        let arguments =
            tool.get("inputSchema").and_then(|schema| schema.get("properties")?.as_object());
        for argument in arguments.into_iter().flatten().map(|(name, _)| name) {
            let access = match argument.to_ascii_lowercase().as_str() {
                "path" | "file" | "filename" | "directory" => format!("filesystem:{action}"),
                "url" | "uri" | "host" => "network:access".to_owned(),
                "command" | "cmd" | "script" | "code" => "process:execute".to_owned(),
                _ => continue,
            };
            draft.reasons.push(format!("its argument `{}`", visible(argument)));
            draft.add(&access);
        }
        if hint("openWorldHint") == Some(true) {
            draft.reasons.push("`openWorldHint`".to_owned());
            draft.add("network:access");
        }
        draft.signed = matches!(action, "delete" | "execute" | "pay");
        draft
    }

    fn add(&mut self, scope: &str) {
        // A name in another alphabet says nothing that a permission could.
        let scope = scope.parse().or_else(|_| "tool:execute".parse());
        self.permissions.extend(scope);
    }

    fn lines(&self) -> String {
        if self.declared {
            return format!("\n// `{}` declares already.\n", visible(&self.name));
        }
        let permissions: Vec<String> =
            self.permissions.iter().map(|scope| format!("{:?}", scope.as_str())).collect();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts = self.name.starts_with(|c: char| c.is_ascii_lowercase());
        let name = match starts && self.name.chars().all(plain) {
            true => String::new(),
            false => format!("name = {:?}, ", self.name),
        };
        let signed = if self.signed { ", require_request_signing" } else { "" };
        format!(
            "\n// to be reviewed: `{}` by {}\n#[tool({name}etdi, version = \"1.0.0\", \
             permissions = [{}]{signed})]\n",
            visible(&self.name),
            self.reasons.join(", "),
            permissions.join(", ")
        )
    }

    fn data(&self) -> Value {
        json!({
            "tool": self.name, "declared": self.declared, "permissions": self.permissions,
            "because": self.reasons, "require_request_signing": self.signed, "reviewed": false,
        })
    }
}

/// The words of a name, in lower case: `getUserFiles` and `get-user_files` are the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let ends = !c.is_alphanumeric() || c.is_uppercase() && before.is_lowercase();
        if ends {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_say_what_they_were_made_from() {
        for (tool, expected) in [
            (
                r#"{"name":"search_notes","inputSchema":{}}"#,
                "// to be reviewed: `search_notes` by `search` in its name\n\
                 #[tool(etdi, version = \"1.0.0\", permissions = [\"notes:read\"])]\n",
            ),
            (
                r#"{"name":"deleteFile","inputSchema":{"properties":{"path":{}}}}"#,
                "// to be reviewed: `deleteFile` by `delete` in its name, its argument `path`\n\
                 #[tool(name = \"deleteFile\", etdi, version = \"1.0.0\", permissions = \
                 [\"file:delete\", \"filesystem:delete\"], require_request_signing)]\n",
            ),
            (
                r#"{"name":"weather","inputSchema":{},"annotations":{"readOnlyHint":true,"openWorldHint":true}}"#,
                "// to be reviewed: `weather` by `readOnlyHint`, `openWorldHint`\n#[tool(etdi, \
                 version = \"1.0.0\", permissions = [\"network:access\", \"weather:read\"])]\n",
            ),
            (
                r#"{"name":"x","inputSchema":{},"_meta":{"dev.etdi/etdi":{"v":1,"version":"1.0.0"}}}"#,
                "// `x` declares already.\n",
            ),
        ] {
            let raw = RawTool::read(tool).unwrap();
            assert_eq!(Draft::of(raw.definition()).lines().trim_start(), expected);
        }
    }
}
