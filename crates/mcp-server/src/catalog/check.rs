//! What a definition must be before a client may see it.

use mcp_types::{Prompt, Resource, ResourceTemplate};

use crate::{BuildError, UriTemplate};

/// The longest name of a prompt, as of a tool.
const LONGEST_NAME: usize = 128;

/// Holds a prompt against the rules.
pub(super) fn prompt(prompt: &Prompt) -> Result<(), BuildError> {
    let refuse = |reason| Err(BuildError::InvalidPrompt { name: prompt.name.clone(), reason });
    match prompt.name.as_str() {
        "" => return refuse("give it at least one character"),
        name if name.chars().any(char::is_control) => {
            return refuse("a name holds no control characters");
        }
        name if name.chars().count() > LONGEST_NAME => {
            return refuse("use at most 128 characters");
        }
        _ => {}
    }
    let arguments = prompt.arguments.as_deref().unwrap_or_default();
    for (index, argument) in arguments.iter().enumerate() {
        if argument.name.is_empty() {
            return refuse("an argument has no name");
        }
        if arguments.iter().skip(index + 1).any(|other| other.name == argument.name) {
            return refuse("two arguments have the same name");
        }
    }
    Ok(())
}

/// Holds a resource against the rules (RFC 3986, section 4.3).
pub(super) fn resource(resource: &Resource) -> Result<(), BuildError> {
    let refuse = |reason: &str| {
        Err(BuildError::InvalidResource { uri: resource.uri.clone(), reason: reason.to_owned() })
    };
    if resource.uri.contains(['{', '}']) {
        return refuse("it is a template, describe it by a `ResourceTemplate`");
    }
    if UriTemplate::new(resource.uri.as_str()).is_err() || !resource.uri.is_ascii() {
        return refuse("it holds what cannot stand in a URI, percent-encode it");
    }
    if !has_scheme(&resource.uri) {
        return refuse("a URI begins with a scheme, such as `notes:`");
    }
    if resource.name.is_empty() {
        return refuse("give it a name");
    }
    Ok(())
}

/// Holds a template against the rules, and reads it.
pub(super) fn template(definition: &ResourceTemplate) -> Result<UriTemplate, BuildError> {
    let uri = &definition.uri_template;
    let refuse = |reason: String| BuildError::InvalidResource { uri: uri.clone(), reason };
    let template = UriTemplate::new(uri.as_str()).map_err(|error| refuse(error.to_string()))?;
    if !uri.starts_with('{') && !has_scheme(uri) {
        return Err(refuse("a URI begins with a scheme, such as `notes:`".to_owned()));
    }
    if definition.name.is_empty() {
        return Err(refuse("give it a name".to_owned()));
    }
    Ok(template)
}

/// RFC 3986, section 3.1.
fn has_scheme(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else { return false };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(allowed)
}
