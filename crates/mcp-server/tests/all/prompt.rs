//! Prompts and completions that are values.

use mcp_server::types::error::codes;
use mcp_server::types::*;
use mcp_server::{Completing, Context, Server, ToolError, server};

use crate::ask;

fn plan() -> Prompt {
    let mut plan = Prompt::new("plan");
    plan.description = Some("Plans a day.".into());
    let mut day = PromptArgument::new("day");
    day.required = Some(true);
    plan.arguments = Some(vec![day, PromptArgument::new("mood")]);
    plan
}

fn prompts() -> Server {
    server!()
        .state(String::from("Berlin"))
        .prompt_fn(plan(), async |cx: Context<String>, arguments| {
            let mood = arguments.get("mood").map_or("fine", String::as_str);
            format!("Plan {} in {}, {mood}.", arguments["day"], cx.state())
        })
        .prompt_fn(Prompt::new("talk"), async |_, _| {
            [
                PromptMessage::user("Look:"),
                PromptMessage::user(ContentBlock::image("aGk=", "image/png")),
                PromptMessage::assistant("I see."),
            ]
        })
        .prompt_fn(Prompt::new("fail"), async |_, _| {
            Err::<String, _>(ToolError::new("no plan today").log("disk 7 is full"))
        })
        .prompt_fn(Prompt::new("refuse"), async |_, _| {
            Err::<String, _>(ErrorObject::new(7, "no plans on Sundays"))
        })
        .prompt_fn(Prompt::new("panic"), async |_, _| -> String { panic!("boom") })
        .prompt_fn(
            Prompt::new("ask"),
            async |cx: Context<String>, _| -> Result<String, ToolError> {
                let form: ElicitResult =
                    cx.input("name", InputRequest::ListRoots(ListRootsRequestParams::new()))?;
                Ok(format!("{form:?}"))
            },
        )
        .complete_prompt("plan", "day", async |cx: Context<String>, typed: Completing| {
            let known = typed.arguments.get("mood").map(String::as_str);
            match known {
                Some("bad") => vec![cx.state().clone()],
                _ => typed.matching(["Monday", "Tuesday", "Sunday"]),
            }
        })
        .complete_resource("note://{id}", "id", async |_, _| {
            (0..250).map(|number| number.to_string()).collect::<Vec<_>>()
        })
        .resource_fn(ResourceTemplate::new("note", "note://{id}/{part}"), async |_, _| "")
        .resource_fn(ResourceTemplate::new("note", "note://{id}"), async |_, _| "")
        .build()
        .unwrap()
}

fn get(name: &str, arguments: &[(&str, &str)]) -> Result<Outcome, ErrorObject> {
    let mut params = GetPromptRequestParams::new(name);
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    params.arguments = (!arguments.is_empty()).then(|| arguments.iter().map(owned).collect());
    ask(&prompts(), ClientRequest::GetPrompt(params))
}

fn messages(outcome: Result<Outcome, ErrorObject>) -> Result<String, String> {
    let outcome = outcome.map_err(|error| format!("{} {}", error.code, error.message))?;
    let Outcome::Complete(ServerResult::GetPrompt(result)) = outcome else { panic!("{outcome:?}") };
    Ok(serde_json::to_string(&result.messages).unwrap())
}

