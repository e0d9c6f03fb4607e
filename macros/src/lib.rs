//! The attribute macros of mcp-server.
