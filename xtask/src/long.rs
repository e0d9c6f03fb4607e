//! `cargo xtask ci --long`: takes one verification step at a time out of a copy of the tree, and
//! demands that `etdi demo` notices; those of [`oauth`] are noticed by the tests of their crate, those
//! of [`guard`] by the tests of the command.
//!
//! There is no switch in the product that leaves out a check, so the copy's source is changed: each
//! [`Step`] is a text that stands exactly once in a file, and what is put in its place. The demo
//! must then fail, and at the line that the step names. [`check`] holds the texts against the tree
//! without building anything, so that a step cannot quietly lose what it is about.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub(crate) mod beside;
mod guard;
mod oauth;

/// One verification step, and how it is taken out.
struct Step {
    name: &'static str,
    file: &'static str,
    find: &'static str,
    replace: &'static str,
    /// The line of the demo, or the test, that must fail.
    noticed_by: &'static str,
}

const CORE: &str = "crates/etdi-core/src/";

const STEPS: &[Step] = &[
    Step {
        name: "the signature of a statement",
        file: "jws.rs",
        find: "match fits && key.verify(self.signed.as_bytes(), &self.signature) {",
        replace: "match fits || key.verify(self.signed.as_bytes(), &self.signature) {",
        noticed_by: "forged signature",
    },
    Step {
        name: "whose key it is",
        file: "trust.rs",
        find: "let claims = jws.verify(&key.ok_or(VerifyError::UnknownKey { key: id })?)?;",
        replace: "let Some(key) = key else {
            let claims = jws.unverified_payload().to_owned();
            return Ok(Evidence::new(issuer(&claims)?, id, Trust::Configured, claims));
        };
        let claims = jws.verify(&key)?;",
        noticed_by: "signed by a stranger",
    },
    Step {
        name: "the digest that was attested",
        file: "verify.rs",
        find: "listed.filter(|listed| **listed != definition.digest())",
        replace: "listed.filter(|_| false)",
        noticed_by: "flipped annotation",
    },
    Step {
        name: "until when a statement holds",
        file: "verify/claims.rs",
        find: "if now >= until.plus(CLOCK_SKEW) {",
        replace: "if false {",
        noticed_by: "expired signature",
    },
    Step {
        name: "which server a statement is about",
        file: "verify/peer.rs",
        find: "if !same {",
        replace: "if false {",
        noticed_by: "signature for another server",
    },
    Step {
        name: "the proof of possession",
        file: "verify/peer.rs",
        find: "let shown = possessed(&server, &confirmation.jkt.0, peer)?;",
        replace: "let first = confirmation.jkt.0.first().copied();
        let shown = first.ok_or(VerifyError::Unsigned)?;",
        noticed_by: "copied listing",
    },
    Step {
        name: "which key was proven",
        file: "verify/peer.rs",
        find: "if !named().contains(&key) || !own {",
        replace: "if !own {",
        noticed_by: "copied listing, own key",
    },
    Step {
        name: "which challenge was answered",
        file: "binding.rs",
        find: "if claims.nonce != challenge.0 {",
        replace: "if false {",
        noticed_by: "copied listing, old proof",
    },
    Step {
        name: "the digest of the executable",
        file: "verify/peer.rs",
        find: "measured.check(listed)?;",
        replace: "",
        noticed_by: "replaced executable",
    },
    Step {
        name: "the pinned program, before it is started",
        file: "../../etdi/src/client.rs",
        find: ".find(|pin| pin != found)",
        replace: ".find(|_| false)",
        noticed_by: "replaced plain server",
    },
    Step {
        name: "duplicate members",
        file: "ijson/reader.rs",
        find: "match twice {",
        replace: "match twice.filter(|_| false) {",
        noticed_by: "duplicate member",
    },
    Step {
        name: "integers that readers round",
        file: "ijson/number.rs",
        find: "value.filter(|value| *value <= MAX_INTEGER);",
        replace: "value.filter(|value| *value <= MAX_INTEGER || true);",
        noticed_by: "integer beyond 2^53",
    },
    Step {
        name: "the approved digest",
        file: "approval/decide.rs",
        find: "if approval.digest != facts.digest() {",
        replace: "if false {",
        noticed_by: "changed description",
    },
    Step {
        name: "a change without a new version",
        file: "approval/decide.rs",
        find: "if !changes.has(ChangeKind::VersionRaised) {",
        replace: "if false {",
        noticed_by: "changed description",
    },
    Step {
        name: "a version that falls",
        file: "approval/decide.rs",
        find: "if changes.has(ChangeKind::VersionLowered) || is_higher(seen, version.as_deref()) {",
        replace: "if false {",
        noticed_by: "older version put back",
    },
    Step {
        name: "what an update adds",
        file: "approval/decide.rs",
        find: "&& changes.may_carry_over()",
        replace: "",
        noticed_by: "changed schema",
    },
    Step {
        name: "permissions that an update adds",
        file: "approval/decide.rs",
        find: "let more = changes.adds_permissions();",
        replace: "let more = false;",
        noticed_by: "added permission",
    },
    Step {
        name: "once signed, always signed",
        file: "approval/decide.rs",
        find: "if seen_signed {",
        replace: "if false {",
        noticed_by: "copied listing",
    },
    Step {
        name: "unsigned tools at strict",
        file: "approval/decide.rs",
        find: "(handling == Handling::Refuse).then_some(refused)",
        replace: "Some(refused).filter(|_| false && handling == Handling::Refuse)",
        noticed_by: "hidden at strict",
    },
    Step {
        name: "hiding what is not approved",
        file: "layer/verify.rs",
        find: ".zip(&reviews).filter(|(_, review)| shown(review));",
        replace: ".zip(&reviews).filter(|(_, review)| shown(review) || true);",
        noticed_by: "hidden at strict",
    },
    Step {
        name: "refusing the call",
        file: "layer/verify/call.rs",
        find: "                return Err(review.error());\n            }\n        };\n        let permitted",
        replace: "                return ask(&mut service, exchange).await;\n            }\n        };\n        let permitted",
        noticed_by: "changed description",
    },
    Step {
        name: "listing anew before the call",
        file: "layer/verify/call.rs",
        find: "        if self.recheck_after > 0 {\n",
        replace:
            "        let kept = self.state().tools.get(name).map(|entry| entry.review.clone());
        if let Some(review) = kept.filter(|review| review.is_approved()) {
            return Ok(review);
        }
        if self.recheck_after > 0 {\n",
        noticed_by: "swapped before the call",
    },
];

