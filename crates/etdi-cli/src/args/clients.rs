//! The arguments of the commands about the clients on this computer.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::BuildArguments;

/// For whom a server is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InstallScope {
    /// For you, everywhere.
    User,
    /// For whoever works in this folder.
    Project,
}

impl From<InstallScope> for etdi_clients::Scope {
    fn from(scope: InstallScope) -> Self {
        match scope {
            InstallScope::User => Self::User,
            InstallScope::Project => Self::Project,
        }
    }
}

/// Options of `etdi install`.
#[derive(Debug, Args)]
#[command(after_help = "  etdi install cursor claude-desktop ./my-server\n  \
etdi install vscode --scope project https://mcp.acme.example/mcp\n  \
etdi install --all --name notes -v NOTES_DIR=/srv/notes -- notes-server --stdio\n\n\
The server is started once as the client would start it. Comments and all else in the file stay; \
`etdi undo` takes it back.")]
pub struct InstallArguments {
    /// The clients (`etdi configs --all` names them), and after them the server, if it is no command:
    /// its URL, an entry such as `cursor:github`, a folder with a `Cargo.toml`, `cargo:PACKAGE`.
    #[arg(value_name = "CLIENT… TARGET")]
    pub words: Vec<String>,
    /// Every client that is on this computer.
    #[arg(long)]
    pub all: bool,
    /// What the server is called there; made of the target without it.
    #[arg(long, short, value_name = "NAME")]
    pub name: Option<String>,
    /// A variable of the server's environment.
    #[arg(long = "env", short = 'v', alias = "env-var", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// A file with such variables, one a line.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// For whom: `user` or `project`.
    #[arg(long, value_enum, default_value = "user", hide_possible_values = true)]
    pub scope: InstallScope,
    /// Replace another server of this name.
    #[arg(long)]
    pub replace: bool,
    /// Show what would change, write nothing and start nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Write it without starting the server once.
    #[arg(long)]
    pub no_start: bool,
    /// How many seconds the server has to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
    /// How it is built.
    #[command(flatten)]
    pub build: BuildArguments,
    /// The server: the command that starts it.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `etdi uninstall`.
#[derive(Debug, Args)]
#[command(after_help = "  etdi uninstall cursor github\n  etdi uninstall --all github --dry-run")]
pub struct UninstallArguments {
    /// The clients, and after them the server's name there.
    #[arg(value_name = "CLIENT… NAME", required = true)]
    pub words: Vec<String>,
    /// Every client that has it.
    #[arg(long)]
    pub all: bool,
    /// Only where it counts for you (`user`), or only in this folder (`project`).
    #[arg(long, value_enum, hide_possible_values = true)]
    pub scope: Option<InstallScope>,
    /// Show what would change, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `etdi undo`.
#[derive(Debug, Args)]
#[command(
    after_help = "  etdi undo\n  etdi undo --list\n\nWhere a file was changed by others since, \
only what etdi changed in it is taken back."
)]
pub struct UndoArguments {
    /// The number of the change; the last one without it.
    #[arg(value_name = "NUMBER")]
    pub change: Option<u64>,
    /// Show what can be taken back.
    #[arg(long, conflicts_with = "change")]
    pub list: bool,
    /// Do not ask at the terminal before a guard goes.
    #[arg(long)]
    pub yes: bool,
}

/// Options of `etdi configs`.
#[derive(Debug, Args)]
#[command(after_help = "  etdi configs\n  etdi configs cursor vscode --all")]
pub struct ConfigsArguments {
    /// The clients; all without any.
    #[arg(value_name = "CLIENT")]
    pub clients: Vec<String>,
    /// Also the files that are not there.
    #[arg(long)]
    pub all: bool,
}

/// Options of `etdi discover`.
#[derive(Debug, Args)]
#[command(after_help = "  etdi discover\n  etdi discover cursor --json\n\nNothing is started: \
`etdi list cursor:github` asks one of them.")]
pub struct DiscoverArguments {
    /// The clients; all without any.
    #[arg(value_name = "CLIENT")]
    pub clients: Vec<String>,
    /// Only servers with something wrong; exit with 6 if there is one.
    #[arg(long)]
    pub problems: bool,
}
