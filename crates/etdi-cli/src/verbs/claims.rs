//! What a publisher claims of source, build and interface: by options, or in a list of `etdi
//! manifest`.

use std::path::Path;

use etdi::core::attestation::Attestation;
use etdi::core::wire::{Contract, Provenance};
use serde::{Deserialize, Serialize};

use crate::args::ClaimArguments;
use crate::exit::Failure;
use crate::verbs::target::shown_path;

/// Claims that are signed beside what a server lists, and that nobody here checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Claims {
    /// Where the source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where a SLSA attestation of the build is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slsa: Option<String>,
    /// The interface behind the tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
}

impl Claims {
    /// What the options say.
    ///
    /// # Errors
    ///
    /// When the document of an interface is not named or cannot be read.
    pub fn of(arguments: &ClaimArguments) -> Result<Self, Failure> {
        let contract = arguments.contract.as_deref();
        let contract = contract.map(|named| contract_of(named, arguments.contract_url.as_deref()));
        Ok(Self {
            source: arguments.source.clone(),
            slsa: arguments.slsa.clone(),
            contract: contract.transpose()?,
        })
    }

    /// The same, with what another says where this says nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            source: self.source.or(other.source),
            slsa: self.slsa.or(other.slsa),
            contract: self.contract.or(other.contract),
        }
    }

    /// Puts them into a statement, beside the digests of the program.
    pub fn put(&self, mut statement: Attestation, mut provenance: Provenance) -> Attestation {
        provenance.src.clone_from(&self.source);
        provenance.slsa.clone_from(&self.slsa);
        if provenance != Provenance::default() {
            statement = statement.provenance(provenance);
        }
        match &self.contract {
            Some(contract) => statement.contract(contract.clone()),
            None => statement,
        }
    }
}

/// The interface that `TYPE=FILE` names.
fn contract_of(named: &str, url: Option<&str>) -> Result<Contract, Failure> {
    let (kind, path) = named
        .split_once('=')
        .filter(|(kind, path)| !kind.is_empty() && !path.is_empty())
        .ok_or_else(|| {
            let message = format!(
                "`{}` names no interface, write its type and its file, such as `openapi=api.yaml`",
                named.escape_debug()
            );
            Failure::usage(message, "etdi sign --help")
        })?;
    let document = std::fs::read(path).map_err(|error| {
        let path = Path::new(path);
        let message = format!("cannot read `{}`: {error}", path.display());
        Failure::usage(message, format!("ls -l {}", shown_path(path)))
    })?;
    let contract = Contract::of(kind, &document);
    Ok(match url {
        Some(url) => contract.at(url),
        None => contract,
    })
}
