//! From a text to settings: variables of the environment, unknown keys, values that do not fit.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ConfigError, EtdiClientConfig, OAuthConfig};

/// Reads settings of any form whose keys are those that its default writes.
pub(super) fn read(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<EtdiClientConfig, ConfigError> {
    let mut value: Value = serde_json::from_str(text).map_err(ConfigError::Json)?;
    let mut known = schema(&EtdiClientConfig::default());
    if let Some(known) = known.as_object_mut() {
        known.insert("oauth_config".to_owned(), schema(&OAuthConfig::default()));
        known.insert("policy".to_owned(), schema(&etdi_core::level::Policy::default()));
    }
    check_keys("", &value, &known)?;
    expand("", &mut value, environment)?;
    typed("", value)
}

fn schema(of: &impl Serialize) -> Value {
    // Settings always have a JSON form.
    serde_json::to_value(of).unwrap_or_default()
}

/// Reads a value, and says of which member it is that it does not fit.
fn typed<T: DeserializeOwned>(path: &str, value: Value) -> Result<T, ConfigError> {
    let members = value.as_object().cloned();
    serde_json::from_value(value).map_err(|error| {
        let found = members.into_iter().flatten().find(|(name, value)| {
            let alone = serde_json::json!({ name.as_str(): value });
            serde_json::from_value::<EtdiClientConfig>(alone).is_err()
        });
        let path = found.map_or_else(|| path.to_owned(), |(name, _)| name);
        ConfigError::Value { path, message: error.to_string() }
    })
}

/// Below this an object has keys of the user's own choice.
const FREE: [&str; 2] = ["trust.trusted_providers", "trust.revocation_lists"];

/// Settings by another name, as the Python fork's examples have them.
const ALIASES: [(&str, &str); 1] = [("storage_config.path", "storage_config.storage_path")];

/// What configuration files of deployments also hold, and a client has no use for.
const ELSEWHERE: [(&str, &str); 3] = [
    (
        "server_config",
        "a server is named by `server!()` and listens where its program says, such as \
         `HttpServer::new(server).listen(\"127.0.0.1:8000\")`; take it out",
    ),
    (
        "logging",
        "log lines go where the program's `tracing` subscriber sends them, by its own filter such as \
         `RUST_LOG`, and what is decided goes to `audit`; take it out",
    ),
    (
        "monitoring",
        "`options.enable_metrics` has `EtdiClient::get_stats` count, and pages for health or metrics \
         are routes of the program's own; take it out",
    ),
];

fn check_keys(path: &str, value: &Value, known: &Value) -> Result<(), ConfigError> {
    let (Some(value), Some(known)) = (value.as_object(), known.as_object()) else { return Ok(()) };
    for (name, inner) in value {
        let inside = joined(path, name);
        let Some(known_inner) = known.get(name) else {
            if let Some((_, instead)) = ELSEWHERE.iter().find(|(one, _)| *one == inside) {
                return Err(ConfigError::Elsewhere { path: inside, instead });
            }
            let alias = ALIASES.iter().find(|(alias, _)| *alias == inside);
            let nearest = match alias {
                Some((_, meant)) => Some((*meant).to_owned()),
                None => nearest(name, known.keys()).map(|near| joined(path, near)),
            };
            return Err(ConfigError::Unknown { path: inside, nearest });
        };
        if !FREE.contains(&inside.as_str()) {
            check_keys(&inside, inner, known_inner)?;
        }
    }
    Ok(())
}

/// The known name that looks most like one; also where it is written in camel case.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let name = plain(name);
    let near = |known: &&String| strsim::jaro_winkler(&plain(known), &name);
    let best = known.max_by(|left, right| near(left).total_cmp(&near(right)))?;
    (near(&best) > 0.7).then_some(best)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Puts variables into texts; names of members and everything else stays as it is.
fn expand(
    path: &str,
    value: &mut Value,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    match value {
        Value::String(text) if text.contains("${") => *text = expanded(path, text, environment)?,
        Value::Array(parts) => {
            for (index, part) in parts.iter_mut().enumerate() {
                expand(&format!("{path}[{index}]"), part, environment)?;
            }
        }
        Value::Object(members) => {
            for (name, inner) in members.iter_mut() {
                expand(&joined(path, name), inner, environment)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn expanded(
    path: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let placeholder = || ConfigError::Placeholder { path: path.to_owned() };
        let (inside, after) = after.split_once('}').ok_or_else(placeholder)?;
        let (name, otherwise) = match inside.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (inside, None),
        };
        // As in shells, an empty value counts as none where there is another.
        let value = environment(name).filter(|value| otherwise.is_none() || !value.is_empty());
        match value.as_deref().or(otherwise) {
            Some(value) => out.push_str(value),
            None => {
                let (path, name) = (path.to_owned(), name.to_owned());
                return Err(ConfigError::Unset { path, name });
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
