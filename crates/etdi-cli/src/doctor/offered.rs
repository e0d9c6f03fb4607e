//! The protocol itself: which revision is spoken, what is listed, whether it can be read.

use std::sync::Arc;

use etdi::core::change::visible;
use etdi::core::definition::RawTool;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use mcp_client::{Client, Error};
use mcp_transport::http::{HttpConnectOptions, connect_http_with, http_status};
use mcp_types::{
    BadItem, DiscoverResult, ExchangeService, Implementation, Listed, ProtocolVersion, RawText,
    Tool,
};
use serde_json::Value;
use tokio::time::timeout;

use super::login::{self, Way};
use super::place::Place;
use super::{Examination, Fault, Whose, schema};
use crate::args::Target;
use crate::exit::Exit;
use crate::inspector::suspicious;
use crate::verbs::ended::plainly_with_words;
use crate::verbs::list;
use crate::verbs::target::shown_target;

/// Asks a server behind a URL.
pub(super) async fn behind_a_url(
    place: &Place,
    url: &str,
    way: Way,
    target: &Target,
    examination: &mut Examination,
) -> Result<(), Fault> {
    let mut options = HttpConnectOptions::new(us());
    options.connect_timeout = examination.patience;
    options.config.opening_timeout = examination.patience;
    options.config.request_timeout = Some(examination.patience);
    for (name, value) in &place.headers {
        // What is no header was refused when it was first sent.
        let header = name.parse::<http::HeaderName>().ok().zip(HeaderValue::from_str(value).ok());
        if let Some((name, mut value)) = header {
            value.set_sensitive(true);
            options.headers.append(name, value);
        }
    }
    let mut kept = false;
    match way {
        Way::Open => {}
        Way::Token(token) => {
            if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) {
                value.set_sensitive(true);
                options.headers.insert(AUTHORIZATION, value);
            }
        }
        Way::Kept(client) => {
            kept = true;
            options.authorize = Some(client);
        }
    }
    let connection = connect_http_with(url, options)
        .map_err(|error| Fault::new("url", Whose::You, error.to_string(), "look at the URL"))?;
    let client = Client::new(connection.clone());
    examination.looking("asking for the revision");
    let about = timeout(examination.patience, client.discover()).await;
    let found = match about {
        Ok(Err(Error::Connection(error) | Error::Refused(error)))
            if kept && http_status(&error).is_none_or(|status| matches!(status, 401 | 403)) =>
        {
            Err(login::refused(url, &error))
        }
        Ok(Ok(about)) => {
            if kept {
                examination.passed("token", "the login that is kept lets in");
            }
            let version = connection.version();
            talk(&client, &about, version, target, examination).await
        }
        Ok(Err(error)) => Err(version_fault(&error, target)),
        Err(_) => Err(silent(target, examination)),
    };
    connection.close().await;
    found
}

/// Who asks.
pub(super) fn us() -> Implementation {
    Implementation::new("etdi", env!("CARGO_PKG_VERSION"))
}

fn silent(target: &Target, examination: &Examination) -> Fault {
    let seconds = examination.patience.as_secs();
    let what = format!("it does not say within {seconds} seconds what it speaks");
    let advice = "read the server's log: it took the request and gave no answer";
    let fault = Fault::new("versions", Whose::ServerOperator, what, advice);
    fault.exit(Exit::Unreachable).next(format!("etdi doctor {}", shown_target(target)))
}

/// Why no revision was agreed on.
pub(super) fn version_fault(error: &Error, target: &Target) -> Fault {
    let text = match error {
        Error::Service(error) => visible(&error.message).into_owned(),
        other => plainly_with_words(other, "it"),
    };
    let spoken: Vec<_> = ProtocolVersion::ALL.iter().map(|version| version.as_str()).collect();
    let what = format!("no revision is agreed on: {text}");
    let advice = format!("serve one of {}", spoken.join(", "));
    let fault = Fault::new("versions", Whose::ServerOperator, what, advice);
    fault.next(format!("etdi list --json {}", shown_target(target)))
}

