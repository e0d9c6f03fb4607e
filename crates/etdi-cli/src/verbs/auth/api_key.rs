//! `etdi auth api-key`: the API keys of a file.

use std::path::Path;

use etdi::core::change::visible;
use etdi::core::time::UnixTime;
use etdi_oauth::{ApiKey, ApiKeyError, ApiKeys};
use serde_json::json;

use crate::args::ApiKeyCommand;
use crate::exit::{Exit, Failure};
use crate::output::{Report, table};
use crate::verbs::target::{quoted, shown_path};

/// Runs one of them.
///
/// # Errors
///
/// When the file cannot be read or written, a name is taken, or there is no such key.
pub(super) fn run(command: &ApiKeyCommand, now: UnixTime) -> Result<Report, Failure> {
    match command {
        ApiKeyCommand::New { file, name, scope, days } => {
            let keys = ApiKeys::open(file).map_err(|error| failed(&error, file))?;
            let end = days.map(|days| now.plus(u64::from(days) * 86_400));
            let made = keys.create(name, scope, end, now);
            let made = made.map_err(|error| failed(&error, file))?;
            // The one thing that is printed and kept nowhere: it is what was asked for.
            let data =
                json!({ "name": name, "key": made.expose(), "scopes": scope, "expires": end });
            Ok(Report::new(data, made.expose()))
        }
        ApiKeyCommand::List { file } => {
            let keys = open(file)?.list();
            let data = json!({ "keys": keys.iter().map(|key| data(key, now)).collect::<Vec<_>>() });
            let rows = keys.iter().map(|key| {
                let scopes: Vec<_> = key.scopes.iter().map(String::as_str).collect();
                [
                    visible(&key.name).into_owned(),
                    visible(&scopes.join(" ")).into_owned(),
                    key.created.to_string(),
                    state(key, now),
                ]
            });
            let rows: Vec<_> = rows.collect();
            Ok(Report::new(data, table(["name", "scopes", "made", "counts"], rows)))
        }
        ApiKeyCommand::Revoke { file, name } => {
            let keys = open(file)?;
            if !keys.revoke(name, now).map_err(|error| failed(&error, file))? {
                let message =
                    format!("{} has no key `{}` that counts", shown_path(file), visible(name));
                return Err(Failure::usage(message, listing(file)));
            }
            let text = format!("the key of `{}` counts no more", visible(name));
            Ok(Report::new(json!({ "name": name, "revoked": now }), text))
        }
    }
}

/// The keys of a file that is there.
fn open(file: &Path) -> Result<ApiKeys, Failure> {
    if !file.is_file() {
        let message = format!("there is no file {}", shown_path(file));
        let next = format!("etdi auth api-key new {} NAME", quoted(&file.to_string_lossy()));
        return Err(Failure::usage(message, next));
    }
    ApiKeys::open(file).map_err(|error| failed(&error, file))
}

fn data(key: &ApiKey, now: UnixTime) -> serde_json::Value {
    json!({
        "name": key.name, "scopes": key.scopes, "created": key.created, "expires": key.expires,
        "revoked": key.revoked, "counts": counts(key, now),
    })
}

fn counts(key: &ApiKey, now: UnixTime) -> bool {
    key.revoked.is_none() && key.expires.is_none_or(|end| end > now)
}

fn state(key: &ApiKey, now: UnixTime) -> String {
    match (key.revoked, key.expires) {
        (Some(at), _) => format!("no, revoked at {at}"),
        (None, Some(end)) if end <= now => format!("no, it ended at {end}"),
        (None, Some(end)) => format!("until {end}"),
        (None, None) => "until it is revoked".to_owned(),
    }
}

fn listing(file: &Path) -> String {
    format!("etdi auth api-key list {}", quoted(&file.to_string_lossy()))
}

fn failed(error: &ApiKeyError, file: &Path) -> Failure {
    let next = match error {
        ApiKeyError::Name { .. } => listing(file),
        _ => format!("ls -l {}", quoted(&file.to_string_lossy())),
    };
    let source = std::error::Error::source(error);
    let why = source.map_or_else(String::new, |source| format!(": {source}"));
    Failure::new(Exit::Usage, visible(&format!("{error}{why}")), next).with_code("API_KEYS")
}
