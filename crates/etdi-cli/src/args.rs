//! The command line of `etdi`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use etdi_core::level::SecurityLevel;

use crate::targets;

mod approvals;
mod audit;
mod auth;
mod authors;
mod clients;
mod guard;
mod inspect;
mod keys;
mod policy;
mod talk;

pub use approvals::{ApprovalsCommand, Source, Which};
pub use audit::{AuditCommand, AuditFilter, ChainsArguments, ExportFormat};
pub use auth::{ApiKeyCommand, AuthCommand, LoginArguments, ServeArguments};
pub use authors::{
    BuildArguments, DevArguments, DiffArguments, FailOn, InitArguments, ListenArguments,
    NewArguments, Provider, Revisions, RunArguments, Template, TestArguments, Transport,
};
pub use clients::{
    ConfigsArguments, DiscoverArguments, InstallArguments, InstallScope, UndoArguments,
    UninstallArguments,
};
pub use guard::{
    GatewayArguments, GuardArguments, GuardCommand, GuardInstallArguments, GuardUninstallArguments,
};
pub use inspect::{
    AnalyzeArguments, AnalyzeToolArguments, DebugTokenArguments, Forms, ScanArguments, ToolFormat,
    ValidateOauthArguments,
};
pub use keys::{KeyAlgorithm, KeySource, KeysCommand, RevokeArguments, RotateArguments};
pub use policy::{Described, PolicyCommand};
pub use talk::{
    CompleteArguments, DoctorArguments, GetArguments, InspectArguments, ReadArguments,
    ShellArguments,
};

/// Verify, approve and call the tools of MCP servers.
#[derive(Debug, Parser)]
#[command(name = "etdi", version, about, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 usage, 2 the tool reported an error, 3 authentication \
needed, 4 unreachable, 5 protocol violation, 6 refused by a security check.\n\n\
See it work: `etdi demo`"
)]
pub struct Arguments {
    /// Print one line of JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a signed server verified, approved and called, and attacks on it refused.
    Demo(DemoArguments),
    /// List a server's tools with their signatures, permissions and approvals.
    List(ListArguments),
    /// Show all that a server offers on one page: tools with their sizes, prompts, resources.
    Inspect(InspectArguments),
    /// Call a tool.
    Call(CallArguments),
    /// Read a resource.
    Read(ReadArguments),
    /// Get the messages of a prompt.
    Get(GetArguments),
    /// Ask a server what it suggests for an argument of a prompt or resource.
    Complete(CompleteArguments),
    /// Talk to a server line by line, in one session.
    Shell(ShellArguments),
    /// Find out why a server does not work, whose fault that is and what to do.
    Doctor(DoctorArguments),
    /// Find every server that is configured on this computer, and what is wrong with it.
    Discover(DiscoverArguments),
    /// Put a server into the configuration of clients; it is started once to see that it works.
    Install(InstallArguments),
    /// Take a server out of the configuration of clients.
    Uninstall(UninstallArguments),
    /// Take the last change of configurations back.
    Undo(UndoArguments),
    /// List the files in which clients keep their servers.
    Configs(ConfigsArguments),
    /// Make, list, export, trust, rotate and revoke keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Make a new server: a package that builds and passes its tests.
    New(NewArguments),
    /// Serve a server on another transport: a program over HTTP, a URL over standard streams.
    Run(RunArguments),
    /// Build, run and watch a server; a client stays connected while it changes.
    Dev(DevArguments),
    /// Call the tools of a server as a file says, and check what they answer.
    Test(TestArguments),
    /// Compare what two servers offer, or one at two times.
    Diff(DiffArguments),
    /// Write the settings for an identity provider.
    #[command(visible_alias = "init-config")]
    Init(InitArguments),
    /// Print what a server offers, by digest: what `etdi sign --contents` signs elsewhere.
    Manifest(ManifestArguments),
    /// Write `etdi.lock`, or check a server against it and the version rule.
    Lock(LockArguments),
    /// Sign what a server offers; writes the manifest that the server shows.
    Sign(SignArguments),
    /// Draft declarations for the tools of a server that has none.
    Migrate(MigrateArguments),
    /// Check the signatures of a server's tools; fails unless all hold.
    Verify(VerifyArguments),
    /// Approve tools of a server as they are now.
    Approve(ApproveArguments),
    /// Stand before a server: verify, approve, guard and forward all that a client asks of it.
    Guard(GuardArguments),
    /// Serve many servers as one, each behind a guard, with a login in front.
    Gateway(GatewayArguments),
    /// List, show, withdraw, move and encrypt approvals.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// Check the audit trail, look into it, and hand it on.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Log in and out, make keys for callers, or run an authorization server of your own.
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Look into definitions: for what is said to the model and against the user.
    Analyze(AnalyzeArguments),
    /// Look into all that servers list.
    Scan(ScanArguments),
    /// Look into one tool, from a file or by its name on servers.
    AnalyzeTool(AnalyzeToolArguments),
    /// Say what a token says and what is wrong with it.
    DebugToken(DebugTokenArguments),
    /// Check the settings for an OAuth provider against what the provider is.
    #[command(visible_alias = "validate-provider")]
    ValidateOauth(ValidateOauthArguments),
    /// Check policies in Cedar against a server's tools, and try them.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print what completes the words of `etdi` in a shell.
    #[command(
        after_help = "  etdi completions bash > ~/.local/share/bash-completion/completions/etdi"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command.
    Man {
        /// Write a page for each command into this directory.
        #[arg(long, value_name = "DIRECTORY")]
        out: Option<PathBuf>,
    },
    /// The servers of the demo, honest and other; started by it.
    #[command(name = "__demo-server", hide = true)]
    DemoServer(DemoServerArguments),
}

