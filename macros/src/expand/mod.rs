//! From a marked item to what it expands to; your item comes out in any case.

mod args;
mod completion;
mod data;
mod etdi;
mod feature;
mod prompt;
mod resource;
mod tool;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, FnArg, ImplItem, ImplItemFn, ItemFn, ItemImpl, LitStr, Meta, ReceiverKind,
    Signature, Type, Visibility, parse_quote,
};

use crate::attr::{ToolAttr, ToolsAttr};
use crate::ctxt::Ctxt;
use crate::expand::feature::{Feature, FeatureAttr};
use crate::lock::Files;
use crate::model::{Declaration, Paths, Receiver, ToolModel, returned};
use crate::signature::ReplaceSelf;
use crate::{check, doc, signature};

pub(crate) use data::data;
pub(crate) use feature::{Kind, function as feature};

/// Expands `#[tool]` on a free function.
pub(crate) fn function(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = syn::Error::new(error.span(), "`#[tool]` marks a function with a body");
            return [item, error.to_compile_error()].into_iter().collect();
        }
    };
    let ctxt = Ctxt::default();
    let attr = ToolAttr::parse(attribute, &ctxt);
    if let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first() {
        let message = "a method becomes a tool with its `impl` block: write `#[tools]` on the block \
                       and keep `#[tool]` on the method";
        ctxt.error(receiver, message);
        // Inside an `impl` nothing may stand beside the method.
        signature::parameters(&mut function.sig, None, &Ctxt::default());
        let mut tokens = function.to_token_stream();
        if let Some(body) = error_in_body(&mut function, ctxt) {
            tokens = body;
        }
        return tokens;
    }
    let paths = Paths::default();
    let source = Source {
        visibility: function.vis.clone(),
        attributes: &function.attrs,
        object: None,
        paths: &paths,
    };
    let model = source.model(attr, &mut function.sig, &ctxt);
    check::tool(&model, &ctxt);
    let expansion = match ctxt.failed() {
        true => tool::placeholder(&model),
        false => tool::free(&model),
    };
    let errors = ctxt.into_tokens();
    quote!(#function #expansion #errors)
}

