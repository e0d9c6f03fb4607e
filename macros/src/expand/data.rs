//! What `#[data]` adds: three derives that find their crates.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Attribute, Field, Generics, Item, LitStr, Type};

use super::args::spelled;
use crate::attr::ToolsAttr;
use crate::ctxt::Ctxt;
use crate::model::Paths;

/// Expands `#[data]` on a struct or an enum.
pub(crate) fn data(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let ctxt = Ctxt::default();
    let keys = |input: syn::parse::ParseStream| ToolsAttr::krate_alone(input);
    let krate = keys.parse2(attribute).unwrap_or_else(|error| {
        ctxt.push(error);
        None
    });
    let paths = Paths::default().or(krate, None);
    let fields = match syn::parse2(item.clone()) {
        Ok(Item::Struct(one)) => plain(&one.attrs, &one.generics, one.fields.iter()),
        Ok(Item::Enum(one)) => {
            let variants = one.variants.iter().filter(|variant| !is_special(&variant.attrs));
            plain(&one.attrs, &one.generics, variants.flat_map(|variant| &variant.fields))
        }
        _ => {
            let message = "`#[data]` marks a struct or an enum that a tool takes or returns";
            ctxt.error(&item, message);
            Vec::new()
        }
    };
    if ctxt.failed() {
        let errors = ctxt.into_tokens();
        return quote!(#item #errors);
    }
    let (door, server) = (paths.door(), &paths.server);
    let demands =
        fields.iter().map(|ty| quote_spanned!(ty.span()=> const _: () = #door::member::<#ty>();));
    let path = |name: &str| LitStr::new(&format!("{}::{name}", spelled(server)), Span::call_site());
    let (serde, schemars) = (path("serde"), path("schemars"));
    quote! {
        #(#demands)*

        #[derive(
            #server::serde::Serialize, #server::serde::Deserialize, #server::schemars::JsonSchema
        )]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars)]
        #item
    }
}

/// The types of members that derives read and write as they are, and that can be named outside.
fn plain<'f>(
    container: &[Attribute],
    generics: &Generics,
    fields: impl Iterator<Item = &'f Field>,
) -> Vec<Type> {
    if !generics.params.is_empty() || is_converted(container) {
        return Vec::new();
    }
    fields.filter(|field| !is_special(&field.attrs)).map(|field| field.ty.clone()).collect()
}

/// Whether derives do with it as these attributes say.
fn is_special(attributes: &[Attribute]) -> bool {
    let special = |name: &str| attributes.iter().any(|one| one.path().is_ident(name));
    ["serde", "schemars", "cfg"].into_iter().any(special)
}

/// Whether values of another type are read and written in place of this one's.
fn is_converted(attributes: &[Attribute]) -> bool {
    let mut converted = false;
    for attribute in attributes.iter().filter(|one| one.path().is_ident("serde")) {
        // What is wrong with it, serde says.
        let _ = attribute.parse_nested_meta(|key| {
            converted |= ["from", "try_from", "into"].iter().any(|name| key.path.is_ident(name));
            match key.input.peek(syn::Token![=]) {
                true => key.value()?.parse::<syn::Expr>().map(drop),
                false => Ok(()),
            }
        });
    }
    converted
}
