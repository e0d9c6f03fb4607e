//! `etdi manifest`: what a server offers, by digest, for a signature that is made elsewhere.

use etdi::core::wire::ManifestContents;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::ManifestArguments;
use crate::exit::Failure;
use crate::output::{Output, Report};
use crate::verbs::claims::Claims;
use crate::verbs::offered::Offered;
use crate::verbs::target::block_on;

/// What is still to be signed, as it stands in the file that `etdi sign --contents` reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unsigned {
    /// What the server offers.
    #[serde(flatten)]
    pub contents: ManifestContents,
    /// What is claimed beside it; none in lists of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
}

/// Prints the unsigned contents of a manifest, and what is claimed with them.
///
/// # Errors
///
/// When the server does not list, something cannot be listed, or a document that is claimed cannot
/// be read.
pub fn run(arguments: &ManifestArguments, output: Output) -> Result<Report, Failure> {
    let claims = Some(Claims::of(&arguments.claims)?).filter(|one| *one != Claims::default());
    let offered = block_on(Offered::list(&arguments.command, output))?;
    let contents = offered.contents(&arguments.contents)?;
    let unsigned = Unsigned { contents, claims };
    Ok(Report::new(data(&unsigned), written(&unsigned)?))
}

/// The contents as a file that `etdi sign --contents` reads.
///
/// # Errors
///
/// When they have no JSON form.
pub fn written(unsigned: &Unsigned) -> Result<String, Failure> {
    serde_json::to_string_pretty(unsigned).map_err(|error| {
        Failure::usage(format!("the list cannot be written: {error}"), "etdi manifest --help")
    })
}

/// The contents and the claims for programs.
fn data(unsigned: &Unsigned) -> Value {
    let Unsigned { contents, claims } = unsigned;
    json!({ "contents": contents, "digest": contents.digest(), "claims": claims })
}