impl Command {
    /// The name in the envelope.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::List(_) => "list",
            Self::Inspect(_) => "inspect",
            Self::Call(_) => "call",
            Self::Read(_) => "read",
            Self::Get(_) => "get",
            Self::Complete(_) => "complete",
            Self::Shell(_) => "shell",
            Self::Doctor(_) => "doctor",
            Self::Discover(_) => "discover",
            Self::Install(_) => "install",
            Self::Uninstall(_) => "uninstall",
            Self::Undo(_) => "undo",
            Self::Configs(_) => "configs",
            Self::Keys(command) => command.name(),
            Self::New(_) => "new",
            Self::Run(_) => "run",
            Self::Dev(_) => "dev",
            Self::Test(_) => "test",
            Self::Diff(_) => "diff",
            Self::Init(_) => "init",
            Self::Manifest(_) => "manifest",
            Self::Lock(_) => "lock",
            Self::Sign(_) => "sign",
            Self::Migrate(_) => "migrate",
            Self::Verify(_) => "verify",
            Self::Approve(_) => "approve",
            Self::Guard(guard) => match &guard.command {
                None => "guard",
                Some(GuardCommand::Install(_)) => "guard install",
                Some(GuardCommand::Uninstall(_)) => "guard uninstall",
            },
            Self::Gateway(_) => "gateway",
            Self::Approvals(command) => command.name(),
            Self::Audit(command) => command.name(),
            Self::Auth(command) => command.name(),
            Self::Analyze(_) => "analyze",
            Self::Scan(_) => "scan",
            Self::AnalyzeTool(_) => "analyze-tool",
            Self::DebugToken(_) => "debug-token",
            Self::ValidateOauth(_) => "validate-oauth",
            Self::Policy(command) => command.name(),
            Self::Completions { .. } => "completions",
            Self::Man { .. } => "man",
            Self::DemoServer(_) => "demo server",
        }
    }
}

impl Command {
    /// Takes a target that stands before the two dashes, or in an option, to where the others are.
    pub fn settle(&mut self) {
        match self {
            Self::List(ListArguments { place, target })
            | Self::Verify(VerifyArguments { place, target })
            | Self::Doctor(DoctorArguments { place, target, .. }) => {
                target.command.extend(place.take().map(targets::placed));
            }
            Self::Run(RunArguments { place, command, .. }) => {
                command.extend(place.take().map(targets::placed));
            }
            Self::Guard(guard) => guard.target.command.extend(guard.url.take()),
            Self::Call(call) => call.target.take_last(&mut call.pairs, false),
            Self::Approve(approve) => approve.target.take_last(&mut approve.tools, true),
            _ => {}
        }
    }
}

