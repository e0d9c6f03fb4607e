//! Bytes to exchanges and back: both protocol eras, stdio and in-memory.
