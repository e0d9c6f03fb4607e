//! Tools, prompts and resources for models, as a service.
//!
//! A server answers a client's requests; a *tool* is a function that a model may call through it.
//! The type to know is [`Server`]: a `Service<Exchange>` (see [`types`]) that any transport carries.
//!
//! # Your first tool
//!
//! Write a function and mark it. Its parameters are the arguments, its doc comment is what the
//! model reads, and what it returns is the result:
//!
//! ```
//! use mcp_server::{Server, server, tool};
//!
//! /// Adds two numbers.
//! #[tool]
//! async fn add(
//!     /// The first summand.
//!     a: i64,
//!     /// The second summand.
//!     b: i64,
//! ) -> i64 {
//!     a + b
//! }
//!
//! /// Greets somebody by name.
//! #[tool]
//! fn greet(name: String, loud: Option<bool>) -> String {
//!     if loud == Some(true) { format!("HELLO, {name}!") } else { format!("Hello, {name}.") }
//! }
//!
//! let server: Server = server!().tool::<add>().tool::<greet>().build()?;
//! # Ok::<(), mcp_server::BuildError>(())
//! ```
//!
//! The functions stay functions: call them, test them. Beside each stands a type of the same name,
//! which is what `.tool::<add>()` registers. `server!()` takes the name and version from your
//! `Cargo.toml`. Hand the server to a transport, `mcp_transport::serve(server, stdio()?)`, and it serves.
//!
//! # What a tool can take
//!
//! Every parameter that serde can read and schemars can describe is an argument. `Option` means
//! that it may be absent; `#[arg(default = 10)]` says what stands in for it. Unknown arguments are
//! refused, with the nearest name as a hint for the model.
//!
//! A [`Context`], a [`State`] or an [`Extension`] is taken from the exchange instead:
//!
//! ```
//! use mcp_server::{Context, ToolError, server, tool};
//!
//! struct Notes(Vec<String>);
//!
//! /// Searches the notes.
//! #[tool(annotations(read_only))]
//! async fn search(
//!     cx: Context<Notes>,
//!     query: String,
//!     #[arg(default = 10)] limit: usize,
//! ) -> Result<Vec<String>, ToolError> {
//!     if query.is_empty() {
//!         return Err("the query is empty, give a word to look for".into());
//!     }
//!     let hits = cx.state().0.iter().filter(|note| note.contains(&query));
//!     Ok(hits.take(limit).cloned().collect())
//! }
//!
//! let server = server!().state(Notes(vec!["milk".into()])).tool::<search>().build()?;
//! # Ok::<(), mcp_server::BuildError>(())
//! ```
//!
//! # What a tool can return
//!
//! Text and content blocks reach the model as they are. A type with `Serialize` and `JsonSchema`
//! gives the tool an output schema; the model gets it as text, programs as structured content
//! (numbers, lists, maps and enums under `result`). A `Result` of these may fail with anything that
//! can be displayed: the model reads it. [`ToolError`] keeps the text for the model apart from the
//! text for the log.
//!
//! [`#[data]`](data) makes a type of your own one that tools take and return, with no other crate
//! in your `Cargo.toml`:
//!
//! ```
//! use mcp_server::{data, server, tool};
//!
//! /// Where to look.
//! #[data]
//! struct Filter {
//!     /// Only notes that carry all of these.
//!     tags: Vec<String>,
//!     year: Option<u16>,
//! }
//!
//! #[data]
//! #[derive(Debug, PartialEq)]
//! struct Hit {
//!     line: u32,
//!     text: String,
//! }
//!
//! /// Searches the notes.
//! #[tool]
//! async fn search(word: String, filter: Option<Filter>) -> Vec<Hit> {
//!     let tag = filter.and_then(|filter| filter.tags.into_iter().next());
//!     vec![Hit { line: 7, text: format!("{word} {}", tag.unwrap_or_default()) }]
//! }
//!
//! let server = server!().tool::<search>().build()?;
//! let schema = server.tools()[0].output_schema.as_ref().map(|schema| schema.text().to_string());
//! assert!(schema.is_some_and(|schema| schema.contains(r#""line":"#)));
//! # Ok::<(), mcp_server::BuildError>(())
//! ```
//!
//! # Sync and async
//!
//! An `async` tool is polled where its connection lives, so it must not block. A sync tool runs on
//! a thread of its own that may; mark it `#[tool(inline)]` when it only computes for a moment.
//! A cancelled call is a dropped future. A panic ends its own call, and nothing else.
//!
//! # Asking the client
//!
//! [`Context::elicit`] asks the user with a form made of a type, [`Context::elicit_url`] has them open
//! a page, [`Context::sample`] asks the client's model, and [`Context::all`] looks at several answers
//! together. Each gives the answer, or leaves with `?` to get it; the tool then runs again from the
//! top. So ask first, act after:
//!
//! ```
//! use mcp_server::{Context, Elicited, ToolError, data, tool};
//!
//! #[data]
//! struct Address {
//!     /// Where shall it go?
//!     street: String,
//!     /// Leave it with a neighbour?
//!     #[serde(default)]
//!     neighbour: bool,
//! }
//!
//! /// Sends a book.
//! #[tool]
//! async fn send(cx: Context, title: String) -> Result<String, ToolError> {
//!     match cx.elicit::<Address>("address", format!("Where do you want {title}?"))? {
//!         Elicited::Accepted(address) => Ok(format!("on its way to {}", address.street)),
//!         Elicited::Declined | Elicited::Cancelled => Ok("not sent".into()),
//!     }
//! }
//! ```
//!
//! What must happen before a question and not twice goes into [`Context::once`]. Its result travels
//! with the question, sealed: switch on the feature `sealed-state`.
//!
//! # Other handlers, changes, a life
//!
//! [`Context::call_tool`] and [`Context::read_resource`] serve a request of the tool's own, through
//! all layers around the server. [`Server::changes`] tells clients that a list or a resource is
//! another one. [`lifespan`](ServerBuilder::lifespan) gives state that starts before the first
//! request and stops after the last.
//!
//! # Resources, prompts and completions
//!
//! A *resource* is data under a URI, or under all URIs of a template; a *prompt* is a message that a
//! user picks and fills in. Both are functions too. Their parameters are texts from outside, read
//! into any type that `FromStr` reads:
//!
//! ```
//! use mcp_server::{completion, prompt, resource, server};
//!
//! /// What a user tells about themselves.
//! #[resource("users://{id}/profile", mime_type = "text/markdown")]
//! async fn profile(id: u64) -> Option<String> {
//!     (id == 42).then(|| "# Zaphod".to_owned())
//! }
//!
//! /// Plans a trip.
//! #[prompt]
//! async fn trip(
//!     /// Where to.
//!     #[arg(complete = cities)]
//!     city: String,
//!     days: Option<u8>,
//! ) -> String {
//!     format!("Plan {} days in {city}.", days.unwrap_or(3))
//! }
//!
//! /// Helps to type a city.
//! #[completion]
//! fn cities(value: String) -> Vec<&'static str> {
//!     ["Lisbon", "Paris", "Potsdam"].into_iter().filter(|city| city.starts_with(&value)).collect()
//! }
//!
//! let server = server!().resource::<profile>().prompt::<trip>().build()?;
//! # Ok::<(), mcp_server::BuildError>(())
//! ```
//!
//! `None` says that there is no such resource. [`ServerBuilder`] takes closures and values in place
//! of functions, says how long listings may be cached and who sees what in them; an [`Editor`]
//! changes what a running server offers. Methods of one object become tools, prompts and resources
//! by [`#[tools]`](macro@tools) on their `impl` block.
//!
//! # Long work
//!
//! A tool that takes minutes is marked `#[tool(task)]`, and the server says with
//! [`tasks`](ServerBuilder::tasks) where tasks are kept. Clients that can follow tasks then get one
//! instead of a result that lets them wait; see [`task`].
//!
//! # Features
//!
//! None is on by default. `sealed-state` keeps [`Context::once`] across questions; `files`, `glob`,
//! `pattern` and `url` bring argument types of [`checked`]; `task-redb` keeps tasks in one file.
//!
//! # What it leaves out
//!
//! Sockets and runtimes (`mcp-transport`), who may call what, and signatures: layers around the
//! server.

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private_0_1;
mod blocking;
mod catalog;
pub mod checked;
mod completion;
mod context;
mod error;
mod extract;
mod lifespan;
mod listing;
mod nearest;
mod page;
mod prompt;
mod registry;
mod request_state;
mod resource;
mod server;
mod service;
mod span;
mod subscription;
pub mod task;
mod template;
mod tool;
mod values;

