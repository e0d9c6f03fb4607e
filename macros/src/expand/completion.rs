//! The completion's type, and its `Complete` impl.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::feature::{Feature, inside_option};
use crate::ctxt::Ctxt;

/// What is typed comes first, and the rest may not be decided yet.
pub(super) fn check(feature: &Feature, ctxt: &Ctxt) {
    for argument in feature.arguments().skip(1) {
        if inside_option(&argument.ty).is_none() && argument.default.is_none() {
            let message = "another argument may not be decided yet, take an `Option`";
            ctxt.error(&argument.ty, message);
        }
    }
    if feature.arguments().next().is_none() {
        let forms = ctxt.forms();
        ctxt.error(&feature.function, format!("{forms}; it has no parameter for what is typed"));
    }
}

/// Constants of the type, methods of the trait, and the function around the return type.
pub(super) fn parts(
    feature: &Feature,
    door: &TokenStream,
) -> (TokenStream, TokenStream, TokenStream) {
    let returns = &feature.returns;
    let typed = feature.arguments().next().map(|argument| &argument.name);
    let prepare = feature.prepare(door);
    let values = feature.values(quote!(#door::Values::of_completion(__completing, #typed)));
    let body = feature.body(door, |returned| quote!(__result(#returned)));
    let methods = quote! {
        fn complete(
            &self,
            __context: #door::Context<__State>,
            __completing: #door::Completing,
        ) -> #door::CompletionFuture {
            #prepare
            #door::Box::pin(async move {
                #values
                #body
            })
        }
    };
    // At the return type, because that is what is wrong if the bound does not hold.
    let made = quote_spanned! { returns.span() =>
        #door::IntoCompletion::into_completion(returned)
    };
    let result = quote! {
        fn __result(returned: #returns) -> #door::CompletionResult {
            #made
        }
    };
    (TokenStream::new(), methods, result)
}

/// Methods that are never run.
pub(super) fn placeholder(door: &TokenStream) -> TokenStream {
    quote! {
        fn complete(
            &self,
            _: #door::Context<__State>,
            _: #door::Completing,
        ) -> #door::CompletionFuture {
            ::core::unreachable!()
        }
    }
}
