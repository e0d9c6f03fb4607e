//! What reaches a model beside tools: prompts, resource templates and a server's instructions, held
//! against its manifest.

use std::sync::Arc;

use mcp_types::{
    ClientRequest, DiscoverResult, ErrorObject, Exchange, ExchangeService, Items, Listed, Outcome,
    PaginatedRequestParams, Prompt, ResourceTemplate, ServerResult,
};

use super::manifest::Shown;
use super::{Verifying, refused};
use crate::change::visible;
use crate::definition::DefinitionError;
use crate::digest::Digest;
use crate::event::{Event, EventKind, Severity};
use crate::identity::ProviderId;
use crate::layer::{MAX_PAGES, ask, on_behalf};
use crate::level::{Handling, KeyTrust};
use crate::manifest::{instructions_digest, prompt_digest, template_digest};
use crate::verify::{Verdict, VerifyError};

/// A kind of thing that a manifest covers beside tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FeatureKind {
    /// A prompt, by its name.
    Prompt,
    /// A resource template, by its URI template.
    ResourceTemplate,
    /// The instructions of the server, which have no name.
    Instructions,
}

impl FeatureKind {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::ResourceTemplate => "resource template",
            Self::Instructions => "instructions",
        }
    }
}

/// What became of a prompt, a resource template or the instructions.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FeatureReview {
    /// What it is.
    pub kind: FeatureKind,
    /// Its name or URI template; empty for the instructions.
    pub name: String,
    /// What verification found.
    pub standing: FeatureStanding,
    /// Whether it was passed on.
    pub passed: bool,
}

/// Who vouches for a prompt, a resource template or the instructions.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FeatureStanding {
    /// The manifest lists exactly this.
    Attested {
        /// Who signed the manifest.
        issuer: ProviderId,
    },
    /// No manifest speaks of it.
    Unattested,
    /// There is a manifest, and nobody can check it here.
    Unverified(VerifyError),
    /// It is not what the manifest lists, or the manifest is wrong.
    Refused(VerifyError),
}

/// The most reviews of one server, and the longest name of one.
pub(super) const MAX_FEATURES: usize = 16_384;
const MAX_NAME: usize = 1_024;

impl Verifying {
    /// Holds a page of prompts or templates against the manifest.
    pub(super) async fn list_features<S: ExchangeService>(
        self: Arc<Self>,
        mut service: S,
        exchange: Exchange,
    ) -> Result<Outcome, ErrorObject> {
        let mut outcome = ask(&mut service, exchange).await?;
        self.check_page(&mut outcome).await?;
        Ok(outcome)
    }

    async fn check_page(&self, outcome: &mut Outcome) -> Result<(), ErrorObject> {
        let now = (self.clock)();
        match outcome {
            Outcome::Complete(ServerResult::ListPrompts(page)) => {
                let shown = self.manifest(page.meta.as_ref(), now).await?;
                page.prompts = self.passed(&page.prompts, |prompt: &Listed<Prompt>| {
                    self.judge(
                        shown.as_ref(),
                        FeatureKind::Prompt,
                        &prompt.name,
                        prompt_digest(prompt).map(|(_, digest)| digest),
                    )
                });
            }
            Outcome::Complete(ServerResult::ListResourceTemplates(page)) => {
                let shown = self.manifest(page.meta.as_ref(), now).await?;
                let template = |template: &Listed<ResourceTemplate>| {
                    self.judge(
                        shown.as_ref(),
                        FeatureKind::ResourceTemplate,
                        &template.uri_template,
                        template_digest(template).map(|(_, digest)| digest),
                    )
                };
                page.resource_templates = self.passed(&page.resource_templates, template);
            }
            _ => {}
        }
        Ok(())
    }

    fn passed<T>(&self, all: &Items<T>, judge: impl Fn(&Listed<T>) -> bool) -> Items<T> {
        all.iter().filter(|one| judge(one)).cloned().collect()
    }

    /// Takes the instructions out of `result` where they may not be shown.
    pub(super) async fn check_instructions(&self, result: &mut DiscoverResult) {
        let Some(text) = &result.instructions else { return };
        let digest = instructions_digest(text).map_err(DefinitionError::Json);
        let shown = self.manifest(result.meta.as_ref(), (self.clock)()).await;
        // A store that cannot say what was seen before must not keep a session from opening; it
        // refuses each tool.
        let passed = shown
            .is_ok_and(|shown| self.judge(shown.as_ref(), FeatureKind::Instructions, "", digest));
        if !passed {
            result.instructions = None;
        }
    }

