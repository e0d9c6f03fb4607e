//! Who may log in with a provider, and who did.

use std::collections::BTreeSet;
use std::sync::Arc;

use mcp_types::{BoxFuture, RawText};
use url::form_urlencoded::byte_serialize;

/// A user, as a provider told of one.
#[derive(Clone)]
#[non_exhaustive]
pub struct UpstreamUser {
    /// The provider, by its issuer.
    pub issuer: String,
    /// What the provider calls the user for ever: `sub`, or the number of an account. A name that one
    /// can give up and another take is none.
    pub id: String,
    /// An address that the provider says it has verified.
    pub email: Option<String>,
    /// The organisation by the word of the provider: a claim of its own such as Google's `hd`, else
    /// the domain of the verified address. In lower case.
    pub domain: Option<String>,
    /// The name that people know the user by, for a page. Nobody checked it.
    pub name: Option<String>,
    /// All that the provider said, as the text of a JSON object.
    pub claims: RawText,
}

impl UpstreamUser {
    /// The user in tokens of this server: provider and id together, so that two providers never mean
    /// two people by one name.
    pub fn subject(&self) -> String {
        let id: String = byte_serialize(self.id.as_bytes()).collect();
        format!("{}#{id}", self.issuer)
    }
}

impl std::fmt::Debug for UpstreamUser {
    /// Claims are about a person, and are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UpstreamUser({})", self.issuer)
    }
}

/// Decides who may log in, such as by a list that changes. Object safe.
pub trait Admit: Send + Sync {
    /// Whether this user may.
    fn admits<'a>(&'a self, user: &'a UpstreamUser) -> BoxFuture<'a, bool>;
}

/// Who may log in with one provider. It has to be said: whoever wants one has an account with
/// Google.
#[derive(Clone)]
pub struct Allowed(Rule);

#[derive(Clone)]
enum Rule {
    Anybody,
    Listed { ids: BTreeSet<String>, emails: BTreeSet<String>, domains: BTreeSet<String> },
    Asked(Arc<dyn Admit>),
}

impl Allowed {
    /// Everybody with an account there: right for a company's own provider, or where a token gives
    /// access to nothing but its user's own.
    pub fn anybody() -> Self {
        Self(Rule::Anybody)
    }

    /// Those that are named by what follows, and nobody else.
    pub fn only() -> Self {
        let (ids, emails, domains) = Default::default();
        Self(Rule::Listed { ids, emails, domains })
    }

    /// Those for whom `admit` says so.
    pub fn ask(admit: Arc<dyn Admit>) -> Self {
        Self(Rule::Asked(admit))
    }

    /// Those for whom a function says so.
    pub fn when(admit: impl Fn(&UpstreamUser) -> bool + Send + Sync + 'static) -> Self {
        Self::ask(Arc::new(When(admit)))
    }

    /// Adds the user whom the provider calls so: `sub`, or the number of a GitHub account.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        self.listing(|ids, _, _| _ = ids.insert(id.into()))
    }

    /// Adds the user with this address, where the provider says that it has verified it.
    #[must_use]
    pub fn email(self, email: impl AsRef<str>) -> Self {
        self.listing(|_, emails, _| _ = emails.insert(email.as_ref().to_ascii_lowercase()))
    }

    /// Adds the members of an organisation ([`UpstreamUser::domain`]). Addresses below it
    /// (`dev.acme.example`) are not among them.
    #[must_use]
    pub fn domain(self, domain: impl AsRef<str>) -> Self {
        self.listing(|_, _, domains| _ = domains.insert(domain.as_ref().to_ascii_lowercase()))
    }

    /// With a list where there is none: who narrows "anybody" down means the list.
    fn listing(
        self,
        add: impl FnOnce(&mut BTreeSet<String>, &mut BTreeSet<String>, &mut BTreeSet<String>),
    ) -> Self {
        let mut rule = match self.0 {
            Rule::Listed { .. } => self.0,
            Rule::Anybody | Rule::Asked(_) => Self::only().0,
        };
        if let Rule::Listed { ids, emails, domains } = &mut rule {
            add(ids, emails, domains);
        }
        Self(rule)
    }

    /// Whether there can be nobody.
    pub(super) fn is_nobody(&self) -> bool {
        match &self.0 {
            Rule::Listed { ids, emails, domains } => {
                let all = [ids, emails, domains];
                let named = |list: &BTreeSet<String>| list.iter().any(|one| !one.trim().is_empty());
                !all.into_iter().any(named)
            }
            Rule::Anybody | Rule::Asked(_) => false,
        }
    }

    pub(super) async fn admits(&self, user: &UpstreamUser) -> bool {
        match &self.0 {
            Rule::Anybody => true,
            Rule::Asked(admit) => admit.admits(user).await,
            Rule::Listed { ids, emails, domains } => {
                let email = user.email.as_ref().map(|email| email.to_ascii_lowercase());
                ids.contains(&user.id)
                    || email.is_some_and(|email| emails.contains(&email))
                    || user.domain.as_ref().is_some_and(|domain| domains.contains(domain))
            }
        }
    }
}

impl std::fmt::Debug for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            Rule::Anybody => "Allowed(anybody)",
            Rule::Listed { .. } => "Allowed(only …)",
            Rule::Asked(_) => "Allowed(asked)",
        })
    }
}

struct When<F>(F);

impl<F: Fn(&UpstreamUser) -> bool + Send + Sync> Admit for When<F> {
    fn admits<'a>(&'a self, user: &'a UpstreamUser) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready((self.0)(user)))
    }
}
