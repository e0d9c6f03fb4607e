//! The rules that hold between the parts of a tool.

use std::collections::HashSet;

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Ident, LitStr};

use crate::attr::{Hint, ToolRef};
use crate::ctxt::Ctxt;
use crate::grammar;
use crate::model::{Declaration, Receiver, ToolModel};
use crate::promise;

/// Holds one tool against the rules.
pub(crate) fn tool(tool: &ToolModel, ctxt: &Ctxt) {
    if let Err(advice) = grammar::tool_name(&tool.name.value()) {
        let message = format!(
            "the tool name `{}` is refused: {advice}, or give `#[tool(name = \"…\")]`",
            tool.name.value().escape_debug()
        );
        ctxt.error(&tool.name, message);
    }
    if let Some((_, hints)) = &tool.annotations {
        check_hints(hints, ctxt);
    }
    for icon in &tool.icons {
        let source = icon.value();
        if !source.starts_with("https://") && !source.starts_with("data:image/") {
            ctxt.error(icon, "an icon is an `https://` or a `data:image/` URL");
        }
    }
    if let Some(span) = tool.inline
        && tool.is_async
    {
        ctxt.error_at(span, "an `async` tool is always polled in place, remove `inline`");
    }
    if let Some(support) = tool.task.as_ref().and_then(|task| task.support.as_ref())
        && !matches!(support.value().as_str(), "optional" | "required")
    {
        ctxt.error(support, "a tool is a task as \"optional\" or as \"required\"");
    }
    check_arguments(tool, ctxt);
    check_unique("scope", tool.scopes.iter(), ctxt);
    if let Some(declaration) = &tool.declaration {
        check_declaration(declaration, ctxt);
        promise::check(tool, declaration, ctxt);
    }
}

/// Holds the tools of one object against each other.
pub(crate) fn tools(tools: &[ToolModel], ctxt: &Ctxt) {
    let mut names = HashSet::new();
    for tool in tools.iter().filter(|tool| tool.conditions.is_empty()) {
        if !names.insert(tool.name.value()) {
            let message = format!("two tools are named `{}`, rename one", tool.name.value());
            ctxt.error(&tool.name, message);
        }
    }
}

/// Keys of the declaration without `etdi` say nothing to anybody.
pub(crate) fn keys_without_etdi(keys: &[Ident], ctxt: &Ctxt) {
    for key in keys {
        ctxt.error(key, format!("`{key}` is part of a signed declaration, add `etdi` before it"));
    }
}

fn check_hints(hints: &[Hint], ctxt: &Ctxt) {
    let mut seen = HashSet::new();
    for hint in hints {
        let name = hint.name.to_string();
        if !matches!(&*name, "read_only" | "destructive" | "idempotent" | "open_world") {
            let message = "the hints are `read_only`, `destructive`, `idempotent` and `open_world`";
            ctxt.error(&hint.name, message);
        }
        if !seen.insert(name) {
            ctxt.error(&hint.name, format!("`{}` is given twice, remove one", hint.name));
        }
    }
    let says = |name: &str| hints.iter().find(|hint| hint.name == name && hint.value);
    if let (Some(_), Some(destructive)) = (says("read_only"), says("destructive")) {
        ctxt.error(&destructive.name, "a tool that only reads destroys nothing, remove one hint");
    }
}

fn check_arguments(tool: &ToolModel, ctxt: &Ctxt) {
    check_unique("argument", tool.arguments().map(|argument| &argument.name), ctxt);
    for argument in tool.arguments() {
        if argument.name.value().is_empty() {
            ctxt.error(&argument.name, "an argument has a name");
        }
        if let Some(path) = &argument.complete {
            let message =
                "arguments of a tool are not completed, those of prompts and resources are";
            ctxt.error(path, message);
        }
    }
    if let Receiver::None = tool.receiver {
        return;
    }
    if let Some(argument) = tool.arguments().find(|argument| argument.ident == "self") {
        ctxt.error(&argument.ident, "a tool of an object takes `&self`");
    }
}

pub(crate) fn check_unique<'l>(what: &str, all: impl Iterator<Item = &'l LitStr>, ctxt: &Ctxt) {
    let mut seen = HashSet::new();
    for literal in all {
        if !seen.insert(literal.value()) {
            let message = format!("the {what} `{}` is there twice", literal.value().escape_debug());
            ctxt.error(literal, message);
        }
    }
}

fn check_declaration(declaration: &Declaration, ctxt: &Ctxt) {
    match &declaration.version {
        Some(version) => {
            if let Err((_, advice)) = grammar::version(&version.value()) {
                let text = version.value();
                ctxt.error(version, format!("`{}` is no version: {advice}", text.escape_debug()));
            }
        }
        None => ctxt.error_at(
            declaration.span,
            "`etdi` needs the version of the definition: `#[tool(etdi, version = \"1.0.0\")]`",
        ),
    }
    for permission in &declaration.permissions {
        let text = permission.scope.value();
        if let Err((_, advice)) = grammar::permission(&text) {
            let message = format!("`{}` is no permission: {advice}", text.escape_debug());
            ctxt.error(&permission.scope, message);
        }
    }
    check_unique("permission", declaration.permissions.iter().map(|p| &p.scope), ctxt);
    if let Some(provider) = &declaration.provider {
        let text = provider.value();
        let origin = text.strip_prefix("https://").is_some_and(|host| !host.is_empty());
        if !origin && !text.starts_with("etdi:key:") {
            let message = "a provider is an origin such as \"https://acme.example\", or `etdi:key:` \
                           and a thumbprint";
            ctxt.error(provider, message);
        }
    }
    check_calls(declaration, ctxt);
}

fn check_calls(declaration: &Declaration, ctxt: &Ctxt) {
    let Declaration { allowed_callers, allowed_callees, .. } = declaration;
    let Declaration { blocked_callers, blocked_callees, .. } = declaration;
    for (allowed, blocked) in
        [(allowed_callers, blocked_callers), (allowed_callees, blocked_callees)]
    {
        let blocked: HashSet<_> = blocked.iter().flatten().map(spelled).collect();
        for tool in allowed.iter().flatten().filter(|tool| blocked.contains(&spelled(tool))) {
            let message = "the tool is both allowed and blocked, remove it from one list";
            ctxt.error_at(place(tool), message);
        }
    }
    let Some(depth) = &declaration.max_call_depth else { return };
    match depth.base10_parse::<u32>() {
        Ok(0) => ctxt.error(depth, "a depth of 0 forbids the tool itself, 1 forbids nested calls"),
        Ok(1) if allowed_callees.as_ref().is_some_and(|callees| !callees.is_empty()) => {
            ctxt.error(depth, "a depth of 1 forbids nested calls, remove the callees or raise it");
        }
        Ok(_) => {}
        Err(error) => ctxt.push(error),
    }
}

fn spelled(tool: &ToolRef) -> String {
    match tool {
        ToolRef::Name(name) => name.value(),
        ToolRef::Path(path) => path.to_token_stream().to_string(),
    }
}

fn place(tool: &ToolRef) -> Span {
    match tool {
        ToolRef::Name(name) => name.span(),
        ToolRef::Path(path) => path.span(),
    }
}
