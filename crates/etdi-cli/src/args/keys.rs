//! `etdi keys` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key. Its file is open to you only, and encrypted where a passphrase is given.
    #[command(visible_alias = "new")]
    Generate {
        /// A name: letters, digits, `-` and `_`.
        #[arg(default_value = "default")]
        name: String,
        /// The algorithm; RSA is for calls to servers that know nothing else.
        #[arg(long, value_enum, default_value_t, ignore_case = true)]
        algorithm: KeyAlgorithm,
        /// The size of an RSA key: 2048, 3072 or 4096.
        #[arg(long, default_value_t = 3072)]
        bits: usize,
        /// Encrypt it with a passphrase, which is asked for or given as for `etdi approvals`.
        #[arg(long)]
        encrypt: bool,
        /// Keep it in the system's keyring, so that no file holds it.
        #[arg(long, conflicts_with = "encrypt")]
        keyring: bool,
    },
    /// Take over a key of the Python SDK, to verify what it signed: it lay on the disk unencrypted.
    Import {
        /// Its private half, such as `~/.etdi/keys/NAME.private.pem`, beside its two companions.
        file: PathBuf,
        /// Which program wrote it.
        #[arg(long, value_enum)]
        from: KeySource,
        /// The name that it has here; the one that it had there when it is not given.
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// Encrypt it with a passphrase, which is asked for or given as for `etdi approvals`.
        #[arg(long)]
        encrypt: bool,
    },
    /// List your keys, the publishers that you trust and the clients that your servers know.
    List,
    /// Print the public half as a JWK set, for those who trust it.
    Export {
        /// The key's name.
        #[arg(default_value = "default")]
        name: String,
    },
    /// Trust the keys of a JWK set: a publisher's, or a client's of your servers. A rotation
    /// statement is taken as well, if a key that is trusted has signed it.
    Trust {
        /// The file.
        file: PathBuf,
        /// Whose they are: an HTTPS origin for a publisher, `etdi:key:ID` for one who signs as the key
        /// itself (`etdi sign` without `--issuer`), any other name for a client of your servers.
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// Do not ask at the terminal.
        #[arg(long)]
        yes: bool,
    },
    /// Make the key that follows another, and sign for it with the old one. No remedy for a stolen
    /// key: revoke that one.
    Rotate(RotateArguments),
    /// Refuse whatever a key, a statement or a provider has ever said, and a definition, signed or not.
    Revoke(RevokeArguments),
    /// Encrypt a key that is not.
    Encrypt {
        /// The key's name.
        #[arg(default_value = "default")]
        name: String,
    },
}

/// Options of `etdi keys rotate`.
#[derive(Debug, Args)]
pub struct RotateArguments {
    /// The key's name; the new key has it from now on.
    #[arg(default_value = "default")]
    pub name: String,
    /// Whose key it is: an HTTPS origin; without it the key itself.
    #[arg(long, value_name = "ORIGIN")]
    pub issuer: Option<String>,
    /// For how many days the old key counts beside the new one.
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub overlap: u64,
    /// Where the statement goes, for those who trust the old key.
    #[arg(long, value_name = "FILE", default_value = "etdi.rotation.jws")]
    pub out: PathBuf,
}

/// Options of `etdi keys revoke`.
#[derive(Debug, Args)]
pub struct RevokeArguments {
    /// What: the id or name of a key, `jti:` and the id of a statement, the digest of a definition,
    /// or a provider.
    // One key id in sixty-four starts with `-`.
    #[arg(allow_hyphen_values = true)]
    pub what: String,
    /// Why, for later.
    #[arg(long)]
    pub reason: Option<String>,
    /// Also publish it: add it to a revocation list that this key of yours signs.
    #[arg(long, value_name = "KEY")]
    pub sign: Option<String>,
    /// Whose list it is: an HTTPS origin.
    #[arg(long, value_name = "ORIGIN", requires = "sign")]
    pub issuer: Option<String>,
    /// The list, which is read where it is there and written anew.
    #[arg(long, value_name = "FILE", default_value = "etdi.revocations.jws", requires = "sign")]
    pub list: PathBuf,
    /// For how many days the list holds.
    #[arg(long, value_name = "DAYS", default_value_t = 1)]
    pub days: u64,
}

/// An algorithm of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyAlgorithm {
    /// Ed25519.
    #[default]
    Eddsa,
    /// ECDSA on P-256.
    Es256,
    /// RSA, PKCS #1 version 1.5.
    Rs256,
    /// RSA, PSS.
    Ps256,
}

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeySource {
    /// The Python SDK.
    PythonFork,
}

impl KeysCommand {
    /// The name in the envelope.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Generate { .. } => "keys generate",
            Self::Import { .. } => "keys import",
            Self::List => "keys list",
            Self::Export { .. } => "keys export",
            Self::Trust { .. } => "keys trust",
            Self::Rotate(_) => "keys rotate",
            Self::Revoke(_) => "keys revoke",
            Self::Encrypt { .. } => "keys encrypt",
        }
    }
}
