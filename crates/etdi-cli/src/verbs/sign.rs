//! `etdi sign`: signs what a server lists, off line, with a key that the server never sees.

use etdi::core::attestation::Attestation;
use etdi::core::binding::Measurement;
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
use crate::verbs::target::{block_on, server_name};

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
            Failure::usage(
                message,
                "etdi sign --issuer https://acme.example --server NAME -- COMMAND",
            )
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
            "etdi sign --server NAME -- PATH_OF_PROGRAM",
        )
    })?;
    if !arguments.any_executable {
        statement = statement.provenance(provenance(&measured));
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
        Failure::usage(message, "etdi sign --out FILE --server NAME -- COMMAND")
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

fn provenance(measured: &Measurement) -> Provenance {
    let mut provenance = Provenance::default();
    provenance.bin = vec![measured.digest];
    provenance.scripts = measured.files.values().copied().collect();
    provenance
}

/// What the server lists: the author's own server, so nothing has to be verified.
async fn list(arguments: &SignArguments, output: Output) -> Result<Vec<RawTool>, Failure> {
    output.progress(&format!("listing the tools of {}", arguments.command.join(" ")));
    let unreachable =
        |error: String| Failure::new(Exit::Unreachable, error, "etdi list -- COMMAND");
    let (program, rest) = arguments.command.split_first().ok_or_else(|| {
        Failure::usage("no command is given", "etdi sign --server NAME -- COMMAND")
    })?;
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
            Failure::new(Exit::Refused, message, "etdi list --json -- COMMAND")
                .with_code("DEFINITION_INVALID")
        })
    });
    read.collect()
}
