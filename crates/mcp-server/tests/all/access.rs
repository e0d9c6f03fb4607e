//! Access lists on resource URIs. Each attack works on the same server without the list.

use std::collections::BTreeMap;
use std::future::ready;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_executor::block_on;
use mcp_server::types::*;
use mcp_server::{
    CacheHint, Cached, Read, ResourceAccess, ResourceAction, Server, ServerBuilder, Who, server,
};
use tower_service::Service;

const ISSUER: &str = "https://auth.example";

/// A server whose author resolves `..` by hand and decodes once more than is good.
fn careless() -> ServerBuilder {
    let files = BTreeMap::from([
        ("public/menu.txt", "soup"),
        ("private/diary.txt", "dear diary"),
        ("users/ada/notes.txt", "of ada"),
        ("users/bob/notes.txt", "of bob"),
    ]);
    let hint = CacheHint::public(Duration::from_secs(60));
    let server = ["public/menu.txt", "private/diary.txt"].iter().fold(server!(), |server, path| {
        let uri = format!("file:///{path}");
        server.resource_fn(Resource::new(*path, uri), move |_, _| ready(Cached(*path, hint)))
    });
    let template = ResourceTemplate::new("files", "file:///{+path}");
    server.resource_updates().resource_fn(template, move |_, read: Read| {
        let once = read.variables.get("path").cloned().unwrap_or_default();
        let more = once.replace("%2e", ".").replace("%2f", "/").replace('\\', "/");
        let mut parts: Vec<&str> = Vec::new();
        for part in more.trim_end_matches('\0').split('/') {
            match part.trim_end() {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part.split('#').next().unwrap_or_default()),
            }
        }
        ready(files.get(&*parts.join("/")).copied())
    })
}

fn access() -> ResourceAccess {
    let all = ResourceAction::ALL;
    let (ada, admin) = (Who::subject(ISSUER, "ada"), Who::scope("files:admin"));
    let list = ResourceAccess::new().allow(Who::Anyone, all, ["file:///public/**"]).unwrap();
    let list = list.allow(ada, [ResourceAction::Read], ["file:///users/ada/*"]).unwrap();
    list.allow(admin, all, ["**"]).unwrap()
}

fn principal(issuer: &str, subject: &str, scope: Option<&str>) -> Principal {
    let mut principal = Principal::new(issuer, subject);
    principal.scopes.extend(scope.map(str::to_owned));
    principal
}

fn exchange(request: ClientRequest, who: Option<&Principal>) -> Exchange {
    let mut exchange = Exchange::new(request);
    if let Some(who) = who {
        exchange.context.extensions.insert(who.clone());
    }
    exchange
}

fn read(
    server: &Server,
    who: Option<&Principal>,
    uri: &str,
) -> Result<ReadResourceResult, ErrorObject> {
    let request = ClientRequest::ReadResource(ReadResourceRequestParams::new(uri));
    match block_on(server.clone().call(exchange(request, who)))? {
        Outcome::Complete(ServerResult::ReadResource(result)) => Ok(result),
        other => panic!("{other:?}"),
    }
}

/// The spellings that lead a careless reader from the public folder to the private one.
const TRICKS: &[&str] = &[
    "file:///private/diary.txt",
    "file:///public/../private/diary.txt",
    "file:///public/./../private/diary.txt",
    "file:///public/%2e%2e/private/diary.txt",
    "file:///public/%2E./private/diary.txt",
    "file:///public/..%2fprivate/diary.txt",
    "file:///public/..%2Fprivate%2Fdiary.txt",
    "file:///public/..%5cprivate/diary.txt",
    "file:///public/%252e%252e/private/diary.txt",
    "file:///public/%252e%252e%252fprivate/diary.txt",
    "file:///public/.%2E%20/private/diary.txt",
    "file:///public/x/..//../private/diary.txt",
    "file:////private/diary.txt",
    "file:///%70rivate/diary.txt",
    "file:///private/diary.txt%00",
    "file:///private/diary.txt%23",
];

