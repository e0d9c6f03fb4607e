//! `cargo xtask conformance`: the official suite against `examples/everything` and
//! `examples/conformance_client`, both roles, both revisions that it scores; against
//! `examples/everything` behind `etdi guard`, and as three nodes behind a balancer that hands each request
//! to the next, which must lose no mark ([`beside`]); and against `etdi auth serve`, as an authorization
//! server.
//!
//! Judged by a stricter rule than the suite's own ([`judge`]). `tests/conformance/baseline.txt` names
//! the scenarios that may fail, each with its reason, and is exact: a scenario that fails without
//! standing there fails the run, and so does an entry whose scenario passes or is unknown.
//! `MCP_CONFORMANCE=skip` is the only way to leave it out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use judge::Verdict;

use crate::process::{Listening, cluster};
use crate::programs::{Profile, Programs, target};
use crate::tools::install_node;

mod authorization;
mod beside;
mod judge;

const ROLES: [&str; 2] = ["server", "client"];
const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// The limit of the suite for one scenario.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the server of the suite is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Alone,
    /// With `etdi guard` before it.
    Guard,
    /// As three nodes on one Redis, each request at the next.
    Nodes,
}

impl Way {
    /// What the parts are called in which something is between.
    fn name(self, role: &str) -> &str {
        match self {
            Way::Alone => role,
            Way::Guard => "guard",
            Way::Nodes => "nodes",
        }
    }
}

/// The part that no revision scores, because an authorization server is nobody's end of the protocol.
const AUTHORIZATION: &str = "authorization server";

