//! Texts as policies, and what is wrong with them.

use std::collections::BTreeMap;
use std::str::FromStr;

use cedar_policy::{
    Effect, Entities, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use etdi_core::policy::Obligation;
use miette::Diagnostic;

use crate::error::line_of;
use crate::files::Source;
use crate::{LoadError, Problem};

/// Policies that can be read, and the static entities beside them.
pub(super) struct Loaded {
    pub(super) policies: PolicySet,
    pub(super) entities: Entities,
    /// Where each policy stands.
    places: BTreeMap<PolicyId, usize>,
    sources: Vec<Source>,
}

/// The most policies of one engine.
const MAX_POLICIES: usize = 10_000;

/// The types of which a file may bring entities: those whose facts nobody else knows.
const FROM_FILE: [&str; 3] = ["Etdi::User", "Etdi::Agent", "Etdi::Group"];

impl Loaded {
    pub(super) fn new(sources: &[Source], entities: Option<&Source>) -> Result<Self, LoadError> {
        if sources.len() > Source::MAX_SOURCES {
            return Err(LoadError::TooMuch { what: "many files", limit: Source::MAX_SOURCES });
        }
        let mut problems = Vec::new();
        let mut loaded = Self {
            policies: PolicySet::new(),
            entities: Entities::empty(),
            places: BTreeMap::new(),
            sources: sources.to_vec(),
        };
        for (at, source) in sources.iter().enumerate() {
            loaded.add(at, source, &mut problems)?;
        }
        if let Some(source) = entities {
            match read_entities(source) {
                Ok(entities) => loaded.entities = entities,
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(loaded) } else { Err(LoadError::Wrong(problems)) }
    }

    fn add(
        &mut self,
        at: usize,
        source: &Source,
        problems: &mut Vec<Problem>,
    ) -> Result<(), LoadError> {
        if source.text.len() > Source::MAX_BYTES {
            let limit = Source::MAX_BYTES;
            return Err(LoadError::TooMuch { what: "many bytes in a file", limit });
        }
        let set = match PolicySet::from_str(&source.text) {
            Ok(set) => set,
            Err(errors) => {
                collect(&errors, source, problems);
                return Ok(());
            }
        };
        if set.templates().next().is_some() {
            let message = "it has a template (`?principal`, `?resource`), write a policy instead";
            problems.push(Problem::new(&source.name, None, message));
        }
        let mut policies: Vec<&Policy> = set.policies().collect();
        // They are named `policy0`, `policy1`, … in the order of the text.
        policies.sort_by_key(|policy| {
            let id = policy.id().to_string();
            id.strip_prefix("policy").and_then(|number| number.parse::<usize>().ok())
        });
        for (number, policy) in policies.into_iter().enumerate() {
            let named = policy.annotation("id").map(str::to_owned);
            let id = named.unwrap_or_else(|| format!("{}#{}", source.name, number + 1));
            let id = PolicyId::new(id);
            if let Some(other) = self.places.get(&id) {
                let other = self.sources.get(*other).map_or("", |other| &other.name);
                let message = format!("a policy in `{other}` is named `{id}` too, rename one");
                problems.push(Problem::new(&source.name, None, message));
                continue;
            }
            if policy.effect() == Effect::Forbid && policy.annotation("obligation").is_some() {
                let message = format!("`{id}` forbids, so its `@obligation` is never met: drop it");
                problems.push(Problem::new(&source.name, None, message));
            }
            if self.places.len() >= MAX_POLICIES {
                return Err(LoadError::TooMuch { what: "many policies", limit: MAX_POLICIES });
            }
            self.places.insert(id.clone(), at);
            if let Err(error) = self.policies.add(policy.new_id(id)) {
                problems.push(Problem::new(&source.name, None, error));
            }
        }
        Ok(())
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.places.keys().map(ToString::to_string).collect()
    }

    pub(super) fn check(&self, schema: &str) -> Result<Vec<Problem>, LoadError> {
        let schema = match Schema::from_cedarschema_str(schema) {
            Ok((schema, _)) => schema,
            Err(error) => {
                return Err(LoadError::Wrong(vec![Problem::new("(the tools)", None, error)]));
            }
        };
        let result = Validator::new(schema).validate(&self.policies, ValidationMode::Strict);
        let mut problems = Vec::new();
        for error in result.validation_errors() {
            self.found(error.policy_id(), error, &mut problems);
        }
        for warning in result.validation_warnings() {
            self.found(warning.policy_id(), warning, &mut problems);
        }
        problems.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
        Ok(problems)
    }

    fn found(&self, id: &PolicyId, error: &dyn Diagnostic, problems: &mut Vec<Problem>) {
        match self.places.get(id).and_then(|at| self.sources.get(*at)) {
            Some(source) => problems.push(problem(error, source)),
            None => problems.push(Problem::new(id.as_ref(), None, error)),
        }
    }

    pub(super) fn obligations(&self, id: &PolicyId) -> Vec<Obligation> {
        let named = self.policies.policy(id).and_then(|policy| policy.annotation("obligation"));
        let names = named.unwrap_or_default().split_whitespace();
        names.filter_map(|name| name.parse().ok()).collect()
    }

    pub(super) fn reason(&self, id: &PolicyId) -> Option<String> {
        self.policies.policy(id)?.annotation("reason").map(str::to_owned)
    }
}

/// Reads what a file says about users, agents and groups, and refuses one that speaks of more.
pub(crate) fn read_entities(source: &Source) -> Result<Entities, Problem> {
    let wrong = |message: String| Problem::new(&source.name, None, message);
    let entities =
        Entities::from_json_str(&source.text, None).map_err(|error| wrong(miette_text(&error)))?;
    for entity in entities.iter() {
        let kind = entity.uid().type_name().to_string();
        if !FROM_FILE.contains(&kind.as_str()) {
            return Err(wrong(format!(
                "it says something about `{}`, which is known otherwise: keep to {}",
                entity.uid(),
                FROM_FILE.join(", ")
            )));
        }
    }
    Ok(entities)
}

/// An error with what lies behind it, in one line.
fn miette_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn collect(error: &dyn Diagnostic, source: &Source, problems: &mut Vec<Problem>) {
    problems.push(problem(error, source));
    for related in error.related().into_iter().flatten() {
        problems.push(problem(related, source));
    }
}

fn problem(error: &dyn Diagnostic, source: &Source) -> Problem {
    let label = error.labels().and_then(|mut labels| labels.next());
    let line = label.map(|label| line_of(&source.text, label.offset()));
    let mut message = error.to_string().replace('\n', " ");
    if let Some(help) = error.help() {
        message = format!("{message} ({})", help.to_string().replace('\n', " "));
    }
    Problem { file: source.name.clone(), line, message }
}
