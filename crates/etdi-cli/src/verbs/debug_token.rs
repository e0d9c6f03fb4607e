//! `etdi debug-token`: what a token says, and what is wrong with it.

use std::io::Read;
use std::sync::Arc;

use etdi_core::change::visible;
use etdi_core::time::UnixTime;
use etdi_oauth::inspect::{Issue, Severity, TokenDebugger, TokenDifference, TokenReport};
use etdi_oauth::provider::ClaimShape;
use etdi_oauth::{Clock, GuardedFetch, Issuer, JwtVerifier};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::args::DebugTokenArguments;
use crate::exit::{Exit, Failure};
use crate::output::{Report, style};
use crate::verbs::target::block_on;
use crate::verbs::validate_oauth::rules_for;

const NEXT: &str = "etdi debug-token --help";

/// The most bytes that are read; a longer text is no token.
const MOST: u64 = 64 << 10;

/// What no time of a token is at or after.
const YEAR_10000: u64 = 253_402_300_800;

/// Reports on one token.
///
/// # Errors
///
/// When there is none to read, or the issuer cannot be one.
pub fn run(arguments: &DebugTokenArguments) -> Result<Report, Failure> {
    let token = match (&arguments.token, &arguments.from) {
        (Some(token), _) => Zeroizing::new(token.clone()),
        (None, Some(from)) if from.matches('.').count() >= 2 && from.starts_with("ey") => {
            Zeroizing::new(from.clone())
        }
        (None, Some(from)) => read(from)?,
        (None, None) => read("-")?,
    };
    let debugger = TokenDebugger::new(Clock::system().now());
    let report = match (&arguments.issuer, &arguments.audience) {
        (Some(issuer), Some(audience)) => {
            // What issuers from before RFC 9068 write counts too: this looks, and lets nobody in.
            let named = Issuer::new(issuer, audience).shape(ClaimShape::default().plain_jwt());
            let fetch = Arc::new(GuardedFetch::new(rules_for(issuer)));
            let verifier = JwtVerifier::new(named, fetch)
                .map_err(|error| Failure::usage(error.to_string(), NEXT))?;
            block_on(async { Ok(debugger.verify_token(token.trim(), &verifier).await) })?
        }
        _ => debugger.debug_token(&token),
    };
    let other = arguments.compare.as_ref().map(|file| read(&file.to_string_lossy())).transpose()?;
    let difference = other.map(|other| report.compared_with(&debugger.debug_token(&other)));
    let grave = report.issues.iter().any(|issue| issue.severity >= Severity::High);
    let mut data = json!(report);
    if let (Some(data), Some(difference)) = (data.as_object_mut(), &difference) {
        data.insert("difference".to_owned(), json!(difference));
    }
    let exit = if grave { Exit::Refused } else { Exit::Done };
    Ok(Report::new(data, told(&report, arguments.issuer.is_some(), difference.as_ref()))
        .ending(exit))
}

fn read(from: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: std::io::Error| {
        let what =
            if from == "-" { "standard input".to_owned() } else { visible(from).into_owned() };
        Failure::usage(
            format!("`{what}` is no token and cannot be read as a file of one: {error}"),
            NEXT,
        )
    };
    let mut text = Zeroizing::new(String::new());
    let read = match from {
        "-" => std::io::stdin().take(MOST).read_to_string(&mut text),
        path => {
            std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text))
        }
    };
    read.map_err(failed)?;
    match text.trim().is_empty() {
        true => Err(Failure::usage("there is no token to look into", "etdi debug-token FILE")),
        false => Ok(text),
    }
}

fn told(report: &TokenReport, asked: bool, difference: Option<&TokenDifference>) -> String {
    let bold = style::BOLD;
    let mut text = String::new();
    for (part, said) in [("header", &report.header), ("claims", &report.claims)] {
        let Some(said) = said else { continue };
        text.push_str(&format!("{bold}{part}{bold:#}\n"));
        let members: serde_json::Map<String, Value> = said.parse().unwrap_or_default();
        for (name, value) in members {
            let shown = match (name.as_str(), value.as_u64()) {
                // RFC 7519, section 4.1: seconds since 1970.
                ("exp" | "nbf" | "iat" | "auth_time", Some(at)) if at < YEAR_10000 => {
                    format!("{at} ({})", UnixTime(at))
                }
                _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            };
            text.push_str(&format!("  {:<16} {}\n", visible(&name), visible(&shown)));
        }
    }
    if !report.issues.is_empty() {
        text.push_str(&format!("{bold}issues{bold:#}\n"));
    }
    for Issue { code, severity, what, advice, .. } in &report.issues {
        let colour = style_of(*severity);
        let word = severity.word();
        text.push_str(&format!(
            "  {colour}{word:<8}{colour:#} {what}\n           {code}: {advice}\n"
        ));
    }
    let verdict = match (report.valid, report.verified) {
        (true, _) => "valid: the issuer signed it for this audience, and nothing grave was found",
        (false, Some(true)) => "not valid: the issuer signed it, but see above",
        (false, Some(false)) => "not valid: it was refused",
        (false, None) if !report.well_formed => "not a signed token",
        (false, None) if asked => "not verified: the issuer could not be asked, see above",
        (false, None) => "not verified: name --issuer and --audience to have its signature checked",
    };
    text.push_str(&format!("{bold}{verdict}{bold:#}\n"));
    for change in difference.into_iter().flat_map(|difference| &difference.changes) {
        let said = |one: &Option<String>| {
            one.as_deref().map_or("nothing".to_owned(), |one| visible(one).into_owned())
        };
        let (first, second) = (said(&change.first), said(&change.second));
        text.push_str(&format!("  {}: {first}, the other {second}\n", visible(&change.member)));
    }
    text
}

pub(super) fn style_of(severity: Severity) -> clap::builder::styling::Style {
    match severity {
        Severity::Critical | Severity::High => style::BAD,
        Severity::Medium => style::WARN,
        _ => style::DIM,
    }
}
