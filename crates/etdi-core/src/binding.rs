//! What stands behind a listing: the ways in which a copied attestation shows itself as a copy.
//!
//! (a) Over HTTPS the URL that the client dialled is the subject of the statement. (b) Over stdio
//! the statement lists the digests of the program, and [`Measurement`] holds those of what is
//! about to be started. (c) The server answers a [`Challenge`] with a key that the statement
//! names, which gives a [`Possession`].
//!
//! What (b) does not cover: a file can be replaced between [`measure`] and the start of the
//! process by whoever may write it, and libraries, interpreters' modules and the environment are
//! not measured. What (c) does not cover: a live relay to the honest server answers every
//! challenge.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::approval::Pin;
use crate::attestation::to_json;
use crate::digest::{Digest, Hasher};
use crate::identity::ServerIdentity;
use crate::jws::{self, Jws};
use crate::key::{KeyError, KeyId, VerifyingKey};
use crate::proof::{SignError, Signer};
use crate::random;
use crate::time::UnixTime;
use crate::verify::VerifyError;
use crate::wire::{KEY_ISSUER, PossessionClaims, Provenance, StatementType};

/// The program that is about to be started, by content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measurement {
    /// Where the executable really lies, links followed.
    pub executable: PathBuf,
    /// The SHA-256 of its content.
    pub digest: Digest,
    /// The path by which it was found and is to be started, links not followed.
    pub program: PathBuf,
    /// The exact command line, the program first.
    pub argv: Vec<String>,
    /// The SHA-256 of each file that an argument names, by the argument, or, where both the whole
    /// of it and what follows its `=` name files, each by its own name.
    pub files: BTreeMap<String, Digest>,
}

impl Measurement {
    /// Digests that the caller has computed.
    pub fn new(executable: impl Into<PathBuf>, digest: Digest, argv: Vec<String>) -> Self {
        let executable = executable.into();
        Self { program: executable.clone(), executable, digest, argv, files: BTreeMap::new() }
    }

    /// The script that an interpreter is given: the first argument, where the whole of it names a
    /// file. `None` behind an option, which could bring code of its own.
    pub fn script(&self) -> Option<Digest> {
        let first =
            self.argv.get(1).filter(|first| !first.starts_with('-') && !first.contains('='));
        self.files.get(first?).copied()
    }

    /// What is kept with an approval, where nothing else binds the definition to its server.
    pub fn pin(&self) -> Pin {
        let executable = self.executable.to_string_lossy().into_owned();
        let mut pin = Pin::new(executable, self.digest, self.argv.clone());
        pin.files = self.files.clone();
        pin
    }

    /// Whether a statement lists this very program: the executable among its binaries, and each
    /// file of the command line among its scripts or binaries.
    ///
    /// Where the statement lists scripts, the executable is an interpreter, which runs whatever it
    /// is given: then the first argument has to be one of them.
    ///
    /// # Errors
    ///
    /// [`VerifyError::ExecutableMismatch`] with the first that it does not list,
    /// [`VerifyError::ScriptMissing`] when no script is the first argument.
    pub fn check(&self, provenance: &Provenance) -> Result<(), VerifyError> {
        let mismatch = |file: String, measured| {
            let listed = provenance.bin.iter().chain(&provenance.scripts).copied().collect();
            Err(VerifyError::ExecutableMismatch { file, measured, listed })
        };
        if !provenance.bin.contains(&self.digest) {
            return mismatch(self.executable.to_string_lossy().into_owned(), self.digest);
        }
        let listed =
            |digest| provenance.scripts.contains(digest) || provenance.bin.contains(digest);
        if let Some((file, digest)) = self.files.iter().find(|(_, digest)| !listed(digest)) {
            return mismatch(file.clone(), *digest);
        }
        let runs_script = self.script().is_some_and(|one| provenance.scripts.contains(&one));
        match provenance.scripts.is_empty() || runs_script {
            true => Ok(()),
            false => Err(VerifyError::ScriptMissing { argument: self.argv.get(1).cloned() }),
        }
    }
}

/// The largest file that is measured, 4 GiB.
const MAX_FILE: u64 = 4 << 30;

