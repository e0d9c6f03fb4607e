//! What the guard knows of each tool, as each caller sees it.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use mcp_types::{CacheScope, ListToolsResult, Listed, Principal, RequestContext, Tool};

use crate::bounded::Bounded;
use crate::chain::Member;
use crate::definition::{RawTool, ToolDefinition};

/// A tool as it was last listed. Its definition is read when it is called for the first time.
pub(super) struct Known {
    listed: Arc<Listed<Tool>>,
    definition: OnceLock<Option<ToolDefinition>>,
    member: OnceLock<Member>,
}

impl Known {
    /// The definition, unless it cannot be read.
    pub(super) fn definition(&self) -> Option<&ToolDefinition> {
        let read = || RawTool::from_listed(&self.listed).ok().map(|raw| raw.definition().clone());
        self.definition.get_or_init(read).as_ref()
    }

    pub(super) fn name(&self) -> &str {
        &self.listed.name
    }

    /// What chains know of it, on the server of this name.
    pub(super) fn member(&self, server: &str, definition: &ToolDefinition) -> &Member {
        self.member.get_or_init(|| Member::of(server, definition))
    }

    fn is(&self, listed: &Arc<Listed<Tool>>) -> bool {
        Arc::ptr_eq(&self.listed, listed) || self.listed.text() == listed.text()
    }
}

/// The tools by who sees them.
///
/// A listing that says it is the same for everybody counts for everybody. Any other counts for
/// the principal that asked, or for all who are nobody; where it says that it is private and
/// nobody is known to have asked, it counts for that one call alone.
#[derive(Default)]
pub(super) struct Declared(RwLock<Seen>);

/// For whom a page says it is.
#[derive(Clone, Copy)]
enum Said {
    Public,
    Private,
    Nothing,
}

impl Said {
    fn of(page: &ListToolsResult) -> Self {
        match page.cache_scope {
            Some(CacheScope::Public) => Self::Public,
            Some(_) => Self::Private,
            None => Self::Nothing,
        }
    }
}

type Tools = Bounded<String, Arc<Known>, MAX_ENTRIES>;

#[derive(Default)]
struct Seen {
    everybody: Tools,
    nobody: Tools,
    principals: Bounded<Principal, Tools, MAX_ENTRIES>,
    /// The last form of each tool, so that one that all see alike is read once.
    last: Tools,
    /// How many tools all principals see.
    entries: usize,
}

/// The most tools that everybody, nobody, and all principals together see: who has not listed for
/// longest is forgotten, and lists again.
const MAX_ENTRIES: usize = 65_536;

impl Declared {
    /// A tool as the sender of an exchange sees it.
    pub(super) fn get(&self, context: &RequestContext, name: &str) -> Option<Arc<Known>> {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = match context.extensions.get::<Principal>() {
            Some(principal) => seen.principals.get(principal),
            None => Some(&seen.nobody),
        };
        let known = own.and_then(|tools| tools.get(name)).or_else(|| seen.everybody.get(name));
        known.cloned()
    }

    /// Keeps what a page lists, and gives the tool `wanted` if it is on it.
    pub(super) fn learn(
        &self,
        context: &RequestContext,
        page: &ListToolsResult,
        wanted: Option<&str>,
    ) -> Option<Arc<Known>> {
        let find = |known: &Arc<Known>| Some(known.listed.name.as_str()) == wanted;
        let known: Vec<Arc<Known>> = {
            let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let known = page.tools.iter().map(|listed| {
                let last = seen.last.get(&listed.name).filter(|known| known.is(listed));
                last.cloned().unwrap_or_else(|| {
                    Arc::new(Known {
                        listed: listed.clone(),
                        definition: OnceLock::new(),
                        member: OnceLock::new(),
                    })
                })
            });
            known.collect()
        };
        let principal = context.extensions.get::<Principal>();
        let said = Said::of(page);
        let found = known.iter().find(|known| find(known)).cloned();
        if self.holds(principal, said, &known) {
            return found;
        }
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        put(&mut seen.last, &known);
        match (said, principal) {
            (Said::Public, _) => put(&mut seen.everybody, &known),
            (_, Some(principal)) => seen.put(principal, &known),
            (Said::Nothing, None) => put(&mut seen.nobody, &known),
            // It counts for nobody but its one reader.
            (Said::Private, None) => {}
        }
        found
    }

