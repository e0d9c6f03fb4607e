//! The attribute macros of `mcp-server`: `#[tool]` makes a function a tool.
//!
//! Use them through `mcp_server`, which re-exports them and owns what they expand to. The road of an
//! expansion is always the same: the attribute (`attr`) and the function (`signature`) are parsed
//! into a `model`, the model is held against the rules (`check`), and only then written (`expand`).
//! All errors are collected (`ctxt`) and shown at once, each at the tokens that caused it; your
//! function is emitted in any case.

mod attr;
mod check;
mod ctxt;
mod doc;
mod expand;
mod grammar;
mod lock;
mod model;
mod promise;
mod signature;

use proc_macro::TokenStream;

/// Makes a function a tool.
///
/// The function stays as it is; beside it stands a type of the same name, to be registered with
/// `.tool::<name>()`. The doc comment is what the model reads. Parameters are arguments, except
/// those whose type is a `Context`, `State`, `Claims` or `Extension`, or that carry `#[from_context]`.
///
/// | attribute | meaning |
/// |---|---|
/// | `name = "…"` | the tool's name, if not the function's |
/// | `title = "…"`, `description = "…"` | for people; for the model, instead of the doc comment |
/// | `annotations(read_only, destructive = false, …)` | hints: `read_only`, `destructive`, `idempotent`, `open_world` |
/// | `icons = ["https://…"]` | icons, `https:` or `data:` |
/// | `structured = false` | the result as text alone, without output schema |
/// | `inline` | a function without `async` that only computes for a moment: no thread of its own |
/// | `task`, `task = "required"` | calls become tasks where the client can follow them; or always |
/// | `scopes = ["…"]` | what an OAuth token must hold to call it |
/// | `crate = path` | where `mcp_server` is, if not there |
/// | `etdi`, `version = "1.0.0"` | a declaration that can be signed, and its version |
/// | `permissions = ["notes:read", "notes:*" = "why", optional("a:b")]` | what it needs |
/// | `max_call_depth = 2` | how many tools may be under way when it runs |
/// | `allowed_callees = [path, "name"]`, `blocked_callees`, `allowed_callers`, `blocked_callers` | whom it may call, who may call it |
/// | `require_request_signing` | calls must be signed |
/// | `provider = "https://…"` | who publishes it |
/// | `etdi_crate = path` | where `etdi_core` is, if not in `etdi` |
///
/// On parameters: a doc comment describes it, `#[arg(default = 10)]` makes it optional,
/// `#[arg(name = "type")]` renames it, `#[serde(…)]` and `#[schemars(…)]` are passed on. A type of
/// your own that is an argument or a result carries [`#[data]`](macro@data).
///
/// Where an `etdi.lock` lies beside your `Cargo.toml`, a tool with `etdi` is held against it: a
/// permission, or who may call whom, that changed needs a version whose first number is higher, and
/// no version may be lower than the locked one. `NAME::DECLARATION` then knows the locked digest,
/// and the signed manifest if there is an `etdi.manifest.jws`. A change of either builds anew; when
/// one is there for the first time, touch a source file. Without them everything still builds.
///
/// A tool with `etdi` names the crate `etdi`, which also signs the server: add it to your
/// `Cargo.toml`. A crate that only declares tools can do with `etdi-core` and `etdi_crate =
/// etdi_core`.
#[proc_macro_attribute]
pub fn tool(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::function(attribute.into(), item.into()).into()
}

/// Makes a struct or an enum data: something that tools take and return.
///
/// It derives `Serialize`, `Deserialize` and `JsonSchema` with the `serde` and `schemars` that
/// `mcp_server` brings along, so that your `Cargo.toml` needs neither. Other derives,
/// `#[serde(…)]` and `#[schemars(…)]` go below it; doc comments describe the members to the model.
/// `#[data(crate = path)]` says where `mcp_server` is.
#[proc_macro_attribute]
pub fn data(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::data(attribute.into(), item.into()).into()
}

