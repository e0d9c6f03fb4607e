//! Signed tool definitions, verification, approvals and the layers that enforce them.