impl Command {
    /// Whether its standard output belongs to the protocol.
    pub fn speaks(&self) -> bool {
        match self {
            Self::Guard(guard) => guard.command.is_none() && guard.http.is_none(),
            Self::Gateway(gateway) => !gateway.check && gateway.http.is_none(),
            Self::Run(run) => run.transport == Transport::Stdio,
            _ => false,
        }
    }
}

impl Target {
    /// Takes the last word for the target, if nothing else names one and it cannot be anything else.
    fn take_last(&mut self, words: &mut Vec<String>, names: bool) {
        let is_pair =
            |word: &str| !names && word.split("://").next().is_some_and(|word| word.contains('='));
        let last = words.last().is_some_and(|word| targets::is_target(word) && !is_pair(word));
        if self.command.is_empty() && last {
            self.command.extend(words.pop());
        }
    }
}

/// How servers are named, as an example.
const TARGETS: &str = "  etdi list cursor:github\n  etdi list https://mcp.acme.example/mcp\n  \
etdi list ./my-server\n  etdi list -- npx -y some-server --verbose";

/// Options of `etdi demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Answer yes where the demo asks for an approval.
    #[arg(long)]
    pub yes: bool,
}

/// Which server, how it is named, and what it takes to be trusted.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// How strict to be: basic, enhanced or strict. Without it what `ETDI_SECURITY_LEVEL` says, then
    /// the settings in the file that `ETDI_CONFIG_PATH` names, then enhanced.
    #[arg(long, alias = "security-level", value_name = "LEVEL")]
    pub level: Option<SecurityLevel>,
    /// The server's name in attestations, such as `pkg:cargo/signed-notes`; without it the exact
    /// command line is its name.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// A publisher to trust: a file with its public keys (JWK set), as `FILE` or `ORIGIN=FILE`.
    #[arg(long, value_name = "FILE")]
    pub trust: Vec<String>,
    /// Ask publishers, at their own origins, for their keys and for what they have revoked.
    #[arg(long)]
    pub online: bool,
    /// The server, after `--`: the command that starts it, its URL, an entry such as
    /// `cursor:github`, a folder with a `Cargo.toml`, `cargo:PACKAGE` or `example:NAME`.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `etdi list`.
