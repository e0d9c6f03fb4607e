//! The arguments of the commands that talk to a server.

use std::path::PathBuf;

use clap::Args;

use super::Target;

/// Options of `etdi doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "It looks at one thing after the other (name, connection, TLS, HTTP, login, \
revision, tools) and ends at the first that is wrong.\n\n\
  etdi doctor -- https://mcp.acme.example/mcp\n  etdi doctor -- npx -y some-server"
)]
pub struct DoctorArguments {
    /// How many seconds one step may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
    /// A file with an access token to try, `-` for standard input; else the login that is kept.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The server, where it is no command: as of `etdi list`.
    #[arg(value_name = "TARGET", conflicts_with = "command")]
    pub place: Option<String>,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}
