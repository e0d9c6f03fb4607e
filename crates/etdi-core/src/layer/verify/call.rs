//! A call: of an approved tool as it is now, permitted, signed and noted before it is sent.

use super::*;

/// Why nothing is permitted where nothing decides, and what to do.
const NO_ENGINE: &str = "a call needs a policy that permits it, and there is none: give the client an \
                         engine, or `LocalRules::of_approvals` where approvals are to suffice";

/// How many seconds an answer takes that no person gives.
const AT_ONCE: u64 = 1;

/// How often a person is asked before one call.
const QUESTIONS: usize = 4;

impl Verifying {
    pub(super) async fn call<S: ExchangeService>(
        self: Arc<Self>,
        mut service: S,
        mut exchange: Exchange,
    ) -> Result<Outcome, ErrorObject> {
        let ClientRequest::CallTool(params) = &exchange.request else {
            return ask(&mut service, exchange).await;
        };
        let name = params.name.clone();
        let correlation = correlate(&mut exchange.context);
        let review = self.present(&mut service, &exchange.context, &name).await?;
        let approved = match review.outcome() {
            ReviewOutcome::Approved(approved) => approved,
            _ => {
                self.note_refused(&review, &exchange.context, &correlation);
                return Err(review.error());
            }
        };
        let permitted = self.pass_gate(&exchange, approved, &review).await?;
        let must_sign = permitted.obligations.contains(&Obligation::Sign);
        self.in_chain(&mut exchange, approved, &review, must_sign)?;
        let mut named = self.name_token(&mut exchange, approved, must_sign).await;
        let mut sent = self.sign(&mut exchange, approved, &review, must_sign)?;

        // What goes on with answers is the same call, which was noted when it began.
        let context = &exchange.context;
        if context.input_responses.is_none() && context.request_state.is_none() {
            let event = Event::new(EventKind::ToolInvoked).of_approval(approved.approval());
            let event = event.severity(Severity::Low).correlated(&correlation);
            let event = on_behalf_of(event, context);
            self.note(&event, (self.clock)())
                .map_err(|error| refused("AUDIT_FAILED", &format!("nothing is called: {error}")))?;
        }
        let retry = sent.is_some().then(|| exchange.clone());
        let mut answer = ask(&mut service, exchange).await;
        // Each once: a server that is never content is not asked for ever.
        let (mut nonce, mut token) = (true, true);
        while let (Err(error), Some(again)) = (&answer, &retry) {
            if nonce && self.keep_nonce(error) {
                nonce = false;
            } else if token && self.has_other_token(error, named.as_ref()).await {
                token = false;
            } else {
                break;
            }
            let mut again = again.clone();
            // A token counts once, and the server may have taken it already.
            self.in_chain(&mut again, approved, &review, must_sign)?;
            named = self.name_token(&mut again, approved, must_sign).await;
            sent = self.sign(&mut again, approved, &review, must_sign)?;
            answer = ask(&mut service, again).await;
        }
        self.check_receipt(answer?, sent.as_ref(), approved, &review)
    }

    /// Notes a call that is refused, each time; if that fails it is refused all the same.
    fn note_refused(&self, review: &Review, context: &RequestContext, correlation: &str) {
        let event = Event::new(EventKind::ToolRefused).on(&self.server, review.name());
        let event = event.correlated(correlation).detail(&"a call was refused");
        let event = on_behalf_of(event, context);
        let event = match review.outcome() {
            ReviewOutcome::Refused(refusal) => event.because(refusal.reason),
            _ => event.because(Reason::DefinitionInvalid),
        };
        _ = self.note(&event, (self.clock)());
    }

    /// What is true of a tool now, also where a person took time to answer about it: the list that
    /// they were asked about is as old as that, and what has changed or ended since counts.
    async fn present<S: ExchangeService>(
        &self,
        service: &mut S,
        context: &RequestContext,
        name: &str,
    ) -> Result<Arc<Review>, ErrorObject> {
        for _ in 0..QUESTIONS {
            let began = (self.clock)();
            let review = self.current(service, context, name).await?;
            let approved_at = match review.outcome() {
                ReviewOutcome::Approved(approved) => approved.approval().approved_at,
                _ => return Ok(review),
            };
            let was_asked = approved_at >= began;
            if !was_asked || (self.clock)() <= approved_at.plus(AT_ONCE) {
                return Ok(review);
            }
        }
        let why = "the tool changed each time that somebody was asked about it";
        Err(refused(Reason::DefinitionChanged.code(), why))
    }

