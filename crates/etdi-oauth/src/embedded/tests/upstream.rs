//! Users who log in elsewhere, and what others try to make of it.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::providers::*;
use super::world::*;
use crate::embedded::seal::sha256;
use crate::embedded::{Allowed, DevelopmentLogin, MemoryStore, Upstream, UpstreamError, Upstreams};

/// A world whose users log in elsewhere, and those places.
struct Elsewhere {
    world: World,
    providers: Arc<Providers>,
}

/// A browser that agreed to a client and was sent to a provider.
struct Away {
    cookie: String,
    page: String,
}

impl Elsewhere {
    async fn new() -> Self {
        Self::with(Allowed::only().domain("acme.example")).await
    }

    async fn with(google: Allowed) -> Self {
        let providers = Providers::new();
        let upstreams = providers.upstreams(google);
        let store = Arc::new(MemoryStore::new());
        let world = World::of(store, |_| (), |server| server.upstreams(upstreams)).await;
        Self { world, providers }
    }

    /// The user agrees to a client and chooses where to log in. `cookie` is what the browser has.
    async fn agree(&self, client: &str, upstream: &str, cookie: &str) -> Said {
        let path = self.path(client);
        let page = self.world.ask("GET", &path, &[("cookie", cookie)], "").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let ticket = hidden(&page, "ticket");
        self.post(&path, &super::world::cookie(&page), &ticket, ("upstream", upstream)).await
    }

    fn path(&self, client: &str) -> String {
        let challenge = sha256(VERIFIER);
        format!("/authorize?{}", encoded(&self.world.asking(client, &challenge)))
    }

    async fn post(&self, path: &str, cookie: &str, ticket: &str, chosen: (&str, &str)) -> Said {
        let headers = [("cookie", cookie), ("origin", ISSUER)];
        self.world.post(path, &headers, &[("ticket", ticket), chosen]).await
    }

    /// A browser of its own on its way to a provider.
    async fn away(&self, client: &str, upstream: &str) -> Away {
        let page = self.world.get(&self.path(client)).await;
        let cookie = cookie(&page);
        let said = self.agree(client, upstream, &cookie).await;
        Away { cookie, page: onward(&said) }
    }

    async fn come_back(&self, cookie: &str, url: &str) -> Said {
        let path = url.strip_prefix(ISSUER).unwrap();
        self.world.ask("GET", path, &[("cookie", cookie)], "").await
    }

    /// A whole login; gives what the browser gets at its end.
    async fn log_in(&self, upstream: &str, user: &Value) -> Said {
        let away = self.away("app", upstream).await;
        let back = self.providers.log_in(&away.page, user);
        self.come_back(&away.cookie, &back).await
    }

    /// The subject of the token that a client gets for a login.
    async fn subject(&self, upstream: &str, user: &Value) -> String {
        let code = self.log_in(upstream, user).await.sent_with("code");
        let said = self.world.redeem("app", &code).await;
        assert!(!said.text.contains("upstream-token"), "{}", said.text);
        let token = said.get("access_token");
        self.world.introspect(&token).await["sub"].as_str().unwrap().to_owned()
    }
}

/// Where a page leads on.
fn onward(said: &Said) -> String {
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    let rest =
        said.text.split("content=\"0;url=").nth(1).unwrap_or_else(|| panic!("{}", said.text));
    rest.split('"').next().unwrap().replace("&amp;", "&")
}

/// A page that sends nobody anywhere.
fn shows_nothing(said: &Said) {
    assert_eq!(
        (said.status, said.header("location")),
        (StatusCode::BAD_REQUEST, ""),
        "{}",
        said.text
    );
    assert!(said.text.contains("no longer good") && !said.text.contains("http-equiv"));
}

fn of_github(id: u64, email: &str, verified: bool) -> Value {
    json!({
        "account": { "login": "octocat", "id": id, "node_id": "MDQ6VXNlcjE=", "type": "User",
            "site_admin": false, "name": "monalisa octocat", "email": "ceo@acme.example" },
        "emails": [
            { "email": "other@acme.example", "verified": true, "primary": false, "visibility": null },
            { "email": email, "verified": verified, "primary": true, "visibility": "public" },
        ],
    })
}

