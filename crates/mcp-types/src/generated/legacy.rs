//! Legacy.
use crate::Meta;
use crate::generated::model::*;
use crate::object::object;
object! {
    /// x
    pub struct InitializeRequestParams {
        /// x
        req capabilities: ClientCapabilities = "capabilities";
        /// x
        req client_info: Implementation = "clientInfo";
        /// x
        text protocol_version: String = "protocolVersion";
        /// x
        meta meta: Meta = "_meta";
    }
    new(capabilities: ClientCapabilities, client_info: Implementation, protocol_version: impl Into<String>)
}
object! {
    /// x
    pub struct InitializeResult {
        /// x
        req capabilities: ServerCapabilities = "capabilities";
        /// x
        opt instructions: String = "instructions";
        /// x
        text protocol_version: String = "protocolVersion";
        /// x
        req server_info: Implementation = "serverInfo";
        /// x
        meta meta: Meta = "_meta";
    }
    new(capabilities: ServerCapabilities, protocol_version: impl Into<String>, server_info: Implementation)
}
object! {
    /// x
    pub struct SetLevelRequestParams {
        /// x
        req level: LoggingLevel = "level";
        /// x
        meta meta: Meta = "_meta";
    }
    new(level: LoggingLevel)
}
