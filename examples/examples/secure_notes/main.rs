//! Notes behind everything that a server on the internet should have.
//!
//! | command | what |
//! |---|---|
//! | `secure_notes [ADDRESS]` | serves `http://127.0.0.1:8443/mcp`, or `https://` with a certificate |
//! | `secure_notes key NAME SCOPE...` | makes an API key and shows it, once |
//! | `secure_notes revoke NAME` | takes it back; a server that runs hears of that within a second |
//! | `secure_notes audit` | checks the trail of what happened, and prints its last lines |
//!
//! The checklist of the users' chapter on security, and where each item is done:
//!
//! | item | done by |
//! |---|---|
//! | validate all inputs | argument types that refuse: `Text<Length>`, `RelativePath` (`tools.rs`) |
//! | sanitize user-provided strings | `Escaped` and a deny list, in `comment` (`tools.rs`) |
//! | authentication (API keys, OAuth) | `Protected` with `ApiKeys`, and Auth0 where it is set (`door.rs`) |
//! | HTTPS for production | `serve_https` (rustls); without it other machines are not served (`door.rs`) |
//! | prevent path traversal | `RelativePath`, and a `Folder` that no link leads out of (`tools.rs`) |
//! | encrypt sensitive data at rest | `SecretStore`: `store_secret`, `check_secret` (`tools.rs`) |
//! | log security events | a chained `AuditFile`: who was let in, what was refused (`noted.rs`) |
//! | rate limit requests | `RateLayer` per caller (`door.rs`) |
//! | implement timeouts | `LimitsLayer` per call, `HttpOptions` per request (`door.rs`) |
//! | least privilege | scopes per tool, an access list per resource, one folder (`tools.rs`, `door.rs`) |
//! | error messages without internals | `ToolError::log` keeps causes for the log (`tools.rs`) |
//!
//! Settings, of the environment or a file `.env`: `NOTES` the folder (`secure_notes_data` by default:
//! `notes/` in it is served, keys, secrets and trail lie beside that), `TLS_CERTIFICATE` and `TLS_KEY`
//! (PEM), `PUBLIC_URL` by which clients know the server, `AUTH0_DOMAIN` and `API_AUDIENCE` for tokens,
//! `REQUESTS_PER_SECOND` (5), `REQUESTS_AT_ONCE` (20), `SECONDS_PER_CALL` (10).

mod door;
mod noted;
mod tools;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use etdi_core::audit::{AuditFile, Durability, Filter, last_entries, verify_trail};
use etdi_core::time::UnixTime;
use etdi_oauth::ApiKeys;
use examples::settings::Settings;

const USAGE: &str = "usage: secure_notes [ADDRESS], key NAME SCOPE..., revoke NAME, or audit";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let settings = Settings::read()?;
    let place = Place::open(&settings)?;
    match words.as_slice() {
        ["key", name, scopes @ ..] => {
            let known = ["notes:read", "notes:write", "notes:admin"];
            if let Some(strange) = scopes.iter().find(|scope| !known.contains(scope)) {
                bail!("`{strange}` is no scope here, give some of {}", known.join(", "));
            }
            let key = place.keys()?.create(name, scopes.iter().copied(), None, now()?)?;
            println!("{}", key.expose());
        }
        ["revoke", name] => match place.keys()?.revoke(name, now()?)? {
            true => println!("`{name}` is revoked"),
            false => bail!("there is no key `{name}` that was not revoked before"),
        },
        ["audit"] => {
            let path = place.trail();
            ensure!(path.exists(), "there is no trail yet in `{}`", path.display());
            let report = verify_trail(&path, None, None)?;
            println!("{} entries, each vouched for by the next", report.head.entries);
            let last = last_entries(&path, &Filter::default(), 20)?;
            for (_, entry) in last {
                let event = &entry.event;
                let detail = event.detail.as_deref().unwrap_or_default();
                println!("{} {} {detail}", entry.at, event.kind.name());
            }
        }
        ["-h" | "--help" | "help"] => println!("{USAGE}"),
        [] | [_] if words.first().is_none_or(|word| word.contains(':')) => {
            let address = words.first().unwrap_or(&"127.0.0.1:8443");
            door::open(address, &place, &settings).await?;
        }
        _ => bail!(USAGE),
    }
    Ok(())
}

/// The folder in which everything is.
struct Place(PathBuf);

impl Place {
    fn open(settings: &Settings) -> anyhow::Result<Self> {
        let folder = PathBuf::from(settings.maybe("NOTES").unwrap_or("secure_notes_data"));
        let mut builder = std::fs::DirBuilder::new();
        // Whoever else has an account on this machine has no business here.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let public = folder.join("notes").join("public");
        builder.recursive(true).create(&public).with_context(|| public.display().to_string())?;
        Ok(Self(folder))
    }

    /// What is served, and nothing beside it.
    fn notes(&self) -> PathBuf {
        self.0.join("notes")
    }

    fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }

    /// Where the key of the secrets is. A server with a keyring or a key management would have it
    /// there; in a backup of the secrets it has no place.
    fn secrets_key(&self) -> PathBuf {
        self.0.join("secrets.key")
    }

    fn keys(&self) -> anyhow::Result<ApiKeys> {
        Ok(ApiKeys::open(self.0.join("api_keys.json"))?)
    }

    fn trail(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    fn audit(&self) -> anyhow::Result<Arc<AuditFile>> {
        Ok(Arc::new(AuditFile::open(self.trail(), Durability::Written)?))
    }
}

fn now() -> anyhow::Result<UnixTime> {
    Ok(UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()))
}