#[tokio::test]
async fn a_user_of_google_gets_a_token_of_ours() {
    let world = Elsewhere::new().await;
    let subject = world.subject("google", &of_google("10769150350006150715113082367")).await;
    assert_eq!(subject, "https://accounts.google.com#10769150350006150715113082367");
    let sent = world.providers.sent_to("google");
    assert_eq!(sent.len(), 1);
    assert!(!sent[0].contains_key("resource") && sent[0]["grant_type"] == "authorization_code");
}

#[tokio::test]
async fn a_user_of_github_is_the_number_of_the_account() {
    let world = Elsewhere::new().await;
    let user = of_github(583_231, "octocat@github.example", true);
    assert_eq!(world.subject("github", &user).await, format!("{GITHUB}#583231"));
    let member = of_github(1, "mona@acme.example", true);
    assert_eq!(world.subject("github", &member).await, format!("{GITHUB}#1"));
}

#[tokio::test]
async fn two_providers_never_mean_two_people_by_one_name() {
    let world = Elsewhere::new().await;
    let (google, evil) = (of_google("1"), json!({ "sub": "1" }));
    assert_ne!(world.subject("google", &google).await, world.subject("evil", &evil).await);
    let evil = json!({ "sub": "x#https://accounts.google.com#1" });
    let subject = world.subject("evil", &evil).await;
    assert_eq!(subject, format!("{EVIL}#x%23https%3A%2F%2Faccounts.google.com%231"));
}

#[tokio::test]
async fn the_page_offers_what_there_is() {
    let world = Elsewhere::new().await;
    let page = world.world.get(&world.path("app")).await;
    for label in ["Google", "GitHub", "Evil"] {
        assert!(page.text.contains(&format!("log in with {label}</button>")), "{}", page.text);
    }
    assert!(!page.text.contains("name=\"name\""), "nobody has a name here");
    assert!(!page.text.contains(GOOGLE), "and nobody was sent away before a yes");
}

/// T21: a provider knows one client, this server, and has asked about it long ago. Whoever registers a
/// client here must not come by a code through that.
#[tokio::test]
async fn another_client_does_not_ride_on_what_was_agreed_to() {
    let world = Elsewhere::new().await;
    let away = world.away("app", "google").await;
    let back = world.providers.log_in(&away.page, &of_google("1"));
    assert!(!world.come_back(&away.cookie, &back).await.sent_with("code").is_empty());

    // A link to the other client in the browser that has agreed to the first: the user is asked.
    let path = world.path("other");
    let link = format!("{path}&upstream=google&decision=allow");
    for path in [&path, &link] {
        let said = world.world.ask("GET", path, &[("cookie", &away.cookie)], "").await;
        assert_eq!((said.status, said.header("location")), (StatusCode::OK, ""));
        assert!(said.text.contains("<code>other</code>") && !said.text.contains("http-equiv"));
    }
    // The ticket of the first page under the request of the other client.
    let first = world.world.ask("GET", &world.path("app"), &[("cookie", &away.cookie)], "").await;
    let ticket = hidden(&first, "ticket");
    let said = world.post(&path, &away.cookie, &ticket, ("upstream", "google")).await;
    shows_nothing(&said);
    // No ticket, that of another browser, and a form of another page.
    shows_nothing(&world.post(&path, &away.cookie, "", ("upstream", "google")).await);
    let page = world.world.get(&path).await;
    let ticket = hidden(&page, "ticket");
    shows_nothing(&world.post(&path, &away.cookie, &ticket, ("upstream", "google")).await);
    let headers = [("cookie", &*cookie(&page)), ("origin", "https://evil.example")];
    let said =
        world.world.post(&path, &headers, &[("ticket", &ticket), ("upstream", "google")]).await;
    assert_eq!(said.status, StatusCode::FORBIDDEN);
}

