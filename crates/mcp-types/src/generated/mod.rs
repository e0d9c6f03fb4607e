//! Generated.
pub mod legacy;
pub mod methods;
pub mod model;