/// Reads the program that a command line starts, and each file that its arguments name.
///
/// `argv` is the program and its arguments, `directory` where it will be started (the present one
/// if `None`), `path` the list of directories in which a program without a slash is looked for,
/// the `PATH` that the child will get. An argument names a file when the whole of it does, or what
/// follows its first `=`.
///
/// # Errors
///
/// When there is no program, it cannot be found, or a file cannot be read or is larger than 4 GiB.
pub fn measure(
    argv: &[String],
    directory: Option<&Path>,
    path: Option<&OsStr>,
) -> Result<Measurement, MeasureError> {
    let (program, arguments) = argv.split_first().ok_or(MeasureError::NoProgram)?;
    let directory = directory.unwrap_or(Path::new(""));
    let found = find(program, directory, path)
        .ok_or_else(|| MeasureError::NotFound { program: program.clone() })?;
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |source| MeasureError::Unreadable { path, source }
    };
    let executable = found.canonicalize().map_err(unreadable(&found))?;
    let program = std::path::absolute(&found).map_err(unreadable(&found))?;
    let digest = hash(&executable).map_err(unreadable(&executable))?;
    let mut files = BTreeMap::new();
    for argument in arguments {
        let tail = argument.split_once('=').map(|(_, tail)| tail);
        for name in [Some(argument.as_str()), tail].into_iter().flatten() {
            let file = directory.join(name);
            if file.is_file() {
                let digest = hash(&file).map_err(unreadable(&file))?;
                let key = if files.contains_key(argument) { name } else { argument };
                files.insert(key.to_owned(), digest);
            }
        }
    }
    Ok(Measurement { executable, digest, program, argv: argv.to_vec(), files })
}

/// Whether a program is known to run code that its command line or its directory brings along:
/// interpreters and package runners, by the name of the file without its version. A list of names
/// is never complete; what it holds is treated with more care.
pub fn runs_other_code(program: &Path) -> bool {
    const KNOWN: [&str; 36] = [
        "ash", "bash", "bun", "bunx", "busybox", "dash", "deno", "dotnet", "env", "fish", "go",
        "java", "julia", "ksh", "lua", "luajit", "make", "node", "nodejs", "npm", "npx", "perl",
        "php", "pipx", "pnpm", "poetry", "pypy", "python", "rscript", "ruby", "sh", "uv", "uvx",
        "yarn", "zsh", "cargo",
    ];
    let name = program.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.trim_end_matches(".exe");
    KNOWN.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || ".-_".contains(c)))
}

fn find(program: &str, directory: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.contains(std::path::is_separator) {
        return Some(directory.join(program)).filter(|path| path.is_file());
    }
    let places = std::env::split_paths(path?).map(|place| place.join(program));
    places.map(|place| directory.join(place)).find(|place| place.is_file())
}

fn hash(path: &Path) -> std::io::Result<Digest> {
    let file = File::open(path)?;
    if file.metadata()?.len() > MAX_FILE {
        return Err(std::io::Error::other("larger than 4 GiB"));
    }
    let mut reader = file.take(MAX_FILE);
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = reader.read(&mut buffer)?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(hasher.finish()),
            Some(part) => hasher.update(part),
        }
    }
}

/// Why a program could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The command line is empty.
    #[error("the command line is empty, name a program")]
    NoProgram,
    /// There is no such program.
    #[error("program `{program}` was not found, give its path")]
    NotFound {
        /// The program as it was given.
        program: String,
    },
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A nonce of 128 random bits that a client puts before a server. Use it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// A fresh one.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, KeyError> {
        random::id().map(Self)
    }

    /// The nonce as it stands in `_meta`.
    pub fn nonce(&self) -> &str {
        &self.0
    }
}

/// The longest nonce that a server answers.
const MAX_NONCE: usize = 128;

/// How old the answer to a challenge may be.
const MAX_AGE: u64 = 300;

/// Answers a challenge with the server's instance key.
///
/// `server` is the server as its attestations name it, `manifest` the digest of its list of tools.
///
/// # Errors
///
/// When the nonce is longer than 128 bytes or holds anything but base64url, or the key cannot
/// sign.
pub fn answer(
    nonce: &str,
    server: &ServerIdentity,
    manifest: Option<Digest>,
    signer: &dyn Signer,
    now: UnixTime,
) -> Result<String, SignError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    // Whatever a peer sends is signed here, so it must not be able to look like anything else.
    if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(plain) {
        return Err(SignError("the challenge is no nonce in base64url".to_owned()));
    }
    let key = signer.verifying_key();
    let claims = PossessionClaims {
        iss: format!("{KEY_ISSUER}{}", key.id()),
        aud: server.to_string(),
        iat: now.0,
        nonce: nonce.to_owned(),
        jwk: serde_json::from_str(&key.to_jwk()).map_err(|error| SignError(error.to_string()))?,
        mdg: manifest,
    };
    jws::sign(StatementType::Possession, &to_json(&claims)?, signer)
}

