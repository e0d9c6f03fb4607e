//! Rego, evaluated in this process by regorus.
//!
//! Policies are rules of the package `etdi`: a call is allowed when `data.etdi.allow` is `true`
//! and `data.etdi.deny` is empty or undefined. `deny` is a set of reasons, `obligations` a set of
//! names. What they see in `input` has the names of the Cedar context, and the arguments as data.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use etdi_core::flow::Label;
use etdi_core::ijson::{Document, Limits};
use etdi_core::policy::{Decision, PolicyEngine, Request};
use mcp_types::BoxFuture;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use serde_json::{json, value::RawValue};

use crate::error::line_of;
use crate::files::{self, Source};
use crate::{LoadError, MAX_ARGUMENTS, Problem};

/// Decides by policies in Rego.
///
/// Evaluation has a time limit of its own ([`RegoEngine::LIMIT`]), since a policy can loop. What
/// fails, or is not done by then, denies. Cheap to clone; clones share their policies.
#[derive(Clone)]
pub struct RegoEngine(Arc<Inner>);

struct Inner {
    folder: Option<PathBuf>,
    /// Ready to be cloned for each decision.
    engine: RwLock<Engine>,
}

impl RegoEngine {
    /// How long one decision may take.
    pub const LIMIT: Duration = Duration::from_millis(500);

    /// An engine with these modules.
    ///
    /// # Errors
    ///
    /// What is wrong with them, each with its file and line.
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Result<Self, LoadError> {
        let sources: Vec<Source> = sources.into_iter().collect();
        let engine = RwLock::new(load(sources)?);
        Ok(Self(Arc::new(Inner { folder: None, engine })))
    }

    /// An engine with the `*.rego` files of a folder, read now and at each
    /// [`RegoEngine::reload`].
    ///
    /// # Errors
    ///
    /// When the folder cannot be read, and what is wrong with its modules.
    pub fn from_folder(folder: impl Into<PathBuf>) -> Result<Self, LoadError> {
        let folder: PathBuf = folder.into();
        let engine = RwLock::new(load(read(&folder)?)?);
        Ok(Self(Arc::new(Inner { folder: Some(folder), engine })))
    }

    /// Reads the folder again.
    ///
    /// # Errors
    ///
    /// As [`RegoEngine::from_folder`]; the policies then stay as they were.
    pub fn reload(&self) -> Result<(), LoadError> {
        let folder = self.0.folder.as_deref().ok_or(LoadError::NoFolder)?;
        let engine = load(read(folder)?)?;
        *self.0.engine.write().unwrap_or_else(PoisonError::into_inner) = engine;
        Ok(())
    }

    /// Decides about a request, at once.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        match self.evaluate(request) {
            Ok(decision) => decision,
            Err(error) => Decision::failed(&error),
        }
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Decision, String> {
        let input = input(request)?;
        let mut engine = self.0.engine.read().unwrap_or_else(PoisonError::into_inner).clone();
        engine.set_input_json(&input).map_err(|_| "the input cannot be read".to_owned())?;
        // The messages of regorus show values of the input, which belong in no log.
        let failed = |_| "a rule failed, or took too long".to_owned();
        let results = engine.eval_query("data.etdi".to_owned(), false).map_err(failed)?;
        let first = results.result.first().and_then(|result| result.expressions.first());
        let Some(package) = first.map(|expression| &expression.value) else {
            return Ok(Decision::default());
        };
        let denied = texts(package, "deny")?;
        if !denied.is_empty() {
            let mut decision = Decision::deny(["data.etdi.deny"]);
            decision.reasons = denied;
            return Ok(decision);
        }
        match member(package, "allow").map(|allow| allow.as_bool().copied()) {
            Some(Ok(true)) => {}
            Some(Ok(false)) | None => return Ok(Decision::default()),
            Some(Err(_)) => return Err("`data.etdi.allow` is neither true nor false".to_owned()),
        }
        let mut decision = Decision::permit(["data.etdi.allow"]);
        let names = texts(package, "obligations")?;
        decision.obligations = names.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(decision)
    }
}

impl PolicyEngine for RegoEngine {
    fn authorize<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(self.decide(request)))
    }
}