fn error_in_body(function: &mut ItemFn, ctxt: Ctxt) -> Option<TokenStream> {
    let errors = ctxt.into_tokens();
    let error: syn::Stmt = syn::parse2(quote!({ #errors })).ok()?;
    function.block.stmts.insert(0, error);
    Some(function.to_token_stream())
}

/// Expands `#[tools]` on an `impl` block.
pub(crate) fn methods(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut block: ItemImpl = match syn::parse2(item.clone()) {
        Ok(block) => block,
        Err(error) => {
            let message = "`#[tools]` marks an `impl` block; `#[tool]`, `#[prompt]` and \
                           `#[resource]` what stands in it";
            let error = syn::Error::new(error.span(), message);
            return [item, error.to_compile_error()].into_iter().collect();
        }
    };
    let ctxt = Ctxt::default();
    let attr: ToolsAttr = syn::parse2(attribute).unwrap_or_else(|error| {
        ctxt.push(error);
        ToolsAttr::default()
    });
    if let Some((path, _)) = &block.trait_ {
        ctxt.error(path, "tools are methods of a type, write `#[tools] impl Notes { … }`");
    }
    if !block.generics.params.is_empty() {
        ctxt.error(&block.generics, "tools belong to one type, name its parameters");
    }
    let paths = Paths::default().or(attr.krate, attr.etdi_crate);
    let object = (*block.self_ty).clone();
    let (mut models, mut features) = (Vec::new(), Vec::new());
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        features.extend(take_feature(method, &object, &paths, &ctxt));
        let Some(attr) = take_tool(&mut method.attrs, &ctxt) else { continue };
        let source = Source {
            visibility: method.vis.clone(),
            attributes: &method.attrs,
            object: Some(&object),
            paths: &paths,
        };
        let model = source.model(attr, &mut method.sig, &ctxt);
        check::tool(&model, &ctxt);
        models.push(model);
    }
    if models.is_empty() && features.is_empty() {
        let message = "no method here is marked `#[tool]`, `#[prompt]` or `#[resource]`";
        ctxt.error(&block.self_ty, message);
    }
    check::tools(&models, &ctxt);
    let expansion = match ctxt.failed() {
        true => tool::placeholder_set(&object, &paths),
        false => tool::set(&object, &paths, &models, &features),
    };
    let errors = ctxt.into_tokens();
    quote!(#block #expansion #errors)
}

/// Takes `#[tool]` off a method.
fn take_tool(attributes: &mut Vec<Attribute>, ctxt: &Ctxt) -> Option<ToolAttr> {
    let is_tool = |attribute: &Attribute| last(attribute).is_some_and(|name| name == "tool");
    let at = attributes.iter().position(is_tool)?;
    let tokens = between(attributes.remove(at), ctxt);
    Some(ToolAttr::parse(tokens, ctxt))
}

/// Takes `#[prompt]` or `#[resource]` off a method, and reads what it makes of it.
fn take_feature(
    method: &mut ImplItemFn,
    object: &Type,
    paths: &Paths,
    ctxt: &Ctxt,
) -> Option<Feature> {
    let kind = |attribute: &Attribute| last(attribute).and_then(Kind::named);
    let (at, kind) =
        method.attrs.iter().enumerate().find_map(|(at, attribute)| Some((at, kind(attribute)?)))?;
    let attribute = method.attrs.remove(at);
    if kind == Kind::Completion {
        ctxt.error(&attribute, "a completion is a free function");
        return None;
    }
    let own = Ctxt::showing(kind.forms());
    let attr = FeatureAttr::parse(kind, between(attribute, &own), &own);
    let item = feature::Item {
        visibility: method.vis.clone(),
        attributes: &method.attrs,
        object: Some(object),
        paths,
    };
    let feature = item.feature(kind, attr, &mut method.sig, &own);
    own.move_to(ctxt);
    Some(feature)
}

/// The name of an attribute, without the path before it.
fn last(attribute: &Attribute) -> Option<&syn::Ident> {
    attribute.path().segments.last().map(|segment| &segment.ident)
}

/// What stands between the parentheses of an attribute.
fn between(attribute: Attribute, ctxt: &Ctxt) -> TokenStream {
    match attribute.meta {
        Meta::Path(_) => TokenStream::new(),
        Meta::List(list) => list.tokens,
        Meta::NameValue(pair) => {
            let name = pair.path.segments.last().map(|segment| segment.ident.to_string());
            let name = name.unwrap_or_default();
            ctxt.error(&pair, format!("write `#[{name}(key = value)]`"));
            TokenStream::new()
        }
    }
}

/// The item around a tool.
struct Source<'s> {
    visibility: Visibility,
    attributes: &'s [Attribute],
    object: Option<&'s Type>,
    paths: &'s Paths,
}

impl Source<'_> {
    fn model(self, attr: ToolAttr, signature: &mut Signature, ctxt: &Ctxt) -> ToolModel {
        let mut takes_self = false;
        if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
            takes_self = true;
            if !matches!(receiver.kind, ReceiverKind::Reference(_, _, None)) {
                ctxt.error(receiver, "a tool of an object takes `&self`: calls run at once");
            }
        }
        let parameters = signature::parameters(signature, self.object, ctxt);
        let mut returns = returned(&signature.output);
        if let Some(object) = self.object {
            ReplaceSelf(object).visit_type_mut(&mut returns);
        }
        let function = signature.ident.clone();
        let name = attr
            .name
            .unwrap_or_else(|| LitStr::new(&function.unraw().to_string(), function.span()));
        let description = attr.description.as_ref().map(LitStr::value);
        let paths = self.paths.clone().or(attr.krate, attr.etdi_crate);
        let asked = attr.declaration;
        if attr.etdi.is_none() {
            check::keys_without_etdi(&asked.keys, ctxt);
        }
        let declaration = attr.etdi.map(|span| Declaration {
            span,
            version: asked.version,
            provider: asked.provider,
            permissions: asked.permissions.unwrap_or_default(),
            max_call_depth: asked.max_call_depth,
            allowed_callers: asked.allowed_callers,
            allowed_callees: asked.allowed_callees,
            blocked_callers: asked.blocked_callers,
            blocked_callees: asked.blocked_callees,
            require_request_signing: asked.require_request_signing.is_some(),
            files: Files::find(),
        });
        let is_condition = |attribute: &&Attribute| attribute.path().is_ident("cfg");
        ToolModel {
            visibility: self.visibility,
            conditions: self.attributes.iter().filter(is_condition).cloned().collect(),
            is_async: signature.asyncness.is_some(),
            inline: attr.inline,
            task: attr.task,
            receiver: match self.object {
                None => Receiver::None,
                Some(object) => Receiver::Method { object: Box::new(object.clone()), takes_self },
            },
            parameters,
            returns,
            title: attr.title,
            description: description.or_else(|| doc::text(self.attributes)),
            annotations: attr.annotations,
            icons: attr.icons.unwrap_or_default(),
            structured: attr.structured.is_none_or(|literal| literal.value),
            scopes: attr.scopes.unwrap_or_default(),
            paths,
            declaration,
            name,
            function,
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self { server: parse_quote!(::mcp_server), etdi: None }
    }
}

impl Paths {
    /// Where the attribute says that they are.
    fn or(self, server: Option<syn::Path>, etdi: Option<syn::Path>) -> Self {
        Self { server: server.unwrap_or(self.server), etdi: etdi.or(self.etdi) }
    }

    /// The door for generated code; its name carries the version.
    fn door(&self) -> TokenStream {
        let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
        let door = quote::format_ident!("__private_{major}_{minor}");
        let server = &self.server;
        quote!(#server::#door)
    }
}