    /// Whether all of this is known already, the usual case.
    fn holds(&self, principal: Option<&Principal>, scope: Said, known: &[Arc<Known>]) -> bool {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let tools = match (scope, principal) {
            (Said::Public, _) => Some(&seen.everybody),
            (_, Some(principal)) => seen.principals.get(principal),
            (Said::Private, None) => Some(&seen.last),
            (Said::Nothing, None) => Some(&seen.nobody),
        };
        let Some(tools) = tools else { return false };
        known
            .iter()
            .all(|known| tools.get(&known.listed.name).is_some_and(|kept| Arc::ptr_eq(kept, known)))
    }

    pub(super) fn forget(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Seen::default();
    }
}

impl Seen {
    /// Keeps what a principal sees, in place of those who have not listed for longest.
    fn put(&mut self, principal: &Principal, known: &[Arc<Known>]) {
        let mut own = self.principals.remove(principal).unwrap_or_default();
        self.entries = self.entries.saturating_sub(own.len());
        put(&mut own, known);
        while self.entries.saturating_add(own.len()) > MAX_ENTRIES
            && let Some((_, oldest)) = self.principals.pop_unused()
        {
            self.entries = self.entries.saturating_sub(oldest.len());
        }
        self.entries += own.len();
        if let Some((_, oldest)) = self.principals.insert(principal.clone(), own) {
            self.entries = self.entries.saturating_sub(oldest.len());
        }
    }
}

fn put(tools: &mut Tools, known: &[Arc<Known>]) {
    for known in known {
        tools.insert(known.listed.name.clone(), known.clone());
    }
}

#[cfg(test)]
mod tests {
    use mcp_types::{Items, JsonSchema};

    use super::*;

    fn page(title: &str, scope: Option<CacheScope>) -> ListToolsResult {
        let mut tool = Tool::new("t", JsonSchema::empty_object());
        tool.title = Some(title.to_owned());
        let mut page =
            ListToolsResult::new(Items::from(vec![Arc::new(Listed::new(tool).unwrap())]));
        page.cache_scope = scope;
        page
    }

    fn of(name: Option<&str>) -> RequestContext {
        let mut context = RequestContext::default();
        if let Some(name) = name {
            context.extensions.insert(Principal::new("https://issuer.example", name));
        }
        context
    }

    fn title(declared: &Declared, context: &RequestContext) -> Option<String> {
        declared.get(context, "t").and_then(|known| known.listed.title.clone())
    }

    #[test]
    fn each_sees_its_own() {
        let (declared, ada, bob, nobody) =
            (Declared::default(), of(Some("ada")), of(Some("bob")), of(None));
        declared.learn(&ada, &page("ada's", None), None);
        assert_eq!(title(&declared, &ada).unwrap(), "ada's");
        assert_eq!(title(&declared, &bob), None, "bob has not listed");
        assert_eq!(title(&declared, &nobody), None);
        declared.learn(&bob, &page("bob's", Some(CacheScope::Private)), None);
        declared.learn(&nobody, &page("nobody's", None), None);
        assert_eq!(title(&declared, &ada).unwrap(), "ada's");
        assert_eq!(title(&declared, &bob).unwrap(), "bob's");
        assert_eq!(title(&declared, &nobody).unwrap(), "nobody's");
    }

    #[test]
    fn what_is_private_to_nobody_known_counts_once() {
        let (declared, nobody) = (Declared::default(), of(None));
        let private = page("one", Some(CacheScope::Private));
        let found = declared.learn(&nobody, &private, Some("t")).unwrap();
        assert!(declared.get(&nobody, "t").is_none());
        let again = declared.learn(&nobody, &private, Some("t")).unwrap();
        assert!(Arc::ptr_eq(&found, &again), "but it is read once");
        declared.learn(&nobody, &page("all", Some(CacheScope::Public)), None);
        assert_eq!(title(&declared, &of(Some("ada"))).unwrap(), "all");
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let declared = Declared::default();
        for name in 0..70_000 {
            declared.learn(&of(Some(&name.to_string())), &page("t", None), None);
        }
        let seen = declared.0.read().unwrap();
        assert!(seen.entries <= MAX_ENTRIES && seen.principals.len() <= MAX_ENTRIES);
        drop(seen);
        let knows = |name: u32| declared.get(&of(Some(&name.to_string())), "t").is_some();
        assert!(knows(69_999) && knows(10_000), "the newest are known");
        assert!(!knows(0), "the oldest made room");
    }
}
