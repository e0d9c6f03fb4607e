//! One provider: how it is asked, and how what it answers is read.

use std::fmt::Display;
use std::sync::Arc;

use mcp_types::RawText;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::allowed::{Allowed, UpstreamUser};
use crate::embedded::refusal::Refusal;
use crate::flow::{ClientAuthentication, Dialect};
use crate::verify::is_secure;
use crate::web::{is_loopback, object};
use crate::{
    AccessToken, Fetch, FetchError, FetchRequest, IdToken, IdTokenVerifier, RegisteredClient,
    SecretText, ServerMetadata, VerifierError,
};

/// The most bytes of what GitHub says of an account.
const MAX_ACCOUNT: usize = 256 << 10;

/// A provider that says who users are, and who of them may log in.
#[derive(Clone)]
pub struct Upstream {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) client: RegisteredClient,
    pub(super) kind: Kind,
    pub(super) scopes: Vec<String>,
    pub(super) allowed: Allowed,
}

#[derive(Clone)]
pub(super) enum Kind {
    OpenId {
        also: Vec<String>,
        /// The claim that names the user's organisation.
        domain: Option<String>,
    },
    GitHub {
        api: String,
        server: Box<ServerMetadata>,
    },
}

/// A provider that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// Its name cannot stand in a URL.
    #[error("`{0}` is no name for a provider, use lower case letters, digits and `-`")]
    Name(String),
    /// It is there already.
    #[error("the provider `{0}` or its issuer is there already, give each another name")]
    Twice(String),
    /// Nobody may log in with it.
    #[error(
        "nobody may log in with `{0}`, name ids, addresses or domains, or say that anybody may"
    )]
    Nobody(String),
    /// Its ID tokens cannot be verified.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
}

impl Upstream {
    /// An OpenID provider, found by its issuer's metadata. `name` stands in URLs, `label` on the
    /// page; `client` is this server as the provider knows it.
    pub fn openid(
        name: impl Into<String>,
        label: impl Into<String>,
        mut client: RegisteredClient,
        allowed: Allowed,
    ) -> Self {
        // What is asked for is who the user is, and no token for anything; many providers take S256
        // and do not say so.
        client.dialect = Dialect { no_resource: true, s256_unsaid: true, ..Dialect::default() };
        Self {
            name: name.into(),
            label: label.into(),
            client,
            kind: Kind::OpenId { also: Vec::new(), domain: None },
            scopes: ["openid", "email"].map(str::to_owned).to_vec(),
            allowed,
        }
    }

    /// Google. Who belongs to a domain is what Google says of the account (`hd`), not what its
    /// address looks like: see Google, "OpenID Connect",
    /// <https://developers.google.com/identity/openid-connect/openid-connect>.
    pub fn google(
        client_id: impl Into<String>,
        secret: impl Into<SecretText>,
        allowed: Allowed,
    ) -> Self {
        let client =
            RegisteredClient::with_secret("https://accounts.google.com", client_id, secret);
        let google = Self::openid("google", "Google", client, allowed);
        google.also_named("accounts.google.com").domain_claim("hd")
    }

    /// GitHub, which is no OpenID provider: an access token shows whose account it is, and is
    /// forgotten. See GitHub, "Authorizing OAuth apps",
    /// <https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps>.
    pub fn github(
        client_id: impl Into<String>,
        secret: impl Into<SecretText>,
        allowed: Allowed,
    ) -> Self {
        let api = "https://api.github.com".to_owned();
        Self::github_with("https://github.com", api, client_id.into(), secret.into(), allowed)
    }

    /// GitHub Enterprise Server at `origin`, such as `https://git.acme.example`.
    pub fn github_at(
        origin: impl AsRef<str>,
        client_id: impl Into<String>,
        secret: impl Into<SecretText>,
        allowed: Allowed,
    ) -> Self {
        let origin = origin.as_ref().trim_end_matches('/');
        let api = format!("{origin}/api/v3");
        Self::github_with(origin, api, client_id.into(), secret.into(), allowed)
    }

    fn github_with(
        origin: &str,
        api: String,
        client_id: String,
        secret: SecretText,
        allowed: Allowed,
    ) -> Self {
        let issuer = format!("{origin}/login/oauth");
        let server = ServerMetadata {
            authorization_endpoint: Some(format!("{issuer}/authorize")),
            token_endpoint: Some(format!("{issuer}/access_token")),
            code_challenge_methods_supported: Some(vec!["S256".to_owned()]),
            issuer: issuer.clone(),
            ..ServerMetadata::default()
        };
        let client =
            RegisteredClient::new(issuer, client_id, ClientAuthentication::SecretPost(secret));
        let client = client.dialect(Dialect { no_resource: true, ..Dialect::default() });
        Self {
            name: "github".to_owned(),
            label: "GitHub".to_owned(),
            client,
            kind: Kind::GitHub { api, server: Box::new(server) },
            scopes: vec!["user:email".to_owned()],
            allowed,
        }
    }

    /// Another name by which an OpenID provider's tokens may call it.
    #[must_use]
    pub fn also_named(mut self, name: impl Into<String>) -> Self {
        if let Kind::OpenId { also, .. } = &mut self.kind {
            also.push(name.into());
        }
        self
    }