#[derive(Debug, Args)]
#[command(after_help = TARGETS)]
pub struct ListArguments {
    /// The server, where it is no command: its URL, an entry of `etdi discover` such as
    /// `cursor:github`, an entry of `.mcp.json` here, a folder with a `Cargo.toml`, `cargo:PACKAGE`
    /// or `example:NAME`.
    #[arg(value_name = "TARGET", conflicts_with = "command")]
    pub place: Option<String>,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// Options of `etdi call`.
#[derive(Debug, Args)]
#[command(after_help = "  etdi call search query=milk limit=2 -- ./notes\n  \
etdi call draw --args @picture.json --save out -- https://mcp.acme.example/mcp")]
pub struct CallArguments {
    /// The tool.
    pub tool: String,
    /// Its arguments, read as the types that the tool's schema gives them; `KEY=@FILE` takes a file,
    /// `KEY:=JSON` is JSON.
    #[arg(value_name = "KEY=VALUE")]
    pub pairs: Vec<String>,
    /// All arguments as one JSON object; `@FILE` reads a file, `-` standard input.
    #[arg(long, value_name = "JSON", conflicts_with = "pairs")]
    pub args: Option<String>,
    /// Approve the tool as it is now, without asking; without a terminal only on its first use. Not
    /// what the scanner calls critical.
    #[arg(long)]
    pub yes: bool,
    /// With `--yes`: ask also about what the scanner calls critical. Without a terminal it is refused,
    /// unless `etdi approvals unattended` says otherwise.
    #[arg(long, requires = "yes")]
    pub despite_scanner: bool,
    /// Make the call only if the policies in this folder permit it (`etdi policy check` reads it).
    #[arg(long, value_name = "FOLDER")]
    pub policy: Option<PathBuf>,
    /// The user on whose behalf the policies are asked.
    #[arg(long, value_name = "NAME", requires = "policy")]
    pub user: Option<String>,
    /// Save images, audio and other files of the result in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub save: Option<PathBuf>,
    /// Give up so many seconds after the server was started.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// What becomes part of a manifest beside what a server lists.
#[derive(Debug, Args)]
pub struct ContentsArguments {
    /// The counter of the manifest; one more than that of the manifest that is there, if what is
    /// listed has changed.
    #[arg(long, value_name = "NUMBER")]
    pub seq: Option<u64>,
    /// Leave prompts, resource templates and instructions out, for servers that change them as
    /// they run.
    #[arg(long)]
    pub tools_only: bool,
    /// A key that may sign tools made at run time, `PREFIX=FILE`: what their names begin with, and
    /// its public half (JWK set).
    #[arg(long, value_name = "PREFIX=FILE")]
    pub delegate: Vec<String>,
    /// The most that those tools may ask for, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "SCOPES", requires = "delegate")]
    pub delegate_permissions: Vec<String>,
    /// Where the manifest is.
    #[arg(long, value_name = "FILE", default_value = "etdi.manifest.jws")]
    pub out: PathBuf,
}

/// What a publisher claims beside what a server lists; users are shown it as a claim.
#[derive(Debug, Args)]
pub struct ClaimArguments {
    /// Where the source is, such as `git+https://…@COMMIT`: a claim that users are shown.
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Where a SLSA attestation of the build is: a claim that users are shown.
    #[arg(long, value_name = "URL")]
    pub slsa: Option<String>,
    /// The interface behind the tools, such as `openapi=api.yaml`: what it is, and its document as
    /// it is published. Users are shown the digest as a claim.
    #[arg(long, value_name = "TYPE=FILE")]
    pub contract: Option<String>,
    /// Where that document is.
    #[arg(long, value_name = "URL", requires = "contract")]
    pub contract_url: Option<String>,
}

/// Options of `etdi manifest`.
#[derive(Debug, Args)]
pub struct ManifestArguments {
    /// What is claimed beside what is in it.
    #[command(flatten)]
    pub claims: ClaimArguments,
    /// What is in it.
    #[command(flatten)]
    pub contents: ContentsArguments,
    /// The server, after `--`: the command that starts it, or its URL.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `etdi lock`.
#[derive(Debug, Args)]
pub struct LockArguments {
    /// Write nothing; fail unless the server is exactly what is locked.
    #[arg(long)]
    pub check: bool,
    /// Where the lock is.
    #[arg(long, value_name = "FILE", default_value = "etdi.lock")]
    pub file: PathBuf,
    /// The server, after `--`: the command that starts it, or its URL.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `etdi migrate`.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    /// The server, after `--`: the command that starts it, or its URL.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `etdi sign`.
#[derive(Debug, Args)]
pub struct SignArguments {
    /// The key to sign with: a name of `etdi keys list`, `file:PEM`, `keyring:ACCOUNT` (PKCS#8), or
    /// `command:PROGRAM ARGUMENTS`, which gets what is to be signed on its standard input and
    /// prints the signature, raw or in base64url.
    #[arg(long, default_value = "default", value_name = "KEY")]
    pub key: String,
    /// The public half of a `command:` key (JWK or JWK set).
    #[arg(long, value_name = "FILE")]
    pub public: Option<PathBuf>,
    /// Who signs: an HTTPS origin whose keys users trust; without it the key itself.
    #[arg(long, value_name = "ORIGIN")]
    pub issuer: Option<String>,
    /// Have the issuer sign, an identity provider that knows you as this client, instead of a key of
    /// yours. Its secret is taken from `ETDI_CLIENT_SECRET`.
    #[arg(long, value_name = "ID", requires = "issuer", conflicts_with_all = ["key", "public", "contents"])]
    pub client_id: Option<String>,
    /// The key by which it knows you, in place of a secret: as of `--key`.
    #[arg(long, value_name = "KEY", requires = "client_id")]
    pub client_key: Option<String>,
    /// The server's name: such as `pkg:cargo/signed-notes`, or the URL of one behind HTTP.
    #[arg(long, value_name = "NAME")]
    pub server: String,
    /// A key that the server proves to hold, so that a copied manifest is worth nothing elsewhere.
    #[arg(long, value_name = "KEY")]
    pub instance_key: Vec<String>,
    /// Do not name the executable's digest in the manifest.
    #[arg(long)]
    pub any_executable: bool,
    /// For how many days the signatures hold.
    #[arg(long, value_name = "DAYS", default_value_t = 182)]
    pub days: u64,
    /// What is claimed beside it, in place of what those contents claim.
    #[command(flatten)]
    pub claims: ClaimArguments,
    /// The contents that `etdi manifest` printed, instead of a server that is started here.
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub contents: Option<PathBuf>,
    /// What is in it.
    #[command(flatten)]
    pub listed: ContentsArguments,
    /// The server, after `--`: the command that starts it, or its URL.
    #[arg(last = true, required_unless_present = "contents", value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `etdi verify`.
#[derive(Debug, Args)]
#[command(after_help = TARGETS)]
pub struct VerifyArguments {
    /// The server, where it is no command: as of `etdi list`.
    #[arg(value_name = "TARGET", conflicts_with = "command")]
    pub place: Option<String>,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// Options of `etdi approve`.
#[derive(Debug, Args)]
pub struct ApproveArguments {
    /// The tools; all that are listed when none is named.
    #[arg(value_name = "TOOL")]
    pub tools: Vec<String>,
    /// Grant only these permissions, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "SCOPES")]
    pub permissions: Option<Vec<String>>,
    /// For how many days the approval counts; for as long as nothing changes without it.
    #[arg(long = "for", value_name = "DAYS", conflicts_with = "despite_alarm")]
    pub days: Option<u32>,
    /// Approve without asking, except where a change is an alarm or the scanner calls something
    /// critical; without a terminal only what is seen for the first time and is not suspicious.
    #[arg(long)]
    pub yes: bool,
    /// With `--yes`: ask also about what is an alarm, such as a text that changed without a version.
    /// Without a terminal it is refused, unless `etdi approvals unattended` says otherwise.
    #[arg(long, requires = "yes")]
    pub despite_alarm: bool,
    /// The same for what the scanner (`etdi analyze`) calls critical.
    #[arg(long, requires = "yes")]
    pub despite_scanner: bool,
    /// The server.
    #[command(flatten)]
    pub target: Target,
}

/// Which server of the demo.
#[derive(Debug, Args)]
pub struct DemoServerArguments {
    /// Which one.
    pub role: String,
    /// What it needs: a directory or a file.
    pub path: Option<PathBuf>,
}

#[cfg(test)]
mod typed_tests;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_target_comes_after_two_dashes() {
        let line = "etdi call search query=a limit=2 --json -- notes --stdio";
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        assert!(arguments.json);
        let Command::Call(call) = arguments.command else { panic!("not a call") };
        assert_eq!(call.pairs, ["query=a", "limit=2"]);
        assert_eq!(call.target.command, ["notes", "--stdio"]);
    }

