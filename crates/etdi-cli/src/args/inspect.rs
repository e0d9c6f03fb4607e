//! The arguments of the commands that look for a fault.

use std::path::PathBuf;

use clap::Args;

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