/// The user is made to end a login that somebody else began.
#[tokio::test]
async fn the_login_of_another_browser() {
    let world = Elsewhere::new().await;
    let attacker = world.away("app", "google").await;
    let back = world.providers.log_in(&attacker.page, &of_google("attacker"));
    let victim = world.away("app", "google").await;
    shows_nothing(&world.come_back(&victim.cookie, &back).await);
    shows_nothing(&world.come_back("", &back).await);
    shows_nothing(&world.come_back("__Host-etdi-consent=AAAA", &back).await);
    assert!(world.providers.sent_to("google").is_empty(), "no code was redeemed");
    // Its own browser may still.
    let said = world.come_back(&attacker.cookie, &back).await;
    assert!(!said.sent_with("code").is_empty());
}

#[tokio::test]
async fn a_state_counts_once_and_for_ten_minutes() {
    let world = Elsewhere::new().await;
    let away = world.away("app", "google").await;
    let back = world.providers.log_in(&away.page, &of_google("1"));
    assert!(!world.come_back(&away.cookie, &back).await.sent_with("code").is_empty());
    shows_nothing(&world.come_back(&away.cookie, &back).await);

    let away = world.away("app", "google").await;
    let back = world.providers.log_in(&away.page, &of_google("1"));
    world.world.wait(600);
    shows_nothing(&world.come_back(&away.cookie, &back).await);
    let query = "code=x&state=made-up";
    shows_nothing(
        &world.come_back(&away.cookie, &format!("{ISSUER}/callback/google?{query}")).await,
    );
    shows_nothing(
        &world.come_back(&away.cookie, &format!("{ISSUER}/callback/nobody?{query}")).await,
    );
}

/// Whoever was taken off the list, or lost the account, is not asked about at a renewal.
#[tokio::test]
async fn a_login_elsewhere_counts_for_a_day_however_often_it_is_renewed() {
    let world = Elsewhere::new().await;
    let code = world.log_in("google", &of_google("1")).await.sent_with("code");
    let said = world.world.redeem("app", &code).await;
    let home = World::new().await;
    let (_, mut own) = home.tokens("app").await;
    let mut token = said.get("refresh_token");
    for _ in 0..3 {
        world.world.wait(28_000);
        home.wait(28_000);
        token = world.world.refresh("app", &token).await.get("refresh_token");
        own = home.refresh("app", &own).await.get("refresh_token");
    }
    world.world.wait(2_400);
    home.wait(2_400);
    let said = world.world.refresh("app", &token).await;
    assert_eq!(said.error().0, "invalid_grant", "{}", said.text);
    assert_eq!(world.world.introspect(&token).await["active"], false);
    // Users of this server are its own business.
    assert!(!home.refresh("app", &own).await.get("refresh_token").is_empty());
}

/// A code of somebody else's login in one's own: the verifier is another one; and where a provider
/// does not look at that, the nonce is.
#[tokio::test]
async fn a_code_of_another_login() {
    for (upstream, careless) in [("google", false), ("google", true), ("github", false)] {
        let world = Elsewhere::new().await;
        if careless {
            world.providers.is_careless();
        }
        let user = match upstream {
            "github" => of_github(583_231, "mona@acme.example", true),
            _ => of_google("victim"),
        };
        let victim = world.away("app", upstream).await;
        let stolen = world.providers.log_in(&victim.page, &user);
        let stolen = stolen.split("code=").nth(1).unwrap().split('&').next().unwrap();
        let attacker = world.away("app", upstream).await;
        let back = world.providers.log_in(&attacker.page, &user);
        let own = back.split("code=").nth(1).unwrap().split('&').next().unwrap();
        let back = back.replace(&format!("code={own}"), &format!("code={stolen}"));
        let said = world.come_back(&attacker.cookie, &back).await;
        assert_eq!(said.sent_with("error"), "server_error");
        assert_eq!(world.providers.sent_to(upstream).len(), 1, "it was tried");
    }
}

