//! The tool's type, and its `Tool` impl.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Ident, Type};

use super::feature::{self, Feature, Kind};
use super::{args, etdi};
use crate::model::{Paths, Receiver, ToolModel};
use crate::promise;

/// The key of `_meta` under which `scopes` stand: they are for the layer that checks tokens.
const SCOPES_KEY: &str = "dev.etdi/scopes";

/// A free function's tool: a type of the function's name.
pub(crate) fn free(tool: &ToolModel) -> TokenStream {
    let conditions = &tool.conditions;
    let implementation = implementation(tool, &tool.function);
    let structure = structure(tool);
    quote! {
        #structure

        #(#conditions)*
        const _: () = { #implementation };
    }
}

/// The type alone, with an impl that is never run: one error is enough.
pub(crate) fn placeholder(tool: &ToolModel) -> TokenStream {
    let (structure, name) = (structure(tool), &tool.function);
    let (door, conditions) = (tool.paths.door(), &tool.conditions);
    quote! {
        #structure

        #(#conditions)*
        impl<__State> #door::Tool<__State> for #name {
            fn definition(&self) -> #door::Result<#door::ToolDefinition, #door::BuildError> {
                ::core::unreachable!()
            }

            fn call(&self, _: #door::Call<__State>) -> #door::ExchangeFuture {
                ::core::unreachable!()
            }
        }
    }
}

fn structure(tool: &ToolModel) -> TokenStream {
    let (name, visibility, conditions) = (&tool.function, &tool.visibility, &tool.conditions);
    let doc = format!("The tool `{}`, to be registered with a server.", tool.name.value());
    quote! {
        #(#conditions)*
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(
            ::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug, ::core::default::Default
        )]
        #visibility struct #name {}
    }
}

/// What one object offers, and the set that registers it.
pub(crate) fn set(
    object: &Type,
    paths: &Paths,
    tools: &[ToolModel],
    features: &[Feature],
) -> TokenStream {
    let door = paths.door();
    let structure = |name: &Ident, conditions: &[Attribute], implementation: TokenStream| {
        quote! {
            #(#conditions)*
            #[allow(non_camel_case_types)]
            struct #name { this: #door::Shared<#object> }

            #(#conditions)*
            const _: () = { #implementation };
        }
    };
    let each_tool = tools.iter().map(|tool| {
        let name = method_type(tool);
        structure(&name, &tool.conditions, implementation(tool, &name))
    });
    let each_feature = features.iter().map(|feature| {
        let name = feature::method_type(feature);
        structure(&name, &feature.conditions, feature::implementation(feature, &name))
    });
    let each_tool: Vec<_> = each_tool.collect();
    let listed = tools.iter().map(|tool| (method_type(tool), tool.conditions.as_slice()));
    let of = |kind: Kind| {
        let of_kind = features.iter().filter(move |feature| feature.kind == kind);
        of_kind.map(|feature| (feature::method_type(feature), feature.conditions.as_slice()))
    };
    let listings = [
        listing("tools", "Tool", listed.collect(), &door),
        listing("prompts", "Prompt", of(Kind::Prompt).collect(), &door),
        listing("resources", "Resource", of(Kind::Resource).collect(), &door),
    ];
    let bounds = tools.iter().flat_map(|tool| bounds(tool, &door));
    let bounds = bounds.chain(features.iter().flat_map(|feature| feature.bounds(&door)));
    quote! {
        const _: () = {
            #(#each_tool)*
            #(#each_feature)*

            impl<__State> #door::ToolSet<__State> for #object
            where
                __State: ::core::marker::Send + ::core::marker::Sync + 'static,
                #(#bounds,)*
            {
                #(#listings)*
            }
        };
    }
}

/// A method of the set: all of one kind. Only `tools` must be there.
fn listing(
    method: &str,
    kind: &str,
    types: Vec<(Ident, &[Attribute])>,
    door: &TokenStream,
) -> Option<TokenStream> {
    if types.is_empty() && method != "tools" {
        return None;
    }
    let (method, kind) = (format_ident!("{method}"), format_ident!("{kind}"));
    let entries = types.iter().map(|(name, conditions)| {
        quote! {
            #(#conditions)*
            all.push(#door::Box::new(#name { this: #door::Shared::clone(&self) }));
        }
    });
    Some(quote! {
        fn #method(self: #door::Shared<Self>) -> #door::Vec<#door::Box<dyn #door::#kind<__State>>> {
            #[allow(unused_mut)]
            let mut all: #door::Vec<#door::Box<dyn #door::#kind<__State>>> = #door::Vec::new();
            #(#entries)*
            all
        }
    })
}

/// An empty set: one error is enough.
pub(crate) fn placeholder_set(object: &Type, paths: &Paths) -> TokenStream {
    let door = paths.door();
    quote! {
        impl<__State> #door::ToolSet<__State> for #object {
            fn tools(self: #door::Shared<Self>) -> #door::Vec<#door::Box<dyn #door::Tool<__State>>> {
                ::core::unreachable!()
            }
        }
    }
}

