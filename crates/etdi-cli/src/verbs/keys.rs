//! `etdi keys`: make, list and export signing keys.

use std::path::PathBuf;

use etdi::core::change::visible;
use etdi_core::key::{Algorithm, KeyRing, SigningKey, VerifyingKey};
use serde_json::json;

use crate::args::{KeyAlgorithm, KeysCommand};
use crate::exit::Failure;
use crate::home::{Home, is_exposed, write_private};
use crate::output::{Output, Report, table};
use crate::verbs::target::shown_path;

const NOT_ENCRYPTED: &str =
    "private keys are stored unencrypted (mode 0600); encryption comes with a later release";

/// Runs one of the commands on keys.
///
/// # Errors
///
/// When a name is taken, unknown or no name, or a file cannot be read or written.
pub fn run(command: &KeysCommand, home: &Home, output: Output) -> Result<Report, Failure> {
    match command {
        KeysCommand::New { name, algorithm } => new(name, *algorithm, home, output),
        KeysCommand::List => list(home),
        KeysCommand::Export { name } => export(name, home),
    }
}

fn new(
    name: &str,
    algorithm: KeyAlgorithm,
    home: &Home,
    output: Output,
) -> Result<Report, Failure> {
    let path = path_of(home, name)?;
    let algorithm = match algorithm {
        KeyAlgorithm::Eddsa => Algorithm::EdDsa,
        KeyAlgorithm::Es256 => Algorithm::Es256,
    };
    let key = SigningKey::generate(algorithm)
        .map_err(|error| Failure::usage(error.to_string(), format!("etdi keys new {name}")))?;
    write_private(&path, key.to_pkcs8_pem().as_bytes()).map_err(|error| {
        let taken = error.kind() == std::io::ErrorKind::AlreadyExists;
        let (why, next) = match taken {
            true => {
                ("there is a key of that name, choose another".to_owned(), "etdi keys list".into())
            }
            false => (error.to_string(), format!("ls -ld {}", shown_path(home.path()))),
        };
        Failure::usage(format!("cannot write `{}`: {why}", path.display()), next)
    })?;
    output.warn(NOT_ENCRYPTED);
    let (id, alg) = (key.id(), key.verifying_key().algorithm().name());
    Ok(Report::new(
        json!({
            "name": name, "id": id, "algorithm": alg, "path": path, "encrypted": false,
            "public": public(&key)?,
        }),
        format!(
            "made key `{name}` ({alg})\n  id    {id}\n  file  {}\n\nsign a server's tools with \
             `etdi sign --key {name} --server NAME -- COMMAND`",
            path.display()
        ),
    ))
}

/// The names of the user's keys, in order.
fn names(home: &Home) -> Result<Vec<String>, Failure> {
    let directory = home.directory("keys")?;
    let entries = std::fs::read_dir(&directory).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", directory.display());
        Failure::usage(message, format!("ls -ld {}", shown_path(&directory)))
    })?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".pem")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// The public halves of the user's own keys; what cannot be read is left out.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn own(home: &Home) -> Result<Vec<VerifyingKey>, Failure> {
    let keys = names(home)?.into_iter().filter_map(|name| load(home, &name).ok());
    Ok(keys.map(|key| key.verifying_key().clone()).collect())
}

fn list(home: &Home) -> Result<Report, Failure> {
    let names = names(home)?;
    let (mut rows, mut data) = (Vec::new(), Vec::new());
    for name in names {
        let path = path_of(home, &name)?;
        let exposed = is_exposed(&path);
        let (id, algorithm, problem) = match load(home, &name) {
            Ok(key) => {
                let problem = exposed.then(|| "open to other users".to_owned());
                (key.id().to_string(), key.verifying_key().algorithm().name(), problem)
            }
            Err(failure) => (String::new(), "", Some(failure.message)),
        };
        data.push(json!({
            "name": name, "id": id, "algorithm": algorithm, "path": path, "problem": problem,
        }));
        rows.push([name, algorithm.to_owned(), id, problem.unwrap_or_default()]);
    }
    let text = match rows.is_empty() {
        true => "no keys yet, make one with `etdi keys new`".to_owned(),
        false => table(["name", "algorithm", "id", "problem"], rows),
    };
    Ok(Report::new(json!({ "keys": data, "encrypted": false }), text))
}

fn export(name: &str, home: &Home) -> Result<Report, Failure> {
    let key = load(home, name)?;
    let ring: KeyRing = [key.verifying_key().clone()].into_iter().collect();
    let data = json!({
        "name": name, "id": key.id(), "jwks": public_set(&ring)?,
    });
    Ok(Report::new(data, ring.to_jwks()))
}

fn public(key: &SigningKey) -> Result<serde_json::Value, Failure> {
    serde_json::from_str(&key.verifying_key().to_jwk()).map_err(unwritten)
}

fn public_set(ring: &KeyRing) -> Result<serde_json::Value, Failure> {
    serde_json::from_str(&ring.to_jwks()).map_err(unwritten)
}

fn unwritten(error: serde_json::Error) -> Failure {
    Failure::usage(format!("the key cannot be written as JSON: {error}"), "etdi keys list")
}

/// Reads the key of a name, or of a path to a PEM file.
///
/// # Errors
///
/// When there is none, it is open to others, or it is no key.
pub fn load(home: &Home, name: &str) -> Result<SigningKey, Failure> {
    let path = match name.contains(['/', '.']) {
        true => PathBuf::from(name),
        false => path_of(home, name)?,
    };
    let shown = path.display();
    if is_exposed(&path) {
        return Err(Failure::usage(
            format!("key file `{shown}` is open to other users, so it may not be secret any more"),
            format!("chmod 600 {}", shown_path(&path)),
        ));
    }
    let pem = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let next = match path_of(home, name) {
                Ok(_) => format!("etdi keys new {name}"),
                Err(_) => "etdi keys list".to_owned(),
            };
            Failure::usage(format!("there is no key `{}`", visible(name)), next)
        }
        _ => Failure::usage(format!("cannot read `{shown}`: {error}"), "etdi keys list"),
    })?;
    SigningKey::from_pkcs8_pem(&pem)
        .map_err(|error| Failure::usage(format!("`{shown}`: {error}"), "etdi keys list"))
}

fn path_of(home: &Home, name: &str) -> Result<PathBuf, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Failure::usage(
            format!(
                "`{}` is no name for a key, use letters, digits, `-` and `_`",
                name.escape_debug()
            ),
            "etdi keys new publisher",
        ));
    }
    Ok(home.directory("keys")?.join(format!("{name}.pem")))
}
