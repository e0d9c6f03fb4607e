//! `etdi keys`: make, list, export, trust, rotate and revoke keys.

use etdi::core::change::visible;
use etdi::core::client_keys::ClientTrust;
use etdi::core::key::{Algorithm, KeyRing, VerifyingKey};
use etdi::core::revocation::Revoked;
use etdi::core::time::UnixTime;
use etdi::core::wire::RevocationEntry;
use serde_json::{Value, json};

use crate::args::{KeyAlgorithm, KeySource, KeysCommand};
use crate::exit::Failure;
use crate::home::{Home, is_exposed};
use crate::output::{Output, Report, table};
use crate::verbs::target::shown_path;

mod caller;
mod chest;
mod fork;
mod trust;

pub use caller::caller;
pub use chest::load;
pub use trust::{anchors, revocations};

const NOT_ENCRYPTED: &str = "the private key is stored unencrypted (mode 0600); `etdi keys encrypt` seals it with a passphrase";

/// Runs one of the commands on keys.
///
/// # Errors
///
/// When a name is taken, unknown or no name, or a file cannot be read or written.
pub fn run(command: &KeysCommand, home: &Home, output: Output) -> Result<Report, Failure> {
    match command {
        KeysCommand::Generate { name, algorithm, bits, encrypt, keyring } => {
            let protection = match keyring {
                true => Some(crate::keyring::protection()?),
                false => chest::protection(*encrypt)?,
            };
            let encrypted = protection.is_some();
            let algorithm = match algorithm {
                KeyAlgorithm::Eddsa => Algorithm::EdDsa,
                KeyAlgorithm::Es256 => Algorithm::Es256,
                KeyAlgorithm::Rs256 => Algorithm::Rs256,
                KeyAlgorithm::Ps256 => Algorithm::Ps256,
            };
            let key = chest::generate(algorithm, *bits)?;
            let path = chest::keep(home, name, &key, protection)?;
            if !encrypted {
                output.warn(NOT_ENCRYPTED);
            }
            let (id, alg) = (key.id(), algorithm.name());
            let text = format!(
                "made key `{name}` ({alg})\n  id    {id}\n  file  {}\n\nsign a server's tools with \
                 `etdi sign --key {name} --server NAME -- COMMAND`",
                path.display()
            );
            let data = json!({
                "name": name, "id": id, "algorithm": alg, "path": path, "encrypted": encrypted,
                "public": public(key.verifying_key())?,
            });
            Ok(Report::new(data, text))
        }
        KeysCommand::Import { file, from: KeySource::PythonFork, name, encrypt } => {
            fork::import(file, name.as_deref(), *encrypt, home, output)
        }
        KeysCommand::List => list(home),
        KeysCommand::Export { name } => export(name, home),
        KeysCommand::Trust { file, name, yes } => {
            trust::trust(home, output, file, name.as_deref(), *yes)
        }
        KeysCommand::Rotate(arguments) => trust::rotate(arguments, home, output),
        KeysCommand::Revoke(arguments) => trust::revoke(arguments, home),
        KeysCommand::Encrypt { name } => {
            let id = chest::encrypt(home, name)?.id();
            let data = json!({ "name": name, "id": id, "encrypted": true });
            Ok(Report::new(data, format!("the key `{name}` is encrypted now")))
        }
    }
}

/// The public halves of the user's own keys; what cannot be read is left out.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn own(home: &Home) -> Result<Vec<VerifyingKey>, Failure> {
    let keys = chest::names(home)?.into_iter();
    Ok(keys.filter_map(|name| chest::public(home, &name).ok()).collect())
}