#[test]
fn prompts_are_filled_in() {
    let text = |text: &str| {
        Ok(format!(r#"[{{"content":{{"type":"text","text":"{text}"}},"role":"user"}}]"#))
    };
    assert_eq!(messages(get("plan", &[("day", "Monday")])), text("Plan Monday in Berlin, fine."));
    let both = [("day", "Monday"), ("mood", "bad")];
    assert_eq!(messages(get("plan", &both)), text("Plan Monday in Berlin, bad."));
    let talk = messages(get("talk", &[])).unwrap();
    assert!(talk.contains(r#""mimeType":"image/png""#) && talk.contains(r#""role":"assistant""#));
    let Ok(Outcome::Complete(ServerResult::GetPrompt(result))) = get("plan", &[("day", "x")])
    else {
        panic!()
    };
    assert_eq!(result.description.as_deref(), Some("Plans a day."));
}

#[test]
fn what_goes_wrong_is_an_error_of_the_protocol() {
    for (name, arguments, error) in [
        ("nope", &[][..], "-32602 there is no prompt `nope`, see `prompts/list`"),
        ("Paln", &[], "-32602 there is no prompt `Paln`, did you mean `plan`?"),
        ("plan", &[], "-32602 the argument `day` of the prompt is missing"),
        (
            "plan",
            &[("day", "x"), ("dya", "y")],
            "-32602 the prompt has no argument `dya`, it has `day`, `mood`",
        ),
        ("fail", &[], "-32603 no plan today"),
        ("refuse", &[], "7 no plans on Sundays"),
        ("panic", &[], "-32603 the call failed by a fault of the server"),
    ] {
        assert_eq!(messages(get(name, arguments)), Err(error.to_owned()));
    }
}

#[test]
fn a_prompt_may_ask_the_client() {
    let mut exchange = Exchange::new(ClientRequest::GetPrompt(GetPromptRequestParams::new("ask")));
    let capabilities = RawText::new(r#"{"roots":{}}"#).unwrap();
    exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
    let outcome =
        futures_executor::block_on(tower_service::Service::call(&mut prompts(), exchange));
    let Ok(Outcome::InputRequired(result)) = outcome else { panic!("{outcome:?}") };
    assert!(result.input_requests.unwrap().contains_key("name"));
}

fn complete(
    target: CompleteReference,
    argument: &str,
    value: &str,
    known: &[(&str, &str)],
) -> String {
    let argument = CompleteRequestParamsArgument::new(argument, value);
    let mut params = CompleteRequestParams::new(argument, target);
    let mut context = CompleteRequestParamsContext::new();
    context.arguments =
        Some(known.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect());
    params.context = Some(context);
    match ask(&prompts(), ClientRequest::Complete(Box::new(params))) {
        Ok(Outcome::Complete(ServerResult::Complete(result))) => {
            let CompleteResultCompletion { values, has_more, total, .. } = result.completion;
            let shown = values.get(..3).unwrap_or(&values).join(" ");
            format!("{} {has_more:?} {total:?} {shown}", values.len())
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => format!("{} {}", error.code, error.message),
    }
}

#[test]
fn arguments_are_completed() {
    let prompt = |name: &str| CompleteReference::Prompt(PromptReference::new(name));
    let resource = |uri: &str| CompleteReference::Resource(ResourceTemplateReference::new(uri));
    for (target, argument, value, known, expected) in [
        (prompt("plan"), "day", "t", &[][..], "1 None None Tuesday"),
        (prompt("plan"), "day", "t", &[("mood", "bad")], "1 None None Berlin"),
        (prompt("plan"), "mood", "t", &[], "0 None None "),
        (prompt("plan"), "dya", "", &[], "-32602 there is no argument `dya` to complete"),
        (prompt("nope"), "day", "", &[], "-32602 there is no prompt `nope`, see `prompts/list`"),
        (resource("note://{id}"), "id", "", &[], "100 Some(true) Some(250) 0 1 2"),
        (resource("note://7"), "id", "", &[], "100 Some(true) Some(250) 0 1 2"),
        (resource("note://{id}/{part}"), "id", "", &[], "0 None None "),
        (
            resource("other://{id}"),
            "id",
            "",
            &[],
            "-32602 there is no resource `other://{id}`, see `resources/list` and its templates",
        ),
    ] {
        assert_eq!(complete(target, argument, value, known), expected);
    }
    let server = server!().prompt_fn(plan(), async |_, _| "").build().unwrap();
    let params =
        CompleteRequestParams::new(CompleteRequestParamsArgument::new("day", ""), prompt("plan"));
    let error = ask(&server, ClientRequest::Complete(Box::new(params))).unwrap_err();
    assert_eq!(error.code, codes::METHOD_NOT_FOUND);
}

#[test]
fn prompts_are_checked_when_the_server_is_built() {
    let named = |name: &str| server!().prompt_fn(Prompt::new(name), async |_, _| "");
    let twice = named("a").prompt_fn(Prompt::new("a"), async |_, _| "");
    let lost = named("a").complete_prompt("a", "day", async |_, _| Vec::<String>::new());
    let mut same = Prompt::new("a");
    same.arguments = Some(vec![PromptArgument::new("x"), PromptArgument::new("x")]);
    let same = server!().prompt_fn(same, async |_, _| "");
    for (server, message) in [
        (twice, "two prompts are named `a`, give one of them another name"),
        (lost, "nothing to complete: the prompt `a` has no argument `day`"),
        (named(""), "the prompt `` is refused: give it at least one character"),
        (named("a\nb"), "the prompt `a\\nb` is refused: a name holds no control characters"),
        (same, "the prompt `a` is refused: two arguments have the same name"),
    ] {
        assert_eq!(server.build().unwrap_err().to_string(), message);
    }
}
