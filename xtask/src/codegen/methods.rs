//! The table of methods: one enum for each direction, and which eras have each request.

use super::describe::Description;
use super::{emit, overlay};

/// `generated/methods.rs`.
///
/// # Errors
///
/// When a schema lists no messages where some are expected.
pub(crate) fn emit(modern: &Description, legacy: &Description) -> Result<String, String> {
    let mut text =
        emit::preamble("The methods of the protocol, each with its parameters and result.")
            + "use super::model::*;\nuse crate::object::{methods, results};\n\n";
    let requests = group(modern, "ClientRequest")?;
    text += &table("lifting", "ClientRequest", "What a client asks a server.", requests)?;
    text += &results(modern, requests)?;
    let notifications = group(modern, "ServerNotification")?;
    let doc = "What a server tells a client while a request runs, or of its own accord.";
    text += &table("plain", "ServerNotification", doc, notifications)?;
    let notifications = group(modern, "ClientNotification")?;
    text += &table("plain", "ClientNotification", "What a client tells a server.", notifications)?;
    let inputs = group(modern, "InputRequest")?;
    let doc = "What a server asks of the client before it can answer.";
    text += &table("plain", "InputRequest", doc, inputs)?;
    text += "methods!(@inline InputRequest);\n\n";
    text += &eras(requests, group(legacy, "ClientRequest")?);
    Ok(text)
}

fn group<'a>(description: &'a Description, name: &str) -> Result<&'a [[String; 3]], String> {
    match description.methods.get(name).map(Vec::as_slice) {
        Some([]) | None => Err(format!("the schema lists no messages under `{name}`")),
        Some(messages) => Ok(messages),
    }
}

fn variant(message: &str) -> &str {
    let renamed = overlay::VARIANTS.iter().find(|(from, _)| *from == message);
    let cut = message.trim_end_matches("Request").trim_end_matches("Notification");
    renamed.map_or(cut, |(_, to)| to)
}

fn boxed(name: &str) -> String {
    if overlay::BOXED.contains(&name) { format!("Box<{name}>") } else { name.to_owned() }
}

fn table(mode: &str, name: &str, doc: &str, messages: &[[String; 3]]) -> Result<String, String> {
    let mut text = format!("methods! {{\n/// {doc}\n{mode} {name} {{\n");
    for [method, message, params] in messages {
        if params.is_empty() {
            return Err(format!("`{method}` has no parameters, not even metadata"));
        }
        let params = boxed(params);
        text += &format!("/// `{method}`.\n{}({params}) = \"{method}\",\n", variant(message));
    }
    Ok(text + "}\n}\n\n")
}

fn results(modern: &Description, requests: &[[String; 3]]) -> Result<String, String> {
    let mut text = "results! {\n/// What a server answers.\nServerResult {\n".to_owned();
    for [method, message, _] in requests {
        let variant = variant(message);
        let result = format!("{variant}Result");
        if !modern.definitions.contains_key(&result) {
            return Err(format!("`{method}`: there is no definition `{result}`"));
        }
        let result = boxed(&result);
        text += &format!("/// The result of `{method}`.\n{variant}({result}) = \"{method}\",\n");
    }
    // Answered at the edge, but a gateway may pass one on.
    text += "/// A result that says nothing but that it is one.\nEmpty(EmptyResult) = \"ping\",\n";
    Ok(text + "}\n}\n\n")
}

fn eras(modern: &[[String; 3]], legacy: &[[String; 3]]) -> String {
    let mut text = "/// A request from client to server, and which eras have it.\n\
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]\n#[non_exhaustive]\npub struct MethodInfo {\n\
        /// Its name.\npub name: &'static str,\n\
        /// Whether the revisions without a handshake have it.\npub modern: bool,\n\
        /// Whether the revisions with a handshake have it.\npub legacy: bool,\n}\n\n\
        const fn row(name: &'static str, modern: bool, legacy: bool) -> MethodInfo {\n\
        MethodInfo { name, modern, legacy }\n}\n\n\
        /// All requests from client to server that have a type here.\n\
        pub(crate) static METHODS: &[MethodInfo] = &[\n"
        .to_owned();
    for [method, ..] in modern {
        let both = legacy.iter().any(|[name, ..]| name == method);
        text += &format!("row(\"{method}\", true, {both}),\n");
    }
    text + "];\n\nimpl ClientRequest {\n\
        /// What is known about the method; `None` for one of an extension.\n\
        pub(crate) fn method_info(&self) -> Option<&'static MethodInfo> {\n\
        let name = self.method();\nMETHODS.iter().find(|info| info.name == name)\n}\n}\n"
}
