//! Which server a resource belongs to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mcp_types::{
    BoxFuture, CallToolResult, ContentBlock, ErrorObject, Exchange, GetPromptResult,
    ResourceContents, ServerResult,
};

use super::Shared;
use crate::together::together;

/// How many URIs, and how many templates, of one server are remembered. Each template is tried for
/// each URI that is not listed.
const MOST: usize = 16_384;
const MOST_TEMPLATES: usize = 1_024;

/// The longest URI that is remembered, and how many bytes of those of one server.
const LONGEST: usize = 8_192;
const MOST_BYTES: usize = 4 << 20;

/// How long it may take to learn whose a URI is, and how long it is not tried again after some server
/// did not say what it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who says that a URI is a server's: its listing, or a link in one of its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Says {
    Link,
    Listing,
}

/// URIs and templates with the servers to which they belong.
#[derive(Default)]
pub(super) struct Owners {
    uris: HashMap<String, (usize, Says)>,
    templates: HashMap<String, usize>,
    /// How many URIs each server has, and how many bytes.
    counts: HashMap<usize, (usize, usize)>,
    /// Whether the listings were read since they changed last.
    pub(super) listed: bool,
    /// When they were read in vain, because some server did not say what it has.
    tried: Option<Instant>,
}

impl Owners {
    /// Says that `uri` is a server's; whether it is now. A listing weighs more than a link, and a
    /// server that was added first more than one that came after it.
    pub(super) fn claim(&mut self, uri: &str, at: usize, says: Says) -> bool {
        if let Some((owner, said)) = self.uris.get_mut(uri) {
            let stronger = (says, std::cmp::Reverse(at)) > (*said, std::cmp::Reverse(*owner));
            if stronger {
                (*owner, *said) = (at, says);
            }
            return *owner == at;
        }
        let (count, bytes) = self.counts.entry(at).or_default();
        if *count < MOST && uri.len() <= LONGEST && *bytes + uri.len() <= MOST_BYTES {
            *count += 1;
            *bytes += uri.len();
            self.uris.insert(uri.to_owned(), (at, says));
        }
        true
    }

    /// Says that a template is a server's; whether it is.
    pub(super) fn claim_template(&mut self, template: &str, at: usize) -> bool {
        if let Some(owner) = self.templates.get_mut(template) {
            *owner = at.min(*owner);
            return *owner == at;
        }
        let of_server = self.templates.values().filter(|owner| **owner == at).count();
        if of_server < MOST_TEMPLATES && template.len() <= LONGEST {
            self.templates.insert(template.to_owned(), at);
        }
        true
    }

    /// To whom a URI, or a template itself, belongs, and who says so. What a listing says, be it in a
    /// template, weighs more than a link: no server takes over a URI of another by naming it.
    pub(super) fn find(&self, uri: &str) -> Option<(usize, Says)> {
        let named = self.uris.get(uri).copied();
        let listed = named.filter(|(_, says)| *says == Says::Listing);
        let listed = listed.map(|(at, _)| at).or_else(|| self.templates.get(uri).copied());
        let listed = listed.or_else(|| {
            let fitting = self.templates.iter().filter_map(|(template, at)| {
                Some((literal_length(template, uri)?, std::cmp::Reverse(*at)))
            });
            fitting.max().map(|(_, at)| at.0)
        });
        listed.map(|at| (at, Says::Listing)).or(named)
    }

    /// Notes the resources that a result links to.
    pub(super) fn learn(&mut self, at: usize, result: &ServerResult) {
        let mut link = |block: &ContentBlock| {
            let uri = match block {
                ContentBlock::ResourceLink(link) => &link.uri,
                ContentBlock::Resource(embedded) => match &embedded.resource {
                    ResourceContents::Text(text) => &text.uri,
                    ResourceContents::Blob(blob) => &blob.uri,
                    _ => return,
                },
                _ => return,
            };
            self.claim(uri, at, Says::Link);
        };
        match result {
            ServerResult::CallTool(CallToolResult { content, .. }) => {
                content.iter().for_each(link);
            }
            ServerResult::GetPrompt(GetPromptResult { messages, .. }) => {
                messages.iter().for_each(|message| link(&message.content));
            }
            _ => {}
        }
    }
}

impl Shared {
    /// The server to which a URI belongs.
    pub(super) async fn owner(&self, exchange: &Exchange, uri: &str) -> Result<usize, ErrorObject> {
        let find = || {
            let owners = self.owners();
            (owners.find(uri), owners.listed)
        };
        match find() {
            (Some((at, Says::Listing)), _) | (Some((at, Says::Link)), true) => return Ok(at),
            (None, true) => {}
            // A link alone may name what another server lists.
            (_, false) => {
                self.learn(exchange).await;
                if let (Some((at, _)), _) = find() {
                    return Ok(at);
                }
            }
        }
        let shown: String = uri.chars().take(256).collect();
        Err(ErrorObject::invalid_params(format!(
            "no server of this group has the resource `{}`, see `resources/list`",
            shown.escape_debug()
        )))
    }

