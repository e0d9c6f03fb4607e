//! The type of a tool's arguments, and their defaults.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, LitStr};

use crate::model::{Argument, DefaultValue, Parameter, ToolModel};

/// The struct that the arguments are read into, in one pass, with unknown members refused.
pub(crate) fn structure(tool: &ToolModel) -> TokenStream {
    let door = tool.paths.door();
    let path = |name: &str| LitStr::new(&format!("{}::{name}", spelled(&door)), tool.name.span());
    let (serde, schemars) = (path("serde"), path("schemars"));
    let demands = tool.arguments().filter_map(|argument| demand(argument, &door));
    let fields = tool.arguments().map(field);
    let defaults = tool.arguments().filter_map(default);
    quote! {
        #(#demands)*

        #[derive(#door::serde::Deserialize, #door::schemars::JsonSchema)]
        #[serde(crate = #serde, deny_unknown_fields)]
        #[schemars(crate = #schemars)]
        struct __McpArguments { #(#fields)* }

        #(#defaults)*
    }
}

/// The names of the arguments on the wire.
pub(crate) fn names(tool: &ToolModel) -> TokenStream {
    let names = tool.arguments().map(|argument| &argument.name);
    quote!(&[#(#names),*])
}

/// What the function is called with, in order.
pub(crate) fn values(tool: &ToolModel) -> Vec<TokenStream> {
    let mut extracted = 0_usize..;
    let value = |parameter: &Parameter| match parameter {
        Parameter::Argument(argument) => {
            let name = &argument.ident;
            quote!(__arguments.#name)
        }
        Parameter::Extracted(_) => {
            let name = format_ident!("__extracted_{}", extracted.next().unwrap_or_default());
            name.into_token_stream()
        }
    };
    tool.parameters.iter().map(value).collect()
}

/// Demands of the type of an argument what the derives will want, before they do, so that the first
/// error says what to do.
fn demand(argument: &Argument, door: &TokenStream) -> Option<TokenStream> {
    let plain = |attribute: &syn::Attribute| attribute.path().is_ident("doc");
    // What is read and described in a way of its own need not be readable by itself.
    let is_plain = argument.attributes.iter().all(plain);
    let ty = &argument.ty;
    is_plain.then(|| quote_spanned!(ty.span()=> const _: () = #door::demand::<#ty>();))
}

fn field(argument: &Argument) -> TokenStream {
    let Argument { ident, ty, name, attributes, .. } = argument;
    let default = argument.default.as_ref().map(|default| match default {
        DefaultValue::OfType => quote!(#[serde(default)]),
        DefaultValue::Value(_) => {
            let function = LitStr::new(&function(argument).to_string(), ident.span());
            quote!(#[serde(default = #function)])
        }
    });
    let renamed = (ident.unraw() != name.value()).then(|| quote!(#[serde(rename = #name)]));
    quote!(#(#attributes)* #default #renamed #ident: #ty,)
}

fn default(argument: &Argument) -> Option<TokenStream> {
    let Some(DefaultValue::Value(value)) = &argument.default else { return None };
    let (function, ty) = (function(argument), &argument.ty);
    let value = default_value(value);
    Some(quote!(fn #function() -> #ty { #value }))
}

/// What stands in for an absent argument.
pub(super) fn default_value(value: &Expr) -> TokenStream {
    // `default = "en"` for a `String` is what everybody writes.
    match value {
        literal @ Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => {
            quote!(::core::convert::Into::into(#literal))
        }
        other => other.to_token_stream(),
    }
}

fn function(argument: &Argument) -> Ident {
    format_ident!("__default_{}", argument.ident.unraw())
}

/// A path as serde's attribute wants it.
pub(super) fn spelled(path: &impl ToTokens) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}
