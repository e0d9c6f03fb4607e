//! What a server keeps between two rounds, and who may bring it back.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mcp_server::types::Tool as Definition;
use mcp_server::types::{ExchangeFuture, InputRequiredResult, JsonSchema, Outcome, Principal};
use mcp_server::{
    AeadSealer, BuildError, Call, Context, Server, Tool, ToolError, data, server, tool,
};

use crate::input::Caller;

const ELICITS: &str = r#"{"elicitation":{}}"#;
const YES: &str = r#"{"action":"accept","content":{"yes":true}}"#;

#[data]
struct Yes {
    yes: bool,
}

#[derive(Default)]
struct Till(AtomicU32);

/// Takes the money, then asks twice.
#[tool]
async fn pay(cx: Context<Till>, cents: u32) -> Result<String, ToolError> {
    let charge =
        async || Ok::<_, ToolError>(cx.state().0.fetch_add(cents, Ordering::Relaxed) + cents);
    let charged = cx.once("charge", charge).await?;
    let twice = cx.once("charge", async || Err("the step ran again".into()));
    assert_eq!(twice.await.map_err(|error: ToolError| format!("{error:?}")), Ok(charged));
    let sure = cx.elicit::<Yes>("sure", "Sure?")?.accepted().is_some_and(|form| form.yes);
    let printed = cx.once_sync("print", || Ok::<_, ToolError>(format!("receipt of {charged}")))?;
    let really = cx.elicit::<Yes>("really", "Really?")?.accepted().is_some_and(|form| form.yes);
    let total = cx.state().0.load(Ordering::Relaxed);
    Ok(format!("{printed}, {sure} {really}, {total} in all"))
}

/// The same under another name.
#[tool(name = "refund")]
async fn refund(cx: Context<Till>, cents: u32) -> Result<String, ToolError> {
    pay(cx, cents).await
}

fn till() -> Server {
    server!().state(Till::default()).tool::<pay>().tool::<refund>().build().unwrap()
}