    /// Reads what all have, in bounded time: a server that lists slowly, or fails again and again, holds
    /// up no reading of what is another's.
    async fn learn(&self, exchange: &Exchange) {
        let clock = exchange.context.runtime.as_deref();
        let now = clock.map(|clock| clock.now());
        let lately = self.owners().tried.zip(now);
        if lately.is_some_and(|(tried, now)| now.saturating_duration_since(tried) < PATIENCE) {
            return;
        }
        let patience = clock.zip(now).map(|(clock, now)| clock.sleep_until(now + PATIENCE));
        let reading: BoxFuture<'_, bool> = Box::pin(self.learn_owners(exchange));
        let whole = together(vec![reading], patience).await.pop().flatten().unwrap_or(false);
        let mut owners = self.owners();
        owners.listed = whole;
        owners.tried = clock.map(|clock| clock.now()).filter(|_| !whole);
    }
}

/// How many characters of a URI are the template's own, if the URI can come of the template.
///
/// What stands in the place of an expression is not looked at: the server to which the URI goes
/// does that. A template that begins with an expression could be anybody's, so it is nobody's.
fn literal_length(template: &str, uri: &str) -> Option<usize> {
    let (first, mut rest) = template.split_once('{')?;
    let mut left = uri.strip_prefix(first).filter(|_| !first.is_empty())?;
    let mut length = first.len();
    loop {
        let (_, after) = rest.split_once('}')?;
        let (literal, next) = match after.split_once('{') {
            Some((literal, next)) => (literal, Some(next)),
            None => (after, None),
        };
        length += literal.len();
        match next {
            None => return left.ends_with(literal).then_some(length),
            Some(next) => {
                let at = left.find(literal)?;
                left = left.get(at + literal.len()..)?;
                rest = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_belongs_to_the_template_that_says_most_of_it() {
        let rows = [
            ("users://{id}", "users://7", Some(8)),
            ("users://{id}/profile", "users://7/profile", Some(16)),
            ("users://{id}/profile", "users://7/other", None),
            ("a://{x}/b/{y}", "a://1/b/2", Some(7)),
            ("a://{x}/b/{y}", "a://1/c/2", None),
            ("{+anything}", "a://1", None),
            ("a://b", "a://b", None),
            ("a://{x", "a://1", None),
        ];
        for (template, uri, length) in rows {
            assert_eq!(literal_length(template, uri), length, "{template} {uri}");
        }
        let mut owners = Owners::default();
        owners.claim_template("users://{id}", 0);
        owners.claim_template("users://{id}/profile", 1);
        assert_eq!(owners.find("users://7/profile"), Some((1, Says::Listing)));
        assert_eq!(owners.find("users://7"), Some((0, Says::Listing)));
        // A third server names what comes of the template of the first.
        owners.claim("users://7", 2, Says::Link);
        owners.claim("else://7", 2, Says::Link);
        assert_eq!(owners.find("users://7"), Some((0, Says::Listing)));
        assert_eq!(owners.find("else://7"), Some((2, Says::Link)));
    }

    #[test]
    fn a_listing_weighs_more_than_a_link_and_the_first_server_more_than_the_next() {
        let mut owners = Owners::default();
        assert!(owners.claim("a:1", 2, Says::Link));
        assert!(!owners.claim("a:1", 3, Says::Link));
        assert!(owners.claim("a:1", 3, Says::Listing));
        assert!(!owners.claim("a:1", 2, Says::Link));
        assert!(owners.claim("a:1", 1, Says::Listing));
        assert!(!owners.claim("a:1", 3, Says::Listing));
        assert_eq!(owners.find("a:1"), Some((1, Says::Listing)));
    }

    #[test]
    fn a_server_with_too_many_resources_crowds_out_nobody() {
        let mut owners = Owners::default();
        for n in 0..=MOST {
            owners.claim(&format!("a:{n}"), 0, Says::Listing);
        }
        assert_eq!(owners.find(&format!("a:{MOST}")), None);
        owners.claim("b:1", 1, Says::Listing);
        assert_eq!(owners.find("b:1"), Some((1, Says::Listing)));
        // Neither by number nor by length.
        for n in 0..MOST {
            owners.claim(&format!("c:{n:>8000}"), 2, Says::Listing);
        }
        let kept = owners.uris.iter().filter(|(_, (at, _))| *at == 2);
        assert!(kept.map(|(uri, _)| uri.len()).sum::<usize>() <= MOST_BYTES);
        assert_eq!(owners.find(&format!("c:{:>8000}", 0)), Some((2, Says::Listing)));
    }
}
