//! Access lists: who may list, read and subscribe to which resources, by pattern.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use mcp_types::Principal;

use super::place::{Place, place};
use crate::listing::{ResourceAction, Uris};

/// The most bytes of a pattern.
const LONGEST: usize = 1_024;

/// Whom an entry of a [`ResourceAccess`] is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who {
    /// Everybody, known or not.
    Anyone,
    /// Whoever a layer in front has identified.
    Known,
    /// This subject of this issuer; the same subject of another issuer is somebody else.
    Subject {
        /// Who vouches for the subject.
        issuer: String,
        /// The subject.
        subject: String,
    },
    /// Whoever holds this scope.
    Scope(String),
}

impl Who {
    /// This subject of this issuer.
    pub fn subject(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self::Subject { issuer: issuer.into(), subject: subject.into() }
    }

    /// Whoever holds this scope.
    pub fn scope(scope: impl Into<String>) -> Self {
        Self::Scope(scope.into())
    }

    fn is(&self, caller: Option<&Principal>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Known => caller.is_some(),
            Self::Subject { issuer, subject } => {
                caller.is_some_and(|it| it.issuer == *issuer && it.subject == *subject)
            }
            Self::Scope(scope) => caller.is_some_and(|it| it.scopes.contains(scope)),
        }
    }
}

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no pattern of resources: {why}", .pattern.escape_debug())]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// Who may list, read and subscribe to which resources: an access list for
/// [`ServerBuilder::resource_access`](crate::ServerBuilder::resource_access).
///
/// Once there is one, nobody gets anything that no entry gives. What is hidden is missing from
/// listings and hints, a reading of it is answered as that of a resource which is not there, and a
/// subscription to it is silent.
///
/// A pattern is a URI in which `*` stands for characters within a part, `**` for any number of
/// parts, `[a-z]` and `{a,b}` for a choice, the former never of `/`. It is written without percent-encoding. A URI with a
/// query fits only a pattern with a query, which is written out or is `?*`; `**` alone is every
/// resource.
///
/// URIs are compared decoded. One that two readers could take for different places is nobody's,
/// whatever the patterns: with `..`, `.` or an empty part in the middle, also where that stands
/// behind a `?`, which a template such as `{+path}` takes for a part of the path; with an encoded `/`, `\`,
/// `%`, `?` or `#`, with a control character, a backslash or a fragment.
///
/// A template is listed to those for whom a pattern of [`List`](ResourceAction::List) may meet it.
/// What its completion suggests is the author's business: the function sees who asks.
///
/// ```
/// use mcp_server::{ResourceAccess, ResourceAction, Who, resource, server};
///
/// #[resource("file:///{+path}")]
/// async fn file(path: String) -> String {
///     format!("what is in {path}")
/// }
///
/// let access = ResourceAccess::new()
///     .allow(Who::Known, ResourceAction::ALL, ["file:///public/**"])?
///     .allow(Who::scope("files:admin"), ResourceAction::ALL, ["file:///**"])?;
/// assert!(!access.lets(None, ResourceAction::Read, "file:///public/menu.txt"));
/// let server = server!().resource::<file>().resource_access(access).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct ResourceAccess(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    who: Who,
    actions: Vec<ResourceAction>,
    patterns: Vec<Pattern>,
}

#[derive(Clone)]
struct Pattern {
    text: String,
    glob: GlobMatcher,
    query: Query,
}

/// Which queries a pattern takes.
#[derive(Clone, PartialEq, Eq)]
enum Query {
    None,
    Any,
    Exactly(String),
}

impl ResourceAccess {
    /// A list that gives nobody anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `who` do `actions` with the resources under `patterns`.
    ///
    /// # Errors
    ///
    /// The first text that is no pattern.
    pub fn allow<T: Into<String>>(
        mut self,
        who: Who,
        actions: impl IntoIterator<Item = ResourceAction>,
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, PatternError> {
        let patterns = patterns.into_iter().map(|text| Pattern::read(text.into()));
        let patterns = patterns.collect::<Result<_, _>>()?;
        self.0.push(Entry { who, actions: actions.into_iter().collect(), patterns });
        Ok(self)
    }

    /// Whether `caller` may do `action` with the resource at `uri`.
    pub fn lets(&self, caller: Option<&Principal>, action: ResourceAction, uri: &str) -> bool {
        let Some(place) = place(uri) else { return false };
        self.patterns(caller, action).any(|pattern| pattern.fits(&place))
    }

    fn patterns(
        &self,
        caller: Option<&Principal>,
        action: ResourceAction,
    ) -> impl Iterator<Item = &Pattern> {
        let entries = self.0.iter().filter(move |entry| entry.actions.contains(&action));
        entries.filter(move |entry| entry.who.is(caller)).flat_map(|entry| &entry.patterns)
    }
}

impl Uris for ResourceAccess {
    fn lets(&self, caller: Option<&Principal>, action: ResourceAction, uri: &str) -> bool {
        self.lets(caller, action, uri)
    }

