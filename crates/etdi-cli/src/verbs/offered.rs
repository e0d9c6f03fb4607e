//! What a server offers, listed by its own author: nothing has to be verified.

use std::path::Path;
use std::sync::Arc;

use etdi::core::change::visible;
use etdi::core::definition::{DefinitionError, RawTool};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{KeyRing, VerifyingKey};
use etdi::core::manifest::{self, ManifestBuilder, ManifestError, ManifestFile};
use etdi::core::permission::Scope;
use etdi::core::wire::ManifestContents;
use etdi::system_time;
use mcp_client::Client;
use mcp_types::{ExchangeService, Implementation, Listed, Prompt, ResourceTemplate};

use crate::args::ContentsArguments;
use crate::ask::{server_says, while_opening};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::targets;
use crate::verbs::target::{quoted, shown_path};
use crate::verbs::{endorse, upstream};

/// All that a server shows to a model before anything is called.
pub struct Offered {
    /// The tools, in order.
    pub tools: Vec<RawTool>,
    /// The prompts.
    pub prompts: Vec<Arc<Listed<Prompt>>>,
    /// The resource templates.
    pub templates: Vec<Arc<Listed<ResourceTemplate>>>,
    /// The instructions.
    pub instructions: Option<String>,
}

impl Offered {
    /// Starts a server, or dials its URL, and lists what it offers.
    ///
    /// # Errors
    ///
    /// When it cannot be started, does not list, or lists what is no definition, and when it would be
    /// asked over plain HTTP on another computer, where nothing says whose answer comes.
    pub async fn list(argv: &[String], output: Output) -> Result<Self, Failure> {
        let command = argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let found = targets::resolve(argv)?;
        if let Some(url) = found.url() {
            protected(url)?;
        }
        output.progress(&format!("listing what {} offers", argv.join(" ")));
        let info = Implementation::new("etdi", env!("CARGO_PKG_VERSION"));
        let listed = match found.process() {
            None => {
                let connection = found.dial(info)?;
                let client = Client::new(connection);
                let listed = Self::ask(&client).await;
                client.service().close().await;
                listed
            }
            Some(command_line) => {
                // It is not yet what is about to be signed.
                let command_line = command_line.env_remove(endorse::SECRET);
                let command_line = command_line.env(etdi::AUTHORING, "1").on_stderr(server_says);
                let io = command_line.spawn();
                let io = io.map_err(|error| {
                    let next = format!("etdi doctor -- {command}");
                    Failure::new(Exit::Unreachable, error.to_string(), next)
                })?;
                let client = Client::new(mcp_transport::connect(io, info));
                let listed = while_opening(Self::ask(&client)).await;
                client.service().close().await;
                listed
            }
        };
        let (tools, offered) = listed.map_err(|error| upstream::failure(&error, argv))?;
        let read = tools.iter().map(|tool| {
            RawTool::from_listed(tool).map_err(|error: DefinitionError| {
                let name = tool.name.escape_debug();
                let message = format!("tool `{name}` cannot be signed: {error}");
                Failure::new(Exit::Refused, message, format!("etdi list --json -- {command}"))
                    .with_code("DEFINITION_INVALID")
            })
        });
        Ok(Self { tools: read.collect::<Result<_, _>>()?, ..offered })
    }

    async fn ask<S: ExchangeService>(
        client: &Client<S>,
    ) -> Result<(Vec<Arc<Listed<mcp_types::Tool>>>, Self), mcp_client::Error> {
        let tools = client.all_tools().await?;
        let about = client.discover().await?;
        let prompts = match about.capabilities.prompts {
            Some(_) => client.all_prompts().await?,
            None => Vec::new(),
        };
        let templates = match about.capabilities.resources {
            Some(_) => client.all_resource_templates().await?,
            None => Vec::new(),
        };
        let instructions = about.instructions;
        Ok((tools, Self { tools: Vec::new(), prompts, templates, instructions }))
    }

    /// What a manifest says about it: with the counter of the manifest that is there if that lists
    /// the same, else with the next.
    ///
    /// # Errors
    ///
    /// When something cannot be listed, or the manifest that is there or a delegated key cannot be
    /// read.
    pub fn contents(&self, arguments: &ContentsArguments) -> Result<ManifestContents, Failure> {
        let unfit = |error: ManifestError| Failure::usage(error.to_string(), "etdi sign --help");
        let mut builder = ManifestBuilder::new(0);
        for tool in &self.tools {
            builder = builder.tool(tool.definition()).map_err(unfit)?;
        }
        if !arguments.tools_only {
            for prompt in &self.prompts {
                builder = builder.prompt(prompt).map_err(unfit)?;
            }
            for template in &self.templates {
                builder = builder.resource_template(template).map_err(unfit)?;
            }
            if let Some(instructions) = &self.instructions {
                builder = builder.instructions(instructions).map_err(unfit)?;
            }
        }
        let permissions = scopes(&arguments.delegate_permissions)?;
        for delegate in &arguments.delegate {
            let (prefix, key) = delegated(delegate)?;
            // As long as a manifest holds unless it is told otherwise.
            let until = system_time().plus(182 * 86_400);
            builder = builder.delegate(&key, prefix, permissions.clone(), until).map_err(unfit)?;
        }
        let known = known(&arguments.out)?.map(|file| file.contents);
        Ok(continued(builder.build(), known.as_ref(), arguments.seq))
    }
}

