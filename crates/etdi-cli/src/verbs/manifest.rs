//! `etdi manifest`: what a server offers, by digest, for a signature that is made elsewhere.

use etdi::core::wire::ManifestContents;
use serde_json::{Value, json};

use crate::args::ManifestArguments;
use crate::exit::Failure;
use crate::output::{Output, Report};
use crate::verbs::offered::Offered;
use crate::verbs::target::block_on;

/// Prints the unsigned contents of a manifest.
///
/// # Errors
///
/// When the server does not list, or something cannot be listed.
pub fn run(arguments: &ManifestArguments, output: Output) -> Result<Report, Failure> {
    let offered = block_on(Offered::list(&arguments.command, output))?;
    let contents = offered.contents(&arguments.contents)?;
    Ok(Report::new(data(&contents), written(&contents)?))
}

/// The contents for programs.
pub fn data(contents: &ManifestContents) -> Value {
    json!({ "contents": contents, "digest": contents.digest() })
}

/// The contents as a file that `etdi sign --contents` reads.
///
/// # Errors
///
/// When they have no JSON form.
pub fn written(contents: &ManifestContents) -> Result<String, Failure> {
    serde_json::to_string_pretty(contents).map_err(|error| {
        Failure::usage(format!("the list cannot be written: {error}"), "etdi manifest --help")
    })
}
