//! The client of Streamable HTTP against servers that are scripts.