    /// Gets a prompt, if it is listed as it may be.
    pub(super) async fn get_prompt<S: ExchangeService>(
        self: Arc<Self>,
        mut service: S,
        exchange: Exchange,
    ) -> Result<Outcome, ErrorObject> {
        let ClientRequest::GetPrompt(params) = &exchange.request else {
            return ask(&mut service, exchange).await;
        };
        let manifests = self.memory().await?.is_some_and(|known| !known.manifests.is_empty());
        if !manifests && self.approvals.policy().unsigned != Handling::Refuse {
            return ask(&mut service, exchange).await;
        }
        let name = params.name.clone();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let mut params = PaginatedRequestParams::new();
            params.cursor = cursor;
            let list = on_behalf(&exchange.context, ClientRequest::ListPrompts(params));
            let mut outcome = ask(&mut service, list).await?;
            self.check_page(&mut outcome).await?;
            let Outcome::Complete(ServerResult::ListPrompts(page)) = outcome else { break };
            if page.prompts.iter().any(|prompt| prompt.name == name) {
                return ask(&mut service, exchange).await;
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let message = format!(
            "the prompt `{}` is not listed, or not as its publisher signed it",
            visible(&name)
        );
        Err(refused("PROMPT_REFUSED", &message))
    }

    /// Whether something may be passed on, and keeps what was found.
    fn judge(
        &self,
        shown: Option<&Shown>,
        kind: FeatureKind,
        name: &str,
        digest: Result<Digest, DefinitionError>,
    ) -> bool {
        let policy = self.approvals.policy();
        let standing = match digest {
            Ok(digest) => standing(shown, policy.key_trust, kind, name, digest),
            Err(error) => FeatureStanding::Refused(error.into()),
        };
        let passed = match &standing {
            FeatureStanding::Attested { .. } => true,
            FeatureStanding::Unattested => policy.unsigned != Handling::Refuse,
            FeatureStanding::Unverified(_) => policy.unverified != Handling::Refuse,
            FeatureStanding::Refused(_) => false,
        };
        if name.len() > MAX_NAME {
            return passed;
        }
        let review = FeatureReview { kind, name: name.to_owned(), standing, passed };
        let mut state = self.state();
        let key = (kind, review.name.clone());
        let known = state.features.get(&key).is_some_and(|known| **known == review);
        if known {
            return passed;
        }
        let review = Arc::new(review);
        state.features.insert(key, review.clone());
        drop(state);
        if let FeatureStanding::Refused(error) = &review.standing {
            let event = Event::new(EventKind::SecurityViolation).at(&self.server);
            let what = format!("{} `{}`: {error}", kind.name(), visible(name));
            // It is refused whether or not that can be noted.
            _ = self.note(&event.severity(Severity::Critical).detail(&what), (self.clock)());
        }
        passed
    }
}

fn standing(
    shown: Option<&Shown>,
    trust: KeyTrust,
    kind: FeatureKind,
    name: &str,
    digest: Digest,
) -> FeatureStanding {
    let manifest = match shown {
        None => return FeatureStanding::Unattested,
        Some(Err(error)) if error.verdict() == Verdict::Wrong => {
            return FeatureStanding::Refused(error.clone());
        }
        Some(Err(error)) => return FeatureStanding::Unverified(error.clone()),
        // Who vouches for tools without being trusted vouches for nothing else either.
        Some(Ok(manifest)) if manifest.trust() < trust.least() => {
            let (issuer, key) = (manifest.issuer().clone(), manifest.key());
            return FeatureStanding::Unverified(VerifyError::IssuerUntrusted { issuer, key });
        }
        Some(Ok(manifest)) => manifest,
    };
    let contents = manifest.contents();
    let listed = match kind {
        FeatureKind::Prompt => contents.prompts.get(name),
        FeatureKind::ResourceTemplate => contents.resource_templates.get(name),
        FeatureKind::Instructions => contents.instructions.as_ref(),
    };
    match listed {
        None => FeatureStanding::Unattested,
        Some(listed) if *listed == digest => {
            FeatureStanding::Attested { issuer: manifest.issuer().clone() }
        }
        Some(listed) => FeatureStanding::Refused(VerifyError::DigestMismatch {
            attested: *listed,
            received: digest,
        }),
    }
}
