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

/// Options of `etdi inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Tokens are an estimate: a quarter of the bytes that a model is shown.\n\n\
  etdi inspect -- ./my-server\n  etdi inspect --schemas -- https://mcp.acme.example/mcp")]
pub struct InspectArguments {
    /// Show descriptions and schemas whole.
    #[arg(long)]
    pub schemas: bool,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// Options of `etdi read`.
#[derive(Debug, Args)]
#[command(
    after_help = "  etdi read notes://milk -- ./notes\n  etdi read file:///logo.png --save out -- ./files"
)]
pub struct ReadArguments {
    /// The resource.
    pub uri: String,
    /// Save what is no text in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub save: Option<PathBuf>,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// Options of `etdi get`.
#[derive(Debug, Args)]
#[command(after_help = "  etdi get review language=rust code=@main.rs -- ./prompts")]
pub struct GetArguments {
    /// The prompt.
    pub prompt: String,
    /// Its arguments; `KEY=@FILE` takes a file.
    #[arg(value_name = "KEY=VALUE")]
    pub pairs: Vec<String>,
    /// Save images, audio and other files of the messages in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub save: Option<PathBuf>,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// Options of `etdi complete`.
#[derive(Debug, Args)]
#[command(after_help = "  etdi complete review language ru -- ./prompts\n  \
etdi complete 'notes://{name}' name mi -- ./notes")]
pub struct CompleteArguments {
    /// A prompt, or the URI template of a resource.
    pub name: String,
    /// Its argument.
    pub argument: String,
    /// What was typed of it so far.
    #[arg(default_value = "")]
    pub typed: String,
    /// Arguments that are known already.
    #[arg(value_name = "KEY=VALUE")]
    pub known: Vec<String>,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// Options of `etdi shell`.
#[derive(Debug, Args)]
#[command(
    after_help = "Lines are `list`, `call TOOL key=value`, `read URI`, `get PROMPT key=value`, `complete`,\n\
`inspect`, `help` and `exit`. Without a terminal they are read from standard input:\n\n  \
echo 'call add a=1 b=2' | etdi shell -- ./calculator"
)]
pub struct ShellArguments {
    /// Approve tools as they are now, without asking.
    #[arg(long)]
    pub yes: bool,
    /// Save images, audio and other files of results in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub save: Option<PathBuf>,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}
