//! Our client and our protected servers at an issuer that somebody else wrote.
//!
//! `interop_login --url ISSUER` puts three servers of ours on this machine, whose tokens that issuer
//! gives, and takes every step as a client of them; the user with the browser is played. It prints
//! one JSON object with the evidence and `N passed, M failed`, and exits 0 only when nothing failed.

mod browser;
#[path = "../interop_client/report.rs"]
mod report;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use etdi_core::key::{Algorithm, SigningKey};
use etdi_oauth::{
    ClientAuthentication, DpopUse, IntrospectionAuth, MemoryTokens, OAuthClient, RegisteredClient,
    SecretText, ServerMetadata, TokenStore,
};
use serde_json::{Value, json};

use crate::browser::User;
use crate::report::Report;
use crate::world::{World, call, kept, shown};

const USAGE: &str = "usage: interop_login --url ISSUER";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    ensure!(words.next().as_deref() == Some("--url"), USAGE);
    let world = World::new(&words.next().context(USAGE)?);
    let mut report = Report::default();
    report.step("metadata", metadata(&world)).await;
    users(&world, &mut report).await?;
    bound(&world, &mut report).await?;
    programs(&world, &mut report).await?;
    opaque(&world, &mut report).await?;
    let (passed, failed) = (report.passed, report.failed);
    println!("{}", json!({ "eras": { "any": report.into_json() } }));
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn store() -> Arc<dyn TokenStore> {
    Arc::new(MemoryTokens::new())
}

async fn metadata(world: &World) -> anyhow::Result<Value> {
    let found = ServerMetadata::find(&*world.fetch, &world.issuer, true).await?;
    ensure!(found.registration_endpoint.is_some() && found.revocation_endpoint.is_some());
    Ok(json!({ "issuer": found.issuer, "pkce": found.code_challenge_methods_supported }))
}

/// Logins of a user: code and PKCE, renewal by tokens that rotate, more scopes.
async fn users(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let (server, store) = (world.signed().await?, store());
    let user = |ahead| world.user(&server, &store, ahead, User::Allows).dpop(DpopUse::Never);
    let reads = async |ahead, asked| {
        let said = call(&server, user(ahead), "read_note").await?;
        ensure!(said.contains("buy milk"), "{said}");
        ensure!(world.asked() == asked, "the user was asked {} times", world.asked());
        let kept = kept(&store, &server).await?;
        Ok::<_, anyhow::Error>((text(&kept, "access"), text(&kept, "refresh")))
    };
    report
        .step("code_and_pkce", async {
            let (access, refresh) = reads(0, 1).await?;
            ensure!(access.split('.').count() == 3, "the token is not signed");
            ensure!(!refresh.is_empty(), "nothing renews it");
            Ok("registered, logged in, called".into())
        })
        .await;
    report.step("logged_in_once", async { reads(0, 1).await.map(|_| "no login".into()) }).await;
    let name = format!("tokens {server}");
    let record = async || store.get(&name).await.map_err(anyhow::Error::msg);
    let old = record().await?;
    report
        .step("refresh_rotates", async {
            let (before, renewed) = (reads(0, 1).await?, reads(700, 1).await?);
            ensure!(before.0 != renewed.0 && before.1 != renewed.1, "they are the same");
            Ok("both tokens are new".into())
        })
        .await;
    let renewed = record().await?;
    report
        .step("refresh_reuse", async {
            // Whoever shows the old one again ends what was renewed by it, too.
            for (kept, ahead) in [(old, 700), (renewed, 1_400)] {
                let kept = kept.context("nothing was kept")?;
                store.put(&name, kept).await.map_err(anyhow::Error::msg)?;
                ensure!(reads(ahead, 1).await?.1.is_empty(), "it renews all the same");
            }
            Ok("neither renews anything".into())
        })
        .await;
    report
        .step("step_up", async {
            let said = call(&server, user(0), "write_note").await?;
            ensure!(said.contains("written: eggs") && world.asked() == 2, "{said}");
            reads(0, 2).await?;
            Ok("asked for more, once".into())
        })
        .await;
    report
        .step("pre_registered", async {
            let (id, _) = world
                .register(&json!({
                    "client_name": "Notes on the desk", "application_type": "native",
                    "redirect_uris": ["http://127.0.0.1/callback"], "response_types": ["code"],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "token_endpoint_auth_method": "none",
                }))
                .await?;
            let client = RegisteredClient::public(&world.issuer, id);
            let user = world.user(&server, &self::store(), 0, User::Allows).registered(client);
            let said = call(&server, user.dpop(DpopUse::Never), "read_note").await?;
            ensure!(said.contains("buy milk"), "{said}");
            Ok("at whatever port".into())
        })
        .await;
    report
        .step("login_refused", async {
            let user = world.user(&server, &self::store(), 0, User::Refuses);
            refused(call(&server, user, "read_note").await, "access_denied")
        })
        .await;
    report
        .step("other_audience", async {
            let token = format!("Bearer {}", reads(0, world.asked()).await?.0);
            let own = shown(&server, &token).await?;
            ensure!(own.contains("buy milk"), "{own}");
            let other = world.signed().await?;
            refused(Ok(shown(&other, &token).await?), "401")
        })
        .await;
    Ok(())
}