impl fmt::Debug for RegoEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegoEngine").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

fn read(folder: &Path) -> Result<Vec<Source>, LoadError> {
    files::read_folder(folder, "rego")
}

fn load(sources: Vec<Source>) -> Result<Engine, LoadError> {
    if sources.len() > Source::MAX_SOURCES {
        return Err(LoadError::TooMuch { what: "many files", limit: Source::MAX_SOURCES });
    }
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: RegoEngine::LIMIT,
        check_interval: NonZeroU32::MIN.saturating_add(63),
    });
    let mut problems = Vec::new();
    for source in sources {
        if source.text.len() > Source::MAX_BYTES {
            let limit = Source::MAX_BYTES;
            return Err(LoadError::TooMuch { what: "many bytes in a file", limit });
        }
        match engine.add_policy(source.name.clone(), source.text.clone()) {
            Ok(package) if package == "data.etdi" || package.starts_with("data.etdi.") => {}
            Ok(package) => {
                let line = source.text.find("package").map(|at| line_of(&source.text, at));
                let message = format!("`{package}` decides nothing here, write `package etdi`");
                problems.push(Problem::new(&source.name, line, message));
            }
            Err(error) => problems.push(problem(&source, &error.to_string())),
        }
    }
    if !problems.is_empty() {
        return Err(LoadError::Wrong(problems));
    }
    // Prepares the rules, so that clones need not; what they say about nothing does not matter.
    engine.set_input(Value::new_object());
    _ = engine.eval_query("data.etdi".to_owned(), false);
    Ok(engine)
}

/// A problem at the place that regorus names, as `--> file:line:column`.
fn problem(source: &Source, message: &str) -> Problem {
    let place = message.split_once("--> ").and_then(|(_, rest)| rest.lines().next());
    let numbers = place.and_then(|place| place.strip_prefix(&*source.name)?.strip_prefix(':'));
    let line = numbers.and_then(|numbers| numbers.split(':').next()?.parse().ok());
    let said = message.lines().rev().find_map(|line| line.trim().strip_prefix("error: "));
    Problem::new(&source.name, line, said.unwrap_or("it cannot be read").trim())
}

fn member<'a>(package: &'a Value, name: &str) -> Option<&'a Value> {
    package.as_object().ok()?.get(&Value::from(name))
}

/// The texts of a set or list of texts; none where it is not defined.
fn texts(package: &Value, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("`data.etdi.{name}` is no set of texts");
    let text = |value: &Value| value.as_string().map(|text| text.to_string()).map_err(|_| wrong());
    match member(package, name) {
        None => Ok(Vec::new()),
        Some(value) => match (value.as_set(), value.as_array()) {
            (Ok(set), _) => set.iter().map(text).collect(),
            (_, Ok(list)) => list.iter().map(text).collect(),
            _ => Err(wrong()),
        },
    }
}

