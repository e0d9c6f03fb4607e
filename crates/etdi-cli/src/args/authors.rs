//! The arguments of the commands for those who write servers.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use etdi::core::level::SecurityLevel;

/// How a server is spoken to by its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Over the standard streams of the command.
    Stdio,
    /// Streamable HTTP.
    #[value(alias = "streamable-http")]
    Http,
    /// HTTP+SSE of 2024-11-05, for clients that know nothing newer.
    Sse,
}

/// Where a server listens, and who may ask it.
#[derive(Debug, Args)]
pub struct ListenArguments {
    /// The address to listen on; one of this computer alone unless you say otherwise.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: String,
    /// The port; 0 for any that is free.
    #[arg(long, value_name = "NUMBER", default_value_t = 8000)]
    pub port: u16,
    /// The path of the endpoint; `/mcp`, or `/sse` where streams of HTTP+SSE are opened.
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Keep no sessions for clients of the revisions that have them.
    #[arg(long)]
    pub stateless: bool,
    /// Also answer requests that name this host; those to this computer are answered anyway.
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,
    /// Also answer web pages of this origin, such as `https://app.example.com`.
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
}

impl ListenArguments {
    /// At a port of this computer, for this computer.
    pub fn local(port: u16) -> Self {
        let (host, path) = ("127.0.0.1".to_owned(), None);
        let (allow_host, allow_origin) = (Vec::new(), Vec::new());
        Self { host, port, path, stateless: false, allow_host, allow_origin }
    }
}

/// How a package of cargo is built for one run.
#[derive(Clone, Debug, Default, Args)]
pub struct BuildArguments {
    /// Build the package with this crate besides, such as `serde/derive@1`, for this run only.
    #[arg(long, value_name = "CRATE[@VERSION]")]
    pub with: Vec<String>,
    /// Build it with the crate in this folder, as it is there, for this run only.
    #[arg(long, value_name = "FOLDER")]
    pub with_editable: Vec<PathBuf>,
    /// Build it as cargo does with `--release`.
    #[arg(long)]
    pub release: bool,
}

impl BuildArguments {
    /// Whether the package is built otherwise than its manifest says.
    pub fn changes(&self) -> bool {
        !self.with.is_empty() || !self.with_editable.is_empty()
    }

    /// Whether anything is said that a package alone can follow.
    pub fn is_given(&self) -> bool {
        self.changes() || self.release
    }
}

/// Options of `etdi run`.
#[derive(Debug, Args)]
#[command(
    after_help = "A program for clients that speak HTTP, and a URL for clients that start programs:\n  \
etdi run -t http --port 8000 ./my-server\n  etdi run https://mcp.acme.example/mcp\n  \
etdi run --with itoa@1 cargo:my-server\n\n\
Nothing is verified on the way and nobody has to log in: `etdi guard` verifies."
)]
pub struct RunArguments {
    /// How clients speak to it: stdio, http, or sse (HTTP+SSE of the first revision).
    #[arg(long, short, value_enum, default_value = "stdio", hide_possible_values = true)]
    pub transport: Transport,
    /// Where it listens.
    #[command(flatten)]
    pub listen: ListenArguments,
    /// How it is built.
    #[command(flatten)]
    pub build: BuildArguments,
    /// The server, where it is no command: as of `etdi list`.
    #[arg(value_name = "TARGET", conflicts_with = "command")]
    pub place: Option<String>,
    /// The server, after `--`: the command that starts it.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// What a new project is to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A tool, a resource and a prompt over standard streams.
    Stdio,
    /// The same behind HTTP.
    Http,
    /// Behind HTTP, for those who have an API key.
    Auth,
}

impl Template {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
            Self::Auth => "auth",
        }
    }
}

/// Options of `etdi new`.
#[derive(Debug, Args)]
#[command(
    after_help = "It needs no network, writes into a folder that is not there yet, and passes its \
tests at once:\n  etdi new my-server && cd my-server && cargo test\n\nThe SDK is on no registry: it comes from \
`--sdk` or the variable ETDI_SDK, else from a checkout\n`etdi` beside the project, else from the one that \
this program was built from."
)]
pub struct NewArguments {
    /// The name of the package, and of the folder: small letters, digits, `-` and `_`.
    pub name: String,
    /// What to begin with: stdio, http, or auth (behind HTTP, with API keys).
    #[arg(long, short, value_enum, default_value = "stdio", hide_possible_values = true)]
    pub template: Template,
    /// Take the SDK from this folder, a checkout of its repository, or from a repository: its URL, and
    /// `#` and a revision after it.
    #[arg(long, value_name = "FOLDER|URL")]
    pub sdk: Option<PathBuf>,
    /// The folder to make the project in; the one where you are.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub into: PathBuf,
}

/// From which difference on `etdi diff` fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum FailOn {
    /// Any difference.
    Compatible,
    /// What breaks callers, and what is dangerous.
    Breaking,
    /// What gives a server more power over its users, or words to a model.
    Dangerous,
    /// Nothing.
    Never,
}

