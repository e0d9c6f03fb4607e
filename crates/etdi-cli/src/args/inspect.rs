//! The arguments of the commands that look for a fault.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use etdi_core::analyze::SecurityAnalyzer;

use crate::exit::Failure;
use crate::inspector::found::FailOn;
use crate::output::Output;

/// Options of `etdi debug-token`.
#[derive(Debug, Args)]
#[command(after_help = "The token comes from standard input where it is not given:\n  \
pbpaste | etdi debug-token\n\nExit codes: 0 nothing grave was found, 6 something was.")]
pub struct DebugTokenArguments {
    /// A file that holds the token, `-` for standard input, or the token itself.
    #[arg(value_name = "FILE")]
    pub from: Option<String>,
    /// The token itself; others on this computer can see it while the command runs.
    #[arg(long, value_name = "TOKEN", conflicts_with = "from")]
    pub token: Option<String>,
    /// Have it verified with the keys of this issuer.
    #[arg(long, value_name = "URL", requires = "audience")]
    pub issuer: Option<String>,
    /// For whom it has to be.
    #[arg(long, value_name = "URL", requires = "issuer")]
    pub audience: Option<String>,
    /// Say what the token in this file says differently.
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
}

/// Options of `etdi validate-oauth`.
#[derive(Debug, Args)]
#[command(
    after_help = "A secret is taken from the settings or from ETDI_CLIENT_SECRET, and is sent \
nowhere.\n\nExit codes: 0 all holds, 1 the settings are wrong, 4 the provider is out of reach, 5 the \
provider is at fault."
)]
pub struct ValidateOauthArguments {
    /// The settings to check: a file with `oauth_config`. Without it what `ETDI_CONFIG_PATH` names.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// auth0, okta, azure or custom.
    #[arg(long, short, value_name = "NAME")]
    pub provider: Option<String>,
    /// The client's id there.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// The provider's host, an Azure tenant, or the issuer of another provider.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// The API that tokens are for.
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,
    /// A scope that is wanted.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
}

/// In which form findings are printed, and which are too many.
#[derive(Debug, Args)]
pub struct Forms {
    /// Exit with 6 if there is a finding at least so grave (low, medium, high, critical), or a
    /// definition of at least this risk (0 to 1).
    #[arg(long, value_name = "SEVERITY|RISK", default_value = "never")]
    pub fail_on: FailOn,
    /// Print SARIF 2.1.0, for code scanning.
    #[arg(long, conflicts_with = "github")]
    pub sarif: bool,
    /// Print annotations for a workflow on GitHub.
    #[arg(long)]
    pub github: bool,
    /// The file that findings are put at in SARIF and annotations, such as where you name the server.
    #[arg(long, value_name = "FILE")]
    pub at: Option<String>,
    /// Show what is of low severity as well.
    #[arg(long)]
    pub all: bool,
    /// Take a tool for which nobody signs as a finding.
    #[arg(long)]
    pub expect_etdi: bool,
}

impl Forms {
    /// What looks into definitions, at this time.
    pub fn analyzer(&self) -> SecurityAnalyzer {
        let analyzer = SecurityAnalyzer::new().at(etdi::system_time());
        if self.expect_etdi { analyzer.expecting_etdi() } else { analyzer }
    }

    /// Whether the forms that are asked for go together.
    ///
    /// # Errors
    ///
    /// When two forms are asked for.
    pub fn check(&self, output: Output) -> Result<(), Failure> {
        match output.is_json() && (self.sarif || self.github) {
            true => Err(Failure::usage(
                "`--json` is one form and `--sarif` or `--github` another, name one",
                "etdi analyze --help",
            )),
            false => Ok(()),
        }
    }
}

/// Options of `etdi analyze`.
#[derive(Debug, Args)]
#[command(
    after_help = "A file holds one definition, an array, JSON lines, or what a server answered \
to a listing.\n\n  etdi analyze tools.json --fail-on high\n  etdi analyze --jsonl corpus.jsonl --json\n  \
etdi analyze -- ./my-server\n\nExit codes: 0 all was looked at, 6 a finding as of --fail-on."
)]
pub struct AnalyzeArguments {
    /// A file, `-` for standard input, or the URL of a server.
    #[arg(value_name = "FILE|URL")]
    pub input: Option<String>,
    /// Read one object a line, a tool or `{"tool": …}` or `{"kind": …, "definition": …}`, and print a
    /// line for each; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    pub jsonl: Option<String>,
    /// Say what a code means, such as `schema/not-i-json`.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["input", "jsonl"])]
    pub explain: Option<String>,
    /// How findings are printed.
    #[command(flatten)]
    pub forms: Forms,
    /// How many seconds a server has to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
    /// A server, after `--`: the command that starts it, or its URL. Nothing of it is called.
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["input", "jsonl", "explain"])]
    pub command: Vec<String>,
}

/// Options of `etdi scan`.
#[derive(Debug, Args)]
#[command(
    after_help = "  etdi scan https://mcp.acme.example/mcp 'npx -y some-server' --fail-on high\n\n\
Servers are started or asked for what they list; nothing is called.\n\nExit codes: 0 all were looked \
into, 3 or 4 one could not be asked, 6 a finding as of --fail-on."
)]
pub struct ScanArguments {
    /// Servers: URLs, entries of clients such as `cursor:github`, packages, or commands in quotes; or
    /// files, which are looked into as by `etdi analyze`.
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// All servers that the clients on this computer have, such as editors and assistants.
    #[arg(long)]
    pub all_clients: bool,
    /// How findings are printed.
    #[command(flatten)]
    pub forms: Forms,
    /// How many seconds each server has to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
    /// One more server, after `--`: the command that starts it.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `etdi analyze-tool`.
#[derive(Debug, Args)]
#[command(
    after_help = "  etdi analyze-tool tool.json\n  etdi analyze-tool --tool-id get_forecast \
-- ./weather\n\nExit codes: 0 it was looked at, 6 a finding as of --fail-on."
)]
pub struct AnalyzeToolArguments {
    /// A file with the definition; with `--tool-id` the servers to look for it on: URLs, or commands
    /// in quotes; all that the clients on this computer have if none is named.
    #[arg(value_name = "FILE|TARGET")]
    pub from: Vec<String>,
    /// The name of a tool, or `SERVER#NAME`.
    #[arg(long, value_name = "ID")]
    pub tool_id: Option<String>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t = ToolFormat::Text)]
    pub format: ToolFormat,
    /// A new file to write to.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Exit with 6 if there is a finding at least so grave (low, medium, high, critical), or a
    /// definition of at least this risk (0 to 1).
    #[arg(long, value_name = "SEVERITY|RISK", default_value = "never")]
    pub fail_on: FailOn,
    /// How many seconds each server has to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
    /// One more server, after `--`: the command that starts it.
    #[arg(last = true, requires = "tool_id", value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// How a tool's analysis is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ToolFormat {
    /// For people.
    Text,
    /// The analysis alone, as JSON.
    Json,
}
