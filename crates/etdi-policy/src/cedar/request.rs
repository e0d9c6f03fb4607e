//! A call as Cedar is asked about it.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request as Asked,
    RestrictedExpression as Value,
};
use etdi_core::definition::ToolDefinition;
use etdi_core::flow::{Confidentiality, Integrity, Label};
use etdi_core::ijson::{Document, Limits};
use etdi_core::policy::{Request, Resource, Subject};

use super::schema::{action_id, shape_of};
use crate::MAX_ARGUMENTS;
use crate::shape::{Misfit, Shape};

/// What of a tool stays the same from call to call.
pub(crate) struct Known {
    action: EntityUid,
    resource: EntityUid,
    shape: Shape,
    pub(crate) entities: Entities,
}

/// Why Cedar cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("the server does not list the tool")]
    Unlisted,
    #[error("the arguments have more than {MAX_ARGUMENTS} bytes")]
    Big,
    #[error("the arguments are not strict JSON")]
    Json,
    #[error(transparent)]
    Misfit(#[from] Misfit),
    #[error("{0}")]
    Cedar(String),
}

fn cedar(error: impl ToString) -> Unfit {
    Unfit::Cedar(error.to_string())
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Unfit> {
    let kind: EntityTypeName = format!("Etdi::{kind}").parse().map_err(cedar)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// Who calls. A user is named by the issuer and the subject, which is unique with it.
fn principal(subject: &Subject<'_>) -> Result<EntityUid, Unfit> {
    match (subject.name(), subject.agent) {
        (Some(user), _) => uid("User", &user),
        (None, Some(agent)) => uid("Agent", agent),
        (None, None) => uid("Unknown", "unknown"),
    }
}

impl Known {
    /// `others` are what is known of users, agents and groups.
    pub(crate) fn new(
        resource: &Resource<'_>,
        definition: &ToolDefinition,
        others: &Entities,
    ) -> Result<Self, Unfit> {
        let id = action_id(resource.server, resource.tool);
        let (action, all) = (uid("Action", &id)?, uid("Action", "tools/call")?);
        let (tool, server) = (uid("Tool", &id)?, uid("Server", resource.server)?);
        let text = |text: &str| Value::new_string(text.to_owned());
        let declared = resource.permissions.iter().map(|one| one.scope.as_str());
        let granted: Vec<&str> = match &resource.granted {
            Some(granted) => granted.clone(),
            None => declared.clone().collect(),
        };
        let hints = resource.hints;
        let fields = [
            ("server", Some(text(resource.server))),
            ("name", Some(text(resource.tool))),
            ("provider", resource.provider.map(text)),
            ("version", resource.version.as_deref().map(text)),
            ("digest", Some(text(&definition.digest().to_string()))),
            ("status", Some(text(resource.status.name()))),
            ("permissions", Some(set(declared))),
            ("granted", Some(set(granted))),
            ("read_only", hints.read_only.map(Value::new_bool)),
            ("destructive", hints.destructive.map(Value::new_bool)),
            ("idempotent", hints.idempotent.map(Value::new_bool)),
            ("open_world", hints.open_world.map(Value::new_bool)),
        ];
        let attributes: HashMap<String, Value> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        let entities = [
            Entity::new_no_attrs(action.clone(), HashSet::from([all.clone()])),
            Entity::new_no_attrs(all, HashSet::new()),
            Entity::new(tool.clone(), attributes, HashSet::from([server.clone()]))
                .map_err(cedar)?,
            Entity::new_no_attrs(server, HashSet::new()),
        ];
        let entities = others.clone().add_entities(entities, None).map_err(cedar)?;
        Ok(Self { action, resource: tool, shape: shape_of(definition), entities })
    }

    pub(crate) fn request(&self, request: &Request<'_>) -> Result<Asked, Unfit> {
        let context = &request.context;
        let text = context.arguments.unwrap_or("{}");
        if text.len() > MAX_ARGUMENTS {
            return Err(Unfit::Big);
        }
        let document = Document::parse(text, Limits::MESSAGE).map_err(|_| Unfit::Json)?;
        let (arguments, unknown) = self.shape.value(Some(document.root()))?;

        let subject = &request.subject;
        let long = |number: u64| Value::new_long(i64::try_from(number).unwrap_or(i64::MAX));
        let text = |text: &str| Value::new_string(text.to_owned());
        let agent = subject.agent.map(|agent| uid("Agent", agent)).transpose()?;
        let now = context.now.0;
        let found: Vec<&Label> = context.texts.iter().map(|found| &found.label).collect();
        let seen: Vec<&Label> = context.seen.iter().collect();
        let fields = [
            ("arguments", Some(arguments)),
            ("side", Some(text(context.side.name()))),
            ("level", context.level.map(|level| text(level.name()))),
            ("now", Some(long(now))),
            ("hour", Some(long(now / 3_600 % 24))),
            // The first of January 1970 was a Thursday; Monday is 1.
            ("weekday", Some(long((now / 86_400 + 3) % 7 + 1))),
            ("depth", Some(long(context.depth as u64))),
            ("chain", Some(set(context.chain.iter().copied()))),
            ("agent", agent.map(Value::new_entity_uid)),
            ("issuer", subject.issuer.map(text)),
            ("key", subject.key.map(|key| text(&key.to_string()))),
            ("scopes", Some(set(subject.scopes.into_iter().flatten().map(String::as_str)))),
            ("unknown_arguments", Some(set(unknown.iter().map(String::as_str)))),
            ("text_from", Some(servers(&found))),
            ("text_sources", Some(sources(&found))),
            ("text_integrity", Some(integrity(&found))),
            ("text_confidentiality", Some(confidentiality(&found))),
            ("seen_from", Some(servers(&seen))),
            ("seen_sources", Some(sources(&seen))),
            ("seen_integrity", Some(integrity(&seen))),
            ("seen_confidentiality", Some(confidentiality(&seen))),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let context = Context::from_pairs(fields).map_err(cedar)?;
        let principal = principal(subject)?;
        Asked::new(principal, self.action.clone(), self.resource.clone(), context, None)
            .map_err(cedar)
    }
}

fn set<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
    let texts: BTreeSet<&str> = texts.into_iter().collect();
    Value::new_set(texts.into_iter().map(|text| Value::new_string(text.to_owned())))
}

fn servers(labels: &[&Label]) -> Value {
    set(labels.iter().map(|label| label.origin.server.as_str()))
}

fn sources(labels: &[&Label]) -> Value {
    let names: Vec<String> =
        labels.iter().map(|label| action_id(&label.origin.server, &label.origin.source)).collect();
    set(names.iter().map(String::as_str))
}

fn integrity(labels: &[&Label]) -> Value {
    set(labels.iter().map(|label| match label.integrity {
        Integrity::Trusted => "trusted",
        Integrity::Untrusted => "untrusted",
    }))
}

fn confidentiality(labels: &[&Label]) -> Value {
    set(labels.iter().map(|label| match label.confidentiality {
        Confidentiality::Public => "public",
        Confidentiality::Private => "private",
        Confidentiality::Secret => "secret",
    }))
}
