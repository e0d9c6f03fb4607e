//! Permissions that are broader than what is done with them.

use super::Severity;
use super::declared::{self, Declared};
use super::finding::{Code, Family};
use super::report::Report;
use super::subject::{Role, Subject};
use super::tree::Node;
use super::words::{self, Act};

pub(super) static CODES: [&Code; 5] = [&BROAD, &UNRELATED, &UNEXPLAINED, &MANY, &CALLS];

static BROAD: Code = code(
    "permissions/broad",
    Severity::High,
    "it asks for everything",
    "`*`, `all`, `admin`, `root` and the like have no bounds: whoever grants them grants what nobody \
     thinks of yet.",
    "Grant what the tool needs by name, or do not approve it.",
);

static UNRELATED: Code = code(
    "permissions/unrelated",
    Severity::Medium,
    "it asks for what it does not speak of",
    "Neither name nor description nor parameters have to do with what the permission is about.",
    "Ask what it is for; approve the tool without it.",
);

static UNEXPLAINED: Code = code(
    "permissions/unexplained",
    Severity::Low,
    "a permission without a reason",
    "Who approves a permission has nothing but its description to go by; less than ten characters say \
     nothing.",
    "Have its author say what it is for.",
);

static MANY: Code = code(
    "permissions/many",
    Severity::Low,
    "more permissions than anybody reads",
    "Beyond a dozen the one that matters is approved with the rest.",
    "Ask for several tools with fewer permissions each.",
);

static CALLS: Code = code(
    "permissions/any-call",
    Severity::Medium,
    "it may call any tool, at any depth",
    "A list of callees with `*`, or a depth of more than sixteen, is no constraint on chains of calls.",
    "Name the tools that it may call.",
);

const fn code(
    name: &'static str,
    severity: Severity,
    title: &'static str,
    why: &'static str,
    advice: &'static str,
) -> Code {
    Code { name, family: Family::Permissions, severity, title, why, advice }
}

/// The shortest description that says something, in characters.
pub(super) const DESCRIPTION: usize = 10;

/// How many permissions are read by somebody, and how many calls may be under way.
const PERMISSIONS: usize = 12;
const CALL_DEPTH: f64 = 16.0;

pub(super) fn look(subject: &Subject<'_>, report: &mut Report<'_, '_>) {
    let permissions = declared::permissions(subject);
    let scopes = declared::scopes(subject);
    let both = permissions.iter().map(|one| (one.scope, &*one.path));
    for (scope, path) in both.chain(scopes.iter().map(|(scope, path)| (*scope, &**path))).take(256)
    {
        if let Some(word) = broad(scope) {
            report.of(
                &BROAD,
                path,
                0.5,
                format!("{} has {}", report.shown(scope), report.shown(word)),
            );
        }
    }
    let said = said(subject);
    for one in permissions.iter().take(128) {
        unrelated(one, &said, report);
        if one.description.chars().count() < DESCRIPTION {
            let what = match one.description.trim().is_empty() {
                true => format!("{} has no description", report.shown(one.scope)),
                false => format!("{} is described in a word", report.shown(one.scope)),
            };
            report.of(&UNEXPLAINED, &one.path, 0.03, what);
        }
    }
    if permissions.len() > PERMISSIONS {
        report.of(&MANY, "", 0.1, format!("it asks for {} permissions", permissions.len()));
    }
    calls(subject, report);
}

/// The word by which a scope is broad: a whole word, so that `recall` and `calls` are not.
pub(super) fn broad(scope: &str) -> Option<&str> {
    let words = scope.split(|c: char| !c.is_alphanumeric() && c != '*');
    let is_broad = |word: &&str| {
        word.contains('*')
            || matches!(
                &*word.to_lowercase(),
                "admin"
                    | "administrator"
                    | "root"
                    | "all"
                    | "any"
                    | "full"
                    | "superuser"
                    | "sudo"
                    | "unrestricted"
                    | "everything"
                    | "impersonate"
            )
    };
    let mut broad = words.filter(is_broad);
    broad.next()
}

