//! The prompt's type, and its `Prompt` impl.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::feature::{Feature, inside_option};
use crate::doc;

/// Constants of the type, methods of the trait, and the function around the return type.
pub(super) fn parts(
    feature: &Feature,
    door: &TokenStream,
) -> (TokenStream, TokenStream, TokenStream) {
    let (name, returns) = (&feature.name, &feature.returns);
    let constants = quote! {
        /// The name of the prompt.
        #[allow(dead_code)]
        pub const NAME: &'static str = #name;
    };
    let (describe, completions) = (feature.describe(door), feature.completions(door));
    let arguments: Vec<_> = feature
        .arguments()
        .map(|argument| {
            let name = &argument.name;
            let required = inside_option(&argument.ty).is_none() && argument.default.is_none();
            let description = match doc::text(&argument.attributes) {
                Some(text) => quote!(#door::Some(#text)),
                None => quote!(#door::None),
            };
            quote!(#door::prompt_argument(#name, #description, #required))
        })
        .collect();
    let arguments = (!arguments.is_empty())
        .then(|| quote!(definition.arguments = #door::Some(#door::Vec::from([#(#arguments),*]));));
    let prepare = feature.prepare(door);
    let values = feature.values(quote!(#door::Values::of_prompt(__arguments)));
    let body = feature.body(door, |returned| quote!(__result(#returned)));
    let methods = quote! {
        fn definition(&self) -> #door::Result<#door::PromptDefinition, #door::BuildError> {
            #[allow(unused_mut)]
            let mut definition = #door::PromptDefinition::new(Self::NAME);
            #describe
            #arguments
            #door::Ok(definition)
        }

        fn get(
            &self,
            __context: #door::Context<__State>,
            __arguments: #door::PromptArguments,
        ) -> #door::PromptFuture {
            #prepare
            #door::Box::pin(async move {
                #values
                #body
            })
        }

        #completions
    };
    // At the return type, because that is what is wrong if the bound does not hold.
    let made = quote_spanned! { returns.span() =>
        #door::IntoPromptResult::into_prompt_result(returned)
    };
    let result = quote! {
        fn __result(returned: #returns) -> #door::PromptResult {
            #made
        }
    };
    (constants, methods, result)
}

/// Methods that are never run.
pub(super) fn placeholder(door: &TokenStream) -> TokenStream {
    quote! {
        fn definition(&self) -> #door::Result<#door::PromptDefinition, #door::BuildError> {
            ::core::unreachable!()
        }

        fn get(
            &self,
            _: #door::Context<__State>,
            _: #door::PromptArguments,
        ) -> #door::PromptFuture {
            ::core::unreachable!()
        }
    }
}