/// Options of `etdi diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "A side is a file (what `--save` wrote, or the result of `tools/list`), a URL, or a \
program; the last one may stand after `--` with its arguments:\n  \
etdi diff --save before.json -- ./my-server\n  etdi diff before.json -- ./my-server --verbose\n\n\
Exit codes: 0 nothing that `--fail-on` names, 6 something that it names."
)]
pub struct DiffArguments {
    /// The earlier side and the later one, unless that stands after `--`.
    #[arg(value_name = "SIDE", num_args = 0..=2)]
    pub sides: Vec<String>,
    /// Fail from this class of differences on: compatible, breaking, dangerous, or never.
    #[arg(
        long,
        value_enum,
        value_name = "CLASS",
        default_value = "dangerous",
        hide_possible_values = true
    )]
    pub fail_on: FailOn,
    /// Write what the later side offers to this file, for a comparison some other day.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// The later side, after `--`: the command that starts it, or its URL.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// In which revisions of the protocol a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Revisions {
    /// With a handshake and without.
    Both,
    /// Without a handshake: 2026-07-28.
    Newest,
    /// With a handshake: 2025-11-25 and before.
    Handshake,
    /// What the server and the command agree on.
    Agreed,
}

/// Options of `etdi test`.
#[derive(Debug, Args)]
#[command(after_help = "The file is JSON:\n  {\"server\": [\"./my-server\"], \"steps\": [\n    \
{\"tool\": \"add\", \"arguments\": {\"a\": 1, \"b\": 2},\n     \"expect\": {\"text_contains\": \"3\", \
\"structured\": {\"/result\": 3}, \"max_ms\": 500}},\n    \
{\"tool\": \"divide\", \"arguments\": {\"a\": 1, \"b\": 0}, \"expect\": {\"is_error\": true}}]}\n\n\
Exit codes: 0 all hold, 2 an expectation does not, 4 the server is out of reach.")]
pub struct TestArguments {
    /// The steps.
    pub file: PathBuf,
    /// In which revisions they are taken: newest (without a handshake), handshake, both, or what is
    /// agreed on.
    #[arg(long, value_enum, default_value = "both", hide_possible_values = true)]
    pub revisions: Revisions,
    /// Write the results as JUnit does to this file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print an annotation for GitHub for each expectation that does not hold; on where
    /// `GITHUB_ACTIONS` is `true`.
    #[arg(long)]
    pub github: bool,
    /// The server instead of the one of the file, after `--`: its command, or its URL.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Options of `etdi dev`.
#[derive(Debug, Args)]
#[command(
    after_help = "What a client starts stays the same while the server is built anew; at a terminal \
there is a prompt:\n  \
etdi dev\n  etdi dev --http --port 8000 ./my-server\n  etdi dev --watch src -- python server.py"
)]
pub struct DevArguments {
    /// Serve it over HTTP, at this computer, and not over the standard streams; so it is at a terminal.
    #[arg(long)]
    pub http: bool,
    /// The port there; 0 for any that is free, 8000 without it.
    #[arg(long, value_name = "NUMBER")]
    pub port: Option<u16>,
    /// Start the official Inspector before it, which needs Node.
    #[arg(long)]
    pub inspector: bool,
    /// Lines only: no prompt at a terminal, where it serves over the standard streams then.
    #[arg(long)]
    pub no_ui: bool,
    /// The package: its folder, `cargo:PACKAGE` or `example:NAME`; the one where you are without it.
    #[arg(value_name = "TARGET", conflicts_with = "command")]
    pub place: Option<String>,
    /// The folder of the package, as another way to say it.
    #[arg(long, value_name = "FOLDER", hide = true, conflicts_with_all = ["command", "place"])]
    pub package: Option<PathBuf>,
    /// Which binary of the package, where it has several.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["example", "command"])]
    pub bin: Option<String>,
    /// An example of the package in place of its binary.
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    pub example: Option<String>,
    /// What to watch besides, or for a command instead of the folder where you are.
    #[arg(long, value_name = "PATH")]
    pub watch: Vec<PathBuf>,
    /// Say nothing of the calls on standard error.
    #[arg(long)]
    pub quiet: bool,
    /// How it is built.
    #[command(flatten)]
    pub build: BuildArguments,
    /// The server, after `--`, where it is no cargo package.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// An identity provider that the settings can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// Auth0.
    Auth0,
    /// Okta.
    Okta,
    /// Microsoft Entra ID.
    #[value(alias = "azuread", alias = "entra")]
    Azure,
    /// Any other, by its issuer.
    Custom,
}

impl Provider {
    /// The name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth0 => "auth0",
            Self::Okta => "okta",
            Self::Azure => "azure",
            Self::Custom => "custom",
        }
    }
}

/// Options of `etdi init`.
#[derive(Debug, Args)]
#[command(after_help = "The secret stays in the environment; the file names the variable:\n  \
etdi init --provider auth0 --client-id ID --domain acme.auth0.com --audience https://api.acme.example\n  \
ETDI_CLIENT_SECRET=… etdi validate-oauth --config etdi-config.json")]
pub struct InitArguments {
    /// The identity provider: auth0, okta, azure or custom.
    #[arg(long, short, value_enum, hide_possible_values = true)]
    pub provider: Provider,
    /// The file to write.
    #[arg(long, short, value_name = "FILE", default_value = "etdi-config.json")]
    pub output: PathBuf,
    /// How strict to be: basic, enhanced or strict.
    #[arg(long, value_name = "LEVEL", default_value = "enhanced")]
    pub security_level: SecurityLevel,
    /// The client's id at the provider; `${ETDI_CLIENT_ID}` is written without it.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// The provider's host, an Azure tenant, or the issuer of another provider; `${ETDI_DOMAIN}` is
    /// written without it.
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// The API that tokens are for; `${ETDI_AUDIENCE}` is written without it, where one is needed.
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,
    /// A scope that is asked for.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// The client has no secret, as programs on users' computers have none.
    #[arg(long)]
    pub public_client: bool,
    /// Replace the file if there is one.
    #[arg(long)]
    pub force: bool,
}
