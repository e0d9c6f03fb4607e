//! What Verified Permissions is asked: the same request that Cedar is asked in this process.

use cedar_policy::{Entities, EntityUid, Request as Asked, SchemaFragment};
use etdi_core::definition::ToolDefinition;
use etdi_core::policy::Request;
use serde::Serialize;

use crate::cedar::request::{Known, Unfit};
use crate::{LoadError, Problem, schema_of};

/// The most bytes of a request that Verified Permissions takes.
const MAX_BODY: usize = 1_000_000;

/// The longest names that it takes.
const MAX_ENTITY_ID: usize = 612;
const MAX_ACTION_ID: usize = 512;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    policy_store_id: &'a str,
    principal: EntityIdentifier<'a>,
    action: ActionIdentifier<'a>,
    resource: EntityIdentifier<'a>,
    context: CedarJson,
    entities: CedarJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntityIdentifier<'a> {
    entity_type: String,
    entity_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActionIdentifier<'a> {
    action_type: String,
    action_id: &'a str,
}

/// A value in the JSON of Cedar, as text in the JSON of the service.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CedarJson {
    cedar_json: String,
}

/// Why a request cannot be put to the service. Nothing of the arguments is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unasked {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("the {0} has a name that is empty, or longer than Verified Permissions takes")]
    Name(&'static str),
    #[error("the request has more than {MAX_BODY} bytes, which Verified Permissions does not take")]
    Big,
    #[error("the request cannot be written in the JSON of Cedar")]
    Json,
}

/// The body of an `IsAuthorized` about a request; `others` are users, agents and groups.
pub(super) fn body_of(
    policy_store_id: &str,
    request: &Request<'_>,
    others: &Entities,
) -> Result<Vec<u8>, Unasked> {
    let resource = &request.resource;
    let definition = resource.definition.ok_or(Unfit::Unlisted)?;
    let known = Known::new(resource, definition, others)?;
    let asked = known.request(request)?;
    let (principal, action, target) = ids(&asked).ok_or(Unasked::Json)?;
    let context = asked.context().and_then(|context| context.to_json_value().ok());
    let body = Body {
        policy_store_id,
        principal: entity(principal, "principal")?,
        action: ActionIdentifier {
            action_type: action.type_name().to_string(),
            action_id: named(action, MAX_ACTION_ID, "action")?,
        },
        resource: entity(target, "resource")?,
        context: CedarJson { cedar_json: context.ok_or(Unasked::Json)?.to_string() },
        entities: CedarJson { cedar_json: without_actions(&known.entities)? },
    };
    let body = serde_json::to_vec(&body).map_err(|_| Unasked::Json)?;
    if body.len() > MAX_BODY { Err(Unasked::Big) } else { Ok(body) }
}

fn ids(asked: &Asked) -> Option<(&EntityUid, &EntityUid, &EntityUid)> {
    Some((asked.principal()?, asked.action()?, asked.resource()?))
}

fn entity<'a>(uid: &'a EntityUid, what: &'static str) -> Result<EntityIdentifier<'a>, Unasked> {
    let entity_id = named(uid, MAX_ENTITY_ID, what)?;
    Ok(EntityIdentifier { entity_type: uid.type_name().to_string(), entity_id })
}

fn named<'a>(uid: &'a EntityUid, most: usize, what: &'static str) -> Result<&'a str, Unasked> {
    let id: &str = uid.id().unescaped();
    let fits = (1..=most).contains(&id.chars().count());
    if fits { Ok(id) } else { Err(Unasked::Name(what)) }
}

/// Actions and their groups are in the store's schema, and are taken from nowhere else.
fn without_actions(entities: &Entities) -> Result<String, Unasked> {
    let others = entities.iter().filter(|one| one.uid().type_name().basename() != "Action");
    let others = Entities::from_entities(others.cloned(), None).map_err(|_| Unasked::Json)?;
    let mut text = Vec::new();
    others.write_to_json(&mut text).map_err(|_| Unasked::Json)?;
    String::from_utf8(text).map_err(|_| Unasked::Json)
}

/// The schema of these tools in the JSON that a policy store takes (`PutSchema`), the same as
/// [`schema_of`] writes.
///
/// # Errors
///
/// When the tools make no schema, which is a fault of their definitions.
pub fn schema_json_of<'a>(
    tools: impl IntoIterator<Item = (&'a str, &'a ToolDefinition)>,
) -> Result<String, LoadError> {
    let wrong = |error: String| LoadError::Wrong(vec![Problem::new("the schema", None, error)]);
    let text = schema_of(tools);
    let (schema, _) =
        SchemaFragment::from_cedarschema_str(&text).map_err(|error| wrong(error.to_string()))?;
    schema.to_json_string().map_err(|error| wrong(error.to_string()))
}