fn method_type(tool: &ToolModel) -> Ident {
    format_ident!("__McpTool_{}", tool.function.unraw())
}

/// All that stands in the anonymous constant of one tool.
fn implementation(tool: &ToolModel, type_name: &Ident) -> TokenStream {
    let door = tool.paths.door();
    let bounds = bounds(tool, &door);
    let (name, import, declaration) = (&tool.name, etdi::import(tool), etdi::constant(tool));
    let (arguments, result) = (args::structure(tool), result(tool, &door));
    let (definition, call) = (definition(tool, &door), call(tool, &door));
    // Only what is taken from the exchange can say or ask anything.
    let speaks = tool.extracted().next().is_some();
    let (task, promised) = (task(tool, &door), promise::items(tool));
    quote! {
        #import
        #promised

        impl #type_name {
            /// The name of the tool.
            #[allow(dead_code)]
            pub const NAME: &'static str = #name;

            #declaration
        }

        #arguments

        #result

        impl<__State> #door::Tool<__State> for #type_name
        where
            __State: ::core::marker::Send + ::core::marker::Sync + 'static,
            #(#bounds,)*
        {
            fn definition(&self) -> #door::Result<#door::ToolDefinition, #door::BuildError> {
                #definition
            }

            fn call(&self, call: #door::Call<__State>) -> #door::ExchangeFuture {
                #call
            }

            fn may_log(&self) -> bool {
                #speaks
            }

            fn may_ask(&self) -> bool {
                #speaks
            }

            #task
        }
    }
}

/// Whether calls become tasks, where the author said so.
fn task(tool: &ToolModel, door: &TokenStream) -> Option<TokenStream> {
    let asked = tool.task.as_ref()?;
    let required = asked.support.as_ref().is_some_and(|support| support.value() == "required");
    let support = format_ident!("{}", if required { "Required" } else { "Optional" });
    Some(quote_spanned! { asked.span =>
        fn task(&self) -> #door::TaskSupport {
            #door::TaskSupport::#support
        }
    })
}