/// Runs all nine parts, or those whose name, such as `server 2026-07-28`, contains `only`.
///
/// # Errors
///
/// What could not be installed, built or started, or the differences from the baseline.
pub(crate) fn run(root: &Path, profile: Profile, only: &str) -> Result<(), String> {
    match env::var("MCP_CONFORMANCE").as_deref() {
        Ok("skip") => {
            println!("conformance: skipped, because MCP_CONFORMANCE=skip");
            return Ok(());
        }
        Ok("") | Err(_) => {}
        Ok(other) => return Err(format!("`MCP_CONFORMANCE={other}` means nothing; use `skip`")),
    }
    let cache = target(root).join("conformance");
    let node = install_node(&root.join("tests/conformance"), &cache)?;
    println!("conformance: building the programs");
    let ends = ["everything", "cluster", "conformance_client"].as_slice();
    let of_revisions =
        |role: &str| REVISIONS.iter().any(|one| format!("{role} {one}").contains(only));
    let guarded = of_revisions("guard");
    let ends = if guarded || of_revisions("nodes") || ROLES.iter().any(|role| of_revisions(role)) {
        ends
    } else {
        &[]
    };
    let programs = Programs::build(root, profile, ends, guarded || AUTHORIZATION.contains(only))?;
    let etdi = programs.etdi();
    let suite = Suite {
        node,
        package: cache.join("node_modules/@modelcontextprotocol/conformance"),
        programs,
        results: cache.join("results"),
    };

    let baseline = fs::read_to_string(root.join("tests/conformance/baseline.txt"))
        .map_err(|error| format!("cannot read tests/conformance/baseline.txt: {error}"))?;
    let mut baseline = read_baseline(&baseline)?;
    let mut wrong = Vec::new();
    let mut all = (0, 0);
    for role in ROLES {
        for revision in REVISIONS {
            let part = format!("{role} {revision}");
            let expected = baseline.remove(&part).unwrap_or_default();
            let mut ways = Vec::new();
            if role == "server" {
                for way in [Way::Guard, Way::Nodes] {
                    let part = format!("{} {revision}", way.name(role));
                    // What fails of the server fails behind something, too.
                    let mut expected = expected.clone();
                    expected.extend(baseline.remove(&part).unwrap_or_default());
                    ways.extend(part.contains(only).then_some((way, part, expected)));
                }
            }
            // What may not be lost is what the server has in the same run.
            if part.contains(only) || !ways.is_empty() {
                ways.insert(0, (Way::Alone, part, expected));
            }
            for (way, part, expected) in ways {
                let started = Instant::now();
                let verdicts = suite.run(role, revision, way)?;
                all.0 += verdicts.iter().filter(|verdict| verdict.passed()).count();
                all.1 += verdicts.len();
                report(&part, &verdicts, &expected, started.elapsed(), &mut wrong);
            }
        }
    }
    let expected = baseline.remove(AUTHORIZATION).unwrap_or_default();
    if AUTHORIZATION.contains(only) {
        let started = Instant::now();
        let verdicts = authorization::run(&suite, &etdi)?;
        all.0 += verdicts.iter().filter(|verdict| verdict.passed()).count();
        all.1 += verdicts.len();
        report(AUTHORIZATION, &verdicts, &expected, started.elapsed(), &mut wrong);
    }
    wrong.extend(baseline.keys().map(|part| format!("baseline.txt: there is no part `{part}`")));
    println!("conformance: {} of {} scenarios pass by the strict rule", all.0, all.1);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Prints one part and adds what differs from the baseline.
fn report(
    part: &str,
    verdicts: &[Verdict],
    expected: &BTreeMap<String, String>,
    took: Duration,
    wrong: &mut Vec<String>,
) {
    let mut known: BTreeSet<&str> = expected.keys().map(String::as_str).collect();
    for verdict in verdicts {
        let name = verdict.scenario.as_str();
        let allowed = known.remove(name);
        match (&verdict.why[..], allowed) {
            ([], false) => {}
            ([], true) => wrong.push(format!("{part}: `{name}` passes, take it off the baseline")),
            (_, true) => {
                let reason = expected.get(name).map_or("", String::as_str);
                println!("  known {name}: {reason}");
            }
            (why, false) => {
                wrong.push(format!("{part}: `{name}` fails:\n      {}", why.join("\n      ")));
            }
        }
    }
    wrong.extend(known.iter().map(|name| format!("{part}: the suite has no scenario `{name}`")));
    for (title, scored) in [("required", true), ("besides", false)] {
        let of: Vec<_> = verdicts.iter().filter(|verdict| verdict.scored == scored).collect();
        let passed = of.iter().filter(|verdict| verdict.passed()).count();
        println!("conformance: {part} {title}: {passed}/{}", of.len());
    }
    println!("conformance: {part} took {:.1} s", took.as_secs_f64());
}

/// `ROLE REVISION SCENARIO: REASON` a line; `#` starts a comment.
fn read_baseline(text: &str) -> Result<BTreeMap<String, BTreeMap<String, String>>, String> {
    let mut parts: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let bad = || format!("baseline.txt: `{line}` is not `ROLE REVISION SCENARIO: REASON`");
        let (entry, reason) = line.split_once(": ").ok_or_else(bad)?;
        let (part, scenario) = entry.rsplit_once(' ').ok_or_else(bad)?;
        let known = parts.entry(part.to_owned()).or_default();
        if known.insert(scenario.to_owned(), reason.to_owned()).is_some() {
            return Err(format!("baseline.txt: `{entry}` stands there twice"));
        }
    }
    Ok(parts)
}

/// The installed suite and the programs that it judges.
struct Suite {
    node: PathBuf,
    package: PathBuf,
    programs: Programs,
    results: PathBuf,
}

