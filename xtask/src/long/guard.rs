//! The checks of `etdi guard`, taken out one at a time: its tests must notice each.

use std::path::Path;
use std::process::Command;

use super::Step;

/// Each is noticed by the test of this name.
pub(super) const STEPS: &[Step] = &[
    Step {
        name: "the guard's verification",
        file: "../../etdi/src/guard/serve.rs",
        find: "let inner = layer.layer(service);",
        replace: "let inner = service;",
        noticed_by: "a poisoned tool is blocked until it is approved",
    },
    Step {
        name: "what the server says of changed tools",
        file: "../../etdi/src/guard/serve.rs",
        find: "layer.recheck();",
        replace: "let _ = layer;",
        noticed_by: "a rug pull between a listing and a call is stopped",
    },
    Step {
        name: "what a subscription says of changed tools",
        file: "../../etdi/src/guard/listen.rs",
        find: "shared.layer.recheck();",
        replace: "let _ = shared;",
        noticed_by: "a rug pull between a listing and a call is stopped",
    },
    Step {
        name: "how often a tool is called",
        file: "../../etdi/src/guard/serve.rs",
        find: "RateLayer::per_tool(f64::from(calls) / 60.0, calls).layer(inner)",
        replace: "(calls, inner).1",
        noticed_by: "a tool is called as often as it may be",
    },
    Step {
        name: "first use of a server that is known",
        file: "../../etdi/src/guard/first.rs",
        find: "if listing.approvals.iter().any(|approval| approval.key.server == server) {",
        replace: "if server.is_empty() {",
        noticed_by: "first use is once",
    },
    Step {
        name: "the end of a first use",
        file: "../../etdi/src/guard/first.rs",
        find: "if self.begun.load(Ordering::Relaxed) {",
        replace: "if false {",
        noticed_by: "a listing without an end is no first use for ever",
    },
    Step {
        name: "the scanner before a first use",
        file: "../../etdi/src/guard/first.rs",
        find: "&& self.settings.findings(question.facts.definition).is_empty();",
        replace: ";",
        noticed_by: "first use takes nothing that the scanner holds for malicious",
    },
    Step {
        name: "who asks in the guard's name",
        file: "../../etdi/src/guard/service.rs",
        find: "Ok(Outcome::InputRequired(asked)) if is_ours(&asked) => Err(shared",
        replace: "Ok(Outcome::InputRequired(asked)) if false && is_ours(&asked) => Err(shared",
        noticed_by: "the server does not ask in the guard's name",
    },
    Step {
        name: "what a yes is",
        file: "../../etdi/src/guard/question.rs",
        find: "&& field.and_then(|field| field.parse::<bool>().ok()) == Some(true)",
        replace: "&& field.is_some()",
        noticed_by: "a model that answers for its user grants nothing by halves",
    },
    Step {
        name: "a no",
        file: "../../etdi/src/guard/service.rs",
        find: "if !yes {",
        replace: "if false && !yes {",
        noticed_by: "the client is asked when it calls",
    },
    Step {
        name: "about which tool was asked",
        file: "../../etdi/src/guard/service.rs",
        find: ".filter(|review| review.name() == tool);",
        replace: ".filter(|_| !tool.is_empty());",
        noticed_by: "answers to old questions are none",
    },
    Step {
        name: "an answer that was used",
        file: "../../etdi/src/guard/service.rs",
        find: "self.state().open.remove(asked)",
        replace: "self.state().open.get(asked).cloned()",
        noticed_by: "answers to old questions are none",
    },
    Step {
        name: "what is too long to be read in a form",
        file: "../../etdi/src/guard/question.rs",
        find: "(text.len() <= LONGEST).then_some(text)",
        replace: "Some(text)",
        noticed_by: "a definition that is too long for a form waits",
    },
    Step {
        name: "what a form shows of what cannot be seen",
        file: "../../etdi/src/guard/question.rs",
        find: "visible(definition.canonical())",
        replace: "definition.canonical()",
        noticed_by: "a form hides nothing",
    },
    Step {
        name: "the policy before a call",
        file: "layer/verify/call.rs",
        find: "self.pass_gate(&exchange, approved, &review).await?;",
        replace: "self.pass_gate(&exchange, approved, &review).await.unwrap_or_default();",
        noticed_by: "what policies do not permit is not called",
    },
    Step {
        name: "the note before a call",
        file: "audit.rs",
        find: "auditor.record(event, at).map(|()| true),",
        replace: "Ok(auditor.record(event, at).is_ok()),",
        noticed_by: "a call that cannot be noted is not made",
    },
    Step {
        name: "the note of a refusal",
        file: "layer/verify/call.rs",
        find: "self.note_refused(&review, &exchange.context, &correlation);",
        replace: "",
        noticed_by: "calls and refusals stand in the audit trail",
    },
    Step {
        name: "an approval that was taken back",
        file: "layer/verify/call.rs",
        find: "&& entry.generation == generation",
        replace: "&& (entry.generation == generation || true)",
        noticed_by: "an approval that is taken back counts no more",
    },
];

/// Runs the guard's tests in the copy; gives those that fail.
pub(super) fn tests(root: &Path, copy: &Path) -> Result<Vec<String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--quiet", "-p", "etdi-cli", "--test", "guard"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", root.join("target/long/build"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("RUSTFLAGS", "-A warnings")
        .output()
        .map_err(|error| format!("cargo cannot run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = failures(&said);
    match (failed.is_empty() == output.status.success(), said.contains(" ... ")) {
        (true, true) => Ok(failed),
        _ => Err(format!(
            "the guard's tests of the copy ended with {}: {}",
            output.status,
            crate::process::clip(&String::from_utf8_lossy(&output.stderr))
        )),
    }
}

/// The names of the tests that say that they failed.
fn failures(said: &str) -> Vec<String> {
    let failed = |line: &str| {
        let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
        Some(name.to_owned())
    };
    said.lines().filter_map(failed).collect()
}

#[cfg(test)]
mod tests {
    use super::failures;

    #[test]
    fn failures_are_read_by_their_lines() {
        let said = "test a b ... ok\ntest c (d) ... FAILED\ntest e ... ok\n";
        assert_eq!(failures(said), ["c (d)"]);
    }
}
