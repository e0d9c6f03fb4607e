//! Why nothing could be connected at the start, said so that somebody can do something about it.
//!
//! The client of Redis says that a connection broke, or that time is over. Here each address is looked at once more,
//! without TLS and without any password, and what is found there is named with what to write instead.

use std::time::Duration;

use redis::{ConnectionAddr, ErrorKind, IntoConnectionInfo as _, ServerErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};

use crate::address::Address;
use crate::error::{Cause, RedisError};

/// How many of the addresses are looked at.
const LOOKED_AT: usize = 3;

/// For how long each step of that is waited.
const STEP: Duration = Duration::from_secs(1);

/// Refuses addresses that are none, without showing the passwords in them, and those without TLS where certificates
/// for it are named: whoever names them does not want a password said in the clear.
///
/// # Errors
///
/// [`RedisError::Config`], with what an address looks like.
pub(crate) fn check(address: &Address) -> Result<(), RedisError> {
    let urls = address.urls();
    if urls.is_empty() {
        let text = "no address is named, write one such as `redis://127.0.0.1:6379`";
        return Err(RedisError::Config(text.to_owned()));
    }
    for url in urls {
        let server = url.as_str().into_connection_info().map_err(|error| {
            let why = error.to_string();
            let why = why.split(" - ").next().unwrap_or_default();
            RedisError::Config(format!(
                "`{}` is no address of Redis ({why}): write `redis://HOST:PORT`, or `rediss://HOST:PORT` over TLS, \
                 with `NAME:PASSWORD@` before the host where it asks for them and `/DATABASE` after the port",
                shown(url)
            ))
        })?;
        if address.names_certificates() && !matches!(server.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err(RedisError::Config(format!(
                "`{}` is without TLS, and authorities or a certificate are named: write `rediss://HOST:PORT`, or name none",
                shown(url)
            )));
        }
    }
    Ok(())
}

/// An address without user, password and settings; of what is no address nothing that could be one of them, as far as
/// that can be told: where the host was forgotten, what stands in its place is taken for one.
fn shown(url: &str) -> String {
    let hidden = || "…".to_owned();
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("unix" | "redis+unix" | "valkey+unix"), _)) => {
            return format!("{scheme}://…");
        }
        Some((scheme, rest)) => (scheme, rest),
        None => return hidden(),
    };
    // Of what cannot be read the host is what follows the one sign that ends a password.
    if !url.contains('@') && url.into_connection_info().is_err() {
        return hidden();
    }
    let (before, settings) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = before.rsplit_once('@').unwrap_or(("", before));
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    // With one more `@` it cannot be told where a password ends.
    let is_plain = !user.contains('@')
        && !settings.contains('@')
        && is_host(name)
        && (port.is_empty() || port.parse::<u16>().is_ok())
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '+');
    if is_plain { format!("{scheme}://{host}") } else { hidden() }
}

/// Whether it is a name or an address, and no password after a `:` that was typed for `@`.
fn is_host(name: &str) -> bool {
    let (name, more) = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => (address, ":%"),
        None => (name, "_"),
    };
    let fits =
        |letter: char| letter.is_alphanumeric() || ".-".contains(letter) || more.contains(letter);
    !name.is_empty() && name.chars().all(fits)
}

/// The same error with where it was met, and what to do about it.
pub(crate) async fn explained(address: &Address, error: RedisError) -> RedisError {
    let (cause, is_refusal) = match error {
        RedisError::Unreachable(cause) => (cause, false),
        RedisError::Refused(cause) => (cause, true),
        RedisError::TooSlow(_) => (late().into(), false),
        RedisError::Damaged(shape) => {
            (redis::RedisError::from((ErrorKind::Parse, shape)).into(), false)
        }
        RedisError::Config(text) if text.contains("not point to a sentinel") => {
            return RedisError::Config(format!(
                "what answers at {} is no sentinel: name the ports of sentinels, 26379 as a rule, or one server \
                 with `Address::one`",
                all_shown(address)
            ));
        }
        other => return other,
    };
    let urls = address.urls();
    let mut told: Vec<String> = Vec::new();
    match by_its_words(address, &cause) {
        Some(advice) => {
            told.push(format!("{}: {advice}", all_shown(address)));
        }
        // It is there and answers: its words are all that there is to say.
        None if is_refusal => told.push(format!(
            "{}: {}: see its rights, its role, its replicas and its version (7 or newer)",
            all_shown(address),
            cause.said()
        )),
        None => {
            for url in urls.iter().take(LOOKED_AT) {
                told.push(format!("`{}`: {}", shown(url), look(url, &cause).await));
            }
        }
    }
    let cause = cause.told(told.join("; "));
    if is_refusal { RedisError::Refused(cause) } else { RedisError::Unreachable(cause) }
}