impl Step {
    fn path(&self, root: &Path) -> PathBuf {
        root.join(CORE).join(self.file)
    }

    /// The file without the step.
    fn taken_out(&self, text: &str) -> Result<String, String> {
        match text.matches(self.find).count() {
            1 => Ok(text.replacen(self.find, self.replace, 1)),
            count => Err(format!(
                "long: `{}`: its text stands {count} times in {}, bring xtask/src/long.rs up to date",
                self.name, self.file
            )),
        }
    }
}

/// Checks that each step is where the list says.
///
/// # Errors
///
/// All steps that are not, a line each.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let lost = STEPS.iter().chain(oauth::STEPS).chain(guard::STEPS).filter_map(|step| {
        let text = fs::read_to_string(step.path(root)).unwrap_or_default();
        step.taken_out(&text).err()
    });
    match lost.collect::<Vec<_>>() {
        lost if lost.is_empty() => Ok(()),
        lost => Err(lost.join("\n")),
    }
}

/// Takes each step out of a copy in `target/long`, and runs the demo or the tests there; with `only`,
/// those whose name holds it.
///
/// # Errors
///
/// When either fails with all steps in place, or does not notice that one is missing.
pub(crate) fn run(root: &Path, only: &str) -> Result<(), String> {
    check(root)?;
    let copy = root.join("target/long/tree");
    copy_tree(root, &copy)?;
    let mut unnoticed = Vec::new();
    let mut taken = 0;
    for (what, steps, run) in [
        ("the demo", STEPS, demo as fn(&Path, &Path) -> Result<Vec<String>, String>),
        ("a test", oauth::STEPS, oauth::tests),
        ("a test of the guard", guard::STEPS, guard::tests),
    ] {
        let steps: Vec<_> = steps.iter().filter(|step| step.name.contains(only)).collect();
        if steps.is_empty() {
            continue;
        }
        let failed = run(root, &copy)?;
        if !failed.is_empty() {
            return Err(format!("long: {what} fails as it is: {}", failed.join(", ")));
        }
        taken += steps.len();
        for step in steps {
            let path = step.path(&copy);
            let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            fs::write(&path, step.taken_out(&text)?).map_err(|error| error.to_string())?;
            let failed = run(root, &copy);
            fs::write(&path, text).map_err(|error| error.to_string())?;
            let failed = failed.map_err(|error| format!("without {}: {error}", step.name))?;
            if failed.iter().any(|line| line == step.noticed_by) {
                println!("long: without {}: noticed by {}", step.name, failed.join(", "));
            } else {
                unnoticed.push(format!(
                    "long: without {}: `{}` holds all the same (failed: {})",
                    step.name,
                    step.noticed_by,
                    failed.join(", ")
                ));
            }
        }
    }
    match unnoticed.as_slice() {
        [] => {
            println!("long: each of {taken} missing steps is noticed");
            Ok(())
        }
        unnoticed => Err(unnoticed.join("\n")),
    }
}

/// Builds the copy and runs its demo; gives the lines that do not hold.
fn demo(root: &Path, copy: &Path) -> Result<Vec<String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = root.join("target/long/build");
    let built = Command::new(cargo)
        .args(["build", "--quiet", "-p", "etdi-cli"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", &build)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("RUSTFLAGS", "-A warnings")
        .status();
    match built {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("the copy does not build: {status}")),
        Err(error) => return Err(format!("cargo cannot run: {error}")),
    }
    let output = Command::new(build.join("debug/etdi")).args(["demo", "--yes", "--json"]).output();
    let output = output.map_err(|error| format!("the demo cannot run: {error}"))?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("the demo printed no report: {error}"))?;
    let lines = report.pointer("/data/lines").and_then(Value::as_array);
    let lines = lines.ok_or("the demo could not be told to its end")?;
    let failed = lines.iter().filter(|line| line.get("ok") != Some(&Value::Bool(true)));
    let names = failed.filter_map(|line| line.get("name")?.as_str().map(str::to_owned));
    let names: Vec<_> = names.collect();
    match names.is_empty() == output.status.success() {
        true => Ok(names),
        false => Err(format!("the demo ended with {} and failed lines {names:?}", output.status)),
    }
}

/// Copies what git knows, and what is new.
fn copy_tree(root: &Path, copy: &Path) -> Result<(), String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git cannot run: {error}"))?;
    let names = String::from_utf8_lossy(&listed.stdout);
    let failed = |error: std::io::Error| format!("the tree cannot be copied: {error}");
    if copy.exists() {
        fs::remove_dir_all(copy).map_err(failed)?;
    }
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), copy.join(name));
        // A file that git knows and that is gone is no part of the tree any more.
        if !from.is_file() {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(copy)).map_err(failed)?;
        fs::copy(&from, &to).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_in_the_tree() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        check(package.parent().unwrap()).unwrap();
    }
}
