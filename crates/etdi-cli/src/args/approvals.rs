//! `etdi approvals` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::unattended::Unattended;

/// Commands on approvals.
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List the approvals.
    List,
    /// Show all of an approval: what was accepted, by whom, and until when.
    Show(Which),
    /// Withdraw the approvals of a tool; it is refused until it is approved again, and the
    /// withdrawal is remembered.
    Revoke {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Why, for later.
        #[arg(long)]
        note: Option<String>,
    },
    /// Remove the approvals of a tool as if they had never been given; its next call asks again.
    Remove(Which),
    /// Take back an update that was carried over; from then on each update asks.
    Undo(Which),
    /// Write all approvals into a file, encrypted with a passphrase of its own.
    Export {
        /// The file; it must not be there yet.
        file: PathBuf,
        /// Do not encrypt it.
        #[arg(long)]
        plain: bool,
    },
    /// Take approvals in; one that is here already stays as it is.
    Import {
        /// A file of `etdi approvals export`, or a directory of another program.
        path: PathBuf,
        /// Whose approvals they are.
        #[arg(long, value_enum, default_value_t)]
        from: Source,
        /// The server whose tools they are, as `etdi approvals list` prints it; another program's
        /// approvals do not say.
        #[arg(long, value_name = "NAME", required_if_eq("from", "python-fork"))]
        server: Option<String>,
        /// Take a file in that is not encrypted, although the store is.
        #[arg(long)]
        plain: bool,
    },
    /// Protect the approval store by a passphrase, by another one, or by what these options say.
    Encrypt {
        /// Keep the key in the system's keyring instead of asking for a passphrase.
        #[arg(long)]
        keyring: bool,
        /// Keep the key in a file of the state directory, so that programs without a terminal open
        /// the store.
        #[arg(long, conflicts_with = "keyring")]
        key_file: bool,
    },
    /// Make a new key for the encrypted store and encrypt everything anew.
    RotateKey,
    /// Say what `--yes` approves where nobody sits at a terminal; to allow more than before takes a
    /// person at one.
    Unattended {
        /// What; without it, say what counts now.
        #[arg(value_enum)]
        approve: Option<Unattended>,
    },
    /// Take the store as it is after a backup was put back on purpose.
    AcceptRestored,
    /// Take the present time for right after the clock was wrong.
    SetClock,
}

/// Which approvals.
#[derive(Debug, Args)]
pub struct Which {
    /// The tool.
    pub tool: String,
    /// Only of this server, as `etdi approvals list` prints it: its name, or the command above it.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// Of all servers that have a tool of this name.
    #[arg(long, conflicts_with = "server")]
    pub all: bool,
}

/// Whose approvals are taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// Ours.
    #[default]
    Etdi,
    /// The Python fork's, such as `~/.etdi/approvals`; each asks again.
    PythonFork,
}

impl ApprovalsCommand {
    /// The name in the envelope.
    pub fn name(&self) -> &'static str {
        match self {
            Self::List => "approvals list",
            Self::Show(_) => "approvals show",
            Self::Revoke { .. } => "approvals revoke",
            Self::Remove(_) => "approvals remove",
            Self::Undo(_) => "approvals undo",
            Self::Export { .. } => "approvals export",
            Self::Import { .. } => "approvals import",
            Self::Encrypt { .. } => "approvals encrypt",
            Self::RotateKey => "approvals rotate-key",
            Self::Unattended { .. } => "approvals unattended",
            Self::AcceptRestored => "approvals accept-restored",
            Self::SetClock => "approvals set-clock",
        }
    }
}
