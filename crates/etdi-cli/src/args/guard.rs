//! Options of `etdi guard` and `etdi gateway`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use etdi_core::level::SecurityLevel;

use super::Target;

/// Options of `etdi guard`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "What a client starts in place of the server:\n  \
    {\"command\": \"etdi\", \"args\": [\"guard\", \"--trust-first-use\", \"--\", \"notes-server\"]}\n\n\
    What it blocks, it says on standard error and in the result of the call, with the command that \
    approves it.\n\n\
    Exit codes: 0 the client is gone, 4 the server ended first or did not start, 6 it was refused.")]
pub struct GuardArguments {
    /// What to do with the configurations of clients.
    #[command(subcommand)]
    pub command: Option<GuardCommand>,
    /// Approve what the server lists when it is seen for the first time, and say so; what changes
    /// later waits for you.
    #[arg(long)]
    pub trust_first_use: bool,
    /// Do not ask by a form of the client about tools that are not approved.
    #[arg(long)]
    pub no_elicitation: bool,
    /// Ask by forms also with `--http`, where whoever reaches the address answers for all.
    #[arg(long, requires = "http", conflicts_with = "no_elicitation")]
    pub elicitation: bool,
    /// Make calls only if the policies in this folder permit them (`etdi policy check` reads it).
    #[arg(long, value_name = "FOLDER")]
    pub policy: Option<PathBuf>,
    /// The user on whose behalf the policies are asked.
    #[arg(long, value_name = "NAME", requires = "policy")]
    pub user: Option<String>,
    /// Refuse calls that the flow rules in this file forbid.
    #[arg(long, value_name = "FILE")]
    pub flows: Option<PathBuf>,
    /// Let each tool be called so often a minute; 0 for no limit.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub calls_per_minute: u32,
    /// Call a tool without listing anew if that was done at most so many seconds ago; 5, and 0 at
    /// strict, unless this says otherwise.
    #[arg(long, value_name = "SECONDS")]
    pub recheck_after: Option<u64>,
    /// Serve many clients at this address instead of one on standard streams.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<std::net::SocketAddr>,
    /// The server's URL; the same as `-- URL`.
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub url: Option<String>,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// What to do with the configurations of clients.
#[derive(Debug, Subcommand)]
pub enum GuardCommand {
    /// Put a guard before the servers of clients.
    #[command(after_help = "  etdi guard install cursor claude-code --trust-first-use --dry-run")]
    Install(GuardInstallArguments),
    /// Take the guards away again.
    Uninstall(GuardUninstallArguments),
}

/// Options of `etdi guard uninstall`.
#[derive(Debug, Args)]
pub struct GuardUninstallArguments {
    /// The clients, as `etdi configs --all` names them.
    #[arg(value_name = "CLIENT", required = true)]
    pub clients: Vec<String>,
    /// Only the server of this name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Show what would change, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask at the terminal.
    #[arg(long)]
    pub yes: bool,
}

/// Options of `etdi guard install`.
#[derive(Debug, Args)]
pub struct GuardInstallArguments {
    /// The clients, as `etdi configs --all` names them.
    #[arg(value_name = "CLIENT", required = true)]
    pub clients: Vec<String>,
    /// Only the server of this name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The guards approve what is seen for the first time, and say so.
    #[arg(long)]
    pub trust_first_use: bool,
    /// How strict the guards are: basic, enhanced or strict.
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<SecurityLevel>,
    /// Show what would change, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `etdi gateway`.
#[derive(Debug, Args)]
#[command(
    after_help = "FILE is what a client has, `mcpServers` with commands and URLs, and may say more:\n  \
    {\"mcpServers\": {\"notes\": {\"command\": \"notes-server\", \"etdi\": {\"trust_first_use\": true}}},\n   \
    \"gateway\": {\"http\": \"127.0.0.1:8000\", \"auth\": {\"issuer\": \"https://login.example\"}}}\n\n\
    The tool `search` of `notes` is `notes__search` here. `etdi approve -- FILE:notes` approves.\n  \
    etdi gateway .mcp.json --check"
)]
pub struct GatewayArguments {
    /// The servers, as a client writes them: JSON, TOML or YAML.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Serve one client on standard streams, whatever the file says.
    #[arg(long, conflicts_with = "http")]
    pub stdio: bool,
    /// Serve many clients over HTTP at this address.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<std::net::SocketAddr>,
    /// Start nothing; say what would be served.
    #[arg(long)]
    pub check: bool,
    /// Approve what each server lists when it is seen for the first time, and say so.
    #[arg(long)]
    pub trust_first_use: bool,
}
