//! The inspector at the terminal: what is looked at, where it stands, and how findings are shown.
//!
//! What a definition says is judged by [`etdi_core::analyze`]. Here are the shapes in which
//! definitions come ([`read`], [`lines`], [`listing`]), and the forms in which findings leave: for
//! people ([`shown`]), for programs, for code scanning ([`sarif`], [`github`]).

pub mod found;
pub mod github;
pub mod lines;
pub mod listing;
pub mod read;
pub mod region;
pub mod sarif;
pub mod shown;
mod suspicious;
pub mod words;

pub use suspicious::{critical, noted, suspicious};
