//! The issuers whose tokens count, each with all that is expected of its tokens.

use std::collections::BTreeSet;

use etdi_core::key::Algorithm;

use super::VerifierError;
use crate::provider::ClaimShape;

/// One issuer whose tokens count: what its tokens name it, for whom they must be meant, where its
/// keys are and how it writes what it says.
///
/// [`Issuer::new`] is for whoever follows RFC 9068. What Auth0, Okta and Entra do otherwise is in
/// [`provider`](crate::provider), as data.
///
/// ```
/// use etdi_oauth::{Issuer, Issuers};
///
/// let issuer = Issuer::new("https://login.example.com", "https://mcp.example.com/mcp")
///     .jwks_uri("https://login.example.com/keys")
///     .only_clients(["console"]);
/// # let _: Issuers = issuer.into();
/// ```
#[derive(Clone, Debug)]
pub struct Issuer {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) jwks_uri: Option<String>,
    pub(super) clients: Option<BTreeSet<String>>,
    pub(super) tenants: Option<BTreeSet<String>>,
    pub(super) algorithms: Option<Vec<Algorithm>>,
    pub(super) shape: ClaimShape,
}

impl Issuer {
    /// The issuer whose tokens say `issuer`, byte for byte, and are meant for `audience`: most often
    /// the URL of this server, for a client asks for a token of it by that (RFC 8707).
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            jwks_uri: None,
            clients: None,
            tenants: None,
            algorithms: None,
            shape: ClaimShape::default(),
        }
    }

    /// Takes tokens that are meant for this audience as well, such as a name that the server had
    /// before.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Says where the keys are, where the issuer's metadata is not to be asked.
    #[must_use]
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.jwks_uri = Some(url.into());
        self
    }

    /// Takes only tokens that were issued to these clients.
    #[must_use]
    pub fn only_clients<T: Into<String>>(mut self, clients: impl IntoIterator<Item = T>) -> Self {
        self.clients = Some(clients.into_iter().map(Into::into).collect());
        self
    }

    /// Takes only tokens of these organisations, by the claim that [`ClaimShape::tenant`] names.
    #[must_use]
    pub fn only_tenants<T: Into<String>>(mut self, tenants: impl IntoIterator<Item = T>) -> Self {
        self.tenants = Some(tenants.into_iter().map(Into::into).collect());
        self
    }

    /// Takes only tokens that are signed by these algorithms; by default all four that are known
    /// count, each for keys of its own type alone.
    #[must_use]
    pub fn only_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// Says how the issuer writes what its tokens say.
    #[must_use]
    pub fn shape(mut self, shape: ClaimShape) -> Self {
        self.shape = shape;
        self
    }

    /// What the tokens call it.
    pub fn name(&self) -> &str {
        &self.issuer
    }

    pub(super) fn check(&self) -> Result<(), VerifierError> {
        let bad = |what: &'static str| VerifierError::Issuer { issuer: self.issuer.clone(), what };
        for url in [Some(&self.issuer), self.jwks_uri.as_ref()].into_iter().flatten() {
            let url = url::Url::parse(url).map_err(|_| bad("it is no URL"))?;
            if !is_secure(&url) {
                return Err(bad("its URL is neither https nor of this machine"));
            }
        }
        if self.audiences.iter().any(|audience| audience.trim().is_empty()) {
            return Err(bad("an audience is empty, name the URL of this server"));
        }
        let empty = |list: &Option<BTreeSet<String>>| list.as_ref().is_some_and(BTreeSet::is_empty);
        if empty(&self.clients) || empty(&self.tenants) {
            return Err(bad("a list of who is served is empty, so that nobody would be"));
        }
        if self.tenants.is_some() && self.shape.tenant.is_none() {
            return Err(bad("its tokens name no organisation, say by which claim"));
        }
        Ok(())
    }
}

/// Whether what travels there is safe from others: https, or this machine.
pub(crate) fn is_secure(url: &url::Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" && url.host().is_some() || url.scheme() == "http" && loopback
}

/// One issuer or several; never none.
#[derive(Clone, Debug)]
pub struct Issuers(pub(super) Vec<Issuer>);

impl Issuers {
    /// With another issuer, or others.
    #[must_use]
    pub fn and(mut self, others: impl Into<Self>) -> Self {
        self.0.extend(others.into().0);
        self
    }

    /// The same change made to each.
    #[must_use]
    pub fn each(self, change: impl FnMut(Issuer) -> Issuer) -> Self {
        Self(self.0.into_iter().map(change).collect())
    }
}

impl From<Issuer> for Issuers {
    fn from(issuer: Issuer) -> Self {
        Self(vec![issuer])
    }
}
