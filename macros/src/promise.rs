//! What the lock already decides: a tool that promises something else needs a version that says so.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::LitStr;
use syn::spanned::Spanned;

use crate::attr::{PermissionAttr, ToolRef};
use crate::ctxt::Ctxt;
use crate::grammar;
use crate::lock::{self, Locked};
use crate::model::{Declaration, ToolModel};

/// Holds a declaration against the lock.
pub(crate) fn check(tool: &ToolModel, declaration: &Declaration, ctxt: &Ctxt) {
    for fault in &declaration.files.faults {
        ctxt.error_at(declaration.span, fault);
    }
    let locked = match locked(tool, declaration) {
        Ok(Some(locked)) => locked,
        Ok(None) => return,
        Err(error) => {
            let message = format!("`etdi.lock`: {error}; restore it, or write it anew");
            ctxt.error_at(declaration.span, message);
            return;
        }
    };
    let Some(version) = valid_version(declaration, &locked) else { return };
    if lock::compare(&version.value(), &locked.version).is_lt() {
        let message = format!(
            "`{}` is lower than the locked version {} of `{}`, raise it above that",
            version.value(),
            locked.version,
            tool.name.value()
        );
        ctxt.error(version, message);
        return;
    }
    if lock::major(&version.value()) > lock::major(&locked.version) {
        return;
    }
    for (span, change) in changes(tool, declaration, &locked, version.span()) {
        ctxt.error_at(span, broken(tool, &locked, &change));
    }
}