/// The revision, the tools, their schemas.
pub(super) async fn talk<S: ExchangeService>(
    client: &Client<S>,
    about: &DiscoverResult,
    version: Option<ProtocolVersion>,
    target: &Target,
    examination: &mut Examination,
) -> Result<(), Fault> {
    let spoken = version.map_or("a revision that is not told", |version| version.as_str());
    let others: Vec<_> = about.supported_versions.iter().map(|one| visible(one)).collect();
    let others =
        match others.is_empty() || (others.len() == 1 && others.iter().all(|one| one == spoken)) {
            true => String::new(),
            false => format!(", and offers {}", others.join(", ")),
        };
    examination.passed("versions", format!("it speaks {spoken}{others}"));
    let next = format!("etdi list --json {}", shown_target(target));
    if about.capabilities.tools.is_none() {
        let what = "it declares no tools";
        let advice = "declare the capability `tools`, if it has any";
        examination.warned("tools", Whose::ServerOperator, what, advice);
        return Ok(());
    }
    examination.looking("listing the tools");
    let listed = timeout(examination.patience, all(client)).await;
    let tools = match listed {
        Ok(Ok(tools)) => tools,
        Ok(Err(error)) => {
            let what = format!("`tools/list` fails: {}", plainly_with_words(&error, "it"));
            let advice = "read the server's log, and answer with a list of tools";
            return Err(Fault::new("tools", Whose::ServerOperator, what, advice).next(next));
        }
        Err(_) => {
            let seconds = examination.patience.as_secs();
            let what = format!("`tools/list` is not answered within {seconds} seconds");
            let advice = "read the server's log";
            let fault = Fault::new("tools", Whose::ServerOperator, what, advice);
            return Err(fault.exit(Exit::Unreachable).next(next));
        }
    };
    let (tools, bad) = tools;
    examination.passed("tools", format!("it lists {}", counted(tools.len() + bad.len(), "tool")));
    if let Some(bad) = bad.first() {
        let what = format!(
            "the tool at place {} cannot be read: {}",
            bad.index + 1,
            visible(&bad.error.to_string())
        );
        let advice = "mend its definition: clients leave the tool out, or all tools";
        return Err(Fault::new("schemas", Whose::ServerOperator, what, advice).next(next));
    }
    schemas(&tools, &next, examination)?;
    let is_bad = |tool: &&Arc<Listed<Tool>>| {
        let read = RawTool::read(tool.text().get());
        read.is_ok_and(|tool| !suspicious(tool.definition()).is_empty())
    };
    let bad: Vec<_> = tools.iter().filter(is_bad).map(|tool| &*tool.name).collect();
    if !bad.is_empty() {
        let advice = "read what it finds before anything of this server is approved";
        examination.warned(SCANNER, Whose::ServerOperator, list::malicious(&bad), advice);
    }
    Ok(())
}

/// The step of what the scanner says.
pub(super) const SCANNER: &str = "scanner";

/// All tools, and what is listed as one and cannot be read.
async fn all<S: ExchangeService>(
    client: &Client<S>,
) -> Result<(Vec<Arc<Listed<Tool>>>, Vec<BadItem>), Error> {
    let (mut tools, mut bad) = (Vec::new(), Vec::new());
    let mut pages = client.tool_pages();
    while let Some(page) = pages.next_page().await? {
        bad.extend(page.tools.bad().iter().cloned());
        tools.extend(page.tools.iter().cloned());
    }
    Ok((tools, bad))
}

/// Whether clients and models can read the schemas.
fn schemas(
    tools: &[Arc<Listed<Tool>>],
    next: &str,
    examination: &mut Examination,
) -> Result<(), Fault> {
    let mut names = std::collections::BTreeSet::new();
    for tool in tools {
        let name = visible(&tool.name);
        let fault = |what: String| {
            let advice = "mend the schema: clients drop the tool, or all tools, over it";
            Err(Fault::new("schemas", Whose::ServerOperator, what, advice).next(next))
        };
        if !names.insert(tool.name.clone()) {
            return fault(format!("two tools are named `{name}`"));
        }
        let definition = RawText::of(&**tool).ok().and_then(|text| text.parse::<Value>().ok());
        let Some(definition) = definition else { continue };
        if let Some(wrong) = schema::faults(&definition).into_iter().next() {
            return fault(format!("the tool `{name}`: {wrong}"));
        }
    }
    examination.passed("schemas", "every schema can be read");
    Ok(())
}

/// A number with its noun.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