/// What the policies see.
fn input(request: &Request<'_>) -> Result<String, String> {
    let (subject, resource, context) = (&request.subject, &request.resource, &request.context);
    let text = context.arguments.unwrap_or("{}");
    if text.len() > MAX_ARGUMENTS {
        return Err(format!("the arguments have more than {MAX_ARGUMENTS} bytes"));
    }
    // With one meaning only: a name that stands there twice could mean either value.
    let document = Document::parse(text, Limits::MESSAGE);
    let arguments = document.map_err(|_| "the arguments are not strict JSON".to_owned())?;
    let arguments = etdi_core::canonical::of(arguments.root());
    let arguments = RawValue::from_string(arguments).map_err(|error| error.to_string())?;
    let label = |label: &Label| json!(label);
    let declared: Vec<&str> = resource.permissions.iter().map(|one| one.scope.as_str()).collect();
    let granted = resource.granted.as_ref().unwrap_or(&declared);
    let hints = resource.hints;
    let rest = json!({
        "subject": {
            "user": subject.user, "issuer": subject.issuer, "agent": subject.agent,
            "key": subject.key, "scopes": subject.scopes,
        },
        "action": request.action,
        "resource": {
            "server": resource.server, "tool": resource.tool, "provider": resource.provider,
            "version": resource.version, "digest": resource.digest,
            "status": resource.status.name(), "permissions": declared, "granted": granted,
            "read_only": hints.read_only, "destructive": hints.destructive,
            "idempotent": hints.idempotent, "open_world": hints.open_world,
        },
        "side": context.side.name(),
        "level": context.level,
        "now": context.now,
        "hour": context.now.0 / 3_600 % 24,
        "weekday": (context.now.0 / 86_400 + 3) % 7 + 1,
        "depth": context.depth,
        "chain": context.chain,
        "texts": context.texts.iter().map(|found| label(&found.label)).collect::<Vec<_>>(),
        "seen": context.seen.iter().map(label).collect::<Vec<_>>(),
    });
    let rest = rest.to_string();
    let members = rest.strip_prefix('{').unwrap_or_default();
    Ok(format!(r#"{{"arguments":{arguments},{members}"#))
}

#[cfg(test)]
mod tests {
    use etdi_core::policy::{Obligation, Resource};
    use etdi_core::time::UnixTime;

    use super::*;

    fn engine(text: &str) -> RegoEngine {
        RegoEngine::new([Source::new("test.rego", text)]).unwrap()
    }

    fn ask(engine: &RegoEngine, arguments: &str) -> Decision {
        let mut request =
            Request::call(Resource::new("stdio:pkg:cargo/bank", "pay"), UnixTime(40_000));
        request.context.arguments = Some(arguments);
        request.subject.user = Some("ada");
        engine.decide(&request)
    }

    const SMALL: &str = "package etdi\n
        default allow := false\n
        allow if { input.resource.tool == \"pay\"; input.arguments.cents <= 5000; input.hour == 11 }\n
        deny contains \"Eve is on the list\" if input.arguments.to == \"Eve\"\n
        obligations contains \"sign\" if input.subject.user == \"ada\"";

    #[test]
    fn rules_see_arguments_and_circumstances() {
        let engine = engine(SMALL);
        let allowed = ask(&engine, r#"{"to":"Bob","cents":42}"#);
        assert_eq!((allowed.allow, allowed.obligations), (true, vec![Obligation::Sign]));
        assert!(!ask(&engine, r#"{"to":"Bob","cents":420000}"#).allow);
        let denied = ask(&engine, r#"{"to":"Eve","cents":42}"#);
        assert_eq!((denied.allow, denied.reasons), (false, vec!["Eve is on the list".to_owned()]));
    }

    #[test]
    fn nothing_is_allowed_by_default_and_what_goes_wrong_denies() {
        for text in [
            "package etdi",
            "package etdi\nallow := 1",
            "package etdi\nallow := \"true\"",
            // Two values for one rule, and a built-in that fails.
            "package etdi\nallow := true\nallow := false if input.arguments.cents == 42",
            "package etdi\nallow := true\ndeny contains \"x\" if { 1 / input.arguments.zero == 1 }",
            "package etdi\nallow := true\ndeny := 5",
        ] {
            let decision = ask(&engine(text), r#"{"cents":42,"zero":0}"#);
            assert!(!decision.allow, "{text}");
        }
        let all = engine("package etdi\nallow := true");
        assert!(ask(&all, r#"{"to":"Bob"}"#).allow);
        assert!(!ask(&all, r#"{"to":"Bob","to":"Eve"}"#).allow);
        assert!(!ask(&all, &format!("\"{}\"", "x".repeat(MAX_ARGUMENTS))).allow);
    }

    #[test]
    fn a_rule_that_never_ends_denies() {
        let text = "package etdi\nn := [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]
            allow if count([1 | n[_]; n[_]; n[_]; n[_]; n[_]; n[_]; n[_]; n[_]; n[_]]) > 0";
        let started = std::time::Instant::now();
        let engine = engine(text);
        assert!(!ask(&engine, "{}").allow);
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn malformed_modules_are_told_with_file_and_line() {
        let wrong = [Source::new("a.rego", "package etdi\n\nallow if {")];
        let error = RegoEngine::new(wrong).unwrap_err().to_string();
        assert!(error.starts_with("a.rego:3: "), "{error}");
        let other = RegoEngine::new([Source::new("a.rego", "package other\nallow := true")]);
        assert!(other.unwrap_err().to_string().contains("write `package etdi`"));
    }
}
