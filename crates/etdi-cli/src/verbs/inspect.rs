//! `etdi inspect`: all that a server says of itself, on one page.

use std::sync::Arc;

use etdi::core::change::visible;
use etdi::core::layer::Review;
use mcp_types::RawText;
use serde_json::{Value, json};

use crate::args::InspectArguments;
use crate::ask::{Asker, Grants};
use crate::demo::meet::found;
use crate::doctor::schema;
use crate::exit::Failure;
use crate::home::Home;
use crate::login;
use crate::output::{Output, Report, style, table};
use crate::talk::Talk;
use crate::talk::answers::Answers;
use crate::targets;
use crate::verbs::target::{Opening, block_on, shown_target, unlisted};
use crate::verbs::{list, tools};

/// Inspects a server.
///
/// # Errors
///
/// When the server cannot be used.
pub fn run(arguments: &InspectArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let target = &arguments.target;
    block_on(async {
        let grants = Grants::all(Asker::Nobody);
        let opening = Opening::to_look(target, home, output, grants);
        let talk = Talk::open(opening, Answers::at_terminal(output), None, None).await?;
        let found = targets::resolve(&target.command)?;
        let login = match found.url() {
            // What its entry sends may be what lets in.
            Some(_) if !found.headers_as_written().is_empty() => None,
            Some(url) => Some(login::kept(url, home).await?.is_some()),
            None => None,
        };
        let page = over(&talk, login, arguments.schemas).await;
        talk.close().await;
        page
    })
}

/// How many bytes of JSON a token of common models comes to, about.
const BYTES_OF_A_TOKEN: usize = 4;

/// About how many tokens a text takes in a model's context.
fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(BYTES_OF_A_TOKEN)
}

/// A tool as it was listed: its name, and its definition where that can be read.
struct Listing<'a> {
    name: &'a str,
    text: &'a str,
    definition: Value,
}

impl<'a> Listing<'a> {
    fn of(review: &'a Review) -> Self {
        let text = review.definition().map_or("", |definition| definition.canonical());
        Self::new(review.name(), text)
    }

    fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, definition: serde_json::from_str(text).unwrap_or_default() }
    }

    fn description(&self) -> &str {
        self.definition.get("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// What it takes in a model's context: its name, its description and the schema of its arguments.
    fn context_bytes(&self) -> usize {
        let schema = self.definition.get("inputSchema").map_or(0, |one| one.to_string().len());
        self.name.len() + self.description().len() + schema
    }
}

/// The page of an open session. `login` says whether a login is kept, where the server is behind a
/// URL; `schemas` adds the schemas whole.
///
/// # Errors
///
/// As [`run`].
pub async fn over(talk: &Talk, login: Option<bool>, schemas: bool) -> Result<Report, Failure> {
    let fail = |error| unlisted(&error, &talk.target);
    let about = talk.session.about();
    let offers_tools = about.capabilities.tools.is_some();
    let reviews = match offers_tools {
        true => talk.session.discover_tools().await.map_err(fail)?,
        false => Vec::new(),
    };
    list::warn_of(&reviews, &talk.target, talk.output);
    let listed: Vec<Listing<'_>> = reviews.iter().map(|review| Listing::of(review)).collect();
    let (prompts, resources) = (talk.prompts().await?, talk.resources().await?);
    let templates = talk.templates().await?;
    let info = about.server_info();
    let version = talk.session.unchecked().version();
    let server = talk.session.peer().identity.to_string();
    let pins = talk.session.peer().measurement.as_ref().map(|measured| measured.pin());

    let (bold, dim, warn) = (style::BOLD, style::DIM, style::WARN);
    let mut lines = Vec::new();
    let title = info.as_ref().map_or_else(
        || "a server without a name".to_owned(),
        |info| {
            let title = info
                .title
                .as_deref()
                .map_or_else(String::new, |title| format!(" ({})", visible(title)));
            format!("{} {}{title}", visible(&info.name), visible(&info.version))
        },
    );
    lines.push(format!("{bold}{title}{bold:#}"));
    let mut field = |name: &str, text: String| lines.push(format!("  {name:<13} {text}"));
    field("server", visible(&server).into_owned());
    let speaks = version.map_or("not told", |version| version.as_str());
    let kind = version.map(|version| match version > mcp_types::ProtocolVersion::NEWEST_LEGACY {
        true => "each request stands for itself",
        false => "a session with a handshake",
    });
    field(
        "speaks",
        format!("{speaks}{}", kind.map_or_else(String::new, |kind| format!(" ({kind})"))),
    );
    if about.supported_versions.len() > 1 {
        let all: Vec<_> = about.supported_versions.iter().map(|one| visible(one)).collect();
        field("offers", all.join(", "));
    }
    let capabilities = capabilities(talk);
    field(
        "can",
        if capabilities.is_empty() { "nothing".to_owned() } else { capabilities.join(", ") },
    );
    if let Some(kept) = login {
        let text = if kept { "by the login that is kept" } else { "without a login" };
        field("lets in", text.to_owned());
    }
    if let Some(pin) = &pins {
        field(
            "program",
            format!("{} {dim}{}{dim:#}", visible(pin.executable.as_str()), pin.digest),
        );
    }
    if let Some(text) = &about.instructions {
        field(
            "instructs",
            format!("the model, {} bytes, about {} tokens:", text.len(), tokens(text.len())),
        );
        lines.extend(text.lines().map(|line| format!("  | {}", visible(line))));
    }
    let total: usize = listed.iter().map(Listing::context_bytes).sum();
    lines.push(String::new());
    lines.push(format!(
        "{bold}{}{bold:#}{}",
        counted(listed.len(), "tool"),
        if listed.is_empty() {
            String::new()
        } else {
            format!(", about {} tokens in a model's context", tokens(total))
        }
    ));
    let mut faults = Vec::new();
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for (tool, review) in listed.iter().zip(&reviews) {
        let (row, value, wrong) = tool_of(tool, Some(review));
        rows.push(row);
        data.push(value);
        let name = visible(tool.name).into_owned();
        faults.extend(wrong.into_iter().map(|wrong| format!("  {warn}{name}{warn:#}: {wrong}")));
    }
    lines.push(table(["tool", "bytes", "tokens", "arguments", "signature", "approval"], rows));
    if schemas {
        lines.extend(listed.iter().flat_map(whole));
    }
    if !faults.is_empty() {
        lines.push(format!("\n{bold}schemas that clients stumble over{bold:#}"));
        lines.append(&mut faults);
    }
    if !prompts.is_empty() {
        lines.push(format!("\n{bold}{}{bold:#}", counted(prompts.len(), "prompt")));
        lines.extend(prompts.iter().map(|prompt| {
            let arguments = prompt.arguments.iter().flatten().map(|one| {
                let must = if one.required == Some(true) { "" } else { "?" };
                format!(" {}{must}", visible(&one.name))
            });
            let says = short(prompt.description.as_deref());
            format!(
                "  {}{dim}{}{dim:#}{says}",
                visible(&prompt.name),
                arguments.collect::<String>()
            )
        }));
    }
    if !resources.is_empty() {
        lines.push(format!("\n{bold}{}{bold:#}", counted(resources.len(), "resource")));
        lines.extend(resources.iter().take(MOST_LINES).map(|one| {
            let kind = one
                .mime_type
                .as_deref()
                .map_or_else(String::new, |kind| format!(" {}", visible(kind)));
            let size = one.size.map_or_else(String::new, |size| format!(", {size} bytes"));
            format!(
                "  {}{dim}{kind}{size}{dim:#}{}",
                visible(&one.uri),
                short(one.description.as_deref())
            )
        }));
        if resources.len() > MOST_LINES {
            lines.push(format!(
                "  … and {} more, `--json` shows them",
                resources.len() - MOST_LINES
            ));
        }
    }
    if !templates.is_empty() {
        lines.push(format!("\n{bold}{}{bold:#}", counted(templates.len(), "resource template")));
        lines.extend(templates.iter().map(|one| {
            format!("  {}{}", visible(&one.uri_template), short(one.description.as_deref()))
        }));
    }
    let again = shown_target(&talk.target);
    let next = match reviews.iter().any(|review| review.can_be_approved()) {
        true => format!("etdi approve {again}"),
        false => format!("etdi shell {again}"),
    };
    lines.push(format!("\n{bold}try:{bold:#}   {next}"));
    let report = json!({
        "server": server,
        "info": info.and_then(|info| RawText::of(&info).ok()).and_then(value),
        "version": version.map(|version| version.as_str()),
        "supported_versions": about.supported_versions,
        "capabilities": RawText::of(&about.capabilities).ok().and_then(value),
        "instructions": about.instructions,
        "login": login,
        "pin": pins,
        "tools": data,
        "context_bytes": total,
        "context_tokens": tokens(total),
        "prompts": prompts.iter().filter_map(|one| value(one.text().clone())).collect::<Vec<_>>(),
        "resources": resources.iter().filter_map(|one| value(one.text().clone())).collect::<Vec<_>>(),
        "resource_templates":
            templates.iter().filter_map(|one| value(one.text().clone())).collect::<Vec<_>>(),
        "next": next,
    });
    Ok(Report::new(report, lines.join("\n")))
}

/// The most resources that are shown to people.
const MOST_LINES: usize = 40;

fn value(text: RawText) -> Option<Value> {
    text.parse().ok()
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// The first line of a description, cut.
fn short(text: Option<&str>) -> String {
    let line = text.and_then(|text| text.lines().next()).unwrap_or_default();
    let cut: String = line.chars().take(80).collect();
    if cut.is_empty() { String::new() } else { format!("  {}", visible(&cut)) }
}

/// What the server declares that it can do.
fn capabilities(talk: &Talk) -> Vec<String> {
    let about = &talk.session.about().capabilities;
    let mut can = Vec::new();
    let mut add = |has: bool, name: &str| {
        if has {
            can.push(name.to_owned());
        }
    };
    add(about.tools.is_some(), "tools");
    add(about.prompts.is_some(), "prompts");
    add(about.resources.is_some(), "resources");
    add(about.completions.is_some(), "completions");
    add(about.logging.is_some(), "logging");
    let extensions = about.extensions.iter().flatten().chain(about.experimental.iter().flatten());
    can.extend(extensions.map(|(name, _)| visible(name).into_owned()));
    can
}

/// A tool as a row, as data, and what is wrong with its schemas.
fn tool_of(tool: &Listing<'_>, review: Option<&Arc<Review>>) -> ([String; 6], Value, Vec<String>) {
    let (bytes, context) = (tool.text.len(), tool.context_bytes());
    let wrong = match tool.definition.is_null() {
        true => vec!["its definition cannot be read".to_owned()],
        false => schema::faults(&tool.definition),
    };
    let signature = review.map_or_else(String::new, |review| match found(review).0.as_str() {
        "VERIFIED" => "verified".to_owned(),
        other => other.to_lowercase().replace('_', " "),
    });
    let approval = review.map_or_else(String::new, |review| match review.is_approved() {
        true => "approved".to_owned(),
        false => review.code().to_lowercase().replace('_', " "),
    });
    let mut data =
        review.map_or_else(|| json!({ "name": tool.name }), |review| tools::data(review));
    if let Some(members) = data.as_object_mut() {
        members.insert("bytes".to_owned(), bytes.into());
        members.insert("context_bytes".to_owned(), context.into());
        members.insert("context_tokens".to_owned(), tokens(context).into());
        members.insert("schema_faults".to_owned(), json!(wrong));
    }
    let row = [
        visible(tool.name).into_owned(),
        bytes.to_string(),
        tokens(context).to_string(),
        arguments(&tool.definition),
        signature,
        approval,
    ];
    (row, data, wrong)
}

/// The arguments of a tool, those that need not be given with a question mark.
fn arguments(definition: &Value) -> String {
    let schema = definition.get("inputSchema");
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    let required = schema.and_then(|schema| schema.get("required")?.as_array());
    let must = |name: &String| required.into_iter().flatten().any(|one| one.as_str() == Some(name));
    let names = properties
        .into_iter()
        .flatten()
        .map(|(name, _)| format!("{}{}", visible(name), if must(name) { "" } else { "?" }));
    let all: Vec<String> = names.collect();
    let shown: String = all.join(" ").chars().take(60).collect();
    if all.join(" ").chars().count() > 60 { format!("{shown}…") } else { shown }
}

/// A tool with its description and schemas, for people.
fn whole(tool: &Listing<'_>) -> Vec<String> {
    let bold = style::BOLD;
    let mut lines = vec![format!("\n{bold}{}{bold:#}", visible(tool.name))];
    lines.extend(tool.description().lines().map(|line| format!("  | {}", visible(line))));
    for name in ["inputSchema", "outputSchema", "annotations"] {
        let Some(part) = tool.definition.get(name) else { continue };
        let text = serde_json::to_string_pretty(part).unwrap_or_default();
        lines.push(format!("  {name}"));
        lines.extend(text.lines().map(|line| format!("    {}", visible(line))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_counted_as_a_model_reads_it() {
        let text = r#"{"name":"add","description":"Adds.","inputSchema":{"type":"object","properties":{"a":{},"b":{}},"required":["a"]},"_meta":{"long":"xxxxxxxxxxxxxxxx"}}"#;
        let tool = Listing::new("add", text);
        let ([name, bytes, tokens, arguments, ..], _, wrong) = tool_of(&tool, None);
        assert_eq!((name.as_str(), bytes), ("add", text.len().to_string()));
        // Neither `_meta` nor annotations are shown to a model.
        let schema = r#"{"type":"object","properties":{"a":{},"b":{}},"required":["a"]}"#;
        assert_eq!(tokens, (3 + 5 + schema.len()).div_ceil(4).to_string());
        assert!(arguments == "a b?" && wrong.is_empty(), "{arguments}");
    }
}