    /// What a listing says of a tool.
    async fn current<S: ExchangeService>(
        &self,
        service: &mut S,
        context: &RequestContext,
        name: &str,
    ) -> Result<Arc<Review>, ErrorObject> {
        let asking = match self.ask {
            AskWhen::Never => Asking::Nobody,
            _ => Asking::Only(name),
        };
        if self.recheck_after > 0 {
            let now = (self.clock)();
            let generation = self.generation().await?;
            let state = self.state();
            let fresh = state.tools.get(name).filter(|entry| {
                now.0.saturating_sub(entry.checked_at.0) < self.recheck_after
                    && state.stale.is_none_or(|stale| entry.checked_at > stale)
                    && entry.generation == generation
                    && entry.review.is_approved_at(now)
            });
            if let Some(entry) = fresh {
                return Ok(entry.review.clone());
            }
        }
        let mut pages = Pages::new();
        loop {
            let cursor = pages.cursor.clone();
            let Some(page) = pages.next(service, context).await? else { break };
            let reviews = self.page(service, context, cursor, &page, asking).await?;
            if let Some(review) = reviews.into_iter().find(|review| review.name() == name) {
                return Ok(review);
            }
        }
        let known = self.state().tools.contains_key(name);
        self.state().forget(name);
        if let Some(listeners) = self.events.as_ref().filter(|_| known) {
            let event = Event::new(EventKind::ToolRemoved).on(&self.server, name);
            listeners.emit(event.from_source(SOURCE), (self.clock)());
        }
        Err(refused("NOT_LISTED", "the server does not list this tool, so it was not approved"))
    }

    /// Has the gate decide about a call of an approved tool.
    async fn pass_gate(
        &self,
        exchange: &Exchange,
        approved: &Approved<ToolDefinition>,
        review: &Review,
    ) -> Result<Permitted, ErrorObject> {
        let Some(gate) = &self.gate else {
            return match self.approvals.policy().rules {
                Rules::EngineDefaultDeny => Err(refused("POLICY_DENIED", NO_ENGINE)),
                _ => Ok(Permitted::default()),
            };
        };
        let verified = review.verification().ok();
        let status = if verified.is_some() { Status::Verified } else { Status::Unverified };
        let mut resource = Resource::of(&self.server, approved, status);
        if let Some(verified) = verified {
            resource.provider = Some(verified.issuer().as_str());
        }
        resource.granted = match &approved.approval().granted {
            Granted::All => None,
            Granted::Only(scopes) => Some(scopes.iter().map(AsRef::as_ref).collect()),
            Granted::Unasked => Some(Vec::new()),
        };
        let caller = exchange.context.extensions.get::<Frame>();
        let own = caller.map_or("", |caller| caller.member().server());
        let mut request = Request::of(exchange, resource, (self.clock)()).called_by(caller, own);
        request.context.level = Some(self.approvals.policy().level);
        gate.decide(&request, exchange.context.runtime.as_ref()).await.map_err(|denied| {
            let evidence = json!({ "policies": denied.policies, "reasons": denied.reasons });
            let data = json!({ wire::ERROR_DATA: "POLICY_DENIED", wire::EVIDENCE: evidence });
            ErrorObject::local(Origin::Refused, denied.to_string()).with_data(&data)
        })
    }
}

/// With who called, where somebody vouches for them.
fn on_behalf_of(event: Event, context: &RequestContext) -> Event {
    let Some(principal) = context.extensions.get::<Principal>() else { return event };
    let mut subject = Subject::default();
    subject.user = Some(&principal.subject);
    subject.issuer = Some(&principal.issuer);
    match subject.vouched() {
        Some(user) => event.by(&user),
        None => event,
    }
}