pub use mcp_macros::{completion, data, prompt, resource, tool, tools};
pub use mcp_types as types;
pub use mcp_types::TraceContext;

pub use catalog::Editor;
pub use completion::{Complete, Completing, CompletionFuture, IntoCompletion};
pub use context::{CallError, Context, Elicited, FormError, Questions, requested_schema};
pub use error::{BuildError, Suspended, ToolError};
pub use extract::{Claims, Extension, FromContext, State};
pub use listing::{CacheHint, Listing, Offer, ResourceAction};
pub use prompt::{IntoPromptResult, Prompt, PromptArguments, PromptFuture};
#[cfg(feature = "sealed-state")]
pub use request_state::AeadSealer;
pub use request_state::{
    SealError, StateSealer, StateSealerContractFailure, state_sealer_contract,
};
pub use resource::{
    Cached, IntoResourceResult, Read, Resource, ResourceDefinition, ResourceFuture,
};
#[cfg(feature = "glob")]
pub use resource::{PatternError, ResourceAccess, Who};
pub use server::{Server, ServerBuilder};
pub use service::ServerFuture;
pub use subscription::{Change, ChangeRelay, Changes};
pub use template::{TemplateError, UriTemplate};
pub use tool::result::{IntoToolResult, Json};
pub use tool::{Call, Tool, ToolSet};

/// What [`#[data]`](data) derives `JsonSchema` with, for types that derive it by themselves: add
/// `#[schemars(crate = "mcp_server::schemars")]` to them.
pub use schemars;
/// What [`#[data]`](data) derives `Serialize` and `Deserialize` with, for types that derive them by
/// themselves: add `#[serde(crate = "mcp_server::serde")]` to them.
pub use serde;