fn all_shown(address: &Address) -> String {
    let all = address.urls().iter().take(LOOKED_AT).map(|url| format!("`{}`", shown(url)));
    all.collect::<Vec<_>>().join(", ")
}

fn late() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// What follows from the answer alone.
fn by_its_words(address: &Address, cause: &Cause) -> Option<String> {
    let (said, words) = (cause.said(), cause.said().to_string());
    let is = |code: &str| cause.is(code);
    if said.kind() == ErrorKind::AuthenticationFailed || is("NOAUTH") || is("WRONGPASS") {
        return Some(
            "it wants a user and a password, or others than these: write \
             `redis://NAME:PASSWORD@HOST:PORT`, with `%` and two digits for signs such as `@` and `/`"
                .to_owned(),
        );
    }
    if is("NOPERM") {
        return Some(
            "the user may not do what is needed: docs/deploy.md has the rights, under `Settings of Redis`"
                .to_owned(),
        );
    }
    if is("NOREPLICAS") {
        return Some(
            "its replicas are not there (`min-replicas-to-write`): see that they run and follow it, or have the \
             start wait for them (`RedisStoresBuilder::wait`)"
                .to_owned(),
        );
    }
    if is("READONLY") {
        return Some(
            "that is a replica: name its master, or its sentinels with `Address::sentinel`"
                .to_owned(),
        );
    }
    if words.contains("cluster support disabled") {
        return Some("that is one server and no cluster: name it with `Address::one`".to_owned());
    }
    if said.kind() == ErrorKind::Server(ServerErrorKind::Moved) {
        return Some("that is one of a cluster: name it with `Address::cluster`".to_owned());
    }
    let is_unknown = words.to_lowercase().contains("unknown command");
    match address.service() {
        Some(service) if said.kind() == ErrorKind::MasterNameNotFoundBySentinel => Some(format!(
            "no sentinel there knows a master `{service}` that answers: see its name (`sentinel monitor`) and whether it runs"
        )),
        None if is_unknown => {
            Some("that is a sentinel, or older than version 7: sentinels are named with `Address::sentinel`".to_owned())
        }
        _ => None,
    }
}

/// What is found at an address, and what to do about it.
async fn look(url: &str, cause: &Cause) -> String {
    let Ok(server) = url.into_connection_info() else { return "it is no address".to_owned() };
    let (host, port, tls) = match server.addr() {
        ConnectionAddr::Tcp(host, port) => (host, *port, false),
        ConnectionAddr::TcpTls { host, port, .. } => (host, *port, true),
        _ => return format!("{}: see that Redis runs and that this is its socket", cause.said()),
    };
    match probe(host, port).await {
        Found::NoName => format!("the name `{host}` is not known here: see its spelling, and the DNS"),
        Found::Nobody => "nothing listens there: see that Redis runs, on this port, and on an address that others \
                          reach (`bind`)"
            .to_owned(),
        Found::NoWay(why) => format!("no connection is made ({why}): see its host, its port, and firewalls on the way"),
        Found::Silent => "it takes connections and answers nothing: see whether it is paused or overloaded, and whether \
                          it is a Redis"
            .to_owned(),
        Found::Other => "what answers there is no Redis: see the port".to_owned(),
        Found::Clear if tls => "it answers there without TLS: name its port for TLS (`tls-port`), or `redis://` where \
                                nobody else is on the way"
            .to_owned(),
        Found::Sealed if !tls => "it closes what is not TLS: write `rediss://`, where that is its port for TLS".to_owned(),
        Found::Sealed => of_tls(host, cause),
        Found::Clear => format!("it answers, and then not ({}): see whether it is overloaded", cause.said()),
    }
}

/// Whether a certificate does not fit, which no time mends.
pub(crate) fn is_of_certificate(cause: &Cause) -> bool {
    let words = cause.said().to_string();
    let known = [UNTRUSTED, ELSEWHERE, &["CertificateRequired"]];
    known.into_iter().flatten().any(|part| words.contains(part))
}

const UNTRUSTED: &[&str] = &["UnknownIssuer", "BadSignature"];
const ELSEWHERE: &[&str] = &["NotValidForName", "not valid for name"];

