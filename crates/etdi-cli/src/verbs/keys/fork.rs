//! `etdi keys import`: keys of the Python SDK.

use std::path::Path;

use etdi::core::change::visible;
use etdi_core::legacy::ForkKey;
use serde_json::json;

use super::chest;
use crate::exit::Failure;
use crate::home::Home;
use crate::output::{Output, Report};
use crate::verbs::target::shown_path;

const ENDING: &str = ".private.pem";

/// Takes a key over, under the name that it had or another.
///
/// # Errors
///
/// When the file is no such key, its companions are about another, or the name is taken or no name.
pub(super) fn import(
    file: &Path,
    name: Option<&str>,
    encrypt: bool,
    home: &Home,
    output: Output,
) -> Result<Report, Failure> {
    let look = || format!("ls -la {}", shown_path(file.parent().unwrap_or(file)));
    let id = file.file_name().and_then(|name| name.to_str()?.strip_suffix(ENDING));
    let Some(id) = id else {
        let message = format!("`{}` is no `NAME{ENDING}` of the Python SDK", file.display());
        return Err(Failure::usage(message, look()));
    };
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty());
    let key = ForkKey::read(directory.unwrap_or(Path::new(".")), id).map_err(|error| {
        let why = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Failure::usage(format!("{error}{}", why.unwrap_or_default()), look())
    })?;
    let name = name.unwrap_or(&key.key_id);
    let protection = chest::protection(encrypt)?;
    let encrypted = protection.is_some();
    let path = chest::keep(home, name, &key.key, protection)?;
    if !encrypted {
        output.warn(super::NOT_ENCRYPTED);
    }
    let ended = key.expires_at.as_deref().map_or_else(String::new, |until| {
        format!(", it ended there at {} (a local time)", visible(until))
    });
    let (public, algorithm) =
        (super::public(key.key.verifying_key())?, key.key.verifying_key().algorithm().name());
    let data = json!({
        "name": name, "id": key.key.id(), "algorithm": algorithm, "path": path,
        "encrypted": encrypted, "was": key.key_id, "created_at": key.created_at,
        "expires_at": key.expires_at, "public": public,
    });
    let text = format!(
        "took over key `{name}` ({algorithm}){ended}\n  id    {}\n  file  {}\n\nit lay unencrypted \
         where it came from: verify with it what it signed, and sign with a new one, `etdi keys generate`",
        key.key.id(),
        path.display()
    );
    Ok(Report::new(data, text))
}
