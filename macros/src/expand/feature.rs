//! What prompts, resources and completions have in common: a function whose arguments are texts.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, FnArg, GenericArgument, Ident, ItemFn, LitInt, LitStr, Path, PathArguments,
    ReceiverKind, Signature, Token, Type, Visibility,
};

use super::{completion, error_in_body, prompt, resource};
use crate::attr::{AudienceAttr, list, path, set, skip, value};
use crate::check::check_unique;
use crate::ctxt::Ctxt;
use crate::model::{Argument, DefaultValue, Extracted, Parameter, Paths, Receiver, returned};
use crate::signature::{self, ReplaceSelf};

/// Which attribute a function carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Prompt,
    Resource,
    Completion,
}

/// A function that is a prompt, a resource or a completion.
pub(crate) struct Feature {
    pub(crate) kind: Kind,
    pub(crate) function: Ident,
    pub(crate) visibility: Visibility,
    /// The `#[cfg]`s that decide whether the function exists.
    pub(crate) conditions: Vec<Attribute>,
    is_async: bool,
    receiver: Receiver,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) returns: Type,
    pub(crate) name: LitStr,
    pub(crate) description: Option<String>,
    pub(crate) attr: FeatureAttr,
    pub(crate) paths: Paths,
}

/// What stands between the parentheses of the attribute.
#[derive(Default)]
pub(crate) struct FeatureAttr {
    pub(crate) uri: Option<LitStr>,
    name: Option<LitStr>,
    pub(crate) title: Option<LitStr>,
    description: Option<LitStr>,
    pub(crate) icons: Option<Vec<LitStr>>,
    pub(crate) mime_type: Option<LitStr>,
    pub(crate) size: Option<LitInt>,
    pub(crate) annotations: Option<AudienceAttr>,
    inline: Option<Span>,
    krate: Option<Path>,
}

impl Kind {
    /// The kind of the attribute of this name.
    pub(crate) fn named(name: &Ident) -> Option<Self> {
        match name.to_string().as_str() {
            "prompt" => Some(Self::Prompt),
            "resource" => Some(Self::Resource),
            "completion" => Some(Self::Completion),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Completion => "completion",
        }
    }

    fn keys(self) -> &'static str {
        match self {
            Self::Prompt => "`name`, `title`, `description`, `icons`, `inline`, `crate`",
            Self::Resource => {
                "`name`, `title`, `description`, `icons`, `mime_type`, `size`, `annotations(…)`, \
                 `inline`, `crate`"
            }
            Self::Completion => "`inline`, `crate`",
        }
    }

    pub(crate) fn forms(self) -> &'static str {
        match self {
            Self::Prompt => {
                "a prompt is written `async fn plan(city: String, days: Option<u8>) -> String`, \
                 with `Context`, `State` or `Extension` parameters before the arguments if it \
                 wants them, and with or without `async`"
            }
            Self::Resource => {
                "a resource is written `#[resource(\"users://{id}\")] async fn user(id: u64) -> \
                 Option<String>`, with `Context`, `State` or `Extension` parameters before the \
                 variables of the template if it wants them, and with or without `async`"
            }
            Self::Completion => {
                "a completion is written `async fn cities(value: String, country: Option<String>) \
                 -> Vec<String>`: what is typed first, then other arguments by their names, with \
                 `Context`, `State` or `Extension` parameters before them if it wants them"
            }
        }
    }

    /// The trait of the generated type, behind the door.
    fn trait_name(self) -> Ident {
        let name = match self {
            Self::Prompt => "Prompt",
            Self::Resource => "Resource",
            Self::Completion => "Complete",
        };
        Ident::new(name, Span::call_site())
    }
}