impl Suite {
    /// Runs the scenarios of one role, a server's in one of its ways.
    fn run(&self, role: &str, revision: &str, way: Way) -> Result<Vec<Verdict>, String> {
        let bare = self.results.join(format!("{role}-{revision}"));
        let results = self.results.join(format!("{}-{revision}", way.name(role)));
        let _ = fs::remove_dir_all(&results);
        let exits = results.join("exit");
        fs::create_dir_all(&exits)
            .map_err(|error| format!("cannot create `{}`: {error}", exits.display()))?;
        let mut command = Command::new(&self.node);
        command.arg(self.package.join("dist/index.js")).arg(role);
        let mut servers = Vec::new();
        if role == "server" {
            servers.push(self.server(way)?);
            if way == Way::Guard {
                let behind = servers.first().map_or(0, |server| server.port);
                servers.insert(0, beside::guard(&self.programs.etdi(), behind, &results)?);
            }
            let port = servers.first().map_or(0, |server| server.port);
            command.arg("--url").arg(format!("http://127.0.0.1:{port}/mcp"));
        } else {
            command.arg("--command").arg(self.client(&results, &exits)?);
        }
        let log = fs::File::create(results.join("harness.log")).map_err(|e| e.to_string())?;
        command
            .args(["--requirements", revision, "--timeout"])
            .arg(PATIENCE.as_millis().to_string())
            .arg("-o")
            .arg(&results)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log);
        // Its exit code follows its own, laxer rule.
        command.status().map_err(|error| format!("cannot start the suite: {error}"))?;
        for server in &mut servers {
            server.still_there().map_err(|why| format!("a server {why} during the run"))?;
        }
        let mut verdicts = judge::all(role, revision, &self.package, &results)?;
        if way != Way::Alone {
            beside::compare(&mut verdicts, &bare, &results);
        }
        Ok(verdicts)
    }

    fn server(&self, way: Way) -> Result<Listening, String> {
        let mut command = match way {
            Way::Nodes => cluster(&self.programs, "everything"),
            Way::Alone | Way::Guard => Command::new(self.programs.example("everything")),
        };
        let server = Listening::start(|port| {
            command.args(["--port", &port.to_string()]).stdout(Stdio::null());
            command
        })?;
        Ok(if way == Way::Nodes { server.interrupted() } else { server })
    }

    /// A script around the client: the suite drops exit codes, and would wait for a client that hangs.
    fn client(&self, results: &Path, exits: &Path) -> Result<String, String> {
        let script = results.join("client.sh");
        let text = format!(
            "timeout -k 1 {} '{}' \"$@\"\ncode=$?\necho $code > '{}'/\"$(echo \"$MCP_CONFORMANCE_SCENARIO\" | tr / _)\"\nexit $code\n",
            PATIENCE.as_secs() - 2,
            self.programs.example("conformance_client").display(),
            exits.display()
        );
        fs::write(&script, text)
            .map_err(|error| format!("cannot write `{}`: {error}", script.display()))?;
        Ok(format!("bash '{}'", script.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_read_whole_or_refused() {
        let text = "# why\n\nclient 2026-07-28 auth/dpop: later\nclient 2026-07-28 x: never\n";
        let parts = read_baseline(text).unwrap();
        assert_eq!(parts["client 2026-07-28"]["auth/dpop"], "later");
        assert_eq!(parts["client 2026-07-28"].len(), 2);
        assert!(read_baseline("client 2026-07-28 auth/dpop").is_err());
        assert!(read_baseline("a b c: x\na b c: y").is_err());
    }

    #[test]
    fn a_difference_from_the_baseline_is_told() {
        let verdict = |scenario: &str, why: &[&str]| Verdict {
            scenario: scenario.into(),
            scored: true,
            why: why.iter().map(|&text| text.into()).collect(),
        };
        let expected = [("stale", ""), ("known", ""), ("gone", "")];
        let expected = expected.map(|(name, why)| (name.to_owned(), why.to_owned())).into();
        let verdicts =
            [verdict("stale", &[]), verdict("known", &["no"]), verdict("new", &["broken"])];
        let mut wrong = Vec::new();
        report("server 1", &verdicts, &expected, Duration::ZERO, &mut wrong);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("stale") && wrong[1].contains("broken"));
        assert!(wrong[2].contains("gone"));
    }
}