/// What the state must be able to give.
fn bounds(tool: &ToolModel, door: &TokenStream) -> Vec<TokenStream> {
    let mut bounds: Vec<TokenStream> = Vec::new();
    for extracted in tool.extracted().filter(|extracted| !extracted.stateless) {
        let ty = &extracted.ty;
        bounds.push(quote!(#ty: #door::FromContext<__State>));
    }
    bounds
}

/// Two functions around the return type, which method resolution must see by name.
fn result(tool: &ToolModel, door: &TokenStream) -> TokenStream {
    let returns = &tool.returns;
    let kind = if tool.structured { quote!(kind) } else { quote!(plain) };
    let traits = quote! {
        #[allow(unused_imports)]
        use #door::{
            ContentKind as _, DataKind as _, NoSplit as _, PlainKind as _, ProtocolSplit as _,
            ToolSplit as _, UnknownKind as _,
        };
    };
    // At the return type, because that is what is wrong if these bounds do not hold.
    let finish = quote_spanned! { returns.span() =>
        (&&&split.success()).#kind().finish(split.apart(returned))
    };
    quote! {
        #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
        fn __outcome(returned: #returns) -> #door::CallOutcome {
            #traits
            let split = (&&&#door::Probe::<#returns>::NEW).split();
            #finish
        }

        #[allow(clippy::needless_borrow, clippy::needless_borrows_for_generic_args)]
        fn __output_schema() -> #door::OutputSchema {
            #traits
            let split = (&&&#door::Probe::<#returns>::NEW).split();
            (&&&split.success()).#kind().schema()
        }
    }
}

fn definition(tool: &ToolModel, door: &TokenStream) -> TokenStream {
    let title = tool
        .title
        .as_ref()
        .map(|title| quote!(definition.title = #door::Some(#door::String::from(#title));));
    let description = tool
        .description
        .as_ref()
        .map(|text| quote!(definition.description = #door::Some(#door::String::from(#text));));
    let annotations = tool.annotations.as_ref().map(|(_, hints)| {
        let hints = hints.iter().map(|hint| {
            let (member, value) = (format_ident!("{}_hint", hint.name), hint.value);
            quote!(annotations.#member = #door::Some(#value);)
        });
        quote! {
            let mut annotations = #door::ToolAnnotations::new();
            #(#hints)*
            definition.annotations = #door::Some(annotations);
        }
    });
    let icons = (!tool.icons.is_empty()).then(|| {
        let icons = &tool.icons;
        quote!(definition.icons = #door::Some(#door::Vec::from([#(#door::Icon::new(#icons)),*]));)
    });
    let scopes = (!tool.scopes.is_empty()).then(|| {
        let scopes = &tool.scopes;
        quote!(#door::meta(&mut definition, #SCOPES_KEY, &[#(#scopes),*])?;)
    });
    let declaration = etdi::entry(tool);
    quote! {
        #[allow(unused_mut)]
        let mut definition =
            #door::definition::<__McpArguments>(Self::NAME, __output_schema())?;
        #title #description #annotations #icons #scopes #declaration
        #door::Ok(definition)
    }
}

fn call(tool: &ToolModel, door: &TokenStream) -> TokenStream {
    let names = args::names(tool);
    let read = quote! {
        #[allow(unused_variables)]
        let __arguments = match #door::arguments::<__McpArguments>(__arguments, #names) {
            #door::Ok(arguments) => arguments,
            #door::Err(error) => return #door::wrong_arguments(error),
        };
    };
    let (prepare, invoke) = invoke(tool, door);
    let extract = extract(tool, door);
    match (tool.extracted().next().is_some(), tool.is_async || tool.inline.is_some()) {
        (false, true) => quote! {
            let __arguments = call.arguments;
            #prepare
            #door::Box::pin(async move {
                #read
                __outcome(#invoke)
            })
        },
        (false, false) => quote! {
            let (__arguments, __runtime) = #door::arguments_and_runtime(call);
            #prepare
            #door::Box::pin(async move {
                #read
                #door::blocking(__runtime, move || __outcome(#invoke)).await
            })
        },
        (true, true) => quote! {
            let (__context, __arguments) = call.into_context();
            #prepare
            #door::Box::pin(async move {
                #read
                #extract
                let __outcome = __outcome(#invoke);
                #door::unless_suspended(&__context, __outcome)
            })
        },
        (true, false) => quote! {
            let (__context, __arguments) = call.into_context();
            #prepare
            #door::Box::pin(async move {
                #read
                #extract
                let __runtime = #door::runtime(&__context);
                let __outcome = #door::blocking(__runtime, move || __outcome(#invoke)).await;
                #door::unless_suspended(&__context, __outcome)
            })
        },
    }
}

/// Taking what comes from the exchange, in the order of the parameters.
fn extract(tool: &ToolModel, door: &TokenStream) -> TokenStream {
    let statements = tool.extracted().enumerate().map(|(index, extracted)| {
        let (name, ty) = (format_ident!("__extracted_{index}"), &extracted.ty);
        if extracted.stateless {
            return quote!(let #name: #ty = #door::stateless(&__context););
        }
        quote! {
            let #name = match <#ty as #door::FromContext<__State>>::from_context(&__context) {
                #door::Ok(value) => value,
                #door::Err(error) => return #door::CallOutcome::Err(error),
            };
        }
    });
    statements.collect()
}

/// What is done before the future is made, and the call of the function itself.
fn invoke(tool: &ToolModel, door: &TokenStream) -> (TokenStream, TokenStream) {
    let (function, values) = (&tool.function, args::values(tool));
    let dot_await = tool.is_async.then(|| quote!(.await));
    match &tool.receiver {
        Receiver::None => (TokenStream::new(), quote!(#function(#(#values),*)#dot_await)),
        Receiver::Method { object, takes_self: false } => {
            (TokenStream::new(), quote!(<#object>::#function(#(#values),*)#dot_await))
        }
        Receiver::Method { object, takes_self: true } => (
            quote!(let __this = #door::Shared::clone(&self.this);),
            quote!(<#object>::#function(&__this, #(#values),*)#dot_await),
        ),
    }
}
