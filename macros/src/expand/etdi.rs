//! What `etdi` adds: one constant, and its entry in the tool's `_meta`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::attr::{PermissionAttr, ToolRef};
use crate::model::{Declaration, ToolModel};
use crate::promise;

/// The one import through which the rest is named, so that a crate that is not there is one error,
/// at the word that wants it.
pub(crate) fn import(tool: &ToolModel) -> Option<TokenStream> {
    let declaration = tool.declaration.as_ref()?;
    Some(match &tool.paths.etdi {
        Some(etdi) => quote!(use #etdi as __etdi;),
        None => quote_spanned!(declaration.span=> use ::etdi::core as __etdi;),
    })
}

/// The constant, as an item of the tool's `impl`.
pub(crate) fn constant(tool: &ToolModel) -> Option<TokenStream> {
    let declaration = tool.declaration.as_ref()?;
    let module = quote!(__etdi::declaration);
    let version = declaration.version.as_ref()?;
    let provider = declaration
        .provider
        .as_ref()
        .map(|id| quote!(.provider(#module::ProviderDeclaration::new(#id))));
    let permissions = declaration.permissions.iter().map(|one| permission(one, &module));
    let scopes = (!tool.scopes.is_empty()).then(|| {
        let scopes = &tool.scopes;
        quote!(.scopes(&[#(#scopes),*]))
    });
    let depth = declaration.max_call_depth.as_ref().map(|depth| quote!(.max_depth(#depth)));
    let lists = call_lists(declaration);
    let signing = declaration.require_request_signing.then(|| quote!(.require_request_signing()));
    let proofs = promise::proofs(tool, declaration);
    Some(quote! {
        /// What the author declares about the tool.
        #[allow(dead_code)]
        pub const DECLARATION: #module::Declaration = #module::Declaration::new(#version)
            #provider
            .permissions(&[#(#permissions),*])
            #scopes
            #depth
            #(#lists)*
            #signing
            #proofs;
    })
}

/// Writes the declaration into `_meta` of `definition`.
pub(crate) fn entry(tool: &ToolModel) -> Option<TokenStream> {
    tool.declaration.as_ref()?;
    let door = tool.paths.door();
    Some(quote! {
        match Self::DECLARATION.block() {
            #door::Ok(block) => #door::meta(&mut definition, __etdi::wire::TOOL, &block)?,
            #door::Err(error) => return #door::Err(#door::refused(Self::NAME, error)),
        }
    })
}

fn permission(permission: &PermissionAttr, module: &TokenStream) -> TokenStream {
    let PermissionAttr { scope, description, optional } = permission;
    let description = description.as_ref().map(|text| quote!(.description(#text)));
    let optional = optional.then(|| quote!(.optional()));
    quote!(#module::PermissionDeclaration::new(#scope) #description #optional)
}

fn call_lists(declaration: &Declaration) -> Vec<TokenStream> {
    let lists = [
        (quote!(allowed_callers), &declaration.allowed_callers),
        (quote!(allowed_callees), &declaration.allowed_callees),
        (quote!(blocked_callers), &declaration.blocked_callers),
        (quote!(blocked_callees), &declaration.blocked_callees),
    ];
    let written = lists.into_iter().filter_map(|(method, tools)| {
        let names = tools.as_ref()?.iter().map(|tool| match tool {
            ToolRef::Name(name) => quote!(#name),
            // Through the type, so that a tool that is renamed or gone is a compile error.
            ToolRef::Path(path) => quote!(<#path>::NAME),
        });
        Some(quote!(.#method(&[#(#names),*])))
    });
    written.collect()
}
