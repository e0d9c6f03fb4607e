//! `#[tool(…)]` and `#[tools(…)]` as they are written.

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Ident, Lit, LitBool, LitInt, LitStr, Path, Token, bracketed, parenthesized};

use crate::ctxt::Ctxt;

/// What stands between the parentheses of `#[tool(…)]`, unjudged.
#[derive(Default)]
pub(crate) struct ToolAttr {
    pub(crate) name: Option<LitStr>,
    pub(crate) title: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    pub(crate) annotations: Option<(Span, Vec<Hint>)>,
    pub(crate) icons: Option<Vec<LitStr>>,
    pub(crate) structured: Option<LitBool>,
    pub(crate) inline: Option<Span>,
    pub(crate) task: Option<TaskAttr>,
    pub(crate) scopes: Option<Vec<LitStr>>,
    pub(crate) krate: Option<Path>,
    pub(crate) etdi_crate: Option<Path>,
    pub(crate) etdi: Option<Span>,
    pub(crate) declaration: DeclarationAttr,
}

/// The part that `etdi` turns on.
#[derive(Default)]
pub(crate) struct DeclarationAttr {
    pub(crate) version: Option<LitStr>,
    pub(crate) provider: Option<LitStr>,
    pub(crate) permissions: Option<Vec<PermissionAttr>>,
    pub(crate) max_call_depth: Option<LitInt>,
    pub(crate) allowed_callers: Option<Vec<ToolRef>>,
    pub(crate) allowed_callees: Option<Vec<ToolRef>>,
    pub(crate) blocked_callers: Option<Vec<ToolRef>>,
    pub(crate) blocked_callees: Option<Vec<ToolRef>>,
    pub(crate) require_request_signing: Option<Span>,
    /// The keys that were given, for the error when `etdi` was not.
    pub(crate) keys: Vec<Ident>,
}

/// `task`, or `task = "…"`.
pub(crate) struct TaskAttr {
    pub(crate) span: Span,
    pub(crate) support: Option<LitStr>,
}

/// One hint of `annotations(…)`.
pub(crate) struct Hint {
    pub(crate) name: Ident,
    pub(crate) value: bool,
}

/// One entry of `permissions = […]`.
pub(crate) struct PermissionAttr {
    pub(crate) scope: LitStr,
    pub(crate) description: Option<LitStr>,
    pub(crate) optional: bool,
}

/// Another tool: by its type, or by its name where it lives elsewhere.
pub(crate) enum ToolRef {
    Path(Path),
    Name(LitStr),
}

const KEYS: &str = "`name`, `title`, `description`, `annotations(…)`, `icons`, `structured`, \
    `inline`, `task`, `scopes`, `crate`; with `etdi`: `version`, `permissions`, `provider`, \
    `max_call_depth`, `allowed_callees`, `blocked_callees`, `allowed_callers`, `blocked_callers`, \
    `require_request_signing`, `etdi_crate`";

impl ToolAttr {
    /// Reads all keys; what is wrong goes to `ctxt`, and reading goes on behind the next comma.
    pub(crate) fn parse(tokens: TokenStream, ctxt: &Ctxt) -> Self {
        let mut attr = Self::default();
        let parser = |input: ParseStream| {
            while !input.is_empty() {
                if let Err(error) = attr.key(input, ctxt) {
                    ctxt.push(error);
                    skip(input)?;
                }
                if !input.is_empty() && input.parse::<Token![,]>().is_err() {
                    ctxt.push(input.error("expected `,` between keys"));
                    skip(input)?;
                    let _ = input.parse::<Token![,]>();
                }
            }
            Ok(())
        };
        if let Err(error) = parser.parse2(tokens) {
            ctxt.push(error);
        }
        attr
    }

    fn key(&mut self, input: ParseStream, ctxt: &Ctxt) -> syn::Result<()> {
        let key = input.call(Ident::parse_any)?;
        let declaration = &mut self.declaration;
        match key.to_string().as_str() {
            "name" => set(&mut self.name, &key, value(input)?, ctxt),
            "title" => set(&mut self.title, &key, value(input)?, ctxt),
            "description" => set(&mut self.description, &key, value(input)?, ctxt),
            "annotations" => {
                let content;
                parenthesized!(content in input);
                let hints = Punctuated::<Hint, Token![,]>::parse_terminated(&content)?;
                set(&mut self.annotations, &key, (key.span(), hints.into_iter().collect()), ctxt);
            }
            "icons" => set(&mut self.icons, &key, list(input)?, ctxt),
            "structured" => set(&mut self.structured, &key, value(input)?, ctxt),
            "inline" => set(&mut self.inline, &key, key.span(), ctxt),
            "task" => {
                let support = input.peek(Token![=]).then(|| value(input)).transpose()?;
                set(&mut self.task, &key, TaskAttr { span: key.span(), support }, ctxt);
            }
            "scopes" => set(&mut self.scopes, &key, list(input)?, ctxt),
            "crate" => set(&mut self.krate, &key, path(input)?, ctxt),
            "etdi_crate" => set(&mut self.etdi_crate, &key, path(input)?, ctxt),
            "etdi" => set(&mut self.etdi, &key, key.span(), ctxt),
            "version" => set(&mut declaration.version, &key, value(input)?, ctxt),
            "provider" => set(&mut declaration.provider, &key, value(input)?, ctxt),
            "permissions" => set(&mut declaration.permissions, &key, list(input)?, ctxt),
            "max_call_depth" => set(&mut declaration.max_call_depth, &key, value(input)?, ctxt),
            "allowed_callers" => set(&mut declaration.allowed_callers, &key, list(input)?, ctxt),
            "allowed_callees" => set(&mut declaration.allowed_callees, &key, list(input)?, ctxt),
            "blocked_callers" => set(&mut declaration.blocked_callers, &key, list(input)?, ctxt),
            "blocked_callees" => set(&mut declaration.blocked_callees, &key, list(input)?, ctxt),
            "require_request_signing" => {
                set(&mut declaration.require_request_signing, &key, key.span(), ctxt);
            }
            _ => {
                let message = format!("there is no key `{key}`, the keys are {KEYS}");
                return Err(syn::Error::new(key.span(), message));
            }
        }
        let of_declaration = [
            "version",
            "provider",
            "permissions",
            "max_call_depth",
            "allowed_callers",
            "allowed_callees",
            "blocked_callers",
            "blocked_callees",
            "require_request_signing",
        ];
        if of_declaration.iter().any(|name| key == name) {
            self.declaration.keys.push(key);
        }
        Ok(())
    }
}

