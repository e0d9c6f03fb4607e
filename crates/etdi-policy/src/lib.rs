//! Policy engines for ETDI: Cedar in this process, Rego behind the feature `rego`, and Cedar at
//! Amazon Verified Permissions behind the feature `avp`.
//!
//! A policy says which calls an operator wants: who, which tool, with which arguments, in which
//! circumstances. The engines here implement [`PolicyEngine`](etdi_core::policy::PolicyEngine);
//! put into a [`Gate`](etdi_core::policy::Gate) they are asked by the client before it sends and
//! by the server before it dispatches. The one type to know is [`CedarEngine`].
//!
//! ```
//! # #[cfg(feature = "cedar")] {
//! use etdi_core::definition::RawTool;
//! use etdi_core::policy::{Request, Resource, Status};
//! use etdi_core::time::UnixTime;
//! use etdi_policy::{CedarEngine, Source};
//!
//! let pay = RawTool::read(r#"{"name": "pay", "inputSchema": {"type": "object",
//!     "properties": {"to": {"type": "string"}, "cents": {"type": "integer"}},
//!     "required": ["to", "cents"]}}"#)?;
//! let engine = CedarEngine::new([Source::new("pay.cedar", r#"
//!     @id("small-sums")
//!     permit (principal, action == Etdi::Action::"stdio:pkg:cargo/bank#pay", resource)
//!     when { context.arguments.cents <= 5000 };
//! "#)])?;
//!
//! let server = "stdio:pkg:cargo/bank";
//! let mut request =
//!     Request::call(Resource::of(server, pay.definition(), Status::Verified), UnixTime(0));
//! request.context.arguments = Some(r#"{"to": "Ada", "cents": 4200}"#);
//! assert_eq!(engine.decide(&request).policies, ["small-sums"]);
//! request.context.arguments = Some(r#"{"to": "Eve", "cents": 420000}"#);
//! assert!(!engine.decide(&request).allow);
//!
//! // A policy is checked against what the server lists before it ever decides.
//! let wrong = CedarEngine::new([Source::new("pay.cedar", r#"
//!     permit (principal, action == Etdi::Action::"stdio:pkg:cargo/bank#pay", resource)
//!     when { context.arguments.cent <= 5000 };
//! "#)])?;
//! let problems = wrong.check([(server, pay.definition())])?;
//! assert!(problems[0].to_string().starts_with("pay.cedar:3: "), "{}", problems[0]);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What the engines promise
//!
//! Nothing is allowed but by a policy. A policy that fails while it is evaluated, arguments that
//! do not fit the tool's own schema, or have two readings, deny. Sizes are bounded: what is too
//! big to look at is denied, never cut. Files are read when the engine is made and when
//! [`CedarEngine::reload`] is called, at no other time; a reload that fails leaves the policies
//! as they were.
//!
//! An engine elsewhere is asked once for each decision, with an end to waiting; whatever is not a
//! clear answer denies. Of those only Amazon Verified Permissions (`AvpEngine`) is here: another
//! takes a page of code, since [`PolicyEngine`](etdi_core::policy::PolicyEngine) is asynchronous.

mod error;
mod files;

#[cfg(feature = "avp")]
mod avp;
#[cfg(feature = "cedar")]
mod cedar;
#[cfg(feature = "rego")]
mod rego;
#[cfg(feature = "cedar")]
mod shape;

pub use error::{LoadError, Problem};
pub use files::Source;

#[cfg(feature = "avp")]
pub use avp::{
    AvpEngine, AvpError, AvpSettings, AwsCredentials, CredentialError, CredentialSource,
    EnvironmentCredentials, schema_json_of,
};
#[cfg(feature = "cedar")]
pub use cedar::{CedarEngine, schema_of};
#[cfg(feature = "rego")]
pub use rego::RegoEngine;

/// The most bytes of arguments that are looked at; a call with more is denied.
pub const MAX_ARGUMENTS: usize = 1 << 20;
