//! References to variables, as each client writes them.

use crate::dialect::{Launch, References};

/// A reference that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// The variable is not set.
    #[error("the variable `{0}` is not set, set it and try again")]
    NotSet(String),
    /// Only the client knows what stands for it.
    #[error("`{0}` is asked for by the client itself, start the server with `--` and its command")]
    OfClient(String),
}

/// Puts values in the place of references.
pub(crate) fn expanded(
    text: &str,
    how: References,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Unresolved> {
    let (open, close) = match how {
        References::None => return Ok(text.to_owned()),
        References::Braces | References::EnvInBraces | References::Dollar => ("${", "}"),
        References::Curly => ("{", "}"),
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        out.push_str(before);
        let Some((inner, behind)) = after.split_once(close) else {
            out.push_str(open);
            rest = after;
            break;
        };
        match resolved(inner, how, variable)? {
            Some(value) => out.push_str(&value),
            None => out.push_str(&[open, inner, close].concat()),
        }
        rest = behind;
    }
    out.push_str(rest);
    match how {
        References::Dollar => Ok(bare(&out, variable)),
        _ => Ok(out),
    }
}

/// What stands for the inside of a reference; None where it is none.
fn resolved(
    inner: &str,
    how: References,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, Unresolved> {
    let found = |name: &str| {
        variable(name).map(Some).ok_or_else(|| Unresolved::NotSet(name.escape_debug().to_string()))
    };
    match how {
        References::EnvInBraces => match inner.split_once(':') {
            Some(("env", name)) => found(name),
            Some(("input" | "command" | "config", _)) => {
                Err(Unresolved::OfClient(format!("${{{}}}", inner.escape_debug())))
            }
            _ if inner == "userHome" => found("HOME"),
            _ => Ok(None),
        },
        References::Curly => match inner.split_once(':') {
            Some(("env", name)) => Ok(Some(variable(name).unwrap_or_default())),
            Some(("file", _)) => Err(Unresolved::OfClient(format!("{{{}}}", inner.escape_debug()))),
            _ => Ok(None),
        },
        _ => match inner.split_once(":-") {
            Some((name, default)) => {
                let value = variable(name).filter(|value| !value.is_empty());
                Ok(Some(value.unwrap_or_else(|| default.to_owned())))
            }
            None if is_name(inner) => found(inner),
            None => Ok(None),
        },
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `$NAME`; what is not set stays as it is written.
fn bare(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut parts = text.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        match is_name(name).then(|| variable(name)).flatten() {
            Some(value) => out.extend([value.as_str(), rest]),
            None => out.extend(["$", part]),
        }
    }
    out
}

/// Whether a value only refers to something, and holds nothing itself.
pub(crate) fn is_reference(value: &str, how: References) -> bool {
    let value = value.trim();
    let value = value.strip_prefix("Bearer ").unwrap_or(value);
    match how {
        References::None => false,
        References::Curly => value.starts_with('{') && value.ends_with('}'),
        References::Dollar if value.strip_prefix('$').is_some_and(is_name) => true,
        _ => value.starts_with("${") && value.ends_with('}'),
    }
}

/// The same launch with values in the place of all references.
pub(crate) fn launch(
    launch: &Launch,
    how: References,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Launch, Unresolved> {
    let one = |text: &String| expanded(text, how, variable);
    let pairs = |pairs: &[(String, String)]| -> Result<Vec<_>, _> {
        pairs.iter().map(|(name, value)| Ok((name.clone(), one(value)?))).collect()
    };
    let mut launch = launch.clone();
    match &mut launch {
        Launch::Program(program) => {
            program.command = one(&program.command)?;
            program.args = program.args.iter().map(one).collect::<Result<_, _>>()?;
            program.env = pairs(&program.env)?;
            program.cwd = program.cwd.as_ref().map(one).transpose()?;
        }
        Launch::Remote(remote) => {
            remote.url = one(&remote.url)?;
            remote.headers = pairs(&remote.headers)?;
        }
    }
    Ok(launch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_is_read_where_it_is_one() {
        let variable = |name: &str| (name == "A").then(|| "1".to_owned());
        let read =
            |text: &str, how| expanded(text, how, &variable).map_err(|error| error.to_string());
        for (text, how, expected) in [
            ("x${A}y${B:-2}${A:-3}", References::Braces, "x1y21"),
            ("${", References::Braces, "${"),
            ("${env:A} ${workspaceFolder}", References::EnvInBraces, "1 ${workspaceFolder}"),
            ("{env:A}{env:B}{x}", References::Curly, "1{x}"),
            ("$A-${A}-$B-$", References::Dollar, "1-1-$B-$"),
            ("${A}", References::None, "${A}"),
        ] {
            assert_eq!(read(text, how).unwrap(), expected, "{text}");
        }
        assert!(read("${B}", References::Braces).unwrap_err().contains("`B` is not set"));
        assert!(read("${input:k}", References::EnvInBraces).unwrap_err().contains("${input:k}"));
    }
}
