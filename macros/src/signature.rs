//! The function: which parameters are arguments, which come from the exchange.
//!
//! What the function alone gets wrong is refused here, at its own tokens, and the legal forms are
//! shown; the attributes that only the macro understands are taken off.

use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, FnArg, GenericParam, LitStr, Meta, PatType, Path, PathArguments, Safety, Signature,
    Token, Type,
};

use crate::ctxt::Ctxt;
use crate::model::{Argument, DefaultValue, Extracted, Parameter, plain_name};

/// The parameters of a function, less its receiver, with the helper attributes taken off.
pub(crate) fn parameters(
    signature: &mut Signature,
    object: Option<&Type>,
    ctxt: &Ctxt,
) -> Vec<Parameter> {
    refuse_shapes(signature, ctxt);
    let mut parameters = Vec::new();
    for input in &mut signature.inputs {
        match input {
            FnArg::Receiver(_) => {}
            FnArg::Typed(parameter) => parameters.extend(read(parameter, object, ctxt)),
        }
    }
    parameters
}

fn refuse_shapes(signature: &Signature, ctxt: &Ctxt) {
    let refuse = |tokens: &dyn quote::ToTokens, what: &str| {
        ctxt.error(tokens.to_token_stream(), format!("{}; {what}", ctxt.forms()));
    };
    for parameter in &signature.generics.params {
        match parameter {
            GenericParam::Lifetime(_) => {
                refuse(parameter, "lifetimes cannot stand here, take owned types");
            }
            _ => refuse(parameter, "type parameters cannot stand here, name the types"),
        }
    }
    if let Some(clause) = &signature.generics.where_clause
        && signature.generics.params.is_empty()
    {
        refuse(clause, "there is nothing that `where` could bound");
    }
    if let Safety::Unsafe(token) = &signature.safety {
        refuse(token, "it cannot be `unsafe`, because models call it");
    }
    if let Some(abi) = &signature.abi {
        refuse(abi, "it has no foreign ABI");
    }
    if let Some(dots) = &signature.variadic {
        refuse(dots, "its parameters are named");
    }
    if let syn::ReturnType::Type(_, ty) = &signature.output {
        refuse_types(ty, true, ctxt);
    }
}

/// Refuses `impl Trait` and borrowed types, which the generated code cannot name or keep.
fn refuse_types(ty: &Type, is_returned: bool, ctxt: &Ctxt) {
    struct Refuse<'c>(&'c Ctxt, bool);

    impl<'ast> Visit<'ast> for Refuse<'_> {
        fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
            let forms = self.0.forms();
            self.0.error(ty, format!("{forms}; `impl` cannot stand here, name the type"));
        }

        fn visit_type_reference(&mut self, ty: &'ast syn::TypeReference) {
            let is_static = ty.lifetime.as_ref().is_some_and(|name| name.ident == "static");
            if is_static && self.1 {
                return visit::visit_type_reference(self, ty);
            }
            let owned = match &*ty.elem {
                Type::Path(path) if path.path.is_ident("str") => "take `String`",
                Type::Slice(_) => "take `Vec<…>`",
                _ => "take the value itself",
            };
            let what =
                if self.1 { "it cannot return a reference" } else { "it owns its arguments" };
            let advice = if self.1 { "return the value itself" } else { owned };
            self.0.error(ty, format!("{}; {what}, {advice}", self.0.forms()));
        }
    }

    Refuse(ctxt, is_returned).visit_type(ty);
}