impl FeatureAttr {
    /// Reads all keys; what is wrong goes to `ctxt`, and reading goes on behind the next comma.
    pub(crate) fn parse(kind: Kind, tokens: TokenStream, ctxt: &Ctxt) -> Self {
        let mut attr = Self::default();
        let parser = |input: ParseStream| {
            if kind == Kind::Resource && input.peek(LitStr) {
                attr.uri = Some(input.parse()?);
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            while !input.is_empty() {
                if let Err(error) = attr.key(kind, input, ctxt) {
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

    fn key(&mut self, kind: Kind, input: ParseStream, ctxt: &Ctxt) -> syn::Result<()> {
        let key = input.call(Ident::parse_any)?;
        let (is_listed, is_resource) = (kind != Kind::Completion, kind == Kind::Resource);
        match key.to_string().as_str() {
            "name" if is_listed => set(&mut self.name, &key, value(input)?, ctxt),
            "title" if is_listed => set(&mut self.title, &key, value(input)?, ctxt),
            "description" if is_listed => set(&mut self.description, &key, value(input)?, ctxt),
            "icons" if is_listed => set(&mut self.icons, &key, list(input)?, ctxt),
            "mime_type" if is_resource => set(&mut self.mime_type, &key, value(input)?, ctxt),
            "size" if is_resource => set(&mut self.size, &key, value(input)?, ctxt),
            "annotations" if is_resource => {
                set(&mut self.annotations, &key, AudienceAttr::parse(input)?, ctxt);
            }
            "inline" => set(&mut self.inline, &key, key.span(), ctxt),
            "crate" => set(&mut self.krate, &key, path(input)?, ctxt),
            _ => {
                let message = format!("there is no key `{key}`, the keys are {}", kind.keys());
                return Err(syn::Error::new(key.span(), message));
            }
        }
        Ok(())
    }
}

/// Expands the attribute on a free function.
pub(crate) fn function(kind: Kind, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let message = format!("`#[{}]` marks a function with a body", kind.word());
            let error = syn::Error::new(error.span(), message);
            return [item, error.to_compile_error()].into_iter().collect();
        }
    };
    let ctxt = Ctxt::showing(kind.forms());
    let attr = FeatureAttr::parse(kind, attribute, &ctxt);
    if let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first() {
        ctxt.error(receiver, kind.on_a_method());
        signature::parameters(&mut function.sig, None, &Ctxt::default());
        let tokens = function.to_token_stream();
        return error_in_body(&mut function, ctxt).unwrap_or(tokens);
    }
    let item = Item {
        visibility: function.vis.clone(),
        attributes: &function.attrs,
        object: None,
        paths: &Paths::default(),
    };
    let feature = item.feature(kind, attr, &mut function.sig, &ctxt);
    let structure = structure(&feature);
    let conditions = &feature.conditions;
    let implementation = match ctxt.failed() {
        true => placeholder(&feature, &feature.function),
        false => implementation(&feature, &feature.function),
    };
    let errors = ctxt.into_tokens();
    quote! {
        #function

        #structure

        #(#conditions)*
        const _: () = { #implementation };

        #errors
    }
}

impl Kind {
    fn on_a_method(self) -> String {
        match self {
            Self::Completion => "a completion is a free function".to_owned(),
            _ => format!(
                "a method becomes a {0} with its `impl` block: write `#[tools]` on the block and \
                 keep `#[{0}]` on the method",
                self.word()
            ),
        }
    }
}

/// The item around a feature.
pub(crate) struct Item<'i> {
    pub(crate) visibility: Visibility,
    pub(crate) attributes: &'i [Attribute],
    pub(crate) object: Option<&'i Type>,
    pub(crate) paths: &'i Paths,
}

impl Item<'_> {
    /// The feature, held against the rules.
    pub(crate) fn feature(
        self,
        kind: Kind,
        mut attr: FeatureAttr,
        signature: &mut Signature,
        ctxt: &Ctxt,
    ) -> Feature {
        let mut takes_self = false;
        if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
            takes_self = true;
            if !matches!(receiver.kind, ReceiverKind::Reference(_, _, None)) {
                let message =
                    format!("a {} of an object takes `&self`: calls run at once", kind.word());
                ctxt.error(receiver, message);
            }
        }
        let parameters = signature::parameters(signature, self.object, ctxt);
        let mut returns = returned(&signature.output);
        if let Some(object) = self.object {
            ReplaceSelf(object).visit_type_mut(&mut returns);
        }
        let function = signature.ident.clone();
        let name = attr.name.take();
        let name =
            name.unwrap_or_else(|| LitStr::new(&function.unraw().to_string(), function.span()));
        let description = attr.description.as_ref().map(LitStr::value);
        let is_condition = |attribute: &&Attribute| attribute.path().is_ident("cfg");
        let feature = Feature {
            kind,
            visibility: self.visibility,
            conditions: self.attributes.iter().filter(is_condition).cloned().collect(),
            is_async: signature.asyncness.is_some(),
            receiver: match self.object {
                None => Receiver::None,
                Some(object) => Receiver::Method { object: Box::new(object.clone()), takes_self },
            },
            parameters,
            returns,
            name,
            description: description.or_else(|| crate::doc::text(self.attributes)),
            paths: self.paths.clone().or(attr.krate.take(), None),
            attr,
            function,
        };
        feature.check(ctxt);
        feature
    }
}

impl Feature {
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Argument> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Argument(argument) => Some(argument),
            Parameter::Extracted(_) => None,
        })
    }

    pub(crate) fn extracted(&self) -> impl Iterator<Item = &Extracted> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Extracted(extracted) => Some(extracted),
            Parameter::Argument(_) => None,
        })
    }

    fn check(&self, ctxt: &Ctxt) {
        let word = self.kind.word();
        if let Some(span) = self.attr.inline
            && self.is_async
        {
            let message = format!("an `async` {word} is always polled in place, remove `inline`");
            ctxt.error_at(span, message);
        }
        if self.name.value().is_empty() || self.name.value().chars().any(char::is_control) {
            ctxt.error(&self.name, format!("a {word} has a name without control characters"));
        }
        for icon in self.attr.icons.iter().flatten() {
            let source = icon.value();
            if !source.starts_with("https://") && !source.starts_with("data:image/") {
                ctxt.error(icon, "an icon is an `https://` or a `data:image/` URL");
            }
        }
        check_unique("argument", self.arguments().map(|argument| &argument.name), ctxt);
        for argument in self.arguments() {
            let foreign = |attribute: &&Attribute| !attribute.path().is_ident("doc");
            if let Some(attribute) = argument.attributes.iter().find(foreign) {
                let message =
                    "the value is a text that `FromStr` reads, the attribute says nothing";
                ctxt.error(attribute, message);
            }
            if self.kind == Kind::Completion
                && let Some(path) = &argument.complete
            {
                ctxt.error(path, "a completion is not completed");
            }
        }
        match self.kind {
            Kind::Prompt => {}
            Kind::Resource => resource::check(self, ctxt),
            Kind::Completion => completion::check(self, ctxt),
        }
    }

    /// What the state must be able to give.
    pub(crate) fn bounds(&self, door: &TokenStream) -> Vec<TokenStream> {
        let extracted =
            self.extracted().filter(|extracted| !extracted.stateless).map(|extracted| {
                let ty = &extracted.ty;
                quote!(#ty: #door::FromContext<__State>)
            });
        let completions = self.arguments().filter_map(|argument| argument.complete.as_ref());
        let completions =
            completions.map(|path| quote_spanned!(path.span()=> #path: #door::Complete<__State>));
        extracted.chain(completions).collect()
    }

    /// Title, description and icons of the definition.
    pub(crate) fn describe(&self, door: &TokenStream) -> TokenStream {
        let title = self
            .attr
            .title
            .as_ref()
            .map(|title| quote!(definition.title = #door::Some(#door::String::from(#title));));
        let description = self
            .description
            .as_ref()
            .map(|text| quote!(definition.description = #door::Some(#door::String::from(#text));));
        let icons = self.attr.icons.as_ref().map(|icons| {
            quote!(definition.icons = #door::Some(#door::Vec::from([#(#door::Icon::new(#icons)),*]));)
        });
        quote!(#title #description #icons)
    }

    /// The completions of the arguments, as a method.
    pub(crate) fn completions(&self, door: &TokenStream) -> Option<TokenStream> {
        let pairs = self.arguments().filter_map(|argument| {
            let (name, path) = (&argument.name, argument.complete.as_ref()?);
            let complete = quote_spanned! { path.span() =>
                #door::Box::new(<#path as #door::Default>::default())
            };
            Some(quote! {
                (
                    #door::String::from(#name),
                    #complete as #door::Box<dyn #door::Complete<__State>>,
                )
            })
        });
        let pairs: Vec<_> = pairs.collect();
        (!pairs.is_empty()).then(|| {
            quote! {
                fn completions(
                    &self,
                ) -> #door::Vec<(#door::String, #door::Box<dyn #door::Complete<__State>>)> {
                    #door::Vec::from([#(#pairs),*])
                }
            }
        })
    }

    /// Extraction, reading of the values, and the call: the body of a future over `__context` and
    /// `__values`, which gives what `finish` makes of what is returned.
    pub(crate) fn body(
        &self,
        door: &TokenStream,
        finish: impl Fn(TokenStream) -> TokenStream,
    ) -> TokenStream {
        let extract = self.extracted().enumerate().map(|(index, extracted)| {
            let (name, ty) = (format_ident!("__extracted_{index}"), &extracted.ty);
            match extracted.stateless {
                true => quote!(let #name: #ty = #door::stateless(&__context);),
                false => quote! {
                    let #name = <#ty as #door::FromContext<__State>>::from_context(&__context)?;
                },
            }
        });
        let read = self.arguments().map(|argument| {
            let (local, ty) = (local(argument), &argument.ty);
            let value = read(argument, door);
            quote!(let #local: #ty = #value;)
        });
        let mut extracted = 0_usize..;
        let values: Vec<_> = self
            .parameters
            .iter()
            .map(|parameter| match parameter {
                Parameter::Argument(argument) => local(argument),
                Parameter::Extracted(_) => {
                    format_ident!("__extracted_{}", extracted.next().unwrap_or_default())
                }
            })
            .collect();
        let function = &self.function;
        let dot_await = self.is_async.then(|| quote!(.await));
        let invoke = match &self.receiver {
            Receiver::None => quote!(#function(#(#values),*)#dot_await),
            Receiver::Method { object, takes_self: false } => {
                quote!(<#object>::#function(#(#values),*)#dot_await)
            }
            Receiver::Method { object, takes_self: true } => {
                quote!(<#object>::#function(&__this, #(#values),*)#dot_await)
            }
        };
        let finished = finish(invoke);
        let call = match self.is_async || self.attr.inline.is_some() {
            true => finished,
            false => quote! {
                let __runtime = #door::runtime(&__context);
                #door::run(__runtime, move || #finished).await
            },
        };
        quote! {
            #(#read)*
            #(#extract)*
            #call
        }
    }

    /// The values that the arguments are read out of, where there are any.
    pub(crate) fn values(&self, values: TokenStream) -> Option<TokenStream> {
        self.arguments().next().is_some().then(|| quote!(let mut __values = #values;))
    }

    /// What is done before the future is made.
    pub(crate) fn prepare(&self, door: &TokenStream) -> Option<TokenStream> {
        matches!(self.receiver, Receiver::Method { takes_self: true, .. })
            .then(|| quote!(let __this = #door::Shared::clone(&self.this);))
    }
}

/// The variable that holds an argument.
fn local(argument: &Argument) -> Ident {
    format_ident!("__value_{}", argument.ident.unraw())
}

/// Reads an argument out of `__values`, or leaves with `?`.
fn read(argument: &Argument, door: &TokenStream) -> TokenStream {
    let (name, ty) = (&argument.name, &argument.ty);
    if let Some(inner) = inside_option(ty) {
        return quote_spanned!(ty.span()=> __values.optional::<#inner>(#name)?);
    }
    match &argument.default {
        None => quote_spanned!(ty.span()=> __values.required::<#ty>(#name)?),
        Some(default) => {
            let default = match default {
                DefaultValue::OfType => quote!(#door::Default::default()),
                DefaultValue::Value(value) => super::args::default_value(value),
            };
            quote_spanned! { ty.span() =>
                match __values.optional::<#ty>(#name)? {
                    #door::Some(value) => value,
                    #door::None => #default,
                }
            }
        }
    }
}

/// The type inside `Option<…>`.
pub(crate) fn inside_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match (last.ident == "Option", arguments.args.first()) {
        (true, Some(GenericArgument::Type(inner))) => Some(inner),
        _ => None,
    }
}

fn structure(feature: &Feature) -> TokenStream {
    let Feature { function, visibility, conditions, name, kind, .. } = feature;
    let doc = match kind {
        Kind::Completion => format!("The completion `{}`.", name.value()),
        _ => format!("The {} `{}`, to be registered with a server.", kind.word(), name.value()),
    };
    quote! {
        #(#conditions)*
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(
            ::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug, ::core::default::Default
        )]
        #visibility struct #function {}
    }
}

/// All that stands in the anonymous constant of one feature.
pub(crate) fn implementation(feature: &Feature, type_name: &Ident) -> TokenStream {
    let door = feature.paths.door();
    let bounds = feature.bounds(&door);
    let trait_name = feature.kind.trait_name();
    let (constants, methods, result) = match feature.kind {
        Kind::Prompt => prompt::parts(feature, &door),
        Kind::Resource => resource::parts(feature, &door),
        Kind::Completion => completion::parts(feature, &door),
    };
    let may_log = feature.extracted().next().is_some();
    let may_log = (feature.kind != Kind::Completion).then(|| {
        quote! {
            fn may_log(&self) -> bool {
                #may_log
            }
        }
    });
    quote! {
        impl #type_name {
            #constants
        }

        #result

        impl<__State> #door::#trait_name<__State> for #type_name
        where
            __State: ::core::marker::Send + ::core::marker::Sync + 'static,
            #(#bounds,)*
        {
            #methods

            #may_log
        }
    }
}

/// An impl that is never run: one error is enough.
fn placeholder(feature: &Feature, type_name: &Ident) -> TokenStream {
    let door = feature.paths.door();
    let trait_name = feature.kind.trait_name();
    let methods = match feature.kind {
        Kind::Prompt => prompt::placeholder(&door),
        Kind::Resource => resource::placeholder(&door),
        Kind::Completion => completion::placeholder(&door),
    };
    quote! {
        impl<__State> #door::#trait_name<__State> for #type_name {
            #methods
        }
    }
}

/// The type of a method's feature.
pub(crate) fn method_type(feature: &Feature) -> Ident {
    format_ident!("__Mcp_{}_{}", feature.kind.word(), feature.function.unraw())
}
