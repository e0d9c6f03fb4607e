//! `etdi sign`: signs what a server lists, off line, with a key that the server never sees.

use etdi::core::attestation::Attestation;
use etdi::core::binding::{Measurement, runs_other_code};
use etdi::core::definition::{DefinitionError, RawTool};
use etdi::core::identity::ProviderId;
use etdi::core::manifest;
use etdi::core::wire::Provenance;
use etdi::{Program, system_time};
use mcp_client::Client;
use mcp_types::Implementation;
use serde_json::json;

use crate::args::SignArguments;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report, table};
use crate::verbs::keys;
use crate::verbs::target::{block_on, quoted, server_name, shown_path};

/// Signs the tools of a server.
///
/// # Errors
///
/// When the key cannot be used, the server does not list, or a tool cannot be signed.
pub fn run(arguments: &SignArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let key = keys::load(home, &arguments.key)?;
    let server = server_name(&arguments.server)?;
    let issuer = match &arguments.issuer {
        None => ProviderId::of_key(key.id()),
        Some(origin) => origin.parse().map_err(|error| {
            let message = format!("`{}`: {error}", origin.escape_debug());
            Failure::usage(message, "etdi sign --help")
        })?,
    };
    let now = system_time();
    let mut statement = Attestation::new(issuer.clone(), server.clone(), now)
        .expires(now.plus(arguments.days.saturating_mul(86_400)));
    for name in &arguments.instance_key {
        statement = statement.instance_key(keys::load(home, name)?.id());
    }
    let program = Program::new(arguments.command.clone()).named(server);
    let measured = program.measure().map_err(|error| {
        Failure::new(
            Exit::Unreachable,
            error.to_string(),
            format!(
                "which {}",
                arguments.command.first().map_or_else(String::new, |one| quoted(one))
            ),
        )
    })?;
    if !arguments.any_executable {
        statement = statement.provenance(provenance(&measured)?);
    }
    if arguments.any_executable && arguments.instance_key.is_empty() {
        output.warn(
            "nothing binds the manifest to the server, so clients take it for a copy; \
                     leave out --any-executable or add --instance-key",
        );
    }

    let raws = block_on(list(arguments, output))?;
    let definitions: Vec<_> = raws.iter().map(RawTool::definition).collect();
    let jws = manifest::sign(&statement, definitions.iter().copied(), &key);
    let jws = jws.map_err(|error| Failure::usage(error.to_string(), "etdi keys list"))?;
    std::fs::write(&arguments.out, format!("{jws}\n")).map_err(|error| {
        let message = format!("cannot write `{}`: {error}", arguments.out.display());
        Failure::usage(message, format!("ls -ld {}", shown_path(&arguments.out)))
    })?;
    let tools = definitions.iter().map(|one| json!({ "name": one.name(), "digest": one.digest() }));
    let data = json!({
        "manifest": arguments.out, "issuer": issuer, "key": key.id(), "expires": statement.expires,
        "tools": tools.collect::<Vec<_>>(), "executable": statement.provenance.as_ref().map(|one| &one.bin),
        "instance_keys": statement.instance_keys,
    });
    let rows = definitions.iter().map(|one| [one.name().to_owned(), one.digest().to_string()]);
    let text = format!(
        "{}\n\nsigned by {issuer} until {}, in `{}`",
        table(["tool", "digest"], rows.collect()),
        statement.expires,
        arguments.out.display()
    );
    Ok(Report::new(data, text))
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

/// What the server lists: the author's own server, so nothing has to be verified.
async fn list(arguments: &SignArguments, output: Output) -> Result<Vec<RawTool>, Failure> {
    let words: Vec<_> = arguments.command.iter().map(|word| quoted(word)).collect();
    let command = words.join(" ");
    output.progress(&format!("listing the tools of {}", arguments.command.join(" ")));
    let unreachable =
        |error: String| Failure::new(Exit::Unreachable, error, format!("etdi list -- {command}"));
    let (program, rest) = arguments
        .command
        .split_first()
        .ok_or_else(|| Failure::usage("no command is given", "etdi sign --help"))?;
    let io = mcp_transport::process::Command::new(program).args(rest).spawn();
    let io = io.map_err(|error| unreachable(error.to_string()))?;
    let info = Implementation::new("etdi", env!("CARGO_PKG_VERSION"));
    let client = Client::new(mcp_transport::connect(io, info));
    let tools = client.all_tools().await;
    client.service().close().await;
    let tools = tools.map_err(|error| unreachable(error.to_string()))?;
    let read = tools.iter().map(|tool| {
        RawTool::from_listed(tool).map_err(|error: DefinitionError| {
            let message = format!("tool `{}` cannot be signed: {error}", tool.name.escape_debug());
            Failure::new(Exit::Refused, message, format!("etdi list --json -- {command}"))
                .with_code("DEFINITION_INVALID")
        })
    });
    read.collect()
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
