//! A tool for those who are let in: by an API key, or by a token of Auth0 or of Entra. The server, its
//! clients, and both together with a login server that is played on this machine.
//!
//! | command | what |
//! |---|---|
//! | `secure_echo api-key\|auth0\|entra [ADDRESS]` | serves `http://127.0.0.1:8000/mcp` |
//! | `secure_echo call api-key URL` | calls it with a key |
//! | `secure_echo call auth0 URL` | as an application with `AUTH0_CLIENT_SECRET`, else a person signs in |
//! | `secure_echo call entra URL` | a person signs in, in a browser; the next run needs none |
//! | `secure_echo call entra-service URL` | a service, by secret or certificate |
//! | `secure_echo demo api-key\|auth0\|entra` | all of that against stand-ins, without the internet |
//! | `secure_echo stand-in auth0\|entra` | a login server that is played, and the `.env` for it |
//!
//! By hand, in three terminals in one folder: `secure_echo stand-in entra | tee .env`, which is to run on;
//! `secure_echo entra`; `secure_echo call entra http://127.0.0.1:8000/mcp`. To log out, delete the folder
//! of `TOKENS`.
//!
//! Settings come from the environment, or from a file `.env` here:
//!
//! - `api-key`: `API_KEY`, the key that counts, in the header `X-API-Key`; where there is none, the
//!   server makes one and shows it once.
//! - `auth0`: `AUTH0_DOMAIN` and `API_AUDIENCE`, the identifier of the API; a client `AUTH0_CLIENT_ID`
//!   and `AUTH0_CLIENT_SECRET` too. A person comes back to `http://127.0.0.1:3000/callback`, which the
//!   application has to allow.
//! - `entra`: `AZURE_TENANT_ID` and `AZURE_CLIENT_ID` of the app registration; a service
//!   `AZURE_CLIENT_SECRET`, or `AZURE_CLIENT_CERTIFICATE_PATH` with certificate and key as PEM.
//!   `AZURE_API_CLIENT_ID` where a client has a registration of its own, `AZURE_AUTHORITY` for another
//!   cloud than the public one. The registration exposes the scope
//!   `user_impersonation`, has the app role `Echo.Call` for services, access tokens of version 2, and
//!   `http://localhost` as redirect URI of "Mobile and desktop applications".
//! - `NO_BROWSER`: with any value, a person opens the page anywhere and pastes where that led.
//! - `TOKENS`: the folder for a person's tokens, `.secure_echo` by default; the key that seals them
//!   is in a folder beside it.

mod client;
mod demo;
mod server;

use anyhow::bail;
use etdi_oauth::Loopback;
use examples::settings::Settings;

const USAGE: &str = "usage: secure_echo api-key|auth0|entra [ADDRESS], \
    secure_echo call api-key|auth0|entra|entra-service URL, secure_echo demo api-key|auth0|entra, or \
    secure_echo stand-in auth0|entra";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let settings = Settings::read()?;
    match words.as_slice() {
        ["-h" | "--help" | "help"] => println!("{USAGE}"),
        ["call", way, url] => {
            let browser = Loopback::browser(|text| eprintln!("{text}"));
            println!("{}", client::call(way, url, &settings, browser).await?);
        }
        ["demo", by] => demo::run(by).await?,
        ["stand-in", vendor] => demo::stand_in(vendor).await?,
        [by] | [by, _] => {
            let address = words.get(1).unwrap_or(&"127.0.0.1:8000");
            let listener = examples::listen_at(address).await?;
            let url = format!("http://{}/mcp", listener.local_addr()?);
            let (http, key) = server::make(by, &url, &settings)?;
            eprintln!("{url}");
            if let Some(key) = key {
                eprintln!("X-API-Key: {}", key.expose());
            }
            server::serve(http, listener).await?;
        }
        _ => bail!(USAGE),
    }
    Ok(())
}
