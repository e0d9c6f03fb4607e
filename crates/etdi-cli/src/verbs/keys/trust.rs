//! Whom the user trusts: publishers in `trust.json`, clients of the user's servers in `clients/`,
//! and what was taken back in `revocations/`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etdi::config::{ConfigError, place};
use etdi::core::change::visible;
use etdi::core::client_keys::{ClientKeyError, ClientTrust, FileClients, KnownClients};
use etdi::core::identity::ProviderId;
use etdi::core::jws::IssuedJws;
use etdi::core::key::{AllowList, KeyId, KeyRing};
use etdi::core::revocation::{RevocationError, RevocationList, Revocations, Revoked};
use etdi::core::rotation::Rotation;
use etdi::core::trust::TrustAnchors;
use etdi::core::wire::{RevocationsClaims, StatementType};
use etdi::system_time;
use serde_json::json;

use super::chest;
use crate::args::{RevokeArguments, RotateArguments};
use crate::exit::{Exit, Failure};
use crate::home::{Home, write_private};
use crate::locked;
use crate::output::{Output, Report};
use crate::unattended::{self, Act};
use crate::verbs::target::{quoted, read_keys, shown_path};

/// The publishers that the user trusts by `trust.json`.
///
/// # Errors
///
/// When the file is there and cannot be read: it may revoke something.
pub fn anchors(home: &Home) -> Result<TrustAnchors, Failure> {
    let path = home.path().join("trust.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => TrustAnchors::from_json(&text).map_err(|error| {
            let message = format!("`{}`: {error}", path.display());
            Failure::usage(message, format!("cat {}", shown_path(&path)))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(TrustAnchors::new()),
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", path.display());
            Err(Failure::usage(message, format!("ls -l {}", shown_path(&path))))
        }
    }
}

/// What was revoked here, and the lists of issuers that were seen.
///
/// # Errors
///
/// When they cannot be read.
pub fn revocations(home: &Home) -> Result<Revocations, Failure> {
    let directory = home.directory("revocations")?;
    place::revocations(&directory, Some(&locked::state(home)?)).map_err(|error| {
        let next = match &error {
            ConfigError::Revocations(RevocationError::TakenAway { .. }) => {
                "etdi approvals accept-restored".to_owned()
            }
            _ => format!("ls -l {}", shown_path(&directory)),
        };
        Failure::new(Exit::Refused, error.to_string(), next).with_code("STORE_FAILED")
    })
}

/// The clients that the user's servers know.
///
/// # Errors
///
/// When they cannot be read.
pub(super) fn clients(home: &Home) -> Result<FileClients, Failure> {
    FileClients::open(&home.directory("clients")?, KnownClients::new).map_err(client_failure)
}

fn client_failure(error: ClientKeyError) -> Failure {
    Failure::usage(error.to_string(), "etdi keys list")
}