#[test]
fn a_step_runs_once_however_often_its_tool_does() {
    let mut caller = Caller::new(till(), ELICITS);
    assert!(caller.shown("pay", r#"{"cents":5}"#, &[]).starts_with("sure? "));
    assert!(caller.shown("pay", r#"{"cents":5}"#, &[("sure", YES)]).starts_with("really? "));
    let shown = caller.shown("pay", r#"{ "cents": 5 }"#, &[("really", YES)]);
    assert_eq!(shown, "receipt of 5, true true, 5 in all");
}

const REFUSED: &str = "-32602 `requestState` was not made for this request or is too old, send the \
                       request without it to start anew";

#[test]
fn a_state_is_good_for_its_own_request_alone() {
    let server = till();
    let ada = Principal::new("https://issuer.example", "ada");
    let mut caller = Caller::new(server.clone(), ELICITS);
    caller.principal = Some(ada.clone());
    assert!(caller.shown("pay", r#"{"cents":5}"#, &[]).starts_with("sure? "));
    let state = caller.state.clone().unwrap();
    assert!(!state.contains("charge"), "nobody can read it: {state}");
    let with = |change: &dyn Fn(&mut Caller), name: &str, arguments: &str| {
        let mut other = Caller::new(server.clone(), ELICITS);
        other.principal = Some(ada.clone());
        other.state = Some(state.clone());
        change(&mut other);
        other.shown(name, arguments, &[("sure", YES)])
    };
    let five = r#"{"cents":5}"#;
    assert!(with(&|_| {}, "pay", five).starts_with("really? "));
    assert_eq!(
        with(&|caller| caller.state = Some(format!("{state}-TAMPERED")), "pay", five),
        REFUSED
    );
    assert_eq!(with(&|caller| caller.state = Some(String::new()), "pay", five), REFUSED);
    assert_eq!(with(&|caller| caller.principal = None, "pay", five), REFUSED);
    let eve = Principal::new("https://issuer.example", "eve");
    assert_eq!(with(&|caller| caller.principal = Some(eve.clone()), "pay", five), REFUSED);
    assert_eq!(with(&|_| {}, "pay", r#"{"cents":6}"#), REFUSED);
    assert_eq!(with(&|_| {}, "refund", five), REFUSED);
    // Another process has another key, unless it is given the same.
    let mut elsewhere = Caller::new(till(), ELICITS);
    (elsewhere.principal, elsewhere.state) = (Some(ada.clone()), Some(state.clone()));
    assert_eq!(elsewhere.shown("pay", five, &[("sure", YES)]), REFUSED);
}

/// An unsealed state would let its bearer say what a step came to.
#[test]
fn a_client_cannot_say_what_a_step_came_to() {
    let mut caller = Caller::new(till(), ELICITS);
    caller.state = Some(r#"{"done":{"charge":0}}"#.into());
    assert_eq!(caller.shown("pay", r#"{"cents":5}"#, &[("sure", YES)]), REFUSED);
}

#[test]
fn nodes_with_one_key_serve_one_call_together() {
    let node = |valid_for| {
        let sealer = AeadSealer::new(1, &[7; 32]).valid_for(Duration::from_secs(valid_for));
        let server = server!().seal_state(sealer).state(Till::default()).tool::<pay>();
        Caller::new(server.build().unwrap(), ELICITS)
    };
    let (mut first, mut second) = (node(60), node(60));
    assert!(first.shown("pay", r#"{"cents":5}"#, &[]).starts_with("sure? "));
    second.state = first.state.clone();
    assert!(second.shown("pay", r#"{"cents":5}"#, &[("sure", YES)]).starts_with("really? "));
    second.state = second.state.clone();
    let shown = second.shown("pay", r#"{"cents":5}"#, &[("really", YES)]);
    assert_eq!(shown, "receipt of 5, true true, 0 in all");

    let mut late = node(0);
    assert!(late.shown("pay", r#"{"cents":5}"#, &[]).starts_with("sure? "));
    assert_eq!(late.shown("pay", r#"{"cents":5}"#, &[("sure", YES)]), REFUSED);
}

/// Asks with a state of its own making, and says so or not.
struct Asker {
    may_ask: bool,
}

impl Tool for Asker {
    fn definition(&self) -> Result<Definition, BuildError> {
        Ok(Definition::new("asker", JsonSchema::empty_object()))
    }

    fn call(&self, _: Call) -> ExchangeFuture {
        let mut asked = InputRequiredResult::default();
        asked.request_state = Some("charged 5".to_owned());
        Box::pin(std::future::ready(Ok(Outcome::InputRequired(asked))))
    }

    fn may_ask(&self) -> bool {
        self.may_ask
    }
}

/// Nothing was kept that its state could be sealed for, so it does not leave at all.
#[test]
fn a_tool_that_never_asks_has_no_state_that_leaves() {
    let caller = |may_ask| {
        let server = server!().add_tool(Asker { may_ask }).build().unwrap();
        let mut caller = Caller::new(server, ELICITS);
        let shown = caller.shown("asker", "{}", &[]);
        (shown, caller.state)
    };
    let (_, state) = caller(true);
    assert!(state.is_some_and(|state| !state.contains("charged")), "it is sealed");
    let (shown, state) = caller(false);
    assert_eq!(shown, "-32603 the call failed by a fault of the server");
    assert_eq!(state, None);
}

/// A tool that takes nothing from the exchange cannot ask, and a state is nothing that it made.
#[test]
fn a_tool_without_a_context_takes_no_state() {
    /// Gives its text back.
    #[tool]
    fn plain(text: String) -> String {
        text
    }
    let mut caller = Caller::new(server!().tool::<plain>().build().unwrap(), ELICITS);
    assert_eq!(caller.shown("plain", r#"{"text":"x"}"#, &[]), "x");
    caller.state = Some("made up".into());
    assert_eq!(caller.shown("plain", r#"{"text":"x"}"#, &[]), REFUSED);
}
