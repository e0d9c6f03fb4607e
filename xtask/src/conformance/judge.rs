//! Reads what the suite wrote and judges it.
//!
//! The suite passes a scenario in which nothing failed. Here it also needs no warning (the
//! specification's SHOULDs), at least one success besides the shape of messages, and of a client that
//! it ends in time with exit code 0, unless the scenario's right answer is an error.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Scenarios that a client may end with an error: what they offer must be refused.
const MAY_FAIL: &[&str] = &[
    "auth/resource-mismatch",
    "auth/scope-retry-limit",
    "auth/iss-supported-missing",
    "auth/iss-wrong-issuer",
    "auth/iss-unexpected",
    "auth/iss-normalized",
    "auth/metadata-issuer-mismatch",
    "http-invalid-tool-headers",
];

/// What came of one scenario.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) scenario: String,
    /// Whether the revision requires it.
    pub(super) scored: bool,
    /// Why it is not passed; empty when it is.
    pub(super) why: Vec<String>,
}

impl Verdict {
    pub(super) fn passed(&self) -> bool {
        self.why.is_empty()
    }
}

/// Judges every scenario that the suite knows for this role and revision.
pub(super) fn all(
    role: &str,
    revision: &str,
    package: &Path,
    results: &Path,
) -> Result<Vec<Verdict>, String> {
    let list = package.join(format!("requirements/{revision}.yaml"));
    let list = fs::read_to_string(&list)
        .map_err(|error| format!("cannot read `{}`: {error}", list.display()))?;
    let scenarios = required(&list, role);
    if scenarios.is_empty() {
        return Err(format!("the suite requires nothing of a {role} of {revision}"));
    }
    let judged = scenarios.into_iter().map(|(scenario, scored)| {
        let why = judge(role, &scenario, results);
        Verdict { scenario, scored, why }
    });
    Ok(judged.collect())
}

/// The scenarios of `role`, and whether each is required. The file is a flat list, so no reader of
/// YAML is needed.
fn required(list: &str, role: &str) -> Vec<(String, bool)> {
    let (mut found, mut section, mut extra) = (Vec::new(), "", None);
    for line in list.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            section = name;
        } else if let Some(name) = line.strip_prefix("  - scenario: ") {
            extra = Some(name.to_owned());
        } else if let Some(leg) = line.strip_prefix("    leg: ") {
            found.extend(extra.take().filter(|_| leg == role).map(|name| (name, false)));
        } else if let Some(name) = line.strip_prefix("  - ").filter(|_| section == role) {
            found.push((name.to_owned(), true));
        }
    }
    found
}

/// Why a scenario is not passed; empty when it is.
pub(super) fn judge(role: &str, scenario: &str, results: &Path) -> Vec<String> {
    let Some(checks) = checks(role, scenario, results) else {
        return vec!["the suite wrote no result".into()];
    };
    let status = |check: &Value| check["status"].as_str().unwrap_or_default().to_owned();
    let mut why: Vec<String> = checks
        .iter()
        .filter(|check| matches!(&*status(check), "FAILURE" | "WARNING"))
        .map(|check| {
            let said = check["errorMessage"].as_str().or(check["description"].as_str());
            let said: String = said
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .take(300)
                .collect();
            format!("{} {}: {said}", status(check), check["id"].as_str().unwrap_or_default())
        })
        .collect();
    let succeeded =
        |check: &Value| status(check) == "SUCCESS" && check["id"] != "wire-schema-valid";
    if why.is_empty() && !checks.iter().any(succeeded) {
        why.push("nothing was checked".into());
    }
    if role == "client" {
        let code = fs::read_to_string(results.join("exit").join(scenario.replace('/', "_")));
        match code.as_deref().map(str::trim) {
            Ok("124" | "137") => why.push("the client did not end in time".into()),
            Ok("0") => {}
            Ok(_) if MAY_FAIL.contains(&scenario) => {}
            Ok(code) => why.push(format!("the client ended with {code}")),
            Err(_) => why.push("the client never ended".into()),
        }
    }
    why
}

/// How often each check of a server's scenario succeeded, the shape of messages left out: a guard sends
/// as many as it likes.
pub(super) fn succeeded(scenario: &str, results: &Path) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for check in checks("server", scenario, results).unwrap_or_default() {
        let text = |name| check.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("id");
        if text("status") == "SUCCESS" && id != "wire-schema-valid" {
            *found.entry(id.to_owned()).or_default() += 1;
        }
    }
    found
}

/// The checks of one scenario, from a folder whose name closes with the time of the run.
fn checks(role: &str, scenario: &str, results: &Path) -> Option<Vec<Value>> {
    let (folder, name) = match scenario.rsplit_once('/') {
        Some((folder, name)) => (results.join(folder), name),
        None => (results.to_owned(), scenario),
    };
    let name = match role {
        "server" => format!("server-{name}-2"),
        "authorization" => format!("authorization-server-{name}-2"),
        _ => format!("{name}-2"),
    };
    let found = fs::read_dir(folder).ok()?.filter_map(Result::ok).find(|entry| {
        let this = entry.file_name();
        let rest = this.to_str().and_then(|this| this.strip_prefix(&name));
        // `023-11-21T07-52-38-123Z`: what follows a longer scenario's name is no time.
        rest.is_some_and(|rest| rest.ends_with('Z') && rest.len() == 23)
    })?;
    let text = fs::read_to_string(found.path().join("checks.json")).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let list = "# comment\nserver:\n  - ping\nclient:\n  - auth/x\n\nnot_scored:\n  \
                    - scenario: tasks\n    leg: server\n    note: >-\n      words: more\n  \
                    - scenario: dpop\n    leg: client\n";
        let server = [("ping".to_owned(), true), ("tasks".to_owned(), false)];
        assert_eq!(required(list, "server"), server);
        let client = [("auth/x".to_owned(), true), ("dpop".to_owned(), false)];
        assert_eq!(required(list, "client"), client);
    }
}