/// The user chose the provider of an attacker, which sends the user on to Google: the code that Google
/// gives must not be shown to the attacker's.
#[tokio::test]
async fn a_code_does_not_go_to_another_provider() {
    let world = Elsewhere::new().await;
    let state_of =
        |page: &str| page.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let evil = world.away("app", "evil").await;
    let google = world.away("app", "google").await;
    let (ours, theirs) = (state_of(&google.page), state_of(&evil.page));
    // Google sends users to its own place only, whatever `state` it was given.
    let forged = google.page.replace(&ours, &theirs);
    let back = world.providers.log_in(&forged, &of_google("victim"));
    shows_nothing(&world.come_back(&evil.cookie, &back).await);
    assert!(world.providers.sent_to("evil").is_empty(), "and no code went elsewhere");

    // Where both had one place, who answers says so (RFC 9207).
    let elsewhere = back.replace("/callback/google", "/callback/evil");
    for iss in ["&iss=https%3A%2F%2Faccounts.google.com", ""] {
        let evil = world.away("app", "evil").await;
        let back = elsewhere.replace(&theirs, &state_of(&evil.page));
        let said = world.come_back(&evil.cookie, &format!("{back}{iss}")).await;
        assert_eq!(said.sent_with("error"), "server_error", "{iss}");
    }
    assert!(world.providers.sent_to("evil").is_empty());
}

#[tokio::test]
async fn the_id_token_of_another_login_or_client() {
    let world = Elsewhere::new().await;
    world.log_in("google", &of_google("victim")).await.sent_with("code");
    world.providers.replay();
    assert_eq!(
        world.log_in("google", &of_google("attacker")).await.sent_with("error"),
        "server_error"
    );

    let changes: [fn(&mut Value); 6] = [
        |claims| claims["nonce"] = json!("another"),
        |claims| _ = claims.as_object_mut().unwrap().remove("nonce"),
        |claims| claims["aud"] = json!("another-client-of-google"),
        |claims| claims["iss"] = json!(EVIL),
        |claims| claims["exp"] = json!(START - 3_600),
        |claims| claims["scope"] = json!("openid"),
    ];
    for change in changes {
        let world = Elsewhere::new().await;
        world.providers.tamper(change);
        let said = world.log_in("google", &of_google("victim")).await;
        assert_eq!(said.sent_with("error"), "server_error");
    }
}

#[tokio::test]
async fn users_who_are_not_listed() {
    let world = Elsewhere::new().await;
    let refused = async |upstream: &str, user: Value| {
        let said = world.log_in(upstream, &user).await;
        assert_eq!(said.sent_with("error"), "access_denied");
        assert!(said.sent_with("error_description").contains("may not log in here"));
    };
    // An account of one's own under an address of the company, and one of another company.
    let mut user = of_google("1");
    user.as_object_mut().unwrap().remove("hd");
    refused("google", user.clone()).await;
    user["hd"] = json!("dev.acme.example");
    refused("google", user).await;
    // The address that a user chose to show, and one that nobody checked.
    refused("github", of_github(2, "mona@acme.example", false)).await;
    refused("github", of_github(2, "mona@other.example", true)).await;
    refused("github", of_github(2, "mona@acme.example.evil.example", true)).await;

    let mut unchecked = of_google("1");
    unchecked["email_verified"] = json!(false);
    let by_address = Elsewhere::with(Allowed::only().email("Ada@acme.example")).await;
    let said = by_address.log_in("google", &unchecked).await;
    assert_eq!(said.sent_with("error"), "access_denied");
    assert!(!by_address.log_in("google", &of_google("1")).await.sent_with("code").is_empty());

    let asked = Elsewhere::with(Allowed::when(|user| user.id == "2")).await;
    assert_eq!(asked.log_in("google", &of_google("1")).await.sent_with("error"), "access_denied");
    assert!(!asked.log_in("google", &of_google("2")).await.sent_with("code").is_empty());
}

