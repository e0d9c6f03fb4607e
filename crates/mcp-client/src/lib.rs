//! Typed calls over a service of exchanges: the front door for MCP clients.
