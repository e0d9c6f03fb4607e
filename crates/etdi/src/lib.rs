//! The ETDI host: one client over many servers, one call to secure a server.
