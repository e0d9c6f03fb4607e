//! `etdi sign`: signs what a server lists, off line, with a key that the server never sees; or has an
//! identity provider sign it.

use std::path::Path;
use std::sync::Arc;

use etdi::core::attestation::Attestation;
use etdi::core::binding::{Measurement, runs_other_code};
use etdi::core::definition::RawTool;
use etdi::core::identity::{ProviderId, ServerIdentity};
use etdi::core::manifest::{self, ManifestError};
use etdi::core::proof::Signer;
use etdi::core::time::UnixTime;
use etdi::core::wire::{ManifestContents, Provenance};
use etdi::system_time;
use etdi_oauth::Endorsed;
use serde_json::json;

use crate::args::SignArguments;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report, table};
use crate::targets;
use crate::verbs::claims::Claims;
use crate::verbs::endorse::IdentityProvider;
use crate::verbs::manifest::Unsigned;
use crate::verbs::offered::{Offered, known};
use crate::verbs::relisted::{Difference, differences};
use crate::verbs::target::{block_on, quoted, server_name, shown_path};
use crate::verbs::{keys, signer};

/// Signs what a server offers. Where the manifest that is there lists the same, the signature is
/// added to it; else a new one with the next counter takes its place.
///
/// # Errors
///
/// When the key cannot be used, the server does not list, or something cannot be signed.
pub fn run(arguments: &SignArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let by = By::of(arguments, home)?;
    if let By::Key(key) = &by {
        let (id, revoked) = (key.verifying_key().id(), keys::revocations(home)?.revoked_here());
        if revoked.iter().any(|entry| entry.kid == Some(id)) {
            output.warn(&format!(
                "key {id} was revoked here: whoever knows that refuses what it signs"
            ));
        }
    }
    let server = server_name(&arguments.server)?;
    let issuer = by.issuer(arguments.issuer.as_deref())?;
    let now = system_time();
    let mut statement = Attestation::new(issuer.clone(), server.clone(), now)
        .expires(now.plus(arguments.days.saturating_mul(86_400)));
    for name in &arguments.instance_key {
        statement = statement.instance_key(keys::load(home, name)?.id());
    }
    let claims = Claims::of(&arguments.claims)?;
    let (contents, provenance, claims, tools) = match &arguments.contents {
        Some(path) => {
            let Unsigned { contents, claims: listed } = read_contents(path)?;
            let claims = claims.or(listed.unwrap_or_default());
            (contents, Provenance::default(), claims, Vec::new())
        }
        None => {
            let (contents, provenance, tools) = started(arguments, server.clone(), output)?;
            (contents, provenance, claims, tools)
        }
    };
    let proves = !arguments.instance_key.is_empty();
    let unbound = match server.is_stdio() {
        true if !proves && provenance.bin.is_empty() => Some(
            "nothing binds the manifest to a server over stdio, so clients take it for a copy; \
             leave out --any-executable or add --instance-key",
        ),
        // Over TLS the URL that is dialled is proof enough.
        false if !proves && !arguments.server.starts_with("https://") => Some(
            "over plain http nothing proves which server answers, so clients take the manifest for \
             a copy; add --instance-key, or serve it over https",
        ),
        _ => None,
    };
    statement = claims.put(statement, provenance);
    if let Some(unbound) = unbound {
        output.warn(unbound);
    }
    // What is signed in the place of something else is said before, so that a text that slipped in
    // is seen by whoever answers for it.
    let changes = known(&arguments.listed.out)?.map(|one| differences(&one.contents, &contents));
    if let Some(changes) = changes.as_ref().filter(|changes| !changes.is_empty()) {
        output.line(&format!("not as signed in `{}`:", arguments.listed.out.display()));
        changes.iter().for_each(|one| output.line(&format!("  {one}")));
    }
    let signed = by.sign(&statement, &contents, &tools, output)?;
    let (text, signers) = merged(&arguments.listed.out, &contents, &issuer, &signed.jws)?;
    let out = &arguments.listed.out;
    std::fs::write(out, text).map_err(|error| {
        let message = format!("cannot write `{}`: {error}", out.display());
        Failure::usage(message, format!("ls -ld {}", shown_path(out)))
    })?;
    let tools =
        contents.tools.iter().map(|(name, digest)| json!({ "name": name, "digest": digest }));
    let data = json!({
        "manifest": out, "issuer": issuer, "key": signed.key,
        "expires": signed.expires, "seq": contents.seq, "signers": signers,
        "tools": tools.collect::<Vec<_>>(), "prompts": contents.prompts.len(),
        "resource_templates": contents.resource_templates.len(),
        "instructions": contents.instructions.is_some(),
        "executable": statement.provenance.as_ref().map(|one| &one.bin),
        "instance_keys": statement.instance_keys,
        "changes": changes.map(|all| all.iter().map(Difference::data).collect::<Vec<_>>()),
        "source": claims.source, "slsa": claims.slsa, "contract": claims.contract,
    });
    let rows = contents.tools.iter().map(|(name, digest)| [name.clone(), digest.to_string()]);
    let text = format!(
        "{}\n\nmanifest {}, signed by {issuer} until {}, in `{}`\n\nthe server has to show it: programs on \
         this SDK take it by `EtdiServerConfig::manifest`, others cannot yet; then `etdi verify --trust \
         PUBLIC.json --server {} -- …` with the keys of `etdi keys export` shows what users see",
        table(["tool", "digest"], rows.collect()),
        contents.seq,
        signed.expires,
        out.display(),
        quoted(&arguments.server)
    );
    Ok(Report::new(data, text))
}

