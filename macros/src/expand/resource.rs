//! The resource's type, and its `Resource` impl.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::feature::Feature;
use crate::ctxt::Ctxt;

/// Holds the URI against the parameters. The grammar of templates is checked in full when the server
/// is built; here it is about the names, which only the macro sees.
pub(super) fn check(feature: &Feature, ctxt: &Ctxt) {
    let Some(literal) = &feature.attr.uri else {
        let message = "a resource has a URI or a template: `#[resource(\"notes://{id}\")]`";
        return ctxt.error_at(Span::call_site(), message);
    };
    let uri = literal.value();
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '-' | '.');
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(allowed);
    if !is_scheme && !uri.starts_with('{') {
        ctxt.error(literal, "a URI begins with a scheme, such as `notes:`");
    }
    let variables = match variables(&uri) {
        Ok(variables) => variables,
        Err(message) => return ctxt.error(literal, message),
    };
    for argument in feature.arguments() {
        let name = argument.name.value();
        if !variables.contains(&name.as_str()) {
            let message = match variables.is_empty() {
                true => format!("the URI has no variables, write `{{{name}}}` into it"),
                false => format!(
                    "the template has no variable `{name}`, it has `{}`",
                    variables.join("`, `")
                ),
            };
            ctxt.error(&argument.name, message);
        }
    }
    if let Some(size) = &feature.attr.size {
        match size.base10_parse::<i64>() {
            Ok(_) if !variables.is_empty() => ctxt.error(size, "a template has no size"),
            Ok(_) => {}
            Err(error) => ctxt.push(error),
        }
    }
}

/// The names between the braces of a template.
fn variables(uri: &str) -> Result<Vec<&str>, String> {
    let (mut names, mut rest) = (Vec::new(), uri);
    while let Some((_, behind)) = rest.split_once('{') {
        let (inside, behind) =
            behind.split_once('}').ok_or("a `{` is not closed, add the `}`".to_owned())?;
        let list = inside.trim_start_matches(['+', '#', '.', '/', ';', '?', '&']);
        for name in list.split(',') {
            if name.is_empty() {
                return Err("a variable has no name".to_owned());
            }
            if name.contains(['*', ':']) {
                return Err(format!(
                    "`{name}` has a modifier, which a URI cannot be matched with; write `{{+name}}` \
                     for a value that may hold slashes"
                ));
            }
            names.push(name);
        }
        rest = behind;
    }
    Ok(names)
}

/// Constants of the type, methods of the trait, and the function around the return type.
pub(super) fn parts(
    feature: &Feature,
    door: &TokenStream,
) -> (TokenStream, TokenStream, TokenStream) {
    let (name, returns, attr) = (&feature.name, &feature.returns, &feature.attr);
    let Some(uri) = &attr.uri else { return Default::default() };
    let constants = quote! {
        /// The name of the resource.
        #[allow(dead_code)]
        pub const NAME: &'static str = #name;

        /// The URI of the resource, or its template.
        #[allow(dead_code)]
        pub const URI: &'static str = #uri;
    };
    let definition = match uri.value().contains('{') {
        true => quote!(#door::ResourceTemplate),
        false => quote!(#door::ResourceEntry),
    };
    let mime_type = attr.mime_type.as_ref().map(
        |mime_type| quote!(definition.mime_type = #door::Some(#door::String::from(#mime_type));),
    );
    let size = attr.size.as_ref().map(|size| quote!(definition.size = #door::Some(#size);));
    let annotations = attr.annotations.as_ref().map(|annotations| {
        let audience = (!annotations.audience.is_empty()).then(|| {
            let roles = annotations.audience.iter().map(|role| match role.value().as_str() {
                "user" => quote!(#door::Role::User),
                _ => quote!(#door::Role::Assistant),
            });
            quote!(annotations.audience = #door::Some(#door::Vec::from([#(#roles),*]));)
        });
        let priority = annotations
            .priority
            .map(|priority| quote!(annotations.priority = #door::Some(#priority);));
        let modified = annotations.last_modified.as_ref().map(|modified| {
            quote!(annotations.last_modified = #door::Some(#door::String::from(#modified));)
        });
        quote! {
            let mut annotations = #door::Annotations::new();
            #audience #priority #modified
            definition.annotations = #door::Some(annotations);
        }
    });
    let (describe, completions) = (feature.describe(door), feature.completions(door));
    let prepare = feature.prepare(door);
    let values = feature.values(quote!(#door::Values::of_resource(&mut __read)));
    let mutable = values.is_some().then(|| quote!(mut));
    let body = feature.body(door, |returned| quote!(__result(#returned, &__read)));
    let methods = quote! {
        fn definition(&self) -> #door::Result<#door::ResourceDefinition, #door::BuildError> {
            #[allow(unused_mut)]
            let mut definition = #definition::new(Self::NAME, Self::URI);
            #describe
            #mime_type #size #annotations
            #door::Ok(#door::ResourceDefinition::from(definition))
        }

        fn read(
            &self,
            __context: #door::Context<__State>,
            #mutable __read: #door::Read,
        ) -> #door::ResourceFuture {
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
        #door::IntoResourceResult::into_resource_result(returned, read)
    };
    let result = quote! {
        fn __result(returned: #returns, read: &#door::Read) -> #door::ResourceResult {
            #made
        }
    };
    (constants, methods, result)
}

/// Methods that are never run.
pub(super) fn placeholder(door: &TokenStream) -> TokenStream {
    quote! {
        fn definition(&self) -> #door::Result<#door::ResourceDefinition, #door::BuildError> {
            ::core::unreachable!()
        }

        fn read(&self, _: #door::Context<__State>, _: #door::Read) -> #door::ResourceFuture {
            ::core::unreachable!()
        }
    }
}
