//! The token endpoint (RFC 6749, section 3.2; RFC 7636, 8707 and 9449).

use etdi_core::key::KeyId;
use etdi_core::time::UnixTime;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::authenticate::authenticate;
use super::client::{Client, GrantType};
use super::dpop::{self, Proof};
use super::form::Form;
use super::refusal::Refusal;
use super::routes::{Answer, Shared, private};
use super::seal::sha256;
use super::server::{Credential, Grant, Wanted};
use super::statement;

/// Answers a client.
pub(super) async fn serve(
    shared: &Shared,
    headers: &HeaderMap,
    form: &Form,
    now: UnixTime,
) -> Result<Answer, Refusal> {
    let signs = shared.settings.statement_lifetime > 0;
    let offered = |kind: &GrantType| signs || *kind != GrantType::TokenExchange;
    let kind = GrantType::named(form.need("grant_type")?).filter(offered);
    let kind = kind.ok_or(Refusal::GrantType)?;
    let client = authenticate(shared, headers, form, now).await?;
    if !client.grants.contains(&kind) {
        return Err(Refusal::ClientGrantType);
    }
    let url = shared.settings.endpoint("/token");
    let proof = dpop::read(headers, &url, &shared.nonces, now)?;
    if proof.is_none() && (client.dpop || shared.settings.dpop_required) {
        return Err(Refusal::ProofMissing);
    }
    let request = Request { shared, client: &client, form, proof, now };
    match kind {
        GrantType::AuthorizationCode => request.code().await,
        GrantType::RefreshToken => request.refresh().await,
        GrantType::ClientCredentials => request.own_name().await,
        GrantType::TokenExchange => statement::serve(&request).await,
    }
}

/// A request of a client that has authenticated and may use the grant type.
pub(super) struct Request<'a> {
    pub(super) shared: &'a Shared,
    pub(super) client: &'a Client,
    pub(super) form: &'a Form,
    proof: Option<Proof>,
    pub(super) now: UnixTime,
}

impl Request<'_> {
    async fn code(&self) -> Result<Answer, Refusal> {
        let form = self.form;
        let code = Credential::Code(form.need("code")?);
        let grant = self.held(code, "code", Refusal::CodeUsed).await?;
        if form.get("redirect_uri").is_some_and(|uri| uri != grant.redirect_uri) {
            return Err(Refusal::OtherRedirect);
        }
        let verifier = form.get("code_verifier").filter(|verifier| is_verifier(verifier));
        let verifier = verifier.ok_or(Refusal::VerifierMissing)?;
        if !self.shared.seal.same(&sha256(verifier), &grant.challenge) {
            return Err(Refusal::Verifier);
        }
        self.same_resource(&grant)?;
        let grant = self.spent(code, &grant, Refusal::CodeUsed).await?;
        self.issue(Some(&grant), &grant.scopes, &grant.resource).await
    }

    async fn refresh(&self) -> Result<Answer, Refusal> {
        let form = self.form;
        let token = Credential::RefreshToken(form.need("refresh_token")?);
        let grant = self.held(token, "refresh_token", Refusal::RefreshReused).await?;
        self.same_resource(&grant)?;
        let scopes: Vec<String> = match form.get("scope") {
            Some(asked) => asked.split_whitespace().map(str::to_owned).collect(),
            None => grant.scopes.clone(),
        };
        if !scopes.iter().all(|scope| grant.scopes.contains(scope)) {
            return Err(Refusal::Scope);
        }
        let grant = self.spent(token, &grant, Refusal::RefreshReused).await?;
        self.issue(Some(&grant), &scopes, &grant.resource).await
    }

    async fn own_name(&self) -> Result<Answer, Refusal> {
        // Whatever a server of one's own lets clients do: one that proves nothing has no name.
        if !self.client.is_confidential() {
            return Err(Refusal::ClientGrantType);
        }
        let scopes = self.shared.scopes(self.client, self.form.get("scope"))?;
        let resource = self.shared.settings.resource(self.form.get("resource"));
        let resource = resource.ok_or(Refusal::Target)?;
        self.first_proof().await?;
        self.issue(None, &scopes, resource).await
    }

    /// The grant that a credential stands for, if it is this client's. One that was spent ends its
    /// grant (RFC 9700, section 4.14; RFC 6749, section 4.1.2).
    async fn held(
        &self,
        credential: Credential<'_>,
        name: &'static str,
        reused: Refusal,
    ) -> Result<Grant, Refusal> {
        let server = &self.shared.server;
        let held = server.grant(credential, self.now).await?.ok_or(Refusal::Grant(name))?;
        if held.spent {
            server.revoke_grant(&held.grant.id, self.now).await?;
            return Err(reused);
        }
        if held.grant.client != self.client.id {
            return Err(Refusal::OtherClient(name));
        }
        match (held.grant.key, &self.proof) {
            (Some(key), Some(proof)) if proof.key != key => Err(Refusal::ProofKey),
            (Some(_), None) => Err(Refusal::ProofMissing),
            _ => Ok(held.grant),
        }
    }

    /// Spends what was found good. Whoever comes second has what was stolen, or was stolen from.
    async fn spent(
        &self,
        credential: Credential<'_>,
        grant: &Grant,
        reused: Refusal,
    ) -> Result<Grant, Refusal> {
        self.first_proof().await?;
        // Refresh tokens of clients that prove nothing are bound to their key (RFC 9449, section 5).
        let key = self.key().filter(|_| !self.client.is_confidential());
        match self.shared.server.spend(credential, key, self.now).await? {
            Some(grant) => Ok(grant),
            None => {
                self.shared.server.revoke_grant(&grant.id, self.now).await?;
                Err(reused)
            }
        }
    }

    pub(super) async fn first_proof(&self) -> Result<(), Refusal> {
        let Some(proof) = &self.proof else { return Ok(()) };
        match self.shared.server.first_use(&proof.name, proof.until, self.now).await? {
            true => Ok(()),
            false => Err(Refusal::ProofReplayed),
        }
    }

    fn key(&self) -> Option<KeyId> {
        self.proof.as_ref().map(|proof| proof.key)
    }

    fn same_resource(&self, grant: &Grant) -> Result<(), Refusal> {
        let Some(asked) = self.form.get("resource") else { return Ok(()) };
        match self.shared.settings.resource(Some(asked)) == Some(&grant.resource) {
            true => Ok(()),
            false => Err(Refusal::OtherTarget),
        }
    }

    async fn issue(
        &self,
        grant: Option<&Grant>,
        scopes: &[String],
        resource: &str,
    ) -> Result<Answer, Refusal> {
        let wanted = Wanted { client: self.client, grant, scopes, resource, key: self.key() };
        let issued = self.shared.server.issue(wanted, self.now).await?;
        let mut answer = json!({
            "access_token": issued.access_token,
            "token_type": if self.proof.is_some() { "DPoP" } else { "Bearer" },
            "expires_in": issued.expires_in,
            "scope": scopes.join(" "),
        });
        if let (Some(refresh), Some(answer)) = (issued.refresh_token, answer.as_object_mut()) {
            answer.insert("refresh_token".to_owned(), refresh.into());
        }
        Ok(private(StatusCode::OK, &answer))
    }
}

/// Whether a text can be a verifier (RFC 7636, section 4.1).
fn is_verifier(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(fits)
}
