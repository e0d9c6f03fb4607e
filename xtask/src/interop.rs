//! `cargo xtask interop`: our server under others' clients, our client on others' servers.
//!
//! Installs what `tests/interop` pins under `target/interop`, builds both ends and the server of the
//! README outside the workspace, starts the servers that listen ([`servers`]), and
//! runs every suite of [`suites`]. A suite that cannot run fails; leaving all of it out needs
//! `MCP_INTEROP=skip`. A suite's program exits 0 only when nothing failed and closes with
//! `N passed, M failed`; both are held against each other.

use std::env;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use self::servers::Servers;
use self::suites::{Must, Suite};
use crate::process::{capture, clip};
use crate::programs::{Profile, Programs, target};
use crate::tools::Tools;

pub(crate) mod outsider;
mod servers;
mod suites;

/// Runs all suites from the workspace's root folder.
///
/// # Errors
///
/// What could not be installed or built, or the names of the suites that failed.
pub(crate) fn run(root: &Path, profile: Profile) -> Result<(), String> {
    match env::var("MCP_INTEROP").as_deref() {
        Ok("skip") => {
            println!("interop: skipped, because MCP_INTEROP=skip");
            return Ok(());
        }
        Ok("") | Err(_) => {}
        Ok(other) => return Err(format!("`MCP_INTEROP={other}` means nothing; use `skip`")),
    }
    let tools = Tools::install(&root.join("tests/interop"), &target(root).join("interop"))?;
    println!("interop: building our server, our client and `etdi`");
    let ends = ["interop_server", "cluster", "interop_client", "interop_login"];
    let built = Programs::build(root, profile, &ends, true)?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    println!("interop: building the server of the README outside the workspace");
    let outsider = outsider::Outsider::write(root, &tools.cache)?.build(&cargo, false)?;

    // What was approved in an earlier run was another build's.
    let approved = tools.cache.join("guard");
    if approved.exists() {
        std::fs::remove_dir_all(&approved).map_err(|error| error.to_string())?;
    }
    let mut servers = Servers::start(&tools, &built)?;
    let (mut passed, mut failed, mut names) = (0, 0, Vec::new());
    for suite in suites::all(&tools, &built, &outsider, &servers) {
        let started = Instant::now();
        let verdict = suite.judge(&tools.cache.join("etdi"), &mut servers);
        let seconds = started.elapsed().as_secs_f64();
        match verdict {
            Ok(line) => {
                passed += 1;
                println!("interop: ok   {:<50} {line} ({seconds:.1} s)", suite.name);
            }
            Err(why) => {
                failed += 1;
                println!("interop: FAIL {:<50} ({seconds:.1} s)\n{why}", suite.name);
                names.push(suite.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if names.is_empty() {
        Ok(())
    } else {
        Err(format!("interoperability failed: {}", names.join("; ")))
    }
}

impl Suite {
    /// Runs the program; gives its closing line, or why it is not accepted.
    fn judge(&self, home: &Path, servers: &mut Servers) -> Result<String, String> {
        let ended = capture(&self.command, home)?;
        let closing = ended.stdout.lines().last().unwrap_or_default().trim().to_owned();
        let counts = counts(&closing);
        let accepted = match &self.must {
            Must::Pass => ended.code == Some(0) && matches!(counts, Some((1.., 0))),
            Must::FailBut(kept) => {
                ended.code == Some(1)
                    && matches!(counts, Some((_, 1..)))
                    && passed(&ended.stdout)
                        .is_some_and(|steps| steps.iter().all(|step| kept.contains(&step.as_str())))
            }
            Must::Print(text) => ended.code == Some(0) && ended.stdout.contains(text),
        };
        let log = match self.server {
            None => String::new(),
            Some(server) => {
                servers.still_there(server)?;
                format!("\n    server: {}", servers.log(server))
            }
        };
        match (accepted, &self.must) {
            (true, Must::Print(text)) => Ok(format!("prints `{text}`")),
            (true, _) => Ok(closing),
            (false, _) => {
                let command: Vec<_> =
                    self.command.iter().map(|word| word.to_string_lossy()).collect();
                Err(format!(
                    "    {}\n    exit {:?}\n    stdout: {}\n    stderr: {}{log}",
                    command.join(" "),
                    ended.code,
                    clip(&ended.stdout),
                    clip(&ended.stderr)
                ))
            }
        }
    }
}

/// The steps that a program reports as passed, in whichever era.
fn passed(stdout: &str) -> Option<Vec<String>> {
    let report = stdout.lines().find_map(|line| serde_json::from_str::<Value>(line).ok())?;
    let mut names = Vec::new();
    for steps in report.get("eras")?.as_object()?.values() {
        for (name, step) in steps.as_object()? {
            if step.get("ok")?.as_bool()? {
                names.push(name.clone());
            }
        }
    }
    Some(names)
}

/// Reads `N passed, M failed`.
fn counts(line: &str) -> Option<(u32, u32)> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_which_steps_passed() {
        let report = r#"{"client": "x", "eras": {
            "legacy": {"a": {"ok": true, "seen": null}, "b": {"ok": false, "seen": "no"}},
            "modern": {"a": {"ok": false}, "c": {"ok": true}}}}"#;
        let said = format!("noise\n{}\n2 passed, 2 failed", report.replace('\n', ""));
        assert_eq!(passed(&said).unwrap(), ["a", "c"]);
        assert_eq!(passed("2 passed, 2 failed"), None);
        assert_eq!(passed(r#"{"eras": {"legacy": {"a": {}}}}"#), None);
    }

    #[test]
    fn a_closing_line_is_read_whole_or_not_at_all() {
        assert_eq!(counts("12 passed, 3 failed"), Some((12, 3)));
        assert_eq!(counts("12 passed, 3 failed, 1 skipped"), None);
        assert_eq!(counts("passed, 3 failed"), None);
    }
}
