//! Tools as a service over exchanges: the front door for authors of MCP servers.