fn read(parameter: &mut PatType, object: Option<&Type>, ctxt: &Ctxt) -> Option<Parameter> {
    let mut helpers = Helpers::take(&mut parameter.attrs, ctxt);
    let mut ty = (*parameter.ty).clone();
    if let Some(object) = object {
        ReplaceSelf(object).visit_type_mut(&mut ty);
    }
    if helpers.from_context || (!helpers.is_argument && is_extracted(&ty)) {
        refuse_types(&ty, false, ctxt);
        if helpers.is_argument {
            let message = "a parameter is an argument or taken from the exchange, not both";
            ctxt.error(&parameter.pat, message);
        }
        let stateless = !helpers.from_context && is_bare_context(&ty);
        return Some(Parameter::Extracted(Extracted { ty, stateless }));
    }
    refuse_types(&ty, false, ctxt);
    let Some(ident) = plain_name(&parameter.pat) else {
        let forms = ctxt.forms();
        let message = format!("{forms}; an argument has a name, take the pattern apart inside");
        ctxt.error(&parameter.pat, message);
        return None;
    };
    let name = helpers.name.take();
    let name = name.unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span()));
    let Helpers { default, complete, attributes, .. } = helpers;
    let ident = ident.clone();
    Some(Parameter::Argument(Argument { ident, ty, name, default, complete, attributes }))
}

/// Whether the last segment of the path says that the exchange gives the value.
fn is_extracted(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let last = path.path.segments.last().map(|segment| segment.ident.to_string());
    matches!(last.as_deref(), Some("Context" | "State" | "Claims" | "Extension"))
}

fn is_bare_context(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let last = path.path.segments.last();
    last.is_some_and(|last| {
        last.ident == "Context" && matches!(last.arguments, PathArguments::None)
    })
}

/// The attributes of a parameter that mean something to the macro.
#[derive(Default)]
struct Helpers {
    from_context: bool,
    is_argument: bool,
    name: Option<LitStr>,
    default: Option<DefaultValue>,
    complete: Option<Path>,
    attributes: Vec<Attribute>,
}

impl Helpers {
    /// Takes them off, because the compiler would not know them; others stay where they are.
    fn take(attributes: &mut Vec<Attribute>, ctxt: &Ctxt) -> Self {
        let mut helpers = Self::default();
        for attribute in std::mem::take(attributes) {
            let path = attribute.path();
            if path.is_ident("from_context") {
                helpers.from_context = true;
            } else if path.is_ident("arg") {
                helpers.is_argument = true;
                helpers.read_arg(&attribute, ctxt);
            } else if path.is_ident("serde") {
                refuse_renames(&attribute, ctxt);
                helpers.attributes.push(attribute);
            } else if path.is_ident("schemars") || path.is_ident("doc") {
                helpers.attributes.push(attribute);
            } else {
                attributes.push(attribute);
            }
        }
        helpers
    }

    fn read_arg(&mut self, attribute: &Attribute, ctxt: &Ctxt) {
        if matches!(attribute.meta, Meta::Path(_)) {
            return;
        }
        let result = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("default") {
                self.default = Some(match meta.input.peek(Token![=]) {
                    true => DefaultValue::Value(Box::new(meta.value()?.parse()?)),
                    false => DefaultValue::OfType,
                });
                return Ok(());
            }
            if meta.path.is_ident("name") {
                self.name = Some(meta.value()?.parse()?);
                return Ok(());
            }
            if meta.path.is_ident("complete") {
                self.complete = Some(meta.value()?.call(Path::parse_mod_style)?);
                return Ok(());
            }
            Err(meta.error(
                "the keys are `default`, `default = value`, `name = \"…\"` and `complete = path`",
            ))
        });
        if let Err(error) = result {
            ctxt.push(error);
        }
    }
}

/// A name that serde alone knew would be refused as an unknown argument.
fn refuse_renames(attribute: &Attribute, ctxt: &Ctxt) {
    let Ok(metas) = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
    else {
        return;
    };
    for meta in metas {
        let path = meta.path();
        if path.is_ident("rename") || path.is_ident("alias") {
            ctxt.error_at(path.span(), "name an argument with `#[arg(name = \"…\")]`");
        } else if path.is_ident("flatten") || path.is_ident("skip") {
            ctxt.error_at(path.span(), "an argument is one member, take a struct instead");
        }
    }
}

/// Writes the object's type for `Self`, which means another type in generated code.
pub(crate) struct ReplaceSelf<'t>(pub(crate) &'t Type);

impl VisitMut for ReplaceSelf<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::Path(path) = ty
            && path.qself.is_none()
            && path.path.is_ident("Self")
        {
            *ty = self.0.clone();
            return;
        }
        visit_mut::visit_type_mut(self, ty);
    }
}