/// A statement, what its key is called, and until when it holds.
struct Signed {
    jws: String,
    key: String,
    expires: UnixTime,
}

/// Who signs.
enum By {
    /// A key of the publisher's.
    Key(Arc<dyn Signer>),
    /// An identity provider.
    Provider(Box<IdentityProvider>),
}

impl By {
    fn of(arguments: &SignArguments, home: &Home) -> Result<Self, Failure> {
        match (&arguments.client_id, &arguments.issuer) {
            (Some(client), Some(issuer)) => {
                let key = arguments.client_key.as_deref();
                let provider = IdentityProvider::find(issuer, client, key, home)?;
                Ok(Self::Provider(Box::new(provider)))
            }
            _ => {
                let key = signer::open(home, &arguments.key, arguments.public.as_deref())?;
                Ok(Self::Key(key))
            }
        }
    }

    fn issuer(&self, named: Option<&str>) -> Result<ProviderId, Failure> {
        match (self, named) {
            (Self::Provider(provider), _) => Ok(provider.issuer().clone()),
            (Self::Key(key), None) => Ok(ProviderId::of_key(key.verifying_key().id())),
            (Self::Key(_), Some(origin)) => origin.parse().map_err(|error| {
                let message = format!("`{}`: {error}", origin.escape_debug());
                Failure::usage(message, "etdi sign --help")
            }),
        }
    }

    fn sign(
        &self,
        statement: &Attestation,
        contents: &ManifestContents,
        tools: &[RawTool],
        output: Output,
    ) -> Result<Signed, Failure> {
        match self {
            Self::Provider(provider) => {
                let signed = provider.sign(statement, contents, tools, output)?;
                let Endorsed { statement: jws, key_id: key, expires, .. } = signed;
                Ok(Signed { jws, key, expires })
            }
            Self::Key(key) => {
                let refused =
                    |error: ManifestError| Failure::usage(error.to_string(), "etdi sign --help");
                let jws = contents.sign(statement, &**key).map_err(refused)?;
                let key = key.verifying_key().id().to_string();
                Ok(Signed { jws, key, expires: statement.expires })
            }
        }
    }
}