/// All that the tool says of itself, in lower case, but for its permissions.
fn said(subject: &Subject<'_>) -> String {
    let mut said = String::new();
    for piece in &subject.pieces {
        let role = matches!(
            piece.role,
            Role::Name
                | Role::Title
                | Role::Description
                | Role::ParameterName
                | Role::ParameterText
        );
        if role && said.len() + piece.text.len() < 1 << 16 {
            said.extend(piece.text.chars().flat_map(char::to_lowercase));
            said.push(' ');
        }
    }
    said
}

/// A permission whose object the tool does not speak of.
fn unrelated(one: &Declared<'_>, said: &str, report: &mut Report<'_, '_>) {
    let plain = |word: &str| {
        matches!(
            word,
            "read"
                | "write"
                | "list"
                | "get"
                | "tools"
                | "tool"
                | "execute"
                | "self"
                | "own"
                | "data"
                | "basic"
                | "api"
                | "access"
                | "user"
                | "openid"
                | "profile"
                | "offline"
        )
    };
    let words = words::split(one.scope);
    let objects: Vec<&String> = words
        .iter()
        .filter(|word| !plain(word) && words::of_scope(word).is_none() && broad(word).is_none())
        .collect();
    // A stem of four letters is found in all forms of a word.
    let stem = |word: &str| word.trim_end_matches('s').chars().take(4).collect::<String>();
    if objects.is_empty() || objects.iter().any(|word| said.contains(&stem(word))) {
        return;
    }
    let risk = match words::of_scope(one.scope) {
        Some((Act::Run, _)) => 0.1,
        Some(_) => 0.45,
        None if broad(one.scope).is_some() => 0.3,
        None => 0.1,
    };
    let what = format!("nothing that it says of itself is about {}", report.shown(one.scope));
    report.of(&UNRELATED, &one.path, risk, what);
}

fn calls(subject: &Subject<'_>, report: &mut Report<'_, '_>) {
    let Some(call) = declared::block(subject).and_then(|block| block.get("call")) else { return };
    let path = "/_meta/dev.etdi~1etdi/call";
    let any = call.get("allowed_callees").map(Node::list).unwrap_or_default();
    if any.iter().filter_map(Node::text).any(|name| name == "*") {
        report.of(&CALLS, &format!("{path}/allowed_callees"), 0.25, "it may call any tool");
    }
    if let Some(Node::Number(depth)) = call.get("max_depth")
        && *depth > CALL_DEPTH
    {
        report.of(
            &CALLS,
            &format!("{path}/max_depth"),
            0.2,
            format!("up to {depth} calls under way"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::SecurityAnalyzer;
    use super::*;

    #[test]
    fn broad_words_are_whole_words() {
        for (scope, word) in [
            ("*", Some("*")),
            ("mail:*", Some("*")),
            ("directory:all", Some("all")),
            ("wallet:full_access", Some("full")),
            ("cluster.admin", Some("admin")),
            ("recall:read", None),
            ("calls:read", None),
            ("badminton:read", None),
            ("rooted:read", None),
            ("allergies:read", None),
        ] {
            assert_eq!(broad(scope), word, "{scope}");
        }
    }

    #[test]
    fn permissions_are_held_against_what_the_tool_says() {
        let codes = |scope: &str, description: &str| -> Vec<&'static str> {
            let text = format!(
                r#"{{"name":"tide_table","description":"High and low water at a port.","inputSchema":{{}},
                "_meta":{{"dev.etdi/etdi":{{"v":1,"version":"1.0.0",
                "permissions":[{{"scope":"{scope}","description":"{description}"}}]}}}}}}"#
            );
            let found = SecurityAnalyzer::new().analyze_tool(&text).findings;
            let ours = found.iter().map(|one| one.code.name);
            ours.filter(|name| name.starts_with("permissions/")).collect()
        };
        assert_eq!(codes("tides:read", "Reads tide tables"), [""; 0]);
        assert_eq!(codes("ports:write", "Changes a port"), [""; 0], "in the plural, too");
        assert_eq!(codes("tides:read", "x"), ["permissions/unexplained"]);
        assert_eq!(
            codes("health_records:export", "Exports health data"),
            ["permissions/unrelated"]
        );
        assert_eq!(codes("tides:admin", "Manages the tides"), ["permissions/broad"]);
    }
}