/// Refuses a URL whose answers anybody on the way can change: what is listed is about to be signed,
/// locked or declared as the author's own.
///
/// # Errors
///
/// When it is `http://` and does not lead to this computer.
fn protected(url: &str) -> Result<(), Failure> {
    let Some(rest) = url.strip_prefix("http://") else { return Ok(()) };
    let place = url.split(['?', '#']).next().unwrap_or_default();
    // What cannot be read as a server's URL leads nowhere that is known.
    if ServerIdentity::url(place).is_ok_and(|identity| !identity.is_in_the_clear()) {
        return Ok(());
    }
    let message = format!(
        "`{}` is not asked for what its author answers for: over plain http whoever is on the way \
         can change it; list it over https, or on the computer where it runs",
        visible(url)
    );
    let next = format!("etdi list -- {}", quoted(&format!("https://{rest}")));
    Err(Failure::new(Exit::Refused, message, next).with_code("NOT_PROTECTED"))
}

/// The manifest that is there.
///
/// # Errors
///
/// When it cannot be read.
pub fn known(path: &Path) -> Result<Option<ManifestFile>, Failure> {
    let broken = |why: String| {
        let message = format!("`{}` cannot be continued: {why}", path.display());
        Failure::usage(message, format!("mv {0} {0}.old", shown_path(path)))
    };
    match std::fs::read_to_string(path) {
        Ok(text) => manifest::read(&text).map(Some).map_err(|error| broken(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(broken(error.to_string())),
    }
}

/// Gives contents their counter and their predecessor.
fn continued(
    mut contents: ManifestContents,
    known: Option<&ManifestContents>,
    seq: Option<u64>,
) -> ManifestContents {
    let Some(known) = known else {
        contents.seq = seq.unwrap_or(1);
        return contents;
    };
    let mut same = contents.clone();
    (same.seq, same.prev) = (known.seq, known.prev);
    for (one, other) in same.delegations.iter_mut().zip(&known.delegations) {
        one.exp = other.exp;
    }
    if same == *known && seq.is_none_or(|seq| seq == known.seq) {
        return same;
    }
    contents.seq = seq.unwrap_or_else(|| known.seq.saturating_add(1));
    contents.prev = Some(known.digest());
    contents
}

fn scopes(texts: &[String]) -> Result<Vec<Scope>, Failure> {
    let scope = |text: &String| {
        text.parse().map_err(|error| {
            let message = format!("`{}` is no permission: {error}", text.escape_debug());
            Failure::usage(message, "etdi sign --help")
        })
    };
    texts.iter().map(scope).collect()
}

fn delegated(text: &str) -> Result<(String, VerifyingKey), Failure> {
    let (prefix, file) = text.split_once('=').ok_or_else(|| {
        let message = format!("`{}` is no delegation, write `PREFIX=FILE`", text.escape_debug());
        Failure::usage(message, "etdi sign --help")
    })?;
    Ok((prefix.to_owned(), public_key(Path::new(file))?))
}

/// The one public key of a file: a JWK, or a set of one.
///
/// # Errors
///
/// When there is none, or there are several.
pub fn public_key(path: &Path) -> Result<VerifyingKey, Failure> {
    let unfit = |why: String| {
        let message = format!("`{}`: {why}", path.display());
        Failure::usage(message, format!("ls -l {}", shown_path(path)))
    };
    let text = std::fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
    if let Ok(key) = VerifyingKey::from_jwk(text.trim()) {
        return Ok(key);
    }
    let ring = KeyRing::from_jwks(&text).map_err(|error| unfit(error.to_string()))?;
    let mut keys = ring.iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key.clone()),
        _ => Err(unfit("it must hold exactly one public key".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_not_listed_in_the_clear() {
        for url in [
            "http://192.0.2.1/mcp",
            "http://mcp.acme.example",
            "http://127.0.0.1.acme.example/mcp",
            "http://127.0.0.1@acme.example/mcp",
            "http://127.0.0.1:80@acme.example/mcp",
            "http://localhost.acme.example/mcp",
            "http://0x7f.1/mcp",
            "http://0.0.0.0/mcp",
            "http://[::2]/mcp",
            "http:///mcp",
        ] {
            let refused = protected(url).unwrap_err();
            assert_eq!(
                (refused.exit, refused.code.as_str()),
                (Exit::Refused, "NOT_PROTECTED"),
                "{url}"
            );
            assert!(refused.next.starts_with("etdi list -- "), "{}", refused.next);
        }
        for url in [
            "https://mcp.acme.example/mcp",
            "http://127.0.0.1:8000/mcp",
            "http://127.1.2.3/mcp?x=1",
            "http://localhost:8000/mcp",
            "http://[::1]:8000/mcp",
        ] {
            assert!(protected(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn the_counter_rises_when_something_changed() {
        let digest = etdi::core::digest::Digest::of_bytes(b"a tool");
        let mut first = continued(ManifestContents::default(), None, None);
        assert_eq!((first.seq, first.prev), (1, None));
        let again = continued(ManifestContents::default(), Some(&first), None);
        assert_eq!(again, first, "so that a second party signs the same");
        let mut changed = ManifestContents::default();
        changed.tools.insert("search".to_owned(), digest);
        let second = continued(changed.clone(), Some(&first), None);
        assert_eq!((second.seq, second.prev), (2, Some(first.digest())));
        first.seq = 7;
        assert_eq!(continued(changed, Some(&first), Some(20)).seq, 20);
    }
}
