//! Issuers, tokens and MCP authorization for ETDI.