/// Trusts the keys of a file, after whoever sits there has seen which and whose. The key that follows a
/// trusted one is vouched for by that, and taken unasked.
///
/// # Errors
///
/// When it holds no keys, says nothing that is trusted, nobody agrees to it, or it cannot be noted.
pub(super) fn trust(
    home: &Home,
    output: Output,
    file: &Path,
    name: Option<&str>,
    yes: bool,
) -> Result<Report, Failure> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    if IssuedJws::read(text.trim(), StatementType::Rotation, AllowList::STATEMENTS).is_ok() {
        return follow(home, text.trim());
    }
    let ring = read_keys(file)?;
    let ids: Vec<KeyId> = ring.iter().map(|key| key.id()).collect();
    let name = name.ok_or_else(|| {
        let message = "say with `--as` whose keys they are: a publisher's origin, `etdi:key:` and \
                       the key's id for a publisher who signs as the key itself, or any other name \
                       for a client of your servers";
        let id = ids.first().map(KeyId::to_string).unwrap_or_default();
        let next = format!("etdi keys trust {} --as etdi:key:{id}", shown_path(file));
        Failure::usage(message, next)
    })?;
    let agreed = |text: String| {
        let keys: Vec<_> =
            ring.iter().map(|key| format!("  {}  {}", key.id(), key.algorithm().name())).collect();
        let text = format!("\n{}\n{}\n{text}", shown_path(file), keys.join("\n"));
        let next = format!("etdi keys trust {} --as {}", shown_path(file), quoted(name));
        let (what, ask) = ("to trust a key", "trust it?");
        unattended::agreed_unless(yes, home, output, Act { what, text, ask, next })
    };
    let (role, shown) = match name.parse::<ProviderId>() {
        Ok(provider) if provider.key().is_some_and(|key| !ids.contains(&key)) => {
            return Err(no_publisher(file, name, &ids));
        }
        Err(_) if is_meant_as_publisher(name) => return Err(no_publisher(file, name, &ids)),
        Ok(provider) => {
            let mut anchors = anchors(home)?;
            refuse_revoked(home, &provider, &ids)?;
            let trusted = anchors.providers().find(|(other, _)| **other == provider);
            let trusted: Vec<_> = trusted.map_or(Vec::new(), |(_, keys)| keys);
            let is_new = |id: &KeyId| !trusted.iter().any(|key| key.id() == *id);
            if ids.iter().any(is_new) {
                let beside = match trusted.len() {
                    0 => String::new(),
                    count => format!(" as by the {count} that you trust"),
                };
                agreed(format!(
                    "what is signed by this counts as signed by {provider}{beside}: approvals of its tools \
                     are carried over to what it signs"
                ))?;
            }
            for key in ring.iter() {
                anchors.trust(provider.clone(), key.clone());
            }
            save(home, &anchors)?;
            ("publisher", format!("trusts what {provider} signs"))
        }
        Err(_) => {
            let clients = clients(home)?;
            let known = clients.list().map_err(client_failure)?;
            let is_known = |id: &KeyId| {
                known.iter().any(|one| {
                    one.key.id() == *id && one.name == name && one.trust != ClientTrust::FirstUse
                })
            };
            if !ids.iter().all(is_known) {
                let name = visible(name);
                agreed(format!("who has the private half of it calls your servers as `{name}`"))?;
            }
            for key in ring.iter() {
                clients.trust(name, key, system_time()).map_err(client_failure)?;
            }
            ("client", format!("your servers know the calls of `{name}`"))
        }
    };
    let list: Vec<String> = ids.iter().map(|id| format!("  {id}")).collect();
    let data = json!({ "role": role, "name": name, "keys": ids });
    Ok(Report::new(data, format!("{shown}, by\n{}", list.join("\n"))))
}

/// Nobody is told to trust what stays refused whatever is trusted.
fn refuse_revoked(home: &Home, provider: &ProviderId, ids: &[KeyId]) -> Result<(), Failure> {
    let here = revocations(home)?.revoked_here();
    let what = here.iter().find_map(|entry| match entry.revoked()? {
        Revoked::Provider(revoked) if revoked == *provider => Some(revoked.to_string()),
        Revoked::Key(id) if ids.contains(&id) => Some(format!("the key {id}")),
        _ => None,
    });
    let Some(what) = what else { return Ok(()) };
    let directory = home.directory("revocations")?;
    let message = format!(
        "{what} was revoked here, and is refused whoever trusts it; a slip is taken back by hand: out of \
         `here` in `{}/revocations.json`, and a key out of `trust.json` as well; `etdi approvals \
         accept-restored` then takes that as it is",
        directory.display()
    );
    let next = format!("ls -l {}", shown_path(&directory));
    Err(Failure::new(Exit::Refused, message, next).with_code("REVOKED"))
}

/// Whether a name that is none of a publisher is written as one: taken for a client's, it would make
/// a publisher a caller of one's servers.
fn is_meant_as_publisher(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let bare = lower.trim_end_matches('/');
    let with_port = bare.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let labels: Vec<&str> = with_port.map_or(bare, |(host, _)| host).split('.').collect();
    let is_host = (labels.len() > 1 || with_port.is_some())
        && labels.iter().all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    lower.starts_with("etdi:") || lower.contains("://") || is_host
}