/// Tokens that are bound to a key, with nonces at both ends.
async fn bound(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let (server, store) = (world.bound().await?, store());
    let user = || world.user(&server, &store, 0, User::Allows).dpop(DpopUse::Always);
    report
        .step("dpop", async {
            let said = call(&server, user(), "read_note").await?;
            ensure!(said.contains("buy milk"), "{said}");
            let kept = kept(&store, &server).await?;
            ensure!(kept.get("dpop_bound") == Some(&Value::Bool(true)), "it is not bound");
            Ok("bound, with nonces of issuer and server".into())
        })
        .await;
    report
        .step("dpop_stolen", async {
            let token = text(&kept(&store, &server).await?, "access");
            refused(Ok(shown(&server, &format!("Bearer {token}")).await?), "401")?;
            refused(Ok(shown(&server, &format!("DPoP {token}")).await?), "401")
        })
        .await;
    report
        .step("dpop_refresh", async {
            let (asked, before) = (world.asked(), kept(&store, &server).await?);
            tokio::time::sleep(Duration::from_secs(5)).await;
            let said = call(&server, user(), "read_note").await?;
            ensure!(said.contains("buy milk"), "{said}");
            let after = kept(&store, &server).await?;
            ensure!(text(&before, "access") != text(&after, "access"), "it was not renewed");
            ensure!(world.asked() == asked, "the user was asked again");
            Ok("renewed with a proof".into())
        })
        .await;
    Ok(())
}

/// Programs that act for themselves.
async fn programs(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let server = world.signed().await?;
    let reads = async |client| {
        let service = OAuthClient::service(&server, client).scopes(["notes:read"]);
        call(&server, service, "read_note").await
    };
    let accepted = async |client| {
        let said: String = reads(client).await?;
        ensure!(said.contains("buy milk"), "{said}");
        Ok(Value::from("called"))
    };
    for method in ["client_secret_basic", "client_secret_post"] {
        let made = world.service(method, json!({})).await?;
        let with = |secret: &str| {
            let secret = SecretText::new(secret);
            let shows = match method {
                "client_secret_basic" => ClientAuthentication::SecretBasic(secret),
                _ => ClientAuthentication::SecretPost(secret),
            };
            RegisteredClient::new(&world.issuer, &made.0, shows)
        };
        report.step(method, accepted(with(&made.1))).await;
        let wrong = async { refused(reads(with("another secret")).await, "invalid_client") };
        report.step(&format!("{method}_wrong"), wrong).await;
    }
    let (key, other) =
        (SigningKey::generate(Algorithm::Es256)?, SigningKey::generate(Algorithm::Es256)?);
    let jwk: Value = serde_json::from_str(&key.verifying_key().to_jwk())?;
    let more = json!({ "jwks": { "keys": [jwk] }, "token_endpoint_auth_signing_alg": "ES256" });
    let (id, _) = world.service("private_key_jwt", more).await?;
    let with = |key| RegisteredClient::with_key(&world.issuer, &id, Arc::new(key));
    report.step("private_key_jwt", accepted(with(key))).await;
    let wrong = async { refused(reads(with(other)).await, "invalid_client") };
    report.step("private_key_jwt_wrong", wrong).await;
    Ok(())
}

/// Tokens that only the issuer can read, and their end.
async fn opaque(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let (id, secret) = world.service("client_secret_basic", json!({})).await?;
    let server = world.opaque(IntrospectionAuth::basic(id, secret)).await?;
    let store = store();
    let user = || world.user(&server, &store, 0, User::Allows).dpop(DpopUse::Never);
    let mut token = String::new();
    report
        .step("introspection", async {
            let said = call(&server, user(), "read_note").await?;
            ensure!(said.contains("buy milk"), "{said}");
            token = text(&kept(&store, &server).await?, "access");
            ensure!(!token.contains('.'), "the token is signed");
            let said = shown(&server, &format!("Bearer {token}")).await?;
            ensure!(said.contains("buy milk"), "{said}");
            Ok("the issuer says who it is".into())
        })
        .await;
    report
        .step("introspection_by_key", async {
            let key = SigningKey::generate(Algorithm::Es256)?;
            let jwk: Value = serde_json::from_str(&key.verifying_key().to_jwk())?;
            let more = json!({
                "jwks": { "keys": [jwk] }, "token_endpoint_auth_signing_alg": "ES256",
            });
            let (id, _) = world.service("private_key_jwt", more).await?;
            let server = world.opaque(IntrospectionAuth::private_key(id, key)).await?;
            let store = self::store();
            let user = world.user(&server, &store, 0, User::Allows).dpop(DpopUse::Never);
            let said = call(&server, user, "read_note").await?;
            ensure!(said.contains("buy milk"), "{said}");
            // The token of the one server does not count at the other.
            refused(Ok(shown(&server, &format!("Bearer {token}")).await?), "401")
        })
        .await;
    report
        .step("revocation", async {
            ensure!(!token.is_empty(), "there is no token");
            user().build()?.log_out().await?;
            refused(Ok(shown(&server, &format!("Bearer {token}")).await?), "401")
        })
        .await;
    Ok(())
}

/// That a call was refused, and for this.
fn refused(outcome: anyhow::Result<String>, why: &str) -> anyhow::Result<Value> {
    let said = match outcome {
        Ok(said) => said,
        Err(error) => format!("{error:#}"),
    };
    ensure!(!said.contains("buy milk") && said.contains(why), "{said}");
    Ok(Value::from(why))
}

fn text(record: &Value, name: &str) -> String {
    record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
