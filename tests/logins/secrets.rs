//! T24: secrets of every kind are on their way, are right and are wrong, and nobody tells of them.
//!
//! What travels is taken down where it travels; then all that was logged at every level, all errors,
//! all that shows itself to a debugger and the audit trail are searched for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_oauth::embedded::Passwords;
use etdi_oauth::{
    ApiKeys, Fetch, FetchError, FetchRequest, FetchResponse, Introspection, IntrospectionAuth,
    VerifyToken as _,
};
use mcp_types::BoxFuture;
use serde_json::{Value, json};

use super::*;

/// Takes down what is secret of what it fetches.
struct Watched(GuardedFetch, Seen);

impl Watched {
    fn new(seen: &Seen) -> Arc<Self> {
        let mut rules = Rules::default();
        rules.loopback = true;
        Arc::new(Self(GuardedFetch::new(rules), seen.clone()))
    }

    fn keep(&self, secret: &str) {
        self.1.lock().unwrap().insert(secret.to_owned());
    }
}

/// What is secret of a form to an issuer, and of its answer.
const SENT: [&str; 7] = [
    "code",
    "code_verifier",
    "refresh_token",
    "client_secret",
    "client_assertion",
    "token",
    "assertion",
];
const GIVEN: [&str; 4] = ["access_token", "refresh_token", "id_token", "client_secret"];

impl Fetch for Watched {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        Box::pin(async move {
            for (name, value) in &request.headers {
                match name.to_ascii_lowercase().as_str() {
                    "dpop" => self.keep(value),
                    "authorization" => {
                        let shown = value.split_once(' ').unwrap().1;
                        self.keep(shown);
                        if let Ok(pair) = STANDARD.decode(shown) {
                            self.keep(String::from_utf8(pair).unwrap().split_once(':').unwrap().1);
                        }
                    }
                    _ => {}
                }
            }
            let form = String::from_utf8(request.body.clone()).unwrap();
            for (name, value) in form.split('&').filter_map(|pair| pair.split_once('=')) {
                if SENT.contains(&name) {
                    self.keep(value);
                }
            }
            let answer = self.0.fetch(request).await;
            if let Ok(answer) = &answer
                && let Ok(given) = serde_json::from_slice::<Value>(&answer.body)
            {
                GIVEN.iter().filter_map(|name| given[name].as_str()).for_each(|it| self.keep(it));
            }
            answer
        })
    }
}

/// What is told to whoever listens.
#[derive(Default)]
struct Told(String);

impl Told {
    fn add(&mut self, what: &impl std::fmt::Debug) {
        self.0 += &format!("{what:?}\n{what:#?}\n");
    }

    fn error<E: std::fmt::Display + std::fmt::Debug>(&mut self, error: E) -> String {
        self.add(&error);
        self.0 += &format!("{error}\n");
        error.to_string()
    }
}

/// A call with headers that are what they are.
async fn shown(url: &str, name: &'static str, value: &str) -> String {
    let mut options = HttpConnectOptions::new(Implementation::new("test", "1.0.0"));
    options.headers.insert(name, value.parse().unwrap());
    let connection = connect_http_with(url, options).unwrap();
    let said = names(&Client::new(connection.clone())).await;
    connection.close().await;
    format!("{said:?}")
}

/// Base64 lines of a PEM.
fn lines(pem: &str) -> impl Iterator<Item = String> {
    pem.lines().filter(|line| !line.starts_with('-')).map(str::to_owned)
}

