//! What a tool is, once attribute and function are read.

use proc_macro2::{Span, TokenStream};
use syn::{Attribute, Expr, Ident, LitStr, Pat, Path, ReturnType, Type, Visibility};

use crate::attr::{Hint, PermissionAttr, TaskAttr, ToolRef};
use crate::lock::Files;

/// One tool.
pub(crate) struct ToolModel {
    /// The function's name, raw where it is written raw.
    pub(crate) function: Ident,
    pub(crate) visibility: Visibility,
    /// The `#[cfg]`s that decide whether the function exists.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) is_async: bool,
    pub(crate) inline: Option<Span>,
    pub(crate) task: Option<TaskAttr>,
    pub(crate) receiver: Receiver,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) returns: Type,
    pub(crate) name: LitStr,
    pub(crate) title: Option<LitStr>,
    pub(crate) description: Option<String>,
    pub(crate) annotations: Option<(Span, Vec<Hint>)>,
    pub(crate) icons: Vec<LitStr>,
    pub(crate) structured: bool,
    pub(crate) scopes: Vec<LitStr>,
    pub(crate) paths: Paths,
    pub(crate) declaration: Option<Declaration>,
}

/// On what a function is called.
pub(crate) enum Receiver {
    /// A free function.
    None,
    /// A method with `&self`, or an associated function, of this type.
    Method { object: Box<Type>, takes_self: bool },
}

/// Where the crates are.
#[derive(Clone)]
pub(crate) struct Paths {
    pub(crate) server: Path,
    /// Where `etdi_core` is, if not in `etdi`.
    pub(crate) etdi: Option<Path>,
}

/// One parameter, in order.
pub(crate) enum Parameter {
    /// Comes from the model.
    Argument(Argument),
    /// Comes from the exchange.
    Extracted(Extracted),
}

/// A parameter that is an argument.
pub(crate) struct Argument {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    /// The name on the wire.
    pub(crate) name: LitStr,
    pub(crate) default: Option<DefaultValue>,
    /// The completion of a prompt's argument or a template's variable.
    pub(crate) complete: Option<Path>,
    /// Doc comments, `#[serde(…)]` and `#[schemars(…)]`, for the field.
    pub(crate) attributes: Vec<Attribute>,
}

/// What stands in for an absent argument.
pub(crate) enum DefaultValue {
    /// `#[arg(default)]`.
    OfType,
    /// `#[arg(default = …)]`.
    Value(Box<Expr>),
}

/// A parameter that is taken from the exchange.
pub(crate) struct Extracted {
    pub(crate) ty: Type,
    /// `Context` without a state, which every server can give.
    pub(crate) stateless: bool,
}

/// What `etdi` declares.
pub(crate) struct Declaration {
    pub(crate) span: Span,
    pub(crate) version: Option<LitStr>,
    pub(crate) provider: Option<LitStr>,
    pub(crate) permissions: Vec<PermissionAttr>,
    pub(crate) max_call_depth: Option<syn::LitInt>,
    pub(crate) allowed_callers: Option<Vec<ToolRef>>,
    pub(crate) allowed_callees: Option<Vec<ToolRef>>,
    pub(crate) blocked_callers: Option<Vec<ToolRef>>,
    pub(crate) blocked_callees: Option<Vec<ToolRef>>,
    pub(crate) require_request_signing: bool,
    /// What lies beside the user's `Cargo.toml`.
    pub(crate) files: Files,
}

impl ToolModel {
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
}

/// The type that a function returns.
pub(crate) fn returned(output: &ReturnType) -> Type {
    match output {
        ReturnType::Default => Type::Verbatim(TokenStream::from_iter([unit()])),
        ReturnType::Type(_, ty) => (**ty).clone(),
    }
}

fn unit() -> proc_macro2::TokenTree {
    proc_macro2::Group::new(proc_macro2::Delimiter::Parenthesis, TokenStream::new()).into()
}

/// The plain name behind a pattern such as `mut query`.
pub(crate) fn plain_name(pattern: &Pat) -> Option<&Ident> {
    match pattern {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => Some(&name.ident),
        _ => None,
    }
}