#[test]
fn no_spelling_leads_around_a_list() {
    let (open, guarded) = (careless().build(), careless().resource_access(access()).build());
    let (open, guarded) = (open.unwrap(), guarded.unwrap());
    let bob = principal(ISSUER, "bob", None);
    for uri in TRICKS {
        assert!(read(&open, None, uri).is_ok(), "it is no attack: {uri}");
        for who in [None, Some(&bob)] {
            assert!(read(&guarded, who, uri).is_err(), "{uri}");
        }
    }
    assert!(read(&guarded, None, "file:///public/menu.txt").is_ok());
    assert!(read(&guarded, None, "file:///%70ublic/menu%2Etxt").is_ok());
}

#[test]
fn everybody_has_what_is_theirs() {
    let server = careless().resource_access(access()).build().unwrap();
    let ada = principal(ISSUER, "ada", None);
    let (bob, other) = (principal(ISSUER, "bob", None), principal("https://evil", "ada", None));
    let admin = principal(ISSUER, "eve", Some("files:admin"));
    let uri = "file:///users/ada/notes.txt";
    for (who, may) in [(&ada, true), (&bob, false), (&other, false), (&admin, true)] {
        assert_eq!(read(&server, Some(who), uri).is_ok(), may, "{who:?}");
    }
    assert!(read(&server, None, uri).is_err());
    assert!(read(&server, Some(&admin), "file:///private/diary.txt").is_ok());
    assert!(read(&server, Some(&ada), "file:///users/ada/../bob/notes.txt").is_err());
}

/// What is hidden and what is not there are answered alike, down to the hint.
#[test]
fn what_is_hidden_looks_like_what_is_not_there() {
    let server = careless().resource_access(access()).build().unwrap();
    let message = |uri: &str| read(&server, None, uri).unwrap_err().message;
    let (hidden, absent) = ("file:///private/diary.txt", "file:///private/diaro.txt");
    assert_eq!(message(hidden).replace(hidden, ""), message(absent).replace(absent, ""));
    assert!(!message(absent).contains("diary"), "{}", message(absent));
}