/// What is added to the constant: the locked digest, and the manifest of the server.
pub(crate) fn proofs(tool: &ToolModel, declaration: &Declaration) -> TokenStream {
    let same_version = |locked: &Locked| {
        let version = declaration.version.as_ref();
        version.is_some_and(|version| version.value() == locked.version)
    };
    let digest = locked(tool, declaration).ok().flatten().filter(same_version);
    let digest = digest.map(|locked| locked.digest).map(|digest| quote!(.locked_digest(#digest)));
    let manifest = declaration.files.manifest.as_ref();
    let manifest = manifest.map(|path| quote!(.manifest(::core::include_str!(#path))));
    quote!(#digest #manifest)
}

/// Items that make a change of the lock a reason to build again, and that compare what only the
/// compiler knows: the names of tools that are given as paths.
pub(crate) fn items(tool: &ToolModel) -> Option<TokenStream> {
    let declaration = tool.declaration.as_ref()?;
    let (path, _) = declaration.files.lock.as_ref()?;
    let tracked = quote!(
        const _: &[u8] = ::core::include_bytes!(#path);
    );
    let Ok(Some(locked)) = locked(tool, declaration) else { return Some(tracked) };
    let Some(version) = valid_version(declaration, &locked) else { return Some(tracked) };
    if lock::major(&version.value()) > lock::major(&locked.version) {
        return Some(tracked);
    }
    let message = broken(tool, &locked, "changes who may call whom");
    let compared = lists(declaration).into_iter().filter_map(|(key, tools)| {
        let (tools, names) = (tools?, locked.lists.get(key)?);
        if written(tools).is_some() {
            return None;
        }
        let given = tools.iter().map(|tool| match tool {
            ToolRef::Name(name) => quote!(#name),
            ToolRef::Path(path) => quote!(<#path>::NAME),
        });
        Some(quote_spanned! { version.span() =>
            const _: () = ::core::assert!(
                __etdi::declaration::same_names(&[#(#given),*], &[#(#names),*]),
                #message
            );
        })
    });
    Some(quote!(#tracked #(#compared)*))
}

fn locked(tool: &ToolModel, declaration: &Declaration) -> Result<Option<Locked>, String> {
    match &declaration.files.lock {
        Some((_, text)) => lock::find(text, &tool.name.value()),
        None => Ok(None),
    }
}

/// The declared version, where both are versions.
fn valid_version<'a>(declaration: &'a Declaration, locked: &Locked) -> Option<&'a LitStr> {
    let version = declaration.version.as_ref()?;
    let valid = |text: &str| grammar::version(text).is_ok();
    (valid(&version.value()) && valid(&locked.version)).then_some(version)
}

fn broken(tool: &ToolModel, locked: &Locked, change: &str) -> String {
    format!(
        "`{}` {change} since version {} in `etdi.lock`: its version must be {}.0.0 or higher",
        tool.name.value(),
        locked.version,
        lock::major(&locked.version).saturating_add(1)
    )
}

/// What a declaration promises otherwise than the lock, and where it stands.
fn changes(
    tool: &ToolModel,
    declaration: &Declaration,
    locked: &Locked,
    elsewhere: Span,
) -> Vec<(Span, String)> {
    let mut changes = Vec::new();
    let list = |key: &str| locked.lists.get(key).map(Vec::as_slice).unwrap_or_default();
    let (required, optional) = (list("permissions"), list("optional"));
    for PermissionAttr { scope, optional: can_do_without, .. } in &declaration.permissions {
        let (place, text) = (scope.span(), scope.value());
        let (same, other) = match can_do_without {
            true => (optional, required),
            false => (required, optional),
        };
        if same.contains(&text) {
            continue;
        }
        let how = match (other.contains(&text), can_do_without) {
            (false, _) => "asks for",
            (true, false) => "requires",
            (true, true) => "no longer requires",
        };
        changes.push((place, format!("{how} `{text}`")));
    }
    let asked =
        |text: &&String| declaration.permissions.iter().any(|one| one.scope.value() == **text);
    for text in required.iter().chain(optional).filter(|text| !asked(text)) {
        changes.push((elsewhere, format!("no longer asks for `{text}`")));
    }
    let mut scopes: Vec<String> = tool.scopes.iter().map(LitStr::value).collect();
    scopes.sort();
    if scopes != list("scopes") {
        changes.push((elsewhere, "wants other OAuth scopes of its callers".to_owned()));
    }
    let depth = declaration.max_call_depth.as_ref();
    let same_depth = match depth {
        None => locked.max_call_depth.is_none(),
        Some(depth) => depth.base10_parse::<u32>().ok() == locked.max_call_depth,
    };
    let other_calls =
        |(key, tools): (&str, Option<&[ToolRef]>)| match (tools, locked.lists.get(key)) {
            (None, None) => false,
            (Some(tools), Some(names)) => written(tools).is_some_and(|tools| tools != *names),
            _ => true,
        };
    if !same_depth || lists(declaration).into_iter().any(other_calls) {
        let place = depth.map_or(elsewhere, Spanned::span);
        let place = if same_depth { elsewhere } else { place };
        changes.push((place, "changes who may call whom".to_owned()));
    }
    // No attribute declares it, so a tool that has it in the lock was declared otherwise.
    if locked.require_approval_for_chains {
        changes.push((elsewhere, "no longer asks before other tools call it".to_owned()));
    }
    if declaration.require_request_signing != locked.require_request_signing {
        changes.push((elsewhere, "changes whether calls must be signed".to_owned()));
    }
    changes
}

fn lists(declaration: &Declaration) -> [(&'static str, Option<&[ToolRef]>); 4] {
    [
        ("allowed_callers", declaration.allowed_callers.as_deref()),
        ("allowed_callees", declaration.allowed_callees.as_deref()),
        ("blocked_callers", declaration.blocked_callers.as_deref()),
        ("blocked_callees", declaration.blocked_callees.as_deref()),
    ]
}

/// The names in order, where all are written as such.
fn written(tools: &[ToolRef]) -> Option<Vec<String>> {
    let names = tools.iter().map(|tool| match tool {
        ToolRef::Name(name) => Some(name.value()),
        ToolRef::Path(_) => None,
    });
    let mut names: Vec<String> = names.collect::<Option<_>>()?;
    names.sort();
    Some(names)
}
