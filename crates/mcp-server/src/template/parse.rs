//! The grammar of templates (RFC 6570, section 2).

use super::{Operator, Part, is_reserved, is_unreserved};

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no URI template: {reason}", .template.escape_debug())]
pub struct TemplateError {
    template: String,
    reason: String,
}

/// The pieces of a template.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    let refuse = |reason: String| TemplateError { template: text.to_owned(), reason };
    let (mut parts, mut rest) = (Vec::new(), text);
    let mut known: Vec<String> = Vec::new();
    while !rest.is_empty() {
        let (literal, expression) = match rest.split_once('{') {
            Some((literal, behind)) => (literal, Some(behind)),
            None => (rest, None),
        };
        if let Some(wrong) = literal.chars().find(|wrong| !is_literal(*wrong)) {
            let wrong = wrong.escape_debug();
            return Err(refuse(format!("`{wrong}` cannot stand in a URI, percent-encode it")));
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(encoded(literal)));
        }
        let Some(behind) = expression else { break };
        let (inside, behind) = behind
            .split_once('}')
            .ok_or_else(|| refuse("a `{` is not closed, add the `}`".to_owned()))?;
        let (operator, names) = names(inside).map_err(refuse)?;
        for name in &names {
            if known.contains(name) {
                return Err(refuse(format!("the variable `{name}` is there twice, rename one")));
            }
            known.push(name.clone());
        }
        parts.push(Part::Expression { operator, names });
        rest = behind;
    }
    Ok(parts)
}

/// Operator and variables between two braces.
fn names(inside: &str) -> Result<(Operator, Vec<String>), String> {
    let operator = match inside.chars().next() {
        None => return Err("`{}` names no variable".to_owned()),
        Some('+') => Operator::Reserved,
        Some('#') => Operator::Fragment,
        Some('.') => Operator::Label,
        Some('/') => Operator::Path,
        Some(';') => Operator::Parameter,
        Some('?') => Operator::Query,
        Some('&') => Operator::Continuation,
        Some(reserved @ ('=' | ',' | '!' | '@' | '|')) => {
            return Err(format!("the operator `{reserved}` is reserved and means nothing yet"));
        }
        Some(_) => Operator::Simple,
    };
    let list = match operator {
        Operator::Simple => inside,
        _ => inside.get(1..).unwrap_or_default(),
    };
    let names = list.split(',').map(|name| match name {
        "" => Err("a variable has no name".to_owned()),
        name if name.contains(['*', ':']) => Err(format!(
            "`{name}` has a modifier, which a URI cannot be matched with; write `{{+name}}` for a \
             value that may hold slashes"
        )),
        name if !is_name(name) => Err(format!(
            "`{}` is no name of a variable, use letters, digits, `_` and `.`",
            name.escape_debug()
        )),
        name => Ok(name.to_owned()),
    });
    Ok((operator, names.collect::<Result<_, _>>()?))
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.split('.').all(|part| !part.is_empty() && part.bytes().all(allowed))
}

fn is_literal(character: char) -> bool {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() => is_unreserved(byte) || is_reserved(byte) || byte == b'%',
        _ => !character.is_control(),
    }
}

/// A literal as it stands in the URI: what is not ASCII is percent-encoded (section 3.1).
fn encoded(literal: &str) -> String {
    let mut out = String::with_capacity(literal.len());
    for character in literal.chars() {
        match character.is_ascii() {
            true => out.push(character),
            false => super::expand::encode(&mut out, character.encode_utf8(&mut [0; 4]), false),
        }
    }
    out
}