#[test]
fn listings_have_what_may_be_listed() {
    let server = careless().resource_access(access()).build().unwrap();
    let resources = |who: Option<&Principal>| {
        let request = ClientRequest::ListResources(PaginatedRequestParams::new());
        match block_on(server.clone().call(exchange(request, who))).unwrap() {
            Outcome::Complete(ServerResult::ListResources(page)) => {
                assert_eq!(page.cache_scope, Some(CacheScope::Private));
                page.resources.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    let admin = principal(ISSUER, "eve", Some("files:admin"));
    assert_eq!(resources(None), ["public/menu.txt"]);
    assert_eq!(resources(Some(&admin)), ["public/menu.txt", "private/diary.txt"]);
    // A shared cache would give it to others.
    let menu = read(&server, None, "file:///public/menu.txt").unwrap();
    assert_eq!(menu.cache_scope, Some(CacheScope::Private));

    let templates = |access: ResourceAccess| {
        let server = careless().resource_access(access).build().unwrap();
        let request = ClientRequest::ListResourceTemplates(PaginatedRequestParams::new());
        match block_on(server.clone().call(exchange(request, None))).unwrap() {
            Outcome::Complete(ServerResult::ListResourceTemplates(page)) => {
                page.resource_templates.len()
            }
            other => panic!("{other:?}"),
        }
    };
    let only = |action, pattern: &str| {
        ResourceAccess::new().allow(Who::Anyone, [action], [pattern]).unwrap()
    };
    assert_eq!(templates(only(ResourceAction::List, "file:///public/**")), 1);
    assert_eq!(templates(only(ResourceAction::List, "note:///**")), 0);
    assert_eq!(templates(only(ResourceAction::Read, "file:///public/**")), 0);
    assert_eq!(templates(ResourceAccess::new()), 0);
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        _: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if let Some(ServerNotification::ResourceUpdated(params)) = notification.take() {
            self.0.lock().unwrap().push(params.uri);
        }
        Poll::Ready(Ok(()))
    }
}

#[test]
fn nobody_hears_of_what_they_may_not_subscribe_to() {
    let uris =
        ["file:///public/menu.txt", "file:///private/diary.txt", "file:///users/ada/notes.txt"];
    for (access, expected) in [(None, &uris[..]), (Some(access()), &uris[..1])] {
        let server = match access {
            Some(access) => careless().resource_access(access),
            None => careless(),
        };
        let server = server.build().unwrap();
        let mut filter = SubscriptionFilter::new();
        filter.resource_subscriptions = Some(uris.map(str::to_owned).to_vec());
        let params = SubscriptionsListenRequestParams::new(filter);
        // Ada may read her notes, and was not given to hear of them.
        let ada = principal(ISSUER, "ada", None);
        let mut asks = exchange(ClientRequest::SubscriptionsListen(params), Some(&ada));
        let heard = Arc::new(Heard::default());
        asks.notifier = Notifier::new(heard.clone(), asks.id());
        let mut listening = pin!(server.clone().call(asks));
        for uri in [""].iter().chain(&uris) {
            server.changes().resource_updated(uri);
            let poll = listening.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(poll.is_pending());
        }
        assert_eq!(heard.0.lock().unwrap()[..], *expected);
    }
}

/// `{+path}` takes a `?` like any other character, so that a list which allows queries must not let one
/// lead out of the folder.
#[test]
fn no_query_leads_out_of_a_folder() {
    let all = ResourceAction::ALL;
    let list = ResourceAccess::new().allow(Who::Anyone, all, ["file:///public/**?*"]).unwrap();
    let open = careless().build().unwrap();
    let guarded = careless().resource_access(list).build().unwrap();
    for uri in [
        "file:///public/x?/../../private/diary.txt",
        "file:///public/x?/%2e%2e/%2E./private/diary.txt",
        "file:///public/x?%2f..%2f../private/diary.txt",
        "file:///public/x?%5c..%5C..%2Fprivate/diary.txt",
    ] {
        assert!(read(&open, None, uri).is_ok(), "it is no attack: {uri}");
        assert!(read(&guarded, None, uri).is_err(), "{uri}");
    }
    assert!(read(&guarded, None, "file:///public/menu.txt").is_ok());
}

#[test]
fn patterns() {
    let lets = |pattern: &str, uri: &str| {
        let list = ResourceAccess::new().allow(Who::Anyone, [ResourceAction::Read], [pattern]);
        list.unwrap().lets(None, ResourceAction::Read, uri)
    };
    for (pattern, uri, may) in [
        ("file:///public/*", "file:///public/a", true),
        ("file:///public/*", "file:///public/a/b", false),
        ("file:///public/*", "file:///publicity/a", false),
        ("file:///public/**", "file:///public/a/b", true),
        ("file:///public/**", "FILE:///public/a", false),
        ("file:///**/*.md", "file:///a/b/c.md", true),
        ("file:///{a,b}/*", "file:///b/x", true),
        ("note://ada/*", "note://ADA/x", false),
        ("file:///my files/*", "file:///my%20files/x", true),
        ("file:///team[0-9]/*", "file:///team7/x", true),
        ("file:///[a-c]/[*]", "file:///b/*", true),
        ("file:///x", "file:///x?y", false),
        ("file:///*", "file:///x?y", false),
        ("find://notes?*", "find://notes?q=1", true),
        ("find://notes?*", "find://notes", true),
        ("find://notes?q=1", "find://notes?q=1", true),
        ("find://notes?q=1", "find://notes?q=1&q=2", false),
        ("**", "any:thing?x", true),
        ("**", "file:///a/../b", false),
    ] {
        assert_eq!(lets(pattern, uri), may, "{pattern} {uri}");
    }
    for pattern in [
        "",
        "public/*",
        "*",
        "*:///x",
        "/etc/**",
        "file:///public/../x",
        "file:///%70ublic/*",
        "file:///a\\b",
        "file:///a#b",
        "file:///[",
        "file:///team[!0-9]*",
        "file:///team[^0-9]*",
        "file:///team[--9]*",
        "file:///team[+-z]*",
        "file:///team[/]*",
        "file:///team[]-/]*",
        "find://n?q=*",
        "file:///{a,..}/x",
        "x:\n",
    ] {
        let list = ResourceAccess::new().allow(Who::Anyone, ResourceAction::ALL, [pattern]);
        assert!(list.is_err(), "{pattern:?}");
    }
}
