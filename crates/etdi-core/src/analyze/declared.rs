//! What a tool declares about itself, read leniently: the block in its `_meta`, the members of the
//! Python fork, and what its statements claim.

use super::subject::Subject;
use super::tree::Node;
use crate::wire::{self, ToolClaims};

/// One permission, as it is written.
pub(super) struct Declared<'a> {
    pub(super) scope: &'a str,
    pub(super) description: &'a str,
    /// The place of the scope.
    pub(super) path: String,
}

/// The block of ETDI, if there is one.
pub(super) fn block<'s>(subject: &'s Subject<'_>) -> Option<&'s Node<'s>> {
    subject.root.get("_meta")?.get(wire::TOOL)
}

/// The permissions of the block, then those of the fork's definition.
pub(super) fn permissions<'s>(subject: &'s Subject<'_>) -> Vec<Declared<'s>> {
    let places = [
        (block(subject), "/_meta/dev.etdi~1etdi/permissions"),
        (Some(subject.root), "/permissions"),
    ];
    let mut all = Vec::new();
    for (node, place) in places {
        let list = node.and_then(|node| node.get("permissions")).map(Node::list);
        for (number, one) in list.unwrap_or_default().iter().enumerate() {
            let text = |name| one.get(name).and_then(Node::text);
            if let Some(scope) = text("scope") {
                let description = text("description").unwrap_or("");
                let path = format!("{place}/{number}/scope");
                all.push(Declared { scope, description, path });
            }
        }
    }
    all
}

/// The OAuth scopes that a caller needs.
pub(super) fn scopes<'s>(subject: &'s Subject<'_>) -> Vec<(&'s str, String)> {
    let places = [
        (block(subject).and_then(|block| block.get("scopes")), "/_meta/dev.etdi~1etdi/scopes"),
        (
            subject.root.get("_meta").and_then(|meta| meta.get(wire::SCOPES)),
            "/_meta/dev.etdi~1scopes",
        ),
    ];
    let mut all = Vec::new();
    for (node, place) in places {
        for (number, one) in node.map(Node::list).unwrap_or_default().iter().enumerate() {
            if let Some(scope) = one.text() {
                all.push((scope, format!("{place}/{number}")));
            }
        }
    }
    all
}

/// The statements beside a definition.
pub(super) fn statements<'s>(subject: &'s Subject<'_>) -> Vec<&'s str> {
    let list = block(subject).and_then(|block| block.get(wire::ATTESTATIONS)).map(Node::list);
    list.unwrap_or_default().iter().filter_map(Node::text).take(16).collect()
}

/// The longest statement that is read.
const STATEMENT: usize = 1 << 16;

/// What a compact JWS says, whoever signed it; `None` if it is none.
pub(super) fn payload(statement: &str) -> Option<String> {
    let mut parts = statement.split('.');
    let (header, payload) = (parts.next()?, parts.next()?);
    let signature = parts.next()?;
    let three = parts.next().is_none() && statement.len() <= STATEMENT;
    let decode = |part: &str| {
        let bytes = crate::base64url::decode(part.trim_end_matches('='))?;
        String::from_utf8(bytes).ok()
    };
    let header = decode(header)?;
    let is_object = Node::read(&header).is_ok_and(|header| header.get("alg").is_some());
    (three && is_object && !signature.is_empty()).then(|| decode(payload)).flatten()
}

/// The claims of a statement about a definition; nothing is verified.
pub(super) fn claims(statement: &str) -> Option<ToolClaims> {
    serde_json::from_str(&payload(statement)?).ok()
}