    /// The claim that names the user's organisation, in place of the domain of the address.
    #[must_use]
    pub fn domain_claim(mut self, claim: impl Into<String>) -> Self {
        if let Kind::OpenId { domain, .. } = &mut self.kind {
            *domain = Some(claim.into());
        }
        self
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.client.issuer
    }

    /// Whether it is on this computer.
    pub(super) fn is_here(&self) -> bool {
        url::Url::parse(self.issuer()).is_ok_and(|url| is_loopback(&url))
    }

    pub(super) fn check(&self) -> Result<(), UpstreamError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(fits) {
            return Err(UpstreamError::Name(self.name.clone()));
        }
        if self.allowed.is_nobody() {
            return Err(UpstreamError::Nobody(self.name.clone()));
        }
        if !url::Url::parse(self.issuer()).is_ok_and(|url| is_secure(&url)) {
            let what = "its URL is neither https nor of this machine";
            let issuer = self.issuer().to_owned();
            return Err(VerifierError::Issuer { issuer, what }.into());
        }
        Ok(())
    }

    pub(super) fn verifier(
        &self,
        fetch: &Arc<dyn Fetch>,
    ) -> Result<Option<IdTokenVerifier>, VerifierError> {
        let Kind::OpenId { also, .. } = &self.kind else { return Ok(None) };
        let verifier = IdTokenVerifier::new(self.issuer(), &self.client.id, fetch.clone())?;
        Ok(Some(also.iter().fold(verifier, |verifier, name| verifier.also_named(name))))
    }

    /// What the client is told of a login that failed. Why is for the operator.
    pub(super) fn failed(&self, why: &dyn Display) -> Refusal {
        tracing::warn!(upstream = %self.name, "a login failed: {why}");
        Refusal::Upstream
    }

    /// Who an ID token is about.
    pub(super) fn of_token(&self, token: IdToken) -> UpstreamUser {
        #[derive(Deserialize)]
        struct Named {
            name: Option<String>,
        }
        let claim = match &self.kind {
            Kind::OpenId { domain, .. } => domain.as_deref(),
            Kind::GitHub { .. } => None,
        };
        let domain = match claim {
            Some(claim) => text_of(&token, claim),
            None => token.email.as_deref().and_then(domain_of),
        };
        let name = token.claims::<Named>().ok().and_then(|named| named.name);
        UpstreamUser {
            // By the name that is configured, whatever the token calls it.
            issuer: self.issuer().to_owned(),
            id: token.subject,
            email: token.email,
            domain: domain.map(|domain| domain.to_ascii_lowercase()),
            name,
            claims: token.claims,
        }
    }

    /// Whose account an access token of GitHub is for.
    pub(super) async fn of_account(
        &self,
        fetch: &dyn Fetch,
        token: &AccessToken,
    ) -> Result<UpstreamUser, String> {
        /// <https://docs.github.com/rest/users/users#get-the-authenticated-user>
        #[derive(Deserialize)]
        struct Account {
            id: u64,
            login: String,
        }
        /// <https://docs.github.com/rest/users/emails#list-email-addresses-for-the-authenticated-user>
        #[derive(Deserialize)]
        struct Address {
            email: String,
            primary: bool,
            verified: bool,
        }
        let Kind::GitHub { api, .. } = &self.kind else {
            return Err("it is no provider of accounts".to_owned());
        };
        let text = get(fetch, &format!("{api}/user"), token).await?;
        let account: Account = object(&text).map_err(|error| error.to_string())?;
        // The address in the account is one that the user chose to show.
        let emails = get(fetch, &format!("{api}/user/emails"), token).await;
        let emails: Vec<Address> = emails.ok().and_then(|text| list(&text)).unwrap_or_default();
        let primary = emails.into_iter().find(|one| one.primary && one.verified);
        let email = primary.map(|one| one.email);
        let claims = String::from_utf8(text).map_err(|error| error.to_string())?;
        Ok(UpstreamUser {
            issuer: self.issuer().to_owned(),
            id: account.id.to_string(),
            domain: email.as_deref().and_then(domain_of).map(|domain| domain.to_ascii_lowercase()),
            email,
            name: Some(account.login),
            claims: RawText::new(claims).map_err(|error| error.to_string())?,
        })
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("issuer", &self.issuer())
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

async fn get(fetch: &dyn Fetch, url: &str, token: &AccessToken) -> Result<Vec<u8>, String> {
    let mut request = FetchRequest::get(url);
    request.most_bytes = MAX_ACCOUNT;
    let bearer = format!("Bearer {}", token.expose());
    for (name, value) in [
        ("accept", "application/vnd.github+json"),
        ("authorization", &bearer),
        ("x-github-api-version", "2022-11-28"),
    ] {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    let answer = fetch.fetch(request).await.map_err(|error| error.to_string())?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("`{url}`: {}", FetchError::status(status))),
    }
}

fn list<T: DeserializeOwned>(text: &[u8]) -> Option<Vec<T>> {
    serde_json::from_slice(text).ok()
}

/// A claim that is a text.
fn text_of(token: &IdToken, claim: &str) -> Option<String> {
    let claims: std::collections::BTreeMap<String, serde_json::Value> = token.claims().ok()?;
    claims.get(claim)?.as_str().map(str::to_owned)
}

fn domain_of(email: &str) -> Option<String> {
    let (user, domain) = email.rsplit_once('@')?;
    (!user.is_empty() && !domain.is_empty()).then(|| domain.to_owned())
}
