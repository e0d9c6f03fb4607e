//! The arguments of `etdi policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Commands on policies in Cedar.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print the schema of a server's tools: what a policy can name.
    Schema(Described),
    /// Hold policies to the schema of a server's tools; fails where one cannot mean what it says.
    Check {
        /// The folder with the `*.cedar` files.
        folder: PathBuf,
        /// The server.
        #[command(flatten)]
        server: Described,
    },
    /// Say how policies decide about a call, without calling.
    Test {
        /// The folder with the `*.cedar` files.
        folder: PathBuf,
        /// The tool.
        #[arg(long, value_name = "NAME")]
        tool: String,
        /// The arguments, as a JSON object.
        #[arg(long, value_name = "JSON", default_value = "{}")]
        args: String,
        /// Who calls.
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// The program that calls for the user.
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// The server.
        #[command(flatten)]
        server: Described,
    },
}

/// A server whose tools are listed; nothing is called.
#[derive(Debug, Args)]
pub struct Described {
    /// The server's name, such as `pkg:cargo/signed-notes`; without it the exact command line is
    /// its name.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// The server: the command that starts it, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

impl PolicyCommand {
    /// The name in the envelope.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Schema(_) => "policy schema",
            Self::Check { .. } => "policy check",
            Self::Test { .. } => "policy test",
        }
    }
}
