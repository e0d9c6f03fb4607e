//! Resources and templates that are values.

use std::time::Duration;

use mcp_server::types::error::codes;
use mcp_server::types::*;
use mcp_server::{CacheHint, Cached, Context, Json, Read, Server, ToolError, server};

use crate::ask;

fn resources() -> Server {
    let mut logo = Resource::new("logo", "doc://logo");
    logo.mime_type = Some("image/png".into());
    server!()
        .state(7_u8)
        .static_resource(Resource::new("licence", "doc://licence"), "Do as you like.")
        .static_resource(logo, &b"\x89PNG"[..])
        .resource_fn(Resource::new("n", "doc://n"), async |cx: Context<u8>, _| Json([*cx.state()]))
        .resource_fn(Resource::new("rates", "doc://rates"), async |_, _| {
            Cached("1.08", CacheHint::public(Duration::from_secs(60)))
        })
        .resource_fn(Resource::new("dir", "doc://dir"), async |_, _| {
            vec![
                ResourceContents::text("a", "doc://dir/a"),
                ResourceContents::blob("aGk=", "doc://dir/b"),
            ]
        })
        .resource_fn(Resource::new("fail", "doc://fail"), async |_, _| {
            Err::<String, _>(ToolError::new("try later").log("disk 7"))
        })
        .resource_fn(Resource::new("panic", "doc://panic"), async |_, _| -> String {
            panic!("boom")
        })
        .resource_fn(
            ResourceTemplate::new("user", "users://{id}/profile"),
            async |_, read: Read| {
                let id: u32 = read.variables.get("id")?.parse().ok()?;
                Some(format!("user {id}"))
            },
        )
        .resource_fn(ResourceTemplate::new("file", "file:///{+path}"), async |_, read: Read| {
            read.variables["path"].clone()
        })
        .build()
        .unwrap()
}

fn read(server: &Server, uri: &str) -> Result<ReadResourceResult, ErrorObject> {
    let request = ClientRequest::ReadResource(ReadResourceRequestParams::new(uri));
    match ask(server, request)? {
        Outcome::Complete(ServerResult::ReadResource(result)) => Ok(result),
        other => panic!("{other:?}"),
    }
}

#[test]
fn resources_are_read_by_their_uris() {
    let server = resources();
    for (uri, expected) in [
        (
            "doc://licence",
            r#"[{"mimeType":"text/plain","text":"Do as you like.","uri":"doc://licence"}]"#,
        ),
        ("doc://logo", r#"[{"blob":"iVBORw==","mimeType":"image/png","uri":"doc://logo"}]"#),
        ("doc://n", r#"[{"mimeType":"application/json","text":"[7]","uri":"doc://n"}]"#),
        ("doc://dir", r#"[{"text":"a","uri":"doc://dir/a"},{"blob":"aGk=","uri":"doc://dir/b"}]"#),
        (
            "users://42/profile",
            r#"[{"mimeType":"text/plain","text":"user 42","uri":"users://42/profile"}]"#,
        ),
        (
            "file:///a/b%20c",
            r#"[{"mimeType":"text/plain","text":"a/b c","uri":"file:///a/b%20c"}]"#,
        ),
    ] {
        let contents = read(&server, uri).unwrap().contents;
        assert_eq!(serde_json::to_string(&contents).unwrap(), expected);
    }
}

#[test]
fn what_is_not_there_names_its_uri() {
    let server = resources();
    for uri in ["doc://nope", "users://42/profiles", "users://many/profile", "", "doc://licence/"] {
        let error = read(&server, uri).unwrap_err();
        assert_eq!(error.code, codes::INVALID_PARAMS, "{uri}");
        assert_eq!(error.data.unwrap().get(), format!(r#"{{"uri":"{uri}"}}"#));
    }
    let error = read(&server, "doc://fail").unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (codes::INTERNAL_ERROR, "try later"));
    assert_eq!(read(&server, "doc://panic").unwrap_err().code, codes::INTERNAL_ERROR);
}

#[test]
fn a_reading_says_how_long_it_holds() {
    let server = resources();
    let rates = read(&server, "doc://rates").unwrap();
    assert_eq!((rates.ttl_ms, rates.cache_scope), (Some(60_000), Some(CacheScope::Public)));
    let licence = read(&server, "doc://licence").unwrap();
    assert_eq!((licence.ttl_ms, licence.cache_scope), (None, None));

    // What an answer of the client brought about is no answer to the bare URI.
    let request = ClientRequest::ReadResource(ReadResourceRequestParams::new("doc://rates"));
    let mut exchange = Exchange::new(request);
    exchange.context.input_responses = Some(Members::new());
    let outcome =
        futures_executor::block_on(tower_service::Service::call(&mut server.clone(), exchange));
    let Ok(Outcome::Complete(ServerResult::ReadResource(result))) = outcome else { panic!() };
    assert_eq!((result.ttl_ms, result.cache_scope), (None, None));
}

#[test]
fn both_lists_tell_what_there_is() {
    let server = resources();
    let page = PaginatedRequestParams::new;
    let outcome = ask(&server, ClientRequest::ListResources(page())).unwrap();
    let Outcome::Complete(ServerResult::ListResources(result)) = outcome else { panic!() };
    let listed: Vec<_> =
        result.resources.iter().map(|entry| (entry.uri.as_str(), entry.size)).collect();
    assert_eq!(listed[..2], [("doc://licence", Some(15)), ("doc://logo", Some(4))]);
    assert_eq!(listed.len(), 7);

    let outcome = ask(&server, ClientRequest::ListResourceTemplates(page())).unwrap();
    let Outcome::Complete(ServerResult::ListResourceTemplates(result)) = outcome else { panic!() };
    let listed: Vec<_> =
        result.resource_templates.iter().map(|entry| entry.uri_template.as_str()).collect();
    assert_eq!(listed, ["users://{id}/profile", "file:///{+path}"]);
}

#[test]
fn resources_are_checked_when_the_server_is_built() {
    let one = |uri: &str| server!().static_resource(Resource::new("a", uri), "");
    let many = |uri: &str| server!().resource_fn(ResourceTemplate::new("a", uri), async |_, _| "");
    let refused = |uri: &str, reason: &str| format!("the resource `{uri}` is refused: {reason}");
    for (server, message) in [
        (
            one("a:b").static_resource(Resource::new("b", "a:b"), ""),
            "two resources have the URI `a:b`, remove one of them".to_owned(),
        ),
        (one("b"), refused("b", "a URI begins with a scheme, such as `notes:`")),
        (one("1:b"), refused("1:b", "a URI begins with a scheme, such as `notes:`")),
        (one("a:b c"), refused("a:b c", "it holds what cannot stand in a URI, percent-encode it")),
        (one("a:{b}"), refused("a:{b}", "it is a template, describe it by a `ResourceTemplate`")),
        (
            many("a:{b"),
            refused("a:{b", "`a:{b` is no URI template: a `{` is not closed, add the `}`"),
        ),
        (
            many("a:{b}").complete_resource("a:{b}", "c", async |_, _| Vec::<String>::new()),
            "nothing to complete: the template `a:{b}` has no argument `c`".to_owned(),
        ),
    ] {
        assert_eq!(server.build().unwrap_err().to_string(), message);
    }
}