/// What a server that is started here offers, the program behind it, and its tools.
fn started(
    arguments: &SignArguments,
    server: ServerIdentity,
    output: Output,
) -> Result<(ManifestContents, Provenance, Vec<RawTool>), Failure> {
    let found = targets::resolve(&arguments.command)?;
    if found.url().is_some() {
        // What stands behind a URL is shown by TLS, or by a key that the server proves to hold.
        let offered = block_on(Offered::list(&arguments.command, output))?;
        return Ok((offered.contents(&arguments.listed)?, Provenance::default(), offered.tools));
    }
    let program = found.program().named(server);
    let measured = program.measure().map_err(|error| {
        let first = arguments.command.first().map_or_else(String::new, |one| quoted(one));
        Failure::new(Exit::Unreachable, error.to_string(), format!("which {first}"))
    })?;
    let provenance = match arguments.any_executable {
        true => Provenance::default(),
        false => provenance(&measured)?,
    };
    if !arguments.any_executable && has_built_in(&measured.executable, &arguments.listed.out) {
        output.warn(
            "the program has a manifest built in, so it will be another program once it has this \
             one: give it the file when it starts (`EtdiServerConfig::manifest`), or sign with \
             --any-executable and --instance-key",
        );
    }
    let offered = block_on(Offered::list(&arguments.command, output))?;
    Ok((offered.contents(&arguments.listed)?, provenance, offered.tools))
}

/// Whether a program holds the manifest that is there now: the end of its first statement is
/// nowhere else.
fn has_built_in(executable: &Path, manifest: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(manifest) else { return false };
    let statement = text.lines().next().unwrap_or_default().as_bytes();
    let Some(end) = statement.len().checked_sub(64).and_then(|from| statement.get(from..)) else {
        return false;
    };
    std::fs::read(executable).is_ok_and(|bytes| bytes.windows(end.len()).any(|part| part == end))
}

fn read_contents(path: &Path) -> Result<Unsigned, Failure> {
    let unfit = |why: String| {
        let message = format!("`{}` is no list of `etdi manifest`: {why}", path.display());
        Failure::usage(message, format!("cat {}", shown_path(path)))
    };
    let text = std::fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))
}

/// The text of the file with the new statement, and how many have signed it.
fn merged(
    path: &Path,
    contents: &ManifestContents,
    issuer: &ProviderId,
    jws: &str,
) -> Result<(String, usize), Failure> {
    let mut statements = Vec::new();
    if let Some(known) = known(path)?.filter(|known| known.contents == *contents) {
        for statement in known.statements {
            // Whoever signs again replaces what they said before.
            let by = manifest::read(&statement).map(|one| one.issuer);
            if by.is_ok_and(|by| by != *issuer) {
                statements.push(statement);
            }
        }
    }
    statements.push(jws.to_owned());
    Ok((format!("{}\n", statements.join("\n")), statements.len()))
}

/// The digests of the program and of the files that it is given. Listed as scripts they say that
/// the program is an interpreter, of which clients demand that it is started with one of them.
fn provenance(measured: &Measurement) -> Result<Provenance, Failure> {
    let mut provenance = Provenance::default();
    provenance.bin = vec![measured.digest];
    let files = measured.files.values().copied();
    match measured.script() {
        Some(_) => provenance.scripts = files.collect(),
        None if runs_other_code(&measured.executable) => {
            let message = format!(
                "`{}` runs whatever it is given, so its digest alone binds nothing",
                measured.executable.display()
            );
            return Err(Failure::usage(message, "etdi sign --help"));
        }
        None => provenance.bin.extend(files),
    }
    Ok(provenance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etdi::core::digest::Digest;

    /// The digest of an interpreter would vouch for any code that it is given.
    #[test]
    fn an_interpreter_is_bound_by_its_script_alone() {
        let digest = |text: &str| Digest::of_bytes(text.as_bytes());
        let signed = |executable: &str, arguments: &[&str], file: &str| {
            let argv = std::iter::once(&"x").chain(arguments).map(|&one| one.to_owned()).collect();
            let mut measured = Measurement::new(executable, digest("program"), argv);
            measured.files.insert(file.to_owned(), digest("file"));
            provenance(&measured).map(|one| (one.bin.len(), one.scripts.len())).ok()
        };
        assert_eq!(signed("/usr/bin/python3.12", &["a.py"], "a.py"), Some((1, 1)));
        for arguments in [&["-m", "acme"][..], &["acme"], &["-v", "a.py"], &[]] {
            assert_eq!(signed("/usr/bin/python3.12", arguments, "a.py"), None);
        }
        assert_eq!(signed("/usr/bin/acme", &["--config", "a.toml"], "a.toml"), Some((2, 0)));
    }
}