/// Makes a function a prompt: messages that a user picks and fills in.
///
/// The function stays as it is; beside it stands a type of the same name, to be registered with
/// `.prompt::<name>()`. Parameters are arguments, which the protocol knows as texts: any type that
/// `FromStr` reads, and `Option` for those that may be absent; their doc comments describe them.
/// A `Context`, a `State`, an `Extension` or what carries `#[from_context]` comes from the exchange
/// instead. It returns text, messages, content blocks, or a `Result` of them.
///
/// | attribute | meaning |
/// |---|---|
/// | `name = "…"` | the prompt's name, if not the function's |
/// | `title = "…"`, `description = "…"` | for people; instead of the doc comment |
/// | `icons = ["https://…"]` | icons, `https:` or `data:` |
/// | `inline` | a function without `async` that only computes for a moment: no thread of its own |
/// | `crate = path` | where `mcp_server` is, if not there |
///
/// On parameters: `#[arg(default = 10)]` makes it optional, `#[arg(name = "type")]` renames it,
/// `#[arg(complete = path)]` names the [`#[completion]`](macro@completion) that helps to type it.
#[proc_macro_attribute]
pub fn prompt(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::feature(expand::Kind::Prompt, attribute.into(), item.into()).into()
}

/// Makes a function a resource: data under a URI, `#[resource("notes://today")]`, or under all URIs
/// of a template, `#[resource("notes://{id}")]`.
///
/// The function stays as it is; beside it stands a type of the same name, to be registered with
/// `.resource::<name>()`. Parameters are variables of the template by their names: any type that
/// `FromStr` reads, and `Option` for those that a URI may leave out. A value that cannot be read is
/// a resource that is not there. A `Context`, a `State`, an `Extension` or what carries
/// `#[from_context]` comes from the exchange instead. It returns text, bytes, contents, `None`
/// where there is nothing, or a `Result` of them.
///
/// | attribute | meaning |
/// |---|---|
/// | `"…"` | the URI or the template (RFC 6570, levels 1 to 3), first |
/// | `name = "…"` | the resource's name, if not the function's |
/// | `title = "…"`, `description = "…"` | for people; instead of the doc comment |
/// | `mime_type = "…"`, `size = 7` | the media type of the contents; how many bytes they are |
/// | `annotations(audience = ["user"], priority = 0.5, last_modified = "…")` | hints for the client |
/// | `icons = ["https://…"]` | icons, `https:` or `data:` |
/// | `inline` | a function without `async` that only computes for a moment: no thread of its own |
/// | `crate = path` | where `mcp_server` is, if not there |
///
/// On parameters: `#[arg(default = 10)]`, `#[arg(name = "…")]` and `#[arg(complete = path)]`, as for
/// [`#[prompt]`](macro@prompt).
#[proc_macro_attribute]
pub fn resource(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::feature(expand::Kind::Resource, attribute.into(), item.into()).into()
}

/// Makes a function a completion, which suggests values while a user types an argument.
///
/// Name it with `#[arg(complete = path)]` at a parameter of a prompt or a resource. Its first
/// parameter is what is typed so far; further ones are other arguments of the same prompt or
/// template by their names, in an `Option` because they may not be decided yet. It returns a list of
/// texts, the best first. `inline` and `crate = path` mean what they mean elsewhere.
#[proc_macro_attribute]
pub fn completion(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::feature(expand::Kind::Completion, attribute.into(), item.into()).into()
}

/// Makes the methods of an `impl` block that are marked `#[tool]`, `#[prompt]` or `#[resource]`
/// tools, prompts and resources of one object.
///
/// They take `&self`; register them all with `.tools(object)`. `crate = path` and
/// `etdi_crate = path` here hold for all of them.
#[proc_macro_attribute]
pub fn tools(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::methods(attribute.into(), item.into()).into()
}
