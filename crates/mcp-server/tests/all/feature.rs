//! Prompts, resources and completions that are functions.

use mcp_server::types::*;
use mcp_server::{
    Context, Server, State, Suspended, ToolError, completion, prompt, resource, server, tools,
};

use tower_service::Service;

use crate::ask;

/// Plans a trip.
#[prompt(title = "A trip", icons = ["https://example.com/trip.png"])]
async fn trip(
    cx: Context<String>,
    /// Where to.
    #[arg(complete = cities)]
    city: String,
    /// How many days.
    #[arg(default = 3)]
    days: u8,
    mood: Option<String>,
) -> String {
    let mood = mood.unwrap_or_else(|| cx.state().clone());
    format!("{days} days in {city}, {mood}")
}

/// Suggests cities.
#[completion]
fn cities(state: State<String>, value: String, mood: Option<String>) -> Vec<String> {
    let all = ["Paris", "Potsdam", "Lisbon"].into_iter().filter(|city| city.starts_with(&value));
    all.map(|city| format!("{city} {} {mood:?}", *state)).collect()
}

#[prompt(name = "talk", inline)]
fn dialogue() -> Vec<PromptMessage> {
    vec![PromptMessage::user("Knock, knock."), PromptMessage::assistant("Who is there?")]
}

#[prompt]
async fn ask_first(cx: Context) -> Result<String, Suspended> {
    let roots: ListRootsResult =
        cx.input("roots", InputRequest::ListRoots(ListRootsRequestParams::new()))?;
    Ok(format!("{} roots", roots.roots.len()))
}

/// The words of the day.
#[resource("doc://motd", mime_type = "text/markdown", size = 7)]
fn motd() -> &'static str {
    "# Hello"
}

/// A user's profile.
#[resource(
    "users://{id}/profile{?lang}",
    title = "Profile",
    annotations(audience = ["user"], priority = 0.5)
)]
async fn profile(
    cx: Context<String>,
    id: u64,
    #[arg(default = "en", complete = languages)] lang: String,
) -> Result<Option<String>, ToolError> {
    if id == 500 {
        return Err(ToolError::new("the database rests"));
    }
    Ok((id < 100).then(|| format!("{id} {lang} {}", cx.state())))
}

#[completion(inline)]
fn languages(value: String) -> Vec<&'static str> {
    ["de", "en", "fr"].into_iter().filter(|language| language.starts_with(&value)).collect()
}

#[resource("blob://{+path}")]
fn blob(path: String) -> Vec<u8> {
    path.into_bytes()
}

#[resource("roots://all")]
async fn where_to(cx: Context) -> Result<String, Suspended> {
    ask_first(cx).await
}

struct Notes(Vec<&'static str>);

#[tools]
impl Notes {
    /// Counts the notes.
    #[tool]
    fn count(&self) -> usize {
        self.0.len()
    }

    /// A note.
    #[resource("note://{index}")]
    fn note(&self, index: usize) -> Option<&'static str> {
        self.0.get(index).copied()
    }

    /// Sums the notes up.
    #[prompt]
    async fn sum_up(&self, #[arg(name = "in")] language: String) -> String {
        format!("{} notes in {language}", self.0.len())
    }
}

fn features() -> Server {
    server!()
        .prompt::<dialogue>()
        .prompt::<ask_first>()
        .resource::<motd>()
        .resource::<blob>()
        .resource::<where_to>()
        .state(String::from("fine"))
        .prompt::<trip>()
        .resource::<profile>()
        .tools(Notes(vec!["milk", "bread"]))
        .build()
        .unwrap()
}

fn get(name: &str, arguments: &[(&str, &str)]) -> String {
    let mut params = GetPromptRequestParams::new(name);
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    params.arguments = Some(arguments.iter().map(owned).collect());
    match ask(&features(), ClientRequest::GetPrompt(params)) {
        Ok(Outcome::Complete(ServerResult::GetPrompt(result))) => {
            let texts = result.messages.iter().map(|message| match &message.content {
                ContentBlock::Text(text) => format!("{}: {}", message.role.as_str(), text.text),
                other => panic!("{other:?}"),
            });
            texts.collect::<Vec<_>>().join("; ")
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => format!("{} {}", error.code, error.message),
    }
}

fn read(uri: &str) -> String {
    match ask(&features(), ClientRequest::ReadResource(ReadResourceRequestParams::new(uri))) {
        Ok(Outcome::Complete(ServerResult::ReadResource(result))) => match &result.contents[..] {
            [ResourceContents::Text(text)] => {
                format!("{}: {}", text.mime_type.as_deref().unwrap(), text.text)
            }
            [ResourceContents::Blob(blob)] => {
                format!("{}: {}", blob.mime_type.as_deref().unwrap(), blob.blob)
            }
            other => panic!("{other:?}"),
        },
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            format!("{} {}", error.code, error.data.map_or(error.message, |d| d.to_string()))
        }
    }
}

