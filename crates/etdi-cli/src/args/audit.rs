//! The arguments of `etdi audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use etdi_core::level::SecurityLevel;

/// Commands on the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check every line, every file and every checkpoint; fails where one was touched.
    Verify {
        /// The trail; yours by default.
        file: Option<PathBuf>,
        /// The public keys (JWK set) that sign its checkpoints.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// An end that was kept elsewhere, as this command prints it.
        #[arg(long, value_name = "COUNT:DIGEST")]
        head: Option<String>,
        /// Fail where more entries follow the last checkpoint.
        #[arg(long, value_name = "ENTRIES")]
        signed_within: Option<u64>,
    },
    /// Show the newest entries.
    Tail {
        /// The trail; yours by default.
        file: Option<PathBuf>,
        /// How many.
        #[arg(short = 'n', long, visible_alias = "limit", default_value_t = 20)]
        count: usize,
        /// Which.
        #[command(flatten)]
        filter: AuditFilter,
    },
    /// Show the entries that are asked for.
    Query {
        /// The trail; yours by default.
        file: Option<PathBuf>,
        /// The newest of so many at most.
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
        /// Which.
        #[command(flatten)]
        filter: AuditFilter,
    },
    /// Write entries for other programs.
    Export {
        /// The trail; yours by default.
        file: Option<PathBuf>,
        /// In which form; `otlp` is what a collector of OpenTelemetry takes at `/v1/logs`.
        #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
        format: ExportFormat,
        /// A new file; standard output by default.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Which.
        #[command(flatten)]
        filter: AuditFilter,
    },
    /// Say which chains of calls ran, and which would be refused now and why.
    Chains(ChainsArguments),
    /// Sign the trail as it is now with a key of yours.
    Checkpoint {
        /// The key's name.
        #[arg(long, default_value = "default", value_name = "NAME")]
        key: String,
    },
}

impl AuditCommand {
    /// The name in the envelope.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Verify { .. } => "audit verify",
            Self::Tail { .. } => "audit tail",
            Self::Query { .. } => "audit query",
            Self::Export { .. } => "audit export",
            Self::Chains(_) => "audit chains",
            Self::Checkpoint { .. } => "audit checkpoint",
        }
    }
}

/// Options of `etdi audit chains`.
#[derive(Debug, Args)]
#[command(
    after_help = "A line of a trace is such as {\"callee\": \"search\", \"caller\": \"plan\", \
\"depth\": 2, \"session\": \"ada\", \"at\": 1767323045}.\n\n  etdi audit chains trace.jsonl \
--tools listed.json --level strict\n\nExit codes: 0 all would be let through, 6 a call would be refused."
)]
pub struct ChainsArguments {
    /// An audit trail, or a trace with a call on each line; your trail by default.
    pub file: Option<PathBuf>,
    /// What tools declare: what a server listed, as `FILE`, or `SERVER=FILE` for one server of several.
    #[arg(long, value_name = "FILE")]
    pub tools: Vec<String>,
    /// The policy to judge by, as JSON with the names of `CallStackPolicy`.
    #[arg(long, value_name = "FILE", conflicts_with = "level")]
    pub policy: Option<PathBuf>,
    /// Judge by the policy of this level: basic, enhanced or strict.
    #[arg(long, value_name = "LEVEL", default_value = "enhanced")]
    pub level: SecurityLevel,
    /// The server of calls that name none.
    #[arg(long, value_name = "NAME", default_value = "server")]
    pub server: String,
}

/// Which entries of the audit trail.
#[derive(Debug, Args)]
pub struct AuditFilter {
    /// Of this kind, such as `tool_approved`; may be given several times.
    #[arg(long, value_name = "EVENT")]
    pub kind: Vec<String>,
    /// At least this grave: low, medium, high or critical.
    #[arg(long)]
    pub severity: Option<String>,
    /// About this server, as `etdi approvals list` prints it.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// About this tool.
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// Of this exchange.
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// With this reason, such as `DEFINITION_CHANGED`.
    #[arg(long, value_name = "CODE")]
    pub reason: Option<String>,
    /// Not before: seconds since 1970, or such as `12h` ago.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Before: seconds since 1970, or such as `12h` ago.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// In which form the audit trail is exported.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExportFormat {
    /// JSON lines.
    Jsonl,
    /// A table for spreadsheets.
    Csv,
    /// Common Event Format.
    Cef,
    /// OpenTelemetry logs, as one JSON request.
    Otlp,
}