/// `annotations(…)` of a resource.
#[derive(Default)]
pub(crate) struct AudienceAttr {
    pub(crate) audience: Vec<LitStr>,
    pub(crate) priority: Option<f64>,
    pub(crate) last_modified: Option<LitStr>,
}

impl AudienceAttr {
    /// Reads what stands between the parentheses.
    pub(crate) fn parse(input: ParseStream) -> syn::Result<Self> {
        let content;
        parenthesized!(content in input);
        let mut attr = Self::default();
        while !content.is_empty() {
            let key = content.call(Ident::parse_any)?;
            match key.to_string().as_str() {
                "audience" => attr.audience = list(&content)?,
                "priority" => attr.priority = Some(priority(&content)?),
                "last_modified" => attr.last_modified = Some(value(&content)?),
                _ => {
                    let message = "the annotations are `audience = [\"user\", \"assistant\"]`, \
                                   `priority = 0.5` and `last_modified = \"2025-01-12T15:00:58Z\"`";
                    return Err(syn::Error::new(key.span(), message));
                }
            }
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        let is_role = |role: &&LitStr| !matches!(role.value().as_str(), "user" | "assistant");
        match attr.audience.iter().find(is_role) {
            Some(role) => {
                Err(syn::Error::new(role.span(), "the audience is `user` or `assistant`"))
            }
            None => Ok(attr),
        }
    }
}

fn priority(input: ParseStream) -> syn::Result<f64> {
    let literal: Lit = value(input)?;
    let number = match &literal {
        Lit::Float(number) => number.base10_parse()?,
        Lit::Int(number) => number.base10_parse()?,
        _ => f64::NAN,
    };
    if (0.0..=1.0).contains(&number) {
        return Ok(number);
    }
    Err(syn::Error::new(literal.span(), "a priority is a number from 0 to 1"))
}

/// What stands between the parentheses of `#[tools(…)]`.
#[derive(Default)]
pub(crate) struct ToolsAttr {
    pub(crate) krate: Option<Path>,
    pub(crate) etdi_crate: Option<Path>,
}

impl ToolsAttr {
    /// What stands between the parentheses of `#[data(…)]`.
    pub(crate) fn krate_alone(input: ParseStream) -> syn::Result<Option<Path>> {
        let attr: Self = match input.is_empty() {
            true => return Ok(None),
            false => input.parse()?,
        };
        match attr.etdi_crate {
            Some(path) => Err(syn::Error::new_spanned(path, "data declares nothing to ETDI")),
            None => Ok(attr.krate),
        }
    }
}

impl Parse for ToolsAttr {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let mut attr = Self::default();
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            match key.to_string().as_str() {
                "crate" => attr.krate = Some(path(input)?),
                "etdi_crate" => attr.etdi_crate = Some(path(input)?),
                _ => {
                    let message = format!(
                        "there is no key `{key}`, the keys are `crate` and `etdi_crate`; all others \
                         belong to the `#[tool]` of one method"
                    );
                    return Err(syn::Error::new(key.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(attr)
    }
}

impl Parse for Hint {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let name: Ident = input.parse()?;
        let value = match input.peek(Token![=]) {
            true => value::<LitBool>(input)?.value,
            false => true,
        };
        Ok(Self { name, value })
    }
}

impl Parse for PermissionAttr {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        if input.peek(Ident) {
            let word: Ident = input.parse()?;
            if word != "optional" {
                let message =
                    "expected a permission such as \"notes:read\", or `optional(\"notes:read\")`";
                return Err(syn::Error::new(word.span(), message));
            }
            let content;
            parenthesized!(content in input);
            return Ok(Self { optional: true, ..content.parse()? });
        }
        let scope = input.parse()?;
        let description = match input.peek(Token![=]) {
            true => Some(value(input)?),
            false => None,
        };
        Ok(Self { scope, description, optional: false })
    }
}

impl Parse for ToolRef {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        match input.peek(LitStr) {
            true => input.parse().map(Self::Name),
            false => input.parse().map(Self::Path),
        }
    }
}

pub(crate) fn set<T>(place: &mut Option<T>, key: &Ident, value: T, ctxt: &Ctxt) {
    if place.replace(value).is_some() {
        ctxt.error(key, format!("`{key}` is given twice, remove one"));
    }
}

pub(crate) fn value<T: Parse>(input: ParseStream) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

pub(crate) fn path(input: ParseStream) -> syn::Result<Path> {
    input.parse::<Token![=]>()?;
    // A string is how serde writes it.
    match input.peek(LitStr) {
        true => input.parse::<LitStr>()?.parse_with(Path::parse_mod_style),
        false => input.call(Path::parse_mod_style),
    }
}

pub(crate) fn list<T: Parse>(input: ParseStream) -> syn::Result<Vec<T>> {
    input.parse::<Token![=]>()?;
    let content;
    bracketed!(content in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

/// Skips what is left of a broken key.
pub(crate) fn skip(input: ParseStream) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}
