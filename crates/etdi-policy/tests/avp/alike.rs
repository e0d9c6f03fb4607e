//! One set of policies, in a folder and behind the service.

use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Decision as Verdict, Entities, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request as Asked, Schema,
};
use etdi_policy::{CedarEngine, Source, schema_json_of, schema_of};
use serde_json::{Value, json};

use super::fake::{Fake, Reply};
use super::{BANK, FEW, ask, engine, inner, pay};

/// Decides as the service does: by the schema's actions and what the request brings.
fn evaluate(policies: &PolicySet, schema: &Schema, body: &Value) -> Reply {
    let uid = |name: &str, kind: &str, id: &str| {
        let kind: EntityTypeName = body[name][kind].as_str().unwrap().parse().unwrap();
        EntityUid::from_type_name_and_id(kind, EntityId::new(body[name][id].as_str().unwrap()))
    };
    let action = uid("action", "actionType", "actionId");
    let context = inner(&body["context"]);
    let context = Context::from_json_value(context, Some((schema, &action))).unwrap();
    let asked = Asked::new(
        uid("principal", "entityType", "entityId"),
        action,
        uid("resource", "entityType", "entityId"),
        context,
        Some(schema),
    );
    let entities = Entities::from_json_value(inner(&body["entities"]), Some(schema)).unwrap();
    let response = Authorizer::new().is_authorized(&asked.unwrap(), policies, &entities);
    let ids = response.diagnostics().reason().map(|id| json!({"policyId": id.to_string()}));
    let errors = response.diagnostics().errors().map(|_| json!({"errorDescription": "x"}));
    let answer = json!({
        "decision": if response.decision() == Verdict::Allow { "ALLOW" } else { "DENY" },
        "determiningPolicies": ids.collect::<Vec<_>>(),
        "errors": errors.collect::<Vec<_>>(),
    });
    Reply::With(200, answer.to_string())
}

#[tokio::test]
async fn one_set_of_policies_decides_alike_here_and_there() {
    let policies = r#"
        permit (principal == Etdi::User::"ada", action, resource)
        when { context.arguments.cents <= 5000 && resource.permissions.contains("money:send") };
        permit (principal in Etdi::Group::"staff", action in Etdi::Action::"tools/call",
                resource in Etdi::Server::"stdio:pkg:cargo/bank");
        forbid (principal, action == Etdi::Action::"stdio:pkg:cargo/bank#pay", resource)
        when { context.arguments.to like "E*" || !context.unknown_arguments.isEmpty() };
        forbid (principal, action, resource)
        when { context.arguments has tags && context.arguments.tags.contains("odd")
               && context.arguments.cents * 9223372036854775807 > 1 };"#;
    let entities = Source::new(
        "entities.json",
        r#"[{"uid":{"type":"Etdi::User","id":"bea"},"attrs":{},
            "parents":[{"type":"Etdi::Group","id":"staff"}]}]"#,
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.cedar"), policies).unwrap();
    std::fs::write(folder.path().join("entities.json"), &entities.text).unwrap();
    let here = CedarEngine::from_folder(folder.path()).unwrap();

    let tool = pay();
    // What a policy store takes is the JSON; it has to mean the same.
    let json = schema_json_of([(BANK, tool.definition())]).unwrap();
    let schema = Schema::from_json_str(&json).unwrap();
    let text = schema_of([(BANK, tool.definition())]);
    let (other, _) = Schema::from_cedarschema_str(&text).unwrap();
    assert_eq!(schema.actions().count(), other.actions().count());

    let set: PolicySet = policies.parse().unwrap();
    let fake = Fake::start(Arc::new(move |body| evaluate(&set, &schema, body)));
    let there = engine(&fake).entities(&entities).unwrap();
    let mut allowed = 0;
    for user in ["ada", "bea", "eve"] {
        for arguments in [
            FEW,
            r#"{"to":"Bob","cents":5000,"tags":["a","b"]}"#,
            r#"{"to":"Bob","cents":5001}"#,
            r#"{"to":"Eve","cents":5}"#,
            r#"{"to":"Bob","cents":5,"extra":1}"#,
            // Evaluation fails in a policy that forbids.
            r#"{"to":"Bob","cents":4000,"tags":["odd"]}"#,
            // Misfits, which never get there.
            r#"{"to":"Bob"}"#,
            r#"{"to":"Bob","to":"Eve","cents":5}"#,
        ] {
            let own = ask(&here, user, arguments).await.allow;
            let remote = ask(&there, user, arguments).await.allow;
            assert_eq!(own, remote, "{user} {arguments}");
            allowed += usize::from(own);
        }
    }
    assert_eq!(allowed, 5);
    assert!(fake.seen().iter().all(|one| one.fault.is_none()));
}
