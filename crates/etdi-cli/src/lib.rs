//! The `etdi` command: demo, list, call, sign, verify, approve.