/// What TLS says of the certificate.
fn of_tls(host: &str, cause: &Cause) -> String {
    let words = cause.said().to_string();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if has(UNTRUSTED) {
        return "no authority that this node trusts has signed its certificate: name yours with `Address::authorities`"
            .to_owned();
    }
    if has(ELSEWHERE) {
        return format!("its certificate is not for `{host}`: write the host that it is for");
    }
    if has(&["Expired", "expired", "NotValidYet", "not valid yet"]) {
        return "its certificate is not valid now: renew it, or set the clock".to_owned();
    }
    if has(&["CertificateRequired"]) {
        return "it wants a certificate of its clients: give it one with `Address::certificate`"
            .to_owned();
    }
    format!("TLS fails ({words}): see its certificate and its versions of TLS")
}

enum Found {
    NoName,
    Nobody,
    NoWay(String),
    Silent,
    /// It closes, or says so in TLS.
    Sealed,
    /// A Redis without TLS.
    Clear,
    Other,
}

/// Says `PING` in the clear.
async fn probe(host: &str, port: u16) -> Found {
    let step = async |found| tokio::time::timeout(STEP, found).await.ok();
    if tokio::time::timeout(STEP, lookup_host((host, port))).await.is_ok_and(|found| found.is_err())
    {
        return Found::NoName;
    }
    let mut stream = match step(TcpStream::connect((host, port))).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Found::Nobody;
        }
        Some(Err(error)) => return Found::NoWay(error.to_string()),
        None => return Found::NoWay("no packet comes back".to_owned()),
    };
    let mut answer = [0; 5];
    let asked = async {
        stream.write_all(b"PING\r\n").await?;
        stream.read(&mut answer).await
    };
    match tokio::time::timeout(STEP, asked).await {
        Err(_) => Found::Silent,
        Ok(Ok(0) | Err(_)) => Found::Sealed,
        Ok(Ok(_)) => match answer {
            [b'+', b'P', ..] | [b'-', b'A'..=b'Z', ..] => Found::Clear,
            // A record of TLS, an alert.
            [0x15, 3, ..] => Found::Sealed,
            _ => Found::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, wanted) in [
            ("redis://ada:secret@db:6379/2?protocol=3", "redis://db:6379"),
            ("rediss://:secret@[::1]:6379", "rediss://[::1]:6379"),
            ("ada:secret@db:6379", "…"),
            ("redis://:secret:6379", "…"),
            ("redis://ada:secret:6379", "…"),
            ("redis://ada:secret:6379@db:6379", "redis://db:6379"),
            ("redis://ada:secret:db:6379", "…"),
            ("redis://ada secret", "…"),
            ("redis://ada:se@cret@[::1]:1", "…"),
            ("redis://ada@secret:db:6379", "…"),
            ("redis:ada:12345", "…"),
            ("secret:12345", "…"),
            ("http://secret:12345", "…"),
            ("redis://db_1.example:6379", "redis://db_1.example:6379"),
            ("redis://:secret", "…"),
            ("redis://ada:secret", "…"),
            ("redis://ada:se@cr@et", "…"),
            ("redis://ada:12/34@db:6379", "…"),
            ("redis://ada:123456", "…"),
            ("redis://db:6379/?pass=se@cret", "…"),
            ("localhost:6379", "…"),
            ("redis:ada:secret", "…"),
            ("redis+unix:///run/redis.sock?pass=se@cret123", "redis+unix://…"),
        ] {
            assert_eq!(shown(url), wanted, "{url}");
        }
        let check = |address: Address| check(&address).map_err(|error| error.to_string());
        let refused = check(Address::one("redis://ada:secret@db:port")).unwrap_err();
        assert!(refused.contains("`…` is no address of Redis") && !refused.contains("secret"));
        assert!(check(Address::cluster(Vec::<String>::new())).is_err());
        check(Address::cluster(["redis://:secret@db", "valkeys://db:1"])).unwrap();
    }

    #[test]
    fn certificates_are_for_tls() {
        let all = |urls: [&str; 2]| {
            [Address::cluster(urls), Address::sentinel(urls, "shop"), Address::one(urls[1])]
        };
        for address in all(["rediss://db:1", "redis://ada:secret@db:2"]) {
            check(&address).unwrap();
            for address in [address.clone().authorities("ours"), address.certificate("ours", "key")]
            {
                let refused = check(&address).unwrap_err().to_string();
                assert!(refused.contains("`redis://db:2` is without TLS"), "{refused}");
                assert!(!refused.contains("secret"), "{refused}");
            }
        }
        for address in all(["rediss://db:1", "valkeys://db:2"]) {
            check(&address.authorities("ours").certificate("ours", "key")).unwrap();
        }
    }
}
