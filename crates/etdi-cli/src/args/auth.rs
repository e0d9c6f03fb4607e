//! The arguments of `etdi auth`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Commands on OAuth.
#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Log in at a server; the login is kept sealed, renewed, and used wherever the server is named.
    Login(LoginArguments),
    /// End a login: the tokens are taken back where the issuer offers that, and forgotten.
    Logout {
        /// The server's URL.
        url: String,
    },
    /// List the logins that are kept: where, with which scopes, until when.
    Status,
    /// Run an authorization server on this computer, for development and tests.
    Serve(Box<ServeArguments>),
    /// Print a line for the file of `--users`: a name, and what is kept of a password that is asked
    /// for here.
    User {
        /// The name.
        name: String,
    },
    /// Make, list and revoke API keys, for programs where nobody logs in.
    #[command(subcommand, name = "api-key")]
    ApiKey(ApiKeyCommand),
}

/// What to do with the API keys of a file.
#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// Make a key and print it: the file keeps a digest of it alone, so this is the only time.
    #[command(
        after_help = "  etdi auth api-key new keys.json build-server --scope notes:read --days 90\n\n\
The file is `gateway.auth.api_keys` of a gateway, or `ApiKeys::open` of a server; callers send the key\n\
in `X-API-Key`."
    )]
    New {
        /// The file; it is made with the first key.
        file: PathBuf,
        /// Who has it: a name that no key of the file has or had.
        name: String,
        /// What its holder may do.
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,
        /// For how many days it counts; until it is revoked without it.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
        days: Option<u32>,
    },
    /// List the keys by their names.
    List {
        /// The file.
        file: PathBuf,
    },
    /// Take a key back; whoever serves with the file refuses it a second later.
    Revoke {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        name: String,
    },
}

/// Options of `etdi auth login`.
#[derive(Debug, Args)]
#[command(after_help = "  etdi auth login https://mcp.acme.example/mcp\n  \
etdi auth login --device https://mcp.acme.example/mcp   # on a computer without a browser\n\n\
The secret of a client is taken from `ETDI_CLIENT_SECRET`.")]
pub struct LoginArguments {
    /// The server's URL.
    pub url: String,
    /// Log in on another device, by a code (RFC 8628).
    #[arg(long, conflicts_with = "paste")]
    pub device: bool,
    /// Log in anywhere, and paste the address of the page on which the browser ends up.
    #[arg(long)]
    pub paste: bool,
    /// A scope that is wanted in any case.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// The id of a client that is registered with the issuer, for issuers that register none.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// The issuer of that client; the first that the server names without it.
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub issuer: Option<String>,
}

/// Options of `etdi auth serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// The port to listen on, at 127.0.0.1; 0 for any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 9000)]
    pub port: u16,
    /// The issuer, as tokens name it; `http://127.0.0.1:PORT` without it. Without `--users` and
    /// `--upstream` it has to be a URL of this computer, because users are believed who they say they
    /// are then.
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// A server that tokens are issued for, by the URL that its metadata names.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000/mcp")]
    pub resource: Vec<String>,
    /// A scope that there is.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// A scope that there is, and that is granted when none is asked for.
    #[arg(long, value_name = "SCOPE")]
    pub default_scope: Vec<String>,
    /// Where keys, clients and grants are kept; without it they end with the process.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// A client, as `ID=REDIRECT-URI`, or `ID` alone, with `--secret`, for one that acts in its own
    /// name. Give it again for another redirect URI.
    #[arg(long, value_name = "ID=URI")]
    pub client: Vec<String>,
    /// The file with the secret of a client, as `ID=FILE`.
    #[arg(long, value_name = "ID=FILE")]
    pub secret: Vec<String>,
    /// The users and what is kept of their passwords, a line each as `etdi auth user` prints it.
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
    /// Where users log in: `google`, `github` or the URL of an OpenID provider. Who of them may has to
    /// be said by `--allow-user`, `--allow-domain` or `--allow-anybody`.
    #[arg(long, value_name = "PROVIDER", requires = "upstream_client_id")]
    pub upstream: Option<String>,
    /// The id that the provider gave this server. The secret that belongs to it is in the variable
    /// `ETDI_UPSTREAM_SECRET`, or in a file.
    #[arg(long, value_name = "ID", requires = "upstream")]
    pub upstream_client_id: Option<String>,
    /// The file with that secret.
    #[arg(long, value_name = "FILE", requires = "upstream")]
    pub upstream_secret: Option<PathBuf>,
    /// A user who may log in there: by what the provider calls the user (`sub`, the number of a GitHub
    /// account), or by an address that it has verified.
    #[arg(long, value_name = "USER", requires = "upstream")]
    pub allow_user: Vec<String>,
    /// An organisation whose members may, by its domain.
    #[arg(long, value_name = "DOMAIN", requires = "upstream")]
    pub allow_domain: Vec<String>,
    /// Everybody with an account there may.
    #[arg(long, requires = "upstream", conflicts_with_all = ["allow_user", "allow_domain"])]
    pub allow_anybody: bool,
    /// Let clients register themselves.
    #[arg(long)]
    pub registration: bool,
    /// Bind every token to a key of its client (DPoP).
    #[arg(long)]
    pub dpop: bool,
}

impl AuthCommand {
    /// The name in the envelope.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Login(_) => "auth login",
            Self::Logout { .. } => "auth logout",
            Self::Status => "auth status",
            Self::Serve(_) => "auth serve",
            Self::User { .. } => "auth user",
            Self::ApiKey(ApiKeyCommand::New { .. }) => "auth api-key new",
            Self::ApiKey(ApiKeyCommand::List { .. }) => "auth api-key list",
            Self::ApiKey(ApiKeyCommand::Revoke { .. }) => "auth api-key revoke",
        }
    }
}
