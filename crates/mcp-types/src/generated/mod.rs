//! Generated.
pub mod legacy;
pub(crate) mod methods;
pub mod model;