fn no_publisher(file: &Path, name: &str, ids: &[KeyId]) -> Failure {
    let shown = name.escape_debug();
    let next = |name: &str| format!("etdi keys trust {} --as {name}", shown_path(file));
    if !name.to_ascii_lowercase().starts_with("etdi:") {
        let bare = name.split_once("://").map_or(name, |(_, rest)| rest);
        let host = bare.split('/').next().unwrap_or_default();
        let message = format!(
            "`{shown}` is neither a publisher's origin, which is `https://` and a host, nor a name for \
             a client of your servers, which has neither dots between its words nor a port"
        );
        return Failure::usage(message, next(&quoted(&format!("https://{host}"))));
    }
    let is = match ids {
        [id] => format!("the key in `{}` is `{id}`", file.display()),
        _ => format!("the keys in `{}` are others", file.display()),
    };
    let message = format!("`{shown}` names no key that is trusted by this: {is}");
    let id = ids.first().map(KeyId::to_string).unwrap_or_default();
    Failure::usage(message, next(&format!("etdi:key:{id}")))
}

/// Takes over the key that follows a trusted one.
fn follow(home: &Home, statement: &str) -> Result<Report, Failure> {
    let mut anchors = anchors(home)?;
    let id = anchors.rotate(statement, system_time()).map_err(|error| {
        let failure = Failure::new(Exit::Refused, error.to_string(), "etdi keys list");
        failure.with_code(error.code())
    })?;
    save(home, &anchors)?;
    let data = json!({ "role": "publisher", "keys": [id] });
    Ok(Report::new(data, format!("trusts the key that follows:\n  {id}")))
}

fn save(home: &Home, anchors: &TrustAnchors) -> Result<(), Failure> {
    // Whoever trusts may have no key of their own yet.
    home.directory("keys")?;
    replace(&home.path().join("trust.json"), anchors.to_json().as_bytes())
}

/// Puts a file in place at once; it is open to its owner only.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let result = match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => write_private(&new, bytes).and_then(|()| std::fs::rename(&new, path)),
    };
    result.map_err(|error| {
        let message = format!("cannot write `{}`: {error}", path.display());
        Failure::usage(message, format!("ls -l {}", shown_path(path)))
    })
}

/// Makes the key that follows another, and the statement that says so.
///
/// # Errors
///
/// When there is no such key, or something cannot be written.
pub(super) fn rotate(
    arguments: &RotateArguments,
    home: &Home,
    output: Output,
) -> Result<Report, Failure> {
    let name = &arguments.name;
    let old = chest::load(home, name)?;
    let algorithm = old.verifying_key().algorithm();
    if algorithm.is_rsa() {
        let message =
            "a key of RSA signs calls and no statements, have the new one trusted instead";
        return Err(Failure::usage(message, "etdi keys generate next"));
    }
    let issuer = issuer(arguments.issuer.as_deref(), old.id())?;
    let new = chest::generate(algorithm, 0)?;
    let now = system_time();
    let statement = Rotation::new(issuer.clone(), new.verifying_key().clone(), now)
        .retire(now.plus(arguments.overlap.saturating_mul(86_400)))
        .sign(&old)
        .map_err(|error| Failure::usage(error.to_string(), "etdi keys rotate --help"))?;
    let sealed = chest::is_sealed(home, name);
    let protection = match sealed {
        true if chest::is_in_keyring(home, name) => Some(crate::keyring::protection()?),
        true => Some(crate::passphrase::needed(&format!("the key `{name}`"))?),
        false => chest::protection(false)?,
    };
    // The statement first: without it nobody follows, and the old key is still the one.
    replace(&arguments.out, format!("{statement}\n").as_bytes())?;
    let kept: String = old.id().to_string().chars().take(8).collect();
    let kept = format!("{name}-{kept}");
    chest::rename(home, name, &kept)?;
    chest::keep(home, name, &new, protection.clone())?;
    if protection.is_none() {
        output.warn(super::NOT_ENCRYPTED);
    }
    let data = json!({
        "name": name, "id": new.id(), "old": old.id(), "old_name": kept, "issuer": issuer,
        "statement": arguments.out,
    });
    let text = format!(
        "`{name}` is a new key now\n  id   {}\n  old  {} as `{kept}`\n\ngive `{}` to those who \
         trust the old key: `etdi keys trust {}`",
        new.id(),
        old.id(),
        arguments.out.display(),
        shown_path(&arguments.out)
    );
    Ok(Report::new(data, text))
}