fn list(home: &Home) -> Result<Report, Failure> {
    let (mut own, mut keys) = (Vec::new(), Vec::new());
    let revoked = trust::revocations(home)?.revoked_here();
    for name in chest::names(home)? {
        let sealed = chest::is_sealed(home, &name);
        let in_keyring = chest::is_in_keyring(home, &name);
        let path = home.path().join("keys").join(format!("{name}.pem"));
        let exposed = !sealed && is_exposed(&path);
        let (id, algorithm, problem) = match chest::public(home, &name) {
            Ok(key) => {
                let problem = exposed.then(|| "open to other users".to_owned());
                (key.id().to_string(), key.algorithm().name(), problem)
            }
            Err(failure) => (String::new(), "", Some(failure.message)),
        };
        let is_revoked =
            revoked.iter().any(|entry| entry.kid.is_some_and(|key| key.to_string() == id));
        keys.push(json!({
            "name": name, "id": id, "algorithm": algorithm, "encrypted": sealed, "keyring": in_keyring,
            "problem": problem,
            "revoked": is_revoked,
        }));
        let kept = match (is_revoked, sealed) {
            (true, _) => "revoked",
            (false, true) if in_keyring => "in the keyring",
            (false, true) => "encrypted",
            (false, false) => "in a file",
        };
        let kept = problem.unwrap_or_else(|| kept.to_owned());
        own.push([name, algorithm.to_owned(), id, kept]);
    }
    let (mut trusted, mut publishers) = (Vec::new(), Vec::new());
    for (provider, ring) in trust::anchors(home)?.providers() {
        for key in ring {
            publishers.push(json!({ "provider": provider, "id": key.id() }));
            trusted.push([
                provider.to_string(),
                key.algorithm().name().into(),
                key.id().to_string(),
            ]);
        }
    }
    let (mut known, mut clients) = (Vec::new(), Vec::new());
    let listed = trust::clients(home)?.list();
    for client in listed.map_err(|error| Failure::usage(error.to_string(), "etdi keys --help"))? {
        let how = match client.trust {
            ClientTrust::Named => "named by you",
            ClientTrust::FirstUse => "taken on first use",
            _ => "vouched for by another",
        };
        clients.push(json!({
            "name": client.name, "id": client.key.id(), "trust": client.trust, "since": client.since,
        }));
        let (name, since) = (client.name.clone(), client.since.to_string());
        known.push([name, client.key.id().to_string(), how.to_owned(), since]);
    }
    let refused: Vec<_> = revoked.iter().map(refused).collect();
    let revoked: Vec<Value> = revoked.iter().map(|entry| json!(entry)).collect();
    let mut parts = vec![match own.is_empty() {
        true => "no keys yet, make one with `etdi keys generate`".to_owned(),
        false => table(["name", "algorithm", "id", "private half"], own),
    }];
    for (title, table) in [
        ("publishers that you trust", table(["provider", "algorithm", "id"], trusted)),
        ("clients that your servers know", table(["name", "id", "how", "since"], known)),
    ] {
        if !table.is_empty() {
            parts.push(format!("{title}\n{table}"));
        }
    }
    if !refused.is_empty() {
        let table = table(["what", "", "since", "why"], refused);
        let place = home.directory("revocations")?.join("revocations.json");
        parts.push(format!(
            "revoked here, and refused whoever trusts it\n{table}\na slip is taken back by hand, out of `here` in \
             {}; `etdi approvals accept-restored` then takes that as it is",
            shown_path(&place)
        ));
    }
    let data = json!({
        "keys": keys, "publishers": publishers, "clients": clients, "revoked": revoked,
    });
    Ok(Report::new(data, parts.join("\n\n")))
}

/// An entry of what was revoked here, for people.
fn refused(entry: &RevocationEntry) -> [String; 4] {
    let (what, name) = match entry.revoked() {
        Some(Revoked::Key(id)) => ("key", id.to_string()),
        Some(Revoked::Statement(id)) => ("statement", id),
        Some(Revoked::Definition(digest)) => ("definition", digest.to_string()),
        Some(Revoked::Provider(provider)) => ("publisher", provider.to_string()),
        // Something that a later version revokes.
        _ => ("other", String::new()),
    };
    let since = entry.at.map_or_else(String::new, |at| UnixTime(at).to_string());
    let why = entry.reason.as_deref().map_or_else(String::new, |why| visible(why).into_owned());
    [what.to_owned(), visible(&name).into_owned(), since, why]
}

fn export(name: &str, home: &Home) -> Result<Report, Failure> {
    let key = chest::public(home, name)?;
    let id = key.id();
    let ring: KeyRing = [key].into_iter().collect();
    let jwks: Value = serde_json::from_str(&ring.to_jwks()).map_err(unwritten)?;
    Ok(Report::new(json!({ "name": name, "id": id, "jwks": jwks }), ring.to_jwks()))
}

fn public(key: &VerifyingKey) -> Result<Value, Failure> {
    serde_json::from_str(&key.to_jwk()).map_err(unwritten)
}

fn unwritten(error: serde_json::Error) -> Failure {
    Failure::usage(format!("the key cannot be written as JSON: {error}"), "etdi keys list")
}
