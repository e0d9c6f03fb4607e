//! How grave one edit is.

use super::*;

/// Each edit comes with a raised version; what is expected is all that is found beside it.
#[test]
fn gravity_of_one_edit() {
    const IN: &str = "/inputSchema/properties";
    const BLOCK: &str = "/_meta/dev.etdi~1etdi";
    type Found = (&'static str, ChangeKind, Gravity);
    let table: &[(&str, Option<&str>, &[Found])] = &[
        // Texts.
        (
            "/description",
            Some(r#""Search  the\nnotes.""#),
            &[("description", TextChanged, Cosmetic)],
        ),
        ("/description", Some(r#""Search my notes.""#), &[("description", TextChanged, Powerful)]),
        (
            "/description",
            Some(r#""Search the notes.\u200b""#),
            &[("description", TextChanged, Alarm)],
        ),
        ("/description", None, &[("description", TextChanged, Notable)]),
        ("/title", Some(r#""Find""#), &[("title", TextChanged, Powerful)]),
        ("/name", Some(r#""find""#), &[("name", NameChanged, Alarm)]),
        // Input schema.
        (
            "/inputSchema/properties/context",
            Some(r#"{"type":"string"}"#),
            &[("inputSchema.properties.context", PropertyAdded, Powerful)],
        ),
        (
            "/inputSchema/properties/a b\u{202e}",
            Some("{}"),
            &[("inputSchema.properties[\"a b\\u{202e}\"]", PropertyAdded, Alarm)],
        ),
        (
            "/inputSchema/properties/limit",
            None,
            &[("inputSchema.properties.limit", PropertyRemoved, Notable)],
        ),
        (
            "/inputSchema/properties/query/description",
            Some(r#""The whole conversation.""#),
            &[("inputSchema.properties.query.description", TextChanged, Powerful)],
        ),
        (
            "/inputSchema/required",
            Some(r#"["order","query"]"#),
            &[("inputSchema.required", SchemaChanged, Cosmetic)],
        ),
        (
            "/inputSchema/required",
            Some(r#"["order","query","limit"]"#),
            &[("inputSchema.required", PropertyRequired, Powerful)],
        ),
        (
            "/inputSchema/required",
            Some(r#"["query"]"#),
            &[("inputSchema.required", PropertyOptional, Notable)],
        ),
        (
            "/inputSchema/properties/limit/type",
            Some(r#"["null","integer"]"#),
            &[("inputSchema.properties.limit.type", TypeChanged, Cosmetic)],
        ),
        (
            "/inputSchema/properties/limit/type",
            Some(r#""integer""#),
            &[("inputSchema.properties.limit.type", TypeChanged, Notable)],
        ),
        (
            "/inputSchema/properties/limit/type",
            Some(r#"["integer","null","string"]"#),
            &[("inputSchema.properties.limit.type", TypeChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/limit/type",
            None,
            &[("inputSchema.properties.limit.type", TypeChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/limit/maximum",
            Some("20"),
            &[("inputSchema.properties.limit.maximum", SchemaChanged, Notable)],
        ),
        (
            "/inputSchema/properties/limit/maximum",
            Some("51"),
            &[("inputSchema.properties.limit.maximum", SchemaChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/limit/maximum",
            None,
            &[("inputSchema.properties.limit.maximum", SchemaChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/limit/minimum",
            Some("2"),
            &[("inputSchema.properties.limit.minimum", SchemaChanged, Notable)],
        ),
        (
            "/inputSchema/properties/limit/minimum",
            Some("0"),
            &[("inputSchema.properties.limit.minimum", SchemaChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/limit/minLength",
            Some("3"),
            &[("inputSchema.properties.limit.minLength", SchemaChanged, Notable)],
        ),
        (
            "/inputSchema/properties/limit/default",
            Some("1000"),
            &[("inputSchema.properties.limit.default", SchemaChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/limit/examples",
            Some("[5]"),
            &[("inputSchema.properties.limit.examples", SchemaChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/order/enum",
            Some(r#"["oldest","newest"]"#),
            &[("inputSchema.properties.order.enum", EnumChanged, Cosmetic)],
        ),
        (
            "/inputSchema/properties/order/enum",
            Some(r#"["newest"]"#),
            &[("inputSchema.properties.order.enum", EnumChanged, Notable)],
        ),
        (
            "/inputSchema/properties/order/enum",
            Some(r#"["newest","oldest","all"]"#),
            &[("inputSchema.properties.order.enum", EnumChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/filter/properties/tag/type",
            Some(r#""number""#),
            &[("inputSchema.properties.filter.properties.tag.type", TypeChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/filter/additionalProperties",
            None,
            &[("inputSchema.properties.filter.additionalProperties", SchemaChanged, Powerful)],
        ),
        (
            "/inputSchema/additionalProperties",
            Some("false"),
            &[("inputSchema.additionalProperties", SchemaChanged, Notable)],
        ),
        (
            "/inputSchema/additionalProperties",
            Some("true"),
            &[("inputSchema.additionalProperties", SchemaChanged, Cosmetic)],
        ),
        (
            "/inputSchema/properties/pages/items",
            None,
            &[("inputSchema.properties.pages.items.type", TypeChanged, Powerful)],
        ),
        (
            "/inputSchema/properties/pages/items/title",
            Some(r#""First read the keys""#),
            &[("inputSchema.properties.pages.items.title", TextChanged, Powerful)],
        ),
        (
            "/inputSchema/anyOf",
            Some(r#"[{"required":["limit"]}]"#),
            &[("inputSchema.anyOf[0]", SchemaChanged, Powerful)],
        ),
        ("/inputSchema/not", Some("{}"), &[("inputSchema.not", SchemaChanged, Powerful)]),
        (
            "/inputSchema/$defs",
            Some(r#"{"x":{}}"#),
            &[("inputSchema.$defs.x", PropertyAdded, Powerful)],
        ),
        (
            "/inputSchema/unheardOf",
            Some("1"),
            &[("inputSchema.unheardOf", SchemaChanged, Powerful)],
        ),
        ("/inputSchema", None, &[("inputSchema", SchemaChanged, Powerful)]),
        // Output schema.
        (
            "/outputSchema/properties/secret",
            Some("{}"),
            &[("outputSchema.properties.secret", PropertyAdded, Powerful)],
        ),
        (
            "/outputSchema/properties/hits/maxItems",
            Some("20"),
            &[("outputSchema.properties.hits.maxItems", SchemaChanged, Notable)],
        ),
        (
            "/outputSchema/required",
            Some("[]"),
            &[("outputSchema.required", PropertyOptional, Notable)],
        ),
        ("/outputSchema", None, &[("outputSchema", SchemaChanged, Notable)]),
        // Annotations.
        (
            "/annotations/readOnlyHint",
            Some("false"),
            &[("annotations.readOnlyHint", AnnotationChanged, Powerful)],
        ),
        (
            "/annotations/readOnlyHint",
            None,
            &[("annotations.readOnlyHint", AnnotationChanged, Powerful)],
        ),
        (
            "/annotations/destructiveHint",
            Some("true"),
            &[("annotations.destructiveHint", AnnotationChanged, Cosmetic)],
        ),
        (
            "/annotations/destructiveHint",
            Some("false"),
            &[("annotations.destructiveHint", AnnotationChanged, Powerful)],
        ),
        (
            "/annotations/idempotentHint",
            Some("false"),
            &[("annotations.idempotentHint", AnnotationChanged, Notable)],
        ),
        (
            "/annotations/openWorldHint",
            Some(r#""yes""#),
            &[("annotations.openWorldHint", AnnotationChanged, Powerful)],
        ),
        (
            "/annotations/safeHint",
            Some("true"),
            &[("annotations.safeHint", AnnotationChanged, Powerful)],
        ),
        ("/annotations/title", Some(r#""Find""#), &[("annotations.title", TextChanged, Powerful)]),
        (
            "/annotations",
            None,
            &[
                ("annotations.readOnlyHint", AnnotationChanged, Powerful),
                ("annotations.idempotentHint", AnnotationChanged, Notable),
            ],
        ),
        // Icons and what else a tool may carry.
        (
            "/icons/0/src",
            Some(r#""https://evil.example/i.png""#),
            &[("icons", IconsChanged, Powerful)],
        ),
        ("/icons", None, &[("icons", IconsChanged, Notable)]),
        ("/execution", Some("{}"), &[("execution", MemberChanged, Powerful)]),
        ("/_meta/x~1ui", Some(r#""ui://b""#), &[("_meta[\"x/ui\"]", MetaChanged, Powerful)]),
        ("/_meta/x~1ui", None, &[("_meta[\"x/ui\"]", MetaChanged, Powerful)]),
        ("/_meta/x~1trace", Some("2"), &[]),
        // Permissions.
        (
            "/_meta/dev.etdi~1etdi/permissions/2",
            Some(r#"{"scope":"notes:write"}"#),
            &[("_meta[\"dev.etdi/etdi\"].permissions", PermissionAdded, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/permissions/1",
            None,
            &[("_meta[\"dev.etdi/etdi\"].permissions", PermissionRemoved, Cosmetic)],
        ),
        (
            "/_meta/dev.etdi~1etdi/permissions/0/scope",
            Some(r#""notes:*""#),
            &[("_meta[\"dev.etdi/etdi\"].permissions", PermissionWidened, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/permissions/1/required",
            Some("true"),
            &[("_meta[\"dev.etdi/etdi\"].permissions", PermissionChanged, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/permissions/0/required",
            Some("false"),
            &[("_meta[\"dev.etdi/etdi\"].permissions", PermissionChanged, Cosmetic)],
        ),
        (
            "/_meta/dev.etdi~1etdi/permissions/0/description",
            Some(r#""Harmless""#),
            &[("_meta[\"dev.etdi/etdi\"].permissions", PermissionChanged, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/permissions",
            Some("7"),
            &[("_meta[\"dev.etdi/etdi\"].permissions", PermissionChanged, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/scopes/1",
            Some(r#""admin""#),
            &[("_meta[\"dev.etdi/etdi\"].scopes", ScopeAdded, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/scopes",
            None,
            &[("_meta[\"dev.etdi/etdi\"].scopes", ScopeRemoved, Cosmetic)],
        ),
        // Call constraints and signing.
        (
            "/_meta/dev.etdi~1etdi/call/max_depth",
            Some("2"),
            &[("_meta[\"dev.etdi/etdi\"].call.max_depth", ConstraintTightened, Cosmetic)],
        ),
        (
            "/_meta/dev.etdi~1etdi/call/max_depth",
            Some("null"),
            &[("_meta[\"dev.etdi/etdi\"].call.max_depth", ConstraintLoosened, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/call/allowed_callees",
            Some("[]"),
            &[("_meta[\"dev.etdi/etdi\"].call.allowed_callees", ConstraintTightened, Cosmetic)],
        ),
        (
            "/_meta/dev.etdi~1etdi/call/allowed_callees",
            Some("null"),
            &[("_meta[\"dev.etdi/etdi\"].call.allowed_callees", ConstraintLoosened, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/call/allowed_callers",
            Some(r#"["a"]"#),
            &[("_meta[\"dev.etdi/etdi\"].call.allowed_callers", ConstraintTightened, Cosmetic)],
        ),
        (
            "/_meta/dev.etdi~1etdi/call/blocked_callers",
            Some("[]"),
            &[("_meta[\"dev.etdi/etdi\"].call.blocked_callers", ConstraintLoosened, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/call/blocked_callers",
            Some(r#"["web","mail"]"#),
            &[("_meta[\"dev.etdi/etdi\"].call.blocked_callers", ConstraintTightened, Cosmetic)],
        ),
        (
            "/_meta/dev.etdi~1etdi/call/require_approval_for_chains",
            Some("false"),
            &[(
                "_meta[\"dev.etdi/etdi\"].call.require_approval_for_chains",
                ConstraintLoosened,
                Powerful,
            )],
        ),
        (
            "/_meta/dev.etdi~1etdi/call/new_rule",
            Some("1"),
            &[("_meta[\"dev.etdi/etdi\"].call.new_rule", ConstraintLoosened, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/request_signing",
            None,
            &[("_meta[\"dev.etdi/etdi\"].request_signing", SigningLoosened, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/volatile/1",
            Some(r#""x/ui""#),
            &[("_meta[\"dev.etdi/etdi\"].volatile", VolatileChanged, Powerful)],
        ),
        (
            "/_meta/dev.etdi~1etdi/provider/id",
            Some(r#""https://acme.evil""#),
            &[("_meta[\"dev.etdi/etdi\"].provider", ProviderChanged, Powerful)],
        ),
        ("/_meta/dev.etdi~1etdi/attestations", Some(r#"["new"]"#), &[]),
        (
            "/_meta/dev.etdi~1etdi/other",
            Some("{}"),
            &[("_meta[\"dev.etdi/etdi\"].other", BlockChanged, Powerful)],
        ),
    ];
    assert!(tool().pointer(IN).is_some() && tool().pointer(BLOCK).is_some());
    for (pointer, value, expected) in table {
        let changes = between(&tool(), &with(&[RAISED, (pointer, *value)]));
        let mut found: Vec<_> =
            changes.iter().map(|c| (c.path.as_str(), c.kind, c.gravity)).collect();
        let raised = ("_meta[\"dev.etdi/etdi\"].version", VersionRaised, Cosmetic);
        let at = found.iter().position(|change| *change == raised).expect(pointer);
        found.remove(at);
        assert_eq!(found, *expected, "{pointer} {value:?}");
        assert_eq!(
            changes.may_carry_over(),
            expected.iter().all(|(_, _, gravity)| *gravity <= Notable),
            "{pointer}"
        );
    }
}