/// That the server on the other end holds a key. Made by [`Possession::check`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Possession {
    key: VerifyingKey,
    server: ServerIdentity,
    manifest: Option<Digest>,
}

impl Possession {
    /// Checks the answer to a challenge.
    ///
    /// The answer brings its key along; that is no matter of trust, because an attestation has to
    /// name its thumbprint.
    ///
    /// # Errors
    ///
    /// [`VerifyError::PossessionInvalid`] when the answer is to another challenge, too old, or not
    /// signed by the key that it brings.
    pub fn check(text: &str, challenge: &Challenge, now: UnixTime) -> Result<Self, VerifyError> {
        let invalid = |why: &str| VerifyError::PossessionInvalid { why: why.to_owned() };
        let jws = Jws::read(text, StatementType::Possession)
            .map_err(|error| invalid(&error.to_string()))?;
        let claims: PossessionClaims = serde_json::from_str(jws.unverified_payload())
            .map_err(|_| invalid("it lacks a member"))?;
        let key = VerifyingKey::from_jwk(&claims.jwk.to_string())
            .map_err(|error| invalid(&error.to_string()))?;
        jws.verify(&key).map_err(|error| invalid(&error.to_string()))?;
        if claims.nonce != challenge.0 {
            return Err(invalid("it answers another challenge"));
        }
        if claims.iss != format!("{KEY_ISSUER}{}", key.id()) {
            return Err(invalid("it names another key than the one that signed"));
        }
        if now.0.abs_diff(claims.iat) > MAX_AGE {
            return Err(invalid("its time is more than five minutes off, set the clocks"));
        }
        let server = claims.aud.parse().map_err(|_| invalid("it names no server"))?;
        Ok(Self { key, server, manifest: claims.mdg })
    }

    /// The thumbprint of the key that the server holds.
    pub fn key(&self) -> KeyId {
        self.key.id()
    }

    /// The key that the server holds. Nothing says whose it is.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The server as it names itself; the attestation's subject must be the same.
    pub fn server(&self) -> &ServerIdentity {
        &self.server
    }

    /// The digest of the list of tools that the server will show.
    pub fn manifest(&self) -> Option<Digest> {
        self.manifest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own that goes away.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            let place = std::env::temp_dir().join(format!("etdi-measure-{}", std::process::id()));
            std::fs::create_dir_all(&place).unwrap();
            Self(place)
        }

        fn file(&self, name: &str, content: &str) -> Digest {
            std::fs::write(self.0.join(name), content).unwrap();
            Digest::of_bytes(content.as_bytes())
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn measures_the_program_and_the_files_it_is_given() {
        let place = Place::new();
        let program = place.file("notes", "program");
        let (script, config) = (place.file("a.py", "script"), place.file("c.toml", "config"));
        let argv = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        let arguments = ["-v", "a.py", "--config=c.toml", "--none=x", "missing.py", "."];

        let by_path = argv(&[&["./notes"][..], &arguments].concat());
        let measured = measure(&by_path, Some(&place.0), None).unwrap();
        assert_eq!(measured.digest, program);
        assert_eq!(measured.executable, place.0.join("notes").canonicalize().unwrap());
        assert_eq!(measured.argv, by_path);
        let files: Vec<_> =
            measured.files.iter().map(|(name, digest)| (&**name, *digest)).collect();
        assert_eq!(files, [("--config=c.toml", config), ("a.py", script)]);
        assert_eq!(measured.pin().files, measured.files);

        let by_name = argv(&["notes"]);
        let path = std::env::join_paths([Path::new("/nonexistent"), &place.0]).unwrap();
        assert_eq!(measure(&by_name, None, Some(&path)).unwrap().digest, program);
        assert!(matches!(measure(&by_name, None, None), Err(MeasureError::NotFound { .. })));
        assert!(matches!(measure(&[], None, None), Err(MeasureError::NoProgram)));

        place.file("notes", "another program");
        assert_ne!(measure(&by_path, Some(&place.0), None).unwrap().digest, program);

        // Two files may hide in one argument, and none of them behind the other.
        let both = place.file("x=a.py", "evil");
        let measured = measure(&argv(&["./notes", "x=a.py"]), Some(&place.0), None).unwrap();
        assert_eq!(measured.files.get("x=a.py"), Some(&both));
        assert_eq!(measured.files.get("a.py"), Some(&script));
        assert_eq!(measured.script(), None);
    }
}
