//! Tools that get their declaration where they are registered: the author's functions stay as they
//! are, also those of other crates, and tools that are made while a server runs.

use etdi_core::declaration::Declaration;
use etdi_core::wire;
use mcp_server::{BuildError, Call, Editor, ServerBuilder, Tool};
use mcp_types::{ExchangeFuture, Meta, RawText};

/// A tool with a declaration of what it may do, in place of one that it may have had.
///
/// What is declared is enforced by [`secure`](crate::secure) around the server.
#[derive(Clone, Debug)]
pub struct Declared<T> {
    tool: T,
    declaration: Declaration,
}

impl<T> Declared<T> {
    /// Declares what a tool may do.
    pub fn new(tool: T, declaration: Declaration) -> Self {
        Self { tool, declaration }
    }
}

impl<S, T: Tool<S>> Tool<S> for Declared<T> {
    fn definition(&self) -> Result<mcp_types::Tool, BuildError> {
        let mut definition = self.tool.definition()?;
        let name = definition.name.clone();
        let failed = |source| BuildError::Definition { name: name.clone().into(), source };
        let block = self.declaration.block().map_err(|error| failed(Box::new(error) as _))?;
        let block = RawText::of(&block).map_err(|error| failed(Box::new(error) as _))?;
        definition.meta.get_or_insert_with(Meta::new).insert(wire::TOOL, block);
        Ok(definition)
    }

    fn call(&self, call: Call<S>) -> ExchangeFuture {
        self.tool.call(call)
    }

    fn may_log(&self) -> bool {
        self.tool.may_log()
    }

    fn may_ask(&self) -> bool {
        self.tool.may_ask()
    }
}

/// Registers tools with a declaration, before a server is built and while it runs.
///
/// ```
/// use etdi::SecureTools;
/// use etdi::core::declaration::{Declaration, PermissionDeclaration};
/// use mcp_server::{server, tool};
///
/// /// Adds two numbers.
/// #[tool]
/// fn add(a: f64, b: f64) -> String {
///     (a + b).to_string()
/// }
///
/// const ADD: Declaration =
///     Declaration::new("1.0.0").permissions(&[PermissionDeclaration::new("numbers:read")]);
/// let server = server!().secure_tool(add {}, ADD).build()?;
/// assert!(server.tools()[0].text().get().contains("numbers:read"));
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
pub trait SecureTools<S>: Sized {
    /// What registering gives back.
    type Registered;

    /// Registers a tool with a declaration of what it may do.
    fn secure_tool(self, tool: impl Tool<S>, declaration: Declaration) -> Self::Registered;
}

impl<S: Send + Sync + 'static> SecureTools<S> for ServerBuilder<S> {
    type Registered = Self;

    fn secure_tool(self, tool: impl Tool<S>, declaration: Declaration) -> Self {
        self.add_tool(Declared::new(tool, declaration))
    }
}

impl<S: Send + Sync + 'static> SecureTools<S> for &Editor<S> {
    type Registered = Result<(), BuildError>;

    fn secure_tool(self, tool: impl Tool<S>, declaration: Declaration) -> Result<(), BuildError> {
        self.add_tool(Declared::new(tool, declaration))
    }
}