#[tokio::test]
async fn no_secret_is_told() {
    let (logs, mut told) = (logs::Logs::default(), Told::default());
    let _guard = tracing::subscriber::set_default(logs.clone());
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new());
    let robot = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwks = format!(r#"{{"keys":[{}]}}"#, robot.verifying_key().to_jwk());
    let record = Passwords::record(PASSWORD).unwrap();
    let users = Passwords::new().user("ada", &record).unwrap();
    told.add(&users);
    let world = World::start_with(
        |settings| {
            settings.access_lifetime = 60;
            told.add(settings);
        },
        |embedded| {
            let key = KnownClient::with_keys("robot", &jwks, [""; 0]).unwrap();
            embedded.login(Arc::new(users)).client(key)
        },
    )
    .await;
    let seen = world.seen.clone();
    let watched = Watched::new(&seen);
    for pem in [record, PASSWORD.to_owned(), SECRET.to_owned()] {
        seen.lock().unwrap().insert(pem);
    }
    seen.lock().unwrap().extend(lines(&robot.to_pkcs8_pem()));

    // A user: log in, call, ask for more, renew, log out; with a key to which the tokens are bound.
    let user = || world.user().store(store.clone()).fetch(watched.clone());
    let name = format!("tokens {}", world.server);
    let kept = async || -> Value {
        let kept = store.get(&name).await.unwrap().unwrap();
        serde_json::from_str(kept.expose()).unwrap()
    };
    let (client, connection) = world.connect(user().dpop(DpopUse::Always));
    names(&client).await.unwrap();
    client.call_tool("write_note", &json!({"text": "eggs"})).await.unwrap();
    told.error(client.call_tool("no_such_tool", &json!({})).await.unwrap_err());
    connection.close().await;
    let login = kept().await;
    seen.lock().unwrap().extend(lines(login["dpop"].as_str().unwrap()));
    let first = login["access"].as_str().unwrap().to_owned();
    world.ahead.store(90, Ordering::Relaxed);
    let (client, connection) = world.connect(user().dpop(DpopUse::Always));
    names(&client).await.unwrap();
    connection.close().await;
    let renewed = kept().await["access"].as_str().unwrap().to_owned();
    assert_ne!(first, renewed);
    told.add(&user());
    told.add(&user().build().unwrap());

    // Tokens that do not count: ended, changed, bound to a key that is not shown.
    let forged = format!("{}AAAA", &renewed[..renewed.len() - 4]);
    for token in [&first, &renewed, &forged] {
        let said = shown(&world.server, "authorization", &format!("Bearer {token}")).await;
        assert!(said.contains("401"), "{said}");
        told.0 += &said;
    }
    seen.lock().unwrap().insert(forged);

    // Programs: a secret, a wrong one, a key, a wrong one.
    let with_secret = |secret: &str| RegisteredClient::with_secret(&world.issuer, "report", secret);
    let with_key = |key| RegisteredClient::with_key(&world.issuer, "robot", Arc::new(key));
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    seen.lock().unwrap().extend(lines(&stranger.to_pkcs8_pem()));
    for (known, accepted) in [
        (with_secret(SECRET), true),
        (with_secret("MARKED-secret-of-16"), false),
        (with_key(robot), true),
        (with_key(stranger), false),
    ] {
        told.add(&known);
        let service = OAuthClient::service(&world.server, known).fetch(watched.clone());
        let service = service.clock(clock(&world.ahead)).dpop(DpopUse::Never);
        let (client, connection) = world.connect(service);
        match names(&client).await {
            Ok(_) => assert!(accepted),
            Err(why) => assert!(!accepted && told.error(&why).contains("invalid_client"), "{why}"),
        }
        connection.close().await;
    }

    // Whoever asks the issuer about tokens: the right secret and a wrong one, about a token and none.
    for (secret, code) in [(SECRET, "INACTIVE"), ("MARKED-introspection-16", "UNAVAILABLE")] {
        let introspection = Introspection::new(
            Issuer::new(&world.issuer, &world.server),
            format!("{}/introspect", world.issuer),
            IntrospectionAuth::basic("report", secret),
            watched.clone(),
        );
        let introspection = introspection.unwrap().keep(0);
        told.add(&introspection);
        let at = now().plus(90);
        let real = introspection.verify(&renewed, at).await;
        assert_eq!(real.is_ok(), code == "INACTIVE", "{real:?}");
        told.add(&real);
        let why = introspection.verify("MARKED-token-of-nobody", at).await.unwrap_err();
        assert_eq!(why.code(), code, "{why}");
        told.error(why);
    }
    // The end of a login, and what is renewed afterwards.
    user().build().unwrap().log_out().await.unwrap();

    // Keys of an API: right, wrong, ended, revoked.
    let keys = ApiKeys::new();
    let held = ["held", "ended", "revoked"].map(|name| {
        let until = (name == "ended").then_some(UnixTime(1));
        keys.create(name, ["notes:read"], until, now()).unwrap().expose().to_owned()
    });
    keys.revoke("revoked", now()).unwrap();
    told.add(&(&keys, keys.list()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let protected = Protected::by_api_keys(&url, keys).unwrap().auditor(world.auditor.clone());
    told.add(&protected);
    let tools = server!().tool::<read_note>().build().unwrap();
    tokio::spawn(serve_http(protected.http(tools, HttpOptions::default()), listener, pending()));
    let made_up = format!("{}x", &held[0][..held[0].len() - 1]);
    assert!(shown(&url, "x-api-key", &held[0]).await.contains("read_note"));
    for key in held.iter().skip(1).chain([&made_up]) {
        let said = shown(&url, "x-api-key", key).await;
        assert!(said.contains("401"), "{said}");
        told.0 += &said;
    }
    seen.lock().unwrap().extend(held.into_iter().chain([made_up]));

    let audited = world.auditor.entries();
    assert!(audited.len() >= 6, "{audited:?}");
    let audited = serde_json::to_string(&audited).unwrap();
    let all = format!("{}{}{audited}", logs.text(), told.0);
    let seen = seen.lock().unwrap();
    // Each kind is there: or nothing was looked for.
    assert!(seen.len() >= 40, "{}", seen.len());
    assert!(logs.text().len() > 2_000, "there is something to look at: {}", logs.text());
    for secret in seen.iter() {
        // A line of a key that is nearly empty, or a number.
        if secret.len() < 12 {
            continue;
        }
        let found = all.lines().find(|line| line.contains(secret.as_str()));
        assert!(found.is_none(), "{secret} is in:\n{}", found.unwrap_or_default());
        // A part of a token that is shown is enough to begin with.
        for part in secret.split('.').filter(|part| part.len() >= 40) {
            assert!(!all.contains(part), "{part} of {secret} is told");
        }
    }
}

/// The search finds what it looks for: somebody who tells is caught.
#[tokio::test]
async fn whoever_tells_is_caught() {
    let logs = logs::Logs::default();
    let _guard = tracing::subscriber::set_default(logs.clone());
    tracing::trace!(token = "MARKED-token", "a careless line");
    tracing::debug_span!("careless", secret = %"MARKED-span").in_scope(|| ());
    assert!(logs.text().contains("MARKED-token") && logs.text().contains("MARKED-span"));
}
