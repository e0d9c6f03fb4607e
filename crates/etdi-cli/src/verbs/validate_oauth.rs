//! `etdi validate-oauth`: whether the settings for a provider are right, and whose fault it is if not.

use std::sync::Arc;

use etdi::config::{EtdiClientConfig, OAuthConfig};
use etdi_oauth::inspect::{OAuthValidator, Outcome, ProviderReport, Whose};
use etdi_oauth::{GuardedFetch, Rules};
use serde_json::json;

use crate::args::ValidateOauthArguments;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Report, style};
use crate::verbs::debug_token::style_of;
use crate::verbs::target::block_on;

const NEXT: &str = "etdi validate-oauth --help";

/// Asks the provider and reports.
///
/// # Errors
///
/// When there are no settings to check, or they cannot be read.
pub fn run(arguments: &ValidateOauthArguments, output: Output) -> Result<Report, Failure> {
    let config = settings(arguments)?;
    let client = config
        .registered()
        .map_err(|error| Failure::usage(error.to_string(), NEXT).with_code("CONFIGURATION"))?;
    if config.client_secret.as_ref().is_some_and(|secret| secret.reveal().is_empty()) {
        output.warn(
            "`client_secret` is there and empty: set `ETDI_CLIENT_SECRET`, or take it out where the client is \
             registered as a public one",
        );
    }
    let rules = rules_for(&client.issuer);
    let loopback = rules.loopback;
    let validator = OAuthValidator::new(Arc::new(GuardedFetch::new(rules)));
    let validator = if loopback { validator.loopback() } else { validator };
    output.progress(&format!("asking {}", client.issuer));
    let report =
        block_on(async { Ok(validator.validate_provider(&client, &config.scopes).await) })?;
    let exit = exit(&report);
    Ok(Report::new(json!(report), told(&report)).ending(exit))
}

fn settings(arguments: &ValidateOauthArguments) -> Result<OAuthConfig, Failure> {
    let unfit = |error: etdi::config::ConfigError| {
        Failure::usage(error.to_string(), NEXT).with_code("CONFIGURATION")
    };
    let config = match &arguments.config {
        Some(path) => EtdiClientConfig::read(path).map_err(unfit)?,
        None => EtdiClientConfig::load().map_err(unfit)?,
    };
    let mut config = match (config.oauth_config, &arguments.provider) {
        (Some(config), _) => config,
        (None, Some(_)) => OAuthConfig::default(),
        (None, None) => {
            let message = "there are no settings of a provider, expected `oauth_config` in a file or \
                           `--provider`, `--client-id` and `--domain`";
            return Err(Failure::usage(message, NEXT).with_code("CONFIGURATION"));
        }
    };
    for (given, setting) in [
        (&arguments.provider, &mut config.provider),
        (&arguments.client_id, &mut config.client_id),
        (&arguments.domain, &mut config.domain),
    ] {
        if let Some(given) = given {
            setting.clone_from(given);
        }
    }
    if arguments.audience.is_some() {
        config.audience.clone_from(&arguments.audience);
    }
    if !arguments.scope.is_empty() {
        config.scopes.clone_from(&arguments.scope);
    }
    Ok(config)
}

/// What the rules of fetching are for an issuer that the user names: one on this computer is meant.
pub(super) fn rules_for(issuer: &str) -> Rules {
    let mut rules = Rules::default();
    rules.loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"]
        .iter()
        .filter_map(|start| issuer.strip_prefix(start))
        .any(|rest| rest.is_empty() || rest.starts_with([':', '/']));
    rules
}

fn exit(report: &ProviderReport) -> Exit {
    let failed = report.steps.iter().find(|step| step.outcome == Outcome::Failed);
    match failed.and_then(|step| step.whose) {
        None => Exit::Done,
        Some(Whose::Settings) => Exit::Usage,
        Some(Whose::Network) => Exit::Unreachable,
        Some(Whose::Provider) => Exit::ProtocolViolation,
    }
}

fn told(report: &ProviderReport) -> String {
    let bold = style::BOLD;
    let mut text = format!("{bold}{}{bold:#}\n", report.issuer);
    for step in &report.steps {
        let colour = match step.outcome {
            Outcome::Passed => style::GOOD,
            Outcome::Warned => style::WARN,
            Outcome::Failed => style_of(step.severity),
        };
        text.push_str(&format!("  {colour}{}{colour:#} {}\n", step.outcome, step.what));
        let whose = match step.whose {
            Some(Whose::Settings) => "your settings",
            Some(Whose::Network) => "the network",
            Some(Whose::Provider) => "the provider",
            None => continue,
        };
        let advice = step.advice.unwrap_or_default();
        text.push_str(&format!("         {whose}: {advice}\n"));
    }
    let said = |holds: bool| if holds { "yes" } else { "no" };
    text.push_str(&format!(
        "settings right: {}, provider reached: {}, {} of 100",
        said(report.configuration_valid),
        said(report.is_reachable),
        report.score
    ));
    text
}