/// Refuses something from now on, and publishes that where it is told to.
///
/// # Errors
///
/// When it names nothing, or cannot be noted.
pub(super) fn revoke(arguments: &RevokeArguments, home: &Home) -> Result<Report, Failure> {
    let revoked = named(home, &arguments.what)?;
    let now = system_time();
    let noted = revocations(home)?.revoke(revoked.clone(), arguments.reason.clone(), now);
    noted.map_err(|error| Failure::usage(error.to_string(), "etdi keys list"))?;
    if let Revoked::Key(id) = revoked {
        let mut anchors = anchors(home)?;
        anchors.revoke(id);
        save(home, &anchors)?;
        clients(home)?.remove(id).map_err(client_failure)?;
    }
    let seq = match &arguments.sign {
        None => None,
        Some(key) => Some(publish(arguments, home, key, revoked)?),
    };
    let data = json!({
        "what": arguments.what, "list": seq.map(|_| &arguments.list), "seq": seq,
    });
    let text = match seq {
        None => format!("refuses `{}` from now on", arguments.what),
        Some(seq) => format!(
            "refuses `{}` from now on, and says so in list {seq}, `{}`",
            arguments.what,
            arguments.list.display()
        ),
    };
    Ok(Report::new(data, text))
}

/// Adds it to a list, and signs that anew.
fn publish(
    arguments: &RevokeArguments,
    home: &Home,
    key: &str,
    revoked: Revoked,
) -> Result<u64, Failure> {
    let key = chest::load(home, key)?;
    let issuer = issuer(arguments.issuer.as_deref(), key.id())?;
    let path = &arguments.list;
    let damaged = |why: String| {
        let message = format!("`{}` is no list of {issuer}: {why}", path.display());
        Failure::usage(message, format!("mv {0} {0}.kept", shown_path(path)))
    };
    let before = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(damaged(error.to_string())),
        Ok(text) => {
            let own: KeyRing = super::own(home)?.into_iter().collect();
            let text = text.trim();
            let read = IssuedJws::read(text, StatementType::Revocations, AllowList::STATEMENTS)
                .map_err(|error| damaged(error.to_string()))?;
            // Only what this user has signed is signed again.
            let signed = read.kid().parse().ok().and_then(|id| own.get(id));
            let signed = signed.ok_or_else(|| damaged("none of your keys signed it".to_owned()))?;
            let claims = read.verify(signed).map_err(|error| damaged(error.to_string()))?;
            let claims: RevocationsClaims =
                serde_json::from_str(&claims).map_err(|error| damaged(error.to_string()))?;
            if claims.iss != issuer {
                return Err(damaged(format!("it is one of {}", claims.iss)));
            }
            Some(claims)
        }
    };
    let now = system_time();
    // By the clock, so that it follows a list that was signed elsewhere, or with a stolen key.
    let seq = before.as_ref().map_or(now.0, |list| list.seq.saturating_add(1).max(now.0));
    let mut list = RevocationList::new(issuer.clone(), seq, now)
        .next_update(now.plus(arguments.days.saturating_mul(86_400)));
    if let Some(before) = &before {
        list = list.keeping(before);
    }
    let list = list.revoke_because(revoked, arguments.reason.clone());
    let signed = list.sign(&key).map_err(|error| damaged(error.to_string()))?;
    replace(path, format!("{signed}\n").as_bytes())?;
    Ok(seq)
}

fn issuer(origin: Option<&str>, key: KeyId) -> Result<ProviderId, Failure> {
    let Some(origin) = origin else { return Ok(ProviderId::of_key(key)) };
    origin.parse().map_err(|error| {
        Failure::usage(format!("`{}`: {error}", origin.escape_debug()), "etdi keys --help")
    })
}

/// What a word on the command line revokes.
fn named(home: &Home, what: &str) -> Result<Revoked, Failure> {
    if let Some(id) = what.strip_prefix("jti:").filter(|id| !id.is_empty()) {
        return Ok(Revoked::Statement(id.to_owned()));
    }
    if let Ok(digest) = what.parse() {
        return Ok(Revoked::Definition(digest));
    }
    if let Ok(provider) = what.parse::<ProviderId>() {
        return Ok(provider.key().map_or(Revoked::Provider(provider), Revoked::Key));
    }
    match what.parse() {
        Ok(key) => Ok(Revoked::Key(key)),
        Err(_) if chest::exists(home, what) => Ok(Revoked::Key(chest::public(home, what)?.id())),
        Err(_) => Err(Failure::usage(
            format!(
                "`{}` is no key, and neither `jti:` and an id, a digest nor a provider",
                what.escape_debug()
            ),
            "etdi keys list",
        )),
    }
}
