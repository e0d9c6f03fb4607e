//! What a group is and can do: what its servers can.

use std::collections::BTreeMap;

use mcp_types::{
    CacheScope, DiscoverResult, ErrorObject, Exchange, Outcome, RequestParams, ServerCapabilities,
    ServerCapabilitiesPrompts, ServerCapabilitiesResources, ServerCapabilitiesTools, ServerResult,
    tasks,
};
use mcp_types::{ClientRequest, ProtocolVersion};

use super::Shared;
use super::lists::Hints;
use crate::together::together;

impl Shared {
    pub(super) async fn discover(&self, exchange: &Exchange) -> Result<ServerResult, ErrorObject> {
        let asking = self.members.iter().map(|member| {
            let mut inner = Exchange::new(ClientRequest::Discover(RequestParams::new()));
            inner.context = exchange.context.clone();
            inner.context.progress_token = None;
            member.caller.send(inner)
        });
        let answers = together(asking.collect(), self.patience()).await;
        let mut capabilities = ServerCapabilities::new();
        let mut instructions: Vec<String> = self.instructions.iter().cloned().collect();
        let (mut hints, mut answered, mut first_error) = (Hints::ALL, false, None);
        for (member, answer) in self.members.iter().zip(answers) {
            let found = match answer {
                Some(Ok(Outcome::Complete(ServerResult::Discover(found)))) => found,
                Some(Err(error)) => {
                    let error = member.said(error);
                    self.failed(member, &error);
                    hints = hints.partial();
                    first_error = first_error.or(Some(error));
                    continue;
                }
                _ => {
                    let error = member.late();
                    self.failed(member, &error);
                    hints = hints.partial();
                    first_error = first_error.or(Some(error));
                    continue;
                }
            };
            answered = true;
            let scope = found.cache_scope.clone();
            hints = hints.and(Hints { ttl_ms: found.ttl_ms, scope });
            merge(&mut capabilities, found.capabilities);
            if let Some(text) = found.instructions {
                instructions.push(format!("# {}\n\n{}", member.alias, quoted(&text)));
            }
        }
        if let Some(error) = first_error.filter(|_| !answered) {
            return Err(error);
        }
        if hints == Hints::ALL {
            hints = Hints { ttl_ms: Some(0), scope: Some(CacheScope::Private) };
        }
        let revision = ProtocolVersion::NEWEST.to_string();
        let mut result = DiscoverResult::new(capabilities, vec![revision]);
        (result.ttl_ms, result.cache_scope) = (hints.ttl_ms, hints.scope);
        result.instructions = (!instructions.is_empty()).then(|| instructions.join("\n\n"));
        let unwritable = |error: serde_json::Error| ErrorObject::internal(error.to_string());
        result.set_server_info(&self.info).map_err(unwritable)?;
        Ok(result.into())
    }
}

/// Adds what another server can do, of what a group can pass on.
///
/// An extension changes what messages mean, so only those that the group knows are among it.
fn merge(all: &mut ServerCapabilities, one: ServerCapabilities) {
    all.completions = all.completions.take().or(one.completions);
    all.logging = all.logging.take().or(one.logging);
    if let Some(tools) = one.tools {
        let all = all.tools.get_or_insert_with(ServerCapabilitiesTools::new);
        all.list_changed = either(all.list_changed, tools.list_changed);
    }
    if let Some(prompts) = one.prompts {
        let all = all.prompts.get_or_insert_with(ServerCapabilitiesPrompts::new);
        all.list_changed = either(all.list_changed, prompts.list_changed);
    }
    if let Some(resources) = one.resources {
        let all = all.resources.get_or_insert_with(ServerCapabilitiesResources::new);
        all.list_changed = either(all.list_changed, resources.list_changed);
        all.subscribe = either(all.subscribe, resources.subscribe);
    }
    for (id, settings) in one.extensions.into_iter().flatten() {
        if id == tasks::EXTENSION {
            all.extensions.get_or_insert_with(BTreeMap::new).entry(id).or_insert(settings);
        }
    }
}

/// A server's words as a quotation: under its heading stands what it says, and no heading of another.
fn quoted(text: &str) -> String {
    // Whatever some reader takes for the end of a line (Unicode, "Newline Guidelines").
    const BREAKS: [char; 7] = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    let text = text.replace("\r\n", "\n");
    let lines = text.trim_end_matches(BREAKS).split(BREAKS);
    let lines =
        lines.map(|line| if line.is_empty() { ">".to_owned() } else { format!("> {line}") });
    lines.collect::<Vec<_>>().join("\n")
}

fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (one, other) => one.or(other),
    }
}
