//! `etdi init`: the settings for an identity provider, without a secret in them.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use etdi::config::EtdiClientConfig;
use serde_json::{Map, Value, json};

use crate::args::{InitArguments, Provider};
use crate::exit::Failure;
use crate::output::Report;
use crate::verbs::target::shown_path;

const NEXT: &str = "etdi init --help";

/// Writes the file, once it was read as it will be.
///
/// # Errors
///
/// When a value cannot be one of the settings, or there is a file already.
pub fn run(arguments: &InitArguments) -> Result<Report, Failure> {
    let settings = settings(arguments)?;
    let text = serde_json::to_string_pretty(&settings).unwrap_or_default() + "\n";
    let variables = check(&text)?;
    let path = &arguments.output;
    write(path, &text, arguments.force).map_err(|error| {
        let shown = path.display();
        if error.kind() == io::ErrorKind::AlreadyExists {
            let provider = arguments.provider.name();
            let next =
                format!("etdi init --provider {provider} --output {} --force", shown_path(path));
            let message = format!("there is `{shown}` already, and `--force` would replace it");
            return Failure::usage(message, next).with_code("EXISTS");
        }
        Failure::usage(format!("`{shown}` cannot be written: {error}"), NEXT)
    })?;
    let shown = shown_path(path);
    let data = json!({
        "file": path.display().to_string(), "provider": arguments.provider.name(),
        "security_level": arguments.security_level, "environment": variables,
    });
    let mut text = format!("wrote {shown} for {}", arguments.provider.name());
    if !variables.is_empty() {
        text.push_str(&format!("\nset in the environment: {}", variables.join(", ")));
    }
    text.push_str(&format!("\nnext: etdi validate-oauth --config {shown}"));
    Ok(Report::new(data, text))
}

fn settings(arguments: &InitArguments) -> Result<Value, Failure> {
    let given = |value: &Option<String>, name: &str, what: &str| {
        let Some(value) = value else { return Ok(format!("${{{name}}}")) };
        plain(value, what)?;
        // What looks like a variable would be taken for one when the file is read.
        Ok(value.replace("${", "$${"))
    };
    let provider = arguments.provider;
    let domain = arguments.domain.as_deref().map(|domain| match provider {
        Provider::Custom => domain.to_owned(),
        // The host is wanted, and often an address is copied.
        _ => domain.trim_start_matches("https://").trim_end_matches('/').to_owned(),
    });
    let mut oauth = Map::new();
    let mut set = |name: &str, value: Value| oauth.insert(name.to_owned(), value);
    set("provider", provider.name().into());
    set("client_id", given(&arguments.client_id, "ETDI_CLIENT_ID", "--client-id")?.into());
    set("domain", given(&domain, "ETDI_DOMAIN", "--domain")?.into());
    let needs_audience = matches!(provider, Provider::Auth0 | Provider::Azure);
    if needs_audience || arguments.audience.is_some() {
        set("audience", given(&arguments.audience, "ETDI_AUDIENCE", "--audience")?.into());
    }
    if !arguments.public_client {
        // Empty where it is not set, so that commands that need no token can read the file.
        set("client_secret", "${ETDI_CLIENT_SECRET:-}".into());
    }
    if !arguments.scope.is_empty() {
        for scope in &arguments.scope {
            plain(scope, "--scope")?;
        }
        let scopes = arguments.scope.iter().map(|scope| scope.replace("${", "$${"));
        set("scopes", scopes.collect());
    }
    let defaults = EtdiClientConfig::default();
    Ok(json!({
        "config_version": defaults.config_version,
        "security_level": arguments.security_level,
        "oauth_config": oauth,
        "allow_non_etdi_tools": defaults.allow_non_etdi_tools,
        "show_unverified_tools": defaults.show_unverified_tools,
        "enable_request_signing": defaults.enable_request_signing,
        "verification_cache_ttl": defaults.verification_cache_ttl,
    }))
}

/// A value of the command line that can stand in the settings.
fn plain(value: &str, option: &str) -> Result<(), Failure> {
    let why = match value {
        "" => "is empty",
        _ if value.chars().any(|c| c.is_whitespace() || c.is_control()) => "holds a blank",
        _ if value.len() > 512 => "has more than 512 bytes",
        _ => return Ok(()),
    };
    Err(Failure::usage(format!("the value of `{option}` {why}"), NEXT))
}

/// Reads the text as it will be read, and gives the variables that it wants from the environment.
fn check(text: &str) -> Result<Vec<String>, Failure> {
    let wanted = std::cell::RefCell::new(Vec::new());
    let environment = |name: &str| {
        wanted.borrow_mut().push(name.to_owned());
        Some("to-be-set".to_owned())
    };
    let unfit = |error: &dyn std::error::Error| {
        Failure::usage(error.to_string(), NEXT).with_code("CONFIGURATION")
    };
    let config = EtdiClientConfig::from_json(text, environment).map_err(|error| unfit(&error))?;
    if let Some(provider) = &config.oauth_config {
        provider.registered().map_err(|error| unfit(&error))?;
    }
    let mut wanted = wanted.into_inner();
    wanted.sort();
    wanted.dedup();
    Ok(wanted)
}

fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    if !force {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        return file.write_all(text.as_bytes());
    }
    // Whoever reads it meanwhile finds the old one whole.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