#[tokio::test]
async fn nobody_is_let_in_unnamed() {
    let providers = Providers::new();
    let google = |allowed| Upstream::google("id", "secret", allowed);
    let with = |upstream| Upstreams::new(providers.clone()).with(upstream).map(drop);
    for nobody in [Allowed::only(), Allowed::only().id(""), Allowed::only().domain(" ")] {
        assert_eq!(with(google(nobody)), Err(UpstreamError::Nobody("google".to_owned())));
    }
    assert!(with(google(Allowed::anybody())).is_ok());
    let narrowed = Allowed::anybody().id("1");
    let world = Elsewhere::with(narrowed).await;
    assert_eq!(world.log_in("google", &of_google("2")).await.sent_with("error"), "access_denied");
    let twice = providers.upstreams(Allowed::anybody()).with(google(Allowed::anybody()));
    assert!(matches!(twice, Err(UpstreamError::Twice(_))));
    for bad in ["", "Google", "a/b", "../x"] {
        let client = crate::RegisteredClient::public(EVIL, "x");
        let bad = Upstream::openid(bad, "x", client, Allowed::anybody());
        assert!(matches!(with(bad), Err(UpstreamError::Name(_))));
    }
}

/// An error that a provider tells, or that somebody else does in its name.
#[tokio::test]
async fn an_error_leads_nowhere_but_to_the_client() {
    let world = Elsewhere::new().await;
    let away = world.away("app", "google").await;
    let state = away.page.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let error = "error=access_denied&error_uri=https%3A%2F%2Fevil.example&redirect_uri=https%3A%2F%2Fevil.example";
    let at = |query: &str| format!("{ISSUER}/callback/google?{query}");
    shows_nothing(&world.come_back(&away.cookie, &at(error)).await);
    shows_nothing(&world.come_back(&away.cookie, &at(&format!("{error}&state=x"))).await);
    shows_nothing(&world.come_back("", &at(&format!("{error}&state={state}"))).await);
    let said = world.come_back(&away.cookie, &at(&format!("{error}&state={state}"))).await;
    let (place, pairs) = said.sent();
    assert_eq!(place, BACK);
    let names: Vec<&str> = pairs.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["error", "error_description", "state", "iss"]);
    assert_eq!((&*pairs[0].1, &*pairs[2].1), ("access_denied", "st+ate"));
}

/// Whoever has a name here is nobody whom a provider knows.
#[tokio::test]
async fn a_name_that_was_typed_is_no_login_elsewhere() {
    let providers = Providers::new();
    let subject = "https://accounts.google.com#1";
    for (both, name, asked_again) in
        [(false, "alice", true), (true, "alice", false), (true, subject, true)]
    {
        let upstreams = providers.upstreams(Allowed::anybody());
        let more = |server: crate::embedded::Embedded| match both {
            true => server.upstreams(upstreams).login(Arc::new(DevelopmentLogin)),
            false => server.upstreams(upstreams),
        };
        let world = World::of(Arc::new(MemoryStore::new()), |_| (), more).await;
        let challenge = sha256(VERIFIER);
        let path = format!("/authorize?{}", encoded(&world.asking("app", &challenge)));
        let page = world.get(&path).await;
        let (cookie, ticket) = (cookie(&page), hidden(&page, "ticket"));
        let form = [("ticket", &*ticket), ("decision", "allow"), ("name", name)];
        let said = world.post(&path, &[("cookie", &cookie), ("origin", ISSUER)], &form).await;
        assert_eq!(said.status == StatusCode::OK, asked_again, "{name}");
    }
}

/// Strangers who begin logins and never end them.
#[tokio::test]
async fn logins_that_nobody_ends_are_bounded() {
    let world = Elsewhere::new().await;
    let away = world.away("app", "google").await;
    let back = world.providers.log_in(&away.page, &of_google("1"));
    let first = world.world.get(&world.path("app")).await;
    let (cookie, ticket) = (cookie(&first), hidden(&first, "ticket"));
    let path = world.path("app");
    let (mut begun, mut refused) = (0, 0);
    while begun < 2_000 {
        match world.post(&path, &cookie, &ticket, ("upstream", "google")).await.status {
            StatusCode::OK => begun += 1,
            status => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                refused += 1;
                world.world.wait(60);
            }
        }
    }
    assert!((1..=3).contains(&refused), "so many a minute: {refused}");
    shows_nothing(&world.come_back(&away.cookie, &back).await);
    let away = world.away("app", "google").await;
    let back = world.providers.log_in(&away.page, &of_google("1"));
    assert!(!world.come_back(&away.cookie, &back).await.sent_with("code").is_empty());
}