    #[test]
    fn a_target_that_is_no_command_needs_no_dashes() {
        let target = |line: &str| {
            let mut arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            arguments.command.settle();
            match arguments.command {
                Command::List(list) => (Vec::new(), list.target.command),
                Command::Call(call) => (call.pairs, call.target.command),
                Command::Approve(approve) => (approve.tools, approve.target.command),
                other => panic!("{other:?}"),
            }
        };
        for (line, words, command) in [
            ("etdi list cursor:github", "", "cursor:github"),
            ("etdi call search q=a cursor:github", "q=a", "cursor:github"),
            ("etdi call search q=./x", "q=./x", ""),
            ("etdi call search u=https://a.example", "u=https://a.example", ""),
            ("etdi call search https://a.example/mcp?x=1", "", "https://a.example/mcp?x=1"),
            ("etdi approve search ./notes", "search", "./notes"),
            ("etdi approve search", "search", ""),
            ("etdi call search a:b -- notes", "a:b", "notes"),
        ] {
            let (found, target) = target(line);
            assert_eq!(
                (found.join(" "), target.join(" ")),
                (words.into(), command.into()),
                "{line}"
            );
        }
        assert!(Arguments::try_parse_from("etdi list cursor:x -- y".split(' ')).is_err());
    }
}