#[test]
fn functions_are_prompts() {
    for (name, arguments, expected) in [
        ("trip", &[("city", "Paris")][..], "user: 3 days in Paris, fine"),
        (
            "trip",
            &[("city", "Paris"), ("days", "9"), ("mood", "bad")],
            "user: 9 days in Paris, bad",
        ),
        ("trip", &[("city", "Rome"), ("days", "")], "user: 3 days in Rome, fine"),
        ("trip", &[], "-32602 the argument `city` of the prompt is missing"),
        (
            "trip",
            &[("city", "x"), ("days", "many")],
            "-32602 the argument `days` does not fit: invalid digit found in string",
        ),
        (
            "trip",
            &[("city", "x"), ("dasy", "1")],
            "-32602 the prompt has no argument `dasy`, it has `city`, `days`, `mood`",
        ),
        ("talk", &[], "user: Knock, knock.; assistant: Who is there?"),
        ("sum_up", &[("in", "French")], "user: 2 notes in French"),
        ("ask_first", &[], "-32021 the call needs a client that declares the capability `roots`"),
    ] {
        assert_eq!(get(name, arguments), expected);
    }
}

#[test]
fn functions_are_resources() {
    for (uri, expected) in [
        ("doc://motd", "text/markdown: # Hello"),
        ("users://7/profile", "text/plain: 7 en fine"),
        ("users://7/profile?lang=de", "text/plain: 7 de fine"),
        ("users://700/profile", r#"-32602 {"uri":"users://700/profile"}"#),
        ("users://x/profile", r#"-32602 {"uri":"users://x/profile"}"#),
        ("users:///profile", r#"-32602 {"uri":"users:///profile"}"#),
        ("users://500/profile", "-32603 the database rests"),
        ("blob://a/b", "application/octet-stream: YS9i"),
        ("note://1", "text/plain: bread"),
        ("note://2", r#"-32602 {"uri":"note://2"}"#),
    ] {
        assert_eq!(read(uri), expected);
    }
    assert_eq!(motd(), "# Hello", "the functions stay functions");
    assert_eq!((trip::NAME, profile::URI), ("trip", "users://{id}/profile{?lang}"));
}

#[test]
fn prompts_and_resources_ask_the_client() {
    let prompt = || ClientRequest::GetPrompt(GetPromptRequestParams::new("ask_first"));
    let resource = || ClientRequest::ReadResource(ReadResourceRequestParams::new("roots://all"));
    for request in [&prompt as &dyn Fn() -> ClientRequest, &resource] {
        let mut exchange = Exchange::new(request());
        let capabilities = RawText::new(r#"{"roots":{}}"#).unwrap();
        exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
        let mut again = exchange.clone();
        let send = |exchange| futures_executor::block_on(features().call(exchange)).unwrap();
        let Outcome::InputRequired(asked) = send(exchange) else { panic!() };
        assert!(asked.input_requests.unwrap().contains_key("roots"));

        let answer = RawText::new(r#"{"roots":[{"uri":"file:///a"}]}"#).unwrap();
        again.context.input_responses = Some(Members::from_iter([("roots", answer)]));
        let Outcome::Complete(result) = send(again) else { panic!() };
        assert!(serde_json::to_string(&result).unwrap().contains("1 roots"));
    }
}

#[test]
fn functions_complete_arguments() {
    let complete = |target: CompleteReference, argument: &str, value: &str| {
        let argument = CompleteRequestParamsArgument::new(argument, value);
        let mut params = CompleteRequestParams::new(argument, target);
        let mut context = CompleteRequestParamsContext::new();
        context.arguments = Some([("mood".to_owned(), "bad".to_owned())].into());
        params.context = Some(context);
        match ask(&features(), ClientRequest::Complete(Box::new(params))) {
            Ok(Outcome::Complete(ServerResult::Complete(result))) => result.completion.values,
            other => panic!("{other:?}"),
        }
    };
    let trip = CompleteReference::Prompt(PromptReference::new("trip"));
    assert_eq!(
        complete(trip.clone(), "city", "P"),
        [r#"Paris fine Some("bad")"#, r#"Potsdam fine Some("bad")"#]
    );
    assert_eq!(complete(trip, "days", "P"), [""; 0]);
    let profile = CompleteReference::Resource(ResourceTemplateReference::new(profile::URI));
    assert_eq!(complete(profile, "lang", "d"), ["de"]);
}

#[test]
fn definitions_say_what_the_source_says() {
    let server = features();
    let page = PaginatedRequestParams::new;
    let list = |request| match ask(&server, request) {
        Ok(Outcome::Complete(result)) => serde_json::to_string(&result).unwrap(),
        other => panic!("{other:?}"),
    };
    let prompts = list(ClientRequest::ListPrompts(page()));
    assert!(
        prompts.contains(
            r#"{"name":"trip","arguments":[{"name":"city","description":"Where to.","required":true},{"name":"days","description":"How many days.","required":false},{"name":"mood","required":false}],"description":"Plans a trip.","icons":[{"src":"https://example.com/trip.png"}],"title":"A trip"}"#
        ),
        "{prompts}"
    );
    let resources = list(ClientRequest::ListResources(page()));
    assert!(
        resources.contains(
            r#"{"name":"motd","description":"The words of the day.","mimeType":"text/markdown","size":7,"uri":"doc://motd"}"#
        ),
        "{resources}"
    );
    let templates = list(ClientRequest::ListResourceTemplates(page()));
    assert!(
        templates.contains(
            r#"{"name":"profile","annotations":{"audience":["user"],"priority":0.5},"description":"A user's profile.","title":"Profile","uriTemplate":"users://{id}/profile{?lang}"}"#
        ),
        "{templates}"
    );
    assert_eq!(server.tools().len(), 1);
}
