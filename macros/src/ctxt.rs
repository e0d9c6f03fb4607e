//! All errors of one expansion, shown at once.

use std::cell::RefCell;
use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// Collects errors while the expansion goes on.
pub(crate) struct Ctxt {
    errors: RefCell<Vec<syn::Error>>,
    forms: &'static str,
}

impl Default for Ctxt {
    fn default() -> Self {
        Self::showing(TOOL)
    }
}

impl Ctxt {
    /// For an item whose legal forms are these: they are shown first in every error about its shape.
    pub(crate) fn showing(forms: &'static str) -> Self {
        Self { errors: RefCell::default(), forms }
    }

    /// The legal forms of the item.
    pub(crate) fn forms(&self) -> &'static str {
        self.forms
    }

    /// An error at `tokens`.
    pub(crate) fn error(&self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// An error at `span`.
    pub(crate) fn error_at(&self, span: Span, message: impl Display) {
        self.push(syn::Error::new(span, message));
    }

    /// An error of a parser.
    pub(crate) fn push(&self, error: syn::Error) {
        self.errors.borrow_mut().push(error);
    }

    /// Hands all errors over.
    pub(crate) fn move_to(self, other: &Self) {
        other.errors.borrow_mut().append(&mut self.errors.into_inner());
    }

    /// Whether there is any error so far.
    pub(crate) fn failed(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// The errors as `compile_error!` items; nothing when there are none.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.errors.into_inner().iter().map(syn::Error::to_compile_error).collect()
    }
}

const TOOL: &str = "a tool is written `async fn search(query: String) -> Result<Hits, ToolError>`, \
    with `Context`, `State` or `Extension` parameters before the arguments if it wants them, and \
    with or without `async` and `Result`";