    fn may_meet(&self, caller: Option<&Principal>, template: &str) -> bool {
        let start = template.split('{').next().unwrap_or_default();
        self.patterns(caller, ResourceAction::List).any(|pattern| {
            let fixed = pattern.text.split(['*', '[', '{']).next().unwrap_or_default();
            start.starts_with(fixed) || fixed.starts_with(start)
        })
    }
}

impl Pattern {
    fn read(text: String) -> Result<Self, PatternError> {
        match Self::parts(&text) {
            Ok((glob, query)) => Ok(Self { glob, query, text }),
            Err(why) => Err(PatternError { pattern: text.chars().take(LONGEST).collect(), why }),
        }
    }

    fn parts(text: &str) -> Result<(GlobMatcher, Query), String> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(format!("it must have 1 to {LONGEST} bytes"));
        }
        if text.contains(['\\', '%', '#']) || text.chars().any(char::is_control) {
            return Err(
                "write characters as they are, without `%`, `\\`, `#` and control characters"
                    .to_owned(),
            );
        }
        let (path, query) = match text.split_once('?') {
            None if text == "**" => (text, Query::Any),
            None => (text, Query::None),
            Some((path, "*")) => (path, Query::Any),
            Some((_, query)) if query.contains(['*', '[', '{', '?']) => {
                return Err("its query must be written out, or be `?*` for any".to_owned());
            }
            Some((path, query)) => (path, Query::Exactly(query.to_owned())),
        };
        let scheme = path.split(':').next().filter(|scheme| scheme.len() < path.len());
        if path != "**" && !scheme.is_some_and(is_scheme) {
            return Err("begin with a scheme, such as `file:///public/**`".to_owned());
        }
        if path.split(['/', '{', '}', ',', ':']).any(|part| part == "." || part == "..") {
            return Err("a part is `.` or `..`, which no URI that is served has".to_owned());
        }
        if takes_separator(path) {
            return Err(
                "a choice in `[…]` takes `/` and would lead into another part, name what is meant: \
                 `[a-z]`"
                    .to_owned(),
            );
        }
        let glob = GlobBuilder::new(path).literal_separator(true).backslash_escape(false).build();
        let glob = glob.map_err(|error| format!("it cannot be read: {}", error.kind()))?;
        Ok((glob.compile_matcher(), query))
    }

    fn fits(&self, place: &Place<'_>) -> bool {
        let query = match (&self.query, place.query) {
            (Query::Any, _) | (Query::None, None) => true,
            (Query::Exactly(wanted), Some(query)) => wanted == query,
            _ => false,
        };
        query && self.glob.is_match(&place.path)
    }
}

/// Whether a choice of characters has `/` among them: all but some, or a range across it.
fn takes_separator(path: &str) -> bool {
    path.split('[').skip(1).any(|rest| {
        let chosen: Vec<char> = rest.split(']').next().unwrap_or_default().chars().collect();
        // With `]` in front it would be one of the characters.
        let odd = chosen.first().is_none_or(|first| matches!(first, '!' | '^'));
        let across =
            |range: &[char]| matches!(range, [from, '-', to] if (from..=to).contains(&&'/'));
        odd || chosen.contains(&'/') || chosen.windows(3).any(across)
    })
}

/// RFC 3986, section 3.1.
pub(super) fn is_scheme(text: &str) -> bool {
    let others = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(others)
}

impl fmt::Debug for ResourceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = |entry: &Entry| -> Vec<String> {
            entry.patterns.iter().map(|pattern| pattern.text.clone()).collect()
        };
        let entries = self.0.iter().map(|it| (&it.who, &it.actions, patterns(it)));
        f.debug_list().entries(entries).finish()
    }
}
